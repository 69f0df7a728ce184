//! How long it takes: from a fault, or a command, to the next leader, in virtual time and without a disk.

use std::time::Duration;

use trefoil_core::election::ElectionCommand;

use super::regime::Regime;
use super::world::World;
use crate::dice::Dice;

/// How finely time is looked at.
const GRAIN: Duration = Duration::from_micros(50);
/// Long enough for every election to be over.
const LONG: Duration = Duration::from_secs(5);
/// Three voters.
const VOTERS: usize = 3;

/// Times of many runs, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// What was timed.
    pub name: &'static str,
    /// The most that the middle of them may be, and all but a hundredth.
    pub target: Option<(Duration, Duration)>,
    sorted: Vec<Duration>,
}

impl Times {
    fn new(name: &'static str, target: Option<(u64, u64)>, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ms = Duration::from_millis;
        Self {
            name,
            target: target.map(|(p50, p99)| (ms(p50), ms(p99))),
            sorted: times,
        }
    }

    /// How many.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.sorted.len()
    }

    /// The least that `percent` of them do not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        let at = rank.clamp(1, self.sorted.len().max(1)) - 1;
        self.sorted.get(at).copied().unwrap_or_default()
    }

    /// Whether they are within the target, if there is one.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.target.is_none_or(|(p50, p99)| {
            !self.sorted.is_empty() && self.percentile(50) <= p50 && self.percentile(99) <= p99
        })
    }
}

/// What idle links did in a time in which nothing was to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Round trip of the links.
    pub round_trip: Duration,
    /// Whether all links stood still for half a second of every two.
    pub stalls: bool,
    /// Streams that were given up.
    pub drops: u64,
    /// Campaigns and new leaderships.
    pub elections: u64,
}

/// Leaders that a voter which hears them does not vote for: one more loss and they lead no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Round trip of the links.
    pub round_trip: Duration,
    /// Leaders.
    pub leaders: u64,
    /// Of those, so many lack a vote.
    pub lacking: u64,
}

/// All figures.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Times.
    pub times: Vec<Times>,
    /// Leaders some seconds after all voters were started.
    pub support: Vec<Support>,
    /// Links without a fault, or with stalls alone.
    pub idle: Vec<Idle>,
}

/// Runs every figure, those that are timed so often each.
#[must_use]
pub fn measure(runs: u64) -> Figures {
    let each = |name, target, run: fn(u64) -> Option<Duration>| {
        Times::new(name, target, (0..runs).filter_map(run).collect())
    };
    let ms = Duration::from_millis;
    let links = [(4, false), (30, false), (100, false)];
    let stalled = [(4, true), (30, true), (100, true)];
    Figures {
        times: vec![
            each("a quorum has started: leader", Some((100, 150)), cold_start),
            each("hand-over: time without a leader", Some((5, 20)), hand_over),
            each(
                "crash, refusals are proof: new leader",
                Some((20, 120)),
                |seed| crashed(seed, true),
            ),
            each(
                "crash, refusals prove nothing: new leader",
                Some((1_050, 1_200)),
                |seed| crashed(seed, false),
            ),
            each(
                "leader cut off: it leads no more",
                Some((980, 1_000)),
                |seed| Some(cut_off(seed)?.0),
            ),
            each("leader cut off: new leader", Some((1_050, 1_200)), |seed| {
                Some(cut_off(seed)?.1)
            }),
        ],
        support: [4, 30, 100].map(|trip| supported(ms(trip), runs)).into(),
        idle: links
            .into_iter()
            .chain(stalled)
            .map(|(round_trip, stalls)| idles(ms(round_trip), stalls))
            .collect(),
    }
}

/// A local network: a round trip takes 0.4 to 4 ms, votes are kept at once.
fn world(seed: u64, evidence: bool) -> World {
    let mut regime = Regime::draw(Some(VOTERS), &mut Dice::new(seed, "figures"));
    regime.slow = false;
    regime.delay = (Duration::from_micros(200), Duration::from_millis(2));
    regime.stalls_ppm = 0;
    regime.kept = true;
    regime.pre_vote = true;
    regime.store = Duration::ZERO;
    regime.drift_ppm = 10_000;
    regime.skew = Duration::from_millis(300);
    regime.evidence = evidence;
    World::new(regime, seed, None)
}

/// Goes on until somebody leads who is not `but`, and says after how long. `None`, which fails a target
/// by its count, if nobody does or something is broken.
fn next_leader(world: &mut World, but: Option<usize>) -> Option<Duration> {
    let began = world.now;
    while world.leader().is_none_or(|leader| Some(leader) == but) {
        if world.now.since(began) > LONG || world.broken.is_some() {
            return None;
        }
        world.run_until(world.now + GRAIN);
    }
    Some(world.now.since(began))
}

/// A leader that has led for a second and some part of its heartbeat.
fn led(seed: u64, evidence: bool) -> Option<(World, usize)> {
    let mut world = world(seed, evidence);
    next_leader(&mut world, None)?;
    let settled =
        world.now + Duration::from_secs(1) + Duration::from_micros(world.dice.below(200_000));
    world.run_until(settled);
    let leader = world.leader()?;
    Some((world, leader))
}

fn cold_start(seed: u64) -> Option<Duration> {
    let mut world = world(seed, false);
    let up = |world: &World| {
        world
            .voters
            .iter()
            .filter(|voter| voter.election.is_some())
            .count()
    };
    while up(&world) <= VOTERS / 2 {
        world.run_until(world.now + GRAIN);
    }
    next_leader(&mut world, None)
}

