//! Two hosts claim one id: who keeps it.
//!
//! Every node ranks two of ours by the placement, which is a pure function of their names and the
//! id, so all of them name the same winner without a word. A host that is not one of ours knows no
//! rank and never yields: an id it claims is left to it. Between two such hosts nobody but they
//! can decide; the first one heard stays.

use super::claims::SELF;
use super::index::Host;
use super::{Directory, DirectoryEvent, DirectoryPlant};
use crate::machine::Events;
use crate::time::Instant;

impl Directory {
    /// Whether `challenger` is to be believed rather than `holder`. Cost: two scores.
    pub(super) fn outranks(&self, challenger: Host, holder: Host, id: u64) -> bool {
        if self.planted(DirectoryPlant::NoTieBreak) {
            return false;
        }
        let (challenger, holder) = (self.peers.at(challenger), self.peers.at(holder));
        match (challenger.legacy, holder.legacy) {
            (true, holder) => !holder,
            (false, true) => false,
            // A host without a rank is no member any more: anyone is to be believed rather than it.
            (false, false) => {
                self.placement.rank(challenger.node.0, id) > self.placement.rank(holder.node.0, id)
            }
        }
    }

    /// This node's claim of `id` gives way.
    pub(super) fn lose(&mut self, now: Instant, id: u64, winner: Host, up: &mut dyn Events<Self>) {
        // There is a claim already, so there is room for it.
        let _ = self.claims.set(id, winner, self.fetch_number);
        self.counters.contests_lost += 1;
        // The others may have heard this node first: they take the winner in only once they know.
        self.changed_own(now, id, true);
        up.event(DirectoryEvent::Lost {
            id,
            winner: self.peers.at(winner).node,
        });
        self.told_own(id, up);
    }

    /// This node keeps `id` against `other`, and sees to it that `other` hears of it.
    pub(super) fn keep(&mut self, now: Instant, id: u64, other: Host, up: &mut dyn Events<Self>) {
        self.counters.contests_won += 1;
        up.event(DirectoryEvent::Kept { id });
        self.dispute(now, other, id);
    }

    /// Own `id` is announced to `other` until it is taken.
    pub(super) fn dispute(&mut self, now: Instant, other: Host, id: u64) {
        let claims = &self.claims;
        let peer = self.peers.at_mut(other);
        if peer.disputed.len() >= self.config.disputed_max as usize && !peer.disputed_all {
            peer.disputed.retain(|id| claims.owner(*id) == Some(SELF));
            peer.disputed.sort_unstable();
            peer.disputed.dedup();
        }
        if peer.disputed.len() < self.config.disputed_max as usize {
            peer.disputed.push(id);
        } else {
            peer.disputed_all = true;
        }
        peer.dispute_at = peer.dispute_at.or(Some(now));
    }

    /// A change of an own id is told right now, not at the next due time.
    pub(super) fn told_own(&mut self, id: u64, up: &mut dyn Events<Self>) {
        self.log.told_newest();
        self.tell(id, up);
    }
}
