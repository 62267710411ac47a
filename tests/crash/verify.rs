//! The check after a restart: what the server says, against the books.

use crate::books::{Books, CURRENCY, Known, LEVELS, WALLETS, customer, levels, units};
use crate::client::Client;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Events or grants in one request: as many as a log of small segments admits at once.
const BATCH: usize = 100;

/// Entries on a page of a history.
const PAGE: usize = 250;

/// A wallet's whole history.
#[derive(Debug, Default)]
struct History {
    /// By event id: amount, entry, levels crossed.
    debits: BTreeMap<String, (i64, u64, Vec<String>)>,
    /// By grant id.
    grants: BTreeMap<String, i64>,
    /// Where the entries end.
    balance: i64,
    /// How often a balance is an entry's beginning, less how often it is an entry's end.
    loose_ends: BTreeMap<i64, i64>,
}

/// Checks everything, and settles what had no answer by sending it again.
pub(crate) fn everything(client: &mut Client, books: &mut Books) {
    everything_beside(client, books, 0);
}

/// The same of a ledger that has other wallets, with so much in them altogether.
pub(crate) fn everything_beside(client: &mut Client, books: &mut Books, others: i64) {
    let histories: Vec<History> = (0..WALLETS).map(|wallet| history(client, wallet)).collect();
    answered_is_there(books, &histories);
    send_events_again(client, books, &histories);
    send_grants_again(client, books, &histories);
    let histories: Vec<History> = (0..WALLETS).map(|wallet| history(client, wallet)).collect();
    nothing_else_is_there(books, &histories);
    balances(client, books, &histories, others);
}

/// Checks that nothing is there that had no answer.
pub(crate) fn nothing_unanswered(client: &mut Client, books: &Books) {
    for wallet in 0..WALLETS {
        let history = history(client, wallet);
        for (id, event) in books.events.iter().filter(|(_, event)| event.known == Known::Unanswered) {
            assert!(!history.debits.contains_key(id), "{id} was applied and never answered: {event:?}");
        }
        let answered = books.grants.values().filter(|grant| grant.wallet == wallet && grant.known != Known::Unanswered);
        assert_eq!(
            history.grants.len(),
            answered.count(),
            "a grant of {} was made and never answered",
            customer(wallet)
        );
    }
}

/// Reads a history from its newest entry to its first, and checks that it is one chain: from nothing to the balance, each entry beginning
/// where another ends. Debits that met at the same instant may stand in either order.
fn history(client: &mut Client, wallet: usize) -> History {
    let path = format!("/v1/wallets/{}/{CURRENCY}/entries?limit={PAGE}", customer(wallet));
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}"));
        entries.extend(page["data"].as_array().expect("a page").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut history = History::default();
    for entry in entries.iter().rev() {
        history.add(entry);
    }
    *history.loose_ends.entry(history.balance).or_default() += 1;
    *history.loose_ends.entry(0).or_default() -= 1;
    history.loose_ends.retain(|_, ends| *ends != 0);
    assert!(history.loose_ends.is_empty(), "the chain of {} breaks: {:?}", customer(wallet), history.loose_ends);
    history
}

impl History {
    fn add(&mut self, entry: &Value) {
        let (after, amount) = (units(&entry["balance_after"]), units(&entry["amount"]));
        let before = after - amount;
        self.balance += amount;
        *self.loose_ends.entry(before).or_default() += 1;
        *self.loose_ends.entry(after).or_default() -= 1;
        let crossed = levels(&entry["crossed"]);
        // A level fires on the way down, once, and no other way.
        let due: BTreeSet<&str> =
            LEVELS.iter().filter(|(_, level)| before >= *level && after < *level).map(|(name, _)| *name).collect();
        assert_eq!(
            crossed.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            due,
            "levels crossed from {before} by {entry}"
        );
        match entry["type"].as_str().expect("a type") {
            "debit" => {
                let id = entry["event"]["id"].as_str().expect("an event").to_owned();
                let number = entry["entry"].as_u64().expect("a number");
                assert!(
                    self.debits.insert(id, (-amount, number, crossed)).is_none(),
                    "an event is there twice: {entry}"
                );
            }
            "grant" => {
                let id = entry["grant"].as_str().expect("a grant").to_owned();
                assert!(self.grants.insert(id, amount).is_none(), "a grant is there twice: {entry}");
            }
            "settings" => assert_eq!(amount, 0, "{entry}"),
            other => panic!("nobody asked for an entry of the type {other}: {entry}"),
        }
    }
}

