//! The two 16-byte words of a wallet slot: what a debit changes, and what it reads beside it.
//!
//! Both are compared and swapped whole. Under loom, which has no 128-bit atomics, the same fields are packed into 64 bits at widths
//! that are ample for a model.
//!
//! Loads are whole too. For a debit two 64-bit halves would do (a torn word fails its swap; a view that is torn belongs to a word that
//! has been sealed, and fails it too), but a debit costs 22 ns with whole loads and 21 ns with halves where the processor's abilities
//! are found at run time, and 19.5 ns with either where the build takes them for granted (x86-64-v3). Nearly all of it is the swap; a
//! nanosecond does not pay for accesses of mixed sizes, which the language does not define.

use super::sync::Ordering;
#[cfg(drawdown_loom)]
use super::sync::thorough::AtomicU64;

/// The word that debits compare and swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// How much can be debited before anything but the balance changes, in smallest units. Negative when nothing can.
    pub headroom: i64,
    /// The generation that `headroom` belongs to; 63 bits. 0 is a slot that was never opened.
    pub generation: u64,
    /// The generation takes no more debits: `headroom` is its closing value and an operation is being carried out.
    pub sealed: bool,
}

/// The word beside it: constants of the generation that the fast path needs. It changes with the generation only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The balance at which the headroom is zero: `balance = headroom + base`.
    pub base: i64,
    /// When the wallet's terms change by themselves.
    pub deadline: Deadline,
    /// The available credit equals the balance: no holds and no overdraft allowance.
    pub plain: bool,
    /// Low bits of the generation.
    generation: u32,
}

/// An instant as the fast path compares it: milliseconds since [`Deadline::EPOCH_MS`], 40 bits, [`Deadline::NEVER`] on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

pub(super) const GENERATION_BITS: u32 = 23;
pub(super) const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

impl Deadline {
    /// The earliest one.
    pub const EPOCH: Deadline = Deadline(0);
    /// 2024-01-01T00:00:00Z in ms since the Unix epoch.
    pub const EPOCH_MS: u64 = 1_704_067_200_000;
    /// Later than any instant of the next 34 years. A change due after that is found when this instant is reached: the engine then
    /// sees that nothing is due and sets the next deadline.
    pub const NEVER: Deadline = Deadline((1 << 40) - 1);

    /// From ms since the Unix epoch, saturating at both ends.
    #[inline]
    pub fn from_unix_ms(ms: u64) -> Deadline {
        Deadline(ms.saturating_sub(Self::EPOCH_MS).min(Self::NEVER.0))
    }
}

impl Word {
    /// A slot that was never opened.
    pub const UNOPENED: Word = Word { headroom: 0, generation: 0, sealed: false };

    /// Whether a debit in `view`'s generation may find this word: same generation, not sealed.
    #[inline]
    pub fn is_live_with(self, view: View) -> bool {
        !self.sealed && view.generation == (self.generation & GENERATION_MASK) as u32
    }
}

impl View {
    /// The view of generation `generation`.
    pub fn new(generation: u64, base: i64, deadline: Deadline, plain: bool) -> View {
        View { base, deadline, plain, generation: (generation & GENERATION_MASK) as u32 }
    }
}

/// A [`Word`] in memory.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct AtomicWord(Cell);

/// A [`View`] in memory.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct AtomicView(Cell);

macro_rules! atomic_pair {
    ($atomic:ident, $value:ident) => {
        impl $atomic {
            pub(super) fn new(value: $value) -> Self {
                Self(Cell::new(value.pack()))
            }

            #[inline]
            pub(super) fn load(&self, order: Ordering) -> $value {
                $value::unpack(self.0.load(order))
            }

            pub(super) fn store(&self, value: $value, order: Ordering) {
                self.0.store(value.pack(), order);
            }

            /// Strong compare-and-swap; the error is what was found.
            #[inline]
            pub(super) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<(), $value> {
                match self.0.compare_exchange(current.pack(), new.pack(), success, failure) {
                    Ok(_) => Ok(()),
                    Err(found) => Err($value::unpack(found)),
                }
            }
        }
    };
}
atomic_pair!(AtomicWord, Word);
atomic_pair!(AtomicView, View);

#[cfg(not(drawdown_loom))]
use packed::Cell;
#[cfg(drawdown_loom)]
use packed_for_loom::Cell;

#[cfg(not(drawdown_loom))]
mod packed {
    use super::{Deadline, GENERATION_BITS, GENERATION_MASK, Ordering, View, Word};
    use portable_atomic::AtomicU128;

    /// Sixteen bytes that change as one.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(super) struct Cell(AtomicU128);

    impl Cell {
        pub(super) const fn new(bits: u128) -> Self {
            Cell(AtomicU128::new(bits))
        }

        /// Where the build may use AVX the load is one instruction. The general one goes through a function pointer, for it must ask the
        /// processor first; twice a debit that is a tenth of the whole.
        #[cfg(all(target_arch = "x86_64", target_feature = "avx", not(miri)))]
        #[inline]
        pub(super) fn load(&self, order: Ordering) -> u128 {
            use std::arch::x86_64::__m128i;
            debug_assert!(matches!(order, Ordering::Relaxed | Ordering::Acquire));
            let bits: __m128i;
            // SAFETY: the address is valid and aligned to 16, being that of an `AtomicU128`. Intel (SDM volume 3A, 9.1.1) and AMD (APM
            // volume 2, 7.3.2) guarantee that processors with AVX carry out such a load whole, and every load of theirs is an acquire
            // load; without `nomem`, the compiler moves no access across it. It writes nothing but its output.
            unsafe {
                std::arch::asm!(
                    "vmovdqa {bits}, xmmword ptr [{cell}]",
                    cell = in(reg) self.0.as_ptr(),
                    bits = lateout(xmm_reg) bits,
                    options(nostack, preserves_flags, readonly),
                );
            }
            // SAFETY: both are sixteen bytes of which every value is valid.
            unsafe { std::mem::transmute::<__m128i, u128>(bits) }
        }

