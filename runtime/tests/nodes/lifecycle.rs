//! How nodes begin and end, and what their handles are good for.

use std::net::{TcpListener, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use trefoil_core::ring::membership::MembershipConfig;
use trefoil_store::{Store, StoreOptions};

use super::harness::{
    Cluster, Sums, add, apply_surely, calling, free_host, get_surely, is_free, named, soon, store,
    sum_of, until,
};
use crate::runtime::{
    Client, Handle, Mismatch, Node, NodeOptions, StartError, elsewhere, run, sleep,
};

async fn start(options: NodeOptions) -> Result<Node, StartError> {
    let session = store().session(&options.host);
    soon(Node::spawn(options, Sums::default(), session)).await
}

#[test]
fn a_host_that_no_system_would_take_is_an_error() {
    run(async {
        for host in ["a\0b:1", "no port", ":::"] {
            let error = start(named(host, "tests")).await.unwrap_err();
            // Where there are certificates, none names such a host.
            let code = &error.to_string()[..6];
            assert!(matches!(code, "TF-U03" | "TF-U08"), "{error}");
        }
    });
}

#[test]
fn settings_that_do_not_hold_are_refused_by_name() {
    run(async {
        let host = free_host();
        let broken = |change: fn(&mut NodeOptions)| {
            let mut options = named(host.clone(), "tests");
            change(&mut options);
            options
        };
        for (options, code, why) in [
            (
                broken(|o| o.limits.streams_max = 0),
                "TF-U01: ",
                "streams_max",
            ),
            (
                broken(|o| o.membership.hold_probe_interval = Duration::from_secs(60)),
                "TF-U02: membership: ",
                "hold_probe_interval",
            ),
            (
                broken(|o| o.join = vec![String::new()]),
                "TF-U02: membership: ",
                "seeds",
            ),
            (
                broken(|o| o.actors.calls_max = 0),
                "TF-U02: actors: ",
                "calls_max",
            ),
            (
                broken(|o| o.directory.chunk_ids = 0),
                "TF-U02: directory: ",
                "chunk_ids",
            ),
            (
                broken(|o| o.grpc.concurrent_streams_max = 0),
                "TF-T02: ",
                "concurrent_streams_max",
            ),
        ] {
            let error = start(options).await.unwrap_err().to_string();
            assert!(error.starts_with(code), "{error}");
            assert!(error.contains(why), "{error}");
        }
        let mut options = calling([host.clone()]);
        options.limits.nodes_max = 0;
        let error = Client::start(options).unwrap_err().to_string();
        assert_eq!(error, "TF-U01: nodes_max must not be zero");
        // What was refused holds on to nothing.
        let node = start(named(host, "tests")).await.unwrap();
        soon(node.kill()).await;
    });
}

#[test]
fn an_address_that_cannot_be_used_is_named() {
    run(async {
        let taken = free_host();
        let _held = (
            TcpListener::bind(&taken).unwrap(),
            UdpSocket::bind(&taken).unwrap(),
        );
        // The second belongs to nobody, by its standard; the third is no address.
        for address in [&*taken, "203.0.113.7:7001", "no address"] {
            let mut options = named(free_host(), "tests");
            options.listen = Some(address.to_owned());
            let error = start(options).await.unwrap_err();
            assert!(matches!(error, StartError::Listen { .. }));
            let text = error.to_string();
            assert!(
                text.starts_with("TF-U03: ") && text.contains(address),
                "{text}"
            );
        }
    });
}

#[test]
fn a_node_that_was_shut_down_frees_its_port_for_the_next() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let host = free_host();
        let mut sums = Vec::new();
        for _ in 0..3 {
            let store = Store::open(data.path(), StoreOptions::default()).unwrap();
            let mut options = named(host.clone(), "tests");
            options.incarnation = store.begin_incarnation(&host).unwrap();
            let node = soon(Node::spawn(options, Sums::default(), store.session(&host)))
                .await
                .unwrap();
            drop(store);
            // Somebody is connected all the time.
            let client = Client::start(calling([host.clone()])).unwrap();
            soon(client.apply(7, &[add(&[1])])).await.unwrap();
            sums.push(sum_of(&soon(client.get(7)).await.unwrap()));
            let (handle, since) = (node.handle().clone(), Instant::now());
            soon(node.shutdown()).await;
            let took = since.elapsed();
            assert!(took < Duration::from_secs(4), "{took:?}");
            let error = soon(handle.get(7)).await.unwrap_err();
            assert_eq!(error.stable_code(), Some("TF-C09"));
            assert!(soon(handle.stats()).await.is_err());
            until("the port is free", || is_free(&host)).await;
        }
        // The store was closed with the node, and opened by the next.
        assert_eq!(sums, [1, 2, 3]);
    });
}

