//! Which side of a partition may go on.
//!
//! A side is counted against everybody it knew: its members and the hosts it removed because they
//! failed. Hosts that said goodbye or were declared dead do not count, nor do hosts that came while
//! the majority was lost, until a member that holds it vouches for them. A node that meets such a member
//! is on its side again, whomever it counted before. A host that is suspected still counts as a member. So two sides never both
//! hold the majority of one and the same set of hosts; they may for about a hold, while one of them
//! still waits for suspects, and that is covered by the journals' fences, not here.
//!
//! Where the larger part of a cluster is lost for good, the rest gets the majority back when the lost
//! hosts are declared dead.

use super::hosts::{Host, Slot};
use super::{Lent, Membership, MembershipEvent};
use crate::machine::Events;
use crate::time::Instant;

/// What the smaller side of a partition does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionPolicy {
    /// Both sides go on, as implementations of the seed protocol do. Failed hosts are forgotten after
    /// a tombstone; a partition longer than that heals through seeds only.
    KeepBoth,
    /// The side with more than half of the hosts goes on; of two equal halves, the one with the
    /// lexicographically lowest host string. A side that has held the majority for the time of a
    /// tombstone forgets its failed hosts, so a majority may shrink and a minority never turns into
    /// one. A node that has seeds holds no majority until a member has answered for itself, or it has
    /// begun alone.
    #[default]
    KeepMajority,
    /// The side that hears a quorum of voters goes on, however many hosts it has: what the election
    /// says, by [`MembershipCommand::Quorum`](super::MembershipCommand::Quorum). Where the voters are
    /// few and the hosts come and go, the voters are the better measure. Nobody goes on before it was
    /// said.
    KeepQuorum,
}

/// What an answer to an exchange lists, apart from whom.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Says {
    /// This node.
    pub(super) us: bool,
    /// Somebody who failed, as this node sees it.
    pub(super) failed: bool,
}

impl Membership {
    /// Whether this side may own anything.
    #[must_use]
    pub const fn has_majority(&self) -> bool {
        self.majority
    }

    fn counts_majority(&self) -> bool {
        match self.config.partition {
            PartitionPolicy::KeepBoth => true,
            PartitionPolicy::KeepMajority => {
                if !self.joined || (self.majority && self.hosts.failed() == 0) {
                    return self.joined;
                }
                self.outnumbers(|host| host.phase().is_live())
            }
            PartitionPolicy::KeepQuorum => self.joined && self.quorum,
        }
    }

    /// Whether this side would go on if every suspect turned out to have failed. Only such a node
    /// vouches for itself: its word may bring others back.
    pub(super) fn is_sure_of_majority(&self) -> bool {
        match self.config.partition {
            PartitionPolicy::KeepBoth => true,
            PartitionPolicy::KeepMajority => {
                let there = |host: &Host| host.is_healthy();
                self.majority && (self.hosts.all_well() || self.outnumbers(there))
            }
            PartitionPolicy::KeepQuorum => self.majority,
        }
    }

    /// Whether the hosts that are there outnumber those that are not, of all that count. This node is
    /// there; of two equal halves, the one with the lowest name outnumbers the other.
    fn outnumbers(&self, there: impl Fn(&Host) -> bool) -> bool {
        let (mut with_us, mut gone) = (1, 0);
        let mut lowest = (&*self.config.host, true);
        for host in self.hosts.known().filter(|host| host.counts) {
            let is_there = there(host);
            if !is_there && !host.phase().is_live() && !host.phase().has_failed() {
                continue;
            }
            with_us += u32::from(is_there);
            gone += u32::from(!is_there);
            lowest = lowest.min((&*host.name, is_there));
        }
        with_us > gone || (with_us == gone && lowest.1)
    }

    /// Whether a host that comes now counts: not while this node is on the smaller side, or a minority
    /// could grow into a majority beside the one there is.
    pub(super) const fn newcomers_count(&self) -> bool {
        !self.is_minority()
    }

    /// Whether this node held the majority once and lost it.
    pub(super) const fn is_minority(&self) -> bool {
        self.joined && !self.majority
    }

    /// A member answered an exchange, and the hosts it listed are marked. One that has the majority
    /// lists itself and whoever asks; one that lost it leaves itself out; one that has not joined lists
    /// itself alone; a legacy host knows none of this.
    pub(super) fn vouched(&mut self, callee: Slot, says: Says, lent: &mut Lent<'_>) {
        let mark = self.exchange;
        let host = self.hosts.at_mut(callee);
        let (legacy, for_itself) = (host.legacy, host.mark == mark);
        host.abstains = !legacy && !for_itself;
        let is_of_majority = !legacy && for_itself && says.us;
        if !self.joined {
            // Those that start together begin together, unless somebody there has lost a cluster.
            self.joined = legacy
                || is_of_majority
                || (for_itself && !self.hosts.live().any(|host| host.abstains));
        } else if self.is_minority() && is_of_majority {
            // Back on the larger side, which counts this node among its own. If it does not know of
            // those who failed here, it goes on without them; else they are there, or it has not
            // noticed yet.
            self.hosts.count_listed(mark);
            if !says.failed {
                self.hosts.count_no_failed();
            }
        } else {
            return;
        }
        self.count_majority(lent.now, false, lent.up);
    }

    /// Whether hosts that failed may be forgotten by now.
    pub(super) fn may_forget_failed(&self, now: Instant) -> bool {
        match self.config.partition {
            PartitionPolicy::KeepBoth => true,
            PartitionPolicy::KeepMajority | PartitionPolicy::KeepQuorum => {
                self.majority && now.since(self.majority_since) >= self.config.tombstone
            }
        }
    }

    /// Counts again, and tells if the outcome changed; at the start, in any case.
    pub(super) fn count_majority(
        &mut self,
        now: Instant,
        at_start: bool,
        up: &mut dyn Events<Self>,
    ) {
        let majority = self.counts_majority();
        if majority != self.majority || at_start {
            self.majority = majority;
            self.majority_since = now;
            if majority {
                self.hosts.count_all_members();
            }
            up.event(MembershipEvent::Majority(majority));
        }
    }
}
