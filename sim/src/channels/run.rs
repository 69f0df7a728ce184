//! One run: faults, then none, then everything must come right within its bounds.
//!
//! 1. Nodes start, channels are created, clients begin, faults of the drawn kinds come and go.
//! 2. At `heal_at` all faults end; whoever died comes back, and all that nodes are told is true.
//! 3. Everything settles, and stays so for a while.
//! 4. The books are compared.

use std::time::Duration;

use trefoil_core::channels::coordinator::meta::{Meta, prefix};
use trefoil_core::time::WallClock;

use super::clients::Clients;
use super::coverage::{self, Coverage};
use super::faults::{Act, Faults, Hand};
use super::invariants::books::Books;
use super::invariants::delivery::Delivery;
use super::invariants::forgetting::Forgetting;
use super::invariants::handover::Handover;
use super::invariants::records::Records;
use super::invariants::terms::Terms;
use super::invariants::throttle::Throttle;
use super::invariants::versions::Versions;
use super::invariants::{Court, Invariant, Verdict, burnt, settled};
use super::oracle::{Oracle, Worlds};
use super::order::Order;
use super::party::Note;
use super::plan::{Mode, Plan};
use super::plants::{Bug, Plant};
use super::subject::{ChannelSubject, ROOT, Seen, Sight, channel_of, name_of};
use crate::dice::Dice;
use crate::disk::{DiskConfig, StorePlant};
use crate::moment::Moment;
use crate::net::Process;
use crate::trace::Trace;
use crate::world::{Turn, World, WorldConfig};

/// How a run is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What its world is like; drawn if absent.
    pub mode: Option<Mode>,
    /// The bug that is planted.
    pub plant: Option<&'static Plant>,
}

