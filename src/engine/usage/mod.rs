//! The life of a batch of usage events: plan, admit, claim, reserve, apply, publish.
//!
//! The order is what makes it right. Planning and claiming (the idempotency probe) come before the reservation, for nothing between
//! reservation and publication may wait or fail. A batch *reserves* its place in the log, then *applies* its debits, then *publishes*
//! the records. The durable prefix of the log has no holes; so whoever saw an effect, and reserved after seeing it, lies behind that
//! effect's record, and when it is durable, so is what it relied on.
//!
//! Some events cannot be finished in the first round: those whose identity another batch has in flight (or an earlier event of the same
//! batch), and those that turn out to need more log space than the batch was admitted to. They are deferred to another round, which
//! starts when this one holds nothing any more, neither a reservation nor a claim; so rounds may wait, and no two batches wait for each
//! other.

mod plan;
mod recall;

use super::budget::Budget;
use super::event::{EventOutcome, EventStatus, UsageEvent};
use super::ticket::Ticket;
use super::view::{CheckOutcome, Unavailable};
use super::wallet::{OwnedEvent, WalletDriver, WalletOperation, WalletSlot, adjustment};
use super::{Engine, Inner};
use crate::engine::event::Charge;
use crate::journal::debit::{self, DebitRecord};
use crate::journal::frame::{Prelude, kind};
use crate::journal::operation::Repair;
use crate::ledger::{Amount, Levels, Lines, Operation, Policy, Rejection, Taken, Timestamp, decide_debit};
use crate::store::idempotency::{Claim, Entry};
use crate::store::slot::Posted;
use crate::store::word::Deadline;
use crate::store::{Guard, pin};
use drawdown_wal::FrameMut;
use plan::{Plan, Planner};
use recall::{Recall, rejected};
use std::sync::{Arc, LazyLock};

/// Log space that a round is admitted to for operations, beside its debits: a fixed part and one for each event.
const SLOW_BYTES: u64 = 32 << 10;
const SLOW_BYTES_PER_EVENT: u64 = 64;

static CROSSED_DEPLETED: LazyLock<Arc<str>> = LazyLock::new(|| "depleted".into());
static CROSSED_NEGATIVE: LazyLock<Arc<str>> = LazyLock::new(|| "negative".into());

fn built_in(name: &LazyLock<Arc<str>>) -> Arc<str> {
    Arc::clone(name)
}

impl Engine {
    /// Applies a batch of events; `outcomes` becomes one outcome an event, in order. Each event stands on its own.
    ///
    /// The outcomes may be told to anyone only when the ticket has resolved. A batch that the log has no room for is refused before anything
    /// is applied. Only if the log fails, or stays without room for seconds, between two rounds of one batch can an error come after some
    /// events were applied; the batch is then to be sent again, and each event still counts once.
    pub fn submit(&self, events: &[UsageEvent<'_>], outcomes: &mut Vec<EventOutcome>) -> Result<Ticket, Unavailable> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let catalog = inner.catalog.snapshot();
        let mut planner = Planner::new(inner, &catalog, now);
        let guard = pin();
        outcomes.clear();
        outcomes.reserve(events.len());
        let mut pending = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let refusal = match planner.plan(event) {
                Ok(plan) => {
                    inner.index.prefetch(plan.wallet, &guard);
                    inner.idempotency.prefetch(plan.fingerprint, &guard);
                    pending.push(Pending { index, plan, slot: None, slow_bytes: SLOW_BYTES_PER_EVENT });
                    // Stands until the event's round decides; every pending event gets decided.
                    Rejection::UnknownWallet
                }
                Err(rejection) => rejection,
            };
            outcomes.push(rejected(refusal, None, Amount::ZERO, Amount::ZERO));
        }
        drop(guard);
        let mut first = true;
        while !pending.is_empty() {
            pending = Round { inner, events, now, deadline: Deadline::from_unix_ms(now.millis()), first, outcomes }
                .run(pending)?;
            first = false;
        }
        inner.counters.count(outcomes);
        Ok(self.barrier())
    }

