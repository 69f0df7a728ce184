//! The disk: when operations are done, when they are answered, and what a crash leaves.
//!
//! An operation is done at one moment between its submission and its answer, in the order of its
//! lane (one log, or one key); lanes overtake each other. What a dead process had in flight is done
//! or not, late or not at all, but never out of the order of its lane.

mod model;
mod op;

pub use model::{Log, Record, Store, StorePlant};
pub use op::{OwnedOp, Space, Verb};

use std::collections::VecDeque;
use std::hash::BuildHasherDefault;
use std::task::{Context, Poll};
use std::time::Duration;

use hashbrown::HashMap;
use trefoil_core::hash::IdHasher;
use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::storage::{Completion, Op, Storage};

use crate::dice::Dice;
use crate::moment::Moment;
use crate::net::Process;

/// What the disk is like.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// Shortest time until an operation is done.
    pub latency_min: Duration,
    /// Mean of what is added, with a long tail.
    pub latency_jitter: Duration,
    /// Operations in a million that are answered by `Unknown`; half of them are done.
    pub unknown_ppm: u32,
    /// Operations in a million that take a second or two.
    pub stall_ppm: u32,
    /// Operations one process may have in flight.
    pub ops_max: u32,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            latency_min: Duration::from_micros(200),
            latency_jitter: Duration::from_millis(1),
            unknown_ppm: 0,
            stall_ppm: 0,
            ops_max: 4_096,
        }
    }
}

/// The storage of one process. What is submitted goes into a list that the world carries away.
#[derive(Debug)]
pub struct SimStore {
    out: Vec<(Tag, OwnedOp)>,
    done: VecDeque<(Tag, Completion<Vec<u8>>)>,
    in_flight: u32,
    ops_max: u32,
}

impl SimStore {
    /// An idle storage.
    #[must_use]
    pub const fn new(ops_max: u32) -> Self {
        Self {
            out: Vec::new(),
            done: VecDeque::new(),
            in_flight: 0,
            ops_max,
        }
    }

    /// What was submitted since the last call.
    pub fn take_out(&mut self, into: &mut Vec<(Tag, OwnedOp)>) {
        into.append(&mut self.out);
    }

    /// An answer arrived.
    pub fn take_in(&mut self, tag: Tag, completion: Completion<Vec<u8>>) {
        self.done.push_back((tag, completion));
    }
}

impl Storage for SimStore {
    type Buf = Vec<u8>;

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        if self.in_flight >= self.ops_max {
            return Err(Full);
        }
        self.in_flight += 1;
        self.out.push((tag, OwnedOp::new(op)));
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        self.done.pop_front().map_or(Poll::Pending, |done| {
            self.in_flight -= 1;
            Poll::Ready(done)
        })
    }
}

/// Something that will happen at the disk.
#[derive(Debug)]
pub enum DiskEvent {
    /// An operation is done.
    Do {
        /// Whose.
        process: Process,
        /// Its tag.
        tag: Tag,
        /// What.
        op: OwnedOp,
    },
    /// An answer reaches its process.
    Answer {
        /// Whose.
        process: Process,
        /// Its tag.
        tag: Tag,
        /// The answer.
        completion: Completion<Vec<u8>>,
    },
}

/// What was exercised.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskCounts {
    /// Operations done.
    pub ops: u64,
    /// Answers of `Unknown`.
    pub unknown: u64,
    /// Answers of `Fenced`.
    pub fenced: u64,
    /// Answers of `Conflict`.
    pub conflicts: u64,
    /// Operations of dead processes that were done.
    pub posthumous: u64,
    /// Operations of dead processes that were lost.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Lane {
    done_at: Moment,
    answered_at: Moment,
    /// Its process died: what is still to come waits until then.
    held_until: Moment,
    lost: bool,
}

type LaneKey = (Process, Space, Vec<u8>);
type Later = Vec<(Moment, DiskEvent)>;

