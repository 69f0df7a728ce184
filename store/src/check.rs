//! Verifying a store: what `trefoil store check` runs.

use std::fmt;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::error::StoreError;
use crate::tables::{
    CATALOG, FORMAT, LOCAL, LOGS, LogState, META, META_FORMAT, RECORDS, decode_record, decode_value,
};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Logs.
    pub logs: u64,
    /// Records in them.
    pub records: u64,
    /// Values of the catalog and of the nodes' own state.
    pub values: u64,
    /// What is wrong, one line each; at most 100 are listed.
    pub problems: Vec<String>,
}

const PROBLEMS_MAX: usize = 100;

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} logs, {} records, {} values: ",
            self.logs, self.records, self.values
        )?;
        if self.is_whole() {
            return f.write_str("all whole");
        }
        write!(f, "{} problems", self.problems.len())?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Verifies what is in the tables.
pub(crate) fn run(database: &Database) -> Result<Report, StoreError> {
    let transaction = database.begin_read()?;
    let mut report = Report::default();
    let format = transaction
        .open_table(META)?
        .get(META_FORMAT)?
        .map_or(0, |value| value.value());
    if format > FORMAT {
        return Err(StoreError::TooNew {
            found: format,
            known: FORMAT,
        });
    }
    let records = transaction.open_table(RECORDS)?;
    let mut claimed = 0;
    for entry in transaction.open_table(LOGS)?.iter()? {
        let (name, value) = entry?;
        report.logs += 1;
        let name = String::from_utf8_lossy(name.value()).into_owned();
        let state = match LogState::decode(value.value()) {
            Ok(state) => state,
            Err(error) => {
                report.problem(format!("log {name:?}: {error}"));
                continue;
            }
        };
        let mut expected = state.first;
        for record in records.range((state.number, 0)..=(state.number, u64::MAX))? {
            let (key, value) = record?;
            let sequence = key.value().1;
            claimed += 1;
            if sequence != expected {
                report.problem(format!("log {name:?}: record {expected} is missing"));
            }
            if let Err(error) = decode_record(value.value()) {
                report.problem(format!("log {name:?}, record {sequence}: {error}"));
            }
            expected = sequence + 1;
        }
        if expected != state.next {
            report.problem(format!(
                "log {name:?}: ends at {expected}, not at {}",
                state.next
            ));
        }
    }
    report.records = records.len()?;
    if report.records != claimed {
        report.problem(format!(
            "{} records belong to no log",
            report.records.saturating_sub(claimed)
        ));
    }
    for entry in transaction.open_table(CATALOG)?.iter()? {
        let (key, value) = entry?;
        report.values += 1;
        if let Err(error) = decode_value(value.value()) {
            report.problem(format!(
                "catalog {:?}: {error}",
                String::from_utf8_lossy(key.value())
            ));
        }
    }
    for entry in transaction.open_table(LOCAL)?.iter()? {
        let (key, value) = entry?;
        report.values += 1;
        if let Err(error) = decode_value(value.value()) {
            report.problem(format!("state of {:?}: {error}", key.value().0));
        }
    }
    Ok(report)
}
