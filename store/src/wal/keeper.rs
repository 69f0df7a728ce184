//! The thread that keeps the log small: it takes checkpoints, writes what little is left of old segments again, and
//! removes segments nobody reads any more.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use trefoil_core::id::Tag;
use trefoil_core::storage::Completion;

use super::Shared;
use super::checkpoint;
use super::frame::{self, Head, Position};
use super::queue::{Ask, Pushed, Request};
use super::reader::Work;
use super::segment;
use crate::session::{Mailbox, lock};

/// Wakes the keeper.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    stopped: bool,
}

impl Keeper {
    /// There may be something to do.
    pub(crate) fn wake(&self) {
        lock(&self.state).woken = true;
        self.woken.notify_one();
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.woken.notify_one();
    }

    /// Sleeps until there may be something to do; `false` when it is stopped.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return false;
            }
            if std::mem::take(&mut state.woken) {
                return true;
            }
            let woken = self.woken.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A checkpoint is taken when the log has grown by so many times the bytes of the last one.
const CHECKPOINTS_APART: u64 = 4;

/// Segments are written again when the log takes so many times what is read of it, and two segments more.
const SLACK: u64 = 2;

/// Bytes of records that are written again at once.
const MOVED_BYTES_MAX: usize = 1 << 20;

/// The thread's own.
struct Housekeeping {
    shared: Arc<Shared>,
    /// The last checkpoint: its position, and its bytes.
    last: (Position, u64),
    /// Segments with records that cannot be read: they stay as they are.
    damaged: BTreeSet<u32>,
}

/// Runs until it is stopped.
pub(crate) fn run(shared: &Arc<Shared>, position: Position, bytes: u64) {
    let mut housekeeping = Housekeeping {
        shared: Arc::clone(shared),
        last: (position, bytes),
        damaged: BTreeSet::new(),
    };
    while shared.keeper.wait() {
        if shared.failure.is_set() {
            return;
        }
        if let Err(error) = housekeeping.tidy() {
            return shared.failure.set(error.to_string());
        }
    }
}

/// What the segments come to.
struct Sums {
    /// Bytes of all files but the one in use.
    files: u64,
    /// Bytes of those that hold nothing that is read.
    dead: u64,
    /// Bytes of records that are read.
    live: u64,
    /// Bytes since the last checkpoint.
    since: u64,
    /// The segment of which the least is left.
    emptiest: Option<u32>,
}

impl Housekeeping {
    fn tidy(&mut self) -> io::Result<()> {
        while !self.shared.failure.is_set() && !lock(&self.shared.keeper.state).stopped {
            let segment_bytes_max = self.shared.options.segment_largest();
            let sums = self.sums();
            let apart = segment_bytes_max.max(CHECKPOINTS_APART * self.last.1);
            if sums.since >= apart || sums.dead >= apart {
                // What somebody is reading goes another time.
                if self.checkpoint()? == 0 && sums.dead >= apart {
                    return Ok(());
                }
                continue;
            }
            let crowded = sums.files - sums.dead > SLACK * (sums.live + segment_bytes_max);
            match sums.emptiest.filter(|_| crowded) {
                Some(number) if self.rewrite(number)? => {}
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn sums(&self) -> Sums {
        let index = lock(&self.shared.index);
        let mut sums = Sums {
            files: 0,
            dead: 0,
            live: 0,
            since: 0,
            emptiest: None,
        };
        let mut least = u64::MAX;
        for (number, usage) in &index.segments {
            let position = Position::new(*number, 0);
            if position.segment() >= self.last.0.segment() {
                sums.since += usage.used;
            }
            if *number == index.tail.segment() {
                continue;
            }
            sums.files += usage.bytes;
            if usage.live == 0 {
                sums.dead += usage.bytes;
                continue;
            }
            let live = usage.bytes_live();
            sums.live += live;
            // What is left of it is less than half: to write it again gives room.
            if live < usage.bytes / 2 && live < least && !self.damaged.contains(number) {
                least = live;
                sums.emptiest = Some(*number);
            }
        }
        let before = u64::from(self.last.0.offset());
        sums.since = sums.since.saturating_sub(before);
        sums
    }

    /// Takes a checkpoint, and removes what it does not need: returns how many segments.
    fn checkpoint(&mut self) -> io::Result<usize> {
        let taken = checkpoint::take(&self.shared.index, self.shared.identity);
        taken.write(&*self.shared.files)?;
        self.last = (taken.position, taken.bytes());
        let mut removed = 0;
        for number in taken.dead {
            let is_free = {
                let mut index = lock(&self.shared.index);
                let usage = index.segments.get(&number);
                // Somebody may be reading there: it goes next time.
                let is_free = usage.is_some_and(|usage| Arc::strong_count(&usage.pin) == 1);
                if is_free {
                    index.segments.remove(&number);
                }
                is_free
            };
            if is_free {
                self.shared.files.remove(&segment::name(number))?;
                removed += 1;
            }
        }
        if removed > 0 {
            self.shared.reads.push(Work::Forget);
        }
        Ok(removed)
    }

    /// Writes again what is still read of a segment. `false` if there is no writer any more.
    fn rewrite(&mut self, number: u32) -> io::Result<bool> {
        let file = self.shared.files.open(&segment::name(number))?;
        let len = usize::try_from(file.bytes()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        let seed = segment::seed(self.shared.identity, number);
        let mailbox = Arc::<Mailbox>::default();
        let (mut at, mut moved, mut under_way) = (segment::HEAD, 0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= frame::HEAD) {
            let Ok((head, payload)) = frame::decode(rest, seed) else {
                break;
            };
            let offset = u32::try_from(at).map_err(io::Error::other)?;
            let place = Position::new(number, offset);
            if head.kind.is_record() {
                match self.move_record(&head, payload, place, &mailbox) {
                    Some(Pushed::Queued) => under_way += 1,
                    Some(Pushed::Free | Pushed::Closed) => return Ok(false),
                    None => {}
                }
                moved += payload.len();
            }
            if moved >= MOVED_BYTES_MAX {
                self.settle(&mailbox, std::mem::take(&mut under_way));
                moved = 0;
            }
            at += frame::size(payload.len());
        }
        self.settle(&mailbox, under_way);
        let usage = lock(&self.shared.index).segments.get(&number).cloned();
        if usage.is_some_and(|usage| usage.live > 0) {
            self.damaged.insert(number);
        }
        Ok(!self.shared.failure.is_set())
    }

    /// Asks the writer to write a record again, if it is still read where it was found.
    fn move_record(
        &self,
        head: &Head,
        payload: &[u8],
        place: Position,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Pushed> {
        let number = usize::try_from(head.log).ok()?;
        let name = {
            let index = lock(&self.shared.index);
            if index.place_of(number, head.sequence) != Some(place) {
                return None;
            }
            Arc::clone(&index.log(number)?.name)
        };
        let request = Request {
            log: &name,
            ask: Ask::Move {
                sequence: head.sequence,
                place,
            },
            term: head.term,
            owner: head.owner,
            payload,
        };
        mailbox.try_enter(usize::MAX);
        Some(self.shared.queue.push(request, mailbox, Tag(0)))
    }

    /// Waits until what was asked for is done.
    fn settle(&self, mailbox: &Mailbox, under_way: usize) {
        for _ in 0..under_way {
            let _: Completion<Vec<u8>> = mailbox.wait_for(Tag(0));
        }
    }
}
