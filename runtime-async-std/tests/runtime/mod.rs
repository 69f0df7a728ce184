//! async-io, as the tests of nodes see it.

use std::future::Future;
use std::time::Duration;

use async_executor::{Executor, Task};
use async_io::Timer;
pub(crate) use trefoil_runtime_async_std::*;

/// The platform under test.
pub(crate) type Here = AsyncStd;

static BESIDE: Executor<'static> = Executor::new();

/// Runs a test to its end.
pub(crate) fn run(test: impl Future<Output = ()>) {
    async_io::block_on(BESIDE.run(test));
}

/// Runs a future under an executor that has nothing of a runtime but that.
pub(crate) fn elsewhere(future: impl Future<Output = ()>) {
    futures_lite::future::block_on(future);
}

/// Runs a task beside the test.
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Task<T> {
    BESIDE.spawn(task)
}

pub(crate) async fn sleep(duration: Duration) {
    Timer::after(duration).await;
}

/// What `future` gives, if that is in time.
pub(crate) async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        sleep(limit).await;
        None
    };
    futures_lite::future::or(async { Some(future.await) }, late).await
}
