//! Money in over HTTP: packages, top-ups that are confirmed from outside, refunds, invoices and rules.

use super::*;

fn set_up() -> TestServer {
    let server = TestServer::start();
    let mut client = server.client();
    client.put("/v1/credit-currencies/credits", &json!({"scale": 1})).expect_status(200);
    let package =
        json!({"name": "Starter", "credits": "1000", "bonus": "50.5", "price": {"amount": "19.99", "currency": "EUR"}});
    client.put("/v1/credit-packages/starter", &package).expect_status(200);
    server
}

#[test]
fn packages_are_made_changed_listed_and_refused() {
    let server = set_up();
    let mut client = server.client();
    let shown = client.get("/v1/credit-packages/starter").expect_status(200);
    let price = json!({"amount": "19.99", "currency": "EUR"});
    assert_eq!((&shown["price"], &shown["bonus"], &shown["priority"]), (&price, &json!("50.5"), &json!(50)));
    assert_eq!((&shown["valid_for_seconds"], &shown["status"]), (&Value::Null, &json!("active")));
    for (status, slug, field, body) in [
        (400, "invalid_field", "price", json!({"credits": "1"})),
        (
            422,
            "invalid_value",
            "price.amount",
            json!({"credits": "1", "price": {"amount": "0.001", "currency": "EUR"}}),
        ),
        (422, "invalid_value", "price.currency", json!({"credits": "1", "price": {"amount": "1", "currency": "XYZ"}})),
        (422, "invalid_value", "credits", json!({"credits": "0.05", "price": {"amount": "1", "currency": "EUR"}})),
        (
            400,
            "invalid_field",
            "status",
            json!({"credits": "1", "status": "gone", "price": {"amount": "1", "currency": "EUR"}}),
        ),
    ] {
        let problem = client.put("/v1/credit-packages/other", &body).expect_problem(status, slug);
        assert_eq!(problem["field"], field);
    }
    client.get("/v1/credit-packages/other").expect_problem(404, "unknown_credit_package");
    let page = client.get("/v1/credit-packages?limit=1").expect_status(200);
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next_cursor"]), (Some(1), &Value::Null));

    let none = client.get("/v1/credit-currencies/credits/recharge-config").expect_status(200);
    assert_eq!(none["recharge_config"], json!({"package": null, "payment_url": null}));
    let set =
        client.put("/v1/credit-currencies/credits/recharge-config", &json!({"package": "starter"})).expect_status(200);
    assert_eq!((&set["recharge_config"]["package"]["price"], &set["currency_info"]["id"]), (&price, &json!("credits")));
    let problem = client
        .put("/v1/credit-currencies/credits/recharge-config", &json!({"package": "none"}))
        .expect_problem(422, "invalid_value");
    assert_eq!(problem["field"], "package");
    client.get("/v1/credit-currencies/none/recharge-config").expect_problem(404, "unknown_currency");
}

