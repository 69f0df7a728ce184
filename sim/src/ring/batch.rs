//! Many seeds at once, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::coverage::Coverage;
use super::invariants::{Invariant, Verdict, frozen};
use super::run::{self, Options, Report};
use crate::trace::Trace;

/// One seed in so many has a frozen run as well.
const FROZEN_EVERY: u64 = 4;

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// Seeds that were run.
    pub seeds: u64,
    /// What they exercised, together.
    pub coverage: Coverage,
    /// The reports of those in which something was broken, by seed.
    pub failures: Vec<Report>,
    /// The longest times it took for views and owners to come right, with their seeds.
    pub slowest: [(std::time::Duration, u64); 2],
    /// Length of all traces.
    pub events: u64,
}

impl Batch {
    /// The first seed in which an invariant was broken.
    #[must_use]
    pub fn first_broken(&self, invariant: Invariant) -> Option<&Report> {
        self.failures.iter().find(|report| {
            report
                .verdicts
                .iter()
                .any(|verdict| verdict.invariant == invariant)
        })
    }

    /// Whether nothing was broken and enough was exercised.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.coverage.missing(self.seeds).next().is_none()
    }

    fn take(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.coverage.merge(&report.coverage);
        for (slowest, took) in self
            .slowest
            .iter_mut()
            .zip([report.views_after, report.owners_after])
        {
            if let Some(took) = took.filter(|took| *took > slowest.0) {
                *slowest = (took, report.seed);
            }
        }
        if !report.verdicts.is_empty() {
            self.failures.push(report);
        }
    }
}

/// Everything one seed has to say.
#[must_use]
pub fn one(seed: u64, options: &Options, trace: Trace) -> Report {
    let mut report = run::run(seed, options, trace);
    if seed.is_multiple_of(FROZEN_EVERY) {
        report.coverage.add("frozen runs", 1);
        report.verdicts.extend(frozen::run(seed, options));
    }
    report
}

/// Runs `count` seeds from `first` on, on `threads` threads. Once the invariant `stop_at` is seen to be
/// broken, no further seed is begun.
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
    let reports: Mutex<Vec<Report>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = one(seed, options, Trace::default());
                    let broke = |verdict: &Verdict| Some(verdict.invariant) == stop_at;
                    if report.verdicts.iter().any(broke) {
                        next.store(end, Ordering::Relaxed);
                    }
                    if let Ok(mut reports) = reports.lock() {
                        reports.push(report);
                    }
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_default();
    reports.sort_by_key(|report| report.seed);
    let mut batch = Batch::default();
    reports.into_iter().for_each(|report| batch.take(report));
    batch
}
