//! Usage events and checks.

use super::*;

fn event(id: &str, amount: &str) -> Value {
    json!({"id": id, "customer": "cus", "currency": "credits", "amount": amount})
}

#[test]
fn an_event_debits_once_and_its_repetition_answers_the_same() {
    let server = TestServer::funded();
    let mut client = server.client();
    let first = client.post("/v1/events", &event("e1", "3.5")).expect_status(200);
    assert_eq!((&first["applied"], &first["duplicate"], &first["rejected"]), (&json!(1), &json!(0), &json!(0)));
    let result = &first["results"][0];
    assert_eq!(result["status"], "applied");
    assert_eq!((&result["id"], &result["amount"], &result["balance"]), (&json!("e1"), &json!("3.5"), &json!("96.5")));
    assert!(result["entry"].is_u64());
    let again = client.post("/v1/events", &event("e1", "3.5")).expect_status(200);
    assert_eq!(again["duplicate"], 1);
    assert_eq!(again["results"][0]["entry"], result["entry"]);
    assert_eq!(again["results"][0]["balance"], "96.5");
    client.post("/v1/events", &event("e1", "4")).expect_problem(409, "id_conflict");
    assert_eq!(client.balance("cus"), "96.5");
}

#[test]
fn every_content_type_debits() {
    let server = TestServer::funded();
    let mut client = server.client();
    let cloud = |id: &str| json!({"specversion": "1.0", "id": id, "source": "gw", "type": "tokens", "subject": "cus", "data": {"value": 100}});
    let post = |client: &mut Client, content_type: &str, body: Vec<u8>| {
        let answer = client.post_as(content_type, "/v1/events", body).expect_status(200);
        assert_eq!(answer["applied"], 1, "{content_type}: {answer}");
    };
    post(&mut client, "application/json", event("1", "1").to_string().into());
    post(&mut client, "application/json", json!([event("2", "1")]).to_string().into());
    post(&mut client, "application/json", cloud("3").to_string().into());
    post(&mut client, "application/x-ndjson", format!("{}\n", event("4", "1")).into());
    post(&mut client, "application/cloudevents+json", cloud("5").to_string().into());
    post(&mut client, "application/cloudevents-batch+json", json!([cloud("6")]).to_string().into());
    let array = [b"\x91\x94\xa17\xa3cus\xa7credits\x01".as_slice()].concat();
    post(&mut client, "application/msgpack", array);
    let map = [b"\x84\xa2id\xa18\xa8customer\xa3cus\xa5meter\xa6tokens\xa8quantity\x64".as_slice()].concat();
    post(&mut client, "application/msgpack", map);
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "9"),
        ("ce-source", "gw"),
        ("ce-type", "tokens"),
        ("ce-subject", "cus"),
    ];
    let answer = client.send("POST", "/v1/events", &headers, br#"{"value":"100"}"#).expect_status(200);
    assert_eq!(answer["applied"], 1);
    assert_eq!(client.balance("cus"), "91");
}

#[test]
fn in_a_batch_each_event_stands_on_its_own() {
    let server = TestServer::funded();
    let mut client = server.client();
    let batch = json!([
        event("ok", "10"),
        event("", "1"),
        event(&"x".repeat(129), "1"),
        event("decimals", "0.001"),
        event("negative", "-1"),
        event("zero", "0"),
        event("nan", "NaN"),
        event("huge", "99999999999999999999999"),
        event("too-much", "1000"),
        {"id": "no-wallet", "customer": "nobody", "currency": "credits", "amount": "1"},
        {"id": "no-currency", "customer": "cus", "currency": "gold", "amount": "1"},
        {"id": "no-meter", "customer": "cus", "meter": "nothing", "quantity": 1},
        {"id": "old", "customer": "cus", "amount": "1", "time": "2001-01-01T00:00:00Z"},
        {"id": "future", "customer": "cus", "amount": "1", "time": "2999-01-01T00:00:00Z"},
        event("ok", "10"),
        event("ok2", "1e1"),
    ]);
    let answer = client.post("/v1/events", &batch).expect_status(200);
    let reasons = answer["results"].as_array().expect("results").iter().map(|result| match &result["reason"] {
        Value::String(reason) => format!("{reason} {}", result["field"].as_str().unwrap_or("-")),
        _ => result["status"].as_str().expect("a status").to_owned(),
    });
    let expected = [
        "applied",
        "invalid_id id",
        "invalid_id id",
        "invalid_amount amount",
        "invalid_amount amount",
        "invalid_amount amount",
        "invalid_amount amount",
        "invalid_amount amount",
        "insufficient_credit amount",
        "unknown_wallet customer",
        "unknown_currency currency",
        "unknown_meter meter",
        "event_too_old time",
        "event_in_future time",
        "duplicate",
        "applied",
    ];
    assert_eq!(reasons.collect::<Vec<_>>(), expected);
    assert_eq!((&answer["applied"], &answer["duplicate"], &answer["rejected"]), (&json!(2), &json!(1), &json!(13)));
    assert_eq!(client.balance("cus"), "80");
}

