//! Debits taken back, and charges.

use super::super::super::operation::{Return, Reversal};
use super::*;

/// So much back to the grant of these terms.
fn back(new: NewGrant, amount: i64) -> Return {
    let lot = Lot {
        id: new.id,
        remaining: Amount::ZERO,
        granted: new.amount,
        effective_at: new.effective_at,
        expires_at: Expiry::from(new.expires_at),
        cost: new.cost.unwrap_or(0),
        priority: new.priority,
        category: new.category,
    };
    Return { lot, ended: false, amount: units(amount), rollover: new.special.rollover }
}

/// Takes back `debt`, and what `returns` say, of a debit that took as much.
fn reversal(debt: i64, returns: Vec<Return>) -> Reversal {
    let taken = returns.iter().fold(units(debt), |sum, back| sum.plus(back.amount));
    let (debt, payers) = (units(debt), Vec::new());
    Reversal { debit: 77, taken, before: Amount::ZERO, debt, payers, returns, regrant: None }
}

fn reverse(reversal: Reversal) -> Operation {
    Operation::Reverse(Box::new(reversal))
}

#[test]
fn a_grant_that_is_there_gets_its_part_back_and_no_more_than_it_was_made_with() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(4);
    wallet.must(&reverse(reversal(0, vec![back(grant(1, 10), 3)])));
    wallet.check_movements(&[Movement::GivenBack { grant: id(1), amount: units(3) }]);
    wallet.check_balance(29, &[(1, 9), (2, 20)]);
    wallet.must(&reverse(reversal(0, vec![back(grant(1, 10), 5)])));
    wallet.check_movements(&[
        Movement::GivenBack { grant: id(1), amount: units(1) },
        Movement::Forfeited { grant: Some(id(1)), amount: units(4) },
    ]);
    wallet.check_balance(30, &[(1, 10), (2, 20)]);
}

#[test]
fn a_depleted_grant_is_opened_again_at_its_place_in_the_order() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(15);
    wallet.must(&reverse(reversal(0, vec![back(grant(2, 20), 5), back(grant(1, 10), 6)])));
    wallet.check_movements(&[
        Movement::Depleted { grant: id(1) },
        Movement::GivenBack { grant: id(2), amount: units(5) },
        Movement::Reopened { grant: id(1), amount: units(6) },
    ]);
    wallet.check_balance(26, &[(1, 6), (2, 20)]);
}

#[test]
fn what_came_of_a_grant_that_has_ended_is_forfeited_or_granted_anew() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.spend_fast(9);
    wallet.now = at(2_000);
    let lost = reversal(0, vec![back(ending(1, 10, 2_000), 4)]);
    wallet.must(&reverse(lost.clone()));
    wallet.check_movements(&[
        Movement::Expired { grant: id(1), amount: units(1) },
        Movement::Forfeited { grant: Some(id(1)), amount: units(4) },
    ]);
    wallet.check_balance(0, &[]);
    let voided = Return { ended: true, ..back(grant(1, 10), 4) };
    let anew = Reversal { regrant: Some(grant(2, 4)), ..reversal(0, vec![voided]) };
    wallet.must(&reverse(anew.clone()));
    wallet.check_movements(&[
        Movement::Forfeited { grant: Some(id(1)), amount: units(4) },
        Movement::Granted { grant: id(2), amount: units(4) },
    ]);
    wallet.check_balance(4, &[(2, 4)]);
    // What is granted anew was reckoned before: if it is not what it comes to, all is reckoned again.
    let other = Reversal { regrant: Some(grant(3, 5)), ..anew };
    wallet.check_rejected(&reverse(other), Rejection::Superseded);
}

