//! What an operator may set about the coordinator.

use alloc::string::String;
use core::fmt;

use super::foreign::{ForeignConfig, ForeignNode};
use super::meta;
use crate::channels::backoff::Backoff;
use crate::channels::dialect::Dialect;
use crate::time::Duration;

/// Channels a coordinator may have at most: its tags have room for no more.
pub const CHANNELS_MAX: u32 = 1 << 20;

/// What keeps a former owner from writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fencing {
    /// The log compares the term of every append: once a node has opened a channel at a term, nobody writes under a
    /// lower one, whatever he believes. The removal of a node that is gone from the membership is skipped at
    /// once, and one that is not answered is given up in time.
    #[default]
    AtTheLog,
    /// Nothing but the node itself, which stops in time when it cannot renew its membership. A node that is
    /// gone from the membership may live and write: its removal counts as done only after `grace`, and a removal
    /// that is not answered is never given up.
    None {
        /// How long a node may write after it is gone from the membership: its lease, and a margin for the
        /// clocks. Shorter, and two nodes write at once (Milvus #53368).
        grace: Duration,
    },
}

impl Fencing {
    /// How long a node may write after it is gone; none if the log keeps it from that.
    pub(super) const fn grace(self) -> Option<Duration> {
        match self {
            Self::AtTheLog => None,
            Self::None { grace } => Some(grace),
        }
    }
}

/// Settings of a coordinator.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// The dialect that is spoken, and whose names the keys of the catalog have.
    pub dialect: Dialect,
    /// How the keys of the catalog begin.
    pub root: String,
    /// What this node calls itself where it is asked how it is.
    pub server_id: i64,
    /// What keeps a former owner from writing.
    pub fencing: Fencing,
    /// Nodes that are no members and may have channels all the same.
    pub foreign: ForeignConfig,
    /// Nodes that are waited for before channels are given a place for the first time under a leadership. Too few,
    /// and the first nodes that come get everything.
    pub expected_nodes: u32,
    /// How long they, and the nodes that have channels by the catalog, are waited for.
    pub first_wait: Duration,
    /// How long one attempt of a call may take. Then the same is asked again, at the same term. A node of this library
    /// joins what it is doing already; one of Milvus stops opening when its caller stops waiting, and is to be given
    /// as long as an opening may take.
    pub attempt_timeout: Duration,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// How long a removal that is not answered is waited for, and for which a node that is drained may take to let its
    /// channels go. Then the channel is opened elsewhere without it. Only where the log fences.
    pub remove_timeout: Duration,
    /// How long a node may say that a term is out of date, after an attempt whose outcome is not known, before
    /// that is believed: it may be opening it.
    pub doubt_max: Duration,
    /// Channels that are on the move at once for the sake of balance: so many are away for an opening at a time. What
    /// has no node, or must leave it, is not counted.
    pub moves_max: u32,
    /// How long a channel stays where it is after a move before balance may move it again. That a channel's new owner
    /// has much to read first is no reason to wait longer: an opening reads what
    /// [`dedupe_records`](crate::channels::worker::WorkerConfig::dedupe_records) says and no more, and a node tells
    /// nothing of a lag on this wire.
    pub move_interval: Duration,
    /// How much a move must gain, in percent of what is moved: see
    /// [`Pace::worth_percent`](crate::channels::balance::Pace::worth_percent).
    pub worth_percent: u32,
    /// How long a change waits before clients are told, so that others may join it. The wait grows while changes
    /// follow each other, up to `push_delay_max`.
    pub push_delay: Duration,
    /// The longest such wait.
    pub push_delay_max: Duration,
    /// Channels, at some 400 bytes each and their names. More are refused.
    pub channels_max: u32,
    /// Nodes, those that are gone included while they are remembered, at some 200 bytes each.
    pub nodes_max: u32,
    /// Clients that watch, at some 40 bytes each here besides what their streams take. More are refused.
    pub watchers_max: u32,
    /// Calls to one node at once; others to it wait their turn. A node that does not answer takes no more than this
    /// of what the streams of all are bounded by.
    pub calls_per_node_max: u32,
    /// Writes and reads of the catalog at once. Few, and a fail-over of many channels waits for the store's round
    /// trips; many, and the store's own queue must have room for them.
    pub writes_max: u32,
    /// Bytes of one page of the catalog when a leadership begins: so much is held in memory, and each page is a round
    /// trip.
    pub page_bytes: u32,
    /// Seeds the jitter.
    pub seed: u64,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Seed,
            root: String::from("by-dev/meta"),
            server_id: -1,
            fencing: Fencing::AtTheLog,
            foreign: ForeignConfig::default(),
            expected_nodes: 1,
            first_wait: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
            remove_timeout: Duration::from_secs(10),
            doubt_max: Duration::from_secs(30),
            moves_max: 3,
            move_interval: Duration::from_secs(300),
            worth_percent: 25,
            push_delay: Duration::from_millis(5),
            push_delay_max: Duration::from_millis(250),
            channels_max: 100_000,
            nodes_max: 2_048,
            watchers_max: 8_192,
            calls_per_node_max: 256,
            writes_max: 1_024,
            page_bytes: 256 << 10,
            seed: 0,
        }
    }
}

