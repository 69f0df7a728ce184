//! An electorate is changed as it should be, one voter restarted after the other: there is a leader in time
//! after each step, and never two.

use trefoil_core::election::ElectionCommand;

use super::counterexamples::{leader, pass, quiet};
use super::electorates::Electorates;
use super::world::World;

const SEEDS: u64 = 40;

/// A world whose voters are the first of `members`; nobody is told of the rest yet.
fn world(voters: usize, members: &[u64], seed: u64) -> World {
    let mut world = World::new(quiet(voters, seed).changing(), seed, None);
    world.electorates = Electorates::given(members);
    for voter in 0..voters {
        world.electorates.give(voter, 0);
    }
    world
}

/// A voter is stopped, and started with an electorate.
fn restart(world: &mut World, voter: usize, epoch: usize) {
    restart_quickly(world, voter, epoch);
    leader(world);
    // It takes part before the next is restarted.
    pass(world, 1_500);
    leader(world);
}

fn restart_quickly(world: &mut World, voter: usize, epoch: usize) {
    end(world, voter);
    world.electorates.give(voter, epoch);
    world.start(voter);
}

fn end(world: &mut World, voter: usize) {
    world.command(voter, ElectionCommand::Stop);
    pass(world, 5);
    world.crash(voter, false);
    pass(world, 20);
}

/// All voters of an epoch take part in it.
fn all_take_part(world: &World, members: u64) {
    for voter in (0..world.voters.len()).filter(|voter| members >> voter & 1 == 1) {
        let process = &world.voters[voter];
        let election = process.election.as_ref().unwrap();
        let (elector, now) = (election.elector(), process.clock.show(world.now));
        assert_eq!(elector.silent_until(now), None, "v{voter} waits");
        assert_eq!(
            elector.rules().quorum(),
            members.count_ones() as usize / 2 + 1
        );
    }
}

#[test]
fn a_voter_is_replaced_by_two_epochs() {
    let members = [0b0111, 0b1111, 0b1110];
    for seed in 0..SEEDS {
        let mut world = world(4, &members, seed);
        leader(&mut world);
        // The new voter first. It says nothing before it knows that there is such an epoch.
        restart(&mut world, 3, 1);
        for voter in 0..3 {
            restart(&mut world, voter, 1);
        }
        all_take_part(&world, members[1]);
        for voter in [3, 1, 2] {
            restart(&mut world, voter, 2);
        }
        // The one that goes last.
        end(&mut world, 0);
        leader(&mut world);
        all_take_part(&world, members[2]);
    }
}

#[test]
fn one_voter_becomes_three_and_one_again() {
    let members = [0b001, 0b011, 0b111, 0b101, 0b100];
    for seed in 0..SEEDS {
        let mut world = world(3, &members, seed);
        leader(&mut world);
        for (epoch, order) in [
            (1, [1, 0].as_slice()),
            (2, &[2, 0, 1]),
            (3, &[0, 2]),
            (4, &[2]),
        ] {
            for voter in order {
                restart(&mut world, *voter, epoch);
            }
            for gone in (0..3).filter(|voter| members[epoch] >> voter & 1 == 0) {
                end(&mut world, gone);
            }
            leader(&mut world);
            all_take_part(&world, members[epoch]);
        }
    }
}

#[test]
fn a_voter_that_was_down_for_two_epochs_takes_part_in_the_third() {
    let members = [0b0111, 0b1111, 0b1110, 0b1110];
    for seed in 0..SEEDS {
        let mut world = world(4, &members, seed);
        leader(&mut world);
        pass(&mut world, 500);
        end(&mut world, 2);
        // With one of three down there is no majority of either while the others are restarted.
        for voter in [3, 0, 1] {
            restart_quickly(&mut world, voter, 1);
        }
        leader(&mut world);
        pass(&mut world, 1_500);
        restart_quickly(&mut world, 3, 2);
        restart(&mut world, 1, 2);
        end(&mut world, 0);
        restart(&mut world, 2, 2);
        all_take_part(&world, members[2]);
    }
}
