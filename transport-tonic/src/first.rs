//! What a peer says first. On a connection without TLS, whoever asks for TLS answers HTTP/2 with an
//! alert, which would be told as a broken frame. With TLS, whoever does not trust this side says so and
//! closes; a write that finds the connection closed before that is read would be told as a lost one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

/// How an alert of TLS begins: its kind of record, and the first half of a version that every TLS has.
/// An HTTP/2 peer begins with the length of its settings, which are never so long.
const ALERT: [u8; 2] = [21, 3];

/// The peer asks for TLS.
#[derive(Debug, thiserror::Error)]
#[error("it asks for TLS, and this side has no certificates")]
struct AsksForTls;

/// A connection whose first bytes are looked at.
#[derive(Debug)]
pub(crate) struct First<Io> {
    io: Io,
    is_looking: bool,
    /// Nothing was heard yet.
    is_unheard: bool,
    /// A write found the connection closed, and what the peer said before has not been read.
    closed: Option<io::Error>,
}

impl<Io> First<Io> {
    /// On a connection that is secure there is nothing to look for.
    pub(crate) const fn new(io: Io, is_secure: bool) -> Self {
        Self {
            io,
            is_looking: !is_secure,
            is_unheard: true,
            closed: None,
        }
    }
}

impl<Io: Read + Write + Unpin> First<Io> {
    /// Writes, and if the peer has closed without a word that was read, ends with what it says.
    fn poll_told<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Io>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if self.closed.is_none() {
            match ready!(write(Pin::new(&mut self.io), cx)) {
                Err(error)
                    if self.is_unheard
                        && matches!(
                            error.kind(),
                            BrokenPipe | ConnectionAborted | ConnectionReset
                        ) =>
                {
                    self.closed = Some(error);
                }
                written => return Poll::Ready(written),
            }
        }
        // A connection that is closed can be read to its end without waiting for anybody; a runtime may
        // learn that it can be read only after this poll.
        let mut bytes = [0; 64];
        let mut read = ReadBuf::new(&mut bytes);
        let said = ready!(Pin::new(&mut *self).poll_read(cx, read.unfilled()));
        let closed = self.closed.take().unwrap_or_else(|| BrokenPipe.into());
        Poll::Ready(Err(said.err().unwrap_or(closed)))
    }
}

impl<Io: Read + Unpin> Read for First<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_looking {
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, into));
            self.is_unheard = false;
            return Poll::Ready(read);
        }
        // What was read cannot be looked at where it lies: it is copied, once.
        let mut bytes = [0; 64];
        let most = bytes.len().min(into.remaining());
        let mut read = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut self.io).poll_read(cx, read.unfilled()))?;
        (self.is_looking, self.is_unheard) = (false, false);
        if read.filled().starts_with(&ALERT) {
            let error = io::Error::new(io::ErrorKind::InvalidData, AsksForTls);
            return Poll::Ready(Err(error));
        }
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<Io: Read + Write + Unpin> Write for First<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_told(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_told(cx, |io, cx| io.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_told(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Closed for writing; what it says is there at the second look.
    struct Closed {
        looks: usize,
        says: io::ErrorKind,
    }

    impl Read for Closed {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            _: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            self.looks += 1;
            if self.looks == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Err(self.says.into()))
        }
    }

    impl Write for Closed {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn write(first: &mut First<Closed>) -> io::ErrorKind {
        let written = poll_fn(|cx| Pin::new(&mut *first).poll_write(cx, b"PRI")).await;
        written.unwrap_err().kind()
    }

    #[tokio::test]
    async fn who_has_closed_is_heard_before_the_write_is_told_as_failed() {
        let says = io::ErrorKind::InvalidData;
        let mut first = First::new(Closed { looks: 0, says }, true);
        assert_eq!(write(&mut first).await, says);
        assert_eq!(
            write(&mut first).await,
            io::ErrorKind::BrokenPipe,
            "it was heard"
        );
    }
}
