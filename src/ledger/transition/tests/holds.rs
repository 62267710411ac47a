//! Holds by table, as the other transitions.

use super::super::super::hold::Part;
use super::*;

/// A hold's number, what it has left, and its parts: grants and what it has of them.
type Shown<'a> = (u64, i64, &'a [(u64, i64)]);

impl Wallet {
    #[track_caller]
    fn capture(&mut self, number: u64, amount: i64, is_final: bool) -> Taken {
        self.must(&Operation::Capture { hold: HoldId::new(number), amount: units(amount), is_final })
    }

    #[track_caller]
    fn check_holds(&self, held: i64, holds: &[Shown<'_>]) {
        let parts = |hold: &OpenHold| {
            let part = |part: &Part| (part.lot.id.get(), part.lot.remaining.units());
            hold.parts.iter().map(part).collect::<Vec<_>>()
        };
        let have: Vec<_> =
            self.terms.holds.iter().map(|hold| (hold.id.get(), hold.remaining.units(), parts(hold))).collect();
        let expected: Vec<_> =
            holds.iter().map(|(number, remaining, parts)| (*number, *remaining, parts.to_vec())).collect();
        assert_eq!((self.terms.held.units(), have), (held, expected));
    }
}

#[test]
fn a_hold_reserves_credits_in_spend_order_and_leaves_the_balance() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(4);
    wallet.hold(1, 15, 9_000);
    wallet.check_balance(26, &[(2, 11)]);
    wallet.check_holds(15, &[(1, 15, &[(1, 6), (2, 9)])]);
    let hold = HoldId::new(1);
    wallet.check_movements(&[
        Movement::Held { hold, amount: units(15) },
        Movement::Reserved { hold, grant: id(1), amount: units(6) },
        Movement::Reserved { hold, grant: id(2), amount: units(9) },
    ]);
    assert_eq!((wallet.terms.available(wallet.balance), wallet.terms.base()), (units(11), units(15)));
    assert_eq!(wallet.terms.deadline(), Some(at(9_000)));
    let insufficient = Rejection::InsufficientCredit { available: units(11), required: units(12) };
    wallet.check_rejected(&Operation::Debit { amount: units(12), policy: DEBIT }, insufficient);
    wallet.spend_fast(11);
    // What debits spent shows at the next change.
    wallet.must(&Operation::Due);
    wallet.check_movements(&[]);
    let insufficient = Rejection::InsufficientCredit { available: units(0), required: units(1) };
    wallet.check_rejected(&Operation::Hold(new_hold(2, 1, 9_000)), insufficient);
}

#[test]
fn holds_that_make_no_sense_are_refused() {
    let mut wallet = Wallet::with(&[10]);
    wallet.hold(1, 1, 9_000);
    let table = [
        (new_hold(2, 0, 9_000), Rejection::InvalidAmount),
        (new_hold(2, -1, 9_000), Rejection::InvalidAmount),
        (new_hold(2, 1, 1_000), Rejection::ExpiryInPast),
        (new_hold(1, 1, 9_000), Rejection::IdConflict),
        (new_hold(2, 10, 9_000), Rejection::InsufficientCredit { available: units(9), required: units(10) }),
    ];
    for (new, rejection) in table {
        wallet.check_rejected(&Operation::Hold(new), rejection);
    }
    wallet.must(&Operation::SetStatus(Status::Frozen));
    wallet.check_rejected(&Operation::Hold(new_hold(2, 1, 9_000)), Rejection::WalletFrozen);
    wallet.must(&Operation::Release { hold: HoldId::new(1) });
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_rejected(&Operation::Hold(new_hold(2, 1, 9_000)), Rejection::WalletClosed);
}

#[test]
fn a_wallet_has_a_thousand_holds_at_most() {
    let mut wallet = Wallet::with(&[2_000]);
    for number in 0..MAX_HOLDS as u64 {
        wallet.hold(number, 1, 9_000);
    }
    wallet.check_rejected(&Operation::Hold(new_hold(5_000, 1, 9_000)), Rejection::TooManyHolds);
    wallet.capture(3, 1, false);
    wallet.hold(5_000, 1, 9_000);
}

/// A grant whose credits are all held has no lot, and comes back with one: it counts as a grant meanwhile.
#[test]
fn grants_that_are_held_whole_count_as_grants() {
    let mut wallet = Wallet::new();
    for number in 0..MAX_LOTS as u64 {
        wallet.grant(grant(number, 1));
    }
    wallet.hold(1, 7, 9_000);
    wallet.check_rejected(&Operation::Grant(grant(2_000, 1)), Rejection::TooManyGrants);
    wallet.check_rejected(&Operation::Grant(grant(0, 1)), Rejection::IdConflict);
    wallet.capture(1, 1, false);
    wallet.grant(grant(2_000, 1));
    wallet.must(&Operation::Release { hold: HoldId::new(1) });
    assert_eq!(wallet.terms.lots.len(), MAX_LOTS);
}

