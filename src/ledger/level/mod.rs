//! Alert levels: balances whose crossing somebody wants to hear of.
//!
//! A level is *armed* while the balance stands at or above its line. The movement that takes the balance below the line
//! crosses it: it fires once and is *triggered*, until a balance of at least line + margin arms it again (it has
//! *recovered*). A level that was set while the balance was already below is neither (*idle*): it has nothing to recover
//! from, so it is armed, silently and without the margin, as soon as the balance reaches its line.
//!
//! A level watches the balance, what is available, or what is projected; its amount is given, or is a share of what was
//! granted. Whatever it is, within a generation it is a line of the *balance*: the other figures are the balance plus a
//! constant ([`Bearings`]), and what was granted changes with the terms only. So the fast path knows nothing of it.
//!
//! A level may have a shortest interval between two alerts. A crossing within it is *muted*: the level has fired, and nobody
//! is told of that, nor of its recovery if it recovers before the interval is over. If it has not by then, it is told.
//!
//! Invariants, for a balance that the states were last moved to:
//! 1. armed implies balance >= line;
//! 2. triggered implies balance < line + margin;
//! 3. idle implies balance < line;
//! 4. no level is both armed and triggered, and no bit beyond the last level is set;
//! 5. muted implies triggered, and an interval; there is one instant of telling for each level with an interval.
//!
//! Here is one level and the line that it stands at; its parts are [`figures`], a wallet's levels [`list`], and what becomes of them [`states`].

mod figures;
mod list;
mod states;

pub use figures::{Percent, Trigger, Watches};
pub use list::{Levels, LevelsError};
pub use states::LevelStates;

use super::amount::Amount;

/// One alert level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// What the alert calls it.
    pub name: Box<str>,
    /// What it watches for. May be negative, for wallets that may be overdrawn. Zero in a level with a percentage.
    pub amount: Amount,
    /// Whether the amount itself fires.
    pub trigger: Trigger,
    /// How far above the line the balance must rise to arm it again.
    pub margin: Amount,
    /// The figure that the amount is compared with.
    pub watches: Watches,
    /// The share of what was granted that stands in the place of the amount.
    pub percent: Option<Percent>,
    /// The shortest time between two alerts, ms; 0 for none.
    pub min_interval_ms: u64,
}

/// What lines depend on beside their levels. Constant within a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bearings {
    /// Credits under open holds.
    pub held: Amount,
    /// How far below zero the balance may go.
    pub allowance: Amount,
    /// Credits that are committed.
    pub committed: Amount,
    /// What percentages are of.
    pub granted: Amount,
}

impl Bearings {
    /// The balance less the watched figure.
    fn shift(&self, watches: Watches) -> i128 {
        let [held, allowance, committed] = [self.held, self.allowance, self.committed].map(|a| i128::from(a.units()));
        match watches {
            Watches::Balance => 0,
            Watches::Available => held - allowance,
            Watches::Projected => held - allowance + committed,
        }
    }
}

impl Level {
    /// The watched figure that it stands at.
    pub fn amount_at(&self, bearings: &Bearings) -> Amount {
        self.percent.map_or(self.amount, |percent| percent.of(bearings.granted))
    }

    /// The lowest balance that does not cross the level.
    pub fn line(&self, bearings: &Bearings) -> Amount {
        let at_or_below = i128::from(self.trigger == Trigger::AtOrBelow);
        let amount = i128::from(self.amount_at(bearings).units());
        Amount::saturating(amount + at_or_below + bearings.shift(self.watches))
    }

    /// The lowest balance that arms the level again once it has fired.
    pub fn rearm(&self, bearings: &Bearings) -> Amount {
        Amount::saturating(i128::from(self.line(bearings).units()) + i128::from(self.margin.units()))
    }

    /// Whether its line is the same in all terms.
    fn is_fixed(&self) -> bool {
        self.watches == Watches::Balance && self.percent.is_none()
    }

    fn check(&self) -> Result<(), LevelProblem> {
        if self.name.is_empty() {
            return Err(LevelProblem::EmptyName);
        }
        if self.name.len() > Levels::NAME_BYTES_MAX {
            return Err(LevelProblem::NameTooLong);
        }
        if self.margin < Amount::ZERO {
            return Err(LevelProblem::NegativeMargin);
        }
        if self.percent.is_some() && self.amount != Amount::ZERO {
            return Err(LevelProblem::AmountAndPercent);
        }
        if self.min_interval_ms > Levels::INTERVAL_MS_MAX {
            return Err(LevelProblem::IntervalTooLong);
        }
        let line = match self.trigger {
            Trigger::Below => Some(self.amount),
            Trigger::AtOrBelow => self.amount.checked_add(Amount::ONE),
        };
        match line.and_then(|line| line.checked_add(self.margin)) {
            Some(rearm) if self.amount >= Amount::MIN && rearm <= Amount::MAX_BALANCE => Ok(()),
            _ => Err(LevelProblem::OutOfRange),
        }
    }
}

/// What can be wrong with a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelProblem {
    /// It is the 65th.
    TooMany,
    /// It has no name.
    EmptyName,
    /// Its name is longer than 128 bytes.
    NameTooLong,
    /// An earlier level has its name.
    DuplicateName,
    /// Its margin is below zero.
    NegativeMargin,
    /// No wallet could ever stand above it.
    OutOfRange,
    /// It has both an amount and a percentage.
    AmountAndPercent,
    /// Its interval is longer than a year.
    IntervalTooLong,
}

#[cfg(test)]
mod tests;
