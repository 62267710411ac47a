//! Many threads on few wallets: credits are conserved to the last unit, nobody goes below a floor save by overdraft, every level fires
//! once a crossing, everything happens once, and the ledger is the same after closing, dropping and copying it away.
//!
//! Nothing here depends on who comes first; all is checked when the threads are done. `DRAWDOWN_STRESS_ROUNDS` asks for longer runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::view::{
    AlertSpec, CommandError, Entry, EntryKind, FeedEvent, FeedValue, GrantOptions, GrantRequest, Metadata, WalletPatch,
};
use drawdown::engine::{Charge, Engine, EngineConfig, EventOutcome, EventStatus, ManualClock, UsageEvent};
use drawdown::journal::{Record, records};
use drawdown::ledger::{Category, Decimal, Movement, Policy, Rejection, Source, Status, Trigger};
use drawdown_wal::sim::Random;
use drawdown_wal::{Heap, Lsn, Options};

use crate::books::{BEGIN, at};

const THREADS: usize = 6;
/// The last one is never overdrawn, and has a floor of its own.
const WALLETS: [&str; 3] = ["hot", "warm", "strict"];
const STRICT: usize = 2;
const STRICT_FLOOR: i64 = -50;
const CURRENCY: &str = "credits";
/// Amount and margin of each wallet's levels.
const LEVELS: [(i64, i64); 4] = [(400, 0), (150, 30), (40, 5), (-20, 0)];

fn rounds() -> usize {
    std::env::var("DRAWDOWN_STRESS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(90)
}

fn config() -> EngineConfig {
    let log = Options { manual: false, max_unsynced_bytes: 2 << 20, ..Options::tiny(1 << 20) };
    // Small tables, so that they grow under their users' hands.
    EngineConfig { log, expected_events: 64, expected_wallets: 4, replay_workers: 2, ..EngineConfig::default() }
}

/// An event as it is sent, by whichever thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Sent {
    id: String,
    wallet: usize,
    units: i64,
    policy: u8,
}

impl Sent {
    /// The same for all who are given the same number.
    fn of(id: String, random: &mut Random) -> Sent {
        let wallet = [0, 0, 0, 1, 1, STRICT][random.below(6) as usize];
        let policy = if wallet == STRICT { random.below(2) } else { random.below(8).min(3) % 3 };
        Sent { id, wallet, units: 1 + random.below(19).cast_signed(), policy: policy as u8 }
    }

    fn policy(&self) -> Policy {
        [Policy::Reject, Policy::Partial, Policy::Overdraft][usize::from(self.policy)]
    }

    fn event(&self) -> UsageEvent<'_> {
        let charge = Charge::Amount { currency: Some(CURRENCY), amount: Ok(Decimal::from_integer(self.units)) };
        UsageEvent {
            id: &self.id,
            source: "stress",
            customer: WALLETS[self.wallet],
            charge,
            time: None,
            policy: Some(self.policy()),
        }
    }
}

fn grant(wallet: usize, units: i64, key: Option<String>, expires_at: Option<u64>) -> GrantRequest {
    GrantRequest {
        customer: WALLETS[wallet].to_owned(),
        currency: None,
        amount: Decimal::from_integer(units),
        source: Source::TopUp,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: expires_at.map(at),
        cost_basis: None,
        key,
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    }
}

