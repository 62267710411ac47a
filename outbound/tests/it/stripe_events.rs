//! Stripe's events: bodies of the shapes that Stripe documents, with values of our own, signed here.

use crate::server::client;
use drawdown_outbound::http::{HeaderMap, HeaderName};
use drawdown_outbound::providers::stripe::{ApiKey, Settings, Stripe, WebhookSecret, sign_event};
use drawdown_outbound::providers::{
    ChargeFacts, ChargeRef, ChargeState, CheckoutRef, CustomerRef, Decline, DisputeEnd, DisputeRef, Event, Method,
    MethodRef, Money, Progress, Provider, ReceiveError, Received, RefundRef, RefundState, SetupRef,
};
use drawdown_outbound::webhooks::Unverified;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const NOW_S: u64 = 1_700_000_000;

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::new(text).expect("a secret")
}

fn ours() -> WebhookSecret {
    secret("whsec_of_this_endpoint_now")
}

fn stripe() -> Stripe {
    let key = ApiKey::new("sk_test_123").expect("a key");
    let settings = Settings::new(key, vec![ours(), secret("whsec_of_this_endpoint_before")]);
    Stripe::new(settings, Arc::new(client()))
}

fn headers(by: &WebhookSecret, at_s: u64, body: &str) -> HeaderMap {
    let name = HeaderName::from_static("stripe-signature");
    HeaderMap::from_iter([(name, sign_event(std::slice::from_ref(by), at_s, body.as_bytes()))])
}

fn envelope(kind: &str, object: &Value) -> Value {
    json!({
        "id": "evt_1Q0DrawdownTest0001", "object": "event", "api_version": "2026-08-26.dahlia", "created": NOW_S - 5,
        "data": {"object": object}, "livemode": false, "pending_webhooks": 1,
        "request": {"id": "req_0DrawdownTest", "idempotency_key": "tu_1"}, "type": kind
    })
}

fn receive(event: &Value) -> Result<Received, ReceiveError> {
    let body = event.to_string();
    stripe().receive(&headers(&ours(), NOW_S, &body), body.as_bytes(), NOW_S)
}

#[track_caller]
fn check(kind: &str, object: &Value, expected: Event) {
    let received = receive(&envelope(kind, object)).expect(kind);
    assert_eq!(
        received,
        Received { replay_id: "evt_1Q0DrawdownTest0001".to_owned(), at_s: NOW_S - 5, event: expected },
        "{kind}"
    );
}

fn euros(amount: i64) -> Money {
    Money { amount, currency: "EUR".parse().expect("a currency") }
}

fn charge() -> ChargeRef {
    ChargeRef::new("pi_3Q0DrawdownTest0001")
}

fn method() -> MethodRef {
    MethodRef::new("pm_1Q0DrawdownTest0001")
}

fn customer() -> CustomerRef {
    CustomerRef::new("cus_DrawdownTest01")
}

fn key() -> Option<String> {
    Some("tu_1".to_owned())
}

fn facts() -> ChargeFacts {
    ChargeFacts { charge: charge(), key: key(), customer: Some(customer()), method: Some(method()), money: euros(1099) }
}

fn payment_intent(status: &str) -> Value {
    json!({
        "id": charge().as_str(), "object": "payment_intent", "amount": 1099, "amount_capturable": 0, "amount_details": {"tip": {}},
        "amount_received": if status == "succeeded" { 1099 } else { 0 }, "application": null, "application_fee_amount": null,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": true}, "canceled_at": null,
        "cancellation_reason": null, "capture_method": "automatic", "client_secret": "pi_3Q0DrawdownTest0001_secret_x",
        "confirmation_method": "automatic", "created": NOW_S - 10, "currency": "eur", "customer": customer().as_str(),
        "description": "1,000 credits", "last_payment_error": null, "latest_charge": "ch_3Q0DrawdownTest0001", "livemode": false,
        "metadata": {"drawdown_key": "tu_1"}, "next_action": null, "on_behalf_of": null, "payment_method": method().as_str(),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}}, "payment_method_types": ["card"],
        "processing": null, "receipt_email": null, "setup_future_usage": null, "shipping": null, "status": status,
        "transfer_data": null, "transfer_group": null
    })
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

