//! The hashes against other implementations of them.

use proptest::prelude::*;
use trefoil_core::ring::placement::hash::{fmix64, splitmix64};
use trefoil_core::ring::placement::xxh3_64;

use super::reference;

#[test]
fn xxh3_is_xxh3_at_every_length() {
    let bytes: Vec<u8> = (0..4096).map(|n| splitmix64(n) as u8).collect();
    for length in 0..=1024 {
        for start in [0, 1, 1023] {
            let bytes = &bytes[start..start + length];
            assert_eq!(
                xxh3_64(bytes),
                xxhash_rust::xxh3::xxh3_64(bytes),
                "{length} bytes from {start}"
            );
        }
    }
    for length in [1025, 1087, 1088, 1089, 2047, 2048, 2049, 4096] {
        assert_eq!(
            xxh3_64(&bytes[..length]),
            xxhash_rust::xxh3::xxh3_64(&bytes[..length]),
            "{length} bytes"
        );
    }
}

proptest! {
    #[test]
    fn xxh3_is_xxh3_for_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(xxh3_64(&bytes), xxhash_rust::xxh3::xxh3_64(&bytes));
    }

    #[test]
    fn integer_hashes_are_as_published(value: u64) {
        prop_assert_eq!(fmix64(value), reference::fmix64(value));
        prop_assert_eq!(splitmix64(value), reference::splitmix64(value));
    }
}

/// Ids as they occur - counted, shifted, strided - fill the slots as evenly as random ones: the
/// chi-square per degree of freedom is 1 within six standard deviations.
#[test]
fn any_pattern_of_ids_fills_the_slots() {
    let patterns: [fn(u64) -> u64; 4] = [|n| n, |n| n << 32, |n| n * 1000, |n| n.reverse_bits()];
    for (pattern, id) in patterns.into_iter().enumerate() {
        let mut counts = vec![0_u32; 4096];
        for n in 0..4096 * 64 {
            counts[reference::slot(id(n), 12) as usize] += 1;
        }
        let chi: f64 = counts
            .iter()
            .map(|count| (f64::from(*count) - 64.0).powi(2) / 64.0)
            .sum();
        assert!(
            (chi / 4095.0 - 1.0).abs() < 6.0 * (2.0_f64 / 4095.0).sqrt(),
            "pattern {pattern}: {chi}"
        );
    }
}
