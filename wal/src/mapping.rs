//! The shared memory of a segment, and the protocol that makes sharing it sound. All `unsafe` of the crate is here.
//!
//! Three rules, kept by the types of this module:
//! 1. **Exclusive until published.** A [`Span`] comes from a [`Claim`], a `Claim` only from [`Tail::reserve`], and
//!    the tail only grows: no two spans overlap. A span is the only way to write to a shared region.
//! 2. **Immutable once published.** [`Span::publish`] consumes the span and stores the frame's length word with Release.
//! 3. **Readable below the watermark.** [`Region::advance`] walks length words with Acquire and moves the region's watermark over
//!    published frames; [`Region::bytes`] hands out bytes below the watermark and nothing else. So a reader's bytes were
//!    published before, are never written again, and its loads are ordered behind the writer's stores.
//!
//! Before a region is shared, recovery owns it and uses `&mut self`.
#![allow(unsafe_code)]

mod file;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool as PlainBool;

use crossbeam::utils::CachePadded;
use memmap2::{MmapOptions, MmapRaw};

use crate::format::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_REST, SEGMENT_HEADER_BYTES};
use crate::lsn::Lsn;
use crate::segment::{Geometry, Segment};
#[cfg(not(drawdown_loom))]
use crate::sync::AtomicU32;
use crate::sync::{AtomicU64, Ordering};

use file::FileMemory;
#[cfg(drawdown_loom)]
use model::Shadow;

const PAGE: usize = 4096;

/// What makes the bytes of a heap region durable.
pub trait Backing: Send + Sync {
    /// Makes `bytes`, which stand at `offset` of the segment, durable. An error is final.
    fn sync(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// The memory of one segment: bytes that appenders fill and readers share.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    /// Offset up to which every frame is published. Written by whoever walks (`fetch_max`, Release), read by readers (Acquire).
    watermark: AtomicU64,
    memory: Memory,
    #[cfg(drawdown_loom)]
    shadow: Shadow,
}

enum Memory {
    File(FileMemory),
    Private { _map: MmapRaw },
    Heap { _lease: Lease, backing: Box<dyn Backing> },
}

impl Memory {
    /// Makes `bytes`, which stand at `offset`, durable.
    fn write_out(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Memory::File(file) => file.write_out(offset, bytes),
            Memory::Private { .. } => Ok(()),
            Memory::Heap { backing, .. } => backing.sync(offset, bytes),
        }
    }
}

