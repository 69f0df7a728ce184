//! Where each record lies, and what each log's fence and bounds are: in memory, rebuilt when the store is opened.
//!
//! A record costs eight bytes, and as many again where its list has room, a log about two hundred and its name. What is said here is durable; what the writer has
//! decided and not synced yet is only in [`Log::live`], which nobody else reads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::frame::{self, Head, Kind, Position};
use crate::error::StoreError;
use crate::log::SEALED;
use crate::tables::LogState;

#[derive(Debug, Default)]
pub(crate) struct Index {
    names: HashMap<Arc<[u8]>, usize>,
    logs: Vec<Log>,
    pub(crate) segments: BTreeMap<u32, Usage>,
    /// Where the next frame goes; all before it is durable and in here.
    pub(crate) tail: Position,
}

/// One log. Its place in the list is its number.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) name: Arc<[u8]>,
    pub(crate) state: LogState,
    /// What the writer has decided: ahead of `state` by what is not durable yet.
    pub(crate) live: LogState,
    /// Where its records lie, from `state.first` to `state.next`.
    pub(crate) records: VecDeque<Position>,
}

/// What lies in a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Bytes of its file.
    pub(crate) bytes: u64,
    /// Bytes of its frames.
    pub(crate) used: u64,
    /// Records in it, and those that are still read there.
    pub(crate) records: u64,
    pub(crate) live: u64,
    /// Held by who will read there: until then the file stays.
    pub(crate) pin: Arc<()>,
}

impl Usage {
    /// Bytes that are still wanted, as far as records are alike in size.
    pub(crate) fn bytes_live(&self) -> u64 {
        match self.records {
            0 => 0,
            records => {
                u64::try_from(u128::from(self.used) * u128::from(self.live) / u128::from(records))
                    .unwrap_or(u64::MAX)
            }
        }
    }
}

fn damaged(what: String) -> StoreError {
    StoreError::Damaged(what)
}

/// A gap that only a bug can leave is remembered record by record, up to so many.
const HOLE_MAX: u64 = 1 << 20;

