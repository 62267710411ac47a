//! What a debit may take: one ladder, used by every path that debits.

use super::amount::Amount;
use super::rejection::Rejection;
use super::terms::{Status, Terms};

/// What happens to a debit that the wallet cannot pay in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// All or nothing.
    #[default]
    Reject,
    /// Take what there is and report the shortfall.
    Partial,
    /// Take all of it: the usage has already happened. The balance may fall below the floor.
    Overdraft,
}

impl Policy {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Policy::Reject => "reject",
            Policy::Partial => "partial",
            Policy::Overdraft => "overdraft",
        }
    }

    /// The policy of that name.
    pub fn parse(name: &str) -> Option<Policy> {
        match name {
            "reject" => Some(Policy::Reject),
            "partial" => Some(Policy::Partial),
            "overdraft" => Some(Policy::Overdraft),
            _ => None,
        }
    }
}

/// What a debit took. All zero for operations that are no debits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Credits taken. With `shortfall` it makes the amount that was asked for.
    pub amount: Amount,
    /// Credits asked for and not taken; only the policy `partial` leaves any.
    pub shortfall: Amount,
    /// The part of `amount` that was not available: how far the debit went, or went further, below the floor.
    pub overdraft: Amount,
}

/// Decides a debit of `amount` at `balance`: status first, then credit, then policy. Zero is an amount like any other (a
/// meter may count nothing); it still needs a wallet that is not below its floor.
pub fn decide_debit(terms: &Terms, balance: Amount, amount: Amount, policy: Policy) -> Result<Taken, Rejection> {
    if amount < Amount::ZERO {
        return Err(Rejection::InvalidAmount);
    }
    match terms.status {
        Status::Active => {}
        Status::Frozen => return Err(Rejection::WalletFrozen),
        Status::Closed => return Err(Rejection::WalletClosed),
    }
    let available = terms.available(balance);
    if amount <= available {
        return Ok(Taken { amount, ..Taken::default() });
    }
    match policy {
        Policy::Partial if available > Amount::ZERO => {
            Ok(Taken { amount: available, shortfall: amount.minus(available), overdraft: Amount::ZERO })
        }
        Policy::Reject | Policy::Partial => Err(Rejection::InsufficientCredit { available, required: amount }),
        Policy::Overdraft => {
            // What is left after the debit must still be an amount, and so must what is available of it.
            let after = balance.checked_sub(amount).and_then(|after| after.checked_sub(terms.held));
            match after {
                Some(after) if after >= Amount::MIN => {
                    Ok(Taken { amount, shortfall: Amount::ZERO, overdraft: amount.minus(available.or_zero()) })
                }
                _ => Err(Rejection::BalanceOverflow),
            }
        }
    }
}
