//! What an election is asked, and what it tells.

use super::token::Token;
use crate::codes;
use crate::time::{Duration, Instant};

/// What the layer above may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionCommand<'a> {
    /// Ask for the leadership now instead of when it is this voter's turn.
    Campaign,
    /// Give the leadership to a voter, by its address in the list.
    HandOver {
        /// To whom.
        to: &'a str,
    },
    /// Lead no more. Another voter may lead at once, this one too.
    StepDown,
    /// A voter's process is gone for certain: whoever says so answers for it. What was promised to it binds
    /// nobody any more.
    Dead {
        /// Which.
        voter: &'a str,
    },
    /// Take part no more: steps down first. To be given before the listener is closed, or others take a
    /// refused dial for proof while this node still leads.
    Stop,
}

/// Why a command is refused; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionRefused {
    /// This node does not lead.
    NotLeading,
    /// Nobody of that address is another voter.
    NoSuchVoter,
    /// That voter is a redhac node: what it would take over is no promise to it.
    RedhacVoter,
    /// This voter is bound to a leader, leads itself, or must still be silent.
    Bound,
    /// This node follows, and does not vote.
    NotAVoter,
    /// The vote of an earlier start has not been read yet, or this voter takes part no more.
    NotReady,
}

impl ElectionRefused {
    /// Code and message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotLeading => codes::NOT_LEADING,
            Self::NoSuchVoter => codes::NO_SUCH_VOTER,
            Self::Bound => codes::BOUND,
            Self::NotReady => codes::NOT_VOTING,
            Self::RedhacVoter => codes::REDHAC_VOTER,
            Self::NotAVoter => codes::NOT_A_VOTER,
        }
    }
}

/// What the layer above is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionEvent<'a> {
    /// This node leads until `until`, by its own clock, unless told otherwise. Told anew whenever the
    /// lease grows.
    Leading {
        /// The fencing token: whoever writes in the name of this leadership carries it.
        token: Token,
        /// The end of the lease.
        until: Instant,
    },
    /// Another voter leads, as far as this node knows.
    Following {
        /// Its address.
        leader: &'a str,
        /// Its token.
        token: Token,
    },
    /// This node knows of no leader, and does not lead itself.
    Leaderless,
    /// A peer broke the protocol, or means another electorate.
    Misbehaved {
        /// Who, if it is a voter.
        voter: Option<&'a str>,
        /// What it did.
        what: &'static str,
    },
    /// This voter takes no part: the electorate it was configured with must not follow the one it kept. Where
    /// it only stayed behind (`TF-E13`, `TF-E15`) it does so once a voter of that electorate asks it something.
    ElectorateRefused {
        /// The code, and which rule of [`electorate`](super::electorate) does not hold.
        why: &'static str,
    },
    /// This voter has lost its memory, and is silent until then.
    Forgetful {
        /// When it takes part.
        until: Instant,
    },
    /// This node takes part no more, as it was told to: all that it had asked of other voters of ours, its heir
    /// among them, was heard by them, or a promise has passed. What runs it may end.
    Stopped,
}

/// What this node is in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It leads, until its lease ends.
    Leading {
        /// Its token.
        token: Token,
        /// The end of its lease.
        until: Instant,
    },
    /// It follows a voter, by number in the list.
    Following {
        /// Whom.
        leader: super::Seat,
        /// The leader's token.
        token: Token,
    },
    /// It knows of no leader.
    Leaderless,
}

/// What another voter is, as far as the stream shows that this node opened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kin {
    /// No stream stands, or nothing came on it yet.
    #[default]
    Unknown,
    /// A node of ours: it said so when it answered.
    Ours,
    /// One of redhac's: it said nothing of itself.
    Redhac,
}

/// Another voter as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour<'a> {
    /// Its address in the list.
    pub addr: &'a str,
    /// Whether it has answered on a stream that stands.
    pub connected: bool,
    /// Whether it is one of ours.
    pub kin: Kin,
    /// The newest round trip.
    pub round_trip: Option<Duration>,
}

/// What an election did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElectionCounters {
    /// Leaderships of this node.
    pub leaderships: u64,
    /// Campaigns that got as far as asking for votes.
    pub campaigns: u64,
    /// Polls before a campaign.
    pub polls: u64,
    /// Requests sent, renewals included.
    pub requests: u64,
    /// Requests granted.
    pub grants: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Votes kept.
    pub votes: u64,
    /// Streams to other voters that were opened.
    pub streams: u64,
    /// Streams given up because nothing was answered on them.
    pub timeouts: u64,
    /// Messages that broke the protocol.
    pub misbehaved: u64,
}

/// Bugs to be planted, one at a time, for checkers that must find them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionPlant {
    /// A bug of the elector.
    Elector(super::elector::Plant),
    /// A request is sent on a stream where another of the same token is unanswered, and what comes
    /// answers the newest.
    TwoOutstanding,
    /// What is kept is believed durable at once.
    SayBeforeKept,
    /// A leader asks once and not again.
    NeverRenews,
    /// A stream that was lost is not opened again.
    NeverRedials,
    /// Whatever electorate is configured is taken.
    AnyElectorate,
    /// An epoch is left without having had a leader, and joined without waiting for one.
    Unsettled,
    /// Voters of different epochs hear each other.
    AnyEpoch,
    /// A voter may open as many streams as it likes.
    NoSurplus,
    /// A token may be as far ahead as it likes.
    AnyToken,
}
