//! Many seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::coverage::{self, Coverage};
use super::invariants::Invariant;
use super::run::{self, Options, Report};
use crate::trace::Trace;

/// What many seeds have to say.
#[derive(Debug, Default)]
pub struct Batch {
    /// Seeds that were run.
    pub seeds: u64,
    /// Events of all.
    pub events: u64,
    /// Virtual time of all.
    pub took: Duration,
    /// The longest time until everything was well, and its seed.
    pub slowest: (Duration, u64),
    /// What they exercised, together.
    pub coverage: Coverage,
    /// Those in which something was broken, by seed.
    pub failures: Vec<Report>,
}

impl Batch {
    /// Seeds in which an invariant was broken.
    pub fn broken(&self, invariant: Invariant) -> impl Iterator<Item = &Report> {
        let broke = move |report: &&Report| breaks(report, invariant);
        self.failures.iter().filter(broke)
    }

    /// Whether nothing was broken and enough was exercised.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let mut missing = coverage::missing(&self.coverage, self.seeds);
        self.failures.is_empty() && missing.next().is_none()
    }

    fn take(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.took += report.took;
        self.coverage.merge(&report.coverage);
        let settled = report.settled_after.unwrap_or_default();
        self.slowest = self.slowest.max((settled, report.seed));
        if !report.verdicts.is_empty() {
            self.failures.push(report);
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.took += other.took;
        self.slowest = self.slowest.max(other.slowest);
        self.coverage.merge(&other.coverage);
        self.failures.extend(other.failures);
    }
}

fn breaks(report: &Report, invariant: Invariant) -> bool {
    let mut verdicts = report.verdicts.iter();
    verdicts.any(|verdict| verdict.invariant == invariant)
}

/// Runs `count` seeds from `first` on, on `threads` threads. Once the invariant `stop_at` is seen to be broken, no
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
                    let report = run::run(seed, options, Trace::default());
                    if stop_at.is_some_and(|invariant| breaks(&report, invariant)) {
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
