//! One stream: what it has to send, what it may deliver, how it ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::{ConnectionError, ReadError, SendStream, StoppedError, VarInt, WriteError};
use trefoil_core::codes;
use trefoil_core::id::{LinkId, StreamId};
use trefoil_core::limits::Limits;
use trefoil_core::machine::Full;
use trefoil_core::status::{Cause, Code};
use trefoil_core::stream::Class;
use trefoil_core::transport::Arrival;
use trefoil_transport::Side;

use crate::error::{CANCELLED, LOST, PROTOCOL};
use crate::frame::{self, Kind, STATUS_BYTES_MAX, WORD_BYTES, Word, reason};
use crate::inbox::Incoming;
use crate::linger::Linger;
use crate::options::QuicOptions;
use crate::queue::Queue;
use crate::source::Source;
use crate::trust;
use crate::wire::{Counted, Halves, Opening, Wire, Withheld, prioritise};

/// Where the inbound half stands.
enum Phase {
    /// The link is being dialled.
    Waiting,
    /// The peer allows no more streams for now.
    Opening(Opening),
    Receiving,
    /// The caller has sent everything.
    Finished,
}

/// The bounds of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) frame_max: usize,
    pub(crate) request_max: usize,
    send_max: usize,
    receive_max: usize,
    /// With at most this many bytes waiting, the stream has room for a reply.
    reply_below: usize,
}

impl Bounds {
    pub(crate) const fn new(limits: &Limits, options: &QuicOptions) -> Self {
        Self {
            frame_max: limits.frame_bytes_max as usize,
            request_max: options.request_bytes_max as usize,
            send_max: limits.stream_send_bytes_max as usize,
            receive_max: limits.stream_receive_bytes_max as usize,
            reply_below: (limits.stream_send_bytes_max - limits.reply_reserve) as usize,
        }
    }
}

/// What a look at a stream gave.
pub(crate) enum Step {
    Arrived(Arrival<Bytes>),
    /// The last arrival: the stream is to be forgotten, and parted with like this.
    Over(Arrival<Bytes>, Parting),
    Idle,
}

/// What is said to the peer at the end.
pub(crate) enum Parting {
    /// The status, after everything else.
    Answer(Bytes),
    /// Nothing is sent or read any more.
    Abandon(VarInt),
    /// The peer has ended it.
    Done,
}

/// What to do about the frame whose word was seen.
enum Take {
    Step(Step),
    More,
    Withhold,
}

type Watch = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>;

pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) side: Side,
    class: Class,
    phase: Phase,
    wire: Option<Arc<Wire>>,
    send: Option<SendStream>,
    source: Option<Source>,
    counted: Option<Counted>,
    queue: Queue,
    /// Bytes that were lent since the last flush.
    staged: usize,
    /// Bytes that wait and are no messages: they stand in nobody's way.
    exempt: usize,
    /// Half-close after what waits.
    closing: bool,
    /// This side will send no more messages.
    half_closed: bool,
    /// The peer has been told so.
    finished: bool,
    /// The length of a frame that was refused.
    refused: Option<usize>,
    /// Staged bytes stood in the way of reading: look again when they have been flushed.
    look_again: bool,
    /// Bytes delivered and not credited.
    uncredited: usize,
    /// The budget stood in the way of a frame.
    out_of_credit: bool,
    /// The header of the answer has come.
    answered: bool,
    /// Nobody takes what is sent.
    sink: bool,
    /// The caller wants no answer.
    gone: bool,
    withheld: Option<Withheld>,
    /// Tells that the caller went away while nothing is read from it.
    watch: Option<Watch>,
}

impl Stream {
    fn new(id: StreamId, side: Side, class: Class) -> Self {
        Self {
            id,
            side,
            class,
            phase: Phase::Waiting,
            wire: None,
            send: None,
            source: None,
            counted: None,
            queue: Queue::default(),
            staged: 0,
            exempt: 0,
            closing: false,
            half_closed: false,
            finished: false,
            refused: None,
            look_again: false,
            uncredited: 0,
            out_of_credit: false,
            answered: false,
            sink: false,
            gone: false,
            withheld: None,
            watch: None,
        }
    }

    pub(crate) fn accepted(id: StreamId, class: Class, incoming: Incoming) -> Self {
        Self {
            phase: Phase::Receiving,
            wire: Some(Arc::clone(incoming.counted.wire())),
            send: Some(incoming.send),
            source: Some(incoming.source),
            counted: Some(incoming.counted),
            ..Self::new(id, Side::Accepted, class)
        }
    }

    pub(crate) fn opened(id: StreamId, link: LinkId, class: Class) -> Self {
        Self::new(id, Side::Opened(link), class)
    }

