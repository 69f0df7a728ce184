//! News of hosts that go: passing it on, checking it, and leaving oneself.

use trefoil_proto::control_plane::{ClosingNotice, OwnerChangeAck};
use trefoil_proto::wire::Decode;

use super::calls::{Call, Purpose};
use super::hosts::{Check, Phase, Returns, Slot};
use super::{
    Accepted, DownReason, Lent, Membership, MembershipEvent, MembershipRefused, due, open,
};
use crate::codes;
use crate::header::{Header, HeaderWriter};
use crate::id::{NodeId, StreamId};
use crate::identity::DRAIN;
use crate::method::control_plane;
use crate::status::{Cause, Code, Status};
use crate::time::Duration;
use crate::wire;

/// News of one host is passed on once in this time, so that it dies out.
const RELAY_WINDOW: Duration = Duration::from_secs(10);

/// Goodbyes open at once.
const GOODBYES_MAX: u32 = 64;

/// How far this node is with leaving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// Members before this place have been told.
    next: Slot,
    open: u32,
    /// Members that did not hear it and will be told again.
    again: u32,
    done: bool,
}

impl Membership {
    pub(super) fn answer_closing(
        &mut self,
        stream: StreamId,
        call: Accepted,
        bytes: &[u8],
        lent: &mut Lent<'_>,
    ) {
        let mut notice = ClosingNotice::default();
        if notice.decode(bytes).is_err() || notice.host.is_empty() {
            Self::misbehaved(call.caller, "a ClosingNotice without a host", lent);
            return lent
                .io
                .end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
        }
        let slot = self.hosts.by_name(notice.host);
        if wire::reply(
            lent.io,
            stream,
            &OwnerChangeAck {
                accepted: true,
                message: "",
            },
        )
        .is_err()
        {
            lent.io
                .end(stream, Status::new(Code::ResourceExhausted, codes::BUSY));
        }
        if let Some(slot) = slot {
            self.closing_heard(slot, call, lent);
        }
    }

    /// A host says that it goes, or somebody says it of a host.
    fn closing_heard(&mut self, slot: Slot, call: Accepted, lent: &mut Lent<'_>) {
        let host = self.hosts.at(slot);
        let (node, incarnation, phase) = (host.node, host.incarnation, host.phase());
        let by_itself = call.caller == Some(node);
        if by_itself && call.is_over(incarnation) {
            return;
        }
        match phase {
            Phase::Live(_) if by_itself => {
                if call.marked {
                    lent.up.event(MembershipEvent::Draining { node });
                }
                self.remove(slot, DownReason::Closed, self.returns(slot), lent);
            }
            // Nobody vouches for such news: the host is believed if it says otherwise.
            Phase::Live(_) if !call.named && self.config.believes_strangers => {
                self.remove(slot, DownReason::Closed, Returns::ByAnswer, lent);
            }
            Phase::Live(check) => {
                self.spread(slot, lent);
                if check == Check::None {
                    self.doubt(slot, lent);
                }
            }
            // Removed for another reason before; from now on it is one that left.
            Phase::Dead(DownReason::Failed | DownReason::Closed, Returns::ByAnswer)
                if by_itself =>
            {
                self.gone(slot, DownReason::Closed, lent);
            }
            Phase::Dead(..) | Phase::Candidate | Phase::Free => {}
        }
    }

    /// Tells some members that a host is gone, once in a while.
    pub(super) fn spread(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let host = self.hosts.at_mut(slot);
        if lent.now < host.relay_after {
            return;
        }
        host.relay_after = lent.now + RELAY_WINDOW;
        let members = self.hosts.members().len();
        let start = self.rng.below(members as u64) as usize;
        let mut told = 0;
        for step in 0..members {
            let to = self.hosts.members()[(start + step) % members];
            if to == slot || self.hosts.at(to).phase() != Phase::Live(Check::None) {
                continue;
            }
            self.relay(self.hosts.at(to).node, slot, lent);
            told += 1;
            if told == self.config.spread_fan_out {
                return;
            }
        }
    }

    fn relay(&mut self, to: NodeId, about: Slot, lent: &mut Lent<'_>) {
        let Some(at) = self.calls.next() else { return };
        let notice = ClosingNotice {
            host: &self.hosts.at(about).name,
        };
        let deadline = lent.now + self.pace.timeout() * 2;
        if let Some(stream) = open(
            to,
            control_plane::CLOSING,
            Header::EMPTY,
            deadline,
            at,
            &notice,
            lent.io,
        ) {
            self.keep_call(stream, Purpose::Relay, to, deadline, lent.now);
        }
    }

