//! One seed: a storm, and then quiet.

use std::time::Duration;

use super::faults::{Counts, Faults};
use super::hostile::{Hostile, Kind};
use super::invariants::Invariant;
use super::plants::{Bug, Plant};
use super::regime::Regime;
use super::world::World;
use crate::dice::Dice;
use crate::moment::Moment;

/// How seeds are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Voters; drawn if absent.
    pub voters: Option<usize>,
    /// Voters come and go.
    pub changing: bool,
    /// One voter is hostile, and nothing else goes wrong.
    pub hostile: bool,
    /// A bug; then nothing is looked for but what it breaks.
    pub plant: Option<&'static Plant>,
    /// Prints what happens.
    pub talks: Option<fn(&str)>,
}

/// What a seed has to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What does not hold, and when.
    pub broken: Option<(Invariant, Moment)>,
    /// Leaderships.
    pub leaderships: u64,
    /// Events.
    pub events: u64,
    /// Virtual time.
    pub took: Duration,
    /// From the end of the storm to a leader.
    pub leader_after: Duration,
    /// What went wrong.
    pub faults: Counts,
    /// Hash of all that happened.
    pub trace: u64,
}

/// Nothing goes wrong for so long at the end, and the leader must stay.
const QUIET: Duration = Duration::from_secs(5);

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Report {
    let mut regime = Regime::draw(options.voters, &mut Dice::new(seed, "regime"));
    if options.changing {
        regime = regime.changing();
    }
    if options.hostile {
        regime = regime.hostile();
    }
    if let Some(plant) = options.plant {
        (plant.world)(&mut regime);
    }
    let bug = options.plant.map(|plant| plant.bug);
    let mut world = World::new(regime, seed, bug);
    world.watch = options.plant.map(|plant| plant.breaks);
    world.talks = options.talks;
    let mut faults = Faults::new(bug == Some(Bug::ListenerFirst));
    world.tell(|| format!("{:?}", world.regime));
    if world.regime.hostile {
        return under_attack(seed, world);
    }
    let end = Moment::ZERO + world.regime.storm;
    let mut strike = Moment::ZERO + Duration::from_millis(500);
    while world.broken.is_none() && world.now < end {
        let next = faults.due().map_or(strike, |due| due.min(strike)).min(end);
        world.run_until(next);
        faults.go_on(&mut world, next);
        if next >= strike {
            faults.strike(&mut world);
            strike = next + world.dice.tail(world.regime.fault_every) + Duration::from_millis(1);
        }
    }
    faults.end(&mut world);
    world.tell(|| "the storm is over".to_owned());
    let leader_after = settle(&mut world, end);
    Report {
        seed,
        broken: world.broken,
        leaderships: world.leaderships,
        events: world.events,
        took: world.now.since(Moment::ZERO),
        leader_after,
        faults: faults.counts,
        trace: world.trace(),
    }
}

/// One voter is hostile from some moment on, and is gone in the end.
fn under_attack(seed: u64, mut world: World) -> Report {
    let voter = world.dice.index(world.voters.len());
    let kind = [Kind::Stranger, Kind::Voter, Kind::Granting][world.dice.index(3)];
    let begin = Moment::ZERO + Duration::from_millis(world.dice.below(1_500));
    let end = begin + world.regime.storm / 2;
    // Bursts and trickles.
    let pause = Duration::from_micros([200, 2_000, 30_000][world.dice.index(3)]);
    world.run_until(begin);
    world.crash(voter, false);
    world.hostile = Some(Hostile::new(voter, kind));
    world.hostile_voted = kind != Kind::Stranger;
    world.tell(|| format!("hostile from now on in the place of v{voter}: {kind:?}"));
    while world.broken.is_none() && world.now < end {
        world.attack();
        let next = world.now + world.dice.tail(pause) + Duration::from_micros(1);
        world.run_until(next.min(end));
    }
    let attacks = world.hostile.as_ref().map_or(0, |hostile| hostile.attacks);
    world.hostile_ends();
    world.tell(|| "it is gone".to_owned());
    let leader_after = recover(&mut world, end);
    Report {
        seed,
        broken: world.broken,
        leaderships: world.leaderships,
        events: world.events,
        took: world.now.since(Moment::ZERO),
        leader_after,
        faults: Counts {
            attacks,
            ..Counts::default()
        },
        trace: world.trace(),
    }
}

/// The others have a leader in time.
fn recover(world: &mut World, end: Moment) -> Duration {
    // What it said last is on its way, and may yet replace a leader.
    let heard = end + world.regime.delay.1;
    let deadline = end + world.regime.leader_within();
    while world.broken.is_none() && world.now < deadline {
        world.run_until(world.now + Duration::from_millis(10));
        if world.leader().is_some() && world.now >= heard {
            break;
        }
    }
    let took = world.now.since(end);
    if world.broken.is_none() && world.leader().is_none() {
        world.breaks(Invariant::LeaderInTime);
    }
    if world.broken.is_none() {
        stays(world);
    }
    took
}

/// In quiet, a leader comes in time and stays.
fn settle(world: &mut World, storm_end: Moment) -> Duration {
    // What was on its way when the storm ended may be late by the longest stall there is; from then on
    // frames take their usual time.
    world.regime.stalls_ppm = 0;
    let calm = storm_end + Duration::from_secs(4);
    let deadline = calm + world.regime.leader_within();
    while world.broken.is_none() && world.now < deadline {
        let next = world.now + Duration::from_millis(10);
        world.run_until(next);
        if world.leader().is_some() && world.now >= calm {
            break;
        }
    }
    let took = world.now.since(calm);
    if world.broken.is_some() {
        return took;
    }
    if world.leader().is_none() {
        if !world.regime.is_live() {
            return Duration::ZERO;
        }
        world.breaks(Invariant::LeaderInTime);
        return took;
    }
    stays(world);
    took
}

/// A leader stays. The first after a storm may still be replaced by what was begun before.
fn stays(world: &mut World) {
    let settled = world.now + world.regime.promise() * 2;
    world.run_until(settled);
    let before = world.leaderships;
    let leader = world.leader();
    world.run_until(settled + QUIET);
    if world.leaderships != before || world.leader() != leader {
        world.breaks(Invariant::NoDisruption);
    }
}