#[test]
fn a_top_up_is_confirmed_in_parts_refunded_and_invoiced() {
    let server = set_up();
    let mut client = server.client();
    let order = json!({"customer": "cus", "package": "starter", "provider": "external", "key": "order-1", "metadata": {"po": "7"}});
    let made = client.post("/v1/top-ups", &order).expect_status(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&made["status"], &made["amount"], &made["credits"]),
        (&json!("created"), &json!("19.99"), &json!("1050.5"))
    );
    assert_eq!(
        (&made["collection"], &made["credited"], &made["key"]),
        (&json!("outside"), &json!("0"), &json!("order-1"))
    );
    let again = client.post("/v1/top-ups", &order).expect_status(201);
    assert_eq!(again["id"], made["id"]);
    let mut other = order.clone();
    other["quantity"] = json!(2);
    client.post("/v1/top-ups", &other).expect_problem(409, "idempotency_conflict");

    let confirm = format!("/v1/top-ups/{id}/confirm");
    let part = client.post(&confirm, &json!({"amount": "9.99", "key": "t1"})).expect_status(200);
    assert_eq!(
        (&part["status"], &part["received"], &part["captured"]),
        (&json!("created"), &json!("9.99"), &Value::Null)
    );
    client.get("/v1/wallets/cus/credits").expect_problem(404, "unknown_wallet");
    client.send("POST", &format!("/v1/top-ups/{id}/cancel"), &[], b"").expect_problem(409, "top_up_partly_paid");
    let paid = client.send("POST", &confirm, &[], b"").expect_status(200);
    assert_eq!(
        (&paid["status"], &paid["captured"], &paid["credited"]),
        (&json!("completed"), &json!("19.99"), &json!("1050.5"))
    );
    assert_eq!(client.balance("cus"), "1050.5");
    let grant = client.get(&format!("/v1/grants/{}", paid["grant"].as_str().expect("a grant"))).expect_status(200);
    assert_eq!(
        (&grant["source"], &grant["payment"], &grant["metadata"]["po"]),
        (&json!("package"), &json!(id), &json!("7"))
    );
    let repeat = client.send("POST", &confirm, &[], b"").expect_status(200);
    assert_eq!((repeat, client.balance("cus")), (paid.clone(), "1050.5".to_owned()), "the same payment");

    let refund = format!("/v1/top-ups/{id}/refund");
    let part = client.post(&refund, &json!({"amount": "5.00", "key": "r1"})).expect_status(200);
    assert_eq!((&part["status"], &part["refunded"]), (&json!("partially_refunded"), &json!("5.00")));
    assert_eq!(part["clawed_back"], "262.7", "5.00 of 19.99, rounded down");
    assert_eq!(client.balance("cus"), "787.8");
    let problem =
        client.post(&refund, &json!({"amount": "15", "key": "r2"})).expect_problem(409, "refund_exceeds_payment");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.starts_with("14.99 EUR")), "{problem}");
    let all = client.send("POST", &refund, &[], b"").expect_status(200);
    assert_eq!((&all["status"], client.balance("cus").as_str()), (&json!("refunded"), "0"));

    let entries = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let show = |one: &Value| (one["type"].clone(), one["amount"].clone());
    let shown: Vec<_> = entries["data"].as_array().expect("entries").iter().map(show).collect();
    let adjustment = |amount| (json!("adjustment"), json!(amount));
    assert_eq!(shown, [adjustment("-787.8"), adjustment("-262.7"), (json!("grant"), json!("1050.5"))]);
    let statement = client
        .get("/v1/wallets/cus/credits/statement?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z")
        .expect_status(200);
    assert_eq!((&statement["closing"], &statement["totals"]["adjusted"]), (&json!("0"), &json!("-1050.5")));
    assert_eq!(statement["totals"]["used"], "0");

    let invoice =
        client.get(&format!("/v1/invoices/{}", all["invoice"].as_str().expect("an invoice"))).expect_status(200);
    assert_eq!(
        (&invoice["number"], &invoice["status"], &invoice["total"]),
        (&json!(1), &json!("refunded"), &json!("19.99"))
    );
    assert_eq!(invoice["lines"], json!([{"description": "Starter", "quantity": 1, "unit_price": "19.99"}]));
    assert_eq!(invoice["refund_notes"].as_array().map(Vec::len), Some(2));
    client.get("/v1/invoices/inv_2").expect_problem(404, "unknown_invoice");
    client.get("/v1/invoices/2").expect_problem(404, "unknown_invoice");

    let list = client.get("/v1/top-ups?customer=cus").expect_status(200);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(client.get("/v1/top-ups?customer=nobody").expect_status(200)["data"], json!([]));
    let feed =
        client.get("/v1/feed?types=top_up.created,top_up.completed,top_up.refunded,invoice.paid").expect_status(200);
    let told: Vec<_> =
        feed["data"].as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(told, ["top_up.created", "top_up.completed", "invoice.paid", "top_up.refunded", "top_up.refunded"]);
}

