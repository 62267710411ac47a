//! The index: from a wallet's hash to the handle of its slot.
//!
//! A table of buckets of one cache line, cut into shards by the hash's top bits. A lookup takes no lock and, as a rule, one
//! cache miss. Inserts are rare, one per wallet ever made; they lock their shard. Entries are never removed nor changed. The
//! index compares 64 bits of the hash; the caller's `is_it` compares the rest in the slot itself, whose line it needs anyway.
//! The engine looks wallets up, a batch at a time, with [`Index::prefetch`] ahead; the background thread calls
//! [`Index::grow_step`].
//!
//! A shard grows by itself when its fill passes a limit: a larger table is published in front (`chain`), the old
//! one's buckets are copied in steps, by each insert and by the background thread, then the old table is dropped. Nobody waits
//! for more than one step. The background thread begins early, at a fill different for each shard, and has the new table's
//! pages present before it publishes it.
//!
//! # Invariants
//! 1. An entry's slot is written before its fingerprint (Release), and both only once: whoever sees the fingerprint (Acquire)
//!    sees the slot, and what was written to the slot before the insert.
//! 2. Within a table an entry stands in the first free place of its path: from its home bucket on, each bucket from left to
//!    right. Nothing is removed, so a search ends at the first free place.
//! 3. A bucket that an entry had to pass over has `passed` set, before that entry became visible. So a search may also end at a
//!    full bucket without it.
//! 4. New entries go into the newest table only. The old table does not change during migration. It is unlinked when all its
//!    entries are in the newest. So one view of the chain, old tables included, contains every entry inserted before the view
//!    was taken.

use super::chain::Chain;
use super::hash::WalletHash;
use super::prefetch::prefetch;
use super::sync::{AtomicU32, AtomicU64, AtomicUsize, Guard, Mutex, MutexGuard, Ordering};
use super::zeroed::{Prefaulting, ZeroValid, ZeroedArray, each, good_len};
use crossbeam::utils::CachePadded;

/// Each shard grows alone, so this many divide the work of growing. More shards would make for tables smaller than a huge page.
const SHARD_BITS: u32 = if cfg!(any(test, miri, drawdown_loom)) { 1 } else { 4 };
const SHARDS: usize = 1 << SHARD_BITS;

/// Buckets in a shard's table at least.
const BUCKETS_MIN: usize = if cfg!(any(test, miri, drawdown_loom)) { 2 } else { 1 << 10 };

/// Entries in a bucket: what fits in a cache line.
const PLACES: usize = 5;

/// Old buckets that an insert copies. An old table is empty well before the new one is full.
const BUCKETS_PER_INSERT: usize = 2;

/// Old buckets that the background thread copies at once; an insert into the same shard waits that long: tens of microseconds.
const BUCKETS_PER_STEP: usize = if cfg!(any(test, miri, drawdown_loom)) { 2 } else { 256 };

/// How far ahead lines are fetched where many keys are entered.
const PREFETCHED: usize = 16;

/// Fill at which an insert makes a new table itself. Few searches go on to a second bucket then.
const FILL_MAX: Fill = Fill(82);
/// Fills at which the background thread begins, spread over the shards, so that they do not all hold two tables at once.
const FILL_EARLY: (Fill, Fill) = (Fill(68), Fill(78));

/// Hundredths of a table's places.
#[derive(Clone, Copy)]
struct Fill(usize);

impl Fill {
    fn of(self, table: &Table) -> usize {
        table.len() * PLACES * self.0 / 100
    }
}

/// See the module's documentation.
pub struct Index {
    shards: Box<[CachePadded<Shard>]>,
    /// A table that the background thread is preparing, and for which shard.
    preparing: Mutex<Option<(usize, Prefaulting<Bucket>)>>,
    /// The shard that the background thread looks at next. Relaxed: any will do.
    next_shard: AtomicUsize,
}

/// What [`Index::get_or_insert_with`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The key was there, with this slot.
    Found(u32),
    /// The key was inserted, with the slot that was made for it.
    Inserted(u32),
}

