//! Applying one operation to the tables of a transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, WriteTransaction};
use trefoil_core::storage::{Completion, NamedValue, OwnerId, push_value, record_head};

use crate::Plant;
use crate::error::StoreError;
use crate::log::{SEALED, Verdict};
use crate::tables::{
    CATALOG, LOCAL, LOGS, LogState, META, META_FENCE, META_LOGS, META_REVISION, RECORDS,
    decode_record, decode_value, encode_record, encode_value,
};
use crate::writer::OwnedOp;

type Outcome = Result<Completion<Vec<u8>>, StoreError>;

/// The tables of one transaction.
pub(crate) enum Tables<'t> {
    Read(Box<ReadTables>),
    Write(Box<WriteTables<'t>>),
}

pub(crate) struct ReadTables {
    logs: ReadOnlyTable<&'static [u8], &'static [u8]>,
    records: ReadOnlyTable<(u64, u64), &'static [u8]>,
    catalog: ReadOnlyTable<&'static [u8], &'static [u8]>,
    local: ReadOnlyTable<(&'static str, &'static [u8]), &'static [u8]>,
}

pub(crate) struct WriteTables<'t> {
    meta: Table<'t, &'static str, u64>,
    logs: Table<'t, &'static [u8], &'static [u8]>,
    records: Table<'t, (u64, u64), &'static [u8]>,
    catalog: Table<'t, &'static [u8], &'static [u8]>,
    local: Table<'t, (&'static str, &'static [u8]), &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(crate) fn read(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self::Read(Box::new(ReadTables {
            logs: transaction.open_table(LOGS)?,
            records: transaction.open_table(RECORDS)?,
            catalog: transaction.open_table(CATALOG)?,
            local: transaction.open_table(LOCAL)?,
        })))
    }

    pub(crate) fn write(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self::Write(Box::new(WriteTables {
            meta: transaction.open_table(META)?,
            logs: transaction.open_table(LOGS)?,
            records: transaction.open_table(RECORDS)?,
            catalog: transaction.open_table(CATALOG)?,
            local: transaction.open_table(LOCAL)?,
        })))
    }

    fn writable(&mut self) -> Result<&mut WriteTables<'t>, StoreError> {
        match self {
            Self::Write(tables) => Ok(tables),
            Self::Read(_) => Err(StoreError::Unusable(
                "a write in a transaction that reads".into(),
            )),
        }
    }

    fn log(&self, name: &[u8]) -> Result<Option<LogState>, StoreError> {
        let found = match self {
            Self::Read(tables) => tables.logs.get(name)?,
            Self::Write(tables) => tables.logs.get(name)?,
        };
        found
            .map(|value| LogState::decode(value.value()))
            .transpose()
    }

    fn catalog(&self, key: &[u8]) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let found = match self {
            Self::Read(tables) => tables.catalog.get(key)?,
            Self::Write(tables) => tables.catalog.get(key)?,
        };
        owned(found)
    }

    fn local(&self, node: &str, key: &[u8]) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let found = match self {
            Self::Read(tables) => tables.local.get((node, key))?,
            Self::Write(tables) => tables.local.get((node, key))?,
        };
        owned(found)
    }
}

fn owned(
    found: Option<redb::AccessGuard<'_, &[u8]>>,
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    found
        .map(|value| {
            decode_value(value.value()).map(|(revision, bytes)| (revision, bytes.to_vec()))
        })
        .transpose()
}

/// What is kept between transactions: the states of the logs that were used, which the tables get
/// once a transaction and not once an operation.
#[derive(Debug)]
pub(crate) struct Applied {
    logs: HashMap<Vec<u8>, Known>,
    /// Logs that operations of this transaction may have changed.
    touched: Vec<Vec<u8>>,
    record: Vec<u8>,
    plant: Option<Plant>,
    appends: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    state: LogState,
    touched: bool,
    dirty: bool,
}

/// Log states remembered. Beyond it all are forgotten and read again when they are needed.
const KNOWN_MAX: usize = 200_000;

impl Applied {
    pub(crate) fn new(plant: Option<Plant>) -> Self {
        Self {
            logs: HashMap::new(),
            touched: Vec::new(),
            record: Vec::new(),
            plant,
            appends: 0,
        }
    }

