//! Grants that are made, paid for and moved, and the order in which they are spent.

use std::cmp::Ordering;

use super::command::{Grant, Refusal};
use super::{Account, BALANCE_MAX, GRANTS_MAX, Held, Model, refuse};

impl Model {
    /// The balance once everything scheduled has taken effect.
    pub(super) fn eventual(&self) -> i128 {
        self.grants.values().map(|held| held.account.left()).sum::<i128>() - self.debt
    }

    pub(super) fn grant(&mut self, grant: &Grant, now: u64) -> Result<(), Refusal> {
        if grant.amount <= 0 {
            return refuse("invalid_amount");
        }
        if grant.priority > 100 {
            return refuse("invalid_priority");
        }
        if grant.cost.is_some_and(|cost| cost < 0) {
            return refuse("invalid_cost");
        }
        check_period(grant.effective_at, grant.expires_at, now)?;
        if self.grants.values().filter(|held| held.account.left() > 0).count() >= GRANTS_MAX {
            return refuse("too_many_grants");
        }
        let resulting = self.eventual() + grant.amount;
        if resulting + self.allowance > BALANCE_MAX {
            return refuse("balance_overflow");
        }
        if grant.max_balance.is_some_and(|limit| resulting > limit) {
            return refuse("max_balance_exceeded");
        }
        let account = Account { granted: grant.amount, remaining: grant.amount, ..Account::default() };
        let waits = grant.payment.is_some();
        let held = Held { grant: grant.clone(), account, active: false, voided: false, captured_out: false, waits };
        let earlier = self.grants.insert(grant.id, held);
        assert!(earlier.is_none(), "ids of grants are not used twice");
        if grant.effective_at <= now && !waits {
            self.activate(grant.id, now);
        }
        Ok(())
    }

    pub(super) fn pay(&mut self, id: u64, now: u64) -> Result<(), Refusal> {
        let Some(held) = self.grants.get_mut(&id).filter(|held| held.is_alive(now)) else {
            return refuse("grant_ended");
        };
        let Some(terms) = held.grant.payment.clone().filter(|_| held.waits) else { return Ok(()) };
        let begins = if terms.begins_then { now } else { held.grant.effective_at };
        let ends = match terms.lasts {
            Some(lasts) => Some(begins.max(now) + lasts),
            None => held.grant.expires_at,
        };
        check_period(begins, ends, now)?;
        (held.grant.effective_at, held.grant.expires_at) = (begins, ends);
        held.waits = false;
        if begins <= now {
            self.activate(id, now);
        }
        Ok(())
    }

    pub(super) fn move_expiry(&mut self, id: u64, expires_at: Option<u64>, now: u64) -> Result<(), Refusal> {
        match self.grants.get_mut(&id).filter(|held| held.is_alive(now)) {
            None => refuse("grant_ended"),
            Some(held) => {
                check_period(held.grant.effective_at, expires_at, now)?;
                if expires_at != held.grant.expires_at
                    && let Some(payment) = &mut held.grant.payment
                {
                    payment.lasts = None;
                }
                held.grant.expires_at = expires_at;
                Ok(())
            }
        }
    }
}

fn check_period(effective_at: u64, expires_at: Option<u64>, now: u64) -> Result<(), Refusal> {
    match expires_at {
        Some(end) if end <= now => refuse("expiry_in_past"),
        Some(end) if end <= effective_at => refuse("expiry_before_effective"),
        _ => Ok(()),
    }
}

/// Rule 2, word for word.
pub(super) fn spent_before(a: &Grant, b: &Grant) -> Ordering {
    let never_last = |grant: &Grant| grant.expires_at.map_or(u128::MAX, u128::from);
    let cost = |grant: &Grant, other: &Grant| grant.cost.unwrap_or(0) * other.amount;
    a.priority
        .cmp(&b.priority)
        .then(never_last(a).cmp(&never_last(b)))
        .then(b.promotional.cmp(&a.promotional))
        .then(cost(a, b).cmp(&cost(b, a)))
        .then(a.effective_at.cmp(&b.effective_at))
        .then(a.id.cmp(&b.id))
}
