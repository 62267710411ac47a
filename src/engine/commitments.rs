//! Commitments: what a customer is going to use in the present period, for the projected balance.
//!
//! What counts is part of the wallet's terms, set by an operation; what it is for stands in an administrative record before it. A crash
//! between the two leaves names beside amounts that do not count, until commitments are declared again.

use super::catalog::CreditCurrency;
use super::grants::check_text;
use super::ticket::Ticket;
use super::view::CommandError;
use super::wallet::WalletOperation;
use super::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::AdminRecord;
use crate::journal::alerts::{CommitmentItem, CommitmentsRecord};
use crate::ledger::{Amount, Commitment, Decimal, Expiry, MAX_COMMITMENTS, Operation, Status, Timestamp, transition};
use crate::store::pin;
use std::sync::Arc;

/// Commitments to be declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommitmentsSpec {
    /// What is committed.
    pub items: Vec<CommitmentSpec>,
    /// The first instant of the period, and the first behind it.
    pub period: Option<(Timestamp, Timestamp)>,
}

/// A commitment to be declared.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitmentSpec {
    /// What it is for, 1 to 128 bytes.
    pub name: String,
    /// Greater than zero, in credits.
    pub amount: Decimal,
    /// When it will have been used: from then on it does not count.
    pub due_at: Option<Timestamp>,
}

/// A wallet's commitments as they were declared.
#[derive(Clone, Debug)]
pub struct CommitmentsView {
    /// The owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// What was declared, in the order in which it was.
    pub items: Vec<CommitmentView>,
    /// The period that it is of.
    pub period: Option<(Timestamp, Timestamp)>,
    /// What counts now.
    pub committed: Amount,
    /// What is available now.
    pub available: Amount,
    /// What is available less what is committed.
    pub projected: Amount,
}

/// A commitment as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentView {
    /// What it is for.
    pub name: String,
    /// How many credits.
    pub amount: Amount,
    /// When it will have been used.
    pub due_at: Option<Timestamp>,
    /// Whether it counts now.
    pub counts: bool,
}

/// The first instant at which a commitment does not count: when it is due, or when the period is over.
fn end(due_at: Option<Timestamp>, period: Option<(Timestamp, Timestamp)>) -> Expiry {
    Expiry::from(due_at).min(Expiry::from(period.map(|(_, to)| to)))
}

impl Engine {
    /// Replaces a wallet's commitments; no items leave none.
    pub fn set_commitments(
        &self,
        customer: &str,
        currency: &str,
        spec: &CommitmentsSpec,
    ) -> Result<(CommitmentsView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let (now, guard) = (inner.now(), pin());
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        let scale = inner.catalog.snapshot().currency(currency).map_or_else(Default::default, |found| found.scale);
        check_period(spec.period, now)?;
        if spec.items.len() > MAX_COMMITMENTS {
            return Err(invalid("items", format!("has at most {MAX_COMMITMENTS} commitments")));
        }
        let mut items = Vec::with_capacity(spec.items.len());
        for item in &spec.items {
            check_text("name", &item.name, MAX_ID_BYTES)?;
            let amount =
                Amount::from_decimal(item.amount, scale).map_err(|error| invalid("amount", error.to_string()))?;
            if amount <= Amount::ZERO {
                return Err(invalid("amount", "must be greater than zero".to_owned()));
            }
            items.push(CommitmentItem { name: item.name.clone(), amount, due_at: item.due_at });
        }
        let counting =
            items.iter().map(|item| Commitment { amount: item.amount, until: end(item.due_at, spec.period) });
        let operation = Operation::SetCommitments(counting.collect());
        // Before anything is written: a wallet that is closed, or a sum that is no amount.
        let (terms, balance) = inner.read_at(slot, now, &guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        transition(&terms, balance, &operation, now).result.map_err(CommandError::Rejected)?;
        let record = CommitmentsRecord { slot, items, period: spec.period };
        inner.append_admin(&AdminRecord::Commitments(record.clone()))?;
        inner.operate(slot, WalletOperation::new(operation, now), &guard)?;
        inner.enter_commitments(record);
        Ok((self.commitments(customer, currency)?, self.barrier()))
    }

    /// A wallet's commitments.
    pub fn commitments(&self, customer: &str, currency: &str) -> Result<CommitmentsView, CommandError> {
        let inner = &*self.inner;
        let (now, guard) = (inner.now(), pin());
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        let missing = |what| CommandError::NotFound { what };
        let (terms, balance) = inner.read_at(slot, now, &guard).ok_or(missing("wallet"))?;
        let catalog = inner.catalog.snapshot();
        let currency = catalog.currency(currency).ok_or(missing("credit_currency"))?;
        let record = inner.commitments.get(&slot).map(|record| Arc::clone(&record));
        let period = record.as_ref().and_then(|record| record.period);
        let items = record.iter().flat_map(|record| &record.items).map(|item| CommitmentView {
            name: item.name.clone(),
            amount: item.amount,
            due_at: item.due_at,
            counts: terms.status != Status::Closed && !end(item.due_at, period).is_due(now),
        });
        Ok(CommitmentsView {
            customer: customer.to_owned(),
            currency: Arc::clone(currency),
            items: items.collect(),
            period,
            committed: terms.bearings().committed,
            available: terms.available(balance),
            projected: terms.projected(balance),
        })
    }
}

impl Inner {
    /// Enters what commitments are for.
    pub(super) fn enter_commitments(&self, record: CommitmentsRecord) {
        if record.items.is_empty() {
            self.commitments.remove(&record.slot);
        } else {
            self.commitments.insert(record.slot, Arc::new(record));
        }
    }
}

fn invalid(field: &'static str, detail: String) -> CommandError {
    CommandError::Invalid { field, detail }
}

/// Commitments are of the present period: it has begun and is not over.
fn check_period(period: Option<(Timestamp, Timestamp)>, now: Timestamp) -> Result<(), CommandError> {
    let Some((from, to)) = period else { return Ok(()) };
    if from >= to {
        return Err(invalid("period", "must end after it begins".to_owned()));
    }
    if from > now || to <= now {
        return Err(invalid("period", "must be the present one: begun, and not over".to_owned()));
    }
    Ok(())
}
