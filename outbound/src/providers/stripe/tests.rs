//! The adapter against answers that were written down: what it sends, how often, and what it makes of what comes back.

use super::*;
use crate::http::{HeaderName, Request, Response, SendError, StatusCode};
use crate::providers::{ChargeRef, Collect, Decline, Key, Money, RefundRef, RefundState};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use tokio::time::Instant;

/// Answers in order, and keeps what was asked.
struct Script {
    answers: Mutex<VecDeque<Result<Response, SendError>>>,
    sent: Mutex<Vec<Request>>,
}

impl Transport for Script {
    fn send(&self, request: Request) -> Outgoing<'_, Result<Response, SendError>> {
        self.sent.lock().expect("no panic").push(request);
        let answer = self.answers.lock().expect("no panic").pop_front().expect("an answer for every request");
        Box::pin(std::future::ready(answer))
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Response, SendError>>) -> Arc<Self> {
        Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), sent: Mutex::default() })
    }

    /// Method, path and query, `Idempotency-Key`.
    fn lines(&self) -> Vec<(String, String)> {
        let line = |request: &Request| {
            let key =
                request.headers.get("idempotency-key").map(|key| key.to_str().expect("ASCII")).unwrap_or_default();
            (format!("{} {}", request.method, request.url.path_and_query().expect("a path")), key.to_owned())
        };
        let sent: Vec<_> = self.sent.lock().expect("no panic").iter().map(line).collect();
        assert!(self.answers.lock().expect("no panic").is_empty(), "every answer was asked for: {sent:?}");
        sent
    }

    fn form(&self, at: usize) -> BTreeMap<String, String> {
        form_urlencoded::parse(&self.sent.lock().expect("no panic")[at].body).into_owned().collect()
    }
}

fn answer_with(status: u16, body: &Value, headers: &[(&'static str, &'static str)]) -> Result<Response, SendError> {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Ok(Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: headers.collect(),
        body: Bytes::from(body.to_string()),
        cut: false,
    })
}

fn answer(status: u16, body: &Value) -> Result<Response, SendError> {
    answer_with(status, body, &[])
}

fn broken() -> Result<Response, SendError> {
    Err(SendError::Broken("reset by peer".to_owned()))
}

