//! Payment providers over HTTP: cards collected on pages, top-ups by saved card and by page, 3-D Secure, refunds, webhooks, automatic top-ups.

use super::*;
use drawdown::payments::{Config, Payments, SimulatedBank};
use drawdown_outbound::providers::DisputeEnd;
use drawdown_outbound::providers::external::External;
use drawdown_outbound::providers::simulated::Local;
use drawdown_outbound::webhooks;
use std::time::Instant;

pub(super) const PAGES: &str = "http://pages.test";

/// A server with the simulated provider and an outside page, a package, and a customer without a card.
pub(super) fn set_up() -> (TestServer, Local) {
    let bank = Local::in_memory();
    let own = bank.clone();
    let server = TestServer::of(engine(), move |engine| {
        let secret = engine.secret_for("a test's bank");
        let simulated = SimulatedBank::new(Arc::new(own), PAGES.to_owned(), secret);
        let outside = External::new(Some("https://pay.example/{key}?sum={amount}")).expect("an address");
        let mut config = Config::new(vec![Arc::new(simulated.provider().clone()), Arc::new(outside)], PAGES);
        config.simulated = Some(simulated);
        (config.retry, config.retry_max) = (Duration::from_millis(5), Duration::from_millis(50));
        let payments = Payments::start(engine.clone(), config);
        App::new(engine, Gate::Open, Limits::default(), 1).with_payments(payments)
    });
    let mut client = server.client();
    client.put("/v1/credit-currencies/credits", &json!({"scale": 0})).expect_status(200);
    let package = json!({"name": "Starter", "credits": "1000", "price": {"amount": "19.99", "currency": "EUR"}});
    client.put("/v1/credit-packages/starter", &package).expect_status(200);
    (server, bank)
}

/// The path of a page of this server's.
fn path(url: &Value) -> String {
    url.as_str().and_then(|url| url.strip_prefix(PAGES)).expect("a page of this server").to_owned()
}

fn send_form(client: &mut Client, path: &str, form: &str) -> Answer {
    client.post_as("application/x-www-form-urlencoded", path, form)
}

/// Has a card collected, and gives the method.
pub(super) fn save_card(client: &mut Client, number: &str) -> Value {
    save_card_of(client, "cus", number)
}

/// Has a card of a customer's collected, and gives the method.
pub(super) fn save_card_of(client: &mut Client, customer: &str, number: &str) -> Value {
    let methods = format!("/v1/customers/{customer}/payment-methods");
    let wanted = json!({"return_url": "https://shop.example/cards"});
    let setup = client.post(&methods, &wanted).expect_status(201);
    let page = path(&setup["checkout_url"]);
    let shown = client.get(&page);
    assert_eq!((shown.status, shown.header("content-security-policy")), (200, Some(drawdown_pages::POLICY)));
    let answer = send_form(client, &page, &format!("token=x&number={number}&expiry=12%2F35&cvc=123"));
    assert_eq!((answer.status, answer.header("location")), (303, Some(page.as_str())));
    let done = String::from_utf8(client.get(&page).body).expect("text");
    assert!(done.contains("https://shop.example/cards"), "the way back is shown: {done}");
    let page = client.get(&methods).expect_status(200);
    // They come by ids, which are random.
    let last4 = &number[number.len() - 4..];
    let mut methods = page["data"].as_array().expect("methods").iter();
    methods.find(|method| method["last4"] == last4).cloned().expect("the card")
}

