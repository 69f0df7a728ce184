//! Nodes on different runtimes, and by different transports, in one cluster.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::Future;
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_lite::future;
use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_proto::google::Any;
use trefoil_runtime::tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_runtime::{
    Client, ClientOptions, Handle, Node, NodeOptions, Platform, Security, TransportKind, task,
};
use trefoil_runtime_async_std::AsyncStd;
use trefoil_runtime_tokio::Tokio;
use trefoil_store::{Durability, Store, StoreOptions};

/// Counts calls.
#[derive(Clone)]
struct Counts;
struct Count(u64);

impl ActorKind for Counts {
    type Actor = Count;
    fn load(&self, _: u64, snapshot: Option<&[u8]>) -> Result<Count, Failed> {
        let Some(bytes) = snapshot else {
            return Ok(Count(0));
        };
        let bytes = bytes.try_into().map_err(|_| Failed)?;
        Ok(Count(u64::from_le_bytes(bytes)))
    }
}

impl Actor for Count {
    fn apply(&mut self, _: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        self.0 += 1;
        Ok(())
    }
    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }
    fn type_url(&self) -> &str {
        "type.googleapis.com/test.Count"
    }
}

const ADD: Any<'_> = Any {
    type_url: "type.googleapis.com/test.Add",
    value: &[],
};

/// A host whose port is free for both transports.
fn free_host() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % 2_000;
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let host = format!("127.0.0.1:{}", 30_000 + (first + next) % 2_000);
        if TcpListener::bind(&host).is_ok() && UdpSocket::bind(&host).is_ok() {
            return host;
        }
    }
}

fn store() -> Store {
    let options = StoreOptions {
        durability: Durability::None,
        ..StoreOptions::default()
    };
    Store::in_memory(options).unwrap()
}

fn security() -> Security {
    let authority = Authority::new("tests").unwrap();
    let issued = authority
        .issue(&["127.0.0.1"], Duration::from_secs(3_600))
        .unwrap();
    let pem = TlsPem {
        ca: authority.cert_pem(),
        identity: Some((issued.cert_pem, issued.key_pem)),
    };
    Security::Tls(Tls::from_pem(pem, ClientAuth::Required).unwrap())
}

/// Runs a test where nodes of both runtimes can be waited for.
fn run(test: impl Future<Output = ()>) {
    Tokio::run(test).unwrap();
}

/// What `future` gives, which must be soon.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let within = Duration::from_secs(20);
    match task::timeout::<AsyncStd, _>(within, future).await {
        Some(value) => value,
        None => panic!("nothing came of it within {within:?}"),
    }
}

async fn node<P: Platform>(store: &Store, options: NodeOptions) -> Node<P> {
    let session = store.session(&options.host);
    soon(Node::spawn(options, Counts, session)).await.unwrap()
}

/// Adds to as many ids through each node as there are, and reads each through another.
async fn use_all(nodes: &[Handle]) {
    for node in nodes {
        let mut view = node.watch();
        let whole = view.wait_for(|view| view.majority && view.alive().count() == nodes.len());
        soon(whole).await.unwrap();
    }
    for id in 0..24 {
        for node in nodes {
            soon(node.apply(id, &[ADD])).await.unwrap();
        }
    }
    for (at, id) in (0..24).enumerate() {
        let got = soon(nodes[at % nodes.len()].get(id)).await.unwrap();
        assert_eq!(got.state(), (nodes.len() as u64).to_le_bytes());
    }
}

#[test]
fn nodes_on_different_runtimes_form_one_cluster_by_either_transport() {
    run(async {
        for transport in [TransportKind::Tonic, TransportKind::Quic] {
            let (store, security) = (store(), security());
            let hosts: Vec<String> = (0..3).map(|_| free_host()).collect();
            let of = |at: usize| {
                let mut options = NodeOptions::new(hosts[at].clone(), "mixed");
                options.join.clone_from(&hosts);
                options.transport = Some(transport);
                options.security = security.clone();
                options
            };
            let first = node::<Tokio>(&store, of(0)).await;
            let second = node::<AsyncStd>(&store, of(1)).await;
            let third = node::<AsyncStd>(&store, of(2)).await;
            let nodes = [first.handle(), second.handle(), third.handle()].map(Handle::clone);
            use_all(&nodes).await;
            soon(first.shutdown()).await;
            future::zip(soon(second.shutdown()), soon(third.shutdown())).await;
        }
    });
}

#[test]
fn nodes_by_different_transports_form_one_cluster_where_both_listen() {
    run(async {
        let (store, security) = (store(), security());
        let hosts: Vec<String> = (0..3).map(|_| free_host()).collect();
        let of = |at: usize| {
            let mut options = NodeOptions::new(hosts[at].clone(), "mixed");
            options.join.clone_from(&hosts);
            options.transport = Some([TransportKind::Tonic, TransportKind::Quic][at % 2]);
            options.accepts_both = true;
            options.security = security.clone();
            options
        };
        let first = node::<Tokio>(&store, of(0)).await;
        let second = node::<Tokio>(&store, of(1)).await;
        let third = node::<AsyncStd>(&store, of(2)).await;
        let nodes = [first.handle(), second.handle(), third.handle()].map(Handle::clone);
        use_all(&nodes).await;
        // A client by either of them reaches any node.
        for transport in [TransportKind::Tonic, TransportKind::Quic] {
            for host in &hosts {
                let mut options = ClientOptions::to([host.clone()]);
                options.transport = Some(transport);
                options.security = security.clone();
                let client = Client::<AsyncStd>::start(options).unwrap();
                let got = soon(client.get(7)).await.unwrap();
                assert_eq!(got.state(), 3_u64.to_le_bytes());
            }
        }
        soon(second.shutdown()).await;
        future::zip(soon(first.shutdown()), soon(third.shutdown())).await;
    });
}
