use super::super::money::tests::euros;
use super::super::money::{Money, MoneyCode, Worth};
use super::super::package::tests::package;
use super::super::tests::fiat;
use super::super::{CreditPackage, Per};
use super::*;
use crate::catalog::CurrencyNumber;
use crate::ledger::calendar::days_from_civil;
use crate::ledger::{Amount, Timestamp, Trigger};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Noon of a Wednesday in the middle of a month, and so many ms.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(days_from_civil(2026, 11, 18).cast_unsigned() * DAY + 12 * HOUR + millis)
}

fn rule() -> Rule {
    Rule {
        customer: "cus_1".to_owned(),
        currency: CurrencyNumber(0),
        enabled: true,
        threshold: Amount::new(100),
        trigger: Trigger::Below,
        mode: Mode::Package { package: "starter".to_owned(), quantity: 2 },
        cooldown_ms: 0,
        limits: Vec::new(),
        method: None,
        priority: None,
        valid_for_ms: None,
    }
}

fn selling(package: &CreditPackage) -> Offer<'_> {
    Offer { package: Some(package), worth: None, packages_left: None }
}

fn for_euros() -> Offer<'static> {
    Offer { package: None, worth: Worth::of_fiat(&fiat("EUR", 0)), packages_left: None }
}

fn facts(balance: i64, now: Timestamp) -> Facts {
    Facts { balance: Amount::new(balance), in_flight: Amount::ZERO, has_method: true, now }
}

fn attempt(number: u32, at: Timestamp, cents: i64) -> Attempt {
    Attempt { top_up: format!("top_{number}"), at, money: euros(cents) }
}

fn limit(per: Per, count: Option<u32>, cents: Option<i64>) -> Limit {
    Limit { per, count, amount: cents.map(euros) }
}

#[track_caller]
fn check_order(rule: &Rule, offer: &Offer<'_>, balance: i64, quantity: u32, cents: i64, credits: i64) {
    let order = Order { quantity, price: euros(cents), credits: Amount::new(credits) };
    assert_eq!(RuleState::default().evaluate(rule, offer, facts(balance, at(0))), Verdict::Fire(order));
}

#[track_caller]
fn check_refused(field: &str, offer: &Offer<'_>, rule: &Rule) {
    assert_eq!(rule.check(offer).expect_err(field).field, field);
}

#[test]
fn it_fires_on_the_right_side_of_its_threshold() {
    let starter = package(50, 500);
    let state = RuleState::default();
    let verdict = |trigger, balance, in_flight| {
        let rule = Rule { trigger, ..rule() };
        let facts = Facts { in_flight: Amount::new(in_flight), ..facts(balance, at(0)) };
        matches!(state.evaluate(&rule, &selling(&starter), facts), Verdict::Fire(_))
    };
    assert!(verdict(Trigger::Below, 99, 0) && !verdict(Trigger::Below, 100, 0));
    assert!(verdict(Trigger::AtOrBelow, 100, 0) && !verdict(Trigger::AtOrBelow, 101, 0));
    assert!(!verdict(Trigger::Below, 50, 50) && verdict(Trigger::Below, 49, 50), "what is on the way counts");
    let off = Rule { enabled: false, ..rule() };
    assert_eq!(state.evaluate(&off, &selling(&starter), facts(0, at(0))), Verdict::Rest);
    assert_eq!(state.status(&off, at(0)), RuleStatus::Disabled);
}

