//! Grants: credits added to wallets, looked up, voided, and their ends moved.
//!
//! A grant is declared first, in a record that holds all that never changes about it, and takes effect with the operation that names it.
//! The declaration's LSN *is* the grant's number: whoever has it finds everything else in the log, so grants take no memory beyond the
//! wallet that they are in. The text that clients see carries a keyed check, so that no number can be made up.

mod list;
mod special;

pub use list::GrantsPage;
pub(super) use special::rollover_of;

use super::budget::Budget;
use super::catalog::CreditCurrency;
use super::history::unreadable;
use super::ticket::{Ticket, poisoned_error};
use super::view::{CommandError, CostBasis, GrantOutcome, GrantRequest, GrantState, GrantView, Metadata, Unavailable};
use super::wallet::WalletOperation;
use super::wallets::WALLET_BYTES_MAX;
use super::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::Record;
use crate::journal::admin::{AdminRecord, Declared, GrantRecord};
use crate::journal::frame::Prelude;
use crate::journal::operation::Body;
use crate::ledger::{Amount, GrantId, Lot, Movement, NewGrant, Operation, Rejection, Terms, Timestamp, transition};
use crate::store::hash::Seed;
use crate::store::idempotency::{Claim, Entry};
use crate::store::{Guard, pin};
use drawdown_wal::Lsn;
pub(super) use special::Declaration;
use special::special_of;
use std::sync::Arc;

/// Separates the fingerprints of grants' keys from those of events.
const KEY_DOMAIN: u8 = 1;
/// Separates the checks in grants' texts from other hashes.
const TEXT_DOMAIN: u8 = 2;

const MAX_METADATA_PAIRS: usize = 50;
const MAX_METADATA_KEY_BYTES: usize = 40;
const MAX_METADATA_VALUE_BYTES: usize = 500;

impl Engine {
    /// Makes grants, each on its own; one outcome a request, in order. A wallet is made by its first grant.
    pub fn grant(&self, requests: &[GrantRequest]) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
        self.grant_or_recall(requests, true)
    }

    /// The grants that these requests made, found by their keys. What was not made is not made now.
    pub fn recall_grants(&self, requests: &[GrantRequest]) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
        self.grant_or_recall(requests, false)
    }

    fn grant_or_recall(
        &self,
        requests: &[GrantRequest],
        makes: bool,
    ) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let outcome = match inner.grant(request, now, makes) {
                Ok((view, replayed)) => GrantOutcome { result: Ok(view), replayed },
                // Grants made so far stand, and the caller hears of them.
                Err(CommandError::Unavailable(error)) if outcomes.is_empty() => return Err(error),
                Err(error) => GrantOutcome { result: Err(error), replayed: false },
            };
            outcomes.push(outcome);
        }
        Ok((outcomes, self.barrier()))
    }

    /// The text by which clients know a grant.
    pub fn grant_text(&self, id: GrantId) -> String {
        self.inner.grant_text(id)
    }

    /// A grant as it is now.
    pub fn grant_view(&self, text: &str) -> Result<GrantView, CommandError> {
        let inner = &*self.inner;
        let declaration = inner.find_grant(text)?;
        inner.view_of(declaration, inner.now())
    }

    /// Takes back what is left of a grant. Repeating it is success.
    pub fn void_grant(&self, text: &str) -> Result<(GrantView, Ticket), CommandError> {
        self.change_grant(text, |grant| Operation::Void { grant })
    }

    /// Moves the end of a grant that has not ended.
    pub fn move_expiry(&self, text: &str, expires_at: Option<Timestamp>) -> Result<(GrantView, Ticket), CommandError> {
        self.change_grant(text, |grant| Operation::MoveExpiry { grant, expires_at })
    }

    fn change_grant(
        &self,
        text: &str,
        operation: impl FnOnce(GrantId) -> Operation,
    ) -> Result<(GrantView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let declaration = inner.find_grant(text)?;
        let now = inner.now();
        let guard = pin();
        if declaration.is_rolled_over {
            // The number may be of a grant that has not come to be.
            inner.view_of(declaration.clone(), now)?;
        }
        let operation = operation(declaration.id);
        inner.operate(declaration.record.slot, WalletOperation::new(operation, now), &guard)?;
        Ok((inner.view_of(declaration, now)?, self.barrier()))
    }
}

