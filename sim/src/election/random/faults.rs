//! What goes wrong.

use std::time::Duration;

use trefoil_core::election::ElectionCommand;

use super::world::World;
use crate::moment::Moment;

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes that crashed.
    pub crashes: u64,
    /// Processes that were stopped as they should be.
    pub stops: u64,
    /// Directions of pairs that were cut.
    pub cuts: u64,
    /// Voters cut off from all.
    pub isolations: u64,
    /// Connections that broke.
    pub resets: u64,
    /// Processes that stood still.
    pub pauses: u64,
    /// Leaderships handed over or given up by command.
    pub commands: u64,
    /// Electorates given out.
    pub epochs: u64,
    /// What hostile voters did.
    pub attacks: u64,
}

impl Counts {
    /// Each with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("crashes", self.crashes),
            ("graceful stops", self.stops),
            ("cuts of one direction", self.cuts),
            ("isolations", self.isolations),
            ("resets", self.resets),
            ("pauses", self.pauses),
            ("commands", self.commands),
            ("electorates", self.epochs),
            ("attacks", self.attacks),
        ]
        .into_iter()
    }

    /// Adds those of another run.
    pub const fn merge(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.cuts += other.cuts;
        self.isolations += other.isolations;
        self.resets += other.resets;
        self.pauses += other.pauses;
        self.commands += other.commands;
        self.epochs += other.epochs;
        self.attacks += other.attacks;
    }
}

/// What follows from a fault; most of it makes it right again.
#[derive(Clone, Copy, Debug)]
enum Then {
    Heal(usize, usize),
    Restart(usize),
    /// The process of that start, if it still is, is told to stop, and ends soon after.
    Stop(usize, u32),
    /// The process of that start, if it still is, ends.
    Exit(usize, u32),
}

/// Faults of one run.
#[derive(Debug, Default)]
pub struct Faults {
    then: Vec<(Moment, Then)>,
    /// A planted bug: who is stopped closes its listener before it steps down.
    listener_first: bool,
    /// What happened.
    pub counts: Counts,
}

impl Faults {
    /// No faults yet. `listener_first` plants a bug.
    #[must_use]
    pub fn new(listener_first: bool) -> Self {
        Self {
            listener_first,
            ..Self::default()
        }
    }

    /// When something that follows is due.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        self.then.iter().map(|(at, _)| *at).min()
    }

    /// Does what is due, in order.
    pub fn go_on(&mut self, world: &mut World, until: Moment) {
        loop {
            let due = self.then.iter().enumerate().map(|(n, (at, _))| (*at, n));
            let Some((_, next)) = due.min().filter(|(at, _)| *at <= until) else {
                break;
            };
            let (_, then) = self.then.remove(next);
            self.follow(world, then);
        }
    }

    fn follow(&mut self, world: &mut World, then: Then) {
        match then {
            Then::Heal(a, b) => {
                world.cut[a][b] = false;
                world.healed(a, b);
            }
            Then::Restart(voter) => world.start(voter),
            Then::Stop(voter, boot) if world.voters[voter].boot == boot => {
                world.command(voter, ElectionCommand::Stop);
                let exit = world.now + Duration::from_millis(world.dice.below(50));
                self.then.push((exit, Then::Exit(voter, boot)));
            }
            Then::Exit(voter, boot) if world.voters[voter].boot == boot => {
                world.crash(voter, false);
                let back = world.now + Duration::from_millis(world.dice.below(1_000));
                self.then.push((back, Then::Restart(voter)));
            }
            Then::Stop(..) | Then::Exit(..) => {}
        }
    }

    /// A process is stopped as it should be: it steps down first.
    fn stop(&mut self, world: &mut World, voter: usize) {
        self.counts.stops += 1;
        let mut at = world.now;
        if self.listener_first {
            world.close_listener(voter);
            at += Duration::from_millis(world.dice.below(1_000));
        }
        self.then
            .push((at, Then::Stop(voter, world.voters[voter].boot)));
    }

    /// Something goes wrong.
    pub fn strike(&mut self, world: &mut World) {
        let count = world.voters.len();
        let (a, shift) = (world.dice.index(count), world.dice.index(count - 1));
        let b = (a + 1 + shift) % count;
        let for_long = Duration::from_millis(100 + world.dice.below(2_400));
        let over = world.now + for_long;
        let kinds = if world.regime.changes { 24 } else { 14 };
        let kind = world.dice.below(kinds);
        world.tell(|| format!("fault {kind} at v{a} v{b} for {for_long:?}"));
        match kind {
            0 | 1 => {
                self.counts.crashes += 1;
                let silently = world.dice.chance(200_000);
                world.crash(a, silently);
                let back = world.now + Duration::from_millis(world.dice.below(2_000));
                self.then.push((back, Then::Restart(a)));
            }
            2 | 3 => self.cut(world, a, b, over),
            4 => {
                self.cut(world, a, b, over);
                self.cut(world, b, a, over);
            }
            5 | 6 => {
                self.counts.isolations += 1;
                let victim = world.leader().unwrap_or(a);
                for other in (0..count).filter(|other| *other != victim) {
                    self.cut(world, victim, other, over);
                    self.cut(world, other, victim, over);
                }
            }
            7 => {
                self.counts.resets += 1;
                world.reset(a, b);
            }
            8 => {
                self.counts.pauses += 1;
                let victim = world.leader().filter(|_| world.dice.coin()).unwrap_or(a);
                let paused = &mut world.voters[victim].paused_until;
                // What waits for the end of a pause comes in the order in which it began to wait.
                *paused = over.max(*paused);
            }
            9 | 10 => {
                self.counts.commands += 1;
                if let Some(leader) = world.leader() {
                    let to = if leader == a { b } else { a };
                    let name = world.name(to);
                    world.command(leader, ElectionCommand::HandOver { to: &name });
                }
            }
            14..=16 => {
                self.counts.epochs += 1;
                world.electorates.step();
            }
            // The operator rolls it out.
            17.. => self.stop(world, a),
            11 | 12 => {
                let victim = world.leader().filter(|_| world.dice.coin()).unwrap_or(a);
                self.stop(world, victim);
            }
            _ => {
                self.counts.commands += 1;
                if let Some(leader) = world.leader() {
                    world.command(leader, ElectionCommand::StepDown);
                }
            }
        }
    }

    fn cut(&mut self, world: &mut World, from: usize, to: usize, over: Moment) {
        self.counts.cuts += 1;
        world.cut[from][to] = true;
        self.then.push((over, Then::Heal(from, to)));
    }

    /// Everything is made right at once.
    pub fn end(&mut self, world: &mut World) {
        for voter in &mut world.voters {
            voter.paused_until = Moment::ZERO;
        }
        // A stop is followed by an exit, and that by a restart: all of it at once.
        self.go_on(world, Moment::from_nanos(u64::MAX));
        for a in 0..world.voters.len() {
            for b in 0..world.voters.len() {
                world.cut[a][b] = false;
                world.healed(a, b);
            }
        }
    }
}
