//! Two transports as one: a node that dials by one of them and is called by both.

use alloc::vec::Vec;
use core::task::{Context, Poll};

use crate::header::Header;
use crate::id::{CallId, LinkId, MethodId, StreamId};
use crate::machine::Full;
use crate::status::Status;
use crate::stream::Class;
use crate::time::Duration;
use crate::transport::{Arrival, Transport};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first.
    First,
    /// The second.
    Second,
}

/// Two transports that carry bytes of one type.
#[derive(Debug)]
pub struct Pair<A, B> {
    first: A,
    second: B,
    dials: Which,
    /// Which of them carries the stream of a slot. A slot that is used again may change sides; what is
    /// late for its former stream is then nobody's, as it would be without a pair.
    carries: Vec<Which>,
    /// Which is asked first at the next poll, so that neither starves the other.
    turn: Which,
}

impl<A, B> Pair<A, B> {
    /// Dials by one of the two, and is called by both.
    pub const fn new(first: A, second: B, dials: Which) -> Self {
        Self {
            first,
            second,
            dials,
            carries: Vec::new(),
            turn: Which::First,
        }
    }

    fn carrier(&self, stream: StreamId) -> Which {
        let known = self.carries.get(stream.slot() as usize);
        known.copied().unwrap_or(self.dials)
    }

    fn carry(&mut self, stream: StreamId, which: Which) {
        let slot = stream.slot() as usize;
        if self.carries.len() <= slot {
            self.carries.resize(slot + 1, self.dials);
        }
        self.carries[slot] = which;
    }
}

/// The number of a call of one of the two, for those above.
const fn outer(call: CallId, which: Which) -> CallId {
    CallId(call.0 << 1 | matches!(which, Which::Second) as u64)
}

const fn inner(call: CallId) -> (CallId, Which) {
    let which = if call.0 & 1 == 0 {
        Which::First
    } else {
        Which::Second
    };
    (CallId(call.0 >> 1), which)
}

fn renumbered<X>(arrival: Arrival<X>, which: Which) -> Arrival<X> {
    match arrival {
        Arrival::Accepted {
            call,
            method,
            header,
            timeout,
            caller,
        } => Arrival::Accepted {
            call: outer(call, which),
            method,
            header,
            timeout,
            caller,
        },
        other @ (Arrival::Link { .. }
        | Arrival::Header { .. }
        | Arrival::Frame { .. }
        | Arrival::HalfClosed { .. }
        | Arrival::Writable { .. }
        | Arrival::Ended { .. }) => other,
    }
}

/// Does `$what` with the one of the two that `$which` says.
macro_rules! with {
    ($pair:expr, $which:expr, $transport:ident => $what:expr) => {
        match $which {
            Which::First => {
                let $transport = &mut $pair.first;
                $what
            }
            Which::Second => {
                let $transport = &mut $pair.second;
                $what
            }
        }
    };
}

impl<A: Transport, B: Transport<Buf = A::Buf>> Transport for Pair<A, B> {
    type Buf = A::Buf;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<A::Buf>> {
        for _ in 0..2 {
            let which = self.turn;
            self.turn = match which {
                Which::First => Which::Second,
                Which::Second => Which::First,
            };
            let polled = with!(self, which, transport => transport.poll(cx));
            if let Poll::Ready(arrival) = polled {
                return Poll::Ready(renumbered(arrival, which));
            }
        }
        Poll::Pending
    }

    fn dial(&mut self, link: LinkId, address: &str, class: Class) {
        with!(self, self.dials, transport => transport.dial(link, address, class));
    }

    fn hang_up(&mut self, link: LinkId) {
        with!(self, self.dials, transport => transport.hang_up(link));
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        let (call, which) = inner(call);
        self.carry(stream, which);
        with!(self, which, transport => transport.bind(call, stream, header));
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        let (call, which) = inner(call);
        with!(self, which, transport => transport.refuse(call, status));
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        self.carry(stream, self.dials);
        with!(self, self.dials, transport => transport.open(stream, link, method, header, timeout));
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        with!(self, self.carrier(stream), transport => transport.frame(stream, len))
    }

    fn credit(&mut self, stream: StreamId, bytes: u32) {
        with!(self, self.carrier(stream), transport => transport.credit(stream, bytes));
    }

    fn half_close(&mut self, stream: StreamId) {
        with!(self, self.carrier(stream), transport => transport.half_close(stream));
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        with!(self, self.carrier(stream), transport => transport.end(stream, status));
    }

    /// Goes to the first: what arrived by either is of one kind.
    fn recycle(&mut self, spent: A::Buf) {
        self.first.recycle(spent);
    }

    fn flush(&mut self) {
        self.first.flush();
        self.second.flush();
    }
}

/// A transport that may be absent: then it carries nothing, and nothing may be asked of it but to be
/// part of a [`Pair`] that does not dial by it.
impl<T: Transport> Transport for Option<T> {
    type Buf = T::Buf;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrival<T::Buf>> {
        match self {
            Some(transport) => transport.poll(cx),
            None => Poll::Pending,
        }
    }

    fn dial(&mut self, link: LinkId, address: &str, class: Class) {
        if let Some(transport) = self {
            transport.dial(link, address, class);
        }
    }

    fn hang_up(&mut self, link: LinkId) {
        if let Some(transport) = self {
            transport.hang_up(link);
        }
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        if let Some(transport) = self {
            transport.bind(call, stream, header);
        }
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        if let Some(transport) = self {
            transport.refuse(call, status);
        }
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        if let Some(transport) = self {
            transport.open(stream, link, method, header, timeout);
        }
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        match self {
            Some(transport) => transport.frame(stream, len),
            None => Err(Full),
        }
    }

    fn credit(&mut self, stream: StreamId, bytes: u32) {
        if let Some(transport) = self {
            transport.credit(stream, bytes);
        }
    }

    fn half_close(&mut self, stream: StreamId) {
        if let Some(transport) = self {
            transport.half_close(stream);
        }
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        if let Some(transport) = self {
            transport.end(stream, status);
        }
    }

    fn recycle(&mut self, spent: T::Buf) {
        if let Some(transport) = self {
            transport.recycle(spent);
        }
    }

    fn flush(&mut self) {
        if let Some(transport) = self {
            transport.flush();
        }
    }
}