// SAFETY: `base` points into memory that `memory` owns and never moves (a mapping, or boxed pages). What is shared through
// `&Region` follows the module's rules: spans are disjoint, published bytes are immutable, the length words are atomics.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Region {
    /// A region in front of a file that consists of `header` and zeros, of which every block is allocated. The file must belong to this
    /// process alone (the directory lock) and is never truncated while mapped, so that no access can fault.
    pub(crate) fn fresh(file: File, bytes: u64, header: &[u8]) -> io::Result<Self> {
        FileMemory::fresh(file, bytes, header).map(Self::in_front_of)
    }

    /// As [`Region::fresh`], for a file with anything in it.
    pub(crate) fn opened(file: File) -> io::Result<Self> {
        FileMemory::opened(file).map(Self::in_front_of)
    }

    fn in_front_of(memory: FileMemory) -> Self {
        Self::over(memory.base(), memory.len(), Memory::File(memory))
    }

    /// A region over a private mapping: what is written to it stays in memory, and nothing is ever made durable. The file, if there is one,
    /// must not be changed while it is mapped.
    pub(crate) fn private(map: MmapRaw) -> Self {
        let base = NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling());
        let len = map.len();
        Self::over(base, len, Memory::Private { _map: map })
    }

    /// A region over heap pages, made durable by `backing`. Refused while another region over the same pages lives.
    pub fn heap(pages: &Arc<HeapPages>, backing: Box<dyn Backing>) -> io::Result<Self> {
        let lease = Lease::take(pages)?;
        Ok(Self::over(pages.base(), pages.len, Memory::Heap { _lease: lease, backing }))
    }

    fn over(base: NonNull<u8>, len: usize, memory: Memory) -> Self {
        assert_eq!(base.as_ptr() as usize % PAGE, 0, "a region begins at a page");
        Self {
            base,
            len,
            watermark: AtomicU64::new(SEGMENT_HEADER_BYTES),
            memory,
            #[cfg(drawdown_loom)]
            shadow: Shadow::new(len),
        }
    }

    /// Bytes in the region.
    pub fn size_bytes(&self) -> u64 {
        self.len as u64
    }

    /// All bytes, before the region is shared.
    pub(crate) fn contents(&mut self) -> &mut [u8] {
        // SAFETY: `base..base + len` is one live allocation (a mapping of `len` bytes, or `HeapPages` of that size), and
        // `&mut self` means that no span, reader or other region (lease, directory lock) refers to it.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }

    /// Offset behind the last byte of `range` that is not zero, or its start: before the region is shared, and before `contents` has changed
    /// anything there.
    pub(crate) fn end_of_content(&mut self, range: Range<u64>) -> io::Result<u64> {
        match &self.memory {
            Memory::File(file) => file.end_of_content(range),
            Memory::Private { .. } | Memory::Heap { .. } => {
                let last = file::last_nonzero(&self.contents()[range.start as usize..range.end as usize]);
                Ok(last.map_or(range.start, |last| range.start + last as u64 + 1))
            }
        }
    }

    /// The region as if it was fresh: for one that holds nothing behind its header, as far as was looked.
    pub(crate) fn renewed(mut self) -> io::Result<Self> {
        match self.memory {
            Memory::File(file) => file.renewed().map(Self::in_front_of),
            // A simulated disk keeps of a crash what no disk would that is written by position: there may be something.
            Memory::Heap { .. } => {
                self.contents()[SEGMENT_HEADER_BYTES as usize..].fill(0);
                Ok(self)
            }
            // Of a real file, where there is nothing.
            Memory::Private { .. } => Ok(self),
        }
    }

    /// Declares everything below `offset` published, before the region is shared.
    pub(crate) fn set_watermark(&mut self, offset: u64) {
        assert!(offset >= SEGMENT_HEADER_BYTES);
        assert!(offset <= self.len as u64);
        self.watermark = AtomicU64::new(offset);
    }

    /// Makes `range` durable before the region is shared, whether or not it changed.
    pub(crate) fn sync_exclusive(&mut self, range: Range<u64>) -> io::Result<()> {
        // SAFETY: as in `contents`; the range is checked by the slicing below.
        let all = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) };
        self.memory.write_out(range.start, &all[range.start as usize..range.end as usize])
    }

    /// Makes the published bytes of `range` durable.
    pub(crate) fn sync(&self, range: Range<u64>) -> io::Result<()> {
        let bytes = self.bytes(range.clone());
        let bytes = bytes.ok_or_else(|| io::Error::other("asked to sync unpublished bytes"))?;
        self.memory.write_out(range.start, bytes)
    }

    /// Housekeeping of the region's memory, given up to which offset its bytes are durable and where the log ends. To be done every few MiB;
    /// it changes no byte.
    pub(crate) fn tend(&self, durable: u64, tail: u64) {
        match &self.memory {
            // Only what is known to be published: the file has it, and nobody writes there.
            Memory::File(file) => file.tend(durable.min(self.watermark.load(Ordering::Acquire)), tail),
            Memory::Private { .. } | Memory::Heap { .. } => {}
        }
    }

    /// The length word of the frame at `offset`.
    #[cfg(not(drawdown_loom))]
    fn word(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(FRAME_ALIGN));
        assert!(offset < self.len as u64);
        // SAFETY: inside the allocation (asserted).
        let at = unsafe { self.base.as_ptr().add(offset as usize) };
        // SAFETY: aligned to 32 (base to a page) and valid for the region's life. The word at a frame's start is only ever accessed
        // through this function while the region is shared: payload slices begin behind the header, and where an unused part of a
        // payload becomes a padding frame, its word is first read by a walker that has seen the enclosing frame's length (Acquire),
        // which was stored (Release) after the last plain write there.
        #[expect(clippy::cast_ptr_alignment, reason = "argued above")]
        unsafe {
            AtomicU32::from_ptr(at.cast::<u32>())
        }
    }

    #[cfg(drawdown_loom)]
    fn word(&self, offset: u64) -> &crate::sync::AtomicU32 {
        self.shadow.word(offset)
    }

    /// Length of the frame at `offset`, 0 if none is published there. Acquire: pairs with [`Span::publish_at`], so the frame's bytes
    /// are visible to whoever sees its length.
    pub(crate) fn length_at(&self, offset: u64) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Walks over published frames and returns the offset behind the last one that has no hole before it.
    pub(crate) fn advance(&self) -> u64 {
        // Acquire: pairs with the Release below; what another walker saw published, this one may hand out.
        let start = self.watermark.load(Ordering::Acquire);
        let mut offset = start;
        while offset < self.len as u64 {
            let length = self.length_at(offset);
            if length == 0 {
                break;
            }
            offset += u64::from(length).next_multiple_of(FRAME_ALIGN);
            assert!(offset <= self.len as u64, "a published frame ends inside its segment");
        }
        if offset > start {
            // Release: pairs with the Acquire loads of the watermark, here and in `bytes`. The maximum keeps it monotonic when two
            // threads walk at once.
            self.watermark.fetch_max(offset, Ordering::AcqRel).max(offset)
        } else {
            start
        }
    }

    /// Bytes of published frames (or of the segment header); `None` if any of them is not known to be published.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        // Acquire: pairs with the Release in `advance`.
        if range.start > range.end || range.end > self.watermark.load(Ordering::Acquire) {
            return None;
        }
        #[cfg(drawdown_loom)]
        self.shadow.read(&range);
        let len = (range.end - range.start) as usize;
        // SAFETY: `start <= end <= watermark <= len`.
        let at = unsafe { self.base.as_ptr().add(range.start as usize) };
        // SAFETY: inside the allocation. Bytes below the watermark are published: nobody holds a span on them (publishing consumed it),
        // so nobody writes them again, and the Acquire above orders this read behind the last write. The length words inside
        // are not stored to again either; plain reads of them cannot race.
        Some(unsafe { std::slice::from_raw_parts(at, len) })
    }
}

