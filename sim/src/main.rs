//! `trefoil-sim`: runs the shipping machines through seeds of faults.
//!
//! ```text
//! trefoil-sim ring --seeds 200              a batch; exit code 0 only if it is clean
//! trefoil-sim ring --seed 17 --trace        one seed again, with everything that happened
//! trefoil-sim ring --plant no-fence         a batch with a bug; exit code 1 when the bug is seen, as
//!                                           of any failing batch, and 0 when it is not
//! trefoil-sim election --model              every schedule of small elections; exit code 0 only if what
//!                                           must hold does, and what must be found is
//! trefoil-sim election --seeds 100000 --voters 3
//!                                           a batch of elections; exit code 0 only if it is clean
//! trefoil-sim election --changing           the same while voters come and go, one in each epoch
//! trefoil-sim election --hostile            the same beside one that says anything to anybody
//! trefoil-sim election --seed 17 --trace    one seed again, with everything that happened
//! trefoil-sim election --plant all          every bug in turn; exit code 0 only if all are seen
//! trefoil-sim channels --seeds 2000         a batch of channels; exit code 0 only if it is clean
//! trefoil-sim channels --seed 17 --trace    one seed again, with everything that happened
//! trefoil-sim channels --model              every schedule of small worlds of channels, as of elections
//! trefoil-sim channels --plant all          every bug in turn; exit code 0 only if all are seen
//! trefoil-sim election --figures            times to the next leader; exit code 0 only if targets are met
//! ```
#![forbid(unsafe_code)]

mod report;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use trefoil_sim::channels;
use trefoil_sim::election::model::{check, configs};
use trefoil_sim::election::random::{self, plants};
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
    /// One leader, and tokens that only grow.
    Election(ElectionArgs),
    /// Log channels: who has which, at which term, and what is written and read.
    Channels(ChannelsArgs),
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

