//! How strongly a host claims a slot: a total order of hosts per slot.

use core::cmp::Ordering;

use super::hash::{fmix64, splitmix64};
use super::slot_of;
use super::weight::{self, Weight};
use crate::xxh3::xxh3_64;

/// How strongly a host claims a slot. The greater of two ranks for the same id is the better claim;
/// the greatest of a set of hosts is the owner.
///
/// Two ranks are equal only if host and weight are. Compare ranks of one id and one slot count only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rank<'a> {
    bid: u64,
    hash: u64,
    host: &'a str,
}

impl<'a> Rank<'a> {
    /// `mixed` is the slot number through SplitMix64, `seed` the hash of the host string.
    pub(super) const fn new(mixed: u64, seed: u64, weight: Weight, host: &'a str) -> Self {
        let hash = fmix64(mixed ^ seed);
        Self {
            bid: weight::bid(hash, weight),
            hash,
            host,
        }
    }

    /// The host that claims.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }
}

impl Ord for Rank<'_> {
    /// The lower bid, then the higher hash, then the smaller host string is the greater rank.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .bid
            .cmp(&self.bid)
            .then(self.hash.cmp(&other.hash))
            .then_with(|| other.host.cmp(self.host))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The rank of any host for `id`, whether or not it is in a set: settles a dispute between two
/// claimants the same way on every node. `slots_log2` is the cluster's setting, at most
/// [`SLOTS_LOG2_MAX`](super::SLOTS_LOG2_MAX); more counts as that. Cost: the hash of the host string and about 10 ns.
#[must_use]
pub fn rank(host: &str, weight: Weight, id: u64, slots_log2: u8) -> Rank<'_> {
    let slot = slot_of(id, slots_log2);
    Rank::new(
        splitmix64(u64::from(slot)),
        xxh3_64(host.as_bytes()),
        weight,
        host,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bid_then_hash_then_name() {
        let better = Rank {
            bid: 1,
            hash: 1,
            host: "b",
        };
        let by_bid = Rank {
            bid: 2,
            hash: 9,
            host: "a",
        };
        let by_hash = Rank {
            bid: 1,
            hash: 0,
            host: "a",
        };
        let by_name = Rank {
            bid: 1,
            hash: 1,
            host: "c",
        };
        for worse in [by_bid, by_hash, by_name] {
            assert_eq!(better.cmp(&worse), Ordering::Greater);
            assert_eq!(worse.cmp(&better), Ordering::Less);
        }
    }

    #[test]
    fn weight_makes_a_better_claim() {
        let heavy = Weight::new(1 << 20).unwrap();
        let wins =
            (0..1000).filter(|id| rank("a", heavy, *id, 16) > rank("b", Weight::ONE, *id, 16));
        assert!(wins.count() > 990);
    }
}
