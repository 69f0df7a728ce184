//! Faults as they strike, drawn with an eye on what the world is like at that moment.

use std::time::Duration;

use super::ask::Ask;
use super::coverage::Coverage;
use super::plan::{Kind, Plan, duration};
use super::subject::RingSubject;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::world::World;

/// What the owner of a world does at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A node starts.
    Start(usize),
    /// A client gets a new errand.
    Client(usize),
    /// A client tries its errand again.
    Again(usize),
    /// A client has waited long enough for a call.
    Impatient(u64),
    /// A fault strikes.
    Fault,
    /// Ways between nodes, each in one direction, are mended.
    Mend(Vec<(usize, usize)>),
    /// Views and owners are looked at.
    Look,
}

/// The faults of a run.
#[derive(Debug)]
pub struct Faults {
    /// What struck.
    pub coverage: Coverage,
    kinds: Vec<Kind>,
    ids: Vec<u64>,
    dead: Option<usize>,
    heal_at: Moment,
    dice: Dice,
}

impl Faults {
    /// The faults of a plan.
    #[must_use]
    pub fn new(plan: &Plan, seed: u64) -> Self {
        Self {
            coverage: Coverage::default(),
            kinds: plan.kinds.clone(),
            ids: plan.ids.clone(),
            dead: None,
            heal_at: plan.heal_at,
            dice: Dice::new(seed, "faults"),
        }
    }

    /// Whether a node died for good.
    #[must_use]
    pub fn is_dead(&self, node: usize) -> bool {
        self.dead == Some(node)
    }

    /// Something goes wrong.
    pub fn strike(&mut self, world: &mut World<RingSubject>) {
        if self.kinds.is_empty() {
            return;
        }
        let nodes = world.nodes().len();
        let node = self.dice.index(nodes);
        let living = world.nodes().iter().filter(|node| node.lives()).count();
        match self.kinds[self.dice.index(self.kinds.len())] {
            Kind::Split => self.split(world),
            Kind::OneWay => self.one_way(node, world),
            Kind::Pause => {
                let pause = duration(
                    &mut self.dice,
                    Duration::from_millis(100),
                    Duration::from_secs(10),
                );
                self.coverage.add("pauses", 1);
                world.pause(node, pause);
            }
            Kind::Crash if living > 1 && world.nodes()[node].lives() => {
                let back = duration(
                    &mut self.dice,
                    Duration::from_millis(100),
                    Duration::from_secs(10),
                );
                self.coverage.add("crashes", 1);
                world.crash(node, self.dice.coin());
                world.plan(world.now() + back, Act::Start(node));
            }
            Kind::Leave if living > 2 && world.nodes()[node].lives() => {
                let back = duration(
                    &mut self.dice,
                    Duration::from_secs(2),
                    Duration::from_secs(15),
                );
                self.coverage.add("leaves", 1);
                world.command(node, Duration::ZERO, Ask::Leave);
                world.plan(world.now() + back, Act::Start(node));
            }
            Kind::Death if self.dead.is_none() && nodes > 3 && world.nodes()[node].lives() => {
                self.dead = Some(node);
                self.coverage.add("deaths for good", 1);
                world.crash(node, self.dice.coin());
            }
            Kind::ResetLink => {
                let mut done = false;
                world.with_net(|at, net, later| done = net.reset_link(at, later));
                self.coverage.add("link resets", u64::from(done));
            }
            Kind::Slow => self.slow(node, world),
            Kind::Release => {
                let id = self.ids[self.dice.index(self.ids.len())];
                self.coverage.add("releases", 1);
                for node in 0..nodes {
                    world.command(node, Duration::ZERO, Ask::Release(id));
                }
            }
            Kind::Crash | Kind::Leave | Kind::Death => {}
        }
    }

    fn split(&mut self, world: &mut World<RingSubject>) {
        let nodes = world.nodes().len();
        let sides: Vec<bool> = (0..nodes).map(|_| self.dice.coin()).collect();
        let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|(a, b)| sides[*a] != sides[*b]).collect();
        if !pairs.is_empty() {
            self.coverage.add("partitions", 1);
            self.cut(pairs, world);
        }
    }

    fn one_way(&mut self, from: usize, world: &mut World<RingSubject>) {
        let nodes = world.nodes().len();
        let everyone = self.dice.coin();
        let chosen = self.dice.index(nodes);
        let to = (0..nodes).filter(|to| *to != from && (everyone || *to == chosen));
        let pairs: Vec<(usize, usize)> = to.map(|to| (from, to)).collect();
        if !pairs.is_empty() {
            self.coverage.add("one-way cuts", 1);
            self.cut(pairs, world);
        }
    }

    fn cut(&mut self, pairs: Vec<(usize, usize)>, world: &mut World<RingSubject>) {
        let lasts = duration(
            &mut self.dice,
            Duration::from_millis(100),
            Duration::from_secs(12),
        );
        world.with_net(|at, net, later| {
            for (from, to) in &pairs {
                net.cut(at, *from, *to, later);
            }
        });
        world.plan(world.now() + lasts, Act::Mend(pairs));
    }

    fn slow(&mut self, from: usize, world: &mut World<RingSubject>) {
        let percent = 500 + self.dice.below(10_000) as u32;
        let to = self.dice.index(world.nodes().len());
        self.coverage.add("slow ways", 1);
        world.with_net(|_, net, _| net.paths.set_slow(from, to, percent));
        let lasts = duration(
            &mut self.dice,
            Duration::from_secs(1),
            Duration::from_secs(10),
        );
        world.plan(
            self.heal_at.min(world.now() + lasts),
            Act::Mend(vec![(from, to)]),
        );
    }

    /// Ways are mended.
    pub fn mend(&mut self, pairs: &[(usize, usize)], world: &mut World<RingSubject>) {
        world.with_net(|at, net, later| {
            for (from, to) in pairs {
                net.paths.set_slow(*from, *to, 0);
                net.mend(at, *from, *to, later);
            }
        });
    }
}
