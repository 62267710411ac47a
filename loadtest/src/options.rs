//! The command line.

use crate::encode::Format;
use crate::run::{Answers, Limit, Plan};
use crate::workload::{Distribution, EVENTS_MAX, Shape};
use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::path::PathBuf;
use std::time::Duration;

/// Sends usage events to a drawdown server as a customer would, and audits the wallets afterwards.
///
/// Exit code 0: the books and the server agree; 1: they do not, or a request went unanswered; 2: the run could not be made.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(version, args_override_self = true)]
pub struct Options {
    /// Where the server is
    #[arg(long, default_value = "http://127.0.0.1:8080", help_heading = "Server")]
    pub url: String,
    /// API key with the scopes usage, read, grants and admin
    #[arg(long, env = "LOADTEST_KEY", hide_env_values = true, help_heading = "Server")]
    pub key: Option<String>,
    /// Allow addresses other than this machine's
    #[arg(long, help_heading = "Server")]
    pub allow_remote: bool,
    /// Seconds that one try of a request may take
    #[arg(long, default_value = "10", value_parser = ranged(1, 600), help_heading = "Server")]
    pub timeout: u32,
    /// Take any 200 for an answer: no set-up, no counters, no audit. For servers that only answer, to compare with
    #[arg(long, conflicts_with_all = ["rate", "grants", "reads", "full_answers"], help_heading = "Server")]
    pub empty: bool,

    /// Wallets to set up
    #[arg(long, default_value = "10000", value_parser = ranged(1, 10_000_000), help_heading = "Workload")]
    pub wallets: u32,
    /// Which wallets are debited
    #[arg(long, value_enum, default_value = "zipf", help_heading = "Workload")]
    pub distribution: Distribution,
    /// Part of the events that repeats an earlier one
    #[arg(long, default_value = "0.01", value_parser = part, help_heading = "Workload")]
    pub duplicates: f64,
    /// Part of the events that asks for more than the wallet has
    #[arg(long, default_value = "0", value_parser = part, help_heading = "Workload")]
    pub rejections: f64,
    /// Part of the requests that grants credits instead of sending events
    #[arg(long, default_value = "0", value_parser = small_part, help_heading = "Workload")]
    pub grants: f64,
    /// Part of the requests that reads a wallet instead of sending events
    #[arg(long, default_value = "0", value_parser = small_part, help_heading = "Workload")]
    pub reads: f64,
    /// Repeats the same requests
    #[arg(long, default_value = "1", help_heading = "Workload")]
    pub seed: u64,

    /// Form of the events
    #[arg(long, value_enum, default_value = "msgpack", help_heading = "Requests")]
    pub format: Format,
    /// Events in one request; one alone goes without a list around it in json and cloudevents
    #[arg(long, default_value = "1000", value_parser = ranged(1, 10_000), help_heading = "Requests")]
    pub batch: u32,
    /// With --batch 1, send a list of one
    #[arg(long, help_heading = "Requests")]
    pub list: bool,
    /// Ask for a result for every event, not only for those that were not applied
    #[arg(long, help_heading = "Requests")]
    pub full_answers: bool,
    /// Connections, each with one request under way
    #[arg(long, default_value = "2", value_parser = ranged(1, 1024), help_heading = "Requests")]
    pub connections: u32,
    /// Threads of the generator; one leaves the most to a server on the same machine
    #[arg(long, default_value = "1", value_parser = ranged(1, 64), help_heading = "Requests")]
    pub threads: u32,

    /// Events to send [default: 1000000, unless --seconds is given]
    #[arg(long, conflicts_with = "seconds", value_parser = count(), help_heading = "Length and rate")]
    pub events: Option<u64>,
    /// Time to send for
    #[arg(long, value_parser = ranged(1, 86_400), help_heading = "Length and rate")]
    pub seconds: Option<u32>,
    /// Send first, as so many events (100000) or for so many seconds (5s): in the books, and in no figure
    #[arg(long, value_name = "EVENTS|TIME", value_parser = limit, help_heading = "Length and rate")]
    pub warmup: Option<Limit>,
    /// Events a second: an open loop, with latency from when a request should have started
    #[arg(long, value_parser = count(), help_heading = "Length and rate")]
    pub rate: Option<u64>,
    /// Make all requests before the first is sent; needs a run that ends by --events
    #[arg(long, conflicts_with = "seconds", help_heading = "Length and rate")]
    pub prepare: bool,

