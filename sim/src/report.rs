//! What the program prints.
#![expect(clippy::print_stdout, reason = "this module is the program's output")]

pub(crate) mod channels;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use trefoil_sim::election::model::check::{Verdict, verdict as verdict_of};
use trefoil_sim::election::model::configs::{self, Config};
use trefoil_sim::election::model::explore::Found;
use trefoil_sim::election::random::{self, figures::IDLE_RUNS};
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

    pub(crate) fn elapsed(&self) -> Duration {
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

/// The configuration that was asked for is none.
pub(crate) fn no_such_config() -> ExitCode {
    println!("these configurations can be explored:");
    for config in configs::all() {
        println!("  {}", config.name);
    }
    ExitCode::from(2)
}

/// The model checker, configuration by configuration as they end.
#[derive(Default)]
pub(crate) struct Model {
    states: u64,
    configs: usize,
    wrong: usize,
}

impl Model {
    /// One configuration.
    pub(crate) fn config(&mut self, config: &Config, found: &Found) {
        let verdict = verdict_of(config, found);
        if self.configs == 0 {
            println!(
                "{:24} {:>11} {:>12} {:>5} {:>7} {:>8}",
                "configuration", "states", "transitions", "depth", "leaders", "seconds"
            );
        }
        let says = match (&found.broken, verdict) {
            (Some((broken, way)), Verdict::Fine) => format!("found {broken:?} in {}", way.len()),
            (None, Verdict::Fine) if found.handed => "all seen, by hand-over too".to_owned(),
            (None, Verdict::Fine) => "all seen".to_owned(),
            (None, Verdict::Unfinished) => "NOT ALL SEEN".to_owned(),
            (None, Verdict::Vacuous) => "TOO FEW LEADERSHIPS".to_owned(),
            (None, _) => "FOUND NOTHING".to_owned(),
            (Some((broken, way)), _) => format!("BROKEN {broken:?} in {}", way.len()),
        };
        println!(
            "{:24} {:>11} {:>12} {:>5} {:>7} {:>8.1}  {says}",
            config.name,
            found.states,
            found.transitions,
            found.depth,
            found.leaderships,
            found.took.as_secs_f64(),
        );
        if let (Some((_, way)), Verdict::Broken | Verdict::Missed) = (&found.broken, verdict) {
            for event in way {
                println!("    {event}");
            }
        }
        self.states += found.states;
        self.configs += 1;
        self.wrong += usize::from(verdict != Verdict::Fine);
    }

    /// The end.
    pub(crate) fn end(&self, stopwatch: &Stopwatch) -> ExitCode {
        println!(
            "{} states of {} configurations in {:.1} s; {} not as they should be",
            self.states,
            self.configs,
            stopwatch.elapsed().as_secs_f64(),
            self.wrong
        );
        verdict(self.wrong == 0)
    }
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

/// The bugs of elections, each with what it breaks.
pub(crate) fn no_such_election_plant() -> ExitCode {
    println!("no such bug; these can be planted, and `all` in turn:");
    for plant in random::plants::PLANTS {
        println!(
            "  {:20} breaks \"{}\" within {} seeds",
            plant.name,
            plant.breaks.told(),
            plant.seeds
        );
    }
    ExitCode::from(2)
}

/// Plants every bug of elections, and says which are seen.
pub(crate) fn elections_planted(threads: usize) -> ExitCode {
    let mut all = true;
    for plant in random::plants::PLANTS {
        let options = random::run::Options {
            plant: Some(plant),
            ..random::run::Options::default()
        };
        let batch = random::batch::run(0, plant.seeds, &options, threads, Some(plant.breaks));
        let seen = batch.failures.first();
        match seen {
            Some(report) => println!("  seen     {:20} in seed {}", plant.name, report.seed),
            None => println!("  NOT SEEN {:20} in {} seeds", plant.name, plant.seeds),
        }
        all &= seen.is_some();
    }
    verdict(all)
}

/// Elections.
pub(crate) fn elections(
    batch: &random::batch::Batch,
    options: &random::run::Options,
    stopwatch: &Stopwatch,
) -> ExitCode {
    let took = stopwatch.elapsed().as_secs_f64();
    println!(
        "{} seeds in {took:.1} s: {:.0} seeds/s, {:.2} M events/s, {:.1} h of virtual time",
        batch.seeds,
        batch.seeds as f64 / took,
        batch.events as f64 / took / 1e6,
        batch.took.as_secs_f64() / 3_600.0
    );
    for invariant in random::invariants::Invariant::ALL {
        match batch.broken(invariant).count() {
            0 => println!("  kept    {}", invariant.told()),
            count => println!("  BROKEN  {} (in {count} seeds)", invariant.told()),
        }
    }
    let (slowest, seed) = batch.slowest;
    println!("slowest: a leader {slowest:?} after the end of a storm (seed {seed})");
    println!("  {:24} {:>9}", "leaderships", batch.leaderships);
    for (name, count) in batch.faults.iter() {
        println!("  {name:24} {count:>9}");
    }
    let missing = batch.missing();
    let exercised = options.plant.is_some() || missing.is_empty();
    if !exercised {
        println!("TOO LITTLE: {missing:?}");
    }
    if let Some(first) = batch.failures.first() {
        let seeds = batch.failures.iter().map(|report| report.seed);
        let seeds: Vec<u64> = seeds.take(SHOWN).collect();
        let plant = options
            .plant
            .map_or(String::new(), |plant| format!(" --plant {}", plant.name));
        let voters = options
            .voters
            .map_or(String::new(), |voters| format!(" --voters {voters}"));
        let kind = match (options.changing, options.hostile) {
            (true, _) => " --changing",
            (false, true) => " --hostile",
            (false, false) => "",
        };
        println!(
            "{} seeds broke something: {seeds:?}; the first again with",
            batch.failures.len()
        );
        println!(
            "  cargo run --release -p trefoil-sim -- election --seed {}{plant}{voters}{kind} --trace",
            first.seed
        );
    }
    verdict(batch.failures.is_empty() && exercised)
}

/// How long elections take.
pub(crate) fn figures(figures: &random::figures::Figures, runs: u64) -> ExitCode {
    let mut all = true;
    for times in &figures.times {
        let met = times.is_met() && times.runs() as u64 == runs;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let at = |percent| ms(times.percentile(percent));
        println!(
            "{:6} {:44} p50 {:7.1} ms  p99 {:7.1} ms  max {:7.1} ms  ({} of {runs} runs){}",
            if met { "met" } else { "MISSED" },
            times.name,
            at(50),
            at(99),
            at(100),
            times.runs(),
            times.target.map_or(String::new(), |(p50, p99)| format!(
                "; at most {:.0} and {:.0}",
                ms(p50),
                ms(p99)
            ))
        );
        all &= met;
    }
    for support in &figures.support {
        println!(
            "       leaders at a round trip of {:?} that lack the vote of a voter: {} of {}",
            support.round_trip, support.lacking, support.leaders
        );
    }
    for idle in &figures.idle {
        let met = (idle.drops, idle.elections) == (0, 0);
        println!(
            "{:6} {IDLE_RUNS} x ten minutes at a round trip of {:?}{}: {} streams dropped, {} elections",
            if met { "met" } else { "MISSED" },
            idle.round_trip,
            if idle.stalls {
                ", half a second of every two without a frame"
            } else {
                ""
            },
            idle.drops,
            idle.elections
        );
        all &= met;
    }
    verdict(all)
}
