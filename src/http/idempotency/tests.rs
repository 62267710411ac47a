//! The layer over an engine on the simulated disk: the power is cut at every sync of a request, and the request sent again.

mod crashes;
mod money;

use super::*;
use crate::engine::catalog::{CurrencyKind, CurrencySpec, MeterSpec};
use crate::engine::view::GrantRequest;
use crate::engine::{Clock, Engine, EngineConfig, ManualClock};
use crate::http::Limits;
use crate::http::auth::Gate;
use crate::ledger::{Category, Decimal, Policy, Rounding, Source, Timestamp};
use drawdown_wal::sim::{Cut, Disk};
use hyper::{Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;

const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn open(disk: &Disk, clock: &Arc<ManualClock>) -> Result<App, crate::engine::OpenError> {
    open_with(disk, clock, |_| {})
}

fn open_with(
    disk: &Disk,
    clock: &Arc<ManualClock>,
    change: impl FnOnce(&mut EngineConfig),
) -> Result<App, crate::engine::OpenError> {
    let mut config = EngineConfig { background: false, replay_workers: 1, ..EngineConfig::default() };
    config.log.manual = true;
    config.log.segment_bytes = 256 << 10;
    config.log.max_frame_bytes = 32 << 10;
    config.log.max_unsynced_bytes = 256 << 10;
    config.expected_events = 64;
    config.expected_wallets = 16;
    config.snapshots.memory_bytes = 1 << 20;
    change(&mut config);
    let (engine, _) = Engine::open_on(disk.medium(), config, Arc::clone(clock) as Arc<dyn Clock>)?;
    Ok(App::new(engine, Gate::Open, Limits::default(), 1))
}

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).expect("a decimal")
}

fn grant(amount: &str) -> GrantRequest {
    GrantRequest {
        customer: "cus".to_owned(),
        currency: None,
        amount: decimal(amount),
        source: Source::Adjustment,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: None,
        metadata: <_>::default(),
        options: <_>::default(),
    }
}

/// A ledger with a currency of scale 2, a meter, and a wallet with 10 of one grant, whose text is answered.
fn ledger(clock: &Arc<ManualClock>) -> (Disk, String) {
    let disk = Disk::new();
    let app = open(&disk, clock).expect("opens");
    let engine = &app.engine;
    let currency = CurrencySpec {
        id: "credits".to_owned(),
        name: String::new(),
        symbol: String::new(),
        scale: 2,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: <_>::default(),
    };
    let _ = engine.put_currency(currency).expect("made");
    let meter = MeterSpec {
        event_type: "tokens".to_owned(),
        currency: "credits".to_owned(),
        rate: decimal("0.01"),
        rounding: Rounding::Exact,
        policy: Policy::Reject,
    };
    let _ = engine.put_meter(meter).expect("made");
    let (outcomes, _) = engine.grant(&[grant("10")]).expect("made");
    let text = engine.grant_text(outcomes[0].result.as_ref().expect("made").id);
    engine.close().expect("a healthy log");
    (disk, text)
}

/// What is sent.
struct Sent {
    path: String,
    body: Value,
    key: Option<&'static str>,
}

impl Sent {
    fn new(path: impl Into<String>, body: Value) -> Self {
        Sent { path: path.into(), body, key: Some("once") }
    }

    fn to(&self, app: &App) -> Answered {
        self.text_to(app, self.body.to_string())
    }

    fn text_to(&self, app: &App, body: String) -> Answered {
        let mut request = Request::post(&self.path).header("content-type", "application/json");
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        run(app, app.answer(request)).into()
    }
}

/// Runs a request to its end, syncing the log whenever it waits.
fn run(app: &App, answer: impl Future<Output = Response<Bytes>>) -> Response<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::select! {
            biased;
            answer = answer => answer,
            () = async { loop { app.engine.log().pump(); tokio::task::yield_now().await } } => unreachable!("it goes on"),
        }
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answered {
    status: u16,
    is_replayed: bool,
    body: Bytes,
}

