//! The seam to storage: operations a machine submits, outcomes that come back in any order.
//!
//! Operations are ordered per key and per log only. `Conflict`, `Fenced` and `Unknown` are normal
//! outcomes, never exceptions: an owner that hears one of them acts on nothing it remembers.

use alloc::vec::Vec;
use core::task::{Context, Poll};

use crate::id::Tag;
use crate::machine::Full;

/// Identity of one life of one owner, drawn anew at every start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnerId(pub u64);

/// An operation on the catalog, on a log, or on the node's own state.
///
/// A log is named by bytes, holds records numbered from 0 without gaps, and carries a fence: the
/// highest term that was raised on it and the owner who raised it. Only that owner may append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Catalog: reads a value. Answered by `Value`.
    Load {
        /// Name of the value.
        key: &'a [u8],
    },
    /// Catalog: reads the values whose names begin with `prefix`, in the order of the names. Answered by
    /// `Values` with as many as fit, at least one if there is one.
    Scan {
        /// How the names begin.
        prefix: &'a [u8],
        /// Names up to this one are skipped; empty skips none.
        after: &'a [u8],
        /// Bytes of names and values the answer may hold.
        bytes_max: u32,
    },
    /// Catalog: replaces a value if its revision is still the one that was read (0: absent) and no
    /// higher fence has been raised. Answered by `Durable` with the new revision, `Conflict` with
    /// the present one, or `Fenced`.
    Cas {
        /// Name of the value.
        key: &'a [u8],
        /// The writer's fencing token; the catalog's fence rises to it.
        fence: u64,
        /// Revision the writer read.
        revision: u64,
        /// The new value.
        value: &'a [u8],
    },
    /// Log: raises the fence. Answered by `Tail`, or by `Fenced` with the present term if it is
    /// higher, or equal under another owner. Creates the log if it does not exist.
    Fence {
        /// The log.
        log: &'a [u8],
        /// The term to raise.
        term: u64,
        /// Who raises it.
        owner: OwnerId,
    },
    /// Log: reads fence and bounds without changing them. Answered by `Tail`; of a log that does
    /// not exist: term 0, first 0, next 0.
    Tail {
        /// The log.
        log: &'a [u8],
    },
    /// Log: adds one record. Answered by `Durable`, `Conflict` with the next free number, or
    /// `Fenced`.
    Append {
        /// The log.
        log: &'a [u8],
        /// The appender's term.
        term: u64,
        /// The appender.
        owner: OwnerId,
        /// The number the record must get.
        expected: u64,
        /// The record.
        payload: &'a [u8],
    },
    /// Log: reads records in order. Answered by `Records` with as many as fit, at least one if
    /// there is one.
    Read {
        /// The log.
        log: &'a [u8],
        /// First number wanted; numbers below the first kept are skipped.
        from: u64,
        /// Bytes of payload the answer may hold.
        bytes_max: u32,
    },
    /// Log: forgets the records below `before`. Answered by `Durable` or `Fenced`.
    Trim {
        /// The log.
        log: &'a [u8],
        /// The owner's term.
        term: u64,
        /// The owner.
        owner: OwnerId,
        /// First number to keep.
        before: u64,
    },
    /// Log: ends it. Later appends of any term are answered by `Fenced` with `u64::MAX`.
    Seal {
        /// The log.
        log: &'a [u8],
        /// The owner's term.
        term: u64,
        /// The owner.
        owner: OwnerId,
    },
    /// The node's own state: keeps a value. Answered by `Durable`; an error here stops the node.
    Keep {
        /// Name of the value.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// The node's own state: reads a value. Answered by `Value`.
    Recall {
        /// Name of the value.
        key: &'a [u8],
    },
}

