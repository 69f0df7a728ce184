use alloc::vec;
use alloc::vec::Vec;

use super::world::{CHANNEL, Do, Said, World, config};
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::messages::ids;
use crate::channels::open::Open;
use crate::channels::worker::*;
use crate::header::Header;
use crate::memory::MemoryStore;
use crate::status::Code;
use crate::stream::StreamIn;
use crate::time::Duration;

fn opened() -> World {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    world
}

fn created() -> Said {
    Said::Create("".into())
}

#[test]
fn line_05_create_comes_first_and_once() {
    for dialect in [Dialect::Seed, Dialect::V2024_08] {
        let config = WorkerConfig {
            dialect,
            ..config(1)
        };
        let mut world = World::with(&MemoryStore::new(), config);
        world.open(2);
        let producer = world.producer(2);
        world.send(producer, 1, b"x");
        world.run();
        let name = match dialect {
            Dialect::Seed => "",
            Dialect::V2024_08 => "trefoil",
        };
        let said = [Said::Create(name.into()), Said::At(1, 1)];
        assert_eq!(world.said(producer), said);
    }
}

#[test]
fn line_05_create_waits_for_room_and_is_still_first() {
    let mut world = opened();
    // The next stream has no room at first.
    let next = StreamId::new(world.producer(2).slot() + 1, 1);
    world.io.room.insert(next, 0);
    let producer = world.producer(2);
    assert_eq!(producer, next);
    world.send(producer, 1, b"x");
    world.run();
    assert_eq!(world.said(producer), []);
    world.io.room.remove(&next);
    world.hear(producer, StreamIn::Writable);
    assert_eq!(world.said(producer), [created(), Said::At(1, 1)]);
}

#[test]
fn line_03_what_opens_a_producer_must_be_there() {
    let mut world = opened();
    for method in [streaming::PRODUCE, streaming::CONSUME] {
        let stream = world.accept(method, Header::EMPTY);
        assert_eq!(world.end_of(stream), Some(Some(ErrorCode::InvalidArgument)));
        assert_eq!(world.io.ended[&stream].0, Code::InvalidArgument);
    }
}

#[test]
fn line_04_and_14_node_cluster_and_term_must_be_those_that_are_meant() {
    let mut world = opened();
    let open = Open::new(CHANNEL, 2);
    for (open, code) in [
        (
            Open {
                server_id: Some(2),
                ..open
            },
            ErrorCode::ChannelNotExist,
        ),
        (
            Open {
                cluster: Some("other"),
                ..open
            },
            ErrorCode::InvalidArgument,
        ),
        (Open { term: 1, ..open }, ErrorCode::UnmatchedChannelTerm),
        (Open { term: 3, ..open }, ErrorCode::UnmatchedChannelTerm),
        (
            Open {
                channel: "other",
                ..open
            },
            ErrorCode::ChannelNotExist,
        ),
    ] {
        let stream = world.produce_to(&open);
        assert_eq!(world.end_of(stream), Some(Some(code)), "{open:?}");
    }
    let right = Open {
        server_id: Some(1),
        cluster: Some("by-dev"),
        ..open
    };
    let stream = world.produce_to(&right);
    assert_eq!(world.end_of(stream), None);
}

#[test]
fn line_06_every_message_is_answered_once_and_errors_are_its_own() {
    let mut world = opened();
    let producer = world.producer(2);
    world.send(producer, 10, b"a");
    world.send_with(producer, 11, b"b", &[("_v", b"1")]);
    world.send_with(producer, 12, b"c", &[("_t", b"2")]);
    world.send(producer, 13, b"");
    world.send(producer, 14, b"d");
    let inner = |id, cause: &str| Said::Failed(id, ErrorCode::Inner, cause.into());
    assert_eq!(
        world.said(producer),
        [
            created(),
            inner(11, "TF-L13: unsupported message type"),
            inner(12, "TF-L13: unsupported message version"),
            inner(13, "TF-L13: empty payload"),
        ]
    );
    world.run();
    assert_eq!(world.said(producer), [Said::At(10, 1), Said::At(14, 2)]);
    assert_eq!(world.end_of(producer), None);
    assert_eq!(world.worker.counters().refused, 3);
}

