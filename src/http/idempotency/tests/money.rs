//! The POSTs of money in and of webhooks, tried as those in `crashes.rs` are; and what payment providers tell, which has no key of ours.

use super::crashes::{Case, Return, Same, Table, fund, get, others, repeat_all, text};
use super::*;
use crate::billing::top_up::{Event, Outcome};
use crate::engine::webhooks::{DeliveryId, DeliveryState, WebhookRecord};
use crate::payments::{Config, Payments, SimulatedBank};
use drawdown_outbound::providers::simulated::Local;
use drawdown_outbound::webhooks;
use drawdown_wal::Lsn;

/// A ledger whose credits are euros and cents.
fn euros(clock: &Arc<ManualClock>) -> Disk {
    let disk = Disk::new();
    let app = open(&disk, clock).expect("opens");
    let currency = json!({"scale": 2, "kind": "fiat", "iso_code": "EUR"});
    send(&app, "PUT", "/v1/credit-currencies/euros", &currency);
    for (id, credits) in [("small", "10"), ("large", "20")] {
        let package = json!({"name": id, "credits": credits, "price": {"amount": credits, "currency": "EUR"}});
        send(&app, "PUT", &format!("/v1/credit-packages/{id}"), &package);
    }
    send(&app, "PUT", "/v1/credit-currencies/euros/recharge-config", &json!({"package": "small"}));
    app.engine.close().expect("a healthy log");
    disk
}

/// Sends something that succeeds.
#[track_caller]
fn send(app: &App, method: &str, path: &str, body: &Value) -> Value {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from(body.to_string()))).expect("a request");
    let answer = Answered::from(run(app, app.answer(request)));
    assert!(answer.is_success(), "{method} {path}: {answer:?}");
    answer.value()
}

/// A top-up that is collected elsewhere; its id.
fn bought(app: &App, customer: &str) -> String {
    text(&others(app, "/v1/top-ups", json!({"customer": customer, "kind": "offline", "amount": "10"})), "/id")
}

fn card(app: &App, customer: &str, id: &str) {
    let card = json!({"id": id, "provider": "simulated", "reference": format!("card-{id}")});
    others(app, &format!("/v1/customers/{customer}/payment-methods"), card);
}

/// A provider tells something of a top-up.
fn tell(app: &App, top_up: &str, event: &Event) {
    drop(app.engine.top_up_event(top_up, event).expect("it is taken"));
    app.engine.log().pump();
}

/// The customer's newest top-up is declined for good.
fn decline_newest(app: &App, customer: &str) {
    let newest = app.engine.top_ups(Some(customer), None, 1).pop().expect("the rule has bought").top_up;
    let declined = Event::Outcome(Outcome::Declined { code: "stolen_card".to_owned(), hard: true });
    tell(app, &newest.id, &declined);
    let rule = get(app, &format!("/v1/customers/{customer}/auto-topup-rules/euros"));
    assert_eq!(rule[1]["status"], "suspended", "{rule}");
}

pub(super) const TABLE: Table = Table { ledger: euros, cases, look, check };

fn cases(app: &App, _clock: &ManualClock) -> Vec<Case> {
    drop(app.engine.connect_provider("simulated").expect("a healthy engine"));
    let mut cases = methods(app);
    cases.extend(top_ups(app));
    cases.extend(rests(app));
    cases.extend(hooks(app));
    cases.push(
        Case::new("portal", "/v1/portal-sessions", json!({"customer": "payer"}), Same::Fields(&["/customer"]))
            .private(),
    );
    cases
}

