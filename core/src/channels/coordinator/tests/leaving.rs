//! Nodes that go: drained, stopping, gone, and gone but alive.

use super::super::answers::What;
use super::super::config::Fencing;
use super::super::*;
use super::world::*;
use crate::memory::MemoryStore;

fn drain(world: &mut World, node: i64, deadline: Option<Duration>) {
    let deadline = deadline.map(|after| world.now + after);
    let address = address(node);
    let command = CoordinatorCommand::Drain {
        address: &address,
        deadline,
    };
    world.command(command).unwrap();
}

#[test]
fn better_11_a_node_that_is_drained_gives_all_up_each_by_its_own_removal_and_opening() {
    let mut world = World::serving(3, 30);
    world.called.clear();
    drain(&mut world, 2, None);
    assert!(world.run_until(Duration::from_secs(1), |world| {
        world.told.contains(&Told::Drained(2))
    }));
    world.assert_all_assigned();
    assert_eq!(
        (world.count_on(1), world.count_on(2), world.count_on(3)),
        (15, 0, 15)
    );
    // Each channel was let go before it was opened elsewhere, and was away for a write, two round trips and an opening.
    for channel in 0..30 {
        let of = |what| {
            let mut all = world.called.iter();
            all.find(|called| called.channel == name(channel) && called.what == what)
        };
        let (Some(removed), Some(assigned)) = (of(What::Remove), of(What::Assign)) else {
            continue;
        };
        assert_eq!(removed.address, address(2));
        assert!(assigned.at.since(removed.at) <= HOP * 2);
    }
    assert_eq!(world.called.len(), 20);
    let drained = world.told.iter().filter(|told| **told == Told::Drained(2));
    assert_eq!(drained.count(), 1);
    // It gets nothing more.
    world.create("more");
    world.run(Duration::from_secs(1_000));
    assert_eq!(world.count_on(2), 0);
}

#[test]
fn better_11_writes_that_fail_delay_a_drain_and_do_not_end_it() {
    for fault in [Fault::DoneUnheard, Fault::LostUnheard] {
        let mut world = World::serving(3, 30);
        // The first write of each of its channels.
        world.io.faults.extend([fault; 10]);
        drain(&mut world, 2, None);
        world.run(Duration::from_secs(2));
        assert!(world.told.contains(&Told::Drained(2)), "{fault:?}");
        world.assert_all_assigned();
    }
}

#[test]
fn better_11_a_node_that_is_stopping_is_drained() {
    let mut world = World::serving(2, 4);
    world
        .command(CoordinatorCommand::NodeStopping { server_id: 1 })
        .unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!((world.count_on(1), world.count_on(2)), (0, 4));
    world.assert_all_assigned();
}

#[test]
fn better_11_after_the_deadline_channels_are_opened_elsewhere_without_the_removal() {
    for (deadline, seconds) in [(None, 10), (Some(Duration::from_secs(3)), 3)] {
        let mut world = World::serving(3, 30);
        world.worker(2).mode = Mode::BlackHole;
        let began = world.now;
        drain(&mut world, 2, deadline);
        world.run(Duration::from_secs(seconds) - ms(1));
        assert_eq!(world.machine.assigned(), (20, 30));
        assert_eq!(
            world.view(&name(0)).reason.is_empty(),
            world.at(&name(0)).1 == 2
        );
        assert!(world.run_until(ms(100), |world| world.machine.assigned().0 == 30));
        assert!(world.now.since(began) < Duration::from_secs(seconds) + ms(20));
        assert_eq!(world.count_on(2), 0);
    }
}

#[test]
fn what_is_moved_to_a_node_after_its_deadline_is_asked_back_before_it_is_opened_elsewhere() {
    // It rests as after any move, and then goes.
    for (mode, most) in [(Mode::Well, 302), (Mode::BlackHole, 312)] {
        let mut world = World::serving(2, 2);
        drain(&mut world, 2, None);
        world.run(Duration::from_secs(20));
        let (channel, to) = (name(0), address(2));
        world.command(moves(&channel, &to)).unwrap();
        let is_there = |world: &World| world.count_on(2) == 1 && world.machine.assigned().0 == 2;
        assert!(world.run_until(Duration::from_secs(1), is_there));
        world.called.clear();
        world.worker(2).mode = mode;
        let is_back = |world: &World| world.count_on(1) == 2 && world.machine.assigned().0 == 2;
        assert!(world.run_until(Duration::from_secs(most), is_back));
        assert_eq!(world.called[0].what, What::Remove);
    }
}

