//! The idempotency table: from an event's fingerprint to the LSN of the original.
//!
//! An event is admitted once. Whoever processes it first *claims* its fingerprint, which stands in the table as in flight until
//! the claim is *finished* with the LSN of the event's record, or *given up* because the event was rejected and left no trace.
//! Whoever comes second is told of the first. Sixteen bytes an entry, one cache miss a claim, no locks. The fingerprint is 64
//! bits of a keyed hash ([`super::hash`]); the log holds the whole id, and the caller compares it. Where two ids share a
//! fingerprint, the caller claims again and names the LSNs that turned out to be other events.
//!
//! An entry's age is its LSN: below the *resident horizon* ([`Idempotency::set_resident_horizon`]) it counts as absent, and the next
//! rebuild leaves it out. What lies below has expired, or is kept elsewhere (`identities`): the table cannot tell, so whoever
//! claims a new event asks there next.
//!
//! # How it works
//! The table is cut into shards. A shard's table is an array of entries with open addressing: an entry's *path* begins at the
//! cache line that its fingerprint points to and goes on entry by entry. It only fills: an entry once taken keeps its
//! fingerprint.
//!
//! | fingerprint | LSN | the entry is | next |
//! |---|---|---|---|
//! | 0 | 0 | free | taken: CAS fingerprint; or sealed |
//! | `SEAL` | 0 | sealed: was free when a larger table took over | final |
//! | f | 0 = `IN_FLIGHT` | claimed | finished or given up, by the claimer alone |
//! | f | >= 64 | finished | final |
//! | f | 1 = `DEAD` | given up | claimed again by CAS on the LSN; or gone |
//! | f | 2 = `GONE` | given up for good in this table | final |
//!
//! When a table has filled past its limit, a new one, large enough for what is still alive, is published in front of it
//! (`chain`). From then on each thread that knows of the new table, before it goes on to that, *closes* its
//! fingerprint in the old one: it walks the path to its end, turning dead entries of this fingerprint into gone ones, and seals
//! the free entry at the end. A maintainer walks the whole old table in steps, closes everything and copies finished entries;
//! entries in flight it comes back for. When nothing is left open, the old table is unlinked.
//!
//! # Invariants
//! 1. *Paths end at the first free or sealed entry.* An entry is taken only where it is the first free one of its path, and
//!    none becomes free again. So two threads that add the same fingerprint to one table try the same entry, and the one whose
//!    CAS loses sees the other's claim.
//! 2. *At most one claim.* A fingerprint is added, or a dead entry of it revived, only after a walk to the end of the path in
//!    the newest table found it neither in flight nor finished (other than what the caller named, or expired). Reviving is
//!    preferred to adding, and the first dead entry is taken: so of two threads that find it dead, both CAS the same LSN. One
//!    that adds has found no dead entry, which contradicts that another found one: entries die only in the hands of their
//!    claimer, and to be seen in flight is to be waited for.
//! 3. *Closed is closed.* After a thread has walked a path in an older table to its end, that fingerprint can be neither added
//!    there (the end is sealed, or the table has no free entry) nor revived (its dead entries are gone). A thread that does not
//!    know of the newer table and meets a seal or a gone entry of its fingerprint starts again with a fresh view: sealing and
//!    burying are Release, meeting them is Acquire, so the fresh view contains the newer table.
//! 4. *Oldest first.* A claim walks the tables of a consistent view from the oldest to the newest and stops at the first
//!    answer. It adds to the newest only after it has closed its fingerprint in all the older ones.
//! 5. *Nothing alive is lost.* The maintainer leaves an entry of the old table behind only in a final state: sealed, gone, or
//!    finished and (unless expired) copied to the newest table. Copies precede the unlinking (Release), and a view without the
//!    old table (Acquire) contains them. A `finish` that races with the maintainer is either seen, and copied, or the entry is
//!    seen in flight, and looked at again.
//! 6. *An entry in flight is never in an unlinked table*: follows from 5. The claimer's reference stays good, and its `finish`
//!    or `give_up` acts on the very entry that it claimed, whichever table that is in.
//!
//! Because a copy and its original may both be in view, and because the order of entries of one fingerprint may differ between
//! tables, the caller passes over other events by their LSNs, which name them for good, rather than by counting.
//!
//! # What it costs
//! A claim walks one cache line, seldom more. Growing is the background thread's work ([`Idempotency::maintain`]), which has
//! new tables' pages present before it publishes them. Should it fall behind, claims take over bounded pieces of it; they never
//! wait for it.

mod shard;
mod table;

