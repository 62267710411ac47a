//! Records of everything that is neither a debit nor an operation: who the wallets are, what a grant is, currencies, meters, keys.
//!
//! ```text
//! 0 tag u8, length u24 | 4 distance to frame u32 | 8 version u8 | 9 body, MessagePack
//! ```

use super::Corrupt;
use super::alerts::{
    CommitmentsRecord, DefaultLevelsRecord, RunwayRecord, RunwayStateRecord, RunwayToldRecord, WireCommitments,
    WireDefaultLevels, WireRunway, WireRunwayTold,
};
use super::billing::{
    BillingRecord, WireInvoice, WireLimits, WireMethod, WirePackage, WireRecharge, WireReference, WireRest, WireRule,
    WireTopUp,
};
use super::bytes::Fields;
use super::control::{AnswerRecord, CustomerRecord, WireAnswer, WireCustomer};
use super::deposit::WireForm;
use super::done::{DoneRecord, WireDone};
use super::frame::{PREFIX, prefix_word, tag};
use super::hold::{self, HoldRecord};
use super::operation::{policy_number, policy_of};
use super::recurring::{self, RecurringRecord};
use super::refused::{RefusedRecord, WireRefused};
use super::special::WireDeclared;
use super::webhook::{WebhookRecord, WireDelivery, WireEndpoint};
use crate::catalog::{CostBasis, CreditCurrency, CurrencyKind, CurrencyNumber, Metadata, Meter, Priorities};
use crate::ledger::{Amount, Category, Decimal, Rollover, Rounding, Scale, Source, Timestamp};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// Of bodies that say more than those of the first version did. Where there is no more to say the first one is written.
const VERSION_2: u8 = 2;
const FIXED: usize = PREFIX + 4 + 1;

/// An administrative record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminRecord {
    /// The first record of a data directory.
    Genesis(Genesis),
    /// A wallet was made.
    Wallet(WalletRecord),
    /// A grant was declared: all that does not change about it. Its number is this record's LSN. It takes effect with the operation
    /// that names it; without one (a crash came between) it does not exist.
    Grant(GrantRecord),
    /// A credit currency was made or changed.
    Currency(CreditCurrency),
    /// A meter was made or changed.
    Meter(Meter),
    /// An API key was made or changed.
    ApiKey(ApiKeyRecord),
    /// A wallet's metadata was replaced.
    Metadata(MetadataRecord),
    /// A grant that had been depleted is about to be opened again. What was declared of it is said once more: snapshots leave out what is
    /// declared of grants that no wallet holds, and the declaration itself may have been retired by the time of the next one.
    Redeclared(Redeclaration),
    /// A hold was declared: see [`super::hold`].
    Hold(HoldRecord),
    /// A recurring grant was made, changed or stopped. Its schedule's number is this record's LSN.
    Recurring(RecurringRecord),
    /// A currency's default levels were set.
    DefaultLevels(DefaultLevelsRecord),
    /// A wallet's commitments were replaced.
    Commitments(CommitmentsRecord),
    /// A wallet's runway watch was set.
    Runway(RunwayRecord),
    /// A runway alert was told.
    RunwayTold(RunwayToldRecord),
    /// What a wallet's burn rate is computed from.
    RunwayState(RunwayStateRecord),
    /// Runway watches have been kept up to this position of the log.
    RunwayCursor(u64),
    /// A request with an `Idempotency-Key` was answered.
    Answer(AnswerRecord),
    /// A customer was made or changed.
    Customer(CustomerRecord),
    /// Something of money in was made or changed.
    Billing(BillingRecord),
    /// Something of webhooks.
    Webhook(WebhookRecord),
    /// A request under a key was carried out: see [`super::done`].
    Done(DoneRecord),
    /// A wallet refused usage.
    Refused(RefusedRecord),
}

/// What was declared of a grant, said once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeclaration {
    /// The grant's number: the LSN of its declaration.
    pub number: u64,
    /// What was declared there.
    pub grant: GrantRecord,
}

/// The first record of a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Random; keys every hash of this data directory. Secret.
    pub seed: [u8; 32],
    /// When it was made, ms since the Unix epoch.
    pub created_ms: u64,
}

