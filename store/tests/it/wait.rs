//! Waiting for a session without keeping the processor busy.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Storage};
use trefoil_store::Session;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next outcome, however long it takes.
pub(crate) fn next(session: &mut Session) -> (Tag, Completion<Vec<u8>>) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match session.poll(&mut cx) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}
