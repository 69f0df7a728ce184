//! How leaderships begin, end and follow each other.

use alloc::string::ToString;

use super::super::answers::What;
use super::super::lead::FENCE_KEY;
use super::super::meta::{Incarnation, Meta, State};
use super::super::*;
use super::assigning::{kept, key_of, stored};
use super::world::*;
use crate::codes;
use crate::memory::MemoryStore;
use crate::storage::{Op, Storage};

/// Writes to the catalog as somebody else.
fn write(store: &MemoryStore, key: &[u8], fence: u64, revision: u64, value: &[u8]) {
    let mut session = store.session("other:1", 1);
    let op = Op::Cas {
        key,
        fence,
        revision,
        value,
    };
    session.submit(op, Tag::NEW).unwrap();
}

fn take_over(world: World, token: u64) -> World {
    let nodes: Vec<_> = world.workers.clone().into_iter().collect();
    let mut next = world.successor();
    for (address, worker) in nodes {
        next.up(worker.server_id, &address);
    }
    next.lead(token);
    next
}

#[test]
fn better_03_a_new_leader_moves_nothing() {
    let world = World::serving(7, 100);
    let (before, writes) = (world.placement(), world.io.writes);
    assert!(writes > 0);
    let mut next = take_over(world, 8);
    next.run(Duration::from_secs(600));
    assert_eq!(next.placement(), before);
    assert_eq!(next.called, []);
    assert_eq!(next.io.writes, 1, "the fence");
    next.assert_all_assigned();
}

/// Reading is not fenced: what a later leader writes meanwhile must not be taken for one's own.
#[test]
fn a_leader_that_is_overtaken_while_it_reads_serves_nothing() {
    let world = World::serving(2, 4);
    let store = world.store.clone();
    let mut next = world.successor();
    let lead = CoordinatorCommand::Lead { token: 8 };
    next.command(lead).unwrap();
    // Its fence is raised, and its first page asked for.
    let reads = |world: &World| world.machine.standing == Standing::Reading;
    assert!(next.run_until(Duration::from_secs(1), reads));
    let (revision, _) = stored(&store, FENCE_KEY);
    write(&store, FENCE_KEY, 9, revision, &[1, 0, 0, 0, 0, 0, 0, 0, 9]);
    next.run(Duration::from_secs(1));
    assert_eq!(next.machine.version(), None, "nobody was told anything");
    assert_eq!(next.told, [Told::Lost(codes::CATALOG_FENCED.to_string())]);
}

/// The nodes turn up only after the leadership has begun.
#[test]
fn better_03_a_new_leader_waits_for_the_nodes_that_have_channels() {
    let world = World::serving(4, 40);
    let before = world.placement();
    let mut next = world.successor();
    next.lead(8);
    let watcher = next.watch();
    assert_eq!(
        next.pushes(watcher)[0].1.len(),
        40,
        "they are where they were, as far as is known"
    );
    for node in 1..=3 {
        next.run(Duration::from_secs(1));
        next.up(node, &address(node));
    }
    next.run(Duration::from_secs(1));
    assert_eq!((next.placement(), next.called.len()), (before, 0));
    // The fourth does not come: what it had goes to the others, and nothing else moves.
    next.run(Duration::from_secs(2));
    next.assert_all_assigned();
    assert_eq!(next.called.len(), 10);
    assert_eq!(next.count_on(4), 0);
}

#[test]
fn a_node_that_is_known_to_be_gone_is_not_waited_for() {
    let world = World::serving(3, 30);
    let nodes = world.workers.clone();
    let mut next = world.successor();
    for (address, worker) in nodes {
        next.up(worker.server_id, &address);
    }
    next.gone(2);
    next.lead(8);
    next.run(ms(100));
    next.assert_all_assigned();
    assert_eq!(next.count_on(2), 0);
}

