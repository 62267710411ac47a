//! Records of money in: packages, payment methods, top-ups, automatic rules, invoices.
//!
//! Each says all that there is of its object at that moment; of several, the last one stands. What became news with it is said beside it, for
//! the feed. Enumerations are numbers, by their places in lists of all there are, to which later versions append.
//!
//! Here is what the records say. Their bytes: `package.rs` (packages, and what a currency sells when nothing else is said), `method.rs`,
//! `top_up.rs`, `rule.rs`, `invoice.rs`, `portal.rs` (limits), `charge.rs` (rests, and what providers call what is ours); money, instants and
//! enumerations in them are `parts.rs`.

mod charge;
mod invoice;
mod method;
mod package;
mod parts;
mod portal;
mod rule;
mod top_up;

pub(super) use charge::{WireReference, WireRest};
pub(super) use invoice::WireInvoice;
pub(super) use method::WireMethod;
pub(super) use package::{WirePackage, WireRecharge};
pub(super) use portal::WireLimits;
pub(super) use rule::WireRule;
pub(super) use top_up::WireTopUp;

use crate::billing::auto::{News as RuleNews, Rule, RuleState, Skip};
use crate::billing::deposit::DepositForm;
use crate::billing::invoice::Invoice;
use crate::billing::portal::PortalLimits;
use crate::billing::recharge::RechargeConfig;
use crate::billing::top_up::{Collection, News, TopUp};
use crate::billing::{CreditPackage, PaymentMethod};
use crate::catalog::CurrencyNumber;
use crate::ledger::Timestamp;

/// Something of money in was made or changed: all of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BillingRecord {
    /// A credit package.
    Package(CreditPackage),
    /// How a currency's credits are bought when nothing else is said.
    Recharge(RechargeConfig),
    /// A payment method.
    Method(PaymentMethod),
    /// A top-up.
    TopUp(Box<TopUpRecord>),
    /// An automatic rule, and what has become of it.
    Rule(Box<RuleRecord>),
    /// An invoice.
    Invoice(Box<InvoiceRecord>),
    /// Limits on what customers buy for themselves.
    Limits(LimitsRecord),
    /// What a provider calls something of ours.
    Reference(ReferenceRecord),
    /// The rest of a charge is to be collected, or has been seen to.
    Rest(RestRecord),
    /// A deposit form.
    Form(DepositForm),
}

/// What tells one object of money in from all others: its kind, and its id or number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BillingKey(u8, String, u64);

impl BillingRecord {
    /// What it is of: a later record of the same key takes its place.
    pub fn key(&self) -> BillingKey {
        match self {
            BillingRecord::Package(package) => BillingKey(0, package.id.clone(), 0),
            BillingRecord::Recharge(config) => BillingKey(1, String::new(), config.currency.0.into()),
            BillingRecord::Limits(limits) => BillingKey(2, String::new(), limits.currency.0.into()),
            BillingRecord::Method(method) => BillingKey(3, method.id.clone(), 0),
            BillingRecord::TopUp(record) => BillingKey(4, record.top_up.id.clone(), 0),
            BillingRecord::Rule(record) => BillingKey(5, record.rule.customer.clone(), record.rule.currency.0.into()),
            BillingRecord::Invoice(record) => BillingKey(6, String::new(), record.invoice.number.0),
            BillingRecord::Reference(record) => BillingKey(7, format!("{}\n{}", record.provider, record.of), 0),
            BillingRecord::Rest(record) => BillingKey(8, String::new(), record.number),
            BillingRecord::Form(form) => BillingKey(9, form.id.clone(), 0),
        }
    }

    /// Whether it says nothing but that what was said of it before is over: nobody has to keep it.
    pub fn is_over(&self) -> bool {
        matches!(self, BillingRecord::Rest(record) if record.is_over)
    }

    /// The same without what was news when it was written.
    #[must_use]
    pub fn without_news(mut self) -> BillingRecord {
        match &mut self {
            BillingRecord::TopUp(record) => record.news.clear(),
            BillingRecord::Rule(record) => {
                record.news.clear();
                record.skip = None;
            }
            BillingRecord::Invoice(record) => record.paid_now = false,
            BillingRecord::Package(_)
            | BillingRecord::Recharge(_)
            | BillingRecord::Limits(_)
            | BillingRecord::Reference(_)
            | BillingRecord::Rest(_)
            | BillingRecord::Form(_)
            | BillingRecord::Method(_) => {}
        }
        self
    }
}

/// A top-up, and the grant that is being made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUpRecord {
    /// The top-up.
    pub top_up: TopUp,
    /// Where its grant was declared last, if it was.
    pub declaration: Declaration,
    /// What became news.
    pub news: Vec<News>,
}

/// Where a grant was declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Declaration {
    /// Nowhere.
    #[default]
    None,
    /// So many bytes before this record, in the same frame: what is said of it is there if and only if this record is.
    Before(u32),
    /// At that position of the log.
    At(u64),
}

impl Declaration {
    /// Its position, for a record that stands at `lsn`.
    #[must_use]
    pub fn resolved(self, lsn: u64) -> Declaration {
        match self {
            Declaration::Before(distance) => Declaration::At(lsn.saturating_sub(distance.into())),
            other => other,
        }
    }
}

/// An automatic rule, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRecord {
    /// What was set.
    pub rule: Rule,
    /// What has become of it.
    pub state: RuleState,
    /// It was taken away. Its state stays: a rule that is set again has bought what the one before has.
    pub deleted: bool,
    /// When it was set first.
    pub created_at: Timestamp,
    /// When it was set last.
    pub updated_at: Timestamp,
    /// What became news.
    pub news: Vec<RuleNews>,
    /// Why it did not fire, where that is news.
    pub skip: Option<Skip>,
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRecord {
    /// All of it.
    pub invoice: Invoice,
    /// Whether it has just been paid.
    pub paid_now: bool,
}

/// Limits on what customers buy for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsRecord {
    /// Of which currency.
    pub currency: CurrencyNumber,
    /// They.
    pub limits: PortalLimits,
}

/// What a provider calls something of ours: a customer, a page, a method that is being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceRecord {
    /// The provider.
    pub provider: String,
    /// Ours: the kind of thing, a colon, and its id.
    pub of: String,
    /// The provider's name for it.
    pub reference: String,
}

/// How what a wallet does not cover of a charge is to be collected, written before the wallet is asked: the wallet's own record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRecord {
    /// Rises with their making, and stands for a position of the log: this record is behind it, and the wallet's record behind this one.
    pub number: u64,
    /// Whose wallet.
    pub customer: String,
    /// In which currency.
    pub currency: CurrencyNumber,
    /// How it is collected.
    pub collection: Collection,
    /// By whom.
    pub provider: String,
    /// The payment method to be charged.
    pub method: Option<String>,
    /// There was no rest, or what collects it is recorded.
    pub is_over: bool,
}
