//! XXH3-64 with seed 0: the hash of host names.
//!
//! Written from the xxHash specification (Collet, `doc/xxhash_spec.md`, version 0.2). All multi-byte
//! reads are little-endian, so every machine computes the same value.

const PRIME32_1: u64 = 0x9e37_79b1;
const PRIME32_2: u64 = 0x85eb_ca77;
const PRIME32_3: u64 = 0xc2b2_ae3d;
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME64_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME64_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME64_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME64_5: u64 = 0x27d4_eb2f_1656_67c5;
const PRIME_MX1: u64 = 0x1656_6791_9e37_79f9;
const PRIME_MX2: u64 = 0x9fb2_1c65_1e98_df25;

/// The default secret of the specification.
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad,
    0x1c, //
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67,
    0x1f, //
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72,
    0x21, //
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26,
    0x4c, //
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e,
    0xa3, //
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac,
    0xd8, //
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f,
    0x1d, //
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73,
    0x64, //
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63,
    0xeb, //
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68,
    0x9e, //
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31,
    0xce, //
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40,
    0x7e, //
];

/// XXH3-64 of `bytes` with seed 0 and the default secret, equal to `XXH3_64bits` of the xxHash
/// library. Cost: about 2 ns up to 16 bytes, 10 ns up to 128; nothing is allocated.
#[must_use]
pub fn xxh3_64(bytes: &[u8]) -> u64 {
    match bytes.len() {
        0 => avalanche_xxh64(secret(56) ^ secret(64)),
        1..=3 => hash_1_to_3(bytes),
        4..=8 => hash_4_to_8(bytes),
        9..=16 => hash_9_to_16(bytes),
        17..=128 => hash_17_to_128(bytes),
        129..=240 => hash_129_to_240(bytes),
        _ => hash_long(bytes),
    }
}

fn hash_1_to_3(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let (first, middle, last) = (bytes[0], bytes[length / 2], bytes[length - 1]);
    let combined = u32::from_le_bytes([last, length as u8, first, middle]);
    avalanche_xxh64(u64::from(
        combined ^ word32(&SECRET, 0) ^ word32(&SECRET, 4),
    ))
}

fn hash_4_to_8(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let low = u64::from(word32(bytes, length - 4));
    let high = u64::from(word32(bytes, 0));
    let mut hash = (low | high << 32) ^ secret(8) ^ secret(16);
    hash ^= hash.rotate_left(49) ^ hash.rotate_left(24);
    hash = hash.wrapping_mul(PRIME_MX2);
    hash ^= (hash >> 35).wrapping_add(length as u64);
    hash = hash.wrapping_mul(PRIME_MX2);
    hash ^ (hash >> 28)
}

fn hash_9_to_16(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let low = word64(bytes, 0) ^ secret(24) ^ secret(32);
    let high = word64(bytes, length - 8) ^ secret(40) ^ secret(48);
    avalanche(
        (length as u64)
            .wrapping_add(low.swap_bytes())
            .wrapping_add(high)
            .wrapping_add(fold(low, high)),
    )
}

fn hash_17_to_128(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mut sum = (length as u64).wrapping_mul(PRIME64_1);
    // From both ends inwards, 16 bytes at a time; in the middle the two may overlap.
    for pair in 0..=(length - 1) / 32 {
        let front = mix16(bytes, 16 * pair, 32 * pair);
        let back = mix16(bytes, length - 16 * (pair + 1), 32 * pair + 16);
        sum = sum.wrapping_add(front).wrapping_add(back);
    }
    avalanche(sum)
}

fn hash_129_to_240(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mut sum = (length as u64).wrapping_mul(PRIME64_1);
    for chunk in 0..8 {
        sum = sum.wrapping_add(mix16(bytes, 16 * chunk, 16 * chunk));
    }
    sum = avalanche(sum);
    for chunk in 8..length / 16 {
        sum = sum.wrapping_add(mix16(bytes, 16 * chunk, 16 * (chunk - 8) + 3));
    }
    avalanche(sum.wrapping_add(mix16(bytes, length - 16, 136 - 17)))
}

/// Bytes that one round of accumulation takes.
const STRIPE: usize = 64;
/// The secret moves on by this much per stripe.
const SECRET_STEP: usize = 8;
/// Stripes until the secret is used up and the accumulators are scrambled.
const STRIPES_PER_BLOCK: usize = (SECRET.len() - STRIPE) / SECRET_STEP;

fn hash_long(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    let mut lanes = [
        PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1,
    ];
    // The last 1 to 64 bytes belong to the last stripe, which ends where the input ends.
    for stripe in 0..(length - 1) / STRIPE {
        let round = stripe % STRIPES_PER_BLOCK;
        accumulate(&mut lanes, bytes, stripe * STRIPE, round * SECRET_STEP);
        if round == STRIPES_PER_BLOCK - 1 {
            scramble(&mut lanes);
        }
    }
    accumulate(
        &mut lanes,
        bytes,
        length - STRIPE,
        SECRET.len() - STRIPE - 7,
    );

    let mut sum = (length as u64).wrapping_mul(PRIME64_1);
    for pair in 0..4 {
        let low = lanes[2 * pair] ^ secret(11 + 16 * pair);
        let high = lanes[2 * pair + 1] ^ secret(19 + 16 * pair);
        sum = sum.wrapping_add(fold(low, high));
    }
    avalanche(sum)
}

fn accumulate(lanes: &mut [u64; 8], bytes: &[u8], at: usize, secret_at: usize) {
    for lane in 0..8 {
        let value = word64(bytes, at + 8 * lane);
        let key = value ^ secret(secret_at + 8 * lane);
        lanes[lane ^ 1] = lanes[lane ^ 1].wrapping_add(value);
        lanes[lane] = lanes[lane].wrapping_add((key & 0xffff_ffff).wrapping_mul(key >> 32));
    }
}

fn scramble(lanes: &mut [u64; 8]) {
    for (number, lane) in lanes.iter_mut().enumerate() {
        let key = secret(SECRET.len() - STRIPE + 8 * number);
        *lane = (*lane ^ (*lane >> 47) ^ key).wrapping_mul(PRIME32_1);
    }
}

fn mix16(bytes: &[u8], at: usize, secret_at: usize) -> u64 {
    fold(
        word64(bytes, at) ^ secret(secret_at),
        word64(bytes, at + 8) ^ secret(secret_at + 8),
    )
}

/// The two halves of the 128-bit product, one upon the other.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

fn avalanche(value: u64) -> u64 {
    let hash = (value ^ (value >> 37)).wrapping_mul(PRIME_MX1);
    hash ^ (hash >> 32)
}

/// The finaliser of XXH64, which the short inputs share.
fn avalanche_xxh64(value: u64) -> u64 {
    let mut hash = (value ^ (value >> 33)).wrapping_mul(PRIME64_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME64_3);
    hash ^ (hash >> 32)
}

fn secret(at: usize) -> u64 {
    word64(&SECRET, at)
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_stays_in_bounds_and_counts() {
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        let bytes = [b'x'; 2048];
        let mut hashes: alloc::vec::Vec<u64> =
            (0..2048).map(|length| xxh3_64(&bytes[..length])).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 2048);
    }
}