impl Index {
    /// No logs, and the segments that are there.
    pub(crate) fn new(segments: BTreeMap<u32, Usage>) -> Self {
        Self {
            segments,
            ..Self::default()
        }
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(crate) fn log(&self, number: usize) -> Option<&Log> {
        self.logs.get(number)
    }

    pub(crate) fn log_mut(&mut self, number: usize) -> Option<&mut Log> {
        self.logs.get_mut(number)
    }

    pub(crate) fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Adds a log of which nothing is known yet; returns its number.
    pub(crate) fn create(&mut self, name: &[u8]) -> usize {
        let name: Arc<[u8]> = name.into();
        let number = self.logs.len();
        let state = LogState {
            number: number as u64,
            ..LogState::default()
        };
        self.names.insert(Arc::clone(&name), number);
        self.logs.push(Log {
            name,
            state,
            live: state,
            records: VecDeque::new(),
        });
        number
    }

    fn count(&mut self, place: Position, live: i64, records: u64) {
        if let Some(usage) = self.segments.get_mut(&place.segment()) {
            usage.live = usage.live.saturating_add_signed(live);
            usage.records += records;
        }
    }

    /// Counts the bytes of frames that were written to a segment.
    pub(crate) fn count_bytes(&mut self, segment: u32, bytes: u64) {
        if let Some(usage) = self.segments.get_mut(&segment) {
            usage.used += bytes;
        }
    }

    /// The record `sequence` of a log lies at `place`.
    pub(crate) fn place(&mut self, number: usize, sequence: u64, place: Position) {
        let Some(log) = self.logs.get_mut(number) else {
            return;
        };
        let state = &mut log.state;
        if sequence == state.next {
            state.next += 1;
            log.records.push_back(place);
            return self.count(place, 1, 1);
        }
        let at = sequence
            .checked_sub(state.first)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(found) = at.and_then(|at| log.records.get_mut(at)) {
            let before = std::mem::replace(found, place);
            self.count(before, -1, 0);
            self.count(place, 1, 1);
        }
    }

    /// The records below `before` are forgotten. Costs a few nanoseconds a record.
    pub(crate) fn trim(&mut self, number: usize, before: u64) {
        let Some(log) = self.logs.get_mut(number) else {
            return;
        };
        let before = before.min(log.state.next);
        let mut run: (u32, i64) = (0, 0);
        while log.state.first < before {
            log.state.first += 1;
            let place = log.records.pop_front().unwrap_or_default();
            if place.segment() != run.0 {
                if let Some(usage) = self.segments.get_mut(&run.0) {
                    usage.live = usage.live.saturating_add_signed(run.1);
                }
                run = (place.segment(), 0);
            }
            run.1 -= 1;
        }
        if let Some(usage) = self.segments.get_mut(&run.0) {
            usage.live = usage.live.saturating_add_signed(run.1);
        }
        if log.records.capacity() > 64 && log.records.len() < log.records.capacity() / 4 {
            log.records.shrink_to(2 * log.records.len());
        }
    }

    /// Where a record lies.
    pub(crate) fn place_of(&self, number: usize, sequence: u64) -> Option<Position> {
        let log = self.logs.get(number)?;
        let at = usize::try_from(sequence.checked_sub(log.state.first)?).ok()?;
        log.records.get(at).copied()
    }

    /// Takes in a frame that was read at `place`. What a checkpoint knew already changes nothing: a checkpoint is
    /// taken while the log goes on.
    pub(crate) fn replay(
        &mut self,
        head: &Head,
        payload: &[u8],
        place: Position,
    ) -> Result<(), StoreError> {
        self.count_bytes(place.segment(), frame::size(payload.len()) as u64);
        if matches!(head.kind, Kind::Mark | Kind::End) {
            return Ok(());
        }
        let number = usize::try_from(head.log)
            .map_err(|_| damaged(format!("no log has the number {}", head.log)))?;
        if head.kind == Kind::Create {
            return self.replay_create(number, payload);
        }
        let Some(log) = self.logs.get_mut(number) else {
            return Err(damaged(format!(
                "a frame of log {number}, which nothing created"
            )));
        };
        match head.kind {
            Kind::Begin => {
                if log.records.is_empty() && log.state.next < head.sequence {
                    log.state.first = head.sequence;
                    log.state.next = head.sequence;
                }
            }
            Kind::Fence => {
                if log.state.term <= head.term {
                    log.state.term = head.term;
                    log.state.owner = head.owner;
                }
            }
            Kind::Seal => log.state.term = SEALED,
            Kind::Trim => self.trim(number, head.sequence),
            Kind::Append => self.replay_append(number, head.sequence, place)?,
            Kind::Move => self.place_old(number, head.sequence, place)?,
            Kind::Create | Kind::Mark | Kind::End => {}
        }
        Ok(())
    }

    fn replay_create(&mut self, number: usize, name: &[u8]) -> Result<(), StoreError> {
        match self.logs.get(number) {
            Some(log) if *log.name == *name => Ok(()),
            None if number == self.logs.len() && self.find(name).is_none() => {
                self.create(name);
                Ok(())
            }
            _ => Err(damaged(format!("log {number} is created out of order"))),
        }
    }

    fn replay_append(
        &mut self,
        number: usize,
        sequence: u64,
        place: Position,
    ) -> Result<(), StoreError> {
        let next = self.logs.get(number).map_or(0, |log| log.state.next);
        let missing = sequence.saturating_sub(next);
        if missing > HOLE_MAX {
            return Err(damaged(format!(
                "log {number}: {missing} records are missing"
            )));
        }
        for hole in next..sequence {
            self.place(number, hole, Position::NOWHERE);
        }
        self.place(number, sequence, place);
        Ok(())
    }

    fn place_old(
        &mut self,
        number: usize,
        sequence: u64,
        place: Position,
    ) -> Result<(), StoreError> {
        let next = self.logs.get(number).map_or(0, |log| log.state.next);
        if sequence >= next {
            return Err(damaged(format!(
                "log {number}: record {sequence} was moved and never written"
            )));
        }
        self.place(number, sequence, place);
        Ok(())
    }

    /// All is durable: the writer begins from it.
    pub(crate) fn settle(&mut self) {
        for log in &mut self.logs {
            log.live = log.state;
        }
    }

    /// Restores a log as a checkpoint knew it. Its records are counted where they lie.
    pub(crate) fn restore(
        &mut self,
        name: &[u8],
        mut state: LogState,
        records: VecDeque<Position>,
    ) {
        for place in &records {
            self.count(*place, 1, 0);
        }
        let number = self.create(name);
        state.number = number as u64;
        if let Some(log) = self.logs.get_mut(number) {
            log.state = state;
            log.records = records;
        }
    }
}

#[cfg(test)]
mod tests {
    use trefoil_core::storage::OwnerId;

