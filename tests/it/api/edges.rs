//! Rules whose edges are seen over HTTP: when a hold ends by itself and is captured after that, closed wallets, credits kept behind a contract,
//! wallets that begin at zero, packages' own limits.

use super::*;
use drawdown::engine::ManualClock;
use drawdown::ledger::Timestamp;

const NOW_MS: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60_000;

/// A funded server whose clock the test holds.
fn timed() -> (TestServer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW_MS)));
    let mut config = EngineConfig::default();
    config.log.segment_bytes = 4 << 20;
    config.log.max_frame_bytes = 512 << 10;
    config.log.segments_ahead = 1;
    config.log.max_unsynced_bytes = 4 << 20;
    let medium = Arc::new(drawdown_wal::Heap::new());
    let engine = Engine::open_on(medium, config, clock.clone()).expect("opens").0;
    let server = TestServer::over(engine, Limits::default(), Gate::Open);
    server.fund();
    (server, clock)
}

#[test]
fn a_hold_lasts_fifteen_minutes_and_a_capture_after_that_is_a_new_debit_and_says_so() {
    let (server, clock) = timed();
    let mut client = server.client();
    let hold = json!({"customer": "cus", "currency": "credits", "amount": "60"});
    let made = client.post("/v1/holds", &hold).expect_status(201);
    let path = format!("/v1/holds/{}", made["id"].as_str().expect("an id"));
    clock.set(Timestamp::from_millis(NOW_MS + 15 * MINUTE - 1));
    assert_eq!(client.get(&path).expect_status(200)["status"], "open");
    let wallet = "/v1/wallets/cus/credits";
    assert_eq!(client.get(wallet).expect_status(200)["available"], "40");
    clock.set(Timestamp::from_millis(NOW_MS + 15 * MINUTE));
    assert_eq!(client.get(wallet).expect_status(200)["available"], "100");
    assert_eq!(client.get(&path).expect_status(200)["status"], "expired");
    let captured = client.post(&format!("{path}/capture"), &json!({"amount": "60"})).expect_status(200);
    assert_eq!((&captured["late"], &captured["amount"]), (&json!(true), &json!("60")));
    assert_eq!(client.balance("cus"), "40");
    let told = client.get("/v1/feed?types=hold.expired,hold.captured").expect_status(200);
    assert_eq!(
        (&told["data"][0]["type"], &told["data"][1]["type"], &told["data"][1]["data"]["late"]),
        (&json!("hold.expired"), &json!("hold.captured"), &json!("true"))
    );
}

#[test]
fn a_closed_wallet_refuses_usage_and_what_was_left_is_written_off() {
    let (server, _clock) = timed();
    let mut client = server.client();
    let hold = json!({"customer": "cus", "currency": "credits", "amount": "1"});
    let held = client.post("/v1/holds", &hold).expect_status(201);
    let close = json!({"status": "closed"});
    client.patch("/v1/wallets/cus/credits", &close).expect_problem(422, "wallet_held");
    client
        .send("POST", &format!("/v1/holds/{}/release", held["id"].as_str().expect("an id")), &[], b"")
        .expect_status(200);
    client.patch("/v1/wallets/cus/credits", &close).expect_status(200);
    assert_eq!(client.balance("cus"), "0");
    let event = |id: &str| json!({"id": id, "customer": "cus", "currency": "credits", "amount": "1"});
    client.post("/v1/events", &event("e1")).expect_problem(422, "wallet_closed");
    let batch = client.post("/v1/events", &json!([event("e2")])).expect_status(200);
    assert_eq!(
        (&batch["results"][0]["status"], &batch["results"][0]["reason"]),
        (&json!("rejected"), &json!("wallet_closed"))
    );
    let entries = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let mut entries = entries["data"].as_array().expect("entries").iter();
    let written_off = entries.find(|entry| entry["type"] == "write_off").expect("an entry of its own");
    assert_eq!((&written_off["amount"], &written_off["balance_after"]), (&json!("-100"), &json!("0")));
}

