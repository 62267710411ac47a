//! Deposits: forms with several coins, the payer's page, payments in parts, and the way back.

use super::*;

fn set_up() -> TestServer {
    let server = TestServer::start();
    let mut client = server.client();
    client.put("/v1/credit-currencies/BTC", &json!({"scale": 8})).expect_status(200);
    client.put("/v1/credit-currencies/eur", &json!({"scale": 0, "kind": "fiat", "iso_code": "EUR"})).expect_status(200);
    client.put("/v1/credit-currencies/points", &json!({"scale": 0})).expect_status(200);
    let form = json!({
        "title": "Pay in to <Example>",
        "accepts": [{"currency": "BTC", "address": "bc1qexample"}, {"currency": "eur", "address": "DE00 1234"}],
        "return_url": "https://shop.example/back?x=1",
        "expires_in_seconds": 3_600,
    });
    client.put("/v1/deposit-forms/shop", &form).expect_status(200);
    server
}

fn page(client: &mut Client, path: &str, status: u16) -> String {
    let answer = client.get(path);
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/html; charset=utf-8")));
    assert_eq!(answer.header("content-security-policy"), Some(drawdown_pages::POLICY));
    String::from_utf8(answer.body).expect("text")
}

/// A line of a page's list: what stands beside a word, without its markup.
fn beside(page: &str, word: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("<dt>{word}</dt>"))?;
    let cell = rest.split("</dd>").next()?;
    let words = cell.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_tag, words)| words));
    Some(words.collect())
}

#[test]
fn a_form_is_made_shown_listed_and_refused_by_field() {
    let server = set_up();
    let mut client = server.client();
    let form = client.get("/v1/deposit-forms/shop").expect_status(200);
    assert_eq!((&form["title"], &form["status"]), (&json!("Pay in to <Example>"), &json!("active")));
    assert_eq!(form["accepts"][1], json!({"currency": "eur", "address": "DE00 1234"}));
    assert_eq!(client.get("/v1/deposit-forms").expect_status(200)["data"], json!([form]));
    client.get("/v1/deposit-forms/none").expect_problem(404, "unknown_deposit_form");
    for (status, field, body) in [
        (400, "accepts", json!({"title": "t"})),
        (422, "accepts", json!({"accepts": []})),
        (400, "accepts.currency", json!({"accepts": [{"currency": "none"}]})),
        (422, "accepts.currency", json!({"accepts": [{"currency": "eur"}, {"currency": "eur"}]})),
        (422, "return_url", json!({"accepts": [{"currency": "eur"}], "return_url": "javascript:alert(1)"})),
        (400, "status", json!({"accepts": [{"currency": "eur"}], "status": "gone"})),
    ] {
        let answer = client.put("/v1/deposit-forms/other", &body);
        assert_eq!((answer.status, &answer.value()["field"]), (status, &json!(field)), "{body}");
    }
    let order = |what: Value| {
        let mut order = json!({"customer": "ada", "kind": "deposit", "form": "shop"});
        order.as_object_mut().expect("fields").extend(what.as_object().expect("fields").clone());
        order
    };
    for (slug, field, what) in [
        ("invalid_value", "form", json!({"form": "none", "currency": "BTC"})),
        ("invalid_value", "form", json!({"kind": "offline", "currency": "eur", "amount": "1"})),
        (
            "invalid_id",
            "currency",
            json!({"currency": "points", "amount": "1", "amount_currency": "EUR", "credits": "1"}),
        ),
        ("invalid_id", "currency", json!({})),
    ] {
        let problem = client.post("/v1/top-ups", &order(what.clone())).expect_problem(422, slug);
        assert_eq!(problem["field"], field, "{what}");
    }
    let archived = json!({"accepts": [{"currency": "eur"}], "status": "archived"});
    client.put("/v1/deposit-forms/shop", &archived).expect_status(200);
    client.post("/v1/top-ups", &order(json!({}))).expect_problem(409, "deposit_form_archived");
}

