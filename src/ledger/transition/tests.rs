//! Transitions by table: each test is a short story of one wallet.

use super::super::grant::Category;
use super::super::hold::{HoldId, MAX_HOLDS, NewHold, OnExceed};
use super::super::level::{Level, Trigger, Watches};
use super::super::riders::Special;
use super::*;

mod claw_back;
mod freeze;
mod holds;
mod reverse;
mod special;
mod transfer;

/// A wallet that tests drive: it debits the way the engine does and remembers its last change.
struct Wallet {
    terms: Terms,
    balance: Amount,
    now: Timestamp,
    effects: Effects,
}

const DEBIT: Policy = Policy::Reject;

impl Wallet {
    fn new() -> Wallet {
        Wallet { terms: Terms::new(), balance: Amount::ZERO, now: at(1_000), effects: Effects::default() }
    }

    /// A wallet with endless grants 1, 2, … of these amounts, to be spent in this order.
    fn with(grants: &[i64]) -> Wallet {
        let mut wallet = Wallet::new();
        for (number, amount) in (1..).zip(grants) {
            wallet.grant(grant(number, *amount));
        }
        wallet
    }

    fn apply(&mut self, operation: &Operation) -> Result<Taken, Rejection> {
        let change = transition(&self.terms, self.balance, operation, self.now);
        let moved: i128 = change.effects.movements.iter().map(Movement::delta).sum();
        let opening = i128::from(change.terms.opening.units());
        assert_eq!(i128::from(self.balance.units()) + moved, opening, "movements of {change:?}");
        assert_eq!(change.terms.validate(), Ok(()));
        self.balance = change.terms.opening;
        self.terms = change.terms;
        self.effects = change.effects;
        change.result
    }

    /// Applies an operation that must succeed.
    #[track_caller]
    fn must(&mut self, operation: &Operation) -> Taken {
        self.apply(operation).expect("the operation is allowed")
    }

    #[track_caller]
    fn grant(&mut self, new: NewGrant) {
        self.must(&Operation::Grant(new));
    }

    /// A debit on the fast path: it lowers the balance and nothing else.
    #[track_caller]
    fn spend_fast(&mut self, units: i64) {
        let after = self.balance.minus(Amount::new(units));
        assert!(after >= self.terms.base(), "{units} is no fast debit");
        self.balance = after;
    }

    #[track_caller]
    fn spend(&mut self, units: i64, policy: Policy) {
        self.must(&Operation::Debit { amount: Amount::new(units), policy });
    }

    #[track_caller]
    fn check_balance(&self, balance: i64, lots: &[(u64, i64)]) {
        let have: Vec<_> = self.terms.lots.iter().map(|lot| (lot.id.get(), lot.remaining.units())).collect();
        assert_eq!((self.balance.units(), have.as_slice()), (balance, lots));
    }

    #[track_caller]
    fn check_movements(&self, movements: &[Movement]) {
        assert_eq!(self.effects.movements, movements);
    }

    /// Sets credits aside, with the policy `reject`.
    #[track_caller]
    fn hold(&mut self, number: u64, amount: i64, expires_at: u64) {
        self.must(&Operation::Hold(new_hold(number, amount, expires_at)));
    }

    #[track_caller]
    fn check_rejected(&mut self, operation: &Operation, rejection: Rejection) {
        let before = self.terms.clone();
        assert_eq!(self.apply(operation), Err(rejection));
        assert_eq!(self.terms, before, "a rejected operation changes nothing");
        self.check_movements(&[]);
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn id(number: u64) -> GrantId {
    GrantId::new(number)
}

fn units(units: i64) -> Amount {
    Amount::new(units)
}

fn grant(number: u64, amount: i64) -> NewGrant {
    NewGrant {
        id: id(number),
        amount: units(amount),
        priority: 50,
        category: Category::Paid,
        effective_at: at(500),
        expires_at: None,
        cost: None,
        max_balance: None,
        special: Special::NONE,
    }
}

fn ending(number: u64, amount: i64, expires_at: u64) -> NewGrant {
    NewGrant { expires_at: Some(at(expires_at)), ..grant(number, amount) }
}

fn later(number: u64, amount: i64, effective_at: u64) -> NewGrant {
    NewGrant { effective_at: at(effective_at), ..grant(number, amount) }
}

fn new_hold(number: u64, amount: i64, expires_at: u64) -> NewHold {
    let (id, on_exceed) = (HoldId::new(number), OnExceed::Reject);
    NewHold { id, amount: units(amount), expires_at: at(expires_at), on_exceed }
}

fn levels(list: &[(&str, i64)]) -> Operation {
    let level = |&(name, amount): &(&str, i64)| Level {
        name: name.into(),
        amount: units(amount),
        trigger: Trigger::Below,
        ..Level::default()
    };
    Operation::SetLevels(Some(Arc::new(Levels::new(list.iter().map(level).collect()).expect("levels"))))
}

#[test]
fn grants_are_spent_in_order_and_depletion_is_seen_at_the_next_change() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(15);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[Movement::Depleted { grant: id(1) }]);
    wallet.check_balance(15, &[(2, 15)]);
}

