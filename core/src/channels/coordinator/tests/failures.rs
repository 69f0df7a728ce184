//! What nodes and the store may do wrong, and what becomes of the channels.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::answers::What;
use super::super::*;
use super::world::*;
use crate::channels::dialect::ErrorCode;
use crate::status::Code;

/// When the channel `c` was asked to be opened, since it was created.
fn attempts(world: &World, began: Instant) -> Vec<Duration> {
    let all = world
        .called
        .iter()
        .filter(|called| called.what == What::Assign);
    all.map(|called| called.at.since(began)).collect()
}

#[test]
fn better_10_a_node_that_fails_is_asked_less_and_less_often_at_one_term_and_for_ever() {
    let mut world = World::serving(1, 0);
    world.worker(1).mode = Mode::Says(ErrorCode::Inner, "no disk");
    let began = world.now;
    world.create("c");
    world.run(Duration::from_secs(24 * 3600));
    let attempts = attempts(&world, began);
    let first_minute = attempts.iter().filter(|at| **at < Duration::from_secs(60));
    assert!(first_minute.count() <= 20);
    assert!(attempts.windows(2).all(|two| two[0] < two[1]));
    let last = *attempts.last().unwrap();
    assert!(
        last > Duration::from_secs(24 * 3600 - 6),
        "alive after a day"
    );
    let view = world.view("c");
    assert_eq!(
        (view.term, view.reason, view.waits),
        (2, "no disk", Waits::ForNextAttempt)
    );
    assert!(view.failures as usize == attempts.len());
    world.worker(1).mode = Mode::Well;
    world.run(Duration::from_secs(6));
    world.assert_all_assigned();
    assert_eq!((world.view("c").reason, world.view("c").failures), ("", 0));
}

/// A term that could not be opened is given up, and its removal is no success that begins the waits anew.
#[test]
fn better_10_a_node_that_can_open_no_term_is_given_one_less_and_less_often() {
    for mode in [Mode::NeverOpens, Mode::CannotOpen] {
        let mut world = World::serving(1, 0);
        world.worker(1).mode = mode.clone();
        let began = world.now;
        world.create("c");
        world.run(Duration::from_secs(60));
        let made = attempts(&world, began).len();
        assert!((5..=40).contains(&made), "{made} calls, {mode:?}");
        assert!(world.view("c").term <= 20, "{mode:?}");
        world.worker(1).mode = Mode::Well;
        // The term of the last attempt is spent, perhaps, and then there is one wait more.
        world.run(Duration::from_secs(12));
        world.assert_all_assigned();
    }
}

#[test]
fn better_10_a_permanent_error_stops_at_once_and_is_shown() {
    for mode in [
        Mode::Says(ErrorCode::InvalidArgument, "no such log"),
        Mode::Ends(Code::PermissionDenied),
    ] {
        let mut world = World::serving(1, 0);
        world.worker(1).mode = mode.clone();
        let began = world.now;
        world.create("c");
        world.run(Duration::from_secs(3600));
        assert_eq!(attempts(&world, began).len(), 1, "{mode:?}");
        let why = world.view("c").reason.to_string();
        assert_eq!(world.view("c").waits, Waits::Stopped);
        assert!(!why.is_empty() && world.told.contains(&Told::Stopped("c".into(), why)));
        assert_eq!(
            world.now.since(world.view("c").since).as_secs(),
            3600,
            "its age"
        );
        // Until an operator says so, or its node comes up again.
        world.worker(1).mode = Mode::Well;
        world.run(Duration::from_secs(60));
        assert_eq!(world.machine.assigned(), (0, 1));
        world
            .command(CoordinatorCommand::Retry { channel: "c" })
            .unwrap();
        world.run(ms(10));
        world.assert_all_assigned();
    }
}

#[test]
fn a_stopped_channel_goes_on_when_it_is_moved() {
    let mut world = World::serving(2, 0);
    for node in [1, 2] {
        world.worker(node).mode = Mode::Ends(Code::Unauthenticated);
    }
    world.create("c");
    world.run(ms(100));
    let on = world.at("c").0.unwrap();
    world.worker(on).mode = Mode::Well;
    let node = address(on);
    let command = CoordinatorCommand::Move {
        channel: "c",
        to: &node,
    };
    world.command(command).unwrap();
    world.run(ms(100));
    world.assert_all_assigned();
    assert_eq!(world.at("c"), (Some(on), 2));
}

#[test]
fn better_06_duplicates_join_and_the_term_stays() {
    let mut world = World::serving(1, 0);
    world.worker(1).open = Duration::from_secs(600);
    world.create("c");
    world.run(Duration::from_secs(590));
    let before = world.called.len();
    assert!(before >= 50, "{before}");
    world.run(Duration::from_secs(30));
    world.assert_all_assigned();
    assert_eq!(world.at("c"), (Some(1), 2));
}

