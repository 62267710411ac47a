//! The command line.

mod serve;

use clap::{Parser, Subcommand};
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
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drawdown: {error}");
            ExitCode::FAILURE
        }
    }
}
