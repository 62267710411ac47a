//! Operations on holds, carried out one after the other by a thread that was admitted to the log for all of them.

use super::requests::Standing;
use crate::engine::budget::Budget;
use crate::engine::catalog::Catalog;
use crate::engine::kept::Kept;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::wallet::{WalletDriver, WalletGeneration, WalletOperation, WalletSlot};
use crate::engine::{Inner, MAX_ID_BYTES};
use crate::journal::keyed::Keyed;
use crate::ledger::{
    Amount, HoldId, NewHold, OpenHold, Operation, Rejection, Scale, Taken, Timestamp, decide_hold, find_hold,
};
use crate::store::{Guard, collect};
use drawdown_wal::Lsn;
use std::cell::Cell;
use std::sync::Arc;

/// Log bytes that an operation on a hold takes in a wallet of few grants and holds; those that need more are done by themselves.
const BYTES_PER_OPERATION: u64 = 1024;
/// For operations of others that are met half done, and for what has fallen due.
const BYTES_FOR_OTHERS: u64 = 16 << 10;

/// Bytes of a declaration at most: an id of the longest, and less than half of that beside it.
const DECLARATION_BYTES_MAX: u64 = MAX_ID_BYTES as u64 * 3 / 2;
/// What is done with one admission at most: nobody else should wait for long.
const AT_ONCE_MAX: u64 = 256;

/// How many holds can be made, or captured, with one admission to this log.
pub(super) fn at_once(inner: &Inner) -> usize {
    let log = &inner.log;
    let room = (log.max_admission_bytes() / 2).saturating_sub(BYTES_FOR_OTHERS);
    let of_admission = room / (BYTES_PER_OPERATION + DECLARATION_BYTES_MAX);
    let of_frame = log.max_frame_bytes() / (2 * DECLARATION_BYTES_MAX);
    of_admission.min(of_frame).clamp(1, AT_ONCE_MAX) as usize
}

/// Operations behind which it is worth freeing what they left.
const MANY: usize = 64;

/// Frees what so many operations have left behind, if they are many. For threads that hold no guard any more.
pub(super) fn clear_up(operations: usize) {
    if operations >= MANY {
        collect();
    }
}

/// A share of the log, and what it is for.
pub(super) struct Work<'a> {
    inner: &'a Inner,
    budget: Budget<'a>,
    now: Timestamp,
    guard: &'a Guard,
    catalog: Arc<Catalog>,
    /// The scale of all currencies, if they have one: then nobody need look which a wallet's is.
    scale: Option<Scale>,
    /// Generations opened.
    opened: Cell<u64>,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.inner.counters.operations(self.opened.get());
    }
}

/// An operation to be carried out, and the key that its record is to carry.
pub(super) struct Order {
    pub(super) operation: Operation,
    pub(super) keyed: Option<Box<Keyed>>,
}

impl From<Operation> for Order {
    fn from(operation: Operation) -> Self {
        Order { operation, keyed: None }
    }
}

/// What became of something to be done.
pub(super) enum Made<T> {
    /// It was done or refused.
    Decided(Result<T, CommandError>),
    /// It needs more log space than is left: so much.
    Cramped(u64),
}

/// A wallet as a decision sees it, with nothing due.
pub(super) struct Wallet<'r> {
    pub(super) terms: &'r Kept,
    pub(super) balance: Amount,
    pub(super) generation: &'r WalletGeneration,
}

/// An operation that was carried out, or was not necessary.
pub(super) struct Done {
    pub(super) taken: Taken,
    pub(super) standing: Standing,
    /// The operation's record.
    pub(super) entry: Option<Lsn>,
}

impl<'r> Wallet<'r> {
    pub(super) fn open_hold(&self, id: HoldId) -> Option<&'r OpenHold> {
        find_hold(self.terms.holds(), id)
    }

    /// Why the rules would refuse a hold.
    pub(super) fn check(&self, new: &NewHold, now: Timestamp) -> Result<(), Rejection> {
        let (terms, available) = (self.terms, self.terms.available(self.balance));
        decide_hold(terms.status(), terms.holds().len(), available, new, now)
    }
}

impl<T> Made<T> {
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Made<U> {
        match self {
            Made::Decided(result) => Made::Decided(result.map(map)),
            Made::Cramped(bytes) => Made::Cramped(bytes),
        }
    }
}

