//! Sorting more pairs of numbers than memory is to be used for: runs that fit are sorted and put away in a scratch file, and merged in the
//! end.

use drawdown_wal::{Files, Scratch};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

/// What is sorted: by the first number, then by the second.
pub(super) type Pair = (u64, u64);

const PAIR_BYTES: usize = 16;
/// Bytes of a run that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Takes pairs in any order.
pub(super) struct Sorter<'f> {
    files: &'f dyn Files,
    /// Pairs that are held in memory at most.
    room: usize,
    held: Vec<Pair>,
    /// Where runs end in the scratch file.
    ends: Vec<u64>,
    scratch: Option<Box<dyn Scratch>>,
}

impl<'f> Sorter<'f> {
    /// Holds about so many bytes of pairs in memory.
    pub(super) fn new(files: &'f dyn Files, bytes: u64) -> Self {
        let room = (bytes as usize / PAIR_BYTES).max(16);
        Sorter { files, room, held: Vec::new(), ends: Vec::new(), scratch: None }
    }

    pub(super) fn push(&mut self, pair: Pair) -> io::Result<()> {
        self.held.push(pair);
        if self.held.len() < self.room { Ok(()) } else { self.spill() }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        self.held.dedup();
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            None => self.scratch.insert(self.files.scratch()?),
        };
        let mut bytes = Vec::with_capacity(READ_BYTES);
        for pairs in self.held.chunks(READ_BYTES / PAIR_BYTES) {
            bytes.clear();
            for (first, second) in pairs {
                bytes.extend_from_slice(&first.to_le_bytes());
                bytes.extend_from_slice(&second.to_le_bytes());
            }
            scratch.append(&bytes)?;
        }
        self.ends.push(scratch.size_bytes());
        self.held.clear();
        Ok(())
    }

    /// The pairs in order, each once.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.held.sort_unstable();
        self.held.dedup();
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let mut runs: Vec<_> =
            starts.zip(&self.ends).map(|(at, end)| Run { at, end: *end, read: Vec::new().into_iter() }).collect();
        runs.push(Run { at: 0, end: 0, read: self.held.into_iter() });
        let mut sorted = Sorted { runs, scratch: self.scratch, heads: BinaryHeap::new(), last: None };
        for number in 0..sorted.runs.len() {
            sorted.advance(number)?;
        }
        Ok(sorted)
    }
}

/// A sorted run: what was read of it, and where the rest is.
struct Run {
    at: u64,
    end: u64,
    read: std::vec::IntoIter<Pair>,
}

/// The merge.
pub(super) struct Sorted {
    runs: Vec<Run>,
    scratch: Option<Box<dyn Scratch>>,
    /// The next pair of each run that has one.
    heads: BinaryHeap<Reverse<(Pair, usize)>>,
    last: Option<Pair>,
}

impl Sorted {
    /// The next pair.
    pub(super) fn next(&mut self) -> io::Result<Option<Pair>> {
        while let Some(Reverse((pair, number))) = self.heads.pop() {
            self.advance(number)?;
            if self.last != Some(pair) {
                self.last = Some(pair);
                return Ok(Some(pair));
            }
        }
        Ok(None)
    }

    /// Puts a run's next pair among the heads.
    fn advance(&mut self, number: usize) -> io::Result<()> {
        let run = &mut self.runs[number];
        if run.read.len() == 0
            && run.at < run.end
            && let Some(scratch) = &self.scratch
        {
            let length = (run.end - run.at).min(READ_BYTES as u64);
            let mut bytes = vec![0; length as usize];
            scratch.read_at(run.at, &mut bytes)?;
            run.at += length;
            let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            let pairs = bytes.chunks_exact(PAIR_BYTES).map(|pair| (word(&pair[..8]), word(&pair[8..])));
            run.read = pairs.collect::<Vec<_>>().into_iter();
        }
        if let Some(pair) = run.read.next() {
            self.heads.push(Reverse((pair, number)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawdown_wal::Heap;
    use drawdown_wal::sim::Random;
    use std::collections::BTreeSet;

    #[track_caller]
    fn check(count: u64, bytes: u64) {
        let (heap, mut random) = (Heap::new(), Random::new(count ^ bytes));
        let mut sorter = Sorter::new(&heap, bytes);
        let mut expected = BTreeSet::new();
        for _ in 0..count {
            let pair = (random.below(count), random.below(3));
            expected.insert(pair);
            sorter.push(pair).expect("a heap takes it");
        }
        let mut sorted = sorter.finish().expect("a heap gives it back");
        let mut found = Vec::new();
        while let Some(pair) = sorted.next().expect("a heap gives it back") {
            found.push(pair);
        }
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn pairs_come_back_in_order_and_once() {
        check(0, 1 << 20);
        check(1, 0);
        check(500, 1 << 20);
        check(500, 0);
        check(20_000, 100 << 10);
    }
}
