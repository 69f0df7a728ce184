//! A coordinator, a store in memory and scripted nodes, in virtual time.

extern crate std;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use trefoil_proto::common::StateCode;
use trefoil_proto::milvus::{ComponentInfo, ComponentStates};
use trefoil_proto::streaming::{
    AssignmentDiscoverResponseResponse, AssignmentDiscoverResponseView,
    StreamingNodeManagerAssignRequest,
};
use trefoil_proto::{Decode, Encode};

use super::super::answers::What;
use super::super::*;
use super::worker::Outcome;
pub(super) use super::worker::{Called, Mode, Worker};
use crate::channels::dialect::Dialect;
use crate::channels::failure::{Failure, StatusRoom};
use crate::codes;
use crate::header::Header;
use crate::id::{MethodId, NodeId};
use crate::machine::Full;
use crate::memory::{MemorySession, MemoryStore};
use crate::method::streaming;
use crate::status::{Cause, Code, Status};
use crate::storage::{Completion, Op, Storage};
use crate::stream::Class;
use crate::testing::{FakeIo, OwnedStatus};

/// Half a round trip.
pub(super) const HOP: Duration = Duration::from_micros(500);
/// How long the store takes.
pub(super) const STORE: Duration = Duration::from_millis(1);

/// What goes wrong with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It is done, and the outcome is not known.
    DoneUnheard,
    /// It is not done, and that is not known.
    LostUnheard,
}

/// Does what is done to it, and keeps the operations for a store.
pub(super) struct WorldIo {
    pub(super) fake: FakeIo,
    session: MemorySession,
    /// Of the next writes.
    pub(super) faults: VecDeque<Fault>,
    unheard: Vec<Tag>,
    outcomes: Vec<(Tag, Completion<Vec<u8>>)>,
    /// Streams without room.
    pub(super) full: BTreeSet<StreamId>,
    pub(super) writes: u64,
    pub(super) ops_max: usize,
    pub(super) under_way: usize,
}

impl Io for WorldIo {
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
        if self.full.contains(&stream) {
            return Err(Full);
        }
        self.fake.frame(stream, len)
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.fake.half_close(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        let failure = Failure::of_status(Dialect::Seed, &status);
        let message = failure.map_or("", |failure| failure.cause);
        let seen = Status { message, ..status };
        self.fake.end(stream, seen);
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if self.under_way == self.ops_max {
            return Err(Full);
        }
        self.under_way += 1;
        let mut fault = Fault::None;
        if matches!(op, Op::Cas { .. }) {
            self.writes += 1;
            fault = self.faults.pop_front().unwrap_or(Fault::None);
        }
        match fault {
            Fault::None => {}
            Fault::DoneUnheard => self.unheard.push(tag),
            Fault::LostUnheard => {
                self.outcomes.push((tag, Completion::Unknown));
                return Ok(());
            }
        }
        self.session.submit(op, tag)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        self.fake.node(name)
    }

    fn knows(&self, name: &str) -> bool {
        self.fake.knows(name)
    }

    fn name(&self, node: NodeId) -> &str {
        self.fake.name(node)
    }

    fn forget(&mut self, node: NodeId) {
        self.fake.forget(node);
    }
}

