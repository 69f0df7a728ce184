//! The 56 bits of a worker's tags.
//!
//! ```text
//! kind u8   of a stream, or of a read of a consumer:  slot u24, generation u24
//!           of an operation on a channel's log:       slot u20, epoch u12, number u16
//! ```
//! The epoch of a channel counts its terms: what was begun at an earlier one comes back to nobody. The number
//! is that of an append's record, as far as it fits.

use super::slab::Key;
use crate::id::Tag;

/// Top byte of this machine's tags.
pub const MACHINE: u8 = 21;

/// Channels that tags have room for.
pub(super) const CHANNELS_MAX: u32 = 1 << 20;
/// Sessions of a kind that tags have room for.
pub(super) const SESSIONS_MAX: u32 = 1 << 24;
/// Appends of one channel in flight that tags have room for.
pub(super) const APPENDS_MAX: u32 = 1 << 16;
/// Epochs that tags have room for.
pub(super) const EPOCHS: u16 = 1 << 12;

/// Whose a stream or an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A call of one message.
    Call(Key),
    /// A producer's stream.
    Producer(Key),
    /// A consumer's stream, or a read for it.
    Consumer(Key),
    /// A step of opening a channel.
    Opening(Term),
    /// A look at the log after something went wrong.
    Recovery(Term),
    /// What was forgotten of a log.
    Trim(Term),
    /// A look at the log's first records.
    Survey(Term),
    /// A question whether the log is still this node's.
    Proof(Term),
    /// One append, by the lower bits of its record's number.
    Append(Term, u16),
}

/// A channel at one of its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) slot: u32,
    pub(super) epoch: u16,
}

const fn key(kind: u64, key: Key) -> u64 {
    kind << 48 | (key.slot as u64) << 24 | key.generation as u64
}

const fn term(kind: u64, term: Term, number: u16) -> u64 {
    kind << 48 | (term.slot as u64) << 28 | (term.epoch as u64) << 16 | number as u64
}

impl Of {
    pub(super) const fn tag(self) -> Tag {
        let rest = match self {
            Self::Call(call) => key(1, call),
            Self::Producer(producer) => key(2, producer),
            Self::Consumer(consumer) => key(3, consumer),
            Self::Opening(of) => term(4, of, 0),
            Self::Recovery(of) => term(5, of, 0),
            Self::Trim(of) => term(6, of, 0),
            Self::Append(of, number) => term(7, of, number),
            Self::Survey(of) => term(8, of, 0),
            Self::Proof(of) => term(9, of, 0),
        };
        Tag::new(MACHINE, rest)
    }

    pub(super) const fn read(tag: Tag) -> Option<Self> {
        let rest = tag.rest();
        let key = Key {
            slot: (rest >> 24) as u32 & 0x00ff_ffff,
            generation: rest as u32 & 0x00ff_ffff,
        };
        let term = Term {
            slot: (rest >> 28) as u32 & (CHANNELS_MAX - 1),
            epoch: (rest >> 16) as u16 & (EPOCHS - 1),
        };
        Some(match rest >> 48 {
            1 => Self::Call(key),
            2 => Self::Producer(key),
            3 => Self::Consumer(key),
            4 => Self::Opening(term),
            5 => Self::Recovery(term),
            6 => Self::Trim(term),
            7 => Self::Append(term, rest as u16),
            8 => Self::Survey(term),
            9 => Self::Proof(term),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back() {
        let most = Key {
            slot: SESSIONS_MAX - 1,
            generation: 0x00ff_ffff,
        };
        let term = Term {
            slot: CHANNELS_MAX - 1,
            epoch: EPOCHS - 1,
        };
        for of in [
            Of::Call(most),
            Of::Producer(most),
            Of::Consumer(Key { slot: 0, ..most }),
            Of::Opening(term),
            Of::Recovery(Term { epoch: 0, ..term }),
            Of::Trim(Term { slot: 0, ..term }),
            Of::Append(term, u16::MAX),
            Of::Survey(term),
            Of::Proof(term),
        ] {
            assert_eq!(Of::read(of.tag()), Some(of));
            assert_eq!(of.tag().machine(), MACHINE);
        }
        assert_eq!(Of::read(Tag::new(MACHINE, 0)), None);
    }
}
