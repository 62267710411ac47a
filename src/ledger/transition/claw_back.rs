//! The part of a change that takes back credits whose money went back.

use super::super::amount::Amount;
use super::super::debit::{Policy, Taken, decide_amount};
use super::super::grant::GrantId;
use super::super::hold::held_of;
use super::super::operation::Movement;
use super::super::rejection::Rejection;
use super::super::terms::{Status, available};
use super::Draft;

impl Draft {
    /// Takes `amount` from what is frozen of a grant and then from what is free of it, and what that does not cover from the wallet as usage that
    /// has happened would be, unless it is written off. A frozen wallet is no reason to refuse.
    pub(super) fn claw_back(
        &mut self,
        grant: GrantId,
        amount: Amount,
        is_written_off: bool,
    ) -> Result<Taken, Rejection> {
        if amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        if self.status == Status::Closed {
            return Err(Rejection::WalletClosed);
        }
        let frozen = self.frozen_of(grant).min(amount);
        let free = self.lots.iter().find(|lot| lot.id == grant).map_or(Amount::ZERO, |lot| lot.remaining);
        let part = free.min(amount.minus(frozen));
        let covered = frozen.plus(part);
        let rest = amount.minus(covered);
        if is_written_off {
            self.spend_frozen(grant, frozen);
            self.spend_of(grant, part);
            return Ok(Taken { amount: covered, shortfall: rest, overdraft: Amount::ZERO });
        }
        let (balance, held) = (self.balance.minus(covered), self.held.minus(frozen));
        let available = available(balance, held, self.allowance);
        let decided = decide_amount(held, available, balance, rest, Policy::Overdraft)?;
        self.spend_frozen(grant, frozen);
        self.spend_of(grant, part);
        self.spend(rest);
        Ok(Taken { amount, ..decided })
    }

    /// Takes credits of one grant, no more than are free of it.
    fn spend_of(&mut self, grant: GrantId, amount: Amount) {
        if amount == Amount::ZERO {
            return;
        }
        let place = self.lots.iter().position(|lot| lot.id == grant).expect("something is free of it");
        let lot = &mut self.lots[place];
        lot.remaining = lot.remaining.minus(amount);
        let is_gone = lot.remaining == Amount::ZERO;
        self.movements.push(Movement::Spent { grant, amount });
        if is_gone {
            self.lots.remove(place);
            if held_of(&self.holds, grant).is_none() {
                self.movements.push(Movement::Depleted { grant });
            }
        }
        self.balance = self.balance.minus(amount);
    }
}
