//! Corrections: debits taken back, credits given and taken by operators or moved between wallets, invoices paid from wallets.
//!
//! Each but for transfers (`transfer`) is one operation on one wallet, whose record carries a [`Note`]: what it is, under which key it
//! was asked for, and why. The record is all there is to it. It is the identity of its key, as a debit's record is its event's
//! (`super::identity`), and what it is shown as is read back from it; so corrections take no memory, and survive whatever the log survives.
//!
//! What of a debit has been taken back already is told by the wallet's own row of operations, too: see `reversal.rs`.

mod adjustment;
mod charge;
mod reversal;
mod transfer;
pub mod view;

use super::budget::Budget;
use super::history::{line_names, unreadable};
use super::identity::note_fingerprint;
use super::joint::crossed;
use super::view::{CommandError, Unavailable};
use super::wallet::{WalletDriver, WalletOperation, WalletRules, adjustment};
use super::{Engine, Inner};
use crate::catalog::CreditCurrency;
use crate::journal::Record;
use crate::journal::note::{Note, NoteKind};
use crate::journal::operation::OperationRecord;
use crate::ledger::{Amount, Movement, Operation, Rejection, Taken, Timestamp, transition};
use crate::store::idempotency::Claim;
use crate::store::slot::Reading;
use crate::store::{Guard, pin};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// Separates the checks in corrections' texts from other hashes.
const TEXT_DOMAIN: u8 = 17;

/// The longest reason, in bytes.
const MAX_REASON_BYTES: usize = 500;
/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// A correction that took place, as its record says.
#[derive(Debug)]
struct Done {
    /// The record.
    lsn: Lsn,
    slot: u32,
    time: Timestamp,
    operation: Operation,
    note: Note,
    taken: Taken,
    movements: Vec<Movement>,
    /// The balance after it.
    balance: Amount,
    /// What was available after it.
    available: Amount,
    crossed: Vec<Arc<str>>,
}

impl Done {
    fn of(lsn: u64, record: OperationRecord<'_>) -> Option<Done> {
        let note = record.body.note.filter(|_| !record.body.rejected)?;
        Some(Done {
            lsn: Lsn::new(lsn),
            slot: record.slot,
            time: record.time,
            operation: record.body.operation,
            note: *note,
            taken: record.body.taken,
            movements: record.body.movements,
            balance: record.opening,
            available: Amount::new(record.opening.units().saturating_add(record.adjustment)),
            crossed: line_names(&record.body.crossed),
        })
    }
}

impl Engine {
    /// The text by which clients know a charge.
    pub fn charge_text(&self, entry: Lsn) -> String {
        self.inner.correction_text(NoteKind::Charge, entry)
    }

    /// The text by which clients know an adjustment.
    pub fn adjustment_text(&self, entry: Lsn) -> String {
        self.inner.correction_text(NoteKind::Adjustment, entry)
    }

    /// The text by which clients know a transfer, given the entry of the wallet that credits left.
    pub fn transfer_text(&self, entry: Lsn) -> String {
        self.inner.correction_text(NoteKind::Transfer, entry)
    }

    /// The text by which clients know a reversal.
    pub fn reversal_text(&self, entry: Lsn) -> String {
        self.inner.correction_text(NoteKind::Reversal, entry)
    }
}

/// The beginning of the texts of a kind.
const fn prefix(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Adjustment => "adj_",
        NoteKind::Charge => "chg_",
        NoteKind::Reversal => "rev_",
        NoteKind::Transfer => "trf_",
    }
}

impl Inner {
    pub(super) fn correction_text(&self, kind: NoteKind, entry: Lsn) -> String {
        format!("{}{:012x}{:08x}", prefix(kind), entry.get(), self.correction_check(kind, entry.get()))
    }

    fn correction_check(&self, kind: NoteKind, number: u64) -> u32 {
        let bytes = [prefix(kind).as_bytes(), &number.to_le_bytes()].concat();
        self.seed.key_fingerprint(TEXT_DOMAIN, &bytes) as u32
    }

    fn parse_correction(&self, kind: NoteKind, text: &str) -> Option<u64> {
        let digits = text.strip_prefix(prefix(kind))?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits.len() < 20 || !is_hex {
            return None;
        }
        let (number, check) = digits.split_at(digits.len() - 8);
        let canonical = number.len() == 12 || !number.starts_with('0');
        let number = u64::from_str_radix(number, 16).ok()?;
        (canonical && u32::from_str_radix(check, 16).ok()? == self.correction_check(kind, number)).then_some(number)
    }

    /// The correction of that text.
    fn find_correction(&self, kind: NoteKind, what: &'static str, text: &str) -> Result<Done, CommandError> {
        let missing = CommandError::NotFound { what };
        let Some(lsn) = self.parse_correction(kind, text) else { return Err(missing) };
        if self.is_retired(lsn) {
            return Err(self.retired());
        }
        if Lsn::new(lsn) >= self.log.tail() {
            return Err(missing);
        }
        if Lsn::new(lsn) >= self.log.durable() {
            // As with grants: clients have the text of what is durable.
            self.log.wait_durable(self.log.tail()).map_err(|poisoned| super::ticket::poisoned_error(&poisoned))?;
        }
        // The text may be of one that a crash took back, and something else may stand at its place by now.
        if !self.is_record(lsn) {
            return Err(missing);
        }
        self.correction_at(lsn)?.filter(|done| done.note.kind == kind).ok_or(missing)
    }

