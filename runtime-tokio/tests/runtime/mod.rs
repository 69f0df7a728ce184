//! Tokio, as the tests of nodes see it.

use std::future::Future;
use std::time::Duration;

pub(crate) use trefoil_runtime_tokio::*;

/// The platform under test.
pub(crate) type Here = Tokio;

/// Runs a test to its end.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

/// Runs a future under an executor that has nothing of a runtime but that.
pub(crate) fn elsewhere(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future);
}

/// Runs a task beside the test.
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> {
    let task = tokio::spawn(task);
    async move { task.await.unwrap() }
}

pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// What `future` gives, if that is in time.
pub(crate) async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
