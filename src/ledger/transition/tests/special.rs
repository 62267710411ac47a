//! Grants that wait for their payment, remainders that roll over, occurrences of recurring grants.

use super::super::super::decimal::Decimal;
use super::super::super::riders::{Occurrence, Payment, Progress, Rollover};
use super::*;

const ALL: Rollover = Rollover { fraction: Decimal::from_integer(1), max: None, valid_for_ms: None, priority: 5 };

fn half() -> Rollover {
    Rollover { fraction: Decimal::parse(b"0.5").expect("a decimal"), ..ALL }
}

fn rolling(number: u64, amount: i64, expires_at: u64, rollover: Rollover) -> NewGrant {
    let special = Special { rollover: Some(rollover), ..Special::NONE };
    NewGrant { special, ..ending(number, amount, expires_at) }
}

fn rolled(number: u64, amount: i64, instant: u64) -> Movement {
    Movement::RolledOver { grant: id(number), into: id(number + 1), amount: units(amount), at: at(instant) }
}

fn expired(number: u64, amount: i64) -> Movement {
    Movement::Expired { grant: id(number), amount: units(amount) }
}

#[test]
fn part_of_a_remainder_goes_on_at_the_instant_of_the_end() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 25, 2_000, half()));
    wallet.spend_fast(4);
    wallet.now = at(1_999);
    wallet.must(&Operation::Due);
    wallet.check_balance(21, &[(10, 21)]);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[rolled(10, 10, 2_000), expired(10, 11)]);
    wallet.check_balance(10, &[(11, 10)]);
    let lot = wallet.terms.lots[0];
    assert_eq!((lot.priority, lot.granted, lot.effective_at, lot.expires_at), (5, units(10), at(2_000), Expiry::NEVER));
    assert!(wallet.terms.riders.is_empty(), "it does not roll over again");
}

#[test]
fn the_path_of_a_debit_rolls_over_exactly_however_late_it_comes() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, Rollover { valid_for_ms: Some(500), max: Some(units(8)), ..ALL }));
    wallet.now = at(2_499);
    wallet.spend(3, DEBIT);
    wallet.check_balance(5, &[(11, 5)]);
    // What went on has ended, too, while nobody looked.
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, Rollover { valid_for_ms: Some(500), max: Some(units(8)), ..ALL }));
    wallet.now = at(2_500);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[rolled(10, 8, 2_000), expired(10, 12), expired(11, 8)]);
    wallet.check_balance(0, &[]);
    assert_eq!(wallet.terms, Terms::new());
}

#[test]
fn all_of_a_remainder_may_go_on_and_none_of_what_is_too_small() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.grant(rolling(20, 1, 2_000, half()));
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[rolled(10, 20, 2_000), expired(20, 1)]);
    wallet.check_balance(20, &[(11, 20)]);
}

#[test]
fn what_rolls_over_finds_its_place_in_the_spend_order() {
    let mut wallet = Wallet::new();
    wallet.grant(grant(30, 10));
    wallet.grant(NewGrant { priority: 4, ..grant(32, 10) });
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.check_balance(40, &[(32, 10), (10, 20), (30, 10)]);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(40, &[(32, 10), (11, 20), (30, 10)]);
}

#[test]
fn levels_see_an_end_and_what_goes_on_as_one_movement() {
    let mut wallet = Wallet::new();
    wallet.must(&levels(&[("low", 15), ("lower", 5)]));
    wallet.grant(rolling(10, 20, 2_000, half()));
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    assert_eq!((wallet.effects.crossed.levels, wallet.effects.crossed.depleted), (0b10, false));
}

#[test]
fn terms_end_with_their_grant() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.grant(rolling(12, 20, 2_000, ALL));
    wallet.grant(rolling(14, 20, 2_000, ALL));
    wallet.spend(20, DEBIT);
    wallet.must(&Operation::Void { grant: id(12) });
    let left: Vec<_> = wallet.terms.riders.clauses.iter().map(|clause| clause.grant).collect();
    assert_eq!(left, [id(14)]);
    wallet.must(&Operation::SetStatus(Status::Closed));
    assert!(wallet.terms.riders.is_empty());
}

