//! Tasks, alarms and threads over async-io.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_executor::Executor;
use async_io::Timer;
use trefoil_runtime::{Alarm, Platform};

thread_local! {
    /// The executor that runs on this thread, if one of ours does.
    static RUNNING: RefCell<Weak<Executor<'static>>> = const { RefCell::new(Weak::new()) };
}

/// async-io and its executors, as a node sees them.
#[derive(Clone, Debug)]
pub struct AsyncStd {
    /// Where its tasks run; dangling where they run on the shared executor. Weak, since the tasks of an
    /// executor hold this, and would keep it for ever.
    executor: Weak<Executor<'static>>,
    is_own: bool,
}

/// What runs tasks that were started outside of [`Platform::run`].
#[cfg(not(feature = "async-std"))]
mod shared {
    use std::future::Future;
    use std::sync::OnceLock;

    use async_executor::Executor;

    static EXECUTOR: Executor<'static> = Executor::new();

    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        static THREAD: OnceLock<()> = OnceLock::new();
        THREAD.get_or_init(|| {
            let run = || async_io::block_on(EXECUTOR.run(std::future::pending::<()>()));
            let thread = std::thread::Builder::new().name("trefoil".into());
            // Without a thread nothing could run: as bad as a system without memory.
            assert!(thread.spawn(run).is_ok(), "the system refuses a thread");
        });
        EXECUTOR.spawn(task).detach();
    }
}

#[cfg(feature = "async-std")]
mod shared {
    use std::future::Future;

    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }
}

impl Platform for AsyncStd {
    type Alarm = AsyncStdAlarm;
    type Carrier = crate::Carried;

    fn here() -> Self {
        let executor = RUNNING.with_borrow(Weak::clone);
        let is_own = executor.strong_count() > 0;
        Self { executor, is_own }
    }

    /// A task for an executor that has ended is dropped, as those are that still ran there.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if !self.is_own {
            shared::spawn(task);
        } else if let Some(executor) = self.executor.upgrade() {
            executor.spawn(task).detach();
        }
    }

    fn run<T>(task: impl Future<Output = T>) -> io::Result<T> {
        let executor = Arc::new(Executor::new());
        let before = RUNNING.replace(Arc::downgrade(&executor));
        let done = async_io::block_on(executor.run(task));
        RUNNING.set(before);
        Ok(done)
    }

    async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        blocking::unblock(work).await
    }
}

/// A timer of async-io, set again and again.
#[derive(Debug)]
pub struct AsyncStdAlarm {
    timer: Timer,
    /// async-io's timer says so once.
    has_rung: bool,
}

impl Default for AsyncStdAlarm {
    fn default() -> Self {
        Self {
            timer: Timer::never(),
            has_rung: false,
        }
    }
}

impl Alarm for AsyncStdAlarm {
    fn set(&mut self, after: Duration) {
        self.timer.set_after(after);
        self.has_rung = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.has_rung = self.has_rung || Pin::new(&mut self.timer).poll(cx).is_ready();
        if self.has_rung {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