/// Asks until something is so.
pub(super) fn until(client: &mut Client, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = client.get(path).expect_status(200);
        if is_so(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain: {answer}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_saved_card_is_charged_refunded_and_taken_away() {
    let (server, bank) = set_up();
    let mut client = server.client();
    let card = save_card(&mut client, "4242+4242+4242+4242");
    assert_eq!((&card["brand"], &card["last4"], &card["default"]), (&json!("visa"), &json!("4242"), &json!(true)));
    let order = json!({"customer": "cus", "package": "starter", "key": "order-1"});
    let paid = client.post("/v1/top-ups", &order).expect_status(201);
    assert_eq!(
        (&paid["status"], &paid["provider"], &paid["collection"]),
        (&json!("completed"), &json!("simulated"), &json!("charge"))
    );
    assert_eq!((&paid["payment_method"], &paid["credited"]), (&card["id"], &json!("1000")));
    assert_eq!(client.post("/v1/top-ups", &order).expect_status(201)["id"], paid["id"]);
    assert_eq!(bank.book().charges().len(), 1, "once");
    let id = paid["id"].as_str().expect("an id");
    let refunded =
        client.post(&format!("/v1/top-ups/{id}/refund"), &json!({"amount": "9.99", "key": "half"})).expect_status(200);
    assert_eq!((&refunded["status"], &refunded["refunded"]), (&json!("partially_refunded"), &json!("9.99")));
    assert_eq!(refunded["refunds"][0]["status"], "succeeded");
    // Its receipt, for programs, for people, and on paper.
    let invoice = format!("/v1/invoices/{}", paid["invoice"].as_str().expect("an invoice"));
    assert_eq!(client.get(&invoice).expect_status(200)["status"], "paid");
    let page = client.send("GET", &invoice, &[("accept", "text/html,*/*;q=0.8")], b"");
    let text = String::from_utf8(page.body.clone()).expect("text");
    assert!(page.status == 200 && text.contains("Visa ending in 4242") && text.contains("19.99"), "{text}");
    let paper = client.send("GET", &invoice, &[("accept", "application/pdf")], b"");
    assert_eq!(
        (paper.status, paper.header("content-type"), &paper.body[..5]),
        (200, Some("application/pdf"), &b"%PDF-"[..])
    );
    client.get(&format!("{invoice}?format=doc")).expect_problem(400, "invalid_parameter");
    client.post(&format!("/v1/top-ups/{id}/confirm"), &json!({"amount": "1"})).expect_problem(409, "not_confirmable");
    let method = format!("/v1/customers/cus/payment-methods/{}", card["id"].as_str().expect("an id"));
    assert_eq!(client.send("DELETE", &method, &[], b"").expect_status(200)["status"], "detached");
    assert_eq!(client.send("DELETE", &method, &[], b"").expect_status(200)["status"], "detached");
    client.post(&format!("{method}/default"), &json!({})).expect_problem(409, "payment_method_detached");
    client
        .send("DELETE", "/v1/customers/cus/payment-methods/pm_none", &[], b"")
        .expect_problem(404, "unknown_payment_method");
    // Without a card there is a page.
    let next = client.post("/v1/top-ups", &json!({"customer": "cus", "package": "starter"})).expect_status(201);
    assert_eq!((&next["collection"], &next["status"]), (&json!("checkout"), &json!("created")));
    assert!(next["checkout_url"].is_string());
}

#[test]
fn a_page_takes_money_after_declines_and_confirmation_and_leads_back() {
    let (server, _bank) = set_up();
    let mut client = server.client();
    let order = json!({"customer": "cus", "package": "starter", "return_url": "https://shop.example/back?x=1"});
    let made = client.post("/v1/top-ups", &order).expect_status(201);
    let (id, page) = (made["id"].as_str().expect("an id").to_owned(), path(&made["checkout_url"]));
    let shown = String::from_utf8(client.get(&page).body).expect("text");
    assert!(shown.contains("19.99") && shown.contains("EUR") && shown.contains("4242 4242 4242 4242"), "{shown}");
    assert_eq!(send_form(&mut client, &page, "number=1234").status, 422);
    assert_eq!(send_form(&mut client, &page, "number=4000000000000341").status, 422);
    assert_eq!(send_form(&mut client, &page, "number=%zz").status, 400);
    let asked = send_form(&mut client, &page, "number=4000002760003184");
    let confirmation = asked.header("location").expect("a way").to_owned();
    assert!(confirmation.starts_with("/authenticate/"), "{confirmation}");
    let waiting = until(&mut client, &format!("/v1/top-ups/{id}"), |top_up| top_up["status"] == "requires_action");
    assert_eq!(waiting["credited"], "0");
    assert_eq!(client.get(&confirmation).status, 200);
    assert_eq!(send_form(&mut client, &confirmation, "answer=yes").status, 303);
    let paid = until(&mut client, &format!("/v1/top-ups/{id}"), |top_up| top_up["status"] == "completed");
    assert_eq!((&paid["credited"], client.balance("cus").as_str()), (&json!("1000"), "1000"));
    let session = page.strip_prefix("/checkout/").expect("a session");
    let done = String::from_utf8(client.get(&page).body).expect("text");
    assert!(done.contains(&format!("session={session}")) && done.contains("https://shop.example/back?x=1"), "{done}");
    assert_eq!(client.get("/checkout/none").status, 404);
    assert_eq!(client.get("/setup/none").status, 404);
    assert_eq!(client.get("/authenticate/none").status, 404);
    assert_eq!(client.get("/portal/portal.css").header("content-type"), Some("text/css; charset=utf-8"));
}

#[test]
fn a_low_wallet_buys_by_itself_and_a_declined_card_is_told() {
    let (server, bank) = set_up();
    let mut client = server.client();
    save_card(&mut client, "4242424242424242");
    client.post("/v1/grants", &json!({"customer": "cus", "currency": "credits", "amount": "100"})).expect_status(201);
    let rule = json!({"threshold": "50", "mode": "package", "package": "starter"});
    client.put("/v1/customers/cus/auto-topup-rules/credits", &rule).expect_status(200);
    client
        .post("/v1/events", &json!({"id": "e1", "customer": "cus", "currency": "credits", "amount": "60"}))
        .expect_status(200);
    let wallet = "/v1/wallets/cus/credits";
    until(&mut client, wallet, |wallet| wallet["balance"] == "1040");
    assert_eq!(bank.book().charges().len(), 1);
    let page = client.get("/v1/top-ups?customer=cus").expect_status(200);
    assert_eq!((&page["data"][0]["kind"], &page["data"][0]["status"]), (&json!("auto"), &json!("completed")));
    // The next time with a card that is declined for good.
    let stolen = save_card(&mut client, "4000000000009979");
    let stolen = stolen["id"].as_str().expect("an id");
    client.post(&format!("/v1/customers/cus/payment-methods/{stolen}/default"), &json!({})).expect_status(200);
    client
        .post("/v1/events", &json!({"id": "e2", "customer": "cus", "currency": "credits", "amount": "1000"}))
        .expect_status(200);
    let path = "/v1/customers/cus/auto-topup-rules/credits";
    until(&mut client, path, |rule| rule["status"] == "suspended");
    client.post(&format!("{path}/resume"), &json!({})).expect_status(200);
    client
        .post("/v1/customers/none/auto-topup-rules/credits/resume", &json!({}))
        .expect_problem(404, "unknown_auto_topup_rule");
}

#[test]
fn what_is_not_from_the_provider_is_refused_and_what_is_again_is_harmless() {
    let (server, _bank) = set_up();
    let mut client = server.client();
    let secret = webhooks::Secret::new(&server.engine.secret_for("a test's bank")).expect("32 bytes");
    let now_s = server.engine.now().millis() / 1_000;
    let body = br#"{"id":"sim_evt_9","created_s":1,"event":{"Other":{"kind":"nothing"}}}"#;
    let mut send = |secret: &webhooks::Secret, at_s: u64, body: &[u8]| {
        let signed = webhooks::sign(std::slice::from_ref(secret), "sim_evt_9", at_s, body).expect("signed");
        let headers: Vec<(&str, &str)> =
            signed.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        client.send("POST", "/v1/providers/simulated/webhook", &headers, body)
    };
    assert_eq!(send(&secret, now_s, body).expect_status(200), json!({"received": true}));
    send(&secret, now_s, body).expect_status(200);
    send(&secret, now_s - 3_600, body).expect_problem(400, "invalid_parameter");
    let other = webhooks::Secret::new(&[7; 32]).expect("32 bytes");
    send(&other, now_s, body).expect_problem(400, "invalid_parameter");
    send(&secret, now_s, b"{}").expect_problem(400, "malformed_body");
    client.send("POST", "/v1/providers/simulated/webhook", &[], body).expect_problem(400, "invalid_parameter");
    client.send("POST", "/v1/providers/external/webhook", &[], body).expect_problem(404, "unknown_provider");
    client.send("POST", "/v1/providers/none/webhook", &[], body).expect_problem(404, "unknown_provider");
}

#[test]
fn what_providers_cannot_do_is_refused_and_other_systems_have_their_page() {
    let (server, _bank) = set_up();
    let mut client = server.client();
    let methods = "/v1/customers/cus/payment-methods";
    let problem = client.post(methods, &json!({"provider": "stripe"})).expect_problem(400, "invalid_field");
    assert_eq!(problem["field"], "provider");
    client.post(methods, &json!({"provider": "external"})).expect_problem(409, "provider_cannot");
    let problem =
        client.post(methods, &json!({"return_url": "javascript:alert(1)"})).expect_problem(400, "invalid_field");
    assert_eq!(problem["field"], "return_url");
    let order = json!({"customer": "cus", "package": "starter", "provider": "stripe"});
    assert_eq!(client.post("/v1/top-ups", &order).expect_problem(422, "invalid_value")["field"], "provider");
    let order = json!({"customer": "cus", "package": "starter", "provider": "external"});
    let made = client.post("/v1/top-ups", &order).expect_status(201);
    let id = made["id"].as_str().expect("an id");
    assert_eq!(made["checkout_url"], format!("https://pay.example/{id}?sum=1999"));
    assert_eq!(client.post(&format!("/v1/top-ups/{id}/confirm"), &json!({})).expect_status(200)["status"], "completed");
    // Without providers there is nothing to collect with.
    let bare = TestServer::start();
    let problem = bare.client().post(methods, &json!({})).expect_problem(400, "invalid_field");
    assert_eq!(problem["field"], "provider");
}

#[test]
fn the_rest_of_a_charge_is_paid_by_card_and_listed_beside_the_wallets_part() {
    let (server, bank) = set_up();
    let mut client = server.client();
    let cash = json!({"scale": 0, "kind": "fiat", "iso_code": "EUR"});
    client.put("/v1/credit-currencies/cash", &cash).expect_status(200);
    let grant =
        json!({"customer": "cus", "currency": "cash", "amount": "1000", "source": "top_up", "category": "paid"});
    client.post("/v1/grants", &grant).expect_status(201);
    let card = save_card(&mut client, "4242+4242+4242+4242");
    let order = json!({"customer": "cus", "currency": "cash", "amount": "2500", "invoice": "2026-11", "key": "nov"});
    let charge = client.post("/v1/charges", &order).expect_status(201);
    let payment = &charge["payment"];
    assert_eq!((&charge["from_wallet"], &charge["to_pay"]), (&json!("1000"), &json!("1500")));
    assert_eq!((&payment["status"], &payment["amount"]), (&json!("completed"), &json!("15.00")));
    assert_eq!(client.post("/v1/charges", &order).expect_status(201)["payment"], *payment);
    assert_eq!(bank.book().charges().len(), 1, "once");
    let shown = client.get(&format!("/v1/charges/{}", charge["id"].as_str().expect("an id"))).expect_status(200);
    assert_eq!(shown["payment"], *payment);
    let path = format!("/v1/invoices/{}", payment["invoice"].as_str().expect("an invoice"));
    let invoice = client.get(&path).expect_status(200);
    assert_eq!(
        (&invoice["status"], &invoice["total"], &invoice["reference"], &invoice["charge_entry"]),
        (&json!("paid"), &json!("25.00"), &json!("2026-11"), &charge["entry"])
    );
    let by_wallet = json!({"by": "wallet", "amount": "10.00", "payment_method": null});
    let by_card = json!({"by": "payment_method", "amount": "15.00", "payment_method": card["id"]});
    assert_eq!(invoice["paid"], json!([by_wallet, by_card]));
    let top_up = client.get(&format!("/v1/top-ups/{}", payment["top_up"].as_str().expect("an id"))).expect_status(200);
    assert_eq!((&top_up["kind"], &top_up["credit_status"]), (&json!("charge"), &json!("none")));
    let refused = json!({"customer": "cus", "currency": "cash", "amount": "1", "kind": "charge"});
    client.post("/v1/top-ups", &refused).expect_problem(400, "invalid_field");
}

#[test]
fn a_disputed_payments_credits_are_frozen_and_gone_when_it_is_lost() {
    let (server, bank) = set_up();
    let mut client = server.client();
    save_card(&mut client, "4000+0000+0000+0259");
    let order = json!({"customer": "cus", "package": "starter", "key": "order-1"});
    let paid = client.post("/v1/top-ups", &order).expect_status(201);
    let wallet = until(&mut client, "/v1/wallets/cus/credits", |wallet| wallet["frozen"] == "1000");
    assert_eq!(
        (&wallet["balance"], &wallet["held"], &wallet["available"], &wallet["holds"]),
        (&json!("1000"), &json!("1000"), &json!("0"), &json!(0))
    );
    assert_eq!((&wallet["grants"][0]["frozen"], &wallet["grants"][0]["remaining"]), (&json!("1000"), &json!("1000")));
    let top_up = format!("/v1/top-ups/{}", paid["id"].as_str().expect("an id"));
    assert_eq!(client.get(&top_up).expect_status(200)["status"], "disputed");
    client.post(&format!("{top_up}/refund"), &json!({"key": "r"})).expect_problem(409, "payment_in_dispute");
    let history = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    assert_eq!((&history["data"][0]["type"], &history["data"][0]["held"]), (&json!("freeze"), &json!("1000")));
    let charge = bank.book().charges().keys().next().cloned().expect("a charge");
    let other = SimulatedBank::new(Arc::new(bank.clone()), PAGES.to_owned(), [0; 32]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let dispute = other.provider().open_dispute(&charge, 0).await.expect("the one that is open");
        other.provider().close_dispute(&dispute, DisputeEnd::Lost, 0).await.expect("an open dispute");
    });
    let wallet = until(&mut client, "/v1/wallets/cus/credits", |wallet| wallet["balance"] == "0");
    assert_eq!((&wallet["frozen"], &wallet["available"]), (&json!("0"), &json!("0")));
    assert_eq!(client.get(&top_up).expect_status(200)["status"], "dispute_lost");
}

#[test]
fn an_invoice_whose_payment_was_declined_is_paid_by_another_card() {
    let (server, bank) = set_up();
    let mut client = server.client();
    let cash = json!({"scale": 0, "kind": "fiat", "iso_code": "EUR"});
    client.put("/v1/credit-currencies/cash", &cash).expect_status(200);
    let grant =
        json!({"customer": "cus", "currency": "cash", "amount": "1000", "source": "top_up", "category": "paid"});
    client.post("/v1/grants", &grant).expect_status(201);
    save_card(&mut client, "4000+0000+0000+9979");
    let order = json!({"customer": "cus", "currency": "cash", "amount": "2500", "invoice": "2026-11", "key": "nov"});
    let payment = client.post("/v1/charges", &order).expect_status(201)["payment"].clone();
    assert_eq!(payment["status"], "failed");
    let invoice = format!("/v1/invoices/{}", payment["invoice"].as_str().expect("an invoice"));
    assert_eq!(client.get(&invoice).expect_status(200)["status"], "open");
    let pay = format!("{invoice}/pay");
    let bad = client.post(&pay, &json!({"payment_method": "pm_none"})).expect_problem(422, "invalid_value");
    assert_eq!(bad["field"], "payment_method");
    let bad = client.post(&pay, &json!({"return_url": "javascript:alert(1)"})).expect_problem(422, "invalid_value");
    assert_eq!(bad["field"], "return_url");
    let card = save_card(&mut client, "4242+4242+4242+4242");
    let ask = json!({"payment_method": card["id"], "key": "again"});
    let paid = client.post(&pay, &ask).expect_status(201);
    assert_eq!(
        (&paid["status"], &paid["kind"], &paid["amount"], &paid["invoice"]),
        (&json!("completed"), &json!("charge"), &json!("15.00"), &payment["invoice"])
    );
    assert_eq!(client.post(&pay, &ask).expect_status(201)["id"], paid["id"]);
    assert_eq!(bank.book().charges().len(), 2, "one that was declined, and one that was not");
    let shown = client.get(&invoice).expect_status(200);
    assert_eq!((&shown["status"], shown["paid"].as_array().map(Vec::len)), (&json!("paid"), Some(2)));
    client.post(&pay, &json!({})).expect_problem(409, "invoice_paid");
    client.post("/v1/invoices/INV-999999/pay", &json!({})).expect_problem(404, "unknown_invoice");
    let order = json!({"customer": "cus", "currency": "credits", "package": "starter", "payment_method": card["id"]});
    let bought = client.post("/v1/top-ups", &order).expect_status(201);
    let of_purchase = format!("/v1/invoices/{}/pay", bought["invoice"].as_str().expect("an invoice"));
    client.send("POST", &of_purchase, &[], b"").expect_problem(409, "invoice_of_top_up");
}
