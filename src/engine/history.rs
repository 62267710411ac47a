//! A wallet's history: its chain of records, walked back through the log from the newest.
//!
//! Every record carries the wallet's record before it, so the history needs no index and no memory. What makes the walk careful:
//! - an operation may stand in the log in several identical copies; the one that counts is the one that the next opening names;
//! - what recovery mended after a crash (see [`super::repairs`]) overrides what the records say.

use super::catalog::Catalog;
use super::identity::counting;
use super::openings::{GenerationOpening, Openings};
use super::view::{CommandError, CorrectionRef, EntriesPage, Entry, EntryKind, EventRef, HoldRef, TransferRef};
use super::{Engine, Inner};
use crate::journal::debit::{DebitRecord, Metered};
use crate::journal::note::{Note, NoteKind};
use crate::journal::operation::{Event, Names, OperationRecord};
use crate::journal::{self, Corrupt, Record};
use crate::ledger::{Amount, GrantId, HoldId, Movement, Operation, Timestamp};
use crate::store::pin;
use drawdown_wal::{Lsn, SegmentView};
use std::sync::Arc;

impl Engine {
    /// The wallet's entries before the entry `before` (or the newest), newest first; about `limit` of them: the entries of one record
    /// are not torn apart. Blocks until what it shows is durable, one sync at the most.
    ///
    /// Where the log has been retired the history goes down to the first entry whose record is there, and that of the opening of its
    /// generation if that is not the present one; what lies below is [`CommandError::Retired`].
    pub fn entries(
        &self,
        customer: &str,
        currency: &str,
        before: Option<Lsn>,
        limit: usize,
    ) -> Result<EntriesPage, CommandError> {
        let inner = &*self.inner;
        let guard = pin();
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        let reading = inner.slab.get(slot).read(&guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let newest = inner.slab.get(slot).last_lsn();
        // A record is linked before it is written. All that the chain leads to has been reserved by now, so once the log is durable up to
        // here it can be read; and nothing is shown that a crash could still take back.
        self.durable_barrier().wait()?;
        let (number, opened_at) = (reading.generation.number(), reading.generation.opened_at());
        let openings = Openings::from(&inner.log, slot, number, opened_at, &reading.generation.terms().get());
        let walk = Walk { inner, slot, openings, newest: number as u32, next: newest, view: None };
        walk.page(before, limit).map_err(|error| match error {
            WalkError::NotAnEntry => {
                CommandError::Invalid { field: "before", detail: "is no entry of this wallet".to_owned() }
            }
            WalkError::Retired => inner.retired(),
            WalkError::Corrupt(error) => unreadable(error),
        })
    }
}

/// The log behind a wallet cannot be read. It was checked when the server started, so the disk has changed under it.
pub(super) fn unreadable(error: Corrupt) -> CommandError {
    CommandError::Unavailable(super::view::Unavailable::Poisoned(format!("the log cannot be read: {error}")))
}

enum WalkError {
    NotAnEntry,
    Retired,
    Corrupt(Corrupt),
}

impl From<Corrupt> for WalkError {
    fn from(error: Corrupt) -> Self {
        WalkError::Corrupt(error)
    }
}

/// The way down a wallet's chain.
struct Walk<'a> {
    inner: &'a Inner,
    slot: u32,
    openings: Openings<'a>,
    /// The generation that the wallet was read in. An operation is linked before the generation that it opens is there to be read, so
    /// the chain may begin ahead of it: with what came after the reading, and is left to the next reader.
    newest: u32,
    next: u64,
    view: Option<SegmentView>,
}

