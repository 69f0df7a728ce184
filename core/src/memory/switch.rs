//! A transport inside one process. Each node has a [`Memory`]; a [`Switch`] carries what they wrote to
//! where it belongs. Streams keep their order, and nothing is lost.

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
enum End {
    Opened { stream: StreamId, link: LinkId },
    Accepted { stream: StreamId, call: CallId },
}

impl End {
    const fn stream(self) -> StreamId {
        match self {
            Self::Opened { stream, .. } | Self::Accepted { stream, .. } => stream,
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
            .filter(|end| end.stream() == stream)
    }

    fn send(&mut self, stream: StreamId, what: What) {
        let packet = match self.end_of(stream) {
            Some(End::Opened { link, .. }) => Packet::ToCallee {
                call: call_of(self.port, stream),
                link,
                what,
            },
            Some(End::Accepted { call, .. }) => Packet::ToCaller { call, what },
            None => return,
        };
        self.written.push_back(packet);
    }

    fn forget(&mut self, stream: StreamId) {
        if let Some(End::Accepted { call, .. }) = self.end_of(stream) {
            self.accepted.remove(&call.0);
        }
        if let Some(end) = self.ends.get_mut(stream.slot() as usize) {
            *end = None;
        }
    }

    fn arrive(&mut self, stream: StreamId, what: What, cause: Cause) {
        if self.end_of(stream).is_none() {
            return;
        }
        if matches!(what, What::Ended { .. }) {
            self.forget(stream);
        }
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

    fn unreachable(&mut self, call: CallId) {
        let what = What::Ended {
            code: Code::Unavailable,
            message: self.buffer(b""),
            details: self.buffer(b""),
        };
        self.arrive(caller_of(call).1, what, Cause::Refused);
    }
}

impl Transport for Memory {
    type Buf = Vec<u8>;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        self.arrived.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn dial(&mut self, link: LinkId, address: &str, _: Class) {
        let address = self.buffer(address.as_bytes());
        self.written.push_back(Packet::Dial { link, address });
    }

    fn hang_up(&mut self, _: LinkId) {}

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        self.ends[stream.slot() as usize] = Some(End::Accepted { stream, call });
        self.accepted.insert(call.0, stream);
        let header = self.buffer(header.0);
        self.send(stream, What::Header(header));
        self.answered(call, Some(stream));
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        let (message, details) = (
            self.buffer(status.message.as_bytes()),
            self.buffer(status.details),
        );
        self.written.push_back(Packet::ToCaller {
            call,
            what: What::Ended {
                code: status.code,
                message,
                details,
            },
        });
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
        self.ends[stream.slot() as usize] = Some(End::Opened { stream, link });
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
        self.end_of(stream).ok_or(Full)?;
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
        self.send(stream, What::HalfClosed);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let (message, details) = (
            self.buffer(status.message.as_bytes()),
            self.buffer(status.details),
        );
        self.send(
            stream,
            What::Ended {
                code: status.code,
                message,
                details,
            },
        );
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
