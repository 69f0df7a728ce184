//! Consumers.

extern crate std;

use std::vec;

use super::world::{CHANNEL, Heard, World, config, opened_with, reads_from};
use crate::channels::client::*;
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::golden::recorded;
use crate::channels::messages::ConsumeResponse;
use crate::channels::messages::Spoken;
use crate::channels::open::{Filter, Policy};
use crate::method::streaming;
use crate::status::Cause;
use crate::testing::Opened;
use crate::time::Duration;

const LOST: StreamIn<'_> =
    StreamIn::Ended(Status::new(Code::Unavailable, codes::UNREACHABLE).caused_by(Cause::Lost));

fn record(key: Key, delivery: u64, tick: u64, payload: &[u8]) -> Heard {
    Heard::Record(key, delivery, Some(tick), payload.to_vec())
}

fn acknowledge(world: &mut World, delivery: u64) {
    world
        .command(ClientCommand::Acknowledge { key: 1, delivery })
        .unwrap();
}

fn reopened(world: &mut World, stream: &Opened) -> Opened {
    world.event(stream, LOST);
    world.sleep();
    let stream = world.opened(streaming::CONSUME);
    world.create(&stream);
    world.take_heard();
    stream
}

#[test]
fn line_16_policy_and_filters_go_into_the_metadata() {
    for (policy, expected) in [
        (Policy::All, "all"),
        (Policy::Latest, "latest"),
        (Policy::StartFrom(b"x"), "from x"),
        (Policy::StartAfter(b"x"), "after x"),
    ] {
        let (mut world, _) = World::watching(config());
        let filters = [Filter::TimeTickGte(5), Filter::VChannel("v0")];
        world.open_consumer(1, policy, &filters).unwrap();
        let stream = world.opened(streaming::CONSUME);
        assert_eq!(opened_with(&stream), (CHANNEL.into(), 2, Some(7), None));
        let filters = vec![">= 5".into(), "in v0".into()];
        assert_eq!(reads_from(&stream), (expected.into(), filters));
        // Until anything comes it is asked for the same.
        world.create(&stream);
        let stream = reopened(&mut world, &stream);
        assert_eq!(reads_from(&stream).0, expected);
    }
}

#[test]
fn line_16_reading_goes_on_behind_what_was_handled() {
    let (mut world, _) = World::watching(config());
    let filters = [
        Filter::TimeTickGt(5),
        Filter::VChannel("v0"),
        Filter::TimeTickGte(6),
    ];
    world.open_consumer(1, Policy::All, &filters).unwrap();
    let stream = world.opened(streaming::CONSUME);
    world.create(&stream);
    world.take_heard();
    world.record(&stream, b"a", 10, Some(b"t1"));
    world.record(&stream, b"b", 20, Some(b"t1"));
    world.record(&stream, b"c", 30, Some(b"t2"));
    let expected = [
        record(1, 1, 10, b"a"),
        record(1, 2, 20, b"b"),
        record(1, 3, 30, b"c"),
    ];
    assert_eq!(world.take_heard(), expected);
    acknowledge(&mut world, 2);
    let stream = reopened(&mut world, &stream);
    // The caller's ticks give way to the last one handled; its other filters stay.
    let filters = vec!["in v0".into(), "> 20".into()];
    assert_eq!(reads_from(&stream), ("after t1".into(), filters));
    // What was delivered and not handled comes again, and is not delivered again.
    world.record(&stream, b"c", 30, Some(b"t2"));
    world.record(&stream, b"d", 40, Some(b"t2"));
    assert_eq!(world.take_heard(), [record(1, 4, 40, b"d")]);
    assert_eq!(world.client.counters().skipped, 1);
    acknowledge(&mut world, 4);
    let stream = reopened(&mut world, &stream);
    let filters = vec!["in v0".into(), "> 40".into()];
    assert_eq!(reads_from(&stream), ("after t2".into(), filters));
}

#[test]
fn line_16_what_is_only_delivered_is_asked_for_again() {
    let (mut world, _, stream) = World::consuming(config(), Policy::All);
    world.record(&stream, b"a", 10, Some(b"t1"));
    acknowledge(&mut world, 1);
    for (id, tick) in [(b"b", 20), (b"c", 30)] {
        world.record(&stream, id, tick, Some(b"t2"));
    }
    let stream = reopened(&mut world, &stream);
    assert_eq!(
        reads_from(&stream),
        ("after t1".into(), vec!["> 10".into()])
    );
}

