//! Debits that are taken back.

use super::command::{Grant, Outcome, Refusal, Reverse};
use super::{BALANCE_MAX, GRANTS_MAX, Model, refuse};

impl Model {
    /// Grants that a reversal could give something back to.
    pub(crate) fn payers(&self) -> impl Iterator<Item = u64> {
        self.payments.iter().map(|(id, _)| *id)
    }

    /// Gives back from the end: debt, then the grant spent last, and so on. Debt that has been paid goes back to who paid it last.
    pub(super) fn reverse(&mut self, reverse: &Reverse, now: u64, outcome: &mut Outcome) -> Result<(), Refusal> {
        if self.eventual() + reverse.amount + self.allowance > BALANCE_MAX {
            return refuse("balance_overflow");
        }
        let (mut skip, mut rest) = (reverse.before, reverse.amount);
        let mut slice = |part: i128| {
            let skipped = skip.min(part);
            skip -= skipped;
            let taken = rest.min(part - skipped);
            rest -= taken;
            taken
        };
        let debt = slice(reverse.debt);
        let parts: Vec<_> = reverse.paid_by.iter().rev().map(|(id, part)| (*id, slice(*part))).collect();
        outcome.debt_returned = debt.min(self.debt);
        self.debt -= outcome.debt_returned;
        let mut paid = debt - outcome.debt_returned;
        let mut wanted = paid;
        for (id, payment) in self.payments.clone().into_iter().rev() {
            if wanted <= 0 {
                break;
            }
            wanted -= payment;
            paid -= self.give_back(id, payment.min(paid), now, outcome)?;
        }
        outcome.forfeited = paid;
        for (id, part) in parts {
            outcome.forfeited += part - self.give_back(id, part, now, outcome)?;
        }
        match reverse.regrant {
            Some(id) if outcome.forfeited > 0 => self.grant(
                &Grant {
                    id,
                    amount: outcome.forfeited,
                    priority: 50,
                    promotional: true,
                    effective_at: now,
                    expires_at: None,
                    cost: None,
                    max_balance: None,
                    rollover: None,
                    payment: None,
                },
                now,
            ),
            _ => Ok(()),
        }
    }

    /// Gives a grant back what it can take of an amount.
    fn give_back(&mut self, id: u64, amount: i128, now: u64, outcome: &mut Outcome) -> Result<i128, Refusal> {
        let full = self.grants.values().filter(|held| held.account.left() > 0).count() >= GRANTS_MAX;
        let held = self.grants.get_mut(&id).expect("a grant");
        let account = &mut held.account;
        let given = amount.min(account.granted - account.left());
        let is_past = held.grant.expires_at.is_some_and(|end| end <= now);
        let has_ended = match (account.remaining, account.held) {
            (1.., _) => false,
            (_, 1..) => held.voided || is_past,
            _ => {
                let gone = account.expired + account.voided + account.written_off + account.rolled_over;
                held.voided || is_past || gone > 0
            }
        };
        if given == 0 || has_ended {
            return Ok(0);
        }
        if account.left() == 0 && full {
            return refuse("too_many_grants");
        }
        account.returned += given;
        // What was captured out is not any more.
        held.captured_out = false;
        outcome.returned.push((id, given));
        self.enter(id, given);
        Ok(given)
    }
}
