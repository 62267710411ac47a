//! Corrections: what they are asked for with, and how they are shown.

use super::billing::invoice_id;
use super::fields::Fields;
use super::{amount, instant};
use crate::engine::Engine;
use crate::engine::billing::TopUpView;
use crate::engine::corrections::view::{
    AdjustmentRequest, AdjustmentView, ChargeRequest, ChargeView, Expired, ReversalRequest, ReversalView,
};
use crate::engine::view::Metadata;
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::problem::Problem;
use crate::ledger::{GrantId, Policy};
use drawdown_wal::Lsn;
use serde::Serialize;

/// The key of a request: its own, or what its `Idempotency-Key` comes to.
pub(super) fn key(fields: &Fields<'_, '_>, effect_key: Option<&str>) -> Result<Option<String>, Problem> {
    match fields.text("key")? {
        Some(key) if key.starts_with(EFFECT_PREFIX) => {
            Err(fields.refused("key", "must not begin with `idk:`, which is set apart for Idempotency-Key"))
        }
        own => Ok(own.or(effect_key).map(str::to_owned)),
    }
}

/// Reads what is to be reversed of a debit.
pub(crate) fn reversal_request(
    entry: Lsn,
    fields: &Fields<'_, '_>,
    header_key: Option<&str>,
) -> Result<ReversalRequest, Problem> {
    let expired = fields.choice("expired", Expired::parse, "must be lose or regrant")?;
    Ok(ReversalRequest {
        entry,
        amount: fields.decimal("amount")?,
        expired: expired.unwrap_or_default(),
        reason: fields.text("reason")?.map(str::to_owned),
        key: key(fields, header_key)?,
    })
}

/// Reads an adjustment.
pub(crate) fn adjustment_request(
    fields: &Fields<'_, '_>,
    header_key: Option<&str>,
) -> Result<AdjustmentRequest, Problem> {
    let policy = fields.choice("on_insufficient", Policy::parse, "must be reject, partial or overdraft")?;
    Ok(AdjustmentRequest {
        customer: fields.required_text("customer")?.to_owned(),
        currency: fields.text("currency")?.map(str::to_owned),
        amount: fields.required_decimal("amount")?,
        policy: policy.unwrap_or_default(),
        reason: fields.required_text("reason")?.to_owned(),
        key: key(fields, header_key)?,
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}

/// Reads a charge.
pub(crate) fn charge_request(fields: &Fields<'_, '_>, header_key: Option<&str>) -> Result<ChargeRequest, Problem> {
    Ok(ChargeRequest {
        customer: fields.required_text("customer")?.to_owned(),
        currency: fields.text("currency")?.map(str::to_owned),
        amount: fields.required_decimal("amount")?,
        invoice: fields.text("invoice")?.map(str::to_owned),
        key: key(fields, header_key)?,
    })
}

/// A reversal as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ReversalBody {
    id: String,
    entry: u64,
    debit: u64,
    customer: String,
    currency: String,
    amount: String,
    returned: Vec<ReturnedBody>,
    debt: String,
    forfeited: String,
    regrant: Option<String>,
    reversed: String,
    reversible: String,
    balance: String,
    available: String,
    reason: Option<String>,
    key: Option<String>,
    created_at: String,
}

/// What a grant got back.
#[derive(Debug, Serialize)]
struct ReturnedBody {
    grant: String,
    amount: String,
}

impl ReversalBody {
    pub(crate) fn of(engine: &Engine, reversal: ReversalView) -> Self {
        let scale = reversal.currency.scale;
        let returned = |(grant, given): &(GrantId, _)| ReturnedBody {
            grant: engine.grant_text(*grant),
            amount: amount(*given, scale),
        };
        ReversalBody {
            id: engine.reversal_text(reversal.entry),
            entry: reversal.entry.get(),
            debit: reversal.debit.get(),
            customer: reversal.customer,
            currency: reversal.currency.id.clone(),
            amount: amount(reversal.amount, scale),
            returned: reversal.returned.iter().map(returned).collect(),
            debt: amount(reversal.debt, scale),
            forfeited: amount(reversal.forfeited, scale),
            regrant: reversal.regrant.map(|grant| engine.grant_text(grant)),
            reversed: amount(reversal.reversed, scale),
            reversible: amount(reversal.reversible, scale),
            balance: amount(reversal.balance, scale),
            available: amount(reversal.available, scale),
            reason: reversal.reason,
            key: reversal.key.filter(|key| !key.starts_with(EFFECT_PREFIX)),
            created_at: instant(reversal.created_at),
        }
    }
}

/// An adjustment as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct AdjustmentBody {
    id: String,
    entry: u64,
    customer: String,
    currency: String,
    amount: String,
    shortfall: String,
    grant: Option<String>,
    balance: String,
    available: String,
    crossed: Vec<String>,
    reason: String,
    key: Option<String>,
    metadata: Metadata,
    created_at: String,
}

