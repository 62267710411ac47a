//! Usage events and checks.

use super::{Group, amount, list, object, one_of, policies, reference, text, time_or_null};
use crate::engine::MAX_GROUP_EVENTS;
use serde_json::{Value, json};

pub(super) fn all() -> Group {
    let common = [
        ("id", text(1, 128)),
        ("source??", text(0, 128)),
        ("customer", text(1, 128)),
        ("time?", time_or_null()),
        ("on_insufficient??", policies()),
    ];
    let amount_event = [&common[..], &[("currency??", text(1, 64)), ("amount", reference("PositiveInput"))]].concat();
    let metered_event = [&common[..], &[("meter", text(1, 128)), ("quantity", reference("PositiveInput"))]].concat();
    let data = json!({"oneOf": [
        object(&[("value", reference("PositiveInput"))]),
        object(&[("amount", reference("PositiveInput")), ("currency??", text(1, 64))]),
    ]});
    let cloud_event = object(&[
        ("specversion", json!({"const": "1.0"})),
        ("id", text(1, 128)),
        ("source", text(1, 128)),
        ("type", json!({"type": "string", "minLength": 1, "maxLength": 128, "description": "The meter."})),
        ("subject", json!({"type": "string", "minLength": 1, "maxLength": 128, "description": "The customer."})),
        ("time?", time_or_null()),
        ("datacontenttype??", json!({"const": "application/json"})),
        ("data", data),
    ]);
    vec![
        ("Event", json!({"oneOf": [object(&amount_event), object(&metered_event), reference("CloudEvent")]})),
        ("CloudEvent", cloud_event),
        (
            "EventGroup",
            json!({
                "type": "object",
                "required": ["atomic", "events"],
                "additionalProperties": false,
                "properties": {
                    "atomic": {"const": true},
                    "events": {"type": "array", "items": reference("Event"), "maxItems": MAX_GROUP_EVENTS},
                },
            }),
        ),
        ("EventResults", event_results()),
        (
            "CheckRequest",
            json!({"oneOf": [
                object(&[("customer", text(1, 128)), ("currency??", text(1, 64)), ("amount", reference("PositiveInput")), ("on_insufficient??", policies())]),
                object(&[("customer", text(1, 128)), ("meter", text(1, 128)), ("quantity", reference("PositiveInput")), ("on_insufficient??", policies())]),
            ]}),
        ),
        (
            "CheckResult",
            object(&[
                ("allowed", json!({"type": "boolean"})),
                ("reason?", json!({"type": "string"})),
                ("amount", json!({"oneOf": [amount(), {"type": "null"}]})),
                ("balance", json!({"oneOf": [amount(), {"type": "null"}]})),
                ("available", amount()),
            ]),
        ),
    ]
}

fn event_results() -> Value {
    let result = object(&[
        ("id", json!({"type": "string"})),
        ("index?", json!({"type": "integer", "minimum": 0})),
        ("status", one_of(&["applied", "duplicate", "rejected"])),
        ("reason?", json!({"type": "string", "description": "Why it was rejected, as a stable slug."})),
        ("field?", json!({"type": "string"})),
        ("amount", amount()),
        ("shortfall?", amount()),
        ("balance", amount()),
        ("available", amount()),
        ("entry", json!({"type": ["integer", "null"], "format": "int64", "minimum": 0})),
        ("crossed?", list(json!({"type": "string"}))),
    ]);
    let count = || json!({"type": "integer", "minimum": 0});
    object(&[("applied", count()), ("duplicate", count()), ("rejected", count()), ("results", list(result))])
}
