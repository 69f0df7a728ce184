//! What the tests share.
#![allow(dead_code, reason = "no test uses all of it")]

use std::future::Future;
use std::time::Duration;

use tokio::task::LocalSet;
use trefoil_core::election::RedhacVotes;
use trefoil_interop_redhac::cluster::{Cluster, Failed, Kind, Settings};

pub(crate) use Kind::{Ours, Redhac};

pub(crate) const IGNORED: RedhacVotes = RedhacVotes::Ignored;
pub(crate) const COUNTED: RedhacVotes = RedhacVotes::CountedTwoMayLead;

/// Runs a test to its end, on one thread.
pub(crate) fn run(test: impl Future<Output = Result<(), Failed>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        if let Err(failed) = test.await {
            panic!("{failed}");
        }
    });
}

/// A cluster whose nodes are started in an order, with a pause after each.
pub(crate) async fn started(
    kinds: &[Kind],
    settings: Settings,
    order: &[usize],
    pause: Duration,
) -> Result<Cluster, Failed> {
    let mut cluster = Cluster::new(kinds, settings).await?;
    for node in order {
        cluster.start(*node)?;
        tokio::time::sleep(pause).await;
    }
    Ok(cluster)
}

pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Tells what was measured.
pub(crate) fn measured(what: &str, value: impl std::fmt::Debug) {
    eprintln!("measured: {what}: {value:?}");
}
