//! The audit: every wallet's books kept again from the records alone, and compared with what the fold made of them.
//!
//! Replay asks the rules again and refuses a log in which they say something else. The audit asks no rule. For every wallet it checks that
//! 1. credits are conserved, grant by grant: what a record says is left of each follows from what was left before it, the debits between, and
//!    the movements that it names; and what is left in the end is what the engine has. What rolls over leaves one grant and enters another:
//!    granted + rolled over = debited + expired + voided + written off + rolled over + remaining - debt (written off or not).
//!    What holds set aside, take and give back is followed credit by credit, as what grants have left is;
//! 2. within a generation each debit takes over at the balance where another left, from the opening balance to the closing one;
//! 3. its records are one row: each is the predecessor of exactly one other, or the newest. Circles beside the row are told by replay, which
//!    puts a record on the row only when its predecessor is there, and mends what is left over;
//! 4. each grant and hold was declared before it was made, with the same amount, for the same wallet;
//! 5. each reversal names a debit of its wallet, goes on where the last reversal of that debit ended, and all together give back no more than
//!    it took;
//! 6. each frame holds as many records as its header says, and each record says how far it stands from its frame;
//! 7. what leaves a wallet for another one arrives there, in the same frame, in the same currency;
//! 8. money in fits together, and fits what the wallets were given: see `money`.
//!
//! Where the log's beginning has been retired, books of wallets that were made there begin with the first operation behind the blind part of
//! the log: two segments, from whose debits some may stand before them. Of those wallets 1 to 3 are checked from that operation on, save
//! their scheduled grants and their row; of those without such an operation nothing is. [`Audit::partial`] and [`Audit::unaudited`] count them.
//!
//! What recovery has mended counts as mended. Memory is bounded: so many wallets' books are kept at a time, and the log is walked again for
//! the next.

mod book;
mod money;

pub use book::Sums;

use super::snapshot::is_whole;
use super::{Engine, Inner, OpenError};
use crate::catalog::{CreditCurrency, CurrencyNumber};
use crate::journal::admin::AdminRecord;
use crate::journal::debit::DebitRecord;
use crate::journal::frame::kind;
use crate::journal::operation::OperationRecord;
use crate::journal::{self, Record};
use crate::ledger::{Amount, GrantId, Movement, OpenHold, Operation};
use crate::store::pin;
use book::{Book, Debits, Found, Holds};
use drawdown_wal::{FrameRef, Lsn};
use money::{MoneyBooks, MoneyFinding, Trail};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Wallets whose books are kept at a time, by each thread.
const WALLETS_AT_A_TIME: u32 = 1 << 20;
/// Segments at the beginning of a log that was cut: a debit may stand so far before the operation that opened its generation.
const BLIND_SEGMENTS: u64 = 2;
/// More contradictions are counted, not kept.
const FINDINGS_MAX: usize = 100;

/// A contradiction between records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The record at which it shows.
    pub lsn: Lsn,
    /// The wallet's customer and currency.
    pub wallet: Option<(String, String)>,
    /// What contradicts.
    pub what: &'static str,
}

/// A currency's wallets together.
#[derive(Clone, Debug)]
pub struct CurrencyAudit {
    /// The currency.
    pub currency: Arc<CreditCurrency>,
    /// Wallets in it.
    pub wallets: u64,
    /// Sums over the recorded movements.
    pub sums: Sums,
    /// Sum of what the grants have left.
    pub remaining: i128,
    /// Sum of debts.
    pub debt: i128,
    /// Sum of grants that have not taken effect.
    pub scheduled: i128,
    /// Sum of grants that have not been paid for.
    pub unpaid: i128,
    /// Whether the sums are those of all movements that there ever were: nothing of the currency's wallets was retired.
    pub is_whole: bool,
}

