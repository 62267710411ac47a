//! Arrays of atomics that begin as zero pages: the ground on which slab, index and idempotency table stand.
//!
//! An array of half a huge page or more has an anonymous mapping of its own, aligned to 2 MiB and advised to use huge pages, so
//! that a random access costs one cache miss and not also a walk of the page table. Where the system has no huge pages, or
//! refuses the advice, everything works the same, more slowly. The kernel hands out a page when it is first touched, and
//! zeroing a huge page takes long enough to be felt by a client; [`Prefaulting`] has it done ahead of time, in steps, by a
//! background thread.
//!
//! Running out of memory panics, as it does everywhere else in Rust.

use std::ops::Deref;

#[cfg(not(drawdown_loom))]
pub(crate) use real::ZeroedArray;

#[cfg(drawdown_loom)]
pub(crate) use model::ZeroedArray;

/// Types for which zeroed memory is a valid value, to be changed from there through `&self` only.
///
/// # Safety
/// All-zero bytes must be a valid value of the type, and its destructor must not be needed: arrays of it are unmapped, not
/// dropped.
pub unsafe trait ZeroValid: Send + Sync + 'static {
    /// The value that zeroed memory stands for. Only loom asks, whose atomics are not plain memory; a type that no model puts into
    /// an array need not answer.
    #[cfg(drawdown_loom)]
    fn zero() -> Self
    where
        Self: Sized,
    {
        panic!("no model builds this type")
    }
}

/// A huge page, and the amount of memory that one step of prefaulting touches.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// The number of elements of size `size`, at least `len`, that fills the memory an array of `len` would take.
pub(super) fn good_len(len: usize, size: usize) -> usize {
    let bytes = len * size;
    if bytes < HUGE_PAGE / 2 { len } else { bytes.next_multiple_of(HUGE_PAGE) / size }
}

/// Makes so many parts of a table, by several threads if the whole is so large (in bytes) that making its pages present takes long.
pub(super) fn each<T: Send>(count: usize, bytes: usize, make: impl Fn() -> T + Sync) -> Box<[T]> {
    const WORTH_THREADS: usize = 64 << 20;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    if bytes < WORTH_THREADS || threads == 1 {
        return (0..count).map(|_| make()).collect();
    }
    let share = count.div_ceil(threads);
    std::thread::scope(|scope| {
        let starts = (0..count).step_by(share);
        let make = &make;
        let makers: Vec<_> = starts
            .map(|start| scope.spawn(move || (start..count.min(start + share)).map(|_| make()).collect::<Vec<_>>()))
            .collect();
        makers.into_iter().flat_map(|maker| maker.join().expect("no panic while a table is made")).collect()
    })
}

/// An array whose pages are being made present, one step at a time, before anybody needs them.
pub(super) struct Prefaulting<T> {
    array: ZeroedArray<T>,
    done: usize,
}

impl<T: ZeroValid> Prefaulting<T> {
    pub(super) fn new(array: ZeroedArray<T>) -> Self {
        Prefaulting { array, done: 0 }
    }

    /// Touches the next 2 MiB. Answers whether the whole array is present.
    pub(super) fn step(&mut self) -> bool {
        let count = HUGE_PAGE / size_of::<T>();
        self.array.populate(self.done, count);
        self.done += count;
        self.done >= self.array.len()
    }

    pub(super) fn finish(self) -> ZeroedArray<T> {
        self.array
    }

    /// An array of which every page is present: for a table that somebody asked for in this size.
    pub(super) fn whole(len: usize) -> ZeroedArray<T> {
        let array = ZeroedArray::new(len);
        array.populate(0, len);
        array
    }
}

#[cfg(not(drawdown_loom))]
mod real {
    use super::{Deref, HUGE_PAGE, ZeroValid};
    use memmap2::{MmapOptions, MmapRaw};
    use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
    use std::ptr::NonNull;
    use std::slice;

    /// A fixed number of `T`s, all of them zero at first.
    pub(crate) struct ZeroedArray<T> {
        start: NonNull<T>,
        len: usize,
        memory: Memory,
    }

    enum Memory {
        /// The array begins `offset` bytes into the mapping.
        Mapped {
            map: MmapRaw,
            offset: usize,
        },
        Heap(Layout),
    }

    // SAFETY: the array owns its memory as a `Box<[T]>` would.
    unsafe impl<T: Send> Send for ZeroedArray<T> {}
    // SAFETY: it gives out `&T` only, as a `Box<[T]>` would.
    unsafe impl<T: Sync> Sync for ZeroedArray<T> {}

    impl<T: ZeroValid> ZeroedArray<T> {
        pub(crate) fn new(len: usize) -> Self {
            assert!(len > 0 && size_of::<T>() > 0);
            let bytes = len.checked_mul(size_of::<T>()).expect("an array fits in the address space");
            // Miri maps no memory.
            if bytes < HUGE_PAGE / 2 || cfg!(miri) { Self::on_heap(len) } else { Self::mapped(len, bytes) }
        }

