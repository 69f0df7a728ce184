//! Who comes in and who goes: candidates, members, tombstones. Hearsay makes candidates; only an
//! answer, or a call under the host's own name, makes members.

use super::hosts::{Check, Phase, Returns, Slot};
use super::{
    DownReason, Lent, Membership, MembershipEvent, MembershipPlant, MembershipRefused, due,
};
use crate::addresses::NAME_BYTES_MAX;
use crate::id::{MethodId, NodeId};
use crate::method::control_plane;
use crate::time::{Duration, Instant};

/// Pings a candidate that is no seed may leave unanswered.
const CANDIDATE_ATTEMPTS: u8 = 4;

impl Membership {
    /// A new candidate, if there is room. It is pinged by whoever takes it in.
    pub(super) fn insert(&mut self, name: &str, lent: &mut Lent<'_>) -> Option<Slot> {
        if name.len() > NAME_BYTES_MAX || !self.hosts.has_room() {
            return None;
        }
        let node = lent.io.node(name).ok()?;
        let slot = self.hosts.insert(node, name)?;
        self.hosts.at_mut(slot).since = lent.now;
        Some(slot)
    }

    /// A host calls of which nothing was heard before.
    pub(super) fn newcomer(&mut self, name: &str, lent: &mut Lent<'_>) -> Option<NodeId> {
        if self.leaving.is_some() {
            return None;
        }
        let slot = self.insert(name, lent)?;
        Some(self.hosts.at(slot).node)
    }

    pub(super) fn join(
        &mut self,
        name: &str,
        lent: &mut Lent<'_>,
    ) -> Result<(), MembershipRefused> {
        let slot = match self.hosts.by_name(name) {
            Some(slot) => slot,
            None => self.insert(name, lent).ok_or(MembershipRefused::Full)?,
        };
        self.hosts.at_mut(slot).seed = true;
        self.look_into(slot, lent);
        Ok(())
    }

    pub(super) fn verify(
        &mut self,
        name: &str,
        lent: &mut Lent<'_>,
    ) -> Result<(), MembershipRefused> {
        self.checked_host(name)?;
        if self.hosts.by_name(name).is_none() && !self.hosts.has_room() {
            return Err(MembershipRefused::Full);
        }
        self.hearsay(name, lent);
        Ok(())
    }

    /// Somebody lists a host. It is no evidence of anything but that a ping may be worth it.
    pub(super) fn hearsay(&mut self, name: &str, lent: &mut Lent<'_>) {
        if *name == *self.config.host {
            return;
        }
        match self.hosts.by_name(name) {
            None => {
                if let Some(slot) = self.insert(name, lent) {
                    self.look_into(slot, lent);
                }
            }
            Some(slot) => match self.hosts.at(slot).phase() {
                Phase::Dead(..) if self.planted(MembershipPlant::HearsayResurrects) => {
                    let host = self.hosts.at(slot);
                    let incarnation = (!host.legacy).then_some(host.incarnation);
                    self.admit(slot, incarnation, lent);
                }
                Phase::Dead(..) => self.verify_gone(slot, lent),
                Phase::Free | Phase::Candidate | Phase::Live(_) => {}
            },
        }
    }

    /// Pings a host that went, if that has not been done lately.
    fn verify_gone(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let host = self.hosts.at_mut(slot);
        if lent.now >= host.verify_after {
            host.verify_after = lent.now + self.config.verify_interval;
            self.look_into(slot, lent);
        }
    }

    /// Queues a ping of a host that is no member.
    fn look_into(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let host = self.hosts.at_mut(slot);
        if !host.pinging && !host.queued && self.leaving.is_none() {
            host.queued = true;
            self.waiting.push_back(slot);
        }
        self.pump(lent);
    }

    /// Sends queued pings while there is room.
    pub(super) fn pump(&mut self, lent: &mut Lent<'_>) {
        while self.verifying < self.config.verifications_max {
            let Some(slot) = self.waiting.front().copied() else {
                return;
            };
            if !self.hosts.at(slot).pinging {
                if !self.ping(slot, true, lent) {
                    return;
                }
                self.verifying += 1;
            }
            self.hosts.at_mut(slot).queued = false;
            self.waiting.pop_front();
        }
    }

    /// A peer called us by its name. That makes it a member if it was not known to be gone; a call is
    /// no answer, though, so a host that went or is doubted has to answer a ping first.
    pub(super) fn called(
        &mut self,
        node: NodeId,
        incarnation: u64,
        method: MethodId,
        lent: &mut Lent<'_>,
    ) {
        if self.leaving.is_some() {
            return self.remind(node, lent);
        }
        let Some(slot) = self.hosts.by_node(node).or_else(|| {
            // Who says goodbye does not come in by it.
            if method == control_plane::CLOSING {
                return None;
            }
            let mut name = [0; NAME_BYTES_MAX];
            let source = lent.io.name(node).as_bytes();
            let name = name.get_mut(..source.len())?;
            name.copy_from_slice(source);
            self.insert(core::str::from_utf8(name).ok()?, lent)
        }) else {
            return;
        };
        let host = self.hosts.at(slot);
        let restarted = host.legacy || incarnation > host.incarnation;
        match host.phase() {
            Phase::Candidate | Phase::Dead(..) if method == control_plane::CLOSING => {}
            Phase::Candidate => {
                self.admit(slot, Some(incarnation), lent);
                self.look_into(slot, lent);
            }
            Phase::Live(_) if restarted => self.restarted(slot, Some(incarnation), lent),
            Phase::Live(Check::None) | Phase::Free => {}
            Phase::Live(_) => {
                self.ping(slot, false, lent);
            }
            Phase::Dead(..) if incarnation > host.incarnation => {
                self.admit(slot, Some(incarnation), lent);
                self.look_into(slot, lent);
            }
            Phase::Dead(..) => self.verify_gone(slot, lent),
        }
    }

