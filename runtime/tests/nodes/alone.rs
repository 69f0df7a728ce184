//! One node.

use std::thread;

use trefoil_core::status::Code;

use super::harness::{Cluster, WAITS, add, soon, sum_after, sum_of, until};
use crate::runtime::{CallError, Remedy, run, spawn};

#[test]
fn a_node_alone_answers_and_owns_what_it_is_asked_for() {
    run(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.handle(0);
        let applied = soon(node.apply(7, &[add(&[3]), add(&[4])])).await.unwrap();
        assert_eq!((sum_after(&applied), applied.is_repeated()), (7, false));
        assert_eq!(sum_of(&soon(node.get(7)).await.unwrap()), 7);
        // A claim shows when it is announced, which is not before the answer.
        until("the id is claimed", || node.is_claimed(7)).await;
        assert!(!node.is_claimed(8));
        assert_eq!(node.owned(), [(node.host().into(), 1)]);
        cluster.end().await;
    });
}

#[test]
fn an_id_that_was_never_written_is_not_found_and_stays_so() {
    run(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.handle(0);
        for _ in 0..2 {
            let error = soon(node.get(8)).await.unwrap_err();
            assert_eq!(
                (error.code, error.stable_code(), error.remedy),
                (Code::NotFound, Some("TF-R04"), Remedy::Final)
            );
        }
        cluster.end().await;
    });
}

#[test]
fn owners_and_members_are_read_while_the_node_itself_cannot_answer() {
    run(async {
        let cluster = Cluster::of(1).await;
        let node = cluster.handle(0).clone();
        soon(node.apply(7, &[add(&[3])])).await.unwrap();
        until("the id is claimed", || node.is_claimed(7)).await;
        let busy = node.clone();
        let waiting = spawn(async move { busy.apply(7, &[WAITS]).await });
        // Actors run on the node's own thread here, so that it stands still as long as this one does.
        cluster.kind.actor_waits().await;
        let host = node.host().to_owned();
        let seen = thread::spawn(move || (node.owner_of(7), node.is_claimed(7), node.members()));
        let (owner, claimed, view) = seen.join().unwrap();
        assert_eq!((owner.as_deref(), claimed), (Some(&*host), true));
        assert_eq!(view.alive().collect::<Vec<_>>(), [host]);
        cluster.kind.open_gate();
        let answer: Result<_, CallError> = soon(waiting).await;
        assert_eq!(sum_after(&answer.unwrap()), 3);
        cluster.end().await;
    });
}
