//! Own changes on their way out: batches, retries, peers that are behind.

extern crate std;

use std::vec::Vec;

use super::super::*;
use super::world::{B, C, Heard, ME, World, config};
use crate::stream::Class;
use crate::time::Duration;

const CLAIMS: crate::id::MethodId = control_plane::ANNOUNCE_OWNERSHIP;
const EXPIRIES: crate::id::MethodId = control_plane::ANNOUNCE_EXPIRY;

#[test]
fn a_batch_leaves_after_its_delay_to_every_live_peer() {
    let mut world = World::of_three();
    let start = world.now;
    world.claim(1);
    world.now = start + Duration::from_millis(4);
    world.claim(2);
    assert!(world.io.opened.is_empty());
    assert_eq!(
        world.directory.poll_timeout(),
        Some(start + Duration::from_millis(10))
    );
    world.sleep();
    for peer in [B, C] {
        let call = world.opened(peer, CLAIMS);
        assert_eq!(
            (call.class, call.deadline),
            (Class::Control, Some(world.now + config("a").call_timeout))
        );
        assert_eq!(world.claims_in(&call), [1, 2]);
        assert!(world.io.half_closed.contains(&call.stream));
    }
    assert!(world.io.opened.is_empty());
}

#[test]
fn a_full_batch_leaves_at_once_and_long_ones_in_chunks() {
    let mut world = World::with(DirectoryConfig {
        batch_ids: 100,
        chunk_ids: 40,
        ..config("a")
    });
    let fetch = world.up(B, false);
    world.list(&fetch, &[]);
    for id in 0..99 {
        world.claim(id);
    }
    assert!(world.directory.poll_timeout() > Some(world.now));
    world.claim(99);
    assert_eq!(world.directory.poll_timeout(), Some(world.now));
    world.tick();
    let mut told = Vec::new();
    for expected in [40, 40, 20] {
        let call = world.opened(B, CLAIMS);
        assert!(world.io.opened.is_empty(), "one at a time");
        let claims = world.claims_in(&call);
        assert_eq!(claims.len(), expected);
        told.extend(claims);
        world.acknowledge(&call, true, "");
    }
    assert_eq!(told, (0..100).collect::<Vec<u64>>());
    assert!(world.io.opened.is_empty());
}

#[test]
fn what_is_announced_is_what_is_true_when_it_leaves() {
    let mut world = World::of_three();
    world.claim(1);
    world.claim(2);
    world.directory.release(world.now, 2, &mut world.io);
    world.directory.release(world.now, 3, &mut world.io);
    world.sleep();
    let (claims, expiries) = (world.opened(B, CLAIMS), world.opened(B, EXPIRIES));
    assert_eq!(world.claims_in(&claims), [1]);
    assert_eq!(world.expiries_in(&expiries), [2, 2]);
    // The next batch waits for both.
    world.claim(2);
    world.pass(Duration::from_millis(20));
    world.acknowledge(&claims, true, "");
    assert!(!world.io.opened.iter().any(|call| call.to == B));
    world.acknowledge(&expiries, true, "");
    let call = world.opened(B, CLAIMS);
    assert_eq!(world.claims_in(&call), [2]);
}

#[test]
fn a_failed_announcement_is_made_again_by_then_corrected() {
    let mut world = World::of_three();
    world.claim(1);
    world.claim(2);
    world.sleep();
    let call = world.opened(B, CLAIMS);
    world.fail(&call);
    world.directory.release(world.now, 2, &mut world.io);
    world.pass(Duration::from_millis(100));
    let (claims, expiries) = (world.opened(B, CLAIMS), world.opened(B, EXPIRIES));
    assert_eq!(world.claims_in(&claims), [1]);
    // It stands in the log twice: claimed, given up.
    assert_eq!(world.expiries_in(&expiries), [2, 2]);
    assert_eq!(world.directory.counters().retries, 1);
}

#[test]
fn a_failing_peer_is_tried_ever_more_rarely() {
    let mut world = World::of_three();
    world.claim(1);
    world.sleep();
    let mut tries = 0;
    let until = world.now + Duration::from_secs(60);
    while world.now < until {
        while let Some(at) = world.io.opened.iter().position(|call| call.to == B) {
            let call = world.io.opened.remove(at);
            tries += u32::from(call.method == CLAIMS);
            world.fail(&call);
        }
        world.sleep();
    }
    assert!((12..25).contains(&tries), "{tries}");
}

#[test]
fn a_peer_that_serves_no_announcements_is_left_alone() {
    let mut world = World::of_three();
    world.claim(1);
    world.sleep();
    let call = world.opened(B, CLAIMS);
    let status = Status::new(Code::Unimplemented, "");
    world.event(call.stream, call.tag, StreamIn::Ended(status));
    world.pass(Duration::from_secs(4));
    assert!(
        !world
            .io
            .opened
            .iter()
            .any(|call| call.to == B && call.method == CLAIMS)
    );
}

