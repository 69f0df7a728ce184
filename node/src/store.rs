//! `trefoil store`: the store of a data directory.

use std::process::ExitCode;

use anyhow::{Context, Result};
use trefoil_store::Store;

use crate::cli::{StoreArgs, StoreCommand};
use crate::say;

/// Does what was asked; the exit code says whether all is well.
///
/// # Errors
/// The store cannot be opened.
pub fn run(args: StoreArgs) -> Result<ExitCode> {
    let StoreCommand::Check { data } = args.command;
    let report = Store::check(&data)
        .with_context(|| format!("cannot check the store in {}", data.display()))?;
    say(&report.to_string());
    Ok(if report.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
