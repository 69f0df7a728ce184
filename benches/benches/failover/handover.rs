//! The leadership is handed over as planned.

use std::time::Duration;

use crate::cluster::{Cluster, Said, VOTERS, between};
use crate::figure::{Syncs, Times, report};
use crate::{runs, say};

/// Hand-overs in a row that a token can count; the next one steps down instead, and the others wait for
/// their turn.
const CHAIN: usize = 15;

pub(crate) fn all() {
    let mut cluster = Cluster::new("handover", false);
    let mut syncs = Syncs::new();
    let mut times = Vec::new();
    for run in 0..runs() {
        if run > 0 && run % CHAIN == 0 {
            let led = cluster.settled();
            cluster.kill(led.by);
        }
        let old = cluster.settled();
        let heir = (old.by + 1 + run % (VOTERS - 1)) % VOTERS;
        let line = format!("handover {}", cluster.host(heir));
        syncs.take();
        cluster.ask(old.by, &line);
        let new = cluster.leader_above(old.token);
        let (asked, done) = cluster.wait("an answer", |by, said| match *said {
            Said::Handed { at, done } if by == old.by => Some((at, done)),
            _ => None,
        });
        assert!(done, "a leader may hand over");
        times.push(between(asked, new.at));
    }
    let most = Duration::from_millis(20);
    report(
        "hand-over, votes synced: time without a leader",
        &Times::of(times),
        &[(99, most)],
    );
    say(&format!("hand-over: a sync took {}", syncs.times()));
}
