use alloc::vec::Vec;

use super::world::{CHANNEL, Do, World, config};
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::messages::ids;
use crate::channels::open::{Filter, Policy};
use crate::channels::worker::*;
use crate::memory::MemoryStore;
use crate::stream::StreamIn;

/// A channel with so many messages, of one byte each.
fn filled(count: u8) -> World {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let producer = world.producer(2);
    for id in 0..count {
        let vchannel: &[u8] = if id % 2 == 0 { b"even" } else { b"odd" };
        let properties = [("_t", &b"2"[..]), ("_v", b"1"), ("_vc", vchannel)];
        world.send_with(producer, i64::from(id), &[id], &properties);
    }
    world.run();
    world
}

fn bytes(range: core::ops::Range<u8>) -> Vec<Vec<u8>> {
    range.map(|byte| [byte].into()).collect()
}

#[test]
fn line_16_records_come_in_the_order_of_their_ticks_with_id_and_what_is_confirmed() {
    let mut world = filled(10);
    let consumer = world.consumer(2, Policy::All, &[]);
    world.run();
    let (seen, _) = world.seen(consumer);
    assert_eq!(
        seen.len(),
        10,
        "the tick that opened the term is none of them"
    );
    assert!(seen.is_sorted_by(|a, b| a.tick < b.tick && a.id < b.id));
    for seen in seen {
        assert_eq!(seen.confirmed, seen.id);
        assert_eq!(seen.payload, [seen.id as u8 - 1]);
    }
}

#[test]
fn line_16_start_from_includes_and_start_after_does_not() {
    for dialect in [Dialect::Seed, Dialect::V2024_08] {
        let config = WorkerConfig {
            dialect,
            ..config(1)
        };
        let mut world = World::with(&MemoryStore::new(), config);
        world.open(2);
        let producer = world.producer(2);
        for id in 0..6_u8 {
            world.send(producer, i64::from(id), &[id]);
        }
        world.run();
        let id = ids::id(dialect, 3);
        let from = world.consumer(2, Policy::StartFrom(id.as_bytes()), &[]);
        let after = world.consumer(2, Policy::StartAfter(id.as_bytes()), &[]);
        let latest = world.consumer(2, Policy::Latest, &[]);
        let wrong = world.consumer(2, Policy::StartFrom(b"!"), &[]);
        world.run();
        assert_eq!(world.payloads(from), bytes(2..6));
        assert_eq!(world.payloads(after), bytes(3..6));
        assert_eq!(world.payloads(latest), bytes(0..0));
        assert_eq!(world.end_of(wrong), Some(Some(ErrorCode::InvalidArgument)));
        world.send(producer, 6, &[6]);
        world.run();
        for consumer in [from, after, latest] {
            assert_eq!(
                world.payloads(consumer),
                bytes(6..7),
                "those that wait are woken"
            );
        }
    }
}

#[test]
fn line_16_who_resumes_behind_what_is_confirmed_misses_and_repeats_nothing() {
    let mut world = filled(20);
    let first = world.consumer(2, Policy::All, &[]);
    world.run();
    let (seen, _) = world.seen(first);
    let last = &seen[7];
    let id = ids::id(Dialect::Seed, last.confirmed);
    let filters = [Filter::TimeTickGt(last.tick)];
    for policy in [
        Policy::StartAfter(id.as_bytes()),
        Policy::StartFrom(id.as_bytes()),
    ] {
        let resumed = world.consumer(2, policy, &filters);
        world.run();
        assert_eq!(world.payloads(resumed), bytes(8..20));
    }
}

#[test]
fn line_16_all_filters_must_agree() {
    let mut world = filled(10);
    let all = world.consumer(2, Policy::All, &[]);
    world.run();
    let (seen, _) = world.seen(all);
    let tick = seen[4].tick;
    let odd = Filter::VChannel("odd");
    let mut count = |filters: &[Filter<'_>]| {
        let consumer = world.consumer(2, Policy::All, filters);
        world.run();
        world.payloads(consumer).len()
    };
    assert_eq!(count(&[odd]), 5);
    assert_eq!(count(&[odd, Filter::TimeTickGte(tick)]), 3);
    assert_eq!(count(&[Filter::TimeTickGt(tick)]), 5);
    assert_eq!(count(&[odd, Filter::VChannel("even")]), 0);
}

