//! What happens on a stream. Everything on these wires is one: a unary call is a stream of one
//! request and one reply.

use crate::header::Header;
use crate::id::{MethodId, NodeId};
use crate::status::Status;
use crate::time::Instant;

/// Which of the two connections to a peer a call travels on, so that a heartbeat never waits behind
/// bulk data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Short calls that decide things: probes, views, claims, votes.
    Control,
    /// Calls that carry users' data.
    Bulk,
}

/// An event of one stream, in the order the peer caused them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StreamIn<'a> {
    /// A peer opened the stream. Answer by [`Io::adopt`](crate::machine::Io::adopt) or
    /// [`Io::end`](crate::machine::Io::end) in the same call; a stream that is neither adopted nor
    /// ended is refused as unimplemented.
    Accepted {
        /// Who called, if it said so in our metadata and its name has a number here; nobody for a
        /// foreign client.
        from: Option<NodeId>,
        /// What it calls.
        method: MethodId,
        /// All metadata it sent.
        header: Header<'a>,
        /// When it stops waiting.
        deadline: Option<Instant>,
        /// Whether it may do what operators may: it calls from this very machine, or is known by its
        /// certificate or by a token.
        trusted: bool,
    },
    /// Metadata of the answer to a stream this side opened; before its first message.
    Header(Header<'a>),
    /// One whole message.
    Frame(&'a [u8]),
    /// The peer will send no more.
    HalfClosed,
    /// A frame was refused with [`Full`](crate::machine::Full) before; there is room again.
    Writable,
    /// The stream is over: exactly once and always last, unless this side called
    /// [`Io::end`](crate::machine::Io::end) and so hears no more of it. Covers refusal, loss of
    /// the link and the deadline.
    Ended(Status<'a>),
}