    use super::*;

    fn at(segment: u32, offset: u32) -> Position {
        Position::new(segment, offset)
    }

    fn index() -> Index {
        let mut index = Index::default();
        for segment in 1..4 {
            index.segments.insert(segment, Usage::default());
        }
        index.create(b"a");
        index
    }

    fn said(kind: Kind, sequence: u64) -> Head {
        Head {
            kind,
            log: 0,
            sequence,
            term: 1,
            owner: OwnerId(1),
            synced: Position::NOWHERE,
        }
    }

    fn live(index: &Index) -> Vec<u64> {
        index.segments.values().map(|usage| usage.live).collect()
    }

    #[test]
    fn each_segment_counts_what_is_still_read_there() {
        let mut index = index();
        for n in 0..4 {
            index.place(0, n, at(1, 64 * n as u32));
        }
        index.place(0, 4, at(2, 64));
        assert_eq!(live(&index), [4, 1, 0]);
        index.place(0, 1, at(3, 64));
        assert_eq!(live(&index), [3, 1, 1], "a record that moved");
        index.trim(0, 3);
        assert_eq!(live(&index), [1, 1, 0]);
        index.trim(0, 99);
        assert_eq!(
            (live(&index), index.logs[0].state.first),
            (vec![0, 0, 0], 5)
        );
    }

    #[test]
    fn what_is_replayed_twice_is_there_once() {
        let mut index = index();
        for _ in 0..2 {
            for n in 0..3 {
                let place = at(1, 64 * n as u32);
                index.replay(&said(Kind::Append, n), b"x", place).unwrap();
            }
            index.replay(&said(Kind::Trim, 1), b"", at(1, 500)).unwrap();
            index
                .replay(&said(Kind::Create, 0), b"a", at(1, 600))
                .unwrap();
        }
        let state = index.logs[0].state;
        assert_eq!(
            (state.first, state.next, live(&index)),
            (1, 3, vec![2, 0, 0])
        );
        assert_eq!(
            (index.place_of(0, 2), index.place_of(0, 3)),
            (Some(at(1, 128)), None)
        );
    }

    #[test]
    fn an_older_fence_does_not_lower_a_later_one() {
        let mut index = index();
        let mut raise = |term, owner| {
            let head = Head {
                term,
                owner: OwnerId(owner),
                ..said(Kind::Fence, 0)
            };
            index.replay(&head, b"", at(1, 64)).unwrap();
            (index.logs[0].state.term, index.logs[0].state.owner.0)
        };
        assert_eq!(raise(5, 1), (5, 1));
        assert_eq!(raise(3, 2), (5, 1));
        assert_eq!(raise(6, 2), (6, 2));
    }

    #[test]
    fn frames_that_cannot_be_are_damage() {
        let mut index = index();
        let head = said(Kind::Append, 2 << 20);
        assert!(index.replay(&head, b"", at(1, 64)).is_err());
        assert!(index.replay(&said(Kind::Move, 0), b"", at(1, 64)).is_err());
        assert!(
            index
                .replay(&said(Kind::Create, 0), b"b", at(1, 64))
                .is_err()
        );
        let stranger = Head { log: 7, ..head };
        assert!(index.replay(&stranger, b"", at(1, 64)).is_err());
        index
            .replay(&said(Kind::Append, 2), b"", at(1, 64))
            .unwrap();
        let places = [0, 1, 2].map(|n| index.place_of(0, n).unwrap());
        let nowhere = Position::NOWHERE;
        assert_eq!(places, [nowhere, nowhere, at(1, 64)], "a hole is kept");
    }
}