fn payment_error(code: &str, decline_code: &str) -> Value {
    json!({
        "charge": "ch_3Q0DrawdownTest0001", "code": code, "decline_code": decline_code,
        "doc_url": "https://stripe.com/docs/error-codes/card-declined", "message": "Your card was declined.",
        "payment_method": {"id": method().as_str(), "object": "payment_method", "type": "card"}, "type": "card_error"
    })
}

fn payment_method(customer: Value) -> Value {
    json!({
        "id": method().as_str(), "object": "payment_method", "allow_redisplay": "limited",
        "billing_details": {"address": {"country": "DE"}, "email": null, "name": null, "phone": null},
        "card": {"brand": "visa", "checks": {"cvc_check": "pass"}, "country": "DE", "display_brand": "visa", "exp_month": 8,
            "exp_year": 2031, "fingerprint": "DrawdownTestFp01", "funding": "credit", "last4": "4242",
            "networks": {"available": ["visa"], "preferred": null}, "three_d_secure_usage": {"supported": true}, "wallet": null},
        "created": NOW_S - 100, "customer": customer, "livemode": false, "metadata": {}, "type": "card"
    })
}

fn session(mode: &str, payment_status: &str) -> Value {
    json!({
        "id": "cs_test_a1DrawdownTest", "object": "checkout.session", "amount_subtotal": 1099, "amount_total": 1099,
        "client_reference_id": "tu_1", "created": NOW_S - 60, "currency": "eur", "customer": customer().as_str(),
        "customer_details": {"email": "billing@example.com", "name": "Acme"}, "expires_at": NOW_S + 1800, "livemode": false,
        "metadata": {"drawdown_key": "tu_1"}, "mode": mode,
        "payment_intent": if mode == "payment" { json!(charge().as_str()) } else { Value::Null },
        "setup_intent": if mode == "setup" { json!("seti_1Q0DrawdownTest") } else { Value::Null },
        "payment_status": payment_status, "status": "complete", "success_url": "https://example.com/done", "url": null
    })
}

#[test]
fn charges_tell_how_they_stand() {
    check("payment_intent.succeeded", &payment_intent("succeeded"), Event::ChargeSucceeded(facts()));
    check("payment_intent.processing", &payment_intent("processing"), Event::ChargeProcessing(facts()));
    let action = json!({"type": "redirect_to_url",
        "redirect_to_url": {"return_url": "https://example.com/back", "url": "https://hooks.stripe.com/3d_secure_2/hosted?x=y"}});
    let url = Some("https://hooks.stripe.com/3d_secure_2/hosted?x=y".to_owned());
    let waiting = with(payment_intent("requires_action"), "next_action", action);
    check("payment_intent.requires_action", &waiting, Event::ChargeRequiresAction { facts: facts(), url });
    let decline =
        |code: &str, hard| Decline { code: code.to_owned(), hard, message: "Your card was declined.".to_owned() };
    for (code, hard) in [("insufficient_funds", false), ("lost_card", true)] {
        let failed =
            with(payment_intent("requires_payment_method"), "last_payment_error", payment_error("card_declined", code));
        check(
            "payment_intent.payment_failed",
            &failed,
            Event::ChargeFailed { facts: facts(), decline: decline(code, hard) },
        );
    }
    let error = payment_error("authentication_required", "authentication_required");
    let unauthenticated = with(payment_intent("requires_payment_method"), "last_payment_error", error);
    check("payment_intent.payment_failed", &unauthenticated, Event::ChargeRequiresAction { facts: facts(), url: None });
    let canceled = receive(&envelope("payment_intent.canceled", &payment_intent("canceled"))).expect("an event");
    assert!(
        matches!(canceled.event, Event::ChargeFailed { decline, .. } if decline.code == "canceled" && !decline.hard)
    );
    // One that was made at Stripe by hand, with nothing but the money; and objects where references usually are.
    let by_hand =
        with(with(payment_intent("succeeded"), "metadata", json!({})), "customer", json!({"id": customer().as_str()}));
    check("payment_intent.succeeded", &by_hand, Event::ChargeSucceeded(ChargeFacts { key: None, ..facts() }));
}

