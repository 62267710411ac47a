//! What does an append cost, and what does it cost to have it durable?
//!
//! Over mapped files in the temporary directory. The first group never waits for the disk: syncs, preparation and retirement happen
//! between the timed parts. The second is the time from admission to durable, with the sync on the caller's thread and by the
//! flusher.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot open its log has nothing to say")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drawdown_wal::{Admission, Log, Options, frame_bytes};

const KIB: usize = 1024;

fn options(manual: bool) -> Options {
    Options {
        segment_bytes: 64 << 20,
        segments_ahead: 1,
        max_unsynced_bytes: 32 << 20,
        max_frame_bytes: 8 << 20,
        manual,
        ..Options::default()
    }
}

/// Times `append` alone; whatever makes room for it is not counted.
fn unsynced(log: &Log, iterations: u64, bytes: u64, mut append: impl FnMut(&Log)) -> Duration {
    let mut took = Duration::ZERO;
    for done in 0..iterations {
        if done % 64 == 0 || log.admit(bytes).is_err() {
            while log.stats().unsynced_bytes + bytes * 64 > 16 << 20 && log.pump().synced {}
            while log.admit(bytes * 64).is_err() {
                log.pump();
            }
            log.retire(log.durable()).unwrap();
        }
        let start = Instant::now();
        append(log);
        took += start.elapsed();
    }
    took
}

fn frame(admission: &Admission<'_>, payload: &[u8]) {
    let mut frame = admission.reserve(1, payload.len());
    frame.payload_mut()[..payload.len()].copy_from_slice(payload);
    black_box(frame.publish(payload.len(), 1));
}

fn without_waiting(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), options(true)).unwrap();
    let mut group = criterion.benchmark_group("what does an append cost that waits for nothing");
    for (name, payload, count) in [
        ("nothing but the timer", 0, 0),
        ("one frame of 32 bytes", 32, 1),
        ("32 frames of 96 bytes in one admission", 96, 32),
        ("one frame of 4 KiB", 4 * KIB - 32, 1),
        ("one batch of 48 KiB", 48 * KIB - 32, 1),
    ] {
        let bytes = frame_bytes(payload as u64) * count;
        let payload = vec![0xa5u8; payload];
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                unsynced(&log, iterations, bytes, |log| {
                    if count > 0 {
                        let admission = log.admit(bytes).unwrap();
                        (0..count).for_each(|_| frame(&admission, &payload));
                    }
                })
            });
        });
    }
    group.finish();
}

fn durable(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("how long until an append is durable");
    group.sample_size(20);
    for (driver, manual) in [("sync on the caller's thread", true), ("sync by the flusher", false)] {
        for (name, payload) in [("4 KiB", 4 * KIB - 32), ("64 KiB", 64 * KIB - 32), ("1 MiB", 1024 * KIB - 32)] {
            let directory = tempfile::tempdir().unwrap();
            let (log, _) = Log::open(directory.path(), options(manual)).unwrap();
            let bytes = frame_bytes(payload as u64);
            let payload = vec![0xa5u8; payload];
            group.throughput(Throughput::Bytes(bytes));
            group.bench_function(format!("{name}, {driver}"), |bencher| {
                bencher.iter(|| {
                    let admission = log.admit_wait(bytes, Duration::from_secs(10)).unwrap();
                    frame(&admission, &payload);
                    log.wait_durable(log.tail()).unwrap();
                });
            });
        }
    }
    group.finish();
}

/// Threads that append one small frame after another without waiting, while the flusher syncs behind them.
fn many_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does an append cost beside other threads");
    group.sample_size(20);
    for threads in [1u64, 2, 8] {
        let directory = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(directory.path(), options(false)).unwrap();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("one frame of 96 bytes, {threads} threads"), |bencher| {
            bencher.iter_custom(|iterations| {
                let each = iterations.div_ceil(threads);
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for _ in 0..each {
                                frame(&log.admit_wait(128, Duration::from_secs(30)).unwrap(), &[7; 96]);
                            }
                        });
                    }
                });
                let took = start.elapsed();
                log.retire(log.durable()).unwrap();
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, without_waiting, durable, many_threads);
criterion_main!(benches);
