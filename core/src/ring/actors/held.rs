//! The actors this node holds, by slot and by id.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::dedupe::Dedupe;
use super::list::{Linked, Links, List};
use crate::storage::OwnerId;
use crate::time::Instant;
use crate::timers::Timers;

/// What an actor is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The log's fence is being raised.
    Fencing,
    /// Records are being read.
    Reading,
    /// Records that were read are being replayed.
    Replaying,
    /// Calls are served.
    Active,
    /// A Get waits until the log has said that it is still this node's.
    Proving,
    /// An append had no outcome: no other is made until the log has told.
    Settling,
    /// Memory is being dropped. Appends in flight may still be proved; none is made any more.
    Ending,
}

/// Whether an actor is to be let go, and what may change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// Nobody called for a while; the next call keeps it.
    Idle,
    /// By command.
    Told,
}

/// A job the runtime works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Load,
    Replay,
    Apply(u32),
    Get(u32),
    Snapshot,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    InFlight,
    Durable,
    /// Refused or unknown.
    Unproved,
}

/// An append that was submitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Append {
    pub(super) sequence: u64,
    pub(super) submitted_at: Instant,
    pub(super) outcome: Outcome,
    pub(super) snapshot: bool,
}

#[derive(Debug)]
pub(super) struct Actor {
    pub(super) generation: u32,
    pub(super) live: bool,
    pub(super) id: u64,
    pub(super) state: State,
    /// Whether it is to be let go once its mailbox is empty.
    pub(super) leaving: Leaving,
    /// Another owner has the log, as far as the log says.
    pub(super) lost: bool,
    /// The directory was told that this node owns it.
    pub(super) claimed: bool,
    /// The runtime holds memory of it.
    pub(super) loaded: bool,
    pub(super) term: u64,
    pub(super) owner: OwnerId,
    pub(super) tries: u32,
    /// A step's operation is in flight.
    pub(super) awaiting: bool,
    /// When the last step's operation was submitted.
    pub(super) stepped_at: Instant,
    /// The log was this node's at some time after this one; unknown before the first fence.
    pub(super) proved_at: Option<Instant>,
    pub(super) running: Option<(u64, Work)>,
    /// Number of the first record kept.
    pub(super) first: u64,
    /// Number the next record gets, those counted that were not submitted yet.
    pub(super) next: u64,
    /// All records below are durable.
    pub(super) durable: u64,
    /// Where to read on, and the bytes read but not replayed.
    pub(super) read_from: u64,
    pub(super) chunk: Vec<u8>,
    pub(super) chunk_at: usize,
    pub(super) appends: VecDeque<Append>,
    /// A record the store had no room for yet, and whether it is a snapshot.
    pub(super) unsent: Vec<u8>,
    pub(super) unsent_kind: Option<bool>,
    pub(super) records_since: u32,
    pub(super) bytes_since: u64,
    pub(super) mailbox: List,
    pub(super) held: List,
    pub(super) parked: List,
    /// Calls in the three lists, and the one being run.
    pub(super) calls: u32,
    pub(super) dedupe: Dedupe,
    pub(super) idle: bool,
    pub(super) idle_since: Instant,
    links: Links,
}

impl Linked for Actor {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Actor {
    fn blank() -> Self {
        Self {
            generation: 0,
            live: false,
            id: 0,
            state: State::Fencing,
            leaving: Leaving::No,
            lost: false,
            claimed: false,
            loaded: false,
            term: 1,
            owner: OwnerId(0),
            tries: 0,
            awaiting: false,
            stepped_at: Instant::ZERO,
            proved_at: None,
            running: None,
            first: 0,
            next: 0,
            durable: 0,
            read_from: 0,
            chunk: Vec::new(),
            chunk_at: 0,
            appends: VecDeque::new(),
            unsent: Vec::new(),
            unsent_kind: None,
            records_since: 0,
            bytes_since: 0,
            mailbox: List::EMPTY,
            held: List::EMPTY,
            parked: List::EMPTY,
            calls: 0,
            dedupe: Dedupe::default(),
            idle: false,
            idle_since: Instant::ZERO,
            links: Links::FREE,
        }
    }

    /// Number behind the last record that was submitted.
    pub(super) fn submitted(&self) -> u64 {
        self.next - u64::from(self.unsent_kind.is_some())
    }

