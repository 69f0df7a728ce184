//! An answer that is complete and has not left: the driver has forgotten its stream, a task sends the
//! rest.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::SendStream;
use trefoil_core::stream::Class;

use crate::clock::timely;
use crate::frame::reason;
use crate::queue::Queue;
use crate::setup::Setup;
use crate::wire::Counted;

pub(crate) struct Linger {
    send: SendStream,
    queue: Queue,
    class: Class,
    counted: Counted,
}

impl Linger {
    /// Sends what it can of an answer, whose last frame is the last of the queue. Returns what is left
    /// to do, most often nothing.
    pub(crate) fn begin(
        send: SendStream,
        queue: Queue,
        class: Class,
        counted: Counted,
    ) -> Option<Self> {
        let mut linger = Self {
            send,
            queue,
            class,
            counted,
        };
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match linger.poll_write(&mut cx) {
                Poll::Pending => return Some(linger),
                Poll::Ready(Some(true)) => {}
                Poll::Ready(Some(false)) => break,
                Poll::Ready(None) => return None,
            }
        }
        // Fails only for a stream that is over.
        let _ = linger.send.finish();
        // A connection that drains waits until the answer has been heard.
        linger.counted.wire().is_draining().then_some(linger)
    }

    /// As [`begin`](Self::begin), for an answer that is a status alone.
    pub(crate) fn status(
        send: SendStream,
        status: Bytes,
        class: Class,
        counted: Counted,
    ) -> Option<Self> {
        let mut queue = Queue::default();
        queue.push(status);
        Self::begin(send, queue, class, counted)
    }

    /// Ready with whether there is more, or with nothing if nobody takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<bool>> {
        let Some(head) = self.queue.head() else {
            return Poll::Ready(Some(false));
        };
        let wire = self.counted.wire();
        wire.poll_write(self.class, &mut self.send, head, cx)
            .map(|written| {
                self.queue.sent(written.ok()?);
                Some(true)
            })
    }

    /// Sends the rest in a task of its own.
    pub(crate) fn spawn(self, setup: &Arc<Setup>) {
        let with = Arc::clone(setup);
        setup
            .runtime
            .spawn(Box::pin(async move { self.run(&with).await }));
    }

    /// Sends the rest. A caller that reads nothing for as long as a connection may be silent is left.
    async fn run(mut self, setup: &Setup) {
        let runtime = &*setup.runtime;
        loop {
            let write = std::future::poll_fn(|cx| self.poll_write(cx));
            match timely(runtime, setup.silence_max, write).await {
                Some(Some(true)) => {}
                Some(Some(false)) => break,
                Some(None) => return,
                None => {
                    let _ = self.send.reset(reason::CANCELLED);
                    return;
                }
            }
        }
        let _ = self.send.finish();
        if self.counted.wire().is_draining() {
            timely(runtime, setup.silence_max, self.send.stopped()).await;
        }
    }
}
