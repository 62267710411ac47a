//! Every type of event that is promised comes out: in the feed, alone when it is asked for alone, and at receivers of webhooks, signed and in
//! the order of its wallet.

use super::payments::{PAGES, save_card_of};
use super::webhooks::{Hook, Hooks, Sending};
use super::*;
use drawdown::ledger::Timestamp;
use drawdown::payments::{Config, Payments, SimulatedBank};
use drawdown_outbound::providers::external::External;
use drawdown_outbound::providers::simulated::Local;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

const PROMISED: [&str; 40] = [
    "customer.created",
    "customer.updated",
    "customer.archived",
    "customer.erased",
    "wallet.created",
    "wallet.updated",
    "wallet.frozen",
    "wallet.closed",
    "grant.created",
    "grant.activated",
    "grant.depleted",
    "grant.expired",
    "grant.voided",
    "debit.applied",
    "debit.rejected",
    "hold.created",
    "hold.captured",
    "hold.updated",
    "hold.released",
    "hold.expired",
    "balance.low",
    "balance.depleted",
    "balance.negative",
    "balance.recovered",
    "top_up.created",
    "top_up.requires_action",
    "top_up.completed",
    "top_up.failed",
    "top_up.expired",
    "top_up.canceled",
    "top_up.refunded",
    "top_up.disputed",
    "auto_top_up.triggered",
    "auto_top_up.skipped",
    "auto_top_up.failed",
    "auto_top_up.suspended",
    "auto_top_up.resumed",
    "invoice.paid",
    "grant.frozen",
    "debt.repaid",
];

/// A server that sends webhooks and buys of a bank, both by a clock that the test holds.
fn set_up() -> Sending {
    let sending = Sending::with(|app, engine| {
        let simulated = SimulatedBank::new(Arc::new(Local::in_memory()), PAGES.to_owned(), engine.secret_for("a bank"));
        let outside = External::new(None).expect("no address");
        let mut config = Config::new(vec![Arc::new(simulated.provider().clone()), Arc::new(outside)], PAGES);
        config.simulated = Some(simulated);
        (config.retry, config.retry_max) = (Duration::from_millis(5), Duration::from_millis(50));
        app.with_payments(Payments::start(engine, config))
    });
    let price = json!({"amount": "19.99", "currency": "EUR"});
    let package = json!({"credits": "1000", "price": price, "currency": "credits"});
    sending.server.client().put("/v1/credit-packages/starter", &package).expect_status(200);
    sending
}

fn debit(client: &mut Client, id: &str, customer: &str, amount: &str, policy: &str) -> Answer {
    let event =
        json!({"id": id, "customer": customer, "currency": "credits", "amount": amount, "on_insufficient": policy});
    client.post("/v1/events", &event)
}

fn grant(client: &mut Client, customer: &str, change: &Value) -> String {
    let mut grant = json!({"customer": customer, "currency": "credits", "amount": "100"});
    grant.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
    let made = client.post("/v1/grants", &grant).expect_status(201);
    made["id"].as_str().expect("an id").to_owned()
}

fn post(client: &mut Client, path: &str) -> Value {
    client.post(path, &json!({})).expect_status(200)
}

/// Customers come and go.
fn live(client: &mut Client) {
    client.put("/v1/customers/cus", &json!({"name": "Ada"})).expect_status(200);
    client.patch("/v1/customers/cus", &json!({"email": "ada@example.com"})).expect_status(200);
    client.put("/v1/customers/gone", &json!({"name": "Bob"})).expect_status(200);
    post(client, "/v1/customers/gone/archive");
    client.send("DELETE", "/v1/customers/gone/personal-data", &[], b"").expect_status(200);
}

