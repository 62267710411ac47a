//! Recovery: memory as a fold of the log.
//!
//! Every worker walks the whole log and folds the wallets whose slots are its own; frames are checked and skipped far faster than debits
//! are folded, and no thread waits for another. Debits are read some dozens ahead of being folded, so that the wallets' and the identities'
//! cache lines are there when they are needed. Within a wallet records are taken in the order of the log, save one: a debit may stand
//! before the record that opened its generation (it had reserved its place before the operation did, and was applied after it); it waits
//! until that record comes.
//!
//! What is checked on the way: an operation's closing balance equals what its generation's debits leave, and the terms and balance that
//! the rules compute equal what the record says. A log in which they differ is refused.
//!
//! What a crash cut through is mended at the end, wallet by wallet, by an operation that reopens it ([`Repair`]):
//! 1. *gap*: a debit of the last generation counts on one that was lost. Its place in the row is closed up.
//! 2. *unopened*: a debit belongs to a generation whose opening was lost. It did not take place.
//! 3. *broken link*: a record points at one that was lost. It is linked to the ones that are there.
//!
//! None of those records was ever acknowledged: an acknowledgement waits for everything that was reserved before the batch's last
//! compare-and-swap, which covers the lost record each time.

use super::background::minute_end;
use super::budget::Budget;
use super::identity::Fingerprints;
use super::names::Name;
use super::repairs::Repairs;
use super::wallet::{WalletDriver, WalletGeneration, WalletOperation, WalletSlot, close};
use super::{Inner, OpenError, OpenReport, Unavailable};
use crate::journal::admin::{AdminRecord, WalletRecord};
use crate::journal::debit::DebitRecord;
use crate::journal::operation::{OperationRecord, Repair};
use crate::journal::{self, Record};
use crate::ledger::{Amount, Operation, Terms, Timestamp};
use crate::store::slot::{Driver, Opening};
use crate::store::{Guard, pin};
use drawdown_wal::{FrameRef, Lsn};
use std::collections::{BTreeMap, HashMap};

/// What one worker's walk found.
#[derive(Debug, Default)]
struct Fold {
    report: OpenReport,
    repairs: Repairs,
    latest: Timestamp,
    /// Debits of generations that have not been opened yet, by slot.
    unopened: HashMap<u32, Vec<Debit>>,
    /// Records whose predecessor has not been the chain's head yet: (slot, predecessor) -> record.
    unattached: HashMap<(u32, u64), u64>,
    /// Fingerprints of grants' keys, by the grant's number, until the grant takes effect.
    keys: HashMap<u64, u64>,
    /// Debits that were read and whose cache lines were requested, to be folded before anything else is.
    ahead: Vec<Debit>,
    fingerprints: Fingerprints,
    /// The ends of minutes, as positions of the log; see [`super::background::Horizon`].
    marks: Vec<(Timestamp, u64)>,
}

/// How many debits are read ahead.
const AHEAD: usize = 48;

/// What folding a debit takes.
#[derive(Clone, Copy, Debug)]
struct Debit {
    lsn: u64,
    slot: u32,
    generation: u32,
    amount: Amount,
    balance_after: Amount,
    previous: u64,
    fingerprint: u64,
}

