//! What sessions ask of the log and the writer has not taken yet.
//!
//! Names and payloads are copied into one run of bytes that is used again: an append allocates nothing on its
//! caller's side once the queue has had its largest load.

use std::collections::HashMap;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use trefoil_core::hash::IdHasher;
use trefoil_core::id::Tag;
use trefoil_core::storage::{Op, OwnerId};

use super::frame::Position;
use crate::session::{Mailbox, lock};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Fence,
    Tail,
    Append {
        expected: u64,
    },
    Read {
        from: u64,
        bytes_max: u32,
    },
    Trim {
        before: u64,
    },
    Seal,
    /// The store's own: writes a record again that lies at `place`, so that its segment may go.
    Move {
        sequence: u64,
        place: Position,
    },
}

impl Ask {
    pub(crate) const fn writes(self) -> bool {
        !matches!(self, Self::Tail | Self::Read { .. })
    }
}

/// One thing that is asked; its bytes are beside it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) tag: Tag,
    pub(crate) ask: Ask,
    pub(crate) term: u64,
    pub(crate) owner: OwnerId,
    name: Range<usize>,
    payload: Range<usize>,
    /// Which log, for who counts what is under way; two logs may have the same.
    hash: u64,
}

/// An operation on a log, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) log: &'a [u8],
    pub(crate) ask: Ask,
    pub(crate) term: u64,
    pub(crate) owner: OwnerId,
    pub(crate) payload: &'a [u8],
}

impl<'a> Request<'a> {
    const fn new(log: &'a [u8], ask: Ask, term: u64, owner: OwnerId) -> Self {
        let payload = &[];
        Self {
            log,
            ask,
            term,
            owner,
            payload,
        }
    }

    /// What of the seam is about logs; `None` for the catalog and a node's own state.
    pub(crate) const fn of(op: Op<'a>) -> Option<Self> {
        let nobody = OwnerId(0);
        Some(match op {
            Op::Fence { log, term, owner } => Self::new(log, Ask::Fence, term, owner),
            Op::Tail { log } => Self::new(log, Ask::Tail, 0, nobody),
            Op::Append {
                log,
                term,
                owner,
                expected,
                payload,
            } => Self {
                payload,
                ..Self::new(log, Ask::Append { expected }, term, owner)
            },
            Op::Read {
                log,
                from,
                bytes_max,
            } => Self::new(log, Ask::Read { from, bytes_max }, 0, nobody),
            Op::Trim {
                log,
                term,
                owner,
                before,
            } => Self::new(log, Ask::Trim { before }, term, owner),
            Op::Seal { log, term, owner } => Self::new(log, Ask::Seal, term, owner),
            Op::Load { .. }
            | Op::Scan { .. }
            | Op::Cas { .. }
            | Op::Keep { .. }
            | Op::Recall { .. } => return None,
        })
    }
}

/// Jobs and the bytes they name.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) list: Vec<Job>,
    bytes: Vec<u8>,
}

/// Bytes of names and payloads whose memory is kept for the next ones.
const KEPT_BYTES_MAX: usize = 32 << 20;

impl Jobs {
    pub(crate) fn name(&self, job: &Job) -> &[u8] {
        &self.bytes[job.name.clone()]
    }

    pub(crate) fn payload(&self, job: &Job) -> &[u8] {
        &self.bytes[job.payload.clone()]
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let begins = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        begins..self.bytes.len()
    }

    fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    jobs: Jobs,
    /// Writes that were asked for and not answered, by log.
    under_way: HashMap<u64, u32>,
    /// The writer sleeps until there are so many jobs; zero: it does not sleep.
    wanted: usize,
    closed: bool,
}

/// What the writer takes from.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = IdHasher::default();
    for part in name.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        hasher.write_u64(u64::from_le_bytes(word));
    }
    hasher.finish()
}

/// What became of a job that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The writer has it.
    Queued,
    /// It reads a log that nobody is writing to: it need not wait for the writer, and was not taken.
    Free,
    /// There is no writer any more; it was not taken.
    Closed,
}

impl Queue {
    pub(crate) fn push(&self, request: Request<'_>, mailbox: &Arc<Mailbox>, tag: Tag) -> Pushed {
        let hash = hash(request.log);
        let mut state = lock(&self.state);
        if state.closed {
            return Pushed::Closed;
        }
        if request.ask.writes() {
            *state.under_way.entry(hash).or_default() += 1;
        } else if !state.under_way.contains_key(&hash) {
            return Pushed::Free;
        }
        let name = state.jobs.copy(request.log);
        let payload = state.jobs.copy(request.payload);
        state.jobs.list.push(Job {
            mailbox: Arc::clone(mailbox),
            tag,
            ask: request.ask,
            term: request.term,
            owner: request.owner,
            name,
            payload,
            hash,
        });
        let wakes = state.wanted > 0 && state.jobs.list.len() >= state.wanted;
        if wakes {
            // Woken once, and not once a job.
            state.wanted = 0;
        }
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
        Pushed::Queued
    }

