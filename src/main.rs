//! The `drawdown` command: wiring and the command line. The one place that picks the real clock, disk and sockets.

mod cli;
mod config;
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
