//! What the store does not say, and what it says of others.

use super::world::{Asked, CHANNEL, Do, Said, World, config};
use crate::channels::dialect::ErrorCode;
use crate::channels::open::Policy;
use crate::channels::worker::*;
use crate::memory::MemoryStore;
use crate::storage::Op;
use crate::time::Duration;

fn not_appended(id: i64) -> Said {
    Said::Failed(id, ErrorCode::Inner, codes::NOT_APPENDED.into())
}

#[test]
fn a_zombie_appends_nothing_once_its_successor_is_open() {
    let store = MemoryStore::new();
    let (mut zombie, mut successor) = (World::new(&store, 1), World::new(&store, 2));
    zombie.open(2);
    let producer = zombie.producer(2);
    zombie.send(producer, 1, b"in time");
    zombie.run();
    // These are on their way to the log while the successor opens.
    for id in 2..5 {
        zombie.send(producer, id, b"too late");
    }
    let consumer = zombie.consumer(2, Policy::All, &[]);
    successor.open(3);
    zombie.send(producer, 5, b"too late");
    zombie.run();
    let said = zombie.said(producer);
    assert_eq!(said[1], Said::At(1, 1));
    for (said, id) in said[2..6].iter().zip(2..) {
        assert!(matches!(said, Said::Failed(at, ErrorCode::ChannelFenced, _) if *at == id));
    }
    assert_eq!(said[6..], [Said::Close]);
    let fenced = Some(Some(ErrorCode::ChannelFenced));
    assert_eq!(zombie.end_of(producer), fenced);
    assert_eq!(zombie.end_of(consumer), fenced);
    let terms: Vec<u64> = successor
        .log()
        .iter()
        .map(|(_, record)| record.term)
        .collect();
    assert_eq!(terms, [2, 2, 3]);
    // It is over at that term, whoever asks.
    let again = zombie.assign(2);
    assert_eq!(
        zombie.end_of(again),
        Some(Some(ErrorCode::IgnoredOperation))
    );
    let other = zombie.producer(2);
    assert_eq!(zombie.end_of(other), Some(Some(ErrorCode::ChannelNotExist)));
    assert!(zombie.events.iter().any(|event| event.contains("Fenced")));
    assert_eq!(zombie.worker.counters().fenced, 1);
}

#[test]
fn after_an_unknown_outcome_nothing_is_appended_before_the_log_was_looked_at() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let producer = world.producer(2);
    for id in 1..=4 {
        world.send(producer, id, &[id as u8]);
    }
    world.do_one(Do::It);
    // The second was written, the third was not, the fourth cannot be.
    world.do_one(Do::Keep);
    world.send(producer, 5, b"5");
    assert_eq!(world.io.ops.len(), 2, "what comes now waits");
    world.do_one(Do::Lose);
    assert_eq!(
        world.worker.channel(CHANNEL).unwrap().state,
        ChannelState::Recovering
    );
    world.do_one(Do::It);
    assert_eq!(world.io.ops.len(), 1);
    assert!(!world.io.ops[0].1.is_append(), "it looks");
    world.do_one(Do::Lose);
    world.pass(Duration::from_millis(10));
    world.run();
    let said = world.said(producer);
    assert_eq!(said[1], Said::At(1, 1));
    assert!(said.contains(&Said::At(2, 2)));
    assert!(said.contains(&not_appended(3)) && said.contains(&not_appended(4)));
    assert!(said.contains(&Said::At(5, 3)));
    assert_eq!(said.len(), 6);
    assert_eq!(world.worker.counters().recoveries, 1);
    let consumer = world.consumer(2, Policy::All, &[]);
    world.run();
    assert_eq!(world.payloads(consumer), [&[1_u8][..], &[2], b"5"]);
}

#[test]
fn an_unknown_outcome_under_anothers_fence_is_found_and_then_it_is_over() {
    for kept in [Do::Keep, Do::Lose] {
        let store = MemoryStore::new();
        let (mut first, mut second) = (World::new(&store, 1), World::new(&store, 2));
        first.open(2);
        let producer = first.producer(2);
        first.send(producer, 1, b"x");
        first.do_one(kept);
        second.open(3);
        first.run();
        let said = first.said(producer);
        match kept {
            Do::Keep => assert_eq!(said[1], Said::At(1, 1), "it is there"),
            Do::Lose | Do::It => {
                assert!(matches!(
                    said[1],
                    Said::Failed(1, ErrorCode::ChannelFenced, _)
                ));
            }
        }
        assert_eq!(said[2], Said::Close);
        assert_eq!(first.end_of(producer), Some(Some(ErrorCode::ChannelFenced)));
    }
}