#[test]
fn a_grant_made_later_may_be_spent_first() {
    let mut wallet = Wallet::with(&[10]);
    wallet.grant(NewGrant { priority: 10, ..grant(2, 5) });
    wallet.check_movements(&[Movement::Granted { grant: id(2), amount: units(5) }]);
    wallet.check_balance(15, &[(2, 5), (1, 10)]);
}

#[test]
fn a_slow_debit_says_who_paid() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(3);
    wallet.spend(27, DEBIT);
    wallet.check_balance(0, &[]);
    wallet.check_movements(&[
        Movement::Spent { grant: id(1), amount: units(7) },
        Movement::Depleted { grant: id(1) },
        Movement::Spent { grant: id(2), amount: units(20) },
        Movement::Depleted { grant: id(2) },
    ]);
    assert_eq!(wallet.effects.crossed, Lines { levels: 0, depleted: true, negative: false });
}

#[test]
fn a_debit_that_is_refused_changes_nothing() {
    let mut wallet = Wallet::with(&[10]);
    let insufficient = Rejection::InsufficientCredit { available: units(10), required: units(11) };
    wallet.check_rejected(&Operation::Debit { amount: units(11), policy: DEBIT }, insufficient);
    let negative = Operation::Debit { amount: units(-1), policy: Policy::Overdraft };
    wallet.check_rejected(&negative, Rejection::InvalidAmount);
}

#[test]
fn partial_takes_the_rest() {
    let mut wallet = Wallet::with(&[10]);
    let taken = wallet.must(&Operation::Debit { amount: units(14), policy: Policy::Partial });
    assert_eq!(taken, Taken { amount: units(10), shortfall: units(4), overdraft: units(0) });
    wallet.check_balance(0, &[]);
}

#[test]
fn overdraft_goes_below_the_floor_and_blocks_what_follows() {
    let mut wallet = Wallet::with(&[10]);
    let taken = wallet.must(&Operation::Debit { amount: units(14), policy: Policy::Overdraft });
    assert_eq!(taken, Taken { amount: units(14), shortfall: units(0), overdraft: units(4) });
    wallet.check_movements(&[
        Movement::Spent { grant: id(1), amount: units(10) },
        Movement::Depleted { grant: id(1) },
        Movement::Overdrawn { amount: units(4) },
    ]);
    assert_eq!(wallet.effects.crossed, Lines { levels: 0, depleted: true, negative: true });
    wallet.check_balance(-4, &[]);
    assert!(wallet.terms.headroom() < Amount::ZERO);
    let insufficient = Rejection::InsufficientCredit { available: units(-4), required: units(1) };
    wallet.check_rejected(&Operation::Debit { amount: units(1), policy: DEBIT }, insufficient);
    wallet.check_rejected(&Operation::Debit { amount: units(1), policy: Policy::Partial }, insufficient);
}

#[test]
fn within_the_allowance_debt_is_no_overdraft() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&Operation::SetAllowance(units(5)));
    wallet.spend(10, DEBIT);
    let taken = wallet.must(&Operation::Debit { amount: units(5), policy: DEBIT });
    assert_eq!(taken.overdraft, Amount::ZERO);
    wallet.check_balance(-5, &[]);
    assert_eq!(wallet.effects.crossed, Lines { levels: 0, depleted: false, negative: true });
}

