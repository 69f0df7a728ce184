//! The embedded store of a Trefoil process: fenced logs, a catalog with revisions, and each node's own
//! state, in one redb file.
//!
//! All nodes of one process share it; another process cannot open it too, but use it where a `Server` serves it:
//! by a `RemoteStore`, over a socket of the machine. One thread takes the operations
//! of all sessions in order, applies them in one transaction, commits it, and only then tells anybody:
//! the cost of making a batch durable is shared by all who wait for it.
//!
//! ```
//! use trefoil_core::storage::{Completion, Op, OwnerId};
//! use trefoil_store::{Store, StoreOptions};
//!
//! # fn main() -> Result<(), trefoil_store::StoreError> {
//! let store = Store::in_memory(StoreOptions::default())?;
//! let mut session = store.session("127.0.0.1:7001");
//! let owner = OwnerId(1);
//! session.run(Op::Fence { log: b"carts/7", term: 1, owner });
//! let append = Op::Append { log: b"carts/7", term: 1, owner, expected: 0, payload: b"apple" };
//! assert_eq!(session.run(append), Completion::Durable { sequence: 0 });
//! # Ok(())
//! # }
//! ```
//!
//! # Stable codes of errors
//!
//! | code | meaning | what to do |
//! |---|---|---|
//! | `TF-S01` | another process has the store open, or serves one there | stop it, use another directory, or the store it serves |
//! | `TF-S02` | the directory or the file cannot be used | see the system's reason |
//! | `TF-S03` | the store was written by a newer version | use that version, or a newer one |
//! | `TF-S04` | the file is damaged | restore it; `trefoil store check` says where |
//! | `TF-S05` | the store has stopped after a failed write | see the reason, mend it, restart |

mod apply;
mod check;
mod error;
mod log;
#[cfg(unix)]
mod remote;
mod session;
mod tables;
mod writer;

use std::hash::Hasher;
use std::path::Path;
use std::sync::Arc;

pub use check::Report;
pub use error::StoreError;
use redb::{Database, StorageBackend};
#[cfg(unix)]
pub use remote::{Fate, RemoteSession, RemoteStore, Server, SplitSession};
pub use session::Session;
use trefoil_core::hash::IdHasher;
use writer::Writer;

/// When an operation counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When `fdatasync` has returned: it survives a crash of the process and of the machine.
    #[default]
    Fdatasync,
    /// When the process has written it: it survives a crash of neither. For tests and measurements.
    None,
}

/// Bugs to be planted, so that checkers can be seen to find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Every 40th append is acknowledged and not written.
    LostAppend,
    /// Appends are taken from anybody, at whatever number is next.
    NoFence,
}

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// When an operation counts as durable.
    pub durability: Durability,
    /// Operations one session may have in flight; more are refused. Each holds its payload.
    pub in_flight_max: usize,
    /// Operations in one transaction. More share one sync and wait longer for it.
    pub batch_ops_max: usize,
    /// Bytes of payload in one transaction.
    pub batch_bytes_max: usize,
    /// A bug, for proofs only.
    pub plant: Option<Plant>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fdatasync,
            in_flight_max: 8_192,
            batch_ops_max: 4_096,
            batch_bytes_max: 16 << 20,
            plant: None,
        }
    }
}

/// An open store. Cheap to clone; the file is closed with the last clone and session.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: u64,
    writer: Writer,
    in_flight_max: usize,
}

/// Name of the file in the data directory.
const FILE: &str = "trefoil.redb";

impl Store {
    /// Opens the store of a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory)
            .map_err(|error| StoreError::Unusable(format!("{}: {error}", directory.display())))?;
        let file = directory.join(FILE);
        if !file.exists() {
            create(directory, &file)?;
        }
        let database = Database::builder().open(&file)?;
        let id = identity(&database, &file)?;
        Self::over(database, id, options)
    }

    /// A store that is gone with the process.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn in_memory(options: StoreOptions) -> Result<Self, StoreError> {
        Self::with_backend(redb::backends::InMemoryBackend::new(), options)
    }

    /// A store over a file layer of the caller's, such as one that fails on purpose.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn with_backend(
        backend: impl StorageBackend,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let id = getrandom::u64().map_err(|error| StoreError::Unusable(error.to_string()))?;
        Self::over(
            Database::builder().create_with_backend(backend)?,
            id,
            options,
        )
    }

    fn over(database: Database, id: u64, options: StoreOptions) -> Result<Self, StoreError> {
        tables::prepare(&database)?;
        let in_flight_max = options.in_flight_max;
        let writer = Writer::start(database, options)?;
        Ok(Self {
            inner: Arc::new(Inner {
                id: id.max(1),
                writer,
                in_flight_max,
            }),
        })
    }

    /// Verifies the store of a directory: every log is whole, every record is what was written.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn check(directory: impl AsRef<Path>) -> Result<Report, StoreError> {
        check::run(&Database::builder().open(directory.as_ref().join(FILE))?)
    }

    /// Which store this is: the same whenever its file is opened, and another for a copy of it. Never zero.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// A session of the node `node`: its own operations are carried out in the order it submits them.
    #[must_use]
    pub fn session(&self, node: &str) -> Session {
        Session::new(Arc::clone(&self.inner), node)
    }

    /// Counts a start of `node`, durably, and returns its number. Blocks until it is written.
    ///
    /// # Errors
    /// The store has stopped.
    pub fn begin_incarnation(&self, node: &str) -> Result<u64, StoreError> {
        session::begin_incarnation(&mut self.session(node))
    }

    /// Why the store has stopped, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.inner.writer.failure()
    }
}

/// What was drawn when the file was made, mixed with where the file is: a copy of it lies elsewhere.
fn identity(database: &Database, file: &Path) -> Result<u64, StoreError> {
    let drawn = tables::identity(database)?;
    #[cfg(unix)]
    let place = {
        use std::os::unix::fs::MetadataExt;
        let about = std::fs::metadata(file)
            .map_err(|error| StoreError::Unusable(format!("{}: {error}", file.display())))?;
        [about.dev(), about.ino()]
    };
    #[cfg(not(unix))]
    let place = {
        let _ = file;
        [getrandom::u64().map_err(|error| StoreError::Unusable(error.to_string()))?; 2]
    };
    let mut mixed = IdHasher::default();
    for part in [drawn, place[0], place[1]] {
        mixed.write_u64(part);
    }
    Ok(mixed.finish())
}

/// Makes a new file beside its place and moves it there when it is whole: a crash in between leaves a
/// file that nobody opens, never one that cannot be opened.
fn create(directory: &Path, file: &Path) -> Result<(), StoreError> {
    let unusable =
        |error: std::io::Error| StoreError::Unusable(format!("{}: {error}", directory.display()));
    let new = directory.join(format!("{FILE}.new"));
    if new.exists() {
        std::fs::remove_file(&new).map_err(unusable)?;
    }
    tables::prepare(&Database::builder().create(&new)?)?;
    std::fs::rename(&new, file).map_err(unusable)?;
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(unusable)
}
