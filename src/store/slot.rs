//! The wallet slot: one cache line that holds a balance, and the protocol by which threads change it without locks.
//!
//! A wallet's terms are immutable within a **generation**. A debit only lowers one number, by one compare-and-swap, and succeeds only
//! while its generation is live. Everything else is an **operation**: it seals the generation, fixing its closing balance, and opens
//! the next one. Whoever meets an unfinished operation helps it to its end before going on, so no thread waits for a particular other
//! one to be scheduled (save for the bounded case in [`Driver::log`]).
//!
//! An operation goes through five steps; each is a compare-and-swap that names the generation, so a helper that comes late to a step
//! changes nothing:
//!
//! 1. *install*: the generation's `successor` goes from null to the operation;
//! 2. *seal*: the word's sealed bit is set; its headroom is now the closing value, the same for everybody;
//! 3. *compute and log*: [`Driver::close`] gives the next generation from (old terms, closing balance, operation); the first result
//!    offered becomes *the* result; its record is appended to the log;
//! 4. *open*: the view goes to the next generation, and what is available beside the balance is told (`aside`), then the word goes there
//!    too: from here debits apply to it;
//! 5. *swing*: the terms pointer goes to the next generation, and the old one is retired through the epoch.
//!
//! # Invariants
//! 1. Within a generation the headroom only falls, so a word never returns to an earlier value (no ABA): a successful swap proves
//!    that the generation was live, and the view its own, from the load to the swap.
//! 2. The closing balance of a generation equals its opening balance less the debits applied to it.
//! 3. A record of the opening is reserved in the log before any debit can apply to the generation.
//! 4. The terms pointer is at most one generation behind the word; when it is behind, the missing one hangs off its successor.
//! 5. Whoever holds a generation, but for the helpers that are just opening it, got it when the pointer was at it or past it. So a
//!    swing that fails finds the pointer past the old generation, never before it; 4 rests on this.
//!
//! An operation on several wallets at once is a [`group`]: the same five steps, taken by all its members together.
//!
//! The slot holds values and knows no rule: what an operation means is the [`Driver`]'s.

use super::prefetch::prefetch;
use super::sync::thorough::{AtomicBool, AtomicPtr, AtomicU64};
use super::sync::{Guard, Ordering, pin, spin, yield_now};
use super::word::{AtomicView, AtomicWord, Deadline, View, Word};
use std::ptr;

use aside::Aside;
use group::{Closed, Ended, Joint, JointOpening};

/// The content of a generation, as far as the slot must know it.
pub trait Terms: Send + Sync {
    /// The balance at the opening, in smallest units.
    fn opening(&self) -> i64;
    /// The balance at which the headroom is zero; see [`View::base`]. `opening - base` fits in an `i64`.
    fn base(&self) -> i64;
    /// When the terms change by themselves.
    fn deadline(&self) -> Deadline;
    /// Available credit less balance.
    fn adjustment(&self) -> i64;
}

/// The types that a kind of wallet is made of.
pub trait Rules: Sized + 'static {
    /// What a generation consists of.
    type Terms: Terms;
    /// A change that opens a new generation.
    type Operation: Send + Sync;
    /// What the change did, for whoever asked for it.
    type Effects: Send + Sync;
    /// A change of several wallets at once.
    type Group: Send + Sync;
    /// What it did.
    type GroupEffects: Send + Sync;
}

/// Gives meaning to operations and takes their records: the rules and the log, as one thread works with them on one slot.
pub trait Driver<R: Rules> {
    /// The next generation's terms. Pure: the same inputs give the same result on every thread, for it may be computed by several.
    fn close(&self, terms: &R::Terms, closing: i64, operation: &R::Operation) -> (R::Terms, R::Effects);

