//! Faults as they strike.

use std::time::Duration;

use super::oracle::{Oracle, Worlds};
use super::order::Order;
use super::plan::{Kind, Mode, Plan, duration};
use super::subject::name_of;
use crate::dice::Dice;

/// What the owner of a world does at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A party starts.
    Start(usize),
    /// A start of a node ends at once, if it has not.
    End(usize, u32),
    /// A start of a node is taken for gone.
    Declare(usize, u32),
    /// A start of a node is taken for alive again.
    Rejoin(usize, u32),
    /// Another node leads.
    Elect,
    /// The same, and again after a while.
    Elections,
    /// Channels that are not there yet are asked for.
    Create,
    /// A client appends something.
    Produce(usize),
    /// A fault strikes.
    Fault,
    /// Ways between parties, each in one direction, are mended.
    Mend(Vec<(usize, usize)>),
    /// It is looked whether all is well.
    Look,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hand {
    /// He moved a channel.
    Moves(usize),
    /// He drained the node at an address.
    Drains(String),
}

/// How long a node that died stays away.
const AWAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The faults of a run.
#[derive(Debug)]
pub struct Faults {
    plan: Plan,
    drained: bool,
    dice: Dice,
}

impl Faults {
    /// The faults of a plan.
    #[must_use]
    pub fn new(plan: &Plan, seed: u64) -> Self {
        Self {
            plan: plan.clone(),
            drained: false,
            dice: Dice::new(seed, "faults"),
        }
    }

    /// How long until the next.
    pub fn wait(&mut self) -> Duration {
        self.dice.tail(self.plan.between)
    }

    /// Something goes wrong, or an operator does something.
    pub fn strike(&mut self, oracle: &Oracle, world: &mut Worlds) -> Option<Hand> {
        if self.plan.kinds.is_empty() {
            return None;
        }
        let host = self.dice.index(self.plan.hosts);
        match self.plan.kinds[self.dice.index(self.plan.kinds.len())] {
            Kind::Split => self.split(world),
            Kind::OneWay => self.one_way(world),
            Kind::Pause => self.pause(world),
            Kind::Crash => self.crash(host, oracle, world),
            Kind::LostLease => self.lose(host, world),
            Kind::ResetLink => {
                let mut done = false;
                world.with_net(|at, net, later| done = net.reset_link(at, later));
                world.subject.coverage.add("link resets", u64::from(done));
            }
            Kind::Slow => self.slow(world),
            Kind::Election => world.plan(world.now(), Act::Elect),
            Kind::Move => return self.relocate(host, oracle, world),
            Kind::Drain => return self.drain(host, oracle, world),
        }
        None
    }

    fn parties(&self) -> usize {
        self.plan.hosts + self.plan.clients
    }

