//! A connection of async-io as hyper reads and writes it: read without zeroing memory first, written
//! in several pieces at once.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use futures_io::AsyncWrite as _;
use hyper::rt::{Read, ReadBufCursor, Write};

/// A connection, secure or not.
#[derive(Debug)]
pub enum Io {
    /// TCP as it is.
    Plain(Async<TcpStream>),
    /// TLS over TCP.
    #[cfg(feature = "tls")]
    Tls(Box<Secure>),
}

/// TLS over TCP, and where what was read lies until it is copied out: rustls decrypts into memory of its
/// own, and reads from there need memory that holds something.
#[cfg(feature = "tls")]
#[derive(Debug)]
pub struct Secure {
    pub(crate) stream: futures_rustls::TlsStream<Async<TcpStream>>,
    read: Box<[u8; SECURE_READ_BYTES]>,
}

/// One record of TLS.
#[cfg(feature = "tls")]
const SECURE_READ_BYTES: usize = 16 << 10;

#[cfg(feature = "tls")]
impl Secure {
    pub(crate) fn new(stream: futures_rustls::TlsStream<Async<TcpStream>>) -> Self {
        let read = Box::new([0; SECURE_READ_BYTES]);
        Self { stream, read }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        use futures_io::AsyncRead as _;
        let most = into.remaining().min(self.read.len());
        let room = &mut self.read[..most];
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, room));
        // The peer's verdict on our certificate comes when we hold the connection for made.
        let len = read.map_err(trefoil_runtime::tls::words::explained)?;
        into.put_slice(&self.read[..len]);
        Poll::Ready(Ok(()))
    }
}

/// Reads what the system has, or waits for it.
#[cfg(unix)]
#[allow(
    unsafe_code,
    reason = "hyper lends memory that holds nothing yet, and its safe way to use it is to zero it first"
)]
fn read(
    socket: &Async<TcpStream>,
    cx: &mut Context<'_>,
    mut into: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    loop {
        // SAFETY: the memory is given to `read` of the system, which only writes to it.
        let room = unsafe { into.as_mut() };
        match rustix::io::read(socket, room) {
            Ok((filled, _)) => {
                let len = filled.len();
                // SAFETY: `read` has written so many bytes at the beginning of the memory.
                unsafe { into.advance(len) };
                return Poll::Ready(Ok(()));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => ready!(socket.poll_readable(cx))?,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(not(unix))]
fn read(
    mut socket: &Async<TcpStream>,
    cx: &mut Context<'_>,
    mut into: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    use futures_io::AsyncRead as _;
    let room = into.initialize_unfilled();
    let mut bytes = vec![0; room.len().min(16 << 10)];
    let len = ready!(Pin::new(&mut socket).poll_read(cx, &mut bytes))?;
    into.put_slice(&bytes[..len]);
    Poll::Ready(Ok(()))
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => read(socket, cx, into),
            #[cfg(feature = "tls")]
            Self::Tls(secure) => secure.poll_read(cx, into),
        }
    }
}

/// Does `$what` with the writer inside.
macro_rules! with {
    ($io:expr, $writer:ident => $what:expr) => {
        match $io.get_mut() {
            Io::Plain(socket) => {
                let $writer = Pin::new(socket);
                $what
            }
            #[cfg(feature = "tls")]
            Io::Tls(secure) => {
                let $writer = Pin::new(&mut secure.stream);
                $what
            }
        }
    };
}

impl Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with!(self, writer => writer.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with!(self, writer => writer.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, writer => writer.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, writer => writer.poll_close(cx))
    }
}