/// Folds the log into an empty engine, which nobody else uses yet.
pub(super) fn replay(inner: &mut Inner, workers: u32) -> Result<OpenReport, OpenError> {
    let shared: &Inner = inner;
    let workers = workers.max(1);
    let folds = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..workers).map(|number| scope.spawn(move || Worker { inner: shared, number, workers }.fold())).collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker does not panic")).collect::<Result<Vec<_>, _>>()
    })?;
    let mut report = OpenReport::default();
    let mut mending = BTreeMap::new();
    let mut repairs = Repairs::default();
    for (worker, fold) in (0..workers).zip(folds) {
        report.add(&fold.report);
        inner.latest.fetch_max(fold.latest.millis(), std::sync::atomic::Ordering::Relaxed);
        inner.horizon.restore(fold.marks.iter().copied());
        mending.extend(fold.mending(inner, worker, workers)?);
        repairs.merge(fold.repairs);
    }
    // Before anyone asks: of two events that used one identity, a window apart, only the later one is remembered.
    inner.horizon.restore([(minute_end(Timestamp::from_millis(*inner.latest.get_mut())), inner.log.tail().get())]);
    inner.move_horizon();
    report.reopened = mending.len() as u64;
    for (slot, (generation, repair)) in mending {
        repairs.learn(&repair);
        inner.reopen(slot, generation, repair)?;
    }
    inner.repairs = repairs;
    Ok(report)
}

/// One worker of the replay.
#[derive(Clone, Copy)]
struct Worker<'a> {
    inner: &'a Inner,
    number: u32,
    workers: u32,
}

