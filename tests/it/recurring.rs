//! Recurring grants: exact to the millisecond with nobody keeping house, none twice and none lost, whatever is cut, reopened or changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::recurring::{RecurringSpec, RecurringState};
use drawdown::engine::view::{EntryKind, GrantState, Metadata, RolloverSpec};
use drawdown::engine::{ApiKeyRecord, Charge, Engine, ManualClock, UsageEvent};
use drawdown::ledger::{Amount, Category, Decimal, Ends, GrantId, Interval, Source, Unit};
use drawdown_wal::sim::{Cut, Disk};
use drawdown_wal::{Archive, Heap, Images, Lsn, Medium};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::books::{BEGIN, at, config};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const SEGMENT_BYTES: u64 = 64 << 10;

fn open_on(medium: Arc<dyn Medium>, clock: &Arc<ManualClock>) -> Engine {
    Engine::open_on(medium, config(SEGMENT_BYTES), clock.clone()).expect("a sound ledger").0
}

fn make_currency(engine: &Engine) -> Result<(), drawdown::engine::CommandError> {
    let spec = CurrencySpec {
        id: "credits".to_owned(),
        name: "Credits".to_owned(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    };
    Ok(engine.put_currency(spec)?.1.wait()?)
}

fn spec(amount: i64, every: u32, unit: Unit, ends: Ends) -> RecurringSpec {
    RecurringSpec {
        customer: "ada".to_owned(),
        id: "plan".to_owned(),
        currency: None,
        amount: Decimal::from_integer(amount),
        source: Source::Plan,
        category: Category::Paid,
        priority: None,
        interval: Interval::new(every, unit).expect("an interval"),
        anchor: None,
        first_now: true,
        ends,
        rollover: None,
        until: None,
        cost_basis: None,
        metadata: Metadata::new(),
    }
}

fn balance(engine: &Engine) -> i64 {
    engine.wallet("ada", "credits").map_or(0, |wallet| wallet.balance.units())
}

fn debit(engine: &Engine, id: &str, amount: i64) -> (bool, i64) {
    let charge = Charge::Amount { currency: None, amount: Ok(Decimal::from_integer(amount)) };
    let event = UsageEvent { id, source: "", customer: "ada", charge, time: None, policy: None };
    let mut outcomes = Vec::new();
    engine.submit(&[event], &mut outcomes).expect("a healthy engine").wait().expect("a healthy log");
    (outcomes[0].entry.is_some(), outcomes[0].balance.units())
}

/// Every occurrence that the wallet's history knows, by version and number, with how often it was made.
fn made(engine: &Engine) -> BTreeMap<u64, (usize, GrantState)> {
    let mut made = BTreeMap::new();
    let (mut before, mut grants) = (None, Vec::new());
    loop {
        let page = engine.entries("ada", "credits", before, 100).expect("a history");
        let of_kind = |kind| matches!(kind, EntryKind::Grant | EntryKind::GrantScheduled);
        grants.extend(page.entries.iter().filter(|entry| of_kind(entry.kind)).filter_map(|entry| entry.grant));
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    grants.sort_unstable();
    grants.dedup();
    for grant in grants {
        let view = engine.grant_view(&engine.grant_text(grant)).expect("a grant");
        if let Some((_, number)) = view.recurrence {
            made.entry(number).or_insert((0, view.state)).0 += 1;
        }
    }
    made
}

#[test]
fn occurrences_take_effect_on_the_path_of_the_debit() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    make_currency(&engine).expect("a currency");
    let (view, ticket) = engine.put_recurring(&spec(30, 1, Unit::Day, Ends::WithNext)).expect("a recurring grant");
    ticket.wait().expect("durable");
    assert_eq!((view.begun, view.next, view.state), (1, Some(at(BEGIN + DAY)), RecurringState::Active));
    assert_eq!(debit(&engine, "1", 10), (true, 20));
    clock.set(at(BEGIN + DAY - 1));
    assert_eq!(debit(&engine, "2", 21), (false, 20));
    clock.set(at(BEGIN + DAY));
    assert_eq!(debit(&engine, "3", 21), (true, 9));
    clock.set(at(BEGIN + 2 * DAY));
    assert_eq!(debit(&engine, "4", 30), (true, 0));
    // Two were made ahead; whoever keeps house makes what comes then.
    engine.tidy();
    clock.set(at(BEGIN + 4 * DAY));
    assert_eq!(balance(&engine), 30);
    let states: Vec<_> = made(&engine).into_iter().collect();
    assert_eq!(states.len(), 5);
    assert!(states.iter().all(|(_, (times, _))| *times == 1), "{states:?}");
}

#[test]
fn what_a_plan_leaves_rolls_over_into_the_next_period() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium.clone(), &clock);
    make_currency(&engine).expect("a currency");
    let half =
        RolloverSpec { fraction: Decimal::parse(b"0.5").ok(), valid_for_ms: Some(DAY), ..RolloverSpec::default() };
    let plan = RecurringSpec { rollover: Some(half), ..spec(30, 1, Unit::Day, Ends::WithNext) };
    engine.put_recurring(&plan).expect("a recurring grant").1.wait().expect("durable");
    assert_eq!(debit(&engine, "1", 9), (true, 21));
    clock.set(at(BEGIN + DAY));
    // 10 of the 21, and the next 30; the old ones are spent first.
    assert_eq!(debit(&engine, "2", 4), (true, 36));
    let grants = engine.grants("ada", None, Some(GrantState::Active), None, 10).expect("a list").grants;
    let held: Vec<_> = grants.iter().map(|grant| (grant.source, grant.remaining.units(), grant.priority)).collect();
    assert_eq!(held, [(Source::Rollover, 6, 5), (Source::Plan, 30, 10)]);
    assert_eq!(grants[0].parent.map(GrantId::rolled_over), Some(grants[0].id));
    let parent = engine.grant_view(&engine.grant_text(grants[0].id.rolled_from())).expect("the plan's first");
    assert_eq!((parent.state, parent.rolled_over), (GrantState::Expired, Some((grants[0].id, Amount::new(10)))));
    clock.set(at(BEGIN + 2 * DAY));
    // What had rolled over is gone; 15 of the second 30, and the third.
    assert_eq!(balance(&engine), 45);
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium, &clock);
    assert_eq!(balance(&engine), 45);
}

