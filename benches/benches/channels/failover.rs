//! Fail-over of many channels by the clock on the wall: three nodes in this process, a thread and sockets each, one
//! store, and a client that watches. One node is stopped without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use trefoil_benches::{free_host, is_test};
use trefoil_runtime_tokio::{
    ChannelClient, ChannelOperator, Client, ClientOptions, Node, Platform, Tokio, task,
};
use trefoil_store::{Durability, Store, StoreOptions};

use crate::argument;
use crate::node::{PATIENCE, start};

const NODES: usize = 3;

/// Which node is stopped, and how the others learn of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// One that does not lead; the leader is told at once.
    Told,
    /// One that does not lead; nobody is told.
    Untold,
    /// The one that leads and coordinates; nobody is told.
    Leader,
}

impl Loss {
    const fn name(self) -> &'static str {
        match self {
            Self::Told => "a node lost, declared down",
            Self::Untold => "a node lost, found out",
            Self::Leader => "the leader lost",
        }
    }
}

/// What a client saw of a loss.
struct Seen {
    /// Until the first of the lost channels had left the assignment, or was elsewhere.
    noticed: Duration,
    /// Until each of the lost channels was elsewhere, in order.
    placed: Vec<Duration>,
    /// Assignments that were pushed meanwhile.
    pushes: u32,
}

pub(crate) fn all() {
    // A third of them is lost.
    let (mut counts, rounds) = if is_test() {
        (vec![30, 60], 1)
    } else {
        (vec![1_000, 10_000], 5)
    };
    if let Some(count) = argument("--channels") {
        counts = vec![count.parse().expect("a number of channels")];
    }
    for count in counts {
        for durability in [Durability::Fdatasync, Durability::None] {
            for loss in [Loss::Told, Loss::Untold, Loss::Leader] {
                let each = (0..rounds).map(|_| {
                    let seen = Tokio::run(lose(count, durability, loss));
                    seen.expect("a runtime")
                });
                let each: Vec<Seen> = each.collect();
                println!(
                    "{count} channels, {durability:?}, {}: {}",
                    loss.name(),
                    Report(&each)
                );
            }
        }
    }
}

/// What some losses of a kind had in common.
struct Report<'a>(&'a [Seen]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = |of: fn(&Seen) -> Duration| {
            let mut values: Vec<Duration> = self.0.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2].as_secs_f64() * 1e3
        };
        let pushes: u32 = self.0.iter().map(|seen| seen.pushes).sum();
        write!(
            f,
            "noticed after {:.0} ms, {} elsewhere after p50 {:.0}, p99 {:.0}, all {:.0} ms, {} pushes (medians of {})",
            median(|seen| seen.noticed),
            self.0[0].placed.len(),
            median(|seen| at_of(seen, 50)),
            median(|seen| at_of(seen, 99)),
            median(|seen| at_of(seen, 100)),
            pushes / self.0.len() as u32,
            self.0.len()
        )
    }
}

fn at_of(seen: &Seen, percent: usize) -> Duration {
    seen.placed[(seen.placed.len() - 1) * percent / 100]
}

/// Where the store of one cluster is.
struct Disk(PathBuf);

impl Disk {
    fn new() -> Self {
        let name = format!("channels-failover-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One cluster from its start to the loss of a node and the placement of all that it had.
async fn lose(count: usize, durability: Durability, loss: Loss) -> Seen {
    let disk = Disk::new();
    let options = StoreOptions {
        durability,
        ..StoreOptions::default()
    };
    let store = match durability {
        Durability::Fdatasync => Store::open(&disk.0, options),
        Durability::None => Store::in_memory(options),
    };
    let store = store.expect("a store");
    let hosts: Vec<String> = (0..NODES).map(|_| free_host()).collect();
    let mut nodes = Vec::new();
    for at in 0..NODES {
        nodes.push(start(at, &hosts, &store).await);
    }
    let client = Client::start(ClientOptions::to(&hosts)).expect("a client");
    let operator = ChannelOperator::new(client, PATIENCE);
    let client = ChannelClient::start(ClientOptions::to(&hosts)).expect("a client");
    let mut map = client.watch().await.expect("a client");
    let end = Instant::now() + PATIENCE;
    loop {
        // A leader that is lost in the middle takes with it what it had not written, answered or not.
        create(&operator, count).await;
        let whole = map.wait_for(|map| map.channels.len() == count);
        let whole = task::timeout::<Tokio, _>(PATIENCE / 6, whole)
            .await
            .is_some();
        if whole {
            break;
        }
        let seen = map.borrow().channels.len();
        if Instant::now() > end {
            panic!("{seen} are seen; {}", summary(&operator).await);
        }
    }

    let leads = |node: &Node| node.handle().election().is_some_and(|it| it.is_leader());
    let leader = nodes.iter().position(leads).expect("a leader");
    let victim = if loss == Loss::Leader {
        leader
    } else {
        (leader + 1) % NODES
    };
    let lost: BTreeMap<String, i64> = map
        .borrow_and_update()
        .channels
        .iter()
        .filter(|(_, placed)| *placed.host == *hosts[victim])
        .map(|(name, placed)| (name.clone(), placed.term))
        .collect();
    let handle = nodes[leader].handle().clone();
    nodes.remove(victim).kill().await;

    let begun = Instant::now();
    if loss == Loss::Told {
        handle.declare_down(&hosts[victim]).await.expect("a leader");
    }
    let mut waiting: BTreeSet<&String> = lost.keys().collect();
    let mut seen = Seen {
        noticed: Duration::ZERO,
        placed: Vec::with_capacity(lost.len()),
        pushes: 0,
    };
    while !waiting.is_empty() {
        let changed = task::timeout::<Tokio, _>(PATIENCE, map.changed()).await;
        changed
            .expect("channels that are placed")
            .expect("a client");
        let now = begun.elapsed();
        let map = map.borrow_and_update();
        seen.pushes += 1;
        let is_lost = |name: &&String| match map.channels.get(*name) {
            Some(placed) => placed.term == lost[*name],
            None => false,
        };
        if seen.noticed.is_zero() && !waiting.iter().all(is_lost) {
            seen.noticed = now;
        }
        waiting.retain(|name| {
            let placed = map.channels.get(*name);
            let is_placed = placed.is_some_and(|placed| placed.term > lost[*name]);
            if is_placed {
                seen.placed.push(now);
            }
            !is_placed
        });
    }
    for node in nodes {
        node.kill().await;
    }
    seen
}

/// Makes channels, those that are not there, by requests of a few each.
async fn create(operator: &ChannelOperator, count: usize) {
    const SOME: usize = 500;
    let names: Vec<String> = (0..count).map(|at| format!("by-dev-dml_{at}")).collect();
    for names in names.chunks(SOME) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        operator.create(&names).await.expect("channels");
    }
}

/// How many channels are in which state, and why: for those who wonder why something never came.
async fn summary(operator: &ChannelOperator) -> String {
    let listed = operator.list().await.expect("a coordinator");
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for channel in &listed.channels {
        let host = channel.host.as_deref().unwrap_or("nowhere");
        let state = format!(
            "{} {host} {} {}",
            channel.state, channel.waits, channel.reason
        );
        *states.entry(state).or_default() += 1;
    }
    format!(
        "{} are there: {states:?}; {:?}",
        listed.channels.len(),
        listed.nodes
    )
}
