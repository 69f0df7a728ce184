//! The one thread that writes to the log: it takes what came while the last sync ran, decides, writes it all with
//! one sync, and only then tells anybody.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trefoil_core::storage::{Completion, OwnerId};

use super::Shared;
use super::decide::{Answer, Decision, Judge, publish};
use super::files::LogFile;
use super::frame::{self, Head, Kind, Position};
use super::index::Usage;
use super::queue::{Job, Jobs};
use super::reader::{Plan, Work};
use super::segment;
use crate::session::{Deliveries, lock};
use crate::{Durability, StoreOptions};

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn LogFile>,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Where the next frame goes; all before it is durable.
    pub(crate) end: u64,
    pub(crate) seed: u32,
}

impl Active {
    pub(crate) fn new(identity: u64, number: u32, file: Arc<dyn LogFile>, bytes: u64) -> Self {
        Self {
            number,
            file,
            bytes,
            end: segment::HEAD as u64,
            seed: segment::seed(identity, number),
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position::new(self.number, u32::try_from(self.end).unwrap_or(u32::MAX))
    }
}

/// A segment that is being made while the last one fills up.
type Ahead = JoinHandle<io::Result<(Arc<dyn LogFile>, u64)>>;

/// Adds frames to the log. What they say is not this one's concern.
#[derive(Debug)]
pub(crate) struct Appender {
    shared: Arc<Shared>,
    active: Active,
    ahead: Option<Ahead>,
    /// Frames that go to the end of the active segment.
    unwritten: Vec<u8>,
    /// Something was written since the log was last known to be durable to its end.
    unmarked: bool,
}

/// Memory that is kept for the next frames.
const KEPT_BYTES_MAX: usize = 32 << 20;

impl Appender {
    pub(crate) const fn new(shared: Arc<Shared>, active: Active) -> Self {
        Self {
            shared,
            active,
            ahead: None,
            unwritten: Vec::new(),
            unmarked: false,
        }
    }

    /// Adds a frame; it is written by the next [`Self::flush`], or before.
    pub(crate) fn add(&mut self, head: Head, payload: &[u8]) -> io::Result<Position> {
        let bytes = frame::size(payload.len());
        let full = self.active.end as usize + self.unwritten.len() + bytes + frame::HEAD;
        if full as u64 > self.active.bytes {
            self.next_segment(bytes)?;
        }
        Ok(self.push(head, payload))
    }

    fn push(&mut self, head: Head, payload: &[u8]) -> Position {
        let synced = self.active.position();
        let place = synced.plus(self.unwritten.len());
        let head = Head { synced, ..head };
        frame::encode(&mut self.unwritten, self.active.seed, &head, payload);
        place
    }

    /// Writes what was added, and returns when it is durable.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let bytes = self.unwritten.len() as u64;
        self.active
            .file
            .write_at(self.active.end, &self.unwritten)?;
        if self.shared.options.durability == Durability::Fdatasync {
            self.active.file.sync()?;
        }
        self.active.end += bytes;
        self.unmarked = true;
        self.unwritten.clear();
        if self.unwritten.capacity() > KEPT_BYTES_MAX {
            self.unwritten = Vec::new();
        }
        lock(&self.shared.index).count_bytes(self.active.number, bytes);
        self.prepare_ahead();
        Ok(())
    }

    /// Ends the segment, and goes on in one with room for a frame of `bytes` bytes.
    fn next_segment(&mut self, bytes: usize) -> io::Result<()> {
        self.push(about_the_log(Kind::End), &[]);
        self.flush()?;
        let number = self.number_after()?;
        let needed = (segment::HEAD + bytes + frame::HEAD) as u64;
        let ready = match self.ahead.take() {
            Some(ahead) => {
                let made = ahead.join();
                Some(made.map_err(|_| io::Error::other("making a segment panicked"))??)
            }
            None => None,
        };
        let (file, bytes) = match ready.filter(|(_, bytes)| *bytes >= needed) {
            Some(ready) => ready,
            None => {
                let bytes = self.bytes_after().max(needed);
                let shared = &self.shared;
                let file = segment::prepare(&*shared.files, shared.identity, number, bytes)?;
                (file, bytes)
            }
        };
        let usage = Usage {
            bytes,
            ..Usage::default()
        };
        lock(&self.shared.index).segments.insert(number, usage);
        self.active = Active::new(self.shared.identity, number, file, bytes);
        self.shared.keeper.wake();
        Ok(())
    }

    fn number_after(&self) -> io::Result<u32> {
        let after = self.active.number.checked_add(1);
        after.ok_or_else(|| io::Error::other("the log has used up its segments"))
    }

    /// Small stores have small segments: each is twice as large as the one before, up to the limit.
    fn bytes_after(&self) -> u64 {
        (self.active.bytes * 2).min(self.shared.options.segment_largest())
    }

    /// Makes the next segment while there is room in this one.
    fn prepare_ahead(&mut self) {
        if self.ahead.is_some() || self.active.end < self.active.bytes / 2 {
            return;
        }
        let Ok(number) = self.number_after() else {
            return;
        };
        let (shared, bytes) = (Arc::clone(&self.shared), self.bytes_after());
        let work = move || {
            let file = segment::prepare(&*shared.files, shared.identity, number, bytes)?;
            Ok((file, bytes))
        };
        // Without a thread it is made when it is needed.
        let spawned = std::thread::Builder::new().name("log-ahead".into());
        self.ahead = spawned.spawn(work).ok();
    }

    /// All that was added is durable, and the index knows of it.
    pub(crate) fn settle(&self) {
        let mut index = lock(&self.shared.index);
        index.tail = self.active.position();
        index.settle();
    }

