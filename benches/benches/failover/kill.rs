//! The leader's process is killed; where a refused dial is proof, nobody waits for its lease.

use std::time::Duration;

use crate::cluster::{Cluster, between};
use crate::figure::{Syncs, Times, report};
use crate::{runs, say};

pub(crate) fn all() {
    let mut syncs = Syncs::new();
    let with = times(true, &mut syncs);
    let target = [
        (50, Duration::from_millis(60)),
        (100, Duration::from_millis(120)),
    ];
    report("kill, a refused dial is proof: new leader", &with, &target);
    let without = times(false, &mut syncs);
    report("kill, it proves nothing: new leader", &without, &[]);
    say(&format!("kill: a sync took {}", syncs.times()));
}

fn times(evidence: bool, syncs: &mut Syncs) -> Times {
    let mut cluster = Cluster::new("kill", evidence);
    let mut times = Vec::new();
    for _ in 0..runs() {
        let old = cluster.settled();
        let killed = cluster.kill_now(old.by);
        let new = cluster.leader_above(old.token);
        assert_ne!(new.by, old.by, "who is dead does not lead");
        times.push(between(killed, new.at));
        cluster.kill(old.by);
        syncs.take();
    }
    Times::of(times)
}