#[test]
fn the_next_grant_pays_the_debt_first_and_visibly() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend(14, Policy::Overdraft);
    wallet.grant(grant(2, 3));
    wallet.check_balance(-1, &[]);
    wallet.check_movements(&[
        Movement::Granted { grant: id(2), amount: units(3) },
        Movement::DebtPaid { grant: id(2), amount: units(3) },
        Movement::Depleted { grant: id(2) },
    ]);
    assert_eq!(wallet.effects.recovered, Lines::default());
    wallet.grant(grant(3, 8));
    wallet.check_balance(7, &[(3, 7)]);
    wallet.check_movements(&[
        Movement::Granted { grant: id(3), amount: units(8) },
        Movement::DebtPaid { grant: id(3), amount: units(1) },
    ]);
    assert_eq!(wallet.effects.recovered, Lines { levels: 0, depleted: true, negative: true });
}

#[test]
fn a_grant_expires_in_its_own_millisecond_with_its_own_remainder() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(ending(2, 20, 3_000));
    wallet.grant(grant(3, 30));
    wallet.spend_fast(4);
    wallet.now = at(1_999);
    wallet.must(&Operation::Due);
    wallet.check_balance(56, &[(1, 6), (2, 20), (3, 30)]);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(50, &[(2, 20), (3, 30)]);
    wallet.check_movements(&[Movement::Expired { grant: id(1), amount: units(6) }]);
}

#[test]
fn an_expired_grant_cannot_be_spent_in_the_very_change_that_expires_it() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.now = at(2_000);
    let debit = Operation::Debit { amount: units(1), policy: DEBIT };
    let insufficient = Rejection::InsufficientCredit { available: units(0), required: units(1) };
    assert_eq!(wallet.apply(&debit), Err(insufficient));
    // The debit was refused, and still the expiry took place and was judged.
    wallet.check_balance(0, &[]);
    wallet.check_movements(&[Movement::Expired { grant: id(1), amount: units(10) }]);
    assert!(wallet.effects.crossed.depleted);
}

#[test]
fn a_grant_that_was_spent_before_its_end_does_not_expire() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(grant(2, 10));
    wallet.spend_fast(12);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_movements(&[Movement::Depleted { grant: id(1) }]);
    wallet.check_balance(8, &[(2, 8)]);
}

#[test]
fn a_scheduled_grant_takes_effect_in_its_own_millisecond_and_pays_debt() {
    let mut wallet = Wallet::new();
    wallet.grant(later(1, 10, 2_000));
    wallet.check_balance(0, &[]);
    wallet.check_movements(&[Movement::Scheduled { grant: id(1), amount: units(10) }]);
    assert_eq!(wallet.terms.deadline(), Some(at(2_000)));
    wallet.spend(4, Policy::Overdraft);
    wallet.now = at(1_999);
    wallet.must(&Operation::Due);
    wallet.check_balance(-4, &[]);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(6, &[(1, 6)]);
    wallet.check_movements(&[
        Movement::Activated { grant: id(1), amount: units(10) },
        Movement::DebtPaid { grant: id(1), amount: units(4) },
    ]);
}

