//! The catalogue: credit currencies and meters, the terms under which events turn into amounts.

pub use crate::catalog::{CreditCurrency, CurrencyKind, CurrencyNumber, Meter, Priorities};
use crate::ledger::{Decimal, Policy, Rounding};
use std::collections::HashMap;
use std::sync::Arc;

/// A request to make or change a credit currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrencySpec {
    /// Its id, 1 to 64 bytes.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Symbol for people.
    pub symbol: String,
    /// Decimal places, 0 to 9.
    pub scale: u8,
    /// A unit of its own or a fiat denomination.
    pub kind: CurrencyKind,
    /// The most that a wallet may hold after a grant, in credits.
    pub max_balance: Option<Decimal>,
    /// Priorities of grants that name none, where they are not to be the sources' own; 100 at most.
    pub default_priorities: Priorities,
}

/// A request to make or change a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterSpec {
    /// The event type that it measures, 1 to 128 bytes.
    pub event_type: String,
    /// The currency that it debits, by id.
    pub currency: String,
    /// Credits per unit, greater than zero.
    pub rate: Decimal,
    /// What to do with what the currency's scale cannot hold.
    pub rounding: Rounding,
    /// Policy for events that name none.
    pub policy: Policy,
}

/// Up to this many currencies or meters are compared one by one.
const SCANNED_MAX: usize = 8;

/// Every currency and meter as of one moment; immutable, replaced whole when one changes.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    currencies: Vec<Arc<CreditCurrency>>,
    currencies_by_id: HashMap<String, CurrencyNumber>,
    meters: Vec<Arc<Meter>>,
    meters_by_type: HashMap<String, u16>,
}

impl Catalog {
    /// The currency of that id.
    pub fn currency(&self, id: &str) -> Option<&Arc<CreditCurrency>> {
        // Most servers have one or two; comparing them takes less time than hashing the name.
        if self.currencies.len() <= SCANNED_MAX {
            return self.currencies.iter().find(|currency| currency.id == id);
        }
        self.currencies_by_id.get(id).map(|number| &self.currencies[usize::from(number.0)])
    }

    /// The currency of that number.
    pub fn currency_by_number(&self, number: CurrencyNumber) -> Option<&Arc<CreditCurrency>> {
        self.currencies.get(usize::from(number.0))
    }

    /// The server's default currency: the only one there is.
    pub fn default_currency(&self) -> Option<&Arc<CreditCurrency>> {
        match self.currencies.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// All currencies, in order of creation.
    pub fn currencies(&self) -> &[Arc<CreditCurrency>] {
        &self.currencies
    }

    /// The meter of that event type.
    pub fn meter(&self, event_type: &str) -> Option<&Arc<Meter>> {
        if self.meters.len() <= SCANNED_MAX {
            return self.meters.iter().find(|meter| meter.event_type == event_type);
        }
        self.meters_by_type.get(event_type).map(|number| &self.meters[usize::from(*number)])
    }

    /// The meter of that number.
    pub fn meter_by_number(&self, number: u16) -> Option<&Arc<Meter>> {
        self.meters.get(usize::from(number))
    }

    /// All meters, in order of creation.
    pub fn meters(&self) -> &[Arc<Meter>] {
        &self.meters
    }

    /// Adds a currency, or replaces the one of its number. Numbers are dense: a new one is `currencies().len()`.
    pub(super) fn set_currency(&mut self, currency: CreditCurrency) -> Result<(), CatalogGap> {
        let number = usize::from(currency.number.0);
        self.currencies_by_id.insert(currency.id.clone(), currency.number);
        set_dense(&mut self.currencies, number, currency)
    }

    /// Adds a meter, or replaces the one of its number. Numbers are dense: a new one is `meters().len()`.
    pub(super) fn set_meter(&mut self, meter: Meter) -> Result<(), CatalogGap> {
        let number = usize::from(meter.number);
        self.meters_by_type.insert(meter.event_type.clone(), meter.number);
        set_dense(&mut self.meters, number, meter)
    }
}

/// A number that leaves a gap before it: the log is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogGap;

fn set_dense<T>(items: &mut Vec<Arc<T>>, number: usize, item: T) -> Result<(), CatalogGap> {
    let item = Arc::new(item);
    if number > items.len() {
        return Err(CatalogGap);
    }
    match items.get_mut(number) {
        Some(place) => *place = item,
        None => items.push(item),
    }
    Ok(())
}
