//! Calls of which nobody knows whether they were applied. None of them may be called harmless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::status::Code;
use trefoil_core::storage::{Completion, Op, Storage};
use trefoil_store::Session;

use super::harness::{
    Cluster, Sums, WAITS, add, free_host, get_surely, named, soon, stat, store, sum_after, sum_of,
};
use crate::runtime::{ActorThreads, CallError, CallOptions, Node, Remedy, run, spawn};

#[test]
fn a_call_whose_owner_was_lost_is_never_called_harmless() {
    run(async {
        let mut cluster = Cluster::of(0).await;
        for _ in 0..3 {
            let mut options = cluster.options();
            options.threads = ActorThreads::Beside(1);
            // Long enough that the second try dials anew, and is told that nothing listens there.
            options.actors.retry_delay = Duration::from_millis(300);
            cluster.add(options).await;
        }
        cluster.together().await;
        let caller = cluster.handle(0).clone();
        let id = cluster.ids_of(2, 1)[0];
        soon(caller.apply(id, &[add(&[1])])).await.unwrap();
        let call = spawn(async move { caller.apply(id, &[WAITS]).await });
        cluster.kind.actor_waits().await;
        soon(cluster.nodes.remove(2).kill()).await;
        // The second try has certainly done nothing. The first was received.
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.remedy, Remedy::Uncertain);
        if !crate::subject::TELLS_OF_REFUSAL {
            // Nobody said that the owner was gone; when it is found out is a matter of time.
            return cluster.end().await;
        }
        assert_eq!(stat(cluster.handle(0), "retried").await, 1);
        assert_eq!(
            (error.code, error.stable_code()),
            (Code::Unknown, Some("TF-R12"))
        );
        cluster.end().await;
    });
}

/// A session that carries everything out, and when it is silent tells nobody.
struct Doubtful {
    session: Session,
    silent: Arc<AtomicBool>,
}

impl Storage for Doubtful {
    type Buf = <Session as Storage>::Buf;

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        self.session.submit(op, tag)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Self::Buf>)> {
        let done = self.session.poll(cx);
        if self.silent.load(Ordering::SeqCst) {
            done.map(|(tag, _)| (tag, Completion::Unknown))
        } else {
            done
        }
    }
}

#[test]
fn a_record_that_may_have_been_written_leaves_its_call_in_doubt() {
    run(async {
        let host = free_host();
        let silent = Arc::new(AtomicBool::new(false));
        let storage = Doubtful {
            session: store().session(&host),
            silent: Arc::clone(&silent),
        };
        let options = named(host, "tests");
        let node = soon(Node::spawn(options, Sums::default(), storage))
            .await
            .unwrap();
        let handle = node.handle();
        soon(handle.apply(7, &[add(&[1])])).await.unwrap();
        silent.store(true, Ordering::SeqCst);
        let once = CallOptions {
            request_id: Some(1),
            ..CallOptions::default()
        };
        let error: CallError = soon(handle.apply_with(7, &[add(&[2])], once))
            .await
            .unwrap_err();
        assert_eq!(error.remedy, Remedy::Uncertain, "{error}");
        // One that came to a store which was silent already has changed nothing.
        let error = soon(handle.apply(7, &[add(&[4])])).await.unwrap_err();
        assert_eq!(
            (error.stable_code(), error.remedy),
            (Some("TF-R09"), Remedy::Retry)
        );
        silent.store(false, Ordering::SeqCst);
        assert_eq!(sum_of(&get_surely(handle, 7).await), 3);
        let again = soon(handle.apply_with(7, &[add(&[2])], once))
            .await
            .unwrap();
        assert_eq!((again.is_repeated(), sum_after(&again)), (true, 3));
        soon(node.kill()).await;
    });
}
