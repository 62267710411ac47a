//! Adjustments: credits that an operator gives or takes, with a reason.
//!
//! What is given is a grant like any other, of source `adjustment`: promotional and without an end. What is taken is taken as a debit would
//! take it, by the same policies. Either is one operation, and one entry of a kind of its own.

use super::view::{AdjustmentRequest, AdjustmentView};
use super::{Done, check_note};
use crate::engine::catalog::CreditCurrency;
use crate::engine::grants::{check_metadata, check_text};
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::engine::wallet::WalletOperation;
use crate::engine::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::{AdminRecord, Declared, GrantRecord};
use crate::journal::note::{Note, NoteKind};
use crate::ledger::{Amount, Category, GrantId, NewGrant, Operation, Policy, Rejection, Source, Special, Timestamp};
use crate::store::{Guard, pin};

impl Engine {
    /// Gives or takes credits. Answers whether that is the answer to an earlier request with the same key.
    pub fn adjust(&self, request: &AdjustmentRequest) -> Result<(AdjustmentView, bool, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (view, replayed) = inner.adjust(request)?;
        Ok((view, replayed, self.barrier()))
    }
}

impl Inner {
    fn adjust(&self, request: &AdjustmentRequest) -> Result<(AdjustmentView, bool), CommandError> {
        check_text("customer", &request.customer, MAX_ID_BYTES)?;
        check_note(request.key.as_deref(), Some(&request.reason))?;
        check_metadata(&request.metadata)?;
        let currency = self.currency_or_default(request.currency.as_deref())?;
        let amount = Amount::from_decimal(request.amount, currency.scale)
            .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
        if amount == Amount::ZERO {
            return Err(CommandError::Invalid { field: "amount", detail: "must not be zero".to_owned() });
        }
        let mut note = Note::new(NoteKind::Adjustment);
        note.key.clone_from(&request.key);
        note.reason = Some(request.reason.clone());
        note.metadata.clone_from(&request.metadata);
        let is_same = |done: &Done| {
            asked(&done.operation) == Some((amount, policy_of(amount, request.policy)))
                && (&done.note.reason, &done.note.metadata) == (&note.reason, &note.metadata)
                && done.note.kind == NoteKind::Adjustment
                && self.is_of(done, &request.customer, &currency)
        };
        let make = || {
            let (guard, now) = (pin(), self.now());
            if amount > Amount::ZERO {
                return self.give(request, &currency, amount, &note, now, &guard);
            }
            let wallet = self.seed.wallet_hash(request.customer.as_bytes(), currency.number.0);
            let slot = self.find(wallet, &guard).ok_or(Rejection::UnknownWallet)?;
            let amount = amount.checked_neg().ok_or(Rejection::InvalidAmount)?;
            let operation = Operation::Debit { amount, policy: request.policy };
            self.carry_out(slot, &guard, |_| Ok(WalletOperation::noted(operation.clone(), now, note.clone())))
        };
        let (done, replayed) = self.once(request.key.as_deref(), is_same, make)?;
        Ok((self.adjustment_view(done)?, replayed))
    }

    fn give(
        &self,
        request: &AdjustmentRequest,
        currency: &CreditCurrency,
        amount: Amount,
        note: &Note,
        now: Timestamp,
        guard: &Guard,
    ) -> Result<Done, CommandError> {
        if currency.archived {
            return Err(CommandError::Conflict {
                slug: "currency_archived",
                detail: format!("credit currency {} takes no new grants", currency.id),
            });
        }
        self.check_customer(&request.customer)?;
        let max_balance = currency.max_balance;
        // Higher than any number given out so far, for the trial.
        let trial = NewGrant { max_balance, ..given(GrantId::new(u64::MAX >> 1), amount, now) };
        self.try_grant(&request.customer, currency, trial, now, guard)?;
        let slot = self.find_or_make_wallet(&request.customer, currency, guard)?;
        let declaration = self.append_admin(&AdminRecord::Grant(declaration(slot, amount, &request.metadata, now)))?;
        let grant = NewGrant { max_balance, ..given(GrantId::new(declaration.get()), amount, now) };
        let done =
            self.carry_out(slot, guard, |_| Ok(WalletOperation::noted(Operation::Grant(grant), now, note.clone())))?;
        self.counters.grant();
        Ok(done)
    }

    fn adjustment_view(&self, done: Done) -> Result<AdjustmentView, CommandError> {
        let (customer, currency) = self.wallet_of(&done)?;
        let (amount, grant) = match &done.operation {
            Operation::Grant(grant) => (grant.amount, Some(grant.id)),
            _ => (done.taken.amount.checked_neg().unwrap_or(Amount::ZERO), None),
        };
        Ok(AdjustmentView {
            entry: done.lsn,
            customer,
            currency,
            amount,
            shortfall: done.taken.shortfall,
            grant,
            balance: done.balance,
            available: done.available,
            crossed: done.crossed,
            reason: done.note.reason.unwrap_or_default(),
            key: done.note.key,
            metadata: done.note.metadata,
            created_at: done.time,
        })
    }
}

/// The grant that gives credits, as its wallet sees it.
pub(super) fn given(id: GrantId, amount: Amount, now: Timestamp) -> NewGrant {
    NewGrant {
        id,
        amount,
        priority: Source::Adjustment.default_priority(),
        category: Category::Promotional,
        effective_at: now,
        expires_at: None,
        cost: None,
        max_balance: None,
        special: Special::NONE,
    }
}

/// What is declared of it.
pub(super) fn declaration(
    slot: u32,
    amount: Amount,
    metadata: &crate::catalog::Metadata,
    now: Timestamp,
) -> GrantRecord {
    GrantRecord {
        slot,
        amount,
        source: Source::Adjustment,
        category: Category::Promotional,
        priority: Source::Adjustment.default_priority(),
        effective_at: now,
        effective_at_given: false,
        expires_at: None,
        cost_basis: None,
        // The key is the adjustment's, not the grant's.
        key: None,
        metadata: metadata.clone(),
        created_at: now,
        declared: Declared::default(),
    }
}

/// What an adjustment that was made had been asked for with: the amount, and the policy where that meant something.
fn asked(operation: &Operation) -> Option<(Amount, Option<Policy>)> {
    match operation {
        Operation::Grant(grant) => Some((grant.amount, None)),
        Operation::Debit { amount, policy } => Some((amount.checked_neg()?, Some(*policy))),
        _ => None,
    }
}

fn policy_of(amount: Amount, policy: Policy) -> Option<Policy> {
    (amount < Amount::ZERO).then_some(policy)
}
