//! The one place that chooses between the real atomics and loom's. Everything else in the store imports from here and never mentions
//! the choice.
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

/// Gives the processor to another thread.
pub(crate) fn yield_now() {
    #[cfg(not(drawdown_loom))]
    std::thread::yield_now();
    #[cfg(drawdown_loom)]
    loom::thread::yield_now();
}

#[cfg(not(drawdown_loom))]
pub use crossbeam::epoch::{Guard, pin};

/// Stands for an epoch guard under loom, where nothing is reclaimed.
#[cfg(drawdown_loom)]
#[derive(Debug)]
pub struct Guard;

/// Stands for pinning under loom.
#[cfg(drawdown_loom)]
pub fn pin() -> Guard {
    Guard
}
