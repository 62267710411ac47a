//! Alerts, default alerts and commitments over HTTP.

use super::*;

const ALERTS: &str = "/v1/wallets/cus/credits/alerts";
const DEFAULTS: &str = "/v1/credit-currencies/credits/alerts";
const COMMITMENTS: &str = "/v1/customers/cus/commitments/credits";

impl Client {
    fn delete(&mut self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }
}

#[test]
fn levels_of_every_kind_are_shown_as_they_were_set() {
    let server = TestServer::funded();
    let mut client = server.client();
    let request = json!({"levels": [
        {"name": "fifth", "percent": "20", "min_interval_seconds": 60},
        {"name": "spendable", "amount": "12.5", "watches": "available", "trigger": "at_or_below", "margin": 1},
    ]});
    let alerts = client.put(ALERTS, &request).expect_status(200);
    let expected = json!({
        "customer": "cus", "currency": "credits", "source": "wallet", "default_version": null, "runway": null,
        "levels": [
            {"name": "spendable", "amount": "12.5", "percent": null, "trigger": "at_or_below", "margin": "1",
             "watches": "available", "min_interval_seconds": 0, "state": "ok", "muted": false},
            {"name": "fifth", "amount": "20", "percent": "20", "trigger": "below", "margin": "0",
             "watches": "balance", "min_interval_seconds": 60, "state": "ok", "muted": false},
        ],
    });
    assert_eq!(alerts, expected);
    assert_eq!(client.get(ALERTS).expect_status(200), expected);
    let event = json!({"id": "e", "customer": "cus", "amount": "87.5"});
    let answer = client.post("/v1/events", &event).expect_status(200);
    assert_eq!(answer["results"][0]["crossed"], json!(["fifth", "spendable"]));
    let check = json!({"customer": "cus", "currency": "credits", "amount": "12.6"});
    let check = client.post("/v1/check", &check).expect_status(200);
    assert_eq!((&check["allowed"], &check["available"]), (&json!(false), &json!("12.5")));
}

#[test]
fn a_runway_is_shown_with_its_burn_rate() {
    let server = TestServer::funded();
    let mut client = server.client();
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!(wallet.get("burn_rate_per_hour"), None, "nobody asked for it");
    let request = json!({"levels": [], "runway": {"minutes": 90, "half_life_minutes": 5}});
    let alerts = client.put(ALERTS, &request).expect_status(200);
    let expected = json!({
        "minutes": 90, "margin_minutes": 0, "min_interval_seconds": 3600, "half_life_minutes": 5, "state": "ok",
        "burn_rate_per_hour": "0", "runway_minutes": null,
    });
    assert_eq!(alerts["runway"], expected);
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!((&wallet["burn_rate_per_hour"], wallet.get("runway_minutes")), (&json!("0"), None));
    // The server's own thread follows the log: one debit of half of what there is lasts no hour and a half.
    let cursor = client.get("/v1/feed?limit=1000").expect_status(200)["next_cursor"].clone();
    client.post("/v1/events", &json!({"id": "e", "customer": "cus", "amount": 50})).expect_status(200);
    let path = format!("/v1/feed?types=balance.runway_low&wait_ms=20000&after={}", cursor.as_str().expect("a cursor"));
    let told = client.get(&path).expect_status(200);
    assert_eq!(told["data"][0]["type"], "balance.runway_low", "{told}");
    assert_eq!(told["data"][0]["data"]["available"], "50");
    // It is told by the log, a moment before it is shown.
    super::payments::until(&mut client, ALERTS, |alerts| alerts["runway"]["state"] == "triggered");
    assert_eq!(client.put(ALERTS, &json!({"levels": []})).expect_status(200)["runway"], Value::Null);
}

