//! One process's side of the network: the [`Transport`] its engine is given.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::task::{Context, Poll};
use std::time::Duration;

use hashbrown::HashMap;
use trefoil_core::hash::IdHasher;
use trefoil_core::header::Header;
use trefoil_core::id::{CallId, LinkId, MethodId, StreamId};
use trefoil_core::machine::Full;
use trefoil_core::status::{Cause, Code, Status};
use trefoil_core::stream::Class;
use trefoil_core::transport::{Arrival, Caller, LinkEvent, Transport};

use super::packet::{ConnId, End, In, Out, Packet, Process};
use crate::dice::Dice;

/// A map keyed by numbers nobody outside chooses, the same in every run.
pub(crate) type Numbered<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

#[derive(Clone, Copy, Debug)]
struct Local {
    call: CallId,
    conn: ConnId,
    end: End,
    /// Its `Ended` is queued: nothing more is sent.
    over: bool,
    choked: bool,
}

#[derive(Debug)]
enum Known {
    /// Waits for `bind` or `refuse`; what came meanwhile.
    Offered {
        conn: ConnId,
        early: Vec<Packet>,
    },
    Bound(StreamId),
}

#[derive(Debug)]
struct Queued {
    conn: ConnId,
    arrival: Arrival<Vec<u8>>,
}

/// The transport of one process. What it is told goes into a list that the world carries away after
/// every input; what arrives is put here by the world and polled at once.
#[derive(Debug)]
pub struct SimTransport {
    process: Process,
    links: BTreeMap<LinkId, ConnId>,
    streams: Numbered<Local>,
    calls: Numbered<Known>,
    arrived: VecDeque<Queued>,
    out: Vec<Out>,
    numbers: u64,
    dice: Dice,
    choke_ppm: u32,
    void: Vec<u8>,
}

/// A call at one of its ends: a process that calls itself has both.
const fn at(call: CallId, end: End) -> u64 {
    call.0 << 1 | end as u64
}

const fn key(stream: StreamId) -> u64 {
    (stream.slot() as u64) << 32 | stream.generation() as u64
}

impl SimTransport {
    /// The transport of `process`. One in `1,000,000 / choke_ppm` opened streams refuses its first
    /// frame.
    #[must_use]
    pub fn new(process: Process, seed: u64, choke_ppm: u32) -> Self {
        Self {
            process,
            links: BTreeMap::new(),
            streams: Numbered::default(),
            calls: Numbered::default(),
            arrived: VecDeque::new(),
            out: Vec::new(),
            numbers: 0,
            dice: Dice::new(seed, "port"),
            choke_ppm,
            void: Vec::new(),
        }
    }

    /// No stream is choked from now on.
    pub const fn calm(&mut self) {
        self.choke_ppm = 0;
    }

    /// What the engine told it since the last call.
    pub fn take_out(&mut self, into: &mut Vec<Out>) {
        into.append(&mut self.out);
    }

    /// Something arrived at the process.
    pub fn take_in(&mut self, input: In) {
        match input {
            In::Link { conn, link, event } => self.queue(
                conn,
                Arrival::Link {
                    link,
                    event,
                    why: None,
                },
            ),
            In::Broken { conn, calls_first } => {
                let link = self
                    .links
                    .iter()
                    .find(|(_, known)| **known == conn)
                    .map(|(link, _)| *link);
                let lost = link.map(|link| Arrival::Link {
                    link,
                    event: LinkEvent::Lost,
                    why: None,
                });
                if let (Some(lost), false) = (&lost, calls_first) {
                    self.queue(conn, lost.clone());
                }
                self.end_all(conn, Cause::Lost);
                if let (Some(lost), true) = (lost, calls_first) {
                    self.queue(conn, lost);
                }
            }
            In::Call {
                call,
                conn,
                packet:
                    Packet::Open {
                        method,
                        header,
                        timeout,
                    },
                ..
            } => {
                self.calls.insert(
                    at(call, End::Callee),
                    Known::Offered {
                        conn,
                        early: Vec::new(),
                    },
                );
                self.queue(
                    conn,
                    Arrival::Accepted {
                        call,
                        method,
                        header,
                        timeout,
                        caller: Caller::REMOTE,
                    },
                );
            }
            In::Call {
                call,
                conn,
                to,
                packet,
                ..
            } => match self.calls.get_mut(&at(call, to)) {
                Some(Known::Offered { early, .. }) => early.push(packet),
                Some(Known::Bound(stream)) => {
                    let stream = *stream;
                    self.arrive(stream, conn, packet, Cause::Peer);
                }
                // Ended from here, while this was on its way.
                None => {}
            },
            In::Reset(call, end) => self.reset(call, end),
            In::Writable(call) => {
                if let Some(Known::Bound(stream)) = self.calls.get(&at(call, End::Caller)) {
                    let stream = *stream;
                    if let Some(local) = self.streams.get(&key(stream)).filter(|local| !local.over)
                    {
                        self.queue(local.conn, Arrival::Writable { stream });
                    }
                }
            }
        }
    }