        #[cfg(not(all(target_arch = "x86_64", target_feature = "avx", not(miri))))]
        #[inline]
        pub(super) fn load(&self, order: Ordering) -> u128 {
            self.0.load(order)
        }

        #[inline]
        pub(super) fn store(&self, bits: u128, order: Ordering) {
            self.0.store(bits, order);
        }

        #[inline]
        pub(super) fn compare_exchange(
            &self,
            current: u128,
            new: u128,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u128, u128> {
            self.0.compare_exchange(current, new, success, failure)
        }
    }

    impl Word {
        #[inline]
        pub(super) fn pack(self) -> u128 {
            let high = (self.generation << 1) | u64::from(self.sealed);
            (u128::from(high) << 64) | u128::from(self.headroom.cast_unsigned())
        }

        #[inline]
        pub(super) fn unpack(bits: u128) -> Word {
            let high = (bits >> 64) as u64;
            Word { headroom: (bits as u64).cast_signed(), generation: high >> 1, sealed: high & 1 == 1 }
        }
    }

    impl View {
        #[inline]
        pub(super) fn pack(self) -> u128 {
            let high = (self.deadline.0 << (GENERATION_BITS + 1))
                | (u64::from(self.plain) << GENERATION_BITS)
                | u64::from(self.generation);
            (u128::from(high) << 64) | u128::from(self.base.cast_unsigned())
        }

        #[inline]
        pub(super) fn unpack(bits: u128) -> View {
            let high = (bits >> 64) as u64;
            View {
                base: (bits as u64).cast_signed(),
                deadline: Deadline(high >> (GENERATION_BITS + 1)),
                plain: (high >> GENERATION_BITS) & 1 == 1,
                generation: (high & GENERATION_MASK) as u32,
            }
        }
    }
}

#[cfg(drawdown_loom)]
mod packed_for_loom {
    use super::{AtomicU64, Deadline, View, Word};

    pub(super) type Cell = AtomicU64;

    impl Word {
        pub(super) fn pack(self) -> u64 {
            let headroom = i32::try_from(self.headroom).expect("a model's headroom is small");
            let generation = u32::try_from(self.generation).expect("a model's generations are few");
            (u64::from(headroom.cast_unsigned()) << 32) | u64::from(generation << 1) | u64::from(self.sealed)
        }

        pub(super) fn unpack(bits: u64) -> Word {
            let headroom = ((bits >> 32) as u32).cast_signed();
            Word { headroom: headroom.into(), generation: (bits as u32 >> 1).into(), sealed: bits & 1 == 1 }
        }
    }

    impl View {
        pub(super) fn pack(self) -> u64 {
            let base = i16::try_from(self.base).expect("a model's base is small");
            let deadline = if self.deadline == Deadline::NEVER { u64::from(u16::MAX) } else { self.deadline.0 };
            assert!(u16::try_from(deadline).is_ok(), "a model's deadlines are small");
            (u64::from(base.cast_unsigned()) << 48)
                | (deadline << 32)
                | (u64::from(self.plain) << 31)
                | u64::from(self.generation & 0x7fff_ffff)
        }

        pub(super) fn unpack(bits: u64) -> View {
            let deadline = (bits >> 32) & 0xffff;
            View {
                base: ((bits >> 48) as u16).cast_signed().into(),
                deadline: if deadline == 0xffff { Deadline::NEVER } else { Deadline(deadline) },
                plain: (bits >> 31) & 1 == 1,
                generation: (bits & 0x7fff_ffff) as u32,
            }
        }
    }
}

#[cfg(all(test, not(drawdown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_survive_packing_at_their_limits() {
        for headroom in [0, 1, -1, i64::MAX, i64::MIN] {
            for generation in [0, 1, (1 << 63) - 1] {
                for sealed in [false, true] {
                    let word = Word { headroom, generation, sealed };
                    assert_eq!(Word::unpack(word.pack()), word);
                }
            }
        }
    }

    #[test]
    fn views_survive_packing_at_their_limits() {
        for base in [0, -1, i64::MAX, i64::MIN] {
            for deadline in [Deadline(0), Deadline(1), Deadline::NEVER] {
                for plain in [false, true] {
                    for generation in [0, 1, GENERATION_MASK, GENERATION_MASK + 5] {
                        let view = View::new(generation, base, deadline, plain);
                        assert_eq!(View::unpack(view.pack()), view);
                        assert!(Word { headroom: 0, generation, sealed: false }.is_live_with(view));
                        assert!(!Word { headroom: 0, generation: generation + 1, sealed: false }.is_live_with(view));
                    }
                }
            }
        }
    }

    #[test]
    fn zeroed_memory_is_an_unopened_slot() {
        assert_eq!(Word::unpack(0), Word::UNOPENED);
    }

    #[test]
    fn deadlines_saturate() {
        assert_eq!(Deadline::from_unix_ms(0), Deadline(0));
        assert_eq!(Deadline::from_unix_ms(u64::MAX), Deadline::NEVER);
        assert_eq!(Deadline::from_unix_ms(Deadline::EPOCH_MS + 7), Deadline(7));
    }
}
