use super::*;
use crate::store::pin;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::thread;

const COUNT: u64 = if cfg!(miri) { 60 } else { 20_000 };

fn fingerprint(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[track_caller]
fn claimed(claim: Claim<'_>) -> Entry<'_> {
    match claim {
        Claim::New(entry) => entry,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn existing(claim: Claim<'_>) -> u64 {
    match claim {
        Claim::Existing { lsn } => lsn,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn in_flight(claim: Claim<'_>) -> EntryRef<'_> {
    match claim {
        Claim::InFlight(entry) => entry,
        other => panic!("{other:?}"),
    }
}

/// The shard of fingerprint 1 and its likes, which begin their paths at its first entry.
fn grow(table: &Idempotency, guard: &Guard) {
    let shard = &table.shards[0];
    let len = shard.chain.newest(guard).cells().len();
    shard.grow(2 * len);
}

#[test]
fn the_life_of_a_claim() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    assert!(matches!(table.lookup(7, &[], &guard), Found::Absent));
    let entry = claimed(table.claim(7, &[], &guard));
    let other = in_flight(table.claim(7, &[], &guard));
    assert_eq!(entry.as_ref(), other);
    assert_eq!(other.fate(), Fate::InFlight);
    entry.give_up();
    assert_eq!(other.fate(), Fate::GivenUp);
    assert!(matches!(table.lookup(7, &[], &guard), Found::Absent));
    let entry = claimed(table.claim(7, &[], &guard));
    assert_eq!(entry.as_ref(), other, "a dead entry is used again");
    assert!(matches!(table.lookup(7, &[], &guard), Found::InFlight(found) if found == other));
    entry.finish(100);
    assert_eq!(other.fate(), Fate::Finished(100));
    assert_eq!(existing(table.claim(7, &[], &guard)), 100);
    assert!(matches!(table.lookup(7, &[], &guard), Found::Finished { lsn: 100 }));
}

#[test]
fn a_dropped_claim_is_given_up() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    drop(claimed(table.claim(7, &[], &guard)));
    claimed(table.claim(7, &[], &guard)).finish(64);
}

#[test]
fn an_event_rejected_over_and_over_takes_one_entry() {
    // The count of entries once rose with each claim, also of a dead entry: a client's retries made the table grow without end.
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    for _ in 0..100 {
        claimed(table.claim(7, &[], &guard)).give_up();
        assert_eq!(table.len(&guard), 1);
    }
}

#[test]
fn events_that_share_a_fingerprint_are_told_apart_by_their_lsns() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    claimed(table.claim(7, &[], &guard)).finish(100);
    let second = claimed(table.claim(7, &[100], &guard));
    assert_eq!(in_flight(table.claim(7, &[100], &guard)), second.as_ref());
    second.give_up();
    claimed(table.claim(7, &[100], &guard)).finish(200);
    assert_eq!(existing(table.claim(7, &[200], &guard)), 100);
    for _ in 0..2 {
        let first = existing(table.claim(7, &[], &guard));
        assert_eq!(first + existing(table.claim(7, &[first], &guard)), 300);
        claimed(table.claim(7, &[100, 200], &guard)).give_up();
        grow(&table, &guard);
        while table.maintain(1, &guard) {}
    }
}

#[test]
fn an_expired_event_counts_as_absent_and_is_left_behind() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    claimed(table.claim(7, &[], &guard)).finish(100);
    claimed(table.claim(8, &[], &guard)).finish(300);
    table.set_resident_horizon(200);
    table.set_resident_horizon(150);
    assert_eq!(table.resident_horizon(), 200);
    assert!(matches!(table.lookup(7, &[], &guard), Found::Absent));
    assert_eq!(existing(table.claim(8, &[], &guard)), 300);
    grow(&table, &guard);
    while table.maintain(1, &guard) {}
    assert_eq!(table.len(&guard), 1);
    claimed(table.claim(7, &[], &guard)).finish(400);
    assert_eq!(existing(table.claim(7, &[], &guard)), 400);
}

#[test]
fn replayed_events_are_entered_once_each() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    table.set_resident_horizon(90);
    for _ in 0..2 {
        for lsn in [80, 100, 200, 300] {
            table.insert_replayed(7, lsn, &guard);
        }
    }
    assert_eq!(table.len(&guard), 3);
    assert!(matches!(table.lookup(7, &[100, 200, 300], &guard), Found::Absent));
}

#[test]
fn a_claim_stays_put_while_the_shard_grows_around_it() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    let entry = claimed(table.claim(7, &[], &guard));
    let dead = claimed(table.claim(9, &[], &guard));
    dead.give_up();
    // Three tables deep: everything else moves on, the claim is waited for.
    for round in 1..=3 {
        for n in 0..4 {
            claimed(table.claim(1000 * round + n, &[], &guard)).finish(64 + n);
        }
        grow(&table, &guard);
        while table.maintain(1, &guard) {}
        assert!(table.shards[0].chain.view(&guard).len() as u64 > round);
        assert_eq!(in_flight(table.claim(7, &[], &guard)), entry.as_ref());
    }
    entry.finish(500);
    while table.maintain(1, &guard) {}
    assert_eq!(table.shards[0].chain.view(&guard).len(), 1);
    assert_eq!(existing(table.claim(7, &[], &guard)), 500);
    assert!(matches!(table.lookup(9, &[], &guard), Found::Absent));
    for (round, n) in (1..=3).flat_map(|round| (0..4).map(move |n| (round, n))) {
        assert_eq!(existing(table.claim(1000 * round + n, &[], &guard)), 64 + n);
    }
}

#[test]
fn a_thread_that_does_not_know_of_the_new_table_is_turned_back() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    let shard = &table.shards[0];
    claimed(table.claim(7, &[], &guard)).give_up();
    let stale = shard.chain.view(&guard);
    grow(&table, &guard);
    let walk = |fingerprint| stale.newest().walk(fingerprint, 0, &|_| false, table::Intent::Claim);
    // 7 was given up and is buried by the one who knows; 9 was never there and its place is sealed.
    let entries = [7, 9].map(|fingerprint| claimed(table.claim(fingerprint, &[], &guard)));
    assert!(matches!(walk(7), table::Walk::Outdated));
    assert!(matches!(walk(9), table::Walk::Outdated));
    for entry in entries {
        entry.finish(64);
    }
}

