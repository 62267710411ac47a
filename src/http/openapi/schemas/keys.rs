//! API keys.

use super::{Group, object, one_of, text, time};
use serde_json::json;

pub(super) fn all() -> Group {
    let scopes =
        || json!({"type": "array", "items": one_of(&["usage", "read", "grants", "top_ups", "admin"]), "minItems": 1});
    let shown = [
        ("id", json!({"type": "string"})),
        ("name", json!({"type": "string"})),
        ("mode", one_of(&["live", "test"])),
        ("scopes", scopes()),
        ("status", one_of(&["active", "revoked"])),
        ("created_at", time()),
    ];
    let token = ("token?", json!({"type": "string", "pattern": "^dd_(live|test)_[0-9a-f]+_[0-9a-f]+$"}));
    vec![
        ("KeyRequest", object(&[("name", text(1, 128)), ("mode??", one_of(&["live", "test"])), ("scopes", scopes())])),
        ("Key", object(&shown)),
        ("NewKey", object(&[&shown[..], &[token]].concat())),
    ]
}