/// A contract's credits expire and come first though they were granted last; a package behind it is spent when they have ended.
#[test]
fn a_package_is_kept_behind_the_end_of_a_contract() {
    let (server, clock) = timed();
    let mut client = server.client();
    let grant = |source: &str, amount: &str, priority: Option<u8>, expires_at: Option<u64>| {
        json!({
            "customer": "kept", "currency": "credits", "amount": amount, "source": source, "category": "paid", "priority": priority,
            "expires_at": expires_at.map(|at| drawdown::http::time_text(Timestamp::from_millis(at))),
        })
    };
    let end = NOW_MS + 60 * MINUTE;
    client.post("/v1/grants", &grant("package", "50", Some(100), None)).expect_status(201);
    client.post("/v1/grants", &grant("package", "30", None, None)).expect_status(201);
    client.post("/v1/grants", &grant("contract", "20", None, Some(end))).expect_status(201);
    let priorities = |client: &mut Client| {
        let wallet = client.get("/v1/wallets/kept/credits").expect_status(200);
        let grants = wallet["grants"].as_array().expect("grants").clone();
        grants.iter().map(|grant| (grant["priority"].clone(), grant["remaining"].clone())).collect::<Vec<_>>()
    };
    let expected = |list: &[(u8, &str)]| list.iter().map(|(p, left)| (json!(p), json!(left))).collect::<Vec<_>>();
    assert_eq!(priorities(&mut client), expected(&[(10, "20"), (50, "30"), (100, "50")]));
    let event = |id: &str, amount: &str| json!({"id": id, "customer": "kept", "currency": "credits", "amount": amount});
    client.post("/v1/events", &event("e1", "35")).expect_status(200);
    assert_eq!(priorities(&mut client), expected(&[(50, "15"), (100, "50")]));
    clock.set(Timestamp::from_millis(end));
    client.post("/v1/events", &event("e2", "20")).expect_status(200);
    assert_eq!(priorities(&mut client), expected(&[(100, "45")]));
}

#[test]
fn a_wallet_begins_at_zero_and_can_be_set_up_before_its_first_credits() {
    let (server, _clock) = timed();
    let mut client = server.client();
    let path = "/v1/wallets/new/credits";
    client.get(path).expect_problem(404, "unknown_wallet");
    let made = client.put(path, &json!({})).expect_status(200);
    assert_eq!((&made["balance"], &made["status"], &made["grants"]), (&json!("0"), &json!("active"), &json!([])));
    let set = client.put(path, &json!({"floor": "-10", "metadata": {"plan": "pro"}})).expect_status(200);
    assert_eq!((&set["available"], &set["metadata"]["plan"]), (&json!("10"), &json!("pro")));
    client.put("/v1/wallets/new/none", &json!({})).expect_problem(404, "unknown_currency");
    let usage = json!({"id": "e", "customer": "new", "currency": "credits", "amount": "4"});
    assert_eq!(client.post("/v1/events", &usage).expect_status(200)["results"][0]["balance"], "-4");
    let told = client.get("/v1/feed?types=wallet.created").expect_status(200);
    assert_eq!(told["data"].as_array().map(Vec::len), Some(2), "the funded one and this: {told}");
}

#[test]
fn a_package_keeps_its_priority_its_validity_its_price_and_how_often_it_is_sold() {
    let (server, _clock) = timed();
    let mut client = server.client();
    let package = json!({
        "credits": "100", "bonus": "20", "price": {"amount": "10", "currency": "EUR"}, "currency": "credits",
        "valid_for_seconds": 86_400, "max_per_customer": 2,
    });
    client.put("/v1/credit-packages/starter", &package).expect_status(200);
    let order = |quantity: u32| json!({"customer": "buyer", "package": "starter", "quantity": quantity, "provider": "external"});
    client.post("/v1/top-ups", &order(3)).expect_problem(409, "package_limit_reached");
    let made = client.post("/v1/top-ups", &order(1)).expect_status(201);
    let confirm = format!("/v1/top-ups/{}/confirm", made["id"].as_str().expect("an id"));
    let paid = client.send("POST", &confirm, &[], b"").expect_status(200);
    let grant = client.get(&format!("/v1/grants/{}", paid["grant"].as_str().expect("a grant"))).expect_status(200);
    let ends = drawdown::http::time_text(Timestamp::from_millis(NOW_MS + 86_400_000));
    assert_eq!(
        (&grant["priority"], &grant["amount"], &grant["category"], &grant["expires_at"]),
        (&json!(50), &json!("120"), &json!("paid"), &json!(ends))
    );
    assert_eq!(grant["cost_basis"], json!({"amount": 1_000, "currency": "EUR"}));
    client.post("/v1/top-ups", &order(2)).expect_problem(409, "package_limit_reached");
    client.post("/v1/top-ups", &order(1)).expect_status(201);
    let wallet = client.get("/v1/wallets/buyer/credits").expect_status(200);
    assert_eq!((&wallet["balance"], &wallet["pending_top_ups"]), (&json!("120"), &json!("120")), "one is on its way");
    // One that is waited for counts, and another customer is another.
    client.post("/v1/top-ups", &order(1)).expect_problem(409, "package_limit_reached");
    let mut other = order(2);
    other["customer"] = json!("other");
    client.post("/v1/top-ups", &other).expect_status(201);
}
