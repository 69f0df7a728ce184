//! The program `trefoil`: see `trefoil --help`.
//!
//! # Stable codes of its own errors
//!
//! | code | meaning |
//! |---|---|
//! | `TF-N01` | the configuration file cannot be read |
//! | `TF-N02` | it is no TOML, or says something unknown |
//! | `TF-N03` | a setting is missing |
//! | `TF-N04` | a value does not hold |
//! | `TF-N05` | a line of a CSV file cannot be read |
//! | `TF-N06` | the input cannot be read: a file, or standard input |
//! | `TF-N07` | metrics cannot be served there |
//! | `TF-N08` | the nodes of `up` did not find each other |
//! | `TF-N09` | the directory given to `demo` is not empty |
//! | `TF-N10` | `--log` is no filter |
//! | `TF-N11` | the token cannot be read |
//! | `TF-N12` | certificates cannot be made there |
//! | `TF-N13` | certificates and plaintext are asked for at once |
//! | `TF-N14` | no leader is known |
//! | `TF-N15` | a hand-over did not end in time |
//! | `TF-N16` | processes of this system cannot share a store |
//! | `TF-N17` | a channel or a node did not get where it was sent in time |
//! | `TF-N18` | a record was given up |
//! | `TF-N19` | a channel cannot be read |
//!
//! Others come from below: `TF-U` from the runtime, `TF-T` and `TF-Q` from the transports, `TF-X` from certificates,
//! `TF-S` from the store,
//! and `TF-C`, `TF-E`, `TF-L` and `TF-R` from the machines.

#![allow(unreachable_pub, reason = "a program exports nothing")]

mod cart;
mod certs;
mod channels;
mod cli;
mod config;
mod demo;
mod leader;
mod metrics;
mod reach;
mod serve;
mod signals;
mod status;
mod store;
mod up;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tracing_subscriber::EnvFilter;

use trefoil_runtime::Platform;
use trefoil_runtime_async_std::AsyncStd;
use trefoil_runtime_tokio::Tokio;

use crate::cli::{Cli, Command, Runtime};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            // Standard error is the last resort; if it is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each of which is left out that is told already.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn start(cli: Cli) -> Result<ExitCode> {
    let filter = EnvFilter::try_new(&cli.log)
        .with_context(|| format!("TF-N10: --log {:?} is no filter", cli.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    match cli.way.runtime.unwrap_or_default() {
        Runtime::Tokio => Tokio::run(run::<Tokio>(cli))?,
        Runtime::AsyncStd => AsyncStd::run(run::<AsyncStd>(cli))?,
    }
}

async fn run<P: Platform>(cli: Cli) -> Result<ExitCode> {
    let way = &cli.way;
    match cli.command {
        Command::Demo(args) => return demo::run::<P>(args, way).await,
        Command::Up(args) => up::run::<P>(args, way).await?,
        Command::Serve(args) => serve::run::<P>(&args, way).await?,
        Command::Status(args) => status::run::<P>(args, way).await?,
        Command::Leader(args) => leader::run::<P>(args, way).await?,
        Command::Channels(args) => channels::operate::channels::<P>(args, way).await?,
        Command::Node(args) => channels::operate::node::<P>(args, way).await?,
        Command::Produce(args) => channels::produce::run::<P>(args, way).await?,
        Command::Consume(args) => channels::consume::run::<P>(args, way).await?,
        Command::Cart(args) => cart::run::<P>(args, way).await?,
        Command::CheckConfig(args) => serve::check(&args, way)?,
        Command::Store(args) => return store::run::<P>(args).await,
        Command::Certs(args) => certs::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A line on standard output. A reader that has gone away ends the program quietly, as it ends others.
pub(crate) fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}
