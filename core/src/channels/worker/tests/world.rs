//! A worker in a world of its own: streams with as much room as a test gives them, and a store that does
//! operations when it is told to, or loses them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use trefoil_proto::Encode;
use trefoil_proto::streaming::PChannelInfo;

use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::channels::messages::properties::Reserved;
use crate::channels::messages::{
    ConsumeResponse, Message, ProduceRequest, ProduceResponse, Spoken, ids,
};
use crate::channels::open::{Filter, Open, OpenConsumer, Policy, REQUEST_BYTES_MAX};
use crate::channels::worker::*;
use crate::header::{Header, HeaderWriter};
use crate::id::NodeId;
use crate::machine::Full;
use crate::memory::{MemorySession, MemoryStore};
use crate::status::{Code, Status};
use crate::storage::{Completion, Op, OwnerId, Storage};
use crate::stream::Class;
use crate::time::{Duration, WallClock};

pub(super) const CHANNEL: &str = "by-dev-rootcoord-dml_0";

/// What a store does with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Do {
    It,
    /// Not at all, and does not say so.
    Lose,
    /// Well, and does not say so.
    Keep,
}

/// An operation that owns its bytes.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Fence(Vec<u8>, u64, OwnerId),
    Tail(Vec<u8>),
    Append(Vec<u8>, u64, OwnerId, u64, Vec<u8>),
    Read(Vec<u8>, u64, u32),
    Trim(Vec<u8>, u64, OwnerId, u64),
}

impl Asked {
    fn of(op: Op<'_>) -> Self {
        match op {
            Op::Fence { log, term, owner } => Self::Fence(log.to_vec(), term, owner),
            Op::Tail { log } => Self::Tail(log.to_vec()),
            Op::Append {
                log,
                term,
                owner,
                expected,
                payload,
            } => Self::Append(log.to_vec(), term, owner, expected, payload.to_vec()),
            Op::Read {
                log,
                from,
                bytes_max,
            } => Self::Read(log.to_vec(), from, bytes_max),
            Op::Trim {
                log,
                term,
                owner,
                before,
            } => Self::Trim(log.to_vec(), term, owner, before),
            Op::Load { .. }
            | Op::Scan { .. }
            | Op::Cas { .. }
            | Op::Seal { .. }
            | Op::Keep { .. }
            | Op::Recall { .. } => panic!("a worker does not do this: {op:?}"),
        }
    }

    fn as_op(&self) -> Op<'_> {
        match self {
            Self::Fence(log, term, owner) => Op::Fence {
                log,
                term: *term,
                owner: *owner,
            },
            Self::Tail(log) => Op::Tail { log },
            Self::Append(log, term, owner, expected, payload) => Op::Append {
                log,
                term: *term,
                owner: *owner,
                expected: *expected,
                payload,
            },
            Self::Read(log, from, bytes_max) => Op::Read {
                log,
                from: *from,
                bytes_max: *bytes_max,
            },
            Self::Trim(log, term, owner, before) => Op::Trim {
                log,
                term: *term,
                owner: *owner,
                before: *before,
            },
        }
    }

    pub(super) fn is_append(&self) -> bool {
        matches!(self, Self::Append(..))
    }
}

#[derive(Default)]
pub(super) struct Streams {
    next: u32,
    tags: BTreeMap<StreamId, Tag>,
    pub(super) frames: BTreeMap<StreamId, Vec<Vec<u8>>>,
    /// Frames a stream still takes; absent: any number.
    pub(super) room: BTreeMap<StreamId, usize>,
    pub(super) held: BTreeMap<StreamId, u64>,
    pub(super) ended: BTreeMap<StreamId, (Code, Option<ErrorCode>, String)>,
    pub(super) ops: VecDeque<(Tag, Asked)>,
    /// Operations the store takes at once.
    pub(super) ops_max: usize,
    dialect: Dialect,
}

impl Io for Streams {
    fn open(
        &mut self,
        _: NodeId,
        _: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        _: Tag,
    ) -> Result<StreamId, Full> {
        panic!("a worker calls nobody")
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.tags.insert(stream, tag);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if self.ended.contains_key(&stream) {
            return Err(Full);
        }
        if let Some(room) = self.room.get_mut(&stream) {
            *room = room.checked_sub(1).ok_or(Full)?;
        }
        let frames = self.frames.entry(stream).or_default();
        frames.push(vec![0; len]);
        Ok(frames.last_mut().unwrap())
    }

