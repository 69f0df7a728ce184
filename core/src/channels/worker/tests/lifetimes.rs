use alloc::format;
use alloc::string::String;

use trefoil_proto::Decode;
use trefoil_proto::milvus::GetComponentStatesRequest;
use trefoil_proto::streaming::{
    StreamingNodeManagerCollectStatusRequest, StreamingNodeManagerCollectStatusResponse,
};

use super::world::{CHANNEL, Do, World, config};
use crate::channels::dialect::ErrorCode;
use crate::channels::worker::*;
use crate::header::{Header, HeaderWriter};
use crate::memory::MemoryStore;
use crate::storage::OwnerId;
use crate::stream::StreamIn;
use crate::time::Duration;

#[test]
fn line_14_a_hundred_duplicates_join_the_opening_and_one_more_is_ignored() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let joined: Vec<_> = (0..100).map(|_| world.assign(2)).collect();
    assert_eq!(world.io.ops.len(), 1, "one fence for all");
    assert!(joined.iter().all(|call| world.end_of(*call).is_none()));
    world.run();
    assert!(joined.iter().all(|call| world.end_of(*call) == Some(None)));
    assert_eq!(world.worker.counters().opened, 1);
    let again = world.assign(2);
    assert_eq!(world.end_of(again), Some(Some(ErrorCode::IgnoredOperation)));
    assert!(world.io.ended[&again].2.starts_with("TF-L07"));
    let lower = world.assign(1);
    assert!(world.io.ended[&lower].2.starts_with("TF-L08"));
}

#[test]
fn line_14_an_opening_goes_on_when_its_caller_is_gone() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let call = world.assign(2);
    world.lose(call);
    // The store takes ten minutes.
    world.pass(Duration::from_secs(600));
    let joined = world.assign(2);
    assert_eq!(world.io.ops.len(), 1);
    world.run();
    assert_eq!(world.end_of(joined), Some(None));
    assert_eq!(world.worker.channel(CHANNEL).unwrap().term, 2);
    // It could be otherwise.
    let mut planted = World::new(&MemoryStore::new(), 1);
    planted.worker.plant(WorkerPlant::CallerCancels);
    let call = planted.assign(2);
    planted.lose(call);
    let burnt = planted.assign(2);
    assert!(planted.io.ended[&burnt].2.starts_with("TF-L08"));
}

#[test]
fn line_14_a_waiter_that_is_overtaken_is_told_at_once() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let (first, second) = (world.assign(2), world.assign(3));
    let unmatched = Some(Some(ErrorCode::UnmatchedChannelTerm));
    assert_eq!(world.end_of(first), unmatched);
    let removal = world.remove(3);
    assert_eq!(world.end_of(second), unmatched);
    assert_eq!(world.end_of(removal), Some(None), "nothing was open");
    world.run();
    assert_eq!(
        world.worker.counters().opened,
        0,
        "what is late opens nothing"
    );
}

#[test]
fn line_14_to_remove_what_is_unknown_is_well_and_keeps_no_name() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let call = world.remove(9);
    assert_eq!(world.end_of(call), Some(None));
    assert_eq!(world.take_frames(call).len(), 1);
    assert_eq!(world.worker.channels().count(), 0);
    let producer = world.producer(9);
    assert_eq!(
        world.end_of(producer),
        Some(Some(ErrorCode::ChannelNotExist))
    );
    assert_eq!(world.worker.channels().count(), 0);
    for (name, term) in [("", 2), ("x", 0), (&*"x".repeat(257), 2)] {
        let call = world.assign_named(name, term);
        assert_eq!(world.end_of(call), Some(Some(ErrorCode::InvalidArgument)));
    }
    assert_eq!(world.worker.channels().count(), 0);
}

#[test]
fn an_assign_that_its_removal_overtook_opens_nothing() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let removal = world.remove(4);
    assert_eq!(world.end_of(removal), Some(None));
    for term in [3, 4] {
        let late = world.assign(term);
        assert!(world.io.ended[&late].2.starts_with("TF-L08"), "{term}");
    }
    assert_eq!(world.worker.channels().count(), 0);
    world.run();
    assert_eq!(world.worker.counters().opened, 0);
    world.open(5);
    assert_eq!(world.worker.counters().opened, 1);
}