/// A wallet was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletRecord {
    /// Its slot.
    pub slot: u32,
    /// Its owner.
    pub customer: String,
    /// Its currency.
    pub currency: CurrencyNumber,
}

/// All that does not change about a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    /// The wallet.
    pub slot: u32,
    /// What was granted.
    pub amount: Amount,
    /// Where it comes from.
    pub source: Source,
    /// Paid or promotional.
    pub category: Category,
    /// 0 is spent first.
    pub priority: u8,
    /// Spendable from this instant.
    pub effective_at: Timestamp,
    /// The end that it was made with; it may have been moved since.
    pub expires_at: Option<Timestamp>,
    /// What was paid.
    pub cost_basis: Option<CostBasis>,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// Whether the caller named an effective date (a retry that does not must be seen as the same).
    pub effective_at_given: bool,
    /// The caller's own data.
    pub metadata: Metadata,
    /// When it was declared.
    pub created_at: Timestamp,
    /// What is said of some grants only.
    pub declared: Declared,
}

/// What is said of some grants only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The caller's reference of the payment.
    pub payment: Option<String>,
    /// It was made to count for nothing until it is paid for.
    pub pending: bool,
    /// How long it lasts from its payment on, ms.
    pub valid_for_ms: Option<u64>,
    /// What becomes of its remainder.
    pub rollover: Option<Rollover>,
    /// The recurring grant that made it.
    pub recurrence: Option<Recurrence>,
    /// Its priority is the currency's default for its source.
    pub default_priority: bool,
    /// The number of the grant, in another wallet, that it was a part of.
    pub transferred_from: Option<u64>,
}

/// Which occurrence of which recurring grant a grant is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    /// The recurring grant's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Its schedule's number: the LSN of that version's record.
    pub schedule: u64,
    /// The occurrence, from 0 on within the version.
    pub number: u64,
}

/// An API key. The secret itself is never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// The public part.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Test or live.
    pub live: bool,
    /// Bit set of scopes, see `http::auth`.
    pub scopes: u8,
    /// SHA-256 of the secret part.
    pub hash: [u8; 32],
    /// ms since the Unix epoch.
    pub created_ms: u64,
    /// It opens nothing any more.
    pub revoked: bool,
}

/// A wallet's metadata was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRecord {
    /// The wallet.
    pub slot: u32,
    /// All of its metadata now.
    pub metadata: Metadata,
}

const GENESIS: u8 = tag::FIRST_ADMIN;
const WALLET: u8 = tag::FIRST_ADMIN + 1;
const GRANT: u8 = tag::FIRST_ADMIN + 2;
const CURRENCY: u8 = tag::FIRST_ADMIN + 3;
const METER: u8 = tag::FIRST_ADMIN + 4;
const API_KEY: u8 = tag::FIRST_ADMIN + 5;
const METADATA: u8 = tag::FIRST_ADMIN + 6;
const REDECLARED: u8 = tag::FIRST_ADMIN + 24;
pub(super) const HOLD: u8 = tag::FIRST_ADMIN + 7;
const RECURRING: u8 = tag::FIRST_ADMIN + 16;
const DEFAULT_LEVELS: u8 = tag::FIRST_ADMIN + 32;
const COMMITMENTS: u8 = tag::FIRST_ADMIN + 33;
const RUNWAY: u8 = tag::FIRST_ADMIN + 34;
const RUNWAY_TOLD: u8 = tag::FIRST_ADMIN + 35;
const RUNWAY_STATE: u8 = tag::FIRST_ADMIN + 36;
const RUNWAY_CURSOR: u8 = tag::FIRST_ADMIN + 37;
const REFUSED: u8 = tag::FIRST_ADMIN + 38;
// Those of the control plane count from 64 on.
const ANSWER: u8 = 64;
const CUSTOMER: u8 = 65;
const DONE: u8 = 66;
// Those of money in from 80 on.
const PACKAGE: u8 = 80;
const RECHARGE: u8 = 81;
const METHOD: u8 = 82;
const TOP_UP: u8 = 83;
const RULE: u8 = 84;
const INVOICE: u8 = 85;
const LIMITS: u8 = 86;
const REFERENCE: u8 = 87;
const REST: u8 = 88;
const FORM: u8 = 89;
// Those of webhooks from 100 on.
const WEBHOOK_ENDPOINT: u8 = 100;
const WEBHOOK_CURSOR: u8 = 101;
const WEBHOOK_LANE: u8 = 102;
const WEBHOOK_DELIVERY: u8 = 103;

