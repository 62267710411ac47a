//! Reversals: what a debit took goes back to where it came from, wholly or in parts.
//!
//! # Whence it came
//! A debit's record and its generation's lots say who paid it; that is read from the log, as for the history. It is given back from its end:
//! first the debt, which was made when no grant had anything left, then the grants, the last one spent first. A second reversal goes on where
//! the first one ended.
//!
//! # What has been taken back already
//! Debits on the fast path carry no state, and no table keeps what was reversed: the wallet's own operations say it. A reversal is one of
//! them and names its debit; every operation names the one before it; so a walk from the present generation down to the debit's finds all its
//! reversals. Whoever looks for the lots of the debit's generation walks the same records anyway.
//!
//! Two reversals of one debit cannot both count on the same remainder: each is installed as the end of the very generation that its walk began
//! at. Whichever comes second finds that generation ended, and walks again, past the first. So nobody waits for anybody, nothing is
//! remembered beyond the log, and no window limits for how long a reversal is known: as long as the debit's record is there to be
//! reversed, all that lies behind it is, too.
//!
//! # Where it goes
//! The rules decide ([`crate::ledger::Reversal`]); what they need to know of grants that the wallet does not hold any more is gathered here:
//! how each ended, and the terms of those that were depleted. Before one of those is opened again, what was declared of it is said once more
//! in the log ([`Redeclaration`]), for snapshots keep what was declared of held grants only.

use super::adjustment::{declaration, given};
use super::view::{Expired, ReversalRequest, ReversalView};
use super::{Done, check_note};
use crate::catalog::Metadata;
use crate::engine::catalog::CreditCurrency;
use crate::engine::fold::ahead;
use crate::engine::grants::Declaration;
use crate::engine::history::unreadable;
use crate::engine::identity::counting;
use crate::engine::openings::Openings;
use crate::engine::ticket::{Ticket, poisoned_error};
use crate::engine::view::CommandError;
use crate::engine::wallet::{WalletOperation, WalletRules};
use crate::engine::{Engine, Inner};
use crate::journal::admin::{AdminRecord, GrantRecord, Redeclaration};
use crate::journal::note::{Asked, Note, NoteKind};
use crate::journal::{Corrupt, Record};
use crate::ledger::{
    Amount, Expiry, GrantId, Lot, Movement, NewGrant, Operation, Return, Reversal, Terms, Timestamp, Unpaid, transition,
};
use crate::store::pin;
use crate::store::slot::Reading;
use drawdown_wal::Lsn;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl Engine {
    /// Gives back what a debit took, or a part of it. Answers whether that is the answer to an earlier request with the same key.
    ///
    /// Refused (`already_reversed`) if less of the debit is left, and (`not_reversible`) if the entry is no debit. Blocks until the debit is
    /// durable.
    pub fn reverse(&self, request: &ReversalRequest) -> Result<(ReversalView, bool, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (view, replayed) = inner.reverse(request)?;
        Ok((view, replayed, self.barrier()))
    }
}

/// A debit that can be given back.
#[derive(Debug)]
struct Debit {
    lsn: u64,
    slot: u32,
    /// The low half of the number of the generation behind whose opening everything that came after the debit lies.
    generation: u32,
    taken: Amount,
    /// Whether the debit is an operation, and opened that generation itself.
    is_operation: bool,
    payment: Payment,
}

/// Who paid a debit.
#[derive(Debug)]
enum Payment {
    /// What the lots of its generation had left between these balances.
    Between(Amount, Amount),
    /// These grants, in the order in which they were spent, and debt.
    By(Vec<(GrantId, Amount)>, Amount),
}

