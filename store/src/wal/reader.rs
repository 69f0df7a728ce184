//! The thread that reads records: it waits for no sync, and nobody who writes waits for it.
//!
//! One read at a time: a long one delays the next.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use trefoil_core::id::Tag;
use trefoil_core::storage::{Completion, RECORD_HEAD, record_head};

use super::Shared;
use super::files::LogFile;
use super::frame::{self, Announced, Position};
use super::index::Index;
use super::segment;
use crate::Plant;
use crate::error::StoreError;
use crate::session::{Mailbox, lock};

/// Places that are looked up at once, with the index locked: by callers and by the writer, who must not be kept.
const PLACES_MAX: usize = 4_096;

/// Which records are to be read, and where they lie.
#[derive(Debug)]
pub(crate) struct Plan {
    log: usize,
    /// Number of the first record.
    from: u64,
    /// Number after the last one.
    until: u64,
    /// Where the first of them lie.
    places: Vec<Position>,
    bytes_max: u32,
    /// Segments that stay as long as this.
    pins: Vec<Arc<()>>,
}

impl Plan {
    pub(crate) fn new(index: &Index, log: usize, from: u64, until: u64, bytes_max: u32) -> Self {
        let mut plan = Self {
            log,
            from,
            until,
            places: Vec::new(),
            bytes_max,
            pins: Vec::new(),
        };
        plan.look_up(index);
        plan
    }

    /// Looks up the next places; those of records that were forgotten meanwhile are the end.
    fn look_up(&mut self, index: &Index) {
        self.places.clear();
        self.pins.clear();
        let Some(log) = index.log(self.log).filter(|_| self.from < self.until) else {
            return;
        };
        let fits = self.bytes_max as usize / RECORD_HEAD + 1;
        let wanted = usize::try_from(self.until - self.from).unwrap_or(usize::MAX);
        let skipped = self.from.checked_sub(log.state.first);
        let Some(skipped) = skipped.and_then(|skipped| usize::try_from(skipped).ok()) else {
            return;
        };
        let count = wanted.min(fits).min(PLACES_MAX);
        let found = log.records.iter().skip(skipped).take(count);
        self.places.extend(found);
        let mut last = 0;
        for place in &self.places {
            if std::mem::replace(&mut last, place.segment()) == place.segment() {
                continue;
            }
            if let Some(usage) = index.segments.get(&place.segment()) {
                self.pins.push(Arc::clone(&usage.pin));
            }
        }
    }
}

/// Something for the reader to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Records to read, and who wants them.
    Read(Arc<Mailbox>, Tag, Plan),
    /// Segments were removed: files that are open would keep them on the disk.
    Forget,
}

/// What is to be read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    state: Mutex<(VecDeque<Work>, bool)>,
    filled: Condvar,
}

impl Reads {
    pub(crate) fn extend(&self, work: Vec<Work>) {
        if !work.is_empty() {
            lock(&self.state).0.extend(work);
            self.filled.notify_one();
        }
    }

    pub(crate) fn push(&self, work: Work) {
        lock(&self.state).0.push_back(work);
        self.filled.notify_one();
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        lock(&self.state).1 = true;
        self.filled.notify_one();
    }

