//! One table of a shard, and the walk along a fingerprint's path. The invariants are the parent module's.

use super::SHARD_BITS;
use crate::store::prefetch::prefetch;
use crate::store::sync::{AtomicU64, AtomicUsize, Ordering};
use crate::store::zeroed::{ZeroValid, ZeroedArray, good_len};
use crossbeam::utils::CachePadded;

/// Fingerprint of an entry that nobody has taken.
pub(super) const FREE: u64 = 0;
/// Fingerprint of an entry that nobody will ever take.
pub(super) const SEAL: u64 = u64::MAX;

/// LSN of an entry whose claim is held.
pub(super) const IN_FLIGHT: u64 = 0;
/// LSN of an entry whose claim was given up.
pub(super) const DEAD: u64 = 1;
/// LSN of an entry that was given up, in a table that takes no claims any more.
pub(super) const GONE: u64 = 2;

/// Entries in a cache line. Paths begin at its first.
const PER_LINE: usize = if cfg!(drawdown_loom) { 1 } else { 4 };

/// Entries in a table at least.
pub(super) const LEN_MIN: usize = if cfg!(drawdown_loom) {
    2
} else if cfg!(any(test, miri)) {
    8
} else {
    1 << 12
};

/// The length of a table that holds at least `len` entries.
pub(super) fn table_len(len: usize) -> usize {
    good_len(len.max(LEN_MIN).next_multiple_of(PER_LINE), size_of::<Cell>())
}

/// An entry.
#[derive(Debug)]
#[cfg_attr(not(drawdown_loom), repr(C, align(16)))]
pub(super) struct Cell {
    /// Changes once. Taking it publishes nothing: the LSN of a free entry is `IN_FLIGHT` already. Hence Relaxed. Sealing it is
    /// Release: invariant 3.
    fingerprint: AtomicU64,
    /// Written by the claimer (Release: the event's record comes before), and by CAS from `DEAD`.
    lsn: AtomicU64,
}

// SAFETY: a cell consists of integers, for which zero is valid, and there is nothing to drop.
unsafe impl ZeroValid for Cell {
    #[cfg(drawdown_loom)]
    fn zero() -> Self {
        Cell { fingerprint: AtomicU64::new(FREE), lsn: AtomicU64::new(IN_FLIGHT) }
    }
}

