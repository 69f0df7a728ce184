//! Calls this node has made and not heard the end of.

use alloc::vec::Vec;

use super::hosts::Slot;
use crate::id::{NodeId, StreamId};
use crate::time::Instant;

/// Why a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A ping of the host in `slot`; `queued` if it counts against the verifications.
    Ping { slot: Slot, queued: bool },
    /// A ping with far more time than others, to learn how slow peers are.
    Trial,
    /// A peer is asked about the host in `about`.
    Ask { about: Slot, round: u32 },
    /// Views are exchanged.
    Exchange,
    /// News of a death is passed on.
    Relay,
    /// This node says goodbye.
    Goodbye,
}

/// What the peer said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing.
    #[default]
    Nothing,
    /// What it should.
    Good,
    /// About the host asked for: it does not answer.
    Negative,
    /// Something it should not.
    Bad,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) stream: StreamId,
    pub(super) purpose: Purpose,
    pub(super) to: NodeId,
    pub(super) sent: Instant,
    pub(super) deadline: Instant,
    /// Which of this process's lives between two freezes it was made in.
    pub(super) epoch: u32,
    /// The incarnation in the answer's metadata; none, and the peer is not one of ours.
    pub(super) incarnation: Option<u64>,
    pub(super) heard: Heard,
}

/// A slab of calls.
#[derive(Debug)]
pub(super) struct Calls {
    slots: Vec<Option<Call>>,
    free: Vec<u32>,
}

impl Calls {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            slots: alloc::vec![None; capacity as usize],
            free: (0..capacity).rev().collect(),
        }
    }

    /// The place the next call will have.
    pub(super) fn next(&self) -> Option<u32> {
        self.free.last().copied()
    }

    /// Keeps a call in the place [`next`](Self::next) gave.
    pub(super) fn insert(&mut self, call: Call) {
        if let Some(at) = self.free.pop() {
            self.slots[at as usize] = Some(call);
        }
    }

    /// The call of a stream in a place.
    pub(super) fn at_mut(&mut self, at: u64, stream: StreamId) -> Option<&mut Call> {
        let at = usize::try_from(at).ok()?;
        self.slots
            .get_mut(at)?
            .as_mut()
            .filter(|call| call.stream == stream)
    }

    /// Takes the call of a stream out of its place.
    pub(super) fn remove(&mut self, at: u64, stream: StreamId) -> Option<Call> {
        let call = *self.at_mut(at, stream)?;
        self.slots[at as usize] = None;
        self.free.push(at as u32);
        Some(call)
    }
}
