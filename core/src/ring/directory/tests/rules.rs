//! What the wire demands of every node.

extern crate std;

use std::string::String;
use std::vec;
use std::vec::Vec;

use trefoil_proto::control_plane::{
    ActorIdsReply, ExpiryAnnounce, OwnerChangeAck, OwnershipAnnounce,
};
use trefoil_proto::wire::Decode;

use super::super::*;
use super::world::{B, C, Heard, ME, World, bytes, config};
use crate::time::Duration;

const OK: (bool, String) = (true, String::new());

#[test]
fn an_id_is_routed_by_claim_then_by_placement() {
    let mut world = World::of_three();
    let (here, there) = (world.placed_on(ME), world.placed_on(B));
    assert_eq!(world.directory.resolve(here), Route::Vacant);
    assert_eq!(world.directory.resolve(there), Route::Remote(B));
    world.claim(here);
    assert_eq!(world.directory.resolve(here), Route::Local);
    assert_eq!(world.announced("c", &[there]), OK);
    // Claimed by a host it is not placed on: it stays there.
    assert_eq!(world.directory.resolve(there), Route::Remote(C));
    world.command(DirectoryCommand::Majority(false)).unwrap();
    for id in [here, there, 0] {
        assert_eq!(world.directory.resolve(id), Route::NoMajority);
    }
    world.claim(0);
    assert_eq!(world.owner(0), None);
    world.command(DirectoryCommand::Majority(true)).unwrap();
    assert_eq!(world.directory.resolve(here), Route::Local);
}

#[test]
fn a_claim_of_a_claimed_id_does_nothing() {
    let mut world = World::of_three();
    world.announced("b", &[1]);
    world.heard.clear();
    world.claim(1);
    world.claim(2);
    world.claim(2);
    world.sleep();
    assert_eq!(world.owner(1), Some(B));
    assert_eq!(world.heard, [Heard::Changed(2, Some(ME))]);
    let call = world.opened(B, control_plane::ANNOUNCE_OWNERSHIP);
    assert_eq!(world.claims_in(&call), [2]);
}

#[test]
fn must_5_an_announcement_is_idempotent() {
    let mut world = World::of_three();
    for _ in 0..3 {
        assert_eq!(world.announced("b", &[1, 2, 2]), OK);
    }
    assert_eq!(
        world.heard,
        [Heard::Changed(1, Some(B)), Heard::Changed(2, Some(B))]
    );
    assert_eq!((world.directory.ids_of(B), world.directory.known()), (2, 2));
}

#[test]
fn must_5_a_different_live_owner_is_never_overwritten_and_is_named() {
    let mut world = World::of_three();
    world.announced("b", &[1, 2]);
    assert_eq!(world.announced("c", &[3, 2, 1]), (false, "owner=b".into()));
    assert_eq!(
        (world.owner(1), world.owner(2), world.owner(3)),
        (Some(B), Some(B), Some(C))
    );
    // However it ranks: between others, only they decide.
    let better = world.won_by(C, B).next().unwrap();
    world.announced("b", &[better]);
    assert_eq!(world.announced("c", &[better]), (false, "owner=b".into()));
    assert_eq!(world.owner(better), Some(B));
}

#[test]
fn must_5_an_unknown_host_becomes_a_candidate_and_nothing_else() {
    let mut world = World::of_three();
    world.announced("b", &[1]);
    world.heard.clear();
    assert_eq!(world.announced("stranger:1", &[7, 8]), OK);
    assert_eq!(
        world.announced("stranger:1", &[7, 1]),
        (false, "owner=b".into())
    );
    assert_eq!(world.heard, vec![Heard::Candidate("stranger:1".into()); 2]);
    assert_eq!(world.directory.known(), 1);
}

#[test]
fn must_5_claims_of_a_removed_host_are_ignored() {
    let mut world = World::of_three();
    world.announced("b", &[1]);
    world.down(B);
    assert!(!world.announced("b", &[1, 2]).0);
    assert_eq!((world.owner(1), world.directory.known()), (None, 0));
}

