//! Snapshots that are made while threads go on writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use drawdown::engine::{Engine, EngineConfig, Retention, SnapshotConfig, Unavailable, snapshot};
use drawdown::journal::snapshot::file::SnapshotFile;
use drawdown_wal::{Files, Lsn, Medium};

use crate::books::{BEGIN, Books, Step, clock, set_up, submit};
use crate::engine_props::{grant_of, usage_of};
use crate::model::Policy;

use super::{config, seal};

/// Copies a directory's files with one of these extensions.
fn copy_files(from: &std::path::Path, to: &std::path::Path, extensions: &[&str]) {
    let mut names: Vec<_> =
        std::fs::read_dir(from).expect("a directory").map(|entry| entry.expect("a file").path()).collect();
    // The newest segments first: what a later file vouches for is in the earlier ones when they are copied.
    names.sort_by(|a, b| b.cmp(a));
    for path in names {
        if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
}

fn busy_config() -> EngineConfig {
    let log = drawdown_wal::Options { manual: false, ..drawdown_wal::Options::tiny(128 << 10) };
    EngineConfig { log, ..config(64 << 10, Retention::default()) }
}

/// Does it again when the log had no room.
fn patiently<T>(engine: &Engine, mut ask: impl FnMut() -> Result<T, Unavailable>) {
    while let Err(error) = ask() {
        assert_eq!(error, Unavailable::Overloaded);
        engine.barrier().wait().expect("a healthy log");
    }
}

/// Threads debit, cross levels and grant while snapshots are made one after the other: each of them says what the log says up to it, and
/// the ledger that is opened from the last is the one that was closed.
#[test]
fn snapshots_are_made_while_threads_debit() {
    const SNAPSHOTS: u32 = 4;
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), clock());
    let (engine, _) = Engine::open(dir.path(), busy_config(), clock.clone()).expect("an empty directory");
    set_up(&engine).expect("currencies and meters");
    let mut books = Books::new();
    for wallet in 0..3 {
        books.make(&Step::Grant(grant_of(wallet, 300)), &engine, &clock).expect("a healthy engine");
    }
    let (next, made) = (AtomicU32::new(1_000), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut outcomes = Vec::new();
                while made.load(Ordering::Relaxed) < SNAPSHOTS {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let wallet = (number % 3) as usize;
                    let policy = if wallet == 0 { Policy::Overdraft } else { Policy::Partial };
                    let usage = [usage_of(number, wallet, 2, policy)];
                    patiently(&engine, || submit(&engine, &usage, BEGIN, &mut outcomes));
                    if number % 40 == 0 {
                        let grant = Books::new().request(&grant_of(wallet, 90));
                        patiently(&engine, || engine.grant(std::slice::from_ref(&grant)));
                    }
                }
            });
        }
        scope.spawn(|| {
            while made.load(Ordering::Relaxed) < SNAPSHOTS {
                match engine.snapshot_now() {
                    Ok(Some(_)) => drop(made.fetch_add(1, Ordering::Relaxed)),
                    Ok(None) => std::thread::yield_now(),
                    Err(error) => {
                        made.store(SNAPSHOTS, Ordering::Relaxed);
                        panic!("{error}");
                    }
                }
            }
        });
    });
    seal(&engine);
    engine.snapshot_now().expect("a ledger that replays");
    let digest = engine.digest();
    engine.close().expect("a healthy log");
    drop(engine);
    let copy = tempfile::tempdir().expect("a directory");
    copy_files(dir.path(), copy.path(), &["wal"]);
    let (engine, report) = Engine::open(dir.path(), busy_config(), clock.clone()).expect("a healthy ledger");
    assert_eq!((engine.digest(), report.reopened), (digest, 0));
    let (whole, _) = Engine::open(copy.path(), busy_config(), clock.clone()).expect("a healthy ledger");
    assert_eq!(whole.digest(), digest);
    whole.close().expect("a healthy log");
    engine.close().expect("a healthy log");
    drop((engine, whole));
    // Both that are kept, made one onto the other, against ones made at once.
    let open_files = |dir: &std::path::Path| drawdown_wal::Mapped::open(dir).expect("a lock");
    let kept: Vec<_> = {
        let files = open_files(dir.path());
        let names = files.names("snapshot").expect("a list");
        names
            .iter()
            .map(|name| SnapshotFile::open(&files, name).expect("whole"))
            .map(|file| (file.lsn(), file.digest().expect("readable")))
            .collect()
    };
    assert_eq!(kept.len(), 2);
    for (lsn, digest) in kept {
        let medium: Arc<dyn Medium> = Arc::new(open_files(copy.path()));
        let progress = snapshot::Progress::default();
        snapshot::make_offline_on(&medium, &busy_config(), &*clock, Some(lsn), &progress).expect("a healthy ledger");
        let name = drawdown::journal::snapshot::file_name(lsn);
        assert_eq!(SnapshotFile::open(&*medium, &name).expect("whole").digest().expect("readable"), digest);
        medium.delete(&name).expect("deleted");
    }
}

/// A backup of a server that runs: its snapshots first, then its segments, while it goes on between the two.
#[test]
fn a_copy_made_while_the_ledger_is_written_opens() {
    let (dir, copy, clock) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"), clock());
    let (engine, _) = Engine::open(dir.path(), busy_config(), clock.clone()).expect("an empty directory");
    set_up(&engine).expect("currencies and meters");
    let mut books = Books::new();
    let mut make = |step: Step, engine: &Engine| {
        books.make(&step, engine, &clock).expect("a healthy engine").expect("a ticket").wait().expect("durable");
    };
    make(Step::Grant(grant_of(0, 900)), &engine);
    for round in 0..3 {
        make(Step::Batch(vec![usage_of(round, 0, 5, Policy::Reject)]), &engine);
        seal(&engine);
        engine.snapshot_now().expect("a healthy ledger").expect("something new");
        if round == 1 {
            copy_files(dir.path(), copy.path(), &["snapshot"]);
        }
    }
    copy_files(dir.path(), copy.path(), &["wal"]);
    let digest = engine.digest();
    make(Step::Batch(vec![usage_of(99, 0, 5, Policy::Reject)]), &engine);
    let (opened, report) = Engine::open(copy.path(), busy_config(), clock.clone()).expect("the copy is a ledger");
    assert_eq!(opened.digest(), digest, "all that was acknowledged before the segments were copied is there");
    assert!(report.snapshot > Lsn::ZERO && report.passed_over.is_empty());
    opened.close().expect("a healthy log");
    engine.close().expect("a healthy log");
}

/// The background thread makes snapshots by size and lets segments go, without being asked.
#[test]
fn the_background_makes_snapshots_when_they_are_due() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), clock());
    let snapshots = SnapshotConfig { log_bytes: 128 << 10, ..SnapshotConfig::default() };
    let config = EngineConfig { background: true, snapshots, ..busy_config() };
    let (engine, _) = Engine::open(dir.path(), config, clock.clone()).expect("an empty directory");
    set_up(&engine).expect("currencies and meters");
    seal(&engine);
    engine.request_snapshot();
    // It comes; the test ends when it has.
    while engine.stats().snapshots.made == 0 {
        std::thread::yield_now();
    }
    let stats = engine.stats().snapshots;
    assert_eq!((stats.lsn, stats.failures, stats.progress), (128 << 10, 0, (0, 0)));
    engine.close().expect("a healthy log");
}
