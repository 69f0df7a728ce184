//! The stream table: which machine each stream belongs to, when it is due, and that it ends once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::codes;
use crate::id::{LinkId, MethodId, StreamId, Tag};
use crate::machine::Full;
use crate::status::{Cause, Code};
use crate::time::Instant;
use crate::timers::Timers;

/// Whose stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A peer opened it; not adopted yet.
    Offered,
    /// A peer opened it.
    Accepted,
    /// This side opened it, on a link.
    Opened(LinkId),
}

#[derive(Clone, Debug)]
struct Slot {
    generation: u32,
    /// `None`: the slot is free.
    side: Option<Side>,
    method: MethodId,
    tag: Tag,
    /// Inbound credit held back, in bytes.
    held: u32,
    /// The stream is over for the transport; its machine is still to be told.
    ending: bool,
    /// It waits for its one message; from then on this deadline holds.
    silent: Option<Option<Instant>>,
}

/// An end that a machine has still to be told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) stream: StreamId,
    pub(crate) tag: Tag,
    pub(crate) code: Code,
    pub(crate) cause: Cause,
    pub(crate) message: &'static str,
}

/// All streams of a process. Sized once; nothing here allocates after construction.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    deadlines: Timers,
    endings: VecDeque<Ending>,
    live: u32,
}

impl Table {
    /// Room for `streams_max` streams, about 120 bytes each.
    pub(crate) fn new(streams_max: u32) -> Self {
        let fresh = Slot {
            generation: 0,
            side: None,
            method: MethodId(0),
            tag: Tag::NEW,
            held: 0,
            ending: false,
            silent: None,
        };
        Self {
            slots: alloc::vec![fresh; streams_max as usize],
            free: (0..streams_max).rev().collect(),
            deadlines: Timers::new(streams_max),
            endings: VecDeque::with_capacity(streams_max as usize),
            live: 0,
        }
    }

