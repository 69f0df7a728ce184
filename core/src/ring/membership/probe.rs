//! The failure detector: probes, doubt, the hold, and the guard against one's own lag.

use trefoil_proto::control_plane::{Empty, PingReply};
use trefoil_proto::wire::Decode;

use super::calls::{Call, Heard, Purpose};
use super::hosts::{Check, Phase, Returns, Slot};
use super::{Accepted, DownReason, Lent, Membership, MembershipEvent, MembershipPlant, due, open};
use crate::codes;
use crate::header::Header;
use crate::id::StreamId;
use crate::method::control_plane;
use crate::status::{Cause, Code, Status};
use crate::time::Instant;
use crate::wire;

/// Members that are doubted at once while answers are slow.
const DOUBTS_WHILE_SLOW_MAX: u32 = 8;

/// How a ping went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The host answered, one of ours with its incarnation.
    Answered(Option<u64>),
    /// It did not, or not as itself.
    Failed,
    /// Nothing was learned: it is too busy, or this process stood still.
    Unclear,
}

/// Equal, or equal up to a port that one of them leaves out.
fn is_same_host(a: &str, b: &str) -> bool {
    let without_port = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.starts_with(':'))
    };
    a == b || without_port(a, b) || without_port(b, a)
}

impl Membership {
    /// One peer each interval, in shuffled rounds.
    pub(super) fn probe_due(&mut self, lent: &mut Lent<'_>) {
        if self.leaving.is_some() {
            return;
        }
        self.timers
            .set(due::PROBE, lent.now + self.config.probe_interval);
        for _ in 0..self.hosts.members().len() {
            let Some(slot) = self.hosts.next_in_round(&mut self.rng) else {
                break;
            };
            // Those that are doubted are pinged by their checks.
            if self.hosts.at(slot).phase() == Phase::Live(Check::None) {
                self.ping(slot, false, lent);
                break;
            }
        }
        self.pump(lent);
    }

    /// Pings a host unless a ping is on its way; says whether one is now.
    pub(super) fn ping(&mut self, slot: Slot, queued: bool, lent: &mut Lent<'_>) -> bool {
        let host = self.hosts.at(slot);
        if host.pinging {
            return true;
        }
        let Some(at) = self.calls.next() else {
            return false;
        };
        let to = host.node;
        let deadline = lent.now + self.pace.timeout();
        let Some(stream) = open(
            to,
            control_plane::PING,
            Header::EMPTY,
            deadline,
            at,
            &Empty {},
            lent.io,
        ) else {
            return false;
        };
        self.hosts.at_mut(slot).pinging = true;
        self.keep_call(
            stream,
            Purpose::Ping { slot, queued },
            to,
            deadline,
            lent.now,
        );
        true
    }

    /// Where nobody answers, one ping at a time is given far longer. It is beside all others, so that
    /// nothing waits for it.
    fn try_longer(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let Some(at) = self.calls.next() else {
            return;
        };
        let Some(timeout) = self.pace.trial(lent.now) else {
            return;
        };
        let (to, deadline) = (self.hosts.at(slot).node, lent.now + timeout);
        let header = Header::EMPTY;
        if let Some(stream) = open(
            to,
            control_plane::PING,
            header,
            deadline,
            at,
            &Empty {},
            lent.io,
        ) {
            self.keep_call(stream, Purpose::Trial, to, deadline, lent.now);
        }
    }

    /// What it says is how slow answers are, not who is there.
    pub(super) fn trial_ended(&mut self, call: Call, status: Status<'_>, lent: &mut Lent<'_>) {
        if status.is_ok() && call.heard == Heard::Good {
            self.pace.answered(lent.now.since(call.sent));
        }
    }

    pub(super) fn keep_call(
        &mut self,
        stream: StreamId,
        purpose: Purpose,
        to: crate::id::NodeId,
        deadline: Instant,
        sent: Instant,
    ) {
        let (epoch, incarnation, heard) = (self.epoch, None, Heard::Nothing);
        self.calls.insert(Call {
            stream,
            purpose,
            to,
            sent,
            deadline,
            epoch,
            incarnation,
            heard,
        });
    }

    pub(super) fn answer_ping(
        &mut self,
        stream: StreamId,
        call: Accepted,
        bytes: &[u8],
        lent: &mut Lent<'_>,
    ) {
        if Empty::default().decode(bytes).is_err() {
            Self::misbehaved(call.caller, "a Ping that cannot be decoded", lent);
            return lent
                .io
                .end(stream, Status::new(Code::InvalidArgument, codes::MALFORMED));
        }
        let unix_time = self.wall.map_or(0, |wall| wall.unix_seconds_at(lent.now));
        let reply = PingReply {
            host: &self.config.host,
            unix_time,
        };
        if wire::reply(lent.io, stream, &reply).is_err() {
            lent.io.end(
                stream,
                Status::new(Code::ResourceExhausted, codes::TOO_LARGE),
            );
        }
    }