impl From<Response<Bytes>> for Answered {
    fn from(response: Response<Bytes>) -> Self {
        Answered {
            status: response.status().as_u16(),
            is_replayed: response.headers().contains_key("idempotency-replayed"),
            body: response.into_body(),
        }
    }
}

impl Answered {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    #[track_caller]
    fn expect_problem(&self, status: u16, slug: &str) {
        assert_eq!((self.status, self.value()["type"].as_str()), (status, Some(format!("/problems/{slug}").as_str())));
    }
}

fn balance(app: &App) -> String {
    let wallet = app.engine.wallet("cus", "credits").expect("there is one");
    wallet.balance.display(wallet.currency.scale).to_string()
}

/// Cuts the power at every sync of a request; sends it again on what is left, and twice more. `check` is given the answers of the first
/// two sendings, the first only if it left.
fn cut_everywhere(
    disk: &Disk,
    clock: &Arc<ManualClock>,
    sent: &Sent,
    check: impl Fn(&App, Option<&Answered>, &Answered),
) {
    let (mut syncs, mut answered, mut lost) = (0, 0, 0);
    for cut in [Cut::Before, Cut::During, Cut::After] {
        for sync in 1.. {
            let disk = disk.duplicate();
            disk.cut_power_at(sync, cut, sync ^ 0xbeef);
            // Where opening itself is cut, nothing has been sent.
            let first = open(&disk, clock).ok().map(|app| sent.to(&app)).filter(Answered::is_success);
            let Some(left) = disk.left() else {
                // The whole request went without a cut.
                assert!(first.is_some());
                break;
            };
            syncs += 1;
            answered += u64::from(first.is_some());
            lost += u64::from(first.is_none());
            let app = open(&left, clock).expect("what is left can be opened");
            let again = sent.to(&app);
            assert!(again.is_success(), "cut {cut:?} {sync}: {again:?}");
            check(&app, first.as_ref(), &again);
            if first.is_some() {
                assert!(again.is_replayed, "what was answered is answered again");
            }
            // What was answered last stays the answer, also over another start.
            let third = sent.to(&app);
            assert!(third.is_replayed);
            check(&app, Some(&again), &third);
            app.engine.close().expect("a healthy log");
            drop(app);
            let app = open(&left, clock).expect("opens");
            check(&app, Some(&third), &sent.to(&app));
        }
    }
    assert!(syncs > 6 && lost > 3, "{syncs} cuts, {lost} before the answer, {answered} after it");
}

fn same(first: Option<&Answered>, again: &Answered) {
    if let Some(first) = first {
        assert_eq!((first.status, &first.body), (again.status, &again.body));
    }
}

#[test]
fn a_grant_is_made_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let sent = Sent::new("/v1/grants", json!({"customer": "cus", "amount": "5"}));
    cut_everywhere(&disk, &clock, &sent, |app, first, again| {
        same(first, again);
        assert_eq!(balance(app), "15");
        assert_eq!(again.value()["key"], Value::Null, "the effect's key is nobody's business");
        let other = Sent::new("/v1/grants", json!({"customer": "cus", "amount": "6"}));
        other.to(app).expect_problem(409, "idempotency_conflict");
        assert_eq!(balance(app), "15");
    });
}

#[test]
fn many_grants_are_each_made_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let grants = json!([{"customer": "cus", "amount": "1"}, {"customer": "new", "amount": "2"}, {"customer": "cus", "amount": "4"}]);
    cut_everywhere(&disk, &clock, &Sent::new("/v1/grants", grants), |app, first, again| {
        same(first, again);
        assert_eq!(balance(app), "15");
    });
}

#[test]
fn a_grant_is_voided_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, grant) = ledger(&clock);
    let sent = Sent::new(format!("/v1/grants/{grant}/void"), Value::Null);
    cut_everywhere(&disk, &clock, &sent, |app, first, again| {
        same(first, again);
        assert_eq!((balance(app).as_str(), &again.value()["status"]), ("0", &json!("voided")));
    });
}

