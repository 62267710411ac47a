//! `drawdown demo`: replays a real trace against a server of its own. See [`crate::demo`].

use crate::demo::{DemoError, Options, Speed, run as run_demo};
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;

/// What the command line says about a demo.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// How many times faster than it happened, or `max` for no waiting at all
    #[arg(long, default_value = "140", value_name = "TIMES")]
    speed: Speed,
    /// Wallets that pay
    #[arg(long, default_value_t = 300, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    wallets: u32,
    /// Directory in which the ledger stays; without it, it is temporary
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Replay so many rows of the trace at most
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Replay so many minutes of the trace at most
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: Option<u32>,
    /// Print lines of progress instead of the live view
    #[arg(long)]
    no_view: bool,
    /// Go on serving at the end, until ctrl-c, so that the portal's link can be opened
    #[arg(long)]
    stay: bool,
}

/// Runs the demo.
pub(crate) fn run(args: DemoArgs) -> Result<(), DemoError> {
    run_demo(&Options {
        speed: args.speed,
        wallets: args.wallets as usize,
        data: args.data,
        limit: args.limit.map(|rows| rows as usize),
        minutes: args.minutes.map(u64::from),
        view: !args.no_view,
        stay: args.stay,
    })
}

impl FromStr for Speed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Speed, &'static str> {
        match text.parse() {
            Ok(times) if times > 0 => Ok(Speed::Times(times)),
            _ if text == "max" => Ok(Speed::Max),
            _ => Err("expected a whole number of times, or max"),
        }
    }
}
