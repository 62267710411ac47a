//! Terms: everything about a wallet that holds for one generation.
//!
//! Within a generation the terms are immutable and only the balance moves, downwards. `balance = headroom + base`, where
//! [`Terms::base`] is the balance at which headroom is zero. All else (what is left of each grant, who paid a debit, how
//! much debt there is) follows from the terms and a balance.
//!
//! Invariants ([`Terms::validate`] checks them, [`super::transition()`] keeps them):
//! 1. `lots` are in spend order, `scheduled` in activation order, `holds` in the order in which they end; ids are unique, and there are
//!    [`MAX_LOTS`] and [`MAX_HOLDS`] at most. Of what a hold has of a grant there is one part.
//! 2. Every lot, a hold's part too, has `0 < remaining <= granted`, a cost of zero or more, a priority of 100 at most, and ends after it
//!    begins. Every hold has `0 < remaining <= amount`, and its parts, in spend order, add up to its remainder at most.
//! 3. `opening` is the sum of what remains of lots and parts, less debt; if there are lots, there is no debt.
//! 4. `allowance` is zero or more, and `held` what remains of the holds.
//! 5. `opening` + scheduled, or zero if that is debt, + `allowance` is at most [`Amount::MAX_BALANCE`], and `opening - held` at least
//!    [`Amount::MIN`]: so whatever takes effect later fits (the writing off of the debt included), and so does every difference of
//!    balances taken here.
//! 6. The level states agree with `opening` (see [`Levels`]), and without levels there are none.
//! 7. A closed wallet is empty: no balance, lots, scheduled lots, held credits, commitments, level states or riders.
//! 8. The riders agree with the lots (see [`Riders`]), and unpaid grants count among the lots of 1 and 5.
//! 9. Commitments are in the order of their ends, one an end, and their sum is an amount that a wallet could hold.
//! 10. `granted` is zero or more, and zero unless a level is a share of it.

use std::sync::Arc;

use super::amount::Amount;
use super::commitment::{self, Commitment};
use super::grant::{GrantId, Lot, MAX_PRIORITY};
use super::hold::{MAX_HOLDS, MAX_PARTS, OpenHold};
use super::level::{Bearings, LevelStates, Levels};
use super::riders::Riders;
use super::time::{Expiry, Timestamp};

/// The most grants that a wallet can have at a time, scheduled and unpaid ones included.
pub const MAX_LOTS: usize = 1000;

/// Whether a wallet can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// It can.
    #[default]
    Active,
    /// It takes grants but no debits.
    Frozen,
    /// It is closed, for good.
    Closed,
}

impl Status {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Frozen => "frozen",
            Status::Closed => "closed",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Option<Status> {
        match name {
            "active" => Some(Status::Active),
            "frozen" => Some(Status::Frozen),
            "closed" => Some(Status::Closed),
            _ => None,
        }
    }
}

/// The terms of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether the wallet can be used.
    pub status: Status,
    /// The balance when the generation opened; negative is debt.
    pub opening: Amount,
    /// How far below zero the balance may go.
    pub allowance: Amount,
    /// Credits under open holds.
    pub held: Amount,
    /// Active grants with something left that is not held, in spend order.
    pub lots: Box<[Lot]>,
    /// Grants that have not taken effect, in the order in which they will.
    pub scheduled: Box<[Lot]>,
    /// Alert levels.
    pub levels: Option<Arc<Levels>>,
    /// Which of the levels are armed, and which have fired.
    pub states: LevelStates,
    /// Open holds, in the order in which they end.
    pub holds: Box<[OpenHold]>,
    /// Grants that wait for their payment, terms of rolling over, progress of recurring grants.
    pub riders: Riders,
    /// For each level with an interval, in their order, when it was told last; [`Timestamp::EPOCH`] for never.
    pub told: Box<[Timestamp]>,
    /// What levels that are a share of what was granted are a share of: the sum of what was granted in the grants that were active when
    /// credits last came or went otherwise than by debits. That a grant has been spent does not change it, so such a level does not
    /// recover because credits were used.
    pub granted: Amount,
    /// Credits that are committed, in the order in which they cease to be.
    pub committed: Box<[Commitment]>,
    /// The version of the currency's default levels that `levels` are. Zero for levels of the wallet's own, and for none.
    pub inherited: u32,
}