#[test]
fn what_came_first_is_where_a_latest_consumer_begins_again() {
    let (mut world, _, stream) = World::consuming(config(), Policy::Latest);
    world.record(&stream, b"a", 10, Some(b"t1"));
    world.record(&stream, b"b", 20, Some(b"t1"));
    let stream = reopened(&mut world, &stream);
    assert_eq!(
        reads_from(&stream),
        ("after t1".into(), vec![">= 10".into()])
    );
    for (id, tick) in [(b"a", 10), (b"b", 20), (b"c", 30)] {
        world.record(&stream, id, tick, Some(b"t1"));
    }
    // Its numbers go on.
    assert_eq!(world.take_heard().len(), 1);
    acknowledge(&mut world, 3);
}

#[test]
fn a_record_that_confirms_nothing_is_gone_on_from_by_its_own_id() {
    let (mut world, _, stream) = World::consuming(config(), Policy::Latest);
    world.record(&stream, b"a", 10, None);
    let stream = reopened(&mut world, &stream);
    assert_eq!(reads_from(&stream), ("from a".into(), vec![">= 10".into()]));
    acknowledge(&mut world, 1);
    let stream = reopened(&mut world, &stream);
    assert_eq!(reads_from(&stream), ("after a".into(), vec!["> 10".into()]));
    // One without a tick, too: then there is nothing to filter by but its id.
    world.frame(
        &stream,
        &ConsumeResponse::Consume {
            id: b"b",
            message: crate::channels::messages::Message {
                payload: b"b",
                properties: [("_lc", &b"t"[..])],
            },
        }
        .said(Dialect::Seed),
    );
    acknowledge(&mut world, 2);
    let stream = reopened(&mut world, &stream);
    assert_eq!(reads_from(&stream).0, "after b");
}

#[test]
fn line_17_an_id_that_cannot_be_said_is_not_gone_on_from() {
    for (dialect, id) in [
        (Dialect::V2024_08, &b"ok"[..]),
        (Dialect::Seed, &[b'x'; 129]),
    ] {
        let config = ClientConfig {
            dialect,
            ..config()
        };
        let (mut world, _, stream) = World::consuming(config, Policy::All);
        world.record(&stream, b"first", 10, None);
        acknowledge(&mut world, 1);
        world.record(&stream, id, 20, Some(&[0xff; 200]));
        acknowledge(&mut world, 2);
        let stream = reopened(&mut world, &stream);
        let from = if dialect == Dialect::Seed {
            "after first"
        } else {
            "after ok"
        };
        // By its tick it is passed over all the same.
        assert_eq!(reads_from(&stream), (from.into(), vec!["> 20".into()]));
    }
}

#[test]
fn line_17_an_id_of_the_later_dialect_is_text() {
    let config = ClientConfig {
        dialect: Dialect::V2024_08,
        ..config()
    };
    let (mut world, _) = World::watching(config);
    let refused = world.open_consumer(1, Policy::StartFrom(b"\xff"), &[]);
    assert_eq!(refused, Err(ClientRefused::Invalid));
    world.opened_none();
}

#[test]
fn line_16_records_out_of_order_are_not_delivered() {
    let (mut world, _, stream) = World::consuming(config(), Policy::All);
    world.record(&stream, b"a", 10, None);
    world.record(&stream, b"b", 10, None);
    world.record(&stream, b"c", 9, None);
    world.record(&stream, b"d", 11, None);
    assert_eq!(
        world.take_heard(),
        [
            record(1, 1, 10, b"a"),
            record(1, 2, 10, b"b"),
            Heard::Misbehaved("a record before one that came"),
            record(1, 3, 11, b"d"),
        ]
    );
}

#[test]
fn time_ticks_of_servers_that_deliver_them_are_passed_over() {
    let (mut world, _, stream) = World::consuming(config(), Policy::All);
    let tick = ConsumeResponse::Consume {
        id: b"t",
        message: crate::channels::messages::Message {
            payload: b"",
            properties: [("_t", &b"1"[..]), ("_tt", b"10")],
        },
    };
    world.frame(&stream, &tick.said(Dialect::Seed));
    assert_eq!(world.take_heard(), []);
    world.record(&stream, b"a", 36, None);
    assert_eq!(world.take_heard(), [record(1, 1, 36, b"a")]);
}

