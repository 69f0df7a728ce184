//! What clients are told, and what they may say.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use trefoil_proto::Encode;
use trefoil_proto::streaming::{
    AssignmentDiscoverRequest, AssignmentDiscoverRequestCommand, CloseAssignmentDiscoverRequest,
    PChannelInfo, ReportAssignmentErrorRequest, StreamingCode, StreamingError,
};

use super::super::*;
use super::world::*;
use crate::codes;
use crate::id::MethodId;
use crate::method::streaming;
use crate::status::{Code, Status};

fn encoded(message: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode_to_slice(&mut bytes).unwrap();
    bytes
}

fn report(name: &str, term: i64) -> Vec<u8> {
    let report = ReportAssignmentErrorRequest {
        pchannel: Some(PChannelInfo { name, term }),
        err: Some(StreamingError {
            code: StreamingCode(4),
            cause: "whatever it says",
        }),
    };
    encoded(&AssignmentDiscoverRequest {
        command: Some(AssignmentDiscoverRequestCommand::ReportError(report)),
    })
}

/// What a stream ended with.
fn end(world: &World, stream: StreamId) -> Option<(Code, &str)> {
    let status = world.ended.get(&stream)?;
    Some((status.code, &status.message))
}

#[test]
fn line_10_the_whole_is_pushed_at_once_also_when_it_is_empty() {
    let mut world = World::new();
    world.lead(3);
    let watcher = world.watch();
    let frames = world.pushed.remove(&watcher).unwrap();
    assert_eq!(frames, [b"\x0a\x04\x0a\x02\x08\x03"]);
    // The bytes of one channel on one node, as a client of Milvus sees them, but for the counts.
    world.up(7, "127.0.0.1:22222");
    world.create(&name(0));
    world.run(ms(100));
    let last = world.pushed[&watcher].last().unwrap();
    let node = b"\x0a\x13\x08\x07\x12\x0f127.0.0.1:22222";
    assert!(last.windows(node.len()).any(|window| window == node));
    let one = b"\x12\x1a\x0a\x16by-dev-rootcoord-dml_0\x10\x02";
    assert!(last.ends_with(one));
}

#[test]
fn line_10_only_assigned_channels_are_told_and_versions_grow() {
    let mut world = World::serving(2, 4);
    let watcher = world.watch();
    world.worker(1).mode = Mode::BlackHole;
    world.gone(2);
    world.run(Duration::from_secs(1));
    let pushes = world.pushes(watcher);
    assert_eq!(pushes[0].1.len(), 4);
    assert_eq!(pushes.last().unwrap().1.len(), 2, "those of node 1");
    assert!(pushes.windows(2).all(|two| two[0].0 < two[1].0));
    assert_eq!(world.machine.assigned(), (2, 4));
}

/// Milvus numbers by the server id of a process: of two standbys the one that started first could become leader
/// last, and what it said was ignored for ever.
#[test]
fn better_17_whoever_is_promoted_later_has_the_greater_version() {
    let mut world = World::serving_with(2, 4, |config| config.server_id = 9);
    let watcher = world.watch();
    let old = world.pushes(watcher).pop().unwrap().0;
    let mut next = World::with(world.store.clone(), |config| config.server_id = 2);
    next.workers = world.workers.clone();
    for node in 1..=2 {
        next.up(node, &address(node));
    }
    next.lead(8);
    let watcher = next.watch();
    next.run(ms(100));
    let pushes = next.pushes(watcher);
    assert_eq!((old.0, pushes[0].0), (7, (8, 0)));
    assert!(pushes[0].0 > old, "a client of the old leader accepts it");
    assert_eq!(pushes[0].1.len(), 4, "and it is the whole");
}

#[test]
fn line_11_a_report_that_is_news_places_the_channel_anew_whatever_its_code() {
    let mut world = World::serving(2, 4);
    let watcher = world.watch();
    let (channel, began) = (name(0), world.now);
    let (_, term) = world.at(&channel);
    world.say(watcher, StreamIn::Frame(&report(&channel, term)));
    assert_eq!(world.machine.assigned(), (3, 4));
    // Within this very moment it is on its way.
    world.run(Duration::ZERO);
    assert_eq!(world.view(&channel).waits, Waits::ForCatalog);
    assert!(world.run_until(ms(50), |world| world.machine.assigned().0 == 4));
    assert!(world.now.since(began) < ms(10));
    assert_eq!(world.at(&channel).1, term + 1);
    world.assert_all_assigned();
}