/// What a wallet has at some balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Active grants with something left that is not held, in spend order.
    pub lots: Vec<Lot>,
    /// What the wallet owes.
    pub debt: Amount,
}

/// Who paid a debit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Grants and their parts, in spend order.
    pub parts: Vec<(GrantId, Amount)>,
    /// The part that no grant paid.
    pub debt: Amount,
}

/// An invariant of [`Terms`] that does not hold, by its number in the module's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// 1: order, uniqueness, count.
    Order,
    /// 2: a lot is not a possible lot.
    Lot,
    /// 3: the opening balance is not what the lots say.
    Opening,
    /// 4: a negative allowance, or a held amount that is not what the holds say.
    Sign,
    /// 5: out of range.
    Range,
    /// 6: level states that the balance contradicts.
    Levels,
    /// 7: a closed wallet with something in it.
    Closed,
    /// 2: a hold is not a possible hold.
    Hold,
    /// 8: riders that contradict the lots.
    Riders,
    /// 9: commitments that no wallet can have.
    Committed,
    /// 10: a sum of what was granted that is none, or that no level asks for.
    Granted,
}

impl Terms {
    /// The terms of a wallet that has just been made: active and empty.
    pub fn new() -> Terms {
        Terms::default()
    }

    /// The lowest balance that is not below the floor.
    pub fn floor_line(&self) -> Amount {
        self.held.minus(self.allowance)
    }

    /// The balance at which headroom is zero: the highest line at or below the opening balance. Lines are the floor, the
    /// armed levels' lines, one unit (below it the wallet is depleted) and zero (below it the wallet is in debt).
    ///
    /// A debit of at most `balance - base` ends at or above the base. Every line that it could cross is at or below the
    /// opening balance, hence at or below the base: it crosses none. The floor is one of the lines: it is not refused.
    /// A level on what is available is a line of the balance as well, for the two differ by the floor line as long as the terms hold.
    /// Levels that are not armed ask for a rise, which no debit is. So it changes the balance and nothing else.
    ///
    /// Below the floor the base is the floor and headroom is negative; a frozen or closed wallet has a base above its
    /// balance. In both cases no debit fits and each is decided by the whole ladder.
    pub fn base(&self) -> Amount {
        if self.status != Status::Active {
            return self.opening.plus(Amount::ONE);
        }
        let floor = self.floor_line();
        let built_in = [Amount::ONE, Amount::ZERO].into_iter().find(|line| *line <= self.opening);
        let level = self.levels.as_ref().and_then(|levels| levels.highest_line(self.states.armed, &self.bearings()));
        [built_in, level].into_iter().flatten().fold(floor, Amount::max)
    }

    /// What a debit may take without a look at the rules when the generation opens. Negative if none may.
    pub fn headroom(&self) -> Amount {
        self.opening.minus(self.base())
    }

    /// Whether debits on the fast path could have led to `balance`. For closing balances that were read from somewhere:
    /// [`super::transition()`] takes no others.
    pub fn admits(&self, balance: Amount) -> bool {
        balance == self.opening || (self.base() <= balance && balance < self.opening)
    }

