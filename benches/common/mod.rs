//! What the benches share: a ledger with funded wallets, batches of events that are rewritten in place, and the sizes to measure.
//!
//! The log is a real one, mapped, in a directory that need not survive (tmpfs where there is one), so that the figures show the work and
//! not the disk; what the disk adds is asked in `durable.rs` and in the log's own crate. Segments that are no longer needed are retired
//! outside the timed parts.
#![allow(dead_code, reason = "each bench uses its part of this")]

pub(crate) mod batch;
pub(crate) mod figures;

use batch::customer;
use drawdown::engine::catalog::{CurrencyKind, CurrencySpec, Priorities};
use drawdown::engine::view::{AlertSpec, GrantOptions, GrantOutcome, GrantRequest, Metadata};
use drawdown::engine::{Clock, Engine, EngineConfig, SystemClock};
use drawdown::ledger::{Category, Decimal, Source, Trigger};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use tempfile::TempDir;

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of a large batch, as a metering pipeline would send them.
pub(crate) const BATCH: usize = 1000;
/// Grants made in one call when wallets are funded.
const GRANTS_PER_CALL: u64 = 10_000;
/// The currency of all wallets, with six decimal places.
pub(crate) const CURRENCY: &str = "credits";
/// Smallest units of one credit.
pub(crate) const UNITS_PER_CREDIT: i64 = 1_000_000;
/// Credits in a wallet that no bench can empty.
pub(crate) const PLENTY: i64 = 1_000_000_000;

/// Whether the benches are run for their figures, or once each to see that they run (`cargo bench -- --test`).
pub(crate) fn is_measuring() -> bool {
    let asked = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    asked("--bench") && !asked("--test")
}

/// Whether the sizes that take minutes and gigabytes are wanted: `DRAWDOWN_BENCH_LARGE=1`.
pub(crate) fn is_large() -> bool {
    is_measuring() && std::env::var_os("DRAWDOWN_BENCH_LARGE").is_some_and(|value| value != "0")
}

/// A size for measuring, and a small one for seeing that a bench runs.
pub(crate) fn size(measuring: u64, testing: u64) -> u64 {
    if is_measuring() { measuring } else { testing }
}

/// As people write counts of wallets: `10 k`, `1 M`.
pub(crate) fn short(count: u64) -> String {
    match count {
        1_000_000.. if count.is_multiple_of(1_000_000) => format!("{} M", count / 1_000_000),
        1_000.. if count.is_multiple_of(1_000) => format!("{} k", count / 1_000),
        _ => count.to_string(),
    }
}

/// A directory in memory where the system has one.
pub(crate) fn memory_dir() -> TempDir {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    dir.expect("a directory for the log")
}

