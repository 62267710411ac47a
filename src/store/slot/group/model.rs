//! Two wallets and one log in memory, to test groups with, and the audit of what they leave behind.
//!
//! A wallet has a balance and an alert line at every [`STEP`] units. A group moves credits between them, or changes neither.

use super::super::super::sync::thorough::AtomicU64;
use super::super::super::sync::{Guard, Ordering, pin, yield_now};
use super::super::super::word::Deadline;
use super::super::model::Traced;
use super::super::{Driver, Generation, Opening, Rules, Slot, Terms};
use super::{Closed, Ended, JointOpening, change};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

pub(super) struct Twins;

impl Rules for Twins {
    type Terms = Account;
    type Operation = Traced<Change>;
    type Effects = Traced<bool>;
    type Group = Traced<Move>;
    type GroupEffects = Traced<Moved>;
}

/// Distance between alert lines.
pub(super) const STEP: i64 = 10;

pub(super) struct Account(Traced<i64>);

impl Terms for Account {
    fn opening(&self) -> i64 {
        *self.0.get()
    }
    fn base(&self) -> i64 {
        self.opening() - self.opening() % STEP
    }
    fn deadline(&self) -> Deadline {
        Deadline::NEVER
    }
    fn adjustment(&self) -> i64 {
        0
    }
}

/// An operation on one wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    id: u64,
    /// Above zero a grant, below a debit.
    amount: i64,
}

/// A group: what it adds to each wallet, and through how many generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    id: u64,
    amounts: [i64; 2],
    generations: [u64; 2],
}

/// A transfer from the first wallet to the second.
#[cfg(not(drawdown_loom))]
pub(super) fn transfer(amount: i64) -> Traced<Move> {
    Traced::new(Move { id: 7 << 40, amounts: [-amount, amount], generations: [1, 1] })
}

/// What a group came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    id: u64,
    is_applied: bool,
    records: Vec<Record>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Debit { slot: u32, generation: u64, amount: i64, balance: i64 },
    Opened { slot: u32, generation: u64, closing: i64, opening: i64, cause: Cause },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Making,
    Alone { id: u64, amount: i64, is_applied: bool },
    Joint { id: u64, is_applied: bool },
}

/// The log of both wallets. Records have numbers; those of a frame follow each other.
pub(super) struct Log {
    tail: AtomicU64,
    /// LSN to the frame's records, each with the record before it. A plain mutex: loom does not see it, so it orders nothing.
    frames: Mutex<BTreeMap<u64, Vec<(Record, u64)>>>,
}

/// What one thread was answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// Place, tail at acknowledgement, slot, generation used.
    debits: Vec<(u64, u64, u32, u64)>,
    /// Groups and operations, each with place and tail.
    causes: Vec<(Cause, u64, u64)>,
}

/// One thread's way to the wallets.
pub(super) struct Actor<'a> {
    pub(super) slots: &'a [Slot<Twins>; 2],
    log: &'a Log,
    /// Whether this thread can append records of what others began.
    has_room: bool,
    own: &'a Cell<bool>,
    next_id: &'a Cell<u64>,
    answered: &'a RefCell<Answered>,
}

/// What an actor's copies share.
pub(super) struct Hand {
    own: Cell<bool>,
    next_id: Cell<u64>,
    pub(super) answered: RefCell<Answered>,
}

impl Hand {
    pub(super) fn new(name: u64) -> Self {
        Hand { own: Cell::new(false), next_id: Cell::new(1 + (name << 32)), answered: RefCell::default() }
    }
}

impl Log {
    pub(super) fn new() -> Self {
        Log { tail: AtomicU64::new(1), frames: Mutex::default() }
    }

    pub(super) fn open(&self, slot: u32, opening: i64) -> Slot<Twins> {
        let lsn = self.reserve(1);
        let record = Record::Opened { slot, generation: 1, closing: 0, opening, cause: Cause::Making };
        self.publish(lsn, vec![(record, 0)]);
        let made = Slot::unopened();
        made.open(slot.into(), lsn, Generation::new(1, lsn, Account(Traced::new(opening))));
        made
    }

    fn reserve(&self, records: u64) -> u64 {
        self.tail.fetch_add(records, Ordering::Relaxed)
    }

