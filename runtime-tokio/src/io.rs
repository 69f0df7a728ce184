//! A connection of tokio as hyper reads and writes it, secure or not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection, secure or not.
#[derive(Debug)]
pub enum Io {
    /// TCP as it is.
    Plain(TokioIo<TcpStream>),
    /// TLS over TCP.
    #[cfg(feature = "tls")]
    Tls(Box<TokioIo<tokio_rustls::TlsStream<TcpStream>>>),
}

/// Does `$what` with the connection inside.
macro_rules! with {
    ($io:expr, $inner:ident => $what:expr) => {
        match $io.get_mut() {
            Io::Plain(plain) => {
                let $inner = Pin::new(plain);
                $what
            }
            #[cfg(feature = "tls")]
            Io::Tls(tls) => {
                let $inner = Pin::new(&mut **tls);
                $what
            }
        }
    };
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = with!(self, inner => inner.poll_read(cx, into));
        // The peer's verdict on our certificate comes when we hold the connection for made.
        #[cfg(feature = "tls")]
        let read = read.map_err(trefoil_runtime::tls::words::explained);
        read
    }
}

impl Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with!(self, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with!(self, inner => inner.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, inner => inner.poll_shutdown(cx))
    }
}
