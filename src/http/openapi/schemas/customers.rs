//! Customers.

use super::{Group, amount, list, object, one_of, reference, time_or_null};
use crate::engine::customers::CollectionMethod;
use crate::ledger::Status;
use serde_json::json;

pub(super) fn all() -> Group {
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
