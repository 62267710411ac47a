//! Credits taken back, by table.

use super::*;

fn claw_back(grant: u64, amount: i64, is_written_off: bool) -> Operation {
    Operation::ClawBack { grant: id(grant), amount: units(amount), total: units(amount), is_written_off }
}

fn taken(amount: i64, shortfall: i64, overdraft: i64) -> Taken {
    Taken { amount: units(amount), shortfall: units(shortfall), overdraft: units(overdraft) }
}

#[test]
fn the_grant_gives_first_then_the_others_and_then_debt() {
    let mut wallet = Wallet::with(&[10, 20, 30]);
    assert_eq!(wallet.must(&claw_back(2, 15, false)), taken(15, 0, 0));
    wallet.check_balance(45, &[(1, 10), (2, 5), (3, 30)]);
    wallet.check_movements(&[Movement::Spent { grant: id(2), amount: units(15) }]);
    assert_eq!(wallet.must(&claw_back(2, 18, false)), taken(18, 0, 0));
    wallet.check_balance(27, &[(3, 27)]);
    wallet.check_movements(&[
        Movement::Spent { grant: id(2), amount: units(5) },
        Movement::Depleted { grant: id(2) },
        Movement::Spent { grant: id(1), amount: units(10) },
        Movement::Depleted { grant: id(1) },
        Movement::Spent { grant: id(3), amount: units(3) },
    ]);
    assert_eq!(wallet.must(&claw_back(3, 40, false)), taken(40, 0, 13));
    wallet.check_balance(-13, &[]);
    assert_eq!(wallet.must(&claw_back(99, 7, false)), taken(7, 0, 7));
    wallet.check_balance(-20, &[]);
}

#[test]
fn what_is_written_off_leaves_the_others_alone() {
    let mut wallet = Wallet::with(&[10, 20]);
    assert_eq!(wallet.must(&claw_back(1, 25, true)), taken(10, 15, 0));
    wallet.check_balance(20, &[(2, 20)]);
    assert_eq!(wallet.must(&claw_back(1, 25, true)), taken(0, 25, 0));
    wallet.check_balance(20, &[(2, 20)]);
    wallet.check_movements(&[]);
}

#[test]
fn what_is_held_stays_held_and_a_frozen_wallet_gives() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.hold(1, 8, 9_000);
    wallet.must(&Operation::SetStatus(Status::Frozen));
    assert_eq!(wallet.must(&claw_back(1, 10, false)), taken(10, 0, 0));
    wallet.check_balance(20, &[(2, 12)]);
    wallet.check_movements(&[
        Movement::Spent { grant: id(1), amount: units(2) },
        Movement::Spent { grant: id(2), amount: units(8) },
    ]);
    assert_eq!(wallet.terms.held, units(8));
    // More than is free: what is held is not touched, and the rest is owed.
    assert_eq!(wallet.must(&claw_back(1, 15, false)), taken(15, 0, 3));
    wallet.check_balance(5, &[]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut wallet = Wallet::with(&[10]);
    wallet.check_rejected(&claw_back(1, 0, false), Rejection::InvalidAmount);
    wallet.check_rejected(&claw_back(1, -5, true), Rejection::InvalidAmount);
    wallet.must(&claw_back(1, 20, false));
    wallet.check_rejected(&claw_back(1, i64::MAX, false), Rejection::BalanceOverflow);
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_rejected(&claw_back(1, 1, true), Rejection::WalletClosed);
}
