//! The run itself: each connection sends its requests one after the other and settles the answers.
//!
//! Closed loop: the next request starts when the last was answered, and latency is the request's own. Open loop: requests start at
//! instants fixed beforehand, and latency counts from that instant, so that a stall of the server is charged for every request that it
//! held up (no coordinated omission). A request waits for its connection's earlier ones; how late requests started is reported beside the
//! latency, for it also holds what the generator itself adds.
//!
//! A run has a warm-up, if one is asked for, and a measured phase. Events of both are in the books; between them every connection is quiet.
//!
//! Each thread has a runtime, connections and books of its own, and shares nothing on the way. Unless they are prepared, batches are made
//! between requests, on the same cores: the rate of a closed loop includes that work, as a customer's would.

use crate::books::{Answer, Books, EventResult, Faults, INSUFFICIENT, Status, Tally, says_all_applied};
use crate::client::{CallError, Client, Reply, Target, Traffic};
use crate::encode::{Format, Names};
use crate::machine::CpuTime;
use crate::pace::Pacer;
use crate::schedule::Schedule;
use crate::series::Series;
use crate::source::{Source, Work};
use crate::stats::is_making_snapshot;
use crate::units;
use crate::verify::WalletBody;
use crate::workload::{Shape, Step, Verdict};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// The longest latency that is told apart, in nanoseconds; a retried request stays below it.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// How often the progress bar moves.
const BAR_PERIOD: Duration = Duration::from_millis(100);

/// How often the server is asked whether it makes a snapshot.
const SNAPSHOT_WATCH_PERIOD: Duration = Duration::from_millis(250);

/// Bytes of prepared requests at most.
const PREPARED_BYTES_MAX: u64 = 4 << 30;

/// When a phase is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this many events.
    Events(u64),
    /// After this time.
    Time(Duration),
}

/// What answers to events are to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// A result for every event that was not applied.
    Minimal,
    /// A result for every event.
    Full,
    /// Nothing: any 200 will do, and nothing is booked.
    Empty,
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The streams.
    pub shape: Shape,
    /// Their form.
    pub format: Format,
    /// Whether events stand alone, without a list around each.
    pub single: bool,
    /// Events in one request.
    pub batch: u32,
    /// Requests at once.
    pub connections: u32,
    /// Threads that they are spread over.
    pub threads: u32,
    /// The end of the warm-up, if there is one.
    pub warm_up: Option<Limit>,
    /// The end of the measured phase.
    pub limit: Limit,
    /// Events a second in an open loop; `None` is a closed loop.
    pub rate: Option<u64>,
    /// What answers hold.
    pub answers: Answers,
}

/// Why a run cannot begin.
#[derive(Debug, Error)]
pub enum RunError {
    /// A connection cannot be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] CallError),
    /// No runtime, or no timer.
    #[error("the system gives no runtime: {0}")]
    System(#[from] io::Error),
    /// A phase that ends by time has no number of requests.
    #[error("--prepare needs a run, and a warm-up, that end by a number of events")]
    Unbounded,
    /// The requests would not fit.
    #[error("--prepare would take about {} MB for the requests, and at most {} MB are allowed", wanted >> 20, PREPARED_BYTES_MAX >> 20)]
    TooMuch {
        /// Bytes, more or less.
        wanted: u64,
    },
}

/// What happened in a phase.
#[derive(Debug)]
pub struct Outcome {
    /// From the first request's start to the last answer.
    pub elapsed: Duration,
    /// Time that the generator's threads had a core.
    pub cpu: Option<CpuTime>,
    /// How the events fared.
    pub tally: Tally,
    /// Grants acknowledged.
    pub grants: u64,
    /// What passed.
    pub traffic: Traffic,
    /// Of each request with events, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Of those requests with events that were answered while the server made a snapshot; looked at in open loops only.
    pub snapshot_latency: Histogram<u64>,
    /// Of each grant.
    pub grant_latency: Histogram<u64>,
    /// Of each read.
    pub read_latency: Histogram<u64>,
    /// How late requests started in an open loop, in nanoseconds.
    pub late: Histogram<u64>,
    /// Of events, by intervals.
    pub series: Series,
    /// Requests that an open loop owed when it ended.
    pub missed: u64,
    /// Answers other than foreseen.
    pub faults: Faults,
    /// Connections that gave up; what became of their last request is unknown.
    pub failures: Faults,
}

impl Outcome {
    fn new() -> Self {
        Outcome {
            elapsed: Duration::ZERO,
            cpu: Some(CpuTime::default()),
            tally: Tally::default(),
            grants: 0,
            traffic: Traffic::default(),
            latency: histogram(),
            snapshot_latency: histogram(),
            grant_latency: histogram(),
            read_latency: histogram(),
            late: histogram(),
            series: Series::default(),
            missed: 0,
            faults: Faults::default(),
            failures: Faults::default(),
        }
    }

