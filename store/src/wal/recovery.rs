//! Opening a log: the last checkpoint, what was written after it, and the end of what a crash left.
//!
//! What a crash tears is the last write, which nobody was told of: it is cut off. Whatever else is broken was durable
//! once and is damage; the log is not opened then, since to go on would lose what was acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::checkpoint;
use super::files::{Files, LogFile};
use super::frame::{self, ALIGN, Broken, Kind, Position};
use super::index::{Index, Usage};
use super::segment::{self, NEW};
use super::writer::Active;
use crate::StoreOptions;
use crate::error::StoreError;

/// What was read. Nothing was changed yet.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) index: Index,
    /// The last checkpoint: its position and its bytes.
    pub(crate) checkpoint: (Position, u64),
    /// Where the frames end in each segment that was read.
    ends: BTreeMap<u32, u64>,
    /// The segment in which they end, and whether it says that the next one goes on.
    last: u32,
    ended: bool,
    /// What is left of a write that was torn ends here.
    torn_until: u64,
    /// All before was durable when something later was written.
    durable: Position,
}

fn unusable(error: &io::Error) -> StoreError {
    StoreError::Unusable(format!("the log: {error}"))
}

/// Makes an empty log, in place of what is there.
pub(crate) fn create(
    files: &dyn Files,
    identity: u64,
    options: &StoreOptions,
) -> Result<(Index, Active), StoreError> {
    let bytes = options.segment_first();
    let made = (|| {
        for name in files.list()? {
            files.remove(&name)?;
        }
        segment::prepare(files, identity, 1, bytes)
    })();
    let file = made.map_err(|error| unusable(&error))?;
    let active = Active::new(identity, 1, file, bytes);
    let mut index = Index::default();
    let usage = Usage {
        bytes,
        ..Usage::default()
    };
    index.segments.insert(1, usage);
    index.tail = active.position();
    Ok((index, active))
}

/// Reads a log.
pub(crate) fn read(files: &dyn Files, identity: u64) -> Result<Found, StoreError> {
    let names = files.list().map_err(|error| unusable(&error))?;
    let mut segments = BTreeMap::new();
    for number in names.iter().filter_map(|name| segment::number(name)) {
        let file = files.open(&segment::name(number));
        let bytes = file.and_then(|file| file.bytes());
        let usage = Usage {
            bytes: bytes.map_err(|error| unusable(&error))?,
            ..Usage::default()
        };
        segments.insert(number, usage);
    }
    let (index, checkpoint) = restore(files, identity, &names, segments)?;
    let mut found = Found {
        index,
        checkpoint,
        ends: BTreeMap::new(),
        last: checkpoint.0.segment(),
        ended: false,
        torn_until: 0,
        durable: checkpoint.0,
    };
    found.scan(files, identity)?;
    found.verify_places()?;
    let end = found.ends.get(&found.last).copied().unwrap_or_default();
    let offset = u32::try_from(end).unwrap_or(u32::MAX);
    found.index.tail = Position::new(found.last, offset);
    found.index.settle();
    Ok(found)
}

/// The index of the last checkpoint, or an empty one if there is none and all segments are there.
fn restore(
    files: &dyn Files,
    identity: u64,
    names: &[String],
    segments: BTreeMap<u32, Usage>,
) -> Result<(Index, (Position, u64)), StoreError> {
    let empty = || Index::new(segments.clone());
    let first = Position::new(1, segment::HEAD as u32);
    let last = names.iter().filter_map(|name| checkpoint::position(name));
    let refused = match last.max() {
        Some(last) => {
            let mut index = empty();
            let bytes = whole(files, &checkpoint::name(last), 0)?;
            match checkpoint::restore(&bytes, identity, &mut index) {
                Ok(position) => return Ok((index, (position, bytes.len() as u64))),
                Err(refused @ StoreError::Damaged(_)) => refused,
                Err(refused) => return Err(refused),
            }
        }
        None => StoreError::Damaged("the log's first segments are missing".into()),
    };
    // A checkpoint says nothing that the segments do not say, as long as all of them are there.
    if segments.contains_key(&1) {
        Ok((empty(), (first, 0)))
    } else {
        Err(refused)
    }
}

