//! Nodes that go, in good order and otherwise. Nothing that was acknowledged may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::harness::{
    Cluster, SOON, add, all, apply_surely, get_surely, soon, stat, sum_after, sum_of, until,
};
use crate::runtime::{CallOptions, Handle, run, spawn, timeout};

/// Adds the id's last byte to each id, through the first node.
async fn write(cluster: &Cluster, ids: &[u64]) {
    let mut writing = Vec::new();
    for id in ids.iter().copied() {
        let node = cluster.handle(0).clone();
        writing.push(spawn(async move {
            node.apply(id, &[add(&[id as u8])]).await.unwrap()
        }));
    }
    soon(all(writing)).await;
}

/// Reads each id through `node` until it is answered, and compares.
async fn compare(node: &Handle, ids: &[u64]) {
    let mut reading = Vec::new();
    for id in ids.iter().copied() {
        let node = node.clone();
        reading.push(spawn(async move {
            let got = get_surely(&node, id).await;
            assert_eq!(sum_of(&got), u64::from(id as u8), "of {id}");
        }));
    }
    soon(all(reading)).await;
}

#[test]
fn ids_of_a_node_that_left_are_answered_by_the_others() {
    run(async {
        let cluster = Cluster::of(3).await;
        let ids: Vec<u64> = (0..3).flat_map(|at| cluster.ids_of(at, 20)).collect();
        write(&cluster, &ids).await;
        let gone = cluster.handle(1).clone();
        soon(gone.leave()).await.unwrap();
        for at in [0, 2] {
            let node = cluster.handle(at);
            compare(node, &ids).await;
            until("it owns nothing", || {
                ids.iter()
                    .all(|id| node.owner_of(*id).as_deref() != Some(gone.host()))
            })
            .await;
        }
        assert_eq!(stat(&gone, "actors").await, 0);
        // Only what it held was loaded a second time.
        assert_eq!(cluster.kind.loads(), 80);
        cluster.end().await;
    });
}

#[test]
fn a_node_that_leaves_twice_says_so_twice() {
    run(async {
        let cluster = Cluster::of(2).await;
        let gone = cluster.handle(1);
        let (first, second) =
            soon(async { futures_lite::future::zip(gone.leave(), gone.leave()).await }).await;
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(soon(gone.leave()).await, Ok(()));
        cluster.end().await;
    });
}

#[test]
fn calls_that_meet_a_leaving_owner_are_applied_once() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let ids = cluster.ids_of(1, 4);
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for (number, id) in ids.iter().copied().enumerate() {
            let node = cluster.handle(if number % 2 == 0 { 0 } else { 2 }).clone();
            let stop = Arc::clone(&stop);
            callers.push(spawn(async move {
                let mut added = 0;
                while !stop.load(Ordering::Relaxed) {
                    apply_surely(&node, id, &[add(&[1])]).await;
                    added += 1;
                }
                (id, added)
            }));
        }
        let gone = cluster.nodes.remove(1);
        until("all are busy", || cluster.kind.loads() == 4).await;
        soon(gone.shutdown()).await;
        until("others took over", || cluster.kind.loads() >= 8).await;
        stop.store(true, Ordering::Relaxed);
        for (id, added) in soon(all(callers)).await {
            assert_eq!(sum_of(&get_surely(cluster.handle(0), id).await), added);
        }
        cluster.end().await;
    });
}

#[test]
fn ids_of_a_node_that_was_killed_are_answered_elsewhere() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let ids = cluster.ids_of(1, 20);
        write(&cluster, &ids).await;
        soon(cluster.nodes.remove(1).kill()).await;
        let patience = Duration::from_secs(15);
        let reading = compare(cluster.handle(0), &ids);
        timeout(patience, reading).await.unwrap();
        assert_eq!(cluster.kind.loads(), 40);
        cluster.end().await;
    });
}

#[test]
fn a_node_that_is_dropped_stops_though_handles_of_it_are_left() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let ids = cluster.ids_of(1, 5);
        write(&cluster, &ids).await;
        let (gone, host) = (
            cluster.handle(1).clone(),
            cluster.handle(1).host().to_owned(),
        );
        drop(cluster.nodes.remove(1));
        let stopped = soon(gone.get(ids[0])).await.unwrap_err();
        assert_eq!(stopped.stable_code(), Some("TF-C09"));
        // An orchestrator that saw it go need not wait until the others miss it.
        soon(cluster.handle(0).declare_down(&host)).await.unwrap();
        let reading = compare(cluster.handle(1), &ids);
        timeout(SOON, reading).await.unwrap();
        cluster.end().await;
    });
}

#[test]
fn a_request_that_the_former_owner_applied_is_not_applied_again() {
    run(async {
        let cluster = Cluster::of(3).await;
        let id = cluster.ids_of(1, 1)[0];
        let once = CallOptions {
            request_id: Some(77),
            ..CallOptions::default()
        };
        let messages = [add(&[6])];
        let first = soon(cluster.handle(0).apply_with(id, &messages, once)).await;
        assert!(!first.unwrap().is_repeated());
        soon(cluster.handle(1).leave()).await.unwrap();
        // The new owner knows of the request from the journal. What was answered it does not.
        let again = soon(cluster.handle(2).apply_with(id, &messages, once)).await;
        let again = again.unwrap();
        assert_eq!((again.is_repeated(), sum_after(&again)), (true, 6));
        assert_eq!(sum_of(&get_surely(cluster.handle(0), id).await), 6);
        cluster.end().await;
    });
}
