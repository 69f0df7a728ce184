//! What a producer and a consumer have in common: a stream that is opened again and again.

use alloc::vec::Vec;
use core::hash::BuildHasherDefault;

use hashbrown::HashMap;

use super::consumer::Consumer;
use super::interface::Key;
use super::producer::Producer;
use crate::hash::IdHasher;
use crate::id::{NodeId, StreamId};
use crate::time::{Instant, earliest};

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No stream: until a larger term, or until `retry_at`; only the former if there is none.
    Waiting,
    /// The node has not said its first word.
    Opening,
    Open,
    /// The node closed the stream, and may still answer until it ends.
    Leaving,
    /// The caller closed the session: read to the end.
    Closing,
}

/// Writing or reading.
#[derive(Debug)]
pub(super) enum Kind {
    Producer(Producer),
    Consumer(Consumer),
}

/// A producer or a consumer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) channel: u32,
    pub(super) phase: Phase,
    pub(super) stream: Option<StreamId>,
    /// At the other end of the last stream.
    pub(super) node: NodeId,
    /// Of the stream, or of the last one.
    pub(super) term: i64,
    /// When the last attempt was made.
    pub(super) tried_at: Option<Instant>,
    /// In a row.
    pub(super) failures: u32,
    /// Something was achieved on the present stream.
    pub(super) progress: bool,
    /// The caller closed it.
    pub(super) is_closing: bool,
    /// In `Waiting`: when to open another stream.
    pub(super) retry_at: Option<Instant>,
    /// When the peer's next word is overdue.
    pub(super) answer_by: Option<Instant>,
    /// When a stream is given up that is of an older term than the channel's.
    pub(super) superseded_by: Option<Instant>,
    pub(super) kind: Kind,
}

impl Session {
    pub(super) const fn new(key: Key, channel: u32, kind: Kind) -> Self {
        Self {
            key,
            channel,
            phase: Phase::Waiting,
            stream: None,
            node: NodeId(0),
            term: 0,
            tried_at: None,
            failures: 0,
            progress: false,
            is_closing: false,
            retry_at: None,
            answer_by: None,
            superseded_by: None,
            kind,
        }
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        let stream = earliest(self.answer_by, self.superseded_by);
        let session = earliest(stream, self.retry_at);
        match &self.kind {
            Kind::Producer(producer) => earliest(session, producer.due()),
            Kind::Consumer(_) => session,
        }
    }

    /// The stream is over.
    pub(super) fn forget_stream(&mut self) {
        (self.stream, self.phase) = (None, Phase::Waiting);
        (self.answer_by, self.superseded_by) = (None, None);
        match &mut self.kind {
            Kind::Producer(producer) => producer.forget_stream(),
            Kind::Consumer(consumer) => consumer.forget_stream(),
        }
    }
}

/// All of them, by slot and by key.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    slots: Vec<Option<Session>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, BuildHasherDefault<IdHasher>>,
}

impl Sessions {
    pub(super) fn len(&self) -> u32 {
        self.by_key.len() as u32
    }

    pub(super) fn find(&self, key: Key) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn insert(&mut self, session: Session) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.by_key.insert(session.key, slot);
        self.slots[slot as usize] = Some(session);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Session> {
        let session = self.slots.get_mut(slot as usize)?.take()?;
        self.by_key.remove(&session.key);
        self.free.push(slot);
        Some(session)
    }

    pub(super) fn at(&mut self, slot: u32) -> Option<&mut Session> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn producer(&mut self, slot: u32) -> Option<&mut Producer> {
        match &mut self.at(slot)?.kind {
            Kind::Producer(producer) => Some(producer),
            Kind::Consumer(_) => None,
        }
    }

    /// Every slot that was ever used.
    pub(super) fn slots(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }
}
