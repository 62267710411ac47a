//! Statements: what moved a wallet's balance in a period, summed up.

use super::super::catalog::{Catalog, CreditCurrency};
use super::super::history::{debit_entry, hold_end_entry, movement_entry, name_other_side, operation_entries};
use super::super::openings::GenerationOpening;
use super::super::view::{CommandError, Entry};
use super::super::{Engine, Inner};
use super::due::Due;
use super::lines::{DebtSide, Ledger, LineKind, QuantitySum, booking};
use super::timeline::{Posting, Timeline};
use super::{check_period, currency_of, declaration, inconsistent};
use crate::journal::note::NoteKind;
use crate::journal::{self, Record};
use crate::ledger::{Amount, Category, Movement, Operation, Source, Timestamp};
use crate::store::pin;
use drawdown_wal::{Lsn, SegmentView};
use std::sync::Arc;

/// A wallet's statement. `opening` and the amounts of all lines make `closing`, exactly.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// The first instant of the period.
    pub from: Timestamp,
    /// The first instant behind it.
    pub to: Timestamp,
    /// When it was made: of a period that has not ended it tells what has happened so far.
    pub as_of: Timestamp,
    /// The balance when the period began.
    pub opening: Amount,
    /// The balance when it ended, or now.
    pub closing: Amount,
    /// By kind, then by source and category, or by meter.
    pub lines: Vec<StatementLine>,
    /// What became of debt meanwhile. It is part of the lines: not to be added to them.
    pub debt: DebtMoved,
    /// The entries behind the lines, oldest first, if they were asked for. Their balances follow from one another.
    pub entries: Vec<Entry>,
}

/// One line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    /// What it is about.
    pub kind: LineKind,
    /// For grants: where they came from.
    pub grant: Option<(Source, Category)>,
    /// For debits: the meter; `None` for those that no meter measured.
    pub meter: Option<String>,
    /// For debits of a meter: what was measured.
    pub quantity: Option<QuantitySum>,
    /// What it added to the balance, in smallest units: negative for what was taken.
    pub amount: i128,
    /// How many grants, debits, ...
    pub count: u64,
}

/// What became of debt in a period, in smallest units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DebtMoved {
    /// Parts of debits that no grant paid.
    pub incurred: i128,
    /// Parts of grants that paid debt.
    pub repaid: i128,
}

impl Engine {
    /// What moved a wallet's balance from the instant `from` on and before the instant `to`. Movements count by the server's time of their
    /// records, in the ledger's order; grants take effect and end when they say so. Of a period that reaches into the future it tells what
    /// has happened so far. With `entries`, so many of them at most: a period that has more is refused.
    ///
    /// Statements of adjoining periods add up. A statement that did not would be [`CommandError::Inconsistent`].
    pub fn statement(
        &self,
        customer: &str,
        currency: &str,
        from: Timestamp,
        to: Timestamp,
        entries: Option<usize>,
    ) -> Result<Statement, CommandError> {
        let inner = &*self.inner;
        let slot = inner.locate_wallet(customer, currency, &pin())?;
        check_period(from, to)?;
        let mut timeline = Timeline::of(inner, slot)?;
        let catalog = inner.catalog.snapshot();
        let (first, last) = (timeline.generation_at(from)?, timeline.generation_at(to)?);
        let before = timeline.due(first, from)?;
        let within = timeline.due(last, to)?;
        let mut draft =
            Draft { inner, catalog: &catalog, ledger: Ledger::default(), entries: entries.map(Entries::up_to) };
        let (mut opening, mut closing) = (0, 0);
        for index in (last..=first).rev() {
            if index != first {
                draft.operation(&mut timeline, index, &before)?;
            }
            let since = if index == first { from } else { Timestamp::EPOCH };
            let tile = timeline.debits(index, since)?;
            if index == first {
                opening = i128::from(tile.base.units()) + before.delta();
                draft.begin(opening);
            }
            let in_time = tile.debits.iter().filter(|posting| index != last || posting.time < to);
            let end = in_time.map(|posting| posting.after).fold(tile.base, Amount::min);
            draft.debits(&timeline, index, tile.debits.iter().take_while(|posting| posting.after >= end))?;
            closing = i128::from(end.units());
        }
        draft.due(&timeline, &before, &within)?;
        closing += within.delta();
        let ledger = draft.ledger;
        if opening + ledger.sum() != closing {
            return Err(inconsistent(slot, "a statement's lines do not lead from its opening to its closing balance"));
        }
        let debt = DebtMoved { incurred: ledger.incurred, repaid: ledger.repaid };
        let entries = draft.entries.map(|entries| entries.finish(slot, closing)).transpose()?.unwrap_or_default();
        let amount = |units: i128| {
            i64::try_from(units).map(Amount::new).map_err(|_| inconsistent(slot, "a past balance does not fit"))
        };
        Ok(Statement {
            currency: currency_of(inner, currency)?,
            from,
            to,
            as_of: timeline.now,
            opening: amount(opening)?,
            closing: amount(closing)?,
            lines: shown(&ledger, &catalog),
            debt,
            entries,
        })
    }
}

