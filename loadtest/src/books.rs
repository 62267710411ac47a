//! What the run knows of every wallet, kept without the server's help, and the judgement of its answers.
//!
//! Each thread of a run keeps books of its own, so that booking an event is one addition; they are put together at the end.
//!
//! An event is booked when the server says that it was applied, once for each id. A batch that had to be sent again may answer
//! "duplicate" for what its first sending applied; otherwise each answer has to be the verdict that the workload foresaw.

use crate::workload::{Event, GRANT_UNITS, Verdict};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why an event that asks for too much is rejected.
pub const INSUFFICIENT: &str = "insufficient_credit";

/// Faults that are told in full; further ones are only counted.
pub const EXAMPLES_MAX: usize = 10;

/// The server's answer to a batch.
#[derive(Debug, Deserialize)]
pub struct Answer<'a> {
    /// Events debited by this request.
    pub applied: u64,
    /// Events that had been debited before.
    pub duplicate: u64,
    /// Events that changed nothing.
    pub rejected: u64,
    /// One for each event, or for each that was not applied, with its index.
    #[serde(borrow)]
    pub results: Vec<EventResult<'a>>,
}

/// The answer to one event.
#[derive(Debug, Deserialize)]
pub struct EventResult<'a> {
    /// Its place in the batch, in a minimal answer.
    pub index: Option<usize>,
    /// What became of it.
    pub status: Status,
    /// Why it was rejected.
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
}

/// What the server says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was debited.
    Applied,
    /// It had been debited before.
    Duplicate,
    /// Nothing changed.
    Rejected,
}

/// How events fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Debited.
    pub applied: u64,
    /// Debited before.
    pub duplicate: u64,
    /// Refused.
    pub rejected: u64,
}

impl Tally {
    /// All events.
    pub const fn events(self) -> u64 {
        self.applied + self.duplicate + self.rejected
    }

    /// Adds another tally.
    pub const fn add(&mut self, other: Tally) {
        self.applied += other.applied;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
    }
}

/// What went against expectation: counted, and the first few told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// All of them.
    pub count: u64,
    /// The first [`EXAMPLES_MAX`].
    pub examples: Vec<String>,
}

impl Faults {
    /// Counts one; `tell` is asked for the story only if there is room for it.
    pub fn note(&mut self, tell: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(tell());
        }
    }

    /// Adds others.
    pub fn add(&mut self, others: Faults) {
        self.count += others.count;
        let room = EXAMPLES_MAX - self.examples.len();
        self.examples.extend(others.examples.into_iter().take(room));
    }
}

/// What a run has done to every wallet.
#[derive(Debug, Default)]
pub struct Books {
    wallets: Box<[Change]>,
}

/// What a run has done to one wallet: twice the change in units, and one more if a request named the wallet at all.
#[derive(Clone, Copy, Debug, Default)]
struct Change(i64);

impl Change {
    const TOUCHED: i64 = 1;

    const fn add(&mut self, units: i64) {
        self.0 = (self.0 + 2 * units) | Self::TOUCHED;
    }

    const fn units(self) -> i64 {
        self.0 >> 1
    }

    const fn is_touched(self) -> bool {
        self.0 & Self::TOUCHED != 0
    }
}

impl Books {
    /// For wallets that hold their first grant and nothing else.
    pub fn new(wallets: u32) -> Self {
        Books { wallets: vec![Change::default(); wallets as usize].into() }
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Books) {
        for (change, other) in self.wallets.iter_mut().zip(&other.wallets).filter(|(_, other)| other.is_touched()) {
            change.add(other.units());
        }
    }

    /// How many wallets there are.
    pub fn wallets(&self) -> u32 {
        self.wallets.len() as u32
    }

