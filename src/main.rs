//! The `drawdown` command: wiring and the command line. The one place that picks the real clock, disk, sockets and allocator.

mod cli;
mod config;
mod demo;
mod processor;

use std::process::ExitCode;

/// Grants and crossings make and free small things on different threads: they take a quarter less time than with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(name) = processor::missing() {
        eprintln!(
            "drawdown was built for processors with {name}, which this one lacks: build it without .cargo/config.toml"
        );
        return ExitCode::FAILURE;
    }
    cli::run()
}
