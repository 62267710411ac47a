//! The portal over HTTP: links and sessions, what is whose, forms and what is wrong with them, purchases, limits.

use super::*;
use drawdown::engine::ManualClock;
use drawdown::http::PortalSettings;
use drawdown::ledger::Timestamp;
use drawdown::payments::{Config, Payments, SimulatedBank};
use drawdown_outbound::providers::simulated::Local;
use std::time::Instant;

const PAGES: &str = "https://pages.test";
const MINUTE_MS: u64 = 60_000;
const FORM: &str = "application/x-www-form-urlencoded";

fn config() -> EngineConfig {
    let mut config = EngineConfig::default();
    config.log.segment_bytes = 32 << 20;
    config.log.max_frame_bytes = 4 << 20;
    config.log.segments_ahead = 1;
    config.log.max_unsynced_bytes = 16 << 20;
    config
}

/// A server with the simulated provider, whose pages lie at [`PAGES`], on a clock of the test's own.
fn set_up() -> (TestServer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_795_000_000_000)));
    let medium = Arc::new(drawdown_wal::Heap::new());
    let engine = Engine::open_on(medium, config(), clock.clone()).expect("opens").0;
    let server = TestServer::of(engine, move |engine| {
        let secret = engine.secret_for("a test's bank");
        let simulated = SimulatedBank::new(Arc::new(Local::in_memory()), PAGES.to_owned(), secret);
        let mut config = Config::new(vec![Arc::new(simulated.provider().clone())], PAGES);
        config.simulated = Some(simulated);
        (config.retry, config.retry_max) = (Duration::from_millis(5), Duration::from_millis(50));
        let payments = Payments::start(engine.clone(), config);
        let portal = PortalSettings { pages: PAGES.to_owned(), merchant: "Example".to_owned(), ..<_>::default() };
        App::new(engine, Gate::Open, Limits::default(), 1).with_payments(payments).with_portal(portal)
    });
    let mut client = server.client();
    client.put("/v1/credit-currencies/credits", &json!({"scale": 0, "name": "Credits"})).expect_status(200);
    let package =
        json!({"name": "Starter", "credits": "1000", "bonus": "100", "price": {"amount": "19.99", "currency": "EUR"}});
    client.put("/v1/credit-packages/starter", &package).expect_status(200);
    (server, clock)
}

/// A browser: keeps the cookie, follows nothing by itself, and says where its forms come from.
struct Browser {
    client: Client,
    cookie: Option<String>,
}

impl Browser {
    /// One in which the portal was opened for a customer.
    fn of(server: &TestServer, customer: &str) -> Self {
        let mut browser = Browser { client: server.client(), cookie: None };
        browser.open(&link(server, &json!({"customer": customer})));
        browser
    }

    #[track_caller]
    fn open(&mut self, path: &str) -> String {
        let answer = self.client.get(path);
        assert_eq!(answer.status, 303, "{answer:?}");
        let set = answer.header("set-cookie").expect("a cookie");
        self.cookie = Some(set.split(';').next().expect("a pair").to_owned());
        answer.header("location").expect("a way on").to_owned()
    }

    fn get(&mut self, path: &str) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        self.client.send("GET", path, &[("cookie", &cookie)], b"")
    }

    /// A page, as text.
    #[track_caller]
    fn page(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", text(&answer));
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        text(&answer)
    }

    fn post(&mut self, path: &str, form: &str) -> Answer {
        self.post_from(PAGES, path, form)
    }

    fn post_from(&mut self, origin: &str, path: &str, form: &str) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        let headers = [("cookie", cookie.as_str()), ("origin", origin), ("content-type", FORM)];
        self.client.send("POST", path, &headers, form.as_bytes())
    }

    /// Sends a form with the token, and what else hides in it, of the page that it is on.
    #[track_caller]
    fn send(&mut self, path: &str, fields: &str) -> Answer {
        let page = self.page(path);
        let once = hidden(&page, "once").map(|once| format!("&once={once}")).unwrap_or_default();
        let token = hidden(&page, "token").expect("a token");
        self.post(path, &format!("token={token}{once}&{fields}"))
    }

    /// Buys the package with a card that is entered on the checkout's page, and gives the purchase's address.
    #[track_caller]
    fn buy(&mut self, number: &str) -> String {
        let ordered = self.send("/portal/credits/buy", "package=starter&card=");
        let checkout = ordered.header("location").expect("a checkout").to_owned();
        assert!(checkout.starts_with("/checkout/"), "{checkout}");
        let form = format!("token=x&number={number}&expiry=12%2F35&cvc=123");
        let paid = self.client.send("POST", &checkout, &[("content-type", FORM)], form.as_bytes());
        assert_eq!(paid.status, 303, "{}", text(&paid));
        let done = text(&self.client.get(&checkout));
        let begin = done.find("https://pages.test/portal/").expect("the way back") + PAGES.len();
        let end = done[begin..].find('"').expect("its end") + begin;
        done[begin..end].replace("&amp;", "&")
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).expect("text")
}

