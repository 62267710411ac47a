//! A small kind of wallet and a log in memory, to test the slot with, and the audit of what they leave behind.
//!
//! The wallet has a balance, an alert line at every [`Account::step`] units, and terms that change by themselves every so often. The
//! log has a tail that threads reserve from, with the weakest ordering, so that whatever order the records have comes from the slot.

use super::super::sync::thorough::AtomicU64;
use super::super::sync::{Guard, Ordering, pin, yield_now};
use super::super::word::Deadline;
use super::group::{Closed, Ended, JointOpening};
use super::{Driver, Generation, Opening, Posted, Reading, Rules, Slot, Terms};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64 as PlainI64;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct Model;

impl Rules for Model {
    type Terms = Account;
    type Operation = Traced<Change>;
    type Effects = Traced<Effect>;
    type Group = ();
    type GroupEffects = ();
}

/// Terms of the model's wallet.
pub(super) struct Account {
    opening: Traced<i64>,
    /// Distance between alert lines.
    pub(super) step: i64,
    /// Ms since [`Deadline::EPOCH_MS`]; [`FOREVER`] for never.
    pub(super) deadline: u64,
    /// Counts the accounts in memory.
    #[expect(dead_code, reason = "it is there to be dropped")]
    alive: Alive,
}

/// A value whose readings loom checks to come after its making. (Of plain memory loom knows nothing.)
pub(super) struct Traced<T> {
    value: T,
    #[cfg(drawdown_loom)]
    made: loom::cell::UnsafeCell<()>,
}

impl<T> Traced<T> {
    #[track_caller]
    pub(super) fn new(value: T) -> Self {
        #[cfg(drawdown_loom)]
        let made = loom::cell::UnsafeCell::new(());
        #[cfg(drawdown_loom)]
        made.with_mut(|_| ());
        Traced {
            value,
            #[cfg(drawdown_loom)]
            made,
        }
    }

    #[track_caller]
    pub(super) fn get(&self) -> &T {
        #[cfg(drawdown_loom)]
        self.made.with(|_| ());
        &self.value
    }
}

// SAFETY: the cell holds nothing; it is there for loom to find races with.
#[cfg(drawdown_loom)]
unsafe impl<T: Sync> Sync for Traced<T> {}

pub(super) const FOREVER: u64 = u64::MAX - Deadline::EPOCH_MS;
/// From such an opening on, what is available differs from the balance.
pub(super) const MUCH: i64 = 1000;
/// From one deadline to the next.
pub(super) const PERIOD: u64 = 50;

struct Alive(Arc<PlainI64>);

impl Alive {
    fn one_more(of: &Arc<PlainI64>) -> Self {
        of.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Alive(Arc::clone(of))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Terms for Account {
    fn opening(&self) -> i64 {
        *self.opening.get()
    }
    /// The nearest alert line at or below the opening; 0 is the floor.
    fn base(&self) -> i64 {
        self.opening() - self.opening() % self.step
    }
    fn deadline(&self) -> Deadline {
        instant(self.deadline)
    }
    fn adjustment(&self) -> i64 {
        adjustment(self.opening())
    }
}

/// Has no meaning here; any pure function of the terms will do. Most models are kept small by openings that have none.
fn adjustment(opening: i64) -> i64 {
    if opening < MUCH { 0 } else { -opening }
}

/// The model's time as the slot knows it.
pub(super) fn instant(ms: u64) -> Deadline {
    Deadline::from_unix_ms(Deadline::EPOCH_MS + ms)
}

/// An operation, with an identity so that the audit can count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Grant(i64),
    /// A debit that the fast path could not do.
    Debit(i64),
    /// The deadline has come.
    Due,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Applied,
    /// There was not enough credit after all.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Debit { generation: u64, amount: i64, balance: i64, adjustment: i64 },
    Opened { generation: u64, closing: i64, opening: i64, base: i64, deadline: u64, change: Change, effect: Effect },
}

/// The log of one slot.
pub(super) struct Log {
    tail: AtomicU64,
    /// LSN to (record, previous LSN). A plain mutex: loom does not see it, so it orders nothing in a model.
    records: Mutex<BTreeMap<u64, (Record, u64)>>,
    alive: Arc<PlainI64>,
}

/// What one thread knows of the wallet's history by having been answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// (LSN, tail at acknowledgement, generation used)
    debits: Vec<(u64, u64, u64)>,
    /// (change, tail at acknowledgement, generation opened)
    changes: Vec<(Change, u64, u64)>,
}

