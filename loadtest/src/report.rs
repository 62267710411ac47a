//! What a run found, for people and for programs: figures never stand without their parameters and machine.

use crate::baseline::Syncs;
use crate::books::{Faults, Tally};
use crate::client::Traffic;
use crate::encode::Format;
use crate::machine::Machine;
use crate::options::Options;
use crate::run::{Answers, Limit, Outcome};
use crate::series::Series;
use crate::stats::ServerWork;
use crate::units;
use crate::verify::Audit;
use crate::workload::Distribution;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::{self, Display};
use std::time::Duration;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether the books and the server agree. Without an audit, whether every request was answered.
    pub clean: bool,
    /// Events a second, all verdicts together.
    pub events_per_second: f64,
    /// Requests a second, those for grants and reads included.
    pub requests_per_second: f64,
    /// Time from the first request to the last answer.
    pub elapsed_seconds: f64,
    /// What the generator itself took.
    pub generator: Option<Generator>,
    /// How the events fared.
    pub tally: Tally,
    /// Grants acknowledged.
    pub grants: u64,
    /// How the events of the warm-up fared; they are in the books and in no other figure.
    pub warm_up: Option<Tally>,
    /// Of each request with events.
    pub latency_us: Percentiles,
    /// The same while the server made snapshots, and while it did not; open loop only, if it made any.
    pub snapshots: Option<BesideSnapshots>,
    /// Of each grant.
    pub grant_latency_us: Option<Percentiles>,
    /// Of each read.
    pub read_latency_us: Option<Percentiles>,
    /// How late requests started; open loop only.
    pub late_us: Option<Percentiles>,
    /// Requests that an open loop owed at its end.
    pub missed_requests: u64,
    /// What passed while events were sent.
    pub traffic: Traffic,
    /// What the server did meanwhile, by its own counters.
    pub server: Option<ServerWork>,
    /// What the disk alone takes.
    pub baseline: Option<Baseline>,
    /// Answers other than foreseen.
    pub faults: Faults,
    /// Connections that gave up.
    pub failures: Faults,
    /// What the wallets said, unless they could not be read or there are none.
    pub audit: Option<Audit>,
    /// How long the set-up took.
    pub setup_seconds: Option<f64>,
    /// How long the audit took.
    pub audit_seconds: Option<f64>,
    /// What was asked for.
    pub parameters: Parameters,
    /// Where it ran.
    pub machine: Machine,
    /// Which version the server says that it is.
    pub server_version: Option<String>,
    /// Latency of requests with events by percentile.
    pub latency_curve: Vec<Point>,
    /// Throughput and latency over time.
    pub time_slices: Vec<TimeSlice>,
}

/// What the generator itself took: on the same machine, the server went without it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Generator {
    /// Processor time for each event, in nanoseconds, the kernel's work for the connections included.
    pub cpu_ns_per_event: f64,
    /// The same for each request.
    pub cpu_ns_per_request: f64,
    /// The part of it outside the kernel.
    pub user_ns_per_request: f64,
}

/// Requests with events, told apart by whether the server was making a snapshot when they were answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BesideSnapshots {
    /// It was.
    pub during_us: Percentiles,
    /// It was not.
    pub without_us: Percentiles,
    /// The p99 of those by that of these.
    pub p99_ratio: f64,
}

impl BesideSnapshots {
    fn of(all: &Histogram<u64>, during: &Histogram<u64>) -> Option<Self> {
        let mut without = all.clone();
        without.subtract(during).ok()?;
        if during.is_empty() || without.is_empty() {
            return None;
        }
        let (during_us, without_us) = (Percentiles::of(during), Percentiles::of(&without));
        Some(BesideSnapshots { during_us, without_us, p99_ratio: ratio(during_us.p99, without_us.p99) })
    }
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
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: us(histogram.max()),
            count: histogram.len(),
        }
    }
}

/// A run in which nothing was answered has a report too.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of an hour stay far below 2^53")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

impl Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { p50, p90, p99, p999, max, count } = self;
        write!(f, "p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0}  max {max:.0} us  ({count} requests)")
    }
}

/// A point of the latency curve.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Point {
    /// This part of the requests...
    pub quantile: f64,
    /// ...took at most so many microseconds.
    pub us: f64,
}

impl Point {
    /// How many nines the quantile has: 0.99 has two.
    pub fn nines(&self) -> f64 {
        -(1.0 - self.quantile).log10()
    }

