//! Automatic rules on the engine: when they are looked at, what pauses and suspends them, and what lifts that. How often and how much they buy
//! stands in `billing::auto` and `money`.

use std::sync::Arc;

use drawdown::billing::auto::{Limit, Mode, Rule, RuleStatus};
use drawdown::billing::top_up::{Command, Outcome, Status};
use drawdown::billing::{PackageSpec, Per};
use drawdown::engine::billing::{TopUpView, Work};
use drawdown::engine::catalog::{CurrencyKind, CurrencyNumber, CurrencySpec};
use drawdown::engine::view::WalletPatch;
use drawdown::engine::{Engine, ManualClock};
use drawdown::ledger::{Amount, Trigger};
use drawdown_wal::Heap;

use crate::billing::{
    balance, card, check_sound, confirm, currency, debit, euros, open_on, outcome, package, request, set_up, told, work,
};
use crate::books::{BEGIN, at};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Fires below 500 and buys 1000 credits for 19.99.
fn rule() -> Rule {
    Rule {
        customer: "ada".to_owned(),
        currency: CurrencyNumber(0),
        enabled: true,
        threshold: Amount::new(500),
        trigger: Trigger::Below,
        mode: Mode::Package { package: "starter".to_owned(), quantity: 1 },
        cooldown_ms: 0,
        limits: Vec::new(),
        method: None,
        priority: None,
        valid_for_ms: None,
    }
}

struct Bench {
    engine: Engine,
    clock: Arc<ManualClock>,
    medium: Arc<Heap>,
}

impl Bench {
    /// A customer with a card and no wallet, at the beginning of a day.
    fn begin() -> Bench {
        let clock = Arc::new(ManualClock::new(at((BEGIN / DAY + 1) * DAY)));
        let medium = Arc::new(Heap::new());
        let engine = open_on(medium.clone(), &clock);
        set_up(&engine).expect("a healthy log");
        drop(engine.add_payment_method(card("pm_1", "fp1")).expect("a card"));
        Bench { engine, clock, medium }
    }

    fn put(&self, rule: Rule) -> RuleStatus {
        self.engine.put_rule(rule).expect("a rule").0.status
    }

    fn status(&self) -> RuleStatus {
        self.engine.rule("ada", "credits").expect("it is there").status
    }

    fn evaluate(&self) {
        drop(self.engine.evaluate_rule("ada", CurrencyNumber(0)).expect("a healthy engine"));
    }

    /// The charges that are to be made now.
    fn charges(&self) -> Vec<String> {
        let charge = |work: Work| matches!(work.command, Command::Charge { .. }).then_some(work.top_up);
        work(&self.engine).into_iter().filter_map(charge).collect()
    }

    /// The only charge that is to be made now.
    #[track_caller]
    fn charge(&self) -> String {
        let mut charges = self.charges();
        assert_eq!(charges.len(), 1, "{charges:?}");
        charges.remove(0)
    }

    fn tell(&self, id: &str, told: Outcome) -> TopUpView {
        outcome(&self.engine, id, told)
    }

    fn succeed(&self, id: &str) {
        let money = self.engine.top_up(id).expect("it is there").top_up.purchase.price.expect("a price");
        self.tell(id, Outcome::Succeeded { reference: format!("pi_{id}"), money, method: None });
    }

    fn decline(&self, id: &str, hard: bool) {
        self.tell(id, Outcome::Declined { code: "declined".to_owned(), hard });
    }

    fn reopen(self) -> Bench {
        let digest = self.engine.digest();
        self.engine.close().expect("a healthy log");
        drop(self.engine);
        let engine = open_on(self.medium.clone(), &self.clock);
        assert_eq!(engine.digest(), digest);
        check_sound(&engine);
        Bench { engine, ..self }
    }

    fn count(&self, kind: &str) -> usize {
        told(&self.engine).into_iter().filter(|told| *told == kind).count()
    }
}

