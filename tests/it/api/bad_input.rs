//! What a client can get wrong, on every endpoint: a clear problem, nothing applied, and the connection lives on.

use super::*;

/// Sends a body as JSON and expects a problem that names `field` (`-` for none).
#[track_caller]
fn check(client: &mut Client, method: &str, path: &str, body: &str, status: u16, slug: &str, field: &str) {
    let answer = client.send(method, path, &[("content-type", "application/json")], body.as_bytes());
    let problem = answer.expect_problem(status, slug);
    assert_eq!(problem["field"].as_str().unwrap_or("-"), field, "{method} {path} {body}: {problem}");
}

#[test]
fn malformed_events_name_index_field_and_byte_and_apply_nothing() {
    let server = TestServer::funded();
    let mut client = server.client();
    let good = r#"{"id":"good","customer":"cus","amount":1}"#;
    let path = "/v1/events";
    for body in ["", "{", "[", "nonsense", "NaN", "\"text\"", "7", "null", "[1]", "{\"id\":\"e\"", "\u{feff}{}"] {
        check(&mut client, "POST", path, body, 400, "malformed_body", "-");
    }
    let bad = |rest: &str| format!("[{good},{{{rest}}}]");
    let base = r#""id":"e","customer":"cus""#;
    check(&mut client, "POST", path, &bad(r#""customer":"cus","amount":1"#), 400, "invalid_field", "id");
    check(&mut client, "POST", path, &bad(r#""id":5,"customer":"cus","amount":1"#), 400, "invalid_field", "id");
    check(&mut client, "POST", path, &bad(r#""id":"e","amount":1"#), 400, "invalid_field", "customer");
    check(&mut client, "POST", path, &bad(base), 400, "invalid_field", "amount");
    check(&mut client, "POST", path, &bad(&format!(r#"{base},"amount":true"#)), 400, "invalid_field", "amount");
    check(
        &mut client,
        "POST",
        path,
        &bad(&format!(r#"{base},"amount":1,"meter":"m""#)),
        400,
        "invalid_field",
        "amount",
    );
    check(&mut client, "POST", path, &bad(&format!(r#"{base},"meter":"m""#)), 400, "invalid_field", "quantity");
    check(
        &mut client,
        "POST",
        path,
        &bad(&format!(r#"{base},"amount":1,"time":"later""#)),
        400,
        "invalid_field",
        "time",
    );
    check(&mut client, "POST", path, &bad(&format!(r#"{base},"amount":1,"amount":2"#)), 400, "invalid_field", "amount");
    let problem = client
        .post_as("application/json", path, bad(&format!(r#"{base},"amount":Infinity"#)))
        .expect_problem(400, "malformed_body");
    assert_eq!((&problem["index"], &problem["offset"]), (&json!(1), &json!(79)));
    let invalid = [b"[\"".as_slice(), &[0xff, 0xfe], b"\"]"].concat();
    client.post_as("application/json", path, &invalid).expect_problem(400, "malformed_body");
    for body in [&b""[..], b"\xc1", b"\x91", b"\x91\x94\xa1e", b"\x05", b"\x90\x90", b"\xdd\xff\xff\xff\x00"] {
        let answer = client.post_as("application/msgpack", path, body);
        assert!([400, 413].contains(&answer.status), "{body:?}: {answer:?}");
    }
    let float = b"\x91\x94\xa1e\xa3cus\xa7credits\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00";
    let problem = client.post_as("application/msgpack", path, float).expect_problem(400, "invalid_field");
    assert_eq!((&problem["field"], &problem["index"]), (&json!("amount"), &json!(0)));
    assert_eq!(client.balance("cus"), "100");
}

#[test]
fn wrong_content_types_are_told_what_is_right() {
    let server = TestServer::funded();
    let mut client = server.client();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "json"]
    {
        let answer = client.post_as(content_type, "/v1/events", "{}");
        answer.expect_problem(415, "unsupported_media_type");
        assert!(answer.header("accept").expect("Accept").contains("application/x-ndjson"));
        client.post_as(content_type, "/v1/grants", "{}").expect_problem(415, "unsupported_media_type");
    }
    client.send("POST", "/v1/events", &[], b"{}").expect_problem(415, "unsupported_media_type");
    client.send("PUT", "/v1/meters/x", &[], b"{}").expect_problem(415, "unsupported_media_type");
    client.post_as("application/msgpack", "/v1/grants", b"\x80").expect_problem(415, "unsupported_media_type");
}

#[test]
fn bad_grants_name_the_field() {
    let server = TestServer::funded();
    let mut client = server.client();
    let path = "/v1/grants";
    let with = |rest: &str| format!(r#"{{"customer":"cus","currency":"credits","amount":"1"{rest}}}"#);
    check(&mut client, "POST", path, "", 400, "malformed_body", "-");
    check(&mut client, "POST", path, "7", 400, "malformed_body", "-");
    check(&mut client, "POST", path, "{}", 400, "invalid_field", "customer");
    check(&mut client, "POST", path, r#"{"customer":"cus"}"#, 400, "invalid_field", "amount");
    check(&mut client, "POST", path, r#"{"customer":"cus","amount":[]}"#, 400, "invalid_field", "amount");
    check(&mut client, "POST", path, r#"{"customer":"cus","amount":"many"}"#, 422, "invalid_amount", "amount");
    check(&mut client, "POST", path, r#"{"customer":"cus","amount":1e400}"#, 422, "invalid_amount", "amount");
    check(&mut client, "POST", path, &with(r#","amount":"2""#), 400, "invalid_field", "amount");
    check(&mut client, "POST", path, &with(r#","category":"free""#), 400, "invalid_field", "category");
    check(&mut client, "POST", path, &with(r#","source":"sky""#), 400, "invalid_field", "source");
    check(&mut client, "POST", path, &with(r#","priority":101"#), 400, "invalid_field", "priority");
    check(&mut client, "POST", path, &with(r#","priority":1.5"#), 400, "invalid_field", "priority");
    check(&mut client, "POST", path, &with(r#","expires_at":"soon""#), 400, "invalid_field", "expires_at");
    check(
        &mut client,
        "POST",
        path,
        &with(r#","expires_at":"2001-01-01T00:00:00Z""#),
        422,
        "expiry_in_past",
        "expires_at",
    );
    check(&mut client, "POST", path, &with(r#","cost_basis":5"#), 400, "invalid_field", "cost_basis");
    check(
        &mut client,
        "POST",
        path,
        &with(r#","cost_basis":{"amount":-1,"currency":"EUR"}"#),
        400,
        "invalid_field",
        "cost_basis.amount",
    );
    check(
        &mut client,
        "POST",
        path,
        &with(r#","cost_basis":{"amount":1,"currency":"euro"}"#),
        400,
        "invalid_field",
        "cost_basis.currency",
    );
    check(&mut client, "POST", path, &with(r#","metadata":{"a":1}"#), 400, "invalid_field", "metadata");
    check(
        &mut client,
        "POST",
        path,
        &with(&format!(r#","metadata":{{"{}":""}}"#, "k".repeat(41))),
        400,
        "invalid_field",
        "metadata",
    );
    for amount in ["0", "-1", "0.001", "99999999999999999"] {
        check(
            &mut client,
            "POST",
            path,
            &format!(r#"{{"customer":"cus","amount":"{amount}"}}"#),
            422,
            "invalid_amount",
            "amount",
        );
    }
    assert_eq!(client.balance("cus"), "100");
}

#[test]
fn bad_settings_name_the_field() {
    let server = TestServer::funded();
    let mut client = server.client();
    let currency = "/v1/credit-currencies/new";
    check(&mut client, "PUT", currency, "[]", 400, "malformed_body", "-");
    check(&mut client, "PUT", currency, r#"{"scale":10}"#, 400, "invalid_field", "scale");
    check(&mut client, "PUT", currency, r#"{"scale":"two"}"#, 400, "invalid_field", "scale");
    check(&mut client, "PUT", currency, r#"{"name":5}"#, 400, "invalid_field", "name");
    check(&mut client, "PUT", currency, r#"{"kind":"gold"}"#, 400, "invalid_field", "kind");
    check(&mut client, "PUT", currency, r#"{"kind":"fiat"}"#, 400, "invalid_field", "iso_code");
    check(&mut client, "PUT", currency, r#"{"max_balance":"x"}"#, 422, "invalid_amount", "max_balance");
    client.get(currency).expect_problem(404, "unknown_currency");
    let meter = "/v1/meters/new";
    check(&mut client, "PUT", meter, "{}", 400, "invalid_field", "currency");
    check(&mut client, "PUT", meter, r#"{"currency":"credits"}"#, 400, "invalid_field", "rate");
    check(&mut client, "PUT", meter, r#"{"currency":"credits","rate":"x"}"#, 422, "invalid_amount", "rate");
    check(
        &mut client,
        "PUT",
        meter,
        r#"{"currency":"credits","rate":1,"rounding":"down"}"#,
        400,
        "invalid_field",
        "rounding",
    );
    check(
        &mut client,
        "PUT",
        meter,
        r#"{"currency":"credits","rate":1,"on_insufficient":"x"}"#,
        400,
        "invalid_field",
        "on_insufficient",
    );
    client.get(meter).expect_problem(404, "unknown_meter");
    let wallet = "/v1/wallets/cus/credits";
    check(&mut client, "PATCH", wallet, r#"{"status":"gone"}"#, 400, "invalid_field", "status");
    check(&mut client, "PATCH", wallet, r#"{"floor":{}}"#, 400, "invalid_field", "floor");
    check(&mut client, "PATCH", wallet, r#"{"metadata":[]}"#, 400, "invalid_field", "metadata");
    let alerts = "/v1/wallets/cus/credits/alerts";
    check(&mut client, "PUT", alerts, "{}", 400, "invalid_field", "levels");
    check(
        &mut client,
        "PUT",
        alerts,
        r#"{"levels":[{"name":"a","amount":"1"},{"name":"b"}]}"#,
        400,
        "invalid_field",
        "levels[1].amount",
    );
    check(&mut client, "PUT", alerts, r#"{"levels":[7]}"#, 400, "invalid_field", "levels[0]");
    let keys = "/v1/api-keys";
    check(&mut client, "POST", keys, "{}", 400, "invalid_field", "name");
    check(&mut client, "POST", keys, r#"{"name":"n","scopes":["root"]}"#, 400, "invalid_field", "scopes");
    check(&mut client, "POST", keys, r#"{"name":"n","scopes":[]}"#, 400, "invalid_field", "scopes");
    check(&mut client, "POST", keys, r#"{"name":"","scopes":["read"]}"#, 400, "invalid_field", "name");
    client.send("POST", "/v1/api-keys/nothing/revoke", &[], b"").expect_problem(404, "unknown_api_key");
    check(&mut client, "PATCH", "/v1/grants/grt_1", "{}", 400, "invalid_field", "expires_at");
}

#[test]
fn bad_parameters_and_paths_are_named() {
    let server = TestServer::funded();
    let mut client = server.client();
    for (path, field) in [
        ("/v1/credit-currencies?limit=0", "limit"),
        ("/v1/meters?limit=ten", "limit"),
        ("/v1/wallets/cus/credits/entries?before=x", "before"),
        ("/v1/feed?after=-1", "after"),
        ("/v1/feed?wait_ms=60001", "wait_ms"),
        ("/v1/feed?limit=1&limit=2", "limit"),
        ("/v1/balances?customer=%zz", "query"),
        ("/v1/wallets/%ff/credits", "path"),
    ] {
        let problem = client.get(path).expect_problem(400, "invalid_parameter");
        assert_eq!(problem["field"], field, "{path}");
    }
    client.get("/v2/events").expect_problem(404, "not_found");
    let answer = client.send("DELETE", "/v1/events", &[], b"");
    answer.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}