#[test]
fn one_charge_closes_the_whole_gap_and_the_debt() {
    let starter = package(50, 500);
    check_order(&rule(), &selling(&starter), 99, 2, 1_000, 100);
    check_order(&rule(), &selling(&starter), 0, 2, 1_000, 100);
    check_order(&rule(), &selling(&starter), -1, 3, 1_500, 150);
    check_order(&rule(), &selling(&starter), -1_000, 22, 11_000, 1_100);
    let closed = Rule { trigger: Trigger::AtOrBelow, ..rule() };
    check_order(&closed, &selling(&starter), 0, 3, 1_500, 150);
    let money = Rule { mode: Mode::Amount(euros(30)), ..rule() };
    check_order(&money, &for_euros(), 80, 1, 30, 30);
    check_order(&money, &for_euros(), 0, 1, 120, 120);
    let target = Rule { mode: Mode::Target { target: Amount::new(1_000), package: None }, ..rule() };
    check_order(&target, &for_euros(), 99, 1, 901, 901);
    check_order(&target, &for_euros(), -50, 1, 1_050, 1_050);
    let hundredths = Offer { worth: Worth::of_fiat(&fiat("EUR", 2)), ..for_euros() };
    check_order(&target, &hundredths, 99, 1, 10, 1_000);
    let packages =
        Rule { mode: Mode::Target { target: Amount::new(120), package: Some("starter".to_owned()) }, ..rule() };
    check_order(&packages, &selling(&starter), 0, 3, 1_500, 150);
}

#[test]
fn what_cannot_be_bought_is_skipped() {
    let starter = package(50, 500);
    let gone = CreditPackage { archived: true, ..starter.clone() };
    let few = Offer { packages_left: Some(1), ..selling(&starter) };
    let dear = package(50, i64::MAX);
    for offer in [selling(&gone), few, selling(&dear), for_euros()] {
        let verdict = RuleState::default().evaluate(&rule(), &offer, facts(0, at(0)));
        assert_eq!(verdict, Verdict::Skip { why: Skip::NotSold, look_again: None, is_news: true });
    }
    let no_card = Facts { has_method: false, ..facts(0, at(0)) };
    let mut state = RuleState::default();
    let verdict = state.evaluate(&rule(), &selling(&starter), no_card);
    assert_eq!(verdict, Verdict::Skip { why: Skip::NoMethod, look_again: None, is_news: true });
    state.told(Skip::NoMethod, None);
    let verdict = state.evaluate(&rule(), &selling(&starter), no_card);
    assert_eq!(verdict, Verdict::Skip { why: Skip::NoMethod, look_again: None, is_news: false });
}

#[test]
fn rules_that_could_not_work_are_refused() {
    let starter = package(50, 500);
    assert_eq!(rule().check(&selling(&starter)), Ok(()));
    let selling_it = selling(&starter);
    let with = |change: fn(&mut Rule)| {
        let mut rule = rule();
        change(&mut rule);
        rule
    };
    check_refused(
        "target",
        &for_euros(),
        &with(|rule| rule.mode = Mode::Target { target: Amount::new(99), package: None }),
    );
    check_refused(
        "target",
        &for_euros(),
        &with(|rule| {
            rule.trigger = Trigger::AtOrBelow;
            rule.mode = Mode::Target { target: Amount::new(100), package: None };
        }),
    );
    assert_eq!(
        with(|rule| rule.mode = Mode::Target { target: Amount::new(100), package: None }).check(&for_euros()),
        Ok(())
    );
    check_refused(
        "package",
        &selling_it,
        &with(|rule| rule.mode = Mode::Target { target: Amount::new(100), package: None }),
    );
    check_refused("package", &for_euros(), &rule());
    check_refused("package", &selling(&CreditPackage { archived: true, ..starter.clone() }), &rule());
    check_refused("package", &selling_it, &with(|rule| rule.currency = CurrencyNumber(9)));
    check_refused(
        "quantity",
        &selling_it,
        &with(|rule| {
            rule.mode = Mode::Package { package: "starter".to_owned(), quantity: 0 };
        }),
    );
    check_refused("amount", &selling_it, &with(|rule| rule.mode = Mode::Amount(euros(5))));
    check_refused("amount", &for_euros(), &with(|rule| rule.mode = Mode::Amount(euros(0))));
    check_refused(
        "amount",
        &for_euros(),
        &with(|rule| {
            rule.mode = Mode::Amount(Money::new(5, MoneyCode::iso("USD").expect("dollars")));
        }),
    );
    check_refused("threshold", &selling_it, &with(|rule| rule.threshold = Amount::MAX));
    check_refused("cooldown_seconds", &selling_it, &with(|rule| rule.cooldown_ms = 32 * DAY));
    check_refused("priority", &selling_it, &with(|rule| rule.priority = Some(101)));
    check_refused("valid_for_seconds", &selling_it, &with(|rule| rule.valid_for_ms = Some(0)));
    let limited = |limits: Vec<Limit>| Rule { limits, ..rule() };
    check_refused("limits", &selling_it, &limited(vec![limit(Per::Day, None, None)]));
    check_refused("limits", &selling_it, &limited(vec![limit(Per::Day, Some(0), None)]));
    check_refused(
        "limits",
        &selling_it,
        &limited(vec![limit(Per::Day, Some(1), None), limit(Per::Day, Some(2), None)]),
    );
    check_refused("limits", &selling_it, &limited(vec![limit(Per::Day, None, Some(999))]));
    assert_eq!(limited(vec![limit(Per::Day, None, Some(1_000))]).check(&selling_it), Ok(()));
    let dollars = Money::new(100_000, MoneyCode::iso("USD").expect("dollars"));
    let in_dollars = Limit { per: Per::Day, count: None, amount: Some(dollars) };
    check_refused("limits", &selling_it, &limited(vec![in_dollars]));
}

