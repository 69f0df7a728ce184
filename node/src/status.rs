//! `trefoil status`: a node's view of its cluster.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use trefoil_core::method::admin;
use trefoil_core::status::Code;
use trefoil_proto::admin::StatusReply;
use trefoil_proto::wire::Decode;
use trefoil_runtime::channels::{ChannelOperator, Listed};
use trefoil_runtime::{CallError, CallOptions, Client, Platform, task};

use crate::cart::{client, explain};
use crate::cli::{At, StatusArgs, Way};
use crate::{channels, leader, say};

/// How long the leader is looked for: a cluster without one has a status all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks, shows, and asks again if told to.
///
/// # Errors
/// The node cannot be reached.
pub async fn run<P: Platform>(args: StatusArgs, way: &Way) -> Result<()> {
    let client = client::<P>(&args.at, way)?;
    loop {
        let shown = show(&client, &args).await;
        if !args.watch {
            return shown;
        }
        // Whoever watches wants to see it come back.
        if let Err(error) = shown {
            complain(&error);
        }
        task::sleep::<P>(Duration::from_secs(1)).await;
    }
}

fn complain(error: &anyhow::Error) {
    if writeln!(std::io::stderr(), "error: {error}").is_err() {
        std::process::exit(0);
    }
}

async fn show<P: Platform>(client: &Client<P>, args: &StatusArgs) -> Result<()> {
    let bytes = ask(client, &args.at).await?;
    let status = StatusReply::parse(&bytes).context("the answer cannot be decoded")?;
    let channels = match &status.election {
        Some(_) => listed(client).await,
        None => None,
    };
    say(&if args.json {
        json(&status, channels.as_ref())?
    } else {
        let channels = channels.as_ref().map(|listed| match listed {
            Ok(listed) => channels::show::text(listed),
            Err(why) => format!("channels not known: {why}"),
        });
        let parts = [Some(text(&status)), channels];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// What the leader knows of channels; nothing if there are none.
async fn listed<P: Platform>(client: &Client<P>) -> Option<Result<Listed, CallError>> {
    let listed = ChannelOperator::new(client.clone(), PATIENCE).list().await;
    match listed {
        Ok(listed) if listed.channels.is_empty() => None,
        Err(error) if error.code == Code::Unimplemented => None,
        listed => Some(listed),
    }
}

/// A node's answer, encoded.
///
/// # Errors
/// It cannot be reached.
pub async fn ask<P: Platform>(client: &Client<P>, at: &At) -> Result<Bytes> {
    let options = CallOptions {
        timeout: Duration::from_secs(at.timeout),
        ..CallOptions::default()
    };
    client
        .unary(admin::STATUS, None, Bytes::new(), options)
        .await
        .map_err(|error| explain(error, at))
}

fn text(status: &StatusReply<'_>) -> String {
    let mut lines = vec![format!(
        "{}  of {}, {}, {} active ids, {} known, {} calls open, up {} s, start {}, trefoil {}",
        status.host,
        status.cluster,
        status.state,
        status.active_ids,
        status.known_ids,
        status.in_flight,
        status.uptime_ms / 1_000,
        status.incarnation,
        status.version
    )];
    lines.push(format!(
        "{:<24} {:<9} {:>8} {:>8} {:>10}  kind",
        "member", "state", "ids", "slots", "round trip"
    ));
    for member in status.members.iter().flatten() {
        let trip = match member.round_trip_us {
            0 => "-".to_owned(),
            us => format!("{:.2} ms", us as f64 / 1_000.0),
        };
        let kind = if member.legacy {
            "legacy".to_owned()
        } else {
            format!("start {}", member.incarnation)
        };
        lines.push(format!(
            "{:<24} {:<9} {:>8} {:>8} {trip:>10}  {kind}",
            member.host, member.state, member.ids, member.slots
        ));
    }
    for missed in status.unreachable.iter().flatten() {
        lines.push(format!("{:<24} not reached: {}", missed.host, missed.why));
    }
    if let Some(election) = &status.election {
        lines.push(leader::text(election, status.host));
    }
    lines.join("\n")
}

fn json(status: &StatusReply<'_>, channels: Option<&Result<Listed, CallError>>) -> Result<String> {
    let members: Vec<_> = status
        .members
        .iter()
        .flatten()
        .map(|member| {
            serde_json::json!({
                "host": member.host,
                "state": member.state,
                "incarnation": member.incarnation,
                "ids": member.ids,
                "slots": member.slots,
                "round_trip_us": member.round_trip_us,
                "legacy": member.legacy,
            })
        })
        .collect();
    let unreachable: Vec<_> = status
        .unreachable
        .iter()
        .flatten()
        .map(|missed| serde_json::json!({ "host": missed.host, "why": missed.why }))
        .collect();
    let counters: serde_json::Map<String, serde_json::Value> = status
        .counters
        .iter()
        .flatten()
        .map(|counter| (counter.name.to_owned(), counter.value.into()))
        .collect();
    Ok(serde_json::to_string(&serde_json::json!({
        "host": status.host,
        "cluster": status.cluster,
        "state": status.state,
        "incarnation": status.incarnation,
        "uptime_ms": status.uptime_ms,
        "view_version": status.view_version,
        "unreachable": unreachable,
        "placement_fingerprint": format!("{:016x}", status.placement_fingerprint),
        "active_ids": status.active_ids,
        "known_ids": status.known_ids,
        "in_flight": status.in_flight,
        "members": members,
        "election": status.election.as_ref().map(leader::json),
        "channels": channels.and_then(|listed| listed.as_ref().ok()).map(channels::show::json),
        "counters": counters,
        "version": status.version,
    }))?)
}
