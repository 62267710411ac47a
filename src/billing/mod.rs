//! Money in: what is sold, who pays with what, and what becomes of a payment.
//!
//! Everything in here decides and does nothing: a state and an event go in, the next state comes out together with what is to be done
//! about it ([`top_up::Effect`], [`auto::Verdict`]). Charging, granting and telling are others' work, who come back with how it went as another event.
//!
//! What this module guarantees:
//! 1. The same inputs give the same outputs: there is no clock, no randomness and no I/O. Times and ids are arguments.
//! 2. No arithmetic wraps, and money is never rounded but where a function says so, and which way.
//! 3. A top-up credits at most once, and refunds never exceed what was captured, whatever providers report, in whatever order and
//!    however often ([`top_up`]).
//! 4. A rule never has two top-ups in flight, and its limits are exact ([`auto`]).
//!
//! It leans on `ledger` (amounts, times, the calendar) and `catalog` (currencies). The journal turns these values into records, the engine
//! keeps them.

pub mod auto;
pub mod deposit;
pub mod invoice;
pub mod method;
pub mod money;
pub mod package;
pub mod portal;
pub mod recharge;
pub mod top_up;
pub mod window;

pub use method::{MethodStatus, PaymentMethod};
pub use money::{Money, MoneyCode};
pub use package::{CreditPackage, PackageSpec};
pub use window::Per;

/// The provider of what is collected elsewhere, and confirmed by who collects it.
pub const OUTSIDE: &str = "external";

/// A request that breaks a rule, and which field does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field, as it is named on the wire.
    pub field: &'static str,
    /// What is wrong with it.
    pub detail: String,
}

impl Invalid {
    fn new(field: &'static str, detail: impl Into<String>) -> Invalid {
        Invalid { field, detail: detail.into() }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.field, self.detail)
    }
}

impl std::error::Error for Invalid {}

/// Checks that a text has 1 to `max` bytes.
pub(crate) fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), Invalid> {
    match text.len() {
        0 => Err(Invalid::new(field, "must not be empty")),
        length if length > max => Err(Invalid::new(field, format!("must have at most {max} bytes, has {length}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::{CreditCurrency, CurrencyKind, CurrencyNumber, Priorities};
    use crate::ledger::Scale;

    /// A credit currency that is a unit of its own.
    pub(super) fn credit_currency(scale: u8) -> CreditCurrency {
        CreditCurrency {
            id: "credits".to_owned(),
            number: CurrencyNumber(0),
            name: "Credits".to_owned(),
            symbol: "cr".to_owned(),
            scale: Scale::new(scale).expect("a scale"),
            kind: CurrencyKind::Unit,
            max_balance: None,
            archived: false,
            default_priorities: Priorities::new(),
        }
    }

    /// A credit currency that stands for money.
    pub(super) fn fiat(code: &str, scale: u8) -> CreditCurrency {
        CreditCurrency { kind: CurrencyKind::Fiat(code.to_owned()), ..credit_currency(scale) }
    }
}