#[test]
fn events_are_debited_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let event = |id: &str, amount: &str| json!({"id": id, "customer": "cus", "amount": amount});
    let events = json!([event("a", "1"), event("b", "100"), event("c", "2")]);
    cut_everywhere(&disk, &clock, &Sent::new("/v1/events", events), |app, first, again| {
        same(first, again);
        assert_eq!(balance(app), "7");
    });
}

#[test]
fn an_api_key_is_made_once_and_its_token_is_in_one_answer() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let sent = Sent::new("/v1/api-keys", json!({"name": "ci", "scopes": ["read"]}));
    cut_everywhere(&disk, &clock, &sent, |app, first, again| {
        let [key] = &app.engine.api_keys()[..] else { panic!("one key") };
        let shown = again.value();
        assert_eq!((again.status, shown["id"].as_str()), (201, Some(key.id.as_str())));
        match shown["token"].as_str() {
            Some(token) => {
                assert!(first.is_none() && !again.is_replayed, "nobody had seen a token before");
                assert_eq!(key.hash, <[u8; 32]>::from(Sha256::digest(token)), "it opens");
            }
            // It was kept that it had been answered; whether the answer arrived nobody can know.
            None => assert!(again.is_replayed, "somebody may have seen it"),
        }
        let other = Sent::new("/v1/api-keys", json!({"name": "ci", "scopes": ["admin"]}));
        other.to(app).expect_problem(409, "idempotency_conflict");
        assert_eq!(app.engine.api_keys().len(), 1);
    });
    let app = open(&disk, &clock).expect("opens");
    let token = sent.to(&app).value()["token"].as_str().expect("shown once").to_owned();
    app.engine.close().expect("a healthy log");
    let secret = token.rsplit('_').next().expect("the secret").as_bytes().to_vec();
    assert!(disk.images().values().all(|image| !image.windows(secret.len()).any(|window| window == secret)));
}

#[test]
fn a_webhook_endpoint_is_made_once_and_its_secret_is_in_one_answer() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let sent = Sent::new("/v1/webhook-endpoints", json!({"url": "https://example.com/hooks"}));
    cut_everywhere(&disk, &clock, &sent, |app, first, again| {
        let [made] = &app.engine.webhook_endpoints()[..] else { panic!("one endpoint") };
        let shown = again.value();
        assert_eq!((again.status, shown["id"].as_str()), (201, Some(made.endpoint.id.as_str())));
        assert_eq!(made.endpoint.secrets.len(), 1, "nobody has seen another one");
        match shown["secret"].as_str() {
            Some(secret) => {
                assert!(first.is_none() && !again.is_replayed, "nobody had seen a secret before");
                let [channel] = &app.engine.webhook_channels()[..] else { panic!("one channel") };
                let signs = drawdown_outbound::webhooks::Secret::new(&channel.secrets[0].0).expect("a secret");
                assert_eq!(signs.expose(), secret, "it is what signs");
            }
            None => assert!(again.is_replayed, "somebody may have seen it"),
        }
    });
    let path = {
        let app = open(&disk, &clock).expect("opens");
        let id = sent.to(&app).value()["id"].as_str().expect("an id").to_owned();
        app.engine.close().expect("a healthy log");
        format!("/v1/webhook-endpoints/{id}")
    };
    let rotate = Sent { key: Some("twice"), ..Sent::new(format!("{path}/rotate-secret"), Value::Null) };
    cut_everywhere(&disk, &clock, &rotate, |app, first, again| {
        let secrets = app.engine.webhook_endpoints()[0].endpoint.secrets.len();
        assert!((2..=3).contains(&secrets), "the old one signs still, and one that was lost: {secrets}");
        assert_ne!(again.value()["secret"].is_string(), again.is_replayed, "{first:?}");
    });
    let test = Sent { key: Some("thrice"), ..Sent::new(format!("{path}/test"), Value::Null) };
    cut_everywhere(&disk, &clock, &test, |_, first, again| same(first, again));
}

