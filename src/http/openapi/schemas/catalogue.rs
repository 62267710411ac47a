//! Credit currencies and meters.

use super::{Group, amount, object, one_of, policies, reference, text};
use crate::ledger::{MAX_PRIORITY, Rounding, Source};
use serde_json::json;

pub(super) fn all() -> Group {
    let scale = || json!({"type": "integer", "minimum": 0, "maximum": 9});
    let kinds = || one_of(&["unit", "fiat"]);
    let code = || json!({"type": "string", "pattern": "^[A-Z]{3}$"});
    let roundings = || one_of(&[Rounding::Exact, Rounding::Up].map(Rounding::as_str));
    let shown = |name| (name, json!({"type": "string"}));
    let priorities = || {
        json!({
            "type": "object",
            "description": "Priorities of grants that name none, by source.",
            "propertyNames": {"enum": Source::ALL.map(Source::as_str)},
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY},
        })
    };
    vec![
        (
            "CurrencyRequest",
            object(&[
                ("name??", text(0, 128)),
                ("symbol??", text(0, 128)),
                ("scale??", scale()),
                ("kind??", kinds()),
                ("iso_code??", code()),
                ("max_balance??", reference("PositiveInput")),
                ("default_priorities??", priorities()),
            ]),
        ),
        (
            "Currency",
            object(&[
                shown("id"),
                shown("name"),
                shown("symbol"),
                ("scale", scale()),
                ("kind", kinds()),
                ("iso_code?", code()),
                ("max_balance", json!({"oneOf": [amount(), {"type": "null"}]})),
                ("default_priorities", priorities()),
                ("status", one_of(&["active", "archived"])),
            ]),
        ),
        (
            "MeterRequest",
            object(&[
                ("currency", text(1, 64)),
                ("rate", reference("PositiveInput")),
                ("rounding??", roundings()),
                ("on_insufficient??", policies()),
            ]),
        ),
        (
            "Meter",
            object(&[
                shown("event_type"),
                shown("currency"),
                ("rate", amount()),
                ("rounding", roundings()),
                ("on_insufficient", policies()),
                ("status", one_of(&["active", "archived"])),
            ]),
        ),
    ]
}
