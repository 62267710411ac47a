//! Terms: everything about a wallet that holds for one generation.
//!
//! Within a generation the terms are immutable and only the balance moves, downwards. `balance = headroom + base`, where
//! [`Terms::base`] is the balance at which headroom is zero. All else (what is left of each grant, who paid a debit, how
//! much debt there is) follows from the terms and a balance.
//!
//! Invariants ([`Terms::validate`] checks them, [`super::transition`] keeps them):
//! 1. `lots` are in spend order, `scheduled` in activation order, ids are unique, and there are [`MAX_LOTS`] at most.
//! 2. Every lot has `0 < remaining <= granted`, a cost of zero or more, a priority of 100 at most, and ends after it begins.
//! 3. If there are lots, `opening` is the sum of their remainders; if there are none, it is zero or, negated, the debt.
//! 4. `allowance` and `held` are zero or more.
//! 5. `opening` + scheduled + `allowance` is at most [`Amount::MAX_BALANCE`], and `opening - held` at least [`Amount::MIN`]:
//!    so whatever takes effect later fits, and so does every difference of balances taken here.
//! 6. The level states agree with `opening` (see [`Levels`]), and without levels there are none.
//! 7. A closed wallet is empty: no balance, lots, scheduled lots, held credits or level states.

use std::sync::Arc;

use super::amount::Amount;
use super::grant::{GrantId, Lot, MAX_PRIORITY};
use super::level::{LevelStates, Levels};
use super::time::Timestamp;

/// The most grants that a wallet can have at a time, scheduled ones included.
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
    /// Active grants with something left, in spend order.
    pub lots: Box<[Lot]>,
    /// Grants that have not taken effect, in the order in which they will.
    pub scheduled: Box<[Lot]>,
    /// Alert levels.
    pub levels: Option<Arc<Levels>>,
    /// Which of the levels are armed, and which have fired.
    pub states: LevelStates,
}

/// What a wallet has at some balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Active grants with something left, in spend order.
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
    /// 4: a negative allowance or held amount.
    Sign,
    /// 5: out of range.
    Range,
    /// 6: level states that the balance contradicts.
    Levels,
    /// 7: a closed wallet with something in it.
    Closed,
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
        let level = self.levels.as_ref().and_then(|levels| levels.highest_line(self.states.armed));
        [built_in, level].into_iter().flatten().fold(floor, Amount::max)
    }

    /// What a debit may take without a look at the rules when the generation opens. Negative if none may.
    pub fn headroom(&self) -> Amount {
        self.opening.minus(self.base())
    }

    /// The first instant at which these terms do not hold any more: a grant ends or takes effect.
    pub fn deadline(&self) -> Option<Timestamp> {
        let ends = self.lots.iter().filter_map(|lot| lot.expires_at.timestamp());
        // A scheduled lot begins before it ends, and the first in order begins first.
        ends.chain(self.scheduled.first().map(|lot| lot.effective_at)).min()
    }

    /// What can be spent at a balance: it less what is held, and the overdraft allowance. Negative below the floor.
    pub fn available(&self, balance: Amount) -> Amount {
        let available =
            i128::from(balance.units()) - i128::from(self.held.units()) + i128::from(self.allowance.units());
        Amount::saturating(available)
    }

    /// Whether available credits are simply the balance.
    pub fn is_plain(&self) -> bool {
        self.held == self.allowance
    }

    /// What the wallet has when its balance has fallen to `balance`.
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
        if self.opening < Amount::ZERO { Amount::ZERO.minus(self.opening) } else { Amount::ZERO }
    }

    /// Checks the invariants of the module. For terms that were read from somewhere rather than computed.
    pub fn validate(&self) -> Result<(), Invariant> {
        let checks = [
            (self.is_ordered(), Invariant::Order),
            (self.lots.iter().chain(&self.scheduled).all(is_possible), Invariant::Lot),
            (self.opening_agrees(), Invariant::Opening),
            (self.allowance >= Amount::ZERO && self.held >= Amount::ZERO, Invariant::Sign),
            (self.is_in_range(), Invariant::Range),
            (self.levels_agree(), Invariant::Levels),
            (self.status != Status::Closed || self.is_empty(), Invariant::Closed),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(broken),
            None => Ok(()),
        }
    }

    fn spent(&self, balance: Amount) -> Amount {
        debug_assert!(balance <= self.opening, "a balance cannot rise within a generation");
        self.opening.minus(balance.min(self.opening))
    }

    fn is_ordered(&self) -> bool {
        let mut ids: Vec<GrantId> = self.lots.iter().chain(&self.scheduled).map(|lot| lot.id).collect();
        ids.sort_unstable();
        ids.len() <= MAX_LOTS
            && ids.is_sorted_by(|a, b| a < b)
            && self.lots.is_sorted_by(|a, b| a.spend_order(b).is_lt())
            && self.scheduled.is_sorted_by(|a, b| a.activation_order(b).is_lt())
    }

    fn opening_agrees(&self) -> bool {
        if self.lots.is_empty() {
            return self.opening <= Amount::ZERO;
        }
        total(&self.lots) == i128::from(self.opening.units())
    }

    fn is_in_range(&self) -> bool {
        let (opening, held) = (i128::from(self.opening.units()), i128::from(self.held.units()));
        let highest = opening + total(&self.scheduled) + i128::from(self.allowance.units());
        highest <= i128::from(Amount::MAX_BALANCE.units())
            && opening <= i128::from(Amount::MAX_BALANCE.units())
            && opening - held >= i128::from(Amount::MIN.units())
    }

    fn levels_agree(&self) -> bool {
        match &self.levels {
            Some(_) if self.status == Status::Closed => self.states == LevelStates::default(),
            Some(levels) => levels.agree(self.states, self.opening),
            None => self.states == LevelStates::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.lots.is_empty() && self.scheduled.is_empty() && self.opening == Amount::ZERO && self.held == Amount::ZERO
    }
}

/// Credits left in some lots. Wide, because scheduled lots may exceed an amount by what they will pay of the debt.
pub(super) fn total(lots: &[Lot]) -> i128 {
    lots.iter().map(|lot| i128::from(lot.remaining.units())).sum()
}

fn is_possible(lot: &Lot) -> bool {
    Amount::ZERO < lot.remaining
        && lot.remaining <= lot.granted
        && lot.cost >= 0
        && lot.priority <= MAX_PRIORITY
        && !lot.expires_at.is_due(lot.effective_at)
}
