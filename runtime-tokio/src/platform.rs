//! Tasks, alarms and threads of tokio.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use trefoil_runtime::{Alarm, Platform};

/// Tokio, as a node sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

/// A timer of tokio, set again and again.
#[derive(Debug, Default)]
pub struct TokioAlarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm for TokioAlarm {
    fn set(&mut self, after: Duration) {
        let at = Instant::now().checked_add(after);
        match (at, &mut self.sleep) {
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at),
            (Some(at), None) => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
            (None, _) => self.sleep = None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Platform for Tokio {
    type Alarm = TokioAlarm;
    type Carrier = crate::Carried;

    fn here() -> Self {
        Self
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn run<T>(task: impl Future<Output = T>) -> io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(task))
    }

    async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            // It is never aborted, and a panic is the caller's.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
