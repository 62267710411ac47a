//! How quickly do long histories page, and what do reports of them cost? The bar is 5 ms for the 50 newest of a million entries.
//!
//! Three histories of a million entries over ten months, of as different shapes as there are; the wallet's records stand among those of others, so
//! that each is in a cache line and mostly in a page of its own:
//! - *one grant*: every debit is of one generation, and nothing in between can be skipped to;
//! - *a grant a thousand debits*: what most wallets come nearest to;
//! - *operations only*: usage that nothing pays for. Each entry opens a generation.
//!
//! Told is the median of some runs, and of those of two seconds and more the only one. Then: sums and lists over all wallets.
//!
//! `DRAWDOWN_BENCH_LARGE=1` sums over 10 M wallets rather than 1 M.

mod common;

use common::batch::{Batch, customer, mix};
use common::figures::{Figure, tell};
use common::{CURRENCY, Ledger, config, decimal, is_large, memory_dir, requests, short, size};
use drawdown::engine::reports::UsageFilter;
use drawdown::engine::{Charge, Engine, EngineConfig, ManualClock, UsageEvent};
use drawdown::ledger::calendar::Span;
use drawdown::ledger::{Policy, Timestamp};
use drawdown_wal::Lsn;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first of January 2026, ms.
const BEGIN: u64 = 1_767_225_600_000;
const DAY: u64 = 24 * 3_600_000;
/// Ten months.
const SPAN: u64 = 304 * DAY;
/// Wallets whose records stand in between.
const OTHERS: u64 = 10_000;
/// One record in so many is the wallet's.
const SHARE: u64 = 4;
/// Events of a batch.
const BATCH: u64 = 400;

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
enum Shape {
    OneGrant,
    GrantEvery(u64),
    OperationsOnly,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::OneGrant => "one grant",
            Shape::GrantEvery(_) => "a grant a thousand debits",
            Shape::OperationsOnly => "operations only",
        }
    }
}

/// The median time of a few runs, us.
fn time<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut all = Vec::new();
    let started = Instant::now();
    while all.len() < 21 && (all.is_empty() || started.elapsed() < Duration::from_secs(2)) {
        let start = Instant::now();
        black_box(run());
        all.push(start.elapsed());
    }
    all.sort_unstable();
    all[all.len() / 2].as_secs_f64() * 1e6
}

/// A ledger in which the wallet 0 has a history.
fn write(shape: Shape, entries: u64) -> (Ledger, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(BEGIN)));
    // The history is all there is to look at: nothing is done beside.
    let config = EngineConfig { idempotency_window_ms: 3_600_000, ..config(OTHERS) };
    let ledger = Ledger::open_at(memory_dir(), config, OTHERS, clock.clone());
    let grant = |wallets: std::ops::Range<u64>, units: i64| {
        drop(ledger.engine.grant(&requests(wallets, units, None)).expect("the log keeps up"));
    };
    grant(1..OTHERS, 1 << 40);
    let plenty = matches!(shape, Shape::OneGrant | Shape::GrantEvery(_));
    grant(0..1, if plenty { 1 << 40 } else { 1 });
    let mut batch = Batch::new(0);
    let of_wallet = BATCH / SHARE;
    let batches = entries / of_wallet;
    let mut outcomes = Vec::new();
    for number in 0..batches {
        clock.set(Timestamp::from_millis(BEGIN + SPAN * number / batches));
        match shape {
            Shape::OperationsOnly => {
                overdraw(&ledger.engine, number * of_wallet, of_wallet, &mut outcomes);
                batch.renew_on((BATCH - of_wallet) as usize, |event| 1 + mix(event) % (OTHERS - 1));
            }
            Shape::OneGrant | Shape::GrantEvery(_) => {
                let wallet = |event| if event % SHARE == 0 { 0 } else { 1 + mix(event) % (OTHERS - 1) };
                batch.renew_on(BATCH as usize, wallet);
            }
        }
        batch.submit(&ledger, 1);
        if let Shape::GrantEvery(debits) = shape
            && (number * of_wallet).is_multiple_of(debits)
        {
            grant(0..1, 5);
        }
    }
    clock.set(Timestamp::from_millis(BEGIN + SPAN));
    ledger.engine.barrier().wait().expect("a healthy log");
    (ledger, clock)
}

