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
//!
//! Each step is a pass over the whole batch, so that the cache lines that one pass will miss are requested by the pass before it: three
//! lines an event (index, identity, wallet), all of them random. What the passes share lies in an arena that the thread keeps.

mod group;
mod page;
mod plan;
mod recall;
mod round;
mod sift;
mod slow;

use super::event::{EventOutcome, UsageEvent};
use super::stats::Tally;
use super::ticket::Ticket;
use super::view::{CheckOutcome, Unavailable};
use super::{Engine, Inner};
use crate::engine::event::Charge;
use crate::journal::debit;
use crate::ledger::{Amount, Policy, Rejection, Timestamp, decide_debit};
use crate::store::word::Deadline;
use crate::store::{Guard, pin};
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;
use plan::{Plan, Planner, same_text};
use recall::rejected;
use std::cell::Cell;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

pub use group::MAX_GROUP_EVENTS;

/// Events that are planned before the first of them is looked up: more than it takes to fetch a line from memory, and few enough to stay in
/// the nearest cache.
const GROUP: usize = 32;

/// Log space that an event is admitted to for an operation, beside its debit's record.
const SLOW_BYTES_PER_EVENT: u64 = 64;

static CROSSED_DEPLETED: LazyLock<Arc<str>> = LazyLock::new(|| "depleted".into());
static CROSSED_NEGATIVE: LazyLock<Arc<str>> = LazyLock::new(|| "negative".into());

thread_local! {
    /// What the last batch of this thread left to be used again.
    static ARENA: Cell<Option<Bump>> = const { Cell::new(None) };
}

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
        inner.room.check()?;
        let now = inner.now();
        let mut arena = ARENA.take().unwrap_or_default();
        let mut tally = Tally::default();
        outcomes.clear();
        let decided = Batch {
            inner,
            events,
            now,
            deadline: Deadline::from_unix_ms(now.millis()),
            outcomes,
            tally: &mut tally,
            arena: &arena,
        }
        .run();
        arena.reset();
        ARENA.set(Some(arena));
        decided?;
        inner.counters.count(&tally, outcomes);
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
        let price = Planner::new(inner, &catalog, now).price(charge)?;
        if price.amount <= Amount::ZERO {
            return Err(Rejection::InvalidAmount);
        }
        let guard = pin();
        let wallet = inner.seed.wallet_hash(customer.as_bytes(), price.currency.number.0);
        let slot = inner.find(wallet, &guard).ok_or(Rejection::UnknownWallet)?;
        let (terms, balance) = inner.read_at(slot, now, &guard).ok_or(Rejection::UnknownWallet)?;
        let decision = decide_debit(&terms, balance, price.amount, policy.unwrap_or(price.policy));
        Ok(CheckOutcome {
            allowed: decision.is_ok(),
            amount: price.amount,
            balance,
            available: terms.available(balance),
            scale: price.currency.scale,
            reason: decision.err(),
        })
    }
}

/// An event on its way.
#[derive(Clone, Copy)]
struct Pending {
    plan: Plan,
    index: u32,
    /// The wallet, if there is one.
    slot: Option<u32>,
    /// Payload bytes that its record takes, or may take.
    record_bytes: u32,
    /// Its source is not the one that the batch's frames name.
    has_own_source: bool,
    /// Its record has room for what is available beside the balance.
    can_tell: bool,
    /// Log bytes that it may need on the slow path.
    slow_bytes: u64,
}

/// A batch being decided.
struct Batch<'a> {
    inner: &'a Inner,
    events: &'a [UsageEvent<'a>],
    now: Timestamp,
    deadline: Deadline,
    outcomes: &'a mut Vec<EventOutcome>,
    tally: &'a mut Tally,
    arena: &'a Bump,
}

