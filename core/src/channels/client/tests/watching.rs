//! The watch.

extern crate std;

use std::vec;
use std::vec::Vec;

use trefoil_proto::Decode;
use trefoil_proto::streaming::{AssignmentDiscoverRequest, AssignmentDiscoverRequestCommand};

use super::world::{CHANNEL, Heard, World, config, pushed};
use crate::channels::client::*;
use crate::channels::dialect::{Dialect, ErrorCode};
use crate::channels::golden::recorded;
use crate::method::streaming;
use crate::status::Cause;
use crate::testing::Opened;
use crate::time::Duration;

const NOT_LEADING: StreamIn<'_> = StreamIn::Ended(
    Status::new(Code::FailedPrecondition, codes::NOT_LEADING).caused_by(Cause::Peer),
);

fn world() -> (World, Opened) {
    let mut world = World::new();
    assert_eq!(world.client.poll_timeout(), None, "nobody asked");
    world.command(ClientCommand::Watch).unwrap();
    let watch = world.opened(streaming::DISCOVER);
    (world, watch)
}

#[test]
fn any_coordinator_may_lead_and_one_that_does_not_is_left_for_the_next() {
    let (mut world, mut watch) = world();
    let mut called = vec![watch.to];
    for _ in 0..2 {
        world.event(&watch, NOT_LEADING);
        let waited = world.sleep();
        assert!(waited >= Duration::from_millis(45) && waited <= Duration::from_millis(50));
        watch = world.opened(streaming::DISCOVER);
        called.push(watch.to);
    }
    called.sort();
    assert_eq!(called, [NodeId(0), NodeId(1), NodeId(2)]);
    world.push(&watch, (3, 0), &[]);
    assert_eq!(world.take_heard(), [Heard::Assignment((3, 0))]);
    assert_eq!(world.client.poll_timeout(), None, "it watches");
}

#[test]
fn better_10_coordinators_are_called_with_growing_waits_and_for_ever() {
    let (mut world, mut watch) = world();
    let started = world.now;
    let mut waits = Vec::new();
    while world.now.since(started) < Duration::from_secs(3_600) {
        world.event(&watch, NOT_LEADING);
        waits.push(world.sleep());
        watch = world.opened(streaming::DISCOVER);
    }
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(42)));
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(5)));
    assert!(
        waits[30..]
            .iter()
            .all(|wait| *wait >= Duration::from_millis(4_250))
    );
    // Three coordinators: 20 calls of each in the first minute at most.
    let ends = waits.iter().scan(Duration::ZERO, |sum, wait| {
        *sum += *wait;
        Some(*sum)
    });
    assert!(ends.filter(|end| *end < Duration::from_secs(60)).count() < 60);
}

#[test]
fn a_coordinator_that_says_nothing_is_left() {
    let (mut world, watch) = world();
    assert_eq!(world.sleep(), Duration::from_secs(10));
    assert!(world.io.fake.take_end(watch.stream).is_some());
    world.sleep();
    assert_ne!(world.opened(streaming::DISCOVER).to, watch.to);
}

#[test]
fn line_10_versions_only_grow_and_begin_below_zero() {
    let (mut world, watch) = world();
    assert_eq!(world.client.version(), (-1, -1));
    for (version, is_new) in [
        ((-1, -1), false),
        ((-1, 0), true),
        ((3, 5), true),
        ((3, 5), false),
        ((3, 4), false),
        ((2, 9), false),
        ((4, 0), true),
    ] {
        world.push(&watch, version, &[(CHANNEL, 2, 7, "n7:1")]);
        let expected = if is_new {
            vec![Heard::Assignment(version)]
        } else {
            vec![]
        };
        assert_eq!(world.take_heard(), expected, "{version:?}");
    }
    assert_eq!(world.client.place(CHANNEL), Some((2, 7, "n7:1")));
    // The assignment is whole: what is not in it is nowhere.
    world.push(&watch, (4, 1), &[]);
    assert_eq!(world.client.place(CHANNEL), None);
}

#[test]
fn better_17_a_later_leadership_counts_whoever_holds_it() {
    let (mut world, watch) = world();
    world.push(&watch, (900, 50), &[(CHANNEL, 2, 7, "n7:1")]);
    world.event(&watch, NOT_LEADING);
    world.sleep();
    let watch = world.opened(streaming::DISCOVER);
    world.push(&watch, (901, 0), &[(CHANNEL, 3, 8, "n8:1")]);
    assert_eq!(world.client.place(CHANNEL), Some((3, 8, "n8:1")));
    // One that was deposed and does not know.
    world.push(&watch, (900, 51), &[(CHANNEL, 2, 7, "n7:1")]);
    assert_eq!(world.client.place(CHANNEL), Some((3, 8, "n8:1")));
}