#[test]
fn a_grant_whose_whole_life_was_missed_pays_debt_and_loses_the_rest() {
    let mut wallet = Wallet::new();
    wallet.grant(NewGrant { expires_at: Some(at(3_000)), ..later(1, 10, 2_000) });
    wallet.grant(later(2, 5, 2_500));
    wallet.spend(4, Policy::Overdraft);
    wallet.now = at(9_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(5, &[(2, 5)]);
    wallet.check_movements(&[
        Movement::Activated { grant: id(1), amount: units(10) },
        Movement::DebtPaid { grant: id(1), amount: units(4) },
        Movement::Activated { grant: id(2), amount: units(5) },
        Movement::Expired { grant: id(1), amount: units(6) },
    ]);
}

#[test]
fn grants_that_make_no_sense_are_refused() {
    let mut wallet = Wallet::with(&[10]);
    let table = [
        (grant(2, 0), Rejection::InvalidAmount),
        (grant(2, -5), Rejection::InvalidAmount),
        (NewGrant { priority: 101, ..grant(2, 5) }, Rejection::InvalidPriority),
        (NewGrant { cost: Some(-1), ..grant(2, 5) }, Rejection::InvalidCost),
        (ending(2, 5, 1_000), Rejection::ExpiryInPast),
        (NewGrant { expires_at: Some(at(2_000)), ..later(2, 5, 2_000) }, Rejection::ExpiryBeforeEffective),
        (grant(1, 5), Rejection::IdConflict),
        (grant(2, i64::MAX), Rejection::BalanceOverflow),
        (grant(2, i64::MAX - 10), Rejection::BalanceOverflow),
        (later(2, i64::MAX - 10, 2_000), Rejection::BalanceOverflow),
    ];
    for (new, rejection) in table {
        wallet.check_rejected(&Operation::Grant(new), rejection);
    }
    wallet.grant(grant(2, i64::MAX - 11));
    assert_eq!(wallet.balance, Amount::MAX_BALANCE);
}

#[test]
fn the_highest_balance_counts_scheduled_grants_and_debt() {
    let mut wallet = Wallet::with(&[10]);
    wallet.grant(later(2, 10, 2_000));
    let limited = |amount| NewGrant { max_balance: Some(units(25)), ..grant(3, amount) };
    let exceeded = Rejection::MaxBalanceExceeded { limit: units(25), resulting: units(26) };
    wallet.check_rejected(&Operation::Grant(limited(6)), exceeded);
    wallet.check_rejected(&Operation::Grant(NewGrant { effective_at: at(9_000), ..limited(6) }), exceeded);
    wallet.spend(12, Policy::Overdraft);
    wallet.grant(limited(17));
    wallet.check_balance(15, &[(3, 15)]);
}

#[test]
fn a_wallet_has_a_thousand_grants_at_most() {
    let mut wallet = Wallet::new();
    for number in 0..999 {
        wallet.grant(grant(number, 1));
    }
    wallet.grant(later(999, 1, 5_000));
    wallet.check_rejected(&Operation::Grant(grant(1_000, 1)), Rejection::TooManyGrants);
    wallet.spend_fast(1);
    wallet.grant(grant(1_000, 1));
    assert_eq!(wallet.terms.lots.len() + wallet.terms.scheduled.len(), MAX_LOTS);
}

#[test]
fn a_void_takes_what_is_left_and_can_be_repeated() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.spend_fast(4);
    let void = Operation::Void { grant: id(1) };
    wallet.must(&void);
    wallet.check_balance(20, &[(2, 20)]);
    wallet.check_movements(&[Movement::Voided { grant: id(1), amount: units(6) }]);
    wallet.must(&void);
    wallet.check_balance(20, &[(2, 20)]);
    wallet.check_movements(&[]);
    wallet.spend_fast(19);
    wallet.spend(1, DEBIT);
    wallet.must(&Operation::Void { grant: id(2) });
    wallet.check_movements(&[]);
}

#[test]
fn a_scheduled_grant_can_be_voided() {
    let mut wallet = Wallet::with(&[10]);
    wallet.grant(later(2, 5, 2_000));
    wallet.must(&Operation::Void { grant: id(2) });
    wallet.check_movements(&[Movement::ScheduledVoided { grant: id(2), amount: units(5) }]);
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(10, &[(1, 10)]);
}

#[test]
fn a_moved_expiry_moves_the_grant_in_the_spend_order() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(ending(2, 20, 3_000));
    let move_to = |expires_at| Operation::MoveExpiry { grant: id(1), expires_at };
    wallet.must(&move_to(Some(at(4_000))));
    wallet.check_balance(30, &[(2, 20), (1, 10)]);
    wallet.check_movements(&[Movement::ExpiryMoved {
        grant: id(1),
        amount: units(10),
        from: Some(at(2_000)),
        to: Some(at(4_000)),
    }]);
    wallet.must(&move_to(Some(at(4_000))));
    wallet.check_movements(&[]);
    wallet.must(&move_to(None));
    wallet.now = at(1_000_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(10, &[(1, 10)]);
}

#[test]
fn an_expiry_moves_into_the_future_only_and_for_grants_that_have_not_ended() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(later(2, 5, 5_000));
    let moved = |number, to| Operation::MoveExpiry { grant: id(number), expires_at: Some(at(to)) };
    wallet.check_rejected(&moved(1, 1_000), Rejection::ExpiryInPast);
    wallet.check_rejected(&moved(2, 5_000), Rejection::ExpiryBeforeEffective);
    wallet.check_rejected(&moved(7, 5_000), Rejection::GrantEnded);
    wallet.must(&moved(2, 5_001));
    wallet.must(&moved(1, 1_001));
    wallet.now = at(1_001);
    assert_eq!(wallet.apply(&moved(1, 9_000)), Err(Rejection::GrantEnded));
    wallet.check_movements(&[Movement::Expired { grant: id(1), amount: units(10) }]);
}

