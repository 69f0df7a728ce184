//! The one thread that touches the tables: it takes what is queued, applies it in one transaction,
//! commits, and tells.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase};
use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, Op, OwnerId};

use crate::apply::{Applied, Tables, apply};
use crate::error::StoreError;
use crate::failure::Failure;
use crate::session::{Deliveries, Mailbox, lock};
use crate::{Durability, StoreOptions};

/// An operation that owns its bytes.
#[derive(Debug)]
pub(crate) enum OwnedOp {
    Load {
        key: Vec<u8>,
    },
    Scan {
        prefix: Vec<u8>,
        after: Vec<u8>,
        bytes_max: u32,
    },
    Cas {
        key: Vec<u8>,
        fence: u64,
        revision: u64,
        value: Vec<u8>,
    },
    Fence {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
    },
    Tail {
        log: Vec<u8>,
    },
    Append {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
        expected: u64,
        payload: Vec<u8>,
    },
    Read {
        log: Vec<u8>,
        from: u64,
        bytes_max: u32,
    },
    Trim {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
        before: u64,
    },
    Seal {
        log: Vec<u8>,
        term: u64,
        owner: OwnerId,
    },
    Keep {
        node: Arc<str>,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Recall {
        node: Arc<str>,
        key: Vec<u8>,
    },
}

impl OwnedOp {
    pub(crate) fn new(op: Op<'_>, node: &Arc<str>) -> Self {
        match op {
            Op::Load { key } => Self::Load { key: key.to_vec() },
            Op::Scan {
                prefix,
                after,
                bytes_max,
            } => Self::Scan {
                prefix: prefix.to_vec(),
                after: after.to_vec(),
                bytes_max,
            },
            Op::Cas {
                key,
                fence,
                revision,
                value,
            } => Self::Cas {
                key: key.to_vec(),
                fence,
                revision,
                value: value.to_vec(),
            },
            Op::Fence { log, term, owner } => Self::Fence {
                log: log.to_vec(),
                term,
                owner,
            },
            Op::Tail { log } => Self::Tail { log: log.to_vec() },
            Op::Append {
                log,
                term,
                owner,
                expected,
                payload,
            } => Self::Append {
                log: log.to_vec(),
                term,
                owner,
                expected,
                payload: payload.to_vec(),
            },
            Op::Read {
                log,
                from,
                bytes_max,
            } => Self::Read {
                log: log.to_vec(),
                from,
                bytes_max,
            },
            Op::Trim {
                log,
                term,
                owner,
                before,
            } => Self::Trim {
                log: log.to_vec(),
                term,
                owner,
                before,
            },
            Op::Seal { log, term, owner } => Self::Seal {
                log: log.to_vec(),
                term,
                owner,
            },
            Op::Keep { key, value } => Self::Keep {
                node: Arc::clone(node),
                key: key.to_vec(),
                value: value.to_vec(),
            },
            Op::Recall { key } => Self::Recall {
                node: Arc::clone(node),
                key: key.to_vec(),
            },
        }
    }

    const fn writes(&self) -> bool {
        match self {
            Self::Load { .. }
            | Self::Scan { .. }
            | Self::Tail { .. }
            | Self::Read { .. }
            | Self::Recall { .. } => false,
            Self::Cas { .. }
            | Self::Fence { .. }
            | Self::Append { .. }
            | Self::Trim { .. }
            | Self::Seal { .. }
            | Self::Keep { .. } => true,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append { payload, .. } => payload.len(),
            Self::Cas { value, .. } | Self::Keep { value, .. } => value.len(),
            Self::Load { .. }
            | Self::Scan { .. }
            | Self::Fence { .. }
            | Self::Tail { .. }
            | Self::Read { .. }
            | Self::Trim { .. }
            | Self::Seal { .. }
            | Self::Recall { .. } => 0,
        }
    }
}

/// One operation of one session.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) tag: Tag,
    pub(crate) op: OwnedOp,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    failure: Arc<Failure>,
}

