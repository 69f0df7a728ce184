//! Many seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::faults::Counts;
use super::invariants::Invariant;
use super::run::{self, Options, Report};

/// What many seeds have to say.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Seeds that were run.
    pub seeds: u64,
    /// Events of all.
    pub events: u64,
    /// Virtual time of all.
    pub took: Duration,
    /// Leaderships of all.
    pub leaderships: u64,
    /// The longest wait for a leader after a storm, and its seed.
    pub slowest: (Duration, u64),
    /// What went wrong.
    pub faults: Counts,
    /// Seeds in which something does not hold.
    pub failures: Vec<Report>,
}

/// Of every thousand seeds: as often at least each thing goes wrong, if seeds are that many.
const COUNTS_MIN: u64 = 500;

impl Batch {
    /// Seeds in which something does not hold.
    pub fn broken(&self, what: Invariant) -> impl Iterator<Item = &Report> {
        let is_it = move |report: &&Report| report.broken.is_some_and(|(broken, _)| broken == what);
        self.failures.iter().filter(is_it)
    }

    /// What happened too rarely for a batch of this size to mean anything.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, u64)> {
        let least = self.seeds / 1_000 * COUNTS_MIN;
        let leaderships = ("leaderships", self.leaderships);
        let all = self.faults.iter().chain([leaderships]);
        // Where one voter is hostile, nothing else goes wrong.
        let hostile = self.faults.attacks > 0;
        let given = |name: &str| match name {
            "leaderships" => true,
            "electorates" => self.faults.epochs > 0,
            "attacks" => hostile,
            _ => !hostile,
        };
        all.filter(|(name, count)| *count < least && given(name))
            .collect()
    }

    fn take(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.took += report.took;
        self.leaderships += report.leaderships;
        self.slowest = self.slowest.max((report.leader_after, report.seed));
        self.faults.merge(&report.faults);
        if report.broken.is_some() {
            self.failures.push(report);
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.took += other.took;
        self.leaderships += other.leaderships;
        self.slowest = self.slowest.max(other.slowest);
        self.faults.merge(&other.faults);
        self.failures.extend(other.failures);
    }
}

/// Runs `count` seeds from `first` on, on `threads` threads. Once `stop_at` is seen to be broken, no
/// further seed is begun.
#[must_use]
pub fn run(
    first: u64,
    count: u64,
    options: &Options,
    threads: usize,
    stop_at: Option<Invariant>,
) -> Batch {
    let next = AtomicU64::new(first);
    let end = first + count;
    let all = Mutex::new(Batch::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut mine = Batch::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let report = run::run(seed, options);
                    if stop_at.is_some() && report.broken.map(|(what, _)| what) == stop_at {
                        next.store(end, Ordering::Relaxed);
                    }
                    mine.take(report);
                }
                if let Ok(mut all) = all.lock() {
                    all.merge(mine);
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_default();
    all.failures.sort_by_key(|report| report.seed);
    all
}
