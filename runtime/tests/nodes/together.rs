//! Nodes that work together.

use super::harness::{Cluster, add, soon, stat, sum_after, sum_of, until};
use crate::runtime::{View, run};

#[test]
fn three_nodes_see_the_same_members() {
    run(async {
        let cluster = Cluster::of(3).await;
        let mut hosts = cluster.hosts();
        hosts.sort();
        for node in &cluster.nodes {
            let view = node.handle().members();
            assert_eq!(view.alive().collect::<Vec<_>>(), hosts);
            assert!(view.members.iter().all(|member| !member.legacy));
            assert_eq!(node.address().to_string(), node.handle().host());
        }
        for id in 0..100 {
            let owner = cluster.handle(0).owner_of(id).unwrap();
            assert!(hosts.iter().any(|host| **host == *owner));
            for node in &cluster.nodes {
                assert_eq!(node.handle().owner_of(id).as_ref(), Some(&owner));
            }
        }
        cluster.end().await;
    });
}

#[test]
fn an_apply_through_any_node_reaches_the_one_owner_in_one_hop() {
    run(async {
        let cluster = Cluster::of(3).await;
        let id = cluster.ids_of(1, 1)[0];
        for (at, sum) in [(0, 5), (1, 10), (2, 15)] {
            let applied = soon(cluster.handle(at).apply(id, &[add(&[5])])).await;
            assert_eq!(sum_after(&applied.unwrap()), sum);
        }
        for at in 0..3 {
            assert_eq!(sum_of(&soon(cluster.handle(at).get(id)).await.unwrap()), 15);
        }
        let owner = cluster.handle(1);
        for at in 0..3 {
            let node = cluster.handle(at);
            let (applied, forwarded) = if at == 1 { (3, 0) } else { (0, 2) };
            assert_eq!(stat(node, "applied").await, applied);
            assert_eq!(stat(node, "forwarded").await, forwarded);
            assert_eq!(stat(node, "retried").await, 0);
            until("the claim has travelled", || node.is_claimed(id)).await;
            assert_eq!(node.owner_of(id).as_deref(), Some(owner.host()));
            assert_eq!(node.owned(), [(owner.host().into(), 1)]);
        }
        assert_eq!(cluster.kind.loads(), 1);
        cluster.end().await;
    });
}

#[test]
fn a_watch_reports_who_joins_and_who_leaves() {
    run(async {
        let mut cluster = Cluster::of(2).await;
        let mut watch = cluster.handle(0).watch();
        let before = watch.borrow_and_update().version;
        cluster.join().await;
        let third = cluster.handle(2).clone();
        let counts_third = |view: &View| view.alive().any(|host| host == third.host());
        let joined = soon(watch.wait_for(|view| counts_third(view)))
            .await
            .unwrap()
            .version;
        assert!(joined > before);
        cluster.together().await;
        soon(third.leave()).await.unwrap();
        // A view from which it is gone altogether, not one that shows it draining.
        let left = soon(watch.wait_for(|view| view.members.len() == 2))
            .await
            .unwrap()
            .clone();
        assert!(left.version > joined && left.majority);
        assert!(!counts_third(&left));
        cluster.end().await;
    });
}

#[test]
fn an_id_that_is_released_is_answered_as_it_was() {
    run(async {
        let cluster = Cluster::of(2).await;
        let id = cluster.ids_of(1, 1)[0];
        soon(cluster.handle(0).apply(id, &[add(&[9])]))
            .await
            .unwrap();
        let owner = cluster.handle(1);
        until("the id is claimed", || owner.is_claimed(id)).await;
        soon(owner.release(id)).await.unwrap();
        until("the id is given up", || !owner.is_claimed(id)).await;
        assert_eq!(sum_of(&soon(cluster.handle(0).get(id)).await.unwrap()), 9);
        assert_eq!(cluster.kind.loads(), 2);
        cluster.end().await;
    });
}

#[test]
fn a_node_joins_by_command_as_it_does_by_its_options() {
    run(async {
        let mut cluster = Cluster::of(1).await;
        let mut options = cluster.options();
        // It waits for somebody to tell it of the others.
        options.join = vec!["127.0.0.1:9".into()];
        cluster.add(options).await;
        assert!(!cluster.handle(1).members().majority);
        soon(cluster.handle(1).join(cluster.handle(0).host()))
            .await
            .unwrap();
        cluster.together().await;
        cluster.end().await;
    });
}