    /// The first instant at which these terms do not hold any more: a grant ends or takes effect, a hold or a commitment ends, or an alert
    /// that was held back is to be told.
    pub fn deadline(&self) -> Option<Timestamp> {
        let at = |instant: Option<Timestamp>| Expiry::from(instant);
        // A scheduled lot begins before it ends, and the first in order begins first. What is held of a grant lasts as long as the hold.
        let begins = at(self.scheduled.first().map(|lot| lot.effective_at));
        let lapses = self.committed.first().map_or(Expiry::NEVER, |first| first.until);
        let tells = at(self.levels.as_ref().and_then(|levels| levels.deadline(self.states, &self.told)));
        let ends_held = at(self.holds.first().filter(|hold| !hold.is_freeze()).map(|hold| hold.expires_at));
        let others = begins.min(lapses).min(tells).min(ends_held);
        self.lots.iter().fold(others, |first, lot| first.min(lot.expires_at)).timestamp()
    }

    /// What the lines of levels depend on.
    pub fn bearings(&self) -> Bearings {
        Bearings {
            held: self.held,
            allowance: self.allowance,
            committed: commitment::total(&self.committed),
            granted: self.granted,
        }
    }

    /// What will be available at a balance when everything that is committed has been used. Negative if it does not reach.
    pub fn projected(&self, balance: Amount) -> Amount {
        let committed = commitment::total(&self.committed);
        Amount::saturating(i128::from(self.available(balance).units()) - i128::from(committed.units()))
    }

    /// Whether the levels are not the wallet's own, so that the currency's default ones apply to it.
    pub fn inherits(&self) -> bool {
        self.levels.is_none() || self.inherited > 0
    }

    /// What can be spent at a balance: it less what is held, and the overdraft allowance. Negative below the floor.
    pub fn available(&self, balance: Amount) -> Amount {
        available(balance, self.held, self.allowance)
    }

    /// Whether available credits are simply the balance.
    pub fn is_plain(&self) -> bool {
        self.held == self.allowance
    }

    /// What the wallet has beside its holds when its balance has fallen to `balance`.
    pub fn lots_at(&self, balance: Amount) -> Holdings {
        let mut spent = self.spent(balance);
        let mut lots = Vec::with_capacity(self.lots.len());
        for lot in &self.lots {
            let part = spent.min(lot.remaining);
            spent = spent.minus(part);
            if part < lot.remaining {
                lots.push(Lot { remaining: lot.remaining.minus(part), ..*lot });
            }
        }
        Holdings { lots, debt: self.debt().plus(spent) }
    }

    /// Who paid a debit that moved the balance from `before` to `after`. Within a generation that is all there is to know
    /// about it: the lots before it were spent on the way from the opening balance to `before`.
    pub fn allocate(&self, before: Amount, after: Amount) -> Allocation {
        let mut skip = self.spent(before);
        let mut rest = before.minus(after).or_zero();
        let mut parts = Vec::new();
        for lot in &self.lots {
            if rest == Amount::ZERO {
                break;
            }
            let skipped = skip.min(lot.remaining);
            skip = skip.minus(skipped);
            let part = lot.remaining.minus(skipped).min(rest);
            if part > Amount::ZERO {
                parts.push((lot.id, part));
                rest = rest.minus(part);
            }
        }
        Allocation { parts, debt: rest }
    }

    /// The debt when the generation opened.
    pub fn debt(&self) -> Amount {
        if self.lots.is_empty() { self.reserved().minus(self.opening) } else { Amount::ZERO }
    }

    /// Checks the invariants of the module. For terms that were read from somewhere rather than computed.
    pub fn validate(&self) -> Result<(), Invariant> {
        let checks = [
            (self.is_ordered(), Invariant::Order),
            (self.lots.iter().chain(&self.scheduled).all(is_possible), Invariant::Lot),
            (self.holds.iter().all(is_possible_hold), Invariant::Hold),
            (self.opening_agrees(), Invariant::Opening),
            (self.allowance >= Amount::ZERO && self.held_agrees(), Invariant::Sign),
            (self.is_in_range(), Invariant::Range),
            (self.levels_agree(), Invariant::Levels),
            (self.status != Status::Closed || self.is_empty(), Invariant::Closed),
            (self.riders.agree(&self.lots, &self.scheduled, &self.holds), Invariant::Riders),
            (commitment::are_possible(&self.committed), Invariant::Committed),
            (self.granted_agrees(), Invariant::Granted),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(broken),
            None => Ok(()),
        }
    }

