//! Making the occurrences of recurring grants ahead of time.

use super::{OfCustomer, Recurring, lock};
use crate::engine::view::CommandError;
use crate::engine::wallet::WalletOperation;
use crate::engine::{Engine, Inner};
use crate::journal::admin::{AdminRecord, Declared, GrantRecord, Recurrence};
use crate::ledger::{Amount, GrantId, NewGrant, Occurrence, Operation, Special, Status, Timestamp, transition};
use crate::store::pin;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Occurrences that are made ahead at the least.
const AHEAD_MIN: u64 = 2;
/// What falls into this time is made ahead, too, ms.
const AHEAD_MS: u64 = 3_600_000;
/// Occurrences that are made ahead at most.
const AHEAD_MAX: u64 = 64;
/// Of occurrences that were missed, so many of the newest are made.
const CAUGHT_UP_MAX: u64 = 1_000;
/// How long until the next try, ms, when the log took nothing, and when the rules refused an occurrence.
const RETRY_MS: u64 = 1_000;
const REFUSED_MS: u64 = 60_000;
/// Recurring grants that a round looks at.
const ROUND: usize = 256;

/// When which recurring grant is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<BTreeSet<(Timestamp, Box<str>, String)>>);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, Box<str>, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, at: Timestamp, customer: &str, id: &str) {
        self.lock().insert((at, customer.into(), id.to_owned()));
    }

    fn pop_due(&self, now: Timestamp) -> Option<(Box<str>, String)> {
        let mut queue = self.lock();
        let is_due = queue.first().is_some_and(|(at, _, _)| *at <= now);
        let (_, customer, id) = if is_due { queue.pop_first()? } else { return None };
        Some((customer, id))
    }
}

impl Engine {
    /// Looks at every recurring grant: ends what a crash kept from being ended, and makes what is missing, as many as were missed.
    pub(in crate::engine) fn begin_recurring(&self) {
        let inner = &*self.inner;
        let now = inner.now();
        for of_customer in &inner.recurrings.by_customer {
            for id in lock(of_customer.value()).keys() {
                inner.recurrings.queue.push(now, of_customer.key(), id);
            }
        }
        while inner.recur(now, ROUND) {}
    }
}

impl Inner {
    /// Looks at up to `count` recurring grants whose time has come by `now`. Answers whether there were any.
    pub(in crate::engine) fn recur(&self, now: Timestamp, count: usize) -> bool {
        let mut any = false;
        for _ in 0..count {
            let Some((customer, id)) = self.recurrings.queue.pop_due(now) else { break };
            any = true;
            let Some(of_customer) = self.recurrings.of(&customer) else { continue };
            // Who asks is told by the queue: it is tried again.
            let _ = self.keep_up(&customer, &lock(&of_customer), &id, now);
        }
        any
    }

    /// A round of the background's.
    pub(in crate::engine) fn recur_round(&self) -> bool {
        self.recur(self.now(), ROUND)
    }

    /// Brings a recurring grant's occurrences up to `now`, and notes when it is to be looked at next.
    pub(super) fn keep_up(
        &self,
        customer: &str,
        all: &OfCustomer,
        id: &str,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let Some(recurring) = all.get(id) else { return Ok(()) };
        let made = self.end_others(all, recurring.record.slot, now).and_then(|()| self.make_ahead(recurring, now));
        let (next, outcome) = match made {
            Ok(next) => (next, Ok(())),
            // The rules say no: there is no room in the wallet. Whoever asked for the recurring grant has it all the same.
            Err(CommandError::Rejected(rejection)) => {
                tracing::warn!(
                    customer,
                    id,
                    rejection = rejection.slug(),
                    "an occurrence of a recurring grant is refused"
                );
                (Some(now.saturating_add(REFUSED_MS)), Ok(()))
            }
            Err(error) => (Some(now.saturating_add(RETRY_MS)), Err(error)),
        };
        if let Some(next) = next {
            self.recurrings.queue.push(next, customer, id);
        }
        outcome
    }

    /// Ends the schedules of versions that do not stand any more.
    fn end_others(&self, all: &OfCustomer, slot: u32, now: Timestamp) -> Result<(), CommandError> {
        let guard = pin();
        let Some((terms, _)) = self.read_at(slot, now, &guard) else { return Ok(()) };
        let stands = |schedule| {
            let mut live = all.values().filter(|recurring| !recurring.record.stopped);
            live.any(|recurring| recurring.schedule == schedule)
        };
        let others = terms.riders.progress.iter().map(|progress| progress.schedule).filter(|other| !stands(*other));
        for schedule in others {
            self.operate(slot, WalletOperation::new(Operation::EndSchedule { schedule }, now), &guard)?;
        }
        Ok(())
    }

    /// Makes what is missing of a recurring grant. Answers when it is to be looked at again, if ever.
    fn make_ahead(&self, recurring: &Recurring, now: Timestamp) -> Result<Option<Timestamp>, CommandError> {
        let (record, schedule) = (&recurring.record, &recurring.record.schedule);
        if record.stopped {
            return Ok(None);
        }
        let future = schedule.first_after(now);
        let in_time = schedule.first_after(now.saturating_add(AHEAD_MS));
        let target = (future + AHEAD_MIN).max(in_time).min(future + AHEAD_MAX);
        loop {
            let Some((terms, _)) = self.read_at(record.slot, now, &pin()) else { return Ok(None) };
            if terms.status == Status::Closed {
                return Ok(None);
            }
            let next = terms.riders.next_of(recurring.schedule).max(future.saturating_sub(CAUGHT_UP_MAX));
            if next >= target {
                return Ok(schedule.begin(future));
            }
            let Some(begin) = schedule.begin(next) else { return Ok(None) };
            self.make_occurrence(recurring, next, begin, now)?;
        }
    }

    fn make_occurrence(
        &self,
        recurring: &Recurring,
        number: u64,
        begin: Timestamp,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let Recurring { schedule, record } = recurring;
        let guard = pin();
        let expires_at = record.schedule.end(number);
        let mut grant = NewGrant {
            // Higher than any number given out so far, for the trial; and an even one, for what may roll over.
            id: GrantId::new(u64::MAX >> 1 & !1),
            amount: record.amount,
            priority: record.priority,
            category: record.category,
            effective_at: begin,
            expires_at,
            cost: record.cost_basis.as_ref().map(|cost| cost.amount),
            // What an operator has set up is not bound by it.
            max_balance: None,
            special: Special {
                rollover: record.rollover,
                occurrence: Some(Occurrence { schedule: *schedule, number }),
                payment: None,
            },
        };
        let reading = self.slab.get(record.slot).read(&guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        let balance = Amount::new(reading.balance);
        let trial = transition(&reading.generation.terms().get(), balance, &Operation::Grant(grant), now);
        trial.result.map_err(CommandError::Rejected)?;
        let recurrence = Recurrence { id: record.id.clone(), version: record.version, schedule: *schedule, number };
        let declaration = self.append_admin(&AdminRecord::Grant(GrantRecord {
            slot: record.slot,
            amount: record.amount,
            source: record.source,
            category: record.category,
            priority: record.priority,
            effective_at: begin,
            effective_at_given: true,
            expires_at,
            cost_basis: record.cost_basis.clone(),
            key: None,
            metadata: record.metadata.clone(),
            created_at: now,
            declared: Declared { rollover: record.rollover, recurrence: Some(recurrence), ..Declared::default() },
        }))?;
        grant.id = GrantId::new(declaration.get());
        self.operate(record.slot, WalletOperation::new(Operation::Grant(grant), now), &guard)?;
        self.counters.grant();
        Ok(())
    }
}