/// The handle of the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        database: Database,
        options: StoreOptions,
        failure: Arc<Failure>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            failure,
            ..Shared::default()
        });
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || run(&database, &options, &work))
            .map_err(|error| StoreError::Unusable(error.to_string()))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn push(&self, job: Job) {
        let mut queue = lock(&self.shared.queue);
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.filled.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // What is queued is still carried out; a thread that panicked has nothing left to do.
            let _ = thread.join();
        }
    }
}

fn run(database: &Database, options: &StoreOptions, shared: &Shared) {
    let mut applied = Applied::new(options.plant);
    let mut batch = Vec::new();
    while take(options, shared, &mut batch) {
        let outcome = if shared.failure.is_set() {
            Err(String::new())
        } else {
            // Whatever a panic left half done is never written, and `applied` is never used again.
            let work = AssertUnwindSafe(|| carry_out(database, options, &mut applied, &batch));
            catch_unwind(work).unwrap_or_else(|_| Err("the store panicked".into()))
        };
        let completions = match outcome {
            Ok(completions) => completions,
            Err(why) => {
                // Nothing of this batch is known to be there: nobody may act on it, and nothing more
                // is written over a file that has failed once.
                shared.failure.set(why);
                batch.iter().map(|_| Completion::Unknown).collect()
            }
        };
        tell(&mut batch, completions);
    }
}

/// Waits for jobs and takes as many as one transaction may hold; `false` when the store is closed.
fn take(options: &StoreOptions, shared: &Shared, batch: &mut Vec<Job>) -> bool {
    let mut queue = lock(&shared.queue);
    while queue.jobs.is_empty() {
        if queue.closed {
            return false;
        }
        queue = shared
            .filled
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner);
    }
    let mut bytes = 0;
    while let Some(job) = queue.jobs.front() {
        bytes += job.op.bytes();
        if !batch.is_empty()
            && (batch.len() >= options.batch_ops_max || bytes > options.batch_bytes_max)
        {
            break;
        }
        batch.extend(queue.jobs.pop_front());
    }
    true
}

type Completions = Vec<Completion<Vec<u8>>>;

/// A read of what is damaged fails alone; anything else that goes wrong stops the store.
fn carry_out_one(
    tables: &mut Tables<'_>,
    applied: &mut Applied,
    op: &OwnedOp,
) -> Result<Completion<Vec<u8>>, String> {
    match apply(tables, applied, op) {
        Err(StoreError::Damaged(_)) if !op.writes() => Ok(Completion::Unknown),
        outcome => outcome.map_err(|error| error.to_string()),
    }
}

fn carry_out(
    database: &Database,
    options: &StoreOptions,
    applied: &mut Applied,
    batch: &[Job],
) -> Result<Completions, String> {
    let text = |error: StoreError| error.to_string();
    if !batch.iter().any(|job| job.op.writes()) {
        let transaction = database.begin_read().map_err(|error| text(error.into()))?;
        let mut tables = Tables::read(&transaction).map_err(text)?;
        return batch
            .iter()
            .map(|job| carry_out_one(&mut tables, applied, &job.op))
            .collect();
    }
    let mut transaction = database.begin_write().map_err(|error| text(error.into()))?;
    let durability = match options.durability {
        Durability::Fdatasync => redb::Durability::Immediate,
        Durability::None => redb::Durability::None,
    };
    transaction
        .set_durability(durability)
        .map_err(|error| error.to_string())?;
    let completions = {
        let mut tables = Tables::write(&transaction).map_err(text)?;
        let completions: Completions = batch
            .iter()
            .map(|job| carry_out_one(&mut tables, applied, &job.op))
            .collect::<Result<_, _>>()?;
        applied.flush(&mut tables).map_err(text)?;
        completions
    };
    transaction.commit().map_err(|error| text(error.into()))?;
    Ok(completions)
}

/// Hands completions to their sessions.
fn tell(batch: &mut Vec<Job>, completions: Completions) {
    let mut deliveries = Deliveries::default();
    for (job, completion) in batch.drain(..).zip(completions) {
        deliveries.add(&job.mailbox, job.tag, completion);
    }
    deliveries.hand_over();
}