#[test]
fn one_is_in_flight_and_rests_after_its_success() {
    let starter = package(50, 500);
    let rule = Rule { cooldown_ms: 60_000, ..rule() };
    let mut state = RuleState::default();
    let first = attempt(1, at(0), 1_000);
    state.fired(first.clone(), "card".to_owned());
    assert_eq!(state.evaluate(&rule, &selling(&starter), facts(0, at(1))), Verdict::InFlight);
    assert_eq!(state.status(&rule, at(1)), RuleStatus::InFlight);
    assert_eq!(state.settled(&rule, &first, &Settled::Succeeded, at(10)), []);
    let until = Some(at(60_010));
    let verdict = state.evaluate(&rule, &selling(&starter), facts(0, at(60_009)));
    assert_eq!(verdict, Verdict::Skip { why: Skip::Cooldown, look_again: until, is_news: true });
    state.told(Skip::Cooldown, until);
    let verdict = state.evaluate(&rule, &selling(&starter), facts(0, at(60_009)));
    assert_eq!(verdict, Verdict::Skip { why: Skip::Cooldown, look_again: until, is_news: false });
    assert_eq!(state.status(&rule, at(60_009)), RuleStatus::Cooling);
    assert!(matches!(state.evaluate(&rule, &selling(&starter), facts(0, at(60_010))), Verdict::Fire(_)));
    assert_eq!(state.status(&rule, at(60_010)), RuleStatus::Armed);
}

#[test]
fn declines_back_off_and_suspend() {
    let starter = package(50, 500);
    let mut state = RuleState::default();
    let mut now = at(0);
    for (number, wait) in [(1, Some(HOUR)), (2, Some(2 * HOUR)), (3, None)] {
        let attempt = attempt(number, now, 1_000);
        state.fired(attempt.clone(), "card".to_owned());
        let news = state.settled(&rule(), &attempt, &Settled::Failed { hard: false }, now);
        assert_eq!(state.tally.within(Per::Month, now).count, 0, "what failed does not count");
        let Some(wait) = wait else {
            assert_eq!(news, [News::Failed, News::Suspended]);
            break;
        };
        assert_eq!(news, [News::Failed]);
        let until = now.saturating_add(wait);
        let verdict = state.evaluate(&rule(), &selling(&starter), facts(0, now));
        assert_eq!(verdict, Verdict::Skip { why: Skip::BackOff, look_again: Some(until), is_news: true });
        now = until;
        assert!(matches!(state.evaluate(&rule(), &selling(&starter), facts(0, now)), Verdict::Fire(_)));
    }
    let later = now.saturating_add(100 * DAY);
    let halted = Verdict::Skip { why: Skip::Halted, look_again: None, is_news: false };
    assert_eq!(state.evaluate(&rule(), &selling(&starter), facts(0, later)), halted);
    assert_eq!(state.halt, Some(Halt::Suspended(SuspendReason::Failures)));
    assert_eq!(state.lift(&Lift::Card("card".to_owned())), Lifted::Nothing, "it is the same card");
    for lift in [Lift::Card("other".to_owned()), Lift::ManualTopUp, Lift::Operator] {
        let mut state = state.clone();
        assert_eq!(state.lift(&lift), Lifted::Halt);
        assert!(matches!(state.evaluate(&rule(), &selling(&starter), facts(0, later)), Verdict::Fire(_)));
        assert_eq!(state.lift(&lift), Lifted::Nothing);
    }
}

