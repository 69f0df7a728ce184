//! The embedded store of a Trefoil process: fenced logs, a catalog with revisions, and each node's own
//! state.
//!
//! All nodes of one process share it; another process cannot open it too, but use it where a `Server` serves it:
//! by a `RemoteStore`, over a socket of the machine.
//!
//! The logs are in one write-ahead log, in segments in the folder `log` of the data directory. One thread takes what all
//! sessions asked for while the last sync ran, writes it, syncs once, and only then tells anybody: the cost of
//! making a batch durable is shared by all who wait for it. Reads wait for no sync but those of the same log. The catalog
//! and the nodes' own state are in redb, in the file `trefoil.redb`, written by a thread of its own in the same way: a
//! vote does not wait behind appends.
//!
//! # What it takes
//!
//! Memory: 8 to 16 bytes a record that is not trimmed, and about 200 and the name a log. Disk: a record takes 56 bytes more
//! than its payload, up to a multiple of 8. A segment is removed when none of its records is read any more; what little
//! is left in an old one is written again once the log takes more than twice what is read of it and two segments. So a
//! log takes at most about twice its records, [`StoreOptions::segment_bytes_max`] five times, and some times its index. A
//! log's name and state are kept for ever. Opening reads the index, one to three bytes a record, and what was written since it was
//! saved: at most [`StoreOptions::segment_bytes_max`] or four times the index, whichever is more, and the segment in use.
//!
//! # Stores of earlier versions
//!
//! They had the logs in redb. The first time such a directory is opened, all logs move into a write-ahead log; a
//! crash meanwhile leaves them where they were. From then on earlier versions refuse it (`TF-S03`), and so
//! does [`LogEngine::Redb`] (`TF-S06`). A directory whose write-ahead log is missing or incomplete is refused (`TF-S04`).
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
//! | `TF-S06` | the logs are in a write-ahead log, and redb was asked for | open it with `LogEngine::Wal` |

mod apply;
mod check;
mod error;
mod failure;
mod log;
#[cfg(unix)]
mod remote;
mod session;
mod tables;
mod wal;
mod writer;

use std::hash::Hasher;
use std::path::Path;
use std::sync::Arc;

pub use check::Report;
pub use error::StoreError;
use failure::Failure;
use redb::{Database, StorageBackend};
#[cfg(unix)]
pub use remote::{Fate, RemoteSession, RemoteStore, Server, SplitSession};
use session::Mailbox;
pub use session::Session;
use trefoil_core::hash::IdHasher;
use trefoil_core::id::Tag;
use trefoil_core::storage::Op;
use wal::{Directory, Memory, Request, Wal};
pub use wal::{Files, LogFile};
use writer::{Job, OwnedOp, Writer};

/// When an operation counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When `fdatasync` has returned: it survives a crash of the process and of the machine.
    #[default]
    Fdatasync,
    /// When the process has written it: it survives a crash of neither. For tests and measurements.
    None,
}

/// Where the logs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEngine {
    /// In a write-ahead log.
    #[default]
    Wal,
    /// In redb, beside the catalog, as earlier versions had them: every batch is one of its transactions, and votes wait
    /// for appends.
    Redb,
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
    /// Where the logs are.
    pub log_engine: LogEngine,
    /// Operations one session may have in flight; more are refused. Each holds its payload.
    pub in_flight_max: usize,
    /// Operations that share one sync. More share it and wait longer for it.
    pub batch_ops_max: usize,
    /// Bytes of payload that share one sync; one operation may have more.
    pub batch_bytes_max: usize,
    /// Bytes of a segment of the write-ahead log, 4 KiB to 1 GiB; a record that is larger gets a segment of its own. The
    /// first one has at most 1 MiB, each next twice as many. Smaller ones give disk back earlier, and cost a
    /// sync, and a file, more often.
    pub segment_bytes_max: u64,
    /// A bug, for proofs only.
    pub plant: Option<Plant>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fdatasync,
            log_engine: LogEngine::default(),
            in_flight_max: 8_192,
            batch_ops_max: 4_096,
            batch_bytes_max: 16 << 20,
            segment_bytes_max: 64 << 20,
            plant: None,
        }
    }
}

