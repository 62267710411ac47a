//! The command line.

mod demo;
mod keys;
mod serve;
mod snapshot;

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