#[test]
fn revoking_archiving_and_snapshots_may_be_repeated_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let keyless = |path: &str, body: Value| Sent { key: None, ..Sent::new(path, body) };
    let key = keyless("/v1/api-keys", json!({"name": "ci", "scopes": ["read"]})).to(&app).value();
    let id = key["id"].as_str().expect("an id").to_owned();
    app.engine.close().expect("a healthy log");
    drop(app);
    let revoke = Sent::new(format!("/v1/api-keys/{id}/revoke"), Value::Null);
    cut_everywhere(&disk, &clock, &revoke, |app, first, again| {
        same(first, again);
        assert!(app.engine.api_key(&id).expect("there").revoked);
    });
    let archive = Sent::new("/v1/customers/cus/archive", Value::Null);
    cut_everywhere(&disk, &clock, &archive, |app, first, again| {
        same(first, again);
        assert!(app.engine.customer("cus").expect("there").archived);
    });
    // It has no effect in the ledger, and its first answer is as good as any.
    let app = open(&disk, &clock).expect("opens");
    let snapshot = Sent::new("/v1/snapshots", Value::Null);
    let first = snapshot.to(&app);
    assert_eq!((first.status, first.is_replayed), (202, false));
    let again = snapshot.to(&app);
    assert!(again.is_replayed);
    same(Some(&first), &again);
}

/// A connection that breaks drops its request in the middle, at any of the places where it waits.
#[test]
fn a_request_that_is_dropped_leaves_its_key_to_the_next() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let sent = Sent::new("/v1/grants", json!({"customer": "cus", "amount": "5"}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for polls in 1.. {
        let app = open(&disk.duplicate(), &clock).expect("opens");
        let request = Request::post(&sent.path)
            .header("content-type", "application/json")
            .header("idempotency-key", "once")
            .body(Full::new(Bytes::from(sent.body.to_string())))
            .expect("a request");
        let ended = runtime.block_on(async {
            let mut answer = Box::pin(app.answer(request));
            for _ in 0..polls {
                if std::future::poll_fn(|context| std::task::Poll::Ready(answer.as_mut().poll(context).is_ready()))
                    .await
                {
                    return true;
                }
                // While it waits, another one with its key is turned away.
                let second = Request::post(&sent.path).header("idempotency-key", "once");
                let second = app.answer(second.body(Full::new(Bytes::new())).expect("a request")).await;
                assert_eq!(second.headers().get("retry-after").map(HeaderValue::as_bytes), Some(&b"1"[..]));
                Answered::from(second).expect_problem(409, "idempotency_in_progress");
                app.engine.log().pump();
            }
            false
        });
        let again = sent.to(&app);
        assert_eq!(again.status, 201, "after {polls} polls");
        assert_eq!(balance(&app), "15", "after {polls} polls");
        if ended {
            assert!(polls > 2, "it waits for its effect, and for its answer");
            return;
        }
    }
}

#[test]
fn refusals_that_the_ledger_decided_are_kept_and_others_are_not() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let event = |amount: &str| Sent::new("/v1/events", json!({"id": "a", "customer": "cus", "amount": amount}));
    let refused = event("100").to(&app);
    refused.expect_problem(402, "insufficient_credit");
    let _ = app.engine.grant(&[grant("1000")]).expect("made");
    let again = event("100").to(&app);
    assert!(again.is_replayed, "the first answer, though there is credit by now");
    same(Some(&refused), &again);
    event("99").to(&app).expect_problem(409, "idempotency_conflict");
    let other = |key, body: &str| {
        Sent { key: Some(key), ..Sent::new("/v1/grants", Value::Null) }.text_to(&app, body.to_owned())
    };
    other("b", "{").expect_problem(400, "malformed_body");
    assert_eq!(other("b", "{\"customer\": \"cus\", \"amount\": \"1\"}").status, 201, "the key is free");
    let spaced = other("b", " {\"customer\":\n\"cus\",\t\"amount\": \"1\"} ");
    assert!(spaced.is_replayed, "white space does not count");
    other("b", "{\"customer\": \"cus \", \"amount\": \"1\"}").expect_problem(409, "idempotency_conflict");
    other("idk", "{\"customer\": \"cus\", \"amount\": \"1\", \"key\": \"idk:1\"}").expect_problem(400, "invalid_field");
    let other_path = Sent { key: Some("b"), ..Sent::new("/v1/check", json!({"customer": "cus", "amount": "1"})) };
    other_path.to(&app).expect_problem(409, "idempotency_conflict");
    let checked = Sent { key: Some("c"), ..Sent::new("/v1/check", json!({"customer": "cus", "amount": "1000"})) };
    assert_eq!(checked.to(&app).value()["allowed"], true);
    let _ = app.engine.grant(&[grant("1")]).expect("made");
    assert_eq!(checked.to(&app).value(), checked.to(&app).value());
}