#[test]
fn a_hard_decline_suspends_at_once_and_a_success_forgets_failures() {
    let mut state = RuleState::default();
    let fail = |state: &mut RuleState, number, hard| {
        let attempt = attempt(number, at(0), 1_000);
        state.fired(attempt.clone(), "card".to_owned());
        state.settled(&rule(), &attempt, &Settled::Failed { hard }, at(0))
    };
    assert_eq!(fail(&mut state.clone(), 1, true), [News::Failed, News::Suspended]);
    fail(&mut state, 1, false);
    fail(&mut state, 2, false);
    let third = attempt(3, at(0), 1_000);
    state.fired(third.clone(), "card".to_owned());
    state.settled(&rule(), &third, &Settled::Succeeded, at(0));
    assert_eq!(fail(&mut state, 4, false), [News::Failed], "two in a row and not four");
    assert_eq!(state.lift(&Lift::ManualTopUp), Lifted::BackOff);
}

#[test]
fn an_action_pauses_until_it_is_done() {
    let starter = package(50, 500);
    let mut state = RuleState::default();
    let first = attempt(1, at(0), 1_000);
    state.fired(first.clone(), "card".to_owned());
    state.requires_action("top_0");
    assert_eq!(state.halt, None, "that is another one");
    state.requires_action("top_1");
    assert_eq!(state.status(&rule(), at(1)), RuleStatus::RequiresAction);
    let mut done = state.clone();
    assert_eq!(done.settled(&rule(), &first, &Settled::Succeeded, at(5)), [News::Resumed]);
    assert!(matches!(done.evaluate(&rule(), &selling(&starter), facts(0, at(5))), Verdict::Fire(_)));
    // The customer did nothing: asking again and again would be no use.
    assert_eq!(state.settled(&rule(), &first, &Settled::GivenUp, at(5)), []);
    let verdict = state.evaluate(&rule(), &selling(&starter), facts(0, at(9 * DAY)));
    assert_eq!(verdict, Verdict::Skip { why: Skip::Halted, look_again: None, is_news: false });
    // And paid after all.
    assert_eq!(state.settled(&rule(), &first, &Settled::Succeeded, at(6)), [News::Resumed]);
    assert_eq!(state.tally.within(Per::Day, at(6)).count, 1);
}

#[test]
fn a_limit_is_told_once_a_window_and_ends_with_it() {
    let starter = package(50, 500);
    let limits = vec![limit(Per::Day, Some(1), None), limit(Per::Week, None, Some(1_500))];
    let rule = Rule { limits, ..rule() };
    let mut state = RuleState::default();
    let buy = |state: &mut RuleState, number, now: Timestamp| {
        let attempt = attempt(number, now, 1_000);
        state.fired(attempt.clone(), "card".to_owned());
        state.settled(&rule, &attempt, &Settled::Succeeded, now);
    };
    buy(&mut state, 1, at(0));
    // The day's limit is reached, and so is the week's: a second one would cost 20 in all.
    let monday = Per::Week.end(at(0));
    let expected = |is_news| Verdict::Skip { why: Skip::Limit(Per::Week), look_again: Some(monday), is_news };
    assert_eq!(state.evaluate(&rule, &selling(&starter), facts(0, at(1))), expected(true));
    state.told(Skip::Limit(Per::Week), Some(monday));
    let before = Timestamp::from_millis(monday.millis() - 1);
    assert_eq!(state.evaluate(&rule, &selling(&starter), facts(0, before)), expected(false));
    assert!(matches!(state.evaluate(&rule, &selling(&starter), facts(0, monday)), Verdict::Fire(_)));
    buy(&mut state, 2, monday);
    let verdict = state.evaluate(&rule, &selling(&starter), facts(0, monday));
    let next = Some(Per::Week.end(monday));
    assert_eq!(verdict, Verdict::Skip { why: Skip::Limit(Per::Week), look_again: next, is_news: true });
    state.changed();
    assert!(state.told.is_empty());
}

