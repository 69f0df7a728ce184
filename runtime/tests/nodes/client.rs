//! Programs that are no members.

use std::time::Duration;

use bytes::Bytes;
use trefoil_core::method::admin;
use trefoil_core::status::Code;
use trefoil_proto::admin::StatusReply;
use trefoil_proto::wire::Decode;

use super::harness::{
    Cluster, PANICS, WAITS, add, calling, free_host, soon, stat, sum_after, sum_of,
};
use crate::runtime::{ActorThreads, CallOptions, Client, Remedy, run, spawn};

fn client_of(hosts: &[String]) -> Client {
    Client::start(calling(hosts)).unwrap()
}

fn once(request_id: u128) -> CallOptions {
    CallOptions {
        request_id: Some(request_id),
        ..CallOptions::default()
    }
}

#[test]
fn a_client_asks_once_who_owns_an_id_and_then_calls_it_directly() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let client = client_of(&cluster.hosts()[..1]);
        let id = cluster.ids_of(1, 1)[0];
        for sum in 1..=3 {
            let applied = soon(client.apply(id, &[add(&[1])])).await.unwrap();
            assert_eq!(sum_after(&applied), sum);
        }
        assert_eq!(stat(cluster.handle(0), "forwarded").await, 0);
        assert_eq!(stat(cluster.handle(1), "applied").await, 3);
        // Nobody is left to ask, and nobody needs to be asked.
        let contact = cluster.nodes.remove(0);
        soon(contact.kill()).await;
        assert_eq!(sum_of(&soon(client.get(id)).await.unwrap()), 3);
        cluster.end().await;
    });
}

#[test]
fn a_client_goes_on_after_the_owner_left() {
    run(async {
        let mut cluster = Cluster::of(3).await;
        let client = client_of(&cluster.hosts());
        let (id, other) = (cluster.ids_of(1, 1)[0], cluster.ids_of(2, 1)[0]);
        for id in [id, other] {
            soon(client.apply(id, &[add(&[1])])).await.unwrap();
        }
        // It still answers, but owns nothing.
        soon(cluster.handle(1).leave()).await.unwrap();
        let applied = soon(client.apply(id, &[add(&[1])])).await.unwrap();
        assert_eq!(sum_after(&applied), 2);
        // It does not answer at all.
        soon(cluster.nodes.remove(2).shutdown()).await;
        let applied = soon(client.apply(other, &[add(&[1])])).await.unwrap();
        assert_eq!(sum_after(&applied), 2);
        cluster.end().await;
    });
}

#[test]
fn a_request_that_is_sent_twice_is_applied_once() {
    run(async {
        let cluster = Cluster::of(2).await;
        let client = client_of(&cluster.hosts());
        let messages = [add(&[5])];
        for id in [cluster.ids_of(0, 1)[0], cluster.ids_of(1, 1)[0]] {
            // At once, one after the other, from outside and through a member.
            let (first, second) = soon(async {
                futures_lite::future::zip(
                    client.apply_with(id, &messages, once(1)),
                    client.apply_with(id, &messages, once(1)),
                )
                .await
            })
            .await;
            assert_eq!(sum_after(&first.unwrap()), 5);
            assert_eq!(sum_after(&second.unwrap()), 5);
            let third = soon(client.apply_with(id, &messages, once(1))).await;
            assert_eq!(sum_after(&third.unwrap()), 5);
            let fourth = soon(cluster.handle(0).apply_with(id, &messages, once(1))).await;
            assert_eq!(sum_after(&fourth.unwrap()), 5);
            let other = soon(client.apply_with(id, &messages, once(2))).await;
            assert_eq!(sum_after(&other.unwrap()), 10);
        }
        cluster.end().await;
    });
}

#[test]
fn a_caller_is_told_the_state_where_an_answer_is_no_longer_held() {
    run(async {
        let mut cluster = Cluster::of(0).await;
        let mut options = cluster.options();
        options.actors.answers_bytes_max = 0;
        cluster.add(options).await;
        cluster.together().await;
        let client = client_of(&cluster.hosts());
        let first = soon(client.apply_with(7, &[add(&[5])], once(1)))
            .await
            .unwrap();
        soon(client.apply(7, &[add(&[1])])).await.unwrap();
        for again in [
            soon(client.apply_with(7, &[add(&[5])], once(1))).await,
            soon(cluster.handle(0).apply_with(7, &[add(&[5])], once(1))).await,
        ] {
            let again = again.unwrap();
            assert_eq!((first.is_repeated(), again.is_repeated()), (false, true));
            assert_eq!(sum_after(&again), 6);
            assert_eq!(again.view().mutations.iter().count(), 0);
        }
        cluster.end().await;
    });
}

