//! The test's own books: what was sent, and what was answered. Whole numbers of a hundredth of a credit, and nothing of the server's.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The currency.
pub(crate) const CURRENCY: &str = "credits";

/// Wallets; few, so that they are contended for.
pub(crate) const WALLETS: usize = 10;

/// Alert levels, in units.
pub(crate) const LEVELS: [(&str, i64); 3] = [("high", 60_000), ("low", 20_000), ("critical", 3_000)];

/// Name of a wallet's customer.
pub(crate) fn customer(wallet: usize) -> String {
    format!("cus_{wallet}")
}

/// What is known about something that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// No answer came.
    Unanswered,
    /// It was done, with this answer.
    Done(T),
    /// It was refused. Refusals are not remembered by the server, so it is never sent again.
    Refused,
}

/// A usage event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) wallet: usize,
    pub(crate) amount: i64,
    pub(crate) known: Known<Applied>,
}

/// The answer to an event that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) amount: i64,
    pub(crate) balance: i64,
    pub(crate) entry: u64,
    /// Of [`LEVELS`].
    pub(crate) crossed: Vec<String>,
}

/// A grant.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) wallet: usize,
    pub(crate) amount: i64,
    /// With the grant's id.
    pub(crate) known: Known<String>,
}

/// All that was ever sent. Events by their ids, grants by their keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) events: BTreeMap<String, Event>,
    pub(crate) grants: BTreeMap<String, Grant>,
    /// Events and grants that a kill left without an answer, over all cycles.
    pub(crate) unanswered_ever: usize,
    /// Of those, what turned out to be there.
    pub(crate) found_ever: usize,
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.events.values().filter(|event| event.known == Known::Refused).count();
        write!(
            f,
            "{} events ({refused} refused), {} grants; {} had no answer, {} of those were there",
            self.events.len(),
            self.grants.len(),
            self.unanswered_ever,
            self.found_ever,
        )
    }
}

impl Books {
    pub(crate) fn new() -> Books {
        Books::default()
    }

    /// Granted less applied, as far as answered.
    pub(crate) fn balance(&self, wallet: usize) -> i64 {
        let granted =
            self.grants.values().filter(|grant| grant.wallet == wallet && matches!(grant.known, Known::Done(_)));
        let debited = self.events.values().filter(|event| event.wallet == wallet);
        let debited = debited.filter_map(|event| match &event.known {
            Known::Done(applied) => Some(applied.amount),
            _ => None,
        });
        granted.map(|grant| grant.amount).sum::<i64>() - debited.sum::<i64>()
    }

    /// Joins what a connection has noted.
    pub(crate) fn take(&mut self, other: Books) {
        self.events.extend(other.events);
        self.grants.extend(other.grants);
    }

    /// What is known before something happens, and besides, without answers, what was sent until it had happened: `later` knows all of it.
    #[allow(dead_code, reason = "for the power cuts, which share this")]
    pub(crate) fn before(&self, later: &Books) -> Books {
        let mut books = later.clone();
        for (id, event) in &mut books.events {
            event.known = self.events.get(id).map_or(Known::Unanswered, |before| before.known.clone());
        }
        for (key, grant) in &mut books.grants {
            grant.known = self.grants.get(key).map_or(Known::Unanswered, |before| before.known.clone());
        }
        books
    }

    /// Counts what the end of a cycle has left without an answer.
    pub(crate) fn count_unanswered(&mut self) -> usize {
        let events = self.events.values().filter(|event| event.known == Known::Unanswered).count();
        let unanswered = events + self.grants.values().filter(|grant| grant.known == Known::Unanswered).count();
        self.unanswered_ever += unanswered;
        unanswered
    }
}

impl Event {
    pub(crate) fn body(&self, id: &str) -> Value {
        let (customer, amount) = (customer(self.wallet), decimal(self.amount));
        json!({"id": id, "source": "crash", "customer": customer, "currency": CURRENCY, "amount": amount})
    }

    /// Enters a result, which must fit what is known already. Gives back whether the event was new to the server.
    #[track_caller]
    pub(crate) fn enter(&mut self, id: &str, result: &Value) -> bool {
        assert_eq!(result["id"], id, "{result}");
        let status = result["status"].as_str().expect("a status");
        if status == "rejected" {
            assert_eq!(result["reason"], "insufficient_credit", "{result}");
            assert!(!matches!(self.known, Known::Done(_)), "an event that was applied is rejected: {result}");
            self.known = Known::Refused;
            return false;
        }
        let applied = Applied {
            amount: units(&result["amount"]),
            balance: units(&result["balance"]),
            entry: result["entry"].as_u64().expect("an entry"),
            crossed: levels(&result["crossed"]),
        };
        assert_eq!(applied.amount, self.amount, "{result}");
        match (&self.known, status) {
            // One that was refused comes again if it was twice in a batch, and another connection's grant may have come between.
            (Known::Unanswered | Known::Refused, "applied") | (Known::Unanswered, "duplicate") => {}
            (Known::Done(before), "duplicate") => {
                assert_eq!(*before, applied, "another answer than the first: {result}");
            }
            (known, _) => panic!("{known:?} is told to be {result}"),
        }
        self.known = Known::Done(applied);
        status == "applied"
    }
}

impl Grant {
    pub(crate) fn body(&self, key: &str) -> Value {
        let (customer, amount) = (customer(self.wallet), decimal(self.amount));
        json!({"customer": customer, "currency": CURRENCY, "amount": amount, "category": "paid", "source": "package", "key": key})
    }

    /// Enters an answer, which must fit what is known already.
    #[track_caller]
    pub(crate) fn enter(&mut self, grant: &Value, replayed: bool) {
        let id = grant["id"].as_str().expect("an id").to_owned();
        assert_eq!(units(&grant["amount"]), self.amount, "{grant}");
        match &self.known {
            Known::Unanswered => {}
            Known::Done(before) => assert!(replayed && *before == id, "another answer than {before}: {grant}"),
            Known::Refused => panic!("grants are not refused here: {grant}"),
        }
        self.known = Known::Done(id);
    }
}

/// The test's own levels among those that the server says were crossed.
pub(crate) fn levels(crossed: &Value) -> Vec<String> {
    let names = crossed.as_array().into_iter().flatten().map(|name| name.as_str().expect("a name").to_owned());
    names.filter(|name| LEVELS.iter().any(|(level, _)| level == name)).collect()
}

/// Hundredths as decimal text.
pub(crate) fn decimal(units: i64) -> String {
    format!("{}.{:02}", units / 100, units % 100)
}

/// Decimal text in hundredths.
#[track_caller]
pub(crate) fn units(amount: &Value) -> i64 {
    let text = amount.as_str().unwrap_or_else(|| panic!("no amount: {amount}"));
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 2, "finer than the currency: {text}");
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("no amount: {text:?}"));
    sign * (number(whole) * 100 + number(&format!("{fraction:0<2}")))
}