#[test]
fn checkouts_and_setups_complete_or_expire() {
    let checkout = CheckoutRef::new("cs_test_a1DrawdownTest");
    for (kind, payment_status, paid) in [
        ("checkout.session.completed", "paid", true),
        ("checkout.session.completed", "unpaid", false),
        ("checkout.session.async_payment_succeeded", "paid", true),
        ("checkout.session.async_payment_failed", "unpaid", false),
    ] {
        let expected =
            Event::CheckoutCompleted { checkout: checkout.clone(), key: key(), charge: Some(charge()), paid };
        check(kind, &session("payment", payment_status), expected);
    }
    let expired = with(session("payment", "unpaid"), "status", json!("expired"));
    check("checkout.session.expired", &expired, Event::CheckoutExpired { checkout, key: key() });
    let setup = SetupRef::new("cs_test_a1DrawdownTest");
    let expected = Event::SetupCompleted { setup, key: key(), customer: Some(customer()), method: None };
    check("checkout.session.completed", &session("setup", "no_payment_required"), expected);
    let intent = json!({"id": "seti_1Q0DrawdownTest", "object": "setup_intent", "client_secret": "seti_1_secret_x", "created": NOW_S,
        "customer": customer().as_str(), "livemode": false, "metadata": {"drawdown_key": "tu_1"}, "payment_method": method().as_str(),
        "status": "succeeded", "usage": "off_session"});
    let setup = SetupRef::new("seti_1Q0DrawdownTest");
    let expected = Event::SetupCompleted { setup, key: key(), customer: Some(customer()), method: Some(method()) };
    check("setup_intent.succeeded", &intent, expected);
}

#[test]
fn refunds_and_disputes_name_the_payment_intent() {
    let refunded = json!({"id": "ch_3Q0DrawdownTest0001", "object": "charge", "amount": 1099, "amount_captured": 1099, "amount_refunded": 300,
        "currency": "eur", "customer": customer().as_str(), "disputed": false, "paid": true, "payment_intent": charge().as_str(),
        "refunded": false, "status": "succeeded", "metadata": {"drawdown_key": "tu_1"}});
    check("charge.refunded", &refunded, Event::RefundedInAll { charge: charge(), total: euros(300) });
    let by_hand = with(refunded, "payment_intent", Value::Null);
    check("charge.refunded", &by_hand, Event::Other { kind: "charge.refunded".to_owned() });
    let refund = |status: &str| {
        json!({"id": "re_3Q0DrawdownTest0001", "object": "refund", "amount": 300, "balance_transaction": "txn_1", "charge": "ch_3Q0DrawdownTest0001",
            "created": NOW_S, "currency": "eur", "metadata": {"drawdown_key": "rf_1"}, "payment_intent": charge().as_str(),
            "reason": "requested_by_customer", "status": status})
    };
    for (kind, status, state) in [
        ("refund.created", "pending", RefundState::Pending),
        ("refund.updated", "succeeded", RefundState::Succeeded),
        ("charge.refund.updated", "succeeded", RefundState::Succeeded),
        ("refund.failed", "failed", RefundState::Failed),
    ] {
        let (refunded, key) = (RefundRef::new("re_3Q0DrawdownTest0001"), Some("rf_1".to_owned()));
        let expected = Event::RefundChanged { refund: refunded, charge: Some(charge()), key, money: euros(300), state };
        check(kind, &refund(status), expected);
    }
    let object = |status: &str| {
        json!({"id": "du_1Q0DrawdownTest", "object": "dispute", "amount": 1099, "balance_transactions": [], "charge": "ch_3Q0DrawdownTest0001",
            "created": NOW_S, "currency": "eur", "evidence": {}, "evidence_details": {"due_by": NOW_S + 600_000, "has_evidence": false},
            "is_charge_refundable": false, "livemode": false, "metadata": {}, "payment_intent": charge().as_str(),
            "reason": "fraudulent", "status": status})
    };
    let dispute = || DisputeRef::new("du_1Q0DrawdownTest");
    let opened = Event::DisputeOpened {
        dispute: dispute(),
        charge: charge(),
        money: euros(1099),
        reason: "fraudulent".to_owned(),
    };
    check("charge.dispute.created", &object("needs_response"), opened);
    for (status, end) in [
        ("won", DisputeEnd::Won),
        ("lost", DisputeEnd::Lost),
        ("warning_closed", DisputeEnd::Won),
        ("prevented", DisputeEnd::Won),
    ] {
        let closed = Event::DisputeClosed { dispute: dispute(), charge: charge(), money: euros(1099), end };
        check("charge.dispute.closed", &object(status), closed);
    }
    let odd = receive(&envelope("charge.dispute.closed", &object("under_review")));
    assert!(matches!(odd, Err(ReceiveError::Unreadable(_))), "closed and not decided: {odd:?}");
}

