//! How long a cluster of three is without a leader after its leader's process was killed: a cluster of ours and
//! one of redhac's, in turns. The argument is how many kills of each; twenty if there is none.
//!
//! Both are at rest, on the loopback, without TLS. A time is from right before the signal to the moment when a
//! survivor's program, which watches the node in its process, knows that it leads. Ours make their votes durable,
//! and take a refused dial for proof; redhac's keep nothing.

use std::time::Duration;

use trefoil_core::election::{Evidence, RedhacVotes};
use trefoil_core::time::Instant;
use trefoil_interop_redhac::cluster::{Cluster, Failed, Kind, Settings};
use trefoil_interop_redhac::figures::{Times, load};
use trefoil_runtime::clock;

const ALL: [usize; 3] = [0, 1, 2];

/// Redhac's nodes wait up to 7.5 s before they dial again.
const REDIALS: Duration = Duration::from_secs(15);

/// What ours may take.
const MOST_P50: Duration = Duration::from_millis(60);
const MOST: Duration = Duration::from_millis(120);

struct Side {
    cluster: Cluster,
    times: Vec<Duration>,
}

impl Side {
    async fn begin(kind: Kind) -> Result<Self, Failed> {
        let settings = Settings {
            evidence: Evidence::Refused,
            redhac_log: "warn",
            ..Settings::new(RedhacVotes::Ignored)
        };
        let mut cluster = Cluster::new(&[kind; 3], settings).await?;
        for node in ALL {
            cluster.start(node)?;
        }
        let times = Vec::new();
        Ok(Self { cluster, times })
    }

    /// Kills the leader when all is well; how long until another leads.
    async fn kill(&mut self) -> Result<Duration, Failed> {
        let cluster = &mut self.cluster;
        cluster.meshed().await?;
        let (_, leader) = cluster.agree(&ALL, REDIALS, |_| true).await?;
        // Nobody asks meanwhile, and the kill falls anywhere between two heartbeats.
        cluster.probe.rest(true);
        let chance = clock::now().as_nanos() % 400;
        tokio::time::sleep(Duration::from_millis(600 + chance)).await;

        let killed = clock::now();
        cluster.kill(leader)?;
        let took = next_leads(cluster, leader, killed).await?;
        cluster.start(leader)?;
        cluster.probe.rest(false);
        self.times.push(took);
        Ok(took)
    }
}

async fn next_leads(cluster: &Cluster, old: usize, killed: Instant) -> Result<Duration, Failed> {
    while clock::now().since(killed) < REDIALS {
        let others = ALL.into_iter().filter(|node| *node != old);
        let told = others.flat_map(|node| cluster.told(node, killed));
        if let Some(first) = told.filter(|told| told.leads).map(|told| told.at).min() {
            return Ok(first.since(killed));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("nobody leads:\n{}", cluster.logs()).into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    tokio::task::LocalSet::new().run_until(measure()).await
}

async fn measure() -> Result<(), Failed> {
    let kills = std::env::args()
        .nth(1)
        .map_or(Ok(20), |kills| kills.parse())?;
    println!("load before: {}", load());
    let mut ours = Side::begin(Kind::Ours).await?;
    let mut redhac = Side::begin(Kind::Redhac).await?;
    for kill in 0..kills {
        // Whoever is second has the restart of the other behind it.
        let (us, them) = if kill % 2 == 0 {
            let us = ours.kill().await?;
            (us, redhac.kill().await?)
        } else {
            let them = redhac.kill().await?;
            (ours.kill().await?, them)
        };
        println!("kill {}: ours {us:.1?}, redhac's {them:.1?}", kill + 1);
    }
    let (ours, redhac) = (Times::of(ours.times), Times::of(redhac.times));
    let met = ours.percentile(50) <= MOST_P50 && ours.percentile(100) <= MOST;
    let told = if met { "met" } else { "MISSED" };
    println!("leader killed, new leader, ours: {ours}; target p50 60 ms, max 120 ms: {told}");
    println!("leader killed, new leader, redhac's: {redhac}");
    println!("load after: {}", load());
    Ok(())
}