    pub(super) fn spent(&self, balance: Amount) -> Amount {
        debug_assert!(balance <= self.opening, "a balance cannot rise within a generation");
        self.opening.minus(balance.min(self.opening))
    }

    fn is_ordered(&self) -> bool {
        let mut ids: Vec<GrantId> = self.lots.iter().chain(&self.scheduled).map(|lot| lot.id).collect();
        ids.sort_unstable();
        ids.len() + self.riders.unpaid.len() <= MAX_LOTS
            && ids.is_sorted_by(|a, b| a < b)
            && self.lots.is_sorted_by(|a, b| a.spend_order(b).is_lt())
            && self.scheduled.is_sorted_by(|a, b| a.activation_order(b).is_lt())
            && self.are_holds_ordered()
    }

    fn are_holds_ordered(&self) -> bool {
        let mut ids: Vec<_> = self.holds.iter().map(|hold| hold.id).collect();
        ids.sort_unstable();
        self.holds.len() <= MAX_HOLDS
            && self.holds.iter().map(|hold| hold.parts.len()).sum::<usize>() <= MAX_PARTS
            && ids.is_sorted_by(|a, b| a < b)
            && self.holds.is_sorted_by_key(|hold| (hold.expires_at, hold.id))
    }

    fn opening_agrees(&self) -> bool {
        let credits = total(&self.lots) + self.holds.iter().map(backed).sum::<i128>();
        let opening = i128::from(self.opening.units());
        if self.lots.is_empty() { opening <= credits } else { opening == credits }
    }

    fn held_agrees(&self) -> bool {
        let held: i128 = self.holds.iter().map(|hold| i128::from(hold.remaining.units())).sum();
        held == i128::from(self.held.units())
    }

    fn is_in_range(&self) -> bool {
        let (opening, held) = (i128::from(self.opening.units()), i128::from(self.held.units()));
        let to_come = total(&self.scheduled) + self.riders.unpaid_total();
        let highest = (opening + to_come).max(0) + i128::from(self.allowance.units());
        highest <= i128::from(Amount::MAX_BALANCE.units())
            && opening <= i128::from(Amount::MAX_BALANCE.units())
            && opening - held >= i128::from(Amount::MIN.units())
    }

    fn levels_agree(&self) -> bool {
        match &self.levels {
            Some(levels) if self.status == Status::Closed => {
                self.states == LevelStates::default() && self.told.len() == levels.intervals()
            }
            Some(levels) => levels.agree(self.states, &self.told, self.opening, &self.bearings()),
            None => self.states == LevelStates::default() && self.told.is_empty() && self.inherited == 0,
        }
    }

    fn granted_agrees(&self) -> bool {
        let asked = self.levels.as_ref().is_some_and(|levels| levels.has_percentages());
        if asked { self.granted >= Amount::ZERO } else { self.granted == Amount::ZERO }
    }

    fn is_empty(&self) -> bool {
        self.lots.is_empty()
            && self.scheduled.is_empty()
            && self.holds.is_empty()
            && self.opening == Amount::ZERO
            && self.riders.is_empty()
            && self.committed.is_empty()
    }
}

/// What can be spent at a balance of which some is held.
pub(super) fn available(balance: Amount, held: Amount, allowance: Amount) -> Amount {
    let available = i128::from(balance.units()) - i128::from(held.units()) + i128::from(allowance.units());
    Amount::saturating(available)
}

/// Credits left in some lots. Wide, because scheduled lots may exceed an amount by what they will pay of the debt.
pub(super) fn total(lots: &[Lot]) -> i128 {
    lots.iter().map(|lot| i128::from(lot.remaining.units())).sum()
}

/// As [`OpenHold::backed`], of holds that nobody has checked.
fn backed(hold: &OpenHold) -> i128 {
    hold.parts.iter().map(|part| i128::from(part.lot.remaining.units())).sum()
}

