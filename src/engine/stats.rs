//! Counters of the engine.

use super::{Engine, Inner};
use crate::store::pin;
use crossbeam::utils::CachePadded;
use drawdown_wal::LogStats;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the engine has done since it was opened, and what it holds.
#[derive(Clone, Debug)]
pub struct EngineStats {
    /// Wallets there are.
    pub wallets: u64,
    /// Batches of events.
    pub batches: u64,
    /// Events applied.
    pub applied: u64,
    /// Events answered as duplicates.
    pub duplicates: u64,
    /// Events refused.
    pub rejected: u64,
    /// Debits that crossed an alert level or a built-in line.
    pub crossings: u64,
    /// Operations other than debits.
    pub operations: u64,
    /// Identities remembered, about: in memory and in files, there expired ones included.
    pub remembered_events: u64,
    /// Those of them that are in memory.
    pub resident_events: u64,
    /// Bytes of memory of the table of identities.
    pub idempotency_bytes: u64,
    /// Bytes of memory of the index of wallets.
    pub index_bytes: u64,
    /// Bytes of memory of the wallets' slots.
    pub slab_bytes: u64,
    /// The true horizon: what was recorded below this LSN is older than the idempotency window, and forgotten.
    pub idempotency_horizon: u64,
    /// The resident horizon: identities recorded below this LSN are remembered in files, down to the true one.
    pub resident_horizon: u64,
    /// The files of spilled identities.
    pub spilled: crate::identities::Figures,
    /// How often spilling or merging them has failed.
    pub spill_failures: u64,
    /// The log's own counters.
    pub log: LogStats,
}

/// What became of a batch's events.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) applied: u64,
    pub(super) duplicates: u64,
    /// Applied events that crossed a line.
    pub(super) crossings: u64,
}

/// Counters, raised once a batch. All Relaxed: nothing is inferred from one about another.
#[derive(Debug, Default)]
pub(super) struct Counters(CachePadded<Fields>);

#[derive(Debug, Default)]
struct Fields {
    batches: AtomicU64,
    applied: AtomicU64,
    duplicates: AtomicU64,
    rejected: AtomicU64,
    crossings: AtomicU64,
    operations: AtomicU64,
}

impl Counters {
    /// Counts a batch of so many events.
    pub(super) fn count(&self, tally: &Tally, events: usize) {
        let add = |counter: &AtomicU64, count: u64| {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        };
        let fields = &*self.0;
        add(&fields.batches, 1);
        add(&fields.applied, tally.applied);
        add(&fields.duplicates, tally.duplicates);
        add(&fields.rejected, events as u64 - tally.applied - tally.duplicates);
        add(&fields.crossings, tally.crossings);
    }

    /// Counts an operation that was asked for.
    pub(super) fn operation(&self) {
        self.0.operations.fetch_add(1, Ordering::Relaxed);
    }
}

impl Engine {
    /// Counters and sizes.
    pub fn stats(&self) -> EngineStats {
        self.inner.stats()
    }
}

impl Inner {
    fn stats(&self) -> EngineStats {
        let guard = pin();
        let fields = &*self.counters.0;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (resident_events, spilled) = (self.idempotency.alive(&guard) as u64, self.spilled.figures(&guard));
        EngineStats {
            wallets: self.index.len() as u64,
            batches: read(&fields.batches),
            applied: read(&fields.applied),
            duplicates: read(&fields.duplicates),
            rejected: read(&fields.rejected),
            crossings: read(&fields.crossings),
            operations: read(&fields.operations),
            remembered_events: resident_events + spilled.identities,
            resident_events,
            idempotency_bytes: self.idempotency.bytes(&guard) as u64,
            index_bytes: self.index.bytes(&guard) as u64,
            slab_bytes: self.slab.bytes() as u64,
            idempotency_horizon: self.horizon.lsn(),
            resident_horizon: self.idempotency.resident_horizon(),
            spilled,
            spill_failures: self.room.failures(),
            log: self.log.stats(),
        }
    }
}