impl Worker<'_> {
    fn fold(self) -> Result<Fold, OpenError> {
        let mut fold = Fold::default();
        let mut reader = self.inner.log.reader(self.inner.log.first());
        while let Some(frame) = reader.next()? {
            self.fold_frame(&frame, &mut fold, &pin())?;
        }
        self.fold_ahead(&mut fold, &pin())?;
        Ok(fold)
    }

    fn owns(&self, slot: u32) -> bool {
        slot % self.workers == self.number
    }

    fn fold_frame(&self, frame: &FrameRef<'_>, fold: &mut Fold, guard: &Guard) -> Result<(), OpenError> {
        let records = journal::records(frame.payload, frame.payload_lsn)
            .map_err(|source| OpenError::Record { lsn: frame.lsn, source })?;
        let time = records.prelude().time;
        if self.number == 0 {
            fold.mark(time, frame.lsn.get());
        }
        fold.latest = fold.latest.max(time);
        for record in records.only(|slot| self.owns(slot)) {
            let (lsn, record) = record.map_err(|source| OpenError::Record { lsn: frame.lsn, source })?;
            self.fold_record(lsn.get(), record, fold, guard)?;
        }
        Ok(())
    }

    fn fold_record(&self, lsn: u64, record: Record<'_>, fold: &mut Fold, guard: &Guard) -> Result<(), OpenError> {
        match record {
            Record::Debit(debit) => self.read_ahead(lsn, &debit, fold, guard),
            Record::Operation(operation) => {
                self.fold_ahead(fold, guard)?;
                fold.report.operations += 1;
                self.fold_operation(lsn, *operation, fold)
            }
            Record::Admin(admin) => {
                self.fold_ahead(fold, guard)?;
                self.fold_admin(lsn, admin, fold)
            }
        }
    }

    fn slot(&self, lsn: u64, slot: u32) -> Result<&WalletSlot, OpenError> {
        let what = "a record of a wallet that was never made";
        let slot = self.inner.slab.find(slot).filter(|slot| slot.is_open_alone());
        slot.ok_or(OpenError::Inconsistent { lsn: Lsn::new(lsn), what })
    }

    fn read_ahead(&self, lsn: u64, record: &DebitRecord<'_>, fold: &mut Fold, guard: &Guard) -> Result<(), OpenError> {
        let inner = self.inner;
        let fingerprint = fold.fingerprints.of_event(&inner.seed, record.source, record.id);
        inner.slab.prefetch(record.slot);
        inner.idempotency.prefetch(fingerprint, guard);
        fold.ahead.push(Debit {
            lsn,
            slot: record.slot,
            generation: record.generation,
            amount: record.amount,
            balance_after: record.balance_after,
            previous: record.previous,
            fingerprint,
        });
        if fold.ahead.len() == AHEAD { self.fold_ahead(fold, guard) } else { Ok(()) }
    }

    /// Folds the debits that were read ahead.
    fn fold_ahead(&self, fold: &mut Fold, guard: &Guard) -> Result<(), OpenError> {
        let mut debits = std::mem::take(&mut fold.ahead);
        fold.report.debits += debits.len() as u64;
        for debit in debits.drain(..) {
            self.fold_debit(&debit, fold, guard)?;
        }
        fold.ahead = debits;
        Ok(())
    }

    fn fold_debit(&self, debit: &Debit, fold: &mut Fold, guard: &Guard) -> Result<(), OpenError> {
        let lsn = debit.lsn;
        let slot = self.slot(lsn, debit.slot)?;
        fold.attach(slot, debit.slot, lsn, debit.previous);
        let (present, _) = slot.position_alone();
        match ahead(debit.generation, present) {
            0 => self.apply(slot, debit, guard),
            1.. => fold.unopened.entry(debit.slot).or_default().push(*debit),
            // Its generation had closed before this record was read: the closing balance was checked without it.
            _ => {
                return Err(OpenError::Inconsistent {
                    lsn: Lsn::new(lsn),
                    what: "a debit of a generation that was closed without it",
                });
            }
        }
        Ok(())
    }

    fn apply(&self, slot: &WalletSlot, debit: &Debit, guard: &Guard) {
        slot.debit_alone(debit.amount.units());
        let lowest = slot.scratch_alone().cast_signed().min(debit.balance_after.units());
        slot.set_scratch_alone(lowest.cast_unsigned());
        self.inner.idempotency.insert_replayed(debit.fingerprint, debit.lsn, guard);
    }

    fn fold_operation(&self, lsn: u64, record: OperationRecord<'_>, fold: &mut Fold) -> Result<(), OpenError> {
        let handle = record.slot;
        let slot = self.slot(lsn, handle)?;
        fold.repairs.learn(&record.body.repair);
        fold.relink(slot, handle, &record.body.repair);
        fold.attach(slot, handle, lsn, record.previous);
        let (present, balance) = slot.position_alone();
        let is_reopening = record.body.operation == Operation::Reopen;
        match ahead(record.generation, present) {
            // A copy of one that has been folded.
            ..=0 => return Ok(()),
            1 => {}
            // Numbers of generations whose openings were lost are passed over.
            _ if is_reopening => {}
            _ => {
                return Err(OpenError::Inconsistent {
                    lsn: Lsn::new(lsn),
                    what: "an operation on a generation that was never opened",
                });
            }
        }
        if balance != record.closing.units() {
            return Err(OpenError::Inconsistent {
                lsn: Lsn::new(lsn),
                what: "a closing balance that its generation's debits do not lead to",
            });
        }
        let counts = self.inner.counting(lsn, &record);
        self.remember(counts, &record, fold);
        let number = present + u64::from(ahead(record.generation, present).unsigned_abs());
        Self::open_next(slot, counts, number, record)?;
        self.apply_unopened(slot, handle, number, fold, lsn)
    }

    /// Enters the identities that an operation settles.
    fn remember(&self, lsn: u64, record: &OperationRecord<'_>, fold: &mut Fold) {
        let remembered = match &record.body.operation {
            Operation::Grant(grant) if !record.body.rejected => {
                fold.keys.remove(&grant.id.get()).map(|key| (key, grant.id.get()))
            }
            _ => self.inner.carried_out(record).map(|fingerprint| (fingerprint, lsn)),
        };
        if let Some((fingerprint, lsn)) = remembered {
            self.inner.idempotency.insert_replayed(fingerprint, lsn, &pin());
        }
    }

    /// Computes the next generation again and compares it with the record.
    fn open_next(slot: &WalletSlot, lsn: u64, number: u64, record: OperationRecord<'_>) -> Result<(), OpenError> {
        let guard = pin();
        let reading = slot.read(&guard).ok_or(OpenError::Inconsistent {
            lsn: Lsn::new(lsn),
            what: "an operation on a wallet that was never opened",
        })?;
        let operation = WalletOperation::new(record.body.operation, record.time);
        let (terms, effects) = close(&reading.generation.terms().get(), record.closing.units(), &operation);
        let lots_agree = terms.lots.iter().map(|lot| (lot.id, lot.remaining)).eq(record.body.lots.iter().copied());
        let result_agrees = effects.result.is_err() == record.body.rejected;
        if terms.opening != record.opening
            || !lots_agree
            || !result_agrees
            || effects.effects.movements != record.body.movements
        {
            return Err(OpenError::Inconsistent {
                lsn: Lsn::new(lsn),
                what: "an operation whose recorded outcome is not what the rules say",
            });
        }
        slot.set_scratch_alone(terms.opening.units().cast_unsigned());
        slot.install_alone(WalletGeneration::new(number, lsn, terms.into()));
        Ok(())
    }

    /// Applies the debits that waited for generation `number`.
    fn apply_unopened(
        &self,
        slot: &WalletSlot,
        handle: u32,
        number: u64,
        fold: &mut Fold,
        lsn: u64,
    ) -> Result<(), OpenError> {
        let Some(waiting) = fold.unopened.remove(&handle) else { return Ok(()) };
        let (due, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|debit| ahead(debit.generation, number) <= 0);
        for debit in due {
            if ahead(debit.generation, number) == 0 {
                self.apply(slot, &debit, &pin());
            } else if !fold.repairs.is_dropped(debit.lsn) {
                return Err(OpenError::Inconsistent {
                    lsn: Lsn::new(lsn),
                    what: "a generation passed over without a word on its debits",
                });
            }
        }
        if !later.is_empty() {
            fold.unopened.insert(handle, later);
        }
        Ok(())
    }

    fn fold_admin(&self, lsn: u64, admin: AdminRecord, fold: &mut Fold) -> Result<(), OpenError> {
        match admin {
            AdminRecord::Wallet(wallet) if self.owns(wallet.slot) => {
                fold.report.wallets += 1;
                self.open_wallet(lsn, &wallet);
            }
            AdminRecord::Grant(grant) if self.owns(grant.slot) => {
                if let Some(key) = &grant.key {
                    fold.keys.insert(lsn, self.inner.grant_key_fingerprint(key));
                }
            }
            AdminRecord::Metadata(metadata) if self.owns(metadata.slot) => {
                self.inner.metadata.insert(metadata.slot, metadata.metadata);
            }
            AdminRecord::Wallet(_) | AdminRecord::Grant(_) | AdminRecord::Metadata(_) => {}
            _ if self.number != 0 => {}
            AdminRecord::Genesis(_) => {}
            AdminRecord::Currency(currency) => {
                let mut catalog = (*self.inner.catalog.snapshot()).clone();
                catalog.set_currency(currency).map_err(|_| gap(lsn))?;
                self.inner.catalog.replace(catalog);
            }
            AdminRecord::Meter(meter) => {
                let mut catalog = (*self.inner.catalog.snapshot()).clone();
                catalog.set_meter(meter).map_err(|_| gap(lsn))?;
                self.inner.catalog.replace(catalog);
            }
            AdminRecord::ApiKey(key) => {
                self.inner.api_keys.insert(key.id.clone(), key.into());
            }
        }
        Ok(())
    }

    fn open_wallet(&self, lsn: u64, wallet: &WalletRecord) {
        let inner = self.inner;
        inner.slab.restore(wallet.slot);
        let hash = inner.seed.wallet_hash(wallet.customer.as_bytes(), wallet.currency.0);
        inner.names.set(wallet.slot, Name { customer: &wallet.customer, currency: wallet.currency });
        let slot = inner.slab.get(wallet.slot);
        slot.open(hash.key, 0, WalletGeneration::new(1, lsn, Terms::new().into()));
        inner.index.get_or_insert_with(hash, |slot| inner.slab.get(slot).has_key(hash.key), || wallet.slot, &pin());
    }
}

