//! After an append whose outcome is not known: what does the log hold?
//!
//! ```text
//! Running ──► Draining ──► Looking ──► Reading … ──► Running, or Over if the fence is another's
//!             (all outcomes (Tail)      (records of what
//!              have come)                is not known)
//! ```
//! A record is ours if it has the term and the tick that it was to have: ticks are given once at a term, and
//! the log let only one owner have the term. What is not there when all that was submitted has ended never
//! will be, since the log does its operations in their order.

use super::channel::{Fate, Flow, is_unknown};
use super::tags::{Of, Term};
use super::why::Why;
use super::{Lent, Worker, WorkerPlant, record};
use crate::storage::{Done, Op, Records};

impl Worker {
    /// Submits what comes next, if nothing is in flight any more.
    pub(super) fn go_on_recovering(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        if channel.in_flight > 0 {
            return;
        }
        let op = match channel.flow {
            Flow::Running | Flow::Over => return,
            Flow::Draining { look: false } => return self.over(slot, lent),
            Flow::Draining { look: true } | Flow::Looking => {
                channel.flow = Flow::Looking;
                Op::Tail { log: &channel.log }
            }
            Flow::Reading { from, .. } => Op::Read {
                log: &channel.log,
                from,
                bytes_max: self.config.read_bytes_max,
            },
        };
        let tag = Of::Recovery(Term {
            slot,
            epoch: channel.epoch,
        });
        let submitted = lent.io.submit(op, tag.tag());
        self.retries.cancel(slot);
        if submitted.is_err() {
            self.retry_later(slot, lent);
        }
    }

    pub(super) fn recovery_done(&mut self, of: Term, done: &Done<'_>, lent: &mut Lent<'_>) {
        let Some(term) = self.at(of).map(|channel| channel.term) else {
            return;
        };
        let ours = self.writes_as(term);
        let unlooked = self.has(WorkerPlant::UnknownIsLost);
        let slot = of.slot;
        let channel = &mut self.channels[slot as usize];
        match (channel.flow, *done) {
            (
                Flow::Looking,
                Done::Tail {
                    term,
                    owner: present,
                    next: end,
                    ..
                },
            ) => {
                let fenced = (term, present) != ours;
                let from = if unlooked { end } else { channel.base() };
                channel.flow = Flow::Reading { from, end, fenced };
                channel.tries = 0;
                self.counters.recoveries += 1;
            }
            // The last record is always kept, so there is one; nothing is no answer.
            (Flow::Reading { .. }, Done::Records(records)) if records.is_empty() => {
                return self.retry_later(slot, lent);
            }
            (Flow::Reading { from, end, fenced }, Done::Records(records)) => {
                let at = self.found(slot, records, from, end, lent);
                let from = if at == from { end } else { at };
                // What was found may have been the last that the channel's close waited for.
                let Some(channel) = self.at(of) else { return };
                channel.flow = Flow::Reading { from, end, fenced };
            }
            _ if is_unknown(done) => return self.retry_later(slot, lent),
            _ => return,
        }
        if let Flow::Reading { from, end, fenced } = self.channels[slot as usize].flow {
            if from >= end {
                return self.resolved(slot, end, fenced, lent);
            }
        }
        self.go_on_recovering(slot, lent);
    }

    /// Compares records with what was to be written. Returns the number behind the last.
    fn found(
        &mut self,
        slot: u32,
        records: Records<'_>,
        from: u64,
        end: u64,
        lent: &mut Lent<'_>,
    ) -> u64 {
        let mut behind = from;
        for (sequence, payload) in records.iter().take_while(|(at, _)| *at < end) {
            behind = sequence + 1;
            let Ok(record) = record::read(payload) else {
                continue;
            };
            let channel = &mut self.channels[slot as usize];
            channel.last_tick = channel.last_tick.max(record.tick);
            let term = channel.term;
            // What is found leaves from the front, so the first number changes.
            let at = sequence.checked_sub(channel.base()).map(|at| at as usize);
            let pending = at.and_then(|at| Some((at, channel.pending.get_mut(at)?)));
            let Some((at, pending)) = pending else {
                continue;
            };
            let is_ours = (record.term, record.tick) == (term, pending.tick);
            if is_ours && pending.fate == Fate::Unknown {
                pending.fate = Fate::Written;
                self.written(slot, at, lent);
            }
        }
        behind
    }

    /// All that can be known is: what was not found was not written.
    fn resolved(&mut self, slot: u32, end: u64, fenced: bool, lent: &mut Lent<'_>) {
        let why = if fenced {
            Why::Fenced
        } else {
            Why::NotAppended
        };
        for at in 0..self.channels[slot as usize].pending.len() {
            let pending = &self.channels[slot as usize].pending[at];
            if pending.fate == Fate::Unknown {
                self.not_written(slot, at, why, lent);
            }
        }
        if fenced {
            self.fence(slot, lent);
            return self.over(slot, lent);
        }
        let channel = &mut self.channels[slot as usize];
        channel.pending.clear();
        channel.next = end;
        channel.durable = end;
        channel.flow = Flow::Running;
        self.wake(slot, lent);
        self.pump(slot, lent);
        self.check_closed(slot, lent);
    }

    /// Nothing will be appended at this term any more.
    fn over(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        channel.next = channel.base();
        channel.durable = channel.next;
        channel.pending.clear();
        channel.flow = Flow::Over;
        self.refuse_waiting(slot, lent);
        self.check_closed(slot, lent);
    }
}