impl Placed {
    /// The key's slot.
    pub fn slot(self) -> u32 {
        match self {
            Placed::Found(slot) | Placed::Inserted(slot) => slot,
        }
    }
}

struct Shard {
    chain: Chain<Table>,
    /// Entries. Changed under the lock; Relaxed, for others take it as a hint.
    len: AtomicUsize,
    writer: Mutex<Writer>,
}

/// What only the holder of a shard's lock knows.
struct Writer {
    /// Buckets of the oldest table that have been copied.
    migrated: usize,
}

type Table = ZeroedArray<Bucket>;

#[cfg_attr(not(drawdown_loom), repr(C, align(64)))]
struct Bucket {
    /// 0 where free. Written once, under the shard's lock (Release), read by all (Acquire): invariant 1.
    fingerprints: [AtomicU64; PLACES],
    /// Written once, before the fingerprint; hence Relaxed.
    slots: [AtomicU32; PLACES],
    /// 1 if an entry whose path leads here stands further on. Written before that entry's fingerprint; hence Relaxed.
    passed: AtomicU32,
}

#[cfg(not(drawdown_loom))]
const _: () = assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);

// SAFETY: a bucket consists of integers, for which zero is valid, and there is nothing to drop.
unsafe impl ZeroValid for Bucket {
    #[cfg(drawdown_loom)]
    fn zero() -> Self {
        Bucket {
            fingerprints: std::array::from_fn(|_| AtomicU64::new(0)),
            slots: std::array::from_fn(|_| AtomicU32::new(0)),
            passed: AtomicU32::new(0),
        }
    }
}

impl Index {
    /// An index that takes `wallets` before it has to grow.
    pub fn with_capacity(wallets: usize) -> Self {
        let buckets = (wallets / SHARDS / PLACES * 100).div_ceil(FILL_EARLY.0.0).max(BUCKETS_MIN);
        Index {
            shards: each(SHARDS, SHARDS * buckets * size_of::<Bucket>(), || CachePadded::new(Shard::new(buckets))),
            preparing: Mutex::new(None),
            next_shard: AtomicUsize::new(0),
        }
    }

    /// The slot of the key that hashes to `hash` and of which `is_it` says yes. Never blocks.
    #[inline]
    pub fn lookup(&self, hash: WalletHash, is_it: impl FnMut(u32) -> bool, guard: &Guard) -> Option<u32> {
        self.shard(hash).find(hash.index, is_it, guard)
    }

    /// The slot that is probably the key's: the first one with its 64 bits of hash. Touches no slot, so that the caller can fetch the
    /// slot's line meanwhile; whether it is the one is to be seen there. Where it is not, or there is none, [`Index::lookup`] decides.
    #[inline]
    pub fn candidate(&self, hash: WalletHash, guard: &Guard) -> Option<u32> {
        search(self.shard(hash).chain.newest(guard), hash.index, &mut |_| true)
    }

    /// Fetches the cache line at which a lookup of `hash` begins.
    #[inline]
    pub fn prefetch(&self, hash: WalletHash, guard: &Guard) {
        let table = self.shard(hash).chain.newest(guard);
        prefetch(&raw const table[home(table, hash.index)]);
    }

    /// The slot of the key, inserted if it is not there yet. `make` is called only then, once, under the shard's lock, before
    /// anybody can find the key; it must not use the index. Two callers with one key get one slot.
    pub fn get_or_insert_with(
        &self,
        hash: WalletHash,
        mut is_it: impl FnMut(u32) -> bool,
        make: impl FnOnce() -> u32,
        guard: &Guard,
    ) -> Placed {
        let shard = self.shard(hash);
        if let Some(slot) = shard.find(hash.index, &mut is_it, guard) {
            return Placed::Found(slot);
        }
        let mut writer = shard.lock();
        if let Some(slot) = shard.find(hash.index, &mut is_it, guard) {
            return Placed::Found(slot);
        }
        let slot = make();
        shard.insert(&mut writer, hash.index, slot, guard);
        Placed::Inserted(slot)
    }

