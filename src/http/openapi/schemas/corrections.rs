//! Reversals, adjustments, charges, transfers.

use super::{Group, amount, billing, list, object, one_of, policies, position, reference, text, time};
use crate::engine::corrections::view::Expired;
use serde_json::{Value, json};

pub(super) fn all() -> Group {
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