/// The outcome of an [`Op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done<'a> {
    /// It will survive a crash. `sequence` is the record's number, or the value's revision.
    Durable {
        /// Number of the record or revision of the value.
        sequence: u64,
    },
    /// Records that were asked for.
    Records(Records<'a>),
    /// A value that was asked for; revision 0 and no bytes if it is absent.
    Value {
        /// Its revision.
        revision: u64,
        /// Its bytes.
        value: &'a [u8],
    },
    /// Values that were asked for by the beginning of their names; none if there are no more.
    Values(Values<'a>),
    /// Fence and bounds of a log.
    Tail {
        /// The highest term raised.
        term: u64,
        /// Who raised it.
        owner: OwnerId,
        /// Number of the first record kept.
        first: u64,
        /// Number the next record will get.
        next: u64,
    },
    /// What the writer assumed no longer holds; nothing was written.
    Conflict {
        /// The next free number of the log, or the present revision of the value.
        current: u64,
    },
    /// Somebody with a higher term, or the same term under another owner, has taken over.
    Fenced {
        /// The term that holds now.
        term: u64,
    },
    /// The outcome cannot be told: it may or may not have been written.
    Unknown,
}

/// Records of a log, in one flat run of bytes: for each `u64` number, `u32` length (little endian)
/// and the payload. Any bytes are accepted; a record that does not fit ends the iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records<'a>(pub &'a [u8]);

/// Bytes before each record in a [`Records`] run.
pub const RECORD_HEAD: usize = 12;

impl<'a> Records<'a> {
    /// Number and payload of each record.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (head, tail) = rest.split_at_checked(RECORD_HEAD)?;
            let sequence = u64::from_le_bytes(head[..8].try_into().ok()?);
            let len = u32::from_le_bytes(head[8..].try_into().ok()?);
            let (payload, tail) = tail.split_at_checked(len as usize)?;
            rest = tail;
            Some((sequence, payload))
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// The head of one record in a [`Records`] run; the payload follows it.
#[must_use]
pub fn record_head(sequence: u64, len: u32) -> [u8; RECORD_HEAD] {
    let mut head = [0; RECORD_HEAD];
    head[..8].copy_from_slice(&sequence.to_le_bytes());
    head[8..].copy_from_slice(&len.to_le_bytes());
    head
}

/// Values of the catalog, in one flat run of bytes: for each `u64` revision, `u32` length of the name,
/// `u32` length of the value (all little endian), name and value. Any bytes are accepted; a value that does
/// not fit ends the iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a>(pub &'a [u8]);

/// Bytes before the name of each value in a [`Values`] run.
pub const VALUE_HEAD: usize = 16;

/// One value of a [`Values`] run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedValue<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// Its revision.
    pub revision: u64,
    /// Its bytes.
    pub value: &'a [u8],
}

impl<'a> Values<'a> {
    /// Each value, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = NamedValue<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (head, tail) = rest.split_at_checked(VALUE_HEAD)?;
            let revision = u64::from_le_bytes(head[..8].try_into().ok()?);
            let key_len = u32::from_le_bytes(head[8..12].try_into().ok()?);
            let value_len = u32::from_le_bytes(head[12..].try_into().ok()?);
            let (key, tail) = tail.split_at_checked(key_len as usize)?;
            let (value, tail) = tail.split_at_checked(value_len as usize)?;
            rest = tail;
            Some(NamedValue {
                key,
                revision,
                value,
            })
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// Adds a value to a [`Values`] run, unless the run holds one already and would exceed `bytes_max` bytes of
/// names and values, or a length does not fit; then says so.
///
/// # Errors
/// [`Full`]; nothing was added.
pub fn push_value(run: &mut Vec<u8>, value: NamedValue<'_>, bytes_max: u32) -> Result<(), Full> {
    let (Ok(key_len), Ok(value_len)) = (
        u32::try_from(value.key.len()),
        u32::try_from(value.value.len()),
    ) else {
        return Err(Full);
    };
    let bytes = run.len() + value.key.len() + value.value.len();
    if !run.is_empty() && bytes > bytes_max as usize {
        return Err(Full);
    }
    run.extend_from_slice(&value.revision.to_le_bytes());
    run.extend_from_slice(&key_len.to_le_bytes());
    run.extend_from_slice(&value_len.to_le_bytes());
    run.extend_from_slice(value.key);
    run.extend_from_slice(value.value);
    Ok(())
}

/// An outcome that owns its bytes, as it travels from a storage engine to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion<B> {
    /// See [`Done::Durable`].
    Durable {
        /// Number of the record or revision of the value.
        sequence: u64,
    },
    /// See [`Done::Records`]; the bytes are laid out as [`Records`] says.
    Records(B),
    /// See [`Done::Value`].
    Value {
        /// Its revision.
        revision: u64,
        /// Its bytes.
        value: B,
    },
    /// See [`Done::Values`]; the bytes are laid out as [`Values`] says.
    Values(B),
    /// See [`Done::Tail`].
    Tail {
        /// The highest term raised.
        term: u64,
        /// Who raised it.
        owner: OwnerId,
        /// Number of the first record kept.
        first: u64,
        /// Number the next record will get.
        next: u64,
    },
    /// See [`Done::Conflict`].
    Conflict {
        /// The next free number of the log, or the present revision of the value.
        current: u64,
    },
    /// See [`Done::Fenced`].
    Fenced {
        /// The term that holds now.
        term: u64,
    },
    /// See [`Done::Unknown`].
    Unknown,
}

impl<B: AsRef<[u8]>> Completion<B> {
    /// The outcome as a machine takes it.
    pub fn as_done(&self) -> Done<'_> {
        match *self {
            Self::Durable { sequence } => Done::Durable { sequence },
            Self::Records(ref bytes) => Done::Records(Records(bytes.as_ref())),
            Self::Value {
                revision,
                ref value,
            } => Done::Value {
                revision,
                value: value.as_ref(),
            },
            Self::Values(ref bytes) => Done::Values(Values(bytes.as_ref())),
            Self::Tail {
                term,
                owner,
                first,
                next,
            } => Done::Tail {
                term,
                owner,
                first,
                next,
            },
            Self::Conflict { current } => Done::Conflict { current },
            Self::Fenced { term } => Done::Fenced { term },
            Self::Unknown => Done::Unknown,
        }
    }
}