/// The window ends: then the key is new again, and so is what it made.
#[test]
fn keys_are_forgotten_with_the_idempotency_window() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let sent = Sent::new("/v1/grants", json!({"customer": "cus", "amount": "5"}));
    let key = Sent { key: Some("key"), ..Sent::new("/v1/api-keys", json!({"name": "ci", "scopes": ["read"]})) };
    assert!(!sent.to(&app).is_replayed);
    let first = key.to(&app).value();
    app.engine.tidy();
    clock.set(BEGIN.saturating_add(23 * 3_600_000));
    app.engine.tidy();
    assert!(sent.to(&app).is_replayed);
    assert_eq!(key.to(&app).value()["id"], first["id"]);
    clock.set(BEGIN.saturating_add(25 * 3_600_000));
    app.engine.tidy();
    assert!(!sent.to(&app).is_replayed);
    assert_eq!(balance(&app), "20");
    let second = key.to(&app).value();
    assert!(second["token"].is_string() && second["id"] != first["id"], "a key that is in use is not touched");
    assert_eq!(app.engine.api_keys().len(), 2);
}

/// An answer that is too large is made again from what the request brought about, and what was refused then is not done now.
#[test]
fn an_answer_that_is_too_large_is_made_again_without_doing_anything() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let mut random = drawdown_wal::sim::Random::new(7);
    let mut noise =
        || (0..12).fold(String::new(), |text, _| text + &format!("{:016x}{:016x}", random.draw(), random.draw()));
    let mut grants: Vec<Value> =
        (0..200).map(|_| json!({"customer": "cus", "amount": "1", "metadata": {"noise": noise()}})).collect();
    grants.push(json!({"customer": "cus", "currency": "credits", "amount": "0.001"}));
    let sent = Sent::new("/v1/grants", json!(grants));
    let first = sent.to(&app);
    assert_eq!((first.status, balance(&app).as_str()), (200, "210"));
    let again = sent.to(&app);
    assert!(again.is_replayed && again.status == 200);
    assert_eq!(balance(&app), "210");
    let ids = |answer: &Answered| -> Vec<Value> {
        let value = answer.value();
        value["results"].as_array().expect("results").iter().map(|result| result["grant"]["id"].clone()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    // Past the window of what it made the answer cannot be made again, and nothing else is done either.
    clock.set(BEGIN.saturating_add(24 * 3_600_000 + 30_000));
    app.engine.tidy();
    clock.set(BEGIN.saturating_add(24 * 3_600_000 + 60_000));
    sent.to(&app).expect_problem(409, "idempotency_answer_gone");
    assert_eq!(balance(&app), "210");
}

#[test]
fn answers_survive_snapshots_and_spilling() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let sent = |key: &'static str| Sent {
        key: Some(key),
        ..Sent::new("/v1/grants", json!({"customer": "cus", "amount": "5"}))
    };
    let first = ["a", "b"].map(|key| sent(key).to(&app));
    // Fills the segment, so that there is a sealed one to make a snapshot of.
    let filler = Sent { key: None, ..Sent::new("/v1/events", Value::Null) };
    for batch in 0..12 {
        let events: Vec<_> =
            (0..300).map(|n| json!({"id": format!("{batch}-{n:060}"), "customer": "cus", "amount": "0.01", "on_insufficient": "overdraft"})).collect();
        assert_eq!(filler.text_to(&app, json!(events).to_string()).status, 200);
    }
    assert!(app.engine.snapshot_now().expect("made").is_some());
    let last = sent("c").to(&app);
    let before = balance(&app);
    app.engine.close().expect("a healthy log");
    drop(app);
    let app = open(&disk, &clock).expect("opens");
    for (key, first) in ["a", "b", "c"].into_iter().zip(first.iter().chain([&last])) {
        let again = sent(key).to(&app);
        assert!(again.is_replayed);
        same(Some(first), &again);
    }
    assert_eq!(balance(&app), before);
}

