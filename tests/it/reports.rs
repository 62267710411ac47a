//! Reports against the plain model: statements, past balances, usage and holders say what the books say, for whatever period; and periods
//! add up, whoever writes meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec};
use drawdown::engine::reports::{LineKind, Statement, StatementLine, UsageBucket, UsageFilter};
use drawdown::engine::view::{CommandError, Entry, EntryKind, GrantRequest, Metadata};
use drawdown::engine::{Charge, Engine, EngineConfig, ManualClock, UsageEvent};
use drawdown::ledger::calendar::Span;
use drawdown::ledger::{Amount, Category, Decimal, Policy, Source};
use drawdown_wal::{Heap, Options};
use proptest::prelude::*;

use crate::books::{BEGIN, Books, GrantSpec, Line, Step, Usage, WINDOW_MS, WalletNumber, at, clock, config, set_up};
use crate::engine_props::{any_story, grant_of, usage_of};
use crate::model::{Command, Model, Turn};

fn cases() -> u32 {
    std::env::var("DRAWDOWN_PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

/// Line of a statement in plain words -> amount, count, tenths measured.
type Lines = BTreeMap<String, (i128, u64, i128)>;

fn units(amount: Amount) -> i128 {
    i128::from(amount.units())
}

/// The wallet as it was just before an instant.
fn model_before(books: &Books, wallet: WalletNumber, instant: u64) -> Model {
    let groups = books.groups(wallet).iter().take_while(|group| group.at < instant);
    let mut model = groups.last().map_or_else(Model::new, |group| group.after.clone());
    model.apply(&Command::Wait, instant.min(books.now + 1) - 1);
    model
}

/// What a statement must say.
fn expected_lines(books: &Books, wallet: WalletNumber, from: u64, to: u64) -> (Lines, i128) {
    let (before, after) = (model_before(books, wallet, from), model_before(books, wallet, to));
    let mut lines = Lines::new();
    let mut add = |key: String, amount: i128, tenths: i128| {
        let line = lines.entry(key).or_default();
        *line = (line.0 + amount, line.1 + 1, line.2 + tenths);
    };
    let groups = || books.groups(wallet).iter().filter(|group| (from..to).contains(&group.at));
    let is_adjustment = |id| {
        let all = books.groups(wallet).iter().flat_map(|group| &group.lines);
        all.into_iter().any(|line| line.kind == "Adjustment" && line.grant == Some(id))
    };
    let arrived = |id| {
        let all = books.groups(wallet).iter().flat_map(|group| &group.lines);
        all.into_iter().any(|line| line.kind == "TransferIn" && line.parts.iter().any(|(grant, _)| *grant == id))
    };
    for happened in after.happened().iter().filter(|happened| (from..to).contains(&happened.at)) {
        let (id, amount) = (happened.grant, happened.amount);
        match happened.turn {
            // Told with all that came with it.
            Turn::Activated if arrived(id) => {}
            Turn::Activated if is_adjustment(id) => add("adjusted".to_owned(), amount, 0),
            Turn::Activated => {
                // What was granted in the place of what a reversal could give nobody, nobody asked for as a grant.
                let made = books.made.iter().find(|made| made.id == id).map(|made| &made.request);
                let (source, category) = made
                    .map_or((Source::Adjustment, Category::Promotional), |request| (request.source, request.category));
                add(format!("granted {} {}", source.as_str(), category.as_str()), amount, 0);
            }
            Turn::Expired => add("expired".to_owned(), -amount, 0),
            Turn::Voided => add("voided".to_owned(), -amount, 0),
            Turn::WrittenOff => add("written_off".to_owned(), -amount, 0),
            Turn::RolledOver => add("rolled_over".to_owned(), 0, 0),
        }
    }
    let debt_paid = |model: &Model| model.accounts().map(|(_, account)| account.debt_paid).sum::<i128>();
    let mut repaid = debt_paid(&after) - debt_paid(&before);
    for group in groups() {
        for line in &group.lines {
            match (line.kind, &group.usage) {
                ("Debit", Some(usage)) => {
                    let (meter, tenths) = usage.measured().unwrap_or_default();
                    add(format!("used {meter}"), line.delta, tenths.into());
                }
                ("Capture" | "LateCapture", _) if line.delta != 0 => add("used ".to_owned(), line.delta, 0),
                ("Adjustment", _) if line.grant.is_none() => add("adjusted".to_owned(), line.delta, 0),
                ("Charge", _) => add("charged".to_owned(), line.delta, 0),
                ("TransferOut", _) => add("transferred_out".to_owned(), line.delta, 0),
                ("TransferIn", _) => add("transferred_in".to_owned(), line.delta, 0),
                ("Reversal", _) => {
                    add("reversed".to_owned(), line.delta, 0);
                    repaid += line.debt;
                }
                ("WriteOff", _) if line.delta > 0 => add("debt_written_off".to_owned(), line.delta, 0),
                _ => {}
            }
        }
    }
    (lines, repaid)
}

fn shown(line: &StatementLine) -> (String, (i128, u64, i128)) {
    let mut key = line.kind.as_str().to_owned();
    if let Some((source, category)) = line.grant {
        key = format!("{key} {} {}", source.as_str(), category.as_str());
    }
    if line.kind == LineKind::Used {
        key = format!("{key} {}", line.meter.as_deref().unwrap_or_default());
    }
    let tenths = line.quantity.as_ref().map_or(0, |sum| {
        let (mantissa, scale) = sum.parts().expect("few digits");
        mantissa * 10_i128.pow(1 - u32::from(scale))
    });
    (key, (line.amount, line.count, tenths))
}

fn lines_of(statement: &Statement) -> Lines {
    statement.lines.iter().map(shown).collect()
}

fn statement(engine: &Engine, wallet: WalletNumber, from: u64, to: u64, entries: Option<usize>) -> Statement {
    let statement = engine.statement(wallet.customer(), wallet.currency(), at(from), at(to), entries);
    statement.unwrap_or_else(|error| panic!("{wallet:?} from {from} to {to}: {error}"))
}

#[track_caller]
fn compare_statement(books: &Books, engine: &Engine, wallet: WalletNumber, from: u64, to: u64) -> Statement {
    let said = statement(engine, wallet, from, to, Some(usize::MAX));
    let (before, after) = (model_before(books, wallet, from), model_before(books, wallet, to));
    let since = |instant: u64| instant.wrapping_sub(BEGIN).cast_signed();
    let period = format!("{wallet:?} from {} to {}", since(from), since(to));
    assert_eq!((units(said.opening), units(said.closing)), (before.balance(), after.balance()), "{period}");
    let (lines, repaid) = expected_lines(books, wallet, from, to);
    assert_eq!(lines_of(&said), lines, "{period}");
    assert_eq!(said.debt.repaid, repaid, "{period}");
    let forgiven = lines.get("debt_written_off").map_or(0, |line| line.0);
    assert_eq!(before.debt() + said.debt.incurred - repaid - forgiven, after.debt(), "{period}");
    // The entries are the lines once more.
    let moved: i128 = said.entries.iter().map(|entry| units(entry.amount)).sum();
    assert_eq!(units(said.opening) + moved, units(said.closing), "{period}");
    let is_use = |entry: &&Entry| match entry.kind {
        EntryKind::Debit | EntryKind::LateCapture => true,
        EntryKind::Capture => entry.amount != Amount::ZERO,
        _ => false,
    };
    let debits = said.entries.iter().filter(is_use);
    let used: u64 = lines.iter().filter(|(key, _)| key.starts_with("used ")).map(|(_, line)| line.1).sum();
    assert_eq!(debits.count() as u64, used, "{period}");
    said
}

fn compare_past(books: &Books, engine: &Engine, wallet: WalletNumber, instant: u64) {
    let said = engine.balance_at(wallet.customer(), wallet.currency(), at(instant - 1)).expect("a past balance");
    let model = model_before(books, wallet, instant);
    let expected = (model.balance(), model.held(), model.available());
    let said = (units(said.balance), units(said.held), units(said.available));
    assert_eq!(said, expected, "{wallet:?} at {}", (instant - 1).wrapping_sub(BEGIN).cast_signed());
}

/// Instants at which something may have changed, and others beside them.
fn instants(books: &Books, wallet: WalletNumber) -> Vec<u64> {
    let mut all = vec![BEGIN - 1, BEGIN];
    for group in books.groups(wallet) {
        all.extend([group.at, group.at + 1]);
        all.extend(group.after.dates().flat_map(|date| [date, date + 1]));
    }
    all.push(books.now + 1);
    all.retain(|instant| *instant <= books.now + 1);
    all.sort_unstable();
    all.dedup();
    all
}

/// Buckets in plain words -> amount, count, tenths measured.
fn buckets(all: &[UsageBucket]) -> BTreeMap<(u64, String, String), (i128, u64, i128)> {
    let mut sums = BTreeMap::new();
    for bucket in all {
        let key = (bucket.start.millis(), bucket.currency.id.clone(), bucket.meter.clone().unwrap_or_default());
        let tenths = bucket.quantity.as_ref().map_or(0, |sum| {
            let (mantissa, scale) = sum.parts().expect("few digits");
            mantissa * 10_i128.pow(1 - u32::from(scale))
        });
        let sum = sums.entry(key).or_insert((0, 0, 0));
        *sum = (sum.0 + bucket.credits, sum.1 + bucket.count, sum.2 + tenths);
    }
    sums
}

fn compare_usage(books: &Books, engine: &Engine, from: u64, to: u64, by: Span) {
    let filter = UsageFilter { currency: None, meter: None, from: at(from), to: at(to), by };
    let mut whole = BTreeMap::new();
    for customer in crate::books::CUSTOMERS {
        let mut expected = BTreeMap::new();
        for wallet in WalletNumber::all().filter(|wallet| wallet.customer() == customer) {
            for group in books.groups(wallet) {
                let is_use = |line: &&Line| match line.kind {
                    "Debit" | "LateCapture" => true,
                    "Capture" => line.delta != 0,
                    _ => false,
                };
                let mut uses = group.lines.iter().filter(is_use).peekable();
                if uses.peek().is_none() {
                    continue;
                }
                // A capture has no event, and so no time of its own.
                let happened = group.usage.as_ref().map_or(group.at, |usage| usage.happened(group.at));
                if !(from..to).contains(&happened) {
                    continue;
                }
                let (meter, tenths) = group.usage.as_ref().and_then(Usage::measured).unwrap_or_default();
                let key = (by.start(at(happened)).millis(), wallet.currency().to_owned(), meter.to_owned());
                let taken = uses.map(|line| -line.delta).sum::<i128>();
                for sums in [&mut expected, &mut whole] {
                    let sum = sums.entry(key.clone()).or_insert((0, 0, 0));
                    *sum = (sum.0 + taken, sum.1 + 1, sum.2 + i128::from(tenths));
                }
            }
        }
        let said = engine.usage_of(customer, &filter).expect("usage");
        assert_eq!(buckets(&said.buckets), expected, "{customer} by {}", by.as_str());
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = engine.usage(&filter, after).expect("usage");
        all.extend(page.buckets);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(buckets(&all), whole, "all by {}", by.as_str());
}

fn compare_holders(books: &Books, engine: &Engine) {
    for (currency, ..) in crate::books::CURRENCIES {
        let (mut said, mut from) = (BTreeMap::new(), 0);
        loop {
            let page = engine.holders(currency, from, 2, None).expect("a currency");
            assert!(page.holders.len() <= 2);
            said.extend(page.holders.into_iter().map(|holder| (holder.customer, units(holder.balance))));
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        let of_currency = WalletNumber::all().filter(|wallet| wallet.currency() == currency && books.exists(*wallet));
        let expected: BTreeMap<_, _> = of_currency
            .map(|wallet| (wallet.customer().to_owned(), model_before(books, wallet, books.now + 1).balance()))
            .collect();
        assert_eq!(said, expected, "{currency}");
        let some = engine.holders(currency, 0, 1000, Some(Decimal::from_integer(1))).expect("a currency").holders;
        let least = if currency == "credits" { 100 } else { 1 };
        assert_eq!(some.len(), expected.values().filter(|balance| **balance >= least).count());
    }
}

/// Compares every kind of report with the books.
pub(crate) fn compare_reports(books: &Books, engine: &Engine, picks: &[usize]) {
    for wallet in WalletNumber::all().filter(|wallet| books.exists(*wallet)) {
        let instants = instants(books, wallet);
        // All of a short story, some of a long one.
        for instant in instants.iter().step_by(instants.len() / 48 + 1) {
            compare_past(books, engine, wallet, *instant);
        }
        // A row of periods from the beginning to the end, and beyond.
        let mut cuts: Vec<u64> = picks.iter().map(|pick| instants[pick % instants.len()]).collect();
        cuts.extend([BEGIN - 1, books.now + 1]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut sums = Lines::new();
        for pair in cuts.windows(2) {
            for (key, line) in lines_of(&compare_statement(books, engine, wallet, pair[0], pair[1])) {
                let sum = sums.entry(key).or_default();
                *sum = (sum.0 + line.0, sum.1 + line.1, sum.2 + line.2);
            }
        }
        let whole = compare_statement(books, engine, wallet, BEGIN - 1, books.now + 1);
        assert_eq!(lines_of(&whole), sums, "{wallet:?}: the parts do not make the whole");
        let open_end = statement(engine, wallet, BEGIN - 1, u64::MAX, None);
        assert_eq!((lines_of(&open_end), open_end.closing), (sums, whole.closing));
    }
    let (first, last) = (BEGIN - WINDOW_MS - 1, books.now + 3_600_000);
    for by in [Span::Hour, Span::Day, Span::Month] {
        let span = by.end(at(first)).millis() - by.start(at(first)).millis();
        compare_usage(books, engine, first, last.min(first + 1000 * span), by);
        let from = BEGIN + (books.now - BEGIN) / 3;
        compare_usage(books, engine, from, from + 7_000_000, by);
    }
    compare_holders(books, engine);
}

fn tell(story: &[Step], picks: &[usize]) {
    let (clock, medium) = (clock(), Arc::new(Heap::new()));
    let config = config(256 << 10);
    let mut books = Books::new();
    let open = || Engine::open_on(medium.clone(), config.clone(), clock.clone()).expect("it opens").0;
    let engine = open();
    set_up(&engine).expect("currencies and meters");
    for step in story {
        if let Some(ticket) = books.make(step, &engine, &clock).expect("a healthy engine") {
            ticket.wait().expect("a healthy log");
        }
    }
    compare_reports(&books, &engine, picks);
    drop(engine);
    compare_reports(&books, &open(), picks);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports_agree_with_the_model(story in any_story(), picks in proptest::collection::vec(0..1000_usize, 0..6)) {
        tell(&story, &picks);
    }
}

/// A grant ends and another takes effect while nobody touches the wallet, and the operation that records it comes much later: both count at
/// their own instants, on either side of whatever period.
#[test]
fn what_falls_due_counts_at_its_instant_however_late_it_is_recorded() {
    let day = 24 * 3_600_000_u64;
    let short = GrantSpec { lasts: Some(day), ..grant_of(0, 30) };
    let later = GrantSpec { effective: Some(2 * day.cast_signed()), ..grant_of(0, 50) };
    let longer = GrantSpec { lasts: Some(day), ..grant_of(0, 8) };
    let story = [
        Step::Grant(short),
        Step::Grant(later),
        Step::Grant(longer),
        // The newest grant's end is moved twice: behind the other's beginning at last.
        Step::MoveExpiry(0, Some(day / 2)),
        Step::MoveExpiry(0, Some(3 * day)),
        Step::Batch(vec![usage_of(1, 0, 7, crate::model::Policy::Overdraft)]),
        Step::Pause(5 * day),
    ];
    tell(&story, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let touched = [&story[..], &[Step::Batch(vec![usage_of(2, 0, 1, crate::model::Policy::Reject)])]].concat();
    tell(&touched, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn periods_and_instants_that_are_none_are_refused() {
    let (clock, medium) = (clock(), Arc::new(Heap::new()));
    let (engine, _) = Engine::open_on(medium, config(256 << 10), clock.clone()).expect("it opens");
    set_up(&engine).expect("currencies and meters");
    let mut books = Books::new();
    let ticket = books.make(&Step::Grant(grant_of(0, 90)), &engine, &clock).expect("a healthy engine");
    drop(ticket);
    let said = |from: u64, to: u64| engine.statement("ada", "credits", at(from), at(to), Some(0)).map(|_| ());
    for to in [0, BEGIN] {
        assert!(matches!(said(BEGIN, to), Err(CommandError::Invalid { field: "to", .. })));
    }
    // There is an entry, and none was to be given.
    assert!(matches!(said(BEGIN, BEGIN + 1), Err(CommandError::Invalid { field: "to", .. })));
    assert_eq!(said(BEGIN + 1, BEGIN + 2), Ok(()));
    let future = engine.balance_at("ada", "credits", at(BEGIN + 1)).map(|_| ());
    assert!(matches!(future, Err(CommandError::Invalid { field: "at", .. })));
    let filter = UsageFilter { currency: None, meter: None, from: at(0), to: at(BEGIN), by: Span::Day };
    assert!(matches!(engine.usage(&filter, None), Err(CommandError::Invalid { field: "to", .. })));
    let named = UsageFilter { meter: Some("no.such"), from: at(BEGIN - 1), ..filter };
    assert_eq!(engine.usage(&named, None).map(|_| ()), Err(CommandError::NotFound { what: "meter" }));
    assert_eq!(engine.holders("gold", 0, 1, None).map(|_| ()), Err(CommandError::NotFound { what: "credit_currency" }));
}

fn decimal(units: i64) -> Decimal {
    Decimal::from_integer(units)
}

/// Threads debit and grant in one wallet while another asks for statements: records overtake each other, in the log and in time, and every
/// statement still adds up, as do those of any two periods.
#[test]
fn statements_add_up_while_others_write() {
    const THREADS: usize = 3;
    const BATCHES: u64 = 120;
    let log = Options { manual: false, max_unsynced_bytes: 2 << 20, ..Options::tiny(1 << 20) };
    let config = EngineConfig { log, expected_events: 64, expected_wallets: 4, ..EngineConfig::default() };
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let (engine, _) = Engine::open_on(Arc::new(Heap::new()), config, clock.clone()).expect("it opens");
    let currency = CurrencySpec {
        id: "credits".to_owned(),
        name: String::new(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: <_>::default(),
    };
    engine.put_currency(currency).expect("a currency").1.wait().expect("a healthy log");
    let grant = |units: i64, lasts: Option<u64>| GrantRequest {
        customer: "hot".to_owned(),
        currency: None,
        amount: decimal(units),
        source: Source::TopUp,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: lasts.map(|lasts| engine.now().saturating_add(lasts)),
        cost_basis: None,
        key: None,
        metadata: Metadata::new(),
        options: <_>::default(),
    };
    engine.grant(&[grant(1_000_000, None)]).expect("a grant").1.wait().expect("a healthy log");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, clock, grant) = (&engine, &clock, &grant);
            scope.spawn(move || {
                let mut outcomes = Vec::new();
                for batch in 0..BATCHES {
                    let ids: Vec<_> = (0..20).map(|event| format!("{thread}-{batch}-{event}")).collect();
                    let charge = Charge::Amount { currency: Some("credits"), amount: Ok(decimal(1)) };
                    let events: Vec<_> = ids
                        .iter()
                        .map(|id| UsageEvent {
                            id,
                            source: "",
                            customer: "hot",
                            charge,
                            time: None,
                            policy: Some(Policy::Reject),
                        })
                        .collect();
                    drop(engine.submit(&events, &mut outcomes).expect("room in the log"));
                    if batch % 5 == 0 {
                        drop(engine.grant(&[grant(3, Some(4))]).expect("room in the log"));
                    }
                    clock.advance(1);
                }
            });
        }
        let engine = &engine;
        scope.spawn(move || {
            for round in 0..60 {
                let now = engine.now().millis();
                let cuts = [BEGIN - 1, BEGIN + (now - BEGIN) / 3, now.saturating_sub(round % 7).max(BEGIN), now + 1];
                let mut cuts = cuts.to_vec();
                cuts.sort_unstable();
                cuts.dedup();
                for pair in cuts.windows(2) {
                    engine.statement("hot", "credits", at(pair[0]), at(pair[1]), Some(usize::MAX)).expect("it adds up");
                }
            }
        });
    });
    // Nobody writes any more: statements of any parts make the whole.
    let said = |from: u64, to: u64| engine.statement("hot", "credits", at(from), at(to), None).expect("it adds up");
    let end = engine.now().millis() + 1;
    let whole = said(BEGIN - 1, end);
    let used = whole.lines.iter().find(|line| line.kind == LineKind::Used).expect("debits");
    assert_eq!((used.count, used.amount), (20 * BATCHES * THREADS as u64, -i128::from(20 * BATCHES * THREADS as u64)));
    let mut sums = Lines::new();
    let mut balance = whole.opening;
    for from in (BEGIN - 1..end).step_by(7) {
        let part = said(from, end.min(from + 7));
        assert_eq!(part.opening, balance);
        balance = part.closing;
        for (key, line) in lines_of(&part) {
            let sum = sums.entry(key).or_default();
            *sum = (sum.0 + line.0, sum.1 + line.1, sum.2 + line.2);
        }
    }
    assert_eq!((sums, balance), (lines_of(&whole), whole.closing));
    engine.close().expect("a healthy log");
}

/// A ledger of which the oldest segments are gone: what needs them is refused, and what does not is told as before.
#[test]
fn what_was_retired_is_not_guessed() {
    const HOUR: u64 = 3_600_000;
    let log = Options { manual: false, ..Options::tiny(1 << 20) };
    let config = EngineConfig { log, expected_events: 64, expected_wallets: 4, background: false, ..config(1 << 20) };
    let clock = clock();
    let (engine, _) = Engine::open_on(Arc::new(Heap::new()), config, clock.clone()).expect("it opens");
    set_up(&engine).expect("currencies and meters");
    let mut books = Books::new();
    let make = |books: &mut Books, step: &Step| {
        let ticket = books.make(step, &engine, &clock).expect("a healthy engine");
        if let Some(ticket) = ticket {
            ticket.wait().expect("a healthy log");
        }
    };
    let debit = |id, wallet, units| Step::Batch(vec![usage_of(id, wallet, units, crate::model::Policy::Reject)]);
    // Ada's in credits, Ada's in tokens, Bob's in credits.
    for wallet in 0..3 {
        make(&mut books, &Step::Grant(grant_of(wallet, 90)));
        make(&mut books, &debit(wallet as u32, wallet, 7));
    }
    for _ in 0..2 {
        crate::snapshots::seal(&engine);
        engine.snapshot_now().expect("a healthy ledger").expect("a sealed segment");
    }
    while engine.log().extend_chain().expect("a healthy log") {}
    make(&mut books, &Step::Pause(HOUR));
    engine.log().retire(engine.log().segment_start(engine.log().tail())).expect("retired");
    let first = engine.first_lsn();
    // The first that is left, and an hour later what reports can tell.
    make(&mut books, &debit(10, 0, 2));
    let kept = books.now;
    make(&mut books, &Step::Pause(2 * HOUR));
    make(&mut books, &debit(11, 0, 3));
    make(&mut books, &debit(12, 1, 4));
    make(&mut books, &debit(13, 2, 5));
    make(&mut books, &Step::Patch { wallet: WalletNumber(2), status: None, allowance: Some(20) });
    make(&mut books, &debit(14, 2, 6));
    let (from, to) = (kept + HOUR, books.now + 1);
    for number in 0..3 {
        let wallet = WalletNumber(number);
        let said = statement(&engine, wallet, from, to, None);
        let (before, after) = (model_before(&books, wallet, from), model_before(&books, wallet, to));
        assert_eq!((units(said.opening), units(said.closing)), (before.balance(), after.balance()), "{wallet:?}");
        assert_eq!(lines_of(&said), expected_lines(&books, wallet, from, to).0, "{wallet:?}");
        let early = engine.statement(wallet.customer(), wallet.currency(), at(from - 1), at(to), None);
        assert_eq!(early.map(|_| ()), Err(CommandError::Retired { first }), "{wallet:?}");
        let early = engine.balance_at(wallet.customer(), wallet.currency(), at(from - 2));
        assert_eq!(early.map(|_| ()), Err(CommandError::Retired { first }), "{wallet:?}");
    }
    // Of the generations that were opened in what is gone, the present ones' terms are known.
    for number in [0, 1] {
        compare_past(&books, &engine, WalletNumber(number), from);
        compare_statement(&books, &engine, WalletNumber(number), from, to);
    }
    compare_past(&books, &engine, WalletNumber(2), to);
    let bob = |entries| engine.statement("bob", "credits", at(from), at(to), entries).map(|_| ());
    assert_eq!(bob(None), Ok(()));
    assert_eq!(bob(Some(100)), Err(CommandError::Retired { first }));
    assert_eq!(engine.balance_at("bob", "credits", at(from)).map(|_| ()), Err(CommandError::Retired { first }));
    let filter = UsageFilter { currency: None, meter: None, from: at(from), to: at(to), by: Span::Day };
    assert_eq!(engine.usage(&filter, None).map(|_| ()), Err(CommandError::Retired { first }));
    assert_eq!(engine.usage_of("ada", &filter).map(|_| ()), Err(CommandError::Retired { first }));
    engine.close().expect("a healthy log");
}