impl WorldIo {
    fn take_outcomes(&mut self) -> Vec<(Tag, Completion<Vec<u8>>)> {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready((tag, outcome)) = self.session.poll(&mut cx) {
            let unheard = self.unheard.iter().position(|known| *known == tag);
            let outcome = match unheard {
                Some(at) => {
                    self.unheard.remove(at);
                    Completion::Unknown
                }
                None => outcome,
            };
            self.outcomes.push((tag, outcome));
        }
        core::mem::take(&mut self.outcomes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Serving(u32),
    Created(String),
    Lost(String),
    Assigned(String, i64, i64),
    Unassigned(String, i64),
    Stopped(String, String),
    Damaged,
    Drained(i64),
}

enum Next {
    Store(Tag, Completion<Vec<u8>>),
    Arrive(StreamId, Called, i64),
    Answer(StreamId, Outcome),
    Deadline(StreamId),
    /// Whoever is at an address is asked how it is.
    Probe(StreamId, String),
}

/// A push as a client reads it: version, and term and server id by channel.
pub(super) type Push = ((i64, i64), BTreeMap<String, (i64, i64)>);

pub(super) struct World {
    pub(super) machine: Coordinator,
    pub(super) io: WorldIo,
    pub(super) store: MemoryStore,
    pub(super) now: Instant,
    pub(super) told: Vec<Told>,
    /// How long what the store is asked next takes.
    pub(super) store_takes: Duration,
    pub(super) called: Vec<Called>,
    pub(super) workers: BTreeMap<String, Worker>,
    /// Addresses of those that say they are stopping.
    pub(super) stopping: BTreeSet<String>,
    /// Times that nodes of another make were asked how they are.
    pub(super) probed: u32,
    /// Calls under way.
    calls: BTreeMap<StreamId, Tag>,
    /// Streams of clients, and what they were sent.
    pub(super) watchers: BTreeMap<StreamId, Tag>,
    pub(super) pushed: BTreeMap<StreamId, Vec<Vec<u8>>>,
    pub(super) ended: BTreeMap<StreamId, OwnedStatus>,
    queue: BTreeMap<(Instant, u64), Next>,
    sequence: u64,
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn name(number: usize) -> String {
    std::format!("by-dev-rootcoord-dml_{number}")
}

pub(super) fn address(node: i64) -> String {
    std::format!("10.0.0.{node}:22222")
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(MemoryStore::new(), |_| {})
    }

    pub(super) fn with(store: MemoryStore, change: impl FnOnce(&mut CoordinatorConfig)) -> Self {
        let mut config = CoordinatorConfig::default();
        change(&mut config);
        let io = WorldIo {
            fake: FakeIo::default(),
            session: store.session("me:1", 1 << 20),
            faults: VecDeque::new(),
            unheard: Vec::new(),
            outcomes: Vec::new(),
            full: BTreeSet::new(),
            writes: 0,
            ops_max: 1 << 20,
            under_way: 0,
        };
        Self {
            machine: Coordinator::new(config).unwrap(),
            io,
            store,
            now: Instant::from_millis(1_000),
            told: Vec::new(),
            store_takes: STORE,
            called: Vec::new(),
            workers: BTreeMap::new(),
            stopping: BTreeSet::new(),
            probed: 0,
            calls: BTreeMap::new(),
            watchers: BTreeMap::new(),
            pushed: BTreeMap::new(),
            ended: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// One that serves `channels` channels on `nodes` nodes, all of them assigned.
    pub(super) fn serving(nodes: i64, channels: usize) -> Self {
        Self::serving_with(nodes, channels, |_| {})
    }

    pub(super) fn serving_with(
        nodes: i64,
        channels: usize,
        change: impl FnOnce(&mut CoordinatorConfig),
    ) -> Self {
        let mut world = Self::with(MemoryStore::new(), change);
        for node in 1..=nodes {
            world.up(node, &address(node));
        }
        world.lead(7);
        for channel in 0..channels {
            world.create(&name(channel));
        }
        world.run(Duration::from_secs(2));
        world.assert_all_assigned();
        world
    }

    /// Another coordinator over the same store and the same nodes, none of which it has heard of.
    pub(super) fn successor(self) -> Self {
        let mut next = Self::with(self.store, |_| {});
        next.now = self.now;
        next.workers = self.workers;
        next
    }

    fn enter<R>(
        &mut self,
        run: impl FnOnce(&mut Coordinator, Instant, &mut WorldIo, &mut dyn Events<Coordinator>) -> R,
    ) -> R {
        let told = &mut self.told;
        let mut up = |event: CoordinatorEvent<'_>| {
            told.push(match event {
                CoordinatorEvent::Serving { channels, .. } => Told::Serving(channels),
                CoordinatorEvent::Created { channel } => Told::Created(channel.to_string()),
                CoordinatorEvent::Lost { why } => Told::Lost(why.to_string()),
                CoordinatorEvent::Assigned {
                    channel,
                    term,
                    node,
                } => Told::Assigned(channel.to_string(), term, node.server_id),
                CoordinatorEvent::Unassigned { channel, term } => {
                    Told::Unassigned(channel.to_string(), term)
                }
                CoordinatorEvent::Stopped { channel, why } => {
                    Told::Stopped(channel.to_string(), why.to_string())
                }
                CoordinatorEvent::Damaged { .. } => Told::Damaged,
                CoordinatorEvent::Drained { node } => Told::Drained(node.server_id),
            });
        };
        let result = run(&mut self.machine, self.now, &mut self.io, &mut up);
        self.gather();
        result
    }

    fn later(&mut self, after: Duration, next: Next) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), next);
    }

