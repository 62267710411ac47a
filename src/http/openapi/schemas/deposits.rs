//! The schemas of deposit forms.

use super::{Group, list, object, one_of, reference, text};
use serde_json::json;

pub(super) fn all() -> Group {
    let plain = || json!({"type": "string"});
    let plain_or_null = || json!({"type": ["string", "null"]});
    let seconds = json!({"type": "integer", "minimum": 1, "maximum": 31_556_952_000_u64});
    let accepted = object(&[("currency", plain()), ("address", plain_or_null())]);
    let form = object(&[
        ("id", plain()),
        ("title", plain()),
        ("accepts", list(accepted)),
        ("return_url", plain_or_null()),
        ("expires_in_seconds", json!({"oneOf": [seconds, {"type": "null"}]})),
        ("status", one_of(&["active", "archived"])),
        ("metadata", reference("Metadata")),
    ]);
    let asked = object(&[("currency", text(1, 64)), ("address??", text(1, 255))]);
    let mut accepts = list(asked);
    accepts["minItems"] = json!(1);
    accepts["maxItems"] = json!(crate::billing::deposit::ACCEPTED_MAX);
    let request = object(&[
        ("title??", text(1, 128)),
        ("accepts", accepts),
        ("return_url??", json!({"type": "string", "minLength": 1, "maxLength": 2048, "pattern": "^https?://"})),
        ("expires_in_seconds??", seconds),
        ("status??", one_of(&["active", "archived"])),
        ("metadata??", reference("Metadata")),
    ]);
    vec![("DepositForm", form), ("DepositFormRequest", request)]
}
