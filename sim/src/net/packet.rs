//! What nodes hand to the network, what travels, and what arrives.

use std::time::Duration;

use trefoil_core::id::{CallId, LinkId, MethodId};
use trefoil_core::status::Code;
use trefoil_core::transport::LinkEvent;

/// A process: a node, and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Index of the node.
    pub node: usize,
    /// Counts its starts.
    pub session: u32,
}

/// A connection: who dialled it and as which of its dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The two ends of a connection, and so of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that dialled.
    Caller,
    /// The one that accepted.
    Callee,
}

impl End {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// One thing on a call, in the order of its stream.
#[derive(Clone, Debug)]
pub enum Packet {
    /// The call is opened.
    Open {
        /// What is called.
        method: MethodId,
        /// Its metadata.
        header: Vec<u8>,
        /// How long the caller waits.
        timeout: Option<Duration>,
    },
    /// Metadata of the answer.
    Header(Vec<u8>),
    /// One message.
    Frame(Vec<u8>),
    /// The sender will send no more.
    HalfClosed,
    /// The sender ended the call.
    Ended {
        /// How.
        code: Code,
        /// For people.
        message: Vec<u8>,
        /// For programs.
        details: Vec<u8>,
    },
}

impl Packet {
    /// The bytes that weigh, and are hashed into the trace.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Open { header, .. } | Self::Header(header) => header,
            Self::Frame(frame) => frame,
            Self::HalfClosed => &[],
            Self::Ended { message, .. } => message,
        }
    }

    /// Its kind, as a number for the trace.
    #[must_use]
    pub const fn kind(&self) -> u64 {
        match self {
            Self::Open { .. } => 0,
            Self::Header(_) => 1,
            Self::Frame(_) => 2,
            Self::HalfClosed => 3,
            Self::Ended { .. } => 4,
        }
    }
}

/// What a node's transport was told to do.
#[derive(Debug)]
pub enum Out {
    /// Make a connection.
    Dial {
        /// Its number.
        conn: ConnId,
        /// The dialler's name for it.
        link: LinkId,
        /// Whom to dial.
        address: String,
    },
    /// Close a connection this side dialled.
    HangUp(ConnId),
    /// Send on a call. An `Open` makes the call known.
    Send {
        /// The call.
        call: CallId,
        /// Its connection.
        conn: ConnId,
        /// Which end sends.
        from: End,
        /// What.
        packet: Packet,
    },
    /// A frame was refused; there is room again in a while.
    Choked(CallId),
}

/// What arrives at a process.
#[derive(Debug)]
pub enum In {
    /// News of a connection it dialled.
    Link {
        /// The connection.
        conn: ConnId,
        /// The dialler's name for it.
        link: LinkId,
        /// What happened.
        event: LinkEvent,
    },
    /// A connection is gone, at whichever end this is, with all its calls.
    Broken {
        /// The connection.
        conn: ConnId,
        /// Whether its calls are told before the dialler is told of the link.
        calls_first: bool,
    },
    /// Something on a call.
    Call {
        /// The call.
        call: CallId,
        /// Its connection.
        conn: ConnId,
        /// The node that sent it.
        from: usize,
        /// At which end of the call it arrives.
        to: End,
        /// What.
        packet: Packet,
    },
    /// A call was reset by something between the nodes: one of its ends hears of it.
    Reset(CallId, End),
    /// A choked call has room again.
    Writable(CallId),
}
