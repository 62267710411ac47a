//! Wallets, history, settings, the feed and operations.

use super::*;

#[test]
fn a_wallet_shows_everything_at_once_and_takes_changes() {
    let server = TestServer::funded();
    let mut client = server.client();
    let levels = json!({"levels": [
        {"name": "low", "amount": "50"},
        {"name": "half", "amount": 40, "trigger": "at_or_below", "margin": "5"},
    ]});
    let alerts = client.put("/v1/wallets/cus/credits/alerts", &levels).expect_status(200);
    assert_eq!(alerts["levels"][0]["state"], "ok");
    assert_eq!(client.get("/v1/wallets/cus/credits/alerts").expect_status(200), alerts);
    client.post("/v1/events", &json!({"id": "e", "customer": "cus", "amount": 60})).expect_status(200);
    let patch = json!({"floor": "-10", "metadata": {"plan": "pro"}, "status": "frozen"});
    client.patch("/v1/wallets/cus/credits", &patch).expect_status(200);
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    let expected = [
        ("customer", json!("cus")),
        ("currency", json!("credits")),
        ("status", json!("frozen")),
        ("balance", json!("40")),
        ("held", json!("0")),
        ("available", json!("50")),
        ("projected", json!("50")),
        ("committed", json!("0")),
        ("floor", json!("-10")),
        ("pending_top_ups", json!("0")),
        ("metadata", json!({"plan": "pro"})),
    ];
    for (field, value) in expected {
        assert_eq!(wallet[field], value, "{field}: {wallet}");
    }
    assert_eq!(wallet["grants"][0]["remaining"], "40");
    assert!(wallet["alerts"].as_array().expect("alerts").iter().all(|level| level["state"] == "triggered"), "{wallet}");
    let wallets = client.get("/v1/customers/cus/wallets").expect_status(200);
    assert_eq!((&wallets["data"][0]["balance"], &wallets["next_cursor"]), (&json!("40"), &Value::Null));
    assert_eq!(client.get("/v1/customers/nobody/wallets").expect_status(200)["data"], json!([]));
    client.get("/v1/wallets/nobody/credits").expect_problem(404, "unknown_wallet");
    client.get("/v1/wallets/cus/gold").expect_problem(404, "unknown_currency");
    client.patch("/v1/wallets/nobody/credits", &patch).expect_problem(404, "unknown_wallet");
    client.put("/v1/wallets/nobody/credits/alerts", &levels).expect_problem(404, "unknown_wallet");
}

