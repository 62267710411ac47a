//! The fold: what the records of the log come to, frame after frame. Recovery folds into the engine's own tables, a snapshot into tables of
//! its own; both are this one fold, and it can be cut at any frame and gone on with later.
//!
//! Within a wallet records are taken in the order of the log, save one: a debit may stand before the record that opened its generation (it
//! had reserved its place before the operation did, and was applied after it); it waits until that record comes. Debits are read some dozens
//! ahead of being folded, so that the wallets' and the identities' cache lines are there when they are needed.
//!
//! What is checked on the way: an operation's closing balance equals what its generation's debits leave, and the terms and balance that
//! the rules compute equal what the record says. A log in which they differ is refused.

use super::OpenError;
use super::answers::answer_fingerprint;
use super::background::minute_end;
use super::grants::key_fingerprint;
use super::holds::hold_fingerprint;
use super::identity::{Fingerprints, carried_out, counting, done_fingerprint};
use super::repairs::Repairs;
use super::shared::shared;
use super::wallet::{WalletGeneration, WalletOperation, WalletSlot, close};
use crate::journal::admin::{AdminRecord, Redeclaration, WalletRecord};
use crate::journal::billing::BillingRecord;
use crate::journal::debit::DebitRecord;
use crate::journal::operation::{OperationRecord, Repair};
use crate::journal::recurring::RecurringRecord;
use crate::journal::snapshot::entry::{LooseDebit as Debit, Mark, PendingGrant};
use crate::journal::{self, Record};
use crate::ledger::{Operation, Timestamp};
use crate::store::hash::Seed;
use crate::store::{Guard, pin};
use drawdown_wal::{FrameRef, Log, Lsn};
use std::collections::HashMap;

/// Where a fold keeps what it knows of wallets and catalogue. Several folds may share one, each for its own wallets.
pub(super) trait Ground {
    /// The wallet in a slot, if one was made there.
    fn wallet(&self, slot: u32) -> Option<&WalletSlot>;

    /// Fetches the lines that folding a debit will need.
    fn prefetch(&self, slot: u32, fingerprint: u64, guard: &Guard);

    /// Makes a wallet, whose record stands at `lsn`.
    fn make(&self, lsn: u64, wallet: &WalletRecord);

    /// Enters an identity that the record at `lsn` settled.
    fn remember(&self, fingerprint: u64, lsn: u64, guard: &Guard);

    /// Enters a currency, a meter, an API key, a customer, a wallet's metadata or something of alerts. False if its number leaves a gap.
    fn enter(&self, record: AdminRecord) -> bool;

    /// Enters a recurring grant, whose record stands at `schedule`.
    fn recur(&self, schedule: u64, record: RecurringRecord);

    /// Notes that the record at `lsn` says once more what a grant is.
    fn redeclare(&self, lsn: u64, again: Redeclaration);
}

/// The wallets that a fold is for.
#[derive(Clone, Debug)]
pub(super) enum Share {
    /// Every so many-th slot.
    Every {
        /// The first.
        number: u32,
        /// How far apart they are.
        of: u32,
    },
    /// The slots from the first up to the second.
    Between(u32, u32),
}

impl Share {
    /// Whether a slot is in it.
    #[inline]
    pub(super) fn owns(&self, slot: u32) -> bool {
        match *self {
            Share::Every { number, of } => slot % of == number,
            Share::Between(first, last) => first <= slot && slot < last,
        }
    }
}

/// What a fold knows beside wallets and catalogue.
#[derive(Debug, Default)]
pub(super) struct Loose {
    /// Debits of generations that have not been opened yet, by slot.
    pub(super) unopened: HashMap<u32, Vec<Debit>>,
    /// Records whose predecessor has not been the chain's head yet: (slot, predecessor) -> record.
    pub(super) unattached: HashMap<(u32, u64), u64>,
    /// Grants and holds that were declared and have not taken effect, by number.
    pub(super) pending: HashMap<u64, PendingGrant>,
    /// What recoveries have mended.
    pub(super) repairs: Repairs,
    /// The ends of minutes, as positions of the log; see [`super::background::Horizon`].
    pub(super) marks: Vec<Mark>,
    /// The latest server's time.
    pub(super) latest: Timestamp,
    /// The run of the last frame.
    pub(super) run: u32,
}

/// What was folded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) wallets: u64,
    pub(super) debits: u64,
    pub(super) operations: u64,
}

/// A fold under way.
pub(super) struct Fold<'a, G> {
    log: &'a Log,
    seed: &'a Seed,
    pub(super) ground: &'a G,
    share: Share,
    /// Whether it enters what belongs to no wallet: one of those that share the wallets does.
    leads: bool,
    pub(super) loose: Loose,
    pub(super) count: Count,
    /// The highest slot of all wallets that were seen to be made, those of other shares included, and one.
    pub(super) slots: u64,
    /// Debits that were read and whose cache lines were requested, to be folded before anything else is.
    ahead: Vec<Debit>,
    fingerprints: Fingerprints,
}

