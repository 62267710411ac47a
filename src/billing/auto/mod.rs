//! Automatic top-ups: rules that buy credits when a wallet runs low.
//!
//! A rule ([`Rule`]) is what was set; its state ([`RuleState`]) is what has become of it. [`RuleState::evaluate`] says what is to be done now, and
//! when to look again; the other steps tell it what happened. Whoever keeps both evaluates whenever the balance, the rule, the customer's cards or
//! the day has changed; evaluating more often changes nothing.
//!
//! # Invariants
//! 1. At most one top-up is in flight.
//! 2. In no window of the calendar do the attempts that did not fail exceed a limit, by count or by amount, save by a success that came after its
//!    top-up had been given up: the money is there, so it is counted.
//! 3. What is asked for closes the whole gap: afterwards the rule does not fire again, whatever the debt was.
//! 4. What keeps a rule from firing is told once: per window of a limit, per cooldown, per back-off, per halt.
//! 5. A rule that waits says until when, if time alone ends the wait; at that instant it fires, if nothing else has changed.

mod rule;
mod size;
mod state;
mod tally;
#[cfg(test)]
mod tests;

pub use rule::{Limit, Mode, Rule};
pub use size::{Offer, Order, Unsizable};
pub use state::{
    Attempt, Facts, Halt, Lift, Lifted, News, RuleState, RuleStatus, Settled, Skip, SuspendReason, Verdict,
};
pub use tally::{Tally, Window};

/// Failures in a row that suspend a rule.
pub const FAILURES_MAX: u32 = 3;
/// How long a rule waits after the first failure, ms; twice as long after each further one.
pub const FIRST_RETRY_MS: u64 = 3_600_000;