fn is_possible_hold(hold: &OpenHold) -> bool {
    Amount::ZERO < hold.remaining
        && hold.remaining <= hold.amount
        && backed(hold) <= i128::from(hold.remaining.units())
        && hold.parts.iter().all(|part| is_possible(&part.lot))
        && hold.parts.is_sorted_by(|a, b| a.lot.spend_order(&b.lot).is_lt())
}

fn is_possible(lot: &Lot) -> bool {
    Amount::ZERO < lot.remaining
        && lot.remaining <= lot.granted
        && lot.cost >= 0
        && lot.priority <= MAX_PRIORITY
        && !lot.expires_at.is_due(lot.effective_at)
}

#[cfg(test)]
mod tests {
    use super::super::grant::Category;
    use super::super::hold::{HoldId, OnExceed, Part};
    use super::super::level::{Level, Percent, Watches};
    use super::*;

    fn lot(id: u64, remaining: i64) -> Lot {
        Lot {
            id: GrantId::new(id),
            remaining: Amount::new(remaining),
            granted: Amount::new(remaining),
            effective_at: Timestamp::from_millis(100),
            expires_at: Expiry::at(Timestamp::from_millis(1_000 + id)),
            cost: 0,
            priority: 50,
            category: Category::Paid,
        }
    }

    /// Lots of 10, 20 and 30, in this order.
    fn sixty() -> Terms {
        Terms { opening: Amount::new(60), lots: [lot(1, 10), lot(2, 20), lot(3, 30)].into(), ..Terms::new() }
    }

    fn with_levels(opening: i64, lines: &[i64]) -> Terms {
        let level =
            |line: &i64| Level { name: line.to_string().into(), amount: Amount::new(*line), ..Level::default() };
        let levels = Levels::new(lines.iter().map(level).collect()).expect("levels");
        let opening = Amount::new(opening);
        let states = levels.fresh(opening, &Bearings::default());
        Terms { opening, states, levels: Some(Arc::new(levels)), ..Terms::new() }
    }

    /// A wallet with one hold, of so much, on these lots, and nothing beside.
    fn held(lots: &[Lot], amount: i64) -> (OpenHold, Terms) {
        let hold = OpenHold {
            id: HoldId::new(7),
            amount: Amount::new(amount),
            remaining: Amount::new(amount),
            expires_at: Timestamp::from_millis(700),
            on_exceed: OnExceed::Reject,
            parts: lots.iter().map(|lot| Part { lot: *lot, is_voided: false }).collect(),
        };
        let opening = hold.backed();
        (hold.clone(), Terms { opening, held: hold.remaining, holds: [hold].into(), ..Terms::new() })
    }

    #[track_caller]
    fn check_base(terms: &Terms, base: i64) {
        assert_eq!(terms.base(), Amount::new(base));
        assert_eq!(terms.headroom().units(), terms.opening.units() - base);
    }

    #[test]
    fn the_base_is_the_highest_line_at_or_below_the_balance() {
        check_base(&sixty(), 1);
        check_base(&Terms { opening: Amount::ONE, ..Terms::new() }, 1);
        check_base(&Terms::new(), 0);
        check_base(&Terms { allowance: Amount::new(40), ..Terms::new() }, 0);
        check_base(&Terms { opening: Amount::new(-1), allowance: Amount::new(40), ..Terms::new() }, -40);
        check_base(&Terms { held: Amount::new(25), ..sixty() }, 25);
        check_base(&Terms { held: Amount::new(25), allowance: Amount::new(30), ..sixty() }, 1);
        check_base(&with_levels(60, &[10, 20, 70]), 20);
        check_base(&with_levels(20, &[10, 20, 70]), 20);
        check_base(&with_levels(19, &[10, 20, 70]), 10);
        check_base(&with_levels(9, &[10, 20, 70]), 1);
        check_base(&Terms { held: Amount::new(50), ..with_levels(60, &[10, 20]) }, 50);
        check_base(&Terms { allowance: Amount::new(40), ..with_levels(-5, &[-10, -20]) }, -10);
    }