#[test]
fn must_5_claims_beyond_the_bound_are_refused() {
    let mut world = World::with(DirectoryConfig {
        ids_max: 2,
        ..config("a")
    });
    let fetch = world.up(B, false);
    world.list(&fetch, &[]);
    assert_eq!(
        world.announced("b", &[1, 2, 3]),
        (false, codes::BUSY.into())
    );
    assert_eq!(
        (
            world.directory.known(),
            world.directory.counters().overflows
        ),
        (2, 1)
    );
    assert_eq!(world.announced("b", &[1, 2]), OK);
}

#[test]
fn a_host_speaks_for_itself_only() {
    let mut world = World::of_three();
    let request = bytes(&OwnershipAnnounce {
        host: "c",
        ids: &[5_u64][..],
    });
    let (frames, _) = world.serve(Some(B), control_plane::ANNOUNCE_OWNERSHIP, &request);
    assert!(!OwnerChangeAck::parse(&frames[0]).unwrap().accepted);
    assert_eq!(
        (world.owner(5), world.heard.as_slice()),
        (None, &[Heard::Misbehaved(Some(B))][..])
    );
    // In this node's own name nobody claims anything.
    world.announced("b", &[6]);
    assert_eq!(world.announced("a", &[6]), (false, "owner=b".into()));
    assert_eq!(world.announced("a", &[9]), OK);
    assert_eq!(world.owner(9), None);
}

#[test]
fn must_6_an_expiry_removes_only_what_its_host_owns() {
    let mut world = World::of_three();
    world.announced("b", &[1, 2]);
    world.claim(3);
    assert_eq!(world.expired("c", &[1, 3, 99]), OK);
    assert_eq!(world.expired("stranger", &[1, 3]), OK);
    assert_eq!(world.expired("a", &[3]), OK);
    assert_eq!((world.owner(1), world.owner(3)), (Some(B), Some(ME)));
    world.heard.clear();
    assert_eq!(world.expired("b", &[1, 99]), OK);
    assert_eq!((world.owner(1), world.owner(2)), (None, Some(B)));
    assert_eq!(world.heard, [Heard::Changed(1, None)]);
}

#[test]
fn must_7_a_host_takes_all_its_ids_and_its_placement_with_it_and_may_return() {
    let mut world = World::of_three();
    let ids: Vec<u64> = (0..1_000).collect();
    world.announced("b", &ids);
    world.announced("c", &[5_000]);
    world.heard.clear();
    world.down(B);
    world.down(B);
    assert_eq!(world.heard.len(), 1_000);
    assert!(
        ids.iter()
            .all(|id| world.heard.contains(&Heard::Changed(*id, None)))
    );
    assert!(
        ids.iter()
            .all(|id| world.directory.resolve(*id) != Route::Remote(B))
    );
    assert_eq!((world.owner(5_000), world.directory.known()), (Some(C), 1));
    // It comes back with nothing and is asked again.
    let fetch = world.up(B, false);
    assert_eq!(world.directory.ids_of(B), 0);
    world.list(&fetch, &[3]);
    assert_eq!(world.directory.ids_of(B), 1);
}

#[test]
fn must_8_the_list_holds_exactly_the_ids_owned_here() {
    let mut world = World::of_three();
    for id in [4, 5, u64::MAX] {
        world.claim(id);
    }
    world.announced("b", &[1, 2]);
    world.directory.release(world.now, 4, &mut world.io);
    let (frames, status) = world.serve(None, control_plane::LOCAL_ACTOR_IDS, &[]);
    assert_eq!(status.code, Code::Ok);
    let reply = ActorIdsReply::parse(&frames[0]).unwrap();
    let mut listed: Vec<u64> = reply.ids.iter().map(Result::unwrap).collect();
    listed.sort_unstable();
    assert_eq!(listed, [5, u64::MAX]);
    assert_eq!(world.directory.local_ids().len(), 2);
}