impl AdminRecord {
    /// The record's bytes but for its distance from its frame's start: see [`place`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; FIXED];
        let mut version = VERSION;
        let tag = match self {
            AdminRecord::Genesis(genesis) => encode(&mut out, GENESIS, genesis),
            AdminRecord::Wallet(wallet) => {
                encode(&mut out, WALLET, &(wallet.slot, &wallet.customer, wallet.currency.0))
            }
            AdminRecord::Grant(grant) if grant.declared == Declared::default() => {
                encode(&mut out, GRANT, &WireGrant::from(grant))
            }
            AdminRecord::Grant(grant) => {
                version = VERSION_2;
                encode(&mut out, GRANT, &(grant.slot, WireGrant::from(grant), WireDeclared::from(&grant.declared)))
            }
            AdminRecord::Currency(currency) if currency.default_priorities.is_empty() => {
                encode(&mut out, CURRENCY, &WireCurrency::from(currency))
            }
            AdminRecord::Currency(currency) => {
                version = VERSION_2;
                encode(&mut out, CURRENCY, &(WireCurrency::from(currency), priorities(currency)))
            }
            AdminRecord::Meter(meter) => encode(&mut out, METER, &WireMeter::from(meter)),
            AdminRecord::ApiKey(key) => encode(&mut out, API_KEY, key),
            AdminRecord::Metadata(metadata) => encode(&mut out, METADATA, metadata),
            AdminRecord::Redeclared(again) if again.grant.declared != Declared::default() => {
                let grant = &again.grant;
                version = VERSION_2;
                let declared = WireDeclared::from(&grant.declared);
                let body = (grant.slot, again.number, grant.created_at.millis(), WireGrant::from(grant), declared);
                encode(&mut out, REDECLARED, &body)
            }
            AdminRecord::Redeclared(again) => {
                let grant = &again.grant;
                let body = (grant.slot, again.number, grant.created_at.millis(), WireGrant::from(grant));
                encode(&mut out, REDECLARED, &body)
            }
            AdminRecord::Hold(hold) => return hold.encode(),
            AdminRecord::Recurring(recurring) => encode(&mut out, RECURRING, &recurring::Wire::from(recurring)),
            AdminRecord::DefaultLevels(defaults) => {
                encode(&mut out, DEFAULT_LEVELS, &WireDefaultLevels::from(defaults))
            }
            AdminRecord::Commitments(commitments) => encode(&mut out, COMMITMENTS, &WireCommitments::from(commitments)),
            AdminRecord::Runway(runway) => encode(&mut out, RUNWAY, &WireRunway::from(runway)),
            AdminRecord::RunwayTold(told) => encode(&mut out, RUNWAY_TOLD, &WireRunwayTold::from(told)),
            AdminRecord::RunwayState(state) => encode(&mut out, RUNWAY_STATE, state),
            AdminRecord::RunwayCursor(upto) => encode(&mut out, RUNWAY_CURSOR, upto),
            AdminRecord::Answer(answer) => encode(&mut out, ANSWER, &WireAnswer::from(answer)),
            AdminRecord::Customer(customer) => encode(&mut out, CUSTOMER, &WireCustomer::from(customer)),
            AdminRecord::Billing(billing) => encode_billing(&mut out, billing),
            AdminRecord::Webhook(webhook) => encode_webhook(&mut out, webhook),
            AdminRecord::Done(done) => encode(&mut out, DONE, &WireDone::from(done)),
            AdminRecord::Refused(refused) => encode(&mut out, REFUSED, &WireRefused::from(refused)),
        };
        let word = prefix_word(tag, out.len());
        out[..PREFIX].copy_from_slice(&word);
        out[FIXED - 1] = version;
        out
    }
}

