//! Holds looked up: from a client's text to the wallet, and from the wallet's records to how a hold ended.

use super::keyed::is_effect_id;
use super::requests::{HoldState, HoldStatus, HoldView, Standing};
use super::{PREFIX, hold_fingerprint};
use crate::engine::catalog::Catalog;
use crate::engine::history::unreadable;
use crate::engine::names::Names;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::wallet::WalletGeneration;
use crate::engine::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::AdminRecord;
use crate::journal::hold::HoldRecord;
use crate::journal::operation::Body;
use crate::journal::{self, Record};
use crate::ledger::{Amount, HoldId, Movement, OnExceed, OpenHold, Operation, Scale, Timestamp, transition};
use crate::store::idempotency::Found;
use crate::store::{Guard, pin};
use drawdown_wal::{Lsn, SegmentView};
use std::sync::Arc;

/// Where a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: HoldId,
    pub(super) slot: u32,
}

/// What a text says of where a hold is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sought {
    /// All: it is one of our own making.
    Made(Place),
    /// Under which fingerprint its caller's id is remembered.
    Given { fingerprint: u64 },
}

/// How a hold ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) status: HoldStatus,
    /// What it had left, less late captures since.
    pub(super) left: Amount,
    pub(super) captured: Amount,
    pub(super) released: Amount,
}

impl Engine {
    /// A hold as it is now.
    pub fn hold_view(&self, text: &str) -> Result<HoldView, CommandError> {
        let inner = &*self.inner;
        let guard = pin();
        let place = inner.find_hold(text, &guard)?;
        inner.hold_view_of(place, inner.now(), &guard)
    }

    /// Open holds of a customer's wallets, in the currencies' order and then in the order in which they end; of one currency if given. Those
    /// behind `after`, `limit` at the most, and whether there are more.
    pub fn open_holds(
        &self,
        customer: &str,
        currency: Option<&str>,
        after: Option<HoldCursor>,
        limit: usize,
    ) -> Result<(Vec<(HoldCursor, HoldView)>, bool), CommandError> {
        let inner = &*self.inner;
        let (now, guard, catalog) = (inner.now(), pin(), inner.catalog.snapshot());
        if currency.is_some_and(|id| catalog.currency(id).is_none()) {
            return Err(CommandError::NotFound { what: "credit_currency" });
        }
        let mut found = Vec::new();
        for currency in catalog.currencies().iter().filter(|other| currency.is_none_or(|id| id == other.id)) {
            let wallet = inner.seed.wallet_hash(customer.as_bytes(), currency.number.0);
            let Some(slot) = inner.find(wallet, &guard) else { continue };
            let Some((terms, _)) = inner.read_at(slot, now, &guard) else { continue };
            for hold in terms.holds.iter().filter(|hold| !hold.is_freeze()) {
                let at = HoldCursor { currency: currency.number.0, expires_at: hold.expires_at, id: hold.id };
                if after.is_some_and(|after| at <= after) {
                    continue;
                }
                if found.len() == limit {
                    return Ok((found, true));
                }
                let place = Place { id: hold.id, slot };
                let record = inner.declared(hold.id)?;
                let view = inner.make_view(place, &record, HoldState::open(slot, hold))?;
                found.push((at, view));
            }
        }
        Ok((found, false))
    }
}

/// Tells to whom holds belong.
#[derive(Clone, Debug)]
pub struct HoldOwners<'a> {
    names: &'a Names,
    catalog: Arc<Catalog>,
}

impl Engine {
    /// For whoever asks to whom holds belong.
    pub fn hold_owners(&self) -> HoldOwners<'_> {
        HoldOwners { names: &self.inner.names, catalog: self.inner.catalog.snapshot() }
    }
}

impl HoldOwners<'_> {
    /// Customer and currency of a hold's wallet.
    pub fn owner(&self, state: &HoldState) -> Option<(&str, &str)> {
        let name = self.names.get(state.slot)?;
        let currency = self.catalog.currency_by_number(name.currency)?;
        Some((name.customer, &currency.id))
    }
}

/// A place in a list of open holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldCursor {
    /// The currency's number.
    pub currency: u16,
    /// When the hold ends.
    pub expires_at: Timestamp,
    /// The hold.
    pub id: HoldId,
}