#[test]
fn a_frozen_wallet_takes_grants_and_gives_nothing() {
    let mut wallet = Wallet::with(&[10]);
    wallet.must(&Operation::SetStatus(Status::Frozen));
    wallet.check_rejected(&Operation::Debit { amount: units(1), policy: Policy::Overdraft }, Rejection::WalletFrozen);
    wallet.grant(ending(2, 5, 2_000));
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    wallet.check_balance(0, &[]);
    wallet.grant(grant(3, 7));
    wallet.must(&Operation::SetStatus(Status::Active));
    wallet.spend_fast(6);
}

#[test]
fn closing_writes_off_what_is_left_and_is_final() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.grant(later(3, 5, 2_000));
    wallet.must(&levels(&[("low", 5)]));
    wallet.spend_fast(4);
    let close = Operation::SetStatus(Status::Closed);
    wallet.must(&close);
    wallet.check_balance(0, &[]);
    wallet.check_movements(&[
        Movement::WrittenOff { grant: id(1), amount: units(6) },
        Movement::WrittenOff { grant: id(2), amount: units(20) },
        Movement::ScheduledVoided { grant: id(3), amount: units(5) },
    ]);
    assert!(wallet.effects.crossed.is_empty(), "a closed wallet alerts no one");
    wallet.must(&close);
    wallet.must(&Operation::Void { grant: id(1) });
    wallet.must(&Operation::Reopen);
    wallet.check_movements(&[]);
    let operations = [
        Operation::Grant(grant(4, 1)),
        Operation::MoveExpiry { grant: id(1), expires_at: None },
        Operation::Debit { amount: units(1), policy: Policy::Overdraft },
        Operation::SetStatus(Status::Active),
        Operation::SetStatus(Status::Frozen),
        Operation::SetAllowance(units(1)),
        Operation::SetLevels(None),
    ];
    for operation in operations {
        wallet.check_rejected(&operation, Rejection::WalletClosed);
    }
}

#[test]
fn closing_writes_off_debt() {
    let mut wallet = Wallet::with(&[10]);
    wallet.spend(14, Policy::Overdraft);
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_movements(&[Movement::DebtWrittenOff { amount: units(4) }]);
    wallet.check_balance(0, &[]);
}

#[test]
fn a_wallet_with_held_credits_cannot_be_closed() {
    let mut wallet = Wallet::with(&[10]);
    wallet.hold(1, 3, 9_000);
    wallet.check_rejected(&Operation::SetStatus(Status::Closed), Rejection::WalletHeld { held: units(3) });
    wallet.spend(7, DEBIT);
    let insufficient = Rejection::InsufficientCredit { available: units(0), required: units(1) };
    wallet.check_rejected(&Operation::Debit { amount: units(1), policy: DEBIT }, insufficient);
}

#[test]
fn an_allowance_is_an_amount_that_fits() {
    let mut wallet = Wallet::with(&[10]);
    wallet.grant(later(2, 10, 2_000));
    wallet.check_rejected(&Operation::SetAllowance(units(-1)), Rejection::InvalidAmount);
    wallet.check_rejected(&Operation::SetAllowance(units(i64::MAX - 20)), Rejection::BalanceOverflow);
    wallet.must(&Operation::SetAllowance(units(i64::MAX - 21)));
    wallet.check_rejected(&Operation::Grant(grant(3, 1)), Rejection::BalanceOverflow);
    assert_eq!(wallet.terms.available(wallet.balance), units(i64::MAX - 11));
}

/// An allowance that fitted only because of debt no longer did once closing the wallet had written the debt off.
#[test]
fn debt_makes_no_room_for_an_allowance() {
    let mut wallet = Wallet::new();
    wallet.spend(1, Policy::Overdraft);
    wallet.check_rejected(&Operation::SetAllowance(units(i64::MAX)), Rejection::BalanceOverflow);
    wallet.must(&Operation::SetAllowance(Amount::MAX_BALANCE));
    wallet.must(&Operation::SetStatus(Status::Closed));
    wallet.check_balance(0, &[]);
}

#[test]
fn a_lower_allowance_may_leave_the_wallet_below_its_floor() {
    let mut wallet = Wallet::new();
    wallet.must(&Operation::SetAllowance(units(10)));
    wallet.spend(8, DEBIT);
    wallet.must(&Operation::SetAllowance(units(5)));
    wallet.check_movements(&[]);
    wallet.check_balance(-8, &[]);
    assert_eq!(wallet.terms.available(wallet.balance), units(-3));
}

