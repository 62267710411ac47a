//! Grants: requests to make them, and grants as they are shown.

use super::fields::Fields;
use super::{amount, instant};
use crate::engine::Engine;
use crate::engine::view::{CostBasis, GrantOptions, GrantRequest, GrantState, GrantView, Metadata, RolloverSpec};
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::problem::Problem;
use crate::ledger::{Category, MAX_PRIORITY, Rollover, Scale, Source};
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
    held: String,
    payment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_for_seconds: Option<Seconds>,
    rollover: Option<RolloverBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_over: Option<RolledBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurring: Option<OccurrenceBody>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CostBasisBody {
    amount: i64,
    currency: String,
}

impl CostBasisBody {
    pub(crate) fn of(cost: CostBasis) -> Self {
        CostBasisBody { amount: cost.amount, currency: cost.currency }
    }
}

/// What the remainder of a grant went on as.
#[derive(Debug, Serialize)]
struct RolledBody {
    grant: String,
    amount: String,
}

/// Which occurrence of which recurring grant a grant is.
#[derive(Debug, Serialize)]
struct OccurrenceBody {
    id: String,
    occurrence: u64,
}

/// Terms of rolling over.
#[derive(Debug, Serialize)]
pub(crate) struct RolloverBody {
    fraction: String,
    max: Option<String>,
    valid_for_seconds: Option<Seconds>,
    priority: u8,
}

impl RolloverBody {
    pub(crate) fn of(rollover: &Rollover, scale: Scale) -> Self {
        RolloverBody {
            fraction: rollover.fraction.to_string(),
            max: rollover.max.map(|max| amount(max, scale)),
            valid_for_seconds: rollover.valid_for_ms.map(Seconds::of_ms),
            priority: rollover.priority,
        }
    }
}

/// A duration in whole seconds, as all durations are given.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Seconds(u64);

impl Seconds {
    pub(crate) const fn of_ms(ms: u64) -> Self {
        Seconds(ms / 1000)
    }
}

/// A duration that a client gives in seconds, in ms: a second at the least, a thousand years at most.
pub(crate) fn duration_ms(fields: &Fields<'_, '_>, name: &'static str) -> Result<Option<u64>, Problem> {
    let seconds = fields.integer(name, 1..=31_556_952_000)?;
    Ok(seconds.map(|seconds| seconds.cast_unsigned() * 1000))
}

/// Reads `rollover: {fraction?, max?, valid_for_seconds?, priority?}`.
pub(crate) fn rollover(fields: &Fields<'_, '_>) -> Result<Option<RolloverSpec>, Problem> {
    let Some(rollover) = fields.object("rollover")? else { return Ok(None) };
    let priority = rollover.integer("priority", 0..=i64::from(MAX_PRIORITY))?;
    Ok(Some(RolloverSpec {
        fraction: rollover.decimal("fraction")?,
        max: rollover.decimal("max")?,
        valid_for_ms: duration_ms(&rollover, "valid_for_seconds")?,
        priority: priority.map(|priority| priority.cast_unsigned() as u8),
    }))
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
            cost_basis: grant.cost_basis.map(CostBasisBody::of),
            key: grant.key.filter(|key| !key.starts_with(EFFECT_PREFIX)),
            metadata: grant.metadata,
            created_at: instant(grant.created_at),
            held: amount(grant.held, scale),
            payment: grant.payment,
            valid_for_seconds: grant.valid_for_ms.map(Seconds::of_ms),
            rollover: grant.rollover.map(|rollover| RolloverBody::of(&rollover, scale)),
            parent: grant.parent.map(|parent| engine.grant_text(parent)),
            rolled_over: grant
                .rolled_over
                .map(|(into, part)| RolledBody { grant: engine.grant_text(into), amount: amount(part, scale) }),
            recurring: grant.recurrence.map(|(id, occurrence)| OccurrenceBody { id, occurrence }),
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
        GrantState::Pending => "pending",
    }
}

/// A state that a held grant can be in, by its name.
pub(crate) fn held_state(name: &str) -> Option<GrantState> {
    [GrantState::Active, GrantState::Scheduled, GrantState::Pending].into_iter().find(|held| state(*held) == name)
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

/// The sources of grants, for people.
pub(crate) const SOURCES: &str =
    "must be plan, drip, rollover, contract, promotional, package, top_up, auto_top_up, adjustment or migration";

/// Reads one grant. `effect_key` is what the request's `Idempotency-Key` comes to for this place of it; a key of the grant's own goes first.
pub(crate) fn request(fields: &Fields<'_, '_>, effect_key: Option<String>) -> Result<GrantRequest, Problem> {
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
        options: GrantOptions {
            payment: fields.text("payment")?.map(str::to_owned),
            pending: fields.boolean("pending")?.unwrap_or(false),
            valid_for_ms: duration_ms(fields, "valid_for_seconds")?,
            rollover: rollover(fields)?,
        },
    })
}

pub(crate) fn cost_basis(fields: &Fields<'_, '_>) -> Result<CostBasis, Problem> {
    let Some(amount) = fields.integer("amount", 0..=i64::MAX)? else {
        return Err(fields.refused("amount", "the field is missing: the price in the money's minor unit"));
    };
    let currency = fields.required_text("currency")?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(fields.refused("currency", "must be an ISO 4217 code such as EUR"));
    }
    Ok(CostBasis { amount, currency: currency.to_ascii_uppercase() })
}
