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
    decide_amount(terms.held, terms.available(balance), balance, amount, policy)
}

/// The ladder's lower half, for a wallet whose status has nothing against it: credit, then policy.
pub(super) fn decide_amount(
    held: Amount,
    available: Amount,
    balance: Amount,
    amount: Amount,
    policy: Policy,
) -> Result<Taken, Rejection> {
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
            let after = balance.checked_sub(amount).and_then(|after| after.checked_sub(held));
            match after {
                Some(after) if after >= Amount::MIN => {
                    Ok(Taken { amount, shortfall: Amount::ZERO, overdraft: amount.minus(available.or_zero()) })
                }
                _ => Err(Rejection::BalanceOverflow),
            }
        }
    }
}

/// What a charge of up to `amount` takes at `balance`: what the wallet has and nobody holds, and nothing of the overdraft allowance.
pub(super) fn decide_charge(held: Amount, balance: Amount, amount: Amount) -> Taken {
    let unheld = Amount::saturating(i128::from(balance.units()) - i128::from(held.units())).or_zero();
    let taken = amount.min(unheld);
    Taken { amount: taken, shortfall: amount.minus(taken), overdraft: Amount::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decides a debit on a wallet with an allowance of 50 and 20 held, so that 30 more than the balance is available.
    #[track_caller]
    fn check(balance: i64, amount: i64, policy: Policy, expected: Result<(i64, i64, i64), Rejection>) {
        let terms = Terms { allowance: Amount::new(50), held: Amount::new(20), ..Terms::new() };
        let expected = expected.map(|(amount, shortfall, overdraft)| Taken {
            amount: Amount::new(amount),
            shortfall: Amount::new(shortfall),
            overdraft: Amount::new(overdraft),
        });
        assert_eq!(decide_debit(&terms, Amount::new(balance), Amount::new(amount), policy), expected);
    }

    fn insufficient(available: i64, required: i64) -> Rejection {
        Rejection::InsufficientCredit { available: Amount::new(available), required: Amount::new(required) }
    }

    #[test]
    fn what_is_available_is_taken_whatever_the_policy() {
        for policy in [Policy::Reject, Policy::Partial, Policy::Overdraft] {
            check(100, 130, policy, Ok((130, 0, 0)));
            check(-10, 20, policy, Ok((20, 0, 0)));
            check(100, 0, policy, Ok((0, 0, 0)));
            check(-30, 0, policy, Ok((0, 0, 0)));
        }
    }

    #[test]
    fn reject_is_all_or_nothing() {
        check(100, 131, Policy::Reject, Err(insufficient(130, 131)));
        check(-30, 1, Policy::Reject, Err(insufficient(0, 1)));
        check(-31, 0, Policy::Reject, Err(insufficient(-1, 0)));
    }

    #[test]
    fn partial_takes_what_there_is() {
        check(100, 131, Policy::Partial, Ok((130, 1, 0)));
        check(-29, 100, Policy::Partial, Ok((1, 99, 0)));
        check(-30, 100, Policy::Partial, Err(insufficient(0, 100)));
        check(-90, 100, Policy::Partial, Err(insufficient(-60, 100)));
        check(-31, 0, Policy::Partial, Err(insufficient(-1, 0)));
    }

    #[test]
    fn overdraft_takes_it_all_and_says_how_much_was_not_there() {
        check(100, 131, Policy::Overdraft, Ok((131, 0, 1)));
        check(-30, 100, Policy::Overdraft, Ok((100, 0, 100)));
        check(-90, 100, Policy::Overdraft, Ok((100, 0, 100)));
        check(-31, 0, Policy::Overdraft, Ok((0, 0, 0)));
    }

    #[test]
    fn a_debt_that_does_not_fit_is_refused() {
        check(-30, i64::MAX - 50, Policy::Overdraft, Ok((i64::MAX - 50, 0, i64::MAX - 50)));
        check(-30, i64::MAX - 49, Policy::Overdraft, Err(Rejection::BalanceOverflow));
        check(-30, i64::MAX, Policy::Overdraft, Err(Rejection::BalanceOverflow));
    }

    #[test]
    fn a_negative_amount_is_none() {
        check(100, -1, Policy::Reject, Err(Rejection::InvalidAmount));
        check(100, i64::MIN, Policy::Overdraft, Err(Rejection::InvalidAmount));
    }

    #[test]
    fn the_status_comes_before_credit_and_policy() {
        for (status, rejection) in
            [(Status::Frozen, Rejection::WalletFrozen), (Status::Closed, Rejection::WalletClosed)]
        {
            let terms = Terms { status, ..Terms::new() };
            for policy in [Policy::Reject, Policy::Partial, Policy::Overdraft] {
                assert_eq!(decide_debit(&terms, Amount::new(100), Amount::ONE, policy), Err(rejection));
                assert_eq!(decide_debit(&terms, Amount::ZERO, Amount::ZERO, policy), Err(rejection));
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for policy in [Policy::Reject, Policy::Partial, Policy::Overdraft] {
            assert_eq!(Policy::parse(policy.as_str()), Some(policy));
        }
        assert_eq!(Policy::parse("Reject"), None);
    }

    #[test]
    fn a_charge_takes_what_there_is_and_nobody_holds() {
        let charge = |balance, amount| {
            let taken = decide_charge(Amount::new(20), Amount::new(balance), Amount::new(amount));
            (taken.amount.units(), taken.shortfall.units(), taken.overdraft.units())
        };
        assert_eq!(charge(100, 80), (80, 0, 0));
        assert_eq!(charge(100, 81), (80, 1, 0));
        assert_eq!(charge(20, 7), (0, 7, 0));
        assert_eq!(charge(-5, 7), (0, 7, 0));
        assert_eq!(charge(i64::MIN, i64::MAX), (0, i64::MAX, 0));
    }
}
