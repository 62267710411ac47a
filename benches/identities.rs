//! What do identities past memory cost? Per new event, by the number of runs; per duplicate; to build, to open, in memory and on disk.
//!
//! Runs are made of synthetic identities, without a log beside them. `DRAWDOWN_BENCH_LARGE=1` makes a billion, which takes about a quarter
//! of an hour, 26 GB of disk below the build's directory while it runs, and 6 GB of memory; without that much room it says so and leaves it.
//! `DRAWDOWN_BENCH_IDENTITIES` asks for another number of them.

#![expect(clippy::cast_precision_loss, reason = "for people to read")]

mod common;

use common::batch::{Batch, mix, time_batches};
use common::figures::{Figure, tell};
use common::{BATCH, Ledger, PLENTY, config, disk_dir, is_large, is_measuring, memory_dir, short, size};
use drawdown::engine::EngineConfig;
use drawdown::identities::{Anchor, Portion, Span, Spilled};
use drawdown::store::idempotency::{Claim, Idempotency};
use drawdown::store::pin;
use drawdown_wal::Mapped;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Log bytes between two events.
const APART: u64 = 80;
const FIRST: u64 = 4096;
/// The portion that a server with the usual gigabyte for identities writes in one go.
const PORTION: u64 = 5_592_405;

fn fingerprint(lsn: u64) -> u64 {
    mix(lsn).clamp(1, u64::MAX - 1)
}

/// The LSN of an event.
fn lsn(number: u64) -> u64 {
    FIRST + number * APART
}

/// The fingerprint of an event that there never was: no LSN is odd.
fn stranger(number: u64) -> u64 {
    fingerprint(number << 1 | 1)
}

fn portion(numbers: std::ops::Range<u64>) -> Portion {
    let span = Span { from: lsn(numbers.start), to: lsn(numbers.end) };
    let identities = numbers.map(|number| (fingerprint(lsn(number)), lsn(number))).collect();
    Portion { span, anchor: Anchor { lsn: span.from, checksum: 0 }, identities }
}

fn open(dir: &Path) -> Spilled {
    let files = Mapped::open(dir).expect("a directory of its own");
    Spilled::open(Arc::new(files), [0; 16], |_, _| true).expect("runs that can be read")
}

fn add(spilled: &Spilled, numbers: std::ops::Range<u64>) {
    let portion = portion(numbers);
    let span = portion.span;
    let written = spilled.write(portion).expect("room on the disk");
    spilled.put(span, written.into_iter().collect());
}

fn ns_each(took: Duration, count: u64) -> f64 {
    took.as_nanos() as f64 / count as f64
}

fn figure(name: impl Into<String>, value: f64) -> Figure {
    Figure { name: name.into(), value }
}

/// Nanoseconds to sift one new event's fingerprint, and how many of a million pass.
fn sift(spilled: &Spilled, rounds: u64) -> (f64, f64) {
    let guard = pin();
    let runs = spilled.runs(&guard).expect("runs");
    let (mut took, mut passed) = (Duration::ZERO, 0_u64);
    for round in 0..rounds {
        let fingerprints: Vec<u64> = (0..BATCH as u64).map(|n| stranger(round * BATCH as u64 + n)).collect();
        let start = Instant::now();
        runs.sift(black_box(&fingerprints), |_| passed += 1);
        took += start.elapsed();
    }
    let count = rounds * BATCH as u64;
    (ns_each(took, count), passed as f64 * 1e6 / count as f64)
}

/// Nanoseconds to find a known event in a run.
fn look_up(spilled: &Spilled, numbers: impl Iterator<Item = u64>) -> f64 {
    let guard = pin();
    let runs = spilled.runs(&guard).expect("runs");
    let lsns: Vec<u64> = numbers.map(lsn).collect();
    let start = Instant::now();
    for lsn in &lsns {
        assert_eq!(runs.lookup(fingerprint(*lsn)).expect("sound runs"), [*lsn]);
    }
    ns_each(start.elapsed(), lsns.len() as u64)
}