#[test]
fn a_single_rejected_event_answers_its_status() {
    let server = TestServer::funded();
    let mut client = server.client();
    let problem = client.post("/v1/events", &event("e", "1000")).expect_problem(402, "insufficient_credit");
    assert_eq!(
        (&problem["balance"], &problem["available"], &problem["reason"]),
        (&json!("100"), &json!("100"), &json!("insufficient_credit"))
    );
    let nobody = json!({"id": "e", "customer": "nobody", "currency": "credits", "amount": "1"});
    client.post("/v1/events", &nobody).expect_problem(404, "unknown_wallet");
    let problem = client.post("/v1/events", &event("e", "0.001")).expect_problem(422, "invalid_amount");
    assert_eq!(problem["field"], "amount");
    client.post("/v1/events", &event("", "1")).expect_problem(422, "invalid_id");
    let unknown = json!({"id": "e", "customer": "cus", "meter": "nothing", "quantity": 1});
    client.post("/v1/events", &unknown).expect_problem(422, "unknown_meter");
    client.patch("/v1/wallets/cus/credits", &json!({"status": "frozen"})).expect_status(200);
    client.post("/v1/events", &event("e", "1")).expect_problem(422, "wallet_frozen");
}

#[test]
fn policies_and_crossings_show_in_the_result() {
    let server = TestServer::funded();
    let mut client = server.client();
    client
        .put("/v1/wallets/cus/credits/alerts", &json!({"levels": [{"name": "low", "amount": "50"}]}))
        .expect_status(200);
    let mut partial = event("p", "130");
    partial["on_insufficient"] = json!("partial");
    let result = &client.post("/v1/events", &partial).expect_status(200)["results"][0];
    assert_eq!(
        (&result["amount"], &result["shortfall"], &result["balance"]),
        (&json!("100"), &json!("30"), &json!("0"))
    );
    let crossed = result["crossed"].as_array().expect("crossed");
    assert!(crossed.contains(&json!("low")) && crossed.contains(&json!("depleted")), "{result}");
    let mut overdraft = event("o", "5");
    overdraft["on_insufficient"] = json!("overdraft");
    assert_eq!(client.post("/v1/events", &overdraft).expect_status(200)["results"][0]["balance"], "-5");
}

#[test]
fn a_minimal_answer_leaves_the_applied_events_out() {
    let server = TestServer::funded();
    let mut client = server.client();
    let batch = json!([event("a", "1"), event("b", "1000"), event("c", "1"), event("a", "1")]).to_string();
    let headers = [("content-type", "application/json"), ("prefer", "respond-async, return=minimal")];
    let answer = client.send("POST", "/v1/events", &headers, batch.as_bytes());
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));
    let answer = answer.expect_status(200);
    let indexes: Vec<_> =
        answer["results"].as_array().expect("results").iter().map(|result| &result["index"]).collect();
    assert_eq!(indexes, [1, 3]);
    assert_eq!(answer["applied"], 2);
}

#[test]
fn a_currency_beside_a_meter_must_be_the_meters() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.put("/v1/credit-currencies/other", &json!({"scale": 0})).expect_status(200);
    let event = |currency: &str| json!([{"id": currency, "customer": "cus", "meter": "tokens", "quantity": 1, "currency": currency}]);
    assert_eq!(client.post("/v1/events", &event("credits")).expect_status(200)["applied"], 1);
    let problem = client.post("/v1/events", &event("other")).expect_problem(400, "invalid_field");
    assert_eq!((&problem["field"], &problem["index"]), (&json!("currency"), &json!(0)));
    client.post("/v1/events", &event("gold")).expect_problem(400, "invalid_field");
}

