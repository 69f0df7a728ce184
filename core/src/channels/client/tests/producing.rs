//! Producers.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::world::{CHANNEL, Heard, Request, TYPED, World, config, opened_with};
use crate::channels::client::*;
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::messages::ProduceResponse;
use crate::method::streaming;
use crate::status::Cause;
use crate::time::Duration;

const LOST: StreamIn<'_> =
    StreamIn::Ended(Status::new(Code::Unavailable, codes::UNREACHABLE).caused_by(Cause::Lost));

const fn result(request_id: i64) -> ProduceResponse<'static> {
    ProduceResponse::Result {
        request_id,
        id: b"z",
    }
}

#[test]
fn line_03_and_04_a_stream_is_opened_by_metadata_with_the_node_and_the_cluster() {
    for dialect in [Dialect::Seed, Dialect::V2024_08] {
        let config = ClientConfig {
            dialect,
            cluster: Some("by-dev".into()),
            ..config()
        };
        let (mut world, watch) = World::watching(config);
        let header = crate::header::Header(&watch.header);
        assert_eq!(header.text("cluster"), Some("by-dev"));
        world.open_producer(1).unwrap();
        let stream = world.opened(streaming::PRODUCE);
        assert_eq!(world.io.fake.name(stream.to), "n7:1");
        let expected = (CHANNEL.into(), 2, Some(7), Some("by-dev".into()));
        assert_eq!(opened_with(&stream), expected);
        assert_eq!(stream.deadline, None);
    }
}

#[test]
fn line_05_nothing_is_sent_before_the_stream_is_open_and_any_other_first_word_is_out_of_order() {
    let firsts = [
        ProduceResponse::Close,
        ProduceResponse::Unknown,
        result(1),
        result(0),
    ];
    for first in firsts {
        let (mut world, _) = World::watching(config());
        world.open_producer(1).unwrap();
        let stream = world.opened(streaming::PRODUCE);
        world.produce(1, b"a").unwrap();
        assert_eq!(world.requests(&stream), []);
        world.answer(&stream, first);
        let heard = world.take_heard();
        assert_eq!(
            heard[1..],
            [Heard::Interrupted(1, ErrorCode::InvalidRequestSeq)]
        );
        assert!(matches!(heard[0], Heard::Misbehaved(_)));
        assert!(world.io.fake.take_end(stream.stream).is_some());
        // It is tried again, and the record is not lost.
        world.sleep();
        let stream = world.opened(streaming::PRODUCE);
        world.create(&stream);
        assert_eq!(world.payloads(&stream), [(1, b"a".to_vec())]);
    }
}

#[test]
fn a_node_that_never_says_its_first_word_is_left() {
    let (mut world, _) = World::watching(config());
    world.open_producer(1).unwrap();
    let stream = world.opened(streaming::PRODUCE);
    assert_eq!(world.sleep(), Duration::from_secs(10));
    assert!(world.io.fake.take_end(stream.stream).is_some());
    world.sleep();
    world.opened(streaming::PRODUCE);
}

#[test]
fn line_06_many_are_under_way_and_answers_come_in_any_order() {
    for dialect in [Dialect::Seed, Dialect::V2024_08] {
        let config = ClientConfig {
            dialect,
            ..config()
        };
        let (mut world, _, stream) = World::producing(config);
        for payload in 0..100_u8 {
            world.produce(1, &[payload]).unwrap();
        }
        let sent = world.payloads(&stream);
        let expected = (0..100_u8).map(|payload| (i64::from(payload) + 1, vec![payload]));
        assert_eq!(sent, expected.collect::<Vec<_>>());
        // 37 and 100 have no common divisor: every request is answered.
        for at in 0..100 {
            let request_id = (at * 37) % 100 + 1;
            world.answer(&stream, result(request_id));
            assert_eq!(
                world.take_heard(),
                [Heard::Produced(1, request_id as u64, b"z".to_vec())]
            );
        }
        assert_eq!(world.client.counters().produced, 100);
    }
}

#[test]
fn after_a_loss_what_was_not_answered_is_sent_again_in_order() {
    let (mut world, watch, stream) = World::producing(config());
    for payload in [b"a", b"b", b"c", b"d"] {
        world.produce(1, payload).unwrap();
    }
    world.payloads(&stream);
    world.answer(&stream, result(2));
    world.take_heard();
    world.pass(Duration::from_secs(1));
    world.event(&stream, LOST);
    // What is given meanwhile comes behind.
    world.produce(1, b"e").unwrap();
    world.push(&watch, (1, 2), &[(CHANNEL, 3, 8, "n8:1")]);
    let stream = world.opened(streaming::PRODUCE);
    assert_eq!(opened_with(&stream).1, 3);
    world.create(&stream);
    let expected = [(1, b"a"), (2, b"c"), (3, b"d"), (4, b"e")];
    let expected = expected.map(|(id, payload)| (id, payload.to_vec()));
    assert_eq!(world.payloads(&stream), expected);
    world.take_heard();
    for request_id in 1..=4 {
        world.answer(&stream, result(request_id));
    }
    let sequences = [1, 3, 4, 5].map(|sequence| Heard::Produced(1, sequence, b"z".to_vec()));
    assert_eq!(world.take_heard(), sequences);
    assert_eq!(world.client.counters().resent, 3);
}

