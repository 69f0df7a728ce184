//! One connection, as its streams share it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt, WriteError};
use trefoil_core::stream::Class;

use crate::goodbye;
use crate::setup::{Windows, varint};
use trefoil_transport::lock;

/// Both directions of a stream.
pub(crate) type Halves = (SendStream, RecvStream);

/// A stream that waits until the peer allows one more.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Halves, ConnectionError>> + Send>>;

/// Streams of control go before all others.
const CONTROL_PRIORITY: i32 = 1;

/// So many streams may be left unread before the connection's window is widened for them.
const WITHHELD_FREE: usize = 1;

pub(crate) struct Wire {
    pub(crate) connection: Connection,
    /// The peer, as it was dialled or as it came.
    pub(crate) host: String,
    windows: Windows,
    /// A stream that was opened to see whether one may be.
    spare: Mutex<Option<Halves>>,
    /// Streams that this side has stopped reading.
    withheld: AtomicUsize,
    /// By how much the connection's window is wider for them.
    widened: AtomicU64,
    /// Accepted calls that are not over.
    calls: AtomicUsize,
    draining: AtomicBool,
    /// Who waits for the last of them.
    emptied: Mutex<Option<Waker>>,
}

impl Wire {
    pub(crate) fn new(connection: Connection, host: String, windows: Windows) -> Arc<Self> {
        Arc::new(Self {
            connection,
            host,
            windows,
            spare: Mutex::new(None),
            withheld: AtomicUsize::new(0),
            widened: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            emptied: Mutex::new(None),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Waits until the peer allows a stream, and keeps that for the first call.
    pub(crate) async fn welcomed(&self) -> Result<(), ConnectionError> {
        let first = self.connection.open_bi().await?;
        *lock(&self.spare) = Some(first);
        Ok(())
    }

    /// Closes the connection, and has the peer told.
    pub(crate) fn close(&self, code: VarInt) {
        goodbye::close(&self.connection, code, b"");
    }

    /// Opens a stream, or says how to wait for it.
    pub(crate) fn open(&self) -> Result<Result<Halves, ConnectionError>, Opening> {
        if let Some(spare) = lock(&self.spare).take() {
            return Ok(Ok(spare));
        }
        let now = pin!(self.connection.open_bi()).poll(&mut Context::from_waker(Waker::noop()));
        match now {
            Poll::Ready(opened) => Ok(opened),
            Poll::Pending => {
                let connection = self.connection.clone();
                Err(Box::pin(async move { connection.open_bi().await }))
            }
        }
    }

    /// Writes of a chunk what there is room for. What was written is gone from it.
    pub(crate) fn poll_write(
        &self,
        class: Class,
        send: &mut SendStream,
        chunk: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, WriteError>> {
        let written = poll_write(send, chunk, cx);
        if written.is_ready() || class == Class::Bulk {
            return written;
        }
        // Bulk has filled what it may fill. Control has room of its own above that.
        self.connection.set_send_window(self.windows.send_control);
        let written = poll_write(send, chunk, cx);
        self.connection.set_send_window(self.windows.send_bulk);
        written
    }

    fn widen(&self, withheld: usize) {
        let wanted = match withheld.checked_sub(WITHHELD_FREE) {
            None | Some(0) => 0,
            Some(more) => more.next_power_of_two() as u64 * self.windows.stream,
        };
        let widened = self.widened.load(Ordering::SeqCst);
        // Narrowed only when all are read again: a change costs a frame.
        if wanted > widened || (withheld == 0 && widened > 0) {
            self.widened.store(wanted, Ordering::SeqCst);
            self.connection
                .set_receive_window(varint(self.windows.connection + wanted));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // quinn closes a connection that nobody holds any more.
        goodbye::hasten(&self.connection);
    }
}

fn poll_write(
    send: &mut SendStream,
    chunk: &mut Bytes,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, WriteError>> {
    // The future keeps nothing between polls: quinn writes what fits or keeps the waker.
    pin!(send.write_chunks(std::slice::from_mut(chunk)))
        .poll(cx)
        .map_ok(|written| written.bytes)
}

/// Gives a stream its place among the others of its connection.
pub(crate) fn prioritise(send: &SendStream, class: Class) {
    if class == Class::Control {
        // Fails only for a stream that is over.
        let _ = send.set_priority(CONTROL_PRIORITY);
    }
}

/// A stream that is not read for now. What it holds must not take the window from the streams that
/// are: a heartbeat would wait for a producer.
pub(crate) struct Withheld(Arc<Wire>);

impl Withheld {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        wire.widen(wire.withheld.fetch_add(1, Ordering::SeqCst) + 1);
        Self(Arc::clone(wire))
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        let left = self.0.withheld.fetch_sub(1, Ordering::SeqCst) - 1;
        self.0.widen(left);
    }
}

/// One accepted call, as long as it lasts.
pub(crate) struct Counted(Arc<Wire>);

impl Counted {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        wire.calls.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(wire))
    }

    pub(crate) const fn wire(&self) -> &Arc<Wire> {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::SeqCst) == 1
            && self.0.draining.load(Ordering::SeqCst)
        {
            let waiting = lock(&self.0.emptied).take();
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        }
    }
}

impl Wire {
    /// Whether its calls are to end, and no others begin.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Ready when, from now on, no accepted call is left.
    pub(crate) fn poll_drained(&self, cx: &Context<'_>) -> Poll<()> {
        self.draining.store(true, Ordering::SeqCst);
        *lock(&self.emptied) = Some(cx.waker().clone());
        if self.calls.load(Ordering::SeqCst) == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
