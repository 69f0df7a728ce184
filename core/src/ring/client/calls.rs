//! The calls of a client: slots that are reused with their buffers.

use alloc::vec::Vec;

use super::MACHINE;
use crate::id::{MethodId, NodeId, StreamId, Tag};
use crate::machine::Full;
use crate::time::Instant;
use crate::timers::Timers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A contact is asked who owns the id.
    Asking,
    /// The request is out.
    Calling,
    /// Until the slot's timer.
    Sleeping,
}

/// One call, over all its attempts.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) call: u64,
    pub(super) method: MethodId,
    /// The actor, for calls that may be sent to any node.
    pub(super) id: Option<u64>,
    /// The only host that may be called.
    pub(super) fixed: Option<NodeId>,
    pub(super) request: Vec<u8>,
    pub(super) request_id: u128,
    pub(super) deadline: Instant,
    pub(super) attempts: u32,
    pub(super) reply: Vec<u8>,
    pub(super) replied: bool,
    /// A contact has been asked for the owner since the last failure.
    pub(super) asked: bool,
    /// An attempt was made of which nobody knows whether it was applied.
    pub(super) doubtful: bool,
    pub(super) stream: Option<StreamId>,
    phase: Phase,
    to: NodeId,
    live: bool,
}

#[derive(Debug)]
pub(super) struct Calls {
    slots: Vec<Call>,
    free: Vec<u32>,
    timers: Timers,
    calls_max: u32,
}

/// Buffers above this are given back when a call ends, so that one large call is not remembered for
/// ever.
const KEPT_BYTES: usize = 64 << 10;

impl Calls {
    pub(super) fn new(calls_max: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            timers: Timers::new(0),
            calls_max,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a call, once")]
    pub(super) fn insert(
        &mut self,
        call: u64,
        method: MethodId,
        id: Option<u64>,
        fixed: Option<NodeId>,
        request: &[u8],
        request_id: u128,
        deadline: Instant,
    ) -> Result<u32, Full> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if (self.slots.len() as u32) < self.calls_max => {
                self.slots.push(Call {
                    call: 0,
                    method,
                    id: None,
                    fixed: None,
                    request: Vec::new(),
                    request_id: 0,
                    deadline,
                    attempts: 0,
                    reply: Vec::new(),
                    replied: false,
                    asked: false,
                    doubtful: false,
                    stream: None,
                    phase: Phase::Sleeping,
                    to: NodeId(0),
                    live: false,
                });
                self.slots.len() as u32 - 1
            }
            None => return Err(Full),
        };
        let entry = &mut self.slots[slot as usize];
        entry.request.clear();
        entry.request.extend_from_slice(request);
        entry.reply.clear();
        (entry.call, entry.method, entry.id, entry.fixed) = (call, method, id, fixed);
        (entry.request_id, entry.deadline, entry.attempts) = (request_id, deadline, 0);
        (entry.replied, entry.asked, entry.stream, entry.live) = (false, false, None, true);
        (entry.phase, entry.doubtful) = (Phase::Sleeping, false);
        Ok(slot)
    }

    pub(super) fn at(&self, slot: u32) -> &Call {
        &self.slots[slot as usize]
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> &mut Call {
        &mut self.slots[slot as usize]
    }

    /// An attempt begins; its stream is opened with the tag.
    pub(super) fn begin(&mut self, slot: u32, phase: Phase, to: NodeId) -> Tag {
        let call = &mut self.slots[slot as usize];
        if phase == Phase::Calling {
            call.attempts += 1;
        }
        call.phase = phase;
        call.to = to;
        call.reply.clear();
        call.replied = false;
        Tag::new(MACHINE, u64::from(slot))
    }

    /// The call whose present attempt runs on `stream`.
    pub(super) fn find(&self, tag: Tag, stream: StreamId) -> Option<u32> {
        let slot = u32::try_from(tag.rest()).ok()?;
        self.slots
            .get(slot as usize)
            .filter(|call| call.live && call.stream == Some(stream))
            .map(|_| slot)
    }

    pub(super) fn keep_reply(&mut self, slot: u32, bytes: &[u8]) {
        let call = &mut self.slots[slot as usize];
        call.reply.clear();
        call.reply.extend_from_slice(bytes);
        call.replied = true;
    }

    /// An attempt is over: what it was, whom it called, for which id.
    pub(super) fn finish(&mut self, slot: u32) -> (Phase, NodeId, Option<u64>) {
        let call = &mut self.slots[slot as usize];
        call.stream = None;
        (call.phase, call.to, call.id)
    }

    /// The next attempt is made at `due`.
    pub(super) fn sleep(&mut self, slot: u32, due: Instant) {
        let call = &mut self.slots[slot as usize];
        call.phase = Phase::Sleeping;
        call.stream = None;
        self.timers.set(slot, due);
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.timers.pop_due(now).map(|(slot, _)| slot)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let call = &mut self.slots[slot as usize];
        call.live = false;
        call.stream = None;
        for buffer in [&mut call.request, &mut call.reply] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        self.timers.cancel(slot);
        self.free.push(slot);
    }

    pub(super) fn live(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }
}