    /// The correction that the record at `lsn` carried out, if it did one.
    fn correction_at(&self, lsn: u64) -> Result<Option<Done>, CommandError> {
        let mut view = None;
        match self.read_record(lsn, &mut view) {
            Ok(Record::Operation(operation)) => Ok(Done::of(lsn, *operation)),
            Ok(_) => Ok(None),
            // What was retired since it was looked up lay outside of the idempotency window: it stands for nothing any more.
            Err(_) if self.is_retired(lsn) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Carries out a correction once: `make` does, unless the key leads to an earlier one. Answers whether it did.
    ///
    /// `is_same` compares an earlier one under the key with what is asked for now.
    fn once(
        &self,
        key: Option<&str>,
        is_same: impl Fn(&Done) -> bool,
        make: impl FnOnce() -> Result<Done, CommandError>,
    ) -> Result<(Done, bool), CommandError> {
        let Some(key) = key else { return Ok((make()?, false)) };
        self.room.check()?;
        let fingerprint = note_fingerprint(&self.seed, key);
        let compare = |done: Done| {
            if is_same(&done) {
                return Ok(done);
            }
            Err(CommandError::Conflict {
                slug: "idempotency_conflict",
                detail: "the key was used before with other content".to_owned(),
            })
        };
        let mut strangers = Vec::new();
        loop {
            let guard = pin();
            match self.idempotency.claim(fingerprint, &strangers, &guard) {
                Claim::New(entry) => {
                    if let Some(done) = self.spilled_correction(fingerprint, key, &guard)? {
                        return Ok((compare(done)?, true));
                    }
                    // An error gives the claim up, as dropping it does.
                    let done = make()?;
                    entry.finish(done.lsn.get());
                    return Ok((done, false));
                }
                Claim::Existing { lsn } => match self.correction_at(lsn)?.filter(|done| has_key(done, key)) {
                    Some(done) => return Ok((compare(done)?, true)),
                    None => strangers.push(lsn),
                },
                Claim::InFlight(_) => {}
            }
            // Either it was in flight, or it was another's and the next look tells more.
            drop(guard);
            self.wait_settled(fingerprint);
        }
    }

    /// The correction that was made under this key, if a run leads to it.
    fn spilled_correction(&self, fingerprint: u64, key: &str, guard: &Guard) -> Result<Option<Done>, CommandError> {
        let Some(runs) = self.spilled.runs(guard) else { return Ok(None) };
        let lsns = runs.lookup(fingerprint).map_err(|_| CommandError::Unavailable(Unavailable::Overloaded))?;
        let horizon = self.horizon.lsn();
        for lsn in lsns.into_iter().filter(|lsn| *lsn >= horizon) {
            if let Some(done) = self.correction_at(lsn)?.filter(|done| has_key(done, key)) {
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    /// Ends the wallet's present generation with the operation that `plan` makes of a reading of it, unless the rules refuse it. The
    /// operation applies to the generation that it was planned on, or is planned again: nothing that `plan` was told has changed but the
    /// balance, downwards.
    fn carry_out(
        &self,
        handle: u32,
        guard: &Guard,
        mut plan: impl FnMut(&Reading<'_, WalletRules>) -> Result<WalletOperation, CommandError>,
    ) -> Result<Done, CommandError> {
        let slot = self.slab.get(handle);
        loop {
            let reading = slot.read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
            let operation = plan(&reading)?;
            let terms = &*reading.generation.terms().get();
            let trial = transition(terms, Amount::new(reading.balance), &operation.operation, operation.at);
            if let Err(rejection) = trial.result {
                return Err(CommandError::Rejected(rejection));
            }
            let (asked, note, at) = (operation.operation.clone(), operation.note.clone(), operation.at);
            // Room for the record, and for copies of what others have begun.
            let budget = Budget(self.admit_wait(operation.log_bytes(terms) * 2 + (16 << 10))?);
            let driver = WalletDriver::new(self, handle, &budget);
            let Ok(changed) = slot.change(&driver, reading.generation, operation, guard) else { continue };
            self.counters.operation();
            let new = &*changed.generation.terms().get();
            match changed.effects.result {
                // A debit was quicker between the reading and the end of the generation.
                Err(Rejection::Superseded) => {}
                Err(rejection) => return Err(CommandError::Rejected(rejection)),
                Ok(taken) => {
                    return Ok(Done {
                        lsn: Lsn::new(changed.generation.opened_at()),
                        slot: handle,
                        time: at,
                        operation: asked,
                        note: *note.expect("a correction has a note"),
                        taken,
                        movements: changed.effects.effects.movements.clone(),
                        balance: new.opening,
                        available: Amount::new(new.opening.units().saturating_add(adjustment(new))),
                        crossed: crossed(new, &changed.effects.effects.crossed),
                    });
                }
            }
        }
    }

    /// The wallet that a correction was made on.
    fn wallet_of(&self, done: &Done) -> Result<(String, Arc<CreditCurrency>), CommandError> {
        let name = self.names.get(done.slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        let catalog = self.catalog.snapshot();
        let currency = catalog.currency_by_number(name.currency);
        let currency = currency.ok_or(CommandError::NotFound { what: "credit_currency" })?;
        Ok((name.customer.to_owned(), Arc::clone(currency)))
    }

    /// Whether a correction was made on this wallet.
    fn is_of(&self, done: &Done, customer: &str, currency: &CreditCurrency) -> bool {
        let name = self.names.get(done.slot);
        name.is_some_and(|name| *name.customer == *customer && name.currency == currency.number)
    }
}

fn has_key(done: &Done, key: &str) -> bool {
    done.note.key.as_deref() == Some(key)
}

/// Checks what people wrote about a correction.
fn check_note(key: Option<&str>, reason: Option<&str>) -> Result<(), CommandError> {
    if let Some(key) = key {
        super::grants::check_text("key", key, MAX_KEY_BYTES)?;
    }
    if let Some(reason) = reason {
        super::grants::check_text("reason", reason, MAX_REASON_BYTES)?;
    }
    Ok(())
}
