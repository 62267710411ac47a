//! Top-ups: what was bought, what was paid, and what became of the credits.

use super::parts::{COLLECTIONS, WireCode, WireMoney, all_at, at, instant, millis, money_of, number_of};
use super::{Declaration, TopUpRecord};
use crate::billing::money::Worth;
use crate::billing::top_up::{
    Credit, Dispute, Failure, Goods, Kind, News, Payment, Purchase, Refund, RefundStatus, Status, TopUp,
};
use crate::catalog::{CurrencyNumber, Metadata};
use crate::journal::Corrupt;
use crate::journal::deposit::WireAside;
use crate::ledger::{Amount, GrantId, Source, Timestamp};
use serde::{Deserialize, Serialize};

const KINDS: [Kind; 4] = [Kind::Manual, Kind::Auto, Kind::Deposit, Kind::Offline];
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

/// The number of the kind of top-ups that pay the rest of a charge, which stands beside it.
const KIND_CHARGE: u8 = KINDS.len() as u8;

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
pub(in crate::journal) struct WireTopUp {
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
