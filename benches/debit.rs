//! What does a debit cost, in process? One alone and in batches, with and without alert levels, spread over many wallets and on one.
//!
//! The log is a real one, mapped, in a directory that need not survive (tmpfs where there is one), so that the figures show the work and
//! not the disk; the disk has its own benches in the log's crate. Identities are all new; making them is not timed.
//!
//! `DRAWDOWN_BENCH_LARGE=1` adds the batches over 10 M wallets (some minutes to set up, about 6 GB of memory).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawdown::engine::catalog::{CurrencyKind, CurrencySpec};
use drawdown::engine::view::{AlertSpec, GrantRequest, Metadata};
use drawdown::engine::{Charge, Engine, EngineConfig, EventOutcome, EventStatus, SystemClock, UsageEvent};
use drawdown::ledger::{Category, Decimal, Source, Trigger};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCH: usize = 1000;

/// Whether the benches are run for their figures, or once each to see that they run (`cargo bench -- --test`).
fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench") && !std::env::args().any(|argument| argument == "--test")
}

/// An engine with funded wallets `cus_0 ..`.
struct Ledger {
    engine: Engine,
    customers: Vec<String>,
    next_id: u64,
    state: u64,
    _dir: tempfile::TempDir,
}

impl Ledger {
    fn new(wallets: usize, levels: usize) -> Ledger {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.expect("a directory");
        let mut config =
            EngineConfig { expected_wallets: wallets, expected_events: 1 << 22, ..EngineConfig::default() };
        config.log.max_unsynced_bytes = 256 << 20;
        let (engine, _) = Engine::open(dir.path(), config, Arc::new(SystemClock)).expect("an empty directory opens");
        let spec = CurrencySpec {
            id: "credits".into(),
            name: String::new(),
            symbol: String::new(),
            scale: 6,
            kind: CurrencyKind::Unit,
            max_balance: None,
        };
        engine.put_currency(spec).expect("a currency").1.wait().expect("a healthy log");
        let customers: Vec<String> = (0..wallets).map(|number| format!("cus_{number}")).collect();
        let mut ledger = Ledger { engine, customers, next_id: 0, state: 0x9e37_79b9_7f4a_7c15, _dir: dir };
        ledger.fund(levels);
        ledger
    }

    fn fund(&mut self, levels: usize) {
        for (count, customer) in self.customers.iter().enumerate() {
            let grant = GrantRequest {
                customer: customer.clone(),
                currency: None,
                amount: Decimal::from_integer(1_000_000_000),
                source: Source::Package,
                category: Category::Paid,
                priority: None,
                effective_at: None,
                expires_at: None,
                cost_basis: None,
                key: None,
                metadata: Metadata::new(),
            };
            drop(self.engine.grant(&[grant]).expect("a grant"));
            if levels > 0 {
                let alerts: Vec<AlertSpec> = (0..levels).map(level).collect();
                drop(self.engine.set_alerts(customer, "credits", &alerts).expect("alerts"));
            }
            if count % 10_000 == 0 {
                self.trim();
            }
        }
    }

    /// Lets go of what the log no longer needs for this bench.
    fn trim(&self) {
        let log = self.engine.log();
        log.retire(log.durable()).expect("old segments can be removed");
    }

    fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % below as u64) as usize
    }

    fn new_ids(&mut self, count: usize) -> Vec<String> {
        let first = self.next_id;
        self.next_id += count as u64;
        (first..self.next_id).map(|number| format!("evt_{number:022}")).collect()
    }

    /// Times `rounds` batches of `size` events over random wallets.
    fn time(&mut self, rounds: u64, size: usize) -> Duration {
        let mut took = Duration::ZERO;
        let mut outcomes: Vec<EventOutcome> = Vec::new();
        for round in 0..rounds {
            let ids = self.new_ids(size);
            let wallets: Vec<usize> = (0..size).map(|_| self.random(self.customers.len())).collect();
            let events: Vec<UsageEvent<'_>> =
                ids.iter().zip(&wallets).map(|(id, wallet)| event(id, &self.customers[*wallet])).collect();
            let start = Instant::now();
            let submitted = self.engine.submit(black_box(&events), &mut outcomes);
            took += start.elapsed();
            drop(submitted.expect("the log keeps up"));
            assert!(outcomes.iter().all(|outcome| outcome.status == EventStatus::Applied));
            if round % 4096 == 0 {
                self.trim();
            }
        }
        took
    }
}

fn level(number: usize) -> AlertSpec {
    AlertSpec {
        name: format!("level_{number}"),
        amount: Decimal::from_integer(i64::try_from(number).expect("a few levels") + 1),
        trigger: Trigger::Below,
        margin: Decimal::ZERO,
    }
}

fn event<'a>(id: &'a str, customer: &'a str) -> UsageEvent<'a> {
    UsageEvent {
        id,
        source: "bench",
        customer,
        charge: Charge::Amount { currency: Some("credits"), amount: Decimal::parse(b"0.000001") },
        time: None,
        policy: None,
    }
}

fn what_does_one_debit_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does one debit cost");
    for levels in [0, 1, 8, 64] {
        let mut ledger = Ledger::new(if is_measuring() { 10_000 } else { 10 }, levels);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("alone, alert levels", levels), |bencher| {
            bencher.iter_custom(|rounds| ledger.time(rounds, 1));
        });
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("batch of 1000, alert levels", levels), |bencher| {
            bencher.iter_custom(|rounds| ledger.time(rounds, BATCH));
        });
    }
    group.finish();
}

fn what_does_one_hot_wallet_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does one hot wallet cost");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut ledger = Ledger::new(1, 1);
    group.bench_function("batch of 1000", |bencher| bencher.iter_custom(|rounds| ledger.time(rounds, BATCH)));
    group.finish();
}

fn what_do_many_wallets_cost(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what do many wallets cost");
    group.sample_size(10);
    let sizes: &[usize] = match (is_measuring(), std::env::var_os("DRAWDOWN_BENCH_LARGE").is_some()) {
        (true, true) => &[1_000_000, 10_000_000],
        (true, false) => &[1_000_000],
        (false, _) => &[100],
    };
    for wallets in sizes {
        let mut ledger = Ledger::new(*wallets, 0);
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("batch of 1000, wallets", wallets), |bencher| {
            bencher.iter_custom(|rounds| ledger.time(rounds, BATCH));
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("alone, wallets", wallets), |bencher| {
            bencher.iter_custom(|rounds| ledger.time(rounds, 1));
        });
    }
    group.finish();
}

criterion_group!(benches, what_does_one_debit_cost, what_does_one_hot_wallet_cost, what_do_many_wallets_cost);
criterion_main!(benches);