    /// The state of a log, made if it is to be written and does not exist.
    fn log(&mut self, tables: &mut Tables<'_>, name: &[u8]) -> Result<&mut Known, StoreError> {
        let known = match self.logs.entry(name.to_vec()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let state = match tables.log(name)? {
                    Some(state) => state,
                    None => LogState {
                        number: number(tables.writable()?, META_LOGS)?,
                        ..LogState::default()
                    },
                };
                entry.insert(Known {
                    state,
                    touched: false,
                    dirty: false,
                })
            }
        };
        if !std::mem::replace(&mut known.touched, true) {
            self.touched.push(name.to_vec());
        }
        Ok(known)
    }

    /// The state of a log for reading; `None` if it does not exist.
    fn peek(&self, tables: &Tables<'_>, name: &[u8]) -> Result<Option<LogState>, StoreError> {
        match self.logs.get(name) {
            Some(known) => Ok(Some(known.state)),
            None => tables.log(name),
        }
    }

    /// Writes the log states that changed; at the end of a transaction.
    pub(crate) fn flush(&mut self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        let tables = tables.writable()?;
        for name in self.touched.drain(..) {
            let Some(known) = self.logs.get_mut(&name) else {
                continue;
            };
            known.touched = false;
            if std::mem::take(&mut known.dirty) {
                tables
                    .logs
                    .insert(name.as_slice(), known.state.encode().as_slice())?;
            }
        }
        if self.logs.len() > KNOWN_MAX {
            self.logs.clear();
        }
        Ok(())
    }
}

/// The next of a row of numbers, counted up.
fn number(tables: &mut WriteTables<'_>, row: &str) -> Result<u64, StoreError> {
    let last = tables.meta.get(row)?.map_or(0, |value| value.value());
    tables.meta.insert(row, last + 1)?;
    Ok(last + 1)
}

fn outcome(verdict: Verdict, granted: Completion<Vec<u8>>) -> Completion<Vec<u8>> {
    match verdict {
        Verdict::Granted => granted,
        Verdict::Fenced { term } => Completion::Fenced { term },
        Verdict::Conflict { current } => Completion::Conflict { current },
    }
}

fn tail(state: LogState) -> Completion<Vec<u8>> {
    let LogState {
        term,
        owner,
        first,
        next,
        ..
    } = state;
    Completion::Tail {
        term,
        owner,
        first,
        next,
    }
}

/// Applies one operation. An error here fails the whole batch.
pub(crate) fn apply(tables: &mut Tables<'_>, applied: &mut Applied, op: &OwnedOp) -> Outcome {
    match *op {
        OwnedOp::Load { ref key } => {
            let (revision, value) = tables.catalog(key)?.unwrap_or_default();
            Ok(Completion::Value { revision, value })
        }
        OwnedOp::Scan {
            ref prefix,
            ref after,
            bytes_max,
        } => scan(tables, prefix, after, bytes_max),
        OwnedOp::Cas {
            ref key,
            fence,
            revision,
            ref value,
        } => cas(tables, applied, key, fence, revision, value),
        OwnedOp::Fence {
            ref log,
            term,
            owner,
        } => {
            let known = applied.log(tables, log)?;
            let verdict = known.state.fence(term, owner);
            known.dirty |= verdict == Verdict::Granted;
            Ok(outcome(verdict, tail(known.state)))
        }
        OwnedOp::Tail { ref log } => Ok(tail(applied.peek(tables, log)?.unwrap_or_default())),
        OwnedOp::Append {
            ref log,
            term,
            owner,
            expected,
            ref payload,
        } => append(tables, applied, log, (term, owner), expected, payload),
        OwnedOp::Read {
            ref log,
            from,
            bytes_max,
        } => read(tables, applied, log, from, bytes_max),
        OwnedOp::Trim {
            ref log,
            term,
            owner,
            before,
        } => trim(tables, applied, log, (term, owner), before),
        OwnedOp::Seal {
            ref log,
            term,
            owner,
        } => {
            let known = applied.log(tables, log)?;
            let verdict = known.state.admits(term, owner);
            if verdict == Verdict::Granted {
                known.state.term = SEALED;
                known.dirty = true;
            }
            Ok(outcome(
                verdict,
                Completion::Durable {
                    sequence: known.state.next,
                },
            ))
        }
        OwnedOp::Keep {
            ref node,
            ref key,
            ref value,
        } => {
            encode_value(1, value, &mut applied.record);
            tables
                .writable()?
                .local
                .insert((&**node, key.as_slice()), applied.record.as_slice())?;
            Ok(Completion::Durable { sequence: 1 })
        }
        OwnedOp::Recall { ref node, ref key } => {
            let (revision, value) = tables.local(node, key)?.unwrap_or_default();
            Ok(Completion::Value { revision, value })
        }
    }
}