/// Whatever was answered stands in the histories as it was answered.
fn answered_is_there(books: &Books, histories: &[History]) {
    for (id, event) in &books.events {
        let found = histories[event.wallet].debits.get(id);
        match &event.known {
            Known::Done(applied) => {
                let expected = (applied.amount, applied.entry, applied.crossed.clone());
                assert_eq!(found, Some(&expected), "{id} was answered: {event:?}");
            }
            Known::Refused => assert_eq!(found, None, "{id} was refused: {event:?}"),
            Known::Unanswered => {}
        }
    }
    for (key, grant) in &books.grants {
        if let Known::Done(id) = &grant.known {
            assert_eq!(histories[grant.wallet].grants.get(id), Some(&grant.amount), "{key} was answered: {grant:?}");
        }
    }
}

/// Sends every event again that was applied or had no answer. The first must be duplicates; the others exactly if they are there.
fn send_events_again(client: &mut Client, books: &mut Books, histories: &[History]) {
    let ids: Vec<String> =
        books.events.iter().filter(|(_, event)| event.known != Known::Refused).map(|(id, _)| id.clone()).collect();
    for ids in ids.chunks(BATCH) {
        let batch = ids.iter().map(|id| books.events[id].body(id)).collect();
        let answer = client.send("POST", "/v1/events", &Value::Array(batch)).success();
        let results = answer["results"].as_array().expect("results");
        assert_eq!(results.len(), ids.len());
        for (id, result) in ids.iter().zip(results) {
            let event = books.events.get_mut(id).expect("from the books");
            let there = histories[event.wallet].debits.contains_key(id);
            assert_eq!(result["status"] == "duplicate", there, "{id} is there: {there}; {event:?}; {result}");
            books.found_ever += usize::from(there && event.known == Known::Unanswered);
            event.enter(id, result);
        }
    }
}

/// The same for grants. An answer to a grant without one is new exactly if no history has it.
fn send_grants_again(client: &mut Client, books: &mut Books, histories: &[History]) {
    let keys: Vec<String> = books.grants.keys().cloned().collect();
    for keys in keys.chunks(BATCH) {
        let batch = keys.iter().map(|key| books.grants[key].body(key)).collect();
        let answer = client.send("POST", "/v1/grants", &Value::Array(batch)).success();
        let results = answer["results"].as_array().expect("results");
        assert_eq!(results.len(), keys.len());
        for (key, result) in keys.iter().zip(results) {
            let grant = books.grants.get_mut(key).expect("from the books");
            let replayed = result["status"] == "replayed";
            let id = result["grant"]["id"].as_str().unwrap_or_else(|| panic!("{key} was not granted: {result}"));
            assert_eq!(replayed, histories[grant.wallet].grants.contains_key(id), "{key}: {grant:?}; {result}");
            books.found_ever += usize::from(replayed && grant.known == Known::Unanswered);
            grant.enter(&result["grant"], replayed);
        }
    }
}

/// The histories hold the books and nothing besides.
fn nothing_else_is_there(books: &Books, histories: &[History]) {
    answered_is_there(books, histories);
    let applied = books.events.values().filter(|event| matches!(event.known, Known::Done(_))).count();
    let granted = books.grants.values().filter(|grant| matches!(grant.known, Known::Done(_))).count();
    assert_eq!(histories.iter().map(|history| history.debits.len()).sum::<usize>(), applied);
    assert_eq!(histories.iter().map(|history| history.grants.len()).sum::<usize>(), granted);
}

/// Balances and the states of alert levels follow from the books.
fn balances(client: &mut Client, books: &Books, histories: &[History], others: i64) {
    let mut total = others;
    for (wallet, history) in histories.iter().enumerate() {
        let expected = books.balance(wallet);
        total += expected;
        let said = client.get(&format!("/v1/wallets/{}/{CURRENCY}", customer(wallet)));
        assert_eq!(units(&said["balance"]), expected, "{said}");
        assert_eq!(history.balance, expected, "the history of {}", customer(wallet));
        let remaining: i64 =
            said["grants"].as_array().expect("grants").iter().map(|grant| units(&grant["remaining"])).sum();
        assert_eq!(remaining, expected, "what remains of the grants: {said}");
        for (name, level) in LEVELS {
            let alerts = said["alerts"].as_array().expect("alerts");
            let alert = alerts.iter().find(|alert| alert["name"] == name).expect("the level is set");
            assert_eq!(alert["state"] == "triggered", expected < level, "{alert} at {expected}");
        }
    }
    let totals = client.get(&format!("/v1/balances?currency={CURRENCY}"));
    assert_eq!(units(&totals["data"][0]["balance"]), total, "{totals}");
}
