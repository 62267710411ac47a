//! What does a debit cost in a wallet that holds more than one grant: alert levels, grants of several priorities and expiries, holds?
//!
//! One engine has six kinds of wallets, which differ by what is in them and lie among each other; the last kind is as the first, and shows
//! what chance does. Batches of 1000 go to the kinds in turn, so that what the machine does meanwhile meets all of them alike, and each
//! kind's batch is compared with the first kind's of the same turn. The bar is 3 % between a plain wallet and any other: what is in a wallet
//! is decided when its generation is made, not when a debit is taken from it.

#![expect(clippy::cast_precision_loss, reason = "for people to read")]

mod common;

use common::batch::{Batch, customer, mix};
use common::figures::{Figure, tell};
use common::{BATCH, CURRENCY, Ledger, PLENTY, UNITS_PER_CREDIT, config, decimal, level, memory_dir, requests, size};
use drawdown::engine::holds::HoldRequest;
use drawdown::engine::view::AlertSpec;
use drawdown::engine::{Clock, SystemClock};
use drawdown::ledger::{OnExceed, Watches};

const KINDS: [&str; 6] = ["one grant", "3 alert levels", "3 more grants", "2 holds", "all of it", "one grant again"];
/// Turns after which the log's old segments are let go.
const TURNS_PER_TRIM: usize = 16;
/// A year, ms.
const YEAR: u64 = 365 * 24 * 3_600_000;

/// The wallets of a kind.
fn of_kind(kind: u64, each: u64) -> impl Iterator<Item = u64> {
    (0..each).map(move |number| number * KINDS.len() as u64 + kind)
}

fn add_levels(ledger: &Ledger, wallets: impl Iterator<Item = u64>) {
    let available = AlertSpec { watches: Watches::Available, ..level(3, 30 * UNITS_PER_CREDIT) };
    let levels = [level(1, UNITS_PER_CREDIT), level(2, 20 * UNITS_PER_CREDIT), available];
    for wallet in wallets {
        drop(ledger.engine.set_alerts(&customer(wallet), CURRENCY, &levels).expect("levels"));
    }
    ledger.settle();
}

/// Grants that are spent before the one that is there and after it, with an expiry and without one.
fn add_grants(ledger: &Ledger, wallets: impl Iterator<Item = u64>) {
    let (now, wallets) = (SystemClock.now(), wallets.collect::<Vec<_>>());
    for (priority, years) in [(10, None), (50, Some(1)), (90, Some(2))] {
        for wallets in wallets.chunks(10_000) {
            let mut requests = requests(wallets.iter().copied(), PLENTY / 10, Some(priority));
            for request in &mut requests {
                request.expires_at = years.map(|n| now.saturating_add(n * YEAR));
            }
            ledger.grant(&requests);
            ledger.trim();
        }
    }
    ledger.settle();
}

fn add_holds(ledger: &Ledger, wallets: impl Iterator<Item = u64>) {
    let wallets: Vec<u64> = wallets.flat_map(|wallet| [wallet; 2]).collect();
    for wallets in wallets.chunks(10_000) {
        let customers: Vec<String> = wallets.iter().map(|wallet| customer(*wallet)).collect();
        let request = |customer| HoldRequest {
            id: None,
            customer,
            currency: Some(CURRENCY),
            amount: decimal(5),
            ttl_ms: None,
            on_exceed: OnExceed::Reject,
        };
        let requests: Vec<_> = customers.iter().map(|customer| request(customer.as_str())).collect();
        let (made, _ticket) = ledger.engine.hold(&requests).expect("the log keeps up");
        assert!(made.iter().all(|made| made.result.is_ok()));
        ledger.trim();
    }
    ledger.settle();
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let (each, turns) = (size(100_000, 20), size(2_000, 3) as usize);
    let kinds = KINDS.len() as u64;
    let ledger = Ledger::open(memory_dir(), config(kinds * each), kinds * each);
    ledger.fund(0..kinds * each, PLENTY / 10, Some(50));
    for kind in [1, 4] {
        add_levels(&ledger, of_kind(kind, each));
    }
    for kind in [2, 4] {
        add_grants(&ledger, of_kind(kind, each));
    }
    for kind in [3, 4] {
        add_holds(&ledger, of_kind(kind, each));
    }

    let mut batch = Batch::new(0);
    let mut times: [Vec<f64>; KINDS.len()] = Default::default();
    for turn in 0..turns {
        let mut order: Vec<usize> = (0..KINDS.len()).collect();
        order.sort_by_key(|kind| mix((turn * KINDS.len() + kind) as u64));
        for kind in order {
            batch.renew_on(BATCH, |number| mix(number) % each * kinds + kind as u64);
            times[kind].push(batch.submit(&ledger, 1).as_nanos() as f64 / BATCH as f64);
            assert_eq!(batch.tally().applied, BATCH);
        }
        if turn % TURNS_PER_TRIM == 0 {
            ledger.settle();
        }
    }
    ledger.debited((turns * KINDS.len() * BATCH) as u64, 1);
    ledger.verify();

    let figure = |name: &str, value| Figure { name: name.to_owned(), value };
    let medians: Vec<_> = KINDS.iter().zip(&times).map(|(name, times)| figure(name, median(times.clone()))).collect();
    tell("laden", "what does a debit cost in a wallet of ..., ns, medians over batches of 1000", "ns", &medians);
    let ratio = |kind: usize| {
        let of_turn = times[kind].iter().zip(&times[0]).map(|(laden, plain)| 100.0 * laden / plain);
        figure(KINDS[kind], median(of_turn.collect()))
    };
    let ratios: Vec<_> = (1..KINDS.len()).map(ratio).collect();
    tell("laden-ratio", "... compared with a wallet of one grant, medians over the turns", "%", &ratios);
}
