//! What the store's slots hold here: the ledger's terms, its operations, and the driver that joins rules and log.

use super::budget::Budget;
use super::joint::{self, Own, WalletGroup, WalletGroupEffects};
use super::kept::Kept;
use super::shared::shared;
use super::{Inner, Slab};
use crate::journal::debit::Metered;
use crate::journal::frame::{Prelude, kind};
use crate::journal::keyed::Keyed;
use crate::journal::note::Note;
use crate::journal::operation::{self as record, OperationRecord, Repair};
use crate::journal::snapshot::entry::{EntryTerms, WalletEntry};
use crate::ledger::{self, Amount, Effects, Operation, Rejection, SingleChange, Taken, Timestamp};
use crate::store::slot::group::{Closed, Ended, JointOpening};
use crate::store::slot::{Driver, Opening, Rules, Slot};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::LazyLock;

/// The kind of wallet that the engine keeps.
#[derive(Debug)]
pub(super) struct WalletRules;

/// A wallet's slot.
pub(super) type WalletSlot = Slot<WalletRules>;

/// A wallet's generation.
pub(super) type WalletGeneration = crate::store::slot::Generation<WalletRules>;

impl Rules for WalletRules {
    type Terms = Kept;
    type Operation = WalletOperation;
    type Effects = WalletEffects;
    type Group = WalletGroup;
    type GroupEffects = WalletGroupEffects;
}

/// An operation with everything that its record says about where it came from.
#[derive(Debug)]
pub(super) struct WalletOperation {
    /// What is asked.
    pub(super) operation: Operation,
    /// The server's time at which the rules are applied.
    pub(super) at: Timestamp,
    /// The event behind a debit.
    pub(super) event: Option<OwnedEvent>,
    /// What recovery mended.
    pub(super) repair: Repair,
    /// What was said about a correction.
    pub(super) note: Option<Box<Note>>,
    /// Under which key an operation on a hold was asked for.
    pub(super) keyed: Option<Box<Keyed>>,
}

/// The event behind a debit that took the slow path.
#[derive(Debug)]
pub(super) struct OwnedEvent {
    /// The sender's id.
    pub(super) id: Box<str>,
    /// The sender.
    pub(super) source: Box<str>,
    /// The event's own time, or the server's.
    pub(super) time: Timestamp,
    /// Meter and quantity.
    pub(super) metered: Option<Metered>,
}

/// What an operation did.
#[derive(Debug)]
pub(super) struct WalletEffects {
    /// What a debit took, or why the operation was refused.
    pub(super) result: Result<Taken, Rejection>,
    /// What happened on the way.
    pub(super) effects: Effects,
}

static EMPTY: LazyLock<ledger::Terms> = LazyLock::new(ledger::Terms::new);

impl WalletOperation {
    /// An operation that no event is behind.
    pub(super) fn new(operation: Operation, at: Timestamp) -> Self {
        WalletOperation { operation, at, event: None, repair: Repair::default(), note: None, keyed: None }
    }

    /// An operation that corrects.
    pub(super) fn noted(operation: Operation, at: Timestamp, note: Note) -> Self {
        WalletOperation { note: Some(Box::new(note)), ..WalletOperation::new(operation, at) }
    }

    /// An upper bound of the log bytes that recording it as the end of `terms` takes, its frame included.
    pub(super) fn log_bytes(&self, terms: &ledger::Terms) -> u64 {
        Budget::frame_bytes(Prelude::length("") + self.record_bound(terms))
    }

    /// An upper bound of the bytes of its record as the end of `terms`.
    pub(super) fn record_bound(&self, terms: &ledger::Terms) -> usize {
        let event = self.event.as_ref().map_or(0, |event| event.id.len() + event.source.len());
        record::length_bound(terms, &self.operation, event, &self.repair, self.note.as_deref())
    }

    /// As [`WalletOperation::log_bytes`], of terms as they are kept.
    pub(super) fn log_bytes_after(&self, terms: &Kept) -> u64 {
        match terms.whole() {
            // A lot more than none.
            None => self.log_bytes(&EMPTY) + 256,
            Some(terms) => self.log_bytes(terms),
        }
    }
}

/// Available credit less balance: a constant of the generation.
pub(super) fn adjustment(terms: &ledger::Terms) -> i64 {
    terms.available(Amount::ZERO).units()
}

/// The next generation's terms: the store's view of [`ledger::transition`].
pub(super) fn close(
    terms: Cow<'_, ledger::Terms>,
    closing: i64,
    operation: &WalletOperation,
) -> (ledger::Terms, WalletEffects) {
    let change = ledger::transition_of(terms, Amount::new(closing), &operation.operation, operation.at);
    (change.terms, WalletEffects { result: change.result, effects: change.effects })
}

/// As [`close`], of an operation on a hold in a wallet where that is simple.
fn close_single(terms: &Kept, closing: i64, operation: &WalletOperation) -> Option<(Kept, WalletEffects)> {
    let single = terms.single()?;
    let SingleChange { next, taken, movements } =
        single.change(Amount::new(closing), &operation.operation, operation.at)?;
    let effects = Effects { movements, ..Effects::default() };
    Some((next.into(), WalletEffects { result: Ok(taken), effects }))
}

/// Opens a zeroed slot as a fold had left it. The caller is alone with the slot.
pub(super) fn restore(slot: &WalletSlot, key: u64, entry: WalletEntry<'_>) {
    let mut terms = entry.terms;
    if let EntryTerms::Whole(whole) = &mut terms
        && whole.inherited > 0
    {
        let whole = whole.to_mut();
        whole.levels = whole.levels.take().map(shared);
    }
    let generation = WalletGeneration::new(entry.generation, entry.opened_at, terms.into());
    slot.open_at(key, entry.last_lsn, generation, entry.balance, entry.lowest.cast_unsigned());
}