#[test]
fn line_14_a_removal_waits_for_what_is_under_way() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let producer = world.producer(2);
    world.send(producer, 1, b"x");
    let (removal, again) = (world.remove(2), world.remove(2));
    assert_eq!((world.end_of(removal), world.end_of(again)), (None, None));
    world.run();
    assert_eq!(world.end_of(removal), Some(None));
    assert_eq!(world.end_of(again), Some(None));
    let late = world.remove(2);
    assert!(world.io.ended[&late].2.starts_with("TF-L08"));
    let reopened = world.assign(2);
    assert!(world.io.ended[&reopened].2.starts_with("TF-L08"));
}

#[test]
fn line_14_a_higher_term_closes_the_lower_first() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let producer = world.producer(2);
    world.send(producer, 1, b"x");
    let call = world.assign(5);
    assert_eq!(world.io.ops.len(), 1, "only the append");
    world.run();
    assert_eq!(world.end_of(call), Some(None));
    assert!(world.end_of(producer).is_some());
    let terms: Vec<u64> = world.log().iter().map(|(_, record)| record.term).collect();
    assert_eq!(terms, [2, 2, 5]);
    assert_eq!(
        world.events,
        [
            format!("ChannelOpened {{ channel: {CHANNEL:?}, term: 2 }}"),
            format!("ChannelClosed {{ channel: {CHANNEL:?}, term: 2, by_force: false }}"),
            format!("ChannelOpened {{ channel: {CHANNEL:?}, term: 5 }}"),
        ]
    );
}

#[test]
fn line_04_another_node_and_another_start_of_it_are_not_meant() {
    let mut world = World::new(&MemoryStore::new(), 7);
    for method in [
        streaming::ASSIGN,
        streaming::REMOVE,
        streaming::COLLECT_STATUS,
    ] {
        let mut room = [0; 64];
        let mut header = HeaderWriter::new(&mut room);
        header.push("serverid", b"6").unwrap();
        let call = world.accept(method, header.finish());
        assert_eq!(world.end_of(call), Some(Some(ErrorCode::ChannelNotExist)));
        assert!(world.io.ended[&call].2.starts_with("TF-L06"));
    }
}

#[test]
fn line_19_the_node_says_how_it_is() {
    let mut world = World::new(&MemoryStore::new(), 7);
    let call = world.call(streaming::NODE_STATES, &GetComponentStatesRequest {});
    let frame = &world.take_frames(call)[0];
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0a130807120d73747265616d696e676e6f646518011a00");
    world.command(WorkerCommand::Stop).unwrap();
    let call = world.call(streaming::NODE_STATES, &GetComponentStatesRequest {});
    let frame = &world.take_frames(call)[0];
    assert_eq!(frame[frame.len() - 3], 4, "stopping");
    let call = world.call(
        streaming::COLLECT_STATUS,
        &StreamingNodeManagerCollectStatusRequest {},
    );
    let frame = &world.take_frames(call)[0];
    let status = StreamingNodeManagerCollectStatusResponse::parse(frame).unwrap();
    assert!(status.balance_attributes.is_some());
}

#[test]
fn a_call_without_a_message_is_refused() {
    let mut world = World::new(&MemoryStore::new(), 1);
    for method in [streaming::ASSIGN, streaming::NODE_STATES] {
        let call = world.accept(method, Header::EMPTY);
        world.hear(call, StreamIn::HalfClosed);
        assert_eq!(world.end_of(call), Some(Some(ErrorCode::InvalidArgument)));
        assert!(world.io.ended[&call].2.starts_with("TF-C10"));
    }
}

#[test]
fn a_node_that_stops_takes_nothing_and_gives_up_what_it_has() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let before = world.producer(2);
    world.command(WorkerCommand::Stop).unwrap();
    assert!(world.worker.is_stopping());
    let shutdown = Some(Some(ErrorCode::OnShutdown));
    let (call, producer) = (world.assign(3), world.producer(2));
    assert_eq!(
        (world.end_of(call), world.end_of(producer)),
        (shutdown, shutdown)
    );
    world.send(before, 1, b"still");
    let removal = world.remove(2);
    world.run();
    assert_eq!(world.end_of(removal), Some(None));
    assert_eq!(world.worker.counters().appended, 1);
}

