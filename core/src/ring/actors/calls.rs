//! The calls this node holds, whoever made them: slots that are reused with their buffers.

use alloc::vec::Vec;

use super::MACHINE;
use super::list::{Linked, Links, List, NONE};
use crate::id::{NodeId, StreamId, Tag};
use crate::machine::Full;
use crate::time::{Instant, earliest};
use crate::timers::Timers;

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Stream(StreamId),
    /// A handle of this process; the number is its own.
    Local(u64),
    /// Nobody any more. What the call did stays done.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Apply,
    Get,
}

/// Where a call is. Exactly one place holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The message has not come yet.
    Open,
    /// On its way from one place to the next, within one input.
    Routing,
    /// In the queue of those that wait for this node to know who owns what.
    Waiting,
    /// Routed again when its timer is due.
    Delayed,
    /// The store is asked whether the actor was ever written.
    Probing,
    /// Another node is called.
    Forwarded { stream: StreamId, node: NodeId },
    /// In the mailbox of `actor`.
    Queued,
    /// `actor` works on it.
    Running,
    /// Done; the answer waits until what it depends on is durable.
    Held,
    /// `actor` is being let go; routed again when it is gone.
    Parked,
    /// The same request as another call, which has the answer to come.
    Joined { original: u32 },
}

#[derive(Debug)]
pub(super) struct Call {
    generation: u32,
    live: bool,
    pub(super) origin: Origin,
    pub(super) verb: Verb,
    pub(super) phase: Phase,
    pub(super) id: u64,
    pub(super) request: Vec<u8>,
    pub(super) reply: Vec<u8>,
    /// The node this call was forwarded to has sent its answer.
    pub(super) replied: bool,
    pub(super) request_id: Option<u128>,
    /// Another node forwarded it to us.
    pub(super) hopped: bool,
    /// The actor's log is known to hold records.
    pub(super) exists: bool,
    /// A forwarded call was tried a second time already.
    pub(super) retried: bool,
    /// An owner was lost with it, and may have applied it.
    pub(super) doubtful: bool,
    /// How often it was routed again because the actor went elsewhere.
    pub(super) moves: u8,
    /// It came after the drain began.
    pub(super) late: bool,
    pub(super) deadline: Option<Instant>,
    wake: Option<Instant>,
    /// The actor that has it; meaningful while queued, running, held or parked.
    pub(super) actor: u32,
    /// The answer may go out when all records below this number are durable.
    pub(super) after: u64,
    pub(super) followers: List,
    links: Links,
}

impl Linked for Call {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// Buffers above this are given back when a call ends, so that one large call is not remembered for
/// ever.
const KEPT_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Calls {
    pub(super) slots: Vec<Call>,
    free: Vec<u32>,
    timers: Timers,
    calls_max: u32,
    request_bytes: u64,
}

/// Which of a call's two streams an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Caller,
    Owner,
}

/// Bit of a stream's tag that is set for streams this node opened.
const OWNER_BIT: u64 = 1 << 32;
/// Bit of a tag that is set for storage operations.
pub(super) const OP_BIT: u64 = 1 << 55;

pub(super) fn tag(slot: u32, side: Side) -> Tag {
    let bit = if side == Side::Owner { OWNER_BIT } else { 0 };
    Tag::new(MACHINE, u64::from(slot) | bit)
}

impl Calls {
    pub(super) fn new(calls_max: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            timers: Timers::new(0),
            calls_max,
            request_bytes: 0,
        }
    }

    pub(super) fn insert(
        &mut self,
        origin: Origin,
        verb: Verb,
        deadline: Option<Instant>,
    ) -> Result<u32, Full> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if (self.slots.len() as u32) < self.calls_max => {
                self.slots.push(Call::blank());
                self.slots.len() as u32 - 1
            }
            None => return Err(Full),
        };
        let call = &mut self.slots[slot as usize];
        let generation = call.generation.wrapping_add(1);
        let (request, reply) = (
            core::mem::take(&mut call.request),
            core::mem::take(&mut call.reply),
        );
        *call = Call {
            generation,
            live: true,
            origin,
            verb,
            deadline,
            request,
            reply,
            ..Call::blank()
        };
        self.arm(slot);
        Ok(slot)
    }

    pub(super) fn at(&self, slot: u32) -> &Call {
        &self.slots[slot as usize]
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> &mut Call {
        &mut self.slots[slot as usize]
    }

    /// Gives a call its message.
    pub(super) fn fill(&mut self, slot: u32, request: &[u8]) {
        let call = &mut self.slots[slot as usize];
        self.request_bytes -= call.request.len() as u64;
        call.request.clear();
        call.request.extend_from_slice(request);
        self.request_bytes += request.len() as u64;
    }

    /// Bytes of requests held.
    pub(super) const fn request_bytes(&self) -> u64 {
        self.request_bytes
    }

    /// The call an event of `stream` is for, and which of its streams that is.
    pub(super) fn find(&self, tag: Tag, stream: StreamId) -> Option<(u32, Side)> {
        let rest = tag.rest();
        let slot = rest as u32;
        let call = self.slots.get(slot as usize).filter(|call| call.live)?;
        let opened = matches!(call.phase, Phase::Forwarded { stream: own, .. } if own == stream);
        match rest & !u64::from(u32::MAX) {
            0 => (call.origin == Origin::Stream(stream)).then_some((slot, Side::Caller)),
            OWNER_BIT => opened.then_some((slot, Side::Owner)),
            _ => None,
        }
    }

    /// What tells this use of the slot from later ones.
    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.slots[slot as usize].generation
    }

    /// Whether the slot is still in that use.
    pub(super) fn is_live(&self, slot: u32, generation: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|call| call.live && call.generation == generation)
    }

    /// Sets when the call's present place wants to hear of it.
    pub(super) fn wake(&mut self, slot: u32, due: Option<Instant>) {
        self.slots[slot as usize].wake = due;
        self.arm(slot);
    }

    /// A handle's deadline is ours to keep; a stream's is the stream table's.
    fn arm(&mut self, slot: u32) {
        let call = &self.slots[slot as usize];
        match earliest(call.wake, self.own_deadline(slot)) {
            Some(due) => self.timers.set(slot, due),
            None => self.timers.cancel(slot),
        }
    }

    pub(super) fn own_deadline(&self, slot: u32) -> Option<Instant> {
        let call = &self.slots[slot as usize];
        call.deadline
            .filter(|_| matches!(call.origin, Origin::Local(_)))
    }

    /// Nobody waits for the answer any more.
    pub(super) fn orphan(&mut self, slot: u32) {
        self.slots[slot as usize].origin = Origin::Gone;
        self.arm(slot);
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.timers.pop_due(now).map(|(slot, _)| slot)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// Frees a slot that no list holds any more.
    pub(super) fn remove(&mut self, slot: u32) {
        let call = &mut self.slots[slot as usize];
        call.live = false;
        self.request_bytes -= call.request.len() as u64;
        for buffer in [&mut call.request, &mut call.reply] {
            buffer.clear();
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

impl Call {
    const fn blank() -> Self {
        Self {
            generation: 0,
            live: false,
            origin: Origin::Gone,
            verb: Verb::Get,
            phase: Phase::Open,
            id: 0,
            request: Vec::new(),
            reply: Vec::new(),
            replied: false,
            request_id: None,
            hopped: false,
            exists: false,
            retried: false,
            doubtful: false,
            moves: 0,
            late: false,
            deadline: None,
            wake: None,
            actor: NONE,
            after: 0,
            followers: List::EMPTY,
            links: Links::FREE,
        }
    }
}
