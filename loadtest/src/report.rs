//! What a run found, for people and for programs: figures never stand without their parameters and machine.

use crate::books::{Faults, Tally};
use crate::client::Traffic;
use crate::encode::Format;
use crate::options::Options;
use crate::run::Outcome;
use crate::units;
use crate::verify::Audit;
use crate::workload::Distribution;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::{self, Display};
use std::process::Command;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether the books and the server agree.
    pub clean: bool,
    /// Events a second, all verdicts together.
    pub events_per_second: f64,
    /// Time from the first request to the last answer.
    pub elapsed_seconds: f64,
    /// How the events fared.
    pub tally: Tally,
    /// Of each request.
    pub latency_us: Percentiles,
    /// How late requests started; open loop only.
    pub late_us: Option<Percentiles>,
    /// Requests that an open loop owed at its end.
    pub missed_requests: u64,
    /// What passed while events were sent.
    pub traffic: Traffic,
    /// Answers other than foreseen.
    pub faults: Faults,
    /// Connections that gave up.
    pub failures: Faults,
    /// What the wallets said, unless they could not be read.
    pub audit: Option<Audit>,
    /// What was asked for.
    pub parameters: Parameters,
    /// Where it ran.
    pub machine: Machine,
}

/// Points of a histogram, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// All.
    pub max: f64,
    /// How many there are: a p99.9 of a hundred is a maximum.
    pub count: u64,
}

impl Percentiles {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of an hour stay far below 2^53")]
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1000.0,
            count: histogram.len(),
        }
    }
}

impl Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p90, p99, p999, max, count } = self;
        write!(f, "p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0}  max {max:.0} us  ({count} requests)")
    }
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "they are the command line's")]
pub struct Parameters {
    pub wallets: u32,
    pub batch: u32,
    pub connections: u32,
    pub threads: u32,
    pub format: Format,
    pub events: Option<u64>,
    pub seconds: Option<u32>,
    pub rate: Option<u64>,
    pub distribution: Distribution,
    pub duplicates: f64,
    pub rejections: f64,
    pub seed: u64,
    pub full_answers: bool,
    pub debug_build: bool,
}

impl Parameters {
    /// Those of a command line.
    pub fn of(options: &Options) -> Self {
        Parameters {
            wallets: options.wallets,
            batch: options.batch,
            connections: options.connections,
            threads: options.threads,
            format: options.format,
            events: options.events,
            seconds: options.seconds,
            rate: options.rate,
            distribution: options.distribution,
            duplicates: options.duplicates,
            rejections: options.rejections,
            seed: options.seed,
            full_answers: options.full_answers,
            debug_build: cfg!(debug_assertions),
        }
    }
}

/// Where it ran. What the system does not tell is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: Option<usize>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// Load averages before the run: other work makes figures worse.
    pub load_before: Option<String>,
    /// And after it, this run included.
    pub load_after: Option<String>,
    /// The commit of the checkout that the generator was started in, if it is one of drawdown. Whether the server was built from it,
    /// the generator cannot know.
    pub commit: Option<String>,
}

impl Machine {
    /// Looks around; called before the run.
    pub fn look() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Machine {
            cpu,
            cores: std::thread::available_parallelism().ok().map(usize::from),
            kernel: first_line("/proc/sys/kernel/osrelease"),
            load_before: load(),
            load_after: None,
            commit: commit(),
        }
    }

    /// Notes the load after the run.
    #[must_use]
    pub fn after(self) -> Self {
        Machine { load_after: load(), ..self }
    }
}

fn first_line(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()?.lines().next().map(|line| line.trim().to_owned())
}

