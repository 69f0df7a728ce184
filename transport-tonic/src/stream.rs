//! One stream: what it has staged, what it may deliver, how it ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tonic::codegen::tokio_stream::Stream as _;
use tonic::{Response, Status, Streaming};
use trefoil_core::codes;
use trefoil_core::id::{LinkId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::machine::Full;
use trefoil_core::status::{Cause, Code};
use trefoil_core::transport::Arrival;
use trefoil_transport::Side;

use crate::error::{CANCELLED, LOST};
use crate::link::Request;
use crate::metadata;
use crate::pipe::{PREFIX_BYTES, Pipe, note, prefix};

/// The answer to a request that was sent.
pub(crate) type Call =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<Bytes>>, Status>> + Send>>;

/// Where the inbound half stands.
enum Inbound {
    /// The link is being dialled.
    Waiting(Request),
    /// The request has been sent.
    Calling(Call),
    /// The answer was there as soon as the request was sent.
    Answered(Option<Box<Result<Response<Streaming<Bytes>>, Status>>>),
    Receiving(Streaming<Bytes>),
    /// The caller has sent everything.
    Finished,
}

/// The bounds of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    frame_max: usize,
    send_max: usize,
    receive_max: usize,
    /// With at most this many bytes queued, the stream has room for a reply.
    reply_below: usize,
}

impl Bounds {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            frame_max: limits.frame_bytes_max as usize,
            send_max: limits.stream_send_bytes_max as usize,
            receive_max: limits.stream_receive_bytes_max as usize,
            reply_below: (limits.stream_send_bytes_max - limits.reply_reserve) as usize,
        }
    }
}

/// What a look at a stream gave.
pub(crate) enum Step {
    Arrived(Arrival<Bytes>),
    /// The last arrival: the stream is to be forgotten.
    Over(Arrival<Bytes>),
    Idle,
}

pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) side: Side,
    inbound: Inbound,
    pipe: Arc<Pipe>,
    /// Frames since the last flush, as they are sent.
    staged: BytesMut,
    /// A half-close since the last flush.
    closing: bool,
    /// This side will send no more.
    half_closed: bool,
    /// The length of a frame that was refused.
    refused: Option<usize>,
    /// Staged bytes alone stood in the way of something: look again when they have been flushed.
    look_again: bool,
    /// A frame that does not fit the receive budget.
    held: Option<Bytes>,
    /// Bytes delivered and not credited.
    uncredited: usize,
    /// The budget stood in the way of a frame.
    out_of_credit: bool,
}

impl Stream {
    fn new(id: StreamId, side: Side, inbound: Inbound, pipe: Arc<Pipe>) -> Self {
        Self {
            id,
            side,
            inbound,
            pipe,
            staged: BytesMut::new(),
            closing: false,
            half_closed: false,
            refused: None,
            look_again: false,
            held: None,
            uncredited: 0,
            out_of_credit: false,
        }
    }

    pub(crate) fn accepted(id: StreamId, inbound: Streaming<Bytes>, pipe: Arc<Pipe>) -> Self {
        Self::new(id, Side::Accepted, Inbound::Receiving(inbound), pipe)
    }

    pub(crate) fn opened(id: StreamId, link: LinkId, request: Request, pipe: Arc<Pipe>) -> Self {
        Self::new(id, Side::Opened(link), Inbound::Waiting(request), pipe)
    }

    /// Whether it is to be opened on `link` and has not been.
    pub(crate) fn is_waiting_for(&self, link: LinkId) -> bool {
        self.side == Side::Opened(link) && matches!(self.inbound, Inbound::Waiting(_))
    }

    /// Sends the request of a waiting stream. Returns whether the answer was there at once.
    pub(crate) fn start(&mut self, send: impl FnOnce(Request) -> Call, signal: &Waker) -> bool {
        let before = std::mem::replace(&mut self.inbound, Inbound::Finished);
        let Inbound::Waiting(request) = before else {
            self.inbound = before;
            return false;
        };
        let mut call = send(request);
        match call.as_mut().poll(&mut Context::from_waker(signal)) {
            Poll::Pending => {
                self.inbound = Inbound::Calling(call);
                false
            }
            Poll::Ready(answer) => {
                self.inbound = Inbound::Answered(Some(Box::new(answer)));
                true
            }
        }
    }

