//! `trefoil serve`: one node, from a configuration.

use std::time::Duration;

use anyhow::{Context, Result};
use trefoil_core::channels::coordinator::ForeignNode;
use trefoil_core::election::electorate::RETIRED;
use trefoil_core::election::{ElectionConfig, Evidence, Memory, RedhacVotes};
use trefoil_core::ring::membership::{MembershipConfig, PartitionPolicy};
use trefoil_runtime::{ChannelsConfig, Handle, Node, NodeOptions, Platform, task};
use trefoil_store::{Store, StoreOptions};

use crate::cart::Carts;
use crate::channels::dialect;
use crate::cli::{CheckConfig, Serve, Way};
use crate::config::{self, Config, File, Partition};
use crate::reach::Reach;
use crate::store::Kept;
use crate::{metrics, say, signals, store};

/// Runs a node until it is interrupted, or asked to leave.
///
/// # Errors
/// The configuration, the store or the address cannot be used.
pub async fn run<P: Platform>(args: &Serve, way: &Way) -> Result<()> {
    let config = Config::from_args(args)?;
    let reach = Reach::above(way, &config.file, args.accept_both)?.check()?;
    reach.keep_fresh::<P>()?;
    let store = Store::open(&config.data, StoreOptions::default())
        .with_context(|| format!("cannot open the store in {}", config.data.display()))?;
    let mut options = options(&config, &reach);
    options.incarnation = store.begin_incarnation(&config.host)?;
    let (kept, fate) = Kept::open(&store, &config)?;
    let node = Node::<P>::spawn(options, Carts, kept).await?;
    if let Some(address) = config.metrics {
        metrics::serve::<P>(address, vec![node.handle().clone()])?;
    }
    say(&format!(
        "{} listens on {} in cluster {}",
        config.host,
        node.address(),
        config.cluster
    ));
    let asked = node.handle().clone();
    tokio::select! {
        heard = interrupted() => heard?,
        () = asked.left() => say("left, as it was asked to"),
        why = store::stopped::<P>(&store, fate.as_ref()) => {
            node.kill().await;
            return Err(why.into());
        }
        why = strangers(node.handle(), &config.join) => {
            node.shutdown().await;
            anyhow::bail!("{why}; nodes that keep journals of their own, each in its process, cannot \
                form one cluster: `trefoil store` serves one to all of a machine, `trefoil serve --store` uses it");
        }
    }
    say("leaving: calls in flight end, actors are put to rest, the others are told");
    shut_down(vec![node]).await
}

/// Nodes leave, all at once; whoever interrupts again does not wait for them.
///
/// # Errors
/// Signals cannot be heard, or the wait was cut short.
pub async fn shut_down<P: Platform>(nodes: Vec<Node<P>>) -> Result<()> {
    let leaving: Vec<_> = nodes
        .into_iter()
        .map(|node| task::spawn::<P, _>(node.shutdown()))
        .collect();
    tokio::select! {
        _ = futures_util::future::join_all(leaving) => Ok(()),
        heard = interrupted() => {
            heard?;
            anyhow::bail!("interrupted while leaving: what was acknowledged is in the journals")
        }
    }
}

/// Checks a file and says what it amounts to.
///
/// # Errors
/// What is wrong with the file.
pub fn check(args: &CheckConfig, way: &Way) -> Result<()> {
    let serve = Serve {
        config: Some(args.file.clone()),
        host: None,
        listen: None,
        join: Vec::new(),
        voters: Vec::new(),
        init: false,
        cluster: None,
        data: None,
        store: None,
        accept_both: false,
        metrics: None,
    };
    let config = Config::from_args(&serve)?;
    let reach = Reach::above(way, &config.file, false)?.check()?;
    let options = options(&config, &reach);
    options.check()?;
    say(&format!("host     {}", config.host));
    say(&format!("listen   {}", config.listen));
    say(&format!("cluster  {}", config.cluster));
    say(&format!("join     {}", config.join.join(", ")));
    say(&format!("voters   {}", config.voters.join(", ")));
    let channels = match (&options.channels, config.voters.is_empty()) {
        (Some(channels), _) => format!("{:?}", channels.worker.dialect),
        (None, true) => "none: nobody votes".to_owned(),
        (None, false) => "none: several vote, and share no store".to_owned(),
    };
    say(&format!("channels {channels}"));
    if !config.file.channels.foreign.nodes.is_empty() {
        let foreign = config.file.channels.foreign.nodes.join(", ");
        say(&format!("foreign  {foreign}"));
    }
    say(&format!("data     {}", config.data.display()));
    if let Some(socket) = &config.store {
        say(&format!("store    {}", socket.display()));
    }
    say(&format!("way      {}", reach.told()));
    say(&format!("hold     {:?}", options.membership.hold));
    say(&format!(
        "message  at most {} bytes",
        options.limits.frame_bytes_max
    ));
    Ok(())
}