#[test]
fn what_was_being_assigned_is_continued_at_the_same_term() {
    let mut world = World::serving(2, 1);
    let to = 3 - world.at(&name(0)).0.unwrap();
    world.worker(to).mode = Mode::BlackHole;
    let (channel, node) = (name(0), address(to));
    let command = CoordinatorCommand::Move {
        channel: &channel,
        to: &node,
    };
    world.command(command).unwrap();
    world.run(ms(100));
    assert_eq!(world.view(&channel).state, State::Assigning);
    world.worker(to).mode = Mode::Well;
    let mut next = take_over(world, 8);
    next.run(ms(100));
    next.assert_all_assigned();
    assert_eq!(next.at(&channel), (Some(to), 3));
}

/// Two former owners: the first is given up, and the second, whom nobody has heard of yet, is waited for. That the time
/// of the first was up kept a timer due for ever. Found by the simulator.
#[test]
fn who_is_given_up_before_another_is_waited_for_keeps_no_timer_due() {
    let mut world = World::serving(4, 4);
    let (channel, first) = (name(0), world.at(&name(0)).0.unwrap());
    world.worker(first).mode = Mode::BlackHole;
    let others: Vec<i64> = (1..=4).filter(|node| *node != first).collect();
    for to in &others[..2] {
        let to = address(*to);
        let command = CoordinatorCommand::Move {
            channel: &channel,
            to: &to,
        };
        world.command(command).unwrap();
        world.run(ms(20));
    }
    assert_eq!(kept(&world, &channel).histories.len(), 2);
    let mut next = World::with(world.store, |config| {
        config.attempt_timeout = ms(100);
        config.remove_timeout = ms(500);
        config.first_wait = Duration::from_secs(5);
    });
    (next.now, next.workers) = (world.now, world.workers);
    next.lead(8);
    for node in [first, others[1]] {
        next.up(node, &address(node));
    }
    next.run(Duration::from_secs(4));
    let view = next.view(&channel);
    assert_eq!(
        (view.state, view.waits),
        (State::Assigning, Waits::ForGrace)
    );
    next.run(Duration::from_secs(2));
    assert_eq!(next.view(&channel).state, State::Assigned);
}

/// The node has opened the channel, and the leader was lost before it wrote that.
#[test]
fn what_was_opened_and_not_written_is_found_to_be_open() {
    let mut world = World::serving(1, 0);
    world.create("c");
    let opened = |world: &World| !world.workers[&address(1)].channels.is_empty();
    assert!(world.run_until(ms(100), opened));
    assert_eq!(kept(&world, "c").state, State::Assigning);
    let mut next = take_over(world, 8);
    next.run(ms(100));
    assert_eq!(next.at("c"), (Some(1), 2));
    next.assert_all_assigned();
}

#[test]
fn whoever_is_overtaken_steps_down_and_writes_nothing_more() {
    let mut old = World::serving(2, 4);
    let mut new = World::with(old.store.clone(), |_| {});
    new.workers = old.workers.clone();
    new.lead(8);
    let before = kept(&old, &name(0));
    old.gone(1);
    old.run(ms(100));
    assert!(!old.machine.is_serving());
    assert!(
        old.told
            .contains(&Told::Lost(codes::CATALOG_FENCED.to_string()))
    );
    assert_eq!(kept(&new, &name(0)), before);
    let watcher = old.watch();
    assert!(old.ended.contains_key(&watcher));
    assert_eq!(old.machine.assigned(), (0, 0));
    let create = CoordinatorCommand::Create { channel: "x" };
    assert_eq!(old.command(create), Err(CoordinatorRefused::NotLeading));
}