use super::hash::reserved;
use super::sync::{AtomicU64, AtomicUsize, Guard, Mutex, Ordering};
use super::zeroed::{Prefaulting, ZeroedArray, each};
use crossbeam::utils::CachePadded;
use shard::Shard;
use table::{Cell, DEAD, GONE, IN_FLIGHT, Table};

/// The smallest LSN that an entry can hold: those below are states.
pub const LSN_MIN: u64 = 64;

/// Each shard grows alone. More shards would make for tables smaller than a huge page.
const SHARD_BITS: u32 = if cfg!(any(test, miri, drawdown_loom)) { 1 } else { 4 };
const SHARDS: usize = 1 << SHARD_BITS;

/// See the module's documentation.
pub struct Idempotency {
    shards: Box<[CachePadded<Shard>]>,
    /// Entries below it count as absent. Only rises. Release and Acquire: what was done with those entries before it rose is known to
    /// whoever misses them, because they read it or because they meet a table without them (invariant 5). To see it a moment late is to
    /// remember an event a moment longer.
    horizon: AtomicU64,
    /// A table that the background thread is preparing, and for which shard.
    preparing: Mutex<Option<(usize, Prefaulting<Cell>)>>,
    /// The shard that the background thread looks at next. Relaxed: any will do.
    next_shard: AtomicUsize,
}

/// What [`Idempotency::claim`] came to.
#[derive(Debug)]
pub enum Claim<'g> {
    /// The event is new, and now in flight in the caller's hands.
    New(Entry<'g>),
    /// The fingerprint belongs to the event whose record is at this LSN: the same one, or one to pass over.
    Existing {
        /// Where the original is. Perhaps not durable yet.
        lsn: u64,
    },
    /// Somebody (perhaps the caller) holds a claim on the fingerprint. To be asked again, and claimed again if it was given up.
    InFlight(EntryRef<'g>),
}

/// What [`Idempotency::lookup`] found.
#[derive(Debug)]
pub enum Found<'g> {
    /// No such event.
    Absent,
    /// As in [`Claim::Existing`].
    Finished {
        /// Where the original is. Perhaps not durable yet.
        lsn: u64,
    },
    /// As in [`Claim::InFlight`].
    InFlight(EntryRef<'g>),
}

/// A claim: to be finished or given up. Dropping it gives it up.
#[must_use = "dropping a claim gives it up"]
#[derive(Debug)]
pub struct Entry<'g> {
    cell: &'g Cell,
}

/// Somebody's claim.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'g> {
    cell: &'g Cell,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is still held.
    InFlight,
    /// It was finished with this LSN.
    Finished(u64),
    /// It was given up: claim it yourself.
    GivenUp,
}

impl Entry<'_> {
    /// The event is in the log at `lsn`.
    #[inline]
    pub fn finish(self, lsn: u64) {
        assert!(lsn >= LSN_MIN);
        self.cell.settle(lsn);
        std::mem::forget(self);
    }

    /// The event was rejected: it may come again.
    pub fn give_up(self) {
        drop(self);
    }

    /// For telling one's own claims from others'.
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef { cell: self.cell }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.cell.settle(DEAD);
    }
}

impl EntryRef<'_> {
    /// What became of the claim by now.
    #[inline]
    pub fn fate(&self) -> Fate {
        match self.cell.lsn() {
            IN_FLIGHT => Fate::InFlight,
            DEAD | GONE => Fate::GivenUp,
            lsn => Fate::Finished(lsn),
        }
    }
}

impl PartialEq for EntryRef<'_> {
    /// The same entry.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.cell, other.cell)
    }
}

impl Eq for EntryRef<'_> {}

impl Idempotency {
    /// A table that takes `events` before it has to grow.
    pub fn with_capacity(events: usize) -> Self {
        Idempotency {
            shards: each(SHARDS, events * 24, || CachePadded::new(Shard::with_capacity(events / SHARDS))),
            horizon: AtomicU64::new(0),
            preparing: Mutex::new(None),
            next_shard: AtomicUsize::new(0),
        }
    }

    /// Claims a fingerprint, unless an event has it that is not expired and not among `others`: LSNs of events that share the
    /// fingerprint and were found to be different ones. Never blocks.
    #[inline]
    pub fn claim<'g>(&'g self, fingerprint: u64, others: &[u64], guard: &'g Guard) -> Claim<'g> {
        assert!(!reserved(fingerprint));
        self.shard(fingerprint).claim(fingerprint, self.resident_horizon(), |lsn| others.contains(&lsn), guard)
    }