fn methods(app: &App) -> Vec<Case> {
    for id in ["one", "two"] {
        card(app, "chooser", id);
    }
    fund(app, "resumer");
    card(app, "resumer", "declined");
    let rule = "/v1/customers/resumer/auto-topup-rules/euros";
    send(app, "PUT", rule, &json!({"threshold": "200", "mode": "amount", "amount": "50"}));
    decline_newest(app, "resumer");
    vec![
        Case::new(
            "method",
            "/v1/customers/buyer/payment-methods",
            json!({"provider": "simulated", "reference": "card-1", "last4": "4242"}),
            Same::Fields(&["/id", "/last4", "/created_at"]),
        )
        .meddling(|app, _| {
            card(app, "buyer", "another");
            others(app, "/v1/customers/buyer/payment-methods/another/default", Value::Null);
        }),
        // Another one is the default since, and stays so.
        Case::new(
            "default",
            "/v1/customers/chooser/payment-methods/two/default",
            Value::Null,
            Same::Fields(&["/id", "/reference"]),
        )
        .meddling(|app, _| drop(others(app, "/v1/customers/chooser/payment-methods/one/default", Value::Null))),
        // It goes on, buys, is declined, and stays suspended.
        Case::new("resume", format!("{rule}/resume"), Value::Null, Same::Fields(&["/threshold", "/created_at"]))
            .meddling(|app, _| decline_newest(app, "resumer")),
    ]
}

fn top_ups(app: &App) -> Vec<Case> {
    card(app, "charged", "charged-card");
    let [canceled, confirmed, refunded] = ["canceled", "confirmed", "refunded"].map(|customer| bought(app, customer));
    let confirm = |top_up: &str| format!("/v1/top-ups/{top_up}/confirm");
    others(app, &confirm(&refunded), json!({}));
    let (late, rest, more) = (canceled.clone(), confirmed.clone(), refunded.clone());
    vec![
        Case::new(
            "top-up",
            "/v1/top-ups",
            json!({"customer": "payer", "kind": "offline", "amount": "10"}),
            Same::Fields(&["/id", "/created_at", "/amount"]),
        )
        .meddling(move |app, made| drop(others(app, &confirm(&text(made, "/id")), json!({})))),
        // What it bought is another package by now.
        Case::new(
            "base-package",
            "/v1/top-ups",
            json!({"customer": "payer", "provider": "external"}),
            Same::Fields(&["/id", "/package", "/amount"]),
        )
        .meddling(|app, _| {
            send(app, "PUT", "/v1/credit-currencies/euros/recharge-config", &json!({"package": "large"}));
        }),
        Case::new(
            "deposit",
            "/v1/top-ups",
            json!({"customer": "depositor", "kind": "deposit", "address": "a-1"}),
            Same::Fields(&["/id", "/address"]),
        )
        .meddling(move |app, made| drop(others(app, &confirm(&text(made, "/id")), json!({"amount": "7"})))),
        Case::new(
            "charged",
            "/v1/top-ups",
            json!({"customer": "charged", "payment_method": "charged-card", "amount": "30"}),
            Same::Fields(&["/id", "/payment_method"]),
        )
        .meddling(|app, made| {
            let paid = Outcome::Succeeded {
                reference: "ch_1".to_owned(),
                money: crate::billing::Money::new(3_000, crate::billing::MoneyCode::iso("EUR").expect("a code")),
                method: None,
            };
            tell(app, &text(made, "/id"), &Event::Outcome(paid));
        }),
        // Its money comes all the same.
        Case::new("cancel", format!("/v1/top-ups/{canceled}/cancel"), Value::Null, Same::Fields(&["/id", "/amount"]))
            .meddling(move |app, _| drop(others(app, &confirm(&late), json!({})))),
        Case::new("confirm", confirm(&confirmed), json!({"amount": "4"}), Same::Fields(&["/id", "/amount"]))
            .meddling(move |app, _| drop(others(app, &confirm(&rest), json!({"key": "the-rest"})))),
        Case::new(
            "refund",
            format!("/v1/top-ups/{refunded}/refund"),
            json!({"amount": "3"}),
            Same::Fields(&["/id", "/amount"]),
        )
        .meddling(move |app, _| {
            others(app, &format!("/v1/top-ups/{more}/refund"), json!({"key": "more", "amount": "2"}));
        }),
    ]
}

