//! The index in a file, so that a store that is opened reads little: what lies before a position need not be
//! read again.
//!
//! It is taken while the log goes on, a few records at a time, and may know some of what came after its position; to
//! replay that changes nothing. Its bytes: eight of magic with the format, `u64` identity of the log, `u64` position;
//! the segments; the logs, each a byte 1, its name, its records in pieces and its state; a byte 0; and a crc32c of all of
//! it. Places are the differences between neighbours, so a record takes one to three bytes.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use trefoil_core::storage::OwnerId;

use super::files::Files;
use super::frame::{ALIGN, Position};
use super::index::{Index, Log};
use super::segment::NEW;
use crate::error::StoreError;
use crate::session::lock;
use crate::tables::LogState;

/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"TRFIDX\0\x01";

/// Bytes before the segments.
const HEAD: usize = 24;

/// Records that are copied at once, with the index locked.
const PIECE_MAX: usize = 4_096;

/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;

pub(crate) fn name(position: Position) -> String {
    format!("{:016x}.index", position.0)
}

/// The position in a file name, if it is a checkpoint's.
pub(crate) fn position(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".index").filter(|_| name.len() == 22)?;
    u64::from_str_radix(digits, 16).ok().map(Position)
}

/// A checkpoint as it will be written.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) position: Position,
    /// Segments that held nothing that is read when it was begun: it refers to none of them.
    pub(crate) dead: Vec<u32>,
    bytes: Vec<u8>,
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a checkpoint. Whoever uses the index waits for some microseconds at a time.
pub(crate) fn take(index: &Mutex<Index>, identity: u64) -> Taken {
    let mut bytes = MAGIC.to_vec();
    let (position, dead) = {
        let index = lock(index);
        bytes.extend_from_slice(&identity.to_le_bytes());
        bytes.extend_from_slice(&index.tail.0.to_le_bytes());
        put(&mut bytes, index.segments.len() as u64);
        for (number, usage) in &index.segments {
            put(&mut bytes, u64::from(*number));
            put(&mut bytes, usage.used);
            put(&mut bytes, usage.records);
        }
        let is_dead = |number: u32, live| live == 0 && number < index.tail.segment();
        let segments = index.segments.iter();
        let dead = segments.filter(|(number, usage)| is_dead(**number, usage.live));
        (index.tail, dead.map(|(number, _)| *number).collect())
    };
    let mut number = 0;
    while take_log(index, number, &mut bytes) {
        number += 1;
    }
    bytes.push(0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Taken {
        position,
        dead,
        bytes,
    }
}

/// Adds one log; `false` if there is none of that number.
fn take_log(index: &Mutex<Index>, number: usize, out: &mut Vec<u8>) -> bool {
    let mut sequence = 0;
    let mut begun = false;
    loop {
        let index = lock(index);
        let Some(log) = index.log(number) else {
            return false;
        };
        if !std::mem::replace(&mut begun, true) {
            out.push(1);
            put(out, log.name.len() as u64);
            out.extend_from_slice(&log.name);
        }
        sequence = take_piece(log, sequence, out);
        if sequence == log.state.next {
            // The state is of the moment at which all records were seen.
            out.push(0);
            let LogState {
                term,
                owner,
                first,
                next,
                ..
            } = log.state;
            for field in [term, owner.0, first, next] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            return true;
        }
    }
}

/// Adds records from `sequence` on, and returns where to go on.
fn take_piece(log: &Log, sequence: u64, out: &mut Vec<u8>) -> u64 {
    let from = sequence.max(log.state.first);
    let skipped = usize::try_from(from - log.state.first).unwrap_or(usize::MAX);
    let rest = log.records.len().saturating_sub(skipped);
    let count = rest.min(PIECE_MAX);
    if count > 0 {
        put(out, count as u64);
        put(out, from);
        let mut last = 0;
        for place in log.records.range(skipped..skipped + count) {
            put_difference(out, place.0 / ALIGN as u64, &mut last);
        }
    }
    from + count as u64
}

/// Adds what `number` is above or below `last`, small either way.
fn put_difference(out: &mut Vec<u8>, number: u64, last: &mut u64) {
    let difference = number.wrapping_sub(*last).cast_signed();
    put(
        out,
        ((difference << 1) ^ (difference >> 63)).cast_unsigned(),
    );
    *last = number;
}

impl Taken {
    /// Bytes of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Writes it; durable, and in the place of earlier ones, when this returns.
    pub(crate) fn write(&self, files: &dyn Files) -> io::Result<()> {
        let name = name(self.position);
        let new = format!("{name}{NEW}");
        let file = files.create(&new)?;
        for (at, chunk) in self.bytes.chunks(CHUNK).enumerate() {
            file.write_at((at * CHUNK) as u64, chunk)?;
        }
        file.sync()?;
        files.rename(&new, &name)?;
        files.sync()?;
        for other in files.list()? {
            if position(&other).is_some_and(|other| other < self.position) {
                files.remove(&other)?;
            }
        }
        Ok(())
    }
}

/// Reads the fields of a checkpoint; `None` beyond its end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn word(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn difference(&mut self, last: &mut u64) -> Option<u64> {
        let number = self.number()?;
        let difference = (number >> 1) ^ (number & 1).wrapping_neg();
        *last = last.wrapping_add(difference);
        Some(*last)
    }
}

