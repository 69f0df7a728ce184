//! The election at work, without any transport: a leader renews its lease with two voters, one step being a
//! message or a due time taken in, and all that follows from it; beside raft-rs, whose leader sends its
//! heartbeat to two followers. Ours decodes and encodes the wire, theirs passes values.

#![allow(missing_docs)]

use criterion::Criterion;
use raft::eraftpb::Message;
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use trefoil_benches::{CountingAllocator, compare, report};
use trefoil_core::election::{Election, ElectionConfig, ElectionEvent, Memory};
use trefoil_core::header::{Header, HeaderWriter};
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::identity::Identity;
use trefoil_core::machine::{Full, Io, Machine};
use trefoil_core::method::cache::STREAM_VALUES;
use trefoil_core::status::Status;
use trefoil_core::storage::Op;
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::Instant;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const VOTERS: [&str; 3] = ["a:7001", "b:7001", "c:7001"];
const ROUNDS: u32 = 200;
const BEATS: u32 = 500;
/// A due time, two requests and two answers.
const STEPS: u32 = 5;

/// What a voter does: streams it opens, frames it writes. A stream's number says who opened it to whom,
/// so that both ends call it the same.
struct Hands {
    me: u32,
    opened: Vec<(u32, StreamId, Tag)>,
    adopted: Vec<(StreamId, Tag)>,
    frames: Vec<(StreamId, usize)>,
    /// The bytes of frames, kept for the next ones.
    bytes: Vec<Vec<u8>>,
}

fn stream(from: u32, to: u32) -> StreamId {
    StreamId::new(1 + from * 3 + to, 1)
}

impl Io for Hands {
    fn open(
        &mut self,
        to: NodeId,
        _: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        let stream = stream(self.me, to.0);
        self.opened.push((to.0, stream, tag));
        Ok(stream)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.adopted.push((stream, tag));
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        let at = self.frames.len();
        if self.bytes.len() == at {
            self.bytes.push(Vec::with_capacity(128));
        }
        self.frames.push((stream, len));
        self.bytes[at].resize(len, 0);
        Ok(&mut self.bytes[at])
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}
    fn half_close(&mut self, _: StreamId) {}
    fn end(&mut self, _: StreamId, _: Status<'_>) {}

    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        let at = VOTERS.iter().position(|voter| *voter == name);
        at.map(|at| NodeId(at as u32)).ok_or(Full)
    }

    fn name(&self, node: NodeId) -> &str {
        VOTERS[node.0 as usize]
    }

    fn forget(&mut self, _: NodeId) {}
}

struct Ours {
    now: Instant,
    voters: Vec<(Election, Hands)>,
    steps: u64,
}