    /// A host answered a ping that was sent at `sent`. Says whether that counts.
    pub(super) fn answered(
        &mut self,
        slot: Slot,
        sent: Instant,
        incarnation: Option<u64>,
        lent: &mut Lent<'_>,
    ) -> bool {
        let host = self.hosts.at(slot);
        if incarnation.is_some_and(|told| told < host.incarnation) {
            // A start that is over. If nobody but it answers, the host is as good as gone.
            self.unanswered(slot, sent, lent);
            return false;
        }
        let is_new = incarnation.is_some_and(|told| told > host.incarnation)
            || incarnation.is_none() != host.legacy;
        match host.phase() {
            Phase::Free => return false,
            Phase::Candidate => self.admit(slot, incarnation, lent),
            Phase::Live(_) if is_new => self.restarted(slot, incarnation, lent),
            Phase::Live(_) => self.clear(slot, lent),
            Phase::Dead(..) if sent < host.since => return false,
            Phase::Dead(_, Returns::ByNewStart) if !is_new => return false,
            Phase::Dead(..) => self.admit(slot, incarnation, lent),
        }
        true
    }

    /// Makes a host a member.
    fn admit(&mut self, slot: Slot, incarnation: Option<u64>, lent: &mut Lent<'_>) {
        if self.leaving.is_some() {
            return;
        }
        if self.hosts.at(slot).phase() == Phase::Candidate && !self.hosts.may_settle() {
            return self.candidate_failed(slot, lent);
        }
        self.hosts
            .enter(slot, Phase::Live(Check::None), &mut self.rng);
        self.timers.cancel(due::FIRST_HOST + slot);
        let counts = self.newcomers_count();
        let host = self.hosts.at_mut(slot);
        host.since = lent.now;
        host.counts |= counts;
        self.tell_up(slot, incarnation, lent);
        if self.hosts.members().len() == 1 {
            self.exchange_with(slot, lent);
        }
    }

    fn tell_up(&mut self, slot: Slot, incarnation: Option<u64>, lent: &mut Lent<'_>) {
        let host = self.hosts.at_mut(slot);
        host.incarnation = incarnation.unwrap_or(0);
        host.legacy = incarnation.is_none();
        host.attempts = 0;
        host.was_member = true;
        host.suspect = false;
        host.refused = false;
        host.abstains = false;
        let (node, incarnation, legacy) = (host.node, host.incarnation, host.legacy);
        lent.up.event(MembershipEvent::Up {
            node,
            host: &host.name,
            incarnation,
            legacy,
        });
        self.changed(lent);
    }

    /// A member's process is another one than before.
    fn restarted(&mut self, slot: Slot, incarnation: Option<u64>, lent: &mut Lent<'_>) {
        self.hosts
            .enter(slot, Phase::Live(Check::None), &mut self.rng);
        self.timers.cancel(due::FIRST_HOST + slot);
        let node = self.hosts.at(slot).node;
        lent.up.event(MembershipEvent::Down {
            node,
            reason: DownReason::Restarted,
        });
        self.tell_up(slot, incarnation, lent);
    }

    /// A member goes, and is remembered as gone.
    pub(super) fn remove(
        &mut self,
        slot: Slot,
        reason: DownReason,
        returns: Returns,
        lent: &mut Lent<'_>,
    ) {
        self.hosts
            .enter(slot, Phase::Dead(reason, returns), &mut self.rng);
        let host = self.hosts.at_mut(slot);
        host.suspect = false;
        host.attempts = 0;
        host.since = lent.now;
        host.verify_after = lent.now + self.config.verify_interval;
        let node = host.node;
        self.set_tombstone_timer(slot, lent.now);
        lent.up.event(MembershipEvent::Down { node, reason });
        if matches!(reason, DownReason::Failed | DownReason::Declared) {
            self.spread(slot, lent);
        }
        self.changed(lent);
    }

    /// A wait that doubles with the attempts that failed.
    fn back_off(&mut self, shortest: Duration, attempts: u8) -> Duration {
        let doubled = shortest.saturating_mul(1 << attempts.min(16));
        self.rng
            .jitter(doubled.min(self.config.retry_interval_max), 10)
    }

