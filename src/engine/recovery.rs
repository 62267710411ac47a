//! Recovery: memory as a fold of the log, from a snapshot on where there is one.
//!
//! Every worker walks the log and folds ([`super::fold`]) the wallets whose slots are its own; frames are checked and skipped far faster
//! than debits are folded, and no thread waits for another. What a crash cut through is mended at the end ([`super::mending`]). The mending is
//! itself a record, so that every later reader agrees.

use super::background::minute_end;
use super::fold::{Count, Fold, Ground, Loose, Share};
use super::mending::mending;
use super::names::Name;
use super::repairs::Repairs;
use super::shared::shared;
use super::wallet::{WalletGeneration, WalletSlot};
use super::{Inner, OpenError, OpenReport};
use crate::journal::admin::{AdminRecord, Redeclaration, WalletRecord};
use crate::journal::alerts::DefaultLevelsRecord;
use crate::journal::frame::kind;
use crate::journal::operation::Repair;
use crate::journal::recurring::RecurringRecord;
use crate::ledger::{Terms, Timestamp};
use crate::store::{Guard, pin};
use drawdown_wal::{Log, Lsn};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// The engine's own tables.
struct EngineGround<'a>(&'a Inner);

impl Ground for EngineGround<'_> {
    #[inline]
    fn wallet(&self, slot: u32) -> Option<&WalletSlot> {
        self.0.slab.find(slot).filter(|slot| slot.is_open_alone())
    }

    #[inline]
    fn prefetch(&self, slot: u32, fingerprint: u64, guard: &Guard) {
        self.0.slab.prefetch(slot);
        self.0.idempotency.prefetch(fingerprint, guard);
    }

    fn make(&self, lsn: u64, wallet: &WalletRecord) {
        let inner = self.0;
        inner.slab.restore(wallet.slot);
        let hash = inner.seed.wallet_hash(wallet.customer.as_bytes(), wallet.currency.0);
        inner.names.set(wallet.slot, Name { customer: &wallet.customer, currency: wallet.currency });
        let slot = inner.slab.get(wallet.slot);
        slot.open(hash.key, 0, WalletGeneration::new(1, lsn, Terms::new().into()));
        inner.index.get_or_insert_with(hash, |slot| inner.slab.get(slot).has_key(hash.key), || wallet.slot, &pin());
    }

    #[inline]
    fn remember(&self, fingerprint: u64, lsn: u64, guard: &Guard) {
        self.0.idempotency.insert_replayed(fingerprint, lsn, guard);
    }

    fn enter(&self, record: AdminRecord) -> bool {
        self.0.enter(record)
    }

    fn recur(&self, schedule: u64, record: RecurringRecord) {
        self.0.enter_recurring(schedule, record);
    }

    fn redeclare(&self, lsn: u64, again: Redeclaration) {
        self.0.redeclared.insert(again.number, lsn);
    }
}

impl Inner {
    /// Enters a currency, a meter, an API key, a customer, a wallet's metadata or something of alerts that was read back. False if its number
    /// leaves a gap.
    pub(super) fn enter(&self, record: AdminRecord) -> bool {
        match record {
            AdminRecord::Metadata(metadata) => {
                self.metadata.insert(metadata.slot, metadata.metadata);
                true
            }
            AdminRecord::ApiKey(key) => {
                self.api_keys.insert(key.id.clone(), key.into());
                true
            }
            AdminRecord::Currency(currency) => {
                let mut catalog = (*self.catalog.snapshot()).clone();
                catalog.set_currency(currency).map(|()| self.catalog.replace(catalog)).is_ok()
            }
            AdminRecord::Meter(meter) => {
                let mut catalog = (*self.catalog.snapshot()).clone();
                catalog.set_meter(meter).map(|()| self.catalog.replace(catalog)).is_ok()
            }
            AdminRecord::Customer(customer) => {
                self.customers.enter(customer);
                true
            }
            AdminRecord::Billing(record) => {
                self.billing.enter(record);
                true
            }
            AdminRecord::Webhook(record) => {
                self.webhooks.enter(record);
                true
            }
            AdminRecord::DefaultLevels(record) => {
                let levels = record.levels.map(shared);
                self.defaults.enter(DefaultLevelsRecord { levels, ..record });
                true
            }
            AdminRecord::Commitments(record) => {
                self.enter_commitments(record);
                true
            }
            AdminRecord::Runway(_)
            | AdminRecord::RunwayTold(_)
            | AdminRecord::RunwayState(_)
            | AdminRecord::RunwayCursor(_) => {
                self.runways.enter(&record);
                true
            }
            AdminRecord::Genesis(_)
            | AdminRecord::Refused(_)
            | AdminRecord::Wallet(_)
            | AdminRecord::Grant(_)
            | AdminRecord::Answer(_)
            | AdminRecord::Done(_)
            | AdminRecord::Hold(_)
            | AdminRecord::Recurring(_)
            | AdminRecord::Redeclared(_) => true,
        }
    }
}

