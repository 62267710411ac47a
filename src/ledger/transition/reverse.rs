//! Giving back what a debit took. The one place where a balance rises without a new grant.

use super::super::amount::Amount;
use super::super::grant::{Lot, MAX_PRIORITY};
use super::super::operation::{Movement, Return, Reversal};
use super::super::rejection::Rejection;
use super::super::terms::MAX_LOTS;
use super::{Draft, check_range};

impl Draft {
    /// Carries a reversal out, wholly or not at all.
    pub(super) fn reverse(&mut self, reversal: &Reversal) -> Result<(), Rejection> {
        let amount = reversal.amount().filter(|amount| *amount > Amount::ZERO).ok_or(Rejection::InvalidAmount)?;
        let is_impossible = |back: &Return| back.amount < Amount::ZERO || !back.ended && !is_possible(back);
        if reversal.debt < Amount::ZERO || reversal.returns.iter().chain(&reversal.payers).any(is_impossible) {
            return Err(Rejection::InvalidAmount);
        }
        if reversal.before < Amount::ZERO || reversal.before.checked_add(amount).is_none_or(|sum| sum > reversal.taken)
        {
            return Err(Rejection::InvalidAmount);
        }
        // Even if it all comes back; what is granted anew is a part of it.
        check_range(self.eventual_balance() + i128::from(amount.units()), self.allowance)?;
        let before = (self.lots.clone(), self.debt, self.balance, self.movements.len(), self.clauses.clone());
        let done = self.give_back_all(reversal);
        if done.is_err() {
            let (lots, debt, balance, movements, clauses) = before;
            (self.lots, self.debt, self.balance, self.clauses) = (lots, debt, balance, clauses);
            self.movements.truncate(movements);
        }
        done
    }

    fn give_back_all(&mut self, reversal: &Reversal) -> Result<(), Rejection> {
        let debt = self.debt.min(reversal.debt);
        if debt > Amount::ZERO {
            self.debt = self.debt.minus(debt);
            self.balance = self.balance.plus(debt);
            self.movements.push(Movement::DebtReturned { amount: debt });
        }
        let mut paid = reversal.debt.minus(debt);
        for payer in &reversal.payers {
            let given = self.give_back(payer, payer.amount.min(paid))?;
            paid = paid.minus(given);
        }
        let mut forfeited = self.forfeit(None, paid, Amount::ZERO);
        for back in &reversal.returns {
            let given = self.give_back(back, back.amount)?;
            forfeited = self.forfeit(Some(back), back.amount.minus(given), forfeited);
        }
        match &reversal.regrant {
            None => Ok(()),
            Some(regrant) if regrant.amount == forfeited => self.grant(regrant),
            Some(_) => Err(Rejection::Superseded),
        }
    }

    /// Gives a grant back what it takes of `amount`, and answers that.
    fn give_back(&mut self, back: &Return, amount: Amount) -> Result<Amount, Rejection> {
        if amount == Amount::ZERO {
            return Ok(Amount::ZERO);
        }
        let grant = back.lot.id;
        let free = self.lots.iter().find(|lot| lot.id == grant).copied();
        let parts = || self.holds.iter().flat_map(|hold| &hold.parts).filter(|part| part.lot.id == grant);
        let held = parts().fold(Amount::ZERO, |sum, part| sum.plus(part.lot.remaining));
        let lot = match (free, parts().next()) {
            (Some(lot), _) => lot,
            // All of it is held. Whether it has ended says what is held, for that goes its own way.
            (None, Some(part)) if !parts().any(|part| part.is_voided) => part.lot,
            (None, Some(_)) => return Ok(Amount::ZERO),
            (None, None) => return self.reopen(back, amount),
        };
        if free.is_none() && (back.ended || lot.expires_at.is_due(self.now)) {
            return Ok(Amount::ZERO);
        }
        let left = free.map_or(Amount::ZERO, |lot| lot.remaining).plus(held);
        let given = amount.min(lot.granted.minus(left.min(lot.granted)));
        if given > Amount::ZERO {
            self.movements.push(Movement::GivenBack { grant, amount: given });
            self.credit(Lot { remaining: given, ..lot });
        }
        Ok(given)
    }

    /// Gives something back to a grant that has nothing left.
    fn reopen(&mut self, back: &Return, amount: Amount) -> Result<Amount, Rejection> {
        let grant = back.lot.id;
        // One that has not taken effect has spent nothing, nor has one whose number is kept for what rolls over.
        if back.ended || self.is_taken(grant) || self.is_kept(grant) || back.lot.expires_at.is_due(self.now) {
            return Ok(Amount::ZERO);
        }
        if self.lots.len() + self.scheduled.len() + self.unpaid.len() + self.grants_held_whole() >= MAX_LOTS {
            return Err(Rejection::TooManyGrants);
        }
        let given = amount.min(back.lot.granted);
        self.movements.push(Movement::Reopened { grant, amount: given });
        self.enter_rollover(grant, back.rollover);
        self.credit(Lot { remaining: given, ..back.lot });
        Ok(given)
    }

    /// Says what nobody takes; answers the sum of such amounts.
    fn forfeit(&mut self, back: Option<&Return>, amount: Amount, sum: Amount) -> Amount {
        if amount > Amount::ZERO {
            self.movements.push(Movement::Forfeited { grant: back.map(|back| back.lot.id), amount });
        }
        sum.plus(amount)
    }
}

/// Whether a lot of these terms can be, once it has something left.
fn is_possible(back: &Return) -> bool {
    let lot = &back.lot;
    back.rollover.is_none_or(|rollover| rollover.is_possible())
        && lot.granted > Amount::ZERO
        && lot.cost >= 0
        && lot.priority <= MAX_PRIORITY
        && !lot.expires_at.is_due(lot.effective_at)
}
