//! Links on which nothing fails, far apart, and with stalls: nobody is to hang up, and nobody to campaign.

#![expect(
    clippy::disallowed_methods,
    reason = "the thread that measures runs no node"
)]

use std::time::Duration;

use trefoil_benches::{free_host, is_test};

use crate::cluster::{Cluster, Said, VOTERS};
use crate::figure::load;
use crate::proxy::Network;
use crate::say;

pub(crate) fn all() {
    let ms = Duration::from_millis;
    for (round_trip, stalls) in [
        (ms(30), false),
        (ms(100), false),
        (ms(30), true),
        (ms(100), true),
    ] {
        watch(round_trip, stalls);
    }
}

fn watch(round_trip: Duration, stalls: bool) {
    let listens: Vec<String> = (0..VOTERS).map(|_| free_host()).collect();
    let hosts: Vec<String> = (0..VOTERS).map(|_| free_host()).collect();
    let network = Network::between(&hosts, &listens);
    let mut cluster = Cluster::behind("idle", false, hosts, listens);
    network.delay(round_trip / 2);
    cluster.settled();
    network.stall(stalls);
    std::thread::sleep(Duration::from_secs(3));
    let before = (counters(&mut cluster), network.ended());
    let length = Duration::from_secs(if is_test() { 5 } else { 120 });
    std::thread::sleep(length);
    let after = (counters(&mut cluster), network.ended());
    let drops = after.0.0 - before.0.0 + after.1 - before.1;
    let elections = after.0.1 - before.0.1;
    let stalled = if stalls {
        ", half a second of every two without a byte"
    } else {
        ""
    };
    let verdict = match (drops, elections) {
        (0, 0) => "met",
        _ => "MISSED",
    };
    say(&format!(
        "idle, {length:?} at a round trip of {round_trip:?}{stalled}: {drops} streams or connections dropped, \
         {elections} campaigns or new leaders; target 0, 0: {verdict}; load {}",
        load()
    ));
}

/// Streams opened or given up, and campaigns and leaderships, of all voters.
fn counters(cluster: &mut Cluster) -> (u64, u64) {
    let mut sum = (0, 0);
    for at in 0..VOTERS {
        cluster.ask(at, "counters");
        let (drops, elections) = cluster.wait("counters", |from, said| match *said {
            Said::Counters {
                streams,
                timeouts,
                campaigns,
                leaderships,
            } if from == at => Some((streams + timeouts, campaigns + leaderships)),
            _ => None,
        });
        sum = (sum.0 + drops, sum.1 + elections);
    }
    sum
}