    /// Nothing is taken in any more; what is queued is still carried out.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.filled.notify_one();
    }

    /// Says that jobs that were taken are answered, as `answer` does. Whoever has heard the answer finds its log free, and
    /// what is asked of it from then on does not overtake what is answered here.
    pub(crate) fn answered(&self, jobs: &[Job], answer: impl FnOnce()) {
        let mut state = lock(&self.state);
        for job in jobs.iter().filter(|job| job.ask.writes()) {
            if let Some(count) = state.under_way.get_mut(&job.hash) {
                *count -= 1;
                if *count == 0 {
                    state.under_way.remove(&job.hash);
                }
            }
        }
        answer();
    }

    /// Takes all that have come, in the place of those that were taken before; waits until there is one. Then waits for as many as `company`, up to `patience`: callers that were just answered
    /// come again at once, and share a sync if they are given the time. `false` when it is closed and empty.
    pub(crate) fn take(&self, jobs: &mut Jobs, company: usize, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        jobs.clear();
        while state.jobs.list.is_empty() {
            if state.closed {
                return false;
            }
            state.wanted = 1;
            let woken = self.filled.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + patience;
        while state.jobs.list.len() < company && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.wanted = company;
            let woken = self.filled.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wanted = 0;
        std::mem::swap(&mut state.jobs, jobs);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue, log: &[u8], ask: Ask) -> Pushed {
        let request = Request::new(log, ask, 1, OwnerId(1));
        queue.push(request, &Arc::default(), Tag(0))
    }

    fn take(queue: &Queue, jobs: &mut Jobs) -> bool {
        queue.take(jobs, 0, Duration::ZERO)
    }

    #[test]
    fn a_read_waits_for_writes_of_its_log_and_for_no_others() {
        let queue = Queue::default();
        assert_eq!(push(&queue, b"a", Ask::Tail), Pushed::Free);
        assert_eq!(
            push(&queue, b"a", Ask::Append { expected: 0 }),
            Pushed::Queued
        );
        assert_eq!(push(&queue, b"a", Ask::Tail), Pushed::Queued);
        assert_eq!(push(&queue, b"b", Ask::Tail), Pushed::Free);
        let mut jobs = Jobs::default();
        assert!(take(&queue, &mut jobs));
        let asked: Vec<Ask> = jobs.list.iter().map(|job| job.ask).collect();
        assert_eq!(asked, [Ask::Append { expected: 0 }, Ask::Tail]);
        assert_eq!(
            push(&queue, b"a", Ask::Tail),
            Pushed::Queued,
            "not answered yet"
        );
        queue.close();
        assert!(take(&queue, &mut jobs), "what is queued is carried out");
        assert!(!take(&queue, &mut jobs));
        assert_eq!(push(&queue, b"a", Ask::Seal), Pushed::Closed);
    }

    #[test]
    fn a_log_is_free_again_when_all_its_writes_are_answered() {
        let (queue, mut jobs) = (Queue::default(), Jobs::default());
        push(&queue, b"a", Ask::Seal);
        take(&queue, &mut jobs);
        push(&queue, b"a", Ask::Seal);
        queue.answered(&jobs.list, || {});
        take(&queue, &mut jobs);
        assert_eq!(push(&queue, b"a", Ask::Tail), Pushed::Queued);
        push(&queue, b"b", Ask::Seal);
        // Whoever has heard the answer need not wait for the writer to come back.
        queue.answered(&jobs.list, || {});
        assert_eq!(push(&queue, b"a", Ask::Tail), Pushed::Free);
        assert_eq!(push(&queue, b"b", Ask::Tail), Pushed::Queued);
    }

    #[test]
    fn company_is_waited_for_only_so_long() {
        let (queue, mut jobs) = (Queue::default(), Jobs::default());
        push(&queue, b"a", Ask::Seal);
        assert!(queue.take(&mut jobs, 2, Duration::from_millis(1)));
        assert_eq!(jobs.list.len(), 1);
        push(&queue, b"a", Ask::Seal);
        push(&queue, b"b", Ask::Seal);
        assert!(queue.take(&mut jobs, 2, Duration::from_secs(3_600)));
        let names: Vec<&[u8]> = jobs.list.iter().map(|job| jobs.name(job)).collect();
        assert_eq!(names, [b"a", b"b"]);
    }
}