impl AdminRecord {
    /// The wallet that the record is about and the kind of what it says of it, if a later record of that kind takes its place.
    pub fn of_wallet(&self) -> Option<(u32, u8)> {
        match self {
            AdminRecord::Metadata(metadata) => Some((metadata.slot, METADATA)),
            AdminRecord::Commitments(commitments) => Some((commitments.slot, COMMITMENTS)),
            AdminRecord::Runway(runway) => Some((runway.slot, RUNWAY)),
            AdminRecord::RunwayTold(told) => Some((told.slot, RUNWAY_TOLD)),
            AdminRecord::RunwayState(state) => Some((state.slot, RUNWAY_STATE)),
            AdminRecord::Genesis(_)
            | AdminRecord::Wallet(_)
            | AdminRecord::Grant(_)
            | AdminRecord::Currency(_)
            | AdminRecord::Meter(_)
            | AdminRecord::ApiKey(_)
            | AdminRecord::DefaultLevels(_)
            | AdminRecord::RunwayCursor(_)
            | AdminRecord::Redeclared(_)
            | AdminRecord::Hold(_)
            | AdminRecord::Recurring(_)
            | AdminRecord::Answer(_)
            | AdminRecord::Customer(_)
            | AdminRecord::Billing(_)
            | AdminRecord::Webhook(_)
            | AdminRecord::Done(_)
            | AdminRecord::Refused(_) => None,
        }
    }
}

fn encode_billing(out: &mut Vec<u8>, billing: &BillingRecord) -> u8 {
    match billing {
        BillingRecord::Package(package) => encode(out, PACKAGE, &WirePackage::from(package)),
        BillingRecord::Recharge(config) => encode(out, RECHARGE, &WireRecharge::from(config)),
        BillingRecord::Method(method) => encode(out, METHOD, &WireMethod::from(method)),
        BillingRecord::TopUp(top_up) => encode(out, TOP_UP, &WireTopUp::from(&**top_up)),
        BillingRecord::Rule(rule) => encode(out, RULE, &WireRule::from(&**rule)),
        BillingRecord::Invoice(invoice) => encode(out, INVOICE, &WireInvoice::from(&**invoice)),
        BillingRecord::Limits(limits) => encode(out, LIMITS, &WireLimits::from(limits)),
        BillingRecord::Reference(reference) => encode(out, REFERENCE, &WireReference::from(reference)),
        BillingRecord::Rest(rest) => encode(out, REST, &WireRest::from(rest)),
        BillingRecord::Form(form) => encode(out, FORM, &WireForm::from(form)),
    }
}

fn encode_webhook(out: &mut Vec<u8>, webhook: &WebhookRecord) -> u8 {
    match webhook {
        WebhookRecord::Endpoint(endpoint) => encode(out, WEBHOOK_ENDPOINT, &WireEndpoint::from(&**endpoint)),
        WebhookRecord::Cursor(cursor) => encode(out, WEBHOOK_CURSOR, cursor),
        WebhookRecord::Lane(lane) => encode(out, WEBHOOK_LANE, lane),
        WebhookRecord::Delivery(delivery) => encode(out, WEBHOOK_DELIVERY, &WireDelivery::from(&**delivery)),
    }
}

fn encode(out: &mut Vec<u8>, tag: u8, body: &impl Serialize) -> u8 {
    rmp_serde::encode::write(out, body).expect("a vector takes what is written to it");
    tag
}

/// Fills in an encoded record's distance from the start of its frame's payload.
pub fn place(record: &mut [u8], distance: u32) {
    record[PREFIX..PREFIX + 4].copy_from_slice(&distance.to_le_bytes());
}

