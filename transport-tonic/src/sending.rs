//! The task that sends the body of a call. Hyper spawns it and does not say whose body it sends.
//!
//! Hyper asks a body for the first time, and if it is not over then, spawns the task that sends the
//! rest, within one poll of the connection. So the body that has just begun is the one whose task is
//! spawned next. A body is remembered from its first poll until the next task is spawned, until it
//! ends, or until the poll of the connection is over, whichever comes first. Were hyper's order to
//! change, tasks would run as they come, and a test here would fail.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::pipe::Pipe;

/// What this thread has seen of the connection that it polls.
enum Seen {
    /// No connection is polled.
    Nothing,
    /// One is polled, and this is the call whose body has begun and is not over.
    Connection(Option<Arc<Pipe>>),
}

thread_local! {
    static SEEN: RefCell<Seen> = const { RefCell::new(Seen::Nothing) };
}

/// Whoever leaves, by a panic as well, leaves nothing behind.
struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        SEEN.set(Seen::Nothing);
    }
}

/// Runs a connection, which sends requests, to its end.
pub(crate) async fn connection<T>(connection: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    std::future::poll_fn(|cx| {
        let _forget = Forget;
        SEEN.set(Seen::Connection(None));
        connection.as_mut().poll(cx)
    })
    .await
}

/// A body is asked for the first time.
pub(crate) fn begins(pipe: &Arc<Pipe>) {
    SEEN.with_borrow_mut(|seen| {
        if let Seen::Connection(begun) = seen {
            *begun = Some(Arc::clone(pipe));
        }
    });
}

/// A body is over: no task will send the rest of it.
pub(crate) fn ends(pipe: &Arc<Pipe>) {
    SEEN.with_borrow_mut(|seen| {
        if let Seen::Connection(begun) = seen {
            begun.take_if(|begun| Arc::ptr_eq(begun, pipe));
        }
    });
}

pin_project! {
    /// A task of a connection. If it sends the body of a call and waits for the peer to read, it does
    /// not ask the body, and would not learn that the call was abandoned: then it is dropped, and the
    /// stream, which nobody has any more, is reset.
    pub(crate) struct Sending<F> {
        #[pin]
        task: Option<F>,
        // The call whose body it sends.
        pipe: Option<Arc<Pipe>>,
    }
}

impl<F> Sending<F> {
    /// A task that hyper spawns.
    pub(crate) fn new(task: F) -> Self {
        let pipe = SEEN.with_borrow_mut(|seen| match seen {
            Seen::Nothing => None,
            Seen::Connection(begun) => begun.take(),
        });
        Self {
            task: Some(task),
            pipe,
        }
    }
}

impl<F: Future<Output = ()>> Future for Sending<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(task) = this.task.as_mut().as_pin_mut()
            && task.poll(cx).is_pending()
            && !this.pipe.as_ref().is_some_and(|pipe| pipe.watch_reset(cx))
        {
            return Poll::Pending;
        }
        this.task.set(None);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::task::Waker;
    use std::time::Duration;

    use bytes::Bytes;
    use h2::server::SendResponse;
    use hyper::body::Incoming;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use hyper::rt::Executor;
    use hyper_util::rt::TokioIo;
    use tokio::task::yield_now;

    use super::*;
    use crate::body::RequestBody;
    use crate::pipe::Outbox;

    #[derive(Clone)]
    struct Exec;

    impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Exec {
        fn execute(&self, task: F) {
            tokio::spawn(Sending::new(task));
        }
    }

    /// A connection to a peer that answers every call at once and reads nothing of it.
    async fn to_a_peer_that_reads_nothing() -> SendRequest<RequestBody> {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let mut peer = h2::server::handshake(far).await.unwrap();
            let mut kept = Vec::new();
            while let Some(Ok((request, mut answer))) = peer.accept().await {
                let answer: &mut SendResponse<Bytes> = &mut answer;
                kept.push((
                    request,
                    answer.send_response(http::Response::new(()), false),
                ));
            }
        });
        let (sender, all) = handshake(Exec, TokioIo::new(near)).await.unwrap();
        tokio::spawn(async move { connection(all).await.unwrap() });
        sender
    }

    /// A call with this in its pipe, answered.
    async fn call(
        sender: &mut SendRequest<RequestBody>,
        pipe: &Arc<Pipe>,
    ) -> http::Response<Incoming> {
        let body = RequestBody::new(Outbox::new(Arc::clone(pipe)));
        let request = http::Request::post("http://peer/").body(body).unwrap();
        sender.send_request(request).await.unwrap()
    }

    /// Fails if hyper comes to spawn its tasks in another order: some call would not be abandoned, or
    /// one that nobody abandoned would be.
    #[tokio::test]
    async fn of_calls_that_are_stuffed_exactly_the_abandoned_ones_are_dropped() {
        let mut senders = [
            to_a_peer_that_reads_nothing().await,
            to_a_peer_that_reads_nothing().await,
        ];
        let mut calls = Vec::new();
        for _ in 0..3 {
            for sender in &mut senders {
                // One that is over when it begins spawns no task for its body.
                let (short, stuffed) = (Arc::default(), Arc::<Pipe>::default());
                Pipe::finish(&short);
                // More than any window takes.
                stuffed.send(Bytes::from(vec![0; 1 << 20]));
                let mut second = sender.clone();
                let (answer, _) = tokio::join!(call(sender, &stuffed), call(&mut second, &short));
                calls.push((stuffed, answer));
            }
        }
        let mut abandoned = [false; 6];
        for at in [3, 0, 5, 1, 4, 2] {
            calls[at].0.reset();
            abandoned[at] = true;
            let dropped = || calls.iter().map(|(pipe, _)| pipe.is_gone());
            let done = async {
                while !dropped().eq(abandoned) {
                    yield_now().await;
                }
            };
            let done = tokio::time::timeout(Duration::from_secs(60), done).await;
            assert!(done.is_ok(), "{:?}", dropped().collect::<Vec<_>>());
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(dropped().eq(abandoned));
        }
    }

    /// The call whose body a task would be taken to send that is spawned now.
    fn taken() -> Option<Arc<Pipe>> {
        Sending::new(()).pipe
    }

    #[tokio::test]
    async fn a_body_is_remembered_for_one_task_of_one_poll() {
        let [first, second] = [(); 2].map(|()| Arc::new(Pipe::default()));
        let is = |taken: Option<Arc<Pipe>>, pipe| taken.is_some_and(|by| Arc::ptr_eq(&by, pipe));
        begins(&first);
        assert!(taken().is_none(), "no connection is polled");
        let mut polled = pin!(connection(async {
            begins(&first);
            assert!(is(taken(), &first));
            assert!(taken().is_none(), "it has its task");
            begins(&first);
            ends(&first);
            assert!(taken().is_none(), "it is over");
            begins(&first);
            begins(&second);
            ends(&first);
            assert!(is(taken(), &second), "the last that began");
            begins(&first);
            yield_now().await;
            assert!(taken().is_none(), "another poll");
            begins(&first);
            pending::<()>().await;
        }));
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(polled.as_mut().poll(cx).is_pending());
            assert!(taken().is_none(), "the poll is over");
        }
    }
}
