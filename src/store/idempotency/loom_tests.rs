//! All interleavings, within a bound on preemptions, of a few threads on one fingerprint in a table of a few entries while the
//! shard grows.
//!
//! Allowed: exactly one claim per event that is not given up; everybody else is told of it, finished or in flight. Forbidden:
//! two claims, a finished event that is not found, a table unlinked while something in it is open (asserted by the maintainer
//! itself).

use super::*;
use crate::store::pin;
use loom::sync::Arc;
use loom::thread;

/// Its path begins at the first entry, as does that of all small numbers.
const FINGERPRINT: u64 = 5;

fn check(test: impl Fn(Arc<Idempotency>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(3));
    model.check(move || test(Arc::new(Idempotency::with_capacity(0))));
}

fn shard(table: &Idempotency) -> &Shard {
    &table.shards[0]
}

/// A step of a migration, if one is under way.
fn step(table: &Idempotency) {
    shard(table).maintain_step(table.resident_horizon(), &pin());
}

fn migrate_to_the_end(table: &Idempotency) {
    while shard(table).chain.view(&pin()).len() > 1 {
        if !shard(table).maintain_step(table.resident_horizon(), &pin()) {
            thread::yield_now();
        }
    }
}

/// Claims and finishes with `lsn`. Answers the LSN of the event, or `None` where somebody else's claim is in flight.
fn admit(table: &Idempotency, others: &[u64], lsn: u64) -> Option<u64> {
    match table.claim(FINGERPRINT, others, &pin()) {
        Claim::New(entry) => {
            entry.finish(lsn);
            Some(lsn)
        }
        Claim::Existing { lsn } => Some(lsn),
        Claim::InFlight(_) => None,
    }
}

fn spawn_admit(table: &Arc<Idempotency>, others: &'static [u64], lsn: u64) -> thread::JoinHandle<Option<u64>> {
    let table = Arc::clone(table);
    thread::spawn(move || admit(&table, others, lsn))
}

/// Both answered; the event is there once, and either knows it or saw the other's claim in flight.
#[track_caller]
fn assert_one(table: &Idempotency, others: &[u64], answers: [Option<u64>; 2], lsns: [u64; 2]) {
    migrate_to_the_end(table);
    let original = match table.claim(FINGERPRINT, others, &pin()) {
        Claim::Existing { lsn } => lsn,
        other => panic!("{other:?}"),
    };
    assert!(lsns.contains(&original));
    assert!(answers.iter().flatten().all(|&answer| answer == original), "{answers:?}, but {original}");
    assert!(answers.contains(&Some(original)));
}

#[test]
fn loom_two_claimers_while_the_shard_grows() {
    check(|table| {
        let other = spawn_admit(&table, &[], 100);
        let maintainer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                shard(&table).grow(2);
                step(&table);
            })
        };
        let answer = admit(&table, &[], 200);
        let answers = [other.join().unwrap(), answer];
        maintainer.join().unwrap();
        assert_one(&table, &[], answers, [100, 200]);
    });
}

#[test]
fn loom_two_claimers_of_a_dead_entry_while_the_shard_grows() {
    check(|table| {
        drop(table.claim(FINGERPRINT, &[], &pin()));
        let other = spawn_admit(&table, &[], 100);
        let maintainer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                shard(&table).grow(2);
                step(&table);
            })
        };
        let answer = admit(&table, &[], 200);
        let answers = [other.join().unwrap(), answer];
        maintainer.join().unwrap();
        assert_one(&table, &[], answers, [100, 200]);
    });
}

#[test]
fn loom_two_claimers_beside_an_event_with_the_same_fingerprint() {
    check(|table| {
        assert_eq!(admit(&table, &[], 64), Some(64));
        let other = spawn_admit(&table, &[64], 100);
        let maintainer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                shard(&table).grow(4);
                step(&table);
            })
        };
        // A copy on its way to the new table looks like a claim for a moment.
        let answer = loop {
            match table.claim(FINGERPRINT, &[64], &pin()) {
                Claim::InFlight(entry) if entry.fate() == Fate::Finished(64) => {}
                Claim::InFlight(_) => break None,
                Claim::Existing { lsn } => break Some(lsn),
                Claim::New(entry) => {
                    entry.finish(200);
                    break Some(200);
                }
            }
        };
        let answers = [other.join().unwrap(), answer];
        maintainer.join().unwrap();
        migrate_to_the_end(&table);
        let known = answers.iter().flatten().collect::<Vec<_>>();
        assert!(known.iter().all(|&lsn| lsn == known[0]), "{answers:?}");
        match table.claim(FINGERPRINT, &[64], &pin()) {
            Claim::Existing { lsn } => assert!(known.iter().all(|&&known| known == lsn)),
            // Both saw the copy on its way.
            Claim::New(_) => assert!(known.is_empty()),
            other => panic!("{other:?}"),
        }
        assert!(matches!(table.claim(FINGERPRINT, &[100, 200], &pin()), Claim::Existing { lsn: 64 }));
    });
}

#[test]
fn loom_a_finish_that_races_with_the_migration_is_not_lost() {
    check(|table| {
        let maintainer = {
            let guard = pin();
            let Claim::New(entry) = table.claim(FINGERPRINT, &[], &guard) else { panic!("an empty table") };
            let maintainer = {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    shard(&table).grow(2);
                    step(&table);
                    step(&table);
                    match table.claim(FINGERPRINT, &[], &pin()) {
                        Claim::Existing { lsn } => assert_eq!(lsn, 100),
                        Claim::InFlight(_) => {}
                        Claim::New(_) => panic!("a second claim"),
                    }
                })
            };
            entry.finish(100);
            maintainer
        };
        maintainer.join().unwrap();
        migrate_to_the_end(&table);
        assert_eq!(admit(&table, &[], 200), Some(100));
    });
}

#[test]
fn loom_giving_up_and_claiming_again_while_the_shard_grows() {
    check(|table| {
        let guard = pin();
        let Claim::New(entry) = table.claim(FINGERPRINT, &[], &guard) else { panic!("an empty table") };
        let other = spawn_admit(&table, &[], 100);
        let maintainer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                shard(&table).grow(2);
                step(&table);
                step(&table);
            })
        };
        entry.give_up();
        let answer = other.join().unwrap();
        maintainer.join().unwrap();
        migrate_to_the_end(&table);
        assert_eq!(admit(&table, &[], 200), answer.or(Some(200)));
    });
}

/// The oldest of three tables moves to the newest past the one between. Whoever read the chain's head before must not miss it.
#[test]
fn loom_what_moved_past_a_table_is_found() {
    check(|table| {
        assert_eq!(admit(&table, &[], 64), Some(64));
        shard(&table).grow(2);
        let reader = spawn_admit(&table, &[], 100);
        shard(&table).grow(2);
        step(&table);
        assert_eq!(reader.join().unwrap(), Some(64));
        migrate_to_the_end(&table);
        assert_eq!(admit(&table, &[], 200), Some(64));
    });
}
