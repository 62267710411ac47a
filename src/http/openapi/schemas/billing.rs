//! The schemas of money in.

use super::{Group, amount, list, object, one_of, reference, text, time, time_or_null};
use crate::billing::Per;
use crate::billing::invoice::InvoiceStatus;
use crate::billing::top_up::{RefundStatus, Status};
use crate::ledger::{MAX_PRIORITY, Trigger};
use serde_json::{Value, json};

fn money() -> Value {
    json!({"type": "string", "description": "Decimal text in whole units, with all places of the minor unit."})
}

fn money_in() -> Value {
    json!({"oneOf": [{"type": "string", "minLength": 1}, {"type": "number"}]})
}

fn or_null(schema: &Value) -> Value {
    json!({"oneOf": [schema, {"type": "null"}]})
}

fn plain() -> Value {
    json!({"type": "string"})
}

fn plain_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

fn count(minimum: u64) -> Value {
    json!({"type": "integer", "minimum": minimum})
}

fn priority() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY})
}

fn seconds() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 31_556_952_000_u64})
}

fn code() -> Value {
    json!({"type": "string", "description": "A code of ISO 4217, or a coin's."})
}

pub(super) fn all() -> Group {
    [packages(), methods(), top_ups(), rules(), invoices()].concat()
}

fn packages() -> Group {
    let states = one_of(&["active", "archived"]);
    let price = object(&[("amount", money()), ("currency", code())]);
    let asked_price = object(&[("amount", money_in()), ("currency", text(3, 3))]);
    let package = object(&[
        ("id", plain()),
        ("name", plain()),
        ("currency", plain()),
        ("credits", amount()),
        ("bonus", amount()),
        ("price", price),
        ("valid_for_seconds", json!({"type": ["integer", "null"]})),
        ("priority", priority()),
        ("max_per_customer", json!({"type": ["integer", "null"]})),
        ("status", states.clone()),
        ("metadata", reference("Metadata")),
    ]);
    let request = object(&[
        ("name??", text(1, 128)),
        ("currency??", text(1, 64)),
        ("credits", money_in()),
        ("bonus??", money_in()),
        ("price", asked_price),
        ("valid_for_seconds??", seconds()),
        ("priority??", priority()),
        ("max_per_customer??", count(1)),
        ("status??", states),
        ("metadata??", reference("Metadata")),
    ]);
    let config = object(&[("package", or_null(&reference("CreditPackage"))), ("payment_url", plain_or_null())]);
    vec![
        ("CreditPackage", package),
        ("CreditPackageRequest", request),
        ("RechargeConfig", object(&[("currency_info", reference("Currency")), ("recharge_config", config)])),
        ("RechargeConfigRequest", object(&[("package", json!({"type": ["string", "null"]}))])),
    ]
}

fn methods() -> Group {
    let expires = object(&[
        ("year", json!({"type": "integer", "minimum": 1970, "maximum": 9998})),
        ("month", json!({"type": "integer", "minimum": 1, "maximum": 12})),
    ]);
    let method = object(&[
        ("id", plain()),
        ("customer", plain()),
        ("provider", plain()),
        ("reference", plain()),
        ("brand", plain_or_null()),
        ("last4", plain_or_null()),
        ("expires", or_null(&expires)),
        ("default", json!({"type": "boolean"})),
        ("status", one_of(&["active", "expired", "detached"])),
        ("created_at", time()),
    ]);
    let request = object(&[
        ("id??", text(1, 128)),
        ("provider??", text(1, 64)),
        ("reference??", text(1, 255)),
        ("return_url??", text(1, 2048)),
        ("brand??", text(1, 32)),
        ("last4??", json!({"type": "string", "pattern": "^[0-9]{4}$"})),
        ("expires??", expires),
        ("fingerprint??", text(1, 128)),
        ("default??", json!({"type": "boolean"})),
    ]);
    let setup =
        object(&[("customer", plain()), ("provider", plain()), ("setup", plain()), ("checkout_url", plain_or_null())]);
    let made = json!({"anyOf": [reference("PaymentMethod"), reference("PaymentMethodSetup")]});
    vec![
        ("PaymentMethod", method),
        ("PaymentMethodRequest", request),
        ("PaymentMethodSetup", setup),
        ("PaymentMethodMade", made),
    ]
}

