//! A wallet's past, read back from the log: where an instant cuts it, and what lies between two cuts.
//!
//! # What an instant cuts
//! The ledger has an order of its own: a wallet's generations follow one another, and within one each debit takes over at the balance where
//! another left. Records bear the server's time too, which is told before they get their place; so two that overtake each other stand a few
//! milliseconds out of order. An instant cuts the ledger's own order, at one place:
//!
//! 1. in the last generation that was opened before the instant;
//! 2. there, behind the last debit that was recorded before it;
//! 3. and behind what fell due before it. A grant takes effect and ends in the very millisecond that it names, whoever records it when.
//!    No debit of a generation is later than the first thing to fall due in it, so what did stands behind all of its debits.
//!
//! A later instant never cuts earlier, so statements of adjoining periods add up; and the balance at a cut is one that the wallet had.
//!
//! # How it is read
//! Openings name the ones before them, and the debits between two are passed over unless they are asked for. Debits are found along the
//! chain of records, from their generation's end back. The chain is not quite the ledger's order: a debit may be linked behind the operation
//! that ended its generation. What tells that none is missing is arithmetic: debits are positive, and those behind a cut are all there when
//! they add up to the way from the cut's balance to the closing one.

use super::super::Inner;
use super::super::history::unreadable;
use super::super::snapshot::is_whole;
use super::super::ticket::poisoned_error;
use super::super::view::CommandError;
use super::super::wallet::adjustment;
use super::due::{self, Dated, Dates, Due};
use super::{SKEW_MS, declaration, inconsistent};
use crate::journal::debit::{DebitRecord, Metered};
use crate::journal::operation::OperationRecord;
use crate::journal::{self, Corrupt, Record};
use crate::ledger::{Amount, GrantId, HoldId, Movement, Operation, Terms, Timestamp, transition};
use crate::store::pin;
use drawdown_wal::{Lsn, SegmentView};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How a generation began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// The low half of its number; `None` if its record has been retired.
    number: Option<u32>,
    /// The record that counts. 0 if it has been retired.
    pub(super) at: u64,
    /// When it was opened: [`Timestamp::EPOCH`] for the first, and if the record has been retired.
    time: Timestamp,
    /// `None` if the record has been retired.
    balance: Option<Amount>,
    /// The balance at which the generation before ended.
    closing: Amount,
    /// Available credit less balance.
    pub(super) adjustment: i64,
    /// The wallet's record before.
    previous: u64,
    is_retired: bool,
}

impl Opening {
    /// Whether [`Opening::adjustment`] is known.
    pub(super) fn tells_adjustment(&self) -> bool {
        self.number.is_some()
    }

    /// Whether its record has been retired, and nothing is known of how the generation began.
    pub(super) fn is_unknown(&self) -> bool {
        self.is_retired && self.number.is_none()
    }
}

/// What is to be read below the oldest opening that is known.
#[derive(Clone, Copy, Debug)]
enum Below {
    Opening(u64),
    /// The wallet was made there.
    Nothing,
    Retired,
}

/// A debit on the fast path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    pub(super) lsn: u64,
    pub(super) amount: Amount,
    pub(super) after: Amount,
    /// The server's time.
    pub(super) time: Timestamp,
    pub(super) event_time: Timestamp,
    pub(super) metered: Option<Metered>,
}

/// The debits of a generation behind a cut, in the ledger's order.
#[derive(Debug)]
pub(super) struct Tile {
    /// The balance at the cut.
    pub(super) base: Amount,
    pub(super) debits: Vec<Posting>,
}

/// A wallet as one reading found it, and the way back from there.
pub(super) struct Timeline<'a> {
    pub(super) inner: &'a Inner,
    pub(super) slot: u32,
    /// The engine's time at the reading.
    pub(super) now: Timestamp,
    /// The present terms.
    pub(super) terms: Terms,
    /// The balance at the reading, before what has fallen due and no operation has said.
    balance: Amount,
    /// The newest record.
    newest: u64,
    /// Newest first, as far as they have been read; never empty.
    openings: Vec<Opening>,
    below: Below,
    /// Where the log's beginning was retired: everything recorded from this instant on is there.
    horizon: Timestamp,
    view: Option<SegmentView>,
}

/// Where a walk along the chain stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// Nothing was missing any more.
    Complete,
    /// Where it was told to.
    There,
    /// Where the log begins.
    Retired,
}

