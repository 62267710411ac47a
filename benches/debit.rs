//! What does a debit cost, in process? Alone and in batches, over few and many wallets, on one, from two threads, sent again, and with
//! grants in between.
//!
//! All figures are per event. Where two threads submit, the time is that of both together: half the single thread's figure would be
//! perfect scaling. The flusher of the log and the preparer of its segments run beside all of them, as in service.
//!
//! `DRAWDOWN_BENCH_LARGE=1` adds 10 M wallets and 10 M remembered events (some minutes to set up, about 6 GB of memory).

mod common;

use common::batch::{Batch, mix, time_batches, time_singles, time_threads};
use common::{BATCH, Ledger, PLENTY, is_large, is_measuring, requests, short, size};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};

/// Numbers of events of different batches begin so far apart that they never meet.
const APART: u64 = 1 << 48;

const GRANTS_PER_BATCH: usize = BATCH / 100;

/// Sizes to measure; a small one for seeing that the bench runs.
fn sizes(measured: &[u64], large: u64) -> Vec<u64> {
    match (is_measuring(), is_large()) {
        (_, true) => [measured, &[large]].concat(),
        (true, false) => measured.to_vec(),
        (false, false) => vec![100],
    }
}

fn what_does_a_debit_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does a debit cost");
    group.sample_size(30);
    for wallets in sizes(&[10_000, 1_000_000], 10_000_000) {
        let ledger = Ledger::new(wallets, PLENTY);
        let mut batch = Batch::new(0);
        let name = format!("{} wallets", short(wallets));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("alone", &name), |bencher| {
            bencher.iter_custom(|rounds| time_singles(&ledger, &mut batch, rounds));
        });
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("batch of 1000", &name), |bencher| {
            bencher.iter_custom(|rounds| time_batches(&ledger, &mut batch, rounds, BATCH));
        });
        let mut next = [APART, 2 * APART];
        group.throughput(Throughput::Elements(2 * BATCH as u64));
        group.bench_function(BenchmarkId::new("batches of 1000 from 2 threads", &name), |bencher| {
            bencher.iter_custom(|rounds| time_threads(&ledger, &mut next, rounds));
        });
        ledger.verify();
    }
    group.finish();
}

fn what_does_one_hot_wallet_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does one hot wallet cost");
    group.sample_size(30);
    let ledger = Ledger::new(1, PLENTY);
    for threads in [1, 2] {
        let mut next: Vec<u64> = (0..threads).map(|thread| (10 * threads + thread) * APART).collect();
        group.throughput(Throughput::Elements(threads * BATCH as u64));
        group.bench_function(BenchmarkId::new("batches of 1000, threads", threads), |bencher| {
            bencher.iter_custom(|rounds| time_threads(&ledger, &mut next, rounds));
        });
    }
    ledger.verify();
    group.finish();
}

/// The log keeps all records here, for a duplicate is answered from its original's.
fn what_does_a_duplicate_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does a duplicate cost");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(20);
    for remembered in sizes(&[1_000_000], 10_000_000) {
        let ledger = Ledger::new(size(10_000, 10), PLENTY);
        let mut batch = Batch::new(0);
        let batches = remembered.div_ceil(BATCH as u64);
        for _ in 0..batches {
            batch.renew(BATCH, ledger.wallets);
            batch.submit(&ledger, 1);
            assert_eq!(batch.tally().applied, BATCH);
        }
        ledger.engine.barrier().wait().expect("a healthy log");
        ledger.debited(batch.next_number(), 1);
        let mut draw = 0;
        group.bench_function(BenchmarkId::new("batch of 1000, remembered", short(remembered)), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    draw += 1;
                    batch.repeat(mix(draw) % batches * BATCH as u64, BATCH, ledger.wallets);
                    took += batch.submit(&ledger, 1);
                    assert_eq!(batch.tally().duplicate, BATCH);
                }
                took
            });
        });
        ledger.verify();
    }
    group.finish();
}

/// One grant per hundred debits: each batch is followed by one call with ten grants to wallets drawn at random. A grant is worth a hundred
/// debits and is spent first, so that wallets keep a few grants each, however long this runs.
fn what_do_grants_among_debits_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what do grants among debits cost");
    group.throughput(Throughput::Elements((BATCH + GRANTS_PER_BATCH) as u64));
    group.sample_size(30);
    let ledger = Ledger::new(size(10_000, 100), PLENTY);
    let mut batch = Batch::new(0);
    let mut draw = 0;
    group.bench_function("1000 debits, then 10 grants", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for round in 0..rounds {
                draw += 1;
                let wallet = |n| mix(draw * GRANTS_PER_BATCH as u64 + n) % ledger.wallets;
                let grants = requests((0..GRANTS_PER_BATCH as u64).map(wallet), 100, Some(0));
                batch.renew(BATCH, ledger.wallets);
                took += batch.submit(&ledger, 1);
                assert_eq!(batch.tally().applied, BATCH);
                let start = Instant::now();
                let made = ledger.grant(&grants);
                took += start.elapsed();
                drop(made);
                if round % 64 == 0 {
                    ledger.settle();
                }
            }
            ledger.debited(rounds * BATCH as u64, 1);
            took
        });
    });
    ledger.verify();
    group.finish();
}

criterion_group!(
    benches,
    what_does_a_debit_cost,
    what_does_one_hot_wallet_cost,
    what_does_a_duplicate_cost,
    what_do_grants_among_debits_cost
);
criterion_main!(benches);