#[test]
fn a_long_absence_is_caught_up_at_opening() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium.clone(), &clock);
    make_currency(&engine).expect("a currency");
    engine
        .put_recurring(&spec(5, 1, Unit::Hour, Ends::After(90 * 60_000)))
        .expect("a recurring grant")
        .1
        .wait()
        .expect("durable");
    engine.close().expect("a healthy log");
    drop(engine);
    clock.set(at(BEGIN + 100 * HOUR + 1));
    let engine = open_on(medium, &clock);
    assert_eq!(balance(&engine), 10, "those of the last hour and a half");
    let made = made(&engine);
    assert_eq!(made.keys().copied().collect::<Vec<_>>(), (0..103).collect::<Vec<_>>());
    let state = |number| made[&number].1;
    assert_eq!(
        [state(3), state(98), state(99), state(100), state(101)].map(|state| format!("{state:?}")),
        ["Expired", "Expired", "Active", "Active", "Scheduled"]
    );
    let view = engine.recurring("ada", "plan").expect("it goes on");
    assert_eq!((view.begun, view.next), (101, Some(at(BEGIN + 101 * HOUR))));
    // More than a thousand are not made up for.
    engine.close().expect("a healthy log");
}

#[test]
fn of_more_than_a_thousand_missed_occurrences_the_newest_are_made() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = Engine::open_on(medium, config(4 << 20), clock.clone()).expect("a new ledger").0;
    make_currency(&engine).expect("a currency");
    engine
        .put_recurring(&spec(5, 1, Unit::Hour, Ends::WithNext))
        .expect("a recurring grant")
        .1
        .wait()
        .expect("durable");
    clock.set(at(BEGIN + 3_000 * HOUR));
    engine.tidy();
    let wallet = engine.wallet("ada", "credits").expect("a wallet");
    assert_eq!(wallet.balance.units(), 5);
    let made = made(&engine);
    assert_eq!(made.len(), 1_000 + 3 + 2, "what was made ahead, a thousand missed, and the next two");
    assert!(made.contains_key(&3_000) && made.contains_key(&2_001) && !made.contains_key(&2_000));
}

