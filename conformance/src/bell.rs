//! How transports wake whoever drives them here: from any thread, to a thread or to a task.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::subject::{At, Turn};

#[derive(Debug, Default)]
struct State {
    rung: [bool; 2],
    /// A task that waits.
    task: Option<Waker>,
}

/// Rings when a side asks to be polled.
#[derive(Debug, Default)]
pub struct Bell {
    state: Mutex<State>,
    heard: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a side polled at the next opportunity.
    pub fn ring(&self, at: At) {
        let task = {
            let mut state = self.lock();
            state.rung[at as usize] = true;
            state.task.take()
        };
        self.heard.notify_all();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Ready when it rings, for a world whose tasks run only while something waits for them.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.rung.contains(&true) {
            return Poll::Ready(());
        }
        state.task = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Blocks the thread until it rings, for a world that lives on threads of its own.
    pub fn wait(&self, limit: Duration) -> Turn {
        let state = self.lock();
        let waited = self
            .heard
            .wait_timeout_while(state, limit, |state| !state.rung.contains(&true));
        drop(waited);
        Turn::Moving
    }

    /// Whether it rang for a side since this was asked last.
    pub(crate) fn take(&self, at: At) -> bool {
        std::mem::take(&mut self.lock().rung[at as usize])
    }

    pub(crate) fn waker(self: &Arc<Self>, at: At) -> Waker {
        let bell = Arc::clone(self);
        Waker::from(Arc::new(Rope { bell, at }))
    }
}

/// Rings for one side.
struct Rope {
    bell: Arc<Bell>,
    at: At,
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.bell.ring(self.at);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.ring(self.at);
    }
}
