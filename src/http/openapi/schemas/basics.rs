//! What all operations share: amounts, metadata, problems, readiness.

use super::{Group, amount, list, object};
use crate::http::wire::fields::{METADATA_KEY_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};
use serde_json::{Value, json};

pub(super) fn all() -> Group {
    let metadata = json!({
        "type": "object",
        "maxProperties": METADATA_PAIRS_MAX,
        "propertyNames": {"maxLength": METADATA_KEY_BYTES_MAX},
        "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_BYTES_MAX},
    });
    let positive = json!({
        "description": "A decimal greater than zero in credits or units, read exactly. A number is read from its text.",
        "oneOf": [
            {"type": "string", "pattern": "^(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"},
            {"type": "number", "exclusiveMinimum": 0},
        ],
        "examples": ["12.5", 1800],
    });
    let signed = json!({
        "description": "A decimal in credits, read exactly.",
        "oneOf": [
            {"type": "string", "pattern": "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"},
            {"type": "number"},
        ],
    });
    let shown = json!({
        "type": "string",
        "description": "Credits, without trailing zeros.",
        "pattern": "^-?(0|[1-9][0-9]*)(\\.[0-9]*[1-9])?$",
        "examples": ["12.5"],
    });
    vec![
        ("Amount", shown),
        ("DecimalInput", signed),
        ("PositiveInput", positive),
        ("Metadata", metadata),
        ("Readiness", readiness()),
        ("Status", object(&[("status", json!({"type": "string"}))])),
        ("Problem", problem()),
    ]
}

fn ready_check() -> Value {
    object(&[
        ("name", json!({"type": "string", "enum": ["recovery", "log", "space", "draining", "load"]})),
        ("status", json!({"type": "string", "enum": ["ok", "warning", "failing"]})),
        ("reason?", json!({"type": "string", "description": "The slug, where it fails."})),
        ("detail?", json!({"type": "string"})),
    ])
}

fn readiness() -> Value {
    object(&[("status", json!({"type": "string", "const": "ready"})), ("checks", list(ready_check()))])
}

fn problem() -> Value {
    let mut problem = object(&[
        ("type", json!({"type": "string", "format": "uri-reference", "description": "Ends in the stable slug."})),
        ("title", json!({"type": "string"})),
        ("status", json!({"type": "integer", "minimum": 400, "maximum": 599})),
        ("detail", json!({"type": "string"})),
        ("instance", json!({"type": "string", "description": "The request's id."})),
        ("reason?", json!({"type": "string", "description": "The slug of the rule that refused."})),
        ("field?", json!({"type": "string", "description": "The offending field or parameter."})),
        ("index?", json!({"type": "integer", "minimum": 0, "description": "The offending member of a batch."})),
        ("offset?", json!({"type": "integer", "minimum": 0, "description": "The offending byte of the body."})),
        ("limit?", json!({"type": "integer", "description": "The limit that was exceeded."})),
        ("exceeded?", json!({"type": "string", "description": "The server's own limit that was exceeded."})),
        ("checks?", list(ready_check())),
        ("amount?", amount()),
        ("balance?", amount()),
        ("available?", amount()),
        ("feature?", json!({"type": "string"})),
    ]);
    let rejected = object(&[
        ("index", json!({"type": "integer"})),
        ("id", json!({"type": "string"})),
        ("reason", json!({"type": "string"})),
    ]);
    problem["properties"]["rejected"] = list(rejected);
    problem
}
