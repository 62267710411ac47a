//! Operations on several wallets at once: all of it takes place, in memory and in the log, or nothing does.
//!
//! A group names its members by handle, and of each the generation that it is to end. Its steps are those of a single operation, and
//! whoever meets it at any member carries it through at all of them:
//!
//! 1. *install*: member by member in the order of their handles, the generation's `successor` goes from null to the group. What is in the
//!    way is helped to its end first. When every member has it, the group's state goes from undecided to installed.
//! 2. *seal*: every member's word is sealed; all closing balances are fixed.
//! 3. *compute and log*: [`Driver::close_group`] makes all the next generations from all the old ones; the first result offered is the
//!    result. One frame takes all the records, and one compare-and-swap on the group says which copy of the frame counts: that is the
//!    instant at which the group takes place.
//! 4. *open* and 5. *swing*, member by member. A reader who comes between does not see the old generation of one member when it may have
//!    seen the new one of another: [`Slot::read`] opens what is logged.
//!
//! If a member's generation has been ended by something else before all have the group, the group is *abandoned*: its state says so, for
//! good, and it is taken out where it had been installed, as if it had never been there. Nothing was sealed, and nothing is logged. The
//! caller reads again and tries anew; something else has got through meanwhile.
//!
//! # Why it is right
//! 1. Undecided goes to installed or to abandoned, once. Whoever says installed has seen the group in every member while it was undecided,
//!    and it is taken out of a member only when it is abandoned. So it is in all of them, and their generations can be ended by nothing else.
//! 2. A helper that comes late may install an abandoned group again. It looks at the state afterwards, and takes it out; so does whoever
//!    meets it. It cannot install one that is installed: no member's `successor` is null any more, for good.
//! 3. Helping ends: what helps a group that is being installed at a member meets groups that are in the way there, which have yet to be
//!    installed at members behind it only. Handles rise along any such row.
//! 4. Memory: a generation that is found at the slot's pointer under a guard lives as long as the guard, and so does the one that follows it.
//!    Members' generations are looked at only after they were found so; where the pointer has moved on, the member is done.
//! 5. As with single operations, a thread without room in the log waits, yielding, for one that has it: the one that made the group does.

use super::super::sync::thorough::{AtomicBool, AtomicPtr, AtomicU64};
use super::super::sync::{Guard, Ordering, spin, yield_now};
use super::{Driver, Generation, Rules, SPINS_BEFORE_COPY, Slot, Succession};
use crate::store::word::Word;
use std::ptr;
use std::sync::Arc;

#[cfg(all(test, drawdown_loom))]
mod loom_tests;
#[cfg(test)]
mod model;
#[cfg(all(test, not(drawdown_loom)))]
mod stress_tests;

const UNDECIDED: u64 = 0;
const INSTALLED: u64 = 1;
const ABANDONED: u64 = 2;

/// A group, shared by all its members.
pub struct Group<R: Rules> {
    asked: R::Group,
    /// Handle and number of the generation that ends, in the order of the handles.
    members: Box<[(u32, u64)]>,
    /// Written by those who install (Release), read by all (Acquire).
    state: AtomicU64,
    /// A thread has taken it on itself to log; a hint, hence Relaxed.
    logging: AtomicBool,
    /// Where the copy of its records stands that counts, 0 while there is none. Written once by whoever logs first (Release), read by all
    /// (Acquire).
    logged_at: AtomicU64,
    /// Written once by the first helper to finish computing (Release), read by all (Acquire). Owned, save for the generations in it.
    outcome: AtomicPtr<Outcome<R>>,
}

/// A group as the end of one member's generation.
pub(super) struct Joint<R: Rules> {
    group: Arc<Group<R>>,
    /// Which member it is.
    index: usize,
}

/// A member as its generation ended.
pub struct Ended<'a, R: Rules> {
    /// Its handle.
    pub handle: u32,
    /// The generation.
    pub generation: &'a Generation<R>,
    /// Its closing balance.
    pub closing: i64,
}

