//! Recurring grants.

use super::fields::Fields;
use super::grants::{CostBasisBody, RolloverBody, SOURCES, Seconds, cost_basis, duration_ms, rollover};
use super::{amount, instant};
use crate::engine::recurring::{RecurringSpec, RecurringState, RecurringView};
use crate::engine::view::Metadata;
use crate::http::problem::Problem;
use crate::ledger::{Category, Ends, Interval, MAX_PRIORITY, Source, Timestamp, Unit};
use serde::Serialize;

/// A recurring grant as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct RecurringBody {
    id: String,
    customer: String,
    currency: String,
    status: &'static str,
    version: u32,
    amount: String,
    source: &'static str,
    category: &'static str,
    priority: u8,
    interval: IntervalBody,
    anchor: String,
    first_grant: &'static str,
    expires: EndsBody,
    rollover: Option<RolloverBody>,
    ends_at: Option<String>,
    cost_basis: Option<CostBasisBody>,
    metadata: Metadata,
    /// When the next occurrence takes effect.
    next_at: Option<String>,
    /// Occurrences of this version that have taken effect.
    occurrences: u64,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
struct IntervalBody {
    every: u32,
    unit: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum EndsBody {
    Named(&'static str),
    After { after_seconds: Seconds },
}

impl RecurringBody {
    pub(crate) fn of(view: RecurringView) -> Self {
        let (scale, record) = (view.currency.scale, view.record);
        let interval = record.schedule.interval;
        RecurringBody {
            id: record.id,
            customer: view.customer,
            currency: view.currency.id.clone(),
            status: match view.state {
                RecurringState::Active => "active",
                RecurringState::Ended => "ended",
                RecurringState::Stopped => "stopped",
            },
            version: record.version,
            amount: amount(record.amount, scale),
            source: record.source.as_str(),
            category: record.category.as_str(),
            priority: record.priority,
            interval: IntervalBody { every: interval.every(), unit: interval.unit().as_str() },
            anchor: instant(record.schedule.anchor),
            first_grant: if record.first_now { "now" } else { "next" },
            expires: match record.schedule.ends {
                Ends::WithNext => EndsBody::Named("with_next"),
                Ends::Never => EndsBody::Named("never"),
                Ends::After(ms) => EndsBody::After { after_seconds: Seconds::of_ms(ms) },
            },
            rollover: record.rollover.map(|rollover| RolloverBody::of(&rollover, scale)),
            ends_at: record.schedule.until.map(instant),
            cost_basis: record.cost_basis.map(CostBasisBody::of),
            metadata: record.metadata,
            next_at: view.next.map(|next: Timestamp| instant(next)),
            occurrences: view.begun,
            created_at: instant(record.created_at),
            updated_at: instant(record.updated_at),
        }
    }
}

/// Reads what a recurring grant should be.
pub(crate) fn recurring_spec(customer: &str, id: &str, fields: &Fields<'_, '_>) -> Result<RecurringSpec, Problem> {
    let category = fields.choice("category", Category::parse, "must be paid or promotional")?;
    let source = fields.choice("source", Source::parse, SOURCES)?;
    let priority = fields.integer("priority", 0..=i64::from(MAX_PRIORITY))?;
    let first = fields.choice("first_grant", first_now, "must be now or next")?;
    Ok(RecurringSpec {
        customer: customer.to_owned(),
        id: id.to_owned(),
        currency: fields.text("currency")?.map(str::to_owned),
        amount: fields.required_decimal("amount")?,
        source: source.unwrap_or(Source::Plan),
        category: category.unwrap_or(Category::Promotional),
        priority: priority.map(|priority| priority.cast_unsigned() as u8),
        interval: interval(fields)?,
        anchor: fields.time("anchor")?,
        first_now: first.unwrap_or(true),
        ends: ends(fields)?,
        rollover: rollover(fields)?,
        until: fields.time("ends_at")?,
        cost_basis: fields.object("cost_basis")?.map(|basis| cost_basis(&basis)).transpose()?,
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}

fn first_now(name: &str) -> Option<bool> {
    match name {
        "now" => Some(true),
        "next" => Some(false),
        _ => None,
    }
}

fn interval(fields: &Fields<'_, '_>) -> Result<Interval, Problem> {
    let Some(interval) = fields.object("interval")? else {
        return Err(fields.refused("interval", "the field is missing: {every, unit}"));
    };
    let unit = interval.choice("unit", Unit::parse, "must be hour, day, week or month")?;
    let unit = unit.ok_or_else(|| interval.refused("unit", "the field is missing"))?;
    let every = interval.integer("every", 1..=10_000)?.unwrap_or(1);
    let every = u32::try_from(every).ok().and_then(|every| Interval::new(every, unit));
    every.ok_or_else(|| interval.refused("every", "must be 1 to 10000"))
}

fn ends(fields: &Fields<'_, '_>) -> Result<Ends, Problem> {
    const CHOICES: &str = "must be with_next, never or {after_seconds}";
    if let Ok(Some(after)) = fields.object("expires") {
        let ms = duration_ms(&after, "after_seconds")?;
        return ms.map(Ends::After).ok_or_else(|| after.refused("after_seconds", "the field is missing"));
    }
    if !fields.has("expires")? {
        return Err(fields.refused("expires", "the field is missing: with_next, never or {after_seconds}"));
    }
    let named = |name: &str| match name {
        "with_next" => Some(Ends::WithNext),
        "never" => Some(Ends::Never),
        _ => None,
    };
    match fields.choice("expires", named, CHOICES) {
        Ok(Some(ends)) => Ok(ends),
        Ok(None) | Err(_) => Err(fields.refused("expires", CHOICES)),
    }
}