    /// Whether at most `most` bytes wait to be sent; if not, the driver is woken when it is so.
    fn pending_at_most(&mut self, most: usize) -> bool {
        match most.checked_sub(self.staged.len()) {
            Some(most) => self.pipe.at_most(most),
            None => {
                self.look_again = true;
                false
            }
        }
    }

    /// Whether a frame of `len` bytes may be added now. With nothing queued any frame fits: else large
    /// replies could never be sent.
    fn has_room(&mut self, len: usize, bounds: &Bounds) -> bool {
        self.pending_at_most(bounds.send_max.saturating_sub(len + PREFIX_BYTES))
    }

    /// See [`Transport::frame`](trefoil_core::transport::Transport::frame).
    pub(crate) fn frame(&mut self, len: usize, bounds: &Bounds) -> Result<&mut [u8], Full> {
        if self.half_closed || len > bounds.frame_max {
            return Err(Full);
        }
        if !self.has_room(len, bounds) {
            self.refused = Some(len);
            return Err(Full);
        }
        self.staged.reserve(PREFIX_BYTES + len);
        prefix(len, &mut self.staged);
        let at = self.staged.len();
        self.staged.resize(at + len, 0);
        Ok(&mut self.staged[at..])
    }

    pub(crate) fn half_close(&mut self) {
        self.half_closed = true;
        self.refused = None;
        // An answer ends with its status and in no other way.
        self.closing = matches!(self.side, Side::Opened(_));
    }

    /// Gives what was staged to the task that sends. Returns whether the stream is to be looked at.
    pub(crate) fn flush(&mut self) -> bool {
        if !self.staged.is_empty() {
            self.pipe.send(self.staged.split().freeze());
        }
        if std::mem::take(&mut self.closing) {
            self.pipe.finish();
        }
        std::mem::take(&mut self.look_again)
    }

    /// Ends the stream from here.
    pub(crate) fn end(mut self, status: Status) {
        match self.side {
            Side::Opened(_) => self.pipe.reset(),
            Side::Accepted => {
                self.flush();
                if status.code() == tonic::Code::Ok {
                    self.pipe.finish();
                } else {
                    self.pipe.end(status);
                }
            }
        }
    }

    /// The end of a stream whose link was refused or lost before it was opened there.
    pub(crate) fn unreachable(&self, cause: Cause, why: Option<Bytes>) -> Arrival<Bytes> {
        let (code, message) = if cause == Cause::Untrusted {
            (Code::Unauthenticated, codes::UNTRUSTED)
        } else {
            (Code::Unavailable, codes::UNREACHABLE)
        };
        let message = why.unwrap_or_else(|| Bytes::from_static(message.as_bytes()));
        ended(self.id, code, cause, message)
    }

    /// Returns credit for frames that were delivered. Returns whether the stream had to wait for it.
    pub(crate) fn credit(&mut self, bytes: u32) -> bool {
        self.uncredited = self.uncredited.saturating_sub(bytes as usize);
        std::mem::take(&mut self.out_of_credit)
    }

    /// The next thing that happened. `Idle` keeps the waker wherever something may yet happen.
    pub(crate) fn step(&mut self, bounds: &Bounds, signal: &Waker) -> Step {
        if self.side == Side::Accepted && self.pipe.is_gone() {
            return self.abandoned();
        }
        if let Some(len) = self.refused
            && self.has_room(len, bounds)
        {
            self.refused = None;
            return Step::Arrived(Arrival::Writable { stream: self.id });
        }
        match &mut self.inbound {
            Inbound::Waiting(_) | Inbound::Finished => Step::Idle,
            Inbound::Calling(call) => match call.as_mut().poll(&mut Context::from_waker(signal)) {
                Poll::Pending => Step::Idle,
                Poll::Ready(answer) => self.answered(answer),
            },
            Inbound::Answered(answer) => match answer.take() {
                Some(answer) => self.answered(*answer),
                None => Step::Idle,
            },
            Inbound::Receiving(_) => self.receive(bounds, signal),
        }
    }

    fn answered(&mut self, answer: Result<Response<Streaming<Bytes>>, Status>) -> Step {
        match answer {
            Ok(answer) => {
                let (metadata, inbound, _) = answer.into_parts();
                self.inbound = Inbound::Receiving(inbound);
                Step::Arrived(Arrival::Header {
                    stream: self.id,
                    header: metadata::header(&metadata.into_headers()),
                })
            }
            Err(status) => self.failed(&status),
        }
    }

