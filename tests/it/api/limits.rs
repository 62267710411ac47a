//! Keys and limits.

use super::*;
use std::time::Instant;

#[test]
fn keys_open_what_their_scopes_name() {
    let server = TestServer::with(Limits::default(), |engine| Gate::with_keys(engine, Some(BOOTSTRAP)).expect("a key"));
    let mut admin = server.client().with_header("authorization", &format!("Bearer {BOOTSTRAP}"));
    admin.put("/v1/credit-currencies/credits", &json!({"scale": 2})).expect_status(200);
    let made = admin.post("/v1/api-keys", &json!({"name": "ci", "mode": "test", "scopes": ["usage", "read"]}));
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.expect_status(201);
    let token = made["token"].as_str().expect("a token").to_owned();
    assert!(token.starts_with("dd_test_"), "{token}");
    let listed = admin.get("/v1/api-keys").expect_status(200);
    assert_eq!((&listed["data"][0]["id"], listed["data"][0].get("token")), (&made["id"], None));

    let mut client = server.client();
    assert_eq!(client.get("/healthz").status, 200);
    let answer = client.get("/v1/balances");
    answer.expect_problem(401, "missing_api_key");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    client.post("/v1/events", &json!([])).expect_problem(401, "missing_api_key");
    for wrong in ["Bearer x", "Bearer dd_live_x", "Bearer dd_live_0_0"] {
        client.send("GET", "/v1/balances", &[("authorization", wrong)], b"").expect_problem(401, "invalid_api_key");
    }
    client.send("GET", "/v1/balances", &[("authorization", "Basic eDp5")], b"").expect_problem(401, "missing_api_key");

    let mut client = server.client().with_header("authorization", &format!("bearer {token}"));
    client.get("/v1/balances").expect_status(200);
    client.post("/v1/events", &json!([])).expect_status(200);
    client.post("/v1/grants", &json!([])).expect_problem(403, "insufficient_scope");
    client.get("/v1/api-keys").expect_problem(403, "insufficient_scope");
    let mut grants = server.client().with_header("authorization", &format!("Bearer {}", server.key(Scopes::GRANTS)));
    grants.post("/v1/grants", &json!([])).expect_status(200);
    grants.post("/v1/events", &json!([])).expect_problem(403, "insufficient_scope");

    let revoke = format!("/v1/api-keys/{}/revoke", made["id"].as_str().expect("an id"));
    assert_eq!(admin.send("POST", &revoke, &[], b"").expect_status(200)["status"], "revoked");
    assert_eq!(admin.send("POST", &revoke, &[], b"").expect_status(200)["status"], "revoked");
    client.get("/v1/balances").expect_problem(401, "invalid_api_key");
    let mut flipped = token.into_bytes();
    *flipped.last_mut().expect("bytes") ^= 1;
    let flipped = format!("Bearer {}", String::from_utf8(flipped).expect("ASCII"));
    client.send("GET", "/v1/stats", &[("authorization", &flipped)], b"").expect_problem(401, "invalid_api_key");
}

const BOOTSTRAP: &str = "an-admin-key-of-at-least-32-bytes";

#[test]
fn without_any_key_there_is_no_gate() {
    use drawdown::http::auth::GateError;
    let engine = engine();
    assert_eq!(Gate::with_keys(&engine, None).expect_err("refused"), GateError::NoKeys);
    assert_eq!(Gate::with_keys(&engine, Some("short")).expect_err("refused"), GateError::ShortBootstrapKey);
    let key = NewKey::generate("k", true, Scopes::READ, engine.now()).expect("randomness");
    let mut revoked = key.record.clone();
    revoked.revoked = true;
    engine.put_api_key(key.record).expect("stored").wait().expect("durable");
    assert!(Gate::with_keys(&engine, None).is_ok());
    engine.put_api_key(revoked).expect("stored").wait().expect("durable");
    assert_eq!(Gate::with_keys(&engine, None).expect_err("refused"), GateError::NoKeys);
}

#[test]
fn a_body_over_the_limit_is_refused_and_a_small_one_then_passes() {
    let server = TestServer::with_limits(|limits| limits.body_bytes = 100_000);
    server.fund();
    let mut client = server.client();
    let problem =
        client.post_as("application/json", "/v1/events", " ".repeat(100_001)).expect_problem(413, "body_too_large");
    assert_eq!(problem["limit"], 100_000);
    // Without an announced length the limit is found while the body arrives.
    let mut client = server.client();
    client.raw(
        b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    for _ in 0..30 {
        client.raw(format!("1000\r\n{}\r\n", " ".repeat(4096)).as_bytes());
    }
    client.raw(b"0\r\n\r\n");
    client.answer().expect_problem(413, "body_too_large");
    let mut client = server.client();
    let event = json!({"id": "e", "customer": "cus", "amount": 1});
    client.raw(
        b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    for piece in event.to_string().as_bytes().chunks(7) {
        client.raw(format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)).as_bytes());
    }
    client.raw(b"0\r\n\r\n");
    assert_eq!(client.answer().expect_status(200)["applied"], 1);
}

