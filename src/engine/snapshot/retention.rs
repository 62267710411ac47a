//! Retention: which segments of the log may go, and what is never let go of.
//!
//! History is kept for ever unless a setting says otherwise. Where one does, a segment goes when the setting lets go of it *and* nothing
//! needs it:
//! 1. two snapshots lie behind it, so that the older one and the log from there on are a ledger, should the newer one be damaged;
//! 2. no identity within the idempotency window has its record in it, whether memory knows it or a file: the record is what a duplicate is
//!    answered from, and what a file of identities is derived from again ([`super::super::spill`]);
//! 3. no follower has still to read it, nor an enabled webhook endpoint, up to a bound in bytes;
//! 4. it lies so far from the log's end that mending after a crash will not look at it.
//!
//! What is read of the log below the first segment that is left has a defined answer: grants that wallets hold are looked up in the
//! snapshots, everything else is "retired", with the first position that is there.

use super::super::{Engine, Inner};
use crate::journal;
use crate::ledger::Timestamp;
use drawdown_wal::{Disposal, Lsn};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much history is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// What is older goes, ms. `None`: nothing does by age.
    pub history_ms: Option<u64>,
    /// What exceeds so many bytes of log goes, oldest first. `None`: nothing does by size.
    pub log_bytes: Option<u64>,
    /// What becomes of the segments that go.
    pub disposal: Disposal,
}

/// The positions up to which followers of the log have read.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<(u64, BTreeMap<u64, Lsn>)>);

impl Followers {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Lsn>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lowest(&self) -> Option<Lsn> {
        self.lock().1.values().min().copied()
    }
}

/// Someone who reads the log in order: while it lives, what it has not read stays.
#[derive(Debug)]
pub struct Follower {
    number: u64,
    followers: Arc<Followers>,
}

impl Follower {
    /// Everything below `lsn` has been read.
    pub fn advance(&self, lsn: Lsn) {
        self.followers.lock().1.insert(self.number, lsn);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.lock().1.remove(&self.number);
    }
}

impl Engine {
    /// Keeps the log from `from` on until the follower has read it or is dropped. What was retired before is gone: see
    /// [`Engine::first_lsn`].
    pub fn follow(&self, from: Lsn) -> Follower {
        let followers = Arc::clone(&self.inner.snapshots.followers);
        let number = {
            let mut entered = followers.lock();
            entered.0 += 1;
            let number = entered.0;
            entered.1.insert(number, from);
            number
        };
        Follower { number, followers }
    }
}

impl Inner {
    /// Lets go of what the settings let go of and nothing needs.
    pub(super) fn retire(&self) -> io::Result<u64> {
        let snapshots = &self.snapshots;
        let _making = snapshots.making.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limit) = self.retirement() else { return Ok(0) };
        snapshots.drop_below(self.log.segment_start(limit))?;
        let retired = self.log.retire_to(limit, &self.config.retention.disposal)?;
        snapshots.retired.fetch_add(retired, Ordering::Relaxed);
        Ok(retired)
    }

    /// The position below which segments go, if any do.
    fn retirement(&self) -> Option<Lsn> {
        let settings = &self.config.retention;
        if settings.history_ms.is_none() && settings.log_bytes.is_none() {
            return None;
        }
        let needed = self.needed()?;
        let tail = self.log.tail().get();
        let by_size = settings.log_bytes.map(|bytes| Lsn::new(tail.saturating_sub(bytes)));
        let by_age = settings.history_ms.and_then(|history| self.older_than(history, needed));
        by_size.max(by_age).map(|limit| limit.min(needed)).filter(|limit| *limit > self.log.first())
    }

    /// The position from which on something is needed; `None` if all is.
    fn needed(&self) -> Option<Lsn> {
        let older = self.snapshots.kept().get(1).map(|file| file.lsn())?;
        let remembered = Lsn::new(self.horizon.lsn());
        let mended = self.log.durable().get().saturating_sub(4 * self.config.log.max_unsynced_bytes);
        let webhooks = self.webhooks.needed(self.log.durable(), self.config.webhook_hold_bytes);
        let limits = [Some(remembered), Some(Lsn::new(mended)), self.snapshots.followers.lowest(), webhooks];
        Some(limits.into_iter().flatten().fold(older, Lsn::min))
    }

    /// The start of the first segment that holds anything recorded within the last so many ms, looked for up to `limit`: a segment is older
    /// if the next one's first frame is.
    fn older_than(&self, history_ms: u64, limit: Lsn) -> Option<Lsn> {
        let mut start = self.log.segment_start(self.log.first());
        let begun = start;
        loop {
            let next = start.plus(self.log.segment_bytes());
            if next > limit || self.time_at(next)?.saturating_add(history_ms) >= self.now() {
                return (start > begun).then_some(start);
            }
            start = next;
        }
    }

    /// The time of the first frame at or behind a position.
    fn time_at(&self, lsn: Lsn) -> Option<Timestamp> {
        let mut reader = self.log.reader(lsn);
        let frame = reader.next().ok()??;
        journal::records(frame.payload, frame.payload_lsn).ok().map(|records| records.prelude().time)
    }
}
