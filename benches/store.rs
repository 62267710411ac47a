//! What the store costs: finding wallets, admitting events, hashing ids.
//!
//! `cargo bench --bench store`; with `-- --test` each runs once, on small tables. Times are per element of a batch of [`BATCH`] unless
//! the name says otherwise.

#![expect(clippy::cast_precision_loss, reason = "for people to read")]

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use dashmap::DashMap;
use drawdown::store::hash::{Seed, WalletHash};
use drawdown::store::idempotency::{Claim, Idempotency};
use drawdown::store::index::Index;
use drawdown::store::slab::Slab;
use drawdown::store::{ZeroValid, pin};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const BATCH: usize = 32;

/// A wallet slot, as far as a lookup is concerned.
#[repr(C, align(64))]
#[derive(Default)]
struct Line {
    key: AtomicU64,
    value: AtomicU64,
    rest: [AtomicU64; 6],
}

// SAFETY: zero is a valid integer, and there is nothing to drop.
unsafe impl ZeroValid for Line {}

fn testing() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Table sizes: (name, count).
fn sizes() -> Vec<(&'static str, u64)> {
    if testing() { vec![("1k", 1_000)] } else { vec![("1M", 1_000_000), ("10M", 10_000_000)] }
}

/// A well-mixed function of `n`: stands for a keyed hash.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (n ^ (n >> 31)).clamp(1, u64::MAX - 1)
}

fn wallet(n: u64) -> WalletHash {
    WalletHash { index: mix(n), key: mix(!n) }
}

/// An endless, unforeseeable sequence of numbers below `count`.
fn random(count: u64) -> impl FnMut() -> u64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mix(state)) * u128::from(count)) >> 64) as u64
    }
}

fn what_does_finding_a_wallet_cost(criterion: &mut Criterion) {
    for (name, count) in sizes() {
        let mut group = criterion.benchmark_group(format!("what does it cost to find one of {name} wallets"));
        group.throughput(Throughput::Elements(BATCH as u64));
        in_index(&mut group, count);
        in_dashmap(&mut group, count);
        group.finish();
    }
}

fn in_index(group: &mut BenchmarkGroup<'_, WallTime>, count: u64) {
    let (index, slab) = (Index::with_capacity(0), Slab::<Line>::new());
    let is_it = |hash: WalletHash| {
        let slab = &slab;
        move |slot| slab.get(slot).key.load(Relaxed) == hash.key
    };
    for n in 0..count {
        let guard = pin();
        let make = || {
            let slot = slab.allocate();
            slab.get(slot).key.store(wallet(n).key, Relaxed);
            slot
        };
        index.get_or_insert_with(wallet(n), is_it(wallet(n)), make, &guard);
        if n % 64 == 0 {
            slab.prefault_step();
            index.grow_step(&guard);
        }
    }
    while index.grow_step(&pin()) {}
    println!("index: {:.1} bytes per wallet", index.bytes(&pin()) as f64 / count as f64);

    let mut next = random(count);
    let mut hashes = [wallet(0); BATCH];
    group.bench_function("one by one", |bencher| {
        bencher.iter(|| {
            hashes.fill_with(|| wallet(next()));
            let guard = pin();
            let mut sum = 0;
            for hash in hashes {
                let slot = index.lookup(hash, is_it(hash), &guard).expect("inserted above");
                sum += slab.get(slot).value.fetch_add(1, Relaxed);
            }
            sum
        });
    });
    group.bench_function("prefetched in two stages", |bencher| {
        bencher.iter(|| {
            hashes.fill_with(|| wallet(next()));
            let guard = pin();
            for hash in hashes {
                index.prefetch(hash, &guard);
            }
            // The first candidate is nearly always the right one; whether it is, is checked when its line has come.
            let slots = hashes.map(|hash| index.lookup(hash, |_| true, &guard));
            slots.iter().flatten().for_each(|&slot| slab.prefetch(slot));
            let mut sum = 0;
            for (hash, slot) in hashes.into_iter().zip(slots) {
                let line = slot.map(|slot| slab.get(slot)).filter(|line| line.key.load(Relaxed) == hash.key);
                sum += line.expect("inserted above").value.fetch_add(1, Relaxed);
            }
            sum
        });
    });
    group.bench_function("making up the hashes alone", |bencher| {
        bencher.iter(|| {
            hashes.fill_with(|| wallet(next()));
            black_box(hashes);
        });
    });
}

