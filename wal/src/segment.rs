//! Segments: where one begins and ends, and which are at hand.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::format::{SEGMENT_HEADER_BYTES, segment_seed};
use crate::lsn::Lsn;
use crate::mapping::Region;

/// The arithmetic of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) segment_bytes: u64,
    /// Largest frame, header and rounding included.
    pub(crate) max_frame_bytes: u64,
}

impl Geometry {
    /// Segment number and offset of a position.
    pub(crate) fn split(self, lsn: u64) -> (u64, u64) {
        (lsn / self.segment_bytes, lsn % self.segment_bytes)
    }

    /// First position of segment `number`.
    pub(crate) fn base(self, number: u64) -> Lsn {
        Lsn::new(number * self.segment_bytes)
    }

    /// Where a frame of `bytes` goes when the log ends at `from`, and how many bytes before it must be padded because the frame
    /// does not fit the segment.
    pub(crate) fn place(self, from: u64, bytes: u64) -> (u64, u64) {
        let (number, offset) = self.split(from);
        let base = number * self.segment_bytes;
        if offset < SEGMENT_HEADER_BYTES {
            return (base + SEGMENT_HEADER_BYTES, 0);
        }
        let room = self.segment_bytes - offset;
        if bytes <= room { (from, 0) } else { (base + self.segment_bytes + SEGMENT_HEADER_BYTES, room) }
    }

    /// Bytes of frames that are certain to find room behind `tail` when segments below `prepared` exist, however they are cut
    /// into frames.
    ///
    /// A frame of at most `f` bytes that does not fit the rest of a segment proves that less than `f` bytes of it are left. So
    /// of `r` usable bytes more than `r - f` get used before a segment is given up.
    pub(crate) fn capacity(self, tail: u64, prepared: u64) -> u64 {
        let (number, offset) = self.split(tail);
        if number >= prepared {
            return 0;
        }
        let here = self.segment_bytes - offset.max(SEGMENT_HEADER_BYTES);
        here.saturating_sub(self.max_frame_bytes) + (prepared - number - 1) * self.fresh_capacity()
    }

    /// As [`Geometry::capacity`], of one segment that nothing was written to.
    pub(crate) fn fresh_capacity(self) -> u64 {
        self.segment_bytes - SEGMENT_HEADER_BYTES - self.max_frame_bytes
    }
}

/// One segment at hand.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u64,
    base: Lsn,
    seed: u32,
    region: Region,
}

impl Segment {
    pub(crate) fn new(number: u64, base: Lsn, log_id: [u8; 16], region: Region) -> Self {
        Self { number, base, seed: segment_seed(log_id, number), region }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn base(&self) -> Lsn {
        self.base
    }

    /// Seed of the checksums in this segment.
    pub(crate) fn seed(&self) -> u32 {
        self.seed
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }
}

const CHUNK: usize = if cfg!(drawdown_loom) { 8 } else { 1024 };
const CHUNKS: usize = if cfg!(drawdown_loom) { 1 } else { 4096 };

/// Segments by number. Looking one up takes no lock; entries are set once and cleared once, when the segment is retired.
pub(crate) struct Table {
    chunks: Box<[OnceLock<Chunk>]>,
}

type Chunk = Box<[ArcSwapOption<Segment>]>;

impl Table {
    pub(crate) fn new() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect() }
    }

    fn entry(&self, number: u64) -> Option<&ArcSwapOption<Segment>> {
        let number = usize::try_from(number).ok()?;
        self.chunks.get(number / CHUNK)?.get()?.get(number % CHUNK)
    }

    /// The segment, unless it is not prepared yet or retired.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Segment>> {
        self.entry(number)?.load_full()
    }

    /// Whether segment `number` can ever be entered.
    pub(crate) fn holds(number: u64) -> bool {
        number < (CHUNK * CHUNKS) as u64
    }

    pub(crate) fn insert(&self, segment: Segment) {
        let number = segment.number() as usize;
        let chunk = self.chunks[number / CHUNK].get_or_init(|| (0..CHUNK).map(|_| ArcSwapOption::empty()).collect());
        let before = chunk[number % CHUNK].swap(Some(Arc::new(segment)));
        assert!(before.is_none(), "a segment is entered once");
    }

    /// Enters a segment again that could not be retired after all.
    pub(crate) fn put_back(&self, segment: Arc<Segment>) {
        if let Some(entry) = self.entry(segment.number()) {
            entry.store(Some(segment));
        }
    }

    pub(crate) fn remove(&self, number: u64) -> Option<Arc<Segment>> {
        self.entry(number)?.swap(None)
    }
}