/// One thread's way to one slot.
pub(super) struct Actor<'a> {
    pub(super) slot: &'a Slot<Model>,
    pub(super) log: &'a Log,
    /// Whether this thread can append records of operations that others installed.
    pub(super) has_room: bool,
    /// Set while an operation of its own is being carried out; then it has room by contract.
    own: std::cell::Cell<bool>,
    next_id: std::cell::Cell<u64>,
    answered: std::cell::RefCell<Answered>,
}

const FIRST_LSN: u64 = 1;
const NOBODY: Change = Change { id: 0, kind: Kind::Grant(0) };

impl Log {
    pub(super) fn new() -> Self {
        Log { tail: AtomicU64::new(FIRST_LSN), records: Mutex::new(BTreeMap::new()), alive: Arc::new(PlainI64::new(0)) }
    }

    /// A slot whose first generation is the log's first record.
    pub(super) fn open(&self, opening: i64, step: i64, deadline: u64) -> Slot<Model> {
        let terms = Account { opening: Traced::new(opening), step, deadline, alive: Alive::one_more(&self.alive) };
        let lsn = self.reserve();
        let record = Record::Opened {
            generation: 1,
            closing: 0,
            opening,
            base: terms.base(),
            deadline,
            change: NOBODY,
            effect: Effect::Applied,
        };
        self.publish(lsn, record, 0);
        let slot = Slot::unopened();
        slot.open(7, lsn, Generation::new(1, lsn, terms));
        slot
    }

    /// How many generations' terms are in memory.
    #[cfg(not(drawdown_loom))]
    pub(super) fn alive(&self) -> i64 {
        self.alive.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn reserve(&self) -> u64 {
        self.tail.fetch_add(1, Ordering::Relaxed)
    }

    /// Everything below it is covered by a durable LSN that has reached it.
    fn tail(&self) -> u64 {
        self.tail.load(Ordering::Relaxed)
    }

    fn publish(&self, lsn: u64, record: Record, previous: u64) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(records.insert(lsn, (record, previous)), None, "one record for each LSN");
    }

    /// Checks everything that must hold when all threads are done. Answers how many generations there were.
    #[track_caller]
    pub(super) fn audit(&self, slot: &Slot<Model>, answers: &[Answered]) -> u64 {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let openings = audit_openings(&records);
        audit_sums(&records, &openings, slot);
        audit_chain(&records, slot);
        audit_answers(&records, &openings, answers);
        *openings.last_key_value().expect("there is a first generation").0
    }
}

/// Generation to (LSN of the first copy, the record).
type Openings = BTreeMap<u64, (u64, Record)>;

/// Copies are identical, no generation is missing, and no operation opened two.
fn audit_openings(records: &BTreeMap<u64, (Record, u64)>) -> Openings {
    let mut openings = Openings::new();
    for (&lsn, &(record, _)) in records {
        if let Record::Opened { generation, .. } = record {
            let first = openings.entry(generation).or_insert((lsn, record));
            assert_eq!(first.1, record, "copies of an opening are identical");
        }
    }
    let mut ids = BTreeSet::new();
    for (expected, (&generation, &(_, record))) in (1..).zip(&openings) {
        assert_eq!(generation, expected, "no generation is missing from the log");
        let Record::Opened { change, .. } = record else { unreachable!("only openings were gathered") };
        assert!(ids.insert(change.id), "{change:?} was applied twice");
    }
    openings
}

