//! A network of memberships in virtual time: encoded frames, latencies, loss, crashes, freezes, cuts.

extern crate std;

use std::borrow::ToOwned;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::crowd::Processor;
use crate::header::{Header, HeaderWriter};
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::identity::Identity;
use crate::machine::{Events, Full, Io, Machine};
use crate::ring::membership::{
    DownReason, Membership, MembershipCommand, MembershipConfig, MembershipEvent, MembershipPlant,
};
use crate::rng::Rng;
use crate::status::{Cause, Code, Status};
use crate::storage::Op;
use crate::stream::{Class, StreamIn};
use crate::time::{Duration, Instant};

/// An event that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Up(String, u64),
    Suspected(String),
    Cleared(String),
    Draining(String),
    Down(String, DownReason),
    Majority(bool),
    Left,
    Misbehaved(&'static str),
}

struct Stream {
    peer: usize,
    /// The caller's stream, of an accepted one.
    remote: Option<StreamId>,
    method: MethodId,
    header: Vec<u8>,
    frame: Vec<u8>,
    tag: Tag,
    deadline: Option<Instant>,
}

/// What a machine did, for the network to carry out.
enum Out {
    Call(StreamId),
    Answer(StreamId, Code),
}

struct World {
    book: Vec<String>,
    numbers: BTreeMap<String, u32>,
    peers: BTreeMap<String, usize>,
    streams: BTreeMap<StreamId, Stream>,
    out: Vec<Out>,
    next: u32,
    now: Instant,
}

impl World {
    fn insert(&mut self, stream: Stream) -> StreamId {
        self.next += 1;
        let id = StreamId::new(self.next, 0);
        self.streams.insert(id, stream);
        id
    }
}

impl Io for World {
    fn open(
        &mut self,
        to: NodeId,
        method: MethodId,
        class: Class,
        header: Header<'_>,
        deadline: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        assert_eq!(class, Class::Control);
        assert!(
            deadline.is_some_and(|deadline| deadline > self.now),
            "every call has a deadline"
        );
        let peer = self
            .peers
            .get(&self.book[to.0 as usize])
            .copied()
            .unwrap_or(usize::MAX);
        let header = header.0.to_vec();
        Ok(self.insert(Stream {
            peer,
            remote: None,
            method,
            header,
            frame: vec![],
            tag,
            deadline,
        }))
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.tag = tag;
        }
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        let stream = self.streams.get_mut(&stream).ok_or(Full)?;
        stream.frame = vec![0; len];
        Ok(&mut stream.frame)
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}

    fn half_close(&mut self, stream: StreamId) {
        self.out.push(Out::Call(stream));
    }

    fn end(&mut self, stream: StreamId, status: Status<'_>) {
        self.out.push(Out::Answer(stream, status.code));
    }

    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(NodeId(*number));
        }
        let number = self.book.len() as u32;
        self.book.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Ok(NodeId(number))
    }

    fn name(&self, node: NodeId) -> &str {
        &self.book[node.0 as usize]
    }

    fn forget(&mut self, _: NodeId) {}
}

pub(super) struct Node {
    pub(super) machine: Membership,
    pub(super) told: Vec<(Instant, Told)>,
    world: World,
    identity: Vec<u8>,
    pub(super) alive: bool,
    boot: u32,
    frozen_until: Instant,
    tick: Option<Instant>,
    /// Nodes of one side hear each other.
    side: u8,
}

pub(super) enum Event {
    Tick,
    Deadline(StreamId),
    Request {
        from: usize,
        stream: StreamId,
        method: MethodId,
        header: Vec<u8>,
        frame: Vec<u8>,
    },
    Reply {
        stream: StreamId,
        header: Vec<u8>,
        frame: Vec<u8>,
        code: Code,
    },
    Refused(StreamId),
}

pub(super) struct Due {
    pub(super) at: Instant,
    sequence: u64,
    pub(super) node: usize,
    boot: u32,
    pub(super) event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) queue: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    rng: Rng,
    /// Calls that fail, in a thousand.
    pub(super) loss: u64,
    /// Whether a dead process refuses or is silent.
    pub(super) refuses: bool,
    pub(super) calls: u64,
    /// What all nodes run on, if it is less than a processor each.
    pub(super) processor: Option<Processor>,
    base: MembershipConfig,
}

