//! The change of generation: old terms, closing balance, operation and time in; new terms and effects out.
//!
//! The order is always the same, and each step sees what the one before it left:
//! 1. Settle: what the debits of the old generation spent is taken from its lots.
//! 2. Due: commitments that are over are left out; in the order of their times, scheduled grants take effect and holds end (at one instant, grants first); then grants whose end has
//!    come end, each with its own remainder: it rolls over or expires. The result is that of carrying out each at its own time, however late
//!    this is. What takes effect and what holds give back pays debt, so their order counts, and is kept. The end of a grant takes nothing but
//!    its own free remainder and makes no debt; while there is debt there is nothing free; what rolls over is of a free remainder, so there is
//!    no debt that it could pay; and what a hold gives back of a grant that had ended by then pays none and does not roll over. So the end of
//!    a grant cannot change what others pay, before or after it, and may come last. Between two due changes no operation came and no debit
//!    passed: the terms were not good for any from the first one on.
//! 3. The operation, if its checks pass. If they do not, steps 1 and 2 stand.
//! 4. Levels: the whole movement, from the closing balance to the new opening balance, is judged once. So an expiry can
//!    cross a level, and a fall that is made good in the same change is no crossing. The lines are those of the new terms.
//!
//! Guarantees:
//! 1. Total: for terms that satisfy their invariants and a closing balance that they admit, it does not panic.
//! 2. Pure: it is computed by every helper of a change and again at replay, with the same result.
//! 3. The new terms satisfy the invariants of [`Terms`].

use std::borrow::Cow;
use std::sync::Arc;

use super::amount::Amount;
use super::commitment::{self, Commitment};
use super::debit::{Policy, Taken, decide_amount, decide_charge};
use super::grant::{GrantId, Lot, MAX_PRIORITY};
use super::hold::{OpenHold, held_of};
use super::level::{Bearings, LevelStates, Levels};
use super::operation::{Change, Effects, Lines, Movement, NewGrant, Operation};
use super::rejection::Rejection;
use super::riders::{Clause, Progress, Unpaid, unpaid_total};
use super::terms::{MAX_LOTS, Status, Terms, available, total};
use super::time::{Expiry, Timestamp};

mod claw_back;
mod freeze;
mod holds;
mod reverse;
mod transfer;

/// Closes a generation at the balance `closing`, carries out `operation` at `now`, and opens the next one.
///
/// `old` must satisfy its invariants ([`Terms::validate`]) and admit `closing` ([`Terms::admits`]).
pub fn transition(old: &Terms, closing: Amount, operation: &Operation, now: Timestamp) -> Change {
    transition_of(Cow::Borrowed(old), closing, operation, now)
}

/// As [`transition()`], of terms that need not be copied where they are the caller's to give.
pub fn transition_of(old: Cow<'_, Terms>, closing: Amount, operation: &Operation, now: Timestamp) -> Change {
    debug_assert!(old.admits(closing), "{closing:?} is no end of {old:?}");
    let mut draft = Draft::settle(old, closing, now);
    // Recovery puts back what was there; what has fallen due since is for whoever touches the wallet next.
    if *operation != Operation::Reopen {
        draft.apply_due();
    }
    let result = draft.apply(operation);
    draft.finish(result, *operation == Operation::Reopen)
}

/// Movements that most operations make no more than.
const MOVEMENTS: usize = 4;

/// A wallet between two generations.
struct Draft {
    closing: Amount,
    now: Timestamp,
    status: Status,
    allowance: Amount,
    levels: Option<Arc<Levels>>,
    states: LevelStates,
    told: Box<[Timestamp]>,
    granted: Amount,
    committed: Box<[Commitment]>,
    inherited: u32,
    /// In spend order.
    lots: Vec<Lot>,
    /// In activation order.
    scheduled: Vec<Lot>,
    /// In the order in which they end.
    holds: Vec<OpenHold>,
    /// Always what remains of `holds`.
    held: Amount,
    /// What holds gave back of grants that were voided meanwhile, until it is taken from the balance.
    voided: Vec<Lot>,
    /// What of `lots` holds gave back when the grant had ended, until it expires.
    late: Vec<(GrantId, Amount)>,
    debt: Amount,
    /// Always the sum of `lots` and of the parts of `holds`, less `debt`.
    balance: Amount,
    movements: Vec<Movement>,
    clauses: Vec<Clause>,
    unpaid: Vec<Unpaid>,
    progress: Vec<Progress>,
}

