//! The power is cut while identities are spilled and their runs merged, and the log is cut under runs that are whole.

use std::sync::Arc;

use drawdown::engine::{Engine, EngineConfig, ManualClock, OpenError};
use drawdown_wal::sim::{Disk, Random};

use super::{Replay, Run, SEGMENT_BYTES, append_admin, fresh_disk, seeds, workload};
use crate::books::{BEGIN, Books, GrantSpec, Step, Usage, WalletNumber, at, config};
use drawdown::engine::view::Metadata;
use drawdown::journal::admin::{AdminRecord, Declared, GrantRecord};
use drawdown::ledger::{Amount, Category, Source};
use drawdown_wal::{Files, Log};

/// Room for a few identities.
fn small() -> EngineConfig {
    EngineConfig { idempotency_memory: 2 * 48, ..config(SEGMENT_BYTES) }
}

fn try_open(disk: &Disk, clock: &Arc<ManualClock>) -> Result<Engine, OpenError> {
    Engine::open_on(disk.medium(), small(), clock.clone()).map(|(engine, _)| engine)
}

fn open(disk: &Disk, clock: &Arc<ManualClock>) -> Engine {
    try_open(disk, clock).expect("what is left can be opened")
}

/// A workload with the background's round after every step.
fn steps(seed: u64, count: usize) -> Vec<Step> {
    workload::steps(seed, count).into_iter().flat_map(|step| [step, Step::Tidy]).collect()
}

/// Opens the engine on what was left, compares, sends everything again, and opens it once more.
fn recover(run: &Run, disk: &Disk) {
    let engine = open(disk, &run.clock);
    let mut books = run.books.cut_back(&engine, run.acknowledged);
    books.audit(&engine);
    books.make(&Step::Tidy, &engine, &run.clock).expect("a healthy engine");
    books.send_all_again(&engine);
    books.make(&Step::Tidy, &engine, &run.clock).expect("a healthy engine");
    books.send_all_again(&engine);
    books.audit(&engine);
    drop(engine);
    books.audit(&open(disk, &run.clock));
}

/// The log and the runs are on one disk, and spilling syncs several times a step: every cut lies before, in or behind the making of a run, the
/// removal of one, or a sync of the log under runs that are whole.
#[test]
fn a_power_cut_at_any_moment_of_spilling_and_merging_loses_no_identity() {
    for seed in seeds(2) {
        let mut replay = Replay::new(seed);
        let steps = steps(seed ^ 0x5b11, 20);
        replay.doing = "nothing fails".to_owned();
        let (mut run, disk) = (Run::new(), fresh_disk());
        let engine = open(&disk, &run.clock);
        run.make(&engine, &steps, &mut Random::new(seed)).expect("nothing fails");
        assert!(engine.stats().spilled.identities > 0);
        drop(engine);
        let syncs = disk.syncs();
        assert!(syncs > 30, "{syncs}");
        for sync in 1..=syncs {
            replay.doing = format!("cutting the power at sync {sync}");
            let (mut run, disk) = (Run::new(), fresh_disk());
            let mut random = Random::new(seed ^ sync << 32);
            disk.cut_power_at(sync, super::CUTS[random.below(3) as usize], random.draw());
            if let Ok(engine) = try_open(&disk, &run.clock) {
                let _ = run.make(&engine, &steps, &mut Random::new(seed));
            }
            recover(&run, &disk.left().expect("the sync was reached, if only by the closing"));
        }
    }
}

/// A disk that fails a sync of a run or of the removal of one, and goes on: identities stay where they are until it is tried again.
#[test]
fn a_sync_that_fails_under_a_run_loses_no_identity() {
    for seed in seeds(1) {
        let mut replay = Replay::new(seed);
        let steps = steps(seed ^ 0xd15c, 20);
        let (mut run, disk) = (Run::new(), fresh_disk());
        let engine = open(&disk, &run.clock);
        run.make(&engine, &steps, &mut Random::new(seed)).expect("nothing fails");
        let mut failed = 0;
        for sync in 1..=disk.syncs() {
            replay.doing = format!("failing sync {sync}");
            let (mut run, disk) = (Run::new(), fresh_disk());
            disk.fail_sync(sync);
            let Ok(engine) = try_open(&disk, &run.clock) else { continue };
            // Where it was one of the log's, the log has failed: that is told elsewhere.
            if run.make(&engine, &steps, &mut Random::new(seed)).is_ok() {
                failed += engine.stats().spill_failures;
                run.books.audit(&engine);
                recover(&run, &disk.crash(sync));
            }
        }
        assert!(failed > 3, "{failed}");
    }
}

