//! Where calls are and how they end.

use super::calls::{Origin, Phase};
use super::list::NONE;
use super::{Actors, ActorsEvent, Lent};
use crate::codes;
use crate::machine::Full;
use crate::status::{Code, Status};

/// The owner was lost while it may have applied the call.
pub(super) const LOST: Status<'_> = Status::new(Code::Unknown, codes::OWNER_LOST);

/// That a later try changed nothing says nothing about an earlier one, of which nothing was heard.
const fn in_doubt(doubtful: bool, status: Status<'_>) -> Status<'_> {
    let harmless = matches!(status.code, Code::Unavailable | Code::ResourceExhausted);
    if doubtful && harmless { LOST } else { status }
}

/// Gives an answer to whoever waits for it.
fn deliver(origin: Origin, result: Result<&[u8], Status<'_>>, cx: &mut Lent<'_>) {
    match (origin, result) {
        (Origin::Gone, _) => {}
        (Origin::Local(call), result) => (cx.up)(ActorsEvent::Answer { call, result }),
        (Origin::Stream(stream), Err(status)) => cx.io.end(stream, status),
        (Origin::Stream(stream), Ok(bytes)) => {
            let sent = cx
                .io
                .frame(stream, bytes.len())
                .map(|frame| frame.copy_from_slice(bytes));
            let status = match sent {
                Ok(()) => Status::OK,
                Err(Full) => Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            };
            cx.io.end(stream, status);
        }
    }
}

impl Actors {
    /// Ends a call and those that joined it: with the reply it holds, or with a status.
    pub(super) fn finish(&mut self, slot: u32, result: Result<(), Status<'_>>, cx: &mut Lent<'_>) {
        self.tell(slot, result, cx);
        self.free_call(slot);
    }

    fn tell(&mut self, slot: u32, result: Result<(), Status<'_>>, cx: &mut Lent<'_>) {
        self.unlink(slot);
        let call = self.calls.at(slot);
        let result = result.map_err(|status| in_doubt(call.doubtful, status));
        deliver(call.origin, result.map(|()| call.reply.as_slice()), cx);
        while let Some(follower) = self.calls.at(slot).followers.head() {
            self.unlink(follower);
            // One request, sent twice: whoever was in doubt before it joined still is.
            let (joined, call) = (self.calls.at(follower), self.calls.at(slot));
            let result = result.map_err(|status| in_doubt(joined.doubtful, status));
            deliver(joined.origin, result.map(|()| call.reply.as_slice()), cx);
            self.free_call(follower);
        }
    }

    /// Ends a call whose answer depends on nothing that is not durable, and keeps the answer for
    /// those who ask again.
    pub(super) fn finish_well(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let actor = self.calls.at(slot).actor;
        self.tell(slot, Ok(()), cx);
        let call = self.calls.at_mut(slot);
        if let Some(id) = call.request_id {
            let dedupe = &mut self.held.at_mut(actor).dedupe;
            dedupe.keep(
                id,
                &mut call.reply,
                self.config.answers_bytes_max,
                self.config.dedupe_ids,
            );
        }
        self.free_call(slot);
    }

    /// Nobody waits for a call any more: it leaves the queues, unless others joined it or an actor
    /// has begun with it.
    pub(super) fn abandon(&mut self, slot: u32, cx: &mut Lent<'_>) {
        self.calls.orphan(slot);
        let call = self.calls.at(slot);
        let (phase, actor) = (call.phase, call.actor);
        if !call.followers.is_empty() || matches!(phase, Phase::Running | Phase::Held) {
            return;
        }
        if let Phase::Forwarded { stream, .. } = phase {
            cx.io
                .end(stream, Status::new(Code::Cancelled, codes::DEADLINE));
        }
        self.unlink(slot);
        self.free_call(slot);
        if matches!(phase, Phase::Queued | Phase::Parked) {
            self.advance(actor, cx);
        }
    }

    pub(super) fn is_unwanted(&self, slot: u32) -> bool {
        let call = self.calls.at(slot);
        call.origin == Origin::Gone && call.followers.is_empty()
    }

    /// Frees the slot of a call that no list holds.
    pub(super) fn free_call(&mut self, slot: u32) {
        if let Some(drain) = &mut self.drain {
            drain.early -= u32::from(!self.calls.at(slot).late);
        }
        self.calls.remove(slot);
    }

    /// Takes a call out of whatever holds it.
    pub(super) fn unlink(&mut self, slot: u32) {
        let call = self.calls.at(slot);
        let (phase, actor) = (call.phase, call.actor);
        let calls = &mut self.calls.slots;
        match phase {
            Phase::Waiting => {
                self.waiting.remove(calls, slot);
                self.waiting_count -= 1;
            }
            Phase::Queued => self.held.at_mut(actor).mailbox.remove(calls, slot),
            Phase::Held => self.held.at_mut(actor).held.remove(calls, slot),
            Phase::Parked => self.held.at_mut(actor).parked.remove(calls, slot),
            Phase::Joined { original } => {
                let mut list = calls[original as usize].followers;
                list.remove(calls, slot);
                calls[original as usize].followers = list;
            }
            Phase::Open
            | Phase::Routing
            | Phase::Delayed
            | Phase::Probing
            | Phase::Running
            | Phase::Forwarded { .. } => {}
        }
        if actor != NONE {
            self.held.at_mut(actor).calls -= 1;
        }
        let call = self.calls.at_mut(slot);
        (call.phase, call.actor) = (Phase::Routing, NONE);
        self.calls.wake(slot, None);
    }

    /// Puts a call that nothing holds at the end of one of an actor's lists.
    pub(super) fn place(&mut self, slot: u32, actor: u32, phase: Phase) {
        self.occupy(slot, actor, phase);
        let actor = self.held.at_mut(actor);
        let list = match phase {
            Phase::Queued => &mut actor.mailbox,
            Phase::Held => &mut actor.held,
            Phase::Parked => &mut actor.parked,
            Phase::Open
            | Phase::Routing
            | Phase::Waiting
            | Phase::Delayed
            | Phase::Probing
            | Phase::Forwarded { .. }
            | Phase::Running
            | Phase::Joined { .. } => return,
        };
        list.push_back(&mut self.calls.slots, slot);
    }

    /// Puts a call back to the front of an actor's mailbox.
    pub(super) fn put_back(&mut self, slot: u32, actor: u32) {
        self.occupy(slot, actor, Phase::Queued);
        self.held
            .at_mut(actor)
            .mailbox
            .push_front(&mut self.calls.slots, slot);
    }

    fn occupy(&mut self, slot: u32, actor: u32, phase: Phase) {
        self.held.at_mut(actor).calls += 1;
        let call = self.calls.at_mut(slot);
        (call.phase, call.actor) = (phase, actor);
    }
}
