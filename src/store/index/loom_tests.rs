//! A reader beside an insert, a growth and a migration: what was inserted before the lookup is found, with the slot that was
//! made for it.

use super::*;
use crate::store::pin;
use loom::sync::Arc;
use loom::thread;

fn hash(n: u64) -> WalletHash {
    WalletHash { index: n, key: n }
}

fn insert(index: &Index, n: u32) -> Placed {
    index.get_or_insert_with(hash(u64::from(n)), |slot| slot == n, || n, &pin())
}

fn lookup(index: &Index, n: u32) -> Option<u32> {
    let is_it = |slot| {
        assert_eq!(slot, n, "a fingerprint was visible before its slot");
        true
    };
    index.lookup(hash(u64::from(n)), is_it, &pin())
}

fn check(test: impl Fn(Arc<Index>) + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(2));
    model.check(move || test(Arc::new(Index::with_capacity(0))));
}

#[test]
fn loom_a_lookup_finds_what_was_there_while_the_shard_grows() {
    check(|index| {
        insert(&index, 1);
        let reader = {
            let index = Arc::clone(&index);
            thread::spawn(move || {
                assert_eq!(lookup(&index, 1), Some(1));
                lookup(&index, 2)
            })
        };
        let shard = &index.shards[0];
        shard.take_prepared(Table::new(3), &pin());
        insert(&index, 2);
        shard.migrate_step(&pin());
        assert!(matches!(reader.join().unwrap(), None | Some(2)));
        assert_eq!(lookup(&index, 1), Some(1));
        assert_eq!(lookup(&index, 2), Some(2));
    });
}

#[test]
fn loom_two_inserters_of_a_key_make_it_once() {
    check(|index| {
        let other = {
            let index = Arc::clone(&index);
            thread::spawn(move || insert(&index, 1))
        };
        let placed = insert(&index, 1);
        let mut both = [placed, other.join().unwrap()];
        both.sort_by_key(|placed| *placed == Placed::Found(1));
        assert_eq!(both, [Placed::Inserted(1), Placed::Found(1)]);
    });
}
