//! Actors that misbehave.

use trefoil_core::status::Code;

use super::harness::{Cluster, PANICS, REFUSED, STILLBORN, add, soon, stat, sum_after, sum_of};
use crate::runtime::{ActorThreads, CallError, Remedy, run, spawn};

fn assert_failed(error: &CallError) {
    assert_eq!(
        (error.code, error.stable_code(), error.remedy),
        (Code::Internal, Some("TF-R08"), Remedy::Final)
    );
}

async fn an_actor_panics(threads: ActorThreads) {
    let mut cluster = Cluster::of(0).await;
    let mut options = cluster.options();
    options.threads = threads;
    cluster.add(options).await;
    cluster.join().await;
    cluster.together().await;
    let (owner, other) = (cluster.handle(0), cluster.handle(1));
    let ids = cluster.ids_of(0, 2);
    for id in &ids {
        soon(owner.apply(*id, &[add(&[3])])).await.unwrap();
    }
    assert_eq!(cluster.kind.loads(), 2);
    // The caller hears of it whether or not it stands beside the actor, and of the messages before the
    // one that panicked nothing is kept.
    for (loads, caller) in [(3, owner), (4, other)] {
        let error = soon(caller.apply(ids[0], &[add(&[5]), PANICS])).await;
        assert_failed(&error.unwrap_err());
        let after = soon(caller.apply(ids[0], &[add(&[1])])).await.unwrap();
        assert_eq!(sum_after(&after), loads + 1, "3, and 1 for each time");
        assert_eq!(cluster.kind.loads(), loads, "loaded anew, once");
    }
    assert_eq!(sum_of(&soon(other.get(ids[1])).await.unwrap()), 3);
    assert_eq!(stat(owner, "failed").await, 2);
    assert_eq!(owner.members().alive().count(), 2);
    cluster.end().await;
}

#[test]
fn an_actor_that_panics_on_the_nodes_thread_is_loaded_anew() {
    run(async {
        an_actor_panics(ActorThreads::Inline).await;
    });
}

#[test]
fn an_actor_that_panics_on_a_thread_of_its_own_is_loaded_anew() {
    run(async {
        an_actor_panics(ActorThreads::Beside(2)).await;
    });
}

#[test]
fn calls_beside_one_that_panics_are_applied_once() {
    run(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.handle(0);
        let calls: Vec<_> = (0..40)
            .map(|at| {
                let node = node.clone();
                spawn(async move {
                    let message = if at == 20 { PANICS } else { add(&[1]) };
                    node.apply(7, &[message]).await
                })
            })
            .collect();
        for (at, call) in calls.into_iter().enumerate() {
            let answer = soon(call).await;
            if at == 20 {
                assert_failed(&answer.unwrap_err());
            } else {
                answer.unwrap();
            }
        }
        assert_eq!(sum_of(&soon(node.get(7)).await.unwrap()), 39);
        cluster.end().await;
    });
}

#[test]
fn a_refused_message_is_an_error_of_its_own_and_the_others_are_applied() {
    run(async {
        let cluster = Cluster::of(2).await;
        for (at, id) in [(0, cluster.ids_of(0, 1)[0]), (0, cluster.ids_of(1, 1)[0])] {
            let messages = [add(&[1]), REFUSED, add(&[2])];
            let applied = soon(cluster.handle(at).apply(id, &messages)).await.unwrap();
            let errors: Vec<Option<&str>> = applied
                .view()
                .mutations
                .iter()
                .map(|result| result.unwrap().error)
                .collect();
            assert_eq!(errors, [None, Some("refused as asked"), None]);
            assert_eq!(sum_after(&applied), 3);
        }
        cluster.end().await;
    });
}

#[test]
fn an_actor_of_which_every_message_was_refused_was_never_written() {
    run(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.handle(0);
        let applied = soon(node.apply(7, &[REFUSED])).await.unwrap();
        assert_eq!(sum_after(&applied), 0);
        soon(node.release(7)).await.unwrap();
        let error = soon(node.get(7)).await.unwrap_err();
        assert_eq!(error.stable_code(), Some("TF-R04"));
        cluster.end().await;
    });
}

#[test]
fn an_actor_that_panics_while_it_is_loaded_fails_its_callers_only() {
    run(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.handle(0);
        for _ in 0..2 {
            let error = soon(node.apply(STILLBORN, &[add(&[1])])).await;
            assert_failed(&error.unwrap_err());
        }
        soon(node.apply(7, &[add(&[1])])).await.unwrap();
        cluster.end().await;
    });
}