impl Inner {
    fn reverse(&self, request: &ReversalRequest) -> Result<(ReversalView, bool), CommandError> {
        check_note(request.key.as_deref(), request.reason.as_deref())?;
        let debit = self.find_debit(request.entry)?;
        let currency = self.currency_of(debit.slot)?;
        let amount = request.amount.map(|amount| Amount::from_decimal(amount, currency.scale)).transpose();
        let amount = amount.map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
        if amount.is_some_and(|amount| amount <= Amount::ZERO) {
            return Err(CommandError::Invalid { field: "amount", detail: "must be greater than zero".to_owned() });
        }
        let mut note = Note::new(NoteKind::Reversal);
        note.key.clone_from(&request.key);
        note.reason.clone_from(&request.reason);
        note.asked = Asked { all: amount.is_none(), regrant: request.expired == Expired::Regrant, rest: None };
        let is_same = |done: &Done| match &done.operation {
            Operation::Reverse(earlier) => {
                earlier.debit == debit.lsn
                    && (done.note.asked, &done.note.reason) == (note.asked, &note.reason)
                    && amount.is_none_or(|amount| earlier.amount() == Some(amount))
            }
            _ => false,
        };
        let make = || {
            let (guard, now) = (pin(), self.now());
            let mut declared = Declared::default();
            self.carry_out(debit.slot, &guard, |reading| {
                let reversal = self.plan_reversal(&debit, amount, &note, reading, now, &mut declared)?;
                Ok(WalletOperation::noted(Operation::Reverse(Box::new(reversal)), now, note.clone()))
            })
        };
        let (done, replayed) = self.once(request.key.as_deref(), is_same, make)?;
        Ok((self.reversal_view(done)?, replayed))
    }