impl Walk<'_> {
    fn page(mut self, before: Option<Lsn>, limit: usize) -> Result<EntriesPage, WalkError> {
        let catalog = self.inner.catalog.snapshot();
        if let Some(before) = before {
            self.jump_below(before.get())?;
        }
        let mut entries = Vec::new();
        let mut last = None;
        while self.next != 0 && entries.len() < limit {
            let lsn = self.next;
            match self.step(|walk, lsn, record| walk.push_entries(&catalog, lsn, record, &mut entries)) {
                Ok(()) => last = Some(Lsn::new(lsn)),
                // Whoever asks for the next page is told.
                Err(WalkError::Retired) if !entries.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(EntriesPage { entries, next: last.filter(|_| self.next != 0) })
    }

    /// Goes to just below the record `target`, if it is one of this wallet's.
    fn jump_below(&mut self, target: u64) -> Result<(), WalkError> {
        if self.inner.is_retired(target) {
            return Err(WalkError::Retired);
        }
        if !self.inner.is_record(target) {
            return Err(WalkError::NotAnEntry);
        }
        self.next = target;
        self.step(|_, _, _| Ok(())).map_err(|error| match error {
            WalkError::Retired => WalkError::Retired,
            WalkError::NotAnEntry | WalkError::Corrupt(_) => WalkError::NotAnEntry,
        })
    }

    /// Visits the next record down and moves on below it.
    fn step(
        &mut self,
        visit: impl FnOnce(&mut Self, u64, &Record<'_>) -> Result<(), WalkError>,
    ) -> Result<(), WalkError> {
        let lsn = self.next;
        let mut view = self.view.take();
        let record = match journal::read_at(&self.inner.log, Lsn::new(lsn), &mut view) {
            Err(_) if self.inner.is_retired(lsn) => return Err(WalkError::Retired),
            record => record?,
        };
        let (slot, previous) = match &record {
            Record::Debit(debit) => (debit.slot, debit.previous),
            Record::Operation(operation) => (operation.slot, operation.previous),
            Record::Admin(_) => return Err(Corrupt::Malformed("link to the record before").into()),
        };
        if slot != self.slot {
            return Err(Corrupt::Malformed("link to the record before").into());
        }
        if !self.inner.repairs.is_dropped(lsn) {
            visit(self, lsn, &record)?;
        }
        if let Record::Operation(operation) = &record {
            self.openings.pass(counting(&self.inner.log, lsn, operation), operation.generation);
        }
        self.next = self.inner.repairs.previous(lsn).unwrap_or(previous);
        self.view = view;
        Ok(())
    }

    /// How a generation began, which has a record at or below the present one. Its opening is looked for from both sides: along the openings
    /// from the newest down, and along the chain from here down; in a long history either may be far.
    fn opening(&mut self, generation: u32) -> Result<&GenerationOpening, WalkError> {
        let mut scout = Scout { next: self.next, view: None };
        while !self.openings.knows(generation) {
            match scout.step(self.inner, self.slot) {
                Some((at, number)) => self.openings.pass(at, number),
                None if scout.next != 0 => {}
                None => {
                    // Asked twice, for what the first asking borrows.
                    if let Err(error) = self.openings.find(generation) {
                        let is_retired = self.openings.position().is_some_and(|at| self.inner.is_retired(at));
                        return Err(if is_retired { WalkError::Retired } else { error.into() });
                    }
                }
            }
            if !self.openings.knows(generation) {
                // What cannot be read here may be found by the scout, and is told when the scout has ended.
                let _ = self.openings.step_down(generation);
            }
        }
        Ok(self.openings.find(generation)?)
    }

    fn push_entries(
        &mut self,
        catalog: &Catalog,
        lsn: u64,
        record: &Record<'_>,
        entries: &mut Vec<Entry>,
    ) -> Result<(), WalkError> {
        let generation = match record {
            Record::Debit(debit) => debit.generation,
            Record::Operation(operation) => operation.generation,
            Record::Admin(_) => return Ok(()),
        };
        if generation.wrapping_sub(self.newest).cast_signed() > 0 {
            return Ok(());
        }
        match record {
            Record::Debit(debit) => entries.push(self.debit_entry(catalog, lsn, debit)?),
            // Another copy counts: pass.
            Record::Operation(operation) if self.opening(operation.generation)?.at != lsn => {}
            Record::Operation(operation) => {
                let mut of_record = operation_entries(catalog, lsn, operation, |_| true);
                name_other_side(self.inner, operation, &mut of_record).map_err(|_| Corrupt::Malformed("transfer"))?;
                entries.extend(of_record.into_iter().rev());
            }
            Record::Admin(_) => {}
        }
        Ok(())
    }

    fn debit_entry(&mut self, catalog: &Catalog, lsn: u64, debit: &DebitRecord<'_>) -> Result<Entry, WalkError> {
        let after = self.inner.repairs.balance_after(lsn).unwrap_or(debit.balance_after);
        after.checked_add(debit.amount).ok_or(Corrupt::Malformed("balance"))?;
        Ok(debit_entry(catalog, lsn, debit, after, self.opening(debit.generation)?))
    }
}

/// The entry of a debit of a generation that left the balance `after`.
pub(super) fn debit_entry(
    catalog: &Catalog,
    lsn: u64,
    debit: &DebitRecord<'_>,
    after: Amount,
    opening: &GenerationOpening,
) -> Entry {
    let before = after.checked_add(debit.amount).unwrap_or(after);
    let allocation = opening.allocate(before, after);
    let event = Event { id: debit.id, source: debit.source, time: debit.event_time, metered: debit.metered };
    Entry {
        event: Some(event_ref(catalog, &event)),
        allocations: allocation.parts,
        debt: allocation.debt,
        ..plain_entry(lsn, EntryKind::Debit, negative(debit.amount), after, debit.time)
    }
}

/// Looks ahead down the chain for operations.
struct Scout {
    /// 0 when there is nothing more to be seen.
    next: u64,
    view: Option<SegmentView>,
}

impl Scout {
    /// Looks at one record: where the copy of an operation stands that counts, and which generation it opened.
    fn step(&mut self, inner: &Inner, slot: u32) -> Option<(u64, u32)> {
        let lsn = std::mem::take(&mut self.next);
        if lsn == 0 {
            return None;
        }
        let (owner, previous, found) = match journal::read_at(&inner.log, Lsn::new(lsn), &mut self.view).ok()? {
            Record::Debit(debit) => (debit.slot, debit.previous, None),
            Record::Operation(operation) => {
                let at = counting(&inner.log, lsn, &operation);
                (operation.slot, operation.previous, Some((at, operation.generation)))
            }
            Record::Admin(_) => return None,
        };
        if owner == slot {
            self.next = inner.repairs.previous(lsn).unwrap_or(previous);
        }
        found
    }
}

fn plain_entry(lsn: u64, kind: EntryKind, amount: Amount, balance_after: Amount, time: Timestamp) -> Entry {
    Entry {
        entry: Lsn::new(lsn),
        kind,
        amount,
        balance_after,
        time,
        allocations: Vec::new(),
        debt: Amount::ZERO,
        event: None,
        grant: None,
        crossed: Vec::new(),
        correction: None,
        hold: None,
        held: Amount::ZERO,
    }
}

/// The entries of one operation, oldest first; of its movements those at the places that `wanted` wants.
pub(super) fn operation_entries(
    catalog: &Catalog,
    lsn: u64,
    record: &OperationRecord<'_>,
    wanted: impl Fn(usize) -> bool,
) -> Vec<Entry> {
    let body = &record.body;
    let mut balance = record.closing;
    let mut entries = Vec::new();
    let (mut given_back, mut transferred) = (false, false);
    for (place, movement) in body.movements.iter().enumerate() {
        if is_transferred(movement) {
            if !transferred {
                transferred = true;
                let transfer = transfer_entry(lsn, record, balance);
                balance = transfer.balance_after;
                entries.push(transfer);
            }
            continue;
        }
        if gives_back(movement) {
            if !given_back {
                given_back = true;
                let reversal = reversal_entry(lsn, record, balance);
                balance = reversal.balance_after;
                entries.push(reversal);
            }
            continue;
        }
        let delta = Amount::new(i64::try_from(movement.delta()).unwrap_or_default());
        balance = balance.checked_add(delta).unwrap_or(balance);
        if !wanted(place) {
            continue;
        }
        entries.extend(match frozen_by(&body.operation, movement) {
            Some(grant) => freeze_entry(lsn, record, movement, grant, balance),
            None => hold_entry(lsn, record, movement, balance),
        });
        let Some(entry) = movement_entry(lsn, movement, record.time) else { continue };
        let mut entry = Entry { balance_after: balance, ..entry };
        if let (Operation::Grant(made), Some(note)) = (&body.operation, &body.note)
            && matches!(movement, Movement::Granted { grant, .. } if *grant == made.id)
        {
            (entry.kind, entry.correction) = (EntryKind::Adjustment, Some(Box::new(correction_ref(note, None))));
        }
        entries.push(entry);
    }
    match &body.operation {
        Operation::Debit { .. } | Operation::Charge { .. } | Operation::ClawBack { .. } if !body.rejected => {
            entries.push(operation_debit(catalog, lsn, record));
        }
        Operation::LateCapture { hold, .. } if !body.rejected => {
            let debit = operation_debit(catalog, lsn, record);
            entries.push(Entry {
                kind: EntryKind::LateCapture,
                hold: Some(HoldRef { id: *hold, slot: record.slot }),
                ..debit
            });
        }
        Operation::SetStatus(_)
        | Operation::SetAllowance(_)
        | Operation::SetLevels(_)
        | Operation::InheritLevels { .. }
        | Operation::SetCommitments(_)
            if !body.rejected =>
        {
            entries.push(plain_entry(lsn, EntryKind::Settings, Amount::ZERO, record.opening, record.time));
        }
        _ => {}
    }
    if let Some(last) = entries.last_mut() {
        last.crossed = line_names(&body.crossed);
    }
    entries
}

/// The grant that a movement freezes or thaws, or of which it takes what is frozen.
pub(super) fn frozen_by(operation: &Operation, movement: &Movement) -> Option<GrantId> {
    let (Operation::FreezeGrant { grant, .. } | Operation::ThawGrant { grant } | Operation::ClawBack { grant, .. }) =
        operation
    else {
        return None;
    };
    movement.hold().filter(|hold| *hold == HoldId::freezing(*grant)).map(|_| *grant)
}

/// What a movement of what is frozen of a grant shows as, if as anything. What is taken back of it is part of the claw-back's entry.
fn freeze_entry(
    lsn: u64,
    record: &OperationRecord<'_>,
    movement: &Movement,
    grant: GrantId,
    balance: Amount,
) -> Option<Entry> {
    let (kind, amount, held) = match *movement {
        Movement::Held { amount, .. } => (EntryKind::Freeze, amount, amount),
        Movement::Released { amount, .. } => (EntryKind::Thaw, amount, negative(amount)),
        _ => return None,
    };
    let plain = plain_entry(lsn, kind, Amount::ZERO, balance, record.time);
    Some(Entry { grant: Some(grant), allocations: vec![(grant, amount)], held, ..plain })
}

/// What a movement of a hold shows as, if as anything. Which grants were concerned is told by other movements of the record.
fn hold_entry(lsn: u64, record: &OperationRecord<'_>, movement: &Movement, balance: Amount) -> Option<Entry> {
    let (kind, held) = match *movement {
        Movement::Held { amount, .. } => (EntryKind::Hold, amount),
        Movement::Captured { amount, .. } => (EntryKind::Capture, negative(amount)),
        Movement::Released { amount, .. } => (EntryKind::Release, negative(amount)),
        Movement::HoldExpired { amount, .. } => (EntryKind::HoldExpiry, negative(amount)),
        Movement::HoldMoved { .. } => (EntryKind::Settings, Amount::ZERO),
        _ => return None,
    };
    let hold = movement.hold()?;
    let mut entry = Entry {
        hold: Some(HoldRef { id: hold, slot: record.slot }),
        held,
        ..plain_entry(lsn, kind, Amount::ZERO, balance, record.time)
    };
    for other in &record.body.movements {
        match (kind, *other) {
            (EntryKind::Hold, Movement::Reserved { hold: of, grant, amount })
            | (EntryKind::Capture, Movement::PartSpent { hold: of, grant, amount })
            | (EntryKind::Release | EntryKind::HoldExpiry, Movement::Returned { hold: of, grant, amount })
                if of == hold =>
            {
                entry.allocations.push((grant, amount));
            }
            // A capture takes these, too; nothing else in its record does.
            (EntryKind::Capture, Movement::Spent { grant, amount }) => entry.allocations.push((grant, amount)),
            (EntryKind::Capture, Movement::Overdrawn { amount }) => entry.debt = amount,
            _ => {}
        }
    }
    if kind == EntryKind::Capture {
        let taken = record.body.taken.amount;
        entry.amount = negative(taken);
        entry.balance_after = balance.checked_sub(taken).unwrap_or(balance);
    }
    Some(entry)
}

/// The entry of a hold whose time was over, but for the balance after it, given all that fell due; `None` for other movements.
pub(super) fn hold_end_entry<'m>(
    lsn: u64,
    slot: u32,
    movement: &Movement,
    due: impl Iterator<Item = &'m Movement>,
    time: Timestamp,
) -> Option<Entry> {
    let Movement::HoldExpired { hold, amount } = *movement else { return None };
    let returned = due.filter_map(|other| match *other {
        Movement::Returned { hold: of, grant, amount } if of == hold => Some((grant, amount)),
        _ => None,
    });
    let plain = plain_entry(lsn, EntryKind::HoldExpiry, Amount::ZERO, Amount::ZERO, time);
    Some(Entry {
        hold: Some(HoldRef { id: hold, slot }),
        held: negative(amount),
        allocations: returned.collect(),
        ..plain
    })
}

/// The entry of a movement, but for the balance after it; `None` for those that are parts of another entry.
pub(super) fn movement_entry(lsn: u64, movement: &Movement, time: Timestamp) -> Option<Entry> {
    let (kind, grant, amount) = movement_kind(movement)?;
    let delta = Amount::new(i64::try_from(movement.delta()).unwrap_or_default());
    let mut allocations: Vec<_> = grant.map(|grant| (grant, amount)).into_iter().collect();
    if let Movement::RolledOver { grant: ended, .. } = movement {
        // What gave stands before what took.
        allocations.insert(0, (*ended, amount));
    }
    Some(Entry { allocations, grant, ..plain_entry(lsn, kind, delta, Amount::ZERO, time) })
}

/// The entry of a debit that was an operation; its movements say who paid.
fn operation_debit(catalog: &Catalog, lsn: u64, record: &OperationRecord<'_>) -> Entry {
    let (mut allocations, mut debt, mut held) = (Vec::<(GrantId, Amount)>::new(), Amount::ZERO, Amount::ZERO);
    for movement in &record.body.movements {
        match *movement {
            // What was frozen of a grant, and then what was free of it.
            Movement::PartSpent { grant, amount, .. } => {
                held = negative(amount);
                allocations.push((grant, amount));
            }
            Movement::Spent { grant, amount } => match allocations.last_mut() {
                Some((last, sum)) if *last == grant => *sum = sum.checked_add(amount).unwrap_or(*sum),
                _ => allocations.push((grant, amount)),
            },
            Movement::Overdrawn { amount } => debt = amount,
            _ => {}
        }
    }
    let amount = negative(record.body.taken.amount);
    let note = record.body.note.as_ref();
    let kind = match note.map(|note| note.kind) {
        Some(NoteKind::Adjustment) => EntryKind::Adjustment,
        Some(NoteKind::Charge) => EntryKind::Charge,
        Some(NoteKind::Reversal | NoteKind::Transfer) | None => EntryKind::Debit,
    };
    Entry {
        event: record.body.event.as_ref().map(|event| event_ref(catalog, event)),
        allocations,
        debt,
        held,
        correction: note.map(|note| Box::new(correction_ref(note, None))),
        ..plain_entry(lsn, kind, amount, record.opening, record.time)
    }
}

/// Whether a movement is part of a reversal's entry.
fn gives_back(movement: &Movement) -> bool {
    matches!(
        movement,
        Movement::GivenBack { .. }
            | Movement::Reopened { .. }
            | Movement::DebtReturned { .. }
            | Movement::Forfeited { .. }
    )
}

/// The entry of a reversal, which found the wallet at the balance `before`.
fn reversal_entry(lsn: u64, record: &OperationRecord<'_>, before: Amount) -> Entry {
    let (mut allocations, mut debt, mut sum) = (Vec::new(), Amount::ZERO, Amount::ZERO);
    for movement in record.body.movements.iter().filter(|movement| gives_back(movement)) {
        let delta = Amount::new(i64::try_from(movement.delta()).unwrap_or_default());
        sum = sum.checked_add(delta).unwrap_or(sum);
        match *movement {
            Movement::GivenBack { grant, amount } | Movement::Reopened { grant, amount } => {
                allocations.push((grant, amount));
            }
            Movement::DebtReturned { amount } => debt = amount,
            _ => {}
        }
    }
    let debit = match &record.body.operation {
        Operation::Reverse(reversal) => Some(Lsn::new(reversal.debit)),
        _ => None,
    };
    let after = before.checked_add(sum).unwrap_or(before);
    Entry {
        allocations,
        debt,
        correction: record.body.note.as_ref().map(|note| Box::new(correction_ref(note, debit))),
        ..plain_entry(lsn, EntryKind::Reversal, sum, after, record.time)
    }
}

/// Whether a movement is part of a transfer's entry.
fn is_transferred(movement: &Movement) -> bool {
    matches!(movement, Movement::TransferredOut { .. } | Movement::TransferredIn { .. })
}

/// The entry of one side of a transfer, which found the wallet at the balance `before`. The other side is named by [`name_other_side`].
fn transfer_entry(lsn: u64, record: &OperationRecord<'_>, before: Amount) -> Entry {
    let moved = record.body.movements.iter().filter(|movement| is_transferred(movement));
    let (mut allocations, mut sum) = (Vec::new(), Amount::ZERO);
    let mut kind = EntryKind::TransferOut;
    for movement in moved {
        let delta = Amount::new(i64::try_from(movement.delta()).unwrap_or_default());
        sum = sum.checked_add(delta).unwrap_or(sum);
        match *movement {
            Movement::TransferredIn { grant, amount } => {
                kind = EntryKind::TransferIn;
                allocations.push((grant, amount));
            }
            Movement::TransferredOut { grant, amount } => allocations.push((grant, amount)),
            _ => {}
        }
    }
    let after = before.checked_add(sum).unwrap_or(before);
    Entry {
        allocations,
        correction: record.body.note.as_ref().map(|note| Box::new(correction_ref(note, None))),
        ..plain_entry(lsn, kind, sum, after, record.time)
    }
}

/// Names the other side of a transfer in its entries.
pub(super) fn name_other_side(
    inner: &Inner,
    record: &OperationRecord<'_>,
    entries: &mut [Entry],
) -> Result<(), CommandError> {
    let Some(other) = record.body.note.as_ref().and_then(|note| note.other) else { return Ok(()) };
    for entry in entries.iter_mut() {
        let gives = match entry.kind {
            EntryKind::TransferOut => true,
            EntryKind::TransferIn => false,
            _ => continue,
        };
        let missing = || unreadable(Corrupt::Malformed("frame of a transfer"));
        let other_entry = inner.other_entry(entry.entry, other)?.ok_or_else(missing)?;
        let transfer = if gives { entry.entry } else { other_entry };
        let customer = inner.names.get(other).map(|name| name.customer.to_string()).ok_or_else(missing)?;
        if let Some(correction) = &mut entry.correction {
            correction.transfer = Some(TransferRef { transfer, entry: other_entry, customer });
        }
    }
    Ok(())
}

fn correction_ref(note: &Note, reverses: Option<Lsn>) -> CorrectionRef {
    CorrectionRef { reason: note.reason.clone(), invoice: note.invoice.clone(), reverses, transfer: None }
}

/// How a movement shows in the history; `None` for those that are parts of another entry.
fn movement_kind(movement: &Movement) -> Option<(EntryKind, Option<GrantId>, Amount)> {
    if matches!(movement, Movement::Voided { amount: Amount::ZERO, .. }) {
        // What is held goes when the hold ends, and is told then.
        return None;
    }
    Some(match *movement {
        Movement::Granted { grant, amount } | Movement::Activated { grant, amount } => {
            (EntryKind::Grant, Some(grant), amount)
        }
        Movement::Scheduled { grant, amount } => (EntryKind::GrantScheduled, Some(grant), amount),
        Movement::DebtPaid { grant, amount } => (EntryKind::DebtRepayment, Some(grant), amount),
        Movement::Expired { grant, amount } => (EntryKind::Expiry, Some(grant), amount),
        Movement::AwaitsPayment { grant, amount } => (EntryKind::GrantPending, Some(grant), amount),
        Movement::Paid { grant, amount } => (EntryKind::GrantPaid, Some(grant), amount),
        Movement::RolledOver { into, amount, .. } => (EntryKind::Rollover, Some(into), amount),
        Movement::Voided { grant, amount } | Movement::ScheduledVoided { grant, amount } => {
            (EntryKind::Void, Some(grant), amount)
        }
        Movement::ExpiryMoved { grant, amount, .. } => (EntryKind::Settings, Some(grant), amount),
        Movement::WrittenOff { grant, amount } => (EntryKind::WriteOff, Some(grant), amount),
        Movement::DebtWrittenOff { amount } => (EntryKind::WriteOff, None, amount),
        Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::Depleted { .. }
        | Movement::GivenBack { .. }
        | Movement::Reopened { .. }
        | Movement::DebtReturned { .. }
        | Movement::Forfeited { .. }
        | Movement::TransferredOut { .. }
        | Movement::TransferredIn { .. }
        | Movement::Reserved { .. }
        | Movement::PartSpent { .. }
        | Movement::Returned { .. }
        // Those of holds have entries of their own.
        | Movement::Held { .. }
        | Movement::Captured { .. }
        | Movement::Released { .. }
        | Movement::HoldExpired { .. }
        | Movement::HoldMoved { .. } => return None,
    })
}

/// The event behind a debit, with the meter's name.
pub(super) fn event_ref(catalog: &Catalog, event: &Event<'_>) -> EventRef {
    let named = |metered: Metered| {
        let name = catalog.meter_by_number(metered.meter).map_or_else(String::new, |meter| meter.event_type.clone());
        (name, metered.quantity)
    };
    EventRef {
        id: event.id.to_owned(),
        source: event.source.to_owned(),
        time: event.time,
        metered: event.metered.map(named),
    }
}

/// Names of crossed lines, highest first.
pub(super) fn line_names(names: &Names<'_>) -> Vec<Arc<str>> {
    let levels = names.levels.iter().rev().map(|name| Arc::from(*name));
    levels.chain(names.depleted.then(|| "depleted".into())).chain(names.negative.then(|| "negative".into())).collect()
}

fn negative(amount: Amount) -> Amount {
    amount.checked_neg().unwrap_or(amount)
}
