//! What is forgotten of a channel, when, and by whom.

use alloc::vec::Vec;

use super::world::{CHANNEL, Do, World, config};
use crate::channels::dialect::Dialect;
use crate::channels::messages::ids;
use crate::channels::open::Policy;
use crate::channels::worker::*;
use crate::memory::MemoryStore;
use crate::stream::StreamIn;
use crate::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn keeping(owner: u64, retention: Retention) -> WorkerConfig {
    WorkerConfig {
        retention: Retention {
            interval: Duration::from_secs(1),
            ..retention
        },
        ..config(owner)
    }
}

fn by_age(age: Duration) -> Retention {
    Retention {
        age: Some(age),
        ..Retention::KEEP_ALL
    }
}

fn by_bytes(bytes: u64) -> Retention {
    Retention {
        bytes: Some(bytes),
        ..Retention::KEEP_ALL
    }
}

/// A channel that is open at a term.
fn opened(store: &MemoryStore, config: WorkerConfig, term: i64) -> World {
    let mut world = World::with(store, config);
    world.now += Duration::from_secs(term as u64 * 10_000);
    let wall = 1_800_000_000_000 + term * 10_000_000;
    world.wall(wall);
    world.open(term);
    world
}

fn first(world: &World) -> u64 {
    world.worker.channel(CHANNEL).unwrap().first
}

/// Time passes and the store does what it is asked for.
fn go_on(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.pass(Duration::from_secs(1));
        world.run();
    }
}

/// A message each second, of a byte that counts.
fn fill(world: &mut World, term: i64, count: u8) {
    let producer = world.producer(term);
    for id in 0..count {
        world.send(producer, i64::from(id), &[id]);
        go_on(world, 1);
    }
    world.hear(producer, StreamIn::HalfClosed);
}

fn all_of(world: &mut World, term: i64) -> Vec<Vec<u8>> {
    let consumer = world.consumer(term, Policy::All, &[]);
    world.run();
    let payloads = world.payloads(consumer);
    world.lose(consumer);
    payloads
}

#[test]
fn without_a_limit_everything_is_kept_and_nobody_looks() {
    let mut world = opened(&MemoryStore::new(), config(1), 2);
    fill(&mut world, 2, 100);
    assert_eq!(world.worker.poll_timeout(), None);
    assert_eq!(all_of(&mut world, 2).len(), 100);
}

#[test]
fn records_are_forgotten_by_their_age_and_the_last_one_stays() {
    let mut world = opened(&MemoryStore::new(), keeping(1, by_age(MINUTE)), 2);
    fill(&mut world, 2, 50);
    assert_eq!(first(&world), 0, "nothing is old");
    go_on(&mut world, 35);
    let kept = all_of(&mut world, 2);
    let oldest = kept[0][0];
    assert!((20..=26).contains(&oldest), "{oldest}");
    assert_eq!(kept.len(), 50 - usize::from(oldest));
    go_on(&mut world, 200);
    assert_eq!(all_of(&mut world, 2), [[49]], "the last one stays");
    assert_eq!(world.log().len(), 1);
    // And it goes on.
    fill(&mut world, 2, 3);
    assert!(all_of(&mut world, 2).ends_with(&[[0].into(), [1].into(), [2].into()]));
}

#[test]
fn before_a_wall_is_known_nothing_is_old() {
    let mut world = World::with(&MemoryStore::new(), keeping(1, by_age(MINUTE)));
    world.open(2);
    fill(&mut world, 2, 100);
    go_on(&mut world, 100);
    assert_eq!(first(&world), 0);
}

#[test]
fn the_newest_bytes_are_kept_and_little_more() {
    let mut world = opened(&MemoryStore::new(), keeping(1, by_bytes(2_000)), 2);
    fill(&mut world, 2, 200);
    go_on(&mut world, 2);
    let log = world.log();
    let bytes = |record: &record::Record<'_>| 18 + record.message.map_or(0, <[u8]>::len);
    let kept: usize = log.iter().map(|(_, record)| bytes(record)).sum();
    assert!((2_000..2_200).contains(&kept), "{kept}");
    assert_eq!(log[0].0, first(&world));
}

#[test]
fn nothing_is_forgotten_that_a_connected_consumer_has_not_been_given_if_that_holds_back() {
    for acknowledged in [false, true] {
        let retention = Retention {
            acknowledged,
            ..by_age(MINUTE)
        };
        let mut world = opened(&MemoryStore::new(), keeping(1, retention), 2);
        fill(&mut world, 2, 20);
        let slow = world.consumer(2, Policy::All, &[]);
        world.io.room.insert(slow, 5);
        world.run();
        go_on(&mut world, 100);
        let expected = if acknowledged { 6 } else { 20 };
        assert_eq!(first(&world), expected);
        if acknowledged {
            world.io.room.insert(slow, 4);
            world.hear(slow, StreamIn::Writable);
            go_on(&mut world, 2);
            assert_eq!(first(&world), 10);
            assert_eq!(world.payloads(slow).len(), 9, "without a gap");
            world.lose(slow);
            go_on(&mut world, 2);
            assert_eq!(first(&world), 20, "who is away holds nothing back");
        }
    }
}

