//! Counters of the engine.

use super::event::{EventOutcome, EventStatus};
use super::pressure::AdmissionStats;
use super::webhooks::WebhookStats;
use super::{Engine, Inner, SnapshotStats};
use crate::ledger::Rejection;
use crate::metrics::Striped;
use crate::store::pin;
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
    /// Of these, how many for each reason, by [`Rejection::kind`].
    pub rejections: [u64; Rejection::KINDS],
    /// Debits that crossed an alert level or a built-in line.
    pub crossings: u64,
    /// Generations of wallets opened: grants, settings, crossings, expiries and whatever else is not a plain debit.
    pub operations: u64,
    /// Grants made.
    pub grants: u64,
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
    /// Snapshots and retention.
    pub snapshots: SnapshotStats,
    /// Age of the oldest identity that is remembered for sure, in milliseconds: what was recorded since is known.
    pub idempotency_age_ms: u64,
    /// How long identities are meant to be remembered, in milliseconds.
    pub idempotency_window_ms: u64,
    /// How the log's admission went.
    pub admission: AdmissionStats,
    /// The resident horizon: identities recorded below this LSN are remembered in files, down to the true one.
    pub resident_horizon: u64,
    /// The files of spilled identities.
    pub spilled: crate::identities::Figures,
    /// How often spilling or merging them has failed.
    pub spill_failures: u64,
    /// The log's own counters.
    pub log: LogStats,
    /// Webhooks.
    pub webhooks: WebhookStats,
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
pub(super) struct Counters(Striped<Fields>);

#[derive(Debug, Default)]
struct Fields {
    batches: AtomicU64,
    applied: AtomicU64,
    duplicates: AtomicU64,
    rejected: AtomicU64,
    crossings: AtomicU64,
    operations: AtomicU64,
    grants: AtomicU64,
    rejections: [AtomicU64; Rejection::KINDS],
}

impl Counters {
    /// Counts a batch with these outcomes.
    pub(super) fn count(&self, tally: &Tally, outcomes: &[EventOutcome]) {
        let add = |counter: &AtomicU64, count: u64| {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        };
        let fields = self.0.local();
        let rejected = outcomes.len() as u64 - tally.applied - tally.duplicates;
        if rejected > 0 {
            fields.count_rejections(outcomes);
        }
        add(&fields.batches, 1);
        add(&fields.applied, tally.applied);
        add(&fields.duplicates, tally.duplicates);
        add(&fields.rejected, rejected);
        add(&fields.crossings, tally.crossings);
    }

    /// Counts a generation that was opened.
    pub(super) fn operation(&self) {
        self.operations(1);
    }

    /// Counts so many generations that were opened.
    pub(super) fn operations(&self, count: u64) {
        self.0.local().operations.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a grant that was made.
    pub(super) fn grant(&self) {
        self.0.local().grants.fetch_add(1, Ordering::Relaxed);
    }
}

impl Fields {
    #[cold]
    fn count_rejections(&self, outcomes: &[EventOutcome]) {
        for outcome in outcomes {
            if let EventStatus::Rejected(rejection) = outcome.status {
                self.rejections[rejection.kind()].fetch_add(1, Ordering::Relaxed);
            }
        }
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
        let counters = &self.counters.0;
        let read = |of: fn(&Fields) -> &AtomicU64| counters.sum(|fields| of(fields).load(Ordering::Relaxed));
        let rejections =
            std::array::from_fn(|kind| counters.sum(|fields| fields.rejections[kind].load(Ordering::Relaxed)));
        let (resident_events, spilled) = (self.idempotency.alive(&guard) as u64, self.spilled.figures(&guard));
        EngineStats {
            wallets: self.index.len() as u64,
            batches: read(|fields| &fields.batches),
            applied: read(|fields| &fields.applied),
            duplicates: read(|fields| &fields.duplicates),
            rejected: read(|fields| &fields.rejected),
            rejections,
            crossings: read(|fields| &fields.crossings),
            operations: read(|fields| &fields.operations),
            grants: read(|fields| &fields.grants),
            remembered_events: resident_events + spilled.identities,
            resident_events,
            idempotency_bytes: self.idempotency.bytes(&guard) as u64,
            index_bytes: self.index.bytes(&guard) as u64,
            slab_bytes: self.slab.bytes() as u64,
            idempotency_horizon: self.horizon.lsn(),
            resident_horizon: self.idempotency.resident_horizon(),
            spilled,
            spill_failures: self.room.failures(),
            snapshots: self.snapshot_stats(),
            idempotency_age_ms: self.horizon.age_ms(self.now()),
            idempotency_window_ms: self.config.idempotency_window_ms,
            admission: self.pressure.stats(),
            log: self.log.stats(),
            webhooks: self.webhooks.stats(self.log.durable().get()),
        }
    }
}