fn in_dashmap(group: &mut BenchmarkGroup<'_, WallTime>, count: u64) {
    let map: DashMap<u128, Arc<Line>> = DashMap::new();
    let key = |hash: WalletHash| u128::from(hash.index) << 64 | u128::from(hash.key);
    for n in 0..count {
        map.insert(key(wallet(n)), Arc::new(Line::default()));
    }
    let mut next = random(count);
    let mut hashes = [wallet(0); BATCH];
    group.bench_function("DashMap of Arc", |bencher| {
        bencher.iter(|| {
            hashes.fill_with(|| wallet(next()));
            let mut sum = 0;
            for hash in hashes {
                let line = Arc::clone(&map.get(&key(hash)).expect("inserted above"));
                sum += line.value.fetch_add(1, Relaxed) + line.rest[0].load(Relaxed);
            }
            sum
        });
    });
}

/// The table is kept at its size by a moving horizon, as in service.
fn what_does_the_idempotency_probe_cost(criterion: &mut Criterion) {
    for (name, count) in sizes() {
        let mut group = criterion.benchmark_group(format!("what does the idempotency probe cost beside {name} events"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let table = Idempotency::with_capacity(0);
        let mut lsn = 64;
        let mut admit = |ahead: bool, maintain: bool| {
            let fingerprints: [u64; BATCH] = std::array::from_fn(|n| mix(lsn + n as u64));
            let guard = pin();
            if ahead {
                for fingerprint in fingerprints {
                    table.prefetch(fingerprint, &guard);
                }
            }
            for fingerprint in fingerprints {
                match table.claim(fingerprint, &[], &guard) {
                    Claim::New(entry) => entry.finish(lsn),
                    other => panic!("{other:?}"),
                }
                lsn += 1;
            }
            if maintain {
                table.set_resident_horizon(lsn.saturating_sub(count));
                table.maintain(1, &guard);
            }
        };
        for _ in 0..count / BATCH as u64 {
            admit(false, true);
        }
        println!("idempotency: {:.1} bytes per event", table.bytes(&pin()) as f64 / count as f64);
        group.bench_function("new, maintenance included", |bencher| {
            bencher.iter(|| admit(false, true));
        });
        group.bench_function("new, prefetched, maintenance included", |bencher| {
            bencher.iter(|| admit(true, true));
        });
        while table.maintain(1000, &pin()) {}
        let mut next = random(count / 2);
        let mut again = |ahead: bool| {
            let fingerprints: [u64; BATCH] = std::array::from_fn(|_| mix(lsn - 1 - next()));
            let guard = pin();
            if ahead {
                for fingerprint in fingerprints {
                    table.prefetch(fingerprint, &guard);
                }
            }
            for fingerprint in fingerprints {
                assert!(matches!(table.claim(fingerprint, &[], &guard), Claim::Existing { .. }));
            }
        };
        group.bench_function("duplicate", |bencher| bencher.iter(|| again(false)));
        group.bench_function("duplicate, prefetched", |bencher| bencher.iter(|| again(true)));
        group.finish();
    }
    let mut group = criterion.benchmark_group("what does the idempotency probe cost when its line is cached");
    group.bench_function("new, given up", |bencher| {
        let table = Idempotency::with_capacity(0);
        let guard = pin();
        let mut n = 0;
        bencher.iter(|| {
            n = (n + 1) % 1024;
            match table.claim(mix(n), &[], &guard) {
                Claim::New(entry) => entry.give_up(),
                other => panic!("{other:?}"),
            }
        });
    });
    group.finish();
}

fn what_does_hashing_an_id_cost(criterion: &mut Criterion) {
    let seed = Seed::new([7; 32]);
    let text = [b'x'; 64];
    let mut group = criterion.benchmark_group("what does hashing an id cost");
    for len in [10, 20, 40] {
        group.bench_function(format!("wallet, {len} bytes"), |bencher| {
            bencher.iter(|| seed.wallet_hash(black_box(&text[..len]), black_box(3)));
        });
        group.bench_function(format!("event, source of 10 and id of {len} bytes"), |bencher| {
            bencher.iter(|| seed.event_fingerprint(black_box(&text[..10]), black_box(&text[..len])));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = what_does_hashing_an_id_cost, what_does_finding_a_wallet_cost, what_does_the_idempotency_probe_cost
}
criterion_main!(benches);