/// Nanoseconds to claim a new event in a table of so many, and to look it up in the runs, if there are any.
fn claim(table: &Idempotency, spilled: Option<&Spilled>, first: u64, rounds: u64) -> f64 {
    let mut took = Duration::ZERO;
    for round in 0..rounds {
        let first = first + round * BATCH as u64;
        let fingerprints: Vec<u64> = (first..first + BATCH as u64).map(stranger).collect();
        let guard = pin();
        let start = Instant::now();
        for fingerprint in &fingerprints {
            table.prefetch(*fingerprint, &guard);
        }
        let mut entries = Vec::with_capacity(BATCH);
        for fingerprint in &fingerprints {
            let Claim::New(entry) = table.claim(*fingerprint, &[], &guard) else { panic!("a new event") };
            entries.push(entry);
        }
        if let Some(runs) = spilled.and_then(|spilled| spilled.runs(&guard)) {
            runs.sift(&fingerprints, |index| {
                assert!(runs.lookup(fingerprints[index]).expect("sound runs").is_empty());
            });
        }
        for entry in entries {
            entry.finish(FIRST);
        }
        took += start.elapsed();
        while table.maintain(1, &guard) {}
    }
    ns_each(took, rounds * BATCH as u64)
}

fn what_does_sifting_cost() {
    let mut figures = Vec::new();
    let each = size(4_000_000, 4_000);
    for count in [1, 2, 4, 8] {
        let dir = disk_dir();
        let spilled = open(dir.path());
        (0..count).for_each(|run| add(&spilled, run * each..(run + 1) * each));
        let _ = sift(&spilled, size(500, 1)); // warms up
        let (ns, passed) = sift(&spilled, size(5_000, 10));
        figures.push(figure(format!("{count} runs of {}", short(each)), ns));
        println!("    {count} runs: {passed:.0} of a million pass");
    }
    tell("sifting", "what does it cost to know that no run has an event, without a front", "ns", &figures);
}

/// The whole way of a batch, with the thread that spills beside it.
fn what_does_an_engine_that_spills_cost() {
    let (wallets, rounds) = (size(100_000, 100), size(3_000, 20));
    let mut figures = Vec::new();
    for (name, memory) in [("room for all", 4 << 30), ("room for 1 M identities", 48_000_000)] {
        let memory = if is_measuring() { memory } else { memory / 100_000 };
        let ledger =
            Ledger::open(memory_dir(), EngineConfig { idempotency_memory: memory, ..config(wallets) }, wallets);
        ledger.fund(0..wallets, PLENTY, None);
        let mut batch = Batch::new(0);
        time_batches(&ledger, &mut batch, rounds, BATCH);
        let took = time_batches(&ledger, &mut batch, rounds, BATCH);
        ledger.verify();
        let stats = ledger.engine.stats();
        println!("    {name}: {} runs of {} identities", stats.spilled.runs, stats.spilled.identities);
        figures.push(figure(name, ns_each(took, rounds * BATCH as u64)));
    }
    tell("spilling", "what does a debit of a batch of 1000 cost while identities are spilled", "ns", &figures);
}