    pub(super) fn ping_answer(
        &mut self,
        call: Call,
        slot: Slot,
        bytes: &[u8],
        lent: &mut Lent<'_>,
    ) -> Heard {
        let mut reply = PingReply::default();
        let name = &*self.hosts.at(slot).name;
        let what = if reply.decode(bytes).is_err() {
            "a PingReply that cannot be decoded"
        } else if reply.host == name
            || (call.incarnation.is_none() && is_same_host(reply.host, name))
        {
            return Heard::Good;
        } else {
            "answered as another host"
        };
        Self::misbehaved(Some(call.to), what, lent);
        Heard::Bad
    }

    /// Whether the failure of a call says nothing, because this process stood still meanwhile.
    pub(super) fn is_own_fault(
        &mut self,
        call: Call,
        status: Status<'_>,
        lent: &mut Lent<'_>,
    ) -> bool {
        let late = status.cause == Cause::Deadline
            && lent.now.since(call.deadline) > self.config.lag_limit;
        if late && call.epoch == self.epoch {
            self.excuse(lent);
        }
        call.epoch != self.epoch && !self.planted(MembershipPlant::NoLagGuard)
    }

    pub(super) fn ping_ended(
        &mut self,
        call: Call,
        slot: Slot,
        queued: bool,
        status: Status<'_>,
        lent: &mut Lent<'_>,
    ) {
        self.hosts.at_mut(slot).pinging = false;
        self.hosts.at_mut(slot).alien = status.code == Code::FailedPrecondition;
        self.verifying -= u32::from(queued);
        let outcome = if status.is_ok() && call.heard == Heard::Good {
            Outcome::Answered(call.incarnation)
        } else if self.is_own_fault(call, status, lent)
            || (status.cause == Cause::Peer && status.code == Code::ResourceExhausted)
        {
            Outcome::Unclear
        } else {
            Outcome::Failed
        };
        let answered = match outcome {
            Outcome::Answered(incarnation) => {
                let took = lent.now.since(call.sent);
                self.pace.answered(took);
                let host = self.hosts.at_mut(slot);
                host.round_trip = Some(took);
                host.why.clear();
                self.answered(slot, call.sent, incarnation, lent)
            }
            Outcome::Failed => {
                let is_member = self.hosts.at(slot).phase().is_live();
                if is_member && status.cause == Cause::Deadline {
                    self.pace.unanswered();
                    self.try_longer(slot, lent);
                }
                let host = self.hosts.at_mut(slot);
                host.refused = status.cause == Cause::Refused;
                host.note_failure(status);
                self.unanswered(slot, call.sent, lent);
                false
            }
            Outcome::Unclear => {
                self.unclear(slot, lent);
                false
            }
        };
        if outcome == Outcome::Unclear {
            self.run_errands(slot, self.hosts.at(slot).is_healthy(), lent);
        } else {
            self.run_errands(slot, answered, lent);
        }
    }

    /// Whether a doubt about one more member may be looked into. Not if answers are slow and this node looks
    /// into some already: then it is likely that all are slow, and each doubt makes them slower.
    fn may_doubt_more(&self) -> bool {
        !self.pace.is_slow() || self.hosts.checked() < DOUBTS_WHILE_SLOW_MAX
    }

    /// The same for those that are looked into.
    fn may_doubt_so_many(&self) -> bool {
        !self.pace.is_slow() || self.hosts.checked() <= DOUBTS_WHILE_SLOW_MAX
    }

    /// A host did not answer a ping of ours.
    pub(super) fn unanswered(&mut self, slot: Slot, sent: Instant, lent: &mut Lent<'_>) {
        match self.hosts.at(slot).phase() {
            Phase::Candidate => self.candidate_failed(slot, lent),
            // Its turn comes again.
            Phase::Live(Check::None) if !self.may_doubt_more() => {}
            Phase::Live(Check::Pings { .. } | Check::Retry { last: false })
                if !self.may_doubt_so_many() =>
            {
                self.clear(slot, lent);
            }
            Phase::Live(Check::None) => self.ask(slot, false, lent),
            Phase::Live(Check::Pings { left }) if left > 1 => {
                self.hosts.enter(
                    slot,
                    Phase::Live(Check::Pings { left: left - 1 }),
                    &mut self.rng,
                );
                // A link that broke or backs off ends a ping at once: the next one gets its own time.
                let next = sent + self.pace.timeout();
                if next > lent.now {
                    self.timers.set(due::FIRST_HOST + slot, next);
                } else {
                    self.check_ping(slot, lent);
                }
            }
            Phase::Live(Check::Pings { .. }) => self.ask(slot, true, lent),
            Phase::Live(Check::Retry { last }) => self.ask(slot, last, lent),
            // Their own timers and votes decide.
            Phase::Live(Check::Hold { .. } | Check::Asking { .. })
            | Phase::Dead(..)
            | Phase::Free => {}
        }
    }

