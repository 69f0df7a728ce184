//! Lists of ids: what they change and what they must not.

extern crate std;

use std::vec::Vec;

use super::super::*;
use super::world::{B, C, Heard, World, config};
use crate::stream::Class;

const LIST: crate::id::MethodId = control_plane::LOCAL_ACTOR_IDS;

/// Lets time pass until `node` is asked for its ids.
fn until_asked(world: &mut World, node: NodeId) -> crate::testing::Opened {
    for _ in 0..100 {
        if world
            .io
            .opened
            .iter()
            .any(|call| call.to == node && call.method == LIST)
        {
            return world.opened(node, LIST);
        }
        for call in world.io.take_opened() {
            if call.method == LIST {
                world.fail(&call);
            } else {
                world.acknowledge(&call, true, "");
            }
        }
        world.sleep();
    }
    panic!("{node:?} is never asked");
}

#[test]
fn a_new_peer_is_asked_at_once_on_the_bulk_connection() {
    let mut world = World::new();
    let call = world.up(B, false);
    assert_eq!(
        (call.class, call.deadline),
        (Class::Bulk, Some(world.now + config("a").fetch_timeout))
    );
    assert_eq!(world.io.take_frames(call.stream), [Vec::<u8>::new()]);
    assert!(world.io.half_closed.contains(&call.stream));
}

#[test]
fn a_list_is_the_last_word_on_its_peer() {
    let mut world = World::of_three();
    world.announced("b", &[1, 2, 3]);
    world.announced("c", &[9]);
    world.heard.clear();
    let fetch = until_asked(&mut world, B);
    world.list(&fetch, &[2, 4]);
    let owned: Vec<_> = (0..10).map(|id| world.owner(id)).collect();
    let expected = [
        None,
        None,
        Some(B),
        None,
        Some(B),
        None,
        None,
        None,
        None,
        Some(C),
    ];
    assert_eq!(owned, expected);
    assert_eq!(world.heard.len(), 3);
}

#[test]
fn what_was_announced_since_the_request_is_kept() {
    let mut world = World::of_three();
    world.announced("b", &[1, 2]);
    let fetch = until_asked(&mut world, B);
    world.announced("b", &[1, 5]);
    world.list(&fetch, &[]);
    assert_eq!(
        (world.owner(1), world.owner(2), world.owner(5)),
        (Some(B), None, Some(B))
    );
}

#[test]
fn what_expired_since_the_request_does_not_come_back() {
    let mut world = World::of_three();
    let fetch = until_asked(&mut world, B);
    world.expired("b", &[7, 3]);
    world.list(&fetch, &[3, 4, 7]);
    assert_eq!(
        (world.owner(3), world.owner(4), world.owner(7)),
        (None, Some(B), None)
    );
    // Only until that list is here.
    let fetch = until_asked(&mut world, B);
    world.list(&fetch, &[3, 4]);
    assert_eq!(world.owner(3), Some(B));
}

#[test]
fn more_expiries_than_are_remembered_only_delay_the_list() {
    let mut world = World::of_three();
    let fetch = until_asked(&mut world, B);
    let many: Vec<u64> = (100..10_000).collect();
    world.expired("b", &many);
    world.list(&fetch, &[1, 9_999]);
    assert_eq!((world.owner(1), world.owner(9_999)), (None, None));
    let asked = world.now;
    let fetch = until_asked(&mut world, B);
    assert!(world.now.since(asked) <= config("a").anti_entropy_interval / 2);
    world.list(&fetch, &[1]);
    assert_eq!(world.owner(1), Some(B));
}

#[test]
fn every_peer_is_asked_in_turn_once_an_interval() {
    let mut world = World::of_three();
    let start = world.now;
    let mut asked = Vec::new();
    while asked.len() < 20 {
        world.sleep();
        for call in world.io.take_opened() {
            asked.push(call.to);
            world.list(&call, &[]);
        }
    }
    for pair in asked.chunks(2) {
        assert_ne!(pair[0], pair[1], "{asked:?}");
    }
    let mean = world.now.since(start) / 20;
    let interval = config("a").anti_entropy_interval;
    assert!(
        mean > interval * 9 / 10 && mean < interval * 11 / 10,
        "{mean:?}"
    );
}

#[test]
fn an_unchanged_list_changes_nothing() {
    let mut world = World::of_three();
    let ids: Vec<u64> = (0..500).collect();
    world.announced("b", &ids);
    world.heard.clear();
    let (print, memory) = (world.directory.fingerprint(), world.directory.claim_bytes());
    for _ in 0..3 {
        let fetch = until_asked(&mut world, B);
        world.list(&fetch, &ids);
    }
    assert!(world.heard.is_empty());
    assert_eq!(
        (world.directory.fingerprint(), world.directory.claim_bytes()),
        (print, memory)
    );
}

#[test]
fn a_malformed_list_is_told_and_changes_nothing() {
    let mut world = World::of_three();
    world.announced("b", &[1]);
    world.heard.clear();
    let fetch = until_asked(&mut world, B);
    world.event(
        fetch.stream,
        fetch.tag,
        StreamIn::Frame(&[0x0a, 3, 5, 6, 0x80]),
    );
    assert_eq!(world.heard, [Heard::Misbehaved(Some(B))]);
    assert_eq!((world.owner(1), world.owner(5)), (Some(B), None));
    until_asked(&mut world, B);
}

#[test]
fn a_peer_that_lists_nothing_to_anybody_is_not_waited_for() {
    let mut world = World::new();
    let fetch = world.up(B, true);
    let status = Status::new(Code::Unimplemented, codes::NO_METHOD);
    world.event(fetch.stream, fetch.tag, StreamIn::Ended(status));
    assert!(world.directory.is_ready());
}

#[test]
fn only_so_many_lists_are_asked_for_at_once() {
    let mut world = World::with(DirectoryConfig {
        fetches_max: 1,
        ..config("a")
    });
    let first = world.up(B, false);
    let up = DirectoryCommand::MemberUp {
        node: C,
        host: "c",
        weight: Weight::ONE,
        legacy: false,
    };
    world.command(up).unwrap();
    assert!(world.io.opened.is_empty());
    world.tick();
    world.list(&first, &[]);
    let second = world.opened(C, LIST);
    world.down(C);
    assert!(world.io.take_end(second.stream).is_some());
    until_asked(&mut world, B);
}

#[test]
fn a_list_longer_than_the_table_fills_it_and_no_more() {
    let mut world = World::with(DirectoryConfig {
        ids_max: 10,
        ..config("a")
    });
    let fetch = world.up(B, false);
    world.list(&fetch, &(0..50).collect::<Vec<u64>>());
    assert_eq!(
        (
            world.directory.known(),
            world.directory.counters().overflows
        ),
        (10, 40)
    );
    assert!(world.directory.is_ready());
}

#[test]
fn answers_of_calls_that_are_over_are_nobodys() {
    let mut world = World::of_three();
    let fetch = until_asked(&mut world, B);
    world.down(B);
    let again = world.up(B, false);
    world.list(&fetch, &[1]);
    assert!(!world.directory.is_ready());
    world.list(&again, &[2]);
    assert_eq!((world.owner(1), world.owner(2)), (None, Some(B)));
}