#[test]
fn captures_take_the_holds_own_credits_in_parts() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.hold(1, 15, 9_000);
    let hold = HoldId::new(1);
    let taken = wallet.capture(1, 4, false);
    assert_eq!(taken, Taken { amount: units(4), ..Taken::default() });
    wallet.check_movements(&[
        Movement::Captured { hold, amount: units(4) },
        Movement::PartSpent { hold, grant: id(1), amount: units(4) },
    ]);
    wallet.check_balance(26, &[(2, 15)]);
    wallet.check_holds(11, &[(1, 11, &[(1, 6), (2, 5)])]);
    wallet.capture(1, 8, false);
    wallet.check_movements(&[
        Movement::Captured { hold, amount: units(8) },
        Movement::PartSpent { hold, grant: id(1), amount: units(6) },
        Movement::Depleted { grant: id(1) },
        Movement::PartSpent { hold, grant: id(2), amount: units(2) },
    ]);
    wallet.capture(1, 3, false);
    wallet.check_balance(15, &[(2, 15)]);
    wallet.check_holds(0, &[]);
    wallet.check_rejected(&Operation::Capture { hold, amount: units(1), is_final: false }, Rejection::HoldEnded);
}

#[test]
fn a_final_capture_releases_the_rest() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.hold(1, 15, 9_000);
    let hold = HoldId::new(1);
    wallet.capture(1, 4, true);
    wallet.check_movements(&[
        Movement::Captured { hold, amount: units(4) },
        Movement::PartSpent { hold, grant: id(1), amount: units(4) },
        Movement::Released { hold, amount: units(11) },
        Movement::Returned { hold, grant: id(1), amount: units(6) },
        Movement::Returned { hold, grant: id(2), amount: units(5) },
    ]);
    wallet.check_balance(26, &[(1, 6), (2, 20)]);
    wallet.check_holds(0, &[]);
}

#[test]
fn what_grants_do_not_back_is_covered_by_the_allowance() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&Operation::SetAllowance(units(5)));
    wallet.hold(1, 14, 9_000);
    wallet.check_balance(10, &[]);
    wallet.check_holds(14, &[(1, 14, &[(1, 10)])]);
    assert_eq!(wallet.terms.available(wallet.balance), units(1));
    // A grant that comes later pays what the hold's own credits do not.
    wallet.grant(grant(2, 1));
    let taken = wallet.capture(1, 13, false);
    assert_eq!(taken.overdraft, Amount::ZERO, "it was within the allowance when it was promised");
    let hold = HoldId::new(1);
    wallet.check_movements(&[
        Movement::Captured { hold, amount: units(13) },
        Movement::PartSpent { hold, grant: id(1), amount: units(10) },
        Movement::Depleted { grant: id(1) },
        Movement::Spent { grant: id(2), amount: units(1) },
        Movement::Depleted { grant: id(2) },
        Movement::Overdrawn { amount: units(2) },
    ]);
    wallet.check_balance(-2, &[]);
    assert_eq!(wallet.terms.available(wallet.balance), units(2));
}

#[test]
fn a_capture_that_exceeds_its_hold_goes_by_the_policy() {
    let new = |number, on_exceed| Operation::Hold(NewHold { on_exceed, ..new_hold(number, 10, 9_000) });
    let capture =
        |number, amount| Operation::Capture { hold: HoldId::new(number), amount: units(amount), is_final: false };
    let mut wallet = Wallet::with(&[35]);
    for (number, policy) in [(1, OnExceed::Reject), (2, OnExceed::Cap), (3, OnExceed::Overdraw)] {
        wallet.must(&new(number, policy));
    }
    let exceeds = Rejection::CaptureExceedsHold { remaining: units(10), required: units(11) };
    wallet.check_rejected(&capture(1, 11), exceeds);
    let capped = wallet.must(&capture(2, 13));
    assert_eq!(capped, Taken { amount: units(10), shortfall: units(3), overdraft: units(0) });
    // 25 are left, 10 of them under the first hold: of the eight beyond the third hold five are there, and the rest is debt.
    let overdrawn = wallet.must(&capture(3, 18));
    assert_eq!(overdrawn, Taken { amount: units(18), shortfall: units(0), overdraft: units(3) });
    wallet.check_balance(7, &[]);
    wallet.check_holds(10, &[(1, 10, &[(1, 10)])]);
    assert_eq!(wallet.terms.debt(), units(3));
    let negative = Operation::Capture { hold: HoldId::new(1), amount: units(-1), is_final: true };
    wallet.check_rejected(&negative, Rejection::InvalidAmount);
}

