//! Runway alerts: told when what is available will not last much longer at the rate at which it is being used.
//!
//! A follower of the durable log: it reads what has been debited from the wallets that are watched, keeps an [`Estimate`] for each of them,
//! and tells an alert by an administrative record, which the feed passes on. The debit path does not know of it, and wallets that nobody
//! watches cost it no memory; while nobody watches any it does not read the log at all.
//!
//! Guarantees:
//! 1. An alert is told once an edge: *low* when the runway falls below the watch's minutes, *recovered* when it has risen by the margin
//!    beyond them. What was told is read back from the log, so a restart does not tell it again.
//! 2. Two low alerts of a wallet lie a minimum interval apart. A runway that falls below within it is told when the interval is over, if it is
//!    low still.
//! 3. A debit is counted once, across restarts: from time to time the estimates, and the position up to which they count, are noted in the
//!    log, and a start goes on from there. What was counted since is read again.
//!
//! Alerts are about the near future and the estimate follows the log, so they come a moment after the debit that brings them; balances are
//! watched exactly by levels. Rates are looked at when the wallet's records are seen, and about once a second for wallets that are low.

mod estimate;

use super::identity::counting;
use super::ticket::Ticket;
use super::view::{CommandError, WalletView};
use super::{Engine, Inner};
use crate::journal::admin::AdminRecord;
pub use crate::journal::alerts::RunwayWatch;
use crate::journal::alerts::{RunwayRecord, RunwayStateRecord, RunwayToldRecord};
use crate::journal::{self, Record};
use crate::ledger::{Amount, Operation, Status, Timestamp};
use crate::store::pin;
use dashmap::DashMap;
use drawdown_wal::{FrameRef, Lsn};
use estimate::Estimate;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most minutes that a watch can look ahead, and its margin: a year.
pub const RUNWAY_MINUTES_MAX: u32 = 366 * 24 * 60;
/// The shortest half-life of a burn rate, ms.
pub const HALF_LIFE_MS_MIN: u64 = 60_000;
/// The longest, ms: thirty days.
pub const HALF_LIFE_MS_MAX: u64 = 30 * 24 * 3_600_000;

/// Bytes of log that a step reads at the most before it looks at the runways.
const STEP_BYTES: u64 = 8 << 20;
/// How often wallets that are low are looked at without a record of theirs, ms.
const LOOK_MS: u64 = 1_000;
/// How often estimates are noted in the log, ms.
const NOTE_MS: u64 = 60_000;
/// Bytes of log that are worth noting that they have been read, if there is nothing else to note.
const NOTE_BYTES: u64 = 16 << 20;
/// Wallets whose estimates are noted in one frame.
const NOTED_TOGETHER: usize = 256;

/// A watched wallet's burn rate and runway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunwayView {
    /// The watch.
    pub watch: RunwayWatch,
    /// Told as low, and not as recovered since.
    pub low: bool,
    /// The present burn rate, in smallest units an hour.
    pub burn_per_hour: u64,
    /// How many minutes what is available lasts at that rate; none while nothing is being used.
    pub minutes: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Watches {
    watch: RunwayWatch,
    estimate: Estimate,
    /// Records up to this position have been counted.
    upto: u64,
    low: bool,
    /// When it was last told to be low.
    told_at: Option<Timestamp>,
}

/// Where the follower is.
#[derive(Debug, Default)]
struct Follower {
    /// The frame to be read next; 0 for the log's first.
    cursor: u64,
    /// Wallets whose estimates have changed since they were noted.
    changed: BTreeSet<u32>,
    /// Wallets that are to be looked at again though no record of theirs was seen.
    waiting: BTreeSet<u32>,
    looked_ms: u64,
    noted_ms: u64,
    noted: u64,
}

/// All watches, and their follower.
#[derive(Debug, Default)]
pub(super) struct Runways {
    wallets: DashMap<u32, Watches>,
    follower: Mutex<Follower>,
}

