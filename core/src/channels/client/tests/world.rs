//! A client, and a script in the place of everybody else.

extern crate std;

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use trefoil_proto::Encode;
use trefoil_proto::streaming::{
    AssignmentDiscoverResponse, AssignmentDiscoverResponseResponse,
    FullStreamingNodeAssignmentWithVersion, PChannelInfo, StreamingNodeAssignment,
    StreamingNodeInfo, VersionPair,
};
use trefoil_proto::wire::{Each, List};

use crate::channels::client::*;
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::{Failure, StatusRoom};
use crate::channels::golden::encoded;
use crate::channels::messages::ids::base36;
use crate::channels::messages::{
    ConsumeResponse, Message, ProduceRequest, ProduceResponse, Spoken,
};
use crate::channels::open::{Filter, Open, OpenConsumer, Policy};
use crate::header::Header;
use crate::id::MethodId;
use crate::machine::Full;
use crate::method::streaming;
use crate::status::Cause;
use crate::storage::Op;
use crate::stream::Class;
use crate::testing::{FakeIo, Opened};
use crate::time::Duration;

/// What was told, with its own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Assignment((i64, i64)),
    Opened(Key, i64),
    Interrupted(Key, ErrorCode),
    Produced(Key, u64, Vec<u8>),
    Failed(Key, u64, ErrorCode, bool),
    Room(Key),
    Record(Key, u64, Option<u64>, Vec<u8>),
    Closed(Key, Option<ErrorCode>),
    Misbehaved(&'static str),
    Stopped,
}

/// A [`FakeIo`] that counts credit and can be full for one stream's frames alone.
#[derive(Default)]
pub(super) struct CountingIo {
    pub(super) fake: FakeIo,
    pub(super) held: BTreeMap<StreamId, i64>,
    /// Frames that are still taken; all if none.
    pub(super) room: Option<u32>,
}

impl Io for CountingIo {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        self.fake.open(to, method, class, header, deadline, tag)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.fake.adopt(stream, tag);
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(1).ok_or(Full)?;
        }
        self.fake.frame(stream, len)
    }

    fn hold(&mut self, stream: StreamId, bytes: u32) {
        *self.held.entry(stream).or_default() += i64::from(bytes);
    }

    fn release(&mut self, stream: StreamId, bytes: u32) {
        *self.held.entry(stream).or_default() -= i64::from(bytes);
    }

    fn half_close(&mut self, stream: StreamId) {
        self.fake.half_close(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.fake.end(stream, status);
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        self.fake.submit(op, tag)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        self.fake.node(name)
    }

    fn name(&self, node: NodeId) -> &str {
        self.fake.name(node)
    }

    fn forget(&mut self, node: NodeId) {
        self.fake.forget(node);
    }
}

pub(super) struct World {
    pub(super) client: Client,
    pub(super) io: CountingIo,
    pub(super) now: Instant,
    pub(super) heard: Vec<Heard>,
    pub(super) dialect: Dialect,
    opened: Vec<Opened>,
}

/// A request that a node received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Produce(i64, Vec<u8>, Vec<(String, Vec<u8>)>),
    Close,
}

pub(super) const CHANNEL: &str = "dml_0";
pub(super) const TYPED: [(&str, &[u8]); 2] = [("_t", b"2"), ("_v", b"1")];

pub(super) fn config() -> ClientConfig {
    ClientConfig {
        coordinators: ["c1:1", "c2:1", "c3:1"].map(String::from).to_vec(),
        ..ClientConfig::default()
    }
}

/// What a coordinator pushes: channel, term, node, address.
pub(super) fn pushed(version: (i64, i64), places: &[(&str, i64, i64, &str)]) -> Vec<u8> {
    let nodes = places.iter().map(|(name, term, server_id, address)| {
        let channels = [PChannelInfo { name, term: *term }];
        StreamingNodeAssignment {
            node: Some(StreamingNodeInfo {
                server_id: *server_id,
                address,
            }),
            channels: Each(channels.into_iter()),
        }
    });
    full(version, Each(nodes))
}

fn full<A: List<StreamingNodeAssignment<'static>>>(
    (global, local): (i64, i64),
    assignments: A,
) -> Vec<u8> {
    encoded(&AssignmentDiscoverResponse {
        response: Some(AssignmentDiscoverResponseResponse::FullAssignment(
            FullStreamingNodeAssignmentWithVersion {
                version: Some(VersionPair { global, local }),
                assignments,
            },
        )),
    })
}

/// An end that a peer gave for a reason.
pub(super) fn failed(dialect: Dialect, code: ErrorCode, room: &mut StatusRoom) -> Status<'_> {
    Failure::new(code, "why")
        .status(dialect, room)
        .caused_by(Cause::Peer)
}

