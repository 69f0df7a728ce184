//! Who votes, and how that changes without ever making two leaders.
//!
//! An electorate is a list of places and an epoch. A voter's seat is its place in the list, and part of
//! every token it makes; so a voter that goes leaves its place empty, [`RETIRED`], and no other moves. A
//! new voter takes a place at the end, or an empty one.
//!
//! # The rules
//! 1. A vote counts between voters of the same electorate alone, epoch included: a stream to or from one
//!    that names another carries none.
//! 2. The next epoch differs from the one before in one place at most. So a majority of the one and a
//!    majority of the other share a voter, whose promise outlives its restart.
//! 3. A voter never goes back, and goes on by one epoch at a time and only from one that is settled: in
//!    which there was a leader, and this voter has heard of it from that leader itself. All others wait:
//!    one that was down for long, and one that is new in an epoch after the first. They say nothing until a
//!    voter that takes part in their epoch asks them something. Whoever was the first to take part in it
//!    came from the epoch before, and that was settled.
//!
//! # Why that is enough
//! Leaders of one epoch or of two neighbours: their majorities share a voter, and a voter is bound to one
//! candidate at a time. Leaders of epochs further apart, say 1 and 3: somebody is in 3, so 2 had a leader
//! (rule 3), whom a majority of 2 had promised; each of these had left 1 for good (rule 1, and epochs are
//! kept before they are spoken of). Every majority of 1 has one of them (rule 2). So no leader of 1 had its
//! votes any more when 2 got its leader, and none will have. Tokens grow along the same voters: that of a
//! leader of 2 is above every one of 1 and below every one of 3, so an empty place may be taken by
//! another although its tokens carry the same seat.
//!
//! # What it costs
//! While an epoch is rolled out, voters of the old and of the new one do not hear each other. If the new
//! voter is started first and the one that goes is ended last, one side or the other has a majority, but
//! for the restart in the middle. A voter that lost its memory knows no epoch: it is to be started with
//! the newest electorate. A new cluster begins with epoch 1. Where votes are not kept at all ([`Memory::Lost`](super::Memory)), rule 3 is the
//! operator's to keep.

use alloc::string::String;
use alloc::vec::Vec;

use super::Seat;
use crate::codes;
use crate::xxh3::xxh3_64;

/// What stands in the list where a voter was that is none any more.
pub const RETIRED: &str = "-";

/// Whoever has no place. A promise to one who lost it binds to this.
pub const NOBODY: Seat = Seat(u8::MAX);

/// The voters by place, at one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate {
    /// Counts the changes of the list.
    pub epoch: u64,
    /// Addresses as on the wire, [`RETIRED`] where nobody is.
    pub places: Vec<String>,
}

/// Why a voter does not take part with the electorate it was configured with, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectorateRefused {
    /// The list is another than the one kept at the same epoch.
    SameEpoch,
    /// The epoch is before the one that was kept.
    WentBack,
    /// The epoch is more than one after the one that was kept: it waits for one that takes part.
    Skipped,
    /// More than one place differs from the epoch before.
    ManyPlaces,
    /// No leader of the epoch before is known to this voter: it waits for one that takes part.
    Unsettled,
}

impl ElectorateRefused {
    /// Whether another that takes part proves that this voter may.
    #[must_use]
    pub const fn is_a_wait(self) -> bool {
        matches!(self, Self::Skipped | Self::Unsettled)
    }

    /// Its stable code, and what it says.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::SameEpoch => codes::ELECTORATE_SAME_EPOCH,
            Self::WentBack => codes::ELECTORATE_WENT_BACK,
            Self::Skipped => codes::ELECTORATE_SKIPPED,
            Self::ManyPlaces => codes::ELECTORATE_MANY_PLACES,
            Self::Unsettled => codes::ELECTORATE_UNSETTLED,
        }
    }
}

