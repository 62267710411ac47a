//! The feed.

use super::{Group, list, object, position, reference, time};
use serde_json::json;

pub(super) fn all() -> Group {
    let event = object(&[
        ("id", json!({"type": "string", "description": "The same event told again has the same id."})),
        ("lsn", position()),
        ("type", json!({"type": "string"})),
        ("time", time()),
        ("customer", json!({"type": ["string", "null"]})),
        ("currency", json!({"type": ["string", "null"]})),
        ("data", json!({"type": "object"})),
    ]);
    let page = object(&[
        ("data", list(reference("FeedEvent"))),
        ("next_cursor", json!({"type": "string", "description": "Give it back as `after`."})),
        ("at_end", json!({"type": "boolean"})),
    ]);
    vec![("FeedEvent", event), ("FeedPage", page)]
}