#[test]
fn a_rule_is_looked_at_when_it_is_set_and_when_it_is_enabled_and_a_wallet_begins_at_zero() {
    let bench = Bench::begin();
    assert_eq!(bench.put(Rule { enabled: false, ..rule() }), RuleStatus::Disabled);
    assert_eq!(bench.charges(), [""; 0]);
    // There is no wallet yet, so there are no credits.
    assert_eq!(bench.put(rule()), RuleStatus::InFlight);
    let first = bench.charge();
    bench.succeed(&first);
    assert_eq!((balance(&bench.engine), bench.charges().len()), (1_000, 0));
    // One that is set anew, with a threshold that the balance is below.
    assert_eq!(bench.put(Rule { threshold: Amount::new(1_001), ..rule() }), RuleStatus::InFlight);
    bench.charge();
    bench.reopen();
}

#[test]
fn a_wallet_is_made_without_credits_and_its_rule_waits_for_nothing_else() {
    let bench = Bench::begin();
    let (wallet, _) = bench.engine.put_wallet("bob", "credits", &WalletPatch::default()).expect("a wallet");
    assert_eq!((wallet.balance, wallet.available, wallet.grants.len()), (Amount::ZERO, Amount::ZERO, 0));
    drop(bench.engine.put_wallet("bob", "credits", &WalletPatch::default()).expect("it is there"));
    assert_eq!(bench.count("wallet.created"), 1);
    assert!(bench.engine.put_wallet("bob", "none", &WalletPatch::default()).is_err());
    let bench = bench.reopen();
    assert_eq!(bench.engine.wallet("bob", "credits").expect("it is there").balance, Amount::ZERO);
}

#[test]
fn equality_is_low_where_the_rule_says_so() {
    for (trigger, fires_at) in [(Trigger::Below, 499), (Trigger::AtOrBelow, 500)] {
        let bench = Bench::begin();
        confirm(&bench.engine, &crate::billing::buy(&bench.engine).top_up.id);
        bench.put(Rule { trigger, ..rule() });
        debit(&bench.engine, "e1", 1_000 - fires_at - 1);
        bench.evaluate();
        assert_eq!(bench.charges(), [""; 0], "at {}", fires_at + 1);
        debit(&bench.engine, "e2", 1);
        bench.evaluate();
        bench.charge();
    }
}

#[test]
fn three_failures_suspend_and_only_another_card_lifts_that() {
    let bench = Bench::begin();
    bench.put(rule());
    let mut now = (BEGIN / DAY + 1) * DAY;
    for wait in [HOUR, 2 * HOUR] {
        let id = bench.charge();
        bench.decline(&id, false);
        assert_eq!(bench.status(), RuleStatus::Cooling);
        bench.clock.set(at(now + wait - 1));
        bench.evaluate();
        assert_eq!(bench.charges(), [""; 0], "it waits {wait} ms");
        now += wait;
        bench.clock.set(at(now));
        bench.evaluate();
    }
    let third = bench.charge();
    bench.decline(&third, false);
    assert_eq!(bench.status(), RuleStatus::Suspended);
    bench.clock.set(at(now + 100 * DAY));
    let bench = bench.reopen();
    bench.evaluate();
    // The same card again, under another id: its fingerprint is known.
    drop(bench.engine.add_payment_method(card("pm_2", "fp1")).expect("a card"));
    assert_eq!((bench.status(), bench.charges().len()), (RuleStatus::Suspended, 0));
    drop(bench.engine.add_payment_method(card("pm_3", "fp2")).expect("a card"));
    let fourth = bench.charge();
    assert_eq!(bench.engine.top_up(&fourth).expect("it is there").top_up.method.as_deref(), Some("pm_3"));
    assert_eq!((bench.count("auto_top_up.suspended"), bench.count("auto_top_up.resumed")), (1, 1));
    assert_eq!(bench.count("auto_top_up.failed"), 3);
    bench.reopen();
}