    fn add(&mut self, other: Outcome) {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu = self.cpu.zip(other.cpu).map(|(ours, theirs)| ours.plus(theirs));
        self.tally.add(other.tally);
        self.grants += other.grants;
        self.traffic.add(other.traffic);
        for (ours, theirs) in [
            (&mut self.latency, other.latency),
            (&mut self.snapshot_latency, other.snapshot_latency),
            (&mut self.grant_latency, other.grant_latency),
            (&mut self.read_latency, other.read_latency),
            (&mut self.late, other.late),
        ] {
            ours.add(theirs).expect("the histograms have the same bounds");
        }
        self.series.add(other.series);
        self.missed += other.missed;
        self.faults.add(other.faults);
        self.failures.add(other.failures);
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3).expect("the bounds are right")
}

/// What all threads of a run see.
#[derive(Debug)]
struct Common {
    plan: Plan,
    target: Arc<Target>,
    /// Units of grants that were sent, whether acknowledged or not: what a wallet read may hold at most rests on it.
    granted_units: AtomicU64,
    /// Events answered, for the progress bar.
    answered: AtomicU64,
    /// The server is making a snapshot.
    makes_snapshot: AtomicBool,
}

impl Common {
    /// Asks the server every quarter of a second whether it is making a snapshot, on a connection of its own.
    fn watch_snapshots(&self, is_over: &AtomicBool) {
        // Without a runtime there is nothing to tell apart; the run itself has one or has failed.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let mut client = Client::new(Arc::clone(&self.target));
        while !is_over.load(Ordering::Relaxed) {
            let making = runtime.block_on(is_making_snapshot(&mut client, &self.target));
            self.makes_snapshot.store(making == Some(true), Ordering::Relaxed);
            thread::sleep(SNAPSHOT_WATCH_PERIOD);
        }
        self.makes_snapshot.store(false, Ordering::Relaxed);
    }
}

/// A run whose connections are open.
#[derive(Debug)]
pub struct Run {
    common: Arc<Common>,
    lanes: Vec<Lane>,
}

impl Run {
    /// Opens all connections.
    pub fn connect(target: &Arc<Target>, plan: Plan, names: &Names) -> Result<Self, RunError> {
        let (granted_units, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        let makes_snapshot = AtomicBool::new(false);
        let common = Arc::new(Common { plan, target: Arc::clone(target), granted_units, answered, makes_snapshot });
        let lanes = (0..plan.threads.min(plan.connections)).map(|lane| Lane::connect(&common, names, lane));
        Ok(Run { lanes: lanes.collect::<Result<_, _>>()?, common })
    }

    /// Makes all requests of a run beforehand.
    pub fn prepare(&mut self) -> Result<(), RunError> {
        let plan = &self.common.plan;
        let limits: Vec<_> = plan.warm_up.into_iter().chain([plan.limit]).collect();
        let mut wanted = 0;
        for &limit in &limits {
            let Limit::Events(events) = limit else { return Err(RunError::Unbounded) };
            let requests = events.div_ceil(u64::from(plan.batch));
            wanted += self.lanes[0].workers[0].source.bytes_about(events, requests);
        }
        if wanted > PREPARED_BYTES_MAX {
            return Err(RunError::TooMuch { wanted });
        }
        // Only the numbers of events matter here; when requests are due is for the phases to say.
        let now = Instant::now();
        for worker in self.lanes.iter_mut().flat_map(|lane| &mut lane.workers) {
            for &limit in &limits {
                let mut schedule = Schedule::new(plan, limit, worker.connection, now, Duration::ZERO);
                while let Some(slot) = schedule.next(now) {
                    schedule.spend(worker.source.prepare(slot.count));
                }
            }
        }
        Ok(())
    }

    /// Runs a phase to its end.
    pub fn phase(&mut self, limit: Limit, bar: &ProgressBar) -> Outcome {
        let common = &self.common;
        common.answered.store(0, Ordering::Relaxed);
        let begin = Instant::now();
        let mut all = Outcome::new();
        let is_over = &AtomicBool::new(false);
        thread::scope(|scope| {
            let lanes: Vec<_> =
                self.lanes.iter_mut().map(|lane| scope.spawn(move || lane.run(common, limit, begin))).collect();
            if common.plan.rate.is_some() {
                scope.spawn(move || common.watch_snapshots(is_over));
            }
            while !bar.is_hidden() && lanes.iter().any(|lane| !lane.is_finished()) {
                bar.set_position(common.answered.load(Ordering::Relaxed));
                thread::sleep(BAR_PERIOD);
            }
            for lane in lanes {
                all.add(lane.join().expect("a lane does not panic"));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        bar.finish_and_clear();
        all
    }

    /// Ends the run: what it did to the wallets.
    pub fn into_books(self) -> Books {
        let mut books = self.lanes.into_iter().map(|lane| lane.books);
        let mut all = books.next().expect("a run has a thread");
        books.for_each(|books| all.add(&books));
        all
    }
}

/// One thread's part of a run.
#[derive(Debug)]
struct Lane {
    // Before the runtime, so that connections and timers go first.
    workers: Vec<Worker>,
    books: Books,
    runtime: Runtime,
}

/// What the connections of a thread write to.
#[derive(Debug)]
struct Desk {
    books: Books,
    outcome: Outcome,
    begin: Instant,
}

impl Lane {
    fn connect(common: &Arc<Common>, names: &Names, lane: u32) -> Result<Self, RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let plan = common.plan;
        let connections = (lane..plan.connections).step_by(plan.threads as usize);
        let workers = runtime.block_on(async {
            let mut workers = Vec::new();
            for connection in connections {
                let mut client = Client::new(Arc::clone(&common.target));
                client.connect().await.map_err(RunError::Connect)?;
                workers.push(Worker {
                    client,
                    connection,
                    source: Source::new(&plan, &common.target, names, connection),
                    pacer: plan.rate.map(|_| Pacer::new()).transpose()?,
                    statuses: Vec::new(),
                    has_given_up: false,
                });
            }
            Ok::<_, RunError>(workers)
        })?;
        Ok(Lane { workers, books: Books::new(plan.shape.wallets), runtime })
    }

    fn run(&mut self, common: &Arc<Common>, limit: Limit, begin: Instant) -> Outcome {
        let cpu_before = CpuTime::of_thread();
        let desk = Desk { books: std::mem::take(&mut self.books), outcome: Outcome::new(), begin };
        let desk = Rc::new(RefCell::new(desk));
        let set = LocalSet::new();
        let tasks: Vec<_> = self
            .workers
            .drain(..)
            .map(|worker| {
                let grace = common.target.timeout();
                let schedule = Schedule::new(&common.plan, limit, worker.connection, begin, grace);
                set.spawn_local(worker.work(Arc::clone(common), schedule, Rc::clone(&desk)))
            })
            .collect();
        self.workers = set.block_on(&self.runtime, async {
            let mut workers = Vec::new();
            for task in tasks {
                workers.push(task.await.expect("a worker does not panic"));
            }
            workers
        });
        let desk = Rc::try_unwrap(desk).expect("the workers are done").into_inner();
        self.books = desk.books;
        let mut outcome = desk.outcome;
        for worker in &mut self.workers {
            outcome.traffic.add(worker.client.take_traffic());
        }
        outcome.cpu = CpuTime::of_thread().zip(cpu_before).map(|(after, before)| after.since(before));
        outcome
    }
}

/// One connection at work.
#[derive(Debug)]
struct Worker {
    client: Client,
    connection: u32,
    source: Source,
    pacer: Option<Pacer>,
    statuses: Vec<Status>,
    has_given_up: bool,
}

impl Worker {
    async fn work(mut self, common: Arc<Common>, mut schedule: Schedule, desk: Rc<RefCell<Desk>>) -> Self {
        let mut now = desk.borrow().begin;
        while !self.has_given_up
            && let Some(slot) = schedule.next(now)
        {
            if schedule.is_over(now) {
                desk.borrow_mut().outcome.missed += 1 + schedule.owed(now);
                break;
            }
            let events = self.source.advance(slot.count);
            schedule.spend(events);
            match self.request(&common, slot.due, &desk).await {
                Ok(answered) => now = answered,
                Err(error) => {
                    desk.borrow_mut().outcome.failures.note(|| error);
                    self.has_given_up = true;
                }
            }
            common.answered.fetch_add(events as u64, Ordering::Relaxed);
        }
        let mut desk = desk.borrow_mut();
        let elapsed = now.saturating_duration_since(desk.begin);
        desk.outcome.elapsed = desk.outcome.elapsed.max(elapsed);
        self
    }

    /// Sends the source's request, when it is due, and settles the answer. Returns when the answer came.
    async fn request(
        &mut self,
        common: &Common,
        due: Option<Instant>,
        desk: &RefCell<Desk>,
    ) -> Result<Instant, String> {
        let mut started = Instant::now();
        if let (Some(due), Some(pacer)) = (due, &mut self.pacer) {
            pacer.wait_until(due).await.map_err(|error| format!("the timer: {error}"))?;
            desk.borrow_mut().outcome.late.saturating_record(nanos(due.elapsed()));
            started = due;
        }
        let work = self.source.current();
        let balance_max = match work.step {
            Step::Events => None,
            Step::Grant(grant) => {
                common.granted_units.fetch_add(grant.units, Ordering::Relaxed);
                None
            }
            // What this thread knows to be debited must be seen by whoever reads afterwards.
            Step::Read { wallet } => Some(desk.borrow().books.balance(wallet)),
        };
        let reply = self.client.send(&work.request).await.map_err(|error| error.to_string())?;
        let answered = Instant::now();
        let latency_ns = nanos(answered.saturating_duration_since(started));
        let desk = &mut *desk.borrow_mut();
        let granted_units = || common.granted_units.load(Ordering::Relaxed).cast_signed();
        match work.step {
            Step::Events => {
                desk.outcome.latency.saturating_record(latency_ns);
                if common.makes_snapshot.load(Ordering::Relaxed) {
                    desk.outcome.snapshot_latency.saturating_record(latency_ns);
                }
                let at = answered.saturating_duration_since(desk.begin);
                desk.outcome.series.record(at, work.events.len() as u64, latency_ns);
                desk.settle(&common.plan, work, &reply, &mut self.statuses)
            }
            Step::Grant(grant) => {
                desk.outcome.grant_latency.saturating_record(latency_ns);
                desk.granted(grant.wallet, grant.units, &reply)
            }
            Step::Read { wallet } => {
                desk.outcome.read_latency.saturating_record(latency_ns);
                desk.read(wallet, balance_max.map(|most| most + granted_units()), &reply)
            }
        }
        .map_err(|error| error.to_string())?;
        Ok(answered)
    }
}

/// The problem that a single event was refused for.
#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl Desk {
    fn settle(
        &mut self,
        plan: &Plan,
        work: &Work,
        reply: &Reply<'_>,
        statuses: &mut Vec<Status>,
    ) -> Result<(), CallError> {
        const WHAT: &str = "POST /v1/events";
        let events = &work.events;
        if plan.answers == Answers::Empty {
            reply.success(WHAT)?;
            self.outcome.tally.applied += events.len() as u64;
            return Ok(());
        }
        let all_applied = reply.status == 200
            && says_all_applied(reply.body, events.len())
            && events.iter().all(|event| event.verdict == Verdict::Applied);
        let tally = if all_applied {
            self.books.settle_applied(events)
        } else {
            let answer = if plan.single && reply.status == 402 { refusal(reply)? } else { reply.json(WHAT)? };
            self.books.settle(events, &answer, reply.retried, statuses, &mut self.outcome.faults)
        };
        self.outcome.tally.add(tally);
        Ok(())
    }

    fn granted(&mut self, wallet: u32, units: u64, reply: &Reply<'_>) -> Result<(), CallError> {
        // A repeated key answers the first answer, so a grant that was sent twice is booked once.
        reply.success("POST /v1/grants")?;
        self.books.grant(wallet, units);
        self.outcome.grants += 1;
        Ok(())
    }

    fn read(&mut self, wallet: u32, most: Option<i64>, reply: &Reply<'_>) -> Result<(), CallError> {
        let body: WalletBody<'_> = reply.json("GET /v1/wallets")?;
        let balance = body.balance();
        if !balance.as_ref().is_ok_and(|&balance| balance >= 0 && most.is_none_or(|most| balance <= most)) {
            let most = most.map_or_else(String::new, |most| {
                format!(", and {} is the most that is left", units::text(most.into()))
            });
            self.outcome.faults.note(|| format!("wallet {wallet} was read as {}{most}", body.text()));
        }
        Ok(())
    }
}

/// What a problem says of a single event, in the form of an answer to a batch.
fn refusal<'a>(reply: &Reply<'a>) -> Result<Answer<'a>, CallError> {
    let problem: Problem<'_> = serde_json::from_slice(reply.body)
        .map_err(|source| CallError::Unreadable { what: "POST /v1/events".to_owned(), source })?;
    if !problem.kind.ends_with(INSUFFICIENT) {
        return Err(reply.refused("POST /v1/events"));
    }
    let result = EventResult { index: None, status: Status::Rejected, reason: Some(INSUFFICIENT.into()) };
    Ok(Answer { applied: 0, duplicate: 0, rejected: 1, results: vec![result] })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
