//! What is forgotten of a channel's log, and when: by [`Retention`](super::Retention), and when somebody says so.
//!
//! The log compares term and owner of a trim as it does of an append, so whoever has lost the channel forgets
//! nothing. A trim whose outcome is not known is made again at the next look: to forget twice is to forget once.

use super::channel::Flow;
use super::lifetime::Phase;
use super::tags::{Of, Term};
use super::{Lent, Worker, WorkerEvent, WorkerPlant, WorkerRefused, record};
use crate::machine::Full;
use crate::storage::{Done, Op, Records};

/// Pages that are read at most from one look to the next.
const PAGES_MAX: u8 = 16;

impl Worker {
    /// From now on it is looked at whether there is something to forget.
    pub(super) fn watch_retention(&mut self, slot: u32, lent: &Lent<'_>) {
        if self.config.retention.forgets() {
            self.looks
                .set(slot, lent.now + self.config.retention.interval);
        }
    }

    /// Looks whether there is something to forget of a channel.
    pub(super) fn look(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        if !matches!(channel.lifetime.phase(), Phase::Open(_)) {
            return;
        }
        channel.extent.pages = PAGES_MAX;
        self.watch_retention(slot, lent);
        self.survey_or_forget(slot, lent);
    }

    fn survey_or_forget(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let retention = &self.config.retention;
        let cutoff = retention.cutoff(self.clock.tick(lent.now, 0));
        let channel = &mut self.channels[slot as usize];
        if channel.extent.busy || channel.is_troubled() {
            return;
        }
        let to_survey = channel.extent.to_survey(retention, cutoff);
        if let Some(from) = to_survey.filter(|_| channel.extent.pages > 0) {
            channel.extent.pages -= 1;
            let op = Op::Read {
                log: &channel.log,
                from,
                bytes_max: self.config.read_bytes_max,
            };
            let of = Of::Survey(Term {
                slot,
                epoch: channel.epoch,
            });
            channel.extent.busy = lent.io.submit(op, of.tag()).is_ok();
            return;
        }
        let mut keep_from = channel.extent.keep_from(retention, cutoff);
        if cutoff.is_some_and(|cutoff| channel.last_tick <= cutoff) {
            keep_from = Some(channel.durable);
        }
        if keep_from.is_some() && self.plant == Some(WorkerPlant::ForgetsEarly) {
            keep_from = Some(channel.durable);
        }
        // The last record stays: it has the tick that the next term must be above.
        let keep_from = keep_from
            .unwrap_or(0)
            .min(channel.durable.saturating_sub(1));
        let keep_from = keep_from.min(self.given_to_all(slot));
        if keep_from > self.channels[slot as usize].extent.first() {
            let submitted = self.submit_trim(slot, keep_from, lent);
            self.channels[slot as usize].extent.busy = submitted.is_ok();
        }
    }

    /// The first record that some consumer has not been given, if that holds back.
    fn given_to_all(&self, slot: u32) -> u64 {
        if !self.config.retention.acknowledged {
            return u64::MAX;
        }
        let consumers = self.channels[slot as usize].consumers.iter();
        let next = consumers.filter_map(|key| self.next_of(*key));
        next.min().unwrap_or(u64::MAX)
    }

    /// A page on the way from the first record on was read.
    pub(super) fn surveyed(&mut self, of: Term, done: &Done<'_>, lent: &mut Lent<'_>) {
        let retention = self.config.retention;
        let Some(channel) = self.at(of) else { return };
        channel.extent.busy = false;
        // What is not known is asked for again at the next look.
        let Done::Records(records) = *done else {
            return;
        };
        channel.survey_page(&retention, records);
        self.survey_or_forget(of.slot, lent);
    }

    /// Forgets the records below a number, as it was told to.
    pub(super) fn trim(
        &mut self,
        name: &str,
        before: u64,
        lent: &mut Lent<'_>,
    ) -> Result<(), WorkerRefused> {
        let slot = self.find(name).ok_or(WorkerRefused::NotOpen)?;
        let channel = &self.channels[slot as usize];
        channel.lifetime.open_at().ok_or(WorkerRefused::NotOpen)?;
        // The last record stays: it has the tick that the next term must be above.
        if before >= channel.durable {
            return Err(WorkerRefused::NotThere);
        }
        if channel.is_troubled() {
            return Err(WorkerRefused::Busy);
        }
        self.submit_trim(slot, before, lent)
            .map_err(|_| WorkerRefused::Busy)
    }

    fn submit_trim(&self, slot: u32, before: u64, lent: &mut Lent<'_>) -> Result<(), Full> {
        let channel = &self.channels[slot as usize];
        let (term, owner) = self.writes_as(channel.term);
        let op = Op::Trim {
            log: &channel.log,
            term,
            owner,
            before,
        };
        let of = Of::Trim(Term {
            slot,
            epoch: channel.epoch,
        });
        lent.io.submit(op, of.tag())
    }

    pub(super) fn trimmed(&mut self, of: Term, done: &Done<'_>, lent: &mut Lent<'_>) {
        let Some(channel) = self.at(of) else { return };
        channel.extent.busy = false;
        match *done {
            Done::Durable { sequence } => {
                channel.extent.forget(sequence);
                self.counters.trims += 1;
                let channel = &self.channels[of.slot as usize];
                lent.up.event(WorkerEvent::ChannelTrimmed {
                    channel: &channel.name,
                    first: sequence,
                });
            }
            Done::Fenced { .. } => {
                self.fence(of.slot, lent);
                // If the log is being looked at, it is asked once.
                if matches!(self.channels[of.slot as usize].flow, Flow::Draining { .. }) {
                    self.go_on_recovering(of.slot, lent);
                }
            }
            // What was not forgotten is found at the next look, or asked for again.
            Done::Unknown
            | Done::Conflict { .. }
            | Done::Records(_)
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Tail { .. } => {}
        }
    }
}

impl super::channel::Channel {
    fn survey_page(&mut self, retention: &super::Retention, records: Records<'_>) {
        let mut tick = 0;
        let mut is_empty = true;
        for (sequence, payload) in records.iter() {
            is_empty = false;
            // One that cannot be read is as old as the one before it.
            tick = record::read(payload).map_or(tick, |record| record.tick);
            self.extent.survey(retention, sequence, tick, payload.len());
        }
        if is_empty {
            self.extent.survey_over();
        }
    }
}