impl Fold {
    /// Notes that a minute ended before the frame at `lsn`, which was written at `time`, if one did.
    fn mark(&mut self, time: Timestamp, lsn: u64) {
        let end = minute_end(self.latest);
        if end <= time {
            self.marks.push((end, lsn));
        }
    }

    /// Puts a record on its wallet's chain, once the one before it is there.
    fn attach(&mut self, slot: &WalletSlot, handle: u32, lsn: u64, previous: u64) {
        if previous == slot.last_lsn() {
            self.advance(slot, handle, lsn);
        } else {
            self.unattached.insert((handle, previous), lsn);
        }
    }

    /// Makes a record the chain's head, and what waited for it.
    fn advance(&mut self, slot: &WalletSlot, handle: u32, lsn: u64) {
        let mut head = lsn;
        while !self.unattached.is_empty() {
            let Some(next) = self.unattached.remove(&(handle, head)) else { break };
            head = next;
        }
        slot.set_last_lsn_alone(head);
    }

    /// Follows the links that an earlier recovery mended.
    fn relink(&mut self, slot: &WalletSlot, handle: u32, repair: &Repair) {
        for (record, previous) in &repair.relinked {
            let lost = self.unattached.iter().find(|((owner, _), lsn)| *owner == handle && *lsn == record);
            let Some(key) = lost.map(|(key, _)| *key) else { continue };
            self.unattached.remove(&key);
            self.attach(slot, handle, *record, *previous);
        }
    }

