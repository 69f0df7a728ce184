//! Asking peers about a host that does not answer, and pinging a host on behalf of a peer.
//!
//! The question is a `Negotiate` that lists the asking host and the one in doubt, marked in metadata.
//! A peer of ours pings the host before it answers; one that does not know the mark answers from what
//! it believes. An answer that leaves the host out is a negative.

use trefoil_proto::control_plane::{NegotiateReply, NegotiateRequest};
use trefoil_proto::wire::{Decode, Each};

use super::calls::{Call, Heard, Purpose};
use super::hosts::{Check, Phase, Slot, Votes};
use super::{Lent, Membership, open};
use crate::codes;
use crate::header::HeaderWriter;
use crate::id::{NodeId, StreamId};
use crate::identity::PROBE;
use crate::method::control_plane;
use crate::status::{Code, Status};
use crate::wire;

/// Longest list that is taken for a question about a host.
pub(super) const SHORT_LIST_MAX: usize = 4;

/// Peers that must confirm a failure, if there are as many.
const NEGATIVES_MIN: usize = 2;

/// A call of a peer that waits for the ping of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    stream: StreamId,
    about: Slot,
}

impl Membership {
    /// Asks peers about a host; `last` if it goes when they confirm.
    pub(super) fn ask(&mut self, about: Slot, last: bool, lent: &mut Lent<'_>) {
        self.hosts
            .enter(about, Phase::Live(Check::Asking { last }), &mut self.rng);
        self.timers.cancel(super::due::FIRST_HOST + about);
        self.asking = self.asking.wrapping_add(1);
        self.hosts.at_mut(about).votes = Votes {
            round: self.asking,
            open: 0,
            negatives: 0,
        };
        // A peer that does not know the mark answers from memory, so it is asked only if there are
        // too few others.
        for legacy in [false, true] {
            let members = self.hosts.members().len();
            let start = self.rng.below(members as u64) as usize;
            for step in 0..members {
                if self.hosts.at(about).votes.open >= self.config.indirect_probes {
                    return;
                }
                let slot = self.hosts.members()[(start + step) % members];
                let peer = self.hosts.at(slot);
                if peer.legacy == legacy && peer.phase() == Phase::Live(Check::None) {
                    self.ask_peer(peer.node, about, lent);
                }
            }
        }
        if self.hosts.at(about).votes.open == 0 {
            self.count_votes(about, lent);
        }
    }

    fn ask_peer(&mut self, to: NodeId, about: Slot, lent: &mut Lent<'_>) {
        let Some(at) = self.calls.next() else { return };
        let mut pairs = [0; 32];
        let mut header = HeaderWriter::new(&mut pairs);
        if header.push(PROBE, b"1").is_err() {
            return;
        }
        let hosts: [&str; 2] = [&self.config.host, &self.hosts.at(about).name];
        let deadline = lent.now + self.pace.timeout() * 2;
        let request = NegotiateRequest { known_hosts: hosts };
        if let Some(stream) = open(
            to,
            control_plane::NEGOTIATE,
            header.finish(),
            deadline,
            at,
            &request,
            lent.io,
        ) {
            let votes = &mut self.hosts.at_mut(about).votes;
            votes.open += 1;
            let purpose = Purpose::Ask {
                about,
                round: votes.round,
            };
            self.keep_call(stream, purpose, to, deadline, lent.now);
        }
    }

    pub(super) fn ask_answer(
        &mut self,
        call: Call,
        about: Slot,
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
        let name = &*self.hosts.at(about).name;
        if reply.hosts.iter().flatten().any(|host| host == name) {
            Heard::Good
        } else {
            Heard::Negative
        }
    }

    pub(super) fn ask_ended(
        &mut self,
        call: Call,
        about: Slot,
        round: u32,
        status: Status<'_>,
        lent: &mut Lent<'_>,
    ) {
        let heard = if status.is_ok() {
            call.heard
        } else {
            Heard::Bad
        };
        if heard == Heard::Bad && !self.is_own_fault(call, status, lent) {
            self.suspicious(call.to, lent);
        }
        let host = self.hosts.at_mut(about);
        // The host may have answered, gone, or been asked about anew.
        if !matches!(host.phase(), Phase::Live(Check::Asking { .. })) || host.votes.round != round {
            return;
        }
        host.votes.open -= 1;
        match heard {
            Heard::Good => return self.clear(about, lent),
            Heard::Negative => host.votes.negatives += 1,
            Heard::Nothing | Heard::Bad => {}
        }
        if self.hosts.at(about).votes.open == 0 {
            self.count_votes(about, lent);
        }
    }

    /// All peers asked have answered or failed to. Those that are in doubt themselves cannot be asked
    /// and are not waited for; with nobody left to ask, own evidence decides.
    fn count_votes(&mut self, about: Slot, lent: &mut Lent<'_>) {
        let host = self.hosts.at(about);
        let Phase::Live(Check::Asking { last }) = host.phase() else {
            return;
        };
        if usize::from(host.votes.negatives) >= self.hosts.settled().min(NEGATIVES_MIN) {
            self.confirmed(about, last, lent);
        } else {
            self.try_again(about, last, lent);
        }
    }

    /// A call to a member failed: it is pinged, and the ping decides.
    pub(super) fn suspicious(&mut self, node: NodeId, lent: &mut Lent<'_>) {
        if let Some(slot) = self.hosts.by_node(node) {
            if self.hosts.at(slot).phase() == Phase::Live(Check::None) {
                self.ping(slot, false, lent);
            }
        }
    }

    /// Pings `name` for a peer, which is answered when the ping has ended.
    pub(super) fn take_errand(&mut self, stream: StreamId, name: &str, lent: &mut Lent<'_>) {
        let room = self.leaving.is_none() && self.errands.len() < self.config.errands_max as usize;
        let known = self.hosts.by_name(name);
        let slot = if room {
            known.or_else(|| self.insert(name, lent))
        } else {
            known
        };
        if let Some(about) = slot.filter(|_| room) {
            if self.ping(about, false, lent) {
                return self.errands.push(Errand { stream, about });
            }
            if known.is_none() {
                self.hosts.forget(about, &mut self.rng);
            }
        }
        let believed = known.is_some_and(|slot| self.hosts.at(slot).is_healthy());
        self.answer_errand(stream, believed.then_some(name), lent);
    }

    /// Answers those who wait for the ping of a host.
    pub(super) fn run_errands(&mut self, about: Slot, answers: bool, lent: &mut Lent<'_>) {
        let mut at = 0;
        while at < self.errands.len() {
            if self.errands[at].about == about {
                let errand = self.errands.swap_remove(at);
                let name = &*self.hosts.at(about).name;
                self.answer_errand(errand.stream, answers.then_some(name), lent);
            } else {
                at += 1;
            }
        }
    }

    fn answer_errand(&self, stream: StreamId, about: Option<&str>, lent: &mut Lent<'_>) {
        let own: &str = &self.config.host;
        let reply = NegotiateReply {
            hosts: Each(core::iter::once(own).chain(about)),
        };
        if wire::reply(lent.io, stream, &reply).is_err() {
            lent.io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
    }

    pub(super) fn has_errand(&self, stream: StreamId) -> bool {
        self.errands.iter().any(|errand| errand.stream == stream)
    }

    pub(super) fn drop_errand(&mut self, stream: StreamId) -> bool {
        let at = self
            .errands
            .iter()
            .position(|errand| errand.stream == stream);
        at.map(|at| self.errands.swap_remove(at)).is_some()
    }
}