#[test]
fn debt_is_taken_back_first_and_what_was_paid_goes_to_who_paid() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend(25, Policy::Overdraft);
    wallet.grant(grant(2, 9));
    wallet.check_balance(-6, &[]);
    let mut whole = reversal(15, vec![back(grant(1, 10), 10)]);
    whole.payers = vec![back(grant(2, 9), 9)];
    wallet.must(&reverse(whole));
    wallet.check_movements(&[
        Movement::DebtReturned { amount: units(6) },
        Movement::Reopened { grant: id(2), amount: units(9) },
        Movement::Reopened { grant: id(1), amount: units(10) },
    ]);
    wallet.check_balance(19, &[(1, 10), (2, 9)]);
}

#[test]
fn what_comes_back_pays_other_debt_first() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend(10, DEBIT);
    wallet.spend(4, Policy::Overdraft);
    wallet.must(&reverse(reversal(0, vec![back(grant(1, 10), 3)])));
    wallet.check_movements(&[
        Movement::Reopened { grant: id(1), amount: units(3) },
        Movement::DebtPaid { grant: id(1), amount: units(3) },
        Movement::Depleted { grant: id(1) },
    ]);
    wallet.check_balance(-1, &[]);
}

#[test]
fn what_is_held_of_a_grant_counts_against_what_it_takes_back() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend_fast(2);
    wallet.hold(1, 8, 5_000);
    wallet.check_balance(8, &[]);
    wallet.must(&reverse(reversal(0, vec![back(grant(1, 10), 3)])));
    wallet.check_movements(&[
        Movement::GivenBack { grant: id(1), amount: units(2) },
        Movement::Forfeited { grant: Some(id(1)), amount: units(1) },
    ]);
    wallet.check_balance(10, &[(1, 2)]);
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.must(&reverse(reversal(0, vec![back(grant(1, 10), 1)])));
    wallet.check_movements(&[Movement::Forfeited { grant: Some(id(1)), amount: units(1) }]);
}

#[test]
fn a_reversal_is_refused_whole() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend(10, DEBIT);
    let one = || reversal(0, vec![back(grant(1, 10), 3)]);
    wallet.check_rejected(&reverse(Reversal { taken: units(2), ..one() }), Rejection::InvalidAmount);
    wallet.check_rejected(&reverse(Reversal { taken: units(5), before: units(3), ..one() }), Rejection::InvalidAmount);
    wallet.check_rejected(&reverse(Reversal { before: units(-1), ..one() }), Rejection::InvalidAmount);
    wallet.check_rejected(&reverse(reversal(0, Vec::new())), Rejection::InvalidAmount);
    wallet.check_rejected(&reverse(reversal(-1, vec![back(grant(1, 10), 3)])), Rejection::InvalidAmount);
    wallet.must(&Operation::SetAllowance(Amount::MAX_BALANCE));
    wallet.check_rejected(&reverse(one()), Rejection::BalanceOverflow);
    wallet.must(&Operation::SetAllowance(Amount::ZERO));
    // A frozen wallet takes credits.
    wallet.must(&Operation::SetStatus(Status::Frozen));
    wallet.must(&reverse(one()));
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_rejected(&reverse(one()), Rejection::WalletClosed);
}

#[test]
fn a_charge_is_paid_in_spend_order_as_far_as_it_goes() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.must(&Operation::SetAllowance(units(50)));
    wallet.hold(1, 4, 5_000);
    let taken = wallet.must(&Operation::Charge { amount: units(40) });
    assert_eq!((taken.amount, taken.shortfall, taken.overdraft), (units(26), units(14), Amount::ZERO));
    wallet.check_balance(4, &[]);
    let taken = wallet.must(&Operation::Charge { amount: units(1) });
    assert_eq!((taken.amount, taken.shortfall), (Amount::ZERO, units(1)));
    wallet.check_movements(&[]);
    wallet.check_rejected(&Operation::Charge { amount: Amount::ZERO }, Rejection::InvalidAmount);
    wallet.must(&Operation::SetStatus(Status::Frozen));
    wallet.check_rejected(&Operation::Charge { amount: units(1) }, Rejection::WalletFrozen);
}
