//! Streams by slot, checked by generation.

use std::sync::Arc;
use std::task::Waker;

use trefoil_core::id::StreamId;

use crate::inbox::{Inbox, Signal};
use crate::stream::Stream;

/// A place for streams, one after the other.
pub(crate) struct Slot {
    pub(crate) signal: Arc<Signal>,
    pub(crate) waker: Waker,
    /// Whether the slot stands in the list of those to be flushed.
    pub(crate) dirty: bool,
    pub(crate) stream: Option<Box<Stream>>,
}

/// All streams. Grows to the highest slot ever used, which the core bounds, and no further.
pub(crate) struct Table {
    slots: Vec<Slot>,
    inbox: Arc<Inbox>,
}

impl Table {
    pub(crate) const fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            slots: Vec::new(),
            inbox,
        }
    }

    /// Puts a stream into its slot. One that is still there belongs to nobody any more.
    pub(crate) fn insert(&mut self, stream: Stream) -> &mut Slot {
        let slot = stream.id.slot();
        while self.slots.len() <= slot as usize {
            let signal = Signal::new(self.slots.len() as u32, Arc::clone(&self.inbox));
            let waker = Waker::from(Arc::clone(&signal));
            self.slots.push(Slot {
                signal,
                waker,
                dirty: false,
                stream: None,
            });
        }
        let slot = &mut self.slots[slot as usize];
        if let Some(before) = slot.stream.replace(Box::new(stream)) {
            before.abandon();
        }
        slot
    }

    /// The slot of a number that was queued.
    pub(crate) fn slot(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)
    }

    /// The slot of a stream that is not over.
    pub(crate) fn live(&mut self, id: StreamId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.slot() as usize)
            .filter(|slot| slot.stream.as_ref().is_some_and(|stream| stream.id == id))
    }

    /// A stream that is not over.
    pub(crate) fn stream(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.live(id)?.stream.as_deref_mut()
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Slots in their order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    /// Slots made, and streams that are not over.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (
            self.slots.len(),
            self.slots
                .iter()
                .filter(|slot| slot.stream.is_some())
                .count(),
        )
    }
}
