//! Transfers, and groups of events.

use super::*;

fn transfer(client: &mut Client, from: &str, to: &str, amount: &str, more: &Value) -> Answer {
    let mut body = json!({"from": {"customer": from}, "to": {"customer": to}, "currency": "credits", "amount": amount});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    client.post("/v1/transfers", &body)
}

fn newest(client: &mut Client, customer: &str) -> Value {
    client.get(&format!("/v1/wallets/{customer}/credits/entries")).expect_status(200)["data"][0].clone()
}

#[test]
fn credits_move_with_their_terms_and_both_histories_name_the_transfer() {
    let server = TestServer::funded();
    let mut client = server.client();
    let grant = json!({"customer": "cus", "currency": "credits", "amount": "30", "priority": 7, "category": "paid",
        "source": "package", "expires_at": "2100-01-01T00:00:00Z", "cost_basis": {"amount": 1000, "currency": "EUR"},
        "metadata": {"order": "o-1"}});
    client.post("/v1/grants", &grant).expect_status(201);
    let answer = transfer(&mut client, "cus", "bob", "20", &json!({"reason": "a gift", "key": "trf-1"}));
    let made = answer.expect_status(201);
    assert_eq!(
        (&made["amount"], &made["from"]["balance"], &made["to"]["balance"]),
        (&json!("20"), &json!("110"), &json!("20"))
    );
    assert_eq!((&made["moved"][0]["amount"], &made["moved"][0]["cost"]), (&json!("20"), &json!(666)));
    let arrived = made["moved"][0]["to"].as_str().expect("a grant").to_owned();
    let shown = client.get(&format!("/v1/grants/{arrived}")).expect_status(200);
    for (field, expected) in [
        ("customer", json!("bob")),
        ("amount", json!("20")),
        ("priority", json!(7)),
        ("category", json!("paid")),
        ("source", json!("package")),
        ("cost_basis", json!({"amount": 666, "currency": "EUR"})),
        ("metadata", json!({"order": "o-1"})),
        ("parent", made["moved"][0]["from"].clone()),
    ] {
        assert_eq!(shown[field], expected, "{field} of {shown}");
    }
    // The rest of it costs the rest.
    let rest = transfer(&mut client, "cus", "bob", "10", &json!({})).expect_status(201);
    assert_eq!(rest["moved"][0]["cost"], 334);
    let again = transfer(&mut client, "cus", "bob", "20", &json!({"reason": "a gift", "key": "trf-1"}));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect_status(201), made);
    transfer(&mut client, "cus", "bob", "21", &json!({"reason": "a gift", "key": "trf-1"}))
        .expect_problem(409, "idempotency_conflict");
    let path = answer.header("location").expect("a location").to_owned();
    assert_eq!(client.get(&path).expect_status(200), made);
    let (out, into) = (newest(&mut client, "cus"), newest(&mut client, "bob"));
    assert_eq!((&out["type"], &out["amount"]), (&json!("transfer_out"), &json!("-10")));
    assert_eq!((&into["type"], &into["amount"]), (&json!("transfer_in"), &json!("10")));
    assert_eq!(out["transfer"], json!({"id": rest["id"], "customer": "bob", "entry": into["entry"]}));
    assert_eq!(into["transfer"], json!({"id": rest["id"], "customer": "cus", "entry": out["entry"]}));
    let feed = client.get("/v1/feed?types=transfer.sent,transfer.received").expect_status(200);
    let told: Vec<_> = feed["data"].as_array().expect("events").iter().map(|event| &event["data"]["id"]).collect();
    assert_eq!(told, [&made["id"], &made["id"], &rest["id"], &rest["id"]]);
    let statement = client
        .get("/v1/wallets/bob/credits/statement?from=2020-01-01T00:00:00Z&to=2090-01-01T00:00:00Z")
        .expect_status(200);
    assert_eq!(statement["lines"][0]["type"], "transferred_in", "{statement}");
    let replayed_header = |client: &mut Client| {
        let body =
            json!({"from": {"customer": "cus"}, "to": {"customer": "bob"}, "currency": "credits", "amount": "1"});
        let headers = [("content-type", "application/json"), ("idempotency-key", "t-7")];
        client.send("POST", "/v1/transfers", &headers, body.to_string().as_bytes())
    };
    let first = replayed_header(&mut client).expect_status(201);
    let second = replayed_header(&mut client);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(second.expect_status(201), first);
    assert_eq!((client.balance("cus"), client.balance("bob")), ("99".to_owned(), "31".to_owned()));
}

