//! What money in is asked for with and shown as.

use crate::billing::auto::RuleStatus;
use crate::billing::invoice::Number;
use crate::billing::top_up::{Collection, Command, Kind, TopUp};
use crate::catalog::{CreditCurrency, Metadata};
use crate::journal::billing::RuleRecord;
use crate::ledger::Decimal;
use std::sync::Arc;

/// Who buys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buyer {
    /// An operator: no limits.
    #[default]
    Operator,
    /// The customer itself, within the portal's limits.
    Customer,
}

/// A top-up that is asked for.
#[derive(Clone, Debug)]
pub struct TopUpRequest {
    /// Whose wallet.
    pub customer: String,
    /// Currency id; `None` takes the only one.
    pub currency: Option<String>,
    /// Whether it is a deposit, an offline payment or what anybody buys.
    pub kind: Kind,
    /// A package and how many of it. Without it and without an amount: the currency's base package, once.
    pub package: Option<(String, u32)>,
    /// Money, and its code.
    pub amount: Option<(Decimal, String)>,
    /// The credits that the amount buys, where they do not follow from it.
    pub credits: Option<Decimal>,
    /// How it is collected; `None` follows from provider, customer and saved methods.
    pub collection: Option<Collection>,
    /// By whom; `None` is the saved method's, or the server's own.
    pub provider: Option<String>,
    /// The payment method to be charged; `None` takes the customer's.
    pub method: Option<String>,
    /// Whether a method is to be saved on the way.
    pub saves_method: bool,
    /// Whether the credits come before the money.
    pub credits_at_once: bool,
    /// Where the customer goes after the provider's page.
    pub return_url: Option<String>,
    /// Where a deposit goes to.
    pub address: Option<String>,
    /// How long it is waited for, ms.
    pub expiry_ms: Option<u64>,
    /// Same key and content: the first top-up again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// Who buys.
    pub buyer: Buyer,
    /// The form by which a deposit is made: its address, its return URL and its time are taken where none is given here.
    pub form: Option<String>,
}

/// A top-up as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUpView {
    /// All of it.
    pub top_up: TopUp,
    /// In which currency.
    pub currency: Arc<CreditCurrency>,
    /// Its invoice.
    pub invoice: Option<Number>,
}

/// A rule as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleView {
    /// What was set, and what has become of it.
    pub record: RuleRecord,
    /// In which currency.
    pub currency: Arc<CreditCurrency>,
    /// What it is shown as.
    pub status: RuleStatus,
}

/// Something that a provider has to do, once what it follows from is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The provider.
    pub provider: String,
    /// The top-up: the provider's idempotency key, with a refund's own.
    pub top_up: String,
    /// What.
    pub command: Command,
}

/// What is owed on an open invoice is to be collected once more.
#[derive(Clone, Debug, Default)]
pub struct PayRequest {
    /// The payment method to be charged; `None` takes the customer's, or a page.
    pub method: Option<String>,
    /// Where the customer goes after the provider's page.
    pub return_url: Option<String>,
    /// Same key and content: the first payment again. Same key, other content: `idempotency_conflict`.
    pub key: Option<String>,
}

/// What becomes of credits that are to be taken back because their money went back, and have been spent: a setting of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shortfall {
    /// They are owed: the balance goes below zero.
    #[default]
    Debt,
    /// They are written off.
    WriteOff,
}