    /// Wallets that some request named, in ascending order.
    pub fn touched(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.wallets).filter(|(_, change)| change.is_touched()).map(|(wallet, _)| wallet)
    }

    /// What a wallet must hold, in units.
    pub fn balance(&self, wallet: u32) -> i64 {
        GRANT_UNITS.cast_signed() + self.change(wallet)
    }

    /// What the run changed a wallet by, in units.
    pub fn change(&self, wallet: u32) -> i64 {
        self.wallets[wallet as usize].units()
    }

    /// What all wallets must hold together, in units.
    pub fn total(&self) -> i128 {
        let changes: i128 = self.wallets.iter().map(|change| i128::from(change.units())).sum();
        i128::from(self.wallets()) * i128::from(GRANT_UNITS) + changes
    }

    /// Books a grant that the server has acknowledged.
    pub fn grant(&mut self, wallet: u32, units: u64) {
        self.wallets[wallet as usize].add(units.cast_signed());
    }

    /// Books a batch of which every event was to be applied, and was.
    pub fn settle_applied(&mut self, batch: &[Event]) -> Tally {
        for event in batch {
            self.debit(event);
        }
        Tally { applied: batch.len() as u64, ..Tally::default() }
    }

    fn debit(&mut self, event: &Event) {
        self.wallets[event.wallet as usize].add(-event.asked_units().cast_signed());
    }

    /// Books what an answer says was applied, and compares every event's status with its verdict.
    ///
    /// `retried` says that the batch was sent more than once. `statuses` is a buffer to reuse.
    pub fn settle(
        &mut self,
        batch: &[Event],
        answer: &Answer<'_>,
        retried: bool,
        statuses: &mut Vec<Status>,
        faults: &mut Faults,
    ) -> Tally {
        if let Err(fault) = spread(batch, answer, statuses) {
            faults.note(|| fault);
            return Tally::default();
        }
        for (event, &status) in batch.iter().zip(&*statuses) {
            // Most of them, at the cost of one comparison.
            if event.verdict == Verdict::Applied && status == Status::Applied {
                self.debit(event);
                continue;
            }
            let as_foreseen = match (event.verdict, status) {
                (Verdict::Applied, Status::Applied)
                | (Verdict::Duplicate, Status::Duplicate)
                | (Verdict::Rejected, Status::Rejected) => true,
                (Verdict::Applied, Status::Duplicate) => retried,
                _ => false,
            };
            let booked = match event.verdict {
                Verdict::Applied => status == Status::Applied || (retried && status == Status::Duplicate),
                Verdict::Rejected => status == Status::Applied,
                Verdict::Duplicate => false,
            };
            if booked {
                self.debit(event);
            } else {
                // It changed nothing, and the audit is to see that.
                self.wallets[event.wallet as usize].add(0);
            }
            if !as_foreseen {
                faults.note(|| format!("event {event:?} was answered {status:?}"));
            }
        }
        Tally { applied: answer.applied, duplicate: answer.duplicate, rejected: answer.rejected }
    }
}