    /// Appends a copy of the operation's record and answers its LSN (not 0), after linking it with [`Slot::link`]. Copies differ in
    /// nothing but their place in the log. A driver whose copies must tell which of them counts asks [`Generation::claim`] once the
    /// place is reserved and linked; others leave that to the slot.
    ///
    /// Of the slot it uses nothing but `link`: the operation is half done.
    ///
    /// `None` when this thread has no room in the log for it. The thread that installed the operation always has; the others then
    /// wait for it, yielding.
    fn log(&self, slot: &Slot<R>, record: &Opening<'_, R>) -> Option<u64>;

    /// The same thread's driver of another wallet: members of a group are named by handles.
    #[must_use]
    fn of(&self, handle: u32) -> Self
    where
        Self: Sized;

    /// The slot of a wallet.
    fn slot(&self, handle: u32) -> &Slot<R>;

    /// What a group makes of its members, in their order: as [`Driver::close`], and as pure.
    fn close_group(&self, group: &R::Group, members: &[Ended<'_, R>]) -> (Vec<Closed<R>>, R::GroupEffects);

    /// Appends a copy of the records of a group, of all its members in one frame, and answers the LSN from which the distances in
    /// [`Closed`] count (not 0). Before that it links each record ([`Slot::link`]) and claims the place ([`JointOpening::claim`]). The rest
    /// is as with [`Driver::log`].
    fn log_group(&self, record: &JointOpening<'_, R>) -> Option<u64>;
}

/// Everything that the record of an operation says.
pub struct Opening<'a, R: Rules> {
    /// The generation that ended.
    pub old: &'a Generation<R>,
    /// Its closing balance.
    pub closing: i64,
    /// What ended it.
    pub operation: &'a R::Operation,
    /// The generation that it opens.
    pub new: &'a Generation<R>,
    /// What it did.
    pub effects: &'a R::Effects,
}

/// A wallet's terms between two operations; immutable but for the bookkeeping of its own end.
pub struct Generation<R: Rules> {
    number: u64,
    /// LSN of the opening record, 0 while it has none. Written once by whoever logs first (Release), read by all (Acquire).
    opened_at: AtomicU64,
    /// The operation that ends it. Written once by install (Release), read by helpers (Acquire). Owned.
    successor: AtomicPtr<Succession<R>>,
    terms: R::Terms,
}

/// What ends a generation.
enum Succession<R: Rules> {
    /// An operation on this wallet.
    Alone(Alone<R>),
    /// One on several wallets, of which this is one.
    Joint(Joint<R>),
}

/// An installed operation and, once computed, the generation that it opens.
struct Alone<R: Rules> {
    operation: R::Operation,
    /// A thread has taken it on itself to log. A hint that saves copies; correctness does not rest on it, hence Relaxed.
    logging: AtomicBool,
    outcome: OutcomeCell<R>,
}

/// Written once by the first helper to finish computing (Release), read by all (Acquire). Owned, save for the generation in it.
struct OutcomeCell<R: Rules>(AtomicPtr<Outcome<R>>);

struct Outcome<R: Rules> {
    /// Passes into the slot's ownership at the swing.
    next: *mut Generation<R>,
    closing: i64,
    effects: R::Effects,
}

/// A finished operation, as its installer sees it.
pub struct Changed<'g, R: Rules> {
    /// The balance at which the operation found the wallet.
    pub closing: i64,
    /// The generation that the operation opened. It may have ended since.
    pub generation: &'g Generation<R>,
    /// What it did.
    pub effects: &'g R::Effects,
}

/// One consistent reading of a wallet.
pub struct Reading<'g, R: Rules> {
    /// The balance at the reading.
    pub balance: i64,
    /// The generation that it belongs to.
    pub generation: &'g Generation<R>,
}

/// A debit carried out on the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The generation that it belongs to.
    pub generation: u64,
    /// The balance after it: within the generation, its exact position.
    pub balance: i64,
    /// Available credit less balance.
    pub adjustment: i64,
}

