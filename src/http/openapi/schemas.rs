//! The schemas of the document.

use crate::engine::customers::CollectionMethod;
use crate::http::wire::fields::{METADATA_KEY_BYTES_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_BYTES_MAX};
use crate::ledger::{Category, MAX_PRIORITY, Policy, Rounding, Source, Status, Trigger};
use serde_json::{Map, Value, json};

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let groups = [basics(), usage(), wallets(), history(), grants(), catalogue(), feed(), keys(), customers()];
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
    let triggers = || one_of(&[Trigger::Below, Trigger::AtOrBelow].map(Trigger::as_str));
    let lot = object(&[
        ("id", json!({"type": "string"})),
        ("remaining", amount()),
        ("amount", amount()),
        ("priority", json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})),
        ("category", one_of(&[Category::Paid, Category::Promotional].map(Category::as_str))),
        ("effective_at", time()),
        ("expires_at", time_or_null()),
        ("status", one_of(&["active", "scheduled"])),
    ]);
    let level = object(&[
        ("name", json!({"type": "string"})),
        ("amount", amount()),
        ("trigger", triggers()),
        ("margin", amount()),
        ("state", one_of(&["ok", "triggered"])),
    ]);
    let level_request = object(&[
        ("name", text(1, 64)),
        ("amount", reference("DecimalInput")),
        ("trigger??", triggers()),
        ("margin??", reference("DecimalInput")),
    ]);
    let wallet = object(&[
        ("customer", json!({"type": "string"})),
        ("currency", json!({"type": "string"})),
        ("status", statuses()),
        ("balance", amount()),
        ("held", amount()),
        ("available", amount()),
        ("projected", amount()),
        ("pending_top_ups", amount()),
        ("floor", amount()),
        ("grants", list(lot)),
        ("alerts", list(reference("AlertLevel"))),
        ("last_entry", json!({"type": ["integer", "null"], "format": "int64"})),
        ("metadata", reference("Metadata")),
    ]);
    let totals = object(&[
        ("currency", json!({"type": "string"})),
        ("wallets", json!({"type": "integer", "minimum": 0})),
        ("balance", amount()),
        ("held", amount()),
        ("available", amount()),
    ]);
    let name = || json!({"type": "string"});
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
        ("AlertLevel", level),
        ("Alerts", object(&[("customer", name()), ("currency", name()), ("levels", list(reference("AlertLevel")))])),
        ("AlertsRequest", object(&[("levels", json!({"type": "array", "items": level_request, "maxItems": 62}))])),
        ("BalanceTotal", totals),
    ]
}

fn history() -> Group {
    const KINDS: [&str; 8] =
        ["debit", "grant", "grant_scheduled", "expiry", "void", "debt_repayment", "write_off", "settings"];
    let event = object(&[
        ("id", json!({"type": "string"})),
        ("source", json!({"type": "string"})),
        ("time", time()),
        ("meter?", json!({"type": "string"})),
        ("quantity?", amount()),
    ]);
    let entry = object(&[
        ("entry", position()),
        ("type", one_of(&KINDS)),
        ("amount", amount()),
        ("balance_after", amount()),
        ("time", time()),
        ("allocations", list(object(&[("grant", json!({"type": "string"})), ("amount", amount())]))),
        ("overdraft?", amount()),
        ("event?", event),
        ("grant?", json!({"type": "string"})),
        ("crossed?", list(json!({"type": "string"}))),
    ]);
    vec![("Entry", entry)]
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
        ("status", one_of(&["scheduled", "active", "depleted", "expired", "voided"])),
        ("effective_at", time()),
        ("expires_at", time_or_null()),
        ("cost_basis", json!({"oneOf": [cost(), {"type": "null"}]})),
        ("key", json!({"type": ["string", "null"]})),
        ("metadata", reference("Metadata")),
        ("created_at", time()),
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
    ]
}

fn catalogue() -> Group {
    let scale = || json!({"type": "integer", "minimum": 0, "maximum": 9});
    let kinds = || one_of(&["unit", "fiat"]);
    let code = || json!({"type": "string", "pattern": "^[A-Z]{3}$"});
    let roundings = || one_of(&[Rounding::Exact, Rounding::Up].map(Rounding::as_str));
    let shown = |name| (name, json!({"type": "string"}));
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
        ("data", list(event)),
        ("next_cursor", json!({"type": "string", "description": "Give it back as `after`."})),
        ("at_end", json!({"type": "boolean"})),
    ]);
    vec![("FeedPage", page)]
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
