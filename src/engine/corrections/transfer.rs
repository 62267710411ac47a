//! Transfers: credits go from one wallet to another of the same currency, at once or not at all.
//!
//! What would be spent first goes, and keeps its terms: priority, dates, category, source, what becomes of a remainder, and its share of
//! the cost ([`crate::ledger::Lot::cost_of`]). It arrives as grants, which are declared like any others and name those that they came from.
//! What is held stays, and an overdraft allowance is nothing to give away. The wallet that gets it pays its debt with it first.
//!
//! Both wallets' operations are planned from a reading and carried out as a group ([`crate::engine::joint`]). If something was quicker,
//! they are planned anew; of the declared grants those serve again that are the same. Each record carries a note that names the other
//! wallet, and both stand in one frame; so each leads to the other. A transfer is known by the entry of the wallet that gave; that record
//! is the identity of its key, too.

use super::view::{Moved, TransferRequest, TransferSide, TransferView};
use super::{Done, check_note};
use crate::catalog::{CostBasis, CreditCurrency};
use crate::engine::grants::{check_active, check_metadata, check_text};
use crate::engine::history::unreadable;
use crate::engine::joint::{JoinedWallets, Step};
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::wallet::WalletOperation;
use crate::engine::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::{AdminRecord, Declared, GrantRecord};
use crate::journal::note::{Note, NoteKind};
use crate::journal::{self, Corrupt, Record};
use crate::ledger::{
    Amount, GrantId, Lot, Movement, NewGrant, Operation, Rejection, Source, Special, Terms, Timestamp, transition,
};
use crate::store::pin;
use drawdown_wal::Lsn;

impl Engine {
    /// Moves credits from one wallet to another. Answers whether that is the answer to an earlier request with the same key.
    pub fn transfer(&self, request: &TransferRequest) -> Result<(TransferView, bool, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (view, replayed) = inner.transfer(request)?;
        Ok((view, replayed, self.barrier()))
    }

    /// A transfer that was made, by its text ([`Engine::transfer_text`]). Blocks until it is durable.
    pub fn transfer_view(&self, text: &str) -> Result<TransferView, CommandError> {
        let inner = &*self.inner;
        let out = inner.find_correction(NoteKind::Transfer, "transfer", text)?;
        if !matches!(out.operation, Operation::TransferOut { .. }) {
            return Err(CommandError::NotFound { what: "transfer" });
        }
        let into = inner.other_side(&out)?;
        inner.transfer_view(out, &into)
    }
}

/// What is to be moved, looked up.
struct Plan<'a> {
    request: &'a TransferRequest,
    currency: &'a CreditCurrency,
    amount: Amount,
    note: &'a Note,
}

/// A part of a grant that moves, and what it becomes.
struct Part {
    lot: Lot,
    amount: Amount,
    /// What of the cost goes with it, if it has any.
    cost: Option<i64>,
    record: GrantRecord,
}

/// Grants that have been declared, with what they are parts of.
type DeclaredParts = Vec<(GrantId, GrantRecord)>;

impl Inner {
    fn transfer(&self, request: &TransferRequest) -> Result<(TransferView, bool), CommandError> {
        check_text("from", &request.from, MAX_ID_BYTES)?;
        check_text("to", &request.to, MAX_ID_BYTES)?;
        check_note(request.key.as_deref(), request.reason.as_deref())?;
        check_metadata(&request.metadata)?;
        if request.from == request.to {
            let detail = "must be another customer than `from`: wallets have one currency each".to_owned();
            return Err(CommandError::Invalid { field: "to", detail });
        }
        let currency = self.currency_or_default(request.currency.as_deref())?;
        let amount = Amount::from_decimal(request.amount, currency.scale)
            .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
        if amount <= Amount::ZERO {
            return Err(CommandError::Invalid { field: "amount", detail: "must be greater than zero".to_owned() });
        }
        let mut note = Note::new(NoteKind::Transfer);
        note.key.clone_from(&request.key);
        note.reason.clone_from(&request.reason);
        note.metadata.clone_from(&request.metadata);
        let is_same = |done: &Done| {
            matches!(done.operation, Operation::TransferOut { amount: moved, .. } if moved == amount)
                && (&done.note.reason, &done.note.metadata) == (&note.reason, &note.metadata)
                && self.is_of(done, &request.from, &currency)
                && self.is_to(done, &request.to)
        };
        let plan = Plan { request, currency: &currency, amount, note: &note };
        let mut arrived = None;
        let make = || {
            let (out, into) = self.make_transfer(&plan)?;
            arrived = Some(into);
            Ok(out)
        };
        let (out, replayed) = self.once(request.key.as_deref(), is_same, make)?;
        let into = match arrived {
            Some(into) => into,
            None => self.other_side(&out)?,
        };
        Ok((self.transfer_view(out, &into)?, replayed))
    }