#[test]
fn a_hard_decline_suspends_at_once_until_somebody_buys_by_hand_or_an_operator_says_so() {
    let bench = Bench::begin();
    bench.put(rule());
    let first = bench.charge();
    bench.decline(&first, true);
    assert_eq!(bench.status(), RuleStatus::Suspended);
    assert_eq!(bench.engine.resume_rule("ada", "credits").expect("a rule").0.status, RuleStatus::InFlight);
    let second = bench.charge();
    bench.decline(&second, true);
    assert_eq!(bench.status(), RuleStatus::Suspended);
    // Bought by hand, and not enough of it: the rule goes on at once.
    drop(bench.engine.put_package(&package("small", 100, 500), Some("credits")).expect("a package"));
    let by_hand = bench.engine.create_top_up(&request("small")).expect("a top-up").0.top_up.id;
    assert_eq!(bench.status(), RuleStatus::Suspended, "it is not paid yet");
    let paid = drawdown::billing::top_up::Event::Confirm { key: "t".to_owned(), money: euros(500), is_last: false };
    drop(bench.engine.top_up_event(&by_hand, &paid).expect("it is taken"));
    assert_eq!((bench.status(), balance(&bench.engine)), (RuleStatus::InFlight, 100));
    bench.charge();
    assert_eq!((bench.count("auto_top_up.suspended"), bench.count("auto_top_up.resumed")), (2, 2));
    bench.reopen();
}

#[test]
fn an_action_pauses_the_rule_and_a_payment_that_is_processing_does_neither() {
    let bench = Bench::begin();
    bench.put(rule());
    let first = bench.charge();
    let asked = Outcome::RequiresAction { url: Some("https://bank.example/3ds".to_owned()) };
    assert_eq!(bench.tell(&first, asked).top_up.status(), Status::RequiresAction);
    assert_eq!((bench.status(), bench.count("top_up.requires_action")), (RuleStatus::RequiresAction, 1));
    bench.clock.set(at((BEGIN / DAY + 3) * DAY));
    drop(bench.engine.expire_top_ups().expect("a healthy engine"));
    bench.evaluate();
    assert_eq!(bench.charges(), [""; 0], "asking the customer again and again is no use");
    let bench = bench.reopen();
    assert_eq!(bench.status(), RuleStatus::RequiresAction);
    // It is done after all, and the next one is under way for days.
    bench.succeed(&first);
    assert_eq!((bench.status(), balance(&bench.engine)), (RuleStatus::Armed, 1_000));
    debit(&bench.engine, "e1", 600);
    bench.evaluate();
    let second = bench.charge();
    assert_eq!(bench.tell(&second, Outcome::Processing).top_up.status(), Status::Processing);
    bench.clock.set(at((BEGIN / DAY + 8) * DAY));
    drop(bench.engine.expire_top_ups().expect("a healthy engine"));
    bench.evaluate();
    assert_eq!((bench.status(), bench.charges().len()), (RuleStatus::InFlight, 0), "neither a failure nor a success");
    assert_eq!(bench.engine.rule("ada", "credits").expect("it is there").record.state.failures, 0);
    bench.succeed(&second);
    assert_eq!((bench.status(), balance(&bench.engine)), (RuleStatus::Armed, 1_400));
    bench.reopen();
}

#[test]
fn limits_open_at_the_very_millisecond_of_their_window() {
    let cents = |cents| Some(euros(cents));
    // 2027-01-16 is a Saturday: the day ends before the week, and the week before the month.
    for (per, count, amount) in [
        (Per::Day, Some(1), None),
        (Per::Day, None, cents(3_997)),
        (Per::Week, Some(1), None),
        (Per::Week, None, cents(3_997)),
        (Per::Month, Some(1), None),
        (Per::Month, None, cents(3_997)),
    ] {
        let bench = Bench::begin();
        bench.put(Rule { limits: vec![Limit { per, count, amount }], ..rule() });
        let first = bench.charge();
        bench.succeed(&first);
        debit(&bench.engine, "e1", 600);
        let end = per.end(at((BEGIN / DAY + 1) * DAY)).millis();
        for _ in 0..2 {
            bench.evaluate();
            bench.clock.set(at(end - 1));
        }
        assert_eq!((bench.charges().len(), bench.count("auto_top_up.skipped")), (0, 1), "told once: {per:?}");
        let bench = bench.reopen();
        bench.evaluate();
        assert_eq!((bench.charges().len(), bench.count("auto_top_up.skipped")), (0, 1), "after a start, too");
        bench.clock.set(at(end));
        drop(bench.engine.evaluate_due().expect("a healthy engine"));
        bench.evaluate();
        bench.charge();
    }
}

