//! Corrections: debits taken back, adjustments, charges.

use super::*;

/// Debits the wallet of `cus`; the entry.
fn debit(client: &mut Client, id: &str, amount: &str) -> u64 {
    let event =
        json!({"id": id, "customer": "cus", "currency": "credits", "amount": amount, "on_insufficient": "overdraft"});
    let answer = client.post("/v1/events", &event).expect_status(200);
    answer["results"][0]["entry"].as_u64().expect("an entry")
}

fn reverse_path(entry: u64) -> String {
    format!("/v1/entries/{entry}/reverse")
}

#[test]
fn a_debit_is_taken_back_in_parts_and_never_twice() {
    let server = TestServer::funded();
    let mut client = server.client();
    let entry = debit(&mut client, "e-1", "30");
    let answer = client.post(&reverse_path(entry), &json!({"amount": "12.5", "reason": "wrong meter"}));
    let reversal = answer.expect_status(201);
    assert_eq!((&reversal["debit"], &reversal["amount"]), (&json!(entry), &json!("12.5")));
    assert_eq!((&reversal["reversed"], &reversal["reversible"]), (&json!("12.5"), &json!("17.5")));
    assert_eq!((&reversal["balance"], &reversal["forfeited"]), (&json!("82.5"), &json!("0")));
    assert_eq!(reversal["returned"][0]["amount"], "12.5");
    let problem = client.post(&reverse_path(entry), &json!({"amount": "17.51"}));
    problem.expect_problem(409, "already_reversed");
    // Without a body: all that is left.
    let rest = client.send("POST", &reverse_path(entry), &[], b"").expect_status(201);
    assert_eq!((&rest["amount"], &rest["reversible"]), (&json!("17.5"), &json!("0")));
    client.post(&reverse_path(entry), &json!({})).expect_problem(409, "already_reversed");
    assert_eq!(client.balance("cus"), "100");
    let history = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let newest = &history["data"][0];
    assert_eq!((&newest["type"], &newest["reverses"]), (&json!("reversal"), &json!(entry)));
    assert_eq!((&newest["amount"], &newest["balance_after"]), (&json!("17.5"), &json!("100")));
    assert_eq!(history["data"][1]["reason"], "wrong meter");
    let feed = client.get("/v1/feed?types=debit.reversed").expect_status(200);
    assert_eq!(feed["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(feed["data"][0]["data"]["debit"], entry.to_string());
}

#[test]
fn a_reversal_opens_depleted_grants_lowers_debt_and_grants_anew_what_was_voided() {
    let server = TestServer::funded();
    let mut client = server.client();
    let entry = debit(&mut client, "e-1", "130");
    assert_eq!(client.balance("cus"), "-30");
    let part = client.post(&reverse_path(entry), &json!({"amount": "50"})).expect_status(201);
    assert_eq!((&part["debt"], &part["returned"][0]["amount"]), (&json!("30"), &json!("20")));
    let grant = part["returned"][0]["grant"].as_str().expect("a grant").to_owned();
    let shown = client.get(&format!("/v1/grants/{grant}")).expect_status(200);
    assert_eq!(
        (&shown["status"], &shown["remaining"], &shown["amount"]),
        (&json!("active"), &json!("20"), &json!("100"))
    );
    client.send("POST", &format!("/v1/grants/{grant}/void"), &[], b"").expect_status(200);
    let lost = client.post(&reverse_path(entry), &json!({"amount": "10"})).expect_status(201);
    assert_eq!((&lost["forfeited"], &lost["regrant"], &lost["balance"]), (&json!("10"), &Value::Null, &json!("0")));
    let anew = client.post(&reverse_path(entry), &json!({"expired": "regrant"})).expect_status(201);
    assert_eq!((&anew["forfeited"], &anew["balance"]), (&json!("70"), &json!("70")));
    let regrant = anew["regrant"].as_str().expect("a grant");
    let shown = client.get(&format!("/v1/grants/{regrant}")).expect_status(200);
    assert_eq!((&shown["source"], &shown["category"]), (&json!("adjustment"), &json!("promotional")));
    assert_eq!(shown["remaining"], "70");
}

#[test]
fn only_debits_can_be_taken_back() {
    let server = TestServer::funded();
    let mut client = server.client();
    let history = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let grant = history["data"][0]["entry"].as_u64().expect("an entry");
    client.post(&reverse_path(grant), &json!({})).expect_problem(409, "not_reversible");
    for nothing in ["7", "99999999999", "abc", "18446744073709551616"] {
        client.post(&format!("/v1/entries/{nothing}/reverse"), &json!({})).expect_problem(404, "unknown_entry");
    }
    let entry = debit(&mut client, "e-1", "3");
    let problem = client.post(&reverse_path(entry), &json!({"amount": "0"})).expect_problem(422, "invalid_amount");
    assert_eq!(problem["field"], "amount");
    let problem = client.post(&reverse_path(entry), &json!({"expired": "keep"})).expect_problem(400, "invalid_field");
    assert_eq!(problem["field"], "expired");
    client.post_as("text/plain", &reverse_path(entry), "{}").expect_problem(415, "unsupported_media_type");
    let charge = client
        .post("/v1/charges", &json!({"customer": "cus", "currency": "credits", "amount": "5"}))
        .expect_status(201);
    let entry = charge["entry"].as_u64().expect("an entry");
    assert_eq!(client.post(&reverse_path(entry), &json!({})).expect_status(201)["amount"], "5");
}

#[test]
fn the_same_key_takes_back_once() {
    let server = TestServer::funded();
    let mut client = server.client();
    let entry = debit(&mut client, "e-1", "30");
    let keyed = |client: &mut Client, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "rev-7")];
        client.send("POST", &reverse_path(entry), &headers, body.to_string().as_bytes())
    };
    let first = keyed(&mut client, &json!({"amount": "10"}));
    let again = keyed(&mut client, &json!({"amount": "10"}));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    assert_eq!(first.expect_status(201), again.expect_status(201));
    keyed(&mut client, &json!({"amount": "11"})).expect_problem(409, "idempotency_conflict");
    keyed(&mut client, &json!({})).expect_problem(409, "idempotency_conflict");
    keyed(&mut client, &json!({"amount": "10", "key": "mine"})).expect_problem(409, "idempotency_conflict");
    assert_eq!(client.balance("cus"), "80");
    // A key of the reversal's own goes beside the header, and holds under any header and under none.
    let own = json!({"amount": "4", "key": "mine"});
    let under = |client: &mut Client, key: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        client.send("POST", &reverse_path(entry), &headers, own.to_string().as_bytes())
    };
    let first = under(&mut client, "rev-8").expect_status(201);
    assert_eq!(first["key"], "mine");
    for again in [under(&mut client, "rev-9"), client.post(&reverse_path(entry), &own)] {
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.expect_status(201), first);
    }
    assert_eq!(client.balance("cus"), "84");
}

