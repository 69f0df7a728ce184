//! Whole clusters: starts, crashes, joins, restarts, freezes, loss.

extern crate std;

use std::vec::Vec;
use std::{eprintln, format};

use super::net::{Net, Told, host};
use crate::ring::membership::{DownReason, MembershipCommand, MembershipConfig, MembershipPlant};
use crate::time::Duration;

fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settled(n: usize, seed: u64) -> Net {
    let mut net = Net::cluster(n, seed);
    net.until(secs(10), |net| net.agree(&all(n), &all(n)));
    net.run(secs(3));
    net
}

/// Median and worst of some runs in milliseconds, printed with `--nocapture`.
fn figures(what: &str, mut times: Vec<u128>) -> (u128, u128) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!(
        "{what}: median {median} ms, worst {worst} ms of {}",
        times.len()
    );
    (median, worst)
}

#[test]
fn best_6_cold_start_all_know_all() {
    for (n, bound) in [(3, 1_500), (10, 3_450), (50, 4_200)] {
        let times = (0..5).map(|seed| {
            let mut net = Net::cluster(n, seed);
            net.until(secs(20), |net| net.agree(&all(n), &all(n)))
                .as_millis()
        });
        let (_, worst) = figures(&format!("cold start n={n}"), times.collect());
        assert!(worst <= bound, "n={n}: {worst} ms");
    }
}

#[test]
fn best_6_a_crash_is_known_by_all() {
    for (n, median_max, worst_max) in [
        (3, 7_800, 12_300),
        (10, 8_700, 12_300),
        (50, 11_100, 16_200),
    ] {
        let times = (0..7).map(|seed| {
            let mut net = settled(n, seed);
            net.crash(n - 1);
            let rest = all(n - 1);
            let time = net
                .until(secs(30), |net| net.agree(&rest, &rest))
                .as_millis();
            for at in rest {
                assert!(
                    net.nodes[at]
                        .told
                        .iter()
                        .any(|(_, told)| *told == Told::Down(host(n - 1), DownReason::Failed))
                );
            }
            time
        });
        let (median, worst) = figures(&format!("crash n={n}"), times.collect());
        assert!(
            median <= median_max && worst <= worst_max,
            "n={n}: {median} ms, {worst} ms"
        );
    }
}

#[test]
fn a_refused_connection_may_skip_the_hold() {
    let config = MembershipConfig {
        refused_skips_hold: true,
        ..MembershipConfig::lan()
    };
    let mut net = Net::new(config, 4);
    for _ in 0..5 {
        net.add(&[0]);
    }
    net.refuses = true;
    net.until(secs(10), |net| net.agree(&all(5), &all(5)));
    net.crash(4);
    let time = net.until(secs(4), |net| net.agree(&all(4), &all(4)));
    eprintln!("refused crash n=5: {time:?}");
}

#[test]
fn best_6_a_join_is_known_by_all() {
    for (n, bound) in [(3, 600), (10, 1_350), (50, 3_900)] {
        let times = (0..5).map(|seed| {
            let mut net = settled(n, seed);
            net.add(&[0]);
            net.until(secs(20), |net| net.agree(&all(n + 1), &all(n + 1)))
                .as_millis()
        });
        let (_, worst) = figures(&format!("join n={n}"), times.collect());
        assert!(worst <= bound, "n={n}: {worst} ms");
    }
}

#[test]
fn best_6_messages_at_rest() {
    let n = 20;
    let mut net = settled(n, 3);
    net.run(secs(10));
    let before = net.calls;
    net.run(secs(60));
    let rate = (net.calls - before) * 2 / 60 / n as u64;
    eprintln!("messages at rest: {rate} a host a second");
    assert!(rate <= 4);
}

#[test]
fn best_8_a_restart_under_the_same_name_is_known_by_all() {
    for pause in [Duration::from_millis(100), secs(20)] {
        let times = (0..5).map(|seed| {
            let n = 10;
            let mut net = settled(n, seed);
            net.crash(9);
            net.run(pause);
            net.restart(9, &[0]);
            let current = |net: &Net| {
                (0..9).all(|at| {
                    net.nodes[at]
                        .machine
                        .members()
                        .any(|member| member.host == host(9) && member.incarnation == 2)
                })
            };
            let time = net.until(secs(20), |net| current(net) && net.agree(&all(n), &all(n)));
            for at in 0..9 {
                let told = &net.nodes[at].told;
                let down = told
                    .iter()
                    .position(|(_, told)| matches!(told, Told::Down(name, _) if *name == host(9)));
                let up = told
                    .iter()
                    .position(|(_, told)| *told == Told::Up(host(9), 2));
                assert!(
                    down.unwrap() < up.unwrap(),
                    "the ids of the first start are dropped"
                );
            }
            time.as_millis()
        });
        let (_, worst) = figures(&format!("restart after {pause:?}"), times.collect());
        assert!(worst <= 5_000);
    }
}