const fn moves<'a>(channel: &'a str, to: &'a str) -> CoordinatorCommand<'a> {
    CoordinatorCommand::Move { channel, to }
}

#[test]
fn a_removal_that_is_not_answered_is_given_up_where_the_log_fences() {
    let mut world = World::serving(2, 2);
    let (channel, from) = (name(0), world.at(&name(0)).0.unwrap());
    let to = address(3 - from);
    world.worker(from).mode = Mode::BlackHole;
    let command = CoordinatorCommand::Move {
        channel: &channel,
        to: &to,
    };
    world.command(command).unwrap();
    let moved = |world: &World| world.at(&name(0)).1 == 3 && world.machine.assigned().0 == 2;
    assert!(!world.run_until(Duration::from_millis(9_900), moved));
    assert_eq!(world.view(&channel).waits, Waits::ForRemoval);
    assert!(world.run_until(Duration::from_secs(1), moved));
}

fn without_fence(grace: u64) -> World {
    World::serving_with(2, 4, |config| {
        config.fencing = Fencing::None {
            grace: Duration::from_secs(grace),
        };
    })
}

/// Milvus #53368: the removal of a node whose session was gone counted as done; it lived, and wrote.
#[test]
fn a_node_that_is_gone_may_live_where_nothing_fences_and_is_waited_for() {
    let mut world = without_fence(15);
    world.gone(1);
    world.run(Duration::from_millis(14_990));
    assert_eq!(world.machine.assigned(), (2, 4));
    assert_eq!(
        world.view(&name(0)).waits == Waits::ForGrace,
        world.at(&name(0)).1 == 3
    );
    world.run(ms(100));
    world.assert_all_assigned();
    assert_eq!(world.count_on(2), 4);
}

#[test]
fn a_planted_removal_by_membership_is_seen() {
    let mut world = without_fence(15);
    world.machine.plant(CoordinatorPlant::GoneIsRemoved);
    world.gone(1);
    world.run(ms(100));
    assert_eq!(
        world.machine.assigned(),
        (4, 4),
        "while the other may still write"
    );
}

#[test]
fn where_nothing_fences_a_removal_is_never_given_up() {
    let mut world = without_fence(15);
    world.worker(1).mode = Mode::BlackHole;
    drain(&mut world, 1, None);
    world.run(Duration::from_secs(3_600));
    assert_eq!(world.machine.assigned(), (2, 4));
    world.gone(1);
    world.run(Duration::from_secs(16));
    assert_eq!(world.machine.assigned(), (4, 4));
}

#[test]
fn a_process_that_is_over_for_certain_is_not_waited_for_where_nothing_fences() {
    let mut world = without_fence(15);
    world.up(77, &address(1));
    world.run(ms(100));
    world.assert_all_assigned();
    assert_eq!(world.count_on(77), 2);
}

/// A leader that takes over does not know since when a node is gone: from its own beginning on, it waits.
#[test]
fn where_nothing_fences_a_new_leader_waits_for_nodes_it_never_heard_of() {
    let world = without_fence(15);
    let mut next = World::with(world.store, |config| {
        config.fencing = Fencing::None {
            grace: Duration::from_secs(15),
        };
    });
    next.workers = world.workers;
    next.up(2, &address(2));
    let began = next.now;
    next.lead(8);
    assert!(
        next.run_until(Duration::from_secs(60), |world| world.machine.assigned().0
            == 4
            && world.count_on(1) == 0)
    );
    let took = next.now.since(began);
    assert!(
        took >= Duration::from_secs(15) && took < Duration::from_secs(16),
        "{took:?}"
    );
}

#[test]
fn a_node_that_was_taken_for_gone_and_comes_back_takes_channels_again() {
    let mut world = World::serving(2, 4);
    world.gone(1);
    world.run(ms(100));
    assert_eq!(world.count_on(2), 4);
    world.up(1, &address(1));
    world.run(Duration::from_secs(1_000));
    assert_eq!((world.count_on(1), world.count_on(2)), (2, 2));
    world.assert_all_assigned();
}

