//! Alert levels, defaults of currencies, runways.

use super::{Group, amount, count, list, object, one_of, reference, text};
use crate::engine::{HALF_LIFE_MS_MAX, HALF_LIFE_MS_MIN, RUNWAY_MINUTES_MAX};
use crate::http::wire::alerts::{AT_ONCE, ON_CHANGE};
use crate::ledger::{Levels, Trigger, Watches};
use serde_json::{Value, json};

pub(super) fn all() -> Group {
    let name = || json!({"type": "string"});
    let number = |min: u64, max: u64| json!({"type": "integer", "minimum": min, "maximum": max});
    let percent =
        || json!({"type": "string", "description": "Percent of what was granted, greater than 0 and at most 100."});
    let triggers = || one_of(&[Trigger::Below, Trigger::AtOrBelow].map(Trigger::as_str));
    let watches = || one_of(&[Watches::Balance, Watches::Available, Watches::Projected].map(Watches::as_str));
    let interval = || number(0, Levels::INTERVAL_MS_MAX / 1_000);
    let level = object(&[
        ("name", name()),
        ("amount", amount()),
        ("percent", json!({"type": ["string", "null"]})),
        ("trigger", triggers()),
        ("margin", amount()),
        ("watches", watches()),
        ("min_interval_seconds", count()),
        ("state", one_of(&["ok", "triggered"])),
        ("muted", json!({"type": "boolean"})),
    ]);
    let default_level = object(&[
        ("name", name()),
        ("amount?", amount()),
        ("percent?", percent()),
        ("trigger", triggers()),
        ("margin", amount()),
        ("watches", watches()),
        ("min_interval_seconds", count()),
    ]);
    let mut level_request = object(&[
        ("name", text(1, Levels::NAME_BYTES_MAX)),
        ("amount??", reference("DecimalInput")),
        ("percent??", reference("DecimalInput")),
        ("trigger??", triggers()),
        ("margin??", reference("DecimalInput")),
        ("watches??", watches()),
        ("min_interval_seconds??", interval()),
    ]);
    level_request["description"] = json!("With either an amount or a percentage.");
    let levels = || json!({"type": "array", "items": reference("AlertLevelRequest"), "maxItems": Levels::MAX});
    let runway = object(&[
        ("minutes", count()),
        ("margin_minutes", count()),
        ("min_interval_seconds", count()),
        ("half_life_minutes", count()),
        ("state", one_of(&["ok", "triggered"])),
        ("burn_rate_per_hour", amount()),
        ("runway_minutes", json!({"type": ["integer", "null"], "minimum": 0, "format": "int64"})),
    ]);
    let runway_request = object(&[
        ("minutes", number(1, RUNWAY_MINUTES_MAX.into())),
        ("margin_minutes??", number(0, RUNWAY_MINUTES_MAX.into())),
        ("min_interval_seconds??", interval()),
        ("half_life_minutes??", number(HALF_LIFE_MS_MIN / 60_000, HALF_LIFE_MS_MAX / 60_000)),
    ]);
    let or_null = |schema: Value| json!({"oneOf": [schema, {"type": "null"}]});
    let ways = || one_of(&[ON_CHANGE, AT_ONCE]);
    vec![
        ("AlertLevel", level),
        ("AlertLevelRequest", level_request),
        (
            "Alerts",
            object(&[
                ("customer", name()),
                ("currency", name()),
                ("source", one_of(&["wallet", "currency"])),
                ("default_version", json!({"type": ["integer", "null"], "minimum": 1})),
                ("levels", list(reference("AlertLevel"))),
                ("runway", or_null(runway)),
            ]),
        ),
        ("AlertsRequest", object(&[("levels", levels()), ("runway??", runway_request)])),
        (
            "DefaultAlerts",
            object(&[
                ("currency", name()),
                ("version", count()),
                ("levels", list(default_level)),
                ("apply", ways()),
                ("applying", json!({"type": "boolean"})),
            ]),
        ),
        ("DefaultAlertsRequest", object(&[("levels", levels()), ("apply??", ways())])),
    ]
}
