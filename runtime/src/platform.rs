//! What a node asks of an async runtime.

use std::future::Future;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::carrier::Carrier;

/// An alarm that can be set again and again.
pub trait Alarm: Default + Send + Unpin + 'static {
    /// Makes it ring in so long; what was set before is forgotten. A time that no clock can show never
    /// comes.
    fn set(&mut self, after: Duration);

    /// Ready when it has rung, however often it is asked, until it is set again; or `Pending` with the
    /// task's waker kept. One that was never set never rings.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// An async runtime: tasks, alarms, threads for what blocks.
pub trait Platform: Clone + Send + Sync + Unpin + 'static {
    /// Its alarms.
    type Alarm: Alarm;
    /// What carries the streams of its nodes.
    type Carrier: Carrier<Self>;

    /// The runtime that the present task runs on.
    fn here() -> Self;

    /// Runs a task to its end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs a task on this very thread, on a runtime of its own that ends with it.
    ///
    /// # Errors
    /// The system refuses what a runtime needs.
    fn run<T>(task: impl Future<Output = T>) -> io::Result<T>;

    /// Does what may block on a thread where that hurts nobody.
    fn unblock<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;
}
