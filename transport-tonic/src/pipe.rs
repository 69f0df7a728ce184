//! The way out of one call: the driver puts batches of frames in, the task that sends takes them out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use crate::inbox::Answer;
use crate::stop::lock;

/// How a batch is laid out: before each frame its length, so that a batch needs no list beside it.
pub(crate) const LENGTH_BYTES: usize = 4;

/// After how many bytes taken the driver is told that there is room.
const RELEASE_BYTES: usize = 16 << 10;

/// How the sending side of a call is to go on.
#[derive(Debug, Default)]
enum Fate {
    #[default]
    Open,
    /// Nothing comes after what is queued: half-closed, or ended well.
    Finished,
    /// After what is queued, this status.
    Status(Status),
    /// Nothing more is sent, not even what is queued.
    Reset,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Bytes>,
    fate: Fate,
    /// Initial metadata of the answer, or why there is none. Of accepted calls only.
    answer: Option<Answer>,
    /// The task that sends.
    sender: Option<Waker>,
    /// The driver's slot.
    driver: Option<Waker>,
}

/// What was seen while the call's body was read, where tonic keeps it to itself.
pub(crate) mod note {
    /// Trailers arrived: what follows is the peer's own word.
    pub(crate) const TRAILERS: u8 = 1;
    /// The connection is gone.
    pub(crate) const LOST: u8 = 2;
    /// The peer abandoned the call.
    pub(crate) const CANCELLED: u8 = 4;
    /// The peer turned the connection away before it heard of the call.
    pub(crate) const UNTRUSTED: u8 = 8;
}

/// Shared by a stream of the transport and the bodies of its call.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// Bytes of frames that the sender has not taken.
    queued: AtomicUsize,
    /// The driver wants to be woken when fewer than this many bytes are queued; zero if not.
    wanted: AtomicUsize,
    /// The sending side has been dropped.
    gone: AtomicBool,
    reset: AtomicBool,
    notes: AtomicU8,
}

impl Pipe {
    /// Tells whom to wake. Before that nobody is.
    pub(crate) fn attach(&self, driver: Waker) {
        lock(&self.state).driver = Some(driver);
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::SeqCst)
    }

    /// Whether at most `most` bytes are queued; if not, the driver is woken when it is so.
    pub(crate) fn at_most(&self, most: usize) -> bool {
        if self.queued() <= most {
            return true;
        }
        self.wanted.fetch_max(most + 1, Ordering::SeqCst);
        // The sender may have taken them in between, and seen no wish.
        self.queued() <= most
    }

    /// Whether nobody sends any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::SeqCst)
    }

    /// Whether the call was abandoned, with the task that sends kept to be woken when it is.
    pub(crate) fn watch_reset(&self, cx: &Context<'_>) -> bool {
        let mut state = lock(&self.state);
        match &mut state.sender {
            Some(known) => known.clone_from(cx.waker()),
            unknown => *unknown = Some(cx.waker().clone()),
        }
        drop(state);
        self.is_reset()
    }

    pub(crate) fn note(&self, what: u8) {
        self.notes.fetch_or(what, Ordering::SeqCst);
    }

    pub(crate) fn noted(&self, what: u8) -> bool {
        self.notes.load(Ordering::SeqCst) & what != 0
    }

    /// Queues a batch of frames.
    pub(crate) fn send(&self, batch: Bytes) {
        self.queued.fetch_add(batch.len(), Ordering::SeqCst);
        let mut state = lock(&self.state);
        state.batches.push_back(batch);
        wake_sender(state);
    }

    /// Sends nothing after what is queued.
    pub(crate) fn finish(&self) {
        let mut state = lock(&self.state);
        if matches!(state.fate, Fate::Open) {
            state.fate = Fate::Finished;
        }
        wake_sender(state);
    }

    /// Ends an accepted call with a status after what is queued.
    pub(crate) fn end(&self, status: Status) {
        let mut state = lock(&self.state);
        state.fate = Fate::Status(status);
        wake_sender(state);
    }

    /// Abandons an opened call.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        let mut state = lock(&self.state);
        state.fate = Fate::Reset;
        state.batches.clear();
        wake_sender(state);
    }

    /// Accepts a call with the metadata of its answer.
    pub(crate) fn accept(&self, header: http::HeaderMap) {
        let mut state = lock(&self.state);
        state.answer = Some(Ok(header));
        wake_sender(state);
    }

    /// Refuses a call.
    pub(crate) fn refuse(&self, status: Status) {
        let mut state = lock(&self.state);
        state.answer = Some(Err(status));
        wake_sender(state);
    }

    fn released(&self, bytes: usize) {
        let left = self.queued.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if left < self.wanted.load(Ordering::SeqCst) && self.wanted.swap(0, Ordering::SeqCst) > 0 {
            self.wake_driver();
        }
    }

    fn wake_driver(&self) {
        let driver = lock(&self.state).driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// Wakes outside of the lock: the task may run at once, on another thread.
fn wake_sender(mut state: MutexGuard<'_, State>) {
    let sender = state.sender.take();
    drop(state);
    if let Some(sender) = sender {
        sender.wake();
    }
}

/// The end that sends. Dropping it says that nobody does.
#[derive(Debug)]
pub(crate) struct Outbox {
    pipe: Arc<Pipe>,
    batch: Bytes,
    taken: usize,
}

impl Outbox {
    pub(crate) fn new(pipe: Arc<Pipe>) -> Self {
        Self {
            pipe,
            batch: Bytes::new(),
            taken: 0,
        }
    }

    /// The metadata of the answer, once the driver has decided.
    pub(crate) fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Answer> {
        let mut state = lock(&self.pipe.state);
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_frame(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.batch.is_empty() {
            self.release();
            let mut state = lock(&self.pipe.state);
            match state.batches.pop_front() {
                Some(batch) => self.batch = batch,
                None => match std::mem::take(&mut state.fate) {
                    Fate::Open => {
                        state.sender = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    Fate::Finished => {
                        state.fate = Fate::Finished;
                        return Poll::Ready(None);
                    }
                    Fate::Status(status) => {
                        state.fate = Fate::Finished;
                        return Poll::Ready(Some(Err(status)));
                    }
                    // The body around this one ends the call; to end here would be to half-close.
                    Fate::Reset => {
                        state.fate = Fate::Reset;
                        return Poll::Pending;
                    }
                },
            }
        }
        let len = self.batch.get_u32_le() as usize;
        let frame = self.batch.split_to(len);
        self.taken += LENGTH_BYTES + len;
        if self.taken >= RELEASE_BYTES {
            self.release();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn release(&mut self) {
        if self.taken > 0 {
            self.pipe.released(std::mem::take(&mut self.taken));
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.pipe.gone.store(true, Ordering::SeqCst);
        self.pipe.wake_driver();
    }
}

/// Frames of an answer, and its status if that is not OK.
impl Stream for Outbox {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_frame(cx)
    }
}

/// Frames of a request: it ends without a status.
#[derive(Debug)]
pub(crate) struct RequestOutbox(pub(crate) Outbox);

impl Stream for RequestOutbox {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0
            .poll_frame(cx)
            .map(|frame| frame.and_then(Result::ok))
    }
}
