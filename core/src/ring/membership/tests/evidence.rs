//! Decision 8: what is evidence of whom, and what is not.

extern crate std;

use std::string::ToString;
use std::{format, vec};

use trefoil_proto::control_plane::{ClosingNotice, NegotiateRequest, PingReply};
use trefoil_proto::wire::Decode;

use super::world::{Told, World, encoded, ours};
use crate::codes;
use crate::header::Header;
use crate::id::Tag;
use crate::identity::DRAIN;
use crate::machine::Machine;
use crate::method::control_plane::{CLOSING, NEGOTIATE, PING};
use crate::ring::membership::{DownReason, MembershipCommand, MembershipRefused, State};
use crate::status::{Cause, Code, Status};
use crate::stream::StreamIn;
use crate::time::{Duration, WallClock};

fn closed(name: &str) -> Told {
    Told::Down(name.into(), DownReason::Closed)
}

#[test]
fn decision_8_an_anonymous_ping_is_answered_and_is_evidence_of_nobody() {
    let mut world = World::new();
    let (stream, _) = world.call(None, PING, &[], &[]);
    assert_eq!(world.io.take_end(stream).unwrap().code, Code::Ok);
    assert_eq!((world.machine.live(), world.calls.len()), (1, 0));
}

#[test]
fn decision_8_the_list_of_an_anonymous_negotiate_is_verified_by_ping() {
    let mut world = World::new();
    assert_eq!(
        world
            .negotiate(None, &["l:1", "m:1", "l:1", "me:1"])
            .unwrap(),
        ["me:1"]
    );
    assert_eq!(world.machine.live(), 1);
    assert_eq!(world.calls.len(), 2, "one ping each, none of itself");
    world.pong("l:1", None);
    world.no_pong("m:1");
    assert_eq!(world.told[1..], [Told::Up("l:1".into(), 0, true)]);
}

#[test]
fn decision_8_closing_without_our_metadata_drops_at_once() {
    let mut world = World::members(&["b:1", "x:1"]);
    assert_eq!(world.closing(None, None, "x:1").code, Code::Ok);
    assert_eq!(world.told, [closed("x:1")]);
    world.closing(None, None, "x:1");
    assert_eq!(world.told.len(), 1, "idempotent");
}

#[test]
fn a_stranger_is_not_believed_where_nodes_are_known_by_certificates() {
    let mut world = World::with(|config| config.believes_strangers = false);
    world.admit(&["x:1", "b:1"]);
    world.closing(None, None, "x:1");
    assert!(world.knows("x:1"));
    assert_eq!(world.take("x:1", PING).len(), 1, "it is asked first");
}

#[test]
fn decision_8_closing_of_a_host_by_itself_drops_at_once() {
    let mut world = World::members(&["b:1", "x:1"]);
    world.closing(Some(("x:1", 1)), None, "x:1");
    assert_eq!(world.told, [closed("x:1")]);
}

#[test]
fn decision_8_closing_relayed_by_another_is_verified_first() {
    let mut world = World::members(&["b:1", "x:1"]);
    world.closing(Some(("b:1", 1)), None, "x:1");
    assert_eq!(world.told, []);
    assert_eq!(world.take("x:1", PING).len(), 1);
}

#[test]
fn decision_8_closing_of_a_start_that_is_over_is_ignored() {
    let mut world = World::members(&["b:1"]);
    world.called_by("x:1", 3, PING, &[]);
    world.closing(Some(("x:1", 2)), Some(DRAIN), "x:1");
    assert!(world.knows("x:1"));
}

#[test]
fn decision_8_a_draining_host_comes_back_with_a_new_incarnation_only() {
    let mut world = World::members(&["b:1", "x:1"]);
    world.closing(Some(("x:1", 1)), Some(DRAIN), "x:1");
    assert_eq!(world.told, [Told::Draining("x:1".into()), closed("x:1")]);
    world.pass(Duration::from_secs(3));
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    assert_eq!(world.pong("x:1", Some(1)), 1, "it is looked into");
    assert!(!world.knows("x:1"), "and still drains");
    world.pass(Duration::from_secs(3));
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    assert_eq!(world.pong("x:1", Some(2)), 1);
    assert!(world.knows("x:1"));
}

