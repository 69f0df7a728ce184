//! Letting an actor go: because it is idle, by command, because another owns it, because it failed.

use super::calls::Phase;
use super::held::{Leaving, State, Work};
use super::list::{List, NONE};
use super::{Actors, Lent, activation};
use crate::codes;
use crate::ring::actor::Job;
use crate::status::{Code, Status};
use crate::storage::{Done, OwnerId};

impl Actors {
    /// Nothing will be appended any more. Calls in the mailbox stay in it; whoever calls this
    /// decides about them. Records that were never submitted are taken back, with the calls that
    /// depend on them.
    pub(super) fn retire(&mut self, slot: u32, release: bool, cx: &mut Lent<'_>) {
        self.held.leave_idle(slot);
        self.held.timers.cancel(slot);
        let actor = self.held.at_mut(slot);
        actor.next = actor.submitted();
        actor.unsent_kind = None;
        (actor.state, actor.awaiting) = (State::Ending, false);
        let (id, next) = (actor.id, actor.next);
        if core::mem::take(&mut actor.claimed) && release {
            cx.ownership.release(cx.now, id, cx.io);
        }
        while let Some(call) = self.held.at(slot).held.tail() {
            if self.calls.at(call).after <= next {
                break;
            }
            self.unlink(call);
            self.put_back(call, slot);
        }
    }

    /// Routes what is in the mailbox. Bounded by `mailbox_calls_max`.
    fn reroute(&mut self, slot: u32, cx: &mut Lent<'_>) {
        while let Some(call) = self.held.at(slot).mailbox.head() {
            self.unlink(call);
            self.route_or_free(call, cx);
        }
    }

    pub(super) fn route_or_free(&mut self, call: u32, cx: &mut Lent<'_>) {
        if self.is_unwanted(call) {
            self.free_call(call)
        } else {
            self.route(call, cx)
        }
    }

    /// Another owner has the log: what was not run is routed again when its claim has had time to
    /// travel.
    pub(super) fn lose(&mut self, slot: u32, cx: &mut Lent<'_>) {
        self.counters.fenced += 1;
        self.yield_to_another(slot, cx);
    }

    pub(super) fn yield_to_another(&mut self, slot: u32, cx: &mut Lent<'_>) {
        self.held.at_mut(slot).lost = true;
        self.retire(slot, true, cx);
        while let Some(call) = self.held.at(slot).mailbox.head() {
            self.unlink(call);
            self.moved(call, cx);
        }
        self.conclude(slot, cx);
    }

    /// The actor cannot be had: callers whose messages were not run are told why. Of the others those
    /// whose records may have been written are told that nobody knows.
    pub(super) fn fail(&mut self, slot: u32, status: Status<'_>, cx: &mut Lent<'_>) {
        self.counters.failed += 1;
        self.retire(slot, true, cx);
        while let Some(call) = self.held.at(slot).mailbox.head() {
            self.finish(call, Err(status), cx);
        }
        self.conclude(slot, cx);
    }

    /// The actor's code failed: its memory goes, what is appended stays, the next call loads it.
    pub(super) fn crashed(&mut self, slot: u32, cx: &mut Lent<'_>) {
        self.counters.failed += 1;
        self.retire(slot, true, cx);
        self.reroute(slot, cx);
        self.conclude(slot, cx);
    }

    /// The directory says that another claims it with better right. It is told nothing back.
    pub(super) fn evict(&mut self, slot: u32, cx: &mut Lent<'_>) {
        if self.held.at(slot).state == State::Ending {
            return;
        }
        self.counters.evicted += 1;
        self.retire(slot, false, cx);
        self.reroute(slot, cx);
        self.conclude(slot, cx);
    }

    /// Lets an actor go once its mailbox is empty.
    pub(super) fn leave(&mut self, slot: u32, why: Leaving, cx: &mut Lent<'_>) {
        self.held.leave_idle(slot);
        self.held.at_mut(slot).leaving = why;
        self.advance(slot, cx);
    }

    /// An append had no outcome and all others have come: the fence was raised above the term they
    /// were made under, so that none of them can land any more, and the tail tells which did.
    pub(super) fn settled(&mut self, slot: u32, done: Done<'_>, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        let (own, submitted, durable) = (
            actor.term.saturating_add(1),
            actor.submitted(),
            actor.durable,
        );
        let is_own = |term: u64, owner: OwnerId| term == own && owner == actor.owner;
        match done {
            Done::Tail {
                term, owner, next, ..
            } if is_own(term, owner) => {
                if next < durable || next > submitted {
                    return self.lose(slot, cx);
                }
                let actor = self.held.at_mut(slot);
                (actor.term, actor.tries, actor.durable) = (own, 0, next);
                actor.proved_at = Some(actor.stepped_at);
                let landed = actor
                    .appends
                    .iter()
                    .rfind(|append| append.snapshot && append.sequence < next);
                let snapshot = landed.map(|append| append.sequence);
                actor.appends.clear();
                if let Some(sequence) = snapshot {
                    self.trim(slot, sequence, cx);
                }
                self.release_held(slot, cx);
                if next == submitted {
                    self.held.at_mut(slot).state = State::Active;
                    return self.advance(slot, cx);
                }
                self.unwind(slot, cx);
            }
            Done::Fenced { .. } => self.lose(slot, cx),
            Done::Tail { .. }
            | Done::Durable { .. }
            | Done::Records(_)
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Conflict { .. }
            | Done::Unknown => self.again(slot, cx),
        }
    }

    /// Memory is ahead of the log: those whose records did not land are told so, and the actor is
    /// loaded anew for the others.
    fn unwind(&mut self, slot: u32, cx: &mut Lent<'_>) {
        self.retire(slot, true, cx);
        while let Some(call) = self.held.at(slot).held.head() {
            self.finish(call, Err(activation::STORE), cx);
        }
        self.reroute(slot, cx);
        self.conclude(slot, cx);
    }

    /// When no job runs and no append is out, what was not proved is said to be unknown and the
    /// memory is dropped.
    pub(super) fn conclude(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at(slot);
        if actor.running.is_some() || actor.in_flight() {
            return;
        }
        while let Some(call) = self.held.at(slot).held.head() {
            self.finish(call, Err(Status::new(Code::Aborted, codes::MOVED)), cx);
        }
        let actor = self.held.at_mut(slot);
        actor.appends.clear();
        if core::mem::take(&mut actor.loaded) {
            return self.run(slot, Work::Drop, |_, _| Job::Drop, cx);
        }
        self.free(slot, cx);
    }

    /// The actor is gone: the calls that waited for that are routed again.
    pub(super) fn free(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let mut parked = self.held.at(slot).parked;
        self.held.remove(slot);
        let mut next = parked.head();
        while let Some(call) = next {
            let entry = self.calls.at_mut(call);
            (entry.phase, entry.actor) = (Phase::Routing, NONE);
            next = List::after(&self.calls.slots, call);
        }
        while let Some(call) = parked.head() {
            parked.remove(&mut self.calls.slots, call);
            self.route_or_free(call, cx);
        }
    }
}