/// A directory below `DRAWDOWN_BENCH_DIR`, or else on the file system that holds the build: a disk, unlike the system's temporary directory,
/// which may be memory.
pub(crate) fn disk_dir() -> TempDir {
    let parent = std::env::var_os("DRAWDOWN_BENCH_DIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    std::fs::create_dir_all(&parent).expect("the directory can be made");
    tempfile::tempdir_in(parent).expect("a directory for the log")
}

/// How the benches set an engine up. Logs are small when nothing is measured, for making one ready is most of such a run.
pub(crate) fn config(wallets: u64) -> EngineConfig {
    let mut config = EngineConfig {
        expected_wallets: wallets as usize,
        expected_events: size(1 << 22, 1 << 12) as usize,
        ..EngineConfig::default()
    };
    config.log.segment_bytes = size(64 << 20, 8 << 20);
    config.log.max_frame_bytes = size(8 << 20, 1 << 20) as u32;
    config.log.max_unsynced_bytes = size(128 << 20, 8 << 20);
    config
}

/// An engine with wallets `0..wallets`, and its own books about them.
pub(crate) struct Ledger {
    pub(crate) engine: Engine,
    pub(crate) wallets: u64,
    /// Smallest units that must be in all wallets together.
    expected: AtomicI64,
    dir: TempDir,
}

impl Ledger {
    /// A ledger of which nothing outlives the bench, each wallet funded with `credits`.
    pub(crate) fn new(wallets: u64, credits: i64) -> Ledger {
        let ledger = Ledger::open(memory_dir(), config(wallets), wallets);
        ledger.fund(0..wallets, credits, None);
        ledger
    }

    /// A ledger with a currency and no wallet yet; `wallets` is how many the events will be spread over.
    pub(crate) fn open(dir: TempDir, config: EngineConfig, wallets: u64) -> Ledger {
        Ledger::open_at(dir, config, wallets, Arc::new(SystemClock))
    }

    /// As [`Ledger::open`], with a clock.
    pub(crate) fn open_at(dir: TempDir, config: EngineConfig, wallets: u64, clock: Arc<dyn Clock>) -> Ledger {
        let (engine, _) = Engine::open(dir.path(), config, clock).expect("an empty directory opens");
        let spec = CurrencySpec {
            id: CURRENCY.into(),
            name: String::new(),
            symbol: String::new(),
            scale: 6,
            kind: CurrencyKind::Unit,
            max_balance: None,
            default_priorities: Priorities::new(),
        };
        engine.put_currency(spec).expect("a currency").1.wait().expect("a healthy log");
        Ledger { engine, wallets, expected: AtomicI64::new(0), dir }
    }

    /// A ledger that was closed.
    pub(crate) fn reopen(dir: TempDir, config: EngineConfig, wallets: u64) -> Ledger {
        let (engine, _) = Engine::open(dir.path(), config, Arc::new(SystemClock)).expect("it opens");
        Ledger { engine, wallets, expected: AtomicI64::new(0), dir }
    }

    /// Grants to each of the wallets, which makes those that are new. Leaves the log without a backlog.
    pub(crate) fn fund(&self, wallets: Range<u64>, credits: i64, priority: Option<u8>) {
        for first in wallets.clone().step_by(GRANTS_PER_CALL as usize) {
            let last = wallets.end.min(first + GRANTS_PER_CALL);
            self.grant(&requests(first..last, credits * UNITS_PER_CREDIT, priority));
            self.trim();
        }
        self.settle();
    }

    /// Makes grants, all of which must be taken. The outcomes are given back, so that whoever times this need not time their end.
    pub(crate) fn grant(&self, requests: &[GrantRequest]) -> Vec<GrantOutcome> {
        let (outcomes, ticket) = self.engine.grant(requests).expect("the log keeps up");
        drop(ticket);
        let units: i64 = outcomes.iter().map(|grant| grant.result.as_ref().expect("granted").amount.units()).sum();
        self.expect_units(units);
        outcomes
    }

    /// Gives the wallets alert levels.
    pub(crate) fn set_levels(&self, wallets: Range<u64>, levels: &[AlertSpec]) {
        for wallet in wallets {
            drop(self.engine.set_alerts(&customer(wallet), CURRENCY, levels).expect("levels"));
        }
        self.settle();
    }

    /// Tells the books of so many debits of so many units.
    pub(crate) fn debited(&self, events: u64, units: i64) {
        self.expect_units(-i64::try_from(events).expect("fewer events than units of credit") * units);
    }

    fn expect_units(&self, change: i64) {
        // Only the last value is looked at, when no other thread is left.
        self.expected.fetch_add(change, Relaxed);
    }

    /// Compares all balances with the books: the checksum of the work.
    pub(crate) fn verify(&self) {
        let found: i128 = self.engine.balances(None, None).iter().map(|total| total.balance).sum();
        // The books are kept modulo 2^64: ten million full wallets hold more than that.
        assert_eq!(found as i64, self.expected.load(Relaxed), "the balances differ from what was granted and debited");
    }

    /// Lets go of the segments that nothing needs any more.
    pub(crate) fn trim(&self) {
        let log = self.engine.log();
        log.retire(log.durable()).expect("old segments can be removed");
    }

    /// Waits until the log has no backlog, so that what is timed next does not pay for it.
    pub(crate) fn settle(&self) {
        self.engine.barrier().wait().expect("a healthy log");
        self.trim();
    }

    /// Closes the ledger and keeps its directory.
    pub(crate) fn close(self) -> TempDir {
        self.engine.close().expect("a healthy log");
        self.dir
    }
}

/// Requests for one grant to each of the wallets.
pub(crate) fn requests(wallets: impl IntoIterator<Item = u64>, units: i64, priority: Option<u8>) -> Vec<GrantRequest> {
    let request = |wallet| GrantRequest {
        customer: customer(wallet),
        currency: None,
        amount: decimal(units),
        source: Source::Package,
        category: Category::Paid,
        priority,
        effective_at: None,
        expires_at: None,
        cost_basis: None,
        key: None,
        metadata: Metadata::new(),
        options: GrantOptions::default(),
    };
    wallets.into_iter().map(request).collect()
}

/// An amount in smallest units, in credits.
pub(crate) fn decimal(units: i64) -> Decimal {
    let text = format!("{}.{:06}", units / UNITS_PER_CREDIT, units % UNITS_PER_CREDIT);
    Decimal::parse(text.as_bytes()).expect("a decimal")
}

/// An alert level that fires below so many smallest units.
pub(crate) fn level(number: i64, units: i64) -> AlertSpec {
    AlertSpec {
        name: format!("level_{number}"),
        amount: decimal(units),
        trigger: Trigger::Below,
        margin: Decimal::ZERO,
        ..AlertSpec::default()
    }
}
