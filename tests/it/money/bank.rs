//! A payment provider in memory, of the bad sort: it loses questions and answers, answers late, tells twice and in any order, and changes its mind.
//! What it never does is charge a key twice; so what it has in its books is what was asked for.

use std::collections::BTreeMap;

use drawdown::billing::Money;
use drawdown::billing::top_up::{Event, Outcome, RefundReport};
use drawdown_wal::sim::Random;

/// How a charge or a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A page that nobody has paid.
    Open,
    /// A page that cannot be paid any more.
    Closed,
    /// Under way; whether it will be paid.
    Processing(bool),
    /// The customer must do something; whether it does, and whether in vain. `None`: it never does.
    Action(Option<bool>),
    /// Said to be declined; whether the money is taken all the same later.
    Declined { hard: bool, regrets: bool },
    /// The money was taken.
    Paid,
}

/// Whether the payer has gone to another bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dispute {
    /// It has not.
    None,
    /// It has, and how that will end: for us or not; `None`: never.
    Open(Option<bool>),
    /// It ended so.
    Closed(bool),
}

/// A charge or a page in the books.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The method that was charged; none of a page.
    method: Option<String>,
    pub(super) money: Money,
    pub(super) state: State,
    pub(super) dispute: Dispute,
    /// How often it was asked for.
    pub(super) asked: u32,
}

/// Something that the bank tells on its own.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) top_up: String,
    pub(super) event: Event,
}

/// The bank.
pub(super) struct Bank {
    random: Random,
    /// By the key that they were asked under.
    pub(super) entries: BTreeMap<String, Entry>,
    /// By top-up and key.
    pub(super) refunds: BTreeMap<(String, String), (Money, RefundReport)>,
    /// What is to be told.
    pub(super) mail: Vec<Mail>,
}

/// A question that was not answered.
pub(super) struct Lost;

impl Bank {
    pub(super) fn new(seed: u64) -> Self {
        Bank { random: Random::new(seed), entries: BTreeMap::new(), refunds: BTreeMap::new(), mail: Vec::new() }
    }

    /// Asked to charge a method under a key.
    pub(super) fn charge(&mut self, key: &str, method: &str, money: Money) -> Outcome {
        if !self.entries.contains_key(key) {
            if self.random.below(10) == 0 {
                // The question does not arrive.
                return Outcome::Unknown;
            }
            let state = match self.random.below(20) {
                0..8 => State::Paid,
                8..11 => State::Declined { hard: false, regrets: self.random.below(4) == 0 },
                11 => State::Declined { hard: true, regrets: self.random.below(4) == 0 },
                12..16 => State::Processing(self.random.below(3) > 0),
                16 => State::Action(None),
                _ => State::Action(Some(self.random.below(3) > 0)),
            };
            let entry = Entry { method: Some(method.to_owned()), money, state, dispute: Dispute::None, asked: 0 };
            self.entries.insert(key.to_owned(), entry);
            self.tell(key);
        }
        let entry = self.entries.get_mut(key).expect("it was entered");
        assert_eq!((entry.method.as_deref(), entry.money), (Some(method), money), "{key} is asked with other content");
        entry.asked += 1;
        if self.random.below(6) == 0 { Outcome::Unknown } else { self.stands(key).expect("it is a charge") }
    }

    /// Asked to open a page under a key.
    pub(super) fn open(&mut self, key: &str, money: Money) -> Result<(), Lost> {
        let entry = Entry { method: None, money, state: State::Open, dispute: Dispute::None, asked: 0 };
        let entry = self.entries.entry(key.to_owned()).or_insert(entry);
        assert_eq!((&entry.method, entry.money), (&None, money), "{key} is asked with other content");
        entry.asked += 1;
        if self.random.below(6) == 0 { Err(Lost) } else { Ok(()) }
    }

