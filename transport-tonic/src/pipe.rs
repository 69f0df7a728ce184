//! The way out of one call: the driver puts batches of messages in, as they are on the wire, the task that
//! sends takes them out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, Bytes, BytesMut};
use tonic::Status;

use crate::inbox::Answer;
use trefoil_transport::lock;

/// Before each message, in a batch as on the wire: that it is not compressed, and its length.
pub(crate) const PREFIX_BYTES: usize = 5;

/// The prefix of a message.
pub(crate) fn prefix(len: usize, into: &mut BytesMut) {
    into.put_u8(0);
    into.put_u32(len as u32);
}

/// HTTP/2 is given no more than this at once: what it has been given nobody can count any more.
const PIECE_BYTES: usize = 32 << 10;

/// A batch below this that had to wait is sent together with those that wait behind it.
const SMALL_BYTES: usize = 4 << 10;

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

/// What is to be sent next.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Messages, or a part of one.
    Data(Bytes),
    /// Nothing more, but for the status of an answer.
    End(Status),
}

/// The first of what is queued, with what fits of those behind it if it is small: each piece costs
/// HTTP/2 a frame of its own.
fn take(batches: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = batches.pop_front()?;
    if first.len() >= SMALL_BYTES || batches.is_empty() {
        return Some(first);
    }
    let mut joined = BytesMut::with_capacity(PIECE_BYTES);
    joined.extend_from_slice(&first);
    while let Some(next) = batches.front()
        && joined.len() + next.len() <= PIECE_BYTES
    {
        joined.extend_from_slice(next);
        batches.pop_front();
    }
    Some(joined.freeze())
}

/// The end that sends. Dropping it says that nobody does.
#[derive(Debug)]
pub(crate) struct Outbox {
    pipe: Arc<Pipe>,
    batch: Bytes,
}

impl Outbox {
    pub(crate) const fn new(pipe: Arc<Pipe>) -> Self {
        Self {
            pipe,
            batch: Bytes::new(),
        }
    }

    pub(crate) const fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// The metadata of the answer, once the driver has decided.
    pub(crate) fn poll_answer(&self, cx: &Context<'_>) -> Poll<Answer> {
        let mut state = lock(&self.pipe.state);
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next piece. One that is taken counts as sent.
    pub(crate) fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Outgoing> {
        if self.batch.is_empty() {
            let mut state = lock(&self.pipe.state);
            match take(&mut state.batches) {
                Some(batch) => self.batch = batch,
                None => match std::mem::take(&mut state.fate) {
                    Fate::Open => {
                        state.sender = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    Fate::Finished => {
                        state.fate = Fate::Finished;
                        return Poll::Ready(Outgoing::End(Status::ok("")));
                    }
                    Fate::Status(status) => {
                        state.fate = Fate::Finished;
                        return Poll::Ready(Outgoing::End(status));
                    }
                    // The body ends the call; to end here would be to half-close.
                    Fate::Reset => {
                        state.fate = Fate::Reset;
                        return Poll::Pending;
                    }
                },
            }
        }
        let piece = self.batch.split_to(self.batch.len().min(PIECE_BYTES));
        self.pipe.released(piece.len());
        Poll::Ready(Outgoing::Data(piece))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.pipe.gone.store(true, Ordering::SeqCst);
        self.pipe.wake_driver();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_batches_that_waited_leave_together_and_large_ones_are_not_copied() {
        let large = Bytes::from(vec![1; SMALL_BYTES]);
        let mut batches = VecDeque::from([large.clone(), Bytes::from_static(b"a")]);
        assert_eq!(take(&mut batches).unwrap().as_ptr(), large.as_ptr());
        let lone = take(&mut batches).unwrap();
        assert_eq!((&lone[..], batches.len()), (&b"a"[..], 0));
        batches.extend([lone, Bytes::from_static(b"bc"), large]);
        let joined = take(&mut batches).unwrap();
        assert_eq!(
            (joined.len(), &joined[..4]),
            (3 + SMALL_BYTES, &b"abc\x01"[..])
        );
        batches.extend([Bytes::from_static(b"d"), Bytes::from(vec![2; PIECE_BYTES])]);
        assert_eq!(take(&mut batches).unwrap(), &b"d"[..]);
        assert_eq!(take(&mut batches).unwrap().len(), PIECE_BYTES);
        assert_eq!(take(&mut batches), None);
    }

    #[test]
    fn a_batch_leaves_in_pieces_and_what_is_taken_is_released() {
        let pipe = Arc::new(Pipe::default());
        let mut outbox = Outbox::new(Arc::clone(&pipe));
        let cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_piece(&cx).is_pending());
        pipe.send(Bytes::from(vec![0; PIECE_BYTES + 1]));
        pipe.finish();
        for (len, left) in [(PIECE_BYTES, 1), (1, 0)] {
            let Poll::Ready(Outgoing::Data(piece)) = outbox.poll_piece(&cx) else {
                panic!("no piece")
            };
            assert_eq!((piece.len(), pipe.queued()), (len, left));
        }
        for _ in 0..2 {
            let end = outbox.poll_piece(&cx);
            assert!(
                matches!(end, Poll::Ready(Outgoing::End(status)) if status.code() == tonic::Code::Ok)
            );
        }
    }
}
