//! When levels fire, recover and are told, and which lists of them are refused.

use super::*;
use crate::ledger::decimal::Decimal;
use crate::ledger::time::Timestamp;

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
    Level { name: name.into(), amount: Amount::new(amount), trigger, margin: Amount::new(margin), ..Level::default() }
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
    check_walk(level("low", 10, Trigger::AtOrBelow, 0), 20, &[(11, '-'), (10, 'x'), (9, '-'), (11, 'r'), (10, 'x')]);
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
    let percent = |name: &str, millionths| Level { percent: Percent::from_millionths(millionths), ..below(name, 0) };
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
