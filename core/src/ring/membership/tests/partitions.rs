//! Splits and heals, and who holds the majority meanwhile.

extern crate std;

use std::vec::Vec;

use trefoil_proto::control_plane::NegotiateReply;

use super::net::{Net, Told, host};
use super::world::{World, encoded};
use crate::codes;
use crate::method::control_plane::{NEGOTIATE, PING};
use crate::ring::membership::{MembershipCommand, MembershipConfig, PartitionPolicy};
use crate::status::{Code, Status};
use crate::stream::StreamIn;
use crate::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn cluster(n: usize, partition: PartitionPolicy, seed: u64) -> Net {
    let mut net = Net::new(
        MembershipConfig {
            partition,
            ..MembershipConfig::lan()
        },
        seed,
    );
    for _ in 0..n {
        net.add(&[0, 1]);
    }
    let all: Vec<usize> = (0..n).collect();
    net.until(SECOND * 10, |net| net.agree(&all, &all));
    net.run(SECOND * 2);
    assert!(all.iter().all(|at| net.nodes[*at].machine.has_majority()));
    net
}

fn majorities(net: &Net) -> Vec<usize> {
    (0..net.nodes.len())
        .filter(|at| net.nodes[*at].machine.has_majority())
        .collect()
}

/// Splits into the hosts before `at` and the others; both sides settle.
fn split(net: &mut Net, at: usize) -> (Vec<usize>, Vec<usize>) {
    let (low, high): (Vec<usize>, Vec<usize>) = (0..net.nodes.len()).partition(|node| *node < at);
    net.cut(|node| u8::from(node >= at));
    net.until(SECOND * 40, |net| {
        net.agree(&low, &low) && net.agree(&high, &high)
    });
    (low, high)
}

#[test]
fn best_10_keep_majority_keeps_one_side_and_heals() {
    for (n, at, seed) in [(3, 1, 1), (5, 2, 2), (5, 3, 3), (10, 4, 4), (30, 12, 5)] {
        let mut net = cluster(n, PartitionPolicy::KeepMajority, seed);
        let (low, high) = split(&mut net, at);
        let larger = if low.len() > high.len() { &low } else { &high };
        assert_eq!(majorities(&net), *larger);
        net.cut(|_| 0);
        let all: Vec<usize> = (0..n).collect();
        let time = net.until(SECOND * 20, |net| net.agree(&all, &all));
        std::eprintln!("heal n={n} at {at}: {time:?}");
        assert_eq!(majorities(&net), all);
    }
}

#[test]
fn best_10_of_two_equal_halves_the_lowest_name_goes_on() {
    for (n, at) in [(2, 1), (4, 2), (8, 4)] {
        let mut net = cluster(n, PartitionPolicy::KeepMajority, 7);
        let (low, _) = split(&mut net, at);
        assert_eq!(majorities(&net), low);
    }
}

#[test]
fn best_10_three_sides_without_a_majority_all_stop() {
    let mut net = cluster(9, PartitionPolicy::KeepMajority, 8);
    net.cut(|node| (node / 3) as u8);
    net.run(SECOND * 30);
    assert_eq!(majorities(&net), Vec::<usize>::new());
    net.cut(|_| 0);
    let all: Vec<usize> = (0..9).collect();
    net.until(SECOND * 20, |net| net.agree(&all, &all));
    assert_eq!(majorities(&net), all);
}

#[test]
fn best_10_keep_both_keeps_both() {
    let mut net = cluster(5, PartitionPolicy::KeepBoth, 9);
    split(&mut net, 2);
    assert_eq!(majorities(&net).len(), 5);
    assert!(net.nodes.iter().all(|node| {
        node.told
            .iter()
            .all(|(_, told)| *told != Told::Majority(false))
    }));
}

#[test]
fn keep_quorum_follows_what_is_said_and_not_the_numbers() {
    let config = MembershipConfig {
        partition: PartitionPolicy::KeepQuorum,
        ..MembershipConfig::lan()
    };
    let mut net = Net::new(config, 11);
    for _ in 0..5 {
        net.add(&[0, 1]);
    }
    let all: Vec<usize> = (0..5).collect();
    net.until(SECOND * 10, |net| net.agree(&all, &all));
    assert_eq!(
        majorities(&net),
        Vec::<usize>::new(),
        "nothing was said yet"
    );
    for at in 0..5 {
        net.command(at, MembershipCommand::Quorum(true));
    }
    // Who has not joined waits until a member vouches for itself.
    net.until(SECOND * 10, |net| majorities(net) == all);
    // The voters are on the smaller side.
    let (low, high) = split(&mut net, 2);
    for at in high {
        net.command(at, MembershipCommand::Quorum(false));
    }
    assert_eq!(majorities(&net), low);
    net.cut(|_| 0);
    net.until(SECOND * 20, |net| net.agree(&all, &all));
    assert_eq!(majorities(&net), low, "to be whole again is not enough");
    for at in 0..5 {
        net.command(at, MembershipCommand::Quorum(true));
    }
    assert_eq!(majorities(&net), all, "all have joined, and go on at once");
}

