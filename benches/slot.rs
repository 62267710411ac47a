//! What a debit costs: alone, on a wallet that others debit too, and when it is an operation.
//!
//! Two threads on one slot report the time that one debit takes while another thread debits the same wallet without a pause; the
//! throughput of both together is twice that.

use criterion::{Criterion, criterion_group, criterion_main};
use drawdown::store::pin;
use drawdown::store::slot::group::{Closed, Ended, JointOpening};
use drawdown::store::slot::{Driver, Generation, Opening, Rules, Slot, Terms};
use drawdown::store::word::Deadline;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

struct Plain;

struct Balance(i64);

impl Rules for Plain {
    type Terms = Balance;
    type Operation = i64;
    type Effects = ();
    type Group = ();
    type GroupEffects = ();
}

impl Terms for Balance {
    fn opening(&self) -> i64 {
        self.0
    }
    fn base(&self) -> i64 {
        0
    }
    fn deadline(&self) -> Deadline {
        Deadline::NEVER
    }
    fn adjustment(&self) -> i64 {
        0
    }
}

/// A log that is a counter.
struct Tail(AtomicU64);

impl Driver<Plain> for Tail {
    fn close(&self, _: &Balance, closing: i64, amount: &i64) -> (Balance, ()) {
        (Balance(closing - amount), ())
    }
    fn log(&self, slot: &Slot<Plain>, _: &Opening<'_, Plain>) -> Option<u64> {
        let lsn = self.0.fetch_add(64, Ordering::Relaxed);
        black_box(slot.link(lsn));
        Some(lsn)
    }
    fn of(&self, _: u32) -> Self {
        unreachable!("there are no groups")
    }
    fn slot(&self, _: u32) -> &Slot<Plain> {
        unreachable!("there are no groups")
    }
    fn close_group(&self, (): &(), _: &[Ended<'_, Plain>]) -> (Vec<Closed<Plain>>, ()) {
        unreachable!("there are no groups")
    }
    fn log_group(&self, _: &JointOpening<'_, Plain>) -> Option<u64> {
        unreachable!("there are no groups")
    }
}

/// Enough for any number of debits of 1.
const RICH: i64 = i64::MAX;

fn open(slot: Slot<Plain>) -> Slot<Plain> {
    slot.open(1, 1, Generation::new(1, 1, Balance(RICH)));
    slot
}

fn close(slot: &Slot<Plain>) {
    // SAFETY: the bench is done with the slot.
    unsafe { slot.free() };
}

fn now() -> Deadline {
    black_box(Deadline::EPOCH)
}

fn what_does_a_debit_cost_in_its_slot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does a debit cost in its slot");
    let slot = open(Slot::unopened());
    group.bench_function("one debit alone on a cached slot", |bench| {
        bench.iter(|| slot.debit(black_box(1), now(), true).expect("rich"));
    });
    group.bench_function("one debit alone, linked to its record", |bench| {
        bench.iter(|| (slot.debit(black_box(1), now(), true).expect("rich"), slot.link(black_box(2))));
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                black_box(slot.debit(1, now(), true));
            }
        });
        group.bench_function("one debit on a slot that another thread debits", |bench| {
            bench.iter(|| slot.debit(black_box(1), now(), true).expect("rich"));
        });
        done.store(true, Ordering::Relaxed);
    });
    group.finish();
    close(&slot);
}

fn what_does_an_operation_cost_in_its_slot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does an operation cost in its slot");
    let slot = open(Slot::unopened());
    let log = Tail(AtomicU64::new(64));
    group.bench_function("one crossing", |bench| {
        bench.iter(|| {
            let guard = pin();
            let reading = slot.read_settled(&log, &guard).expect("open");
            slot.change(&log, reading.generation, black_box(1), &guard).is_ok()
        });
    });
    group.bench_function("one reading", |bench| {
        bench.iter(|| slot.read(&pin()).map(|reading| reading.balance));
    });
    group.finish();
    close(&slot);
}

criterion_group!(benches, what_does_a_debit_cost_in_its_slot, what_does_an_operation_cost_in_its_slot);
criterion_main!(benches);
