//! A frame: what the log says at once, about one log or about itself.
//!
//! A head of [`HEAD`] bytes, the payload, and zeros up to the next multiple of eight; numbers are little endian:
//!
//! | at | bytes | |
//! |--:|--:|---|
//! | 0 | 4 | crc32c of the rest of the head, begun with the checksum of the segment's own head |
//! | 4 | 4 | crc32c of the payload |
//! | 8 | 4 | bytes of the payload |
//! | 12 | 1 | version of the frame |
//! | 13 | 1 | what it says: [`Kind`] |
//! | 14 | 2 | zero |
//! | 16 | 8 | number of the log |
//! | 24 | 8 | number of the record, or the bound of a trim |
//! | 32 | 8 | term |
//! | 40 | 8 | owner |
//! | 48 | 8 | [`Position`] up to which everything was durable when this was written |
//!
//! The last field tells a torn tail from damage. What a crash leaves of a write that was not synced may have gaps; but
//! nothing that was written later than a gap can claim that the gap was durable.

use trefoil_core::storage::OwnerId;

/// Bytes of a frame's head.
pub(crate) const HEAD: usize = 56;

/// The version this writes, and the newest it reads.
pub(crate) const VERSION: u8 = 1;

/// Frames begin at multiples of it.
pub(crate) const ALIGN: usize = 8;

/// Bytes of payload a frame may have. More would not be in reach of a place in a segment.
pub(crate) const PAYLOAD_MAX: usize = 1 << 30;

/// A place in the log: which segment, and how many bytes into it. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    /// Where nothing is: segments are numbered from 1.
    pub(crate) const NOWHERE: Self = Self(0);

    pub(crate) const fn new(segment: u32, offset: u32) -> Self {
        Self(((segment as u64) << 32) | offset as u64)
    }

    pub(crate) const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(crate) const fn offset(self) -> u32 {
        self.0 as u32
    }

    /// The place `bytes` further on in the same segment.
    pub(crate) const fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is a log of this number; the payload is its name.
    Create = 1,
    /// The first record the log will have is `sequence`: it comes from elsewhere.
    Begin = 2,
    /// The fence was raised.
    Fence = 3,
    /// A record.
    Append = 4,
    /// A record of an older segment, once more.
    Move = 5,
    /// Records below `sequence` are forgotten.
    Trim = 6,
    /// The log has ended.
    Seal = 7,
    /// Nothing but that all before it is durable.
    Mark = 8,
    /// The log goes on in the next segment.
    End = 9,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Create,
            2 => Self::Begin,
            3 => Self::Fence,
            4 => Self::Append,
            5 => Self::Move,
            6 => Self::Trim,
            7 => Self::Seal,
            8 => Self::Mark,
            9 => Self::End,
            _ => return None,
        })
    }

    /// Whether the payload is a record.
    pub(crate) const fn is_record(self) -> bool {
        matches!(self, Self::Append | Self::Move)
    }
}

/// What stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) log: u64,
    pub(crate) sequence: u64,
    pub(crate) term: u64,
    pub(crate) owner: OwnerId,
    pub(crate) synced: Position,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// They are not what anybody wrote, or not all of it.
    Torn,
    /// They are, by a later version.
    TooNew { version: u8 },
}

/// Bytes a frame takes with a payload of `len` bytes.
pub(crate) const fn size(len: usize) -> usize {
    (HEAD + len).next_multiple_of(ALIGN)
}

/// Adds a frame to `out`, for a segment whose head has the checksum `seed`.
pub(crate) fn encode(out: &mut Vec<u8>, seed: u32, head: &Head, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let begins = out.len();
    let mut bytes = [0; HEAD];
    bytes[4..8].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12] = VERSION;
    bytes[13] = head.kind as u8;
    let fields = [
        head.log,
        head.sequence,
        head.term,
        head.owner.0,
        head.synced.0,
    ];
    for (chunk, field) in bytes[16..].chunks_exact_mut(8).zip(fields) {
        chunk.copy_from_slice(&field.to_le_bytes());
    }
    let crc = crc32c::crc32c_append(seed, &bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&bytes);
    out.extend_from_slice(payload);
    out.resize(begins + size(payload.len()), 0);
}

