//! A segment: one file of the log, made whole before it is used.
//!
//! It is written full of zeros and synced beforehand. A sync of a record then has nothing to tell the file system but
//! the record: a file that grows, or whose blocks were reserved and never written, costs a write of the file system's
//! own journal at every sync.
//!
//! Its head is [`HEAD`] bytes: eight of magic with the format, `u64` identity of the log, `u32` number, zeros, and a crc32c
//! of all before; little endian.

use std::io;
use std::sync::Arc;

use super::files::{Files, LogFile};
use crate::error::StoreError;

/// Bytes before the first frame.
pub(crate) const HEAD: usize = 64;

/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"TRFLOG\0\x01";

/// Names of files that are not whole yet.
pub(crate) const NEW: &str = ".new";

/// Zeros are written so many at a time.
const CHUNK: usize = 1 << 18;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// The file name of a segment.
pub(crate) fn name(number: u32) -> String {
    format!("{number:08x}.log")
}

/// The number in a file name, if it is a segment's.
pub(crate) fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log").filter(|name| name.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

fn head(identity: u64, number: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&identity.to_le_bytes());
    head[16..20].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&head[..HEAD - 4]);
    head[HEAD - 4..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// What the checksums of a segment's frames begin with: no frame of another place is taken for one of this.
pub(crate) fn seed(identity: u64, number: u32) -> u32 {
    crc32c::crc32c(&head(identity, number))
}

/// Whether these bytes begin the segment `number` of the log `identity`.
pub(crate) fn verify(bytes: &[u8], identity: u64, number: u32) -> Result<(), StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("{}: {what}", name(number)));
    let bytes = bytes
        .get(..HEAD)
        .ok_or_else(|| damaged("it is cut short"))?;
    if bytes == head(identity, number) {
        return Ok(());
    }
    let (whole, crc) = bytes.split_at(HEAD - 4);
    if crc != crc32c::crc32c(whole).to_le_bytes() || bytes[..7] != MAGIC[..7] {
        return Err(damaged("its head is damaged"));
    }
    if bytes[7] > MAGIC[7] {
        return Err(StoreError::TooNew {
            found: bytes[7].into(),
            known: MAGIC[7].into(),
        });
    }
    Err(damaged("it is a segment of another log"))
}

/// Writes zeros.
pub(crate) fn clear(file: &dyn LogFile, mut from: u64, until: u64) -> io::Result<()> {
    while from < until {
        let len = usize::try_from(until - from).map_or(CHUNK, |len| len.min(CHUNK));
        file.write_at(from, &ZEROS[..len])?;
        from += len as u64;
    }
    Ok(())
}

/// Makes a segment of `bytes` bytes, which is durable and empty when this returns; in place of one of that number.
pub(crate) fn prepare(
    files: &dyn Files,
    identity: u64,
    number: u32,
    bytes: u64,
) -> io::Result<Arc<dyn LogFile>> {
    let name = name(number);
    let new = format!("{name}{NEW}");
    let file = files.create(&new)?;
    clear(&*file, 0, bytes)?;
    file.write_at(0, &head(identity, number))?;
    file.sync()?;
    files.rename(&new, &name)?;
    files.sync()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::files::Memory;
    use super::*;

    #[test]
    fn a_segment_is_full_of_zeros_and_knows_itself() {
        let files = Memory::default();
        let file = prepare(&files, 7, 30, 600_000).unwrap();
        assert_eq!(files.list().unwrap(), ["0000001e.log"]);
        assert_eq!(number("0000001e.log"), Some(30));
        let mut bytes = vec![1; 600_000];
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes[HEAD..].iter().all(|byte| *byte == 0));
        assert_eq!(verify(&bytes, 7, 30), Ok(()));
        for wrong in [verify(&bytes, 8, 30), verify(&bytes, 7, 31)] {
            assert!(wrong.unwrap_err().to_string().contains("another log"));
        }
        for at in 0..HEAD {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            assert!(matches!(verify(&bytes, 7, 30), Err(StoreError::Damaged(_))));
            assert!(verify(&bytes[..at], 7, 30).is_err());
        }
    }

    #[test]
    fn a_segment_of_a_later_format_is_refused_as_such() {
        let mut bytes = head(7, 1);
        bytes[7] = 2;
        let crc = crc32c::crc32c(&bytes[..HEAD - 4]);
        bytes[HEAD - 4..].copy_from_slice(&crc.to_le_bytes());
        let refused = verify(&bytes, 7, 1);
        assert_eq!(refused, Err(StoreError::TooNew { found: 2, known: 1 }));
    }

    #[test]
    fn other_names_are_no_segments() {
        for name in [
            "1.log",
            "00000001.log.new",
            "00000001.index",
            "zzzzzzzz.log",
        ] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
