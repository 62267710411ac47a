//! How long does it take to open a ledger: from a fresh snapshot, and from one with events behind it? And what does making one take?
//!
//! `DRAWDOWN_BENCH_LARGE=1` opens 10 M wallets, alone and with 50 M events behind the snapshot, rather than 200 k and 1 M: some 10 GB of disk,
//! below `DRAWDOWN_BENCH_DIR` if that is set, and 5 GB of memory. The files lie on a disk, and in memory as far as the system keeps them
//! there, as after a restart of the process on a machine that stays up. Every balance is compared at the end.

mod common;

use common::batch::Batch;
use common::{BATCH, Ledger, PLENTY, config, disk_dir, is_large, short, size};
use drawdown::engine::{Engine, EngineConfig, SnapshotConfig, SystemClock, Unavailable};
use drawdown_wal::Lsn;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was measured, one a line.
fn say(what: &str, took: Duration, more: &str) {
    println!("{what:<60} {:>9.3} s  {more}", took.as_secs_f64());
}

fn engine_config(wallets: u64) -> EngineConfig {
    let snapshots = SnapshotConfig { log_bytes: 0, ..SnapshotConfig::default() };
    EngineConfig { snapshots, ..config(wallets) }
}

/// Fills the segment that is being written, so that it is sealed.
fn seal(engine: &Engine) {
    let log = engine.log();
    let start = log.segment_start(log.tail());
    while log.segment_start(log.tail()) == start {
        let left = (start.get() + log.segment_bytes() - log.tail().get()).min(32 << 10);
        let admission = log.admit_wait(left, Duration::from_secs(10)).expect("room for padding");
        drop(admission.reserve(1, left as usize - 32));
    }
    engine.barrier().wait().expect("a healthy log");
}

/// Makes a snapshot, and lets go of the log below it.
fn snapshot(engine: &Engine, what: &str) {
    seal(engine);
    let started = Instant::now();
    let made = engine.snapshot_now().expect("a healthy ledger").expect("something new");
    let bytes = made.bytes.checked_div(made.wallets).unwrap_or(0);
    say(what, started.elapsed(), &format!("{} MB, {bytes} bytes a wallet", made.bytes >> 20));
    engine.log().retire(made.lsn).expect("old segments can be removed");
}

/// Opens a ledger that was closed, and closes it again.
fn open(dir: &Path, wallets: u64, events: u64, units: i64, what: &str) {
    let rounds = if is_large() { 2 } else { 3 };
    for round in 0..rounds {
        // What there is is told the tables beforehand no more than after a crash.
        let config = EngineConfig { background: false, expected_events: 1 << 12, ..engine_config(1 << 12) };
        let started = Instant::now();
        let (engine, report) = Engine::open(dir, config, Arc::new(SystemClock)).expect("it opens");
        let took = started.elapsed();
        assert_eq!((report.wallets, report.debits), (wallets, events));
        assert!(report.snapshot > Lsn::ZERO);
        if round == 0 {
            let found: i128 = engine.balances(None, None).iter().map(|total| total.balance).sum();
            assert_eq!(found as i64, units, "the balances differ from what was granted and debited");
        }
        engine.close().expect("a healthy log");
        say(what, took, "");
    }
}

/// Submits a batch. One thread that does nothing else sends faster than identities go to files, and is refused in between, with nothing done:
/// it waits and sends again, as a client would.
fn submit_when_there_is_room(batch: &mut Batch, ledger: &Ledger) {
    while let Err(error) = batch.try_submit(ledger, 1) {
        assert_eq!(error, Unavailable::Overloaded);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn main() {
    let (wallets, events) =
        if is_large() { (10_000_000, 50_000_000) } else { (size(200_000, 500), size(1_000_000, 2_000)) };
    let dir = disk_dir();
    let path = dir.path().to_owned();
    let ledger = Ledger::open(dir, engine_config(wallets), wallets);
    let started = Instant::now();
    for first in (0..wallets).step_by(10_000) {
        let last = wallets.min(first + 10_000);
        drop(ledger.engine.grant(&common::requests(first..last, PLENTY, None)).expect("the log keeps up"));
    }
    let mut units = PLENTY.wrapping_mul(wallets.cast_signed());
    say(&format!("granting to {} wallets", short(wallets)), started.elapsed(), "");
    snapshot(&ledger.engine, "a snapshot from the whole log");
    let dir = ledger.close();
    open(&path, wallets, 0, units, &format!("opening {} wallets from a snapshot", short(wallets)));

    let ledger = Ledger::reopen(dir, engine_config(wallets), wallets);
    let started = Instant::now();
    let mut batch = Batch::new(0);
    for _ in 0..events / BATCH as u64 {
        batch.renew(BATCH, wallets);
        submit_when_there_is_room(&mut batch, &ledger);
        assert_eq!(batch.tally().applied, BATCH);
    }
    units -= events.cast_signed();
    say(&format!("{} events", short(events)), started.elapsed(), "");
    let dir = ledger.close();
    open(&path, wallets, events, units, &format!("opening with {} events behind the snapshot", short(events)));

    let ledger = Ledger::reopen(dir, engine_config(wallets), wallets);
    snapshot(&ledger.engine, &format!("a snapshot onto the one before, {} events", short(events)));
    let _dir = ledger.close();
    open(&path, wallets, 0, units, &format!("opening with {} identities in the snapshot", short(events)));
}
