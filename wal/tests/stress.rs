//! Many threads over mapped files with tiny segments: rotation, retirement and reading all at once.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use drawdown_wal::sim::{Disk, Random};
use drawdown_wal::{AppendError, Log, Lsn, Options, Poisoned, ReadError, Stage, frame_bytes};

const THREADS: u64 = 6;
const FRAMES: u64 = if cfg!(debug_assertions) { 400 } else { 4000 };

fn payload(thread: u64, number: u64) -> Vec<u8> {
    let mut random = Random::new(thread << 32 | number);
    let mut bytes = [thread.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend((0..random.below(900)).map(|_| random.draw() as u8));
    bytes
}

/// Appends everything thread `thread` has to say, waiting for durability now and then.
fn appender(log: &Log, thread: u64, appended: &AtomicU64) {
    let mut random = Random::new(thread);
    for number in 0..FRAMES {
        let bytes = payload(thread, number);
        let capacity = bytes.len() + random.below(64) as usize;
        let admission = log.admit_wait(frame_bytes(capacity as u64), Duration::from_mins(1)).unwrap();
        let mut frame = admission.reserve(thread as u8, capacity);
        let lsn = frame.lsn();
        frame.payload_mut()[..bytes.len()].copy_from_slice(&bytes);
        let end = frame.publish(bytes.len(), number as u32);
        drop(admission);
        assert!(log.tail() >= end);
        appended.fetch_add(1, Ordering::Relaxed);
        if random.below(8) == 0 {
            log.wait_durable(end).unwrap();
            assert!(log.durable() >= end);
            if let Some(view) = log.pinned(lsn) {
                assert_eq!(view.bytes(lsn.plus(32), bytes.len()), Some(&bytes[..]));
            }
        }
    }
}

/// Follows the log until everything was seen, and checks that each thread's frames come in order and unchanged.
fn follower(log: &Log) {
    let mut reader = log.reader(Lsn::ZERO);
    let mut next = [0u64; THREADS as usize];
    let mut seen = 0;
    while seen < THREADS * FRAMES {
        match reader.next().unwrap() {
            Some(frame) => {
                let number = &mut next[frame.kind as usize];
                assert_eq!(frame.payload, payload(u64::from(frame.kind), *number));
                assert_eq!(u64::from(frame.count), *number);
                *number += 1;
                seen += 1;
            }
            None => log.wait_durable(reader.position().plus(1)).unwrap(),
        }
        if seen % 500 == 0 {
            // What was read is needed no longer. The reader keeps the segment it stands in.
            log.retire(reader.position()).unwrap();
        }
    }
}

#[test]
fn appenders_a_follower_and_retirement_agree() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { manual: false, max_unsynced_bytes: 12288, ..Options::tiny(16384) };
    let (log, _) = Log::open(directory.path(), options.clone()).unwrap();
    let appended = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, appended) = (&log, &appended);
            scope.spawn(move || appender(log, thread, appended));
        }
        scope.spawn(|| follower(&log));
    });
    assert_eq!(appended.load(Ordering::Relaxed), THREADS * FRAMES);
    assert_eq!(log.durable(), log.tail());
    let stats = log.stats();
    assert_eq!(stats.unsynced_bytes, 0);
    assert_eq!(stats.sync_latency.iter().sum::<u64>(), stats.syncs);
    let first = log.first();
    assert!(first > Lsn::new(16384));
    assert!(matches!(log.reader(Lsn::ZERO).next(), Err(ReadError::Retired { .. })));
    log.close().unwrap();
    drop(log);
    let (_, recovery) = Log::open(directory.path(), options).unwrap();
    assert_eq!((recovery.first, recovery.torn), (first, None));
}

#[test]
fn closing_releases_those_who_wait_for_more() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { manual: false, ..Options::tiny(16384) };
    let (log, _) = Log::open(directory.path(), options).unwrap();
    let far = log.tail().plus(1 << 20);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait_durable(far));
        log.close().unwrap();
        let Err(Poisoned { stage, .. }) = waiter.join().unwrap() else { panic!("nothing was written there") };
        assert_eq!(stage, Stage::Closed);
    });
}

#[test]
fn a_failed_sync_reaches_everyone_who_waits() {
    let disk = Disk::new();
    let options = Options { manual: false, ..Options::tiny(16384) };
    let (log, _) = Log::open_on(disk.medium(), options).unwrap();
    disk.fail_sync(disk.syncs() + 3);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let stage = loop {
                    match log.admit_wait(64, Duration::from_mins(1)) {
                        Ok(admission) => {
                            let end = admission.reserve(thread, 32).publish(32, 0);
                            if let Err(poisoned) = log.wait_durable(end) {
                                break poisoned.stage;
                            }
                        }
                        Err(AppendError::Poisoned(poisoned)) => break poisoned.stage,
                        Err(error) => panic!("{error}"),
                    }
                };
                assert_eq!(stage, Stage::Sync);
            });
        }
    });
    assert_eq!(log.close().unwrap_err().stage, Stage::Sync);
}

/// Frames that fill a segment to its last byte leave no rest to be padded. The preparer was once woken by whoever padded the rest, so
/// such a log stood still two segments on.
#[test]
fn segments_filled_to_the_last_byte_do_not_stop_the_preparer() {
    let disk = Disk::new();
    let options = Options { manual: false, segments_ahead: 1, ..Options::tiny(8192) };
    let (log, _) = Log::open_on(disk.medium(), options).unwrap();
    for _ in 0..10 * 4096 / 32 {
        log.admit_wait(32, Duration::from_mins(1)).unwrap().reserve(1, 0).publish(0, 0);
    }
    log.wait_durable(log.tail()).unwrap();
    assert!(disk.creations() >= 10);
}

#[test]
fn the_preparer_goes_on_by_itself_when_there_is_space_again() {
    let disk = Disk::new();
    let options = Options { manual: false, ..Options::tiny(16384) };
    let (log, _) = Log::open_on(disk.medium(), options).unwrap();
    let append = |log: &Log| {
        let admission = log.admit_wait(1024, Duration::from_mins(1))?;
        Ok::<_, AppendError>(admission.reserve(1, 992).publish(992, 0))
    };
    disk.fill_up(disk.creations() + 1);
    let error = loop {
        if let Err(error) = append(&log) {
            break error;
        }
    };
    assert!(matches!(error, AppendError::NoSpace { .. }), "{error}");
    disk.make_space();
    let end = loop {
        match append(&log) {
            Ok(end) => break end,
            Err(AppendError::NoSpace { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    log.wait_durable(end).unwrap();
    assert!(log.close().is_ok());
}

#[test]
fn futures_complete_when_their_position_is_durable_and_not_before() {
    let disk = Disk::new();
    let (log, _) = Log::open_on(disk.medium(), Options::tiny(16384)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(log.when_durable(log.admit(32).unwrap().reserve(1, 0).publish(0, 0)));
    let beyond = Box::pin(log.when_durable(log.tail().plus(32)));
    assert!(first.as_mut().poll(&mut context).is_pending());
    drop(beyond);
    log.pump();
    assert!(matches!(first.as_mut().poll(&mut context), Poll::Ready(Ok(()))));

    let all = log.admit(log.max_admission_bytes()).unwrap();
    let mut admitted = Box::pin(log.admitted(32));
    assert!(admitted.as_mut().poll(&mut context).is_pending());
    drop(all);
    assert!(matches!(admitted.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
}