#[test]
fn line_05_a_record_before_the_first_word_is_out_of_order() {
    let (mut world, _) = World::watching(config());
    world.open_consumer(1, Policy::All, &[]).unwrap();
    let stream = world.opened(streaming::CONSUME);
    world.record(&stream, b"a", 10, None);
    let heard = world.take_heard();
    assert_eq!(
        heard[1..],
        [Heard::Interrupted(1, ErrorCode::InvalidRequestSeq)]
    );
    assert!(world.io.fake.take_end(stream.stream).is_some());
}

#[test]
fn line_07_a_consumer_closes_by_a_message_and_a_half_close_and_reads_to_the_end() {
    let (mut world, _, stream) = World::consuming(config(), Policy::All);
    world
        .command(ClientCommand::CloseConsumer { key: 1 })
        .unwrap();
    let close = recorded(Dialect::Seed, "ConsumeRequest.close");
    assert_eq!(world.io.fake.take_frames(stream.stream), [close]);
    assert_eq!(world.io.fake.half_closed, [stream.stream]);
    // What is under way is dropped, and its credit given back at once.
    world.record(&stream, b"a", 10, None);
    let closed: ConsumeResponse<'_> = ConsumeResponse::Close;
    world.frame(&stream, &closed.said(Dialect::Seed));
    assert_eq!(world.take_heard(), []);
    assert_eq!(
        world.command(ClientCommand::Acknowledge {
            key: 1,
            delivery: 1
        }),
        Err(ClientRefused::NoSuchKey)
    );
    world.event(&stream, StreamIn::Ended(Status::OK));
    assert_eq!(world.take_heard(), [Heard::Closed(1, None)]);
    assert!(world.io.held.is_empty());
}

#[test]
fn line_07_an_unsolicited_close_is_accepted() {
    let (mut world, watch, stream) = World::consuming(config(), Policy::All);
    world.record(&stream, b"a", 10, None);
    world.take_heard();
    let closed: ConsumeResponse<'_> = ConsumeResponse::Close;
    world.pass(Duration::from_secs(1));
    world.frame(&stream, &closed.said(Dialect::Seed));
    assert_eq!(world.io.fake.half_closed, [stream.stream]);
    world.push(&watch, (1, 2), &[(CHANNEL, 3, 8, "n8:1")]);
    world.event(&stream, StreamIn::Ended(Status::OK));
    let stream = world.opened(streaming::CONSUME);
    assert_eq!(opened_with(&stream).1, 3);
}

#[test]
fn line_08_answers_of_no_known_kind_are_passed_over() {
    let (mut world, _, stream) = World::consuming(config(), Policy::All);
    world.event(&stream, StreamIn::Frame(&[0x22, 0]));
    world.record(&stream, b"a", 10, None);
    assert_eq!(world.take_heard(), [record(1, 1, 10, b"a")]);
}

#[test]
fn better_15_credit_is_kept_back_of_what_is_not_acknowledged() {
    let config = ClientConfig {
        unacknowledged_bytes_max: 100,
        ..config()
    };
    let (mut world, _, stream) = World::consuming(config, Policy::All);
    let held = |world: &World| world.io.held.values().sum::<i64>();
    let id = [b'x'; 20];
    let mut bytes = 0;
    for tick in 1..=20 {
        world.record(&stream, &id, tick, None);
        bytes = world.client.counters().delivered * 57;
    }
    // Two records of 57 bytes are above 100 bytes: of the second one on.
    assert!(held(&world) >= i64::try_from(bytes).unwrap() - 100 - 57);
    let before = held(&world);
    acknowledge(&mut world, 18);
    assert_eq!(held(&world), before, "still above");
    acknowledge(&mut world, 19);
    assert_eq!(held(&world), 0);
    acknowledge(&mut world, 19);
    assert_eq!(held(&world), 0, "given back once");
    assert_eq!(
        world.command(ClientCommand::Acknowledge {
            key: 1,
            delivery: 21
        }),
        Err(ClientRefused::Invalid)
    );
}

#[test]
fn credit_of_a_lost_stream_is_not_given_back_on_another() {
    let config = ClientConfig {
        unacknowledged_records_max: 1,
        ..config()
    };
    let (mut world, _, stream) = World::consuming(config, Policy::All);
    for tick in 1..=3 {
        world.record(&stream, b"a", tick, None);
    }
    assert!(world.io.held[&stream.stream] > 0);
    let next = reopened(&mut world, &stream);
    world.record(&next, b"a", 4, None);
    let held = world.io.held[&next.stream];
    assert!(held > 0, "too many are still not acknowledged");
    acknowledge(&mut world, 4);
    assert_eq!(world.io.held[&next.stream], 0);
}
