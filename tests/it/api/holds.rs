//! Holds over HTTP.

use super::*;

fn hold(amount: &str) -> Value {
    json!({"customer": "cus", "currency": "credits", "amount": amount})
}

fn named(id: &str, amount: &str) -> Value {
    let mut hold = hold(amount);
    hold["id"] = json!(id);
    hold
}

/// Balance, held and available of `cus`, and how many holds are open.
fn standing(client: &mut Client) -> (String, String, String, u64) {
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    let text = |field: &str| wallet[field].as_str().expect(field).to_owned();
    (text("balance"), text("held"), text("available"), wallet["holds"].as_u64().expect("a count"))
}

#[track_caller]
fn check_standing(client: &mut Client, balance: &str, held: &str, available: &str, holds: u64) {
    let (balance, held, available) = (balance.to_owned(), held.to_owned(), available.to_owned());
    assert_eq!(standing(client), (balance, held, available, holds));
}

#[test]
fn a_hold_is_made_shown_captured_in_parts_and_released() {
    let server = TestServer::funded();
    let mut client = server.client();
    let answer = client.post("/v1/holds", &hold("25.50"));
    let made = answer.expect_status(201);
    let id = made["id"].as_str().expect("an id");
    assert!(id.starts_with("hld_"), "{id}");
    assert_eq!(answer.header("location"), Some(format!("/v1/holds/{id}").as_str()));
    let told = (&made["amount"], &made["remaining"], &made["captured"], &made["status"], &made["on_exceed"]);
    assert_eq!(told, (&json!("25.5"), &json!("25.5"), &json!("0"), &json!("open"), &json!("reject")));
    assert_eq!((&made["balance"], &made["available"]), (&json!("100"), &json!("74.5")));
    check_standing(&mut client, "100", "25.5", "74.5", 1);
    let check = json!({"customer": "cus", "currency": "credits", "amount": "75"});
    assert_eq!(client.post("/v1/check", &check).expect_status(200)["allowed"], false);
    let event = json!({"id": "e1", "customer": "cus", "currency": "credits", "amount": "75"});
    client.post("/v1/events", &event).expect_problem(402, "insufficient_credit");

    let path = format!("/v1/holds/{id}");
    let shown = client.get(&path).expect_status(200);
    assert_eq!((&shown["customer"], &shown["currency"]), (&json!("cus"), &json!("credits")));
    assert!(shown["created_at"].is_string() && shown["expires_at"].is_string(), "{shown}");

    let captured = client.post(&format!("{path}/capture"), &json!({"amount": "10"})).expect_status(200);
    assert_eq!((&captured["amount"], &captured["late"]), (&json!("10"), &json!(false)));
    assert_eq!(captured["hold"]["remaining"], "15.5");
    check_standing(&mut client, "90", "15.5", "74.5", 1);
    let exceeding = json!({"amount": "15.51"});
    client.post(&format!("{path}/capture"), &exceeding).expect_problem(422, "capture_exceeds_hold");
    let last = client.post(&format!("{path}/capture"), &json!({"amount": 0.5, "final": true})).expect_status(200);
    let hold = &last["hold"];
    assert_eq!(
        (&hold["status"], &hold["captured"], &hold["released"]),
        (&json!("captured"), &json!("10.5"), &json!("15"))
    );
    check_standing(&mut client, "89.5", "0", "89.5", 0);
    client.post(&format!("{path}/capture"), &json!({"amount": 1})).expect_problem(409, "hold_ended");
    // A release of what has ended is success, and changes nothing.
    assert_eq!(client.send("POST", &format!("{path}/release"), &[], b"").expect_status(200)["status"], "captured");

    let entries = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let kinds: Vec<_> =
        entries["data"].as_array().expect("entries").iter().map(|entry| entry["type"].clone()).collect();
    assert_eq!(kinds, ["release", "capture", "capture", "hold", "grant"], "{entries}");
    assert_eq!((&entries["data"][1]["held"], &entries["data"][1]["hold"]), (&json!("-0.5"), &json!(id)));
    let feed = client.get("/v1/feed?types=hold.created,hold.captured,hold.released").expect_status(200);
    let told: Vec<_> = feed["data"].as_array().expect("events").iter().map(|event| event["type"].clone()).collect();
    assert_eq!(told, ["hold.created", "hold.captured", "hold.released", "hold.captured"], "{feed}");
}