fn rests(app: &App) -> Vec<Case> {
    fund(app, "invoiced");
    send(app, "PUT", "/v1/customers/invoiced", &json!({"collection_method": "send_invoice"}));
    let charge = json!({"customer": "invoiced", "amount": "120", "invoice": "in-9"});
    let same = Same::Fields(&["/id", "/from_wallet", "/to_pay", "/payment/top_up", "/payment/amount"]);
    let paid = |app: &App, made: &Value| {
        others(app, &format!("/v1/top-ups/{}/confirm", text(made, "/payment/top_up")), json!({}));
    };
    fund(app, "owing");
    send(app, "PUT", "/v1/customers/owing", &json!({"collection_method": "send_invoice"}));
    let owed = others(app, "/v1/charges", json!({"customer": "owing", "amount": "130", "invoice": "in-10"}));
    others(app, &format!("/v1/top-ups/{}/cancel", text(&owed, "/payment/top_up")), Value::Null);
    let again = format!("/v1/invoices/{}/pay", text(&owed, "/payment/invoice"));
    vec![
        Case::new("rest", "/v1/charges", charge, same).meddling(paid),
        Case::new("pay", again, json!({}), Same::Fields(&["/id", "/amount", "/invoice"])).meddling(|app, made| {
            others(app, &format!("/v1/top-ups/{}/confirm", text(made, "/id")), json!({}));
        }),
    ]
}

fn hooks(app: &App) -> Vec<Case> {
    let make = || {
        let made = others(app, "/v1/webhook-endpoints", json!({"url": "https://example.com/mine"}));
        text(&made, "/id")
    };
    let (rotated, tried, told) = (make(), make(), make());
    let event = &app.engine.feed(Lsn::ZERO, 1, None).expect("a healthy log").events[0];
    let delivery = DeliveryId { endpoint: told, lsn: event.lsn.get(), index: event.index };
    let rotate = format!("/v1/webhook-endpoints/{rotated}/rotate-secret");
    let rotate_again = rotate.clone();
    let arrived = delivery.clone();
    vec![
        Case::new(
            "endpoint",
            "/v1/webhook-endpoints",
            json!({"url": "https://example.com/hooks"}),
            Same::Fields(&["/id", "/secret", "/created_at"]),
        )
        .private()
        .meddling(|app, made| {
            let path = format!("/v1/webhook-endpoints/{}", text(made, "/id"));
            send(app, "PATCH", &path, &json!({"url": "https://example.com/elsewhere"}));
            others(app, &format!("{path}/rotate-secret"), Value::Null);
        }),
        Case::new("rotate", rotate, Value::Null, Same::Fields(&["/id", "/secret"]))
            .private()
            .meddling(move |app, _| drop(others(app, &rotate_again, Value::Null))),
        Case::new("test", format!("/v1/webhook-endpoints/{tried}/test"), Value::Null, Same::Fields(&["/id", "/url"])),
        Case::new(
            "redeliver",
            format!("/v1/deliveries/{delivery}/redeliver"),
            Value::Null,
            Same::Fields(&["/id", "/event_id", "/manual"]),
        )
        .meddling(move |app, _| {
            let asked = app.engine.webhook_delivery(&arrived).expect("it is there").0.expect("it is under way");
            let mut asked = (*asked).clone();
            asked.state = DeliveryState::Delivered;
            app.engine.note_webhooks(vec![WebhookRecord::Delivery(Box::new(asked))]).expect("a healthy log");
            app.engine.log().pump();
        }),
    ]
}

const CUSTOMERS: [&str; 11] = [
    "buyer",
    "chooser",
    "resumer",
    "charged",
    "payer",
    "depositor",
    "canceled",
    "confirmed",
    "refunded",
    "invoiced",
    "owing",
];