    /// The curve of a histogram, as far out as it has requests: the last point is about the slowest one.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn curve(histogram: &Histogram<u64>) -> Vec<Point> {
        let nines_max = (histogram.len() as f64).max(2.0).log10();
        let nines = (0..).map(|step| f64::from(step) / 20.0).take_while(|nines| *nines < nines_max);
        let point = |nines: f64| {
            let quantile = 1.0 - 10_f64.powf(-nines);
            Point { quantile, us: us(histogram.value_at_quantile(quantile)) }
        };
        nines.chain([nines_max]).map(point).collect()
    }
}

/// An interval of the measured phase.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TimeSlice {
    /// When it begins.
    pub start_seconds: f64,
    /// How long it is.
    pub seconds: f64,
    /// Events answered in it, a second.
    pub events_per_second: f64,
    /// Requests with events answered in it.
    pub requests: u64,
    /// Half of them took at most this, within an eighth.
    pub p50_us: f64,
    /// 99 of 100, within an eighth.
    pub p99_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl TimeSlice {
    /// The instant that stands for it.
    pub fn middle(&self) -> f64 {
        self.start_seconds + self.seconds / 2.0
    }

    /// The last interval ends with the run.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn all(series: &Series, elapsed_seconds: f64) -> Vec<TimeSlice> {
        let width = series.width().as_secs_f64();
        let slice = |(index, interval): (usize, &crate::series::Interval)| {
            let start_seconds = index as f64 * width;
            let seconds = width.min((elapsed_seconds - start_seconds).max(1e-6));
            TimeSlice {
                start_seconds,
                seconds,
                events_per_second: interval.events as f64 / seconds,
                requests: interval.requests,
                p50_us: us(interval.quantile(0.5)),
                p99_us: us(interval.quantile(0.99)),
                max_us: us(interval.max_ns),
            }
        };
        series.intervals().iter().enumerate().map(slice).collect()
    }
}

/// What the disk alone takes, and how much longer requests took.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// The directory's file system and its device.
    pub filesystem: Option<String>,
    /// Measured before the run.
    pub before: Syncs,
    /// And after it.
    pub after: Syncs,
    /// The requests' p50 by the mean of both p50.
    pub p50_ratio: f64,
    /// The requests' p99 by the mean of both p99.
    pub p99_ratio: f64,
}

impl Baseline {
    fn of(filesystem: Option<String>, before: Syncs, after: Syncs, latency: &Percentiles) -> Self {
        let ratio = |latency: f64, before: f64, after: f64| latency / f64::midpoint(before, after);
        Baseline {
            filesystem,
            before,
            after,
            p50_ratio: ratio(latency.p50, before.p50_us, after.p50_us),
            p99_ratio: ratio(latency.p99, before.p99_us, after.p99_us),
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "they are the command line's")]
pub struct Parameters {
    pub wallets: u32,
    pub batch: u32,
    pub single: bool,
    pub connections: u32,
    pub threads: u32,
    pub format: Format,
    pub events: Option<u64>,
    pub seconds: Option<u32>,
    pub warmup: Option<String>,
    pub prepare: bool,
    pub rate: Option<u64>,
    pub distribution: Distribution,
    pub duplicates: f64,
    pub rejections: f64,
    pub grants: f64,
    pub reads: f64,
    pub seed: u64,
    pub answers: Answers,
    pub debug_build: bool,
}

impl Parameters {
    /// Those of a command line.
    pub fn of(options: &Options) -> Self {
        let plan = options.plan();
        Parameters {
            wallets: options.wallets,
            batch: options.batch,
            single: plan.single,
            connections: options.connections,
            threads: options.threads,
            format: options.format,
            events: match plan.limit {
                Limit::Events(events) => Some(events),
                Limit::Time(_) => None,
            },
            seconds: options.seconds,
            warmup: options.warmup.map(|limit| match limit {
                Limit::Events(events) => format!("{events} events"),
                Limit::Time(time) => format!("{} s", time.as_secs()),
            }),
            prepare: options.prepare,
            rate: options.rate,
            distribution: options.distribution,
            duplicates: options.duplicates,
            rejections: options.rejections,
            grants: options.grants,
            reads: options.reads,
            seed: options.seed,
            answers: plan.answers,
            debug_build: cfg!(debug_assertions),
        }
    }
}

/// What a report is made of.
#[derive(Debug)]
pub struct Findings {
    /// The warm-up, if there was one.
    pub warm_up: Option<Outcome>,
    /// The measured phase.
    pub measured: Outcome,
    /// What the server did in it.
    pub server: Option<ServerWork>,
    /// Which version the server says that it is.
    pub server_version: Option<String>,
    /// The file system that was written to, and what writes took before and after.
    pub baseline: Option<(Option<String>, Syncs, Syncs)>,
    /// What the wallets said, if they were read.
    pub audit: Option<Audit>,
    /// How long set-up and audit took.
    pub setup_and_audit: Option<(Duration, Duration)>,
}

impl Report {
    /// Draws the sum of a run.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn new(findings: Findings, parameters: Parameters, machine: Machine) -> Self {
        let Findings { warm_up, measured: outcome, server, server_version, baseline, audit, setup_and_audit } =
            findings;
        let elapsed_seconds = outcome.elapsed.as_secs_f64();
        let (mut faults, mut failures) = (outcome.faults, outcome.failures);
        let warm_up = warm_up.map(|warm_up| {
            faults.add(warm_up.faults);
            failures.add(warm_up.failures);
            warm_up.tally
        });
        let agrees = match &audit {
            Some(audit) => audit.is_clean(),
            None => parameters.answers == Answers::Empty,
        };
        let per = |time: Duration, count: u64| ratio(time.as_nanos() as f64, count as f64);
        let per_second = |count: u64| ratio(count as f64, elapsed_seconds);
        let generator = outcome.cpu.map(|cpu| Generator {
            cpu_ns_per_event: per(cpu.total, outcome.tally.events()),
            cpu_ns_per_request: per(cpu.total, outcome.traffic.requests),
            user_ns_per_request: per(cpu.user, outcome.traffic.requests),
        });
        let any = |histogram: &Histogram<u64>| (!histogram.is_empty()).then(|| Percentiles::of(histogram));
        let latency_us = Percentiles::of(&outcome.latency);
        Report {
            clean: agrees && faults.count == 0 && failures.count == 0,
            events_per_second: per_second(outcome.tally.events()),
            requests_per_second: per_second(outcome.traffic.requests),
            elapsed_seconds,
            generator,
            tally: outcome.tally,
            grants: outcome.grants,
            warm_up,
            latency_us,
            snapshots: BesideSnapshots::of(&outcome.latency, &outcome.snapshot_latency),
            grant_latency_us: any(&outcome.grant_latency),
            read_latency_us: any(&outcome.read_latency),
            late_us: any(&outcome.late),
            missed_requests: outcome.missed,
            traffic: outcome.traffic,
            server,
            baseline: baseline.map(|(filesystem, before, after)| Baseline::of(filesystem, before, after, &latency_us)),
            faults,
            failures,
            audit,
            setup_seconds: setup_and_audit.map(|(setup, _)| setup.as_secs_f64()),
            audit_seconds: setup_and_audit.map(|(_, audit)| audit.as_secs_f64()),
            parameters,
            machine,
            server_version,
            latency_curve: Point::curve(&outcome.latency),
            time_slices: TimeSlice::all(&outcome.series, elapsed_seconds),
        }
    }