    fn split(&mut self, world: &mut Worlds) {
        let sides: Vec<bool> = (0..self.parties()).map(|_| self.dice.coin()).collect();
        let all = 0..self.parties();
        let pairs = all.flat_map(|a| (0..self.parties()).map(move |b| (a, b)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|(a, b)| sides[*a] != sides[*b]).collect();
        let lasts = self.cut(pairs, world);
        world.subject.coverage.add("partitions", 1);
        let cut_off = (0..self.plan.hosts).find(|host| sides[*host]);
        if let Some(host) = cut_off.filter(|_| lasts > self.plan.detection && self.dice.coin()) {
            self.miss(host, lasts, world);
        }
    }

    fn one_way(&mut self, world: &mut Worlds) {
        let from = self.dice.index(self.parties());
        let everyone = self.dice.coin();
        let chosen = self.dice.index(self.parties());
        let to = (0..self.parties()).filter(|to| *to != from && (everyone || *to == chosen));
        let pairs = to.map(|to| (from, to)).collect();
        self.cut(pairs, world);
        world.subject.coverage.add("one-way cuts", 1);
    }

    fn cut(&mut self, pairs: Vec<(usize, usize)>, world: &mut Worlds) -> Duration {
        let (shortest, longest) = (Duration::from_millis(50), Duration::from_secs(3));
        let lasts = duration(&mut self.dice, shortest, longest);
        world.with_net(|at, net, later| {
            for (from, to) in &pairs {
                net.cut(at, *from, *to, later);
            }
        });
        world.plan(world.now() + lasts, Act::Mend(pairs));
        lasts
    }

    fn slow(&mut self, world: &mut Worlds) {
        let percent = 500 + self.dice.below(10_000) as u32;
        let (from, to) = (
            self.dice.index(self.parties()),
            self.dice.index(self.parties()),
        );
        world.with_net(|_, net, _| net.paths.set_slow(from, to, percent));
        world.subject.coverage.add("slow ways", 1);
        let lasts = self.dice.tail(Duration::from_secs(1));
        world.plan(world.now() + lasts, Act::Mend(vec![(from, to)]));
    }

    fn pause(&mut self, world: &mut Worlds) {
        let party = self.dice.index(self.parties());
        let (shortest, longest) = (Duration::from_millis(20), Duration::from_secs(3));
        let lasts = duration(&mut self.dice, shortest, longest);
        world.pause(party, lasts);
        world.subject.coverage.add("pauses", 1);
        if party < self.plan.hosts && lasts > self.plan.detection {
            self.miss(party, lasts, world);
        }
    }

    /// A node that lives is taken for gone soon, and for alive again after `lasts`.
    fn miss(&mut self, host: usize, lasts: Duration, world: &mut Worlds) {
        let (now, session) = (world.now(), world.nodes()[host].session());
        world.plan(now + self.plan.detection, Act::Declare(host, session));
        if self.plan.mode != Mode::Leased {
            world.plan(now + lasts + self.wait(), Act::Rejoin(host, session));
        }
    }

    fn lose(&mut self, host: usize, world: &mut Worlds) {
        let (now, session) = (world.now(), world.nodes()[host].session());
        world.subject.coverage.add("lost leases", 1);
        world.plan(now, Act::Declare(host, session));
        if self.plan.mode != Mode::Leased {
            let lasts = self.dice.tail(Duration::from_secs(1));
            world.plan(now + lasts, Act::Rejoin(host, session));
        }
    }

    /// A node dies and comes back.
    pub fn crash(&mut self, host: usize, oracle: &Oracle, world: &mut Worlds) {
        if !world.nodes()[host].lives() {
            return;
        }
        let (now, session) = (world.now(), world.nodes()[host].session());
        world.subject.coverage.add("crashes", 1);
        world.crash(host, self.dice.coin());
        world.plan(now + self.plan.detection, Act::Declare(host, session));
        let back = now + duration(&mut self.dice, AWAY.0, AWAY.1);
        world.plan(back, Act::Start(host));
        if self.dice.chance(300_000) {
            // As soon as it has opened something, or even before.
            let again = back + self.dice.tail(Duration::from_millis(150));
            world.subject.coverage.add("double crashes", 1);
            world.plan(again, Act::End(host, session + 1));
        }
        if oracle.leader == Some(host) {
            world.plan(now + self.plan.detection, Act::Elect);
        }
    }

    fn relocate(&mut self, host: usize, oracle: &Oracle, world: &mut Worlds) -> Option<Hand> {
        let channel = self.dice.index(self.plan.channels);
        let to = self.plan.names[host].clone();
        let order = Order::Move(name_of(channel), to);
        world.subject.coverage.add("moves by operators", 1);
        world.command(oracle.leader?, Duration::ZERO, order);
        Some(Hand::Moves(channel))
    }

    /// One node of a run at most: what is drained stays so under a leadership.
    fn drain(&mut self, host: usize, oracle: &Oracle, world: &mut Worlds) -> Option<Hand> {
        let leader = oracle.leader.filter(|_| !self.drained)?;
        self.drained = true;
        let address = self.plan.names[host].clone();
        // A channel that comes to a drained node shortly before its deadline is opened elsewhere without it: where
        // hand-overs are judged, none does.
        let within = (self.plan.mode == Mode::Calm).then_some(Duration::from_secs(3_600));
        let order = Order::Drain(address.clone(), within);
        world.command(leader, Duration::ZERO, order);
        Some(Hand::Drains(address))
    }

    /// Ways are mended.
    pub fn mend(pairs: &[(usize, usize)], world: &mut Worlds) {
        world.with_net(|at, net, later| {
            for (from, to) in pairs {
                net.paths.set_slow(*from, *to, 0);
                net.mend(at, *from, *to, later);
            }
        });
    }
}