impl Draft {
    /// Step 1.
    fn settle(old: Cow<'_, Terms>, closing: Amount, now: Timestamp) -> Draft {
        let debt = old.debt();
        let mut spent = old.spent(closing);
        let old = old.into_owned();
        let (mut lots, holds) = (old.lots.into_vec(), old.holds.into_vec());
        let mut movements = Vec::with_capacity(MOVEMENTS);
        // Lots are spent in order, so those that are gone are the first ones.
        let mut gone = 0;
        for lot in &mut lots {
            if spent == Amount::ZERO {
                break;
            }
            let part = spent.min(lot.remaining);
            spent = spent.minus(part);
            lot.remaining = lot.remaining.minus(part);
            if lot.remaining > Amount::ZERO {
                break;
            }
            gone += 1;
            if held_of(&holds, lot.id).is_none() {
                movements.push(Movement::Depleted { grant: lot.id });
            }
        }
        if gone > 0 {
            lots.drain(..gone);
        }
        Draft {
            closing,
            now,
            status: old.status,
            allowance: old.allowance,
            levels: old.levels,
            states: old.states,
            told: old.told,
            granted: old.granted,
            committed: old.committed,
            inherited: old.inherited,
            lots,
            scheduled: old.scheduled.into_vec(),
            holds,
            held: old.held,
            voided: Vec::new(),
            late: Vec::new(),
            debt: debt.plus(spent),
            balance: closing,
            movements,
            clauses: old.riders.clauses.into_vec(),
            unpaid: old.riders.unpaid.into_vec(),
            progress: old.riders.progress.into_vec(),
        }
    }

    /// Step 2.
    fn apply_due(&mut self) {
        let now = self.now;
        if self.committed.first().is_some_and(|first| first.until.is_due(now)) {
            self.committed = self.committed.iter().filter(|one| !one.until.is_due(now)).copied().collect();
        }
        loop {
            let begins = self.scheduled.first().map(|lot| lot.effective_at).filter(|at| *at <= self.now);
            let ends = self.holds.first().map(|hold| hold.expires_at).filter(|at| *at <= self.now);
            match (begins, ends) {
                (None, None) => break,
                (Some(begins), ends) if ends.is_none_or(|ends| begins <= ends) => {
                    let lot = self.scheduled.remove(0);
                    self.movements.push(Movement::Activated { grant: lot.id, amount: lot.remaining });
                    self.credit(lot);
                }
                _ => self.expire_hold(),
            }
        }
        self.end_grants();
        self.refer(0);
    }

    /// Takes what is free of grants whose end has come, and what holds gave back of voided ones. Part of what was free at the end rolls over,
    /// if the grant's terms say so; what holds gave back later expires.
    fn end_grants(&mut self) {
        let now = self.now;
        for lot in self.voided.drain(..) {
            self.balance = self.balance.minus(lot.remaining);
            self.movements.push(Movement::Voided { grant: lot.id, amount: lot.remaining });
        }
        let late = std::mem::take(&mut self.late);
        let ended: Vec<Lot> = if self.lots.iter().any(|lot| lot.expires_at.is_due(now)) {
            self.lots.extract_if(.., |lot| lot.expires_at.is_due(now)).collect()
        } else {
            Vec::new()
        };
        for lot in ended {
            let late =
                late.iter().filter(|(grant, _)| *grant == lot.id).fold(Amount::ZERO, |sum, (_, part)| sum.plus(*part));
            let rolled = self.roll_over(&Lot { remaining: lot.remaining.minus(late), ..lot });
            self.expire(&lot, lot.remaining.minus(rolled.map_or(Amount::ZERO, |new| new.remaining)));
            match rolled {
                Some(new) if new.expires_at.is_due(now) => self.expire(&new, new.remaining),
                Some(new) => self.activate(new),
                None => {}
            }
        }
        self.forget_ended();
    }

