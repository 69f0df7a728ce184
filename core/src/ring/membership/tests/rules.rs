//! R1 to R7, each by the exact calls it makes.

extern crate std;

use std::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;

use trefoil_proto::control_plane::{NegotiateReply, PingReply};

use super::world::{Told, World, encoded, ours};
use crate::header::Header;
use crate::identity::PROBE;
use crate::machine::Machine;
use crate::method::control_plane::{CLOSING, NEGOTIATE, PING};
use crate::ring::membership::{DownReason, MACHINE, MembershipPlant, State};
use crate::status::{Cause, Code, Status};
use crate::stream::{Class, StreamIn};
use crate::time::Duration;

const PEERS: [&str; 4] = ["b:1", "c:1", "d:1", "x:1"];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn failed(name: &str) -> Told {
    Told::Down(name.into(), DownReason::Failed)
}

/// Runs until `x:1` is probed by turn, the others answering.
fn probe_of_x(world: &mut World) {
    for _ in 0..8 {
        world.pass(ms(1_000));
        for name in ["b:1", "c:1", "d:1"] {
            world.pong(name, Some(1));
        }
        answer_exchanges(world);
        if world.calls.iter().any(|call| call.method == PING) {
            return;
        }
    }
    panic!("x:1 is never probed");
}

fn answer_exchanges(world: &mut World) {
    let (exchanges, rest): (Vec<_>, Vec<_>) = core::mem::take(&mut world.calls)
        .into_iter()
        .partition(|call| call.method == NEGOTIATE && Header(&call.header).value(PROBE).is_none());
    world.calls = rest;
    for call in exchanges {
        let hosts: Vec<String> = world
            .machine
            .members()
            .map(|member| member.host.into())
            .collect();
        let hosts: Vec<&str> = hosts.iter().map(|host| &**host).collect();
        world.answer(
            &call,
            Some(1),
            &encoded(&NegotiateReply { hosts: &hosts[..] }),
        );
    }
}

/// `x:1` is a suspect: one probe failed, three peers confirmed.
fn suspect() -> World {
    let mut world = World::members(&PEERS);
    probe_of_x(&mut world);
    assert_eq!(world.no_pong("x:1"), 1);
    for name in ["b:1", "c:1", "d:1"] {
        assert_eq!(world.vote(name, &["me:1"]), 1);
    }
    assert_eq!(world.told, [Told::Suspected("x:1".into())]);
    world
}

#[test]
fn r1_every_peer_is_probed_once_a_round() {
    let mut world = World::members(&PEERS);
    // What is left of the round the hosts came in.
    for _ in 0..40 {
        world.pass(ms(100));
        for name in PEERS {
            world.pong(name, Some(1));
        }
    }
    world.settle();
    let mut probed = BTreeSet::new();
    while probed.is_empty() {
        world.pass(ms(10));
        for name in PEERS {
            if world.pong(name, Some(1)) > 0 {
                probed.insert(name);
            }
        }
        answer_exchanges(&mut world);
    }
    for round in 0..7 {
        world.pass(ms(1_000));
        let mut count = 0;
        for name in PEERS {
            let pings = world.take(name, PING);
            for ping in &pings {
                assert_eq!((ping.class, ping.tag.machine()), (Class::Control, MACHINE));
                assert!(ping.deadline.unwrap().since(world.now) <= ms(500));
                world.answer(
                    ping,
                    Some(1),
                    &encoded(&PingReply {
                        host: name,
                        unix_time: 0,
                    }),
                );
            }
            if !pings.is_empty() && round < 3 {
                probed.insert(name);
            }
            count += pings.len();
        }
        assert_eq!(count, 1, "one probe an interval");
        answer_exchanges(&mut world);
    }
    assert_eq!(probed, BTreeSet::from(PEERS));
}

#[test]
fn r2_peers_are_asked_by_a_marked_short_list() {
    let mut world = World::members(&PEERS);
    probe_of_x(&mut world);
    world.no_pong("x:1");
    for name in ["b:1", "c:1", "d:1"] {
        let asks = world.take(name, NEGOTIATE);
        assert_eq!(asks.len(), 1);
        assert_eq!(Header(&asks[0].header).text(PROBE), Some("1"));
        assert_eq!(world.asked_about(&asks[0]), ["me:1", "x:1"]);
    }
}

#[test]
fn r2_one_positive_clears_whatever_the_others_say() {
    let mut world = World::members(&PEERS);
    probe_of_x(&mut world);
    world.no_pong("x:1");
    world.vote("b:1", &["me:1"]);
    world.vote("c:1", &["me:1"]);
    world.vote("d:1", &["me:1", "x:1"]);
    assert_eq!(world.told, []);
    assert!(
        world
            .machine
            .members()
            .all(|member| member.state == State::Alive)
    );
}