/// Bytes of this process's own memory.
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Has the system drop what it keeps of the files in memory.
fn evict(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let file = File::open(entry.expect("an entry").path()).expect("a file");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice is taken");
    }
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn what_do_a_billion_identities_cost() {
    let asked = std::env::var("DRAWDOWN_BENCH_IDENTITIES").ok().and_then(|count| count.parse().ok());
    let count = asked.unwrap_or(if is_large() { 1_000_000_000 } else { size(20_000_000, 20_000) });
    let portion = PORTION.min(count / 16);
    let dir = disk_dir();
    let stat = rustix::fs::statvfs(dir.path()).expect("a file system");
    let (free, needed) = (stat.f_bavail * stat.f_frsize, count * 26);
    if free < needed {
        println!(
            "{count} identities need {:.0} GB of disk, {:.0} are free: left out",
            gigabytes(needed),
            gigabytes(free)
        );
        return;
    }
    let before = anonymous_bytes();
    let spilled = open(dir.path());
    let (mut writing, mut merging) = (Duration::ZERO, Duration::ZERO);
    let (mut most_runs, mut most_memory, mut longest) = (0, 0, Duration::ZERO);
    for first in (0..count).step_by(portion as usize) {
        let numbers = first..count.min(first + portion);
        let start = Instant::now();
        add(&spilled, numbers);
        let written = Instant::now();
        writing += written - start;
        while spilled.step(0).expect("room on the disk") {
            most_memory = most_memory.max(anonymous_bytes().saturating_sub(before));
        }
        while spilled.expire(0) {}
        merging += written.elapsed();
        longest = longest.max(written.elapsed());
        most_runs = most_runs.max(spilled.figures(&pin()).runs);
    }
    let stats = spilled.figures(&pin());
    assert_eq!(stats.identities, count);
    tell(
        "identities",
        &format!("what do {} remembered identities take", short(count)),
        "",
        &[
            figure("runs at the end", stats.runs as f64),
            figure("runs at the most", most_runs as f64),
            figure("disk, GB", gigabytes(stats.file_bytes)),
            figure("memory of filters and indexes, GB", gigabytes(stats.memory_bytes)),
            figure("memory of the process, GB", gigabytes(anonymous_bytes().saturating_sub(before))),
            figure("memory of the process at the most, merging, GB", gigabytes(most_memory)),
            figure("to make and write portions, s", writing.as_secs_f64()),
            figure("to merge, s", merging.as_secs_f64()),
            figure("longest merge, s", longest.as_secs_f64()),
        ],
    );
    costs(&spilled, count);
    drop(spilled);
    evict(dir.path());
    let start = Instant::now();
    drop(open(dir.path()));
    let cold = start.elapsed();
    let start = Instant::now();
    let spilled = open(dir.path());
    let warm = start.elapsed();
    let figures = spilled.figures(&pin());
    assert_eq!(figures.identities, count);
    let (without, _) = sift(&spilled, size(2_000, 2));
    let start = Instant::now();
    while spilled.figures(&pin()).memory_bytes == figures.memory_bytes && spilled.step(0).expect("sound files") {}
    let front = start.elapsed();
    tell(
        "identities-open",
        &format!("how long does it take to open {} remembered identities", short(count)),
        "s",
        &[
            figure("from the disk", cold.as_secs_f64()),
            figure("from the page cache", warm.as_secs_f64()),
            figure("to make the front, beside the work", front.as_secs_f64()),
        ],
    );
    println!("    {without:.0} ns to know that a new event is in no run, until then");
}

fn costs(spilled: &Spilled, count: u64) {
    let _ = sift(spilled, size(500, 1)); // warms up
    let (sifting, passed) = sift(spilled, size(5_000, 10));
    let table = Idempotency::with_capacity(size(8_000_000, 8_000) as usize);
    let rounds = size(2_000, 2);
    let _ = claim(&table, None, 1 << 40, rounds); // warms up
    let without = claim(&table, None, 2 << 40, rounds);
    let with = claim(&table, Some(spilled), 3 << 40, rounds);
    let random = |n: u64| mix(n) % count;
    let lookups = size(20_000, 20);
    let first = look_up(spilled, (0..lookups).map(random));
    let again = look_up(spilled, (0..lookups).map(random));
    tell(
        "identities-cost",
        &format!("what do {} remembered identities cost an event", short(count)),
        "ns",
        &[
            figure("to know that a new event is in no run", sifting),
            figure("to claim a new event in the table, a batch of 1000", without),
            figure("the same, and look it up in the runs", with),
            figure("to find a duplicate in a run, its page mostly on the disk", first),
            figure("to find a duplicate in a run, its page in memory", again),
        ],
    );
    println!("    {passed:.0} of a million new events pass the filters and are looked up in a page");
}

fn main() {
    what_does_sifting_cost();
    what_does_an_engine_that_spills_cost();
    what_do_a_billion_identities_cost();
}