    /// Enters keys that are certain not to be there, with their slots: recovery knows that what it reads holds each wallet once. Many at
    /// once, for it takes each shard's lock once; the order of `entries` changes.
    pub fn insert_new(&self, entries: &mut [(WalletHash, u32)], guard: &Guard) {
        entries.sort_unstable_by_key(|(hash, _)| hash.index >> (u64::BITS - SHARD_BITS));
        for of_shard in entries.chunk_by(|(a, _), (b, _)| std::ptr::eq(self.shard(*a), self.shard(*b))) {
            let shard = self.shard(of_shard[0].0);
            let mut writer = shard.lock();
            for (at, (hash, slot)) in of_shard.iter().enumerate() {
                if let Some((ahead, _)) = of_shard.get(at + PREFETCHED) {
                    self.prefetch(*ahead, guard);
                }
                shard.insert(&mut writer, hash.index, *slot, guard);
            }
        }
    }

    /// Does one bounded piece of growing. Answers whether it found any to do. For one background thread; should it never be
    /// called, inserts do it all.
    pub fn grow_step(&self, guard: &Guard) -> bool {
        let mut preparing = self.preparing.lock().expect("no panic while preparing");
        if let Some((number, mut table)) = preparing.take() {
            if table.step() {
                self.shards[number].take_prepared(table.finish(), guard);
            } else {
                *preparing = Some((number, table));
            }
            return true;
        }
        let first = self.next_shard.load(Ordering::Relaxed);
        for number in (first..first + SHARDS).map(|number| number % SHARDS) {
            let shard = &self.shards[number];
            self.next_shard.store(number, Ordering::Relaxed);
            if shard.chain.sweep() || shard.migrate_step(guard) {
                return true;
            }
            if let Some(len) = shard.wants_table(early(number), guard) {
                *preparing = Some((number, Prefaulting::new(Table::new(len))));
                return true;
            }
        }
        false
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len.load(Ordering::Relaxed)).sum()
    }

    /// There are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory in tables.
    pub fn bytes(&self, guard: &Guard) -> usize {
        let of_shard = |shard: &CachePadded<Shard>| {
            let view = shard.chain.view(guard);
            size_of_val::<[Bucket]>(view.newest())
                + view.older().map(|table| size_of_val::<[Bucket]>(table)).sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
    }

    #[inline]
    fn shard(&self, hash: WalletHash) -> &Shard {
        &self.shards[(hash.index >> (u64::BITS - SHARD_BITS)) as usize]
    }
}

fn early(shard: usize) -> Fill {
    let (from, to) = FILL_EARLY;
    Fill(from.0 + (to.0 - from.0) * shard / SHARDS)
}

impl Shard {
    fn new(buckets: usize) -> Self {
        Shard {
            chain: Chain::new(Prefaulting::whole(good_len(buckets, size_of::<Bucket>()))),
            len: AtomicUsize::new(0),
            writer: Mutex::new(Writer { migrated: 0 }),
        }
    }

    /// During a migration the entries of the old table count too (invariant 4); which table is searched first decides about
    /// speed only.
    #[inline]
    fn find(&self, fingerprint: u64, mut is_it: impl FnMut(u32) -> bool, guard: &Guard) -> Option<u32> {
        if let Some(table) = self.chain.sole(guard) {
            return search(table, fingerprint, &mut is_it);
        }
        let view = self.chain.view(guard);
        search(view.newest(), fingerprint, &mut is_it)
            .or_else(|| view.older().find_map(|table| search(table, fingerprint, &mut is_it)))
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("a panic while a wallet was made has ended the process")
    }

    fn insert(&self, writer: &mut Writer, fingerprint: u64, slot: u32, guard: &Guard) {
        let view = self.chain.view(guard);
        place(view.newest(), fingerprint, slot);
        let len = self.len.load(Ordering::Relaxed) + 1;
        self.len.store(len, Ordering::Relaxed);
        if let Some(old) = view.oldest() {
            self.migrate(writer, old, view.newest(), BUCKETS_PER_INSERT, guard);
            assert!(len < Fill(95).of(view.newest()), "an old table is empty before the new one is full");
        } else if len >= FILL_MAX.of(view.newest()) {
            self.chain.publish(Table::new(larger(view.newest().len())));
        }
    }