/// All that there is to be seen of money and webhooks, and all news but those of who fills the log.
fn look(app: &App) -> Vec<Value> {
    app.engine.log().pump();
    let of = |customer| {
        let wallet = format!("/v1/wallets/{customer}/euros");
        let customers = format!("/v1/customers/{customer}");
        [
            format!("{wallet}/entries?limit=100"),
            format!("/v1/grants?customer={customer}"),
            format!("/v1/top-ups?customer={customer}"),
            format!("{customers}/payment-methods"),
            format!("{customers}/auto-topup-rules/euros"),
            wallet,
        ]
    };
    let endpoints = get(app, "/v1/webhook-endpoints");
    let ids = endpoints[1]["data"].as_array().expect("a list").iter().map(|endpoint| text(endpoint, "/id"));
    let deliveries = ids.map(|id| format!("/v1/webhook-endpoints/{id}/deliveries"));
    let paths: Vec<_> = CUSTOMERS.into_iter().flat_map(of).chain(deliveries).collect();
    // Of what is not there it is told that it is not; the rest of that differs from time to time.
    let shown = |path: &String| {
        let shown = get(app, path);
        if shown[0] == 200 { shown } else { shown[0].clone() }
    };
    let mut all: Vec<_> = paths.iter().map(shown).collect();
    all.push(endpoints);
    for endpoint in all.last_mut().and_then(|endpoints| endpoints[1]["data"].as_array_mut()).expect("a list") {
        // The log has grown.
        endpoint.as_object_mut().and_then(|endpoint| endpoint.remove("behind_bytes"));
    }
    let invoices = |customer| format!("{:?}", app.engine.invoices_of(customer, None, 100));
    all.extend(CUSTOMERS.into_iter().map(|customer| json!(invoices(customer))));
    let (mut after, mut news) = (Lsn::ZERO, Vec::new());
    loop {
        let page = app.engine.feed(after, 1_000, None).expect("a healthy log");
        let of_others = page.events.iter().filter(|event| event.customer.as_deref() != Some("filler"));
        news.extend(of_others.map(|event| json!([event.id, event.kind])));
        after = page.next;
        if page.at_end {
            break;
        }
    }
    all.push(json!(news));
    // What was to be done at providers until now is done.
    drop(app.engine.take_work());
    all
}

