//! What a coordinator is asked, and what it tells.

use core::fmt;

use super::meta::{Incarnation, State};
use crate::channels::balance::Reason;
use crate::codes;
use crate::time::Instant;

/// What the layer above may ask, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorCommand<'a> {
    /// This node leads under a token of the election.
    Lead {
        /// The fencing token: greater than that of every leadership before.
        token: u64,
    },
    /// This node leads no more.
    StepDown,
    /// Who leads instead, as far as is known; clients that ask here are told.
    LeaderIs {
        /// Its address; none if nobody is known to lead.
        address: Option<&'a str>,
    },
    /// A node lives that takes channels. Of one address the newest life counts: earlier ones are over.
    NodeUp {
        /// Its incarnation.
        server_id: i64,
        /// Where it is dialled.
        address: &'a str,
        /// Its share of the channels; one of weight 0 gets none.
        weight: u32,
    },
    /// A node is stopping: its channels go elsewhere, as if it were drained.
    NodeStopping {
        /// Its incarnation.
        server_id: i64,
    },
    /// A node is to give up its channels, one by one; those that it has not let go by the deadline are opened
    /// elsewhere without it, where the log fences.
    Drain {
        /// Where it is dialled.
        address: &'a str,
        /// When it must have let its channels go; `remove_timeout` from now if not said.
        deadline: Option<Instant>,
    },
    /// A node that was to give up its channels may have some again. Of one that is stopping it is refused.
    Undrain {
        /// Where it is dialled.
        address: &'a str,
    },
    /// A node is gone from the membership.
    NodeGone {
        /// Its incarnation.
        server_id: i64,
    },
    /// A node is to have another share.
    Weight {
        /// Where it is dialled.
        address: &'a str,
        /// Its share.
        weight: u32,
    },
    /// What a channel costs its node, in any unit that all channels share: records a second, say, or bytes. It is 1
    /// until this is said, and again under the next leadership, so whoever measures says it again when
    /// [`CoordinatorEvent::Serving`] is told. One that is said of some channels only counts against 1 of the others.
    ///
    /// Nodes cannot say it themselves: a `CollectStatus` of this wire is answered by an empty message.
    Load {
        /// Its name.
        channel: &'a str,
        /// What it costs; 0 counts as 1.
        load: u32,
    },
    /// A channel is to be there. It is when [`CoordinatorEvent::Created`] is told.
    Create {
        /// Its name.
        channel: &'a str,
    },
    /// A channel is to be on a node.
    Move {
        /// Its name.
        channel: &'a str,
        /// Where the node is dialled.
        to: &'a str,
    },
    /// A channel that was stopped by an error is tried again.
    Retry {
        /// Its name.
        channel: &'a str,
    },
}

/// Why a command is refused; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorRefused {
    /// This node does not lead, or has not read the catalog yet.
    NotLeading,
    /// The token is not above that of the last leadership of this node, or is no token.
    Token,
    /// There is no such channel.
    NoSuchChannel,
    /// No node of that address, or of that incarnation, is known to live.
    NoSuchNode,
    /// The node is stopping.
    NodeStops,
    /// The channel is there already.
    ChannelExists,
    /// A limit is reached.
    TooMany,
    /// A name is empty or too long, or a server id is not positive, or known at another address.
    Name,
}

impl CoordinatorRefused {
    /// Code and message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotLeading => codes::NOT_COORDINATOR,
            Self::Token => codes::TOKEN_NOT_GREATER,
            Self::NoSuchChannel => codes::NO_SUCH_CHANNEL,
            Self::NoSuchNode => codes::NO_SUCH_NODE,
            Self::NodeStops => codes::NODE_STOPS,
            Self::ChannelExists => codes::CHANNEL_EXISTS,
            Self::TooMany => codes::COORDINATOR_FULL,
            Self::Name => codes::BAD_NAME,
        }
    }
}

impl fmt::Display for CoordinatorRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for CoordinatorRefused {}