fn load() -> Option<String> {
    let line = first_line("/proc/loadavg")?;
    Some(line.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn commit() -> Option<String> {
    git(&["cat-file", "-e", "HEAD:loadtest/Cargo.toml"])?;
    git(&["describe", "--always", "--dirty", "--abbrev=12"])
}

/// What git prints, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

impl Report {
    /// Draws the sum of a run and its audit.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn new(outcome: Outcome, audit: Option<Audit>, parameters: Parameters, machine: Machine) -> Self {
        let elapsed_seconds = outcome.elapsed.as_secs_f64();
        let audited = audit.as_ref().is_some_and(|audit| audit.differences.count == 0);
        Report {
            clean: audited && outcome.faults.count == 0 && outcome.failures.count == 0,
            events_per_second: outcome.tally.events() as f64 / elapsed_seconds,
            elapsed_seconds,
            tally: outcome.tally,
            latency_us: Percentiles::of(&outcome.latency),
            late_us: parameters.rate.map(|_| Percentiles::of(&outcome.late)),
            missed_requests: outcome.missed,
            traffic: outcome.traffic,
            faults: outcome.faults,
            failures: outcome.failures,
            audit,
            parameters,
            machine,
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { applied, duplicate, rejected } = self.tally;
        writeln!(
            f,
            "events     {:.0}/s ({} in {:.2} s)",
            self.events_per_second,
            self.tally.events(),
            self.elapsed_seconds
        )?;
        writeln!(f, "           {applied} applied, {duplicate} duplicate, {rejected} rejected")?;
        let from =
            if self.parameters.rate.is_some() { "from when a request should have started" } else { "of a request" };
        writeln!(f, "latency    {}, {from}", self.latency_us)?;
        if let Some(late) = &self.late_us {
            writeln!(f, "started    {late} after that; {} requests were never sent", self.missed_requests)?;
        }
        let Traffic { requests, retries, body_bytes_sent, body_bytes_received } = self.traffic;
        writeln!(
            f,
            "traffic    {requests} requests, {retries} retries, {body_bytes_sent} body bytes out, {body_bytes_received} in"
        )?;
        self.parameters(f)?;
        self.machine(f)?;
        self.verdict(f)
    }
}

impl Report {
    fn parameters(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = &self.parameters;
        let loop_kind = p.rate.map_or_else(|| "closed loop".to_owned(), |rate| format!("open loop at {rate}/s"));
        write!(f, "run        {loop_kind}, {:?}, batches of {}, {} connections, ", p.format, p.batch, p.connections)?;
        write!(f, "{} wallets, {:?}, duplicates {}, ", p.wallets, p.distribution, p.duplicates)?;
        write!(
            f,
            "rejections {}, seed {}, {} answers",
            p.rejections,
            p.seed,
            if p.full_answers { "full" } else { "minimal" }
        )?;
        writeln!(f, "{}", if p.debug_build { "; A DEBUG BUILD of the generator" } else { "" })
    }

    fn machine(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.machine;
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        let cores = m.cores.map_or_else(|| "unknown".to_owned(), |cores| cores.to_string());
        write!(f, "machine    {}, {cores} cores, Linux {}, ", known(&m.cpu), known(&m.kernel))?;
        writeln!(
            f,
            "load {} before, {} after; commit {}",
            known(&m.load_before),
            known(&m.load_after),
            known(&m.commit)
        )
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, what: &str, faults: &Faults| {
            if faults.count > 0 {
                writeln!(f, "{what}: {}", faults.count)?;
            }
            faults.examples.iter().try_for_each(|example| writeln!(f, "  {example}"))
        };
        list(f, "connections that gave up", &self.failures)?;
        list(f, "answers other than foreseen", &self.faults)?;
        match &self.audit {
            Some(audit) => {
                list(f, "wallets that differ from the books", &audit.differences)?;
                let (held, booked) = (units::text(audit.held_units), units::text(audit.booked_units));
                writeln!(f, "verify     {} wallets hold {held}, the books say {booked}", audit.wallets)?;
            }
            None => writeln!(f, "verify     the wallets could not be read")?,
        }
        write!(f, "verdict    {}", if self.clean { "clean" } else { "NOT CLEAN" })
    }
}
