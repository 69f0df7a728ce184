//! All voters are started at once: for the first time, and after all of them were killed.

use std::time::Duration;

use crate::cluster::{Cluster, between, now};
use crate::figure::{Times, report};
use crate::runs;

pub(crate) fn all() {
    let (mut leaders, mut meshes, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs() {
        let mut cluster = Cluster::new("cold", false);
        let begun = now();
        cluster.start();
        leaders.push(between(begun, cluster.leader_above(0).at));
        meshes.push(between(begun, cluster.meshed()));
        let newest = cluster.settled();
        cluster.end();
        let begun = now();
        cluster.start();
        again.push(between(begun, cluster.leader_above(newest.token).at));
    }
    let ms = Duration::from_millis;
    let target = [(50, ms(150))];
    report(
        "cold start, processes included: leader",
        &Times::of(leaders),
        &target,
    );
    let target = [(100, ms(1_000))];
    report(
        "cold start: a full mesh of streams",
        &Times::of(meshes),
        &target,
    );
    report(
        "all killed and started again: leader",
        &Times::of(again),
        &[],
    );
}