fn event(id: u32) -> Step {
    Step::Batch(vec![Usage { id, ..workload::usage(id) }])
}

fn make(books: &mut Books, engine: &Engine, clock: &ManualClock, steps: impl IntoIterator<Item = Step>) {
    for step in steps {
        let ticket = books.make(&step, engine, clock).expect("a healthy engine");
        if let Some(ticket) = ticket {
            ticket.wait().expect("a healthy log");
        }
    }
}

fn grant(units: i64, key: Option<u8>) -> Step {
    Step::Grant(GrantSpec {
        wallet: WalletNumber(0),
        units,
        source: 0,
        promotional: false,
        priority: None,
        effective: None,
        lasts: None,
        cost: None,
        key,
        note: false,
        waits: None,
        rollover: None,
    })
}

fn names(disk: &Disk) -> Vec<String> {
    disk.names("ids").expect("listed")
}

fn bytes_of(disk: &Disk, name: &str) -> Vec<u8> {
    let file = disk.open_file(name).expect("the file is there");
    let mut bytes = vec![0; file.size_bytes() as usize];
    file.read_at(0, &mut bytes).expect("readable");
    bytes
}

fn put(disk: &Disk, name: &str, bytes: &[u8]) {
    let mut draft = disk.draft(name).expect("begun");
    draft.append(bytes).expect("written");
    draft.finish().expect("finished");
}

/// A copy of the log is put back, and the runs beside it are of a course of the log that did not happen then.
#[test]
fn runs_of_another_course_of_the_log_do_not_count() {
    let disk = fresh_disk();
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let mut books = Books::new();
    let engine = open(&disk, &clock);
    make(&mut books, &engine, &clock, [grant(10_000, None)]);
    make(&mut books, &engine, &clock, (0..20).map(event));
    make(&mut books, &engine, &clock, [Step::Tidy]);
    engine.close().expect("a healthy log");
    drop(engine);
    let (then, mut books_then) = (disk.duplicate(), books.clone());
    let engine = open(&disk, &clock);
    make(&mut books, &engine, &clock, (20..60).map(event));
    make(&mut books, &engine, &clock, [Step::Tidy]);
    let end = engine.stats().resident_horizon;
    engine.close().expect("a healthy log");
    drop(engine);
    // Shorter than the runs reach; and, after events of its own, longer.
    for more in [0, 80] {
        let other = then.duplicate();
        let engine = open(&other, &clock);
        make(&mut books_then, &engine, &clock, (100..100 + more).map(event));
        assert_eq!(engine.log().tail().get() > end, more > 0);
        engine.close().expect("a healthy log");
        drop(engine);
        for name in &names(&other) {
            other.delete(name).expect("deleted");
        }
        for name in names(&disk) {
            put(&other, &name, &bytes_of(&disk, &name));
        }
        let engine = open(&other, &clock);
        let mut books = books_then.clone();
        books.resend(&engine);
        // New here, whatever happened in the other course.
        make(&mut books, &engine, &clock, (20..60).map(event));
        books.audit(&engine);
    }
}

/// A grant was declared, and a crash kept it from taking effect. Its key stands in a run, for a run cannot know; it is free all the same.
#[test]
fn the_key_of_a_grant_that_never_took_effect_is_free() {
    let disk = fresh_disk();
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let mut books = Books::new();
    let engine = open(&disk, &clock);
    make(&mut books, &engine, &clock, [grant(90, None)]);
    engine.close().expect("a healthy log");
    drop(engine);
    let (log, _) = Log::open_on(disk.medium(), small().log).expect("opens");
    let record = GrantRecord {
        slot: 0,
        amount: Amount::new(5),
        source: Source::Plan,
        category: Category::Paid,
        priority: 10,
        effective_at: at(BEGIN),
        effective_at_given: false,
        expires_at: None,
        cost_basis: None,
        key: Some("key-7".to_owned()),
        metadata: Metadata::new(),
        created_at: at(BEGIN),
        declared: Declared::default(),
    };
    append_admin(&log, &AdminRecord::Grant(record));
    log.close().expect("a healthy log");
    drop(log);
    let engine = open(&disk, &clock);
    make(&mut books, &engine, &clock, (0..20).map(event));
    make(&mut books, &engine, &clock, [Step::Tidy, grant(40, Some(7)), Step::Tidy]);
    make(&mut books, &engine, &clock, (20..40).map(event));
    // Now this one's.
    make(&mut books, &engine, &clock, [Step::Tidy, Step::GrantAgain(0)]);
    books.audit(&engine);
}
