//! Weights of hosts, by integers only.

use core::num::NonZeroU32;

/// How much a host should own, relative to the others: a host of weight 4 owns four times as much
/// as one of weight 1.
///
/// Only ratios count, and when all weights are equal they do not count at all. All nodes must give a
/// host the same weight, or they disagree about owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU32);

impl Weight {
    /// The weight of a host nothing is said about: 1.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// A weight, or `None` for 0: a host that should own nothing is not in the set.
    #[must_use]
    pub const fn new(weight: u32) -> Option<Self> {
        match NonZeroU32::new(weight) {
            Some(weight) => Some(Self(weight)),
            None => None,
        }
    }

    /// The weight as a number, at least 1.
    #[inline]
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0.get()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl From<NonZeroU32> for Weight {
    fn from(weight: NonZeroU32) -> Self {
        Self(weight)
    }
}

/// What a host bids for a slot: `-log2(hash / 2^64) / weight` in units of 2^-57, rounded down. The
/// lowest bid wins; equal bids go to the higher hash.
///
/// This is weighted rendezvous hashing (Schindelhauer and Schomaker 2005; Resch 2015): exponential
/// variables of rate `weight`, of which each is the smallest with a probability of its share. The
/// logarithm is interpolated linearly between the 257 points of [`LOG`], so it falls as the hash
/// grows, never rises, and errs by less than 0.2 % of its value; since all hosts err alike, shares
/// err by less than that. Cost: two multiplications and one division.
#[inline]
pub(super) const fn bid(hash: u64, weight: Weight) -> u64 {
    cost(hash) / weight.value() as u64
}

/// `-log2(hash / 2^64)` in units of 2^-57, interpolated; from 1 to 2^63. Hash 0 counts as 1.
const fn cost(hash: u64) -> u64 {
    let hash = hash | 1;
    let halvings = hash.leading_zeros();
    let mantissa = hash << halvings;
    let segment = (mantissa >> SEGMENT_BITS) as usize & (SEGMENTS - 1);
    let within = mantissa & ((1 << SEGMENT_BITS) - 1);
    let drop = (LOG[segment] - LOG[segment + 1]) << TABLE_SHIFT;
    let fallen = (drop as u128 * within as u128) >> SEGMENT_BITS;
    ((halvings as u64) << COST_BITS) + (LOG[segment] << TABLE_SHIFT) - fallen as u64
}

/// Whether the bid of `hash` is above `bid`, told without a logarithm. `false` says nothing.
///
/// `-log2(u)` is at least `1 - u`, which is the complement of the hash.
#[inline]
pub(super) const fn surely_above(hash: u64, weight: Weight, bid: u64) -> bool {
    let at_least = !hash >> (64 - COST_BITS);
    at_least >= bid.saturating_add(1).saturating_mul(weight.value() as u64)
}

/// Fraction bits of a cost: the largest, 64, still fits.
const COST_BITS: u32 = 57;
/// Fraction bits of the table: few enough for the table to be the rounded logarithm whatever
/// precision above 50 bits computed it.
const TABLE_BITS: u32 = 40;
const TABLE_SHIFT: u32 = COST_BITS - TABLE_BITS;
const SEGMENTS: usize = 256;
const SEGMENT_BITS: u32 = 55;

/// `LOG[i] = round(2^40 * -log2((256 + i) / 512))`: from 2^40 at one half down to 0 at one.
const LOG: [u64; SEGMENTS + 1] = log_table();

const fn log_table() -> [u64; SEGMENTS + 1] {
    let mut table = [0; SEGMENTS + 1];
    let mut point = 0;
    while point < SEGMENTS {
        table[point] = (1 << TABLE_BITS) - log2_of_mantissa((SEGMENTS + point) as u64);
        point += 1;
    }
    table
}

/// `round(2^40 * log2(mantissa / 256))` for a mantissa from 256 to 511, one bit a squaring.
const fn log2_of_mantissa(mantissa: u64) -> u64 {
    // A number from 1 up to 2 with 63 fraction bits.
    let mut value = mantissa << 55;
    let mut log = 0;
    let mut bit = 0;
    while bit <= TABLE_BITS {
        let square = value as u128 * value as u128;
        let doubled = square >> 127;
        log = log << 1 | doubled as u64;
        value = (square >> (63 + doubled)) as u64;
        bit += 1;
    }
    (log + 1) >> 1
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::ring::placement::hash::fmix64;

    fn hashes() -> impl Iterator<Item = u64> {
        let edges =
            (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, !(1 << bit), u64::MAX << bit]);
        edges
            .chain((1..20_000).map(fmix64))
            .chain((1..20_000).map(|n| u64::MAX - (fmix64(n) >> (n % 60))))
    }

    #[test]
    fn the_logarithm_is_within_two_in_a_thousand() {
        assert_eq!((LOG[0], LOG[SEGMENTS]), (1 << 40, 0));
        for (point, log) in LOG.iter().enumerate() {
            let real = -(((256 + point) as f64) / 512.0).log2() * (1_u64 << 40) as f64;
            assert_eq!(*log, real.round() as u64, "point {point}");
        }
        for hash in hashes().filter(|hash| *hash < 1 << 63) {
            // The complement is exact near one, where the floating logarithm of the hash is not.
            let complement = hash as f64 / 2_f64.powi(64);
            let real = -(-complement).ln_1p() / 2_f64.ln();
            let ours = cost(u64::MAX - hash) as f64 / 2_f64.powi(57);
            assert!(
                (ours - real).abs() <= real * 0.002 + 2_f64.powi(-56),
                "{hash:x}: {ours} {real}"
            );
        }
        assert_eq!(cost(0), 1 << 63);
        assert_eq!(cost(u64::MAX), 1);
    }

    #[test]
    fn the_logarithm_never_rises() {
        let mut hashes: alloc::vec::Vec<u64> = hashes().collect();
        hashes.sort_unstable();
        assert!(hashes.is_sorted_by(|low, high| cost(*low) >= cost(*high)));
    }

    #[test]
    fn the_shortcut_is_never_wrong() {
        let mut told = 0;
        for hash in hashes() {
            for weight in [1, 2, 3, 1000, u32::MAX].map(|weight| Weight::new(weight).unwrap()) {
                let exact = bid(hash, weight);
                for other in [
                    0,
                    1,
                    exact / 2,
                    exact.saturating_sub(1),
                    exact,
                    exact + 1,
                    u64::MAX,
                ] {
                    if surely_above(hash, weight, other) {
                        told += 1;
                        assert!(exact > other);
                    }
                }
            }
        }
        assert!(told > 100_000, "{told}");
    }

    #[test]
    fn no_weight_is_zero() {
        assert_eq!(Weight::new(0), None);
        assert_eq!(Weight::new(1), Some(Weight::default()));
        assert_eq!(Weight::from(NonZeroU32::MAX).value(), u32::MAX);
    }
}