/// One wallet: 64 bytes, aligned to 64. Zeroed memory is a slot that was never opened.
#[repr(C, align(64))]
pub struct Slot<R: Rules> {
    word: AtomicWord,
    view: AtomicView,
    /// Second half of the wallet's keyed hash. Written at opening, before the index shows the slot.
    key: AtomicU64,
    /// The wallet's newest record. Only ever swapped, so that every record gets the one before it.
    last_lsn: AtomicU64,
    /// The present generation, or its predecessor during an operation. Owned.
    terms: AtomicPtr<Generation<R>>,
    aside: Aside,
}

#[cfg(not(drawdown_loom))]
const _: () = assert!(size_of::<Slot<layout::Nothing>>() == 64 && align_of::<Slot<layout::Nothing>>() == 64);

mod aside;
pub mod group;
#[cfg(all(test, drawdown_loom))]
mod loom_tests;
#[cfg(test)]
mod model;
#[cfg(all(test, not(drawdown_loom)))]
mod stress_tests;
#[cfg(all(test, not(drawdown_loom)))]
mod tests;

/// How often a helper looks whether another thread has logged the operation before it appends a copy of its own.
#[cfg(not(drawdown_loom))]
const SPINS_BEFORE_COPY: u32 = 256;
#[cfg(drawdown_loom)]
const SPINS_BEFORE_COPY: u32 = 1;

impl<R: Rules> Generation<R> {
    /// Generation `number` with the given terms; `opened_at` is the LSN of its record, 0 if it has none yet.
    pub fn new(number: u64, opened_at: u64, terms: R::Terms) -> Self {
        Generation { number, opened_at: AtomicU64::new(opened_at), successor: AtomicPtr::new(ptr::null_mut()), terms }
    }

    /// Its number; the first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its terms.
    pub fn terms(&self) -> &R::Terms {
        &self.terms
    }

    /// LSN of its opening record.
    pub fn opened_at(&self) -> u64 {
        self.opened_at.load(Ordering::Acquire) // with log_opening
    }

    /// Names `lsn` as the place of its record, unless another was named before; answers the place that counts.
    pub fn claim(&self, lsn: u64) -> u64 {
        // Release pairs with opened_at.
        match self.opened_at.compare_exchange(0, lsn, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => lsn,
            Err(counts) => counts,
        }
    }

    /// Says where its record stands, for a generation that is not in a slot yet.
    pub fn set_opened_at(&self, lsn: u64) {
        self.opened_at.store(lsn, Ordering::Release);
    }

    fn view(&self) -> View {
        View::new(self.number, self.terms.base(), self.terms.deadline(), self.terms.adjustment() == 0)
    }

    fn word(&self) -> Word {
        Word { headroom: self.terms.opening() - self.terms.base(), generation: self.number, sealed: false }
    }

    fn balance(&self, word: Word) -> i64 {
        word.headroom + self.terms.base()
    }
}

impl<R: Rules> Slot<R> {
    /// A slot in ordinary memory. Slots of a slab are zeroed memory, which is the same.
    pub fn unopened() -> Self {
        Slot {
            word: AtomicWord::new(Word::UNOPENED),
            view: AtomicView::new(View::new(0, 0, Deadline::EPOCH, false)),
            key: AtomicU64::new(0),
            last_lsn: AtomicU64::new(0),
            terms: AtomicPtr::new(ptr::null_mut()),
            aside: Aside::new(),
        }
    }

    /// Gives a zeroed slot its first generation. The caller is alone with the slot: it is not in the index yet (or recovery runs),
    /// and the index's own Release publishes what is stored here.
    pub fn open(&self, key: u64, last_lsn: u64, generation: Generation<R>) {
        self.key.store(key, Ordering::Relaxed);
        self.last_lsn.store(last_lsn, Ordering::Relaxed);
        self.install_alone(generation);
    }

    /// As [`Slot::open`], at a balance that debits have led to, and with a number for whoever is alone with the slot.
    pub fn open_at(&self, key: u64, last_lsn: u64, generation: Generation<R>, balance: i64, scratch: u64) {
        let word = Word { headroom: balance - generation.terms.base(), ..generation.word() };
        self.key.store(key, Ordering::Relaxed);
        self.last_lsn.store(last_lsn, Ordering::Relaxed);
        self.aside.set_scratch(scratch);
        self.view.store(generation.view(), Ordering::Relaxed);
        let old = self.terms.swap(Box::into_raw(Box::new(generation)), Ordering::Release); // with present
        assert!(old.is_null(), "a slot is opened once");
        self.word.store(word, Ordering::Release); // with debit
    }

