//! Nodes of another make: nobody tells whether they live, and our log fences none of them.

use super::super::answers::What;
use super::super::foreign::ForeignNode;
use super::super::*;
use super::world::*;
use crate::memory::MemoryStore;

const FOREIGN: i64 = 9;

fn config(config: &mut CoordinatorConfig) {
    config.foreign.nodes.push(ForeignNode {
        address: address(FOREIGN),
        weight: 1,
    });
}

/// One node of ours and one of another make, with two channels each.
fn serving() -> World {
    let mut world = World::with(MemoryStore::new(), |settings| {
        config(settings);
        settings.expected_nodes = 2;
    });
    world.up(1, &address(1));
    world.process(FOREIGN, &address(FOREIGN));
    world.lead(7);
    for channel in 0..4 {
        world.create(&name(channel));
    }
    world.run(Duration::from_secs(2));
    world.assert_all_assigned();
    assert_eq!((world.count_on(1), world.count_on(FOREIGN)), (2, 2));
    world
}

fn is_whole(world: &World) -> bool {
    world.machine.assigned() == (4, 4)
}

fn until_whole(world: &mut World) -> Duration {
    let began = world.now;
    assert!(world.run_until(Duration::from_secs(3_600), is_whole));
    world.assert_all_assigned();
    world.now.since(began)
}

/// Moves a channel of a node to the other, and says which.
fn give_away(world: &mut World, from: i64) -> String {
    let placed = world.placement();
    let mut of = placed.iter().filter(|(_, (_, on))| *on == from);
    let channel = of.next().unwrap().0.clone();
    let to = address(if from == FOREIGN { 1 } else { FOREIGN });
    let command = CoordinatorCommand::Move {
        channel: &channel,
        to: &to,
    };
    world.command(command).unwrap();
    channel
}

#[test]
fn one_that_is_silent_is_gone_and_its_channels_go_elsewhere_only_after_the_grace() {
    let mut world = serving();
    world.worker(FOREIGN).mode = Mode::BlackHole;
    world.called.clear();
    // Silence of 5 s is noticed within another, and then come 15 s of grace.
    world.run(Duration::from_secs(19));
    assert_eq!(world.machine.assigned(), (2, 4));
    assert!(world.called.is_empty(), "{:?}", world.called);
    let took = Duration::from_secs(19) + until_whole(&mut world);
    assert!(took <= Duration::from_secs(23), "{took:?}");
    assert_eq!(world.count_on(1), 4);
}

#[test]
fn one_that_is_started_again_is_not_waited_for() {
    let mut world = serving();
    world.process(FOREIGN + 1, &address(FOREIGN));
    let gave_up = |world: &World| world.machine.assigned() == (2, 4);
    assert!(world.run_until(Duration::from_secs(3), gave_up));
    assert!(until_whole(&mut world) < Duration::from_secs(1));
    assert_eq!(world.count_on(FOREIGN), 0);
}

#[test]
fn one_that_is_stopping_is_drained_once() {
    let mut world = serving();
    world.stopping.insert(address(FOREIGN));
    world.run(Duration::from_secs(30));
    world.assert_all_assigned();
    assert_eq!((world.count_on(1), world.count_on(FOREIGN)), (4, 0));
    let drained = Told::Drained(FOREIGN);
    assert_eq!(
        world.told.iter().filter(|told| **told == drained).count(),
        1
    );
}

/// Our log fences neither what a node of another make writes, nor one of ours for the sake of it.
#[test]
fn between_two_makes_a_removal_is_never_given_up() {
    for from in [1, FOREIGN] {
        let mut world = serving();
        let channel = give_away(&mut world, from);
        world.run(Duration::from_secs(1));
        let all = world
            .called
            .iter()
            .filter(|called| called.channel == channel);
        let last: Vec<_> = all.map(|called| called.what).collect();
        assert_eq!(last, [What::Assign, What::Remove, What::Assign]);
        world.assert_all_assigned();

        let mut world = serving();
        // It lives, and lets nothing go.
        world.worker(from).mode = Mode::Says(crate::channels::dialect::ErrorCode::Inner, "no");
        give_away(&mut world, from);
        world.run(Duration::from_secs(3_600));
        assert_eq!(world.machine.assigned(), (3, 4), "from {from}");
    }
}

