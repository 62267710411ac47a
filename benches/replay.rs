//! What does opening a ledger cost per debit in its log? The log's own check included; the files are in memory, as after a restart of the
//! process on a machine that stays up.
//!
//! `DRAWDOWN_BENCH_LARGE=1` replays 10 M debits over 1 M wallets rather than 2 M over 100 k.

mod common;

use common::batch::Batch;
use common::{BATCH, Ledger, PLENTY, config, is_large, memory_dir, short, size};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use drawdown::engine::{Engine, EngineConfig, SystemClock};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A closed ledger with so many debits.
fn write(wallets: u64, debits: u64) -> TempDir {
    let ledger = Ledger::open(memory_dir(), config(wallets), wallets);
    // In one go: no segment is retired here.
    drop(ledger.engine.grant(&common::requests(0..wallets, PLENTY, None)).expect("grants"));
    let mut batch = Batch::new(0);
    for _ in 0..debits / BATCH as u64 {
        batch.renew(BATCH, wallets);
        batch.submit(&ledger, 1);
        assert_eq!(batch.tally().applied, BATCH);
    }
    ledger.close()
}

fn what_does_replay_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does replay cost");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let (wallets, debits) =
        if is_large() { (1_000_000, 10_000_000) } else { (size(100_000, 100), size(2_000_000, 2_000)) };
    let dir = write(wallets, debits);
    group.throughput(Throughput::Elements(debits));
    for workers in [1, 2] {
        let name = format!("{} debits over {} wallets, workers", short(debits), short(wallets));
        group.bench_function(BenchmarkId::new(name, workers), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    // What was written is told the tables beforehand no more than after a crash.
                    let config = EngineConfig { replay_workers: workers, background: false, ..config(1 << 12) };
                    let start = Instant::now();
                    let (engine, report) = Engine::open(dir.path(), config, Arc::new(SystemClock)).expect("it opens");
                    took += start.elapsed();
                    assert_eq!((report.debits, report.wallets), (debits, wallets));
                    engine.close().expect("a healthy log");
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, what_does_replay_cost);
criterion_main!(benches);