#[test]
fn amounts_deposits_and_invoices_follow_the_currency_and_the_customer() {
    let server = set_up();
    let mut client = server.client();
    client.put("/v1/credit-currencies/eur", &json!({"scale": 0, "kind": "fiat", "iso_code": "EUR"})).expect_status(200);
    let bought = json!({"customer": "cus", "currency": "eur", "amount": "12.50", "provider": "external"});
    let made = client.post("/v1/top-ups", &bought).expect_status(201);
    assert_eq!((&made["credits"], &made["amount_currency"]), (&json!("1250"), &json!("EUR")), "a credit is a cent");
    let apart = json!({"customer": "cus", "currency": "credits", "amount": "5", "amount_currency": "EUR", "credits": "700", "provider": "external"});
    let made = client.post("/v1/top-ups", &apart).expect_status(201);
    assert_eq!((&made["amount"], &made["credits"]), (&json!("5.00"), &json!("700")));
    let deposit = json!({"customer": "cus", "currency": "eur", "kind": "deposit", "address": "DE00", "return_url": "https://app.example"});
    let made = client.post("/v1/top-ups", &deposit).expect_status(201);
    assert_eq!((&made["amount"], &made["credits"], &made["address"]), (&Value::Null, &Value::Null, &json!("DE00")));
    let confirm = format!("/v1/top-ups/{}/confirm", made["id"].as_str().expect("an id"));
    let problem = client.send("POST", &confirm, &[], b"").expect_problem(400, "invalid_field");
    assert_eq!(problem["field"], "amount");
    client.post(&confirm, &json!({"amount": "3.21"})).expect_status(200);
    assert_eq!(client.get("/v1/wallets/cus/eur").expect_status(200)["balance"], "321");

    client.put("/v1/customers/firm", &json!({"collection_method": "send_invoice"})).expect_status(200);
    let on_credit = json!({"customer": "firm", "currency": "credits", "package": "starter", "credits_at_once": true});
    let made = client.post("/v1/top-ups", &on_credit).expect_status(201);
    assert_eq!(
        (&made["collection"], &made["credited"], &made["expires_at"]),
        (&json!("invoice"), &json!("1050.5"), &Value::Null)
    );
    let invoice = format!("/v1/invoices/{}", made["invoice"].as_str().expect("an invoice"));
    assert_eq!(client.get(&invoice).expect_status(200)["status"], "open");
    let cancel = format!("/v1/top-ups/{}/cancel", made["id"].as_str().expect("an id"));
    assert_eq!(client.send("POST", &cancel, &[], b"").expect_status(200)["status"], "canceled");
    assert_eq!(client.send("POST", &cancel, &[], b"").expect_status(200)["clawed_back"], "1050.5");
    assert_eq!(client.get(&invoice).expect_status(200)["status"], "void");

    for (is_readable, field, body) in [
        (true, "provider", json!({"customer": "cus", "package": "starter", "currency": "credits"})),
        (
            true,
            "provider",
            json!({"customer": "cus", "package": "starter", "currency": "credits", "provider": "stripe"}),
        ),
        (
            true,
            "payment_method",
            json!({"customer": "cus", "package": "starter", "currency": "credits", "payment_method": "pm"}),
        ),
        (true, "package", json!({"customer": "cus", "package": "none", "currency": "credits", "provider": "external"})),
        (
            false,
            "amount_currency",
            json!({"customer": "cus", "amount": "5", "currency": "credits", "provider": "external"}),
        ),
        (
            true,
            "amount_currency",
            json!({"customer": "cus", "amount": "5", "amount_currency": "USD", "currency": "eur", "provider": "external"}),
        ),
        (false, "kind", json!({"customer": "cus", "kind": "auto", "package": "starter", "currency": "credits"})),
    ] {
        let (status, slug) = if is_readable { (422, "invalid_value") } else { (400, "invalid_field") };
        let problem = client.post("/v1/top-ups", &body).expect_problem(status, slug);
        assert_eq!(problem["field"], field, "{body}");
    }
    client.get("/v1/top-ups/top_x").expect_problem(404, "unknown_top_up");
    client.send("POST", "/v1/top-ups/top_x/confirm", &[], b"").expect_problem(404, "unknown_top_up");
}

