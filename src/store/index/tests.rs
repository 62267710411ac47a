use super::*;
use crate::store::pin;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::thread;

const COUNT: u32 = if cfg!(miri) { 60 } else { 20_000 };

/// The hash of wallet `n`; the key, which the tests' slots hold, is `n` itself.
fn hash(n: u32) -> WalletHash {
    WalletHash { index: u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), key: u64::from(n) }
}

/// Slots are numbered like the wallets that they belong to.
fn insert(index: &Index, n: u32, guard: &Guard) -> Placed {
    index.get_or_insert_with(hash(n), |slot| slot == n, || n, guard)
}

fn lookup(index: &Index, n: u32, guard: &Guard) -> Option<u32> {
    index.lookup(hash(n), |slot| slot == n, guard)
}

#[test]
fn a_key_is_made_once_and_found_ever_after() {
    let (index, guard) = (Index::with_capacity(0), pin());
    assert_eq!(lookup(&index, 0, &guard), None);
    for n in 0..COUNT {
        assert_eq!(insert(&index, n, &guard), Placed::Inserted(n));
        assert_eq!(insert(&index, n / 2, &guard), Placed::Found(n / 2));
        index.prefetch(hash(n), &guard);
    }
    assert!((0..COUNT).all(|n| lookup(&index, n, &guard) == Some(n)));
    assert_eq!(lookup(&index, COUNT, &guard), None);
    assert_eq!(index.len(), COUNT as usize);
}

#[test]
fn many_keys_are_entered_at_once() {
    let (index, guard) = (Index::with_capacity(0), pin());
    insert(&index, 0, &guard);
    for first in (1..COUNT).step_by(700) {
        let mut entries: Vec<_> = (first..COUNT.min(first + 700)).map(|n| (hash(n), n)).collect();
        index.insert_new(&mut entries, &guard);
    }
    assert!((0..COUNT).all(|n| lookup(&index, n, &guard) == Some(n)));
    assert_eq!(index.len(), COUNT as usize);
    assert_eq!(insert(&index, 3, &guard), Placed::Found(3));
}

#[test]
fn the_background_alone_carries_a_migration_to_its_end() {
    let (index, guard) = (Index::with_capacity(0), pin());
    for n in 0..100.min(COUNT) {
        insert(&index, n, &guard);
        while index.grow_step(&guard) {}
        assert!(index.shards.iter().all(|shard| shard.chain.view(&guard).oldest().is_none()));
    }
    assert!((0..100.min(COUNT)).all(|n| lookup(&index, n, &guard) == Some(n)));
    let fill = index.len() * 100 / (index.bytes(&guard) / 64 * PLACES);
    assert!(cfg!(miri) || (40..=82).contains(&fill), "{fill}");
}

#[test]
fn keys_with_one_fingerprint_are_told_apart_by_the_rest() {
    let (index, guard) = (Index::with_capacity(0), pin());
    let same = |n: u32| WalletHash { index: 42, key: u64::from(n) };
    for n in 0..20 {
        assert_eq!(index.get_or_insert_with(same(n), |slot| slot == n, || n, &guard), Placed::Inserted(n));
    }
    for n in 0..20 {
        assert_eq!(index.lookup(same(n), |slot| slot == n, &guard), Some(n));
    }
    assert_eq!(index.lookup(same(20), |slot| slot == 20, &guard), None);
}

#[test]
fn readers_find_what_was_acknowledged_while_the_index_grows() {
    let index = Index::with_capacity(0);
    let acknowledged = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..2 {
            let (index, acknowledged, done) = (&index, &acknowledged, &done);
            scope.spawn(move || {
                let mut n: u32 = reader;
                while !done.load(Ordering::Relaxed) {
                    let known = acknowledged.load(Ordering::Acquire);
                    let guard = pin();
                    for _ in 0..16 {
                        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % COUNT;
                        let found = lookup(index, n, &guard);
                        assert!(found == Some(n) || (found.is_none() && n >= known), "{n} of {known}: {found:?}");
                    }
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                index.grow_step(&pin());
                thread::yield_now();
            }
        });
        for n in 0..COUNT {
            insert(&index, n, &pin());
            acknowledged.store(n + 1, Ordering::Release);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(index.len(), COUNT as usize);
}

#[test]
fn racing_inserters_of_a_key_agree() {
    let index = Index::with_capacity(0);
    let next = AtomicU32::new(0);
    let keys: Vec<AtomicU64> = (0..COUNT).map(|_| AtomicU64::new(u64::MAX)).collect();
    let insert_all = || {
        let mut found = Vec::new();
        for n in 0..COUNT {
            let make = || {
                let slot = next.fetch_add(1, Ordering::Relaxed);
                keys[slot as usize].store(u64::from(n), Ordering::Relaxed);
                slot
            };
            let is_it = |slot: u32| keys[slot as usize].load(Ordering::Relaxed) == u64::from(n);
            found.push(index.get_or_insert_with(hash(n), is_it, make, &pin()).slot());
        }
        found
    };
    let [one, other] = thread::scope(|scope| {
        let threads = [scope.spawn(insert_all), scope.spawn(insert_all)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(one, other);
    assert_eq!(next.into_inner(), COUNT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

    /// Few distinct fingerprints, so that buckets overflow, paths wrap round and fingerprints collide.
    #[test]
    fn it_is_a_map(commands in prop::collection::vec((0..3u8, 0..12u64, 0..8u64), 0..200)) {
        let (index, guard) = (Index::with_capacity(0), pin());
        let mut model = HashMap::new();
        let mut keys = Vec::new();
        for (command, at, key) in commands {
            let hash = WalletHash { index: at.wrapping_mul(0x1555_5555_5555_5555).max(1), key };
            match command {
                0 => {
                    let expected = model.get(&hash).copied();
                    prop_assert_eq!(index.lookup(hash, |slot| keys[slot as usize] == hash, &guard), expected);
                }
                1 => {
                    let new = keys.len() as u32;
                    let placed = index.get_or_insert_with(hash, |slot| keys[slot as usize] == hash, || new, &guard);
                    if let Placed::Inserted(_) = placed {
                        keys.push(hash);
                    }
                    let expected = *model.entry(hash).or_insert(new);
                    prop_assert_eq!(placed.slot(), expected);
                }
                _ => {
                    index.grow_step(&guard);
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        for (&hash, &slot) in &model {
            prop_assert_eq!(index.lookup(hash, |slot| keys[slot as usize] == hash, &guard), Some(slot));
        }
    }
}
