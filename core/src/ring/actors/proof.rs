//! What an actor remembers is worth no more than its claim to the log: before a Get relies on it,
//! the log has said so lately.
//!
//! A fence, a durable append and a look at the tail each prove that the log was this node's at some
//! time after they were submitted, and so that all of it was in memory then: nobody else could have
//! written to it without raising the fence.

use super::held::State;
use super::{Actors, ActorsPlant, Lent, journal};
use crate::storage::{Done, Op};
use crate::time::Instant;

impl Actors {
    /// Whether memory may be shown without asking the log.
    pub(super) fn is_proved(&self, slot: u32, now: Instant) -> bool {
        let proved_at = self.held.at(slot).proved_at;
        self.plant == Some(ActorsPlant::TrustMemory)
            || proved_at.is_some_and(|at| now.since(at) <= self.config.proof_age_max)
    }

    /// The Get at the head of the mailbox waits for the log.
    pub(super) fn prove_log(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        (actor.state, actor.tries) = (State::Proving, 0);
        self.counters.proofs += 1;
        self.ask_log(slot, cx);
    }

    pub(super) fn ask_log(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let log = journal::log(self.held.at(slot).id);
        self.step(slot, Op::Tail { log: &log }, cx);
    }

    /// The log has spoken.
    pub(super) fn proved(&mut self, slot: u32, done: Done<'_>, cx: &mut Lent<'_>) {
        let actor = self.held.at_mut(slot);
        match done {
            Done::Tail { term, owner, .. } if (term, owner) == (actor.term, actor.owner) => {
                actor.proved_at = Some(actor.stepped_at);
                (actor.state, actor.tries) = (State::Active, 0);
                self.advance(slot, cx);
            }
            Done::Tail { .. } | Done::Fenced { .. } => self.lose(slot, cx),
            Done::Durable { .. }
            | Done::Records(_)
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Conflict { .. }
            | Done::Unknown => self.again(slot, cx),
        }
    }
}