#[test]
fn what_cannot_move_is_refused_and_nothing_changes() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.patch("/v1/wallets/cus/credits", &json!({"floor": "-50"})).expect_status(200);
    client
        .post("/v1/holds", &json!({"customer": "cus", "currency": "credits", "amount": "40", "ttl_seconds": 600}))
        .expect_status(201);
    // Neither what is held nor the allowance.
    transfer(&mut client, "cus", "bob", "60.01", &json!({})).expect_problem(402, "insufficient_credit");
    client.get("/v1/wallets/bob/credits").expect_problem(404, "unknown_wallet");
    for (field, status, slug, body) in [
        ("to", 422, "invalid_value", json!({"to": {"customer": "cus"}})),
        ("amount", 422, "invalid_amount", json!({"amount": "0"})),
        ("amount", 422, "invalid_amount", json!({"amount": "0.001"})),
        ("from", 400, "invalid_field", json!({"from": null})),
        ("to.customer", 400, "invalid_field", json!({"to": {}})),
        ("currency", 422, "unknown_currency", json!({"currency": "gold"})),
    ] {
        let problem = transfer(&mut client, "cus", "bob", "1", &body).expect_problem(status, slug);
        assert_eq!(problem["field"], field, "{body}");
    }
    transfer(&mut client, "nobody", "bob", "1", &json!({})).expect_problem(404, "unknown_wallet");
    client.patch("/v1/wallets/cus/credits", &json!({"status": "frozen"})).expect_status(200);
    transfer(&mut client, "cus", "bob", "1", &json!({})).expect_problem(422, "wallet_frozen");
    client.patch("/v1/wallets/cus/credits", &json!({"status": "active"})).expect_status(200);
    transfer(&mut client, "cus", "bob", "59", &json!({})).expect_status(201);
    client.patch("/v1/wallets/bob/credits", &json!({"status": "closed"})).expect_status(200);
    transfer(&mut client, "cus", "bob", "1", &json!({})).expect_problem(422, "wallet_closed");
    for nothing in ["trf_nothing", "trf_00000000000000000000"] {
        client.get(&format!("/v1/transfers/{nothing}")).expect_problem(404, "unknown_transfer");
    }
    assert_eq!(client.balance("cus"), "41");
}

fn event(id: &str, customer: &str, amount: &str) -> Value {
    json!({"id": id, "customer": customer, "currency": "credits", "amount": amount})
}

#[test]
fn a_group_of_events_is_applied_wholly_or_not_at_all() {
    let server = TestServer::funded();
    let mut client = server.client();
    transfer(&mut client, "cus", "bob", "20", &json!({})).expect_status(201);
    let group = |events: &[Value]| json!({"atomic": true, "events": events});
    let first = [event("g-1", "cus", "30"), event("g-2", "bob", "5"), event("g-3", "cus", "10")];
    let made = client.post("/v1/events", &group(&first)).expect_status(200);
    assert_eq!((&made["applied"], &made["rejected"]), (&json!(3), &json!(0)));
    let balances: Vec<_> = made["results"].as_array().expect("results").iter().map(|r| r["balance"].clone()).collect();
    assert_eq!(balances, ["50", "15", "40"]);
    let again = client.post("/v1/events", &group(&first)).expect_status(200);
    assert_eq!((&again["duplicate"], &again["results"][2]["balance"]), (&json!(3), &json!("40")));
    assert_eq!(again["results"][0]["entry"], made["results"][0]["entry"]);
    // One that cannot pay: nobody is debited.
    let second = [event("g-4", "cus", "1"), event("g-5", "bob", "15.01"), event("g-6", "nobody", "1")];
    let problem = client.post("/v1/events", &group(&second)).expect_problem(402, "insufficient_credit");
    assert_eq!(problem["index"], 1);
    let reasons: Vec<_> = problem["rejected"].as_array().expect("all").iter().map(|r| r["reason"].clone()).collect();
    assert_eq!(reasons, ["group_rejected", "insufficient_credit", "unknown_wallet"]);
    assert_eq!((client.balance("cus"), client.balance("bob")), ("40".to_owned(), "15".to_owned()));
    // What was refused left no identity; what was applied did.
    client.post("/v1/events", &event("g-4", "cus", "1")).expect_status(200);
    client
        .post("/v1/events", &group(&[event("g-4", "cus", "1"), event("g-7", "cus", "1")]))
        .expect_problem(409, "group_partly_known");
    let problem = client
        .post("/v1/events", &group(&[event("g-8", "cus", "1"), event("g-4", "cus", "2")]))
        .expect_problem(409, "id_conflict");
    assert_eq!(problem["index"], 1);
    client
        .post("/v1/events", &group(&[event("g-8", "cus", "1"), event("g-8", "cus", "1")]))
        .expect_problem(409, "duplicate_in_group");
    let many: Vec<_> = (0..65).map(|number| event(&format!("m-{number}"), "cus", "0.1")).collect();
    client.post("/v1/events", &group(&many)).expect_problem(409, "group_too_large");
    let most = client.post("/v1/events", &group(&many[..64])).expect_status(200);
    assert_eq!((&most["applied"], client.balance("cus")), (&json!(64), "32.6".to_owned()));
    assert_eq!(client.post("/v1/events", &group(&[])).expect_status(200)["applied"], 0);
    // Without it each stands on its own.
    let apart = json!({"events": [event("g-9", "cus", "1"), event("g-10", "bob", "99")]});
    let apart = client.post("/v1/events", &apart).expect_status(200);
    assert_eq!((&apart["applied"], &apart["rejected"]), (&json!(1), &json!(1)));
    let fault = client.post("/v1/events", &json!({"atomic": 1, "events": []})).expect_problem(400, "invalid_field");
    assert_eq!(fault["field"], "atomic");
    client.post("/v1/events", &json!({"atomic": true})).expect_problem(400, "invalid_field");
    // A debit of a group is taken back like any other.
    let entry = made["results"][2]["entry"].as_u64().expect("an entry");
    let back = client.post(&format!("/v1/entries/{entry}/reverse"), &json!({})).expect_status(201);
    assert_eq!((&back["amount"], client.balance("cus")), (&json!("10"), "41.6".to_owned()));
}