#[test]
fn a_peer_that_fell_off_the_log_is_told_everything() {
    let config = DirectoryConfig {
        log_ids: 10,
        batch_ids: 5,
        chunk_ids: 8,
        ..config("a")
    };
    let mut world = World::with(config);
    let fetch = world.up(B, false);
    world.list(&fetch, &[]);
    world.claim(1_000);
    world.sleep();
    let slow = world.opened(B, CLAIMS);
    for id in 0..30 {
        world.claim(id);
        world.pass(Duration::from_millis(1));
    }
    world.fail(&slow);
    // Ids given up and claimed while it goes on do not confuse it.
    world.directory.release(world.now, 3, &mut world.io);
    let mut believed = std::collections::BTreeSet::new();
    for step in 0..20 {
        world.pass(Duration::from_millis(200));
        if step == 2 {
            world.directory.release(world.now, 29, &mut world.io);
            world.claim(500);
        }
        while let Some(at) = world
            .io
            .opened
            .iter()
            .position(|call| matches!(call.method, CLAIMS | EXPIRIES))
        {
            let call = world.io.opened.remove(at);
            if call.method == CLAIMS {
                believed.extend(world.claims_in(&call));
            } else {
                for id in world.expiries_in(&call) {
                    believed.remove(&id);
                }
            }
            world.acknowledge(&call, true, "");
        }
    }
    assert_eq!(believed, world.directory.local_ids().collect());
    assert_eq!(world.directory.counters().syncs, 1);
}

#[test]
fn a_new_peer_is_told_what_changed_lately() {
    let mut world = World::new();
    world.claim(1);
    world.sleep();
    // Its request for the ids of this node may have been answered before that, and its admission
    // here comes after.
    let fetch = world.up(B, false);
    world.list(&fetch, &[]);
    let call = world.opened(B, CLAIMS);
    assert_eq!(world.claims_in(&call), [1]);
}

#[test]
fn no_room_for_a_call_is_a_failure_like_any_other() {
    let mut world = World::of_three();
    world.claim(1);
    world.io.full = true;
    world.sleep();
    world.pass(Duration::from_millis(200));
    world.io.full = false;
    world.pass(Duration::from_millis(400));
    let call = world.opened(C, CLAIMS);
    assert_eq!(world.claims_in(&call), [1]);
}

#[test]
fn changes_by_the_seam_are_told_once_and_in_order() {
    let mut world = World::of_three();
    world.claim(1);
    world.claim(2);
    world.command(DirectoryCommand::Claim { id: 3 }).unwrap();
    world.directory.release(world.now, 1, &mut world.io);
    world.sleep();
    let last: Vec<_> = [1, 2, 3]
        .iter()
        .map(|id| {
            world
                .heard
                .iter()
                .rev()
                .find(|heard| matches!(heard, Heard::Changed(of, _) if of == id))
        })
        .collect();
    let expected = [
        Heard::Changed(1, None),
        Heard::Changed(2, Some(ME)),
        Heard::Changed(3, Some(ME)),
    ];
    assert_eq!(last, expected.iter().map(Some).collect::<Vec<_>>());
    world.heard.clear();
    world.command(DirectoryCommand::Claim { id: 4 }).unwrap();
    assert_eq!(world.heard, [Heard::Changed(4, Some(ME))]);
    world.sleep();
    assert_eq!(world.heard.len(), 1, "told already");
}

#[test]
fn everything_is_released_in_one_batch() {
    let mut world = World::of_three();
    for id in 0..1_000 {
        world.claim(id);
    }
    world.sleep();
    for peer in [B, C] {
        let call = world.opened(peer, CLAIMS);
        world.acknowledge(&call, true, "");
    }
    world.heard.clear();
    world.command(DirectoryCommand::ReleaseAll).unwrap();
    assert_eq!((world.heard.len(), world.directory.known()), (1_000, 0));
    world.sleep();
    let call = world.opened(B, EXPIRIES);
    assert_eq!(world.expiries_in(&call).len(), 1_000);
    assert!(!world.io.opened.iter().any(|call| call.method == CLAIMS));
}

#[test]
fn a_malformed_answer_is_told_and_the_announcement_repeated() {
    let mut world = World::of_three();
    world.claim(1);
    world.sleep();
    let call = world.opened(B, CLAIMS);
    world.heard.clear();
    world.answer(&call, &[0x12, 0xff]);
    assert_eq!(world.heard, [Heard::Misbehaved(Some(B))]);
    world.pass(Duration::from_millis(100));
    world.opened(B, CLAIMS);
}
