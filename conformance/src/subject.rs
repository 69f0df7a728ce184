//! What a transport brings to be put to the test.

use std::time::Duration;

use trefoil_core::limits::Limits;
use trefoil_core::transport::Transport;

use crate::bell::Bell;

/// One of the two sides of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// It dials and opens streams.
    Caller = 0,
    /// It listens and accepts them.
    Callee = 1,
}

/// What some cases ask for and some subjects lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Connections can be lost, and sides can go away.
    Loss,
    /// What waits on a stream is bounded: there is credit, and a stream can be full.
    Bounds,
    /// Messages above [`Limits::frame_bytes_max`] are not taken.
    FrameLimit,
    /// The case measures its process: it is run in one of its own. No subject lacks it.
    Alone,
}

/// Whether anything can happen by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It can, or did.
    Moving,
    /// It cannot: everything that was written has been carried.
    Still,
}

/// What a side holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Streams that are not over.
    pub streams: usize,
    /// Calls that wait for a decision.
    pub calls: usize,
    /// Places it has made for streams.
    pub slots: usize,
}

/// Two transports and the world between them: one dials, the other listens. They may be of two kinds.
pub trait Subject: Sized {
    /// The side that dials.
    type Caller: Transport;
    /// The side that listens.
    type Callee: Transport;

    /// What this world does not have. The cases that ask for it are skipped, and must be named where
    /// the suite is made.
    const LACKS: &'static [Ask] = &[];
    /// Whether an address at which nobody listens is told from one that is lost.
    const TELLS_REFUSAL: bool = true;
    /// Bytes of one direction of a stream that may be on their way, beyond what the limits of its two
    /// sides grant.
    const BETWEEN: usize = 4 << 20;

    /// A world whose sides know [`methods`](crate::methods) and keep to these limits, and whose callee
    /// listens.
    fn new(caller: &Limits, callee: &Limits) -> Self;

    /// Where the callee listens.
    fn address(&self) -> String;

    /// An address at which nobody listens.
    fn nowhere(&self) -> String;

    /// The side that dials.
    fn caller(&mut self) -> &mut Self::Caller;

    /// The side that listens.
    fn callee(&mut self) -> &mut Self::Callee;

    /// Lets the world move until the bell rings, or for `limit`. Tasks that are ready must be run even
    /// if it has rung before.
    fn turn(&mut self, bell: &Bell, limit: Duration) -> Turn {
        bell.wait(limit)
    }

    /// Cuts every connection without a word. Nobody listens until [`listen_again`](Self::listen_again).
    fn cut(&mut self) {
        panic!("a world that is cut must say how");
    }

    /// The callee listens again, at the same address if that is free.
    fn listen_again(&mut self) {
        panic!("a world that is cut must say how to mend it");
    }

    /// A side goes away with all it has, as when its process ends. It is not asked for again.
    fn leave(&mut self, at: At) {
        panic!("{at:?} cannot leave");
    }

    /// What a side holds, if it can say.
    fn sizes(&self, at: At) -> Option<Sizes> {
        let _ = at;
        None
    }
}