/// A request with everything looked up and defaulted.
struct Prepared {
    currency: Arc<CreditCurrency>,
    amount: Amount,
    record: GrantRecord,
    /// Whether the caller named the priority.
    priority_given: bool,
}

impl Inner {
    /// See [`Engine::grant_text`].
    pub(super) fn grant_text(&self, id: GrantId) -> String {
        format!("grt_{:012x}{:08x}", id.get(), self.grant_check(id))
    }

    /// The fingerprint by which a grant's key is remembered.
    pub(super) fn grant_key_fingerprint(&self, key: &str) -> u64 {
        key_fingerprint(&self.seed, key)
    }

    fn grant(&self, request: &GrantRequest, now: Timestamp, makes: bool) -> Result<(GrantView, bool), CommandError> {
        let prepared = self.prepare(request, now)?;
        let Some(key) = &request.key else {
            return if makes { Ok((self.make_grant(request, prepared, now)?, false)) } else { Err(not_made()) };
        };
        self.room.check()?;
        let fingerprint = self.grant_key_fingerprint(key);
        let mut strangers = Vec::new();
        loop {
            let guard = pin();
            match self.idempotency.claim(fingerprint, &strangers, &guard) {
                Claim::New(entry) => {
                    return match self.replay_spilled(fingerprint, key, request, &prepared, now, &guard)? {
                        Some(view) => Ok((view, true)),
                        None if !makes => Err(not_made()),
                        None => settle(self.make_grant(request, prepared, now), entry).map(|view| (view, false)),
                    };
                }
                Claim::Existing { lsn } => match self.replay(lsn, key, request, &prepared, now)? {
                    Some(view) => return Ok((view, true)),
                    None => strangers.push(lsn),
                },
                Claim::InFlight(_) => self.wait_settled(fingerprint),
            }
        }
    }

