//! One run: faults, then none, then everything must come right within its bounds.
//!
//! 1. Nodes start, clients begin, faults of the drawn kinds come and go.
//! 2. At `heal_at` all faults end; who died comes back, save the one that died for good.
//! 3. Views, owners and answers come right in their time, while the clients go on.
//! 4. The clients stop, every node is asked for every actor, and the books are compared.

use std::time::Duration;

use trefoil_core::status::Code;
use trefoil_core::time::WallClock;

use super::ask::Ask;
use super::clients::{Clients, Next, Sending};
use super::coverage::Coverage;
use super::faults::{Act, Faults};
use super::invariants::resurrection::Removals;
use super::invariants::{Invariant, Verdict, counters, journal, owners, streams, timers, views};
use super::ledger::Ledger;
use super::plan::Plan;
use super::plant::{Bug, Plant};
use super::subject::{Answer, RingSubject, ViewNews};
use crate::dice::Dice;
use crate::disk::{DiskConfig, StorePlant};
use crate::moment::Moment;
use crate::net::NetConfig;
use crate::trace::Trace;
use crate::world::{Turn, World, WorldConfig};

/// How a run is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Nodes; drawn if absent.
    pub nodes: Option<usize>,
    /// The bug that is planted.
    pub plant: Option<&'static Plant>,
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
    /// What was broken.
    pub verdicts: Vec<Verdict>,
    /// What was exercised.
    pub coverage: Coverage,
    /// From the end of all faults until the views were right and stayed so.
    pub views_after: Option<Duration>,
    /// From then until the owners were.
    pub owners_after: Option<Duration>,
}

/// How long a client waits for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it waits for a node that says nothing at all.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks at views and owners once all faults have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the clock on the wall says when the world begins.
const WALL_SECONDS: i64 = 1_800_000_000;

/// When things came right.
#[derive(Clone, Copy, Debug, Default)]
struct Settling {
    healed_at: Option<Moment>,
    views_since: Option<Moment>,
    owners_since: Option<Moment>,
    owners_wrong_since: Option<Moment>,
    strict: bool,
    told_owners: bool,
}

/// A run that goes on.
pub struct Run {
    world: World<RingSubject>,
    plan: Plan,
    faults: Faults,
    clients: Clients,
    ledger: Ledger,
    removals: Removals,
    verdicts: Vec<Verdict>,
    news: Vec<ViewNews>,
    settling: Settling,
    dice: Dice,
    clients_stopped: bool,
}

