//! What the server turns away for its own sake: too much at once, too slow a client, a log that takes nothing. Counted by reason, and
//! logged so that an overload does not flood the log.
//!
//! A client's mistakes are no refusals in this sense; they are counted with the answers of their routes.

use super::reply::RequestId;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Why something was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are as many connections as the limit.
    Connections,
    /// There are as many requests under way as the limit.
    Requests,
    /// The bodies in flight come to as many bytes as the limit.
    Bytes,
    /// As many requests wait at the end of the feed as the limit.
    FeedWaiters,
    /// A header did not arrive in time.
    SlowHeader,
    /// A body did not arrive in time.
    SlowBody,
    /// A client did not read its answers.
    SlowReader,
    /// The log is too far ahead of the disk.
    Overloaded,
    /// The disk has no room for the log.
    NoSpace,
    /// The log cannot be written any more.
    Poisoned,
    /// The server is stopping.
    Stopping,
}

impl Refusal {
    /// All of them, in the order of the numbers that they stand for.
    pub(crate) const ALL: [Refusal; 11] = [
        Refusal::Connections,
        Refusal::Requests,
        Refusal::Bytes,
        Refusal::FeedWaiters,
        Refusal::SlowHeader,
        Refusal::SlowBody,
        Refusal::SlowReader,
        Refusal::Overloaded,
        Refusal::NoSpace,
        Refusal::Poisoned,
        Refusal::Stopping,
    ];

    /// The label in the metrics and in the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Refusal::Connections => "connections",
            Refusal::Requests => "in_flight_requests",
            Refusal::Bytes => "in_flight_bytes",
            Refusal::FeedWaiters => "feed_waiters",
            Refusal::SlowHeader => "slow_header",
            Refusal::SlowBody => "slow_body",
            Refusal::SlowReader => "slow_reader",
            Refusal::Overloaded => "overloaded",
            Refusal::NoSpace => "no_space",
            Refusal::Poisoned => "poisoned",
            Refusal::Stopping => "shutting_down",
        }
    }

    /// Whether it means that more is asked of the server than it can do.
    const fn is_overload(self) -> bool {
        matches!(self, Refusal::Connections | Refusal::Requests | Refusal::Bytes | Refusal::Overloaded)
    }
}

/// How often each reason may have a line in the log.
const LINE_PERIOD: Duration = Duration::from_secs(1);

/// How long a refusal for overload speaks against the server's being ready.
const RECENT: Duration = Duration::from_secs(2);

/// Counters of refusals. All Relaxed: each is true on its own, and nothing hangs on them but a log line.
#[derive(Debug)]
pub(crate) struct Refusals {
    start: Instant,
    cells: [Cell; Refusal::ALL.len()],
}

#[derive(Debug, Default)]
struct Cell {
    count: AtomicU64,
    /// When the last one was, in milliseconds behind `start`, plus one; 0 while there was none.
    last_ms: AtomicU64,
    /// When the next line may be logged, in milliseconds behind `start`.
    line_ms: AtomicU64,
    /// Refusals since the last line.
    unlogged: AtomicU64,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Refusals { start: Instant::now(), cells: Default::default() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Counts a refusal, and answers how many of its kind went unlogged before it if it is its turn to be logged.
    fn count(&self, refusal: Refusal, now_ms: u64) -> Option<u64> {
        let cell = &self.cells[refusal as usize];
        cell.count.fetch_add(1, Relaxed);
        cell.last_ms.store(now_ms + 1, Relaxed);
        let due = cell.line_ms.load(Relaxed);
        let next = now_ms.saturating_add(LINE_PERIOD.as_millis() as u64);
        // Of those who come at the same time, one gets the line.
        if now_ms >= due && cell.line_ms.compare_exchange(due, next, Relaxed, Relaxed).is_ok() {
            return Some(cell.unlogged.swap(0, Relaxed));
        }
        cell.unlogged.fetch_add(1, Relaxed);
        None
    }

    /// Counts and, at most once a second for each reason, logs a refusal. `cause` is for the operator; `id` names the request, where there
    /// is one.
    pub(crate) fn note(&self, refusal: Refusal, id: Option<&RequestId>, cause: &dyn std::fmt::Display) {
        let Some(unlogged) = self.count(refusal, self.now_ms()) else { return };
        let (reason, id) = (refusal.name(), id.map(tracing::field::display));
        match refusal {
            Refusal::SlowHeader | Refusal::SlowBody | Refusal::SlowReader | Refusal::Stopping => {
                tracing::info!(reason, id, %cause, unlogged, "refused");
            }
            Refusal::NoSpace | Refusal::Poisoned => tracing::error!(reason, id, %cause, unlogged, "refused"),
            Refusal::Connections | Refusal::Requests | Refusal::Bytes | Refusal::FeedWaiters | Refusal::Overloaded => {
                tracing::warn!(reason, id, %cause, unlogged, "refused");
            }
        }
    }

    /// How often each reason has come so far.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.into_iter().zip(&self.cells).map(|(refusal, cell)| (refusal.name(), cell.count.load(Relaxed)))
    }

    /// What the server refused for overload just now, if it did.
    pub(crate) fn recent_overload(&self) -> Option<&'static str> {
        let now_ms = self.now_ms();
        let recent = |cell: &Cell| match cell.last_ms.load(Relaxed) {
            0 => false,
            last => now_ms.saturating_sub(last - 1) < RECENT.as_millis() as u64,
        };
        let overload = Refusal::ALL.into_iter().zip(&self.cells).find(|(why, cell)| why.is_overload() && recent(cell));
        overload.map(|(refusal, _)| refusal.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_cell_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }

    #[test]
    fn a_flood_is_counted_whole_and_logged_once_a_second() {
        let refusals = Refusals::new();
        assert_eq!(refusals.count(Refusal::Bytes, 10), Some(0));
        for _ in 0..1000 {
            assert_eq!(refusals.count(Refusal::Bytes, 500), None);
        }
        assert_eq!(refusals.count(Refusal::Requests, 500), Some(0), "each reason has its own lines");
        assert_eq!(refusals.count(Refusal::Bytes, 1010), Some(1000));
        assert_eq!(refusals.count(Refusal::Bytes, 1011), None);
        assert_eq!(refusals.counts().find(|(name, _)| *name == "in_flight_bytes"), Some(("in_flight_bytes", 1003)));
    }

    #[test]
    fn only_overload_is_overload() {
        let refusals = Refusals::new();
        refusals.count(Refusal::SlowBody, 0);
        refusals.count(Refusal::NoSpace, 0);
        assert_eq!(refusals.recent_overload(), None);
        refusals.count(Refusal::Overloaded, refusals.now_ms());
        assert_eq!(refusals.recent_overload(), Some("overloaded"));
    }
}