impl<'a> Batch<'a> {
    fn run(mut self) -> Result<(), Unavailable> {
        let guard = pin();
        let pending = self.plan(&guard);
        // What is too large for one frame of this log is decided in parts.
        let at_once = !pending.is_empty() && (self.fits_surely(pending.len()) || self.fits(&pending));
        let mut pending = if at_once { self.first_round(&pending, &guard)? } else { pending };
        drop(guard);
        while !pending.is_empty() {
            pending = self.further_round(pending)?;
        }
        Ok(())
    }

    /// The source that the batch's frames name: records of other sources carry theirs.
    fn frame_source(&self) -> &'a str {
        self.events[0].source
    }

    /// Decides what needs no wallet, and finds the wallets of all other events.
    fn plan(&mut self, guard: &Guard) -> ArenaVec<'a, Pending> {
        let catalog = self.inner.catalog.snapshot();
        let mut planner = Planner::new(self.inner, &catalog, self.now);
        let mut pending = ArenaVec::with_capacity_in(self.events.len(), self.arena);
        self.outcomes.reserve(self.events.len());
        // Group by group: plan the events and request their places in the index; look those up and request the wallets' lines; look at those
        // one group later.
        let (mut found, mut sought) = (0, 0);
        for first in (0..self.events.len()).step_by(GROUP) {
            let last = self.events.len().min(first + GROUP);
            for index in first..last {
                self.plan_event(index, &mut planner, &mut pending, guard);
            }
            for pending in &mut pending[sought..] {
                pending.slot = self.inner.index.candidate(pending.plan.wallet, guard);
                if let Some(slot) = pending.slot {
                    self.inner.slab.prefetch(slot);
                }
            }
            self.find(&mut pending, found..sought, guard);
            (found, sought) = (sought, pending.len());
        }
        self.find(&mut pending, found..sought, guard);
        pending
    }

    #[inline]
    fn plan_event<'p>(
        &mut self,
        index: usize,
        planner: &mut Planner<'p>,
        pending: &mut ArenaVec<'a, Pending>,
        guard: &Guard,
    ) where
        'a: 'p,
    {
        let event = &self.events[index];
        let outcome = match planner.plan(event) {
            Ok(plan) => {
                self.inner.index.prefetch(plan.wallet, guard);
                self.inner.idempotency.prefetch(plan.fingerprint, guard);
                let has_own_source = !same_text(event.source, self.frame_source());
                let own_source = has_own_source.then_some(event.source);
                let record_bytes = debit::length(event.id, own_source, plan.metered.as_ref()) as u32;
                let (index, slow_bytes) = (index as u32, SLOW_BYTES_PER_EVENT);
                pending.push(Pending {
                    plan,
                    index,
                    slot: None,
                    record_bytes,
                    has_own_source,
                    can_tell: false,
                    slow_bytes,
                });
                UNDECIDED
            }
            Err(rejection) => rejected(rejection, None, Amount::ZERO, Amount::ZERO),
        };
        self.outcomes.push(outcome);
    }

    /// Makes sure of the wallets of some events, and learns how much their records may take.
    #[expect(clippy::inline_always, reason = "out of line, its loop costs the batch fifty instructions an event")]
    #[inline(always)]
    fn find(&self, pending: &mut [Pending], range: Range<usize>, guard: &Guard) {
        for pending in &mut pending[range] {
            let wallet = pending.plan.wallet;
            pending.slot = match pending.slot {
                Some(slot) if self.inner.slab.get(slot).has_key(wallet.key) => Some(slot),
                _ => self.inner.find(wallet, guard),
            };
            let Some(slot) = pending.slot.map(|slot| self.inner.slab.get(slot)) else { continue };
            if !slot.is_plain() {
                pending.record_bytes += debit::ADJUSTMENT_BYTES_MAX as u32;
                pending.can_tell = true;
            }
        }
    }
}

/// Stands for the outcome of an event until its round decides; every pending event gets decided.
const UNDECIDED: EventOutcome = rejected(Rejection::UnknownWallet, None, Amount::ZERO, Amount::ZERO);
