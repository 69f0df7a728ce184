//! `trefoil store`: the store of a data directory.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use trefoil_runtime::{Platform, task};
use trefoil_store::{Store, StoreError};

use crate::cli::{StoreArgs, StoreCommand};
use crate::say;

/// How often the store is asked whether it still works.
const GLANCE: Duration = Duration::from_millis(500);

/// Waits until the store has stopped, which it does for good after a write that failed: a program that
/// went on would answer errors for ever.
pub async fn stopped<P: Platform>(store: &Store) -> StoreError {
    loop {
        if let Some(why) = store.failure() {
            return StoreError::Stopped(why);
        }
        task::sleep::<P>(GLANCE).await;
    }
}

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