#[test]
fn must_8_a_list_that_is_too_long_is_refused_whole() {
    let mut world = World::with(DirectoryConfig {
        reply_bytes_max: 64,
        ..config("a")
    });
    for id in 0..100 {
        world.claim(id);
    }
    let (frames, status) = world.serve(None, control_plane::LOCAL_ACTOR_IDS, &[]);
    assert!(frames.is_empty());
    assert_eq!(
        (status.code, status.message.as_str()),
        (Code::ResourceExhausted, codes::TOO_LARGE)
    );
}

#[test]
fn must_8_nothing_is_vacant_until_every_new_peer_was_asked() {
    let mut world = World::new();
    let id = world.placed_on(ME);
    assert_eq!(world.directory.resolve(id), Route::Vacant);
    let b = world.up(B, false);
    let c = world.up(C, false);
    let id = world.placed_on(ME);
    assert_eq!(world.directory.resolve(id), Route::NotReady);
    // What is known is known already.
    world.announced("b", &[77]);
    assert_eq!(world.directory.resolve(77), Route::Remote(B));
    world.list(&b, &[77]);
    assert_eq!(world.directory.resolve(id), Route::NotReady);
    world.list(&c, &[id]);
    assert_eq!(world.directory.resolve(id), Route::Remote(C));
    assert_eq!(world.heard[0], Heard::Ready(false));
    assert_eq!(world.heard.last(), Some(&Heard::Ready(true)));
}

#[test]
fn must_8_the_wait_is_bounded_and_goes_on_behind() {
    let mut world = World::new();
    let fetch = world.up(B, false);
    let admitted = world.now;
    let id = world.placed_on(ME);
    world.fail(&fetch);
    let mut tries = 1;
    while world.directory.resolve(id) == Route::NotReady {
        world.sleep();
        if world
            .io
            .opened
            .iter()
            .any(|call| call.method == control_plane::LOCAL_ACTOR_IDS)
        {
            tries += 1;
            let fetch = world.opened(B, control_plane::LOCAL_ACTOR_IDS);
            world.fail(&fetch);
        }
    }
    assert_eq!(world.now, admitted + config("a").fetch_patience);
    assert!(tries > 3, "{tries}");
    assert_eq!(world.heard, [Heard::Ready(false), Heard::Ready(true)]);
    world.pass(Duration::from_secs(5));
    let fetch = world.opened(B, control_plane::LOCAL_ACTOR_IDS);
    world.list(&fetch, &[id]);
    assert_eq!(world.directory.resolve(id), Route::Remote(B));
}

#[test]
fn must_8_a_member_that_leaves_is_not_waited_for() {
    let mut world = World::new();
    let fetch = world.up(B, false);
    world.down(B);
    assert!(world.directory.is_ready());
    assert_eq!(
        world.io.take_end(fetch.stream).map(|status| status.code),
        Some(Code::Cancelled)
    );
    // What still arrives of it is nothing to this node.
    world.list(&fetch, &[1]);
    assert_eq!(
        (world.directory.known(), world.directory.poll_timeout()),
        (0, None)
    );
}

#[test]
fn malformed_calls_are_refused_and_told() {
    let mut world = World::of_three();
    let methods = [
        control_plane::ANNOUNCE_OWNERSHIP,
        control_plane::ANNOUNCE_EXPIRY,
        control_plane::LOCAL_ACTOR_IDS,
    ];
    for (count, method) in (1..).zip(methods) {
        let (frames, status) = world.serve(Some(B), method, &[0x0a, 0xff]);
        assert!(frames.is_empty());
        assert_eq!(
            (status.code, status.message.as_str()),
            (Code::InvalidArgument, codes::MALFORMED)
        );
        assert_eq!(world.heard, vec![Heard::Misbehaved(Some(B)); count]);
    }
    // A host without a name, and numbers that end too early, change nothing.
    let nameless = bytes(&OwnershipAnnounce {
        host: "",
        ids: &[1_u64][..],
    });
    for request in [&nameless[..], &[0x0a, 1, b'b', 0x12, 3, 1, 2, 0x80]] {
        let (_, status) = world.serve(None, control_plane::ANNOUNCE_OWNERSHIP, request);
        assert_eq!(status.code, Code::InvalidArgument);
    }
    assert_eq!(world.directory.known(), 0);
}

