//! What can go wrong with a store as a whole. Outcomes of single operations are completions.

/// A store that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "TF-S01: another process has the store open; stop it, use another data directory, or the store it serves"
    )]
    InUse,
    /// The directory or the file cannot be used.
    #[error("TF-S02: the store cannot be used: {0}")]
    Unusable(String),
    /// It was written by a newer version.
    #[error(
        "TF-S03: the store has format {found}; this version reads up to {known}: use a newer one"
    )]
    TooNew {
        /// The format of the file.
        found: u64,
        /// The newest format this version reads.
        known: u64,
    },
    /// The file is damaged.
    #[error("TF-S04: the store is damaged: {0}")]
    Damaged(String),
    /// It stopped after a failed write.
    #[error("TF-S05: the store has stopped after a failed write: {0}; mend the cause and restart")]
    Stopped(String),
    /// Its logs are in a write-ahead log, and redb was asked for.
    #[error(
        "TF-S06: the store's logs are in its write-ahead log; open it with the log engine `Wal`"
    )]
    OtherEngine,
}

// redb's errors are open: what a later version adds is told in its own words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an open enum of another crate"
)]
impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Unusable(other.to_string()),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an open enum of another crate"
)]
impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Corrupted(what) => Self::Damaged(what),
            other => Self::Unusable(other.to_string()),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an open enum of another crate"
)]
impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        Self::Unusable(error.to_string())
    }
}