/// Whether these bytes are the minimal answer to `count` applied events, as the server writes it. Any other bytes may still say so, and
/// are then parsed: this only saves the parser's time.
pub fn says_all_applied(body: &[u8], count: usize) -> bool {
    let rest = body.strip_prefix(br#"{"applied":"#);
    let rest = rest.and_then(|rest| rest.strip_prefix(itoa::Buffer::new().format(count).as_bytes()));
    rest == Some(br#","duplicate":0,"rejected":0,"results":[]}"#)
}

/// Lays an answer's results out as one status for each event, if the answer agrees with itself.
fn spread(batch: &[Event], answer: &Answer<'_>, statuses: &mut Vec<Status>) -> Result<(), String> {
    statuses.clear();
    statuses.resize(batch.len(), Status::Applied);
    let full = answer.results.len() == batch.len();
    let mut counts =
        Tally { applied: (batch.len() - answer.results.len().min(batch.len())) as u64, ..Tally::default() };
    for (place, result) in answer.results.iter().enumerate() {
        let index = match (result.index, full) {
            (Some(index), _) => index,
            (None, true) => place,
            (None, false) => return Err(format!("result {place} has no index, and not every event has a result")),
        };
        let status = statuses.get_mut(index).ok_or_else(|| format!("there is no event {index}"))?;
        *status = result.status;
        match result.status {
            Status::Applied => counts.applied += 1,
            Status::Duplicate => counts.duplicate += 1,
            Status::Rejected => counts.rejected += 1,
        }
        let reason = result.reason.as_deref();
        if result.status == Status::Rejected && reason != Some(INSUFFICIENT) {
            return Err(format!("event {:?} was rejected: {}", batch[index], reason.unwrap_or("without a reason")));
        }
    }
    let said = Tally { applied: answer.applied, duplicate: answer.duplicate, rejected: answer.rejected };
    if said != counts || said.events() != batch.len() as u64 {
        return Err(format!("the answer counts {said:?}, its results {counts:?}, of {} events", batch.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn event(number: u64, wallet: u32, units: u16, verdict: Verdict) -> Event {
        Event { number, wallet, units, verdict }
    }

    const BATCH: [Event; 4] = [
        event(0, 0, 100, Verdict::Applied),
        event(1, 1, 20, Verdict::Applied),
        event(0, 0, 100, Verdict::Duplicate),
        event(2, 2, 0, Verdict::Rejected),
    ];

    const RIGHT: &str = r#"{"applied":2,"duplicate":1,"rejected":1,"results":[
        {"id":"0","index":2,"status":"duplicate"},
        {"id":"2","index":3,"status":"rejected","reason":"insufficient_credit"}]}"#;

    const AGAIN: &str = r#"{"applied":0,"duplicate":3,"rejected":1,"results":[
        {"status":"duplicate"}, {"status":"duplicate"}, {"status":"duplicate"},
        {"status":"rejected","reason":"insufficient_credit"}]}"#;

    /// Settles one answer and returns the debits of both wallets and the number of faults.
    fn settled(answer: &str, retried: bool) -> (i64, i64, u64) {
        let answer: Answer<'_> = serde_json::from_str(answer).expect("an answer");
        let (mut books, mut faults) = (Books::new(4), Faults::default());
        books.settle(&BATCH, &answer, retried, &mut Vec::new(), &mut faults);
        (-books.change(0), -books.change(1), faults.count)
    }

    #[test]
    fn applied_events_are_booked_once() {
        assert_eq!(settled(RIGHT, false), (100, 20, 0));
        let books = Books::new(1);
        assert_eq!(books.balance(0), GRANT_UNITS.cast_signed());
    }

    #[test]
    fn books_of_threads_add_up_and_know_what_was_touched() {
        let (mut first, mut second) = (Books::new(5), Books::new(5));
        first.settle_applied(&BATCH[..2]);
        first.grant(3, 7);
        let answer: Answer<'_> = serde_json::from_str(RIGHT).expect("an answer");
        second.settle(&BATCH, &answer, false, &mut Vec::new(), &mut Faults::default());
        second.grant(0, 200);
        first.add(&second);
        assert_eq!(
            first.touched().collect::<Vec<_>>(),
            [0, 1, 2, 3],
            "an untouched wallet is told from one that evens out"
        );
        assert_eq!([0, 1, 2, 3, 4].map(|wallet| first.change(wallet)), [0, -40, 0, 7, 0]);
        assert_eq!(first.total(), 5 * i128::from(GRANT_UNITS) - 33);
    }

    #[test]
    fn only_the_answer_that_all_were_applied_is_taken_unparsed() {
        let right = br#"{"applied":1000,"duplicate":0,"rejected":0,"results":[]}"#;
        assert!(says_all_applied(right, 1000));
        assert!(!says_all_applied(right, 100) && !says_all_applied(right, 10_000));
        assert!(!says_all_applied(br#"{"applied":1000,"duplicate":1,"rejected":0,"results":[]}"#, 1000));
        assert!(!says_all_applied(RIGHT.as_bytes(), 2));
        assert!(!says_all_applied(b"", 1));
    }

    #[test]
    fn a_batch_sent_again_may_find_its_own_traces() {
        assert_eq!(settled(AGAIN, true), (100, 20, 0));
        assert_eq!(settled(AGAIN, false), (0, 0, 2), "but not one sent once");
    }

    #[test]
    fn a_repeated_event_that_is_applied_again_is_a_fault() {
        let answer = r#"{"applied":3,"duplicate":0,"rejected":1,"results":[
            {"index":3,"status":"rejected","reason":"insufficient_credit"}]}"#;
        assert_eq!(settled(answer, false), (100, 20, 1));
    }

    #[test]
    fn answers_that_contradict_themselves_are_faults() {
        let wrong_sum = r#"{"applied":4,"duplicate":1,"rejected":1,"results":[]}"#;
        assert_eq!(settled(wrong_sum, false), (0, 0, 1));
        let no_index = r#"{"applied":3,"duplicate":1,"rejected":0,"results":[{"status":"duplicate"}]}"#;
        assert_eq!(settled(no_index, false), (0, 0, 1));
        let beyond = r#"{"applied":3,"duplicate":1,"rejected":0,"results":[{"index":4,"status":"duplicate"}]}"#;
        assert_eq!(settled(beyond, false), (0, 0, 1));
        let reason = r#"{"applied":3,"duplicate":0,"rejected":1,"results":[{"index":3,"status":"rejected","reason":"unknown_wallet"}]}"#;
        assert_eq!(settled(reason, false), (0, 0, 1));
    }

    #[test]
    fn faults_are_counted_beyond_those_told() {
        let mut faults = Faults::default();
        for number in 0..25 {
            faults.note(|| number.to_string());
        }
        let mut all = faults.clone();
        all.add(faults);
        assert_eq!((all.count, all.examples.len()), (50, EXAMPLES_MAX));
    }
}
