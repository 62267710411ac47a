//! Alert levels: balances whose crossing somebody wants to hear of.
//!
//! A level is *armed* while the balance stands at or above its line. The movement that takes the balance below the line
//! crosses it: it fires once and is *triggered*, until a balance of at least line + margin arms it again (it has
//! *recovered*). A level that was set while the balance was already below is neither (*idle*): it has nothing to recover
//! from, so it is armed, silently and without the margin, as soon as the balance reaches its line.
//!
//! A level may watch what is available instead of the balance. Within a generation the two differ by a constant, so its line is a line of
//! the balance, moved by that; between generations a hold or a change of the allowance can cross it, too.
//!
//! Invariants, for the balance (or what was available) that the states were last moved to:
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

/// What a level watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watched {
    /// The balance.
    #[default]
    Balance,
    /// What is available: the balance less open holds, and the overdraft allowance.
    Available,
}

impl Watched {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Watched::Balance => "balance",
            Watched::Available => "available",
        }
    }

    /// What is watched under that name.
    pub fn parse(name: &str) -> Option<Watched> {
        match name {
            "balance" => Some(Watched::Balance),
            "available" => Some(Watched::Available),
            _ => None,
        }
    }
}

/// What levels are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) balance: Amount,
    pub(super) available: Amount,
}

