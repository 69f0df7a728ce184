//! Three nodes over one store that loses operations and what became of them, terms that move between them
//! while they believe what they like, producers that send on and send again. Whatever happens: what was
//! acknowledged is in the log once, at the place that was said; what was refused for certain is not; ticks
//! and terms grow; each message is answered once; and consumers see the log.

extern crate std;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use trefoil_proto::Decode;

use super::world::{CHANNEL, Do, Said, World, config};
use crate::channels::dialect::ErrorCode;
use crate::channels::messages::Message;
use crate::channels::open::Policy;
use crate::channels::worker::*;
use crate::id::StreamId;
use crate::memory::MemoryStore;
use crate::time::Duration;

const NODES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The channel goes to a node at the next term; the one before may not hear of it.
    Assign {
        to: usize,
        removed: bool,
    },
    /// A late word of an earlier term.
    Repeat {
        to: usize,
        back: u64,
    },
    Produce {
        node: usize,
        messages: usize,
    },
    /// The producer's connection is lost; it sends again what it has no answer for.
    Reconnect {
        node: usize,
    },
    Store {
        node: usize,
        ops: usize,
        how: u8,
    },
    Time {
        node: usize,
        millis: u64,
    },
    Stuck {
        node: usize,
        is: bool,
    },
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let node = 0..NODES;
    let turn = prop_oneof![
        1 => (node.clone(), any::<bool>()).prop_map(|(to, removed)| Turn::Assign { to, removed }),
        1 => (node.clone(), 0..3_u64).prop_map(|(to, back)| Turn::Repeat { to, back }),
        8 => (node.clone(), 1..6_usize).prop_map(|(node, messages)| Turn::Produce { node, messages }),
        1 => node.clone().prop_map(|node| Turn::Reconnect { node }),
        12 => (node.clone(), 1..16_usize, 0..16_u8)
            .prop_map(|(node, ops, how)| Turn::Store { node, ops, how }),
        2 => (node.clone(), 1..400_u64).prop_map(|(node, millis)| Turn::Time { node, millis }),
        1 => (node, any::<bool>()).prop_map(|(node, is)| Turn::Stuck { node, is }),
    ];
    proptest::collection::vec(turn, 1..120)
}

/// A producer on one node, and what it knows.
#[derive(Default)]
struct Sender {
    stream: Option<StreamId>,
    /// Number of each message by its request, not answered yet on this stream.
    open: BTreeMap<i64, u64>,
    requests: i64,
    /// Sent, and what is known of it.
    unknown: BTreeSet<u64>,
}

struct Trial {
    worlds: Vec<World>,
    senders: Vec<Sender>,
    term: i64,
    owner: usize,
    messages: u64,
    acknowledged: BTreeMap<u64, u64>,
    /// Refused for certain, and not sent again.
    refused: BTreeSet<u64>,
}

