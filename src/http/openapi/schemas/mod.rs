//! The schemas of the document: a module for each subject, and here what they are written with.

mod alerts;
mod basics;
mod billing;
mod catalogue;
mod corrections;
mod customers;
mod deposits;
mod feed;
mod grants;
mod holds;
mod keys;
mod portal;
mod reports;
mod usage;
mod wallets;
mod webhooks;

use crate::ledger::Policy;
use serde_json::{Map, Value, json};

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let groups = [
        basics::all(),
        usage::all(),
        wallets::wallets(),
        alerts::all(),
        wallets::commitments(),
        wallets::history(),
        grants::all(),
        corrections::all(),
        catalogue::all(),
        feed::all(),
        keys::all(),
        holds::all(),
        reports::all(),
        customers::all(),
        billing::all(),
        webhooks::all(),
        portal::all(),
        deposits::all(),
    ];
    groups.into_iter().flatten().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Schemas and their names.
type Group = Vec<(&'static str, Value)>;

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// An object; properties whose name ends in `?` may be missing, in `??` may also be null.
fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let named = properties.iter().map(|(name, schema)| {
        let nullable = name.ends_with("??");
        let schema = if nullable { json!({"oneOf": [schema, {"type": "null"}]}) } else { schema.clone() };
        (name.trim_end_matches('?').to_owned(), schema)
    });
    let mut out = json!({"type": "object", "properties": named.collect::<Map<_, _>>()});
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

fn text(min: usize, max: usize) -> Value {
    json!({"type": "string", "minLength": min, "maxLength": max})
}

fn one_of(names: &[&str]) -> Value {
    json!({"type": "string", "enum": names})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn time_or_null() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

fn position() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without a borrow in front of each schema")]
fn list(schema: Value) -> Value {
    json!({"type": "array", "items": schema})
}

fn amount() -> Value {
    reference("Amount")
}

fn policies() -> Value {
    one_of(&[Policy::Reject, Policy::Partial, Policy::Overdraft].map(Policy::as_str))
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0, "format": "int64"})
}