#[test]
fn a_channel_is_not_closed_before_it_is_known_what_was_written() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let producer = world.producer(2);
    world.send(producer, 1, b"x");
    world.send(producer, 2, b"y");
    world.do_one(Do::Keep);
    let removal = world.remove(2);
    world.do_one(Do::It);
    assert_eq!(world.end_of(removal), None);
    world.run();
    assert_eq!(world.end_of(removal), Some(None));
    let said = world.said(producer);
    assert!(said.contains(&Said::At(1, 1)) && said.contains(&Said::At(2, 2)));
}

/// What recovery found was the last that the close waited for, before all of the log was looked at. Found by the
/// simulator: the look went on, was tried again later, and opened the next term twice at once, one of them without the
/// last records, and so with a tick below theirs.
#[test]
fn a_channel_that_is_closed_by_what_was_found_is_not_looked_at_any_more() {
    let config = WorkerConfig {
        read_bytes_max: 1,
        ..config(1)
    };
    let mut world = World::with(&MemoryStore::new(), config);
    world.open(2);
    let producer = world.producer(2);
    for id in 1..4 {
        world.send(producer, id, b"x");
    }
    world.do_one(Do::Keep);
    let removal = world.remove(2);
    // The other appends, the tail, and the first page.
    for _ in 0..4 {
        assert_eq!(world.end_of(removal), None);
        world.do_one(Do::It);
    }
    assert_eq!(world.end_of(removal), Some(None));
    assert!(world.io.ops.is_empty());
    assert_eq!(world.worker.poll_timeout(), None);
}

#[test]
fn who_waits_for_the_same_message_hears_the_same() {
    for how in [Do::Keep, Do::Lose] {
        let mut world = World::new(&MemoryStore::new(), 1);
        world.open(2);
        let (one, two) = (world.producer(2), world.producer(2));
        let properties = [
            ("_t", &b"2"[..]),
            ("_v", b"1"),
            ("_tp", b"me"),
            ("_ts", b"9"),
        ];
        world.send_with(one, 1, b"x", &properties);
        world.send_with(two, 7, b"x", &properties);
        world.do_one(how);
        world.run();
        let (one, two) = (world.said(one).remove(1), world.said(two).remove(1));
        if how == Do::Keep {
            assert_eq!((one, two), (Said::At(1, 1), Said::At(7, 1)));
        } else {
            assert_eq!((one, two), (not_appended(1), not_appended(7)));
            // It may be sent again, and is then appended.
            let three = world.producer(2);
            world.send_with(three, 1, b"x", &properties);
            world.run();
            assert_eq!(world.said(three).remove(1), Said::At(1, 1));
        }
    }
}

#[test]
fn a_log_whose_last_record_cannot_be_read_is_not_opened() {
    use crate::id::Tag;
    use crate::storage::{OwnerId, Storage};
    let store = MemoryStore::new();
    let mut session = store.session("x", 8);
    let log = [b"channel/", CHANNEL.as_bytes()].concat();
    let (term, owner) = (1, OwnerId(9));
    session
        .submit(
            Op::Fence {
                log: &log,
                term,
                owner,
            },
            Tag::NEW,
        )
        .unwrap();
    let append = Op::Append {
        log: &log,
        term,
        owner,
        expected: 0,
        payload: b"\x09of a version to come",
    };
    session.submit(append, Tag::NEW).unwrap();
    let mut world = World::new(&store, 1);
    let call = world.assign(2);
    world.run();
    assert_eq!(world.end_of(call), Some(Some(ErrorCode::Inner)));
    assert!(world.io.ended[&call].2.starts_with("TF-L17"));
    assert!(world.events[0].contains("Unreadable"));
}

/// How often the log was asked for its fence and nothing else, since this was looked at last.
fn proofs(world: &mut World, seconds: u64) -> usize {
    let mut asked = 0;
    for _ in 0..seconds {
        world.pass(Duration::from_secs(1));
        let is_proof = |(_, asked): &&(_, Asked)| matches!(asked, Asked::Tail(_));
        asked += world.io.ops.iter().filter(is_proof).count();
        world.run();
    }
    asked
}

