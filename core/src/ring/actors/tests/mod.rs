//! A node with its store, its stage and its view of the ring, all in the hands of the test.

extern crate std;

mod bounds;
mod durability;
mod exactly_once;
mod leaving;
mod random;
mod recovery;
mod routing;
mod store;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::control_plane::{ApplyResult, GetReply, GetRequest};
use trefoil_proto::wire::{Decode, Encode};

use self::store::{OwnedOp, Store};
use super::{Actors, ActorsCommand, ActorsConfig, ActorsEvent, Ticket};
use crate::header::{Header, HeaderWriter};
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::identity::Identity;
use crate::machine::{Full, Io};
use crate::method::control_plane::{APPLY, GET};
use crate::ring::actor::tests::{Sums, adds};
use crate::ring::actor::{Job, Outcome, Output, Stage};
use crate::ring::ownership::{Ownership, Route};
use crate::status::{Code, Status};
use crate::storage::{Completion, Op, OwnerId};
use crate::stream::{Class, StreamIn};
use crate::testing::{FakeIo, Opened, OwnedStatus};
use crate::time::{Duration, Instant};

/// [`FakeIo`] that keeps operations as they are.
#[derive(Default)]
struct TestIo {
    fake: FakeIo,
    ops: VecDeque<(Tag, OwnedOp)>,
    store_full: bool,
}

impl Io for TestIo {
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
        self.fake.frame(stream, len)
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.fake.half_close(stream);
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.fake.end(stream, status);
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if self.store_full {
            return Err(Full);
        }
        self.ops.push_back((tag, OwnedOp::from(op)));
        Ok(())
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        self.fake.node(name)
    }

    fn name(&self, node: NodeId) -> &str {
        self.fake.name(node)
    }

    fn forget(&mut self, _: NodeId) {}
}

/// What one node believes about the ring.
struct View {
    routes: BTreeMap<u64, Route>,
    otherwise: Route,
    claims: Vec<u64>,
    releases: Vec<u64>,
}

impl Ownership for View {
    fn resolve(&self, id: u64) -> Route {
        self.routes.get(&id).copied().unwrap_or(self.otherwise)
    }

    fn claim(&mut self, _: Instant, id: u64, _: &mut dyn Io) {
        self.claims.push(id);
    }

    fn release(&mut self, _: Instant, id: u64, _: &mut dyn Io) {
        self.releases.push(id);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedJob {
    Load(Option<Vec<u8>>),
    Replay(Vec<u8>),
    Apply(Vec<u8>),
    Get,
    Snapshot,
    Drop,
}

impl OwnedJob {
    fn lend(&self) -> Job<'_> {
        match self {
            Self::Load(snapshot) => Job::Load {
                snapshot: snapshot.as_deref(),
            },
            Self::Replay(request) => Job::Replay { request },
            Self::Apply(request) => Job::Apply { request },
            Self::Get => Job::Get,
            Self::Snapshot => Job::Snapshot,
            Self::Drop => Job::Drop,
        }
    }
}

impl From<Job<'_>> for OwnedJob {
    fn from(job: Job<'_>) -> Self {
        match job {
            Job::Load { snapshot } => Self::Load(snapshot.map(<[u8]>::to_vec)),
            Job::Replay { request } => Self::Replay(request.to_vec()),
            Job::Apply { request } => Self::Apply(request.to_vec()),
            Job::Get => Self::Get,
            Job::Snapshot => Self::Snapshot,
            Job::Drop => Self::Drop,
        }
    }
}

/// What came up from the machine.
#[derive(Default)]
struct Ears {
    jobs: VecDeque<(Ticket, u64, OwnedJob)>,
    answers: BTreeMap<u64, Result<Vec<u8>, OwnedStatus>>,
    drained: u32,
}

impl Ears {
    fn hear(&mut self, event: ActorsEvent<'_>) {
        match event {
            ActorsEvent::Answer { call, result } => {
                let result = result.map(<[u8]>::to_vec).map_err(|status| OwnedStatus {
                    code: status.code,
                    message: String::from(status.message),
                });
                assert!(
                    self.answers.insert(call, result).is_none(),
                    "call {call} was answered twice"
                );
            }
            ActorsEvent::Run { ticket, id, job } => {
                assert!(
                    self.jobs.iter().all(|(_, other, _)| *other != id),
                    "two jobs of actor {id} at once"
                );
                self.jobs.push_back((ticket, id, job.into()));
            }
            ActorsEvent::Drained => self.drained += 1,
        }
    }
}