#[test]
fn the_end_of_a_grant_that_may_roll_over_can_be_moved() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.must(&Operation::MoveExpiry { grant: id(10), expires_at: Some(at(3_000)) });
    wallet.now = at(3_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[rolled(10, 20, 3_000)]);
    wallet.must(&Operation::MoveExpiry { grant: id(11), expires_at: Some(at(4_000)) });
    wallet.must(&Operation::Void { grant: id(11) });
    wallet.check_balance(0, &[]);
}

#[test]
fn a_scheduled_grant_pays_debt_and_rolls_over_what_is_left_in_one_change() {
    let mut wallet = Wallet::new();
    wallet.spend(30, Policy::Overdraft);
    wallet.grant(NewGrant { effective_at: at(2_000), ..rolling(10, 50, 3_000, half()) });
    wallet.now = at(9_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[
        Movement::Activated { grant: id(10), amount: units(50) },
        Movement::DebtPaid { grant: id(10), amount: units(30) },
        rolled(10, 10, 3_000),
        expired(10, 10),
    ]);
    wallet.check_balance(10, &[(11, 10)]);
}

#[test]
fn the_number_behind_is_kept_free() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.check_rejected(&Operation::Grant(grant(11, 5)), Rejection::IdConflict);
    wallet.grant(grant(31, 5));
    wallet.check_rejected(&Operation::Grant(rolling(30, 5, 2_000, ALL)), Rejection::IdConflict);
    wallet.check_rejected(&Operation::Grant(rolling(u64::MAX, 5, 2_000, ALL)), Rejection::IdConflict);
    let none = Rollover { fraction: Decimal::ZERO, ..ALL };
    wallet.check_rejected(&Operation::Grant(rolling(40, 5, 2_000, none)), Rejection::InvalidAmount);
}

// Payments.

fn waiting(number: u64, amount: i64) -> NewGrant {
    let payment = Payment { begins_when_paid: true, valid_for_ms: None };
    NewGrant { special: Special { payment: Some(payment), ..Special::NONE }, ..grant(number, amount) }
}

fn pay(number: u64) -> Operation {
    Operation::Pay { grant: id(number) }
}

#[test]
fn a_grant_counts_for_nothing_until_it_is_paid_for() {
    let mut wallet = Wallet::with(&[10]);
    wallet.grant(waiting(20, 5));
    wallet.check_movements(&[Movement::AwaitsPayment { grant: id(20), amount: units(5) }]);
    wallet.check_balance(10, &[(1, 10)]);
    assert_eq!(wallet.terms.deadline(), None);
    wallet.now = at(3_000);
    wallet.must(&pay(20));
    wallet.check_movements(&[
        Movement::Paid { grant: id(20), amount: units(5) },
        Movement::Activated { grant: id(20), amount: units(5) },
    ]);
    wallet.check_balance(15, &[(1, 10), (20, 5)]);
    assert_eq!(wallet.terms.lots[1].effective_at, at(3_000));
    wallet.must(&pay(20));
    wallet.check_movements(&[]);
    wallet.check_balance(15, &[(1, 10), (20, 5)]);
}

#[test]
fn debt_is_paid_first_by_what_was_waited_for_too() {
    let mut wallet = Wallet::new();
    wallet.grant(waiting(20, 50));
    wallet.spend(30, Policy::Overdraft);
    wallet.must(&pay(20));
    wallet.check_balance(20, &[(20, 20)]);
}

#[test]
fn dates_and_lengths_hold_from_the_payment_on() {
    let with = |number, payment, declared: NewGrant| {
        let special = Special { payment: Some(payment), ..Special::NONE };
        Operation::Grant(NewGrant { special, ..NewGrant { id: id(number), ..declared } })
    };
    let fixed = Payment { begins_when_paid: false, valid_for_ms: None };
    let lasting = Payment { begins_when_paid: true, valid_for_ms: Some(700) };
    let mut wallet = Wallet::new();
    wallet.must(&with(20, fixed, later(20, 5, 5_000)));
    wallet.must(&with(22, lasting, grant(22, 6)));
    wallet.must(&with(24, Payment { begins_when_paid: false, ..lasting }, later(24, 7, 5_000)));
    wallet.must(&with(26, fixed, ending(26, 8, 2_000)));
    wallet.now = at(3_000);
    for number in [20, 22, 24] {
        wallet.must(&pay(number));
    }
    wallet.check_rejected(&pay(26), Rejection::ExpiryInPast);
    wallet.check_balance(6, &[(22, 6)]);
    assert_eq!(wallet.terms.lots[0].expires_at, Expiry::at(at(3_700)));
    let scheduled: Vec<_> = wallet.terms.scheduled.iter().map(|lot| (lot.id.get(), lot.expires_at)).collect();
    assert_eq!(scheduled, [(24, Expiry::at(at(5_700))), (20, Expiry::NEVER)]);
    // An end that is over can be moved, and then the payment counts.
    wallet.must(&Operation::MoveExpiry { grant: id(26), expires_at: Some(at(4_000)) });
    wallet.must(&pay(26));
    wallet.check_balance(14, &[(22, 6), (26, 8)]);
}