/// Drives one wallet's slot for one thread.
#[derive(Clone, Copy)]
pub(super) struct WalletDriver<'a> {
    /// The wallet.
    pub(super) handle: u32,
    /// Log space that this thread may use without waiting.
    pub(super) budget: &'a Budget<'a>,
    /// All wallets.
    pub(super) slab: &'a Slab<WalletSlot>,
    /// What of the budget is for a group of this thread's own.
    pub(super) own: Option<Own>,
}

impl<'a> WalletDriver<'a> {
    /// For an operation on a wallet.
    pub(super) fn new(inner: &'a Inner, handle: u32, budget: &'a Budget<'a>) -> Self {
        WalletDriver { handle, budget, slab: &inner.slab, own: None }
    }
}

/// The longest record whose memory is kept for the next one, bytes.
const RECORD_KEPT_MAX: usize = 64 << 10;

thread_local! {
    /// Memory in which this thread makes records up.
    static RECORD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl WalletDriver<'_> {
    /// Appends the record of an operation, which is made up in `record`.
    fn append(&self, slot: &WalletSlot, opening: &Opening<'_, WalletRules>, record: &mut Vec<u8>) -> Option<u64> {
        let (operation, new) = (opening.operation, opening.new.terms());
        let head = record::Head {
            slot: self.handle,
            generation: opening.new.number() as u32,
            closing: Amount::new(opening.closing),
            opening: new.opening_balance(),
            previous_opening: opening.old.opened_at(),
            time: operation.at,
            adjustment: new.available(Amount::ZERO).units(),
        };
        write_kept(&head, operation, opening.effects, new, record);
        let prelude = Prelude { time: operation.at, source: "" };
        let distance = Prelude::length("");
        let length = distance + record.len();
        let mut frame = self.budget.reserve_beside(Own::kept(self.own), kind::OPERATION, length)?;
        let lsn = frame.payload_lsn().get() + distance as u64;
        // In this order: no debit of the new generation may be linked before its opening is.
        let previous = slot.link(lsn);
        record::place(record, distance as u32, previous, opening.new.claim(lsn));
        let payload = frame.payload_mut();
        prelude.write(payload);
        payload[distance..length].copy_from_slice(record);
        frame.publish(length, 1);
        Some(lsn)
    }
}

impl Driver<WalletRules> for WalletDriver<'_> {
    fn close(&self, terms: &Kept, closing: i64, operation: &WalletOperation) -> (Kept, WalletEffects) {
        if operation.operation.hold().is_some()
            && let Some(done) = close_single(terms, closing, operation)
        {
            return done;
        }
        let (terms, effects) = close(terms.get(), closing, operation);
        (terms.into(), effects)
    }

    fn log(&self, slot: &WalletSlot, opening: &Opening<'_, WalletRules>) -> Option<u64> {
        let mut record = RECORD.take();
        let lsn = self.append(slot, opening, &mut record);
        if record.capacity() <= RECORD_KEPT_MAX {
            RECORD.set(record);
        }
        lsn
    }

    fn of(&self, handle: u32) -> Self {
        WalletDriver { handle, ..*self }
    }

    fn slot(&self, handle: u32) -> &WalletSlot {
        self.slab.get(handle)
    }

    fn close_group(
        &self,
        group: &WalletGroup,
        members: &[Ended<'_, WalletRules>],
    ) -> (Vec<Closed<WalletRules>>, WalletGroupEffects) {
        joint::close_group(group, members)
    }

    fn log_group(&self, opening: &JointOpening<'_, WalletRules>) -> Option<u64> {
        joint::log_group(self, opening)
    }
}

/// Writes the record of an operation, but for what depends on its place, in place of what `out` has.
fn write_kept(
    head: &record::Head,
    operation: &WalletOperation,
    effects: &WalletEffects,
    new: &Kept,
    out: &mut Vec<u8>,
) {
    if operation.operation.hold().is_none() {
        return write(head, operation, effects, &new.get(), out);
    }
    let done = record::OnHold {
        operation: &operation.operation,
        keyed: operation.keyed.as_deref(),
        result: effects.result,
        effects: &effects.effects,
    };
    new.with_lots(|lots, levels| {
        let lots = lots.iter().map(|lot| (lot.id, lot.remaining));
        record::write_hold(head, done, lots, levels, out);
    });
}

/// As [`write_kept`], of terms that are not kept.
fn write(
    head: &record::Head,
    operation: &WalletOperation,
    effects: &WalletEffects,
    new: &ledger::Terms,
    out: &mut Vec<u8>,
) {
    let event = operation.event.as_ref().map(|event| record::Event {
        id: &event.id,
        source: &event.source,
        time: event.time,
        metered: event.metered,
    });
    let (repair, note) = (operation.repair.clone(), operation.note.clone());
    let body = record::body(&operation.operation, event, effects.result, &effects.effects, new, repair, note);
    let record = OperationRecord {
        slot: head.slot,
        generation: head.generation,
        closing: head.closing,
        opening: head.opening,
        previous: 0,
        previous_opening: head.previous_opening,
        counts: 0,
        time: head.time,
        adjustment: head.adjustment,
        body: record::Body { keyed: operation.keyed.clone(), ..body },
    };
    record.write(out);
}

/// The record of an operation, but for what depends on its place.
pub(super) fn encode(
    head: &record::Head,
    operation: &WalletOperation,
    effects: &WalletEffects,
    new: &ledger::Terms,
) -> Vec<u8> {
    let mut out = Vec::new();
    write(head, operation, effects, new, &mut out);
    out
}