/// The lines with their meters' names.
fn shown(ledger: &Ledger, catalog: &Catalog) -> Vec<StatementLine> {
    let name = |number| catalog.meter_by_number(number).map_or_else(String::new, |meter| meter.event_type.clone());
    let line = |(key, tally): (&super::lines::LineKey, &super::lines::Tally)| StatementLine {
        kind: key.kind,
        grant: key.grant,
        meter: key.meter.map(name),
        quantity: key.meter.map(|_| tally.quantity),
        amount: tally.amount,
        count: tally.count,
    };
    ledger.lines.iter().map(line).collect()
}

/// A statement being drawn up, oldest movements first.
struct Draft<'a> {
    inner: &'a Inner,
    catalog: &'a Catalog,
    ledger: Ledger,
    entries: Option<Entries>,
}

impl Draft<'_> {
    fn begin(&mut self, opening: i128) {
        if let Some(entries) = &mut self.entries {
            entries.balance = opening;
        }
    }

    /// Books what an operation did, save what had been due before the period.
    fn operation(&mut self, timeline: &mut Timeline<'_>, index: usize, before: &Due) -> Result<(), CommandError> {
        let mut view = None;
        let mut record = timeline.operation(index, &mut view)?;
        timeline.tell_apart(index, &mut record)?;
        let is_within = |place: usize| !before.holds(Some(index), place);
        let metered = record.body.event.as_ref().and_then(|event| event.metered);
        let is_debit = matches!(
            record.body.operation,
            Operation::Debit { .. } | Operation::Charge { .. } | Operation::ClawBack { .. }
        );
        let mut was_used = is_debit && !record.body.rejected;
        let note = record.body.note.as_ref().map(|note| note.kind);
        for (place, movement) in record.body.movements.iter().enumerate() {
            if is_within(place) {
                was_used |= booking(movement).line == Some(LineKind::Used);
                self.movement(movement, metered.map(|metered| metered.meter), note)?;
            }
        }
        if was_used {
            let tally = self.ledger.taken(metered.map(|metered| metered.meter), note);
            tally.count += 1;
            if let Some(metered) = metered {
                tally.quantity.add(metered.quantity);
            }
        }
        let counted = match record.body.operation {
            Operation::Reverse(_) => Some(LineKind::Reversed),
            Operation::TransferOut { .. } => Some(LineKind::TransferredOut),
            Operation::TransferIn { .. } => Some(LineKind::TransferredIn),
            _ => None,
        };
        if let Some(kind) = counted.filter(|_| !record.body.rejected) {
            self.ledger.line(kind, None).count += 1;
        }
        if let Some(entries) = &mut self.entries {
            let mut of_record = operation_entries(self.catalog, timeline.opening(index).at, &record, is_within);
            name_other_side(self.inner, &record, &mut of_record)?;
            entries.take(of_record)?;
        }
        Ok(())
    }

    fn movement(
        &mut self,
        movement: &Movement,
        meter: Option<u16>,
        note: Option<NoteKind>,
    ) -> Result<(), CommandError> {
        let booking = booking(movement);
        match booking.line {
            // The debit is counted once, however many grants paid it.
            Some(LineKind::Used) => self.ledger.taken(meter, note).amount += movement.delta(),
            // So is what was taken back, to however many it went, and what went to another wallet or came from one.
            Some(kind @ (LineKind::Reversed | LineKind::TransferredOut | LineKind::TransferredIn)) => {
                self.ledger.line(kind, None).amount += movement.delta();
            }
            // All of the grant is held, and goes when the holds end.
            Some(LineKind::Voided) if movement.delta() == 0 => {}
            Some(kind) => {
                let is_given = matches!(movement, Movement::Granted { .. }) && note == Some(NoteKind::Adjustment);
                let kind = if is_given { LineKind::Adjusted } else { kind };
                let origin = match (kind, movement.grant()) {
                    (LineKind::Granted, Some(grant)) => {
                        let declared = declaration(self.inner, grant)?;
                        Some((declared.source, declared.category))
                    }
                    _ => None,
                };
                let tally = self.ledger.line(kind, origin);
                tally.amount += movement.delta();
                tally.count += 1;
            }
            None => {}
        }
        let moved = moved_debt(movement);
        match booking.debt {
            Some(DebtSide::Incurred) => self.ledger.incurred += moved,
            Some(DebtSide::Repaid) => self.ledger.repaid += moved,
            None => {}
        }
        Ok(())
    }

    /// Books debits of a generation.
    fn debits<'p>(
        &mut self,
        timeline: &Timeline<'_>,
        index: usize,
        debits: impl Iterator<Item = &'p Posting>,
    ) -> Result<(), CommandError> {
        let mut debits = debits.peekable();
        if debits.peek().is_none() {
            return Ok(());
        }
        // Of a generation whose opening is not known it is known what was held: as long as there is more, something is free, and there is
        // no debt.
        let (opening, free_from) = if timeline.opening(index).is_unknown() && self.entries.is_none() {
            (None, timeline.reserved(index)?)
        } else {
            let opening = generation(timeline, index)?;
            let free_from = opening.free_from();
            (Some(opening), free_from)
        };
        let mut view = None;
        for posting in debits {
            let (amount, after) = (i128::from(posting.amount.units()), i128::from(posting.after.units()));
            let tally = self.ledger.used(posting.metered.map(|metered| metered.meter));
            tally.amount -= amount;
            tally.count += 1;
            if let Some(metered) = posting.metered {
                tally.quantity.add(metered.quantity);
            }
            // Within a generation debt begins where nothing is left that is not held.
            self.ledger.incurred += amount.min((free_from - after).max(0));
            if let (Some(entries), Some(opening)) = (&mut self.entries, &opening) {
                entries.take([debit_of(self.inner, self.catalog, posting, opening, &mut view)?])?;
            }
        }
        Ok(())
    }

    /// Books what fell due at the end of the period and is not booked with its operation.
    fn due(&mut self, timeline: &Timeline<'_>, before: &Due, within: &Due) -> Result<(), CommandError> {
        let new = within.movements.iter().filter(|(place, ..)| !before.holds(within.recorded, *place));
        let lsn = within.recorded.map_or(0, |operation| timeline.opening(operation).at);
        for (_, movement, date) in new {
            self.movement(movement, None, None)?;
            if let Some(entries) = &mut self.entries {
                let due = within.movements.iter().map(|(_, movement, _)| movement);
                entries.take(hold_end_entry(lsn, timeline.slot, movement, due, *date))?;
                entries.take(movement_entry(lsn, movement, *date))?;
            }
        }
        Ok(())
    }
}

