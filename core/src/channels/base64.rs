//! Base64 of the standard alphabet with padding (RFC 4648, section 4), into lent buffers.

use crate::machine::Full;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Not base64, or longer than the room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBase64;

/// Bytes that `len` bytes become.
pub(super) const fn encoded_len(len: usize) -> usize {
    len.div_ceil(3).saturating_mul(4)
}

/// Writes `bytes` to the front of `out` and returns what was written.
pub(super) fn encode<'b>(bytes: &[u8], out: &'b mut [u8]) -> Result<&'b [u8], Full> {
    let out = out.get_mut(..encoded_len(bytes.len())).ok_or(Full)?;
    for (three, four) in bytes.chunks(3).zip(out.chunks_exact_mut(4)) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, digit) in four.iter_mut().enumerate() {
            *digit = if at > three.len() {
                b'='
            } else {
                ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]
            };
        }
    }
    Ok(out)
}

/// Writes what `text` stands for to the front of `out` and returns it. Bits behind the last byte are not
/// looked at, as Go does not.
pub(super) fn decode<'b>(text: &[u8], out: &'b mut [u8]) -> Result<&'b [u8], NotBase64> {
    if text.len() % 4 != 0 {
        return Err(NotBase64);
    }
    let padding = text
        .iter()
        .rev()
        .take_while(|digit| **digit == b'=')
        .count();
    if padding > 2 {
        return Err(NotBase64);
    }
    let digits = &text[..text.len() - padding];
    let len = digits.len() * 3 / 4;
    let out = out.get_mut(..len).ok_or(NotBase64)?;
    for (four, three) in digits.chunks(4).zip(out.chunks_mut(3)) {
        let mut bits = 0;
        for (at, digit) in four.iter().enumerate() {
            bits |= value(*digit)? << (18 - 6 * at);
        }
        for (at, byte) in three.iter_mut().enumerate() {
            *byte = (bits >> (16 - 8 * at)) as u8;
        }
    }
    Ok(out)
}

const fn value(digit: u8) -> Result<u32, NotBase64> {
    Ok(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return Err(NotBase64),
    } as u32)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use proptest::prelude::*;

    use super::*;

    /// Those of RFC 4648, section 10, and all that distinguishes the standard alphabet.
    const VECTORS: [(&[u8], &[u8]); 8] = [
        (b"", b""),
        (b"f", b"Zg=="),
        (b"fo", b"Zm8="),
        (b"foo", b"Zm9v"),
        (b"foob", b"Zm9vYg=="),
        (b"fooba", b"Zm9vYmE="),
        (b"foobar", b"Zm9vYmFy"),
        (&[0xfb, 0xff, 0xbf], b"+/+/"),
    ];

    #[test]
    fn the_published_vectors() {
        for (bytes, text) in VECTORS {
            let mut room = [0; 16];
            assert_eq!(encode(bytes, &mut room), Ok(text));
            assert_eq!(decode(text, &mut room), Ok(bytes));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        let refused: [&[u8]; 9] = [
            b"Z",
            b"Zg",
            b"Zg=",
            b"Z===",
            b"====",
            b"Zg==Zg==",
            b"-_-_",
            b"Zm9\n",
            b"Zm\xff=",
        ];
        for text in refused {
            assert_eq!(decode(text, &mut [0; 16]), Err(NotBase64), "{text:?}");
        }
    }

    #[test]
    fn more_than_the_room_is_refused() {
        assert_eq!(encode(b"foob", &mut [0; 7]), Err(Full));
        assert_eq!(decode(b"Zm9vYg==", &mut [0; 3]), Err(NotBase64));
        assert_eq!(decode(b"Zm9vYg==", &mut [0; 4]), Ok(&b"foob"[..]));
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = vec![0; encoded_len(bytes.len())];
            let text = encode(&bytes, &mut text).unwrap();
            let mut room = vec![0; bytes.len()];
            prop_assert_eq!(decode(text, &mut room), Ok(&bytes[..]));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&text, &mut [0; 256]);
        }
    }
}