impl<'a> Timeline<'a> {
    /// Reads a wallet, and waits until what the reading shows is durable.
    pub(super) fn of(inner: &'a Inner, slot: u32) -> Result<Self, CommandError> {
        let now = inner.now();
        let (terms, balance, number, at) = {
            let guard = pin();
            let reading = inner.slab.get(slot).read(&guard).ok_or(CommandError::NotFound { what: "wallet" })?;
            let generation = reading.generation;
            let terms = generation.terms().get().into_owned();
            (terms, Amount::new(reading.balance), generation.number() as u32, generation.opened_at())
        };
        let newest = newest_readable(inner, slot)?;
        let mut timeline = Timeline {
            inner,
            slot,
            now,
            balance,
            newest,
            openings: Vec::new(),
            below: Below::Opening(at),
            horizon: horizon(inner),
            view: None,
            terms,
        };
        timeline.load()?;
        let present = match timeline.openings.pop() {
            Some(opening) => opening,
            // Its record need not be there any more: its terms are.
            None => Opening {
                number: Some(number),
                at,
                time: Timestamp::EPOCH,
                balance: Some(timeline.terms.opening),
                closing: Amount::ZERO,
                adjustment: adjustment(&timeline.terms),
                previous: 0,
                is_retired: true,
            },
        };
        if present.number != Some(number) || present.balance != Some(timeline.terms.opening) {
            return Err(inconsistent(slot, "the record of the present generation is another's"));
        }
        timeline.openings.push(present);
        Ok(timeline)
    }

    pub(super) fn opening(&self, index: usize) -> &Opening {
        &self.openings[index]
    }

    /// Reads one opening more. False if there is none.
    fn load(&mut self) -> Result<bool, CommandError> {
        let Below::Opening(at) = self.below else { return Ok(false) };
        let opening = match journal::opening_at(&self.inner.log, Lsn::new(at), &mut self.view) {
            Err(_) if self.inner.is_retired(at) => {
                self.below = Below::Retired;
                return Ok(false);
            }
            opening => opening.map_err(unreadable)?,
        };
        let (opening, slot, below) = match opening {
            journal::Opening::Operation(head) => {
                let opening = Opening {
                    number: Some(head.generation),
                    at,
                    time: head.time,
                    balance: Some(head.opening),
                    closing: head.closing,
                    adjustment: head.adjustment,
                    previous: self.inner.repairs.previous(at).unwrap_or(head.previous),
                    is_retired: false,
                };
                (opening, head.slot, Below::Opening(head.previous_opening))
            }
            journal::Opening::Making { slot } => {
                let opening = Opening {
                    number: Some(1),
                    at,
                    time: Timestamp::EPOCH,
                    balance: Some(Amount::ZERO),
                    closing: Amount::ZERO,
                    adjustment: 0,
                    previous: 0,
                    is_retired: false,
                };
                (opening, slot, Below::Nothing)
            }
        };
        if slot != self.slot {
            return Err(unreadable(Corrupt::Malformed("link to the opening before")));
        }
        self.openings.push(opening);
        self.below = below;
        Ok(true)
    }

    /// The generation that an instant cuts: a place among the openings.
    pub(super) fn generation_at(&mut self, before: Timestamp) -> Result<usize, CommandError> {
        for index in 0.. {
            if index == self.openings.len() && !self.load()? {
                if !matches!(self.below, Below::Retired) {
                    // The wallet's making is before any instant.
                    return Ok(index - 1);
                }
                // What is below was recorded before the horizon.
                self.openings.push(Opening {
                    number: None,
                    at: 0,
                    time: Timestamp::EPOCH,
                    balance: None,
                    closing: Amount::ZERO,
                    adjustment: 0,
                    previous: 0,
                    is_retired: true,
                });
            }
            let opening = &self.openings[index];
            if opening.is_retired {
                return if before >= self.horizon { Ok(index) } else { Err(self.inner.retired()) };
            }
            if opening.time < before {
                return Ok(index);
            }
        }
        unreachable!("the loop ends at the wallet's making")
    }

    /// The balance at which a generation ended, or that the reading found.
    fn closing(&self, index: usize) -> Amount {
        if index == 0 { self.balance } else { self.openings[index - 1].closing }
    }