#[test]
fn errors_say_what_may_be_done_about_them() {
    run(async {
        let cluster = Cluster::of(1).await;
        let client = client_of(&cluster.hosts());
        let error = soon(client.get(7)).await.unwrap_err();
        assert_eq!(
            (error.code, error.stable_code(), error.remedy),
            (Code::NotFound, Some("TF-R04"), Remedy::Final)
        );
        let error = soon(client.apply(7, &[PANICS])).await.unwrap_err();
        assert_eq!(
            (error.code, error.stable_code(), error.remedy),
            (Code::Internal, Some("TF-R08"), Remedy::Final)
        );
        let many = vec![add(&[1]); 1_025];
        let error = soon(client.apply(7, &many)).await.unwrap_err();
        assert_eq!(
            (error.code, error.stable_code(), error.remedy),
            (Code::InvalidArgument, Some("TF-R10"), Remedy::Final)
        );
        // Two attempts at most, and none that begins so late that its time is up before it is refused.
        let mut nobody = calling([free_host()]);
        nobody.calls.backoff_min = Duration::from_millis(300);
        let nobody = Client::start(nobody).unwrap();
        let hasty = CallOptions {
            timeout: Duration::from_millis(450),
            ..CallOptions::default()
        };
        for client in [nobody, client_of(&[])] {
            let error = soon(client.get_with(7, hasty)).await.unwrap_err();
            let told = (error.code, error.stable_code(), error.remedy);
            if told.0 == Code::DeadlineExceeded && !crate::subject::TELLS_OF_REFUSAL {
                continue;
            }
            assert_eq!(told, (Code::Unavailable, Some("TF-C07"), Remedy::Retry));
        }
        cluster.end().await;
    });
}

#[test]
fn a_client_asks_any_host_for_its_status() {
    run(async {
        let cluster = Cluster::of(2).await;
        let client = client_of(&cluster.hosts()[..1]);
        for host in cluster.hosts() {
            let options = CallOptions::default();
            let call = client.unary(admin::STATUS, Some(&host), Bytes::new(), options);
            let bytes = soon(call).await.unwrap();
            let status = StatusReply::parse(&bytes).unwrap();
            assert_eq!((status.host, status.view_version > 0), (&*host, true));
            assert_eq!(status.members.iter().count(), 2);
        }
        cluster.end().await;
    });
}

#[test]
fn clones_of_a_client_share_it_and_outlive_each_other() {
    run(async {
        let cluster = Cluster::of(1).await;
        let client = client_of(&cluster.hosts());
        let clone = client.clone();
        drop(client);
        soon(clone.apply(7, &[add(&[1])])).await.unwrap();
        cluster.end().await;
    });
}

#[test]
fn a_client_refuses_more_calls_than_it_may_have_in_flight() {
    run(async {
        let mut cluster = Cluster::of(0).await;
        let mut options = cluster.options();
        options.threads = ActorThreads::Beside(1);
        cluster.add(options).await;
        cluster.together().await;
        let mut options = calling(cluster.hosts());
        options.calls.calls_max = 1;
        let client = Client::start(options).unwrap();
        let first = spawn({
            let client = client.clone();
            async move { client.apply(7, &[WAITS]).await }
        });
        cluster.kind.actor_waits().await;
        let error = soon(client.get(8)).await.unwrap_err();
        assert_eq!(
            (error.code, error.stable_code(), error.remedy),
            (Code::ResourceExhausted, Some("TF-C01"), Remedy::Retry)
        );
        cluster.kind.open_gate();
        soon(first).await.unwrap();
        soon(client.apply(8, &[add(&[1])])).await.unwrap();
        cluster.end().await;
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_and_harms_no_other() {
    run(async {
        let mut cluster = Cluster::of(0).await;
        for _ in 0..2 {
            let mut options = cluster.options();
            options.limits.frame_bytes_max = 100_000;
            cluster.add(options).await;
        }
        cluster.together().await;
        let large = vec![1; 200_000];
        let client = client_of(&cluster.hosts()[..1]);
        for id in [cluster.ids_of(0, 1)[0], cluster.ids_of(1, 1)[0]] {
            let error = soon(client.apply(id, &[add(&large)])).await.unwrap_err();
            assert_eq!(
                (error.code, error.stable_code(), error.remedy),
                (Code::ResourceExhausted, Some("TF-C05"), Remedy::Final)
            );
            let applied = soon(client.apply(id, &[add(&[1])])).await.unwrap();
            assert_eq!(sum_after(&applied), 1);
        }
        // From within, where the message need not travel and where it must.
        let id = cluster.ids_of(1, 2)[1];
        let error = soon(cluster.handle(0).apply(id, &[add(&large)])).await;
        assert_eq!(error.unwrap_err().stable_code(), Some("TF-C05"));
        cluster.end().await;
    });
}