#[test]
fn r2_one_negative_is_not_enough_where_there_are_more_peers() {
    let mut world = World::members(&PEERS);
    probe_of_x(&mut world);
    world.no_pong("x:1");
    world.vote("b:1", &["me:1"]);
    for name in ["c:1", "d:1"] {
        for ask in world.take(name, NEGOTIATE) {
            world.fail(&ask, Cause::Deadline);
        }
        assert_eq!(
            world.pong(name, Some(1)),
            1,
            "a peer that does not answer is pinged"
        );
    }
    assert_eq!(world.told, [], "asked again later");
    world.pass(ms(700));
    assert_eq!(world.no_pong("x:1"), 1);
    for name in ["b:1", "c:1", "d:1"] {
        world.vote(name, &["me:1"]);
    }
    assert_eq!(world.told, [Told::Suspected("x:1".into())]);
}

#[test]
fn r2_a_marked_question_is_answered_after_a_ping() {
    for answers in [true, false] {
        let mut world = World::members(&["b:1", "x:1"]);
        let request = encoded(&trefoil_proto::control_plane::NegotiateRequest {
            known_hosts: ["b:1", "x:1"],
        });
        let (stream, tag) = world.call(
            Some("b:1"),
            NEGOTIATE,
            &ours("b:1", 1, Some(PROBE)),
            &request,
        );
        world.event(stream, tag, StreamIn::HalfClosed);
        assert!(world.io.ended.is_empty(), "the answer waits");
        if answers {
            assert_eq!(world.pong("x:1", Some(1)), 1);
            assert_eq!(world.hosts_of(stream).unwrap(), ["me:1", "x:1"]);
        } else {
            assert_eq!(world.no_pong("x:1"), 1);
            assert_eq!(world.hosts_of(stream).unwrap(), ["me:1"]);
        }
    }
}

#[test]
fn r2_errands_are_bounded_and_end_with_their_callers() {
    let mut world = World::with(|config| config.errands_max = 1);
    world.admit(&["b:1", "x:1", "y:1"]);
    let ask = |world: &mut World, about: &str| {
        let request = encoded(&trefoil_proto::control_plane::NegotiateRequest {
            known_hosts: ["b:1", about],
        });
        world.call(
            Some("b:1"),
            NEGOTIATE,
            &ours("b:1", 1, Some(PROBE)),
            &request,
        )
    };
    let (first, tag) = ask(&mut world, "x:1");
    let (second, _) = ask(&mut world, "y:1");
    assert_eq!(
        world.hosts_of(second).unwrap(),
        ["me:1", "y:1"],
        "from what is believed"
    );
    world.event(
        first,
        tag,
        StreamIn::Ended(Status::new(Code::Cancelled, "")),
    );
    world.pong("x:1", Some(1));
    assert_eq!(world.io.take_end(first), None, "nobody waits any more");
}

#[test]
fn r3_a_suspect_is_probed_through_the_hold_then_asked_about_then_removed() {
    let mut world = suspect();
    assert_eq!(world.machine.live(), 5, "a suspect is a member");
    assert!(
        !world.negotiate(None, &[]).unwrap().contains(&"x:1".into()),
        "and is told of to nobody"
    );
    let mut probes = 0;
    for _ in 0..19 {
        world.pass(ms(100));
        probes += world.no_pong("x:1");
        for name in ["b:1", "c:1", "d:1"] {
            world.pong(name, Some(1));
            assert_eq!(
                world.vote(name, &["me:1"]),
                0,
                "not asked before the hold is over"
            );
        }
        answer_exchanges(&mut world);
    }
    assert_eq!((probes, world.told.len()), (2, 1));
    world.pass(ms(100));
    for name in ["b:1", "c:1"] {
        assert_eq!(world.vote(name, &["me:1"]), 1);
    }
    assert!(world.knows("x:1"));
    world.vote("d:1", &["me:1"]);
    assert!(!world.knows("x:1"));
    assert_eq!(world.told[1..], [failed("x:1")]);
}

#[test]
fn r3_any_success_clears_a_suspect() {
    let mut world = suspect();
    world.pass(ms(700));
    assert_eq!(world.pong("x:1", Some(1)), 1);
    assert_eq!(world.told[1..], [Told::Cleared("x:1".into())]);
    world.pass(ms(1_500));
    assert!(world.knows("x:1"));
}