#[test]
fn what_waits_can_be_voided_and_is_by_closing() {
    let mut wallet = Wallet::new();
    wallet.grant(waiting(20, 5));
    wallet.grant(waiting(22, 6));
    wallet.must(&Operation::Void { grant: id(20) });
    wallet.check_movements(&[Movement::ScheduledVoided { grant: id(20), amount: units(5) }]);
    wallet.check_rejected(&pay(20), Rejection::GrantEnded);
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_movements(&[Movement::ScheduledVoided { grant: id(22), amount: units(6) }]);
    wallet.check_rejected(&pay(22), Rejection::WalletClosed);
}

#[test]
fn room_is_kept_for_what_waits() {
    let mut wallet = Wallet::new();
    wallet.grant(NewGrant { max_balance: Some(units(25)), ..waiting(20, 20) });
    let exceeded = Rejection::MaxBalanceExceeded { limit: units(25), resulting: units(26) };
    wallet.check_rejected(&Operation::Grant(NewGrant { max_balance: Some(units(25)), ..grant(22, 6) }), exceeded);
    wallet.check_rejected(&Operation::Grant(waiting(24, i64::MAX - 20)), Rejection::BalanceOverflow);
    wallet.must(&pay(20));
}

// Schedules.

fn occurrence(number: u64, of: u64, begins: u64, ends: Option<u64>) -> NewGrant {
    let occurrence = Some(Occurrence { schedule: 7, number: of });
    let declared = NewGrant { expires_at: ends.map(at), ..later(number, 10, begins) };
    NewGrant { special: Special { occurrence, ..Special::NONE }, ..declared }
}

#[test]
fn an_occurrence_is_made_once() {
    let mut wallet = Wallet::new();
    wallet.grant(occurrence(20, 0, 500, None));
    wallet.grant(occurrence(22, 1, 2_000, None));
    assert_eq!(*wallet.terms.riders.progress, [Progress { schedule: 7, next: 2 }]);
    wallet.check_rejected(&Operation::Grant(occurrence(24, 1, 2_000, None)), Rejection::IdConflict);
    wallet.grant(occurrence(24, 5, 3_000, None));
    assert_eq!(wallet.terms.riders.next_of(7), 6);
    let scheduled =
        |wallet: &Wallet| wallet.terms.riders.clauses.iter().map(|clause| clause.grant.get()).collect::<Vec<_>>();
    assert_eq!(scheduled(&wallet), [22, 24]);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    assert_eq!(scheduled(&wallet), [24]);
}

#[test]
fn a_missed_occurrence_is_recorded_and_expires_at_once() {
    let mut wallet = Wallet::new();
    wallet.now = at(5_000);
    wallet.grant(occurrence(20, 0, 2_000, Some(3_000)));
    wallet.check_movements(&[Movement::Granted { grant: id(20), amount: units(10) }, expired(20, 10)]);
    let rolls = Special { rollover: Some(half()), ..occurrence(22, 1, 3_000, None).special };
    wallet.grant(NewGrant { special: rolls, ..occurrence(22, 1, 3_000, Some(4_000)) });
    wallet.check_balance(5, &[(23, 5)]);
    wallet.check_rejected(&Operation::Grant(ending(24, 10, 4_000)), Rejection::ExpiryInPast);
    let backwards = occurrence(26, 2, 4_000, Some(4_000));
    wallet.check_rejected(&Operation::Grant(backwards), Rejection::ExpiryBeforeEffective);
}

