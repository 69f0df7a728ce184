//! How a channel is assigned: what is written, who is called, in which order.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::answers::What;
use super::super::meta::{Meta, State};
use super::super::*;
use super::world::*;
use crate::memory::MemoryStore;
use crate::storage::{Done, Op, Storage};

/// What the catalog holds of a channel.
pub(super) fn kept(world: &World, channel: &str) -> Meta {
    let (_, value) = stored(&world.store, &key_of(channel));
    Meta::parse(channel, &value).unwrap()
}

/// By what the catalog has a channel.
pub(super) fn key_of(channel: &str) -> Vec<u8> {
    let prefix = b"by-dev/meta/streamingcoord-meta/pchannel-meta/";
    [prefix, channel.as_bytes()].concat()
}

/// What the catalog has, and its revision.
pub(super) fn stored(store: &MemoryStore, key: &[u8]) -> (u64, Vec<u8>) {
    let mut session = store.session("reader:1", 1);
    session.submit(Op::Load { key }, Tag::NEW).unwrap();
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    let core::task::Poll::Ready((_, outcome)) = session.poll(&mut cx) else {
        panic!("no outcome");
    };
    let Done::Value { revision, value } = outcome.as_done() else {
        panic!("{outcome:?}");
    };
    (revision, value.to_vec())
}

fn calls(world: &World, what: What) -> Vec<(String, i64)> {
    let all = world.called.iter().filter(|called| called.what == what);
    all.map(|called| (called.address.clone(), called.term))
        .collect()
}

#[test]
fn line_12_the_first_term_is_2_and_each_attempt_is_written_before_its_first_call() {
    let mut world = World::new();
    world.lead(7);
    world.create("c");
    world.run(ms(100));
    assert_eq!(
        kept(&world, "c"),
        Meta::new(),
        "a channel without a node is kept"
    );
    assert_eq!(world.view("c").waits, Waits::ForNode);
    world.up(1, &address(1));
    let is_called = |world: &World| !world.called.is_empty();
    assert!(world.run_until(ms(100), is_called));
    let meta = kept(&world, "c");
    assert_eq!((meta.term, meta.state), (2, State::Assigning));
    assert_eq!(world.view("c").waits, Waits::ForOpening);
    // It is not assigned before Assign has returned, and that is written.
    assert!(
        world.run_until(ms(100), |world| world.told.contains(&Told::Assigned(
            "c".into(),
            2,
            1
        )))
    );
    let meta = kept(&world, "c");
    assert_eq!((meta.term, meta.state), (2, State::Assigned));
    assert_eq!(calls(&world, What::Assign), [(address(1), 2)]);
}

#[test]
fn line_13_every_former_owner_is_removed_before_the_next_is_given_the_channel() {
    let mut world = World::serving(3, 1);
    let (from, term) = world.at(&name(0));
    let from = from.unwrap();
    world.called.clear();
    let to = from % 3 + 1;
    world
        .command(CoordinatorCommand::Move {
            channel: &name(0),
            to: &address(to),
        })
        .unwrap();
    world.run(ms(100));
    world.assert_all_assigned();
    let order: Vec<_> = world
        .called
        .iter()
        .map(|called| (called.what, called.address.clone(), called.term))
        .collect();
    assert_eq!(
        order,
        [
            (What::Remove, address(from), term),
            (What::Assign, address(to), term + 1),
        ]
    );
    assert!(world.called[1].at > world.called[0].at + HOP);
}

/// The node that is asked to let go does not answer: the next is not called, and a third target's removals are both.
#[test]
fn line_13_a_target_that_changes_on_the_way_is_a_former_owner_too() {
    let mut world = World::serving(3, 1);
    let from = world.at(&name(0)).0.unwrap();
    let others: Vec<i64> = (1..=3).filter(|node| *node != from).collect();
    world.worker(from).mode = Mode::BlackHole;
    world.called.clear();
    for to in &others {
        let (channel, to) = (name(0), address(*to));
        let command = CoordinatorCommand::Move {
            channel: &channel,
            to: &to,
        };
        world.command(command).unwrap();
        world.run(ms(50));
    }
    assert_eq!(calls(&world, What::Assign), []);
    assert_eq!(world.view(&name(0)).waits, Waits::ForRemoval);
    assert_eq!(kept(&world, &name(0)).histories.len(), 2);
    world.worker(from).mode = Mode::Well;
    world.run(Duration::from_secs(20));
    world.assert_all_assigned();
    assert_eq!(calls(&world, What::Assign), [(address(others[1]), 4)]);
    assert!(calls(&world, What::Remove).contains(&(address(others[0]), 3)));
    assert_eq!(kept(&world, &name(0)).histories, []);
}

#[test]
fn better_02_all_channels_are_placed_in_one_round() {
    for (nodes, channels) in [(1, 1), (3, 16), (5, 16), (8, 256), (64, 200)] {
        let world = World::serving(nodes, channels);
        let counts: Vec<usize> = (1..=nodes).map(|node| world.count_on(node)).collect();
        let most = counts.iter().max().unwrap();
        assert!(most - counts.iter().min().unwrap() <= 1, "{counts:?}");
        // The first term each, one call each: none was placed twice.
        assert!(world.placement().values().all(|(term, _)| *term == 2));
        assert_eq!(world.machine.counters().assigns, channels as u64);
        assert_eq!(world.machine.counters().moves, 0);
    }
}

