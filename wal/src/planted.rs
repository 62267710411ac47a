//! Bugs on purpose: a simulation that does not find them is worth nothing.
//!
//! This module, and each of the few places that ask it, is there with `--cfg drawdown_planted` alone. No other build has any of it.

use std::sync::atomic::{AtomicU8, Ordering};

/// A bug that can be planted, in this crate or in one that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// The durable LSN moves before the sync.
    AnswersBeforeSync = 1,
    /// A snapshot leaves out the debits whose generation is opened behind it.
    ForgetsUnopenedDebits,
    /// Money that comes after its purchase was given up credits again when it is told once more.
    CreditsLateMoneyTwice,
    /// Whether a grant that was declared took effect is not looked up after a crash.
    CreditsAgainAfterCrash,
    /// Charges leave before what they follow from is durable.
    ChargesBeforeIntent,
    /// A rule's limits count nothing that was bought.
    CountsNoPurchase,
    /// Whether credits were taken back is not looked up after a crash.
    TakesBackAgainAfterCrash,
    /// Credits whose payment is disputed stay usable.
    FreezesNothing,
    /// A part that was confirmed as the last payment buys all of it.
    CreditsPartsAsWhole,
}

/// Of all threads: what is planted is the code, and not a value.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in place of any other, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
}

/// Whether a bug is planted.
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::SeqCst) == bug as u8
}
