//! The schedules by which redhac comes to two leaders, to tokens that go back, to a healthy leader deposed,
//! to no leader for ever and to a panic, played to our voters. The world judges after every event: one
//! leader, tokens that grow, votes that are backed.

use std::time::Duration;

use trefoil_core::election::{ElectionCommand, Seat, Standing};

use super::regime::Regime;
use super::world::World;
use crate::dice::Dice;

/// A promise, the longest delay of an election of three or five, and a few round trips.
const IN_TIME: u64 = 1_500;
const SEEDS: u64 = 40;

pub(super) fn quiet(voters: usize, seed: u64) -> Regime {
    let mut regime = Regime::draw(Some(voters), &mut Dice::new(seed, "counterexample"));
    regime.slow = false;
    regime.delay = (Duration::from_micros(500), Duration::from_millis(4));
    regime.stalls_ppm = 0;
    regime.kept = true;
    regime.pre_vote = true;
    regime.store = Duration::from_millis(2);
    regime.drift_ppm = 10_000;
    regime.skew = Duration::ZERO;
    regime.evidence = false;
    regime
}

fn world(voters: usize, seed: u64) -> World {
    World::new(quiet(voters, seed), seed, None)
}

pub(super) fn pass(world: &mut World, ms: u64) {
    world.run_until(world.now + Duration::from_millis(ms));
    assert_eq!(world.broken, None);
}

/// Goes on until somebody leads and the others know, and says who it is.
pub(super) fn leader(world: &mut World) -> usize {
    let end = world.now + Duration::from_millis(IN_TIME);
    while world.leader().is_none() {
        assert!(world.now < end, "no leader in time");
        pass(world, 5);
    }
    pass(world, 50);
    world.leader().unwrap()
}

fn standing(world: &World, voter: usize) -> Standing {
    let voter = &world.voters[voter];
    voter
        .election
        .as_ref()
        .unwrap()
        .standing(voter.clock.show(world.now))
}

/// `of` led once, and nobody since.
fn stays(world: &World, of: usize) {
    assert_eq!((world.leader(), world.leaderships), (Some(of), 1));
}

fn cut(world: &mut World, a: usize, b: usize, is_cut: bool) {
    for (from, to) in [(a, b), (b, a)] {
        world.cut[from][to] = is_cut;
        if !is_cut {
            world.healed(from, to);
        }
    }
}

fn each(voters: usize, schedule: impl Fn(&mut World, usize)) {
    for seed in 0..SEEDS {
        let mut world = world(voters, seed);
        let first = supported(&mut world);
        schedule(&mut world, first);
    }
}

/// A leader that every voter supports. One that two candidates made in the same moment may lack a voter
/// that knows a greater token, until the next election.
fn supported(world: &mut World) -> usize {
    loop {
        let first = leader(world);
        pass(world, 300);
        let elector = world.voters[first].election.as_ref().unwrap().elector();
        let all = elector
            .rules()
            .others()
            .all(|seat| elector.granted_at(seat).is_some());
        if all {
            world.leaderships = 1;
            return first;
        }
        world.command(first, ElectionCommand::StepDown);
    }
}

/// The two voters of three that do not lead.
fn others(leader: usize) -> (usize, usize) {
    ((leader + 1) % 3, (leader + 2) % 3)
}

#[test]
fn r1_a_broken_stream_makes_no_second_leader() {
    each(3, |world, a| {
        let (b, _) = others(a);
        world.break_streams(|stream| stream == [b, a]);
        pass(world, 5_000);
        stays(world, a);
    });
}

#[test]
fn r2_a_stream_that_breaks_and_comes_back_again_and_again_makes_no_second_leader() {
    each(3, |world, a| {
        let (b, c) = others(a);
        for time in 0..100 {
            let from = if time % 3 == 0 { c } else { b };
            world.break_streams(|stream| stream == [from, a]);
            let ms = world.dice.below(30);
            pass(world, ms);
            stays(world, a);
        }
    });
}

#[test]
fn r3_a_partial_cut_makes_no_second_leader_and_heals() {
    each(3, |world, a| {
        let (b, _) = others(a);
        cut(world, a, b, true);
        for _ in 0..100 {
            pass(world, 100);
            stays(world, a);
        }
        cut(world, a, b, false);
        pass(world, IN_TIME);
        stays(world, a);
        let Standing::Following { leader, .. } = standing(world, b) else {
            panic!("the voter behind the cut has no leader after it");
        };
        assert_eq!(leader, Seat(a as u8));
    });
}