    /// The grant that was made with this key, if a run leads to it.
    fn replay_spilled(
        &self,
        fingerprint: u64,
        key: &str,
        request: &GrantRequest,
        prepared: &Prepared,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<Option<GrantView>, CommandError> {
        let Some(runs) = self.spilled.runs(guard) else { return Ok(None) };
        let lsns = runs.lookup(fingerprint).map_err(|_| CommandError::Unavailable(Unavailable::Overloaded))?;
        let horizon = self.horizon.lsn();
        for lsn in lsns.into_iter().filter(|lsn| *lsn >= horizon) {
            match self.replay(lsn, key, request, prepared, now) {
                // A run knows what was declared. What never took effect has no claim to its key.
                Ok(None) | Err(CommandError::NotFound { what: "grant" }) => {}
                Err(CommandError::Conflict { .. }) if !self.took_effect(lsn, now)? => {}
                answer => return answer,
            }
        }
        Ok(None)
    }

    /// Whether the grant that was declared at `lsn` took effect.
    pub(super) fn took_effect(&self, lsn: u64, now: Timestamp) -> Result<bool, CommandError> {
        let mut view = None;
        let record = match self.read_record(lsn, &mut view) {
            Ok(record) => record,
            // As in `replay`.
            Err(_) if self.is_retired(lsn) => return Ok(false),
            Err(error) => return Err(unreadable(error)),
        };
        let Record::Admin(AdminRecord::Grant(declared)) = record else { return Ok(false) };
        match self.grant_view(GrantId::new(lsn), declared, now) {
            Ok(_) => Ok(true),
            Err(CommandError::NotFound { what: "grant" }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The grant that was made with this key, if it is this key's.
    fn replay(
        &self,
        lsn: u64,
        key: &str,
        request: &GrantRequest,
        prepared: &Prepared,
        now: Timestamp,
    ) -> Result<Option<GrantView>, CommandError> {
        let mut view = None;
        let record = match self.read_record(lsn, &mut view) {
            Ok(record) => record,
            // It has left the idempotency window since it was looked up, and the log with it.
            Err(_) if self.is_retired(lsn) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let Record::Admin(AdminRecord::Grant(original)) = record else { return Ok(None) };
        if original.key.as_deref() != Some(key) {
            return Ok(None);
        }
        let same_wallet = self
            .names
            .get(original.slot)
            .is_some_and(|name| *name.customer == *request.customer && name.currency == prepared.currency.number);
        if !same_wallet || !same_content(&original, prepared) {
            return Err(CommandError::Conflict {
                slug: "idempotency_conflict",
                detail: "the key was used before with other content".to_owned(),
            });
        }
        self.grant_view(GrantId::new(lsn), original, now).map(Some)
    }

    fn prepare(&self, request: &GrantRequest, now: Timestamp) -> Result<Prepared, CommandError> {
        check_text("customer", &request.customer, MAX_ID_BYTES)?;
        if let Some(key) = &request.key {
            check_text("key", key, 255)?;
        }
        check_metadata(&request.metadata)?;
        let currency = self.currency_or_default(request.currency.as_deref())?;
        let amount = Amount::from_decimal(request.amount, currency.scale)
            .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
        if amount <= Amount::ZERO {
            return Err(CommandError::Invalid { field: "amount", detail: "must be greater than zero".to_owned() });
        }
        check_cost(request.cost_basis.as_ref())?;
        let declared = special::declared(request, &currency)?;
        let record = GrantRecord {
            slot: 0,
            amount,
            source: request.source,
            category: request.category,
            priority: request.priority.unwrap_or_else(|| currency.default_priority(request.source)),
            effective_at: request.effective_at.unwrap_or(now),
            effective_at_given: request.effective_at.is_some(),
            expires_at: request.expires_at,
            cost_basis: request.cost_basis.clone(),
            key: request.key.clone(),
            metadata: request.metadata.clone(),
            created_at: now,
            declared,
        };
        Ok(Prepared { currency, amount, record, priority_given: request.priority.is_some() })
    }

    fn make_grant(
        &self,
        request: &GrantRequest,
        prepared: Prepared,
        now: Timestamp,
    ) -> Result<GrantView, CommandError> {
        let Prepared { currency, amount, mut record, .. } = prepared;
        // Here and not before: a repeat of a grant that was made is answered whatever became of its currency and its customer.
        check_active(&currency)?;
        self.check_customer(&request.customer)?;
        self.catalog.settle();
        let guard = pin();
        let mut grant = NewGrant {
            // Higher than any number given out so far, for the trial.
            id: GrantId::new(u64::MAX >> 1),
            amount,
            priority: record.priority,
            category: record.category,
            effective_at: record.effective_at,
            expires_at: record.expires_at,
            cost: record.cost_basis.as_ref().map(|cost| cost.amount),
            max_balance: currency.max_balance,
            special: special_of(&record),
        };
        self.try_grant(&request.customer, &currency, grant, now, &guard)?;
        let wallet = self.seed.wallet_hash(request.customer.as_bytes(), currency.number.0);
        if self.find(wallet, &guard).is_none() {
            self.look_for_room(&record, grant, now)?;
        }
        record.slot = self.find_or_make_wallet(&request.customer, &currency, &guard)?;
        let slot = record.slot;
        let declaration = self.append_admin(&AdminRecord::Grant(record.clone()))?;
        grant.id = GrantId::new(declaration.get());
        self.operate(slot, WalletOperation::new(Operation::Grant(grant), now), &guard)?;
        self.counters.grant();
        self.grant_view(grant.id, record, now)
    }

    /// Makes sure that the log has room for all that a new wallet's grant needs before the first of it is written: one that is refused for
    /// want of room leaves no wallet. (Unless others take the room at this very moment; then an empty wallet stays.)
    fn look_for_room(&self, record: &GrantRecord, grant: NewGrant, now: Timestamp) -> Result<(), CommandError> {
        let declaration = AdminRecord::Grant(record.clone()).encode().len();
        let operation = WalletOperation::new(Operation::Grant(grant), now).log_bytes(&Terms::new());
        let wallet = Budget::frame_bytes(WALLET_BYTES_MAX);
        self.admit_wait(wallet + Budget::frame_bytes(Prelude::length("") + declaration) + room_to_operate(operation))?;
        Ok(())
    }

    /// Asks the rules before anything is written: a grant that they refuse leaves no trace, not even a wallet.
    pub(super) fn try_grant(
        &self,
        customer: &str,
        currency: &CreditCurrency,
        grant: NewGrant,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<(), CommandError> {
        let wallet = self.seed.wallet_hash(customer.as_bytes(), currency.number.0);
        let reading = self.find(wallet, guard).and_then(|slot| self.slab.get(slot).read(guard));
        let change = match reading {
            Some(reading) => {
                let balance = Amount::new(reading.balance);
                transition(&reading.generation.terms().get(), balance, &Operation::Grant(grant), now)
            }
            None => transition(&Terms::new(), Amount::ZERO, &Operation::Grant(grant), now),
        };
        change.result.map(|_| ()).map_err(CommandError::Rejected)
    }

    /// What was declared of a grant, from where it was said once more.
    fn redeclaration(&self, id: GrantId) -> Result<Option<GrantRecord>, CommandError> {
        let Some(lsn) = self.redeclared.get(&id.get()).map(|lsn| *lsn) else { return Ok(None) };
        let mut view = None;
        match self.read_record(lsn, &mut view) {
            Ok(Record::Admin(AdminRecord::Redeclared(again))) if again.number == id.get() => Ok(Some(again.grant)),
            Ok(_) => Err(unreadable(crate::journal::Corrupt::Malformed("redeclaration"))),
            Err(_) if self.is_retired(lsn) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// What was declared of a grant, or of the one that it was the remainder of, wherever that can still be read.
    pub(super) fn declared_grant(&self, id: GrantId) -> Result<Option<Declaration>, CommandError> {
        match self.declaration(id) {
            Ok(declaration) => Ok(Some(declaration)),
            Err(CommandError::Retired { .. }) => Ok(None),
            Err(CommandError::NotFound { .. }) => {
                Err(unreadable(crate::journal::Corrupt::Malformed("number of a grant")))
            }
            Err(error) => Err(error),
        }
    }

    fn find_grant(&self, text: &str) -> Result<Declaration, CommandError> {
        let id = self.parse_grant(text).ok_or(CommandError::NotFound { what: "grant" })?;
        self.declaration(id)
    }

    fn declaration(&self, id: GrantId) -> Result<Declaration, CommandError> {
        let missing = CommandError::NotFound { what: "grant" };
        let lsn = Lsn::new(id.get());
        if lsn >= self.log.tail() {
            return Err(missing);
        }
        if self.is_retired(id.get()) {
            return self.find_retired_grant(id);
        }
        if lsn >= self.log.durable() {
            // Clients have the text of a durable grant only, so this wait is seldom one.
            self.log.wait_durable(self.log.tail()).map_err(|poisoned| poisoned_error(&poisoned))?;
        }
        // The text may be of a grant that a crash took back, and something else may stand at its place by now.
        let mut view = None;
        let is_record = self.is_record(id.get());
        let record = is_record.then(|| self.read_record(id.get(), &mut view)).transpose();
        match record {
            Ok(Some(Record::Admin(AdminRecord::Grant(record)))) => Ok(Declaration::own(id, record)),
            // It went while it was looked for.
            Ok(None) | Err(_) if self.is_retired(id.get()) => self.find_retired_grant(id),
            // No record begins here; one that may roll over may begin before.
            Ok(None) => self.parent_declaration(id),
            Ok(_) => Err(missing),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// A grant whose declaration has been retired: the snapshots have those that wallets still hold.
    fn find_retired_grant(&self, id: GrantId) -> Result<Declaration, CommandError> {
        match self.retired_declaration(id.get())? {
            Some(AdminRecord::Grant(record)) => return Ok(Declaration::own(id, record)),
            Some(_) => return Err(CommandError::NotFound { what: "grant" }),
            None => {}
        }
        if let Some(record) = self.redeclaration(id)? {
            return Ok(Declaration::own(id, record));
        }
        let parent = match self.retired_declaration(id.rolled_from().get())? {
            Some(AdminRecord::Grant(record)) => Some(record),
            _ => self.redeclaration(id.rolled_from())?,
        };
        parent.and_then(|record| Declaration::of_parent(id, record)).ok_or_else(|| self.retired())
    }

    fn parse_grant(&self, text: &str) -> Option<GrantId> {
        let digits = text.strip_prefix("grt_")?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits.len() < 20 || !is_hex {
            return None;
        }
        let (number, check) = digits.split_at(digits.len() - 8);
        let id = GrantId::new(u64::from_str_radix(number, 16).ok()?);
        let canonical = number.len() == 12 || !number.starts_with('0');
        (canonical && u32::from_str_radix(check, 16).ok()? == self.grant_check(id)).then_some(id)
    }

    fn grant_check(&self, id: GrantId) -> u32 {
        self.seed.key_fingerprint(TEXT_DOMAIN, &id.get().to_le_bytes()) as u32
    }

    fn grant_view(&self, id: GrantId, record: GrantRecord, now: Timestamp) -> Result<GrantView, CommandError> {
        let guard = pin();
        let name = self.names.get(record.slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        let (terms, balance) =
            self.read_at(record.slot, now, &guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let left = if let Some(left) = left_of(&terms, balance, id, now) {
            left
        } else {
            let (state, rolled_over) = self.how_grant_ended(record.slot, id, now, &guard)?;
            Left {
                state,
                remaining: Amount::ZERO,
                held: Amount::ZERO,
                granted: record.amount,
                effective_at: record.effective_at,
                expires_at: record.expires_at,
                rolled_over,
            }
        };
        let mut rolled_over = left.rolled_over;
        let may_have = matches!(left.state, GrantState::Expired | GrantState::Depleted);
        if rolled_over.is_none() && may_have && record.declared.rollover.is_some() {
            // What was held of it when it ended has an end of its own.
            rolled_over = self.how_grant_rolled_over(record.slot, id, now, &guard)?;
        }
        let Declared { payment, valid_for_ms, rollover, recurrence, transferred_from, .. } = record.declared;
        let catalog = self.catalog.snapshot();
        let currency =
            catalog.currency_by_number(name.currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        Ok(GrantView {
            id,
            customer: name.customer.to_string(),
            currency: Arc::clone(currency),
            source: record.source,
            category: record.category,
            amount: record.amount,
            remaining: left.remaining,
            priority: record.priority,
            effective_at: left.effective_at,
            expires_at: left.expires_at,
            cost_basis: record.cost_basis,
            state: left.state,
            key: record.key,
            metadata: record.metadata,
            created_at: record.created_at,
            held: left.held,
            payment,
            valid_for_ms,
            rollover,
            parent: transferred_from.map(GrantId::new),
            rolled_over,
            recurrence: recurrence.map(|recurrence| (recurrence.id, recurrence.number)),
        })
    }

    /// How a grant that the wallet no longer holds came to its end: the newest operation that says so. And what went on of it.
    fn how_grant_ended(&self, slot: u32, grant: GrantId, now: Timestamp, guard: &Guard) -> Result<End, CommandError> {
        let reading = self.slab.get(slot).read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let present = reading.generation.terms().get();
        // What has fallen due without an operation having said so yet.
        let due = transition(&present, Amount::new(reading.balance), &Operation::Due, now);
        if let Some(end) = end_of(grant, &due.effects.movements) {
            return Ok(end);
        }
        if present.lots.iter().chain(&present.scheduled).any(|lot| lot.id == grant) {
            return Ok((GrantState::Depleted, None));
        }
        let opened_at = reading.generation.opened_at();
        // Every grant that took effect ends in a movement: this one was declared, and a crash or the rules kept it from taking effect.
        self.walk_back(opened_at, grant, |body| end_of(grant, &body.movements))?
            .ok_or(CommandError::NotFound { what: "grant" })
    }

    /// What went on of a grant that may roll over, wherever that is told. It is not told before an operation that made the grant begin, or left
    /// something of it to be spent.
    fn how_grant_rolled_over(
        &self,
        slot: u32,
        grant: GrantId,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<Option<(GrantId, Amount)>, CommandError> {
        let reading = self.slab.get(slot).read(guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let present = reading.generation.terms().get();
        let due = transition(&present, Amount::new(reading.balance), &Operation::Due, now);
        let rolled_over = rolled_over_in(grant, &due.effects.movements);
        if rolled_over.is_some() || present.lots.iter().any(|lot| lot.id == grant) {
            return Ok(rolled_over);
        }
        let told = self.walk_back(reading.generation.opened_at(), grant, |body| {
            match rolled_over_in(grant, &body.movements) {
                None => has_not_ended(grant, body).then_some(None),
                rolled_over => Some(rolled_over),
            }
        })?;
        Ok(told.flatten())
    }

    /// Looks through a wallet's operations, the newest first and none before the grant was declared.
    fn walk_back<T>(
        &self,
        opened_at: u64,
        grant: GrantId,
        find: impl Fn(&Body<'_>) -> Option<T>,
    ) -> Result<Option<T>, CommandError> {
        let mut next = opened_at;
        while next >= grant.get() {
            let mut view = None;
            let record = match self.read_record(next, &mut view) {
                Err(_) if self.is_retired(next) => return Err(self.retired()),
                record => record.map_err(unreadable)?,
            };
            let Record::Operation(operation) = record else { break };
            if let Some(found) = find(&operation.body) {
                return Ok(Some(found));
            }
            next = operation.previous_opening;
        }
        Ok(None)
    }

    /// Ends the wallet's present generation with `operation`, unless the rules refuse it.
    ///
    /// A refusal leaves no trace, save in a race: then the generation changes and nothing else does.
    ///
    /// A wallet gets the default levels of its currency with that, if it has none of its own and does not follow them yet.
    pub(super) fn operate(&self, handle: u32, operation: WalletOperation, guard: &Guard) -> Result<(), CommandError> {
        let at = operation.at;
        let is_new = self.slab.get(handle).read(guard).is_some_and(|reading| reading.generation.number() == 1);
        let takes_levels = matches!(operation.operation, Operation::SetLevels(Some(_)));
        if !is_new && !takes_levels {
            self.follow_defaults(handle, at, guard)?;
        }
        self.operate_alone(handle, operation, guard)?;
        if is_new && !takes_levels {
            // A wallet's first operation is its first grant, whatever levels it is to have. If the log has no room for more just now, they
            // come with the next change.
            let _ = self.follow_defaults(handle, at, guard);
        }
        Ok(())
    }

    /// As [`Inner::operate`], and nothing beside it.
    pub(super) fn operate_alone(
        &self,
        handle: u32,
        operation: WalletOperation,
        guard: &Guard,
    ) -> Result<(), CommandError> {
        let slot = self.slab.get(handle);
        let mut operation = operation;
        let mut bytes = operation.log_bytes(&Terms::new());
        loop {
            let budget = Budget(self.admit_wait(room_to_operate(bytes))?);
            let driver = super::wallet::WalletDriver::new(self, handle, &budget);
            let reading = slot.read_settled(&driver, guard).ok_or(CommandError::NotFound { what: "wallet" })?;
            let terms = &*reading.generation.terms().get();
            let trial = transition(terms, Amount::new(reading.balance), &operation.operation, operation.at);
            if let Err(rejection) = trial.result {
                return Err(CommandError::Rejected(rejection));
            }
            let needed = operation.log_bytes(terms);
            if !budget.covers(needed) {
                bytes = needed;
                continue;
            }
            match slot.change(&driver, reading.generation, operation, guard) {
                Ok(changed) => {
                    self.counters.operation();
                    return changed.effects.result.map(|_| ()).map_err(CommandError::Rejected);
                }
                Err(given_back) => operation = given_back,
            }
        }
    }
}

/// What a wallet has of a grant.
struct Left {
    state: GrantState,
    remaining: Amount,
    held: Amount,
    granted: Amount,
    effective_at: Timestamp,
    expires_at: Option<Timestamp>,
    rolled_over: Option<(GrantId, Amount)>,
}

/// What a wallet has of a grant, if it has anything. Credits that open holds have of a grant that has ended are left of it.
fn left_of(terms: &Terms, balance: Amount, id: GrantId, now: Timestamp) -> Option<Left> {
    let whole = |state: GrantState, lot: &Lot| Left {
        state,
        remaining: lot.remaining,
        held: Amount::ZERO,
        granted: lot.granted,
        effective_at: lot.effective_at,
        expires_at: lot.expires_at.timestamp(),
        rolled_over: None,
    };
    if let Some(lot) = terms.scheduled.iter().find(|lot| lot.id == id) {
        return Some(whole(GrantState::Scheduled, lot));
    }
    if let Some(unpaid) = terms.riders.unpaid.iter().find(|unpaid| unpaid.lot.id == id) {
        return Some(whole(GrantState::Pending, &unpaid.lot));
    }
    let lots = terms.lots_at(balance).lots;
    let (free, part) = (lots.iter().find(|lot| lot.id == id), terms.held_of(id));
    let lot = free.copied().or(part.map(|part| part.lot))?;
    let held = part.map_or(Amount::ZERO, |part| part.lot.remaining);
    let state = match part {
        Some(part) if part.is_voided => GrantState::Voided,
        Some(part) if part.lot.expires_at.is_due(now) => GrantState::Expired,
        _ => GrantState::Active,
    };
    let free = free.map_or(Amount::ZERO, |lot| lot.remaining);
    // Both are parts of one grant.
    let remaining = free.checked_add(held).unwrap_or(Amount::MAX);
    Some(Left { state, remaining, held, ..whole(state, &lot) })
}

/// Log bytes that an operation is admitted to whose record takes so many: room for it, and for copies of what others have begun.
const fn room_to_operate(record_bytes: u64) -> u64 {
    record_bytes * 2 + (16 << 10)
}

/// The fingerprint by which a grant's key is remembered.
pub(super) fn key_fingerprint(seed: &Seed, key: &str) -> u64 {
    seed.key_fingerprint(KEY_DOMAIN, key.as_bytes())
}

/// How a grant ended, and what went on of it.
type End = (GrantState, Option<(GrantId, Amount)>);

/// The end of a grant, if these movements brought it.
fn end_of(grant: GrantId, movements: &[Movement]) -> Option<End> {
    let of_grant = || movements.iter().rev().filter(|movement| movement.grant() == Some(grant));
    let state = of_grant().find_map(|movement| match movement {
        Movement::Expired { .. } | Movement::RolledOver { .. } => Some(GrantState::Expired),
        Movement::Voided { .. } | Movement::ScheduledVoided { .. } | Movement::WrittenOff { .. } => {
            Some(GrantState::Voided)
        }
        Movement::Depleted { .. } => Some(GrantState::Depleted),
        Movement::Granted { .. }
        | Movement::Scheduled { .. }
        | Movement::Activated { .. }
        | Movement::DebtPaid { .. }
        | Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::ExpiryMoved { .. }
        | Movement::DebtWrittenOff { .. }
        | Movement::AwaitsPayment { .. }
        | Movement::Paid { .. }
        | Movement::GivenBack { .. }
        | Movement::Reopened { .. }
        | Movement::DebtReturned { .. }
        | Movement::Forfeited { .. }
        | Movement::Held { .. }
        | Movement::Reserved { .. }
        | Movement::Captured { .. }
        | Movement::PartSpent { .. }
        | Movement::Released { .. }
        | Movement::HoldExpired { .. }
        | Movement::Returned { .. }
        | Movement::HoldMoved { .. }
        | Movement::TransferredOut { .. }
        | Movement::TransferredIn { .. } => None,
    })?;
    Some((state, rolled_over_in(grant, movements)))
}

/// Whether an operation shows that a grant had not come to its end before: it began with it, or had something to be spent behind it.
fn has_not_ended(grant: GrantId, body: &Body<'_>) -> bool {
    let begins = |movement: &Movement| match *movement {
        Movement::Granted { grant: of, .. }
        | Movement::Activated { grant: of, .. }
        | Movement::Paid { grant: of, .. } => of == grant,
        _ => false,
    };
    body.lots.iter().any(|(of, _)| *of == grant) || body.movements.iter().any(begins)
}

/// What went on of a grant, if it was in these movements.
fn rolled_over_in(grant: GrantId, movements: &[Movement]) -> Option<(GrantId, Amount)> {
    movements.iter().find_map(|movement| match *movement {
        Movement::RolledOver { grant: ended, into, amount, .. } if ended == grant => Some((into, amount)),
        _ => None,
    })
}

/// A grant that was to be found was not made.
fn not_made() -> CommandError {
    CommandError::Conflict {
        slug: "idempotency_answer_gone",
        detail: "the first answer is not kept, and no grant was made by that request".to_owned(),
    }
}

fn settle(made: Result<GrantView, CommandError>, entry: Entry<'_>) -> Result<GrantView, CommandError> {
    match &made {
        Ok(view) => entry.finish(view.id.get()),
        Err(_) => entry.give_up(),
    }
    made
}

fn same_content(original: &GrantRecord, prepared: &Prepared) -> bool {
    let retry = &prepared.record;
    // Defaults may have changed since.
    let was_default = original.declared.default_priority || original.priority == original.source.default_priority();
    let same_priority = original.priority == retry.priority || !prepared.priority_given && was_default;
    let same_declared = Declared { default_priority: false, ..original.declared.clone() }
        == Declared { default_priority: false, ..retry.declared.clone() };
    same_priority
        && same_declared
        && original.amount == retry.amount
        && original.source == retry.source
        && original.category == retry.category
        && original.effective_at_given == retry.effective_at_given
        && (!retry.effective_at_given || original.effective_at == retry.effective_at)
        && original.expires_at == retry.expires_at
        && original.cost_basis == retry.cost_basis
        && original.metadata == retry.metadata
}

/// Checks a text's length.
pub(super) fn check_text(field: &'static str, text: &str, max_bytes: usize) -> Result<(), CommandError> {
    let detail = match text.len() {
        0 => "must not be empty".to_owned(),
        length if length > max_bytes => format!("must have at most {max_bytes} bytes, has {length}"),
        _ => return Ok(()),
    };
    Err(CommandError::Invalid { field, detail })
}

/// Checks the limits of metadata.
pub(super) fn check_metadata(metadata: &Metadata) -> Result<(), CommandError> {
    let invalid = |detail| Err(CommandError::Invalid { field: "metadata", detail });
    if metadata.len() > MAX_METADATA_PAIRS {
        return invalid(format!("must have at most {MAX_METADATA_PAIRS} pairs"));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > MAX_METADATA_KEY_BYTES {
            return invalid(format!("keys must have 1 to {MAX_METADATA_KEY_BYTES} bytes"));
        }
        if value.len() > MAX_METADATA_VALUE_BYTES {
            return invalid(format!("values must have at most {MAX_METADATA_VALUE_BYTES} bytes"));
        }
    }
    Ok(())
}

/// Refuses an archived currency.
pub(super) fn check_active(currency: &CreditCurrency) -> Result<(), CommandError> {
    if currency.archived {
        return Err(CommandError::FieldConflict {
            slug: "currency_archived",
            field: "currency",
            detail: format!("credit currency {} is archived: it takes no new grants and no new meters", currency.id),
        });
    }
    Ok(())
}

/// Checks what was paid for a grant.
pub(super) fn check_cost(cost: Option<&CostBasis>) -> Result<(), CommandError> {
    let Some(cost) = cost else { return Ok(()) };
    if cost.amount < 0 {
        return Err(Rejection::InvalidCost.into());
    }
    if cost.currency.len() != 3 || !cost.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(CommandError::Invalid {
            field: "cost_basis",
            detail: "currency must be an ISO 4217 code of three capitals".to_owned(),
        });
    }
    Ok(())
}

impl From<Rejection> for CommandError {
    fn from(rejection: Rejection) -> Self {
        CommandError::Rejected(rejection)
    }
}
