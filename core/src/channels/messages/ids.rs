//! Ids of records, as our nodes make them: the number of a record in its log, so that ids compare as records
//! stand. To clients they are opaque.
//!
//! | dialect | id |
//! |---|---|
//! | `Seed` | 8 bytes, big endian |
//! | `V2024_08` | 13 digits to the base 36, lower case |
//!
//! As a property, where only text may stand, both dialects have the 13 digits; so these are read as an id in both.

use crate::channels::dialect::Dialect;

/// Bytes of the longest id.
pub const ID_BYTES_MAX: usize = 13;

/// Digits of the largest number to the base 36.
const DIGITS: usize = 13;

/// A number, written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    bytes: [u8; ID_BYTES_MAX],
    from: u8,
    to: u8,
}

impl Written {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.from)..usize::from(self.to)]
    }
}

/// The id of the record of number `sequence`.
#[must_use]
pub fn id(dialect: Dialect, sequence: u64) -> Written {
    match dialect {
        Dialect::Seed => {
            let mut bytes = [0; ID_BYTES_MAX];
            bytes[..8].copy_from_slice(&sequence.to_be_bytes());
            Written {
                bytes,
                from: 0,
                to: 8,
            }
        }
        Dialect::V2024_08 => id_text(sequence),
    }
}

/// The id of the record of number `sequence`, as text: what a property of it says in both dialects.
#[must_use]
pub fn id_text(sequence: u64) -> Written {
    let mut bytes = [b'0'; ID_BYTES_MAX];
    let mut rest = sequence;
    for digit in bytes.iter_mut().rev() {
        *digit = base36_digit((rest % 36) as u8);
        rest /= 36;
    }
    Written {
        bytes,
        from: 0,
        to: DIGITS as u8,
    }
}

/// A number to the base 36 without leading zeros, as time ticks are written.
#[must_use]
pub fn base36(number: u64) -> Written {
    let written = id_text(number);
    let digits = &written.bytes[..DIGITS - 1];
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    Written {
        from: zeros as u8,
        ..written
    }
}

const fn base36_digit(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

/// The number of a record, from an id that a node of ours made.
#[must_use]
pub fn sequence(dialect: Dialect, id: &[u8]) -> Option<u64> {
    match dialect {
        Dialect::Seed if id.len() == DIGITS => sequence_of_text(id),
        Dialect::Seed => Some(u64::from_be_bytes(id.try_into().ok()?)),
        Dialect::V2024_08 => sequence_of_text(id),
    }
}

/// The number of a record, from the text of its id.
#[must_use]
pub fn sequence_of_text(text: &[u8]) -> Option<u64> {
    (text.len() == DIGITS).then(|| number_of_base36(text))?
}

/// The number that is written to the base 36, in lower case; up to 13 digits.
#[must_use]
pub fn number_of_base36(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > DIGITS {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'z' => digit - b'a' + 10,
            _ => return None,
        };
        number.checked_mul(36)?.checked_add(u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_written_as_said() {
        assert_eq!(id(Dialect::Seed, 258).as_bytes(), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(id(Dialect::V2024_08, 36).as_bytes(), b"0000000000010");
        assert_eq!(id_text(u64::MAX).as_bytes(), b"3w5e11264sgsf");
        assert_eq!(base36(0).as_bytes(), b"0");
        assert_eq!(base36(35).as_bytes(), b"z");
        assert_eq!(base36(u64::MAX).as_bytes(), b"3w5e11264sgsf");
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in [
            &b""[..],
            b"1",
            b"000000000001Z",
            b"zzzzzzzzzzzzz",
            b"00000000000000",
        ] {
            assert_eq!(sequence_of_text(text), None);
        }
        assert_eq!(sequence(Dialect::Seed, b"1234567"), None);
        assert_eq!(number_of_base36(b"1-"), None);
        assert_eq!(number_of_base36(b""), None);
    }

    proptest! {
        #[test]
        fn ids_come_back_and_compare_as_their_numbers(a: u64, b: u64) {
            for dialect in [Dialect::Seed, Dialect::V2024_08] {
                let (x, y) = (id(dialect, a), id(dialect, b));
                prop_assert_eq!(sequence(dialect, x.as_bytes()), Some(a));
                prop_assert_eq!(sequence(dialect, id_text(a).as_bytes()), Some(a));
                prop_assert_eq!(x.as_bytes().cmp(y.as_bytes()), a.cmp(&b));
            }
            prop_assert_eq!(number_of_base36(base36(a).as_bytes()), Some(a));
        }

        #[test]
        fn any_text_is_a_number_or_not(text in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = (number_of_base36(&text), sequence(Dialect::V2024_08, &text));
        }
    }
}
