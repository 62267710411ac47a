//! Credits that leave for another wallet of the currency, and that come from one.
//!
//! What both wallets do is planned together, from the terms of the first: which lots give how much, and as which grants that arrives. Each
//! wallet then carries out its own operation, so each is replayed by itself. If debits were quicker, and the lots would give other parts
//! than planned, the first wallet refuses as superseded, and both operations are planned again.

use super::super::amount::Amount;
use super::super::grant::{GrantId, Lot};
use super::super::hold::held_of;
use super::super::operation::{Movement, NewGrant};
use super::super::rejection::Rejection;
use super::super::riders::Special;
use super::super::terms::Terms;
use super::Draft;

impl Terms {
    /// What could leave for another wallet when the generation opened: what is there, nobody holds and is no debt. An overdraft allowance is
    /// no credit to be given away.
    pub fn transferable(&self) -> Amount {
        free(self.opening, self.held)
    }

    /// Which lots, as they were when the generation opened, give how much of an amount that leaves for another wallet: those that would be
    /// spent first. Each with what its part costs, see [`Lot::cost_of`].
    pub fn parts_of_transfer(&self, amount: Amount) -> Vec<(Lot, Amount, i64)> {
        let cost = |lot: &Lot, part| {
            let held = held_of(&self.holds, lot.id).map_or(Amount::ZERO, |part| part.lot.remaining);
            lot.cost_of(lot.remaining.plus(held), part)
        };
        split(&self.lots, amount).map(|(lot, part)| (*lot, part, cost(lot, part))).collect()
    }
}

impl Draft {
    /// Gives an amount away: exactly these parts of these grants.
    pub(super) fn transfer_out(&mut self, amount: Amount, parts: &[(GrantId, Amount)]) -> Result<(), Rejection> {
        if amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        self.check_active()?;
        let available = free(self.balance, self.held);
        if amount > available {
            return Err(Rejection::InsufficientCredit { available, required: amount });
        }
        if !split(&self.lots, amount).map(|(lot, part)| (lot.id, part)).eq(parts.iter().copied()) {
            return Err(Rejection::Superseded);
        }
        for (grant, part) in parts {
            let grant = *grant;
            self.movements.push(Movement::TransferredOut { grant, amount: *part });
            let place = self.lots.iter().position(|lot| lot.id == grant).expect("it was among the lots");
            let left = self.lots[place].remaining.minus(*part);
            if left > Amount::ZERO {
                self.lots[place].remaining = left;
            } else {
                self.lots.remove(place);
                self.tell_depletion(grant);
            }
        }
        self.balance = self.balance.minus(amount);
        Ok(())
    }

    /// Takes in what another wallet gives, wholly or not at all. Debt is paid first, visibly.
    pub(super) fn transfer_in(&mut self, grants: &[NewGrant]) -> Result<(), Rejection> {
        if grants.is_empty() {
            return Err(Rejection::InvalidAmount);
        }
        let before = (self.lots.clone(), self.debt, self.balance, self.movements.len(), self.clauses.clone());
        let done = grants.iter().try_for_each(|grant| self.take_in(grant));
        if done.is_err() {
            let (lots, debt, balance, movements, clauses) = before;
            (self.lots, self.debt, self.balance, self.clauses) = (lots, debt, balance, clauses);
            self.movements.truncate(movements);
        }
        done
    }

    fn take_in(&mut self, grant: &NewGrant) -> Result<(), Rejection> {
        let is_plain = grant.special == (Special { rollover: grant.special.rollover, ..Special::NONE });
        if grant.effective_at > self.now || !is_plain {
            return Err(Rejection::InvalidAmount);
        }
        self.check_grant(grant)?;
        self.enter_special(grant);
        let lot = grant.lot();
        self.movements.push(Movement::TransferredIn { grant: lot.id, amount: lot.granted });
        self.credit(lot);
        Ok(())
    }
}

/// What of a balance is there and not held.
fn free(balance: Amount, held: Amount) -> Amount {
    Amount::saturating(i128::from(balance.units()) - i128::from(held.units())).or_zero()
}

/// What each of the lots gives of an amount, in spend order.
fn split(lots: &[Lot], amount: Amount) -> impl Iterator<Item = (&Lot, Amount)> {
    let mut rest = amount;
    lots.iter().map_while(move |lot| {
        let part = rest.min(lot.remaining);
        rest = rest.minus(part);
        (part > Amount::ZERO).then_some((lot, part))
    })
}