#[test]
fn an_excess_that_does_not_fit_is_refused_whole() {
    let mut wallet = Wallet::with(&[10]);
    let on_exceed = OnExceed::Overdraw;
    wallet.must(&Operation::Hold(NewHold { on_exceed, ..new_hold(1, 10, 9_000) }));
    wallet.spend(20, Policy::Overdraft);
    let all = Operation::Capture { hold: HoldId::new(1), amount: Amount::MAX, is_final: false };
    wallet.check_rejected(&all, Rejection::BalanceOverflow);
}

#[test]
fn a_grants_end_takes_what_is_free_of_it_and_the_hold_keeps_the_rest() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.hold(1, 6, 3_000);
    let hold = HoldId::new(1);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[Movement::Expired { grant: id(1), amount: units(4) }]);
    wallet.check_balance(6, &[]);
    wallet.capture(1, 2, false);
    wallet.check_balance(4, &[]);
    wallet.now = at(2_999);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[]);
    wallet.now = at(3_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[
        Movement::HoldExpired { hold, amount: units(4) },
        Movement::Returned { hold, grant: id(1), amount: units(4) },
        Movement::Expired { grant: id(1), amount: units(4) },
    ]);
    wallet.check_balance(0, &[]);
}

#[test]
fn a_hold_that_ends_before_its_grants_gives_back_to_them() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(grant(2, 10));
    wallet.hold(1, 13, 1_500);
    wallet.now = at(1_500);
    wallet.spend(12, DEBIT);
    wallet.check_balance(8, &[(2, 8)]);
    wallet.check_holds(0, &[]);
}

/// Due changes that nobody carried out in time come to the same as if somebody had: the debt is paid by what came first.
#[test]
fn due_changes_that_come_late_come_to_the_same() {
    let story = |stops: &[u64]| {
        let mut wallet = Wallet::new();
        wallet.must(&Operation::SetAllowance(units(20)));
        wallet.grant(ending(1, 10, 4_000));
        wallet.grant(ending(2, 6, 2_500));
        wallet.hold(1, 8, 2_000);
        wallet.hold(2, 8, 3_000);
        wallet.grant(NewGrant { expires_at: Some(at(6_000)), ..later(3, 5, 2_000) });
        wallet.grant(later(4, 5, 2_500));
        wallet.spend(9, DEBIT);
        assert_eq!(wallet.terms.debt(), units(9), "all credits are held");
        for stop in stops {
            wallet.now = at(*stop);
            wallet.must(&Operation::Due);
        }
        wallet.now = at(5_000);
        wallet.must(&Operation::Due);
        wallet.terms
    };
    let late = story(&[]);
    let stops: [&[u64]; 7] =
        [&[2_000, 2_500, 3_000, 4_000], &[2_000], &[2_499], &[2_500], &[2_999, 4_000], &[3_000], &[4_500]];
    for stops in stops {
        assert_eq!(story(stops), late, "{stops:?}");
    }
}

#[test]
fn a_hold_that_ends_pays_debt_with_what_it_gives_back() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&Operation::SetAllowance(units(5)));
    wallet.hold(1, 10, 3_000);
    wallet.spend(3, DEBIT);
    wallet.check_balance(7, &[]);
    let hold = HoldId::new(1);
    wallet.must(&Operation::Release { hold });
    wallet.check_movements(&[
        Movement::Released { hold, amount: units(10) },
        Movement::Returned { hold, grant: id(1), amount: units(10) },
        Movement::DebtPaid { grant: id(1), amount: units(3) },
    ]);
    wallet.check_balance(7, &[(1, 7)]);
}

#[test]
fn a_void_takes_what_is_free_and_the_rest_when_the_hold_ends() {
    let mut wallet = Wallet::with(&[10, 5]);
    wallet.hold(1, 12, 3_000);
    let hold = HoldId::new(1);
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.check_movements(&[Movement::Voided { grant: id(1), amount: units(0) }]);
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.check_movements(&[]);
    let moved = Operation::MoveExpiry { grant: id(1), expires_at: Some(at(9_000)) };
    wallet.check_rejected(&moved, Rejection::GrantEnded);
    wallet.capture(1, 3, false);
    wallet.must(&Operation::Void { grant: id(2) });
    wallet.check_movements(&[Movement::Voided { grant: id(2), amount: units(3) }]);
    wallet.check_balance(9, &[]);
    wallet.must(&Operation::Release { hold });
    wallet.check_movements(&[
        Movement::Released { hold, amount: units(9) },
        Movement::Returned { hold, grant: id(1), amount: units(7) },
        Movement::Returned { hold, grant: id(2), amount: units(2) },
        Movement::Voided { grant: id(1), amount: units(7) },
        Movement::Voided { grant: id(2), amount: units(2) },
    ]);
    wallet.check_balance(0, &[]);
}

