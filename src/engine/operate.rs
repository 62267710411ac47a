//! A wallet's generation ended and the next begun by an operation, unless the rules refuse it.

use super::Inner;
use super::budget::Budget;
use super::view::CommandError;
use super::wallet::{WalletDriver, WalletOperation};
use crate::ledger::{Amount, Operation, Terms, transition};
use crate::store::Guard;

impl Inner {
    /// Ends the wallet's present generation with `operation`, unless the rules refuse it.
    ///
    /// A refusal leaves no trace, save in a race: then the generation changes and nothing else does.
    ///
    /// A wallet gets the default levels of its currency with that, if it has none of its own and does not follow them yet.
    pub(super) fn operate(&self, handle: u32, operation: WalletOperation, guard: &Guard) -> Result<(), CommandError> {
        let at = operation.at;
        let is_new = self.slab.get(handle).read(guard).is_some_and(|reading| reading.generation.number() == 1);
        let takes_levels = matches!(operation.operation, Operation::SetLevels(Some(_)));
        if !is_new && !takes_levels {
            self.follow_defaults(handle, at, guard)?;
        }
        self.operate_alone(handle, operation, guard)?;
        if is_new && !takes_levels {
            // A wallet's first operation is its first grant, whatever levels it is to have. If the log has no room for more just now, they
            // come with the next change.
            let _ = self.follow_defaults(handle, at, guard);
        }
        Ok(())
    }

    /// As [`Inner::operate`], and nothing beside it.
    pub(super) fn operate_alone(
        &self,
        handle: u32,
        operation: WalletOperation,
        guard: &Guard,
    ) -> Result<(), CommandError> {
        let slot = self.slab.get(handle);
        let mut operation = operation;
        let mut bytes = operation.log_bytes(&Terms::new());
        loop {
            let budget = Budget(self.admit_wait(room_to_operate(bytes))?);
            let driver = WalletDriver::new(self, handle, &budget);
            let reading = slot.read_settled(&driver, guard).ok_or(CommandError::NotFound { what: "wallet" })?;
            let terms = &*reading.generation.terms().get();
            let trial = transition(terms, Amount::new(reading.balance), &operation.operation, operation.at);
            if let Err(rejection) = trial.result {
                return Err(CommandError::Rejected(rejection));
            }
            let needed = operation.log_bytes(terms);
            if !budget.covers(needed) {
                bytes = needed;
                continue;
            }
            match slot.change(&driver, reading.generation, operation, guard) {
                Ok(changed) => {
                    self.counters.operation();
                    return changed.effects.result.map(|_| ()).map_err(CommandError::Rejected);
                }
                Err(given_back) => operation = given_back,
            }
        }
    }
}

/// Log bytes that an operation is admitted to whose record takes so many: room for it, and for copies of what others have begun.
pub(super) const fn room_to_operate(record_bytes: u64) -> u64 {
    record_bytes * 2 + (16 << 10)
}