#[test]
fn line_07_the_peers_half_close_ends_it_when_all_is_answered() {
    let mut world = opened();
    let producer = world.producer(2);
    world.send(producer, 1, b"a");
    world.hear(producer, StreamIn::Frame(&[0x1a, 0]));
    world.run();
    assert_eq!(world.end_of(producer), None, "close is a hint");
    world.send(producer, 2, b"b");
    world.hear(producer, StreamIn::HalfClosed);
    assert_eq!(world.end_of(producer), None, "one is under way");
    world.run();
    assert_eq!(
        world.said(producer),
        [created(), Said::At(1, 1), Said::At(2, 2), Said::Close]
    );
    assert_eq!(world.end_of(producer), Some(None));
    assert_eq!(world.worker.channel(CHANNEL).unwrap().producers, 0);
}

#[test]
fn line_07_a_channel_that_goes_finishes_then_closes_then_fails() {
    let mut world = opened();
    let producer = world.producer(2);
    world.send(producer, 1, b"a");
    world.remove(2);
    world.send(producer, 2, b"too late");
    world.run();
    let said = world.said(producer);
    assert!(matches!(
        said[1],
        Said::Failed(2, ErrorCode::ChannelNotExist, _)
    ));
    assert_eq!(said[2..], [Said::At(1, 1), Said::Close]);
    assert_eq!(
        world.end_of(producer),
        Some(Some(ErrorCode::ChannelNotExist))
    );
}

#[test]
fn line_08_what_is_not_known_is_passed_over() {
    let mut world = opened();
    let producer = world.producer(2);
    world.send(producer, 1, b"a");
    // Field 9 of the oneof.
    world.hear(producer, StreamIn::Frame(&[0x4a, 1, 0]));
    world.send(producer, 2, b"b");
    world.run();
    assert_eq!(world.said(producer).len(), 3);
    assert_eq!(world.worker.counters().skipped, 1);
}

#[test]
fn line_02_a_caller_of_the_other_dialect_is_told_so() {
    let mut world = opened();
    let producer = world.producer(2);
    world.dialect = Dialect::V2024_08;
    world.send(producer, 1, b"a");
    assert_eq!(
        world.end_of(producer),
        Some(Some(ErrorCode::InvalidArgument))
    );
    assert!(world.io.ended[&producer].2.starts_with("TF-L05"));
}

#[test]
fn what_cannot_be_decoded_ends_the_stream() {
    let mut world = opened();
    let producer = world.producer(2);
    world.send(producer, 1, b"a");
    world.hear(producer, StreamIn::Frame(&[0xff; 3]));
    assert_eq!(
        world.end_of(producer),
        Some(Some(ErrorCode::InvalidArgument))
    );
    world.run();
    assert_eq!(world.worker.counters().appended, 1);
}

