//! Waiting, on whatever clock the runtime has.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::{AsyncTimer, Runtime};

/// Ready when its time has come.
pub(crate) struct Sleep(Pin<Box<dyn AsyncTimer>>);

impl Sleep {
    pub(crate) fn new(runtime: &dyn Runtime, duration: Duration) -> Self {
        // Later than any clock of ours will show; an instant cannot always hold more.
        let duration = duration.min(Duration::from_secs(365 * 24 * 60 * 60));
        Self(runtime.new_timer(runtime.now() + duration))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// Runs `task`, but not for longer than `limit`.
pub(crate) async fn timely<T>(
    runtime: &dyn Runtime,
    limit: Duration,
    task: impl Future<Output = T>,
) -> Option<T> {
    let mut task = pin!(task);
    let mut sleep = pin!(Sleep::new(runtime, limit));
    std::future::poll_fn(|cx| match task.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}