/// A node of Milvus ignores an attempt for what it is opening already, and does not say that it is.
#[test]
fn better_06_a_foreign_node_that_ignores_an_attempt_after_one_that_timed_out_is_asked_on_for_a_while()
 {
    let mut world = World::serving(1, 0);
    world.worker(1).mode = Mode::Milvus;
    world.worker(1).open = Duration::from_secs(8);
    world.create("c");
    world.run(Duration::from_secs(30));
    assert_eq!(world.at("c"), (Some(1), 2), "the term is not burnt at once");
    world.worker(1).open = ms(1);
    world.run(Duration::from_secs(60));
    // It cannot be told whether it ever opened: then a new term is taken, once.
    assert_eq!(world.at("c"), (Some(1), 3));
    assert_eq!(world.machine.assigned(), (1, 1));
}

/// Without an attempt before, being ignored means that the node has gone further.
#[test]
fn a_term_that_the_node_has_gone_past_is_followed_by_a_higher_one() {
    let mut world = World::serving(1, 0);
    let spent = (9, false, world.now);
    world.worker(1).channels.insert("c".into(), spent);
    world.create("c");
    world.run(Duration::from_secs(30));
    world.assert_all_assigned();
    assert_eq!(world.at("c"), (Some(1), 10));
}

#[test]
fn better_13_another_process_at_the_address_means_that_the_earlier_one_is_over() {
    let mut world = World::serving(2, 8);
    // It has started anew; the membership has not noticed.
    let fresh = Worker {
        server_id: 77,
        channels: BTreeMap::new(),
        ..world.worker(1).clone()
    };
    world.workers.insert(address(1), fresh);
    let on_it: Vec<String> = world
        .placement()
        .into_iter()
        .filter(|(_, (_, on))| *on == 1)
        .map(|(channel, _)| channel)
        .collect();
    // One of its channels is to be moved: the answer gives it away, and all of them are placed at once.
    let (began, two) = (world.now, address(2));
    let command = CoordinatorCommand::Move {
        channel: &on_it[0],
        to: &two,
    };
    world.command(command).unwrap();
    let all = |world: &World| world.machine.assigned().0 == 8 && world.count_on(1) == 0;
    assert!(world.run_until(Duration::from_secs(1), all));
    assert!(world.now.since(began) < ms(15), "no wait at all");
    assert_eq!(world.count_on(2), 8);
    assert_eq!(
        world.machine.counters().removes,
        1,
        "nobody else is asked of the dead"
    );
    // The new life is told by the membership, and takes channels.
    world.up(77, &address(1));
    world.run(Duration::from_secs(1_000));
    assert_eq!((world.count_on(77), world.count_on(2)), (4, 4));
    world.assert_all_assigned();
}

#[test]
fn better_13_a_node_that_starts_anew_gets_its_channels_back_at_new_terms() {
    let mut world = World::serving(2, 8);
    let began = world.now;
    world.up(77, &address(1));
    let all = |world: &World| world.machine.assigned().0 == 8 && world.count_on(1) == 0;
    assert!(world.run_until(ms(20), all));
    assert!(world.now.since(began) < ms(10));
    assert_eq!(world.count_on(77), 4);
    assert_eq!(world.machine.counters().removes, 0);
    world.assert_all_assigned();
    // The earlier life does not come back, whoever says so.
    let ghost = CoordinatorCommand::NodeUp {
        server_id: 1,
        address: &address(1),
        weight: 1,
    };
    world.command(ghost).unwrap();
    world.run(Duration::from_secs(1_000));
    assert_eq!(world.count_on(77), 4);
}

/// Milvus #50423: the channel stays ASSIGNING for ever.
#[test]
fn a_write_of_assigned_that_fails_is_made_again() {
    for fault in [Fault::DoneUnheard, Fault::LostUnheard] {
        let mut world = World::serving(1, 0);
        world.create("c");
        let called = |world: &World| !world.called.is_empty();
        assert!(world.run_until(ms(100), called));
        world.io.faults.push_back(fault);
        world.run(Duration::from_secs(1));
        world.assert_all_assigned();
        assert_eq!(world.called.len(), 1, "it is open: nobody is asked again");
        assert_eq!(world.at("c"), (Some(1), 2));
    }
}

#[test]
fn a_write_whose_outcome_is_not_known_is_read_before_anybody_is_called() {
    for fault in [Fault::DoneUnheard, Fault::LostUnheard] {
        let mut world = World::serving(2, 0);
        world.io.faults.extend([fault, fault]);
        world.create("c");
        world.run(Duration::from_secs(1));
        world.assert_all_assigned();
        assert_eq!(world.at("c").1, 2);
        assert_eq!(world.called.len(), 1);
    }
}