impl Trial {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = |node: usize| {
            let config = WorkerConfig {
                in_flight_max: 5,
                appends_max: 8,
                read_bytes_max: 200,
                dedupe_records: 10_000,
                ..config(node as u64 + 1)
            };
            let mut world = World::with(&store, config);
            // Their clocks are half a minute apart.
            world.wall(1_800_000_000_000 + 30_000 * node as i64);
            world
        };
        Self {
            worlds: (0..NODES).map(world).collect(),
            senders: (0..NODES).map(|_| Sender::default()).collect(),
            term: 1,
            owner: 0,
            messages: 0,
            acknowledged: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    fn send(&mut self, node: usize, message: u64) {
        let (world, sender) = (&mut self.worlds[node], &mut self.senders[node]);
        let Some(stream) = sender.stream else { return };
        sender.requests += 1;
        sender.open.insert(sender.requests, message);
        self.refused.remove(&message);
        let (name, number) = (node.to_string(), message.to_string());
        let properties = [
            ("_t", &b"2"[..]),
            ("_v", b"1"),
            ("_tp", name.as_bytes()),
            ("_ts", number.as_bytes()),
        ];
        world.send_with(stream, sender.requests, number.as_bytes(), &properties);
    }

    /// Reads what a producer was told.
    fn listen(&mut self, node: usize) {
        let (world, sender) = (&mut self.worlds[node], &mut self.senders[node]);
        let Some(stream) = sender.stream else { return };
        for said in world.said(stream) {
            match said {
                Said::Create(_) | Said::Close => {}
                Said::At(request, at) => {
                    let message = sender.open.remove(&request).expect("answered once");
                    let before = self.acknowledged.insert(message, at);
                    assert!(before.is_none_or(|before| before == at), "one place");
                    sender.unknown.remove(&message);
                }
                Said::Failed(request, code, cause) => {
                    let message = sender.open.remove(&request).expect("answered once");
                    if cause.starts_with("TF-L15") {
                        sender.unknown.insert(message);
                    } else if !sender.unknown.contains(&message) {
                        assert!(
                            cause.starts_with("TF-L16")
                                || code == ErrorCode::ChannelFenced
                                || code == ErrorCode::ChannelNotExist
                        );
                        self.refused.insert(message);
                    }
                }
            }
        }
        if world.end_of(stream).is_some() {
            // What was not answered when it ended is not known.
            sender.unknown.extend(sender.open.values());
            sender.open.clear();
            sender.stream = None;
        }
    }

    fn connect(&mut self, node: usize) {
        let (world, sender) = (&mut self.worlds[node], &mut self.senders[node]);
        if sender.stream.is_none() {
            // At the term that this node believes in, which may be over.
            let believed = world.worker.channel(CHANNEL);
            let term = believed.map_or(1, |channel| channel.term);
            let stream = world.producer(term as i64);
            sender.stream = world.end_of(stream).is_none().then_some(stream);
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Assign { to, removed } => {
                if removed {
                    let term = self.term;
                    self.worlds[self.owner].remove(term);
                }
                self.term += 1;
                self.owner = to;
                self.worlds[to].assign(self.term);
            }
            Turn::Repeat { to, back } => {
                let term = (self.term - back as i64).max(1);
                self.worlds[to].assign(term);
            }
            Turn::Produce { node, messages } => {
                let channel = self.worlds[node].worker.channel(CHANNEL);
                let serves = channel.is_some_and(|channel| channel.state == ChannelState::Open);
                let node = if serves { node } else { self.owner };
                self.connect(node);
                for _ in 0..messages {
                    self.messages += 1;
                    self.send(node, self.messages);
                }
            }
            Turn::Reconnect { node } => {
                self.listen(node);
                if let Some(stream) = self.senders[node].stream.take() {
                    self.worlds[node].lose(stream);
                    let open = core::mem::take(&mut self.senders[node].open);
                    self.senders[node].unknown.extend(open.values());
                }
                self.connect(node);
                for message in self.senders[node].unknown.clone() {
                    self.send(node, message);
                }
            }
            Turn::Store { node, ops, how } => {
                for op in 0..ops {
                    let how = match how {
                        0 if op == 0 => Do::Lose,
                        1 if op == 0 => Do::Keep,
                        2 => Do::Lose,
                        3 => Do::Keep,
                        _ => Do::It,
                    };
                    self.worlds[node].do_one(how);
                }
            }
            Turn::Time { node, millis } => self.worlds[node].pass(Duration::from_millis(millis)),
            Turn::Stuck { node, is } => {
                self.worlds[node].io.ops_max = if is { 2 } else { 8_192 };
            }
        }
        for node in 0..NODES {
            self.listen(node);
        }
    }

    /// Everything comes to rest, at one last term.
    fn rest(&mut self) {
        self.term += 1;
        self.worlds[0].assign(self.term);
        for _ in 0..60 {
            for node in 0..NODES {
                self.worlds[node].io.ops_max = 8_192;
                self.worlds[node].run();
                self.worlds[node].pass(Duration::from_secs(1));
                self.listen(node);
            }
        }
    }

    fn check(&mut self) {
        let log = self.worlds[0].log();
        let mut places: BTreeMap<u64, u64> = BTreeMap::new();
        for (at, record) in &log {
            let Some(message) = record.message else {
                continue;
            };
            let payload = Message::parse(message).unwrap().payload;
            let message: u64 = core::str::from_utf8(payload).unwrap().parse().unwrap();
            assert_eq!(places.insert(message, *at), None, "{message} stands twice");
        }
        assert!(log.is_sorted_by(|(_, a), (_, b)| a.tick < b.tick && a.term <= b.term));
        for (message, at) in &self.acknowledged {
            assert_eq!(places.get(message), Some(at), "{message} was acknowledged");
        }
        for message in &self.refused {
            let kept = self.acknowledged.contains_key(message);
            assert!(
                kept || !places.contains_key(message),
                "{message} was refused"
            );
        }
        let open: usize = self.senders.iter().map(|sender| sender.open.len()).sum();
        assert_eq!(open, 0, "every message was answered");
        let consumer = self.worlds[0].consumer(self.term, Policy::All, &[]);
        self.worlds[0].run();
        let (seen, _) = self.worlds[0].seen(consumer);
        let seen: Vec<u64> = seen.iter().map(|seen| seen.id).collect();
        let kept = log.iter().filter(|(_, record)| record.message.is_some());
        assert!(seen.iter().eq(kept.map(|(at, _)| at)));
    }
}

fn run(turns: &[Turn], plant: Option<WorkerPlant>) {
    let mut trial = Trial::new();
    for world in &mut trial.worlds {
        if let Some(plant) = plant {
            world.worker.plant(plant);
        }
    }
    for turn in turns {
        trial.take(*turn);
    }
    trial.rest();
    trial.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_stands_in_the_log_once(turns in turns()) {
        run(&turns, None);
    }
}

#[test]
fn each_planted_bug_is_caught() {
    const TRIALS: usize = 300;
    let is_caught = |plant| {
        let mut runner = TestRunner::deterministic();
        let mut trials = (0..TRIALS).map(|_| turns().new_tree(&mut runner).unwrap().current());
        trials.any(|turns| std::panic::catch_unwind(|| run(&turns, plant)).is_err())
    };
    for plant in [
        WorkerPlant::NoFence,
        WorkerPlant::UnknownIsLost,
        WorkerPlant::AckEarly,
        WorkerPlant::TailUnread,
    ] {
        assert!(is_caught(Some(plant)), "{plant:?} was not caught");
    }
    assert!(!is_caught(None));
}

/// The turns of a trial must come to something, or it proves nothing.
#[test]
fn the_trials_exercise_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let (mut sum, mut acknowledged, mut refused) = (WorkerCounters::default(), 0, 0);
    for _ in 0..100 {
        let mut trial = Trial::new();
        for turn in turns().new_tree(&mut runner).unwrap().current() {
            trial.take(turn);
        }
        trial.rest();
        acknowledged += trial.acknowledged.len();
        refused += trial.refused.len();
        for world in &trial.worlds {
            let counted = world.worker.counters();
            sum.opened += counted.opened;
            sum.fenced += counted.fenced;
            sum.recoveries += counted.recoveries;
            sum.duplicates += counted.duplicates;
            sum.forced += counted.forced;
        }
    }
    assert!(
        acknowledged > 1_000 && refused > 100,
        "{acknowledged} {refused}"
    );
    assert!(sum.opened > 200 && sum.fenced > 50, "{sum:?}");
    assert!(sum.recoveries > 50 && sum.duplicates > 50, "{sum:?}");
}