#[test]
fn white_space_is_left_out_outside_of_strings_only() {
    for (text, expected) in [
        ("", ""),
        (" {\"a b\" : [1 , 2] }\r\n", "{\"a b\":[1,2]}"),
        (r#"{"a": "x \" y", "b": "\\" }"#, r#"{"a":"x \" y","b":"\\"}"#),
        ("\"unended ", "\"unended "),
    ] {
        let mut out = Vec::new();
        tokens(text.as_bytes(), |part| out.extend_from_slice(part));
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

/// What buys seven credits for 5 EUR.
fn order() -> Sent {
    let amount = json!({"amount": "5", "amount_currency": "EUR", "credits": "7", "provider": "external"});
    let mut body = json!({"customer": "cus", "currency": "credits"});
    body.as_object_mut().expect("an object").extend(amount.as_object().expect("an object").clone());
    Sent::new("/v1/top-ups", body)
}

/// A ledger with a top-up that has come as far as these requests bring it, each by the end of its path; and its id.
fn bought(clock: &Arc<ManualClock>, steps: &[&str]) -> (Disk, String) {
    let (disk, _) = ledger(clock);
    let app = open(&disk, clock).expect("opens");
    let made = Sent { key: None, ..order() }.to(&app).value();
    let id = made["id"].as_str().expect("a top-up").to_owned();
    for step in steps {
        let path = format!("/v1/top-ups/{id}/{step}");
        assert!(Sent { key: None, ..Sent::new(path, json!({"key": "before"})) }.to(&app).is_success());
    }
    app.engine.close().expect("a healthy log");
    (disk, id)
}

#[test]
fn a_top_up_is_begun_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    cut_everywhere(&disk, &clock, &order(), |app, first, again| {
        same(first, again);
        assert_eq!((app.engine.top_ups(None, None, 10).len(), balance(app).as_str()), (1, "10"));
        assert_eq!(again.value()["key"], Value::Null, "the effect's key is nobody's business");
    });
}

#[test]
fn a_payment_is_credited_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, id) = bought(&clock, &[]);
    let sent = Sent::new(format!("/v1/top-ups/{id}/confirm"), json!({}));
    cut_everywhere(&disk, &clock, &sent, |app, first, again| {
        same(first, again);
        assert_eq!((balance(app).as_str(), &again.value()["received"]), ("17", &json!("5.00")));
    });
}

#[test]
fn a_refund_is_made_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, id) = bought(&clock, &["confirm"]);
    let sent = Sent::new(format!("/v1/top-ups/{id}/refund"), json!({"amount": "2"}));
    cut_everywhere(&disk, &clock, &sent, |app, first, again| {
        same(first, again);
        assert_eq!((balance(app).as_str(), &again.value()["refunded"]), ("14.2", &json!("2.00")));
    });
}

#[test]
fn a_top_up_is_called_off_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, id) = bought(&clock, &[]);
    let sent = Sent::new(format!("/v1/top-ups/{id}/cancel"), Value::Null);
    cut_everywhere(&disk, &clock, &sent, |_, first, again| {
        same(first, again);
        assert_eq!(again.value()["status"], "canceled");
    });
}

#[test]
fn a_payment_method_is_added_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let card = json!({"provider": "simulated", "reference": "card_1"});
    cut_everywhere(&disk, &clock, &Sent::new("/v1/customers/cus/payment-methods", card), |app, first, again| {
        same(first, again);
        assert_eq!(app.engine.payment_methods("cus").len(), 1);
    });
}