fn ignore(_: ElectionEvent<'_>) {}

/// What an answer begins with: who does not say that it is a node of ours is not counted.
fn greeting() -> Vec<u8> {
    let identity = Identity {
        node: "v:1",
        boot: 1,
        incarnation: 1,
        cluster: "bench",
        placement: 0,
        store: 0,
        electorate: 0,
        features: 0,
    };
    let mut bytes = [0; 512];
    let mut writer = HeaderWriter::new(&mut bytes);
    identity.write(&mut writer).expect("room for a name");
    writer.finish().0.to_vec()
}

impl Ours {
    /// Three voters, the first of which leads.
    fn new() -> Self {
        let voters = (0..3).map(|me| {
            let config = ElectionConfig {
                memory: Memory::Lost,
                ..ElectionConfig::lan(me, &VOTERS)
            };
            let hands = Hands {
                me: me as u32,
                opened: Vec::new(),
                adopted: Vec::new(),
                frames: Vec::new(),
                bytes: Vec::new(),
            };
            (
                Election::new(config).expect("a configuration that holds"),
                hands,
            )
        });
        let mut ours = Self {
            now: Instant::ZERO,
            voters: voters.collect(),
            steps: 0,
        };
        for _ in 0..2_000 {
            if ours.leads() {
                break;
            }
            ours.next_due();
        }
        assert!(ours.leads(), "somebody leads");
        ours
    }

    fn leads(&self) -> bool {
        self.voters
            .iter()
            .any(|(election, _)| election.leads(self.now))
    }

    /// The next due time, and all that follows.
    fn next_due(&mut self) {
        let due = self
            .voters
            .iter()
            .filter_map(|(election, _)| election.poll_timeout())
            .min();
        self.now = self.now.max(due.unwrap_or(self.now));
        for at in 0..3 {
            let (election, hands) = &mut self.voters[at];
            if election.poll_timeout().is_some_and(|due| due <= self.now) {
                self.steps += 1;
                election.handle_timeout(self.now, hands, &mut ignore);
            }
        }
        while self.carry() {}
    }

    /// Carries what was written to whom it is for.
    fn carry(&mut self) -> bool {
        let mut any = false;
        for from in 0..3_u32 {
            let opened = std::mem::take(&mut self.voters[from as usize].1.opened);
            for (to, stream, tag) in opened {
                any = true;
                self.voters[from as usize].1.adopted.push((stream, tag));
                let event = StreamIn::Accepted {
                    from: Some(NodeId(from)),
                    method: STREAM_VALUES,
                    header: Header::EMPTY,
                    deadline: None,
                    trusted: true,
                };
                let (election, hands) = &mut self.voters[to as usize];
                election.handle_stream(self.now, stream, Tag::NEW, event, hands, &mut ignore);
                let greeting = greeting();
                let event = StreamIn::Header(Header(&greeting));
                let (election, hands) = &mut self.voters[from as usize];
                election.handle_stream(self.now, stream, tag, event, hands, &mut ignore);
            }
            for at in 0..self.voters[from as usize].1.frames.len() {
                any = true;
                let hands = &mut self.voters[from as usize].1;
                let (stream, _) = hands.frames[at];
                let bytes = std::mem::take(&mut hands.bytes[at]);
                let ends = stream.slot() - 1;
                let to = if ends / 3 == from { ends % 3 } else { ends / 3 };
                let (election, hands) = &mut self.voters[to as usize];
                let tag = hands.adopted.iter().find(|(known, _)| *known == stream);
                let tag = tag.expect("a stream that stands").1;
                self.steps += 1;
                let event = StreamIn::Frame(&bytes);
                election.handle_stream(self.now, stream, tag, event, hands, &mut ignore);
                self.voters[from as usize].1.bytes[at] = bytes;
            }
            self.voters[from as usize].1.frames.clear();
        }
        any
    }
}

struct Theirs {
    nodes: Vec<RawNode<MemStorage>>,
    inboxes: Vec<Vec<Message>>,
}

impl Theirs {
    fn new() -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let nodes = (1..=3).map(|id| {
            let config = Config {
                id,
                election_tick: 10,
                heartbeat_tick: 1,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
            RawNode::new(&config, storage, &logger).expect("a configuration that holds")
        });
        let mut theirs = Self {
            nodes: nodes.collect(),
            inboxes: vec![Vec::new(); 3],
        };
        theirs.nodes[0].campaign().expect("a campaign");
        while theirs.carry() {}
        assert_eq!(theirs.nodes[0].raft.state, StateRole::Leader);
        theirs
    }

    /// The leader's heartbeat, and all that follows.
    fn beat(&mut self) {
        self.nodes[0].tick();
        while self.carry() {}
    }

    fn carry(&mut self) -> bool {
        let mut any = false;
        for at in 0..3 {
            for message in std::mem::take(&mut self.inboxes[at]) {
                any = true;
                self.nodes[at]
                    .step(message)
                    .expect("a message that is taken");
            }
            if !self.nodes[at].has_ready() {
                continue;
            }
            any = true;
            let mut ready = self.nodes[at].ready();
            let mut send = |messages: Vec<Message>| {
                for message in messages {
                    self.inboxes[message.to as usize - 1].push(message);
                }
            };
            send(ready.take_messages());
            if !ready.entries().is_empty() {
                let storage = self.nodes[at].raft.raft_log.store.clone();
                storage
                    .wl()
                    .append(ready.entries())
                    .expect("entries in order");
            }
            if let Some(state) = ready.hs() {
                self.nodes[at]
                    .raft
                    .raft_log
                    .store
                    .wl()
                    .set_hardstate(state.clone());
            }
            send(ready.take_persisted_messages());
            let mut light = self.nodes[at].advance(ready);
            send(light.take_messages());
            self.nodes[at].advance_apply();
        }
        any
    }
}

fn main() {
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    ours.steps = 0;
    let mut beats = 0_u64;
    let (mine, peer) = compare(
        ROUNDS,
        BEATS * STEPS,
        || {
            let until = ours.steps + u64::from(BEATS * STEPS);
            while ours.steps < until {
                ours.next_due();
            }
        },
        || {
            for _ in 0..BEATS {
                theirs.beat();
                beats += 1;
            }
        },
    );
    assert!(ours.leads() && beats > 0, "the leader leads on");
    report(
        "election/step of a renewal",
        mine,
        "raft-rs, step of a heartbeat",
        peer,
    );
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("election");
    group.bench_function("next due time and what follows", |b| {
        b.iter(|| ours.next_due())
    });
    group.finish();
    criterion.final_summary();
}