#[test]
fn a_majority_may_shrink_and_a_minority_never_turns_into_one() {
    let mut net = cluster(5, PartitionPolicy::KeepMajority, 10);
    split(&mut net, 2);
    // Longer than a tombstone: the larger side forgets the smaller one.
    net.run(SECOND * 150);
    assert_eq!(majorities(&net), [2, 3, 4]);
    // Of the three that are left, two go on; of five they would not.
    net.crash(4);
    net.run(SECOND * 20);
    assert_eq!(
        majorities(&net).len(),
        3,
        "the crashed one has its last word"
    );
    assert!(net.nodes[2].machine.has_majority() && net.nodes[3].machine.has_majority());
    // A host that comes to the smaller side learns of nobody else, and still holds no majority.
    let late = net.add(&[0]);
    net.run(SECOND * 20);
    assert!(net.knows(late, 0) && net.knows(late, 1));
    assert!(!net.nodes[late].machine.has_majority() && !net.nodes[0].machine.has_majority());
    net.cut(|_| 0);
    let rest = [0, 1, 2, 3, late];
    net.until(SECOND * 20, |net| net.agree(&rest, &rest));
    assert!(rest.iter().all(|at| net.nodes[*at].machine.has_majority()));
}

#[test]
fn a_node_with_seeds_waits_for_one_of_them() {
    let mut net = Net::new(MembershipConfig::lan(), 11);
    let node = net.add(&[1]);
    net.run(SECOND * 30);
    assert!(!net.nodes[node].machine.has_majority());
    assert_eq!(
        net.nodes[node].told[0].1,
        Told::Majority(false),
        "told at the start"
    );
    let seed = net.add(&[]);
    assert_eq!(seed, 1);
    net.until(SECOND * 12, |net| {
        net.agree(&[0, 1], &[0, 1]) && net.nodes[0].machine.has_majority()
    });
}

#[test]
fn a_node_that_is_its_own_seed_begins_alone_after_a_silence() {
    let mut net = Net::new(MembershipConfig::lan(), 12);
    net.add(&[0, 1]);
    net.run(Duration::from_millis(1_900));
    assert!(!net.nodes[0].machine.has_majority());
    net.run(Duration::from_millis(200));
    assert!(net.nodes[0].machine.has_majority());
}

#[test]
fn a_node_without_seeds_is_the_first() {
    let mut net = Net::new(MembershipConfig::lan(), 13);
    net.add(&[]);
    net.run(Duration::from_millis(1));
    assert_eq!(net.nodes[0].told[0].1, Told::Majority(true));
    assert_eq!(
        net.nodes[0]
            .machine
            .members()
            .next()
            .map(|member| member.host.len()),
        Some(host(0).len())
    );
}

/// Lets `b:1` answer, and nobody else, until it is asked for its view; it lists `hosts`.
fn exchange_with_b(world: &mut World, hosts: &[&str]) {
    for _ in 0..200 {
        world.silence(SECOND / 10);
        world.pong("b:1", Some(1));
        if let Some(call) = world.take("b:1", NEGOTIATE).pop() {
            return world.answer(&call, Some(1), &encoded(&NegotiateReply { hosts }));
        }
    }
    panic!("b:1 is never asked");
}

/// `me:1`, which lost `gone` and with them the majority, and then met `b:1`.
fn minority(gone: &[&str]) -> World {
    let mut world = World::members(gone);
    world.silence(SECOND * 40);
    assert!(!world.machine.has_majority());
    world.called_by("b:1", 1, PING, &[]);
    world.pong("b:1", Some(1));
    assert!(world.knows("b:1") && !world.machine.has_majority());
    world
}

#[test]
fn a_newcomer_that_lost_all_it_knew_comes_back_by_a_member_that_holds_the_majority() {
    let mut world = minority(&["a:1"]);
    exchange_with_b(&mut world, &["b:1"]);
    assert!(!world.machine.has_majority(), "it has joined nobody itself");
    exchange_with_b(&mut world, &["me:1"]);
    assert!(
        !world.machine.has_majority(),
        "it does not vouch for itself"
    );
    exchange_with_b(&mut world, &["b:1", "me:1"]);
    assert!(world.machine.has_majority());
}

#[test]
fn those_who_failed_count_while_the_other_does_not_know_of_it() {
    let mut world = minority(&["a:1", "aa:1"]);
    exchange_with_b(&mut world, &["a:1", "b:1", "me:1"]);
    assert!(!world.machine.has_majority(), "it may not have noticed yet");
    exchange_with_b(&mut world, &["b:1", "me:1"]);
    assert!(world.machine.has_majority(), "it goes on without them");
}

#[test]
fn a_node_that_may_be_about_to_lose_the_majority_does_not_vouch_for_itself() {
    let mut world = World::members(&["a:1", "c:1"]);
    let healthy = |world: &mut World| world.negotiate(Some("a:1"), &["a:1"]).unwrap();
    assert!(healthy(&mut world).contains(&"me:1".into()));
    // All pings fail, and the hold runs.
    while world.told.len() < 2 {
        world.silence(SECOND / 10);
    }
    assert!(world.machine.has_majority());
    assert!(!healthy(&mut world).contains(&"me:1".into()));
}

#[test]
fn a_node_that_has_not_joined_speaks_for_itself_alone() {
    let mut world = World::with(|config| config.seeds = std::vec!["a:1".into()]);
    world.pong("a:1", Some(1));
    assert!(world.knows("a:1"));
    assert_eq!(world.negotiate(Some("a:1"), &["a:1"]).unwrap(), ["me:1"]);
}

#[test]
fn a_node_whose_seed_is_configured_otherwise_does_not_begin_alone() {
    let mut world = World::with(|config| config.seeds = std::vec!["me:1".into(), "a:1".into()]);
    let refuse = |world: &mut World| {
        for call in world.take("a:1", PING) {
            let status = Status::new(Code::FailedPrecondition, codes::OTHER_STORE);
            world.event(call.stream, call.tag, StreamIn::Ended(status));
        }
    };
    for _ in 0..100 {
        refuse(&mut world);
        world.pass(SECOND / 10);
    }
    assert!(!world.machine.has_majority());
    // The seed is gone for good: nobody is there any more who could disagree.
    world.silence(SECOND * 20);
    assert!(world.machine.has_majority());
}
