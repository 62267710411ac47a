//! A value that one thread replaces while others read it without a lock, or nothing.

use crate::store::Guard;
use crate::store::sync::{AtomicPtr, Ordering};
use std::ptr;

/// See the module's documentation.
pub(super) struct Shelf<T> {
    /// Null for nothing. Owned. Written by `replace` (Release), read by `load` (Acquire).
    value: AtomicPtr<T>,
    /// Values are dropped on whichever thread the last guard is let go.
    _sends: std::marker::PhantomData<Box<T>>,
}

impl<T: Send + Sync + 'static> Shelf<T> {
    pub(super) fn empty() -> Self {
        Shelf { value: AtomicPtr::new(ptr::null_mut()), _sends: std::marker::PhantomData }
    }

    /// The value now. It stays while the guard is held.
    #[inline]
    pub(super) fn load<'g>(&'g self, _guard: &'g Guard) -> Option<&'g T> {
        // Acquire, with `replace`: what the value holds was written before.
        let value = self.value.load(Ordering::Acquire);
        // SAFETY: null, or from `Box::into_raw` and retired only after it was replaced: whoever holds a guard that was there before the
        // load, as this one was, keeps it alive.
        unsafe { value.as_ref() }
    }

    /// Puts another value there. For one thread at a time.
    pub(super) fn replace(&self, value: Option<T>, guard: &Guard) {
        let new = value.map_or(ptr::null_mut(), |value| Box::into_raw(Box::new(value)));
        // Release, with `load`; Acquire to take over what another thread put there.
        let old = self.value.swap(new, Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: from `Box::into_raw`, taken out once by the swap, so nobody finds it any more but who holds a guard already; it is
            // Send.
            unsafe { guard.retire(old) };
        }
    }
}

impl<T> Drop for Shelf<T> {
    fn drop(&mut self) {
        let value = self.value.load(Ordering::Relaxed); // alone: `&mut self`
        if !value.is_null() {
            // SAFETY: from `Box::into_raw`, owned, and nobody else is left.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}
