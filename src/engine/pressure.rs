//! Room in the log: waiting for it without a thread, and counting how often there was none.

use super::view::Unavailable;
use super::{Engine, Inner};
use drawdown_wal::{Admitted, AppendError};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

/// Log bytes that have to find room for the log to count as writable: more than any single command takes.
const PROBE_BYTES: u64 = 64 << 10;

/// What became of those who asked for room in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdmissionStats {
    /// Times that somebody began to wait for room.
    pub waits: u64,
    /// How many wait now.
    pub waiting: u64,
    /// How long those who wait no more have waited together, in nanoseconds.
    pub wait_ns: u64,
    /// Times that there was no room because too much was waiting for the disk.
    pub overloaded: u64,
    /// Times that there was no room because the disk had none.
    pub no_space: u64,
    /// Times that there was none because a sync had failed.
    pub poisoned: u64,
    /// Times that there was none because the log was closed.
    pub closed: u64,
}

/// Whether the disk has room for the log to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The next segments are ready, or being made.
    Enough,
    /// The next segment cannot be made; what is ready takes about so many bytes more.
    RunningOut {
        /// Bytes of log that are certain to find room.
        left_bytes: u64,
    },
    /// The next segment cannot be made, and what was ready is used up: writes are refused. It ends by itself when there is space again.
    Exhausted,
}

/// Counters of admission. They are raised only where nothing goes on anyway, so they share their lines with anyone. All Relaxed: nothing
/// is inferred from one about another.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    waits: AtomicU64,
    waiting: AtomicU64,
    wait_ns: AtomicU64,
    overloaded: AtomicU64,
    no_space: AtomicU64,
    poisoned: AtomicU64,
    closed: AtomicU64,
}

impl Pressure {
    /// Counts somebody who waits, until what is given back is dropped.
    #[cold]
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { pressure: self, since: Instant::now() }
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, unavailable: &Unavailable) {
        let counter = match unavailable {
            Unavailable::Overloaded => &self.overloaded,
            Unavailable::NoSpace(_) => &self.no_space,
            Unavailable::Poisoned(_) => &self.poisoned,
            Unavailable::Closed => &self.closed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> AdmissionStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AdmissionStats {
            waits: read(&self.waits),
            waiting: read(&self.waiting),
            wait_ns: read(&self.wait_ns),
            overloaded: read(&self.overloaded),
            no_space: read(&self.no_space),
            poisoned: read(&self.poisoned),
            closed: read(&self.closed),
        }
    }
}

/// Somebody who waits for room.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    pressure: &'a Pressure,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.pressure.wait_ns.fetch_add(ns, Ordering::Relaxed);
        self.pressure.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Engine {
    /// Resolves when the log has room for `bytes`, or at once if there is none that waiting brings. The room is not kept: who asks for it
    /// next may find it taken. A command that comes behind it seldom has to wait on its thread.
    pub fn room(&self, bytes: u64) -> Room<'_> {
        let bytes = bytes.min(self.inner.log.max_admission_bytes());
        Room { inner: &self.inner, admitted: self.inner.log.admitted(bytes), waiting: None }
    }

    /// Whether the disk has room for the log.
    pub fn space(&self) -> Space {
        let log = &self.inner.log;
        if log.prepare_failure().is_none() {
            return Space::Enough;
        }
        match log.admit(PROBE_BYTES.min(log.max_admission_bytes())) {
            Err(AppendError::NoSpace { .. }) => Space::Exhausted,
            _ => Space::RunningOut { left_bytes: log.stats().prepared_bytes },
        }
    }
}

/// Waits for room in the log; see [`Engine::room`].
#[must_use = "futures do nothing unless polled"]
pub struct Room<'a> {
    inner: &'a Inner,
    admitted: Admitted<'a>,
    waiting: Option<Waiting<'a>>,
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Future for Room<'_> {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match Pin::new(&mut this.admitted).poll(context) {
            Poll::Ready(outcome) => {
                this.waiting = None;
                // Given back at once: what is wanted is that there is room, not to have it.
                Poll::Ready(outcome.map(drop).map_err(|error| this.inner.refused(error)))
            }
            Poll::Pending => {
                this.waiting.get_or_insert_with(|| this.inner.pressure.wait());
                Poll::Pending
            }
        }
    }
}