/// Nobody is charged for a repeat.
fn check(app: &App) {
    let asked = app.engine.take_work();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn money_that_moved_before_a_broken_connection_does_not_move_again() {
    repeat_all(&TABLE, Return::Stayed);
}

#[test]
fn money_that_moved_before_a_power_cut_does_not_move_again() {
    repeat_all(&TABLE, Return::PowerCut);
}

#[test]
fn money_that_moved_before_the_process_died_does_not_move_again() {
    repeat_all(&TABLE, Return::Killed);
}

#[test]
fn money_that_moved_before_a_snapshot_does_not_move_again() {
    repeat_all(&TABLE, Return::Snapshot);
}

#[test]
fn money_that_moved_before_identities_were_spilled_does_not_move_again() {
    repeat_all(&TABLE, Return::Spilled);
}

/// A request is cut everywhere, as those in `tests.rs` are.
#[test]
fn money_moves_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let disk = euros(&clock);
    let app = open(&disk, &clock).expect("opens");
    let [waiting, paid] = ["cus", "paid"].map(|customer| bought(&app, customer));
    others(&app, &format!("/v1/top-ups/{paid}/confirm"), json!({}));
    fund(&app, "invoiced");
    send(&app, "PUT", "/v1/customers/invoiced", &json!({"collection_method": "send_invoice"}));
    let made = text(&others(&app, "/v1/webhook-endpoints", json!({"url": "https://example.com/mine"})), "/id");
    let event = &app.engine.feed(Lsn::ZERO, 1, None).expect("a healthy log").events[0];
    let delivery = DeliveryId { endpoint: made.clone(), lsn: event.lsn.get(), index: event.index };
    app.engine.close().expect("a healthy log");
    drop(app);
    let of = |top_up: &str, what: &str| format!("/v1/top-ups/{top_up}/{what}");
    let (cards, endpoint) = ("/v1/customers/cus/payment-methods", format!("/v1/webhook-endpoints/{made}"));
    let charge = json!({"customer": "invoiced", "amount": "120", "invoice": "in-9"});
    let told = |kind: &'static str| -> Count {
        Box::new(move |app| {
            run(app, async {
                app.engine.barrier().await.expect("a healthy log");
                Response::new(Bytes::new())
            });
            app.engine.feed(Lsn::ZERO, 1_000, Some(&[kind])).expect("a healthy log").events.len()
        })
    };
    let count = |path: &str, pointer: &'static str| -> Count {
        let path = path.to_owned();
        Box::new(move |app| get(app, &path).pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len))
    };
    let endpoints = "/v1/webhook-endpoints";
    // Of each there is one more.
    for (sent, seen) in [
        (
            Sent::new("/v1/top-ups", json!({"customer": "cus", "kind": "offline", "amount": "5"})),
            told("top_up.created"),
        ),
        (Sent::new(of(&waiting, "cancel"), Value::Null), told("top_up.canceled")),
        (Sent::new(of(&waiting, "confirm"), json!({})), told("top_up.completed")),
        (Sent::new(of(&paid, "refund"), json!({"amount": "3"})), told("top_up.refunded")),
        (Sent::new("/v1/charges", charge), told("top_up.created")),
        (Sent::new(cards, json!({"provider": "simulated", "reference": "card-9"})), count(cards, "/1/data")),
        (Sent::new(endpoints, json!({"url": "https://example.com/"})), count(endpoints, "/1/data")),
        (Sent::new(format!("{endpoint}/rotate-secret"), Value::Null), count(&endpoint, "/1/old_secrets_expire_at")),
        (Sent::new(format!("{endpoint}/test"), Value::Null), told("webhook_endpoint.test")),
        (
            Sent::new(format!("/v1/deliveries/{delivery}/redeliver"), Value::Null),
            count(&format!("{endpoint}/deliveries"), "/1/data"),
        ),
    ] {
        let before = seen(&open(&disk.duplicate(), &clock).expect("opens"));
        cut_everywhere(&disk, &clock, &sent, |app, first, again| {
            if let Some(first) = first.filter(|first| first.value()["secret"].is_null()) {
                assert_eq!((first.status, settled(first)), (again.status, settled(again)));
            }
            assert_eq!(seen(app), before + 1, "{}", sent.path);
        });
    }
}

/// An answer without what the log's own growth changes.
fn settled(answer: &Answered) -> Value {
    let mut value = answer.value();
    value.as_object_mut().and_then(|endpoint| endpoint.remove("behind_bytes"));
    value
}

type Count = Box<dyn Fn(&App) -> usize>;

