//! Reports.

use super::{Group, amount, list, object, one_of, time};
use crate::engine::reports::LineKind;
use crate::ledger::{Category, Source, Status};
use serde_json::json;

pub(super) fn all() -> Group {
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
