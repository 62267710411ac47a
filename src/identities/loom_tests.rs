//! The handover: an identity moves from the table to a run while another thread claims it, in all interleavings within a bound on preemptions.
//!
//! Allowed: the claimer finds the original in the table, or its claim is new and the list that it loads afterwards holds the original.
//! Forbidden: a new claim and no such list, which would be a second debit.
//!
//! Here a list is the LSN up to which its runs reach: they hold every identity below.

use super::shelf::Shelf;
use crate::store::idempotency::{Claim, Fate, Idempotency};
use crate::store::pin;
use loom::sync::Arc;
use loom::thread;

const FINGERPRINT: u64 = 5;
const ORIGINAL: u64 = 100;
const END: u64 = 200;

struct World {
    table: Idempotency,
    shelf: Shelf<u64>,
}

impl World {
    /// A claim as the engine makes one, by whoever has the same event. Answers whether the original was found, or `None` if its claim is
    /// still in flight.
    fn admit(&self) -> Option<bool> {
        let guard = pin();
        match self.table.claim(FINGERPRINT, &[], &guard) {
            Claim::Existing { lsn } => Some(lsn == ORIGINAL),
            Claim::InFlight(_) => None,
            Claim::New(entry) => {
                let found = self.shelf.load(&guard).is_some_and(|end| ORIGINAL < *end);
                entry.give_up();
                Some(found)
            }
        }
    }

    /// A spill as the engine makes one: the list, then the horizon.
    fn spill(&self) {
        self.shelf.replace(Some(END), &pin());
        self.table.set_resident_horizon(END);
    }
}

fn check(test: impl Fn(Arc<World>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(3));
    model.check(move || {
        test(Arc::new(World { table: Idempotency::with_capacity(0), shelf: Shelf::empty() }));
    });
}

fn finish(world: &World) {
    let guard = pin();
    let Claim::New(entry) = world.table.claim(FINGERPRINT, &[], &guard) else { panic!("an empty table") };
    entry.finish(ORIGINAL);
}

#[test]
fn loom_an_identity_that_is_spilled_is_found_by_whoever_claims_it_meanwhile() {
    check(|world| {
        finish(&world);
        let spiller = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.spill())
        };
        assert_eq!(world.admit(), Some(true));
        spiller.join().unwrap();
        assert_eq!(world.admit(), Some(true));
    });
}

#[test]
fn loom_an_identity_that_a_growing_table_left_behind_is_found_in_the_runs() {
    check(|world| {
        finish(&world);
        let spiller = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.spill())
        };
        let maintainer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.table.grow_for_a_model();
                world.table.maintain(3, &pin());
            })
        };
        // A copy on its way to the new table looks like a claim for a moment.
        assert_ne!(world.admit(), Some(false));
        spiller.join().unwrap();
        maintainer.join().unwrap();
        assert_eq!(world.admit(), Some(true));
    });
}

/// The record is durable, and spilled, before its claimer gets round to finishing the claim.
#[test]
fn loom_a_claim_that_is_finished_below_the_horizon_is_waited_for_and_then_found() {
    check(|world| {
        let other = {
            let guard = pin();
            let Claim::New(entry) = world.table.claim(FINGERPRINT, &[], &guard) else { panic!("an empty table") };
            let other = {
                let world = Arc::clone(&world);
                thread::spawn(move || world.admit())
            };
            world.spill();
            let seen = entry.as_ref().fate();
            assert_eq!(seen, Fate::InFlight);
            entry.finish(ORIGINAL);
            other
        };
        assert_ne!(other.join().unwrap(), Some(false));
        assert_eq!(world.admit(), Some(true));
    });
}