impl CurrencyAudit {
    /// Whether granted = spent + remaining + expired + voided + written off, and what left wallets for others arrived there. Of a currency
    /// whose beginning was retired it need not hold.
    pub fn is_conserved(&self) -> bool {
        self.sums.remaining() == self.remaining && self.sums.transferred_out == self.sums.transferred_in
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Debits on the fast path.
    pub debits: u64,
    /// Operations, copies included.
    pub operations: u64,
    /// Administrative records.
    pub administrative: u64,
    /// By currency, in the order in which they were made.
    pub currencies: Vec<CurrencyAudit>,
    /// Wallets whose books begin with an operation in the midst of their lives, for their beginning was retired.
    pub partial: u64,
    /// Wallets of which the log has no operation that books could begin with.
    pub unaudited: u64,
    /// Contradictions in order of position, a hundred at most.
    pub findings: Vec<Finding>,
    /// Top-ups that the log has records of.
    pub top_ups: u64,
    /// Invoices that it has records of.
    pub invoices: u64,
}

impl Engine {
    /// Audits the whole log of an engine that nobody else uses meanwhile. `position` is moved along.
    pub fn audit(&self, position: &AtomicU64) -> Result<Audit, OpenError> {
        let inner = &*self.inner;
        // What recovery has mended is part of it.
        inner.log.flush();
        let workers = inner.config.replay_workers.max(1);
        let wallets = inner.slab.len() as u32;
        let share = wallets.div_ceil(workers);
        let rounds = share.div_ceil(WALLETS_AT_A_TIME).max(1);
        let parts = workers * rounds;
        let hasher = RandomState::new();
        let mut audit = Audit::default();
        let mut totals = BTreeMap::new();
        let (mut trail, mut money) = (Trail::default(), None);
        for round in 0..rounds {
            let auditors = std::thread::scope(|scope| {
                let walk = |worker: u32| {
                    let part = round * workers + worker;
                    let mut auditor = Auditor::new(inner, &hasher, part, parts, (worker == 0).then_some(position));
                    scope.spawn(move || auditor.walk().map(|()| auditor))
                };
                let threads: Vec<_> = (0..workers).map(walk).collect();
                let join =
                    |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("an auditor does not panic");
                threads.into_iter().map(join).collect::<Result<Vec<Auditor<'_>>, OpenError>>()
            })?;
            for mut auditor in auditors {
                trail.add(std::mem::take(&mut auditor.trail));
                money = money.or(auditor.money.take());
                auditor.close(&mut audit, &mut totals);
            }
        }
        if let Some(books) = money {
            (audit.top_ups, audit.invoices) = books.counts();
            let findings = books.close(inner, trail);
            audit.findings.extend(findings.into_iter().map(|finding| of_money(inner, finding)));
        }
        audit.currencies = totals.into_values().collect();
        audit.findings.sort_by_key(|finding| finding.lsn);
        audit.findings.truncate(FINDINGS_MAX);
        Ok(audit)
    }
}

/// Sums over what a wallet holds.
struct Holdings {
    remaining: i128,
    debt: i128,
    scheduled: i128,
    unpaid: i128,
}

/// Audits the wallets of one part: those whose slot, divided by the number of parts, leaves the part's number.
struct Auditor<'a> {
    inner: &'a Inner,
    hasher: &'a RandomState,
    /// Operations from here on are ones that a wallet's books may begin with.
    sighted: u64,
    part: u32,
    parts: u32,
    position: Option<&'a AtomicU64>,
    books: HashMap<u32, Book>,
    /// Debits of generations that have not been opened yet, by slot and generation, with the position of one of them.
    ahead: HashMap<(u32, u32), (Debits, u64)>,
    /// Declared grants and holds that have not been made.
    declared: HashMap<u64, (u32, Amount)>,
    /// What these wallets' operations have to do with top-ups.
    trail: Trail,
    /// The books of money in, which the first part keeps.
    money: Option<MoneyBooks>,
    audit: Audit,
}

impl<'a> Auditor<'a> {
    fn new(inner: &'a Inner, hasher: &'a RandomState, part: u32, parts: u32, position: Option<&'a AtomicU64>) -> Self {
        let (mut books, ahead, declared) = (HashMap::new(), HashMap::new(), HashMap::new());
        let start = inner.log.segment_start(inner.log.first());
        if !is_whole(&inner.log) {
            let of_part = (part..inner.slab.len() as u32).step_by(parts as usize);
            let made = of_part.filter(|slot| inner.names.get(*slot).is_some());
            books.extend(made.map(|slot| (slot, Book::unbegun())));
        }
        let sighted = start.get() + BLIND_SEGMENTS * inner.log.segment_bytes();
        let (trail, audit) = (Trail::default(), Audit::default());
        let money = (part == 0).then(|| MoneyBooks::new(inner));
        Auditor { inner, hasher, sighted, part, parts, position, books, ahead, declared, trail, money, audit }
    }

    fn owns(&self, slot: u32) -> bool {
        slot % self.parts == self.part
    }