    /// Whether the slot's key is `key`.
    #[inline]
    pub fn has_key(&self, key: u64) -> bool {
        self.key.load(Ordering::Relaxed) == key // published by the index entry that led here
    }

    /// Whether available credit equals the balance, as it stands now.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.view.load(Ordering::Relaxed).plain // a hint: the next change may turn it
    }

    /// Fetches the line at which the present generation begins, without waiting for it.
    #[inline]
    pub fn prefetch_generation(&self) {
        prefetch(self.terms.load(Ordering::Relaxed)); // an address to fetch from, nothing more
    }

    /// LSN of the wallet's newest record, 0 if it has none.
    pub fn last_lsn(&self) -> u64 {
        self.last_lsn.load(Ordering::Acquire) // with link
    }

    /// Makes `lsn` the wallet's newest record and answers the one before it.
    #[inline]
    pub fn link(&self, lsn: u64) -> u64 {
        self.last_lsn.swap(lsn, Ordering::AcqRel) // each swap pairs with the one before it
    }

    /// The fast path: debits `amount` (> 0) if nothing but the balance changes by it. `None` when the slow path must look at it: too little
    /// headroom, an operation under way, terms that are due to change at `now`, or available credit that differs from the balance, which
    /// the caller cannot tell (`can_tell`) or the slot does not know.
    #[inline]
    pub fn debit(&self, amount: i64, now: Deadline, can_tell: bool) -> Option<Posted> {
        self.debit_if(amount, now, |slot, generation, view| match view.plain {
            true => Some(0),
            false if can_tell => slot.aside.get(generation),
            false => None,
        })
    }

    /// As [`Slot::debit`] for any wallet; gives the generation that the debit was applied in, which is `since` or a later one.
    pub fn debit_from<'g>(
        &self,
        since: &'g Generation<R>,
        amount: i64,
        now: Deadline,
        guard: &'g Guard,
    ) -> Option<(Posted, &'g Generation<R>)> {
        let mut posted = self.debit_if(amount, now, |_, _, _| Some(0))?;
        let mut generation = since;
        if generation.number != posted.generation {
            // Makes the pointer follow the word, as invariant 5 asks before a later generation is handed out.
            self.read(guard);
        }
        while generation.number != posted.generation {
            // The word has been at a later generation, so every one up to it hangs off the one before.
            let next = generation.next(guard);
            generation = next.expect("a generation that takes debits was opened by its predecessor's end");
        }
        posted.adjustment = generation.terms.adjustment();
        Some((posted, generation))
    }

    /// Debits if `adjustment` knows what is available beside the balance, given the slot, the generation that is live, and its view.
    #[inline]
    fn debit_if(
        &self,
        amount: i64,
        now: Deadline,
        adjustment: impl Fn(&Self, u64, View) -> Option<i64>,
    ) -> Option<Posted> {
        debug_assert!(amount > 0);
        let mut word = self.word.load(Ordering::Acquire); // with open_next: the view of this generation is visible
        loop {
            let view = self.view.load(Ordering::Acquire);
            // A view of another generation would fail the swap as well, for its word was sealed first; looking saves the swap.
            if !word.is_live_with(view) || word.headroom < amount || now >= view.deadline {
                return None;
            }
            let adjustment = adjustment(self, word.generation, view)?;
            let after = Word { headroom: word.headroom - amount, ..word };
            // Release: whoever acquires this word may rely on what this thread reserved in the log before.
            match self.word.compare_exchange(word, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(()) => {
                    let balance = after.headroom + view.base;
                    return Some(Posted { generation: word.generation, balance, adjustment });
                }
                Err(found) => word = found,
            }
        }
    }

    /// The balance and the generation that it belongs to, at one instant. `None` if the slot was never opened.
    ///
    /// Helps no operation along: while one is under way the reading is that of just before it. Save for a group that is in the log: other
    /// members of it may have been read as they are after it.
    pub fn read<'g>(&self, guard: &'g Guard) -> Option<Reading<'g, R>> {
        loop {
            let generation = self.present(guard)?;
            let word = self.word.load(Ordering::Acquire); // with open_next
            if word.generation == generation.number {
                if word.sealed && self.open_logged(generation, guard) {
                    continue;
                }
                return Some(Reading { balance: generation.balance(word), generation });
            }
            // Invariant 4: the word is ahead. The pointer must follow before the generation is handed out (invariant 5).
            match generation.next_pointer(guard) {
                Some(next) if word.generation > generation.number => self.swing(generation, next, guard),
                _ => spin(), // the slot is being opened
            }
        }
    }

    /// As [`Slot::read`], after helping whatever operation is under way to its end.
    pub fn read_settled<'g>(&self, driver: &impl Driver<R>, guard: &'g Guard) -> Option<Reading<'g, R>> {
        loop {
            let generation = self.present(guard)?;
            if let Some(succession) = generation.succession(guard) {
                self.help_either(driver, generation, succession, guard);
                continue;
            }
            let word = self.word.load(Ordering::Acquire); // with open_next
            if word.generation == generation.number && !word.sealed {
                return Some(Reading { balance: generation.balance(word), generation });
            }
            spin();
        }
    }

    /// Carries out `operation` as the end of `generation`.
    ///
    /// Fails, giving the operation back, when another operation has ended the generation: the caller reads again and decides anew.
    pub fn change<'g>(
        &self,
        driver: &impl Driver<R>,
        generation: &'g Generation<R>,
        operation: R::Operation,
        guard: &'g Guard,
    ) -> Result<Changed<'g, R>, R::Operation> {
        let ours = Box::into_raw(Box::new(Succession::Alone(Alone::new(operation))));
        // Release pairs with the Acquire in Generation::succession: helpers see the operation whole.
        let installed =
            generation.successor.compare_exchange(ptr::null_mut(), ours, Ordering::AcqRel, Ordering::Acquire);
        if installed.is_err() {
            // SAFETY: the swap failed, so `ours` was never shared; it came from Box::into_raw above.
            let ours = unsafe { Box::from_raw(ours) };
            if let Some(succession) = generation.succession(guard) {
                self.help_either(driver, generation, succession, guard);
            }
            match *ours {
                Succession::Alone(alone) => return Err(alone.operation),
                Succession::Joint(_) => unreachable!("it was made a few lines ago"),
            }
        }
        // SAFETY: `ours` is owned by `generation`, which the guard keeps alive; only groups that were abandoned are taken out of it.
        let Succession::Alone(alone) = (unsafe { &*ours }) else { unreachable!("it was made a few lines ago") };
        let outcome = self.help(driver, generation, alone, guard);
        Ok(Changed { closing: outcome.closing, generation: outcome.next(guard), effects: &outcome.effects })
    }

    /// Replaces the terms while no other thread can reach the slot (creation, recovery) and no operation is half done.
    pub fn install_alone(&self, generation: Generation<R>) {
        self.view.store(generation.view(), Ordering::Relaxed);
        let word = generation.word();
        // Release pairs with `present`, for slots that are already in the index.
        let old = self.terms.swap(Box::into_raw(Box::new(generation)), Ordering::AcqRel);
        self.word.store(word, Ordering::Release); // with debit, for the same
        if !old.is_null() {
            // Through the epoch, though nobody reads it: that the caller is alone is then a matter of right balances only, not of
            // memory safety.
            // SAFETY: `old` is what the slot owned, from Box::into_raw, and only this swap took it out.
            unsafe { pin().retire(old) };
        }
    }

    /// Lowers the balance while no other thread can reach the slot (replay of a debit). Answers the balance after it.
    pub fn debit_alone(&self, amount: i64) -> i64 {
        let word = self.word.load(Ordering::Relaxed);
        let after = Word { headroom: word.headroom - amount, ..word };
        self.word.store(after, Ordering::Relaxed);
        after.headroom + self.view.load(Ordering::Relaxed).base
    }

    /// The present generation's number and balance while no other thread can reach the slot.
    pub fn position_alone(&self) -> (u64, i64) {
        let word = self.word.load(Ordering::Relaxed);
        (word.generation, word.headroom + self.view.load(Ordering::Relaxed).base)
    }

    /// Whether the slot was ever opened, while no other thread can reach it.
    pub fn is_open_alone(&self) -> bool {
        self.word.load(Ordering::Relaxed).generation > 0
    }

    /// A number for whoever is alone with the slot, until [`Slot::end_alone`].
    pub fn scratch_alone(&self) -> u64 {
        self.aside.scratch()
    }

    /// Ends the use of [`Slot::scratch_alone`], before another thread can reach the slot.
    pub fn end_alone(&self, guard: &Guard) {
        let view = self.view.load(Ordering::Relaxed);
        match self.present(guard) {
            Some(generation) if !view.plain => self.aside.tell_alone(generation.number, generation.terms.adjustment()),
            _ => self.aside.set_scratch(0),
        }
    }

    /// See [`Slot::scratch_alone`].
    pub fn set_scratch_alone(&self, scratch: u64) {
        self.aside.set_scratch(scratch);
    }

    /// Sets the chain's head while no other thread can reach the slot.
    pub fn set_last_lsn_alone(&self, lsn: u64) {
        self.last_lsn.store(lsn, Ordering::Relaxed);
    }

    /// When the wallet's terms next change by themselves; for the background tidier. `None` if the slot was never opened.
    pub fn deadline(&self) -> Option<Deadline> {
        let word = self.word.load(Ordering::Acquire); // with open_next
        (word.generation > 0).then(|| self.view.load(Ordering::Acquire).deadline)
    }

    /// Frees the slot's generation, and the next one if an operation was left half done (its threads panicked).
    ///
    /// # Safety
    /// Nobody uses the slot, now or later.
    pub unsafe fn free(&self) {
        let mut owned = self.terms.swap(ptr::null_mut(), Ordering::Acquire); // with swing
        while !owned.is_null() {
            // SAFETY: the caller promises that nobody else uses the slot; the pointer came from Box::into_raw.
            let generation = unsafe { Box::from_raw(owned) };
            // The pointer was at this generation, so the one that hangs off it was not swung to: nobody else owns it.
            owned = generation.next_pointer(&pin()).unwrap_or(ptr::null_mut());
        }
    }

    fn present<'g>(&self, _guard: &'g Guard) -> Option<&'g Generation<R>> {
        let terms = self.terms.load(Ordering::Acquire); // with swing
        // SAFETY: null or a generation that is retired, through the epoch, only after the pointer has moved on; the guard was there first.
        unsafe { terms.as_ref() }
    }

    /// Takes whatever ends `old` to its end. Returns when the terms pointer has left `old`, or a group that was abandoned has.
    fn help_either<'g>(
        &self,
        driver: &impl Driver<R>,
        old: &'g Generation<R>,
        succession: &'g Succession<R>,
        guard: &'g Guard,
    ) {
        match succession {
            Succession::Alone(alone) => {
                self.help(driver, old, alone, guard);
            }
            Succession::Joint(joint) => joint.help(driver, guard),
        }
    }

    /// Takes the operation from wherever it is to its end. Returns when the terms pointer has left `old`.
    fn help<'g>(
        &self,
        driver: &impl Driver<R>,
        old: &'g Generation<R>,
        succession: &'g Alone<R>,
        guard: &'g Guard,
    ) -> &'g Outcome<R> {
        let outcome = self.seal_and_compute(driver, old, succession, guard);
        let next = outcome.next(guard);
        self.log_opening(driver, old, succession, outcome, guard);
        self.open_next(old, outcome.closing, next);
        self.swing(old, outcome.next, guard);
        outcome
    }

    /// Steps 2 and the first half of 3.
    fn seal_and_compute<'g>(
        &self,
        driver: &impl Driver<R>,
        old: &'g Generation<R>,
        succession: &'g Alone<R>,
        guard: &'g Guard,
    ) -> &'g Outcome<R> {
        loop {
            if let Some(outcome) = succession.outcome(guard) {
                return outcome;
            }
            let word = self.word.load(Ordering::Acquire); // with debit: all debits of the generation happened before
            if word.generation != old.number {
                // The operation is finished, so its outcome was published before the word moved on; look again.
                spin();
                continue;
            }
            if !word.sealed {
                let sealed = Word { sealed: true, ..word };
                // A failure means that a debit or another helper was quicker; look again.
                let _ = self.word.compare_exchange(word, sealed, Ordering::AcqRel, Ordering::Acquire);
                continue;
            }
            let closing = old.balance(word);
            let (terms, effects) = driver.close(&old.terms, closing, &succession.operation);
            let next = Box::into_raw(Box::new(Generation::new(old.number + 1, 0, terms)));
            succession.offer(Outcome { next, closing, effects });
        }
    }

    /// The second half of step 3: sees to it that a copy of the record is in the log.
    fn log_opening(
        &self,
        driver: &impl Driver<R>,
        old: &Generation<R>,
        succession: &Alone<R>,
        outcome: &Outcome<R>,
        guard: &Guard,
    ) {
        let new = outcome.next(guard);
        let mut looks = 0;
        while new.opened_at() == 0 {
            // The load spares the others' cache line.
            let first =
                !succession.logging.load(Ordering::Relaxed) && !succession.logging.swap(true, Ordering::Relaxed);
            if first || looks >= SPINS_BEFORE_COPY {
                let record = Opening {
                    old,
                    closing: outcome.closing,
                    operation: &succession.operation,
                    new,
                    effects: &outcome.effects,
                };
                if let Some(lsn) = driver.log(self, &record) {
                    // Losing is harmless: another copy is known already.
                    new.claim(lsn);
                    return;
                }
                if first {
                    succession.logging.store(false, Ordering::Relaxed);
                }
                yield_now();
            }
            looks += 1;
            spin();
        }
    }

    /// Step 4. The view first: a debit that sees the new word must find its view.
    ///
    /// The view names its generation by 23 bits, so a helper would do harm that slept between the look at the word and the swap of
    /// the view for exactly a multiple of 2^23 operations on this wallet, with its guard held (nothing is freed meanwhile), and woke
    /// up to the same base and deadline. We live with that.
    fn open_next(&self, old: &Generation<R>, closing: i64, next: &Generation<R>) {
        let closed = Word { headroom: closing - old.terms.base(), generation: old.number, sealed: true };
        let (adjustment, seen) = (next.terms.adjustment(), self.aside.seen());
        if self.word.load(Ordering::Acquire) != closed {
            return; // The word was sealed before there was an outcome, so it can only have been opened since.
        }
        // Release pairs with the loads in `debit` and `read`. Failing means that it was done before.
        let _ = self.view.compare_exchange(old.view(), next.view(), Ordering::AcqRel, Ordering::Acquire);
        if adjustment != 0 {
            self.aside.tell(seen, next.number, adjustment);
        }
        let _ = self.word.compare_exchange(closed, next.word(), Ordering::AcqRel, Ordering::Acquire);
    }

    /// Step 5.
    fn swing(&self, old: &Generation<R>, next: *mut Generation<R>, guard: &Guard) {
        let old = ptr::from_ref(old).cast_mut(); // an address to compare; a reference's pointer must not be freed
        // Release pairs with `present`. Failing means that the pointer has moved on (invariant 5).
        if let Ok(old) = self.terms.compare_exchange(old, next, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `old` is what the slot owned, from Box::into_raw, and only this swap took it out. Those who still read it found
            // it through the pointer, so their guards are older than this call. Its contents are Send and 'static.
            unsafe { guard.retire(old) };
        }
    }
}

