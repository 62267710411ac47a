//! Records of money in: packages, payment methods, top-ups, automatic rules, invoices.
//!
//! Each says all that there is of its object at that moment; of several, the last one stands. What became news with it is said beside it, for
//! the feed. Enumerations are numbers, by their places in the lists below, to which later versions append.

use super::Corrupt;
use super::deposit::WireAside;
use crate::billing::auto::{
    Attempt, Halt, Limit, Mode, News as RuleNews, Rule, RuleState, Skip, SuspendReason, Tally, Window,
};
use crate::billing::deposit::DepositForm;
use crate::billing::invoice::{Invoice, Line, Note, Number, Paid, Payer, Subject};
use crate::billing::method::CardExpiry;
use crate::billing::money::Worth;
use crate::billing::portal::PortalLimits;
use crate::billing::recharge::RechargeConfig;
use crate::billing::top_up::{
    Collection, Credit, Dispute, Failure, Goods, Kind, News, Payment, Purchase, Refund, RefundStatus, Status, TopUp,
};
use crate::billing::{CreditPackage, Money, MoneyCode, PaymentMethod, Per};
use crate::catalog::{CurrencyNumber, Metadata};
use crate::ledger::{Amount, GrantId, Source, Timestamp, Trigger};
use serde::{Deserialize, Serialize};

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

const KINDS: [Kind; 4] = [Kind::Manual, Kind::Auto, Kind::Deposit, Kind::Offline];
const COLLECTIONS: [Collection; 4] =
    [Collection::Charge, Collection::Checkout, Collection::Invoice, Collection::Outside];
const REFUNDS: [RefundStatus; 3] = [RefundStatus::Pending, RefundStatus::Succeeded, RefundStatus::Failed];
const DISPUTES: [Dispute; 4] = [Dispute::None, Dispute::Open, Dispute::Won, Dispute::Lost];
const NEWS: [News; 8] = [
    News::Created,
    News::RequiresAction,
    News::Completed,
    News::Failed,
    News::Expired,
    News::Canceled,
    News::Refunded,
    News::Disputed,
];
const RULE_NEWS: [RuleNews; 5] =
    [RuleNews::Triggered, RuleNews::Skipped, RuleNews::Failed, RuleNews::Suspended, RuleNews::Resumed];
const TRIGGERS: [Trigger; 2] = [Trigger::Below, Trigger::AtOrBelow];
const HALTS: [Halt; 3] =
    [Halt::Suspended(SuspendReason::HardDecline), Halt::Suspended(SuspendReason::Failures), Halt::ActionRequired];
const SKIPS: [Skip; 8] = [
    Skip::Halted,
    Skip::NoMethod,
    Skip::Cooldown,
    Skip::BackOff,
    Skip::NotSold,
    Skip::Limit(Per::Day),
    Skip::Limit(Per::Week),
    Skip::Limit(Per::Month),
];

/// The place of a value in the list of all, which is its number in records.
fn number_of<T: PartialEq>(all: &[T], value: &T) -> u8 {
    all.iter().position(|known| known == value).expect("the list has all of them") as u8
}

fn at<T: Copy>(all: &[T], number: u8, what: &'static str) -> Result<T, Corrupt> {
    all.get(usize::from(number)).copied().ok_or(Corrupt::Malformed(what))
}

fn all_at<T: Copy>(all: &[T], numbers: Vec<u8>, what: &'static str) -> Result<Vec<T>, Corrupt> {
    numbers.into_iter().map(|number| at(all, number, what)).collect()
}

fn millis(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::millis)
}

