//! What the program prints.
#![expect(clippy::print_stdout, reason = "this module is the program's output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use trefoil_sim::ring::batch::Batch;
use trefoil_sim::ring::convergence::Figures;
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
        println!(
            "  {:22} breaks `{}` within {} seeds",
            plant.name, plant.breaks, plant.seeds
        );
    }
    ExitCode::from(2)
}

fn replay(seed: u64, options: &Options) -> String {
    let plant = options
        .plant
        .map(|plant| format!(" --plant {}", plant.name))
        .unwrap_or_default();
    let nodes = options
        .nodes
        .map(|nodes| format!(" --nodes {nodes}"))
        .unwrap_or_default();
    format!("cargo run --release -p trefoil-sim -- ring --seed {seed}{plant}{nodes}")
}

fn verdict(clean: bool) -> ExitCode {
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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
    println!(
        "seed {}: trace {:016x} of {} events",
        report.seed, report.hash, report.events
    );
    println!(
        "views right after {:?}, owners after {:?} more",
        report.views_after, report.owners_after
    );
    for (name, count) in report.coverage.iter() {
        println!("  {name:32} {count:>8}");
    }
    if report.verdicts.is_empty() {
        println!("clean");
    } else {
        println!(
            "BROKEN; again with: {} --trace",
            replay(report.seed, options)
        );
        verdicts(report);
    }
    verdict(report.verdicts.is_empty())
}

/// A batch.
pub(crate) fn batch(batch: &Batch, options: &Options, stopwatch: &Stopwatch) -> ExitCode {
    let took = stopwatch.elapsed();
    let per_second = batch.seeds as f64 / took.as_secs_f64();
    println!(
        "{} seeds in {:.1} s: {per_second:.1} seeds/s, {} events",
        batch.seeds,
        took.as_secs_f64(),
        batch.events
    );
    for invariant in Invariant::ALL {
        let broken = batch.failures.iter().filter(|report| {
            report
                .verdicts
                .iter()
                .any(|verdict| verdict.invariant == invariant)
        });
        match broken.count() {
            0 => println!("  kept    {invariant:14} {}", invariant.says()),
            count => println!(
                "  BROKEN  {invariant:14} {} (in {count} seeds)",
                invariant.says()
            ),
        }
    }
    let [(views, views_seed), (owners, owners_seed)] = batch.slowest;
    println!(
        "slowest: views right after {views:?} (seed {views_seed}), owners {owners:?} later (seed {owners_seed})"
    );
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
        let seeds: Vec<u64> = batch
            .failures
            .iter()
            .map(|report| report.seed)
            .take(SHOWN)
            .collect();
        println!(
            "{} seeds broke something: {seeds:?}; the first again with",
            batch.failures.len()
        );
        println!("  {}", replay(first.seed, options));
        verdicts(first);
    }
    verdict(batch.failures.is_empty() && exercised)
}

/// A median and a worst case, in seconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    format!("{:.2} ({:.2})", median.as_secs_f64(), worst.as_secs_f64())
}

/// How fast memberships settle: medians, and the worst of all runs in brackets.
pub(crate) fn convergence(nodes: usize, figures: &[Figures]) -> ExitCode {
    let of = |time: fn(&Figures) -> Duration| spread(figures.iter().map(time).collect());
    println!(
        "{nodes} hosts, {} runs, seconds: median (worst)",
        figures.len()
    );
    println!(
        "  all know all                {}",
        of(|figures| figures.cold_start)
    );
    println!(
        "  one join known by all       {}",
        of(|figures| figures.join)
    );
    println!(
        "  crash known by the first    {}",
        of(|figures| figures.crash_percentile(0))
    );
    println!(
        "  crash known by half         {}",
        of(|figures| figures.crash_percentile(50))
    );
    println!(
        "  crash known by 99 %         {}",
        of(|figures| figures.crash_percentile(99))
    );
    println!(
        "  crash known by all          {}",
        of(|figures| figures.crash_percentile(100))
    );
    let packets: f64 =
        figures.iter().map(|figures| figures.packets).sum::<f64>() / figures.len().max(1) as f64;
    println!("  packets per host and second {packets:.1}, about six to a call");
    verdict(figures.iter().all(|figures| figures.crash.len() == nodes))
}