    /// Whether a debit would be applied now. Reads only; the answer holds for the instant of the reading.
    pub fn check(
        &self,
        customer: &str,
        charge: &Charge<'_>,
        policy: Option<Policy>,
    ) -> Result<CheckOutcome, Rejection> {
        let inner = &*self.inner;
        let now = inner.now();
        let catalog = inner.catalog.snapshot();
        let (currency, amount, _, default_policy) = Planner::new(inner, &catalog, now).price(charge)?;
        if amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        let guard = pin();
        let wallet = inner.seed.wallet_hash(customer.as_bytes(), currency.number.0);
        let slot = inner.find(wallet, &guard).ok_or(Rejection::UnknownWallet)?;
        let (terms, balance) = inner.read_at(slot, now, &guard).ok_or(Rejection::UnknownWallet)?;
        let decision = decide_debit(&terms, balance, amount, policy.unwrap_or(default_policy));
        Ok(CheckOutcome {
            allowed: decision.is_ok(),
            amount,
            balance,
            available: terms.available(balance),
            scale: currency.scale,
            reason: decision.err(),
        })
    }
}

/// An event on its way.
struct Pending {
    index: usize,
    plan: Plan,
    slot: Option<u32>,
    /// Log bytes that it may need on the slow path.
    slow_bytes: u64,
}

/// An event whose identity this round has in flight.
struct Claimed<'g> {
    pending: Pending,
    slot: u32,
    entry: Entry<'g>,
}

/// One round over the pending events of a batch.
struct Round<'a> {
    inner: &'a Inner,
    events: &'a [UsageEvent<'a>],
    now: Timestamp,
    deadline: Deadline,
    first: bool,
    outcomes: &'a mut [EventOutcome],
}

/// What the slow path made of an event.
enum Slow {
    /// Applied without an operation after all; with available credit less balance.
    Posted(Posted, i64),
    /// Decided.
    Decided(EventOutcome),
    /// It needs this many log bytes, more than are left.
    Deferred(u64),
}

impl<'a> Round<'a> {
    /// Decides the pending events, and answers those that need another round.
    fn run(mut self, mut pending: Vec<Pending>) -> Result<Vec<Pending>, Unavailable> {
        let mut deferred = Vec::new();
        if !self.first {
            self.wait_for_others(&pending);
            deferred = self.leave_for_later(&mut pending);
        }
        let bytes = self.log_bound(&pending);
        let admission = if self.first { self.inner.admit(bytes)? } else { self.inner.admit_wait(bytes)? };
        let budget = Budget(admission);
        let guard = pin();
        self.locate(&mut pending, &guard);
        let claimed = self.claim(pending, &mut deferred, &guard);
        if !claimed.is_empty() {
            self.apply(claimed, &mut deferred, &budget, &guard);
        }
        Ok(deferred)
    }

    /// Waits until the identities that others have in flight are decided. This batch holds none of its own meanwhile.
    fn wait_for_others(&self, pending: &[Pending]) {
        for pending in pending {
            self.inner.wait_settled(pending.plan.fingerprint);
        }
    }

    /// Takes out what one admission cannot cover, at least one event staying.
    fn leave_for_later(&self, pending: &mut Vec<Pending>) -> Vec<Pending> {
        let most = self.inner.log.max_admission_bytes() / 2;
        let mut fits = pending.len();
        while fits > 1 && self.log_bound(&pending[..fits]) > most {
            fits = fits.div_ceil(2);
        }
        pending.split_off(fits)
    }

    /// Log bytes that the events may take.
    fn log_bound(&self, pending: &[Pending]) -> u64 {
        let slow: u64 = pending.iter().map(|pending| pending.slow_bytes).sum();
        Budget::frame_bytes(self.frame_bound(pending.iter())) + SLOW_BYTES + slow
    }