    fn take(&self) -> Option<Work> {
        let mut state = lock(&self.state);
        loop {
            if let Some(work) = state.0.pop_front() {
                return Some(work);
            }
            if state.1 {
                return None;
            }
            let woken = self.filled.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs until the reads are closed and done.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut reader = Reader::new(Arc::clone(shared));
    while let Some(work) = shared.reads.take() {
        let Work::Read(mailbox, tag, plan) = work else {
            reader.files.clear();
            continue;
        };
        let completion = if shared.failure.is_set() {
            Completion::Unknown
        } else {
            let work = AssertUnwindSafe(|| reader.read(plan));
            // Whatever is damaged, and whatever panics over it: that read fails, and no other.
            let read = catch_unwind(work).ok().and_then(Result::ok);
            read.map_or(Completion::Unknown, Completion::Records)
        };
        mailbox.deliver([(tag, completion)]);
    }
}

/// Open files that are kept.
const FILES_MAX: usize = 64;

/// Bytes that are read at once, where records lie side by side; and beyond the head of a record that lies alone.
const WINDOW_BYTES_MAX: usize = 1 << 18;
const WINDOW_BYTES: usize = 4_096;

/// Reads records at their places.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    files: BTreeMap<u32, (Arc<dyn LogFile>, u64)>,
    /// What was read last, and where it lies.
    window: Vec<u8>,
    window_at: Position,
    /// A record that is longer than the window.
    long: Vec<u8>,
}

impl Reader {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            files: BTreeMap::new(),
            window: Vec::new(),
            window_at: Position::NOWHERE,
            long: Vec::new(),
        }
    }

    /// Reads as many records as fit, at least one if there is one.
    fn read(&mut self, mut plan: Plan) -> Result<Vec<u8>, StoreError> {
        let mut run = Vec::new();
        while !plan.places.is_empty() {
            // A place that was looked up later may have been written later than the window was read.
            self.window.clear();
            for at in 0..plan.places.len() {
                let sequence = plan.from + at as u64;
                if !self.push(&mut run, &plan, at, sequence)? {
                    return Ok(run);
                }
            }
            plan.from += plan.places.len() as u64;
            plan.look_up(&lock(&self.shared.index));
        }
        Ok(run)
    }

    /// Adds the record; `false` if it does not fit.
    fn push(
        &mut self,
        run: &mut Vec<u8>,
        plan: &Plan,
        at: usize,
        sequence: u64,
    ) -> Result<bool, StoreError> {
        let place = plan.places[at];
        if place == Position::NOWHERE && self.shared.options.plant == Some(Plant::LostAppend) {
            return Ok(true);
        }
        let announced = self.announced(place, &plan.places[at..])?;
        if !run.is_empty() && run.len() + announced.len > plan.bytes_max as usize {
            return Ok(false);
        }
        let payload = self.payload(place, announced)?;
        let head = announced.head;
        if !head.kind.is_record() || head.log != plan.log as u64 || head.sequence != sequence {
            return Err(damaged(place, "another record lies there"));
        }
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        run.extend_from_slice(&record_head(sequence, len));
        run.extend_from_slice(payload);
        Ok(true)
    }

    /// The head of the frame at the first of `places`.
    fn announced(&mut self, place: Position, places: &[Position]) -> Result<Announced, StoreError> {
        if self.in_window(place, frame::HEAD).is_none() {
            self.fill(place, window_bytes(places))?;
        }
        let seed = segment::seed(self.shared.identity, place.segment());
        let head = self.in_window(place, frame::HEAD);
        let head = head.ok_or_else(|| damaged(place, "it is cut short"))?;
        frame::decode_head(head, seed).map_err(|_| damaged(place, "it is no frame"))
    }

    fn payload(&mut self, place: Position, announced: Announced) -> Result<&[u8], StoreError> {
        let whole = frame::HEAD + announced.len;
        let payload = if self.in_window(place, whole).is_some() {
            let frame = self.in_window(place, whole).unwrap_or_default();
            &frame[frame::HEAD..]
        } else {
            let (file, bytes) = self.file(place)?;
            let at = u64::from(place.offset()) + frame::HEAD as u64;
            if at + announced.len as u64 > bytes {
                return Err(damaged(place, "it is cut short"));
            }
            self.long.resize(announced.len, 0);
            let read = file.read_at(at, &mut self.long);
            read.map_err(|error| damaged(place, &error.to_string()))?;
            &self.long[..]
        };
        if announced.is_of(payload) {
            Ok(payload)
        } else {
            Err(damaged(place, "a record does not match its checksum"))
        }
    }

    fn in_window(&self, place: Position, len: usize) -> Option<&[u8]> {
        let skipped = place.0.checked_sub(self.window_at.0)?;
        let rest = self.window.get(usize::try_from(skipped).ok()?..)?;
        rest.get(..len)
    }

    fn fill(&mut self, place: Position, wanted: usize) -> Result<(), StoreError> {
        let (file, bytes) = self.file(place)?;
        let rest = bytes.saturating_sub(place.offset().into());
        let len = usize::try_from(rest).map_or(wanted, |rest| rest.min(wanted));
        self.window.resize(len, 0);
        self.window_at = place;
        let read = file.read_at(place.offset().into(), &mut self.window);
        read.map_err(|error| {
            self.window.clear();
            damaged(place, &error.to_string())
        })
    }

    fn file(&mut self, place: Position) -> Result<(Arc<dyn LogFile>, u64), StoreError> {
        let number = place.segment();
        if let Some((file, bytes)) = self.files.get(&number) {
            return Ok((Arc::clone(file), *bytes));
        }
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        let opened = self.shared.files.open(&segment::name(number));
        let opened = opened.and_then(|file| Ok((file.bytes()?, file)));
        let (bytes, file) = opened.map_err(|error| damaged(place, &error.to_string()))?;
        self.files.insert(number, (Arc::clone(&file), bytes));
        Ok((file, bytes))
    }
}

/// How far to read: as far as the next records lie close by.
fn window_bytes(places: &[Position]) -> usize {
    let Some(first) = places.first() else {
        return WINDOW_BYTES;
    };
    let mut last = *first;
    for place in places {
        let near = (last.0..=last.0 + WINDOW_BYTES as u64).contains(&place.0);
        if !near || place.0 - first.0 > WINDOW_BYTES_MAX as u64 {
            break;
        }
        last = *place;
    }
    usize::try_from(last.0 - first.0).unwrap_or_default() + WINDOW_BYTES
}

fn damaged(place: Position, what: &str) -> StoreError {
    StoreError::Damaged(format!(
        "{} at {}: {what}",
        segment::name(place.segment()),
        place.offset()
    ))
}