struct Node {
    number: usize,
    machine: Actors,
    io: TestIo,
    view: View,
    stage: Stage<Sums>,
    out: Output,
    ears: Ears,
    now: Instant,
}

const SECOND: Duration = Duration::from_secs(1);

fn config(number: usize) -> ActorsConfig {
    ActorsConfig {
        owner: OwnerId(100 + number as u64),
        seed: 7,
        ..ActorsConfig::default()
    }
}

impl Node {
    fn new(number: usize) -> Self {
        Self::with(number, config(number))
    }

    fn with(number: usize, config: ActorsConfig) -> Self {
        let view = View {
            routes: BTreeMap::new(),
            otherwise: Route::Vacant,
            claims: Vec::new(),
            releases: Vec::new(),
        };
        let mut io = TestIo::default();
        for name in ["self", "b", "c"] {
            io.node(name).unwrap();
        }
        Self {
            number,
            machine: Actors::new(config).unwrap(),
            io,
            view,
            stage: Stage::new(Sums, 3),
            out: Output::default(),
            ears: Ears::default(),
            now: Instant::from_millis(1_000),
        }
    }

    fn command(&mut self, command: ActorsCommand<'_>) {
        let ears = &mut self.ears;
        let done = self.machine.handle_command(
            self.now,
            command,
            &mut self.io,
            &mut self.view,
            &mut |e| ears.hear(e),
        );
        done.unwrap();
    }

    fn apply_as(&mut self, call: u64, id: u64, values: &[u8], request_id: Option<u128>) {
        let deadline = self.now + 60 * SECOND;
        self.command(ActorsCommand::Apply {
            call,
            request: &adds(id, values),
            request_id,
            deadline,
        });
    }

    fn apply(&mut self, call: u64, id: u64, values: &[u8]) {
        self.apply_as(call, id, values, None);
    }

    fn get(&mut self, call: u64, id: u64) {
        let deadline = self.now + 60 * SECOND;
        self.command(ActorsCommand::Get {
            call,
            request: &get(id),
            deadline,
        });
    }

    fn stream(&mut self, stream: StreamId, tag: Tag, event: StreamIn<'_>) {
        let ears = &mut self.ears;
        let (machine, view) = (&mut self.machine, &mut self.view);
        machine.handle_stream(self.now, stream, tag, event, &mut self.io, view, &mut |e| {
            ears.hear(e)
        });
    }

    /// A peer opens a call with metadata.
    fn accept(
        &mut self,
        method: MethodId,
        pairs: &[(&str, &[u8])],
        deadline: Option<Instant>,
    ) -> StreamId {
        let stream = self.io.fake.accept();
        let mut buf = [0; 512];
        let mut header = HeaderWriter::new(&mut buf);
        for (key, value) in pairs {
            header.push(key, value).unwrap();
        }
        let event = StreamIn::Accepted {
            from: None,
            method,
            header: header.finish(),
            deadline,
            trusted: true,
        };
        self.stream(stream, Tag::NEW, event);
        stream
    }

    /// The caller of an accepted stream does something.
    fn caller(&mut self, stream: StreamId, event: StreamIn<'_>) {
        let tag = self
            .io
            .fake
            .adopted
            .iter()
            .find(|(known, _)| *known == stream)
            .unwrap()
            .1;
        self.stream(stream, tag, event);
    }

    /// A whole call from a peer.
    fn call(&mut self, method: MethodId, pairs: &[(&str, &[u8])], bytes: &[u8]) -> StreamId {
        let stream = self.accept(method, pairs, None);
        self.caller(stream, StreamIn::Frame(bytes));
        self.caller(stream, StreamIn::HalfClosed);
        stream
    }

    /// The owner answers a forwarded call.
    fn owner(&mut self, opened: &Opened, event: StreamIn<'_>) {
        self.stream(opened.stream, opened.tag, event);
    }

