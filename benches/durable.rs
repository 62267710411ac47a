//! How long until a batch is durable? From submitting it to when its answer may leave, on a file of the build's file system.
//!
//! The figures are per batch (in the last question for all 64 together): what one client waits, whatever the batch holds.

mod common;

use common::batch::Batch;
use common::{Ledger, PLENTY, config, disk_dir, size};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};

/// Batches of one event that wait together in the last question.
const TOGETHER: usize = 64;

fn how_long_until_a_batch_is_durable(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("how long until a batch is durable");
    group.sample_size(30);
    let wallets = size(10_000, 10);
    let ledger = Ledger::open(disk_dir(), config(wallets), wallets);
    ledger.fund(0..wallets, PLENTY, None);
    let mut batch = Batch::new(0);
    for events in [1, 64, 1000] {
        group.bench_function(BenchmarkId::new("one batch, events", events), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    batch.renew(events, wallets);
                    took += batch.submit_durably(&ledger);
                    assert_eq!(batch.tally().applied, events);
                    ledger.trim();
                }
                ledger.debited(rounds * events as u64, 1);
                took
            });
        });
    }
    group.bench_function("64 batches of one event, waiting together", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                batch.renew(TOGETHER, wallets);
                let (submitted, tally) = batch.submit_singly(&ledger, 1);
                let start = Instant::now();
                ledger.engine.barrier().wait().expect("a healthy log");
                took += submitted + start.elapsed();
                assert_eq!(tally.applied, TOGETHER);
                ledger.trim();
            }
            ledger.debited(rounds * TOGETHER as u64, 1);
            took
        });
    });
    ledger.verify();
    group.finish();
}

criterion_group!(benches, how_long_until_a_batch_is_durable);
criterion_main!(benches);