impl<R: Rules> Generation<R> {
    fn succession<'g>(&'g self, _guard: &'g Guard) -> Option<&'g Succession<R>> {
        let successor = self.successor.load(Ordering::Acquire); // with change
        // SAFETY: null or owned by this generation, which the guard keeps alive.
        unsafe { successor.as_ref() }
    }

    /// The generation that its end opens, once that is known.
    fn next_pointer(&self, guard: &Guard) -> Option<*mut Generation<R>> {
        match self.succession(guard)? {
            Succession::Alone(alone) => alone.outcome(guard).map(|outcome| outcome.next),
            Succession::Joint(joint) => joint.next_pointer(guard),
        }
    }

    fn next<'g>(&'g self, guard: &'g Guard) -> Option<&'g Generation<R>> {
        // SAFETY: as in `Outcome::next`: the guard keeps this generation alive, and hence the next one.
        self.next_pointer(guard).map(|next| unsafe { &*next })
    }
}

impl<R: Rules> Alone<R> {
    fn new(operation: R::Operation) -> Self {
        let outcome = OutcomeCell(AtomicPtr::new(ptr::null_mut()));
        Alone { operation, logging: AtomicBool::new(false), outcome }
    }

    fn outcome<'g>(&'g self, _guard: &'g Guard) -> Option<&'g Outcome<R>> {
        let outcome = self.outcome.0.load(Ordering::Acquire); // with offer
        // SAFETY: null or owned by this succession, which is owned by a generation that the guard keeps alive.
        unsafe { outcome.as_ref() }
    }

