//! `trefoil up`: a lasting local cluster in one process.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use trefoil_core::election::{ElectionConfig, Memory};
use trefoil_runtime::{ChannelsConfig, Handle, Node, NodeOptions, Platform, Security, task};
use trefoil_store::{Store, StoreOptions};

use crate::cart::Carts;
use crate::cli::{Up, Way};
use crate::reach::{DAY, Reach, certificates};
use crate::{certs, metrics, say, serve, store};

/// How many of the nodes vote, the others follow: more only cost more.
const VOTERS: usize = 5;

/// Runs the cluster until it is interrupted.
///
/// # Errors
/// The store or an address cannot be used.
pub async fn run<P: Platform>(args: Up, way: &Way) -> Result<()> {
    let last = args.port.checked_add(args.nodes - 1);
    let Some(last) = last else {
        bail!(
            "TF-N04: {} nodes from port {} on: there are no so many ports",
            args.nodes,
            args.port
        );
    };
    let hosts: Vec<String> = (args.port..=last)
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let store = Store::open(&args.data, StoreOptions::default())
        .with_context(|| format!("cannot open the store in {}", args.data.display()))?;
    let mut reach = Reach::new(way)?;
    reach.accepts_both |= args.accept_both;
    let mut hint = way
        .certs
        .as_ref()
        .map_or_else(String::new, |dir| format!(" --certs {}", dir.display()));
    if reach.needs_certificates() && reach.security.tls().is_none() {
        let dir = args.data.join("certs");
        certs::of_this_machine(&dir)?;
        reach.security = Security::Tls(certificates(&dir)?);
        hint = format!(" --certs {}", dir.display());
        keep_made::<P>(dir);
    }
    if let Some(file) = &way.token_file {
        hint = format!("{hint} --token-file {}", file.display());
    }
    if let Some(transport) = reach.transport {
        hint = format!(" --transport {}{hint}", transport.as_str());
    }
    reach.keep_fresh::<P>()?;
    let voters = &hosts[..hosts.len().min(VOTERS)];
    let mut nodes = Vec::new();
    for host in &hosts {
        let mut options = NodeOptions::new(host.clone(), args.cluster.clone());
        options.join = hosts.clone();
        options.election = Some(ElectionConfig {
            // All voters keep their votes in the one store that was opened here, or was made.
            memory: Memory::Kept { first: true },
            ..ElectionConfig::lan(0, voters)
        });
        let mut channels = ChannelsConfig::default();
        channels.coordinator.expected_nodes = u32::from(args.nodes);
        options.channels = Some(channels);
        reach.node(&mut options);
        options.incarnation = store.begin_incarnation(host)?;
        nodes.push(Node::<P>::spawn(options, Carts, store.session(host)).await?);
    }
    let handles: Vec<Handle> = nodes.iter().map(|node| node.handle().clone()).collect();
    if let Some(address) = args.metrics {
        metrics::serve::<P>(address, handles.clone())?;
    }
    together::<P>(&handles, Duration::from_secs(20)).await?;
    say(&format!(
        "{} nodes are up: {}",
        hosts.len(),
        hosts.join(", ")
    ));
    say(&format!(
        "try: trefoil status --at {0}{hint}   trefoil leader show --at {0}{hint}   trefoil cart add 7 apple 2 --at {0}{hint}   trefoil channels create orders --at {0}{hint}",
        hosts[0]
    ));
    tokio::select! {
        heard = serve::interrupted() => heard?,
        why = store::stopped::<P>(&store, None) => {
            for node in nodes {
                node.kill().await;
            }
            return Err(why.into());
        }
    }
    say("leaving: calls in flight end, actors are put to rest");
    serve::shut_down(nodes).await
}

/// Makes the certificates of this machine anew before they expire, as long as the program runs. They are
/// read again as all are.
fn keep_made<P: Platform>(dir: PathBuf) {
    P::here().spawn(async move {
        loop {
            task::sleep::<P>(DAY).await;
            let dir = dir.clone();
            if let Err(error) = P::unblock(move || certs::of_this_machine(&dir)).await {
                tracing::error!("certificates cannot be made anew: {error:#}");
            }
        }
    });
}

/// Waits until every node counts every other as alive and may own ids.
///
/// # Errors
/// They did not find each other in time.
pub async fn together<P: Platform>(nodes: &[Handle], within: Duration) -> Result<()> {
    let whole = async {
        for node in nodes {
            let mut watch = node.watch();
            // The sender lives as long as the node does.
            let _ = watch
                .wait_for(|view| view.alive().count() == nodes.len() && view.majority)
                .await;
        }
    };
    task::timeout::<P, _>(within, whole).await.with_context(|| {
        format!(
            "TF-N08: {} nodes did not find each other within {within:?}",
            nodes.len()
        )
    })
}