/// The disk of a world.
#[derive(Debug)]
pub struct Disk {
    /// What it holds.
    pub store: Store,
    /// Weather, which heals.
    pub config: DiskConfig,
    /// What was exercised.
    pub counts: DiskCounts,
    lanes: HashMap<LaneKey, Lane, BuildHasherDefault<IdHasher>>,
    dice: Dice,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(config: DiskConfig, plant: StorePlant, seed: u64) -> Self {
        Self {
            store: Store::new(plant),
            config,
            counts: DiskCounts::default(),
            lanes: HashMap::default(),
            dice: Dice::new(seed, "disk"),
        }
    }

    /// No faults from now on.
    pub const fn heal(&mut self) {
        self.config.unknown_ppm = 0;
        self.config.stall_ppm = 0;
    }

    fn takes(&mut self) -> Duration {
        let stall = if self.dice.chance(self.config.stall_ppm) {
            Duration::from_secs(1) + self.dice.tail(Duration::from_secs(1))
        } else {
            Duration::ZERO
        };
        self.config.latency_min + self.dice.tail(self.config.latency_jitter) + stall
    }

    /// Takes what a process submitted.
    pub fn carry(
        &mut self,
        at: Moment,
        process: Process,
        tag: Tag,
        op: OwnedOp,
        later: &mut Later,
    ) {
        let takes = self.takes();
        let lane = self
            .lanes
            .entry((process, op.space(), op.name.clone()))
            .or_default();
        lane.done_at = lane.done_at.max(at + takes);
        if self.store.plant() == StorePlant::AnswerBeforeDurable
            && let Verb::Append { expected, .. } = op.verb
        {
            let completion = Completion::Durable { sequence: expected };
            later.push((
                at + takes / 2,
                DiskEvent::Answer {
                    process,
                    tag,
                    completion,
                },
            ));
        }
        later.push((lane.done_at, DiskEvent::Do { process, tag, op }));
    }

    /// An operation's moment has come. `alive` says whether its process still lives.
    pub fn perform(
        &mut self,
        at: Moment,
        process: Process,
        tag: Tag,
        op: OwnedOp,
        alive: bool,
        later: &mut Later,
    ) {
        let key = (process, op.space(), op.name.clone());
        if !alive && !self.survives(at, &key, tag, &op, later) {
            return;
        }
        let unknown = op.space() != Space::Local && self.dice.chance(self.config.unknown_ppm);
        let applied = !unknown || self.dice.coin();
        let early = self.store.plant() == StorePlant::AnswerBeforeDurable
            && matches!(op.verb, Verb::Append { .. });
        let completion = if applied {
            self.store.apply(process, op)
        } else {
            Completion::Unknown
        };
        self.count(&completion, unknown);
        let takes = self.takes() / 4;
        let lane = self.lanes.entry(key).or_default();
        lane.answered_at = lane.answered_at.max(at + takes);
        if !early {
            let completion = if unknown {
                Completion::Unknown
            } else {
                completion
            };
            later.push((
                lane.answered_at,
                DiskEvent::Answer {
                    process,
                    tag,
                    completion,
                },
            ));
        }
    }

    fn count(&mut self, completion: &Completion<Vec<u8>>, unknown: bool) {
        self.counts.ops += 1;
        self.counts.unknown += u64::from(unknown);
        self.counts.fenced += u64::from(matches!(completion, Completion::Fenced { .. }));
        self.counts.conflicts += u64::from(matches!(completion, Completion::Conflict { .. }));
    }

    /// Whether an operation of a dead process is done now.
    fn survives(
        &mut self,
        at: Moment,
        key: &LaneKey,
        tag: Tag,
        op: &OwnedOp,
        later: &mut Later,
    ) -> bool {
        let plant = self.store.plant();
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.held_until == Moment::ZERO {
            let wait = if self.dice.coin() {
                Duration::ZERO
            } else {
                self.dice.tail(Duration::from_secs(1))
            };
            lane.held_until = at + wait;
        }
        if lane.held_until > at {
            later.push((
                lane.held_until,
                DiskEvent::Do {
                    process: key.0,
                    tag,
                    op: op.clone(),
                },
            ));
            return false;
        }
        // Once one is lost, the rest of the lane is: it was sent behind it.
        lane.lost |= self.dice.chance(300_000) || plant == StorePlant::AnswerBeforeDurable;
        if lane.lost {
            self.counts.lost += 1;
        } else {
            self.counts.posthumous += 1;
        }
        !lane.lost
    }
}