fn scan(tables: &Tables<'_>, prefix: &[u8], after: &[u8], bytes_max: u32) -> Outcome {
    let from = prefix.max(after);
    let values = match tables {
        Tables::Read(tables) => tables.catalog.range(from..)?,
        Tables::Write(tables) => tables.catalog.range(from..)?,
    };
    let mut run = Vec::new();
    for value in values {
        let (key, value) = value?;
        if !key.value().starts_with(prefix) {
            break;
        }
        let (revision, value) = decode_value(value.value())?;
        let key = key.value();
        let named = NamedValue {
            key,
            revision,
            value,
        };
        if key > after && push_value(&mut run, named, bytes_max).is_err() {
            break;
        }
    }
    Ok(Completion::Values(run))
}

fn cas(
    tables: &mut Tables<'_>,
    applied: &mut Applied,
    key: &[u8],
    fence: u64,
    revision: u64,
    value: &[u8],
) -> Outcome {
    let present = tables.catalog(key)?.map_or(0, |(revision, _)| revision);
    let tables = tables.writable()?;
    let highest = tables
        .meta
        .get(META_FENCE)?
        .map_or(0, |value| value.value());
    if fence < highest {
        return Ok(Completion::Fenced { term: highest });
    }
    if fence > highest {
        tables.meta.insert(META_FENCE, fence)?;
    }
    if revision != present {
        return Ok(Completion::Conflict { current: present });
    }
    let revision = number(tables, META_REVISION)?;
    encode_value(revision, value, &mut applied.record);
    tables.catalog.insert(key, applied.record.as_slice())?;
    Ok(Completion::Durable { sequence: revision })
}

fn append(
    tables: &mut Tables<'_>,
    applied: &mut Applied,
    log: &[u8],
    (term, owner): (u64, OwnerId),
    expected: u64,
    payload: &[u8],
) -> Outcome {
    let plant = applied.plant;
    let known = applied.log(tables, log)?;
    let verdict = known.state.append(term, owner, expected);
    if verdict != Verdict::Granted && plant != Some(Plant::NoFence) {
        return Ok(outcome(verdict, Completion::Unknown));
    }
    let (number, sequence) = (known.state.number, known.state.next);
    known.state.next += 1;
    known.dirty = true;
    applied.appends += 1;
    if plant != Some(Plant::LostAppend) || !applied.appends.is_multiple_of(40) {
        encode_record(payload, &mut applied.record);
        tables
            .writable()?
            .records
            .insert((number, sequence), applied.record.as_slice())?;
    }
    let told = if plant == Some(Plant::NoFence) {
        expected
    } else {
        sequence
    };
    Ok(Completion::Durable { sequence: told })
}

fn read(tables: &Tables<'_>, applied: &Applied, log: &[u8], from: u64, bytes_max: u32) -> Outcome {
    let Some(state) = applied.peek(tables, log)? else {
        return Ok(Completion::Records(Vec::new()));
    };
    let range = (state.number, from.max(state.first))..(state.number, state.next);
    let mut run = Vec::new();
    let mut push = |key: (u64, u64), bytes: &[u8]| -> Result<bool, StoreError> {
        let payload = decode_record(bytes)?;
        if !run.is_empty() && run.len() + payload.len() > bytes_max as usize {
            return Ok(false);
        }
        let len = u32::try_from(payload.len())
            .map_err(|_| StoreError::Damaged("a record exceeds 4 GiB".into()))?;
        run.extend_from_slice(&record_head(key.1, len));
        run.extend_from_slice(payload);
        Ok(true)
    };
    if range.start < range.end {
        let records = match tables {
            Tables::Read(tables) => tables.records.range(range)?,
            Tables::Write(tables) => tables.records.range(range)?,
        };
        for record in records {
            let (key, value) = record?;
            if !push(key.value(), value.value())? {
                break;
            }
        }
    }
    Ok(Completion::Records(run))
}

fn trim(
    tables: &mut Tables<'_>,
    applied: &mut Applied,
    log: &[u8],
    (term, owner): (u64, OwnerId),
    before: u64,
) -> Outcome {
    let known = applied.log(tables, log)?;
    let verdict = known.state.admits(term, owner);
    if verdict != Verdict::Granted {
        return Ok(outcome(verdict, Completion::Unknown));
    }
    let LogState {
        number,
        first,
        next,
        ..
    } = known.state;
    let before = before.clamp(first, next);
    known.state.first = before;
    known.dirty = true;
    if first < before {
        tables
            .writable()?
            .records
            .retain_in((number, first)..(number, before), |_, _| false)?;
    }
    Ok(Completion::Durable { sequence: before })
}