/// What a write left unknown is read again, and by then a later leader may have written: under the version of this one
/// nobody is told of it.
#[test]
fn what_a_later_leader_wrote_is_not_taken_for_ones_own_after_a_doubt() {
    let mut world = World::serving(2, 1);
    let channel = name(0);
    let (owner, _) = world.at(&channel);
    let other = 3 - owner.unwrap();
    let watcher = world.watch();
    world.pushes(watcher);
    world.io.faults.push_back(Fault::LostUnheard);
    world.gone(owner.unwrap());
    let doubts = |world: &World| world.view(&name(0)).waits == Waits::ForNextAttempt;
    assert!(world.run_until(ms(100), doubts));
    // Somebody else leads, and has given the channel to the other node.
    let (revision, _) = stored(&world.store, FENCE_KEY);
    write(
        &world.store,
        FENCE_KEY,
        9,
        revision,
        &[1, 0, 0, 0, 0, 0, 0, 0, 9],
    );
    let meta = Meta {
        term: 9,
        state: State::Assigned,
        node: Some(Incarnation::new(other, &address(other))),
        ..kept(&world, &channel)
    };
    let mut value = Vec::new();
    meta.write(&channel, &mut value);
    let key = key_of(&channel);
    let (revision, _) = stored(&world.store, &key);
    write(&world.store, &key, 9, revision, &value);
    assert_eq!(kept(&world, &channel).term, 9);
    world.run(Duration::from_secs(1));
    let told = |(_, placed): &(_, BTreeMap<String, (i64, i64)>)| !placed.is_empty();
    assert!(!world.pushes(watcher).iter().any(told));
    let lost = Told::Lost(codes::CATALOG_FENCED.to_string());
    assert_eq!(world.told.last(), Some(&lost));
}

