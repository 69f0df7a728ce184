//! How much of a channel is kept, and where in its log what is too old, or too much, ends.
//!
//! What is known of a log are marks: a record's number, its time tick, and the bytes below it. They stand some
//! hundredth of the limits apart, so that an append costs a comparison, and a log of any length a few kilobytes.

use alloc::collections::VecDeque;

use super::clock::LOGICAL_BITS;
use crate::time::Duration;

/// What of a channel is kept. With neither an age nor bytes, which is the default, everything is.
///
/// Both given, a record is forgotten for either. It stays up to a sixteenth of the limit, two records, and an
/// interval longer. The newest record always stays: it has the tick that the next term must be above. So does, for
/// the life of a term, what a message that is sent again is known by; at the next, messages are found only among
/// records that are kept.
///
/// What was written before the channel was opened here is looked at from the oldest record on, a few pages an
/// interval. At the latest it is forgotten when what was written since is by itself old, or large, enough.
///
/// A consumer that wants records which are forgotten is given the first one kept, and those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records are forgotten that are older, by their time ticks and what the wall says. A wall that is far ahead
    /// of the time forgets too much; before a wall is known nothing is forgotten for its age.
    pub age: Option<Duration>,
    /// The newest records of so many bytes in all, as the log has them, are kept, and older ones forgotten.
    pub bytes: Option<u64>,
    /// Nothing is forgotten that a consumer which is connected has not been given. It only holds back: alone
    /// it forgets nothing. On this wire a consumer does not say what it has handled, before it comes
    /// again: what its stream was given counts. One that is away holds nothing back. So an age is still to be
    /// longer than consumers take to handle what they were given and to come back; and one that does not read keeps
    /// the log growing.
    pub acknowledged: bool,
    /// How often it is looked whether there is something to forget.
    pub interval: Duration,
}

impl Retention {
    /// Everything is kept.
    pub const KEEP_ALL: Self = Self {
        age: None,
        bytes: None,
        acknowledged: false,
        interval: Duration::from_secs(5),
    };

    /// Whether anything is ever forgotten.
    #[must_use]
    pub const fn forgets(&self) -> bool {
        self.age.is_some() || self.bytes.is_some()
    }

    /// The highest tick that is too old at a tick.
    pub(super) fn cutoff(&self, tick: u64) -> Option<u64> {
        let millis = u64::try_from(self.age?.as_millis()).unwrap_or(u64::MAX);
        let age = u128::from(millis) << LOGICAL_BITS;
        tick.checked_sub(u64::try_from(age).ok()?)
    }

    /// How far apart marks are: in ticks and in bytes.
    fn spacing(&self) -> (u64, u64) {
        let age = self.age.map_or(u64::MAX, |age| {
            let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            (millis.saturating_mul(1 << LOGICAL_BITS) / PARTS).max(1)
        });
        let bytes = self.bytes.map_or(u64::MAX, |bytes| (bytes / PARTS).max(1));
        (age, bytes)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::KEEP_ALL
    }
}

/// Parts that a limit is divided into by marks.
const PARTS: u64 = 32;

/// Marks of a run. When they are reached, every other one is dropped.
const MARKS_MAX: usize = 160;

/// A record, and what lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    sequence: u64,
    tick: u64,
    /// Of the record below it, if that is known; else its own.
    tick_below: u64,
    /// Of the records of its run below it, those that were forgotten since included.
    bytes: u64,
}

/// Records that were counted, one after the other.
#[derive(Debug, Default)]
struct Run {
    marks: VecDeque<Mark>,
    bytes: u64,
    last_tick: Option<u64>,
}

impl Run {
    fn count(&mut self, retention: &Retention, sequence: u64, tick: u64, len: u64) {
        let (ticks, bytes) = retention.spacing();
        let is_far = self.marks.back().is_none_or(|last| {
            tick.saturating_sub(last.tick) >= ticks || self.bytes - last.bytes >= bytes
        });
        if is_far {
            if self.marks.len() == MARKS_MAX {
                let mut odd = false;
                self.marks.retain(|_| {
                    odd = !odd;
                    odd
                });
            }
            self.marks.push_back(Mark {
                sequence,
                tick,
                tick_below: self.last_tick.unwrap_or(tick),
                bytes: self.bytes,
            });
        }
        self.bytes += len;
        self.last_tick = Some(tick);
    }

    fn clear(&mut self) {
        self.marks.clear();
        self.bytes = 0;
        self.last_tick = None;
    }

    fn forget(&mut self, first: u64) {
        while self
            .marks
            .front()
            .is_some_and(|mark| mark.sequence <= first)
        {
            self.marks.pop_front();
        }
    }
}

