//! `trefoil channels` and `trefoil node`: what operators do about channels.

use std::time::Duration;

use anyhow::{Context, Result};
use trefoil_runtime::channels::{ChannelInfo, ChannelOperator, Listed, NodeInfo};
use trefoil_runtime::{CallError, Platform, task};

use super::{operator, show};
use crate::cart::explain;
use crate::cli::{At, ChannelsArgs, ChannelsCommand, NodeArgs, NodeCommand, Way};
use crate::say;

/// How often is looked whether something has happened.
const GLANCE: Duration = Duration::from_millis(50);

/// Does what was asked about channels.
///
/// # Errors
/// No leader can be asked, or it refuses.
pub async fn channels<P: Platform>(args: ChannelsArgs, way: &Way) -> Result<()> {
    match args.command {
        ChannelsCommand::Create { at, names } => {
            create(&operator::<P>(&at, way)?, &at, &names).await
        }
        ChannelsCommand::List { at, json } => {
            let listed = operator::<P>(&at, way)?.list().await;
            let listed = listed.map_err(|error| told(error, &at))?;
            say(&if json {
                show::json(&listed).to_string()
            } else {
                show::text(&listed)
            });
            Ok(())
        }
        ChannelsCommand::Move { at, channel, to } => {
            relocate(&operator::<P>(&at, way)?, &at, &channel, &to).await
        }
        ChannelsCommand::Plan { at } => {
            let planned = operator::<P>(&at, way)?.plan().await;
            let (steps, more) = planned.map_err(|error| told(error, &at))?;
            show::plan(&steps, more);
            Ok(())
        }
    }
}

/// Does what was asked about a node.
///
/// # Errors
/// No leader can be asked, or it refuses, or it took too long.
pub async fn node<P: Platform>(args: NodeArgs, way: &Way) -> Result<()> {
    match args.command {
        NodeCommand::Drain { at, host, within } => {
            drain(&operator::<P>(&at, way)?, &at, &host, within).await
        }
        NodeCommand::Undrain { at, host } => {
            let done = operator::<P>(&at, way)?.undrain(&host).await;
            done.map_err(|error| told(error, &at))?;
            say(&format!("{host} may have channels again"));
            Ok(())
        }
    }
}

fn told(error: CallError, at: &At) -> anyhow::Error {
    match error.stable_code() {
        Some("TF-C08") => {
            anyhow::anyhow!(
                "{error}; the nodes have no channels: they need --voters and, where several vote, a store that all share"
            )
        }
        _ => explain(error, at),
    }
}

async fn create<P: Platform>(
    operator: &ChannelOperator<P>,
    at: &At,
    names: &[String],
) -> Result<()> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let created = operator.create(&names).await;
    let created = created.map_err(|error| told(error, at))? as usize;
    let is_there = |listed: &Listed| {
        names.iter().all(|name| {
            let mut all = listed.channels.iter();
            all.any(|channel| channel.name == *name && channel.state == "assigned")
        })
    };
    wait(operator, at, is_there).await.with_context(|| {
        format!("TF-N17: created {created}, and not all are assigned; see `trefoil channels list`")
    })?;
    let before = names.len() - created;
    say(&match before {
        0 => format!("created {created}, all are assigned"),
        _ => format!("created {created}, {before} were there, all are assigned"),
    });
    Ok(())
}

async fn relocate<P: Platform>(
    operator: &ChannelOperator<P>,
    at: &At,
    channel: &str,
    to: &str,
) -> Result<()> {
    let done = operator.relocate(channel, to).await;
    done.map_err(|error| told(error, at))?;
    let is_there = |listed: &Listed| {
        listed.channels.iter().any(|known| {
            known.name == channel && known.state == "assigned" && known.host.as_deref() == Some(to)
        })
    };
    wait(operator, at, is_there).await.with_context(|| {
        format!(
            "TF-N17: {channel} is on its way to {to}, and not there; see `trefoil channels list`"
        )
    })?;
    say(&format!("{channel} is on {to}"));
    Ok(())
}

async fn drain<P: Platform>(
    operator: &ChannelOperator<P>,
    at: &At,
    host: &str,
    within: u64,
) -> Result<()> {
    let within = Duration::from_secs(within);
    let had = operator.drain(host, Some(within)).await;
    let had = had.map_err(|error| told(error, at))?;
    let is_empty = |listed: &Listed| {
        let goes = |channel: &ChannelInfo| channel.host.as_deref() != Some(host);
        let has_none = |node: &NodeInfo| node.host != host || node.channels == 0;
        listed.channels.iter().all(goes) && listed.nodes.iter().all(has_none)
    };
    let waited = task::timeout::<P, _>(within, wait_for_ever(operator, at, is_empty)).await;
    waited.with_context(|| {
        format!("TF-N17: {host} has channels after {within:?}; see `trefoil channels list`")
    })??;
    say(&format!("{host} had {had} channels and has none"));
    Ok(())
}

/// Returns when what is listed is as it is to be.
async fn wait<P: Platform>(
    operator: &ChannelOperator<P>,
    at: &At,
    is_done: impl Fn(&Listed) -> bool,
) -> Result<()> {
    let patience = Duration::from_secs(at.timeout);
    let waited = task::timeout::<P, _>(patience, wait_for_ever(operator, at, is_done)).await;
    waited.with_context(|| format!("not within {patience:?}"))?
}

async fn wait_for_ever<P: Platform>(
    operator: &ChannelOperator<P>,
    at: &At,
    is_done: impl Fn(&Listed) -> bool,
) -> Result<()> {
    loop {
        let listed = operator.list().await.map_err(|error| told(error, at))?;
        if is_done(&listed) {
            return Ok(());
        }
        task::sleep::<P>(GLANCE).await;
    }
}