/// Nothing but the membership is told, and nodes go one after the other.
#[test]
fn a_target_that_goes_while_it_is_written_is_not_called() {
    let mut world = World::serving(3, 1);
    let first = world.at(&name(0)).0.unwrap();
    world.called.clear();
    world.gone(first);
    world.run(Duration::from_micros(200));
    let second = world.at(&name(0)).0.unwrap();
    world.gone(second);
    world.run(ms(100));
    world.assert_all_assigned();
    let third = world.at(&name(0)).0.unwrap();
    assert!(third != first && third != second);
    assert!(
        world
            .called
            .iter()
            .all(|called| called.address == address(third))
    );
}

#[test]
fn without_a_node_channels_are_unavailable_and_the_catalog_says_so() {
    let mut world = World::serving(2, 4);
    let watcher = world.watch();
    world.gone(1);
    world.gone(2);
    world.run(Duration::from_secs(1));
    assert!(world.pushes(watcher).last().unwrap().1.is_empty());
    for channel in 0..4 {
        let kept = super::assigning::kept(&world, &name(channel));
        assert_eq!((kept.state, kept.term), (meta::State::Unavailable, 2));
        assert_eq!(world.view(&name(channel)).waits, Waits::ForNode);
    }
    let writes = world.io.writes;
    world.run(Duration::from_secs(3600));
    assert_eq!(
        world.io.writes, writes,
        "nothing is tried while there is nobody"
    );
    world.up(3, &address(3));
    world.run(ms(100));
    world.assert_all_assigned();
    assert!(world.placement().values().all(|at| *at == (3, 3)));
}

#[test]
fn calls_to_a_node_are_bounded_and_all_have_their_turn() {
    let mut world = World::with(crate::memory::MemoryStore::new(), |config| {
        config.calls_per_node_max = 3;
    });
    world.up(1, &address(1));
    world.lead(7);
    world.worker(1).open = ms(10);
    for channel in 0..30 {
        world.create(&name(channel));
    }
    world.run(ms(200));
    world.assert_all_assigned();
    assert_eq!(world.called.len(), 30);
    for called in &world.called {
        let beside = world
            .called
            .iter()
            .filter(|other| other.at <= called.at && called.at < other.at + ms(10));
        assert!(beside.count() <= 3);
    }
}

#[test]
fn a_table_of_streams_that_is_full_is_waited_for() {
    let mut world = World::serving(1, 0);
    world.io.fake.full = true;
    world.create("c");
    world.run(ms(100));
    assert!(world.view("c").reason.starts_with("TF-C01"));
    world.io.fake.full = false;
    world.run(ms(100));
    world.assert_all_assigned();
}

#[test]
fn commands_that_make_no_sense_are_refused_and_change_nothing() {
    let mut world = World::serving(1, 1);
    let long = "x".repeat(257);
    let refused = [
        (
            CoordinatorCommand::Create { channel: "" },
            CoordinatorRefused::Name,
        ),
        (
            CoordinatorCommand::Create { channel: &long },
            CoordinatorRefused::Name,
        ),
        (
            CoordinatorCommand::Create { channel: &name(0) },
            CoordinatorRefused::ChannelExists,
        ),
        (
            CoordinatorCommand::Move {
                channel: "no",
                to: "no",
            },
            CoordinatorRefused::NoSuchChannel,
        ),
        (
            CoordinatorCommand::Move {
                channel: &name(0),
                to: "no",
            },
            CoordinatorRefused::NoSuchNode,
        ),
        (
            CoordinatorCommand::Retry { channel: "no" },
            CoordinatorRefused::NoSuchChannel,
        ),
        (
            CoordinatorCommand::NodeGone { server_id: 9 },
            CoordinatorRefused::NoSuchNode,
        ),
        (
            CoordinatorCommand::NodeStopping { server_id: 9 },
            CoordinatorRefused::NoSuchNode,
        ),
        (
            CoordinatorCommand::Weight {
                address: "no",
                weight: 1,
            },
            CoordinatorRefused::NoSuchNode,
        ),
        (
            CoordinatorCommand::Drain {
                address: "no",
                deadline: None,
            },
            CoordinatorRefused::NoSuchNode,
        ),
        (
            CoordinatorCommand::NodeUp {
                server_id: 0,
                address: "a",
                weight: 1,
            },
            CoordinatorRefused::Name,
        ),
        (
            CoordinatorCommand::NodeUp {
                server_id: 5,
                address: "",
                weight: 1,
            },
            CoordinatorRefused::Name,
        ),
    ];
    let writes = world.io.writes;
    for (command, why) in refused {
        assert_eq!(world.command(command), Err(why), "{command:?}");
        assert!(why.message().starts_with("TF-L2"));
    }
    world.run(Duration::from_secs(10));
    assert_eq!(world.io.writes, writes);
    world.assert_all_assigned();
}

