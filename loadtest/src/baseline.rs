//! What the disk alone takes: small writes, each made durable, with nothing around them.
//!
//! A durable answer cannot be faster than this on the same disk at the same time, so the ratio says what the server adds. The file is
//! filled and synced first: a write then changes data only, as in a log of preallocated segments.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const WRITE_BYTES: usize = 4096;

/// Writes at most.
const WRITES_MAX: usize = 2000;

/// Time at most: a slow disk tells enough with fewer writes.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Times of a write of 4 KiB with its `fdatasync`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Syncs {
    /// How many were measured.
    pub count: u64,
    /// Half took at most this, in microseconds.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
}

/// Measures a directory's disk.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a few seconds stay far below 2^53")]
pub fn measure(directory: &Path) -> io::Result<Syncs> {
    let scratch = Scratch::new(directory)?;
    let mut took = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are right");
    let begin = Instant::now();
    for index in 0..WRITES_MAX {
        let started = Instant::now();
        // Other bytes each time, so that no layer below can find that nothing changed.
        scratch.file.write_all_at(&[index as u8 | 1; WRITE_BYTES], (index * WRITE_BYTES) as u64)?;
        scratch.file.sync_data()?;
        took.saturating_record(started.elapsed().as_nanos() as u64);
        if begin.elapsed() > TIME_MAX {
            break;
        }
    }
    let us = |quantile| took.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Syncs { count: took.len(), p50_us: us(0.5), p99_us: us(0.99) })
}

/// A file that goes away again.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn new(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!("loadtest-sync-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut scratch = Scratch { path, file };
        // In the size of the later writes: how a file was filled decides how its pages are written back.
        for _ in 0..WRITES_MAX {
            scratch.file.write_all(&[0; WRITE_BYTES])?;
        }
        scratch.file.sync_all()?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_measures_and_leaves_nothing() {
        let directory = std::env::temp_dir().join(format!("loadtest-baseline-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a new directory");
        let syncs = measure(&directory).expect("it can be written to");
        assert!(syncs.count > 0 && syncs.p50_us > 0.0 && syncs.p99_us >= syncs.p50_us, "{syncs:?}");
        assert_eq!(std::fs::read_dir(&directory).expect("it is there").count(), 0);
        std::fs::remove_dir(&directory).expect("it is empty");
        assert!(measure(&directory).is_err());
    }
}
