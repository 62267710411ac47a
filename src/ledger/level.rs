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

use std::fmt;

use super::amount::Amount;
use super::decimal::Decimal;
use super::time::Timestamp;

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

/// The figure that a level is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Watches {
    /// The balance.
    #[default]
    Balance,
    /// What is available: the balance less what is held, and the overdraft allowance.
    Available,
    /// What is projected: what is available less what is committed.
    Projected,
}

impl Watches {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Watches::Balance => "balance",
            Watches::Available => "available",
            Watches::Projected => "projected",
        }
    }

    /// The figure of that name.
    pub fn parse(name: &str) -> Option<Watches> {
        match name {
            "balance" => Some(Watches::Balance),
            "available" => Some(Watches::Available),
            "projected" => Some(Watches::Projected),
            _ => None,
        }
    }
}

/// A share of what was granted: above nothing and at most all of it, to a millionth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Millionths of a percent in the whole.
    const WHOLE: u32 = 100_000_000;

    /// So many millionths of a percent, if that is more than nothing and at most the whole.
    pub const fn from_millionths(millionths: u32) -> Option<Percent> {
        if millionths > 0 && millionths <= Percent::WHOLE { Some(Percent(millionths)) } else { None }
    }

    /// So many percent, if that is more than 0, at most 100, and has at most six decimal places.
    pub fn from_decimal(percent: Decimal) -> Option<Percent> {
        let places = u32::from(6_u8.checked_sub(percent.scale())?);
        let millionths = percent.mantissa().checked_mul(10_i64.pow(places))?;
        Percent::from_millionths(u32::try_from(millionths).ok()?)
    }

    /// The share in millionths of a percent.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The share in percent.
    ///
    /// # Panics
    /// Never: six decimal places are few.
    pub fn decimal(self) -> Decimal {
        Decimal::from_parts(i64::from(self.0), 6).expect("six places are few")
    }

    /// This share of an amount, rounded up to a unit. Zero of an amount below zero.
    fn of(self, amount: Amount) -> Amount {
        let product = i128::from(amount.or_zero().units()) * i128::from(self.0);
        Amount::saturating((product + i128::from(Percent::WHOLE) - 1) / i128::from(Percent::WHOLE))
    }
}

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

/// A wallet's alert levels: at most 64, with unique names. Those with an amount come first, in rising order of it (what is fired at
/// before what is fired below, and then by name), then those with a percentage, in rising order of that. Level *i* is bit *i* of a mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    sorted: Box<[Level]>,
    /// Some lines move with the terms, so the order need not be that of the lines.
    moving: bool,
    /// Levels that have an interval, as a mask.
    intervals: u64,
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

/// Which levels are armed and which have fired, as masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStates {
    /// Levels that the next balance below their line crosses.
    pub armed: u64,
    /// Levels that have fired and wait for the balance to recover.
    pub triggered: u64,
    /// Levels among those that have fired of which nobody was told, for their interval was not over.
    pub muted: u64,
}

/// What a movement does to levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Levels that fired, or of which it is time to tell that they have.
    pub(super) crossed: u64,
    /// Levels that recovered.
    pub(super) recovered: u64,
    /// Levels among both of which nobody is to be told.
    pub(super) quiet: u64,
}