fn set_up(engine: &Engine) {
    let spec = CurrencySpec {
        id: CURRENCY.to_owned(),
        name: String::new(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    };
    engine.put_currency(spec).expect("a currency").1.wait().expect("durable");
    for (wallet, customer) in WALLETS.iter().enumerate() {
        engine.grant(&[grant(wallet, 600, None, None)]).expect("a healthy engine").1.wait().expect("durable");
        set_alerts(engine, customer);
    }
    let patch = WalletPatch { floor: Some(Decimal::from_integer(STRICT_FLOOR)), ..WalletPatch::default() };
    engine.change_wallet(WALLETS[STRICT], CURRENCY, &patch).expect("a floor").1.wait().expect("durable");
}

/// Levels that are set again as they are keep their states.
fn set_alerts(engine: &Engine, customer: &str) {
    let level = |(amount, margin): &(i64, i64)| AlertSpec {
        name: format!("at-{amount}"),
        amount: Decimal::from_integer(*amount),
        trigger: if amount % 100 == 0 { Trigger::AtOrBelow } else { Trigger::Below },
        margin: Decimal::from_integer(*margin),
        ..AlertSpec::default()
    };
    let levels: Vec<_> = LEVELS.iter().map(level).collect();
    engine.set_alerts(customer, CURRENCY, &levels).expect("levels").1.wait().expect("durable");
}

/// What the threads were answered.
#[derive(Default)]
struct Answers {
    events: BTreeMap<Sent, Vec<EventOutcome>>,
    /// Key -> (grant, replayed).
    keyed: BTreeMap<String, Vec<(u64, bool)>>,
    granted: BTreeMap<u64, i64>,
}

/// One thread's part. Its neighbour of the same pair sends the same shared events and keys.
fn run(engine: &Engine, clock: &ManualClock, thread: usize, rounds: usize, made: &Mutex<Vec<String>>) -> Answers {
    let mut random = Random::new(thread as u64);
    let mut answers = Answers::default();
    let mut outcomes = Vec::new();
    for round in 0..rounds {
        match random.below(20) {
            0..13 => {
                let mut batch: Vec<_> = (0..random.below(6))
                    .map(|place| Sent::of(format!("{thread}-{round}-{place}"), &mut random))
                    .collect();
                // The whole pair sends this one in the same round, and everybody another.
                batch.push(Sent::of(
                    format!("pair-{}-{round}", thread / 2),
                    &mut Random::new((thread / 2 * 10_000 + round) as u64),
                ));
                batch.insert(0, Sent::of(format!("all-{round}"), &mut Random::new(round as u64)));
                if random.below(4) == 0 {
                    batch.push(batch[random.below(batch.len() as u64) as usize].clone());
                }
                let events: Vec<_> = batch.iter().map(Sent::event).collect();
                let ticket = engine.submit(&events, &mut outcomes).expect("a log with room");
                ticket.wait().expect("a healthy log");
                for (sent, outcome) in batch.into_iter().zip(outcomes.drain(..)) {
                    answers.events.entry(sent).or_default().push(outcome);
                }
            }
            13..16 => {
                let (wallet, units) = (random.below(3) as usize, 10 + random.below(60).cast_signed());
                let lasts = (random.below(2) == 0).then(|| engine.now().millis() + 1 + random.below(30));
                make_grant(engine, &grant(wallet, units, None, lasts), units, &mut answers, made);
            }
            16 => {
                let number = random.below(rounds as u64);
                let units = 30 + number.cast_signed() % 50;
                let key = Some(format!("key-{number}"));
                make_grant(engine, &grant(number as usize % 3, units, key, None), units, &mut answers, made);
            }
            17 => {
                let text = {
                    let made = made.lock().expect("no thread has failed");
                    made.get(random.below(made.len().max(1) as u64) as usize).cloned()
                };
                if let Some(text) = text {
                    let (grant, ticket) = engine.void_grant(&text).expect("a grant that was made");
                    ticket.wait().expect("a healthy log");
                    assert_eq!(grant.remaining.units(), 0);
                }
            }
            18 => match random.below(3) {
                0 => set_alerts(engine, WALLETS[0]),
                step => {
                    let status = if step == 1 { Status::Frozen } else { Status::Active };
                    let patch = WalletPatch { status: Some(status), ..WalletPatch::default() };
                    engine.change_wallet(WALLETS[1], CURRENCY, &patch).expect("a status").1.wait().expect("durable");
                }
            },
            _ => clock.advance(random.below(12)),
        }
        if round % 16 == 0 {
            // Readers see what there is, at any time.
            let view = engine.wallet(WALLETS[STRICT], CURRENCY).expect("the wallet");
            assert!(view.balance.units() >= STRICT_FLOOR);
            engine.entries(WALLETS[0], CURRENCY, None, 50).expect("a readable history");
        }
    }
    answers
}

fn make_grant(engine: &Engine, request: &GrantRequest, units: i64, answers: &mut Answers, made: &Mutex<Vec<String>>) {
    let (mut outcomes, ticket) = engine.grant(std::slice::from_ref(request)).expect("a log with room");
    ticket.wait().expect("a healthy log");
    let outcome = outcomes.pop().expect("one outcome");
    match outcome.result {
        Ok(view) => {
            answers.granted.insert(view.id.get(), units);
            made.lock().expect("no thread has failed").push(engine.grant_text(view.id));
            if let Some(key) = &request.key {
                answers.keyed.entry(key.clone()).or_default().push((view.id.get(), outcome.replayed));
            }
        }
        // The clock went on meanwhile.
        Err(CommandError::Rejected(Rejection::ExpiryInPast | Rejection::ExpiryBeforeEffective)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Lets the threads go at once, and gathers what they were answered.
fn race(engine: &Engine, clock: &ManualClock) -> Answers {
    set_up(engine);
    let (rounds, made) = (rounds(), Mutex::new(Vec::new()));
    let all: Vec<Answers> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let made = &made;
                    move || run(engine, clock, thread, rounds, made)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread's part")).collect()
    });
    let mut answers = Answers::default();
    for part in all {
        for (sent, outcomes) in part.events {
            answers.events.entry(sent).or_default().extend(outcomes);
        }
        for (key, grants) in part.keyed {
            answers.keyed.entry(key).or_default().extend(grants);
        }
        answers.granted.extend(part.granted);
    }
    answers
}

/// What stays of an outcome when it is told again.
fn essence(outcome: &EventOutcome) -> impl PartialEq + std::fmt::Debug + use<> {
    (outcome.amount, outcome.shortfall, outcome.balance, outcome.available, outcome.crossed.clone())
}

/// Each event was applied once, and everybody else was told the same.
fn applied_once(answers: &Answers) -> BTreeMap<&Sent, &EventOutcome> {
    let mut applied = BTreeMap::new();
    for (sent, outcomes) in &answers.events {
        let firsts: Vec<_> = outcomes.iter().filter(|outcome| outcome.status == EventStatus::Applied).collect();
        let duplicates: Vec<_> = outcomes.iter().filter(|outcome| outcome.status == EventStatus::Duplicate).collect();
        assert!(firsts.len() <= 1, "{sent:?} was applied more than once: {firsts:?}");
        assert!(!firsts.is_empty() || duplicates.is_empty(), "{sent:?} is a duplicate of nothing");
        let Some(first) = firsts.first() else { continue };
        for duplicate in duplicates {
            assert_eq!(essence(duplicate), essence(first), "{sent:?}");
            assert_eq!(duplicate.entry, first.entry, "{sent:?}");
        }
        if sent.policy() != Policy::Overdraft {
            assert!(first.available.units() >= 0, "{sent:?} went below the floor: {first:?}");
        }
        applied.insert(sent, *first);
    }
    assert!(applied.len() > answers.events.len() / 3, "most of what was sent could be paid");
    applied
}

fn keys_made_one_grant_each(answers: &Answers) {
    for (key, grants) in &answers.keyed {
        let ids: BTreeSet<_> = grants.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 1, "{key} made several grants");
        assert_eq!(grants.iter().filter(|(_, replayed)| !replayed).count(), 1, "{key} was new once");
    }
}

fn entries(engine: &Engine, wallet: usize) -> Vec<Entry> {
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        let page = engine.entries(WALLETS[wallet], CURRENCY, before, 97).expect("a readable history");
        entries.extend(page.entries);
        match page.next {
            Some(next) => before = Some(next),
            None => return entries,
        }
    }
}