/// The slot of the wallet that an encoded record is about, if it is about one: the first field of its body, read without the rest.
pub(super) fn wallet_of(tag: u8, record: &[u8]) -> Option<u32> {
    if tag == HOLD {
        return hold::slot_of(record);
    }
    let version = *record.get(FIXED - 1)?;
    let is_known = version == VERSION || matches!(tag, GRANT | REDECLARED) && version == VERSION_2;
    let of_wallet = matches!(
        tag,
        WALLET
            | GRANT
            | METADATA
            | RECURRING
            | REDECLARED
            | COMMITMENTS
            | RUNWAY
            | RUNWAY_TOLD
            | RUNWAY_STATE
            | REFUSED
    );
    if !of_wallet || !is_known {
        return None;
    }
    let mut body = record.get(FIXED..)?;
    rmp::decode::read_array_len(&mut body).ok()?;
    rmp::decode::read_int(&mut body).ok()
}

/// Whether records of this kind are about no wallet, and many: readers of some wallets pass over them without decoding them.
pub(super) fn is_of_no_wallet(tag: u8) -> bool {
    matches!(tag, ANSWER | CUSTOMER | DONE | PACKAGE..=FORM | WEBHOOK_ENDPOINT..=WEBHOOK_DELIVERY)
}

pub(super) fn read(tag: u8, bytes: &[u8], time: Timestamp) -> Result<AdminRecord, Corrupt> {
    if tag == HOLD {
        return Ok(AdminRecord::Hold(HoldRecord::read(bytes, time)?));
    }
    let mut fields = Fields(bytes);
    fields.take(PREFIX + 4)?;
    let version = fields.u8()?;
    let body = fields.0;
    match (tag, version) {
        (GRANT, VERSION_2) => {
            let (slot, grant, declared): (u32, WireGrant, WireDeclared) = decode(body)?;
            if slot != grant.slot {
                return Err(Corrupt::Malformed("slot"));
            }
            let declared = declared.try_into()?;
            return Ok(AdminRecord::Grant(GrantRecord { declared, ..grant.into_record(time)? }));
        }
        (REDECLARED, VERSION_2) => {
            let (_, number, created_at, grant, declared): (u32, u64, u64, WireGrant, WireDeclared) = decode(body)?;
            let (declared, created_at) = (declared.try_into()?, Timestamp::from_millis(created_at));
            let grant = GrantRecord { declared, ..grant.into_record(created_at)? };
            return Ok(AdminRecord::Redeclared(Redeclaration { number, grant }));
        }
        (CURRENCY, VERSION_2) => {
            let (currency, priorities): (WireCurrency, Vec<(String, u8)>) = decode(body)?;
            let default_priorities = priorities_of(priorities)?;
            return Ok(AdminRecord::Currency(CreditCurrency { default_priorities, ..currency.try_into()? }));
        }
        (_, VERSION) => {}
        _ => return Err(Corrupt::UnknownVersion { tag, version }),
    }
    Ok(match tag {
        GENESIS => AdminRecord::Genesis(decode(body)?),
        WALLET => {
            let (slot, customer, currency) = decode(body)?;
            AdminRecord::Wallet(WalletRecord { slot, customer, currency: CurrencyNumber(currency) })
        }
        GRANT => AdminRecord::Grant(decode::<WireGrant>(body)?.into_record(time)?),
        CURRENCY => AdminRecord::Currency(decode::<WireCurrency>(body)?.try_into()?),
        METER => AdminRecord::Meter(decode::<WireMeter>(body)?.try_into()?),
        API_KEY => AdminRecord::ApiKey(decode(body)?),
        METADATA => AdminRecord::Metadata(decode(body)?),
        REDECLARED => {
            let (_, number, created_at, grant): (u32, u64, u64, WireGrant) = decode(body)?;
            let grant = grant.into_record(Timestamp::from_millis(created_at))?;
            AdminRecord::Redeclared(Redeclaration { number, grant })
        }
        RECURRING => AdminRecord::Recurring(decode::<recurring::Wire>(body)?.into_record()?),
        DEFAULT_LEVELS => AdminRecord::DefaultLevels(decode::<WireDefaultLevels>(body)?.try_into()?),
        COMMITMENTS => AdminRecord::Commitments(decode::<WireCommitments>(body)?.into()),
        RUNWAY => AdminRecord::Runway(decode::<WireRunway>(body)?.into()),
        RUNWAY_TOLD => AdminRecord::RunwayTold(decode::<WireRunwayTold>(body)?.into()),
        REFUSED => AdminRecord::Refused(decode::<WireRefused>(body)?.into()),
        RUNWAY_STATE => AdminRecord::RunwayState(decode(body)?),
        RUNWAY_CURSOR => AdminRecord::RunwayCursor(decode(body)?),
        ANSWER => AdminRecord::Answer(decode::<WireAnswer>(body)?.try_into()?),
        CUSTOMER => AdminRecord::Customer(decode::<WireCustomer>(body)?.try_into()?),
        DONE => AdminRecord::Done(decode::<WireDone>(body)?.try_into()?),
        PACKAGE..=FORM => AdminRecord::Billing(read_billing(tag, body)?),
        WEBHOOK_ENDPOINT..=WEBHOOK_DELIVERY => AdminRecord::Webhook(read_webhook(tag, body)?),
        _ => return Err(Corrupt::UnknownTag(tag)),
    })
}