#[test]
fn an_amount_in_other_money_counts_from_zero() {
    let mut tally = Tally::default();
    tally.add(at(0), euros(700));
    tally.add(at(1), Money::new(300, MoneyCode::iso("USD").expect("dollars")));
    let today = tally.within(Per::Day, at(2));
    assert_eq!((today.count, today.units), (2, 300));
    tally.take_back(at(0), euros(700));
    let today = tally.within(Per::Day, at(2));
    assert_eq!((today.count, today.units), (1, 300));
}

/// What may happen next in the life of a rule.
#[derive(Clone, Debug)]
enum Turn {
    Wait(u64),
    Spend(i64),
    Evaluate,
    Succeed,
    Fail(bool),
    GiveUp,
    /// A success of one that had been given up or had failed.
    Late,
    Lift,
    Limits(Vec<Limit>),
}

fn any_limits() -> impl Strategy<Value = Vec<Limit>> {
    let one = |per| {
        let (count, cents) = (prop::option::of(1_u32..4), prop::option::of(1_000_i64..6_000));
        prop::option::of((count, cents).prop_map(move |(count, cents)| match (count, cents) {
            (None, None) => limit(per, Some(2), None),
            (count, cents) => limit(per, count, cents),
        }))
    };
    (one(Per::Day), one(Per::Week), one(Per::Month))
        .prop_map(|(day, week, month)| [day, week, month].into_iter().flatten().collect())
}

fn any_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0..3 * DAY).prop_map(Turn::Wait),
        1 => (0..20 * DAY).prop_map(Turn::Wait),
        4 => (1_i64..400).prop_map(Turn::Spend),
        8 => Just(Turn::Evaluate),
        4 => Just(Turn::Succeed),
        2 => prop::bool::weighted(0.1).prop_map(Turn::Fail),
        1 => Just(Turn::GiveUp),
        1 => Just(Turn::Late),
        1 => Just(Turn::Lift),
        1 => any_limits().prop_map(Turn::Limits),
    ]
}

/// A rule's life kept by hand: every attempt that there ever was.
struct Naive {
    attempts: Vec<(Attempt, bool)>,
    rest_until: Timestamp,
    is_halted: bool,
}

impl Naive {
    /// What was bought in the window of `now`, counted one by one.
    fn within(&self, per: Per, now: Timestamp) -> (u32, i64) {
        let in_window = |at: Timestamp| per.start(now) <= at && at < per.end(now);
        let counted = self.attempts.iter().filter(|(attempt, counts)| *counts && in_window(attempt.at));
        counted.fold((0, 0), |(count, units), (attempt, _)| (count + 1, units + attempt.money.units))
    }

