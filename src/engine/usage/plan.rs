//! What an event asks for, worked out before anything is claimed, reserved or applied: every check that needs no wallet.

use crate::engine::catalog::{Catalog, CreditCurrency, Meter};
use crate::engine::event::{Charge, UsageEvent};
use crate::engine::{Inner, MAX_ID_BYTES};
use crate::journal::debit::Metered;
use crate::ledger::{Amount, Policy, Rejection, Scale, Timestamp, price};
use crate::store::hash::{EventsOf, WalletHash, WalletsOf};
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

/// Plans the events of one batch. Remembers the last currency, meter and source, since most batches name one of each.
pub(super) struct Planner<'a> {
    inner: &'a Inner,
    catalog: &'a Catalog,
    now: Timestamp,
    /// Events whose own time is before it are refused: their identities would not be known.
    oldest: Timestamp,
    currency: Option<&'a Arc<CreditCurrency>>,
    meter: Option<&'a Arc<Meter>>,
    /// The last currency's number, and the beginning of its wallets' hashes.
    wallets: Option<(u16, WalletsOf)>,
    /// The last source, and the beginning of its events' fingerprints.
    events: Option<(&'a str, EventsOf)>,
}

/// What a charge comes to.
pub(super) struct Price<'a> {
    pub(super) currency: &'a CreditCurrency,
    pub(super) amount: Amount,
    pub(super) metered: Option<Metered>,
    /// For events that name none.
    pub(super) policy: Policy,
}

impl<'a> Planner<'a> {
    pub(super) fn new(inner: &'a Inner, catalog: &'a Catalog, now: Timestamp) -> Self {
        let window = Timestamp::from_millis(now.millis().saturating_sub(inner.config.idempotency_window_ms));
        let oldest = window.max(inner.remembered_since);
        Planner { inner, catalog, now, oldest, currency: None, meter: None, wallets: None, events: None }
    }

    /// What the event asks for, or why it cannot be looked at further.
    #[inline]
    pub(super) fn plan(&mut self, event: &UsageEvent<'a>) -> Result<Plan, Rejection> {
        check_names(event)?;
        let time = self.check_time(event.time)?;
        let price = self.price(&event.charge)?;
        if price.amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        Ok(Plan {
            wallet: self.wallet_of(price.currency.number.0, event.customer),
            scale: price.currency.scale,
            amount: price.amount,
            policy: event.policy.unwrap_or(price.policy),
            time,
            metered: price.metered,
            fingerprint: self.fingerprint_of(event.source, event.id),
        })
    }

    #[inline]
    fn check_time(&self, time: Option<Timestamp>) -> Result<Timestamp, Rejection> {
        let Some(time) = time else { return Ok(self.now) };
        if time < self.oldest {
            return Err(Rejection::EventTooOld);
        }
        if time > self.now.saturating_add(self.inner.config.future_tolerance_ms) {
            return Err(Rejection::EventInFuture);
        }
        Ok(time)
    }

    /// Currency, amount, measurement and default policy of a charge.
    #[inline]
    pub(super) fn price(&mut self, charge: &Charge<'_>) -> Result<Price<'a>, Rejection> {
        match *charge {
            Charge::Amount { currency, amount } => {
                let currency = self.currency(currency).ok_or(Rejection::UnknownCurrency)?;
                let decimal = amount.map_err(|_| Rejection::InvalidAmount)?;
                let amount = Amount::from_decimal(decimal, currency.scale).map_err(|_| Rejection::InvalidAmount)?;
                Ok(Price { currency, amount, metered: None, policy: Policy::Reject })
            }
            Charge::Metered { meter, quantity } => {
                let meter = self.meter(meter).ok_or(Rejection::UnknownMeter)?;
                let currency = self.catalog.currency_by_number(meter.currency).ok_or(Rejection::UnknownCurrency)?;
                let quantity = quantity.map_err(|_| Rejection::InvalidAmount)?;
                let amount = price(quantity, meter.rate, currency.scale, meter.rounding)
                    .map_err(|_| Rejection::InvalidAmount)?;
                let metered = Some(Metered { meter: meter.number, quantity });
                Ok(Price { currency, amount, metered, policy: meter.policy })
            }
        }
    }

    #[inline]
    fn currency(&mut self, id: Option<&str>) -> Option<&'a Arc<CreditCurrency>> {
        let Some(id) = id else { return self.catalog.default_currency() };
        if self.currency.is_none_or(|currency| !same_text(&currency.id, id)) {
            self.currency = Some(self.catalog.currency(id)?);
        }
        self.currency
    }

    #[inline]
    fn meter(&mut self, event_type: &str) -> Option<&'a Arc<Meter>> {
        if self.meter.is_none_or(|meter| !same_text(&meter.event_type, event_type)) {
            self.meter = self.catalog.meter(event_type).filter(|meter| !meter.archived);
        }
        self.meter.filter(|meter| same_text(&meter.event_type, event_type))
    }

    #[inline]
    fn wallet_of(&mut self, currency: u16, customer: &str) -> WalletHash {
        let seed = &self.inner.seed;
        let begun = match self.wallets {
            Some((number, begun)) if number == currency => begun,
            _ => self.wallets.insert((currency, seed.wallets_of(currency))).1,
        };
        seed.wallet_of(begun, customer.as_bytes())
    }

    #[inline]
    fn fingerprint_of(&mut self, source: &'a str, id: &str) -> u64 {
        let seed = &self.inner.seed;
        let begun = match self.events {
            Some((name, begun)) if same_text(name, source) => begun,
            _ => self.events.insert((source, seed.events_of(source.as_bytes()))).1,
        };
        seed.event_of(begun, id.as_bytes())
    }
}

/// Whether two short texts are equal, without a call: batches repeat names of 4 to 16 bytes again and again.
#[inline]
pub(super) fn same_text(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    // Two words that may overlap cover all bytes.
    match a.len() {
        0 => true,
        4..8 => a.first_chunk::<4>() == b.first_chunk::<4>() && a.last_chunk::<4>() == b.last_chunk::<4>(),
        8..=16 => a.first_chunk::<8>() == b.first_chunk::<8>() && a.last_chunk::<8>() == b.last_chunk::<8>(),
        _ => a == b,
    }
}

#[inline]
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

#[cfg(test)]
mod tests {
    use super::same_text;

    #[test]
    fn texts_are_the_same_when_every_byte_is() {
        let text = "a source of thirty-odd characters";
        for length in 0..=text.len() {
            let one = &text[..length];
            let copy = one.to_owned();
            assert!(same_text(one, &copy), "{length} bytes");
            assert!(length == 0 || !same_text(one, &text[..length - 1]));
            for changed in 0..length {
                let mut bytes = one.as_bytes().to_vec();
                bytes[changed] = b'#';
                let other = String::from_utf8(bytes).expect("ASCII");
                assert!(!same_text(one, &other), "{length} bytes, byte {changed}");
            }
        }
    }
}