    fn currency_of(&self, slot: u32) -> Result<Arc<CreditCurrency>, CommandError> {
        let name = self.names.get(slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        let catalog = self.catalog.snapshot();
        let currency = catalog.currency_by_number(name.currency);
        currency.cloned().ok_or(CommandError::NotFound { what: "credit_currency" })
    }

    /// The debit whose entry this is.
    fn find_debit(&self, entry: Lsn) -> Result<Debit, CommandError> {
        let (lsn, missing) = (entry.get(), CommandError::NotFound { what: "entry" });
        if self.is_retired(lsn) {
            return Err(self.retired());
        }
        if entry >= self.log.tail() {
            return Err(missing);
        }
        if entry >= self.log.durable() {
            self.log.wait_durable(self.log.tail()).map_err(|poisoned| poisoned_error(&poisoned))?;
        }
        if !self.is_record(lsn) || self.repairs.is_dropped(lsn) {
            return Err(missing);
        }
        let mut view = None;
        let record = match self.read_record(lsn, &mut view) {
            Err(_) if self.is_retired(lsn) => return Err(self.retired()),
            record => record.map_err(unreadable)?,
        };
        match record {
            Record::Debit(debit) => {
                let after = self.repairs.balance_after(lsn).unwrap_or(debit.balance_after);
                let before =
                    after.checked_add(debit.amount).ok_or_else(|| unreadable(Corrupt::Malformed("balance")))?;
                Ok(Debit {
                    lsn,
                    slot: debit.slot,
                    generation: debit.generation,
                    taken: debit.amount,
                    is_operation: false,
                    payment: Payment::Between(before, after),
                })
            }
            Record::Operation(operation) => {
                let body = &operation.body;
                match body.operation {
                    Operation::Debit { .. }
                    | Operation::Charge { .. }
                    | Operation::Capture { .. }
                    | Operation::LateCapture { .. }
                        if !body.rejected => {}
                    _ => return Err(not_reversible()),
                }
                // Of several copies one is the entry.
                if counting(&self.log, lsn, &operation) != lsn {
                    return Err(missing);
                }
                let (mut parts, mut debt) = (Vec::new(), Amount::ZERO);
                for movement in &body.movements {
                    match *movement {
                        Movement::Spent { grant, amount } | Movement::PartSpent { grant, amount, .. } => {
                            parts.push((grant, amount));
                        }
                        Movement::Overdrawn { amount } => debt = amount,
                        _ => {}
                    }
                }
                Ok(Debit {
                    lsn,
                    slot: operation.slot,
                    generation: operation.generation,
                    taken: body.taken.amount,
                    is_operation: true,
                    payment: Payment::By(parts, debt),
                })
            }
            Record::Admin(_) => Err(missing),
        }
    }

    /// What is to be given back of a debit, as the wallet stands at a reading.
    fn plan_reversal(
        &self,
        debit: &Debit,
        amount: Option<Amount>,
        note: &Note,
        reading: &Reading<'_, WalletRules>,
        now: Timestamp,
        declared: &mut Declared,
    ) -> Result<Reversal, CommandError> {
        let number = reading.generation.number();
        if ahead(debit.generation, number) > 0 {
            // An operation that is not finished yet, named by somebody who guessed.
            return Err(CommandError::NotFound { what: "entry" });
        }
        let terms = &*reading.generation.terms().get();
        let mut past = Past::new(self, debit.slot, reading.generation.opened_at());
        // What has fallen due comes before the reversal, in the same operation.
        let due = terms.deadline().is_some_and(|deadline| deadline <= now);
        let due = due.then(|| transition(terms, Amount::new(reading.balance), &Operation::Due, now));
        let (present, balance) = match &due {
            Some(due) => {
                past.see(&due.effects.movements, now);
                (&due.terms, due.terms.opening)
            }
            None => (terms, Amount::new(reading.balance)),
        };
        past.walk_to(debit)?;
        let reversed = past.reversed;
        let left = debit.taken.checked_sub(reversed).ok_or_else(|| unreadable(Corrupt::Malformed("reversal")))?;
        let amount = amount.unwrap_or(left);
        if amount > left || left == Amount::ZERO {
            return Err(already_reversed(amount, left, self.currency_of(debit.slot)?.scale));
        }
        let (parts, debt) = match &debit.payment {
            Payment::By(parts, debt) => (parts.clone(), *debt),
            Payment::Between(before, after) => {
                let mut openings = Openings::from(&self.log, debit.slot, number, reading.generation.opened_at(), terms);
                // Asked twice, for what the first asking borrows.
                if let Err(error) = openings.find(debit.generation) {
                    let is_retired = openings.position().is_some_and(|at| self.is_retired(at));
                    return Err(if is_retired { self.retired() } else { unreadable(error) });
                }
                let opening = openings.find(debit.generation).map_err(unreadable)?;
                let allocation = opening.allocate(*before, *after);
                (allocation.parts, allocation.debt)
            }
        };
        let mut slice = Slice { skip: reversed, rest: amount };
        let debt = slice.of(debt);
        let parts: Vec<_> = parts.into_iter().rev().map(|(grant, part)| (grant, slice.of(part))).collect();
        let owed = present.lots_at(balance).debt;
        let payers = past.payers(debt.checked_sub(owed).unwrap_or(Amount::ZERO))?;
        let mut resolve = |parts: Vec<(GrantId, Amount)>| {
            let parts = parts.into_iter().filter(|(_, amount)| *amount > Amount::ZERO);
            let parts = parts.map(|(grant, amount)| past.resolve(grant, amount, present, now, declared));
            parts.collect::<Result<Vec<_>, _>>()
        };
        let payers = resolve(payers)?;
        let returns = resolve(parts)?;
        let mut reversal =
            Reversal { debit: debit.lsn, taken: debit.taken, before: reversed, debt, payers, returns, regrant: None };
        if note.asked.regrant {
            reversal.regrant = self.plan_regrant(&reversal, debit.slot, reading, now, declared)?;
        }
        Ok(reversal)
    }

    /// The grant that takes what nobody gets back, if there will be such.
    fn plan_regrant(
        &self,
        reversal: &Reversal,
        slot: u32,
        reading: &Reading<'_, WalletRules>,
        now: Timestamp,
        declared: &mut Declared,
    ) -> Result<Option<NewGrant>, CommandError> {
        let terms = &*reading.generation.terms().get();
        let operation = Operation::Reverse(Box::new(reversal.clone()));
        let trial = transition(terms, Amount::new(reading.balance), &operation, now);
        trial.result.map_err(CommandError::Rejected)?;
        let amount = forfeited(&trial.effects.movements);
        if amount == Amount::ZERO {
            return Ok(None);
        }
        let id = match declared.regrant {
            Some((id, of)) if of == amount => id,
            _ => {
                let record = declaration(slot, amount, &Metadata::new(), now);
                GrantId::new(self.append_admin(&AdminRecord::Grant(record))?.get())
            }
        };
        declared.regrant = Some((id, amount));
        Ok(Some(given(id, amount, now)))
    }

    fn reversal_view(&self, done: Done) -> Result<ReversalView, CommandError> {
        let (customer, currency) = self.wallet_of(&done)?;
        let Operation::Reverse(reversal) = &done.operation else {
            return Err(CommandError::NotFound { what: "reversal" });
        };
        let mut returned: Vec<(GrantId, Amount)> = Vec::new();
        let mut debt = Amount::ZERO;
        for movement in &done.movements {
            match *movement {
                Movement::GivenBack { grant, amount } | Movement::Reopened { grant, amount } => {
                    match returned.iter_mut().find(|(known, _)| *known == grant) {
                        Some((_, sum)) => *sum = sum.checked_add(amount).unwrap_or(*sum),
                        None => returned.push((grant, amount)),
                    }
                }
                Movement::DebtReturned { amount } => debt = amount,
                _ => {}
            }
        }
        let amount = reversal.amount().unwrap_or_default();
        let reversed = reversal.before.checked_add(amount).unwrap_or(reversal.taken);
        Ok(ReversalView {
            entry: done.lsn,
            debit: Lsn::new(reversal.debit),
            customer,
            currency,
            amount,
            returned,
            debt,
            forfeited: forfeited(&done.movements),
            regrant: reversal.regrant.as_ref().map(|grant| grant.id),
            reversed,
            reversible: reversal.taken.checked_sub(reversed).unwrap_or_default(),
            balance: done.balance,
            available: done.available,
            reason: done.note.reason,
            key: done.note.key,
            created_at: done.time,
        })
    }
}

fn not_reversible() -> CommandError {
    CommandError::Conflict { slug: "not_reversible", detail: "the entry is no debit".to_owned() }
}

fn already_reversed(amount: Amount, left: Amount, scale: crate::ledger::Scale) -> CommandError {
    let detail = if left == Amount::ZERO {
        "all of the debit has been reversed".to_owned()
    } else {
        format!("{} of the debit is left, less than {}", left.display(scale), amount.display(scale))
    };
    CommandError::Conflict { slug: "already_reversed", detail }
}

fn forfeited(movements: &[Movement]) -> Amount {
    let amounts = movements.iter().filter_map(|movement| match movement {
        Movement::Forfeited { amount, .. } => Some(*amount),
        _ => None,
    });
    amounts.fold(Amount::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Amount::MAX))
}