/// Restores into an index, whose segments are those that are there, what a checkpoint holds; returns its position.
pub(crate) fn restore(
    bytes: &[u8],
    identity: u64,
    index: &mut Index,
) -> Result<Position, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("the index of the log: {what}"));
    let (whole, crc) = bytes
        .split_last_chunk::<4>()
        .filter(|(whole, _)| whole.len() > HEAD)
        .ok_or_else(|| damaged("it is cut short"))?;
    if *crc != crc32c::crc32c(whole).to_le_bytes() || whole[..7] != MAGIC[..7] {
        return Err(damaged("it does not match its checksum"));
    }
    if whole[7] > MAGIC[7] {
        return Err(StoreError::TooNew {
            found: whole[7].into(),
            known: MAGIC[7].into(),
        });
    }
    let mut fields = Fields(&whole[8..]);
    let ends = || damaged("it ends too early");
    if fields.word().ok_or_else(ends)? != identity {
        return Err(damaged("it is of another log"));
    }
    let position = Position(fields.word().ok_or_else(ends)?);
    restore_segments(&mut fields, index).ok_or_else(ends)?;
    loop {
        match fields.bytes(1).ok_or_else(ends)? {
            [0] => break,
            _ => restore_log(&mut fields, index).ok_or_else(ends)?,
        }
    }
    Ok(position)
}

fn restore_segments(fields: &mut Fields<'_>, index: &mut Index) -> Option<()> {
    for _ in 0..fields.number()? {
        let number = u32::try_from(fields.number()?).ok()?;
        let (used, records) = (fields.number()?, fields.number()?);
        if let Some(usage) = index.segments.get_mut(&number) {
            usage.used = used;
            usage.records = records;
        }
    }
    Some(())
}

fn restore_log(fields: &mut Fields<'_>, index: &mut Index) -> Option<()> {
    let len = usize::try_from(fields.number()?).ok()?;
    let name = fields.bytes(len)?;
    let mut records = VecDeque::new();
    let mut begins = 0;
    loop {
        let count = fields.number()?;
        if count == 0 {
            break;
        }
        let from = fields.number()?;
        // Between two pieces, records up to the later one were forgotten.
        if from != begins + records.len() as u64 {
            records.clear();
            begins = from;
        }
        let mut last = 0;
        for _ in 0..count {
            let place = fields.difference(&mut last)?;
            records.push_back(Position(place.wrapping_mul(ALIGN as u64)));
        }
    }
    let state = LogState {
        number: 0,
        term: fields.word()?,
        owner: OwnerId(fields.word()?),
        first: fields.word()?,
        next: fields.word()?,
    };
    if begins + records.len() as u64 != state.next {
        // Of a log whose records were all forgotten nothing was written.
        (records.is_empty() && state.first == state.next).then_some(())?;
    }
    let forgotten = usize::try_from(state.first.saturating_sub(begins)).ok()?;
    records.drain(..forgotten.min(records.len()));
    if state.next.checked_sub(state.first) != Some(records.len() as u64) {
        return None;
    }
    index.restore(name, state, records);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::files::Memory;
    use super::super::index::Usage;
    use super::*;

    fn index() -> Index {
        let mut index = segments();
        for name in [&b"a"[..], b"", b"c"] {
            index.create(name);
        }
        for n in 0..10_000 {
            index.place(0, n, Position::new(1 + n as u32 / 5_000, 64 + 8 * n as u32));
        }
        index.place(0, 7, Position::new(2, 64));
        index.trim(0, 5);
        index.place(2, 0, Position::new(3, 64));
        index.trim(2, 1);
        index.tail = Position::new(3, 128);
        index
    }

    fn segments() -> Index {
        let mut index = Index::default();
        for number in 1..4 {
            index.segments.insert(number, Usage::default());
        }
        index
    }

    fn taken() -> Vec<u8> {
        take(&Mutex::new(index()), 9).bytes
    }

    fn shown(index: &Index) -> String {
        let live: Vec<u64> = index.segments.values().map(|usage| usage.live).collect();
        let logs = index.logs().iter();
        let logs: Vec<_> = logs
            .map(|log| (&log.name, log.state, &log.records))
            .collect();
        format!("{live:?} {logs:?}")
    }

    #[test]
    fn what_is_restored_is_what_was_there() {
        let mut restored = segments();
        let position = restore(&taken(), 9, &mut restored).unwrap();
        assert_eq!(position, Position::new(3, 128));
        assert_eq!(shown(&restored), shown(&index()));
        assert!(
            taken().len() < 20_000,
            "a record takes little: {}",
            taken().len()
        );
    }

    #[test]
    fn it_is_used_whole_or_not_at_all() {
        let whole = taken();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(restore(&bytes, 9, &mut segments()).is_err(), "byte {at}");
            assert!(restore(&whole[..at], 9, &mut segments()).is_err());
        }
        assert!(
            restore(&whole, 8, &mut segments()).is_err(),
            "of another log"
        );
    }

    #[test]
    fn the_dead_are_named_and_the_segment_in_use_is_not_among_them() {
        let taken = take(&Mutex::new(index()), 9);
        assert_eq!(taken.dead, Vec::<u32>::new());
        let mut index = index();
        index.trim(0, 6_000);
        let taken = take(&Mutex::new(index), 9);
        assert_eq!(taken.dead, [1]);
    }

    #[test]
    fn a_later_one_takes_the_place_of_an_earlier_one() {
        let files = Memory::default();
        let mut index = index();
        for offset in [128, 192, 160] {
            index.tail = Position::new(3, offset);
            take(&Mutex::new(index), 9).write(&files).unwrap();
            index = self::index();
        }
        let names = files.list().unwrap();
        let last = names.iter().filter_map(|name| position(name)).max();
        assert_eq!(last, Some(Position::new(3, 192)));
    }
}