#[test]
fn r3_a_call_of_a_suspect_is_no_answer_but_is_looked_into_at_once() {
    let mut world = suspect();
    world.called_by("x:1", 1, PING, &[]);
    assert_eq!(world.told.len(), 1);
    assert_eq!(world.pong("x:1", Some(1)), 1);
    assert_eq!(world.told[1..], [Told::Cleared("x:1".into())]);
}

#[test]
fn r3_refused_skips_the_hold_only_if_told_to() {
    for skips in [true, false] {
        let mut world = World::with(|config| config.refused_skips_hold = skips);
        world.admit(&PEERS);
        probe_of_x(&mut world);
        let ping = world.take("x:1", PING).remove(0);
        world.fail(&ping, Cause::Refused);
        for name in ["b:1", "c:1", "d:1"] {
            world.vote(name, &["me:1"]);
        }
        assert_eq!(world.knows("x:1"), !skips);
    }
}

/// Removes `x:1` by the whole of R1 to R3.
fn removed() -> World {
    let mut world = suspect();
    for _ in 0..20 {
        world.pass(ms(100));
        world.no_pong("x:1");
        for name in ["b:1", "c:1", "d:1"] {
            world.pong(name, Some(1));
            world.vote(name, &["me:1"]);
        }
        answer_exchanges(&mut world);
    }
    assert_eq!(world.told.last(), Some(&failed("x:1")));
    world
}

#[test]
fn r4_a_removal_is_told_to_f_peers() {
    let mut world = removed();
    let told: Vec<_> = ["b:1", "c:1", "d:1"]
        .iter()
        .map(|name| world.take(name, CLOSING).len())
        .collect();
    assert_eq!(told, [1, 1, 1]);
}

#[test]
fn r4_a_relayed_notice_is_passed_on_at_once_and_believed_after_two_pings_and_r2() {
    let mut world = World::members(&["b:1", "c:1", "d:1", "e:1", "x:1"]);
    assert_eq!(world.closing(Some(("b:1", 1)), None, "x:1").code, Code::Ok);
    let relays = |world: &mut World| -> usize {
        ["b:1", "c:1", "d:1", "e:1"]
            .iter()
            .map(|name| world.take(name, CLOSING).len())
            .sum()
    };
    assert_eq!(relays(&mut world), 3);
    assert!(world.knows("x:1"));
    // Told again, it is not passed on again: news dies out.
    world.closing(Some(("c:1", 1)), None, "x:1");
    assert_eq!(relays(&mut world), 0);
    world.pass(ms(500));
    assert_eq!(world.no_pong("x:1"), 1);
    assert_eq!(
        world.vote("b:1", &["me:1"]) + world.vote("c:1", &["me:1"]),
        0,
        "one ping is not enough"
    );
    world.pass(ms(1));
    assert_eq!(world.no_pong("x:1"), 1);
    let votes: usize = ["b:1", "c:1", "d:1", "e:1"]
        .iter()
        .map(|name| world.vote(name, &["me:1"]))
        .sum();
    assert_eq!(votes, 3);
    assert!(!world.knows("x:1"));
    assert_eq!(world.told, [failed("x:1")], "no second hold");
}

#[test]
fn r4_a_false_notice_ends_at_the_first_answer() {
    let mut world = World::members(&["b:1", "c:1", "x:1"]);
    world.closing(Some(("b:1", 1)), None, "x:1");
    world.pong("x:1", Some(1));
    world.pass(ms(3_000));
    assert_eq!(world.told, []);
}

#[test]
fn r5_views_are_exchanged_every_second_and_sooner_while_they_change() {
    let mut world = World::members(&["b:1", "c:1"]);
    world.pass(ms(5_000));
    world.settle();
    let exchanges = |world: &mut World, time: u64| {
        world.pass(ms(time));
        let mut count = 0;
        for name in ["b:1", "c:1"] {
            world.pong(name, Some(1));
            for call in world.take(name, NEGOTIATE) {
                count += 1;
                let known = world.asked_about(&call);
                assert!(
                    known.contains(&"me:1".into()),
                    "the full view, this node included: {known:?}"
                );
                assert_eq!(known.len(), world.machine.live());
            }
        }
        count
    };
    assert!((9..=11).contains(&exchanges(&mut world, 10_000)));
    world.called_by("d:1", 1, PING, &[]);
    assert!(exchanges(&mut world, 1_000) >= 3);
}

