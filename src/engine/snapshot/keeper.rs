//! The thread that makes snapshots and carries out retention, behind everybody else.

use super::super::Inner;
use super::SnapshotFailure;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the thread looks whether there is something to do.
const REST: Duration = Duration::from_secs(1);
/// How long it waits after a failure.
const RETRY: Duration = Duration::from_mins(1);
/// The nicest that a thread can be. With the kernel's default it also puts the thread's disk accesses behind all others': the I/O priority
/// follows from this one.
const NICE: i32 = 19;

/// What the thread is called for.
#[derive(Debug, Default)]
pub(super) struct Call {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    requested: bool,
}

impl Call {
    pub(super) fn request(&self) {
        self.ring(|state| state.requested = true);
    }

    pub(super) fn stop(&self) {
        self.ring(|state| state.stop = true);
    }

    fn ring(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_all();
    }

    /// Rests until it is called or some time has passed. Answers whether a snapshot was asked for; `None` to stop.
    fn rest(&self) -> Option<bool> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| !state.stop && !state.requested;
        let (mut state, _) = self.rung.wait_timeout_while(state, REST, idle).unwrap_or_else(PoisonError::into_inner);
        (!state.stop).then(|| std::mem::take(&mut state.requested))
    }
}

impl Inner {
    /// The thread's body.
    pub(in crate::engine) fn keep_snapshots(&self) {
        // Where the system refuses, the thread is like any other.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut not_before = Instant::now();
        while let Some(requested) = self.snapshots.call.rest() {
            if !requested && Instant::now() < not_before {
                continue;
            }
            if (requested || self.is_snapshot_due()) && self.make_snapshot().is_err() {
                not_before = Instant::now() + RETRY;
            }
            match self.retire() {
                Ok(0) => {}
                Ok(segments) => tracing::info!(segments, first = self.log.first().get(), "retired segments of the log"),
                Err(error) => {
                    tracing::warn!(%error, "segments of the log could not be retired");
                    not_before = Instant::now() + RETRY;
                }
            }
        }
    }

    fn make_snapshot(&self) -> Result<(), ()> {
        match self.snapshot() {
            Ok(Some(made)) => {
                let took = Duration::from_millis(made.took_ms);
                tracing::info!(
                    lsn = made.lsn.get(),
                    bytes = made.bytes,
                    wallets = made.wallets,
                    ?took,
                    "made a snapshot"
                );
                Ok(())
            }
            Ok(None) | Err(SnapshotFailure::Stopped) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "no snapshot could be made");
                Err(())
            }
        }
    }

    /// Whether enough has been sealed, or enough time has passed, since the newest one.
    fn is_snapshot_due(&self) -> bool {
        let config = &self.config.snapshots;
        let (from, made) = match self.snapshots.kept().first() {
            Some(newest) => (newest.lsn(), newest.sums().made),
            None => (self.log.segment_start(self.log.first()), self.opened),
        };
        let sealed = self.log.segment_start(self.log.durable()).get().saturating_sub(from.get());
        let by_size = config.log_bytes > 0 && sealed >= config.log_bytes;
        let by_time = config.interval_ms.is_some_and(|interval| self.now() >= made.saturating_add(interval));
        sealed > 0 && (by_size || by_time)
    }
}