/// A wallet is used up, overdrawn, filled, frozen; another one is closed.
fn use_up(client: &mut Client) {
    let levels = json!({"levels": [{"name": "low", "amount": "50"}]});
    client.put("/v1/wallets/cus/credits/alerts", &levels).expect_status(200);
    debit(client, "e1", "cus", "60", "reject").expect_status(200);
    debit(client, "e2", "cus", "60", "reject").expect_problem(402, "insufficient_credit");
    debit(client, "e3", "cus", "40", "reject").expect_status(200);
    debit(client, "e4", "cus", "5", "overdraft").expect_status(200);
    grant(client, "cus", &json!({}));
    let voided = grant(client, "cus", &json!({}));
    post(client, &format!("/v1/grants/{voided}/void"));
    let hold = json!({"customer": "cus", "currency": "credits", "amount": "10", "ttl_seconds": 60});
    for _ in 0..2 {
        let made = client.post("/v1/holds", &hold).expect_status(201);
        let path = format!("/v1/holds/{}", made["id"].as_str().expect("an id"));
        client.post(&format!("{path}/capture"), &json!({"amount": "3"})).expect_status(200);
        client.post(&format!("{path}/extend"), &json!({"ttl_seconds": 90})).expect_status(200);
    }
    let made = client.post("/v1/holds", &hold).expect_status(201);
    post(client, &format!("/v1/holds/{}/release", made["id"].as_str().expect("an id")));
    client.patch("/v1/wallets/cus/credits", &json!({"status": "frozen"})).expect_status(200);
    debit(client, "e5", "cus", "1", "reject").expect_problem(422, "wallet_frozen");
    client.patch("/v1/wallets/cus/credits", &json!({"status": "active"})).expect_status(200);
    grant(client, "shut", &json!({}));
    client.patch("/v1/wallets/shut/credits", &json!({"status": "closed"})).expect_status(200);
}

fn buy(client: &mut Client, customer: &str, change: &Value) -> Value {
    let mut order = json!({"customer": customer, "package": "starter"});
    order.as_object_mut().expect("fields").extend(change.as_object().expect("fields").clone());
    client.post("/v1/top-ups", &order).expect_status(201)
}

/// Payments of all kinds.
fn pay(client: &mut Client) {
    save_card_of(client, "pay", "4242424242424242");
    let paid = buy(client, "pay", &json!({}));
    post(client, &format!("/v1/top-ups/{}/refund", paid["id"].as_str().expect("an id")));
    save_card_of(client, "disputes", "4000000000000259");
    buy(client, "disputes", &json!({}));
    save_card_of(client, "declined", "4000000000000341");
    assert_eq!(buy(client, "declined", &json!({}))["status"], "failed");
    save_card_of(client, "secure", "4000002760003184");
    assert_eq!(buy(client, "secure", &json!({}))["status"], "requires_action");
    let called_off = buy(client, "pay", &json!({"provider": "external", "kind": "offline"}));
    post(client, &format!("/v1/top-ups/{}/cancel", called_off["id"].as_str().expect("an id")));
    buy(client, "pay", &json!({"provider": "external", "kind": "offline"}));
}

/// Rules of who has a card, a stolen one, and none.
fn refill(client: &mut Client) {
    let rule = json!({"threshold": "50", "mode": "package", "package": "starter"});
    save_card_of(client, "stolen", "4000000000009979");
    for customer in ["pay", "stolen", "bare"] {
        grant(client, customer, &json!({"amount": "10"}));
        client.put(&format!("/v1/customers/{customer}/auto-topup-rules/credits"), &rule).expect_status(200);
    }
    let path = "/v1/customers/stolen/auto-topup-rules/credits";
    super::payments::until(client, path, |rule| rule["status"] == "suspended");
    post(client, &format!("{path}/resume"));
}

/// All that the feed tells, in its order.
fn feed(client: &mut Client, query: &str) -> Vec<Value> {
    let (mut after, mut all) = (String::new(), Vec::new());
    loop {
        let page = client.get(&format!("/v1/feed?limit=1000{after}{query}")).expect_status(200);
        all.extend(page["data"].as_array().expect("events").iter().cloned());
        if page["at_end"] == true {
            return all;
        }
        after = format!("&after={}", page["next_cursor"].as_str().expect("a cursor"));
    }
}