/// What a group makes of a member.
pub struct Closed<R: Rules> {
    /// The terms of the generation that it opens.
    pub terms: R::Terms,
    /// How many generations it passes on the way, that one included: each has a record.
    pub generations: u64,
    /// Where the record of that generation stands, counted from where [`Driver::log_group`] says.
    pub distance: u64,
}

struct Outcome<R: Rules> {
    members: Box<[Next<R>]>,
    effects: R::GroupEffects,
}

struct Next<R: Rules> {
    closing: i64,
    distance: u64,
    /// Passes into its slot's ownership at the swing.
    generation: *mut Generation<R>,
}

/// Everything that the records of a group say.
pub struct JointOpening<'a, R: Rules> {
    group: &'a Group<R>,
    /// What the group did.
    pub effects: &'a R::GroupEffects,
}

/// A group that took place, as the one who made it sees it.
pub struct Joined<R: Rules>(Arc<Group<R>>);

impl<R: Rules> JointOpening<'_, R> {
    /// Names `lsn` as the place from which the records' distances count, unless another was named before; answers the place that counts.
    pub fn claim(&self, lsn: u64) -> u64 {
        self.group.claim(lsn)
    }
}

impl<R: Rules> Joined<R> {
    /// What the group did.
    pub fn effects(&self) -> &R::GroupEffects {
        // SAFETY: a group that took place has an outcome, which it owns.
        unsafe { &(*self.0.outcome.load(Ordering::Acquire)).effects }
    }

    /// The place from which the records' distances count.
    pub fn logged_at(&self) -> u64 {
        self.0.logged_at.load(Ordering::Acquire) // with Group::claim
    }
}