    #[test]
    fn no_debit_fits_below_the_floor_nor_in_a_wallet_that_is_not_active() {
        check_base(&Terms { opening: Amount::new(-7), ..Terms::new() }, 0);
        check_base(&Terms { opening: Amount::new(-7), allowance: Amount::new(5), ..Terms::new() }, -5);
        check_base(&Terms { held: Amount::new(61), ..sixty() }, 61);
        check_base(&Terms { status: Status::Frozen, ..sixty() }, 61);
        check_base(&Terms { status: Status::Closed, ..Terms::new() }, 1);
        check_base(&Terms { status: Status::Frozen, opening: Amount::MAX_BALANCE, ..Terms::new() }, i64::MAX);
    }

    #[test]
    fn a_generation_ends_between_its_opening_balance_and_its_base() {
        let terms = with_levels(60, &[10]);
        let admitted = [61, 60, 59, 10, 9].map(|balance| terms.admits(Amount::new(balance)));
        assert_eq!(admitted, [false, true, true, true, false]);
        let in_debt = Terms { opening: Amount::new(-7), ..Terms::new() };
        assert_eq!([-6, -7, -8].map(|balance| in_debt.admits(Amount::new(balance))), [false, true, false]);
    }

    #[test]
    fn a_level_that_has_fired_is_no_line() {
        let mut terms = with_levels(60, &[10, 20]);
        terms.states = LevelStates { armed: 0b01, triggered: 0b10, muted: 0 };
        check_base(&terms, 10);
    }

    #[test]
    fn lots_are_spent_in_order_and_the_rest_is_debt() {
        let holdings = |balance| {
            let Holdings { lots, debt } = sixty().lots_at(Amount::new(balance));
            (lots.iter().map(|lot| (lot.id.get(), lot.remaining.units())).collect::<Vec<_>>(), debt.units())
        };
        assert_eq!(holdings(60), (vec![(1, 10), (2, 20), (3, 30)], 0));
        assert_eq!(holdings(51), (vec![(1, 1), (2, 20), (3, 30)], 0));
        assert_eq!(holdings(50), (vec![(2, 20), (3, 30)], 0));
        assert_eq!(holdings(1), (vec![(3, 1)], 0));
        assert_eq!(holdings(0), (vec![], 0));
        assert_eq!(holdings(-5), (vec![], 5));
    }

    #[test]
    fn what_is_held_is_no_lot_and_covers_no_debt() {
        let (_, terms) = held(&[lot(1, 10)], 15);
        assert_eq!((terms.lots_at(Amount::new(10)), terms.debt()), (Holdings::default(), Amount::ZERO));
        assert_eq!(terms.lots_at(Amount::new(7)).debt, Amount::new(3));
        let in_debt = Terms { opening: Amount::new(7), ..terms };
        assert_eq!((in_debt.validate(), in_debt.debt()), (Ok(()), Amount::new(3)));
        assert_eq!(in_debt.deadline(), Some(Timestamp::from_millis(700)), "the hold's end, not the grant's");
        check_base(&in_debt, 15);
    }

    #[test]
    fn a_level_on_what_is_available_is_a_line_of_the_balance() {
        let mut terms = with_levels(60, &[10]);
        let levels = terms.levels.as_ref().expect("levels").iter().cloned();
        let levels = Levels::new(levels.map(|level| Level { watches: Watches::Available, ..level }).collect());
        terms.levels = Some(Arc::new(levels.expect("levels")));
        check_base(&terms, 10);
        check_base(&Terms { allowance: Amount::new(5), ..terms.clone() }, 5);
        check_base(&Terms { held: Amount::new(20), ..terms }, 30);
    }