    fn reset(&mut self, call: CallId, end: End) {
        let packet = Packet::Ended {
            code: Code::Unavailable,
            message: b"reset".to_vec(),
            details: Vec::new(),
        };
        match self.calls.get_mut(&at(call, end)) {
            Some(Known::Offered { early, .. }) => early.push(packet),
            Some(Known::Bound(stream)) => {
                let stream = *stream;
                if let Some(conn) = self.streams.get(&key(stream)).map(|local| local.conn) {
                    self.arrive(stream, conn, packet, Cause::Lost);
                }
            }
            None => {}
        }
    }

    fn queue(&mut self, conn: ConnId, arrival: Arrival<Vec<u8>>) {
        self.arrived.push_back(Queued { conn, arrival });
    }

    fn arrive(&mut self, stream: StreamId, conn: ConnId, packet: Packet, cause: Cause) {
        let Some(local) = self
            .streams
            .get_mut(&key(stream))
            .filter(|local| !local.over)
        else {
            return;
        };
        local.over = matches!(packet, Packet::Ended { .. });
        let arrival = match packet {
            // A call is opened once, and its stream is bound after that.
            Packet::Open { .. } => return,
            Packet::Header(header) => Arrival::Header { stream, header },
            Packet::Frame(frame) => Arrival::Frame { stream, frame },
            Packet::HalfClosed => Arrival::HalfClosed { stream },
            Packet::Ended {
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
        };
        self.queue(conn, arrival);
    }

    /// Ends every stream of a connection that is gone, in the order of their numbers.
    fn end_all(&mut self, conn: ConnId, cause: Cause) {
        let ended = |text: &[u8]| Packet::Ended {
            code: Code::Unavailable,
            message: text.to_vec(),
            details: Vec::new(),
        };
        let mut streams: Vec<(u64, StreamId)> = self
            .calls
            .iter()
            .filter_map(|(call, known)| match known {
                Known::Bound(stream) => Some((*call, *stream)),
                Known::Offered { .. } => None,
            })
            .filter(|(_, stream)| {
                self.streams
                    .get(&key(*stream))
                    .is_some_and(|local| local.conn == conn)
            })
            .collect();
        streams.sort_unstable();
        for (_, stream) in streams {
            self.arrive(stream, conn, ended(b"connection lost"), cause);
        }
        for known in self.calls.values_mut() {
            if let Known::Offered { conn: of, early } = known
                && *of == conn
            {
                early.push(ended(b"connection lost"));
            }
        }
    }

    fn forget(&mut self, stream: StreamId) -> Option<Local> {
        let local = self.streams.remove(&key(stream))?;
        self.calls.remove(&at(local.call, local.end));
        Some(local)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        (self.process.node as u64) << 48 | u64::from(self.process.session) << 32 | self.numbers
    }

    fn send(&mut self, stream: StreamId, packet: Packet) -> bool {
        let Some(local) = self.streams.get(&key(stream)).filter(|local| !local.over) else {
            return false;
        };
        self.out.push(Out::Send {
            call: local.call,
            conn: local.conn,
            from: local.end,
            packet,
        });
        true
    }

    /// Whether a queued arrival may still be told, and what its telling changes.
    fn tell(&mut self, queued: &Queued) -> bool {
        match queued.arrival {
            Arrival::Link { link, event, .. } => {
                let current = self.links.get(&link) == Some(&queued.conn);
                if current && event != LinkEvent::Up {
                    self.links.remove(&link);
                    // Those that were opened since the news was queued end too.
                    let cause = if event == LinkEvent::Refused {
                        Cause::Refused
                    } else {
                        Cause::Lost
                    };
                    self.end_all(queued.conn, cause);
                }
                current
            }
            Arrival::Accepted { call, .. } => self.calls.contains_key(&at(call, End::Callee)),
            Arrival::Ended { stream, .. } => self.forget(stream).is_some(),
            Arrival::Header { stream, .. }
            | Arrival::Frame { stream, .. }
            | Arrival::HalfClosed { stream }
            | Arrival::Writable { stream } => self.streams.contains_key(&key(stream)),
        }
    }
}

impl Transport for SimTransport {
    type Buf = Vec<u8>;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Arrival<Vec<u8>>> {
        while let Some(queued) = self.arrived.pop_front() {
            if self.tell(&queued) {
                return Poll::Ready(queued.arrival);
            }
        }
        Poll::Pending
    }

