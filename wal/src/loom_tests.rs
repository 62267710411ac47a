//! Models of the log's concurrency: the real code with its real orderings, over segments of 14 slots.
//!
//! Run by `RUSTFLAGS="--cfg drawdown_loom" cargo test -p drawdown-wal --release --lib`. Every execution ends with the same questions:
//! do frames tile the log without overlap, is everything published durable, can it be read back? Loom itself reports races on payload
//! bytes (each slot is a tracked cell) and lost wake-ups (all threads blocked).

use std::sync::Arc;

use loom::thread;

use crate::error::AppendError;
use crate::format::frame_bytes;
use crate::group_commit::Flushed;
use crate::log::{Log, Options};
use crate::lsn::Lsn;
use crate::medium::Heap;
use crate::wakers::block_on;
use crate::writer::{Admitted, Core, WhenDurable};

fn model(test: impl Fn() + Sync + Send + 'static) {
    model_within(2, test);
}

fn model_within(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(test);
}

fn open(max_unsynced_bytes: u64) -> Log {
    let options = Options { segments_ahead: 1, max_unsynced_bytes, ..Options::tiny(512) };
    Log::open_on(Arc::new(Heap::new()), options).expect("an empty heap opens").0
}

fn append(core: &Core, byte: u8) -> Lsn {
    let admission = core.admit(64).expect("there is room");
    let mut frame = admission.reserve(1, 32);
    frame.payload_mut().fill(byte);
    frame.publish(32, 1)
}

/// The first payload byte of every durable frame.
fn read(log: &Log) -> Vec<u8> {
    let mut reader = log.reader(Lsn::ZERO);
    let mut seen = Vec::new();
    while let Some(frame) = reader.next().expect("durable frames check") {
        assert!(frame.payload.iter().all(|&byte| byte == frame.payload[0]));
        seen.push(frame.payload[0]);
    }
    seen.sort_unstable();
    seen
}

/// Two appenders wait for their own frames while the flusher runs: nobody sleeps for ever, both frames are durable at the end.
///
/// Within one preemption, for two take six minutes (they pass); `the_park_flag_loses_no_publication` has two threads and two preemptions.
#[test]
fn waiters_and_flusher_lose_no_wake_up() {
    model_within(1, || {
        let log = open(512);
        let core = Arc::clone(log.core());
        let flusher = {
            let core = Arc::clone(&core);
            thread::spawn(move || core.run_flusher())
        };
        core.commit.employ(flusher.thread().clone());
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || append(&core, 2))
        };
        let end = append(&core, 1);
        block_on(WhenDurable::new(Arc::clone(&core), end)).expect("not poisoned");
        assert!(core.commit.durable() >= end);
        other.join().expect("no panic");
        core.shut();
        flusher.join().expect("no panic");
        assert!(core.drained());
        assert_eq!(read(&log), [1, 2]);
    });
}

/// The park flag alone: whatever is published before the log is shut is durable when the flusher ends.
#[test]
fn the_park_flag_loses_no_publication() {
    model(|| {
        let log = open(512);
        let core = Arc::clone(log.core());
        let flusher = {
            let core = Arc::clone(&core);
            thread::spawn(move || core.run_flusher())
        };
        core.commit.employ(flusher.thread().clone());
        let first = append(&core, 1);
        block_on(WhenDurable::new(Arc::clone(&core), first)).expect("not poisoned");
        let second = append(&core, 2);
        block_on(WhenDurable::new(Arc::clone(&core), second)).expect("not poisoned");
        core.shut();
        flusher.join().expect("no panic");
    });
}

/// Two appenders meet a segment's end, with a third thread flushing: exactly one pads the rest, frames tile both segments.
#[test]
fn appenders_cross_a_segment_end() {
    model(|| {
        let log = open(512);
        while log.pump().prepared {}
        // 32 bytes of header frame, then up to 32 bytes before the end: neither frame of 64 fits the rest.
        for _ in 0..6 {
            append(log.core(), 9);
            log.core().flush();
        }
        assert_eq!(log.tail(), Lsn::new(512 - 32));
        log.core().prepare(false).expect("the heap has room");
        let core = Arc::clone(log.core());
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || append(&core, 2))
        };
        let flusher = {
            let core = Arc::clone(&core);
            thread::spawn(move || core.flush())
        };
        append(&core, 1);
        other.join().expect("no panic");
        flusher.join().expect("no panic");
        while core.flush() == Flushed::Synced {}
        assert_eq!(core.commit.durable(), core.tail.position());
        assert_eq!(log.tail(), Lsn::new(512 + 64 + 128));
        assert_eq!(read(&log), [1, 2, 9, 9, 9, 9, 9, 9]);
    });
}