#[test]
fn an_answer_that_crossed_the_goodbye_does_not_count() {
    let mut world = World::members(&["b:1", "x:1"]);
    world.pass(Duration::from_millis(2_500));
    let pings = world.take("x:1", PING);
    assert!(!pings.is_empty());
    world.now += Duration::from_millis(1);
    world.closing(None, None, "x:1");
    for ping in pings {
        world.answer(
            &ping,
            Some(1),
            &encoded(&PingReply {
                host: "x:1",
                unix_time: 0,
            }),
        );
    }
    assert!(!world.knows("x:1"));
}

#[test]
fn a_higher_incarnation_is_a_restart_and_a_lower_one_is_stale() {
    let mut world = World::members(&["b:1"]);
    world.called_by("x:1", 5, PING, &[]);
    assert_eq!(world.pong("x:1", Some(5)), 1);
    world.told.clear();
    world.called_by("x:1", 4, PING, &[]);
    assert_eq!(world.told, []);
    world.called_by(
        "x:1",
        6,
        NEGOTIATE,
        &encoded(&NegotiateRequest {
            known_hosts: ["x:1"],
        }),
    );
    let restart = [
        Told::Down("x:1".into(), DownReason::Restarted),
        Told::Up("x:1".into(), 6, false),
    ];
    assert_eq!(world.told, restart);
    let incarnation = world
        .machine
        .members()
        .find(|member| member.host == "x:1")
        .map(|member| member.incarnation);
    assert_eq!(incarnation, Some(6));
}

#[test]
fn an_answer_in_another_name_is_a_failure_and_is_told() {
    let mut world = World::new();
    world.negotiate(None, &["x:1"]).unwrap();
    let ping = world.take("x:1", PING).remove(0);
    world.answer(
        &ping,
        None,
        &encoded(&PingReply {
            host: "y:1",
            unix_time: 0,
        }),
    );
    assert!(!world.knows("x:1") && !world.knows("y:1"));
    let node = world.node("x:1");
    assert_eq!(world.told.last(), Some(&Told::Misbehaved(Some(node))));
}

#[test]
fn malformed_messages_are_refused_and_told() {
    let mut world = World::members(&["b:1"]);
    let node = world.node("b:1");
    let empty = encoded(&NegotiateRequest {
        known_hosts: ["b:1", ""],
    });
    for (method, frame) in [
        (PING, vec![0x0f]),
        (NEGOTIATE, vec![0x0a, 9]),
        (NEGOTIATE, empty),
        (CLOSING, vec![]),
    ] {
        world.told.clear();
        let end = world.called_by("b:1", 1, method, &frame);
        assert_eq!(
            (end.code, &*end.message),
            (Code::InvalidArgument, codes::MALFORMED)
        );
        assert_eq!(world.told, [Told::Misbehaved(Some(node))]);
    }
    let stream = world.io.accept();
    let accepted = StreamIn::Accepted {
        from: None,
        method: PING,
        header: Header::EMPTY,
        deadline: None,
        trusted: true,
    };
    world.event(stream, Tag::NEW, accepted);
    let tag = world.io.adopted.last().unwrap().1;
    world.event(stream, tag, StreamIn::HalfClosed);
    assert_eq!(
        world.io.take_end(stream).unwrap().message,
        codes::NOT_ONE_MESSAGE
    );
}

#[test]
fn must_3_ping_tells_the_name_and_the_time_in_seconds() {
    let mut world = World::new();
    let wall = WallClock {
        at: world.now,
        unix_millis: 1_700_000_000_000,
    };
    world.command(MembershipCommand::Wall(wall)).unwrap();
    world.pass(Duration::from_millis(2_300));
    let (stream, _) = world.call(None, PING, &[], &[]);
    let frame = world.io.take_frames(stream).remove(0);
    let reply = PingReply::parse(&frame).unwrap();
    assert_eq!(
        reply,
        PingReply {
            host: "me:1",
            unix_time: 1_700_000_002
        }
    );
}