    /// Payload bytes that the events' records take at the most.
    fn frame_bound<'p>(&self, pending: impl Iterator<Item = &'p Pending>) -> usize {
        let records = pending.map(|pending| {
            let event = &self.events[pending.index];
            debit::length_bound(event.id, event.source, pending.plan.metered.is_some())
        });
        Prelude::length("") + super::MAX_ID_BYTES + records.sum::<usize>()
    }

    /// Finds the wallets, and fetches the lines that the debits will touch.
    fn locate(&self, pending: &mut [Pending], guard: &Guard) {
        for pending in pending {
            pending.slot = self.inner.find(pending.plan.wallet, guard);
            if let Some(slot) = pending.slot {
                self.inner.slab.prefetch(slot);
            }
        }
    }

    /// The idempotency probe. Decides duplicates, conflicts and unknown wallets; defers what others have in flight.
    fn claim<'g>(&mut self, pending: Vec<Pending>, deferred: &mut Vec<Pending>, guard: &'g Guard) -> Vec<Claimed<'g>>
    where
        'a: 'g,
    {
        let mut claimed = Vec::with_capacity(pending.len());
        for pending in pending {
            let index = pending.index;
            let Some(slot) = pending.slot else {
                self.outcomes[index] =
                    rejected(Rejection::UnknownWallet, Some(&pending.plan), Amount::ZERO, Amount::ZERO);
                continue;
            };
            // Other events that happen to have the same fingerprint.
            let mut strangers = Vec::new();
            loop {
                match self.inner.idempotency.claim(pending.plan.fingerprint, &strangers, guard) {
                    Claim::New(entry) => {
                        claimed.push(Claimed { pending, slot, entry });
                        break;
                    }
                    Claim::Existing { lsn } => {
                        match self.inner.recall(lsn, &self.events[index], &pending.plan, pending.slot) {
                            Recall::Same(outcome) => self.outcomes[index] = outcome,
                            Recall::Conflict => {
                                self.outcomes[index] =
                                    rejected(Rejection::IdConflict, Some(&pending.plan), Amount::ZERO, Amount::ZERO);
                            }
                            Recall::Stranger => {
                                strangers.push(lsn);
                                continue;
                            }
                        }
                        break;
                    }
                    Claim::InFlight(_) => {
                        deferred.push(pending);
                        break;
                    }
                }
            }
        }
        claimed
    }

    /// Reserves, applies, publishes, and settles the claims.
    fn apply(&mut self, claimed: Vec<Claimed<'_>>, deferred: &mut Vec<Pending>, budget: &Budget<'_>, guard: &Guard) {
        let source = self.events[claimed[0].pending.index].source;
        let bound = self.frame_bound(claimed.iter().map(|claimed| &claimed.pending));
        let frame = budget.reserve(kind::USAGE, bound).expect("the round was admitted with its frame");
        let mut page = Page::new(frame, self.now, source);
        let mut settled = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            let slot = self.inner.slab.get(claimed.slot);
            let slow = match slot.debit(claimed.pending.plan.amount.units(), self.deadline) {
                Some(posted) => Slow::Posted(posted, 0),
                None => self.debit_slow(slot, &claimed, budget, guard),
            };
            match slow {
                Slow::Posted(posted, adjustment) => {
                    let outcome = self.record(&mut page, slot, &claimed, posted, adjustment);
                    settled.push((claimed.entry, outcome.entry));
                    self.outcomes[claimed.pending.index] = outcome;
                }
                Slow::Decided(outcome) => {
                    settled.push((claimed.entry, outcome.entry));
                    self.outcomes[claimed.pending.index] = outcome;
                }
                Slow::Deferred(bytes) => {
                    settled.push((claimed.entry, None));
                    deferred.push(Pending { slow_bytes: bytes, ..claimed.pending });
                }
            }
        }
        page.publish();
        // Only now: whoever finds a finished entry reads the record behind it.
        for (entry, lsn) in settled {
            match lsn {
                Some(lsn) => entry.finish(lsn.get()),
                None => entry.give_up(),
            }
        }
    }

    /// Writes the record of a debit that the fast path has applied.
    fn record(
        &self,
        page: &mut Page<'_>,
        slot: &WalletSlot,
        claimed: &Claimed<'_>,
        posted: Posted,
        adjustment: i64,
    ) -> EventOutcome {
        let event = &self.events[claimed.pending.index];
        let plan = &claimed.pending.plan;
        let lsn = page.lsn();
        page.write(&DebitRecord {
            slot: claimed.slot,
            generation: posted.generation as u32,
            amount: plan.amount,
            balance_after: Amount::new(posted.balance),
            adjustment,
            previous: slot.link(lsn.get()),
            event_time: plan.time,
            time: self.now,
            source: event.source,
            id: event.id,
            metered: plan.metered,
        });
        EventOutcome {
            status: EventStatus::Applied,
            amount: plan.amount,
            shortfall: Amount::ZERO,
            balance: Amount::new(posted.balance),
            available: Amount::new(posted.balance.saturating_add(adjustment)),
            scale: plan.scale,
            entry: Some(lsn),
            crossed: Vec::new(),
        }
    }

    /// The slow path: too little headroom, terms that are due to change, or an operation under way.
    #[cold]
    fn debit_slow(&self, slot: &WalletSlot, claimed: &Claimed<'_>, budget: &Budget<'_>, guard: &Guard) -> Slow {
        let driver = WalletDriver { handle: claimed.slot, budget };
        let plan = &claimed.pending.plan;
        loop {
            // Whatever is under way is finished by now, so the fast path may do after all.
            let Some(reading) = slot.read_settled(&driver, guard) else {
                return Slow::Decided(rejected(Rejection::UnknownWallet, Some(plan), Amount::ZERO, Amount::ZERO));
            };
            if let Some((posted, generation)) =
                slot.debit_from(reading.generation, plan.amount.units(), self.deadline, guard)
            {
                return Slow::Posted(posted, adjustment(generation.terms()));
            }
            let terms = reading.generation.terms();
            let balance = Amount::new(reading.balance);
            let operation = if terms.deadline().is_some_and(|deadline| self.now >= deadline) {
                WalletOperation::new(Operation::Due, self.now)
            } else {
                if let Err(rejection) = decide_debit(terms, balance, plan.amount, plan.policy) {
                    return Slow::Decided(rejected(rejection, Some(plan), balance, terms.available(balance)));
                }
                self.debit_operation(claimed)
            };
            let needed = operation.log_bytes(terms);
            if !budget.covers(needed) {
                return Slow::Deferred(needed + needed / 2 + SLOW_BYTES_PER_EVENT);
            }
            let is_debit = operation.event.is_some();
            let Ok(changed) = slot.change(&driver, reading.generation, operation, guard) else { continue };
            if is_debit {
                let new = changed.generation.terms();
                return Slow::Decided(match changed.effects.result {
                    Ok(taken) => {
                        let lsn = drawdown_wal::Lsn::new(changed.generation.opened_at());
                        operation_outcome(plan, taken, new, &changed.effects.effects.crossed, lsn)
                    }
                    // Another debit was quicker between the reading and the seal.
                    Err(rejection) => rejected(rejection, Some(plan), new.opening, new.available(new.opening)),
                });
            }
        }
    }

    fn debit_operation(&self, claimed: &Claimed<'_>) -> WalletOperation {
        let plan = &claimed.pending.plan;
        let event = &self.events[claimed.pending.index];
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
        }
    }
}

