//! What goes into the actor machine from above, and what comes out of it.

use crate::codes;
use crate::ring::actor::{Job, Outcome};
use crate::status::Status;
use crate::time::Instant;

/// Names one run of one job; good for one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What the layer above may ask.
#[derive(Clone, Copy, Debug)]
pub enum ActorsCommand<'a> {
    /// Mutations of an actor, wherever it is. Answered by [`ActorsEvent::Answer`].
    Apply {
        /// The caller's number, handed back with the answer.
        call: u64,
        /// An encoded `ApplyRequest`.
        request: &'a [u8],
        /// Makes the request exactly once however often it is sent. Zero counts as none.
        request_id: Option<u128>,
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// State of an actor, wherever it is. Answered by [`ActorsEvent::Answer`].
    Get {
        /// The caller's number.
        call: u64,
        /// An encoded `GetRequest`.
        request: &'a [u8],
        /// When the caller stops waiting.
        deadline: Instant,
    },
    /// A job was done. A ticket that is not the present one of its actor is counted and ignored, so
    /// a late or repeated answer does no harm.
    Ran {
        /// The job's.
        ticket: Ticket,
        /// What came of it.
        outcome: Outcome<'a>,
    },
    /// The directory learned that another node owns the id: memory goes, nothing is appended any
    /// more, and what is in flight is answered if the log proves it.
    Evict {
        /// The actor.
        id: u64,
    },
    /// Ownership is to move: what is queued is finished, a snapshot taken, the claim given up.
    Release {
        /// The actor.
        id: u64,
    },
    /// The node is leaving: like `Release` for every actor, and no other comes to life. Calls that
    /// belong to other nodes are still forwarded. Answered by [`ActorsEvent::Drained`].
    Drain,
    /// What [`Ownership::resolve`](crate::ring::ownership::Ownership::resolve) says may have changed: calls that wait for it are routed again.
    OwnershipChanged,
}

/// What the layer above is told.
#[derive(Clone, Copy, Debug)]
pub enum ActorsEvent<'a> {
    /// A command's call is over.
    Answer {
        /// The caller's number.
        call: u64,
        /// The encoded answer, or why there is none.
        result: Result<&'a [u8], Status<'a>>,
    },
    /// A job for the runtime. One at a time for each id; answered by [`ActorsCommand::Ran`], also
    /// after a panic of the user's code ([`Outcome::Failed`]).
    Run {
        /// To be handed back.
        ticket: Ticket,
        /// The actor.
        id: u64,
        /// What to do; performed by [`Stage::perform`](crate::ring::actor::Stage::perform).
        job: Job<'a>,
    },
    /// After [`ActorsCommand::Drain`]: no actor is held, and no call that came before is open.
    Drained,
}

/// Too many calls are open; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActorsBusy;

impl core::fmt::Display for ActorsBusy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(codes::BUSY)
    }
}

impl core::error::Error for ActorsBusy {}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActorsCounters {
    /// Applies that were run, those that accepted nothing included.
    pub applied: u64,
    /// Gets that were run.
    pub got: u64,
    /// Gets of actors that were never written.
    pub not_found: u64,
    /// Calls sent to another node, second tries included.
    pub forwarded: u64,
    /// Second tries of forwarded calls.
    pub retried: u64,
    /// Actors brought to life, or tried to.
    pub activations: u64,
    /// Actors lost because the log said that another owns them.
    pub fenced: u64,
    /// Actors given up because the directory said so.
    pub evicted: u64,
    /// Actors let go because nobody called them.
    pub expired: u64,
    /// Actors whose code, journal or store failed.
    pub failed: u64,
    /// Times a Get waited for the log to say that it is still this node's.
    pub proofs: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Repeated requests answered from memory, or by `TF-R07`.
    pub duplicates: u64,
    /// Repeated requests that joined the original while it was open.
    pub joined: u64,
    /// Appends whose outcome was unknown at first.
    pub unknown: u64,
    /// Times the store gave no outcome at all.
    pub store_failures: u64,
    /// Calls refused before they changed anything.
    pub refused: u64,
    /// Messages that could not be decoded, and calls that broke the unary discipline.
    pub malformed: u64,
    /// Job answers and storage outcomes nobody waited for.
    pub strays: u64,
}

/// Bugs to be planted, one at a time, for checkers that must find them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorsPlant {
    /// Answers go out before their records are durable.
    AnswerBeforeDurable,
    /// Against another owner, term and owner are copied from the log instead of raised.
    ForgetFence,
    /// A call that was forwarded is forwarded again.
    DoubleHop,
    /// An actor is brought back without the last of several records.
    ShortReplay,
    /// A Get is answered from memory, however long ago the log was seen to be this node's.
    TrustMemory,
}