#[test]
fn r4_a_voter_that_restarts_with_a_late_clock_deposes_nobody_and_no_token_goes_back() {
    const HOUR: i64 = 3_600_000_000_000;
    each(3, |world, a| {
        let (b, c) = others(a);
        world.crash(c, false);
        world.voters[c].unix_offset = -HOUR;
        pass(world, 20);
        world.start(c);
        pass(world, 5_000);
        stays(world, a);
        // And when it leads for once, its token is above all others in spite of its clock.
        cut(world, a, b, true);
        cut(world, a, c, true);
        world.crash(b, false);
        world.voters[b].unix_offset = -HOUR;
        pass(world, 20);
        world.start(b);
        pass(world, 2_000);
        assert_ne!(leader(world), a);
        assert_eq!(world.leaderships, 2);
    });
}

#[test]
fn r5_a_cold_start_makes_one_leader() {
    for seed in 0..SEEDS {
        let mut world = world(3, seed);
        let first = leader(&mut world);
        pass(&mut world, 3_000);
        stays(&world, first);
    }
}

#[test]
fn r6_no_vote_is_counted_twice() {
    each(5, |world, a| {
        for other in (0..5).filter(|other| *other != a) {
            world.break_streams(|stream| stream == [other, a]);
            pass(world, 1_000);
            stays(world, a);
        }
        // With two voters in reach nobody leads, however often they answer.
        cut(world, a, (a + 1) % 5, true);
        for reached in [a, (a + 1) % 5] {
            (0..5)
                .filter(|far| *far != a && *far != (a + 1) % 5)
                .for_each(|far| {
                    cut(world, reached, far, true);
                });
        }
        cut(world, a, (a + 1) % 5, false);
        pass(world, 4_000);
        let leads = world.leader().unwrap();
        assert!(leads != a && leads != (a + 1) % 5);
    });
}

#[test]
fn r7_a_leader_that_restarts_leaves_no_two_leaders() {
    each(3, |world, a| {
        world.crash(a, false);
        let ms = world.dice.below(200);
        pass(world, ms);
        world.start(a);
        leader(world);
        pass(world, 3_000);
        assert_eq!(world.leaderships, 2);
    });
}

#[test]
fn r8_a_leader_that_restarts_while_others_speak_of_it_is_followed_by_one_in_time() {
    each(3, |world, a| {
        let (b, c) = others(a);
        world.reset(b, a);
        world.crash(a, false);
        world.start(a);
        let first = leader(world);
        // Cuts that overlap and heal.
        let (b, c) = if first == a { (b, c) } else { others(first) };
        cut(world, first, b, true);
        let ms = world.dice.below(3_000);
        pass(world, ms);
        cut(world, b, c, true);
        let ms = world.dice.below(3_000);
        pass(world, ms);
        cut(world, b, c, false);
        cut(world, first, b, false);
        // A stream that was silent for a promise is given up, and opened again.
        pass(world, 1_000);
        leader(world);
        pass(world, 2_000);
        let end = world.now + Duration::from_millis(IN_TIME);
        while (0..3).any(|voter| standing(world, voter) == Standing::Leaderless) {
            assert!(world.now < end, "somebody knows of no leader");
            pass(world, 5);
        }
    });
}

#[test]
fn r9_a_hand_over_to_a_voter_that_has_just_restarted_panics_nobody() {
    each(3, |world, a| {
        let (b, _) = others(a);
        world.crash(b, false);
        let (down, up) = (world.dice.below(30), world.dice.below(30));
        pass(world, down);
        world.start(b);
        pass(world, up);
        let to = world.name(b);
        world.command(a, ElectionCommand::HandOver { to: &to });
        world.command(a, ElectionCommand::Stop);
        pass(world, 5);
        world.crash(a, false);
        leader(world);
    });
}

/// Its process ends as soon as it may, and nobody has to wait for a promise to end.
#[test]
fn a_leader_that_is_stopped_ends_when_its_heir_has_heard_of_it() {
    each(3, |world, a| {
        let (b, _) = others(a);
        let (to, stopped_at) = (world.name(b), world.now);
        world.command(a, ElectionCommand::HandOver { to: &to });
        world.command(a, ElectionCommand::Stop);
        while !world.voters[a].stopped {
            assert!(world.now < stopped_at + Duration::from_millis(100));
            pass(world, 1);
        }
        world.crash(a, false);
        pass(world, 100);
        assert_eq!(world.leader(), Some(b));
    });
}

#[test]
fn r10_a_leader_that_is_cut_off_leads_no_more_when_another_does() {
    each(3, |world, a| {
        let (b, c) = others(a);
        cut(world, a, b, true);
        cut(world, a, c, true);
        pass(world, 1_000);
        assert_ne!(world.leader(), Some(a), "its lease has ended");
        let second = leader(world);
        cut(world, a, b, false);
        cut(world, a, c, false);
        pass(world, 5_000);
        assert_eq!((world.leader(), world.leaderships), (Some(second), 2));
        assert!(matches!(standing(world, a), Standing::Following { .. }));
    });
}