impl Electorate {
    /// By which two voters know that they mean the same voters. XXH3-64, seed 0, of the text
    /// `trefoil-electorate 1`, the epoch as eight bytes, and each place as a length of four bytes and the
    /// address; integers little endian. Never zero, which says nothing.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut bytes = Vec::from(*b"trefoil-electorate 1");
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        for place in &self.places {
            bytes.extend_from_slice(&(place.len() as u32).to_le_bytes());
            bytes.extend_from_slice(place.as_bytes());
        }
        xxh3_64(&bytes).max(1)
    }

    /// Whether a voter that kept `before` may go on with this; `settled` is whether it knows of a leader
    /// of `before`.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn follows(&self, before: &Self, settled: bool) -> Result<(), ElectorateRefused> {
        if self.epoch == before.epoch {
            return match self.places == before.places {
                true => Ok(()),
                false => Err(ElectorateRefused::SameEpoch),
            };
        }
        if self.epoch < before.epoch {
            return Err(ElectorateRefused::WentBack);
        }
        if self.epoch - before.epoch > 1 {
            return Err(ElectorateRefused::Skipped);
        }
        if self.changes(before) > 1 {
            return Err(ElectorateRefused::ManyPlaces);
        }
        match settled {
            true => Ok(()),
            false => Err(ElectorateRefused::Unsettled),
        }
    }

    /// Voters that are in one of both and not in the other, by place. One that is replaced counts twice.
    fn changes(&self, before: &Self) -> usize {
        let longest = self.places.len().max(before.places.len());
        let change = |at| match (self.voter(at), before.voter(at)) {
            (Some(now), Some(then)) if now == then => 0,
            (Some(_), Some(_)) => 2,
            (Some(_), None) | (None, Some(_)) => 1,
            (None, None) => 0,
        };
        (0..longest).map(change).sum()
    }

    fn voter(&self, at: usize) -> Option<&str> {
        let place = self.places.get(at)?;
        (place != RETIRED).then_some(place)
    }

    /// The seat of an address, [`NOBODY`] if it has none.
    pub(super) fn seat(&self, addr: &[u8]) -> Seat {
        let is_it = |at: &usize| {
            self.voter(*at)
                .is_some_and(|voter| voter.as_bytes() == addr)
        };
        let at = (0..self.places.len()).find(is_it);
        at.and_then(|at| u8::try_from(at).ok()).map_or(NOBODY, Seat)
    }

    /// The address of a seat, [`RETIRED`] if nobody has it.
    pub(super) fn addr(&self, seat: Seat) -> &str {
        self.voter(usize::from(seat.0)).unwrap_or(RETIRED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn electorate(epoch: u64, places: &[&str]) -> Electorate {
        Electorate {
            epoch,
            places: places.iter().map(|place| String::from(*place)).collect(),
        }
    }

    const THREE: [&str; 3] = ["a:1", "b:1", "c:1"];

    #[test]
    fn the_hash_is_of_the_order_the_epoch_and_every_byte() {
        let hash = electorate(1, &THREE).hash();
        // Any language computes it; it must not change.
        assert_eq!(hash, 1_066_655_756_220_703_368);
        for other in [
            electorate(2, &THREE),
            electorate(1, &["b:1", "a:1", "c:1"]),
            electorate(1, &["a:1", "b:1", "c:1", RETIRED]),
            electorate(1, &["a:1b", ":1", "c:1"]),
        ] {
            assert_ne!(other.hash(), hash, "{other:?}");
        }
    }

    #[test]
    fn one_voter_comes_or_goes_in_one_epoch() {
        let three = electorate(1, &THREE);
        for (places, is_one) in [
            (vec!["a:1", "b:1", "c:1"], true),
            (vec!["a:1", "b:1", "c:1", "d:1"], true),
            (vec!["a:1", RETIRED, "c:1"], true),
            (vec!["a:1", "b:1"], true),
            (vec!["a:1", "b:1", "c:1", RETIRED, "d:1"], true),
            (vec!["a:1", "b:1", "c:1", "d:1", "e:1"], false),
            (vec!["a:1", "d:1", "c:1"], false),
            (vec!["a:1", "c:1"], false),
            (vec!["a:1", RETIRED, "c:1", "d:1"], false),
            (vec!["a:1"], false),
        ] {
            let wanted = match is_one {
                true => Ok(()),
                false => Err(ElectorateRefused::ManyPlaces),
            };
            assert_eq!(
                electorate(2, &places).follows(&three, true),
                wanted,
                "{places:?}"
            );
        }
        let hole = electorate(2, &["a:1", RETIRED, "c:1"]);
        let taken = electorate(3, &["a:1", "d:1", "c:1"]);
        assert_eq!(taken.follows(&hole, true), Ok(()));
    }

    #[test]
    fn an_epoch_neither_goes_back_nor_is_skipped_nor_left_unsettled() {
        let (two, three) = (electorate(2, &THREE), electorate(3, &THREE));
        assert_eq!(two.follows(&three, true), Err(ElectorateRefused::WentBack));
        let four = electorate(5, &THREE);
        assert_eq!(four.follows(&three, true), Err(ElectorateRefused::Skipped));
        assert_eq!(
            three.follows(&two, false),
            Err(ElectorateRefused::Unsettled)
        );
        assert_eq!(three.follows(&two, true), Ok(()));
        // The same is always right; another list of the same epoch never.
        assert_eq!(two.follows(&two, false), Ok(()));
        let other = electorate(2, &["a:1", "b:1", "c:1", "d:1"]);
        assert_eq!(other.follows(&two, true), Err(ElectorateRefused::SameEpoch));
    }
}
