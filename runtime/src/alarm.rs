//! When the driver sleeps: until the exact due time, by a runtime's alarm.

use std::task::{Context, Poll};

use trefoil_core::time::Instant;

use crate::clock;
use crate::platform::Alarm;

/// An alarm that is set anew only when the due time changed.
#[derive(Debug, Default)]
pub(crate) struct Due<A> {
    alarm: A,
    set: Option<Instant>,
}

impl<A: Alarm> Due<A> {
    /// Ready when the clock has reached `due`.
    pub(crate) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = due else { return Poll::Pending };
        let now = clock::now();
        if at <= now {
            return Poll::Ready(());
        }
        if self.set != due {
            self.alarm.set(at.since(now));
            self.set = due;
        }
        if self.alarm.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // A runtime rounds, to milliseconds say, and its clock may not count suspend: whether the time
        // has come is decided by ours. If it has not, the next poll sets the alarm again.
        self.set = None;
        if at <= clock::now() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
