//! What a membership is asked and what it tells.

use crate::id::NodeId;
use crate::time::{Duration, WallClock};

/// What a membership may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipCommand<'a> {
    /// What the clock on the wall says; `Ping` answers carry it. Until it is told they carry 0.
    Wall(WallClock),
    /// Whether this side hears a quorum of voters; it counts where the partition policy is to follow it.
    Quorum(bool),
    /// Says goodbye to all members. [`MembershipEvent::Left`] follows, within `leave_timeout`. From
    /// then on this node probes nobody and is told of to nobody; it still answers.
    Leave,
    /// Looks into a host somebody spoke of: admitted if it answers.
    Verify {
        /// Its host string.
        host: &'a str,
    },
    /// A host is dead: dropped at once, and others are told. It comes back by a new start.
    Down {
        /// Its host string.
        host: &'a str,
    },
    /// Adds a seed: pinged again for ever while it is no member.
    Join {
        /// Its host string.
        host: &'a str,
    },
}

/// Why a membership refuses a command; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipRefused {
    /// The host string is empty or too long.
    NoHost,
    /// The host is this node.
    Own,
    /// No member of this name is known.
    Unknown,
    /// `candidates_max` hosts wait for their answers, or the address book is full.
    Full,
    /// This node is leaving.
    Leaving,
}

/// Why a member is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownReason {
    /// It said that it goes.
    Closed,
    /// Nobody reaches it.
    Failed,
    /// It has been started anew; an `Up` follows. Whatever its process held is gone.
    Restarted,
    /// It was declared dead by command.
    Declared,
}

/// What a membership tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipEvent<'a> {
    /// A host is a member. Never told of this node itself.
    Up {
        /// Its number.
        node: NodeId,
        /// Its host string.
        host: &'a str,
        /// Its start, as it counts them; 0 if it does not say.
        incarnation: u64,
        /// Whether it speaks the wire without our metadata.
        legacy: bool,
    },
    /// Nobody reaches a member; it is removed after the hold.
    Suspected {
        /// Its number.
        node: NodeId,
    },
    /// A suspect is there after all.
    Cleared {
        /// Its number.
        node: NodeId,
    },
    /// A member goes in good order; its `Down` follows at once.
    Draining {
        /// Its number.
        node: NodeId,
    },
    /// A host is no member any more.
    Down {
        /// Its number.
        node: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// Whether this side may own anything; told at the start and at every change.
    Majority(bool),
    /// This node has said goodbye.
    Left,
    /// A caller or peer broke the protocol.
    Misbehaved {
        /// Who, if it said so.
        node: Option<NodeId>,
        /// What it did.
        what: &'static str,
    },
}

/// What this node thinks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It answers.
    Alive,
    /// Nobody reaches it.
    Suspect,
    /// It is leaving; of this node itself.
    Draining,
}

impl State {
    /// The state in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
        }
    }
}

/// A member, this node included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its number.
    pub node: NodeId,
    /// Its host string.
    pub host: &'a str,
    /// What this node thinks of it.
    pub state: State,
    /// Its start, as it counts them; 0 if it does not say.
    pub incarnation: u64,
    /// Whether it speaks the wire without our metadata.
    pub legacy: bool,
    /// How long the last ping that was answered took; none of this node itself.
    pub round_trip: Option<Duration>,
}
