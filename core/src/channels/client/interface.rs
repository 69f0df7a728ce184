//! What a client is asked, and what it tells.

use trefoil_proto::streaming::StreamingNodeAssignment;
use trefoil_proto::wire::Repeated;

use crate::channels::failure::Failure;
use crate::channels::messages::Properties;
use crate::channels::open::{Filter, Policy};
use crate::codes;
use crate::id::NodeId;
use crate::time::Duration;

/// The number a caller gives to a producer or a consumer; both share them. Free again after
/// [`ClientEvent::Closed`].
pub type Key = u64;

/// What the layer above may ask.
#[derive(Clone, Copy, Debug)]
pub enum ClientCommand<'a> {
    /// Watch where the channels are. Opening a producer or a consumer does so too.
    Watch,
    /// Open a producer. It stays, over losses of nodes and coordinators, until it is closed.
    OpenProducer {
        /// Its number.
        key: Key,
        /// The channel.
        channel: &'a str,
        /// How long a record may wait for its answer; for ever if absent.
        timeout: Option<Duration>,
        /// Whether what is sent twice is kept once.
        dedupe: Option<Dedupe<'a>>,
    },
    /// Append a record. Records of one producer are numbered in the order they are given, from 1 or from
    /// [`Dedupe::sequence`]; answers come in any order.
    Produce {
        /// The producer.
        key: Key,
        /// The record; not empty.
        payload: &'a [u8],
        /// Its properties, `_t` and `_v` among them, which every node asks for. Values are text.
        properties: &'a [(&'a str, &'a [u8])],
    },
    /// Take no more records, wait for the answers that are owed, say so to the node and wait for its last
    /// word.
    CloseProducer {
        /// The producer.
        key: Key,
    },
    /// Open a consumer. It stays, over losses of nodes and coordinators, until it is closed.
    OpenConsumer {
        /// Its number.
        key: Key,
        /// The channel.
        channel: &'a str,
        /// From where. Later streams begin behind what was acknowledged.
        policy: Policy<'a>,
        /// Which records; at most 16.
        filters: &'a [Filter<'a>],
    },
    /// All records of a consumer up to this one were handled.
    Acknowledge {
        /// The consumer.
        key: Key,
        /// The last of them, as [`ClientEvent::Record`] numbered it.
        delivery: u64,
    },
    /// Take no more records.
    CloseConsumer {
        /// The consumer.
        key: Key,
    },
    /// Close everything, the watch last.
    Stop,
}

/// How a producer's records are told apart, so that one that was sent again is kept once.
///
/// Every record carries the properties `_tp` and `_ts`. Our nodes drop a record whose pair they have among the
/// last ones of the channel, and answer with the id of the first. Other servers keep both, and all: there a
/// record is appended at least once, whatever is asked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedupe<'a> {
    /// Who the producer is: 1 to 64 bytes of text. Two that live at once, or one after another with the same
    /// numbers, take each other's records for their own.
    pub producer: &'a str,
    /// The number of the first record: 1 for a name never used before.
    pub sequence: u64,
}

/// Why a command is refused; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRefused {
    /// Too many producers and consumers, or too much is not answered: [`ClientEvent::Room`] follows.
    Busy,
    /// The record, or what opens a consumer, has too many bytes.
    TooLarge,
    /// No producer, or no consumer, has that number; or it was closed.
    NoSuchKey,
    /// The number is taken.
    KeyTaken,
    /// A name, a property, a filter or a number cannot be.
    Invalid,
    /// The client is stopping.
    Stopping,
}

impl ClientRefused {
    /// Code and message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Busy => codes::BUSY,
            Self::TooLarge => codes::RECORD_TOO_LARGE,
            Self::NoSuchKey => codes::NO_SUCH_SESSION,
            Self::KeyTaken => codes::SESSION_EXISTS,
            Self::Invalid => codes::NOT_A_RECORD,
            Self::Stopping => codes::CLIENT_STOPPING,
        }
    }
}

/// What the layer above is told.
#[derive(Clone, Copy, Debug)]
pub enum ClientEvent<'a> {
    /// Where the channels are, all of them. Versions grow.
    Assignment {
        /// The version: which leadership of the coordinators, and which of its changes.
        version: (i64, i64),
        /// By node. Looked through: no element is an error.
        assignments: Repeated<'a, StreamingNodeAssignment<'a>>,
    },
    /// A stream of a producer or a consumer is open. Told anew after every [`Interrupted`](Self::Interrupted).
    Opened {
        /// Which.
        key: Key,
        /// The term of the channel.
        term: i64,
    },
    /// A stream was lost, refused or given up. Another is opened without being asked.
    Interrupted {
        /// Which.
        key: Key,
        /// Why.
        failure: Failure<'a>,
    },
    /// A record was appended.
    Produced {
        /// The producer.
        key: Key,
        /// Which of its records.
        sequence: u64,
        /// Where it stands; opaque.
        id: &'a [u8],
    },
    /// A record is given up.
    ProduceFailed {
        /// The producer.
        key: Key,
        /// Which of its records.
        sequence: u64,
        /// Why.
        failure: Failure<'a>,
        /// Whether it is certain that the record was not appended. If not, it may have been.
        is_certain: bool,
    },
    /// A producer that was [`Busy`](ClientRefused::Busy) has room again.
    Room {
        /// The producer.
        key: Key,
    },
    /// A record of a consumer, in the order of time ticks, each once.
    Record {
        /// The consumer.
        key: Key,
        /// Counts the records of this consumer from 1: by it they are acknowledged.
        delivery: u64,
        /// Where it stands; opaque.
        id: &'a [u8],
        /// Its time tick, if it has one.
        time_tick: Option<u64>,
        /// The record.
        payload: &'a [u8],
        /// Its properties, those of the protocol too.
        properties: Properties<'a>,
    },
    /// A producer or a consumer is gone; its number is free.
    Closed {
        /// Which.
        key: Key,
        /// Why, if not because it was closed and all was well.
        failure: Option<Failure<'a>>,
    },
    /// A peer said what nobody may say. It was passed over, or the stream was left.
    Misbehaved {
        /// The peer.
        node: NodeId,
        /// What it did.
        why: &'static str,
    },
    /// Nothing is open any more.
    Stopped,
}

/// A bug that is planted, so that a checker can be seen to find it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPlant {
    /// What was delivered before a stream was lost is delivered again.
    DeliversAgain,
}

/// What a client counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounters {
    /// Records appended.
    pub produced: u64,
    /// Records given up.
    pub failed: u64,
    /// Records sent more than once.
    pub resent: u64,
    /// Records delivered.
    pub delivered: u64,
    /// Records that came again after a stream was lost, and were not delivered again.
    pub skipped: u64,
    /// Streams of records that were opened, or tried to be.
    pub attempts: u64,
    /// Calls of coordinators.
    pub watches: u64,
    /// Errors in assignments that were reported.
    pub reports: u64,
    /// Times a peer misbehaved.
    pub misbehaved: u64,
}