/// Carries out `asked` as the end of these generations, which are `members`' in the order of their handles, one each.
///
/// `None` if another operation has ended one of them: nothing has happened, and the caller reads again and decides anew.
pub fn change<'g, R: Rules, D: Driver<R>>(
    driver: &D,
    members: &[(u32, &'g Generation<R>)],
    asked: R::Group,
    guard: &'g Guard,
) -> Option<Joined<R>> {
    assert!(members.is_sorted_by(|a, b| a.0 < b.0), "members stand in the order of their handles");
    let group = Arc::new(Group {
        asked,
        members: members.iter().map(|(handle, generation)| (*handle, generation.number)).collect(),
        state: AtomicU64::new(UNDECIDED),
        logging: AtomicBool::new(false),
        logged_at: AtomicU64::new(0),
        outcome: AtomicPtr::new(ptr::null_mut()),
    });
    help(driver, &group, guard).then(|| Joined(group))
}

/// Takes a group from wherever it is to its end. Answers whether it took place.
fn help<R: Rules, D: Driver<R>>(driver: &D, group: &Arc<Group<R>>, guard: &Guard) -> bool {
    if !install(driver, group, guard) {
        clear(driver, group, guard);
        return false;
    }
    let outcome = seal_and_compute(driver, group, guard);
    group.log(driver, outcome);
    for (index, (handle, _)) in group.members.iter().enumerate() {
        group.open(index, driver.slot(*handle), guard);
    }
    true
}

/// Step 1. Answers whether all members have the group.
fn install<R: Rules, D: Driver<R>>(driver: &D, group: &Arc<Group<R>>, guard: &Guard) -> bool {
    for (index, (handle, number)) in group.members.iter().enumerate() {
        let slot = driver.slot(*handle);
        loop {
            match group.state() {
                UNDECIDED => {}
                state => return state == INSTALLED,
            }
            let Some(generation) = slot.present(guard).filter(|present| present.number == *number) else {
                // It was ended by something else. Or by this group, if that has been decided since the look at the state.
                group.decide(ABANDONED);
                continue;
            };
            match generation.succession(guard) {
                None => install_in(generation, group, index),
                Some(Succession::Joint(joint)) if Arc::ptr_eq(&joint.group, group) => break,
                Some(other) => slot.help_either(&driver.of(*handle), generation, other, guard),
            }
        }
    }
    group.decide(INSTALLED);
    group.state() == INSTALLED
}

fn install_in<R: Rules>(generation: &Generation<R>, group: &Arc<Group<R>>, index: usize) {
    let ours = Box::into_raw(Box::new(Succession::Joint(Joint { group: Arc::clone(group), index })));
    // Release pairs with the Acquire in Generation::succession: helpers see the group whole.
    if generation.successor.compare_exchange(ptr::null_mut(), ours, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: the swap failed, so `ours` was never shared; it came from Box::into_raw above.
        drop(unsafe { Box::from_raw(ours) });
    }
}

/// Takes an abandoned group out where it is still installed.
fn clear<R: Rules, D: Driver<R>>(driver: &D, group: &Arc<Group<R>>, guard: &Guard) {
    for (handle, number) in &group.members {
        let present = driver.slot(*handle).present(guard);
        let Some(generation) = present.filter(|present| present.number == *number) else { continue };
        let installed = generation.successor.load(Ordering::Acquire); // with install_in
        // SAFETY: null or owned by the generation, or retired after this guard was there.
        let is_ours = match unsafe { installed.as_ref() } {
            Some(Succession::Joint(joint)) => Arc::ptr_eq(&joint.group, group),
            Some(Succession::Alone(_)) | None => false,
        };
        // While the guard is held no other succession can come to be at this address.
        let taken = is_ours
            && generation
                .successor
                .compare_exchange(installed, ptr::null_mut(), Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if taken {
            // SAFETY: it came from Box::into_raw, and only this swap took it out. Those who still read it found it before that.
            unsafe { guard.retire(installed) };
        }
    }
}

/// Steps 2 and the first half of 3.
fn seal_and_compute<'a, R: Rules, D: Driver<R>>(driver: &D, group: &'a Group<R>, guard: &Guard) -> &'a Outcome<R> {
    loop {
        if let Some(outcome) = group.outcome() {
            return outcome;
        }
        let mut ended = Vec::with_capacity(group.members.len());
        for (handle, number) in &group.members {
            let slot = driver.slot(*handle);
            // Where a member has moved on, the group has been computed.
            let Some(generation) = slot.present(guard).filter(|present| present.number == *number) else { break };
            let Some(closing) = seal(slot, generation) else { break };
            ended.push(Ended { handle: *handle, generation, closing });
        }
        if ended.len() < group.members.len() {
            spin();
            continue;
        }
        let (closed, effects) = driver.close_group(&group.asked, &ended);
        let next = |(closed, ended): (Closed<R>, &Ended<'_, R>)| Next {
            closing: ended.closing,
            distance: closed.distance,
            generation: Box::into_raw(Box::new(Generation::new(
                ended.generation.number + closed.generations,
                0,
                closed.terms,
            ))),
        };
        let members: Box<[_]> = closed.into_iter().zip(&ended).map(next).collect();
        assert_eq!(members.len(), group.members.len(), "every member gets its next generation");
        group.offer(Outcome { members, effects });
    }
}

