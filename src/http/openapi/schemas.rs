//! The schemas of the document.

mod billing;
mod deposits;
mod portal;
mod webhooks;

use crate::engine::corrections::view::Expired;
use crate::engine::customers::CollectionMethod;
use crate::engine::reports::LineKind;
use crate::engine::view::EntryKind;
use crate::engine::{HALF_LIFE_MS_MAX, HALF_LIFE_MS_MIN, MAX_GROUP_EVENTS, RUNWAY_MINUTES_MAX};
use crate::http::wire::alerts::{AT_ONCE, ON_CHANGE};
use crate::http::wire::fields::{METADATA_KEY_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};
use crate::ledger::{
    Category, Levels, MAX_COMMITMENTS, MAX_PRIORITY, OnExceed, Policy, Rounding, Source, Status, Trigger, Unit, Watches,
};
use serde_json::{Map, Value, json};

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let groups = [
        basics(),
        usage(),
        wallets(),
        alerts(),
        commitments(),
        history(),
        grants(),
        corrections(),
        catalogue(),
        feed(),
        keys(),
        holds(),
        reports(),
        customers(),
        billing::all(),
        webhooks::webhooks(),
        portal::all(),
        deposits::all(),
    ];
    groups.into_iter().flatten().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

type Group = Vec<(&'static str, Value)>;

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// An object; properties whose name ends in `?` may be missing, in `??` may also be null.
fn object(properties: &[(&str, Value)]) -> Value {
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let named = properties.iter().map(|(name, schema)| {
        let nullable = name.ends_with("??");
        let schema = if nullable { json!({"oneOf": [schema, {"type": "null"}]}) } else { schema.clone() };
        (name.trim_end_matches('?').to_owned(), schema)
    });
    let mut out = json!({"type": "object", "properties": named.collect::<Map<_, _>>()});
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

fn text(min: usize, max: usize) -> Value {
    json!({"type": "string", "minLength": min, "maxLength": max})
}

fn one_of(names: &[&str]) -> Value {
    json!({"type": "string", "enum": names})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn time_or_null() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

fn position() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without a borrow in front of each schema")]
fn list(schema: Value) -> Value {
    json!({"type": "array", "items": schema})
}

fn amount() -> Value {
    reference("Amount")
}

fn policies() -> Value {
    one_of(&[Policy::Reject, Policy::Partial, Policy::Overdraft].map(Policy::as_str))
}

fn basics() -> Group {
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

fn usage() -> Group {
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

fn wallets() -> Group {
    let statuses = || one_of(&[Status::Active, Status::Frozen, Status::Closed].map(Status::as_str));
    let lot = object(&[
        ("id", json!({"type": "string"})),
        ("remaining", amount()),
        ("amount", amount()),
        ("priority", json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})),
        ("category", one_of(&[Category::Paid, Category::Promotional].map(Category::as_str))),
        ("effective_at", time()),
        ("expires_at", time_or_null()),
        ("status", one_of(&["active", "scheduled"])),
        ("held", json!({"allOf": [amount()], "description": "What of `remaining` is in open holds, or frozen."})),
        ("frozen", json!({"allOf": [amount()], "description": "What of `held` is frozen: its payment is disputed."})),
    ]);
    let wallet = object(&[
        ("customer", json!({"type": "string"})),
        ("currency", json!({"type": "string"})),
        ("status", statuses()),
        ("balance", amount()),
        ("held", amount()),
        ("available", amount()),
        ("projected", amount()),
        ("committed", amount()),
        ("pending_top_ups", amount()),
        ("floor", amount()),
        ("grants", list(lot)),
        ("alerts", list(reference("AlertLevel"))),
        ("burn_rate_per_hour?", amount()),
        ("runway_minutes?", count()),
        ("last_entry", json!({"type": ["integer", "null"], "format": "int64"})),
        ("metadata", reference("Metadata")),
        ("holds", json!({"type": "integer", "minimum": 0, "description": "How many are open."})),
        ("pending_grants", object(&[("count", json!({"type": "integer", "minimum": 0})), ("amount", amount())])),
        ("frozen", json!({"allOf": [amount()], "description": "What of `held` is frozen: its payment is disputed."})),
    ]);
    let totals = object(&[
        ("currency", json!({"type": "string"})),
        ("wallets", json!({"type": "integer", "minimum": 0})),
        ("balance", amount()),
        ("held", amount()),
        ("available", amount()),
        ("projected", amount()),
    ]);
    vec![
        ("Wallet", wallet),
        (
            "WalletPatch",
            object(&[
                ("status??", statuses()),
                ("floor??", reference("DecimalInput")),
                ("metadata??", reference("Metadata")),
            ]),
        ),
        ("BalanceTotal", totals),
    ]
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0, "format": "int64"})
}

fn alerts() -> Group {
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

fn commitments() -> Group {
    let name = || json!({"type": "string"});
    let period = || object(&[("from", time()), ("to", time())]);
    let commitment = object(&[
        ("name", name()),
        ("amount", amount()),
        ("due_at", time_or_null()),
        ("counts", json!({"type": "boolean"})),
    ]);
    let commitment_request =
        object(&[("name", text(1, 128)), ("amount", reference("DecimalInput")), ("due_at??", time())]);
    let nullable_period = json!({"oneOf": [period(), {"type": "null"}]});
    vec![
        (
            "Commitments",
            object(&[
                ("customer", name()),
                ("currency", name()),
                ("items", list(commitment)),
                ("period", nullable_period),
                ("committed", amount()),
                ("available", amount()),
                ("projected", amount()),
            ]),
        ),
        (
            "CommitmentsRequest",
            object(&[
                ("items", json!({"type": "array", "items": commitment_request, "maxItems": MAX_COMMITMENTS})),
                ("period??", period()),
            ]),
        ),
    ]
}

fn history() -> Group {
    let event = object(&[
        ("id", json!({"type": "string"})),
        ("source", json!({"type": "string"})),
        ("time", time()),
        ("meter?", json!({"type": "string"})),
        ("quantity?", amount()),
    ]);
    let entry = object(&[
        ("entry", position()),
        ("type", one_of(&EntryKind::ALL.map(EntryKind::as_str))),
        ("amount", amount()),
        ("balance_after", amount()),
        ("time", time()),
        ("allocations", list(object(&[("grant", json!({"type": "string"})), ("amount", amount())]))),
        ("overdraft?", amount()),
        ("event?", event),
        ("grant?", json!({"type": "string"})),
        ("crossed?", list(json!({"type": "string"}))),
        (
            "reverses?",
            json!({"type": "integer", "format": "int64", "minimum": 0, "description": "The debit that was taken back."}),
        ),
        ("reason?", json!({"type": "string"})),
        ("invoice?", json!({"type": "string"})),
        (
            "transfer?",
            object(&[
                ("id", json!({"type": "string"})),
                ("customer", json!({"type": "string"})),
                ("entry", position()),
            ]),
        ),
        ("hold?", json!({"type": "string"})),
        ("held?", json!({"allOf": [amount()], "description": "Signed movement of what is held."})),
    ]);
    vec![("Entry", entry)]
}

fn holds() -> Group {
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

fn grants() -> Group {
    let categories = || one_of(&[Category::Paid, Category::Promotional].map(Category::as_str));
    let sources = || one_of(&Source::ALL.map(Source::as_str));
    let priority = || json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY});
    let cost = || {
        let amount =
            json!({"type": "integer", "format": "int64", "minimum": 0, "description": "In the money's minor unit."});
        object(&[("amount", amount), ("currency", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}))])
    };
    let request = object(&[
        ("customer", text(1, 128)),
        ("currency??", text(1, 64)),
        ("amount", reference("PositiveInput")),
        ("category??", categories()),
        ("source??", sources()),
        ("priority??", priority()),
        ("effective_at?", time_or_null()),
        ("expires_at?", time_or_null()),
        ("cost_basis??", cost()),
        ("key??", text(1, 128)),
        ("metadata??", reference("Metadata")),
        ("payment??", text(1, 255)),
        ("pending??", json!({"type": "boolean", "description": "It counts for nothing until it is activated."})),
        ("valid_for_seconds??", seconds("Of a pending grant: how long it lasts from its activation on.")),
        ("rollover??", reference("Rollover")),
    ]);
    let grant = object(&[
        ("id", json!({"type": "string"})),
        ("customer", json!({"type": "string"})),
        ("currency", json!({"type": "string"})),
        ("amount", amount()),
        ("remaining", amount()),
        ("category", categories()),
        ("source", sources()),
        ("priority", priority()),
        ("status", one_of(&["scheduled", "active", "depleted", "expired", "voided", "pending"])),
        ("effective_at", time()),
        ("expires_at", time_or_null()),
        ("cost_basis", json!({"oneOf": [cost(), {"type": "null"}]})),
        ("key", json!({"type": ["string", "null"]})),
        ("metadata", reference("Metadata")),
        ("created_at", time()),
        ("held", json!({"allOf": [amount()], "description": "What of `remaining` is in open holds."})),
        ("payment", json!({"type": ["string", "null"]})),
        ("valid_for_seconds?", seconds("Of a pending grant.")),
        ("rollover", json!({"oneOf": [reference("Rollover"), {"type": "null"}]})),
        ("parent?", json!({"type": "string", "description": "The grant that this one is the remainder of."})),
        ("rolled_over?", object(&[("grant", json!({"type": "string"})), ("amount", amount())])),
        ("recurring?", object(&[("id", json!({"type": "string"})), ("occurrence", position())])),
    ]);
    let error = object(&[
        ("reason", json!({"type": "string"})),
        ("title", json!({"type": "string"})),
        ("detail", json!({"type": "string"})),
        ("status", json!({"type": "integer"})),
        ("field?", json!({"type": "string"})),
    ]);
    let result = object(&[
        ("status", one_of(&["created", "replayed", "rejected"])),
        ("grant?", reference("Grant")),
        ("error?", error),
    ]);
    vec![
        ("GrantRequest", request),
        ("Grant", grant),
        ("GrantResults", object(&[("results", list(result))])),
        ("GrantPatch", object(&[("expires_at", time_or_null())])),
        ("Rollover", rollover()),
        ("RecurringGrantRequest", recurring_request()),
        ("RecurringGrant", recurring()),
    ]
}

