//! A snapshot into the tables of an engine that nobody else uses yet: blocks are read, checked and entered by several threads at once.

use super::cursor::{Cursor, all};
use crate::engine::fold::Loose;
use crate::engine::names::Name;
use crate::engine::spill::Ground;
use crate::engine::wallet::restore;
use crate::engine::{Inner, OpenError};
use crate::journal::snapshot::entry::{
    self, Fixed, Identity, LooseDebit, Mark, Mended, PendingGrant, Unattached, WalletEntry,
};
use crate::journal::snapshot::file::{Block, SnapshotFile};
use crate::journal::snapshot::{Section, SnapshotError};
use crate::ledger::Timestamp;
use crate::store::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a replay from a snapshot begins with, as far as identities are concerned.
pub(in crate::engine) fn ground(file: &SnapshotFile) -> Result<Ground, SnapshotError> {
    let sums = file.sums();
    Ok(Ground {
        lsn: file.lsn().get(),
        identities: sums.identities,
        identities_from: sums.identities_from,
        marks: all(file, Section::Marks, Mark::read)?,
        latest: sums.latest,
        remembered_since: sums.remembered_since,
    })
}

/// Enters a snapshot, by so many threads; answers what belongs to the fold beside the tables.
pub(in crate::engine) fn load(inner: &Inner, file: &SnapshotFile, threads: u32) -> Result<Loose, SnapshotError> {
    for section in [Section::Records, Section::Metadata] {
        for record in all(file, section, |rest| entry::read_record(rest, Timestamp::EPOCH))? {
            if !inner.enter(record) {
                return Err(SnapshotError::Damaged("its catalogue has a gap"));
            }
        }
    }
    let mut customers = Cursor::new(file, Section::Customers);
    while let Some(record) = customers.next(|rest| entry::read_record(rest, Timestamp::EPOCH))? {
        inner.enter(record);
    }
    for record in all(file, Section::Webhooks, |rest| entry::read_record(rest, Timestamp::EPOCH))? {
        inner.enter(record);
    }
    let mut billing = Cursor::new(file, Section::Billing);
    while let Some(record) = billing.next(|rest| entry::read_record(rest, Timestamp::EPOCH))? {
        inner.enter(record);
    }
    let slots = u32::try_from(file.sums().slots).map_err(|_| SnapshotError::Damaged("it has too many slots"))?;
    inner.slab.restore_all(slots);
    in_parallel(file, Section::Wallets, threads, |blocks| wallets(inner, file, slots, blocks))?;
    let mut recurring = Cursor::new(file, Section::Recurring);
    while let Some((schedule, record)) = recurring.next(entry::read_recurring)? {
        inner.enter_recurring(schedule, record);
    }
    in_parallel(file, Section::Identities, threads, |blocks| identities(inner, file, blocks))?;
    if inner.index.len() as u64 != file.sums().wallets {
        return Err(SnapshotError::Damaged("wallets are missing"));
    }
    loose(file)
}

/// Hands the blocks of a section out to threads, each block to one.
fn in_parallel(
    file: &SnapshotFile,
    section: Section,
    threads: u32,
    work: impl Fn(&mut dyn Iterator<Item = &Block>) -> Result<(), SnapshotError> + Sync,
) -> Result<(), SnapshotError> {
    let blocks = file.blocks(section);
    // A counter on its own: what the blocks hold is published by the end of the scope.
    let next = AtomicUsize::new(0);
    let work = || work(&mut std::iter::from_fn(|| blocks.get(next.fetch_add(1, Ordering::Relaxed))));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread that loads does not panic"))
    })
}

fn wallets(
    inner: &Inner,
    file: &SnapshotFile,
    slots: u32,
    blocks: &mut dyn Iterator<Item = &Block>,
) -> Result<(), SnapshotError> {
    let mut names = inner.names.filler();
    let (mut buffer, mut hashes) = (Vec::new(), Vec::new());
    for block in blocks {
        let mut rest = file.read(block, &mut buffer)?;
        while !rest.is_empty() {
            let wallet = WalletEntry::read(&mut rest)?;
            let slot = wallet.slot;
            if slot >= slots {
                return Err(SnapshotError::Damaged("a wallet lies outside of the slots"));
            }
            let cell = inner.slab.get(slot);
            if cell.is_open_alone() {
                return Err(SnapshotError::Damaged("two wallets have one slot"));
            }
            let hash = inner.seed.wallet_hash(wallet.customer.as_bytes(), wallet.currency.0);
            names.set(slot, Name { customer: wallet.customer, currency: wallet.currency });
            restore(cell, hash.key, wallet);
            hashes.push((hash, slot));
        }
        inner.index.insert_new(&mut hashes, &pin());
        hashes.clear();
    }
    Ok(())
}

fn identities(
    inner: &Inner,
    file: &SnapshotFile,
    blocks: &mut dyn Iterator<Item = &Block>,
) -> Result<(), SnapshotError> {
    let mut buffer = Vec::new();
    for block in blocks {
        let guard = pin();
        let mut rest = file.read(block, &mut buffer)?;
        while !rest.is_empty() {
            // By fingerprint, as they lie in the table: what follows is at hand already.
            let identity = Identity::read(&mut rest)?;
            if crate::store::hash::reserved(identity.fingerprint) || identity.lsn < crate::store::idempotency::LSN_MIN {
                return Err(SnapshotError::Damaged("an identity is none"));
            }
            inner.idempotency.insert_replayed(identity.fingerprint, identity.lsn, &guard);
        }
    }
    Ok(())
}

fn loose(file: &SnapshotFile) -> Result<Loose, SnapshotError> {
    let sums = file.sums();
    let mut loose = Loose { latest: sums.latest, run: sums.run, ..Loose::default() };
    for debit in all(file, Section::Unopened, LooseDebit::read)? {
        loose.unopened.entry(debit.slot).or_default().push(debit);
    }
    for record in all(file, Section::Unattached, Unattached::read)? {
        loose.unattached.insert((record.slot, record.previous), record.lsn);
    }
    for pending in all(file, Section::Pending, PendingGrant::read)? {
        loose.pending.insert(pending.grant, pending);
    }
    all(file, Section::Repairs, Mended::read)?.into_iter().for_each(|mended| loose.repairs.enter(mended));
    loose.marks = all(file, Section::Marks, Mark::read)?;
    Ok(loose)
}

impl From<SnapshotError> for OpenError {
    fn from(error: SnapshotError) -> Self {
        OpenError::Snapshot(Box::new(error))
    }
}
