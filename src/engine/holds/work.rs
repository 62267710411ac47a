//! Operations on holds, carried out one after the other by a thread that was admitted to the log for all of them.

use super::requests::Standing;
use crate::engine::Inner;
use crate::engine::budget::Budget;
use crate::engine::view::{CommandError, Unavailable};
use crate::engine::wallet::{WalletDriver, WalletGeneration, WalletOperation};
use crate::ledger::{Amount, NewHold, Operation, Rejection, Taken, Terms, Timestamp, decide_hold};
use crate::store::Guard;
use drawdown_wal::Lsn;

/// Log bytes that an operation on a hold takes in a wallet of few grants and holds; those that need more are done by themselves.
const BYTES_PER_OPERATION: u64 = 1024;
/// For operations of others that are met half done, and for what has fallen due.
const BYTES_FOR_OTHERS: u64 = 16 << 10;

/// A share of the log, and what it is for.
pub(super) struct Work<'a> {
    inner: &'a Inner,
    budget: Budget<'a>,
    now: Timestamp,
    guard: &'a Guard,
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
    pub(super) terms: &'r Terms,
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
        Ok(Work { inner, budget, now, guard })
    }

    pub(super) fn budget(&self) -> &Budget<'a> {
        &self.budget
    }

    /// Ends a wallet's generation with the operation that is decided upon, once nothing is due in it. It is decided anew whenever somebody
    /// else's operation was quicker. Deciding on none is success.
    pub(super) fn carry_out(
        &self,
        handle: u32,
        mut decide: impl FnMut(&Wallet<'_>) -> Result<Option<Operation>, CommandError>,
    ) -> Made<Done> {
        let slot = self.inner.slab.get(handle);
        let driver = WalletDriver { handle, budget: &self.budget };
        loop {
            let Some(reading) = slot.read_settled(&driver, self.guard) else {
                return Made::Decided(Err(CommandError::NotFound { what: "wallet" }));
            };
            let terms = &*reading.generation.terms().get();
            let balance = Amount::new(reading.balance);
            let is_due = terms.deadline().is_some_and(|deadline| self.now >= deadline);
            let operation = if is_due {
                Operation::Due
            } else {
                match decide(&Wallet { terms, balance, generation: reading.generation }) {
                    Ok(Some(operation)) => operation,
                    Ok(None) => {
                        let standing = self.standing(handle, balance, terms.available(balance));
                        return Made::Decided(Ok(Done { taken: Taken::default(), standing, entry: None }));
                    }
                    Err(error) => return Made::Decided(Err(error)),
                }
            };
            let operation = WalletOperation::new(operation, self.now);
            let needed = operation.log_bytes(terms);
            if !self.budget.covers(needed) {
                return Made::Cramped(2 * needed);
            }
            let Ok(changed) = slot.change(&driver, reading.generation, operation, self.guard) else { continue };
            self.inner.counters.operation();
            if is_due {
                continue;
            }
            let new = changed.generation.terms();
            let standing = self.standing(handle, new.opening_balance(), new.opening_available());
            let entry = Some(Lsn::new(changed.generation.opened_at()));
            let done = changed.effects.result.map(|taken| Done { taken, standing, entry });
            return Made::Decided(done.map_err(CommandError::Rejected));
        }
    }

    fn standing(&self, handle: u32, balance: Amount, available: Amount) -> Standing {
        Standing { balance, available, scale: self.inner.scale_of(handle) }
    }
}

impl Inner {
    /// Why the rules would refuse a hold, as the wallet stands. What has fallen due is looked at later, when it is carried out.
    pub(super) fn would_refuse(&self, slot: u32, new: &NewHold, now: Timestamp, guard: &Guard) -> Option<Rejection> {
        let (terms, balance) = self.read_at(slot, now, guard)?;
        decide_hold(&terms, balance, new, now).err()
    }
}