#[test]
fn rules_are_set_shown_and_taken_away() {
    let server = set_up();
    let mut client = server.client();
    let path = "/v1/customers/cus/auto-topup-rules/credits";
    client.get(path).expect_problem(404, "unknown_auto_topup_rule");
    let rule = json!({
        "threshold": "100", "mode": "package", "package": "starter", "quantity": 2, "cooldown_seconds": 60,
        "limits": [{"per": "day", "count": 3}, {"per": "month", "amount": "500"}],
    });
    let set = client.put(path, &rule).expect_status(200);
    assert_eq!((&set["status"], &set["trigger"], &set["quantity"]), (&json!("armed"), &json!("below"), &json!(2)));
    let limits =
        json!([{"per": "day", "count": 3, "amount": null}, {"per": "month", "count": null, "amount": "500.00"}]);
    assert_eq!(set["limits"], limits);
    assert_eq!(client.get(path).expect_status(200), set);
    for (status, slug, field, change) in [
        (422, "invalid_value", "limits", json!([{"per": "day", "amount": "39.97"}])),
        (422, "invalid_value", "limits", json!([{"per": "day"}])),
        (400, "invalid_field", "limits.per", json!([{"count": 1}])),
    ] {
        let mut changed = rule.clone();
        changed["limits"] = change;
        let problem = client.put(path, &changed).expect_problem(status, slug);
        assert_eq!(problem["field"], field);
    }
    let low = json!({"threshold": "100", "mode": "target", "target": "99.9", "package": "starter"});
    assert_eq!(client.put(path, &low).expect_problem(422, "invalid_value")["field"], "target");
    let amount = json!({"threshold": "100", "mode": "amount", "amount": "5"});
    assert_eq!(client.put(path, &amount).expect_problem(400, "invalid_field")["field"], "amount");
    client.put("/v1/customers/cus/auto-topup-rules/none", &rule).expect_problem(404, "unknown_currency");
    let disabled = json!({"threshold": "100", "mode": "package", "package": "starter", "enabled": false});
    assert_eq!(client.put(path, &disabled).expect_status(200)["status"], "disabled");
    client.send("DELETE", path, &[], b"").expect_status(200);
    client.send("DELETE", path, &[], b"").expect_status(200);
    client.get(path).expect_problem(404, "unknown_auto_topup_rule");
}

#[test]
fn payment_methods_are_kept_by_reference_and_charged_by_nobody_who_is_not_connected() {
    let server = set_up();
    let mut client = server.client();
    let path = "/v1/customers/cus/payment-methods";
    let card = json!({
        "id": "pm_1", "provider": "stripe", "reference": "pm_x", "brand": "visa", "last4": "4242",
        "expires": {"year": 2099, "month": 12}, "fingerprint": "fp1",
    });
    let added = client.post(path, &card).expect_status(201);
    assert_eq!(
        (&added["default"], &added["status"], &added["last4"]),
        (&json!(true), &json!("active"), &json!("4242"))
    );
    assert!(added.get("fingerprint").is_none(), "what tells cards apart is nobody's business");
    assert_eq!(client.post(path, &card).expect_status(201), added, "the same again");
    let mut other = card.clone();
    other["reference"] = json!("pm_y");
    client.post(path, &other).expect_problem(409, "idempotency_conflict");
    other["id"] = json!("pm_2");
    other["expires"] = json!({"year": 2020, "month": 1});
    let second = client.post(path, &other).expect_status(201);
    assert_eq!((&second["default"], &second["status"]), (&json!(false), &json!("expired")));
    client.send("POST", &format!("{path}/pm_2/default"), &[], b"").expect_status(200);
    let list = client.get(path).expect_status(200);
    let defaults: Vec<_> = list["data"].as_array().expect("methods").iter().map(|one| one["default"].clone()).collect();
    assert_eq!(defaults, [json!(false), json!(true)]);
    client.send("DELETE", &format!("{path}/pm_2"), &[], b"").expect_status(200);
    let gone = client.send("DELETE", &format!("{path}/pm_2"), &[], b"").expect_status(200);
    assert_eq!((&gone["status"], &gone["default"]), (&json!("detached"), &json!(false)));
    client.send("POST", &format!("{path}/pm_2/default"), &[], b"").expect_problem(409, "payment_method_detached");
    client.send("DELETE", &format!("{path}/pm_3"), &[], b"").expect_problem(404, "unknown_payment_method");
    client
        .send("DELETE", "/v1/customers/other/payment-methods/pm_1", &[], b"")
        .expect_problem(404, "unknown_payment_method");
    for (status, slug, field, change) in [
        (422, "invalid_value", "last4", json!("42a2")),
        (400, "invalid_field", "expires.month", json!({"year": 2030, "month": 13})),
        (400, "invalid_field", "reference", Value::Null),
    ] {
        let mut changed = card.clone();
        changed["id"] = json!("pm_9");
        changed[field.split('.').next().expect("a field")] = change;
        assert_eq!(client.post(path, &changed).expect_problem(status, slug)["field"], field);
    }
    let unnamed = json!({"provider": "stripe", "reference": "pm_z"});
    let made = client.post(path, &unnamed).expect_status(201);
    assert!(made["id"].as_str().is_some_and(|id| id.starts_with("pm_") && id.len() == 19), "{made}");

    // Nobody speaks with the provider: nothing is charged, and a rule says why.
    let buy = json!({"customer": "cus", "package": "starter", "currency": "credits", "payment_method": "pm_1"});
    assert_eq!(client.post("/v1/top-ups", &buy).expect_problem(422, "invalid_value")["field"], "provider");
    let grant = json!({"customer": "cus", "currency": "credits", "amount": "5"});
    client.post("/v1/grants", &grant).expect_status(201);
    let rule = json!({"threshold": "100", "mode": "package", "package": "starter", "payment_method": "pm_1"});
    let set = client.put("/v1/customers/cus/auto-topup-rules/credits", &rule).expect_status(200);
    assert_eq!((&set["status"], &set["in_flight"]), (&json!("armed"), &Value::Null));
    let feed = client.get("/v1/feed?types=auto_top_up.skipped").expect_status(200);
    assert_eq!(feed["data"][0]["data"]["reason"], "no_payment_method", "{feed}");
    assert_eq!(client.get("/v1/top-ups").expect_status(200)["data"], json!([]));
}

