//! Coordinator and node of one channel, which lose streams, answers and their place whenever a number says so.

use std::collections::BTreeMap;

use trefoil_core::channels::dialect::{Dialect, ErrorCode};
use trefoil_core::channels::failure::{Failure, StatusRoom};
use trefoil_core::channels::messages::ids::{base36, id, sequence};
use trefoil_core::channels::messages::properties::Reserved;
use trefoil_core::channels::messages::{
    ConsumeRequest, ConsumeResponse, Message, ProduceRequest, ProduceResponse, Spoken,
};
use trefoil_core::channels::open::{Filter, Open, OpenConsumer, Policy};
use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, StreamId, Tag};
use trefoil_core::machine::{Events, Full, Io, Machine};
use trefoil_core::method::streaming;
use trefoil_core::rng::Rng;
use trefoil_core::status::Status;
use trefoil_core::storage::Done;
use trefoil_core::stream::StreamIn;
use trefoil_core::time::Instant;
use trefoil_core::wire;
use trefoil_proto::streaming::{
    AssignmentDiscoverResponse, AssignmentDiscoverResponseResponse,
    FullStreamingNodeAssignmentWithVersion, PChannelInfo, StreamingNodeAssignment,
    StreamingNodeInfo, VersionPair,
};

pub(crate) const CHANNEL: &str = "dml_0";
const SEED: Dialect = Dialect::Seed;
const SERVER: i64 = 7;

/// What a producer of the server's log was, and its number.
type Origin = (Vec<u8>, u64);

/// Coordinator and node of one channel, whose log outlives every fault.
pub(crate) struct Server {
    pub(crate) log: Vec<Vec<u8>>,
    origins: BTreeMap<Origin, usize>,
    pub(crate) term: i64,
    watchers: Vec<StreamId>,
    producers: Vec<StreamId>,
    /// With the next record to send.
    consumers: Vec<(StreamId, usize)>,
    rng: Rng,
    /// One of so many requests meets a fault.
    fault_in: u64,
    pub(crate) faults: u64,
    pub(crate) lost_streams: u64,
}

impl Server {
    pub(crate) fn new(seed: u64, fault_in: u64) -> Self {
        Self {
            log: Vec::new(),
            origins: BTreeMap::new(),
            term: 2,
            watchers: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
            rng: Rng::new(seed),
            fault_in,
            faults: 0,
            lost_streams: 0,
        }
    }

    fn push(&self, watcher: StreamId, io: &mut dyn Io) {
        let channels = [PChannelInfo {
            name: CHANNEL,
            term: self.term,
        }];
        let node = StreamingNodeInfo {
            server_id: SERVER,
            address: "server",
        };
        let assignments = [StreamingNodeAssignment {
            node: Some(node),
            channels: &channels[..],
        }];
        let full = FullStreamingNodeAssignmentWithVersion {
            version: Some(VersionPair {
                global: 1,
                local: self.term,
            }),
            assignments: &assignments[..],
        };
        let push = AssignmentDiscoverResponse {
            response: Some(AssignmentDiscoverResponseResponse::FullAssignment(full)),
        };
        wire::send(io, watcher, &push).unwrap();
    }

    fn accept(&mut self, stream: StreamId, method: MethodId, header: Header<'_>, io: &mut dyn Io) {
        let mut scratch = [0; 1_024];
        let (open, from) = match method {
            streaming::DISCOVER => {
                io.adopt(stream, Tag(u64::from(method.0)));
                self.watchers.push(stream);
                return self.push(stream, io);
            }
            streaming::PRODUCE => (Open::producer(header, &mut scratch).unwrap(), None),
            _ => {
                let read = OpenConsumer::consumer(SEED, header, &mut scratch).unwrap();
                (read.open, Some(Self::first(&read)))
            }
        };
        assert_eq!((open.channel, open.server_id), (CHANNEL, Some(SERVER)));
        if open.term != self.term {
            return Self::fail(stream, ErrorCode::UnmatchedChannelTerm, io);
        }
        io.adopt(stream, Tag(u64::from(method.0)));
        match from {
            None => {
                let create = ProduceResponse::Create {
                    producer_id: 0,
                    wal_name: "",
                };
                wire::send(io, stream, &create.said(SEED)).unwrap();
                self.producers.push(stream);
            }
            Some(from) => {
                let create: ConsumeResponse<'_> = ConsumeResponse::Create { wal_name: "" };
                wire::send(io, stream, &create.said(SEED)).unwrap();
                self.consumers.push((stream, from));
                self.deliver(io);
            }
        }
    }

