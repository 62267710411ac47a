//! The run itself: each connection sends its batches one after the other and settles the answers.
//!
//! Closed loop: the next request starts when the last was answered, and latency is the request's own. Open loop: requests start at
//! instants fixed beforehand, and latency counts from that instant, so that a stall of the server is charged for every request that it
//! held up (no coordinated omission). A request waits for its connection's earlier ones; how late requests started is reported beside the
//! latency, for it also holds what the generator itself adds: its timer wakes up to a millisecond late.
//!
//! Batches are made between requests, on the same cores: the rate of a closed loop includes that work, as a customer's would.

use crate::books::{Answer, Books, Faults, Status, Tally};
use crate::client::{Call, CallError, Client, Reply, Target, Traffic};
use crate::encode::{Encoder, Format, Names};
use crate::workload::{EVENTS_MAX, Event, Shape, Workload};
use hdrhistogram::Histogram;
use hyper::header::HeaderValue;
use indicatif::ProgressBar;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The longest latency that is told apart, in nanoseconds; a retried request stays below it.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After this many events.
    Events(u64),
    /// After this time.
    Time(Duration),
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The streams.
    pub shape: Shape,
    /// Their form.
    pub format: Format,
    /// Events in one request.
    pub batch: u32,
    /// Requests at once.
    pub connections: u32,
    /// The end.
    pub limit: Limit,
    /// Events a second in an open loop; `None` is a closed loop.
    pub rate: Option<u64>,
    /// Whether answers list applied events too.
    pub full_answers: bool,
}

/// What happened.
#[derive(Debug)]
pub struct Outcome {
    /// From the first request's start to the last answer.
    pub elapsed: Duration,
    /// How the events fared.
    pub tally: Tally,
    /// What passed.
    pub traffic: Traffic,
    /// Of each request, in nanoseconds.
    pub latency: Histogram<u64>,
    /// How late requests started in an open loop, in nanoseconds.
    pub late: Histogram<u64>,
    /// Requests that an open loop owed when it ended.
    pub missed: u64,
    /// Answers other than foreseen.
    pub faults: Faults,
    /// Connections that gave up; what became of their last batch is unknown.
    pub failures: Faults,
}

impl Outcome {
    fn new() -> Self {
        Outcome {
            elapsed: Duration::ZERO,
            tally: Tally::default(),
            traffic: Traffic::default(),
            latency: histogram(),
            late: histogram(),
            missed: 0,
            faults: Faults::default(),
            failures: Faults::default(),
        }
    }

    fn add(&mut self, other: Outcome) {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.tally.add(other.tally);
        self.traffic.add(other.traffic);
        self.latency.add(&other.latency).expect("the histograms have the same bounds");
        self.late.add(&other.late).expect("the histograms have the same bounds");
        self.missed += other.missed;
        self.faults.add(other.faults);
        self.failures.add(other.failures);
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3).expect("the bounds are right")
}

/// Runs a plan. All connections are open before the first event is sent.
pub async fn run(
    target: &Arc<Target>,
    plan: Plan,
    names: &Names,
    books: &Arc<Books>,
    bar: &ProgressBar,
) -> Result<Outcome, CallError> {
    let mut clients = Vec::new();
    for _ in 0..plan.connections {
        let mut client = Client::new(Arc::clone(target));
        client.connect().await?;
        clients.push(client);
    }
    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for (connection, client) in (0..).zip(clients) {
        let worker = Worker {
            client,
            plan,
            workload: Workload::new(plan.shape, connection),
            encoder: Encoder::new(plan.format, names.clone(), connection),
            schedule: Schedule::new(&plan, connection, begin, target.timeout()),
            books: Arc::clone(books),
            bar: bar.clone(),
            statuses: Vec::new(),
            outcome: Outcome::new(),
        };
        workers.spawn(worker.work(begin));
    }
    let mut all = Outcome::new();
    while let Some(outcome) = workers.join_next().await {
        all.add(outcome.expect("a worker does not panic"));
    }
    bar.finish_and_clear();
    Ok(all)
}

/// When a connection sends its requests, and how large they are.
#[derive(Debug)]
struct Schedule {
    batch: u64,
    events_left: u64,
    end: Option<Instant>,
    /// In an open loop, when the next request is due, and the time between two.
    due: Option<(Instant, Duration)>,
    /// After this instant an open loop gives up what it owes.
    give_up: Option<Instant>,
}

impl Schedule {
    fn new(plan: &Plan, connection: u32, begin: Instant, grace: Duration) -> Self {
        let connections = u64::from(plan.connections);
        let share = |events: u64| events / connections + u64::from(u64::from(connection) < events % connections);
        let (events_left, end) = match plan.limit {
            Limit::Events(events) => (share(events), None),
            Limit::Time(time) => (share(EVENTS_MAX), Some(begin + time)),
        };
        let spacing = |rate| seconds(u64::from(plan.batch), rate);
        let due = plan.rate.map(|rate| (begin + spacing(rate) * connection, spacing(rate) * plan.connections));
        let planned = |rate| match plan.limit {
            Limit::Events(events) => seconds(events, rate),
            Limit::Time(time) => time,
        };
        let give_up = plan.rate.map(|rate| begin + planned(rate) + grace);
        Schedule { batch: u64::from(plan.batch), events_left, end, due, give_up }
    }