    /// Takes what the machine did.
    fn gather(&mut self) {
        for (tag, outcome) in self.io.take_outcomes() {
            self.later(self.store_takes, Next::Store(tag, outcome));
        }
        let opened = self.io.fake.take_opened();
        let mut requests: BTreeMap<StreamId, Vec<u8>> = BTreeMap::new();
        for (stream, frame) in core::mem::take(&mut self.io.fake.frames) {
            if self.watchers.contains_key(&stream) {
                self.pushed.entry(stream).or_default().push(frame);
            } else {
                requests.insert(stream, frame);
            }
        }
        for open in opened {
            self.calls.insert(open.stream, open.tag);
            if let Some(deadline) = open.deadline {
                self.later(deadline.since(self.now), Next::Deadline(open.stream));
            }
            assert!(self.io.fake.half_closed.contains(&open.stream));
            if open.method == streaming::NODE_STATES {
                let address = self.io.fake.name(open.to).to_string();
                self.later(HOP, Next::Probe(open.stream, address));
                continue;
            }
            // Assign and Remove are written alike.
            let request =
                StreamingNodeManagerAssignRequest::parse(&requests[&open.stream]).unwrap();
            let channel = request.pchannel.unwrap();
            let server_id = Header(&open.header).text("serverid").unwrap().parse();
            let called = Called {
                at: self.now,
                address: self.io.fake.name(open.to).to_string(),
                what: if open.method == streaming::ASSIGN {
                    What::Assign
                } else {
                    What::Remove
                },
                channel: channel.name.to_string(),
                term: channel.term,
            };
            self.later(HOP, Next::Arrive(open.stream, called, server_id.unwrap()));
        }
        self.io.fake.half_closed.clear();
        for (stream, status) in core::mem::take(&mut self.io.fake.ended) {
            self.calls.remove(&stream);
            if self.watchers.remove(&stream).is_some() || !self.ended.contains_key(&stream) {
                self.ended.insert(stream, status);
            }
        }
        for (stream, tag) in core::mem::take(&mut self.io.fake.adopted) {
            self.watchers.insert(stream, tag);
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until something holds. Returns whether it came to hold.
    pub(super) fn run_until(
        &mut self,
        time: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> bool {
        let until = self.now + time;
        loop {
            if holds(self) {
                return true;
            }
            let due = self.machine.poll_timeout();
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = crate::time::earliest(due, queued).filter(|at| *at <= until) else {
                self.now = until;
                return holds(self);
            };
            self.now = self.now.max(next);
            if queued.is_some_and(|at| at <= self.now) {
                if let Some((_, next)) = self.queue.pop_first() {
                    self.happen(next);
                }
            } else {
                self.enter(|machine, now, io, up| machine.handle_timeout(now, io, up));
                let after = self.machine.poll_timeout();
                assert!(
                    after.is_none_or(|at| at > self.now),
                    "a timer that is due for ever"
                );
            }
        }
    }

    fn happen(&mut self, next: Next) {
        match next {
            Next::Store(tag, outcome) => {
                self.io.under_way -= 1;
                self.enter(|machine, now, io, up| {
                    machine.handle_done(now, tag, outcome.as_done(), io, up);
                });
            }
            Next::Arrive(stream, called, server_id) => self.arrive(stream, called, server_id),
            Next::Answer(stream, result) => self.answer(stream, &result),
            Next::Probe(stream, address) => self.probe(stream, &address),
            Next::Deadline(stream) => {
                let status = Status::new(Code::DeadlineExceeded, codes::DEADLINE);
                self.end_call(stream, status.caused_by(Cause::Deadline), None);
            }
        }
    }

    fn answer(&mut self, stream: StreamId, result: &Outcome) {
        let mut room = StatusRoom::new();
        match result {
            Ok(()) => self.end_call(stream, Status::OK, Some(&[])),
            Err((code, None)) => {
                let status = Status::new(*code, "no details").caused_by(Cause::Peer);
                self.end_call(stream, status, None);
            }
            Err((_, Some((code, cause)))) => {
                let status = Failure::new(*code, cause).status(Dialect::Seed, &mut room);
                self.end_call(stream, status.caused_by(Cause::Peer), None);
            }
        }
    }

    fn end_call(&mut self, stream: StreamId, status: Status<'_>, answer: Option<&[u8]>) {
        let Some(tag) = self.calls.get(&stream).copied() else {
            return;
        };
        if let Some(answer) = answer {
            self.enter(|machine, now, io, up| {
                machine.handle_stream(now, stream, tag, StreamIn::Frame(answer), io, up);
            });
        }
        if self.calls.remove(&stream).is_some() {
            self.enter(|machine, now, io, up| {
                machine.handle_stream(now, stream, tag, StreamIn::Ended(status), io, up);
            });
        }
    }

    /// A node of another make is asked how it is. One that hears nothing answers nothing.
    fn probe(&mut self, stream: StreamId, address: &str) {
        self.probed += 1;
        let Some(worker) = self.workers.get(address) else {
            let status = Status::new(Code::Unavailable, codes::UNREACHABLE);
            return self.end_call(stream, status.caused_by(Cause::Refused), None);
        };
        if worker.mode == Mode::BlackHole {
            return;
        }
        let state_code = if self.stopping.contains(address) {
            StateCode::STOPPING
        } else {
            StateCode::HEALTHY
        };
        let states: ComponentStates<'_> = ComponentStates {
            state: Some(ComponentInfo {
                node_id: worker.server_id,
                state_code,
                ..ComponentInfo::default()
            }),
            ..ComponentStates::default()
        };
        let mut frame = alloc::vec![0; states.encoded_len()];
        states.encode_to_slice(&mut frame).unwrap();
        self.end_call(stream, Status::OK, Some(&frame));
    }

    fn arrive(&mut self, stream: StreamId, called: Called, server_id: i64) {
        self.called.push(Called {
            at: self.now,
            ..called.clone()
        });
        let Some(worker) = self.workers.get_mut(&called.address) else {
            return;
        };
        let now = self.now;
        if let Some((after, result)) = worker.take(now, &called, server_id) {
            self.later(after + HOP, Next::Answer(stream, result));
        }
    }

    pub(super) fn command(
        &mut self,
        command: CoordinatorCommand<'_>,
    ) -> Result<(), CoordinatorRefused> {
        self.enter(|machine, now, io, up| machine.handle_command(now, command, io, up))
    }

    pub(super) fn lead(&mut self, token: u64) {
        self.command(CoordinatorCommand::Lead { token }).unwrap();
        let served = self.run_until(Duration::from_secs(1), |world| world.machine.is_serving());
        assert!(served, "{:?}", self.told);
    }

    /// A node starts, or starts anew.
    pub(super) fn up(&mut self, server_id: i64, address: &str) {
        self.process(server_id, address);
        let command = CoordinatorCommand::NodeUp {
            server_id,
            address,
            weight: 1,
        };
        self.command(command).unwrap();
    }

    /// A process starts, or starts anew, and nobody is told.
    pub(super) fn process(&mut self, server_id: i64, address: &str) {
        let known = self.workers.get(address);
        if known.is_none_or(|known| known.server_id != server_id) {
            let worker = Worker {
                server_id,
                mode: Mode::Well,
                open: ms(1),
                channels: BTreeMap::new(),
            };
            self.workers.insert(address.to_string(), worker);
        }
    }

    pub(super) fn gone(&mut self, server_id: i64) {
        self.command(CoordinatorCommand::NodeGone { server_id })
            .unwrap();
    }

    pub(super) fn create(&mut self, channel: &str) {
        self.command(CoordinatorCommand::Create { channel })
            .unwrap();
    }

    pub(super) fn worker(&mut self, node: i64) -> &mut Worker {
        self.workers.get_mut(&address(node)).unwrap()
    }

    pub(super) fn view(&self, channel: &str) -> ChannelView<'_> {
        self.machine.channel(channel).unwrap()
    }

    /// Where a channel is or is on its way to, and its term.
    pub(super) fn at(&self, channel: &str) -> (Option<i64>, i64) {
        let view = self.view(channel);
        (view.node.map(|node| node.server_id), view.term)
    }

    /// Term and server id of each channel.
    pub(super) fn placement(&self) -> BTreeMap<String, (i64, i64)> {
        let all = self.machine.channels();
        let all =
            all.filter_map(|view| Some((view.name.to_string(), (view.term, view.node?.server_id))));
        all.collect()
    }

    pub(super) fn count_on(&self, server_id: i64) -> usize {
        let all = self.placement();
        all.values().filter(|(_, on)| *on == server_id).count()
    }

    pub(super) fn assert_all_assigned(&self) {
        let (assigned, all) = self.machine.assigned();
        assert_eq!(assigned, all);
        for view in self.machine.channels() {
            assert_eq!(view.waits, Waits::Nothing, "{view:?}");
            let node = view.node.unwrap();
            let worker = &self.workers[&*node.address];
            let (term, available, _) = worker.channels[view.name];
            assert_eq!((term, available), (view.term, true), "{view:?}");
        }
    }

    /// A client begins to watch.
    pub(super) fn watch(&mut self) -> StreamId {
        self.accept(streaming::DISCOVER)
    }

    pub(super) fn accept(&mut self, method: MethodId) -> StreamId {
        let stream = self.io.fake.accept();
        // Frames that are sent at once are the client's.
        self.watchers.insert(stream, Tag::NEW);
        let accepted = StreamIn::Accepted {
            from: None,
            method,
            header: Header::EMPTY,
            deadline: None,
            trusted: false,
        };
        self.enter(|machine, now, io, up| {
            machine.handle_stream(now, stream, Tag::NEW, accepted, io, up);
        });
        stream
    }

    pub(super) fn say(&mut self, stream: StreamId, event: StreamIn<'_>) {
        let tag = self.watchers[&stream];
        self.enter(|machine, now, io, up| {
            machine.handle_stream(now, stream, tag, event, io, up);
        });
    }

    /// What a client was sent since it was asked last.
    pub(super) fn pushes(&mut self, stream: StreamId) -> Vec<Push> {
        let frames = self.pushed.remove(&stream).unwrap_or_default();
        frames.iter().map(|frame| read_push(frame)).collect()
    }
}

pub(super) fn read_push(frame: &[u8]) -> Push {
    let view = AssignmentDiscoverResponseView::parse(frame).unwrap();
    let Some(AssignmentDiscoverResponseResponse::FullAssignment(full)) = view.response else {
        panic!("no assignment: {frame:?}");
    };
    let version = full.version.unwrap();
    let mut channels = BTreeMap::new();
    for assignment in &full.assignments {
        let assignment = assignment.unwrap();
        assert!(!assignment.channels.is_empty(), "a node without channels");
        for channel in &assignment.channels {
            let channel = channel.unwrap();
            let on = (channel.term, assignment.node.unwrap().server_id);
            assert_eq!(channels.insert(channel.name.to_string(), on), None);
        }
    }
    ((version.global, version.local), channels)
}