/// What was declared for a reversal so far: it is planned anew when another operation was quicker.
#[derive(Debug, Default)]
struct Declared {
    again: HashSet<GrantId>,
    regrant: Option<(GrantId, Amount)>,
}

/// A stretch of a debit: so much of it is passed over, so much is taken.
struct Slice {
    skip: Amount,
    rest: Amount,
}

impl Slice {
    /// What of the next part is in the stretch.
    fn of(&mut self, part: Amount) -> Amount {
        let less = |amount: Amount, by: Amount| amount.checked_sub(by).unwrap_or(Amount::ZERO);
        let skipped = self.skip.min(part);
        self.skip = less(self.skip, skipped);
        let taken = less(part, skipped).min(self.rest);
        self.rest = less(self.rest, taken);
        taken
    }
}

/// The operations of a wallet, walked from the newest one back as far as somebody asks.
struct Past<'a> {
    inner: &'a Inner,
    slot: u32,
    /// The next record to be looked at; 0 behind the last.
    next: u64,
    /// The debit whose reversals are added up.
    debit: u64,
    reversed: Amount,
    /// How each grant ended, by the newest operation that says so.
    ends: HashMap<GrantId, End>,
    /// How remainders and grants that had waited for their payment began to count.
    begun: HashMap<GrantId, Begun>,
    /// Ends of grants that were moved, the newest ones.
    expiries: HashMap<GrantId, Option<Timestamp>>,
    /// Payments of debt, newest first.
    payments: Vec<(GrantId, Amount)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Depleted,
    Other,
}

