//! The slow path of a debit: too little headroom, terms that are due to change, an operation under way, or available credit that differs
//! from the balance.

use super::plan::Plan;
use super::recall::rejected;
use super::{Batch, CROSSED_DEPLETED, CROSSED_NEGATIVE, Pending, SLOW_BYTES_PER_EVENT, built_in};
use crate::engine::Inner;
use crate::engine::budget::Budget;
use crate::engine::event::{EventOutcome, EventStatus, UsageEvent};
use crate::engine::refusals::Refused;
use crate::engine::wallet::{OwnedEvent, WalletDriver, WalletOperation, WalletSlot};
use crate::journal::debit;
use crate::journal::operation::Repair;
use crate::ledger::{Amount, Levels, Lines, Operation, Rejection, Timestamp, decide_debit};
use crate::store::Guard;
use crate::store::slot::Posted;
use drawdown_wal::Lsn;
use std::sync::Arc;

/// What the slow path made of an event. Boxed where it is large, for the fast path answers with this type too.
pub(super) enum Slow {
    /// Applied without an operation after all.
    Posted(Posted),
    /// Decided.
    Decided(Box<EventOutcome>),
    /// It needs more log space than is left; so much the next time.
    Deferred(Box<Pending>),
}

impl Batch<'_> {
    /// Debits a wallet. `spare` is by how much the record may exceed what was reserved for it.
    #[cold]
    pub(super) fn debit_slow(
        &self,
        slot: &WalletSlot,
        handle: u32,
        pending: &Pending,
        spare: usize,
        budget: &Budget<'_>,
        guard: &Guard,
    ) -> Slow {
        let driver = WalletDriver::new(self.inner, handle, budget);
        let plan = &pending.plan;
        let has_room = spare + self.room_for_adjustment(pending) >= debit::ADJUSTMENT_BYTES_MAX;
        loop {
            // Whatever is under way is finished by now, so the fast path may do after all.
            let Some(reading) = slot.read_settled(&driver, guard) else {
                return decided(rejected(Rejection::UnknownWallet, Some(plan), Amount::ZERO, Amount::ZERO));
            };
            let terms = &*reading.generation.terms().get();
            if has_room {
                let posted = slot.debit_from(reading.generation, plan.amount.units(), self.deadline, guard);
                if let Some((posted, _)) = posted {
                    return Slow::Posted(posted);
                }
            } else if let Some(posted) = slot.debit(plan.amount.units(), self.deadline, false) {
                return Slow::Posted(posted);
            } else if !terms.is_plain() {
                // It has become so since the place of the record was reckoned.
                let record_bytes = pending.record_bytes + debit::ADJUSTMENT_BYTES_MAX as u32;
                return Slow::Deferred(Box::new(Pending { record_bytes, can_tell: true, ..*pending }));
            }
            let balance = Amount::new(reading.balance);
            let operation = if terms.deadline().is_some_and(|deadline| self.now >= deadline) {
                WalletOperation::new(Operation::Due, self.now)
            } else {
                if let Err(rejection) = decide_debit(terms, balance, plan.amount, plan.policy) {
                    return self.refused(handle, pending, rejection, balance, terms.available(balance));
                }
                self.debit_operation(pending)
            };
            let needed = operation.log_bytes(terms);
            if !budget.covers(needed) {
                let slow_bytes = needed + needed / 2 + SLOW_BYTES_PER_EVENT;
                return Slow::Deferred(Box::new(Pending { slow_bytes, ..*pending }));
            }
            let is_debit = operation.event.is_some();
            let Ok(changed) = slot.change(&driver, reading.generation, operation, guard) else { continue };
            self.inner.counters.operation();
            if is_debit {
                let new = &*changed.generation.terms().get();
                return match changed.effects.result {
                    Ok(taken) => {
                        let lsn = Lsn::new(changed.generation.opened_at());
                        let crossed = crossed_lines(new.levels.as_deref(), &changed.effects.effects.crossed);
                        decided(EventOutcome {
                            status: EventStatus::Applied,
                            amount: taken.amount,
                            shortfall: taken.shortfall,
                            balance: new.opening,
                            available: new.available(new.opening),
                            scale: plan.scale,
                            entry: Some(lsn),
                            crossed,
                        })
                    }
                    // Another debit was quicker between the reading and the seal.
                    Err(rejection) => self.refused(handle, pending, rejection, new.opening, new.available(new.opening)),
                };
            }
        }
    }

    /// The wallet refuses the event: answered, and noted for the feed.
    fn refused(&self, slot: u32, pending: &Pending, rejection: Rejection, balance: Amount, available: Amount) -> Slow {
        let event = &self.events[pending.index as usize];
        self.inner.note_refusal(slot, event, &pending.plan, rejection, balance, available, self.now);
        decided(rejected(rejection, Some(&pending.plan), balance, available))
    }

    /// Bytes of what was reserved for an event's record that are there for an adjustment.
    fn room_for_adjustment(&self, pending: &Pending) -> usize {
        let event = &self.events[pending.index as usize];
        let own_source = pending.has_own_source.then_some(event.source);
        pending.record_bytes as usize - debit::length(event.id, own_source, pending.plan.metered.as_ref())
    }

    fn debit_operation(&self, pending: &Pending) -> WalletOperation {
        let plan = &pending.plan;
        let event = &self.events[pending.index as usize];
        WalletOperation {
            operation: Operation::Debit { amount: plan.amount, policy: plan.policy },
            at: self.now,
            event: Some(OwnedEvent {
                id: event.id.into(),
                source: event.source.into(),
                time: plan.time,
                metered: plan.metered,
            }),
            repair: Repair::default(),
            note: None,
            keyed: None,
        }
    }
}

fn decided(outcome: EventOutcome) -> Slow {
    Slow::Decided(Box::new(outcome))
}

/// Names of crossed lines, highest first.
fn crossed_lines(levels: Option<&Levels>, crossed: &Lines) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = levels
        .into_iter()
        .flat_map(|levels| levels.of_mask(crossed.levels))
        .map(|level| Arc::from(&*level.name))
        .collect();
    names.reverse();
    names.extend(crossed.depleted.then(|| built_in(&CROSSED_DEPLETED)));
    names.extend(crossed.negative.then(|| built_in(&CROSSED_NEGATIVE)));
    names
}

impl Inner {
    /// Notes for the feed that a wallet refused an event.
    #[expect(clippy::too_many_arguments, reason = "what is at hand where it is decided, in two places")]
    pub(super) fn note_refusal(
        &self,
        slot: u32,
        event: &UsageEvent<'_>,
        plan: &Plan,
        rejection: Rejection,
        balance: Amount,
        available: Amount,
        at: Timestamp,
    ) {
        let (event_id, source, event_time, amount) = (event.id, event.source, plan.time, plan.amount);
        let refused = Refused { at, event_id, source, event_time, amount, rejection, balance, available };
        self.refusals.note(slot, &refused);
    }
}
