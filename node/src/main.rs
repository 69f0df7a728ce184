//! The program `trefoil`: see `trefoil --help`.

#![allow(unreachable_pub, reason = "a program exports nothing")]

mod cart;
mod cli;
mod config;
mod demo;
mod metrics;
mod serve;
mod status;
mod store;
mod up;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            // Standard error is the last resort; if it is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    let filter = EnvFilter::try_new(&cli.log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(cli.command))
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => return demo::run(args).await,
        Command::Up(args) => up::run(args).await?,
        Command::Serve(args) => serve::run(&args).await?,
        Command::Status(args) => status::run(args).await?,
        Command::Cart(args) => cart::run(args).await?,
        Command::CheckConfig(args) => serve::check(&args)?,
        Command::Store(args) => return store::run(args),
    }
    Ok(ExitCode::SUCCESS)
}

/// A line on standard output. A reader that has gone away ends the program quietly, as it ends others.
pub(crate) fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}