impl AdjustmentBody {
    pub(crate) fn of(engine: &Engine, adjustment: AdjustmentView) -> Self {
        let scale = adjustment.currency.scale;
        AdjustmentBody {
            id: engine.adjustment_text(adjustment.entry),
            entry: adjustment.entry.get(),
            customer: adjustment.customer,
            currency: adjustment.currency.id.clone(),
            amount: amount(adjustment.amount, scale),
            shortfall: amount(adjustment.shortfall, scale),
            grant: adjustment.grant.map(|grant| engine.grant_text(grant)),
            balance: amount(adjustment.balance, scale),
            available: amount(adjustment.available, scale),
            crossed: adjustment.crossed.iter().map(ToString::to_string).collect(),
            reason: adjustment.reason,
            key: adjustment.key.filter(|key| !key.starts_with(EFFECT_PREFIX)),
            metadata: adjustment.metadata,
            created_at: instant(adjustment.created_at),
        }
    }
}

/// A charge as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ChargeBody {
    id: String,
    entry: u64,
    customer: String,
    currency: String,
    amount: String,
    from_wallet: String,
    to_pay: String,
    invoice: Option<String>,
    balance: String,
    available: String,
    crossed: Vec<String>,
    key: Option<String>,
    created_at: String,
    payment: Option<PaymentBody>,
}

/// What collects the rest of a charge.
#[derive(Debug, Serialize)]
struct PaymentBody {
    top_up: String,
    status: &'static str,
    amount: String,
    amount_currency: String,
    checkout_url: Option<String>,
    invoice: Option<String>,
}

impl PaymentBody {
    fn of(payment: TopUpView) -> Self {
        let top_up = payment.top_up;
        PaymentBody {
            status: top_up.status().as_str(),
            amount: top_up.purchase.price.map_or_else(String::new, |price| price.to_string()),
            amount_currency: top_up.code().as_str().to_owned(),
            checkout_url: top_up.checkout_url,
            invoice: payment.invoice.map(|number| invoice_id(number.0)),
            top_up: top_up.id,
        }
    }
}

impl ChargeBody {
    pub(crate) fn of(engine: &Engine, charge: ChargeView) -> Self {
        let scale = charge.currency.scale;
        ChargeBody {
            id: engine.charge_text(charge.entry),
            entry: charge.entry.get(),
            customer: charge.customer,
            currency: charge.currency.id.clone(),
            amount: amount(charge.amount, scale),
            from_wallet: amount(charge.from_wallet, scale),
            to_pay: amount(charge.to_pay, scale),
            invoice: charge.invoice,
            payment: charge.payment.map(|payment| PaymentBody::of(*payment)),
            balance: amount(charge.balance, scale),
            available: amount(charge.available, scale),
            crossed: charge.crossed.iter().map(ToString::to_string).collect(),
            key: charge.key.filter(|key| !key.starts_with(EFFECT_PREFIX)),
            created_at: instant(charge.created_at),
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}