#[test]
fn a_crossing_is_reported_by_the_debit_that_made_it() {
    let mut wallet = Wallet::with(&[100]);
    wallet.must(&levels(&[("low", 10), ("lower", 5), ("high", 500)]));
    assert!(wallet.effects.crossed.is_empty(), "setting levels fires none");
    assert_eq!(wallet.terms.base(), units(10));
    wallet.spend_fast(90);
    wallet.spend(1, DEBIT);
    assert_eq!(wallet.effects.crossed, Lines { levels: 0b010, depleted: false, negative: false });
    wallet.spend(9, DEBIT);
    assert_eq!(wallet.effects.crossed, Lines { levels: 0b001, depleted: true, negative: false });
    wallet.grant(grant(2, 7));
    assert_eq!(wallet.effects.recovered, Lines { levels: 0b001, depleted: true, negative: false });
    wallet.grant(grant(3, 700));
    assert_eq!(wallet.effects.recovered, Lines { levels: 0b010, depleted: false, negative: false });
}

#[test]
fn an_expiry_crosses_levels_too() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.grant(grant(2, 5));
    wallet.must(&levels(&[("low", 10)]));
    wallet.now = at(2_000);
    wallet.must(&Operation::Due);
    assert_eq!(wallet.effects.crossed, Lines { levels: 1, depleted: false, negative: false });
}

#[test]
fn a_fall_made_good_in_the_same_change_is_no_crossing() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.must(&levels(&[("low", 10)]));
    wallet.now = at(2_000);
    wallet.grant(grant(2, 10));
    wallet.check_movements(&[
        Movement::Expired { grant: id(1), amount: units(10) },
        Movement::Granted { grant: id(2), amount: units(10) },
    ]);
    assert_eq!((wallet.effects.crossed, wallet.effects.recovered), (Lines::default(), Lines::default()));
}

#[test]
fn levels_set_while_something_expires_are_judged_from_the_closing_balance() {
    let mut wallet = Wallet::new();
    wallet.grant(ending(1, 10, 2_000));
    wallet.now = at(2_000);
    wallet.must(&levels(&[("low", 10), ("high", 11)]));
    assert_eq!(wallet.effects.crossed, Lines { levels: 0b01, depleted: true, negative: false });
}

#[test]
fn setting_the_same_levels_twice_fires_no_alert_twice() {
    let mut wallet = Wallet::with(&[100]);
    let level = Level { name: "low".into(), amount: units(10), margin: units(5), ..Level::default() };
    let set = Operation::SetLevels(Some(Arc::new(Levels::new(vec![level]).expect("a level"))));
    wallet.must(&set);
    wallet.spend(91, DEBIT);
    assert_eq!(wallet.effects.crossed.levels, 1);
    wallet.grant(grant(2, 3));
    wallet.must(&set);
    wallet.spend(3, DEBIT);
    assert!(wallet.effects.crossed.is_empty(), "the balance never rose above the margin");
    wallet.grant(grant(3, 6));
    assert_eq!(wallet.effects.recovered.levels, 1);
}

#[test]
fn reopening_changes_nothing_but_the_lots() {
    let mut wallet = Wallet::with(&[10, 20]);
    wallet.must(&levels(&[("low", 15)]));
    wallet.spend_fast(12);
    let settled = wallet.terms.lots_at(wallet.balance);
    wallet.must(&Operation::Reopen);
    assert_eq!(wallet.terms.lots.to_vec(), settled.lots);
    wallet.check_balance(18, &[(2, 18)]);
    wallet.check_movements(&[Movement::Depleted { grant: id(1) }]);
}

/// Recovery reopened a wallet whose grant had ended meanwhile, and expired it on the way: what a crash had left was then no longer a
/// beginning of what had been done.
#[test]
fn reopening_leaves_what_is_due_to_whoever_comes_next() {
    let old = Terms {
        opening: units(10),
        lots: Box::new([Lot {
            id: id(1),
            remaining: units(10),
            granted: units(10),
            effective_at: Timestamp::EPOCH,
            expires_at: Expiry::at(Timestamp::from_millis(5)),
            cost: 0,
            priority: 0,
            category: Category::Paid,
        }]),
        ..Terms::new()
    };
    let now = Timestamp::from_millis(9);
    let reopened = transition(&old, units(8), &Operation::Reopen, now);
    assert_eq!((reopened.terms.opening, reopened.effects.movements.len()), (units(8), 0));
    let due = transition(&reopened.terms, units(8), &Operation::Due, now);
    assert_eq!(due.effects.movements, [Movement::Expired { grant: id(1), amount: units(8) }]);
}
