//! The coordinator at work, over nodes and a catalog that answer all they are asked after the same time: what a
//! lost node costs, in writes, calls and time on a clock of the bench's own, and how many events a core takes in.

use std::collections::VecDeque;

use rustix::time::{ClockId, clock_gettime};
use trefoil_benches::is_test;
use trefoil_core::channels::coordinator::{
    Coordinator, CoordinatorCommand, CoordinatorConfig, CoordinatorEvent,
};
use trefoil_core::header::Header;
use trefoil_core::id::{MethodId, NodeId, StreamId, Tag};
use trefoil_core::machine::{Full, Io, Machine};
use trefoil_core::method::streaming;
use trefoil_core::status::Status;
use trefoil_core::storage::{Done, Op, Values};
use trefoil_core::stream::{Class, StreamIn};
use trefoil_core::time::{Duration, Instant};

/// How long the catalog takes, and a node with its answer.
const ROUND_TRIP: Duration = Duration::from_millis(1);

const NODES: i64 = 10;

/// What the coordinator has asked for.
enum Asked {
    Value(Tag),
    Values(Tag),
    Write(Tag),
    Call(StreamId, Tag),
}

/// Where a leader says in the catalog that it leads.
const FENCE: &[u8] = b"trefoil/coordinator";

/// Takes down what the coordinator does.
#[derive(Default)]
struct Hands {
    now: Instant,
    /// What the catalog has of the leader.
    fence: Vec<u8>,
    asked: VecDeque<(Instant, Asked)>,
    adopted: Option<(StreamId, Tag)>,
    names: Vec<String>,
    frame: Vec<u8>,
    streams: u32,
    revision: u64,
    pushes: u64,
    pushed_bytes: usize,
}

impl Hands {
    fn ask(&mut self, asked: Asked) {
        self.asked.push_back((self.now + ROUND_TRIP, asked));
    }

    fn stream(&mut self) -> StreamId {
        self.streams += 1;
        StreamId::new(self.streams, 1)
    }
}

impl Io for Hands {
    fn open(
        &mut self,
        _: NodeId,
        _: MethodId,
        _: Class,
        _: Header<'_>,
        _: Option<Instant>,
        tag: Tag,
    ) -> Result<StreamId, Full> {
        let stream = self.stream();
        self.ask(Asked::Call(stream, tag));
        Ok(stream)
    }

    fn adopt(&mut self, stream: StreamId, tag: Tag) {
        self.adopted = Some((stream, tag));
    }

    fn frame(&mut self, stream: StreamId, len: usize) -> Result<&mut [u8], Full> {
        if self.adopted.is_some_and(|(watcher, _)| watcher == stream) {
            self.pushes += 1;
            self.pushed_bytes += len;
        }
        self.frame.resize(len, 0);
        Ok(&mut self.frame)
    }

    fn hold(&mut self, _: StreamId, _: u32) {}
    fn release(&mut self, _: StreamId, _: u32) {}
    fn half_close(&mut self, _: StreamId) {}
    fn end(&mut self, _: StreamId, _: Status<'_>) {}

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        let asked = match op {
            Op::Load { .. } => Asked::Value(tag),
            Op::Scan { .. } => Asked::Values(tag),
            Op::Cas { key, value, .. } => {
                if key == FENCE {
                    self.fence = value.to_vec();
                }
                Asked::Write(tag)
            }
            Op::Fence { .. }
            | Op::Tail { .. }
            | Op::Append { .. }
            | Op::Read { .. }
            | Op::Trim { .. }
            | Op::Seal { .. }
            | Op::Keep { .. }
            | Op::Recall { .. } => panic!("a coordinator does not do this: {op:?}"),
        };
        self.ask(asked);
        Ok(())
    }

    fn node(&mut self, name: &str) -> Result<NodeId, Full> {
        let known = self.names.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        Ok(NodeId(at as u32))
    }

    fn name(&self, node: NodeId) -> &str {
        &self.names[node.0 as usize]
    }

    fn forget(&mut self, _: NodeId) {}
}

struct World {
    coordinator: Coordinator,
    hands: Hands,
    events: u64,
}

