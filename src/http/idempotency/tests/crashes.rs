//! Every kind of POST, its effect durable and its answer lost: others go on changing what it changed, the server comes back in each of the ways
//! in which it can, and the request is sent again.

use super::*;
use crate::http::route::{Page, PortalPage};
use std::sync::atomic::Ordering;

/// How what was answered first and what is answered to the repeat have to agree.
pub(super) enum Same {
    /// Byte by byte, whatever has changed since.
    Body,
    /// In what these pointers lead to, which is there; the rest is as it is now.
    Fields(&'static [&'static str]),
}

/// A request whose answer is lost.
pub(super) struct Case {
    sent: Sent,
    same: Same,
    /// What others do before it is sent again, given what the lost answer said.
    meddle: Meddle,
    /// Of its answer the log keeps no body: what is told later is not told in the same words.
    is_private: bool,
}

type Meddle = Box<dyn Fn(&App, &Value)>;

impl Case {
    pub(super) fn new(key: &'static str, path: impl Into<String>, body: Value, same: Same) -> Self {
        let sent = Sent { key: Some(key), ..Sent::new(path, body) };
        Case { sent, same, meddle: Box::new(|_, _| {}), is_private: false }
    }

    pub(super) fn private(self) -> Self {
        Case { is_private: true, ..self }
    }

    pub(super) fn meddling(self, meddle: impl Fn(&App, &Value) + 'static) -> Self {
        Case { meddle: Box::new(meddle), ..self }
    }

    fn name(&self) -> &'static str {
        self.sent.key.expect("each case has one")
    }
}

/// How the server comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// It never went: the connection broke.
    Stayed,
    /// The power was cut.
    PowerCut,
    /// The process was killed.
    Killed,
    /// The power was cut, and since then a snapshot was made and the server was started from that.
    Snapshot,
    /// The power was cut, and since then all identities went to files.
    Spilled,
}

/// Sends something without a key, which succeeds.
#[track_caller]
pub(super) fn others(app: &App, path: &str, body: Value) -> Value {
    let answer = Sent { key: None, ..Sent::new(path, body) }.to(app);
    assert!(answer.is_success(), "{path}: {answer:?}");
    answer.value()
}

pub(super) fn get(app: &App, path: &str) -> Value {
    let request = Request::get(path).body(Full::new(Bytes::new())).expect("a request");
    let answer = Answered::from(run(app, app.answer(request)));
    json!([answer.status, answer.value()])
}

pub(super) fn fund(app: &App, customer: &str) {
    let request = GrantRequest { customer: customer.to_owned(), ..grant("100") };
    let (outcomes, _) = app.engine.grant(&[request]).expect("made");
    assert!(outcomes[0].result.is_ok());
}

