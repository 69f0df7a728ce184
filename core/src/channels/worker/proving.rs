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

impl Worker {
    /// A channel has a consumer: from now on it is asked about.
    pub(super) fn watch_fence(&mut self, slot: u32, lent: &Lent<'_>) {
        if self.proofs.due(slot).is_none() {
            self.proofs.set(slot, lent.now + self.config.proof_interval);
        }
    }

    pub(super) fn prove(&mut self, slot: u32, lent: &mut Lent<'_>) {
        let channel = &mut self.channels[slot as usize];
        let is_open = matches!(channel.lifetime.phase(), Phase::Open(_));
        if !is_open || channel.consumers.is_empty() {
            return;
        }
        let is_proved = core::mem::take(&mut channel.proved);
        if !is_proved && !channel.is_troubled() {
            let of = Of::Proof(Term {
                slot,
                epoch: channel.epoch,
            });
            let op = Op::Tail { log: &channel.log };
            // What the store has no room for now is asked the next time.
            let _ = lent.io.submit(op, of.tag());
        }
        self.watch_fence(slot, lent);
    }

    pub(super) fn proof_done(&mut self, of: Term, done: &Done<'_>, lent: &mut Lent<'_>) {
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
