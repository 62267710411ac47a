//! Counters of the log.

use std::time::Duration;

use crate::chain::ChainStats;
use crate::lsn::Lsn;
use crate::sync::{AtomicU64, Ordering};

/// Number of latency classes.
pub const SYNC_LATENCY_CLASSES: usize = 40;

/// What the log has done so far in this run. Each field is exact, together they are not one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// End of the log.
    pub tail: Lsn,
    /// Everything below is durable.
    pub durable: Lsn,
    /// Bytes admitted or written and not yet durable.
    pub unsynced_bytes: u64,
    /// Syncs completed.
    pub syncs: u64,
    /// Bytes made durable by them.
    pub synced_bytes: u64,
    /// Time that all syncs together took, in nanoseconds.
    pub sync_ns_total: u64,
    /// Time the latest sync took, in nanoseconds.
    pub last_sync_ns: u64,
    /// Syncs by time taken: class `i` counts those of `2^i` up to `2^(i+1)` nanoseconds.
    pub sync_latency: [u64; SYNC_LATENCY_CLASSES],
    /// Segments that exist, prepared ones included.
    pub segments: u64,
    /// Bytes of prepared space behind the tail that are certain to be usable.
    pub prepared_bytes: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// The bound on `unsynced_bytes`.
    pub unsynced_bytes_max: u64,
    /// Attempts to prepare a segment that failed.
    pub prepare_failures: u64,
    /// The hash chain over sealed segments.
    pub chain: ChainStats,
}

/// Written by the flusher alone; all Relaxed, since nothing is inferred from one counter about another.
pub(crate) struct SyncStats {
    syncs: AtomicU64,
    bytes: AtomicU64,
    total_ns: AtomicU64,
    last_ns: AtomicU64,
    #[cfg(not(drawdown_loom))]
    classes: [AtomicU64; SYNC_LATENCY_CLASSES],
}

impl SyncStats {
    pub(crate) fn new() -> Self {
        Self {
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total_ns: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            #[cfg(not(drawdown_loom))]
            classes: [const { AtomicU64::new(0) }; SYNC_LATENCY_CLASSES],
        }
    }

    #[cfg(drawdown_loom)]
    #[expect(clippy::unused_self, reason = "counters are no part of the model")]
    pub(crate) fn record(&self, _bytes: u64, _took: Duration) {}

    #[cfg(not(drawdown_loom))]
    pub(crate) fn record(&self, bytes: u64, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.total_ns.fetch_add(ns, Ordering::Relaxed);
        self.last_ns.store(ns, Ordering::Relaxed);
        let class = (ns.max(1).ilog2() as usize).min(SYNC_LATENCY_CLASSES - 1);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fill(&self, stats: &mut LogStats) {
        stats.syncs = self.syncs.load(Ordering::Relaxed);
        stats.synced_bytes = self.bytes.load(Ordering::Relaxed);
        stats.sync_ns_total = self.total_ns.load(Ordering::Relaxed);
        stats.last_sync_ns = self.last_ns.load(Ordering::Relaxed);
        #[cfg(not(drawdown_loom))]
        for (class, counter) in stats.sync_latency.iter_mut().zip(&self.classes) {
            *class = counter.load(Ordering::Relaxed);
        }
    }
}