#[test]
fn better_05_a_failover_takes_two_writes_and_a_round_trip_however_many_channels() {
    for channels in [9, 900] {
        let mut world = World::serving(10, channels);
        let lost = world.count_on(3) as u64;
        let (writes, began) = (world.io.writes, world.now);
        world.called.clear();
        world.gone(3);
        let all = |world: &World| world.machine.assigned().0 == channels as u32;
        assert!(world.run_until(Duration::from_secs(1), all));
        // A thousand writes at a time, 256 calls to a node: all of them fit.
        assert_eq!(world.now.since(began), STORE * 2 + HOP * 2 + ms(1));
        assert_eq!(world.io.writes - writes, 2 * lost);
        assert_eq!(world.called.len() as u64, lost);
        world.assert_all_assigned();
    }
}

#[test]
fn better_06_an_opening_of_ten_minutes_succeeds_at_one_term() {
    let mut world = World::serving(1, 0);
    world.worker(1).open = Duration::from_secs(600);
    world.create("slow");
    assert!(
        !world.run_until(Duration::from_secs(600), |world| world.machine.assigned().0
            == 1)
    );
    assert_eq!(world.view("slow").term, 2);
    assert!(
        world.run_until(Duration::from_secs(20), |world| world.machine.assigned().0
            == 1)
    );
    assert_eq!(world.view("slow").term, 2);
    assert!(
        calls(&world, What::Assign)
            .iter()
            .all(|(_, term)| *term == 2)
    );
    assert!(world.called.len() > 50, "attempts are made again");
    assert_eq!(calls(&world, What::Remove), []);
}

/// Milvus: an attempt that timed out is cancelled and burns the term (#45602).
#[test]
fn better_06_a_planted_timeout_that_burns_the_term_is_seen() {
    let mut world = World::serving(1, 0);
    world.machine.plant(CoordinatorPlant::TimeoutBurnsTerm);
    world.worker(1).open = Duration::from_secs(60);
    world.create("slow");
    world.run(Duration::from_secs(120));
    assert!(world.view("slow").term > 3);
}

#[test]
fn better_07_after_1458_failed_attempts_on_a_node_a_record_is_short_and_one_removal_is_enough() {
    let mut world = World::serving(2, 0);
    for node in [1, 2] {
        world.worker(node).mode = Mode::NeverOpens;
    }
    let channel = name(0);
    world.create(&channel);
    let far = |world: &World| world.view(&name(0)).term >= 1_459;
    assert!(world.run_until(Duration::from_secs(20_000), far));
    let meta = kept(&world, &channel);
    assert_eq!(meta.histories.len(), 1, "on one node all the time");
    let mut bytes = Vec::new();
    meta.write(&channel, &mut bytes);
    assert!(bytes.len() < 300, "{} bytes", bytes.len());
    world.worker(1).mode = Mode::Well;
    world.worker(2).mode = Mode::Well;
    world.called.clear();
    world.run(Duration::from_secs(10));
    world.assert_all_assigned();
    assert!(calls(&world, What::Remove).len() <= 1, "{:?}", world.called);
}

#[test]
fn better_04_a_node_that_does_not_answer_delays_no_channel_of_others() {
    let arrived = |black_hole: bool| {
        let mut world = World::serving(10, 0);
        if black_hole {
            world.worker(4).mode = Mode::BlackHole;
        }
        for channel in 0..1_000 {
            world.create(&name(channel));
        }
        let began = world.now;
        let expected = if black_hole { 900 } else { 1_000 };
        let there = |world: &World| world.machine.assigned().0 == expected;
        assert!(world.run_until(Duration::from_secs(1), there));
        let took = world.now.since(began);
        world.run(Duration::from_secs(30));
        assert_eq!(world.machine.assigned().0, expected);
        took
    };
    let (without, with) = (arrived(false), arrived(true));
    assert!(with <= without * 11 / 10, "{with:?} instead of {without:?}");
}

#[test]
fn ten_thousand_channels_on_a_hundred_nodes() {
    let mut world = World::serving(100, 10_000);
    for node in 1..=100 {
        assert_eq!(world.count_on(node), 100);
    }
    world.gone(50);
    world.run(Duration::from_secs(1));
    world.assert_all_assigned();
    assert_eq!(world.count_on(50), 0);
}

#[test]
fn a_store_that_takes_few_operations_delays_and_loses_nothing() {
    let mut world = World::with(MemoryStore::new(), |config| config.writes_max = 4);
    world.up(1, &address(1));
    world.lead(7);
    world.io.ops_max = 2;
    for channel in 0..50 {
        world.create(&name(channel));
    }
    world.run(Duration::from_secs(2));
    world.assert_all_assigned();
    assert_eq!(world.machine.assigned(), (50, 50));
}