/// A reader that finds bytes finds them whole. Allowed: nothing, or all of them. Forbidden: a race, or a part.
#[test]
fn a_view_shows_a_frame_whole_or_not_at_all() {
    model(|| {
        let log = open(512);
        let core = Arc::clone(log.core());
        let lsn = log.tail();
        let view = log.pinned(lsn).expect("the segment exists");
        let writer = thread::spawn(move || {
            let admission = core.admit(64).expect("there is room");
            let mut frame = admission.reserve(1, 32);
            frame.payload_mut().fill(7);
            // Shorter than reserved: the padding behind it is published before it.
            frame.publish(0, 0)
        });
        if let Some(bytes) = view.bytes(lsn, 64) {
            assert_eq!(bytes[16 + 4], 1, "the kind");
        }
        writer.join().expect("no panic");
        assert!(view.bytes(lsn, 64).is_some());
    });
}

/// An admission that waits for room gets it, whether room comes from a sync or from an admission given back.
#[test]
fn waiting_for_admission_loses_no_wake_up() {
    model(|| {
        let log = open(64);
        let core = Arc::clone(log.core());
        let held = log.core().admit(64).expect("nothing is outstanding");
        let waiter = thread::spawn(move || {
            let admission = block_on(Admitted::new(&core, 64)).expect("room comes");
            admission.reserve(1, 32).publish(32, 1)
        });
        held.reserve(1, 32).publish(32, 1);
        drop(held);
        log.core().flush();
        waiter.join().expect("no panic");
        log.core().flush();
        assert_eq!(log.durable(), log.tail());
    });
}

/// As above, and nothing is ever synced: the admission given back is all there is to wake the waiter.
#[test]
fn an_admission_given_back_wakes_whoever_waits() {
    model(|| {
        let log = open(64);
        let core = Arc::clone(log.core());
        let held = log.core().admit(64).expect("nothing is outstanding");
        let waiter = thread::spawn(move || {
            drop(block_on(Admitted::new(&core, 64)).expect("room comes"));
        });
        drop(held);
        waiter.join().expect("no panic");
    });
}

/// Two admissions compete for room for one. Forbidden: both get in. (Both refused is allowed: each may see the other.)
#[test]
fn admissions_never_exceed_the_bound() {
    model(|| {
        let log = open(96);
        let core = Arc::clone(log.core());
        let other = thread::spawn(move || match core.admit(64) {
            Ok(admission) => Some(admission.reserve(1, 32).publish(32, 1)),
            Err(AppendError::Overloaded { .. }) => None,
            Err(error) => panic!("{error}"),
        });
        let mine = log.core().admit(64).map(|admission| admission.reserve(1, 32).publish(32, 1));
        let theirs = other.join().expect("no panic");
        assert!(mine.is_err() || theirs.is_none());
        assert!(log.tail().get() - log.durable().get() <= 96);
        assert_eq!(frame_bytes(32), 64);
    });
}

/// Closing races with an append: it is refused, or it is durable when the flusher has ended.
#[test]
fn closing_leaves_nothing_behind() {
    model(|| {
        let log = open(512);
        let core = Arc::clone(log.core());
        let flusher = {
            let core = Arc::clone(&core);
            thread::spawn(move || core.run_flusher())
        };
        core.commit.employ(flusher.thread().clone());
        let appender = {
            let core = Arc::clone(&core);
            thread::spawn(move || match core.admit(64) {
                Ok(admission) => Some(admission.reserve(1, 32).publish(32, 1)),
                Err(AppendError::Closed) => None,
                Err(error) => panic!("{error}"),
            })
        };
        core.shut();
        flusher.join().expect("no panic");
        let end = appender.join().expect("no panic");
        assert!(end.is_none_or(|end| core.commit.durable() >= end));
        assert!(core.drained());
    });
}
