//! Grants, what rolls over of them, and recurring ones.

use super::{Group, amount, list, object, one_of, position, reference, text, time, time_or_null};
use crate::ledger::{Category, MAX_PRIORITY, Source, Unit};
use serde_json::{Value, json};

pub(super) fn all() -> Group {
    let categories = || one_of(&[Category::Paid, Category::Promotional].map(Category::as_str));
    let sources = || one_of(&Source::ALL.map(Source::as_str));
    let priority = || json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY});
    let cost = || {
        let amount =
            json!({"type": "integer", "format": "int64", "minimum": 0, "description": "In the money's minor unit."});
        object(&[("amount", amount), ("currency", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}))])
    };
    let request = object(&[
        ("customer", text(1, 128)),
        ("currency??", text(1, 64)),
        ("amount", reference("PositiveInput")),
        ("category??", categories()),
        ("source??", sources()),
        ("priority??", priority()),
        ("effective_at?", time_or_null()),
        ("expires_at?", time_or_null()),
        ("cost_basis??", cost()),
        ("key??", text(1, 128)),
        ("metadata??", reference("Metadata")),
        ("payment??", text(1, 255)),
        ("pending??", json!({"type": "boolean", "description": "It counts for nothing until it is activated."})),
        ("valid_for_seconds??", seconds("Of a pending grant: how long it lasts from its activation on.")),
        ("rollover??", reference("Rollover")),
    ]);
    let grant = object(&[
        ("id", json!({"type": "string"})),
        ("customer", json!({"type": "string"})),
        ("currency", json!({"type": "string"})),
        ("amount", amount()),
        ("remaining", amount()),
        ("category", categories()),
        ("source", sources()),
        ("priority", priority()),
        ("status", one_of(&["scheduled", "active", "depleted", "expired", "voided", "pending"])),
        ("effective_at", time()),
        ("expires_at", time_or_null()),
        ("cost_basis", json!({"oneOf": [cost(), {"type": "null"}]})),
        ("key", json!({"type": ["string", "null"]})),
        ("metadata", reference("Metadata")),
        ("created_at", time()),
        ("held", json!({"allOf": [amount()], "description": "What of `remaining` is in open holds."})),
        ("payment", json!({"type": ["string", "null"]})),
        ("valid_for_seconds?", seconds("Of a pending grant.")),
        ("rollover", json!({"oneOf": [reference("Rollover"), {"type": "null"}]})),
        ("parent?", json!({"type": "string", "description": "The grant that this one is the remainder of."})),
        ("rolled_over?", object(&[("grant", json!({"type": "string"})), ("amount", amount())])),
        ("recurring?", object(&[("id", json!({"type": "string"})), ("occurrence", position())])),
    ]);
    let error = object(&[
        ("reason", json!({"type": "string"})),
        ("title", json!({"type": "string"})),
        ("detail", json!({"type": "string"})),
        ("status", json!({"type": "integer"})),
        ("field?", json!({"type": "string"})),
    ]);
    let result = object(&[
        ("status", one_of(&["created", "replayed", "rejected"])),
        ("grant?", reference("Grant")),
        ("error?", error),
    ]);
    vec![
        ("GrantRequest", request),
        ("Grant", grant),
        ("GrantResults", object(&[("results", list(result))])),
        ("GrantPatch", object(&[("expires_at", time_or_null())])),
        ("Rollover", rollover()),
        ("RecurringGrantRequest", recurring_request()),
        ("RecurringGrant", recurring()),
    ]
}

fn seconds(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 1, "description": description})
}

fn rollover() -> Value {
    let mut rollover = object(&[
        ("fraction??", reference("PositiveInput")),
        ("max??", reference("PositiveInput")),
        ("valid_for_seconds??", seconds("How long the new grant lasts; for ever without it.")),
        ("priority??", json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})),
    ]);
    rollover["description"] = json!(
        "When the grant ends with something left, `fraction` of it (1 without it), rounded down, and `max` at most, becomes a new grant with \
         the source `rollover`, effective at the very instant, which does not roll over again. The rest expires."
    );
    rollover
}

fn interval() -> Value {
    object(&[
        ("every", json!({"type": "integer", "minimum": 1, "maximum": 10_000})),
        ("unit", one_of(&Unit::ALL.map(Unit::as_str))),
    ])
}

fn expires() -> Value {
    json!({"oneOf": [
        one_of(&["with_next", "never"]),
        object(&[("after_seconds", seconds("So long after it began."))]),
    ]})
}

fn recurring_fields() -> Vec<(&'static str, Value)> {
    let cost = json!({"type": "integer", "format": "int64", "minimum": 0});
    let cost = object(&[("amount", cost), ("currency", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}))]);
    vec![
        ("source??", one_of(&Source::ALL.map(Source::as_str))),
        ("category??", one_of(&[Category::Paid, Category::Promotional].map(Category::as_str))),
        ("priority??", json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})),
        ("interval", interval()),
        ("anchor?", time_or_null()),
        ("first_grant??", one_of(&["now", "next"])),
        ("expires", expires()),
        ("rollover??", reference("Rollover")),
        ("ends_at?", time_or_null()),
        ("cost_basis??", cost),
        ("metadata??", reference("Metadata")),
    ]
}

fn recurring_request() -> Value {
    let own = [("currency??", text(1, 64)), ("amount", reference("PositiveInput"))];
    object(&[&own[..], &recurring_fields()].concat())
}

fn recurring() -> Value {
    let own = [
        ("id", json!({"type": "string"})),
        ("customer", json!({"type": "string"})),
        ("currency", json!({"type": "string"})),
        ("amount", amount()),
        ("status", one_of(&["active", "ended", "stopped"])),
        ("version", position()),
        ("next_at", time_or_null()),
        ("occurrences", position()),
        ("created_at", time()),
        ("updated_at", time()),
    ];
    object(&[&own[..], &recurring_fields()].concat())
}
