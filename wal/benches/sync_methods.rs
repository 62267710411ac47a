//! What does it cost to make a group of bytes durable, and does it matter how the file was filled?
//!
//! `through the log` goes the log's own way: a frame is written into private memory, written to the file by position, synced. `msync of a
//! shared mapping` writes into the file's own pages. Both are measured while a second thread of the process runs: to write a page of a
//! shared mapping the kernel interrupts every processor that the process runs on, which costs nothing if it runs on one only. `written`
//! overwrites a filled file by position and calls `fdatasync`.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot open its log has nothing to say")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use drawdown_wal::{Log, Options, frame_bytes};
use memmap2::MmapOptions;

const KIB: usize = 1024;
const SEGMENT: u64 = 64 << 20;
const SIZES: [(&str, usize); 4] =
    [("4 KiB", 4 * KIB), ("64 KiB", 64 * KIB), ("256 KiB", 256 * KIB), ("1 MiB", 1024 * KIB)];

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

/// Runs `work` while another thread keeps a second processor busy.
fn beside_another_thread<T>(work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

fn through_the_log(criterion: &mut Criterion) {
    let mut group = group(criterion, "how long does a group take through the log");
    for (name, bytes) in SIZES {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            segment_bytes: SEGMENT,
            segments_ahead: 1,
            max_unsynced_bytes: 32 << 20,
            max_frame_bytes: 8 << 20,
            manual: true,
            ..Options::default()
        };
        let (log, _) = Log::open(directory.path(), options).unwrap();
        let payload = vec![0x5au8; bytes - 32];
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                beside_another_thread(|| {
                    for _ in 0..iterations {
                        // Housekeeping, which another thread does in a running log.
                        log.pump();
                        let start = Instant::now();
                        let admission = log.admit(frame_bytes(payload.len() as u64)).unwrap();
                        let mut frame = admission.reserve(1, payload.len());
                        frame.payload_mut()[..payload.len()].copy_from_slice(&payload);
                        let end = frame.publish(payload.len(), 1);
                        log.wait_durable(end).unwrap();
                        took += start.elapsed();
                    }
                });
                log.retire(log.durable()).unwrap();
                took
            });
        });
        log.close().unwrap();
    }
    group.finish();
}

/// A file of a segment's size in which every byte was written, in writes of `fill` bytes.
fn filled(directory: &std::path::Path, fill: usize) -> File {
    let path = directory.join("segment");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let zeros = vec![0u8; fill];
    for _ in 0..SEGMENT as usize / fill {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    file
}

fn shared_mapping(criterion: &mut Criterion) {
    for (fill_name, fill) in [("16 KiB", 16 * KIB), ("1 MiB", 1024 * KIB)] {
        let name = format!("how long does msync of a shared mapping take, filled in writes of {fill_name}");
        let mut group = group(criterion, &name);
        for (name, bytes) in SIZES {
            let directory = tempfile::tempdir().unwrap();
            let file = filled(directory.path(), fill);
            // SAFETY: nobody else knows the file, and it is not truncated.
            let mut map = unsafe { MmapOptions::new().map_mut(&file) }.unwrap();
            let payload = vec![0x5au8; bytes];
            let mut at = 0;
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let start = Instant::now();
                    beside_another_thread(|| {
                        for _ in 0..iterations {
                            map[at..at + bytes].copy_from_slice(&payload);
                            map.flush_range(at, bytes).unwrap();
                            at = (at + bytes) % SEGMENT as usize;
                        }
                    });
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}

fn written(criterion: &mut Criterion) {
    for (fill_name, fill) in [("16 KiB", 16 * KIB), ("1 MiB", 1024 * KIB)] {
        let name = format!("how long do a write and fdatasync take, filled in writes of {fill_name}");
        let mut group = group(criterion, &name);
        for (name, bytes) in SIZES {
            let directory = tempfile::tempdir().unwrap();
            let file = filled(directory.path(), fill);
            let payload = vec![0x5au8; bytes];
            let mut at = 0;
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let start = Instant::now();
                    beside_another_thread(|| {
                        for _ in 0..iterations {
                            file.write_all_at(&payload, at).unwrap();
                            file.sync_data().unwrap();
                            at = (at + bytes as u64) % SEGMENT;
                        }
                    });
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, through_the_log, shared_mapping, written);
criterion_main!(benches);