impl HoldState {
    pub(super) fn open(slot: u32, hold: &OpenHold) -> Self {
        HoldState {
            id: hold.id,
            slot,
            status: HoldStatus::Open,
            amount: hold.amount,
            captured: minus(hold.amount, hold.remaining),
            remaining: hold.remaining,
            released: Amount::ZERO,
            expires_at: hold.expires_at,
            on_exceed: hold.on_exceed,
        }
    }

    pub(super) fn ended(place: Place, amount: Amount, ends: (Timestamp, OnExceed), ended: &Ended) -> Self {
        HoldState {
            id: place.id,
            slot: place.slot,
            status: ended.status,
            amount,
            captured: ended.captured,
            remaining: Amount::ZERO,
            released: ended.released,
            expires_at: ends.0,
            on_exceed: ends.1,
        }
    }
}

impl Inner {
    /// The hold that a client means.
    pub(super) fn find_hold(&self, text: &str, guard: &Guard) -> Result<Place, CommandError> {
        self.find_sought(self.seek_hold(text, guard)?, text, &mut None, guard)
    }

    /// Begins to look for the hold that a client means: whoever looks for several finds them in a second pass, when what that touches has come.
    pub(super) fn seek_hold(&self, text: &str, guard: &Guard) -> Result<Sought, CommandError> {
        if text.starts_with(PREFIX) {
            return self.find_made(text).map(Sought::Made).ok_or(MISSING);
        }
        // What an id is made of a key for is known by a text of our own.
        if text.is_empty() || text.len() > MAX_ID_BYTES || is_effect_id(text) {
            return Err(MISSING);
        }
        let fingerprint = hold_fingerprint(&self.seed, text);
        self.idempotency.prefetch(fingerprint, guard);
        Ok(Sought::Given { fingerprint })
    }

    /// Finds what [`Inner::seek_hold`] began to look for. `view` is storage for a segment of the log, the same one for several.
    pub(super) fn find_sought(
        &self,
        sought: Sought,
        text: &str,
        view: &mut Option<SegmentView>,
        guard: &Guard,
    ) -> Result<Place, CommandError> {
        let fingerprint = match sought {
            Sought::Made(place) => return Ok(place),
            Sought::Given { fingerprint } => fingerprint,
        };
        let mut strangers = Vec::new();
        loop {
            match self.idempotency.lookup(fingerprint, &strangers, guard) {
                Found::Finished { lsn } => match self.is_hold_of(lsn, text, view)? {
                    Some(place) => return Ok(place),
                    None => strangers.push(lsn),
                },
                // It is being made. Nobody has been told of it, and it may come to nothing.
                Found::InFlight(_) => return Err(MISSING),
                Found::Absent => break,
            }
        }
        let Some(runs) = self.spilled.runs(guard) else { return Err(MISSING) };
        let lsns = runs.lookup(fingerprint).map_err(|_| CommandError::Unavailable(Unavailable::Overloaded))?;
        let horizon = self.horizon.lsn();
        for lsn in lsns.into_iter().filter(|lsn| *lsn >= horizon) {
            // A run knows what was declared; of what never took effect the wallet knows nothing.
            if let Some(place) = self.is_hold_of(lsn, text, view)?
                && self.took_hold(place, guard)?
            {
                return Ok(place);
            }
        }
        Err(MISSING)
    }

    /// Whether the record at `lsn` declares a hold with that id of its caller's.
    fn is_hold_of(&self, lsn: u64, id: &str, view: &mut Option<SegmentView>) -> Result<Option<Place>, CommandError> {
        let place = |slot| Place { id: HoldId::new(lsn), slot };
        // What is not at hand, for whatever reason, is read with all care.
        if !self.is_retired(lsn)
            && let Ok(declared) = journal::declared_at(&self.log, Lsn::new(lsn), view)
        {
            return Ok(declared.filter(|(_, other)| *other == Some(id)).map(|(slot, _)| place(slot)));
        }
        let record = self.declaration_of(HoldId::new(lsn))?;
        let is_it = record.filter(|record| record.id.as_deref() == Some(id));
        Ok(is_it.map(|record| place(record.slot)))
    }

