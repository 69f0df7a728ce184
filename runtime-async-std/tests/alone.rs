//! A process without tokio: nodes and clients by every transport, started and used from a bare executor.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::time::Duration;

use trefoil_core::ring::actor::{Actor, ActorKind, Failed, Rejected, Reply};
use trefoil_proto::google::Any;
use trefoil_runtime_async_std::tls::{Authority, ClientAuth, Tls, TlsPem};
use trefoil_runtime_async_std::{
    Client, ClientOptions, Node, NodeOptions, Security, TransportKind,
};
use trefoil_store::{Store, StoreOptions};

#[derive(Clone)]
struct Kind;

/// Looks around wherever it runs.
struct Look;

fn assert_no_tokio() {
    let here = tokio::runtime::Handle::try_current();
    assert!(here.is_err(), "a runtime of tokio runs this");
}

impl ActorKind for Kind {
    type Actor = Look;
    fn load(&self, _: u64, _: Option<&[u8]>) -> Result<Look, Failed> {
        assert_no_tokio();
        Ok(Look)
    }
}

impl Actor for Look {
    fn apply(&mut self, _: Any<'_>, _: &mut Reply<'_>) -> Result<(), Rejected> {
        assert_no_tokio();
        Ok(())
    }
    fn snapshot(&self, _: &mut Vec<u8>) {}
    fn type_url(&self) -> &str {
        "type.googleapis.com/test.Look"
    }
}

/// Names of all threads of this process.
#[cfg(target_os = "linux")]
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn no_runtime_of_tokio_is_started() {
    let authority = Authority::new("tests").unwrap();
    let issued = authority
        .issue(&["127.0.0.1"], Duration::from_secs(3_600))
        .unwrap();
    let pem = TlsPem {
        ca: authority.cert_pem(),
        identity: Some((issued.cert_pem, issued.key_pem)),
    };
    let tls = Security::Tls(Tls::from_pem(pem, ClientAuth::Required).unwrap());
    futures_lite::future::block_on(async {
        for (transport, security) in [
            (TransportKind::Tonic, Security::Loopback),
            (TransportKind::Tonic, tls.clone()),
            (TransportKind::Quic, tls.clone()),
        ] {
            let store = Store::in_memory(StoreOptions::default()).unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap();
            let host = port.local_addr().unwrap().to_string();
            drop(port);
            let mut options = NodeOptions::new(host.clone(), "alone");
            options.transport = Some(transport);
            options.security = security.clone();
            let session = store.session(&host);
            let node = Node::start(options, Kind, session).await.unwrap();
            let mut options = ClientOptions::to([host]);
            options.transport = Some(transport);
            options.security = security;
            let client = Client::start(options).unwrap();
            let look = Any {
                type_url: "",
                value: &[],
            };
            client.apply(7, &[look]).await.unwrap();
            client.get(7).await.unwrap();
            #[cfg(target_os = "linux")]
            assert!(
                !threads().iter().any(|name| name.contains("tokio")),
                "{:?}",
                threads()
            );
            node.shutdown().await;
        }
    });
}