pub(super) fn host(node: usize) -> String {
    format!("host-{node:04}:7000")
}

fn identity(name: &str, incarnation: u64) -> Vec<u8> {
    let mut buf = [0; 512];
    let mut writer = HeaderWriter::new(&mut buf);
    let boot = incarnation;
    let identity = Identity {
        node: name,
        boot,
        incarnation,
        cluster: "c",
        placement: 0,
        store: 0,
        electorate: 0,
        features: 0,
    };
    identity.write(&mut writer).unwrap();
    writer.finish().0.to_vec()
}

impl Node {
    pub(super) fn has_stream(&self, stream: StreamId) -> bool {
        self.world.streams.contains_key(&stream)
    }
}

impl Net {
    pub(super) fn new(base: MembershipConfig, seed: u64) -> Self {
        Self {
            now: Instant::from_millis(1_000),
            nodes: vec![],
            queue: BinaryHeap::new(),
            sequence: 0,
            rng: Rng::new(seed),
            loss: 0,
            refuses: false,
            calls: 0,
            processor: None,
            base,
        }
    }

    /// Nodes that name the first three as seeds, started within `spread`.
    pub(super) fn cluster(n: usize, seed: u64) -> Self {
        let mut net = Self::new(MembershipConfig::lan(), seed);
        for _ in 0..n {
            net.add(&[0, 1, 2][..n.min(3)]);
        }
        net
    }

    pub(super) fn add(&mut self, seeds: &[usize]) -> usize {
        let at = self.nodes.len();
        let node = self.make(at, 1, seeds);
        self.nodes.push(node);
        for other in 0..=at {
            self.nodes[other].world.peers.insert(host(at), at);
            self.nodes[at].world.peers.insert(host(other), other);
        }
        self.schedule(at);
        at
    }

    fn make(&mut self, at: usize, incarnation: u64, seeds: &[usize]) -> Node {
        let name = host(at);
        let config = MembershipConfig {
            host: name.clone(),
            incarnation,
            seeds: seeds.iter().map(|seed| host(*seed)).collect(),
            seed: self.rng.draw(),
            ..self.base.clone()
        };
        let mut world = World {
            book: vec![],
            numbers: BTreeMap::new(),
            peers: BTreeMap::new(),
            streams: BTreeMap::new(),
            out: vec![],
            next: 0,
            now: self.now,
        };
        world.node(&name).unwrap();
        Node {
            machine: Membership::new(config).unwrap(),
            told: vec![],
            world,
            identity: identity(&name, incarnation),
            alive: true,
            boot: incarnation as u32,
            frozen_until: Instant::ZERO,
            tick: None,
            side: 0,
        }
    }

    pub(super) fn crash(&mut self, at: usize) {
        self.nodes[at].alive = false;
    }

    pub(super) fn restart(&mut self, at: usize, seeds: &[usize]) {
        let incarnation = self.nodes[at].machine.incarnation() + 1;
        let mut node = self.make(at, incarnation, seeds);
        node.world.peers = self.nodes[at].world.peers.clone();
        node.side = self.nodes[at].side;
        self.nodes[at] = node;
        self.schedule(at);
    }

    pub(super) fn freeze(&mut self, at: usize, time: Duration) {
        self.nodes[at].frozen_until = self.now + time;
    }

    /// Cuts the network: each node hears its own side only.
    pub(super) fn cut(&mut self, side: impl Fn(usize) -> u8) {
        for at in 0..self.nodes.len() {
            self.nodes[at].side = side(at);
        }
    }

    pub(super) fn plant(&mut self, plant: MembershipPlant) {
        for node in &mut self.nodes {
            node.machine.plant(plant);
        }
    }

    pub(super) fn command(&mut self, at: usize, command: MembershipCommand<'_>) {
        self.with(at, |machine, now, world, up| {
            machine.handle_command(now, command, world, up).unwrap()
        });
    }

    fn push(&mut self, at: Instant, node: usize, event: Event) {
        self.sequence += 1;
        let boot = self.nodes[node].boot;
        self.queue.push(Reverse(Due {
            at,
            sequence: self.sequence,
            node,
            boot,
            event,
        }));
    }

