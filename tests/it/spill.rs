//! Identities past memory: how much stays there, what happens when a file is damaged, and many threads beside the one that spills.

use std::collections::HashSet;
use std::sync::Arc;

use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::view::{GrantOptions, GrantRequest, Metadata};
use drawdown::engine::{
    Charge, Engine, EngineConfig, EventOutcome, EventStatus, ManualClock, OpenError, Unavailable, UsageEvent,
};
use drawdown::ledger::{Category, Decimal, Source};
use drawdown_wal::sim::Disk;
use drawdown_wal::{Files, Heap, Options};

use crate::books::{BEGIN, at, config};

const BATCH: u32 = 100;

/// Room for so many identities.
fn room(identities: u64) -> EngineConfig {
    EngineConfig { idempotency_memory: identities * 48, ..config(1 << 20) }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(BEGIN)))
}

fn open(disk: &Disk, config: EngineConfig) -> Engine {
    Engine::open_on(disk.medium(), config, clock()).expect("what was written can be read").0
}

/// The files of spilled identities.
fn runs(disk: &Disk) -> Vec<String> {
    disk.names("ids").expect("listed")
}

/// The same disk without them.
fn without_runs(disk: &Disk) -> Disk {
    let disk = disk.duplicate();
    for name in &runs(&disk) {
        disk.delete(name).expect("deleted");
    }
    disk
}

fn set_up(engine: &Engine) {
    let spec = CurrencySpec {
        id: "credits".to_owned(),
        name: "credits".to_owned(),
        symbol: String::new(),
        scale: 0,
        kind: CurrencyKind::Unit,
        max_balance: None,
        default_priorities: Priorities::new(),
    };
    engine.put_currency(spec).expect("a currency").1.wait().expect("a healthy log");
    engine.grant(&[grant(None)]).expect("a grant").1.wait().expect("a healthy log");
}

fn grant(key: Option<&str>) -> GrantRequest {
    GrantRequest {
        customer: "ada".to_owned(),
        currency: None,
        amount: Decimal::from_integer(1_000_000),
        source: Source::TopUp,
        category: Category::Paid,
        priority: None,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: key.map(str::to_owned),
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    }
}

/// Sends the events numbered `numbers`, in one batch, and waits for them.
fn send(engine: &Engine, numbers: impl IntoIterator<Item = u32>) -> Result<Vec<EventOutcome>, Unavailable> {
    let ids: Vec<String> = numbers.into_iter().map(|number| format!("event-{number:010}")).collect();
    let charge = Charge::Amount { currency: None, amount: Ok(Decimal::from_integer(1)) };
    let event = |id| UsageEvent { id, source: "", customer: "ada", charge, time: None, policy: None };
    let events: Vec<_> = ids.iter().map(|id| event(id)).collect();
    let mut outcomes = Vec::new();
    engine.submit(&events, &mut outcomes)?.wait()?;
    Ok(outcomes)
}

fn send_all(engine: &Engine, count: u32, expected: EventStatus) {
    for first in (0..count).step_by(BATCH as usize) {
        let outcomes = send(engine, first..first + BATCH).expect("a healthy engine");
        assert!(outcomes.iter().all(|outcome| outcome.status == expected), "{first}: {outcomes:?}");
    }
}

#[test]
fn memory_holds_what_it_may_and_files_the_rest_also_after_opening() {
    let disk = Disk::new();
    let engine = open(&disk, room(1_000));
    set_up(&engine);
    for first in (0..20_000).step_by(BATCH as usize) {
        send(&engine, first..first + BATCH).expect("a healthy engine");
        engine.tidy();
    }
    let stats = engine.stats();
    assert!((19_000..20_000).contains(&stats.spilled.identities), "{stats:?}");
    assert!(stats.spilled.runs <= 9, "{stats:?}");
    assert!(stats.spilled.memory_bytes < 4 * stats.spilled.identities, "{stats:?}");
    assert!(stats.resident_events <= 1_000, "{stats:?}");
    assert_eq!(stats.remembered_events, 20_000);
    send_all(&engine, 20_000, EventStatus::Duplicate);
    assert_eq!(engine.stats().applied, 20_000);
    engine.close().expect("a healthy log");
    drop(engine);
    // With the runs; without them, for they are derived again; with more room than before, and with less.
    let whole = disk.duplicate();
    for (disk, identities) in [(&whole, 1_000), (&without_runs(&disk), 1_000), (&whole, 30_000), (&disk, 300)] {
        let engine = open(&disk.duplicate(), room(identities));
        let resident = engine.stats().resident_events;
        assert!(resident <= 1_000.min(identities), "{resident} in memory, {identities} allowed");
        send_all(&engine, 20_000, EventStatus::Duplicate);
    }
}