impl Runways {
    /// Enters what was logged, or what a replay reads back.
    pub(super) fn enter(&self, record: &AdminRecord) {
        match record {
            AdminRecord::Runway(runway) => self.set(runway, &mut self.follower()),
            AdminRecord::RunwayTold(told) => {
                if let Some(mut wallet) = self.wallets.get_mut(&told.slot) {
                    wallet.low = told.low;
                    if told.low {
                        wallet.told_at = Some(told.at);
                    }
                }
                if told.low {
                    self.follower().waiting.insert(told.slot);
                }
            }
            AdminRecord::RunwayState(state) => {
                if let Some(mut wallet) = self.wallets.get_mut(&state.slot) {
                    wallet.upto = state.upto;
                    wallet.estimate =
                        Estimate { weight: f64::from_bits(state.weight), at_ms: state.at_ms, since_ms: state.since_ms };
                }
            }
            AdminRecord::RunwayCursor(upto) => {
                let mut follower = self.follower();
                (follower.cursor, follower.noted) = (*upto, *upto);
            }
            _ => {}
        }
    }

    fn set(&self, record: &RunwayRecord, follower: &mut Follower) {
        let Some(watch) = record.watch else {
            self.wallets.remove(&record.slot);
            return;
        };
        let (estimate, upto) = (Estimate::since(record.at.millis()), 0);
        let mut new = Watches { watch, estimate, upto, low: false, told_at: None };
        if let Some(old) = self.wallets.get(&record.slot) {
            (new.low, new.told_at) = (old.low, old.told_at);
            // A rate of another half-life is begun anew.
            if old.watch.half_life_ms == watch.half_life_ms {
                (new.estimate, new.upto) = (old.estimate, old.upto);
            }
        }
        self.wallets.insert(record.slot, new);
        // Looked at at once: when it is set, and when a start finds it.
        follower.waiting.insert(record.slot);
    }

    fn follower(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches, and what was told of them: what the log alone says. By slot.
    pub(super) fn settings(&self) -> Vec<(u32, RunwayWatch, bool, Option<Timestamp>)> {
        let settings = |wallet: dashmap::mapref::multiple::RefMulti<'_, u32, Watches>| {
            (*wallet.key(), wallet.watch, wallet.low, wallet.told_at)
        };
        let mut all: Vec<_> = self.wallets.iter().map(settings).collect();
        all.sort_unstable_by_key(|(slot, ..)| *slot);
        all
    }

    /// A wallet's burn rate and runway, if it is watched.
    pub(super) fn view(&self, slot: u32, available: Amount, now: Timestamp) -> Option<RunwayView> {
        // Most servers watch no runway: an empty map is told without hashing.
        if self.wallets.is_empty() {
            return None;
        }
        let wallet = *self.wallets.get(&slot)?;
        let (now, half_life) = (now.millis(), wallet.watch.half_life_ms);
        Some(RunwayView {
            watch: wallet.watch,
            low: wallet.low,
            burn_per_hour: wallet.estimate.per_hour(now, half_life),
            minutes: wallet.estimate.minutes(available.units(), now, half_life),
        })
    }

    /// Counts a debit. Records that stand before the watch, or were counted by a run before this one, are not counted.
    fn count(&self, slot: u32, lsn: u64, amount: Amount, time: Timestamp) -> bool {
        let Some(mut wallet) = self.wallets.get_mut(&slot) else { return false };
        if lsn <= wallet.upto || time.millis() < wallet.estimate.since_ms {
            return false;
        }
        let half_life = wallet.watch.half_life_ms;
        wallet.estimate.count(amount.units(), time.millis(), half_life);
        true
    }
}

impl Engine {
    /// Sets a wallet's runway watch, or takes it away.
    pub fn set_runway(
        &self,
        customer: &str,
        currency: &str,
        watch: Option<RunwayWatch>,
    ) -> Result<(WalletView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (now, guard) = (inner.now(), pin());
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        if let Some(watch) = &watch {
            check(watch)?;
        }
        inner.put_runway(slot, watch, now)?;
        Ok((inner.wallet_view(slot, now, &guard)?, self.barrier()))
    }

    /// Follows the log up to its durable end and tells what is to be told, for engines that were opened without a thread for it. Answers
    /// whether there was anything to read.
    pub fn follow_runways(&self) -> bool {
        let mut read = false;
        while self.inner.follow_runways() {
            read = true;
        }
        read
    }
}