#[test]
fn claims_in_flight_by_the_thousand_do_not_stop_the_table_from_growing() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    let entries: Vec<_> = (0..COUNT / 20).map(|n| claimed(table.claim(fingerprint(n), &[], &guard))).collect();
    assert!((0..COUNT / 20).all(|n| matches!(table.claim(fingerprint(n), &[], &guard), Claim::InFlight(_))));
    for (n, entry) in (64..).zip(entries) {
        entry.finish(n);
    }
    while table.maintain(1, &guard) {}
    assert!((0..COUNT / 20).all(|n| existing(table.claim(fingerprint(n), &[], &guard)) == n + 64));
}

#[test]
fn memory_follows_the_window() {
    let (table, guard) = (Idempotency::with_capacity(0), pin());
    let window = COUNT / 10;
    for n in 0..COUNT {
        claimed(table.claim(fingerprint(n), &[], &guard)).finish(64 + n);
        table.set_resident_horizon((64 + n).saturating_sub(window));
        if n % 4 == 0 {
            table.maintain(2, &guard);
        }
    }
    let per_event = table.bytes(&guard) as u64 / window;
    assert!(per_event < 80, "{per_event}");
    for n in COUNT - window..COUNT {
        assert_eq!(existing(table.claim(fingerprint(n), &[], &guard)), 64 + n);
    }
}