/// The path of a link to the portal.
#[track_caller]
fn link(server: &TestServer, ask: &Value) -> String {
    let made = server.client().post("/v1/portal-sessions", ask).expect_status(201);
    let url = made["url"].as_str().expect("a link");
    url.strip_prefix(PAGES).unwrap_or_else(|| panic!("{url}")).to_owned()
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> Option<String> {
    let begin = format!("name=\"{name}\" value=\"");
    let begin = page.find(&begin)? + begin.len();
    Some(page[begin..].split('"').next()?.to_owned())
}

/// Asks for a page until it says something.
fn until(browser: &mut Browser, path: &str, says: &str) -> String {
    let begun = Instant::now();
    loop {
        let page = browser.page(path);
        if page.contains(says) {
            return page;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain: {page}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_link_becomes_a_cookie_and_is_not_seen_again() {
    let (server, _clock) = set_up();
    let ask = json!({"customer": "cus", "return_url": "https://shop.example/me", "currency": "credits", "page": "buy"});
    let link = link(&server, &ask);
    let mut client = server.client();
    let answer = client.get(&link);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/portal/credits/buy")));
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["__Secure-drawdown_portal=", "; Path=/portal;", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain") && !answer.header("location").expect("a way").contains("token"));
    let mut browser = Browser { client, cookie: None };
    browser.open(&link);
    let shown = browser.get("/portal/credits/buy");
    for (name, value) in [
        ("content-security-policy", drawdown_pages::POLICY),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(shown.header(name), Some(value), "{name}");
    }
    let page = text(&shown);
    assert!(page.contains("https://shop.example/me") && page.contains("Signed in for") && page.contains("Example"));
    assert!(page.contains("Starter") && page.contains("19.99 EUR") && page.contains("Test mode"), "{page}");
    assert_eq!(browser.get("/portal").header("location"), Some("/portal/credits/overview"));
}

#[test]
fn links_and_sessions_end_and_say_so_readably() {
    let (server, clock) = set_up();
    let link = link(&server, &json!({"customer": "cus", "return_url": "https://shop.example/me"}));
    let mut browser = Browser { client: server.client(), cookie: None };
    browser.open(&link);
    clock.advance(10 * MINUTE_MS);
    let over = browser.client.get(&link);
    assert_eq!(over.status, 410);
    assert!(text(&over).contains("This link is over") && text(&over).contains("https://shop.example/me"));
    browser.page("/portal/credits/overview");
    clock.advance(49 * MINUTE_MS + 59_999);
    browser.page("/portal/credits/overview");
    clock.advance(1);
    let over = browser.get("/portal/credits/overview");
    assert_eq!((over.status, over.header("content-type")), (410, Some("text/html; charset=utf-8")));
    assert!(text(&over).contains("open it again") && text(&over).contains("https://shop.example/me"));
    assert_eq!(browser.post("/portal/credits/buy", "token=x&package=starter").status, 410);
}

#[test]
fn what_is_forged_or_changed_opens_nothing() {
    let (server, _clock) = set_up();
    let path = link(&server, &json!({"customer": "cus"}));
    let token = path.strip_prefix("/portal/open?token=").expect("a token").to_owned();
    let mut browser = Browser { client: server.client(), cookie: None };
    let (other, _clock) = set_up();
    let of_other = link(&other, &json!({"customer": "cus"}));
    let mut changed = token.clone().into_bytes();
    changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("text");
    for path in [
        "/portal/open".to_owned(),
        "/portal/open?token=".to_owned(),
        "/portal/open?token=x.y".to_owned(),
        format!("/portal/open?token={changed}"),
        format!("/portal/open?token={}", &token[..token.len() - 1]),
        format!("/portal/open?token={}", "A".repeat(5_000)),
        of_other,
    ] {
        let answer = browser.client.get(&path);
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(answer.header("set-cookie").is_none() && text(&answer).contains("The portal is not open"));
    }
    assert_eq!(browser.client.get("/portal/open?token=a&token=b").status, 400);
    // A link's pass is no session, and neither is nothing.
    for cookie in ["", "__Secure-drawdown_portal=", &format!("__Secure-drawdown_portal={token}"), "drawdown_portal=x"] {
        browser.cookie = Some(cookie.to_owned());
        for page in ["", "/credits/overview", "/credits/history", "/credits/buy", "/credits/invoices/1.pdf"] {
            let answer = browser.get(&format!("/portal{page}"));
            assert_eq!(answer.status, 403, "{page} with {cookie}: {answer:?}");
        }
    }
    // A good one is found among bad ones of the same name.
    browser.open(&path);
    let good = browser.cookie.clone().expect("a cookie");
    browser.cookie = Some(format!("theme=dark; __Secure-drawdown_portal=forged; {good}"));
    browser.page("/portal/credits/overview");
}

#[test]
fn another_epoch_ends_links_and_sessions() {
    let medium = Arc::new(drawdown_wal::Heap::new());
    let serve = |epoch: u64| {
        let engine = Engine::open_on(medium.clone(), config(), Arc::new(SystemClock)).expect("opens").0;
        TestServer::of(engine, move |engine| {
            let portal = PortalSettings { pages: PAGES.to_owned(), epoch, ..<_>::default() };
            App::new(engine, Gate::Open, Limits::default(), 1).with_portal(portal)
        })
    };
    let (path, cookie) = {
        let server = serve(1);
        server.client().put("/v1/credit-currencies/credits", &json!({"scale": 0})).expect_status(200);
        server.client().post("/v1/grants", &json!({"customer": "cus", "amount": "7"})).expect_status(201);
        (link(&server, &json!({"customer": "cus"})), Browser::of(&server, "cus").cookie)
    };
    {
        // A restart ends nothing.
        let server = serve(1);
        let mut browser = Browser { client: server.client(), cookie: cookie.clone() };
        assert!(browser.page("/portal/credits/overview").contains("Available"));
        browser.open(&path);
    }
    let server = serve(2);
    let mut browser = Browser { client: server.client(), cookie };
    assert_eq!(browser.get("/portal/credits/overview").status, 403);
    assert_eq!(browser.client.get(&path).status, 403);
}

#[test]
fn the_portal_is_closed_to_one_customer_and_stays_closed_across_a_restart() {
    const CLOSE: &str = "/v1/customers/cus/portal-sessions";
    let medium = Arc::new(drawdown_wal::Heap::new());
    let serve = || {
        let engine = Engine::open_on(medium.clone(), config(), Arc::new(SystemClock)).expect("opens").0;
        TestServer::of(engine, move |engine| {
            let portal = PortalSettings { pages: PAGES.to_owned(), merchant: "Example".to_owned(), ..<_>::default() };
            App::new(engine, Gate::Open, Limits::default(), 1).with_portal(portal)
        })
    };
    let ask = json!({"customer": "cus", "return_url": "https://shop.example/me"});
    let (path, cookie, again) = {
        let server = serve();
        let mut client = server.client();
        client.put("/v1/credit-currencies/credits", &json!({"scale": 0})).expect_status(200);
        for customer in ["cus", "other"] {
            client.post("/v1/grants", &json!({"customer": customer, "amount": "7"})).expect_status(201);
        }
        let (path, mut other) = (link(&server, &ask), Browser::of(&server, "other"));
        let mut browser = Browser { client: server.client(), cookie: None };
        browser.open(&path);
        browser.page("/portal/credits/overview");
        assert_eq!(client.send("DELETE", CLOSE, &[], b"").status, 204);
        let closed = browser.get("/portal/credits/overview");
        assert_eq!(closed.status, 410);
        assert!(text(&closed).contains("The portal was closed. Go back to Example"), "{}", text(&closed));
        let closed = browser.client.get(&path);
        assert_eq!((closed.status, closed.header("set-cookie")), (410, None));
        assert!(text(&closed).contains("https://shop.example/me"));
        assert_eq!(browser.post("/portal/credits/buy", "token=x&package=starter").status, 410);
        other.page("/portal/credits/overview");
        // Nothing was known of the customer; now that is, and is told.
        let feed = client.get("/v1/feed?after=0&types=customer.created").expect_status(200);
        assert_eq!(feed["data"][0]["customer"], "cus");
        client.put("/v1/customers/cus", &json!({"name": "Ada"})).expect_status(200);
        // It comes by a new link as before. Closing it once more ends that, too, and changes nothing else of the customer.
        let mut back = Browser::of(&server, "cus");
        back.page("/portal/credits/overview");
        assert_eq!(client.send("DELETE", CLOSE, &[], b"").status, 204);
        assert_eq!(back.get("/portal/credits/overview").status, 410);
        assert_eq!(client.get("/v1/customers/cus").expect_status(200)["name"], "Ada");
        let feed = client.get("/v1/feed?after=0&types=customer.portal_closed").expect_status(200);
        assert_eq!(feed["data"].as_array().map(Vec::len), Some(1));
        client.post("/v1/snapshots", &json!({}));
        (path, browser.cookie, Browser::of(&server, "cus").cookie)
    };
    let server = serve();
    let mut browser = Browser { client: server.client(), cookie };
    assert_eq!(browser.get("/portal/credits/overview").status, 410);
    assert_eq!(browser.client.get(&path).status, 410);
    browser.cookie = again;
    browser.page("/portal/credits/overview");
    let long = format!("/v1/customers/{}/portal-sessions", "x".repeat(129));
    server.client().send("DELETE", &long, &[], b"").expect_problem(422, "invalid_id");
}

#[test]
fn a_customer_has_so_many_unpaid_purchases_and_no_more() {
    let (server, _clock) = set_up();
    let mut browser = Browser::of(&server, "cus");
    for _ in 0..20 {
        assert_eq!(browser.send("/portal/credits/buy", "package=starter&card=").status, 303);
    }
    let refused = browser.send("/portal/credits/buy", "package=starter&card=");
    assert_eq!(refused.status, 422);
    assert!(text(&refused).contains("Too many purchases wait for their payment"), "{}", text(&refused));
    // Another customer's are its own, and an operator is not bound.
    let mut other = Browser::of(&server, "other");
    assert_eq!(other.send("/portal/credits/buy", "package=starter&card=").status, 303);
    let mut client = server.client();
    let order = json!({"customer": "cus", "package": "starter", "provider": "simulated"});
    client.post("/v1/top-ups", &order).expect_status(201);
    // Two that are called off make room for one.
    for top_up in client.get("/v1/top-ups?customer=cus&limit=2").expect_status(200)["data"].as_array().expect("a list")
    {
        let cancel = format!("/v1/top-ups/{}/cancel", top_up["id"].as_str().expect("an id"));
        client.post(&cancel, &json!({})).expect_status(200);
    }
    assert_eq!(browser.send("/portal/credits/buy", "package=starter&card=").status, 303);
}

#[test]
fn who_is_archived_looks_and_does_not_buy_and_who_is_frozen_does_both() {
    let (server, _clock) = set_up();
    let mut client = server.client();
    for customer in ["gone", "cold"] {
        client.post("/v1/grants", &json!({"customer": customer, "amount": "7"})).expect_status(201);
    }
    client.post("/v1/customers/gone/archive", &json!({})).expect_status(200);
    client.patch("/v1/wallets/cold/credits", &json!({"status": "frozen"})).expect_status(200);
    let mut gone = Browser::of(&server, "gone");
    for page in ["overview", "automatic", "buy"] {
        let page = gone.page(&format!("/portal/credits/{page}"));
        assert!(page.contains("This account takes no new credits"), "{page}");
        assert!(!page.contains("name=\"package\" value=\"starter\""), "{page}");
    }
    let offer = "class=\"button\" href=\"/portal/credits/buy\"";
    assert!(!gone.page("/portal/credits/overview").contains(offer), "what cannot be bought is not offered");
    for page in ["history", "cards", "invoices"] {
        gone.page(&format!("/portal/credits/{page}"));
    }
    // Who sends the forms all the same is refused.
    let answer =
        gone.send("/portal/credits/automatic", "enabled=yes&threshold=1&mode=package&package=starter&quantity=1");
    assert_eq!(answer.status, 422);
    assert!(text(&answer).contains("id=\"enabled-error\">This account takes no new credits."), "{}", text(&answer));
    let token = hidden(&gone.page("/portal/credits/overview"), "token").expect("a token");
    let answer = gone.post("/portal/credits/buy", &format!("token={token}&once=x&package=starter"));
    assert_eq!(answer.status, 422, "{}", text(&answer));
    assert_eq!(client.get("/v1/top-ups?customer=gone").expect_status(200)["data"], json!([]));
    let mut cold = Browser::of(&server, "cold");
    let overview = cold.page("/portal/credits/overview");
    assert!(overview.contains("The wallet is frozen") && overview.contains(offer), "{overview}");
    assert_eq!(cold.send("/portal/credits/buy", "package=starter&card=").status, 303);
}

#[test]
fn what_is_of_another_customer_is_not_there() {
    let (server, _clock) = set_up();
    let mut client = server.client();
    let mut theirs = Browser::of(&server, "theirs");
    let purchase = theirs.buy("4242424242424242");
    until(&mut theirs, &purchase, "Paid.");
    let cards = client.get("/v1/customers/theirs/payment-methods").expect_status(200);
    let card = cards["data"][0]["id"].as_str().expect("a card").to_owned();
    let entries = client.get("/v1/wallets/theirs/credits/entries").expect_status(200);
    let entry = entries["data"][0]["entry"].as_u64().expect("an entry");
    assert!(theirs.page("/portal/credits/invoices").contains("/portal/credits/invoices/1.pdf"));
    assert!(theirs.page("/portal/credits/invoices/1").contains("Receipt 1"));

    let mut mine = Browser::of(&server, "mine");
    for path in
        [purchase.as_str(), "/portal/credits/invoices/1", "/portal/credits/invoices/1.pdf", "/portal/none/overview"]
    {
        let answer = mine.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(text(&answer).contains("There is nothing at this address"), "{path}");
    }
    assert!(!mine.page("/portal/credits/invoices").contains("1.pdf"));
    assert!(mine.page("/portal/credits/cards").contains("No card is saved"));
    assert!(!mine.page("/portal/credits/history").contains("Credits added"));
    client.post("/v1/grants", &json!({"customer": "mine", "currency": "credits", "amount": "1"})).expect_status(201);
    assert_eq!(mine.get(&format!("/portal/credits/history?before={entry}")).status, 422);
    for action in ["remove", "default"] {
        let answer = mine.send("/portal/credits/cards", &format!("action={action}&card={card}"));
        assert_eq!(answer.status, 404, "{action}: {}", text(&answer));
    }
    let bought = mine.send("/portal/credits/buy", &format!("package=starter&card={card}"));
    assert_eq!(bought.status, 422);
    assert!(text(&bought).contains("This card cannot be charged"));
    let ruled = mine.send(
        "/portal/credits/automatic",
        &format!("threshold=1&mode=package&package=starter&quantity=1&payment_method={card}"),
    );
    assert_eq!(ruled.status, 422, "{}", text(&ruled));
    let id = purchase.split("top_up=").nth(1).and_then(|rest| rest.split('&').next()).expect("an id");
    let token = hidden(&mine.page("/portal/credits/cards"), "token").expect("a token");
    assert_eq!(mine.post("/portal/credits/purchase", &format!("token={token}&top_up={id}")).status, 404);
    // What was tried has changed nothing.
    assert_eq!(client.get("/v1/customers/theirs/payment-methods").expect_status(200), cards);
    assert_eq!(client.get("/v1/top-ups?customer=mine").expect_status(200)["data"], json!([]));
}

#[test]
fn forms_of_other_sites_and_other_visits_do_nothing() {
    let (server, _clock) = set_up();
    let mut browser = Browser::of(&server, "cus");
    let page = browser.page("/portal/credits/buy");
    let token = hidden(&page, "token").expect("a token");
    let form = format!("token={token}&once=1&package=starter&card=");
    for origin in ["https://evil.test", "https://pages.test.evil.test", "http://pages.test", "null", ""] {
        let answer = browser.post_from(origin, "/portal/credits/buy", &form);
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        assert!(text(&answer).contains("did not come from a page of the portal"));
    }
    let cookie = browser.cookie.clone().expect("a cookie");
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("none", 403), ("same-origin", 303)] {
        let headers = [("cookie", cookie.as_str()), ("sec-fetch-site", site), ("content-type", FORM)];
        let answer = browser.client.send("POST", "/portal/credits/buy", &headers, form.as_bytes());
        assert_eq!(answer.status, status, "{site}: {answer:?}");
    }
    let headers = [("cookie", cookie.as_str()), ("content-type", FORM)];
    assert_eq!(browser.client.send("POST", "/portal/credits/buy", &headers, form.as_bytes()).status, 403);
    // Without the token, with another's, and with that of an earlier visit.
    let of_other = hidden(&Browser::of(&server, "other").page("/portal/credits/buy"), "token").expect("a token");
    let earlier = hidden(&Browser::of(&server, "cus").page("/portal/credits/buy"), "token").expect("a token");
    for token in ["", "0", &of_other, &earlier] {
        let answer = browser.post("/portal/credits/buy", &format!("token={token}&once=2&package=starter&card="));
        assert_eq!(answer.status, 403, "{token}: {answer:?}");
        assert!(text(&answer).contains("of another visit"));
    }
    assert_eq!(browser.post("/portal/credits/buy", &format!("token={token}&token={token}")).status, 400);
    assert_eq!(browser.post("/portal/credits/buy", "token=%zz").status, 400);
    assert_eq!(browser.post("/portal/credits/buy", &"x".repeat(20_000)).status, 413);
    let made = server.client().get("/v1/top-ups?customer=cus").expect_status(200);
    assert_eq!(made["data"].as_array().map(Vec::len), Some(1), "the one that came from here: {made}");
}

#[test]
fn a_package_is_bought_on_a_page_and_then_by_the_saved_card() {
    let (server, _clock) = set_up();
    let mut browser = Browser::of(&server, "cus");
    assert!(browser.page("/portal/credits/overview").contains("There are no credits."));
    let purchase = browser.buy("4242424242424242");
    let page = until(&mut browser, &purchase, "Paid.");
    assert!(page.contains("Starter") && page.contains("19.99"), "{page}");
    let overview = browser.page("/portal/credits/overview");
    assert!(overview.contains("1\u{202f}100") && overview.contains("Package: Starter"), "{overview}");
    let history = browser.page("/portal/credits/history");
    assert!(history.contains("Credits added") && history.contains("+1\u{202f}100"), "{history}");
    assert!(browser.page("/portal/credits/cards").contains("Visa ending in 4242"));
    let pdf = browser.get("/portal/credits/invoices/1.pdf");
    assert_eq!((pdf.status, pdf.header("content-type"), &pdf.body[..5]), (200, Some("application/pdf"), &b"%PDF-"[..]));
    assert_eq!(pdf.header("cache-control"), Some("no-store"));
    let receipt = browser.page("/portal/credits/invoices/1");
    assert!(receipt.contains("Example") && receipt.contains("Visa ending in 4242"), "{receipt}");

    // Now by the saved card; sent twice, it is bought once.
    let page = browser.page("/portal/credits/buy");
    let (token, once) = (hidden(&page, "token").expect("a token"), hidden(&page, "once").expect("a number"));
    let card = server.client().get("/v1/customers/cus/payment-methods").expect_status(200)["data"][0]["id"].clone();
    let form = format!("token={token}&once={once}&package=starter&card={}", card.as_str().expect("an id"));
    let first = browser.post("/portal/credits/buy", &form);
    let again = browser.post("/portal/credits/buy", &form);
    assert_eq!((first.status, first.header("location")), (303, again.header("location")));
    let shown = first.header("location").expect("a page").to_owned();
    until(&mut browser, &shown, "Paid.");
    assert!(browser.page("/portal/credits/overview").contains("2\u{202f}200"));
    let other = browser.post("/portal/credits/buy", &form.replace("package=starter", "package=none"));
    assert_eq!(other.status, 422);
    let top_ups = server.client().get("/v1/top-ups?customer=cus").expect_status(200);
    assert_eq!(top_ups["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(top_ups["data"][0]["key"], Value::Null, "what the server made of a form is nobody's key");
    let invoices = browser.page("/portal/credits/invoices?before=2");
    assert!(invoices.contains("/invoices/1.pdf") && !invoices.contains("/invoices/2.pdf"), "{invoices}");
}

#[test]
fn a_declined_card_is_told_and_a_purchase_can_be_called_off() {
    let (server, _clock) = set_up();
    let mut browser = Browser::of(&server, "cus");
    // A card that can be saved and not charged.
    let asked = browser.send("/portal/credits/cards", "action=add");
    let setup = asked.header("location").expect("a page").to_owned();
    assert!(setup.starts_with("/setup/"), "{setup}");
    let form = b"token=x&number=4000000000009995&expiry=12%2F35&cvc=123";
    assert_eq!(browser.client.send("POST", &setup, &[("content-type", FORM)], form).status, 303);
    assert!(text(&browser.client.get(&setup)).contains("https://pages.test/portal/credits/cards"));
    assert!(browser.page("/portal/credits/cards").contains("Visa ending in 9995"));
    let card = server.client().get("/v1/customers/cus/payment-methods").expect_status(200)["data"][0]["id"].clone();
    let bought =
        browser.send("/portal/credits/buy", &format!("package=starter&card={}", card.as_str().expect("an id")));
    let shown = bought.header("location").expect("a page").to_owned();
    let page = until(&mut browser, &shown, "Nothing was paid.");
    assert!(page.contains("There is not enough money on the card") && page.contains("Try again"), "{page}");
    // One that waits is called off.
    let checkout = browser.send("/portal/credits/buy", "package=starter&card=").header("location").map(str::to_owned);
    assert!(checkout.is_some_and(|path| path.starts_with("/checkout/")));
    let top_up = server.client().get("/v1/top-ups?customer=cus").expect_status(200)["data"][0]["id"].clone();
    let id = top_up.as_str().expect("an id");
    let shown = format!("/portal/credits/purchase?top_up={id}");
    let page = browser.page(&shown);
    assert!(page.contains("It is not paid yet") && page.contains("/checkout/"), "{page}");
    assert!(browser.page("/portal/credits/overview").contains("On its way"));
    let token = hidden(&page, "token").expect("a token");
    let answer = browser.post("/portal/credits/purchase", &format!("token={token}&top_up={id}&action=cancel"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/portal/credits/buy?done=canceled")));
    assert!(browser.page("/portal/credits/buy?done=canceled").contains("called off"));
    assert!(browser.page(&shown).contains("It was called off"));
    assert!(!browser.page("/portal/credits/buy?done=%3Cscript%3E").contains("script"));
    // Removed, it is gone.
    let removed =
        browser.send("/portal/credits/cards", &format!("action=remove&card={}", card.as_str().expect("an id")));
    assert_eq!(removed.header("location"), Some("/portal/credits/cards?done=removed"));
    assert!(browser.page("/portal/credits/cards").contains("No card is saved"));
    assert_eq!(browser.send("/portal/credits/cards", "action=burn").status, 422);
}

#[test]
fn a_rule_is_set_refused_where_it_makes_no_sense_and_buys() {
    let (server, _clock) = set_up();
    let mut browser = Browser::of(&server, "cus");
    let purchase = browser.buy("4242424242424242");
    until(&mut browser, &purchase, "Paid.");
    let path = "/portal/credits/automatic";
    for (fields, says) in [
        ("mode=package&package=starter&quantity=1", "The threshold must be a number."),
        ("threshold=abc&mode=package&package=starter&quantity=1", "The threshold must be a number."),
        ("threshold=1.5&mode=package&package=starter&quantity=1", "The threshold "),
        ("threshold=10&mode=package&package=starter&quantity=0", "whole number above zero"),
        ("threshold=10&mode=package&package=none&quantity=1", "The package is unknown."),
        ("threshold=10&quantity=1", "Choose what is to be bought."),
        ("threshold=10&mode=amount&amount=5", "Only packages can be bought."),
        ("threshold=10&mode=target&target=5&package=starter", "must not be low"),
        ("threshold=10&mode=package&package=starter&quantity=1&limit_day_count=x", "must be a whole number"),
        ("threshold=10&mode=package&package=starter&quantity=1&limit_week_amount=1", "lower than what a single top-up"),
        ("threshold=10&mode=package&package=starter&quantity=1&limit_month_amount=0", "must be greater than zero"),
        ("threshold=10&mode=package&package=starter&quantity=1&payment_method=pm_none", "This card cannot be charged"),
    ] {
        let answer = browser.send(path, &format!("enabled=yes&{fields}"));
        let page = text(&answer);
        assert_eq!(answer.status, 422, "{fields}: {page}");
        assert!(page.contains(says), "{fields}: {page}");
        assert!(page.contains("Nothing was saved"), "{fields}");
    }
    let rule = "/v1/customers/cus/auto-topup-rules/credits";
    server.client().get(rule).expect_problem(404, "unknown_auto_topup_rule");
    // What the form does not show stays as an operator has set it.
    let set = json!({"enabled": false, "threshold": "10", "trigger": "at_or_below", "mode": "package", "package": "starter",
        "cooldown_seconds": 60, "priority": 7});
    server.client().put(rule, &set).expect_status(200);
    let saved = browser.send(
        path,
        "enabled=yes&threshold=50&mode=package&package=starter&quantity=2&limit_day_count=3&limit_month_amount=500",
    );
    assert_eq!((saved.status, saved.header("location")), (303, Some("/portal/credits/automatic?done=saved")));
    let shown = server.client().get(rule).expect_status(200);
    assert_eq!(
        (&shown["enabled"], &shown["threshold"], &shown["quantity"], &shown["cooldown_seconds"], &shown["priority"]),
        (&json!(true), &json!("50"), &json!(2), &json!(60), &json!(7))
    );
    assert_eq!(shown["trigger"], "at_or_below");
    assert_eq!(
        shown["limits"],
        json!([{"per": "day", "count": 3, "amount": null}, {"per": "month", "count": null, "amount": "500.00"}])
    );
    let page = browser.page("/portal/credits/automatic?done=saved");
    assert!(page.contains("Saved.") && page.contains("value=\"50\"") && page.contains("value=\"500.00\""), "{page}");
    assert!(browser.page("/portal/credits/overview").contains("buys 2 × Starter when the balance reaches 50"));
    let used = json!({"id": "e", "customer": "cus", "currency": "credits", "amount": "1080"});
    server.client().post("/v1/events", &used).expect_status(200);
    until(&mut browser, "/portal/credits/history", "Automatic top-up: 2 × Starter");
    assert!(browser.page("/portal/credits/overview").contains("2\u{202f}220"));
}

#[test]
fn limits_bind_customers_and_nobody_else() {
    let (server, _clock) = set_up();
    let mut client = server.client();
    let limits = "/v1/credit-currencies/euro/portal-limits";
    client
        .put("/v1/credit-currencies/euro", &json!({"scale": 0, "kind": "fiat", "iso_code": "EUR"}))
        .expect_status(200);
    let none = client.get(limits).expect_status(200);
    assert_eq!((&none["min_payment"], &none["max_balance"]), (&Value::Null, &Value::Null));
    for (body, field) in [
        (json!({"min_payment": "0"}), "min_payment"),
        (json!({"max_payment": "-1"}), "max_payment"),
        (json!({"max_payment": "1.005"}), "max_payment"),
        (json!({"max_payment": "1", "payment_currency": "ZZZ"}), "payment_currency"),
        (json!({"max_balance": "0.5"}), "max_balance"),
    ] {
        let answer = client.put(limits, &body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.value()["field"], field, "{body}");
    }
    assert_eq!(client.put(limits, &json!({"min_payment": "9", "max_payment": "5"})).status, 422);
    client.put("/v1/credit-currencies/none/portal-limits", &json!({})).expect_problem(404, "unknown_currency");
    let set = json!({"min_payment": "5", "max_payment": "50", "max_balance": "6000"});
    let shown = client.put(limits, &set).expect_status(200);
    assert_eq!(
        (&shown["min_payment"], &shown["max_payment"], &shown["max_balance"], &shown["payment_currency"]),
        (&json!("5.00"), &json!("50.00"), &json!("6000"), &json!("EUR"))
    );
    let mut browser = Browser::of(&server, "cus");
    assert!(browser.page("/portal/euro/buy").contains("5.00 to 50.00 EUR"));
    for (amount, says) in [
        ("4.99", "The payment must be 5.00 EUR at the least."),
        ("50.01", "The payment must be 50.00 EUR at most."),
        ("much", "This is not an amount."),
        ("7.001", "The amount "),
        ("", "Enter an amount"),
    ] {
        let answer = browser.send("/portal/euro/buy", &format!("package=&amount={amount}&card="));
        let page = text(&answer);
        assert_eq!(answer.status, 422, "{amount}: {page}");
        assert!(page.contains(says), "{amount}: {page}");
        assert!(page.contains(&format!("value=\"{amount}\"")), "what was typed stays: {page}");
    }
    assert_eq!(browser.send("/portal/euro/buy", "package=&amount=50&card=").status, 303);
    // What is on the way counts: 5000 of the 6000.
    let answer = browser.send("/portal/euro/buy", "package=&amount=10.01&card=");
    assert!(text(&answer).contains("would lead to a balance above 6000"), "{}", text(&answer));
    // A rule's purchases are the customer's own, too.
    let rule = "enabled=yes&threshold=100&mode=amount&amount=";
    let answer = browser.send("/portal/euro/automatic", &format!("{rule}60"));
    assert_eq!(answer.status, 422);
    assert!(text(&answer).contains("must be 50.00 EUR at most"), "{}", text(&answer));
    assert_eq!(browser.send("/portal/euro/automatic", &format!("{rule}20")).status, 303);
    // Operators are not bound.
    let order = json!({"customer": "cus", "currency": "euro", "amount": "500", "provider": "simulated"});
    client.post("/v1/top-ups", &order).expect_status(201);
    let operators = json!({"threshold": "100", "mode": "amount", "amount": "600"});
    client.put("/v1/customers/cus/auto-topup-rules/euro", &operators).expect_status(200);
}

#[test]
fn the_history_is_paged_and_a_session_ends_on_request() {
    let (server, _clock) = set_up();
    let mut client = server.client();
    client
        .post(
            "/v1/grants",
            &json!({"customer": "cus", "amount": "500", "source": "promotional", "category": "promotional"}),
        )
        .expect_status(201);
    let events: Vec<Value> =
        (0..60).map(|n| json!({"id": format!("e{n}"), "customer": "cus", "amount": "1"})).collect();
    client.post("/v1/events", &json!(events)).expect_status(200);
    let mut browser = Browser::of(&server, "cus");
    let first = browser.page("/portal/credits/history");
    assert!(first.contains(">e59<") && !first.contains(">e5<") && first.contains(">Older<"), "{first}");
    let older = first.split("?before=").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    let second = browser.page(&format!("/portal/credits/history?before={older}"));
    assert!(second.contains(">e5<") && second.contains("Gift") && second.contains(">Newest<"), "{second}");
    assert_eq!(browser.get("/portal/credits/history?before=x").status, 400);
    let overview = browser.page("/portal/credits/overview");
    assert!(overview.contains("Gift") && overview.contains("free") && overview.contains("440"), "{overview}");
    let left = {
        let token = hidden(&overview, "token").expect("a token");
        browser.post("/portal/leave", &format!("token={token}"))
    };
    assert_eq!(left.status, 200);
    assert!(left.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{left:?}");
    assert_eq!(browser.client.send("GET", "/portal/credits/buy", &[], b"").status, 403);
}

#[test]
fn sessions_are_asked_for_with_a_key_and_with_care() {
    let server =
        TestServer::with(Limits::default(), |engine| Gate::with_keys(engine, Some(&"k".repeat(32))).expect("a gate"));
    let admin = format!("Bearer {}", "k".repeat(32));
    let mut client = server.client().with_header("authorization", &admin);
    client.put("/v1/credit-currencies/credits", &json!({"scale": 0})).expect_status(200);
    server.client().post("/v1/portal-sessions", &json!({"customer": "cus"})).expect_problem(401, "missing_api_key");
    let reader = format!("Bearer {}", server.key(Scopes::READ));
    let mut reader = server.client().with_header("authorization", &reader);
    reader.post("/v1/portal-sessions", &json!({"customer": "cus"})).expect_problem(403, "insufficient_scope");
    reader.put("/v1/credit-currencies/credits/portal-limits", &json!({})).expect_problem(403, "insufficient_scope");
    for (body, field) in [
        (json!({}), "customer"),
        (json!({"customer": ""}), "customer"),
        (json!({"customer": "x".repeat(129)}), "customer"),
        (json!({"customer": "cus", "return_url": "javascript:alert(1)"}), "return_url"),
        (json!({"customer": "cus", "page": "buy"}), "currency"),
        (json!({"customer": "cus", "currency": "credits", "page": "admin"}), "page"),
    ] {
        assert_eq!(
            client.post("/v1/portal-sessions", &body).expect_problem(400, "invalid_field")["field"],
            field,
            "{body}"
        );
    }
    client
        .post("/v1/portal-sessions", &json!({"customer": "cus", "currency": "none"}))
        .expect_problem(422, "unknown_currency");
    // The log keeps no link: the same key gives another one, as good as the first.
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let mut ask = || client.send("POST", "/v1/portal-sessions", &headers, br#"{"customer": "cus"}"#).expect_status(201);
    let (first, again) = (ask(), ask());
    assert_ne!(first["url"], again["url"]);
    assert_eq!(first["customer"], "cus");
    for made in [first, again] {
        let path = made["url"].as_str().expect("a link").to_owned();
        assert_eq!(server.client().get(&path).header("location"), Some("/portal"));
    }
    // Pages need no key; where the base package is sold stands in the recharge configuration.
    let package = json!({"credits": "10", "price": {"amount": "1", "currency": "EUR"}});
    client.put("/v1/credit-packages/p", &package).expect_status(200);
    let config = "/v1/credit-currencies/credits/recharge-config";
    assert_eq!(client.get(config).expect_status(200)["recharge_config"]["payment_url"], Value::Null);
    let set = client.put(config, &json!({"package": "p"})).expect_status(200);
    assert_eq!(set["recharge_config"]["payment_url"], "/portal/credits/buy");
    // Without a provider nothing can be bought.
    let mut browser = Browser { client: server.client(), cookie: None };
    let made = client.post("/v1/portal-sessions", &json!({"customer": "cus"})).expect_status(201);
    browser.open(made["url"].as_str().expect("a link"));
    assert!(browser.page("/portal/credits/buy").contains("cannot be bought here"));
}