#[test]
fn payment_methods_come_and_go() {
    let shown = Method {
        reference: method(),
        customer: Some(customer()),
        brand: "visa".to_owned(),
        last4: Some("4242".to_owned()),
        expiry: Some((8, 2031)),
        fingerprint: Some("DrawdownTestFp01".to_owned()),
    };
    for kind in ["payment_method.attached", "payment_method.updated", "payment_method.automatically_updated"] {
        check(kind, &payment_method(json!(customer().as_str())), Event::MethodAttached(shown.clone()));
    }
    check("payment_method.detached", &payment_method(Value::Null), Event::MethodDetached(method()));
    let debit = json!({"id": method().as_str(), "object": "payment_method", "type": "sepa_debit", "customer": customer().as_str(),
        "sepa_debit": {"last4": "3000"}});
    let shown = Method { brand: "sepa_debit".to_owned(), last4: None, expiry: None, fingerprint: None, ..shown };
    check("payment_method.attached", &debit, Event::MethodAttached(shown));
}

#[test]
fn what_does_not_concern_us_is_passed_over() {
    for kind in [
        "invoice.paid",
        "customer.created",
        "payment_intent.created",
        "charge.dispute.funds_withdrawn",
        "a.kind.of.next.year",
    ] {
        check(kind, &json!({"id": "x_1", "object": "x"}), Event::Other { kind: kind.to_owned() });
    }
}

#[test]
fn forged_stale_and_malformed_events_are_refused() {
    let body = envelope("payment_intent.succeeded", &payment_intent("succeeded")).to_string();
    let stripe = stripe();
    let receive = |headers: &HeaderMap, body: &str, now_s| stripe.receive(headers, body.as_bytes(), now_s).map(drop);
    let good = headers(&ours(), NOW_S, &body);
    assert_eq!(receive(&good, &body, NOW_S), Ok(()));
    assert_eq!(
        receive(&headers(&secret("whsec_of_this_endpoint_before"), NOW_S, &body), &body, NOW_S),
        Ok(()),
        "being rolled"
    );
    let forged = Err(ReceiveError::Unverified(Unverified::Forged));
    assert_eq!(receive(&headers(&secret("whsec_of_somebody_else"), NOW_S, &body), &body, NOW_S), forged);
    assert_eq!(receive(&good, &body.replace("1099", "9909"), NOW_S), forged);
    assert_eq!(receive(&good, &format!("{body} "), NOW_S), forged);
    let missing = Err(ReceiveError::Unverified(Unverified::Missing("stripe-signature")));
    assert_eq!(receive(&HeaderMap::new(), &body, NOW_S), missing);
    let late = receive(&good, &body, NOW_S + 301);
    assert_eq!(late, Err(ReceiveError::Unverified(Unverified::Stale { age_s: 301, tolerance_s: 300 })));
    let early = receive(&good, &body, NOW_S - 301);
    assert_eq!(early, Err(ReceiveError::Unverified(Unverified::Early { ahead_s: 301, tolerance_s: 300 })));
    for malformed in ["", "{", "[]", "null", r#"{"object":"event"}"#] {
        let received = receive(&headers(&ours(), NOW_S, malformed), malformed, NOW_S);
        assert!(matches!(received, Err(ReceiveError::Unreadable(_))), "{malformed:?}: {received:?}");
    }
}

