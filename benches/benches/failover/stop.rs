//! The leader falls silent: its process stands still, or nothing reaches it and nothing it says arrives.

use std::time::Duration;

use rustix::process::Signal;
use trefoil_benches::free_host;

use crate::cluster::{Cluster, Nanos, Said, VOTERS, between, now};
use crate::figure::{Times, report};
use crate::proxy::Network;
use crate::{runs, say};

const TARGET: [(usize, Duration); 2] = [
    (50, Duration::from_millis(1_050)),
    (99, Duration::from_millis(1_200)),
];

pub(crate) fn all() {
    report(
        "stop, the process stands still: new leader",
        &stopped(),
        &TARGET,
    );
    report("stop, a black hole: new leader", &cut_off(), &TARGET);
}

fn stopped() -> Times {
    let mut cluster = Cluster::new("stop", false);
    let mut times = Vec::new();
    for _ in 0..runs() {
        let old = cluster.settled();
        let stopped = now();
        cluster.signal(old.by, Signal::STOP);
        let new = cluster.leader_above(old.token);
        assert_ne!(new.by, old.by, "who stands still does not lead");
        times.push(between(stopped, new.at));
        // The first it does when it goes on is to answer.
        cluster.ask(old.by, "leads?");
        cluster.signal(old.by, Signal::CONT);
        assert!(!cluster.leads_answered(old.by), "it leads no more");
        is_out_before(&mut cluster, old.by, old.token, new.at);
    }
    say(&format!(
        "stop: {} times the old leader said at once that it leads no more",
        runs()
    ));
    Times::of(times)
}

fn cut_off() -> Times {
    let listens: Vec<String> = (0..VOTERS).map(|_| free_host()).collect();
    let hosts: Vec<String> = (0..VOTERS).map(|_| free_host()).collect();
    let network = Network::between(&hosts, &listens);
    let mut cluster = Cluster::behind("cut", false, hosts, listens);
    let mut times = Vec::new();
    for _ in 0..runs() {
        let old = cluster.settled();
        let cut = now();
        network.cut(old.by);
        let new = cluster.leader_above(old.token);
        assert_ne!(new.by, old.by, "who is cut off does not lead");
        times.push(between(cut, new.at));
        assert!(!cluster.leads(old.by), "it leads no more");
        is_out_before(&mut cluster, old.by, old.token, new.at);
        network.heal();
    }
    Times::of(times)
}

/// By the word of the old leader, its lease ended before the new one led.
fn is_out_before(cluster: &mut Cluster, old: usize, led: i64, new: Nanos) {
    let end = cluster.wait("the end of its lease", |by, said| match *said {
        Said::Out { token, until, .. } if (by, token) == (old, led) => Some(until),
        _ => None,
    });
    assert!(end <= new, "two leaders for {:?}", between(new, end));
}