/// The bits of a mask, lowest first.
fn bits(mask: u64) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let index = (rest != 0).then(|| rest.trailing_zeros() as usize);
        rest &= rest.wrapping_sub(1);
        index
    })
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
    pub(super) fn highest_line(&self, mask: u64, bearings: &Bearings) -> Option<Amount> {
        if !self.moving {
            let highest = mask.checked_ilog2()?;
            return self.sorted.get(highest as usize).map(|level| level.line(bearings));
        }
        self.of_mask(mask).map(|level| level.line(bearings)).max()
    }

    /// The states of levels that have just been set on a wallet with this balance: nothing fires, what can be armed is.
    pub(super) fn fresh(&self, balance: Amount, bearings: &Bearings) -> LevelStates {
        let armed = self.mask_where(|level| balance >= level.line(bearings));
        LevelStates { armed, ..LevelStates::default() }
    }

    /// Instants of telling for levels of which nobody was told.
    pub(super) fn never_told(&self) -> Box<[Timestamp]> {
        vec![Timestamp::EPOCH; self.intervals()].into()
    }

    /// Where the instant of telling of level `index` stands among those of all levels with an interval.
    fn place_of_told(&self, index: usize) -> usize {
        (self.intervals & ((1 << index) - 1)).count_ones() as usize
    }

    /// Like [`Levels::fresh`], but a level that stood in `old` unchanged keeps its state and the instant at which it was told:
    /// setting the same levels twice must not fire an alert twice.
    pub(super) fn replacing(
        &self,
        old: Option<(&Levels, LevelStates, &[Timestamp])>,
        balance: Amount,
        bearings: &Bearings,
    ) -> (LevelStates, Box<[Timestamp]>) {
        let (mut next, mut told) = (self.fresh(balance, bearings), self.never_told());
        let Some((old, states, old_told)) = old else { return (next, told) };
        for (index, level) in self.sorted.iter().enumerate() {
            let Some(kept) = old.sorted.iter().position(|earlier| earlier == level) else { continue };
            if states.triggered >> kept & 1 == 1 {
                next.triggered |= 1 << index;
                next.armed &= !(1 << index);
                next.muted |= (states.muted >> kept & 1) << index;
            }
            if level.min_interval_ms > 0 {
                told[self.place_of_told(index)] = old_told[old.place_of_told(kept)];
            }
        }
        (next, told)
    }

    /// Moves the states to the balance `after` at `now`, and says what happened to the levels on the way.
    pub(super) fn moved(
        &self,
        states: &mut LevelStates,
        told: &mut [Timestamp],
        after: Amount,
        bearings: &Bearings,
        now: Timestamp,
    ) -> Moved {
        let crossed = self.below(states.armed, after, bearings);
        let waiting = states.triggered;
        let recovered = self.mask_of(waiting, |level| after >= level.rearm(bearings));
        let idle = self.every() & !(states.armed | states.triggered);
        let reached = idle & !self.below(idle, after, bearings);
        let mut moved = Moved { crossed, recovered, quiet: recovered & states.muted };
        states.armed = (states.armed & !crossed) | recovered | reached;
        states.triggered = (waiting & !recovered) | crossed;
        states.muted &= !recovered;
        for index in bits((crossed & self.intervals) | states.muted) {
            let bit = 1 << index;
            let told = &mut told[self.place_of_told(index)];
            if *told == Timestamp::EPOCH || self.may_be_told(index, *told) <= now {
                *told = now;
                states.muted &= !bit;
                moved.crossed |= bit;
            } else if crossed & bit != 0 {
                states.muted |= bit;
                moved.quiet |= bit;
            }
        }
        moved
    }

    /// The first instant at which a level that was told at `told` may be told again.
    fn may_be_told(&self, index: usize, told: Timestamp) -> Timestamp {
        told.saturating_add(self.sorted[index].min_interval_ms)
    }

    /// The first instant at which a muted level is to be told.
    pub(super) fn deadline(&self, states: LevelStates, told: &[Timestamp]) -> Option<Timestamp> {
        bits(states.muted).map(|index| self.may_be_told(index, told[self.place_of_told(index)])).min()
    }

    /// Whether the invariants hold between these states and a balance.
    pub(super) fn agree(&self, states: LevelStates, told: &[Timestamp], balance: Amount, bearings: &Bearings) -> bool {
        let all = self.every();
        let above = self.mask_where(|level| balance >= level.line(bearings));
        let recoverable = self.mask_where(|level| balance >= level.rearm(bearings));
        let idle = all & !(states.armed | states.triggered);
        (states.armed | states.triggered) & !all == 0
            && states.armed & states.triggered == 0
            && states.armed & !above == 0
            && states.triggered & recoverable == 0
            && idle & above == 0
            && states.muted & !(states.triggered & self.intervals) == 0
            && told.len() == self.intervals()
            && bits(states.muted).all(|index| told[self.place_of_told(index)] != Timestamp::EPOCH)
    }

    /// All levels, as a mask.
    fn every(&self) -> u64 {
        match self.sorted.len() {
            Levels::MAX => u64::MAX,
            count => (1 << count) - 1,
        }
    }

    /// The levels of a mask whose lines a balance is below. Where the order is that of the lines, those are the highest ones, and no
    /// more of them are looked at than one beyond: sixty-four levels fill as many cache lines.
    fn below(&self, mask: u64, balance: Amount, bearings: &Bearings) -> u64 {
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

    fn mask_of(&self, mask: u64, holds: impl Fn(&Level) -> bool) -> u64 {
        bits(mask).fold(0, |found, index| found | u64::from(holds(&self.sorted[index])) << index)
    }

    fn mask_where(&self, holds: impl Fn(&Level) -> bool) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Bearings =
        Bearings { held: Amount::ZERO, allowance: Amount::ZERO, committed: Amount::ZERO, granted: Amount::ZERO };
    const NOW: Timestamp = Timestamp::from_millis(1_000);

    /// Moves levels without an interval.
    fn moved(levels: &Levels, states: LevelStates, after: i64) -> (LevelStates, u64, u64) {
        let mut states = states;
        let moved = levels.moved(&mut states, &mut [], Amount::new(after), &NOWHERE, NOW);
        assert_eq!(moved.quiet, 0);
        (states, moved.crossed, moved.recovered)
    }

    fn level(name: &str, amount: i64, trigger: Trigger, margin: i64) -> Level {
        Level {
            name: name.into(),
            amount: Amount::new(amount),
            trigger,
            margin: Amount::new(margin),
            ..Level::default()
        }
    }

    fn below(name: &str, amount: i64) -> Level {
        level(name, amount, Trigger::Below, 0)
    }

    #[track_caller]
    fn check_error(levels: Vec<Level>, index: usize, problem: LevelProblem) {
        assert_eq!(Levels::new(levels), Err(LevelsError { index, problem }));
    }

    /// Moves one level through balances and compares what happens at each: `-` nothing, `x` crossed, `r` recovered.
    #[track_caller]
    fn check_walk(level: Level, start: i64, walk: &[(i64, char)]) {
        let levels = Levels::new(vec![level]).expect("a level");
        let mut states = levels.fresh(Amount::new(start), &NOWHERE);
        for &(balance, expected) in walk {
            let (next, crossed, recovered) = moved(&levels, states, balance);
            let happened = match (crossed, recovered) {
                (0, 0) => '-',
                (1, 0) => 'x',
                (0, 1) => 'r',
                both => panic!("{both:?} at {balance}"),
            };
            assert_eq!(happened, expected, "at {balance} of {walk:?}");
            assert!(levels.agree(next, &[], Amount::new(balance), &NOWHERE), "states {next:?} at {balance}");
            states = next;
        }
    }

    #[test]
    fn below_fires_under_its_amount_and_not_at_it() {
        check_walk(below("low", 10), 20, &[(11, '-'), (10, '-'), (9, 'x'), (8, '-'), (0, '-')]);
    }

    #[test]
    fn at_or_below_fires_at_its_amount() {
        check_walk(
            level("low", 10, Trigger::AtOrBelow, 0),
            20,
            &[(11, '-'), (10, 'x'), (9, '-'), (11, 'r'), (10, 'x')],
        );
    }

    #[test]
    fn a_level_fires_once_until_it_has_recovered() {
        check_walk(below("low", 10), 20, &[(9, 'x'), (5, '-'), (9, '-'), (10, 'r'), (9, 'x'), (100, 'r'), (9, 'x')]);
    }

    #[test]
    fn a_margin_keeps_a_level_quiet_around_its_line() {
        let level = level("low", 10, Trigger::Below, 5);
        check_walk(level, 20, &[(9, 'x'), (12, '-'), (9, '-'), (14, '-'), (8, '-'), (15, 'r'), (10, '-'), (9, 'x')]);
    }

    #[test]
    fn a_level_set_below_its_line_is_armed_without_the_margin_and_without_a_word() {
        check_walk(level("low", 10, Trigger::Below, 5), 3, &[(2, '-'), (9, '-'), (10, '-'), (9, 'x')]);
    }

    #[test]
    fn negative_levels_watch_debt() {
        check_walk(below("deep", -50), 0, &[(-50, '-'), (-51, 'x'), (-50, 'r')]);
    }

    #[test]
    fn levels_are_sorted_by_line_and_then_by_name() {
        let levels = vec![below("c", 10), level("b", 9, Trigger::AtOrBelow, 0), below("a", 30), below("d", -5)];
        let levels = Levels::new(levels).expect("levels");
        let names: Vec<&str> = levels.iter().map(|level| &*level.name).collect();
        assert_eq!(names, ["d", "b", "c", "a"]);
        assert_eq!(levels.highest_line(0b0000, &NOWHERE), None);
        assert_eq!(levels.highest_line(0b0101, &NOWHERE), Some(Amount::new(10)));
        assert_eq!(levels.highest_line(0b1001, &NOWHERE), Some(Amount::new(30)));
        assert_eq!(levels.of_mask(0b1010).map(|level| &*level.name).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn all_64_levels_work_alike() {
        let levels = Levels::new((0..64).map(|line| below(&format!("l{line}"), line + 1)).collect()).expect("levels");
        let states = levels.fresh(Amount::new(64), &NOWHERE);
        assert_eq!(states.armed, u64::MAX);
        assert_eq!(levels.highest_line(states.armed, &NOWHERE), Some(Amount::new(64)));
        let (states, crossed, recovered) = moved(&levels, states, 0);
        assert_eq!((states.armed, states.triggered, crossed, recovered), (0, u64::MAX, u64::MAX, 0));
        let (states, crossed, recovered) = moved(&levels, states, 32);
        assert_eq!((states.armed, crossed, recovered), (u64::MAX >> 32, 0, u64::MAX >> 32));
    }

    #[test]
    fn a_refused_list_names_the_level_at_fault() {
        check_error(vec![below("a", 1), below("", 2)], 1, LevelProblem::EmptyName);
        check_error(vec![below(&"n".repeat(129), 2)], 0, LevelProblem::NameTooLong);
        check_error(vec![below("a", 1), below("b", 2), below("a", 3)], 2, LevelProblem::DuplicateName);
        check_error(vec![level("a", 1, Trigger::Below, -1)], 0, LevelProblem::NegativeMargin);
        check_error(vec![below("a", i64::MAX)], 0, LevelProblem::OutOfRange);
        check_error(vec![below("a", i64::MIN)], 0, LevelProblem::OutOfRange);
        check_error(vec![level("a", i64::MAX - 1, Trigger::AtOrBelow, 0)], 0, LevelProblem::OutOfRange);
        check_error(vec![level("a", 5, Trigger::Below, i64::MAX)], 0, LevelProblem::OutOfRange);
        check_error((0..65).map(|line| below(&format!("l{line}"), line)).collect(), 64, LevelProblem::TooMany);
        assert!(Levels::new(vec![below(&"n".repeat(128), i64::MAX - 1)]).is_ok());
        assert!(Levels::new(Vec::new()).is_ok_and(|levels| levels.is_empty()));
    }

    #[test]
    fn setting_the_same_levels_again_keeps_what_has_fired() {
        let margin = |amount| level("low", amount, Trigger::Below, 5);
        let old = Levels::new(vec![margin(10)]).expect("a level");
        let fired = LevelStates { triggered: 1, ..LevelStates::default() };
        let old = Some((&old, fired, [].as_slice()));
        let balance = Amount::new(12);
        let same = Levels::new(vec![below("lower", 1), margin(10)]).expect("levels");
        let expected = LevelStates { armed: 0b01, triggered: 0b10, muted: 0 };
        assert_eq!(same.replacing(old, balance, &NOWHERE).0, expected);
        let other = Levels::new(vec![margin(11)]).expect("a level");
        assert_eq!(other.replacing(old, balance, &NOWHERE).0, LevelStates { armed: 1, ..LevelStates::default() });
    }

    #[track_caller]
    fn check_line(level: &Level, bearings: Bearings, line: i64, rearm: i64) {
        assert_eq!((level.line(&bearings).units(), level.rearm(&bearings).units()), (line, rearm));
    }

    #[test]
    fn a_watched_figure_is_the_balance_and_a_constant() {
        let [held, allowance, committed] = [25, 40, 7].map(Amount::new);
        let bearings = Bearings { held, allowance, committed, granted: Amount::ZERO };
        let watching = |watches| Level { watches, ..level("low", 100, Trigger::AtOrBelow, 3) };
        check_line(&watching(Watches::Balance), bearings, 101, 104);
        check_line(&watching(Watches::Available), bearings, 86, 89);
        check_line(&watching(Watches::Projected), bearings, 93, 96);
        let committed = Amount::MAX_BALANCE;
        check_line(&watching(Watches::Projected), Bearings { committed, ..bearings }, i64::MAX, i64::MAX);
        let allowance = Amount::MAX_BALANCE;
        let deep = Level { amount: Amount::MIN, ..watching(Watches::Available) };
        check_line(&deep, Bearings { allowance, ..bearings }, i64::MIN, i64::MIN + 3);
    }

    #[test]
    fn a_percentage_is_rounded_up_to_a_unit() {
        let share = |text: &str| Percent::from_decimal(Decimal::parse(text.as_bytes()).expect("a number"));
        let of = |text: &str, granted| share(text).expect("a percentage").of(Amount::new(granted)).units();
        assert_eq!([of("20", 100), of("20", 99), of("20", 101), of("20", 0), of("100", 7)], [20, 20, 21, 0, 7]);
        assert_eq!([of("0.000001", 100_000_000), of("0.000001", 100_000_001), of("0.000001", 1)], [1, 2, 1]);
        assert_eq!(of("100", i64::MAX), i64::MAX);
        assert_eq!(of("12.5", 8), 1);
        for refused in ["0", "-1", "100.000001", "0.0000001", "1e9"] {
            assert_eq!(share(refused), None, "{refused}");
        }
        assert_eq!(share("12.5").expect("a percentage").decimal().to_string(), "12.5");
        assert_eq!(share("12.5"), Percent::from_millionths(12_500_000));
    }

    #[test]
    fn percentages_stand_behind_amounts_and_names_are_unique_among_both() {
        let percent =
            |name: &str, millionths| Level { percent: Percent::from_millionths(millionths), ..below(name, 0) };
        let levels = vec![percent("b", 30), below("z", 900), percent("a", 20), below("c", -4), percent("d", 20)];
        let levels = Levels::new(levels).expect("levels");
        assert_eq!(levels.iter().map(|level| &*level.name).collect::<Vec<_>>(), ["c", "z", "a", "d", "b"]);
        assert!(levels.has_percentages());
        check_error(vec![percent("a", 1), below("a", 1)], 1, LevelProblem::DuplicateName);
        check_error(vec![Level { amount: Amount::ONE, ..percent("a", 1) }], 0, LevelProblem::AmountAndPercent);
        let slow = Level { min_interval_ms: Levels::INTERVAL_MS_MAX + 1, ..below("a", 1) };
        check_error(vec![slow], 0, LevelProblem::IntervalTooLong);
    }

    /// Where lines move with the terms, the order of the list is not that of the lines.
    #[test]
    fn levels_that_watch_different_figures_cross_in_the_order_of_their_lines() {
        let available = Level { watches: Watches::Available, ..below("available", 10) };
        let levels = Levels::new(vec![below("balance", 20), available]).expect("levels");
        let bearings = Bearings { held: Amount::new(30), ..NOWHERE };
        let mut states = levels.fresh(Amount::new(50), &bearings);
        assert_eq!(levels.highest_line(states.armed, &bearings), Some(Amount::new(40)));
        let mut walk = |after| levels.moved(&mut states, &mut [], Amount::new(after), &bearings, NOW).crossed;
        assert_eq!([walk(40), walk(39), walk(20), walk(19)], [0, 0b01, 0, 0b10]);
    }

    #[test]
    fn a_level_is_told_once_an_interval_and_not_forgotten() {
        let slow = Level { min_interval_ms: 100, ..level("slow", 10, Trigger::Below, 2) };
        let levels = Levels::new(vec![below("always", 10), slow]).expect("levels");
        let mut states = levels.fresh(Amount::new(50), &NOWHERE);
        let mut told = levels.never_told();
        let mut walk = |after, at| {
            let (after, at) = (Amount::new(after), Timestamp::from_millis(at));
            let moved = levels.moved(&mut states, &mut told, after, &NOWHERE, at);
            assert!(levels.agree(states, &told, after, &NOWHERE));
            let deadline = levels.deadline(states, &told).map(Timestamp::millis);
            ((moved.crossed, moved.recovered, moved.quiet), deadline)
        };
        assert_eq!(walk(9, 1_000), ((0b11, 0, 0), None));
        assert_eq!(walk(12, 1_010), ((0, 0b11, 0), None));
        // Within the interval: it has fired, and neither that nor the recovery is told.
        assert_eq!(walk(9, 1_020), ((0b11, 0, 0b10), Some(1_100)));
        assert_eq!(walk(12, 1_030), ((0, 0b11, 0b10), None));
        // It fires again, and is told when the interval is over.
        assert_eq!(walk(8, 1_099), ((0b11, 0, 0b10), Some(1_100)));
        assert_eq!(walk(8, 1_099), ((0, 0, 0), Some(1_100)));
        assert_eq!(walk(7, 1_100), ((0b10, 0, 0), None));
        assert_eq!(walk(50, 1_101), ((0, 0b11, 0), None));
        assert_eq!(walk(0, 1_200), ((0b11, 0, 0), None));
    }

    #[test]
    fn a_level_that_is_set_again_remembers_when_it_was_told() {
        let slow = |name: &str| Level { min_interval_ms: 100, ..below(name, 10) };
        let old = Levels::new(vec![slow("a"), slow("b")]).expect("levels");
        let mut states = old.fresh(Amount::new(10), &NOWHERE);
        let mut told = old.never_told();
        old.moved(&mut states, &mut told, Amount::new(9), &NOWHERE, NOW);
        old.moved(&mut states, &mut told, Amount::new(10), &NOWHERE, NOW);
        old.moved(&mut states, &mut told, Amount::new(9), &NOWHERE, NOW);
        assert_eq!(states, LevelStates { armed: 0, triggered: 0b11, muted: 0b11 });
        let new = Levels::new(vec![slow("b"), slow("c")]).expect("levels");
        let (states, told) = new.replacing(Some((&old, states, &told)), Amount::new(9), &NOWHERE);
        assert_eq!(states, LevelStates { armed: 0, triggered: 0b01, muted: 0b01 });
        assert_eq!(*told, [NOW, Timestamp::EPOCH]);
    }

    #[test]
    fn names_are_read_back() {
        for watches in [Watches::Balance, Watches::Available, Watches::Projected] {
            assert_eq!(Watches::parse(watches.as_str()), Some(watches));
        }
        assert_eq!(Watches::parse("held"), None);
    }
}