#[test]
fn signed_events_that_say_too_little_are_refused() {
    let succeeded = || envelope("payment_intent.succeeded", &payment_intent("succeeded"));
    let live = with(succeeded(), "livemode", json!(true));
    assert_eq!(receive(&live).map(drop), Err(ReceiveError::WrongMode { live: true }));
    let thin = with(succeeded(), "object", json!("v2.core.event"));
    let strange = envelope("payment_intent.succeeded", &with(payment_intent("succeeded"), "currency", json!("euros")));
    let empty = envelope("payment_intent.succeeded", &json!({}));
    let half = envelope("payment_intent.succeeded", &with(payment_intent("succeeded"), "amount", json!(10.99)));
    for event in [thin, strange, empty, half] {
        assert!(matches!(receive(&event), Err(ReceiveError::Unreadable(_))), "{event}");
    }
}

/// The same event again is recognised by its name, also when Stripe signs it anew after days of retries.
#[test]
fn replayed_and_reordered_events_are_recognised() {
    let stripe = stripe();
    let body = envelope("payment_intent.succeeded", &payment_intent("succeeded")).to_string();
    let receive =
        |signed_s, now_s| stripe.receive(&headers(&ours(), signed_s, &body), body.as_bytes(), now_s).expect("signed");
    assert_eq!(receive(NOW_S, NOW_S + 200), receive(NOW_S, NOW_S));
    assert_eq!(receive(NOW_S + 200_000, NOW_S + 200_000).replay_id, receive(NOW_S, NOW_S).replay_id);

    let event = |id: &str, kind: &str, status: &str, created_s: u64| {
        let event = with(with(envelope(kind, &payment_intent(status)), "id", json!(id)), "created", json!(created_s));
        let body = event.to_string();
        stripe.receive(&headers(&ours(), NOW_S, &body), body.as_bytes(), NOW_S).expect("signed")
    };
    let story = [
        event("evt_1", "payment_intent.requires_action", "requires_action", 10),
        event("evt_2", "payment_intent.processing", "processing", 20),
        event("evt_3", "payment_intent.succeeded", "succeeded", 30),
    ];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut progress: Option<Progress> = None;
        for received in order.map(|at| &story[at]) {
            let state = received.event.charge_state().expect("about a charge");
            let news = Progress::new(state, received.at_s);
            progress.get_or_insert(news).absorb(news);
        }
        assert_eq!(progress.map(|progress| progress.state()), Some(ChargeState::Succeeded), "{order:?}");
    }
}

proptest! {
    /// Whatever stands in a signed event, the answer is an answer.
    #[test]
    fn no_signed_body_panics(kind in "payment_intent\\.(succeeded|payment_failed)|charge\\.(refunded|dispute\\.closed)|checkout\\.session\\.completed|refund\\.updated|x",
        field in "id|amount|currency|status|metadata|customer|payment_intent|last_payment_error|mode",
        value in prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), "\\PC{0,12}".prop_map(Value::from), Just(json!({})), Just(json!([]))]) {
        for object in [payment_intent("succeeded"), session("payment", "paid")] {
            let event = envelope(&kind, &with(object, &field, value.clone()));
            let _ = receive(&event);
        }
    }
}