/// Checks what a watch asks for.
pub(super) fn check(watch: &RunwayWatch) -> Result<(), CommandError> {
    let invalid = |field, detail: &str| Err(CommandError::Invalid { field, detail: detail.to_owned() });
    if watch.minutes == 0 || watch.minutes > RUNWAY_MINUTES_MAX {
        return invalid("minutes", "must be 1 to 527040: a year");
    }
    if watch.margin_minutes > RUNWAY_MINUTES_MAX {
        return invalid("margin_minutes", "must be 0 to 527040: a year");
    }
    if watch.min_interval_ms > crate::ledger::Levels::INTERVAL_MS_MAX {
        return invalid("min_interval_seconds", "must be a year at most");
    }
    if !(HALF_LIFE_MS_MIN..=HALF_LIFE_MS_MAX).contains(&watch.half_life_ms) {
        return invalid("half_life_minutes", "must be 1 to 43200: thirty days");
    }
    Ok(())
}

impl Inner {
    /// Logs and enters a watch.
    pub(super) fn put_runway(&self, slot: u32, watch: Option<RunwayWatch>, at: Timestamp) -> Result<(), CommandError> {
        let present = self.runways.wallets.get(&slot).map(|wallet| wallet.watch);
        if present == watch {
            return Ok(());
        }
        // Held, so that of two first watches neither begins behind the other's record.
        let mut follower = self.runways.follower();
        if self.runways.wallets.is_empty() {
            // What lies before the first watch need never be read.
            let cursor = self.log.durable().get();
            self.append_admin(&AdminRecord::RunwayCursor(cursor))?;
            (follower.cursor, follower.noted) = (cursor, cursor);
        }
        let record = RunwayRecord { slot, watch, at };
        self.append_admin(&AdminRecord::Runway(record.clone()))?;
        self.runways.set(&record, &mut follower);
        Ok(())
    }

    /// The thread that follows the log for the sake of runways.
    pub(super) fn run_runways(&self) {
        while !self.bell.rest() {
            while self.follow_runways() && self.check_open().is_ok() {}
        }
        // What was counted need not be counted again. If the log takes nothing any more, it will be.
        let _ = self.note_runways(&mut self.runways.follower());
    }

