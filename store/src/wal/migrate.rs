//! Logs that an earlier version kept in redb move to the log once, when the store is opened.
//!
//! All of them are written and synced before one transaction of redb says where they are now, and drops them there.
//! A crash before it leaves them where they were; the log is then begun anew.

use redb::{Database, ReadableDatabase, ReadableTable};
use trefoil_core::storage::OwnerId;

use super::Shared;
use super::frame::{Head, Kind, Position};
use super::writer::Appender;
use crate::error::StoreError;
use crate::session::lock;
use crate::tables::{self, LOGS, LogState, RECORDS, decode_record};

/// Records are made durable when so many bytes of them were added.
const BYTES_MAX: usize = 16 << 20;

/// Moves all logs.
pub(crate) fn run(
    database: &Database,
    shared: &Shared,
    appender: &mut Appender,
) -> Result<(), StoreError> {
    let transaction = database.begin_read()?;
    let records = transaction.open_table(RECORDS)?;
    let mut added = 0;
    for entry in transaction.open_table(LOGS)?.iter()? {
        let (name, state) = entry?;
        let state = LogState::decode(state.value())?;
        let number = begin(shared, appender, name.value(), &state)?;
        let mut expected = state.first;
        for record in records.range((state.number, state.first)..(state.number, state.next))? {
            let (key, value) = record?;
            if key.value().1 != expected {
                break;
            }
            let payload = decode_record(value.value())?;
            let head = head(Kind::Append, number, expected, &state);
            let place = add(appender, head, payload)?;
            lock(&shared.index).place(number, expected, place);
            expected += 1;
            added += payload.len();
            if added > BYTES_MAX {
                flush(appender)?;
                added = 0;
            }
        }
        if expected != state.next {
            let name = String::from_utf8_lossy(name.value()).into_owned();
            return Err(StoreError::Damaged(format!(
                "log {name:?}: record {expected} is missing"
            )));
        }
    }
    flush(appender)?;
    drop(transaction);
    tables::hand_over_logs(database, shared.identity)
}

/// Writes what a log is but for its records; returns its number.
fn begin(
    shared: &Shared,
    appender: &mut Appender,
    name: &[u8],
    state: &LogState,
) -> Result<usize, StoreError> {
    let number = {
        let mut index = lock(&shared.index);
        let number = index.create(name);
        if let Some(log) = index.log_mut(number) {
            log.state = LogState {
                number: number as u64,
                next: state.first,
                ..*state
            };
        }
        number
    };
    add(appender, head(Kind::Create, number, 0, state), name)?;
    add(appender, head(Kind::Begin, number, state.first, state), &[])?;
    add(appender, head(Kind::Fence, number, state.first, state), &[])?;
    Ok(number)
}

const fn head(kind: Kind, number: usize, sequence: u64, state: &LogState) -> Head {
    Head {
        kind,
        log: number as u64,
        sequence,
        term: state.term,
        owner: OwnerId(state.owner.0),
        synced: Position::NOWHERE,
    }
}

fn add(appender: &mut Appender, head: Head, payload: &[u8]) -> Result<Position, StoreError> {
    let added = appender.add(head, payload);
    added.map_err(|error| StoreError::Unusable(format!("the log: {error}")))
}

fn flush(appender: &mut Appender) -> Result<(), StoreError> {
    let flushed = appender.flush();
    flushed.map_err(|error| StoreError::Unusable(format!("the log: {error}")))
}
