//! Bringing an actor to life: fence its log, read it, replay it.
//!
//! Ownership is claimed when the fence stands, not before: a claim never announces what is not
//! held, and a node that loses the race for the fence announces nothing. Until then calls from
//! peers come here by placement all the same.

use super::held::{Actor, State, Work, kept};
use super::journal::{self, Record, Unreadable};
use super::ops::{InFlight, Purpose};
use super::{Actors, ActorsPlant, Lent};
use crate::codes;
use crate::ring::actor::Job;
use crate::ring::ownership::Route;
use crate::status::{Code, Status};
use crate::storage::{Done, Op, RECORD_HEAD, Records};

pub(super) const STORE: Status<'_> = Status::new(Code::Unavailable, codes::STORE);
pub(super) const FAILED: Status<'_> = Status::new(Code::Internal, codes::ACTOR_FAILED);

/// What replay does next.
enum Next {
    ReadMore,
    /// The journal is replayed.
    Finished,
    /// The next record makes a job.
    Record {
        at: usize,
        len: usize,
    },
    /// An actor that was never written, or whose first record is the first of all.
    Fresh,
    Broken(Unreadable),
}

impl Actors {
    /// Submits the operation an actor's state waits for, unless it is out already or its turn to
    /// try again has not come.
    pub(super) fn step(&mut self, slot: u32, op: Op<'_>, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        if actor.awaiting || self.held.timers.due(slot).is_some() {
            return;
        }
        let what = InFlight {
            purpose: Purpose::Step,
            slot,
            generation: actor.generation,
        };
        if self.submit(what, op, cx) {
            let actor = self.held.at_mut(slot);
            (actor.awaiting, actor.stepped_at) = (true, cx.now);
        } else {
            self.held
                .timers
                .set(slot, cx.now + self.config.store_retry_delay);
        }
    }

    /// A step had no outcome: it is tried again, each time after twice as long.
    pub(super) fn again(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        actor.tries += 1;
        if actor.tries >= self.config.store_tries_max {
            self.counters.store_failures += 1;
            return self.fail(slot, STORE, cx);
        }
        let delay = self
            .config
            .store_retry_delay
            .saturating_mul(1 << (actor.tries - 1).min(10));
        self.held.timers.set(slot, cx.now + delay);
    }

    pub(super) fn fence(&mut self, slot: u32, term: u64, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        let (log, owner) = (journal::log(actor.id), actor.owner);
        if self.plant == Some(ActorsPlant::ForgetFence) && actor.tries > 0 {
            return self.step(slot, Op::Tail { log: &log }, cx);
        }
        self.step(
            slot,
            Op::Fence {
                log: &log,
                term,
                owner,
            },
            cx,
        );
    }

    /// A step's operation is over.
    pub(super) fn stepped(&mut self, slot: u32, done: Done<'_>, cx: &mut Lent<'_>) {
        if !core::mem::take(&mut self.held.at_mut(slot).awaiting) {
            return;
        }
        match self.held.at(slot).state {
            State::Fencing => self.fenced(slot, done, cx),
            State::Reading => self.records(slot, done, cx),
            State::Proving => self.proved(slot, done, cx),
            State::Settling => self.settled(slot, done, cx),
            State::Replaying | State::Active | State::Ending => {}
        }
    }

    fn is_ours(&self, slot: u32, cx: &Lent<'_>) -> bool {
        matches!(
            cx.ownership.resolve(self.held.at(slot).id),
            Route::Local | Route::Vacant
        )
    }

    fn fenced(&mut self, slot: u32, done: Done<'_>, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        let (id, term, owner) = (actor.id, actor.term, actor.owner);
        let forgot = self.plant == Some(ActorsPlant::ForgetFence);
        match done {
            Done::Tail {
                term: t,
                owner: o,
                first,
                next,
            } if forgot || (t, o) == (term, owner) => {
                if first > next {
                    return self.again(slot, cx);
                }
                if !self.is_ours(slot, cx) {
                    return self.yield_to_another(slot, cx);
                }
                cx.ownership.claim(cx.now, id, cx.io);
                let actor = self.held.at_mut(slot);
                (actor.term, actor.owner) = (t, o);
                actor.proved_at = Some(actor.stepped_at);
                (actor.claimed, actor.tries, actor.state) = (true, 0, State::Reading);
                (actor.first, actor.read_from, actor.next, actor.durable) =
                    (first, first, next, next);
                self.advance(slot, cx);
            }
            Done::Fenced { term: present } if present < u64::MAX - 1 => {
                let actor = self.held.at_mut(slot);
                actor.tries += 1;
                actor.term = present.max(term) + 1;
                if actor.tries >= self.config.fence_tries_max || !self.is_ours(slot, cx) {
                    return self.yield_to_another(slot, cx);
                }
                self.advance(slot, cx);
            }
            // The log is sealed: nobody will write to it any more.
            Done::Fenced { .. } => self.fail(slot, STORE, cx),
            Done::Tail { .. }
            | Done::Durable { .. }
            | Done::Records(_)
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Conflict { .. }
            | Done::Unknown => self.again(slot, cx),
        }
    }

    pub(super) fn read(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        if actor.read_from >= actor.next {
            actor.state = State::Replaying;
            return self.advance(slot, cx);
        }
        let (log, from) = (journal::log(actor.id), actor.read_from);
        self.step(
            slot,
            Op::Read {
                log: &log,
                from,
                bytes_max: self.config.read_bytes_max,
            },
            cx,
        );
    }

    fn records(&mut self, slot: u32, done: Done<'_>, cx: &mut Lent<'_>) {
        let from = self.held.at(slot).read_from;
        match done {
            Done::Records(records) if records.iter().any(|(sequence, _)| sequence >= from) => {
                let actor = self.held.at_mut(slot);
                actor.chunk.clear();
                actor.chunk.extend_from_slice(records.0);
                actor.chunk_at = last_snapshot(records);
                (actor.tries, actor.state) = (0, State::Replaying);
                if actor.chunk_at > 0 {
                    // What is older than the snapshot is not needed; a hole in front of it is none.
                    actor.read_from = Records(&actor.chunk[actor.chunk_at..])
                        .iter()
                        .next()
                        .map_or(actor.read_from, |(sequence, _)| {
                            sequence.max(actor.read_from)
                        });
                }
                self.advance(slot, cx);
            }
            Done::Records(_)
            | Done::Durable { .. }
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Tail { .. }
            | Done::Conflict { .. }
            | Done::Fenced { .. }
            | Done::Unknown => self.again(slot, cx),
        }
    }

    /// Takes the next record that was read. One job at a time.
    pub(super) fn replay(&mut self, slot: u32, cx: &mut Lent<'_>) {
        if self.held.at(slot).running.is_some() {
            return;
        }
        match next(self.held.at_mut(slot)) {
            Next::ReadMore => {
                self.held.at_mut(slot).state = State::Reading;
                self.advance(slot, cx);
            }
            Next::Finished => {
                let actor = self.held.at_mut(slot);
                actor.state = State::Active;
                actor.chunk = kept(&mut actor.chunk);
                self.advance(slot, cx);
            }
            Next::Fresh => {
                self.held.at_mut(slot).loaded = true;
                self.run(slot, Work::Load, |_, _| Job::Load { snapshot: None }, cx);
            }
            Next::Record { .. } if self.cuts_short(slot) => self.advance(slot, cx),
            Next::Record { at, len } => self.replay_record(slot, at, len, cx),
            Next::Broken(unreadable) => {
                self.fail(slot, Status::new(Code::Internal, unreadable.0), cx);
            }
        }
    }

    fn cuts_short(&self, slot: u32) -> bool {
        let actor = self.held.at(slot);
        let is_last = actor.records_since > 0 && actor.read_from >= actor.next;
        self.plant == Some(ActorsPlant::ShortReplay) && is_last
    }

    fn replay_record(&mut self, slot: u32, at: usize, len: usize, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        match journal::read(&actor.chunk[at..at + len]) {
            Ok(Record::Snapshot { ids, .. }) => {
                let bytes = ids.len();
                actor.dedupe.clear();
                for id in journal::ids(ids) {
                    actor.dedupe.applied(id, self.config.dedupe_ids);
                }
                (actor.loaded, actor.records_since, actor.bytes_since) = (true, 0, 0);
                let state = at + 4 + bytes..at + len;
                self.run(
                    slot,
                    Work::Load,
                    |actor, _| Job::Load {
                        snapshot: Some(&actor.chunk[state]),
                    },
                    cx,
                );
            }
            Ok(Record::Mutations { request_id, .. }) => {
                if let Some(id) = request_id {
                    actor.dedupe.applied(id, self.config.dedupe_ids);
                }
                actor.records_since += 1;
                actor.bytes_since += len as u64;
                let request = at + 18..at + len;
                self.run(
                    slot,
                    Work::Replay,
                    |actor, _| Job::Replay {
                        request: &actor.chunk[request],
                    },
                    cx,
                );
            }
            Err(unreadable) => self.fail(slot, Status::new(Code::Internal, unreadable.0), cx),
        }
    }
}

