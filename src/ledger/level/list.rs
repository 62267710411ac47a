//! The levels of a wallet: checked, sorted, and looked up by their bits.

use super::states::bits;
use super::{Bearings, Level, LevelProblem};
use crate::ledger::amount::Amount;
use std::fmt;

/// A wallet's alert levels: at most 64, with unique names. Those with an amount come first, in rising order of it (what is fired at
/// before what is fired below, and then by name), then those with a percentage, in rising order of that. Level *i* is bit *i* of a mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub(super) sorted: Box<[Level]>,
    /// Some lines move with the terms, so the order need not be that of the lines.
    moving: bool,
    /// Levels that have an interval, as a mask.
    pub(super) intervals: u64,
    /// Levels that have a percentage, as a mask.
    percentages: u64,
    /// Bytes of all names.
    name_bytes: usize,
}

/// Why a list of levels is refused: which one, counted from zero as given, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelsError {
    /// Position in the list as it was given.
    pub index: usize,
    /// What is wrong with that level.
    pub problem: LevelProblem,
}

impl Levels {
    /// The most levels of a wallet: one bit each.
    pub const MAX: usize = 64;
    /// The longest name.
    pub const NAME_BYTES_MAX: usize = 128;
    /// The longest interval between two alerts, ms: a year.
    pub const INTERVAL_MS_MAX: u64 = 366 * 24 * 3_600_000;

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
        let nowhere = Bearings::default();
        sorted.sort_by(|a, b| {
            // Without bearings a percentage is of nothing: the levels that have one stand behind the others by it alone.
            let place = |level: &Level| (level.percent, level.line(&nowhere));
            place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name))
        });
        let mut levels = Levels {
            moving: !sorted.iter().all(Level::is_fixed),
            name_bytes: sorted.iter().map(|level| level.name.len()).sum(),
            sorted: sorted.into_boxed_slice(),
            ..Levels::default()
        };
        levels.intervals = levels.mask_where(|level| level.min_interval_ms > 0);
        levels.percentages = levels.mask_where(|level| level.percent.is_some());
        Ok(levels)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The bytes of all names together.
    pub fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// The level behind bit `index`.
    pub fn get(&self, index: usize) -> Option<&Level> {
        self.sorted.get(index)
    }

    /// All levels, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Level> {
        self.sorted.iter()
    }

    /// The levels of a mask, in order.
    pub fn of_mask(&self, mask: u64) -> impl Iterator<Item = &Level> {
        bits(mask).filter_map(|index| self.sorted.get(index))
    }

    /// How many of the levels have an interval, and so an instant at which they were told last.
    pub fn intervals(&self) -> usize {
        self.intervals.count_ones() as usize
    }

    /// Whether a level is a share of what was granted.
    pub fn has_percentages(&self) -> bool {
        self.percentages != 0
    }

    /// The highest line among the levels of a mask.
    pub(in crate::ledger) fn highest_line(&self, mask: u64, bearings: &Bearings) -> Option<Amount> {
        if !self.moving {
            let highest = mask.checked_ilog2()?;
            return self.sorted.get(highest as usize).map(|level| level.line(bearings));
        }
        self.of_mask(mask).map(|level| level.line(bearings)).max()
    }

    /// All levels, as a mask.
    pub(super) fn every(&self) -> u64 {
        match self.sorted.len() {
            Levels::MAX => u64::MAX,
            count => (1 << count) - 1,
        }
    }

    /// The levels of a mask whose lines a balance is below. Where the order is that of the lines, those are the highest ones, and no
    /// more of them are looked at than one beyond: sixty-four levels fill as many cache lines.
    pub(super) fn below(&self, mask: u64, balance: Amount, bearings: &Bearings) -> u64 {
        if self.moving {
            return self.mask_of(mask, |level| balance < level.line(bearings));
        }
        let mut rest = mask;
        while let Some(highest) = rest.checked_ilog2() {
            if balance >= self.sorted[highest as usize].line(bearings) {
                break;
            }
            rest &= !(1 << highest);
        }
        mask & !rest
    }

    pub(super) fn mask_of(&self, mask: u64, holds: impl Fn(&Level) -> bool) -> u64 {
        bits(mask).fold(0, |found, index| found | u64::from(holds(&self.sorted[index])) << index)
    }

    pub(super) fn mask_where(&self, holds: impl Fn(&Level) -> bool) -> u64 {
        self.mask_of(self.every(), holds)
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
            LevelProblem::AmountAndPercent => "an amount and a percentage are given",
            LevelProblem::IntervalTooLong => "the interval is longer than a year",
        };
        write!(f, "level {}: {problem}", self.index)
    }
}

impl std::error::Error for LevelsError {}
