//! The command line.

mod beside;
mod demo;
mod inspect;
mod keys;
mod screen;
mod serve;
mod snapshot;
mod system;
mod verify;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// A prepaid-credit ledger server: usage events debit wallets, and are answered when they are on disk
#[derive(Debug, Parser)]
#[command(name = "drawdown", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<crate::config::ServeArgs>),
    /// Make, list and revoke API keys
    Keys(keys::KeysArgs),
    /// Check everything in a data directory: every byte, every record, every wallet's books
    Verify(verify::VerifyArgs),
    /// Look into a data directory: segments, records, a wallet's history
    Inspect(inspect::InspectArgs),
    /// Make a snapshot of a ledger that no server has open, so that opening it is quick
    Snapshot(snapshot::SnapshotArgs),
    /// Replay a real trace of usage against a server of its own, watch, and audit the outcome
    Demo(demo::DemoArgs),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let outcome: Result<(), Box<dyn Error>> = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args).map_err(Into::into),
        Command::Keys(args) => keys::run(args).map_err(Into::into),
        Command::Verify(args) => return verify::run(&args),
        Command::Inspect(args) => inspect::run(args).map_err(Into::into),
        Command::Snapshot(args) => snapshot::run(&args).map_err(Into::into),
        Command::Demo(args) => demo::run(args).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drawdown: {error}");
            ExitCode::FAILURE
        }
    }
}
