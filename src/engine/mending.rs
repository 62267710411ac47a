//! What a crash cut through is mended at the end of a replay, wallet by wallet, by an operation that reopens it ([`Repair`]):
//! 1. *gap*: a debit of the last generation counts on one that was lost. Its place in the row is closed up.
//! 2. *unopened*: a debit belongs to a generation whose opening was lost. It did not take place.
//! 3. *broken link*: a record points at one that was lost. It is linked to the ones that are there.
//!
//! None of those records was ever acknowledged: an acknowledgement waits for everything that was reserved before the batch's last
//! compare-and-swap, which covers the lost record each time.

use super::budget::Budget;
use super::fold::{Loose, ahead};
use super::wallet::{WalletDriver, WalletGeneration, WalletOperation, close};
use super::{Inner, OpenError, Unavailable};
use crate::journal::operation::Repair;
use crate::journal::{self, Record};
use crate::ledger::Operation;
use crate::store::pin;
use crate::store::slot::{Driver, Opening};
use drawdown_wal::{Lsn, Options};
use std::collections::{BTreeMap, HashMap};

/// The wallets that a crash cut through: the generation to reopen each with, and what that says. Of the wallets of one worker, whose fold
/// left this behind.
pub(super) fn mending(
    inner: &Inner,
    loose: &Loose,
    worker: u32,
    workers: u32,
) -> Result<BTreeMap<u32, (u64, Repair)>, OpenError> {
    let mut mending: BTreeMap<u32, (u64, Repair)> = BTreeMap::new();
    let fresh = |slot: u32| (inner.slab.get(slot).position_alone().0 + 1, Repair::default());
    let mut gaps = HashMap::new();
    let guard = pin();
    for slot in (worker..inner.slab.len() as u32).step_by(workers as usize) {
        let cell = inner.slab.get(slot);
        if !cell.is_open_alone() {
            continue;
        }
        let (generation, balance) = cell.position_alone();
        if cell.scratch_alone().cast_signed() != balance {
            gaps.insert(slot, generation as u32);
            mending.entry(slot).or_insert_with(|| fresh(slot));
        }
        cell.end_alone(&guard);
    }
    for (slot, corrected) in corrections(inner, &gaps)? {
        mending.entry(slot).or_insert_with(|| fresh(slot)).1.corrected = corrected;
    }
    for (slot, debits) in &loose.unopened {
        let (generation, repair) = mending.entry(*slot).or_insert_with(|| fresh(*slot));
        for debit in debits {
            let present = *generation - 1;
            let number = present.wrapping_add_signed(i64::from(ahead(debit.generation, present)));
            *generation = (*generation).max(number + 1);
            repair.dropped.push(debit.lsn);
        }
    }
    for (slot, relinked) in broken_links(inner, loose) {
        mending.entry(slot).or_insert_with(|| fresh(slot)).1.relinked = relinked;
    }
    Ok(mending)
}

/// New links for the records whose predecessors were lost, by wallet; puts them on their chains.
fn broken_links(inner: &Inner, loose: &Loose) -> BTreeMap<u32, Vec<(u64, u64)>> {
    let mut roots: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for ((slot, previous), record) in &loose.unattached {
        let is_there = loose.unattached.iter().any(|((owner, _), other)| owner == slot && other == previous);
        if !is_there {
            roots.entry(*slot).or_default().push(*record);
        }
    }
    let mut links = BTreeMap::new();
    for (slot, mut records) in roots {
        records.sort_unstable();
        let cell = inner.slab.get(slot);
        let mut relinked = Vec::new();
        for record in records {
            relinked.push((record, cell.last_lsn()));
            let mut head = record;
            while let Some(next) = loose.unattached.get(&(slot, head)) {
                head = *next;
            }
            cell.set_last_lsn_alone(head);
        }
        links.insert(slot, relinked);
    }
    links
}

/// The balances after the debits of cut generations, with the gaps that lost debits left closed up: for each wallet, the debits whose
/// recorded balance does not hold, and the balance that does.
///
/// A lost debit had its place behind the end of the log, and whoever counts on it was applied after that place was taken, with a place of
/// its own before the end: so its frame was still unpublished then, and lies within the bound on unsynced bytes of the end. Read from
/// there, the last debits of a generation are all there. From the last one backwards, whose balance after it must be the wallet's, each
/// debit's balance follows from the one behind it; where the recorded one agrees, nothing before it was lost, for a lost amount is greater
/// than zero.
fn corrections(inner: &Inner, gaps: &HashMap<u32, u32>) -> Result<BTreeMap<u32, Vec<(u64, i64)>>, OpenError> {
    if gaps.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The run before this one may have had another bound. Twice the larger covers what segments' ends and headers add.
    let bound = 2 * inner.config.log.max_unsynced_bytes.max(Options::default().max_unsynced_bytes);
    let from = Lsn::new(inner.log.tail().get().saturating_sub(bound)).max(inner.log.first());
    let mut debits: BTreeMap<u32, Vec<(i64, i64, u64)>> = BTreeMap::new();
    let mut reader = inner.log.reader(from);
    while let Some(frame) = reader.next()? {
        let corrupt = |source| OpenError::Record { lsn: frame.lsn, source };
        let records = journal::records(frame.payload, frame.payload_lsn).map_err(corrupt)?;
        for record in records.only(|slot| gaps.contains_key(&slot)) {
            let (lsn, record) = record.map_err(corrupt)?;
            if let Record::Debit(debit) = record
                && gaps.get(&debit.slot) == Some(&debit.generation)
            {
                let place = (debit.balance_after.units(), debit.amount.units(), lsn.get());
                debits.entry(debit.slot).or_default().push(place);
            }
        }
    }
    let mut corrections = BTreeMap::new();
    for (slot, mut debits) in debits {
        let (_, mut balance) = inner.slab.get(slot).position_alone();
        // The last one applied has the lowest balance.
        debits.sort_unstable();
        let mut corrected = Vec::new();
        for (recorded, amount, lsn) in debits {
            if recorded == balance {
                break;
            }
            corrected.push((lsn, balance));
            balance += amount;
        }
        corrected.reverse();
        corrections.insert(slot, corrected);
    }
    Ok(corrections)
}

impl Inner {
    /// Reopens a wallet that a crash cut through, as generation `number`. Recovery is alone with the engine.
    pub(super) fn reopen(&self, handle: u32, number: u64, repair: Repair) -> Result<(), OpenError> {
        let slot = self.slab.get(handle);
        let mut operation = WalletOperation::new(Operation::Reopen, self.now());
        operation.repair = repair;
        let guard = pin();
        let Some(reading) = slot.read(&guard) else { return Ok(()) };
        let (terms, effects) = close(reading.generation.terms().get(), reading.balance, &operation);
        let new = WalletGeneration::new(number, 0, terms.into());
        let record = Opening {
            old: reading.generation,
            closing: reading.balance,
            operation: &operation,
            new: &new,
            effects: &effects,
        };
        let budget = Budget(self.admit_wait(operation.log_bytes(&reading.generation.terms().get()))?);
        let lsn = WalletDriver::new(self, handle, &budget)
            .log(slot, &record)
            .ok_or(OpenError::Unavailable(Unavailable::Overloaded))?;
        new.set_opened_at(lsn);
        slot.install_alone(new);
        slot.end_alone(&guard);
        Ok(())
    }
}