    fn expire(&mut self, lot: &Lot, amount: Amount) {
        if amount > Amount::ZERO {
            self.balance = self.balance.minus(amount);
            self.movements.push(Movement::Expired { grant: lot.id, amount });
        }
    }

    /// Step 3.
    fn apply(&mut self, operation: &Operation) -> Result<Taken, Rejection> {
        let due = self.movements.len();
        match operation {
            // Before what it spends is gone, what has fallen due was counted.
            Operation::Debit { amount, policy } => return self.debit(*amount, *policy),
            Operation::Charge { amount } => return self.charge(*amount),
            Operation::ClawBack { grant, amount, total: _, is_written_off } => {
                return self.claw_back(*grant, *amount, *is_written_off);
            }
            Operation::Capture { hold, amount, is_final } => {
                let taken = self.capture(*hold, *amount, *is_final)?;
                self.refer(due);
                return Ok(taken);
            }
            Operation::LateCapture { hold, amount, policy, left: _ } => {
                return self.capture_late(*hold, *amount, *policy);
            }
            Operation::Due | Operation::Reopen => {}
            Operation::Hold(new) => self.hold(new)?,
            Operation::Release { hold } => self.release(*hold)?,
            Operation::ExtendHold { hold, expires_at } => self.move_hold(*hold, *expires_at)?,
            Operation::Void { grant } => self.void(*grant),
            Operation::SetStatus(status) => self.set_status(*status)?,
            Operation::EndSchedule { schedule } => self.end_schedule(*schedule),
            Operation::FreezeGrant { grant, most } => self.freeze(*grant, *most)?,
            Operation::ThawGrant { grant } => self.thaw(*grant),
            Operation::Grant(_)
            | Operation::Pay { .. }
            | Operation::MoveExpiry { .. }
            | Operation::SetAllowance(_)
            | Operation::SetLevels(_)
            | Operation::Reverse(_)
            | Operation::InheritLevels { .. }
            | Operation::SetCommitments(_)
            | Operation::TransferIn { .. }
                if self.status == Status::Closed =>
            {
                return Err(Rejection::WalletClosed);
            }
            Operation::Grant(grant) => self.grant(grant)?,
            Operation::MoveExpiry { grant, expires_at } => self.move_expiry(*grant, *expires_at)?,
            Operation::SetAllowance(allowance) => self.set_allowance(*allowance)?,
            Operation::SetLevels(levels) => self.set_levels(levels.clone(), 0),
            Operation::InheritLevels { version, levels } => self.inherit_levels(*version, levels.as_ref()),
            Operation::SetCommitments(commitments) => self.set_commitments(commitments)?,
            Operation::Pay { grant } => self.pay(*grant)?,
            Operation::Reverse(reversal) => self.reverse(reversal)?,
            Operation::TransferOut { amount, parts } => self.transfer_out(*amount, parts)?,
            Operation::TransferIn { grants } => self.transfer_in(grants)?,
        }
        self.refer(due);
        Ok(Taken::default())
    }

    /// Counts again what levels are a share of, if credits have come or gone otherwise than by debits, by the movements from `first` on.
    fn refer(&mut self, first: usize) {
        let has_percentages = self.levels.as_ref().is_some_and(|levels| levels.has_percentages());
        if has_percentages && self.movements[first..].iter().any(changes_what_is_granted) {
            self.granted = self.granted_now();
        }
    }