#[derive(Debug, Args)]
struct ElectionArgs {
    /// Seeds to run.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1 << 62))]
    first: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: print what happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plant a bug. A name that is none prints the list.
    #[arg(long)]
    plant: Option<String>,
    /// Voters; drawn for each seed if absent.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=9))]
    voters: Option<u8>,
    /// Voters come and go, one in each epoch.
    #[arg(long)]
    changing: bool,
    /// Beside one, a voter or not, that says anything to anybody.
    #[arg(long, conflicts_with = "changing")]
    hostile: bool,
    /// Explore every schedule of small worlds.
    #[arg(long)]
    model: bool,
    /// With `--model`: only this configuration.
    #[arg(long, requires = "model")]
    config: Option<String>,
    /// With `--model`: the heavy configurations, too.
    #[arg(long, requires = "model")]
    heavy: bool,
    /// With `--model`: states of one world after which it is given up.
    #[arg(long, requires = "model", default_value_t = 100_000_000)]
    states: u64,
    /// Measure how long it takes to the next leader.
    #[arg(long, conflicts_with_all = ["model", "seed", "plant"])]
    figures: bool,
    /// With `--figures`: runs of each.
    #[arg(long, requires = "figures", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Threads; as many as there are processors if absent.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Args)]
struct ChannelsArgs {
    /// Seeds to run.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
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
    /// What every world is like; drawn for each seed if absent.
    #[arg(long, conflicts_with = "plant")]
    mode: Option<Mode>,
    /// Explore every schedule of small worlds.
    #[arg(long, conflicts_with_all = ["seed", "plant", "mode"])]
    model: bool,
    /// With `--model`: only this configuration.
    #[arg(long, requires = "model")]
    config: Option<String>,
    /// With `--model`: the heavy configurations, too.
    #[arg(long, requires = "model")]
    heavy: bool,
    /// With `--model`: states of one world after which it is given up.
    #[arg(long, requires = "model", default_value_t = 20_000_000)]
    states: u64,
    /// Threads; as many as there are processors if absent.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// Everything goes wrong.
    Storm,
    /// Nothing does.
    Calm,
    /// Everything does, and nothing but leases is relied on.
    Leased,
}

impl From<Mode> for channels::plan::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Storm => Self::Storm,
            Mode::Calm => Self::Calm,
            Mode::Leased => Self::Leased,
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().knot {
        Knot::Ring(args) => ring(&args),
        Knot::Election(args) if args.model => model(&args),
        Knot::Election(args) if args.figures => {
            report::figures(&random::figures::measure(args.runs), args.runs)
        }
        Knot::Election(args) => election(&args),
        Knot::Channels(args) if args.model => model_of_channels(&args),
        Knot::Channels(args) => of_channels(&args),
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
    let stopwatch = report::Stopwatch::start();
    let batch = batch::run(
        args.first,
        args.seeds,
        &options,
        threads(args.threads),
        plant.map(|plant| plant.breaks),
    );
    report::batch(&batch, &options, &stopwatch)
}

fn election(args: &ElectionArgs) -> ExitCode {
    let threads = threads(args.threads);
    let plant = match args
        .plant
        .as_deref()
        .map(|name| (name, plants::by_name(name)))
    {
        Some(("all", None)) => return report::elections_planted(threads),
        Some((_, None)) => return report::no_such_election_plant(),
        Some((_, plant)) => plant,
        None => None,
    };
    let options = random::run::Options {
        voters: args.voters.map(usize::from),
        changing: args.changing,
        hostile: args.hostile,
        plant,
        talks: args.trace.then_some(report::line as fn(&str)),
    };
    let stopwatch = report::Stopwatch::start();
    let (first, seeds) = args.seed.map_or((args.first, args.seeds), |seed| (seed, 1));
    let stop_at = plant.map(|plant| plant.breaks);
    let batch = random::batch::run(first, seeds, &options, threads, stop_at);
    report::elections(&batch, &options, &stopwatch)
}

fn of_channels(args: &ChannelsArgs) -> ExitCode {
    let threads = threads(args.threads);
    let plant = args.plant.as_deref();
    let options = match plant.map(|name| (name, channels::plants::by_name(name))) {
        Some(("all", None)) => return report::channels::planted(threads),
        Some((_, None)) => return report::channels::no_such_plant(),
        Some((_, Some(plant))) => channels::run::Options::planted(plant),
        None => channels::run::Options {
            mode: args.mode.map(Into::into),
            plant: None,
        },
    };
    if let Some(seed) = args.seed {
        let trace = if args.trace {
            Trace::to(report::line)
        } else {
            Trace::default()
        };
        let report = channels::run::run(seed, &options, trace);
        return report::channels::one(&report, &options);
    }
    let stopwatch = report::Stopwatch::start();
    let stop_at = options.plant.map(|plant| plant.breaks);
    let batch = channels::batch::run(args.first, args.seeds, &options, threads, stop_at);
    report::channels::batch(&batch, &options, &stopwatch)
}

fn model_of_channels(args: &ChannelsArgs) -> ExitCode {
    let mut configs = channels::model::configs::all();
    match &args.config {
        Some(name) => configs.retain(|config| config.name == name),
        None => configs.retain(|config| args.heavy || !config.heavy),
    }
    if configs.is_empty() {
        return report::channels::no_such_config();
    }
    let stopwatch = report::Stopwatch::start();
    let mut told = report::channels::Model::default();
    let threads = threads(args.threads);
    channels::model::configs::run(&configs, threads, args.states, |config, found| {
        told.config(config, found);
    });
    told.end(&stopwatch)
}

fn model(args: &ElectionArgs) -> ExitCode {
    let mut configs = configs::all();
    match &args.config {
        Some(name) => configs.retain(|config| config.name == name),
        None => configs.retain(|config| args.heavy || !config.heavy),
    }
    if configs.is_empty() {
        return report::no_such_config();
    }
    let stopwatch = report::Stopwatch::start();
    let mut fine = report::Model::default();
    check::run(
        &configs,
        threads(args.threads),
        args.states,
        |config, found| {
            fine.config(config, found);
        },
    );
    fine.end(&stopwatch)
}

fn threads(asked: Option<usize>) -> usize {
    asked
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1)
}
