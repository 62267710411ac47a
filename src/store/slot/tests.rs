//! The slot by one thread: what each step leaves behind.

use super::model::{Actor, Change, FOREVER, Kind, Log, MUCH, Model, Traced, instant};
use super::*;

fn grant_7() -> Succession<Model> {
    Succession::Alone(Alone::new(Traced::new(Change { id: 1, kind: Kind::Grant(7) })))
}

/// The operation that was installed in a generation.
fn alone<'g>(generation: &'g Generation<Model>, guard: &'g Guard) -> &'g Alone<Model> {
    match generation.succession(guard) {
        Some(Succession::Alone(alone)) => alone,
        _ => panic!("an operation was installed"),
    }
}

/// A generation was handed out by `read` while the pointer was still at its predecessor (the thread that opened it had not swung
/// yet). An operation on it then finished two generations ahead of the pointer: readers spun until the late thread woke, and the
/// generation between was never freed if it did not.
#[test]
fn a_generation_that_was_read_can_be_ended_though_its_opener_sleeps() {
    let log = Log::new();
    let slot = log.open(100, 50, FOREVER);
    let sleeper = Actor::new(&slot, &log, 0);
    let actor = Actor::new(&slot, &log, 1);
    {
        let guard = pin();
        let first = slot.present(&guard).expect("open");
        let ours = Box::into_raw(Box::new(grant_7()));
        first.successor.store(ours, Ordering::Release);
        let succession = alone(first, &guard);
        let outcome = slot.seal_and_compute(&sleeper, first, succession, &guard);
        slot.log_opening(&sleeper, first, succession, outcome, &guard);
        slot.open_next(first, outcome.closing, outcome.next(&guard));
        // It sleeps before its swing.
        let reading = slot.read(&guard).expect("open");
        assert_eq!((reading.balance, reading.generation.number()), (107, 2));
        assert!(actor.change(&reading, Kind::Grant(1), &guard).is_some());
        assert_eq!(slot.present(&guard).map(Generation::number), Some(3), "the pointer has left what was ended");
        let reading = slot.read(&guard).expect("open");
        assert_eq!((reading.balance, reading.generation.number()), (108, 3));
        // It wakes, and changes nothing.
        slot.swing(first, outcome.next, &guard);
        assert_eq!(slot.present(&guard).map(Generation::number), Some(3));
    }
    // SAFETY: the slot is this test's own.
    unsafe { slot.free() };
}

#[test]
fn a_half_done_operation_is_freed_with_its_slot() {
    let log = Log::new();
    let slot = log.open(100, 50, FOREVER);
    let actor = Actor::new(&slot, &log, 0);
    {
        let guard = pin();
        let first = slot.present(&guard).expect("open");
        let ours = Box::into_raw(Box::new(grant_7()));
        first.successor.store(ours, Ordering::Release);
        slot.seal_and_compute(&actor, first, alone(first, &guard), &guard);
    }
    assert_eq!(log.alive(), 2);
    // SAFETY: the slot is this test's own.
    unsafe { slot.free() };
    assert_eq!(log.alive(), 0);
}

#[test]
fn readings_and_debits_during_an_operation() {
    let log = Log::new();
    let slot = log.open(148, 50, FOREVER);
    let actor = Actor::new(&slot, &log, 0);
    {
        let guard = pin();
        assert!(slot.debit(10, instant(0), true).is_some());
        let first = slot.present(&guard).expect("open");
        let ours = Box::into_raw(Box::new(grant_7()));
        first.successor.store(ours, Ordering::Release);
        assert!(slot.debit(9, instant(0), true).is_some(), "not sealed yet");
        slot.seal_and_compute(&actor, first, alone(first, &guard), &guard);
        assert!(slot.debit(1, instant(0), true).is_none(), "sealed");
        let reading = slot.read(&guard).expect("open");
        assert_eq!((reading.balance, reading.generation.number()), (129, 1));
        let settled = slot.read_settled(&actor, &guard).expect("open");
        assert_eq!((settled.balance, settled.generation.number()), (136, 2));
        assert_eq!(slot.position_alone(), (2, 136));
    }
    // SAFETY: the slot is this test's own.
    unsafe { slot.free() };
}

#[test]
fn what_is_available_beside_the_balance_is_told_from_the_slot_itself() {
    let log = Log::new();
    let slot = log.open(MUCH + 148, 50, FOREVER);
    let actor = Actor::new(&slot, &log, 0);
    assert!(slot.debit(1, instant(0), true).is_none(), "nothing was told of the first generation");
    actor.grant(7);
    assert!(slot.debit(1, instant(0), false).is_none(), "the caller cannot tell it");
    let posted = slot.debit(1, instant(0), true).expect("told");
    assert_eq!((posted.balance, posted.adjustment), (MUCH + 154, -(MUCH + 155)));
    // As after a restart.
    slot.set_scratch_alone(u64::MAX);
    slot.end_alone(&pin());
    let posted = slot.debit(1, instant(0), true).expect("told");
    assert_eq!((posted.balance, posted.adjustment), (MUCH + 153, -(MUCH + 155)));
    // A helper that comes late to the opening of the first generation's successor writes over nothing.
    slot.aside.tell(0, 2, 5);
    assert_eq!(slot.debit(1, instant(0), true).map(|posted| posted.adjustment), Some(-(MUCH + 155)));
    // SAFETY: the slot is this test's own.
    unsafe { slot.free() };
}

#[test]
fn a_slot_that_was_never_opened_has_nothing_to_read_or_debit() {
    let slot = Slot::<super::model::Model>::unopened();
    assert!(slot.read(&pin()).is_none());
    assert!(slot.debit(1, instant(0), true).is_none());
    assert!(slot.deadline().is_none());
}