    /// The place that a text of our own making names. Whether a hold is there is for the wallet to say.
    fn find_made(&self, text: &str) -> Option<Place> {
        let digits = text.strip_prefix(PREFIX)?.as_bytes();
        let (number, rest) = digits.split_at_checked(digits.len().checked_sub(16)?)?;
        let (slot, check) = rest.split_at(8);
        // Zeros before it only as far as it is filled up with them.
        if !(12..=16).contains(&number.len()) || number.len() > 12 && number[0] == b'0' {
            return None;
        }
        let (id, slot) = (HoldId::new(hex(number)?), hex(slot)? as u32);
        let is_ours = hex(check)? as u32 == self.hold_check(id, slot);
        // A crash may have taken back the wallet that a text was made for.
        (is_ours && self.names.has(slot)).then_some(Place { id, slot })
    }

    /// The declaration of a hold, if the log or a snapshot has it.
    pub(super) fn declaration_of(&self, id: HoldId) -> Result<Option<HoldRecord>, CommandError> {
        if self.is_retired(id.get()) {
            return Ok(match self.retired_declaration(id.get())? {
                Some(AdminRecord::Hold(record)) => Some(record),
                _ => None,
            });
        }
        let mut view = None;
        match self.read_record(id.get(), &mut view) {
            Ok(Record::Admin(AdminRecord::Hold(record))) => Ok(Some(record)),
            Ok(_) => Ok(None),
            // It went while it was looked for.
            Err(_) if self.is_retired(id.get()) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// The declaration of a hold that a wallet has or had.
    pub(in crate::engine) fn declared(&self, id: HoldId) -> Result<HoldRecord, CommandError> {
        let gone = || if self.is_retired(id.get()) { self.retired() } else { MISSING };
        self.declaration_of(id)?.ok_or_else(gone)
    }

    /// Whether a declared hold took effect.
    pub(super) fn took_hold(&self, place: Place, guard: &Guard) -> Result<bool, CommandError> {
        let Some(reading) = self.slab.get(place.slot).read(guard) else { return Ok(false) };
        let terms = reading.generation.terms().get();
        if terms.open_hold(place.id).is_some() {
            return Ok(true);
        }
        match self.how_hold_ended(place, reading.generation) {
            Ok(_) => Ok(true),
            Err(CommandError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A hold as it is at `now`.
    pub(super) fn hold_view_of(&self, place: Place, now: Timestamp, guard: &Guard) -> Result<HoldView, CommandError> {
        let (state, _) = self.state_of(place, now, guard)?;
        self.make_view(place, &self.declared(place.id)?, state)
    }

    fn make_view(&self, place: Place, record: &HoldRecord, state: HoldState) -> Result<HoldView, CommandError> {
        let name = self.names.get(place.slot).ok_or(MISSING)?;
        let catalog = self.catalog.snapshot();
        let currency = catalog.currency_by_number(name.currency).ok_or(MISSING)?;
        Ok(HoldView {
            text: self.text_of(place.id, record),
            customer: name.customer.to_owned(),
            currency: Arc::clone(currency),
            created_at: record.created_at,
            state,
        })
    }

    /// A hold and its wallet as they are at `now`, from one reading.
    pub(super) fn state_of(
        &self,
        place: Place,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<(HoldState, Standing), CommandError> {
        let reading = self.slab.get(place.slot).read(guard).ok_or(MISSING)?;
        let present = reading.generation.terms().get();
        let balance = Amount::new(reading.balance);
        let due = present.deadline().is_some_and(|deadline| now >= deadline);
        let change = due.then(|| transition(&present, balance, &Operation::Due, now));
        let (terms, balance) =
            change.as_ref().map_or((&*present, balance), |change| (&change.terms, change.terms.opening));
        let standing = Standing { balance, available: terms.available(balance), scale: self.scale_of(place.slot) };
        if let Some(hold) = terms.open_hold(place.id) {
            return Ok((HoldState::open(place.slot, hold), standing));
        }
        if let Some(hold) = present.open_hold(place.id) {
            // It has expired without an operation having said so yet.
            let ended = Ended {
                status: HoldStatus::Expired,
                left: hold.remaining,
                captured: minus(hold.amount, hold.remaining),
                released: hold.remaining,
            };
            return Ok((HoldState::ended(place, hold.amount, (hold.expires_at, hold.on_exceed), &ended), standing));
        }
        let (ended, expires_at) = self.how_hold_ended(place, reading.generation)?;
        let record = self.declared(place.id)?;
        Ok((HoldState::ended(place, record.amount, (expires_at, record.on_exceed), &ended), standing))
    }

    /// Decimal places of the amounts in a wallet.
    pub(super) fn scale_of(&self, slot: u32) -> Scale {
        self.scale_in(&self.catalog.snapshot(), slot)
    }

    pub(super) fn scale_in(&self, catalog: &Catalog, slot: u32) -> Scale {
        let currency = self.names.get(slot).and_then(|name| catalog.currency_by_number(name.currency));
        currency.map_or_else(Scale::default, |currency| currency.scale)
    }

    /// How a hold ended that the terms of `generation` do not know, and its last end: the wallet's operations, from that generation's opening
    /// down.
    pub(super) fn how_hold_ended(
        &self,
        place: Place,
        generation: &WalletGeneration,
    ) -> Result<(Ended, Timestamp), CommandError> {
        let mut walk = Walk { id: place.id, late: Amount::ZERO, ended: None, expires_at: None };
        let mut next = generation.opened_at();
        while next >= place.id.get() {
            let mut view = None;
            let record = match self.read_record(next, &mut view) {
                Err(_) if self.is_retired(next) => return Err(self.retired()),
                record => record.map_err(unreadable)?,
            };
            let Record::Operation(operation) = record else { break };
            if operation.slot != place.slot {
                break;
            }
            if let Some(found) = walk.pass(&operation.body) {
                return Ok(found);
            }
            next = operation.previous_opening;
        }
        // It was declared, or its text was made for a declaration, and a crash or the rules kept it from taking effect.
        Err(MISSING)
    }
}

/// The number that up to sixteen lower-case hexadecimal digits write.
fn hex(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u64::from(value);
    }
    Some(number)
}

/// The way down a wallet's operations to a hold's beginning.
struct Walk {
    id: HoldId,
    /// Captured late.
    late: Amount,
    ended: Option<Ended>,
    /// Its last end.
    expires_at: Option<Timestamp>,
}

impl Walk {
    /// Looks at an operation. Answers once the hold's beginning has been reached.
    fn pass(&mut self, body: &Body<'_>) -> Option<(Ended, Timestamp)> {
        match body.operation {
            Operation::LateCapture { hold, .. } if hold == self.id && !body.rejected => {
                self.late = plus(self.late, body.taken.amount);
            }
            _ => {}
        }
        let id = self.id;
        for movement in body.movements.iter().rev().filter(|movement| movement.hold() == Some(id)) {
            match *movement {
                Movement::HoldMoved { to, .. } => self.expires_at = self.expires_at.or(Some(to)),
                Movement::Released { amount, .. } => {
                    let is_capture =
                        matches!(body.operation, Operation::Capture { .. }) && body.taken.amount > Amount::ZERO;
                    let status = if is_capture { HoldStatus::Captured } else { HoldStatus::Released };
                    self.end(status, amount);
                }
                Movement::HoldExpired { amount, .. } => self.end(HoldStatus::Expired, amount),
                Movement::Captured { .. } => {
                    self.end(HoldStatus::Captured, Amount::ZERO);
                    let ended = self.ended.as_mut()?;
                    ended.captured = plus(ended.captured, body.taken.amount);
                }
                Movement::Held { amount: _, .. } => {
                    let Operation::Hold(new) = body.operation else { return None };
                    let mut ended = self.ended?;
                    ended.left = minus(ended.left, self.late).max(Amount::ZERO);
                    ended.captured = plus(ended.captured, self.late);
                    return Some((ended, self.expires_at.unwrap_or(new.expires_at)));
                }
                _ => {}
            }
        }
        None
    }

    /// Notes how it ended, unless that is known from a later record.
    fn end(&mut self, status: HoldStatus, left: Amount) {
        self.ended.get_or_insert(Ended { status, left, captured: Amount::ZERO, released: left });
    }
}

const MISSING: CommandError = CommandError::NotFound { what: "hold" };

fn minus(one: Amount, other: Amount) -> Amount {
    one.checked_sub(other).unwrap_or(Amount::ZERO)
}

fn plus(one: Amount, other: Amount) -> Amount {
    one.checked_add(other).unwrap_or(Amount::MAX)
}