/// Waits until a host this node was told to join keeps its journals in another store. Once this node
/// belongs to a cluster, it is the others who are strangers, and nothing ends this.
async fn strangers(node: &Handle, join: &[String]) -> String {
    let (mut mismatch, mut view) = (node.mismatch(), node.watch());
    let refused = mismatch.wait_for(|told| {
        told.as_ref().is_some_and(|told| {
            told.why.contains("TF-C12") && join.iter().any(|h| **h == *told.host)
        })
    });
    let told = tokio::select! {
        biased;
        _ = view.wait_for(|view| view.majority) => None,
        told = refused => told.ok().and_then(|told| told.clone()),
    };
    match told {
        Some(told) => format!("{}: {}", told.host, told.why),
        None => std::future::pending().await,
    }
}

/// The options a configuration amounts to.
fn options(config: &Config, reach: &Reach) -> NodeOptions {
    let mut options = NodeOptions::new(config.host.clone(), config.cluster.clone());
    options.listen = Some(config.listen.clone());
    options.join = config.join.clone();
    options.election = election(config);
    options.channels = has_channels(config).then(|| channels(config));
    reach.node(&mut options);
    apply(&config.file, &mut options);
    options
}

/// The election a configuration amounts to, if it has one.
fn election(config: &Config) -> Option<ElectionConfig> {
    if config.voters.is_empty() {
        return None;
    }
    // The seat is filled in where the node is made.
    let mut election = ElectionConfig::lan(0, &config.voters);
    election.memory = Memory::Kept {
        first: config.first,
    };
    let file = &config.file.election;
    if let Some(promise) = file.promise_ms {
        election.promise = Duration::from_millis(promise);
    }
    if let Some(epoch) = file.epoch {
        election.epoch = epoch;
    }
    if file.count_redhac_two_may_lead {
        election.redhac_votes = RedhacVotes::CountedTwoMayLead;
    }
    election.evidence = match file.evidence {
        None | Some(config::Evidence::None) => Evidence::None,
        Some(config::Evidence::Refused) => Evidence::Refused,
        Some(config::Evidence::RefusedAnywhere) => Evidence::RefusedAnywhere,
    };
    Some(election)
}

/// Whether the node has a part in channels: someone must lead, and whoever leads next must find the catalog and the
/// logs, so voters that each have a store of their own have none.
fn has_channels(config: &Config) -> bool {
    config.voters.len() == 1 || (!config.voters.is_empty() && config.store.is_some())
}

/// The channels a configuration amounts to.
fn channels(config: &Config) -> ChannelsConfig {
    let (file, mut channels) = (&config.file.channels, ChannelsConfig::default());
    let dialect = dialect(file.dialect);
    (channels.coordinator.dialect, channels.worker.dialect) = (dialect, dialect);
    let voters = config.voters.iter().filter(|voter| *voter != RETIRED);
    let expected = file.expected_nodes.unwrap_or(voters.count() as u32);
    channels.coordinator.expected_nodes = expected.max(1);
    channels.weights = file.weights.clone().into_iter().collect();
    let retention = &mut channels.worker.retention;
    retention.age = file.retain_s.map(Duration::from_secs);
    retention.bytes = file.retain_bytes;
    retention.acknowledged = file.retain_for_consumers;
    let foreign = file.foreign.nodes.iter().map(|address| ForeignNode {
        address: address.clone(),
        weight: file.weights.get(address).copied().unwrap_or(1),
    });
    channels.coordinator.foreign.nodes = foreign.collect();
    if let Some(silence) = file.foreign.silence_ms {
        channels.coordinator.foreign.silence_max = Duration::from_millis(silence);
    }
    if let Some(grace) = file.foreign.grace_ms {
        channels.coordinator.foreign.grace = Duration::from_millis(grace);
    }
    if let Some(moves) = file.moves_max {
        channels.coordinator.moves_max = moves;
    }
    channels
}

fn apply(file: &File, options: &mut NodeOptions) {
    let membership: &mut MembershipConfig = &mut options.membership;
    if let Some(hold) = file.membership.hold_ms {
        membership.hold = Duration::from_millis(hold);
    }
    if let Some(partition) = file.membership.partition {
        membership.partition = match partition {
            Partition::Majority => PartitionPolicy::KeepMajority,
            Partition::Both => PartitionPolicy::KeepBoth,
            Partition::Quorum => PartitionPolicy::KeepQuorum,
        };
    }
    if let Some(idle) = file.actors.idle_s {
        options.actors.idle_timeout = Duration::from_secs(idle);
    }
    if let Some(active) = file.actors.active_max {
        options.actors.actors_max = active;
    }
    if let Some(every) = file.actors.snapshot_every {
        options.actors.snapshot_records = every;
    }
    if let Some(bytes) = file.limits.message_bytes_max {
        options.limits.frame_bytes_max = bytes;
        if let Some(channels) = &mut options.channels {
            // What does not fit into a message that is sent on is taken off where the node is made.
            channels.worker.message_bytes_max = bytes;
        }
    }
    if let Some(calls) = file.limits.calls_max {
        options.limits.streams_max = calls;
    }
}

/// Waits for Ctrl-C or a request of the system to end.
///
/// # Errors
/// Signals cannot be heard.
pub async fn interrupted() -> Result<()> {
    signals::heard(signals::ENDS)?.recv().await;
    Ok(())
}
