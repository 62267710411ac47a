//! Which call makes a group of bytes durable soonest, and does it matter how the file was filled?
//!
//! `mapped` goes the log's own way: a frame is written into the mapping and synced by the method under test. The segment was filled in
//! writes of 4 KiB, as the log does, or the file was rewritten in one large write before it was mapped, so that its page cache consists of
//! large folios. `written` does not map: it overwrites a filled file by position and calls `fdatasync`.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot open its log has nothing to say")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use drawdown_wal::{Log, Options, SyncMethod, frame_bytes};

const KIB: usize = 1024;
const SEGMENT: u64 = 64 << 20;
const SIZES: [(&str, usize); 4] =
    [("4 KiB", 4 * KIB), ("64 KiB", 64 * KIB), ("256 KiB", 256 * KIB), ("1 MiB", 1024 * KIB)];

fn options(sync: SyncMethod) -> Options {
    Options {
        segment_bytes: SEGMENT,
        segments_ahead: 1,
        max_unsynced_bytes: 32 << 20,
        max_frame_bytes: 8 << 20,
        sync,
        manual: true,
        ..Options::default()
    }
}

/// Replaces every segment by a copy that was written in one piece.
fn refill_in_large_writes(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            let bytes = fs::read(&path).unwrap();
            let copy = path.with_extension("copy");
            let mut file = File::create(&copy).unwrap();
            file.write_all(&bytes).unwrap();
            file.sync_all().unwrap();
            fs::rename(&copy, &path).unwrap();
        }
    }
}

fn mapped(criterion: &mut Criterion) {
    for (method_name, method) in [("msync", SyncMethod::Msync), ("fdatasync", SyncMethod::Fdatasync)] {
        for (fill, large) in [("filled in 4 KiB writes", false), ("filled in large writes", true)] {
            let mut group = criterion.benchmark_group(format!("how long does {method_name} of a mapping {fill} take"));
            group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
            for (name, bytes) in SIZES {
                let directory = tempfile::tempdir().unwrap();
                drop(Log::open(directory.path(), options(method)).unwrap());
                if large {
                    refill_in_large_writes(directory.path());
                }
                let (log, _) = Log::open(directory.path(), options(method)).unwrap();
                let payload = vec![0x5au8; bytes - 32];
                group.bench_function(name, |bencher| {
                    bencher.iter_custom(|iterations| {
                        let mut took = Duration::ZERO;
                        for _ in 0..iterations {
                            // A segment prepared meanwhile is refilled by nobody: stay in those that were there.
                            while log.admit(frame_bytes(payload.len() as u64)).is_err() && log.pump().prepared {}
                            let start = std::time::Instant::now();
                            let admission = log.admit(frame_bytes(payload.len() as u64)).unwrap();
                            let mut frame = admission.reserve(1, payload.len());
                            frame.payload_mut()[..payload.len()].copy_from_slice(&payload);
                            let end = frame.publish(payload.len(), 1);
                            log.wait_durable(end).unwrap();
                            took += start.elapsed();
                        }
                        log.retire(log.durable()).unwrap();
                        took
                    });
                });
            }
            group.finish();
        }
    }
}

fn written(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("how long do a write and fdatasync take");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for (name, bytes) in SIZES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("segment");
        fs::write(&path, vec![0u8; SEGMENT as usize]).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.sync_all().unwrap();
        let payload = vec![0x5au8; bytes];
        let mut at = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                file.write_all_at(&payload, at).unwrap();
                file.sync_data().unwrap();
                at = (at + bytes as u64) % SEGMENT;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mapped, written);
criterion_main!(benches);