#[test]
fn who_begins_below_the_first_record_kept_is_given_that_one() {
    let mut world = opened(&MemoryStore::new(), keeping(1, by_bytes(1)), 2);
    let waiting = world.consumer(2, Policy::All, &[]);
    world.io.room.insert(waiting, 0);
    fill(&mut world, 2, 10);
    go_on(&mut world, 2);
    assert_eq!(first(&world), 10);
    let id = ids::id(Dialect::Seed, 3);
    for policy in [
        Policy::StartFrom(id.as_bytes()),
        Policy::StartAfter(id.as_bytes()),
    ] {
        let consumer = world.consumer(2, policy, &[]);
        world.run();
        assert_eq!(world.payloads(consumer), [[9]]);
    }
    // So is one whose next record was forgotten while its stream had no room.
    world.io.room.remove(&waiting);
    world.hear(waiting, StreamIn::Writable);
    world.run();
    assert_eq!(world.payloads(waiting), [[9]]);
    fill(&mut world, 2, 1);
    assert_eq!(world.payloads(waiting), [[0]]);
}

#[test]
fn a_zombie_forgets_nothing() {
    let store = MemoryStore::new();
    let mut zombie = opened(&store, keeping(1, by_bytes(1)), 2);
    let producer = zombie.producer(2);
    for id in 0..9 {
        zombie.send(producer, id, b"x");
    }
    zombie.run();
    let mut successor = opened(&store, config(2), 3);
    assert_eq!(first(&zombie), 0);
    go_on(&mut zombie, 3);
    assert!(zombie.events.iter().any(|event| event.contains("Fenced")));
    assert_eq!(zombie.worker.counters().trims, 0);
    assert_eq!(successor.log().len(), 11);
    // Nor does it if it is told to.
    let trim = WorkerCommand::Trim {
        channel: CHANNEL,
        before: 3,
    };
    assert_eq!(zombie.command(trim), Err(WorkerRefused::NotOpen));
    assert_eq!(all_of(&mut successor, 3).len(), 9);
}

/// The trim is asked for before the trouble and refused behind it, while the log is read page by page.
#[test]
fn a_trim_that_is_refused_while_the_log_is_looked_at_disturbs_nothing() {
    let store = MemoryStore::new();
    let mut config = keeping(1, by_bytes(1));
    config.read_bytes_max = 1;
    let mut world = opened(&store, config, 2);
    let producer = world.producer(2);
    for id in 0..9 {
        world.send(producer, id, b"x");
    }
    world.run();
    world.pass(Duration::from_secs(1));
    for id in 9..12 {
        world.send(producer, id, b"x");
    }
    world.said(producer);
    // The store takes the trim last.
    world.io.ops.rotate_left(1);
    for _ in 9..12 {
        world.do_one(Do::Keep);
    }
    world.io.ops.rotate_left(1);
    world.do_one(Do::It);
    assert_eq!(world.io.ops.len(), 2, "the trim, and a page that is read");
    let _successor = opened(&store, self::config(2), 3);
    world.do_one(Do::It);
    assert_eq!(world.worker.counters().fenced, 1);
    world.run();
    let said = world.said(producer);
    let written = said
        .iter()
        .filter(|said| matches!(said, super::world::Said::At(..)));
    assert_eq!(written.count(), 3, "{said:?}");
}

#[test]
fn a_trim_whose_outcome_is_not_known_is_made_again() {
    for kept in [Do::Lose, Do::Keep] {
        let mut world = opened(&MemoryStore::new(), keeping(1, by_bytes(1)), 2);
        let producer = world.producer(2);
        for id in 0..9 {
            world.send(producer, id, b"x");
        }
        world.run();
        world.pass(Duration::from_secs(1));
        assert_eq!(world.io.ops.len(), 1);
        world.pass(Duration::from_secs(3));
        assert_eq!(world.io.ops.len(), 1, "one at a time");
        world.do_one(kept);
        assert_eq!((first(&world), world.worker.counters().trims), (0, 0));
        go_on(&mut world, 1);
        assert_eq!((first(&world), world.worker.counters().trims), (9, 1));
        world.send(producer, 9, b"y");
        world.run();
        assert!(world.said(producer).len() == 11, "appends go on");
    }
}

#[test]
fn what_was_written_before_the_channel_came_here_is_looked_at_page_by_page() {
    for retention in [by_age(MINUTE), by_bytes(1_000)] {
        let store = MemoryStore::new();
        let mut before = opened(&store, config(1), 2);
        fill(&mut before, 2, 200);
        let mut config = keeping(2, retention);
        (config.dedupe_records, config.read_bytes_max) = (8, 300);
        let mut world = opened(&store, config, 3);
        let opened_at = 201 - 8;
        // Sixteen pages of eight records a second.
        go_on(&mut world, 1);
        assert!(first(&world) < opened_at || retention.age.is_some());
        go_on(&mut world, 5);
        let first = first(&world);
        assert_eq!(world.log()[0].0, first);
        if retention.age.is_some() {
            assert_eq!(first, 201, "all of it was old");
        } else {
            assert!((160..=175).contains(&first), "{first}");
        }
    }
}

#[test]
fn nothing_is_forgotten_while_it_is_not_known_what_the_log_holds() {
    let mut world = opened(&MemoryStore::new(), keeping(1, by_bytes(1)), 2);
    let producer = world.producer(2);
    for id in 0..5 {
        world.send(producer, id, b"x");
        world.do_one(if id < 4 { Do::It } else { Do::Keep });
    }
    // It looks at the log, and hears nothing.
    world.pass(Duration::from_secs(2));
    while let Some((_, asked)) = world.io.ops.front() {
        assert!(!matches!(asked, super::world::Asked::Trim(..)), "{asked:?}");
        world.do_one(Do::Lose);
    }
    assert_eq!(first(&world), 0);
    go_on(&mut world, 5);
    assert_eq!(first(&world), 5);
}
