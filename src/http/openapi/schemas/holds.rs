//! Holds and captures.

use super::{Group, amount, list, object, one_of, reference, text, time, time_or_null};
use crate::ledger::OnExceed;
use serde_json::json;

pub(super) fn all() -> Group {
    let policies = || one_of(&[OnExceed::Reject, OnExceed::Cap, OnExceed::Overdraw].map(OnExceed::as_str));
    let is_final = || json!({"type": "boolean", "default": false, "description": "Releases what is left."});
    let request = object(&[
        ("id??", json!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^(?!hld_|idk:)"})),
        ("customer", text(1, 128)),
        ("currency??", text(1, 64)),
        ("amount", reference("PositiveInput")),
        ("ttl_seconds??", json!({"type": "integer", "minimum": 1, "maximum": 86_400, "default": 900})),
        ("on_exceed??", policies()),
    ]);
    let name = || json!({"type": "string"});
    let hold = object(&[
        ("id", name()),
        ("customer", name()),
        ("currency", name()),
        ("amount", amount()),
        ("captured", amount()),
        ("remaining", amount()),
        ("released", amount()),
        ("status", one_of(&["open", "captured", "released", "expired"])),
        ("on_exceed", policies()),
        ("expires_at", time()),
        ("created_at?", time()),
        ("balance?", amount()),
        ("available?", amount()),
    ]);
    let capture = object(&[
        ("hold", reference("Hold")),
        ("amount", amount()),
        ("shortfall", amount()),
        ("overdraft", amount()),
        ("late", json!({"type": "boolean", "description": "The hold was over: it was debited like any usage."})),
        ("entry", json!({"type": ["integer", "null"], "format": "int64"})),
    ]);
    let extension = object(&[
        ("expires_at?", time_or_null()),
        (
            "ttl_seconds??",
            json!({"type": "integer", "minimum": 1, "description": "From now. Either this or `expires_at`."}),
        ),
    ]);
    let error = || {
        let status = json!({"type": "integer"});
        object(&[("reason", name()), ("title", name()), ("detail", name()), ("status", status), ("field?", name())])
    };
    let results = |status: &[&str], what: &str, schema: &str| {
        let result = object(&[("status", one_of(status)), (what, reference(schema)), ("error?", error())]);
        object(&[("results", list(result))])
    };
    vec![
        ("HoldRequest", request),
        ("Hold", hold),
        ("HoldResults", results(&["created", "replayed", "rejected"], "hold?", "Hold")),
        ("CaptureRequest", object(&[("amount", reference("DecimalInput")), ("final??", is_final())])),
        (
            "NamedCaptureRequest",
            object(&[("hold", text(1, 128)), ("amount", reference("DecimalInput")), ("final??", is_final())]),
        ),
        ("Capture", capture),
        ("CaptureResults", results(&["captured", "rejected"], "capture?", "Capture")),
        ("HoldExtension", extension),
    ]
}