/// Threads claim the same events in different orders; some claims are given up, some threads grow the table. Of each event
/// there must be exactly one original, and everybody must agree on it.
#[track_caller]
fn race(distinct_fingerprints: u64) {
    let table = Idempotency::with_capacity(0);
    let next_lsn = AtomicU64::new(64);
    let originals: Vec<AtomicU64> = (0..COUNT).map(|_| AtomicU64::new(0)).collect();
    // What the log would know: the event behind an LSN.
    let events: Vec<AtomicU64> = (0..COUNT + 64).map(|_| AtomicU64::new(u64::MAX)).collect();
    let done = AtomicBool::new(false);
    let run = |step: u64| {
        for i in 0..COUNT {
            let n = i * step % COUNT;
            let guard = pin();
            let mut others = Vec::new();
            let mut gave_up = !(i + step).is_multiple_of(5);
            loop {
                match table.claim(fingerprint(n % distinct_fingerprints), &others, &guard) {
                    Claim::New(entry) if !gave_up => {
                        gave_up = true;
                        entry.give_up();
                    }
                    Claim::New(entry) => {
                        let lsn = next_lsn.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(
                            originals[n as usize].swap(lsn, Ordering::Relaxed),
                            0,
                            "event {n} was admitted twice"
                        );
                        events[lsn as usize].store(n, Ordering::Relaxed);
                        entry.finish(lsn);
                        break;
                    }
                    Claim::Existing { lsn } if events[lsn as usize].load(Ordering::Relaxed) == n => {
                        assert_eq!(originals[n as usize].load(Ordering::Relaxed), lsn);
                        break;
                    }
                    Claim::Existing { lsn } => others.push(lsn),
                    Claim::InFlight(entry) => {
                        while entry.fate() == Fate::InFlight {
                            thread::yield_now();
                        }
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = [1, 7, 11].into_iter().map(|step| scope.spawn(move || run(step))).collect();
        let maintainer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                table.maintain(4, &pin());
                thread::yield_now();
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        maintainer.join().unwrap();
    });
    assert_eq!(next_lsn.into_inner(), 64 + COUNT);
    let lsns: HashSet<u64> = originals.iter().map(|lsn| lsn.load(Ordering::Relaxed)).collect();
    assert_eq!(lsns.len() as u64, COUNT);
}

#[test]
fn racing_threads_admit_each_event_once() {
    for _ in 0..if cfg!(miri) { 1 } else { 10 } {
        race(u64::MAX);
    }
}

#[test]
fn racing_threads_admit_each_event_once_where_fingerprints_collide() {
    race(COUNT / 3);
}

#[derive(Clone, Debug)]
enum Command {
    Claim { event: u64 },
    Settle { nth: usize, finish: bool },
    Horizon { back: u64 },
    Maintain,
    Replay { event: u64 },
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => (0..40u64).prop_map(|event| Command::Claim { event }),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(nth, finish)| Command::Settle { nth, finish }),
        1 => (0..100u64).prop_map(|back| Command::Horizon { back }),
        2 => Just(Command::Maintain),
        1 => (0..40u64).prop_map(|event| Command::Replay { event }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 512 }))]

    /// Forty events share thirteen fingerprints, four of which share a path.
    #[test]
    fn it_does_what_a_map_would_do(commands in prop::collection::vec(command(), 0..300)) {
        let (table, guard) = (Idempotency::with_capacity(0), pin());
        let fingerprint = |event: u64| match event % 13 {
            n @ 0..4 => n + 1,
            n => fingerprint(n),
        };
        let mut finished: HashMap<u64, u64> = HashMap::new(); // event -> LSN
        let mut held = Vec::new();
        let mut lsn = 64;
        for command in commands {
            match command {
                Command::Claim { event } | Command::Replay { event } => {
                    let original = finished.get(&event).copied().filter(|&lsn| lsn >= table.resident_horizon());
                    let alike = |other: &&u64| fingerprint(**other) == fingerprint(event);
                    let others: Vec<u64> =
                        finished.iter().filter(|(other, _)| **other != event && alike(other)).map(|(_, &lsn)| lsn).collect();
                    let busy = held.iter().any(|(other, _)| alike(&other));
                    if matches!(command, Command::Replay { .. }) {
                        if original.is_none() && !busy {
                            lsn += 1;
                            table.insert_replayed(fingerprint(event), lsn, &guard);
                            table.insert_replayed(fingerprint(event), lsn, &guard);
                            finished.insert(event, lsn);
                        }
                        continue;
                    }
                    match table.claim(fingerprint(event), &others, &guard) {
                        Claim::New(entry) => {
                            prop_assert!(original.is_none() && !busy);
                            held.push((event, entry));
                        }
                        Claim::Existing { lsn } => prop_assert_eq!(Some(lsn), original),
                        Claim::InFlight(_) => prop_assert!(busy),
                    }
                }
                Command::Settle { .. } if held.is_empty() => {}
                Command::Settle { nth, finish } => {
                    let (event, entry) = held.swap_remove(nth % held.len());
                    if finish {
                        lsn += 1;
                        entry.finish(lsn);
                        finished.insert(event, lsn);
                    } else {
                        entry.give_up();
                    }
                }
                Command::Horizon { back } => table.set_resident_horizon(lsn.saturating_sub(back)),
                Command::Maintain => {
                    table.maintain(1, &guard);
                }
            }
        }
    }
}