#[test]
fn must_4_negotiate_tells_the_healthy_hosts_and_drops_none_for_being_left_out() {
    let mut world = World::members(&["b:1", "c:1"]);
    let mut hosts = world.negotiate(Some("b:1"), &["b:1"]).unwrap();
    hosts.sort();
    assert_eq!(hosts, ["b:1", "c:1", "me:1"]);
    world.pass(Duration::from_millis(400));
    assert!(world.knows("c:1"));
}

#[test]
fn hearsay_is_bounded() {
    let mut world = World::with(|config| {
        config.candidates_max = 8;
        config.verifications_max = 3;
    });
    let names: vec::Vec<_> = (0..100).map(|i| format!("h{i}:1")).collect();
    let names: vec::Vec<&str> = names.iter().map(|name| &**name).collect();
    world.negotiate(None, &names).unwrap();
    assert_eq!(world.calls.len(), 3, "so many pings at once");
    let mut pinged = 0;
    while !world.calls.is_empty() {
        let call = world.calls.remove(0);
        world.fail(&call, Cause::Deadline);
        pinged += 1;
    }
    assert_eq!(pinged, 8, "so many candidates at once");
    assert_eq!(
        world.command(MembershipCommand::Verify { host: "z:1" }),
        Err(MembershipRefused::Full)
    );
    world.silence(Duration::from_secs(120));
    assert_eq!(
        world.command(MembershipCommand::Verify { host: "z:1" }),
        Ok(()),
        "those who never answer are forgotten"
    );
    assert_eq!(world.io.forgotten.len(), 8, "and so are their numbers");
}

#[test]
fn commands_are_refused_with_a_reason() {
    let mut world = World::members(&["b:1"]);
    use MembershipRefused as R;
    assert_eq!(
        world.command(MembershipCommand::Verify { host: "" }),
        Err(R::NoHost)
    );
    assert_eq!(
        world.command(MembershipCommand::Join {
            host: &"x".repeat(600)
        }),
        Err(R::NoHost)
    );
    assert_eq!(
        world.command(MembershipCommand::Down { host: "me:1" }),
        Err(R::Own)
    );
    assert_eq!(
        world.command(MembershipCommand::Down { host: "z:1" }),
        Err(R::Unknown)
    );
    assert_eq!(world.command(MembershipCommand::Leave), Ok(()));
    assert_eq!(world.command(MembershipCommand::Leave), Err(R::Leaving));
    assert_eq!(
        world.command(MembershipCommand::Join { host: "z:1" }),
        Err(R::Leaving)
    );
}

#[test]
fn a_host_that_is_declared_dead_is_dropped_told_of_and_comes_back_by_a_new_start() {
    let mut world = World::members(&["b:1", "x:1"]);
    world
        .command(MembershipCommand::Down { host: "x:1" })
        .unwrap();
    assert_eq!(world.told, [Told::Down("x:1".into(), DownReason::Declared)]);
    assert_eq!(world.take("b:1", CLOSING).len(), 1);
    world.pass(Duration::from_secs(3));
    world.called_by("x:1", 1, PING, &[]);
    world.pong("x:1", Some(1));
    assert!(!world.knows("x:1"));
    world.called_by("x:1", 2, PING, &[]);
    assert!(world.knows("x:1"));
}

