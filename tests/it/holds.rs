//! Holds where the model does not reach: many threads, large batches, small logs, and what stays of holds when snapshots take the log's place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec};
use drawdown::engine::holds::{CaptureRequest, HoldRequest, HoldStatus};
use drawdown::engine::view::{GrantRequest, Metadata};
use drawdown::engine::{Charge, CommandError, Engine, EngineConfig, EventStatus, ManualClock, UsageEvent};
use drawdown::ledger::{Category, Decimal, OnExceed, Policy, Rejection, Source};
use drawdown_wal::sim::Random;
use drawdown_wal::{Heap, Options};

use crate::books::{BEGIN, at};

const CURRENCY: &str = "credits";
const WALLETS: [&str; 3] = ["hot", "warm", "cold"];
const GRANTED: i64 = 5_000;

fn config(segment_bytes: u64) -> EngineConfig {
    let log = Options { manual: false, max_unsynced_bytes: 2 << 20, ..Options::tiny(segment_bytes) };
    EngineConfig {
        log,
        expected_events: 64,
        expected_wallets: 4,
        replay_workers: 2,
        background: false,
        ..EngineConfig::default()
    }
}

fn open(heap: &Arc<Heap>, clock: &Arc<ManualClock>, segment_bytes: u64) -> Engine {
    Engine::open_on(heap.clone(), config(segment_bytes), clock.clone()).expect("it opens").0
}

fn set_up(engine: &Engine) {
    let spec = CurrencySpec {
        id: CURRENCY.to_owned(),
        name: String::new(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
    };
    engine.put_currency(spec).expect("a currency").1.wait().expect("durable");
    for customer in WALLETS {
        engine.grant(&[grant(customer, GRANTED, None)]).expect("a healthy engine").1.wait().expect("durable");
    }
}

fn grant(customer: &str, units: i64, expires_at: Option<u64>) -> GrantRequest {
    GrantRequest {
        customer: customer.to_owned(),
        currency: None,
        amount: Decimal::from_integer(units),
        source: Source::TopUp,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: expires_at.map(at),
        cost_basis: None,
        key: None,
        metadata: Metadata::new(),
    }
}

fn hold<'a>(id: Option<&'a str>, customer: &'a str, units: i64) -> HoldRequest<'a> {
    let amount = Decimal::from_integer(units);
    HoldRequest { id, customer, currency: None, amount, ttl_ms: Some(60_000), on_exceed: OnExceed::Reject }
}

fn capture(hold: &str, units: i64, is_final: bool) -> CaptureRequest<'_> {
    CaptureRequest { hold, amount: Decimal::from_integer(units), is_final }
}

/// Balance and held of every wallet.
fn standings(engine: &Engine) -> BTreeMap<&'static str, (i64, i64, usize)> {
    let standing = |customer| {
        let wallet = engine.wallet(customer, CURRENCY).expect("a wallet");
        (customer, (wallet.balance.units(), wallet.held.units(), wallet.holds))
    };
    WALLETS.into_iter().map(standing).collect()
}

/// Threads that make, capture and release holds of the same ids, among debits: each id is one hold, each credit is taken once.
#[test]
fn threads_meet_at_the_same_holds() {
    const THREADS: u64 = 4;
    let (heap, clock) = (Arc::new(Heap::new()), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = open(&heap, &clock, 1 << 20);
    set_up(&engine);
    let (captured, debited, made) = (AtomicI64::new(0), AtomicI64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, captured, debited, made) = (&engine, &captured, &debited, &made);
            scope.spawn(move || {
                let mut random = Random::new(thread + 1);
                for round in 0..40_u64 {
                    let ids: Vec<_> = (0..6).map(|n| format!("hold-{}", round * 3 + n % 5)).collect();
                    let requests: Vec<_> = ids.iter().map(|id| hold(Some(id), WALLETS[id.len() % 3], 9)).collect();
                    let (outcomes, ticket) = engine.hold(&requests).expect("a healthy engine");
                    drop(ticket);
                    for outcome in &outcomes {
                        outcome.result.as_ref().expect("there is credit enough");
                        made.fetch_add(u64::from(!outcome.replayed), Relaxed);
                    }
                    let captures: Vec<_> = ids
                        .iter()
                        .map(|id| capture(id, 1 + random.below(3).cast_signed(), random.below(4) == 0))
                        .collect();
                    for outcome in engine.capture(&captures).expect("a healthy engine").0 {
                        match outcome {
                            Ok(one) => drop(captured.fetch_add(one.amount.units(), Relaxed)),
                            Err(CommandError::Rejected(
                                Rejection::HoldEnded | Rejection::CaptureExceedsHold { .. },
                            )) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    if random.below(3) == 0 {
                        drop(engine.release_hold(&ids[0]).expect("repeating it is success"));
                    }
                    let id = format!("{thread}-{round}");
                    let charge = Charge::Amount { currency: Some(CURRENCY), amount: Ok(Decimal::from_integer(2)) };
                    let policy = Some(Policy::Reject);
                    let event = UsageEvent { id: &id, source: "", customer: WALLETS[0], charge, time: None, policy };
                    let mut outcomes = Vec::new();
                    drop(engine.submit(&[event], &mut outcomes).expect("a healthy engine"));
                    assert_eq!(outcomes[0].status, EventStatus::Applied);
                    debited.fetch_add(2, Relaxed);
                }
            });
        }
    });
    engine.barrier().wait().expect("a healthy log");
    let standing = standings(&engine);
    let left: i64 = standing.values().map(|(balance, ..)| balance).sum();
    assert_eq!(left, 3 * GRANTED - captured.load(Relaxed) - debited.load(Relaxed));
    let distinct = (0..40_u64).flat_map(|round| (0..5).map(move |n| round * 3 + n)).max().expect("some") + 1;
    assert_eq!(made.load(Relaxed), distinct, "each id is one hold");
    let audit = engine.audit(&AtomicU64::new(0)).expect("a readable log");
    assert_eq!(audit.findings, []);
    drop(engine);
    let engine = open(&heap, &clock, 1 << 20);
    assert_eq!(standings(&engine), standing);
    // All that is open expires, and nothing else does.
    clock.set(at(BEGIN + 60_000));
    let after = standings(&engine);
    assert!(after.values().zip(standing.values()).all(|(after, before)| *after == (before.0, 0, 0)));
}

