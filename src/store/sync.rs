//! The one place that chooses between the real atomics and loom's, and the one door to memory reclamation. Everything else in the
//! store imports from here and never mentions the choice.
//!
//! Under loom nothing is reclaimed: memory retired during a model run is leaked, which is the safe side of what the epochs promise.

#[cfg(not(drawdown_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

#[cfg(drawdown_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

/// Says to the processor (or to loom's scheduler) that this thread waits for another one.
pub(crate) fn spin() {
    #[cfg(not(drawdown_loom))]
    std::hint::spin_loop();
    #[cfg(drawdown_loom)]
    loom::thread::yield_now();
}

/// Frees what operations have left behind, as far as nobody can be reading it. For threads that hold no guard and have just carried out
/// some hundreds: it is otherwise freed a little with every hundredth guard, and a batch takes one for many operations; so it would pile
/// up, and every operation would work in memory that no cache has seen.
pub(crate) fn collect() {
    // Each moves the epoch on by one; what was left in an epoch is freed two later.
    pin().flush();
    pin().flush();
}

/// Gives the processor to another thread.
pub(crate) fn yield_now() {
    #[cfg(not(drawdown_loom))]
    std::thread::yield_now();
    #[cfg(drawdown_loom)]
    loom::thread::yield_now();
}

/// While a thread holds one, nothing that it reads in the store is freed.
///
/// It wraps crossbeam's guard to hide where it comes from: a guard of another collector would protect nothing, and safe code could
/// make one.
#[cfg(not(drawdown_loom))]
#[derive(Debug)]
pub struct Guard(crossbeam::epoch::Guard);

/// Begins to hold a [`Guard`].
#[cfg(not(drawdown_loom))]
#[inline]
pub fn pin() -> Guard {
    Guard(crossbeam::epoch::pin())
}

/// Returns when every guard that was held at the call has been let go. Not for threads that hold one.
#[cfg(not(drawdown_loom))]
pub fn await_guards() {
    let passed = std::sync::Arc::new(AtomicBool::new(false));
    let mark = std::sync::Arc::clone(&passed);
    // Release and Acquire: what was done under those guards is done for whoever returns.
    crossbeam::epoch::pin().defer(move || mark.store(true, Ordering::Release));
    while !passed.load(Ordering::Acquire) {
        crossbeam::epoch::pin().flush();
        yield_now();
    }
}

#[cfg(not(drawdown_loom))]
impl Guard {
    /// Frees `garbage` once every guard that is held now has been let go.
    ///
    /// # Safety
    /// `garbage` came from [`Box::into_raw`] and is retired once. Nobody can find it any more but those who hold guards already, and
    /// it may be dropped on any thread.
    pub(crate) unsafe fn retire<T: 'static>(&self, garbage: *mut T) {
        let free = move || {
            // SAFETY: by this function's contract it came from Box::into_raw, and the last guard that could see it is gone.
            drop(unsafe { Box::from_raw(garbage) });
        };
        // SAFETY: the closure borrows nothing; that another thread may run it is in the contract.
        unsafe { self.0.defer_unchecked(free) };
    }

    /// Runs `work` once every guard that is held now has been let go.
    ///
    /// # Safety
    /// `work` may run on any thread and at any later time: it owns what it uses.
    pub(crate) unsafe fn defer<F: FnOnce() + 'static>(&self, work: F) {
        // SAFETY: this function's contract is that one's.
        unsafe { self.0.defer_unchecked(work) };
    }

    /// Hands this thread's garbage to whoever collects next, and collects.
    pub(crate) fn flush(&self) {
        self.0.flush();
    }
}

/// Stands for an epoch guard under loom, where nothing is reclaimed.
#[cfg(drawdown_loom)]
#[derive(Debug)]
pub struct Guard;

/// Stands for pinning under loom.
#[cfg(drawdown_loom)]
pub fn pin() -> Guard {
    Guard
}

/// Does nothing: no model waits for guards.
#[cfg(drawdown_loom)]
pub fn await_guards() {}

#[cfg(drawdown_loom)]
impl Guard {
    /// Leaks `garbage`.
    ///
    /// # Safety
    /// None is needed; the real one has a contract.
    #[expect(clippy::unused_self, reason = "called as the real one is")]
    pub(crate) unsafe fn retire<T: 'static>(&self, _garbage: *mut T) {}

    /// Does nothing: nothing is reclaimed.
    #[expect(clippy::unused_self, reason = "called as the real one is")]
    pub(crate) fn flush(&self) {}
}

/// The atomics of the slot: the real ones.
#[cfg(not(drawdown_loom))]
pub(crate) mod thorough {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};
}

#[cfg(drawdown_loom)]
#[expect(dead_code, reason = "each atomic is the same, and none is used in every way")]
pub(crate) mod thorough {
    //! Loom's atomics, each beside a second one that every access touches.
    //!
    //! Loom tries another order where it sees two accesses that depend on each other, but of the loads of an atomic it remembers the
    //! last one only: a store that follows loads by two threads is never tried before the first of them. (A reader beside a granter
    //! came to one interleaving.) A relaxed swap of the neighbour makes every pair of accesses dependent and orders nothing else, so
    //! the access proper may still read everything that its own ordering lets it. What is only swapped or counted up depends on itself
    //! enough, and is left alone to keep the models small.
    use super::Ordering;
    use loom::sync::atomic;

    macro_rules! thorough {
        ($atomic:ident $(<$t:ident>)?, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $atomic $(<$t>)? {
                touched: atomic::AtomicBool,
                inner: atomic::$atomic $(<$t>)?,
            }

            impl $(<$t>)? $atomic $(<$t>)? {
                #[track_caller]
                pub(crate) fn new(value: $value) -> Self {
                    $atomic { touched: atomic::AtomicBool::new(false), inner: atomic::$atomic::new(value) }
                }

                fn touched(&self) -> &atomic::$atomic $(<$t>)? {
                    self.touched.swap(true, Ordering::Relaxed);
                    &self.inner
                }

                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.touched().load(order)
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.touched().store(value, order);
                }

                #[track_caller]
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.inner.swap(value, order)
                }

                #[track_caller]
                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.touched().compare_exchange(current, new, success, failure)
                }
            }
        };
    }
    thorough!(AtomicBool, bool);
    thorough!(AtomicU64, u64);
    thorough!(AtomicPtr<T>, *mut T);

    impl AtomicU64 {
        #[track_caller]
        pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            self.inner.fetch_add(value, order)
        }
    }
}
