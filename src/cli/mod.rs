//! One thin file a subcommand: arguments and settings in, an exit code out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Merges the partial journal reports of mail servers into one complete journal record a message.
#[derive(Parser)]
#[command(name = "mailjournal", version)]
struct Arguments {
    /// The settings file (TOML); every key can also be set as MAILJOURNAL_SECTION_KEY.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

/// Why a command ended without success: what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Exit code 2: wrong usage or settings.
    #[error("{0}")]
    Usage(String),
}

/// Runs the command line that the process was given.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {}
}
