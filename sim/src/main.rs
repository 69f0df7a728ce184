//! `trefoil-sim`: runs the shipping machines through seeds of faults.
//!
//! ```text
//! trefoil-sim ring --seeds 200              a batch; exit code 0 only if it is clean
//! trefoil-sim ring --seed 17 --trace        one seed again, with everything that happened
//! trefoil-sim ring --plant no-fence         a batch with a bug; exit code 1 when the bug is seen, as
//!                                           of any failing batch, and 0 when it is not
//! ```
#![forbid(unsafe_code)]

mod report;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use trefoil_sim::ring::run::Options;
use trefoil_sim::ring::{batch, convergence, plant};
use trefoil_sim::trace::Trace;

/// Deterministic simulator of Trefoil's machines.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    knot: Knot,
}

#[derive(Debug, Subcommand)]
enum Knot {
    /// Membership, ownership and actors.
    Ring(RingArgs),
    /// How fast the membership alone settles.
    Convergence {
        /// Hosts.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100_000))]
        nodes: u32,
        /// Runs, each of a seed of its own.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
    },
}

#[derive(Debug, Args)]
struct RingArgs {
    /// Seeds to run.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1 << 62))]
    first: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plant a bug. A name that is none prints the list.
    #[arg(long)]
    plant: Option<String>,
    /// Nodes; drawn for each seed if absent.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=9))]
    nodes: Option<u8>,
    /// Threads; as many as there are processors if absent.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match Cli::parse().knot {
        Knot::Ring(args) => ring(&args),
        Knot::Convergence { nodes, runs } => {
            let nodes = nodes as usize;
            let figures: Vec<_> = (0..runs)
                .map(|seed| convergence::measure(seed, nodes))
                .collect();
            report::convergence(nodes, &figures)
        }
    }
}

fn ring(args: &RingArgs) -> ExitCode {
    let plant = match args
        .plant
        .as_deref()
        .map(|name| (name, plant::by_name(name)))
    {
        Some((name, None)) => return report::no_such_plant(name),
        Some((_, plant)) => plant,
        None => None,
    };
    let options = Options {
        nodes: args.nodes.map(usize::from),
        plant,
    };
    if let Some(seed) = args.seed {
        let trace = if args.trace {
            Trace::to(report::line)
        } else {
            Trace::default()
        };
        return report::one(&batch::one(seed, &options, trace), &options);
    }
    let threads = args
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let stopwatch = report::Stopwatch::start();
    let batch = batch::run(
        args.first,
        args.seeds,
        &options,
        threads,
        plant.map(|plant| plant.breaks),
    );
    report::batch(&batch, &options, &stopwatch)
}