    pub(crate) fn insert(
        &mut self,
        side: Side,
        method: MethodId,
        tag: Tag,
        deadline: Option<Instant>,
    ) -> Result<StreamId, Full> {
        let number = self.free.pop().ok_or(Full)?;
        let slot = &mut self.slots[number as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.side = Some(side);
        slot.method = method;
        slot.tag = tag;
        slot.held = 0;
        slot.ending = false;
        slot.silent = None;
        if let Some(deadline) = deadline {
            self.deadlines.set(number, deadline);
        }
        self.live += 1;
        Ok(StreamId::new(number, slot.generation))
    }

    /// The message of an accepted stream must come by `by`, whatever the caller's deadline.
    pub(crate) fn expect_message(&mut self, stream: StreamId, by: Instant, then: Option<Instant>) {
        if then.is_some_and(|then| then <= by) {
            return;
        }
        if let Some(slot) = self.slot_mut(stream) {
            slot.silent = Some(then);
            self.deadlines.set(stream.slot(), by);
        }
    }

    /// A message came: from now on the caller's own deadline holds.
    pub(crate) fn message_came(&mut self, stream: StreamId) {
        let Some(then) = self.slot_mut(stream).and_then(|slot| slot.silent.take()) else {
            return;
        };
        match then {
            Some(then) => self.deadlines.set(stream.slot(), then),
            None => self.deadlines.cancel(stream.slot()),
        }
    }

    fn slot(&self, stream: StreamId) -> Option<&Slot> {
        self.slots
            .get(stream.slot() as usize)
            .filter(|slot| slot.generation == stream.generation() && slot.side.is_some())
    }

    fn slot_mut(&mut self, stream: StreamId) -> Option<&mut Slot> {
        self.slots
            .get_mut(stream.slot() as usize)
            .filter(|slot| slot.generation == stream.generation() && slot.side.is_some())
    }

    /// Side and tag of a stream whose transport still carries it.
    pub(crate) fn open(&self, stream: StreamId) -> Option<(Side, Tag)> {
        let slot = self.slot(stream).filter(|slot| !slot.ending)?;
        Some((slot.side?, slot.tag))
    }

    /// What was called on a stream that is in the table.
    pub(crate) fn method(&self, stream: StreamId) -> Option<MethodId> {
        self.slot(stream).map(|slot| slot.method)
    }

    /// Whether the stream is over and its machine is still to be told.
    pub(crate) fn is_ending(&self, stream: StreamId) -> bool {
        self.slot(stream).is_some_and(|slot| slot.ending)
    }

    pub(crate) fn adopt(&mut self, stream: StreamId, tag: Tag) {
        if let Some(slot) = self.slot_mut(stream) {
            slot.tag = tag;
            if slot.side == Some(Side::Offered) {
                slot.side = Some(Side::Accepted);
            }
        }
    }

    /// Frees a stream. Its id is never valid again.
    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<Side> {
        let slot = self.slot_mut(stream)?;
        let side = slot.side.take();
        self.deadlines.cancel(stream.slot());
        self.free.push(stream.slot());
        self.live -= 1;
        side
    }

    /// The transport is done with the stream; its machine will be told by [`pop_ending`](Self::pop_ending).
    pub(crate) fn end_later(
        &mut self,
        stream: StreamId,
        code: Code,
        cause: Cause,
        message: &'static str,
    ) {
        let Some(slot) = self.slot_mut(stream).filter(|slot| !slot.ending) else {
            return;
        };
        slot.ending = true;
        let tag = slot.tag;
        self.deadlines.cancel(stream.slot());
        self.endings.push_back(Ending {
            stream,
            tag,
            code,
            cause,
            message,
        });
    }

    /// The next machine to be told, its stream freed; `None` when all have been.
    pub(crate) fn pop_ending(&mut self) -> Option<(Ending, Side)> {
        loop {
            let ending = self.endings.pop_front()?;
            // A machine may have ended the stream itself in the meantime: then it hears no more.
            if let Some(side) = self.remove(ending.stream) {
                return Some((ending, side));
            }
        }
    }

    /// Ends every stream of a link that was given up. Linear in the table, and rare.
    pub(crate) fn end_link(&mut self, link: LinkId) {
        for number in 0..self.slots.len() as u32 {
            let slot = &self.slots[number as usize];
            if slot.side == Some(Side::Opened(link)) {
                let stream = StreamId::new(number, slot.generation);
                self.end_later(stream, Code::Unavailable, Cause::Lost, codes::UNREACHABLE);
            }
        }
    }

    /// One stream whose deadline has passed. It has none any more; it is not removed.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<StreamId> {
        let (number, _) = self.deadlines.pop_due(now)?;
        Some(StreamId::new(
            number,
            self.slots[number as usize].generation,
        ))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    pub(crate) fn hold(&mut self, stream: StreamId, bytes: u32) {
        if let Some(slot) = self.slot_mut(stream) {
            slot.held = slot.held.saturating_add(bytes);
        }
    }

    /// Lowers what is held back; returns by how much.
    pub(crate) fn release(&mut self, stream: StreamId, bytes: u32) -> u32 {
        self.slot_mut(stream).map_or(0, |slot| {
            let returned = bytes.min(slot.held);
            slot.held -= returned;
            returned
        })
    }

    pub(crate) fn live(&self) -> u32 {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENED: Side = Side::Opened(LinkId(0));
    const METHOD: MethodId = MethodId(7);

    #[test]
    fn an_id_is_good_for_one_stream_only() {
        let mut table = Table::new(1);
        let first = table.insert(OPENED, METHOD, Tag(5), None).unwrap();
        assert_eq!(table.method(first), Some(METHOD));
        assert_eq!(table.insert(OPENED, METHOD, Tag(6), None), Err(Full));
        assert_eq!(table.remove(first), Some(OPENED));
        let second = table.insert(OPENED, METHOD, Tag(7), None).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.open(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.open(second), Some((OPENED, Tag(7))));
    }

    #[test]
    fn a_stream_ends_once_whoever_ends_it_first() {
        let mut table = Table::new(4);
        let told = table.insert(OPENED, METHOD, Tag(1), None).unwrap();
        let own = table.insert(OPENED, METHOD, Tag(2), None).unwrap();
        for stream in [told, own, told] {
            table.end_later(stream, Code::Unavailable, Cause::Lost, "");
        }
        assert_eq!(table.open(told), None);
        table.remove(own);
        assert_eq!(table.pop_ending().map(|(e, _)| e.stream), Some(told));
        assert!(table.pop_ending().is_none());
        assert_eq!(table.live(), 0);
    }

    #[test]
    fn deadlines_come_due_once_and_go_with_their_stream() {
        let mut table = Table::new(4);
        let a = table
            .insert(OPENED, METHOD, Tag(1), Some(Instant::from_millis(5)))
            .unwrap();
        let b = table
            .insert(OPENED, METHOD, Tag(2), Some(Instant::from_millis(3)))
            .unwrap();
        assert_eq!(table.poll_timeout(), Some(Instant::from_millis(3)));
        table.remove(b);
        assert_eq!(table.pop_due(Instant::from_millis(4)), None);
        assert_eq!(table.pop_due(Instant::from_millis(5)), Some(a));
        assert_eq!(table.poll_timeout(), None);
    }

    #[test]
    fn no_more_credit_is_released_than_was_held() {
        let mut table = Table::new(1);
        let a = table.insert(OPENED, METHOD, Tag(1), None).unwrap();
        table.hold(a, 10);
        assert_eq!(table.release(a, 4), 4);
        assert_eq!(table.release(a, 100), 6);
    }
}
