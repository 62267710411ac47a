//! A slab: values of one cache line each, found by number, never moved.
//!
//! Memory comes in chunks of 32 MiB of address space on huge pages (see `zeroed`), listed in a directory. So a handle
//! leads to its value in two loads, the first of which is always cached, and references stay good for the slab's whole life.
//! Values begin as zeroed memory. Handles are given out in ascending order and never come back.
//!
//! [`Slab::prefault_step`], called by a background thread, keeps the next chunk and its pages ready, so that whoever allocates
//! seldom waits for the kernel. Without that thread everything works the same, with a pause for each new page.

use super::prefetch::prefetch;
use super::sync::{AtomicU64, AtomicUsize, Ordering};
use super::zeroed::{HUGE_PAGE, ZeroValid, ZeroedArray};
use std::sync::OnceLock;

/// Values in a chunk: 32 MiB of them, save where tests want to see many chunks.
const CHUNK_LEN: usize = if cfg!(any(test, miri, drawdown_loom)) { 16 } else { 1 << 19 };

/// Chunks in the directory: enough for all handles but the last chunk's, so that `u32::MAX` is free to mean "none".
const CHUNKS: usize = if cfg!(any(test, miri, drawdown_loom)) { 1 << 12 } else { (1 << 32) / CHUNK_LEN - 1 };

/// Prefaulted values ahead of the last one allocated: 8 MiB.
const AHEAD: usize = if cfg!(any(test, miri, drawdown_loom)) { 20 } else { 4 * HUGE_PAGE / LINE };

const LINE: usize = 64;

/// Values of type `T`, addressed by handle.
pub struct Slab<T> {
    chunks: Box<[OnceLock<ZeroedArray<T>>]>,
    /// Handles given out. Relaxed: a handle reaches another thread by way of the index, whose publication orders what was
    /// written before.
    len: AtomicU64,
    /// Values whose pages are present, as far as the background thread knows, which alone writes it. Relaxed: only a hint.
    prefaulted: AtomicUsize,
}

impl<T: ZeroValid> Slab<T> {
    /// An empty slab.
    pub fn new() -> Self {
        // Loom's atomics are larger than real ones.
        assert!(cfg!(drawdown_loom) || (size_of::<T>() == LINE && align_of::<T>() == LINE));
        Slab {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            len: AtomicU64::new(0),
            prefaulted: AtomicUsize::new(0),
        }
    }

    /// The value of a handle that this slab gave out.
    #[inline]
    pub fn get(&self, handle: u32) -> &T {
        let (chunk, place) = locate(handle as usize);
        match self.chunks.get(chunk).and_then(OnceLock::get) {
            Some(values) => &values[place],
            None => never_allocated(handle),
        }
    }

    /// The value of a handle that was read from somewhere, if there is one.
    #[inline]
    pub fn find(&self, handle: u32) -> Option<&T> {
        let (chunk, place) = locate(handle as usize);
        self.chunks.get(chunk).and_then(OnceLock::get).map(|values| &values[place])
    }

    /// Fetches the value's cache line.
    #[inline]
    pub fn prefetch(&self, handle: u32) {
        let (chunk, place) = locate(handle as usize);
        if let Some(values) = self.chunks.get(chunk).and_then(OnceLock::get) {
            prefetch(&raw const values[place]);
        }
    }

    /// Gives out the next handle; its value is zero. Lock-free, save for the one caller in half a million who has to map a new
    /// chunk when no background thread has done it.
    pub fn allocate(&self) -> u32 {
        let handle = self.len.fetch_add(1, Ordering::Relaxed);
        let (chunk, _) = locate(handle as usize);
        assert!(chunk < CHUNKS, "a slab holds at most {} values", CHUNKS * CHUNK_LEN);
        self.chunk(chunk);
        handle as u32
    }

    /// Makes a handle from the log valid: recovery puts each value where it was, in any order. New handles follow the highest
    /// one.
    pub fn restore(&self, handle: u32) {
        let (last, _) = locate(handle as usize);
        assert!(last < CHUNKS, "a slab holds at most {} values", CHUNKS * CHUNK_LEN);
        self.len.fetch_max(u64::from(handle) + 1, Ordering::Relaxed);
        self.chunk(last);
    }

    /// As [`Slab::restore`] for all handles below `count`.
    pub fn restore_all(&self, count: u32) {
        (0..count).step_by(CHUNK_LEN).chain(count.checked_sub(1)).for_each(|handle| self.restore(handle));
    }