#[test]
fn credits_are_given_and_taken_with_a_reason() {
    let server = TestServer::funded();
    let mut client = server.client();
    let adjust = |client: &mut Client, amount: &str, more: Value| {
        let mut body = json!({"customer": "cus", "currency": "credits", "amount": amount, "reason": "goodwill"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        client.post("/v1/adjustments", &body)
    };
    let given = adjust(&mut client, "7.25", json!({"metadata": {"ticket": "42"}, "key": "adj-1"})).expect_status(201);
    assert_eq!((&given["amount"], &given["balance"]), (&json!("7.25"), &json!("107.25")));
    assert_eq!((&given["reason"], &given["metadata"]), (&json!("goodwill"), &json!({"ticket": "42"})));
    let grant = given["grant"].as_str().expect("a grant");
    assert_eq!(client.get(&format!("/v1/grants/{grant}")).expect_status(200)["source"], "adjustment");
    let again = adjust(&mut client, "7.25", json!({"metadata": {"ticket": "42"}, "key": "adj-1"}));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect_status(201), given);
    adjust(&mut client, "-7.25", json!({"key": "adj-1"})).expect_problem(409, "idempotency_conflict");
    let taken = adjust(&mut client, "-10", json!({})).expect_status(201);
    assert_eq!((&taken["amount"], &taken["grant"]), (&json!("-10"), &Value::Null));
    adjust(&mut client, "-100", json!({})).expect_problem(402, "insufficient_credit");
    let part = adjust(&mut client, "-100", json!({"on_insufficient": "partial"})).expect_status(201);
    assert_eq!((&part["amount"], &part["shortfall"]), (&json!("-97.25"), &json!("2.75")));
    let debt = adjust(&mut client, "-4", json!({"on_insufficient": "overdraft"})).expect_status(201);
    assert_eq!(debt["balance"], "-4");
    adjust(&mut client, "0", json!({})).expect_problem(422, "invalid_amount");
    adjust(&mut client, "0.001", json!({})).expect_problem(422, "invalid_amount");
    adjust(&mut client, "1", json!({"currency": "gold"})).expect_problem(422, "unknown_currency");
    adjust(&mut client, "-1", json!({"customer": "nobody"})).expect_problem(404, "unknown_wallet");
    let problem = client
        .post("/v1/adjustments", &json!({"customer": "cus", "currency": "credits", "amount": "1"}))
        .expect_problem(400, "invalid_field");
    assert_eq!(problem["field"], "reason");
    // The first credits that a wallet gets may be an adjustment.
    adjust(&mut client, "3", json!({"customer": "new"})).expect_status(201);
    let history = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let kinds: Vec<_> =
        history["data"].as_array().expect("entries").iter().map(|entry| entry["type"].clone()).collect();
    assert_eq!(kinds, ["adjustment", "adjustment", "adjustment", "adjustment", "grant"]);
    let feed = client.get("/v1/feed?types=adjustment.created").expect_status(200);
    let told = feed["data"].as_array().expect("events").iter().map(|event| event["data"]["amount"].clone());
    assert_eq!(told.collect::<Vec<_>>(), ["7.25", "-10", "-97.25", "-4", "3"]);
}

#[test]
fn a_charge_takes_what_the_wallet_has_and_says_what_is_left_to_pay() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.patch("/v1/wallets/cus/credits", &json!({"floor": "-50"})).expect_status(200);
    let charge = |client: &mut Client, body: Value| {
        let mut whole = json!({"customer": "cus", "currency": "credits"});
        whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        client.post("/v1/charges", &whole)
    };
    let answer = charge(&mut client, json!({"amount": "120", "invoice": "inv-1", "key": "chg-1"}));
    let made = answer.expect_status(201);
    assert_eq!((&made["from_wallet"], &made["to_pay"]), (&json!("100"), &json!("20")));
    assert_eq!((&made["invoice"], &made["balance"], &made["available"]), (&json!("inv-1"), &json!("0"), &json!("50")));
    assert_eq!(made["crossed"], json!(["depleted"]));
    let path = answer.header("location").expect("a location").to_owned();
    assert_eq!(path, format!("/v1/charges/{}", made["id"].as_str().expect("an id")));
    let shown = client.get(&path).expect_status(200);
    assert_eq!(shown, made);
    let again = charge(&mut client, json!({"amount": "120", "invoice": "inv-1", "key": "chg-1"}));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect_status(201), made);
    charge(&mut client, json!({"amount": "120", "invoice": "inv-2", "key": "chg-1"}))
        .expect_problem(409, "idempotency_conflict");
    // There is nothing left: that is an answer, not a refusal.
    let nothing = charge(&mut client, json!({"amount": "5", "invoice": "inv-2"})).expect_status(201);
    assert_eq!((&nothing["from_wallet"], &nothing["to_pay"]), (&json!("0"), &json!("5")));
    charge(&mut client, json!({"amount": "0"})).expect_problem(422, "invalid_amount");
    charge(&mut client, json!({"amount": "1", "customer": "nobody"})).expect_problem(404, "unknown_wallet");
    client.patch("/v1/wallets/cus/credits", &json!({"status": "frozen"})).expect_status(200);
    charge(&mut client, json!({"amount": "1"})).expect_problem(422, "wallet_frozen");
    for nothing in ["chg_nothing", "chg_00000000000000000000"] {
        client.get(&format!("/v1/charges/{nothing}")).expect_problem(404, "unknown_charge");
    }
    let feed = client.get("/v1/feed?types=charge.created").expect_status(200);
    assert_eq!(feed["data"][0]["data"]["id"], made["id"]);
    assert_eq!(feed["data"][0]["data"]["to_pay"], "20");
}
