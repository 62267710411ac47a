//! The slot by many threads at once, audited when they are done. Sizes shrink where a tool makes each step slow.

use super::super::sync::pin;
use super::model::{Actor, Answered, FOREVER, Kind, Log, PERIOD};
use super::{Slot, Terms};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const THREADS: u64 = if cfg!(miri) { 3 } else { 8 };
const STEPS: u64 = if cfg!(miri) { 12 } else { 4_000 };
const STEP: i64 = if cfg!(miri) { 40 } else { 400 };

/// Xorshift; each thread has its own.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// One thread's share: mostly small debits, some that cross, some grants, and readings whose balance must be possible.
fn work(actor: &Actor<'_>, clock: &AtomicU64, dice: &mut Dice) {
    let now = clock.load(Ordering::Relaxed);
    match dice.roll(64) {
        0 => actor.grant(i64::try_from(dice.roll(9_000)).expect("small")),
        1 => {
            clock.fetch_add(1, Ordering::Relaxed);
        }
        2 => {
            actor.debit(STEP * 2, now);
        }
        3..8 => {
            let guard = pin();
            let reading = actor.slot.read(&guard).expect("open");
            let opening = reading.generation.terms().opening();
            assert!((opening - opening % STEP..=opening).contains(&reading.balance));
        }
        8 => {
            let guard = pin();
            let before = actor.slot.read_settled(actor, &guard).expect("open");
            let after = actor.slot.read(&guard).expect("open");
            assert!(after.generation.number() >= before.generation.number(), "time runs forwards");
        }
        _ => {
            actor.debit(1 + i64::try_from(dice.roll(30)).expect("small"), now);
        }
    }
}

fn stress(slots: usize, deadline: u64) {
    let logs: Vec<Log> = (0..slots).map(|_| Log::new()).collect();
    let opened: Vec<Slot<_>> = logs.iter().map(|log| log.open(1_000, STEP, deadline)).collect();
    let clock = AtomicU64::new(0);
    let start = Barrier::new(usize::try_from(THREADS).expect("few"));
    let answers: Vec<Vec<Answered>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|name| {
                let (logs, opened, clock, start) = (&logs, &opened, &clock, &start);
                scope.spawn(move || {
                    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (name << 40) ^ deadline);
                    let actors: Vec<_> = logs
                        .iter()
                        .zip(opened)
                        .map(|(log, slot)| Actor::new(slot, log, name))
                        .map(|actor| if name % 3 == 2 { actor.without_room() } else { actor })
                        .collect();
                    start.wait();
                    for _ in 0..STEPS {
                        let one = usize::try_from(dice.roll(slots as u64)).expect("few");
                        work(&actors[one], clock, &mut dice);
                    }
                    actors.into_iter().map(Actor::answered).collect()
                })
            })
            .collect();
        let mut by_slot: Vec<Vec<Answered>> = (0..slots).map(|_| Vec::new()).collect();
        for thread in threads {
            let answered: Vec<Answered> = thread.join().expect("no thread panicked");
            for (slot, answered) in answered.into_iter().enumerate() {
                by_slot[slot].push(answered);
            }
        }
        by_slot
    });
    for ((log, slot), answers) in logs.iter().zip(&opened).zip(&answers) {
        let generations = log.audit(slot, answers);
        assert!(generations > 1, "the test tests operations");
        // SAFETY: the threads are done.
        unsafe { slot.free() };
        let collected = || {
            pin().flush();
            thread::yield_now();
            log.alive() == 0
        };
        assert!((0..1_000_000).any(|_| collected()), "{} generations are never freed", log.alive());
    }
}

#[test]
fn one_hot_wallet() {
    stress(1, FOREVER);
}

#[test]
fn one_hot_wallet_with_deadlines() {
    stress(1, PERIOD);
}

#[test]
fn a_few_wallets() {
    stress(4, PERIOD);
}

/// Nothing but operations, so that every one meets another.
#[test]
fn operations_only() {
    let log = Log::new();
    let slot = log.open(1_000, STEP, FOREVER);
    let done = AtomicBool::new(false);
    let grants = STEPS / 4;
    let answers: Vec<Answered> = thread::scope(|scope| {
        let granters: Vec<_> = (0..2)
            .map(|name| {
                let actor = Actor::new(&slot, &log, name);
                scope.spawn(move || {
                    (0..grants).for_each(|_| actor.grant(1));
                    actor.answered()
                })
            })
            .collect();
        // Ends the generations that `read` gives it, which may have been opened this instant.
        let ender = Actor::new(&slot, &log, 2);
        let done = &done;
        let ender = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let guard = pin();
                let reading = ender.slot.read(&guard).expect("open");
                let _ = ender.change(&reading, Kind::Grant(1), &guard);
            }
            ender.answered()
        });
        let mut answers: Vec<_> = granters.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        done.store(true, Ordering::Relaxed);
        answers.push(ender.join().expect("no panic"));
        answers
    });
    assert!(log.audit(&slot, &answers) > 2 * grants);
    // SAFETY: the threads are done.
    unsafe { slot.free() };
}