/// When a grant began to count, and with how much; and the record that says so.
#[derive(Clone, Copy, Debug)]
struct Begun {
    seen_at: u64,
    amount: Amount,
    at: Timestamp,
}

impl<'a> Past<'a> {
    fn new(inner: &'a Inner, slot: u32, newest: u64) -> Self {
        Past {
            inner,
            slot,
            next: newest,
            debit: 0,
            reversed: Amount::ZERO,
            ends: HashMap::new(),
            begun: HashMap::new(),
            expiries: HashMap::new(),
            payments: Vec::new(),
        }
    }

    /// Looks at everything that came after a debit, and at the debit's own operation.
    fn walk_to(&mut self, debit: &Debit) -> Result<(), CommandError> {
        self.debit = debit.lsn;
        while self.next != 0 && self.step(Some(debit))? {}
        Ok(())
    }

    /// Looks at the next operation down. With a debit, not if that lies before it; answers whether it was looked at.
    fn step(&mut self, after: Option<&Debit>) -> Result<bool, CommandError> {
        let mut view = None;
        let record = match self.inner.read_record(self.next, &mut view) {
            Err(_) if self.inner.is_retired(self.next) => return Err(self.inner.retired()),
            record => record.map_err(unreadable)?,
        };
        let operation = match record {
            Record::Operation(operation) if operation.slot == self.slot => operation,
            Record::Admin(AdminRecord::Wallet(wallet)) if wallet.slot == self.slot => {
                self.next = 0;
                return Ok(false);
            }
            _ => return Err(unreadable(Corrupt::Malformed("link to the opening before"))),
        };
        if let Some(debit) = after {
            let is_before = match ahead(operation.generation, debit.generation.into()) {
                1.. => false,
                // The debit's own operation ends grants; the opening of a generation comes before its debits.
                0 => !debit.is_operation,
                _ => true,
            };
            if is_before {
                return Ok(false);
            }
        }
        let body = &operation.body;
        if let Operation::Reverse(reversal) = &body.operation
            && !body.rejected
            && reversal.debit == self.debit
        {
            let sum = reversal.amount().and_then(|amount| self.reversed.checked_add(amount));
            self.reversed = sum.ok_or_else(|| unreadable(Corrupt::Malformed("reversal")))?;
        }
        self.see(&body.movements, operation.time);
        self.next = operation.previous_opening;
        Ok(true)
    }

    /// Notes what happened by movements at an instant, which come before all that has been seen.
    fn see(&mut self, movements: &[Movement], at_once: Timestamp) {
        for movement in movements.iter().rev() {
            match *movement {
                Movement::Depleted { grant } => drop(self.ends.entry(grant).or_insert(End::Depleted)),
                Movement::Expired { grant, .. }
                | Movement::Voided { grant, .. }
                | Movement::ScheduledVoided { grant, .. }
                | Movement::WrittenOff { grant, .. } => drop(self.ends.entry(grant).or_insert(End::Other)),
                Movement::ExpiryMoved { grant, to, .. } => drop(self.expiries.entry(grant).or_insert(to)),
                Movement::RolledOver { grant, into, amount, at } => {
                    self.ends.entry(grant).or_insert(End::Other);
                    self.begun.entry(into).or_insert(Begun { seen_at: self.next, amount, at });
                }
                Movement::Paid { grant, amount } => {
                    self.begun.entry(grant).or_insert(Begun { seen_at: self.next, amount, at: at_once });
                }
                Movement::DebtPaid { grant, amount } => self.payments.push((grant, amount)),
                _ => {}
            }
        }
    }