#[test]
fn default_levels_are_those_of_wallets_without_their_own() {
    let server = TestServer::funded();
    let mut client = server.client();
    let none = json!({"currency": "credits", "version": 0, "levels": [], "apply": "on_change", "applying": false});
    assert_eq!(client.get(DEFAULTS).expect_status(200), none);
    let request = json!({"levels": [{"name": "tenth", "percent": "10"}, {"name": "low", "amount": "5"}]});
    let defaults = client.put(DEFAULTS, &request).expect_status(200);
    let expected = json!({
        "currency": "credits", "version": 1, "apply": "on_change", "applying": false,
        "levels": [
            {"name": "low", "amount": "5", "trigger": "below", "margin": "0", "watches": "balance", "min_interval_seconds": 0},
            {"name": "tenth", "percent": "10", "trigger": "below", "margin": "0", "watches": "balance",
             "min_interval_seconds": 0},
        ],
    });
    assert_eq!(defaults, expected);
    assert_eq!(client.get(DEFAULTS).expect_status(200), expected);
    assert_eq!(client.get(ALERTS).expect_status(200)["levels"], json!([]), "its terms have not changed since");
    let grant = json!({"customer": "new", "currency": "credits", "amount": 40, "source": "plan", "category": "paid"});
    client.post("/v1/grants", &grant).expect_status(201);
    let alerts = client.get("/v1/wallets/new/credits/alerts").expect_status(200);
    assert_eq!((&alerts["source"], &alerts["default_version"]), (&json!("currency"), &json!(1)));
    assert_eq!(alerts["levels"][1]["amount"], "4");
    // Levels of its own, be they none, until they are taken away.
    let own = client.put("/v1/wallets/new/credits/alerts", &json!({"levels": []})).expect_status(200);
    assert_eq!((&own["source"], &own["levels"]), (&json!("wallet"), &json!([])));
    let alerts = client.delete("/v1/wallets/new/credits/alerts").expect_status(200);
    assert_eq!((&alerts["source"], &alerts["default_version"]), (&json!("currency"), &json!(1)));
    assert_eq!(client.delete(ALERTS).expect_status(200)["default_version"], json!(1), "to be without is to follow");
    let gone = client.delete(DEFAULTS).expect_status(200);
    assert_eq!((&gone["version"], &gone["levels"], &gone["apply"]), (&json!(2), &json!([]), &json!("at_once")));
    client.get("/v1/credit-currencies/gold/alerts").expect_problem(404, "unknown_currency");
    client.put("/v1/credit-currencies/gold/alerts", &request).expect_problem(404, "unknown_currency");
    client.delete("/v1/wallets/nobody/credits/alerts").expect_problem(404, "unknown_wallet");
}