    /// Whether an append is out whose outcome has not come.
    pub(super) fn in_flight(&self) -> bool {
        self.appends
            .iter()
            .any(|append| append.outcome == Outcome::InFlight)
    }

    /// Whether nothing is to be done but to wait for calls.
    pub(super) fn is_quiet(&self) -> bool {
        self.state == State::Active
            && self.running.is_none()
            && self.unsent_kind.is_none()
            && self.appends.is_empty()
            && self.calls == 0
    }
}

/// Chunks above this are given back once they were replayed.
const KEPT_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) slots: Vec<Actor>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    /// Quiet actors, the longest idle first.
    idle: List,
    pub(super) timers: Timers,
    seed: u64,
    actors_max: u32,
}

/// SplitMix64's finaliser over a seeded id: outsiders choose ids, but not which collide.
fn hash(seed: u64, id: u64) -> u64 {
    let mut z = seed ^ id;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Held {
    pub(super) fn new(actors_max: u32, seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            idle: List::EMPTY,
            timers: Timers::new(0),
            seed,
            actors_max,
        }
    }

    pub(super) fn at(&self, slot: u32) -> &Actor {
        &self.slots[slot as usize]
    }

    pub(super) fn at_mut(&mut self, slot: u32) -> &mut Actor {
        &mut self.slots[slot as usize]
    }

    pub(super) fn find(&self, id: u64) -> Option<u32> {
        self.by_id
            .find(hash(self.seed, id), |slot| {
                self.slots[*slot as usize].id == id
            })
            .copied()
    }

    pub(super) fn live(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }

    /// A slot for an actor that is not held yet; `None` if there is no room.
    pub(super) fn insert(&mut self, id: u64, owner: OwnerId) -> Option<u32> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if (self.slots.len() as u32) < self.actors_max => {
                self.slots.push(Actor::blank());
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let actor = &mut self.slots[slot as usize];
        actor.generation = actor.generation.wrapping_add(1);
        actor.live = true;
        actor.id = id;
        actor.owner = owner;
        let (slots, seed) = (&self.slots, self.seed);
        self.by_id.insert_unique(hash(seed, id), slot, |slot| {
            hash(seed, slots[*slot as usize].id)
        });
        Some(slot)
    }

    /// Frees a slot whose lists are empty. Its small buffers stay with it.
    pub(super) fn remove(&mut self, slot: u32) {
        self.leave_idle(slot);
        self.timers.cancel(slot);
        let actor = &mut self.slots[slot as usize];
        let id = actor.id;
        actor.dedupe.clear();
        actor.appends.clear();
        let blank = Actor::blank();
        *actor = Actor {
            generation: actor.generation,
            dedupe: core::mem::take(&mut actor.dedupe),
            appends: core::mem::take(&mut actor.appends),
            chunk: kept(&mut actor.chunk),
            unsent: kept(&mut actor.unsent),
            ..blank
        };
        if let Ok(entry) = self
            .by_id
            .find_entry(hash(self.seed, id), |known| *known == slot)
        {
            entry.remove();
        }
        self.free.push(slot);
    }

    pub(super) fn leave_idle(&mut self, slot: u32) {
        if core::mem::take(&mut self.at_mut(slot).idle) {
            self.idle.remove(&mut self.slots, slot);
        }
    }

    /// The actor has become quiet. Since this is called in the order of time, the queue is sorted.
    pub(super) fn enter_idle(&mut self, now: Instant, slot: u32) {
        let actor = self.at_mut(slot);
        if !core::mem::replace(&mut actor.idle, true) {
            actor.idle_since = now;
            self.idle.push_back(&mut self.slots, slot);
        }
    }

    /// The actor nobody has called for longest, and since when.
    pub(super) fn idlest(&self) -> Option<(u32, Instant)> {
        let slot = self.idle.head()?;
        Some((slot, self.at(slot).idle_since))
    }

    /// A live actor's slot, from slots that are walked one by one.
    pub(super) fn live_slots(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.slots.len() as u32
    }
}

/// A buffer emptied, or a new one if it had grown large.
pub(super) fn kept(buffer: &mut Vec<u8>) -> Vec<u8> {
    let mut buffer = core::mem::take(buffer);
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES {
        Vec::new()
    } else {
        buffer
    }
}