/// It would be listened to for ever, and say nothing that counts.
#[test]
fn a_coordinator_that_was_deposed_and_does_not_know_is_left_for_another() {
    let (mut world, watch) = world();
    world.push(&watch, (5, 0), &[]);
    world.event(&watch, NOT_LEADING);
    world.sleep();
    let behind = world.opened(streaming::DISCOVER);
    world.push(&behind, (4, 9), &[(CHANNEL, 2, 7, "n7:1")]);
    assert!(world.io.fake.take_end(behind.stream).is_some());
    world.sleep();
    let watch = world.opened(streaming::DISCOVER);
    assert_ne!(watch.to, behind.to);
    world.push(&watch, (5, 0), &[]);
    assert!(world.io.fake.take_end(watch.stream).is_none(), "the same");
    assert_eq!(world.client.place(CHANNEL), None);
    // Where there is no other, it is the best there is.
    let config = ClientConfig {
        coordinators: vec!["c1:1".into()],
        ..config()
    };
    let (mut world, watch) = World::watching(config);
    world.event(&watch, NOT_LEADING);
    world.sleep();
    let watch = world.opened(streaming::DISCOVER);
    world.push(&watch, (0, 0), &[]);
    assert!(world.io.fake.take_end(watch.stream).is_none());
}

#[test]
fn the_last_assignment_stays_while_no_coordinator_answers() {
    let (mut world, watch) = World::watching(config());
    world.event(&watch, NOT_LEADING);
    world.pass(Duration::from_secs(30));
    assert_eq!(world.client.place(CHANNEL), Some((2, 7, "n7:1")));
    world.io.fake.take_opened();
    // And is good enough to open a stream by.
    world.open_producer(1).unwrap();
    let streams = world.io.fake.take_opened();
    assert_eq!(streams[0].method, streaming::PRODUCE);
}

#[test]
fn the_recorded_pushes_are_understood() {
    let (mut world, watch) = world();
    for dialect in [Dialect::Seed, Dialect::V2024_08] {
        let empty = recorded(dialect, "AssignmentDiscoverResponse.full v(3,0) EMPTY");
        world.event(&watch, StreamIn::Frame(&empty));
        let full = recorded(dialect, "AssignmentDiscoverResponse.full v(3,5) node 7");
        world.event(&watch, StreamIn::Frame(&full));
    }
    let place = world.client.place("by-dev-rootcoord-dml_0");
    assert_eq!(place, Some((2, 7, "127.0.0.1:22222")));
    assert_eq!(
        world.take_heard(),
        [Heard::Assignment((3, 0)), Heard::Assignment((3, 5))]
    );
}

fn reports(world: &mut World, watch: &Opened) -> Vec<(std::string::String, i64, i32)> {
    let frames = world.io.fake.take_frames(watch.stream);
    let reports = frames.iter().map(|frame| {
        let request = AssignmentDiscoverRequest::parse(frame).unwrap();
        let Some(AssignmentDiscoverRequestCommand::ReportError(report)) = request.command else {
            panic!("{request:?}")
        };
        let channel = report.pchannel.unwrap();
        let code = report.err.unwrap().code.0;
        (channel.name.into(), channel.term, code)
    });
    reports.collect()
}

#[test]
fn line_11_an_error_is_reported_once_for_a_channel_and_a_term() {
    let (mut world, watch) = World::watching(config());
    for key in [1, 2, 3] {
        world.open_producer(key).unwrap();
    }
    for _ in 0..3 {
        let stream = world.opened(streaming::PRODUCE);
        world.fail(&stream, ErrorCode::UnmatchedChannelTerm);
    }
    assert_eq!(reports(&mut world, &watch), [(CHANNEL.into(), 2, 6)]);
    // They try again, and it is the same error.
    world.pass(Duration::from_secs(60));
    assert!(world.client.counters().attempts >= 6);
    for _ in 0..3 {
        let stream = world.opened(streaming::PRODUCE);
        world.fail(&stream, ErrorCode::ChannelNotExist);
    }
    assert_eq!(reports(&mut world, &watch), []);
    assert_eq!(world.client.counters().reports, 1);
}