    /// The first record that a consumer wants. Ticks are numbers of records.
    fn first(read: &OpenConsumer<'_>) -> usize {
        let of = |id| sequence(SEED, id).unwrap() as usize;
        let from = match read.policy {
            Policy::All => 1,
            Policy::StartFrom(id) => of(id),
            Policy::StartAfter(id) => of(id) + 1,
            Policy::Latest => panic!("nobody asks for it"),
        };
        let above = read.filters.iter().map(|filter| match filter {
            Filter::TimeTickGt(tick) => tick as usize + 1,
            Filter::TimeTickGte(tick) => tick as usize,
            Filter::VChannel(_) => panic!("nobody asks for it"),
        });
        above.max().unwrap_or(1).max(from) - 1
    }

    fn deliver(&mut self, io: &mut dyn Io) {
        for (stream, next) in &mut self.consumers {
            while let Some(payload) = self.log.get(*next) {
                let number = *next as u64 + 1;
                let (own, tick) = (id(SEED, number), base36(number));
                // What was confirmed lies some records back.
                let confirmed = id(SEED, number.saturating_sub(5).max(1));
                let confirmed = ("_lc", confirmed.as_bytes());
                let all = [("_tt", tick.as_bytes()), confirmed];
                let properties = if number > 6 { &all[..] } else { &all[..1] };
                let record = ConsumeResponse::Consume {
                    id: own.as_bytes(),
                    message: Message {
                        payload: payload.as_slice(),
                        properties,
                    },
                };
                if wire::send(io, *stream, &record.said(SEED)).is_err() {
                    break;
                }
                *next += 1;
            }
        }
    }

    fn fail(stream: StreamId, code: ErrorCode, io: &mut dyn Io) {
        let mut room = StatusRoom::new();
        io.end(
            stream,
            Failure::new(code, "a fault").status(SEED, &mut room),
        );
    }

    fn forget(&mut self, stream: StreamId) {
        self.watchers.retain(|known| *known != stream);
        self.producers.retain(|known| *known != stream);
        self.consumers.retain(|(known, _)| *known != stream);
    }

    fn lose(&mut self, stream: StreamId, code: ErrorCode, io: &mut dyn Io) {
        self.forget(stream);
        self.lost_streams += 1;
        Self::fail(stream, code, io);
    }

    /// Appends a record, once for each origin.
    fn append(&mut self, message: &Message<'_>) -> u64 {
        let reserved = Reserved::of(message);
        let origin = reserved.producer.zip(reserved.producer_sequence);
        let origin = origin.map(|(producer, sequence)| (producer.to_vec(), sequence));
        let at = origin.as_ref().and_then(|origin| self.origins.get(origin));
        let at = at.copied().unwrap_or_else(|| {
            self.log.push(message.payload.to_vec());
            self.log.len() - 1
        });
        if let Some(origin) = origin {
            self.origins.insert(origin, at);
        }
        at as u64 + 1
    }

