//! The definition of the placement once more, as short as it can be said and with other means: the
//! string hash of another crate, the logarithm by floating point, no table of slots, no shortcuts.

use std::cmp::Reverse;

use super::Named;

pub(super) fn fmix64(mut k: u64) -> u64 {
    for factor in [0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53, 1_u64] {
        k = (k ^ (k >> 33)).wrapping_mul(factor);
    }
    k
}

pub(super) fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e3779b97f4a7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58476d1ce4e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d049bb133111eb);
    z ^ z >> 31
}

/// `-log2(hash / 2^64) * 2^57`, by straight lines between 257 points.
pub(super) fn cost(hash: u64) -> u64 {
    let point = |i: u64| {
        ((-(((256 + i) as f64) / 512.0).log2() * (1_u64 << 40) as f64).round() as u128) << 17
    };
    let hash = hash.max(1) | 1;
    let halvings = hash.leading_zeros();
    let (i, within) = (
        (hash << halvings << 1) >> 56,
        u128::from((hash << halvings) % (1 << 55)),
    );
    ((u128::from(halvings) << 57) + point(i) - (((point(i) - point(i + 1)) * within) >> 55)) as u64
}

pub(super) fn slot(id: u64, slots_log2: u8) -> u64 {
    fmix64(id) >> (64 - slots_log2)
}

/// The number of the owner among the hosts.
pub(super) fn owner_of_slot(hosts: &[Named], slot: u64) -> usize {
    let hash =
        |host: &Named| fmix64(splitmix64(slot) ^ xxhash_rust::xxh3::xxh3_64(host.name.as_bytes()));
    let claim = |host: &Named| {
        (
            cost(hash(host)) / u64::from(host.weight),
            Reverse(hash(host)),
            host.name.clone(),
        )
    };
    (0..hosts.len()).min_by_key(|n| claim(&hosts[*n])).unwrap()
}