/// A batch that no single frame of a small log has room for is made in parts.
#[test]
fn a_batch_is_larger_than_a_frame() {
    let (heap, clock) = (Arc::new(Heap::new()), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = open(&heap, &clock, 64 << 10);
    set_up(&engine);
    let ids: Vec<_> = (0..900).map(|n| format!("{n:0>120}")).collect();
    let requests: Vec<_> = ids.iter().enumerate().map(|(n, id)| hold(Some(id), WALLETS[n % 3], 3)).collect();
    let (outcomes, ticket) = engine.hold(&requests).expect("a healthy engine");
    ticket.wait().expect("durable");
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok() && !outcome.replayed));
    let captures: Vec<_> = ids.iter().map(|id| capture(id, 1, false)).collect();
    let (outcomes, ticket) = engine.capture(&captures).expect("a healthy engine");
    ticket.wait().expect("durable");
    assert!(outcomes.iter().all(Result::is_ok));
    assert!(standings(&engine).values().all(|standing| *standing == (GRANTED - 300, 600, 300)));
    assert_eq!(engine.audit(&AtomicU64::new(0)).expect("a readable log").findings, []);
}

/// A wallet of many grants and holds needs more of the log for one operation than a batch sets apart for each.
#[test]
fn a_hold_has_credits_of_hundreds_of_grants() {
    let (heap, clock) = (Arc::new(Heap::new()), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = open(&heap, &clock, 4 << 20);
    set_up(&engine);
    let grants: Vec<_> = (0..400).map(|_| grant("cold", 1, Some(BEGIN + 5_000))).collect();
    engine.grant(&grants).expect("a healthy engine").1.wait().expect("durable");
    let requests = [hold(Some("large"), "cold", 500), hold(Some("small"), "cold", 1)];
    let (outcomes, ticket) = engine.hold(&requests).expect("a healthy engine");
    drop(ticket);
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
    let view = engine.wallet("cold", CURRENCY).expect("a wallet");
    assert_eq!(view.grants.iter().map(|lot| lot.held.units()).sum::<i64>(), 501);
    // The grants end; what is held of them stays until the hold ends.
    clock.set(at(BEGIN + 5_000));
    assert_eq!(standings(&engine)["cold"], (GRANTED + 400, 501, 2));
    let captures = [capture("large", 150, false), capture("large", 0, true), capture("small", 1, false)];
    let (outcomes, ticket) = engine.capture(&captures).expect("a healthy engine");
    ticket.wait().expect("durable");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(standings(&engine)["cold"], (GRANTED - 1, 0, 0), "250 ended with their grants");
    assert_eq!(engine.audit(&AtomicU64::new(0)).expect("a readable log").findings, []);
    let hold = engine.hold_view("large").expect("it is known").state;
    let told = (hold.status, hold.captured.units(), hold.released.units());
    assert_eq!(told, (HoldStatus::Released, 150, 350), "a final capture of nothing is a release");
}

/// A thousand holds can be open, and no more; the rest of a batch is refused and leaves no trace.
#[test]
fn a_wallet_is_full_of_holds() {
    let (heap, clock) = (Arc::new(Heap::new()), Arc::new(ManualClock::new(at(BEGIN))));
    let engine = open(&heap, &clock, 8 << 20);
    set_up(&engine);
    let requests: Vec<_> = (0..1_003).map(|_| hold(None, "hot", 1)).collect();
    let (outcomes, ticket) = engine.hold(&requests).expect("a healthy engine");
    ticket.wait().expect("durable");
    let refused = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    assert_eq!((refused, standings(&engine)["hot"]), (3, (GRANTED, 1_000, 1_000)));
    for outcome in &outcomes[1_000..] {
        assert_eq!(outcome.result.as_ref().err(), Some(&CommandError::Rejected(Rejection::TooManyHolds)));
    }
    drop(engine);
    let engine = open(&heap, &clock, 8 << 20);
    assert_eq!(standings(&engine)["hot"], (GRANTED, 1_000, 1_000));
    clock.set(at(BEGIN + 60_000));
    engine.tidy();
    assert_eq!(standings(&engine)["hot"], (GRANTED, 0, 0));
    assert_eq!(engine.audit(&AtomicU64::new(0)).expect("a readable log").findings, []);
}
