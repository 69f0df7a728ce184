//! From a message to the place that can answer it.

use core::fmt::Write;

use trefoil_proto::control_plane::{ApplyRequest, GetRequest};
use trefoil_proto::wire::Decode;

use super::calls::{Phase, Verb};
use super::held::{Leaving, State, Work};
use super::list::List;
use super::ops::{InFlight, Purpose};
use super::{Actors, ActorsPlant, Lent, journal};
use crate::codes;
use crate::id::NodeId;
use crate::ring::ownership::Route;
use crate::status::{Code, Status};
use crate::storage::{Done, Op};

/// A call whose actor went elsewhere is routed again so often; then its caller is told.
const MOVES_MAX: u8 = 2;

const MALFORMED: Status<'_> = Status::new(Code::InvalidArgument, codes::MALFORMED);

/// The actor a message is for.
fn read(verb: Verb, bytes: &[u8], messages_max: u32) -> Result<u64, Status<'static>> {
    match verb {
        Verb::Apply => {
            let mut request = ApplyRequest::default();
            request
                .decode(bytes)
                .and_then(|()| request.check())
                .map_err(|_| MALFORMED)?;
            if request.messages.len() > messages_max as usize {
                return Err(Status::new(Code::InvalidArgument, codes::TOO_MANY_MESSAGES));
            }
            Ok(request.id)
        }
        Verb::Get => {
            let mut request = GetRequest::default();
            request.decode(bytes).map_err(|_| MALFORMED)?;
            Ok(request.id)
        }
    }
}

impl Actors {
    /// The message of a call has come.
    pub(super) fn message(&mut self, slot: u32, bytes: &[u8], cx: &mut Lent<'_>) {
        let id = match read(self.calls.at(slot).verb, bytes, self.config.messages_max) {
            Ok(id) => id,
            Err(status) => {
                self.counters.malformed += 1;
                return self.finish(slot, Err(status), cx);
            }
        };
        if self.calls.request_bytes() + bytes.len() as u64 > self.config.mailbox_bytes_max {
            return self.refuse(slot, Code::ResourceExhausted, codes::MAILBOX_FULL, cx);
        }
        self.calls.fill(slot, bytes);
        let call = self.calls.at_mut(slot);
        (call.id, call.phase) = (id, Phase::Routing);
        self.route(slot, cx);
    }

    /// Ends a call that changed nothing.
    pub(super) fn refuse(&mut self, slot: u32, code: Code, message: &str, cx: &mut Lent<'_>) {
        self.counters.refused += 1;
        self.finish(slot, Err(Status::new(code, message)), cx);
    }

    /// Sends a call that nothing holds to where it belongs.
    pub(super) fn route(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let call = self.calls.at(slot);
        let may_hop = !call.hopped || self.plant == Some(ActorsPlant::DoubleHop);
        match cx.ownership.resolve(call.id) {
            Route::Local | Route::Vacant => self.enter(slot, cx),
            Route::Remote(node) if may_hop => self.forward(slot, node, cx),
            Route::Remote(node) => self.not_owner(slot, node, cx),
            Route::NotReady => self.wait(slot, cx),
            Route::NoMajority => self.refuse(slot, Code::Unavailable, codes::NO_MAJORITY, cx),
        }
    }

    /// The call was forwarded to us and belongs elsewhere: who forwarded it resolves again.
    fn not_owner(&mut self, slot: u32, owner: NodeId, cx: &mut Lent<'_>) {
        let mut text = Text::default();
        // What does not fit is cut off: the code in front is what programs read.
        let _ = write!(
            text,
            "{}; the owner is {}",
            codes::NOT_OWNER,
            cx.io.name(owner)
        );
        self.refuse(slot, Code::Unavailable, text.as_str(), cx);
    }

    /// Until this node knows who owns what.
    fn wait(&mut self, slot: u32, cx: &mut Lent<'_>) {
        if self.waiting_count >= self.config.waiting_max {
            return self.refuse(slot, Code::Unavailable, codes::NOT_READY, cx);
        }
        self.waiting_count += 1;
        self.waiting.push_back(&mut self.calls.slots, slot);
        self.calls.at_mut(slot).phase = Phase::Waiting;
        self.calls
            .wake(slot, Some(cx.now + self.config.waiting_timeout));
    }

    /// Routes the calls again that wait for readiness. Bounded by `waiting_max`.
    pub(super) fn ownership_changed(&mut self, cx: &mut Lent<'_>) {
        for _ in 0..self.waiting_count {
            let Some(slot) = self.waiting.head() else {
                return;
            };
            self.unlink(slot);
            self.route(slot, cx);
        }
    }

    /// Routes a call again after a while, or ends it with `status` if its caller does not wait so
    /// long.
    pub(super) fn later(&mut self, slot: u32, status: Status<'_>, cx: &mut Lent<'_>) {
        let due = cx.now + self.config.retry_delay;
        if self.is_unwanted(slot) {
            return self.free_call(slot);
        }
        if self
            .calls
            .at(slot)
            .deadline
            .is_some_and(|deadline| deadline <= due)
        {
            return self.finish(slot, Err(status), cx);
        }
        self.calls.at_mut(slot).phase = Phase::Delayed;
        self.calls.wake(slot, Some(due));
    }

