//! What the server counts about itself. The engine counts what it does on its own; `/metrics` shows both.

use super::refusals::Refusals;
use super::route::ROUTES;
use crate::metrics::{Extras, Histogram, Striped};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Statuses that are counted each; one more class holds all others.
pub(crate) const STATUSES: [u16; 19] =
    [200, 201, 204, 304, 400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 501, 503];

/// Upper bounds of the classes of requests' latencies, in nanoseconds.
const REQUEST_NS: [u64; 15] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
];

/// Upper bounds of the classes of stages' latencies, in nanoseconds.
const STAGE_NS: [u64; 18] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    2_000_000_000,
];

/// Upper bounds of the classes of batches' sizes, in events.
const BATCH_EVENTS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// Answers by status, and how long they took.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    answers: Striped<Answers>,
    pub(crate) latency: Histogram<{ REQUEST_NS.len() }>,
}

type Answers = [AtomicU64; STATUSES.len() + 1];

impl RouteMetrics {
    fn new() -> Self {
        RouteMetrics { answers: Striped::default(), latency: Histogram::new(&REQUEST_NS) }
    }

    fn record(&self, status: u16, took: Duration) {
        let class = STATUSES.binary_search(&status).unwrap_or(STATUSES.len());
        self.answers.local()[class].fetch_add(1, Relaxed);
        self.latency.record(ns(took));
    }

    /// Answers by status; the last is of all statuses that are not [`STATUSES`].
    pub(crate) fn answers(&self) -> [u64; STATUSES.len() + 1] {
        std::array::from_fn(|class| self.answers.sum(|answers| answers[class].load(Relaxed)))
    }
}

/// Where the time of a batch of events goes.
#[derive(Debug)]
pub(crate) struct Stages {
    /// Events in a batch.
    pub(crate) events: Histogram<{ BATCH_EVENTS.len() }>,
    /// From the body to events.
    pub(crate) decode: Histogram<{ STAGE_NS.len() }>,
    /// Deciding: everything in memory.
    pub(crate) engine: Histogram<{ STAGE_NS.len() }>,
    /// From outcomes to an answer's body.
    pub(crate) encode: Histogram<{ STAGE_NS.len() }>,
    /// Waiting until what the answer says is on disk.
    pub(crate) durable: Histogram<{ STAGE_NS.len() }>,
}

/// Tells stages from each other as they end.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Records the time since the last lap, or since the start.
    pub(crate) fn lap(&mut self, stage: &Histogram<{ STAGE_NS.len() }>) {
        let now = Instant::now();
        stage.record(ns(now - self.0));
        self.0 = now;
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How connections ended that the server closed by itself.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    /// Nothing was asked for too long.
    pub(crate) idle: AtomicU64,
    /// A header did not arrive in time.
    pub(crate) slow_header: AtomicU64,
    /// The client did not read its answers.
    pub(crate) slow_reader: AtomicU64,
}

/// All counters of the HTTP edge.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One for each route, in the order of [`ROUTES`], and one for paths that are none.
    pub(crate) routes: Box<[RouteMetrics]>,
    pub(crate) stages: Stages,
    pub(crate) refusals: Refusals,
    /// Open now.
    pub(crate) connections: AtomicU64,
    /// Taken since the start.
    pub(crate) connections_taken: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) closed: Closed,
    pub(crate) body_bytes: CachePadded<AtomicU64>,
    /// What others have added to the page.
    pub(crate) extras: Extras,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let stage = || Histogram::new(&STAGE_NS);
        let stages = Stages {
            events: Histogram::new(&BATCH_EVENTS),
            decode: stage(),
            engine: stage(),
            encode: stage(),
            durable: stage(),
        };
        let zero = || AtomicU64::new(0);
        Metrics {
            routes: (0..=ROUTES.len()).map(|_| RouteMetrics::new()).collect(),
            stages,
            refusals: Refusals::new(),
            connections: zero(),
            connections_taken: zero(),
            connections_refused: zero(),
            closed: Closed::default(),
            body_bytes: CachePadded::default(),
            extras: Extras::default(),
        }
    }

    /// Counts an answer of the route at `index` of [`ROUTES`], or of no route.
    pub(crate) fn record(&self, index: Option<usize>, status: u16, took: Duration) {
        self.routes[index.unwrap_or(ROUTES.len())].record(status, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_is_answered_has_a_class() {
        assert!(STATUSES.is_sorted());
        for status in [200, 402, 408, 429, 503] {
            assert!(STATUSES.contains(&status));
        }
        let route = RouteMetrics::new();
        route.record(503, Duration::from_millis(3));
        route.record(418, Duration::from_mins(1));
        assert_eq!((route.answers()[18], route.answers()[19]), (1, 1));
        assert_eq!(route.latency.read().beyond, 1);
    }
}