impl Cell {
    /// Acquire, with `seal` (invariant 3).
    #[inline]
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint.load(Ordering::Acquire)
    }

    /// Acquire, with `settle` (the event's record is written) and `bury` (invariant 3).
    #[inline]
    pub(super) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }

    /// The claimer's last word.
    #[inline]
    pub(super) fn settle(&self, lsn: u64) {
        debug_assert_eq!(self.lsn.load(Ordering::Relaxed), IN_FLIGHT);
        // Release, with `lsn`.
        self.lsn.store(lsn, Ordering::Release);
    }

    #[inline]
    fn take(&self, fingerprint: u64) -> bool {
        // Relaxed: see the field. Whoever loses reads again, with Acquire.
        self.fingerprint.compare_exchange(FREE, fingerprint, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Closes a free entry.
    fn seal(&self) -> bool {
        // Release, with `fingerprint`: whoever meets the seal finds the newer table, which this thread has seen.
        self.fingerprint.compare_exchange(FREE, SEAL, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    fn revive(&self) -> bool {
        // Relaxed: a claim that was given up left nothing behind to be seen. Whoever loses reads again, with Acquire.
        self.lsn.compare_exchange(DEAD, IN_FLIGHT, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Closes an entry that was given up.
    fn bury(&self) -> bool {
        // Release, with `lsn`: as for `seal`.
        self.lsn.compare_exchange(DEAD, GONE, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Brings the entry to a final state, unless it is in flight.
    pub(super) fn close(&self) -> Left {
        loop {
            match self.fingerprint() {
                FREE if self.seal() => return Left::Nothing,
                FREE => {} // taken, or sealed by another
                SEAL => return Left::Nothing,
                fingerprint => match self.lsn() {
                    IN_FLIGHT => return Left::InFlight,
                    DEAD if self.bury() => return Left::Nothing,
                    DEAD => {} // revived, or buried by another
                    GONE => return Left::Nothing,
                    lsn => return Left::Finished { fingerprint, lsn },
                },
            }
        }
    }

    /// Nothing will change any more.
    pub(super) fn is_final(&self) -> bool {
        match self.fingerprint() {
            FREE => false,
            SEAL => true,
            _ => !matches!(self.lsn(), IN_FLIGHT | DEAD),
        }
    }
}

/// In flight, or finished and not below the horizon.
fn is_alive(cell: &Cell, horizon: u64) -> bool {
    match (cell.fingerprint(), cell.lsn()) {
        (FREE | SEAL, _) | (_, DEAD | GONE) => false,
        (_, lsn) => lsn == IN_FLIGHT || lsn >= horizon,
    }
}

/// What closing an entry leaves to be done.
pub(super) enum Left {
    /// It cannot be closed yet.
    InFlight,
    /// Nothing to keep.
    Nothing,
    /// An event to keep, unless it is expired.
    Finished { fingerprint: u64, lsn: u64 },
}

pub(super) struct Table {
    cells: ZeroedArray<Cell>,
    /// Entries taken, counted in samples. Relaxed: a hint. On a line of its own, for it changes all the time.
    taken: CachePadded<AtomicUsize>,
}

/// What a walk came to.
pub(super) enum Walk<'g> {
    /// The fingerprint belongs to the event at this LSN.
    Finished(u64),
    /// Somebody holds a claim.
    InFlight(&'g Cell),
    /// Claimed now by the caller.
    Claimed {
        /// The entry.
        cell: &'g Cell,
        /// The table's count has gone up: time to see whether it should grow.
        counted: bool,
    },
    /// Nothing in this table, and in an older table: nothing ever will be.
    Absent,
    /// The table is not the newest any more.
    Outdated,
    /// Nothing in this table, and no room.
    Full,
}

/// What a walk may do at the end of the path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// Take the entry: the table is the newest one that the caller knows.
    Claim,
    /// See to it that nobody takes an entry: the caller goes on to a newer table.
    Close,
    /// Nothing.
    Look,
}

impl Table {
    pub(super) fn new(cells: ZeroedArray<Cell>) -> Self {
        assert!(cells.len().is_multiple_of(PER_LINE));
        Table { cells, taken: CachePadded::new(AtomicUsize::new(0)) }
    }

    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val::<[Cell]>(&self.cells)
    }

    /// About how many entries are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Counts an entry taken. Large tables count one in sixteen, sixteenfold: threads would contend for an exact count. Answers
    /// whether it counted.
    #[inline]
    fn count(&self, fingerprint: u64) -> bool {
        let weight = if self.cells.len() < 1 << 14 { 1 } else { 16 };
        let counts = fingerprint.is_multiple_of(weight);
        if counts {
            self.taken.fetch_add(weight as usize, Ordering::Relaxed);
        }
        counts
    }

    /// At least `percent` of the entries are taken.
    #[inline]
    pub(super) fn is_filled(&self, percent: usize) -> bool {
        self.taken() * 100 >= self.cells.len() * percent
    }

    /// About how many entries are in flight or finished and not expired, judging by the first `sample` ones: fingerprints are
    /// random, so one stretch of the table is like another.
    pub(super) fn alive(&self, sample: usize, horizon: u64) -> usize {
        let sample = &self.cells[..sample.min(self.cells.len())];
        let alive = sample.iter().filter(|cell| is_alive(cell, horizon)).count();
        (self.cells.len() as u128 * alive as u128).div_ceil(sample.len() as u128) as usize
    }

    /// As [`Table::alive`], as a part of those taken.
    pub(super) fn alive_of_taken(&self, sample: usize, horizon: u64) -> usize {
        let sample = &self.cells[..sample.min(self.cells.len())];
        let taken = sample.iter().filter(|cell| !matches!(cell.fingerprint(), FREE | SEAL)).count();
        let alive = sample.iter().filter(|cell| is_alive(cell, horizon)).count();
        match taken {
            0 => self.taken(),
            _ => (self.taken() as u128 * alive as u128).div_ceil(taken as u128) as usize,
        }
    }

    /// Enters a finished event from an older table. False if there is no room. By the holder of the lock, in the newest table:
    /// so nothing is sealed.
    pub(super) fn copy(&self, fingerprint: u64, lsn: u64) -> bool {
        let (before, from_home) = self.cells.split_at(self.home(fingerprint));
        match from_home.iter().chain(before).find(|cell| cell.fingerprint() == FREE && cell.take(fingerprint)) {
            Some(cell) => {
                // For a moment it looked like a claim: harmless, whoever saw that asks again.
                cell.settle(lsn);
                self.count(fingerprint);
                true
            }
            None => false,
        }
    }

    /// The first entry of a fingerprint's path: the bits below the shard's, scaled to the number of lines.
    #[inline]
    fn home(&self, fingerprint: u64) -> usize {
        let lines = (self.cells.len() / PER_LINE) as u128;
        let line = (u128::from(fingerprint << SHARD_BITS) * lines) >> 64;
        line as usize * PER_LINE
    }

    #[inline]
    pub(super) fn prefetch(&self, fingerprint: u64) {
        prefetch(&raw const self.cells[self.home(fingerprint)]);
    }

    /// Walks the path of `fingerprint`. Finished entries below `horizon`, and those of which `is_other` says yes, count as
    /// absent.
    #[inline]
    pub(super) fn walk<'g>(
        &'g self,
        fingerprint: u64,
        horizon: u64,
        is_other: &impl Fn(u64) -> bool,
        intent: Intent,
    ) -> Walk<'g> {
        let home = self.home(fingerprint);
        let mut dead = None;
        let (before, from_home) = self.cells.split_at(home);
        for cell in from_home.iter().chain(before) {
            let mut found = cell.fingerprint();
            // Another event's entry, as most are that are not the path's end.
            if found != FREE && found != fingerprint && found != SEAL {
                continue;
            }
            if found == FREE {
                // A dead entry is revived in preference to taking another (invariant 2).
                if let Some(dead) = dead {
                    return self.revive(dead, fingerprint, horizon, is_other, intent);
                }
                match intent {
                    Intent::Claim if cell.take(fingerprint) => {
                        return Walk::Claimed { cell, counted: self.count(fingerprint) };
                    }
                    Intent::Close if cell.seal() => return Walk::Absent,
                    Intent::Look => return Walk::Absent,
                    // Another was faster.
                    Intent::Claim | Intent::Close => found = cell.fingerprint(),
                }
            }
            if found == SEAL {
                return if intent == Intent::Claim { Walk::Outdated } else { Walk::Absent };
            }
            if found != fingerprint {
                continue; // another was faster with another event
            }
            match Self::judge(cell, horizon, is_other, intent) {
                Verdict::Answer(walk) => return walk,
                Verdict::PassOver => {}
                Verdict::Dead => dead = dead.or(Some(cell)),
            }
        }
        // The path is the whole table.
        match (intent, dead) {
            (Intent::Claim, Some(dead)) => self.revive(dead, fingerprint, horizon, is_other, intent),
            (Intent::Claim, None) => Walk::Full,
            (Intent::Close | Intent::Look, _) => Walk::Absent,
        }
    }

    /// What an entry of the fingerprint means for the walk.
    #[inline]
    fn judge<'g>(cell: &'g Cell, horizon: u64, is_other: &impl Fn(u64) -> bool, intent: Intent) -> Verdict<'g> {
        loop {
            return match (cell.lsn(), intent) {
                (IN_FLIGHT, _) => Verdict::Answer(Walk::InFlight(cell)),
                (GONE, Intent::Claim) => Verdict::Answer(Walk::Outdated),
                (DEAD, Intent::Claim) => Verdict::Dead,
                (DEAD, Intent::Close) if !cell.bury() => continue, // revived, or buried by another
                (DEAD | GONE, Intent::Close | Intent::Look) => Verdict::PassOver,
                (lsn, _) if lsn < horizon || is_other(lsn) => Verdict::PassOver,
                (lsn, _) => Verdict::Answer(Walk::Finished(lsn)),
            };
        }
    }

    #[cold]
    fn revive<'g>(
        &'g self,
        dead: &'g Cell,
        fingerprint: u64,
        horizon: u64,
        is_other: &impl Fn(u64) -> bool,
        intent: Intent,
    ) -> Walk<'g> {
        if dead.revive() {
            Walk::Claimed { cell: dead, counted: false }
        } else {
            self.walk(fingerprint, horizon, is_other, intent)
        }
    }
}

enum Verdict<'g> {
    Answer(Walk<'g>),
    PassOver,
    /// A dead entry that the caller may revive.
    Dead,
}