    /// What was granted in the grants that have something left, be it all held, and were not voided.
    fn granted_now(&self) -> Amount {
        let of = |lot: &Lot| i128::from(lot.granted.units());
        let mut held: Vec<&Lot> = Vec::new();
        for part in self.holds.iter().flat_map(|hold| &hold.parts).filter(|part| !part.is_voided) {
            let is_counted = self.lots.iter().chain(held.iter().copied()).any(|lot| lot.id == part.lot.id);
            if !is_counted {
                held.push(&part.lot);
            }
        }
        Amount::saturating(self.lots.iter().map(of).sum::<i128>() + held.into_iter().map(of).sum::<i128>())
    }

    fn bearings(&self) -> Bearings {
        Bearings {
            held: self.held,
            allowance: self.allowance,
            committed: commitment::total(&self.committed),
            granted: self.granted,
        }
    }

    /// Step 4.
    fn finish(mut self, result: Result<Taken, Rejection>, reopens: bool) -> Change {
        // An alert that was held back is told by whoever comes next, like all that has fallen due.
        let (crossed, recovered, quiet) = self.judge(if reopens { Timestamp::EPOCH } else { self.now });
        let riders = self.riders();
        let terms = Terms {
            status: self.status,
            opening: self.balance,
            allowance: self.allowance,
            held: self.held,
            lots: self.lots.into_boxed_slice(),
            scheduled: self.scheduled.into_boxed_slice(),
            levels: self.levels,
            states: self.states,
            holds: self.holds.into_boxed_slice(),
            riders,
            told: self.told,
            granted: self.granted,
            committed: self.committed,
            inherited: self.inherited,
        };
        debug_assert_eq!(terms.validate(), Ok(()));
        Change { terms, result, effects: Effects { movements: self.movements, crossed, recovered, quiet } }
    }

    fn debit(&mut self, amount: Amount, policy: Policy) -> Result<Taken, Rejection> {
        if amount < Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        self.check_active()?;
        let taken = decide_amount(self.held, self.available(), self.balance, amount, policy)?;
        self.spend(taken.amount);
        Ok(taken)
    }

    fn charge(&mut self, amount: Amount) -> Result<Taken, Rejection> {
        if amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        self.check_active()?;
        let taken = decide_charge(self.held, self.balance, amount);
        self.spend(taken.amount);
        Ok(taken)
    }

    /// Takes credits that nothing is held of, in spend order. What they do not pay becomes debt.
    fn spend(&mut self, amount: Amount) {
        let mut rest = amount;
        let mut gone = 0;
        for lot in &mut self.lots {
            if rest == Amount::ZERO {
                break;
            }
            let part = rest.min(lot.remaining);
            rest = rest.minus(part);
            lot.remaining = lot.remaining.minus(part);
            self.movements.push(Movement::Spent { grant: lot.id, amount: part });
            if lot.remaining == Amount::ZERO {
                gone += 1;
                if held_of(&self.holds, lot.id).is_none() {
                    self.movements.push(Movement::Depleted { grant: lot.id });
                }
            }
        }
        self.lots.drain(..gone);
        if rest > Amount::ZERO {
            self.debt = self.debt.plus(rest);
            self.movements.push(Movement::Overdrawn { amount: rest });
        }
        self.balance = self.balance.minus(amount);
    }

    fn check_active(&self) -> Result<(), Rejection> {
        match self.status {
            Status::Active => Ok(()),
            Status::Frozen => Err(Rejection::WalletFrozen),
            Status::Closed => Err(Rejection::WalletClosed),
        }
    }

    fn available(&self) -> Amount {
        available(self.balance, self.held, self.allowance)
    }

    fn grant(&mut self, grant: &NewGrant) -> Result<(), Rejection> {
        self.check_grant(grant)?;
        let lot = grant.lot();
        self.enter_special(grant);
        if let Some(payment) = grant.special.payment {
            self.movements.push(Movement::AwaitsPayment { grant: lot.id, amount: lot.granted });
            self.await_payment(Unpaid { lot, payment });
        } else if lot.effective_at <= self.now {
            self.movements.push(Movement::Granted { grant: lot.id, amount: lot.granted });
            self.credit(lot);
            if lot.expires_at.is_due(self.now) {
                // An occurrence that was missed.
                self.end_grants();
            }
        } else {
            self.movements.push(Movement::Scheduled { grant: lot.id, amount: lot.granted });
            self.schedule(lot);
        }
        Ok(())
    }