    /// The wallets that a crash cut through: the generation to reopen each with, and what that says.
    fn mending(&self, inner: &Inner, worker: u32, workers: u32) -> Result<BTreeMap<u32, (u64, Repair)>, OpenError> {
        let mut mending: BTreeMap<u32, (u64, Repair)> = BTreeMap::new();
        let fresh = |slot: u32| (inner.slab.get(slot).position_alone().0 + 1, Repair::default());
        let mut gaps = HashMap::new();
        for slot in (worker..inner.slab.len() as u32).step_by(workers as usize) {
            if inner.names.get(slot).is_none() {
                continue;
            }
            let (generation, balance) = inner.slab.get(slot).position_alone();
            if inner.slab.get(slot).scratch_alone().cast_signed() != balance {
                gaps.insert(slot, generation as u32);
                mending.entry(slot).or_insert_with(|| fresh(slot));
            }
        }
        for (slot, corrected) in corrections(inner, &gaps)? {
            mending.entry(slot).or_insert_with(|| fresh(slot)).1.corrected = corrected;
        }
        for (slot, debits) in &self.unopened {
            let (generation, repair) = mending.entry(*slot).or_insert_with(|| fresh(*slot));
            for debit in debits {
                let present = *generation - 1;
                let number = present.wrapping_add_signed(i64::from(ahead(debit.generation, present)));
                *generation = (*generation).max(number + 1);
                repair.dropped.push(debit.lsn);
            }
        }
        for (slot, relinked) in self.broken_links(inner) {
            mending.entry(slot).or_insert_with(|| fresh(slot)).1.relinked = relinked;
        }
        Ok(mending)
    }

    /// New links for the records whose predecessors were lost, by wallet; puts them on their chains.
    fn broken_links(&self, inner: &Inner) -> BTreeMap<u32, Vec<(u64, u64)>> {
        let mut roots: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for ((slot, previous), record) in &self.unattached {
            let is_there = self.unattached.iter().any(|((owner, _), other)| owner == slot && other == previous);
            if !is_there {
                roots.entry(*slot).or_default().push(*record);
            }
        }
        let mut links = BTreeMap::new();
        for (slot, mut records) in roots {
            records.sort_unstable();
            let cell = inner.slab.get(slot);
            let mut relinked = Vec::new();
            for record in records {
                relinked.push((record, cell.last_lsn()));
                let mut head = record;
                while let Some(next) = self.unattached.get(&(slot, head)) {
                    head = *next;
                }
                cell.set_last_lsn_alone(head);
            }
            links.insert(slot, relinked);
        }
        links
    }
}