/// A rule of [`CoordinatorConfig`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorConfigError {
    /// A number or a time is zero.
    Zero(&'static str),
    /// More than [`CHANNELS_MAX`] channels.
    TooManyChannels,
    /// The longest of some waits is shorter than the shortest.
    Waits(&'static str),
    /// The keys of the catalog begin with nothing.
    NoRoot,
    /// A node of another make without a name, or two at one address.
    Foreign,
}

impl fmt::Display for CoordinatorConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(name) => write!(f, "{name} must not be zero"),
            Self::TooManyChannels => write!(f, "channels_max must not exceed {CHANNELS_MAX}"),
            Self::Waits(name) => write!(f, "the longest {name} must not be below the shortest"),
            Self::NoRoot => f.write_str("the keys of the catalog must begin with something"),
            Self::Foreign => f.write_str(
                "each node of another make must have an address of its own, of 1 to 256 bytes",
            ),
        }
    }
}

impl core::error::Error for CoordinatorConfigError {}

impl CoordinatorConfig {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), CoordinatorConfigError> {
        for (name, value) in [
            ("channels_max", self.channels_max),
            ("nodes_max", self.nodes_max),
            ("watchers_max", self.watchers_max),
            ("calls_per_node_max", self.calls_per_node_max),
            ("writes_max", self.writes_max),
            ("page_bytes", self.page_bytes),
        ] {
            if value == 0 {
                return Err(CoordinatorConfigError::Zero(name));
            }
        }
        for (name, value) in [
            ("attempt_timeout", self.attempt_timeout),
            ("backoff.min", self.backoff.min),
            ("push_delay", self.push_delay),
            ("foreign.probe_interval", self.foreign.probe_interval),
        ] {
            if value.is_zero() {
                return Err(CoordinatorConfigError::Zero(name));
            }
        }
        if self.channels_max > CHANNELS_MAX {
            return Err(CoordinatorConfigError::TooManyChannels);
        }
        if self.backoff.max < self.backoff.min {
            return Err(CoordinatorConfigError::Waits("backoff"));
        }
        if self.push_delay_max < self.push_delay {
            return Err(CoordinatorConfigError::Waits("push_delay"));
        }
        if self.foreign.silence_max < self.foreign.probe_interval {
            return Err(CoordinatorConfigError::Waits("silence"));
        }
        let nodes = &self.foreign.nodes;
        let is_wrong = |(at, node): (usize, &ForeignNode)| {
            let is_double = nodes[..at]
                .iter()
                .any(|other| other.address == node.address);
            is_double || !meta::is_name(&node.address)
        };
        if nodes.iter().enumerate().any(is_wrong) {
            return Err(CoordinatorConfigError::Foreign);
        }
        if self.root.is_empty() {
            return Err(CoordinatorConfigError::NoRoot);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds_and_each_rule_can_fail() {
        assert_eq!(CoordinatorConfig::default().check(), Ok(()));
        let broken = |change: fn(&mut CoordinatorConfig)| {
            let mut config = CoordinatorConfig::default();
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(
            broken(|c| c.nodes_max = 0),
            CoordinatorConfigError::Zero("nodes_max")
        );
        assert_eq!(
            broken(|c| c.push_delay = Duration::ZERO),
            CoordinatorConfigError::Zero("push_delay")
        );
        assert_eq!(
            broken(|c| c.channels_max = CHANNELS_MAX + 1),
            CoordinatorConfigError::TooManyChannels
        );
        assert_eq!(
            broken(|c| c.backoff.max = Duration::from_millis(1)),
            CoordinatorConfigError::Waits("backoff")
        );
        assert_eq!(
            broken(|c| c.push_delay_max = Duration::from_millis(1)),
            CoordinatorConfigError::Waits("push_delay")
        );
        assert_eq!(broken(|c| c.root.clear()), CoordinatorConfigError::NoRoot);
        assert_eq!(
            broken(|c| c.foreign.silence_max = Duration::from_millis(1)),
            CoordinatorConfigError::Waits("silence")
        );
        let foreign = |address: &str| ForeignNode {
            address: String::from(address),
            weight: 1,
        };
        for nodes in [
            alloc::vec![foreign("a:1"), foreign("a:1")],
            alloc::vec![foreign("")],
        ] {
            let config = CoordinatorConfig {
                foreign: ForeignConfig {
                    nodes,
                    ..ForeignConfig::default()
                },
                ..CoordinatorConfig::default()
            };
            assert_eq!(config.check(), Err(CoordinatorConfigError::Foreign));
        }
    }
}