    #[test]
    fn debt_grows_from_what_it_was() {
        let terms = Terms { opening: Amount::new(-5), ..Terms::new() };
        assert_eq!(terms.lots_at(Amount::new(-5)).debt, Amount::new(5));
        assert_eq!(terms.lots_at(Amount::new(-8)).debt, Amount::new(8));
        assert_eq!(terms.allocate(Amount::new(-6), Amount::new(-8)).debt, Amount::new(2));
    }

    #[track_caller]
    fn check_allocation(before: i64, after: i64, parts: &[(u64, i64)], debt: i64) {
        let allocation = sixty().allocate(Amount::new(before), Amount::new(after));
        let parts: Vec<_> = parts.iter().map(|&(id, part)| (GrantId::new(id), Amount::new(part))).collect();
        assert_eq!(allocation, Allocation { parts, debt: Amount::new(debt) });
    }

    #[test]
    fn a_debit_is_paid_by_the_lots_between_its_two_balances() {
        check_allocation(60, 55, &[(1, 5)], 0);
        check_allocation(60, 50, &[(1, 10)], 0);
        check_allocation(50, 49, &[(2, 1)], 0);
        check_allocation(55, 25, &[(1, 5), (2, 20), (3, 5)], 0);
        check_allocation(60, 0, &[(1, 10), (2, 20), (3, 30)], 0);
        check_allocation(5, -5, &[(3, 5)], 5);
        check_allocation(0, -5, &[], 5);
        check_allocation(40, 40, &[], 0);
    }

    #[test]
    fn the_deadline_is_the_first_end_or_beginning() {
        assert_eq!(sixty().deadline(), Some(Timestamp::from_millis(1_001)));
        assert_eq!(Terms::new().deadline(), None);
        let endless = Lot { expires_at: Expiry::NEVER, ..lot(4, 5) };
        assert_eq!(Terms { lots: [endless].into(), ..Terms::new() }.deadline(), None);
        let scheduled = Lot { effective_at: Timestamp::from_millis(500), ..endless };
        assert_eq!(Terms { scheduled: [scheduled].into(), ..sixty() }.deadline(), Some(Timestamp::from_millis(500)));
    }

    fn commitment(amount: i64, until: Option<u64>) -> Commitment {
        Commitment { amount: Amount::new(amount), until: until.map(Timestamp::from_millis).into() }
    }

    #[test]
    fn commitments_lower_what_is_projected_until_they_end() {
        let committed = [commitment(7, Some(900)), commitment(5, None)].into();
        let terms = Terms { held: Amount::new(25), committed, ..sixty() };
        assert_eq!(terms.available(Amount::new(60)), Amount::new(35));
        assert_eq!(terms.projected(Amount::new(60)), Amount::new(23));
        assert_eq!(terms.projected(Amount::new(25)), Amount::new(-12));
        assert_eq!(terms.deadline(), Some(Timestamp::from_millis(900)));
    }

    #[test]
    fn levels_of_other_figures_are_lines_of_the_balance() {
        let of = |watches, percent| {
            let level = Level { name: "l".into(), amount: Amount::ZERO, watches, percent, ..Level::default() };
            let levels = Levels::new(vec![level]).expect("a level");
            let granted = if levels.has_percentages() { Amount::new(60) } else { Amount::ZERO };
            let committed = [commitment(7, None)].into();
            let mut terms = Terms { held: Amount::new(5), granted, committed, ..sixty() };
            terms.states = levels.fresh(terms.opening, &terms.bearings());
            Terms { levels: Some(Arc::new(levels)), ..terms }
        };
        check_base(&of(Watches::Balance, Percent::from_millionths(50_000_000)), 30);
        check_base(&of(Watches::Available, Percent::from_millionths(50_000_000)), 35);
        check_base(&of(Watches::Projected, Percent::from_millionths(50_000_000)), 42);
        check_base(&of(Watches::Projected, None), 12);
        check_base(&of(Watches::Balance, None), 5);
    }