    fn tail(&self) -> u64 {
        self.tail.load(Ordering::Relaxed)
    }

    fn publish(&self, lsn: u64, frame: Vec<(Record, u64)>) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(frames.insert(lsn, frame).is_none(), "one frame at each place");
    }

    /// Checks everything that must hold when all threads are done.
    #[track_caller]
    pub(super) fn audit(&self, slots: &[Slot<Twins>; 2], answers: &[Answered]) {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        audit_cuts(&frames);
        for (number, slot) in (0..).zip(slots) {
            audit_slot(&frames, number, slot);
        }
        audit_answers(&frames, answers);
    }
}

type Frames = BTreeMap<u64, Vec<(Record, u64)>>;

/// Whatever frame the log is cut behind, the wallets together have what they had, with the debits and the operations up to there: no part
/// of a group is there alone, whichever copies of it are.
#[track_caller]
fn audit_cuts(frames: &Frames) {
    let mut seen: [u64; 2] = [0; 2];
    let mut moved: [i64; 2] = [0; 2];
    for frame in frames.values() {
        for (record, _) in frame {
            if let Record::Opened { slot, generation, closing, opening, cause } = *record {
                // Copies are passed over, as a replay does.
                if generation <= seen[slot as usize] {
                    continue;
                }
                seen[slot as usize] = generation;
                match cause {
                    Cause::Joint { .. } => moved[slot as usize] += opening - closing,
                    Cause::Making => {}
                    Cause::Alone { amount, is_applied, .. } => {
                        let expected = if is_applied { amount } else { 0 };
                        assert_eq!(opening - closing, expected, "what {cause:?} makes of {closing}");
                    }
                }
            }
        }
        assert_eq!(moved[0] + moved[1], 0, "a group is torn apart behind some frame");
    }
}

/// Generations follow each other, debits lead from each opening to the next closing and lie before the record that says so, copies are
/// identical, the chain has every record once, and the slot is at the end of it all.
#[track_caller]
fn audit_slot(frames: &Frames, number: u32, cell: &Slot<Twins>) {
    let mut openings: BTreeMap<u64, (u64, Record)> = BTreeMap::new();
    let mut debits: BTreeMap<u64, (BTreeMap<i64, i64>, u64)> = BTreeMap::new();
    let mut previous = BTreeMap::new();
    for (base, frame) in frames {
        for (lsn, (record, before)) in (*base..).zip(frame) {
            match *record {
                Record::Opened { slot, generation, .. } if slot == number => {
                    let first = openings.entry(generation).or_insert((lsn, *record));
                    assert_eq!(first.1, *record, "copies are identical");
                }
                Record::Debit { slot, generation, amount, balance } if slot == number => {
                    let (positions, newest) = debits.entry(generation).or_default();
                    assert_eq!(positions.insert(balance, amount), None, "two debits at one position");
                    *newest = lsn;
                }
                _ => continue,
            }
            previous.insert(lsn, *before);
        }
    }
    for (expected, generation) in (1..).zip(openings.keys()) {
        assert_eq!(*generation, expected, "no generation is missing from the log");
    }
    let reading = cell.read(&pin()).map(|reading| (reading.balance, reading.generation.number()));
    let (balance, last) = reading.expect("open");
    assert_eq!(openings.last_key_value().map(|(last, _)| *last), Some(last), "the slot is at the last generation");
    for (generation, (_, record)) in &openings {
        let Record::Opened { opening, .. } = *record else { unreachable!("only openings were gathered") };
        let (positions, newest) = debits.remove(generation).unwrap_or_default();
        let mut at = opening;
        for (after, amount) in positions.iter().rev() {
            assert_eq!(at - amount, *after, "the positions of generation {generation} fit together");
            at = *after;
        }
        match openings.get(&(generation + 1)) {
            Some((lsn, Record::Opened { closing, opening, .. })) => {
                assert!(newest < *lsn, "a debit lies behind the record that closed its generation");
                assert_eq!(*closing, at, "closing = opening - debits");
                assert!(*opening >= 0, "credit below zero");
            }
            _ => assert_eq!(balance, at, "the slot's balance agrees with the log"),
        }
    }
    assert!(debits.is_empty(), "debits of generations that were never opened");
    let mut at = cell.last_lsn();
    while at != 0 {
        at = previous.remove(&at).expect("a record is linked twice or is not in the log");
    }
    assert!(previous.is_empty(), "not linked: {previous:?}");
}