    fn hold(&mut self, stream: StreamId, bytes: u32) {
        *self.held.entry(stream).or_default() += u64::from(bytes);
    }

    fn release(&mut self, stream: StreamId, bytes: u32) {
        *self.held.get_mut(&stream).unwrap() -= u64::from(bytes);
    }

    fn half_close(&mut self, _: StreamId) {
        panic!("an answer ends with its status");
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let failure = Failure::of_status(self.dialect, &status);
        let how = (
            status.code,
            failure.map(|failure| failure.code),
            failure.map_or_else(String::new, |failure| failure.cause.to_string()),
        );
        assert_eq!(self.ended.insert(stream, how), None, "ended twice");
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if self.ops.len() >= self.ops_max {
            return Err(Full);
        }
        self.ops.push_back((tag, Asked::of(op)));
        Ok(())
    }

    fn node(&mut self, _: &str) -> Result<NodeId, Full> {
        panic!("a worker calls nobody")
    }

    fn name(&self, _: NodeId) -> &str {
        ""
    }

    fn forget(&mut self, _: NodeId) {}
}

/// What a producer was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Create(String),
    At(i64, u64),
    Failed(i64, ErrorCode, String),
    Close,
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) tick: u64,
    pub(super) confirmed: u64,
    pub(super) payload: Vec<u8>,
}

pub(super) struct World {
    pub(super) worker: Worker,
    pub(super) io: Streams,
    pub(super) events: Vec<String>,
    pub(super) now: Instant,
    pub(super) dialect: Dialect,
    /// Whether who calls is known to be trusted.
    pub(super) trusted: bool,
    session: MemorySession,
}

pub(super) fn config(owner: u64) -> WorkerConfig {
    WorkerConfig {
        cluster: "by-dev".into(),
        ..WorkerConfig::new(owner as i64, OwnerId(owner))
    }
}

impl World {
    pub(super) fn new(store: &MemoryStore, owner: u64) -> Self {
        Self::with(store, config(owner))
    }

    pub(super) fn with(store: &MemoryStore, config: WorkerConfig) -> Self {
        let io = Streams {
            ops_max: 8_192,
            dialect: config.dialect,
            ..Streams::default()
        };
        Self {
            dialect: config.dialect,
            worker: Worker::new(config).unwrap(),
            io,
            events: Vec::new(),
            now: Instant::from_millis(1),
            trusted: true,
            session: store.session("n", 16),
        }
    }

    pub(super) fn wall(&mut self, unix_millis: i64) {
        let wall = WallClock {
            at: self.now,
            unix_millis,
        };
        self.command(WorkerCommand::Wall(wall)).unwrap();
    }

    pub(super) fn command(&mut self, command: WorkerCommand<'_>) -> Result<(), WorkerRefused> {
        let events = &mut self.events;
        let mut up = |event: WorkerEvent<'_>| events.push(alloc::format!("{event:?}"));
        self.worker
            .handle_command(self.now, command, &mut self.io, &mut up)
    }

    pub(super) fn hear(&mut self, stream: StreamId, event: StreamIn<'_>) {
        if self.io.ended.contains_key(&stream) {
            return;
        }
        let tag = self.io.tags.get(&stream).copied().unwrap_or(Tag::NEW);
        let events = &mut self.events;
        let mut up = |event: WorkerEvent<'_>| events.push(alloc::format!("{event:?}"));
        self.worker
            .handle_stream(self.now, stream, tag, event, &mut self.io, &mut up);
    }

    /// The peer is gone.
    pub(super) fn lose(&mut self, stream: StreamId) {
        self.hear(stream, StreamIn::Ended(Status::new(Code::Cancelled, "")));
        let lost = (Code::Cancelled, None, String::new());
        self.io.ended.insert(stream, lost);
    }

