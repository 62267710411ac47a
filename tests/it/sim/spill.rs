//! The power is cut while identities are spilled and their runs merged, and the log is cut under runs that are whole.

use std::sync::Arc;

use drawdown::engine::{Engine, EngineConfig, ManualClock, OpenError};
use drawdown::files::{self, Memory};
use drawdown_wal::sim::{Disk, Random};

use super::{Replay, Run, SEGMENT_BYTES, append_admin, copy, fresh_disk, seeds, workload};
use crate::books::{BEGIN, Books, GrantSpec, Step, Usage, WalletNumber, at, config};
use drawdown::engine::view::Metadata;
use drawdown::journal::admin::{AdminRecord, GrantRecord};
use drawdown::ledger::{Amount, Category, Source};
use drawdown_wal::Log;

/// Room for a few identities.
fn small() -> EngineConfig {
    EngineConfig { idempotency_memory: 2 * 48, ..config(SEGMENT_BYTES) }
}

fn try_open(disk: &Disk, files: &Memory, clock: &Arc<ManualClock>) -> Result<Engine, OpenError> {
    Engine::open_with(disk.medium(), Arc::new(files.clone()), small(), clock.clone()).map(|(engine, _)| engine)
}

fn open(disk: &Disk, files: &Memory, clock: &Arc<ManualClock>) -> Engine {
    try_open(disk, files, clock).expect("what is left can be opened")
}

/// A workload with the background's round after every step.
fn steps(seed: u64, count: usize) -> Vec<Step> {
    workload::steps(seed, count).into_iter().flat_map(|step| [step, Step::Tidy]).collect()
}

/// Opens the engine on what was left, compares, sends everything again, and opens it once more.
fn recover(run: &Run, disk: &Disk, files: &Memory) {
    let engine = open(disk, files, &run.clock);
    let mut books = run.books.cut_back(&engine, run.acknowledged);
    books.audit(&engine);
    books.make(&Step::Tidy, &engine, &run.clock).expect("a healthy engine");
    books.send_all_again(&engine);
    books.make(&Step::Tidy, &engine, &run.clock).expect("a healthy engine");
    books.send_all_again(&engine);
    books.audit(&engine);
    drop(engine);
    books.audit(&open(disk, files, &run.clock));
}

#[test]
fn a_power_cut_at_any_moment_of_spilling_and_merging_loses_no_identity() {
    for seed in seeds(1) {
        let mut replay = Replay::new(seed);
        let steps = steps(seed ^ 0x5b11, 22);
        let make = |files: &Memory, opening: &Disk| {
            let mut run = Run::new();
            let engine = open(opening, files, &run.clock);
            run.make(&engine, &steps, &mut Random::new(seed)).expect("the log is healthy");
            run
        };
        replay.doing = "nothing fails".to_owned();
        let files = Memory::new();
        make(&files, &fresh_disk());
        let operations = files.operations();
        assert!(operations > 40, "{operations}");
        for operation in (1..=operations).step_by(3) {
            for cut in [files::Cut::Before, files::Cut::After] {
                replay.doing = format!("cutting the files' power at operation {operation}, {cut:?}");
                let (disk, files) = (fresh_disk(), Memory::new());
                files.cut_power_at(operation, cut);
                let run = make(&files, &disk);
                assert!(files.is_cut());
                recover(&run, &disk.crash(operation), &files.left());
            }
        }
    }
}

#[test]
fn a_log_that_is_cut_holds_all_that_its_runs_say() {
    for seed in seeds(2) {
        let mut replay = Replay::new(seed);
        let steps = steps(seed ^ 0xc07, 20);
        let disk = fresh_disk();
        let mut run = Run::new();
        let engine = open(&disk, &Memory::new(), &run.clock);
        run.make(&engine, &steps, &mut Random::new(seed)).expect("nothing fails");
        drop(engine);
        let syncs = disk.syncs();
        for sync in (1..=syncs).step_by(2) {
            replay.doing = format!("cutting the power at sync {sync}");
            let (mut run, disk, files) = (Run::new(), fresh_disk(), Memory::new());
            let mut random = Random::new(seed ^ sync << 32);
            disk.cut_power_at(sync, super::CUTS[random.below(3) as usize], random.draw());
            if let Ok(engine) = try_open(&disk, &files, &run.clock) {
                let _ = run.make(&engine, &steps, &mut Random::new(seed));
            }
            let left = disk.left().expect("the sync was reached, if only by the closing");
            recover(&run, &left, &files.left());
        }
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
    })
}

/// A copy of the log is put back, and the runs beside it are of a course of the log that did not happen then.
#[test]
fn runs_of_another_course_of_the_log_do_not_count() {
    let (disk, files) = (fresh_disk(), Memory::new());
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let mut books = Books::new();
    let engine = open(&disk, &files, &clock);
    make(&mut books, &engine, &clock, [grant(10_000, None)]);
    make(&mut books, &engine, &clock, (0..20).map(event));
    make(&mut books, &engine, &clock, [Step::Tidy]);
    engine.close().expect("a healthy log");
    drop(engine);
    let (then, mut books_then) = (copy(&disk), books.clone());
    let engine = open(&disk, &files, &clock);
    make(&mut books, &engine, &clock, (20..60).map(event));
    make(&mut books, &engine, &clock, [Step::Tidy]);
    let end = engine.stats().resident_horizon;
    engine.close().expect("a healthy log");
    drop(engine);
    // Shorter than the runs reach; and, after events of its own, longer.
    for more in [0, 80] {
        let disk = copy(&then);
        let engine = open(&disk, &Memory::new(), &clock);
        make(&mut books_then, &engine, &clock, (100..100 + more).map(event));
        assert_eq!(engine.log().tail().get() > end, more > 0);
        engine.close().expect("a healthy log");
        drop(engine);
        let files = files.left();
        let engine = open(&disk, &files, &clock);
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
    let (disk, files) = (fresh_disk(), Memory::new());
    let clock = Arc::new(ManualClock::new(at(BEGIN)));
    let mut books = Books::new();
    let engine = open(&disk, &files, &clock);
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
    };
    append_admin(&log, &AdminRecord::Grant(record));
    log.close().expect("a healthy log");
    drop(log);
    let engine = open(&disk, &files, &clock);
    make(&mut books, &engine, &clock, (0..20).map(event));
    make(&mut books, &engine, &clock, [Step::Tidy, grant(40, Some(7)), Step::Tidy]);
    make(&mut books, &engine, &clock, (20..40).map(event));
    // Now this one's.
    make(&mut books, &engine, &clock, [Step::Tidy, Step::GrantAgain(0)]);
    books.audit(&engine);
}