#[test]
fn better_08_a_hundred_thousand_stale_reports_cost_no_write_and_no_push() {
    let mut world = World::serving(2, 4);
    let watcher = world.watch();
    world.pushes(watcher);
    let (writes, version) = (world.io.writes, world.machine.version());
    let term = world.at(&name(1)).1;
    let stale = [
        report(&name(1), term - 1),
        report(&name(1), term + 1),
        report("nobody", 1),
    ];
    for at in 0..100_000 {
        world.say(watcher, StreamIn::Frame(&stale[at % 3]));
    }
    world.run(Duration::from_secs(1));
    assert_eq!(
        (world.io.writes, world.machine.version()),
        (writes, version)
    );
    assert_eq!(world.pushes(watcher), []);
    assert_eq!(world.machine.counters().reports_stale, 100_000);
    // The same again and again is news once.
    let news = report(&name(1), term);
    for _ in 0..1_000 {
        world.say(watcher, StreamIn::Frame(&news));
    }
    world.run(Duration::from_secs(1));
    for _ in 0..1_000 {
        world.say(watcher, StreamIn::Frame(&news));
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.io.writes, writes + 2);
    assert_eq!(world.machine.counters().reports, 1);
}

/// Milvus panics on an empty name, and on a term that is not positive.
#[test]
fn better_14_a_report_that_makes_no_sense_ends_its_own_stream_only() {
    let nothing =
        AssignmentDiscoverRequestCommand::ReportError(ReportAssignmentErrorRequest::default());
    let nothing = encoded(&AssignmentDiscoverRequest {
        command: Some(nothing),
    });
    let long = "x".repeat(257);
    let frames = [
        (report("", 2), codes::BAD_REPORT),
        (report(&name(0), 0), codes::BAD_REPORT),
        (report(&name(0), -1), codes::BAD_REPORT),
        (report(&name(0), i64::MIN), codes::BAD_REPORT),
        (report(&long, 2), codes::BAD_REPORT),
        (nothing, codes::BAD_REPORT),
        (vec![255; 9], codes::MALFORMED),
    ];
    let mut world = World::serving(1, 1);
    let other = world.watch();
    for (frame, why) in frames {
        let watcher = world.watch();
        world.say(watcher, StreamIn::Frame(&frame));
        assert_eq!(end(&world, watcher), Some((Code::InvalidArgument, why)));
    }
    assert_eq!(end(&world, other), None);
    assert_eq!(world.machine.assigned(), (1, 1));
}

#[test]
fn line_07_close_is_a_hint_and_the_half_close_is_what_counts() {
    let mut world = World::serving(1, 1);
    let watcher = world.watch();
    world.pushes(watcher);
    let close = AssignmentDiscoverRequestCommand::Close(CloseAssignmentDiscoverRequest {});
    let close = AssignmentDiscoverRequest {
        command: Some(close),
    };
    world.say(watcher, StreamIn::Frame(&encoded(&close)));
    assert_eq!(
        (end(&world, watcher), world.pushed.get(&watcher)),
        (None, None)
    );
    world.say(watcher, StreamIn::HalfClosed);
    assert_eq!(
        world.pushed.remove(&watcher),
        Some(vec![b"\x12\x00".to_vec()])
    );
    assert_eq!(end(&world, watcher), Some((Code::Ok, "")));
}

#[test]
fn line_07_a_stream_without_room_is_closed_when_it_has_some() {
    let mut world = World::serving(1, 1);
    let watcher = world.watch();
    world.pushes(watcher);
    world.io.full.insert(watcher);
    world.say(watcher, StreamIn::HalfClosed);
    assert_eq!(end(&world, watcher), None);
    world.io.full.clear();
    world.say(watcher, StreamIn::Writable);
    assert_eq!(
        world.pushed.remove(&watcher),
        Some(vec![b"\x12\x00".to_vec()])
    );
    assert_eq!(end(&world, watcher), Some((Code::Ok, "")));
}

#[test]
fn line_08_what_is_not_known_on_a_stream_is_skipped() {
    let mut world = World::serving(1, 1);
    let watcher = world.watch();
    for frame in [&b""[..], b"\x1a\x00", b"\x78\x01"] {
        world.say(watcher, StreamIn::Frame(frame));
    }
    world.run(ms(100));
    assert_eq!(end(&world, watcher), None);
}

#[test]
fn better_09_the_failover_of_a_thousand_of_ten_thousand_channels_is_told_in_at_most_three_pushes() {
    let mut world = World::serving(10, 10_000);
    let (watcher, slow) = (world.watch(), world.watch());
    for worker in world.workers.values_mut() {
        worker.open = ms(120);
    }
    world.pushes(watcher);
    world.pushes(slow);
    world.io.full.insert(slow);
    world.gone(4);
    world.run(Duration::from_secs(3));
    world.assert_all_assigned();
    let pushes = world.pushes(watcher);
    assert!(pushes.len() <= 3, "{} pushes", pushes.len());
    assert_eq!(pushes.last().unwrap().1, world.placement());
    // Who does not read is sent the latest when he does, and nothing of what lay between.
    assert_eq!(world.pushes(slow), []);
    world.io.full.clear();
    world.say(slow, StreamIn::Writable);
    let late = world.pushes(slow);
    assert_eq!(late.len(), 1);
    assert_eq!(late[0], pushes.last().unwrap().clone());
}