/// A region over a copy of a file: pages are shared with the file until they are written to. The file must not be changed while it is mapped.
pub(crate) fn private_copy(file: &File) -> io::Result<Region> {
    let mut options = MmapOptions::new();
    // SAFETY: the mapping is private, so nothing is written to the file. That nobody else changes it is the caller's part: archives hold
    // the directory's lock, or map only what lies below a durable position, which no server changes.
    let map = unsafe { options.no_reserve_swap().map_copy(file) }?;
    Ok(Region::private(map.into()))
}

/// A region of so many zeros in memory, after `fill` had it.
pub(crate) fn private_anonymous(bytes: u64, fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Region> {
    let mut map = MmapOptions::new().len(bytes as usize).no_reserve_swap().map_anon()?;
    fill(&mut map)?;
    Ok(Region::private(map.into()))
}

/// Memory for a heap region: zeroed pages. Keep the `Arc` to open the same bytes again, as if a process had died.
pub struct HeapPages {
    pages: Box<[std::cell::UnsafeCell<Page>]>,
    len: usize,
    leased: PlainBool,
}

#[repr(C, align(4096))]
struct Page([u8; PAGE]);

// SAFETY: the pages are reached through a `Region`, which follows the module's rules and of which there is one at a time
// (`Lease`), or through `copy_to`, whose contract excludes concurrent writers.
unsafe impl Send for HeapPages {}
// SAFETY: as above.
unsafe impl Sync for HeapPages {}

impl fmt::Debug for HeapPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapPages").field("len", &self.len).finish_non_exhaustive()
    }
}

impl HeapPages {
    /// `bytes` zeroed bytes.
    pub fn zeroed(bytes: usize) -> Arc<Self> {
        let pages = (0..bytes.div_ceil(PAGE)).map(|_| std::cell::UnsafeCell::new(Page([0; PAGE]))).collect();
        Arc::new(Self { pages, len: bytes, leased: PlainBool::new(false) })
    }

