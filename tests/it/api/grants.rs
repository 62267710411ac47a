//! Grants and their idempotency.

use super::*;

fn grant(amount: &str) -> Value {
    json!({"customer": "cus", "currency": "credits", "amount": amount})
}

#[test]
fn a_grant_is_made_shown_moved_and_voided() {
    let server = TestServer::funded();
    let mut client = server.client();
    let mut body = grant("25.50");
    body["category"] = json!("paid");
    body["source"] = json!("package");
    body["priority"] = json!(7);
    body["expires_at"] = json!("2999-01-01T00:00:00+01:00");
    body["cost_basis"] = json!({"amount": 499, "currency": "eur"});
    body["metadata"] = json!({"order": "o-1"});
    let answer = client.post("/v1/grants", &body);
    let made = answer.expect_status(201);
    let id = made["id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("/v1/grants/{id}").as_str()));
    assert_eq!(
        (&made["amount"], &made["remaining"], &made["status"]),
        (&json!("25.5"), &json!("25.5"), &json!("active"))
    );
    assert_eq!((&made["category"], &made["source"], &made["priority"]), (&json!("paid"), &json!("package"), &json!(7)));
    assert_eq!(made["expires_at"], "2998-12-31T23:00:00.000Z");
    assert_eq!(made["cost_basis"], json!({"amount": 499, "currency": "EUR"}));
    assert_eq!(made["metadata"], json!({"order": "o-1"}));
    let path = format!("/v1/grants/{id}");
    assert_eq!(client.get(&path).expect_status(200)["id"], made["id"]);
    let moved = client.patch(&path, &json!({"expires_at": null})).expect_status(200);
    assert_eq!(moved["expires_at"], Value::Null);
    let void = format!("{path}/void");
    assert_eq!(client.send("POST", &void, &[], b"").expect_status(200)["status"], "voided");
    assert_eq!(client.send("POST", &void, &[], b"{}").expect_status(200)["status"], "voided");
    assert_eq!(client.balance("cus"), "100");
    for (method, path) in [("GET", "/v1/grants/grt_nothing"), ("POST", "/v1/grants/grt_nothing/void")] {
        client.send(method, path, &[], b"").expect_problem(404, "unknown_grant");
    }
    client.patch("/v1/grants/grt_nothing", &json!({"expires_at": null})).expect_problem(404, "unknown_grant");
}

#[test]
fn the_same_key_answers_the_same_and_other_content_conflicts() {
    let server = TestServer::funded();
    let mut client = server.client();
    let keyed = |client: &mut Client, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "order-7")];
        client.send("POST", "/v1/grants", &headers, body.to_string().as_bytes())
    };
    let first = keyed(&mut client, &grant("5"));
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = keyed(&mut client, &grant("5"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect_status(201)["id"], again.expect_status(201)["id"]);
    keyed(&mut client, &grant("6")).expect_problem(409, "idempotency_conflict");
    assert_eq!(client.balance("cus"), "105");
    let many = json!([grant("1"), grant("2")]);
    keyed(&mut client, &many).expect_problem(409, "idempotency_conflict");
    let batch = |client: &mut Client| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "order-8")];
        client.send("POST", "/v1/grants", &headers, many.to_string().as_bytes())
    };
    let first = batch(&mut client);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = batch(&mut client);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect_status(200), again.expect_status(200));
    assert_eq!(client.balance("cus"), "108");
    // A key of the grant's own goes beside the header.
    let mut own_key = grant("5");
    own_key["key"] = json!("mine");
    let headers = [("content-type", "application/json"), ("idempotency-key", "order-9")];
    let made = client.send("POST", "/v1/grants", &headers, own_key.to_string().as_bytes()).expect_status(201);
    assert_eq!(made["key"], "mine");
    let again = client.post("/v1/grants", &own_key);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(client.balance("cus"), "113");
    for key in ["", "with space", "\u{e4}", &"k".repeat(256)] {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        client
            .send("POST", "/v1/grants", &headers, grant("5").to_string().as_bytes())
            .expect_problem(400, "invalid_parameter");
    }
}

#[test]
fn of_many_grants_each_stands_on_its_own() {
    let server = TestServer::funded();
    let mut client = server.client();
    let mut nothing = grant("5");
    nothing["currency"] = json!("gold");
    let answer =
        client.post("/v1/grants", &json!([grant("5"), nothing, grant("0.001"), grant("6")])).expect_status(200);
    let results = answer["results"].as_array().expect("results");
    let said: Vec<_> = results.iter().map(|result| result["error"]["reason"].as_str().unwrap_or("created")).collect();
    assert_eq!(said, ["created", "unknown_currency", "invalid_amount", "created"], "{answer}");
    assert_eq!(client.balance("cus"), "111");
    let problem = client.post("/v1/grants", &json!([grant("5"), {"customer": 7}])).expect_problem(400, "invalid_field");
    assert_eq!((&problem["field"], &problem["index"]), (&json!("customer"), &json!(1)));
    assert_eq!(client.balance("cus"), "111");
}