/// A head that was read: the payload's length and checksum are still to be held against the payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    pub(crate) head: Head,
    pub(crate) len: usize,
    crc: u32,
}

impl Announced {
    /// Whether this is the payload that was written behind this head.
    pub(crate) fn is_of(&self, payload: &[u8]) -> bool {
        payload.len() == self.len && crc32c::crc32c(payload) == self.crc
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes.iter().skip(at).take(8).rev();
    eight.fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

fn short(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.iter().skip(at).take(4).rev();
    four.fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

/// Reads the head at the beginning of `bytes`.
pub(crate) fn decode_head(bytes: &[u8], seed: u32) -> Result<Announced, Broken> {
    let bytes = bytes.get(..HEAD).ok_or(Broken::Torn)?;
    // Most places that are looked at hold nothing: no checksum is taken of those.
    if bytes[12] == 0 || short(bytes, 0) != crc32c::crc32c_append(seed, &bytes[4..]) {
        return Err(Broken::Torn);
    }
    let version = bytes[12];
    let kind = Kind::of(bytes[13]).filter(|_| version == VERSION);
    let Some(kind) = kind else {
        return Err(Broken::TooNew { version });
    };
    Ok(Announced {
        head: Head {
            kind,
            log: word(bytes, 16),
            sequence: word(bytes, 24),
            term: word(bytes, 32),
            owner: OwnerId(word(bytes, 40)),
            synced: Position(word(bytes, 48)),
        },
        len: short(bytes, 8) as usize,
        crc: short(bytes, 4),
    })
}

/// Reads the frame at the beginning of `bytes`, whole.
pub(crate) fn decode(bytes: &[u8], seed: u32) -> Result<(Head, &[u8]), Broken> {
    let announced = decode_head(bytes, seed)?;
    let payload = bytes[HEAD..].get(..announced.len).ok_or(Broken::Torn)?;
    if announced.is_of(payload) {
        Ok((announced.head, payload))
    } else {
        Err(Broken::Torn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: Head = Head {
        kind: Kind::Append,
        log: 3,
        sequence: 4,
        term: 5,
        owner: OwnerId(6),
        synced: Position::new(7, 8),
    };

    fn bytes() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes, 9, &SAID, b"a record");
        bytes
    }

    #[test]
    fn a_frame_is_what_was_written_and_has_a_golden_form() {
        let bytes = bytes();
        assert_eq!((bytes.len(), size(8)), (64, 64));
        assert_eq!(decode(&bytes, 9), Ok((SAID, &b"a record"[..])));
        assert_eq!(&bytes[8..16], &[8, 0, 0, 0, 1, 4, 0, 0]);
        assert_eq!(&bytes[48..56], &[8, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(short(&bytes, 4), crc32c::crc32c(b"a record"));
    }

    #[test]
    fn no_bit_may_change_and_nothing_may_be_missing() {
        let whole = bytes();
        for at in 0..HEAD + 8 {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(decode(&bytes, 9).is_err(), "byte {at}, bit {bit}");
            }
            assert_eq!(decode(&whole[..at], 9), Err(Broken::Torn));
        }
        assert_eq!(decode(&whole, 8), Err(Broken::Torn), "of another segment");
        assert_eq!(decode(&[0; 100], 0), Err(Broken::Torn), "of no segment");
    }

    #[test]
    fn a_frame_of_a_later_version_is_told_from_a_broken_one() {
        let mut bytes = bytes();
        bytes[12] = 2;
        let crc = crc32c::crc32c_append(9, &bytes[4..HEAD]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes, 9), Err(Broken::TooNew { version: 2 }));
    }

    #[test]
    fn later_places_are_greater() {
        let places = [
            Position::NOWHERE,
            Position::new(1, 64),
            Position::new(1, u32::MAX),
            Position::new(2, 0),
        ];
        assert!(places.is_sorted());
        assert_eq!(places[2].segment(), 1);
        assert_eq!(places[1].plus(8).offset(), 72);
    }
}