fn read_billing(tag: u8, body: &[u8]) -> Result<BillingRecord, Corrupt> {
    Ok(match tag {
        PACKAGE => BillingRecord::Package(decode::<WirePackage>(body)?.try_into()?),
        RECHARGE => BillingRecord::Recharge(decode::<WireRecharge>(body)?.into()),
        METHOD => BillingRecord::Method(decode::<WireMethod>(body)?.try_into()?),
        TOP_UP => BillingRecord::TopUp(Box::new(decode::<WireTopUp>(body)?.try_into()?)),
        RULE => BillingRecord::Rule(Box::new(decode::<WireRule>(body)?.try_into()?)),
        INVOICE => BillingRecord::Invoice(Box::new(decode::<WireInvoice>(body)?.try_into()?)),
        LIMITS => BillingRecord::Limits(decode::<WireLimits>(body)?.try_into()?),
        REFERENCE => BillingRecord::Reference(decode::<WireReference>(body)?.into()),
        REST => BillingRecord::Rest(decode::<WireRest>(body)?.try_into()?),
        FORM => BillingRecord::Form(decode::<WireForm>(body)?.into()),
        _ => return Err(Corrupt::UnknownTag(tag)),
    })
}

fn read_webhook(tag: u8, body: &[u8]) -> Result<WebhookRecord, Corrupt> {
    Ok(match tag {
        WEBHOOK_ENDPOINT => WebhookRecord::Endpoint(Box::new(decode::<WireEndpoint>(body)?.try_into()?)),
        WEBHOOK_CURSOR => WebhookRecord::Cursor(decode(body)?),
        WEBHOOK_LANE => WebhookRecord::Lane(decode(body)?),
        WEBHOOK_DELIVERY => WebhookRecord::Delivery(Box::new(decode::<WireDelivery>(body)?.try_into()?)),
        _ => return Err(Corrupt::UnknownTag(tag)),
    })
}

fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Corrupt> {
    rmp_serde::from_slice(body).map_err(|_| Corrupt::Malformed("body"))
}

#[derive(Serialize, Deserialize)]
struct WireGrant {
    slot: u32,
    amount: i64,
    source: String,
    paid: bool,
    priority: u8,
    effective_at: u64,
    effective_at_given: bool,
    expires_at: Option<u64>,
    /// Amount and currency.
    cost_basis: Option<(i64, String)>,
    key: Option<String>,
    metadata: Metadata,
}

impl From<&GrantRecord> for WireGrant {
    fn from(grant: &GrantRecord) -> Self {
        WireGrant {
            slot: grant.slot,
            amount: grant.amount.units(),
            source: grant.source.as_str().to_owned(),
            paid: grant.category == Category::Paid,
            priority: grant.priority,
            effective_at: grant.effective_at.millis(),
            effective_at_given: grant.effective_at_given,
            expires_at: grant.expires_at.map(Timestamp::millis),
            cost_basis: grant.cost_basis.as_ref().map(|cost| (cost.amount, cost.currency.clone())),
            key: grant.key.clone(),
            metadata: grant.metadata.clone(),
        }
    }
}