    /// The number of handles given out, and the next one.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) as usize
    }

    /// No handle was given out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory in use or prefaulted.
    pub fn bytes(&self) -> usize {
        self.len().max(self.prefaulted.load(Ordering::Relaxed)) * size_of::<T>()
    }

    /// Makes the next 2 MiB ahead of need present. Answers whether there is more to do. For one background thread.
    pub fn prefault_step(&self) -> bool {
        let len = self.len();
        let from = self.prefaulted.load(Ordering::Relaxed).max(len);
        let target = (len + AHEAD).min(CHUNKS * CHUNK_LEN);
        if from >= target {
            return false;
        }
        let (chunk, place) = locate(from);
        let step = (HUGE_PAGE / size_of::<T>()).min(CHUNK_LEN);
        let to = (place / step + 1) * step;
        self.chunk(chunk).populate(place, to - place);
        self.prefaulted.store(chunk * CHUNK_LEN + to, Ordering::Relaxed);
        chunk * CHUNK_LEN + to < target
    }

    fn chunk(&self, chunk: usize) -> &ZeroedArray<T> {
        self.chunks[chunk].get_or_init(|| ZeroedArray::new(CHUNK_LEN))
    }
}

impl<T: ZeroValid> Default for Slab<T> {
    fn default() -> Self {
        Slab::new()
    }
}

#[inline]
fn locate(handle: usize) -> (usize, usize) {
    (handle / CHUNK_LEN, handle % CHUNK_LEN)
}

#[cold]
#[inline(never)]
fn never_allocated(handle: u32) -> ! {
    panic!("no value was allocated under handle {handle}")
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::AtomicU64 as Word;
    use std::thread;

    #[repr(C, align(64))]
    struct Line([Word; 8]);

    // SAFETY: zero is a valid integer, and there is nothing to drop.
    unsafe impl ZeroValid for Line {}

    const COUNT: usize = if cfg!(miri) { 40 } else { 10_000 };

    #[test]
    fn values_keep_their_place_across_chunks() {
        let slab = Slab::<Line>::new();
        let first = slab.allocate();
        let address = &raw const *slab.get(first);
        let rest: Vec<u32> = (1..COUNT).map(|_| slab.allocate()).collect();
        assert_eq!((first, rest[0], *rest.last().unwrap()), (0, 1, COUNT as u32 - 1));
        for &handle in &rest {
            slab.prefetch(handle);
            assert_eq!(slab.get(handle).0[7].swap(u64::from(handle), Ordering::Relaxed), 0);
        }
        assert_eq!(address, &raw const *slab.get(first));
        assert!(rest.iter().all(|&handle| slab.get(handle).0[7].load(Ordering::Relaxed) == u64::from(handle)));
        assert_eq!(slab.len(), COUNT);
    }

    #[test]
    fn no_handle_is_given_out_twice() {
        let slab = Slab::<Line>::new();
        let given: Vec<u32> = thread::scope(|scope| {
            let background = scope.spawn(|| {
                while slab.len() < COUNT {
                    slab.prefault_step();
                    thread::yield_now();
                }
            });
            let allocate = || (0..COUNT / 4).map(|_| slab.allocate()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(allocate)).collect();
            let given = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            background.join().unwrap();
            given
        });
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), COUNT);
        assert!(given.iter().all(|&handle| slab.get(handle).0[0].load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn prefaulting_stays_a_bounded_distance_ahead() {
        let slab = Slab::<Line>::new();
        while slab.prefault_step() {}
        let ready = slab.bytes() / LINE;
        assert!((AHEAD..=AHEAD + CHUNK_LEN).contains(&ready));
        assert!(!slab.prefault_step());
        for _ in 0..=ready {
            slab.allocate();
        }
        while slab.prefault_step() {}
        assert!(slab.bytes() / LINE >= ready + AHEAD);
    }

    #[test]
    fn a_restored_handle_is_not_given_out_again() {
        let slab = Slab::<Line>::new();
        slab.restore(37);
        slab.restore(5);
        slab.get(37).0[0].store(1, Ordering::Relaxed);
        assert_eq!(slab.allocate(), 38);
    }

    #[test]
    #[should_panic(expected = "no value was allocated under handle 99")]
    fn a_foreign_handle_is_a_bug() {
        Slab::<Line>::new().get(99);
    }
}