    /// Read every wallet afterwards, not only those that a request named
    #[arg(long, help_heading = "Audit and report")]
    pub verify_all: bool,
    /// Measure small synced writes in this directory before and after the run, to compare latencies with
    #[arg(long, value_name = "DIR", help_heading = "Audit and report")]
    pub baseline_sync: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Audit and report")]
    pub report: Option<PathBuf>,
    /// Write plots as SVG: latency by percentile, throughput and latency over time
    #[arg(long, value_name = "FILE", help_heading = "Audit and report")]
    pub plot: Option<PathBuf>,
}

fn ranged(least: u64, most: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(least..=most)
}

fn count() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=EVENTS_MAX)
}

/// Reads a part of a whole.
fn part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

/// Reads a part that leaves room for others.
fn small_part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=0.45).contains(&part) => Ok(part),
        _ => Err("must be a number from 0 to 0.45: most requests carry events".to_owned()),
    }
}

/// Reads a number of events, or of seconds with an `s` behind it.
fn limit(text: &str) -> Result<Limit, String> {
    let wrong = || format!("must be events (1 to {EVENTS_MAX}) or seconds (1s to 86400s)");
    let (digits, is_time) = text.strip_suffix('s').map_or((text, false), |digits| (digits, true));
    match (digits.parse().map_err(|_| wrong())?, is_time) {
        (seconds @ 1..=86_400, true) => Ok(Limit::Time(Duration::from_secs(seconds))),
        (events @ 1..=EVENTS_MAX, false) => Ok(Limit::Events(events)),
        _ => Err(wrong()),
    }
}

/// Events of a run that says neither a number nor a time.
const EVENTS_DEFAULT: u64 = 1_000_000;

impl Options {
    /// Reads the process's command line, and ends the process if it is wrong.
    pub fn of_process() -> Self {
        let options = Self::parse();
        if let Err(message) = options.check() {
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        options
    }

    /// What no single argument can tell.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.list && self.batch != 1 {
            return Err("--list goes with --batch 1: larger batches are lists anyway");
        }
        if self.prepare && matches!(self.warmup, Some(Limit::Time(_))) {
            return Err("--prepare needs a --warmup in events");
        }
        Ok(())
    }

    /// What to send.
    pub fn plan(&self) -> Plan {
        let shape = Shape {
            wallets: self.wallets,
            distribution: self.distribution,
            duplicates: self.duplicates,
            rejections: self.rejections,
            grants: self.grants,
            reads: self.reads,
            seed: self.seed,
        };
        let limit = match self.seconds {
            Some(seconds) => Limit::Time(Duration::from_secs(u64::from(seconds))),
            None => Limit::Events(self.events.unwrap_or(EVENTS_DEFAULT)),
        };
        let answers = match (self.empty, self.full_answers) {
            (true, _) => Answers::Empty,
            (false, true) => Answers::Full,
            (false, false) => Answers::Minimal,
        };
        Plan {
            shape,
            format: self.format,
            single: self.batch == 1 && !self.list && self.format.has_single(),
            batch: self.batch,
            connections: self.connections,
            threads: self.threads,
            warm_up: self.warmup,
            limit,
            rate: self.rate,
            answers,
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

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[track_caller]
    fn check(arguments: &[&str], accepted: bool) {
        let all = std::iter::once("loadtest").chain(arguments.iter().copied());
        let read = Options::try_parse_from(all);
        assert_eq!(read.is_ok_and(|options| options.check().is_ok()), accepted, "{arguments:?}");
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
        check(&["--grants", "0.45", "--reads", "0.45"], true);
        check(&["--grants", "0.5"], false);
        check(&["--seconds", "86401"], false);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        check(&["--batch", "1", "--list"], true);
        check(&["--list"], false);
        check(&["--prepare", "--events", "1000", "--warmup", "1000"], true);
        check(&["--prepare", "--warmup", "1s"], false);
        check(&["--prepare", "--seconds", "1"], false);
        check(&["--empty", "--reads", "0.1"], false);
    }

    #[test]
    fn a_warm_up_is_events_or_seconds() {
        assert_eq!(limit("5s"), Ok(Limit::Time(Duration::from_secs(5))));
        assert_eq!(limit("100000"), Ok(Limit::Events(100_000)));
        for wrong in ["", "s", "0", "0s", "-1", "5m", "1.5s", "86401s", "1000000001"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
