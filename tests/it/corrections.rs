//! Corrections by many threads at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use drawdown::engine::corrections::view::{AdjustmentRequest, ChargeRequest, Expired, ReversalRequest};
use drawdown::engine::view::Metadata;
use drawdown::engine::{CommandError, Engine, EngineConfig};
use drawdown::ledger::{Decimal, Policy};
use drawdown_wal::{Heap, Lsn, Options};

use crate::books::{Usage, at, clock, config, set_up, submit};
use crate::engine_props::usage_of;
use crate::model;

const THREADS: i64 = 4;
/// What the debit took that all of them take back.
const TAKEN: i64 = 60;

/// A log that a thread of its own drives: those who wait for it meet frames that others have not published yet.
fn threads_config() -> EngineConfig {
    let log = Options { manual: false, ..Options::tiny(1 << 20) };
    EngineConfig { log, ..config(1 << 20) }
}

fn units(units: i64) -> Decimal {
    Decimal::from_parts(units, 2).expect("few decimals")
}

fn adjustment(amount: i64, key: &str) -> AdjustmentRequest {
    AdjustmentRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        amount: units(amount),
        policy: Policy::Reject,
        reason: "a test".to_owned(),
        key: Some(key.to_owned()),
        metadata: Metadata::new(),
    }
}

fn debit(engine: &Engine, usage: Usage) -> Lsn {
    let mut outcomes = Vec::new();
    submit(engine, &[usage], crate::books::BEGIN, &mut outcomes).expect("a healthy engine").wait().expect("durable");
    outcomes[0].entry.expect("it was applied")
}

fn part(entry: Lsn) -> ReversalRequest {
    ReversalRequest { entry, amount: Some(units(1)), expired: Expired::Lose, reason: None, key: None }
}

#[test]
fn threads_that_take_one_debit_back_take_no_more_than_it_took() {
    let medium = Arc::new(Heap::new());
    let (engine, _) = Engine::open_on(medium.clone(), threads_config(), clock()).expect("an empty medium opens");
    set_up(&engine).expect("currencies");
    engine.adjust(&adjustment(1_000, "opening")).expect("credits").2.wait().expect("durable");
    let entry = debit(&engine, usage_of(1, 0, TAKEN, model::Policy::Reject));
    let given_back = AtomicI64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    match engine.reverse(&part(entry)) {
                        Ok(_) => drop(given_back.fetch_add(1, Ordering::Relaxed)),
                        Err(CommandError::Conflict { slug: "already_reversed", .. }) => return,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
        // Debits beside them lower the balance between a plan and its generation's end.
        for id in 2..60 {
            debit(&engine, usage_of(id, 0, 1, model::Policy::Reject));
        }
    });
    assert_eq!(given_back.into_inner(), TAKEN);
    let balance = |engine: &Engine| engine.wallet("ada", "credits").expect("a wallet").balance.units();
    assert_eq!(balance(&engine), 1_000 - 58);
    let audit = engine.audit(&AtomicU64::new(0)).expect("a readable log");
    assert_eq!(audit.findings, []);
    assert_eq!(audit.currencies[0].sums.returned, i128::from(TAKEN));
    engine.close().expect("a healthy log");
    drop(engine);
    let (engine, _) = Engine::open_on(medium, threads_config(), clock()).expect("what was written can be read");
    assert_eq!(balance(&engine), 1_000 - 58);
    let refused = engine.reverse(&part(entry)).map(|_| ()).expect_err("all of it has been taken back");
    assert!(matches!(refused, CommandError::Conflict { slug: "already_reversed", .. }), "{refused:?}");
}

/// What has been reversed is known however long ago that was: no window bounds it.
#[test]
fn a_reversal_is_remembered_beyond_the_idempotency_window() {
    let clock = clock();
    let (engine, _) = Engine::open_on(Arc::new(Heap::new()), config(1 << 20), clock.clone()).expect("it opens");
    set_up(&engine).expect("currencies");
    drop(engine.adjust(&adjustment(100, "opening")).expect("credits"));
    let entry = debit(&engine, usage_of(1, 0, 10, model::Policy::Reject));
    let whole = ReversalRequest { amount: None, ..part(entry) };
    assert_eq!(engine.reverse(&whole).expect("all of it").0.amount.units(), 10);
    for days in 1..4 {
        clock.set(at(crate::books::BEGIN + days * crate::books::WINDOW_MS));
        engine.tidy();
    }
    assert!(matches!(engine.reverse(&whole), Err(CommandError::Conflict { slug: "already_reversed", .. })));
    // A key is forgotten, as all identities are.
    drop(engine.adjust(&adjustment(7, "opening")).expect("a new adjustment under an old key"));
}

#[test]
fn threads_with_one_key_do_it_once() {
    let (engine, _) = Engine::open_on(Arc::new(Heap::new()), threads_config(), clock()).expect("it opens");
    set_up(&engine).expect("currencies");
    drop(engine.adjust(&adjustment(100, "opening")).expect("credits"));
    let request = ChargeRequest {
        customer: "ada".to_owned(),
        currency: Some("credits".to_owned()),
        amount: units(30),
        invoice: None,
        key: Some("invoice-7".to_owned()),
    };
    let entries: Vec<_> = thread::scope(|scope| {
        let charge = || engine.charge(&request).map(|(view, replayed, _)| (view.entry, replayed)).expect("a charge");
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(charge)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(entries.iter().all(|(entry, _)| *entry == entries[0].0), "{entries:?}");
    assert_eq!(entries.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert_eq!(engine.wallet("ada", "credits").expect("a wallet").balance.units(), 70);
}
