//! A shard: its tables, and how it moves from one to the next. The invariants are the parent module's.

use super::table::Cell;
use super::table::{Intent, Left, Table, Walk, table_len};
use super::{Claim, Entry, EntryRef, Found, SHARDS};
use crate::store::chain::{Chain, TABLES_MAX, View};
use crate::store::sync::{Guard, Mutex, MutexGuard, spin};
use crate::store::zeroed::{Prefaulting, ZeroedArray};
use std::collections::VecDeque;

/// Fills, in hundredths, at which the background thread prepares the next table, spread over the shards so that they do not all
/// do it at once.
const FILL_EARLY: (usize, usize) = (66, 73);
/// Fill at which a claim publishes a new table itself.
const FILL_MAX: usize = 75;
/// Fill at which a claim publishes a new table although an older one is still being migrated.
const FILL_URGENT: usize = 90;
/// Fill at which claims take part in a migration: by then the background thread should have been done.
const FILL_HELP: usize = 55;
/// Fill of a new table by what is alive: an entry of a table that grows is copied less than twice on average.
const FILL_NEW: usize = 32;

/// Old entries that the background thread migrates at once.
const STEP: usize = if cfg!(any(test, miri, drawdown_loom)) { 4 } else { 4096 };
/// Old entries that a claim migrates which takes part.
const HELP: usize = if cfg!(any(test, miri, drawdown_loom)) { 4 } else { 512 };
/// Entries looked at to estimate how many are alive.
pub(super) const SAMPLE: usize = 1024;

pub(super) struct Shard {
    pub(super) chain: Chain<Table>,
    /// Held by whoever publishes, migrates or unlinks.
    migration: Mutex<Migration>,
}

/// How far the migration of the oldest table has come.
#[derive(Default)]
struct Migration {
    /// Entries below this index are closed, save for those pending.
    next: usize,
    /// Entries that were in flight when they were passed. Looked at again and again.
    pending: VecDeque<usize>,
}

/// What a step of migration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is no older table, or not any more.
    Done,
    /// Some entries were closed.
    Some,
    /// All that is left to close is in flight.
    Blocked,
}

impl Shard {
    pub(super) fn with_capacity(entries: usize) -> Self {
        let len = table_len(entries * 100 / FILL_EARLY.0);
        Shard { chain: Chain::new(Table::new(Prefaulting::whole(len))), migration: Mutex::new(Migration::default()) }
    }

    #[inline]
    pub(super) fn prefetch(&self, fingerprint: u64, guard: &Guard) {
        if self.chain.sole(guard).is_none() {
            self.chain.view(guard).older().for_each(|table| table.prefetch(fingerprint));
        }
        self.chain.newest(guard).prefetch(fingerprint);
    }

