//! Developer commands of the workspace: `cargo xtask codegen [--check]`, `cargo xtask features`.

mod codegen;
mod features;

use std::error::Error;
use std::path::Path;

use clap::{Parser, Subcommand};

/// What every command may fail with: a message for the developer.
type Failure = Box<dyn Error>;

/// Developer commands of the Trefoil workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes views, encoders, owned types and descriptors from the .proto files.
    Codegen {
        /// Write nothing; fail if what is checked in differs from what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Builds every combination of features, and sees those refused that cannot be.
    Features,
}

fn main() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("xtask is not inside a workspace")?;
    match Arguments::parse().command {
        Command::Codegen { check } => codegen::run(root, check),
        Command::Features => features::run(root),
    }
}