fn operation_outcome(
    plan: &Plan,
    taken: Taken,
    new: &crate::ledger::Terms,
    crossed: &Lines,
    entry: drawdown_wal::Lsn,
) -> EventOutcome {
    EventOutcome {
        status: EventStatus::Applied,
        amount: taken.amount,
        shortfall: taken.shortfall,
        balance: new.opening,
        available: new.available(new.opening),
        scale: plan.scale,
        entry: Some(entry),
        crossed: crossed_lines(new.levels.as_deref(), crossed),
    }
}

/// Names of crossed lines, highest first.
pub(super) fn crossed_lines(levels: Option<&Levels>, crossed: &Lines) -> Vec<Arc<str>> {
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

/// The frame of a round, filled from the front.
struct Page<'a> {
    frame: FrameMut<'a>,
    source: &'a str,
    used: usize,
    count: u32,
}

impl<'a> Page<'a> {
    fn new(mut frame: FrameMut<'a>, time: Timestamp, source: &'a str) -> Self {
        let used = Prelude { time, source }.write(frame.payload_mut());
        Page { frame, source, used, count: 0 }
    }

    /// Where the next record will stand.
    fn lsn(&self) -> drawdown_wal::Lsn {
        drawdown_wal::Lsn::new(self.frame.payload_lsn().get() + self.used as u64)
    }

    fn write(&mut self, record: &DebitRecord<'_>) {
        let out = &mut self.frame.payload_mut()[self.used..];
        self.used += record.write(out, self.used as u32, self.source);
        self.count += 1;
    }

    /// Publishes the records; without any, the whole place becomes padding.
    fn publish(self) {
        if self.count > 0 {
            self.frame.publish(self.used, self.count);
        }
    }
}
