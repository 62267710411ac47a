//! What a client can get wrong about money: each is told by its slug and its field, and nothing comes of it.

use super::*;

/// Sends bodies that are refused, each with its slug and field (`-` for none).
#[track_caller]
fn refuse(client: &mut Client, method: &str, path: &str, cases: &[(u16, &str, &str, Value)]) {
    for (status, slug, field, body) in cases {
        let answer = client.send(method, path, &[("content-type", "application/json")], body.to_string().as_bytes());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path} {body}");
        let problem = answer.expect_problem(*status, slug);
        assert_eq!(problem["field"].as_str().unwrap_or("-"), *field, "{method} {path} {body}: {problem}");
    }
}

/// Two currencies, of which one stands for euros, a package, and a customer with a card that nobody charges.
fn set_up() -> TestServer {
    let server = TestServer::start();
    let mut client = server.client();
    client.put("/v1/credit-currencies/credits", &json!({"scale": 1})).expect_status(200);
    client.put("/v1/credit-currencies/eur", &json!({"scale": 2, "kind": "fiat", "iso_code": "EUR"})).expect_status(200);
    let package = json!({"currency": "credits", "credits": "1000", "price": {"amount": "19.99", "currency": "EUR"}});
    client.put("/v1/credit-packages/starter", &package).expect_status(200);
    let old = json!({"currency": "credits", "credits": "1", "price": {"amount": "1", "currency": "EUR"}, "status": "archived"});
    client.put("/v1/credit-packages/old", &old).expect_status(200);
    server
}