#[test]
fn the_end_of_a_schedule_takes_back_what_has_not_taken_effect() {
    let mut wallet = Wallet::new();
    wallet.grant(occurrence(20, 0, 500, None));
    wallet.grant(occurrence(22, 1, 2_000, None));
    wallet.grant(later(24, 3, 2_500));
    wallet.must(&Operation::EndSchedule { schedule: 7 });
    wallet.check_movements(&[Movement::ScheduledVoided { grant: id(22), amount: units(10) }]);
    wallet.check_balance(10, &[(20, 10)]);
    assert!(wallet.terms.riders.is_empty());
    assert_eq!(wallet.terms.scheduled.len(), 1);
    wallet.must(&Operation::EndSchedule { schedule: 7 });
    wallet.check_movements(&[]);
}

#[test]
fn occurrences_to_come_do_not_count_against_a_maximum() {
    let mut wallet = Wallet::new();
    wallet.grant(occurrence(20, 0, 500, None));
    wallet.grant(occurrence(22, 1, 2_000, None));
    wallet.grant(NewGrant { max_balance: Some(units(15)), ..grant(24, 5) });
    let exceeded = Rejection::MaxBalanceExceeded { limit: units(15), resulting: units(16) };
    wallet.check_rejected(&Operation::Grant(NewGrant { max_balance: Some(units(15)), ..grant(26, 1) }), exceeded);
}

#[test]
fn what_is_held_at_the_end_stays_with_its_hold_and_expires_after_it() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.hold(1, 8, 3_000);
    wallet.hold(2, 5, 3_500);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[rolled(10, 7, 2_000)]);
    wallet.check_balance(20, &[(11, 7)]);
    assert!(wallet.terms.riders.is_empty(), "nothing of it rolls over any more");
    wallet.must(&Operation::Capture { hold: HoldId::new(1), amount: units(3), is_final: false });
    wallet.check_balance(17, &[(11, 7)]);
    wallet.now = at(3_000);
    wallet.must(&Operation::Due);
    let (hold, amount) = (HoldId::new(1), units(5));
    let returned = Movement::Returned { hold, grant: id(10), amount };
    wallet.check_movements(&[Movement::HoldExpired { hold, amount }, returned, expired(10, 5)]);
    wallet.check_balance(12, &[(11, 7)]);
    wallet.must(&Operation::Release { hold: HoldId::new(2) });
    wallet.check_balance(7, &[(11, 7)]);
}

/// However late it is: what was given back before the end rolls over, what was given back after it does not.
#[test]
fn only_what_was_free_at_the_end_rolls_over_however_late_that_is_seen() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, half()));
    wallet.hold(1, 6, 1_900);
    wallet.hold(2, 4, 2_000);
    wallet.hold(3, 3, 2_100);
    wallet.now = at(5_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(6, &[(11, 6)]);
    let movements = &wallet.effects.movements;
    assert!(movements.contains(&rolled(10, 6, 2_000)) && movements.contains(&expired(10, 14)), "{movements:?}");
}

/// A grant that is held whole keeps its terms: it may have something free again when it ends.
#[test]
fn the_terms_of_a_grant_outlast_its_free_credits() {
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.hold(1, 20, 1_900);
    assert!(wallet.terms.lots.is_empty() && wallet.terms.riders.clause(id(10)).is_some());
    // The number behind it is kept for what rolls over.
    wallet.check_rejected(&Operation::Grant(grant(11, 1)), Rejection::IdConflict);
    // Recovery puts back what was there, due or not.
    wallet.now = at(2_500);
    wallet.must(&Operation::Reopen);
    assert!(wallet.terms.riders.clause(id(10)).is_some());
    wallet.must(&Operation::Due);
    wallet.check_balance(20, &[(11, 20)]);
    // Voided, it rolls nothing over.
    let mut wallet = Wallet::new();
    wallet.grant(rolling(10, 20, 2_000, ALL));
    wallet.hold(1, 20, 1_900);
    wallet.must(&Operation::Void { grant: id(10) });
    assert!(wallet.terms.riders.is_empty());
    wallet.now = at(2_500);
    wallet.must(&Operation::Due);
    wallet.check_balance(0, &[]);
}

#[test]
fn a_grant_that_is_held_whole_was_paid_for() {
    let mut wallet = Wallet::new();
    wallet.grant(grant(10, 20));
    wallet.hold(1, 20, 1_900);
    wallet.must(&Operation::Pay { grant: id(10) });
    wallet.check_movements(&[]);
}