#[test]
fn a_cooldown_is_told_once_and_ends_by_itself() {
    let bench = Bench::begin();
    bench.put(Rule { cooldown_ms: 60_000, ..rule() });
    let first = bench.charge();
    bench.succeed(&first);
    debit(&bench.engine, "e1", 600);
    for _ in 0..3 {
        bench.evaluate();
    }
    assert_eq!((bench.charges().len(), bench.count("auto_top_up.skipped")), (0, 1));
    bench.clock.advance(59_999);
    drop(bench.engine.evaluate_due().expect("a healthy engine"));
    assert_eq!(bench.charges(), [""; 0]);
    bench.clock.advance(1);
    drop(bench.engine.evaluate_due().expect("a healthy engine"));
    bench.charge();
}

#[test]
fn one_charge_closes_the_gap_by_package_amount_and_target() {
    let bench = Bench::begin();
    let cash = CurrencySpec { max_balance: None, ..currency("cash", CurrencyKind::Fiat("EUR".to_owned())) };
    drop(bench.engine.put_currency(cash).expect("a currency"));
    let check = |rule: Rule, cents: i64| {
        drop(bench.engine.put_rule(rule).expect("a rule"));
        let id = bench.charge();
        let price = bench.engine.top_up(&id).expect("it is there").top_up.purchase.price;
        assert_eq!(price, Some(euros(cents)));
        bench.decline(&id, true);
    };
    let of_cash = |mode| Rule { currency: CurrencyNumber(1), mode, ..rule() };
    // From zero to 3500: four packages of a thousand.
    check(Rule { threshold: Amount::new(3_500), ..rule() }, 4 * 1_999);
    // A credit is a cent: three times 200.
    check(of_cash(Mode::Amount(euros(200))), 600);
    let bench = Bench::begin();
    let cash = CurrencySpec { max_balance: None, ..currency("cash", CurrencyKind::Fiat("EUR".to_owned())) };
    drop(bench.engine.put_currency(cash).expect("a currency"));
    let target = Mode::Target { target: Amount::new(1_234), package: None };
    drop(bench.engine.put_rule(of_cash(target)).expect("a rule"));
    let id = bench.charge();
    bench.succeed(&id);
    let wallet = bench.engine.wallet("ada", "cash").expect("a wallet");
    assert_eq!(wallet.balance, Amount::new(1_234), "exactly");
    assert_eq!(wallet.grants[0].priority, 50);
}

#[test]
fn a_rules_grants_have_the_priority_and_the_validity_that_it_says() {
    let bench = Bench::begin();
    let spec = PackageSpec { valid_for_ms: Some(DAY), max_per_customer: Some(2), ..package("day", 1_000, 100) };
    drop(bench.engine.put_package(&spec, Some("credits")).expect("a package"));
    let of_day = Mode::Package { package: "day".to_owned(), quantity: 1 };
    bench.put(Rule { mode: of_day.clone(), priority: Some(7), valid_for_ms: Some(2 * DAY), ..rule() });
    let first = bench.charge();
    bench.succeed(&first);
    let now = bench.engine.now();
    let grant = |bench: &Bench, nth: usize| {
        let lot = bench.engine.wallet("ada", "credits").expect("a wallet").grants[nth].clone();
        (lot.priority, lot.expires_at)
    };
    assert_eq!(grant(&bench, 0), (7, Some(now.saturating_add(2 * DAY))));
    // Without its own, the package's.
    bench.put(Rule { mode: of_day, threshold: Amount::new(1_001), ..rule() });
    let second = bench.charge();
    bench.succeed(&second);
    assert_eq!(grant(&bench, 1), (50, Some(now.saturating_add(DAY))));
    // And no more than a customer may have.
    debit(&bench.engine, "e1", 2_000);
    bench.evaluate();
    assert_eq!((bench.charges().len(), bench.count("auto_top_up.skipped")), (0, 1));
    let by_hand = bench.engine.create_top_up(&request("day")).expect_err("two are the most");
    assert!(matches!(by_hand, drawdown::engine::CommandError::Conflict { slug: "package_limit_reached", .. }));
}