    pub(super) fn candidate_failed(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let wait = self.back_off(self.config.probe_timeout, self.hosts.at(slot).attempts);
        let host = self.hosts.at_mut(slot);
        host.attempts = host.attempts.saturating_add(1);
        let given_up = !host.seed && host.attempts >= CANDIDATE_ATTEMPTS;
        // Kept for a while after the last attempt, so that those who list it do not cause a storm.
        let wait = if given_up {
            self.config.retry_interval_max
        } else {
            wait
        };
        self.timers.set(due::FIRST_HOST + slot, lent.now + wait);
    }

    pub(super) fn candidate_due(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        let host = self.hosts.at(slot);
        if !host.seed && host.attempts >= CANDIDATE_ATTEMPTS && !host.pinging && !host.queued {
            self.let_go(slot, lent);
        } else {
            self.look_into(slot, lent);
        }
    }

    /// Gives the place of a host away.
    fn let_go(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        if let Some(node) = self.hosts.forget(slot, &mut self.rng) {
            lent.io.forget(node);
        }
    }

    /// Failed hosts are tried again, so that a partition heals. So are seeds that went otherwise: one
    /// that starts anew may find nobody it knows. Others that said goodbye are not.
    fn is_looked_for(&self, slot: Slot) -> bool {
        if self.planted(MembershipPlant::NoReunion) {
            return false;
        }
        let host = self.hosts.at(slot);
        match host.phase() {
            Phase::Dead(DownReason::Failed, _) => true,
            Phase::Dead(_, Returns::ByNewStart) => host.seed,
            Phase::Dead(_, Returns::ByAnswer) | Phase::Free | Phase::Candidate | Phase::Live(_) => {
                false
            }
        }
    }

    fn set_tombstone_timer(&mut self, slot: Slot, now: Instant) {
        let host = self.hosts.at(slot);
        let ends = host.since + self.config.tombstone;
        let ends = if ends > now {
            ends
        } else {
            now + self.config.tombstone
        };
        let due = if self.is_looked_for(slot) {
            let attempts = host.attempts;
            ends.min(now + self.back_off(self.config.verify_interval, attempts))
        } else {
            ends
        };
        self.timers.set(due::FIRST_HOST + slot, due);
    }

    pub(super) fn tombstone_due(&mut self, slot: Slot, reason: DownReason, lent: &mut Lent<'_>) {
        let host = self.hosts.at_mut(slot);
        let over = lent.now.since(host.since) >= self.config.tombstone;
        let idle = !host.pinging && !host.queued;
        if over && idle && (reason != DownReason::Failed || self.may_forget_failed(lent.now)) {
            return self.forget(slot, lent);
        }
        if self.is_looked_for(slot) {
            let host = self.hosts.at_mut(slot);
            host.attempts = host.attempts.saturating_add(1);
            self.verify_gone(slot, lent);
            self.set_tombstone_timer(slot, lent.now);
        } else {
            let wait = if over {
                self.config.probe_timeout
            } else {
                self.config.tombstone
            };
            self.timers.set(due::FIRST_HOST + slot, lent.now + wait);
        }
    }

    /// A tombstone has ended; a seed is looked for again.
    fn forget(&mut self, slot: Slot, lent: &mut Lent<'_>) {
        if !self.hosts.at(slot).seed {
            self.let_go(slot, lent);
        } else if self.hosts.has_room() {
            self.hosts.enter(slot, Phase::Candidate, &mut self.rng);
            let host = self.hosts.at_mut(slot);
            (host.incarnation, host.legacy, host.attempts, host.counts) = (0, false, 0, false);
            self.look_into(slot, lent);
        } else {
            self.timers.set(
                due::FIRST_HOST + slot,
                lent.now + self.config.retry_interval_max,
            );
        }
        self.count_majority(lent.now, false, lent.up);
    }

    pub(super) fn declare_down(
        &mut self,
        name: &str,
        lent: &mut Lent<'_>,
    ) -> Result<(), MembershipRefused> {
        self.checked_host(name)?;
        let slot = self.hosts.by_name(name).ok_or(MembershipRefused::Unknown)?;
        match self.hosts.at(slot).phase() {
            Phase::Free | Phase::Candidate => return Err(MembershipRefused::Unknown),
            Phase::Live(_) => self.remove(slot, DownReason::Declared, self.returns(slot), lent),
            Phase::Dead(..) => self.gone(slot, DownReason::Declared, lent),
        }
        Ok(())
    }

    /// More is known of a host that went than before. One that failed does not count against the
    /// majority any more.
    pub(super) fn gone(&mut self, slot: Slot, reason: DownReason, lent: &mut Lent<'_>) {
        let had_failed = self.hosts.at(slot).phase().has_failed();
        self.hosts
            .enter(slot, Phase::Dead(reason, self.returns(slot)), &mut self.rng);
        self.set_tombstone_timer(slot, lent.now);
        if had_failed {
            self.changed(lent);
        }
    }

    /// How a host comes back that said goodbye or was declared dead: one that tells no incarnation
    /// cannot come back by a new one.
    pub(super) fn returns(&self, slot: Slot) -> Returns {
        if self.hosts.at(slot).legacy {
            Returns::ByAnswer
        } else {
            Returns::ByNewStart
        }
    }
}