fn ignore(_: CoordinatorEvent<'_>) {}

fn address(node: i64) -> String {
    format!("10.0.0.{node}:22222")
}

impl World {
    /// Channels that are assigned, on as many nodes as there are, and a client that watches.
    fn new(channels: u32) -> Self {
        let config = CoordinatorConfig {
            expected_nodes: NODES as u32,
            channels_max: channels,
            ..CoordinatorConfig::default()
        };
        let mut world = Self {
            coordinator: Coordinator::new(config).expect("the defaults hold"),
            hands: Hands::default(),
            events: 0,
        };
        for node in 1..=NODES {
            world.up(node);
        }
        world.command(CoordinatorCommand::Lead { token: 1 });
        world.run();
        for channel in 0..channels {
            let channel = &format!("by-dev-rootcoord-dml_{channel}");
            world.command(CoordinatorCommand::Create { channel });
        }
        world.run();
        let stream = world.hands.stream();
        world.hear(
            stream,
            Tag::NEW,
            StreamIn::Accepted {
                from: None,
                method: streaming::DISCOVER,
                header: Header::EMPTY,
                deadline: None,
                trusted: false,
            },
        );
        world.run();
        assert_eq!(world.coordinator.assigned(), (channels, channels));
        world
    }

    fn up(&mut self, server_id: i64) {
        let address = &address(server_id);
        self.command(CoordinatorCommand::NodeUp {
            server_id,
            address,
            weight: 1,
        });
    }

    fn command(&mut self, command: CoordinatorCommand<'_>) {
        self.events += 1;
        self.coordinator
            .handle_command(self.hands.now, command, &mut self.hands, &mut ignore)
            .expect("it is not refused");
    }

    fn hear(&mut self, stream: StreamId, tag: Tag, event: StreamIn<'_>) {
        self.events += 1;
        self.coordinator.handle_stream(
            self.hands.now,
            stream,
            tag,
            event,
            &mut self.hands,
            &mut ignore,
        );
    }

    fn done(&mut self, tag: Tag, done: Done<'_>) {
        self.events += 1;
        self.coordinator
            .handle_done(self.hands.now, tag, done, &mut self.hands, &mut ignore);
    }

    /// Runs until every channel is assigned and nothing is under way; returns when the last one was.
    fn run(&mut self) -> Instant {
        let mut assigned_at = self.hands.now;
        loop {
            let (assigned, all) = self.coordinator.assigned();
            let due = self.coordinator.poll_timeout();
            let Some((at, _)) = self.hands.asked.front() else {
                // What is due now, and plans that follow; moves for the sake of balance come much later.
                let soon = self.hands.now + Duration::from_millis(500);
                let Some(due) = due.filter(|due| *due <= soon) else {
                    return assigned_at;
                };
                self.tick(due);
                continue;
            };
            let at = *at;
            // What happens in one moment has happened when a timer of that moment is due.
            if due.is_some_and(|due| due < at) {
                self.tick(due.unwrap_or(at));
            } else if let Some((at, asked)) = self.hands.asked.pop_front() {
                self.hands.now = at;
                self.answer(asked);
            }
            if assigned < all {
                assigned_at = self.hands.now;
            }
        }
    }

    fn tick(&mut self, due: Instant) {
        self.events += 1;
        self.hands.now = self.hands.now.max(due);
        self.coordinator
            .handle_timeout(self.hands.now, &mut self.hands, &mut ignore);
    }

    fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::Value(tag) => {
                let fence = self.hands.fence.clone();
                let revision = u64::from(!fence.is_empty());
                let value = &fence;
                self.done(tag, Done::Value { revision, value });
            }
            Asked::Values(tag) => self.done(tag, Done::Values(Values(&[]))),
            Asked::Write(tag) => {
                self.hands.revision += 1;
                let sequence = self.hands.revision;
                self.done(tag, Done::Durable { sequence });
            }
            Asked::Call(stream, tag) => {
                self.hear(stream, tag, StreamIn::Frame(&[]));
                self.hear(stream, tag, StreamIn::Ended(Status::OK));
            }
        }
    }
}

/// What this thread has had of a core.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// One node of ten is lost, with so many channels.
fn fail_over(lost: u32) {
    let mut world = World::new(lost * NODES as u32);
    let before = *world.coordinator.counters();
    (world.hands.pushes, world.hands.pushed_bytes, world.events) = (0, 0, 0);
    // A plan that was just made would be waited for.
    world.hands.now += Duration::from_secs(1);
    let gone_at = world.hands.now;
    let began = cpu_ns();
    world.command(CoordinatorCommand::NodeGone { server_id: 1 });
    let assigned_at = world.run();
    let took = cpu_ns() - began;
    let after = world.coordinator.counters();
    let (writes, calls) = (
        after.writes - before.writes,
        after.assigns - before.assigns + after.removes - before.removes,
    );
    assert_eq!(
        (writes, calls),
        (2 * u64::from(lost), u64::from(lost)),
        "two writes and one call for each"
    );
    println!(
        "fail-over of {lost} of {} channels: {} ms at {} ms a round trip; {writes} writes, {calls} calls, \
         {} pushes of {} bytes in all, {} events; {:.1} ms of a core, this bench's own share included",
        lost * NODES as u32,
        assigned_at.since(gone_at).as_micros() as f64 / 1e3,
        ROUND_TRIP.as_millis(),
        world.hands.pushes,
        world.hands.pushed_bytes,
        world.events,
        took / 1e6,
    );
}

/// Channels that move from node to node by command: each is two writes, a removal and an opening.
fn events() {
    let (channels, rounds) = if is_test() { (1_000, 2) } else { (10_000, 20) };
    let mut world = World::new(channels);
    let names: Vec<String> = (0..channels)
        .map(|channel| format!("by-dev-rootcoord-dml_{channel}"))
        .collect();
    let mut best = f64::MAX;
    for round in 0..rounds {
        world.events = 0;
        let began = cpu_ns();
        for (at, channel) in (0_i64..).zip(&names) {
            let to = &address(1 + (at + round) % NODES);
            world.command(CoordinatorCommand::Move { channel, to });
        }
        world.run();
        let ns = (cpu_ns() - began) / world.events as f64;
        best = best.min(ns);
    }
    assert_eq!(world.coordinator.assigned(), (channels, channels));
    println!(
        "coordinator of {channels} channels, all moved: {best:.0} ns an event, {:.2} M events/s a core \
         (plans and pushes among them, and this bench's own share)",
        1e3 / best
    );
}

pub(crate) fn run() {
    events();
    for lost in if is_test() {
        [100, 1_000]
    } else {
        [1_000, 10_000]
    } {
        fail_over(lost);
    }
}