    /// What was asked for, in one line.
    pub fn run_line(&self) -> String {
        let p = &self.parameters;
        let mut parts = vec![
            p.rate.map_or_else(|| "closed loop".to_owned(), |rate| format!("open loop at {rate}/s")),
            match (p.batch, p.single) {
                (1, true) => format!("{:?}, single events", p.format),
                (batch, _) => format!("{:?}, batches of {batch}", p.format),
            },
            format!("{} connections", p.connections),
        ];
        if p.threads > 1 {
            parts.push(format!("{} threads", p.threads));
        }
        parts.push(format!("{} wallets, {:?}", p.wallets, p.distribution));
        for (part, name) in
            [(p.duplicates, "duplicates"), (p.rejections, "rejections"), (p.grants, "grants"), (p.reads, "reads")]
        {
            if part > 0.0 {
                parts.push(format!("{name} {part}"));
            }
        }
        parts.push(format!("seed {}", p.seed));
        parts.push(format!("{:?} answers", p.answers).to_lowercase());
        parts.extend(p.warmup.as_ref().map(|warmup| format!("warm-up {warmup}")));
        if p.prepare {
            parts.push("prepared".to_owned());
        }
        if p.debug_build {
            parts.push("A DEBUG BUILD of the generator".to_owned());
        }
        parts.join(", ")
    }