/// The entries are one way from nothing to the present balance: each balance is left as often as it is reached. (Their order is that of
/// the links, and threads link and swap in two steps.)
fn check_chain(entries: &[Entry], balance: i64) {
    let mut visits: HashMap<i64, i64> = HashMap::new();
    for entry in entries {
        *visits.entry(entry.balance_after.units()).or_default() += 1;
        *visits.entry(entry.balance_after.units() - entry.amount.units()).or_default() -= 1;
    }
    *visits.entry(0).or_default() += 1;
    *visits.entry(balance).or_default() -= 1;
    visits.retain(|_, count| *count != 0);
    assert!(visits.is_empty(), "balances that are reached and not left, or the other way round: {visits:?}");
    assert_eq!(entries.iter().map(|entry| entry.amount.units()).sum::<i64>(), balance);
}

/// Every credit granted is spent, expired, voided, gone into debt, or there.
fn check_grants(entries: &[Entry], remaining: &BTreeMap<u64, i64>, balance: i64) {
    let mut left: BTreeMap<u64, i64> = BTreeMap::new();
    let mut debt = 0;
    for entry in entries {
        debt += entry.debt.units();
        for (grant, amount) in &entry.allocations {
            let amount = amount.units();
            let sign = match entry.kind {
                EntryKind::Grant => 1,
                EntryKind::Debit
                | EntryKind::Expiry
                | EntryKind::Void
                | EntryKind::WriteOff
                | EntryKind::DebtRepayment
                | EntryKind::Capture
                | EntryKind::LateCapture => -1,
                EntryKind::Reversal
                | EntryKind::Adjustment
                | EntryKind::Charge
                | EntryKind::TransferOut
                | EntryKind::TransferIn => {
                    unreachable!("nobody corrects anything here")
                }
                EntryKind::GrantScheduled
                | EntryKind::Settings
                | EntryKind::Hold
                | EntryKind::Release
                | EntryKind::HoldExpiry
                | EntryKind::GrantPending
                | EntryKind::GrantPaid
                | EntryKind::Rollover
                | EntryKind::Freeze
                | EntryKind::Thaw => 0,
            };
            if entry.kind == EntryKind::DebtRepayment {
                debt -= amount;
            }
            *left.entry(grant.get()).or_default() += sign * amount;
        }
    }
    left.retain(|_, left| *left != 0);
    assert_eq!(&left, remaining);
    assert_eq!(left.values().sum::<i64>() - debt, balance);
    assert!(debt >= 0 && (debt == 0 || left.is_empty()), "debt beside credit");
}

