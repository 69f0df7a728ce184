//! Calls end when their time is up, whatever the other side does.

use std::time::{Duration, Instant};

use std::net::TcpListener;
use trefoil_core::status::Code;

use super::harness::{Cluster, WAITS, add, calling, soon, sum_of};
use crate::runtime::{ActorThreads, CallError, CallOptions, Client, Remedy, run};

const SHORT: CallOptions = within(Duration::from_millis(150));

const fn within(timeout: Duration) -> CallOptions {
    CallOptions {
        timeout,
        request_id: None,
    }
}

fn assert_late(error: &CallError, since: Instant) {
    assert_eq!(
        (error.code, error.stable_code(), error.remedy),
        (Code::DeadlineExceeded, Some("TF-C06"), Remedy::Uncertain)
    );
    let took = since.elapsed();
    // Far below the time that a call has which says nothing of it, and far above what a busy machine adds.
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_call_of_an_actor_that_does_not_come_back_ends_in_time() {
    run(async {
        let mut cluster = Cluster::of(0).await;
        let mut options = cluster.options();
        options.threads = ActorThreads::Beside(1);
        cluster.add(options).await;
        cluster.together().await;
        let node = cluster.handle(0);
        let client = Client::start(calling(cluster.hosts())).unwrap();
        let since = Instant::now();
        let error = soon(node.apply_with(7, &[WAITS], SHORT)).await.unwrap_err();
        assert_late(&error, since);
        // One that waits behind it, and one from outside.
        let since = Instant::now();
        let behind = soon(node.apply_with(7, &[add(&[1])], SHORT)).await;
        assert_late(&behind.unwrap_err(), since);
        let since = Instant::now();
        let outside = soon(client.get_with(7, SHORT)).await;
        assert_late(&outside.unwrap_err(), since);
        cluster.kind.open_gate();
        soon(node.apply(7, &[add(&[2])])).await.unwrap();
        cluster.end().await;
    });
}

#[test]
fn a_call_of_a_node_that_stands_still_ends_in_time() {
    run(async {
        let cluster = Cluster::of(2).await;
        let id = cluster.ids_of(1, 1)[0];
        let node = cluster.handle(0);
        let since = Instant::now();
        // The actor runs on its node's thread and takes all of the node with it.
        let error = soon(node.apply_with(id, &[WAITS], SHORT))
            .await
            .unwrap_err();
        assert_late(&error, since);
        cluster.kind.open_gate();
        assert_eq!(sum_of(&soon(node.get(id)).await.unwrap()), 0);
        cluster.end().await;
    });
}

#[test]
fn a_call_without_any_time_ends_at_once() {
    run(async {
        let cluster = Cluster::of(2).await;
        let client = Client::start(calling(cluster.hosts())).unwrap();
        for id in [cluster.ids_of(0, 1)[0], cluster.ids_of(1, 1)[0]] {
            for time in [Duration::ZERO, Duration::from_nanos(1)] {
                let since = Instant::now();
                let node = cluster.handle(0);
                let error = soon(node.apply_with(id, &[add(&[1])], within(time))).await;
                assert_late(&error.unwrap_err(), since);
                let error = soon(client.apply_with(id, &[add(&[1])], within(time))).await;
                assert_late(&error.unwrap_err(), since);
            }
        }
        cluster.end().await;
    });
}

#[test]
fn a_call_to_a_host_that_says_nothing_ends_in_time() {
    run(async {
        // The system completes the connection; nobody ever reads from it.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = silent.local_addr().unwrap().to_string();
        for ask_owners in [false, true] {
            let mut options = calling([host.clone()]);
            options.calls.ask_owners = ask_owners;
            let client = Client::start(options).unwrap();
            let since = Instant::now();
            let error = soon(client.apply_with(7, &[add(&[1])], SHORT)).await;
            assert_late(&error.unwrap_err(), since);
        }
    });
}