#[test]
fn who_only_consumes_learns_that_the_channel_is_gone() {
    let store = MemoryStore::new();
    let (mut zombie, mut successor) = (World::new(&store, 1), World::new(&store, 2));
    zombie.open(2);
    let consumer = zombie.consumer(2, Policy::All, &[]);
    assert_eq!(proofs(&mut zombie, 30), 3);
    assert_eq!(zombie.end_of(consumer), None, "it is its own");
    successor.open(3);
    proofs(&mut zombie, 9);
    assert_eq!(zombie.end_of(consumer), None);
    proofs(&mut zombie, 1);
    let fenced = Some(Some(ErrorCode::ChannelFenced));
    assert_eq!(zombie.end_of(consumer), fenced);
    assert_eq!(zombie.worker.counters().fenced, 1);
    assert_eq!(proofs(&mut zombie, 30), 0);
    assert_eq!(zombie.worker.poll_timeout(), None);
}

#[test]
fn a_log_is_not_asked_for_its_fence_while_it_says_it_by_itself_or_nobody_listens() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    let producer = world.producer(2);
    assert_eq!(proofs(&mut world, 30), 0, "nobody consumes");
    let consumer = world.consumer(2, Policy::All, &[]);
    for id in 0..30 {
        world.send(producer, id, b"x");
        assert_eq!(proofs(&mut world, 1), 0, "every append says it");
    }
    assert_eq!(proofs(&mut world, 20), 1);
    world.lose(consumer);
    assert_eq!(proofs(&mut world, 30), 0, "nobody consumes any more");
    assert_eq!(world.worker.poll_timeout(), None);
}

#[test]
fn a_fence_that_the_store_does_not_say_is_asked_for_again() {
    let store = MemoryStore::new();
    let (mut zombie, mut successor) = (World::new(&store, 1), World::new(&store, 2));
    zombie.open(2);
    let consumer = zombie.consumer(2, Policy::All, &[]);
    successor.open(3);
    zombie.run();
    zombie.io.ops_max = 0;
    zombie.pass(Duration::from_secs(10));
    zombie.io.ops_max = 100;
    zombie.pass(Duration::from_millis(10));
    assert!(zombie.do_one(Do::Lose), "it has room again");
    assert_eq!(zombie.end_of(consumer), None);
    proofs(&mut zombie, 10);
    let fenced = Some(Some(ErrorCode::ChannelFenced));
    assert_eq!(zombie.end_of(consumer), fenced);
}

#[test]
fn the_store_is_asked_for_few_fences_at_once_and_for_all_in_the_end() {
    let mut world = World::new(&MemoryStore::new(), 1);
    let names: Vec<_> = (0..200).map(|at| alloc::format!("c{at}")).collect();
    for name in &names {
        world.assign_named(name, 2);
        world.run();
        world.consumer_of(name, 2, Policy::All, &[]);
        world.run();
    }
    // All are due in one moment.
    world.pass(Duration::from_secs(10));
    let mut asked = alloc::collections::BTreeSet::new();
    while asked.len() < names.len() {
        assert!(!world.io.ops.is_empty(), "{} were asked for", asked.len());
        assert!(world.io.ops.len() <= 64);
        for (_, op) in &world.io.ops {
            let Asked::Tail(log) = op else {
                panic!("{op:?}")
            };
            asked.insert(log.clone());
        }
        world.run();
        world.pass(Duration::from_millis(10));
    }
}

/// What the log said at a term comes when the channel is open at the next.
#[test]
fn a_proof_that_comes_late_says_nothing_of_the_next_term() {
    let mut world = World::new(&MemoryStore::new(), 1);
    world.open(2);
    world.consumer(2, Policy::All, &[]);
    world.pass(Duration::from_secs(10));
    let (proof, asked) = world.io.ops.pop_back().unwrap();
    assert!(matches!(asked, Asked::Tail(_)));
    let removal = world.remove(2);
    world.run();
    assert_eq!(world.end_of(removal), Some(None));
    world.open(3);
    let consumer = world.consumer(3, Policy::All, &[]);
    let said = Done::Tail {
        term: 2,
        owner: world.worker.config().owner,
        first: 0,
        next: 1,
    };
    let worker = &mut world.worker;
    worker.handle_done(
        world.now,
        proof,
        said,
        &mut world.io,
        &mut |_: WorkerEvent<'_>| {},
    );
    assert_eq!(world.end_of(consumer), None);
    assert_eq!(world.worker.counters().fenced, 0);
}
