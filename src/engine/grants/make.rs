//! Grants made of requests, each once: one that repeats a key is answered with the grant that the first made.

use super::special::{self, special_of};
use super::{check_active, check_cost, check_metadata, check_text};
use crate::engine::budget::Budget;
use crate::engine::catalog::CreditCurrency;
use crate::engine::history::unreadable;
use crate::engine::operate::room_to_operate;
use crate::engine::view::{CommandError, GrantRequest, GrantView, Unavailable};
use crate::engine::wallet::WalletOperation;
use crate::engine::wallets::WALLET_BYTES_MAX;
use crate::engine::{Inner, MAX_ID_BYTES};
use crate::journal::Record;
use crate::journal::admin::{AdminRecord, Declared, GrantRecord};
use crate::journal::frame::Prelude;
use crate::ledger::{Amount, GrantId, NewGrant, Operation, Terms, Timestamp, transition};
use crate::store::hash::Seed;
use crate::store::idempotency::{Claim, Entry};
use crate::store::{Guard, pin};
use std::sync::Arc;

/// Separates the fingerprints of grants' keys from those of events.
const KEY_DOMAIN: u8 = 1;

/// A request with everything looked up and defaulted.
struct Prepared {
    currency: Arc<CreditCurrency>,
    amount: Amount,
    record: GrantRecord,
    /// Whether the caller named the priority.
    priority_given: bool,
}

impl Inner {
    /// The fingerprint by which a grant's key is remembered.
    pub(in crate::engine) fn grant_key_fingerprint(&self, key: &str) -> u64 {
        key_fingerprint(&self.seed, key)
    }

    pub(super) fn grant(
        &self,
        request: &GrantRequest,
        now: Timestamp,
        makes: bool,
    ) -> Result<(GrantView, bool), CommandError> {
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
    pub(in crate::engine) fn took_effect(&self, lsn: u64, now: Timestamp) -> Result<bool, CommandError> {
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
    pub(in crate::engine) fn try_grant(
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
}

/// The fingerprint by which a grant's key is remembered.
pub(in crate::engine) fn key_fingerprint(seed: &Seed, key: &str) -> u64 {
    seed.key_fingerprint(KEY_DOMAIN, key.as_bytes())
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
