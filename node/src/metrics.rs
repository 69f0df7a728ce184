//! Basic metrics in the text format of Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusBuilder;
use trefoil_runtime::{Handle, Platform, task};

/// How often values are read from the nodes.
const INTERVAL: Duration = Duration::from_secs(2);

/// What is a level rather than a count.
const GAUGES: &[&str] = &[
    "members",
    "majority",
    "actors",
    "known_ids",
    "calls_open",
    "streams_open",
    "callers_waiting",
    "leading",
    "voters_quorum",
    "voters_connected",
    "channels_open",
    "channels_known",
    "channels_assigned",
];

/// Serves the metrics of some nodes at `address` until the runtime ends.
///
/// # Errors
/// The address cannot be used.
pub fn serve<P: Platform>(address: SocketAddr, nodes: Vec<Handle>) -> Result<()> {
    PrometheusBuilder::new()
        .with_http_listener(address)
        .install()
        .with_context(|| {
            format!("TF-N07: cannot serve metrics on {address}; is another program there?")
        })?;
    P::here().spawn(async move {
        loop {
            for node in &nodes {
                record(node).await;
            }
            task::sleep::<P>(INTERVAL).await;
        }
    });
    Ok(())
}

async fn record(node: &Handle) {
    // A node that was stopped shows its last values.
    let Ok(stats) = node.stats().await else {
        return;
    };
    for (name, value) in stats.counters {
        let labels = [("node", node.host().to_owned())];
        if GAUGES.contains(&name) {
            metrics::gauge!(format!("trefoil_{name}"), &labels).set(value as f64);
        } else {
            metrics::counter!(format!("trefoil_{name}_total"), &labels).absolute(value);
        }
    }
}