    /// A step: reads some of what has become durable, and tells what is to be told of it. Answers whether there may be more to read.
    fn follow_runways(&self) -> bool {
        if self.runways.wallets.is_empty() {
            return false;
        }
        let now = self.now();
        let mut follower = self.runways.follower();
        let (mut seen, more) = match self.read_runways(&mut follower) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the log cannot be followed for runway alerts");
                return false;
            }
        };
        if more {
            // What is available now would be compared with what was used some time ago.
            follower.waiting.append(&mut seen);
            follower.looked_ms = 0;
        } else {
            if now.millis() >= follower.looked_ms + LOOK_MS {
                follower.looked_ms = now.millis();
                seen.extend(follower.waiting.iter().copied());
            }
            for slot in seen {
                // One that could not be told is told with the next look.
                if self.look_at_runway(slot, now).unwrap_or(true) {
                    follower.waiting.insert(slot);
                } else {
                    follower.waiting.remove(&slot);
                }
            }
        }
        let is_time = now.millis() >= follower.noted_ms + NOTE_MS;
        if is_time && (!follower.changed.is_empty() || follower.cursor >= follower.noted + NOTE_BYTES) {
            follower.noted_ms = now.millis();
            // What is not noted is read again by the next run.
            let _ = self.note_runways(&mut follower);
        }
        more
    }

    /// Reads on from the cursor: the watched wallets that had a record there, and whether more is durable.
    fn read_runways(&self, follower: &mut Follower) -> Result<(BTreeSet<u32>, bool), String> {
        let start = Lsn::new(follower.cursor).max(self.log.first());
        let mut reader = self.log.reader(start);
        let mut seen = BTreeSet::new();
        let more = loop {
            match reader.next() {
                Ok(Some(frame)) => self.read_frame(&frame, follower, &mut seen).map_err(|error| error.to_string())?,
                Ok(None) => break false,
                Err(error) => return Err(error.to_string()),
            }
            if reader.position().get() - start.get() >= STEP_BYTES {
                break true;
            }
        };
        follower.cursor = reader.position().get();
        Ok((seen, more))
    }

    fn read_frame(
        &self,
        frame: &FrameRef<'_>,
        follower: &mut Follower,
        seen: &mut BTreeSet<u32>,
    ) -> Result<(), journal::Corrupt> {
        let watched = |slot| self.runways.wallets.contains_key(&slot);
        for record in journal::records(frame.payload, frame.payload_lsn)?.only_of(watched) {
            let (lsn, record) = record?;
            let (slot, used, time) = match record {
                Record::Debit(debit) if self.repairs.is_dropped(lsn.get()) => (debit.slot, Amount::ZERO, debit.time),
                Record::Debit(debit) => (debit.slot, debit.amount, debit.time),
                // Of several copies one counts.
                Record::Operation(operation) if counting(&self.log, lsn.get(), &operation) == lsn.get() => {
                    let is_debit = matches!(operation.body.operation, Operation::Debit { .. });
                    let used = if is_debit { operation.body.taken.amount } else { Amount::ZERO };
                    (operation.slot, used, operation.time)
                }
                Record::Operation(_) | Record::Admin(_) => continue,
            };
            seen.insert(slot);
            if used > Amount::ZERO && self.runways.count(slot, lsn.get(), used, time) {
                follower.changed.insert(slot);
            }
        }
        Ok(())
    }

    /// Looks at a wallet's runway and tells what is to be told. Answers whether to look again soon.
    fn look_at_runway(&self, slot: u32, now: Timestamp) -> Result<bool, CommandError> {
        let Some(wallet) = self.runways.wallets.get(&slot).map(|wallet| *wallet) else { return Ok(false) };
        let Some((terms, balance)) = self.read_at(slot, now, &pin()) else { return Ok(false) };
        if terms.status == Status::Closed {
            return Ok(false);
        }
        let (available, watch) = (terms.available(balance), wallet.watch);
        let minutes = wallet.estimate.minutes(available.units(), now.millis(), watch.half_life_ms);
        let lasts = |limit: u64| minutes.is_none_or(|minutes| minutes >= limit);
        let is_edge = if wallet.low {
            available > Amount::ZERO && lasts(u64::from(watch.minutes) + u64::from(watch.margin_minutes))
        } else {
            !lasts(watch.minutes.into())
        };
        if !is_edge {
            return Ok(wallet.low);
        }
        let may_tell = wallet.told_at.is_none_or(|told| told.saturating_add(watch.min_interval_ms) <= now);
        if !wallet.low && !may_tell {
            return Ok(true);
        }
        let told = AdminRecord::RunwayTold(RunwayToldRecord {
            slot,
            low: !wallet.low,
            at: now,
            available,
            burn_per_hour: wallet.estimate.per_hour(now.millis(), watch.half_life_ms),
            minutes: minutes.unwrap_or(u64::MAX),
        });
        self.append_admin(&told)?;
        if let Some(mut wallet) = self.runways.wallets.get_mut(&slot) {
            wallet.low = !wallet.low;
            if wallet.low {
                wallet.told_at = Some(now);
            }
            return Ok(wallet.low);
        }
        Ok(false)
    }

    /// Notes estimates that have changed, and then how far the log has been read.
    fn note_runways(&self, follower: &mut Follower) -> Result<(), CommandError> {
        if follower.changed.is_empty() && follower.cursor < follower.noted + NOTE_BYTES {
            return Ok(());
        }
        let slots: Vec<u32> = follower.changed.iter().copied().collect();
        for slots in slots.chunks(NOTED_TOGETHER) {
            let state = |slot: &u32| {
                let wallet = *self.runways.wallets.get(slot)?;
                Some(AdminRecord::RunwayState(RunwayStateRecord {
                    slot: *slot,
                    upto: follower.cursor,
                    weight: wallet.estimate.weight.to_bits(),
                    at_ms: wallet.estimate.at_ms,
                    since_ms: wallet.estimate.since_ms,
                }))
            };
            self.append_admins(&slots.iter().filter_map(state).collect::<Vec<_>>())?;
        }
        self.append_admin(&AdminRecord::RunwayCursor(follower.cursor))?;
        follower.changed.clear();
        follower.noted = follower.cursor;
        Ok(())
    }
}