/// The balances by the log's records alone: debits, and the movements of each operation once.
fn balances_by_log(engine: &Engine) -> (BTreeMap<u32, i128>, u64) {
    let (mut balances, mut seen, mut copies) = (BTreeMap::new(), BTreeSet::new(), 0);
    let mut reader = engine.log().reader(Lsn::ZERO);
    while let Some(frame) = reader.next().expect("a readable log") {
        for record in records(frame.payload, frame.payload_lsn).expect("a frame of ours") {
            match record.expect("a record").1 {
                Record::Debit(debit) => *balances.entry(debit.slot).or_default() -= i128::from(debit.amount.units()),
                Record::Operation(operation) => {
                    if seen.insert((operation.slot, operation.generation)) {
                        let moved: i128 = operation.body.movements.iter().map(Movement::delta).sum();
                        assert_eq!(
                            i128::from(operation.closing.units()) + moved,
                            i128::from(operation.opening.units())
                        );
                        *balances.entry(operation.slot).or_default() += moved;
                    } else {
                        copies += 1;
                    }
                }
                Record::Admin(_) => {}
            }
        }
    }
    (balances, copies)
}

fn feed(engine: &Engine) -> Vec<FeedEvent> {
    let (mut events, mut after) = (Vec::new(), Lsn::ZERO);
    loop {
        let page = engine.feed(after, 61, None).expect("a readable feed");
        events.extend(page.events);
        after = page.next;
        if page.at_end {
            break;
        }
    }
    // Copies of an operation may be told on two pages, with one identity.
    let mut seen = BTreeSet::new();
    events.retain(|event| seen.insert(event.id.clone()));
    events
}

/// Generations count a wallet's operations, so they order what operations tell.
fn generation(event: &FeedEvent) -> u32 {
    let parts: Vec<_> = event.id.trim_start_matches("evt_").split('-').collect();
    parts[1].parse().expect("slot, generation, index")
}

