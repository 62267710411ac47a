//! What comes to a provider's webhook, over HTTP and in Stripe's own form: what is forged or stale is refused, what is told again changes nothing, not
//! even in another life of the server, and what comes before the payment that it is about is not lost.

use super::*;
use drawdown::engine::EngineConfig;
use drawdown::payments::{Config, Payments};
use drawdown_outbound::Outgoing;
use drawdown_outbound::http::{HeaderMap, Request, Response, SendError, StatusCode, Transport};
use drawdown_outbound::providers::stripe::{ApiKey, Settings, Stripe, WebhookSecret, sign_event};
use drawdown_wal::Heap;

const PATH: &str = "/v1/providers/stripe/webhook";

/// Stripe as far as it is asked here: it has customers and opens pages, of which nobody has paid any.
struct Desk;

impl Transport for Desk {
    fn send(&self, request: Request) -> Outgoing<'_, Result<Response, SendError>> {
        Box::pin(async move {
            let (status, body) = match (request.method.as_str(), request.url.path()) {
                ("POST", "/v1/customers") => (200, json!({"id": "cus_Test", "metadata": {}})),
                ("POST", "/v1/checkout/sessions") => {
                    let page = "https://checkout.example/1";
                    (200, json!({"id": "cs_test_1", "url": page, "expires_at": 4_000_000_000_u64, "metadata": {}}))
                }
                ("GET", "/v1/payment_intents") => (200, json!({"data": [], "has_more": false})),
                _ => (404, json!({"error": {"type": "invalid_request_error", "message": "not here"}})),
            };
            Ok(Response {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: HeaderMap::new(),
                body: body.to_string().into(),
                cut: false,
            })
        })
    }
}

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::new(text).expect("a secret")
}

fn ours() -> WebhookSecret {
    secret("whsec_of_this_endpoint_now")
}

/// A server with Stripe on a log that another one can be started on.
fn start(medium: &Arc<Heap>) -> TestServer {
    let mut config = EngineConfig::default();
    config.log.segment_bytes = 32 << 20;
    config.log.max_frame_bytes = 4 << 20;
    config.log.segments_ahead = 1;
    config.log.max_unsynced_bytes = 16 << 20;
    let engine = Engine::open_on(medium.clone(), config, Arc::new(SystemClock)).expect("opens").0;
    TestServer::of(engine, |engine| {
        let settings = Settings::new(ApiKey::new("sk_test_123").expect("a key"), vec![ours()]);
        let stripe = Stripe::new(settings, Arc::new(Desk));
        let payments = Payments::start(engine.clone(), Config::new(vec![Arc::new(stripe)], "http://pages.test"));
        App::new(engine, Gate::Open, Limits::default(), 1).with_payments(payments)
    })
}

/// The same log under another server.
fn restart(server: TestServer, medium: &Arc<Heap>) -> TestServer {
    let engine = server.engine.clone();
    drop(server);
    engine.close().expect("a healthy log");
    drop(engine);
    start(medium)
}

fn now_s(server: &TestServer) -> u64 {
    server.engine.now().millis() / 1_000
}

/// An event of Stripe's, `at_s` being when it happened.
fn event(id: &str, kind: &str, at_s: u64, object: &Value) -> String {
    json!({"id": id, "object": "event", "api_version": "2026-08-26.dahlia", "created": at_s, "data": {"object": object},
        "livemode": false, "pending_webhooks": 1, "type": kind})
    .to_string()
}

fn succeeded(top_up: &str, at_s: u64) -> String {
    let intent = json!({"id": "pi_1", "object": "payment_intent", "amount": 1999, "currency": "eur", "status": "succeeded",
        "metadata": {"drawdown_key": top_up}, "customer": "cus_Test", "payment_method": null});
    event("evt_paid", "payment_intent.succeeded", at_s, &intent)
}

fn dispute(charge: &str, kind: &str, status: &str, at_s: u64) -> String {
    let object = json!({"id": "dp_1", "object": "dispute", "amount": 1999, "currency": "eur", "reason": "fraudulent",
        "status": status, "payment_intent": charge, "charge": "ch_1", "metadata": {}});
    event(&format!("evt_{kind}_{status}_{charge}"), kind, at_s, &object)
}

fn send(client: &mut Client, by: &WebhookSecret, signed_at_s: u64, body: &str) -> Answer {
    let signature = sign_event(std::slice::from_ref(by), signed_at_s, body.as_bytes());
    let signature = signature.to_str().expect("ASCII").to_owned();
    client.send("POST", PATH, &[("stripe-signature", &signature)], body.as_bytes())
}

/// A top-up that waits for its payment on Stripe's page.
fn buy(client: &mut Client) -> String {
    client.put("/v1/credit-currencies/credits", &json!({"scale": 0})).expect_status(200);
    let package = json!({"name": "Starter", "credits": "1000", "price": {"amount": "19.99", "currency": "EUR"}});
    client.put("/v1/credit-packages/starter", &package).expect_status(200);
    let made = client.post("/v1/top-ups", &json!({"customer": "cus", "package": "starter"})).expect_status(201);
    assert_eq!((&made["status"], &made["provider"]), (&json!("created"), &json!("stripe")));
    made["id"].as_str().expect("an id").to_owned()
}