#[test]
fn history_is_paged_from_the_newest_on() {
    let server = TestServer::funded();
    let mut client = server.client();
    for number in 1..=5 {
        let event = json!({"id": format!("e{number}"), "source": "gw", "customer": "cus", "meter": "tokens", "quantity": number * 100});
        client.post("/v1/events", &event).expect_status(200);
    }
    let mut path = "/v1/wallets/cus/credits/entries?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = client.get(&path).expect_status(200);
        seen.extend(page["data"].as_array().expect("entries").clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/wallets/cus/credits/entries?limit=2&before={next}");
    }
    let debits: Vec<_> = seen.iter().filter(|entry| entry["type"] == "debit").collect();
    let ids: Vec<_> = debits.iter().map(|entry| entry["event"]["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["e5", "e4", "e3", "e2", "e1"]);
    assert_eq!((&debits[0]["amount"], &debits[0]["balance_after"]), (&json!("-5"), &json!("85")));
    assert_eq!((&debits[0]["event"]["meter"], &debits[0]["event"]["quantity"]), (&json!("tokens"), &json!("500")));
    assert_eq!(debits[0]["allocations"][0]["amount"], "5");
    assert!(seen.iter().any(|entry| entry["type"] == "grant" && entry["amount"] == "100"), "{seen:?}");
    client.get("/v1/wallets/nobody/credits/entries").expect_problem(404, "unknown_wallet");
}

#[test]
fn settings_are_put_shown_and_listed_in_pages() {
    let server = TestServer::start();
    let mut client = server.client();
    for id in ["c", "a", "b"] {
        let currency =
            client.put(&format!("/v1/credit-currencies/{id}"), &json!({"scale": 2, "name": "C"})).expect_status(200);
        assert_eq!((&currency["id"], &currency["scale"], &currency["kind"]), (&json!(id), &json!(2), &json!("unit")));
        let meter = json!({"currency": id, "rate": "0.5", "rounding": "up", "on_insufficient": "overdraft"});
        let meter = client.put(&format!("/v1/meters/m.{id}"), &meter).expect_status(200);
        assert_eq!((&meter["rate"], &meter["currency"], &meter["rounding"]), (&json!("0.5"), &json!(id), &json!("up")));
        assert_eq!(client.get(&format!("/v1/meters/m.{id}")).expect_status(200), meter);
    }
    let euro = client
        .put("/v1/credit-currencies/euro", &json!({"kind": "fiat", "iso_code": "EUR", "max_balance": 500}))
        .expect_status(200);
    assert_eq!((&euro["iso_code"], &euro["max_balance"]), (&json!("EUR"), &json!("500")));
    assert_eq!(client.get("/v1/credit-currencies/euro").expect_status(200), euro);
    let page = client.get("/v1/credit-currencies?limit=2").expect_status(200);
    assert_eq!(
        (&page["data"][0]["id"], &page["data"][1]["id"], &page["next_cursor"]),
        (&json!("a"), &json!("b"), &json!("b"))
    );
    let page = client.get("/v1/credit-currencies?limit=2&cursor=b").expect_status(200);
    assert_eq!((&page["data"][1]["id"], &page["next_cursor"]), (&json!("euro"), &Value::Null));
    assert_eq!(client.get("/v1/meters").expect_status(200)["data"].as_array().map(Vec::len), Some(3));
    client.get("/v1/credit-currencies/gold").expect_problem(404, "unknown_currency");
    client.get("/v1/meters/gold").expect_problem(404, "unknown_meter");
    client.put("/v1/credit-currencies/a", &json!({"scale": 3})).expect_problem(409, "currency_in_use");
}

#[test]
fn balances_are_summed_over_wallets() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.post("/v1/grants", &json!({"customer": "two", "amount": "11"})).expect_status(201);
    let totals = |client: &mut Client, query: &str| {
        client.get(&format!("/v1/balances{query}")).expect_status(200)["data"].clone()
    };
    let all = totals(&mut client, "");
    assert_eq!(
        (&all[0]["balance"], &all[0]["wallets"], &all[0]["currency"]),
        (&json!("111"), &json!(2), &json!("credits"))
    );
    assert_eq!(totals(&mut client, "?customer=two")[0]["balance"], "11");
    assert_eq!(totals(&mut client, "?currency=credits&customer=cus")[0]["balance"], "100");
    assert_eq!(totals(&mut client, "?currency=gold"), json!([]));
}

#[test]
fn the_feed_tells_what_happened_and_waits_for_more() {
    let server = TestServer::funded();
    let mut client = server.client();
    let page = client.get("/v1/feed").expect_status(200);
    let types: Vec<_> = page["data"].as_array().expect("events").iter().map(|event| event["type"].clone()).collect();
    assert!(types.contains(&json!("grant.created")), "{types:?}");
    assert_eq!(page["at_end"], true);
    let next = page["next_cursor"].as_str().expect("a position").to_owned();
    let empty = client.get(&format!("/v1/feed?after={next}")).expect_status(200);
    assert_eq!(empty["data"], json!([]));
    let mut poster = server.client();
    let waiter = std::thread::spawn(move || {
        client.get(&format!("/v1/feed?after={next}&wait_ms=20000&types=debit.applied")).expect_status(200)
    });
    poster.post("/v1/grants", &json!({"customer": "cus", "amount": "1"})).expect_status(201);
    poster.post("/v1/events", &json!({"id": "e", "customer": "cus", "amount": 60})).expect_status(200);
    let page = waiter.join().expect("an answer");
    assert_eq!((&page["data"][0]["type"], &page["data"][0]["customer"]), (&json!("debit.applied"), &json!("cus")));
}

#[test]
fn a_wait_at_the_end_of_the_feed_is_bounded() {
    let server = TestServer::with_limits(|limits| limits.feed_waiters = 0);
    let mut client = server.client();
    let after = client.get("/v1/feed").expect_status(200)["next_cursor"].as_str().expect("a position").to_owned();
    let answer = client.get(&format!("/v1/feed?after={after}&wait_ms=10"));
    answer.expect_problem(429, "too_many_waiting");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let server = TestServer::start();
    let page = server.client().get("/v1/feed?wait_ms=10").expect_status(200);
    assert_eq!(page["data"], json!([]));
}

#[test]
fn operations_answer() {
    let server = TestServer::funded();
    let mut client = server.client();
    assert_eq!(client.get("/healthz").expect_status(200)["status"], "ok");
    assert_eq!(client.get("/readyz").expect_status(200)["status"], "ready");
    assert_eq!(client.send("HEAD", "/healthz", &[], b"").status, 200);
    client.post("/v1/events", &json!({"id": "e", "customer": "cus", "amount": 1})).expect_status(200);
    let stats = client.get("/v1/stats").expect_status(200);
    assert_eq!((&stats["events"]["applied"], &stats["wallets"]), (&json!(1), &json!(1)));
    let identities = &stats["identities"];
    assert_eq!((&identities["runs"], &identities["spill_failures"]), (&json!(0), &json!(0)), "{identities}");
    let metrics = client.get("/metrics");
    let text = String::from_utf8(metrics.body.clone()).expect("text");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "drawdown_events_total{outcome=\"applied\"} 1",
        "drawdown_wallets 1",
        "drawdown_identities_runs 0",
        "drawdown_http_requests_total{method=\"POST\",route=\"/v1/events\",status=\"200\"} 1",
        "drawdown_http_request_duration_seconds_count{method=\"POST\",route=\"/v1/events\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn snapshots_are_asked_for_and_shown() {
    let server = TestServer::funded();
    let mut client = server.client();
    let snapshots = client.get("/v1/stats").expect_status(200)["snapshots"].clone();
    assert_eq!((&snapshots["lsn"], &snapshots["made"]), (&json!(0), &json!(0)));
    // Nothing is sealed: the request is taken, and there is nothing to make.
    let taken = client.post("/v1/snapshots", &json!({})).expect_status(202);
    assert_eq!(taken["log_first"], snapshots["log_first"]);
    crate::snapshots::seal(&server.engine);
    server.engine.snapshot_now().expect("a healthy ledger").expect("a sealed segment");
    let snapshots = client.get("/v1/stats").expect_status(200)["snapshots"].clone();
    assert_eq!((&snapshots["lsn"], &snapshots["made"]), (&json!(32 << 20), &json!(1)));
    assert!(snapshots["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let metrics = String::from_utf8(client.send("GET", "/metrics", &[], b"").body).expect("text");
    assert!(metrics.contains("\ndrawdown_snapshots_total 1\n"), "{metrics}");
    assert!(metrics.contains("\ndrawdown_snapshot_position_bytes 33554432\n"), "{metrics}");
}

/// A server of which the first segments of the log are gone.
#[test]
fn history_that_was_retired_is_gone_and_says_from_where_on_there_is_some() {
    let server = TestServer::funded();
    let mut client = server.client();
    let event = json!([{"id": "e1", "customer": "cus", "amount": "1"}]);
    client.post("/v1/events", &event).expect_status(200);
    let entries = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let grant = entries["data"][1]["grant"].as_str().expect("a grant").to_owned();
    for _ in 0..2 {
        crate::snapshots::seal(&server.engine);
        server.engine.snapshot_now().expect("a healthy ledger").expect("a sealed segment");
    }
    // What the settings would let go of after the idempotency window. A segment goes when it is in the hash chain.
    while server.engine.log().extend_chain().expect("a healthy log") {}
    server.engine.log().retire(server.engine.log().segment_start(server.engine.log().tail())).expect("retired");
    let first = server.engine.first_lsn().get();
    for path in ["/v1/wallets/cus/credits/entries", "/v1/wallets/cus/credits/entries?before=5000", "/v1/feed"] {
        let gone = client.get(path).expect_problem(410, "history_retired");
        assert_eq!(gone["first"], json!(first), "{path}");
    }
    client.get(&format!("/v1/feed?after={first}")).expect_status(200);
    // The wallet and its grant are as they were.
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!(wallet["balance"], "99");
    let found = client.get(&format!("/v1/grants/{grant}")).expect_status(200);
    assert_eq!((&found["amount"], &found["remaining"]), (&json!("100"), &json!("99")));
}
