//! Default levels, commitments, intervals and runways on an engine whose clock a test holds: what is told and when, and that a restart, from
//! the log or from a snapshot, changes nothing about it.

use std::sync::Arc;

use drawdown::engine::view::{AlertSpec, AlertsOf, FeedEvent, FeedValue, WalletPatch, WalletView};
use drawdown::engine::{
    Charge, CommandError, CommitmentSpec, CommitmentsSpec, Engine, EngineConfig, ManualClock, RunwayWatch, UsageEvent,
};
use drawdown::ledger::{Amount, Decimal, Percent, Status, Watches};
use drawdown_wal::Lsn;
use drawdown_wal::sim::Disk;

use crate::books::{BEGIN, at, clock, config, set_up};
use crate::snapshots::seal;

const CURRENCY: &str = "tokens";
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// An engine that can be closed and opened again.
struct Bench {
    disk: Disk,
    clock: Arc<ManualClock>,
    config: EngineConfig,
    engine: Option<Engine>,
    events: u64,
    /// The feed has been read up to here.
    read: Lsn,
}

impl Bench {
    fn new() -> Bench {
        let (disk, clock, config) = (Disk::new(), clock(), config(64 << 10));
        let (engine, _) = Engine::open_on(disk.medium(), config.clone(), clock.clone()).expect("an empty disk opens");
        set_up(&engine).expect("currencies and meters");
        Bench { disk, clock, config, engine: Some(engine), events: 0, read: Lsn::ZERO }
    }

    /// Closes the engine and opens it again; from a snapshot, if one is made before.
    fn reopen(&mut self, snapshot: bool) {
        if snapshot {
            seal(self.engine());
            self.engine().snapshot_now().expect("a snapshot").expect("something to make it of");
        }
        self.engine().barrier().wait().expect("a healthy log");
        let digest = self.engine().digest();
        self.engine().close().expect("a healthy log");
        self.engine = None;
        let opened = Engine::open_on(self.disk.medium(), self.config.clone(), self.clock.clone());
        let (engine, report) = opened.expect("what was written can be read");
        assert_eq!(report.snapshot > Lsn::ZERO, snapshot || report.snapshot > Lsn::ZERO);
        assert_eq!(engine.digest(), digest, "opening again changes the ledger");
        self.engine = Some(engine);
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("open")
    }

    fn grant(&self, customer: &str, units: i64) {
        let request = crate::books::plain_grant(customer, CURRENCY, units);
        let (outcomes, ticket) = self.engine().grant(&[request]).expect("room");
        outcomes[0].result.as_ref().expect("a grant");
        ticket.wait().expect("durable");
    }

    /// Debits a wallet; names of the levels that the answer says were crossed.
    fn debit(&mut self, customer: &str, units: i64) -> Vec<String> {
        self.events += 1;
        let id = format!("evt-{}", self.events);
        let event = UsageEvent {
            id: &id,
            source: "",
            customer,
            charge: Charge::Amount { currency: Some(CURRENCY), amount: Ok(Decimal::from_integer(units)) },
            time: None,
            policy: None,
        };
        let mut outcomes = Vec::new();
        self.engine().submit(&[event], &mut outcomes).expect("room").wait().expect("durable");
        assert!(outcomes[0].entry.is_some(), "{outcomes:?}");
        outcomes[0].crossed.iter().map(ToString::to_string).collect()
    }

    fn wallet(&self, customer: &str) -> WalletView {
        self.engine().wallet(customer, CURRENCY).expect("a wallet")
    }

    fn set(&self, customer: &str, levels: &[AlertSpec]) {
        self.engine().set_alerts(customer, CURRENCY, levels).expect("levels").1.wait().expect("durable");
    }

    /// What the feed has told since it was last asked, of events whose type begins so: the type, and the level if there is one.
    fn told(&mut self, kinds: &str) -> Vec<String> {
        let told = |event: &FeedEvent| match event.data.iter().find(|(name, _)| *name == "level") {
            Some((_, FeedValue::Text(level))) => format!("{} {level}", event.kind),
            _ => event.kind.to_owned(),
        };
        self.events().iter().filter(|event| event.kind.starts_with(kinds)).map(told).collect()
    }

    fn events(&mut self) -> Vec<FeedEvent> {
        self.engine().barrier().wait().expect("a healthy log");
        let mut events = Vec::new();
        loop {
            let page = self.engine().feed(self.read, 100, None).expect("a readable log");
            self.read = page.next;
            events.extend(page.events);
            if page.at_end {
                return events;
            }
        }
    }
}