fn top_ups() -> Group {
    let failure = object(&[("code", plain()), ("hard", json!({"type": "boolean"}))]);
    let statuses = [RefundStatus::Pending, RefundStatus::Succeeded, RefundStatus::Failed].map(RefundStatus::as_str);
    let refund =
        object(&[("key", plain_or_null()), ("amount", money()), ("status", one_of(&statuses)), ("created_at", time())]);
    let top_up = object(&[
        ("id", plain()),
        ("customer", plain()),
        ("currency", plain()),
        ("kind", one_of(&["manual", "auto", "deposit", "offline", "charge"])),
        ("status", one_of(&Status::ALL.map(Status::as_str))),
        ("package", plain_or_null()),
        ("quantity", count(1)),
        ("amount", or_null(&money())),
        ("amount_currency", code()),
        ("received", money()),
        ("captured", or_null(&money())),
        ("refunded", money()),
        ("credits", or_null(&amount())),
        ("credited", amount()),
        ("clawed_back", amount()),
        (
            "credit_status",
            json!({
                "type": "string",
                "enum": ["none", "due", "granted", "refused"],
                "description": "`refused`: the money has come, and the wallet takes no credits; a person has to look.",
            }),
        ),
        ("grant", plain_or_null()),
        ("provider", plain()),
        ("collection", one_of(&["charge", "checkout", "invoice", "outside"])),
        ("payment_method", plain_or_null()),
        ("checkout_url", plain_or_null()),
        ("return_url", plain_or_null()),
        ("address", plain_or_null()),
        ("form", plain_or_null()),
        ("attempts", count(0)),
        ("failure", or_null(&failure)),
        ("refunds", list(refund)),
        ("invoice", plain_or_null()),
        ("key", plain_or_null()),
        ("metadata", reference("Metadata")),
        ("expires_at", time_or_null()),
        ("completed_at", time_or_null()),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    let request = object(&[
        ("customer", text(1, 128)),
        ("currency??", text(1, 64)),
        ("kind??", one_of(&["manual", "deposit", "offline"])),
        ("package??", text(1, 64)),
        ("quantity??", json!({"type": "integer", "minimum": 1, "maximum": 1_000_000})),
        ("amount??", money_in()),
        ("amount_currency??", text(2, 8)),
        ("credits??", money_in()),
        ("provider??", text(1, 64)),
        ("payment_method??", text(1, 128)),
        ("credits_at_once??", json!({"type": "boolean"})),
        ("return_url??", json!({"type": "string", "minLength": 1, "maxLength": 2048, "pattern": "^https?://"})),
        ("address??", text(1, 255)),
        ("form??", text(1, 64)),
        ("expires_in_seconds??", json!({"type": "integer", "minimum": 1, "maximum": 2_592_000})),
        ("key??", text(1, 255)),
        ("metadata??", reference("Metadata")),
    ]);
    let moved = object(&[
        ("amount??", money_in()),
        ("key??", text(1, 255)),
        ("last??", json!({"type": "boolean", "description": "Of a payment: no more will come."})),
    ]);
    let payment = object(&[
        ("payment_method??", text(1, 128)),
        ("return_url??", json!({"type": "string", "minLength": 1, "maxLength": 2048, "pattern": "^https?://"})),
        ("key??", text(1, 255)),
    ]);
    vec![("TopUp", top_up), ("TopUpRequest", request), ("MoneyMoved", moved), ("InvoicePayment", payment)]
}

/// What collects the rest of a charge.
pub(super) fn rest_of_charge() -> Value {
    let payment = object(&[
        ("top_up", plain()),
        ("status", one_of(&Status::ALL.map(Status::as_str))),
        ("amount", money()),
        ("amount_currency", code()),
        ("checkout_url", plain_or_null()),
        ("invoice", plain_or_null()),
    ]);
    let mut payment = or_null(&payment);
    payment["description"] = "What collects the rest: a top-up that pays and credits nothing.".into();
    payment
}

fn rules() -> Group {
    let windows = || one_of(&Per::ALL.map(Per::as_str));
    let triggers = || one_of(&[Trigger::Below, Trigger::AtOrBelow].map(Trigger::as_str));
    let modes = || one_of(&["package", "amount", "target"]);
    let limit =
        object(&[("per", windows()), ("count", json!({"type": ["integer", "null"]})), ("amount", or_null(&money()))]);
    let asked_limit = object(&[("per", windows()), ("count??", count(1)), ("amount??", money_in())]);
    let rule = object(&[
        ("customer", plain()),
        ("currency", plain()),
        ("status", one_of(&["armed", "in_flight", "cooling", "suspended", "requires_action", "disabled"])),
        ("enabled", json!({"type": "boolean"})),
        ("threshold", amount()),
        ("trigger", triggers()),
        ("mode", modes()),
        ("package", plain_or_null()),
        ("quantity", json!({"type": ["integer", "null"]})),
        ("amount", or_null(&money())),
        ("target", or_null(&amount())),
        ("cooldown_seconds", count(0)),
        ("limits", list(limit)),
        ("payment_method", plain_or_null()),
        ("priority", json!({"type": ["integer", "null"]})),
        ("valid_for_seconds", json!({"type": ["integer", "null"]})),
        ("in_flight", plain_or_null()),
        ("failures", count(0)),
        ("suspended_for", plain_or_null()),
        ("cooling_until", time_or_null()),
        ("retry_at", time_or_null()),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    let request = object(&[
        ("enabled??", json!({"type": "boolean", "default": true})),
        ("threshold", money_in()),
        ("trigger??", triggers()),
        ("mode", modes()),
        ("package??", text(1, 64)),
        ("quantity??", json!({"type": "integer", "minimum": 1, "maximum": 1_000_000})),
        ("amount??", money_in()),
        ("target??", money_in()),
        ("cooldown_seconds??", json!({"type": "integer", "minimum": 0, "maximum": 31 * 86_400})),
        ("limits??", list(asked_limit)),
        ("payment_method??", text(1, 128)),
        ("priority??", priority()),
        ("valid_for_seconds??", seconds()),
    ]);
    vec![
        ("AutoTopUpRule", rule),
        ("AutoTopUpRuleRequest", request),
        ("Deleted", object(&[("deleted", json!({"type": "boolean"}))])),
    ]
}

fn invoices() -> Group {
    let statuses = [InvoiceStatus::Open, InvoiceStatus::Paid, InvoiceStatus::Void, InvoiceStatus::Refunded];
    let line = object(&[("description", plain()), ("quantity", count(1)), ("unit_price", money())]);
    let paid = object(&[
        ("by", one_of(&["wallet", "payment_method", "offline"])),
        ("amount", money()),
        ("payment_method", plain_or_null()),
    ]);
    let note = object(&[("number", count(1)), ("amount", money()), ("created_at", time())]);
    let invoice = object(&[
        ("id", plain()),
        ("number", count(1)),
        ("customer", plain()),
        ("status", one_of(&statuses.map(InvoiceStatus::as_str))),
        ("top_up", plain_or_null()),
        ("lines", list(line)),
        ("total", money()),
        ("due", money()),
        ("currency", code()),
        ("paid", list(paid)),
        ("refund_notes", list(note)),
        ("issued_at", time()),
        ("paid_at", time_or_null()),
        (
            "charge_entry",
            json!({"type": ["integer", "null"], "description": "The entry of the charge that it is for."}),
        ),
        ("reference", plain_or_null()),
    ]);
    vec![("Invoice", invoice)]
}
