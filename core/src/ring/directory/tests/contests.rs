//! Two hosts claim one id: each rule of who keeps it.

extern crate std;

use std::vec;

use super::super::*;
use super::world::{B, C, Heard, ME, World};

#[test]
fn a_higher_ranked_claimant_is_given_way_and_everybody_is_told() {
    let mut world = World::of_three();
    let id = world.won_by(B, ME).next().unwrap();
    world.claim(id);
    world.sleep();
    for peer in [B, C] {
        let call = world.opened(peer, control_plane::ANNOUNCE_OWNERSHIP);
        world.acknowledge(&call, true, "");
    }
    world.heard.clear();
    assert_eq!(world.announced("b", &[id]), (true, "".into()));
    assert_eq!(
        world.heard,
        [Heard::Lost(id, B), Heard::Changed(id, Some(B))]
    );
    assert_eq!(world.directory.resolve(id), Route::Remote(B));
    let before = world.now;
    world.sleep();
    assert_eq!(world.now, before, "an expiry after a loss does not wait");
    for peer in [B, C] {
        let call = world.opened(peer, control_plane::ANNOUNCE_EXPIRY);
        assert_eq!(world.expiries_in(&call), [id]);
    }
    assert_eq!(world.directory.counters().contests_lost, 1);
}

#[test]
fn a_lower_ranked_claimant_is_refused_and_told_again() {
    let mut world = World::of_three();
    let id = world.won_by(ME, B).next().unwrap();
    world.claim(id);
    world.sleep();
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    world.acknowledge(&call, true, "");
    assert_eq!(world.announced("b", &[id]), (false, "owner=a".into()));
    assert_eq!(world.directory.resolve(id), Route::Local);
    assert!(
        !world
            .heard
            .iter()
            .any(|heard| matches!(heard, Heard::Lost(..)))
    );
    // It may never have heard of this node's claim: it hears of it now.
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    assert_eq!(world.claims_in(&call), [id]);
}

