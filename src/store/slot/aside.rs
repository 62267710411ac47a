//! What is available beside the balance, in the slot's own line, so that a debit that must tell it need not go to the terms.
//!
//! It is a constant of the generation, as the view is, but the view has no room for it. It is packed with low bits of its generation's
//! number and written while that is being opened, after the seal of the one before and before the word goes to the new one. So a debit that
//! loaded a live word finds what was written for that generation, or something that names another one, or nothing: the amount was too
//! large, or a helper that came late to its step wrote over it. Then it takes the slow path, which asks the terms; and if the debit's swap
//! succeeds, the generation was live all the while.
//!
//! The generation is named by as many bits as in the view. To be taken for another's, a value must be written by a helper that slept from
//! before the look at the word for exactly a multiple of 2^23 operations on this wallet; and it then finds the value that was there before
//! unchanged, which the opening of every generation that tells something changes.

use super::super::sync::Ordering;
use super::super::sync::thorough::AtomicU64;
use super::super::word::{GENERATION_BITS, GENERATION_MASK};

/// Bits of the amount, its sign included.
const AMOUNT_BITS: u32 = 40;
/// Set where an amount is told. Zeroed memory tells none.
const TOLD: u64 = 1 << AMOUNT_BITS;
const _: () = assert!(AMOUNT_BITS + 1 + GENERATION_BITS == u64::BITS);

/// See the [module](self). While nobody else can reach the slot, a number of whoever is alone with it.
pub(super) struct Aside(AtomicU64);

impl Aside {
    pub(super) fn new() -> Self {
        Aside(AtomicU64::new(0))
    }

    /// What the debits of a generation tell, whose live word the caller has loaded.
    #[inline]
    pub(super) fn get(&self, generation: u64) -> Option<i64> {
        // Relaxed: the load of the word, with open_next, puts what was written for this generation before.
        unpack(self.0.load(Ordering::Relaxed), generation)
    }

    /// What is there before the look at the word that tells whether a generation is still to be opened.
    pub(super) fn seen(&self) -> u64 {
        self.0.load(Ordering::Acquire) // the look stays behind it
    }

    /// Tells an amount for a generation, if nobody has told anything since it was [`seen`](Self::seen).
    pub(super) fn tell(&self, seen: u64, generation: u64, amount: i64) {
        // Relaxed: the swap of the word, which follows, releases it. So it does if another helper was quicker, for that was read here.
        let _ = self.0.compare_exchange(seen, pack(generation, amount), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// As [`Aside::tell`], while no other thread can reach the slot.
    pub(super) fn tell_alone(&self, generation: u64, amount: i64) {
        self.0.store(pack(generation, amount), Ordering::Relaxed);
    }

    pub(super) fn scratch(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set_scratch(&self, scratch: u64) {
        self.0.store(scratch, Ordering::Relaxed);
    }
}

/// Zero where the amount needs more bits.
fn pack(generation: u64, amount: i64) -> u64 {
    let unused = u64::BITS - AMOUNT_BITS;
    if (amount << unused) >> unused != amount {
        return 0;
    }
    ((generation & GENERATION_MASK) << (AMOUNT_BITS + 1)) | TOLD | (amount.cast_unsigned() & (TOLD - 1))
}

#[inline]
fn unpack(bits: u64, generation: u64) -> Option<i64> {
    let is_told = bits >> AMOUNT_BITS == ((generation & GENERATION_MASK) << 1) | 1;
    is_told.then(|| (bits << (u64::BITS - AMOUNT_BITS)).cast_signed() >> (u64::BITS - AMOUNT_BITS))
}

#[cfg(all(test, not(drawdown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_told_to_its_generation_only() {
        for generation in [1, 2, GENERATION_MASK, GENERATION_MASK + 1, u64::MAX >> 1] {
            for amount in [0, 1, -1, 77, -(1 << 39), (1 << 39) - 1] {
                let bits = pack(generation, amount);
                assert_eq!(unpack(bits, generation), Some(amount));
                assert_eq!(unpack(bits, generation + 1), None);
                assert_eq!(unpack(bits, generation - 1), None);
            }
            for amount in [1 << 39, -(1 << 39) - 1, i64::MAX, i64::MIN] {
                assert_eq!(unpack(pack(generation, amount), generation), None, "{amount} needs more bits");
            }
            assert_eq!(unpack(0, generation), None);
        }
        // Of which the low bits are those of zeroed memory.
        assert_eq!(unpack(0, GENERATION_MASK + 1), None);
    }
}
