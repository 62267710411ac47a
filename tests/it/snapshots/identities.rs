//! Identities that a snapshot leaves to files, keeps, or forgets.

use drawdown::engine::{Engine, EngineConfig, EventStatus, Retention};
use drawdown::journal::snapshot::file::SnapshotFile;
use drawdown::ledger::Rejection;
use drawdown_wal::{Files, Lsn};

use crate::books::{GrantSpec, Step, Usage, WINDOW_MS, When, submit};
use crate::engine_props::{grant_of, usage_of};
use crate::model::Policy;

use super::retention::retired_tale_with;
use super::tale::{Act, FOR_ONE, Tale};
use super::{check_cuts, config, frames, greedy, open, run_names, snapshot_names, without_snapshots};

/// A snapshot leaves to files what they hold. Those are lost, and the log begins behind what was retired: they are derived from what is
/// left of it, and every identity within the window is known. So it is from the older snapshot, and from the log without files before.
#[test]
fn identities_that_a_snapshot_leaves_to_files_are_known_when_those_are_lost() {
    let mut tale = retired_tale_with(EngineConfig { idempotency_memory: FOR_ONE, ..config(1 << 20, greedy()) });
    tale.make(&Step::Tidy);
    for id in 0..20 {
        tale.make(&Step::Batch(vec![usage_of(100 + id, 0, 3, Policy::Reject)]));
        if id % 5 == 4 {
            tale.make(&Step::Tidy);
        }
        if id % 8 == 7 {
            tale.act(&Act::Seal(1));
            tale.act(&Act::Snapshot);
        }
    }
    tale.act(&Act::Retire);
    assert!(!tale.is_whole());
    let stats = tale.engine.stats();
    assert!(stats.idempotency_horizon < stats.resident_horizon && stats.spilled.identities >= 19, "{stats:?}");
    assert!(tale.engine.first_lsn().get() <= stats.idempotency_horizon, "what files are derived from is kept");
    let newest = SnapshotFile::open(&tale.disk, &snapshot_names(&tale.disk)[1]).expect("a snapshot");
    let sums = newest.sums();
    assert!(sums.identities_from > stats.idempotency_horizon && sums.identities <= 2, "{sums:?}");
    let known_again = |tale: &Tale| {
        let mut books = tale.books.clone();
        assert_eq!(tale.engine.stats().spill_failures, 0);
        assert!(tale.engine.stats().resident_events <= 1, "{:?}", tale.engine.stats());
        books.resend(&tale.engine);
        books.audit_present(&tale.engine);
    };
    tale.act(&Act::Reopen);
    known_again(&tale);
    tale.act(&Act::LoseRuns);
    assert!(!run_names(&tale.disk).is_empty());
    known_again(&tale);
    // Plenty of memory does not bring back what the snapshot leaves out; the log does.
    tale.config.idempotency_memory = 1 << 30;
    tale.act(&Act::LoseRuns);
    tale.books.clone().resend(&tale.engine);
    let names = snapshot_names(&tale.disk);
    tale.engine.close().expect("a healthy log");
    let disk = tale.disk.duplicate();
    disk.delete(&names[1]).expect("deleted");
    for name in &run_names(&disk) {
        disk.delete(name).expect("deleted");
    }
    let (engine, report) = open(&disk, &tale.clock, &tale.config).expect("a healthy ledger");
    assert_eq!(drawdown::journal::snapshot::lsn_of(&names[0]), Some(report.snapshot));
    tale.books.resend(&engine);
}

/// Segments go by the window that there is. Raised later, it does not reach back behind what is left: whoever sends an event of that time again
/// is refused, in memory or not.
#[test]
fn a_raised_window_reaches_back_to_the_log_that_is_left() {
    for identities in [FOR_ONE, 1 << 30] {
        let config = EngineConfig { idempotency_memory: identities, ..config(1 << 20, greedy()) };
        let mut tale = Tale::begin_with(config);
        tale.make(&Step::Grant(grant_of(0, 50)));
        let old = tale.books.now;
        tale.make(&Step::Batch(vec![usage_of(1, 0, 1, Policy::Reject)]));
        for _ in 0..2 {
            tale.make(&Step::Tidy);
            // Both snapshots hold the identity.
            tale.act(&Act::Seal(4));
            tale.act(&Act::Snapshot);
        }
        tale.act(&Act::LongPause);
        tale.act(&Act::Retire);
        assert!(!tale.is_whole());
        tale.engine.close().expect("a healthy log");
        tale.config.idempotency_window_ms = 30 * WINDOW_MS;
        let (engine, _) = open(&tale.disk.duplicate(), &tale.clock, &tale.config).expect("a healthy ledger");
        let usage = Usage { time: When::Before(tale.books.now - old), ..usage_of(1, 0, 1, Policy::Reject) };
        let mut outcomes = Vec::new();
        submit(&engine, &[usage], tale.books.now, &mut outcomes).expect("a healthy engine").wait().expect("durable");
        assert_eq!(outcomes[0].status, EventStatus::Rejected(Rejection::EventTooOld));
    }
}