    fn receive(&mut self, bounds: &Bounds, signal: &Waker) -> Step {
        if self.side == Side::Accepted && !self.pending_at_most(bounds.reply_below) {
            return Step::Idle;
        }
        if let Some(frame) = self.held.take() {
            return self.deliver(frame, bounds);
        }
        // An exhausted budget stops the reading; what is not read, HTTP/2 does not let the peer send.
        if self.uncredited >= bounds.receive_max {
            self.out_of_credit = true;
            return Step::Idle;
        }
        let Inbound::Receiving(inbound) = &mut self.inbound else {
            return Step::Idle;
        };
        match Pin::new(inbound).poll_next(&mut Context::from_waker(signal)) {
            Poll::Pending => Step::Idle,
            Poll::Ready(Some(Ok(frame))) => self.deliver(frame, bounds),
            Poll::Ready(Some(Err(status))) => self.failed(&status),
            Poll::Ready(None) => self.finished(),
        }
    }

    fn deliver(&mut self, frame: Bytes, bounds: &Bounds) -> Step {
        if self.uncredited > 0 && self.uncredited + frame.len() > bounds.receive_max {
            self.held = Some(frame);
            self.out_of_credit = true;
            return Step::Idle;
        }
        self.uncredited += frame.len();
        Step::Arrived(Arrival::Frame {
            stream: self.id,
            frame,
        })
    }

    /// The peer has sent everything: of an answer, together with its status.
    fn finished(&mut self) -> Step {
        self.inbound = Inbound::Finished;
        match self.side {
            Side::Opened(_) => {
                self.pipe.finish();
                Step::Over(ended(self.id, Code::Ok, Cause::Peer, Bytes::new()))
            }
            Side::Accepted if self.pipe.noted(note::CANCELLED) => self.abandoned(),
            Side::Accepted => Step::Arrived(Arrival::HalfClosed { stream: self.id }),
        }
    }

    /// The caller went away, or its connection did.
    fn abandoned(&self) -> Step {
        Step::Over(if self.pipe.noted(note::LOST) {
            ended(
                self.id,
                Code::Unavailable,
                Cause::Lost,
                Bytes::from_static(LOST.as_bytes()),
            )
        } else {
            ended(
                self.id,
                Code::Cancelled,
                Cause::Peer,
                Bytes::from_static(CANCELLED.as_bytes()),
            )
        })
    }

    fn failed(&mut self, status: &Status) -> Step {
        let cause = if self.pipe.noted(note::UNTRUSTED) {
            Cause::Untrusted
        } else if self.pipe.noted(note::LOST) {
            Cause::Lost
        } else {
            Cause::Peer
        };
        // Tonic says OUT_OF_RANGE of a message above the limit; a peer's own word comes with trailers,
        // or in place of an answer.
        let too_large = status.code() == tonic::Code::OutOfRange
            && matches!(self.inbound, Inbound::Receiving(_))
            && !self.pipe.noted(note::TRAILERS);
        let over = if too_large {
            ended(
                self.id,
                Code::ResourceExhausted,
                Cause::Peer,
                Bytes::from_static(codes::TOO_LARGE.as_bytes()),
            )
        } else {
            Arrival::Ended {
                stream: self.id,
                code: Code::from_wire(status.code() as i32),
                cause,
                message: Bytes::copy_from_slice(status.message().as_bytes()),
                details: Bytes::copy_from_slice(status.details()),
            }
        };
        self.inbound = Inbound::Finished;
        match self.side {
            Side::Opened(_) if self.pipe.noted(note::TRAILERS) => self.pipe.finish(),
            Side::Opened(_) => self.pipe.reset(),
            Side::Accepted => {
                self.flush();
                self.pipe.end(if too_large {
                    Status::resource_exhausted(codes::TOO_LARGE)
                } else {
                    status.clone()
                });
            }
        }
        Step::Over(over)
    }
}

impl trefoil_transport::Stream for Stream {
    fn id(&self) -> StreamId {
        self.id
    }

    fn side(&self) -> Side {
        self.side
    }

    fn abandon(self) {
        self.end(Status::cancelled(""));
    }
}

const fn ended(stream: StreamId, code: Code, cause: Cause, message: Bytes) -> Arrival<Bytes> {
    Arrival::Ended {
        stream,
        code,
        cause,
        message,
        details: Bytes::new(),
    }
}
