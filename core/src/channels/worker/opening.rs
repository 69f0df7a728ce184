//! Opening: the fence is raised, the end of the log read, and one time tick put above everything.
//!
//! ```text
//! Fence ──► Read … ──► Append a time tick ──► open
//!   ▲                        │ Conflict, Unknown: somebody's record may have come between
//!   └────────────────────────┘
//! ```
//! The owner may raise the same fence again, so whatever has no outcome is simply done again, from the
//! beginning. Only a log that a later term has ends it.

use super::channel::{Channel, Flow};
use super::clock::TICK_MAX;
use super::tags::{Of, Term};
use super::{Lent, Retention, Worker, WorkerEvent, WorkerPlant, record};
use crate::storage::{Done, Op, Records};

/// How far opening has come. The operation has been submitted, or will be when its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenStep {
    Fencing,
    Reading { from: u64, end: u64 },
    Ticking { end: u64 },
}

impl Worker {
    pub(super) fn start_opening(&mut self, slot: u32, term: u64, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        channel.begin_epoch();
        channel.term = term;
        channel.last_tick = 0;
        channel.opening = Some(OpenStep::Fencing);
        // An opening is one operation, or the wait for the next: two would take each other's answers.
        self.retries.cancel(slot);
        self.go_on_opening(slot, lent);
    }

    pub(super) fn abandon_opening(&mut self, slot: u32) {
        let channel = &mut self.channels[slot as usize];
        channel.opening = None;
        channel.begin_epoch();
        self.retries.cancel(slot);
    }

    /// Submits what comes next.
    pub(super) fn go_on_opening(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let (term, owner) = self.writes_as(self.channels[slot as usize].term);
        let channel = &mut self.channels[slot as usize];
        let Some(step) = channel.opening else { return };
        let op = match step {
            OpenStep::Fencing => Op::Fence {
                log: &channel.log,
                term,
                owner,
            },
            OpenStep::Reading { from, .. } => Op::Read {
                log: &channel.log,
                from,
                bytes_max: self.config.read_bytes_max,
            },
            OpenStep::Ticking { end } => {
                let tick = self.clock.tick(lent.now, channel.last_tick);
                channel.last_tick = tick;
                record::write_tick(&mut self.scratch, channel.term, tick);
                Op::Append {
                    log: &channel.log,
                    term,
                    owner,
                    expected: end,
                    payload: &self.scratch,
                }
            }
        };
        let tag = Of::Opening(Term {
            slot,
            epoch: channel.epoch,
        });
        if lent.io.submit(op, tag.tag()).is_err() {
            self.retry_later(slot, lent);
        }
    }

    pub(super) fn opening_done(&mut self, of: Term, done: &Done<'_>, lent: &mut Lent<'_>) {
        let dedupe_records = self.config.dedupe_records;
        let unread = self.has(WorkerPlant::TailUnread);
        let retention = self.config.retention;
        let Some(channel) = self.at(of) else { return };
        let Some(step) = channel.opening else { return };
        let next = match (step, *done) {
            (_, Done::Fenced { .. }) => return self.cannot_open(of.slot, true, lent),
            (OpenStep::Fencing, Done::Tail { first, next, .. }) => {
                // At least the last record: it has the highest tick.
                let from = next.saturating_sub(u64::from(dedupe_records.max(1)));
                let from = from.max(first);
                channel.extent.begin(first, from);
                OpenStep::Reading { from, end: next }
            }
            // Where there is a record, one is given; nothing is no answer.
            (OpenStep::Reading { from, end }, Done::Records(records)) if !records.is_empty() => {
                match channel.take_tail(records, from, end, dedupe_records, &retention) {
                    Some(step) => step,
                    None => return self.cannot_open(of.slot, false, lent),
                }
            }
            (OpenStep::Ticking { .. }, Done::Durable { sequence }) => {
                return self.channel_opened(of.slot, sequence, lent);
            }
            _ => {
                channel.opening = Some(OpenStep::Fencing);
                channel.dedupe.clear();
                return self.retry_later(of.slot, lent);
            }
        };
        // A log without records needs no reading.
        let is_read = matches!(next, OpenStep::Reading { from, end } if from >= end || unread);
        channel.opening = Some(match next {
            OpenStep::Reading { end, .. } if is_read => OpenStep::Ticking { end },
            OpenStep::Fencing | OpenStep::Reading { .. } | OpenStep::Ticking { .. } => next,
        });
        channel.tries = 0;
        self.go_on_opening(of.slot, lent);
    }

    fn channel_opened(&mut self, slot: u32, sequence: u64, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        channel.opening = None;
        channel.tries = 0;
        channel.flow = Flow::Running;
        channel.next = sequence + 1;
        channel.durable = channel.next;
        channel.extent.count(
            &self.config.retention,
            sequence,
            channel.last_tick,
            record::TICK_BYTES,
        );
        channel.lifetime.opened(channel.term);
        self.counters.opened += 1;
        lent.up.event(WorkerEvent::ChannelOpened {
            channel: &channel.name,
            term: channel.term,
        });
        self.watch_retention(slot, lent);
        self.unsettled.push(slot);
    }

    /// The channel cannot be opened at this term, ever.
    fn cannot_open(&mut self, slot: u32, fenced: bool, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        channel.opening = None;
        channel.why = if fenced {
            super::Why::Fenced
        } else {
            super::Why::Unreadable
        };
        channel.lifetime.failed(channel.term);
        let (name, term) = (&*channel.name, channel.term);
        let event = if fenced {
            self.counters.fenced += 1;
            WorkerEvent::ChannelFenced {
                channel: name,
                term,
            }
        } else {
            WorkerEvent::ChannelUnreadable {
                channel: name,
                term,
            }
        };
        lent.up.event(event);
        self.unsettled.push(slot);
    }
}

impl Channel {
    /// Learns from the last records of the log: the highest tick, and who sent what. Nothing if the very last
    /// one cannot be read, so that the tick is not known.
    fn take_tail(
        &mut self,
        records: Records<'_>,
        from: u64,
        end: u64,
        dedupe_records: u32,
        retention: &Retention,
    ) -> Option<OpenStep> {
        let mut at = from;
        for (sequence, payload) in records.iter().filter(|(at, _)| (from..end).contains(at)) {
            at = sequence + 1;
            let Ok(record) = record::read(payload) else {
                if at == end {
                    return None;
                }
                continue;
            };
            self.last_tick = self.last_tick.max(record.tick);
            self.extent
                .count(retention, sequence, record.tick, payload.len());
            if let Some(origin) = record.origin {
                self.dedupe.insert(origin, sequence, dedupe_records);
            }
        }
        if self.last_tick >= TICK_MAX {
            return None;
        }
        // A record behind the end is met again by the tick, which finds its place taken.
        let mut sequences = records.iter().map(|(sequence, _)| sequence);
        let is_over = at >= end || sequences.next().is_some_and(|first| first >= end);
        Some(if is_over {
            OpenStep::Ticking { end }
        } else {
            OpenStep::Reading { from: at, end }
        })
    }
}