/// Within each generation: opening - debits = closing, the debits' balances are exact positions, and every debit lies before the
/// record that closed its generation. Between them: the next opening follows from the closing by the rules.
fn audit_sums(records: &BTreeMap<u64, (Record, u64)>, openings: &Openings, slot: &Slot<Model>) {
    let guard = pin();
    let last = slot.read(&guard).expect("the slot is open");
    let ends = openings.last_key_value().map(|(&generation, _)| generation);
    assert_eq!(Some(last.generation.number()), ends, "the slot is at the last generation");
    assert_eq!(slot.view.load(Ordering::Acquire), last.generation.view(), "the view is that of the last generation");
    assert!(slot.word.load(Ordering::Acquire).is_live_with(last.generation.view()), "debits can go on");
    // Generation to (balance to amount, LSN of the last one).
    let mut debits: BTreeMap<u64, (BTreeMap<i64, i64>, u64)> = BTreeMap::new();
    for (&lsn, &(record, _)) in records {
        if let Record::Debit { generation, amount, balance, adjustment: told } = record {
            let Some((_, Record::Opened { opening, .. })) = openings.get(&generation) else { panic!("no opening") };
            assert_eq!(told, adjustment(*opening), "what was told beside the balance in generation {generation}");
            let (positions, newest) = debits.entry(generation).or_default();
            assert_eq!(positions.insert(balance, amount), None, "two debits at one position");
            *newest = lsn;
        }
    }
    for (&generation, &(_, record)) in openings {
        let Record::Opened { opening, base, .. } = record else { unreachable!("only openings were gathered") };
        let (positions, newest) = debits.remove(&generation).unwrap_or_default();
        let mut at = opening;
        for (&balance, &amount) in positions.iter().rev() {
            assert_eq!(at - amount, balance, "the positions of generation {generation} fit together");
            assert!(balance >= base, "a fast debit crossed a line");
            at = balance;
        }
        if let Some(&(lsn, next)) = openings.get(&(generation + 1)) {
            assert!(newest < lsn, "a debit of generation {generation} lies behind the record that closed it");
            let Record::Opened { closing, opening, change, effect, .. } = next else { unreachable!("an opening") };
            assert_eq!(closing, at, "closing = opening - debits, generation {generation}");
            let expected = match (change.kind, effect) {
                (Kind::Grant(amount), Effect::Applied) => closing + amount,
                (Kind::Debit(amount), Effect::Applied) => closing - amount,
                (Kind::Debit(_), Effect::Refused) | (Kind::Due, Effect::Applied) => closing,
                (Kind::Grant(_) | Kind::Due, Effect::Refused) => panic!("{change:?} was refused"),
            };
            assert_eq!(opening, expected, "what {change:?} makes of {closing}");
            assert!(opening >= 0, "credit below zero");
        } else {
            assert_eq!(last.balance, at, "the slot's balance agrees with the log");
        }
    }
    assert!(debits.is_empty(), "debits of generations that were never opened: {debits:?}");
}

/// From the slot's newest record every record is reached, each once.
fn audit_chain(records: &BTreeMap<u64, (Record, u64)>, slot: &Slot<Model>) {
    let mut left: BTreeSet<u64> = records.keys().copied().collect();
    let mut at = slot.last_lsn();
    while at != 0 {
        assert!(left.remove(&at), "record {at} is linked twice or is not in the log");
        at = records[&at].1;
    }
    assert!(left.is_empty(), "not linked: {left:?}");
}

/// What was answered is in the log, once, and was covered by the tail at its acknowledgement, with the opening it relied on.
fn audit_answers(records: &BTreeMap<u64, (Record, u64)>, openings: &Openings, answers: &[Answered]) {
    let mut debits = 0;
    for &(lsn, tail, used) in answers.iter().flat_map(|answered| &answered.debits) {
        debits += 1;
        let Some((Record::Debit { generation, .. }, _)) = records.get(&lsn) else { panic!("debit {lsn} is lost") };
        assert_eq!(*generation, used);
        assert!(lsn < tail, "a debit is acknowledged with its own record");
        assert!(openings[&used].0 < tail, "debit {lsn} is acknowledged at {tail}, ahead of its generation's opening");
    }
    let logged = records.values().filter(|(record, _)| matches!(record, Record::Debit { .. })).count();
    assert_eq!(debits, logged, "every logged debit was answered");
    let mut changes = 0;
    for &(change, tail, opened) in answers.iter().flat_map(|answered| &answered.changes) {
        changes += 1;
        let (lsn, Record::Opened { change: logged, .. }) = openings[&opened] else { unreachable!("an opening") };
        assert_eq!(logged, change, "the answer names the generation that the operation opened");
        assert!(lsn < tail, "an operation is acknowledged with its record");
    }
    assert_eq!(changes, openings.len() - 1, "every operation in the log was answered");
}

impl<'a> Actor<'a> {
    /// `name` tells threads apart.
    pub(super) fn new(slot: &'a Slot<Model>, log: &'a Log, name: u64) -> Self {
        Actor {
            slot,
            log,
            has_room: true,
            own: std::cell::Cell::new(false),
            next_id: std::cell::Cell::new(1 + (name << 32)),
            answered: std::cell::RefCell::default(),
        }
    }

    /// One that cannot help others to log.
    pub(super) fn without_room(self) -> Self {
        Actor { has_room: false, ..self }
    }

    pub(super) fn answered(self) -> Answered {
        self.answered.into_inner()
    }

