//! What a ledger's administrators set up: credit currencies, meters and customers, and what objects carry beside their amounts. Plain values; the
//! journal records them and the engine looks them up.

use crate::ledger::{Amount, Decimal, Policy, Rounding, Scale, Source};
use std::collections::BTreeMap;

/// A currency's number within this data directory; dense, in order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CurrencyNumber(pub u16);

/// A unit of credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditCurrency {
    /// Its id, 1 to 64 bytes.
    pub id: String,
    /// Dense number used in records.
    pub number: CurrencyNumber,
    /// Name for people.
    pub name: String,
    /// Symbol for people.
    pub symbol: String,
    /// Decimal places, 0 to 9. It cannot change once a wallet uses the currency.
    pub scale: Scale,
    /// A unit of its own or a fiat denomination.
    pub kind: CurrencyKind,
    /// The most that a wallet may hold after a grant.
    pub max_balance: Option<Amount>,
    /// Archived currencies take no new grants.
    pub archived: bool,
    /// Priorities of grants that name none, where they are not the sources' own.
    pub default_priorities: Priorities,
}

impl CreditCurrency {
    /// The priority of a grant from `source` that names none.
    pub fn default_priority(&self, source: Source) -> u8 {
        self.default_priorities.get(&source).copied().unwrap_or_else(|| source.default_priority())
    }
}

/// Priorities, 0 to 100, by the grants' sources.
pub type Priorities = BTreeMap<Source, u8>;

/// What one credit of a currency stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrencyKind {
    /// A unit of its own (tokens, minutes, kWh).
    Unit,
    /// A fiat denomination: one credit is one minor unit of this ISO 4217 currency.
    Fiat(String),
}

/// Turns quantities of usage into amounts of a currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// The event type that it measures, 1 to 128 bytes.
    pub event_type: String,
    /// Dense number used in records.
    pub number: u16,
    /// The currency that it debits.
    pub currency: CurrencyNumber,
    /// Credits per unit, exact.
    pub rate: Decimal,
    /// What to do with what the currency's scale cannot hold.
    pub rounding: Rounding,
    /// Policy for events that name none.
    pub policy: Policy,
    /// Archived meters take no events.
    pub archived: bool,
}

/// Free key-value text that travels with an object; at most 50 pairs, keys to 40 bytes, values to 500 bytes.
pub type Metadata = BTreeMap<String, String>;

/// What was paid for a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostBasis {
    /// In the money's minor unit.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
}

/// How a customer pays for credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CollectionMethod {
    /// A saved payment method is charged.
    #[default]
    ChargeAutomatically,
    /// An invoice is sent.
    SendInvoice,
}

impl CollectionMethod {
    /// The method of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::ChargeAutomatically, Self::SendInvoice].into_iter().find(|method| method.as_str() == name)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChargeAutomatically => "charge_automatically",
            Self::SendInvoice => "send_invoice",
        }
    }
}

/// What became of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerChange {
    /// It was made.
    Created,
    /// Something about it was changed.
    Updated,
    /// It takes no new credit any more.
    Archived,
    /// Its personal data were erased.
    Erased,
    /// Whatever opened the portal to it opens nothing any more.
    PortalClosed,
}
