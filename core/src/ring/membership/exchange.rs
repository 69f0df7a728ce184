//! Exchanging views: the repair of everything that was missed.

use trefoil_proto::control_plane::{NegotiateReply, NegotiateRequest};
use trefoil_proto::wire::{Decode, Each};

use super::calls::{Call, Heard, Purpose};
use super::hosts::{Check, Phase, Slot};
use super::indirect::SHORT_LIST_MAX;
use super::partition::Says;
use super::{Accepted, Lent, Membership, due, open};
use crate::codes;
use crate::header::Header;
use crate::id::StreamId;
use crate::method::control_plane;
use crate::status::{Code, Status};
use crate::wire;

/// Members looked into because one answer leaves them out.
const DOUBTS_MAX: usize = 8;

impl Membership {
    /// One random member each interval, more often while the view changes.
    pub(super) fn exchange_due(&mut self, lent: &mut Lent<'_>) {
        if self.leaving.is_some() {
            return;
        }
        let changing = lent.now < self.changing_until;
        let interval = if changing {
            self.config.exchange_interval_changing
        } else {
            self.config.exchange_interval
        };
        let wait = self.rng.jitter(interval, 10) + self.pace.extra();
        self.timers.set(due::EXCHANGE, lent.now + wait);
        let members = self.hosts.members().len();
        let start = self.rng.below(members as u64) as usize;
        for step in 0..members {
            let slot = self.hosts.members()[(start + step) % members];
            if self.hosts.at(slot).phase() == Phase::Live(Check::None) {
                return self.exchange_with(slot, lent);
            }
        }
    }

    /// Sends the whole view to a member.
    pub(super) fn exchange_with(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let Some(at) = self.calls.next() else { return };
        let to = self.hosts.at(slot).node;
        let own: &str = &self.config.host;
        let others = self
            .hosts
            .members()
            .iter()
            .map(|slot| &*self.hosts.at(*slot).name);
        let request = NegotiateRequest {
            known_hosts: Each(core::iter::once(own).chain(others)),
        };
        let deadline = lent.now + self.pace.timeout() * 2;
        if let Some(stream) = open(
            to,
            control_plane::NEGOTIATE,
            Header::EMPTY,
            deadline,
            at,
            &request,
            lent.io,
        ) {
            self.keep_call(stream, Purpose::Exchange, to, deadline, lent.now);
        }
    }

    pub(super) fn exchange_answer(
        &mut self,
        call: Call,
        bytes: &[u8],
        lent: &mut Lent<'_>,
    ) -> Heard {
        let mut reply = NegotiateReply::default();
        if reply.decode(bytes).and_then(|()| reply.check()).is_err() {
            Self::misbehaved(
                Some(call.to),
                "a NegotiateReply that cannot be decoded",
                lent,
            );
            return Heard::Bad;
        }
        let callee = self
            .hosts
            .by_node(call.to)
            .filter(|slot| self.hosts.at(*slot).phase().is_live());
        let Some(callee) = callee else {
            return Heard::Good;
        };
        self.exchange = self.exchange.wrapping_add(1);
        let mut listed = 0;
        let mut says = Says::default();
        for name in reply.hosts.iter().flatten() {
            says.us |= *name == *self.config.host;
            if name.is_empty() {
                Self::misbehaved(Some(call.to), "an empty host in a NegotiateReply", lent);
                continue;
            }
            let Some(slot) = self.hosts.by_name(name) else {
                self.hearsay(name, lent);
                continue;
            };
            says.failed |= self.hosts.at(slot).phase().has_failed();
            if !self.hosts.at(slot).phase().is_live() {
                self.hearsay(name, lent);
            } else if core::mem::replace(&mut self.hosts.at_mut(slot).mark, self.exchange)
                != self.exchange
            {
                listed += 1;
            }
        }
        self.vouched(callee, says, lent);
        self.doubt_unlisted(call, callee, listed, lent);
        Heard::Good
    }

    /// Members that were sent and are not listed get a probe before their turn, and nothing worse: a
    /// peer leaves its suspects out, and what is no more than suspected somewhere keeps its hold here.
    /// A peer that lists less than half of what it was sent is younger than this node, and its
    /// silence says nothing.
    fn doubt_unlisted(&mut self, call: Call, callee: Slot, listed: usize, lent: &mut Lent<'_>) {
        if listed * 2 < self.hosts.members().len() {
            return;
        }
        let mut doubted = 0;
        for at in 0..self.hosts.members().len() {
            let slot = self.hosts.members()[at];
            let host = self.hosts.at(slot);
            let unlisted = host.mark != self.exchange && slot != callee && host.since < call.sent;
            if unlisted && host.phase() == Phase::Live(Check::None) {
                self.ping(slot, false, lent);
                doubted += 1;
                if doubted == DOUBTS_MAX {
                    return;
                }
            }
        }
    }

    pub(super) fn exchange_ended(&mut self, call: Call, status: Status<'_>, lent: &mut Lent<'_>) {
        let good = status.is_ok() && call.heard == Heard::Good;
        if !good && !self.is_own_fault(call, status, lent) {
            self.suspicious(call.to, lent);
        }
    }

    pub(super) fn answer_negotiate(
        &mut self,
        stream: StreamId,
        call: Accepted,
        bytes: &[u8],
        lent: &mut Lent<'_>,
    ) {
        let mut request = NegotiateRequest::default();
        let decoded = request.decode(bytes).and_then(|()| request.check());
        if decoded.is_err() || request.known_hosts.iter().flatten().any(str::is_empty) {
            Self::misbehaved(
                call.caller,
                "a NegotiateRequest that cannot be decoded or lists an empty host",
                lent,
            );
            return lent
                .io
                .end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
        }
        if let Some(caller) = call
            .caller
            .filter(|_| call.marked && request.known_hosts.len() <= SHORT_LIST_MAX)
        {
            let about = request
                .known_hosts
                .iter()
                .flatten()
                .find(|name| **name != *self.config.host && *name != lent.io.name(caller));
            if let Some(name) = about {
                return self.take_errand(stream, name, lent);
            }
        }
        if self.leaving.is_none() {
            for name in request.known_hosts.iter().flatten() {
                self.hearsay(name, lent);
            }
        }
        self.answer_view(stream, lent);
    }

    /// All healthy hosts. A node that leaves, or lost the majority or may be about to, is not one; a
    /// node that has not joined yet speaks for nobody else.
    fn answer_view(&self, stream: StreamId, lent: &mut Lent<'_>) {
        let healthy = self.leaving.is_none() && (!self.joined || self.is_sure_of_majority());
        let own = healthy.then_some(&*self.config.host);
        let members = if self.joined {
            self.hosts.members()
        } else {
            &[]
        };
        let others = members.iter().map(|slot| self.hosts.at(*slot));
        let others = others
            .filter(|host| host.is_healthy())
            .map(|host| &*host.name);
        let reply = NegotiateReply {
            hosts: Each(own.into_iter().chain(others)),
        };
        if wire::reply(lent.io, stream, &reply).is_err() {
            lent.io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
    }
}