/// A level that fell is low until it has recovered: the two alternate. Every crossing that an answer told is one of the feed's.
fn check_levels(events: &[FeedEvent], wallet: usize, applied: &BTreeMap<&Sent, &EventOutcome>) -> usize {
    let of_wallet = || events.iter().filter(|event| event.customer.as_deref() == Some(WALLETS[wallet]));
    let level = |event: &FeedEvent| match event.data.iter().find(|(name, _)| *name == "level") {
        Some((_, FeedValue::Text(level))) => level.clone(),
        other => panic!("{other:?}"),
    };
    let debits: BTreeSet<_> =
        of_wallet().filter(|event| event.kind == "debit.applied").map(|event| event.lsn).collect();
    let (mut low_by_debit, mut lows) = (BTreeMap::<String, usize>::new(), 0);
    for (amount, _) in LEVELS {
        let name = format!("at-{amount}");
        let mut edges: Vec<_> = of_wallet()
            .filter(|event| ["balance.low", "balance.recovered"].contains(&event.kind) && level(event) == name)
            .collect();
        edges.sort_by_key(|event| generation(event));
        for (place, edge) in edges.iter().enumerate() {
            let expected = if place % 2 == 0 { "balance.low" } else { "balance.recovered" };
            assert_eq!(edge.kind, expected, "{name} of {}, edge {place}", WALLETS[wallet]);
        }
        lows += edges.len().div_ceil(2);
        let by_debit = edges.iter().filter(|edge| edge.kind == "balance.low" && debits.contains(&edge.lsn)).count();
        low_by_debit.insert(name, by_debit);
    }
    let mut answered: BTreeMap<String, usize> = LEVELS.iter().map(|(amount, _)| (format!("at-{amount}"), 0)).collect();
    for outcome in applied.iter().filter(|(sent, _)| sent.wallet == wallet).map(|(_, outcome)| outcome) {
        for name in outcome.crossed.iter().filter(|name| name.starts_with("at-")) {
            *answered.get_mut(&**name).expect("a level that was set") += 1;
        }
    }
    assert_eq!(answered, low_by_debit, "crossings answered, and crossings told, of {}", WALLETS[wallet]);
    lows
}

/// Everything about the ledger that must stay, as text.
fn summary(engine: &Engine) -> String {
    let mut summary = Vec::new();
    for (wallet, customer) in WALLETS.iter().enumerate() {
        let view = engine.wallet(customer, CURRENCY).expect("the wallet");
        summary.push(format!("{:?} {:?} {:?} {:?}", view.status, view.balance, view.grants, view.alerts));
        let mut lines: Vec<_> = entries(engine, wallet)
            .into_iter()
            .map(|entry| (entry.entry, entry.kind, entry.amount, entry.balance_after, entry.allocations, entry.event))
            .map(|line| format!("{line:?}"))
            .collect();
        lines.sort();
        summary.extend(lines);
    }
    // Refusals are told some time after they were, at the latest when the ledger is closed.
    let told = feed(engine).into_iter().filter(|event| event.kind != "debit.rejected");
    let mut told: Vec<_> = told.map(|event| format!("{} {} {:?}", event.id, event.kind, event.customer)).collect();
    told.sort();
    summary.extend(told);
    summary.join("\n")
}