#[test]
fn nothing_is_spilled_while_there_is_room() {
    let disk = Disk::new();
    let engine = open(&disk, EngineConfig { idempotency_memory: 1 << 20, ..config(1 << 20) });
    set_up(&engine);
    send_all(&engine, 10_000, EventStatus::Applied);
    engine.tidy();
    let stats = engine.stats();
    assert_eq!((stats.resident_horizon, stats.resident_events), (stats.idempotency_horizon, 10_000));
    assert_eq!(runs(&disk), [""; 0]);
}

/// Flips a bit at `at` of every file.
fn damage(disk: &Disk, at: impl Fn(usize) -> usize) {
    for name in runs(disk) {
        disk.damage_file(&name, |bytes| {
            let at = at(bytes.len());
            bytes[at] ^= 4;
        });
    }
}

#[test]
fn a_damaged_run_is_derived_again_when_it_is_opened() {
    let disk = Disk::new();
    let engine = open(&disk, room(100));
    set_up(&engine);
    send_all(&engine, 2_000, EventStatus::Applied);
    engine.tidy();
    engine.close().expect("a healthy log");
    drop(engine);
    damage(&disk, |length| length - 4_000);
    let engine = open(&disk, room(100));
    assert_eq!(engine.stats().spilled.runs > 0, !runs(&disk).is_empty());
    send_all(&engine, 2_000, EventStatus::Duplicate);
    engine.tidy();
    send_all(&engine, 2_000, EventStatus::Duplicate);
}

#[test]
fn a_batch_that_needs_a_damaged_page_is_refused_until_it_is_derived_again() {
    let disk = Disk::new();
    let engine = open(&disk, room(100));
    set_up(&engine);
    send_all(&engine, 2_000, EventStatus::Applied);
    engine.tidy();
    engine.close().expect("a healthy log");
    drop(engine);
    damage(&disk, |_| 100);
    let engine = open(&disk, room(100));
    let tail = engine.log().tail();
    let refused = (0..2_000).find(|number| matches!(send(&engine, [*number]), Err(Unavailable::Overloaded)));
    let refused = refused.expect("an event whose identity is in a damaged page");
    assert_eq!(engine.log().tail(), tail, "nothing was applied");
    for number in refused..2_000 {
        let outcomes = send(&engine, [number]).or_else(|_| {
            engine.tidy();
            send(&engine, [number])
        });
        assert_eq!(outcomes.expect("derived again")[0].status, EventStatus::Duplicate);
    }
    send_all(&engine, 2_000, EventStatus::Duplicate);
    assert_eq!(engine.stats().applied, 0);
}

#[test]
fn files_that_refuse_leave_identities_in_memory() {
    let disk = Disk::new();
    let engine = open(&disk, room(100));
    set_up(&engine);
    // The log goes on in the segments that it has.
    disk.fill_up(0);
    for first in (0..3_000).step_by(BATCH as usize) {
        send(&engine, first..first + BATCH).expect("a healthy engine");
        engine.tidy();
    }
    let stats = engine.stats();
    assert_eq!((stats.spilled.runs, stats.resident_horizon), (0, stats.idempotency_horizon));
    assert!(stats.spill_failures > 20, "it is tried again: {stats:?}");
    send_all(&engine, 3_000, EventStatus::Duplicate);
    engine.close().expect("a healthy log");
    drop(engine);
    // Nor do they keep anybody from opening the ledger; and when there is room again, they are written.
    let engine = open(&disk, room(100));
    assert_eq!((engine.stats().spill_failures, engine.stats().spilled.runs), (1, 0));
    send_all(&engine, 3_000, EventStatus::Duplicate);
    disk.make_space();
    engine.tidy();
    assert!(engine.stats().resident_events <= 100 && engine.stats().spilled.identities >= 2_900);
    send_all(&engine, 3_000, EventStatus::Duplicate);
}