        fn on_heap(len: usize) -> Self {
            let layout = Layout::array::<T>(len).and_then(|layout| layout.align_to(64)).expect("the size was checked");
            // SAFETY: the layout is not empty: neither the length nor the type is.
            let start = unsafe { alloc_zeroed(layout) };
            let Some(start) = NonNull::new(start.cast::<T>()) else { handle_alloc_error(layout) };
            ZeroedArray { start, len, memory: Memory::Heap(layout) }
        }

        fn mapped(len: usize, bytes: usize) -> Self {
            // One huge page more than needed leaves room to align. The excess is never touched and costs address space only.
            let map = MmapOptions::new().len(bytes + HUGE_PAGE).map_anon().expect("memory for a table");
            let map = MmapRaw::from(map);
            let offset = map.as_mut_ptr().align_offset(HUGE_PAGE);
            // A hint: where it is refused, small pages do.
            #[cfg(target_os = "linux")]
            let _ = map.advise_range(memmap2::Advice::HugePage, offset, bytes);
            // SAFETY: aligning skips less than a huge page, which the mapping has to spare.
            let start = unsafe { map.as_mut_ptr().add(offset) };
            let start = NonNull::new(start.cast::<T>()).expect("a mapping is not at address zero");
            ZeroedArray { start, len, memory: Memory::Mapped { map, offset } }
        }

        /// Makes the pages under `count` elements from `first` on present; reaching past the end is allowed. The contents stay
        /// as they are, and others may use the array meanwhile. A kernel that cannot do this (Linux before 5.14) faults on
        /// first use instead.
        pub(in crate::store) fn populate(&self, first: usize, count: usize) {
            #[cfg(target_os = "linux")]
            if let Memory::Mapped { map, offset } = &self.memory {
                let first = first.min(self.len);
                let count = count.min(self.len - first);
                let _ = map.advise_range(
                    memmap2::Advice::PopulateWrite,
                    offset + first * size_of::<T>(),
                    count * size_of::<T>(),
                );
            }
            #[cfg(not(target_os = "linux"))]
            let _ = (first, count);
        }
    }

    impl<T> Deref for ZeroedArray<T> {
        type Target = [T];

        #[inline]
        fn deref(&self) -> &[T] {
            // SAFETY: `start` points at `len` elements, aligned, owned by `self`, zeroed at birth and so valid (`ZeroValid`; the
            // constructors are bound to it), and changed since through `&T` only.
            unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }
    }

    impl<T> Drop for ZeroedArray<T> {
        fn drop(&mut self) {
            match &self.memory {
                Memory::Mapped { .. } => {} // the mapping goes with its field
                Memory::Heap(layout) => {
                    // SAFETY: allocated with this layout, and nobody can hold a reference any more.
                    unsafe { dealloc(self.start.as_ptr().cast(), *layout) }
                }
            }
        }
    }
}

#[cfg(drawdown_loom)]
mod model {
    use super::{Deref, ZeroValid};

    /// Stands for the real array under loom.
    pub(crate) struct ZeroedArray<T>(Box<[T]>);

    impl<T: ZeroValid> ZeroedArray<T> {
        pub(crate) fn new(len: usize) -> Self {
            ZeroedArray((0..len).map(|_| T::zero()).collect())
        }

        #[expect(clippy::unused_self, reason = "stands for the real one")]
        pub(in crate::store) fn populate(&self, _first: usize, _count: usize) {}
    }

    impl<T> Deref for ZeroedArray<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    // SAFETY: zero is a valid integer, and there is nothing to drop.
    unsafe impl ZeroValid for AtomicU64 {}

    #[track_caller]
    fn check(len: usize) {
        let array = ZeroedArray::<AtomicU64>::new(len);
        assert_eq!(array.len(), len);
        assert_eq!(array.as_ptr().align_offset(64), 0);
        array[len - 1].store(7, Relaxed);
        let mut prefaulting = Prefaulting::new(array);
        while !prefaulting.step() {}
        let array = prefaulting.finish();
        assert!(array[..len - 1].iter().all(|word| word.load(Relaxed) == 0));
        assert_eq!(array[len - 1].load(Relaxed), 7);
    }

    #[test]
    fn arrays_begin_as_zeros_and_keep_what_is_stored_through_prefaulting() {
        check(1);
        check(1000);
        #[cfg(not(miri))]
        check(HUGE_PAGE / 8 + 1);
        #[cfg(not(miri))]
        check(3 * HUGE_PAGE / 8);
    }

    #[test]
    fn lengths_fill_huge_pages() {
        assert_eq!(good_len(100, 64), 100);
        assert_eq!(good_len(HUGE_PAGE / 64, 64), HUGE_PAGE / 64);
        assert_eq!(good_len(HUGE_PAGE / 64 + 1, 64), 2 * HUGE_PAGE / 64);
    }
}