/// What was answered is in the log, once, and was covered by the tail at its acknowledgement, with the opening it relied on.
#[track_caller]
fn audit_answers(frames: &Frames, answers: &[Answered]) {
    let mut places: BTreeMap<Cause, u64> = BTreeMap::new();
    let mut openings: BTreeMap<(u32, u64), u64> = BTreeMap::new();
    for (base, frame) in frames {
        for (lsn, (record, _)) in (*base..).zip(frame) {
            if let Record::Opened { slot, generation, cause, .. } = *record {
                places.entry(cause).or_insert(*base);
                openings.entry((slot, generation)).or_insert(lsn);
            }
        }
    }
    for (lsn, tail, slot, generation) in answers.iter().flat_map(|answered| &answered.debits) {
        assert!(lsn < tail, "a debit is acknowledged with its own record");
        assert!(openings[&(*slot, *generation)] < *tail, "a debit is acknowledged ahead of its generation's opening");
    }
    let mut known = BTreeSet::new();
    for (cause, place, tail) in answers.iter().flat_map(|answered| &answered.causes) {
        assert!(known.insert(*cause), "{cause:?} was answered twice");
        assert!(place < tail && places.contains_key(cause), "{cause:?} is acknowledged with its record");
    }
    let logged = places.keys().filter(|cause| !matches!(cause, Cause::Making)).count();
    assert_eq!(logged, known.len(), "everything in the log was answered");
}

impl<'a> Actor<'a> {
    pub(super) fn new(slots: &'a [Slot<Twins>; 2], log: &'a Log, hand: &'a Hand, has_room: bool) -> Self {
        Actor { slots, log, has_room, own: &hand.own, next_id: &hand.next_id, answered: &hand.answered }
    }

    fn id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// Debits, the fast way or the slow way. False if there is not enough credit.
    pub(super) fn debit(&self, slot: u32, amount: i64) -> bool {
        let lsn = self.log.reserve(1);
        let cell = &self.slots[slot as usize];
        loop {
            if let Some(posted) = cell.debit(amount, Deadline::EPOCH, true) {
                let previous = cell.link(lsn);
                let generation = posted.generation;
                let record = Record::Debit { slot, generation, amount, balance: posted.balance };
                self.log.publish(lsn, vec![(record, previous)]);
                self.answered.borrow_mut().debits.push((lsn, self.log.tail(), slot, generation));
                return true;
            }
            let guard = pin();
            let reading = cell.read_settled(self, &guard).expect("open");
            if reading.balance < amount {
                return false;
            }
            if reading.balance - amount < reading.generation.terms().base()
                && let Some(is_applied) = self.operate(slot, reading.generation, -amount, &guard)
            {
                return is_applied;
            }
        }
    }

    pub(super) fn grant(&self, slot: u32, amount: i64) {
        loop {
            let guard = pin();
            let reading = self.slots[slot as usize].read_settled(self, &guard).expect("open");
            if self.operate(slot, reading.generation, amount, &guard).is_some() {
                return;
            }
            yield_now();
        }
    }

    fn operate(&self, slot: u32, generation: &Generation<Twins>, amount: i64, guard: &Guard) -> Option<bool> {
        let id = self.id();
        self.own.set(true);
        let result = self.slots[slot as usize].change(self, generation, Traced::new(Change { id, amount }), guard);
        self.own.set(false);
        let changed = result.ok()?;
        let is_applied = *changed.effects.get();
        let cause = Cause::Alone { id, amount, is_applied };
        let place = changed.generation.opened_at();
        self.answered.borrow_mut().causes.push((cause, place, self.log.tail()));
        Some(is_applied)
    }

