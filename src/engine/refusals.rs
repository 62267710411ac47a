//! Usage that wallets refused, told to the feed.
//!
//! A refused event changes nothing, so the ledger has no record of it, and its answer waits for none. What followers are told of it is noted beside
//! the ledger and written by the background thread: the first refusal of a wallet at once, and then, while more are refused, one record an
//! interval with how many there were. So who goes on asking without credit fills neither the log nor the mailbox of whoever listens.
//! What was noted in the last moment before a crash is not told.
//!
//! Only refusals that a wallet decided are told: too little credit, frozen, closed. An event without a wallet concerns nobody who could be told.

use super::{Engine, Inner};
use crate::journal::admin::AdminRecord;
use crate::journal::refused::RefusedRecord;
use crate::ledger::{Amount, Rejection, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;
/// Wallets of a shard that are remembered at once: what bounds the memory of a flood over many wallets.
const WALLETS_MAX: usize = 4_096;
/// Records of one frame.
const AT_ONCE: usize = 32;

/// A refused event, as it is at hand when that is decided.
pub(super) struct Refused<'a> {
    /// When.
    pub(super) at: Timestamp,
    /// The event.
    pub(super) event_id: &'a str,
    pub(super) source: &'a str,
    pub(super) event_time: Timestamp,
    /// What it asked for.
    pub(super) amount: Amount,
    pub(super) rejection: Rejection,
    /// The wallet's then.
    pub(super) balance: Amount,
    pub(super) available: Amount,
}

impl Refused<'_> {
    fn record(&self, slot: u32) -> RefusedRecord {
        RefusedRecord {
            slot,
            at: self.at,
            event_id: self.event_id.to_owned(),
            source: self.source.to_owned(),
            event_time: self.event_time,
            amount: self.amount,
            reason: self.rejection.slug().to_owned(),
            balance: self.balance,
            available: self.available,
            count: 1,
        }
    }
}

/// What is to be told of one wallet.
#[derive(Debug, Default)]
struct Cell {
    told_at: Option<Timestamp>,
    /// The first event that was refused since, and how many were.
    waiting: Option<RefusedRecord>,
}

impl Cell {
    /// Whether nothing may be told yet.
    fn rests(&self, now: Timestamp, interval_ms: u64) -> bool {
        self.told_at.is_some_and(|told_at| now < told_at.saturating_add(interval_ms))
    }
}

/// Refusals that are still to be told.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    shards: [Mutex<HashMap<u32, Cell>>; SHARDS],
    /// Refusals for which there was no room. A number for people; hence Relaxed.
    dropped: AtomicU64,
}

impl Refusals {
    fn shard(&self, index: usize) -> MutexGuard<'_, HashMap<u32, Cell>> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a refusal. The strings are copied for the first one of an interval only.
    pub(super) fn note(&self, slot: u32, refused: &Refused<'_>) {
        let mut shard = self.shard(slot as usize % SHARDS);
        if shard.len() >= WALLETS_MAX && !shard.contains_key(&slot) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match &mut shard.entry(slot).or_default().waiting {
            Some(waiting) => waiting.count = waiting.count.saturating_add(1),
            waiting @ None => *waiting = Some(refused.record(slot)),
        }
    }

    /// What may be told now; wallets that have been quiet for an interval are forgotten.
    fn due(&self, now: Timestamp, interval_ms: u64) -> Vec<RefusedRecord> {
        let mut due = Vec::new();
        for index in 0..SHARDS {
            self.shard(index).retain(|_, cell| {
                if cell.rests(now, interval_ms) {
                    return true;
                }
                let Some(waiting) = cell.waiting.take() else { return false };
                cell.told_at = Some(now);
                due.push(waiting);
                true
            });
        }
        due
    }

