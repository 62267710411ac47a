//! Webhook endpoints and deliveries.

use super::{Group, count, list, object, one_of, reference, text, time, time_or_null};
use serde_json::{Value, json};

fn text_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

pub(super) fn all() -> Group {
    let url = || {
        json!({
            "type": "string", "format": "uri", "minLength": 1, "maxLength": 2048,
            "description": "https, without user name and fragment, to a public address; others where the server allows them.",
        })
    };
    let events = || {
        json!({
            "type": "array", "minItems": 1, "maxItems": 64,
            "items": {"type": "string", "pattern": "^(\\*|[a-z_.]+(\\.\\*)?)$", "minLength": 1, "maxLength": 64},
            "description": "Types of events such as `hold.created`, prefixes such as `hold.*`, or `*`.",
        })
    };
    let said = [
        ("customer??", text(1, 128)),
        ("currency??", text(1, 128)),
        ("description??", text(0, 500)),
        ("metadata??", reference("Metadata")),
    ];
    let endpoint = [
        ("id", json!({"type": "string"})),
        ("url", json!({"type": "string"})),
        ("events", events()),
        ("customer", text_or_null()),
        ("currency", text_or_null()),
        ("description", json!({"type": "string"})),
        ("metadata", reference("Metadata")),
        ("status", one_of(&["enabled", "disabled"])),
        (
            "disabled_reason",
            json!({"type": ["string", "null"], "enum": ["operator", "gone", "failing", null], "description": "`gone`: it answered 410. `failing`: nothing had arrived for too long."}),
        ),
        ("failing_since", time_or_null()),
        ("behind_bytes", count()),
        ("behind_wallets", count()),
        (
            "secret_readable",
            json!({"type": "boolean", "description": "False: the file of keys is older than the log, damaged or missing. Rotate the secret."}),
        ),
        ("old_secrets_expire_at", list(time())),
        ("created_at", time()),
        ("updated_at", time()),
    ];
    let secret = ("secret?", json!({"type": "string", "pattern": "^whsec_[0-9A-Za-z+/]+=*$"}));
    let attempt = object(&[
        ("at", time()),
        ("status", json!({"type": ["integer", "null"]})),
        ("error", json!({"type": ["string", "null"], "description": "The class of the error, where no answer came."})),
        ("latency_ms", count()),
        ("excerpt", json!({"type": "string", "description": "The beginning of the answer, or what went wrong."})),
    ]);
    let delivery = [
        ("id", json!({"type": "string"})),
        ("endpoint", json!({"type": "string"})),
        ("event_id", json!({"type": "string", "description": "`webhook-id` of the message."})),
        ("event_type", json!({"type": "string"})),
        ("lsn", count()),
        ("customer", text_or_null()),
        ("currency", text_or_null()),
        ("status", one_of(&["retrying", "delivered", "failed", "not_recorded"])),
        ("manual", json!({"type": "boolean", "description": "It was asked for, and goes beside its wallet's order."})),
        ("attempts", list(attempt)),
        ("next_attempt_at", time_or_null()),
        ("created_at", time_or_null()),
        ("updated_at", time_or_null()),
    ];
    let event = (
        "event",
        json!({"oneOf": [reference("FeedEvent"), {"type": "null"}], "description": "`null`: it has left the log."}),
    );
    let request = [&[("url", url()), ("events??", events())], &said[..]].concat();
    let patch = [
        &[("url??", url()), ("events??", events())],
        &said[..],
        &[("status??", one_of(&["enabled", "disabled"])), ("resume??", one_of(&["behind", "now"]))],
    ];
    vec![
        ("WebhookEndpointRequest", object(&request)),
        ("WebhookEndpointPatch", object(&patch.concat())),
        ("WebhookEndpoint", object(&endpoint)),
        ("NewWebhookEndpoint", object(&[&endpoint[..], &[secret]].concat())),
        ("Delivery", object(&delivery)),
        ("DeliveryDetail", object(&[&delivery[..], &[event]].concat())),
    ]
}