/// What a payment provider tells has no key of ours: each fact is known by the provider's own name for it, and counts once.
#[test]
fn what_a_provider_tells_counts_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let disk = euros(&clock);
    let app = open(&disk, &clock).expect("opens");
    drop(app.engine.connect_provider("simulated").expect("a healthy engine"));
    card(&app, "cus", "card");
    let ask = json!({"customer": "cus", "payment_method": "card", "amount": "30"});
    let top_up = text(&others(&app, "/v1/top-ups", ask), "/id");
    app.engine.close().expect("a healthy log");
    drop(app);
    let facts = json!({"charge": "ch_1", "key": top_up, "customer": null, "method": null, "money": {"amount": 3_000, "currency": "EUR"}});
    let told = json!({"id": "sim_evt_1", "created_s": 1, "event": {"ChargeSucceeded": facts}}).to_string();
    // Whoever tells it again tells it until it is taken.
    let tell = |app: App| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let engine = app.engine.clone();
            let secret = engine.secret_for("a test's bank");
            let bank = SimulatedBank::new(Arc::new(Local::in_memory()), String::new(), secret);
            // The bank itself does not answer: what becomes of the charge is what is told.
            let config = Config::new(vec![Arc::new(bank.provider().clone())], "");
            let app = app.with_payments(Payments::start(engine.clone(), config));
            let now_s = engine.now().millis() / 1_000;
            let secret = [webhooks::Secret::new(&secret).expect("32 bytes")];
            let headers = webhooks::sign(&secret, "sim_evt_1", now_s, told.as_bytes()).expect("signed");
            let mut request = Request::post("/v1/providers/simulated/webhook");
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let request = request.body(Full::new(Bytes::from(told.clone()))).expect("a request");
            let answer = tokio::select! {
                biased;
                answer = app.answer(request) => answer,
                () = async { loop { engine.log().pump(); tokio::task::yield_now().await } } => unreachable!("it goes on"),
            };
            (app, Answered::from(answer).is_success())
        })
    };
    let credited = |app: &App| {
        let status = app.engine.top_up(&top_up).expect("it is there").top_up.status();
        (status.as_str(), balance_of(app, "cus"))
    };
    let (mut cuts, mut lost) = (0, 0);
    for cut in [Cut::Before, Cut::During, Cut::After] {
        for sync in 1.. {
            let disk = disk.duplicate();
            disk.cut_power_at(sync, cut, sync ^ 0xbeef);
            let taken = open(&disk, &clock).ok().map(&tell).is_some_and(|(_, is_taken)| is_taken);
            let Some(left) = disk.left() else {
                assert!(taken, "without a cut it is taken");
                break;
            };
            cuts += 1;
            lost += u64::from(!taken);
            let app = open(&left, &clock).expect("what is left can be opened");
            if taken {
                assert_eq!(
                    credited(&app),
                    ("completed", "3000".to_owned()),
                    "what was acknowledged stays: {cut:?} {sync}"
                );
            }
            for _ in 0..2 {
                let app = open(&left.duplicate(), &clock).expect("opens");
                let (app, is_taken) = tell(app);
                assert!(is_taken);
                let (app, is_taken) = tell(app);
                assert!(is_taken);
                assert_eq!(credited(&app), ("completed", "3000".to_owned()), "{cut:?} {sync}");
            }
        }
    }
    assert!(cuts > 6 && lost > 3, "{cuts} cuts, {lost} before the answer");
}

fn balance_of(app: &App, customer: &str) -> String {
    let wallet = app.engine.wallet(customer, "euros").expect("there is one");
    wallet.balance.display(wallet.currency.scale).to_string()
}

/// An endpoint that was made, and deleted before its request was sent again, is not made again.
#[test]
fn what_was_made_and_deleted_since_is_not_made_again() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let disk = euros(&clock);
    let app = open(&disk, &clock).expect("opens");
    app.in_progress.loses_answers.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = Sent::new("/v1/webhook-endpoints", json!({"url": "https://example.com/hooks"}));
    let made = text(&sent.to(&app).value(), "/id");
    send(&app, "DELETE", &format!("/v1/webhook-endpoints/{made}"), &Value::Null);
    sent.to(&app).expect_problem(409, "idempotency_answer_gone");
    assert_eq!(get(&app, "/v1/webhook-endpoints")[1]["data"], json!([]));
    // And the key stays that request's.
    let other = Sent::new("/v1/webhook-endpoints", json!({"url": "https://example.com/others"}));
    other.to(&app).expect_problem(409, "idempotency_conflict");
    // When the window is over, it is free again.
    app.engine.tidy();
    clock.set(BEGIN.saturating_add(25 * 3_600_000));
    app.engine.tidy();
    let again = text(&other.to(&app).value(), "/id");
    assert_ne!(again, made);
    app.engine.close().expect("a healthy log");
}
