//! The named integer hashes of the placement: any language writes them in three lines.

/// MurmurHash3's 64-bit finaliser, `fmix64` (Appleby, public domain, 2011).
///
/// A bijection of 64 bits in which each bit of the input changes each bit of the output with a
/// probability of about one half: sequential, shifted and strided ids spread like random ones, and
/// different ids never collide before the slot number cuts them short. `fmix64(0)` is 0.
/// Cost: two multiplications, three shifts.
#[inline]
#[must_use]
pub const fn fmix64(value: u64) -> u64 {
    let hash = fmix64_high(value);
    hash ^ (hash >> 33)
}

/// [`fmix64`] as far as its upper 33 bits go, which is all a slot number takes: the last step only
/// changes the lower 31.
#[inline]
pub(super) const fn fmix64_high(value: u64) -> u64 {
    let mut hash = value;
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash
}

/// The first output of SplitMix64 seeded with `value` (Steele, Lea, Flood, OOPSLA 2014, with
/// Stafford's thirteenth variant of the mixer).
///
/// A bijection too, and another one than [`fmix64`]: a slot number mixed by it is unrelated to the
/// ids that fall into the slot. Cost: two multiplications, three shifts.
#[inline]
#[must_use]
pub const fn splitmix64(value: u64) -> u64 {
    let mut hash = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // SplitMix64 seeded with 1234567: its state grows by the golden gamma per output.
        let gamma = 0x9e37_79b9_7f4a_7c15_u64;
        let outputs = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        for (steps, output) in outputs.into_iter().enumerate() {
            assert_eq!(
                splitmix64(gamma.wrapping_mul(steps as u64).wrapping_add(1_234_567)),
                output
            );
        }
        assert_eq!(fmix64(0), 0);
        assert_eq!(fmix64(1), 0xb456_bcfc_34c2_cb2c);
    }
}
