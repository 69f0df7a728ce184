//! The records of an actor's log.
//!
//! ```text
//! version  u8        1
//! kind     u8        1: mutations, 2: snapshot
//! mutations:  request id u128 (0: none), the accepted messages as an encoded ApplyRequest
//! snapshot:   count u16, count request ids u128 (oldest first), the actor's own bytes
//! ```
//! All integers are little endian. A record says nothing about its number, term or owner: the log
//! keeps those.

use alloc::vec::Vec;

/// The version this code writes.
pub(super) const VERSION: u8 = 1;
const MUTATIONS: u8 = 1;
const SNAPSHOT: u8 = 2;

/// Name of an actor's log.
pub(super) fn log(id: u64) -> [u8; 9] {
    let mut name = [b'a'; 9];
    name[1..].copy_from_slice(&id.to_be_bytes());
    name
}

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Mutations {
        request_id: Option<u128>,
        request: &'a [u8],
    },
    Snapshot {
        ids: &'a [u8],
        state: &'a [u8],
    },
}

/// Why a record cannot be read: the message its callers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

/// The record is of a version to come.
pub(super) const UNKNOWN_VERSION: Unreadable =
    Unreadable("TF-R08: the actor's journal holds a record of a version this node does not know");
/// The record is no record.
pub(super) const CORRUPT: Unreadable =
    Unreadable("TF-R08: the actor's journal holds a record that cannot be read");
/// The log was trimmed and holds no snapshot.
pub(super) const NO_BEGINNING: Unreadable =
    Unreadable("TF-R08: the actor's journal has lost its beginning");

pub(super) fn read(bytes: &[u8]) -> Result<Record<'_>, Unreadable> {
    let Some((head, body)) = bytes.split_first_chunk::<2>() else {
        return Err(CORRUPT);
    };
    match *head {
        [VERSION, MUTATIONS] => {
            let Some((id, request)) = body.split_first_chunk::<16>() else {
                return Err(CORRUPT);
            };
            let id = u128::from_le_bytes(*id);
            Ok(Record::Mutations {
                request_id: (id != 0).then_some(id),
                request,
            })
        }
        [VERSION, SNAPSHOT] => {
            let Some((count, rest)) = body.split_first_chunk::<2>() else {
                return Err(CORRUPT);
            };
            let len = 16 * usize::from(u16::from_le_bytes(*count));
            let Some((ids, state)) = rest.split_at_checked(len) else {
                return Err(CORRUPT);
            };
            Ok(Record::Snapshot { ids, state })
        }
        [VERSION, _] => Err(CORRUPT),
        _ => Err(UNKNOWN_VERSION),
    }
}

/// Whether `bytes` begin like a snapshot this code can read.
pub(super) fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(&[VERSION, SNAPSHOT])
}

/// The request ids of a snapshot, oldest first.
pub(super) fn ids(bytes: &[u8]) -> impl Iterator<Item = u128> {
    bytes
        .chunks_exact(16)
        .filter_map(|id| Some(u128::from_le_bytes(id.try_into().ok()?)))
}

pub(super) fn write_mutations(out: &mut Vec<u8>, request_id: Option<u128>, request: &[u8]) {
    out.clear();
    out.extend_from_slice(&[VERSION, MUTATIONS]);
    out.extend_from_slice(&request_id.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(request);
}

/// `ids` has at most 65,535 elements: the configuration sees to it.
pub(super) fn write_snapshot(
    out: &mut Vec<u8>,
    ids: impl ExactSizeIterator<Item = u128>,
    state: &[u8],
) {
    out.clear();
    out.extend_from_slice(&[VERSION, SNAPSHOT]);
    out.extend_from_slice(&(ids.len() as u16).to_le_bytes());
    for id in ids {
        out.extend_from_slice(&id.to_le_bytes());
    }
    out.extend_from_slice(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_records_come_back() {
        let mut out = Vec::new();
        write_mutations(&mut out, Some(7), b"abc");
        assert_eq!(
            read(&out),
            Ok(Record::Mutations {
                request_id: Some(7),
                request: b"abc"
            })
        );
        write_mutations(&mut out, None, b"");
        assert_eq!(
            read(&out),
            Ok(Record::Mutations {
                request_id: None,
                request: b""
            })
        );
        write_snapshot(&mut out, [3, 4].into_iter(), b"state");
        let Ok(Record::Snapshot { ids: bytes, state }) = read(&out) else {
            panic!()
        };
        assert!(ids(bytes).eq([3, 4]));
        assert_eq!(state, b"state");
        assert!(is_snapshot(&out));
    }

    #[test]
    fn a_cut_or_strange_journal_record_is_refused_by_name() {
        let mut out = Vec::new();
        write_snapshot(&mut out, [3, 4].into_iter(), b"");
        for cut in 0..out.len() {
            assert_eq!(read(&out[..cut]), Err(CORRUPT));
        }
        assert_eq!(read(&[2, 1, 0]), Err(UNKNOWN_VERSION));
        assert_eq!(read(&[VERSION, 9, 0]), Err(CORRUPT));
        assert_eq!(log(0x0102), *b"a\0\0\0\0\0\0\x01\x02");
    }
}