impl<'a> Work<'a> {
    /// Waits for so many log bytes, and what so many operations take beside. Not for threads that hold a reservation.
    pub(super) fn admit(
        inner: &'a Inner,
        bytes: u64,
        operations: usize,
        now: Timestamp,
        guard: &'a Guard,
    ) -> Result<Self, Unavailable> {
        let bytes = bytes + BYTES_FOR_OTHERS + BYTES_PER_OPERATION * operations as u64;
        let budget = Budget(inner.admit_wait(bytes)?);
        let catalog = inner.catalog.snapshot();
        let mut scales = catalog.currencies().iter().map(|currency| currency.scale);
        let scale = scales.next().filter(|first| scales.all(|scale| scale == *first));
        Ok(Work { inner, budget, now, guard, catalog, scale, opened: Cell::new(0) })
    }

    pub(super) fn budget(&self) -> &Budget<'a> {
        &self.budget
    }

    /// Ends a wallet's generation with the operation that is decided upon, once nothing is due in it. It is decided anew whenever somebody
    /// else's operation was quicker. Deciding on none is success.
    pub(super) fn carry_out(
        &self,
        handle: u32,
        mut decide: impl FnMut(&Wallet<'_>) -> Result<Option<Order>, CommandError>,
    ) -> Made<Done> {
        let slot = self.inner.slab.get(handle);
        let driver = WalletDriver::new(self.inner, handle, &self.budget);
        loop {
            let Some(reading) = slot.read_settled(&driver, self.guard) else {
                return Made::Decided(Err(CommandError::NotFound { what: "wallet" }));
            };
            let terms = reading.generation.terms();
            let balance = Amount::new(reading.balance);
            let is_due = terms.is_due(self.now);
            let Order { operation, keyed } = if is_due {
                Operation::Due.into()
            } else {
                match decide(&Wallet { terms, balance, generation: reading.generation }) {
                    Ok(Some(order)) => order,
                    Ok(None) => {
                        let standing = self.standing(handle, balance, terms.available(balance));
                        return Made::Decided(Ok(Done { taken: Taken::default(), standing, entry: None }));
                    }
                    Err(error) => return Made::Decided(Err(error)),
                }
            };
            let operation = WalletOperation { keyed, ..WalletOperation::new(operation, self.now) };
            let needed = operation.log_bytes_after(terms);
            if !self.budget.covers(needed) {
                return Made::Cramped(2 * needed);
            }
            let Ok(changed) = slot.change(&driver, reading.generation, operation, self.guard) else { continue };
            self.opened.set(self.opened.get() + 1);
            if is_due {
                continue;
            }
            let new = changed.generation.terms();
            let opening = new.opening_balance();
            let standing = self.standing(handle, opening, new.available(opening));
            let entry = Some(Lsn::new(changed.generation.opened_at()));
            let done = changed.effects.result.map(|taken| Done { taken, standing, entry });
            return Made::Decided(done.map_err(CommandError::Rejected));
        }
    }

    fn standing(&self, handle: u32, balance: Amount, available: Amount) -> Standing {
        Standing { balance, available, scale: self.scale(handle) }
    }

    /// Decimal places of the amounts in a wallet.
    pub(super) fn scale(&self, handle: u32) -> Scale {
        self.scale.unwrap_or_else(|| self.inner.scale_in(&self.catalog, handle))
    }

    /// Fetches what is going to be needed of some wallets: a pass over all of them for each line that the next pass needs.
    pub(super) fn prefetch<I: Iterator<Item = u32>>(&self, handles: impl Fn() -> I) {
        let slots = || handles().map(|handle| self.inner.slab.get(handle));
        handles().for_each(|handle| self.inner.slab.prefetch(handle));
        slots().for_each(WalletSlot::prefetch_generation);
        for reading in slots().filter_map(|slot| slot.read(self.guard)) {
            reading.generation.terms().prefetch();
        }
    }
}

impl Inner {
    /// Why the rules would refuse a hold, as the wallet stands with what has fallen due.
    pub(super) fn would_refuse(&self, slot: u32, new: &NewHold, now: Timestamp, guard: &Guard) -> Option<Rejection> {
        let reading = self.slab.get(slot).read(guard)?;
        let (terms, balance) = (reading.generation.terms(), Amount::new(reading.balance));
        if !terms.is_due(now) {
            return Wallet { terms, balance, generation: reading.generation }.check(new, now).err();
        }
        let (terms, balance) = self.read_at(slot, now, guard)?;
        decide_hold(terms.status, terms.holds.len(), terms.available(balance), new, now).err()
    }
}