#[test]
fn better_09_a_push_takes_some_thirty_bytes_a_channel() {
    for (channels, bytes) in [
        (16, 749),
        (1_024, 31_900),
        (10_000, 319_000),
        (100_000, 3_290_000),
    ] {
        let mut world = World::serving(3, channels);
        let watcher = world.watch();
        let frame = &world.pushed[&watcher][0];
        assert!(frame.len() <= bytes, "{} bytes of {channels}", frame.len());
        assert_eq!(read_push(frame).1.len(), channels);
    }
}

#[test]
fn changes_that_cancel_each_other_out_are_not_told() {
    let mut world = World::serving(1, 2);
    let watcher = world.watch();
    world.pushes(watcher);
    world.create("without a place");
    // It is assigned at a term that nobody was told of before: that is news.
    world.run(ms(500));
    assert_eq!(world.pushes(watcher).len(), 1);
    let version = world.machine.version();
    world.run(Duration::from_secs(60));
    assert_eq!(world.machine.version(), version);
}

#[test]
fn who_does_not_lead_says_so_and_who_does_if_it_knows() {
    let mut world = World::new();
    let watcher = world.watch();
    let refused = end(&world, watcher).unwrap();
    assert_eq!(refused, (Code::FailedPrecondition, codes::NOT_COORDINATOR));
    let leads = CoordinatorCommand::LeaderIs {
        address: Some("c:7001"),
    };
    world.command(leads).unwrap();
    let watcher = world.watch();
    let (_, cause) = end(&world, watcher).unwrap();
    assert!(cause.starts_with("TF-L20") && cause.ends_with("the coordinator is at c:7001"));
    // Who watches when the leadership ends is told the same.
    world.lead(7);
    let watcher = world.watch();
    assert_eq!(end(&world, watcher), None);
    world.command(CoordinatorCommand::StepDown).unwrap();
    assert_eq!(
        end(&world, watcher),
        Some((Code::FailedPrecondition, codes::NOT_COORDINATOR))
    );
}

#[test]
fn no_more_watch_than_may_and_who_goes_makes_room() {
    let mut world = World::serving_with(1, 1, |config| config.watchers_max = 2);
    let (first, _) = (world.watch(), world.watch());
    let third = world.watch();
    assert_eq!(
        end(&world, third),
        Some((Code::Unavailable, codes::COORDINATOR_FULL))
    );
    world.say(first, StreamIn::Ended(Status::OK));
    let fourth = world.watch();
    assert_eq!(end(&world, fourth), None);
    assert_eq!(world.pushes(fourth).len(), 1);
    // What is heard of a stream that was refused or is gone changes nothing.
    world.watchers.insert(first, tag_of(Kind::Watcher, 0, 0));
    world.say(first, StreamIn::HalfClosed);
    assert_eq!(end(&world, fourth), None);
}

#[test]
fn line_19_whoever_asks_is_told_how_the_coordinator_is() {
    let asked = |world: &mut World| {
        let stream = world.accept(streaming::COORD_STATES);
        world.say(stream, StreamIn::Frame(&[]));
        assert_eq!(end(world, stream), Some((Code::Ok, "")));
        world.pushed.remove(&stream).unwrap().remove(0)
    };
    let states = |state: u8| {
        let mut bytes = b"\x0a\x14\x08\x07\x12\x0estreamingcoord\x18\x00\x1a\x00".to_vec();
        bytes[21] = state;
        bytes
    };
    let mut world = World::with(crate::memory::MemoryStore::new(), |config| {
        config.server_id = 7;
    });
    assert_eq!(asked(&mut world), states(3), "standing by");
    world.lead(7);
    assert_eq!(asked(&mut world), states(1), "healthy");
}

#[test]
fn other_methods_are_not_taken() {
    let mut world = World::new();
    let stream = world.accept(MethodId(63));
    assert!(world.io.fake.adopted.is_empty() && end(&world, stream).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    /// Whatever a client sends ends at most its own stream.
    #[test]
    fn better_14_any_bytes_are_borne(frames in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            ("[a-z]{0,3}", any::<i64>()).prop_map(|(name, term)| report(&name, term)),
        ],
        1..8,
    )) {
        let mut world = World::new();
        world.lead(7);
        let (watcher, other) = (world.watch(), world.watch());
        for frame in frames {
            if world.watchers.contains_key(&watcher) {
                world.say(watcher, StreamIn::Frame(&frame));
            }
        }
        prop_assert_eq!(end(&world, other), None);
        prop_assert_eq!(world.machine.assigned(), (0, 0));
        let nothing: BTreeMap<_, _> = BTreeMap::new();
        prop_assert_eq!(world.pushes(other), vec![((7, 0), nothing)]);
    }
}