    /// Takes back what could not be written, to be told the next time.
    fn put_back(&self, record: RefusedRecord) {
        let mut shard = self.shard(record.slot as usize % SHARDS);
        let cell = shard.entry(record.slot).or_default();
        let since = cell.waiting.take().map_or(0, |later| later.count);
        *cell = Cell { told_at: None, waiting: Some(RefusedRecord { count: record.count + since, ..record }) };
    }
}

impl Inner {
    /// Writes down what is to be told of refusals by now. Answers whether there was anything.
    pub(super) fn tell_refusals(&self) -> bool {
        self.tell_refusals_each(self.config.refusal_interval_ms)
    }

    /// Writes down all of it: nobody will when the interval is over.
    pub(super) fn tell_last_refusals(&self) {
        self.tell_refusals_each(0);
    }

    fn tell_refusals_each(&self, interval_ms: u64) -> bool {
        let due = self.refusals.due(self.now(), interval_ms);
        let mut is_writable = true;
        for some in due.chunks(AT_ONCE) {
            let records: Vec<_> = some.iter().cloned().map(AdminRecord::Refused).collect();
            is_writable = is_writable && self.append_admins(&records).is_ok();
            if !is_writable {
                some.iter().cloned().for_each(|record| self.refusals.put_back(record));
            }
        }
        let dropped = self.refusals.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "more wallets refuse usage at once than can be told of: these refusals are not told"
            );
        }
        !due.is_empty() && is_writable
    }
}

impl Engine {
    /// Tells the feed now of what wallets have refused, for engines that were opened without background threads. Answers whether there was
    /// anything to tell.
    pub fn tell_refusals(&self) -> bool {
        self.inner.tell_refusals()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(id: &'static str) -> Refused<'static> {
        let rejection = Rejection::InsufficientCredit { available: Amount::new(2), required: Amount::new(5) };
        Refused {
            at: Timestamp::from_millis(1),
            event_id: id,
            source: "gw",
            event_time: Timestamp::from_millis(1),
            amount: Amount::new(5),
            rejection,
            balance: Amount::new(2),
            available: Amount::new(2),
        }
    }

    #[track_caller]
    fn check(refusals: &Refusals, at_ms: u64, expected: &[(u32, &str, u64)]) {
        let mut due = refusals.due(Timestamp::from_millis(at_ms), 100);
        due.sort_by_key(|record| record.slot);
        let due: Vec<_> = due.iter().map(|record| (record.slot, record.event_id.as_str(), record.count)).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_once_an_interval() {
        let refusals = Refusals::default();
        refusals.note(1, &refused("a"));
        refusals.note(2, &refused("b"));
        check(&refusals, 1_000, &[(1, "a", 1), (2, "b", 1)]);
        for id in ["c", "d", "e"] {
            refusals.note(1, &refused(id));
        }
        check(&refusals, 1_099, &[]);
        check(&refusals, 1_100, &[(1, "c", 3)]);
        check(&refusals, 1_200, &[]);
        assert!(
            refusals.shards.iter().all(|shard| shard.lock().expect("no panic").is_empty()),
            "quiet ones are forgotten"
        );
    }

    #[test]
    fn what_could_not_be_written_is_told_later_with_what_came_since() {
        let refusals = Refusals::default();
        refusals.note(7, &refused("a"));
        let taken = refusals.due(Timestamp::from_millis(1_000), 100).pop().expect("one");
        refusals.note(7, &refused("b"));
        refusals.put_back(taken);
        check(&refusals, 1_001, &[(7, "a", 2)]);
    }

    #[test]
    fn a_flood_over_many_wallets_has_an_end() {
        let refusals = Refusals::default();
        for number in 0..=WALLETS_MAX as u32 {
            refusals.note(number * SHARDS as u32, &refused("a"));
        }
        assert_eq!(refusals.dropped.load(Ordering::Relaxed), 1);
        refusals.note(0, &refused("b"));
        assert_eq!(refusals.due(Timestamp::from_millis(1), 100).len(), WALLETS_MAX);
    }
}