    #[test]
    fn available_counts_holds_and_allowance() {
        let terms = Terms { held: Amount::new(25), allowance: Amount::new(40), ..sixty() };
        assert_eq!(terms.available(Amount::new(60)), Amount::new(75));
        assert!(!terms.is_plain());
        assert!(sixty().is_plain());
        assert!(Terms { held: Amount::new(9), allowance: Amount::new(9), ..sixty() }.is_plain());
        assert_eq!(terms.available(Amount::MAX), Amount::MAX);
    }

    #[track_caller]
    fn check_broken(terms: &Terms, invariant: Invariant) {
        assert_eq!(terms.validate(), Err(invariant));
    }

    #[test]
    fn broken_terms_are_told_from_sound_ones() {
        assert_eq!(Terms::new().validate(), Ok(()));
        assert_eq!(sixty().validate(), Ok(()));
        assert_eq!(with_levels(0, &[10, 0, -10]).validate(), Ok(()));
        check_broken(&Terms { lots: [lot(2, 20), lot(1, 40)].into(), ..sixty() }, Invariant::Order);
        check_broken(&Terms { scheduled: [lot(3, 1)].into(), ..sixty() }, Invariant::Order);
        check_broken(&Terms { lots: [lot(1, 0), lot(2, 60)].into(), ..sixty() }, Invariant::Lot);
        check_broken(&Terms { opening: Amount::new(59), ..sixty() }, Invariant::Opening);
        check_broken(&Terms { opening: Amount::ONE, ..Terms::new() }, Invariant::Opening);
        check_broken(&Terms { allowance: Amount::new(-1), ..sixty() }, Invariant::Sign);
        check_broken(&Terms { allowance: Amount::new(i64::MAX - 60), ..sixty() }, Invariant::Range);
        check_broken(&Terms { held: Amount::ONE, ..sixty() }, Invariant::Sign);
        let (_, unbacked) = held(&[], 1);
        check_broken(&Terms { opening: Amount::MIN, ..unbacked.clone() }, Invariant::Range);
        assert_eq!(unbacked.validate(), Ok(()));
        let (hold, backed) = held(&[lot(1, 10)], 10);
        assert_eq!(backed.validate(), Ok(()));
        check_broken(&Terms { opening: Amount::new(11), ..backed.clone() }, Invariant::Opening);
        check_broken(&Terms { holds: [hold.clone(), hold.clone()].into(), ..backed.clone() }, Invariant::Order);
        check_broken(
            &Terms { holds: [OpenHold { remaining: Amount::new(9), ..hold.clone() }].into(), ..backed.clone() },
            Invariant::Hold,
        );
        check_broken(
            &Terms { holds: [OpenHold { amount: Amount::new(9), ..hold }].into(), ..backed.clone() },
            Invariant::Hold,
        );
        check_broken(&Terms { lots: [lot(2, 1)].into(), ..backed }, Invariant::Opening);
        check_broken(
            &Terms { states: LevelStates { armed: 1, ..LevelStates::default() }, ..sixty() },
            Invariant::Levels,
        );
        check_broken(&Terms { inherited: 1, ..sixty() }, Invariant::Levels);
        check_broken(&Terms { told: [Timestamp::EPOCH].into(), ..with_levels(0, &[10]) }, Invariant::Levels);
        check_broken(&Terms { granted: Amount::ONE, ..with_levels(0, &[10]) }, Invariant::Granted);
        check_broken(&Terms { committed: [commitment(0, None)].into(), ..sixty() }, Invariant::Committed);
        check_broken(&Terms { states: LevelStates::default(), ..with_levels(0, &[0]) }, Invariant::Levels);
        check_broken(&Terms { status: Status::Closed, ..sixty() }, Invariant::Closed);
        check_broken(&Terms { lots: (0..=1000).map(|id| lot(id, 1)).collect(), ..sixty() }, Invariant::Order);
    }

    #[test]
    fn names_are_read_back() {
        for status in [Status::Active, Status::Frozen, Status::Closed] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("open"), None);
    }
}