fn below(name: &str, units: i64) -> AlertSpec {
    AlertSpec { name: name.to_owned(), amount: Decimal::from_integer(units), ..AlertSpec::default() }
}

fn states(view: &WalletView) -> Vec<(&str, i64, bool)> {
    view.alerts.iter().map(|alert| (alert.name.as_str(), alert.amount.units(), alert.triggered)).collect()
}

#[test]
fn wallets_made_after_defaults_were_set_have_them_from_their_first_grant_on() {
    let mut bench = Bench::new();
    let (defaults, _) = bench.engine().set_default_alerts(CURRENCY, &[below("low", 10)], false).expect("defaults");
    assert_eq!((defaults.version, defaults.spreading), (1, false));
    bench.grant("new", 30);
    let view = bench.wallet("new");
    assert_eq!((view.alerts_of, states(&view)), (AlertsOf::Currency(1), vec![("low", 10, false)]));
    assert_eq!(bench.told("balance."), [""; 0], "the first grant is no recovery");
    assert_eq!(bench.debit("new", 21), ["low"]);
    assert_eq!(bench.told("balance."), ["balance.low low"]);
    // In another currency nothing was set.
    bench.engine().grant(&[crate::books::plain_grant("new", "credits", 5)]).expect("room").1.wait().expect("durable");
    assert_eq!(bench.engine().wallet("new", "credits").expect("a wallet").alerts_of, AlertsOf::Currency(0));
}

#[test]
fn wallets_that_there_are_get_defaults_before_their_terms_change_next() {
    let mut bench = Bench::new();
    bench.grant("old", 30);
    bench
        .engine()
        .set_default_alerts(CURRENCY, &[below("low", 20)], false)
        .expect("defaults")
        .1
        .wait()
        .expect("durable");
    bench.debit("old", 1);
    bench.engine().tidy();
    assert_eq!(bench.wallet("old").alerts, [], "a debit is no change of terms, and the background carries nothing");
    // The change that brings the levels can cross them.
    let lapse = at(BEGIN + 5);
    let mut lapsing = crate::books::plain_grant("old", CURRENCY, 40);
    lapsing.expires_at = Some(lapse);
    bench.engine().grant(&[lapsing]).expect("room").1.wait().expect("durable");
    assert_eq!(states(&bench.wallet("old")), [("low", 20, false)]);
    bench
        .engine()
        .set_default_alerts(CURRENCY, &[below("low", 20), below("lower", 35)], false)
        .expect("defaults")
        .1
        .wait()
        .expect("durable");
    bench.clock.set(lapse);
    bench.engine().tidy();
    assert_eq!(states(&bench.wallet("old")), [("low", 20, false), ("lower", 35, true)]);
    assert_eq!(bench.told("balance."), ["balance.low lower"]);
    assert_eq!(bench.wallet("old").alerts_of, AlertsOf::Currency(2));
    bench.reopen(false);
    assert_eq!(states(&bench.wallet("old")), [("low", 20, false), ("lower", 35, true)]);
}

#[test]
fn defaults_that_apply_at_once_are_carried_to_all_wallets_but_those_with_their_own() {
    let mut bench = Bench::new();
    for number in 0..40 {
        bench.grant(&format!("c{number}"), 30);
    }
    bench.set("c1", &[below("mine", 5)]);
    bench.set("c2", &[]);
    let patch = WalletPatch { status: Some(Status::Closed), ..WalletPatch::default() };
    bench.engine().change_wallet("c3", CURRENCY, &patch).expect("closed").1.wait().expect("durable");
    let (defaults, _) = bench.engine().set_default_alerts(CURRENCY, &[below("low", 10)], true).expect("defaults");
    assert!(defaults.spreading);
    bench.reopen(false);
    assert!(bench.engine().tidy(), "what was not carried yet is after a restart");
    let check = |bench: &Bench, inherited: AlertsOf, levels: usize| {
        for number in 0..40 {
            let view = bench.wallet(&format!("c{number}"));
            let expected = match number {
                1 => (AlertsOf::Wallet, 1),
                2 => (AlertsOf::Wallet, 0),
                3 => (AlertsOf::Currency(0), 0),
                _ => (inherited, levels),
            };
            assert_eq!((view.alerts_of, view.alerts.len()), expected, "c{number}");
        }
    };
    check(&bench, AlertsOf::Currency(1), 1);
    assert!(!bench.engine().default_alerts(CURRENCY).expect("defaults").spreading);
    for snapshot in [false, true] {
        bench.reopen(snapshot);
        check(&bench, AlertsOf::Currency(1), 1);
        let before = bench.engine().log().tail();
        bench.engine().tidy();
        assert_eq!(bench.engine().log().tail(), before, "nothing is carried twice");
    }
    // Wallets whose own levels are taken away follow at once; defaults that are taken away leave none.
    bench.engine().clear_alerts("c1", CURRENCY).expect("cleared").1.wait().expect("durable");
    assert_eq!(bench.wallet("c1").alerts_of, AlertsOf::Currency(1));
    bench.set("c1", &[below("mine", 5)]);
    bench.engine().set_default_alerts(CURRENCY, &[], true).expect("none").1.wait().expect("durable");
    bench.engine().tidy();
    check(&bench, AlertsOf::Currency(0), 0);
    assert_eq!(bench.told("credit_currency."), ["credit_currency.alerts_updated"; 2]);
}