#[test]
fn a_deposit_by_a_form_shows_what_has_come_and_leads_back_with_its_session() {
    let server = set_up();
    let mut client = server.client();
    let order = json!({"customer": "ada", "kind": "deposit", "form": "shop", "currency": "BTC", "amount": "0.5", "amount_currency": "BTC", "key": "k"});
    let made = client.post("/v1/top-ups", &order).expect_status(201);
    let id = made["id"].as_str().expect("an id");
    assert_eq!(
        (&made["form"], &made["address"], &made["return_url"], &made["amount_currency"]),
        (&json!("shop"), &json!("bc1qexample"), &json!("https://shop.example/back?x=1"), &json!("BTC"))
    );
    let shown = format!("/deposits/{id}");
    assert_eq!(made["checkout_url"], shown);
    assert_eq!(client.post("/v1/top-ups", &order).expect_status(201)["id"], made["id"], "the same again");
    let text = page(&mut client, &shown, 200);
    let shows =
        |text: &str, word: &str, value: Option<&str>| assert_eq!(beside(text, word).as_deref(), value, "{word}");
    assert!(
        text.contains("Pay in to &lt;Example&gt;")
            && text.contains("It waits for your payment. Send it to the address below."),
        "{text}"
    );
    shows(&text, "Amount", Some("0.50000000 BTC"));
    shows(&text, "Address", Some("bc1qexample"));
    shows(&text, "Received", None);
    shows(&text, "Reference", Some(id));
    assert!(beside(&text, "Open until").is_some() && text.contains("http-equiv=\"refresh\""), "{text}");
    assert!(text.contains(&format!("https://shop.example/back?x=1&amp;top_up={id}&amp;session={id}")), "{text}");

    let confirm = format!("/v1/top-ups/{id}/confirm");
    let part = client.post(&confirm, &json!({"amount": "0.2", "key": "tx1"})).expect_status(200);
    assert_eq!((&part["status"], &part["received"]), (&json!("created"), &json!("0.20000000")));
    let text = page(&mut client, &shown, 200);
    assert!(text.contains("A part of it has come. Send the rest to the same address."), "{text}");
    shows(&text, "Received", Some("0.20000000 BTC"));
    shows(&text, "Still to send", Some("0.30000000 BTC"));
    assert!(text.contains("width=\"400\""), "two fifths are drawn: {text}");
    client.post(&confirm, &json!({"amount": "0.3", "key": "tx2"})).expect_status(200);
    let text = page(&mut client, &shown, 200);
    assert!(text.contains("All of it has come. Thank you."), "{text}");
    shows(&text, "Received", Some("0.50000000 BTC"));
    for over in ["Still to send", "Address", "Open until"] {
        shows(&text, over, None);
    }
    assert!(!text.contains("refresh") && text.contains(&format!("session={id}")), "{text}");
    // What came in by the form, in all coins.
    let euros = json!({"customer": "bob", "kind": "deposit", "form": "shop", "currency": "eur"});
    let other = client.post("/v1/top-ups", &euros).expect_status(201);
    assert_eq!((&other["amount"], &other["address"]), (&Value::Null, &json!("DE00 1234")));
    let other = other["id"].as_str().expect("an id").to_owned();
    let text = page(&mut client, &format!("/deposits/{other}"), 200);
    shows(&text, "Amount", Some("any, in EUR"));
    shows(&text, "Address", Some("DE00 1234"));
    client.post(&format!("/v1/top-ups/{other}/confirm"), &json!({"amount": "7.25"})).expect_status(200);
    let sums = client.get("/v1/balances?product=shop").expect_status(200)["data"].clone();
    let line = |one: &Value| (one["currency"].clone(), one["balance"].clone());
    let sums: Vec<_> = sums.as_array().expect("sums").iter().map(line).collect();
    assert_eq!(sums, [(json!("BTC"), json!("0.5")), (json!("eur"), json!("725"))]);
    assert_eq!(client.get("/v1/balances?product=shop&customer=bob&currency=BTC").expect_status(200)["data"], json!([]));

    // Called off, nothing is to be sent any more; and what is no deposit has no such page.
    let late = client.post("/v1/top-ups", &euros).expect_status(201)["id"].as_str().expect("an id").to_owned();
    client.send("POST", &format!("/v1/top-ups/{late}/cancel"), &[], b"").expect_status(200);
    let text = page(&mut client, &format!("/deposits/{late}"), 200);
    assert!(text.contains("Do not send anything any more."), "{text}");
    shows(&text, "Address", None);
    let plain = json!({"customer": "ada", "currency": "eur", "amount": "1", "provider": "external"});
    let plain = client.post("/v1/top-ups", &plain).expect_status(201);
    for path in [format!("/deposits/{}", plain["id"].as_str().expect("an id")), "/deposits/none".to_owned()] {
        page(&mut client, &path, 404);
    }
    // A form with one coin needs no other word.
    client.put("/v1/deposit-forms/one", &json!({"accepts": [{"currency": "BTC"}]})).expect_status(200);
    let only =
        client.post("/v1/top-ups", &json!({"customer": "ada", "kind": "deposit", "form": "one"})).expect_status(201);
    assert_eq!((&only["currency"], &only["address"], &only["return_url"]), (&json!("BTC"), &Value::Null, &Value::Null));
}

#[test]
fn forms_and_deposits_by_them_survive_a_restart() {
    let medium = Arc::new(drawdown_wal::Heap::new());
    let open = || {
        let mut config = EngineConfig::default();
        config.log.segment_bytes = 4 << 20;
        config.log.max_frame_bytes = 512 << 10;
        config.log.segments_ahead = 1;
        config.log.max_unsynced_bytes = 4 << 20;
        Engine::open_on(medium.clone(), config, Arc::new(SystemClock)).expect("opens").0
    };
    let server = TestServer::over(open(), Limits::default(), Gate::Open);
    let mut client = server.client();
    client.put("/v1/credit-currencies/BTC", &json!({"scale": 8})).expect_status(200);
    let form = json!({"title": "In", "accepts": [{"currency": "BTC", "address": "bc1q"}], "metadata": {"k": "v"}});
    let form = client.put("/v1/deposit-forms/f", &form).expect_status(200);
    let made =
        client.post("/v1/top-ups", &json!({"customer": "ada", "kind": "deposit", "form": "f"})).expect_status(201);
    drop(client);
    drop(server);
    let server = TestServer::over(open(), Limits::default(), Gate::Open);
    let mut client = server.client();
    assert_eq!(client.get("/v1/deposit-forms/f").expect_status(200), form);
    let path = format!("/v1/top-ups/{}", made["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).expect_status(200), made);
}
