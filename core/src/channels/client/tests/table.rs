//! Section 1.10: what each failure is answered with.

extern crate std;

use std::vec;

use trefoil_proto::Encode;

use super::world::{CHANNEL, Heard, World, config};
use crate::channels::client::*;
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::failure::Failure;
use crate::channels::messages::ProduceResponse;
use crate::channels::open::Policy;
use crate::method::streaming;
use crate::status::Cause;
use crate::time::Duration;

const REPORTED: [ErrorCode; 3] = [
    ErrorCode::UnmatchedChannelTerm,
    ErrorCode::ChannelNotExist,
    ErrorCode::ChannelFenced,
];

fn every_code() -> impl Iterator<Item = (Dialect, ErrorCode)> {
    let seed = ErrorCode::ALL.map(|code| (Dialect::Seed, code));
    let august = ErrorCode::ALL.map(|code| (Dialect::V2024_08, code));
    // Two codes are unknown to the later dialect.
    let august = august
        .into_iter()
        .filter(|(_, code)| !matches!(code, ErrorCode::ChannelExist | ErrorCode::Eof));
    seed.into_iter().chain(august)
}

fn reports(world: &World) -> usize {
    world.client.counters().reports as usize
}

#[test]
fn line_15_a_stream_that_is_refused_is_reported_or_not_and_opened_again_later() {
    for (dialect, code) in every_code() {
        let config = ClientConfig {
            dialect,
            ..config()
        };
        for method in [streaming::PRODUCE, streaming::CONSUME] {
            let (mut world, _) = World::watching(config.clone());
            if method == streaming::PRODUCE {
                world.open_producer(1).unwrap();
            } else {
                world.open_consumer(1, Policy::All, &[]).unwrap();
            }
            let stream = world.opened(method);
            world.fail(&stream, code);
            assert_eq!(world.take_heard(), [Heard::Interrupted(1, code)]);
            assert_eq!(
                reports(&world),
                usize::from(REPORTED.contains(&code)),
                "{code:?}"
            );
            // The same term again, after the back-off.
            world.opened_none();
            let waited = world.sleep();
            assert!(waited >= Duration::from_millis(90) && waited <= Duration::from_millis(100));
            world.opened(method);
        }
    }
}

#[test]
fn line_15_a_larger_term_ends_the_wait_and_the_same_does_not() {
    for (dialect, code) in every_code() {
        let config = ClientConfig {
            dialect,
            ..config()
        };
        let (mut world, watch, stream) = World::producing(config);
        world.pass(Duration::from_millis(500));
        world.fail(&stream, code);
        world.push(&watch, (1, 2), &[(CHANNEL, 2, 7, "n7:1")]);
        world.opened_none();
        world.push(&watch, (1, 3), &[]);
        world.opened_none();
        world.push(&watch, (1, 4), &[(CHANNEL, 3, 8, "n8:1")]);
        let stream = world.opened(streaming::PRODUCE);
        let (_, term, server_id, _) = super::world::opened_with(&stream);
        assert_eq!((term, server_id), (3, Some(8)));
    }
}

#[test]
fn line_15_canceled_and_deadline_return_to_the_caller() {
    for code in [Code::Cancelled, Code::DeadlineExceeded] {
        let end = StreamIn::Ended(Status::new(code, "enough").caused_by(Cause::Peer));
        let (mut world, _, stream) = World::producing(config());
        world.produce(1, b"a").unwrap();
        world.event(&stream, end);
        assert_eq!(
            world.take_heard(),
            [
                Heard::Interrupted(1, ErrorCode::Unknown),
                Heard::Failed(1, 1, ErrorCode::Unknown, false),
                Heard::Closed(1, Some(ErrorCode::Unknown)),
            ]
        );
        assert_eq!(
            world.produce(1, b"b"),
            Err(ClientRefused::NoSuchKey),
            "it is closed"
        );
        let (mut world, _, stream) = World::consuming(config(), Policy::All);
        world.event(&stream, end);
        assert_eq!(
            world.take_heard(),
            [
                Heard::Interrupted(1, ErrorCode::Unknown),
                Heard::Closed(1, Some(ErrorCode::Unknown)),
            ]
        );
        assert_eq!(world.client.poll_timeout(), None);
    }
}

#[test]
fn line_09_details_come_before_the_code_of_grpc() {
    // The details say that the node stops; whoever carried them says Cancelled.
    let (mut world, _, stream) = World::producing(config());
    let mut room = crate::channels::failure::StatusRoom::new();
    let failure = Failure::new(ErrorCode::OnShutdown, "stops");
    let status = failure.status(Dialect::Seed, &mut room);
    let status = Status {
        code: Code::Cancelled,
        ..status
    };
    world.event(&stream, StreamIn::Ended(status));
    assert_eq!(
        world.take_heard(),
        [Heard::Interrupted(1, ErrorCode::OnShutdown)]
    );
    world.sleep();
    world.opened(streaming::PRODUCE);
}