    /// A copy of `image`.
    pub fn from_image(image: &[u8]) -> Arc<Self> {
        let pages = Self::zeroed(image.len());
        // SAFETY: freshly allocated with `image.len()` bytes (rounded up), not shared yet, and distinct from `image`.
        unsafe { std::ptr::copy_nonoverlapping(image.as_ptr(), pages.base().as_ptr(), image.len()) };
        pages
    }

    fn base(&self) -> NonNull<u8> {
        NonNull::new(std::cell::UnsafeCell::raw_get(self.pages.as_ptr()).cast::<u8>()).unwrap_or(NonNull::dangling())
    }

    /// Copies the bytes as they are now, published or not, which is what a disk could have seen. For simulation: no other
    /// thread may be appending.
    pub fn copy_out(&self) -> Vec<u8> {
        let mut copy = vec![0u8; self.len];
        // SAFETY: `len` bytes are allocated at `base`, `copy` is distinct. Concurrent writers are excluded by contract (simulations
        // cut the power on the thread that drives the log); no `&mut` into the pages outlives the statement that made it.
        unsafe { std::ptr::copy_nonoverlapping(self.base().as_ptr(), copy.as_mut_ptr(), self.len) };
        copy
    }
}

/// The right to be the only region over some pages.
struct Lease(Arc<HeapPages>);

impl Lease {
    fn take(pages: &Arc<HeapPages>) -> io::Result<Self> {
        // Acquire: pairs with the Release in `drop`; the former region's writes are visible to the next.
        if pages.leased.swap(true, Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another region uses these pages"));
        }
        Ok(Self(Arc::clone(pages)))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leased.store(false, Ordering::Release);
    }
}

/// The end of the log. Its only operation hands out bytes that nobody else was or will be given.
pub(crate) struct Tail {
    position: CachePadded<AtomicU64>,
    geometry: Geometry,
}

/// A piece of the log that belongs to its holder alone.
#[derive(Debug)]
pub(crate) struct Claim {
    lsn: Lsn,
    bytes: u64,
}

/// What [`Tail::reserve`] hands out.
#[derive(Debug)]
pub(crate) struct Reserved {
    /// The rest of a segment in which the frame found no room: the holder makes it a padding frame.
    pub(crate) rest: Option<Claim>,
    /// Room for the frame.
    pub(crate) frame: Claim,
    /// Whether the frame is the first of its segment. There need not be a rest: frames may fill a segment to its last byte.
    pub(crate) entered: bool,
}

impl Claim {
    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Tail {
    pub(crate) fn new(position: Lsn, geometry: Geometry) -> Self {
        Self { position: CachePadded::new(AtomicU64::new(position.get())), geometry }
    }

    /// Everything handed out so far lies below. Acquire: pairs with the Release in `reserve`, so whoever reads the tail after
    /// seeing an effect of a reservation reads one that covers it.
    pub(crate) fn position(&self) -> Lsn {
        Lsn::new(self.position.load(Ordering::Acquire))
    }

    /// Hands out `bytes` (a multiple of 32, at most `max_frame_bytes`) in one piece inside one segment.
    ///
    /// A compare-and-swap and not a `fetch_add`: placing a frame depends on where the segment ends, and a blind addition that
    /// crosses the end would waste what it took, by every thread that does so at once. The admission proof (`writer`)
    /// needs that waste bounded by one frame per segment.
    pub(crate) fn reserve(&self, bytes: u64) -> Reserved {
        debug_assert!(bytes.is_multiple_of(FRAME_ALIGN));
        debug_assert!(bytes >= FRAME_HEADER_BYTES);
        assert!(bytes <= self.geometry.max_frame_bytes);
        let mut from = self.position.load(Ordering::Relaxed);
        loop {
            let (start, rest) = self.geometry.place(from, bytes);
            // Release: pairs with the Acquire in `position`. Success orders nothing else: exclusivity needs only that the swap is atomic.
            match self.position.compare_exchange_weak(from, start + bytes, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    let rest = (rest > 0).then(|| Claim { lsn: Lsn::new(from), bytes: rest });
                    let frame = Claim { lsn: Lsn::new(start), bytes };
                    return Reserved { rest, frame, entered: start != from };
                }
                Err(seen) => from = seen,
            }
        }
    }
}

