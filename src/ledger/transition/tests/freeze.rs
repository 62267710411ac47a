//! Credits frozen while their payment is disputed, by table.

use super::*;

fn freeze(grant: u64, most: i64) -> Operation {
    Operation::FreezeGrant { grant: id(grant), most: units(most) }
}

fn thaw(grant: u64) -> Operation {
    Operation::ThawGrant { grant: id(grant) }
}

fn claw_back(grant: u64, amount: i64, is_written_off: bool) -> Operation {
    Operation::ClawBack { grant: id(grant), amount: units(amount), total: units(amount), is_written_off }
}

fn taken(amount: i64, shortfall: i64, overdraft: i64) -> Taken {
    Taken { amount: units(amount), shortfall: units(shortfall), overdraft: units(overdraft) }
}

fn frozen(number: u64, amount: i64) -> [Movement; 2] {
    let (hold, grant, amount) = (HoldId::new(number), id(number), units(amount));
    [Movement::Held { hold, amount }, Movement::Reserved { hold, grant, amount }]
}

fn thawed(number: u64, amount: i64) -> [Movement; 2] {
    let (hold, grant, amount) = (HoldId::new(number), id(number), units(amount));
    [Movement::Released { hold, amount }, Movement::Returned { hold, grant, amount }]
}

impl Wallet {
    #[track_caller]
    fn check_frozen(&self, frozen: i64, available: i64) {
        assert_eq!(
            (self.terms.frozen(), self.terms.held, self.terms.available(self.balance)),
            (units(frozen), units(frozen), units(available))
        );
    }
}

#[test]
fn what_is_frozen_counts_and_cannot_be_used() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(4);
    wallet.must(&freeze(1, 100));
    wallet.check_movements(&frozen(1, 6));
    wallet.check_balance(26, &[(2, 20)]);
    wallet.check_frozen(6, 20);
    assert_eq!((wallet.terms.frozen_of(id(1)), wallet.terms.frozen_of(id(2))), (units(6), Amount::ZERO));
    // It has no end.
    assert_eq!(wallet.terms.deadline(), None);
    let insufficient = Rejection::InsufficientCredit { available: units(20), required: units(21) };
    wallet.check_rejected(&Operation::Debit { amount: units(21), policy: DEBIT }, insufficient);
    wallet.must(&thaw(1));
    wallet.check_movements(&thawed(1, 6));
    wallet.check_balance(26, &[(1, 6), (2, 20)]);
    wallet.check_frozen(0, 26);
}

#[test]
fn both_may_be_said_again_and_of_what_is_not_there() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.must(&thaw(1));
    wallet.check_movements(&[]);
    wallet.must(&freeze(1, 7));
    wallet.check_balance(30, &[(1, 3), (2, 20)]);
    wallet.must(&freeze(1, 7));
    wallet.check_movements(&[]);
    wallet.must(&freeze(1, 5));
    wallet.check_movements(&[]);
    // Up to what it says.
    wallet.must(&freeze(1, 9));
    wallet.check_movements(&[thawed(1, 7), frozen(1, 9)].concat());
    wallet.check_balance(30, &[(1, 1), (2, 20)]);
    wallet.must(&freeze(99, 5));
    wallet.check_movements(&[]);
    wallet.check_rejected(&freeze(1, 0), Rejection::InvalidAmount);
    wallet.check_rejected(&freeze(1, -1), Rejection::InvalidAmount);
}

#[test]
fn what_holds_have_is_frozen_when_it_is_free_again() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.hold(7, 8, 9_000);
    wallet.must(&freeze(1, 10));
    wallet.check_movements(&frozen(1, 2));
    wallet.must(&Operation::Release { hold: HoldId::new(7) });
    wallet.check_balance(30, &[(1, 8), (2, 20)]);
    wallet.must(&freeze(1, 10));
    wallet.check_movements(&[thawed(1, 2), frozen(1, 10)].concat());
    wallet.check_frozen(10, 20);
}

