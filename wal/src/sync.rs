//! The one switch between `std` and `loom`. Everything else imports its atomics, locks and threads from here.

#[cfg(not(drawdown_loom))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use std::sync::{Mutex, MutexGuard};
    pub(crate) use std::thread::{JoinHandle, Thread, current, park, park_timeout};

    /// Waits to be unparked, for `limit` at most.
    pub(crate) fn rest(limit: std::time::Duration) {
        park_timeout(limit);
    }

    pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body)
    }
}

#[cfg(drawdown_loom)]
mod imp {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use loom::thread::{JoinHandle, Thread, current, park};

    /// Loom has no time; a timed wait is modelled as one that is always woken.
    pub(crate) fn park_timeout(_limit: std::time::Duration) {
        park();
    }

    /// Of a rest, the models look at those that end by themselves: any moment may be the one.
    pub(crate) fn rest(_limit: std::time::Duration) {
        loom::thread::yield_now();
    }

    #[expect(clippy::unnecessary_wraps, reason = "same signature as the std half")]
    pub(crate) fn spawn(_name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        Ok(loom::thread::spawn(body))
    }
}

pub(crate) use imp::*;

/// Locks a mutex whose protected state is valid after every statement, so that another thread's panic is no reason to
/// refuse it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