#[test]
fn better_16_with_dedupe_a_record_has_the_same_origin_however_often_it_is_sent() {
    let (mut world, _) = World::watching(config());
    world
        .command(ClientCommand::OpenProducer {
            key: 1,
            channel: CHANNEL,
            timeout: None,
            dedupe: Some(Dedupe {
                producer: "p-1",
                sequence: 41,
            }),
        })
        .unwrap();
    let origin = |sequence: &[u8]| {
        let properties = TYPED.iter().copied();
        let origin = [("_tp", &b"p-1"[..]), ("_ts", sequence)];
        let all = properties.chain(origin);
        all.map(|(key, value)| (key.into(), value.to_vec()))
            .collect::<Vec<_>>()
    };
    let mut stream = world.opened(streaming::PRODUCE);
    world.produce(1, b"a").unwrap();
    world.produce(1, b"b").unwrap();
    for _ in 0..3 {
        world.create(&stream);
        let expected = [
            Request::Produce(1, b"a".to_vec(), origin(b"41")),
            Request::Produce(2, b"b".to_vec(), origin(b"42")),
        ];
        assert_eq!(world.requests(&stream), expected);
        world.event(&stream, LOST);
        world.sleep();
        stream = world.opened(streaming::PRODUCE);
    }
    world.create(&stream);
    world.take_heard();
    world.answer(&stream, result(2));
    assert_eq!(world.take_heard(), [Heard::Produced(1, 42, b"z".to_vec())]);
}

#[test]
fn line_07_a_producer_waits_for_its_answers_then_closes_and_reads_to_the_end() {
    let (mut world, _, stream) = World::producing(config());
    world.produce(1, b"a").unwrap();
    world.payloads(&stream);
    world
        .command(ClientCommand::CloseProducer { key: 1 })
        .unwrap();
    assert_eq!(world.produce(1, b"b"), Err(ClientRefused::NoSuchKey));
    assert_eq!(world.requests(&stream), [], "an answer is owed");
    world.answer(&stream, result(1));
    assert_eq!(world.requests(&stream), [Request::Close]);
    assert_eq!(world.io.fake.half_closed, [stream.stream]);
    world.answer(&stream, ProduceResponse::Close);
    assert_eq!(
        world.take_heard(),
        [Heard::Produced(1, 1, b"z".to_vec())],
        "the end is owed"
    );
    world.event(&stream, StreamIn::Ended(Status::OK));
    assert_eq!(world.take_heard(), [Heard::Closed(1, None)]);
    assert!(world.io.fake.ended.is_empty());
    assert_eq!(world.client.poll_timeout(), None);
    // The number is free again.
    world.open_producer(1).unwrap();
}

#[test]
fn a_close_goes_on_over_a_loss_and_ends_in_time() {
    let (mut world, _, stream) = World::producing(config());
    world.produce(1, b"a").unwrap();
    world
        .command(ClientCommand::CloseProducer { key: 1 })
        .unwrap();
    world.event(&stream, LOST);
    world.sleep();
    let stream = world.opened(streaming::PRODUCE);
    world.create(&stream);
    assert_eq!(world.payloads(&stream), [(1, b"a".to_vec())]);
    world.take_heard();
    world.pass(Duration::from_secs(10));
    assert_eq!(
        world.take_heard(),
        [
            Heard::Failed(1, 1, ErrorCode::Unknown, false),
            Heard::Closed(1, None),
        ]
    );
    assert!(world.io.fake.take_end(stream.stream).is_some());
}

#[test]
fn a_node_that_never_ends_a_closed_stream_is_left() {
    let (mut world, _, stream) = World::producing(config());
    world
        .command(ClientCommand::CloseProducer { key: 1 })
        .unwrap();
    assert_eq!(world.requests(&stream), [Request::Close]);
    assert_eq!(world.sleep(), Duration::from_secs(10));
    assert_eq!(world.take_heard(), [Heard::Closed(1, None)]);
    assert!(world.io.fake.take_end(stream.stream).is_some());
}

#[test]
fn a_producer_that_was_never_open_closes_at_once() {
    let (mut world, _) = World::watching(config());
    world.open_producer(1).unwrap();
    let stream = world.opened(streaming::PRODUCE);
    world
        .command(ClientCommand::CloseProducer { key: 1 })
        .unwrap();
    assert_eq!(world.take_heard(), [Heard::Closed(1, None)]);
    assert!(world.io.fake.take_end(stream.stream).is_some());
}