fn stripe(script: &Arc<Script>) -> Stripe {
    let key = ApiKey::new("sk_test_123").expect("a key");
    Stripe::new(Settings::new(key, Vec::new()), Arc::clone(script) as Arc<dyn Transport>)
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn euros(amount: i64) -> Money {
    Money { amount, currency: "EUR".parse().expect("a currency") }
}

fn ask() -> Charge {
    Charge {
        key: key("tu_1"),
        customer: CustomerRef::new("cus_1"),
        method: MethodRef::new("pm_1"),
        money: euros(1099),
        description: "1,000 credits & more".to_owned(),
        return_url: Some("https://example.com/back?to=1".to_owned()),
        decided_at_s: 1_700_000_000,
        repeat: false,
    }
}

fn intent(status: &str) -> Value {
    json!({"id": "pi_1", "object": "payment_intent", "amount": 1099, "currency": "eur", "status": status, "customer": "cus_1",
        "payment_method": "pm_1", "metadata": {"drawdown_key": "tu_1"}, "last_payment_error": null, "next_action": null})
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

fn card_error(code: &str, decline_code: Option<&str>) -> Value {
    let failed = intent("requires_payment_method");
    json!({"error": {"type": "card_error", "code": code, "decline_code": decline_code, "message": "Your card was declined.",
        "payment_intent": failed}})
}

fn redirect() -> Value {
    let action = json!({"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3ds/1", "return_url": "x"}});
    with(intent("requires_action"), "next_action", action)
}

fn charge_ref() -> ChargeRef {
    ChargeRef::new("pi_1")
}

#[tokio::test(start_paused = true)]
async fn a_charge_says_everything_that_it_should() {
    let script = Script::new([answer(200, &intent("succeeded"))]);
    assert_eq!(stripe(&script).charge(&ask()).await, ChargeOutcome::Succeeded { charge: charge_ref() });
    assert_eq!(script.lines(), [("POST /v1/payment_intents".to_owned(), "tu_1".to_owned())]);
    let expected = [
        ("amount", "1099"),
        ("automatic_payment_methods[enabled]", "true"),
        ("confirm", "true"),
        ("currency", "eur"),
        ("customer", "cus_1"),
        ("description", "1,000 credits & more"),
        ("metadata[drawdown_key]", "tu_1"),
        ("off_session", "true"),
        ("payment_method", "pm_1"),
        ("return_url", "https://example.com/back?to=1"),
    ];
    let form = script.form(0);
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(form, expected);
    let sent = script.sent.lock().expect("no panic");
    assert_eq!(sent[0].url.host(), Some("api.stripe.com"));
    assert_eq!(sent[0].headers["stripe-version"], API_VERSION);
    assert_eq!(sent[0].headers["authorization"], "Bearer sk_test_123");
    assert!(!format!("{:?}", sent[0]).contains("sk_test_123"), "the key is in no log");
}

#[tokio::test(start_paused = true)]
async fn statuses_and_errors_are_told_apart() {
    let declined = |charge: Option<ChargeRef>, code: &str, hard| ChargeOutcome::Declined {
        charge,
        decline: Decline { code: code.to_owned(), hard, message: "Your card was declined.".to_owned() },
    };
    let action =
        |url: Option<&str>| ChargeOutcome::RequiresAction { charge: charge_ref(), url: url.map(str::to_owned) };
    let error = |kind: &str, code: &str, param: Option<&str>| json!({"error": {"type": kind, "code": code, "param": param, "message": "Your card was declined."}});
    let refused =
        |code: &str| ChargeOutcome::Refused { code: code.to_owned(), message: "Your card was declined.".to_owned() };
    let cases = [
        (200, intent("processing"), ChargeOutcome::Processing { charge: charge_ref() }),
        (200, redirect(), action(Some("https://hooks.stripe.com/3ds/1"))),
        (
            402,
            card_error("card_declined", Some("insufficient_funds")),
            declined(Some(charge_ref()), "insufficient_funds", false),
        ),
        (402, card_error("card_declined", Some("stolen_card")), declined(Some(charge_ref()), "stolen_card", true)),
        (402, card_error("expired_card", None), declined(Some(charge_ref()), "expired_card", true)),
        (
            400,
            error("invalid_request_error", "resource_missing", Some("payment_method")),
            declined(None, "resource_missing", true),
        ),
        (400, error("invalid_request_error", "parameter_unknown", Some("amuont")), refused("parameter_unknown")),
        (400, error("idempotency_error", "", None), refused("idempotency_error")),
        (401, error("invalid_request_error", "api_key_expired", None), refused("api_key_expired")),
        (
            403,
            json!({"error": {"type": "invalid_request_error", "message": "Your card was declined."}}),
            refused("invalid_request_error"),
        ),
    ];
    for (status, body, expected) in cases {
        let script = Script::new([answer(status, &body)]);
        assert_eq!(stripe(&script).charge(&ask()).await, expected, "{status} {body}");
        assert_eq!(script.lines().len(), 1);
    }
    let script = Script::new([answer(200, &json!({"id": "pi_1"}))]);
    assert!(
        matches!(stripe(&script).charge(&ask()).await, ChargeOutcome::Unknown { .. }),
        "an unreadable success is no success"
    );
    let script = Script::new([answer(200, &intent("requires_capture"))]);
    assert!(
        matches!(stripe(&script).charge(&ask()).await, ChargeOutcome::Unknown { .. }),
        "nor one that we never ask for"
    );
}

#[tokio::test(start_paused = true)]
async fn authentication_goes_on_with_the_same_payment_intent() {
    let script = Script::new([
        answer(402, &card_error("authentication_required", Some("authentication_required"))),
        answer(200, &redirect()),
    ]);
    let url = Some("https://hooks.stripe.com/3ds/1".to_owned());
    assert_eq!(stripe(&script).charge(&ask()).await, ChargeOutcome::RequiresAction { charge: charge_ref(), url });
    let expected = [("POST /v1/payment_intents", "tu_1"), ("POST /v1/payment_intents/pi_1/confirm", "tu_1:on-session")];
    assert_eq!(script.lines(), expected.map(|(line, key)| (line.to_owned(), key.to_owned())));
    assert_eq!(script.form(1)["return_url"], "https://example.com/back?to=1");
    assert_eq!(script.form(1)["payment_method"], "pm_1");

    // No page to come back to: nothing more is tried, and redirects are ruled out from the start.
    let script = Script::new([answer(402, &card_error("authentication_required", None))]);
    let alone = Charge { return_url: None, ..ask() };
    assert_eq!(stripe(&script).charge(&alone).await, ChargeOutcome::RequiresAction { charge: charge_ref(), url: None });
    assert_eq!(script.form(0)["automatic_payment_methods[allow_redirects]"], "never");

    // The customer was faster: the payment intent cannot be confirmed any more, and tells why.
    let moved_on =
        json!({"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "message": "no"}});
    let first = answer(402, &card_error("authentication_required", None));
    let script = Script::new([first, answer(400, &moved_on), answer(200, &intent("succeeded"))]);
    assert_eq!(stripe(&script).charge(&ask()).await, ChargeOutcome::Succeeded { charge: charge_ref() });
    assert_eq!(script.lines()[2].0, "GET /v1/payment_intents/pi_1");
}

#[tokio::test(start_paused = true)]
async fn retries_keep_key_and_content() {
    let started = Instant::now();
    let script = Script::new([broken(), answer(500, &json!({})), answer(200, &intent("succeeded"))]);
    assert_eq!(stripe(&script).charge(&ask()).await, ChargeOutcome::Succeeded { charge: charge_ref() });
    let lines = script.lines();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    assert_eq!(script.form(0), script.form(2));
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(1125) && waited <= Duration::from_millis(1500), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_worth_another_try() {
    let good = || answer(200, &intent("succeeded"));
    let refusal = json!({"error": {"type": "invalid_request_error", "code": "lock_timeout", "message": "busy"}});
    let should = |value: &'static str| [("stripe-should-retry", value)];
    for first in [
        broken(),
        Err(SendError::Timeout(Duration::from_secs(30))),
        Err(SendError::ConnectTimeout(Duration::from_secs(10))),
        answer(409, &refusal),
        answer(429, &refusal),
        answer(500, &refusal),
        answer(503, &refusal),
        answer_with(400, &refusal, &should("true")),
    ] {
        let script = Script::new([first, good()]);
        assert_eq!(stripe(&script).charge(&ask()).await, ChargeOutcome::Succeeded { charge: charge_ref() });
        assert_eq!(script.lines().len(), 2);
    }
    // Stripe says that it would not help: what became of the charge is not known all the same.
    for status in [409, 429, 500] {
        let script = Script::new([answer_with(status, &refusal, &should("false"))]);
        assert!(matches!(stripe(&script).charge(&ask()).await, ChargeOutcome::Unknown { .. }), "{status}");
        assert_eq!(script.lines().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_end_and_the_outcome_is_unknown() {
    let script = Script::new([broken(), broken(), broken()]);
    assert!(
        matches!(stripe(&script).charge(&ask()).await, ChargeOutcome::Unknown { detail } if detail.contains("reset by peer"))
    );
    assert_eq!(script.lines().len(), 3);

    let started = Instant::now();
    let script =
        Script::new([answer_with(429, &json!({}), &[("retry-after", "7")]), answer(200, &intent("succeeded"))]);
    assert_eq!(stripe(&script).charge(&ask()).await, ChargeOutcome::Succeeded { charge: charge_ref() });
    assert_eq!(started.elapsed(), Duration::from_secs(7));

    let script = Script::new([answer_with(503, &json!({}), &[("retry-after", "3600")])]);
    assert!(matches!(stripe(&script).charge(&ask()).await, ChargeOutcome::Unknown { .. }), "nobody waits an hour");
    assert_eq!(script.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_asks_first() {
    let page =
        |more: bool, intents: &[Value]| answer(200, &json!({"object": "list", "has_more": more, "data": intents}));
    let other = with(with(intent("succeeded"), "id", json!("pi_0")), "metadata", json!({}));
    let again = Charge { repeat: true, ..ask() };
    let list = "GET /v1/payment_intents?customer=cus_1&created%5Bgte%5D=1699996400&limit=100";

    let script = Script::new([page(true, std::slice::from_ref(&other)), page(false, &[intent("succeeded")])]);
    assert_eq!(stripe(&script).charge(&again).await, ChargeOutcome::Succeeded { charge: charge_ref() });
    let lines: Vec<String> = script.lines().into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [list.to_owned(), format!("{list}&starting_after=pi_0")]);

    let script = Script::new([page(false, std::slice::from_ref(&other)), answer(200, &intent("succeeded"))]);
    assert_eq!(stripe(&script).charge(&again).await, ChargeOutcome::Succeeded { charge: charge_ref() });
    assert_eq!(script.lines()[1], ("POST /v1/payment_intents".to_owned(), "tu_1".to_owned()));

    // As long as Stripe does not say what became of it, nothing is charged.
    let script = Script::new([broken(), broken(), broken()]);
    assert!(matches!(stripe(&script).charge(&again).await, ChargeOutcome::Unknown { .. }));
    assert!(script.lines().iter().all(|(line, _)| line.starts_with("GET ")));

    // A crash between the decline and the confirmation: taken up where it was left.
    let error = json!({"type": "card_error", "code": "authentication_required"});
    let waiting = with(intent("requires_payment_method"), "last_payment_error", error);
    let script = Script::new([page(false, &[waiting]), answer(200, &redirect())]);
    assert!(matches!(stripe(&script).charge(&again).await, ChargeOutcome::RequiresAction { url: Some(_), .. }));
    assert_eq!(script.lines()[1].1, "tu_1:on-session");
}

#[tokio::test(start_paused = true)]
async fn amounts_that_stripe_cannot_take_are_not_sent() {
    let script = Script::new([]);
    let dinars = Money { amount: 5124, currency: "KWD".parse().expect("a currency") };
    for money in [euros(0), euros(-5), dinars] {
        let outcome = stripe(&script).charge(&Charge { money, ..ask() }).await;
        assert!(matches!(&outcome, ChargeOutcome::Refused { code, .. } if code == "invalid_amount"), "{outcome:?}");
    }
    assert!(script.lines().is_empty());
}

fn checkout(expires_at_s: u64) -> NewCheckout {
    NewCheckout {
        key: key("tu_1"),
        customer: CustomerRef::new("cus_1"),
        money: euros(1099),
        title: "1,000 credits".to_owned(),
        save_method: true,
        success_url: "https://example.com/done?session={CHECKOUT}".to_owned(),
        cancel_url: "https://example.com/back".to_owned(),
        decided_at_s: 1_700_000_000,
        expires_at_s,
    }
}

#[tokio::test(start_paused = true)]
async fn checkouts_keep_within_stripes_bounds_and_say_so() {
    for (wanted_s, expected_s) in [(300, 1860), (7200, 7200), (1_000_000, 86_340)] {
        let expires_at_s = 1_700_000_000 + expected_s;
        let session = json!({"id": "cs_test_1", "url": "https://checkout.stripe.com/c/1", "expires_at": expires_at_s, "metadata": {}});
        let script = Script::new([answer(200, &session)]);
        let opened = stripe(&script).open_checkout(&checkout(1_700_000_000 + wanted_s)).await.expect("it opens");
        assert_eq!(opened.expires_at_s, expires_at_s);
        let form = script.form(0);
        assert_eq!(form["expires_at"], expires_at_s.to_string());
        assert_eq!(form["success_url"], "https://example.com/done?session={CHECKOUT_SESSION_ID}");
        assert_eq!(form["payment_intent_data[setup_future_usage]"], "off_session");
        assert_eq!(form["payment_intent_data[metadata][drawdown_key]"], "tu_1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkout_that_was_paid_is_not_closed() {
    let session = |status: &str, payment: &str| json!({"id": "cs_1", "status": status, "payment_status": payment, "payment_intent": "pi_1", "expires_at": 1, "metadata": {}});
    let reference = CheckoutRef::new("cs_1");
    let script = Script::new([answer(200, &session("expired", "unpaid"))]);
    assert_eq!(stripe(&script).close_checkout(&reference).await, Ok(CheckoutState::Expired));
    let refusal = json!({"error": {"type": "invalid_request_error", "message": "Only open sessions can be expired"}});
    for (payment, paid) in [("paid", true), ("unpaid", false)] {
        let script = Script::new([answer(400, &refusal), answer(200, &session("complete", payment))]);
        let charge = Some(charge_ref());
        assert_eq!(stripe(&script).close_checkout(&reference).await, Ok(CheckoutState::Completed { charge, paid }));
    }
    let script = Script::new([]);
    assert!(stripe(&script).close_checkout(&CheckoutRef::new("../customers")).await.is_err());
    assert!(script.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refunds_are_made_and_found() {
    let object = |status: &str| {
        json!({"id": "re_1", "amount": 300, "currency": "eur", "payment_intent": "pi_1", "status": status,
            "metadata": {"drawdown_key": "rf_1"}})
    };
    let accepted = |state| RefundOutcome::Accepted { refund: RefundRef::new("re_1"), state };
    let ask = Refund { key: key("rf_1"), charge: charge_ref(), money: euros(300), decided_at_s: 0 };
    for (status, state) in [
        ("succeeded", RefundState::Succeeded),
        ("pending", RefundState::Pending),
        ("requires_action", RefundState::Pending),
        ("failed", RefundState::Failed),
        ("canceled", RefundState::Failed),
    ] {
        let script = Script::new([answer(200, &object(status))]);
        assert_eq!(stripe(&script).refund(&ask).await, accepted(state), "{status}");
        assert_eq!(script.form(0)["amount"], "300");
        assert_eq!(script.lines()[0].1, "rf_1");
    }
    let refusal =
        json!({"error": {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "no"}});
    let script = Script::new([answer(400, &refusal)]);
    assert!(
        matches!(stripe(&script).refund(&ask).await, RefundOutcome::Refused { code, .. } if code == "charge_already_refunded")
    );
    let script = Script::new([broken(), broken(), broken()]);
    assert!(matches!(stripe(&script).refund(&ask).await, RefundOutcome::Unknown { .. }));

    let question = FindRefund { key: key("rf_1"), charge: charge_ref() };
    let script = Script::new([answer(200, &json!({"data": [object("succeeded")], "has_more": false}))]);
    assert_eq!(stripe(&script).find_refund(&question).await, Ok(Some(accepted(RefundState::Succeeded))));
    let script = Script::new([answer(200, &json!({"data": [], "has_more": false}))]);
    assert_eq!(stripe(&script).find_refund(&question).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_detached_method_can_be_detached_again() {
    let refusal = json!({"error": {"type": "invalid_request_error", "message": "The payment method is not attached to a customer."}});
    let method = |customer: Value| json!({"id": "pm_1", "type": "card", "customer": customer, "card": null});
    let reference = MethodRef::new("pm_1");
    let script = Script::new([answer(200, &method(Value::Null))]);
    assert_eq!(stripe(&script).detach(&reference).await, Ok(()));
    let script = Script::new([answer(400, &refusal), answer(200, &method(Value::Null))]);
    assert_eq!(stripe(&script).detach(&reference).await, Ok(()));
    let script = Script::new([answer(400, &refusal), answer(200, &method(json!("cus_1")))]);
    assert!(stripe(&script).detach(&reference).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn setups_are_hosted_or_in_page() {
    let ask = |collect| NewSetup { key: key("su_1"), customer: CustomerRef::new("cus_1"), collect, decided_at_s: 0 };
    let intent = json!({"id": "seti_1", "client_secret": "seti_1_secret_2", "customer": "cus_1", "payment_method": null, "metadata": {}});
    let script = Script::new([answer(200, &intent)]);
    let setup = stripe(&script).begin_setup(&ask(Collect::InPage)).await.expect("a setup");
    assert_eq!((setup.url, setup.client_secret.as_deref()), (None, Some("seti_1_secret_2")));
    assert_eq!(script.lines()[0].0, "POST /v1/setup_intents");

    let session = json!({"id": "cs_1", "url": "https://checkout.stripe.com/c/1", "expires_at": 1, "metadata": {}});
    let script = Script::new([answer(200, &session)]);
    let urls = |text: &str| format!("https://example.com/{text}");
    let hosted = Collect::Hosted { return_url: urls("done"), cancel_url: urls("back") };
    let setup = stripe(&script).begin_setup(&ask(hosted)).await.expect("a setup");
    assert_eq!(setup.url.as_deref(), Some("https://checkout.stripe.com/c/1"));
    assert_eq!(script.form(0)["mode"], "setup");
}

#[test]
fn keys_and_addresses_are_checked() {
    for wrong in ["", "sk_test_", "pk_test_123", "sk_test_1 2", "sk_other_1"] {
        assert!(ApiKey::new(wrong).is_err(), "{wrong:?}");
    }
    assert!(ApiKey::new("rk_live_1").is_ok_and(|key| key.live()));
    assert!(!format!("{:?}", ApiKey::new("sk_live_abc")).contains("abc"));
    let settings = || Settings::new(ApiKey::new("sk_test_1").expect("a key"), Vec::new());
    assert!(settings().at("http://127.0.0.1:12111/").is_ok());
    assert!(settings().at("http://127.0.0.1:12111/v1").is_err());
}