#[test]
fn a_term_of_another_owner_is_not_opened_a_second_time() {
    let store = MemoryStore::new();
    let (mut first, mut second) = (World::new(&store, 1), World::new(&store, 2));
    first.open(2);
    let call = second.assign(2);
    second.run();
    assert_eq!(second.end_of(call), Some(Some(ErrorCode::ChannelFenced)));
    assert_eq!(
        second.worker.channel(CHANNEL).unwrap().state,
        ChannelState::Closed
    );
    let again = second.assign(2);
    assert!(second.io.ended[&again].2.starts_with("TF-L08"), "for good");
    let producer = first.producer(2);
    first.send(producer, 1, b"x");
    first.run();
    assert_eq!(first.worker.counters().appended, 1);
}

#[test]
fn a_term_opens_above_the_ticks_of_all_before_whatever_the_clocks_say() {
    let store = MemoryStore::new();
    let (mut ahead, mut behind) = (World::new(&store, 1), World::new(&store, 2));
    ahead.wall(1_800_000_000_000 + 30_000);
    behind.wall(1_800_000_000_000);
    ahead.open(2);
    let producer = ahead.producer(2);
    for id in 0..5 {
        ahead.send(producer, id, b"x");
    }
    ahead.run();
    behind.open(3);
    let log = behind.log();
    assert_eq!(log.len(), 7);
    assert!(log.is_sorted_by(|(_, a), (_, b)| a.tick < b.tick));
    assert!(log[0].1.tick >> 18 == 1_800_000_030_000);
}

#[test]
fn an_opening_lasts_as_long_as_the_store_does_not_answer() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let call = world.assign(2);
    let mut outcomes = 0;
    for how in [Do::Lose, Do::Keep].into_iter().cycle().take(40) {
        while !world.do_one(how) {
            world.pass(Duration::from_millis(500));
        }
        outcomes += 1;
    }
    assert_eq!((world.end_of(call), outcomes), (None, 40));
    world.pass(Duration::from_secs(2));
    world.run();
    assert_eq!(world.end_of(call), Some(None));
    assert_eq!(
        world.worker.channel(CHANNEL).unwrap().term,
        2,
        "no term was burnt"
    );
}

#[test]
fn places_are_used_again_when_all_are_taken_and_then_it_is_busy() {
    let store = MemoryStore::new();
    let mut world = World::with(
        &store,
        WorkerConfig {
            channels_max: 2,
            ..config(1)
        },
    );
    world.open(2);
    let other = world.assign_named("other", 2);
    world.run();
    let third = world.assign_named("third", 2);
    assert_eq!(world.end_of(other), Some(None));
    assert_eq!(world.end_of(third), Some(Some(ErrorCode::Inner)));
    let removal = world.remove(2);
    assert_eq!(world.end_of(removal), Some(None));
    let third = world.assign_named("third", 2);
    world.run();
    assert_eq!(world.end_of(third), Some(None));
    assert!(world.worker.channel(CHANNEL).is_none());
    assert_eq!(world.worker.channels().count(), 2);
    assert_eq!(world.worker.config().owner, OwnerId(1));
}

#[test]
fn a_close_waits_for_what_is_being_written_and_for_nobody_who_left() {
    for leaves_first in [true, false] {
        let mut world = World::new(&MemoryStore::new(), 1);
        world.open(2);
        let producer = world.producer(2);
        world.send(producer, 1, b"on its way");
        if leaves_first {
            world.lose(producer);
        }
        let removal = world.remove(2);
        if !leaves_first {
            world.lose(producer);
        }
        assert_eq!(world.end_of(removal), None);
        world.run();
        assert_eq!(world.end_of(removal), Some(None), "{leaves_first}");
        assert_eq!(world.worker.counters().forced, 0);
    }
}

#[test]
fn a_close_ends_by_force_when_its_time_is_up() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let (producer, idle) = (world.producer(2), world.producer(2));
    world.send(producer, 1, b"never done");
    let removal = world.remove(2);
    assert_eq!(world.end_of(idle), Some(Some(ErrorCode::ChannelNotExist)));
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.end_of(removal), None);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.end_of(removal), Some(None));
    let said = world.said(producer);
    assert!(
        matches!(&said[1], super::world::Said::Failed(1, ErrorCode::Inner, cause)
        if cause.starts_with("TF-L15"))
    );
    assert_eq!(world.worker.counters().forced, 1);
    assert!(world.events.last().unwrap().contains("by_force: true"));
    // What the store says later is nobody's.
    world.run();
    world.open(3);
    world.hear(producer, StreamIn::HalfClosed);
}
