//! An alarm on tokio's timer, set anew only when the due time changed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;
use trefoil_core::time::Instant;

use crate::clock;

#[derive(Debug, Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    due: Option<Instant>,
}

impl Alarm {
    /// Ready when the clock has reached `due`.
    pub(crate) fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = due else { return Poll::Pending };
        let now = clock::now();
        if at <= now {
            return Poll::Ready(());
        }
        if self.due != due {
            let wake = tokio::time::Instant::now() + at.since(now);
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(wake),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(wake))),
            }
            self.due = due;
        }
        let Some(sleep) = &mut self.sleep else {
            return Poll::Pending;
        };
        match sleep.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                // Tokio rounds to milliseconds, and its clock does not count suspend: whether the
                // time has come is decided by ours. If it has not, the next poll sets the alarm again.
                self.due = None;
                if at <= clock::now() {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