#[test]
fn line_07_an_unsolicited_close_is_accepted_and_what_was_appended_still_counts() {
    let (mut world, watch, stream) = World::producing(config());
    for payload in [b"a", b"b"] {
        world.produce(1, payload).unwrap();
    }
    world.payloads(&stream);
    world.pass(Duration::from_secs(1));
    world.answer(&stream, ProduceResponse::Close);
    assert_eq!(world.requests(&stream), [Request::Close]);
    assert_eq!(world.io.fake.half_closed, [stream.stream]);
    // The node drains: answers come, nothing new is sent.
    world.produce(1, b"c").unwrap();
    assert_eq!(world.requests(&stream), []);
    world.answer(&stream, result(1));
    assert_eq!(world.take_heard(), [Heard::Produced(1, 1, b"z".to_vec())]);
    world.push(&watch, (1, 2), &[(CHANNEL, 3, 8, "n8:1")]);
    world.fail(&stream, ErrorCode::Unknown);
    let stream = world.opened(streaming::PRODUCE);
    world.create(&stream);
    assert_eq!(
        world.payloads(&stream),
        [(1, b"b".to_vec()), (2, b"c".to_vec())]
    );
}

/// A node that hangs, as in Milvus #53368, does not end its stream.
#[test]
fn a_stream_is_left_when_a_later_term_stands_long_enough() {
    let (mut world, watch, stream) = World::producing(config());
    world.produce(1, b"a").unwrap();
    world.payloads(&stream);
    world.pass(Duration::from_secs(5));
    world.push(&watch, (1, 2), &[(CHANNEL, 3, 8, "n8:1")]);
    world.push(&watch, (1, 3), &[(CHANNEL, 4, 9, "n9:1")]);
    world.opened_none();
    assert_eq!(world.sleep(), Duration::from_secs(1));
    assert!(world.io.fake.take_end(stream.stream).is_some());
    let stream = world.opened(streaming::PRODUCE);
    assert_eq!(opened_with(&stream).1, 4);
    world.create(&stream);
    assert_eq!(world.payloads(&stream), [(1, b"a".to_vec())]);
    assert_eq!(world.client.counters().reports, 0, "the coordinator knows");
}

#[test]
fn a_record_that_is_not_answered_in_its_time_is_given_up_and_its_late_answer_is_no_offence() {
    let (mut world, _) = World::watching(config());
    world
        .command(ClientCommand::OpenProducer {
            key: 1,
            channel: CHANNEL,
            timeout: Some(Duration::from_secs(2)),
            dedupe: None,
        })
        .unwrap();
    world.produce(1, b"a").unwrap();
    let stream = world.opened(streaming::PRODUCE);
    world.pass(Duration::from_secs(1));
    world.create(&stream);
    world.produce(1, b"b").unwrap();
    world.take_heard();
    world.pass(Duration::from_secs(2));
    assert_eq!(
        world.take_heard(),
        [
            Heard::Failed(1, 1, ErrorCode::Unknown, false),
            Heard::Failed(1, 2, ErrorCode::Unknown, false),
        ]
    );
    world.answer(&stream, result(1));
    world.answer(&stream, result(2));
    assert_eq!(world.take_heard(), []);
    world.answer(&stream, result(2));
    assert_eq!(
        world.take_heard(),
        [Heard::Misbehaved("an answer to no request")]
    );
    // One that was never sent is certainly in no log.
    world.event(&stream, LOST);
    world.io.fake.full = true;
    world.produce(1, b"c").unwrap();
    world.take_heard();
    world.pass(Duration::from_secs(2));
    assert_eq!(
        world.take_heard(),
        [Heard::Failed(1, 3, ErrorCode::Unknown, true)]
    );
}

#[test]
fn a_stream_without_room_is_gone_on_with_when_there_is_some() {
    let (mut world, _, stream) = World::producing(config());
    world.io.room = Some(2);
    for payload in [b"a", b"b", b"c", b"d"] {
        world.produce(1, payload).unwrap();
    }
    assert_eq!(world.payloads(&stream).len(), 2);
    world.io.room = Some(1);
    world.event(&stream, StreamIn::Writable);
    assert_eq!(world.payloads(&stream), [(3, b"c".to_vec())]);
    world.io.room = None;
    world.event(&stream, StreamIn::Writable);
    assert_eq!(world.payloads(&stream), [(4, b"d".to_vec())]);
}

#[test]
fn stop_closes_producers_first_and_the_watch_last() {
    let (mut world, watch, stream) = World::producing(config());
    world.produce(1, b"a").unwrap();
    world.command(ClientCommand::Stop).unwrap();
    world.payloads(&stream);
    assert_eq!(world.open_producer(2), Err(ClientRefused::Stopping));
    world.answer(&stream, result(1));
    world.event(&stream, StreamIn::Ended(Status::OK));
    assert_eq!(world.io.fake.half_closed, [stream.stream, watch.stream]);
    world.event(&watch, StreamIn::Ended(Status::OK));
    assert_eq!(
        world.take_heard(),
        [
            Heard::Produced(1, 1, b"z".to_vec()),
            Heard::Closed(1, None),
            Heard::Stopped,
        ]
    );
    assert_eq!(world.client.poll_timeout(), None);
}
