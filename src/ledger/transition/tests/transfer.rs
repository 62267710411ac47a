//! Credits that leave for another wallet, and that come from one.

use super::super::super::decimal::Decimal;
use super::super::super::riders::{Rollover, Special};
use super::*;

/// Gives so much away, of these grants.
fn out(amount: i64, parts: &[(u64, i64)]) -> Operation {
    let parts = parts.iter().map(|(grant, part)| (id(*grant), units(*part))).collect();
    Operation::TransferOut { amount: units(amount), parts }
}

fn into(grants: &[NewGrant]) -> Operation {
    Operation::TransferIn { grants: grants.into() }
}

#[test]
fn what_would_be_spent_first_leaves_first() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(4);
    wallet.must(&out(9, &[(1, 6), (2, 3)]));
    wallet.check_movements(&[
        Movement::TransferredOut { grant: id(1), amount: units(6) },
        Movement::Depleted { grant: id(1) },
        Movement::TransferredOut { grant: id(2), amount: units(3) },
    ]);
    wallet.check_balance(17, &[(2, 17)]);
}

#[test]
fn parts_that_do_not_hold_any_more_are_planned_anew() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend(4, DEBIT);
    for parts in [&[(1, 9)][..], &[(2, 9)], &[(1, 6)], &[(1, 6), (2, 4)], &[]] {
        wallet.check_rejected(&out(9, parts), Rejection::Superseded);
    }
    wallet.check_balance(26, &[(1, 6), (2, 20)]);
}

#[test]
fn neither_held_credits_nor_an_allowance_can_be_given_away() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&Operation::SetAllowance(units(100)));
    wallet.check_rejected(
        &out(11, &[(1, 10)]),
        Rejection::InsufficientCredit { available: units(10), required: units(11) },
    );
    wallet.must(&Operation::SetStatus(Status::Frozen));
    wallet.check_rejected(&out(5, &[(1, 5)]), Rejection::WalletFrozen);
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_rejected(&out(5, &[(1, 5)]), Rejection::WalletClosed);
    wallet.check_rejected(&into(&[grant(3, 5)]), Rejection::WalletClosed);
    wallet.check_rejected(&out(0, &[]), Rejection::InvalidAmount);
}

#[test]
fn what_comes_pays_debt_first_and_comes_to_a_frozen_wallet_too() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend(25, Policy::Overdraft);
    wallet.must(&Operation::SetStatus(Status::Frozen));
    wallet.must(&into(&[grant(2, 9), grant(3, 8)]));
    wallet.check_movements(&[
        Movement::TransferredIn { grant: id(2), amount: units(9) },
        Movement::DebtPaid { grant: id(2), amount: units(9) },
        Movement::Depleted { grant: id(2) },
        Movement::TransferredIn { grant: id(3), amount: units(8) },
        Movement::DebtPaid { grant: id(3), amount: units(6) },
    ]);
    wallet.check_balance(2, &[(3, 2)]);
}

/// Forbidden: the first of two grants is there, the second is not.
#[test]
fn all_of_what_comes_arrives_or_nothing_does() {
    let mut wallet = Wallet::with(&[10]);
    let limited = NewGrant { max_balance: Some(units(20)), ..grant(3, 6) };
    let limit = Rejection::MaxBalanceExceeded { limit: units(20), resulting: units(21) };
    wallet.check_rejected(&into(&[grant(2, 5), limited]), limit);
    wallet.check_rejected(&into(&[grant(2, 5), grant(2, 5)]), Rejection::IdConflict);
    wallet.check_rejected(&into(&[]), Rejection::InvalidAmount);
    let later = NewGrant { effective_at: at(9_000), ..grant(3, 6) };
    wallet.check_rejected(&into(&[grant(2, 5), later]), Rejection::InvalidAmount);
    wallet.check_balance(10, &[(1, 10)]);
}

#[test]
fn what_comes_keeps_how_it_rolls_over() {
    let rollover = Rollover { fraction: Decimal::from_integer(1), max: None, valid_for_ms: None, priority: 5 };
    let special = Special { rollover: Some(rollover), ..Special::NONE };
    let mut wallet = Wallet::new();
    wallet.must(&into(&[NewGrant { special, ..ending(20, 5, 2_000) }]));
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(5, &[(21, 5)]);
}
