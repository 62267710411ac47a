//! Taking credits, by policy.

use super::command::{Outcome, Policy, Refusal, Status};
use super::grants::spent_before;
use super::{DEBT_MAX, Held, Model, refuse};

impl Model {
    pub(super) fn debit(&mut self, amount: i128, policy: Policy, outcome: &mut Outcome) -> Result<(), Refusal> {
        if amount < 0 {
            return refuse("invalid_amount");
        }
        self.check_active()?;
        self.take(amount, policy, outcome)
    }

    pub(super) fn check_active(&self) -> Result<(), Refusal> {
        match self.status {
            Status::Active => Ok(()),
            Status::Frozen => refuse("wallet_frozen"),
            Status::Closed => refuse("wallet_closed"),
        }
    }

    /// Debits by policy, whatever the status.
    pub(super) fn take(&mut self, amount: i128, policy: Policy, outcome: &mut Outcome) -> Result<(), Refusal> {
        let available = self.available();
        let taken = match policy {
            _ if amount <= available => amount,
            Policy::Partial if available > 0 => available,
            Policy::Reject | Policy::Partial => {
                return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
            }
            Policy::Overdraft if self.balance() - self.held() - amount < -DEBT_MAX => {
                return refuse("balance_overflow");
            }
            Policy::Overdraft => amount,
        };
        outcome.taken += taken;
        outcome.shortfall += amount - taken;
        outcome.overdraft = (taken - available.max(0)).max(0);
        self.spend(taken, outcome);
        Ok(())
    }

    pub(super) fn charge(&mut self, amount: i128, outcome: &mut Outcome) -> Result<(), Refusal> {
        self.check_active()?;
        outcome.taken = amount.min((self.balance() - self.held()).max(0));
        outcome.shortfall = amount - outcome.taken;
        self.spend(outcome.taken, outcome);
        Ok(())
    }

    /// Takes from the first grant in the spend order, again and again, and notes what goes with it.
    pub(super) fn transfer_out(&mut self, amount: i128, outcome: &mut Outcome) -> Result<(), Refusal> {
        if amount <= 0 {
            return refuse("invalid_amount");
        }
        self.check_active()?;
        let available = (self.balance() - self.held()).max(0);
        if amount > available {
            return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
        }
        let mut rest = amount;
        while rest > 0 {
            let first = self.first_free().expect("what is there is of some grant");
            let part = rest.min(first.account.remaining);
            // What all before it cost, and all up to its end, rounded down; it costs the difference.
            let gone = first.account.granted - first.account.left();
            let cost_until = |gone: i128| first.grant.cost.unwrap_or(0) * gone / first.account.granted;
            let cost = cost_until(gone + part) - cost_until(gone);
            first.account.remaining -= part;
            first.account.transferred += part;
            outcome.moved.push((first.grant.id, part, cost));
            rest -= part;
        }
        self.count_granted();
        Ok(())
    }

    /// The grant that is spent first, of those that have something free.
    pub(super) fn first_free(&mut self) -> Option<&mut Held> {
        let open = self.grants.values_mut().filter(|held| held.active && held.account.remaining > 0);
        open.min_by(|a, b| spent_before(&a.grant, &b.grant))
    }

    /// Takes from the first grant in the spend order, again and again.
    pub(super) fn spend(&mut self, amount: i128, outcome: &mut Outcome) {
        let mut rest = amount;
        while rest > 0 {
            let Some(first) = self.first_free() else {
                self.debt += rest;
                return;
            };
            let part = rest.min(first.account.remaining);
            first.account.remaining -= part;
            first.account.spent += part;
            outcome.paid_by.push((first.grant.id, part));
            rest -= part;
        }
    }
}
