//! `trefoil leader`: who leads, and giving the leadership to another.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use trefoil_core::election::config::dialled;
use trefoil_core::method::admin;
use trefoil_proto::admin::{Election, HandOverReply, HandOverRequest, StatusReply};
use trefoil_proto::wire::{Decode, Encode};
use trefoil_runtime::{CallOptions, Client, Platform, task};

use crate::cart::{client, explain};
use crate::cli::{At, LeaderArgs, LeaderCommand, Way};
use crate::say;
use crate::status::ask;

/// How often is asked whether the new leader leads.
const GLANCE: Duration = Duration::from_millis(5);

/// Does what was asked.
///
/// # Errors
/// A node cannot be reached, knows of no leader, or refuses.
pub async fn run<P: Platform>(args: LeaderArgs, way: &Way) -> Result<()> {
    match args.command {
        LeaderCommand::Show { at, json } => show(&client::<P>(&at, way)?, &at, json).await,
        LeaderCommand::Handover { at, to } => hand_over(&client::<P>(&at, way)?, &at, &to).await,
    }
}

async fn show<P: Platform>(client: &Client<P>, at: &At, as_json: bool) -> Result<()> {
    let bytes = ask(client, at).await?;
    let status = StatusReply::parse(&bytes).context("the answer cannot be decoded")?;
    let election = of(&status)?;
    say(&if as_json {
        json(election).to_string()
    } else {
        text(election, status.host)
    });
    Ok(())
}

fn of<'a>(status: &'a StatusReply<'a>) -> Result<&'a Election<'a>> {
    let election = status.election.as_ref();
    election.with_context(|| {
        format!(
            "TF-E05: {} takes part in no election; ask a voter",
            status.host
        )
    })
}

async fn hand_over<P: Platform>(client: &Client<P>, at: &At, to: &str) -> Result<()> {
    let leader = {
        let bytes = ask(client, at).await?;
        let status = StatusReply::parse(&bytes).context("the answer cannot be decoded")?;
        of(&status)?.leader.to_owned()
    };
    if leader.is_empty() {
        bail!("TF-N14: the node that was asked knows of no leader; try again");
    }
    if leader == to {
        say(&format!("{to} leads already"));
        return Ok(());
    }
    let began = Instant::now();
    let bytes = tell(client, at, &leader, to).await?;
    let reply = HandOverReply::parse(&bytes).context("the answer cannot be decoded")?;
    if !reply.accepted {
        bail!("{leader}: {}", reply.message);
    }
    // The new leader itself knows first.
    let patience = Duration::from_secs(at.timeout);
    let leads = task::timeout::<P, _>(patience, leading(client, at, to)).await;
    let token = leads.with_context(|| {
        format!(
            "TF-N15: {leader} leads no more, and {to} does not lead after {patience:?}; another may"
        )
    })?;
    let gap = began.elapsed().as_secs_f64() * 1_000.0;
    say(&format!(
        "{to} leads, {gap:.1} ms after {leader} was asked, token {token}"
    ));
    Ok(())
}

/// The token of a voter, as soon as it leads.
async fn leading<P: Platform>(client: &Client<P>, at: &At, voter: &str) -> i64 {
    loop {
        let asked = call(client, at, admin::STATUS, voter, Bytes::new()).await;
        let status = asked.as_ref().map(|bytes| StatusReply::parse(bytes));
        if let Ok(Ok(StatusReply {
            election: Some(election),
            ..
        })) = status
            && election.state == "leading"
        {
            return election.token;
        }
        task::sleep::<P>(GLANCE).await;
    }
}

async fn tell<P: Platform>(client: &Client<P>, at: &At, leader: &str, to: &str) -> Result<Bytes> {
    let request = HandOverRequest { to };
    let mut bytes = vec![0; request.encoded_len()];
    request.encode_to_slice(&mut bytes)?;
    call(client, at, admin::HAND_OVER, leader, bytes.into()).await
}

async fn call<P: Platform>(
    client: &Client<P>,
    at: &At,
    method: trefoil_core::id::MethodId,
    voter: &str,
    request: Bytes,
) -> Result<Bytes> {
    let options = CallOptions {
        timeout: Duration::from_secs(at.timeout),
        ..CallOptions::default()
    };
    let answer = client.unary(method, Some(dialled(voter)), request, options);
    answer.await.map_err(|error| explain(error, at))
}

/// What a voter knows, for people.
pub fn text(election: &Election<'_>, host: &str) -> String {
    let leader = match election.state {
        "leading" => format!("{} (the node that was asked)", election.leader),
        "following" => election.leader.to_owned(),
        state => format!("none known ({state})"),
    };
    let mut text = format!("leader   {leader}");
    if election.token > 0 {
        let left = election.lease_left_us as f64 / 1e6;
        text += &format!("\ntoken    {}, lease {left:.2} s left", election.token);
    }
    text += &format!(
        "\nquorum   {}",
        if election.quorum {
            "heard"
        } else {
            "not heard"
        }
    );
    for voter in election.voters.iter().flatten() {
        let heard = if dialled(voter.addr) == host {
            "itself".to_owned()
        } else if !voter.connected {
            "not heard".to_owned()
        } else if voter.round_trip_us == 0 {
            "heard".to_owned()
        } else {
            format!("heard, {:.2} ms", voter.round_trip_us as f64 / 1_000.0)
        };
        let kin = if voter.kin == "redhac" {
            ", a node of redhac"
        } else {
            ""
        };
        text += &format!("\nvoter    {:<24} {heard}{kin}", voter.addr);
    }
    text
}

/// The same for programs.
pub fn json(election: &Election<'_>) -> serde_json::Value {
    let voters: Vec<_> = election
        .voters
        .iter()
        .flatten()
        .map(|voter| {
            serde_json::json!({
                "addr": voter.addr,
                "connected": voter.connected,
                "round_trip_us": voter.round_trip_us,
                "kin": voter.kin,
            })
        })
        .collect();
    serde_json::json!({
        "state": election.state,
        "leader": election.leader,
        "token": election.token.to_string(),
        "lease_left_us": election.lease_left_us,
        "quorum": election.quorum,
        "voters": voters,
    })
}
