//! The command line.

use crate::encode::Format;
use crate::run::{Limit, Plan};
use crate::workload::{Distribution, EVENTS_MAX, Shape};
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;
use std::time::Duration;

/// Sends usage events to a drawdown server as a customer would, and audits every wallet afterwards.
///
/// Exit code 0: the books and the server agree; 1: they do not, or a request went unanswered; 2: the run could not be made.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Where the server is
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// API key with the scopes usage, read, grants and admin
    #[arg(long, env = "LOADTEST_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Allow addresses other than this machine's
    #[arg(long)]
    pub allow_remote: bool,
    /// Wallets to set up
    #[arg(long, default_value = "10000", value_parser = ranged(1, 10_000_000))]
    pub wallets: u32,
    /// Events in one request
    #[arg(long, default_value = "1000", value_parser = ranged(1, 10_000))]
    pub batch: u32,
    /// Connections, each with one request under way
    #[arg(long, default_value = "2", value_parser = ranged(1, 1024))]
    pub connections: u32,
    /// Threads of the generator; one leaves the most to a server on the same machine
    #[arg(long, default_value = "1", value_parser = ranged(1, 64))]
    pub threads: u32,
    /// Form of the events
    #[arg(long, value_enum, default_value = "msgpack")]
    pub format: Format,
    /// Events to send [default: 1000000, unless --seconds is given]
    #[arg(long, conflicts_with = "seconds", value_parser = RangedU64ValueParser::<u64>::new().range(1..=EVENTS_MAX))]
    pub events: Option<u64>,
    /// Time to send for
    #[arg(long, value_parser = ranged(1, 86_400))]
    pub seconds: Option<u32>,
    /// Events a second: an open loop, with latency from when a request should have started
    #[arg(long, value_parser = RangedU64ValueParser::<u64>::new().range(1..=EVENTS_MAX))]
    pub rate: Option<u64>,
    /// Which wallets are debited
    #[arg(long, value_enum, default_value = "zipf")]
    pub distribution: Distribution,
    /// Part of the events that repeats an earlier one
    #[arg(long, default_value = "0.01", value_parser = part)]
    pub duplicates: f64,
    /// Part of the events that asks for more than the wallet has
    #[arg(long, default_value = "0", value_parser = part)]
    pub rejections: f64,
    /// Repeats the same events
    #[arg(long, default_value = "1")]
    pub seed: u64,
    /// Ask for a result for every event, not only for those that were not applied
    #[arg(long)]
    pub full_answers: bool,
    /// Seconds that one try of a request may take
    #[arg(long, default_value = "10", value_parser = ranged(1, 600))]
    pub timeout: u32,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

fn ranged(least: u64, most: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(least..=most)
}

/// Reads a part of a whole.
fn part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// Events of a run that says neither a number nor a time.
const EVENTS_DEFAULT: u64 = 1_000_000;

impl Options {
    /// What to send.
    pub fn plan(&self) -> Plan {
        let shape = Shape {
            wallets: self.wallets,
            distribution: self.distribution,
            duplicates: self.duplicates,
            rejections: self.rejections,
            seed: self.seed,
        };
        let limit = match self.seconds {
            Some(seconds) => Limit::Time(Duration::from_secs(u64::from(seconds))),
            None => Limit::Events(self.events.unwrap_or(EVENTS_DEFAULT)),
        };
        Plan {
            shape,
            format: self.format,
            batch: self.batch,
            connections: self.connections,
            limit,
            rate: self.rate,
            full_answers: self.full_answers,
        }
    }

    /// How long one try of a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[track_caller]
    fn check(arguments: &[&str], accepted: bool) {
        let all = std::iter::once("loadtest").chain(arguments.iter().copied());
        assert_eq!(Options::try_parse_from(all).is_ok(), accepted, "{arguments:?}");
    }

    #[test]
    fn counts_and_times_are_bounded() {
        check(&[], true);
        check(&["--seconds", "10", "--rate", "100000", "--distribution", "one-hot"], true);
        check(&["--seconds", "10", "--events", "5"], false);
        check(&["--events", "0"], false);
        check(&["--events", "1000000001"], false);
        check(&["--batch", "10001"], false);
        check(&["--wallets", "10000001"], false);
        check(&["--duplicates", "1.5"], false);
        check(&["--duplicates", "NaN"], false);
        check(&["--seconds", "86401"], false);
    }
}
