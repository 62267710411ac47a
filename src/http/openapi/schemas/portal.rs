//! The schemas of the portal.

use super::{Group, object, one_of, text, time};
use crate::http::wire::portal::PAGES;
use serde_json::{Value, json};

fn decimal_or_null(what: &str) -> Value {
    json!({"type": ["string", "null"], "description": what})
}

fn decimal_in() -> Value {
    json!({"oneOf": [{"type": "string", "minLength": 1}, {"type": "number"}]})
}

pub(super) fn all() -> Group {
    let session = object(&[
        ("url", json!({"type": "string", "description": "Where to send the customer."})),
        ("customer", json!({"type": "string"})),
        ("expires_at", time()),
    ]);
    let session_request = object(&[
        ("customer", text(1, 128)),
        ("return_url??", text(1, 2048)),
        ("currency??", text(1, 64)),
        ("page??", one_of(&PAGES)),
    ]);
    let limits = object(&[
        ("currency", json!({"type": "string"})),
        ("payment_currency", decimal_or_null("The code of ISO 4217 that the payments' limits are in.")),
        ("min_payment", decimal_or_null("The least of one payment, in whole units of money.")),
        ("max_payment", decimal_or_null("The most of one payment.")),
        ("max_balance", decimal_or_null("The highest balance that a payment may lead to, in credits.")),
    ]);
    let limits_request = object(&[
        ("payment_currency??", text(3, 3)),
        ("min_payment??", decimal_in()),
        ("max_payment??", decimal_in()),
        ("max_balance??", decimal_in()),
    ]);
    vec![
        ("PortalSession", session),
        ("PortalSessionRequest", session_request),
        ("PortalLimits", limits),
        ("PortalLimitsRequest", limits_request),
    ]
}