/// A storage engine as the driver uses it: operations in, completions out.
pub trait Storage {
    /// Bytes as the engine owns them.
    type Buf: AsRef<[u8]>;

    /// Which store this is, drawn when it was opened; zero if it does not say. Nodes whose stores say
    /// different things refuse each other, or two of them might journal the same id in two places.
    fn id(&self) -> u64 {
        0
    }

    /// Takes an operation; what it borrows is copied before this returns.
    ///
    /// # Errors
    /// [`Full`] if too many are in flight.
    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full>;

    /// The next outcome, or `Pending` with the task's waker kept.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Tag, Completion<Self::Buf>)>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_at_the_first_that_does_not_fit() {
        let mut run = [0; 64];
        run[..12].copy_from_slice(&record_head(7, 3));
        run[12..15].copy_from_slice(b"abc");
        run[15..27].copy_from_slice(&record_head(8, 1_000));
        let records: [_; 1] = core::array::from_fn(|i| Records(&run).iter().nth(i).unwrap());
        assert_eq!(records, [(7, &b"abc"[..])]);
        assert_eq!(Records(&run).iter().count(), 1);
        assert!(Records(&run[..11]).is_empty());
    }

    #[test]
    fn values_come_back_and_the_first_fits_however_long() {
        let named = |key, revision, value| NamedValue {
            key,
            revision,
            value,
        };
        let (long, short) = (named(b"a", 7, &[1; 90]), named(b"ab", 8, b""));
        let mut run = Vec::new();
        assert_eq!(push_value(&mut run, long, 10), Ok(()));
        assert_eq!(push_value(&mut run, short, 10), Err(Full));
        assert_eq!(push_value(&mut run, short, 200), Ok(()));
        assert!(Values(&run).iter().eq([long, short]));
        for cut in 0..run.len() {
            assert!(Values(&run[..cut]).iter().count() < 2);
        }
        assert!(Values(&[255; 40]).is_empty());
    }
}
