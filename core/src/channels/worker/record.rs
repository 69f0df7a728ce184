//! The records of a channel's log.
//!
//! ```text
//! version   u8    1
//! kind      u8    0: a time tick alone, 1: a message, 3: a message with its producer and number
//! term      u64   at which it was appended
//! tick      u64   its time tick
//! producer  u64   only of kind 3
//! number    u64   only of kind 3: of the message, as its producer counts
//! message         an encoded `Message`, without `_tt` and `_lc`; of kinds 1 and 3
//! ```
//! All integers are little endian. Both dialects encode a `Message` alike, and one that is followed by an
//! entry of its map is the same message with that property more: a consumer's frame is the record's bytes
//! as they are, between a head and two properties.

use alloc::vec::Vec;

use trefoil_proto::streaming::Message;
use trefoil_proto::{Each, Encode};

/// The version this code writes.
pub(super) const VERSION: u8 = 1;

const TICK: u8 = 0;
const MESSAGE: u8 = 1;
const NUMBERED: u8 = 3;

/// Which message of which producer: what a message that is sent again is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// A hash of the producer's name.
    pub producer: u64,
    /// The message's number among that producer's.
    pub number: u64,
}

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// At which it was appended.
    pub term: u64,
    /// Its time tick.
    pub tick: u64,
    /// Who sent it, if that was said.
    pub origin: Option<Origin>,
    /// The encoded message; nothing of a record that only carries the time.
    pub message: Option<&'a [u8]>,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is of a version to come.
    Version,
    /// It is no record.
    Corrupt,
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), Unreadable> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Unreadable::Corrupt)?;
    Ok((u64::from_le_bytes(*number), rest))
}

/// Reads a record. The message is not looked at.
///
/// # Errors
/// Why it cannot be read.
pub fn read(bytes: &[u8]) -> Result<Record<'_>, Unreadable> {
    let ([version, kind], rest) = bytes.split_first_chunk().ok_or(Unreadable::Corrupt)?;
    if *version != VERSION {
        return Err(Unreadable::Version);
    }
    let (term, rest) = number(rest)?;
    let (tick, rest) = number(rest)?;
    let (origin, message) = match *kind {
        TICK if rest.is_empty() => (None, None),
        MESSAGE => (None, Some(rest)),
        NUMBERED => {
            let (producer, rest) = number(rest)?;
            let (number, rest) = number(rest)?;
            (Some(Origin { producer, number }), Some(rest))
        }
        _ => return Err(Unreadable::Corrupt),
    };
    Ok(Record {
        term,
        tick,
        origin,
        message,
    })
}

fn write_head(out: &mut Vec<u8>, kind: u8, term: u64, tick: u64) {
    out.clear();
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&term.to_le_bytes());
    out.extend_from_slice(&tick.to_le_bytes());
}

/// Bytes of a record that only carries the time.
pub(super) const TICK_BYTES: usize = 18;

/// Writes a record that only carries the time.
pub(super) fn write_tick(out: &mut Vec<u8>, term: u64, tick: u64) {
    write_head(out, TICK, term, tick);
}

/// Writes a record of a message. `clean` says that it has neither `_tt` nor `_lc`, and goes in as it came.
pub(super) fn write_message(
    out: &mut Vec<u8>,
    term: u64,
    tick: u64,
    origin: Option<Origin>,
    message: &Message<'_>,
    clean: bool,
) {
    let kind = origin.map_or(MESSAGE, |_| NUMBERED);
    write_head(out, kind, term, tick);
    if let Some(Origin { producer, number }) = origin {
        out.extend_from_slice(&producer.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
    }
    if clean {
        return encode(out, message);
    }
    // A map as it was received is walked forward only; the strange ones are few and short.
    let kept: Vec<(&str, &[u8])> = message
        .properties
        .iter()
        .filter_map(Result::ok)
        .filter(|(key, _)| !is_given_here(key))
        .collect();
    let message = Message {
        payload: message.payload,
        properties: Each(kept.iter().copied()),
    };
    encode(out, &message);
}

/// Whether a property is given to a message by the log, and by nobody else.
pub(super) fn is_given_here(key: &str) -> bool {
    key == TIME_TICK || key == LAST_CONFIRMED
}

/// Property: the time tick of a message.
const TIME_TICK: &str = "_tt";
/// Property: the record from which on all later messages are found.
const LAST_CONFIRMED: &str = "_lc";

fn encode(out: &mut Vec<u8>, message: &impl Encode) {
    let (at, len) = (out.len(), message.encoded_len());
    out.resize(at + len, 0);
    // It was measured above.
    let _ = message.encode_to_slice(&mut out[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_proto::Decode;

    use super::*;

    const ORIGIN: Origin = Origin {
        producer: 7,
        number: 8,
    };

    fn message(properties: &[(&str, &[u8])]) -> Vec<u8> {
        let message = Message {
            payload: b"abc",
            properties,
        };
        let mut bytes = alloc::vec![0; message.encoded_len()];
        message.encode_to_slice(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn channel_records_come_back() {
        let mut out = Vec::new();
        write_tick(&mut out, 3, 9);
        assert_eq!(out.len(), TICK_BYTES);
        let tick = Record {
            term: 3,
            tick: 9,
            origin: None,
            message: None,
        };
        assert_eq!(read(&out), Ok(tick));
        let bytes = message(&[("_t", b"2"), ("k", b"\xff")]);
        let view = Message::parse(&bytes).unwrap();
        for origin in [None, Some(ORIGIN)] {
            write_message(&mut out, 3, 10, origin, &view, true);
            let record = read(&out).unwrap();
            assert_eq!((record.term, record.tick), (3, 10));
            assert_eq!(record.origin, origin);
            assert_eq!(record.message, Some(&*bytes), "as it came");
        }
    }

    #[test]
    fn what_the_log_gives_a_message_is_not_kept_from_its_sender() {
        let bytes = message(&[("_tt", b"1"), ("_t", b"2"), ("_lc", b"3"), ("_vc", b"v")]);
        let view = Message::parse(&bytes).unwrap();
        let mut out = Vec::new();
        write_message(&mut out, 1, 1, None, &view, false);
        let kept = message(&[("_t", b"2"), ("_vc", b"v")]);
        assert_eq!(read(&out).unwrap().message, Some(&*kept));
    }

    #[test]
    fn a_cut_or_strange_channel_record_is_refused_by_name() {
        let mut out = Vec::new();
        let view = Message::default();
        write_message(&mut out, 1, 1, Some(ORIGIN), &view, true);
        for cut in 0..out.len() {
            assert_eq!(read(&out[..cut]), Err(Unreadable::Corrupt));
        }
        out[0] = 2;
        assert_eq!(read(&out), Err(Unreadable::Version));
        for kind in (0..=255).filter(|kind| ![TICK, MESSAGE, NUMBERED].contains(kind)) {
            (out[0], out[1]) = (VERSION, kind);
            assert_eq!(read(&out), Err(Unreadable::Corrupt));
        }
        write_tick(&mut out, 1, 1);
        out.push(0);
        assert_eq!(read(&out), Err(Unreadable::Corrupt));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_channel_record_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(record) = read(&bytes) {
                prop_assert!(record.message.unwrap_or_default().len() < bytes.len());
            }
        }
    }
}