    /// The ladder of a grant: what is wrong with it by itself, then what is wrong with it in this wallet.
    fn check_grant(&self, grant: &NewGrant) -> Result<(), Rejection> {
        if grant.amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        if grant.priority > MAX_PRIORITY {
            return Err(Rejection::InvalidPriority);
        }
        if grant.cost.is_some_and(|cost| cost < 0) {
            return Err(Rejection::InvalidCost);
        }
        self.check_special(grant)?;
        if self.lots.len() + self.scheduled.len() + self.unpaid.len() + self.grants_held_whole() >= MAX_LOTS {
            return Err(Rejection::TooManyGrants);
        }
        let resulting = self.eventual_balance() + i128::from(grant.amount.units());
        check_range(resulting, self.allowance)?;
        // What a schedule will bring some day is no reason to refuse a grant of today.
        let resulting = resulting - self.recurring_to_come();
        match grant.max_balance {
            Some(limit) if resulting > i128::from(limit.units()) => {
                Err(Rejection::MaxBalanceExceeded { limit, resulting: Amount::saturating(resulting) })
            }
            _ => Ok(()),
        }
    }

    fn check_expiry(&self, expires_at: Expiry, effective_at: Timestamp) -> Result<(), Rejection> {
        if expires_at.is_due(self.now) {
            return Err(Rejection::ExpiryInPast);
        }
        if expires_at.is_due(effective_at) {
            return Err(Rejection::ExpiryBeforeEffective);
        }
        Ok(())
    }

    fn void(&mut self, grant: GrantId) {
        let is_held = self.void_held(grant);
        if let Some(lot) = remove(&mut self.lots, grant) {
            self.balance = self.balance.minus(lot.remaining);
            self.movements.push(Movement::Voided { grant, amount: lot.remaining });
        } else if is_held {
            self.movements.push(Movement::Voided { grant, amount: Amount::ZERO });
        } else if let Some(lot) = remove(&mut self.scheduled, grant).or_else(|| self.forget_unpaid(grant)) {
            self.movements.push(Movement::ScheduledVoided { grant, amount: lot.remaining });
        }
    }

    fn move_expiry(&mut self, grant: GrantId, expires_at: Option<Timestamp>) -> Result<(), Rejection> {
        let unpaid = self.unpaid.iter().map(|unpaid| &unpaid.lot);
        let lot = self.lots.iter().chain(&self.scheduled).chain(unpaid).find(|lot| lot.id == grant).copied();
        let held = self.held_alive(grant);
        let any = lot.or(held).ok_or(Rejection::GrantEnded)?;
        let expires_at = Expiry::from(expires_at);
        self.check_expiry(expires_at, any.effective_at)?;
        if expires_at == any.expires_at {
            return Ok(());
        }
        let remaining = |lot: Option<Lot>| lot.map_or(Amount::ZERO, |lot| lot.remaining);
        self.movements.push(Movement::ExpiryMoved {
            grant,
            amount: remaining(lot).plus(remaining(held)),
            from: any.expires_at.timestamp(),
            to: expires_at.timestamp(),
        });
        self.move_held(grant, expires_at);
        // The end is part of the spend order: the lot leaves its place and finds its new one.
        if let Some(lot) = remove(&mut self.lots, grant) {
            self.activate(Lot { expires_at, ..lot });
        } else if let Some(lot) = remove(&mut self.scheduled, grant) {
            self.schedule(Lot { expires_at, ..lot });
        } else if let Some(lot) = lot {
            self.move_unpaid(Lot { expires_at, ..lot });
        }
        Ok(())
    }