/// Exclusive bytes of a segment, being turned into a frame.
pub(crate) struct Span {
    segment: Arc<Segment>,
    offset: u64,
    bytes: u64,
}

impl Span {
    /// Turns a claim into the bytes it stands for. `segment` is the one that holds them.
    #[expect(clippy::needless_pass_by_value, reason = "a claim is used once: the span takes its place")]
    pub(crate) fn new(segment: Arc<Segment>, claim: Claim) -> Self {
        let offset = claim.lsn.get() - segment.base().get();
        assert!(offset >= SEGMENT_HEADER_BYTES);
        assert!(offset + claim.bytes <= segment.region().size_bytes());
        Self { segment, offset, bytes: claim.bytes }
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.segment.base().plus(self.offset)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes `range` of the span, counted from its start and outside the length word of the span's own frame.
    fn slice_mut(&mut self, range: Range<u64>) -> &mut [u8] {
        assert!(range.start >= 4);
        assert!(range.start <= range.end);
        assert!(range.end <= self.bytes);
        let region = self.segment.region();
        #[cfg(drawdown_loom)]
        region.shadow.write(&(self.offset + range.start..self.offset + range.end));
        // SAFETY: the span lies inside the region (asserted in `new`), the range inside the span.
        let at = unsafe { region.base.as_ptr().add((self.offset + range.start) as usize) };
        // SAFETY: inside the allocation. The span's bytes were handed out once (`Tail::reserve`) and are not published, so nobody else
        // reads or writes them; `&mut self` keeps this slice the only one.
        unsafe { std::slice::from_raw_parts_mut(at, (range.end - range.start) as usize) }
    }

    /// The payload's bytes, all that fit.
    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        self.slice_mut(FRAME_HEADER_BYTES..self.bytes)
    }

    /// Writes the header behind the length word of the frame that begins `at` bytes into the span.
    pub(crate) fn write_header(&mut self, at: u64, rest: &[u8; FRAME_REST]) {
        self.slice_mut(at + 4..at + FRAME_HEADER_BYTES).copy_from_slice(rest);
    }

    /// Publishes the frame that begins `at` bytes into the span. Frames behind the first are published before it: a walker
    /// reaches them only through it.
    pub(crate) fn publish_at(&mut self, at: u64, length: u32) {
        assert!(at + u64::from(length) <= self.bytes);
        // Release: pairs with the Acquire in `Region::length_at`. Everything written through this span happens before whoever sees the
        // length reads it.
        self.segment.region().word(self.offset + at).store(length, Ordering::Release);
    }

    /// Publishes the span's first frame, which ends its exclusiveness.
    pub(crate) fn publish(mut self, length: u32) {
        self.publish_at(0, length);
    }
}

#[cfg(drawdown_loom)]
mod model {
    //! Loom's atomics cannot be laid over raw memory: length words live beside the bytes, and a cell per slot lets loom see
    //! who reads and writes them.
    use super::{FRAME_ALIGN, Range};
    use crate::sync::AtomicU32;
    use loom::cell::UnsafeCell;

    pub(super) struct Shadow {
        words: Vec<AtomicU32>,
        cells: Vec<UnsafeCell<()>>,
    }

    impl Shadow {
        pub(super) fn new(len: usize) -> Self {
            let slots = len / FRAME_ALIGN as usize;
            Self {
                words: (0..slots).map(|_| AtomicU32::new(0)).collect(),
                cells: (0..slots).map(|_| UnsafeCell::new(())).collect(),
            }
        }

        pub(super) fn word(&self, offset: u64) -> &AtomicU32 {
            &self.words[(offset / FRAME_ALIGN) as usize]
        }

        fn slots(range: &Range<u64>) -> Range<usize> {
            (range.start / FRAME_ALIGN) as usize..range.end.div_ceil(FRAME_ALIGN) as usize
        }

        pub(super) fn read(&self, range: &Range<u64>) {
            for cell in &self.cells[Self::slots(range)] {
                cell.with(|_| ());
            }
        }

        pub(super) fn write(&self, range: &Range<u64>) {
            for cell in &self.cells[Self::slots(range)] {
                cell.with_mut(|_| ());
            }
        }
    }
}
