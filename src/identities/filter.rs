//! A filter: one look at one cache line tells most fingerprints that are not in a set from those that may be.
//!
//! A blocked Bloom filter (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007) whose lines are eight words of
//! which each key sets one bit, as in the split-block variant. A fingerprint's high bits choose the line, so that the lines of sorted
//! fingerprints are written front to back; a product of all its bits chooses the bit in each word. Fingerprints are a keyed pseudo-random
//! function already, so nobody can aim at a line.
//!
//! There are two kinds. A [`FRONT`] has 8 bits a key and lets 29 of a thousand strangers pass, a [`RUN`]'s filter has 12 and lets 4 pass; the one
//! stands before the others. So of a million new events 700 are looked up in a page for nothing, if there are six runs. What is looked up costs
//! a read of a page that is often not in memory, some fifty microseconds: on the average as much as one cache line.

use super::format::{Malformed, PAGE_BYTES, whole_pages};
use crate::store::ZeroValid;
use crate::store::prefetch::prefetch;
use crate::store::sync::{AtomicU64, Ordering};
use crate::store::zeroed::ZeroedArray;
use drawdown_wal::{Contents, Draft};
use std::io;

/// What kind a filter is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    bits_per_key: u64,
    /// Odd. Kinds with the same one would let the same strangers pass.
    multiplier: u64,
}

/// The filter of a run: part of its file's format.
pub(super) const RUN: Kind = Kind { bits_per_key: 12, multiplier: 0x9e37_79b9_7f4a_7c15 };
/// The filter before those of all runs.
pub(super) const FRONT: Kind = Kind { bits_per_key: 8, multiplier: 0xd6e8_feb8_6659_fd93 };

const WORDS: usize = 8;
const LINE_BYTES: usize = 64;
/// Bytes that are read or written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A word of a line. One thread sets bits; what they are needed for is shown to others afterwards (the list of runs, Release and Acquire). Hence
/// Relaxed throughout.
struct Word(AtomicU64);

// SAFETY: zero is a valid integer, and there is nothing to drop.
unsafe impl ZeroValid for Word {
    #[cfg(drawdown_loom)]
    fn zero() -> Self {
        Word(AtomicU64::new(0))
    }
}

pub(super) struct Filter {
    words: ZeroedArray<Word>,
    kind: Kind,
}

/// The bit in each word of a line.
#[inline]
fn bits(kind: Kind, fingerprint: u64) -> impl Iterator<Item = u64> {
    // The high bits of the product depend on all bits of the fingerprint, of which the line fixes the highest only.
    let mixed = fingerprint.wrapping_mul(kind.multiplier);
    (0..WORDS as u32).map(move |word| mixed >> (58 - 6 * word) & 63)
}

impl Filter {
    /// An empty filter for so many fingerprints.
    pub(super) fn for_keys(kind: Kind, keys: u64) -> Self {
        Self::with_lines(kind, (keys * kind.bits_per_key).div_ceil(LINE_BYTES as u64 * 8).max(1))
    }

    /// An empty filter of so many lines.
    pub(super) fn with_lines(kind: Kind, lines: u64) -> Self {
        Filter { words: ZeroedArray::new(lines as usize * WORDS), kind }
    }

    pub(super) fn lines(&self) -> u64 {
        (self.words.len() / WORDS) as u64
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        self.lines() * LINE_BYTES as u64
    }

    #[inline]
    fn line(&self, fingerprint: u64) -> &[Word; WORDS] {
        let line = (u128::from(fingerprint) * u128::from(self.lines())) >> 64;
        let words = &self.words[line as usize * WORDS..];
        words.first_chunk().expect("lines are whole")
    }

    /// Enters a fingerprint. For the one thread that does.
    pub(super) fn insert(&self, fingerprint: u64) {
        for (word, bit) in self.line(fingerprint).iter().zip(bits(self.kind, fingerprint)) {
            word.0.store(word.0.load(Ordering::Relaxed) | 1 << bit, Ordering::Relaxed);
        }
    }

    /// Requests the line of a fingerprint.
    #[inline]
    pub(super) fn prefetch(&self, fingerprint: u64) {
        prefetch(self.line(fingerprint).as_ptr());
    }

    /// Whether the fingerprint may have been entered.
    #[inline]
    pub(super) fn may_hold(&self, fingerprint: u64) -> bool {
        // Every word is looked at: where to stop early could not be foreseen.
        let line = self.line(fingerprint);
        let bits = bits(self.kind, fingerprint);
        line.iter().zip(bits).fold(1, |all, (word, bit)| all & word.0.load(Ordering::Relaxed) >> bit) == 1
    }

    /// Writes the lines and zeros up to a whole page; answers their checksum, begun with `seed`.
    pub(super) fn write(&self, file: &mut dyn Draft, seed: u32) -> io::Result<u32> {
        let mut checksum = seed;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + PAGE_BYTES);
        let mut words = &self.words[..];
        while !words.is_empty() {
            let (now, later) = words.split_at(words.len().min(CHUNK_BYTES / 8));
            words = later;
            chunk.clear();
            chunk.extend(now.iter().flat_map(|word| word.0.load(Ordering::Relaxed).to_le_bytes()));
            checksum = crc32c::crc32c_append(checksum, &chunk);
            chunk.resize(whole_pages(chunk.len() as u64) as usize, 0);
            file.append(&chunk)?;
        }
        Ok(checksum)
    }

    /// Reads the `lines` lines of a run's filter back from `at` on, whose checksum must be `expected`.
    pub(super) fn read(file: &dyn Contents, at: u64, lines: u64, seed: u32, expected: u32) -> Result<Self, Unreadable> {
        let filter = Self::with_lines(RUN, lines);
        let mut checksum = seed;
        let mut chunk = vec![0; CHUNK_BYTES];
        for (number, words) in (0..).zip(filter.words.chunks(CHUNK_BYTES / 8)) {
            let chunk = &mut chunk[..words.len() * 8];
            file.read_at(at + number * CHUNK_BYTES as u64, chunk)?;
            checksum = crc32c::crc32c_append(checksum, chunk);
            for (word, bytes) in words.iter().zip(chunk.as_chunks::<8>().0) {
                word.0.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
        }
        if checksum == expected { Ok(filter) } else { Err(Malformed::Filter.into()) }
    }
}

/// Why a run, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Malformed(#[from] Malformed),
}