#[test]
fn bad_packages_and_limits_name_the_field() {
    let server = set_up();
    let mut client = server.client();
    let with = |more: Value| {
        let mut body = json!({"currency": "credits", "credits": "1", "price": {"amount": "1", "currency": "EUR"}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    refuse(
        &mut client,
        "PUT",
        "/v1/credit-packages/new",
        &[
            (400, "malformed_body", "-", json!([])),
            (400, "invalid_field", "price", json!({"credits": "1"})),
            (400, "invalid_field", "price", with(json!({"price": "1"}))),
            (400, "invalid_field", "price.amount", with(json!({"price": {"currency": "EUR"}}))),
            (400, "invalid_field", "price.currency", with(json!({"price": {"amount": "1"}}))),
            (422, "invalid_amount", "price.amount", with(json!({"price": {"amount": "1,5", "currency": "EUR"}}))),
            (422, "invalid_value", "price.amount", with(json!({"price": {"amount": "0", "currency": "EUR"}}))),
            (422, "invalid_value", "price.amount", with(json!({"price": {"amount": "-1", "currency": "EUR"}}))),
            (422, "invalid_value", "price.currency", with(json!({"price": {"amount": "1", "currency": "eur"}}))),
            (400, "invalid_field", "credits", with(json!({"credits": null}))),
            (422, "invalid_amount", "credits", with(json!({"credits": "many"}))),
            (422, "invalid_value", "credits", with(json!({"credits": "0"}))),
            (422, "invalid_value", "credits", with(json!({"credits": "0.01"}))),
            (422, "invalid_value", "bonus", with(json!({"bonus": "-1"}))),
            (400, "invalid_field", "priority", with(json!({"priority": 101}))),
            (400, "invalid_field", "max_per_customer", with(json!({"max_per_customer": 0}))),
            (400, "invalid_field", "metadata", with(json!({"metadata": {"k": 1}}))),
            (400, "invalid_field", "status", with(json!({"status": "gone"}))),
            (422, "unknown_currency", "currency", with(json!({"currency": "none"}))),
        ],
    );
    client.get("/v1/credit-packages/new").expect_problem(404, "unknown_credit_package");
    refuse(
        &mut client,
        "PUT",
        "/v1/credit-packages/starter",
        &[(409, "package_in_use", "currency", with(json!({"currency": "eur"})))],
    );
    refuse(
        &mut client,
        "PUT",
        "/v1/credit-currencies/credits/recharge-config",
        &[
            (400, "invalid_field", "package", json!({})),
            (400, "invalid_field", "package", json!({"package": 7})),
            (422, "invalid_value", "package", json!({"package": "none"})),
        ],
    );
    refuse(
        &mut client,
        "PUT",
        "/v1/credit-currencies/credits/portal-limits",
        &[
            (400, "invalid_field", "payment_currency", json!({"min_payment": "1"})),
            (400, "invalid_field", "payment_currency", json!({"payment_currency": "XYZ"})),
            (400, "invalid_field", "min_payment", json!({"payment_currency": "EUR", "min_payment": "0"})),
            (422, "invalid_amount", "max_payment", json!({"payment_currency": "EUR", "max_payment": "x"})),
            (
                422,
                "invalid_value",
                "max_payment",
                json!({"payment_currency": "EUR", "min_payment": "5", "max_payment": "4"}),
            ),
            (422, "invalid_amount", "max_balance", json!({"max_balance": "0"})),
        ],
    );
}

#[test]
fn bad_top_ups_name_the_field_and_buy_nothing() {
    let server = set_up();
    let mut client = server.client();
    let buys = |more: Value| {
        let mut body = json!({"customer": "cus", "currency": "credits", "provider": "external"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let starter = |more: Value| {
        let mut body = buys(more);
        body["package"] = json!("starter");
        body
    };
    refuse(
        &mut client,
        "POST",
        "/v1/top-ups",
        &[
            (400, "malformed_body", "-", json!("cus")),
            (400, "invalid_field", "customer", starter(json!({"customer": null}))),
            (422, "invalid_id", "customer", starter(json!({"customer": ""}))),
            (422, "invalid_id", "customer", starter(json!({"customer": "c".repeat(129)}))),
            (422, "invalid_id", "currency", starter(json!({"currency": null}))),
            (422, "unknown_currency", "currency", starter(json!({"currency": "none"}))),
            (400, "invalid_field", "kind", starter(json!({"kind": "gift"}))),
            (422, "invalid_value", "package", buys(json!({}))),
            (422, "invalid_value", "package", buys(json!({"package": "none"}))),
            (409, "package_archived", "-", buys(json!({"package": "old"}))),
            (400, "invalid_field", "quantity", starter(json!({"quantity": 0}))),
            (400, "invalid_field", "quantity", starter(json!({"quantity": 1.5}))),
            (400, "invalid_field", "quantity", buys(json!({"quantity": 2}))),
            (422, "invalid_value", "credits", starter(json!({"credits": "5"}))),
            (422, "invalid_amount", "amount", starter(json!({"amount": "5", "amount_currency": "EUR"}))),
            (422, "invalid_amount", "amount", buys(json!({"credits": "5"}))),
            (400, "invalid_field", "amount_currency", buys(json!({"amount": "5"}))),
            (422, "invalid_amount", "amount", buys(json!({"amount": "5,0", "amount_currency": "EUR"}))),
            (
                422,
                "invalid_value",
                "amount_currency",
                buys(json!({"amount": "5", "amount_currency": "XYZ", "credits": "5"})),
            ),
            (422, "invalid_value", "credits", buys(json!({"amount": "5", "amount_currency": "EUR"}))),
            (422, "invalid_amount", "amount", buys(json!({"amount": "0", "amount_currency": "EUR", "credits": "5"}))),
            (
                422,
                "invalid_amount",
                "amount",
                buys(json!({"amount": "0.001", "amount_currency": "EUR", "credits": "5"})),
            ),
            (422, "invalid_value", "credits", buys(json!({"amount": "5", "amount_currency": "EUR", "credits": "0"}))),
            (
                422,
                "invalid_value",
                "credits",
                buys(json!({"amount": "5", "amount_currency": "EUR", "credits": "0.01"})),
            ),
            (422, "invalid_amount", "amount", buys(json!({"currency": "eur", "amount": "-5"}))),
            (
                422,
                "invalid_value",
                "amount_currency",
                buys(json!({"currency": "eur", "amount": "5", "amount_currency": "USD"})),
            ),
            (422, "invalid_value", "provider", starter(json!({"provider": "nobody"}))),
            (422, "invalid_value", "payment_method", starter(json!({"payment_method": "pm_none"}))),
            (422, "invalid_value", "return_url", starter(json!({"return_url": "javascript:alert(1)"}))),
            (422, "invalid_value", "credits_at_once", starter(json!({"credits_at_once": true}))),
            (400, "invalid_field", "credits_at_once", starter(json!({"credits_at_once": "yes"}))),
            (400, "invalid_field", "expires_in_seconds", starter(json!({"expires_in_seconds": "soon"}))),
            (422, "invalid_value", "expires_in_seconds", starter(json!({"expires_in_seconds": 31 * 86_400}))),
            (422, "invalid_id", "key", starter(json!({"key": ""}))),
            (422, "invalid_id", "key", starter(json!({"key": "k".repeat(256)}))),
            (400, "invalid_field", "key", starter(json!({"key": "idk:mine"}))),
            (400, "invalid_field", "metadata", starter(json!({"metadata": []}))),
        ],
    );
    assert_eq!(client.get("/v1/top-ups").expect_status(200)["data"], json!([]), "nothing was bought");
}

#[test]
fn bad_payments_and_refunds_name_the_field_and_move_nothing() {
    let server = set_up();
    let mut client = server.client();
    let starter = json!({"customer": "cus", "currency": "credits", "provider": "external", "package": "starter"});
    let made = client.post("/v1/top-ups", &starter).expect_status(201);
    let path = format!("/v1/top-ups/{}", made["id"].as_str().expect("an id"));
    let money = [
        (400, "malformed_body", "-", json!([])),
        (400, "invalid_field", "amount", json!({"amount": {}})),
        (422, "invalid_amount", "amount", json!({"amount": "x"})),
        (422, "invalid_amount", "amount", json!({"amount": "0"})),
        (422, "invalid_amount", "amount", json!({"amount": "-1"})),
        (400, "invalid_field", "amount", json!({"amount": "0.001"})),
        (400, "invalid_field", "key", json!({"key": ""})),
        (400, "invalid_field", "key", json!({"key": "k".repeat(256)})),
        (400, "invalid_field", "key", json!({"key": "idk:mine"})),
    ];
    refuse(&mut client, "POST", &format!("{path}/confirm"), &money);
    refuse(&mut client, "POST", &format!("{path}/confirm"), &[(400, "invalid_field", "last", json!({"last": "yes"}))]);
    refuse(&mut client, "POST", &format!("{path}/refund"), &[(409, "top_up_not_paid", "-", json!({}))]);
    client.send("POST", &format!("{path}/confirm"), &[], b"").expect_status(200);
    refuse(&mut client, "POST", &format!("{path}/refund"), &money);
    refuse(
        &mut client,
        "POST",
        &format!("{path}/refund"),
        &[(409, "refund_exceeds_payment", "-", json!({"amount": "20"}))],
    );
    refuse(&mut client, "POST", &format!("{path}/cancel"), &[(409, "top_up_not_open", "-", json!({}))]);
    for what in ["confirm", "refund", "cancel"] {
        let path = format!("/v1/top-ups/top_none/{what}");
        refuse(&mut client, "POST", &path, &[(404, "unknown_top_up", "-", json!({}))]);
    }
    let invoice = client.get(&path).expect_status(200)["invoice"].as_str().expect("an invoice").to_owned();
    let keys = ["", "idk:mine"].map(|key| (400, "invalid_field", "key", json!({ "key": key })));
    refuse(&mut client, "POST", &format!("/v1/invoices/{invoice}/pay"), &keys);
    let form = client.post_as("application/x-www-form-urlencoded", &format!("{path}/confirm"), "amount=1");
    form.expect_problem(415, "unsupported_media_type");
    assert_eq!(client.get(&path).expect_status(200)["received"], "19.99", "what was refused changed nothing");
}

#[test]
fn bad_methods_rules_and_charges_name_the_field() {
    let server = set_up();
    let mut client = server.client();
    let card = |more: Value| {
        let mut body = json!({"id": "pm_1", "provider": "stripe", "reference": "pm_x"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let methods = "/v1/customers/cus/payment-methods";
    refuse(
        &mut client,
        "POST",
        methods,
        &[
            (400, "malformed_body", "-", json!(7)),
            // Without a reference somebody has to collect one.
            (400, "invalid_field", "provider", json!({})),
            (400, "invalid_field", "return_url", json!({"return_url": "ftp://x"})),
            (400, "invalid_field", "provider", card(json!({"provider": null}))),
            (422, "invalid_id", "id", card(json!({"id": ""}))),
            (422, "invalid_value", "provider", card(json!({"provider": "p".repeat(65)}))),
            (422, "invalid_value", "reference", card(json!({"reference": ""}))),
            (422, "invalid_value", "brand", card(json!({"brand": "b".repeat(33)}))),
            (422, "invalid_value", "last4", card(json!({"last4": "424"}))),
            (400, "invalid_field", "expires", card(json!({"expires": "12/35"}))),
            (400, "invalid_field", "expires.year", card(json!({"expires": {"month": 1}}))),
            (400, "invalid_field", "expires.month", card(json!({"expires": {"year": 2035, "month": 0}}))),
            (400, "invalid_field", "default", card(json!({"default": 1}))),
        ],
    );
    assert_eq!(client.get(methods).expect_status(200)["data"], json!([]));
    refuse(&mut client, "POST", &format!("{methods}/none/default"), &[(404, "unknown_payment_method", "-", json!({}))]);

    let rule = |more: Value| {
        let mut body = json!({"threshold": "100", "mode": "package", "package": "starter"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let rules = "/v1/customers/cus/auto-topup-rules/credits";
    refuse(
        &mut client,
        "PUT",
        rules,
        &[
            (400, "malformed_body", "-", json!([])),
            (400, "invalid_field", "mode", rule(json!({"mode": null}))),
            (400, "invalid_field", "mode", rule(json!({"mode": "sometimes"}))),
            (400, "invalid_field", "threshold", rule(json!({"threshold": null}))),
            (422, "invalid_amount", "threshold", rule(json!({"threshold": "low"}))),
            (400, "invalid_field", "threshold", rule(json!({"threshold": "0.01"}))),
            (400, "invalid_field", "trigger", rule(json!({"trigger": "above"}))),
            (400, "invalid_field", "package", rule(json!({"package": null}))),
            (422, "invalid_value", "package", rule(json!({"package": "none"}))),
            (422, "invalid_value", "package", rule(json!({"package": "old"}))),
            (400, "invalid_field", "quantity", rule(json!({"quantity": 0}))),
            (400, "invalid_field", "target", rule(json!({"mode": "target"}))),
            (422, "invalid_value", "target", rule(json!({"mode": "target", "target": "50"}))),
            (422, "invalid_value", "package", rule(json!({"mode": "target", "target": "500", "package": null}))),
            (400, "invalid_field", "cooldown_seconds", rule(json!({"cooldown_seconds": -1}))),
            (400, "invalid_field", "limits", rule(json!({"limits": {}}))),
            (400, "invalid_field", "limits.per", rule(json!({"limits": [{"per": "year", "count": 1}]}))),
            (400, "invalid_field", "limits.count", rule(json!({"limits": [{"per": "day", "count": 0}]}))),
            (422, "invalid_value", "limits", rule(json!({"limits": [{"per": "day", "amount": "1"}]}))),
            (422, "invalid_value", "payment_method", rule(json!({"payment_method": "none"}))),
            (400, "invalid_field", "priority", rule(json!({"priority": 101}))),
            (400, "invalid_field", "enabled", rule(json!({"enabled": "no"}))),
        ],
    );
    client.get(rules).expect_problem(404, "unknown_auto_topup_rule");
    refuse(&mut client, "POST", &format!("{rules}/resume"), &[(404, "unknown_auto_topup_rule", "-", json!({}))]);
    refuse(
        &mut client,
        "PUT",
        "/v1/customers/cus/auto-topup-rules/eur",
        &[
            (400, "invalid_field", "amount", json!({"threshold": "100", "mode": "amount"})),
            (422, "invalid_amount", "amount", json!({"threshold": "100", "mode": "amount", "amount": "0"})),
            (400, "invalid_field", "amount", json!({"threshold": "100", "mode": "amount", "amount": "0.001"})),
        ],
    );

    let charge = |more: Value| {
        let mut body = json!({"customer": "cus", "currency": "eur", "amount": "5"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    refuse(
        &mut client,
        "POST",
        "/v1/charges",
        &[
            (400, "malformed_body", "-", json!([])),
            (400, "invalid_field", "customer", charge(json!({"customer": null}))),
            (400, "invalid_field", "amount", charge(json!({"amount": null}))),
            (422, "invalid_amount", "amount", charge(json!({"amount": "x"}))),
            (400, "invalid_field", "invoice", charge(json!({"invoice": 7}))),
            (400, "invalid_field", "key", charge(json!({"key": "idk:mine"}))),
        ],
    );
}

#[test]
fn bad_parameters_of_lists_of_money_are_named() {
    let server = set_up();
    let mut client = server.client();
    for (path, field) in [
        ("/v1/top-ups?limit=0", "limit"),
        ("/v1/credit-packages?limit=1001", "limit"),
        ("/v1/customers/cus/payment-methods?limit=x", "limit"),
        ("/v1/webhook-endpoints?limit=-1", "limit"),
        ("/v1/top-ups?customer=a&customer=b", "customer"),
    ] {
        let problem = client.get(path).expect_problem(400, "invalid_parameter");
        assert_eq!(problem["field"], field, "{path}");
    }
    for (path, slug) in [
        ("/v1/top-ups/none", "unknown_top_up"),
        ("/v1/invoices/none", "unknown_invoice"),
        ("/v1/invoices/inv_01", "unknown_invoice"),
        ("/v1/charges/none", "unknown_charge"),
        ("/v1/credit-packages/none", "unknown_credit_package"),
        ("/v1/credit-currencies/none/recharge-config", "unknown_currency"),
        ("/v1/credit-currencies/none/portal-limits", "unknown_currency"),
        ("/v1/customers/cus/auto-topup-rules/none", "unknown_currency"),
    ] {
        client.get(path).expect_problem(404, slug);
    }
}
