//! Verifying a log: every frame of every segment is read, and every record is looked for.

use super::files::Files;
use super::frame::Position;
use super::index::Index;
use super::recovery::{frames, read};
use super::segment;
use crate::check::Report;
use crate::error::StoreError;

/// Adds to a report what is there and what is wrong. Changes nothing.
pub(crate) fn run(files: &dyn Files, identity: u64, report: &mut Report) -> Result<(), StoreError> {
    let index = match read(files, identity) {
        Ok(found) => found.index,
        Err(damaged @ StoreError::Damaged(_)) => {
            report.problem(damaged.to_string());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut seen = vec![0_u64; index.logs().len()];
    for number in index.segments.keys() {
        segment(files, identity, *number, &index, &mut seen, report)?;
    }
    for (log, seen) in index.logs().iter().zip(seen) {
        report.logs += 1;
        report.records += seen;
        let expected = log.state.next - log.state.first;
        if seen != expected {
            let name = String::from_utf8_lossy(&log.name);
            let missing = expected.saturating_sub(seen);
            report.problem(format!("log {name:?}: {missing} records are missing"));
        }
    }
    Ok(())
}

fn segment(
    files: &dyn Files,
    identity: u64,
    number: u32,
    index: &Index,
    seen: &mut [u64],
    report: &mut Report,
) -> Result<(), StoreError> {
    let name = segment::name(number);
    let read = || {
        let file = files.open(&name)?;
        let len = file.bytes()?;
        let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    };
    let bytes: Vec<u8> = match read() {
        Ok(bytes) => bytes,
        Err(error) => {
            let error: std::io::Error = error;
            report.problem(format!("{name}: {error}"));
            return Ok(());
        }
    };
    if let Err(error) = segment::verify(&bytes, identity, number) {
        report.problem(error.to_string());
        return Ok(());
    }
    let seed = segment::seed(identity, number);
    let stop = frames(&bytes, seed, segment::HEAD, |at, head, _| {
        let place = Position::new(number, u32::try_from(at).unwrap_or(u32::MAX));
        let log = usize::try_from(head.log).unwrap_or(usize::MAX);
        if head.kind.is_record() && index.place_of(log, head.sequence) == Some(place) {
            seen[log] += 1;
        }
        Ok(())
    })?;
    if !stop.ended && number < index.tail.segment() {
        report.problem(format!("{name}: damaged at {}", stop.at));
    }
    Ok(())
}