    /// Whether a transfer went to this customer.
    fn is_to(&self, done: &Done, customer: &str) -> bool {
        let name = done.note.other.and_then(|slot| self.names.get(slot));
        name.is_some_and(|name| *name.customer == *customer)
    }

    fn make_transfer(&self, plan: &Plan<'_>) -> Result<(Done, Done), CommandError> {
        check_active(plan.currency)?;
        self.check_customer(&plan.request.to)?;
        self.catalog.settle();
        let mut declared = DeclaredParts::new();
        let mut is_first = true;
        loop {
            if let Some(done) = self.try_transfer(plan, &mut declared, is_first)? {
                return Ok(done);
            }
            is_first = false;
        }
    }

    /// Plans a transfer and carries it out, unless something else is quicker.
    fn try_transfer(
        &self,
        plan: &Plan<'_>,
        declared: &mut DeclaredParts,
        is_first: bool,
    ) -> Result<Option<(Done, Done)>, CommandError> {
        let (guard, now) = (pin(), self.now());
        let hash = |customer: &str| self.seed.wallet_hash(customer.as_bytes(), plan.currency.number.0);
        let source = self.find(hash(&plan.request.from), &guard).ok_or(Rejection::UnknownWallet)?;
        let target = self.find(hash(&plan.request.to), &guard);
        if is_first {
            // As every operation does that is no debit.
            for slot in [Some(source), target].into_iter().flatten() {
                if self.slab.get(slot).read(&guard).is_some_and(|reading| reading.generation.number() > 1) {
                    self.follow_defaults(slot, now, &guard)?;
                }
            }
        }
        // What the rules refuse leaves no trace, not even a wallet.
        let giving = self.slab.get(source).read(&guard).ok_or(Rejection::UnknownWallet)?;
        let giver = &*giving.generation.terms().get();
        let due = transition(giver, Amount::new(giving.balance), &Operation::Due, now).terms;
        let parts = self.parts(plan, &due, now)?;
        let split = parts.iter().map(|part| (part.lot.id, part.amount)).collect();
        let out = Operation::TransferOut { amount: plan.amount, parts: split };
        ask(giver, giving.balance, &out, now)?;
        let receiving = target.and_then(|slot| self.slab.get(slot).read(&guard));
        // Higher than any number given out so far, for the trial, and with room behind each for what rolls over.
        let trial = |(place, part): (u64, &Part)| plan.arriving(part, GrantId::new((u64::MAX >> 1) + 2 * place));
        let into = Operation::TransferIn { grants: (0..).zip(&parts).map(trial).collect() };
        match &receiving {
            Some(reading) => ask(&reading.generation.terms().get(), reading.balance, &into, now)?,
            None => ask(&Terms::new(), 0, &into, now)?,
        }
        let target = self.find_or_make_wallet(&plan.request.to, plan.currency, &guard)?;
        let receiving = self.slab.get(target).read(&guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let numbers = self.declare_parts(&parts, target, declared)?;
        let grants = parts.iter().zip(numbers).map(|(part, id)| plan.arriving(part, id)).collect();
        let into = Operation::TransferIn { grants };
        let out_note = Note { other: Some(target), ..plan.note.clone() };
        // The key is that of one record.
        let into_note = Note { key: None, other: Some(source), ..plan.note.clone() };
        let members = vec![
            (source, giving.generation, vec![WalletOperation::noted(out.clone(), now, out_note.clone())]),
            (target, receiving.generation, vec![WalletOperation::noted(into.clone(), now, into_note.clone())]),
        ];
        let is_new = receiving.generation.number() == 1;
        let Some(joined) = self.join(members, now, &guard)?.filter(|joined| !joined.effects().is_refused) else {
            return Ok(None);
        };
        self.counters.grant();
        if is_new {
            // As with a wallet's first grant.
            let _ = self.follow_defaults(target, now, &guard);
        }
        let step = |slot| joined.effects().steps.iter().find(|step| step.handle == slot).expect("it was a member");
        Ok(Some((
            Done::of_step(&joined, step(source), out, out_note, now),
            Done::of_step(&joined, step(target), into, into_note, now),
        )))
    }

    /// What moves: parts of the grants that would be spent first, as they stand in these terms.
    fn parts(&self, plan: &Plan<'_>, terms: &Terms, now: Timestamp) -> Result<Vec<Part>, CommandError> {
        let available = terms.transferable();
        if plan.amount > available {
            // The status comes first, as everywhere; this is for what the rules would say next.
            let trial = Operation::TransferOut { amount: plan.amount, parts: Box::default() };
            ask(terms, terms.opening.units(), &trial, now)?;
        }
        let part = |(lot, amount, cost): (Lot, Amount, i64)| {
            let origin = self.declared_grant(lot.id)?.ok_or_else(|| self.retired())?;
            let cost_basis = origin.record.cost_basis.map(|basis| CostBasis { amount: cost, ..basis });
            let cost = cost_basis.as_ref().map(|basis| basis.amount);
            let record = GrantRecord {
                slot: 0,
                amount,
                source: if origin.is_rolled_over { Source::Rollover } else { origin.record.source },
                category: lot.category,
                priority: lot.priority,
                effective_at: lot.effective_at,
                effective_at_given: true,
                expires_at: lot.expires_at.timestamp(),
                cost_basis,
                key: None,
                metadata: origin.record.metadata,
                created_at: now,
                declared: Declared {
                    payment: origin.record.declared.payment,
                    rollover: terms.riders.clause(lot.id).and_then(|clause| clause.rollover),
                    transferred_from: Some(lot.id.get()),
                    ..Declared::default()
                },
            };
            Ok(Part { lot, amount, cost, record })
        };
        terms.parts_of_transfer(plan.amount).into_iter().map(part).collect()
    }

    /// Declares the grants that parts become, save those that an earlier attempt declared.
    fn declare_parts(
        &self,
        parts: &[Part],
        target: u32,
        declared: &mut DeclaredParts,
    ) -> Result<Vec<GrantId>, CommandError> {
        let mut numbers = Vec::with_capacity(parts.len());
        for part in parts {
            let record = GrantRecord { slot: target, ..part.record.clone() };
            let is_it = |known: &GrantRecord| *known == GrantRecord { created_at: known.created_at, ..record.clone() };
            let known = declared.iter().find(|(_, known)| is_it(known)).map(|(number, _)| *number);
            let number = if let Some(number) = known {
                number
            } else {
                let number = GrantId::new(self.append_admin(&AdminRecord::Grant(record.clone()))?.get());
                declared.push((number, record));
                number
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// The other side of a transfer, by either side of it: it stands in the same frame.
    pub(in crate::engine) fn other_entry(&self, lsn: Lsn, other: u32) -> Result<Option<Lsn>, CommandError> {
        Ok(self.in_frame_of(lsn, other)?.map(|done| done.lsn))
    }

    fn other_side(&self, done: &Done) -> Result<Done, CommandError> {
        let other = done.note.other.ok_or(CommandError::NotFound { what: "transfer" })?;
        self.in_frame_of(done.lsn, other)?.ok_or(CommandError::NotFound { what: "transfer" })
    }

    /// The transfer's operation on a wallet in the frame of the record at `lsn`. Blocks until that is durable.
    fn in_frame_of(&self, lsn: Lsn, slot: u32) -> Result<Option<Done>, CommandError> {
        if lsn >= self.log.durable() {
            let waited = self.log.wait_durable(self.log.tail());
            waited.map_err(|poisoned| crate::engine::ticket::poisoned_error(&poisoned))?;
        }
        let Some(frame) = journal::frame_of(&self.log, lsn) else { return Ok(None) };
        let mut reader = self.log.reader(frame);
        let Ok(Some(frame)) = reader.next() else { return Err(unreadable(Corrupt::Absent)) };
        let records = journal::records(frame.payload, frame.payload_lsn).map_err(unreadable)?;
        for record in records.only(|owner| owner == slot) {
            if let (at, Record::Operation(operation)) = record.map_err(unreadable)? {
                let done = Done::of(at.get(), *operation);
                return Ok(done.filter(|done| done.note.kind == NoteKind::Transfer));
            }
        }
        Ok(None)
    }

    fn transfer_view(&self, out: Done, into: &Done) -> Result<TransferView, CommandError> {
        let (from, currency) = self.wallet_of(&out)?;
        let (to, _) = self.wallet_of(into)?;
        let missing = CommandError::NotFound { what: "transfer" };
        let (Operation::TransferOut { amount, parts }, Operation::TransferIn { grants }) =
            (&out.operation, &into.operation)
        else {
            return Err(missing);
        };
        let moved = |((from, amount), grant): (&(GrantId, Amount), &NewGrant)| Moved {
            from: *from,
            to: grant.id,
            amount: *amount,
            cost: grant.cost,
        };
        let debt_paid = into.movements.iter().fold(Amount::ZERO, |sum, movement| match movement {
            Movement::DebtPaid { grant, amount } if grants.iter().any(|made| made.id == *grant) => {
                sum.checked_add(*amount).unwrap_or(sum)
            }
            _ => sum,
        });
        let side = |customer, done: &Done| TransferSide {
            customer,
            entry: done.lsn,
            balance: done.balance,
            available: done.available,
            crossed: done.crossed.clone(),
        };
        Ok(TransferView {
            currency,
            amount: *amount,
            from: side(from, &out),
            to: side(to, into),
            moved: parts.iter().zip(grants).map(moved).collect(),
            debt_paid,
            reason: out.note.reason,
            key: out.note.key,
            metadata: out.note.metadata,
            created_at: out.time,
        })
    }
}

impl Plan<'_> {
    /// A part as the grant that arrives.
    fn arriving(&self, part: &Part, id: GrantId) -> NewGrant {
        NewGrant {
            id,
            amount: part.amount,
            priority: part.lot.priority,
            category: part.lot.category,
            effective_at: part.lot.effective_at,
            expires_at: part.lot.expires_at.timestamp(),
            cost: part.cost,
            max_balance: self.currency.max_balance,
            special: Special { rollover: part.record.declared.rollover, ..Special::NONE },
        }
    }
}

impl Done {
    fn of_step(joined: &JoinedWallets, step: &Step, operation: Operation, note: Note, time: Timestamp) -> Done {
        Done {
            lsn: Lsn::new(joined.logged_at() + u64::from(step.distance)),
            slot: step.handle,
            time,
            operation,
            note,
            taken: step.taken,
            movements: step.effects.movements.clone(),
            balance: step.balance,
            available: step.available,
            crossed: step.crossed.clone(),
        }
    }
}

/// Asks the rules about an operation.
fn ask(terms: &Terms, balance: i64, operation: &Operation, now: Timestamp) -> Result<(), CommandError> {
    transition(terms, Amount::new(balance), operation, now).result.map(|_| ()).map_err(CommandError::Rejected)
}