fn hear(heard: &mut Vec<Heard>, event: ClientEvent<'_>) {
    heard.push(match event {
        ClientEvent::Assignment { version, .. } => Heard::Assignment(version),
        ClientEvent::Opened { key, term } => Heard::Opened(key, term),
        ClientEvent::Interrupted { key, failure } => Heard::Interrupted(key, failure.code),
        ClientEvent::Produced { key, sequence, id } => Heard::Produced(key, sequence, id.to_vec()),
        ClientEvent::ProduceFailed {
            key,
            sequence,
            failure,
            is_certain,
        } => Heard::Failed(key, sequence, failure.code, is_certain),
        ClientEvent::Room { key } => Heard::Room(key),
        ClientEvent::Record {
            key,
            delivery,
            time_tick,
            payload,
            ..
        } => Heard::Record(key, delivery, time_tick, payload.to_vec()),
        ClientEvent::Closed { key, failure } => {
            Heard::Closed(key, failure.map(|failure| failure.code))
        }
        ClientEvent::Misbehaved { why, .. } => Heard::Misbehaved(why),
        ClientEvent::Stopped => Heard::Stopped,
    });
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: ClientConfig) -> Self {
        Self {
            dialect: config.dialect,
            client: Client::new(config).unwrap(),
            io: CountingIo::default(),
            now: Instant::from_millis(1_000),
            heard: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// A world whose watch stands, with [`CHANNEL`] at term 2 on node 7.
    pub(super) fn watching(config: ClientConfig) -> (Self, Opened) {
        let mut world = Self::with(config);
        world.command(ClientCommand::Watch).unwrap();
        let watch = world.opened(streaming::DISCOVER);
        world.push(&watch, (1, 1), &[(CHANNEL, 2, 7, "n7:1")]);
        world.heard.clear();
        (world, watch)
    }

    /// The same with an open producer of number 1.
    pub(super) fn producing(config: ClientConfig) -> (Self, Opened, Opened) {
        let (mut world, watch) = Self::watching(config);
        world.open_producer(1).unwrap();
        let stream = world.opened(streaming::PRODUCE);
        world.create(&stream);
        world.heard.clear();
        (world, watch, stream)
    }

    /// The same with an open consumer of number 1.
    pub(super) fn consuming(config: ClientConfig, policy: Policy<'_>) -> (Self, Opened, Opened) {
        let (mut world, watch) = Self::watching(config);
        world.open_consumer(1, policy, &[]).unwrap();
        let stream = world.opened(streaming::CONSUME);
        world.create(&stream);
        world.heard.clear();
        (world, watch, stream)
    }

    pub(super) fn command(&mut self, command: ClientCommand<'_>) -> Result<(), ClientRefused> {
        let Self {
            client,
            io,
            now,
            heard,
            ..
        } = self;
        client.handle_command(*now, command, io, &mut |event: ClientEvent<'_>| {
            hear(heard, event);
        })
    }

    pub(super) fn open_producer(&mut self, key: Key) -> Result<(), ClientRefused> {
        self.command(ClientCommand::OpenProducer {
            key,
            channel: CHANNEL,
            timeout: None,
            dedupe: None,
        })
    }

    pub(super) fn open_consumer(
        &mut self,
        key: Key,
        policy: Policy<'_>,
        filters: &[Filter<'_>],
    ) -> Result<(), ClientRefused> {
        self.command(ClientCommand::OpenConsumer {
            key,
            channel: CHANNEL,
            policy,
            filters,
        })
    }

    pub(super) fn produce(&mut self, key: Key, payload: &[u8]) -> Result<(), ClientRefused> {
        self.command(ClientCommand::Produce {
            key,
            payload,
            properties: &TYPED,
        })
    }

    pub(super) fn event(&mut self, to: &Opened, event: StreamIn<'_>) {
        let Self {
            client,
            io,
            now,
            heard,
            ..
        } = self;
        client.handle_stream(
            *now,
            to.stream,
            to.tag,
            event,
            io,
            &mut |event: ClientEvent<'_>| hear(heard, event),
        );
    }

    pub(super) fn frame(&mut self, to: &Opened, message: &impl Encode) {
        let frame = encoded(message);
        self.event(to, StreamIn::Frame(&frame));
    }

    pub(super) fn push(
        &mut self,
        to: &Opened,
        version: (i64, i64),
        places: &[(&str, i64, i64, &str)],
    ) {
        self.event(to, StreamIn::Frame(&pushed(version, places)));
    }

    pub(super) fn answer(&mut self, to: &Opened, answer: ProduceResponse<'_>) {
        self.frame(to, &answer.said(self.dialect));
    }

    /// The first word of a node.
    pub(super) fn create(&mut self, to: &Opened) {
        if to.method == streaming::PRODUCE {
            let create = ProduceResponse::Create {
                producer_id: 0,
                wal_name: "",
            };
            return self.answer(to, create);
        }
        let create: ConsumeResponse<'_> = ConsumeResponse::Create { wal_name: "" };
        self.frame(to, &create.said(self.dialect));
    }

    /// A record with a tick, and a last confirmed id if there is one.
    pub(super) fn record(&mut self, to: &Opened, id: &[u8], tick: u64, confirmed: Option<&[u8]>) {
        let tick_text = base36(tick);
        let mut properties: Vec<(&str, &[u8])> = [("_tt", tick_text.as_bytes())].to_vec();
        properties.extend(confirmed.map(|id| ("_lc", id)));
        let record = ConsumeResponse::Consume {
            id,
            message: Message {
                payload: id,
                properties: properties.as_slice(),
            },
        };
        // A slice is behind a reference, so that it can be lent.
        let frame = encoded(&record.said(self.dialect));
        self.event(to, StreamIn::Frame(&frame));
    }

    pub(super) fn fail(&mut self, to: &Opened, code: ErrorCode) {
        let mut room = StatusRoom::new();
        let status = failed(self.dialect, code, &mut room);
        self.event(to, StreamIn::Ended(status));
    }

    /// Looks for what was opened, and finds nothing else.
    pub(super) fn opened(&mut self, method: MethodId) -> Opened {
        self.opened.extend(self.io.fake.take_opened());
        let at = self
            .opened
            .iter()
            .position(|opened| opened.method == method);
        self.opened.remove(at.unwrap())
    }

    pub(super) fn opened_none(&mut self) {
        self.opened.extend(self.io.fake.take_opened());
        assert!(self.opened.is_empty(), "{:?}", self.opened);
    }

    /// What a node received.
    pub(super) fn requests(&mut self, to: &Opened) -> Vec<Request> {
        let frames = self.io.fake.take_frames(to.stream);
        let requests =
            frames.iter().map(
                |frame| match ProduceRequest::decode(self.dialect, frame).unwrap() {
                    ProduceRequest::Produce {
                        request_id,
                        message,
                    } => {
                        let properties = message.properties.iter().flatten();
                        let properties =
                            properties.map(|(key, value)| (key.to_string(), value.to_vec()));
                        Request::Produce(request_id, message.payload.to_vec(), properties.collect())
                    }
                    ProduceRequest::Close => Request::Close,
                    ProduceRequest::Unknown => panic!("a request of no kind"),
                },
            );
        requests.collect()
    }

    /// Numbers and payloads of what a node received.
    pub(super) fn payloads(&mut self, to: &Opened) -> Vec<(i64, Vec<u8>)> {
        let requests = self.requests(to).into_iter();
        let payloads = requests.map(|request| match request {
            Request::Produce(request_id, payload, _) => (request_id, payload),
            Request::Close => panic!("a close"),
        });
        payloads.collect()
    }

    pub(super) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    fn timeout(&mut self, now: Instant) {
        let Self {
            client, io, heard, ..
        } = self;
        client.handle_timeout(now, io, &mut |event: ClientEvent<'_>| hear(heard, event));
    }

    /// Lets the next due time come. A call before it does nothing; one at it moves it forward. Returns how
    /// long it took.
    pub(super) fn sleep(&mut self) -> Duration {
        let due = self.client.poll_timeout().unwrap();
        let before = due - Duration::from_nanos(1);
        if before >= self.now {
            let told = self.heard.len();
            self.timeout(before);
            assert_eq!(self.client.poll_timeout(), Some(due));
            assert_eq!(self.heard.len(), told);
        }
        let waited = due.since(self.now);
        self.now = self.now.max(due);
        self.timeout(self.now);
        assert!(
            self.client
                .poll_timeout()
                .is_none_or(|next| next > self.now)
        );
        waited
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.client.poll_timeout().is_some_and(|due| due <= until) {
            self.sleep();
        }
        self.now = until;
    }
}

/// What a stream was opened with.
pub(super) fn opened_with(opened: &Opened) -> (String, i64, Option<i64>, Option<String>) {
    let header = Header(&opened.header);
    let mut scratch = [0; 2_048];
    let open = if opened.method == streaming::PRODUCE {
        Open::producer(header, &mut scratch).unwrap()
    } else {
        let read = OpenConsumer::consumer(Dialect::Seed, header, &mut scratch);
        read.unwrap().open
    };
    (
        open.channel.into(),
        open.term,
        open.server_id,
        open.cluster.map(String::from),
    )
}

/// From where a consumer was opened, and with which filters.
pub(super) fn reads_from(opened: &Opened) -> (String, Vec<String>) {
    let mut scratch = [0; 2_048];
    let read = OpenConsumer::consumer(Dialect::Seed, Header(&opened.header), &mut scratch).unwrap();
    let text = |id: &[u8]| String::from_utf8_lossy(id).to_string();
    let policy = match read.policy {
        Policy::All => "all".into(),
        Policy::Latest => "latest".into(),
        Policy::StartFrom(id) => std::format!("from {}", text(id)),
        Policy::StartAfter(id) => std::format!("after {}", text(id)),
    };
    let filters = read.filters.iter().map(|filter| match filter {
        Filter::TimeTickGt(tick) => std::format!("> {tick}"),
        Filter::TimeTickGte(tick) => std::format!(">= {tick}"),
        Filter::VChannel(name) => std::format!("in {name}"),
    });
    (policy, filters.collect())
}