    #[inline]
    pub(super) fn claim<'g>(
        &'g self,
        fingerprint: u64,
        horizon: u64,
        is_other: impl Fn(u64) -> bool,
        guard: &'g Guard,
    ) -> Claim<'g> {
        loop {
            let walk = match self.chain.sole(guard) {
                Some(table) => table.walk(fingerprint, horizon, &is_other, Intent::Claim),
                None => claim_in(&self.chain.view(guard), fingerprint, horizon, &is_other),
            };
            match walk {
                Walk::Finished(lsn) => return Claim::Existing { lsn },
                Walk::InFlight(cell) => return Claim::InFlight(EntryRef { cell }),
                Walk::Claimed { cell, counted } => {
                    let entry = Entry { cell };
                    if counted {
                        self.look_after(horizon, guard);
                    }
                    return Claim::New(entry);
                }
                Walk::Outdated => {}
                Walk::Full => self.make_room(horizon, guard),
                Walk::Absent => unreachable!("a claim takes the free entry that it finds"),
            }
        }
    }

    pub(super) fn lookup<'g>(
        &'g self,
        fingerprint: u64,
        horizon: u64,
        is_other: impl Fn(u64) -> bool,
        guard: &'g Guard,
    ) -> Found<'g> {
        let view = self.chain.view(guard);
        for table in view.older().chain([view.newest()]) {
            match table.walk(fingerprint, horizon, &is_other, Intent::Look) {
                Walk::Finished(lsn) => return Found::Finished { lsn },
                Walk::InFlight(cell) => return Found::InFlight(EntryRef { cell }),
                Walk::Claimed { .. } | Walk::Absent | Walk::Outdated | Walk::Full => {}
            }
        }
        Found::Absent
    }

    /// After an entry was counted: grows the shard or helps to, if the background thread does not keep up. Never waits.
    #[inline]
    fn look_after(&self, horizon: u64, guard: &Guard) {
        let (table, limit) = match self.chain.sole(guard) {
            Some(table) => (table, FILL_MAX),
            None => (self.chain.newest(guard), FILL_HELP),
        };
        if table.is_filled(limit) {
            self.step_in(horizon, guard);
        }
    }

    #[cold]
    fn step_in(&self, horizon: u64, guard: &Guard) {
        // Whoever holds the lock is doing what is needed.
        let Ok(mut migration) = self.migration.try_lock() else { return };
        let view = self.chain.view(guard);
        let limit = if view.len() == 1 { FILL_MAX } else { FILL_URGENT };
        if view.newest().is_filled(limit) && view.len() < TABLES_MAX {
            self.publish_larger(&view, horizon);
        } else {
            self.migrate(&mut migration, HELP, horizon, guard);
        }
    }

    /// The newest table has no free entry left on somebody's path. That takes a claim in flight for so long that the shard
    /// filled a whole table meanwhile.
    #[cold]
    fn make_room(&self, horizon: u64, guard: &Guard) {
        let mut migration = self.lock();
        let view = self.chain.view(guard);
        if view.newest().is_filled(FILL_MAX) && view.len() < TABLES_MAX {
            self.publish_larger(&view, horizon);
        } else if self.migrate(&mut migration, HELP, horizon, guard) == Progress::Blocked {
            drop(migration);
            spin();
        }
    }

    fn publish_larger(&self, view: &View<'_, Table>, horizon: u64) {
        // Each table is at least twice the one before it if that is still being migrated to.
        assert!(view.len() < TABLES_MAX, "a claim was in flight while its shard grew a hundredfold");
        self.chain.publish(Table::new(ZeroedArray::new(next_len(view, horizon))));
    }

    /// One bounded piece of background work: freeing, migrating. Answers whether there was any.
    pub(super) fn maintain_step(&self, horizon: u64, guard: &Guard) -> bool {
        if self.chain.sweep() {
            return true;
        }
        if self.chain.view(guard).len() == 1 {
            return false;
        }
        self.migrate(&mut self.lock(), STEP, horizon, guard) != Progress::Blocked
    }

    /// The length of the table to prepare, if it is time to.
    pub(super) fn wants_table(&self, number: usize, horizon: u64, guard: &Guard) -> Option<usize> {
        let (from, to) = FILL_EARLY;
        let view = self.chain.view(guard);
        let early = from + (to - from) * number / SHARDS;
        (view.len() == 1 && view.newest().is_filled(early)).then(|| next_len(&view, horizon))
    }

    /// Publishes a table that was prepared, unless a claim was faster and published one of its own.
    pub(super) fn publish_prepared(&self, cells: ZeroedArray<Cell>, guard: &Guard) {
        let _migration = self.lock();
        let view = self.chain.view(guard);
        if view.len() == 1 && view.newest().is_filled(FILL_EARLY.0) {
            self.chain.publish(Table::new(cells));
        }
    }

    /// Publishes a new table, whether or not it is time to.
    #[cfg(test)]
    pub(super) fn grow(&self, len: usize) {
        let _migration = self.lock();
        self.chain.publish(Table::new(ZeroedArray::new(table_len(len))));
    }

    fn lock(&self) -> MutexGuard<'_, Migration> {
        self.migration.lock().expect("no panic while migrating")
    }

    /// Closes up to `count` entries of the oldest table, copying what is alive to the newest one. Unlinks the table when all
    /// are closed.
    fn migrate(&self, migration: &mut Migration, count: usize, horizon: u64, guard: &Guard) -> Progress {
        let view = self.chain.view(guard);
        let Some(oldest) = view.oldest() else { return Progress::Done };
        let mut newest = view.newest();
        let mut closed = 0;
        let end = (migration.next + count).min(oldest.cells().len());
        for index in migration.next..end {
            if self.close(&oldest.cells()[index], &mut newest, horizon, guard) {
                closed += 1;
            } else {
                migration.pending.push_back(index);
            }
        }
        migration.next = end;
        for _ in 0..count.min(migration.pending.len()) {
            let Some(index) = migration.pending.pop_front() else { break };
            if self.close(&oldest.cells()[index], &mut newest, horizon, guard) {
                closed += 1;
            } else {
                migration.pending.push_back(index);
            }
        }
        if migration.next < oldest.cells().len() || !migration.pending.is_empty() {
            return if closed > 0 { Progress::Some } else { Progress::Blocked };
        }
        if cfg!(any(test, drawdown_loom)) {
            assert!(oldest.cells().iter().all(Cell::is_final), "invariant 5");
        }
        migration.next = 0;
        self.chain.unlink_oldest(guard);
        Progress::Done
    }

    /// Closes one entry. False if it is in flight. Under the lock, so that nobody else replaces the newest table.
    fn close<'g>(&'g self, cell: &Cell, newest: &mut &'g Table, horizon: u64, guard: &'g Guard) -> bool {
        match cell.close() {
            Left::InFlight => return false,
            Left::Nothing => {}
            Left::Finished { lsn, .. } if lsn < horizon => {}
            Left::Finished { fingerprint, lsn } => {
                while !newest.copy(fingerprint, lsn) {
                    self.publish_larger(&self.chain.view(guard), horizon);
                    *newest = self.chain.newest(guard);
                }
            }
        }
        true
    }
}

/// Runs through `view` from the oldest table to the newest (invariant 4).
#[cold]
fn claim_in<'g>(view: &View<'g, Table>, fingerprint: u64, horizon: u64, is_other: &impl Fn(u64) -> bool) -> Walk<'g> {
    for table in view.older() {
        match table.walk(fingerprint, horizon, is_other, Intent::Close) {
            Walk::Absent => {}
            answer => return answer,
        }
    }
    view.newest().walk(fingerprint, horizon, is_other, Intent::Claim)
}

/// The length of a table that has room for what is alive and as much again. At least half of the present one, for what is alive
/// is an estimate.
fn next_len(view: &View<'_, Table>, horizon: u64) -> usize {
    let newest = view.newest();
    let alive = if view.len() == 1 {
        newest.alive(SAMPLE, horizon)
    } else {
        newest.taken() + view.older().map(Table::taken).sum::<usize>()
    };
    table_len((alive * 100 / FILL_NEW).max(newest.cells().len() / 2))
}
