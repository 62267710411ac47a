//! What became of an event that was applied before: read back from the log, where the original stands whole.

use super::plan::Plan;
use super::{CROSSED_DEPLETED, CROSSED_NEGATIVE, built_in};
use crate::engine::Inner;
use crate::engine::event::{EventOutcome, EventStatus, UsageEvent};
use crate::journal::Record;
use crate::journal::debit::Metered;
use crate::journal::operation::Names;
use crate::ledger::{Amount, Operation, Rejection, Scale};
use drawdown_wal::Lsn;
use std::sync::Arc;

/// What the record behind a fingerprint turned out to be.
pub(super) enum Recall {
    /// The same event: its outcome again.
    Same(EventOutcome),
    /// The same identity with other content.
    Conflict,
    /// Another event whose fingerprint happens to be the same.
    Stranger,
}

/// The original as both kinds of records tell it.
struct Original<'a> {
    id: &'a str,
    source: &'a str,
    slot: u32,
    requested: Amount,
    metered: Option<Metered>,
    outcome: EventOutcome,
}

impl Inner {
    /// Compares an event with the one recorded at `lsn`. `slot` is the wallet that it names, if there is one.
    ///
    /// A record that has been retired since it was looked up lay outside of the idempotency window: it stands for nothing any more.
    ///
    /// Panics if the log cannot be read there: the table of events and the log contradict each other, and nothing may be answered.
    pub(super) fn recall(&self, lsn: u64, event: &UsageEvent<'_>, plan: &Plan, slot: Option<u32>) -> Recall {
        let mut view = None;
        let record = match self.read_record(lsn, &mut view) {
            Ok(record) => record,
            Err(_) if self.is_retired(lsn) => return Recall::Stranger,
            Err(error) => panic!("the record of a remembered event is unreadable at LSN {lsn}: {error}"),
        };
        let Some(mut original) = original(&record, Lsn::new(lsn), plan) else { return Recall::Stranger };
        if original.id != event.id || original.source != event.source {
            return Recall::Stranger;
        }
        if let Some(balance) = self.repairs.balance_after(lsn) {
            // A crash lost a debit that the record counts on; nobody has been told the balance that it says.
            let adjustment = original.outcome.available.units().saturating_sub(original.outcome.balance.units());
            original.outcome.balance = balance;
            original.outcome.available = Amount::new(balance.units().saturating_add(adjustment));
        }
        let same_measure = match (original.metered, plan.metered) {
            (Some(then), Some(now)) => then == now,
            (None, None) => original.requested == plan.amount,
            _ => false,
        };
        if slot == Some(original.slot) && same_measure { Recall::Same(original.outcome) } else { Recall::Conflict }
    }
}

fn original<'a>(record: &Record<'a>, lsn: Lsn, plan: &Plan) -> Option<Original<'a>> {
    let outcome = |amount, shortfall, balance: Amount, adjustment: i64, crossed| EventOutcome {
        status: EventStatus::Duplicate,
        amount,
        shortfall,
        balance,
        available: Amount::new(balance.units().saturating_add(adjustment)),
        scale: plan.scale,
        entry: Some(lsn),
        crossed,
    };
    match record {
        Record::Debit(debit) => Some(Original {
            id: debit.id,
            source: debit.source,
            slot: debit.slot,
            requested: debit.amount,
            metered: debit.metered,
            outcome: outcome(debit.amount, Amount::ZERO, debit.balance_after, debit.adjustment, Vec::new()),
        }),
        Record::Operation(operation) => {
            let event = operation.body.event?;
            let Operation::Debit { amount, .. } = operation.body.operation else { return None };
            let taken = operation.body.taken;
            let crossed = crossed_names(&operation.body.crossed);
            Some(Original {
                id: event.id,
                source: event.source,
                slot: operation.slot,
                requested: amount,
                metered: event.metered,
                outcome: outcome(taken.amount, taken.shortfall, operation.opening, operation.adjustment, crossed),
            })
        }
        Record::Admin(_) => None,
    }
}

/// Names of crossed lines, highest first.
fn crossed_names(names: &Names<'_>) -> Vec<Arc<str>> {
    let levels = names.levels.iter().rev().map(|name| Arc::from(*name));
    let depleted = names.depleted.then(|| built_in(&CROSSED_DEPLETED));
    let negative = names.negative.then(|| built_in(&CROSSED_NEGATIVE));
    levels.chain(depleted).chain(negative).collect()
}

/// The outcome of an event that the rules refused.
pub(super) const fn rejected(
    rejection: Rejection,
    plan: Option<&Plan>,
    balance: Amount,
    available: Amount,
) -> EventOutcome {
    let (amount, scale) = match plan {
        Some(plan) => (plan.amount, plan.scale),
        None => (Amount::ZERO, Scale::WHOLE),
    };
    EventOutcome {
        status: EventStatus::Rejected(rejection),
        amount,
        shortfall: Amount::ZERO,
        balance,
        available,
        scale,
        entry: None,
        crossed: Vec::new(),
    }
}