    fn dial(&mut self, link: LinkId, address: &str, _: Class) {
        let conn = ConnId(self.number());
        self.links.insert(link, conn);
        self.out.push(Out::Dial {
            conn,
            link,
            address: address.to_owned(),
        });
    }

    fn hang_up(&mut self, link: LinkId) {
        if let Some(conn) = self.links.remove(&link) {
            self.out.push(Out::HangUp(conn));
            let calls = &mut self.calls;
            self.streams.retain(|_, local| {
                // Those that were accepted on it hear that it is gone.
                let stays = local.conn != conn || local.end == End::Callee;
                if !stays {
                    calls.remove(&at(local.call, local.end));
                }
                stays
            });
        }
    }

    fn bind(&mut self, call: CallId, stream: StreamId, header: Header<'_>) {
        let place = at(call, End::Callee);
        let Some(Known::Offered { conn, early }) = self.calls.insert(place, Known::Bound(stream))
        else {
            self.calls.remove(&place);
            return;
        };
        self.streams.insert(
            key(stream),
            Local {
                call,
                conn,
                end: End::Callee,
                over: false,
                choked: false,
            },
        );
        self.send(stream, Packet::Header(header.0.to_vec()));
        for packet in early {
            self.arrive(stream, conn, packet, Cause::Peer);
        }
    }

    fn refuse(&mut self, call: CallId, status: Status<'_>) {
        if let Some(Known::Offered { conn, .. }) = self.calls.remove(&at(call, End::Callee)) {
            let (message, details) = (status.message.as_bytes().to_vec(), status.details.to_vec());
            let packet = Packet::Ended {
                code: status.code,
                message,
                details,
            };
            self.out.push(Out::Send {
                call,
                conn,
                from: End::Callee,
                packet,
            });
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
        let call = CallId(self.number());
        let Some(conn) = self.links.get(&link).copied() else {
            // The link's end is queued or told: the stream ends like the others of it.
            let conn = ConnId(0);
            self.calls
                .insert(at(call, End::Caller), Known::Bound(stream));
            self.streams.insert(
                key(stream),
                Local {
                    call,
                    conn,
                    end: End::Caller,
                    over: false,
                    choked: false,
                },
            );
            self.reset(call, End::Caller);
            return;
        };
        self.calls
            .insert(at(call, End::Caller), Known::Bound(stream));
        self.streams.insert(
            key(stream),
            Local {
                call,
                conn,
                end: End::Caller,
                over: false,
                choked: false,
            },
        );
        self.send(
            stream,
            Packet::Open {
                method,
                header: header.0.to_vec(),
                timeout,
            },
        );
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        let local = self
            .streams
            .get_mut(&key(stream))
            .filter(|local| !local.over)
            .ok_or(Full)?;
        // Only an opened stream is choked: a reply to a delivered frame always has room.
        if local.end == End::Caller
            && !core::mem::replace(&mut local.choked, true)
            && self.dice.chance(self.choke_ppm)
        {
            self.out.push(Out::Choked(local.call));
            return Err(Full);
        }
        self.send(stream, Packet::Frame(vec![0; len]));
        match self.out.last_mut() {
            Some(Out::Send {
                packet: Packet::Frame(frame),
                ..
            }) => Ok(frame),
            Some(_) | None => Ok(&mut self.void),
        }
    }

    fn credit(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.send(stream, Packet::HalfClosed);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let (message, details) = (status.message.as_bytes().to_vec(), status.details.to_vec());
        self.send(
            stream,
            Packet::Ended {
                code: status.code,
                message,
                details,
            },
        );
        self.forget(stream);
    }

    fn flush(&mut self) {}
}
