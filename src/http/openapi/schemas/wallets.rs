//! Wallets: their state, commitments and history.

use super::{Group, amount, count, list, object, one_of, position, reference, text, time, time_or_null};
use crate::engine::view::EntryKind;
use crate::ledger::{Category, MAX_COMMITMENTS, MAX_PRIORITY, Status};
use serde_json::json;

pub(super) fn wallets() -> Group {
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

pub(super) fn commitments() -> Group {
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

pub(super) fn history() -> Group {
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
