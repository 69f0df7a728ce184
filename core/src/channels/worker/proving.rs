//! Whether a channel that nobody writes to is still this node's.
//!
//! Whoever appends or trims is told by the log that a later term has it. Somebody who only consumes would wait for
//! ever at a node that was silent for a while, was succeeded, and came back: no record will come by way of it, and it
//! hears of no removal. So the log of a channel with consumers is asked for its fence, unless it took a record
//! since it was asked last.

use super::channel::Flow;
use super::lifetime::Phase;
use super::tags::{Of, Term};
use super::{Lent, Worker};
use crate::storage::{Done, Op};

/// Questions that the store has at once: many channels may be due in one moment, after a silence above all.
const PROVING_MAX: u32 = 64;

impl Worker {
    /// A channel has a consumer: from now on it is asked about.
    pub(super) fn watch_fence(&mut self, slot: u32, lent: &Lent<'_>) {
        if self.proofs.due(slot).is_none() {
            self.channels[slot as usize].proved = false;
            let next = lent.now + self.config.proof_interval;
            self.proofs.set(slot, next);
        }
    }

    pub(super) fn prove(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        let is_open = matches!(channel.lifetime.phase(), Phase::Open(_));
        if !is_open || channel.consumers.is_empty() {
            return;
        }
        let mut wait = self.config.proof_interval;
        if !core::mem::take(&mut channel.proved) && !channel.is_troubled() {
            let of = Of::Proof(Term {
                slot,
                epoch: channel.epoch,
            });
            let op = Op::Tail { log: &channel.log };
            if self.proving < PROVING_MAX && lent.io.submit(op, of.tag()).is_ok() {
                self.proving += 1;
            } else {
                wait = self.config.store_retry_delay;
            }
        }
        self.proofs.set(slot, lent.now + wait);
    }

    pub(super) fn proof_done(&mut self, of: Term, done: &Done<'_>, lent: &mut Lent<'_>) {
        self.proving = self.proving.saturating_sub(1);
        let Some(ours) = self.at(of).map(|channel| channel.term) else {
            return;
        };
        // What is not known is asked for again.
        let Done::Tail { term, owner, .. } = *done else {
            return;
        };
        if (term, owner) == self.writes_as(ours) {
            return;
        }
        self.fence(of.slot, lent);
        // If the log is being looked at already, it is asked once.
        if matches!(self.channels[of.slot as usize].flow, Flow::Draining { .. }) {
            self.go_on_recovering(of.slot, lent);
        }
    }
}
