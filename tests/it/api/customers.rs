//! Customers over HTTP, the erasure of their data, and what currencies refuse.

use super::*;

#[test]
fn customers_are_made_changed_listed_and_archived() {
    let server = TestServer::funded();
    let mut client = server.client();
    client.get("/v1/customers/nobody").expect_problem(404, "unknown_customer");
    client.patch("/v1/customers/nobody", &json!({"name": "N"})).expect_problem(404, "unknown_customer");
    let unnamed = client.get("/v1/customers/cus").expect_status(200);
    assert_eq!((&unnamed["created_at"], &unnamed["status"]), (&Value::Null, &json!("active")));
    assert_eq!(
        unnamed["wallets"],
        json!([{"currency": "credits", "status": "active", "balance": "100", "available": "100"}])
    );
    assert_eq!(client.get("/v1/customers").expect_status(200)["data"], json!([]), "nothing was said of it");

    let said = json!({"name": "Ada", "email": "ada@example.com", "collection_method": "send_invoice", "metadata": {"tier": "gold"}});
    let made = client.put("/v1/customers/cus", &said).expect_status(200);
    for field in ["name", "email", "collection_method", "metadata"] {
        assert_eq!(made[field], said[field]);
    }
    assert_eq!((&made["personal_data"], &made["erased"]), (&json!("stored"), &json!(false)));
    let again = client.put("/v1/customers/cus", &said).expect_status(200);
    assert_eq!(again, made, "nothing changed");
    let changed = client.patch("/v1/customers/cus", &json!({"email": null, "metadata": {}})).expect_status(200);
    assert_eq!((&changed["name"], &changed["email"], &changed["metadata"]), (&json!("Ada"), &Value::Null, &json!({})));
    let replaced = client.put("/v1/customers/cus", &json!({"email": "b@c"})).expect_status(200);
    assert_eq!((&replaced["name"], &replaced["collection_method"]), (&Value::Null, &json!("charge_automatically")));

    let archived = client.send("POST", "/v1/customers/cus/archive", &[], b"").expect_status(200);
    assert_eq!(archived["status"], "archived");
    client.send("POST", "/v1/customers/cus/archive", &[], b"").expect_status(200);
    client.put("/v1/customers/cus", &said).expect_status(200);
    let grant = json!({"customer": "cus", "currency": "credits", "amount": "5", "key": "g"});
    let problem = client.post("/v1/grants", &grant).expect_problem(409, "customer_archived");
    assert_eq!(problem["field"], "customer");
    client.post("/v1/events", &json!({"id": "e", "customer": "cus", "amount": "1"})).expect_status(200);
    assert_eq!(client.balance("cus"), "99", "usage that happened is debited");
    let active = client.patch("/v1/customers/cus", &json!({"status": "active"})).expect_status(200);
    assert_eq!(active["status"], "active");
    let made = client.post("/v1/grants", &grant).expect_status(201);
    client.send("POST", "/v1/customers/cus/archive", &[], b"").expect_status(200);
    assert_eq!(client.post("/v1/grants", &grant).expect_status(201)["id"], made["id"], "what was made is answered");

    let feed =
        client.get("/v1/feed?after=0&types=customer.created,customer.updated,customer.archived").expect_status(200);
    let told: Vec<_> =
        feed["data"].as_array().expect("events").iter().map(|event| event["type"].as_str().expect("a type")).collect();
    let (created, updated, archived) = ("customer.created", "customer.updated", "customer.archived");
    assert_eq!(told, [created, updated, updated, archived, updated, updated, archived]);
    assert!(!feed.to_string().contains("Ada"), "the feed tells nothing personal");
}