#[test]
fn an_id_of_the_callers_is_its_idempotency() {
    let server = TestServer::funded();
    let mut client = server.client();
    let first = client.post("/v1/holds", &named("charge/7 é", "5"));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(first.header("location"), Some("/v1/holds/charge%2F7%20%C3%A9"));
    let again = client.post("/v1/holds", &named("charge/7 é", "5.00"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect_status(201)["expires_at"], again.expect_status(201)["expires_at"]);
    client.post("/v1/holds", &named("charge/7 é", "6")).expect_problem(409, "id_conflict");
    let mut longer = named("charge/7 é", "5");
    longer["ttl_seconds"] = json!(60);
    client.post("/v1/holds", &longer).expect_problem(409, "id_conflict");
    check_standing(&mut client, "100", "5", "95", 1);
    assert_eq!(client.get("/v1/holds/charge%2F7%20%C3%A9").expect_status(200)["id"], "charge/7 é");
    client.send("POST", "/v1/holds/charge%2F7%20%C3%A9/release", &[], b"").expect_status(200);
    // The hold as it is now, not a new one.
    assert_eq!(client.post("/v1/holds", &named("charge/7 é", "5")).expect_status(201)["status"], "released");
    check_standing(&mut client, "100", "0", "100", 0);
}

#[test]
fn of_many_each_stands_on_its_own() {
    let server = TestServer::funded();
    let mut client = server.client();
    let mut unknown = hold("1");
    unknown["customer"] = json!("nobody");
    let mut gold = hold("1");
    gold["currency"] = json!("gold");
    let many = json!([named("a", "5"), hold("0.001"), unknown, named("a", "5"), hold("96"), named("b", "6"), gold]);
    let answer = client.post("/v1/holds", &many).expect_status(200);
    let results = answer["results"].as_array().expect("results");
    let said: Vec<_> = results
        .iter()
        .map(|result| result["error"]["reason"].as_str().or(result["status"].as_str()).expect("a word"))
        .collect();
    let expected = [
        "created",
        "invalid_amount",
        "unknown_wallet",
        "replayed",
        "insufficient_credit",
        "created",
        "unknown_currency",
    ];
    assert_eq!(said, expected, "{answer}");
    check_standing(&mut client, "100", "11", "89", 2);
    let captures = json!([
        {"hold": "a", "amount": "2"},
        {"hold": "nothing", "amount": "2"},
        {"hold": "b", "amount": "7"},
        {"hold": "b", "amount": "6"},
        {"hold": "a", "amount": "3", "final": true},
    ]);
    let answer = client.post("/v1/holds/captures", &captures).expect_status(200);
    let results = answer["results"].as_array().expect("results");
    let said: Vec<_> = results
        .iter()
        .map(|result| result["error"]["reason"].as_str().or(result["status"].as_str()).expect("a word"))
        .collect();
    assert_eq!(said, ["captured", "unknown_hold", "capture_exceeds_hold", "captured", "captured"], "{answer}");
    assert_eq!(results[4]["capture"]["hold"]["status"], "captured");
    check_standing(&mut client, "89", "0", "89", 0);
    client.post("/v1/holds/captures", &json!({"hold": "a", "amount": 1})).expect_problem(400, "malformed_body");
}

#[test]
fn open_holds_are_listed_in_pages() {
    let server = TestServer::funded();
    let mut client = server.client();
    let mut ids = Vec::new();
    for (number, ttl) in [300, 100, 200].into_iter().enumerate() {
        let mut hold = named(&format!("hold-{number}"), "1");
        hold["ttl_seconds"] = json!(ttl);
        client.post("/v1/holds", &hold).expect_status(201);
    }
    let mut path = "/v1/holds?customer=cus&status=open&limit=2".to_owned();
    loop {
        let page = client.get(&path).expect_status(200);
        ids.extend(page["data"].as_array().expect("holds").iter().map(|hold| hold["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/holds?customer=cus&limit=2&cursor={cursor}");
    }
    assert_eq!(ids, ["hold-1", "hold-2", "hold-0"], "those that end first come first");
    client.send("POST", "/v1/holds/hold-2/release", &[], b"").expect_status(200);
    let page = client.get("/v1/holds?customer=cus&currency=credits").expect_status(200);
    assert_eq!(page["data"].as_array().expect("holds").len(), 2);
    assert_eq!(client.get("/v1/holds?customer=nobody").expect_status(200)["data"], json!([]));
    client.get("/v1/holds").expect_problem(400, "invalid_parameter");
    client.get("/v1/holds?customer=cus&status=released").expect_problem(400, "invalid_parameter");
    client.get("/v1/holds?customer=cus&cursor=x").expect_problem(400, "invalid_parameter");
    client.get("/v1/holds?customer=cus&currency=gold").expect_problem(422, "unknown_currency");
}

#[test]
fn an_end_is_moved_and_bad_input_is_named() {
    let server = TestServer::funded();
    let mut client = server.client();
    let made = client.post("/v1/holds", &named("h", "5")).expect_status(201);
    let moved = client.post("/v1/holds/h/extend", &json!({"ttl_seconds": 7_200})).expect_status(200);
    assert!(moved["expires_at"].as_str() > made["expires_at"].as_str(), "{moved}");
    let far = json!({"expires_at": "2999-01-01T00:00:00Z"});
    let problem = client.post("/v1/holds/h/extend", &far).expect_problem(422, "invalid_value");
    assert_eq!(problem["field"], "expires_at");
    let past = json!({"expires_at": "2001-01-01T00:00:00Z"});
    client.post("/v1/holds/h/extend", &past).expect_problem(422, "expiry_in_past");
    for (body, field) in [
        (json!({}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"ttl_seconds": 0}), "ttl_seconds"),
        (json!({"ttl_seconds": 5, "expires_at": "2999-01-01T00:00:00Z"}), "ttl_seconds"),
    ] {
        let problem = client.post("/v1/holds/h/extend", &body).expect_problem(400, "invalid_field");
        assert_eq!(problem["field"], field, "{body}");
    }
    let bad = |field: &str, value: Value| {
        let mut hold = hold("5");
        hold[field] = value;
        hold
    };
    for (field, value) in [
        ("id", json!("hld_mine")),
        ("id", json!("x".repeat(129))),
        ("id", json!("")),
        ("ttl_seconds", json!(0)),
        ("ttl_seconds", json!(86_401)),
        ("on_exceed", json!("overdraft")),
        ("customer", json!(7)),
    ] {
        let answer = client.post("/v1/holds", &bad(field, value.clone()));
        let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
        assert!(answer.status == 400 || answer.status == 422, "{field} {value}: {problem}");
        assert_eq!(problem["field"], field, "{value}: {problem}");
    }
    client.post("/v1/holds", &bad("amount", json!("-5"))).expect_problem(422, "invalid_amount");
    let flag = client.post("/v1/holds/h/capture", &json!({"amount": 1, "final": "yes"}));
    assert_eq!(flag.expect_problem(400, "invalid_field")["field"], "final");
    for (method, path, body) in [
        ("GET", "/v1/holds/hld_nothing", &b""[..]),
        ("GET", "/v1/holds/nothing", b""),
        ("POST", "/v1/holds/nothing/release", b""),
        ("POST", "/v1/holds/nothing/capture", b"{\"amount\": 1}"),
        ("POST", "/v1/holds/nothing/extend", b"{\"ttl_seconds\": 1}"),
    ] {
        let headers = [("content-type", "application/json")];
        client.send(method, path, &headers, body).expect_problem(404, "unknown_hold");
    }
    check_standing(&mut client, "100", "5", "95", 1);
}

#[test]
fn a_frozen_wallet_refuses_holds_and_lets_captures_through() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.post("/v1/holds", &named("h", "5")).expect_status(201);
    client.patch("/v1/wallets/cus/credits", &json!({"status": "frozen"})).expect_status(200);
    client.post("/v1/holds", &hold("5")).expect_problem(422, "wallet_frozen");
    client.patch("/v1/wallets/cus/credits", &json!({"status": "closed"})).expect_problem(422, "wallet_held");
    client.post("/v1/holds/h/capture", &json!({"amount": "5"})).expect_status(200);
    check_standing(&mut client, "95", "0", "95", 0);
    client.patch("/v1/wallets/cus/credits", &json!({"status": "closed"})).expect_status(200);
}

#[test]
fn an_alert_can_watch_what_is_available() {
    let server = TestServer::funded();
    let mut client = server.client();
    let levels =
        json!({"levels": [{"name": "free", "amount": 50, "watches": "available"}, {"name": "low", "amount": 50}]});
    let set = client.put("/v1/wallets/cus/credits/alerts", &levels).expect_status(200);
    assert_eq!(set["levels"][0]["watches"], "available");
    client.post("/v1/holds", &named("h", "60")).expect_status(201);
    let feed = client.get("/v1/feed?types=balance.low").expect_status(200);
    let data = feed["data"].as_array().expect("events");
    assert_eq!((data.len(), &data[0]["data"]["level"]), (1, &json!("free")), "{feed}");
    let bad = json!({"levels": [{"name": "free", "amount": 50, "watches": "held"}]});
    client.put("/v1/wallets/cus/credits/alerts", &bad).expect_problem(400, "invalid_field");
}
