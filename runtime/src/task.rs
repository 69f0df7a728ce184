//! Tasks and time on whichever runtime it is: for programs that choose theirs when they start.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::platform::{Alarm, Platform};

/// Waits so long.
pub async fn sleep<P: Platform>(duration: Duration) {
    let mut alarm = P::Alarm::default();
    alarm.set(duration);
    std::future::poll_fn(|cx| alarm.poll(cx)).await;
}

/// Waits until then.
pub async fn sleep_until<P: Platform>(due: Instant) {
    sleep::<P>(due.saturating_duration_since(Instant::now())).await;
}

/// What `task` gives, if that takes no longer than `limit`; then it is dropped.
pub async fn timeout<P: Platform, T>(limit: Duration, task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    let mut alarm = P::Alarm::default();
    alarm.set(limit);
    std::future::poll_fn(|cx| match task.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => alarm.poll(cx).map(|()| None),
    })
    .await
}

/// Runs a task beside the present one, on the present runtime.
pub fn spawn<P: Platform, T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let (tell, done) = oneshot::channel();
    P::here().spawn(async move {
        // Nobody may be waiting.
        let _ = tell.send(task.await);
    });
    Task(done)
}

/// A task that runs by itself, whether it is waited for or not. It gives nothing if it panicked.
#[derive(Debug)]
pub struct Task<T>(oneshot::Receiver<T>);

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}
