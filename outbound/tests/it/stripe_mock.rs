//! Every request that the Stripe adapter makes, judged by Stripe's own mock server, which holds them to Stripe's published description of its API.

use crate::server::client;
use crate::tools;
use bytes::Bytes;
use drawdown_outbound::Outgoing;
use drawdown_outbound::http::{
    Client, HeaderMap, Limits, Method, Overflow, Request, Response, SendError, StatusCode, Transport, parse_url,
};
use drawdown_outbound::providers::stripe::{ApiKey, Settings, Stripe};
use drawdown_outbound::providers::{
    Charge, ChargeOutcome, ChargeRef, CheckoutRef, Collect, CustomerRef, FindCharge, FindRefund, Key, MethodRef, Money,
    NewCheckout, NewCustomer, NewSetup, Provider, Refund, RefundOutcome, SetupRef,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Mock {
    child: Child,
    url: String,
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mock {
    fn start() -> Option<Self> {
        let program = tools::stripe_mock()?;
        // Without an address of its own it would offer HTTPS to the world.
        let arguments = ["-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0", "-strict-version-check"];
        let mut child =
            Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect("the program that was fetched");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = loop {
            let line = lines.next().expect("it says where it listens").expect("text");
            if let Some(address) = line.strip_prefix("Listening for HTTP at address: ") {
                break format!("http://{address}");
            }
        };
        // It writes a line for each request, and would wait for somebody to read them.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Mock { child, url })
    }
}

/// Passes requests on to the mock, which must accept them, and may answer something else in its place: the mock itself neither
/// declines nor refuses.
struct Judge {
    client: Client,
    accepted: Mutex<BTreeSet<String>>,
    instead: Mutex<Option<(&'static str, u16, serde_json::Value)>>,
}

impl Transport for Judge {
    fn send(&self, request: Request) -> Outgoing<'_, Result<Response, SendError>> {
        Box::pin(async move {
            let line = format!("{} {}", request.method, request.url.path());
            let said = format!("{:?} {:?}", request.url.query(), request.body);
            let answer = self.client.send(request).await?;
            assert_eq!(answer.status, StatusCode::OK, "{line} {said}: {:?}", answer.body);
            self.accepted.lock().expect("no panic").insert(line.clone());
            let instead = self.instead.lock().expect("no panic").take_if(|instead| line.ends_with(instead.0));
            Ok(match instead {
                None => answer,
                Some((_, status, body)) => Response {
                    status: StatusCode::from_u16(status).expect("a status"),
                    headers: HeaderMap::new(),
                    body: Bytes::from(body.to_string()),
                    cut: false,
                },
            })
        })
    }
}

impl Judge {
    fn instead(&self, of: &'static str, status: u16, body: serde_json::Value) {
        *self.instead.lock().expect("no panic") = Some((of, status, body));
    }
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn euros(amount: i64) -> Money {
    Money { amount, currency: "EUR".parse().expect("a currency") }
}

fn charge(return_url: Option<&str>, repeat: bool) -> Charge {
    Charge {
        key: key("tu_1"),
        customer: CustomerRef::new("cus_1"),
        method: MethodRef::new("pm_1"),
        money: euros(1099),
        description: "1,000 credits & more".to_owned(),
        return_url: return_url.map(str::to_owned),
        decided_at_s: 1_700_000_000,
        repeat,
    }
}

fn checkout(save_method: bool) -> NewCheckout {
    NewCheckout {
        key: key("tu_2"),
        customer: CustomerRef::new("cus_1"),
        money: euros(1099),
        title: "1,000 credits".to_owned(),
        save_method,
        success_url: "https://example.com/done?session={CHECKOUT}".to_owned(),
        cancel_url: "https://example.com/back".to_owned(),
        decided_at_s: 1_700_000_000,
        expires_at_s: 1_700_000_300,
    }
}

async fn customers_and_methods(stripe: &Stripe, judge: &Judge) {
    for (name, email) in [(Some("Acme GmbH"), Some("billing@example.com")), (None, None)] {
        let (name, email) = (name.map(str::to_owned), email.map(str::to_owned));
        let ask = NewCustomer { key: key("cu_1"), reference: "acme".to_owned(), name, email };
        assert!(stripe.ensure_customer(&ask).await.expect("a customer").as_str().starts_with("cus_"));
    }
    let hosted = Collect::Hosted {
        return_url: "https://example.com/done".to_owned(),
        cancel_url: "https://example.com/back".to_owned(),
    };
    for collect in [Collect::InPage, hosted] {
        let ask = NewSetup { key: key("su_1"), customer: CustomerRef::new("cus_1"), collect, decided_at_s: 0 };
        stripe.begin_setup(&ask).await.expect("a setup");
    }
    stripe.find_setup(&SetupRef::new("seti_1")).await.expect("a setup intent");
    stripe.find_setup(&SetupRef::new("cs_test_1")).await.expect("a session");
    let method = MethodRef::new("pm_1");
    let shown = stripe.method(&method).await.expect("a method");
    assert_eq!((shown.brand.as_str(), shown.last4.as_deref()), ("visa", Some("4242")));
    assert!(shown.expiry.is_some() && shown.fingerprint.is_some());
    stripe.detach(&method).await.expect("detached");
    judge.instead("/detach", 400, json!({"error": {"type": "invalid_request_error", "message": "not attached"}}));
    stripe.detach(&method).await.expect("detached already");
}

async fn charges(stripe: &Stripe, judge: &Judge) {
    for return_url in [None, Some("https://example.com/back")] {
        let outcome = stripe.charge(&charge(return_url, false)).await;
        assert!(!matches!(outcome, ChargeOutcome::Refused { .. }), "{outcome:?}");
        let authentication = json!({"error": {"type": "card_error", "code": "authentication_required",
            "payment_intent": {"id": "pi_1", "amount": 1099, "currency": "eur", "status": "requires_payment_method", "metadata": {}}}});
        judge.instead("/v1/payment_intents", 402, authentication);
        let outcome = stripe.charge(&charge(return_url, false)).await;
        assert!(!matches!(outcome, ChargeOutcome::Refused { .. }), "{outcome:?}");
    }
    let authentication = json!({"id": "pi_1", "amount": 1099, "currency": "eur", "status": "requires_payment_method",
        "metadata": {"drawdown_key": "tu_1"}, "last_payment_error": {"type": "card_error", "code": "authentication_required"}});
    judge.instead("GET /v1/payment_intents", 200, json!({"data": [authentication], "has_more": false}));
    stripe.charge(&charge(Some("https://example.com/back"), true)).await;
    stripe.charge(&charge(None, true)).await;
    let ask = FindCharge { key: key("tu_1"), customer: CustomerRef::new("cus_1"), since_s: 1_700_000_000 };
    assert_eq!(stripe.find_charge(&ask).await.expect("a list"), None);
    let page = json!({"data": [{"id": "pi_1", "amount": 1, "currency": "eur", "status": "succeeded", "metadata": {}}], "has_more": true});
    judge.instead("GET /v1/payment_intents", 200, page);
    assert_eq!(stripe.find_charge(&ask).await.expect("two pages"), None);
}

async fn checkouts_and_refunds(stripe: &Stripe, judge: &Judge) {
    for save_method in [true, false] {
        // The mock's session has no page.
        let page = json!({"id": "cs_test_1", "url": "https://checkout.stripe.com/c/1", "expires_at": 1_700_001_860, "metadata": {}});
        judge.instead("/v1/checkout/sessions", 200, page);
        stripe.open_checkout(&checkout(save_method)).await.expect("a page");
    }
    stripe.close_checkout(&CheckoutRef::new("cs_test_1")).await.expect("closed");
    judge.instead("/expire", 400, json!({"error": {"type": "invalid_request_error", "message": "not open"}}));
    stripe.close_checkout(&CheckoutRef::new("cs_test_1")).await.expect("told how it stands");
    let ask = Refund { key: key("rf_1"), charge: ChargeRef::new("pi_1"), money: euros(300), decided_at_s: 0 };
    let outcome = stripe.refund(&ask).await;
    assert!(matches!(outcome, RefundOutcome::Accepted { .. }), "{outcome:?}");
    stripe.find_refund(&FindRefund { key: key("rf_1"), charge: ChargeRef::new("pi_1") }).await.expect("a list");
}

#[tokio::test]
async fn stripes_own_mock_accepts_every_request() {
    let Some(mock) = Mock::start() else { return };
    let judge = Arc::new(Judge { client: client(), accepted: Mutex::default(), instead: Mutex::default() });
    let settings = Settings::new(ApiKey::new("sk_test_123").expect("a key"), Vec::new()).at(&mock.url).expect("a URL");
    let stripe = Stripe::new(settings, Arc::clone(&judge) as Arc<dyn Transport>);
    customers_and_methods(&stripe, &judge).await;
    charges(&stripe, &judge).await;
    checkouts_and_refunds(&stripe, &judge).await;
    let expected = [
        "GET /v1/checkout/sessions/cs_test_1",
        "GET /v1/payment_intents",
        "GET /v1/payment_methods/pm_1",
        "GET /v1/refunds",
        "GET /v1/setup_intents/seti_1",
        "POST /v1/checkout/sessions",
        "POST /v1/checkout/sessions/cs_test_1/expire",
        "POST /v1/customers",
        "POST /v1/payment_intents",
        "POST /v1/payment_intents/pi_1/confirm",
        "POST /v1/payment_methods/pm_1/detach",
        "POST /v1/refunds",
        "POST /v1/setup_intents",
    ];
    let accepted = judge.accepted.lock().expect("no panic").clone();
    assert_eq!(accepted.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(judge.instead.lock().expect("no panic").is_none(), "everything that was prepared was asked for");
    println!("{} accepts all {} kinds of requests", tools::STRIPE_MOCK, accepted.len());
}

/// Were the mock content with everything, the test above would show nothing.
#[tokio::test]
async fn the_mock_refuses_what_stripe_would() {
    let Some(mock) = Mock::start() else { return };
    let client = client();
    let limits = Limits { total: Duration::from_secs(30), body_bytes: 1 << 20, overflow: Overflow::Refuse };
    let post = |path: &str, body: &'static str, headers: &[(&'static str, &'static str)]| {
        let url = parse_url(&format!("{}{path}", mock.url)).expect("a URL");
        let mut request =
            Request::post(url, "application/x-www-form-urlencoded", Bytes::from_static(body.as_bytes()), limits);
        for (name, value) in headers {
            request.headers.insert(*name, value.parse().expect("a value"));
        }
        request
    };
    let known = ("authorization", "Bearer sk_test_123");
    let cases = [
        (post("/v1/payment_intents", "amuont=1&currency=eur", &[known]), 400),
        (post("/v1/payment_intents", "currency=eur", &[known]), 400),
        (post("/v1/payment_intents", "amount=1&currency=eur", &[]), 401),
        (post("/v1/payment_intents", "amount=1&currency=eur", &[known, ("stripe-version", "2020-01-01")]), 400),
        (post("/v1/payment_intends", "amount=1&currency=eur", &[known]), 404),
        (post("/v1/payment_intents", "amount=1&currency=eur", &[known]), 200),
    ];
    for (request, expected) in cases {
        let said = format!("{request:?}");
        assert_eq!(request.method, Method::POST);
        assert_eq!(client.send(request).await.expect("an answer").status, expected, "{said}");
    }
}