#[test]
fn both_claimants_name_the_same_winner() {
    let node = |own: &str, other: &str| {
        let mut directory =
            Directory::new(super::world::config(own), super::world::placement()).unwrap();
        let up = DirectoryCommand::MemberUp {
            node: B,
            host: other,
            weight: Weight::ONE,
            legacy: false,
        };
        let mut io = crate::testing::FakeIo::default();
        directory
            .handle_command(Instant::ZERO, up, &mut io, &mut |_: DirectoryEvent<'_>| {})
            .unwrap();
        directory
    };
    let (x, y) = (node("x", "y"), node("y", "x"));
    let other = x.peers.slot(B).unwrap();
    let yields = (0..2_000).filter(|id| {
        assert_ne!(
            x.outranks(other, SELF, *id),
            y.outranks(other, SELF, *id),
            "{id}"
        );
        x.outranks(other, SELF, *id)
    });
    assert!((800..1_200).contains(&yields.count()));
}

#[test]
fn no_tie_break_keeps_the_first_claim_if_that_is_planted() {
    let mut world = World::of_three();
    world.directory.plant(Some(DirectoryPlant::NoTieBreak));
    let id = world.won_by(B, ME).next().unwrap();
    world.claim(id);
    assert_eq!(world.announced("b", &[id]), (false, "owner=a".into()));
}

#[test]
fn a_legacy_claimant_is_always_given_way() {
    let mut world = World::new();
    let fetch = world.up(B, true);
    world.list(&fetch, &[]);
    let id = world.won_by(ME, B).next().unwrap();
    world.claim(id);
    world.heard.clear();
    assert_eq!(world.announced("b", &[id]), (true, "".into()));
    assert_eq!(
        world.heard,
        [Heard::Lost(id, B), Heard::Changed(id, Some(B))]
    );
}

#[test]
fn a_legacy_claimant_in_a_list_is_given_way() {
    let mut world = World::new();
    let id = world.placed_on(ME);
    world.claim(id);
    world.sleep();
    let fetch = world.up(B, true);
    world.list(&fetch, &[id]);
    assert!(world.heard.contains(&Heard::Lost(id, B)));
}

#[test]
fn a_legacy_claimant_that_was_refused_for_another_is_asked_soon() {
    let mut world = World::new();
    for (node, legacy) in [(B, true), (C, false)] {
        let fetch = world.up(node, legacy);
        world.list(&fetch, &[]);
    }
    world.announced("c", &[1]);
    assert_eq!(world.announced("b", &[1]), (false, "owner=c".into()));
    // The owner gives way and says so; the claimant does not repeat what it said.
    world.expired("c", &[1]);
    assert_eq!(world.owner(1), None);
    world.pass(config_interval() / 4);
    let fetch = world.opened(B, control_plane::LOCAL_ACTOR_IDS);
    world.list(&fetch, &[1]);
    assert_eq!(world.owner(1), Some(B));
}

#[test]
fn a_list_decides_a_contest_like_a_claim() {
    let mut world = World::new();
    let fetch = world.up(B, false);
    let (lost, kept) = (
        world.won_by(B, ME).next().unwrap(),
        world.won_by(ME, B).next().unwrap(),
    );
    world.list(&fetch, &[]);
    world.claim(lost);
    world.claim(kept);
    world.pass(config_interval() * 2);
    let fetch = world.opened(B, control_plane::LOCAL_ACTOR_IDS);
    world.heard.clear();
    world.list(&fetch, &[lost, kept]);
    assert_eq!(
        world.heard,
        [
            Heard::Lost(lost, B),
            Heard::Changed(lost, Some(B)),
            Heard::Kept(kept)
        ]
    );
    assert_eq!(world.directory.resolve(kept), Route::Local);
}

fn config_interval() -> crate::time::Duration {
    DirectoryConfig::lan().anti_entropy_interval
}

#[test]
fn a_list_older_than_the_claim_takes_nothing_away() {
    let mut world = World::new();
    let fetch = world.up(B, false);
    let id = world.won_by(B, ME).next().unwrap();
    // The peer gave the id up after it had written its list, and this node claimed it.
    world.claim(id);
    world.list(&fetch, &[id]);
    assert_eq!(world.directory.resolve(id), Route::Local);
    assert!(!world.heard.contains(&Heard::Lost(id, B)));
}

#[test]
fn between_two_others_a_list_decides_nothing_and_both_are_asked_again() {
    let mut world = World::new();
    let b = world.up(B, false);
    let c = world.up(C, false);
    let (to_c, to_b) = (
        world.won_by(C, B).next().unwrap(),
        world.won_by(B, C).next().unwrap(),
    );
    world.list(&b, &[to_c, to_b]);
    world.list(&c, &[to_c, to_b]);
    assert_eq!((world.owner(to_c), world.owner(to_b)), (Some(B), Some(B)));
    world.pass(config_interval() / 4);
    let (b, c) = (
        world.opened(B, control_plane::LOCAL_ACTOR_IDS),
        world.opened(C, control_plane::LOCAL_ACTOR_IDS),
    );
    // Meanwhile one of them gave way.
    world.list(&b, &[to_b]);
    world.list(&c, &[to_c]);
    assert_eq!((world.owner(to_c), world.owner(to_b)), (Some(C), Some(B)));
}

#[test]
fn a_refused_batch_is_announced_again_until_it_is_taken() {
    let mut world = World::of_three();
    let ids = [1, 2, 3];
    for id in ids {
        world.claim(id);
    }
    world.sleep();
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    world.acknowledge(&call, false, "owner=c");
    let mut waits = vec![];
    for _ in 0..4 {
        let before = world.now;
        world.sleep_until_called(B, control_plane::ANNOUNCE_OWNERSHIP);
        waits.push(world.now.since(before).as_millis());
        let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
        assert_eq!(world.claims_in(&call), ids);
        world.acknowledge(&call, false, "already owned by somebody");
    }
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    world.pass(crate::time::Duration::from_secs(2));
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    world.acknowledge(&call, true, "");
    world.pass(config_interval() * 3);
    assert!(
        !world
            .io
            .opened
            .iter()
            .any(|call| call.to == B && call.method == control_plane::ANNOUNCE_OWNERSHIP)
    );
}

#[test]
fn a_refusal_makes_this_node_ask_the_owner_it_names() {
    for (message, asked) in [
        ("owner=c", C),
        ("owner=b", B),
        ("it is mine", B),
        ("owner=nobody", NodeId(9)),
    ] {
        let mut world = World::of_three();
        // Not so soon after the lists of the admission.
        world.pass(config_interval() / 3);
        world.claim(1);
        world.sleep();
        let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
        world.acknowledge(&call, false, message);
        if asked == NodeId(9) {
            assert!(world.heard.contains(&Heard::Candidate("nobody".into())));
            continue;
        }
        world.tick();
        let fetch = world.opened(asked, control_plane::LOCAL_ACTOR_IDS);
        let lost = world.won_by(asked, ME).next() == Some(1);
        world.list(&fetch, &[1]);
        assert_eq!(world.heard.contains(&Heard::Lost(1, asked)), lost);
    }
}

#[test]
fn more_refused_ids_than_are_remembered_are_all_announced_again() {
    let config = DirectoryConfig {
        disputed_max: 10,
        ..super::world::config("a")
    };
    let mut world = World::with(config);
    let fetch = world.up(B, false);
    world.list(&fetch, &[]);
    for id in 0..50 {
        world.claim(id);
    }
    world.sleep();
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    world.acknowledge(&call, false, "no");
    world.sleep_until_called(B, control_plane::ANNOUNCE_OWNERSHIP);
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    assert_eq!(world.claims_in(&call).len(), 50);
    assert_eq!(world.directory.counters().syncs, 1);
}