    pub(super) fn leave(&mut self, lent: &mut Lent<'_>) -> Result<(), MembershipRefused> {
        if self.leaving.is_some() {
            return Err(MembershipRefused::Leaving);
        }
        self.leaving = Some(Leaving {
            next: 0,
            open: 0,
            again: 0,
            done: false,
        });
        self.version += 1;
        for key in [due::PROBE, due::EXCHANGE, due::BOOTSTRAP] {
            self.timers.cancel(key);
        }
        self.timers
            .set(due::LEAVE, lent.now + self.config.leave_timeout);
        self.say_goodbyes(lent);
        Ok(())
    }

    /// Tells the next members, as many at once as there is room for.
    fn say_goodbyes(&mut self, lent: &mut Lent<'_>) {
        while let Some(Leaving {
            next,
            open,
            again,
            done: false,
        }) = self.leaving
        {
            if next == self.hosts.capacity() {
                if open == 0 && again == 0 {
                    self.left(lent);
                }
                return;
            }
            let host = self.hosts.at(next);
            let (node, phase) = (host.node, host.phase());
            if phase.is_live() {
                if open == GOODBYES_MAX || !self.say_goodbye(node, Purpose::Goodbye, lent) {
                    return;
                }
            } else if phase.has_failed() {
                // It may be there, and believe that this node failed. Nobody waits for its answer.
                self.say_goodbye(node, Purpose::Relay, lent);
            }
            self.leaving = Some(Leaving {
                next: next + 1,
                open: open + u32::from(phase.is_live()),
                again,
                done: false,
            });
        }
    }

    /// A goodbye was not heard: it is said again a little later, while there is time.
    fn unheard(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| !leaving.done) else {
            return;
        };
        let host = self.hosts.at_mut(slot);
        if host.phase().is_live() && !core::mem::replace(&mut host.unheard, true) {
            leaving.again += 1;
            let soon = lent.now + self.config.probe_timeout / 2;
            self.timers.set(due::FIRST_HOST + slot, soon);
        }
    }

    pub(super) fn goodbye_due(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let host = self.hosts.at_mut(slot);
        if !core::mem::take(&mut host.unheard) {
            return;
        }
        let node = host.node;
        let said = self.say_goodbye(node, Purpose::Goodbye, lent);
        if let Some(leaving) = &mut self.leaving {
            leaving.again -= 1;
            leaving.open += u32::from(said);
        }
        if !said {
            self.unheard(slot, lent);
        }
    }

    fn say_goodbye(&mut self, to: NodeId, purpose: Purpose, lent: &mut Lent<'_>) -> bool {
        let Some(at) = self.calls.next() else {
            return false;
        };
        let mut pairs = [0; 32];
        let mut header = HeaderWriter::new(&mut pairs);
        if header.push(DRAIN, b"1").is_err() {
            return false;
        }
        let notice = ClosingNotice {
            host: &self.config.host,
        };
        let deadline = lent.now + self.config.leave_timeout.min(self.config.probe_timeout * 2);
        let Some(stream) = open(
            to,
            control_plane::CLOSING,
            header.finish(),
            deadline,
            at,
            &notice,
            lent.io,
        ) else {
            return false;
        };
        self.keep_call(stream, purpose, to, deadline, lent.now);
        true
    }

    pub(super) fn goodbye_ended(&mut self, call: Call, status: Status<'_>, lent: &mut Lent<'_>) {
        if let Some(leaving) = &mut self.leaving {
            leaving.open -= 1;
        }
        // Where nothing listens, nobody is left to be told.
        if !status.is_ok() && status.cause != Cause::Refused {
            if let Some(slot) = self.hosts.by_node(call.to) {
                self.unheard(slot, lent);
            }
        }
        self.say_goodbyes(lent);
    }

    /// A host still calls a node that leaves: it has not been told, or has not understood.
    pub(super) fn remind(&mut self, node: NodeId, lent: &mut Lent<'_>) {
        self.say_goodbye(node, Purpose::Relay, lent);
    }

    /// All have been told, or have had their time.
    pub(super) fn left(&mut self, lent: &mut Lent<'_>) {
        self.timers.cancel(due::LEAVE);
        if let Some(leaving) = &mut self.leaving {
            if !core::mem::replace(&mut leaving.done, true) {
                lent.up.event(MembershipEvent::Left);
            }
        }
    }
}