    /// Copies the next `count` buckets of `old`; the last ones end the migration.
    fn migrate(&self, writer: &mut Writer, old: &Table, new: &Table, count: usize, guard: &Guard) {
        let end = (writer.migrated + count).min(old.len());
        for bucket in &old[writer.migrated..end] {
            for (fingerprint, slot) in bucket.fingerprints.iter().zip(&bucket.slots) {
                // Relaxed: written under the lock that we hold.
                match fingerprint.load(Ordering::Relaxed) {
                    0 => break,
                    fingerprint => place(new, fingerprint, slot.load(Ordering::Relaxed)),
                }
            }
        }
        writer.migrated = end;
        if end == old.len() {
            writer.migrated = 0;
            self.chain.unlink_oldest(guard);
        }
    }

    fn migrate_step(&self, guard: &Guard) -> bool {
        if self.chain.view(guard).oldest().is_none() {
            return false;
        }
        let mut writer = self.lock();
        let view = self.chain.view(guard);
        if let Some(old) = view.oldest() {
            self.migrate(&mut writer, old, view.newest(), BUCKETS_PER_STEP, guard);
        }
        true
    }

    /// The length that the next table should have, if it is time to prepare it.
    fn wants_table(&self, early: Fill, guard: &Guard) -> Option<usize> {
        let newest = self.chain.newest(guard);
        (self.len.load(Ordering::Relaxed) >= early.of(newest)).then(|| larger(newest.len()))
    }

    /// Publishes a prepared table, unless an insert was faster and has published one of its own.
    fn take_prepared(&self, table: Table, guard: &Guard) {
        let _writer = self.lock();
        let view = self.chain.view(guard);
        if view.oldest().is_none() && table.len() > view.newest().len() {
            self.chain.publish(table);
        }
    }
}

/// By three eighths: small steps keep the average fill high, and growing is spread over so many inserts that its cost does not
/// matter.
fn larger(buckets: usize) -> usize {
    good_len(buckets + buckets.div_ceil(8) * 3, size_of::<Bucket>())
}

/// The bucket at which the path of a fingerprint begins: its bits below the shard's, scaled to the table's length.
#[inline]
fn home(table: &Table, fingerprint: u64) -> usize {
    ((u128::from(fingerprint << SHARD_BITS) * table.len() as u128) >> 64) as usize
}

#[inline]
fn search(table: &Table, fingerprint: u64, is_it: &mut impl FnMut(u32) -> bool) -> Option<u32> {
    let home = home(table, fingerprint);
    for bucket in table[home..].iter().chain(&table[..home]) {
        for (place, slot) in bucket.fingerprints.iter().zip(&bucket.slots) {
            let found = place.load(Ordering::Acquire); // with place
            if found == fingerprint {
                let slot = slot.load(Ordering::Relaxed); // invariant 1
                if is_it(slot) {
                    return Some(slot);
                }
            } else if found == 0 {
                return None;
            }
        }
        if bucket.passed.load(Ordering::Relaxed) == 0 {
            return None;
        }
    }
    None
}

/// Puts an entry in the first free place of its path. Under the shard's lock.
fn place(table: &Table, fingerprint: u64, slot: u32) {
    let home = home(table, fingerprint);
    for bucket in table[home..].iter().chain(&table[..home]) {
        for (place, value) in bucket.fingerprints.iter().zip(&bucket.slots) {
            if place.load(Ordering::Relaxed) == 0 {
                value.store(slot, Ordering::Relaxed);
                place.store(fingerprint, Ordering::Release); // with search
                return;
            }
        }
        bucket.passed.store(1, Ordering::Relaxed);
    }
    unreachable!("a table is replaced before it is full");
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests;

#[cfg(test)]
#[cfg(drawdown_loom)]
mod loom_tests;