#[test]
fn a_node_that_cannot_be_reached_is_waited_for_and_not_reported() {
    for cause in [Cause::Refused, Cause::Lost, Cause::Local] {
        let (mut world, _, stream) = World::producing(config());
        let lost = Status::new(Code::Unavailable, codes::UNREACHABLE).caused_by(cause);
        world.event(&stream, StreamIn::Ended(lost));
        assert_eq!(
            world.take_heard(),
            [Heard::Interrupted(1, ErrorCode::Unknown)]
        );
        assert_eq!(reports(&world), 0);
        world.sleep();
        world.opened(streaming::PRODUCE);
    }
}

#[test]
fn a_channel_that_is_nowhere_is_waited_for() {
    let mut world = World::new();
    world.open_producer(1).unwrap();
    let watch = world.opened(streaming::DISCOVER);
    world.push(&watch, (1, 1), &[]);
    assert_eq!(world.client.poll_timeout(), None, "nothing to try");
    world.push(&watch, (1, 2), &[(CHANNEL, 2, 7, "n7:1")]);
    world.opened(streaming::PRODUCE);
    assert_eq!(reports(&world), 0);
}

/// Inside `Produce()`.
#[test]
fn line_06_what_is_refused_of_one_record_is_sent_again_after_a_wait_or_given_up() {
    for (dialect, code) in every_code() {
        let config = ClientConfig {
            dialect,
            ..config()
        };
        let (mut world, _, stream) = World::producing(config);
        world.produce(1, b"a").unwrap();
        world.produce(1, b"b").unwrap();
        world.payloads(&stream);
        let failure = Failure::new(code, "why");
        world.answer(
            &stream,
            ProduceResponse::Error {
                request_id: 1,
                failure,
            },
        );
        if REPORTED.contains(&code) {
            // No record of this term will do better: the stream is left, all are kept.
            assert_eq!(world.take_heard(), [Heard::Interrupted(1, code)]);
            assert!(world.io.fake.take_end(stream.stream).is_some());
            assert_eq!(reports(&world), 1);
            world.sleep();
            let stream = world.opened(streaming::PRODUCE);
            world.create(&stream);
            assert_eq!(
                world.payloads(&stream),
                [(1, b"a".to_vec()), (2, b"b".to_vec())]
            );
            continue;
        }
        assert_eq!(reports(&world), 0);
        if code == ErrorCode::InvalidArgument {
            assert_eq!(world.take_heard(), [Heard::Failed(1, 1, code, true)]);
            assert_eq!(world.client.poll_timeout(), None);
            continue;
        }
        assert_eq!(world.take_heard(), []);
        assert_eq!(world.payloads(&stream), vec![]);
        let waited = world.sleep();
        assert!(waited >= Duration::from_millis(90));
        assert_eq!(
            world.payloads(&stream),
            [(3, b"a".to_vec())],
            "on the same stream, by a new number"
        );
    }
}

/// Milvus of 2024 keeps such a stream open, and its client spins.
#[test]
fn better_10_a_record_that_is_always_refused_is_no_hot_loop() {
    let (mut world, _, stream) = World::producing(config());
    world.produce(1, b"a").unwrap();
    let failure = Failure::new(ErrorCode::OnShutdown, "stops");
    let started = world.now;
    let mut sends = 0;
    while world.now.since(started) < Duration::from_secs(600) {
        for (request_id, _) in world.payloads(&stream) {
            sends += 1;
            let refusal = ProduceResponse::Error {
                request_id,
                failure,
            };
            world.answer(&stream, refusal);
        }
        world.sleep();
    }
    assert!((60..80).contains(&sends), "{sends}");
}

#[test]
fn line_09_a_report_is_encoded_as_recorded() {
    let report = trefoil_proto::streaming::ReportAssignmentErrorRequest {
        pchannel: Some(trefoil_proto::streaming::PChannelInfo {
            name: "by-dev-rootcoord-dml_0",
            term: 2,
        }),
        err: Some(Failure::new(ErrorCode::UnmatchedChannelTerm, "x").error(Dialect::Seed)),
    };
    let recorded = crate::channels::golden::recorded(
        Dialect::Seed,
        "AssignmentDiscoverRequest.report_error(UNMATCHED_TERM)",
    );
    let name = "by-dev-rootcoord-dml_0";
    let mut world = World::new();
    world
        .command(ClientCommand::OpenProducer {
            key: 1,
            channel: name,
            timeout: None,
            dedupe: None,
        })
        .unwrap();
    let watch = world.opened(streaming::DISCOVER);
    world.push(&watch, (1, 1), &[(name, 2, 7, "n7:1")]);
    let stream = world.opened(streaming::PRODUCE);
    let mut room = crate::channels::failure::StatusRoom::new();
    let failure = Failure::new(ErrorCode::UnmatchedChannelTerm, "x");
    let status = failure.status(Dialect::Seed, &mut room);
    world.event(&stream, StreamIn::Ended(status));
    let frames = world.io.fake.take_frames(watch.stream);
    assert_eq!(frames, [recorded]);
    assert_eq!(frames[0].len(), report.encoded_len() + 2);
}