#[test]
fn customers_are_listed_by_prefix_in_pages() {
    let server = TestServer::start();
    let mut client = server.client();
    for id in ["a", "b1", "b2", "b3", "c/d", "\u{fc}"] {
        let path = id.bytes().fold(String::new(), |path, byte| path + &format!("%{byte:02x}"));
        client.put(&format!("/v1/customers/{path}"), &json!({"name": id})).expect_status(200);
    }
    let mut ids = |query: &str| {
        let page = client.get(&format!("/v1/customers?{query}")).expect_status(200);
        let ids: Vec<_> = page["data"]
            .as_array()
            .expect("data")
            .iter()
            .map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(ids("").0, ["a", "b1", "b2", "b3", "c/d", "\u{fc}"]);
    assert_eq!(ids("prefix=b&limit=2"), (vec!["b1".into(), "b2".into()], Some("b2".into())));
    assert_eq!(ids("prefix=b&limit=2&cursor=b2"), (vec!["b3".into()], None));
    assert_eq!(ids("prefix=b&cursor=a").0, ["b1", "b2", "b3"]);
    assert_eq!(ids("prefix=x"), (Vec::new(), None));
    client.get("/v1/customers?limit=0").expect_problem(400, "invalid_parameter");
}

#[test]
fn personal_data_are_erased_and_may_be_given_anew() {
    let server = TestServer::funded();
    let mut client = server.client();
    let erase =
        |client: &mut Client, id: &str| client.send("DELETE", &format!("/v1/customers/{id}/personal-data"), &[], b"");
    erase(&mut client, "nobody").expect_problem(404, "unknown_customer");
    client.put("/v1/customers/cus", &json!({"name": "Ada", "metadata": {"a": "b"}})).expect_status(200);
    let erased = erase(&mut client, "cus").expect_status(200);
    assert_eq!((&erased["name"], &erased["metadata"], &erased["erased"]), (&Value::Null, &json!({}), &json!(true)));
    assert_eq!(erased["wallets"][0]["balance"], "100", "the ledger is as it was");
    assert_eq!(erase(&mut client, "cus").expect_status(200), erased, "repeating it is success");
    assert_eq!(client.get("/v1/customers/cus").expect_status(200), erased);
    let again = client.put("/v1/customers/cus", &json!({"name": "Bea"})).expect_status(200);
    assert_eq!((&again["name"], &again["erased"]), (&json!("Bea"), &json!(false)));
    let feed = client.get("/v1/feed?after=0&types=customer.erased").expect_status(200);
    assert_eq!(feed["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_customer_that_cannot_be_used_is_refused() {
    let server = TestServer::start();
    let mut client = server.client();
    let long = "x".repeat(300);
    for (body, slug, field) in [
        (json!({"name": 7}), "invalid_field", "name"),
        (json!({"email": ["a@b"]}), "invalid_field", "email"),
        (json!({"collection_method": "cash"}), "invalid_field", "collection_method"),
        (json!({"metadata": {"a": 1}}), "invalid_field", "metadata"),
        (json!({"metadata": []}), "invalid_field", "metadata"),
    ] {
        let problem = client.put("/v1/customers/cus", &body).expect_problem(400, slug);
        assert_eq!(problem["field"], field, "{body}");
    }
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": long}), "name"),
        (json!({"email": "ada"}), "email"),
        (json!({"email": "a b@c"}), "email"),
        (json!({"email": "@c"}), "email"),
    ] {
        let problem = client.put("/v1/customers/cus", &body).expect_problem(422, "invalid_value");
        assert_eq!(problem["field"], field, "{body}");
    }
    client.patch("/v1/customers/cus", &json!({"status": "gone"})).expect_problem(400, "invalid_field");
    client.put(&format!("/v1/customers/{long}"), &json!({})).expect_problem(422, "invalid_id");
    client.put("/v1/customers/cus", &json!([])).expect_problem(400, "malformed_body");
    assert_eq!(client.get("/v1/customers").expect_status(200)["data"], json!([]));
}

#[test]
fn what_amounts_stand_for_does_not_change_under_them() {
    let server = TestServer::start();
    let mut client = server.client();
    let put = |client: &mut Client, body: Value| client.put("/v1/credit-currencies/gold", &body);
    for scale in [0, 4, 2] {
        put(&mut client, json!({"scale": scale})).expect_status(200);
    }
    client.put("/v1/meters/mined", &json!({"currency": "gold", "rate": "1"})).expect_status(200);
    for (body, field) in [
        (json!({"scale": 3}), "scale"),
        (json!({"scale": 2, "kind": "fiat", "iso_code": "EUR"}), "kind"),
        (json!({"scale": 1, "kind": "fiat", "iso_code": "EUR"}), "scale"),
    ] {
        let problem = put(&mut client, body).expect_problem(409, "currency_in_use");
        assert_eq!(problem["field"], field);
    }
    put(&mut client, json!({"scale": 2, "name": "Gold", "max_balance": "10.01"})).expect_status(200);

    client.put("/v1/credit-currencies/silver", &json!({"scale": 2})).expect_status(200);
    client.post("/v1/grants", &json!({"customer": "cus", "currency": "silver", "amount": "1"})).expect_status(201);
    client.put("/v1/credit-currencies/silver", &json!({"scale": 1})).expect_problem(409, "currency_in_use");
    // Archived or not.
    let archived = client.patch("/v1/credit-currencies/silver", &json!({"status": "archived"})).expect_status(200);
    assert_eq!(archived["status"], "archived");
    client.put("/v1/credit-currencies/silver", &json!({"scale": 1})).expect_problem(409, "currency_in_use");
    let renamed = client.put("/v1/credit-currencies/silver", &json!({"scale": 2, "name": "Ag"})).expect_status(200);
    assert_eq!((&renamed["status"], &renamed["name"]), (&json!("archived"), &json!("Ag")));
    let grant = json!({"customer": "cus", "currency": "silver", "amount": "1"});
    let problem = client.post("/v1/grants", &grant).expect_problem(409, "currency_archived");
    assert_eq!(problem["field"], "currency");
    client
        .put("/v1/meters/polished", &json!({"currency": "silver", "rate": "1"}))
        .expect_problem(409, "currency_archived");
    let event = json!({"id": "e", "customer": "cus", "currency": "silver", "amount": "0.5"});
    client.post("/v1/events", &event).expect_status(200);
    client.patch("/v1/credit-currencies/silver", &json!({"status": "active"})).expect_status(200);
    client.post("/v1/grants", &grant).expect_status(201);

    client.patch("/v1/meters/mined", &json!({"status": "archived"})).expect_status(200);
    let event = json!({"id": "m", "customer": "cus", "meter": "mined", "quantity": 1});
    client.post("/v1/events", &event).expect_problem(422, "unknown_meter");
    for path in ["/v1/credit-currencies/silver", "/v1/meters/mined"] {
        client.patch(path, &json!({})).expect_problem(400, "invalid_field");
        client.patch(path, &json!({"status": "gone"})).expect_problem(400, "invalid_field");
    }
    client.patch("/v1/credit-currencies/lead", &json!({"status": "active"})).expect_problem(404, "unknown_currency");
    client.patch("/v1/meters/lead", &json!({"status": "active"})).expect_problem(404, "unknown_meter");
}
