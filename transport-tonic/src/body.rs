//! Bodies that leave, in place of tonic's, and around those that arrive: what a reset or a lost
//! connection looks like is known here and nowhere above.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use trefoil_core::codes;

use crate::error::{CANCELLED, LOST, PROTOCOL, untrusted};
use crate::pipe::{Outbox, Outgoing, Pipe, note};
use crate::sending;

type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a request of ours: what the driver wrote, as it lies there. Abandoned, it fails with the
/// error that makes HTTP/2 say CANCEL.
#[derive(Debug)]
pub(crate) struct RequestBody {
    outbox: Outbox,
    begun: bool,
}

impl RequestBody {
    pub(crate) const fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            begun: false,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !std::mem::replace(&mut self.begun, true) {
            sending::begins(self.outbox.pipe());
        }
        let piece = self.outbox.poll_piece(cx);
        let end = if self.outbox.pipe().is_reset() {
            Some(Err(h2::Error::from(h2::Reason::CANCEL).into()))
        } else {
            match ready!(piece) {
                Outgoing::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Outgoing::End(_) => None,
            }
        };
        sending::ends(self.outbox.pipe());
        Poll::Ready(end)
    }
}

/// The body of an answer of ours: what the driver wrote, and its status.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    outbox: Outbox,
    is_over: bool,
}

impl AnswerBody {
    pub(crate) const fn new(outbox: Outbox) -> Self {
        Self {
            outbox,
            is_over: false,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.outbox.poll_piece(cx)) {
            Outgoing::Data(data) => Ok(Frame::data(data)),
            Outgoing::End(status) => {
                self.is_over = true;
                let mut trailers = HeaderMap::with_capacity(3);
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

pin_project! {
    /// A body that arrives. Notes how it ended: tonic shows a caller that went away as one that has
    /// sent everything.
    #[derive(Debug)]
    pub(crate) struct InBody<B> {
        #[pin]
        inner: B,
        pipe: Arc<Pipe>,
    }
}

impl<B> InBody<B> {
    pub(crate) const fn new(inner: B, pipe: Arc<Pipe>) -> Self {
        Self { inner, pipe }
    }
}

impl<B> Body for InBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        Poll::Ready(match ready!(this.inner.poll_frame(cx)) {
            None => None,
            Some(Ok(frame)) => {
                if frame.is_trailers() {
                    this.pipe.note(note::TRAILERS);
                }
                Some(Ok(
                    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
                ))
            }
            Some(Err(error)) => Some(Err(failed(&*error.into(), this.pipe))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The status of a call whose HTTP failed, by the rules of gRPC over HTTP/2; and a note of what it
/// means for the connection.
pub(crate) fn failed(error: &(dyn Error + 'static), pipe: &Pipe) -> Status {
    if let Some(why) = distrust(error) {
        pipe.note(note::UNTRUSTED);
        return Status::unauthenticated(untrusted(why));
    }
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            return reset(h2, pipe);
        }
        source = error.source();
    }
    // Without an HTTP/2 error beneath, hyper gave up on the connection as a whole; on a request that it
    // had not begun to send, if it says so.
    pipe.note(note::LOST);
    let unsent = error
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_canceled);
    Status::unavailable(if unsent { codes::UNREACHABLE } else { LOST })
}

/// The input or output error of a connection whose sides do not trust each other, beneath `error`.
pub(crate) fn distrust<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a std::io::Error> {
    let mut source = Some(error);
    while let Some(error) = source {
        let io = match error.downcast_ref::<h2::Error>() {
            Some(h2) => h2.get_io(),
            None => error.downcast_ref(),
        };
        if let Some(io) = io {
            return Some(io).filter(|io| io.kind() == std::io::ErrorKind::InvalidData);
        }
        source = error.source();
    }
    None
}

fn reset(error: &h2::Error, pipe: &Pipe) -> Status {
    if error.is_io() || error.is_go_away() {
        pipe.note(note::LOST);
        return Status::unavailable(LOST);
    }
    match error.reason() {
        Some(h2::Reason::CANCEL) => {
            pipe.note(note::CANCELLED);
            Status::cancelled(CANCELLED)
        }
        Some(h2::Reason::REFUSED_STREAM) => {
            pipe.note(note::LOST);
            Status::unavailable(LOST)
        }
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Status::resource_exhausted(PROTOCOL),
        Some(h2::Reason::INADEQUATE_SECURITY) => Status::permission_denied(PROTOCOL),
        _ => Status::internal(format!("{PROTOCOL}: {error}")),
    }
}
