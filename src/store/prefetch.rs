//! Asks the processor for a cache line that will be needed soon.

/// Fetches the cache line at `address` into every level of cache, without waiting for it. Any address is allowed: the processor
/// ignores one that it cannot translate. On other architectures, and under Miri and loom, it does nothing.
#[inline]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(drawdown_loom)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it reads nothing that the program can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(all(target_arch = "aarch64", not(miri), not(drawdown_loom)))]
    {
        // SAFETY: a prefetch is a hint; it reads nothing that the program can see and never faults.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
        }
    }
    #[cfg(any(miri, drawdown_loom, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}
