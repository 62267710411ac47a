//! One copy of a counter for each thread, or for few of them.

use crossbeam::utils::CachePadded;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Copies at most: beyond it threads share.
const STRIPES_MAX: usize = 64;

/// Copies of `T`, on cache lines of their own, of which each thread uses one: threads up to the number of processors share none.
#[derive(Debug)]
pub struct Striped<T> {
    /// A power of two of them.
    stripes: Box<[CachePadded<T>]>,
}

fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        threads.next_power_of_two().min(STRIPES_MAX)
    })
}

/// The number of this thread: threads are numbered as they count for the first time.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Striped { stripes: (0..count()).map(|_| CachePadded::default()).collect() }
    }
}

impl<T> Striped<T> {
    /// This thread's copy.
    pub fn local(&self) -> &T {
        &self.stripes[number() & (self.stripes.len() - 1)]
    }

    /// All copies.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.stripes.iter().map(|stripe| &**stripe)
    }

    /// The sum of a number over all copies.
    pub fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(of).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn what_many_threads_count_adds_up() {
        let counter = Striped::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.local().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counter.sum(|count| count.load(Ordering::Relaxed)), 5000);
    }

    #[test]
    fn a_thread_keeps_to_its_copy() {
        let counter = Striped::<AtomicU64>::default();
        assert!(std::ptr::eq(counter.local(), counter.local()));
    }
}