#[test]
fn a_call_without_a_message_is_refused() {
    let mut world = World::of_three();
    let stream = world.io.accept();
    let tag = Purpose::TakeClaims.tag(0);
    world.event(stream, tag, StreamIn::HalfClosed);
    let status = world.io.take_end(stream).unwrap();
    assert_eq!(
        (status.code, status.message.as_str()),
        (Code::InvalidArgument, codes::NOT_ONE_MESSAGE)
    );
    assert_eq!(world.heard, [Heard::Misbehaved(None)]);
}

#[test]
fn other_methods_are_not_served() {
    let mut world = World::new();
    let stream = world.io.accept();
    let header = crate::header::Header::EMPTY;
    let accepted = StreamIn::Accepted {
        from: None,
        method: control_plane::PING,
        header,
        deadline: None,
        trusted: true,
    };
    world.event(stream, Tag::NEW, accepted);
    assert_eq!(
        world.io.take_end(stream).map(|status| status.code),
        Some(Code::Unimplemented)
    );
}

#[test]
fn no_bytes_make_it_panic() {
    let mut world = World::of_three();
    let valid = bytes(&OwnershipAnnounce {
        host: "b",
        ids: &[1_u64, 300, u64::MAX][..],
    });
    let mut rng = Rng::new(3);
    for _ in 0..20_000 {
        let mut request = valid.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(request.len() as u64) as usize;
            request[at] = rng.draw() as u8;
        }
        request.truncate(rng.below(request.len() as u64 + 1) as usize);
        let method = match rng.below(3) {
            0 => control_plane::ANNOUNCE_OWNERSHIP,
            1 => control_plane::ANNOUNCE_EXPIRY,
            _ => control_plane::LOCAL_ACTOR_IDS,
        };
        world.serve(None, method, &request);
        if rng.below(100) == 0 {
            world.pass(Duration::from_millis(20));
        }
    }
}

#[test]
fn members_beyond_the_bound_are_refused_and_nothing_changes() {
    let mut world = World::with(DirectoryConfig {
        peers_max: 1,
        ..config("a")
    });
    world.up(B, false);
    let command = DirectoryCommand::MemberUp {
        node: C,
        host: "c",
        weight: Weight::ONE,
        legacy: false,
    };
    assert_eq!(world.command(command), Err(DirectoryRefused::TooManyPeers));
    assert!(!world.directory.placement().contains(C.0));
    world.down(B);
    assert_eq!(world.command(command), Ok(()));
}

#[test]
fn this_node_is_no_peer_of_its_own() {
    let mut world = World::new();
    for (node, host) in [(ME, "a"), (B, "a")] {
        world
            .command(DirectoryCommand::MemberUp {
                node,
                host,
                weight: Weight::ONE,
                legacy: false,
            })
            .unwrap();
    }
    assert_eq!(world.directory.placement().len(), 1);
    world.down(ME);
    assert_eq!(world.directory.placement().len(), 1);
}

#[test]
fn dead_hosts_keep_their_claims_only_if_that_is_planted() {
    for plant in [None, Some(DirectoryPlant::DeadHostsClaimsKept)] {
        let mut world = World::of_three();
        world.directory.plant(plant);
        world.announced("b", &[1]);
        world.down(B);
        assert_eq!(world.owner(1).is_some(), plant.is_some());
    }
}

#[test]
fn who_says_nothing_of_itself_speaks_for_no_member_of_ours() {
    let mut world = World::of_three();
    let id = world.won_by(B, ME).next().unwrap();
    assert!(world.announced("b", &[id]).0);
    let request = bytes(&ExpiryAnnounce {
        host: "b",
        ids: &[id][..],
    });
    let (frames, _) = world.serve(None, control_plane::ANNOUNCE_EXPIRY, &request);
    let ack = OwnerChangeAck::parse(&frames[0]).unwrap();
    assert!(!ack.accepted, "{}", ack.message);
    assert_eq!(world.directory.resolve(id), Route::Remote(B));
}