fn removed_by_a_frozen_host(plant: Option<MembershipPlant>) -> usize {
    (0..5)
        .map(|seed| {
            let mut net = settled(10, seed);
            if let Some(plant) = plant {
                net.plant(plant);
            }
            // A hold that has begun in the frozen host is what its guard is for.
            net.crash(9);
            net.until(secs(20), |net| {
                net.nodes[0]
                    .told
                    .iter()
                    .any(|(_, told)| matches!(told, Told::Suspected(_)))
            });
            net.restart(9, &[1]);
            net.freeze(0, secs(10));
            net.run(secs(20));
            assert!(
                net.agree(&all(10), &all(10)),
                "the frozen host is a member again"
            );
            let removed = net.nodes[0]
                .told
                .iter()
                .filter(|(_, told)| matches!(told, Told::Down(_, DownReason::Failed)));
            removed.count()
        })
        .sum()
}

#[test]
fn r7_a_host_that_froze_removes_nobody() {
    assert_eq!(removed_by_a_frozen_host(None), 0);
}

#[test]
fn best_7_pauses_of_five_seconds_are_forgiven_by_the_patient() {
    let mut net = Net::new(MembershipConfig::patient(), 8);
    for _ in 0..12 {
        net.add(&[0]);
    }
    net.until(secs(10), |net| net.agree(&all(12), &all(12)));
    net.loss = 10;
    for round in 0..60 {
        net.freeze(
            round * 7 % 12,
            Duration::from_millis(500 + round as u64 * 4_500 / 60),
        );
        net.run(secs(8));
    }
    assert_eq!((0..12).map(|at| net.downs(at)).sum::<usize>(), 0);
}

#[test]
fn best_7_five_percent_loss_removes_nobody() {
    let mut net = settled(30, 5);
    net.loss = 50;
    net.run(secs(120));
    assert_eq!((0..30).map(|at| net.downs(at)).sum::<usize>(), 0);
    net.crash(29);
    let rest = all(29);
    net.until(secs(16), |net| net.agree(&rest, &rest));
}

#[test]
fn two_hosts_need_no_third() {
    let mut net = settled(2, 6);
    net.crash(1);
    net.until(secs(8), |net| net.agree(&[0], &[0]));
    net.restart(1, &[0]);
    net.until(secs(2), |net| net.agree(&[0, 1], &[0, 1]));
}

fn resurrections(plant: Option<MembershipPlant>) -> usize {
    (0..10)
        .map(|seed| {
            let mut net = settled(8, seed);
            if let Some(plant) = plant {
                net.plant(plant);
            }
            net.loss = 50;
            net.crash(7);
            net.run(secs(40));
            (0..7)
                .map(|at| {
                    let told = &net.nodes[at].told;
                    let ups = told
                        .iter()
                        .filter(|(_, told)| matches!(told, Told::Up(name, _) if *name == host(7)));
                    ups.count() - 1
                })
                .sum::<usize>()
        })
        .sum()
}

#[test]
fn best_8_the_dead_do_not_come_back_by_hearsay() {
    assert_eq!(resurrections(None), 0);
    assert!(
        resurrections(Some(MembershipPlant::HearsayResurrects)) > 0,
        "the test sees the bug"
    );
}

#[test]
fn decision_8_a_host_that_leaves_is_gone_at_once_and_stays_away() {
    let mut net = settled(10, 7);
    net.command(4, MembershipCommand::Leave);
    let rest: Vec<usize> = (0..10).filter(|at| *at != 4).collect();
    let time = net.until(Duration::from_millis(100), |net| net.agree(&rest, &rest));
    eprintln!("leave: {time:?}");
    net.run(secs(50));
    assert!(
        net.agree(&rest, &rest),
        "it still answers, and is no member"
    );
    assert_eq!(
        net.nodes[4]
            .told
            .iter()
            .filter(|(_, told)| *told == Told::Left)
            .count(),
        1
    );
    for at in &rest {
        let told = &net.nodes[*at].told;
        assert!(
            told.iter()
                .any(|(_, told)| *told == Told::Draining(host(4)))
        );
        assert!(
            told.iter()
                .any(|(_, told)| *told == Told::Down(host(4), DownReason::Closed))
        );
    }
    net.crash(4);
    net.restart(4, &[0]);
    net.until(secs(5), |net| net.agree(&all(10), &all(10)));
}

#[test]
fn best_13_a_seed_replays_itself() {
    let run = || {
        let mut net = settled(8, 99);
        net.loss = 30;
        net.crash(3);
        net.run(secs(20));
        net.nodes
            .iter()
            .flat_map(|node| node.told.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