    fn set_status(&mut self, status: Status) -> Result<(), Rejection> {
        match (self.status, status) {
            (Status::Closed, Status::Closed) => Ok(()),
            (Status::Closed, Status::Active | Status::Frozen) => Err(Rejection::WalletClosed),
            (_, Status::Closed) => self.close(),
            (_, Status::Active | Status::Frozen) => {
                self.status = status;
                Ok(())
            }
        }
    }

    fn close(&mut self) -> Result<(), Rejection> {
        if self.held > Amount::ZERO {
            return Err(Rejection::WalletHeld { held: self.held });
        }
        self.status = Status::Closed;
        self.committed = Box::default();
        self.granted = Amount::ZERO;
        for lot in self.lots.drain(..) {
            self.movements.push(Movement::WrittenOff { grant: lot.id, amount: lot.remaining });
        }
        let unpaid = self.unpaid.drain(..).map(|unpaid| unpaid.lot);
        for lot in self.scheduled.drain(..).chain(unpaid) {
            self.movements.push(Movement::ScheduledVoided { grant: lot.id, amount: lot.remaining });
        }
        self.progress.clear();
        let debt = std::mem::take(&mut self.debt);
        if debt > Amount::ZERO {
            self.movements.push(Movement::DebtWrittenOff { amount: debt });
        }
        self.balance = Amount::ZERO;
        Ok(())
    }

    fn set_allowance(&mut self, allowance: Amount) -> Result<(), Rejection> {
        if allowance < Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        // Debt makes no room for an allowance: closing the wallet writes it off.
        check_range(self.eventual_balance().max(0), allowance)?;
        self.allowance = allowance;
        Ok(())
    }

    /// New levels start from the closing balance, so that what falls due in this very change can cross them.
    fn set_levels(&mut self, levels: Option<Arc<Levels>>, version: u32) {
        let has_percentages = levels.as_ref().is_some_and(|levels| levels.has_percentages());
        self.granted = if has_percentages { self.granted_now() } else { Amount::ZERO };
        (self.states, self.told) = match &levels {
            Some(new) => {
                let old = self.levels.as_deref().map(|old| (old, self.states, &*self.told));
                new.replacing(old, self.closing, &self.bearings())
            }
            None => (LevelStates::default(), Box::default()),
        };
        (self.levels, self.inherited) = (levels, version);
    }

    /// A wallet that got levels of its own meanwhile keeps them, as one that has followed a later version keeps that.
    fn inherit_levels(&mut self, version: u32, levels: Option<&Arc<Levels>>) {
        let is_own = self.levels.is_some() && self.inherited == 0;
        if !is_own && version > self.inherited {
            self.set_levels(levels.cloned(), if levels.is_some() { version } else { 0 });
        }
    }

    fn set_commitments(&mut self, commitments: &[Commitment]) -> Result<(), Rejection> {
        self.committed = commitment::counting(commitments, self.now).ok_or(Rejection::InvalidAmount)?;
        Ok(())
    }

    /// Adds a lot that takes effect now. Debt is paid first, visibly.
    fn credit(&mut self, lot: Lot) {
        self.balance = self.balance.plus(lot.remaining);
        self.enter(lot);
    }

    /// Adds a lot that the balance counts already.
    fn enter(&mut self, mut lot: Lot) {
        let paid = self.debt.min(lot.remaining);
        if paid > Amount::ZERO {
            self.debt = self.debt.minus(paid);
            lot.remaining = lot.remaining.minus(paid);
            self.movements.push(Movement::DebtPaid { grant: lot.id, amount: paid });
        }
        if lot.remaining > Amount::ZERO {
            self.join(lot);
        } else {
            self.tell_depletion(lot.id);
        }
    }

    /// Adds a lot to what is left of its grant.
    fn join(&mut self, lot: Lot) {
        match self.lots.iter_mut().find(|other| other.id == lot.id) {
            Some(rest) => rest.remaining = rest.remaining.plus(lot.remaining),
            None => self.activate(lot),
        }
    }