    /// Asked to close a page. Answers whether it had been paid.
    pub(super) fn close(&mut self, key: &str) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        if entry.state == State::Open {
            entry.state = State::Closed;
        }
        entry.state == State::Paid
    }

    /// A customer pays on a page, or tries to.
    pub(super) fn pay(&mut self, key: &str) {
        let pays = self.random.below(4) > 0;
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.state == State::Open) else { return };
        if pays {
            entry.state = State::Paid;
            self.tell(key);
        } else {
            let event = Event::Outcome(Outcome::Declined { code: "card_declined".to_owned(), hard: false });
            self.mail.push(Mail { top_up: key.to_owned(), event });
        }
    }

    /// How a charge stands, or a page that was paid.
    pub(super) fn stands(&self, key: &str) -> Option<Outcome> {
        let entry = self.entries.get(key)?;
        Some(match entry.state {
            State::Open | State::Closed => return None,
            State::Processing(_) => Outcome::Processing,
            State::Action(_) => Outcome::RequiresAction { url: Some(format!("https://bank.test/{key}")) },
            State::Declined { hard, .. } => Outcome::Declined { code: "card_declined".to_owned(), hard },
            State::Paid => Outcome::Succeeded { reference: format!("pi_{key}"), money: entry.money, method: None },
        })
    }

    /// Asked to pay back.
    pub(super) fn refund(&mut self, key: &str, refund: &str, money: Money) -> Result<RefundReport, Lost> {
        let of = (key.to_owned(), refund.to_owned());
        if let Some((known, report)) = self.refunds.get(&of) {
            assert_eq!(*known, money, "{refund} of {key} is asked with other content");
            return Ok(*report);
        }
        if self.random.below(8) == 0 {
            return Err(Lost);
        }
        let report = match self.random.below(6) {
            _ if self.left(key) < money.units => RefundReport::Failed,
            0 => RefundReport::Failed,
            1..4 => RefundReport::Pending,
            _ => RefundReport::Succeeded,
        };
        self.refunds.insert(of, (money, report));
        if self.random.below(8) == 0 { Err(Lost) } else { Ok(report) }
    }

    /// What of a payment has not gone back, and is not about to.
    pub(super) fn left(&self, key: &str) -> i64 {
        let Some(entry) = self.entries.get(key).filter(|entry| entry.state == State::Paid) else { return 0 };
        let of_key = self.refunds.iter().filter(|((of, _), (_, report))| of == key && *report != RefundReport::Failed);
        entry.money.units - of_key.map(|(_, (money, _))| money.units).sum::<i64>()
    }

    /// The bank's own people pay something back.
    pub(super) fn refund_by_hand(&mut self, key: &str) {
        let left = self.left(key);
        if left > 0 {
            let money =
                Money::new(1 + self.random.below(left.unsigned_abs()).cast_signed(), self.entries[key].money.code);
            let refund = format!("re_{}", self.refunds.len());
            self.refunds.insert((key.to_owned(), refund.clone()), (money, RefundReport::Succeeded));
            self.tell_refund(key, &refund);
        }
    }

    /// The payer of something that was paid disputes it.
    pub(super) fn dispute(&mut self) {
        let is_it = |(_, entry): &(&String, &Entry)| entry.state == State::Paid && entry.dispute == Dispute::None;
        let paid: Vec<String> = self.entries.iter().filter(is_it).map(|(key, _)| key.clone()).collect();
        if paid.is_empty() {
            return;
        }
        let key = &paid[self.random.below(paid.len() as u64) as usize];
        let end = (self.random.below(5) > 0).then(|| self.random.below(2) == 0);
        self.entries.get_mut(key).expect("it is there").dispute = Dispute::Open(end);
        self.post(&Mail { top_up: key.clone(), event: Event::DisputeOpened });
    }

    /// Lets some of what is under way come to its end; all of it if `all`.
    pub(super) fn advance(&mut self, all: bool) {
        let keys: Vec<String> = self.entries.keys().cloned().collect();
        for key in keys {
            let state = self.entries[&key].state;
            let next = match state {
                State::Processing(true) | State::Action(Some(true)) | State::Declined { regrets: true, .. } => {
                    State::Paid
                }
                State::Processing(false) | State::Action(Some(false)) => {
                    State::Declined { hard: self.random.below(4) == 0, regrets: self.random.below(4) == 0 }
                }
                State::Open | State::Closed | State::Action(None) | State::Declined { .. } | State::Paid => continue,
            };
            if all || self.random.below(3) == 0 {
                self.entries.get_mut(&key).expect("it is there").state = next;
                self.tell(&key);
            }
        }
        for (key, entry) in &mut self.entries {
            if let Dispute::Open(Some(is_ours)) = entry.dispute
                && (all || self.random.below(3) == 0)
            {
                entry.dispute = Dispute::Closed(is_ours);
                let event = if is_ours { Event::DisputeWon } else { Event::DisputeLost };
                self.mail.push(Mail { top_up: key.clone(), event });
            }
        }
        let pending = self.refunds.iter().filter(|(_, (_, report))| *report == RefundReport::Pending);
        let pending: Vec<_> = pending.map(|(of, _)| of.clone()).collect();
        for of in pending {
            if all || self.random.below(3) == 0 {
                let went = self.random.below(4) > 0;
                let report = if went { RefundReport::Succeeded } else { RefundReport::Failed };
                self.refunds.get_mut(&of).expect("it is there").1 = report;
                self.tell_refund(&of.0, &of.1);
            }
        }
    }

    /// Whether nothing will change any more by itself.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_moving = |entry: &Entry| {
            matches!(entry.state, State::Processing(_) | State::Action(Some(_)) | State::Declined { regrets: true, .. })
                || matches!(entry.dispute, Dispute::Open(Some(_)))
        };
        !self.entries.values().any(is_moving)
            && self.refunds.values().all(|(_, report)| *report != RefundReport::Pending)
    }

    /// Takes something out of the mail, out of order.
    pub(super) fn next_mail(&mut self) -> Option<Mail> {
        let count = self.mail.len() as u64;
        (count > 0).then(|| self.mail.swap_remove(self.random.below(count) as usize))
    }

    fn tell(&mut self, key: &str) {
        if let Some(outcome) = self.stands(key) {
            let mail = Mail { top_up: key.to_owned(), event: Event::Outcome(outcome) };
            self.post(&mail);
        }
    }

    fn tell_refund(&mut self, key: &str, refund: &str) {
        let (money, report) = self.refunds[&(key.to_owned(), refund.to_owned())];
        let event = Event::Refund { key: refund.to_owned(), money, report };
        self.post(&Mail { top_up: key.to_owned(), event });
    }

    /// Once, or more often.
    fn post(&mut self, mail: &Mail) {
        let copies = 1 + self.random.below(3) / 2;
        for _ in 0..copies {
            self.mail.push(mail.clone());
        }
    }
}
