//! What tasks have for the driver: calls that peers opened, and news of connections.

use std::sync::Arc;

use bytes::Bytes;
use quinn::SendStream;
use trefoil_core::id::MethodId;
use trefoil_core::status::Code;
use trefoil_core::stream::Class;
use trefoil_core::time::Duration;
use trefoil_core::transport::Caller;

use crate::frame;
use crate::linger::Linger;
use crate::source::Source;
use crate::stream::Stream;
use crate::wire::{Counted, Wire};

/// An accepted stream whose request has been read.
pub(crate) struct Incoming {
    pub(crate) send: SendStream,
    pub(crate) source: Source,
    pub(crate) counted: Counted,
}

/// A call that a peer opened.
pub(crate) struct Offer {
    pub(crate) method: MethodId,
    pub(crate) class: Class,
    pub(crate) header: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) caller: Caller<Bytes>,
    pub(crate) incoming: Incoming,
}

impl Offer {
    /// Ends the call with a status alone. What cannot be sent at once is to be sent by a task.
    pub(crate) fn refuse(self, code: Code, message: &str, details: &[u8]) -> Option<Linger> {
        let Incoming {
            send,
            mut source,
            counted,
        } = self.incoming;
        source.stop(frame::reason::NO_ERROR);
        let status = frame::Status::frame(code, message, details);
        Linger::status(send, status, self.class, counted)
    }
}

/// What became of a connection.
pub(crate) enum News {
    Up(Arc<Wire>),
    Lost,
    /// In words.
    Untrusted(Bytes),
}

/// Number of an attempt to reach a peer, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt(pub(crate) u64);

/// Where tasks and the driver meet.
pub(crate) type Inbox = trefoil_transport::Inbox<Offer, (Attempt, News)>;

/// Whose turn it is.
pub(crate) type Rounds = trefoil_transport::Rounds<Stream, Offer, (Attempt, News)>;