#[test]
fn only_what_survives_a_crash_is_delivered() {
    let mut world = filled(1);
    let (consumer, producer) = (world.consumer(2, Policy::All, &[]), world.producer(2));
    world.run();
    assert_eq!(world.payloads(consumer), bytes(0..1));
    world.send(producer, 1, &[1]);
    world.send(producer, 2, &[2]);
    // The log holds the second, and nobody was told yet.
    world.do_one(Do::It);
    let (_, read) = world.io.ops.back().unwrap();
    assert!(!read.is_append());
    world.io.ops.rotate_right(1);
    let (_, read) = world.io.ops.front().unwrap();
    assert!(!read.is_append());
    world.do_one(Do::It);
    assert_eq!(world.payloads(consumer), bytes(1..2));
    world.run();
    assert_eq!(world.payloads(consumer), bytes(2..3));
}

#[test]
fn better_15_a_slow_consumer_is_read_for_when_it_has_room() {
    let config = WorkerConfig {
        read_bytes_max: 100,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let producer = world.producer(2);
    for id in 0..200_u8 {
        world.send(producer, i64::from(id), &[id]);
    }
    world.run();
    let consumer = world.consumer(2, Policy::All, &[]);
    world.io.room.insert(consumer, 7);
    world.run();
    assert_eq!(world.payloads(consumer), bytes(0..7));
    assert_eq!(world.io.ops.len(), 0, "nothing is read for who has no room");
    for id in 200..=255_u8 {
        world.send(producer, i64::from(id), &[id]);
    }
    world.run();
    assert_eq!(world.payloads(consumer), bytes(0..0));
    let mut got = 7_u8;
    while got < 250 {
        world.io.room.insert(consumer, 5);
        world.hear(consumer, StreamIn::Writable);
        assert!(world.io.ops.len() <= 1, "one read at a time");
        world.run();
        assert_eq!(world.payloads(consumer), bytes(got..got + 5));
        got += 5;
    }
}

#[test]
fn line_07_a_consumer_that_says_no_more_is_told_of_the_end() {
    let mut world = filled(3);
    let consumer = world.consumer(2, Policy::All, &[]);
    world.run();
    world.hear(consumer, StreamIn::Frame(&[0x0a, 0]));
    assert_eq!(world.end_of(consumer), None, "close is a hint");
    world.hear(consumer, StreamIn::HalfClosed);
    assert_eq!(world.end_of(consumer), Some(None));
    assert!(world.seen(consumer).1);
    let waiting = world.consumer(2, Policy::All, &[]);
    world.io.room.insert(waiting, 0);
    world.hear(waiting, StreamIn::HalfClosed);
    world.run();
    assert_eq!(world.end_of(waiting), None);
    world.io.room.remove(&waiting);
    world.hear(waiting, StreamIn::Writable);
    assert_eq!(world.end_of(waiting), Some(None));
    assert_eq!(world.worker.channel(CHANNEL).unwrap().consumers, 0);
}

#[test]
fn a_channel_that_goes_takes_its_consumers_with_it() {
    let mut world = filled(3);
    let (idle, busy) = (
        world.consumer(2, Policy::Latest, &[]),
        world.consumer(2, Policy::All, &[]),
    );
    let removal = world.remove(2);
    assert_eq!(world.end_of(removal), Some(None));
    for consumer in [idle, busy] {
        assert!(world.seen(consumer).1, "it was told before it failed");
        assert_eq!(
            world.end_of(consumer),
            Some(Some(ErrorCode::ChannelNotExist))
        );
    }
    world.run();
}

#[test]
fn what_was_forgotten_is_skipped_and_the_last_record_stays() {
    let mut world = filled(10);
    let trim = |channel, before| WorkerCommand::Trim { channel, before };
    assert_eq!(world.command(trim("other", 1)), Err(WorkerRefused::NotOpen));
    assert_eq!(
        world.command(trim(CHANNEL, 11)),
        Err(WorkerRefused::NotThere)
    );
    assert_eq!(world.command(trim(CHANNEL, 5)), Ok(()));
    world.run();
    assert!(world.events.last().unwrap().contains("first: 5"));
    let consumer = world.consumer(2, Policy::All, &[]);
    world.run();
    assert_eq!(world.payloads(consumer), bytes(4..10));
}

#[test]
fn a_read_without_an_outcome_is_tried_again() {
    let mut world = filled(3);
    let consumer = world.consumer(2, Policy::All, &[]);
    for _ in 0..5 {
        assert!(world.do_one(Do::Lose));
        world.pass(crate::time::Duration::from_millis(10));
    }
    world.run();
    assert_eq!(world.payloads(consumer), bytes(0..3));
}