impl StoreOptions {
    /// Bytes of the largest segments, and of the first.
    fn segment_largest(&self) -> u64 {
        self.segment_bytes_max
            .clamp(4 << 10, 1 << 30)
            .next_multiple_of(8)
    }

    fn segment_first(&self) -> u64 {
        self.segment_largest().min(1 << 20)
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
    /// The logs, unless they are in the tables. Closed before the tables: it is of no use without them.
    wal: Option<Wal>,
    tables: Writer,
    failure: Arc<Failure>,
    in_flight_max: usize,
}

impl Inner {
    /// Takes in an operation for whoever carries it out. What it borrows is copied before this returns.
    fn push(&self, op: Op<'_>, node: &Arc<str>, mailbox: &Arc<Mailbox>, tag: Tag) {
        match (&self.wal, Request::of(op)) {
            (Some(wal), Some(request)) => wal.push(request, mailbox, tag),
            _ => self.tables.push(Job {
                mailbox: Arc::clone(mailbox),
                tag,
                op: OwnedOp::new(op, node),
            }),
        }
    }
}

/// Name of the file in the data directory, and of the folder of the write-ahead log.
const FILE: &str = "trefoil.redb";
const LOG: &str = "log";

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
        let open = || log_files(directory);
        Self::over(database, open, id, options)
    }

    /// A store that is gone with the process.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn in_memory(options: StoreOptions) -> Result<Self, StoreError> {
        let tables = redb::backends::InMemoryBackend::new();
        Self::with_layers(tables, Arc::new(Memory::default()), options)
    }

    /// A store over file layers of the caller's, such as some that fail on purpose: what is in redb goes to `tables`, the
    /// write-ahead log to `log`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn with_layers(
        tables: impl StorageBackend,
        log: Arc<dyn Files>,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let id = getrandom::u64().map_err(|error| StoreError::Unusable(error.to_string()))?;
        let database = Database::builder().create_with_backend(tables)?;
        Self::over(database, || Ok(log), id, options)
    }

    fn over(
        database: Database,
        log: impl FnOnce() -> Result<Arc<dyn Files>, StoreError>,
        id: u64,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        tables::prepare(&database)?;
        let in_flight_max = options.in_flight_max;
        let failure = Arc::<Failure>::default();
        let wal = match options.log_engine {
            LogEngine::Wal => {
                let failure = Arc::clone(&failure);
                Some(Wal::open(&database, log()?, &options, failure)?)
            }
            LogEngine::Redb if tables::log_identity(&database)?.is_some() => {
                return Err(StoreError::OtherEngine);
            }
            LogEngine::Redb => None,
        };
        let tables = Writer::start(database, options, Arc::clone(&failure))?;
        Ok(Self {
            inner: Arc::new(Inner {
                id: id.max(1),
                wal,
                tables,
                failure,
                in_flight_max,
            }),
        })
    }

    /// Verifies the store of a directory: every log is whole, every record is what was written. Changes nothing.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn check(directory: impl AsRef<Path>) -> Result<Report, StoreError> {
        let directory = directory.as_ref();
        let database = Database::builder().open(directory.join(FILE))?;
        let mut report = check::run(&database)?;
        match tables::log_identity(&database)? {
            Some(_) if !directory.join(LOG).is_dir() => {
                report.problem("the folder of the write-ahead log is missing".into());
            }
            Some(identity) => wal::check::run(&*log_files(directory)?, identity, &mut report)?,
            None => {}
        }
        Ok(report)
    }

    /// Which store this is: the same whenever its file is opened, and another for a copy of it. Never zero.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// A session of the node `node`: of its operations, those on one log, or on one key, are carried out in the order
    /// it submits them.
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
        self.inner.failure.get()
    }
}

/// The folder of the write-ahead log.
fn log_files(directory: &Path) -> Result<Arc<dyn Files>, StoreError> {
    let path = directory.join(LOG);
    let files = Directory::open(&path);
    let files =
        files.map_err(|error| StoreError::Unusable(format!("{}: {error}", path.display())))?;
    Ok(Arc::new(files))
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
