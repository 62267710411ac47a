//! What a wallet had at a past instant.

use super::super::Engine;
use super::super::catalog::CreditCurrency;
use super::super::view::CommandError;
use super::timeline::Timeline;
use super::{at_most_now, currency_of};
use crate::ledger::{Amount, Timestamp};
use crate::store::pin;
use std::sync::Arc;

/// A wallet's balance at an instant.
#[derive(Clone, Debug)]
pub struct PastBalance {
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// The instant.
    pub at: Timestamp,
    /// Sum of what remained of active grants, less debt.
    pub balance: Amount,
    /// In open holds.
    pub held: Amount,
    /// `balance - held + overdraft allowance`.
    pub available: Amount,
}

impl Engine {
    /// What a wallet had at the end of the millisecond `at`: what the ledger would have answered then. Movements count by the server's time
    /// of their records; grants take effect and end when they say so, so one that had ended by `at` is not in it, however much later that
    /// was recorded. Zero before the wallet was made. `at` must not lie in the future.
    ///
    /// It equals the closing balance of the statement that ends a millisecond after `at`.
    pub fn balance_at(&self, customer: &str, currency: &str, at: Timestamp) -> Result<PastBalance, CommandError> {
        let inner = &*self.inner;
        let slot = inner.locate_wallet(customer, currency, &pin())?;
        at_most_now(inner, "at", at)?;
        let mut timeline = Timeline::of(inner, slot)?;
        let before = at.saturating_add(1);
        let index = timeline.generation_at(before)?;
        let base = timeline.debits(index, before)?.base;
        let due = timeline.due(index, before)?;
        let opening = timeline.opening(index);
        if !opening.tells_adjustment() {
            return Err(inner.retired());
        }
        // Available credit less balance. Holds that had ended by then held nothing any more.
        let adjustment = i128::from(opening.adjustment) + due.freed();
        let balance = i128::from(base.units()) + due.delta();
        let held = i128::from(timeline.allowance(index)?.units()) - adjustment;
        let amount = |units: i128| {
            i64::try_from(units).map(Amount::new).map_err(|_| super::inconsistent(slot, "a past balance does not fit"))
        };
        Ok(PastBalance {
            currency: currency_of(inner, currency)?,
            at,
            balance: amount(balance)?,
            held: amount(held)?,
            available: amount(balance + adjustment)?,
        })
    }
}