    /// The next request's events and, in an open loop, its instant; `None` at the end.
    fn next(&mut self) -> Option<(usize, Option<Instant>)> {
        let count = self.events_left.min(self.batch);
        let starts = self.due.map_or_else(Instant::now, |(due, _)| due);
        if count == 0 || self.end.is_some_and(|end| starts >= end) {
            return None;
        }
        self.events_left -= count;
        let due = self.due.as_mut().map(|(due, spacing)| {
            let this = *due;
            *due += *spacing;
            this
        });
        Some((count as usize, due))
    }

    /// Whether what is owed is given up.
    fn is_over(&self) -> bool {
        self.give_up.is_some_and(|give_up| Instant::now() > give_up)
    }

    /// Requests still owed.
    fn owed(mut self) -> u64 {
        std::iter::from_fn(|| self.next()).count() as u64
    }
}

/// The time that so many events take at a rate.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn seconds(events: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(events as f64 / rate as f64)
}

/// One connection at work.
struct Worker {
    client: Client,
    plan: Plan,
    workload: Workload,
    encoder: Encoder,
    schedule: Schedule,
    books: Arc<Books>,
    bar: ProgressBar,
    statuses: Vec<Status>,
    outcome: Outcome,
}

impl Worker {
    async fn work(mut self, begin: Instant) -> Outcome {
        let mut batch = Vec::new();
        while let Some((count, due)) = self.schedule.next() {
            if self.schedule.is_over() {
                self.outcome.missed = 1 + self.schedule.owed();
                break;
            }
            self.workload.fill(&mut batch, count);
            if let Err(error) = self.request(&batch, due).await {
                self.outcome.failures.note(|| error.to_string());
                break;
            }
            self.bar.inc(count as u64);
        }
        self.outcome.elapsed = begin.elapsed();
        self.outcome.traffic = self.client.traffic();
        self.outcome
    }

    /// Sends a batch, when it is due, and settles its answer.
    async fn request(&mut self, batch: &[Event], due: Option<Instant>) -> Result<(), CallError> {
        let mut call = Call::post("/v1/events".to_owned(), self.plan.format.content_type(), self.encoder.encode(batch));
        if !self.plan.full_answers {
            call = call.header("prefer", HeaderValue::from_static("return=minimal"));
        }
        if let Some(due) = due {
            sleep_until(due).await;
            self.outcome.late.saturating_record(nanos(due.elapsed()));
        }
        let started = due.unwrap_or_else(Instant::now);
        let reply = self.client.send(&call).await?;
        self.outcome.latency.saturating_record(nanos(started.elapsed()));
        self.settle(batch, &reply)
    }

    fn settle(&mut self, batch: &[Event], reply: &Reply) -> Result<(), CallError> {
        let what = "POST /v1/events";
        let answer: Answer<'_> = serde_json::from_slice(reply.success(what)?)
            .map_err(|source| CallError::Unreadable { what: what.to_owned(), source })?;
        let faults = &mut self.outcome.faults;
        let tally = self.books.settle(batch, &answer, reply.retried, &mut self.statuses, faults);
        self.outcome.tally.add(tally);
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Distribution;

    const PLAN: Plan = Plan {
        shape: Shape { wallets: 1, distribution: Distribution::Uniform, duplicates: 0.0, rejections: 0.0, seed: 1 },
        format: Format::Json,
        batch: 10,
        connections: 3,
        limit: Limit::Events(100),
        rate: None,
        full_answers: false,
    };

    fn schedules(plan: &Plan, begin: Instant) -> Vec<Schedule> {
        (0..plan.connections).map(|connection| Schedule::new(plan, connection, begin, Duration::ZERO)).collect()
    }

    #[test]
    fn the_connections_share_all_events() {
        let mut counts = Vec::new();
        for mut schedule in schedules(&PLAN, Instant::now()) {
            counts.push(std::iter::from_fn(|| schedule.next()).map(|(count, _)| count).sum::<usize>());
        }
        assert_eq!(counts, [34, 33, 33]);
    }

    #[test]
    fn an_open_loop_spreads_requests_evenly_over_the_connections() {
        let begin = Instant::now();
        let plan = Plan { rate: Some(1000), limit: Limit::Time(Duration::from_millis(60)), ..PLAN };
        let mut due: Vec<u128> = schedules(&plan, begin)
            .into_iter()
            .flat_map(|mut schedule| std::iter::from_fn(move || schedule.next()))
            .map(|(_, due)| due.expect("an open loop").duration_since(begin).as_millis())
            .collect();
        due.sort_unstable();
        assert_eq!(due, [0, 10, 20, 30, 40, 50]);
    }

    #[test]
    fn an_open_loop_gives_up_what_it_owes() {
        let begin = Instant::now().checked_sub(Duration::from_secs(2)).expect("the machine runs longer");
        let plan = Plan { rate: Some(1000), connections: 1, limit: Limit::Time(Duration::from_secs(1)), ..PLAN };
        let mut schedule = Schedule::new(&plan, 0, begin, Duration::ZERO);
        schedule.next();
        assert!(schedule.is_over());
        assert_eq!(schedule.owed(), 99);
    }
}