    /// The debits of a generation behind the cut at `since`, and the balance there. With [`Timestamp::EPOCH`]: all of them.
    pub(super) fn debits(&mut self, index: usize, since: Timestamp) -> Result<Tile, CommandError> {
        let opening = self.openings[index];
        let mut gathering = Gathering {
            number: opening.number,
            older_than: if index == 0 { None } else { self.openings[index - 1].number },
            since,
            base: opening.balance,
            closing: self.closing(index),
            found: Vec::new(),
            sum: 0,
        };
        if gathering.is_complete() {
            return gathering.tile(self.slot);
        }
        let start = if index == 0 { self.newest } else { self.openings[index - 1].previous };
        let mut stopped = self.walk(start, opening.at, &mut gathering)?;
        if stopped != Stopped::Complete && self.walk_behind(index, start, &mut gathering)? == Stopped::Complete {
            stopped = Stopped::Complete;
        }
        if stopped == Stopped::There && opening.at != 0 {
            // A copy of the opening that was chosen by recovery may stand behind some of its debits.
            stopped = self.walk(opening.at, 0, &mut gathering)?;
        }
        if stopped == Stopped::Retired {
            if since < self.horizon {
                return Err(self.inner.retired());
            }
            // All that is not there was recorded before the horizon: it lies before the cut.
            gathering.settle();
        }
        gathering.tile(self.slot)
    }

    /// Looks for debits that were linked behind the operation that ended their generation, or behind the record that the reading knew as the
    /// newest: not far behind, most likely.
    fn walk_behind(&mut self, index: usize, start: u64, gathering: &mut Gathering) -> Result<Stopped, CommandError> {
        if index == 0 {
            let newest = newest_readable(self.inner, self.slot)?;
            return self.walk(newest, start, gathering);
        }
        let (mut behind, mut until, mut step) = (index - 1, start, 1);
        loop {
            if behind == 0 {
                return self.walk(self.newest, until, gathering);
            }
            behind = behind.saturating_sub(step);
            let from = self.openings[behind].previous;
            if self.walk(from, until, gathering)? == Stopped::Complete {
                return Ok(Stopped::Complete);
            }
            (until, step) = (from, step * 2);
        }
    }

    /// Walks the chain from the record at `from` down to the one at `until`, which is not visited.
    fn walk(&mut self, from: u64, until: u64, gathering: &mut Gathering) -> Result<Stopped, CommandError> {
        let mut next = from;
        while next != until && next != 0 {
            let record = match journal::read_at(&self.inner.log, Lsn::new(next), &mut self.view) {
                Err(_) if self.inner.is_retired(next) => return Ok(Stopped::Retired),
                record => record.map_err(unreadable)?,
            };
            let (slot, previous) = match &record {
                Record::Debit(debit) => (debit.slot, debit.previous),
                Record::Operation(operation) => (operation.slot, operation.previous),
                Record::Admin(_) => return Err(unreadable(Corrupt::Malformed("link to the record before"))),
            };
            if slot != self.slot {
                return Err(unreadable(Corrupt::Malformed("link to the record before")));
            }
            if let Record::Debit(debit) = &record
                && !self.inner.repairs.is_dropped(next)
            {
                let after = self.inner.repairs.balance_after(next).unwrap_or(debit.balance_after);
                if gathering.take(next, debit, after) {
                    return Ok(Stopped::Complete);
                }
            }
            next = self.inner.repairs.previous(next).unwrap_or(previous);
        }
        Ok(Stopped::There)
    }

    /// What fell due in a generation before an instant that cuts it.
    pub(super) fn due(&mut self, index: usize, before: Timestamp) -> Result<Due, CommandError> {
        let mut next = index;
        while next > 0 {
            next -= 1;
            let mut view = None;
            let record = self.operation(next, &mut view)?;
            // A reopening after a crash carries out nothing that is due, and opens what was there.
            if record.body.operation != Operation::Reopen {
                let apart = self.fallen_due(next, &record)?;
                return Ok(Due::before(Some(next), apart, before));
            }
        }
        self.pending(before)
    }

