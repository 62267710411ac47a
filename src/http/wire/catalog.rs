//! Credit currencies and meters.

use super::amount;
use super::fields::Fields;
use crate::engine::catalog::{CreditCurrency, CurrencyKind, CurrencySpec, Meter, MeterSpec, Priorities};
use crate::http::problem::Problem;
use crate::ledger::{MAX_PRIORITY, Policy, Rounding, Source};
use serde::Serialize;
use std::collections::BTreeMap;

/// A credit currency as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct CurrencyBody {
    id: String,
    name: String,
    symbol: String,
    scale: u8,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iso_code: Option<String>,
    max_balance: Option<String>,
    default_priorities: BTreeMap<&'static str, u8>,
    status: &'static str,
}

impl CurrencyBody {
    pub(crate) fn of(currency: &CreditCurrency) -> Self {
        let (kind, iso_code) = match &currency.kind {
            CurrencyKind::Unit => ("unit", None),
            CurrencyKind::Fiat(code) => ("fiat", Some(code.clone())),
        };
        CurrencyBody {
            id: currency.id.clone(),
            name: currency.name.clone(),
            symbol: currency.symbol.clone(),
            scale: currency.scale.places(),
            kind,
            iso_code,
            max_balance: currency.max_balance.map(|max| amount(max, currency.scale)),
            default_priorities: Source::ALL.map(|source| (source.as_str(), currency.default_priority(source))).into(),
            status: if currency.archived { "archived" } else { "active" },
        }
    }
}

/// Reads what a currency should be. Only the scale has to be said; name and symbol default to the id.
pub(crate) fn currency_spec(id: &str, fields: &Fields<'_, '_>) -> Result<CurrencySpec, Problem> {
    let scale = fields.integer("scale", 0..=9)?.unwrap_or(0).cast_unsigned() as u8;
    let iso_code = fields.text("iso_code")?;
    let kind = match (fields.text("kind")?.unwrap_or("unit"), iso_code) {
        ("unit", None) => CurrencyKind::Unit,
        ("unit", Some(_)) => return Err(fields.refused("iso_code", "belongs to the kind `fiat`")),
        ("fiat", Some(code)) if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            CurrencyKind::Fiat(code.to_owned())
        }
        ("fiat", _) => return Err(fields.refused("iso_code", "a fiat credit names an ISO 4217 code such as EUR")),
        _ => return Err(fields.refused("kind", "must be unit or fiat")),
    };
    Ok(CurrencySpec {
        id: id.to_owned(),
        name: fields.text("name")?.unwrap_or(id).to_owned(),
        symbol: fields.text("symbol")?.unwrap_or(id).to_owned(),
        scale,
        kind,
        max_balance: fields.decimal("max_balance")?,
        default_priorities: priorities(fields)?,
    })
}

/// Reads `default_priorities: {source: priority}`.
fn priorities(fields: &Fields<'_, '_>) -> Result<Priorities, Problem> {
    let Some(of_sources) = fields.object("default_priorities")? else { return Ok(Priorities::new()) };
    let mut priorities = Priorities::new();
    for source in Source::ALL {
        if let Some(priority) = of_sources.integer(source.as_str(), 0..=i64::from(MAX_PRIORITY))? {
            priorities.insert(source, priority.cast_unsigned() as u8);
        }
    }
    match of_sources.names_beside(&Source::ALL.map(Source::as_str)) {
        Some(name) => {
            Err(fields.refused("default_priorities", "names something that is no source of grants").with("name", name))
        }
        None => Ok(priorities),
    }
}

/// A meter as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct MeterBody {
    event_type: String,
    currency: Option<String>,
    rate: String,
    rounding: &'static str,
    on_insufficient: &'static str,
    status: &'static str,
}

impl MeterBody {
    /// `currency` is the id behind the meter's currency number.
    pub(crate) fn of(meter: &Meter, currency: Option<String>) -> Self {
        MeterBody {
            event_type: meter.event_type.clone(),
            currency,
            rate: meter.rate.to_string(),
            rounding: meter.rounding.as_str(),
            on_insufficient: meter.policy.as_str(),
            status: if meter.archived { "archived" } else { "active" },
        }
    }
}

/// Reads what a meter should be.
pub(crate) fn meter_spec(event_type: &str, fields: &Fields<'_, '_>) -> Result<MeterSpec, Problem> {
    let rounding = fields.choice("rounding", Rounding::parse, "must be exact or up")?;
    let policy = fields.choice("on_insufficient", Policy::parse, "must be reject, partial or overdraft")?;
    Ok(MeterSpec {
        event_type: event_type.to_owned(),
        currency: fields.required_text("currency")?.to_owned(),
        rate: fields.required_decimal("rate")?,
        rounding: rounding.unwrap_or(Rounding::Exact),
        policy: policy.unwrap_or(Policy::Reject),
    })
}