    fn allows(&self, limits: &[Limit], price: i64, now: Timestamp) -> bool {
        limits.iter().all(|limit| {
            let (count, units) = self.within(limit.per, now);
            limit.count.is_none_or(|max| count < max) && limit.amount.is_none_or(|max| units + price <= max.units)
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A rule fires exactly when a list of all its attempts says that it may, one at a time, and never leaves a gap.
    #[test]
    fn limits_are_exact(begun in any_limits(), cooldown_ms in 0..2 * DAY, turns in prop::collection::vec(any_turn(), 1..80)) {
        let starter = package(50, 500);
        let mut rule = Rule { limits: begun, cooldown_ms, ..rule() };
        let mut state = RuleState::default();
        let mut naive = Naive { attempts: Vec::new(), rest_until: Timestamp::EPOCH, is_halted: false };
        let (mut now, mut balance, mut failures) = (at(0), 500_i64, 0_u32);
        let mut flying: Option<(usize, Order)> = None;
        let mut given_up: Vec<(usize, i64)> = Vec::new();
        for turn in turns {
            match turn {
                Turn::Wait(ms) => now = now.saturating_add(ms),
                Turn::Spend(credits) => balance -= credits,
                Turn::Limits(limits) => {
                    rule.limits = limits;
                    state.changed();
                }
                Turn::Lift => {
                    state.lift(&Lift::Operator);
                    (naive.is_halted, failures) = (false, 0);
                    // A cooldown goes on.
                    naive.rest_until = state.cooling_until.unwrap_or_default();
                }
                Turn::Evaluate => {
                    let verdict = state.evaluate(&rule, &selling(&starter), facts(balance, now));
                    let quantity = ((100 - balance + 49) / 50).max(2);
                    let may = flying.is_none()
                        && !naive.is_halted
                        && naive.rest_until <= now
                        && naive.allows(&rule.limits, quantity * 500, now);
                    prop_assert_eq!(matches!(verdict, Verdict::Fire(_)), balance < 100 && may, "{:?}", verdict);
                    match verdict {
                        Verdict::Fire(order) => {
                            prop_assert!(balance + order.credits.units() >= 100, "it would fire again");
                            prop_assert_eq!(order.price, euros(quantity * 500));
                            let attempt = attempt(naive.attempts.len() as u32, now, order.price.units);
                            state.fired(attempt.clone(), "card".to_owned());
                            flying = Some((naive.attempts.len(), order));
                            naive.attempts.push((attempt, true));
                        }
                        Verdict::Skip { why, look_again, is_news } => {
                            if is_news {
                                state.told(why, look_again);
                            }
                            let again = state.evaluate(&rule, &selling(&starter), facts(balance, now));
                            prop_assert_eq!(again, Verdict::Skip { why, look_again, is_news: false }, "told twice");
                            if let Some(until) = look_again {
                                prop_assert!(now < until);
                                let just_before = Timestamp::from_millis(until.millis() - 1);
                                let early = state.evaluate(&rule, &selling(&starter), facts(balance, just_before));
                                prop_assert!(!matches!(early, Verdict::Fire(_)), "{:?} before {:?}", early, until);
                                let then = state.evaluate(&rule, &selling(&starter), facts(balance, until));
                                // Something else may keep it from firing then; but not the same thing.
                                prop_assert!(!matches!(then, Verdict::Skip { why: still, .. } if still == why)
                                    || !naive.allows(&rule.limits, quantity * 500, until), "{:?}", then);
                            }
                        }
                        Verdict::Rest => prop_assert!(balance >= 100),
                        Verdict::InFlight => prop_assert!(flying.is_some()),
                    }
                }
                Turn::Succeed => if let Some((index, order)) = flying.take() {
                    let attempt = naive.attempts[index].0.clone();
                    state.settled(&rule, &attempt, &Settled::Succeeded, now);
                    balance += order.credits.units();
                    naive.rest_until = now.saturating_add(cooldown_ms);
                    failures = 0;
                },
                Turn::Fail(hard) => if let Some((index, order)) = flying.take() {
                    let attempt = naive.attempts[index].0.clone();
                    state.settled(&rule, &attempt, &Settled::Failed { hard }, now);
                    naive.attempts[index].1 = false;
                    given_up.push((index, order.credits.units()));
                    failures += 1;
                    if hard || failures == 3 {
                        naive.is_halted = true;
                    } else {
                        naive.rest_until = naive.rest_until.max(now.saturating_add(HOUR << (failures - 1)));
                    }
                },
                Turn::GiveUp => if let Some((index, order)) = flying.take() {
                    let attempt = naive.attempts[index].0.clone();
                    state.settled(&rule, &attempt, &Settled::GivenUp, now);
                    naive.attempts[index].1 = false;
                    given_up.push((index, order.credits.units()));
                    naive.rest_until = naive.rest_until.max(now.saturating_add(HOUR));
                },
                Turn::Late => if let Some((index, credits)) = given_up.pop() {
                    let attempt = naive.attempts[index].0.clone();
                    state.settled(&rule, &attempt, &Settled::Succeeded, now);
                    naive.attempts[index].1 = true;
                    balance += credits;
                    (naive.is_halted, failures) = (false, 0);
                    naive.rest_until = now.saturating_add(cooldown_ms);
                },
            }
            for per in Per::ALL {
                let window = state.tally.within(per, now);
                prop_assert_eq!((window.count, window.units), naive.within(per, now), "{:?}", per);
            }
        }
    }
}