#[test]
fn a_lost_dispute_takes_what_is_frozen_first() {
    let mut wallet = Wallet::with(&[10, 20, 30]);
    wallet.must(&freeze(2, 15));
    wallet.must(&Operation::SetStatus(Status::Frozen));
    assert_eq!(wallet.must(&claw_back(2, 18, false)), taken(18, 0, 0));
    let hold = HoldId::new(2);
    wallet.check_movements(&[
        Movement::Captured { hold, amount: units(15) },
        Movement::PartSpent { hold, grant: id(2), amount: units(15) },
        Movement::Spent { grant: id(2), amount: units(3) },
    ]);
    wallet.check_balance(42, &[(1, 10), (2, 2), (3, 30)]);
    wallet.check_frozen(0, 42);
    // What is frozen of another grant stays.
    wallet.must(&freeze(3, 30));
    assert_eq!(wallet.must(&claw_back(2, 20, false)), taken(20, 0, 8));
    wallet.check_balance(22, &[]);
    wallet.check_frozen(30, -8);
    // A part of it, and then more than there is.
    assert_eq!(wallet.must(&claw_back(3, 5, true)), taken(5, 0, 0));
    wallet.check_frozen(25, -8);
    assert_eq!(wallet.must(&claw_back(3, 40, true)), taken(25, 15, 0));
    wallet.check_movements(&[
        Movement::Captured { hold: HoldId::new(3), amount: units(25) },
        Movement::PartSpent { hold: HoldId::new(3), grant: id(3), amount: units(25) },
        Movement::Depleted { grant: id(3) },
    ]);
    wallet.check_balance(-8, &[]);
}

#[test]
fn what_is_thawed_pays_debt_and_ends_if_its_end_has_come() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&freeze(1, 10));
    wallet.spend(4, Policy::Overdraft);
    wallet.check_balance(6, &[]);
    wallet.must(&thaw(1));
    wallet.check_movements(&[&thawed(1, 10)[..], &[Movement::DebtPaid { grant: id(1), amount: units(4) }]].concat());
    wallet.check_balance(6, &[(1, 6)]);
    wallet.grant(ending(2, 5, 5_000));
    wallet.must(&freeze(2, 5));
    assert_eq!(wallet.terms.deadline(), None);
    wallet.now = at(6_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[]);
    wallet.check_balance(11, &[(1, 6)]);
    wallet.must(&thaw(2));
    wallet.check_movements(&[&thawed(2, 5)[..], &[Movement::Expired { grant: id(2), amount: units(5) }]].concat());
    wallet.check_balance(6, &[(1, 6)]);
}

#[test]
fn nobody_uses_what_is_frozen_as_a_hold() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&freeze(1, 10));
    let hold = HoldId::new(1);
    wallet.check_rejected(&Operation::Capture { hold, amount: units(1), is_final: false }, Rejection::HoldEnded);
    wallet.check_rejected(&Operation::Release { hold }, Rejection::HoldEnded);
    wallet.check_rejected(&Operation::ExtendHold { hold, expires_at: at(9_000) }, Rejection::HoldEnded);
    wallet.check_rejected(&Operation::SetStatus(Status::Closed), Rejection::WalletHeld { held: units(10) });
    // Voided, it goes when it is thawed.
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.check_frozen(10, 0);
    wallet.must(&thaw(1));
    wallet.check_movements(&[&thawed(1, 10)[..], &[Movement::Voided { grant: id(1), amount: units(10) }]].concat());
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_rejected(&freeze(1, 1), Rejection::WalletClosed);
    wallet.must(&thaw(1));
}

#[test]
fn a_wallet_full_of_holds_freezes_when_one_of_them_has_ended() {
    let mut wallet = Wallet::with(&[2_000]);
    for number in 10..10 + MAX_HOLDS as u64 {
        wallet.hold(number, 1, 9_000);
    }
    wallet.check_rejected(&freeze(1, 2_000), Rejection::TooManyHolds);
    wallet.must(&Operation::Release { hold: HoldId::new(10) });
    wallet.must(&freeze(1, 2_000));
    assert_eq!(wallet.terms.frozen(), units(1_001));
}
