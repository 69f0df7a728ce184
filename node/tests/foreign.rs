//! Programs that share no code with this one, against running nodes: clients of the control plane and of the log
//! channels, a peer that knows none of our metadata, and a streaming node of another make that our coordinator drives.
//! They are Python's grpcio, on stubs generated from our schemas, and `@grpc/grpc-js` of Node.js, which reads them.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "foreign/cluster.rs"]
mod cluster;
#[path = "foreign/programs.rs"]
mod programs;

use std::process::Command;

use cluster::{ASYNC_STD, Cluster, TOKIO, Way};
use programs::{here, javascript, python};

fn serves_a_foreign_client(way: Way) {
    let Some(python) = python() else { return };
    let cluster = Cluster::up(way);
    let mut client = python.script("client.py");
    client.arg(cluster.hosts.join(","));
    schemas(&mut client);
    if way.runtime != "tokio" {
        client.env("FOREIGN_REFLECTION", "none");
    }
    cluster.admits(&mut client);
    cluster.passes(client);
}

/// Tells a script of the control plane where its schemas are.
fn schemas(script: &mut Command) {
    script
        .arg(here("../proto/proto/control_plane.proto"))
        .arg(here("proto/cart.proto"));
}

#[test]
fn a_foreign_client_is_served() {
    serves_a_foreign_client(TOKIO);
}

#[test]
fn a_foreign_client_is_served_on_async_std() {
    serves_a_foreign_client(ASYNC_STD);
}

#[test]
fn a_foreign_client_with_a_certificate_and_a_token_is_served() {
    for runtime in ["tokio", "async-std"] {
        let is_secure = true;
        serves_a_foreign_client(Way { runtime, is_secure });
    }
}

#[test]
fn a_peer_without_our_metadata_is_a_member() {
    for way in [TOKIO, ASYNC_STD] {
        let Some(python) = python() else { return };
        let cluster = Cluster::up(way);
        let mut peer = python.script("legacy.py");
        peer.arg(&cluster.spare).arg(cluster.hosts.join(","));
        schemas(&mut peer);
        cluster.passes(peer);
    }
}

/// What a node of the later dialect is configured with.
const LATER: &str = "cluster = 'by-dev'\n[channels]\ndialect = 'v2024-08'\n";

/// Has Python use the channels of a cluster, in a dialect.
fn serves_foreign_channels(start: impl FnOnce() -> Cluster, name: &str, dialect: &str) {
    let Some(python) = python() else { return };
    let cluster = start();
    let mut client = python.script("channels.py");
    client.arg(name).arg(cluster.hosts.join(","));
    cluster.admits(&mut client);
    client.env("FOREIGN_DIALECT", dialect);
    cluster.passes(client);
}

#[test]
fn foreign_producers_and_consumers_are_served() {
    serves_foreign_channels(|| Cluster::up(TOKIO), "local", "seed");
}

#[test]
fn foreign_producers_and_consumers_are_served_on_async_std() {
    serves_foreign_channels(|| Cluster::up(ASYNC_STD), "local", "seed");
}

#[test]
fn foreign_producers_and_consumers_with_a_certificate_and_a_token_are_served() {
    let is_secure = true;
    let start = || Cluster::up(Way { is_secure, ..TOKIO });
    serves_foreign_channels(start, "local", "seed");
}

#[test]
fn foreign_producers_and_consumers_are_served_in_the_later_dialect() {
    let start = || Cluster::serve(TOKIO, |_| LATER.to_owned());
    serves_foreign_channels(start, "by-dev", "v2024-08");
}

/// How long a node of another make may be silent, and may write after it is gone, in milliseconds.
const SILENCE: u64 = 3_000;
const GRACE: u64 = 3_000;

#[test]
fn a_streaming_node_of_another_make_is_driven_by_our_coordinator() {
    let Some(python) = python() else { return };
    let cluster = Cluster::serve(TOKIO, |spare| {
        format!(
            "[channels.foreign]\nnodes = ['{spare}']\nsilence_ms = {SILENCE}\ngrace_ms = {GRACE}\n"
        )
    });
    let mut worker = python.script("worker.py");
    worker.args([&cluster.spare, &cluster.hosts[0], &GRACE.to_string()]);
    cluster.passes(worker);
}

/// Has Node.js use the channels of a cluster, in a dialect.
fn serves_javascript(start: impl FnOnce() -> Cluster, dialect: &str) {
    let Some(javascript) = javascript() else {
        return;
    };
    let cluster = start();
    let mut client = javascript.script("channels.js");
    client.arg(cluster.hosts.join(","));
    client.env("FOREIGN_DIALECT", dialect);
    cluster.passes(client);
}

#[test]
fn a_client_on_node_js_is_served() {
    serves_javascript(|| Cluster::up(TOKIO), "seed");
}

#[test]
fn a_client_on_node_js_is_served_in_the_later_dialect() {
    serves_javascript(|| Cluster::serve(TOKIO, |_| LATER.to_owned()), "v2024-08");
}
