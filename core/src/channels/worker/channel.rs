//! One channel: its log, who uses it, and what is on its way.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::dedupe::Dedupe;
use super::lifetime::Lifetime;
use super::opening::OpenStep;
use super::record::Origin;
use super::retention::Extent;
use super::slab::Key;
use super::tags::EPOCHS;
use super::why::Why;
use super::{Lent, Worker};
use crate::addresses::hash;
use crate::storage::Done;

/// Beginning of the names of channels' logs.
const LOG_PREFIX: &[u8] = b"channel/";

/// Name of a channel's log.
fn log(name: &str) -> Box<[u8]> {
    [LOG_PREFIX, name.as_bytes()].concat().into()
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    InFlight,
    /// It is durable, and was answered.
    Written,
    /// It was not written, and was answered.
    Refused,
    /// Nobody knows yet.
    Unknown,
}

/// Who is owed an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) producer: Key,
    pub(super) request_id: i64,
    /// Bytes of its frame.
    pub(super) bytes: u32,
}

/// A message on its way to the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) asker: Asker,
    pub(super) tick: u64,
    pub(super) origin: Option<Origin>,
    /// Bytes of its record.
    pub(super) bytes: u32,
    pub(super) fate: Fate,
}

/// How appending goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Running,
    /// Something went wrong: nothing is appended. `look` says that the log has to be looked at when nothing
    /// is in flight any more.
    Draining {
        look: bool,
    },
    /// Fence and tail are being read.
    Looking,
    /// The records of what is not known are being read.
    Reading {
        /// The next one.
        from: u64,
        /// Where the log ended.
        end: u64,
        /// Whether the fence is another's.
        fenced: bool,
    },
    /// A later term has the log.
    Over,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Box<str>,
    pub(super) log: Box<[u8]>,
    pub(super) lifetime: Lifetime,
    /// Counts the terms that were begun.
    pub(super) epoch: u16,
    pub(super) opening: Option<OpenStep>,
    /// Tries of a storage operation without an outcome.
    pub(super) tries: u8,
    /// Calls that wait.
    pub(super) calls: Vec<Key>,
    /// The term that is open or closing.
    pub(super) term: u64,
    pub(super) flow: Flow,
    pub(super) next: u64,
    pub(super) durable: u64,
    pub(super) last_tick: u64,
    /// Its log took a record since it was asked for its fence.
    pub(super) proved: bool,
    /// What its log holds, as far as that is looked at.
    pub(super) extent: Extent,
    /// The last of `next`: their records are numbered without a gap.
    pub(super) pending: VecDeque<Pending>,
    /// Those of `pending` whose fate is not known.
    pub(super) in_flight: u32,
    /// Who waits for a message of somebody else that is the same: by its record.
    pub(super) followers: Vec<(u64, Asker)>,
    /// Producers whose messages wait, in turn.
    pub(super) queue: VecDeque<Key>,
    /// Consumers that have had everything.
    pub(super) sleepers: Vec<Key>,
    pub(super) dedupe: Dedupe,
    pub(super) producers: Vec<Key>,
    pub(super) consumers: Vec<Key>,
    /// What sessions are told when they end with the channel.
    pub(super) why: Why,
    /// Its time is up.
    pub(super) forced: bool,
}

impl Channel {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            log: log(name),
            lifetime: Lifetime::default(),
            epoch: 0,
            opening: None,
            tries: 0,
            calls: Vec::new(),
            term: 0,
            flow: Flow::Running,
            next: 0,
            durable: 0,
            last_tick: 0,
            proved: false,
            extent: Extent::default(),
            pending: VecDeque::new(),
            in_flight: 0,
            followers: Vec::new(),
            queue: VecDeque::new(),
            sleepers: Vec::new(),
            dedupe: Dedupe::default(),
            producers: Vec::new(),
            consumers: Vec::new(),
            why: Why::NotHere,
            forced: false,
        }
    }

    /// Number of the first record of `pending`.
    pub(super) fn base(&self) -> u64 {
        self.next - self.pending.len() as u64
    }

    /// Whether appends wait for what the log really holds.
    pub(super) fn is_troubled(&self) -> bool {
        self.flow != Flow::Running
    }

    /// Another term begins: what is still in flight for the one before comes back to nobody.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch = (self.epoch + 1) % EPOCHS;
        self.tries = 0;
        self.proved = false;
        self.flow = Flow::Running;
        self.pending.clear();
        self.in_flight = 0;
        self.followers.clear();
        self.queue.clear();
        self.sleepers.clear();
        self.dedupe.clear();
        self.why = Why::NotHere;
        self.forced = false;
    }

    /// Whether another name may have this place.
    fn is_spare(&self) -> bool {
        let idle = self.calls.is_empty() && self.producers.is_empty() && self.consumers.is_empty();
        idle && self.lifetime.is_at_rest()
    }
}

impl Worker {
    /// Where a channel is that has been heard of. Allocates nothing.
    pub(super) fn hash_of(&self, name: &str) -> u64 {
        hash(self.config.seed, name.as_bytes())
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hash_of(name);
        let by_name = |slot: &u32| &*self.channels[*slot as usize].name == name;
        self.by_name.find(hash, by_name).copied()
    }

    /// Where a channel is, that is heard of for the first time if need be. One that was taken away is
    /// forgotten for it when all places are taken: if somebody repeated what was said of it long ago, the log
    /// would refuse.
    pub(super) fn find_or_make(&mut self, name: &str) -> Option<u32> {
        if let Some(slot) = self.find(name) {
            return Some(slot);
        }
        let seed = self.config.seed;
        let slot = if self.channels.len() < self.config.channels_max as usize {
            self.channels.push(Channel::new(name));
            self.channels.len() as u32 - 1
        } else {
            let slot = self.channels.iter().position(Channel::is_spare)? as u32;
            let old = hash(seed, self.channels[slot as usize].name.as_bytes());
            if let Ok(entry) = self.by_name.find_entry(old, |at| *at == slot) {
                entry.remove();
            }
            let place = &mut self.channels[slot as usize];
            // What is still in flight must not come back to the new one.
            let epoch = (place.epoch + 1) % EPOCHS;
            *place = Channel::new(name);
            place.epoch = epoch;
            slot
        };
        let channels = &self.channels;
        let hash_of = |at: &u32| hash(seed, channels[*at as usize].name.as_bytes());
        self.by_name
            .insert_unique(hash(seed, name.as_bytes()), slot, hash_of);
        Some(slot)
    }

    /// Goes on with a channel's work after a while, later each time.
    pub(super) fn retry_later(&mut self, slot: u32, lent: &Lent<'_>) {
        if self.retries.due(slot).is_some() {
            return;
        }
        let channel = &mut self.channels[slot as usize];
        let delay = self.config.store_retry_delay * (1 << channel.tries.min(7)).min(100);
        channel.tries = channel.tries.saturating_add(1);
        self.retries.set(slot, lent.now + delay);
    }

    pub(super) fn retry(&mut self, slot: u32, lent: &mut Lent<'_>) {
        if self.channels[slot as usize].opening.is_some() {
            self.go_on_opening(slot, lent);
        } else {
            self.go_on_recovering(slot, lent);
            self.pump(slot, lent);
        }
    }
}

/// Whether nobody knows what came of an operation.
pub(super) const fn is_unknown(done: &Done<'_>) -> bool {
    matches!(done, Done::Unknown)
}
