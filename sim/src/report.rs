//! What the program prints.
#![expect(clippy::print_stdout, reason = "this module is the program's output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use trefoil_sim::ring::batch::Batch;
use trefoil_sim::ring::invariants::Invariant;
use trefoil_sim::ring::plant::PLANTS;
use trefoil_sim::ring::run::{Options, Report};

/// Real time, for the figure of seeds a second alone.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A line of a trace.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// The plant that was asked for is none.
pub(crate) fn no_such_plant(name: &str) -> ExitCode {
    println!("no bug is called {name:?}; these can be planted:");
    for plant in PLANTS {
        println!("  {:22} breaks `{}` within {} seeds", plant.name, plant.breaks, plant.seeds);
    }
    ExitCode::from(2)
}

fn replay(seed: u64, options: &Options) -> String {
    let plant = options.plant.map(|plant| format!(" --plant {}", plant.name)).unwrap_or_default();
    let nodes = options.nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
    format!("cargo run --release -p trefoil-sim -- ring --seed {seed}{plant}{nodes}")
}

fn verdict(clean: bool) -> ExitCode {
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Verdicts of one run that are printed.
const SHOWN: usize = 12;

fn verdicts(report: &Report) {
    for verdict in report.verdicts.iter().take(SHOWN) {
        println!("  {verdict}");
    }
    if report.verdicts.len() > SHOWN {
        println!("  and {} more", report.verdicts.len() - SHOWN);
    }
}

/// One run.
pub(crate) fn one(report: &Report, options: &Options) -> ExitCode {
    println!("seed {}: trace {:016x} of {} events", report.seed, report.hash, report.events);
    println!("views right after {:?}, owners after {:?} more", report.views_after, report.owners_after);
    for (name, count) in report.coverage.iter() {
        println!("  {name:32} {count:>8}");
    }
    if report.verdicts.is_empty() {
        println!("clean");
    } else {
        println!("BROKEN; again with: {} --trace", replay(report.seed, options));
        verdicts(report);
    }
    verdict(report.verdicts.is_empty())
}

/// A batch.
pub(crate) fn batch(batch: &Batch, options: &Options, stopwatch: &Stopwatch) -> ExitCode {
    let took = stopwatch.elapsed();
    let per_second = batch.seeds as f64 / took.as_secs_f64();
    println!("{} seeds in {:.1} s: {per_second:.1} seeds/s, {} events", batch.seeds, took.as_secs_f64(), batch.events);
    for invariant in Invariant::ALL {
        let broken = batch.failures.iter().filter(|report| report.verdicts.iter().any(|verdict| verdict.invariant == invariant));
        match broken.count() {
            0 => println!("  kept    {invariant:14} {}", invariant.says()),
            count => println!("  BROKEN  {invariant:14} {} (in {count} seeds)", invariant.says()),
        }
    }
    let [(views, views_seed), (owners, owners_seed)] = batch.slowest;
    println!("slowest: views right after {views:?} (seed {views_seed}), owners {owners:?} later (seed {owners_seed})");
    for (name, count) in batch.coverage.iter() {
        println!("  {name:32} {count:>8}");
    }
    let mut exercised = true;
    if options.plant.is_none() {
        for (name, count, minimum) in batch.coverage.missing(batch.seeds) {
            exercised = false;
            println!("TOO LITTLE {name}: {count} of {minimum}");
        }
    }
    if let Some(first) = batch.failures.first() {
        let seeds: Vec<u64> = batch.failures.iter().map(|report| report.seed).take(SHOWN).collect();
        println!("{} seeds broke something: {seeds:?}; the first again with", batch.failures.len());
        println!("  {}", replay(first.seed, options));
        verdicts(first);
    }
    verdict(batch.failures.is_empty() && exercised)
}