/// The two are never both heard: whatever the earlier one is doing when the later one begins.
#[test]
fn two_leaders_never_tell_two_nodes_to_open_one_term() {
    for overtaken_at in 0..40 {
        let mut old = World::serving(3, 6);
        old.gone(1);
        old.run(Duration::from_micros(overtaken_at * 250));
        let mut new = World::with(old.store.clone(), |_| {});
        new.workers = old.workers.clone();
        for node in 1..=3 {
            new.up(node, &address(node));
        }
        new.lead(8);
        new.gone(3);
        new.run(ms(200));
        old.run(ms(200));
        for channel in 0..6 {
            let given = |world: &World| {
                let all = world.called.iter().filter(|called| {
                    called.what == What::Assign && called.channel == name(channel)
                });
                all.map(|called| (called.term, called.address.clone()))
                    .collect()
            };
            let (a, b): (Vec<_>, Vec<_>) = (given(&old), given(&new));
            for (term, address) in &a {
                let other = b.iter().find(|(known, _)| known == term);
                assert!(other.is_none_or(|(_, at)| at == address), "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn a_leadership_under_an_earlier_token_ends_before_it_begins() {
    let world = World::serving(1, 1);
    let mut late = World::with(world.store, |_| {});
    late.command(CoordinatorCommand::Lead { token: 5 }).unwrap();
    late.run(ms(100));
    assert_eq!(late.told, [Told::Lost(codes::CATALOG_FENCED.to_string())]);
}

#[test]
fn a_fence_whose_outcome_is_not_known_is_read_again() {
    for fault in [Fault::DoneUnheard, Fault::LostUnheard] {
        let mut world = World::new();
        world.io.faults.push_back(fault);
        world.lead(7);
        let expected = if fault == Fault::LostUnheard { 2 } else { 1 };
        assert_eq!(world.io.writes, expected, "{fault:?}");
    }
}

#[test]
fn tokens_grow_from_leadership_to_leadership() {
    let mut world = World::new();
    for token in [0, u64::MAX, i64::MAX as u64 + 1] {
        let lead = CoordinatorCommand::Lead { token };
        assert_eq!(world.command(lead), Err(CoordinatorRefused::Token));
    }
    world.lead(7);
    world.command(CoordinatorCommand::StepDown).unwrap();
    let again = CoordinatorCommand::Lead { token: 7 };
    assert_eq!(world.command(again), Err(CoordinatorRefused::Token));
    world.lead(8);
    assert_eq!(world.machine.version(), Some((8, 0)));
}

#[test]
fn a_leadership_that_begins_anew_serves_what_it_finds() {
    let mut world = World::serving(3, 20);
    let before = world.placement();
    world.command(CoordinatorCommand::StepDown).unwrap();
    assert_eq!(world.machine.assigned(), (0, 0));
    world.run(ms(50));
    world.lead(9);
    world.run(Duration::from_secs(10));
    assert_eq!(world.placement(), before);
}

/// Answers of an earlier leadership come while the next one is at work.
#[test]
fn what_is_heard_of_an_earlier_leadership_is_not_meant() {
    let mut world = World::serving(2, 0);
    for channel in 0..20 {
        world.create(&name(channel));
    }
    world.run(Duration::from_micros(1_200));
    for token in 8..12 {
        world.command(CoordinatorCommand::StepDown).unwrap();
        world.command(CoordinatorCommand::Lead { token }).unwrap();
        world.run(Duration::from_micros(700));
    }
    world.run(Duration::from_secs(20));
    world.assert_all_assigned();
    assert_eq!(world.machine.assigned().1, 20);
    assert_eq!(world.io.under_way, 0);
}

/// The store answers an earlier leadership while the next one waits for its own write of the same channel.
#[test]
fn a_late_answer_to_an_earlier_leadership_is_not_taken_for_that_of_a_later_write() {
    let mut world = World::serving(1, 0);
    world.store_takes = ms(6);
    world.create("c");
    world.store_takes = STORE;
    world.lead(8);
    world.store_takes = ms(50);
    world.run(Duration::ZERO);
    assert_eq!(world.view("c").waits, Waits::ForCatalog);
    world.run(ms(40));
    assert_eq!(world.called, [], "the term is not known to be kept");
    world.run(ms(200));
    world.assert_all_assigned();
}

#[test]
fn many_pages_are_read_and_damaged_values_are_left_alone() {
    let world = World::serving(2, 300);
    let prefix = meta::prefix("by-dev/meta", crate::channels::dialect::Dialect::Seed);
    for bad in ["", "broken", "dml_x"] {
        let key = alloc::format!("{prefix}{bad}");
        write(&world.store, key.as_bytes(), 7, 0, b"\xff\xff");
    }
    let mut next = World::with(world.store, |config| config.page_bytes = 1_000);
    next.lead(8);
    let damaged = next.told.iter().filter(|told| **told == Told::Damaged);
    assert_eq!(damaged.count(), 3);
    assert!(next.told.contains(&Told::Serving(300)));
    // What is there and cannot be read is not written over.
    next.up(1, &address(1));
    next.create("broken");
    next.run(Duration::from_secs(10));
    let stopped = |told: &&Told| matches!(told, Told::Stopped(channel, _) if channel == "broken");
    assert_eq!(next.told.iter().filter(stopped).count(), 1);
    assert_eq!(next.view("broken").waits, Waits::Stopped);
}

#[test]
fn more_channels_than_may_be_are_not_coordinated_and_not_created() {
    let mut world = World::serving_with(1, 3, |config| config.channels_max = 3);
    let create = CoordinatorCommand::Create { channel: "x" };
    assert_eq!(world.command(create), Err(CoordinatorRefused::TooMany));
    let mut next = World::with(world.store, |config| config.channels_max = 2);
    next.command(CoordinatorCommand::Lead { token: 8 }).unwrap();
    next.run(ms(100));
    assert_eq!(
        next.told,
        [Told::Lost(codes::CATALOG_TOO_LARGE.to_string())]
    );
}

#[test]
fn channels_go_to_all_expected_nodes_and_not_to_the_first() {
    let mut world = World::with(MemoryStore::new(), |config| config.expected_nodes = 3);
    world.lead(7);
    for channel in 0..9 {
        world.create(&name(channel));
    }
    for node in 1..=3 {
        world.run(ms(500));
        assert_eq!(world.machine.assigned(), (0, 9));
        world.up(node, &address(node));
    }
    world.run(ms(100));
    assert_eq!(world.machine.assigned(), (9, 9));
    assert!((1..=3).all(|node| world.count_on(node) == 3));
    assert_eq!(world.machine.counters().moves, 0);
    // If they do not come, what is there is used in the end.
    let mut world = World::with(MemoryStore::new(), |config| config.expected_nodes = 3);
    world.lead(7);
    world.up(1, &address(1));
    world.create("c");
    world.run(Duration::from_millis(4_900));
    assert_eq!(world.machine.assigned(), (0, 1));
    world.run(ms(200));
    assert_eq!(world.machine.assigned(), (1, 1));
}

#[test]
fn the_fence_is_a_value_with_a_version() {
    let mut world = World::new();
    world.lead(0x0102_0304);
    let (_, value) = stored(&world.store, FENCE_KEY);
    assert_eq!(value, [1, 0, 0, 0, 0, 1, 2, 3, 4]);
}