impl WireGrant {
    fn into_record(self, time: Timestamp) -> Result<GrantRecord, Corrupt> {
        Ok(GrantRecord {
            slot: self.slot,
            amount: Amount::new(self.amount),
            source: Source::parse(&self.source).ok_or(Corrupt::Malformed("source"))?,
            category: if self.paid { Category::Paid } else { Category::Promotional },
            priority: self.priority,
            effective_at: Timestamp::from_millis(self.effective_at),
            effective_at_given: self.effective_at_given,
            expires_at: self.expires_at.map(Timestamp::from_millis),
            cost_basis: self.cost_basis.map(|(amount, currency)| CostBasis { amount, currency }),
            key: self.key,
            metadata: self.metadata,
            created_at: time,
            declared: Declared::default(),
        })
    }
}

#[derive(Serialize, Deserialize)]
enum WireKind {
    Unit,
    Fiat(String),
}

#[derive(Serialize, Deserialize)]
struct WireCurrency {
    id: String,
    number: u16,
    name: String,
    symbol: String,
    scale: u8,
    kind: WireKind,
    max_balance: Option<i64>,
    archived: bool,
}

impl From<&CreditCurrency> for WireCurrency {
    fn from(currency: &CreditCurrency) -> Self {
        WireCurrency {
            id: currency.id.clone(),
            number: currency.number.0,
            name: currency.name.clone(),
            symbol: currency.symbol.clone(),
            scale: currency.scale.places(),
            kind: match &currency.kind {
                CurrencyKind::Unit => WireKind::Unit,
                CurrencyKind::Fiat(code) => WireKind::Fiat(code.clone()),
            },
            max_balance: currency.max_balance.map(Amount::units),
            archived: currency.archived,
        }
    }
}

impl TryFrom<WireCurrency> for CreditCurrency {
    type Error = Corrupt;

    fn try_from(wire: WireCurrency) -> Result<Self, Corrupt> {
        Ok(CreditCurrency {
            id: wire.id,
            number: CurrencyNumber(wire.number),
            name: wire.name,
            symbol: wire.symbol,
            scale: Scale::new(wire.scale).ok_or(Corrupt::Malformed("scale"))?,
            kind: match wire.kind {
                WireKind::Unit => CurrencyKind::Unit,
                WireKind::Fiat(code) => CurrencyKind::Fiat(code),
            },
            max_balance: wire.max_balance.map(Amount::new),
            archived: wire.archived,
            default_priorities: Priorities::new(),
        })
    }
}

fn priorities(currency: &CreditCurrency) -> Vec<(&'static str, u8)> {
    currency.default_priorities.iter().map(|(source, priority)| (source.as_str(), *priority)).collect()
}

fn priorities_of(wire: Vec<(String, u8)>) -> Result<Priorities, Corrupt> {
    let priority = |(source, priority): (String, u8)| Some((Source::parse(&source)?, priority));
    wire.into_iter().map(|pair| priority(pair).ok_or(Corrupt::Malformed("source"))).collect()
}

#[derive(Serialize, Deserialize)]
struct WireMeter {
    event_type: String,
    number: u16,
    currency: u16,
    rate: (i64, u8),
    round_up: bool,
    policy: u8,
    archived: bool,
}

impl From<&Meter> for WireMeter {
    fn from(meter: &Meter) -> Self {
        WireMeter {
            event_type: meter.event_type.clone(),
            number: meter.number,
            currency: meter.currency.0,
            rate: (meter.rate.mantissa(), meter.rate.scale()),
            round_up: meter.rounding == Rounding::Up,
            policy: policy_number(meter.policy),
            archived: meter.archived,
        }
    }
}

impl TryFrom<WireMeter> for Meter {
    type Error = Corrupt;

    fn try_from(wire: WireMeter) -> Result<Self, Corrupt> {
        let (mantissa, scale) = wire.rate;
        Ok(Meter {
            event_type: wire.event_type,
            number: wire.number,
            currency: CurrencyNumber(wire.currency),
            rate: Decimal::from_parts(mantissa, scale).ok_or(Corrupt::Malformed("rate"))?,
            rounding: if wire.round_up { Rounding::Up } else { Rounding::Exact },
            policy: policy_of(wire.policy)?,
            archived: wire.archived,
        })
    }
}
