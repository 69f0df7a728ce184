//! The streams of one node. It is for others to carry the packets that it writes: for a
//! [`Switch`](super::Switch), or for a [`Carrier`](super::Carrier). Nothing bounds what waits.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::hash::BuildHasherDefault;
use core::task::{Context, Poll};

use hashbrown::HashMap;

use crate::codes;
use crate::hash::IdHasher;
use crate::header::Header;
use crate::id::{CallId, LinkId, MethodId, StreamId};
use crate::machine::Full;
use crate::status::{Cause, Code, Status};
use crate::stream::Class;
use crate::time::Duration;
use crate::transport::{Arrival, Caller, LinkEvent, Transport};

/// A place among the nodes that are connected.
pub(super) type Port = u8;

/// Something on its way from one node to another, owning its bytes.
#[derive(Debug)]
pub struct Packet(pub(super) Contents);

impl Packet {
    /// The link it goes by. None if it goes back to where a call came from.
    pub(super) const fn link(&self) -> Option<LinkId> {
        match self.0 {
            Contents::Dial { link, .. }
            | Contents::Open { link, .. }
            | Contents::HangUp { link }
            | Contents::ToCallee { link, .. } => Some(link),
            Contents::ToCaller { .. } => None,
        }
    }

    /// Where the call came from that it goes back to.
    pub(super) const fn caller(&self) -> Option<Port> {
        match self.0 {
            Contents::ToCaller { call, .. } => Some(caller_of(call).0),
            Contents::Dial { .. }
            | Contents::Open { .. }
            | Contents::HangUp { .. }
            | Contents::ToCallee { .. } => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Contents {
    Dial {
        link: LinkId,
        address: Vec<u8>,
    },
    Open {
        call: CallId,
        link: LinkId,
        method: MethodId,
        header: Vec<u8>,
        timeout: Option<Duration>,
    },
    HangUp {
        link: LinkId,
    },
    /// To the side that accepted the call.
    ToCallee {
        call: CallId,
        link: LinkId,
        what: What,
    },
    /// To the side that opened it; the call's number tells which.
    ToCaller {
        call: CallId,
        what: What,
    },
}

#[derive(Debug)]
pub(super) enum What {
    Header(Vec<u8>),
    Frame(Vec<u8>),
    HalfClosed,
    Ended {
        code: Code,
        message: Vec<u8>,
        details: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Opened(LinkId),
    Accepted(CallId),
}

/// One end of a stream.
#[derive(Clone, Copy, Debug)]
struct End {
    stream: StreamId,
    side: Side,
    /// This side sends no more.
    half_closed: bool,
    /// It has ended, and this side is still to be told.
    over: bool,
}

impl End {
    const fn new(stream: StreamId, side: Side) -> Self {
        Self {
            stream,
            side,
            half_closed: false,
            over: false,
        }
    }
}

/// One node's side: its streams, what it has written, and what has arrived for it.
#[derive(Debug)]
pub struct Memory {
    port: Port,
    written: VecDeque<Contents>,
    arrived: VecDeque<Arrival<Vec<u8>>>,
    /// Ends by stream slot.
    ends: Vec<Option<End>>,
    /// Streams of accepted calls.
    accepted: HashMap<u64, StreamId, BuildHasherDefault<IdHasher>>,
    /// Calls that wait for their stream, and what came for them meanwhile.
    offered: Vec<CallId>,
    early: VecDeque<(CallId, What)>,
    pool: Pool,
    /// Takes frames of streams that are over.
    void: Vec<u8>,
}

/// Spent buffers of all nodes of a switch: what one sends, another spends.
pub(super) type Pool = Rc<RefCell<Vec<Vec<u8>>>>;

/// Bytes of a buffer that was never used.
const BUFFER_BYTES: usize = 512;
/// Spent buffers that are kept where each node has a pool of its own: they were made where the packets
/// came from, and one that is sent more than it sends would only gather them.
const LONE_BUFFERS: usize = 32;
/// Buffers made beforehand, at most.
const BUFFERS: usize = 1_024;

/// The number of a call: who opened it, and as which stream. Slots have 24 bits.
const fn call_of(port: Port, stream: StreamId) -> CallId {
    CallId(((port as u64) << 56) | ((stream.slot() as u64) << 32) | stream.generation() as u64)
}

const fn caller_of(call: CallId) -> (Port, StreamId) {
    let slot = (call.0 >> 32) as u32 & 0x00ff_ffff;
    ((call.0 >> 56) as u8, StreamId::new(slot, call.0 as u32))
}

pub(super) fn pool(streams_max: u32) -> Pool {
    let mut buffers = Vec::with_capacity((streams_max as usize).max(BUFFERS));
    let made = buffers.capacity().min(BUFFERS);
    buffers.extend((0..made).map(|_| Vec::with_capacity(BUFFER_BYTES)));
    Rc::new(RefCell::new(buffers))
}

impl Memory {
    /// A node that shares its buffers with no other.
    pub(super) fn new(port: u8, streams_max: u32) -> Self {
        let pool = Vec::with_capacity(LONE_BUFFERS);
        Self::pooled(port, streams_max, Rc::new(RefCell::new(pool)))
    }

    pub(super) fn pooled(port: Port, streams_max: u32, pool: Pool) -> Self {
        let capacity = streams_max as usize;
        Self {
            port,
            written: VecDeque::with_capacity(capacity),
            arrived: VecDeque::with_capacity(capacity),
            ends: alloc::vec![None; capacity],
            accepted: HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default()),
            offered: Vec::with_capacity(capacity),
            early: VecDeque::with_capacity(capacity),
            pool,
            void: Vec::new(),
        }
    }

    /// What is to be carried next.
    pub(super) fn next_packet(&mut self) -> Option<Packet> {
        self.written.pop_front().map(Packet)
    }

    /// Takes a packet that another node wrote to this one.
    pub(super) fn take_packet(&mut self, packet: Packet) {
        match packet.0 {
            Contents::Open {
                call,
                method,
                header,
                timeout,
                ..
            } => self.offer(call, method, header, timeout),
            Contents::ToCallee { call, what, .. } => self.arrive_for(call, what),
            Contents::ToCaller { call, what } => self.arrive(caller_of(call).1, what, Cause::Peer),
            Contents::Dial { address, .. } => self.recycle(address),
            Contents::HangUp { .. } => {}
        }
    }

    /// Takes a packet back that could not be carried, since nobody is there: its stream ends, or its
    /// link is refused.
    pub(super) fn return_packet(&mut self, packet: Packet) {
        match packet.0 {
            Contents::Open { call, .. } | Contents::ToCallee { call, .. } => {
                self.lose(caller_of(call).1, Cause::Refused);
            }
            Contents::ToCaller { call, .. } => {
                if let Some(stream) = self.accepted.get(&call.0).copied() {
                    self.lose(stream, Cause::Lost);
                }
            }
            Contents::Dial { link, address } => {
                self.recycle(address);
                self.report(link, LinkEvent::Refused);
            }
            Contents::HangUp { .. } => {}
        }
    }

    /// Ends the streams that were opened on a link: nobody is there any more.
    pub(super) fn lose_link(&mut self, link: LinkId) {
        self.lose_all(
            |side| matches!(side, Side::Opened(of) if of == link),
            Cause::Refused,
        );
    }

    /// Ends the streams of calls that came from a port: nobody is there any more.
    pub(super) fn lose_callers(&mut self, port: Port) {
        self.lose_all(
            |side| matches!(side, Side::Accepted(call) if caller_of(call).0 == port),
            Cause::Lost,
        );
    }

    fn lose_all(&mut self, is_lost: impl Fn(Side) -> bool, cause: Cause) {
        for slot in 0..self.ends.len() {
            if let Some(end) = self.ends[slot].filter(|end| is_lost(end.side)) {
                self.lose(end.stream, cause);
            }
        }
    }

    fn lose(&mut self, stream: StreamId, cause: Cause) {
        if self.end_of(stream).is_some_and(|end| !end.over) {
            let lost = self.ended(Status::new(Code::Unavailable, codes::UNREACHABLE));
            self.arrive(stream, lost, cause);
        }
    }

    /// Has news of a link told.
    pub(super) fn report(&mut self, link: LinkId, event: LinkEvent) {
        self.arrived.push_back(Arrival::Link {
            link,
            event,
            why: None,
        });
    }

    fn offer(
        &mut self,
        call: CallId,
        method: MethodId,
        header: Vec<u8>,
        timeout: Option<Duration>,
    ) {
        self.offered.push(call);
        self.arrived.push_back(Arrival::Accepted {
            call,
            method,
            header,
            timeout,
            caller: Caller::LOCAL,
        });
    }

    /// Something came for a call this side accepted, has still to accept, or has ended.
    fn arrive_for(&mut self, call: CallId, what: What) {
        if let Some(stream) = self.accepted.get(&call.0).copied() {
            self.arrive(stream, what, Cause::Peer);
        } else if self.offered.contains(&call) {
            self.early.push_back((call, what));
        }
    }

    /// Takes a call off the list of those that wait, with what came for it.
    fn answered(&mut self, call: CallId, stream: Option<StreamId>) {
        self.offered.retain(|waiting| *waiting != call);
        for _ in 0..self.early.len() {
            match (self.early.pop_front(), stream) {
                (Some((early, what)), Some(stream)) if early == call => {
                    self.arrive(stream, what, Cause::Peer)
                }
                (Some((early, _)), None) if early == call => {}
                (Some(other), _) => self.early.push_back(other),
                (None, _) => return,
            }
        }
    }

    fn buffer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.pool.borrow_mut().pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }

    fn end_of(&self, stream: StreamId) -> Option<End> {
        self.ends
            .get(stream.slot() as usize)
            .copied()
            .flatten()
            .filter(|end| end.stream == stream)
    }

    /// Sends something on a stream, unless it is over.
    fn send(&mut self, stream: StreamId, what: What) {
        let Some(end) = self.end_of(stream).filter(|end| !end.over) else {
            return;
        };
        self.written.push_back(match end.side {
            Side::Opened(link) => Contents::ToCallee {
                call: call_of(self.port, stream),
                link,
                what,
            },
            Side::Accepted(call) => Contents::ToCaller { call, what },
        });
    }

    fn forget(&mut self, stream: StreamId) {
        let Some(end) = self.end_of(stream) else {
            return;
        };
        if let Side::Accepted(call) = end.side {
            self.accepted.remove(&call.0);
        }
        self.ends[stream.slot() as usize] = None;
    }

    fn arrive(&mut self, stream: StreamId, what: What, cause: Cause) {
        let end = self.ends.get_mut(stream.slot() as usize);
        let Some(end) = end.and_then(|end| end.as_mut().filter(|end| end.stream == stream)) else {
            return;
        };
        if end.over {
            return;
        }
        end.over = matches!(what, What::Ended { .. });
        self.arrived.push_back(match what {
            What::Header(header) => Arrival::Header { stream, header },
            What::Frame(frame) => Arrival::Frame { stream, frame },
            What::HalfClosed => Arrival::HalfClosed { stream },
            What::Ended {
                code,
                message,
                details,
            } => Arrival::Ended {
                stream,
                code,
                cause,
                message,
                details,
            },
        });
    }

    /// Whether an arrival may be told: nothing is heard of a stream that was ended from here. With its
    /// end a stream is forgotten.
    fn tells(&mut self, arrival: &Arrival<Vec<u8>>) -> bool {
        let stream = match arrival {
            Arrival::Link { .. } | Arrival::Accepted { .. } => return true,
            Arrival::Header { stream, .. }
            | Arrival::Frame { stream, .. }
            | Arrival::HalfClosed { stream }
            | Arrival::Writable { stream }
            | Arrival::Ended { stream, .. } => *stream,
        };
        let known = self.end_of(stream).is_some();
        if matches!(arrival, Arrival::Ended { .. }) {
            self.forget(stream);
        }
        known
    }

    fn ended(&mut self, status: Status<'_>) -> What {
        What::Ended {
            code: status.code,
            message: self.buffer(status.message.as_bytes()),
            details: self.buffer(status.details),
        }
    }
}

impl Transport for Memory {
    type Buf = Vec<u8>;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        while let Some(arrival) = self.arrived.pop_front() {
            if self.tells(&arrival) {
                return Poll::Ready(arrival);
            }
            arrival.spend(|spent| self.recycle(spent));
        }
        Poll::Pending
    }

    fn dial(&mut self, link: LinkId, address: &str, _: Class) {
        let address = self.buffer(address.as_bytes());
        self.written.push_back(Contents::Dial { link, address });
    }

    fn hang_up(&mut self, link: LinkId) {
        self.written.retain(|packet| {
            !matches!(packet, Contents::Dial { link: of, .. } | Contents::Open { link: of, .. } if *of == link)
        });
        self.arrived
            .retain(|arrival| !matches!(arrival, Arrival::Link { link: of, .. } if *of == link));
        for slot in 0..self.ends.len() {
            match self.ends[slot] {
                Some(End {
                    stream,
                    side: Side::Opened(of),
                    ..
                }) if of == link => self.end(stream, Status::new(Code::Cancelled, "")),
                Some(_) | None => {}
            }
        }
        self.written.push_back(Contents::HangUp { link });
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        if !self.offered.contains(&call) {
            return;
        }
        self.ends[stream.slot() as usize] = Some(End::new(stream, Side::Accepted(call)));
        self.accepted.insert(call.0, stream);
        let header = self.buffer(header.0);
        self.send(stream, What::Header(header));
        self.answered(call, Some(stream));
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        if !self.offered.contains(&call) {
            return;
        }
        let what = self.ended(status);
        self.written.push_back(Contents::ToCaller { call, what });
        self.answered(call, None);
    }

    fn open(
        &mut self,
        stream: StreamId,
        link: LinkId,
        method: MethodId,
        header: Header<'_>,
        timeout: Option<Duration>,
    ) {
        self.ends[stream.slot() as usize] = Some(End::new(stream, Side::Opened(link)));
        let header = self.buffer(header.0);
        self.written.push_back(Contents::Open {
            call: call_of(self.port, stream),
            link,
            method,
            header,
            timeout,
        });
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        let end = self.end_of(stream).ok_or(Full)?;
        if end.half_closed {
            return Err(Full);
        }
        if end.over {
            self.void.clear();
            self.void.resize(len, 0);
            return Ok(&mut self.void);
        }
        let mut frame = self.buffer(b"");
        frame.resize(len, 0);
        self.send(stream, What::Frame(frame));
        match self.written.back_mut() {
            Some(
                Contents::ToCallee {
                    what: What::Frame(frame),
                    ..
                }
                | Contents::ToCaller {
                    what: What::Frame(frame),
                    ..
                },
            ) => Ok(frame),
            Some(_) | None => Err(Full),
        }
    }

    fn credit(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        let end = self.ends.get_mut(stream.slot() as usize);
        let Some(end) = end.and_then(|end| end.as_mut().filter(|end| end.stream == stream)) else {
            return;
        };
        if !core::mem::replace(&mut end.half_closed, true) {
            self.send(stream, What::HalfClosed);
        }
    }

    /// Of a caller that goes away its peer hears no more than that: not why, as on a real wire.
    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let Some(end) = self.end_of(stream) else {
            return;
        };
        let status = match end.side {
            Side::Opened(_) => Status::new(Code::Cancelled, ""),
            Side::Accepted(_) => status,
        };
        let what = self.ended(status);
        self.send(stream, what);
        self.forget(stream);
    }

    fn recycle(&mut self, spent: Vec<u8>) {
        let mut pool = self.pool.borrow_mut();
        if pool.len() < pool.capacity() {
            pool.push(spent);
        }
    }

    fn flush(&mut self) {}
}
