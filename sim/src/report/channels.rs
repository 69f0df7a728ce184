//! What the program prints of channels.

use std::process::ExitCode;

use trefoil_sim::channels::batch::{self, Batch};
use trefoil_sim::channels::coverage;
use trefoil_sim::channels::invariants::Invariant;
use trefoil_sim::channels::model::configs::{self, Config};
use trefoil_sim::channels::model::explore::Found;
use trefoil_sim::channels::plan::Mode;
use trefoil_sim::channels::plants::PLANTS;
use trefoil_sim::channels::run::{Options, Report};

use super::{SHOWN, Stopwatch, verdict};

/// The bug that was asked for is none.
pub(crate) fn no_such_plant() -> ExitCode {
    println!("no such bug; these can be planted, and `all` in turn:");
    for plant in PLANTS {
        println!(
            "  {:20} breaks `{}` within {} seeds",
            plant.name, plant.breaks, plant.seeds
        );
    }
    ExitCode::from(2)
}

/// Plants every bug, and says which are seen.
pub(crate) fn planted(threads: usize) -> ExitCode {
    let mut all = true;
    for plant in PLANTS {
        let options = Options::planted(plant);
        let batch = batch::run(0, plant.seeds, &options, threads, Some(plant.breaks));
        let seen = batch.broken(plant.breaks).next();
        match seen {
            Some(report) => println!("  seen     {:20} in seed {}", plant.name, report.seed),
            None => println!("  NOT SEEN {:20} in {} seeds", plant.name, plant.seeds),
        }
        all &= seen.is_some();
    }
    verdict(all)
}

fn replay(seed: u64, options: &Options) -> String {
    let plant = options
        .plant
        .map_or(String::new(), |plant| format!(" --plant {}", plant.name));
    let mode = match options.mode.filter(|_| options.plant.is_none()) {
        None => "",
        Some(Mode::Storm) => " --mode storm",
        Some(Mode::Calm) => " --mode calm",
        Some(Mode::Leased) => " --mode leased",
    };
    format!("cargo run --release -p trefoil-sim -- channels --seed {seed}{plant}{mode} --trace")
}

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
        "seed {}: trace {:016x} of {} events, {:?} of virtual time, all well after {:?}",
        report.seed, report.hash, report.events, report.took, report.settled_after
    );
    for (name, count) in report.coverage.iter() {
        println!("  {name:32} {count:>8}");
    }
    if report.verdicts.is_empty() {
        println!("clean");
    } else {
        println!("BROKEN; again with: {}", replay(report.seed, options));
        verdicts(report);
    }
    verdict(report.verdicts.is_empty())
}

/// A batch.
pub(crate) fn batch(batch: &Batch, options: &Options, stopwatch: &Stopwatch) -> ExitCode {
    let took = stopwatch.elapsed().as_secs_f64();
    println!(
        "{} seeds in {took:.1} s: {:.0} seeds/s, {:.2} M events/s, {:.1} h of virtual time",
        batch.seeds,
        batch.seeds as f64 / took,
        batch.events as f64 / took / 1e6,
        batch.took.as_secs_f64() / 3_600.0
    );
    for invariant in Invariant::ALL {
        match batch.broken(invariant).count() {
            0 => println!("  kept    {invariant:14} {}", invariant.says()),
            count => println!(
                "  BROKEN  {invariant:14} {} (in {count} seeds)",
                invariant.says()
            ),
        }
    }
    let (slowest, seed) = batch.slowest;
    println!("slowest: all well {slowest:?} after the end of all faults (seed {seed})");
    for (name, count) in batch.coverage.iter() {
        println!("  {name:32} {count:>10}");
    }
    let mut exercised = true;
    if options.plant.is_none() && options.mode.is_none() {
        for (name, count, minimum) in coverage::missing(&batch.coverage, batch.seeds) {
            exercised = false;
            println!("TOO LITTLE {name}: {count} of {minimum}");
        }
    }
    if let Some(first) = batch.failures.first() {
        let seeds = batch.failures.iter().map(|report| report.seed);
        let seeds: Vec<u64> = seeds.take(SHOWN).collect();
        let count = batch.failures.len();
        println!("{count} seeds broke something: {seeds:?}; the first again with");
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
        let is_fine = config.is_fine(found);
        if self.configs == 0 {
            println!(
                "{:20} {:>11} {:>12} {:>5} {:>8} {:>8}",
                "configuration", "states", "transitions", "depth", "openings", "seconds"
            );
        }
        let says = match &found.broken {
            Some((broken, way)) if is_fine => format!("found {broken:?} in {}", way.len()),
            Some((broken, way)) => format!("BROKEN {broken:?} in {}", way.len()),
            None if is_fine => "all seen".to_owned(),
            None if config.finds.is_some() => "FOUND NOTHING".to_owned(),
            None if found.exhausted => "TOO FEW OPENINGS".to_owned(),
            None => "NOT ALL SEEN".to_owned(),
        };
        println!(
            "{:20} {:>11} {:>12} {:>5} {:>8} {:>8.1}  {says}",
            config.name,
            found.states,
            found.transitions,
            found.depth,
            found.openings,
            found.took.as_secs_f64(),
        );
        if let Some((_, way)) = found.broken.as_ref().filter(|_| !is_fine) {
            for event in way {
                println!("    {event:?}");
            }
        }
        self.states += found.states;
        self.configs += 1;
        self.wrong += usize::from(!is_fine);
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
