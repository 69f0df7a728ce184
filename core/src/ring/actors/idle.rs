//! What time does: deadlines of handles, second tries, actors nobody calls, and the drain.

use super::calls::Phase;
use super::held::{Leaving, State};
use super::{Actors, ActorsEvent, Drain, Lent};
use crate::codes;
use crate::status::{Code, Status};

impl Actors {
    pub(super) fn pass_time(&mut self, cx: &mut Lent<'_>) {
        while let Some(slot) = self.calls.pop_due(cx.now) {
            self.call_due(slot, cx);
        }
        while let Some((slot, _)) = self.held.timers.pop_due(cx.now) {
            self.advance(slot, cx);
        }
        while let Some((slot, since)) = self.held.idlest() {
            if since + self.config.idle_timeout > cx.now {
                break;
            }
            self.counters.expired += 1;
            self.leave(slot, Leaving::Idle, cx);
        }
    }

    fn call_due(&mut self, slot: u32, cx: &mut Lent<'_>) {
        if self
            .calls
            .own_deadline(slot)
            .is_some_and(|deadline| deadline <= cx.now)
        {
            return self.deadline_passed(slot, cx);
        }
        match self.calls.at(slot).phase {
            Phase::Delayed => {
                self.unlink(slot);
                self.route_or_free(slot, cx);
            }
            Phase::Waiting => self.refuse(slot, Code::Unavailable, codes::NOT_READY, cx),
            Phase::Open
            | Phase::Routing
            | Phase::Probing
            | Phase::Forwarded { .. }
            | Phase::Queued
            | Phase::Running
            | Phase::Held
            | Phase::Parked
            | Phase::Joined { .. } => self.calls.wake(slot, None),
        }
    }

    /// A handle waits no longer. What the call does, if it was begun, stays done.
    fn deadline_passed(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let status = Status::new(Code::DeadlineExceeded, codes::DEADLINE);
        if let super::Origin::Local(call) = self.calls.at(slot).origin {
            (cx.up)(ActorsEvent::Answer {
                call,
                result: Err(status),
            });
        }
        self.abandon(slot, cx);
    }

    pub(super) fn start_drain(&mut self, cx: &mut Lent<'_>) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain {
            early: self.calls.live(),
            told: false,
        });
        for slot in self.held.live_slots() {
            let actor = self.held.at(slot);
            if actor.live && actor.state != State::Ending {
                self.leave(slot, Leaving::Told, cx);
            }
        }
    }

    pub(super) fn tell_if_drained(&mut self, cx: &mut Lent<'_>) {
        let held = self.held.live();
        if let Some(drain) = self
            .drain
            .as_mut()
            .filter(|drain| drain.early == 0 && held == 0 && !drain.told)
        {
            drain.told = true;
            (cx.up)(ActorsEvent::Drained);
        }
    }
}