fn instant(millis: Option<u64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

/// Code and decimal places.
#[derive(Serialize, Deserialize)]
struct WireCode(String, u8);

impl From<MoneyCode> for WireCode {
    fn from(code: MoneyCode) -> Self {
        WireCode(code.as_str().to_owned(), code.places())
    }
}

impl TryFrom<WireCode> for MoneyCode {
    type Error = Corrupt;

    fn try_from(wire: WireCode) -> Result<Self, Corrupt> {
        MoneyCode::coin(&wire.0, wire.1).ok_or(Corrupt::Malformed("code of money"))
    }
}

/// Minor units, and of what.
#[derive(Serialize, Deserialize)]
struct WireMoney(i64, WireCode);

impl From<Money> for WireMoney {
    fn from(money: Money) -> Self {
        WireMoney(money.units, money.code.into())
    }
}

impl TryFrom<WireMoney> for Money {
    type Error = Corrupt;

    fn try_from(wire: WireMoney) -> Result<Self, Corrupt> {
        Ok(Money::new(wire.0, wire.1.try_into()?))
    }
}

fn money_of(wire: Option<WireMoney>) -> Result<Option<Money>, Corrupt> {
    wire.map(Money::try_from).transpose()
}

#[derive(Serialize, Deserialize)]
pub(super) struct WirePackage {
    id: String,
    name: String,
    currency: u16,
    credits: i64,
    bonus: i64,
    price: WireMoney,
    valid_for_ms: Option<u64>,
    priority: u8,
    max_per_customer: Option<u32>,
    archived: bool,
    metadata: Metadata,
}

impl From<&CreditPackage> for WirePackage {
    fn from(package: &CreditPackage) -> Self {
        WirePackage {
            id: package.id.clone(),
            name: package.name.clone(),
            currency: package.currency.0,
            credits: package.credits.units(),
            bonus: package.bonus.units(),
            price: package.price.into(),
            valid_for_ms: package.valid_for_ms,
            priority: package.priority,
            max_per_customer: package.max_per_customer,
            archived: package.archived,
            metadata: package.metadata.clone(),
        }
    }
}

impl TryFrom<WirePackage> for CreditPackage {
    type Error = Corrupt;

    fn try_from(wire: WirePackage) -> Result<Self, Corrupt> {
        let (credits, bonus) = (Amount::new(wire.credits), Amount::new(wire.bonus));
        let is_possible = credits > Amount::ZERO && bonus >= Amount::ZERO && credits.checked_add(bonus).is_some();
        if !is_possible {
            return Err(Corrupt::Malformed("credits"));
        }
        Ok(CreditPackage {
            id: wire.id,
            name: wire.name,
            currency: CurrencyNumber(wire.currency),
            credits,
            bonus,
            price: wire.price.try_into()?,
            valid_for_ms: wire.valid_for_ms,
            priority: wire.priority,
            max_per_customer: wire.max_per_customer,
            archived: wire.archived,
            metadata: wire.metadata,
        })
    }
}

/// Currency and package.
#[derive(Serialize, Deserialize)]
pub(super) struct WireRecharge(u16, Option<String>);

impl From<&RechargeConfig> for WireRecharge {
    fn from(config: &RechargeConfig) -> Self {
        WireRecharge(config.currency.0, config.package.clone())
    }
}

impl From<WireRecharge> for RechargeConfig {
    fn from(wire: WireRecharge) -> Self {
        RechargeConfig { currency: CurrencyNumber(wire.0), package: wire.1 }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireMethod {
    id: String,
    customer: String,
    provider: String,
    reference: String,
    brand: Option<String>,
    last4: Option<String>,
    /// Year and month.
    expiry: Option<(u16, u8)>,
    fingerprint: Option<String>,
    is_default: bool,
    detached: bool,
    created_at: u64,
}

impl From<&PaymentMethod> for WireMethod {
    fn from(method: &PaymentMethod) -> Self {
        WireMethod {
            id: method.id.clone(),
            customer: method.customer.clone(),
            provider: method.provider.clone(),
            reference: method.reference.clone(),
            brand: method.brand.clone(),
            last4: method.last4.clone(),
            expiry: method.expiry.map(|expiry| (expiry.year(), expiry.month())),
            fingerprint: method.fingerprint.clone(),
            is_default: method.is_default,
            detached: method.detached,
            created_at: method.created_at.millis(),
        }
    }
}

impl TryFrom<WireMethod> for PaymentMethod {
    type Error = Corrupt;

    fn try_from(wire: WireMethod) -> Result<Self, Corrupt> {
        let expiry = |(year, month)| CardExpiry::new(year, month).ok_or(Corrupt::Malformed("expiry of a card"));
        Ok(PaymentMethod {
            id: wire.id,
            customer: wire.customer,
            provider: wire.provider,
            reference: wire.reference,
            brand: wire.brand,
            last4: wire.last4,
            expiry: wire.expiry.map(expiry).transpose()?,
            fingerprint: wire.fingerprint,
            is_default: wire.is_default,
            detached: wire.detached,
            created_at: Timestamp::from_millis(wire.created_at),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum WireGoods {
    Fixed(i64),
    /// Code, and the power of ten of a minor unit's worth.
    Worth(WireCode, u8),
}

#[derive(Serialize, Deserialize)]
struct WirePurchase {
    package: Option<String>,
    quantity: u32,
    price: Option<WireMoney>,
    goods: WireGoods,
    source: String,
    priority: u8,
    valid_for_ms: Option<u64>,
}

impl From<&Purchase> for WirePurchase {
    fn from(purchase: &Purchase) -> Self {
        WirePurchase {
            package: purchase.package.clone(),
            quantity: purchase.quantity,
            price: purchase.price.map(Into::into),
            goods: match purchase.goods {
                Goods::Fixed(credits) => WireGoods::Fixed(credits.units()),
                Goods::Worth(worth) => WireGoods::Worth(worth.code().into(), worth.power()),
            },
            source: purchase.source.as_str().to_owned(),
            priority: purchase.priority,
            valid_for_ms: purchase.valid_for_ms,
        }
    }
}

impl TryFrom<WirePurchase> for Purchase {
    type Error = Corrupt;

    fn try_from(wire: WirePurchase) -> Result<Self, Corrupt> {
        let price = money_of(wire.price)?;
        let goods = match wire.goods {
            WireGoods::Fixed(credits) if price.is_some_and(|price| price.units > 0) => {
                Goods::Fixed(Amount::new(credits))
            }
            WireGoods::Fixed(_) => return Err(Corrupt::Malformed("price")),
            WireGoods::Worth(code, power) => {
                Goods::Worth(Worth::from_parts(code.try_into()?, power).ok_or(Corrupt::Malformed("worth"))?)
            }
        };
        Ok(Purchase {
            package: wire.package,
            quantity: wire.quantity,
            price,
            goods,
            source: Source::parse(&wire.source).ok_or(Corrupt::Malformed("source"))?,
            priority: wire.priority,
            valid_for_ms: wire.valid_for_ms,
        })
    }
}

/// What there is of its credits: kind, amount, grant.
type WireCredit = (u8, i64, u64);

fn wire_credit(credit: Credit) -> WireCredit {
    match credit {
        Credit::None => (0, 0, 0),
        Credit::Due(amount) => (1, amount.units(), 0),
        Credit::Granted { grant, amount } => (2, amount.units(), grant.get()),
        Credit::Refused(amount) => (3, amount.units(), 0),
    }
}

fn credit_of((kind, amount, grant): WireCredit) -> Result<Credit, Corrupt> {
    let amount = Amount::new(amount);
    match kind {
        0 => Ok(Credit::None),
        1 => Ok(Credit::Due(amount)),
        2 => Ok(Credit::Granted { grant: GrantId::new(grant), amount }),
        3 => Ok(Credit::Refused(amount)),
        _ => Err(Corrupt::Malformed("credit")),
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireTopUp {
    id: String,
    customer: String,
    currency: u16,
    kind: u8,
    purchase: WirePurchase,
    collection: u8,
    provider: String,
    method: Option<String>,
    saves_method: bool,
    credits_at_once: bool,
    return_url: Option<String>,
    checkout_url: Option<String>,
    address: Option<String>,
    progress: String,
    in_doubt: bool,
    declines: u32,
    /// Code, and whether it is hard.
    failure: Option<(String, bool)>,
    /// Key, money and time.
    payments: Vec<(String, WireMoney, u64)>,
    captured: Option<WireMoney>,
    /// Key, money, status and time.
    refunds: Vec<(String, WireMoney, u8, u64)>,
    dispute: u8,
    credit: WireCredit,
    /// To be taken back, and taken back.
    clawed_back: (i64, i64),
    /// To be frozen, and frozen.
    frozen: (bool, bool),
    key: Option<String>,
    metadata: Metadata,
    /// Made and changed.
    times: (u64, u64),
    expires_at: Option<u64>,
    completed_at: Option<u64>,
    /// Kind and number.
    declaration: (u8, u64),
    news: Vec<u8>,
    /// The charge whose rest it pays, or the form by which it is paid in. Left out where there is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aside: Option<WireAside>,
}

/// The number of the kind of top-ups that pay the rest of a charge, which stands beside it.
const KIND_CHARGE: u8 = KINDS.len() as u8;

impl From<&TopUpRecord> for WireTopUp {
    fn from(record: &TopUpRecord) -> Self {
        let top_up = &record.top_up;
        let (kind, aside) = match top_up.kind {
            Kind::Charge { entry } => (KIND_CHARGE, Some(WireAside::Charge(entry))),
            kind => (number_of(&KINDS, &kind), top_up.form.clone().map(WireAside::Form)),
        };
        WireTopUp {
            id: top_up.id.clone(),
            customer: top_up.customer.clone(),
            currency: top_up.currency.0,
            kind,
            purchase: (&top_up.purchase).into(),
            collection: number_of(&COLLECTIONS, &top_up.collection),
            provider: top_up.provider.clone(),
            method: top_up.method.clone(),
            saves_method: top_up.saves_method,
            credits_at_once: top_up.credits_at_once,
            return_url: top_up.return_url.clone(),
            checkout_url: top_up.checkout_url.clone(),
            address: top_up.address.clone(),
            progress: top_up.progress.as_str().to_owned(),
            in_doubt: top_up.in_doubt,
            declines: top_up.declines,
            failure: top_up.failure.as_ref().map(|failure| (failure.code.clone(), failure.is_hard)),
            payments: top_up
                .payments
                .iter()
                .map(|payment| (payment.key.clone(), payment.money.into(), payment.at.millis()))
                .collect(),
            captured: top_up.captured.map(Into::into),
            refunds: top_up
                .refunds
                .iter()
                .map(|refund| {
                    let status = number_of(&REFUNDS, &refund.status);
                    (refund.key.clone(), refund.money.into(), status, refund.at.millis())
                })
                .collect(),
            dispute: number_of(&DISPUTES, &top_up.dispute),
            credit: wire_credit(top_up.credit),
            clawed_back: (top_up.to_claw_back.units(), top_up.clawed_back.units()),
            frozen: (top_up.to_freeze, top_up.frozen),
            key: top_up.key.clone(),
            metadata: top_up.metadata.clone(),
            times: (top_up.created_at.millis(), top_up.updated_at.millis()),
            expires_at: millis(top_up.expires_at),
            completed_at: millis(top_up.completed_at),
            declaration: match record.declaration {
                Declaration::None => (0, 0),
                Declaration::Before(distance) => (1, distance.into()),
                Declaration::At(lsn) => (2, lsn),
            },
            news: record.news.iter().map(|news| number_of(&NEWS, news)).collect(),
            aside,
        }
    }
}

impl TryFrom<WireTopUp> for TopUpRecord {
    type Error = Corrupt;

    fn try_from(wire: WireTopUp) -> Result<Self, Corrupt> {
        let payment = |(key, money, at): (String, WireMoney, u64)| {
            Ok(Payment { key, money: money.try_into()?, at: Timestamp::from_millis(at) })
        };
        let refund = |(key, money, status, time): (String, WireMoney, u8, u64)| {
            let status = at(&REFUNDS, status, "status of a refund")?;
            Ok(Refund { key, money: money.try_into()?, status, at: Timestamp::from_millis(time) })
        };
        let top_up = TopUp {
            id: wire.id,
            customer: wire.customer,
            currency: CurrencyNumber(wire.currency),
            kind: match (wire.kind, &wire.aside) {
                (KIND_CHARGE, Some(WireAside::Charge(entry))) => Kind::Charge { entry: *entry },
                (kind, _) => at(&KINDS, kind, "kind of a top-up")?,
            },
            purchase: wire.purchase.try_into()?,
            collection: at(&COLLECTIONS, wire.collection, "collection")?,
            provider: wire.provider,
            method: wire.method,
            saves_method: wire.saves_method,
            credits_at_once: wire.credits_at_once,
            return_url: wire.return_url,
            checkout_url: wire.checkout_url,
            address: wire.address,
            progress: Status::parse(&wire.progress)
                .filter(|progress| !progress.is_paid())
                .ok_or(Corrupt::Malformed("progress"))?,
            in_doubt: wire.in_doubt,
            declines: wire.declines,
            failure: wire.failure.map(|(code, is_hard)| Failure { code, is_hard }),
            payments: wire.payments.into_iter().map(payment).collect::<Result<_, Corrupt>>()?,
            captured: money_of(wire.captured)?,
            refunds: wire.refunds.into_iter().map(refund).collect::<Result<_, Corrupt>>()?,
            dispute: at(&DISPUTES, wire.dispute, "dispute")?,
            credit: credit_of(wire.credit)?,
            to_claw_back: Amount::new(wire.clawed_back.0),
            clawed_back: Amount::new(wire.clawed_back.1),
            to_freeze: wire.frozen.0,
            frozen: wire.frozen.1,
            key: wire.key,
            metadata: wire.metadata,
            created_at: Timestamp::from_millis(wire.times.0),
            updated_at: Timestamp::from_millis(wire.times.1),
            expires_at: instant(wire.expires_at),
            completed_at: instant(wire.completed_at),
            form: match wire.aside {
                Some(WireAside::Form(form)) => Some(form),
                Some(WireAside::Charge(_)) | None => None,
            },
        };
        let declaration = match wire.declaration {
            (0, _) => Declaration::None,
            (1, distance) => {
                Declaration::Before(u32::try_from(distance).map_err(|_| Corrupt::Malformed("declaration"))?)
            }
            (2, lsn) => Declaration::At(lsn),
            _ => return Err(Corrupt::Malformed("declaration")),
        };
        Ok(TopUpRecord { top_up, declaration, news: all_at(&NEWS, wire.news, "news")? })
    }
}

#[derive(Serialize, Deserialize)]
enum WireMode {
    Package(String, u32),
    Amount(WireMoney),
    Target(i64, Option<String>),
}

#[derive(Serialize, Deserialize)]
struct WireRuleSet {
    enabled: bool,
    threshold: i64,
    trigger: u8,
    mode: WireMode,
    cooldown_ms: u64,
    /// Window, count and amount.
    limits: Vec<(String, Option<u32>, Option<WireMoney>)>,
    method: Option<String>,
    priority: Option<u8>,
    valid_for_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct WireRuleState {
    /// Top-up, time and money.
    in_flight: Option<(String, u64, WireMoney)>,
    /// Beginning, count and minor units: day, week, month.
    windows: [(u64, u32, i64); 3],
    code: Option<WireCode>,
    failures: u32,
    cooling_until: Option<u64>,
    retry_at: Option<u64>,
    halt: Option<u8>,
    card: Option<String>,
    told: Vec<(u8, u64)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireRule {
    customer: String,
    currency: u16,
    rule: WireRuleSet,
    state: WireRuleState,
    deleted: bool,
    /// Set first and last.
    times: (u64, u64),
    news: Vec<u8>,
    skip: Option<u8>,
}

impl From<&RuleRecord> for WireRule {
    fn from(record: &RuleRecord) -> Self {
        let (rule, state) = (&record.rule, &record.state);
        let limit = |limit: &Limit| (limit.per.as_str().to_owned(), limit.count, limit.amount.map(Into::into));
        let in_flight = |attempt: &Attempt| (attempt.top_up.clone(), attempt.at.millis(), attempt.money.into());
        WireRule {
            customer: rule.customer.clone(),
            currency: rule.currency.0,
            rule: WireRuleSet {
                enabled: rule.enabled,
                threshold: rule.threshold.units(),
                trigger: number_of(&TRIGGERS, &rule.trigger),
                mode: match &rule.mode {
                    Mode::Package { package, quantity } => WireMode::Package(package.clone(), *quantity),
                    Mode::Amount(money) => WireMode::Amount((*money).into()),
                    Mode::Target { target, package } => WireMode::Target(target.units(), package.clone()),
                },
                cooldown_ms: rule.cooldown_ms,
                limits: rule.limits.iter().map(limit).collect(),
                method: rule.method.clone(),
                priority: rule.priority,
                valid_for_ms: rule.valid_for_ms,
            },
            state: WireRuleState {
                in_flight: state.in_flight.as_ref().map(in_flight),
                windows: state.tally.windows.map(|window| (window.start.millis(), window.count, window.units)),
                code: state.tally.code.map(Into::into),
                failures: state.failures,
                cooling_until: millis(state.cooling_until),
                retry_at: millis(state.retry_at),
                halt: state.halt.map(|halt| number_of(&HALTS, &halt)),
                card: state.card.clone(),
                told: state.told.iter().map(|(skip, until)| (number_of(&SKIPS, skip), until.millis())).collect(),
            },
            deleted: record.deleted,
            times: (record.created_at.millis(), record.updated_at.millis()),
            news: record.news.iter().map(|news| number_of(&RULE_NEWS, news)).collect(),
            skip: record.skip.map(|skip| number_of(&SKIPS, &skip)),
        }
    }
}

impl TryFrom<WireRule> for RuleRecord {
    type Error = Corrupt;

    fn try_from(wire: WireRule) -> Result<Self, Corrupt> {
        let WireRule { customer, currency, rule: set, state, deleted, times, news, skip } = wire;
        let limit = |(per, count, amount): (String, Option<u32>, Option<WireMoney>)| {
            let per = Per::parse(&per).ok_or(Corrupt::Malformed("window"))?;
            Ok(Limit { per, count, amount: money_of(amount)? })
        };
        let told = |(skip, until)| Ok((at(&SKIPS, skip, "reason")?, Timestamp::from_millis(until)));
        let in_flight = |(top_up, at, money): (String, u64, WireMoney)| {
            Ok::<_, Corrupt>(Attempt { top_up, at: Timestamp::from_millis(at), money: money.try_into()? })
        };
        let window = |(start, count, units)| Window { start: Timestamp::from_millis(start), count, units };
        Ok(RuleRecord {
            rule: Rule {
                customer,
                currency: CurrencyNumber(currency),
                enabled: set.enabled,
                threshold: Amount::new(set.threshold),
                trigger: at(&TRIGGERS, set.trigger, "trigger")?,
                mode: match set.mode {
                    WireMode::Package(package, quantity) => Mode::Package { package, quantity },
                    WireMode::Amount(money) => Mode::Amount(money.try_into()?),
                    WireMode::Target(target, package) => Mode::Target { target: Amount::new(target), package },
                },
                cooldown_ms: set.cooldown_ms,
                limits: set.limits.into_iter().map(limit).collect::<Result<_, Corrupt>>()?,
                method: set.method,
                priority: set.priority,
                valid_for_ms: set.valid_for_ms,
            },
            state: RuleState {
                in_flight: state.in_flight.map(in_flight).transpose()?,
                tally: Tally {
                    windows: state.windows.map(window),
                    code: state.code.map(MoneyCode::try_from).transpose()?,
                },
                failures: state.failures,
                cooling_until: instant(state.cooling_until),
                retry_at: instant(state.retry_at),
                halt: state.halt.map(|halt| at(&HALTS, halt, "halt")).transpose()?,
                card: state.card,
                told: state.told.into_iter().map(told).collect::<Result<_, Corrupt>>()?,
            },
            deleted,
            created_at: Timestamp::from_millis(times.0),
            updated_at: Timestamp::from_millis(times.1),
            news: all_at(&RULE_NEWS, news, "news")?,
            skip: skip.map(|skip| at(&SKIPS, skip, "reason")).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
enum WireSubject {
    TopUp(String),
    Charge(u64, Option<String>),
}

#[derive(Serialize, Deserialize)]
enum WirePayer {
    Wallet(i64),
    /// Id, brand and last four digits.
    Method(String, Option<String>, Option<String>),
    Offline,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireInvoice {
    number: u64,
    customer: String,
    subject: WireSubject,
    /// Description, quantity and unit price.
    lines: Vec<(String, u32, WireMoney)>,
    total: WireMoney,
    paid: Vec<(WirePayer, WireMoney)>,
    /// Number, refund, money and time.
    notes: Vec<(u64, String, WireMoney, u64)>,
    is_void: bool,
    issued_at: u64,
    paid_at: Option<u64>,
    paid_now: bool,
}

impl From<&InvoiceRecord> for WireInvoice {
    fn from(record: &InvoiceRecord) -> Self {
        let invoice = &record.invoice;
        let payer = |payer: &Payer| match payer {
            Payer::Wallet(credits) => WirePayer::Wallet(credits.units()),
            Payer::Method { id, brand, last4 } => WirePayer::Method(id.clone(), brand.clone(), last4.clone()),
            Payer::Offline => WirePayer::Offline,
        };
        let note = |note: &Note| (note.number.0, note.refund.clone(), note.money.into(), note.at.millis());
        WireInvoice {
            number: invoice.number.0,
            customer: invoice.customer.clone(),
            subject: match &invoice.subject {
                Subject::TopUp(id) => WireSubject::TopUp(id.clone()),
                Subject::Charge { entry, invoice } => WireSubject::Charge(*entry, invoice.clone()),
            },
            lines: invoice
                .lines
                .iter()
                .map(|line| (line.description.clone(), line.quantity, line.unit_price.into()))
                .collect(),
            total: invoice.total.into(),
            paid: invoice.paid.iter().map(|paid| (payer(&paid.by), paid.money.into())).collect(),
            notes: invoice.notes.iter().map(note).collect(),
            is_void: invoice.is_void,
            issued_at: invoice.issued_at.millis(),
            paid_at: millis(invoice.paid_at),
            paid_now: record.paid_now,
        }
    }
}

impl TryFrom<WireInvoice> for InvoiceRecord {
    type Error = Corrupt;

    fn try_from(wire: WireInvoice) -> Result<Self, Corrupt> {
        let line = |(description, quantity, price): (String, u32, WireMoney)| {
            Ok(Line { description, quantity, unit_price: price.try_into()? })
        };
        let paid = |(by, money): (WirePayer, WireMoney)| {
            let by = match by {
                WirePayer::Wallet(credits) => Payer::Wallet(Amount::new(credits)),
                WirePayer::Method(id, brand, last4) => Payer::Method { id, brand, last4 },
                WirePayer::Offline => Payer::Offline,
            };
            Ok(Paid { by, money: money.try_into()? })
        };
        let note = |(number, refund, money, at): (u64, String, WireMoney, u64)| {
            Ok(Note { number: Number(number), refund, money: money.try_into()?, at: Timestamp::from_millis(at) })
        };
        let invoice = Invoice {
            number: Number(wire.number),
            customer: wire.customer,
            subject: match wire.subject {
                WireSubject::TopUp(id) => Subject::TopUp(id),
                WireSubject::Charge(entry, invoice) => Subject::Charge { entry, invoice },
            },
            lines: wire.lines.into_iter().map(line).collect::<Result<_, Corrupt>>()?,
            total: wire.total.try_into()?,
            paid: wire.paid.into_iter().map(paid).collect::<Result<_, Corrupt>>()?,
            notes: wire.notes.into_iter().map(note).collect::<Result<_, Corrupt>>()?,
            is_void: wire.is_void,
            issued_at: Timestamp::from_millis(wire.issued_at),
            paid_at: instant(wire.paid_at),
        };
        Ok(InvoiceRecord { invoice, paid_now: wire.paid_now })
    }
}

/// Currency; payments at least and at most; the balance at most.
#[derive(Serialize, Deserialize)]
pub(super) struct WireLimits(u16, Option<WireMoney>, Option<WireMoney>, Option<i64>);

impl From<&LimitsRecord> for WireLimits {
    fn from(record: &LimitsRecord) -> Self {
        let PortalLimits { min_payment, max_payment, max_balance } = record.limits;
        let balance = max_balance.map(Amount::units);
        WireLimits(record.currency.0, min_payment.map(Into::into), max_payment.map(Into::into), balance)
    }
}

impl TryFrom<WireLimits> for LimitsRecord {
    type Error = Corrupt;

    fn try_from(wire: WireLimits) -> Result<Self, Corrupt> {
        let WireLimits(currency, min, max, balance) = wire;
        let (min_payment, max_payment) = (money_of(min)?, money_of(max)?);
        let limits = PortalLimits { min_payment, max_payment, max_balance: balance.map(Amount::new) };
        Ok(LimitsRecord { currency: CurrencyNumber(currency), limits })
    }
}

/// Provider, ours, theirs.
#[derive(Serialize, Deserialize)]
pub(super) struct WireReference(String, String, String);

impl From<&ReferenceRecord> for WireReference {
    fn from(record: &ReferenceRecord) -> Self {
        WireReference(record.provider.clone(), record.of.clone(), record.reference.clone())
    }
}

impl From<WireReference> for ReferenceRecord {
    fn from(WireReference(provider, of, reference): WireReference) -> Self {
        ReferenceRecord { provider, of, reference }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireRest {
    number: u64,
    customer: String,
    currency: u16,
    collection: u8,
    provider: String,
    method: Option<String>,
    is_over: bool,
}

impl From<&RestRecord> for WireRest {
    fn from(record: &RestRecord) -> Self {
        WireRest {
            number: record.number,
            customer: record.customer.clone(),
            currency: record.currency.0,
            collection: number_of(&COLLECTIONS, &record.collection),
            provider: record.provider.clone(),
            method: record.method.clone(),
            is_over: record.is_over,
        }
    }
}

impl TryFrom<WireRest> for RestRecord {
    type Error = Corrupt;

    fn try_from(wire: WireRest) -> Result<Self, Corrupt> {
        Ok(RestRecord {
            number: wire.number,
            customer: wire.customer,
            currency: CurrencyNumber(wire.currency),
            collection: at(&COLLECTIONS, wire.collection, "collection")?,
            provider: wire.provider,
            method: wire.method,
            is_over: wire.is_over,
        })
    }
}
