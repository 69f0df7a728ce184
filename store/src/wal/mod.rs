//! The log engine: all logs of a store in one write-ahead log.
//!
//! | question | file |
//! |---|---|
//! | what is asked of a file system? | `files.rs` |
//! | what is written? | `frame.rs` in `segment.rs` |
//! | where is a record, what is a log's fence? | `index.rs`, on the disk in `checkpoint.rs` |
//! | what becomes of an operation? | `decide.rs` |
//! | when is it durable, and who is told? | `queue.rs`, `writer.rs` |
//! | what is read, and when? | `reader.rs` |
//! | what becomes of the room that trimmed records took? | `keeper.rs` |
//! | what of a crash, of damage? | `recovery.rs`, `check.rs` |
//! | what of logs in redb? | `migrate.rs` |
//!
//! One thread writes, one reads, one keeps house, and one at times makes the next segment.

pub(crate) mod check;
mod checkpoint;
mod decide;
mod files;
mod frame;
mod index;
mod keeper;
mod migrate;
mod queue;
mod reader;
mod recovery;
mod segment;
mod writer;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(crate) use files::{Directory, Memory};
pub use files::{Files, LogFile};
use frame::Position;
use index::Index;
use keeper::Keeper;
pub(crate) use queue::Request;
use queue::{Ask, Pushed, Queue};
use reader::{Plan, Reads, Work};
use redb::Database;
use trefoil_core::id::Tag;
use trefoil_core::storage::Completion;
use writer::Appender;

use crate::StoreOptions;
use crate::error::StoreError;
use crate::failure::Failure;
use crate::session::{Mailbox, lock};
use crate::tables;

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    files: Arc<dyn Files>,
    identity: u64,
    options: StoreOptions,
    index: Mutex<Index>,
    queue: Queue,
    reads: Reads,
    keeper: Keeper,
    failure: Arc<Failure>,
}

/// An open log. Its threads end when it is dropped, after what was asked for.
#[derive(Debug)]
pub(crate) struct Wal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Wal {
    /// Opens the log that belongs to a database. If its logs are in the database, they move.
    pub(crate) fn open(
        database: &Database,
        files: Arc<dyn Files>,
        options: &StoreOptions,
        failure: Arc<Failure>,
    ) -> Result<Self, StoreError> {
        let known = tables::log_identity(database)?;
        let identity = match known {
            Some(identity) => identity,
            None => getrandom::u64()
                .map_err(|error| StoreError::Unusable(error.to_string()))?
                .max(1),
        };
        let (index, active, checkpoint) = match known {
            Some(_) => recovery::open(&files, identity, options)?,
            None => {
                let (index, active) = recovery::create(&*files, identity, options)?;
                (index, active, (Position::NOWHERE, 0))
            }
        };
        let shared = Arc::new(Shared {
            files,
            identity,
            options: options.clone(),
            index: Mutex::new(index),
            queue: Queue::default(),
            reads: Reads::default(),
            keeper: Keeper::default(),
            failure,
        });
        let mut appender = Appender::new(Arc::clone(&shared), active);
        if known.is_none() {
            migrate::run(database, &shared, &mut appender)?;
        }
        appender.settle();
        Self::start(shared, appender, checkpoint)
    }

    fn start(
        shared: Arc<Shared>,
        appender: Appender,
        checkpoint: (Position, u64),
    ) -> Result<Self, StoreError> {
        let mut wal = Self {
            shared: Arc::clone(&shared),
            writer: None,
            reader: None,
            keeper: None,
        };
        // If one cannot be started, those that were end with `wal`.
        let work = Arc::clone(&shared);
        wal.writer = Some(thread("log-writer", move || writer::run(&work, appender))?);
        let work = Arc::clone(&shared);
        wal.reader = Some(thread("log-reader", move || reader::run(&work))?);
        let work = move || keeper::run(&shared, checkpoint.0, checkpoint.1);
        wal.keeper = Some(thread("log-keeper", work)?);
        wal.shared.keeper.wake();
        Ok(wal)
    }

    /// Takes in what is asked. What it borrows is copied before this returns.
    pub(crate) fn push(&self, request: Request<'_>, mailbox: &Arc<Mailbox>, tag: Tag) {
        match self.shared.queue.push(request, mailbox, tag) {
            Pushed::Queued => {}
            Pushed::Free => self.look(request, mailbox, tag),
            Pushed::Closed => mailbox.deliver([(tag, Completion::Unknown)]),
        }
    }

    /// Looks at a log that nobody is writing to. Where its records lie is looked up at once: what is asked for after this
    /// must not be seen by it.
    fn look(&self, request: Request<'_>, mailbox: &Arc<Mailbox>, tag: Tag) {
        let looked = {
            let index = lock(&self.shared.index);
            let log = index.find(request.log);
            let state = log.and_then(|log| index.log(log)).map(|log| log.state);
            let state = state.unwrap_or_default();
            match (request.ask, log) {
                (Ask::Read { from, bytes_max }, Some(log)) => {
                    let from = from.max(state.first);
                    Ok(Plan::new(&index, log, from, state.next, bytes_max))
                }
                (Ask::Read { .. }, None) => Err(Completion::Records(Vec::new())),
                _ => Err(decide::tail(state)),
            }
        };
        match looked {
            Ok(plan) => self
                .shared
                .reads
                .push(Work::Read(Arc::clone(mailbox), tag, plan)),
            Err(_) if self.shared.failure.is_set() => {
                mailbox.deliver([(tag, Completion::Unknown)]);
            }
            Err(known) => mailbox.deliver([(tag, known)]),
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
    spawned.map_err(|error| StoreError::Unusable(error.to_string()))
}

impl Drop for Wal {
    fn drop(&mut self) {
        // In this order: each still needs the next.
        self.shared.keeper.stop();
        join(&mut self.keeper);
        self.shared.queue.close();
        join(&mut self.writer);
        self.shared.reads.close();
        join(&mut self.reader);
    }
}

/// A thread that panicked has nothing left to do.
fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(thread) = thread.take() {
        let _ = thread.join();
    }
}