    fn schedule(&mut self, node: usize) {
        let due = self.nodes[node]
            .machine
            .poll_timeout()
            .map(|due| due.max(self.now));
        if let Some(at) = due {
            if self.nodes[node]
                .tick
                .is_none_or(|tick| tick > at || tick < self.now)
            {
                self.nodes[node].tick = Some(at);
                self.push(at, node, Event::Tick);
            }
        }
    }

    fn with<R>(
        &mut self,
        at: usize,
        run: impl FnOnce(&mut Membership, Instant, &mut World, &mut dyn Events<Membership>) -> R,
    ) -> R {
        let now = self.now;
        let Node {
            machine,
            told,
            world,
            ..
        } = &mut self.nodes[at];
        world.now = now;
        let mut news = vec![];
        let mut names = vec![];
        let mut up = |event: MembershipEvent<'_>| {
            let told = match event {
                MembershipEvent::Up {
                    host,
                    incarnation,
                    node,
                    ..
                } => {
                    names.push((node, host.to_owned()));
                    Told::Up(host.to_owned(), incarnation)
                }
                MembershipEvent::Suspected { node } => Told::Suspected(format!("{}", node.0)),
                MembershipEvent::Cleared { node } => Told::Cleared(format!("{}", node.0)),
                MembershipEvent::Draining { node } => Told::Draining(format!("{}", node.0)),
                MembershipEvent::Down { node, reason } => Told::Down(format!("{}", node.0), reason),
                MembershipEvent::Majority(majority) => Told::Majority(majority),
                MembershipEvent::Left => Told::Left,
                MembershipEvent::Misbehaved { what, .. } => Told::Misbehaved(what),
            };
            news.push((now, told));
        };
        let result = run(machine, now, world, &mut up);
        for (_, told) in &mut news {
            if let Told::Suspected(name)
            | Told::Cleared(name)
            | Told::Draining(name)
            | Told::Down(name, _) = told
            {
                *name = world.book[name.parse::<usize>().unwrap()].clone();
            }
        }
        told.extend(news);
        self.carry_out(at);
        self.schedule(at);
        result
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(500 + self.rng.below(1_500))
    }

    fn carry_out(&mut self, at: usize) {
        for out in core::mem::take(&mut self.nodes[at].world.out) {
            let lost = self.rng.below(2_000) < self.loss;
            let when = self.now + self.latency();
            match out {
                Out::Call(id) => {
                    let node = &self.nodes[at];
                    let Some(stream) = node.world.streams.get(&id) else {
                        continue;
                    };
                    let (peer, method, frame) = (stream.peer, stream.method, stream.frame.clone());
                    let deadline = stream.deadline.unwrap();
                    let header = [&node.identity[..], &stream.header[..]].concat();
                    self.calls += 1;
                    self.push(deadline, at, Event::Deadline(id));
                    let reachable =
                        peer != usize::MAX && self.nodes[peer].side == self.nodes[at].side;
                    if reachable && !self.nodes[peer].alive && self.refuses {
                        self.push(when, at, Event::Refused(id));
                    } else if reachable && self.nodes[peer].alive && !lost {
                        self.push(
                            when,
                            peer,
                            Event::Request {
                                from: at,
                                stream: id,
                                method,
                                header,
                                frame,
                            },
                        );
                    }
                }
                Out::Answer(id, code) => {
                    let Some(stream) = self.nodes[at].world.streams.remove(&id) else {
                        continue;
                    };
                    let Some(remote) = stream.remote else {
                        continue;
                    };
                    if self.nodes[stream.peer].side == self.nodes[at].side && !lost {
                        let header = self.nodes[at].identity.clone();
                        let reply = Event::Reply {
                            stream: remote,
                            header,
                            frame: stream.frame,
                            code,
                        };
                        self.push(when, stream.peer, reply);
                    }
                }
            }
        }
    }

    /// Runs until `until`.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        if let Some(mut processor) = self.processor.take() {
            self.run_shared(&mut processor, until);
            self.processor = Some(processor);
            return;
        }
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(due)| due.at <= until)
        {
            let Some(Reverse(due)) = self.queue.pop() else {
                return;
            };
            self.now = due.at;
            let node = &self.nodes[due.node];
            if !node.alive || node.boot != due.boot {
                continue;
            }
            if node.frozen_until > self.now {
                let thaw = node.frozen_until;
                self.push(thaw, due.node, due.event);
                continue;
            }
            self.deliver(due.node, due.event);
        }
        self.now = until;
    }

    pub(super) fn deliver(&mut self, at: usize, event: Event) {
        match event {
            Event::Tick => {
                self.nodes[at].tick = None;
                if self.nodes[at]
                    .machine
                    .poll_timeout()
                    .is_some_and(|due| due <= self.now)
                {
                    self.with(at, |machine, now, io, up| {
                        let due = machine.poll_timeout();
                        machine.handle_timeout(now, io, up);
                        assert!(
                            machine.poll_timeout() > due,
                            "a due time that was not taken"
                        );
                    });
                }
                self.schedule(at);
            }
            Event::Deadline(id) => {
                let status = Status::new(Code::DeadlineExceeded, "").caused_by(Cause::Deadline);
                self.end(at, id, status);
            }
            Event::Refused(id) => {
                self.end(
                    at,
                    id,
                    Status::new(Code::Unavailable, "").caused_by(Cause::Refused),
                );
            }
            Event::Request {
                from,
                stream,
                method,
                header,
                frame,
            } => {
                let peer = Stream {
                    peer: from,
                    remote: Some(stream),
                    method,
                    header: vec![],
                    frame: vec![],
                    tag: Tag::NEW,
                    deadline: None,
                };
                let name = host(from);
                let id = self.nodes[at].world.insert(peer);
                self.with(at, |machine, now, io, up| {
                    let from = Some(io.node(&name).unwrap());
                    let header = Header(&header);
                    let accepted = StreamIn::Accepted {
                        from,
                        method,
                        header,
                        deadline: None,
                        trusted: true,
                    };
                    machine.handle_stream(now, id, Tag::NEW, accepted, io, up);
                    for event in [StreamIn::Frame(&frame), StreamIn::HalfClosed] {
                        if let Some(tag) = io.streams.get(&id).map(|stream| stream.tag) {
                            machine.handle_stream(now, id, tag, event, io, up);
                        }
                    }
                });
            }
            Event::Reply {
                stream,
                header,
                frame,
                code,
            } => {
                let Some(tag) = self.nodes[at]
                    .world
                    .streams
                    .remove(&stream)
                    .map(|stream| stream.tag)
                else {
                    return;
                };
                self.with(at, |machine, now, io, up| {
                    machine.handle_stream(
                        now,
                        stream,
                        tag,
                        StreamIn::Header(Header(&header)),
                        io,
                        up,
                    );
                    if code == Code::Ok {
                        machine.handle_stream(now, stream, tag, StreamIn::Frame(&frame), io, up);
                    }
                    let status = Status {
                        code,
                        message: "",
                        details: &[],
                        cause: Cause::Peer,
                    };
                    machine.handle_stream(now, stream, tag, StreamIn::Ended(status), io, up);
                });
            }
        }
    }

    fn end(&mut self, at: usize, id: StreamId, status: Status<'_>) {
        if let Some(stream) = self.nodes[at].world.streams.remove(&id) {
            self.with(at, |machine, now, io, up| {
                machine.handle_stream(now, id, stream.tag, StreamIn::Ended(status), io, up);
            });
        }
    }

    /// Runs until `reached`, for at most `limit`; how long it took.
    pub(super) fn until(&mut self, limit: Duration, reached: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !reached(self) {
            assert!(
                self.now.since(start) < limit,
                "not reached within {limit:?}"
            );
            self.run(Duration::from_millis(20));
        }
        self.now.since(start)
    }

    pub(super) fn knows(&self, at: usize, other: usize) -> bool {
        let name = host(other);
        self.nodes[at]
            .machine
            .members()
            .any(|member| member.host == name)
    }

    /// Whether the view of each of `these` is exactly `those`.
    pub(super) fn agree(&self, these: &[usize], those: &[usize]) -> bool {
        these.iter().all(|at| {
            self.nodes[*at].machine.live() == those.len()
                && those.iter().all(|other| self.knows(*at, *other))
        })
    }

    pub(super) fn downs(&self, at: usize) -> usize {
        self.nodes[at]
            .told
            .iter()
            .filter(|(_, told)| matches!(told, Told::Down(..)))
            .count()
    }
}