/// The balances after the debits of cut generations, with the gaps that lost debits left closed up: for each wallet, the debits whose
/// recorded balance does not hold, and the balance that does.
fn corrections(inner: &Inner, gaps: &HashMap<u32, u32>) -> Result<BTreeMap<u32, Vec<(u64, i64)>>, OpenError> {
    let guard = pin();
    let openings = gaps.keys().filter_map(|slot| inner.slab.get(*slot).read(&guard)).map(|r| r.generation.opened_at());
    let Some(first) = openings.min() else { return Ok(BTreeMap::new()) };
    // A debit that stands before its generation's opening was still unpublished when that was reserved: it lies within the bound.
    let from = Lsn::new(first.saturating_sub(inner.config.log.max_unsynced_bytes)).max(inner.log.first());
    let mut debits: BTreeMap<u32, Vec<(i64, i64, u64)>> = BTreeMap::new();
    let mut reader = inner.log.reader(from);
    while let Some(frame) = reader.next()? {
        let corrupt = |source| OpenError::Record { lsn: frame.lsn, source };
        let records = journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)?;
        for record in records.only(|slot| gaps.contains_key(&slot)) {
            let (lsn, record) = record.map_err(corrupt)?;
            if let Record::Debit(debit) = record
                && gaps.get(&debit.slot) == Some(&debit.generation)
            {
                let place = (debit.balance_after.units(), debit.amount.units(), lsn.get());
                debits.entry(debit.slot).or_default().push(place);
            }
        }
    }
    let mut corrections = BTreeMap::new();
    for (slot, mut debits) in debits {
        let Some(reading) = inner.slab.get(slot).read(&guard) else { continue };
        let mut balance = reading.generation.terms().get().opening.units();
        debits.sort_unstable_by(|a, b| b.cmp(a));
        let mut corrected = Vec::new();
        for (recorded, amount, lsn) in debits {
            balance -= amount;
            if recorded != balance {
                corrected.push((lsn, balance));
            }
        }
        corrections.insert(slot, corrected);
    }
    Ok(corrections)
}

impl Inner {
    /// Reopens a wallet that a crash cut through, as generation `number`. Recovery is alone with the engine.
    fn reopen(&self, handle: u32, number: u64, repair: Repair) -> Result<(), OpenError> {
        let slot = self.slab.get(handle);
        let mut operation = WalletOperation::new(Operation::Reopen, self.now());
        operation.repair = repair;
        let guard = pin();
        let Some(reading) = slot.read(&guard) else { return Ok(()) };
        let (terms, effects) = close(&reading.generation.terms().get(), reading.balance, &operation);
        let new = WalletGeneration::new(number, 0, terms.into());
        let record = Opening {
            old: reading.generation,
            closing: reading.balance,
            operation: &operation,
            new: &new,
            effects: &effects,
        };
        let budget = Budget(self.admit_wait(operation.log_bytes(&reading.generation.terms().get()))?);
        let lsn = WalletDriver { handle, budget: &budget }
            .log(slot, &record)
            .ok_or(OpenError::Unavailable(Unavailable::Overloaded))?;
        new.set_opened_at(lsn);
        slot.set_scratch_alone(0);
        slot.install_alone(new);
        Ok(())
    }
}

/// How many generations a record's is ahead of the present one. Records carry the low half of the number; no two that meet are further
/// apart than that can tell.
fn ahead(record: u32, present: u64) -> i32 {
    record.wrapping_sub(present as u32).cast_signed()
}

fn gap(lsn: u64) -> OpenError {
    OpenError::Inconsistent { lsn: Lsn::new(lsn), what: "a currency or meter whose number leaves a gap" }
}
