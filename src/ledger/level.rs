//! Alert levels: balances whose crossing somebody wants to hear of.
//!
//! A level is *armed* while the balance stands at or above its line. The movement that takes the balance below the line
//! crosses it: it fires once and is *triggered*, until a balance of at least line + margin arms it again (it has
//! *recovered*). A level that was set while the balance was already below is neither (*idle*): it has nothing to recover
//! from, so it is armed, silently and without the margin, as soon as the balance reaches its line.
//!
//! Invariants, for a balance that the states were last moved to:
//! 1. armed implies balance >= line;
//! 2. triggered implies balance < line + margin;
//! 3. idle implies balance < line;
//! 4. no level is both armed and triggered, and no bit beyond the last level is set.

use std::fmt;

use super::amount::Amount;

/// Which side of a level its own amount belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Fires when the balance falls below the amount.
    #[default]
    Below,
    /// Fires when the balance falls to the amount or below.
    AtOrBelow,
}

impl Trigger {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trigger::Below => "below",
            Trigger::AtOrBelow => "at_or_below",
        }
    }

    /// The trigger of that name.
    pub fn parse(name: &str) -> Option<Trigger> {
        match name {
            "below" => Some(Trigger::Below),
            "at_or_below" => Some(Trigger::AtOrBelow),
            _ => None,
        }
    }
}

/// One alert level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// What the alert calls it.
    pub name: Box<str>,
    /// The balance that it watches for. May be negative, for wallets that may be overdrawn.
    pub amount: Amount,
    /// Whether the amount itself fires.
    pub trigger: Trigger,
    /// How far above the line the balance must rise to arm it again.
    pub margin: Amount,
}

impl Level {
    /// The lowest balance that does not cross the level.
    pub fn line(&self) -> Amount {
        match self.trigger {
            Trigger::Below => self.amount,
            Trigger::AtOrBelow => Amount::new(self.amount.units().saturating_add(1)),
        }
    }

    /// The lowest balance that arms the level again once it has fired.
    pub fn rearm(&self) -> Amount {
        Amount::new(self.line().units().saturating_add(self.margin.units()))
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

/// A wallet's alert levels: at most 64, with unique names, in rising order of their lines. Level *i* is bit *i* of a mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    sorted: Box<[Level]>,
}

/// Why a list of levels is refused: which one, counted from zero as given, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelsError {
    /// Position in the list as it was given.
    pub index: usize,
    /// What is wrong with that level.
    pub problem: LevelProblem,
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
}

/// Which levels are armed and which have fired, as masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStates {
    /// Levels that the next balance below their line crosses.
    pub armed: u64,
    /// Levels that have fired and wait for the balance to recover.
    pub triggered: u64,
}

impl Levels {
    /// The most levels of a wallet: one bit each.
    pub const MAX: usize = 64;
    /// The longest name.
    pub const NAME_BYTES_MAX: usize = 128;

    /// Checks and sorts a list of levels.
    pub fn new(levels: Vec<Level>) -> Result<Levels, LevelsError> {
        for (index, level) in levels.iter().enumerate() {
            let fail = |problem| Err(LevelsError { index, problem });
            if index >= Levels::MAX {
                return fail(LevelProblem::TooMany);
            }
            if let Err(problem) = level.check() {
                return fail(problem);
            }
            if levels[..index].iter().any(|earlier| earlier.name == level.name) {
                return fail(LevelProblem::DuplicateName);
            }
        }
        let mut sorted = levels;
        sorted.sort_by(|a, b| a.line().cmp(&b.line()).then_with(|| a.name.cmp(&b.name)));
        Ok(Levels { sorted: sorted.into_boxed_slice() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The level behind bit `index`.
    pub fn get(&self, index: usize) -> Option<&Level> {
        self.sorted.get(index)
    }

    /// All levels, lowest line first.
    pub fn iter(&self) -> std::slice::Iter<'_, Level> {
        self.sorted.iter()
    }

    /// The levels of a mask, lowest line first.
    pub fn of_mask(&self, mask: u64) -> impl Iterator<Item = &Level> {
        self.sorted.iter().enumerate().filter(move |(index, _)| mask >> index & 1 == 1).map(|(_, level)| level)
    }

    /// The highest line among the levels of a mask.
    pub(super) fn highest_line(&self, mask: u64) -> Option<Amount> {
        let highest = mask.checked_ilog2()?;
        self.sorted.get(highest as usize).map(Level::line)
    }

    /// The states of levels that have just been set on a wallet with this balance: nothing fires, what can be armed is.
    pub(super) fn fresh(&self, balance: Amount) -> LevelStates {
        LevelStates { armed: self.mask_where(|level| balance >= level.line()), triggered: 0 }
    }

    /// Like [`Levels::fresh`], but a level that stood in `old` unchanged keeps its state: setting the same levels twice
    /// must not fire an alert twice.
    pub(super) fn replacing(&self, old: Option<&Levels>, states: LevelStates, balance: Amount) -> LevelStates {
        let mut next = self.fresh(balance);
        for (index, level) in self.sorted.iter().enumerate() {
            let kept = old.and_then(|old| old.sorted.iter().position(|earlier| earlier == level));
            if kept.is_some_and(|kept| states.triggered >> kept & 1 == 1) {
                next.triggered |= 1 << index;
                next.armed &= !(1 << index);
            }
        }
        next
    }

    /// Moves the states to the balance `after`: the new states, the levels crossed, the levels recovered.
    pub(super) fn moved(&self, states: LevelStates, after: Amount) -> (LevelStates, u64, u64) {
        let above = self.mask_where(|level| after >= level.line());
        let recoverable = self.mask_where(|level| after >= level.rearm());
        let idle = !(states.armed | states.triggered);
        let crossed = states.armed & !above;
        let recovered = states.triggered & recoverable;
        let armed = (states.armed & above) | recovered | (idle & above);
        let triggered = (states.triggered & !recoverable) | crossed;
        (LevelStates { armed, triggered }, crossed, recovered)
    }

    /// Whether the invariants hold between these states and a balance.
    pub(super) fn agree(&self, states: LevelStates, balance: Amount) -> bool {
        let all = self.mask_where(|_| true);
        let above = self.mask_where(|level| balance >= level.line());
        let recoverable = self.mask_where(|level| balance >= level.rearm());
        let idle = all & !(states.armed | states.triggered);
        (states.armed | states.triggered) & !all == 0
            && states.armed & states.triggered == 0
            && states.armed & !above == 0
            && states.triggered & recoverable == 0
            && idle & above == 0
    }

    fn mask_where(&self, holds: impl Fn(&Level) -> bool) -> u64 {
        self.sorted.iter().enumerate().fold(0, |mask, (index, level)| mask | u64::from(holds(level)) << index)
    }
}

impl<'a> IntoIterator for &'a Levels {
    type Item = &'a Level;
    type IntoIter = std::slice::Iter<'a, Level>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for LevelsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            LevelProblem::TooMany => "there are more than 64 levels",
            LevelProblem::EmptyName => "the name is empty",
            LevelProblem::NameTooLong => "the name is longer than 128 bytes",
            LevelProblem::DuplicateName => "an earlier level has the same name",
            LevelProblem::NegativeMargin => "the margin is negative",
            LevelProblem::OutOfRange => "the amount is out of range",
        };
        write!(f, "level {}: {problem}", self.index)
    }
}

impl std::error::Error for LevelsError {}