    fn find(&mut self, lsn: u64, slot: Option<u32>, what: Found) {
        if self.audit.findings.len() < FINDINGS_MAX {
            let catalog = self.inner.catalog.snapshot();
            let name = slot.and_then(|slot| self.inner.names.get(slot));
            let wallet = name.map(|name| {
                let currency = catalog.currency_by_number(name.currency);
                (name.customer.to_owned(), currency.map_or_else(String::new, |currency| currency.id.clone()))
            });
            self.audit.findings.push(Finding { lsn: Lsn::new(lsn), wallet, what });
        }
    }

    fn walk(&mut self) -> Result<(), OpenError> {
        let mut reader = self.inner.log.reader(self.inner.log.first());
        while let Some(frame) = reader.next()? {
            self.frame(&frame)?;
            if let Some(position) = self.position {
                // A figure to be shown.
                position.store(frame.end.get(), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: &FrameRef<'_>) -> Result<(), OpenError> {
        let corrupt = |source| OpenError::Record { lsn: frame.lsn, source };
        let records = journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)?;
        if self.part == 0 {
            self.check_frame(frame, &records);
        }
        let (part, parts) = (self.part, self.parts);
        for record in records.only(|slot| slot % parts == part) {
            let (lsn, record) = record.map_err(corrupt)?;
            match record {
                Record::Debit(debit) => self.debit(lsn.get(), &debit),
                Record::Operation(operation) => self.operation(lsn.get(), &operation),
                Record::Admin(admin) => self.admin(lsn.get(), &admin),
            }
        }
        Ok(())
    }

    fn check_frame(&mut self, frame: &FrameRef<'_>, records: &journal::frame::Records<'_>) {
        let (mut count, mut distances_hold) = (0, true);
        for (lsn, distance) in records.places() {
            count += 1;
            distances_hold &= u64::from(distance) == lsn.get() - frame.payload_lsn.get();
        }
        if count != frame.count {
            self.find(frame.lsn.get(), None, "the frame holds another number of records than its header says");
        }
        if !distances_hold {
            self.find(frame.lsn.get(), None, "a record stands elsewhere in its frame than it says");
        }
        if frame.kind == kind::OPERATION && frame.count > 1 {
            self.check_transfers(records);
        }
    }

    /// Whether each side of a transfer has another one in the frame, which gives or gets as much.
    fn check_transfers(&mut self, records: &journal::frame::Records<'_>) {
        // Wallet, the other one, and what the wallet gives.
        let mut sides: Vec<(Lsn, u32, Option<u32>, i128)> = Vec::new();
        for (lsn, record) in records.clone().flatten() {
            let Record::Operation(record) = record else { continue };
            let gives = match &record.body.operation {
                Operation::TransferOut { amount, .. } => i128::from(amount.units()),
                Operation::TransferIn { grants } => {
                    -grants.iter().map(|grant| i128::from(grant.amount.units())).sum::<i128>()
                }
                _ => continue,
            };
            let other = record.body.note.as_ref().and_then(|note| note.other);
            sides.push((lsn, record.slot, other, gives));
        }
        let currency = |slot| self.inner.names.get(slot).map(|name| name.currency);
        let answers = |(_, slot, other, gives): &(Lsn, u32, Option<u32>, i128)| {
            let is_answer = |side: &&(Lsn, u32, Option<u32>, i128)| {
                (Some(side.1), side.2, side.3) == (*other, Some(*slot), -gives) && currency(side.1) == currency(*slot)
            };
            sides.iter().filter(is_answer).count() == 1
        };
        let alone: Vec<_> = sides.iter().filter(|side| !answers(side)).map(|side| (side.0, side.1)).collect();
        for (lsn, slot) in alone {
            self.find(lsn.get(), Some(slot), "a side of a transfer without the other one");
        }
    }

    fn hash(&self, position: u64) -> u64 {
        self.hasher.hash_one(position)
    }

    /// The book of a wallet, with a record of it linked.
    fn link(&mut self, lsn: u64, slot: u32, previous: u64) -> Option<&mut Book> {
        let previous = self.inner.repairs.previous(lsn).unwrap_or(previous);
        let ends = self.hash(lsn).wrapping_sub(self.hash(previous));
        if !self.books.contains_key(&slot) {
            self.find(lsn, Some(slot), "a record of a wallet that was never made");
        }
        let book = self.books.get_mut(&slot)?;
        book.links = book.links.wrapping_add(ends);
        Some(book)
    }

    fn debit(&mut self, lsn: u64, debit: &DebitRecord<'_>) {
        self.audit.debits += 1;
        let Some(present) = self.link(lsn, debit.slot, debit.previous).map(|book| book.generation) else { return };
        if self.inner.repairs.is_dropped(lsn) {
            return;
        }
        let amount = i128::from(debit.amount.units());
        let after = self.inner.repairs.balance_after(lsn).unwrap_or(debit.balance_after);
        let after = i128::from(after.units());
        if amount < 0 {
            self.find(lsn, Some(debit.slot), "a debit of less than nothing");
        }
        let has_begun = present > 0;
        let steps = self.hasher.hash_one(after + amount).wrapping_sub(self.hasher.hash_one(after));
        let debits = Debits { sum: amount, steps };
        match debit.generation.wrapping_sub(present).cast_signed() {
            _ if !has_begun => {
                self.ahead.entry((debit.slot, debit.generation)).or_insert((Debits::default(), lsn)).0.add(debits);
            }
            0 => {
                if let Some(book) = self.books.get_mut(&debit.slot) {
                    book.debit(debits);
                }
            }
            1.. => self.ahead.entry((debit.slot, debit.generation)).or_insert((Debits::default(), lsn)).0.add(debits),
            _ => self.find(lsn, Some(debit.slot), "a debit of a generation that was closed without it"),
        }
    }

    fn operation(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        self.audit.operations += 1;
        let slot = record.slot;
        let Some(present) = self.link(lsn, slot, record.previous).map(|book| book.generation) else { return };
        self.trail.note_grants(record);
        if present == 0 {
            self.begin(lsn, record);
            return;
        }
        let ahead = record.generation.wrapping_sub(present).cast_signed();
        if ahead <= 0 {
            // A copy of one that was made.
            return;
        }
        self.trail.note_claw_back(lsn, record);
        self.trail.note_charge(lsn, record);
        if ahead > 1 && record.body.operation != Operation::Reopen {
            self.find(lsn, Some(slot), "an operation on a generation that was never opened");
        }
        self.check_declared(lsn, record);
        self.check_reversed(lsn, record);
        let hasher = self.hasher;
        let Some(book) = self.books.get_mut(&slot) else { return };
        let steps = book.check_steps(|balance| hasher.hash_one(balance));
        let outcome = steps.and_then(|()| book.operate(record));
        if let Err(what) = outcome {
            self.find(lsn, Some(slot), what);
            // The others are still worth looking at.
            self.books.entry(slot).and_modify(|book| book.generation = record.generation);
        }
        self.enter_ahead(slot, record.generation);
    }

    /// Enters the debits of a generation that stood before its opening.
    fn enter_ahead(&mut self, slot: u32, generation: u32) {
        if let Some((debits, _)) = self.ahead.remove(&(slot, generation))
            && let Some(book) = self.books.get_mut(&slot)
        {
            book.debit(debits);
        }
    }

    /// Begins a wallet's books, whose beginning was retired, with an operation.
    fn begin(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        if lsn < self.sighted {
            return;
        }
        self.books.entry(record.slot).and_modify(|book| book.begin(record));
        // Of the generations before not all is known.
        let signed = |generation: u32| generation.wrapping_sub(record.generation).cast_signed();
        self.ahead.retain(|(slot, generation), _| *slot != record.slot || signed(*generation) >= 0);
        self.enter_ahead(record.slot, record.generation);
    }

    fn check_declared(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        let (Operation::Grant(_) | Operation::Hold(_) | Operation::Reverse(_) | Operation::TransferIn { .. }) =
            record.body.operation
        else {
            return;
        };
        for movement in &record.body.movements {
            // Their numbers are the positions of their declarations.
            let (number, amount) = match *movement {
                Movement::Granted { grant, amount }
                | Movement::Scheduled { grant, amount }
                | Movement::AwaitsPayment { grant, amount }
                | Movement::TransferredIn { grant, amount } => (grant.get(), amount),
                Movement::Held { hold, amount } => (hold.get(), amount),
                _ => continue,
            };
            let is_retired = number < self.inner.log.first().get();
            if !is_retired && self.declared.remove(&number) != Some((record.slot, amount)) {
                self.find(
                    lsn,
                    Some(record.slot),
                    "a grant or a hold was made otherwise than it was declared, or never was",
                );
            }
        }
    }

    /// Whether a reversal names a debit of its wallet that took as much as it says.
    fn check_reversed(&mut self, lsn: u64, record: &OperationRecord<'_>) {
        let Operation::Reverse(reversal) = &record.body.operation else { return };
        if record.body.rejected || reversal.debit < self.inner.log.first().get() {
            return;
        }
        let mut view = None;
        let debit = journal::read_at(&self.inner.log, Lsn::new(reversal.debit), &mut view);
        let took = match debit {
            Ok(Record::Debit(debit)) => Some((debit.slot, debit.amount)),
            Ok(Record::Operation(debit)) if !debit.body.rejected => Some((debit.slot, debit.body.taken.amount)),
            _ => None,
        };
        if took != Some((record.slot, reversal.taken)) {
            self.find(
                lsn,
                Some(record.slot),
                "what a reversal gives back is no debit of its wallet, or took another amount",
            );
        }
    }

    fn admin(&mut self, lsn: u64, admin: &AdminRecord) {
        match admin {
            AdminRecord::Wallet(wallet) if self.owns(wallet.slot) => self.wallet(lsn, wallet.slot),
            AdminRecord::Grant(grant) if self.owns(grant.slot) => {
                self.declared.insert(lsn, (grant.slot, grant.amount));
                if grant.declared.payment.is_some() {
                    self.trail.declare(lsn);
                }
            }
            AdminRecord::Billing(record) => {
                if let Some(money) = &mut self.money {
                    money.enter(lsn, record);
                }
            }
            AdminRecord::Hold(hold) if self.owns(hold.slot) => {
                self.declared.insert(lsn, (hold.slot, hold.amount));
            }
            _ => {}
        }
        self.audit.administrative += u64::from(self.part == 0);
    }

    fn wallet(&mut self, lsn: u64, slot: u32) {
        let before = self.books.insert(slot, Book::new());
        if before.is_some_and(|book| book.is_whole || book.links != 0) {
            self.find(lsn, Some(slot), "a wallet is made twice");
        }
    }

    /// Compares the books with the engine, and enters them into the totals.
    fn close(mut self, audit: &mut Audit, totals: &mut BTreeMap<u16, CurrencyAudit>) {
        let catalog = self.inner.catalog.snapshot();
        for ((slot, _), (_, lsn)) in std::mem::take(&mut self.ahead) {
            if self.books.get(&slot).is_some_and(|book| !book.has_begun()) {
                continue;
            }
            self.find(lsn, Some(slot), "a debit of a generation that was never opened");
        }
        for (slot, book) in std::mem::take(&mut self.books) {
            if let Err(what) = self.compare(slot, &book) {
                self.find(self.inner.slab.get(slot).last_lsn(), Some(slot), what);
            }
            let name = self.inner.names.get(slot);
            let Some(currency) = name.and_then(|name| catalog.currency_by_number(name.currency)) else {
                self.find(0, Some(slot), "a wallet of a currency that was never made");
                continue;
            };
            self.audit.partial += u64::from(!book.is_whole && book.has_begun());
            self.audit.unaudited += u64::from(!book.has_begun());
            let Some(holdings) = self.holdings(slot) else { continue };
            let total = totals.entry(currency.number.0).or_insert_with(|| CurrencyAudit {
                currency: Arc::clone(currency),
                wallets: 0,
                sums: Sums::default(),
                remaining: 0,
                debt: 0,
                scheduled: 0,
                unpaid: 0,
                is_whole: true,
            });
            total.is_whole &= book.is_whole;
            total.wallets += 1;
            total.sums.add(&book.sums());
            // What books there are agree with it, or that they do not is among the findings.
            total.remaining += holdings.remaining;
            total.debt += holdings.debt;
            total.scheduled += holdings.scheduled;
            total.unpaid += holdings.unpaid;
        }
        audit.debits += self.audit.debits;
        audit.operations += self.audit.operations;
        audit.administrative += self.audit.administrative;
        audit.partial += self.audit.partial;
        audit.unaudited += self.audit.unaudited;
        audit.findings.append(&mut self.audit.findings);
    }

    /// What the engine has of a wallet, in sums.
    fn holdings(&self, slot: u32) -> Option<Holdings> {
        let guard = pin();
        let reading = self.inner.slab.get(slot).read(&guard)?;
        let terms = reading.generation.terms().get();
        let holdings = terms.lots_at(Amount::new(reading.balance));
        let sum = |lots: &[crate::ledger::Lot]| lots.iter().map(|lot| i128::from(lot.remaining.units())).sum::<i128>();
        let remaining = sum(&holdings.lots) + i128::from(terms.reserved().units());
        let debt = holdings.debt.units().into();
        let unpaid = terms.riders.unpaid.iter().map(|unpaid| i128::from(unpaid.lot.remaining.units())).sum();
        Some(Holdings { remaining, debt, scheduled: sum(&terms.scheduled), unpaid })
    }

    /// Compares a wallet's books with what the engine has.
    fn compare(&self, slot: u32, book: &Book) -> Result<(), Found> {
        if !book.has_begun() {
            return Ok(());
        }
        let cell = self.inner.slab.get(slot);
        let guard = pin();
        let reading = cell.read(&guard).ok_or("a wallet that the engine does not have")?;
        if reading.generation.number() as u32 != book.generation || i128::from(reading.balance) != book.balance() {
            return Err("the wallet's balance is not what its records lead to");
        }
        let (lots, debt) = book.holdings();
        let left: i128 = lots.iter().map(|(_, left)| left).sum::<i128>() + book.held();
        if book.is_whole && (book.sums.balance() != book.balance() || book.sums().remaining() != left) {
            return Err("what was granted is not what was spent, expired, voided, written off and is left");
        }
        book.check_steps(|balance| self.hasher.hash_one(balance))?;
        if book.is_whole && book.links != self.hash(cell.last_lsn()).wrapping_sub(self.hash(0)) {
            return Err("the wallet's records are not one row");
        }
        let terms = reading.generation.terms().get();
        let holdings = terms.lots_at(Amount::new(reading.balance));
        let mut lots = lots;
        lots.retain(|(_, left)| *left != 0);
        let whole = |lot: &crate::ledger::Lot| (lot.id, i128::from(lot.remaining.units()));
        let sorted = |mut lots: Vec<(GrantId, i128)>| {
            lots.sort_unstable_by_key(|(id, _)| *id);
            lots
        };
        if sorted(lots) != sorted(holdings.lots.iter().map(whole).collect())
            || (book.holds().is_some() || terms.holds.is_empty()) && debt != i128::from(holdings.debt.units())
        {
            return Err("what is left of the wallet's grants is not what its records lead to");
        }
        if book.holds().is_some_and(|holds| !agree(holds, &terms.holds)) {
            return Err("what is held of the wallet's grants is not what its records lead to");
        }
        if book.is_whole && sorted(book.scheduled().to_vec()) != sorted(terms.scheduled.iter().map(whole).collect()) {
            return Err("the wallet's scheduled grants are not those that its records lead to");
        }
        let unpaid = terms.riders.unpaid.iter().map(|unpaid| whole(&unpaid.lot)).collect();
        if book.is_whole && sorted(book.unpaid().to_vec()) != sorted(unpaid) {
            return Err("the wallet's grants that wait for payment are not those that its records lead to");
        }
        Ok(())
    }
}

/// A contradiction in money in, with the names that its wallet has.
fn of_money(inner: &Inner, (lsn, wallet, what): MoneyFinding) -> Finding {
    let catalog = inner.catalog.snapshot();
    let named = |(customer, number): (String, CurrencyNumber)| {
        let currency = catalog.currency_by_number(number);
        (customer, currency.map_or_else(String::new, |currency| currency.id.clone()))
    };
    Finding { lsn: Lsn::new(lsn), wallet: wallet.map(named), what }
}

/// Whether the books' holds are those that the engine has.
fn agree(books: &Holds, engine: &[OpenHold]) -> bool {
    let (mut open, mut parts) = (books.open.clone(), books.parts.clone());
    let left = |hold: &OpenHold| (hold.id, i128::from(hold.remaining.units()));
    let of_hold = |hold: &OpenHold| {
        let id = hold.id;
        hold.parts.iter().map(move |part| (id, part.lot.id, i128::from(part.lot.remaining.units()))).collect::<Vec<_>>()
    };
    let mut engine_open: Vec<_> = engine.iter().map(left).collect();
    let mut engine_parts: Vec<_> = engine.iter().flat_map(of_hold).collect();
    open.sort_unstable();
    parts.sort_unstable();
    engine_open.sort_unstable();
    engine_parts.sort_unstable();
    (open, parts) == (engine_open, engine_parts)
}