/// What the layer above is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorEvent<'a> {
    /// The catalog is fenced and read: from now on commands are served.
    Serving {
        /// Under which token.
        token: u64,
        /// Channels it has.
        channels: u32,
    },
    /// This node cannot coordinate under its token, and has stepped down: it should give up the leadership.
    Lost {
        /// Code and message.
        why: &'static str,
    },
    /// A channel that was asked for is in the catalog: from now on no change of the leader loses it.
    Created {
        /// Its name.
        channel: &'a str,
    },
    /// A channel is where it is to be.
    Assigned {
        /// Its name.
        channel: &'a str,
        /// Its term.
        term: i64,
        /// Its node.
        node: &'a Incarnation,
    },
    /// A channel is not where it was any more.
    Unassigned {
        /// Its name.
        channel: &'a str,
        /// The term that is over.
        term: i64,
    },
    /// A channel is stopped by an error that asking again does not mend.
    Stopped {
        /// Its name.
        channel: &'a str,
        /// What was said.
        why: &'a str,
    },
    /// A value of the catalog is no meta of a channel, and is left alone.
    Damaged {
        /// Its key.
        key: &'a [u8],
    },
    /// A node that was to give up its channels has none.
    Drained {
        /// Which.
        node: &'a Incarnation,
    },
}

/// Why a channel is not assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It is assigned.
    Nothing,
    /// No node takes channels, or the first ones are waited for.
    ForNode,
    /// The catalog is being written or read.
    ForCatalog,
    /// A former owner is to let it go.
    ForRemoval,
    /// A former owner that is gone may still write, for a while.
    ForGrace,
    /// Its node is opening it.
    ForOpening,
    /// The last attempt failed, and the next one is due later.
    ForNextAttempt,
    /// The last attempt failed, and there is no next one until something changes.
    Stopped,
}

/// A channel, to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its term, as the catalog has it.
    pub term: i64,
    /// How far it is: `Assigned` only if [`node`](Self::node) has opened it.
    pub state: State,
    /// Its node, or the one it is on its way to.
    pub node: Option<&'a Incarnation>,
    /// Former owners whose removal is not known to be complete.
    pub histories: usize,
    /// Whether the catalog has it: no change of the leader loses it.
    pub is_created: bool,
    /// Why it is not assigned.
    pub waits: Waits,
    /// What went wrong last, if it is not assigned.
    pub reason: &'a str,
    /// What it costs its node, as far as was said.
    pub load: u32,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Since when it is assigned, or is not.
    pub since: Instant,
}

/// A node, to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeView<'a> {
    /// Which.
    pub node: &'a Incarnation,
    /// Its share.
    pub weight: u32,
    /// Whether it is to give up its channels.
    pub drains: bool,
    /// Whether it lives, as far as is known.
    pub lives: bool,
}

/// A step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedMove<'a> {
    /// Which channel.
    pub channel: &'a str,
    /// Where it is.
    pub from: Option<&'a Incarnation>,
    /// Where it would be.
    pub to: &'a Incarnation,
    /// Why.
    pub reason: Reason,
}

/// What a coordinator has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorCounters {
    /// Leaderships that got as far as serving.
    pub leaderships: u64,
    /// Writes of channels to the catalog that were durable.
    pub writes: u64,
    /// Calls to open a channel.
    pub assigns: u64,
    /// Calls to let one go.
    pub removes: u64,
    /// Removals that were given up, or skipped because the node was gone.
    pub removals_skipped: u64,
    /// Plans made of which channel goes where.
    pub plans: u64,
    /// Channels given to another node for the sake of balance.
    pub moves: u64,
    /// Reports that were news.
    pub reports: u64,
    /// Reports that were not.
    pub reports_stale: u64,
    /// Times a client was sent the assignment.
    pub pushes: u64,
    /// Versions of the assignment.
    pub versions: u64,
}

/// A bug that is planted, so that a checker can be seen to find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorPlant {
    /// One in the ledger of every channel.
    Ledger(super::ledger::LedgerPlant),
    /// An attempt that times out is followed by a new term.
    TimeoutBurnsTerm,
    /// The removal of a node that is gone counts as done though nothing fences it.
    GoneIsRemoved,
    /// Versions begin with the number of the node and not with the token.
    NumberedByNode,
    /// Nothing is moved for the sake of balance.
    NeverBalances,
    /// Everything is moved for the sake of balance at once.
    NoThrottle,
    /// A call that is not answered is not made again.
    AsksOnce,
}