/// The debt that a movement incurred or paid.
fn moved_debt(movement: &Movement) -> i128 {
    match *movement {
        Movement::Overdrawn { amount } | Movement::DebtPaid { amount, .. } | Movement::DebtReturned { amount } => {
            i128::from(amount.units())
        }
        _ => 0,
    }
}

/// How a generation began, for the allocations of its debits.
fn generation(timeline: &Timeline<'_>, index: usize) -> Result<GenerationOpening, CommandError> {
    if index == 0 {
        return Ok(GenerationOpening::of_terms(timeline.opening(0).at, &timeline.terms));
    }
    if timeline.is_making(index) {
        return Ok(GenerationOpening::of_making(timeline.opening(index).at));
    }
    let mut view = None;
    let record = timeline.operation(index, &mut view)?;
    Ok(GenerationOpening::of_record(timeline.opening(index).at, &record))
}

fn debit_of(
    inner: &Inner,
    catalog: &Catalog,
    posting: &Posting,
    opening: &GenerationOpening,
    view: &mut Option<SegmentView>,
) -> Result<Entry, CommandError> {
    match journal::read_at(&inner.log, Lsn::new(posting.lsn), view) {
        Ok(Record::Debit(debit)) => Ok(debit_entry(catalog, posting.lsn, &debit, posting.after, opening)),
        Err(_) if inner.is_retired(posting.lsn) => Err(inner.retired()),
        Ok(_) => Err(super::super::history::unreadable(journal::Corrupt::Malformed("debit"))),
        Err(error) => Err(super::super::history::unreadable(error)),
    }
}

/// The entries of a statement, as they come.
struct Entries {
    all: Vec<Entry>,
    max: usize,
    /// After the last of them.
    balance: i128,
}

impl Entries {
    fn up_to(max: usize) -> Self {
        Entries { all: Vec::new(), max, balance: 0 }
    }

    /// Takes the next entries. What fell due before the period or in it is not always told with its operation, so balances are counted
    /// along.
    fn take(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), CommandError> {
        for mut entry in entries {
            if self.all.len() == self.max {
                let detail = format!("the period has more than {} entries: ask for a shorter one", self.max);
                return Err(CommandError::Invalid { field: "to", detail });
            }
            self.balance += i128::from(entry.amount.units());
            entry.balance_after = Amount::new(i64::try_from(self.balance).unwrap_or_default());
            self.all.push(entry);
        }
        Ok(())
    }

    fn finish(self, slot: u32, closing: i128) -> Result<Vec<Entry>, CommandError> {
        if self.balance == closing {
            Ok(self.all)
        } else {
            Err(inconsistent(slot, "a statement's entries do not lead to its closing balance"))
        }
    }
}
