//! Grants: requests to make them, and grants as they are shown.

use super::fields::Fields;
use super::{amount, instant};
use crate::engine::Engine;
use crate::engine::view::{CostBasis, GrantRequest, GrantState, GrantView, Metadata};
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::problem::Problem;
use crate::ledger::{Category, MAX_PRIORITY, Source};
use serde::Serialize;

/// A grant as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct GrantBody {
    id: String,
    customer: String,
    currency: String,
    amount: String,
    remaining: String,
    category: &'static str,
    source: &'static str,
    priority: u8,
    status: &'static str,
    effective_at: String,
    expires_at: Option<String>,
    cost_basis: Option<CostBasisBody>,
    key: Option<String>,
    metadata: Metadata,
    created_at: String,
}

#[derive(Debug, Serialize)]
struct CostBasisBody {
    amount: i64,
    currency: String,
}

impl GrantBody {
    pub(crate) fn of(engine: &Engine, grant: GrantView) -> Self {
        let scale = grant.currency.scale;
        GrantBody {
            id: engine.grant_text(grant.id),
            customer: grant.customer,
            currency: grant.currency.id.clone(),
            amount: amount(grant.amount, scale),
            remaining: amount(grant.remaining, scale),
            category: grant.category.as_str(),
            source: grant.source.as_str(),
            priority: grant.priority,
            status: state(grant.state),
            effective_at: instant(grant.effective_at),
            expires_at: grant.expires_at.map(instant),
            cost_basis: grant.cost_basis.map(|CostBasis { amount, currency }| CostBasisBody { amount, currency }),
            key: grant.key.filter(|key| !key.starts_with(EFFECT_PREFIX)),
            metadata: grant.metadata,
            created_at: instant(grant.created_at),
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

const fn state(state: GrantState) -> &'static str {
    match state {
        GrantState::Scheduled => "scheduled",
        GrantState::Active => "active",
        GrantState::Depleted => "depleted",
        GrantState::Expired => "expired",
        GrantState::Voided => "voided",
    }
}

/// What became of one grant of several.
#[derive(Debug, Serialize)]
pub(crate) struct GrantResult {
    /// `created`, `replayed` or `rejected`.
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<GrantBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<serde_json::Value>,
}

/// Reads one grant. `effect_key` is what the request's `Idempotency-Key` comes to for this place of it; a key of the grant's own goes first.
pub(crate) fn request(fields: &Fields<'_, '_>, effect_key: Option<String>) -> Result<GrantRequest, Problem> {
    const SOURCES: &str =
        "must be plan, drip, rollover, contract, promotional, package, top_up, auto_top_up, adjustment or migration";
    let category = fields.choice("category", Category::parse, "must be paid or promotional")?;
    let source = fields.choice("source", Source::parse, SOURCES)?;
    let priority = fields.integer("priority", 0..=i64::from(MAX_PRIORITY))?;
    let cost_basis = fields.object("cost_basis")?.map(|basis| cost_basis(&basis)).transpose()?;
    let key = match fields.text("key")? {
        Some(key) if key.starts_with(EFFECT_PREFIX) => {
            return Err(fields.refused("key", "must not begin with `idk:`, which is set apart for Idempotency-Key"));
        }
        Some(key) => Some(key.to_owned()),
        None => effect_key,
    };
    Ok(GrantRequest {
        customer: fields.required_text("customer")?.to_owned(),
        currency: fields.text("currency")?.map(str::to_owned),
        amount: fields.required_decimal("amount")?,
        source: source.unwrap_or(Source::Adjustment),
        category: category.unwrap_or(Category::Promotional),
        priority: priority.map(|priority| priority.cast_unsigned() as u8),
        effective_at: fields.time("effective_at")?,
        expires_at: fields.time("expires_at")?,
        cost_basis,
        key,
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}

fn cost_basis(fields: &Fields<'_, '_>) -> Result<CostBasis, Problem> {
    let Some(amount) = fields.integer("amount", 0..=i64::MAX)? else {
        return Err(fields.refused("amount", "the field is missing: the price in the money's minor unit"));
    };
    let currency = fields.required_text("currency")?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(fields.refused("currency", "must be an ISO 4217 code such as EUR"));
    }
    Ok(CostBasis { amount, currency: currency.to_ascii_uppercase() })
}
