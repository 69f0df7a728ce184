//! A switch that ends a task from outside.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Locks, whatever became of others who held the lock: what they guard here is whole between calls.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far a task should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Go on.
    Run = 0,
    /// Finish what was begun.
    Drain = 1,
    /// Stop now.
    Close = 2,
}

/// Raised by anyone, watched by a few tasks.
#[derive(Debug, Default)]
pub struct Stop {
    level: AtomicU8,
    watchers: Mutex<Vec<Waker>>,
}

impl Stop {
    /// The level as it is.
    pub fn level(&self) -> Level {
        match self.level.load(Ordering::SeqCst) {
            0 => Level::Run,
            1 => Level::Drain,
            _ => Level::Close,
        }
    }

    /// Raises the level; it never falls.
    pub fn raise(&self, level: Level) {
        self.level.fetch_max(level as u8, Ordering::SeqCst);
        let watchers = std::mem::take(&mut *lock(&self.watchers));
        for watcher in watchers {
            watcher.wake();
        }
    }

    /// The level, with the task kept to be woken when it is raised.
    pub fn watch(&self, cx: &Context<'_>) -> Level {
        let mut watchers = lock(&self.watchers);
        // A task's waker stays the same: there are as many as there are tasks.
        if !watchers.iter().any(|known| known.will_wake(cx.waker())) {
            watchers.push(cx.waker().clone());
        }
        drop(watchers);
        self.level()
    }

    /// Runs `task` until it ends or the level is `Close`; then it is dropped.
    pub async fn until_closed<T>(&self, task: impl Future<Output = T>) -> Option<T> {
        let mut task = pin!(task);
        std::future::poll_fn(|cx| {
            if self.watch(cx) == Level::Close {
                return Poll::Ready(None);
            }
            task.as_mut().poll(cx).map(Some)
        })
        .await
    }
}