#[test]
fn r5_a_member_that_the_callee_leaves_out_is_probed_before_its_turn() {
    let mut world = World::members(&["b:1", "c:1", "x:1"]);
    world.pass(ms(1_200));
    let exchange = world
        .calls
        .iter()
        .find(|call| call.method == NEGOTIATE)
        .cloned()
        .unwrap();
    world.calls.clear();
    let before = world.now;
    // Only the youngest do not know more than half.
    world.answer(
        &exchange,
        Some(1),
        &encoded(&NegotiateReply { hosts: ["me:1"] }),
    );
    assert!(world.calls.is_empty());
    world.pass(ms(1_000));
    let name = ["b:1", "c:1", "x:1"];
    let (exchange, callee) = name
        .iter()
        .find_map(|name| {
            world
                .take(name, NEGOTIATE)
                .into_iter()
                .next_back()
                .map(|call| (call, *name))
        })
        .unwrap();
    world.calls.clear();
    let missing = *name.iter().find(|name| **name != callee).unwrap();
    let rest: Vec<&str> = name
        .into_iter()
        .filter(|name| *name != missing)
        .chain(["me:1"])
        .collect();
    assert!(world.now > before);
    for open in world.take(missing, PING) {
        world.answer(
            &open,
            Some(1),
            &encoded(&PingReply {
                host: missing,
                unix_time: 0,
            }),
        );
    }
    world.answer(
        &exchange,
        Some(1),
        &encoded(&NegotiateReply { hosts: &rest[..] }),
    );
    assert!(world.knows(missing));
}

#[test]
fn r5_a_tombstone_in_hearsay_is_pinged_once_in_two_seconds() {
    let mut world = removed();
    world.calls.clear();
    let mut pings = 0;
    for _ in 0..100 {
        world.pass(ms(100));
        world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
        pings += world.no_pong("x:1");
        world.settle();
    }
    assert!((3..=5).contains(&pings), "{pings} in ten seconds");
    assert!(!world.knows("x:1"));
}

#[test]
fn r6_hearsay_resurrects_nobody_and_an_answer_does() {
    let mut world = removed();
    world.calls.clear();
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    assert!(!world.knows("x:1"));
    world.pass(ms(2_000));
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    assert!(!world.knows("x:1"));
    assert_eq!(world.pong("x:1", Some(1)), 1);
    assert!(world.knows("x:1"));
    // The test sees the rule broken.
    let mut world = removed();
    world.machine.plant(MembershipPlant::HearsayResurrects);
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    assert!(world.knows("x:1"));
}

#[test]
fn r6_a_call_under_a_higher_incarnation_comes_back_at_once_and_a_lower_one_never() {
    let mut world = World::members(&["b:1", "c:1"]);
    world.called_by("x:1", 5, PING, &[]);
    world.pong("x:1", Some(5));
    world.closing(Some(("x:1", 5)), Some(crate::identity::DRAIN), "x:1");
    assert!(!world.knows("x:1"));
    world.pass(ms(3_000));
    world.called_by("x:1", 4, PING, &[]);
    world.called_by("x:1", 5, PING, &[]);
    world.pong("x:1", Some(5));
    assert!(!world.knows("x:1"));
    world.called_by("x:1", 6, PING, &[]);
    assert_eq!(world.told.last(), Some(&Told::Up("x:1".into(), 6, false)));
}

#[test]
fn r7_a_late_timeout_drops_suspicions_and_removes_nobody() {
    let mut world = suspect();
    world.now += ms(10_000);
    world.tick();
    assert_eq!(world.told[1..], [Told::Cleared("x:1".into())]);
    // The failure of a ping from before says nothing.
    world.no_pong("x:1");
    for name in ["b:1", "c:1", "d:1"] {
        assert_eq!(world.vote(name, &["me:1"]), 0);
    }
    let mut world = suspect();
    world.machine.plant(MembershipPlant::NoLagGuard);
    world.now += ms(10_000);
    world.tick();
    assert_eq!(
        world.vote("b:1", &["me:1"]),
        1,
        "the test sees the guard missing"
    );
}

#[test]
fn r7_a_deadline_that_is_heard_of_late_says_nothing() {
    let mut world = World::members(&PEERS);
    probe_of_x(&mut world);
    // The stream table tells of the deadline before the machine is told of the time.
    world.now += ms(3_000);
    assert_eq!(world.no_pong("x:1"), 1);
    for name in ["b:1", "c:1", "d:1"] {
        assert_eq!(world.vote(name, &["me:1"]), 0);
    }
}

#[test]
fn due_times_are_kept() {
    let mut world = World::members(&PEERS);
    world.machine.plant(MembershipPlant::LateTimeout);
    let due = world.machine.poll_timeout().unwrap();
    world.now = due;
    world.tick();
    assert_eq!(
        world.machine.poll_timeout(),
        Some(due),
        "the planted bug is seen"
    );
}