fn hold(app: &App, customer: &str, more: &Value) -> String {
    let mut body = json!({"customer": customer, "amount": "10"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    others(app, "/v1/holds", body)["id"].as_str().expect("an id").to_owned()
}

pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned()
}

/// Requests that are tried together, on one ledger.
pub(super) struct Table {
    pub(super) ledger: fn(&Arc<ManualClock>) -> Disk,
    pub(super) cases: fn(&App, &ManualClock) -> Vec<Case>,
    /// All that there is to be seen of the ledger.
    pub(super) look: fn(&App) -> Vec<Value>,
    /// What is looked at behind the repeats beside.
    pub(super) check: fn(&App),
}

/// All but those about money.
const TABLE: Table = Table { ledger: |clock| ledger(clock).0, cases, look, check: |_| {} };

/// A request of every kind, each on wallets of its own.
fn cases(app: &App, clock: &ManualClock) -> Vec<Case> {
    let mut cases = holds(app, clock);
    cases.extend(credits(app));
    cases.extend(usage(app));
    cases.extend(administration(app));
    cases
}

fn holds(app: &App, clock: &ManualClock) -> Vec<Case> {
    let new = |customer: &str, more: Value| {
        fund(app, customer);
        hold(app, customer, &more)
    };
    let of = |hold: &str, what: &str| format!("/v1/holds/{hold}/{what}");
    let (late, later) =
        (new("late", json!({"ttl_seconds": 1, "on_exceed": "cap"})), new("later", json!({"ttl_seconds": 1})));
    let now = clock.now().saturating_add(2_000);
    clock.set(now);
    for customer in ["held", "released-since", "holds", "rest"] {
        fund(app, customer);
    }
    let (part, ended, all) = (new("part", json!({})), new("ended", json!({})), new("all", json!({"on_exceed": "cap"})));
    let (over, none) = (new("over", json!({"on_exceed": "overdraw"})), new("none", json!({"id": "own-id"})));
    let (first, second) = (new("several", json!({})), hold(app, "several", &json!({"id": "second"})));
    let (released, moved, gone) =
        (new("released", json!({})), new("moved", json!({})), new("gone", json!({"id": "gone"})));
    let (moved_again, part_again) = (moved.clone(), part.clone());
    let (late_again, several) = (late.clone(), first.clone());
    vec![
        Case::new("hold", "/v1/holds", json!({"customer": "held", "amount": "5"}), Same::Body),
        Case::new(
            "hold-ended",
            "/v1/holds",
            json!({"customer": "released-since", "amount": "5"}),
            Same::Fields(&["/id", "/amount"]),
        )
        .meddling(move |app, held| drop(others(app, &of(&text(held, "/id"), "release"), Value::Null))),
        Case::new(
            "holds",
            "/v1/holds",
            json!([{"customer": "holds", "amount": "1"}, {"customer": "holds", "amount": "1"}, {"customer": "holds", "amount": "1", "id": "mine"},
                {"customer": "holds", "amount": "1000"}]),
            Same::Fields(&[
                "/results/0/hold/id",
                "/results/1/hold/id",
                "/results/2/hold/id",
                "/results/3/error/reason",
            ]),
        ),
        Case::new("capture", of(&part, "capture"), json!({"amount": "4"}), Same::Body).meddling(move |app, _| {
            others(app, &of(&part_again, "capture"), json!({"amount": "3"}));
            others(app, &of(&part_again, "release"), Value::Null);
        }),
        Case::new("capture-final", of(&ended, "capture"), json!({"amount": "4", "final": true}), Same::Body).meddling(
            |app, _| drop(others(app, "/v1/events", json!({"id": "since", "customer": "ended", "amount": "1"}))),
        ),
        Case::new("capture-capped", of(&all, "capture"), json!({"amount": "12"}), Same::Body),
        Case::new("capture-over", of(&over, "capture"), json!({"amount": "15"}), Same::Body)
            .meddling(|app, _| fund(app, "over")),
        Case::new("capture-none", of(&none, "capture"), json!({"amount": "0", "final": true}), Same::Body),
        Case::new(
            "captures",
            "/v1/holds/captures",
            json!([{"hold": first, "amount": "2"}, {"hold": first, "amount": "3"}, {"hold": second, "amount": "99"},
                {"hold": "nobodys", "amount": "1"}, {"hold": second, "amount": "10"}]),
            // What was refused is decided anew, and meets a hold that this very request has ended since.
            Same::Fields(&["/results/0", "/results/1", "/results/2/status", "/results/3", "/results/4"]),
        )
        .meddling(move |app, _| drop(others(app, &of(&several, "capture"), json!({"amount": "1", "final": true})))),
        Case::new("capture-late", of(&late, "capture"), json!({"amount": "6"}), Same::Body)
            .meddling(move |app, _| drop(others(app, &of(&late_again, "capture"), json!({"amount": "1"})))),
        Case::new("capture-late-capped", of(&later, "capture"), json!({"amount": "10"}), Same::Body),
        Case::new("release", of(&released, "release"), Value::Null, Same::Body)
            .meddling(|app, _| fund(app, "released")),
        Case::new("extend", of(&moved, "extend"), json!({"ttl_seconds": 600}), Same::Body)
            .meddling(move |app, _| drop(others(app, &of(&moved_again, "extend"), json!({"ttl_seconds": 1_200})))),
        Case::new("extend-ended", of(&gone, "extend"), json!({"ttl_seconds": 900}), Same::Body)
            .meddling(move |app, _| drop(others(app, &of("gone", "release"), Value::Null))),
    ]
}

fn credits(app: &App) -> Vec<Case> {
    for customer in ["given", "taken", "charged", "sender", "reversed", "granted"] {
        fund(app, customer);
    }
    let spend = |app: &App, customer: &str| {
        others(app, "/v1/events", json!({"id": format!("spent-{customer}"), "customer": customer, "amount": "20"}));
    };
    spend(app, "reversed");
    let entries = get(app, "/v1/wallets/reversed/credits/entries?limit=1");
    let debit = entries.pointer("/1/data/0/entry").and_then(Value::as_u64).expect("an entry");
    let grant = |more: Value| {
        let mut body = json!({"customer": "granted", "amount": "3"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        text(&others(app, "/v1/grants", body), "/id")
    };
    let (voided, pending) = (grant(json!({})), grant(json!({"pending": true, "payment": "pay-1"})));
    vec![
        Case::new(
            "give",
            "/v1/adjustments",
            json!({"customer": "given", "amount": "5", "reason": "sorry"}),
            Same::Body,
        )
        .meddling(move |app, _| spend(app, "given")),
        Case::new(
            "take",
            "/v1/adjustments",
            json!({"customer": "taken", "amount": "-5", "reason": "a mistake"}),
            Same::Body,
        )
        .meddling(move |app, _| spend(app, "taken")),
        Case::new(
            "charge",
            "/v1/charges",
            json!({"customer": "charged", "amount": "120", "invoice": "inv-1"}),
            Same::Body,
        )
        .meddling(|app, _| fund(app, "charged")),
        Case::new(
            "transfer",
            "/v1/transfers",
            json!({"from": {"customer": "sender"}, "to": {"customer": "receiver"}, "amount": "7"}),
            Same::Body,
        )
        .meddling(move |app, _| spend(app, "sender")),
        Case::new("reverse", format!("/v1/entries/{debit}/reverse"), json!({"amount": "5"}), Same::Body)
            .meddling(|app, _| fund(app, "reversed")),
        Case::new("grant", "/v1/grants", json!({"customer": "granted", "amount": "5"}), Same::Body),
        Case::new(
            "grants",
            "/v1/grants",
            json!([{"customer": "granted", "amount": "1"}, {"customer": "granted", "amount": "1"}, {"customer": "granted", "amount": "0.001"}]),
            Same::Fields(&["/results/0/grant/id", "/results/1/grant/id", "/results/2/error/reason"]),
        ),
        Case::new("void", format!("/v1/grants/{voided}/void"), Value::Null, Same::Body),
        Case::new("activate", format!("/v1/grants/{pending}/activate"), Value::Null, Same::Body),
    ]
}

fn usage(app: &App) -> Vec<Case> {
    for customer in ["used", "grouped", "metered"] {
        fund(app, customer);
    }
    let event = |id: &str, customer: &str, amount: &str| json!({"id": id, "customer": customer, "amount": amount});
    vec![
        Case::new(
            "events",
            "/v1/events",
            json!([event("a", "used", "1"), event("b", "used", "1000"), event("c", "used", "2")]),
            Same::Fields(&["/rejected", "/results/0/balance", "/results/1/reason"]),
        ),
        Case::new(
            "group",
            "/v1/events",
            json!({"atomic": true, "events": [event("d", "grouped", "1"), event("e", "used", "1")]}),
            Same::Fields(&["/results/0/balance", "/results/1/balance"]),
        )
        .meddling(move |app, _| drop(others(app, "/v1/events", event("f", "grouped", "9")))),
        Case::new(
            "cloud-event",
            "/api/v1/events",
            json!({"specversion": "1.0", "id": "g", "source": "s", "type": "tokens", "subject": "metered", "data": {"value": 100}}),
            Same::Body,
        ),
        Case::new("check", "/v1/check", json!({"customer": "used", "amount": "1"}), Same::Fields(&["/allowed"])),
    ]
}

fn administration(app: &App) -> Vec<Case> {
    fund(app, "archived");
    let key = text(&others(app, "/v1/api-keys", json!({"name": "old", "scopes": ["read"]})), "/id");
    vec![
        Case::new(
            "key",
            "/v1/api-keys",
            json!({"name": "new", "scopes": ["usage"]}),
            Same::Fields(&["/id", "/name", "/token"]),
        )
        .private(),
        Case::new("revoke", format!("/v1/api-keys/{key}/revoke"), Value::Null, Same::Body),
        Case::new("archive", "/v1/customers/archived/archive", Value::Null, Same::Body),
    ]
}

const CUSTOMERS: [&str; 28] = [
    "late",
    "later",
    "held",
    "released-since",
    "holds",
    "part",
    "ended",
    "all",
    "over",
    "none",
    "several",
    "released",
    "moved",
    "gone",
    "given",
    "taken",
    "charged",
    "sender",
    "receiver",
    "reversed",
    "granted",
    "used",
    "grouped",
    "metered",
    "archived",
    "rest",
    "cus",
    "filler",
];

/// All that there is to be seen of the ledger.
fn look(app: &App) -> Vec<Value> {
    let of = |customer| {
        let wallet = format!("/v1/wallets/{customer}/credits");
        [
            wallet.clone(),
            format!("{wallet}/entries?limit=100"),
            format!("/v1/holds?customer={customer}"),
            format!("/v1/grants?customer={customer}"),
        ]
    };
    let paths = CUSTOMERS.into_iter().flat_map(of).chain(["/v1/api-keys".to_owned(), "/v1/customers".to_owned()]);
    let shown = |path: String| {
        let mut shown = get(app, &path);
        // Voiding what is void is an operation that does nothing.
        shown[1].as_object_mut().and_then(|wallet| wallet.remove("last_entry"));
        shown
    };
    paths.map(shown).collect()
}

/// Fills a segment, so that there is a sealed one to make a snapshot of.
fn fill(app: &App, round: u32) {
    for batch in 0..12 {
        let event = |n| json!({"id": format!("{round}-{batch}-{n:060}"), "customer": "filler", "amount": "0.01", "on_insufficient": "overdraft"});
        let events: Vec<_> = (0..300).map(event).collect();
        others(app, "/v1/events", json!(events));
    }
}

/// Where the answer to a repeat differs from the first one.
fn disagreement(case: &Case, first: &Answered, again: &Answered) -> Option<String> {
    let is_same = |pointer: &&str| {
        let (first, again) = (first.value(), again.value());
        let said = first.pointer(pointer);
        // A token that was seen by nobody is another one.
        said.is_some() && (said == again.pointer(pointer)) != (*pointer == "/token")
    };
    let agrees = match &case.same {
        Same::Body => first.body == again.body,
        Same::Fields(pointers) => pointers.iter().all(is_same),
    };
    (first.status != again.status || !agrees).then(|| format!("{}: first {first:?}, again {again:?}", case.name()))
}

/// Loses the answer of every request of a table, has the server come back, and sends all again.
pub(super) fn repeat_all(table: &Table, how: Return) {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let disk = (table.ledger)(&clock);
    let app = open(&disk, &clock).expect("opens");
    fund(&app, "filler");
    let cases = (table.cases)(&app, &clock);
    app.in_progress.loses_answers.store(true, Ordering::Relaxed);
    let lost: Vec<_> = cases.iter().map(|case| case.sent.to(&app)).collect();
    let failed: Vec<_> = lost.iter().filter(|lost| !lost.is_success()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    for (case, lost) in cases.iter().zip(&lost) {
        (case.meddle)(&app, &lost.value());
    }
    app.in_progress.loses_answers.store(false, Ordering::Relaxed);
    let (disk, app) = match how {
        Return::Stayed => (disk, app),
        Return::PowerCut | Return::Snapshot => (disk.crash(11), app),
        Return::Spilled => (disk.crash(12), app),
        Return::Killed => (disk.kill(), app),
    };
    let app = match how {
        Return::Stayed => app,
        Return::PowerCut | Return::Killed => open(&disk, &clock).expect("opens"),
        Return::Snapshot => {
            let app = open(&disk, &clock).expect("opens");
            fill(&app, 0);
            assert!(app.engine.snapshot_now().expect("made").is_some());
            app.engine.close().expect("a healthy log");
            drop(app);
            open(&disk, &clock).expect("opens")
        }
        Return::Spilled => {
            let app = open_with(&disk, &clock, |config| config.idempotency_memory = 1).expect("opens");
            fill(&app, 0);
            app.engine.tidy();
            let spilled = app.engine.stats().spilled;
            assert!(spilled.identities > 3_600, "{spilled:?}");
            app
        }
    };
    clock.set(clock.now().saturating_add(5_000));
    let before = (table.look)(&app);
    let mut found = Vec::new();
    for (case, lost) in cases.iter().zip(&lost) {
        let again = case.sent.to(&app);
        found.extend(disagreement(case, lost, &again));
        if again.value().to_string().contains(EFFECT_PREFIX) {
            found.push(format!("{}: the effect's key is nobody's business: {again:?}", case.name()));
        }
        // And so it stays.
        let third = case.sent.to(&app);
        if !third.is_replayed || !case.is_private && (third.status, &third.body) != (again.status, &again.body) {
            found.push(format!("{}: {again:?}, then {third:?}", case.name()));
        }
        let Sent { path, key, .. } = &case.sent;
        let other = Sent { path: path.clone(), body: json!({"amount": "1", "customer": "cus", "other": 1}), key: *key };
        other.to(&app).expect_problem(409, "idempotency_conflict");
    }
    (table.check)(&app);
    let after = (table.look)(&app);
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    found.extend(changed.map(|(before, after)| format!("something was done: {before}, then {after}")));
    assert!(found.is_empty(), "{how:?}:\n{}", found.join("\n"));
    app.engine.close().expect("a healthy log");
}

#[test]
fn whatever_was_done_before_a_broken_connection_is_answered_and_not_done_again() {
    repeat_all(&TABLE, Return::Stayed);
}

#[test]
fn whatever_was_done_before_a_power_cut_is_answered_and_not_done_again() {
    repeat_all(&TABLE, Return::PowerCut);
}

#[test]
fn whatever_was_done_before_the_process_died_is_answered_and_not_done_again() {
    repeat_all(&TABLE, Return::Killed);
}

#[test]
fn whatever_was_done_before_a_snapshot_is_answered_and_not_done_again() {
    repeat_all(&TABLE, Return::Snapshot);
}

#[test]
fn whatever_was_done_before_identities_were_spilled_is_answered_and_not_done_again() {
    repeat_all(&TABLE, Return::Spilled);
}

/// POSTs that take no `Idempotency-Key`, because whoever sends them has none to give; and what tells one that comes twice.
const KEYLESS: [(Action, &str); 5] = [
    // Each fact has the provider's own name for it: `what_a_provider_tells_counts_once_wherever_the_power_is_cut`.
    (Action::ProviderWebhook, "the provider's events"),
    // The pages of the simulated provider, whose book knows what was paid on a page: `a_checkout_takes_one_payment_after_declines` in `outbound`.
    (Action::Page(Page::Pay), "the page's session"),
    (Action::Page(Page::Collect), "the page's session"),
    (Action::Page(Page::Confirm), "the charge"),
    // What is ordered is ordered under what its form was given: `a_package_is_bought_on_a_page_and_then_by_the_saved_card` in `tests/it/api/portal.rs`.
    (Action::Page(Page::Portal(PortalPage::PostBuy)), "the form"),
];

/// The portal's other forms come to the same when they are sent twice: they set what they say.
const SETS: [PortalPage; 4] =
    [PortalPage::Leave, PortalPage::PostPurchase, PortalPage::PostAutomatic, PortalPage::PostCards];

/// No POST is left out of the tables, but those that ask for what is no part of the ledger.
#[test]
fn the_table_has_every_kind_of_post() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let cases: Vec<Case> = [&TABLE, &money::TABLE]
        .into_iter()
        .flat_map(|table| (table.cases)(&open(&(table.ledger)(&clock), &clock).expect("opens"), &clock))
        .collect();
    let is_keyless = |action: Action| {
        let sets = matches!(action, Action::Page(Page::Portal(page)) if SETS.contains(&page));
        sets || KEYLESS.iter().any(|(known, _)| *known == action)
    };
    let mut keyless = 0;
    for (index, route) in crate::http::route::ROUTES.iter().enumerate() {
        if route.method != "POST" || route.action == Action::PostSnapshot {
            continue;
        }
        if route.scopes.is_none() {
            assert!(is_keyless(route.action), "{}: what tells one that is sent twice?", route.path);
            keyless += 1;
            continue;
        }
        let leads_here = |case: &Case| matches!(crate::http::route::find("POST", &case.sent.path), crate::http::route::Found::Route(found, _) if found == index);
        assert!(cases.iter().any(leads_here), "{}", route.path);
    }
    assert_eq!(keyless, KEYLESS.len() + SETS.len());
}

/// A request is cut everywhere, as those in `tests.rs` are.
#[test]
fn holds_and_what_is_done_to_them_happen_once_wherever_the_power_is_cut() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let id = hold(&app, "cus", &json!({"amount": "6"}));
    app.engine.close().expect("a healthy log");
    drop(app);
    let of = |what: &str| format!("/v1/holds/{id}/{what}");
    let figures = |app: &App| {
        let wallet = app.engine.wallet("cus", "credits").expect("there is one");
        let text = |amount: crate::ledger::Amount| amount.display(wallet.currency.scale).to_string();
        (text(wallet.balance), text(wallet.available))
    };
    let said = |balance: &str, available: &str| (balance.to_owned(), available.to_owned());
    for (sent, expected) in [
        (Sent::new("/v1/holds", json!({"customer": "cus", "amount": "1"})), said("10", "3")),
        (
            Sent::new("/v1/holds", json!([{"customer": "cus", "amount": "1"}, {"customer": "cus", "amount": "2"}])),
            said("10", "1"),
        ),
        (Sent::new(of("capture"), json!({"amount": "2"})), said("8", "4")),
        (Sent::new(of("capture"), json!({"amount": "2", "final": true})), said("8", "8")),
        (
            Sent::new("/v1/holds/captures", json!([{"hold": id, "amount": "2"}, {"hold": id, "amount": "3"}])),
            said("5", "4"),
        ),
        (Sent::new(of("release"), Value::Null), said("10", "10")),
        (Sent::new(of("extend"), json!({"ttl_seconds": 1_000})), said("10", "4")),
    ] {
        cut_everywhere(&disk, &clock, &sent, |app, first, again| {
            same(first, again);
            assert_eq!(figures(app), expected, "{}", sent.path);
        });
    }
}

/// What an answer says of a hold is in the record of what was done to it: near the end of the window the hold itself has left it.
#[test]
fn what_was_done_to_a_hold_is_answered_when_the_hold_is_known_no_more() {
    let hour = 3_600_000;
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let lean = |config: &mut EngineConfig| {
        config.retention.log_bytes = Some(1);
        config.log.max_unsynced_bytes = 128 << 10;
    };
    let app = open_with(&disk, &clock, lean).expect("opens");
    fund(&app, "filler");
    let day = json!({"ttl_seconds": 86_400});
    let named = json!({"ttl_seconds": 86_400, "id": "own"});
    let made = [("a", &day), ("b", &named), ("c", &day)].map(|(customer, more)| {
        fund(&app, customer);
        hold(&app, customer, more)
    });
    fill(&app, 0);
    assert!(app.engine.snapshot_now().expect("made").is_some());
    clock.set(BEGIN.saturating_add(hour));
    app.engine.tidy();
    clock.set(BEGIN.saturating_add(24 * hour - 60_000));
    app.engine.tidy();
    let cases = [
        Case::new("capture", format!("/v1/holds/{}/capture", made[0]), json!({"amount": "4"}), Same::Body),
        Case::new("release", format!("/v1/holds/{}/release", made[1]), Value::Null, Same::Body),
        Case::new("extend", format!("/v1/holds/{}/extend", made[2]), json!({"ttl_seconds": 30}), Same::Body),
    ];
    app.in_progress.loses_answers.store(true, Ordering::Relaxed);
    let lost = cases.each_ref().map(|case| case.sent.to(&app));
    assert!(lost.iter().all(Answered::is_success), "{lost:?}");
    app.in_progress.loses_answers.store(false, Ordering::Relaxed);
    clock.set(BEGIN.saturating_add(30 * hour));
    app.engine.tidy();
    (1..4).for_each(|round| fill(&app, round));
    assert!(app.engine.snapshot_now().expect("made").is_some());
    app.engine.tidy();
    assert!(app.engine.retire().expect("a healthy disk") > 0);
    for text in &made {
        let shown = get(&app, &format!("/v1/holds/{text}"));
        assert!([404, 410].map(|gone| json!(gone)).contains(&shown[0]), "{text} is known no more: {shown}");
    }
    for (case, lost) in cases.iter().zip(&lost) {
        assert_eq!(disagreement(case, lost, &case.sent.to(&app)), None);
    }
    app.engine.close().expect("a healthy log");
}

/// The hold that a key made is known by a text like all others, and by no other.
#[test]
fn the_id_that_is_made_of_a_key_is_shown_to_nobody() {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let (disk, _) = ledger(&clock);
    let app = open(&disk, &clock).expect("opens");
    let sent = Sent::new("/v1/holds", json!({"customer": "cus", "amount": "1"}));
    let made = text(&sent.to(&app).value(), "/id");
    assert!(made.starts_with("hld_"));
    for path in ["/v1/holds?customer=cus", "/v1/wallets/cus/credits/entries", "/v1/feed"] {
        let shown = get(&app, path).to_string();
        assert!(shown.contains(&made) && !shown.contains(EFFECT_PREFIX), "{path}: {shown}");
    }
    let own = Sent { key: None, ..Sent::new("/v1/holds", json!({"customer": "cus", "amount": "1", "id": "idk:mine"})) };
    own.to(&app).expect_problem(422, "invalid_id");
}