impl Standing {
    fn of(self, watched: Watched) -> Amount {
        match watched {
            Watched::Balance => self.balance,
            Watched::Available => self.available,
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
    /// What is compared with the amount.
    pub watches: Watched,
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
    /// Those that watch what is available.
    of_available: u64,
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
        let of_available = mask_where(&sorted, |level| level.watches == Watched::Available);
        Ok(Levels { sorted: sorted.into_boxed_slice(), of_available })
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

    /// The highest line of the balance among the levels of a mask, where the balance exceeds what is available by `excess`.
    pub(super) fn highest_line(&self, mask: u64, excess: Amount) -> Option<Amount> {
        let highest = |mask: u64| self.sorted.get(mask.checked_ilog2()? as usize).map(Level::line);
        let of_balance = highest(mask & !self.of_available);
        let of_available = highest(mask & self.of_available);
        of_balance.max(of_available.map(|line| Amount::new(line.units().saturating_add(excess.units()))))
    }

    /// The states of levels that have just been set on a wallet that stands there: nothing fires, what can be armed is.
    pub(super) fn fresh(&self, at: Standing) -> LevelStates {
        LevelStates { armed: self.above(at), triggered: 0 }
    }

    /// Like [`Levels::fresh`], but a level that stood in `old` unchanged keeps its state: setting the same levels twice
    /// must not fire an alert twice.
    pub(super) fn replacing(&self, old: Option<&Levels>, states: LevelStates, at: Standing) -> LevelStates {
        let mut next = self.fresh(at);
        for (index, level) in self.sorted.iter().enumerate() {
            let kept = old.and_then(|old| old.sorted.iter().position(|earlier| earlier == level));
            if kept.is_some_and(|kept| states.triggered >> kept & 1 == 1) {
                next.triggered |= 1 << index;
                next.armed &= !(1 << index);
            }
        }
        next
    }

    /// Moves the states to where the wallet stands afterwards: the new states, the levels crossed, the levels recovered.
    pub(super) fn moved(&self, states: LevelStates, after: Standing) -> (LevelStates, u64, u64) {
        let above = self.above(after);
        let recoverable = self.recoverable(after);
        let idle = !(states.armed | states.triggered);
        let crossed = states.armed & !above;
        let recovered = states.triggered & recoverable;
        let armed = (states.armed & above) | recovered | (idle & above);
        let triggered = (states.triggered & !recoverable) | crossed;
        (LevelStates { armed, triggered }, crossed, recovered)
    }

    /// Whether the invariants hold between these states and where a wallet stands.
    pub(super) fn agree(&self, states: LevelStates, at: Standing) -> bool {
        let all = mask_where(&self.sorted, |_| true);
        let above = self.above(at);
        let recoverable = self.recoverable(at);
        let idle = all & !(states.armed | states.triggered);
        (states.armed | states.triggered) & !all == 0
            && states.armed & states.triggered == 0
            && states.armed & !above == 0
            && states.triggered & recoverable == 0
            && idle & above == 0
    }

    fn above(&self, at: Standing) -> u64 {
        mask_where(&self.sorted, |level| at.of(level.watches) >= level.line())
    }

    fn recoverable(&self, at: Standing) -> u64 {
        mask_where(&self.sorted, |level| at.of(level.watches) >= level.rearm())
    }
}

fn mask_where(levels: &[Level], holds: impl Fn(&Level) -> bool) -> u64 {
    levels.iter().enumerate().fold(0, |mask, (index, level)| mask | u64::from(holds(level)) << index)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn level(name: &str, amount: i64, trigger: Trigger, margin: i64) -> Level {
        let (amount, margin) = (Amount::new(amount), Amount::new(margin));
        Level { name: name.into(), amount, trigger, margin, watches: Watched::Balance }
    }

    /// A balance of which everything is available.
    fn plain(balance: i64) -> Standing {
        Standing { balance: Amount::new(balance), available: Amount::new(balance) }
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
        let mut states = levels.fresh(plain(start));
        for &(balance, expected) in walk {
            let (next, crossed, recovered) = levels.moved(states, plain(balance));
            let happened = match (crossed, recovered) {
                (0, 0) => '-',
                (1, 0) => 'x',
                (0, 1) => 'r',
                both => panic!("{both:?} at {balance}"),
            };
            assert_eq!(happened, expected, "at {balance} of {walk:?}");
            assert!(levels.agree(next, plain(balance)), "states {next:?} at {balance}");
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
        assert_eq!(levels.highest_line(0b0000, Amount::ZERO), None);
        assert_eq!(levels.highest_line(0b0101, Amount::ZERO), Some(Amount::new(10)));
        assert_eq!(levels.highest_line(0b1001, Amount::ZERO), Some(Amount::new(30)));
        assert_eq!(levels.of_mask(0b1010).map(|level| &*level.name).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn all_64_levels_work_alike() {
        let levels = Levels::new((0..64).map(|line| below(&format!("l{line}"), line + 1)).collect()).expect("levels");
        let states = levels.fresh(plain(64));
        assert_eq!(states.armed, u64::MAX);
        assert_eq!(levels.highest_line(states.armed, Amount::ZERO), Some(Amount::new(64)));
        let (states, crossed, recovered) = levels.moved(states, plain(0));
        assert_eq!((states.armed, states.triggered, crossed, recovered), (0, u64::MAX, u64::MAX, 0));
        let (states, crossed, recovered) = levels.moved(states, plain(32));
        assert_eq!((states.armed, crossed, recovered), (u64::MAX >> 32, 0, u64::MAX >> 32));
    }

    #[test]
    fn a_level_may_watch_what_is_available() {
        let of = |name, amount, watches| Level { watches, ..below(name, amount) };
        let levels = vec![of("balance", 10, Watched::Balance), of("available", 8, Watched::Available)];
        let levels = Levels::new(levels).expect("levels");
        let at = |balance, available| Standing { balance: Amount::new(balance), available: Amount::new(available) };
        let states = levels.fresh(at(20, 20));
        assert_eq!(levels.highest_line(states.armed, Amount::ZERO), Some(Amount::new(10)));
        assert_eq!(levels.highest_line(states.armed, Amount::new(5)), Some(Amount::new(13)));
        assert_eq!(levels.highest_line(states.armed, Amount::new(i64::MIN)), Some(Amount::new(10)));
        let (states, crossed, _) = levels.moved(states, at(20, 7));
        assert_eq!((crossed, states.triggered), (0b01, 0b01), "a hold lowers what is available and leaves the balance");
        assert!(levels.agree(states, at(20, 7)) && !levels.agree(states, at(20, 20)));
        let (_, crossed, recovered) = levels.moved(states, at(9, 9));
        assert_eq!((crossed, recovered), (0b10, 0b01));
        for watched in [Watched::Balance, Watched::Available] {
            assert_eq!(Watched::parse(watched.as_str()), Some(watched));
        }
        assert_eq!(Watched::parse("held"), None);
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
        let fired = LevelStates { armed: 0, triggered: 1 };
        let balance = plain(12);
        let same = Levels::new(vec![below("lower", 1), margin(10)]).expect("levels");
        let expected = LevelStates { armed: 0b01, triggered: 0b10 };
        assert_eq!(same.replacing(Some(&old), fired, balance), expected);
        let other = Levels::new(vec![margin(11)]).expect("a level");
        assert_eq!(other.replacing(Some(&old), fired, balance), LevelStates { armed: 1, triggered: 0 });
    }
}
