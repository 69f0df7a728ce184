//! Rings without a bug: seeds are clean, exercise enough, and repeat themselves.

use trefoil_sim::ring::batch;
use trefoil_sim::ring::coverage::BATCH_MIN;
use trefoil_sim::ring::run::{self, Options};
use trefoil_sim::trace::Trace;

#[test]
fn a_batch_is_clean_and_exercises_enough() {
    let batch = batch::run(0, BATCH_MIN, &Options::default(), 2, None);
    for report in &batch.failures {
        for verdict in &report.verdicts {
            eprintln!("seed {}: {verdict}", report.seed);
        }
    }
    let missing: Vec<_> = batch.coverage.missing(batch.seeds).collect();
    assert!(
        batch.failures.is_empty() && missing.is_empty(),
        "{missing:?}"
    );
}

#[test]
fn a_seed_has_one_trace() {
    let trace = |seed| {
        let report = run::run(seed, &Options::default(), Trace::default());
        (report.hash, report.events, report.coverage)
    };
    assert_eq!(trace(11), trace(11));
    assert_ne!(trace(11).0, trace(12).0);
}