#[test]
fn a_node_on_the_callers_runtime_works_and_ends_like_any_other() {
    run(async {
        let store = store();
        let host = free_host();
        for _ in 0..2 {
            let options = named(host.clone(), "tests");
            let session = store.session(&host);
            let node = soon(Node::start(options, Sums::default(), session))
                .await
                .unwrap();
            soon(node.handle().apply(7, &[add(&[1])])).await.unwrap();
            soon(node.shutdown()).await;
        }
        let options = named(host.clone(), "tests");
        let node = soon(Node::start(options, Sums::default(), store.session(&host)))
            .await
            .unwrap();
        assert_eq!(sum_of(&get_surely(node.handle(), 7).await), 2);
        soon(node.kill()).await;
        until("the port is free", || is_free(&host)).await;
    });
}

#[test]
fn a_node_that_is_dropped_frees_its_port() {
    run(async {
        let host = free_host();
        let node = start(named(host.clone(), "tests")).await.unwrap();
        let handle = node.handle().clone();
        drop(node);
        until("the port is free", || is_free(&host)).await;
        assert!(soon(handle.stats()).await.is_err());
    });
}

#[test]
fn a_node_whose_seeds_are_silent_begins_alone_if_it_may() {
    run(async {
        let host = free_host();
        let mut options = named(host.clone(), "tests");
        options.join = vec![host, free_host()];
        options.membership.bootstrap_after = Duration::from_millis(200);
        let node = start(options).await.unwrap();
        // Until then it may be one of a cluster whose others own everything.
        assert!(!node.handle().members().majority);
        soon(apply_surely(node.handle(), 7, &[add(&[1])])).await;
        assert!(node.handle().members().majority);
        soon(node.shutdown()).await;
    });
}

#[test]
fn nodes_of_another_cluster_are_none_of_ours() {
    run(async {
        let mut cluster = Cluster::of(1).await;
        let mut options = cluster.options();
        options.cluster = "strangers".into();
        options.membership = MembershipConfig {
            exchange_interval: Duration::from_millis(50),
            exchange_interval_changing: Duration::from_millis(50),
            ..MembershipConfig::lan()
        };
        cluster.add(options).await;
        sleep(Duration::from_millis(300)).await;
        for node in &cluster.nodes {
            assert_eq!(node.handle().members().members.len(), 1);
        }
        cluster.end().await;
    });
}

#[test]
fn nodes_with_journals_in_different_stores_form_no_cluster() {
    run(async {
        let (a, b) = (free_host(), free_host());
        let of = |host: &String| {
            let mut options = named(host.clone(), "tests");
            options.join = vec![a.clone(), b.clone()];
            options
        };
        let first = start(of(&a)).await.unwrap();
        let mut view = first.handle().watch();
        soon(view.wait_for(|view| view.majority)).await.unwrap();
        let second = start(of(&b)).await.unwrap();
        let mut mismatch = second.handle().mismatch();
        let why = soon(mismatch.wait_for(Option::is_some))
            .await
            .unwrap()
            .clone();
        let Mismatch { host, why } = why.unwrap();
        assert!(*host == *a && why.starts_with("TF-C12: "), "{host} {why}");
        assert!(
            first.handle().mismatch().borrow().is_none(),
            "it was called"
        );
        // Longer than it would have waited for a seed that is silent.
        sleep(Duration::from_millis(2_500)).await;
        assert!(
            !second.handle().members().majority,
            "it began a cluster of its own"
        );
        assert_eq!(first.handle().members().members.len(), 1);
        first.kill().await;
        second.kill().await;
    });
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

#[test]
fn a_handle_works_on_any_thread_and_under_any_executor() {
    run(async {
        const fn is_shared<T: Clone + Send + Sync + 'static>() {}
        const { is_shared::<Handle>() };
        const { is_shared::<Client>() };
        let cluster = Cluster::of(2).await;
        let mine = cluster.ids_of(0, 1)[0];
        let others = cluster.ids_of(1, 1)[0];
        let without = cluster.handle(0).clone();
        let bare = thread::spawn(move || {
            block_on(async {
                without.apply(mine, &[add(&[1])]).await.unwrap();
                without.apply(others, &[add(&[2])]).await.unwrap();
            })
        });
        let within = cluster.handle(0).clone();
        let elsewhere = thread::spawn(move || {
            elsewhere(async {
                within.apply(mine, &[add(&[3])]).await.unwrap();
                within.apply(others, &[add(&[4])]).await.unwrap();
            });
        });
        for joined in [bare, elsewhere] {
            joined.join().unwrap();
        }
        let node = cluster.handle(1);
        assert_eq!(sum_of(&soon(node.get(mine)).await.unwrap()), 4);
        assert_eq!(sum_of(&soon(node.get(others)).await.unwrap()), 6);
        cluster.end().await;
    });
}