#[test]
fn bodies_in_flight_are_bounded_over_all_connections() {
    let server = TestServer::with_limits(|limits| limits.in_flight_bytes = 1000);
    let mut first = server.client();
    first.raw(b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 800\r\n\r\n[");
    let mut second = server.client();
    // Only then: a body that came before would have the first one refused.
    let started = Instant::now();
    while second.get("/v1/stats").expect_status(200)["http"]["in_flight_bytes"] != 800 {
        assert!(started.elapsed() < PATIENCE, "the first body was never counted");
    }
    let answer = second.post_as("application/json", "/v1/events", format!("[{}]", " ".repeat(300)));
    answer.expect_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    first.raw(format!("]{}", " ".repeat(798)).as_bytes());
    first.answer().expect_status(200);
    second.post_as("application/json", "/v1/events", format!("[{}]", " ".repeat(300))).expect_status(200);
}

#[test]
fn a_connection_outlives_refused_requests() {
    let server = TestServer::funded();
    let mut client = server.client();
    for _ in 0..3 {
        client.post_as("text/plain", "/v1/events", "x").expect_problem(415, "unsupported_media_type");
        client.post_as("application/json", "/v1/events", "{").expect_problem(400, "malformed_body");
        client.post_as("application/json", "/nothing", "{}").expect_problem(404, "not_found");
        client.get("/v1/wallets/nobody/credits").expect_problem(404, "unknown_wallet");
        assert_eq!(client.balance("cus"), "100");
    }
}

#[test]
fn a_header_that_trickles_is_cut_off() {
    let server = TestServer::with_limits(|limits| limits.header_time = Duration::from_millis(200));
    let mut client = server.client();
    assert_eq!(client.get("/healthz").status, 200);
    client.raw(b"GET /healthz HTTP/1.1\r\nhost: t\r\nx-slow: ");
    let started = Instant::now();
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.value()["type"], "/problems/request_timeout");
    assert!(started.elapsed() < PATIENCE / 2);
    assert!(client.is_closed());
    // One that is silent from the start is merely closed.
    let mut client = server.client();
    assert!(client.is_closed());
}

#[test]
fn a_body_that_trickles_is_cut_off() {
    let server = TestServer::with_limits(|limits| limits.body_time = Duration::from_millis(200));
    let mut client = server.client();
    client
        .raw(b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n[");
    let answer = client.answer();
    answer.expect_problem(408, "request_timeout");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(client.is_closed());
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = TestServer::with_limits(|limits| limits.idle_time = Duration::from_millis(300));
    let mut idle = server.client();
    assert_eq!(idle.get("/healthz").status, 200);
    let mut waiting = server.client();
    let page = waiting.get("/v1/feed?wait_ms=1500").expect_status(200);
    assert_eq!(page["data"], json!([]));
    assert!(idle.is_closed());
}

#[test]
fn connections_are_bounded() {
    let server = TestServer::with_limits(|limits| limits.connections = 2);
    let (mut first, mut second) = (server.client(), server.client());
    assert_eq!((first.get("/healthz").status, second.get("/healthz").status), (200, 200));
    let mut third = server.client();
    let answer = third.answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(third.is_closed());
    drop(first);
    let started = Instant::now();
    while server.client().try_health() != Some(200) {
        assert!(started.elapsed() < PATIENCE, "the place was never given back");
    }
}

impl Client {
    /// The status of a health check, if the server takes the request.
    fn try_health(&mut self) -> Option<u16> {
        let request = b"GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
        self.stream.get_mut().write_all(request).ok()?;
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }
}

#[test]
fn http2_is_spoken_on_the_same_port() {
    let server = TestServer::funded();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use http_body_util::{BodyExt, Full};
        use hyper_util::rt::{TokioExecutor, TokioIo};
        let stream = tokio::net::TcpStream::connect(server.address).await.expect("connects");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("speaks HTTP/2");
        let driver = tokio::spawn(connection);
        for number in 0..3 {
            let event = json!({"id": format!("e{number}"), "customer": "cus", "amount": 1}).to_string();
            let request = hyper::Request::post("http://test/v1/events").header("content-type", "application/json");
            let request = request.body(Full::new(bytes::Bytes::from(event))).expect("a request");
            let response = sender.send_request(request).await.expect("an answer");
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let value: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(value["applied"], 1);
        }
        drop(sender);
        drop(driver.await);
    });
    assert_eq!(server.client().balance("cus"), "97");
}