/// What is known of a channel's log.
#[derive(Debug, Default)]
pub(super) struct Extent {
    /// First record that is kept.
    first: u64,
    /// Records below have been looked at, from the first on; up to `began` there are others.
    surveyed: u64,
    /// Where what was counted as it was written begins.
    began: u64,
    before: Run,
    since: Run,
    /// A part is being read, or forgotten.
    pub(super) busy: bool,
    /// Pages that may still be read before the next look.
    pub(super) pages: u8,
}

impl Extent {
    /// The log is opened: it begins with `first`, and what is counted from now on with `began`. Memory stays.
    pub(super) fn begin(&mut self, first: u64, began: u64) {
        self.before.clear();
        self.since.clear();
        self.first = first;
        self.surveyed = first;
        self.began = began;
        self.busy = false;
        self.pages = 0;
    }

    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// A record was found at the end of the log, or written there.
    pub(super) fn count(&mut self, retention: &Retention, sequence: u64, tick: u64, len: usize) {
        if retention.forgets() {
            self.since.count(retention, sequence, tick, len as u64);
        }
    }

    /// A record was found on the way from the first on.
    pub(super) fn survey(&mut self, retention: &Retention, sequence: u64, tick: u64, len: usize) {
        if (self.surveyed..self.began).contains(&sequence) {
            self.before.count(retention, sequence, tick, len as u64);
            self.surveyed = sequence + 1;
            self.join();
        }
    }

    /// When all before it was looked at, it is known how old what lies below the first that was counted is.
    fn join(&mut self) {
        let began = self.since.marks.front_mut();
        let began = began.filter(|mark| mark.sequence == self.began);
        if let Some((began, tick)) = began.zip(self.before.last_tick) {
            if self.surveyed == self.began {
                began.tick_below = tick;
            }
        }
    }

    /// There is nothing to be found up to what was counted.
    pub(super) const fn survey_over(&mut self) {
        self.surveyed = self.began;
    }

    /// From where on records are to be looked at, if they must be to know what is to be forgotten: all for their
    /// bytes, and for their age as long as those that are known are too old.
    pub(super) fn to_survey(&self, retention: &Retention, cutoff: Option<u64>) -> Option<u64> {
        let is_old = |last| cutoff.is_some_and(|cutoff| last <= cutoff);
        let wanted = retention.bytes.is_some() || self.before.last_tick.is_none_or(is_old);
        (self.surveyed < self.began && wanted).then_some(self.surveyed)
    }

    /// The first record to keep, if some are to be forgotten. Where not everything was looked at, bytes that were
    /// not are not counted: more is kept then.
    pub(super) fn keep_from(&self, retention: &Retention, cutoff: Option<u64>) -> Option<u64> {
        let mut keep_from = None;
        for (run, above) in [(&self.before, self.since.bytes), (&self.since, 0)] {
            for mark in &run.marks {
                let kept = run.bytes - mark.bytes + above;
                let is_old = cutoff.is_some_and(|cutoff| mark.tick_below <= cutoff);
                let is_over = retention.bytes.is_some_and(|most| kept >= most);
                if is_old || is_over {
                    keep_from = Some(mark.sequence);
                }
            }
        }
        keep_from.filter(|from| *from > self.first)
    }