    /// Offers a computed outcome; the first one offered stands.
    fn offer(&self, outcome: Outcome<R>) {
        let offered = Box::into_raw(Box::new(outcome));
        // Release pairs with Alone::outcome.
        if self.outcome.0.compare_exchange(ptr::null_mut(), offered, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: the swap failed, so `offered` was never shared; it came from Box::into_raw above.
            let refused = unsafe { Box::from_raw(offered) };
            // SAFETY: as above, for the generation inside it.
            drop(unsafe { Box::from_raw(refused.next) });
        }
    }
}

impl<R: Rules> Outcome<R> {
    fn next<'g>(&'g self, _guard: &'g Guard) -> &'g Generation<R> {
        // SAFETY: the next generation is retired only after it was the slot's present one, which comes after this outcome's own
        // generation was retired; the guard that keeps this outcome alive keeps the next generation alive too.
        unsafe { &*self.next }
    }
}

impl<R: Rules> Drop for Generation<R> {
    fn drop(&mut self) {
        let successor = self.successor.load(Ordering::Acquire); // with change; the last owner reads it alone
        if !successor.is_null() {
            // SAFETY: owned by this generation and freed only here; it came from Box::into_raw in `change`.
            drop(unsafe { Box::from_raw(successor) });
        }
    }
}

impl<R: Rules> Drop for OutcomeCell<R> {
    fn drop(&mut self) {
        let outcome = self.0.load(Ordering::Acquire); // with offer; the last owner reads it alone
        if !outcome.is_null() {
            // SAFETY: owned by this cell and freed only here; the generation in it belongs to the slot by now.
            drop(unsafe { Box::from_raw(outcome) });
        }
    }
}

#[cfg(not(drawdown_loom))]
mod layout {
    //! Rules of nothing, to measure the slot's layout with.
    use super::{Deadline, Rules, Terms};

    pub(super) struct Nothing;

    impl Terms for () {
        fn opening(&self) -> i64 {
            0
        }
        fn base(&self) -> i64 {
            0
        }
        fn deadline(&self) -> Deadline {
            Deadline::NEVER
        }
        fn adjustment(&self) -> i64 {
            0
        }
    }

    impl Rules for Nothing {
        type Terms = ();
        type Operation = ();
        type Effects = ();
        type Group = ();
        type GroupEffects = ();
    }
}
