//! `Idempotency-Key` over real sockets: every POST takes it, each caller has keys of its own.

use super::*;

fn send(client: &mut Client, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.send("POST", path, &headers, body.to_string().as_bytes())
}

/// Whatever a POST is for, the second one is answered as the first was.
#[test]
fn every_post_of_the_document_is_answered_again() {
    let server = TestServer::funded();
    let mut client = server.client();
    let document = client.get("/openapi.json").expect_status(200);
    let grant = client.post("/v1/grants", &json!({"customer": "cus", "amount": "1"})).expect_status(201);
    client.post("/v1/grants", &json!({"customer": "other", "amount": "1"})).expect_status(201);
    let key = client.post("/v1/api-keys", &json!({"name": "ci", "scopes": ["read"]})).expect_status(201);
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let Some(operation) = methods.get("post") else { continue };
        // What needs no key of ours is a payment provider's, whose events have identities of their own.
        if operation["security"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let parameters = operation["parameters"].as_array().expect("parameters");
        assert!(parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key"), "{path}");
        let actual = path
            .replace("{grant}", grant["id"].as_str().expect("an id"))
            .replace("{key}", key["id"].as_str().expect("an id"))
            .replace("{customer}", "other");
        let body = match path.as_str() {
            "/v1/events" => json!({"id": "e", "customer": "cus", "amount": "1"}),
            "/api/v1/events" => {
                json!({"specversion": "1.0", "id": "f", "source": "s", "type": "tokens", "subject": "cus", "data": {"value": 100}})
            }
            "/v1/check" => json!({"customer": "cus", "amount": "1"}),
            "/v1/grants" => json!({"customer": "cus", "amount": "7"}),
            "/v1/api-keys" => json!({"name": "second", "scopes": ["usage"]}),
            _ => Value::Null,
        };
        let first = send(&mut client, &actual, path.trim_matches('/'), &body);
        let balance = client.balance("cus");
        let again = send(&mut client, &actual, path.trim_matches('/'), &body);
        if (200..300).contains(&first.status) {
            seen += 1;
            assert_eq!(first.header("idempotency-replayed"), None, "{path}: {first:?}");
            assert_eq!(again.header("idempotency-replayed"), Some("true"), "{path}: {again:?}");
            assert_eq!(again.status, first.status, "{path}");
            if path == "/v1/api-keys" {
                let (first, again) = (first.value(), again.value());
                assert!(first["token"].is_string() && again["token"].is_null());
                assert_eq!(first["id"], again["id"]);
            } else {
                assert_eq!(again.body, first.body, "{path}");
            }
            assert_eq!(client.balance("cus"), balance, "{path}");
            let other = send(&mut client, &actual, path.trim_matches('/'), &json!({"other": true}));
            other.expect_problem(409, "idempotency_conflict");
        }
    }
    assert!(seen >= 9, "{seen} POSTs were tried");
}

#[test]
fn each_caller_has_keys_of_its_own() {
    let server = TestServer::with(Limits::default(), |_| Gate::Keys { bootstrap: None });
    let token = |scopes| format!("Bearer {}", server.key(scopes));
    let mut admin = server.client().with_header("authorization", &token(Scopes::ADMIN));
    admin.put("/v1/credit-currencies/credits", &json!({"scale": 2})).expect_status(200);
    let mut first = server.client().with_header("authorization", &token(Scopes::GRANTS));
    let mut second = server.client().with_header("authorization", &token(Scopes::GRANTS));
    let five = json!({"customer": "cus", "amount": "5"});
    send(&mut first, "/v1/grants", "order", &five).expect_status(201);
    let other = send(&mut second, "/v1/grants", "order", &five);
    assert_eq!((other.status, other.header("idempotency-replayed")), (201, None), "another's key says nothing");
    assert_eq!(admin.balance("cus"), "10");
    assert_eq!(send(&mut first, "/v1/grants", "order", &five).header("idempotency-replayed"), Some("true"));
    // What a caller may not do it may not learn of either.
    let mut reader = server.client().with_header("authorization", &token(Scopes::READ));
    send(&mut reader, "/v1/grants", "order", &five).expect_problem(403, "insufficient_scope");
}

#[test]
fn keys_of_other_methods_say_nothing() {
    let server = TestServer::funded();
    let mut client = server.client();
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    for scale in ["2", "2"] {
        let body = json!({"scale": scale, "name": "credits"}).to_string();
        let answer = client.send("PUT", "/v1/credit-currencies/credits", &headers, body.as_bytes());
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, None));
    }
    // What was refused before anything was decided is not answered for good.
    send(&mut client, "/v1/portal-sessions", "k", &json!({})).expect_problem(400, "invalid_field");
    send(&mut client, "/v1/grants", "k", &json!({"customer": "cus", "amount": "1"})).expect_status(201);
}

#[test]
fn a_large_body_of_events_is_answered_again_by_its_ids() {
    let server = TestServer::funded();
    let mut client = server.client();
    let events: Vec<_> = (0..5_000)
        .map(|n| json!({"id": format!("e{n:030}"), "customer": format!("nobody-{n}"), "amount": "1"}))
        .collect();
    let mut events = Value::from(events);
    events[7]["customer"] = json!("cus");
    let first = send(&mut client, "/v1/events", "batch", &events).expect_status(200);
    assert_eq!((&first["applied"], &first["rejected"]), (&json!(1), &json!(4_999)));
    let again = send(&mut client, "/v1/events", "batch", &events);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let again = again.expect_status(200);
    let applied = first["applied"].as_u64().expect("a count");
    assert!(again == first || again["duplicate"] == applied, "kept whole, or told by ids");
    assert_eq!(client.balance("cus"), "99");
    events[7]["amount"] = json!("2");
    send(&mut client, "/v1/events", "batch", &events).expect_problem(409, "idempotency_conflict");
}