fn hand_over(seed: u64) -> Option<Duration> {
    let (mut world, leader) = led(seed, false)?;
    let heir = (leader + 1 + world.dice.index(VOTERS - 1)) % VOTERS;
    let name = world.name(heir);
    world.command(leader, ElectionCommand::HandOver { to: &name });
    let took = next_leader(&mut world, None)?;
    (world.leader() == Some(heir)).then_some(took)
}

fn crashed(seed: u64, evidence: bool) -> Option<Duration> {
    let (mut world, leader) = led(seed, evidence)?;
    world.crash(leader, false);
    next_leader(&mut world, None)
}

/// When the leader that is cut off leads no more, and when another does.
fn cut_off(seed: u64) -> Option<(Duration, Duration)> {
    let (mut world, leader) = led(seed, false)?;
    for other in (0..VOTERS).filter(|other| *other != leader) {
        world.cut[leader][other] = true;
        world.cut[other][leader] = true;
    }
    let cut = world.now;
    while world.leader() == Some(leader) {
        world.run_until(world.now + GRAIN);
    }
    let out = world.now.since(cut);
    next_leader(&mut world, Some(leader))?;
    Some((out, world.now.since(cut)))
}

/// Who votes for the leader five seconds after the start.
fn supported(round_trip: Duration, leaders: u64) -> Support {
    let lacks = |seed: &u64| {
        let mut world = world(*seed, false);
        world.regime.delay = (round_trip / 4, round_trip / 2);
        world.run_until(world.now + LONG);
        let leader = world
            .leader()
            .and_then(|at| world.voters[at].election.as_ref());
        leader.is_none_or(|election| {
            let elector = election.elector();
            (elector.rules().others()).any(|seat| elector.granted_at(seat).is_none())
        })
    };
    let lacking = (0..leaders).filter(lacks).count() as u64;
    Support {
        round_trip,
        leaders,
        lacking,
    }
}

/// Clusters that are watched idle: each elects for itself, and one may lead that lacks a vote.
pub const IDLE_RUNS: u64 = 20;

fn idles(round_trip: Duration, stalls: bool) -> Idle {
    let none = Idle {
        round_trip,
        stalls,
        drops: 0,
        elections: 0,
    };
    (0..IDLE_RUNS).fold(none, |sum, seed| {
        let one = idle(seed, round_trip, stalls);
        Idle {
            drops: sum.drops + one.drops,
            elections: sum.elections + one.elections,
            ..sum
        }
    })
}

/// Ten minutes of links on which nothing fails.
fn idle(seed: u64, round_trip: Duration, stalls: bool) -> Idle {
    let mut world = world(seed, false);
    world.regime.delay = (round_trip / 2, round_trip / 2);
    let done = |world: &mut World, length: Duration| {
        let end = world.now + length;
        while world.now < end {
            stall(world, stalls);
            world.run_until(world.now + Duration::from_millis(500));
            stall(world, false);
            world.run_until(world.now + Duration::from_millis(1_500));
        }
        happened(world)
    };
    let before = done(&mut world, Duration::from_secs(10));
    let after = done(&mut world, Duration::from_secs(600));
    Idle {
        round_trip,
        stalls,
        drops: after.0 - before.0 + u64::from(world.leader().is_none()),
        elections: after.1 - before.1,
    }
}

/// Nothing is sent on its way, or what was held is.
fn stall(world: &mut World, is_stalled: bool) {
    for from in 0..VOTERS {
        for to in 0..VOTERS {
            world.cut[from][to] = is_stalled;
            if !is_stalled {
                world.healed(from, to);
            }
        }
    }
}

/// Streams that were given up or opened, and campaigns and leaderships.
fn happened(world: &World) -> (u64, u64) {
    let elections = world
        .voters
        .iter()
        .filter_map(|voter| voter.election.as_ref());
    elections
        .map(|election| election.counters())
        .fold((0, 0), |(drops, elections), counted| {
            (
                drops + counted.timeouts + counted.streams,
                elections + counted.campaigns + counted.leaderships,
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_meets_its_target() {
        const RUNS: u64 = 60;
        let figures = measure(RUNS);
        for times in &figures.times {
            assert_eq!(times.runs() as u64, RUNS, "{}", times.name);
            assert!(times.is_met(), "{times:?}");
        }
        for support in figures.support {
            assert!(support.lacking * 20 < support.leaders, "{support:?}");
        }
        for idle in figures.idle {
            assert_eq!((idle.drops, idle.elections), (0, 0), "{idle:?}");
        }
    }

    #[test]
    fn a_percentile_is_the_least_that_covers_so_many() {
        let ms = Duration::from_millis;
        let times = Times::new("test", Some((2, 3)), (1..=4).map(ms).rev().collect());
        assert_eq!(
            [50, 51, 99, 100].map(|p| times.percentile(p)),
            [2, 3, 4, 4].map(ms)
        );
        assert!(!times.is_met());
        assert!(Times::new("test", Some((2, 4)), (1..=4).map(ms).collect()).is_met());
        assert!(!Times::new("none", Some((2, 4)), Vec::new()).is_met());
    }

    /// A stall that outlasts the lease is seen, so figures of idle links can fail.
    #[test]
    fn links_that_stand_still_for_long_are_given_up() {
        let (mut world, _) = led(1, false).unwrap();
        let before = happened(&world);
        stall(&mut world, true);
        world.run_until(world.now + LONG);
        stall(&mut world, false);
        world.run_until(world.now + LONG);
        let after = happened(&world);
        assert!(after.0 > before.0 && after.1 > before.1);
    }
}