/// Seals a generation and answers its closing balance; `None` if it is no longer the present one.
fn seal<R: Rules>(slot: &Slot<R>, generation: &Generation<R>) -> Option<i64> {
    loop {
        let word = slot.word.load(Ordering::Acquire); // with debit: all debits of the generation happened before
        if word.generation != generation.number {
            return None;
        }
        if word.sealed {
            return Some(generation.balance(word));
        }
        // A failure means that a debit or another helper was quicker; look again.
        let _ = slot.word.compare_exchange(word, Word { sealed: true, ..word }, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl<R: Rules> Group<R> {
    fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire) // with decide
    }

    /// Says what becomes of it, if nobody has said it before.
    fn decide(&self, state: u64) {
        // Release: whoever sees it installed sees it in every member.
        let _ = self.state.compare_exchange(UNDECIDED, state, Ordering::AcqRel, Ordering::Acquire);
    }

    fn claim(&self, lsn: u64) -> u64 {
        match self.logged_at.compare_exchange(0, lsn, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => lsn,
            Err(counts) => counts,
        }
    }

    fn outcome(&self) -> Option<&Outcome<R>> {
        let outcome = self.outcome.load(Ordering::Acquire); // with offer
        // SAFETY: null or owned by this group.
        unsafe { outcome.as_ref() }
    }

    /// Offers a computed outcome; the first one offered stands.
    fn offer(&self, outcome: Outcome<R>) {
        let offered = Box::into_raw(Box::new(outcome));
        // Release pairs with Group::outcome.
        if self.outcome.compare_exchange(ptr::null_mut(), offered, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: the swap failed, so `offered` was never shared; it came from Box::into_raw above.
            let refused = unsafe { Box::from_raw(offered) };
            for next in &refused.members {
                // SAFETY: as above, for the generations inside it.
                drop(unsafe { Box::from_raw(next.generation) });
            }
        }
    }

    /// The second half of step 3: sees to it that a copy of the records is in the log.
    fn log<D: Driver<R>>(&self, driver: &D, outcome: &Outcome<R>) {
        let mut looks = 0;
        while self.logged_at.load(Ordering::Acquire) == 0 {
            // The load spares the others' cache line.
            let first = !self.logging.load(Ordering::Relaxed) && !self.logging.swap(true, Ordering::Relaxed);
            if first || looks >= SPINS_BEFORE_COPY {
                if let Some(lsn) = driver.log_group(&JointOpening { group: self, effects: &outcome.effects }) {
                    // Losing is harmless: another copy is known already.
                    self.claim(lsn);
                    return;
                }
                if first {
                    self.logging.store(false, Ordering::Relaxed);
                }
                yield_now();
            }
            looks += 1;
            spin();
        }
    }

    /// Steps 4 and 5 at one member, once the group is in the log. Nothing if they have been done.
    fn open(&self, index: usize, slot: &Slot<R>, guard: &Guard) {
        let present = slot.present(guard);
        if let Some(old) = present.filter(|present| present.number == self.members[index].1) {
            self.open_after(old, index, slot, guard);
        }
    }

    /// As [`Group::open`], of the generation that ends, which was found at the slot's pointer under this guard.
    fn open_after(&self, old: &Generation<R>, index: usize, slot: &Slot<R>, guard: &Guard) {
        let base = self.logged_at.load(Ordering::Acquire); // with claim
        let outcome = self.outcome().expect("what is logged has been computed");
        let next = &outcome.members[index];
        // SAFETY: the guard keeps `old` alive, and so the generation that follows it, which is retired later.
        let new = unsafe { &*next.generation };
        new.claim(base + next.distance);
        slot.open_next(old, next.closing, new);
        slot.swing(old, next.generation, guard);
    }
}

impl<R: Rules> Joint<R> {
    pub(super) fn help<D: Driver<R>>(&self, driver: &D, guard: &Guard) {
        help(driver, &self.group, guard);
    }

    /// The generation that follows the member's, once it is known.
    pub(super) fn next_pointer(&self, _guard: &Guard) -> Option<*mut Generation<R>> {
        Some(self.group.outcome()?.members[self.index].generation)
    }
}

impl<R: Rules> Slot<R> {
    /// Opens what a group makes of this slot, if `generation`, which was found at the slot's pointer under this guard, ends with one that is
    /// in the log. Answers whether it does.
    #[cold]
    pub(super) fn open_logged(&self, generation: &Generation<R>, guard: &Guard) -> bool {
        let Some(Succession::Joint(joint)) = generation.succession(guard) else { return false };
        let is_logged = joint.group.logged_at.load(Ordering::Acquire) != 0; // with claim
        if is_logged {
            joint.group.open_after(generation, joint.index, self, guard);
        }
        is_logged
    }
}

impl<R: Rules> Drop for Group<R> {
    fn drop(&mut self) {
        let outcome = self.outcome.load(Ordering::Acquire); // with offer; the last owner reads it alone
        if !outcome.is_null() {
            // SAFETY: owned by this group and freed only here; the generations in it belong to their slots by now.
            drop(unsafe { Box::from_raw(outcome) });
        }
    }
}