/// Where in a run of records the last snapshot begins; 0 if there is none. Looks at two bytes of
/// each record.
fn last_snapshot(records: Records<'_>) -> usize {
    let (mut at, mut found) = (0, 0);
    for (_, payload) in records.iter() {
        if journal::is_snapshot(payload) {
            found = at;
        }
        at += RECORD_HEAD + payload.len();
    }
    found
}

/// Walks past what is not needed to the next record that is. Bounded by the chunk.
fn next(actor: &mut Actor) -> Next {
    loop {
        let rest = actor.chunk.get(actor.chunk_at..).unwrap_or_default();
        let Some((sequence, payload)) = Records(rest).iter().next() else {
            return match (actor.read_from < actor.next, actor.loaded, actor.next) {
                (true, _, _) => Next::ReadMore,
                (false, true, _) => Next::Finished,
                (false, false, 0) => Next::Fresh,
                (false, false, _) => Next::Broken(journal::NO_BEGINNING),
            };
        };
        let (at, len) = (actor.chunk_at + RECORD_HEAD, payload.len());
        if sequence < actor.read_from {
            actor.chunk_at = at + len;
            continue;
        }
        if sequence >= actor.next || (actor.loaded && sequence > actor.read_from) {
            return Next::Broken(journal::CORRUPT);
        }
        if !actor.loaded && sequence == 0 && !journal::is_snapshot(payload) {
            return Next::Fresh;
        }
        actor.chunk_at = at + len;
        actor.read_from = sequence + 1;
        if actor.loaded || journal::is_snapshot(payload) {
            return Next::Record { at, len };
        }
        if let Err(unreadable) = journal::read(payload) {
            // It may be a snapshot of a version to come.
            return Next::Broken(unreadable);
        }
    }
}