    /// The next operation ends.
    pub(super) fn do_one(&mut self, how: Do) -> bool {
        let Some((tag, asked)) = self.io.ops.pop_front() else {
            return false;
        };
        let mut outcome = Completion::Unknown;
        if how != Do::Lose {
            self.session.submit(asked.as_op(), tag).unwrap();
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready((_, done)) = self.session.poll(&mut cx) else {
                panic!()
            };
            if how == Do::It {
                outcome = done;
            }
        }
        let events = &mut self.events;
        let mut up = |event: WorkerEvent<'_>| events.push(alloc::format!("{event:?}"));
        let done = outcome.as_done();
        self.worker
            .handle_done(self.now, tag, done, &mut self.io, &mut up);
        true
    }

    /// Everything the store was asked for ends well.
    pub(super) fn run(&mut self) {
        while self.do_one(Do::It) {}
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.worker.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let events = &mut self.events;
            let mut up = |event: WorkerEvent<'_>| events.push(alloc::format!("{event:?}"));
            self.worker.handle_timeout(self.now, &mut self.io, &mut up);
            let next = self.worker.poll_timeout();
            assert!(next.is_none_or(|next| next > due), "it moves forward");
        }
        self.now = until;
    }

    pub(super) fn accept(&mut self, method: MethodId, header: Header<'_>) -> StreamId {
        self.io.next += 1;
        let stream = StreamId::new(self.io.next, 1);
        let event = StreamIn::Accepted {
            from: None,
            method,
            header,
            deadline: None,
            trusted: self.trusted,
        };
        self.hear(stream, event);
        stream
    }

    /// Calls a method of one message.
    pub(super) fn call(&mut self, method: MethodId, request: &impl Encode) -> StreamId {
        self.call_as(Header::EMPTY, method, request)
    }

    /// Calls a method of one message, and says something of the caller.
    pub(super) fn call_as(
        &mut self,
        header: Header<'_>,
        method: MethodId,
        request: &impl Encode,
    ) -> StreamId {
        let stream = self.accept(method, header);
        let mut frame = vec![0; request.encoded_len()];
        request.encode_to_slice(&mut frame).unwrap();
        self.hear(stream, StreamIn::Frame(&frame));
        self.hear(stream, StreamIn::HalfClosed);
        stream
    }

    pub(super) fn assign(&mut self, term: i64) -> StreamId {
        self.assign_named(CHANNEL, term)
    }

    pub(super) fn assign_named(&mut self, name: &str, term: i64) -> StreamId {
        let pchannel = Some(PChannelInfo { name, term });
        let request = trefoil_proto::streaming::StreamingNodeManagerAssignRequest { pchannel };
        self.call(streaming::ASSIGN, &request)
    }

    pub(super) fn remove(&mut self, term: i64) -> StreamId {
        let pchannel = Some(PChannelInfo {
            name: CHANNEL,
            term,
        });
        let request = trefoil_proto::streaming::StreamingNodeManagerRemoveRequest { pchannel };
        self.call(streaming::REMOVE, &request)
    }

    /// How a stream ended, if it did: the code of the failure, or nothing if it went well.
    pub(super) fn end_of(&self, stream: StreamId) -> Option<Option<ErrorCode>> {
        self.io.ended.get(&stream).map(|(_, failure, _)| *failure)
    }

    /// Gives this node the channel.
    pub(super) fn open(&mut self, term: i64) {
        let stream = self.assign(term);
        self.run();
        assert_eq!(self.end_of(stream), Some(None), "{:?}", self.io.ended);
    }

    pub(super) fn produce_to(&mut self, open: &Open<'_>) -> StreamId {
        let (mut room, mut scratch) = ([0; 1_024], [0; 1_024]);
        let mut writer = HeaderWriter::new(&mut room);
        open.write_producer(&mut writer, &mut scratch).unwrap();
        let header = writer.finish();
        self.accept(streaming::PRODUCE, header)
    }

    pub(super) fn producer(&mut self, term: i64) -> StreamId {
        self.produce_to(&Open::new(CHANNEL, term))
    }

    pub(super) fn consumer(
        &mut self,
        term: i64,
        policy: Policy<'_>,
        filters: &[Filter<'_>],
    ) -> StreamId {
        self.consumer_of(CHANNEL, term, policy, filters)
    }

    pub(super) fn consumer_of(
        &mut self,
        name: &str,
        term: i64,
        policy: Policy<'_>,
        filters: &[Filter<'_>],
    ) -> StreamId {
        let open = OpenConsumer {
            open: Open::new(name, term),
            policy,
            filters: filters.iter().copied(),
        };
        let (mut room, mut scratch) = (vec![0; REQUEST_BYTES_MAX], vec![0; REQUEST_BYTES_MAX]);
        let mut writer = HeaderWriter::new(&mut room);
        open.write_consumer(&mut writer, &mut scratch).unwrap();
        let header = writer.finish();
        self.accept(streaming::CONSUME, header)
    }

    pub(super) fn send(&mut self, stream: StreamId, request_id: i64, payload: &[u8]) {
        self.send_with(stream, request_id, payload, &[("_t", b"2"), ("_v", b"1")]);
    }

    pub(super) fn send_with(
        &mut self,
        stream: StreamId,
        request_id: i64,
        payload: &[u8],
        properties: &[(&str, &[u8])],
    ) {
        let request = ProduceRequest::Produce {
            request_id,
            message: Message {
                payload,
                properties,
            },
        };
        let said = request.said(self.dialect);
        let mut frame = vec![0; said.encoded_len()];
        said.encode_to_slice(&mut frame).unwrap();
        self.hear(stream, StreamIn::Frame(&frame));
    }

    pub(super) fn take_frames(&mut self, stream: StreamId) -> Vec<Vec<u8>> {
        self.io.frames.remove(&stream).unwrap_or_default()
    }

    /// What a producer was told since it was last asked.
    pub(super) fn said(&mut self, stream: StreamId) -> Vec<Said> {
        let dialect = self.dialect;
        let frames = self.take_frames(stream);
        let said =
            frames.iter().map(
                |frame| match ProduceResponse::decode(dialect, frame).unwrap() {
                    ProduceResponse::Create {
                        producer_id: 0,
                        wal_name,
                    } => Said::Create(wal_name.into()),
                    ProduceResponse::Result { request_id, id } => {
                        Said::At(request_id, ids::sequence(dialect, id).unwrap())
                    }
                    ProduceResponse::Error {
                        request_id,
                        failure,
                    } => Said::Failed(request_id, failure.code, failure.cause.into()),
                    ProduceResponse::Close => Said::Close,
                    other @ (ProduceResponse::Create { .. } | ProduceResponse::Unknown) => {
                        panic!("{other:?}")
                    }
                },
            );
        said.collect()
    }

    /// The records a consumer was sent since it was last asked, and whether it was told of the end.
    pub(super) fn seen(&mut self, stream: StreamId) -> (Vec<Seen>, bool) {
        let dialect = self.dialect;
        let (mut seen, mut closed) = (Vec::new(), false);
        for frame in self.take_frames(stream) {
            assert!(!closed);
            match ConsumeResponse::decode(dialect, &frame).unwrap() {
                ConsumeResponse::Create { .. } => assert!(seen.is_empty()),
                ConsumeResponse::Consume { id, message } => {
                    let said = Reserved::of(&message);
                    seen.push(Seen {
                        id: ids::sequence(dialect, id).unwrap(),
                        tick: said.time_tick.unwrap(),
                        confirmed: ids::sequence_of_text(said.last_confirmed.unwrap()).unwrap(),
                        payload: message.payload.to_vec(),
                    });
                }
                ConsumeResponse::Close => closed = true,
                ConsumeResponse::Unknown => panic!(),
            }
        }
        (seen, closed)
    }

    pub(super) fn payloads(&mut self, stream: StreamId) -> Vec<Vec<u8>> {
        let (seen, _) = self.seen(stream);
        seen.into_iter().map(|seen| seen.payload).collect()
    }

    /// Every record of the log.
    pub(super) fn log(&mut self) -> Vec<(u64, record::Record<'static>)> {
        let log = [b"channel/", CHANNEL.as_bytes()].concat();
        let read = Op::Read {
            log: &log,
            from: 0,
            bytes_max: u32::MAX,
        };
        self.session.submit(read, Tag::NEW).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready((_, Completion::Records(run))) = self.session.poll(&mut cx) else {
            panic!()
        };
        let run: &'static [u8] = run.leak();
        let records = crate::storage::Records(run).iter();
        let records = records.map(|(at, bytes)| (at, record::read(bytes).unwrap()));
        records.collect()
    }
}