#[test]
fn balances_are_told_by_what_was_bought() {
    let server = set_up();
    let mut client = server.client();
    client.put("/v1/credit-currencies/eur", &json!({"scale": 0, "kind": "fiat", "iso_code": "EUR"})).expect_status(200);
    let other = json!({"currency": "credits", "credits": "10", "price": {"amount": "1", "currency": "EUR"}});
    client.put("/v1/credit-packages/small", &other).expect_status(200);
    let mut buy = |customer: &str, currency: &str, what: &Value| {
        let mut order = json!({"customer": customer, "currency": currency, "provider": "external"});
        order.as_object_mut().expect("fields").extend(what.as_object().expect("fields").clone());
        let made = client.post("/v1/top-ups", &order).expect_status(201);
        let confirm = format!("/v1/top-ups/{}/confirm", made["id"].as_str().expect("an id"));
        client.send("POST", &confirm, &[], b"").expect_status(200);
    };
    buy("ada", "credits", &json!({"package": "starter"}));
    buy("ada", "credits", &json!({"package": "starter"}));
    buy("ada", "credits", &json!({"package": "small"}));
    buy("bob", "credits", &json!({"package": "starter"}));
    buy("bob", "eur", &json!({"amount": "2.50"}));
    let usage = json!({"id": "e", "customer": "ada", "currency": "credits", "amount": "1100.5"});
    client.post("/v1/events", &usage).expect_status(200);
    let hold = json!({"customer": "bob", "currency": "credits", "amount": "50.5"});
    client.post("/v1/holds", &hold).expect_status(201);
    let mut check = |query: &str, expected: &[(&str, u64, &str, &str)]| {
        let data = client.get(&format!("/v1/balances{query}")).expect_status(200)["data"].clone();
        let line = |one: &Value| {
            (one["currency"].clone(), one["wallets"].clone(), one["balance"].clone(), one["held"].clone())
        };
        let told: Vec<_> = data.as_array().expect("sums").iter().map(line).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(currency, wallets, balance, held)| (json!(currency), json!(wallets), json!(balance), json!(held)))
            .collect();
        assert_eq!(told, expected, "{query}");
    };
    // The first package is spent, and 50 of the second.
    check("?product=starter&customer=ada", &[("credits", 1, "1000.5", "0")]);
    check("?product=starter", &[("credits", 2, "2051", "50.5")]);
    check("?product=small", &[("credits", 1, "10", "0")]);
    check("?product=none", &[]);
    check("?product=starter&currency=eur", &[]);
    check("?customer=ada", &[("credits", 1, "1010.5", "0")]);
    check("?currency=eur", &[("eur", 1, "250", "0")]);
    check("", &[("credits", 2, "2061", "50.5"), ("eur", 1, "250", "0")]);
}