#[test]
fn better_15_a_message_that_is_too_large_is_refused_and_the_stream_goes_on() {
    let config = WorkerConfig {
        message_bytes_max: 100,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let producer = world.producer(2);
    world.send(producer, 1, &[7; 200]);
    world.send(producer, 2, &[7; 20]);
    world.run();
    let said = world.said(producer);
    assert!(
        matches!(&said[1], Said::Failed(1, ErrorCode::InvalidArgument, cause)
        if cause.starts_with("TF-L14"))
    );
    assert_eq!(said[2], Said::At(2, 1));
}

#[test]
fn better_15_more_than_may_be_in_flight_waits_with_its_credit() {
    let config = WorkerConfig {
        in_flight_max: 4,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let producer = world.producer(2);
    for id in 0..20 {
        world.send(producer, id, b"abc");
    }
    assert_eq!(world.io.ops.len(), 4);
    let frame = world.io.held[&producer] / 16;
    assert!(frame > 3, "sixteen frames are held");
    world.do_one(Do::It);
    assert_eq!(world.io.held[&producer], 15 * frame);
    assert_eq!(world.io.ops.len(), 4);
    world.hear(producer, StreamIn::HalfClosed);
    world.run();
    let expected: Vec<Said> = (0..20).map(|id| Said::At(id, id as u64 + 1)).collect();
    let said = world.said(producer);
    assert_eq!(said[1..21], expected);
    assert_eq!((&said[21], world.io.held[&producer]), (&Said::Close, 0));
}

#[test]
fn better_15_bytes_in_flight_are_bounded_and_one_message_always_fits() {
    let config = WorkerConfig {
        in_flight_bytes_max: 1_000,
        backlog_bytes_max: 2_000,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let producer = world.producer(2);
    for id in 0..6 {
        world.send(producer, id, &[7; 400]);
    }
    assert_eq!(world.io.ops.len(), 2);
    world.run();
    // Alone it is above all budgets, and would never be taken otherwise.
    world.send(producer, 6, &vec![7; 5_000]);
    world.run();
    assert_eq!(world.said(producer)[7..], [Said::At(6, 7)]);
}

#[test]
fn better_15_answers_that_are_not_read_stop_the_stream() {
    let config = WorkerConfig {
        in_flight_max: 4,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let producer = world.producer(2);
    world.io.room.insert(producer, 2);
    for id in 0..20 {
        world.send(producer, id, b"abc");
    }
    world.run();
    assert_eq!(world.worker.counters().appended, 6, "two were read");
    assert!(world.io.held[&producer] > 0);
    world.io.room.remove(&producer);
    world.hear(producer, StreamIn::Writable);
    world.run();
    assert_eq!(world.said(producer).len(), 21);
}

#[test]
fn producers_of_one_channel_take_turns() {
    let config = WorkerConfig {
        appends_max: 1,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let (greedy, modest) = (world.producer(2), world.producer(2));
    for id in 0..10 {
        world.send(greedy, id, b"g");
    }
    world.send(modest, 1, b"m");
    for _ in 0..3 {
        world.do_one(Do::It);
    }
    assert_eq!(world.said(modest), [created(), Said::At(1, 3)]);
    world.run();
    assert_eq!(world.said(greedy).len(), 11);
}

#[test]
fn a_store_without_room_is_asked_again() {
    let mut world = opened();
    let producer = world.producer(2);
    world.io.ops_max = 0;
    for id in 0..3 {
        world.send(producer, id, b"abc");
    }
    world.pass(Duration::from_secs(1));
    world.io.ops_max = 1;
    world.pass(Duration::from_secs(2));
    world.run();
    assert_eq!(
        world.said(producer)[1..],
        [Said::At(0, 1), Said::At(1, 2), Said::At(2, 3)]
    );
}

fn numbered(number: &str) -> [(&str, &[u8]); 4] {
    [
        ("_t", b"2"),
        ("_v", b"1"),
        ("_tp", b"me"),
        ("_ts", number.as_bytes()),
    ]
}

#[test]
fn a_message_with_a_number_is_not_appended_twice_at_one_term_nor_the_next() {
    let store = MemoryStore::new();
    let mut world = World::new(&store, 1);
    world.open(2);
    let first = world.producer(2);
    world.send_with(first, 1, b"a", &numbered("1"));
    world.lose(first);
    let second = world.producer(2);
    world.send_with(second, 1, b"a", &numbered("1"));
    assert_eq!(world.said(second), [created()], "it is on its way");
    world.run();
    world.send_with(second, 2, b"a", &numbered("1"));
    world.send_with(second, 3, b"b", &numbered("2"));
    world.run();
    let said = [Said::At(1, 1), Said::At(2, 1), Said::At(3, 2)];
    assert_eq!(world.said(second), said);
    let mut other = World::new(&store, 2);
    other.open(3);
    let third = other.producer(3);
    other.send_with(third, 1, b"b", &numbered("2"));
    other.send_with(third, 2, b"c", &numbered("3"));
    other.run();
    assert_eq!(
        other.said(third),
        [created(), Said::At(1, 2), Said::At(2, 4)]
    );
    assert_eq!(
        other
            .log()
            .iter()
            .filter(|(_, r)| r.message.is_some())
            .count(),
        3
    );
    assert_eq!(world.worker.counters().duplicates, 2);
}

#[test]
fn ids_are_the_numbers_of_records_and_compare_as_they_stand() {
    let mut world = opened();
    let producer = world.producer(2);
    for id in 0..300 {
        world.send(producer, id, b"x");
    }
    world.run();
    let frames = world.said(producer);
    let ids: Vec<_> = frames
        .iter()
        .filter_map(|said| {
            let Said::At(_, at) = said else { return None };
            Some(ids::id(Dialect::Seed, *at))
        })
        .collect();
    assert!(ids.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
}