    /// Whether it is to be opened on `link` and has not been.
    pub(crate) fn is_waiting_for(&self, link: LinkId) -> bool {
        self.side == Side::Opened(link) && matches!(self.phase, Phase::Waiting)
    }

    /// Opens a waiting stream on its connection; or returns its end, if there is none any more.
    pub(crate) fn start(&mut self, wire: &Arc<Wire>) -> Result<(), Arrival<Bytes>> {
        self.wire = Some(Arc::clone(wire));
        match wire.open() {
            Ok(Ok(halves)) => self.begin(halves),
            Ok(Err(error)) => return Err(self.end_of(&error, codes::UNREACHABLE)),
            Err(opening) => self.phase = Phase::Opening(opening),
        }
        Ok(())
    }

    fn begin(&mut self, (send, recv): Halves) {
        prioritise(&send, self.class);
        self.send = Some(send);
        self.source = Some(Source::new(recv, crate::decode::Decoder::default()));
        self.phase = Phase::Receiving;
    }

    /// Bytes of messages that wait to be sent.
    const fn pending(&self) -> usize {
        (self.staged + self.queue.len()).saturating_sub(self.exempt)
    }

    /// Whether a frame of `len` bytes may be added now. With nothing waiting any frame fits: else large
    /// replies could never be sent.
    const fn has_room(&self, len: usize, bounds: &Bounds) -> bool {
        self.sink || self.pending() <= bounds.send_max.saturating_sub(len + WORD_BYTES)
    }

    /// Makes sure that a message of `len` bytes may be lent.
    pub(crate) fn make_room(&mut self, len: usize, bounds: &Bounds) -> Result<(), Full> {
        if self.half_closed || len > bounds.frame_max {
            return Err(Full);
        }
        if !self.has_room(len, bounds) {
            self.refused = Some(len);
            return Err(Full);
        }
        Ok(())
    }

    /// A frame of this payload has been lent. A request or header counts against nothing.
    pub(crate) const fn lent(&mut self, kind: Kind, len: usize) {
        self.staged += WORD_BYTES + len;
        if !matches!(kind, Kind::Message) {
            self.exempt += WORD_BYTES + len;
        }
    }

