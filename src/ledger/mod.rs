//! The rules of the ledger: pure functions over plain values. `std` only; time and identifiers are arguments.

mod amount;
mod decimal;
mod time;

pub use amount::{Amount, AmountError, PriceError, Rounding, Scale, price};
pub use decimal::{Decimal, DecimalError};
pub use time::{Expiry, Timestamp};
