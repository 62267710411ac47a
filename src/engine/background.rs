//! What the engine does beside its callers, in small steps on one thread: tables grow ahead of need, memory is faulted in, what fell due
//! in quiet wallets is carried out, occurrences of recurring grants are made ahead, the idempotency horizon moves on. What takes longer, spilling identities and merging their runs, has a
//! thread of its own ([`super::spill`]).
//!
//! Nothing depends on it for being right: expiry is exact on every path without it, and tables grow under their users' hands if they must.

use super::spill::Kept;
use super::wallet::WalletOperation;
use super::{Engine, Inner};
use crate::ledger::{Operation, Timestamp};
use crate::store::pin;
use crate::store::word::Deadline;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the thread rests when there is nothing to do.
const REST: Duration = Duration::from_millis(20);
/// Slots that a step of the sweep looks at.
const SWEEP_SLOTS: u32 = 1 << 14;
/// How often the thread that keeps identities rests before it tries again what has failed.
const RESTS_AFTER_FAILURE: u32 = 250;
const MINUTE_MS: u64 = 60_000;

/// Tells the background thread to stop.
#[derive(Debug, Default)]
pub(super) struct Bell {
    stop: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    /// Rests until the bell is rung or some time has passed; answers whether to stop.
    pub(super) fn rest(&self) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let (stop, _) = self.rung.wait_timeout_while(stop, REST, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        *stop
    }

    pub(super) fn ring(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_all();
    }
}

/// Where in the log which time is, so that the idempotency window can be told as a position.
///
/// A mark `(end, lsn)` says: what is recorded before `lsn` was recorded before `end`, which is the end of a minute. A replay makes its marks
/// from the records' own times, and so forgets an identity no later than the run before it did: an identity that was forgotten, and used
/// again for another event, does not come back.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    marks: Mutex<VecDeque<(Timestamp, u64)>>,
    /// The end of the last mark that was given up, in ms: what was recorded since is remembered. 0 while nothing was forgotten. A value
    /// on its own, for people; hence Relaxed.
    forgotten_ms: AtomicU64,
    /// What lies below has expired. Only rises. Relaxed: to see it late is to remember an event a moment longer.
    lsn: AtomicU64,
}

/// The end of the minute that `time` is in: the first instant that is not.
pub(super) fn minute_end(time: Timestamp) -> Timestamp {
    Timestamp::from_millis((time.millis() / MINUTE_MS + 1) * MINUTE_MS)
}

impl Horizon {
    /// Takes over what a replay noted.
    pub(super) fn restore(&self, marks: impl IntoIterator<Item = (Timestamp, u64)>) {
        self.marks().extend(marks);
    }

    /// Everything recorded below is older than the window: the true horizon.
    pub(super) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Relaxed)
    }

    /// Notes that everything before `tail` was recorded at `now` or before, and raises the position below which all is older than the
    /// window.
    pub(super) fn advance(&self, now: Timestamp, tail: u64, window_ms: u64) {
        let mut marks = self.marks();
        let end = minute_end(now);
        match marks.back_mut() {
            Some((last, lsn)) if *last >= end => *lsn = tail,
            _ => marks.push_back((end, tail)),
        }
        while let Some((end, lsn)) = marks.pop_front_if(|(end, _)| end.saturating_add(window_ms) < now) {
            self.forgotten_ms.store(end.millis(), Ordering::Relaxed);
            self.forget_below(lsn);
        }
    }

    /// Notes that everything recorded below is older than the window.
    pub(super) fn forget_below(&self, lsn: u64) {
        self.lsn.fetch_max(lsn, Ordering::Relaxed);
    }

    /// The age in milliseconds back to which every identity is remembered, about: to a minute.
    pub(super) fn age_ms(&self, now: Timestamp) -> u64 {
        let oldest = match self.forgotten_ms.load(Ordering::Relaxed) {
            0 => self.marks().front().map_or(now.millis(), |(end, _)| end.millis().saturating_sub(MINUTE_MS)),
            forgotten => forgotten,
        };
        now.millis().saturating_sub(oldest)
    }

    fn marks(&self) -> MutexGuard<'_, VecDeque<(Timestamp, u64)>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Carries out a round of background work on this thread, for engines that were opened without a thread for it. Answers whether there
    /// was anything to do.
    pub fn tidy(&self) -> bool {
        let mut sweep = 0;
        let busy = self.inner.grow();
        let mut swept = self.inner.sweep(&mut sweep, u32::MAX);
        while self.inner.spread_defaults(u32::MAX) {
            swept = true;
        }
        self.inner.move_horizon();
        self.inner.watch_room();
        let settled = self.inner.config.keeps_recurring && self.inner.settle_billing();
        let mut recurred = false;
        while self.inner.config.keeps_recurring && self.inner.recur_round() {
            recurred = true;
        }
        let mut kept = false;
        while self.inner.keep_identities() == Kept::Busy {
            kept = true;
        }
        busy || swept || kept || recurred || settled
    }
}

impl Inner {
    /// The background thread.
    pub(super) fn run_background(&self) {
        let mut sweep = 0;
        while !self.bell.rest() {
            while self.grow() && self.check_open().is_ok() {}
            self.sweep(&mut sweep, SWEEP_SLOTS);
            self.spread_defaults(SWEEP_SLOTS);
            self.move_horizon();
            self.watch_room();
            self.tell_refusals();
            if self.config.keeps_recurring {
                self.settle_billing();
                self.recur_round();
            }
        }
        self.tell_last_refusals();
    }

    /// The thread that spills identities and merges their runs.
    pub(super) fn run_keeping(&self) {
        let mut pause = 0;
        while !self.bell.rest() {
            if pause > 0 {
                pause -= 1;
                continue;
            }
            loop {
                match self.keep_identities() {
                    Kept::Busy if self.check_open().is_ok() => {}
                    Kept::Busy | Kept::Idle => break,
                    Kept::Failed => {
                        pause = RESTS_AFTER_FAILURE;
                        break;
                    }
                }
            }
        }
    }

    /// A bounded step of growing everything that is filling up.
    fn grow(&self) -> bool {
        let guard = pin();
        let index = self.index.grow_step(&guard);
        let idempotency = self.idempotency.maintain(64, &guard);
        let slab = self.slab.prefault_step();
        index || idempotency || slab
    }

    /// Forgets the identities that are older than the window.
    pub(super) fn move_horizon(&self) {
        self.horizon.advance(self.now(), self.log.tail().get(), self.config.idempotency_window_ms);
        self.idempotency.set_resident_horizon(self.horizon.lsn());
    }

    /// Looks at up to `count` wallets from `next` on and carries out what is due in them. Answers whether anything was.
    fn sweep(&self, next: &mut u32, count: u32) -> bool {
        let wallets = self.slab.len() as u32;
        let now = self.now();
        let deadline = Deadline::from_unix_ms(now.millis());
        let mut found = false;
        for _ in 0..count.min(wallets) {
            let slot = *next;
            *next = if slot + 1 >= wallets { 0 } else { slot + 1 };
            // A slot whose wallet is being made has no name or no generation yet.
            if self.names.get(slot).is_some() && self.slab.get(slot).deadline().is_some_and(|due| deadline >= due) {
                found = true;
                // A log that takes nothing now leaves the change to whoever comes next.
                let _ = self.operate(slot, WalletOperation::new(Operation::Due, now), &pin());
            }
        }
        found
    }
}
