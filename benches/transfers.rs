//! What does it cost to change several wallets at once, in process? A transfer of a part of one grant, declared and carried out; and a group of
//! eight events over eight wallets. Without waiting for the disk, whose share is asked in `durable.rs`.

mod common;

use common::batch::{customer, mix};
use common::{CURRENCY, Ledger, PLENTY, UNITS_PER_CREDIT, decimal, short, size};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawdown::engine::corrections::view::TransferRequest;
use drawdown::engine::{Charge, UsageEvent};
use std::time::{Duration, Instant};

/// Between two rounds of keeping up with the log.
const ROUNDS_AT_A_TIME: u64 = 256;
const EVENTS: usize = 8;

fn transfer(ledger: &Ledger, number: u64) {
    let from = mix(number) % ledger.wallets;
    let request = TransferRequest {
        from: customer(from),
        to: customer((from + 1) % ledger.wallets),
        currency: Some(CURRENCY.to_owned()),
        amount: decimal(3),
        reason: None,
        key: None,
        metadata: std::collections::BTreeMap::new(),
    };
    let (made, _, ticket) = ledger.engine.transfer(&request).expect("the log keeps up");
    drop(ticket);
    assert_eq!(made.amount.units(), 3);
}

fn group(ledger: &Ledger, number: u64) {
    let first = mix(number) % ledger.wallets;
    let names: Vec<_> = (0..EVENTS as u64)
        .map(|event| (format!("grp_{number:020}_{event}"), customer((first + event * 7) % ledger.wallets)))
        .collect();
    let events: Vec<_> = names
        .iter()
        .map(|(id, customer)| UsageEvent {
            id,
            source: "",
            customer,
            charge: Charge::Amount { currency: Some(CURRENCY), amount: Ok(decimal(1)) },
            time: None,
            policy: None,
        })
        .collect();
    let mut outcomes = Vec::new();
    drop(ledger.engine.submit_group(&events, &mut outcomes).expect("the log keeps up"));
    assert!(outcomes.iter().all(|outcome| outcome.entry.is_some()));
}

fn time(ledger: &Ledger, rounds: u64, next: &mut u64, once: fn(&Ledger, u64)) -> Duration {
    let mut took = Duration::ZERO;
    for round in 0..rounds {
        let start = Instant::now();
        once(ledger, *next);
        took += start.elapsed();
        *next += 1;
        if round % ROUNDS_AT_A_TIME == 0 {
            ledger.settle();
        }
    }
    took
}

fn what_does_it_cost_to_change_several_wallets(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("what does it cost to change several wallets at once");
    benches.sample_size(20);
    let wallets = size(100_000, 100);
    let ledger = Ledger::new(wallets, PLENTY / UNITS_PER_CREDIT);
    let mut next = 0;
    benches.bench_function(BenchmarkId::new("a transfer", short(wallets)), |bencher| {
        bencher.iter_custom(|rounds| time(&ledger, rounds, &mut next, transfer));
    });
    benches.throughput(Throughput::Elements(EVENTS as u64));
    benches.bench_function(BenchmarkId::new("a group of 8 events in 8 wallets", short(wallets)), |bencher| {
        bencher.iter_custom(|rounds| {
            let took = time(&ledger, rounds, &mut next, group);
            ledger.debited(rounds * EVENTS as u64, 1);
            took
        });
    });
    ledger.verify();
    benches.finish();
}

criterion_group!(benches, what_does_it_cost_to_change_several_wallets);
criterion_main!(benches);