/// How many debits are read ahead.
const AHEAD: usize = 48;

impl<'a, G: Ground> Fold<'a, G> {
    /// Goes on from what an earlier part of the log came to.
    pub(super) fn new(log: &'a Log, seed: &'a Seed, ground: &'a G, share: Share, leads: bool, loose: Loose) -> Self {
        let (count, ahead, fingerprints) = (Count::default(), Vec::with_capacity(AHEAD), Fingerprints::default());
        Fold { log, seed, ground, share, leads, loose, count, slots: 0, ahead, fingerprints }
    }

    /// Folds a frame.
    pub(super) fn frame(&mut self, frame: &FrameRef<'_>) -> Result<(), OpenError> {
        let guard = &pin();
        let records = journal::records(frame.payload, frame.payload_lsn)
            .map_err(|source| OpenError::Record { lsn: frame.lsn, source })?;
        if frame.run != self.loose.run {
            // What a run declared and did not make is never made: its threads are gone.
            self.loose.pending.clear();
            self.loose.run = frame.run;
        }
        let time = records.prelude().time;
        if self.leads {
            self.mark(time, frame.lsn.get());
        }
        self.loose.latest = self.loose.latest.max(time);
        let share = self.share.clone();
        let owns = |slot| share.owns(slot);
        // Whoever leads looks at every wallet that was made.
        let mut records = if self.leads { records.only(owns) } else { records.only_of(owns) };
        loop {
            while let Some((lsn, debit)) = records.next_debit() {
                self.read_ahead(lsn.get(), &debit, guard)?;
            }
            let Some(record) = records.next() else { return Ok(()) };
            let (lsn, record) = record.map_err(|source| OpenError::Record { lsn: frame.lsn, source })?;
            self.record(lsn.get(), record, guard)?;
        }
    }

    /// Folds what was read ahead. To be called before anything that was folded is looked at.
    pub(super) fn settle(&mut self) -> Result<(), OpenError> {
        self.fold_ahead(&pin())
    }

    fn record(&mut self, lsn: u64, record: Record<'_>, guard: &Guard) -> Result<(), OpenError> {
        match record {
            Record::Debit(debit) => self.read_ahead(lsn, &debit, guard),
            Record::Operation(operation) => {
                self.fold_ahead(guard)?;
                self.count.operations += 1;
                self.operation(lsn, *operation)
            }
            Record::Admin(admin) => {
                self.fold_ahead(guard)?;
                self.admin(lsn, admin)
            }
        }
    }

    #[inline]
    fn read_ahead(&mut self, lsn: u64, record: &DebitRecord<'_>, guard: &Guard) -> Result<(), OpenError> {
        let fingerprint = self.fingerprints.of_event(self.seed, record.source, record.id);
        self.ground.prefetch(record.slot, fingerprint, guard);
        self.ahead.push(Debit {
            lsn,
            slot: record.slot,
            generation: record.generation,
            amount: record.amount,
            balance_after: record.balance_after,
            previous: record.previous,
            fingerprint,
        });
        if self.ahead.len() == AHEAD { self.fold_ahead(guard) } else { Ok(()) }
    }

    /// Folds the debits that were read ahead.
    fn fold_ahead(&mut self, guard: &Guard) -> Result<(), OpenError> {
        let mut debits = std::mem::take(&mut self.ahead);
        self.count.debits += debits.len() as u64;
        for debit in debits.drain(..) {
            self.debit(&debit, guard)?;
        }
        self.ahead = debits;
        Ok(())
    }

    fn debit(&mut self, debit: &Debit, guard: &Guard) -> Result<(), OpenError> {
        let lsn = debit.lsn;
        let slot = wallet(self.ground, lsn, debit.slot)?;
        self.loose.attach(slot, debit.slot, lsn, debit.previous);
        let (present, _) = slot.position_alone();
        match ahead(debit.generation, present) {
            0 => apply(self.ground, slot, debit, guard),
            1.. => self.loose.unopened.entry(debit.slot).or_default().push(*debit),
            // Its generation had closed before this record was read: the closing balance was checked without it.
            _ => return Err(inconsistent(lsn, "a debit of a generation that was closed without it")),
        }
        Ok(())
    }