    /// Looks for an event without claiming it.
    pub fn lookup<'g>(&'g self, fingerprint: u64, others: &[u64], guard: &'g Guard) -> Found<'g> {
        assert!(!reserved(fingerprint));
        self.shard(fingerprint).lookup(fingerprint, self.resident_horizon(), |lsn| others.contains(&lsn), guard)
    }

    /// Enters an event that recovery read from the log. To enter the same record twice changes nothing.
    pub fn insert_replayed(&self, fingerprint: u64, lsn: u64, guard: &Guard) {
        assert!(!reserved(fingerprint));
        assert!(lsn >= LSN_MIN);
        let horizon = self.resident_horizon();
        if lsn < horizon {
            return;
        }
        // Two records with one fingerprint are two events. So every LSN but its own belongs to another one.
        loop {
            match self.shard(fingerprint).claim(fingerprint, horizon, |other| other != lsn, guard) {
                Claim::New(entry) => return entry.finish(lsn),
                Claim::Existing { .. } => return,
                // Another thread of recovery is entering the other event, or the same one.
                Claim::InFlight(_) => super::sync::spin(),
            }
        }
    }

    /// Fetches the cache line at which a claim begins.
    #[inline]
    pub fn prefetch(&self, fingerprint: u64, guard: &Guard) {
        self.shard(fingerprint).prefetch(fingerprint, guard);
    }

    /// From now on entries below `lsn` count as absent. The horizon never falls.
    pub fn set_resident_horizon(&self, lsn: u64) {
        // Release, with `resident_horizon`.
        self.horizon.fetch_max(lsn, Ordering::Release);
    }

    /// Entries below it count as absent.
    #[inline]
    pub fn resident_horizon(&self) -> u64 {
        // Acquire, with `set_resident_horizon`.
        self.horizon.load(Ordering::Acquire)
    }

    /// Does at most `steps` bounded pieces of growing and clearing. Answers whether it found any to do. For one background
    /// thread.
    pub fn maintain(&self, steps: usize, guard: &Guard) -> bool {
        (0..steps).take_while(|_| self.maintain_step(guard)).count() > 0
    }

    fn maintain_step(&self, guard: &Guard) -> bool {
        let mut preparing = self.preparing.lock().expect("no panic while preparing");
        if let Some((number, mut table)) = preparing.take() {
            if table.step() {
                self.shards[number].publish_prepared(table.finish(), guard);
            } else {
                *preparing = Some((number, table));
            }
            return true;
        }
        let first = self.next_shard.load(Ordering::Relaxed);
        for number in (first..first + SHARDS).map(|number| number % SHARDS) {
            let shard = &self.shards[number];
            self.next_shard.store(number, Ordering::Relaxed);
            if shard.maintain_step(self.resident_horizon(), guard) {
                return true;
            }
            if let Some(len) = shard.wants_table(number, self.resident_horizon(), guard) {
                *preparing = Some((number, Prefaulting::new(ZeroedArray::new(len))));
                return true;
            }
        }
        false
    }

    /// About how many entries are taken, expired and given up ones included.
    pub fn len(&self, guard: &Guard) -> usize {
        self.shards.iter().map(|shard| shard.chain.view(guard).newest().taken()).sum()
    }

    /// About how many entries count as present: of those taken so many as in a part of each table.
    pub fn alive(&self, guard: &Guard) -> usize {
        let horizon = self.resident_horizon();
        let of_shard = |shard: &CachePadded<Shard>| {
            let view = shard.chain.view(guard);
            let tables = view.older().chain([view.newest()]);
            tables.map(|table| table.alive_of_taken(shard::SAMPLE.max(table::LEN_MIN), horizon)).sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// Bytes of memory in tables.
    pub fn bytes(&self, guard: &Guard) -> usize {
        let of_shard = |shard: &CachePadded<Shard>| {
            let view = shard.chain.view(guard);
            view.newest().bytes() + view.older().map(Table::bytes).sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// Has the first shard move to a new table, for models of what goes on around it.
    #[cfg(all(test, drawdown_loom))]
    pub(crate) fn grow_for_a_model(&self) {
        self.shards[0].grow(2);
    }

    #[inline]
    fn shard(&self, fingerprint: u64) -> &Shard {
        &self.shards[(fingerprint >> (u64::BITS - SHARD_BITS)) as usize]
    }
}

#[cfg(test)]
#[cfg(not(drawdown_loom))]
mod tests;

#[cfg(test)]
#[cfg(drawdown_loom)]
mod loom_tests;
