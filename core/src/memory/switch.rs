//! A transport inside one process. Each node has a [`Memory`]; a [`Switch`] carries what they wrote to
//! where it belongs. Streams keep their order, nothing is lost, and nothing bounds what waits.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::hash::BuildHasherDefault;
use core::task::{Context, Poll};

use hashbrown::HashMap;

use crate::hash::IdHasher;
use crate::header::Header;
use crate::id::{CallId, LinkId, MethodId, StreamId};
use crate::machine::Full;
use crate::status::{Cause, Code, Status};
use crate::stream::Class;
use crate::time::Duration;
use crate::transport::{Arrival, Caller, LinkEvent, Transport};

/// A place among the nodes of a switch.
type Port = u8;

/// Something on its way.
#[derive(Debug)]
enum Packet {
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
enum What {
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

/// One node's side of a [`Switch`].
#[derive(Debug)]
pub struct Memory {
    port: Port,
    written: VecDeque<Packet>,
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
type Pool = Rc<RefCell<Vec<Vec<u8>>>>;

/// Bytes of a buffer that was never used.
const BUFFER_BYTES: usize = 512;
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

impl Memory {
    fn new(port: Port, streams_max: u32, pool: Pool) -> Self {
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
            Side::Opened(link) => Packet::ToCallee {
                call: call_of(self.port, stream),
                link,
                what,
            },
            Side::Accepted(call) => Packet::ToCaller { call, what },
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

    fn unreachable(&mut self, call: CallId) {
        let what = self.ended(Status::new(Code::Unavailable, ""));
        self.arrive(caller_of(call).1, what, Cause::Refused);
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
        self.written.push_back(Packet::Dial { link, address });
    }

    fn hang_up(&mut self, link: LinkId) {
        self.written.retain(|packet| {
            !matches!(packet, Packet::Dial { link: of, .. } | Packet::Open { link: of, .. } if *of == link)
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
        self.written.push_back(Packet::HangUp { link });
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
        self.written.push_back(Packet::ToCaller { call, what });
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
        self.written.push_back(Packet::Open {
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
                Packet::ToCallee {
                    what: What::Frame(frame),
                    ..
                }
                | Packet::ToCaller {
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

/// Carries streams between the nodes of one process, up to 255.
#[derive(Debug)]
pub struct Switch {
    names: Vec<String>,
    /// Where each port's links lead: by port and link number.
    links: Vec<Vec<Option<Port>>>,
}

impl Switch {
    /// A switch between nodes of these names, each of which may open `streams_max` streams and know
    /// `nodes_max` hosts; with the node sides in the order of the names.
    #[must_use]
    pub fn new(names: &[&str], streams_max: u32, nodes_max: u32) -> (Self, Vec<Memory>) {
        let mut buffers = Vec::with_capacity((streams_max as usize).max(BUFFERS));
        let made = buffers.capacity().min(BUFFERS);
        buffers.extend((0..made).map(|_| Vec::with_capacity(BUFFER_BYTES)));
        let pool = Rc::new(RefCell::new(buffers));
        let sides = (0..names.len())
            .map(|port| Memory::new(port as Port, streams_max, Rc::clone(&pool)))
            .collect();
        let links = names
            .iter()
            .map(|_| alloc::vec![None; nodes_max as usize * 2])
            .collect();
        (
            Self {
                names: names.iter().map(|name| String::from(*name)).collect(),
                links,
            },
            sides,
        )
    }

    /// Carries everything that has been written. Returns whether there was anything.
    pub fn carry(&mut self, sides: &mut [Memory]) -> bool {
        let mut carried = false;
        for port in 0..sides.len() {
            while let Some(packet) = sides[port].written.pop_front() {
                carried = true;
                self.deliver(port, packet, sides);
            }
        }
        carried
    }

    fn deliver(&mut self, port: usize, packet: Packet, sides: &mut [Memory]) {
        match packet {
            Packet::Dial { link, address } => {
                let to = self
                    .names
                    .iter()
                    .position(|name| name.as_bytes() == address);
                sides[port].recycle(address);
                self.links[port][link.0 as usize] = to.map(|to| to as Port);
                let event = if to.is_some() {
                    LinkEvent::Up
                } else {
                    LinkEvent::Refused
                };
                sides[port].arrived.push_back(Arrival::Link {
                    link,
                    event,
                    why: None,
                });
            }
            Packet::Open {
                call,
                link,
                method,
                header,
                timeout,
            } => match self.links[port][link.0 as usize] {
                Some(to) => sides[usize::from(to)].offer(call, method, header, timeout),
                None => sides[port].unreachable(call),
            },
            Packet::HangUp { link } => self.links[port][link.0 as usize] = None,
            Packet::ToCallee { call, link, what } => {
                let Some(to) = self.links[port][link.0 as usize] else {
                    return;
                };
                sides[usize::from(to)].arrive_for(call, what);
            }
            Packet::ToCaller { call, what } => {
                let (to, stream) = caller_of(call);
                sides[usize::from(to)].arrive(stream, what, Cause::Peer);
            }
        }
    }
}
