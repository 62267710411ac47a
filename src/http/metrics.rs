//! What the server counts about itself. The engine counts what it does on its own; `/metrics` shows both.

use super::route::ROUTES;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency classes, in microseconds; one more class holds what is slower.
pub(crate) const LATENCY_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000];

/// Answers by first digit of the status, and how long they took.
#[derive(Debug, Default)]
pub(crate) struct RouteMetrics {
    pub(crate) answers: [AtomicU64; 5],
    pub(crate) latency: [AtomicU64; LATENCY_US.len() + 1],
    pub(crate) latency_us_sum: AtomicU64,
}

impl RouteMetrics {
    fn record(&self, status: u16, took: Duration) {
        // Counters: each is true on its own, and nothing else hangs on them.
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.answers[class].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = LATENCY_US.partition_point(|&bound| bound < us);
        self.latency[class].fetch_add(1, Ordering::Relaxed);
        self.latency_us_sum.fetch_add(us, Ordering::Relaxed);
    }
}

/// All counters of the HTTP edge.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One for each route, in the order of [`ROUTES`], and one for paths that are none.
    pub(crate) routes: Box<[RouteMetrics]>,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) body_bytes: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let routes = (0..=ROUTES.len()).map(|_| RouteMetrics::default()).collect();
        let zero = || AtomicU64::new(0);
        Metrics { routes, connections: zero(), connections_refused: zero(), body_bytes: zero() }
    }

    /// Counts an answer of the route at `index` of [`ROUTES`], or of no route.
    pub(crate) fn record(&self, index: Option<usize>, status: u16, took: Duration) {
        self.routes[index.unwrap_or(ROUTES.len())].record(status, took);
    }
}