fn seconds(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 1, "description": description})
}

fn rollover() -> Value {
    let mut rollover = object(&[
        ("fraction??", reference("PositiveInput")),
        ("max??", reference("PositiveInput")),
        ("valid_for_seconds??", seconds("How long the new grant lasts; for ever without it.")),
        ("priority??", json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})),
    ]);
    rollover["description"] = json!(
        "When the grant ends with something left, `fraction` of it (1 without it), rounded down, and `max` at most, becomes a new grant with \
         the source `rollover`, effective at the very instant, which does not roll over again. The rest expires."
    );
    rollover
}

fn interval() -> Value {
    object(&[
        ("every", json!({"type": "integer", "minimum": 1, "maximum": 10_000})),
        ("unit", one_of(&Unit::ALL.map(Unit::as_str))),
    ])
}

fn expires() -> Value {
    json!({"oneOf": [
        one_of(&["with_next", "never"]),
        object(&[("after_seconds", seconds("So long after it began."))]),
    ]})
}

fn recurring_fields() -> Vec<(&'static str, Value)> {
    let cost = json!({"type": "integer", "format": "int64", "minimum": 0});
    let cost = object(&[("amount", cost), ("currency", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}))]);
    vec![
        ("source??", one_of(&Source::ALL.map(Source::as_str))),
        ("category??", one_of(&[Category::Paid, Category::Promotional].map(Category::as_str))),
        ("priority??", json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})),
        ("interval", interval()),
        ("anchor?", time_or_null()),
        ("first_grant??", one_of(&["now", "next"])),
        ("expires", expires()),
        ("rollover??", reference("Rollover")),
        ("ends_at?", time_or_null()),
        ("cost_basis??", cost),
        ("metadata??", reference("Metadata")),
    ]
}

