//! Varints: seven bits a byte, the lowest first, the top bit set on all but the last.
//!
//! The long forms work on eight bytes at once: the groups of seven bits are pushed together
//! (or pulled apart) in three steps, and no branch depends on the length.

use super::error::DecodeError;

/// The longest varint in bytes.
pub const VARINT_BYTES_MAX: usize = 10;

const STOPS: u64 = 0x8080_8080_8080_8080;

/// How many bytes the varint of `v` takes: 1 to 10.
#[inline]
#[must_use]
pub const fn varint_len(v: u64) -> usize {
    // ceil(bits / 7) without a division: (bits * 9 + 64) / 64 is the same for 1..=64 bits.
    let bits = 64 - (v | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64
}

/// Eight bytes of varint to the 56 bits they carry.
#[inline]
const fn gather(x: u64) -> u64 {
    let x = x & !STOPS;
    let x = (x & 0x007f_007f_007f_007f) | ((x & 0x7f00_7f00_7f00_7f00) >> 1);
    let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
    (x & 0x0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4)
}

/// The low 56 bits spread over eight bytes, seven in each.
#[inline]
pub(crate) const fn spread(v: u64) -> u64 {
    let x = (v & 0x0fff_ffff) | ((v & 0x00ff_ffff_f000_0000) << 4);
    let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x0fff_c000_0fff_c000) << 2);
    (x & 0x007f_007f_007f_007f) | ((x & 0x3f80_3f80_3f80_3f80) << 1)
}

/// Reads one varint from ten bytes; returns it and its length.
#[inline]
pub(crate) fn read_wide(bytes: &[u8; VARINT_BYTES_MAX]) -> Result<(u64, usize), DecodeError> {
    let [a, b, c, d, e, f, g, h, ninth, tenth] = *bytes;
    let x = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let stops = !x & STOPS;
    if stops != 0 {
        // All bytes up to and including the first stop.
        let kept = x & (stops ^ (stops - 1));
        return Ok((gather(kept), (stops.trailing_zeros() as usize + 1) / 8));
    }
    let low = gather(x);
    if ninth < 0x80 {
        return Ok((low | u64::from(ninth) << 56, 9));
    }
    if tenth > 1 {
        return Err(DecodeError::VarintOverflow);
    }
    Ok((
        low | u64::from(ninth & 0x7f) << 56 | u64::from(tenth) << 63,
        10,
    ))
}

/// Reads one varint byte by byte, for the last bytes of an input.
#[cold]
pub(crate) fn read_narrow(bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        if i == VARINT_BYTES_MAX - 1 && byte > 1 {
            return Err(DecodeError::VarintOverflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, i + 1));
        }
    }
    Err(DecodeError::Truncated)
}

/// Reads one varint from the front of `bytes`, however many there are.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    match bytes.first_chunk::<VARINT_BYTES_MAX>() {
        Some(wide) => read_wide(wide),
        None => read_narrow(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(mut v: u64) -> ([u8; 10], usize) {
        let mut out = [0; 10];
        let mut n = 0;
        while v >= 0x80 {
            out[n] = v as u8 | 0x80;
            v >>= 7;
            n += 1;
        }
        out[n] = v as u8;
        (out, n + 1)
    }

    #[test]
    fn every_width_reads_back_in_both_ways() {
        for bit in 0..64 {
            for v in [
                1u64 << bit,
                (1u64 << bit) - 1,
                u64::MAX >> bit,
                0x5555_5555_5555_5555 >> bit,
            ] {
                let (bytes, n) = write(v);
                assert_eq!(varint_len(v), n, "{v}");
                assert_eq!(read_wide(&bytes), Ok((v, n)), "{v}");
                assert_eq!(read_narrow(&bytes[..n]), Ok((v, n)), "{v}");
                assert_eq!(read_narrow(&bytes[..n - 1]), Err(DecodeError::Truncated));
                assert_eq!(gather(spread(v)), v & 0x00ff_ffff_ffff_ffff);
            }
        }
    }

    #[test]
    fn wide_and_narrow_agree_on_any_ten_bytes() {
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut bytes = [0; 10];
            for b in &mut bytes {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *b = (state >> 56) as u8 | if state & 0x3000 == 0 { 0 } else { 0x80 };
            }
            bytes[9] &= if state & 0x4000 == 0 { 0x83 } else { 1 };
            assert_eq!(read_wide(&bytes), read_narrow(&bytes), "{bytes:?}");
        }
    }
}