#[test]
fn openmeter_clients_get_204_or_a_problem_that_lists_what_was_rejected() {
    let server = TestServer::funded();
    let mut client = server.client();
    let cloud = |id: &str, value: u32| json!({"specversion": "1.0", "id": id, "source": "gw", "type": "tokens", "subject": "cus", "data": {"value": value}});
    let path = "/api/v1/events";
    assert_eq!(client.post(path, &cloud("1", 100)).status, 204);
    assert_eq!(client.post(path, &json!([cloud("1", 100), cloud("2", 100)])).status, 204);
    assert_eq!(client.post_as("application/cloudevents+json", path, cloud("3", 100).to_string()).status, 204);
    assert_eq!(
        client.post_as("application/cloudevents-batch+json", path, json!([cloud("4", 100)]).to_string()).status,
        204
    );
    let mixed = json!([cloud("5", 100), cloud("6", 1_000_000), cloud("7", 0)]);
    let problem = client.post(path, &mixed).expect_problem(402, "insufficient_credit");
    assert_eq!(
        problem["rejected"],
        json!([{"index": 1, "id": "6", "reason": "insufficient_credit"}, {"index": 2, "id": "7", "reason": "invalid_amount"}])
    );
    client.post(path, &event("flat", "1")).expect_problem(400, "invalid_field");
    client.post_as("application/x-ndjson", path, "").expect_problem(415, "unsupported_media_type");
    assert_eq!(client.balance("cus"), "95");
}

#[test]
fn a_check_reads_only() {
    let server = TestServer::funded();
    let mut client = server.client();
    let check = |client: &mut Client, body: Value| client.post("/v1/check", &body).expect_status(200);
    let yes = check(&mut client, json!({"customer": "cus", "amount": "100"}));
    assert_eq!((&yes["allowed"], &yes["available"]), (&json!(true), &json!("100")));
    let no = check(&mut client, json!({"customer": "cus", "meter": "tokens", "quantity": "10001"}));
    assert_eq!((&no["allowed"], &no["reason"]), (&json!(false), &json!("insufficient_credit")));
    let unknown = check(&mut client, json!({"customer": "nobody", "amount": 1}));
    assert_eq!((&unknown["allowed"], &unknown["reason"]), (&json!(false), &json!("unknown_wallet")));
    client.post("/v1/check", &json!({"customer": "cus"})).expect_problem(400, "invalid_field");
    client
        .post("/v1/check", &json!({"customer": "cus", "amount": 1, "meter": "tokens"}))
        .expect_problem(400, "invalid_field");
    client.post("/v1/check", &json!({"amount": 1})).expect_problem(400, "invalid_field");
    client.post("/v1/check", &json!({"customer": "cus", "amount": "x"})).expect_problem(422, "invalid_amount");
    assert_eq!(client.balance("cus"), "100");
}

#[test]
fn ten_thousand_events_are_one_batch() {
    let server = TestServer::funded();
    let mut client = server.client();
    client
        .post("/v1/grants", &json!({"customer": "cus", "currency": "credits", "amount": "1000000"}))
        .expect_status(201);
    let batch: Vec<_> = (0..10_000).map(|number| event(&format!("evt_{number:06}"), "0.01")).collect();
    let answer = client.post("/v1/events", &json!(batch)).expect_status(200);
    assert_eq!(answer["applied"], 10_000);
    assert_eq!(answer["results"].as_array().expect("results").len(), 10_000);
    assert_eq!(client.balance("cus"), "1000000");
    let again = client.post("/v1/events", &json!(batch)).expect_status(200);
    assert_eq!(again["duplicate"], 10_000);
    let more: Vec<_> = (0..10_001).map(|number| event(&format!("more_{number:06}"), "0.01")).collect();
    let problem = client.post("/v1/events", &json!(more)).expect_problem(413, "batch_too_large");
    assert_eq!(problem["limit"], 10_000);
    assert_eq!(client.balance("cus"), "1000000");
}
