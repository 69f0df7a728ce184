//! MUST 7 and 10: hosts that know none of our metadata.

extern crate std;

use std::vec::Vec;

use trefoil_proto::control_plane::NegotiateReply;

use super::world::{Told, World, encoded};
use crate::method::control_plane::{NEGOTIATE, PING};
use crate::ring::membership::DownReason;
use crate::status::Cause;
use crate::time::Duration;

/// `l:1` and `m:1` are legacy members.
fn mixed() -> World {
    let mut world = World::new();
    world.negotiate(None, &["l:1", "m:1"]).unwrap();
    assert_eq!(world.pong("l:1", None) + world.pong("m:1", None), 2);
    for call in core::mem::take(&mut world.calls) {
        world.answer(
            &call,
            None,
            &encoded(&NegotiateReply {
                hosts: ["l:1", "m:1", "me:1"],
            }),
        );
    }
    world.told.clear();
    world
}

#[test]
fn must_10_a_legacy_host_is_a_member_like_any_other() {
    let world = mixed();
    assert!(world.knows("l:1") && world.knows("m:1") && world.machine.has_majority());
    assert!(
        world
            .machine
            .members()
            .skip(1)
            .all(|member| member.legacy && member.incarnation == 0)
    );
}

#[test]
fn must_10_a_legacy_host_may_leave_its_port_out() {
    let mut world = World::new();
    world.negotiate(None, &["l:1"]).unwrap();
    let ping = world.take("l:1", PING).remove(0);
    world.answer(
        &ping,
        None,
        &encoded(&trefoil_proto::control_plane::PingReply {
            host: "l",
            unix_time: 1,
        }),
    );
    assert!(world.knows("l:1"));
}

#[test]
fn must_10_a_dead_legacy_host_goes_once_a_legacy_peer_leaves_it_out() {
    let mut world = mixed();
    let mut seconds = 0;
    while world.knows("l:1") {
        world.pass(Duration::from_millis(100));
        world.pong("m:1", None);
        world.no_pong("l:1");
        for call in world.take("l:1", NEGOTIATE) {
            world.fail(&call, Cause::Deadline);
        }
        // The legacy peer notices after three seconds, by itself.
        let hosts: Vec<&str> = if seconds < 30 {
            std::vec!["m:1", "me:1", "l:1"]
        } else {
            std::vec!["m:1", "me:1"]
        };
        for call in world.take("m:1", NEGOTIATE) {
            world.answer(&call, None, &encoded(&NegotiateReply { hosts: &hosts[..] }));
        }
        seconds += 1;
        assert!(seconds < 120);
    }
    assert!(seconds >= 30, "a positive is believed");
    assert!(
        world
            .told
            .contains(&Told::Down("l:1".into(), DownReason::Failed))
    );
}

#[test]
fn must_7_a_legacy_host_that_closed_comes_back_by_its_answer() {
    let mut world = mixed();
    world.closing(None, None, "l:1");
    assert_eq!(world.told, [Told::Down("l:1".into(), DownReason::Closed)]);
    // Others still list it for a while, and it may still answer: not looked into so soon.
    world.negotiate(None, &["m:1", "l:1"]).unwrap();
    assert_eq!(world.pong("l:1", None), 0);
    world.pass(Duration::from_secs(3));
    world.negotiate(None, &["l:1"]).unwrap();
    assert_eq!(world.pong("l:1", None), 1);
    assert_eq!(world.told.last(), Some(&Told::Up("l:1".into(), 0, true)));
}

#[test]
fn must_7_one_of_ours_that_closed_comes_back_by_a_new_start_that_calls() {
    let mut world = mixed();
    world.admit(&["b:1"]);
    world.closing(Some(("b:1", 1)), None, "b:1");
    assert!(!world.knows("b:1"));
    world.called_by("b:1", 2, PING, &[]);
    assert!(world.knows("b:1"));
}

#[test]
fn must_10_ours_are_asked_before_legacy_peers() {
    let mut world = mixed();
    world.admit(&["b:1", "c:1", "d:1", "x:1"]);
    world.closing(Some(("b:1", 1)), None, "x:1");
    world.pass(Duration::from_millis(500));
    world.no_pong("x:1");
    world.pass(Duration::from_millis(1));
    world.no_pong("x:1");
    let asked: usize = ["b:1", "c:1", "d:1"]
        .iter()
        .map(|name| world.vote(name, &["me:1"]))
        .sum();
    assert_eq!(asked, 3);
    assert!(!world.knows("x:1"));
}

#[test]
fn a_legacy_host_that_becomes_one_of_ours_is_a_restart() {
    let mut world = mixed();
    world.called_by("l:1", 1, PING, &[]);
    let restart = [
        Told::Down("l:1".into(), DownReason::Restarted),
        Told::Up("l:1".into(), 1, false),
    ];
    assert_eq!(world.told, restart);
}
