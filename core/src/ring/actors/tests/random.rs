//! Two nodes that both believe they own everything, one store, any order of completions.
//!
//! What must hold whatever happens: two writers never interleave without a fence between them, what
//! was acknowledged is in the log exactly once, an answer shows a state the log can produce, every
//! call is answered, and nothing panics. The same loop is run with bugs planted and must see them.

use super::super::ActorsPlant;
use super::store::Deed;
use super::*;
use crate::ring::actors::journal::{self, Record};
use crate::rng::Rng;

/// What a run has seen.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: u64,
    unknown: u64,
    fenced: u64,
    crashes: u64,
    snapshots: u64,
    duplicates: u64,
}

struct World {
    rng: Rng,
    store: Store,
    nodes: [Node; 2],
    /// Completions on their way back, by node: each log's operations were performed in order.
    done: [Vec<(Tag, Completion<Vec<u8>>)>; 2],
    /// Calls whose answer is due: number, actor, value, request id.
    calls: BTreeMap<u64, (u64, u8, u128)>,
    /// Bytes of answers by request.
    answered: BTreeMap<u128, u64>,
    next_call: u64,
    lives: u64,
    seen: Seen,
    plant: Option<ActorsPlant>,
}

const IDS: u64 = 3;

fn node(number: usize, life: u64, plant: Option<ActorsPlant>) -> Node {
    let config = ActorsConfig {
        owner: OwnerId(1_000 * (number as u64 + 1) + life),
        seed: life,
        snapshot_records: 5,
        idle_snapshot_records: 1,
        appends_max: 3,
        read_bytes_max: 200,
        dedupe_ids: 4_000,
        answers_bytes_max: 300,
        idle_timeout: Duration::from_millis(400),
        ..ActorsConfig::default()
    };
    let mut node = Node::with(number, config);
    if let Some(plant) = plant {
        node.machine.plant(plant);
    }
    node
}