impl Options {
    /// With a bug, in a world in which it matters.
    #[must_use]
    pub fn planted(plant: &'static Plant) -> Self {
        Self {
            mode: Some(plant.mode),
            plant: Some(plant),
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The hash of its trace.
    pub hash: u64,
    /// Length of its trace.
    pub events: u64,
    /// Virtual time it took.
    pub took: Duration,
    /// What was broken.
    pub verdicts: Vec<Verdict>,
    /// What was exercised.
    pub coverage: Coverage,
    /// From the end of all faults until everything was well and stayed so.
    pub settled_after: Option<Duration>,
}

/// Between two looks whether all is well.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Clients stop so long after the end of all faults.
const LAST_RECORDS: Duration = Duration::from_millis(300);
/// What the clock on the wall says when the world begins.
const WALL_SECONDS: i64 = 1_800_000_000;
/// Verdicts after which a run is given up.
const VERDICTS_MAX: usize = 20;

/// All that is judged.
struct Judges {
    books: Books,
    records: Records,
    delivery: Delivery,
    forgetting: Forgetting,
    terms: Terms,
    handover: Handover,
    throttle: Throttle,
    versions: Versions,
}

/// A run that goes on.
pub struct Run {
    world: Worlds,
    plan: Plan,
    oracle: Oracle,
    faults: Faults,
    clients: Clients,
    judges: Judges,
    verdicts: Vec<Verdict>,
    /// How the keys of the metas begin.
    prefix: Vec<u8>,
    healed_at: Option<Moment>,
    well_since: Option<Moment>,
    /// Why not all is well.
    unwell: (Invariant, String),
    dice: Dice,
    over: bool,
}

/// Runs a seed to its end.
#[must_use]
pub fn run(seed: u64, options: &Options, trace: Trace) -> Report {
    let plan = Plan::draw(seed, options.mode);
    let mut run = Run::new(seed, plan, options, trace);
    run.begin();
    run.until(run.plan.heal_at);
    run.heal();
    run.until(run.world.now() + settled::BOUND);
    run.finish(seed)
}

impl Run {
    fn new(seed: u64, plan: Plan, options: &Options, trace: Trace) -> Self {
        let bug = options.plant.map(|plant| plant.bug);
        let config = WorldConfig {
            names: plan.names.clone(),
            net: plan.net.clone(),
            disk: plan.disk.clone(),
            store_plant: if let Some(Bug::Store(plant)) = bug {
                plant
            } else {
                StorePlant::None
            },
            drift_ppm: 200,
            timer_slack: Duration::from_micros(300),
        };
        let subject = ChannelSubject::new(&plan, bug, seed);
        let mut world = World::new(subject, config, seed, trace);
        world.disk.store.take_written();
        Self {
            world,
            oracle: Oracle::new(&plan, seed),
            faults: Faults::new(&plan, seed),
            clients: Clients::new(&plan, seed),
            judges: Judges {
                books: Books::new(plan.channels),
                records: Records::default(),
                delivery: Delivery::default(),
                forgetting: Forgetting::new(plan.channels, plan.retention),
                terms: Terms::new(plan.channels),
                handover: Handover::new(plan.channels, plan.mode != Mode::Storm),
                throttle: Throttle::new(plan.channels, plan.moves_max, plan.move_interval),
                versions: Versions::default(),
            },
            verdicts: Vec::new(),
            prefix: prefix(ROOT, plan.dialect).into_bytes(),
            healed_at: None,
            well_since: None,
            unwell: (Invariant::Settled, String::new()),
            dice: Dice::new(seed, "run"),
            over: false,
            plan,
        }
    }

    fn begin(&mut self) {
        for party in 0..self.plan.names.len() {
            let at = Moment::ZERO
                + self
                    .dice
                    .between(Duration::ZERO, Duration::from_millis(100));
            let is_last = party + 1 == self.plan.hosts;
            let late = if is_last {
                self.plan.late_start
            } else {
                Duration::ZERO
            };
            self.world.plan(at + late, Act::Start(party));
        }
        let soon = |ms| Moment::ZERO + Duration::from_millis(ms);
        self.world.plan(soon(150), Act::Elections);
        self.world.plan(soon(200), Act::Create);
        for client in self.plan.hosts..self.plan.echo() {
            self.world.plan(soon(400), Act::Produce(client));
        }
        self.world.plan(soon(700), Act::Fault);
    }

    /// Lets the world go on until a moment, or until it is over.
    fn until(&mut self, until: Moment) {
        while !self.over && self.verdicts.len() < VERDICTS_MAX {
            match self.world.turn(until) {
                Turn::Went => {}
                Turn::Act(act) => self.act(act),
                Turn::Reached => return,
            }
            self.after_turn();
        }
    }

    fn act(&mut self, act: Act) {
        let calm = self.healed_at.is_some();
        match act {
            Act::Start(party) => self.start(party),
            Act::End(node, session) => {
                if !calm && self.world.nodes()[node].session() == session {
                    self.faults.crash(node, &self.oracle, &mut self.world);
                }
            }
            Act::Declare(..) if calm => {}
            Act::Declare(node, session) => self.declare(node, session),
            Act::Rejoin(node, session) => {
                if self.world.nodes()[node].session() == session {
                    self.oracle.joins(node, &mut self.world);
                }
            }
            Act::Elect => self.oracle.elects(&mut self.world),
            Act::Elections if calm && self.oracle.leader.is_some() => {}
            Act::Elections => {
                self.oracle.elects(&mut self.world);
                let every = self.plan.elections.map(|every| self.dice.tail(every));
                let again = match (self.oracle.leader, every) {
                    (None, _) => Some(Duration::from_millis(100)),
                    (Some(_), every) => every,
                };
                if let Some(wait) = again {
                    self.world.plan(self.world.now() + wait, Act::Elections);
                }
            }
            Act::Create => self.create(),
            Act::Produce(client) => self.produce(client),
            Act::Fault => {
                if !calm {
                    match self.faults.strike(&self.oracle, &mut self.world) {
                        Some(Hand::Moves(channel)) => self.judges.throttle.moves(channel),
                        Some(Hand::Drains(address)) => self.judges.throttle.drains(&address),
                        None => {}
                    }
                    let wait = self.faults.wait();
                    self.world.plan(self.world.now() + wait, Act::Fault);
                }
            }
            Act::Mend(pairs) => Faults::mend(&pairs, &mut self.world),
            Act::Look => self.look(),
        }
    }

    fn start(&mut self, party: usize) {
        if self.world.nodes()[party].lives() {
            return;
        }
        self.world.start(party);
        if party < self.plan.hosts {
            self.tell_wall(party);
            self.oracle.greets(party, &mut self.world);
            self.oracle.joins(party, &mut self.world);
        } else if party < self.plan.echo() {
            let judges = (&mut self.judges.records, &mut self.judges.delivery);
            self.clients
                .open(party, &self.plan, judges, &mut self.world);
        }
    }

    fn tell_wall(&mut self, host: usize) {
        let now = self.world.now();
        let since = now.as_nanos() as i64 / 1_000_000;
        let wall = WallClock {
            at: self.world.clock(host),
            unix_millis: WALL_SECONDS * 1_000 + since + self.plan.skew_ms[host],
        };
        self.world.command(host, Duration::ZERO, Order::Wall(wall));
    }

    /// A node is taken for gone. Where leases are relied on it has to stop itself, and does.
    fn declare(&mut self, node: usize, session: u32) {
        let news = self.oracle.declares_gone(node, session, &mut self.world);
        if news && self.plan.mode == Mode::Leased {
            let by = self.world.now() + self.plan.lease;
            self.world.plan(by, Act::End(node, session));
        }
    }

    fn create(&mut self) {
        if self.judges.terms.created() == self.plan.channels {
            return;
        }
        let missing = (0..self.plan.channels).filter(|at| self.judges.terms.last(*at).is_none());
        for channel in missing.collect::<Vec<_>>() {
            if let Some(leader) = self.oracle.leader {
                let order = Order::Create(name_of(channel));
                self.world.command(leader, Duration::ZERO, order);
            }
        }
        let again = self.world.now() + Duration::from_millis(150);
        self.world.plan(again, Act::Create);
    }

    fn produce(&mut self, client: usize) {
        let now = self.world.now();
        if self.healed_at.is_some_and(|at| at + LAST_RECORDS < now) {
            return;
        }
        let records = &mut self.judges.records;
        let wait = self.clients.produce(client, records, &mut self.world);
        self.world.plan(now + wait, Act::Produce(client));
    }

    /// All faults end.
    fn heal(&mut self) {
        self.healed_at = Some(self.world.now());
        self.world.heal();
        // A store that was slow has left much to do.
        self.world.disk.config = DiskConfig::default();
        for host in 0..self.plan.hosts {
            // Where leases are relied on, who is gone from the membership ends.
            let gone = !self.oracle.is_member(host) && self.plan.mode == Mode::Leased;
            if gone && self.world.nodes()[host].lives() {
                self.world.crash(host, true);
            }
            self.start(host);
        }
        if self.plan.mode != Mode::Calm {
            self.oracle.tells_the_truth(&mut self.world);
        }
        self.world.plan(self.world.now(), Act::Look);
    }

    fn after_turn(&mut self) {
        let at = self.world.now();
        let written = self.world.disk.store.take_written();
        for (key, value) in written {
            self.meta_written(at, &key, &value);
        }
        if !self.world.subject.sights.is_empty() {
            for sight in std::mem::take(&mut self.world.subject.sights) {
                self.see(sight);
            }
        }
        let court = &mut Court {
            at,
            verdicts: &mut self.verdicts,
        };
        let store = &self.world.disk.store;
        let (books, forgetting) = (&self.judges.books, &mut self.judges.forgetting);
        let forgotten = forgetting.judge(books, store, court);
        if forgotten > 0 {
            let coverage = &mut self.world.subject.coverage;
            coverage.add("records forgotten", forgotten);
        }
        if let Some(node) = self.world.busy() {
            let text = format!("{node} wakes over and over at one moment");
            self.court(at).broken(Invariant::Contract, text);
            self.over = true;
        }
    }

    fn court(&mut self, at: Moment) -> Court<'_> {
        Court {
            at,
            verdicts: &mut self.verdicts,
        }
    }

    fn meta_written(&mut self, at: Moment, key: &[u8], value: &[u8]) {
        let name = key.strip_prefix(self.prefix.as_slice());
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let Some((channel, name)) = name.and_then(|name| Some((channel_of(name)?, name))) else {
            return;
        };
        let court = &mut Court {
            at,
            verdicts: &mut self.verdicts,
        };
        let Ok(meta) = Meta::parse(name, value) else {
            return court.broken(Invariant::Terms, format!("{name} is damaged"));
        };
        if let Some(last) = self.judges.terms.last(channel)
            && self.plan.mode == Mode::Calm
        {
            burnt::judge(channel, last, &meta, court);
            self.judges.throttle.judge(channel, last, &meta, court);
        }
        self.judges.terms.written(channel, meta, court);
    }

    fn see(&mut self, sight: Sight) {
        let Sight { at, process, seen } = sight;
        let court = &mut Court {
            at,
            verdicts: &mut self.verdicts,
        };
        let store = &self.world.disk.store;
        let judges = &mut self.judges;
        let client = process.node;
        match seen {
            Seen::Note(note) => self.note(at, process, note),
            Seen::Opened { channel, term } => {
                judges.terms.opened(channel, term, process, court);
                judges.handover.opened(channel, term, process, court);
            }
            Seen::Closed { channel, term } => judges.handover.closed(channel, term, process),
            Seen::Died => judges.handover.died(process),
            Seen::Serving(_) => {}
            Seen::Lost => self.world.subject.coverage.add("leaderships overtaken", 1),
            Seen::Produced {
                key,
                sequence,
                place,
            } => {
                let key = (client, key);
                let books = &mut judges.books;
                judges
                    .records
                    .acknowledge(key, sequence, place, books, store, court);
            }
            Seen::Failed {
                key,
                sequence,
                certain,
            } => judges.records.fail((client, key), sequence, certain),
            Seen::NotTaken(payload) => judges.records.take_back(&payload),
            Seen::Record { key, tick, payload } => {
                let (key, books) = ((client, key), &mut judges.books);
                judges
                    .delivery
                    .given(key, (tick, &payload), books, store, court);
            }
            Seen::Stopped(what) | Seen::Gone(what) => court.broken(Invariant::Settled, what),
            Seen::Misbehaved(why) => court.broken(Invariant::Contract, why.to_owned()),
            Seen::Contract(broken) => {
                let text = format!("{process:?}: {broken:?}");
                court.broken(Invariant::Contract, text);
            }
        }
    }

    fn note(&mut self, at: Moment, process: Process, note: Note) {
        let court = &mut Court {
            at,
            verdicts: &mut self.verdicts,
        };
        match note {
            Note::Called(call) => {
                self.judges.terms.called(&call, court);
                if self.healed_at.is_none() && self.dice.chance(self.plan.echo_ppm) {
                    let wait = self.dice.tail(Duration::from_millis(500));
                    self.world.subject.coverage.add("calls made again", 1);
                    self.world
                        .command(self.plan.echo(), wait, Order::Echo(call));
                }
            }
            Note::Told {
                stream,
                version,
                places,
            } => {
                let terms = &self.judges.terms;
                let watcher = (process, stream);
                self.judges
                    .versions
                    .told(watcher, version, places, terms, court);
            }
        }
    }

    /// Whether all is well; it is over once that has lasted.
    fn look(&mut self) {
        let now = self.world.now();
        match self.unwell() {
            Some(unwell) => {
                self.unwell = unwell;
                self.well_since = None;
            }
            None => {
                let since = *self.well_since.get_or_insert(now);
                self.over = now.since(since) >= settled::LASTS;
            }
        }
        self.world.plan(now + LOOK_EVERY, Act::Look);
    }

    fn unwell(&mut self) -> Option<(Invariant, String)> {
        let (plan, oracle, world) = (&self.plan, &self.oracle, &self.world);
        let court = &mut Court {
            at: world.now(),
            verdicts: &mut self.verdicts,
        };
        let healed = self.healed_at.unwrap_or_default();
        if healed + LAST_RECORDS * 2 > world.now() {
            return Some((Invariant::Settled, "clients go on".to_owned()));
        }
        let unassigned = settled::unassigned(plan, oracle, world);
        let unaware = || settled::unaware(plan, oracle, world);
        let waiting = || {
            let waiting = self.judges.records.waiting();
            (waiting > 0).then(|| format!("{waiting} records wait for an answer"))
        };
        if let Some(text) = unassigned.or_else(unaware).or_else(waiting) {
            return Some((Invariant::Settled, text));
        }
        let (books, store) = (&mut self.judges.books, &world.disk.store);
        if let Some(key) = self.judges.delivery.behind(books, store, court) {
            let text = format!("consumer {key:?} was not given everything");
            return Some((Invariant::Settled, text));
        }
        let uneven = settled::uneven(oracle, world)?;
        Some((Invariant::Balance, uneven))
    }

    fn finish(mut self, seed: u64) -> Report {
        let at = self.world.now();
        let settled_after = match (self.well_since, self.healed_at) {
            (Some(since), Some(healed)) if self.over => Some(since.since(healed)),
            _ => None,
        };
        if !self.over && self.verdicts.is_empty() {
            let (invariant, text) = self.unwell.clone();
            self.court(at).broken(invariant, text);
        }
        let court = &mut Court {
            at,
            verdicts: &mut self.verdicts,
        };
        let store = &self.world.disk.store;
        self.judges
            .records
            .finish(&mut self.judges.books, store, court);
        let mut coverage = std::mem::take(&mut self.world.subject.coverage);
        for party in 0..self.plan.names.len() {
            if let Some(engine) = self.world.engine(party) {
                coverage.merge(&coverage::of_party(engine.machine().machine().machine()));
            }
        }
        coverage.merge(&coverage::of_world(
            &self.world.net.counts,
            &self.world.disk.counts,
        ));
        Report {
            seed,
            hash: self.world.trace.hash(),
            events: self.world.trace.events(),
            took: at.since(Moment::ZERO),
            verdicts: self.verdicts,
            coverage,
            settled_after,
        }
    }
}