fn recurring_request() -> Value {
    let own = [("currency??", text(1, 64)), ("amount", reference("PositiveInput"))];
    object(&[&own[..], &recurring_fields()].concat())
}

fn recurring() -> Value {
    let own = [
        ("id", json!({"type": "string"})),
        ("customer", json!({"type": "string"})),
        ("currency", json!({"type": "string"})),
        ("amount", amount()),
        ("status", one_of(&["active", "ended", "stopped"])),
        ("version", position()),
        ("next_at", time_or_null()),
        ("occurrences", position()),
        ("created_at", time()),
        ("updated_at", time()),
    ];
    object(&[&own[..], &recurring_fields()].concat())
}

fn corrections() -> Group {
    let name = || json!({"type": "string"});
    let name_or_null = || json!({"type": ["string", "null"]});
    let shown = || {
        vec![
            ("id", name()),
            ("entry", position()),
            ("customer", name()),
            ("currency", name()),
            ("amount", amount()),
            ("balance", amount()),
            ("available", amount()),
            ("key", name_or_null()),
            ("created_at", time()),
        ]
    };
    let and = |more: &[(&'static str, Value)]| object(&[&shown()[..], more].concat());
    let crossed = || ("crossed", list(name()));
    let reversal = and(&[
        ("debit", position()),
        ("returned", list(object(&[("grant", name()), ("amount", amount())]))),
        ("debt", amount()),
        ("forfeited", amount()),
        ("regrant", name_or_null()),
        ("reversed", amount()),
        ("reversible", amount()),
        ("reason", name_or_null()),
    ]);
    let adjustment = and(&[
        ("shortfall", amount()),
        ("grant", name_or_null()),
        crossed(),
        ("reason", name()),
        ("metadata", reference("Metadata")),
    ]);
    let charge = and(&[
        ("from_wallet", amount()),
        ("to_pay", amount()),
        ("invoice", name_or_null()),
        ("payment", billing::rest_of_charge()),
        crossed(),
    ]);
    vec![
        (
            "ReversalRequest",
            object(&[
                ("amount??", reference("PositiveInput")),
                ("expired??", one_of(&[Expired::Lose, Expired::Regrant].map(Expired::as_str))),
                ("reason??", text(1, 500)),
                ("key??", text(1, 255)),
            ]),
        ),
        ("Reversal", reversal),
        (
            "AdjustmentRequest",
            object(&[
                ("customer", text(1, 128)),
                ("currency??", text(1, 64)),
                ("amount", reference("DecimalInput")),
                ("on_insufficient??", policies()),
                ("reason", text(1, 500)),
                ("key??", text(1, 255)),
                ("metadata??", reference("Metadata")),
            ]),
        ),
        ("Adjustment", adjustment),
        (
            "ChargeRequest",
            object(&[
                ("customer", text(1, 128)),
                ("currency??", text(1, 64)),
                ("amount", reference("PositiveInput")),
                ("invoice??", text(1, 128)),
                ("key??", text(1, 255)),
            ]),
        ),
        ("Charge", charge),
        (
            "TransferRequest",
            object(&[
                ("from", object(&[("customer", text(1, 128))])),
                ("to", object(&[("customer", text(1, 128))])),
                ("currency??", text(1, 64)),
                ("amount", reference("PositiveInput")),
                ("reason??", text(1, 500)),
                ("key??", text(1, 255)),
                ("metadata??", reference("Metadata")),
            ]),
        ),
        ("Transfer", transfer()),
    ]
}

fn transfer() -> Value {
    let name = || json!({"type": "string"});
    let name_or_null = || json!({"type": ["string", "null"]});
    let side = || {
        object(&[
            ("customer", name()),
            ("entry", position()),
            ("balance", amount()),
            ("available", amount()),
            ("crossed", list(name())),
        ])
    };
    let cost = json!({
        "type": ["integer", "null"],
        "format": "int64",
        "description": "What of the grant's cost went with it, in minor units.",
    });
    object(&[
        ("id", name()),
        ("currency", name()),
        ("amount", amount()),
        ("from", side()),
        ("to", side()),
        ("moved", list(object(&[("from", name()), ("to", name()), ("amount", amount()), ("cost", cost)]))),
        ("debt_paid", amount()),
        ("reason", name_or_null()),
        ("key", name_or_null()),
        ("metadata", reference("Metadata")),
        ("created_at", time()),
    ])
}

fn catalogue() -> Group {
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

fn feed() -> Group {
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

fn reports() -> Group {
    let name = || json!({"type": "string"});
    let count = || json!({"type": "integer", "minimum": 0});
    let line = object(&[
        ("type", one_of(&LineKind::ALL.map(LineKind::as_str))),
        ("source?", one_of(&Source::ALL.map(Source::as_str))),
        ("category?", one_of(&[Category::Paid, Category::Promotional].map(Category::as_str))),
        ("meter?", name()),
        ("quantity?", amount()),
        ("amount", amount()),
        ("count", count()),
    ]);
    let statement = object(&[
        ("customer", name()),
        ("currency", name()),
        ("from", time()),
        ("to", time()),
        ("as_of", json!({"type": "string", "format": "date-time", "description": "When it was made."})),
        ("opening", amount()),
        ("closing", amount()),
        ("totals", object(&LineKind::ALL.map(|kind| (kind.as_str(), amount())))),
        ("lines", list(line)),
        ("debt", object(&[("incurred", amount()), ("repaid", amount())])),
    ]);
    let balance = [("balance", amount()), ("held", amount()), ("available", amount())];
    let past = [&[("customer", name()), ("currency", name()), ("at", time())][..], &balance].concat();
    let statuses = one_of(&[Status::Active, Status::Frozen, Status::Closed].map(Status::as_str));
    let holder = [&[("customer", name()), ("status", statuses)][..], &balance].concat();
    let bucket = object(&[
        ("start", time()),
        ("currency", name()),
        ("meter", json!({"type": ["string", "null"]})),
        ("quantity", json!({"oneOf": [amount(), {"type": "null"}]})),
        ("credits", amount()),
        ("count", count()),
    ]);
    vec![("Statement", statement), ("PastBalance", object(&past)), ("UsageBucket", bucket), ("Holder", object(&holder))]
}

fn keys() -> Group {
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

fn customers() -> Group {
    let nullable = |min, max| json!({"type": ["string", "null"], "minLength": min, "maxLength": max});
    let methods = || {
        one_of(&[CollectionMethod::ChargeAutomatically, CollectionMethod::SendInvoice].map(CollectionMethod::as_str))
    };
    let statuses = || one_of(&["active", "archived"]);
    let email = || {
        let mut email = nullable(3, 254);
        email["pattern"] = json!("^[!-?A-~]+@[!-?A-~]+$");
        email
    };
    let said = [
        ("name?", nullable(1, 256)),
        ("email?", email()),
        ("collection_method??", methods()),
        ("metadata??", reference("Metadata")),
    ];
    let shown = [
        (
            "id",
            json!({"type": "string", "description": "Its wallets' owner. It is never erased: let it say nothing about a person."}),
        ),
        ("name", json!({"type": ["string", "null"]})),
        ("email", json!({"type": ["string", "null"]})),
        ("collection_method", methods()),
        ("status", statuses()),
        ("metadata", reference("Metadata")),
        (
            "personal_data",
            json!({
                "type": "string",
                "enum": ["none", "stored", "erased", "unreadable"],
                "description": "`unreadable`: the file of keys is older than the log, damaged or missing.",
            }),
        ),
        ("erased", json!({"type": "boolean"})),
        (
            "created_at",
            json!({"type": ["string", "null"], "format": "date-time", "description": "`null`: it owns wallets, and nothing was ever said of it."}),
        ),
        ("updated_at", time_or_null()),
    ];
    let wallet = object(&[
        ("currency", json!({"type": "string"})),
        ("status", one_of(&[Status::Active, Status::Frozen, Status::Closed].map(Status::as_str))),
        ("balance", amount()),
        ("available", amount()),
    ]);
    vec![
        ("StatusPatch", object(&[("status", statuses())])),
        ("CustomerRequest", object(&said)),
        ("CustomerPatch", object(&[&said[..], &[("status??", statuses())]].concat())),
        ("Customer", object(&shown)),
        ("CustomerDetail", object(&[&shown[..], &[("wallets", list(wallet))]].concat())),
    ]
}