/// Identities are known from a snapshot, from the log behind it, and where the one holds the grant's declaration and the other its effect.
#[test]
fn identities_are_known_whatever_frame_a_snapshot_ends_at() {
    let mut tale = Tale::begin(1 << 20, Retention::default());
    for number in 0..3_u8 {
        tale.make(&Step::Grant(GrantSpec { key: Some(number), ..grant_of(usize::from(number % 2), 50) }));
        tale.make(&Step::Batch(vec![usage_of(number.into(), 0, 3, Policy::Reject)]));
    }
    tale.engine.close().expect("a healthy log");
    let frames = frames(&tale.disk).len();
    let (disk, books) = (tale.disk.duplicate(), tale.books);
    check_cuts(&disk, &tale.clock, 0..frames, &|engine| {
        let mut books = books.clone();
        books.resend(engine);
        for number in 0..3 {
            books.make(&Step::GrantAgain(number), engine, &tale.clock).expect("a healthy engine");
        }
        books.audit(engine);
    });
}

/// Of two identities one has left the window since the snapshot, the other has not.
#[test]
fn identities_are_forgotten_alike_with_a_snapshot_and_without() {
    for snapshot_at in 0..3 {
        let mut tale = Tale::begin(1 << 20, Retention::default());
        tale.make(&Step::Grant(grant_of(0, 50)));
        for number in 0..3 {
            tale.make(&Step::Batch(vec![usage_of(number, 0, 1, Policy::Reject)]));
            tale.act(&Act::Seal(1));
            if number == snapshot_at {
                tale.act(&Act::Snapshot);
            }
            tale.make(&Step::Pause(WINDOW_MS / 2 + 90_000));
        }
        tale.reopen();
        // The books know which of them are free again.
        for number in 0..3 {
            tale.make(&Step::Batch(vec![usage_of(number, 0, 1, Policy::Reject)]));
        }
        tale.reopen();
    }
}

/// A window that is raised reaches back no further than identities are known: an older event is refused, for it may have been applied.
#[test]
fn a_raised_window_refuses_what_was_forgotten_under_the_old_one() {
    let mut tale = Tale::begin(1 << 20, Retention::default());
    tale.make(&Step::Grant(grant_of(0, 50)));
    let old = tale.books.now;
    tale.make(&Step::Batch(vec![usage_of(1, 0, 1, Policy::Reject)]));
    tale.act(&Act::LongPause);
    let recent = tale.books.now;
    tale.make(&Step::Batch(vec![usage_of(2, 0, 1, Policy::Reject)]));
    tale.act(&Act::Seal(1));
    tale.act(&Act::Snapshot);
    tale.engine.close().expect("a healthy log");
    let config = EngineConfig { idempotency_window_ms: 30 * WINDOW_MS, ..tale.config.clone() };
    let status = |engine: &Engine, usage: &Usage, time: u64| {
        let mut outcomes = Vec::new();
        let usage = Usage { time: When::Before(tale.books.now - time), ..usage.clone() };
        submit(engine, &[usage], tale.books.now, &mut outcomes).expect("a healthy engine").wait().expect("durable");
        outcomes[0].status
    };
    let (first, second) = (usage_of(1, 0, 1, Policy::Reject), usage_of(2, 0, 1, Policy::Reject));
    let (engine, report) = open(&tale.disk.duplicate(), &tale.clock, &config).expect("a healthy ledger");
    assert!(report.snapshot > Lsn::ZERO);
    assert_eq!(status(&engine, &first, old), EventStatus::Rejected(Rejection::EventTooOld));
    assert_eq!(status(&engine, &second, recent), EventStatus::Duplicate);
    // The whole log knows both.
    let (engine, _) = open(&without_snapshots(&tale.disk), &tale.clock, &config).expect("a healthy ledger");
    assert_eq!(status(&engine, &first, old), EventStatus::Duplicate);
    assert_eq!(status(&engine, &second, recent), EventStatus::Duplicate);
}