#[test]
fn forged_and_stale_events_are_refused_and_grant_nothing() {
    let server = start(&Arc::new(Heap::new()));
    let (mut client, now_s) = (server.client(), now_s(&server));
    let id = buy(&mut client);
    let body = succeeded(&id, now_s);
    let refused = |answer: Answer| answer.expect_problem(400, "invalid_parameter");
    refused(send(&mut client, &secret("whsec_of_somebody_else_now"), now_s, &body));
    // A window of five minutes, to both sides; a minute more, since the clock goes on.
    refused(send(&mut client, &ours(), now_s - 361, &body));
    refused(send(&mut client, &ours(), now_s + 361, &body));
    refused(client.send("POST", PATH, &[], body.as_bytes()));
    refused(client.send("POST", PATH, &[("stripe-signature", "t=1,v1=00")], body.as_bytes()));
    // A signature of another body, and of this one with another time written beside it.
    let signature = sign_event(std::slice::from_ref(&ours()), now_s, b"{}").to_str().expect("ASCII").to_owned();
    refused(client.send("POST", PATH, &[("stripe-signature", &signature)], body.as_bytes()));
    let signature = sign_event(std::slice::from_ref(&ours()), now_s - 361, body.as_bytes());
    let shifted = signature.to_str().expect("ASCII").replace(&format!("t={}", now_s - 361), &format!("t={now_s}"));
    refused(client.send("POST", PATH, &[("stripe-signature", &shifted)], body.as_bytes()));
    // Signed, and of the other mode; signed, and nothing that could be read.
    let live = body.replace("\"livemode\":false", "\"livemode\":true");
    send(&mut client, &ours(), now_s, &live).expect_problem(400, "malformed_body");
    send(&mut client, &ours(), now_s, "{").expect_problem(400, "malformed_body");
    let shown = client.get(&format!("/v1/top-ups/{id}")).expect_status(200);
    assert_eq!((&shown["status"], &shown["credited"]), (&json!("created"), &json!("0")));
    // The same event, signed by whom it should be, counts.
    send(&mut client, &ours(), now_s, &body).expect_status(200);
    assert_eq!(client.balance("cus"), "1000");
}

#[test]
fn a_replayed_event_grants_nothing_a_second_time_in_any_life_of_the_server() {
    let medium = Arc::new(Heap::new());
    let mut server = start(&medium);
    let (mut client, paid_s) = (server.client(), now_s(&server));
    let id = buy(&mut client);
    let body = succeeded(&id, paid_s);
    for life in 0..3 {
        for _ in 0..2 {
            let now_s = now_s(&server);
            let answer = send(&mut client, &ours(), now_s, &body).expect_status(200);
            assert_eq!((answer, client.balance("cus")), (json!({"received": true}), "1000".to_owned()), "{life}");
        }
        let grants = client.get("/v1/wallets/cus/credits").expect_status(200)["grants"].as_array().map(Vec::len);
        let top_ups = client.get("/v1/top-ups?customer=cus").expect_status(200)["data"].as_array().map(Vec::len);
        assert_eq!((grants, top_ups), (Some(1), Some(1)));
        drop(client);
        server = restart(server, &medium);
        client = server.client();
    }
    let audit = server.engine.audit(&std::sync::atomic::AtomicU64::new(0)).expect("it can be read");
    assert!(audit.findings.is_empty(), "{:?}", audit.findings);
}

#[test]
fn a_dispute_that_comes_before_its_payment_is_known_is_sent_again_and_counts_then() {
    let medium = Arc::new(Heap::new());
    let server = start(&medium);
    let (mut client, now_s) = (server.client(), now_s(&server));
    // As long as nothing of ours is awaited, a payment that is not known is somebody else's.
    let opened = dispute("pi_1", "charge.dispute.created", "needs_response", now_s);
    send(&mut client, &ours(), now_s, &opened).expect_status(200);
    let id = buy(&mut client);
    send(&mut client, &ours(), now_s, &opened).expect_problem(409, "payment_not_known_yet");
    let by_hand = json!({"id": "re_1", "object": "refund", "amount": 999, "currency": "eur", "status": "succeeded",
        "payment_intent": "pi_1", "metadata": {}});
    let refund = event("evt_refund", "refund.created", now_s, &by_hand);
    send(&mut client, &ours(), now_s, &refund).expect_problem(409, "payment_not_known_yet");
    // What happened before any of ours was made is about none of them.
    let early = dispute("pi_0", "charge.dispute.created", "needs_response", now_s - 86_400);
    send(&mut client, &ours(), now_s, &early).expect_status(200);
    drop(client);
    // Nothing of it is kept, here or over a restart: it is the provider who comes again.
    let server = restart(server, &medium);
    let mut client = server.client();
    send(&mut client, &ours(), now_s, &opened).expect_problem(409, "payment_not_known_yet");
    send(&mut client, &ours(), now_s, &succeeded(&id, now_s)).expect_status(200);
    send(&mut client, &ours(), now_s, &opened).expect_status(200);
    send(&mut client, &ours(), now_s, &opened).expect_status(200);
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!(
        (&wallet["balance"], &wallet["frozen"], &wallet["available"]),
        (&json!("1000"), &json!("1000"), &json!("0"))
    );
    let lost = dispute("pi_1", "charge.dispute.closed", "lost", now_s);
    send(&mut client, &ours(), now_s, &lost).expect_status(200);
    assert_eq!(client.get(&format!("/v1/top-ups/{id}")).expect_status(200)["status"], "dispute_lost");
    assert_eq!(client.balance("cus"), "0");
    // Now that nothing is awaited any more, others' payments are passed over again.
    let others = dispute("pi_2", "charge.dispute.created", "needs_response", now_s);
    send(&mut client, &ours(), now_s, &others).expect_status(200);
}