    /// Says in the log that all of it is durable: what is missing from it later was lost later.
    fn close(&mut self) {
        if self.unmarked && self.active.end + (2 * frame::HEAD) as u64 <= self.active.bytes {
            self.push(about_the_log(Kind::Mark), &[]);
            // If it fails, the log is as good as it was.
            let _ = self.flush();
        }
        if let Some(ahead) = self.ahead.take() {
            let _ = ahead.join();
        }
    }
}

/// A frame that is about no log.
const fn about_the_log(kind: Kind) -> Head {
    Head {
        kind,
        log: 0,
        sequence: 0,
        term: 0,
        owner: OwnerId(0),
        synced: Position::NOWHERE,
    }
}

/// The thread's own.
struct Writer {
    shared: Arc<Shared>,
    appender: Appender,
    judge: Judge,
    /// Records that were forgotten since the keeper was told.
    trims: u32,
}

/// Runs until the queue is closed and empty.
pub(crate) fn run(shared: &Arc<Shared>, appender: Appender) {
    let mut writer = Writer {
        shared: Arc::clone(shared),
        appender,
        judge: Judge::new(shared.options.plant),
        trims: 0,
    };
    let mut jobs = Jobs::default();
    let (mut company, mut patience) = (0, Duration::ZERO);
    while shared.queue.take(&mut jobs, company, patience) {
        let begun = Instant::now();
        for batch in Batches::of(&jobs, &shared.options) {
            writer.carry_out(&jobs, &jobs.list[batch]);
        }
        // Who was answered together tends to come again together. Half of them, or an eighth of the time.
        company = jobs.list.len() / 2;
        patience = begun.elapsed() / 8;
    }
    if !shared.failure.is_set() {
        writer.appender.close();
    }
}

/// Cuts jobs into batches.
struct Batches<'j> {
    jobs: &'j Jobs,
    options: &'j StoreOptions,
    at: usize,
}

impl<'j> Batches<'j> {
    const fn of(jobs: &'j Jobs, options: &'j StoreOptions) -> Self {
        Self {
            jobs,
            options,
            at: 0,
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.jobs.list[self.at..];
        let mut bytes = 0;
        let fits = rest
            .iter()
            .take(self.options.batch_ops_max)
            .take_while(|job| {
                bytes += self.jobs.payload(job).len();
                bytes <= self.options.batch_bytes_max
            });
        let count = fits.count().max(1).min(rest.len());
        let batch = self.at..self.at + count;
        self.at = batch.end;
        (!batch.is_empty()).then_some(batch)
    }
}

impl Writer {
    fn carry_out(&mut self, jobs: &Jobs, batch: &[Job]) {
        let shared = Arc::clone(&self.shared);
        let outcome = if shared.failure.is_set() {
            Err(String::new())
        } else {
            // What a panic left half done is never used again: the store has stopped.
            let work = AssertUnwindSafe(|| self.write(jobs, batch).map_err(|e| e.to_string()));
            catch_unwind(work).unwrap_or_else(|_| Err("the log panicked".into()))
        };
        let mut deliveries = Deliveries::default();
        match outcome {
            Ok(decisions) => {
                let plans = self.publish(batch, decisions, &mut deliveries);
                shared.reads.extend(plans);
            }
            Err(why) => {
                // A sync that failed is not tried again: the system may have dropped what it could not write.
                shared.failure.set(why);
                for job in batch {
                    deliveries.add(&job.mailbox, job.tag, Completion::Unknown);
                }
            }
        }
        shared.queue.answered(batch, || deliveries.place());
        deliveries.wake();
    }

    /// Decides what becomes of each job, and makes it durable.
    fn write(&mut self, jobs: &Jobs, batch: &[Job]) -> io::Result<Vec<Decision>> {
        let mut decisions = Vec::with_capacity(batch.len());
        {
            let index = &mut *lock(&self.shared.index);
            for job in batch {
                decisions.push(self.judge.decide(index, jobs, job));
            }
        }
        for (job, decision) in batch.iter().zip(&mut decisions) {
            let log = decision.log as u64;
            if decision.creates {
                let head = Head {
                    log,
                    ..about_the_log(Kind::Create)
                };
                self.appender.add(head, jobs.name(job))?;
            }
            let Some(write) = decision.write.as_mut().filter(|write| !write.lost) else {
                continue;
            };
            let head = Head {
                kind: write.kind,
                log,
                sequence: write.sequence,
                term: write.term,
                owner: write.owner,
                synced: Position::NOWHERE,
            };
            write.place = self.appender.add(head, jobs.payload(job))?;
        }
        self.appender.flush()?;
        Ok(decisions)
    }

    /// Shows what is durable, and looks up where to read what was asked for in between.
    fn publish(
        &mut self,
        batch: &[Job],
        decisions: Vec<Decision>,
        deliveries: &mut Deliveries,
    ) -> Vec<Work> {
        let mut plans = Vec::new();
        let index = &mut *lock(&self.shared.index);
        for (job, decision) in batch.iter().zip(decisions) {
            publish(index, &decision);
            let trims = decision.write.is_some_and(|write| write.kind == Kind::Trim);
            self.trims += u32::from(trims);
            match decision.answer {
                Answer::Said(completion) => deliveries.add(&job.mailbox, job.tag, completion),
                Answer::Read {
                    from,
                    until,
                    bytes_max,
                } => {
                    let plan = Plan::new(index, decision.log, from, until, bytes_max);
                    plans.push(Work::Read(Arc::clone(&job.mailbox), job.tag, plan));
                }
            }
        }
        index.tail = self.appender.active.position();
        if self.trims >= TRIMS_TOLD && index.segments.len() > 1 {
            self.trims = 0;
            self.shared.keeper.wake();
        }
        plans
    }
}

/// Trims after which the keeper looks whether a segment is to go.
const TRIMS_TOLD: u32 = 64;