#[test]
fn commitments_are_declared_shown_and_taken_away() {
    let server = TestServer::funded();
    let mut client = server.client();
    let request = json!({
        "items": [{"name": "rent", "amount": "12.5"}, {"name": "batch", "amount": 7, "due_at": "2020-01-01T00:00:00Z"}],
        "period": {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"},
    });
    let commitments = client.put(COMMITMENTS, &request).expect_status(200);
    assert_eq!(commitments["items"][0], json!({"name": "rent", "amount": "12.5", "due_at": null, "counts": true}));
    assert_eq!(commitments["items"][1]["counts"], false);
    for (field, value) in [("committed", "12.5"), ("available", "100"), ("projected", "87.5")] {
        assert_eq!(commitments[field], value, "{field}");
    }
    assert_eq!(client.get(COMMITMENTS).expect_status(200), commitments);
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!((&wallet["committed"], &wallet["projected"]), (&json!("12.5"), &json!("87.5")));
    let totals = client.get("/v1/balances?customer=cus").expect_status(200);
    assert_eq!(totals["data"][0]["projected"], "87.5");
    for _ in 0..2 {
        let gone = client.delete(COMMITMENTS).expect_status(200);
        assert_eq!((&gone["items"], &gone["period"], &gone["projected"]), (&json!([]), &Value::Null, &json!("100")));
    }
    client.get("/v1/customers/nobody/commitments/credits").expect_problem(404, "unknown_wallet");
    client.put("/v1/customers/cus/commitments/gold", &request).expect_problem(404, "unknown_currency");
}

/// Sends a body that is refused, and checks the slug and the field.
#[track_caller]
fn check(client: &mut Client, path: &str, body: &Value, slug: &str, field: &str) {
    let answer = client.put(path, body);
    let status = answer.status;
    assert!(matches!(status, 400 | 422), "{body}: {answer:?}");
    assert_eq!(answer.expect_problem(status, slug)["field"], field, "{body}");
}

#[test]
fn what_makes_no_sense_is_refused_by_the_field_and_changes_nothing() {
    let server = TestServer::funded();
    let mut client = server.client();
    let level = |field: &str, value: Value| {
        let mut level = json!({"name": "low", "amount": "5"});
        level[field] = value;
        json!({"levels": [level]})
    };
    for path in [ALERTS, DEFAULTS] {
        for (field, value) in [
            ("watches", json!("held")),
            ("trigger", json!("above")),
            ("percent", json!(20)),
            ("min_interval_seconds", json!(-1)),
            ("min_interval_seconds", json!(31_622_401)),
            ("min_interval_seconds", json!("soon")),
        ] {
            check(&mut client, path, &level(field, value), "invalid_field", &format!("levels[0].{field}"));
        }
        for percent in [json!(0), json!("-1"), json!("100.5"), json!("0.0000001")] {
            let body = json!({"levels": [{"name": "share", "percent": percent}]});
            check(&mut client, path, &body, "invalid_field", "levels[0].percent");
        }
        let body = json!({"levels": [{"name": "share", "percent": "much"}]});
        check(&mut client, path, &body, "invalid_amount", "levels[0].percent");
        check(&mut client, path, &json!({"levels": [{"name": "low"}]}), "invalid_field", "levels[0].amount");
        let twice = json!({"levels": [{"name": "low", "amount": 5}, {"name": "low", "percent": 5}]});
        check(&mut client, path, &twice, "invalid_value", "levels");
        let many: Vec<_> = (0..65).map(|number| json!({"name": format!("l{number}"), "amount": number})).collect();
        check(&mut client, path, &json!({"levels": many}), "invalid_value", "levels");
    }
    check(&mut client, DEFAULTS, &json!({"levels": [], "apply": "soon"}), "invalid_field", "apply");
    for (field, value) in [
        ("minutes", json!(0)),
        ("minutes", json!(527_041)),
        ("margin_minutes", json!(-1)),
        ("half_life_minutes", json!(0)),
        ("min_interval_seconds", json!(1.5)),
    ] {
        let mut runway = json!({"minutes": 60});
        runway[field] = value;
        let body = json!({"levels": [], "runway": runway});
        check(&mut client, ALERTS, &body, "invalid_field", &format!("runway.{field}"));
    }
    check(&mut client, ALERTS, &json!({"levels": [], "runway": {}}), "invalid_field", "runway.minutes");
    check(&mut client, ALERTS, &json!({"levels": [], "runway": 60}), "invalid_field", "runway");
    let items = |item: Value| json!({"items": [item]});
    for (body, slug, field) in [
        (json!({}), "invalid_field", "items"),
        (items(json!({"name": "rent"})), "invalid_field", "items[0].amount"),
        (items(json!({"amount": 1})), "invalid_field", "items[0].name"),
        (items(json!({"name": "rent", "amount": 0})), "invalid_field", "items[0].amount"),
        (items(json!({"name": "rent", "amount": 1, "due_at": "soon"})), "invalid_field", "items[0].due_at"),
        (json!({"items": [], "period": {"from": "2020-01-01T00:00:00Z"}}), "invalid_field", "period.to"),
        (
            json!({"items": [], "period": {"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}}),
            "invalid_value",
            "period",
        ),
    ] {
        check(&mut client, COMMITMENTS, &body, slug, field);
    }
    assert_eq!(client.get(ALERTS).expect_status(200)["source"], "currency");
    assert_eq!(client.get(DEFAULTS).expect_status(200)["version"], 0);
    assert_eq!(client.get(COMMITMENTS).expect_status(200)["items"], json!([]));
}
