//! Grants that wait, roll over and recur, and the lists of them, over HTTP.

use super::*;

fn grant(amount: &str, more: &Value) -> Value {
    let mut body = json!({"customer": "cus", "currency": "credits", "amount": amount});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn activate(client: &mut Client, id: &Value) -> Answer {
    client.send("POST", &format!("/v1/grants/{}/activate", id.as_str().expect("an id")), &[], b"")
}

#[test]
fn a_pending_grant_counts_when_it_is_activated() {
    let server = TestServer::funded();
    let mut client = server.client();
    let pending = json!({"pending": true, "payment": "pay_7", "valid_for_seconds": 3600, "source": "package"});
    let made = client.post("/v1/grants", &grant("50", &pending)).expect_status(201);
    assert_eq!(
        (&made["status"], &made["payment"], &made["remaining"]),
        (&json!("pending"), &json!("pay_7"), &json!("50"))
    );
    assert_eq!((&made["expires_at"], &made["valid_for_seconds"]), (&Value::Null, &json!(3600)));
    assert_eq!(client.balance("cus"), "100");
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!(wallet["pending_grants"], json!({"count": 1, "amount": "50"}));
    assert_eq!(wallet["grants"].as_array().expect("grants").len(), 1);
    let active = activate(&mut client, &made["id"]).expect_status(200);
    assert_eq!(active["status"], "active");
    assert!(active["expires_at"].is_string(), "{active}");
    assert_eq!(activate(&mut client, &made["id"]).expect_status(200), active);
    assert_eq!(client.balance("cus"), "150");
    let wallet = client.get("/v1/wallets/cus/credits").expect_status(200);
    assert_eq!(wallet["pending_grants"], json!({"count": 0, "amount": "0"}));
    let other = client.post("/v1/grants", &grant("5", &json!({"pending": true}))).expect_status(201);
    client
        .send("POST", &format!("/v1/grants/{}/void", other["id"].as_str().expect("an id")), &[], b"")
        .expect_status(200);
    activate(&mut client, &other["id"]).expect_problem(422, "grant_ended");
    activate(&mut client, &json!("grt_nothing")).expect_problem(404, "unknown_grant");
    let entries = client.get("/v1/wallets/cus/credits/entries").expect_status(200);
    let kinds: Vec<_> =
        entries["data"].as_array().expect("entries").iter().map(|entry| entry["type"].clone()).collect();
    assert_eq!(kinds, ["void", "grant_pending", "grant", "grant_paid", "grant_pending", "grant"]);
    let feed = client.get("/v1/feed?types=grant.created,grant.paid,grant.activated").expect_status(200);
    let told: Vec<_> = feed["data"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| (event["type"].clone(), event["data"]["status"].clone()))
        .collect();
    let created = |status: &str| (json!("grant.created"), json!(status));
    let expected = [
        created("active"),
        created("pending"),
        (json!("grant.paid"), Value::Null),
        (json!("grant.activated"), Value::Null),
        created("pending"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_cannot_be_asked_of_a_grant_names_its_field() {
    let server = TestServer::funded();
    let mut client = server.client();
    for (more, field, status, slug) in [
        (json!({"valid_for_seconds": 5}), "valid_for_seconds", 422, "invalid_value"),
        (
            json!({"pending": true, "valid_for_seconds": 5, "expires_at": "2999-01-01T00:00:00Z"}),
            "valid_for_seconds",
            422,
            "invalid_value",
        ),
        (json!({"pending": true, "valid_for_seconds": 0}), "valid_for_seconds", 400, "invalid_field"),
        (json!({"pending": "yes"}), "pending", 400, "invalid_field"),
        (json!({"payment": ""}), "payment", 422, "invalid_value"),
        (json!({"rollover": {}}), "rollover", 422, "invalid_value"),
        (
            json!({"rollover": {"fraction": "1.5"}, "expires_at": "2999-01-01T00:00:00Z"}),
            "rollover.fraction",
            422,
            "invalid_value",
        ),
        (
            json!({"rollover": {"max": "0"}, "expires_at": "2999-01-01T00:00:00Z"}),
            "rollover.max",
            422,
            "invalid_amount",
        ),
        (
            json!({"rollover": {"priority": 101}, "expires_at": "2999-01-01T00:00:00Z"}),
            "rollover.priority",
            400,
            "invalid_field",
        ),
    ] {
        let problem = client.post("/v1/grants", &grant("5", &more)).expect_problem(status, slug);
        assert_eq!(problem["field"], field, "{more}: {problem}");
    }
    assert_eq!(client.balance("cus"), "100");
}

#[test]
fn the_grants_that_wallets_hold_are_listed_by_page_and_status() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.put("/v1/credit-currencies/tokens", &json!({})).expect_status(200);
    client.post("/v1/grants", &json!({"customer": "cus", "currency": "tokens", "amount": "7"})).expect_status(201);
    client.post("/v1/grants", &grant("5", &json!({"pending": true}))).expect_status(201);
    client.post("/v1/grants", &grant("6", &json!({"effective_at": "2999-01-01T00:00:00Z"}))).expect_status(201);
    let list = |client: &mut Client, query: &str| {
        let page = client.get(&format!("/v1/grants?{query}")).expect_status(200);
        let amounts: Vec<_> =
            page["data"].as_array().expect("a page").iter().map(|grant| grant["amount"].clone()).collect();
        (amounts, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list(&mut client, "customer=cus"), (vec![json!("100"), json!("7"), json!("5"), json!("6")], None));
    assert_eq!(list(&mut client, "customer=cus&currency=credits&status=active").0, [json!("100")]);
    assert_eq!(list(&mut client, "customer=cus&status=pending").0, [json!("5")]);
    assert_eq!(list(&mut client, "customer=cus&status=scheduled").0, [json!("6")]);
    assert_eq!(list(&mut client, "customer=nobody").0, Vec::<Value>::new());
    let (first, cursor) = list(&mut client, "customer=cus&limit=3");
    assert_eq!(first, [json!("100"), json!("7"), json!("5")]);
    let (rest, end) = list(&mut client, &format!("customer=cus&limit=3&cursor={}", cursor.expect("there is more")));
    assert_eq!((rest, end), (vec![json!("6")], None));
    for (query, field) in
        [("", "customer"), ("customer=cus&status=voided", "status"), ("customer=cus&cursor=x", "cursor")]
    {
        let problem = client.get(&format!("/v1/grants?{query}")).expect_problem(400, "invalid_parameter");
        assert_eq!(problem["field"], field);
    }
    client.get("/v1/grants?customer=cus&currency=gold").expect_problem(404, "unknown_currency");
    client.get("/v1/grants?customer=nobody&currency=credits").expect_problem(404, "unknown_wallet");
}

#[test]
fn a_currency_has_priorities_for_grants_that_name_none() {
    let server = TestServer::funded();
    let mut client = server.client();
    let made =
        client.put("/v1/credit-currencies/tokens", &json!({"default_priorities": {"top_up": 40, "rollover": 7}}));
    let made = made.expect_status(200);
    assert_eq!(
        (&made["default_priorities"]["top_up"], &made["default_priorities"]["rollover"]),
        (&json!(40), &json!(7))
    );
    assert_eq!((&made["default_priorities"]["drip"], &made["default_priorities"]["plan"]), (&json!(0), &json!(10)));
    assert_eq!(client.get("/v1/credit-currencies/tokens").expect_status(200), made);
    let mut priority = |source: &str| {
        let body = json!({"customer": "cus", "currency": "tokens", "amount": "5", "source": source});
        client.post("/v1/grants", &body).expect_status(201)["priority"].clone()
    };
    assert_eq!([priority("top_up"), priority("plan")], [json!(40), json!(10)]);
    for bad in [json!({"top_up": 101}), json!({"gift": 5}), json!(7)] {
        client
            .put("/v1/credit-currencies/tokens", &json!({"default_priorities": bad}))
            .expect_problem(400, "invalid_field");
    }
    // A retry means the same grant, whatever has become of the default since.
    let keyed = json!({"customer": "cus", "currency": "tokens", "amount": "5", "source": "top_up", "key": "k"});
    let first = client.post("/v1/grants", &keyed).expect_status(201);
    client.put("/v1/credit-currencies/tokens", &json!({"default_priorities": {"top_up": 41}})).expect_status(200);
    let again = client.post("/v1/grants", &keyed).expect_status(201);
    assert_eq!((&again["id"], &again["priority"]), (&first["id"], &json!(40)));
}

#[test]
fn a_recurring_grant_is_made_shown_changed_and_stopped() {
    let server = TestServer::funded();
    let mut client = server.client();
    let path = "/v1/customers/cus/recurring-grants/plan-pro";
    let mut body = json!({
        "currency": "credits", "amount": "30", "source": "plan", "category": "paid",
        "interval": {"every": 1, "unit": "month"}, "expires": "with_next",
        "rollover": {"max": "10", "fraction": "0.5", "valid_for_seconds": 86_400}, "metadata": {"plan": "pro"},
    });
    let made = client.put(path, &body).expect_status(200);
    assert_eq!((&made["status"], &made["version"], &made["occurrences"]), (&json!("active"), &json!(1), &json!(1)));
    assert_eq!((&made["priority"], &made["first_grant"]), (&json!(10), &json!("now")));
    assert!(made["next_at"].is_string(), "{made}");
    assert_eq!(client.balance("cus"), "130");
    let held = client.get("/v1/grants?customer=cus").expect_status(200);
    let held = held["data"].as_array().expect("grants");
    let statuses: Vec<_> = held.iter().map(|grant| grant["status"].clone()).collect();
    assert_eq!(statuses, ["active", "active", "scheduled", "scheduled"]);
    assert_eq!(held[1]["recurring"], json!({"id": "plan-pro", "occurrence": 0}));
    assert_eq!((&held[1]["expires_at"], &held[2]["effective_at"]), (&made["next_at"], &made["next_at"]));
    assert_eq!(held[2]["rollover"]["max"], "10");
    assert_eq!(held[3]["metadata"], json!({"plan": "pro"}));
    // The same again changes nothing.
    assert_eq!(client.put(path, &body).expect_status(200), made);
    assert_eq!(client.balance("cus"), "130");
    body["amount"] = json!("40");
    body["first_grant"] = json!("next");
    let changed = client.put(path, &body).expect_status(200);
    assert_eq!(
        (&changed["version"], &changed["anchor"], &changed["next_at"]),
        (&json!(2), &made["anchor"], &made["next_at"])
    );
    assert_eq!(client.balance("cus"), "130");
    let amounts = |client: &mut Client| {
        let held = client.get("/v1/grants?customer=cus&status=scheduled").expect_status(200);
        held["data"].as_array().expect("grants").iter().map(|grant| grant["amount"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(amounts(&mut client), ["40", "40"]);
    let list = client.get("/v1/customers/cus/recurring-grants").expect_status(200);
    assert_eq!(list["data"], json!([changed]));
    assert_eq!(client.get(path).expect_status(200), changed);
    let stopped = client.send("DELETE", path, &[], b"").expect_status(200);
    assert_eq!((&stopped["status"], &stopped["next_at"]), (&json!("stopped"), &Value::Null));
    assert_eq!(client.send("DELETE", path, &[], b"").expect_status(200), stopped);
    assert_eq!(amounts(&mut client), Vec::<Value>::new());
    assert_eq!(client.balance("cus"), "130", "what is granted stays");
    client.get("/v1/customers/cus/recurring-grants/other").expect_problem(404, "unknown_recurring_grant");
    client
        .send("DELETE", "/v1/customers/who/recurring-grants/x", &[], b"")
        .expect_problem(404, "unknown_recurring_grant");
    let feed = client.get("/v1/feed?types=recurring_grant.created,recurring_grant.updated,recurring_grant.stopped");
    let feed = feed.expect_status(200);
    let told: Vec<_> = feed["data"].as_array().expect("events").iter().map(|event| event["type"].clone()).collect();
    assert_eq!(told, ["recurring_grant.created", "recurring_grant.updated", "recurring_grant.stopped"]);
    assert_eq!((&feed["data"][0]["data"]["amount"], &feed["data"][0]["data"]["unit"]), (&json!("30"), &json!("month")));
}

#[test]
fn what_cannot_recur_names_its_field() {
    let server = TestServer::funded();
    let mut client = server.client();
    let path = "/v1/customers/cus/recurring-grants/drip";
    let good =
        json!({"currency": "credits", "amount": "1", "interval": {"unit": "day"}, "expires": {"after_seconds": 3600}});
    for (name, value, field, status, slug) in [
        ("amount", json!("0"), "amount", 422, "invalid_amount"),
        ("amount", Value::Null, "amount", 400, "invalid_field"),
        ("interval", Value::Null, "interval", 400, "invalid_field"),
        ("interval", json!({"unit": "year"}), "interval.unit", 400, "invalid_field"),
        ("interval", json!({"unit": "day", "every": 0}), "interval.every", 400, "invalid_field"),
        ("expires", json!("soon"), "expires", 400, "invalid_field"),
        ("expires", json!(7), "expires", 400, "invalid_field"),
        ("expires", json!({}), "expires.after_seconds", 400, "invalid_field"),
        ("first_grant", json!("later"), "first_grant", 400, "invalid_field"),
        ("source", json!("gift"), "source", 400, "invalid_field"),
        ("priority", json!(101), "priority", 400, "invalid_field"),
        ("currency", json!("gold"), "currency", 422, "unknown_currency"),
    ] {
        let mut body = good.clone();
        body[name] = value;
        let problem = client.put(path, &body).expect_problem(status, slug);
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let mut endless = good.clone();
    endless["expires"] = json!("never");
    endless["rollover"] = json!({});
    assert_eq!(client.put(path, &endless).expect_problem(422, "invalid_value")["field"], "rollover");
    client.get(path).expect_problem(404, "unknown_recurring_grant");
    client.put(path, &good).expect_status(200);
    client.put("/v1/credit-currencies/tokens", &json!({})).expect_status(200);
    let mut moved = good.clone();
    moved["currency"] = json!("tokens");
    client.put(path, &moved).expect_problem(409, "other_currency");
    let problem = client.patch("/v1/wallets/cus/credits", &json!({"status": "closed"})).expect_status(200);
    assert_eq!(problem["status"], "closed");
    assert_eq!(client.get(path).expect_status(200)["status"], "ended");
    let mut other = good;
    other["amount"] = json!("2");
    client.put(path, &other).expect_problem(422, "wallet_closed");
}