/// What happens to a world of four nodes.
#[derive(Clone, Debug)]
enum Blow {
    Gone(i64),
    Up(i64),
    /// A new life at a node's address.
    Anew(i64),
    BlackHole(i64),
    Well(i64),
    Move(usize, i64),
    Create(usize),
    Drain(i64),
    Fault(Fault),
    Lead,
    Pass(u64),
}

fn blow() -> impl Strategy<Value = Blow> {
    let node = 1_i64..5;
    prop_oneof![
        node.clone().prop_map(Blow::Gone),
        node.clone().prop_map(Blow::Up),
        node.clone().prop_map(Blow::Anew),
        node.clone().prop_map(Blow::BlackHole),
        node.clone().prop_map(Blow::Well),
        (0_usize..6, node.clone()).prop_map(|(channel, node)| Blow::Move(channel, node)),
        (0_usize..12).prop_map(Blow::Create),
        node.prop_map(Blow::Drain),
        prop_oneof![Just(Fault::DoneUnheard), Just(Fault::LostUnheard)].prop_map(Blow::Fault),
        Just(Blow::Lead),
        (0_u64..8_000).prop_map(Blow::Pass),
        (0_u64..200).prop_map(Blow::Pass),
    ]
}

fn strike(world: &mut World, blow: &Blow, token: &mut u64) {
    let life = |world: &World, node: i64| {
        let worker = world.workers.get(&address(node));
        worker.map_or(node, |worker| worker.server_id)
    };
    // Whether a command is refused does not matter here.
    let _ = match *blow {
        Blow::Gone(node) => {
            let server_id = life(world, node);
            world.command(CoordinatorCommand::NodeGone { server_id })
        }
        Blow::Up(node) => {
            let server_id = life(world, node);
            world.up(server_id, &address(node));
            Ok(())
        }
        Blow::Anew(node) => {
            let server_id = life(world, node) + 100;
            world.up(server_id, &address(node));
            Ok(())
        }
        Blow::BlackHole(node) => {
            world.worker(node).mode = Mode::BlackHole;
            Ok(())
        }
        Blow::Well(node) => {
            world.worker(node).mode = Mode::Well;
            Ok(())
        }
        Blow::Move(channel, node) => {
            let (channel, to) = (name(channel), address(node));
            world.command(CoordinatorCommand::Move {
                channel: &channel,
                to: &to,
            })
        }
        Blow::Create(channel) => {
            let channel = name(channel);
            world.command(CoordinatorCommand::Create { channel: &channel })
        }
        Blow::Drain(node) => {
            let address = address(node);
            world.command(CoordinatorCommand::Drain {
                address: &address,
                deadline: None,
            })
        }
        Blow::Fault(fault) => {
            world.io.faults.push_back(fault);
            Ok(())
        }
        Blow::Lead => {
            *token += 1;
            world.command(CoordinatorCommand::Lead { token: *token })
        }
        Blow::Pass(micros) => {
            world.run(Duration::from_micros(micros));
            Ok(())
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens: no term is ever given to two nodes, and once all are well all is assigned, with nothing
    /// under way and no timer that fires for nothing.
    #[test]
    fn any_history_ends_well(blows in prop::collection::vec(blow(), 1..60)) {
        let mut world = World::serving(4, 6);
        let mut token = 7;
        for blow in &blows {
            strike(&mut world, blow, &mut token);
        }
        world.io.faults.clear();
        for node in 1..5 {
            world.worker(node).mode = Mode::Well;
            let anew = world.worker(node).server_id + 100;
            world.up(anew, &address(node));
        }
        world.run(Duration::from_secs(60));
        world.assert_all_assigned();
        prop_assert_eq!(world.io.under_way, 0);
        let mut given = BTreeMap::new();
        for called in world.called.iter().filter(|called| called.what == What::Assign) {
            let key = (called.channel.clone(), called.term);
            let to = given.entry(key).or_insert_with(|| called.address.clone());
            prop_assert_eq!(&*to, &called.address);
        }
        world.run(Duration::from_secs(3_600));
        let calls = world.called.len();
        world.run(Duration::from_secs(36_000));
        prop_assert_eq!(world.called.len(), calls, "all is at rest");
        prop_assert!(world.machine.poll_timeout().is_none());
        prop_assert_eq!(world.machine.channels.moving, 0);
    }
}