    /// Nothing was learned: what waits for an answer asks again.
    fn unclear(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        match self.hosts.at(slot).phase() {
            Phase::Candidate | Phase::Live(Check::Pings { .. } | Check::Retry { .. }) => {
                self.timers.set(
                    due::FIRST_HOST + slot,
                    lent.now + self.config.hold_probe_interval,
                );
            }
            Phase::Free
            | Phase::Live(Check::None | Check::Asking { .. } | Check::Hold { .. })
            | Phase::Dead(..) => {}
        }
    }

    /// Somebody else has removed a member, hold and all: it is pinged twice, then peers are asked, and
    /// their answer decides.
    pub(super) fn doubt(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        if self.hosts.at(slot).phase() == Phase::Live(Check::None) && self.may_doubt_more() {
            self.hosts
                .enter(slot, Phase::Live(Check::Pings { left: 2 }), &mut self.rng);
            self.check_ping(slot, lent);
        }
    }

    /// Pings a doubted member, at once or when there is room for the call.
    pub(super) fn check_ping(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let key = due::FIRST_HOST + slot;
        if self.ping(slot, false, lent) {
            self.timers.cancel(key);
        } else {
            self.timers
                .set(key, lent.now + self.config.hold_probe_interval);
        }
    }

    /// Peers do not reach it either.
    pub(super) fn confirmed(&mut self, slot: Slot, last: bool, lent: &mut Lent<'_>) {
        let host = self.hosts.at(slot);
        let skip = self.config.hold.is_zero() || (host.refused && self.config.refused_skips_hold);
        if last || skip {
            return self.remove(slot, DownReason::Failed, Returns::ByAnswer, lent);
        }
        let until = lent.now + self.config.hold + self.pace.extra();
        self.hosts
            .enter(slot, Phase::Live(Check::Hold { until }), &mut self.rng);
        let host = self.hosts.at_mut(slot);
        if !core::mem::replace(&mut host.suspect, true) {
            let node = host.node;
            self.version += 1;
            lent.up.event(MembershipEvent::Suspected { node });
        }
        self.timers.set(
            due::FIRST_HOST + slot,
            until.min(lent.now + self.config.hold_probe_interval),
        );
    }

    pub(super) fn hold_due(&mut self, slot: Slot, until: Instant, lent: &mut Lent<'_>) {
        if lent.now >= until {
            return self.ask(slot, true, lent);
        }
        self.ping(slot, false, lent);
        self.timers.set(
            due::FIRST_HOST + slot,
            until.min(lent.now + self.config.hold_probe_interval),
        );
    }

    /// Too few peers answered for a decision.
    pub(super) fn try_again(&mut self, slot: Slot, last: bool, lent: &mut Lent<'_>) {
        self.hosts
            .enter(slot, Phase::Live(Check::Retry { last }), &mut self.rng);
        self.timers.set(
            due::FIRST_HOST + slot,
            lent.now + self.config.hold_probe_interval + self.pace.extra(),
        );
    }

    /// A member is there: whatever was doubted, is not.
    pub(super) fn clear(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let was = self.hosts.at(slot).phase();
        if !was.is_live() || was == Phase::Live(Check::None) {
            return;
        }
        self.hosts
            .enter(slot, Phase::Live(Check::None), &mut self.rng);
        self.timers.cancel(due::FIRST_HOST + slot);
        let host = self.hosts.at_mut(slot);
        if core::mem::take(&mut host.suspect) {
            let node = host.node;
            self.version += 1;
            lent.up.event(MembershipEvent::Cleared { node });
        }
    }

    /// Notices that this process stood still: it was due something and was not called.
    pub(super) fn notice_lag(&mut self, lent: &mut Lent<'_>) {
        let due = self
            .timers
            .earliest()
            .map_or(lent.now, |due| due.max(self.excused));
        if lent.now.since(due) > self.config.lag_limit {
            self.excuse(lent);
        }
    }

    /// Who stood still has nothing to say about others: suspicions are dropped, probes begin anew.
    fn excuse(&mut self, lent: &mut Lent<'_>) {
        self.excused = lent.now;
        if self.planted(MembershipPlant::NoLagGuard) {
            return;
        }
        self.epoch += 1;
        for at in 0..self.hosts.members().len() {
            let slot = self.hosts.members()[at];
            self.clear(slot, lent);
        }
        if self.leaving.is_none() {
            self.timers
                .set(due::PROBE, lent.now + self.config.probe_interval);
        }
    }
}
