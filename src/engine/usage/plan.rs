//! What an event asks for, worked out before anything is claimed, reserved or applied: every check that needs no wallet.

use crate::engine::catalog::{Catalog, CreditCurrency, Meter};
use crate::engine::event::{Charge, UsageEvent};
use crate::engine::{Inner, MAX_ID_BYTES};
use crate::journal::debit::Metered;
use crate::ledger::{Amount, Policy, Rejection, Scale, Timestamp, price};
use crate::store::hash::WalletHash;
use std::sync::Arc;

/// An event that may be applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) wallet: WalletHash,
    pub(super) scale: Scale,
    /// Greater than zero.
    pub(super) amount: Amount,
    pub(super) policy: Policy,
    pub(super) time: Timestamp,
    pub(super) metered: Option<Metered>,
    /// Of the event's identity.
    pub(super) fingerprint: u64,
}

/// Plans the events of one batch. Remembers the last currency and meter, since most batches name one.
pub(super) struct Planner<'a> {
    inner: &'a Inner,
    catalog: &'a Catalog,
    now: Timestamp,
    currency: Option<&'a Arc<CreditCurrency>>,
    meter: Option<&'a Arc<Meter>>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(inner: &'a Inner, catalog: &'a Catalog, now: Timestamp) -> Self {
        Planner { inner, catalog, now, currency: None, meter: None }
    }

    /// What the event asks for, or why it cannot be looked at further.
    pub(super) fn plan(&mut self, event: &UsageEvent<'_>) -> Result<Plan, Rejection> {
        check_names(event)?;
        let time = self.check_time(event.time)?;
        let (currency, amount, metered, default_policy) = self.price(&event.charge)?;
        if amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        Ok(Plan {
            wallet: self.inner.seed.wallet_hash(event.customer.as_bytes(), currency.number.0),
            scale: currency.scale,
            amount,
            policy: event.policy.unwrap_or(default_policy),
            time,
            metered,
            fingerprint: self.inner.seed.event_fingerprint(event.source.as_bytes(), event.id.as_bytes()),
        })
    }

    fn check_time(&self, time: Option<Timestamp>) -> Result<Timestamp, Rejection> {
        let Some(time) = time else { return Ok(self.now) };
        let config = &self.inner.config;
        if time.saturating_add(config.idempotency_window_ms) < self.now {
            return Err(Rejection::EventTooOld);
        }
        if time > self.now.saturating_add(config.future_tolerance_ms) {
            return Err(Rejection::EventInFuture);
        }
        Ok(time)
    }

    /// Currency, amount, measurement and default policy of a charge.
    pub(super) fn price(
        &mut self,
        charge: &Charge<'_>,
    ) -> Result<(&'a CreditCurrency, Amount, Option<Metered>, Policy), Rejection> {
        match *charge {
            Charge::Amount { currency, amount } => {
                let currency = self.currency(currency).ok_or(Rejection::UnknownCurrency)?;
                let decimal = amount.map_err(|_| Rejection::InvalidAmount)?;
                let amount = Amount::from_decimal(decimal, currency.scale).map_err(|_| Rejection::InvalidAmount)?;
                Ok((currency, amount, None, Policy::Reject))
            }
            Charge::Metered { meter, quantity } => {
                let meter = self.meter(meter).ok_or(Rejection::UnknownMeter)?;
                let currency = self.catalog.currency_by_number(meter.currency).ok_or(Rejection::UnknownCurrency)?;
                let quantity = quantity.map_err(|_| Rejection::InvalidAmount)?;
                let amount = price(quantity, meter.rate, currency.scale, meter.rounding)
                    .map_err(|_| Rejection::InvalidAmount)?;
                Ok((currency, amount, Some(Metered { meter: meter.number, quantity }), meter.policy))
            }
        }
    }

    fn currency(&mut self, id: Option<&str>) -> Option<&'a Arc<CreditCurrency>> {
        let Some(id) = id else { return self.catalog.default_currency() };
        if self.currency.is_none_or(|currency| currency.id != id) {
            self.currency = Some(self.catalog.currency(id)?);
        }
        self.currency
    }

    fn meter(&mut self, event_type: &str) -> Option<&'a Arc<Meter>> {
        if self.meter.is_none_or(|meter| meter.event_type != event_type) {
            self.meter = self.catalog.meter(event_type).filter(|meter| !meter.archived);
        }
        self.meter.filter(|meter| meter.event_type == event_type)
    }
}

fn check_names(event: &UsageEvent<'_>) -> Result<(), Rejection> {
    if event.id.is_empty() || event.id.len() > MAX_ID_BYTES {
        return Err(Rejection::InvalidId { field: "id" });
    }
    if event.source.len() > MAX_ID_BYTES {
        return Err(Rejection::InvalidSource);
    }
    if event.customer.is_empty() || event.customer.len() > MAX_ID_BYTES {
        return Err(Rejection::InvalidId { field: "customer" });
    }
    Ok(())
}
