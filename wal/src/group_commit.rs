//! Many appends, one sync: the flusher, the durable LSN, and those who wait for it.
//!
//! One thread at a time (the flusher, or whoever drives the log by hand) walks over published frames, syncs what it passed, and moves
//! the durable LSN. It never waits for a publisher: a hole ends the walk, what lies before it is synced.
//!
//! A failed sync is final. The kernel may have dropped the dirty pages and reported it once; a second sync that succeeds proves
//! nothing.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam::utils::CachePadded;

use crate::error::{Poisoned, Stage};
use crate::lsn::Lsn;
use crate::segment::{Geometry, Segment, Table};
use crate::stats::SyncStats;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, Thread, fence, lock, park};
use crate::wakers::Wakers;

/// What one step of the flusher did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing was published behind the durable LSN.
    Nothing,
    /// The durable LSN moved.
    Synced,
    /// The log is poisoned.
    Poisoned,
}

pub(crate) struct GroupCommit {
    geometry: Geometry,
    /// Everything below survives power loss. Written by the flusher (Release), read by everyone (Acquire).
    durable: CachePadded<AtomicU64>,
    /// Set by the flusher when it is about to park, cleared by the publisher that takes it upon itself to wake it.
    parked: CachePadded<AtomicBool>,
    flusher: OnceLock<Thread>,
    /// Held for one step: there is one flusher at a time.
    flushing: Mutex<()>,
    poison: OnceLock<Poisoned>,
    waiters: Wakers,
    pub(crate) stats: SyncStats,
}

impl GroupCommit {
    pub(crate) fn new(durable: Lsn, geometry: Geometry) -> Self {
        Self {
            geometry,
            durable: CachePadded::new(AtomicU64::new(durable.get())),
            parked: CachePadded::new(AtomicBool::new(false)),
            flusher: OnceLock::new(),
            flushing: Mutex::new(()),
            poison: OnceLock::new(),
            waiters: Wakers::new(),
            stats: SyncStats::new(),
        }
    }

    /// Acquire: pairs with the Release in `flush`, so what lies below may be read.
    pub(crate) fn durable(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// The durable LSN for the header of a frame being written. Relaxed: every value ever stored is a true promise.
    pub(crate) fn mark(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Relaxed))
    }

    pub(crate) fn poisoned(&self) -> Option<&Poisoned> {
        self.poison.get()
    }

    pub(crate) fn waiters(&self) -> &Wakers {
        &self.waiters
    }

    /// Latches the end of the run and tells everyone who waits.
    pub(crate) fn latch(&self, stage: Stage, source: io::Error) {
        let durable = self.durable();
        let _ = self.poison.set(Poisoned { stage, durable, source: Arc::new(source) });
        self.waiters.wake_through(u64::MAX);
    }

    /// The end of the published frames that follow `from` without a hole, and the segments on the way.
    fn walk(&self, from: Lsn, table: &Table) -> (Lsn, Vec<Arc<Segment>>) {
        let (mut number, offset) = self.geometry.split(from.get());
        let mut end = from;
        let mut passed = Vec::new();
        // A log that ends exactly at a segment's end continues behind the next segment's header.
        let mut before = offset;
        while let Some(segment) = table.get(number) {
            let reached = segment.region().advance();
            if reached <= before.max(crate::format::SEGMENT_HEADER_BYTES) {
                break;
            }
            end = segment.base().plus(reached);
            passed.push(segment);
            if reached < self.geometry.segment_bytes {
                break;
            }
            number += 1;
            before = 0;
        }
        (end, passed)
    }

    /// Syncs what is published. One step of the flusher.
    pub(crate) fn flush(&self, table: &Table) -> Flushed {
        let guard = lock(&self.flushing);
        if self.poison.get().is_some() {
            return Flushed::Poisoned;
        }
        let from = self.durable();
        let (end, segments) = self.walk(from, table);
        if end == from {
            return Flushed::Nothing;
        }
        let started = Instant::now();
        for segment in &segments {
            let start = from.get().saturating_sub(segment.base().get());
            let stop = (end.get() - segment.base().get()).min(self.geometry.segment_bytes);
            if let Err(source) = segment.region().sync(start..stop) {
                drop(guard);
                self.latch(Stage::Sync, source);
                return Flushed::Poisoned;
            }
        }
        self.stats.record(end.get() - from.get(), started.elapsed());
        // Release: pairs with the Acquire in `durable`.
        self.durable.store(end.get(), Ordering::Release);
        drop(guard);
        self.waiters.wake_through(end.get());
        Flushed::Synced
    }

    /// Whether a step would find something to sync.
    fn has_work(&self, table: &Table) -> bool {
        let from = self.durable();
        self.walk(from, table).0 > from
    }

    /// Tells the flusher that something was published. Called after the length word was stored.
    pub(crate) fn wake_flusher(&self) {
        // Pairs with the fence in `run`: either this load sees the flag, or the flusher sees the frame.
        fence(Ordering::SeqCst);
        // One publisher does it, however many see the flag.
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
    }

    /// Wakes the flusher whatever it does.
    pub(crate) fn unpark(&self) {
        if let Some(thread) = self.flusher.get() {
            thread.unpark();
        }
    }

    /// Names the thread that runs [`GroupCommit::run`], before anyone else can publish.
    pub(crate) fn employ(&self, flusher: Thread) {
        let _ = self.flusher.set(flusher);
    }

    /// The flusher: syncs whenever something is published, until `done` says that nothing more will be.
    pub(crate) fn run(&self, table: &Table, after_sync: impl Fn(), done: impl Fn() -> bool) {
        loop {
            match self.flush(table) {
                Flushed::Synced => {
                    after_sync();
                    continue;
                }
                Flushed::Poisoned => {
                    after_sync();
                    return;
                }
                Flushed::Nothing => {}
            }
            if done() {
                return;
            }
            self.parked.store(true, Ordering::Relaxed);
            // Pairs with the fence in `wake_flusher`.
            fence(Ordering::SeqCst);
            if !self.has_work(table) && !done() {
                park();
            }
            self.parked.store(false, Ordering::Relaxed);
        }
    }
}
