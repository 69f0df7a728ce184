//! Messages on their way to the log.
//!
//! Each record's number is known before it is written, one after the other, so many may be in flight; the log
//! writes each under its own number or not at all. When one fails, those behind it fail with it, and nothing
//! more is appended before `recovering` has seen what the log holds.

use super::channel::{Asker, Fate, Flow, Pending};
use super::record::{self, Origin};
use super::slab::Key;
use super::tags::{Of, Term};
use super::why::Why;
use super::{Lent, Retention, Worker, WorkerEvent, WorkerPlant};
use crate::channels::messages::properties::{Reserved, decimal};
use crate::channels::messages::{Message, Properties};
use crate::machine::Full;
use crate::storage::{Done, Op};
use crate::xxh3::xxh3_64;

/// What a message says of itself, looked at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    origin: Option<Origin>,
    /// It has no property that only the log gives.
    clean: bool,
}

/// Looks at a message as Milvus does before it is appended.
pub(super) fn check(message: &Message<'_, Properties<'_>>) -> Result<Checked, Why> {
    let said = Reserved::of(message);
    let number = |value: Option<&[u8]>| value.and_then(decimal).unwrap_or(0);
    if number(said.version) == 0 {
        return Err(Why::NoVersion);
    }
    if number(said.kind) == 0 {
        return Err(Why::NoType);
    }
    if message.payload.is_empty() {
        return Err(Why::NoPayload);
    }
    let origin = said.producer.zip(said.producer_sequence);
    let given = said.time_tick.is_some() || said.last_confirmed.is_some();
    Ok(Checked {
        origin: origin.map(|(name, number)| Origin {
            producer: xxh3_64(name),
            number,
        }),
        clean: !given,
    })
}

impl Worker {
    /// Appends a message, or finds that it has been. On success an answer follows, or has been given.
    pub(super) fn append(
        &mut self,
        slot: u32,
        asker: Asker,
        message: &Message<'_, Properties<'_>>,
        lent: &mut Lent<'_>,
    ) -> Result<(), Full> {
        let Checked { origin, clean } = match check(message) {
            Ok(checked) => checked,
            Err(why) => {
                self.answer(asker, Err(why), lent);
                return Ok(());
            }
        };
        let channel = &mut self.channels[slot as usize];
        if let Some(sequence) = origin.and_then(|origin| channel.dedupe.find(origin)) {
            self.counters.duplicates += 1;
            let at = sequence.checked_sub(channel.base());
            let pending = at.and_then(|at| channel.pending.get(at as usize));
            if pending.is_none_or(|pending| pending.fate == Fate::Written) {
                self.answer(asker, Ok(sequence), lent);
            } else {
                channel.followers.push((sequence, asker));
            }
            return Ok(());
        }
        let tick = self.clock.tick(lent.now, channel.last_tick);
        let (term, expected) = (channel.term, channel.next);
        record::write_message(&mut self.scratch, term, tick, origin, message, clean);
        let (term, owner) = self.writes_as(term);
        let channel = &mut self.channels[slot as usize];
        let op = Op::Append {
            log: &channel.log,
            term,
            owner,
            expected,
            payload: &self.scratch,
        };
        let epoch = channel.epoch;
        let tag = Of::Append(Term { slot, epoch }, expected as u16).tag();
        lent.io.submit(op, tag)?;
        channel.next += 1;
        channel.last_tick = tick;
        channel.in_flight += 1;
        channel.pending.push_back(Pending {
            asker,
            tick,
            origin,
            bytes: self.scratch.len() as u32,
            fate: Fate::InFlight,
        });
        if let Some(origin) = origin {
            let most = self.config.dedupe_records;
            channel.dedupe.insert(origin, expected, most);
        }
        if self.has(WorkerPlant::AckEarly) {
            self.answer(asker, Ok(expected), lent);
            let pending = self.channels[slot as usize].pending.back_mut();
            let nobody = pending.map(|pending| &mut pending.asker.producer.generation);
            nobody
                .into_iter()
                .for_each(|generation| *generation = u32::MAX);
        }
        Ok(())
    }

    /// Whether the log takes one more now.
    pub(super) fn may_append(&self, slot: u32) -> bool {
        let channel = &self.channels[slot as usize];
        channel.flow == Flow::Running && channel.pending.len() < self.config.appends_max as usize
    }