#[test]
fn line_11_a_report_waits_for_a_coordinator_that_leads_and_for_room() {
    let (mut world, watch) = World::watching(config());
    world.open_producer(1).unwrap();
    let stream = world.opened(streaming::PRODUCE);
    world.event(&watch, NOT_LEADING);
    world.fail(&stream, ErrorCode::ChannelNotExist);
    world.sleep();
    let watch = world.opened(streaming::DISCOVER);
    assert_eq!(reports(&mut world, &watch), [], "it may not lead");
    world.io.room = Some(0);
    world.push(&watch, (1, 1), &[(CHANNEL, 2, 7, "n7:1")]);
    assert_eq!(reports(&mut world, &watch), []);
    world.io.room = None;
    world.event(&watch, StreamIn::Writable);
    assert_eq!(reports(&mut world, &watch), [(CHANNEL.into(), 2, 2)]);
}

#[test]
fn line_11_a_report_that_a_later_term_overtook_is_not_sent() {
    let (mut world, watch) = World::watching(config());
    world.open_producer(1).unwrap();
    let stream = world.opened(streaming::PRODUCE);
    world.io.room = Some(0);
    world.fail(&stream, ErrorCode::ChannelNotExist);
    world.push(&watch, (1, 2), &[(CHANNEL, 3, 8, "n8:1")]);
    world.io.room = None;
    world.event(&watch, StreamIn::Writable);
    assert_eq!(reports(&mut world, &watch), []);
}

#[test]
fn line_07_a_watch_is_closed_by_a_message_and_a_half_close_and_read_to_its_end() {
    let (mut world, watch) = World::watching(config());
    world.command(ClientCommand::Stop).unwrap();
    let close = recorded(Dialect::Seed, "AssignmentDiscoverRequest.close");
    assert_eq!(world.io.fake.take_frames(watch.stream), [close]);
    assert_eq!(world.io.fake.half_closed, [watch.stream]);
    let close = recorded(Dialect::Seed, "AssignmentDiscoverResponse.close");
    world.event(&watch, StreamIn::Frame(&close));
    assert_eq!(world.take_heard(), []);
    world.event(&watch, StreamIn::Ended(Status::OK));
    assert_eq!(world.take_heard(), [Heard::Stopped]);
    assert_eq!(world.client.poll_timeout(), None);
    assert!(world.io.fake.ended.is_empty());
    assert_eq!(
        world.command(ClientCommand::Watch),
        Err(ClientRefused::Stopping)
    );
}

#[test]
fn line_07_a_close_that_was_not_asked_for_is_accepted_and_another_is_called() {
    let (mut world, watch) = World::watching(config());
    let close = recorded(Dialect::Seed, "AssignmentDiscoverResponse.close");
    world.event(&watch, StreamIn::Frame(&close));
    assert_eq!(world.io.fake.half_closed, [watch.stream]);
    world.event(&watch, StreamIn::Ended(Status::OK));
    world.sleep();
    assert_ne!(world.opened(streaming::DISCOVER).to, watch.to);
    assert_eq!(world.client.place(CHANNEL), Some((2, 7, "n7:1")));
}

#[test]
fn line_08_answers_of_no_known_kind_are_passed_over() {
    let (mut world, watch) = World::watching(config());
    for frame in [&[][..], &[0x1a, 0], &[0x1a, 2, 1, 2]] {
        world.event(&watch, StreamIn::Frame(frame));
    }
    world.push(&watch, (1, 2), &[]);
    assert_eq!(world.take_heard(), [Heard::Assignment((1, 2))]);
}

#[test]
fn a_coordinator_that_lies_in_its_length_is_left() {
    let (mut world, watch) = World::watching(config());
    let mut frame = pushed((9, 9), &[(CHANNEL, 9, 9, "n9:1")]);
    let last = frame.len() - 9;
    frame[last] = 200;
    world.event(&watch, StreamIn::Frame(&frame));
    assert_eq!(
        world.take_heard(),
        [Heard::Misbehaved("an assignment that cannot be read")]
    );
    assert!(world.io.fake.take_end(watch.stream).is_some());
    assert_eq!(world.client.place(CHANNEL), Some((2, 7, "n7:1")));
}

#[test]
fn what_cannot_be_a_channel_or_a_node_is_passed_over() {
    let (mut world, watch) = World::watching(config());
    let long = crate::channels::golden::long(257);
    let places = [
        ("", 2, 7, "n7:1"),
        ("zero", 0, 7, "n7:1"),
        ("below", -1, 7, "n7:1"),
        ("nowhere", 2, 7, ""),
        ("far", 2, 7, &*long),
        (&*long, 2, 7, "n7:1"),
        ("twice", 3, 8, "n8:1"),
        ("twice", 2, 7, "n7:1"),
    ];
    world.push(&watch, (1, 2), &places);
    for name in ["", "zero", "below", "nowhere", "far", &long] {
        assert_eq!(world.client.place(name), None, "{name}");
    }
    assert_eq!(world.client.place("twice"), Some((3, 8, "n8:1")));
}
