//! The rules of the ledger: pure functions over plain values.
//!
//! A wallet's life is a row of *generations*. Within one its [`Terms`] are immutable and debits lower a single number, the
//! balance; everything else is an [`Operation`], which closes the generation at some balance and, through [`transition()`],
//! gives the terms of the next one together with everything that happened on the way ([`Change`]).
//!
//! What this module guarantees:
//! 1. The same inputs give the same outputs, on every machine and at every replay: there is no clock, no randomness, no
//!    hash order and no float in here. Time and identifiers are arguments.
//! 2. No arithmetic wraps. An amount that does not fit is a [`Rejection`], never a wrong balance.
//! 3. Credits are conserved: a closing balance plus [`Movement::delta`] of every movement is the next opening balance.
//! 4. A debit of at most [`Terms::headroom`] can neither be refused nor cross a threshold, so whoever applies it needs one
//!    comparison and none of the rules ([`Terms::base`] has the proof).
//!
//! What it deliberately does not know: names of customers and currencies, idempotency, bytes, threads. It imports `std`
//! only. Its callers are the engine (live and at replay) and the journal, which converts these types by hand.

mod amount;
pub mod calendar;
mod commitment;
mod debit;
mod decimal;
mod grant;
mod hold;
mod level;
mod operation;
mod rejection;
mod riders;
mod schedule;
mod single;
mod terms;
mod time;
mod transition;

pub use amount::{Amount, AmountError, PriceError, Rounding, Scale, price};
pub use calendar::{Interval, Unit};
pub use commitment::{Commitment, MAX_COMMITMENTS};
pub use debit::{Policy, Taken, decide_debit};
pub use decimal::{Decimal, DecimalError};
pub use grant::{Category, GrantId, Lot, MAX_PRIORITY, Source};
pub use hold::{
    Capture, HoldId, MAX_HOLDS, MAX_PARTS, NewHold, OnExceed, OpenHold, Part, Parts, decide_capture, decide_hold,
    find_hold,
};
pub use level::{Bearings, Level, LevelProblem, LevelStates, Levels, LevelsError, Percent, Trigger, Watches};
pub use operation::{Change, Effects, Lines, Movement, NewGrant, Operation, Return, Reversal};
pub use rejection::Rejection;
pub use riders::{Clause, Occurrence, Payment, Progress, Riders, Rollover, Special, Unpaid};
pub use schedule::{Ends, Schedule};
pub use single::{Single, SingleChange, SingleNext};
pub use terms::{Allocation, Holdings, Invariant, MAX_LOTS, Status, Terms};
pub use time::{Expiry, Timestamp};
pub use transition::{transition, transition_of};
