//! Streams by slot, checked by generation.

use std::sync::Arc;
use std::task::Waker;

use trefoil_core::id::{LinkId, StreamId};

use crate::inbox::{Inbox, Signal};

/// Who opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer did.
    Accepted,
    /// We did, on this link.
    Opened(LinkId),
}

/// A stream as a [`Table`] keeps it.
pub trait Stream {
    /// Its number.
    fn id(&self) -> StreamId;

    /// Who opened it.
    fn side(&self) -> Side;

    /// Ends it without a word of what it was about: nobody has it any more.
    fn abandon(self);
}

/// A place for streams, one after the other.
#[derive(Debug)]
pub struct Slot<S, O, N> {
    pub(crate) signal: Arc<Signal<O, N>>,
    /// Has the driver look at the slot.
    pub waker: Waker,
    /// Whether the slot stands in the list of those to be flushed.
    pub(crate) dirty: bool,
    /// The stream that lives there.
    pub stream: Option<Box<S>>,
}

/// All streams. Grows to the highest slot ever used, which the core bounds, and no further.
#[derive(Debug)]
pub struct Table<S, O, N> {
    slots: Vec<Slot<S, O, N>>,
    inbox: Arc<Inbox<O, N>>,
}

impl<S: Stream, O: Send + 'static, N: Send + 'static> Table<S, O, N> {
    pub(crate) const fn new(inbox: Arc<Inbox<O, N>>) -> Self {
        Self {
            slots: Vec::new(),
            inbox,
        }
    }

    /// Puts a stream into its slot. One that is still there belongs to nobody any more.
    pub fn insert(&mut self, stream: S) -> &mut Slot<S, O, N> {
        let slot = stream.id().slot();
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
    pub fn slot(&mut self, slot: u32) -> Option<&mut Slot<S, O, N>> {
        self.slots.get_mut(slot as usize)
    }

    /// The slot of a number that was marked, no longer marked.
    pub fn unmark(&mut self, slot: u32) -> Option<&mut Slot<S, O, N>> {
        let slot = self.slot(slot)?;
        slot.dirty = false;
        Some(slot)
    }

    /// The slot of a stream that is not over.
    pub fn live(&mut self, id: StreamId) -> Option<&mut Slot<S, O, N>> {
        self.slots
            .get_mut(id.slot() as usize)
            .filter(|slot| slot.stream.as_ref().is_some_and(|stream| stream.id() == id))
    }

    /// A stream that is not over.
    pub fn stream(&mut self, id: StreamId) -> Option<&mut S> {
        self.live(id)?.stream.as_deref_mut()
    }

    /// Takes a stream out that is not over.
    pub fn remove(&mut self, id: StreamId) -> Option<S> {
        self.live(id)?.stream.take().map(|stream| *stream)
    }

    /// How many slots there are.
    #[expect(
        clippy::len_without_is_empty,
        reason = "slots are counted to be walked"
    )]
    pub fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Slots in their order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<S, O, N>> {
        self.slots.iter_mut()
    }

    /// Slots made, and streams that are not over.
    pub fn sizes(&self) -> (usize, usize) {
        (
            self.slots.len(),
            self.slots
                .iter()
                .filter(|slot| slot.stream.is_some())
                .count(),
        )
    }
}
