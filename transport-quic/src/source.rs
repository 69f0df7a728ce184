//! The inbound half of a stream: chunks as QUIC has them, frames out of them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};

use crate::decode::Decoder;

/// Chunks taken at once, that a lock may pay for several of them.
const CHUNKS: usize = 4;

pub(crate) struct Source {
    recv: RecvStream,
    pub(crate) decoder: Decoder,
    chunks: [Bytes; CHUNKS],
    /// Those of `chunks` that have not been fed to the decoder.
    next: usize,
    have: usize,
}

impl Source {
    pub(crate) const fn new(recv: RecvStream, decoder: Decoder) -> Self {
        Self {
            recv,
            decoder,
            chunks: [const { Bytes::new() }; CHUNKS],
            next: 0,
            have: 0,
        }
    }

    /// Feeds the decoder with what comes next. Ready with whether there was something: if not, the
    /// peer has sent everything.
    pub(crate) fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        if self.next == self.have {
            // The future keeps nothing between polls: quinn gives what is there or keeps the waker.
            let read = pin!(self.recv.read_chunks(&mut self.chunks)).poll(cx);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(false)),
                Poll::Ready(Ok(Some(count))) => (self.next, self.have) = (0, count),
            }
        }
        let chunk = std::mem::take(&mut self.chunks[self.next]);
        self.next += 1;
        self.decoder.feed(chunk);
        Poll::Ready(Ok(true))
    }

    /// The next message, if it is whole in a chunk that has been read: see
    /// [`Decoder::whole_message`].
    pub(crate) fn whole_message(&mut self, most: usize) -> Option<Bytes> {
        if self.next < self.have && self.decoder.is_between() {
            let chunk = std::mem::take(&mut self.chunks[self.next]);
            self.next += 1;
            self.decoder.feed(chunk);
        }
        self.decoder.whole_message(most)
    }

    /// Whether the stream may end where it has been read to.
    pub(crate) fn is_between(&self) -> bool {
        self.next == self.have && self.decoder.is_between()
    }

    /// Wants no more, and says why. If all of it has come, nothing is said.
    pub(crate) fn stop(&mut self, code: VarInt) {
        // Fails only for a stream that is over.
        let _ = self.recv.stop(code);
    }
}
