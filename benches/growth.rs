//! How long does a batch of 1000 debits take while the table of wallets grows tenfold under it?
//!
//! One thread submits batch after batch over the wallets that were there from the start; another makes new wallets as fast as it can. Beside
//! that stand the same batches with nothing else going on, and with the other thread granting to wallets that exist: what that adds is the
//! second thread's share of the machine, and only what comes on top is the growth's.
//!
//! From 100 k to 1 M wallets; with `DRAWDOWN_BENCH_LARGE=1` from 1 M to 10 M.

#![expect(clippy::cast_precision_loss, reason = "for people to read")]

mod common;

use common::batch::Batch;
use common::figures::{Figure, tell};
use common::{BATCH, Ledger, PLENTY, config, is_large, memory_dir, short, size};
use drawdown::engine::EngineConfig;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Grants that the other thread makes in one call.
const GRANTS: u64 = 100;
const LONGEST_NS: u64 = 60_000_000_000;

/// Submits batches as long as `more` says so, given how many there were.
fn record(ledger: &Ledger, batch: &mut Batch, mut more: impl FnMut(u64) -> bool) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("sound bounds");
    let mut batches = 0;
    while more(batches) {
        batch.renew(BATCH, ledger.wallets);
        let took = batch.submit(ledger, 1);
        assert_eq!(batch.tally().applied, BATCH);
        histogram.saturating_record(took.as_nanos() as u64);
        batches += 1;
        if batches.is_multiple_of(64) {
            ledger.trim();
        }
    }
    ledger.debited(batches * BATCH as u64, 1);
    histogram
}

/// Ends the other thread's work, also when this one fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn figures(situation: &str, histogram: &Histogram<u64>) -> Vec<Figure> {
    let figure = |name: &str, ns: u64| Figure { name: format!("{situation}, {name}"), value: ns as f64 / 1000.0 };
    vec![
        figure("p50", histogram.value_at_quantile(0.5)),
        figure("p99", histogram.value_at_quantile(0.99)),
        figure("p99.9", histogram.value_at_quantile(0.999)),
        figure("maximum", histogram.max()),
    ]
}

fn main() {
    let (few, many) = if is_large() { (1_000_000, 10_000_000) } else { (size(100_000, 100), size(1_000_000, 1_000)) };
    let batches = size(5_000, 10);
    // The index is told of the wallets at the start only, so that it grows for all others.
    let config = EngineConfig { expected_wallets: few as usize, ..config(few) };
    let ledger = Ledger::open(memory_dir(), config, few);
    ledger.fund(0..few, PLENTY, None);
    let mut batch = Batch::new(0);
    drop(record(&ledger, &mut batch, |done| done < batches / 10));

    let still = record(&ledger, &mut batch, |done| done < batches);
    let over = AtomicBool::new(false);
    let beside_grants = thread::scope(|scope| {
        scope.spawn(|| {
            // A grant worth a few debits, spent first: wallets do not gather grants.
            let mut first = 0;
            while !over.load(Relaxed) {
                drop(ledger.grant(&common::requests((first..first + GRANTS).map(|n| n % few), 2, Some(0))));
                first += GRANTS;
            }
        });
        let _end = End(&over);
        record(&ledger, &mut batch, |done| done < batches)
    });
    over.store(false, Relaxed);
    let growing = thread::scope(|scope| {
        scope.spawn(|| {
            for first in (few..many).step_by(GRANTS as usize) {
                drop(ledger.grant(&common::requests(first..many.min(first + GRANTS), 1, None)));
            }
            over.store(true, Relaxed);
        });
        record(&ledger, &mut batch, |_| !over.load(Relaxed))
    });
    assert_eq!(ledger.engine.stats().wallets, many);
    ledger.verify();

    let all = [("alone", &still), ("beside grants", &beside_grants), ("while wallets are added", &growing)];
    let figures: Vec<Figure> = all.iter().flat_map(|(situation, histogram)| figures(situation, histogram)).collect();
    println!("{} batches beside the growth", growing.len());
    let question =
        format!("how long does a batch of 1000 debits take while {} wallets become {}", short(few), short(many));
    tell("growth", &question, "us", &figures);
}