#[test]
fn leaving_says_goodbye_to_all_within_a_bounded_time() {
    let mut world = World::members(&["b:1", "c:1"]);
    world.command(MembershipCommand::Leave).unwrap();
    assert_eq!(
        world.machine.members().next().map(|member| member.state),
        Some(State::Draining)
    );
    for name in ["b:1", "c:1"] {
        let notices = world.take(name, CLOSING);
        assert_eq!(notices.len(), 1);
        assert_eq!(Header(&notices[0].header).text(DRAIN), Some("1"));
        if name == "b:1" {
            world.answer(&notices[0], Some(1), &[]);
        }
    }
    assert_eq!(world.told, []);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.told, [Told::Left]);
    // It still answers, and lists itself no more.
    assert_eq!(
        world.negotiate(Some("b:1"), &["b:1"]).unwrap(),
        ["b:1", "c:1"]
    );
    assert_eq!(
        world.take("b:1", CLOSING).len(),
        1,
        "who still calls is told again"
    );
    assert_eq!(world.machine.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn a_seed_is_tried_for_ever_with_back_off() {
    let mut world = World::with(|config| config.seeds = vec!["s:1".to_string()]);
    let mut pings = 0;
    for _ in 0..600 {
        pings += world.no_pong("s:1");
        world.pass(Duration::from_millis(100));
    }
    assert!((8..=14).contains(&pings), "{pings} in a minute");
    world.pass(Duration::from_secs(11));
    assert_eq!(world.pong("s:1", Some(1)), 1);
    assert!(world.knows("s:1"));
    let exchange = world.take("s:1", NEGOTIATE);
    assert_eq!(exchange.len(), 1, "asked for its view at once");
}

#[test]
fn another_cluster_s_answer_is_none() {
    let mut world = World::new();
    world.negotiate(None, &["x:1"]).unwrap();
    let ping = world.take("x:1", PING).remove(0);
    let header = ours("y:1", 1, None);
    world.event(ping.stream, ping.tag, StreamIn::Header(Header(&header)));
    world.answer(
        &ping,
        None,
        &encoded(&PingReply {
            host: "x:1",
            unix_time: 0,
        }),
    );
    assert!(!world.knows("x:1"), "metadata of another host");
}

#[test]
fn why_a_host_is_not_reached_is_kept_until_it_answers() {
    let mut world = World::with(|config| config.seeds = vec!["b:1".into(), "c:1".into()]);
    let whys = |world: &World| -> vec::Vec<_> {
        let unreachable = world.machine.unreachable();
        unreachable
            .map(|(host, why)| (host.to_string(), why.to_string()))
            .collect()
    };
    assert!(whys(&world).is_empty(), "nobody was asked yet");
    let ends = |world: &mut World, code, cause, message| {
        let ping = world.take("b:1", PING).remove(0);
        let status = Status::new(code, message).caused_by(cause);
        world.event(ping.stream, ping.tag, StreamIn::Ended(status));
        world.pass(Duration::from_secs(12));
    };
    ends(
        &mut world,
        Code::FailedPrecondition,
        Cause::Peer,
        codes::OTHER_CLUSTER,
    );
    let told = [("b:1".to_string(), codes::OTHER_CLUSTER.to_string())];
    assert_eq!(whys(&world), told);
    // That the link backs off is no reason of its own.
    ends(
        &mut world,
        Code::Unauthenticated,
        Cause::Untrusted,
        codes::UNTRUSTED,
    );
    assert_eq!(whys(&world), told);
    assert!(world.pong("b:1", Some(1)) > 0);
    assert!(whys(&world).is_empty());
}

#[test]
fn a_seed_that_left_is_looked_for_and_comes_back_by_a_new_start() {
    let mut world = World::with(|config| config.seeds = std::vec!["b:1".into()]);
    assert_eq!(world.pong("b:1", Some(1)), 1);
    world.settle();
    world.closing(Some(("b:1", 1)), None, "b:1");
    assert!(!world.knows("b:1"));
    world.pass(Duration::from_secs(4));
    assert_eq!(world.pong("b:1", Some(1)), 1);
    assert!(!world.knows("b:1"), "it is still on its way out");
    world.pass(Duration::from_secs(12));
    assert!(world.pong("b:1", Some(2)) > 0);
    assert!(world.knows("b:1"));
}

#[test]
fn an_anonymous_goodbye_is_taken_back_by_an_answer() {
    let mut world = World::members(&["b:1", "x:1"]);
    world.closing(None, None, "x:1");
    assert!(!world.knows("x:1"));
    world.pass(Duration::from_secs(3));
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    assert_eq!(world.pong("x:1", Some(1)), 1);
    assert!(world.knows("x:1"), "nobody vouched for the news");
    // The host's own word, after somebody else's, counts.
    world.closing(None, None, "x:1");
    world.closing(Some(("x:1", 1)), None, "x:1");
    world.pass(Duration::from_secs(3));
    world.negotiate(Some("b:1"), &["b:1", "x:1"]).unwrap();
    world.pong("x:1", Some(1));
    assert!(!world.knows("x:1"));
}

#[test]
fn a_goodbye_that_was_on_its_way_while_its_host_started_anew_is_ignored() {
    let mut world = World::members(&["b:1", "x:1"]);
    let stream = world.io.accept();
    let from = Some(world.node("x:1"));
    let header = ours("x:1", 1, Some(DRAIN));
    let accepted = StreamIn::Accepted {
        from,
        method: CLOSING,
        header: Header(&header),
        deadline: None,
        trusted: true,
    };
    world.event(stream, Tag::NEW, accepted);
    let (_, tag) = *world.io.adopted.last().unwrap();
    world.called_by("x:1", 2, PING, &[]);
    let notice = encoded(&ClosingNotice { host: "x:1" });
    world.event(stream, tag, StreamIn::Frame(&notice));
    assert!(world.knows("x:1"));
}

#[test]
fn a_host_of_which_nothing_was_heard_comes_in_by_its_call() {
    let mut world = World::new();
    let call = |world: &mut World, name: &str, method| {
        let stream = world.io.accept();
        let header = ours(name, 1, None);
        let accepted = StreamIn::Accepted {
            from: None,
            method,
            header: Header(&header),
            deadline: None,
            trusted: true,
        };
        world.event(stream, Tag::NEW, accepted);
        let (_, tag) = *world.io.adopted.last().unwrap();
        (stream, tag)
    };
    call(&mut world, "b:1", PING);
    assert!(world.knows("b:1"));
    // Somebody unknown who speaks of another is not believed at once, nor does it come in by it.
    let (stream, tag) = call(&mut world, "c:1", CLOSING);
    let notice = encoded(&ClosingNotice { host: "b:1" });
    world.event(stream, tag, StreamIn::Frame(&notice));
    assert!(world.knows("b:1") && !world.knows("c:1"));
    assert!(!world.take("b:1", PING).is_empty(), "it is looked into");
}

#[test]
fn a_goodbye_that_is_not_heard_is_said_again_while_there_is_time() {
    let mut world = World::members(&["b:1", "c:1"]);
    world.command(MembershipCommand::Leave).unwrap();
    let to_c = world.take("c:1", CLOSING).remove(0);
    world.fail(&to_c, Cause::Refused);
    for _ in 0..3 {
        let to_b = world.take("b:1", CLOSING).remove(0);
        world.fail(&to_b, Cause::Lost);
        assert_eq!(world.told, [], "it is not over");
        world.pass(Duration::from_millis(250));
    }
    let to_b = world.take("b:1", CLOSING).remove(0);
    world.answer(&to_b, Some(1), &[]);
    assert_eq!(world.told, [Told::Left]);
    assert!(
        world.take("c:1", CLOSING).is_empty(),
        "nobody listens there"
    );
}

#[test]
fn a_host_that_failed_is_told_too_and_not_waited_for() {
    let mut world = World::members(&["b:1"]);
    world.silence(Duration::from_secs(20));
    assert!(!world.knows("b:1"));
    world.told.clear();
    world.command(MembershipCommand::Leave).unwrap();
    assert_eq!(world.take("b:1", CLOSING).len(), 1);
    assert_eq!(world.told, [Told::Left]);
}