/// As the command line opens a ledger to look at it or to make a key.
#[test]
fn an_engine_that_knows_no_identities_takes_no_events_and_leaves_files_alone() {
    let disk = Disk::new();
    let engine = open(&disk, room(100));
    set_up(&engine);
    send_all(&engine, 2_000, EventStatus::Applied);
    engine.tidy();
    engine.close().expect("a healthy log");
    drop(engine);
    let (balance, files) = (1_000_000 - 2_000, runs(&disk));
    let engine = open(&disk, EngineConfig { remembers_identities: false, ..room(100) });
    engine.tidy();
    assert_eq!((engine.stats().remembered_events, runs(&disk)), (0, files.clone()));
    assert_eq!(engine.wallet("ada", "credits").expect("a wallet").balance.units(), balance);
    assert!(matches!(send(&engine, [1]), Err(Unavailable::Overloaded)));
    assert_eq!(engine.grant(&[grant(Some("key"))]).map(|_| ()), Err(Unavailable::Overloaded));
    engine.close().expect("a healthy log");
    drop(engine);
    assert_eq!(runs(&disk), files);
    send_all(&open(&disk, room(100)), 2_000, EventStatus::Duplicate);
}

#[test]
fn a_window_of_more_than_34_days_is_refused() {
    let open = |days: u64| {
        let config = EngineConfig { idempotency_window_ms: days * 24 * 3_600_000, ..room(1) };
        Engine::open_on(Arc::new(Heap::new()), config, clock())
    };
    assert!(open(34).is_ok());
    assert!(matches!(open(35), Err(OpenError::Window)));
}

/// Every event is sent by two threads, again and again from further back, while the background spills, merges and rebuilds the table. Each
/// must be applied once, however it is found.
#[test]
fn racing_threads_and_a_background_that_spills_apply_each_event_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = || {
        let log = Options { manual: false, max_unsynced_bytes: 2 << 20, ..Options::tiny(1 << 20) };
        EngineConfig { log, background: true, ..room(400) }
    };
    let (engine, _) = Engine::open(dir.path(), config(), clock()).expect("an empty directory opens");
    set_up(&engine);
    let work = |thread: u32| {
        let (engine, mut applied) = (engine.clone(), Vec::new());
        move || {
            for round in 0..60 {
                // Two threads share each number; a fifth of a batch lies far back.
                let first = (thread / 2) * 100_000 + round * 80;
                let back = (0..20).map(|n| (thread / 2) * 100_000 + n * (round * 4 + 1));
                let numbers: HashSet<u32> = (first..first + 80).chain(back).collect();
                let numbers: Vec<u32> = numbers.into_iter().collect();
                let outcomes = send(&engine, numbers.iter().copied()).expect("a healthy engine");
                for (number, outcome) in numbers.into_iter().zip(outcomes) {
                    match outcome.status {
                        EventStatus::Applied => applied.push(number),
                        status => assert_eq!(status, EventStatus::Duplicate),
                    }
                }
            }
            applied
        }
    };
    let applied: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
    });
    let distinct: HashSet<u32> = applied.iter().copied().collect();
    assert_eq!(distinct.len(), applied.len(), "an event was applied twice");
    assert!(distinct.len() >= 2 * 60 * 80);
    while engine.tidy() {}
    assert!(engine.stats().spilled.identities > 8_000, "{:?}", engine.stats());
    let balance = |engine: &Engine| engine.wallet("ada", "credits").expect("a wallet").balance.units();
    assert_eq!(balance(&engine), 1_000_000 - i64::try_from(applied.len()).expect("few"));
    engine.close().expect("a healthy log");
    drop(engine);
    let (engine, _) = Engine::open(dir.path(), config(), clock()).expect("it opens again");
    let numbers: Vec<u32> = distinct.into_iter().collect();
    for batch in numbers.chunks(500) {
        let outcomes = send(&engine, batch.iter().copied()).expect("a healthy engine");
        assert!(outcomes.iter().all(|outcome| outcome.status == EventStatus::Duplicate));
    }
    assert_eq!(balance(&engine), 1_000_000 - i64::try_from(applied.len()).expect("few"));
}
