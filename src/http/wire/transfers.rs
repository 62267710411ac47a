//! Transfers: what they are asked for with, and how they are shown.

use super::corrections::key;
use super::fields::Fields;
use super::{amount, instant};
use crate::engine::Engine;
use crate::engine::corrections::view::{Moved, TransferRequest, TransferSide, TransferView};
use crate::engine::view::Metadata;
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::problem::Problem;
use crate::ledger::Scale;
use serde::Serialize;

/// Reads a transfer.
pub(crate) fn transfer_request(fields: &Fields<'_, '_>, header_key: Option<&str>) -> Result<TransferRequest, Problem> {
    let side = |name| match fields.object(name)? {
        Some(side) => side.required_text("customer").map(str::to_owned),
        None => Err(fields.refused(name, "the field is missing")),
    };
    Ok(TransferRequest {
        from: side("from")?,
        to: side("to")?,
        currency: fields.text("currency")?.map(str::to_owned),
        amount: fields.required_decimal("amount")?,
        reason: fields.text("reason")?.map(str::to_owned),
        key: key(fields, header_key)?,
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}

/// A transfer as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct TransferBody {
    id: String,
    currency: String,
    amount: String,
    from: SideBody,
    to: SideBody,
    moved: Vec<MovedBody>,
    debt_paid: String,
    reason: Option<String>,
    key: Option<String>,
    metadata: Metadata,
    created_at: String,
}

/// One of its two wallets.
#[derive(Debug, Serialize)]
struct SideBody {
    customer: String,
    entry: u64,
    balance: String,
    available: String,
    crossed: Vec<String>,
}

/// What moved of a grant.
#[derive(Debug, Serialize)]
struct MovedBody {
    from: String,
    to: String,
    amount: String,
    cost: Option<i64>,
}

impl TransferBody {
    pub(crate) fn of(engine: &Engine, transfer: TransferView) -> Self {
        let scale = transfer.currency.scale;
        let moved = |moved: &Moved| MovedBody {
            from: engine.grant_text(moved.from),
            to: engine.grant_text(moved.to),
            amount: amount(moved.amount, scale),
            cost: moved.cost,
        };
        TransferBody {
            id: engine.transfer_text(transfer.from.entry),
            currency: transfer.currency.id.clone(),
            amount: amount(transfer.amount, scale),
            moved: transfer.moved.iter().map(moved).collect(),
            debt_paid: amount(transfer.debt_paid, scale),
            from: SideBody::of(transfer.from, scale),
            to: SideBody::of(transfer.to, scale),
            reason: transfer.reason,
            key: transfer.key.filter(|key| !key.starts_with(EFFECT_PREFIX)),
            metadata: transfer.metadata,
            created_at: instant(transfer.created_at),
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl SideBody {
    fn of(side: TransferSide, scale: Scale) -> Self {
        SideBody {
            customer: side.customer,
            entry: side.entry.get(),
            balance: amount(side.balance, scale),
            available: amount(side.available, scale),
            crossed: side.crossed.iter().map(ToString::to_string).collect(),
        }
    }
}