fn types(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}

/// Reads the feed until it has told all that is promised.
fn feed_of_all(client: &mut Client) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let told = feed(client, "");
        let kinds = types(&told);
        let missing: Vec<_> = PROMISED.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
        if missing.is_empty() {
            return told;
        }
        assert!(begun.elapsed() < PATIENCE, "not told: {missing:?}");
        std::thread::yield_now();
    }
}

/// Ids of events by what they are about.
fn by_wallet(events: &[Value]) -> BTreeMap<(String, String), Vec<String>> {
    let mut wallets: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        wallets.entry((text("customer"), text("currency"))).or_default().push(text("id"));
    }
    wallets
}

#[test]
fn every_event_that_is_promised_is_told_in_order_and_by_filter() {
    let sending = set_up();
    let (all, some) = (Hooks::start(0), Hooks::start(0));
    let secret = sending.make(&all, &json!(["*"]))["secret"].as_str().expect("a secret").to_owned();
    sending.make(&some, &json!(["auto_top_up.*", "debit.rejected"]));
    let mut client = sending.server.client();
    let begun = feed(&mut client, "").len();
    live(&mut client);
    let now_ms = sending.server.engine.now().millis();
    let at = |ms| drawdown::http::time_text(Timestamp::from_millis(now_ms + ms));
    grant(&mut client, "later", &json!({"effective_at": at(1_800_000)}));
    grant(&mut client, "later", &json!({"expires_at": at(3_600_000)}));
    use_up(&mut client);
    pay(&mut client);
    refill(&mut client);
    sending.clock.set(Timestamp::from_millis(now_ms + 2 * 3_600_000));
    let told = feed_of_all(&mut client).split_off(begun);

    // By type: that one and no other.
    for kind in PROMISED {
        let alone = feed(&mut client, &format!("&types={kind}"));
        assert_eq!(types(&alone), BTreeSet::from([kind.to_owned()]));
    }
    let refused: Vec<_> = told.iter().filter(|event| event["type"] == "debit.rejected").collect();
    assert_eq!(
        (&refused[0]["data"]["reason"], &refused[0]["data"]["event_id"], &refused[0]["data"]["available"]),
        (&json!("insufficient_credit"), &json!("e2"), &json!("40"))
    );

    // To receivers: the same events, those of a wallet in the same order, signed.
    let all = receive(&all, &told, |hook| hook.verify(&[&secret], hook.sent_s()));
    let wants = |event: &Value| {
        let kind = event["type"].as_str().expect("a type");
        kind.starts_with("auto_top_up.") || kind == "debit.rejected"
    };
    let of_some: Vec<_> = told.into_iter().filter(|event| wants(event)).collect();
    let some = receive(&some, &of_some, |_| ());
    assert!(some.iter().all(wants));
    let in_feed = feed(&mut client, "").split_off(begun);
    let some_in_feed: Vec<_> = in_feed.iter().filter(|event| wants(event)).cloned().collect();
    for (received, in_feed) in [(all, in_feed), (some, some_in_feed)] {
        let told = by_wallet(&in_feed);
        for (wallet, ids) in by_wallet(&received) {
            assert!(told[&wallet].starts_with(&ids), "{wallet:?}: {ids:?} in {:?}", told[&wallet]);
        }
    }
}

/// Takes webhooks until all of these events have come; there may be more by then.
fn receive(hooks: &Hooks, events: &[Value], check: impl Fn(&Hook)) -> Vec<Value> {
    let mut missing: BTreeSet<String> = events.iter().map(|event| event["id"].to_string()).collect();
    let mut received = Vec::new();
    while !missing.is_empty() {
        let hook = hooks.take(200);
        check(&hook);
        let event = hook.event()["data"].clone();
        missing.remove(&event["id"].to_string());
        received.push(event);
    }
    received
}
