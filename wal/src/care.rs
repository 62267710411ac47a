//! The thread that looks after the log's memory while the log grows: see [`Region::tend`](crate::mapping::Region::tend).
//!
//! It has a thread of its own because the preparer is away for as long as filling a segment takes, in which the log may grow by a hundred MiB.
//! Nothing depends on it for being right: what it does not do in time the appenders' page faults do.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use crate::lsn::Lsn;
use crate::segment::{Geometry, Table};
use crate::sync::{AtomicBool, Mutex, Ordering, Thread, lock, park};

/// Durable bytes after which to look again.
const STEP_BYTES: u64 = 2 << 20;

pub(crate) struct Care {
    /// The first segment whose memory still needs care.
    from: Mutex<u64>,
    /// The step that the durable LSN was last seen in. The flusher's own; Relaxed, and no part of any model.
    step: AtomicU64,
    thread: OnceLock<Thread>,
    stop: AtomicBool,
}

impl Care {
    pub(crate) fn new(end: Lsn, geometry: Geometry) -> Self {
        let (number, _) = geometry.split(end.get());
        Self {
            from: Mutex::new(number),
            step: AtomicU64::new(end.get() / STEP_BYTES),
            thread: OnceLock::new(),
            stop: AtomicBool::new(false),
        }
    }

    /// Names the thread that runs [`Care::run`].
    pub(crate) fn employ(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    /// Has the thread look again if the durable LSN has come far enough. For the flusher.
    pub(crate) fn durable_moved(&self, durable: Lsn) {
        let step = durable.get() / STEP_BYTES;
        if self.step.load(Ordering::Relaxed) != step {
            self.step.store(step, Ordering::Relaxed);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        // Release, with `run`. The token of `unpark` sticks, so it is never missed.
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// The thread.
    pub(crate) fn run(&self, tend: impl Fn()) {
        while !self.stop.load(Ordering::Acquire) {
            tend();
            park();
        }
    }

    /// Looks after the memory between `durable` and `tail`, of which the tail was read later.
    pub(crate) fn tend(&self, table: &Table, geometry: Geometry, durable: Lsn, tail: Lsn) {
        let mut from = lock(&self.from);
        let (first, _) = geometry.split(durable.get());
        let (last, _) = geometry.split(tail.get());
        for number in *from..=last {
            if let Some(segment) = table.get(number) {
                let offset = |lsn: Lsn| lsn.get().saturating_sub(segment.base().get()).min(geometry.segment_bytes);
                segment.region().tend(offset(durable), offset(tail));
            }
        }
        *from = first;
    }
}
