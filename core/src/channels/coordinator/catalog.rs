//! The metas of the channels, written and read: so many at a time, one at a time for each channel.

use alloc::boxed::Box;

use super::channels::Doing;
use super::lead::{FENCE_KEY, fence_token};
use super::ledger::Owed;
use super::meta::Meta;
use super::{Coordinator, CoordinatorEvent, DUE_CATALOG, FULL_WAIT, Kind, Lent};
use crate::codes;
use crate::machine::Full;
use crate::storage::{Done, Op};

impl Coordinator {
    /// A channel is to be written, or read again: when it is its turn.
    pub(super) fn queue_at_catalog(&mut self, at: u32, lent: &mut Lent<'_>) {
        self.channels.at_mut(at).doing = Doing::CatalogTurn;
        self.catalog_queue.push_back(at);
        if self.timers.due(DUE_CATALOG).is_none() {
            self.next_at_catalog(lent);
        }
    }

    /// Those whose turn it is.
    pub(super) fn next_at_catalog(&mut self, lent: &mut Lent<'_>) {
        while self.catalog_busy < self.config.writes_max {
            let Some(at) = self.catalog_queue.pop_front() else {
                return;
            };
            if self.submit_meta(at, lent).is_err() {
                self.catalog_queue.push_front(at);
                self.timers.set(DUE_CATALOG, lent.now + FULL_WAIT);
                return;
            }
            self.catalog_busy += 1;
        }
    }

    fn submit_meta(&mut self, at: u32, lent: &mut Lent<'_>) -> Result<(), Full> {
        let tag = self.tag(Kind::Meta, at);
        let attempt = self.attempts;
        let slot = self.channels.at_mut(at);
        self.key.clear();
        self.key.extend_from_slice(self.prefix.as_bytes());
        self.key.extend_from_slice(slot.name.as_bytes());
        let to_write = slot.ledger.to_write();
        let to_write = to_write.filter(|_| slot.ledger.owed() == Owed::Write);
        let op = match to_write {
            _ if slot.found.is_some() => Op::Load { key: FENCE_KEY },
            Some((meta, revision)) => {
                meta.write(&slot.name, &mut self.value);
                Op::Cas {
                    key: &self.key,
                    fence: self.token,
                    revision,
                    value: &self.value,
                }
            }
            None => Op::Load { key: &self.key },
        };
        lent.io.submit(op, tag)?;
        slot.doing = Doing::Catalog;
        slot.attempt = attempt;
        Ok(())
    }

    /// The catalog has answered about a channel.
    pub(super) fn hear_meta(&mut self, at: u32, attempt: u32, done: Done<'_>, lent: &mut Lent<'_>) {
        let slot = self.channels.get(at).filter(|slot| slot.attempt == attempt);
        if slot.is_none_or(|slot| slot.doing != Doing::Catalog) {
            return;
        }
        self.catalog_busy -= 1;
        let slot = self.channels.at_mut(at);
        slot.doing = Doing::Nothing;
        let was_created = slot.ledger.is_created();
        match done {
            Done::Durable { sequence } => {
                slot.ledger.written(sequence);
                self.counters.writes += 1;
                self.meta_changed(at, lent);
            }
            Done::Value { value, .. } if slot.found.is_some() => {
                if fence_token(value) != Some(self.token) {
                    return self.lose_leadership(codes::CATALOG_FENCED, lent);
                }
                let found = slot.found.take().map(|found| *found);
                slot.ledger.read(found);
                self.meta_changed(at, lent);
            }
            Done::Value { revision: 0, .. } => {
                slot.ledger.read(None);
                self.meta_changed(at, lent);
            }
            Done::Value { revision, value } => match Meta::parse(&slot.name, value) {
                Ok(meta) if slot.ledger.knows(&meta, revision) => {
                    slot.ledger.read(Some((meta, revision)));
                    self.meta_changed(at, lent);
                }
                // Perhaps an earlier write of this leader that came through after all, perhaps a later leader's.
                Ok(meta) => {
                    slot.found = Some(Box::new((meta, revision)));
                    return self.queue_at_catalog(at, lent);
                }
                Err(_) => return self.meta_damaged(at, lent),
            },
            Done::Fenced { .. } => return self.lose_leadership(codes::CATALOG_FENCED, lent),
            // The revision was another: somebody wrote, or an earlier write came through after all.
            Done::Conflict { .. } => slot.ledger.doubt(),
            Done::Unknown | Done::Records(_) | Done::Values(_) | Done::Tail { .. } => {
                slot.ledger.doubt();
                slot.found = None;
                self.back_off(at, "the store did not answer", lent);
            }
        }
        let slot = self.channels.at(at);
        if slot.ledger.is_created() && !was_created {
            let channel = &slot.name;
            lent.up.event(CoordinatorEvent::Created { channel });
        }
        self.next_at_catalog(lent);
        self.step(at, lent);
    }

    /// The value is none of ours: it is left alone, and so is the channel.
    fn meta_damaged(&mut self, at: u32, lent: &mut Lent<'_>) {
        self.stop(at, codes::DAMAGED_META, lent);
        self.next_at_catalog(lent);
    }
}
