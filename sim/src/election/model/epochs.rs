//! How the voters of a world change: which there are at each epoch, and who may go on to the next.

use trefoil_core::election::Seat;
use trefoil_core::election::ballot;
use trefoil_core::election::elector::Vote;
use trefoil_core::election::electorate::{Electorate, NOBODY, RETIRED};

/// Which rules of the change of electorates hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// All of them.
    Checked,
    /// All but that an epoch must have had a leader before it is left.
    Unsettled,
    /// All but that a promise to a voter that was removed still binds.
    Released,
    /// None.
    Any,
}

/// The electorates of a world, one bit for each voter of each.
#[derive(Clone, Debug)]
pub struct Epochs {
    members: Vec<u8>,
    moves: Moves,
}

impl Epochs {
    /// The epochs, from the first on.
    #[must_use]
    pub fn new(members: &[u8], moves: Moves) -> Self {
        let members = members.to_vec();
        Self { members, moves }
    }

    /// The same voters for ever.
    #[must_use]
    pub fn one(voters: u8) -> Self {
        Self::new(&[(1 << voters) - 1], Moves::Checked)
    }

    /// The epoch in which a voter begins: the first it is a voter of.
    pub(super) fn first(&self, seat: u8) -> u8 {
        let has = |members: &u8| members >> seat & 1 == 1;
        self.members.iter().position(has).unwrap_or(0) as u8
    }

    /// Places of an epoch, and those that are empty.
    pub(super) fn places(&self, epoch: u8) -> (u8, u64) {
        let members = self.members[usize::from(epoch)];
        let places = 8 - members.leading_zeros() as u8;
        (places, ((1 << places) - 1) & !u64::from(members))
    }

    fn electorate(&self, epoch: u8) -> Electorate {
        let (places, retired) = self.places(epoch);
        let name = |seat| match retired >> seat & 1 {
            0 => format!("v{seat}:1"),
            _ => RETIRED.to_owned(),
        };
        Electorate {
            epoch: u64::from(epoch) + 1,
            places: (0..places).map(name).collect(),
        }
    }

    /// Whether a voter may be restarted into the epoch after `epoch`: the shipping rule. `settled` is
    /// whether that had a leader: a real voter must have heard of it, too.
    pub(super) fn may_move(&self, epoch: u8, seat: u8, settled: bool) -> bool {
        let is_member = |members: &u8| members >> seat & 1 == 1;
        if !self
            .members
            .get(usize::from(epoch) + 1)
            .is_some_and(is_member)
        {
            return false;
        }
        let (before, next) = (self.electorate(epoch), self.electorate(epoch + 1));
        match self.moves {
            Moves::Checked | Moves::Released => next.follows(&before, settled).is_ok(),
            Moves::Unsettled => next.follows(&before, true).is_ok(),
            Moves::Any => true,
        }
    }

    /// What a voter that kept `vote` in one epoch reads of it in the next: by the shipping bytes.
    pub(super) fn carried(&self, vote: Vote, epoch: u8) -> Vote {
        let mut bytes = Vec::new();
        ballot::write(vote, &self.electorate(epoch), true, &mut bytes);
        let kept = ballot::read(&bytes, &self.electorate(epoch + 1));
        let mut vote = kept.map(|kept| kept.vote).unwrap_or_default();
        if self.moves == Moves::Released {
            vote.promise = vote.promise.filter(|(to, _)| *to != NOBODY);
        }
        vote
    }

    /// How many there are.
    pub(super) fn count(&self) -> u8 {
        self.members.len() as u8
    }

    /// All voters there ever are.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> + '_ {
        let most = (0..self.count()).map(|epoch| self.places(epoch).0).max();
        (0..most.unwrap_or(0)).map(Seat)
    }
}