    /// The actor went elsewhere before the call was run.
    pub(super) fn moved(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let status = Status::new(Code::Aborted, codes::MOVED);
        let call = self.calls.at_mut(slot);
        call.moves += 1;
        if call.moves > MOVES_MAX {
            return self.finish(slot, Err(status), cx);
        }
        self.later(slot, status, cx);
    }

    /// The call belongs here.
    fn enter(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let (id, verb, exists) = {
            let call = self.calls.at(slot);
            (call.id, call.verb, call.exists)
        };
        if let Some(actor) = self.held.find(id) {
            return self.join_actor(slot, actor, cx);
        }
        if self.drain.is_some() {
            return self.refuse(slot, Code::Unavailable, codes::DRAINING, cx);
        }
        if verb == Verb::Get && !exists {
            return self.probe(slot, cx);
        }
        let Some(actor) = self.held.insert(id, self.config.owner) else {
            if let Some((idlest, _)) = self.held.idlest() {
                self.leave(idlest, Leaving::Told, cx);
            }
            return self.refuse(slot, Code::ResourceExhausted, codes::BUSY, cx);
        };
        self.counters.activations += 1;
        self.place(slot, actor, Phase::Queued);
        self.advance(actor, cx);
    }

    fn join_actor(&mut self, slot: u32, at: u32, cx: &mut Lent<'_>) {
        let actor = self.held.at(at);
        let going = actor.state == State::Ending || actor.leaving == Leaving::Told;
        if going && self.drain.is_some() {
            return self.refuse(slot, Code::Unavailable, codes::DRAINING, cx);
        }
        if let Some(original) = self.same_request(slot, at) {
            return self.join(slot, original);
        }
        if actor.calls >= self.config.mailbox_calls_max {
            return self.refuse(slot, Code::ResourceExhausted, codes::MAILBOX_FULL, cx);
        }
        if going {
            return self.place(slot, at, Phase::Parked);
        }
        self.held.leave_idle(at);
        self.held.at_mut(at).leaving = Leaving::No;
        self.place(slot, at, Phase::Queued);
        self.advance(at, cx);
    }

    /// The call gets the answer of `original`, and so do those that had joined it.
    fn join(&mut self, slot: u32, original: u32) {
        self.counters.joined += 1;
        let mut next = Some(slot);
        while let Some(follower) = next {
            let mut followers = self.calls.at(original).followers;
            followers.push_back(&mut self.calls.slots, follower);
            self.calls.at_mut(original).followers = followers;
            self.calls.at_mut(follower).phase = Phase::Joined { original };
            next = self.calls.at(slot).followers.head();
            if let Some(next) = next {
                self.unlink(next);
            }
        }
    }

    /// A call of the same request that is still to be answered. Linear in the actor's calls, and
    /// only asked for calls that carry a request id.
    fn same_request(&self, slot: u32, at: u32) -> Option<u32> {
        let call = self.calls.at(slot);
        let wanted = call.request_id.filter(|_| call.verb == Verb::Apply)?;
        let actor = self.held.at(at);
        let lists: [List; 3] = [actor.mailbox, actor.held, actor.parked];
        if let Some((_, Work::Apply(running))) = actor.running {
            if self.calls.at(running).request_id == Some(wanted) {
                return Some(running);
            }
        }
        for list in lists {
            let mut next = list.head();
            while let Some(other) = next {
                let call = self.calls.at(other);
                if call.request_id == Some(wanted) && call.verb == Verb::Apply {
                    return Some(other);
                }
                next = List::after(&self.calls.slots, other);
            }
        }
        None
    }

    /// Asks the store whether the actor was ever written, so that reading what does not exist
    /// claims nothing.
    fn probe(&mut self, slot: u32, cx: &mut Lent<'_>) {
        let call = self.calls.at(slot);
        let what = InFlight {
            purpose: Purpose::Probe,
            slot,
            generation: self.calls.generation(slot),
        };
        let log = journal::log(call.id);
        if !self.submit(what, Op::Tail { log: &log }, cx) {
            return self.refuse(slot, Code::ResourceExhausted, codes::BUSY, cx);
        }
        self.calls.at_mut(slot).phase = Phase::Probing;
    }

    pub(super) fn probed(&mut self, slot: u32, generation: u32, done: Done<'_>, cx: &mut Lent<'_>) {
        if !self.calls.is_live(slot, generation) || self.calls.at(slot).phase != Phase::Probing {
            return;
        }
        match done {
            Done::Tail { next: 0, .. } => {
                self.counters.not_found += 1;
                self.finish(slot, Err(Status::new(Code::NotFound, codes::NOT_FOUND)), cx);
            }
            Done::Tail { .. } => {
                let call = self.calls.at_mut(slot);
                (call.exists, call.phase) = (true, Phase::Routing);
                self.route(slot, cx);
            }
            Done::Durable { .. }
            | Done::Records(_)
            | Done::Value { .. }
            | Done::Values(_)
            | Done::Conflict { .. }
            | Done::Fenced { .. }
            | Done::Unknown => self.refuse(slot, Code::Unavailable, codes::STORE, cx),
        }
    }
}

/// A message of bounded length.
struct Text {
    bytes: [u8; 640],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; 640],
            len: 0,
        }
    }
}

impl Text {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or(codes::NOT_OWNER)
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self
            .bytes
            .get_mut(self.len..self.len + text.len())
            .ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
