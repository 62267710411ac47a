//! What does a hold cost, in process? Small holds in batches of 1000 over many wallets, each captured once, finally and for less; without
//! waiting for the disk, whose share is asked in `durable.rs`. The figure is that of a pair: one hold made, one captured.
//!
//! `cargo bench --bench holds -- --profile-time 10` is something to profile.

mod common;

use common::batch::{customer, mix};
use common::{BATCH, CURRENCY, Ledger, PLENTY, UNITS_PER_CREDIT, decimal, short, size};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawdown::engine::holds::{CaptureRequest, HoldRequest};
use drawdown::ledger::OnExceed;
use std::time::{Duration, Instant};

/// What is captured of each hold, in smallest units.
const CAPTURED: i64 = 3;

/// How the holds are named.
#[derive(Clone, Copy, Debug)]
enum Ids {
    /// By the engine.
    Made,
    /// By the caller, each its own.
    Given,
}

/// Makes a batch of holds and captures it. What the engine was at work is timed, reading and writing texts is not.
fn time_pairs(ledger: &Ledger, next: &mut u64, ids: Ids) -> Duration {
    let numbers: Vec<u64> = (*next..*next + BATCH as u64).collect();
    *next += BATCH as u64;
    let names: Vec<(String, String)> =
        numbers.iter().map(|n| (format!("hold_{n:020}"), customer(mix(*n) % ledger.wallets))).collect();
    let mut requests = Vec::with_capacity(BATCH);
    for (id, customer) in &names {
        requests.push(HoldRequest {
            id: matches!(ids, Ids::Given).then_some(id),
            customer,
            currency: Some(CURRENCY),
            amount: decimal(5),
            ttl_ms: None,
            on_exceed: OnExceed::Reject,
        });
    }
    let start = Instant::now();
    let (made, ticket) = ledger.engine.hold(&requests).expect("the log keeps up");
    let mut took = start.elapsed();
    drop(ticket);
    let text = |(made, (id, _)): (&drawdown::engine::holds::HoldOutcome, &(String, String))| {
        let (state, _) = made.result.as_ref().expect("made");
        if matches!(ids, Ids::Given) { id.clone() } else { ledger.engine.made_hold_text(state) }
    };
    let texts: Vec<String> = made.iter().zip(&names).map(text).collect();
    let captures: Vec<_> =
        texts.iter().map(|hold| CaptureRequest { hold, amount: decimal(CAPTURED), is_final: true }).collect();
    let start = Instant::now();
    let (captured, ticket) = ledger.engine.capture(&captures).expect("the log keeps up");
    took += start.elapsed();
    drop(ticket);
    let units: i64 = captured.iter().map(|captured| captured.as_ref().expect("captured").amount.units()).sum();
    assert_eq!(units, CAPTURED * BATCH.cast_signed() as i64);
    took
}

fn what_does_a_hold_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does a hold cost, made and captured");
    group.sample_size(20);
    group.throughput(Throughput::Elements(BATCH as u64));
    let wallets = size(100_000, 100);
    let ledger = Ledger::new(wallets, PLENTY / UNITS_PER_CREDIT);
    let mut next = 0;
    for ids in [Ids::Made, Ids::Given] {
        let name = format!("{} wallets, ids {ids:?}", short(wallets));
        group.bench_function(BenchmarkId::new("batches of 1000", name), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut took = Duration::ZERO;
                for round in 0..rounds {
                    took += time_pairs(&ledger, &mut next, ids);
                    if round % 64 == 0 {
                        ledger.settle();
                    }
                }
                ledger.debited(rounds * BATCH as u64, CAPTURED);
                took
            });
        });
    }
    ledger.verify();
    group.finish();
}

criterion_group!(benches, what_does_a_hold_cost);
criterion_main!(benches);