/// Folds the log from `from` on into an engine that nobody else uses yet, and that holds what lies before `from`; `loose` is what belongs
/// to that beside its tables.
pub(super) fn replay(inner: &mut Inner, from: Lsn, loose: Loose, workers: u32) -> Result<OpenReport, OpenError> {
    let shared: &Inner = inner;
    let workers = workers.max(1);
    let folds = std::thread::scope(|scope| {
        let shares = (0..).zip(split(loose, workers));
        let threads: Vec<_> = shares
            .map(|(number, loose)| scope.spawn(move || fold_and_mend(shared, from, loose, number, workers)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect::<Result<Vec<_>, _>>()
    })?;
    let mut report = OpenReport::default();
    let mut reopening = BTreeMap::new();
    let mut repairs = Repairs::default();
    for (count, loose, mended) in folds {
        report.add(&count);
        inner.latest.fetch_max(loose.latest.millis(), Ordering::Relaxed);
        inner.horizon.restore(loose.marks.iter().map(|mark| (mark.end, mark.lsn)));
        reopening.extend(mended);
        repairs.merge(loose.repairs);
    }
    // Before anyone asks: of two events that used one identity, a window apart, only the later one is remembered.
    inner.horizon.restore([(minute_end(Timestamp::from_millis(*inner.latest.get_mut())), inner.log.tail().get())]);
    inner.move_horizon();
    report.wallets = inner.index.len() as u64;
    report.reopened = reopening.len() as u64;
    for (slot, (generation, repair)) in reopening {
        repairs.learn(&repair);
        inner.reopen(slot, generation, repair)?;
    }
    inner.repairs = repairs;
    Ok(report)
}

/// What a worker comes to: what it folded, what is left beside the tables, and how its wallets are to be mended.
type Folded = (Count, Loose, BTreeMap<u32, (u64, Repair)>);

fn fold_and_mend(inner: &Inner, from: Lsn, loose: Loose, number: u32, workers: u32) -> Result<Folded, OpenError> {
    let (ground, share) = (EngineGround(inner), Share::Every { number, of: workers });
    let leads = number == 0;
    let mut fold = Fold::new(&inner.log, &inner.seed, &ground, share, leads, loose);
    let mut reader = inner.log.reader(from);
    while let Some(frame) = reader.next()? {
        fold.frame(&frame)?;
        if let Some(position) = inner.config.replayed_to.as_ref().filter(|_| leads) {
            // A figure for people.
            position.store(frame.end.get(), Ordering::Relaxed);
        }
    }
    fold.settle()?;
    let (count, loose) = (fold.count, fold.loose);
    let mended = mending(inner, &loose, number, workers)?;
    Ok((count, loose, mended))
}

/// Places at which a log is looked at to foresee what it holds, and bytes that are read at each.
const SAMPLES: u64 = 8;
const SAMPLE_BYTES: u64 = 1 << 20;

/// About how many events the log holds from `from` on: frames say how many records they have, and those of a few stretches speak for all.
pub(super) fn foresee_events(log: &Log, from: Lsn) -> u64 {
    let span = log.durable().get().saturating_sub(from.get());
    let (mut events, mut bytes) = (0, 0);
    for sample in 0..SAMPLES {
        let start = log.segment_start(Lsn::new(from.get() + span / SAMPLES * sample)).max(from);
        let mut reader = log.reader(start);
        // What cannot be read is reported by those who need it.
        while let Ok(Some(frame)) = reader.next() {
            events += if frame.kind == kind::ADMIN { 0 } else { u64::from(frame.count) };
            if frame.end.get() - start.get() >= SAMPLE_BYTES {
                break;
            }
        }
        bytes += reader.position().get() - start.get();
    }
    // A log of few segments is seen more than once, its end as well as its beginning: the share is what counts.
    let share = u128::from(events) * u128::from(span);
    u64::try_from(share.checked_div(u128::from(bytes)).unwrap_or(0)).unwrap_or(0)
}

/// Gives every worker what belongs to its wallets, and the first one what belongs to none.
fn split(loose: Loose, workers: u32) -> Vec<Loose> {
    let Loose { unopened, unattached, pending, repairs, marks, latest, run } = loose;
    let mut parts: Vec<_> = (0..workers).map(|_| Loose { latest, run, ..Loose::default() }).collect();
    let of = |slot: u32| (slot % workers) as usize;
    for (slot, debits) in unopened {
        parts[of(slot)].unopened.insert(slot, debits);
    }
    for (key, record) in unattached {
        parts[of(key.0)].unattached.insert(key, record);
    }
    for (grant, pending) in pending {
        parts[of(pending.slot)].pending.insert(grant, pending);
    }
    parts[0].repairs = repairs;
    parts[0].marks = marks;
    parts
}