#[test]
fn better_11_a_drain_outlasts_a_silence_of_the_node() {
    let mut world = World::serving(3, 6);
    drain(&mut world, 2, None);
    world.run(Duration::from_secs(1));
    world.gone(2);
    world.run(Duration::from_secs(1));
    world.up(2, &address(2));
    for channel in 6..12 {
        world.create(&name(channel));
    }
    world.run(Duration::from_secs(1));
    world.assert_all_assigned();
    assert_eq!(world.count_on(2), 0);
    let drained = world.told.iter().filter(|told| **told == Told::Drained(2));
    assert_eq!(drained.count(), 1);
}

#[test]
fn nodes_are_bounded() {
    let mut world = World::with(MemoryStore::new(), |config| config.nodes_max = 2);
    world.up(1, &address(1));
    world.up(2, &address(2));
    let third = CoordinatorCommand::NodeUp {
        server_id: 3,
        address: &address(3),
        weight: 1,
    };
    assert_eq!(world.command(third), Err(CoordinatorRefused::TooMany));
    world.gone(1);
    assert_eq!(world.command(third), Ok(()));
    assert_eq!(world.machine.nodes().filter(|node| node.lives).count(), 2);
}

/// A server id is of one process, and a process is at one address.
#[test]
fn a_server_id_that_is_known_at_another_address_is_refused_and_disturbs_nobody() {
    let mut world = World::serving(2, 4);
    let elsewhere = CoordinatorCommand::NodeUp {
        server_id: 1,
        address: &address(9),
        weight: 1,
    };
    assert_eq!(world.command(elsewhere), Err(CoordinatorRefused::Name));
    // Nor does a new process at the address that was claimed end the one that did not claim it.
    world.up(5, &address(9));
    world.run(Duration::from_secs(1_000));
    world.assert_all_assigned();
    assert!(world.count_on(1) > 0 && world.count_on(5) > 0);
}

#[test]
fn a_drained_node_is_taken_back_and_one_that_stops_is_not() {
    let mut world = World::serving(3, 30);
    let second = address(2);
    let undrain = CoordinatorCommand::Undrain { address: &second };
    drain(&mut world, 2, None);
    world.run(Duration::from_secs(400));
    assert_eq!(world.count_on(2), 0);
    world.command(undrain).unwrap();
    assert!(world.machine.nodes().all(|node| !node.drains));
    world.run(Duration::from_secs(1_000));
    assert_eq!(world.count_on(2), 10, "it has its share again");
    world.assert_all_assigned();
    // While it is given up, too: what has not left stays.
    world.worker(2).mode = Mode::BlackHole;
    drain(&mut world, 2, Some(Duration::from_secs(60)));
    world.run(ms(100));
    world.command(undrain).unwrap();
    world.worker(2).mode = Mode::Well;
    world.run(Duration::from_secs(1_000));
    world.assert_all_assigned();
    assert_eq!(world.count_on(2), 10);
    // And it can be drained again, which is told again.
    world.told.clear();
    drain(&mut world, 2, None);
    world.run(Duration::from_secs(10));
    assert!(world.told.contains(&Told::Drained(2)));
    let stopping = CoordinatorCommand::NodeStopping { server_id: 2 };
    world.command(stopping).unwrap();
    assert_eq!(world.command(undrain), Err(CoordinatorRefused::NodeStops));
    let nowhere = CoordinatorCommand::Undrain { address: "x:1" };
    assert_eq!(world.command(nowhere), Err(CoordinatorRefused::NoSuchNode));
    // Its next start is another node.
    world.gone(2);
    world.up(12, &second);
    world.command(undrain).unwrap();
    world.run(Duration::from_secs(1_000));
    assert_eq!(world.count_on(12), 10);
}

/// Nodes that come and go under ever new addresses take no more numbers than live at once.
#[test]
fn the_number_of_an_address_is_given_back_when_nobody_lives_there() {
    let mut world = World::serving(1, 4);
    // Somebody else had asked for this one, and may hold it.
    world.io.node("other:1").unwrap();
    world.up(1_000, "other:1");
    for server_id in 2..100 {
        // A new life at an address has the number of the one before.
        let address = address(server_id / 2);
        world.up(server_id, &address);
        world.run(Duration::from_secs(400));
        world.assert_all_assigned();
        assert!(world.count_on(server_id) > 0, "it was called");
        if server_id % 2 == 1 {
            world.gone(server_id);
        }
    }
    world.gone(1_000);
    assert_eq!(world.io.fake.forgotten.len(), 49);
    assert!(world.io.knows("other:1"));
}