/// Debits that nothing pays for, as one batch.
fn overdraw(engine: &Engine, first: u64, count: u64, outcomes: &mut Vec<drawdown::engine::EventOutcome>) {
    let (ids, owner): (Vec<_>, _) = ((first..first + count).map(|n| format!("over_{n}")).collect(), customer(0));
    let charge = Charge::Amount { currency: Some(CURRENCY), amount: Ok(decimal(3)) };
    let policy = Some(Policy::Overdraft);
    let event = |id| UsageEvent { id, source: "bench", customer: &owner, charge, time: None, policy };
    let events: Vec<_> = ids.iter().map(|id| event(id)).collect();
    drop(engine.submit(&events, outcomes).expect("the log keeps up"));
}

/// The entry in the middle of the history.
fn middle(engine: &Engine, owner: &str, entries: u64) -> Lsn {
    let (mut before, mut seen) = (None, 0);
    while seen < entries / 2 {
        let page = engine.entries(owner, CURRENCY, before, 1000).expect("a readable history");
        seen += page.entries.len() as u64;
        before = page.next;
    }
    before.expect("the history goes on")
}

fn measure(shape: Shape, entries: u64, figures: &mut Vec<Figure>) {
    let (ledger, _clock) = write(shape, entries);
    let (engine, owner) = (&ledger.engine, customer(0));
    let mut figure = |what: &str, value: f64| {
        figures.push(Figure { name: format!("{} entries, {}: {what}", short(entries), shape.name()), value });
    };
    let page = |before| engine.entries(&owner, CURRENCY, before, 50).expect("a readable history").entries.len();
    assert!(page(None) >= 50);
    figure("the 50 newest", time(|| page(None)));
    let cursor = middle(engine, &owner, entries);
    figure("50 from the middle", time(|| page(Some(cursor))));
    let at = |day: u64| Timestamp::from_millis(BEGIN + day * DAY);
    let statement = |from, to| engine.statement(&owner, CURRENCY, from, to, None).expect("it adds up");
    // Five months on: the first of June.
    let (from, to) = (at(151), at(181));
    let used: u64 = statement(from, to).lines.iter().map(|line| line.count).sum();
    assert!(used > entries / 12, "{used} entries in a month");
    figure("statement of a month in the middle", time(|| statement(from, to)));
    figure("statement of the last month", time(|| statement(at(274), at(304))));
    figure("statement of all", time(|| statement(at(0), at(305))));
    figure("balance at the middle", time(|| engine.balance_at(&owner, CURRENCY, from).expect("a past balance")));
    let filter = UsageFilter { currency: None, meter: None, from, to, by: Span::Day };
    figure("usage of a month in the middle by day", time(|| engine.usage_of(&owner, &filter).expect("usage")));
    figure("a page of usage of all wallets", time(|| engine.usage(&filter, None).expect("usage")));
}

/// Sums and lists over all wallets.
fn measure_wallets(wallets: u64, figures: &mut Vec<Figure>) {
    let ledger = Ledger::open(memory_dir(), config(wallets), wallets);
    ledger.fund(0..wallets, 100, None);
    let engine = &ledger.engine;
    let mut figure = |what: &str, value: f64| {
        figures.push(Figure { name: format!("{} wallets: {what}", short(wallets)), value });
    };
    figure("sums over all", time(|| engine.balances(None, None)));
    figure("a page of 1000 holders", time(|| engine.holders(CURRENCY, 0, 1000, None).expect("a currency")));
    let rich = Some(decimal(i64::MAX / 2));
    figure(
        "a page of holders of which there are none",
        time(|| engine.holders(CURRENCY, 0, 1000, rich).expect("a currency")),
    );
}

fn main() {
    let entries = size(1_000_000, 2_000);
    let mut figures = Vec::new();
    for shape in [Shape::OneGrant, Shape::GrantEvery(1000), Shape::OperationsOnly] {
        measure(shape, entries, &mut figures);
    }
    measure_wallets(if is_large() { 10_000_000 } else { size(1_000_000, 1_000) }, &mut figures);
    tell("history", "how quickly do long histories page, and what do reports of them cost", "us", &figures);
}