#[test]
fn a_schedule_ends_when_it_says_so() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let engine = open_on(medium, &clock);
    make_currency(&engine).expect("a currency");
    let until = Some(at(BEGIN + 2 * DAY));
    engine
        .put_recurring(&RecurringSpec { until, ..spec(30, 1, Unit::Day, Ends::Never) })
        .expect("a recurring grant")
        .1
        .wait()
        .expect("durable");
    for day in 0..6 {
        clock.set(at(BEGIN + day * DAY));
        engine.tidy();
        assert_eq!(balance(&engine), 30 * (day.cast_signed() + 1).min(2));
    }
    let view = engine.recurring("ada", "plan").expect("it is there");
    assert_eq!((view.state, view.next, view.begun), (RecurringState::Ended, None, 2));
}

/// A naive calendar: dates by counting days one after the other.
fn instants(anchor: u64, every: u32, unit: Unit, until: u64) -> Vec<u64> {
    let every = u64::from(every);
    let length = match unit {
        Unit::Hour => Some(HOUR),
        Unit::Day => Some(DAY),
        Unit::Week => Some(7 * DAY),
        Unit::Month => None,
    };
    if let Some(length) = length {
        let count = (until + 1).saturating_sub(anchor).div_ceil(every * length);
        return (0..count).map(|number| anchor + number * every * length).collect();
    }
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days_of = |year: u64, month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // Where the month of the anchor begins.
    let (mut year, mut month, mut begin) = (1970, 1, 0);
    while begin + days_of(year, month) * DAY <= anchor {
        begin += days_of(year, month) * DAY;
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    let (day, in_day) = ((anchor - begin) / DAY, anchor % DAY);
    let mut instants = Vec::new();
    loop {
        let instant = begin + day.min(days_of(year, month) - 1) * DAY + in_day;
        if instant > until {
            return instants;
        }
        instants.push(instant);
        for _ in 0..every {
            begin += days_of(year, month) * DAY;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// Time passes, in hundredths of an interval.
    Pause(u64),
    Tidy,
    Reopen,
    Snapshot,
    /// Another amount from now on, with an occurrence at once or not.
    Change(i64, bool),
    Stop,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => prop_oneof![8 => 1..250_u64, 1 => 300..1_500_u64].prop_map(Act::Pause),
        4 => Just(Act::Tidy),
        3 => Just(Act::Reopen),
        2 => Just(Act::Snapshot),
        3 => (1..100_i64, any::<bool>()).prop_map(|(amount, now)| Act::Change(amount, now)),
        1 => Just(Act::Stop),
    ]
}

/// One version as it must be: its occurrences with their ends, and from when to when it stood.
#[derive(Clone, Debug)]
struct Version {
    amount: i64,
    occurrences: Vec<(u64, Option<u64>)>,
    stopped_at: Option<u64>,
}

impl Version {
    fn new(amount: i64, now: u64, first_now: bool, anchor: u64, (every, unit, ends): (u32, Unit, Ends)) -> Version {
        let end = now + 2_000 * 31 * DAY;
        let mut begins: Vec<u64> =
            instants(anchor, every, unit, end).into_iter().filter(|begin| *begin > now).collect();
        if first_now {
            begins.insert(0, now);
        }
        let occurrences = begins.windows(2).map(|pair| {
            let end = match ends {
                Ends::WithNext => Some(pair[1]),
                Ends::Never => None,
                Ends::After(ms) => Some(pair[0] + ms),
            };
            (pair[0], end)
        });
        Version { amount, occurrences: occurrences.collect(), stopped_at: None }
    }

    /// What it has given and what has not ended, at an instant.
    fn balance(&self, now: u64) -> i64 {
        let began = |begin: u64| begin <= now && self.stopped_at.is_none_or(|stopped| begin <= stopped);
        let count =
            self.occurrences.iter().filter(|(begin, end)| began(*begin) && end.is_none_or(|end| now < end)).count();
        self.amount * i64::try_from(count).expect("few")
    }
}

/// Fills what is left of the log's segment.
fn seal_segment(engine: &Engine) {
    let segment = |lsn: Lsn| lsn.get() / SEGMENT_BYTES;
    let before = segment(engine.log().tail());
    while segment(engine.log().durable()) == before {
        let key = ApiKeyRecord {
            id: "filler".to_owned(),
            name: "n".repeat(128),
            live: false,
            scopes: 0,
            hash: [0; 32],
            created_ms: BEGIN,
            revoked: true,
        };
        let tickets: Vec<_> = (0..16).map(|_| engine.put_api_key(key.clone()).expect("a healthy engine")).collect();
        for ticket in tickets {
            ticket.wait().expect("durable");
        }
    }
}

fn tell(kind: (u32, Unit, Ends), offset: i64, acts: &[Act]) {
    let (every, unit, ends) = kind;
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let mut engine = open_on(medium.clone(), &clock);
    make_currency(&engine).expect("a currency");
    let length =
        u64::from(every) * [HOUR, DAY, 7 * DAY, 30 * DAY][Unit::ALL.iter().position(|of| *of == unit).expect("a unit")];
    let anchor = BEGIN.saturating_add_signed(offset);
    let mut now = BEGIN;
    let spec =
        |amount, first_now| RecurringSpec { anchor: Some(at(anchor)), first_now, ..spec(amount, every, unit, ends) };
    engine.put_recurring(&spec(7, true)).expect("a recurring grant").1.wait().expect("durable");
    let mut versions = vec![Version::new(7, now, true, anchor, kind)];
    let mut asked = (7, true);
    // Up to when what was made ahead reaches.
    let mut kept_up = now;
    for act in acts {
        match act {
            Act::Pause(hundredths) => {
                now += (length / 100 * hundredths).max(1);
                clock.set(at(now));
            }
            Act::Tidy => drop(engine.tidy()),
            Act::Reopen => {
                engine.close().expect("a healthy log");
                drop(engine);
                engine = open_on(medium.clone(), &clock);
            }
            Act::Snapshot => {
                seal_segment(&engine);
                engine.snapshot_now().expect("a snapshot").expect("a segment is sealed");
            }
            Act::Change(amount, first_now) => {
                // What was missed before is the old version's.
                let was_stopped = versions.last().is_some_and(|last| last.stopped_at.is_some());
                engine.put_recurring(&spec(*amount, *first_now)).expect("a change").1.wait().expect("durable");
                if was_stopped || asked != (*amount, *first_now) {
                    versions.last_mut().expect("a version").stopped_at.get_or_insert(now);
                    versions.push(Version::new(*amount, now, *first_now, anchor, kind));
                    asked = (*amount, *first_now);
                }
            }
            Act::Stop => {
                engine.stop_recurring("ada", "plan").expect("it is there").1.wait().expect("durable");
                versions.last_mut().expect("a version").stopped_at.get_or_insert(now);
            }
        }
        if !matches!(act, Act::Pause(_) | Act::Snapshot) {
            kept_up = now;
        }
        let last = versions.last().expect("a version");
        let ahead =
            last.occurrences.iter().filter(|(begin, _)| *begin > kept_up).nth(1).map_or(u64::MAX, |(begin, _)| *begin);
        let next = last.occurrences.iter().map(|(begin, _)| *begin).find(|begin| *begin > ahead).unwrap_or(u64::MAX);
        if now < next {
            let expected: i64 = versions.iter().map(|version| version.balance(now)).sum();
            assert_eq!(balance(&engine), expected, "{act:?} at {}", now - BEGIN);
        }
    }
    engine.tidy();
    let expected: i64 = versions.iter().map(|version| version.balance(now)).sum();
    assert_eq!(balance(&engine), expected);
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let engine = open_on(medium, &clock);
    assert_eq!((engine.digest(), balance(&engine)), (digest, expected));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn recurring_grants_agree_with_a_naive_calendar(
        every in 1..4_u32,
        unit in proptest::sample::select(Unit::ALL.to_vec()),
        ends in prop_oneof![Just(Ends::WithNext), Just(Ends::Never), (1..100_u64).prop_map(|hours| Ends::After(hours * HOUR))],
        offset in -400..400_i64,
        acts in vec(any_act(), 1..14),
    ) {
        tell((every, unit, ends), offset * 7 * 3_600_000, &acts);
    }
}

/// Makes, changes and stops a recurring grant, time passing in between; what was acknowledged, up to the failure of the disk.
fn work(engine: &Engine, clock: &ManualClock) -> usize {
    let steps: [&dyn Fn() -> Result<(), drawdown::engine::CommandError>; 6] = [
        &|| make_currency(engine),
        &|| Ok(engine.put_recurring(&spec(7, 1, Unit::Day, Ends::Never))?.1.wait()?),
        &|| {
            clock.set(at(BEGIN + 2 * DAY));
            engine.tidy();
            Ok(engine.barrier().wait()?)
        },
        &|| {
            Ok(engine
                .put_recurring(&RecurringSpec { first_now: false, ..spec(9, 1, Unit::Day, Ends::Never) })?
                .1
                .wait()?)
        },
        &|| {
            clock.set(at(BEGIN + 3 * DAY));
            engine.tidy();
            Ok(engine.barrier().wait()?)
        },
        &|| Ok(engine.stop_recurring("ada", "plan")?.1.wait()?),
    ];
    steps.iter().take_while(|step| step().is_ok()).count()
}

#[test]
fn a_power_cut_at_any_sync_doubles_no_occurrence_and_loses_none() {
    for cut in [Cut::Before, Cut::During, Cut::After] {
        for sync in 1..200 {
            let (disk, clock) = (Disk::new(), Arc::new(ManualClock::new(at(BEGIN))));
            disk.cut_power_at(sync, cut, sync);
            let opened = Engine::open_on(disk.medium(), config(SEGMENT_BYTES), clock.clone());
            let done = opened.map_or(0, |(engine, _)| work(&engine, &clock));
            let Some(left) = disk.left() else { break };
            check_left(&left, &clock, done);
        }
    }
}

fn check_left(left: &Disk, clock: &Arc<ManualClock>, done: usize) {
    let Ok((engine, _)) = Engine::open_on(left.medium(), config(SEGMENT_BYTES), clock.clone()) else {
        assert_eq!(done, 0, "a ledger that somebody was answered by can be opened");
        return;
    };
    // Opening has made up for what the cut kept from being made.
    let plain = balance(&engine);
    engine.tidy();
    assert_eq!(balance(&engine), plain);
    let now = engine.now().millis();
    let days = i64::try_from((now - BEGIN) / DAY).expect("few");
    let Ok(view) = engine.recurring("ada", "plan") else {
        assert!(done < 2, "it was acknowledged");
        return;
    };
    // 7 at once and each day up to the change on the second, then 9 on the third unless it was stopped before it came.
    let expected = match (view.record.version, view.record.stopped) {
        (1, _) => vec![7 * (days + 1)],
        (2, _) => vec![7 * 3 + 9 * (days - 2)],
        _ => vec![7 * 3 + 9],
    };
    assert!(expected.contains(&plain), "{plain} after {done} steps and {days} days: {:?}", view.record);
    let scheduled = engine.grants("ada", None, Some(GrantState::Scheduled), None, 100).expect("a list").grants;
    assert_eq!(scheduled.len(), if view.record.stopped { 0 } else { 2 });
    let amount = view.record.amount;
    assert!(scheduled.iter().all(|grant| grant.amount == amount), "the old version's are taken back");
    engine.close().expect("a healthy log");
    drop(engine);
    let images = Images { segments: left.images(), chain: None };
    let verdict = drawdown::verify::verify(&Archive::of_images(images), &|_| ()).expect("images can be read");
    assert_eq!(verdict.problems, []);
}