#[test]
fn the_scale_of_a_currency_is_used_by_its_default_levels() {
    let bench = Bench::new();
    bench
        .engine()
        .set_default_alerts(CURRENCY, &[below("low", 10)], false)
        .expect("defaults")
        .1
        .wait()
        .expect("durable");
    let mut spec = crate::books::currency_spec(CURRENCY);
    spec.scale += 1;
    let refused = bench.engine().put_currency(spec).expect_err("levels have that scale");
    assert!(
        matches!(refused, CommandError::FieldConflict { slug: "currency_in_use", field: "scale", .. }),
        "{refused:?}"
    );
}

#[test]
fn commitments_lower_what_is_projected_until_they_are_due_and_survive() {
    let mut bench = Bench::new();
    bench.grant("ada", 100);
    let item = |name: &str, units, due_at: Option<u64>| CommitmentSpec {
        name: name.to_owned(),
        amount: Decimal::from_integer(units),
        due_at: due_at.map(at),
    };
    let watch = AlertSpec { watches: Watches::Projected, ..below("short", 35) };
    bench.set("ada", &[watch]);
    let period = Some((at(BEGIN - HOUR), at(BEGIN + 3 * HOUR)));
    let items = vec![item("rent", 30, None), item("batch", 30, Some(BEGIN + HOUR)), item("past", 5, Some(BEGIN))];
    let spec = CommitmentsSpec { items, period };
    let (view, ticket) = bench.engine().set_commitments("ada", CURRENCY, &spec).expect("commitments");
    ticket.wait().expect("durable");
    assert_eq!((view.committed.units(), view.projected.units()), (60, 40));
    assert_eq!(view.items.iter().map(|item| item.counts).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(bench.debit("ada", 5), [""; 0]);
    assert_eq!(bench.debit("ada", 1), ["short"]);
    for snapshot in [false, true] {
        bench.reopen(snapshot);
        let view = bench.engine().commitments("ada", CURRENCY).expect("commitments");
        assert_eq!((view.items.len(), view.period, view.projected.units()), (3, period, 34));
        assert_eq!(bench.wallet("ada").available, Amount::new(94), "what is committed is available still");
    }
    assert_eq!(bench.told("balance."), ["balance.low short"]);
    // What was to be used is said to have been: what is projected rises, and the level recovers.
    bench.clock.set(at(BEGIN + HOUR - 1));
    assert_eq!(bench.wallet("ada").projected, Amount::new(34));
    bench.clock.set(at(BEGIN + HOUR));
    assert_eq!(bench.wallet("ada").projected, Amount::new(64));
    bench.engine().tidy();
    assert_eq!(bench.told("balance."), ["balance.recovered short"]);
    let totals = bench.engine().balances(None, Some(CURRENCY));
    assert_eq!((totals[0].available, totals[0].projected), (94, 64));
    // The period ends, and with it all that was of it.
    bench.clock.set(at(BEGIN + 3 * HOUR));
    assert_eq!(bench.wallet("ada").projected, Amount::new(94));
    bench.reopen(true);
    let none = CommitmentsSpec::default();
    let (view, _) = bench.engine().set_commitments("ada", CURRENCY, &none).expect("none");
    assert_eq!((view.items.len(), view.committed), (0, Amount::ZERO));
}

#[test]
fn commitments_are_of_the_present_period() {
    let bench = Bench::new();
    bench.grant("ada", 100);
    let refused = |period, field| {
        let spec = CommitmentsSpec { items: Vec::new(), period: Some(period) };
        match bench.engine().set_commitments("ada", CURRENCY, &spec) {
            Err(CommandError::Invalid { field: refused, .. }) => assert_eq!(refused, field),
            other => panic!("{other:?}"),
        }
    };
    refused((at(BEGIN + 1), at(BEGIN + 2)), "period");
    refused((at(BEGIN - 2), at(BEGIN)), "period");
    refused((at(BEGIN + 1), at(BEGIN + 1)), "period");
    let many = CommitmentSpec { name: "n".to_owned(), amount: Decimal::from_integer(i64::MAX - 1), due_at: None };
    let spec = CommitmentsSpec { items: vec![many.clone(), many], period: None };
    let refused = bench.engine().set_commitments("ada", CURRENCY, &spec).map(|_| ());
    assert!(matches!(refused, Err(CommandError::Rejected(_))), "{refused:?}");
    assert_eq!(bench.engine().commitments("ada", CURRENCY).expect("a wallet").items, []);
}

#[test]
fn a_share_of_what_was_granted_moves_with_grants_and_not_with_debits() {
    let mut bench = Bench::new();
    let share = AlertSpec { percent: Percent::from_millionths(20_000_000), ..below("fifth", 0) };
    bench.grant("ada", 100);
    bench.set("ada", &[share]);
    assert_eq!(states(&bench.wallet("ada")), [("fifth", 20, false)]);
    bench.grant("ada", 101);
    assert_eq!(states(&bench.wallet("ada")), [("fifth", 41, false)]);
    // The first grant is used up on the way, which moves nothing.
    assert_eq!(bench.debit("ada", 160), [""; 0]);
    assert_eq!(bench.debit("ada", 1), ["fifth"]);
    assert_eq!(states(&bench.wallet("ada")), [("fifth", 41, true)]);
    for snapshot in [false, true] {
        bench.reopen(snapshot);
        assert_eq!(states(&bench.wallet("ada")), [("fifth", 41, true)]);
    }
    // Of what is there now: 101 granted and 40 left of it, and 50 more.
    bench.grant("ada", 50);
    assert_eq!(states(&bench.wallet("ada")), [("fifth", 31, false)]);
    assert_eq!(bench.told("balance."), ["balance.low fifth", "balance.recovered fifth"]);
}

#[test]
fn a_low_that_was_held_back_is_told_when_its_interval_is_over_and_after_a_restart_too() {
    let mut bench = Bench::new();
    bench.grant("ada", 12);
    let slow = AlertSpec { min_interval_ms: HOUR, ..below("low", 10) };
    bench.set("ada", &[slow]);
    assert_eq!(bench.debit("ada", 3), ["low"]);
    bench.grant("ada", 5);
    assert_eq!(bench.told("balance."), ["balance.low low", "balance.recovered low"]);
    bench.clock.set(at(BEGIN + MINUTE));
    assert_eq!(bench.debit("ada", 5), ["low"], "the answer says what was crossed");
    let muted = |bench: &Bench| {
        bench.wallet("ada").alerts.iter().map(|alert| (alert.triggered, alert.muted)).collect::<Vec<_>>()
    };
    assert_eq!(muted(&bench), [(true, true)]);
    for snapshot in [true, false] {
        bench.reopen(snapshot);
        bench.clock.set(at(BEGIN + HOUR - 1));
        bench.engine().tidy();
        assert_eq!((muted(&bench), bench.told("balance.")), (vec![(true, true)], vec![]));
    }
    bench.clock.set(at(BEGIN + HOUR));
    bench.engine().tidy();
    assert_eq!((muted(&bench), bench.told("balance.")), (vec![(true, false)], vec!["balance.low low".to_owned()]));
}

const WATCH: RunwayWatch =
    RunwayWatch { minutes: 60, margin_minutes: 30, min_interval_ms: HOUR, half_life_ms: 10 * MINUTE };

/// A wallet that is watched, and a unit used every second for a while: 60 a minute.
fn burning(bench: &mut Bench, units: i64) {
    bench.grant("ada", units);
    bench.engine().set_runway("ada", CURRENCY, Some(WATCH)).expect("a watch").1.wait().expect("durable");
    burn(bench, 5, 60);
}

/// So many minutes at so many units a minute, in two debits each.
fn burn(bench: &mut Bench, minutes: u64, units: i64) {
    for _ in 0..2 * minutes {
        bench.clock.advance(MINUTE / 2);
        bench.debit("ada", units / 2);
        bench.engine().follow_runways();
    }
}

#[test]
fn a_runway_is_told_once_when_it_is_short_and_once_when_it_is_long_again() {
    let mut bench = Bench::new();
    // In another wallet as much is used, and nobody asked.
    bench.grant("bob", 390);
    burning(&mut bench, 390);
    assert_eq!(bench.debit("bob", 380), [""; 0]);
    let runway = bench.wallet("ada").runway.expect("a watch");
    assert!(runway.burn_per_hour.abs_diff(3_600) < 200, "{runway:?}");
    assert_eq!((runway.minutes, runway.low), (Some(1), true));
    assert_eq!(bench.wallet("bob").runway, None);
    assert_eq!(bench.told("balance.runway"), ["balance.runway_low"]);
    burn(&mut bench, 1, 60);
    bench.engine().follow_runways();
    assert_eq!(bench.told("balance.runway"), [""; 0]);
    // More credits, which at this rate are used within minutes.
    bench.engine().grant(&[crate::books::plain_grant("ada", CURRENCY, 300)]).expect("room").1.wait().expect("durable");
    bench.engine().follow_runways();
    assert_eq!(bench.told("balance.runway"), [""; 0]);
    // What is used no more lasts longer and longer.
    bench.clock.advance(HOUR);
    bench.engine().follow_runways();
    let events = bench.events();
    let told: Vec<_> = events.iter().filter(|event| event.kind == "balance.runway_recovered").collect();
    let [recovered] = told[..] else { panic!("{events:?}") };
    assert_eq!(recovered.customer.as_deref(), Some("ada"));
    assert!(recovered.data.contains(&("available", FeedValue::Text("330".to_owned()))), "{recovered:?}");
}

#[test]
fn low_runways_lie_an_interval_apart_and_are_not_forgotten() {
    let mut bench = Bench::new();
    burning(&mut bench, 310);
    assert_eq!(bench.told("balance.runway"), ["balance.runway_low"]);
    let many = crate::books::plain_grant("ada", CURRENCY, 390);
    bench.engine().grant(std::slice::from_ref(&many)).expect("room").1.wait().expect("durable");
    bench.clock.advance(50 * MINUTE);
    bench.engine().follow_runways();
    assert_eq!(bench.told("balance.runway"), ["balance.runway_recovered"]);
    // Five minutes of heavy use, within the hour of the first alert: seen, and told when the hour is over.
    burn(&mut bench, 2, 180);
    assert_eq!(bench.told("balance.runway"), [""; 0]);
    bench.reopen(false);
    burn(&mut bench, 7, 4);
    assert_eq!(bench.told("balance.runway"), ["balance.runway_low"]);
}

#[test]
fn watches_their_estimates_and_what_was_told_survive() {
    let mut bench = Bench::new();
    burning(&mut bench, 390);
    assert_eq!(bench.told("balance.runway"), ["balance.runway_low"]);
    let before = bench.wallet("ada").runway.expect("a watch");
    for snapshot in [false, true, false] {
        bench.reopen(snapshot);
        bench.engine().follow_runways();
        let after = bench.wallet("ada").runway.expect("a watch");
        assert_eq!(after, before, "counted once, whatever was noted");
    }
    // More than a minute later estimates are noted; a start goes on from there.
    burn(&mut bench, 1, 20);
    let before = bench.wallet("ada").runway.expect("a watch");
    for snapshot in [true, false] {
        bench.reopen(snapshot);
        bench.engine().follow_runways();
        assert_eq!(bench.wallet("ada").runway.expect("a watch"), before);
    }
    assert_eq!(bench.told("balance.runway"), [""; 0]);
    bench.engine().clear_alerts("ada", CURRENCY).expect("cleared").1.wait().expect("durable");
    assert_eq!(bench.wallet("ada").runway, None);
    bench.reopen(true);
    assert_eq!(bench.wallet("ada").runway, None);
}

#[test]
fn a_watch_that_makes_no_sense_is_refused_by_the_field() {
    let bench = Bench::new();
    bench.grant("ada", 1);
    for (watch, field) in [
        (RunwayWatch { minutes: 0, ..WATCH }, "minutes"),
        (RunwayWatch { margin_minutes: u32::MAX, ..WATCH }, "margin_minutes"),
        (RunwayWatch { min_interval_ms: u64::MAX, ..WATCH }, "min_interval_seconds"),
        (RunwayWatch { half_life_ms: 59_999, ..WATCH }, "half_life_minutes"),
    ] {
        match bench.engine().set_runway("ada", CURRENCY, Some(watch)) {
            Err(CommandError::Invalid { field: refused, .. }) => assert_eq!(refused, field),
            other => panic!("{other:?}"),
        }
    }
}