#[test]
fn a_voided_grant_that_is_captured_is_not_said_to_be_depleted() {
    let mut wallet = Wallet::with(&[10]);
    wallet.hold(1, 10, 3_000);
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.capture(1, 10, false);
    let hold = HoldId::new(1);
    wallet.check_movements(&[
        Movement::Captured { hold, amount: units(10) },
        Movement::PartSpent { hold, grant: id(1), amount: units(10) },
    ]);
    wallet.check_balance(0, &[]);
}

#[test]
fn a_moved_end_moves_what_is_held_too() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(ending(2, 10, 2_500));
    wallet.hold(1, 12, 3_000);
    let to = |end| Operation::MoveExpiry { grant: id(1), expires_at: Some(at(end)) };
    wallet.must(&to(4_000));
    let (from, moved) = (Some(at(2_000)), Some(at(4_000)));
    wallet.check_movements(&[Movement::ExpiryMoved { grant: id(1), amount: units(10), from, to: moved }]);
    wallet.check_holds(12, &[(1, 12, &[(2, 2), (1, 10)])]);
    wallet.now = at(3_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(10, &[(1, 10)]);
    wallet.must(&to(3_500));
    wallet.now = at(3_500);
    wallet.must(&Operation::Due);
    wallet.check_balance(0, &[]);
}

#[test]
fn a_holds_end_can_be_moved_while_it_is_open() {
    let mut wallet = Wallet::with(&[10]);
    wallet.hold(1, 4, 3_000);
    wallet.hold(2, 4, 4_000);
    let to = |end| Operation::ExtendHold { hold: HoldId::new(1), expires_at: at(end) };
    wallet.must(&to(5_000));
    wallet.check_movements(&[Movement::HoldMoved { hold: HoldId::new(1), from: at(3_000), to: at(5_000) }]);
    wallet.must(&to(5_000));
    wallet.check_movements(&[]);
    wallet.check_rejected(&to(1_000), Rejection::ExpiryInPast);
    wallet.now = at(4_000);
    wallet.must(&Operation::Due);
    wallet.check_holds(4, &[(1, 4, &[(1, 4)])]);
    wallet.now = at(5_000);
    assert_eq!(wallet.apply(&to(9_000)), Err(Rejection::HoldEnded));
    wallet.check_balance(10, &[(1, 10)]);
}

#[test]
fn a_frozen_wallet_lets_captures_and_releases_through() {
    let mut wallet = Wallet::with(&[10]);
    let on_exceed = OnExceed::Overdraw;
    wallet.must(&Operation::Hold(NewHold { on_exceed, ..new_hold(1, 4, 9_000) }));
    wallet.hold(2, 4, 9_000);
    wallet.must(&Operation::SetStatus(Status::Frozen));
    assert_eq!(wallet.capture(1, 5, false).amount, units(5));
    wallet.must(&Operation::Release { hold: HoldId::new(2) });
    wallet.check_balance(5, &[(1, 5)]);
    let late = |amount| Operation::LateCapture {
        hold: HoldId::new(1),
        amount: units(amount),
        policy: Policy::Overdraft,
        left: units(0),
    };
    wallet.check_rejected(&late(1), Rejection::WalletFrozen);
    wallet.must(&Operation::SetStatus(Status::Active));
    assert_eq!(wallet.must(&late(7)).overdraft, units(2));
    wallet.check_balance(-2, &[]);
}

#[test]
fn a_hold_crosses_levels_on_what_is_available_only() {
    let mut wallet = Wallet::with(&[100]);
    let level = |name: &str, watches| Level {
        name: name.into(),
        amount: units(50),
        trigger: Trigger::Below,
        margin: units(0),
        watches,
        ..Level::default()
    };
    let list = vec![level("balance", Watches::Balance), level("free", Watches::Available)];
    wallet.must(&Operation::SetLevels(Some(Arc::new(Levels::new(list).expect("levels")))));
    wallet.hold(1, 40, 9_000);
    assert!(wallet.effects.crossed.is_empty());
    assert_eq!(wallet.terms.base(), units(90), "one below that, and the level on what is available is crossed");
    wallet.spend_fast(10);
    wallet.hold(2, 1, 9_000);
    assert_eq!(wallet.effects.crossed.levels, 0b10);
    wallet.capture(1, 40, false);
    assert_eq!((wallet.effects.crossed.levels, wallet.effects.recovered.levels), (0, 0));
    wallet.must(&Operation::Release { hold: HoldId::new(2) });
    assert_eq!(wallet.effects.recovered.levels, 0b10);
    wallet.must(&Operation::SetAllowance(units(5)));
    assert!(wallet.effects.crossed.is_empty());
    wallet.spend(1, DEBIT);
    assert_eq!(wallet.effects.crossed.levels, 0b01);
}
