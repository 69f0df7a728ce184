//! What must hold, and the look whether it does, after every event.

use trefoil_core::election::elector::Role;
use trefoil_core::election::electorate::NOBODY;
use trefoil_core::election::{Election, Seat};

use super::world::World;

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one leads within its lease.
    OneLeader,
    /// Tokens of leaderships grow.
    TokensGrow,
    /// Every vote that is counted is backed by a promise.
    VotesAreBacked,
    /// A quorum that hears each other has a leader in time.
    LeaderInTime,
    /// A leader whose quorum hears it stays.
    NoDisruption,
    /// A voter holds no more streams than it may.
    Bounded,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OneLeader,
        Self::TokensGrow,
        Self::VotesAreBacked,
        Self::LeaderInTime,
        Self::NoDisruption,
        Self::Bounded,
    ];

    /// In words.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::OneLeader => "at most one node leads within its lease",
            Self::TokensGrow => "tokens of successive leaderships grow",
            Self::VotesAreBacked => "every counted vote is backed by a promise",
            Self::LeaderInTime => "a quorum that hears each other has a leader in time",
            Self::NoDisruption => "a leader whose quorum hears it stays",
            Self::Bounded => "a voter holds no more streams than it may",
        }
    }
}

impl World {
    /// Looks for what does not hold.
    pub(super) fn judge(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let mut leader = None;
        for voter in 0..self.voters.len() {
            let process = &self.voters[voter];
            let now = process.clock.show(self.now);
            if process
                .election
                .as_ref()
                .is_some_and(|election| election.leads(now))
            {
                if leader.is_some() {
                    return self.breaks(Invariant::OneLeader);
                }
                leader = Some(voter);
            }
        }
        if self.regime.hostile && !(0..self.voters.len()).all(|voter| self.is_bounded(voter)) {
            self.breaks(Invariant::Bounded);
        }
        let unbacked = leader.is_some_and(|leader| !self.is_backed(leader));
        if unbacked {
            self.breaks(Invariant::VotesAreBacked);
        }
    }

    /// Something does not hold. The first thing counts.
    pub(super) fn breaks(&mut self, what: Invariant) {
        let seen = self.broken.is_none() && !self.is_excused(what);
        if seen && self.watch.is_none_or(|watched| watched == what) {
            self.broken = Some((what, self.now));
        }
    }

    fn is_backed(&self, leader: usize) -> bool {
        let process = &self.voters[leader];
        let Some(elector) = process.election.as_ref().map(Election::elector) else {
            return true;
        };
        let Role::Leader(token) = elector.role() else {
            return true;
        };
        let now = process.clock.show(self.now);
        (0..self.voters.len())
            .filter(|voter| *voter != leader)
            .all(|voter| {
                let counted = elector
                    .granted_at(Seat(voter as u8))
                    .is_some_and(|sent| now < sent + elector.rules().lease);
                let other = &self.voters[voter];
                // One that is down says nothing, and one that comes back is bound anew or silent.
                !counted
                    || other.election.as_ref().is_none_or(|election| {
                        let (elector, now) = (election.elector(), other.clock.show(self.now));
                        election.elector().silent_until(now).is_some()
                            || elector.bound_to(now).is_some_and(|bound| {
                                // One that was removed is bound to by whoever knew it.
                                [Seat(leader as u8), NOBODY].contains(&bound.to)
                                    && bound.token == token
                            })
                    })
            })
    }
}