    /// Goes on down until `is_found`, or until there is nothing left that was recorded behind `floor`, or kept.
    fn search(&mut self, floor: u64, is_found: impl Fn(&Self) -> bool) -> Result<bool, CommandError> {
        while !is_found(self) {
            if self.next <= floor {
                return Ok(false);
            }
            match self.step(None) {
                Ok(_) => {}
                Err(CommandError::Retired { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Grants that paid debt, the newest payment first, as far as it takes to come to `amount`.
    fn payers(&mut self, amount: Amount) -> Result<Vec<(GrantId, Amount)>, CommandError> {
        if amount == Amount::ZERO {
            return Ok(Vec::new());
        }
        let sum = |past: &Self| past.payments.iter().map(|(_, paid)| i128::from(paid.units())).sum::<i128>();
        self.search(0, |past| sum(past) >= i128::from(amount.units()))?;
        let mut sum = 0;
        let is_wanted = |(_, paid): &&(GrantId, Amount)| {
            let was_less = sum < i128::from(amount.units());
            sum += i128::from(paid.units());
            was_less
        };
        Ok(self.payments.iter().take_while(is_wanted).copied().collect())
    }

    /// What the rules need to know of a grant that gets something back.
    fn resolve(
        &mut self,
        grant: GrantId,
        amount: Amount,
        terms: &Terms,
        now: Timestamp,
        declared: &mut Declared,
    ) -> Result<Return, CommandError> {
        let held = || terms.holds.iter().flat_map(|hold| &hold.parts).map(|part| &part.lot);
        if let Some(lot) = terms.lots.iter().chain(held()).find(|lot| lot.id == grant) {
            // Debits may have spent all of it since its terms were noted.
            let rollover = terms.riders.clause(grant).and_then(|clause| clause.rollover);
            return Ok(Return { lot: Lot { remaining: Amount::ZERO, ..*lot }, ended: false, amount, rollover });
        }
        if let Some((lot, declaration)) = self.reopenable(grant)? {
            let rollover = declaration.record.declared.rollover.filter(|_| !declaration.is_rolled_over);
            let number = if declaration.is_rolled_over { grant.rolled_from() } else { grant };
            if !lot.expires_at.is_due(now) && declared.again.insert(number) {
                self.redeclare(number, declaration.record)?;
            }
            return Ok(Return { lot, ended: false, amount, rollover });
        }
        let lot = Lot {
            id: grant,
            remaining: Amount::ZERO,
            granted: amount,
            effective_at: Timestamp::EPOCH,
            expires_at: Expiry::NEVER,
            cost: 0,
            priority: 0,
            category: crate::ledger::Category::Promotional,
        };
        Ok(Return { lot, ended: true, amount, rollover: None })
    }

    /// The terms of a grant that was depleted, and what was declared of it. `None` if it ended otherwise, or so long ago that nothing is left
    /// to tell.
    fn reopenable(&mut self, grant: GrantId) -> Result<Option<(Lot, Declaration)>, CommandError> {
        self.search(grant.get(), |past| past.ends.contains_key(&grant))?;
        if self.ends.get(&grant) != Some(&End::Depleted) {
            return Ok(None);
        }
        let Some(declaration) = self.inner.declared_grant(grant)? else { return Ok(None) };
        let begins_with = match &declaration.record {
            _ if declaration.is_rolled_over => self.remainder(grant, &declaration.record)?,
            record if record.declared.pending => self.paid(grant, record)?,
            record => Some(whole(grant, record)),
        };
        let Some(lot) = begins_with else { return Ok(None) };
        // All of its life must be seen, to know where its end is.
        let begun = self.begun.get(&grant).filter(|_| declaration.is_rolled_over);
        let floor = begun.map_or(grant.get(), |begun| begun.seen_at);
        self.search(floor, |past| past.expiries.contains_key(&grant))?;
        let expires_at = match self.expiries.get(&grant) {
            Some(moved) => (*moved).into(),
            None if self.next > floor => return Ok(None),
            None => lot.expires_at,
        };
        Ok(Some((Lot { expires_at, ..lot }, declaration)))
    }

    /// A grant that was the remainder of another one, as it began.
    fn remainder(&mut self, grant: GrantId, parent: &GrantRecord) -> Result<Option<Lot>, CommandError> {
        self.search(grant.get(), |past| past.begun.contains_key(&grant))?;
        let Some(begun) = self.begun.get(&grant) else { return Ok(None) };
        let Some(rollover) = parent.declared.rollover else { return Ok(None) };
        let cost = parent.cost_basis.as_ref().map_or(0, |cost| cost.amount);
        let share = i128::from(cost) * i128::from(begun.amount.units()) / i128::from(parent.amount.units());
        Ok(Some(Lot {
            id: grant,
            remaining: Amount::ZERO,
            granted: begun.amount,
            effective_at: begun.at,
            expires_at: rollover.valid_for_ms.map(|ms| begun.at.saturating_add(ms)).into(),
            cost: i64::try_from(share).unwrap_or(cost),
            priority: rollover.priority,
            category: parent.category,
        }))
    }

    /// A grant that waited for its payment, as it was when that came.
    fn paid(&mut self, grant: GrantId, record: &GrantRecord) -> Result<Option<Lot>, CommandError> {
        self.search(grant.get(), |past| past.begun.contains_key(&grant))?;
        let Some(begun) = self.begun.get(&grant) else { return Ok(None) };
        let valid_for_ms = record.declared.valid_for_ms;
        let payment = crate::ledger::Payment { begins_when_paid: !record.effective_at_given, valid_for_ms };
        Ok(Some(Unpaid { lot: whole(grant, record), payment }.paid(begun.at)))
    }

    fn redeclare(&self, number: GrantId, grant: GrantRecord) -> Result<(), CommandError> {
        let number = number.get();
        let lsn = self.inner.append_admin(&AdminRecord::Redeclared(Redeclaration { number, grant }))?;
        self.inner.redeclared.insert(number, lsn.get());
        Ok(())
    }
}

/// A grant as it was declared.
fn whole(id: GrantId, record: &GrantRecord) -> Lot {
    Lot {
        id,
        remaining: Amount::ZERO,
        granted: record.amount,
        effective_at: record.effective_at,
        expires_at: record.expires_at.into(),
        cost: record.cost_basis.as_ref().map_or(0, |cost| cost.amount),
        priority: record.priority,
        category: record.category,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_passes_over_what_was_given_back_and_takes_no_more_than_its_length() {
        let cut = |skip, rest, parts: &[i64]| {
            let mut slice = Slice { skip: Amount::new(skip), rest: Amount::new(rest) };
            parts.iter().map(|part| slice.of(Amount::new(*part)).units()).collect::<Vec<_>>()
        };
        assert_eq!(cut(0, 60, &[10, 20, 30]), [10, 20, 30]);
        assert_eq!(cut(0, 25, &[10, 20, 30]), [10, 15, 0]);
        assert_eq!(cut(15, 25, &[10, 20, 30]), [0, 15, 10]);
        assert_eq!(cut(30, 30, &[10, 20, 30]), [0, 0, 30]);
        assert_eq!(cut(60, 0, &[10, 20, 30]), [0, 0, 0]);
        assert_eq!(cut(0, 5, &[0, 5]), [0, 5]);
    }
}