    fn operation(&mut self, lsn: u64, record: OperationRecord<'_>) -> Result<(), OpenError> {
        let handle = record.slot;
        let slot = wallet(self.ground, lsn, handle)?;
        self.loose.repairs.learn(&record.body.repair);
        self.loose.relink(slot, handle, &record.body.repair);
        self.loose.attach(slot, handle, lsn, record.previous);
        let (present, balance) = slot.position_alone();
        let is_reopening = record.body.operation == Operation::Reopen;
        match ahead(record.generation, present) {
            // A copy of one that has been folded.
            ..=0 => return Ok(()),
            1 => {}
            // Numbers of generations whose openings were lost are passed over.
            _ if is_reopening => {}
            _ => return Err(inconsistent(lsn, "an operation on a generation that was never opened")),
        }
        if balance != record.closing.units() {
            return Err(inconsistent(lsn, "a closing balance that its generation's debits do not lead to"));
        }
        let counts = counting(self.log, lsn, &record);
        self.remember(counts, &record);
        let number = present + u64::from(ahead(record.generation, present).unsigned_abs());
        open_next(slot, counts, number, record)?;
        self.apply_unopened(slot, handle, number, lsn)
    }

    /// Enters the identities that an operation settles.
    fn remember(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        let pending = match &record.body.operation {
            Operation::Grant(grant) => self.loose.pending.remove(&grant.id.get()),
            // One that was refused is planned again, and counts on what was declared for it.
            Operation::Reverse(reversal) if !record.body.rejected => {
                let reopened = reversal.returns.iter().chain(&reversal.payers).map(|back| back.lot.id);
                for id in reopened.chain(reversal.regrant.iter().map(|grant| grant.id)) {
                    self.loose.pending.remove(&id.get());
                    // Of what had rolled over, the grant before was declared.
                    self.loose.pending.remove(&id.rolled_from().get());
                }
                None
            }
            Operation::Hold(hold) => self.loose.pending.remove(&hold.id.get()),
            Operation::TransferIn { grants } if !record.body.rejected => {
                for grant in grants {
                    self.loose.pending.remove(&grant.id.get());
                }
                None
            }
            _ => None,
        };
        let key = pending.filter(|_| !record.body.rejected).and_then(|pending| Some((pending.key?, pending.grant)));
        let remembered = key.or_else(|| carried_out(self.seed, record).map(|fingerprint| (fingerprint, lsn)));
        if let Some((fingerprint, lsn)) = remembered {
            self.ground.remember(fingerprint, lsn, &pin());
        }
    }

    /// Applies the debits that waited for generation `number`.
    fn apply_unopened(&mut self, slot: &WalletSlot, handle: u32, number: u64, lsn: u64) -> Result<(), OpenError> {
        let Some(waiting) = self.loose.unopened.remove(&handle) else { return Ok(()) };
        let (due, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|debit| ahead(debit.generation, number) <= 0);
        for debit in due {
            if ahead(debit.generation, number) == 0 {
                apply(self.ground, slot, &debit, &pin());
            } else if !self.loose.repairs.is_dropped(debit.lsn) {
                return Err(inconsistent(lsn, "a generation passed over without a word on its debits"));
            }
        }
        if !later.is_empty() {
            self.loose.unopened.insert(handle, later);
        }
        Ok(())
    }

    fn admin(&mut self, lsn: u64, admin: AdminRecord) -> Result<(), OpenError> {
        match admin {
            AdminRecord::Wallet(wallet) => {
                self.slots = self.slots.max(u64::from(wallet.slot) + 1);
                if self.share.owns(wallet.slot) {
                    self.count.wallets += 1;
                    self.ground.make(lsn, &wallet);
                }
            }
            AdminRecord::Grant(grant) => {
                if self.share.owns(grant.slot) {
                    let key = grant.key.as_ref().map(|key| key_fingerprint(self.seed, key));
                    self.loose.pending.insert(lsn, PendingGrant { grant: lsn, slot: grant.slot, key });
                }
            }
            AdminRecord::Hold(hold) => {
                if self.share.owns(hold.slot) {
                    let key = hold.id.as_ref().map(|id| hold_fingerprint(self.seed, id));
                    self.loose.pending.insert(lsn, PendingGrant { grant: lsn, slot: hold.slot, key });
                }
            }
            AdminRecord::Metadata(_)
            | AdminRecord::Commitments(_)
            | AdminRecord::Runway(_)
            | AdminRecord::RunwayTold(_)
            | AdminRecord::RunwayState(_) => {
                if admin.of_wallet().is_some_and(|(slot, _)| self.share.owns(slot)) {
                    self.ground.enter(admin);
                }
            }
            AdminRecord::Recurring(recurring) => {
                if self.share.owns(recurring.slot) {
                    self.ground.recur(lsn, recurring);
                }
            }
            AdminRecord::Redeclared(again) => {
                if self.share.owns(again.grant.slot) {
                    // Until the operation that opens the grant again is there, as if it were being made.
                    let pending = PendingGrant { grant: again.number, slot: again.grant.slot, key: None };
                    self.loose.pending.insert(again.number, pending);
                    self.ground.redeclare(lsn, again);
                }
            }
            // Told, and of no effect.
            AdminRecord::Genesis(_) | AdminRecord::Refused(_) => {}
            AdminRecord::Billing(mut billing) => {
                if self.leads {
                    if let BillingRecord::TopUp(top_up) = &mut billing {
                        top_up.declaration = top_up.declaration.resolved(lsn);
                    }
                    self.ground.enter(AdminRecord::Billing(billing.without_news()));
                }
            }
            AdminRecord::Answer(answer) => {
                if self.leads {
                    self.ground.remember(answer_fingerprint(self.seed, &answer.key), lsn, &pin());
                }
            }
            AdminRecord::Done(done) => {
                if self.leads {
                    self.ground.remember(done_fingerprint(self.seed, &done.request), lsn, &pin());
                }
            }
            AdminRecord::Webhook(_)
            | AdminRecord::Currency(_)
            | AdminRecord::Meter(_)
            | AdminRecord::ApiKey(_)
            | AdminRecord::Customer(_)
            | AdminRecord::DefaultLevels(_)
            | AdminRecord::RunwayCursor(_) => {
                if self.leads && !self.ground.enter(admin) {
                    return Err(inconsistent(lsn, "a currency or meter whose number leaves a gap"));
                }
            }
        }
        Ok(())
    }