    /// Moves credits from the first wallet to the second, or back, through so many generations of each. False if there are not enough.
    pub(super) fn transfer(&self, amount: i64, generations: [u64; 2]) -> bool {
        loop {
            let guard = pin();
            let [first, second] = [0, 1].map(|slot: usize| self.slots[slot].read(&guard).expect("open"));
            if first.balance < amount || second.balance < -amount {
                return false;
            }
            let id = self.id();
            let asked = Move { id, amounts: [-amount, amount], generations };
            self.own.set(true);
            let members = [(0, first.generation), (1, second.generation)];
            let joined = change(self, &members, Traced::new(asked), &guard);
            self.own.set(false);
            if let Some(joined) = joined {
                let is_applied = joined.effects().get().is_applied;
                let cause = Cause::Joint { id, is_applied };
                self.answered.borrow_mut().causes.push((cause, joined.logged_at(), self.log.tail()));
                for (slot, _) in members {
                    let present = self.slots[slot as usize].present(&guard).expect("open").number();
                    assert!(present > members[slot as usize].1.number(), "the pointer has left what was ended");
                }
                if is_applied {
                    return true;
                }
            }
            drop(guard);
            yield_now();
        }
    }

    /// Both balances, the one of `first` read first.
    pub(super) fn read(&self, first: usize) -> [i64; 2] {
        let guard = pin();
        let one = self.slots[first].read(&guard).expect("open").balance;
        let other = self.slots[1 - first].read(&guard).expect("open").balance;
        if first == 0 { [one, other] } else { [other, one] }
    }
}

impl Driver<Twins> for Actor<'_> {
    fn close(&self, _: &Account, closing: i64, change: &Traced<Change>) -> (Account, Traced<bool>) {
        let amount = change.get().amount;
        let is_applied = closing + amount >= 0;
        let opening = if is_applied { closing + amount } else { closing };
        (Account(Traced::new(opening)), Traced::new(is_applied))
    }

    fn log(&self, slot: &Slot<Twins>, opening: &Opening<'_, Twins>) -> Option<u64> {
        if !self.has_room && !self.own.get() {
            return None;
        }
        let lsn = self.log.reserve(1);
        let number = u32::from(slot.has_key(1));
        let Change { id, amount } = *opening.operation.get();
        let record = Record::Opened {
            slot: number,
            generation: opening.new.number(),
            closing: opening.closing,
            opening: opening.new.terms().opening(),
            cause: Cause::Alone { id, amount, is_applied: *opening.effects.get() },
        };
        self.log.publish(lsn, vec![(record, slot.link(lsn))]);
        Some(lsn)
    }

    fn of(&self, _: u32) -> Self {
        Actor { ..*self }
    }

    fn slot(&self, handle: u32) -> &Slot<Twins> {
        &self.slots[handle as usize]
    }

    fn close_group(&self, group: &Traced<Move>, members: &[Ended<'_, Twins>]) -> (Vec<Closed<Twins>>, Traced<Moved>) {
        let Move { id, amounts, generations } = *group.get();
        let is_applied = members.iter().all(|member| member.closing + amounts[member.handle as usize] >= 0);
        let (mut closed, mut records) = (Vec::new(), Vec::new());
        for member in members {
            let (amount, generations) = (amounts[member.handle as usize], generations[member.handle as usize]);
            let generations = if is_applied { generations } else { 1 };
            let mut at = member.closing;
            for step in 1..=generations {
                // All of it in the last one.
                let opening = if is_applied && step == generations { at + amount } else { at };
                records.push(Record::Opened {
                    slot: member.handle,
                    generation: member.generation.number() + step,
                    closing: at,
                    opening,
                    cause: Cause::Joint { id, is_applied },
                });
                at = opening;
            }
            let distance = records.len() as u64 - 1;
            closed.push(Closed { terms: Account(Traced::new(at)), generations, distance });
        }
        (closed, Traced::new(Moved { id, is_applied, records }))
    }

    fn log_group(&self, opening: &JointOpening<'_, Twins>) -> Option<u64> {
        if !self.has_room && !self.own.get() {
            return None;
        }
        let records = &opening.effects.get().records;
        let base = self.log.reserve(records.len() as u64);
        let link = |(lsn, record): (u64, &Record)| {
            let Record::Opened { slot, .. } = *record else { unreachable!("a group's records are openings") };
            (*record, self.slots[slot as usize].link(lsn))
        };
        let frame = (base..).zip(records).map(link).collect();
        opening.claim(base);
        self.log.publish(base, frame);
        Some(base)
    }
}