    /// What has fallen due and no operation has said yet: of all that has by now, in the places that an operation would give it, what did
    /// before an instant.
    fn pending(&self, before: Timestamp) -> Result<Due, CommandError> {
        if self.terms.deadline().is_none_or(|deadline| deadline > self.now || deadline >= before) {
            return Ok(Due::default());
        }
        let terms = &self.terms;
        let change = transition(terms, self.balance, &Operation::Due, self.now);
        let held = terms.holds.iter().flat_map(|hold| &hold.parts).map(|part| &part.lot);
        let mut dates = Dates::default();
        for lot in terms.lots.iter().chain(&terms.scheduled).chain(held) {
            dates.starts.insert(lot.id, lot.effective_at);
            dates.ends.extend(lot.expires_at.timestamp().map(|end| (lot.id, end)));
        }
        dates.holds.extend(terms.holds.iter().map(|hold| (hold.id, hold.expires_at)));
        for movement in &change.effects.movements {
            if let Movement::RolledOver { grant, into, at, .. } = movement {
                let rollover = terms.riders.clause(*grant).and_then(|clause| clause.rollover);
                let lasts = rollover.and_then(|rollover| rollover.valid_for_ms);
                dates.ends.extend(lasts.map(|ms| (*into, at.saturating_add(ms))));
            }
        }
        let apart = due::tell_apart(&change.effects.movements, &dates).ok_or_else(|| self.undated())?;
        Ok(Due::before(None, apart, before))
    }

    /// Replaces those movements of an operation's record that sum up what fell due at several instants by their parts. So the places of all
    /// movements are those that [`Due`] knows.
    pub(super) fn tell_apart(&mut self, index: usize, record: &mut OperationRecord<'_>) -> Result<(), CommandError> {
        let count = self.due_count(index, record)?;
        if due::are_summed_up(&record.body.movements[..count]) {
            let apart = self.fallen_due(index, record)?;
            record.body.movements.splice(..count, apart.into_iter().map(|dated| dated.movement));
        }
        Ok(())
    }

    /// The movements by which an operation carried out what had fallen due, told apart.
    fn fallen_due(&mut self, index: usize, record: &OperationRecord<'_>) -> Result<Vec<Dated>, CommandError> {
        let count = self.due_count(index, record)?;
        let movements = &record.body.movements[..count];
        let dates = self.dates(index, movements)?;
        due::tell_apart(movements, &dates).ok_or_else(|| self.undated())
    }

    fn undated(&self) -> CommandError {
        inconsistent(self.slot, "something without a date has fallen due")
    }

    fn due_count(&mut self, index: usize, record: &OperationRecord<'_>) -> Result<usize, CommandError> {
        let (operation, movements) = (&record.body.operation, &record.body.movements);
        let voids = match due::doubtful_void(operation, movements) {
            Some(grant) => !self.was_voided(index, grant)?,
            None => true,
        };
        Ok(due::count(operation, movements, voids))
    }

    /// Whether a grant had been voided when an operation came.
    fn was_voided(&mut self, index: usize, grant: GrantId) -> Result<bool, CommandError> {
        self.operations_below(index, grant.get(), |record| {
            let is_void = |other: &Movement| matches!(other, Movement::Voided { grant: of, .. } if *of == grant);
            record.body.movements.iter().any(is_void)
        })
    }