    /// Where it ran, in one line.
    pub fn machine_line(&self) -> String {
        let m = &self.machine;
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        let number = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        let code = match (&m.commit, &self.server_version) {
            (Some(commit), _) => format!("commit {commit}"),
            (None, Some(version)) => format!("server {version}"),
            (None, None) => "commit unknown".to_owned(),
        };
        format!(
            "{}, {} cores, {} MiB, Linux {}, {}; load {} before, {} after; {code}",
            known(&m.cpu),
            number(m.cores.map(|cores| cores as u64)),
            number(m.memory_mib),
            known(&m.kernel),
            known(&m.filesystem),
            known(&m.load_before),
            known(&m.load_after),
        )
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { applied, duplicate, rejected } = self.tally;
        let (rate, seconds) = (self.events_per_second, self.elapsed_seconds);
        writeln!(f, "events     {rate:.0}/s ({} in {seconds:.2} s)", self.tally.events())?;
        writeln!(f, "           {applied} applied, {duplicate} duplicate, {rejected} rejected")?;
        if let Some(warm_up) = &self.warm_up {
            writeln!(f, "warm-up    {} events before, in the books only", warm_up.events())?;
        }
        self.latencies(f)?;
        let Traffic { requests, retries, body_bytes_sent, body_bytes_received } = self.traffic;
        let rate = self.requests_per_second;
        writeln!(
            f,
            "traffic    {requests} requests, {rate:.0}/s, {retries} retries, {body_bytes_sent} body bytes out, {body_bytes_received} in"
        )?;
        if let Some(generator) = &self.generator {
            writeln!(f, "generator  {generator}")?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "server     {server}")?;
            if server.applied != applied {
                let counted = server.applied;
                write!(f, "           these counters speak of {counted} applied events, the answers of {applied}: ")?;
                writeln!(f, "others use the server, it was started anew, or a request was sent twice")?;
            }
        }
        if let Some(baseline) = &self.baseline {
            writeln!(f, "{baseline}")?;
        }
        writeln!(f, "run        {}", self.run_line())?;
        writeln!(f, "machine    {}", self.machine_line())?;
        self.verdict(f)
    }
}

impl Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (request, user) = (self.cpu_ns_per_request / 1000.0, self.user_ns_per_request / 1000.0);
        write!(f, "{:.0} ns of processor time an event, {request:.2} us a request", self.cpu_ns_per_event)?;
        write!(f, " ({user:.2} of them outside the kernel)")
    }
}

impl Display for ServerWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerWork { batches, log_bytes, syncs, .. } = self;
        write!(f, "{batches} batches, {syncs} syncs, {log_bytes} log bytes")?;
        for (figure, what) in [
            (self.log_bytes_per_event, "log bytes an applied event"),
            (self.events_per_sync, "applied events a sync"),
            (self.batches_per_sync, "batches a sync"),
        ] {
            if let Some(figure) = figure {
                write!(f, ", {figure:.1} {what}")?;
            }
        }
        match (self.sync_us_mean, self.sync_us_last) {
            (Some(mean), _) => write!(f, ", {mean:.0} us a sync"),
            (None, Some(last)) => write!(f, ", {last} us the last sync"),
            (None, None) => Ok(()),
        }
    }
}

impl Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filesystem = self.filesystem.as_deref().unwrap_or("an unknown file system");
        writeln!(f, "disk       4 KiB write and fdatasync on {filesystem}:")?;
        for (when, syncs) in [("before", &self.before), ("after", &self.after)] {
            let Syncs { count, p50_us, p99_us } = syncs;
            writeln!(f, "           p50 {p50_us:.0}  p99 {p99_us:.0} us {when} ({count} writes)")?;
        }
        write!(f, "           a request's p50 is {:.2} of that, its p99 {:.2}", self.p50_ratio, self.p99_ratio)
    }
}

impl Report {
    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.parameters.rate.is_some();
        let from = if is_open { "from when a request should have started" } else { "of a request" };
        writeln!(f, "latency    {}, {from}", self.latency_us)?;
        if let Some(BesideSnapshots { during_us, without_us, p99_ratio }) = &self.snapshots {
            writeln!(f, "  beside snapshots    {during_us}")?;
            writeln!(f, "  without             {without_us}; p99 is {p99_ratio:.2} of it beside snapshots")?;
        }
        if let Some(grants) = &self.grant_latency_us {
            writeln!(f, "  grants   {grants}")?;
        }
        if let Some(reads) = &self.read_latency_us {
            writeln!(f, "  reads    {reads}")?;
        }
        if let Some(late) = &self.late_us {
            writeln!(f, "started    {late} after that; {} requests were never sent", self.missed_requests)?;
        }
        Ok(())
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
                writeln!(
                    f,
                    "verify     {} of {} wallets read: they hold {held}, the books say {booked}",
                    audit.wallets_read, audit.wallets
                )?;
                let (total, booked) = (units::text(audit.total_units), units::text(audit.total_booked_units));
                writeln!(
                    f,
                    "           all wallets together gained {total} by the server's totals, the books say {booked}"
                )?;
            }
            None if self.parameters.answers == Answers::Empty => writeln!(f, "verify     nothing, by --empty")?,
            None => writeln!(f, "verify     the wallets could not be read")?,
        }
        if let (Some(setup), Some(audit)) = (self.setup_seconds, self.audit_seconds) {
            writeln!(f, "           the set-up took {setup:.1} s, the verification {audit:.1} s")?;
        }
        write!(f, "verdict    {}", if self.clean { "clean" } else { "NOT CLEAN" })
    }
}