    fn sleep(&mut self, duration: Duration) {
        self.now += duration;
        let ears = &mut self.ears;
        self.machine
            .handle_timeout(self.now, &mut self.io, &mut self.view, &mut |e| {
                ears.hear(e)
            });
    }

    fn done(&mut self, tag: Tag, completion: &Completion<Vec<u8>>) {
        let ears = &mut self.ears;
        let done = completion.as_done();
        self.machine.handle_done(
            self.now,
            tag,
            done,
            &mut self.io,
            &mut self.view,
            &mut |e| ears.hear(e),
        );
    }

    /// Performs the oldest job.
    fn job(&mut self) -> Option<OwnedJob> {
        let (ticket, id, job) = self.ears.jobs.pop_front()?;
        let outcome = self.stage.perform(id, job.lend(), &mut self.out);
        let ears = &mut self.ears;
        let command = ActorsCommand::Ran { ticket, outcome };
        let done = self.machine.handle_command(
            self.now,
            command,
            &mut self.io,
            &mut self.view,
            &mut |e| ears.hear(e),
        );
        done.unwrap();
        Some(job)
    }

    /// The oldest job fails.
    fn fail_job(&mut self) {
        let (ticket, id, _) = self.ears.jobs.pop_front().unwrap();
        self.stage.poison(id);
        self.command(ActorsCommand::Ran {
            ticket,
            outcome: Outcome::Failed,
        });
    }

    /// Lets the store do the oldest operation.
    fn op(&mut self, store: &mut Store) -> Option<OwnedOp> {
        let (tag, op) = self.io.ops.pop_front()?;
        let completion = store.perform(self.number, &op);
        self.done(tag, &completion);
        Some(op)
    }

    /// Jobs and operations until there is none.
    fn settle(&mut self, store: &mut Store) {
        while self.job().is_some() || self.op(store).is_some() {}
    }

    fn jobs(&mut self) {
        while self.job().is_some() {}
    }

    /// A node with one active actor whose sum is `value`.
    fn active(store: &mut Store, config: ActorsConfig, id: u64, value: u8) -> Self {
        let mut node = Self::with(0, config);
        node.apply(1_000_000, id, &[value]);
        node.settle(store);
        node.sum_of_apply(1_000_000);
        node
    }

    fn answer(&mut self, call: u64) -> Option<Result<Vec<u8>, OwnedStatus>> {
        self.ears.answers.remove(&call)
    }

    /// The state in the answer of an Apply.
    fn sum_of_apply(&mut self, call: u64) -> u64 {
        sum_of_apply(&self.answer(call).expect("no answer").expect("an error"))
    }

    fn sum_of_get(&mut self, call: u64) -> u64 {
        let reply = self.answer(call).expect("no answer").expect("an error");
        sum(GetReply::parse(&reply).unwrap().grain.unwrap().value)
    }

    /// The stable code and the gRPC code of a failed call.
    fn error(&mut self, call: u64) -> (String, Code) {
        let status = self.answer(call).expect("no answer").expect_err("no error");
        (
            String::from(status.message.split(':').next().unwrap()),
            status.code,
        )
    }

    fn end_of(&mut self, stream: StreamId) -> (String, Code) {
        let status = self.io.fake.take_end(stream).expect("still open");
        (
            String::from(status.message.split(':').next().unwrap()),
            status.code,
        )
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.io.ops.iter().map(|(_, op)| op.kind()).collect()
    }
}

fn sum_of_apply(reply: &[u8]) -> u64 {
    sum(ApplyResult::parse(reply).unwrap().state.unwrap().value)
}

fn sum(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn get(id: u64) -> Vec<u8> {
    let request = GetRequest { id };
    let mut bytes = alloc::vec![0; request.encoded_len()];
    request.encode_to_slice(&mut bytes).unwrap();
    bytes
}

fn code(text: &str, code: Code) -> (String, Code) {
    (String::from(text), code)
}

/// Metadata of a node of ours.
fn identity(buf: &mut [u8]) -> Header<'_> {
    let mut header = HeaderWriter::new(buf);
    let identity = Identity {
        node: "b",
        boot: 1,
        incarnation: 1,
        cluster: "c",
        placement: 0,
        store: 0,
        electorate: 0,
        features: 0,
    };
    identity.write(&mut header).unwrap();
    header.finish()
}