    /// Records below `first` are forgotten.
    pub(super) fn forget(&mut self, first: u64) {
        self.first = self.first.max(first);
        self.surveyed = self.surveyed.max(first.min(self.began));
        self.before.forget(first);
        self.since.forget(first);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn by(age: Option<u64>, bytes: Option<u64>) -> Retention {
        Retention {
            age: age.map(Duration::from_millis),
            bytes,
            ..Retention::KEEP_ALL
        }
    }

    const fn tick(millis: u64) -> u64 {
        millis << LOGICAL_BITS
    }

    #[test]
    fn what_is_too_old_at_a_time() {
        let retention = by(Some(DAY_MS), None);
        assert_eq!(retention.cutoff(tick(DAY_MS + 7)), Some(tick(7)));
        assert_eq!(retention.cutoff(tick(DAY_MS) - 1), None, "no wall yet");
        assert_eq!(by(None, Some(1)).cutoff(u64::MAX), None);
        let ages = by(Some(u64::MAX), None);
        assert_eq!(ages.cutoff(u64::MAX), None);
    }

    #[test]
    fn what_was_not_looked_at_is_kept_until_what_came_since_is_enough() {
        let retention = by(None, Some(1_000));
        let mut extent = Extent::default();
        extent.begin(0, 500);
        for sequence in 500..599 {
            extent.count(&retention, sequence, sequence, 10);
        }
        assert_eq!(extent.keep_from(&retention, None), None);
        assert_eq!(extent.to_survey(&retention, None), Some(0));
        extent.count(&retention, 599, 599, 10);
        assert_eq!(extent.keep_from(&retention, None), Some(500));
        // What is known before makes it certain sooner.
        extent.begin(0, 500);
        extent.count(&retention, 500, 500, 10);
        for sequence in 0..500 {
            extent.survey(&retention, sequence, sequence, 10);
        }
        assert_eq!(extent.to_survey(&retention, None), None);
        let from = extent.keep_from(&retention, None).unwrap();
        assert!((394..=401).contains(&from), "{from}");
        extent.forget(from);
        assert_eq!(extent.keep_from(&retention, None), None);
    }

    #[test]
    fn for_their_age_no_more_records_are_looked_at_than_are_old() {
        let retention = by(Some(1_000), None);
        let mut extent = Extent::default();
        extent.begin(3, 500);
        assert_eq!(extent.to_survey(&retention, None), Some(3));
        for sequence in 3..20 {
            extent.survey(&retention, sequence, tick(sequence * 100), 10);
        }
        assert_eq!(extent.to_survey(&retention, Some(tick(1_500))), None);
        let old = Some(tick(1_500));
        assert_eq!(extent.keep_from(&retention, old), Some(16));
        extent.forget(16);
        assert_eq!(extent.first(), 16);
        assert_eq!(extent.keep_from(&retention, old), None);
        assert_eq!(extent.to_survey(&retention, Some(tick(1_900))), Some(20));
    }

    proptest! {
        /// Against every record counted one by one.
        #[test]
        fn never_more_is_forgotten_than_may_be_and_little_less(
            records in proptest::collection::vec((1_u64..5_000, 1_u64..300), 1..400),
            age in proptest::option::of(1_u64..200_000),
            bytes in proptest::option::of(1_u64..50_000),
            began in 0_usize..400,
            forget_at in 0_usize..400,
        ) {
            let retention = by(age, bytes);
            let began = began.min(records.len() - 1);
            let mut extent = Extent::default();
            extent.begin(0, began as u64);
            let mut now = DAY_MS;
            let mut ticks = alloc::vec::Vec::new();
            for (at, (wait, len)) in records.iter().enumerate() {
                now += wait;
                ticks.push(tick(now));
                if at == began {
                    extent.count(&retention, at as u64, tick(now), *len as usize);
                    for (at, (_, len)) in records.iter().enumerate().take(began) {
                        extent.survey(&retention, at as u64, ticks[at], *len as usize);
                    }
                } else if at > began {
                    extent.count(&retention, at as u64, tick(now), *len as usize);
                }
                if at == forget_at.max(began) {
                    let cutoff = retention.cutoff(tick(now));
                    if let Some(from) = extent.keep_from(&retention, cutoff) {
                        extent.forget(from);
                    }
                }
            }
            let cutoff = retention.cutoff(tick(now));
            let from = extent.keep_from(&retention, cutoff).unwrap_or(extent.first()) as usize;
            let kept_bytes: u64 = records[from..].iter().map(|(_, len)| len).sum();
            let old = |at: usize, by: u64| age.is_some_and(|age| {
                ticks[at] + tick(age + by) <= tick(now)
            });
            // What is forgotten is old, or there is enough without it.
            let may = from == 0 || old(from - 1, 0) || bytes.is_some_and(|most| kept_bytes >= most);
            prop_assert!(may, "{from} of {}", records.len());
            // What is kept is not much too old, nor much too much.
            if let Some(most) = bytes {
                // Every other mark may have been dropped, and a record may have that much after a mark was due.
                let slack = 2 * (most / PARTS + 1 + 300);
                prop_assert!(kept_bytes <= most + slack, "{kept_bytes} of {most}");
            }
            if let Some(age) = age {
                let last = records.len() - 1;
                let slack = 2 * (age / PARTS + 1) + 5_000;
                prop_assert!(from >= last || !old(from + 1, slack) || from + 1 == last);
            }
            prop_assert!(extent.before.marks.len().max(extent.since.marks.len()) <= MARKS_MAX);
        }
    }

    #[test]
    fn marks_are_bounded_however_long_nothing_can_be_forgotten() {
        let retention = by(Some(100), Some(1_000));
        let mut extent = Extent::default();
        extent.begin(0, 0);
        for sequence in 0..100_000 {
            extent.count(&retention, sequence, tick(sequence), 1_000);
        }
        assert!(extent.since.marks.len() <= MARKS_MAX);
        assert!(extent.keep_from(&retention, None).unwrap() > 99_900);
    }
}