    /// Takes over what was lent.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.staged = self.staged.saturating_sub(piece.len());
        if !self.sink {
            self.queue.push(piece);
        }
    }

    pub(crate) const fn half_close(&mut self) {
        self.half_closed = true;
        self.refused = None;
        // An answer ends with its status and in no other way.
        self.closing = matches!(self.side, Side::Opened(_));
    }

    /// Sends what waits, as far as there is room. Returns whether the stream is to be looked at: QUIC
    /// wakes nobody if it takes everything at once.
    pub(crate) fn flush(&mut self, bounds: &Bounds, signal: &Waker) -> bool {
        self.write(&mut Context::from_waker(signal));
        let room = self.refused.is_some_and(|len| self.has_room(len, bounds));
        std::mem::take(&mut self.look_again) || self.gone || room
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let (Some(send), Some(wire)) = (&mut self.send, &self.wire) else {
            return;
        };
        while let Some(head) = self.queue.head() {
            match wire.poll_write(self.class, send, head, cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) => self.queue.sent(count),
                Poll::Ready(Err(error)) => {
                    self.queue.clear();
                    self.sink = true;
                    // An opened stream, and one whose connection is gone, hears of it by reading.
                    let stopped = matches!(error, WriteError::Stopped(_));
                    self.gone = stopped && self.side == Side::Accepted;
                    break;
                }
            }
        }
        if self.staged > 0 {
            return;
        }
        self.exempt = 0;
        if self.closing {
            self.closing = false;
            self.finished = send.finish().is_ok();
        }
    }

    /// The end of a stream whose link is no more, and on which nothing was sent.
    pub(crate) fn unreachable(&self, code: Code, cause: Cause, message: Bytes) -> Arrival<Bytes> {
        ended(self.id, code, cause, message)
    }

    /// Returns credit for frames that were delivered. Returns whether the stream had to wait for it.
    pub(crate) const fn credit(&mut self, bytes: u32) -> bool {
        self.uncredited = self.uncredited.saturating_sub(bytes as usize);
        std::mem::replace(&mut self.out_of_credit, false)
    }

    /// The next message, if it has been read already and nothing stands in its way. What else may have
    /// happened to the stream comes after it.
    pub(crate) fn buffered(&mut self, bounds: &Bounds) -> Option<Arrival<Bytes>> {
        let open = matches!(self.phase, Phase::Receiving);
        let room = match self.side {
            Side::Accepted => self.pending() <= bounds.reply_below && !self.gone,
            Side::Opened(_) => self.answered,
        };
        if !open || !room || self.refused.is_some() {
            return None;
        }
        let frame = self.source.as_mut()?.decoder.message(|len| {
            len <= bounds.frame_max
                && (self.uncredited == 0 || self.uncredited + len <= bounds.receive_max)
        })?;
        self.uncredited += frame.len();
        Some(Arrival::Frame {
            stream: self.id,
            frame,
        })
    }

    /// The next thing that happened. `Idle` keeps the waker wherever something may yet happen.
    pub(crate) fn step(&mut self, bounds: &Bounds, signal: &Waker) -> Step {
        let mut cx = Context::from_waker(signal);
        if let Phase::Opening(opening) = &mut self.phase {
            match opening.as_mut().poll(&mut cx) {
                Poll::Pending => return Step::Idle,
                Poll::Ready(Ok(halves)) => self.begin(halves),
                Poll::Ready(Err(error)) => return self.lost(&error, codes::UNREACHABLE),
            }
        }
        self.write(&mut cx);
        if self.gone {
            return self.abandoned();
        }
        if let Some(len) = self.refused
            && self.has_room(len, bounds)
        {
            self.refused = None;
            return Step::Arrived(Arrival::Writable { stream: self.id });
        }
        match self.phase {
            Phase::Waiting | Phase::Opening(_) => Step::Idle,
            Phase::Receiving => self.receive(bounds, &mut cx),
            Phase::Finished => self.listen(&mut cx),
        }
    }

    fn receive(&mut self, bounds: &Bounds, cx: &mut Context<'_>) -> Step {
        if self.side == Side::Accepted && self.pending() > bounds.reply_below {
            self.look_again |= self.staged > 0;
            return self.withhold(cx);
        }
        loop {
            let Some(source) = &mut self.source else {
                return Step::Idle;
            };
            match source.decoder.word() {
                Err(_) => return self.broken(),
                Ok(None) => {}
                Ok(Some(word)) => match self.take(word, bounds) {
                    Take::Step(step) => {
                        self.withheld = None;
                        return step;
                    }
                    Take::More => {}
                    Take::Withhold => return self.withhold(cx),
                },
            }
            // An exhausted budget stops the reading; what is not read, QUIC does not let the peer send.
            if self.uncredited >= bounds.receive_max {
                self.out_of_credit = true;
                return self.withhold(cx);
            }
            self.withheld = None;
            let Some(source) = &mut self.source else {
                return Step::Idle;
            };
            match source.poll_feed(cx) {
                Poll::Pending => return Step::Idle,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return self.finished(),
                Poll::Ready(Err(error)) => return self.failed(&error),
            }
        }
    }

    fn take(&mut self, word: Word, bounds: &Bounds) -> Take {
        let opened = self.side != Side::Accepted;
        let max = match word.kind {
            Kind::Message if opened && !self.answered => return Take::Step(self.broken()),
            Kind::Message if word.len > bounds.frame_max => return Take::Step(self.too_large()),
            Kind::Message => {
                if self.uncredited > 0 && self.uncredited + word.len > bounds.receive_max {
                    self.out_of_credit = true;
                    return Take::Withhold;
                }
                bounds.frame_max
            }
            Kind::Header if opened && !self.answered => bounds.request_max,
            Kind::Status if opened => STATUS_BYTES_MAX,
            Kind::Request | Kind::Header | Kind::Status => return Take::Step(self.broken()),
        };
        if word.len > max {
            return Take::Step(self.broken());
        }
        let payload = self.source.as_mut().and_then(|s| s.decoder.payload());
        let Some(payload) = payload else {
            return Take::More;
        };
        Take::Step(match word.kind {
            Kind::Status => self.told(payload),
            Kind::Header => {
                self.answered = true;
                Step::Arrived(Arrival::Header {
                    stream: self.id,
                    header: payload,
                })
            }
            Kind::Message | Kind::Request => {
                self.uncredited += payload.len();
                Step::Arrived(Arrival::Frame {
                    stream: self.id,
                    frame: payload,
                })
            }
        })
    }

    /// The status of an opened stream came.
    fn told(&mut self, payload: Bytes) -> Step {
        let Some(status) = frame::Status::read(payload) else {
            return self.broken();
        };
        let over = Arrival::Ended {
            stream: self.id,
            code: status.code,
            cause: Cause::Peer,
            message: status.message,
            details: status.details,
        };
        Step::Over(over, Parting::Done)
    }

    /// Stops reading, and has the connection make up for it.
    fn withhold(&mut self, cx: &mut Context<'_>) -> Step {
        if let (None, Some(wire)) = (&self.withheld, &self.wire) {
            self.withheld = Some(Withheld::new(wire));
        }
        self.listen(cx)
    }

    /// While nothing is read: has the other side gone away?
    fn listen(&mut self, cx: &mut Context<'_>) -> Step {
        if self.side != Side::Accepted {
            // The driver looks here when the connection is lost.
            let error = self.wire.as_ref().and_then(|w| w.connection.close_reason());
            return error.map_or(Step::Idle, |error| self.lost(&error, LOST));
        }
        let Some(send) = &self.send else {
            return Step::Idle;
        };
        let watch = self.watch.get_or_insert_with(|| Box::pin(send.stopped()));
        match watch.as_mut().poll(cx) {
            Poll::Pending => Step::Idle,
            Poll::Ready(Err(StoppedError::ConnectionLost(error))) => self.lost(&error, LOST),
            Poll::Ready(Ok(Some(_)) | Err(StoppedError::ZeroRttRejected)) => self.abandoned(),
            Poll::Ready(Ok(None)) => {
                self.watch = None;
                Step::Idle
            }
        }
    }

    /// The peer has sent everything.
    fn finished(&mut self) -> Step {
        let whole = self.source.as_ref().is_some_and(Source::is_between);
        if !whole || self.side != Side::Accepted {
            return self.broken();
        }
        self.phase = Phase::Finished;
        Step::Arrived(Arrival::HalfClosed { stream: self.id })
    }

    fn failed(&mut self, error: &ReadError) -> Step {
        match error {
            ReadError::Reset(_) if self.side == Side::Accepted => self.abandoned(),
            ReadError::Reset(code) => {
                let (code, message) = frame::reset_means(*code);
                self.over(code, message, Parting::Abandon(reason::CANCELLED))
            }
            ReadError::ConnectionLost(error) => self.lost(error, LOST),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => self.broken(),
        }
    }

    /// The connection is no more.
    fn lost(&self, error: &ConnectionError, message: &'static str) -> Step {
        let parting = Parting::Abandon(reason::CANCELLED);
        Step::Over(self.end_of(error, message), parting)
    }

    fn end_of(&self, error: &ConnectionError, message: &'static str) -> Arrival<Bytes> {
        let host = self.wire.as_ref().map_or("", |wire| &wire.host);
        match trust::why(host, error) {
            Some(why) => ended(self.id, Code::Unauthenticated, Cause::Untrusted, why.into()),
            None => ended(
                self.id,
                Code::Unavailable,
                Cause::Lost,
                Bytes::from_static(message.as_bytes()),
            ),
        }
    }

    /// The caller went away.
    fn abandoned(&self) -> Step {
        let parting = Parting::Abandon(reason::CANCELLED);
        self.over(Code::Cancelled, CANCELLED, parting)
    }

    /// The peer does not keep to the protocol.
    fn broken(&self) -> Step {
        self.ill(Code::Internal, PROTOCOL, reason::PROTOCOL)
    }

    fn too_large(&self) -> Step {
        self.ill(Code::ResourceExhausted, codes::TOO_LARGE, reason::TOO_LARGE)
    }

    /// Ends a stream for what the peer sent: a caller is told so, a callee is left.
    fn ill(&self, code: Code, message: &'static str, abandon: VarInt) -> Step {
        let parting = match self.side {
            Side::Accepted => Parting::Answer(frame::Status::frame(code, message, &[])),
            Side::Opened(_) => Parting::Abandon(abandon),
        };
        self.over(code, message, parting)
    }

    const fn over(&self, code: Code, message: &'static str, parting: Parting) -> Step {
        let message = Bytes::from_static(message.as_bytes());
        Step::Over(ended(self.id, code, Cause::Peer, message), parting)
    }

    /// Ends the stream on the wire. What cannot be sent at once is to be sent by a task.
    pub(crate) fn part(mut self, parting: Parting) -> Option<Linger> {
        match parting {
            Parting::Answer(status) => return self.answer(status),
            Parting::Abandon(code) => {
                if let Some(send) = &mut self.send {
                    // Fails only for a stream that is over.
                    let _ = send.reset(code);
                }
                if let Some(source) = &mut self.source {
                    source.stop(code);
                }
            }
            Parting::Done => {
                if let Some(source) = &mut self.source {
                    source.finish();
                }
                if let Some(send) = &mut self.send
                    && !self.finished
                {
                    let _ = send.reset(reason::NO_ERROR);
                }
            }
        }
        None
    }

    fn answer(mut self, status: Bytes) -> Option<Linger> {
        let send = self.send.take()?;
        let counted = self.counted.take()?;
        if let Some(source) = &mut self.source {
            source.stop(reason::NO_ERROR);
        }
        self.queue.push(status);
        Linger::begin(send, self.queue, self.class, counted)
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
        self.part(Parting::Abandon(reason::CANCELLED));
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
