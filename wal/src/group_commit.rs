//! Many appends, one sync: the flusher, the durable LSN, and those who wait for it.
//!
//! One thread at a time (the flusher, or whoever drives the log by hand) walks over published frames, syncs what it passed, and moves
//! the durable LSN. It never waits for a publisher: a hole ends the walk, what lies before it is synced.
//!
//! The flusher syncs as soon as somebody waits for what is published ([`GroupCommit::want`]), and what nobody waits for within
//! [`REST`]. So an appender wakes it only when it had nothing at all to do, and that a batch is published costs no system call.
//!
//! A failed sync is final. The kernel may have dropped the dirty pages and reported it once; a second sync that succeeds proves
//! nothing.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;

use crate::error::{Poisoned, Stage};
use crate::lsn::Lsn;
use crate::segment::{Geometry, Segment, Table};
use crate::stats::SyncStats;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, Thread, fence, lock, park, rest};
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

/// How long published frames may lie unsynced that nobody waits for.
const REST: Duration = Duration::from_millis(2);

/// What the flusher does: it runs, and looks for work before it stops to.
const AWAKE: u32 = 0;
/// It looks again by itself, soon; only who waits for a sync wakes it.
const RESTING: u32 = 1;
/// It has nothing to do, and is woken by the next publication.
const ASLEEP: u32 = 2;

pub(crate) struct GroupCommit {
    geometry: Geometry,
    /// Everything below survives power loss. Written by the flusher (Release), read by everyone (Acquire).
    durable: CachePadded<AtomicU64>,
    /// The highest LSN that somebody waits for. Only raised. Relaxed: the fences of `want` and `stop_for` order it.
    wanted: CachePadded<AtomicU64>,
    /// `AWAKE`, `RESTING` or `ASLEEP`. Set by the flusher when it is about to stop, set back by whoever takes it upon itself to wake it.
    /// Relaxed, as `wanted`.
    state: CachePadded<AtomicU32>,
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
            wanted: CachePadded::new(AtomicU64::new(0)),
            state: CachePadded::new(AtomicU32::new(AWAKE)),
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
        #[cfg(drawdown_planted)]
        if crate::planted::is_planted(crate::planted::Bug::AnswersBeforeSync) {
            self.durable.store(end.get(), Ordering::Release);
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
    pub(crate) fn published(&self) {
        // Pairs with the fence in `stop_for`: either this load sees the flusher asleep, or the flusher sees the frame.
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) == ASLEEP {
            self.rouse();
        }
    }

    /// Has everything that is published below `lsn` synced as soon as may be.
    pub(crate) fn want(&self, lsn: Lsn) {
        self.wanted.fetch_max(lsn.get(), Ordering::Relaxed);
        // Pairs with the fence in `stop_for`: either this load sees that the flusher stops, or the flusher sees what is wanted.
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) != AWAKE {
            self.rouse();
        }
    }

    /// Wakes the flusher if it stops. One of those who see that does it.
    #[cold]
    fn rouse(&self) {
        if self.state.swap(AWAKE, Ordering::Relaxed) != AWAKE {
            self.unpark();
        }
    }

    /// Whether somebody waits for more than is durable.
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > self.durable().get()
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

    /// The flusher: syncs what is wanted at once and the rest before long, until `done` says that nothing more will come.
    pub(crate) fn run(&self, table: &Table, mut after_sync: impl FnMut(), done: impl Fn() -> bool) {
        let mut rested = false;
        loop {
            if rested || self.is_wanted() {
                rested = false;
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
            }
            if done() {
                return;
            }
            // What is wanted may lie behind a frame that is not published yet; then the next publication is what to wait for.
            if self.has_work(table) && !self.is_wanted() {
                self.stop_for(RESTING, || self.is_wanted(), || rest(REST));
                rested = true;
            } else {
                self.stop_for(ASLEEP, || self.has_work(table) || done(), park);
            }
        }
    }

    /// Stops, by `stop`, unless there is `work` that came too early to wake this thread.
    fn stop_for(&self, state: u32, work: impl Fn() -> bool, stop: impl Fn()) {
        // A swap, as every change of the state: so each is ordered behind the one that it replaces, whoever made that.
        self.state.swap(state, Ordering::Relaxed);
        // Pairs with the fences in `published` and `want`.
        fence(Ordering::SeqCst);
        if !work() {
            stop();
        }
        self.state.swap(AWAKE, Ordering::Relaxed);
    }
}