    /// Debits, the fast way or the slow way. False if there is not enough credit.
    pub(super) fn debit(&self, amount: i64, now: u64) -> bool {
        let lsn = self.log.reserve();
        loop {
            if let Some(posted) = self.slot.debit(amount, instant(now), true) {
                self.post(lsn, amount, posted);
                return true;
            }
            let guard = pin();
            let reading = self.slot.read_settled(self, &guard).expect("the slot is open");
            if let Some((posted, generation)) = self.slot.debit_from(reading.generation, amount, instant(now), &guard) {
                assert_eq!(generation.number(), posted.generation, "the generation that took the debit");
                self.post(lsn, amount, posted);
                return true;
            }
            let terms = reading.generation.terms();
            if now >= terms.deadline {
                let _ = self.change(&reading, Kind::Due, &guard);
            } else if reading.balance < amount {
                return false; // the reserved place stays empty, as padding
            } else if reading.balance - amount < terms.base()
                && let Some(effect) = self.change(&reading, Kind::Debit(amount), &guard)
            {
                return effect == Effect::Applied;
            }
        }
    }

    fn post(&self, lsn: u64, amount: i64, posted: Posted) {
        let previous = self.slot.link(lsn);
        let Posted { generation, balance, adjustment } = posted;
        let record = Record::Debit { generation, amount, balance, adjustment };
        self.log.publish(lsn, record, previous);
        self.answered.borrow_mut().debits.push((lsn, self.log.tail(), posted.generation));
    }

    /// Adds credit.
    pub(super) fn grant(&self, amount: i64) {
        loop {
            let guard = pin();
            let reading = self.slot.read_settled(self, &guard).expect("the slot is open");
            if self.change(&reading, Kind::Grant(amount), &guard).is_some() {
                return;
            }
            yield_now();
        }
    }

    /// Ends the reading's generation with an operation, if no other one did.
    pub(super) fn change(&self, reading: &Reading<'_, Model>, kind: Kind, guard: &Guard) -> Option<Effect> {
        let change = Change { id: self.next_id.get(), kind };
        self.own.set(true);
        let result = self.slot.change(self, reading.generation, Traced::new(change), guard);
        self.own.set(false);
        match result {
            Ok(changed) => {
                self.next_id.set(change.id + 1);
                assert_ne!(changed.generation.opened_at(), 0);
                let present = self.slot.present(guard).expect("open").number();
                assert!(present > reading.generation.number(), "the pointer has left what was ended");
                let opened = changed.generation.number();
                self.answered.borrow_mut().changes.push((change, self.log.tail(), opened));
                Some(*changed.effects.get())
            }
            Err(refused) => {
                assert_eq!(*refused.get(), change, "the operation comes back whole");
                None
            }
        }
    }
}

impl Driver<Model> for Actor<'_> {
    fn close(&self, terms: &Account, closing: i64, change: &Traced<Change>) -> (Account, Traced<Effect>) {
        let change = change.get();
        let (opening, effect) = match change.kind {
            Kind::Grant(amount) => (closing + amount, Effect::Applied),
            Kind::Debit(amount) if closing < amount => (closing, Effect::Refused),
            Kind::Debit(amount) => (closing - amount, Effect::Applied),
            Kind::Due => (closing, Effect::Applied),
        };
        let deadline = if change.kind == Kind::Due { terms.deadline + PERIOD } else { terms.deadline };
        (
            Account {
                opening: Traced::new(opening),
                step: terms.step,
                deadline,
                alive: Alive::one_more(&self.log.alive),
            },
            Traced::new(effect),
        )
    }

    fn log(&self, slot: &Slot<Model>, opening: &Opening<'_, Model>) -> Option<u64> {
        if !self.has_room && !self.own.get() {
            return None;
        }
        let lsn = self.log.reserve();
        let terms = opening.new.terms();
        let record = Record::Opened {
            generation: opening.new.number(),
            closing: opening.closing,
            opening: terms.opening(),
            base: terms.base(),
            deadline: terms.deadline,
            change: *opening.operation.get(),
            effect: *opening.effects.get(),
        };
        self.log.publish(lsn, record, slot.link(lsn));
        Some(lsn)
    }

    fn of(&self, _: u32) -> Self {
        unreachable!("there is one wallet")
    }

    fn slot(&self, _: u32) -> &Slot<Model> {
        self.slot
    }

    fn close_group(&self, (): &(), _: &[Ended<'_, Model>]) -> (Vec<Closed<Model>>, ()) {
        unreachable!("groups have a model of their own")
    }

    fn log_group(&self, _: &JointOpening<'_, Model>) -> Option<u64> {
        unreachable!("groups have a model of their own")
    }
}