    /// Visits the operations before one, newest first, down to the position `oldest`, until `visit` says that it has found all that it looks
    /// for. Whether it did.
    fn operations_below(
        &mut self,
        index: usize,
        oldest: u64,
        mut visit: impl FnMut(&OperationRecord<'_>) -> bool,
    ) -> Result<bool, CommandError> {
        for index in index + 1.. {
            if index == self.openings.len() && !self.load()? {
                return if matches!(self.below, Below::Retired) { Err(self.inner.retired()) } else { Ok(false) };
            }
            let opening = self.openings[index];
            if opening.is_retired && opening.at == 0 {
                return Err(self.inner.retired());
            }
            if opening.at < oldest || self.is_making(index) {
                break;
            }
            let mut view = None;
            if visit(&*self.operation(index, &mut view)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// When grants and holds began and ended that fell due by an operation: as they were declared, or as they had been moved by then, or as
    /// followed from a payment.
    fn dates(&mut self, operation: usize, due: &[Movement]) -> Result<Dates, CommandError> {
        let mut dates = Dates::default();
        let (mut ends, mut holds): (Vec<GrantId>, Vec<HoldId>) = (Vec::new(), Vec::new());
        for movement in due {
            match *movement {
                Movement::Activated { grant, .. } => {
                    dates.starts.insert(grant, declaration(self.inner, grant)?.effective_at);
                }
                Movement::Expired { grant, .. } => ends.push(grant),
                Movement::HoldExpired { hold, .. } => holds.push(hold),
                _ => {}
            }
        }
        let (mut moved, mut paid) = (HashMap::<GrantId, Option<Timestamp>>::new(), HashMap::new());
        for movement in due {
            if let Movement::RolledOver { grant, into, at, .. } = *movement {
                moved.insert(into, end_of_remainder(self.inner, grant, at)?);
            }
        }
        // Nothing was moved before it was declared, and its number is the position of its declaration.
        let oldest = ends.iter().map(|grant| grant.get()).chain(holds.iter().map(|hold| hold.get())).min();
        let Some(oldest) = oldest else { return Ok(dates) };
        let (inner, mut failed) = (self.inner, None);
        self.operations_below(operation, oldest, |record| {
            for movement in &record.body.movements {
                match *movement {
                    Movement::ExpiryMoved { grant, to, .. } if ends.contains(&grant) => {
                        moved.entry(grant).or_insert(to);
                    }
                    Movement::HoldMoved { hold, to, .. } if holds.contains(&hold) => {
                        dates.holds.entry(hold).or_insert(to);
                    }
                    Movement::Paid { grant, .. } if ends.contains(&grant) => {
                        paid.entry(grant).or_insert(record.time);
                    }
                    Movement::RolledOver { grant, into, at, .. } if ends.contains(&into) => {
                        match end_of_remainder(inner, grant, at) {
                            Ok(end) => drop(moved.entry(into).or_insert(end)),
                            Err(error) => failed = Some(error),
                        }
                    }
                    _ => {}
                }
            }
            let all_ends = ends.iter().all(|grant| moved.contains_key(grant));
            failed.is_some() || all_ends && dates.holds.len() == holds.len()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        for grant in ends {
            let end = match (moved.get(&grant), paid.get(&grant)) {
                (Some(end), _) => *end,
                (None, paid) => {
                    let declared = declaration(inner, grant)?;
                    match (paid, declared.declared.valid_for_ms) {
                        (Some(at), Some(ms)) => {
                            let begins = if declared.effective_at_given { declared.effective_at.max(*at) } else { *at };
                            Some(begins.saturating_add(ms))
                        }
                        _ => declared.expires_at,
                    }
                }
            };
            dates.ends.extend(end.map(|end| (grant, end)));
        }
        for hold in holds {
            if let Entry::Vacant(end) = dates.holds.entry(hold) {
                end.insert(inner.declared(hold)?.expires_at);
            }
        }
        Ok(dates)
    }

    /// The overdraft allowance in a generation.
    pub(super) fn allowance(&mut self, index: usize) -> Result<Amount, CommandError> {
        let set = |record: &OperationRecord<'_>| match record.body.operation {
            Operation::SetAllowance(allowance) if !record.body.rejected => Some(allowance),
            _ => None,
        };
        let mut was_changed = false;
        for newer in 0..index {
            let mut view = None;
            was_changed |= set(&*self.operation(newer, &mut view)?).is_some();
        }
        if !was_changed {
            return Ok(self.terms.allowance);
        }
        for index in index.. {
            if index == self.openings.len() && !self.load()? {
                return if matches!(self.below, Below::Retired) { Err(self.inner.retired()) } else { Ok(Amount::ZERO) };
            }
            if self.is_making(index) {
                break;
            }
            let mut view = None;
            if let Some(allowance) = set(&*self.operation(index, &mut view)?) {
                return Ok(allowance);
            }
        }
        Ok(Amount::ZERO)
    }

    /// Credits of grants that were held in a generation: what is held now, less what has been since, and with what has ceased to be.
    pub(super) fn reserved(&self, index: usize) -> Result<i128, CommandError> {
        let mut reserved = i128::from(self.terms.reserved().units());
        for newer in 0..index {
            let mut view = None;
            for movement in &self.operation(newer, &mut view)?.body.movements {
                match *movement {
                    Movement::Reserved { amount, .. } => reserved -= i128::from(amount.units()),
                    Movement::PartSpent { amount, .. } | Movement::Returned { amount, .. } => {
                        reserved += i128::from(amount.units());
                    }
                    _ => {}
                }
            }
        }
        Ok(reserved)
    }

    /// Whether a generation is the first, which no operation opened.
    pub(super) fn is_making(&self, index: usize) -> bool {
        index + 1 == self.openings.len() && matches!(self.below, Below::Nothing)
    }

    /// The whole record of the operation that opened a generation.
    pub(super) fn operation<'v>(
        &self,
        index: usize,
        view: &'v mut Option<SegmentView>,
    ) -> Result<Box<OperationRecord<'v>>, CommandError> {
        let at = self.openings[index].at;
        match journal::read_at(&self.inner.log, Lsn::new(at), view) {
            Err(_) if self.inner.is_retired(at) => Err(self.inner.retired()),
            Ok(Record::Operation(operation)) => Ok(operation),
            Ok(_) => Err(unreadable(Corrupt::Malformed("link to the opening before"))),
            Err(error) => Err(unreadable(error)),
        }
    }
}

/// When what rolled over of a grant that ended at an instant ends itself.
fn end_of_remainder(inner: &Inner, grant: GrantId, at: Timestamp) -> Result<Option<Timestamp>, CommandError> {
    let rollover = declaration(inner, grant)?.declared.rollover;
    Ok(rollover.and_then(|rollover| rollover.valid_for_ms).map(|ms| at.saturating_add(ms)))
}

/// A wallet's newest record, once it can be read: a record is linked before it is written.
fn newest_readable(inner: &Inner, slot: u32) -> Result<u64, CommandError> {
    let newest = inner.slab.get(slot).last_lsn();
    let durable = inner.log.wait_durable(inner.log.tail());
    durable.map_err(|poisoned| CommandError::Unavailable(poisoned_error(&poisoned)))?;
    Ok(newest)
}

/// From when on everything is in the log. Records that overtake each other are out of order by the time that one waits for room in the log.
fn horizon(inner: &Inner) -> Timestamp {
    if is_whole(&inner.log) {
        return Timestamp::EPOCH;
    }
    let first = super::time_at(inner, inner.log.first());
    first.map_or(Timestamp::from_millis(u64::MAX), |first| first.saturating_add(SKEW_MS))
}

/// Debits of a generation, as they are found from its end back.
struct Gathering {
    /// The generation's number, or that of one after it.
    number: Option<u32>,
    older_than: Option<u32>,
    since: Timestamp,
    /// The lowest balance that is known to lie before the cut.
    base: Option<Amount>,
    closing: Amount,
    /// Those behind it.
    found: Vec<Posting>,
    /// Their sum.
    sum: i128,
}

impl Gathering {
    fn is_of_generation(&self, number: u32) -> bool {
        match (self.number, self.older_than) {
            (Some(own), _) => own == number,
            (None, Some(newer)) => number.wrapping_sub(newer).cast_signed() < 0,
            (None, None) => true,
        }
    }

    /// Takes a debit if it is one of them. Whether nothing is missing any more.
    fn take(&mut self, lsn: u64, debit: &DebitRecord<'_>, after: Amount) -> bool {
        // What is below the closing balance of the present generation came after the reading.
        if !self.is_of_generation(debit.generation) || after < self.closing {
            return false;
        }
        if debit.time < self.since {
            if self.base.is_none_or(|base| after < base) {
                self.base = Some(after);
                self.found.retain(|posting| posting.after < after);
                self.sum = self.found.iter().map(|posting| i128::from(posting.amount.units())).sum();
            }
        } else if self.base.is_none_or(|base| after < base) {
            self.sum += i128::from(debit.amount.units());
            self.found.push(Posting {
                lsn,
                amount: debit.amount,
                after,
                time: debit.time,
                event_time: debit.event_time,
                metered: debit.metered,
            });
        }
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        let way = |base: Amount| i128::from(base.units()) - i128::from(self.closing.units());
        self.base.is_some_and(|base| self.sum == way(base))
    }

    /// All that was not found lies before the cut.
    fn settle(&mut self) {
        let highest = self.found.iter().map(|posting| posting.after.units() + posting.amount.units()).max();
        self.base = Some(Amount::new(highest.unwrap_or(self.closing.units())));
    }

    fn tile(mut self, slot: u32) -> Result<Tile, CommandError> {
        match self.base {
            Some(base) if self.is_complete() => {
                self.found.sort_unstable_by_key(|posting| std::cmp::Reverse(posting.after));
                Ok(Tile { base, debits: self.found })
            }
            _ => Err(inconsistent(
                slot,
                "the debits of a generation do not lead from its opening to its closing balance",
            )),
        }
    }
}
