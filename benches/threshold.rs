//! What does the check against alert levels cost a debit: when it crosses none, and when it crosses one each time?
//!
//! A crossing is an operation of its own: it closes the wallet's generation, opens the next, and both are logged. The bar is 3 us per
//! crossing.

mod common;

use common::batch::{Batch, time_batches, time_singles};
use common::{BATCH, Ledger, PLENTY, UNITS_PER_CREDIT, is_measuring, level, size};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const LEVELS: [i64; 4] = [0, 1, 8, 64];

fn what_does_a_debit_that_crosses_nothing_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does a debit that crosses nothing cost");
    group.sample_size(30);
    for levels in LEVELS {
        let ledger = Ledger::new(size(10_000, 10), PLENTY);
        if levels > 0 {
            let levels: Vec<_> = (1..=levels).map(|n| level(n, n * UNITS_PER_CREDIT)).collect();
            ledger.set_levels(0..ledger.wallets, &levels);
        }
        let mut batch = Batch::new(0);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("alone, levels", levels), |bencher| {
            bencher.iter_custom(|rounds| time_singles(&ledger, &mut batch, rounds));
        });
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("batch of 1000, levels", levels), |bencher| {
            bencher.iter_custom(|rounds| time_batches(&ledger, &mut batch, rounds, BATCH));
        });
        ledger.verify();
    }
    group.finish();
}

/// Wallets of which each debit crosses a level. A wallet with levels holds 100 credits and, spent first, the one credit of which each
/// debit takes all; the highest level lies between. A wallet without levels holds that one credit only, and crosses the built-in
/// line at zero. The credit is granted anew before each debit, which arms the level again, and is not timed.
struct Edge {
    ledger: Ledger,
    batch: Batch,
}

impl Edge {
    fn new(levels: i64) -> Edge {
        let ledger = Ledger::new(size(1000, 20), if levels == 0 { 1 } else { 101 });
        if levels > 0 {
            // The first debit takes its credit of the fund, all others the one that was granted before them.
            let amount = |n| if n == levels { 100 * UNITS_PER_CREDIT + 1 } else { n * UNITS_PER_CREDIT };
            let levels: Vec<_> = (1..=levels).map(|n| level(n, amount(n))).collect();
            ledger.set_levels(0..ledger.wallets, &levels);
        }
        let mut edge = Edge { ledger, batch: Batch::new(0) };
        edge.cross(edge.ledger.wallets as usize, false);
        edge
    }

    /// Times `size` crossings, one in each of so many wallets that are above their line.
    fn cross(&mut self, size: usize, singly: bool) -> Duration {
        let (ledger, batch) = (&self.ledger, &mut self.batch);
        let first = batch.next_number();
        batch.renew_on(size, |number| number - first);
        let (took, tally) = if singly {
            batch.submit_singly(ledger, UNITS_PER_CREDIT)
        } else {
            (batch.submit(ledger, UNITS_PER_CREDIT), batch.tally())
        };
        assert_eq!((tally.applied, tally.crossed), (size, size));
        ledger.debited(size as u64, UNITS_PER_CREDIT);
        ledger.settle();
        took
    }

    fn time(&mut self, crossings: u64, singly: bool) -> Duration {
        let mut took = Duration::ZERO;
        let mut left = crossings;
        while left > 0 {
            let size = left.min(self.ledger.wallets);
            self.ledger.fund(0..size, 1, Some(0));
            took += self.cross(size as usize, singly);
            left -= size;
        }
        took
    }
}

fn what_does_a_crossing_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does a crossing cost");
    group.sample_size(20);
    for levels in LEVELS {
        let mut edge = Edge::new(levels);
        let name = if levels == 0 { "0 (depleted)".to_owned() } else { levels.to_string() };
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("alone, levels", &name), |bencher| {
            bencher.iter_custom(|rounds| edge.time(rounds, true));
        });
        let batch = if is_measuring() { BATCH as u64 } else { edge.ledger.wallets };
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("batch of 1000, levels", &name), |bencher| {
            bencher.iter_custom(|rounds| edge.time(rounds * batch, false));
        });
        edge.ledger.verify();
    }
    group.finish();
}

criterion_group!(benches, what_does_a_debit_that_crosses_nothing_cost, what_does_a_crossing_cost);
criterion_main!(benches);