    /// An append ended.
    pub(super) fn appended(&mut self, of: Term, number: u16, done: &Done<'_>, lent: &mut Lent<'_>) {
        let Some(channel) = self.at(of) else { return };
        let at = usize::from(number.wrapping_sub(channel.base() as u16));
        let base = channel.base();
        let pending = channel.pending.get_mut(at);
        let Some(pending) = pending.filter(|pending| pending.fate == Fate::InFlight) else {
            return;
        };
        channel.in_flight -= 1;
        channel.tries = 0;
        let sequence = base + at as u64;
        match *done {
            Done::Durable { sequence: written } if written == sequence => {
                pending.fate = Fate::Written;
                self.written(of.slot, at, lent);
            }
            Done::Fenced { .. } => {
                self.not_written(of.slot, at, Why::Fenced, lent);
                self.fence(of.slot, lent);
            }
            Done::Conflict { .. } => {
                self.not_written(of.slot, at, Why::NotAppended, lent);
                self.trouble(of.slot, true);
            }
            Done::Durable { .. }
            | Done::Unknown
            | Done::Records(_)
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Tail { .. } => {
                pending.fate = Fate::Unknown;
                self.trouble(of.slot, true);
            }
        }
        self.go_on_recovering(of.slot, lent);
        self.pump(of.slot, lent);
        // Who sent it may be gone, and then nobody but this was waited for.
        self.check_closed(of.slot, lent);
    }

    /// A record is durable: who asked for it is told, and who waits for records.
    pub(super) fn written(&mut self, slot: u32, at: usize, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        let sequence = channel.base() + at as u64;
        let Some(asker) = channel.pending.get(at).map(|pending| pending.asker) else {
            return;
        };
        self.counters.appended += 1;
        channel.proved = true;
        channel.advance(&self.config.retention);
        self.answer(asker, Ok(sequence), lent);
        self.answer_followers(slot, sequence, Ok(sequence), lent);
        self.wake(slot, lent);
    }

    /// A record was not written, for certain.
    pub(super) fn not_written(&mut self, slot: u32, at: usize, why: Why, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        let sequence = channel.base() + at as u64;
        let Some(pending) = channel.pending.get_mut(at) else {
            return;
        };
        pending.fate = Fate::Refused;
        let (asker, origin) = (pending.asker, pending.origin);
        if let Some(origin) = origin {
            channel.dedupe.remove(origin, sequence);
        }
        self.answer(asker, Err(why), lent);
        self.answer_followers(slot, sequence, Err(why), lent);
    }

    fn answer_followers(
        &mut self,
        slot: u32,
        sequence: u64,
        result: Result<u64, Why>,
        lent: &mut Lent<'_>,
    ) {
        let mut at = 0;
        while let Some((of, asker)) = self.channels[slot as usize].followers.get(at).copied() {
            if of == sequence {
                self.channels[slot as usize].followers.swap_remove(at);
                self.answer(asker, result, lent);
            } else {
                at += 1;
            }
        }
    }

    /// Nothing more is appended. `look`: not before the log has been looked at.
    pub(super) fn trouble(&mut self, slot: u32, look: bool) {
        let flow = &mut self.channels[slot as usize].flow;
        *flow = match *flow {
            Flow::Running => Flow::Draining { look },
            Flow::Draining { look: already } => Flow::Draining {
                look: look || already,
            },
            further @ (Flow::Looking | Flow::Reading { .. } | Flow::Over) => further,
        };
    }

    /// A later term has the log: the channel is gone from here at this one, for good.
    pub(super) fn fence(&mut self, slot: u32, lent: &mut Lent<'_>) {
        self.trouble(slot, false);
        let channel = &mut self.channels[slot as usize];
        if channel.why == Why::Fenced {
            return;
        }
        channel.why = Why::Fenced;
        channel.lifetime.fenced(channel.term);
        self.counters.fenced += 1;
        lent.up.event(WorkerEvent::ChannelFenced {
            channel: &channel.name,
            term: channel.term,
        });
        self.unsettled.push(slot);
    }

    /// Appends what waits, one message of each producer in turn.
    pub(super) fn pump(&mut self, slot: u32, lent: &mut Lent<'_>) {
        while self.may_append(slot) {
            let Some(key) = self.channels[slot as usize].queue.pop_front() else {
                return;
            };
            match self.take_waiting(key, lent) {
                Ok(true) => self.channels[slot as usize].queue.push_back(key),
                Ok(false) => {}
                Err(Full) => {
                    self.channels[slot as usize].queue.push_front(key);
                    return self.retry_later(slot, lent);
                }
            }
        }
    }

    /// Puts a producer in the line of those whose messages wait.
    pub(super) fn line_up(&mut self, slot: u32, key: Key) {
        self.channels[slot as usize].queue.push_back(key);
    }
}

impl super::channel::Channel {
    /// Forgets what is done at the front.
    pub(super) fn advance(&mut self, retention: &Retention) {
        while let Some(pending) = self.pending.front().copied() {
            if pending.fate != Fate::Written {
                break;
            }
            let sequence = self.base();
            self.extent
                .count(retention, sequence, pending.tick, pending.bytes as usize);
            self.pending.pop_front();
        }
        self.durable = self.base();
    }
}
