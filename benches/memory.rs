//! How many bytes of memory does a wallet with one grant take, all in? The bar is 200 at 10 M wallets.
//!
//! Counted is the process's own memory (anonymous pages) from before the ledger is opened to when all wallets are there and the tables have
//! come to rest: slots, index, names, grants, the table of identities at its smallest, and what the allocator keeps. The mapped log is
//! no part of it: its pages are the system's to drop. Each size has a process of its own, so that none finds memory which another has left.
//!
//! `DRAWDOWN_BENCH_LARGE=1` adds 10 M wallets.

#![expect(clippy::cast_precision_loss, reason = "for people to read")]

mod common;

use common::figures::{Figure, tell};
use common::{Ledger, config, is_large, is_measuring, memory_dir, short};
use drawdown::engine::EngineConfig;
use std::process::Command;
use std::time::Duration;

/// Says to a process of this bench that it is to measure one size, and which.
const SIZE: &str = "DRAWDOWN_BENCH_MEMORY_WALLETS";

/// Anonymous memory of this process in bytes, or zero where the system does not tell.
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What is measured: all, and of that what the engine's own counters account for.
const PARTS: [&str; 4] = ["", ": slots", ": index", ": table of identities"];

/// Bytes per wallet, by part.
fn measure(wallets: u64) -> [f64; PARTS.len()] {
    let before = anonymous_bytes();
    // As a server is set up that was not told what to expect.
    let tables = EngineConfig::default();
    let config = EngineConfig {
        expected_wallets: tables.expected_wallets,
        expected_events: tables.expected_events,
        ..config(wallets)
    };
    let ledger = Ledger::open(memory_dir(), config, wallets);
    ledger.fund(0..wallets, 100, None);
    if is_measuring() {
        // The background thread frees tables that were outgrown.
        std::thread::sleep(Duration::from_secs(1));
    }
    let after = anonymous_bytes();
    ledger.verify();
    let stats = ledger.engine.stats();
    [after.saturating_sub(before), stats.slab_bytes, stats.index_bytes, stats.idempotency_bytes]
        .map(|bytes| bytes as f64 / wallets as f64)
}

fn main() {
    if let Some(wallets) = std::env::var(SIZE).ok().and_then(|text| text.parse().ok()) {
        println!("{}", measure(wallets).map(|bytes| bytes.to_string()).join("\n"));
        return;
    }
    let sizes: &[u64] = match (is_measuring(), is_large()) {
        (_, true) => &[1_000_000, 10_000_000],
        (true, false) => &[1_000_000],
        (false, false) => &[1_000],
    };
    let figures = |&wallets: &u64| {
        let this = std::env::current_exe().expect("this program has a name");
        let run = Command::new(this).args(std::env::args().skip(1)).env(SIZE, wallets.to_string()).output();
        let output = run.expect("this program runs once more");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("figures");
        let named = move |(part, line): (&str, &str)| Figure {
            name: format!("{} wallets{part}", short(wallets)),
            value: line.parse().expect("a figure"),
        };
        PARTS.into_iter().zip(text.lines()).map(named).collect::<Vec<_>>()
    };
    let figures: Vec<Figure> = sizes.iter().flat_map(figures).collect();
    tell("memory", "how much memory does a wallet with one grant take", "bytes", &figures);
}