    /// Says that a grant has nothing left if that is so.
    fn tell_depletion(&mut self, grant: GrantId) {
        if !self.lots.iter().any(|lot| lot.id == grant) && held_of(&self.holds, grant).is_none() {
            self.movements.push(Movement::Depleted { grant });
        }
    }

    fn activate(&mut self, lot: Lot) {
        let place = self.lots.partition_point(|other| other.spend_order(&lot).is_lt());
        self.lots.insert(place, lot);
    }

    fn schedule(&mut self, lot: Lot) {
        let place = self.scheduled.partition_point(|other| other.activation_order(&lot).is_lt());
        self.scheduled.insert(place, lot);
    }

    /// The balance once all scheduled grants have taken effect, and those that wait have been paid for.
    fn eventual_balance(&self) -> i128 {
        i128::from(self.balance.units()) + total(&self.scheduled) + unpaid_total(&self.unpaid)
    }

    /// Which lines the change crossed, which have recovered, and of which of the levels among them nobody is to be told. A closed wallet
    /// alerts no one: that it was closed is said already, and nobody should top it up.
    fn judge(&mut self, now: Timestamp) -> (Lines, Lines, u64) {
        if self.status == Status::Closed {
            self.states = LevelStates::default();
            return (Lines::default(), Lines::default(), 0);
        }
        let (mut crossed, mut recovered) = (built_in(self.closing, self.balance), built_in(self.balance, self.closing));
        let mut quiet = 0;
        let bearings = self.bearings();
        if let Some(levels) = &self.levels {
            let moved = levels.moved(&mut self.states, &mut self.told, self.balance, &bearings, now);
            (crossed.levels, recovered.levels, quiet) = (moved.crossed, moved.recovered, moved.quiet);
        }
        (crossed, recovered, quiet)
    }
}

/// Whether a movement brings or takes credits, other than by spending them.
fn changes_what_is_granted(movement: &Movement) -> bool {
    match movement {
        Movement::Granted { .. }
        | Movement::Activated { .. }
        | Movement::Expired { .. }
        | Movement::RolledOver { .. }
        | Movement::Voided { .. }
        | Movement::WrittenOff { .. }
        | Movement::Released { .. }
        | Movement::HoldExpired { .. }
        | Movement::Returned { .. }
        | Movement::GivenBack { .. }
        | Movement::Reopened { .. }
        | Movement::TransferredOut { .. }
        | Movement::TransferredIn { .. } => true,
        Movement::Scheduled { .. }
        | Movement::DebtPaid { .. }
        | Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::Depleted { .. }
        | Movement::ScheduledVoided { .. }
        | Movement::ExpiryMoved { .. }
        | Movement::DebtWrittenOff { .. }
        | Movement::Held { .. }
        | Movement::Reserved { .. }
        | Movement::Captured { .. }
        | Movement::PartSpent { .. }
        | Movement::HoldMoved { .. }
        | Movement::AwaitsPayment { .. }
        | Movement::Paid { .. }
        | Movement::DebtReturned { .. }
        | Movement::Forfeited { .. } => false,
    }
}

/// The built-in lines between a balance and a lower one.
fn built_in(high: Amount, low: Amount) -> Lines {
    Lines {
        levels: 0,
        depleted: high >= Amount::ONE && low < Amount::ONE,
        negative: high >= Amount::ZERO && low < Amount::ZERO,
    }
}

/// Invariant 5 of the terms, for what would come of a grant or an allowance.
fn check_range(eventual_balance: i128, allowance: Amount) -> Result<(), Rejection> {
    if eventual_balance + i128::from(allowance.units()) > i128::from(Amount::MAX_BALANCE.units()) {
        return Err(Rejection::BalanceOverflow);
    }
    Ok(())
}

fn remove(lots: &mut Vec<Lot>, grant: GrantId) -> Option<Lot> {
    let place = lots.iter().position(|lot| lot.id == grant)?;
    Some(lots.remove(place))
}

mod special;
#[cfg(test)]
mod tests;