/// The bytes of a file from `from` on.
fn whole(files: &dyn Files, name: &str, from: u64) -> Result<Vec<u8>, StoreError> {
    let read = || {
        let file = files.open(name)?;
        let len = file.bytes()?.saturating_sub(from);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        file.read_at(from, &mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| StoreError::Unusable(format!("{name}: {error}")))
}

/// Where a run of frames stops.
pub(crate) struct Stop {
    /// The first byte that belongs to none.
    pub(crate) at: usize,
    /// It says that the next segment goes on.
    pub(crate) ended: bool,
}

/// Gives each frame from `from` on to `each`, up to the first that is none.
pub(crate) fn frames(
    bytes: &[u8],
    seed: u32,
    from: usize,
    mut each: impl FnMut(usize, &frame::Head, &[u8]) -> Result<(), StoreError>,
) -> Result<Stop, StoreError> {
    let mut at = from;
    loop {
        match frame::decode(bytes.get(at..).unwrap_or_default(), seed) {
            Ok((head, payload)) => {
                each(at, &head, payload)?;
                at += frame::size(payload.len());
                if head.kind == Kind::End {
                    return Ok(Stop { at, ended: true });
                }
            }
            Err(Broken::Torn) => return Ok(Stop { at, ended: false }),
            Err(Broken::TooNew { version }) => {
                return Err(StoreError::TooNew {
                    found: version.into(),
                    known: frame::VERSION.into(),
                });
            }
        }
    }
}

/// Whether a frame anywhere in `bytes` claims that `place` was durable.
fn claims(bytes: &[u8], seed: u32, from: usize, place: Position) -> bool {
    (from.next_multiple_of(ALIGN)..bytes.len())
        .step_by(ALIGN)
        .any(|at| frame::decode(&bytes[at..], seed).is_ok_and(|(head, _)| head.synced > place))
}

impl Found {
    fn scan(&mut self, files: &dyn Files, identity: u64) -> Result<(), StoreError> {
        let begin = self.checkpoint.0;
        let mut number = begin.segment();
        let mut from = begin.offset() as usize;
        loop {
            let bytes = self.segment(files, identity, number)?;
            if from > bytes.len() {
                return Err(damaged(number, "it ends before the index of the log does"));
            }
            let seed = segment::seed(identity, number);
            let (index, durable) = (&mut self.index, &mut self.durable);
            let stop = frames(&bytes, seed, from, |at, head, payload| {
                let offset = u32::try_from(at).unwrap_or(u32::MAX);
                *durable = head.synced.max(*durable);
                index.replay(head, payload, Position::new(number, offset))
            })?;
            self.last = number;
            self.ended = stop.ended;
            self.ends.insert(number, stop.at as u64);
            if !stop.ended {
                return self.verify_tail(files, identity, &bytes, seed, stop.at);
            }
            number += 1;
            from = segment::HEAD;
            if !self.index.segments.contains_key(&number) {
                return self.verify_no_more(files, identity, number);
            }
        }
    }

    fn segment(
        &self,
        files: &dyn Files,
        identity: u64,
        number: u32,
    ) -> Result<Vec<u8>, StoreError> {
        if !self.index.segments.contains_key(&number) {
            return Err(damaged(number, "it is missing"));
        }
        let bytes = whole(files, &segment::name(number), 0)?;
        segment::verify(&bytes, identity, number)?;
        Ok(bytes)
    }

    /// The frames stop at `at`. That is the end of the log, unless something knows of more.
    fn verify_tail(
        &mut self,
        files: &dyn Files,
        identity: u64,
        bytes: &[u8],
        seed: u32,
        at: usize,
    ) -> Result<(), StoreError> {
        let place = Position::new(self.last, u32::try_from(at).unwrap_or(u32::MAX));
        if self.durable > place || claims(bytes, seed, at, place) {
            return Err(damaged(
                self.last,
                &format!("what was durable at {at} is not there any more"),
            ));
        }
        let garbage = bytes.get(at..).unwrap_or_default();
        let torn = garbage.iter().rposition(|byte| *byte != 0);
        self.torn_until = torn.map_or(0, |torn| (at + torn + 1) as u64);
        self.verify_no_more(files, identity, self.last + 1)
    }

    /// Nothing was written to segments from `first` on: those that are there were only made ahead.
    fn verify_no_more(
        &self,
        files: &dyn Files,
        identity: u64,
        first: u32,
    ) -> Result<(), StoreError> {
        for number in self
            .index
            .segments
            .range(first..)
            .map(|(number, _)| *number)
        {
            let bytes = self.segment(files, identity, number)?;
            let seed = segment::seed(identity, number);
            if claims(&bytes, seed, segment::HEAD, Position::NOWHERE) {
                return Err(damaged(
                    number,
                    "records are in it, and some before it are missing",
                ));
            }
        }
        Ok(())
    }

    /// Every record lies in a segment that is there.
    fn verify_places(&self) -> Result<(), StoreError> {
        let mut last = 0;
        for place in self.index.logs().iter().flat_map(|log| &log.records) {
            let number = place.segment();
            if number != last && number != 0 && !self.index.segments.contains_key(&number) {
                return Err(damaged(number, "it is missing"));
            }
            last = number;
        }
        Ok(())
    }

    /// Cuts off what was torn, makes durable what is left, and returns the segment that is written to.
    pub(crate) fn mend(
        mut self,
        files: &dyn Files,
        identity: u64,
        options: &StoreOptions,
    ) -> Result<(Index, Active), StoreError> {
        let active = self.try_mend(files, identity, options);
        let active = active.map_err(|error| unusable(&error))?;
        self.index.tail = active.position();
        Ok((self.index, active))
    }

    fn try_mend(
        &mut self,
        files: &dyn Files,
        identity: u64,
        options: &StoreOptions,
    ) -> io::Result<Active> {
        for name in files.list()?.iter().filter(|name| name.ends_with(NEW)) {
            files.remove(name)?;
        }
        for (number, end) in self.ends.range(self.durable.segment()..) {
            let file = files.open(&segment::name(*number))?;
            let from = match self.durable.segment() == *number {
                true => u64::from(self.durable.offset()),
                false => segment::HEAD as u64,
            };
            // What can be read may not be on the disk: after a sync that failed the system takes it for written. It is
            // written again before anybody is shown it.
            rewrite(&*file, from, *end)?;
            if *number == self.last {
                segment::clear(&*file, *end, self.torn_until)?;
            }
            file.sync()?;
        }
        let unused: Vec<u32> = self
            .index
            .segments
            .range(self.last + 1..)
            .map(|s| *s.0)
            .collect();
        for number in unused {
            files.remove(&segment::name(number))?;
            self.index.segments.remove(&number);
        }
        files.sync()?;
        let bytes = self
            .index
            .segments
            .get(&self.last)
            .map_or(0, |usage| usage.bytes);
        if !self.ended {
            let file = files.open(&segment::name(self.last))?;
            let mut active = Active::new(identity, self.last, file, bytes);
            active.end = self.ends.get(&self.last).copied().unwrap_or_default();
            return Ok(active);
        }
        let number = self.last + 1;
        let bytes = (2 * bytes).clamp(options.segment_first(), options.segment_largest());
        let file = segment::prepare(files, identity, number, bytes)?;
        let usage = Usage {
            bytes,
            ..Usage::default()
        };
        self.index.segments.insert(number, usage);
        Ok(Active::new(identity, number, file, bytes))
    }
}

/// Writes bytes again that are there.
fn rewrite(file: &dyn LogFile, mut from: u64, until: u64) -> io::Result<()> {
    const CHUNK: u64 = 1 << 20;
    // The zeros behind the last frame may be missing.
    let until = until.min(file.bytes()?);
    let mut bytes = Vec::new();
    while from < until {
        let len = (until - from).min(CHUNK);
        bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        file.read_at(from, &mut bytes)?;
        file.write_at(from, &bytes)?;
        from += len;
    }
    Ok(())
}

fn damaged(number: u32, what: &str) -> StoreError {
    StoreError::Damaged(format!("{}: {what}", segment::name(number)))
}

/// Opens a log that is there.
pub(crate) fn open(
    files: &Arc<dyn Files>,
    identity: u64,
    options: &StoreOptions,
) -> Result<(Index, Active, (Position, u64)), StoreError> {
    let found = read(&**files, identity)?;
    let checkpoint = found.checkpoint;
    let (index, active) = found.mend(&**files, identity, options)?;
    Ok((index, active, checkpoint))
}