/// Two former owners: one that may be given up and is not asked any more, and one that is asked without end.
#[test]
fn what_one_removal_may_take_says_nothing_of_another() {
    let mut world = World::with(MemoryStore::new(), |settings| {
        config(settings);
        settings.expected_nodes = 3;
    });
    world.up(1, &address(1));
    world.up(2, &address(2));
    world.process(FOREIGN, &address(FOREIGN));
    world.lead(7);
    for channel in 0..3 {
        world.create(&name(channel));
    }
    world.run(Duration::from_secs(2));
    world.assert_all_assigned();
    world.worker(FOREIGN).mode = Mode::Says(crate::channels::dialect::ErrorCode::Inner, "no");
    let placed = world.placement();
    let (channel, _) = placed.iter().find(|(_, (_, on))| *on == FOREIGN).unwrap();
    for to in [1, 2] {
        let to = address(to);
        let command = CoordinatorCommand::Move { channel, to: &to };
        world.command(command).unwrap();
        world.run(ms(100));
    }
    world.run(Duration::from_secs(60));
    assert_eq!(world.machine.assigned(), (2, 3));
    world.worker(FOREIGN).mode = Mode::Well;
    world.run(Duration::from_secs(10));
    world.assert_all_assigned();
    assert_eq!(world.at(channel).0, Some(2));
}

#[test]
fn one_of_ours_that_is_gone_may_write_beside_one_of_another_make() {
    let mut world = serving();
    world.gone(1);
    world.run(Duration::from_millis(14_900));
    assert_eq!(world.machine.assigned(), (2, 4));
    until_whole(&mut world);
    assert_eq!(world.count_on(FOREIGN), 4);
}

#[test]
fn a_planted_disbelief_in_the_grace_is_seen() {
    let mut world = serving();
    world.machine.plant(CoordinatorPlant::GoneIsRemoved);
    world.gone(1);
    world.run(ms(100));
    assert!(is_whole(&world), "while the other may still write");
}

#[test]
fn whoever_does_not_lead_asks_nobody_and_a_new_leader_moves_nothing() {
    let mut world = serving();
    let before = world.placement();
    world.command(CoordinatorCommand::StepDown).unwrap();
    let probed = world.probed;
    world.run(Duration::from_secs(60));
    assert_eq!(world.probed, probed);
    // It was away for a while, and is well: what was heard of it earlier counts for nothing.
    world.lead(8);
    world.run(Duration::from_secs(60));
    assert_eq!(world.placement(), before);
    world.assert_all_assigned();
    let mut next = World::with(world.store, config);
    (next.now, next.workers) = (world.now, world.workers);
    next.up(1, &address(1));
    next.lead(9);
    next.run(Duration::from_secs(60));
    assert_eq!(next.placement(), before);
}

#[test]
fn what_says_no_number_or_that_of_another_is_nobody() {
    for number in [0, -1, 1] {
        let mut world = World::with(MemoryStore::new(), config);
        world.up(1, &address(1));
        world.process(number, &address(FOREIGN));
        world.lead(7);
        world.create(&name(0));
        world.run(Duration::from_secs(60));
        world.assert_all_assigned();
        assert_eq!(world.machine.nodes().count(), 1, "{number}");
    }
}

/// A member that is there is told of by the membership, and is not asked.
#[test]
fn a_member_at_the_address_is_no_node_of_another_make() {
    let mut world = World::with(MemoryStore::new(), config);
    world.up(FOREIGN, &address(FOREIGN));
    world.lead(7);
    world.run(Duration::from_secs(60));
    assert_eq!(world.probed, 0);
    assert_eq!(world.machine.nodes().filter(|node| node.lives).count(), 1);
}
