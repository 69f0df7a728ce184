//! The properties that are the protocol's own.
//!
//! | key | value | set by |
//! |---|---|---|
//! | `_v` | version of the record's form: `1` | whoever makes the record |
//! | `_t` | type of the record in decimal; 1 is a time tick | whoever makes the record |
//! | `_tt` | its time tick, to the base 36 in lower case | the node |
//! | `_lc` | id from behind which everything above this tick can be read | the node |
//! | `_vc` | the virtual channel it is for | whoever makes the record |
//! | `_tp` | ours: which producer made it | a producer that asks for no duplicates |
//! | `_ts` | ours: its number among that producer's records, in decimal | the same |
//!
//! Milvus of July 2024 wrote `_tt` as a raw varint, which is no UTF-8 and which its own clients refuse: text is
//! what is written in both dialects, and a varint is read where text was not meant.

use super::ids::number_of_base36;
use super::{Message, Properties};

/// Version of a record's form.
pub const VERSION: &str = "_v";
/// Type of a record.
pub const TYPE: &str = "_t";
/// Time tick of a record.
pub const TIME_TICK: &str = "_tt";
/// From behind which id everything above this tick can be read.
pub const LAST_CONFIRMED: &str = "_lc";
/// Virtual channel of a record.
pub const VCHANNEL: &str = "_vc";
/// Which producer made a record.
pub const PRODUCER: &str = "_tp";
/// The number of a record among its producer's.
pub const PRODUCER_SEQUENCE: &str = "_ts";

/// The version that is written.
pub const VERSION_1: &[u8] = b"1";
/// The type of a time tick.
pub const TYPE_TIME_TICK: &[u8] = b"1";

/// Bytes of the longest name of a producer.
pub const PRODUCER_BYTES_MAX: usize = 64;

/// The properties of the protocol that a record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved<'a> {
    /// `_v`.
    pub version: Option<&'a [u8]>,
    /// `_t`.
    pub kind: Option<&'a [u8]>,
    /// `_tt`, if it is a tick.
    pub time_tick: Option<u64>,
    /// `_lc`.
    pub last_confirmed: Option<&'a [u8]>,
    /// `_vc`.
    pub vchannel: Option<&'a [u8]>,
    /// `_tp`, if it is 1 to 64 bytes long.
    pub producer: Option<&'a [u8]>,
    /// `_ts`, if it is a number.
    pub producer_sequence: Option<u64>,
}

impl<'a> Reserved<'a> {
    /// Those of a record that was received, in one walk. Of a key that stands twice, the last counts.
    #[must_use]
    pub fn of(message: &Message<'a, Properties<'a>>) -> Self {
        let mut found = Self::default();
        for (key, value) in message.properties.iter().flatten() {
            match key {
                VERSION => found.version = Some(value),
                TYPE => found.kind = Some(value),
                TIME_TICK => found.time_tick = time_tick(value),
                LAST_CONFIRMED => found.last_confirmed = Some(value),
                VCHANNEL => found.vchannel = Some(value),
                PRODUCER => {
                    let fits = (1..=PRODUCER_BYTES_MAX).contains(&value.len());
                    found.producer = fits.then_some(value);
                }
                PRODUCER_SEQUENCE => found.producer_sequence = decimal(value),
                _ => {}
            }
        }
        found
    }
}

/// Whether a key is the protocol's own.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    matches!(
        key,
        VERSION | TYPE | TIME_TICK | LAST_CONFIRMED | VCHANNEL | PRODUCER | PRODUCER_SEQUENCE
    )
}

/// A time tick: to the base 36, or as a raw varint if it is none.
///
/// A varint of one byte can look like a digit; ticks are never so small, since they begin with the time.
#[must_use]
pub fn time_tick(value: &[u8]) -> Option<u64> {
    number_of_base36(value).or_else(|| {
        let mut r = trefoil_proto::wire::Reader::new(value);
        r.varint().ok().filter(|_| r.is_empty())
    })
}

/// A number in decimal digits, without a sign.
#[must_use]
pub fn decimal(value: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(value).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

/// A number in decimal digits, written out.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    bytes: [u8; 20],
    from: usize,
}

impl Decimal {
    /// The digits of a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        let (mut bytes, mut from, mut rest) = ([0; 20], 20, number);
        loop {
            from -= 1;
            bytes[from] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Self { bytes, from };
            }
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use trefoil_proto::{Decode, Encode};

    use super::*;
    use crate::channels::messages::ids::base36;

    #[test]
    fn what_is_reserved_is_found_in_one_walk() {
        let properties: [(&str, &[u8]); 8] = [
            ("_v", b"1"),
            ("_t", b"2"),
            ("_tt", b"10"),
            ("_lc", b"\xff"),
            ("_vc", b"v0"),
            ("_tp", b"p"),
            ("_ts", b"7"),
            ("mine", b"x"),
        ];
        let message = Message {
            payload: b"",
            properties: &properties[..],
        };
        let mut frame = std::vec![0; message.encoded_len()];
        message.encode_to_slice(&mut frame).unwrap();
        assert_eq!(
            Reserved::of(&Message::parse(&frame).unwrap()),
            Reserved {
                version: Some(b"1"),
                kind: Some(b"2"),
                time_tick: Some(36),
                last_confirmed: Some(b"\xff"),
                vchannel: Some(b"v0"),
                producer: Some(b"p"),
                producer_sequence: Some(7),
            }
        );
        assert!(properties[..7].iter().all(|(key, _)| is_reserved(key)));
        assert!(!is_reserved("mine"));
    }

    #[test]
    fn a_tick_is_text_or_else_a_varint() {
        assert_eq!(time_tick(b"zz"), Some(1_295));
        assert_eq!(time_tick(&[0xac, 0x02]), Some(300));
        for value in [&b""[..], &[0xac], b"a b", &[0x80; 11]] {
            assert_eq!(time_tick(value), None);
        }
    }

    #[test]
    fn a_number_is_digits_alone() {
        for value in [&b""[..], b"+1", b"-1", b" 1", b"18446744073709551616"] {
            assert_eq!(decimal(value), None);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(number: u64) {
            prop_assert_eq!(decimal(Decimal::new(number).as_bytes()), Some(number));
            prop_assert_eq!(time_tick(base36(number).as_bytes()), Some(number));
        }
    }
}
