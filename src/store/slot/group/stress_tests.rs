//! Groups by one thread, step by step, and under real threads: many transfers both ways, debits and grants at once, and the same audit as
//! under loom.

use super::super::super::sync::pin;
use super::model::{Actor, Hand, Log, Twins};
use super::*;
use std::thread;

const ROUNDS: i64 = if cfg!(miri) { 8 } else { 400 };

/// A group of a transfer of 5 from the first wallet to the second, that nobody has installed.
fn group_of(slots: &[Slot<Twins>; 2], guard: &Guard) -> Arc<Group<Twins>> {
    let number = |slot: usize| slots[slot].present(guard).expect("open").number;
    Arc::new(Group {
        asked: super::model::transfer(5),
        members: [(0, number(0)), (1, number(1))].into(),
        state: super::AtomicU64::new(UNDECIDED),
        logging: AtomicBool::new(false),
        logged_at: super::AtomicU64::new(0),
        outcome: AtomicPtr::new(ptr::null_mut()),
    })
}

/// Whoever meets a group anywhere carries it through everywhere.
#[test]
fn a_group_that_its_maker_left_half_installed_is_finished_by_a_debit() {
    let log = Log::new();
    let (slots, hand) = ([log.open(0, 29), log.open(1, 24)], Hand::new(0));
    let actor = Actor::new(&slots, &log, &hand, true);
    {
        let guard = pin();
        let group = group_of(&slots, &guard);
        install_in(slots[0].present(&guard).expect("open"), &group, 0);
        assert_eq!(actor.read(0), [29, 24], "nothing is sealed yet");
        // More than the headroom, so that it looks around.
        assert!(actor.debit(0, 14));
        assert_eq!(actor.read(0), [10, 29]);
        assert_eq!(group.state(), INSTALLED);
    }
    slots.iter().for_each(free);
}

#[test]
fn an_abandoned_group_that_is_installed_late_is_taken_out_by_whoever_meets_it() {
    let log = Log::new();
    let (slots, hand) = ([log.open(0, 29), log.open(1, 24)], Hand::new(0));
    let actor = Actor::new(&slots, &log, &hand, true);
    {
        let guard = pin();
        let group = group_of(&slots, &guard);
        actor.grant(1, 2);
        install_in(slots[0].present(&guard).expect("open"), &group, 0);
        assert!(!help(&actor, &group, &guard), "one of its generations has ended");
        let first = slots[0].present(&guard).expect("open");
        assert!(first.succession(&guard).is_none());
        install_in(first, &group, 0);
        assert!(actor.debit(0, 14));
        assert_eq!((actor.read(0), group.state()), ([15, 26], ABANDONED));
        assert!(actor.transfer(5, [1, 1]));
        assert_eq!(actor.read(0), [10, 31]);
    }
    log.audit(&slots, &[hand.answered.into_inner()]);
    slots.iter().for_each(free);
}

/// The group takes place when its frame's place is claimed. One member had been opened, the other one had not, and a reader of both saw
/// credits that had left the first wallet and were not in the second.
#[test]
fn a_reader_never_sees_a_part_of_a_group() {
    let log = Log::new();
    let (slots, hand) = ([log.open(0, 29), log.open(1, 24)], Hand::new(0));
    let actor = Actor::new(&slots, &log, &hand, true);
    {
        let guard = pin();
        let group = group_of(&slots, &guard);
        assert!(install(&actor, &group, &guard));
        let outcome = seal_and_compute(&actor, &group, &guard);
        assert_eq!(actor.read(0), [29, 24]);
        group.log(&actor, outcome);
        group.open(0, &slots[0], &guard);
        assert_eq!(actor.read(0), [24, 29]);
    }
    slots.iter().for_each(free);
}

fn free(slot: &Slot<Twins>) {
    // SAFETY: nobody else uses the slot.
    unsafe { slot.free() };
}

#[test]
fn groups_debits_grants_and_readers_at_once() {
    let log = Log::new();
    let slots = [log.open(0, 5_000), log.open(1, 5_000)];
    let ended = super::AtomicU64::new(0);
    let work: [fn(&Actor<'_>) -> i64; 5] = [
        |actor| {
            (0..ROUNDS).for_each(|round| {
                actor.transfer(1 + round % 7, [1, 2]);
            });
            0
        },
        |actor| {
            (0..ROUNDS).for_each(|round| {
                actor.transfer(-1 - round % 5, [1, 1]);
            });
            0
        },
        |actor| (0..ROUNDS).map(|_| -3 * i64::from(actor.debit(0, 3))).sum(),
        |actor| (0..ROUNDS).map(|_| -2 * i64::from(actor.debit(1, 2))).sum(),
        |actor| {
            (0..ROUNDS).for_each(|_| actor.grant(1, 4));
            4 * ROUNDS
        },
    ];
    let (slots, log, ended) = (&slots, &log, &ended);
    let (sum, answers) = thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(work)
            .map(|(name, work)| {
                scope.spawn(move || {
                    let hand = Hand::new(name);
                    // Half of them leave logging to those who began.
                    let sum = work(&Actor::new(slots, log, &hand, name % 2 == 0));
                    ended.fetch_add(1, Ordering::Relaxed);
                    (sum, hand.answered.into_inner())
                })
            })
            .collect();
        let hand = Hand::new(9);
        let reader = Actor::new(slots, log, &hand, false);
        while ended.load(Ordering::Relaxed) < 5 {
            let [first, second] = reader.read(0);
            assert!(first >= 0 && second >= 0);
        }
        let ends = threads.into_iter().map(|thread| thread.join().expect("no thread panicked"));
        let (sums, answers): (Vec<i64>, Vec<_>) = ends.unzip();
        (sums.into_iter().sum::<i64>(), answers)
    });
    log.audit(slots, &answers);
    let balances: i64 = slots.iter().map(|slot| slot.read(&pin()).expect("open").balance).sum();
    assert_eq!(balances, 10_000 + sum, "no group made or lost credits");
    slots.iter().for_each(free);
}