impl World {
    fn new(seed: u64, plant: Option<ActorsPlant>) -> Self {
        Self {
            rng: Rng::new(seed),
            store: Store::default(),
            nodes: [node(0, 0, plant), node(1, 1, plant)],
            done: [Vec::new(), Vec::new()],
            calls: BTreeMap::new(),
            answered: BTreeMap::new(),
            next_call: 1,
            lives: 2,
            seen: Seen::default(),
            plant,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let at = self.rng.below(2) as usize;
        match self.rng.below(100) {
            0..20 => self.call(at),
            20..50 => {
                self.nodes[at].job();
            }
            50..70 => self.perform(at),
            70..90 => self.complete(at),
            90..94 => {
                let wait = Duration::from_millis(self.rng.below(50));
                for node in &mut self.nodes {
                    node.sleep(wait);
                }
            }
            94 => {
                let id = self.rng.below(IDS);
                let command = if self.rng.below(2) == 0 {
                    ActorsCommand::Evict { id }
                } else {
                    ActorsCommand::Release { id }
                };
                self.nodes[at].command(command);
            }
            95 if !self.nodes[at].ears.jobs.is_empty() => self.nodes[at].fail_job(),
            96 if self.rng.below(4) == 0 => self.crash(at),
            97 => self.hostile(at),
            98 => {
                let full = self.nodes[at].io.store_full;
                self.nodes[at].io.store_full = !full;
            }
            _ => self.nodes[at].sleep(Duration::ZERO),
        }
        self.collect()
    }

    fn call(&mut self, at: usize) {
        let (call, id) = (self.next_call, self.rng.below(IDS));
        self.next_call += 1;
        if self.rng.below(3) == 0 {
            self.calls.insert(call, (id, 0, 0));
            return self.nodes[at].get(call, id);
        }
        // Now and then an old request is repeated.
        let repeated = self.rng.below(5) == 0 && call > 5;
        let request = if repeated {
            call - 1 - self.rng.below(5)
        } else {
            call
        };
        let (id, value) = (request % IDS, (request % 200) as u8 + 1);
        self.calls.insert(call, (id, value, u128::from(request)));
        self.nodes[at].apply_as(call, id, &[value], Some(u128::from(request)));
    }

    /// The store does the oldest operation of one log; its outcome is lost now and then.
    fn perform(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.io.ops.is_empty() {
            return;
        }
        let pick = self.rng.below(node.io.ops.len() as u64) as usize;
        let log = node.io.ops[pick].1.log().to_vec();
        let first = node
            .io
            .ops
            .iter()
            .position(|(_, op)| op.log() == log)
            .unwrap();
        let (tag, op) = node.io.ops.remove(first).unwrap();
        let completion = match self.rng.below(40) {
            0 => Completion::Unknown,
            1 => {
                self.store.perform(at, &op);
                Completion::Unknown
            }
            _ => self.store.perform(at, &op),
        };
        self.done[at].push((tag, completion));
    }

    /// Any outcome comes back, in any order.
    fn complete(&mut self, at: usize) {
        if self.done[at].is_empty() {
            return;
        }
        let pick = self.rng.below(self.done[at].len() as u64) as usize;
        let (tag, completion) = self.done[at].swap_remove(pick);
        self.nodes[at].done(tag, &completion);
    }

    /// A node is gone with everything it had not been told; what it had submitted may still land.
    fn crash(&mut self, at: usize) {
        while self.rng.below(3) > 0 && !self.nodes[at].io.ops.is_empty() {
            self.perform(at);
        }
        self.lives += 1;
        self.seen.crashes += 1;
        self.tally(at);
        let now = self.nodes[at].now;
        self.nodes[at] = node(at, self.lives, self.plant);
        self.nodes[at].now = now;
        self.done[at].clear();
    }

    fn tally(&mut self, at: usize) {
        let counters = self.nodes[at].machine.counters();
        self.seen.fenced += counters.fenced;
        self.seen.snapshots += counters.snapshots;
        self.seen.duplicates += counters.duplicates + counters.joined;
    }

    /// Answers to nothing that is open.
    fn hostile(&mut self, at: usize) {
        let guess = self.rng.draw() >> self.rng.below(64);
        let node = &mut self.nodes[at];
        let ticket = Ticket(guess);
        if node.ears.jobs.iter().all(|(open, ..)| *open != ticket) {
            node.command(ActorsCommand::Ran {
                ticket,
                outcome: Outcome::Loaded,
            });
        }
        let tag = Tag::new(super::super::MACHINE, (1 << 55) | guess);
        let mut open = node
            .io
            .ops
            .iter()
            .map(|(tag, _)| tag)
            .chain(self.done[at].iter().map(|(tag, _)| tag));
        if open.all(|known| *known != tag) {
            node.done(tag, &Completion::Unknown);
        }
    }

    fn collect(&mut self) -> Result<(), String> {
        for at in 0..2 {
            for (call, result) in core::mem::take(&mut self.nodes[at].ears.answers) {
                let (id, value, request) = self.calls.remove(&call).expect("an answer to no call");
                match result {
                    Ok(reply) if value == 0 => {
                        let grain = GetReply::parse(&reply).unwrap().grain.unwrap();
                        self.possible(id, sum(grain.value))?;
                    }
                    Ok(reply) => {
                        self.seen.acknowledged += 1;
                        let state = sum_of_apply(&reply);
                        self.possible(id, state)?;
                        if *self.answered.entry(request).or_insert(state) != state {
                            return Err(std::format!(
                                "request {request} was answered twice, differently"
                            ));
                        }
                    }
                    Err(status) if status.code == Code::Aborted => self.seen.unknown += 1,
                    Err(status) => assert_ne!(
                        status.code,
                        Code::DeadlineExceeded,
                        "call {call} was forgotten"
                    ),
                }
            }
        }
        Ok(())
    }

    /// Whether the log as it is now passes through a state: no answer shows what is not in it.
    fn possible(&mut self, id: u64, state: u64) -> Result<(), String> {
        let mut sum = 0;
        for (_, value) in values(&self.store, id) {
            sum += u64::from(value);
            if sum == state {
                return Ok(());
            }
        }
        Err(std::format!("actor {id} was never {state}"))
    }

    /// The whole log at the end.
    fn check(&mut self) -> Result<(), String> {
        for id in 0..IDS {
            let mut holder = None;
            for deed in self.store.log(id).deeds.clone() {
                match deed {
                    Deed::Fence { writer } => holder = Some(writer),
                    Deed::Append { writer } if holder == Some(writer) => {}
                    Deed::Append { writer } => {
                        return Err(std::format!("{writer} wrote into {holder:?}'s log {id}"));
                    }
                }
            }
            let mut times: BTreeMap<u128, u32> = BTreeMap::new();
            for (request, _) in values(&self.store, id) {
                *times.entry(request).or_default() += 1;
            }
            if let Some((request, times)) = times.iter().find(|(_, times)| **times > 1) {
                return Err(std::format!(
                    "request {request} is in the log {times} times"
                ));
            }
            for request in self
                .answered
                .keys()
                .filter(|request| **request as u64 % IDS == id)
            {
                if !times.contains_key(request) {
                    return Err(std::format!("acknowledged request {request} is lost"));
                }
            }
        }
        Ok(())
    }

    /// No more calls: everything ends, and a fresh node reads what was written.
    fn finish(&mut self) -> Result<(), String> {
        for _ in 0..2_000 {
            for at in 0..2 {
                self.nodes[at].io.store_full = false;
                self.nodes[at].jobs();
                while self.nodes[at].op(&mut self.store).is_some() {}
                while !self.done[at].is_empty() {
                    self.complete(at);
                }
                self.nodes[at].sleep(Duration::from_millis(7));
            }
            self.collect()?;
        }
        for at in 0..2 {
            self.tally(at);
            let node = &self.nodes[at];
            if (
                node.machine.in_flight(),
                node.machine.active(),
                node.stage.len(),
            ) != (0, 0, 0)
            {
                return Err(std::format!(
                    "{} calls, {} actors are left",
                    node.machine.in_flight(),
                    node.machine.active()
                ));
            }
        }
        self.check()?;
        for id in 0..IDS {
            let total: u64 = values(&self.store, id)
                .map(|(_, value)| u64::from(value))
                .sum();
            if total > 0 {
                let mut fresh = node(2, 99, None);
                fresh.get(1, id);
                fresh.settle(&mut self.store);
                assert_eq!(fresh.sum_of_get(1), total);
            }
        }
        Ok(())
    }
}

/// Request and value of every mutation ever written, in order.
fn values(store: &Store, id: u64) -> impl Iterator<Item = (u128, u8)> {
    let records = store
        .logs
        .get(&journal::log(id)[..])
        .map(|log| log.records.as_slice())
        .unwrap_or_default();
    records
        .iter()
        .filter_map(|record| match journal::read(record).unwrap() {
            Record::Mutations {
                request_id,
                request,
            } => Some((request_id.unwrap(), *request.last().unwrap())),
            Record::Snapshot { .. } => None,
        })
}

fn run(seed: u64, steps: u32, plant: Option<ActorsPlant>) -> Result<Seen, String> {
    let mut world = World::new(seed, plant);
    for _ in 0..steps {
        world.step()?;
    }
    world.finish()?;
    Ok(world.seen)
}

#[test]
fn two_nodes_that_take_an_actor_from_each_other_never_interleave_and_lose_nothing() {
    let mut world = World::new(0, None);
    for round in 0..10_u64 {
        let at = (round % 2) as usize;
        let node = &mut world.nodes[at];
        node.apply_as(round, 2, &[1], Some(u128::from(round) + 1));
        node.settle(&mut world.store);
        // The first attempt meets the other's fence; what was in flight is not known, and was not applied.
        if round >= 2 {
            assert_eq!(node.error(round), code("TF-R03", Code::Aborted));
            node.apply_as(round, 2, &[1], Some(u128::from(round) + 1));
            node.settle(&mut world.store);
        }
        assert_eq!(node.sum_of_apply(round), round + 1);
    }
    let deeds = &world.store.log(2).deeds;
    assert!(deeds.windows(2).all(|pair| match (pair[0], pair[1]) {
        (Deed::Append { writer: a } | Deed::Fence { writer: a }, Deed::Append { writer: b }) =>
            a == b,
        (_, Deed::Fence { .. }) => true,
    }));
    assert_eq!(values(&world.store, 2).count(), 10);
}

#[test]
fn any_order_of_completions_keeps_every_promise_of_actors() {
    let mut total = Seen::default();
    for seed in 0..150 {
        let seen = run(seed, 3_000, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        total.acknowledged += seen.acknowledged;
        total.unknown += seen.unknown;
        total.fenced += seen.fenced;
        total.crashes += seen.crashes;
        total.snapshots += seen.snapshots;
        total.duplicates += seen.duplicates;
    }
    // A run that exercised nothing proves nothing.
    assert!(
        total.acknowledged > 10_000 && total.fenced > 1_000 && total.unknown > 300,
        "{total:?}"
    );
    assert!(
        total.crashes > 300 && total.snapshots > 1_000 && total.duplicates > 1_000,
        "{total:?}"
    );
}

#[test]
fn planted_actor_bugs_are_found_by_the_random_schedule() {
    for plant in [ActorsPlant::AnswerBeforeDurable, ActorsPlant::ForgetFence] {
        let found = (0..20).any(|seed| run(seed, 3_000, Some(plant)).is_err());
        assert!(found, "{plant:?} was not found");
    }
}

#[test]
fn the_same_schedule_of_actors_gives_the_same_world() {
    let trace = |seed| {
        let mut world = World::new(seed, None);
        for _ in 0..2_000 {
            world.step().unwrap();
        }
        std::format!(
            "{:?} {:?} {:?}",
            world.store,
            world.seen,
            world.nodes[0].machine.counters()
        )
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}