/// Runs a seed to its end.
#[must_use]
pub fn run(seed: u64, options: &Options, trace: Trace) -> Report {
    let plan = Plan::draw(seed, options.nodes);
    let mut run = Run::new(seed, plan, options, trace);
    run.start_all();
    run.start_clients();
    run.world.plan(run.plan.faults_from, Act::Fault);
    run.until(run.plan.heal_at);
    run.heal();
    let healed = run.world.now();
    run.until(healed + views::BOUND);
    run.judge_views();
    run.until(healed + views::BOUND + owners::bound(&run.world));
    run.clients_stopped = true;
    run.until(run.world.now() + Duration::from_secs(6));
    run.read_everything();
    run.until(run.world.now() + Duration::from_secs(8));
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
        let subject = RingSubject::new(&plan.names, plan.settings.clone(), bug, seed);
        Self {
            world: World::new(subject, config, seed, trace),
            faults: Faults::new(&plan, seed),
            clients: Clients::new(plan.clients, &plan.ids, seed),
            ledger: Ledger::default(),
            removals: Removals::new(plan.names.len()),
            verdicts: Vec::new(),
            news: Vec::new(),
            settling: Settling::default(),
            dice: Dice::new(seed, "run"),
            clients_stopped: false,
            plan,
        }
    }

    /// A run without faults, whose nodes start and whose clients do not, in a network where every
    /// packet takes about `latency`.
    #[must_use]
    pub fn calm(seed: u64, options: &Options, latency: Duration) -> Self {
        let drawn = Plan::draw(seed, options.nodes);
        let plan = Plan {
            net: NetConfig {
                latency_min: latency,
                latency_jitter: latency / 10,
                ..NetConfig::default()
            },
            disk: DiskConfig::default(),
            late_start: Moment::ZERO,
            ..drawn
        };
        let mut run = Self::new(seed, plan, options, Trace::default());
        run.start_all();
        run
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.plan.names.len()
    }

    /// Freezes a node.
    pub fn pause(&mut self, node: usize, pause: Duration) {
        self.world.pause(node, pause);
    }

    /// Whom a node removed from its view.
    pub fn removals_by(&self, node: usize) -> impl Iterator<Item = &ViewNews> {
        self.news
            .iter()
            .filter(move |news| news.node == node && !news.up)
    }

    fn start_all(&mut self) {
        let last = self.nodes() - 1;
        for node in 0..self.nodes() {
            let at = Moment::ZERO + self.dice.between(Duration::ZERO, Duration::from_secs(1));
            self.world.plan(
                if node == last {
                    at.max(self.plan.late_start)
                } else {
                    at
                },
                Act::Start(node),
            );
        }
    }

    fn start_clients(&mut self) {
        for client in 0..self.clients.len() {
            let at = Moment::from_secs(2) + self.dice.tail(self.plan.think);
            self.world.plan(at, Act::Client(client));
        }
    }

    /// Lets the world go on until a moment.
    pub fn until(&mut self, until: Moment) {
        loop {
            match self.world.turn(until) {
                Turn::Went => self.after_turn(),
                Turn::Act(act) => {
                    self.act(act);
                    self.after_turn();
                }
                Turn::Reached => return,
            }
        }
    }

    fn after_turn(&mut self) {
        for news in std::mem::take(&mut self.world.subject.news) {
            let heard = self.world.last_heard(news.node, news.peer);
            self.removals.take(news, heard, &mut self.verdicts);
            self.news.push(news);
        }
        for answer in std::mem::take(&mut self.world.subject.answers) {
            self.answered(&answer);
        }
        for node in std::mem::take(&mut self.world.subject.left) {
            self.world.crash(node, true);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Start(node) => self.start(node),
            Act::Client(client) => {
                if !self.clients_stopped {
                    let nodes = self.living();
                    let sending =
                        self.clients
                            .begin(client, self.world.now(), &nodes, &mut self.ledger);
                    self.send(sending);
                }
            }
            Act::Again(client) => {
                let nodes = self.living();
                let sending = self.clients.send(client, &nodes);
                self.send(sending);
            }
            Act::Impatient(call) => {
                let result = Err((Code::DeadlineExceeded, "nothing was heard".to_owned()));
                self.answered(&Answer { call, result });
            }
            Act::Look => self.look(),
            Act::Fault => {
                if self.settling.healed_at.is_none() {
                    self.faults.strike(&mut self.world);
                    let wait = self.dice.tail(self.plan.between);
                    self.world.plan(self.world.now() + wait, Act::Fault);
                }
            }
            Act::Mend(pairs) => {
                if self.settling.healed_at.is_none() {
                    self.faults.mend(&pairs, &mut self.world);
                }
            }
        }
    }

    fn start(&mut self, node: usize) {
        if self.world.nodes()[node].lives() || self.faults.is_dead(node) {
            return;
        }
        if self.world.nodes()[node].session() > 0 {
            self.world.subject.coverage.add("restarts", 1);
        }
        self.world.start(node);
        self.removals.forget(node);
        let now = self.world.now();
        let unix_millis = WALL_SECONDS * 1_000 + now.as_nanos() as i64 / 1_000_000;
        let wall = WallClock {
            at: self.world.clock(node),
            unix_millis,
        };
        self.world.command(node, Duration::ZERO, Ask::Wall(wall));
        if node + 1 == self.nodes() {
            // A further contact by command, besides those of the settings.
            let host = self.plan.names[node - 1].clone();
            self.world
                .command(node, Duration::from_millis(1), Ask::Join(host));
        }
    }

    fn living(&self) -> Vec<usize> {
        (0..self.nodes())
            .filter(|node| self.world.nodes()[*node].lives())
            .collect()
    }

    fn send(&mut self, sending: Option<Sending>) {
        let Some(Sending {
            call,
            node,
            request,
            request_id,
        }) = sending
        else {
            return;
        };
        let deadline = self.world.clock(node) + CALL_TIMEOUT;
        let ask = match request_id {
            Some(request_id) => Ask::Apply {
                call,
                request,
                request_id,
                deadline,
            },
            None => Ask::Get {
                call,
                request,
                deadline,
            },
        };
        self.world.command(node, Duration::ZERO, ask);
        self.world
            .plan(self.world.now() + PATIENCE, Act::Impatient(call));
    }

    fn answered(&mut self, answer: &Answer) {
        let now = self.world.now();
        match self.clients.answered(now, answer, &mut self.ledger) {
            Next::Nothing => {}
            Next::Again(client, wait) => self.world.plan(now + wait, Act::Again(client)),
            Next::Over(client) => {
                let wait = self.dice.tail(self.plan.think);
                if client < self.plan.clients {
                    self.world.plan(now + wait, Act::Client(client));
                }
            }
        }
    }

    fn heal(&mut self) {
        let now = self.world.now();
        self.settling.healed_at = Some(now);
        self.world.heal();
        for node in 0..self.nodes() {
            self.start(node);
        }
        self.world.plan(now, Act::Look);
    }

    /// Looks at views and owners.
    fn look(&mut self) {
        let now = self.world.now();
        self.world.plan(now + LOOK_EVERY, Act::Look);
        let Some(healed) = self.settling.healed_at else {
            return;
        };
        if let Some(wrong) = views::wrong(&self.world) {
            if self.settling.views_since.take().is_some() && now.since(healed) > views::BOUND {
                self.say(
                    Invariant::Views,
                    format!("views were right and are not any more: {wrong}"),
                );
            }
            self.settling.owners_since = None;
            self.settling.owners_wrong_since = None;
            return;
        }
        let since = *self.settling.views_since.get_or_insert(now);
        let due = since + owners::bound(&self.world);
        match owners::disagreement(&self.world, &self.plan.ids) {
            None => {
                self.settling.owners_since.get_or_insert(now);
                self.settling.owners_wrong_since = None;
            }
            Some(wrong) => {
                let wrong_since = *self.settling.owners_wrong_since.get_or_insert(now);
                if now > due.max(wrong_since + owners::CHANGE)
                    && !std::mem::replace(&mut self.settling.told_owners, true)
                {
                    self.say(
                        Invariant::Owners,
                        format!("views are equal since {since}: {wrong}"),
                    );
                }
            }
        }
        if now > due && !std::mem::replace(&mut self.settling.strict, true) {
            streams::be_strict(&mut self.world);
        }
    }

    fn judge_views(&mut self) {
        if let Some(wrong) = views::wrong(&self.world) {
            self.say(Invariant::Views, wrong);
        }
    }

    fn say(&mut self, invariant: Invariant, text: String) {
        self.verdicts.push(Verdict {
            at: self.world.now(),
            invariant,
            text,
        });
    }

    fn read_everything(&mut self) {
        for id in self.plan.ids.clone() {
            for node in self.living() {
                let sending = self.clients.read_settled(id, node);
                self.send(sending);
            }
        }
    }

    fn finish(mut self, seed: u64) -> Report {
        let now = self.world.now();
        for (id, node) in self.clients.unsettled() {
            let why = self.clients.last_failure.clone().unwrap_or_default();
            self.say(
                Invariant::Counters,
                format!("{id:016x} cannot be read at node {node}: {why}"),
            );
        }
        let mut verdicts = self.verdicts;
        let journals = journal::read(&self.world.disk.store, now, &mut verdicts);
        journal::compare(&journals, &self.ledger, now, &mut verdicts);
        counters::check(&journals, &self.ledger, now, &mut verdicts);
        streams::overdue(&self.world, &mut verdicts);
        timers::busy(&self.world, &mut verdicts);
        verdicts.append(&mut self.world.subject.verdicts);
        verdicts.sort_by_key(|verdict| verdict.at);
        for node in 0..self.world.nodes().len() {
            let Some(engine) = self.world.engine(node) else {
                continue;
            };
            let counted = super::coverage::of_ring(engine.machine().machine().machine());
            self.world.subject.coverage.merge(&counted);
        }
        let mut coverage = self.faults.coverage;
        coverage.merge(&self.world.subject.coverage);
        coverage.merge(&super::coverage::of_world(
            &self.world.net.counts,
            &self.world.disk.counts,
        ));
        coverage.add("acknowledged", self.ledger.acknowledged() as u64);
        coverage.add("requests", self.ledger.entries().count() as u64);
        let Settling {
            healed_at,
            views_since,
            owners_since,
            ..
        } = self.settling;
        Report {
            seed,
            hash: self.world.trace.hash(),
            events: self.world.trace.events(),
            verdicts,
            coverage,
            views_after: views_since
                .zip(healed_at)
                .map(|(since, healed)| since.since(healed)),
            owners_after: owners_since
                .zip(views_since)
                .map(|(since, views)| since.since(views)),
        }
    }
}