    /// Notes that a minute ended before the frame at `lsn`, which was written at `time`, if one did.
    fn mark(&mut self, time: Timestamp, lsn: u64) {
        let end = minute_end(self.loose.latest);
        if end <= time {
            self.loose.marks.push(Mark { end, lsn });
        }
    }
}

fn wallet<G: Ground>(ground: &G, lsn: u64, slot: u32) -> Result<&WalletSlot, OpenError> {
    ground.wallet(slot).ok_or_else(|| inconsistent(lsn, "a record of a wallet that was never made"))
}

fn apply(ground: &impl Ground, slot: &WalletSlot, debit: &Debit, guard: &Guard) {
    slot.debit_alone(debit.amount.units());
    let lowest = slot.scratch_alone().cast_signed().min(debit.balance_after.units());
    slot.set_scratch_alone(lowest.cast_unsigned());
    ground.remember(debit.fingerprint, debit.lsn, guard);
}

/// Computes the next generation again and compares it with the record.
fn open_next(slot: &WalletSlot, lsn: u64, number: u64, record: OperationRecord<'_>) -> Result<(), OpenError> {
    let guard = pin();
    let reading =
        slot.read(&guard).ok_or_else(|| inconsistent(lsn, "an operation on a wallet that was never opened"))?;
    let operation = match record.body.operation {
        Operation::InheritLevels { version, levels } => {
            Operation::InheritLevels { version, levels: levels.map(shared) }
        }
        other => other,
    };
    let operation = WalletOperation::new(operation, record.time);
    let (terms, effects) = close(reading.generation.terms().get(), record.closing.units(), &operation);
    let lots_agree = terms.lots.iter().map(|lot| (lot.id, lot.remaining)).eq(record.body.lots.iter().copied());
    let result_agrees = effects.result.is_err() == record.body.rejected;
    if terms.opening != record.opening
        || !lots_agree
        || !result_agrees
        || effects.effects.movements != record.body.movements
    {
        return Err(inconsistent(lsn, "an operation whose recorded outcome is not what the rules say"));
    }
    slot.set_scratch_alone(terms.opening.units().cast_unsigned());
    slot.install_alone(WalletGeneration::new(number, lsn, terms.into()));
    Ok(())
}

impl Loose {
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
}

/// Whether a record of the log stands exactly at `lsn`.
pub(super) fn is_record(log: &Log, lsn: u64) -> bool {
    let lsn = Lsn::new(lsn);
    let Some(frame_lsn) = journal::frame_of(log, lsn) else { return false };
    let mut reader = log.reader(frame_lsn);
    match reader.next() {
        Ok(Some(frame)) if frame.lsn == frame_lsn => journal::records(frame.payload, frame.payload_lsn)
            .is_ok_and(|records| records.flatten().any(|(at, _)| at == lsn)),
        _ => false,
    }
}

/// How many generations a record's is ahead of the present one. Records carry the low half of the number; no two that meet are further
/// apart than that can tell.
pub(super) fn ahead(record: u32, present: u64) -> i32 {
    record.wrapping_sub(present as u32).cast_signed()
}

fn inconsistent(lsn: u64, what: &'static str) -> OpenError {
    OpenError::Inconsistent { lsn: Lsn::new(lsn), what }
}