    fn requested(
        &mut self,
        stream: StreamId,
        request_id: i64,
        message: &Message<'_>,
        io: &mut dyn Io,
    ) {
        let fault = self.rng.below(self.fault_in * 8);
        self.faults += u64::from(fault < 8);
        let is_appended = !matches!(fault, 1..=3);
        let number = if is_appended { self.append(message) } else { 0 };
        self.deliver(io);
        let result = ProduceResponse::Result {
            request_id,
            id: id(SEED, number).as_bytes(),
        }
        .said(SEED)
        .encoded();
        match fault {
            // The outcome is lost, appended or not.
            0 => self.lose(stream, ErrorCode::Inner, io),
            1 => self.lose(stream, ErrorCode::OnShutdown, io),
            2 | 3 => {
                let code = if fault == 2 {
                    ErrorCode::Inner
                } else {
                    ErrorCode::OnShutdown
                };
                let refusal = ProduceResponse::Error {
                    request_id,
                    failure: Failure::new(code, "a fault"),
                };
                let _ = wire::send(io, stream, &refusal.said(SEED));
            }
            4 => self.move_on(io),
            // A node that gives the channel up in order.
            5 => {
                if let Ok(frame) = io.frame(stream, result.len()) {
                    frame.copy_from_slice(&result);
                }
                let _ = wire::send(io, stream, &ProduceResponse::Close.said(SEED));
                self.lose(stream, ErrorCode::Unknown, io);
            }
            6 => {
                if let Some((consumer, _)) = self.consumers.first().copied() {
                    self.lose(consumer, ErrorCode::Inner, io);
                }
                self.answer(stream, &result, io);
            }
            // The coordinator is lost, too.
            7 => {
                self.answer(stream, &result, io);
                for watcher in std::mem::take(&mut self.watchers) {
                    self.lose(watcher, ErrorCode::OnShutdown, io);
                }
            }
            _ => self.answer(stream, &result, io),
        }
    }

    fn answer(&self, stream: StreamId, frame: &[u8], io: &mut dyn Io) {
        io.frame(stream, frame.len())
            .unwrap()
            .copy_from_slice(frame);
    }

    /// A new term: every stream of the old one ends, after or before it is known.
    fn move_on(&mut self, io: &mut dyn Io) {
        self.term += 1;
        let is_late = self.rng.below(2) == 0;
        if !is_late {
            self.push_all(io);
        }
        let streams: Vec<StreamId> = self.producers.clone();
        let consumers = self.consumers.iter().map(|(stream, _)| *stream);
        for stream in streams.into_iter().chain(consumers.collect::<Vec<_>>()) {
            self.lose(stream, ErrorCode::ChannelFenced, io);
        }
        if is_late {
            self.push_all(io);
        }
    }

    fn push_all(&self, io: &mut dyn Io) {
        for watcher in &self.watchers {
            self.push(*watcher, io);
        }
    }
}

/// A message whose bytes are kept.
trait Encoded {
    fn encoded(&self) -> Vec<u8>;
}

impl<M: trefoil_proto::Encode> Encoded for M {
    fn encoded(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.encoded_len()];
        self.encode_to_slice(&mut bytes).unwrap();
        bytes
    }
}

impl Machine for Server {
    type Command<'a> = ();
    type Event<'a> = ();
    type Refused = Full;

    fn handle_stream(
        &mut self,
        _: Instant,
        stream: StreamId,
        tag: Tag,
        event: StreamIn<'_>,
        io: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
        match event {
            StreamIn::Accepted { method, header, .. } => self.accept(stream, method, header, io),
            StreamIn::Frame(frame) if tag.0 == u64::from(streaming::PRODUCE.0) => {
                match ProduceRequest::decode_first(SEED, frame).unwrap() {
                    ProduceRequest::Produce {
                        request_id,
                        message,
                    } => self.requested(stream, request_id, &message, io),
                    ProduceRequest::Close => {}
                    ProduceRequest::Unknown => panic!("a request of no kind"),
                }
            }
            StreamIn::Frame(frame) if tag.0 == u64::from(streaming::CONSUME.0) => {
                assert_eq!(ConsumeRequest::decode(frame), Ok(ConsumeRequest::Close));
            }
            StreamIn::HalfClosed => {
                self.forget(stream);
                io.end(stream, Status::OK);
            }
            StreamIn::Writable => self.deliver(io),
            StreamIn::Ended(_) => self.forget(stream),
            StreamIn::Frame(_) | StreamIn::Header(_) => {}
        }
    }

    fn handle_done(
        &mut self,
        _: Instant,
        _: Tag,
        _: Done<'_>,
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) {
    }

    fn handle_command(
        &mut self,
        _: Instant,
        (): (),
        _: &mut dyn Io,
        _: &mut dyn Events<Self>,
    ) -> Result<(), Full> {
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut dyn Io, _: &mut dyn Events<Self>) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
