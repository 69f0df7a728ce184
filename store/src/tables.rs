//! The tables of the file and the layout of their values. Every value begins with a version.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use trefoil_core::storage::OwnerId;

use crate::error::StoreError;

/// The newest format this version reads: the logs are in a log of their own.
pub(crate) const FORMAT: u64 = 2;

/// The format in which everything is in the tables.
const FORMAT_TABLES: u64 = 1;

/// Version of every value.
const VALUE_VERSION: u8 = 1;

/// Single numbers of the store.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Logs by name.
pub(crate) const LOGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("logs");
/// Records by number of their log and their own: those of one log lie side by side.
pub(crate) const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");
/// The catalog.
pub(crate) const CATALOG: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("catalog");
/// Each node's own state, by node and key.
pub(crate) const LOCAL: TableDefinition<'_, (&str, &[u8]), &[u8]> = TableDefinition::new("local");

pub(crate) const META_FORMAT: &str = "format";
/// Number of the next log.
pub(crate) const META_LOGS: &str = "logs";
/// Highest fencing token the catalog has seen.
pub(crate) const META_FENCE: &str = "fence";
/// Revision of the last catalog write.
pub(crate) const META_REVISION: &str = "revision";

/// Drawn when the file was made.
const META_IDENTITY: &str = "identity";

/// Drawn when the log was made that has the logs; absent while they are in the tables.
const META_LOG: &str = "log";

/// Which log has the logs; `None` while they are in the tables.
pub(crate) fn log_identity(database: &Database) -> Result<Option<u64>, StoreError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    Ok(meta.get(META_LOG)?.map(|value| value.value()))
}

/// From now on the log `identity` has the logs: they are dropped here. Versions that do not know of it refuse the file.
pub(crate) fn hand_over_logs(database: &Database, identity: u64) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    transaction.delete_table(LOGS)?;
    transaction.delete_table(RECORDS)?;
    transaction.open_table(LOGS)?;
    transaction.open_table(RECORDS)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_LOG, identity)?;
        meta.insert(META_FORMAT, FORMAT)?;
    }
    transaction.commit()?;
    Ok(())
}

/// What was drawn when the file was made; for a file of a version that drew nothing, now.
pub(crate) fn identity(database: &Database) -> Result<u64, StoreError> {
    let transaction = database.begin_write()?;
    let identity = {
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(META_IDENTITY)?.map(|value| value.value());
        match found {
            Some(found) => found,
            None => {
                let drawn = getrandom::u64();
                let drawn = drawn.map_err(|error| StoreError::Unusable(error.to_string()))?;
                meta.insert(META_IDENTITY, drawn)?;
                drawn
            }
        }
    };
    transaction.commit()?;
    Ok(identity)
}

/// Makes the tables of a new file, and refuses one of a newer format.
pub(crate) fn prepare(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(META_FORMAT)?.map(|value| value.value());
        match found {
            None => drop(meta.insert(META_FORMAT, FORMAT_TABLES)?),
            Some(found) if found > FORMAT => {
                return Err(StoreError::TooNew {
                    found,
                    known: FORMAT,
                });
            }
            Some(_) => {}
        }
        transaction.open_table(LOGS)?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(CATALOG)?;
        transaction.open_table(LOCAL)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Fence and bounds of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) number: u64,
    pub(crate) term: u64,
    pub(crate) owner: OwnerId,
    pub(crate) first: u64,
    pub(crate) next: u64,
}

const LOG_BYTES: usize = 41;

impl LogState {
    pub(crate) fn encode(&self) -> [u8; LOG_BYTES] {
        let mut bytes = [VALUE_VERSION; LOG_BYTES];
        let fields = [self.number, self.term, self.owner.0, self.first, self.next];
        for (chunk, field) in bytes[1..].chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() != LOG_BYTES || bytes[0] != VALUE_VERSION {
            return Err(StoreError::Damaged(
                "the state of a log has an unknown version".into(),
            ));
        }
        let field = |at: usize| word(&bytes[1 + 8 * at..]);
        Ok(Self {
            number: field(0),
            term: field(1),
            owner: OwnerId(field(2)),
            first: field(3),
            next: field(4),
        })
    }
}

/// Eight bytes, little endian; zeros where there are fewer.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// Bytes before the payload of a record: version and checksum.
const RECORD_HEAD: usize = 5;

/// A record as it is kept.
pub(crate) fn encode_record(payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(VALUE_VERSION);
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The payload of a record, if it is what was written.
pub(crate) fn decode_record(bytes: &[u8]) -> Result<&[u8], StoreError> {
    let (head, payload) = bytes
        .split_at_checked(RECORD_HEAD)
        .ok_or_else(|| StoreError::Damaged("a record is cut short".into()))?;
    if head[0] != VALUE_VERSION {
        return Err(StoreError::Damaged(format!(
            "a record has the unknown version {}",
            head[0]
        )));
    }
    if word(&head[1..]) != u64::from(crc32c::crc32c(payload)) {
        return Err(StoreError::Damaged(
            "a record does not match its checksum".into(),
        ));
    }
    Ok(payload)
}

/// A value with its revision as it is kept.
pub(crate) fn encode_value(revision: u64, value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(VALUE_VERSION);
    out.extend_from_slice(&revision.to_le_bytes());
    out.extend_from_slice(value);
}

/// Revision and bytes of a value.
pub(crate) fn decode_value(bytes: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    match bytes.split_at_checked(9) {
        Some((head, value)) if head[0] == VALUE_VERSION => Ok((word(&head[1..]), value)),
        _ => Err(StoreError::Damaged("a value has an unknown version".into())),
    }
}