/// Checks all that the threads left behind.
fn check(engine: &Engine, answers: &Answers) {
    engine.barrier().wait().expect("a healthy log");
    // Whatever has fallen due is carried out first, so that log, history and balance speak of the same moment.
    while engine.tidy() {}
    engine.barrier().wait().expect("a healthy log");
    let applied = applied_once(answers);
    keys_made_one_grant_each(answers);
    let (by_log, copies) = balances_by_log(engine);
    let events = feed(engine);
    let mut crossings = 0;
    for (wallet, customer) in WALLETS.iter().enumerate() {
        let view = engine.wallet(customer, CURRENCY).expect("the wallet");
        let balance = view.balance.units();
        let entries = entries(engine, wallet);
        check_chain(&entries, balance);
        let remaining = view.grants.iter().map(|lot| (lot.id.get(), lot.remaining.units())).collect();
        check_grants(&entries, &remaining, balance);
        assert_eq!(by_log[&(wallet as u32)], i128::from(balance), "the log's own sum");
        // Each debit is in the history once, as it was answered.
        let told: BTreeMap<_, _> = entries
            .iter()
            .filter_map(|entry| Some((entry.event.clone()?.id, (entry.amount, entry.balance_after, entry.entry))))
            .collect();
        assert_eq!(told.len(), entries.iter().filter(|entry| entry.kind == EntryKind::Debit).count());
        let answered: BTreeMap<_, _> = applied
            .iter()
            .filter(|(sent, _)| sent.wallet == wallet)
            .map(|(sent, first)| {
                let taken = first.amount.checked_neg().expect("a small amount");
                (sent.id.clone(), (taken, first.balance, first.entry.expect("an applied event has one")))
            })
            .collect();
        assert_eq!(told, answered);
        if wallet == STRICT {
            assert!(entries.iter().all(|entry| entry.balance_after.units() >= STRICT_FLOOR));
        }
        let granted: i64 =
            entries.iter().filter(|entry| entry.kind == EntryKind::Grant).map(|entry| entry.amount.units()).sum();
        let spent: i64 = answered.values().map(|(amount, _, _)| amount.units()).sum();
        let gone = entries.iter().filter(|entry| [EntryKind::Expiry, EntryKind::Void].contains(&entry.kind));
        assert_eq!(granted + spent + gone.map(|entry| entry.amount.units()).sum::<i64>(), balance, "by the answers");
        crossings += check_levels(&events, wallet, &applied);
    }
    assert!(crossings > 0, "the run crosses levels");
    let sent: usize = answers.events.values().map(Vec::len).sum();
    println!("{sent} events sent, {} applied, {crossings} crossings, {copies} copies of operations", applied.len());
}

/// Sends everything that was applied once more.
fn resend(engine: &Engine, answers: &Answers) {
    let mut outcomes = Vec::new();
    for (sent, first) in applied_once(answers) {
        engine.submit(&[sent.event()], &mut outcomes).expect("a log with room").wait().expect("a healthy log");
        assert_eq!(outcomes[0].status, EventStatus::Duplicate, "{sent:?}");
        assert_eq!(essence(&outcomes[0]), essence(first), "{sent:?}");
        assert_eq!(outcomes[0].entry, first.entry, "{sent:?}");
    }
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
    }
}

#[test]
fn threads_on_few_wallets_over_a_directory() {
    let (home, copied) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let (engine, _) = Engine::open(home.path(), config(), clock.clone()).expect("an empty directory");
    let answers = race(&engine, &clock);
    check(&engine, &answers);
    let before = summary(&engine);
    // What a process that died now would leave: the pages as they are, and no orderly end.
    copy_directory(home.path(), copied.path());
    engine.close().expect("a healthy log");
    drop(engine);
    for directory in [home.path(), copied.path()] {
        let (engine, report) = Engine::open(directory, config(), clock.clone()).expect("what was written can be read");
        assert_eq!(report.reopened, 0, "nothing was cut");
        assert_eq!(summary(&engine), before);
        resend(&engine, &answers);
        assert_eq!(summary(&engine), before);
    }
}

#[test]
fn threads_on_few_wallets_on_the_heap_and_dropped() {
    let (clock, medium) = (Arc::new(ManualClock::new(at(BEGIN))), Arc::new(Heap::new()));
    let (engine, _) = Engine::open_on(medium.clone(), config(), clock.clone()).expect("an empty medium");
    let answers = race(&engine, &clock);
    check(&engine, &answers);
    let before = summary(&engine);
    drop(engine);
    let (engine, report) = Engine::open_on(medium, config(), clock).expect("what was written can be read");
    assert_eq!(report.reopened, 0);
    assert_eq!(summary(&engine), before);
    resend(&engine, &answers);
}
