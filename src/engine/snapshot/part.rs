//! A range of wallets in memory of their own: where a snapshot folds, away from the engine's tables.

use super::cursor::Cursor;
use super::sorter::Sorter;
use crate::catalog::CurrencyNumber;
use crate::engine::catalog::Catalog;
use crate::engine::fold::Ground;
use crate::engine::names::{Name, Names};
use crate::engine::wallet::{WalletGeneration, WalletSlot, restore};
use crate::engine::webhooks::Book;
use crate::journal::admin::{AdminRecord, ApiKeyRecord, GrantRecord, Redeclaration, WalletRecord};
use crate::journal::alerts::DefaultLevelsRecord;
use crate::journal::billing::{BillingKey, BillingRecord};
use crate::journal::control::CustomerRecord;
use crate::journal::recurring::RecurringRecord;
use crate::journal::snapshot::SnapshotError;
use crate::journal::snapshot::entry::{self, WalletEntry};
use crate::ledger::{Terms, Timestamp};
use crate::store::slab::Slab;
use crate::store::{Guard, pin};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

/// What all ranges share.
pub(super) struct Common<'f> {
    pub(super) catalog: RefCell<Catalog>,
    pub(super) api_keys: RefCell<BTreeMap<String, ApiKeyRecord>>,
    pub(super) defaults: RefCell<BTreeMap<CurrencyNumber, DefaultLevelsRecord>>,
    pub(super) runway_cursor: Cell<Option<u64>>,
    /// Customers of whom the new part of the log says something.
    pub(super) customers: RefCell<BTreeMap<String, CustomerRecord>>,
    /// What the new part of the log says of money in.
    pub(super) billing: RefCell<BTreeMap<BillingKey, BillingRecord>>,
    /// All of webhooks: that of the snapshot before, and what the new part of the log says.
    pub(super) webhooks: RefCell<Book>,
    pub(super) identities: RefCell<Sorter<'f>>,
    /// Grants that were opened again in the new part of the log, by number.
    pub(super) redeclared: RefCell<BTreeMap<u64, GrantRecord>>,
    /// Why an identity could not be put away: told when the frame is done.
    pub(super) failure: RefCell<Option<io::Error>>,
}

impl Common<'_> {
    /// Enters what belongs to no wallet. False if its number leaves a gap.
    pub(super) fn enter(&self, record: AdminRecord) -> bool {
        match record {
            AdminRecord::ApiKey(key) => {
                self.api_keys.borrow_mut().insert(key.id.clone(), key);
                true
            }
            AdminRecord::Currency(currency) => self.catalog.borrow_mut().set_currency(currency).is_ok(),
            AdminRecord::Meter(meter) => self.catalog.borrow_mut().set_meter(meter).is_ok(),
            AdminRecord::Customer(customer) => {
                self.customers.borrow_mut().insert(customer.id.clone(), customer);
                true
            }
            AdminRecord::Billing(billing) => {
                self.billing.borrow_mut().insert(billing.key(), billing);
                true
            }
            AdminRecord::Webhook(record) => {
                self.webhooks.borrow_mut().enter(record);
                true
            }
            AdminRecord::DefaultLevels(defaults) => {
                self.defaults.borrow_mut().insert(defaults.currency, defaults);
                true
            }
            AdminRecord::RunwayCursor(upto) => {
                self.runway_cursor.set(Some(upto));
                true
            }
            AdminRecord::Genesis(_)
            | AdminRecord::Refused(_)
            | AdminRecord::Wallet(_)
            | AdminRecord::Grant(_)
            | AdminRecord::Answer(_)
            | AdminRecord::Done(_)
            | AdminRecord::Redeclared(_)
            | AdminRecord::Hold(_)
            | AdminRecord::Recurring(_)
            | AdminRecord::Metadata(_)
            | AdminRecord::Commitments(_)
            | AdminRecord::Runway(_)
            | AdminRecord::RunwayTold(_)
            | AdminRecord::RunwayState(_) => true,
        }
    }
}

/// The wallets of a range of slots.
pub(super) struct Part<'a, 'f> {
    first: u32,
    slab: Slab<WalletSlot>,
    names: Names,
    /// The latest record of each kind that there is of a wallet, by slot and kind.
    metadata: RefCell<BTreeMap<(u32, u8), AdminRecord>>,
    /// By slot and id, with their schedules' numbers.
    recurring: RefCell<BTreeMap<(u32, String), (u64, RecurringRecord)>>,
    common: &'a Common<'f>,
}

/// The walk over the wallets of the snapshot before.
pub(super) struct Earlier<'f> {
    wallets: Cursor<'f>,
    metadata: Cursor<'f>,
    recurring: Cursor<'f>,
    /// A record of a wallet behind those that were taken.
    read: Option<AdminRecord>,
    /// A recurring grant of such a wallet.
    read_recurring: Option<(u64, RecurringRecord)>,
}

/// Memory that a wallet takes, about: slot, generation, pointers, allocator. What else there is about it takes about twice its length in
/// the snapshot.
const WALLET_BYTES: u64 = 160;
/// Memory that is set apart for a wallet of which nothing is known yet.
const NEW_WALLET_BYTES: u64 = 300;

impl<'f> Earlier<'f> {
    pub(super) fn new(wallets: Cursor<'f>, metadata: Cursor<'f>, recurring: Cursor<'f>) -> Self {
        Earlier { wallets, metadata, recurring, read: None, read_recurring: None }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.wallets.is_at_end()
    }

    fn metadata_up_to(&mut self, slot: u32, into: &mut BTreeMap<(u32, u8), AdminRecord>) -> Result<u64, SnapshotError> {
        let mut bytes = 0;
        loop {
            let next = match self.read.take() {
                Some(read) => Some(read),
                None => self.metadata.next(|rest| {
                    let before = rest.len();
                    let record = entry::read_record(rest, Timestamp::EPOCH)?;
                    bytes += 3 * (before - rest.len()) as u64;
                    match record.of_wallet() {
                        Some(_) => Ok(record),
                        None => Err(crate::journal::Corrupt::Malformed("record of a wallet")),
                    }
                })?,
            };
            match next.as_ref().and_then(AdminRecord::of_wallet) {
                Some(key) if key.0 <= slot => into.extend(next.map(|record| (key, record))),
                _ => {
                    self.read = next;
                    return Ok(bytes);
                }
            }
        }
    }
}

impl Earlier<'_> {
    /// Takes the recurring grants of the wallets up to `slot`; answers about how much memory they take.
    fn recurring_up_to(&mut self, slot: u32, part: &Part<'_, '_>) -> Result<u64, SnapshotError> {
        let mut bytes = 0;
        loop {
            let next = match self.read_recurring.take() {
                Some(read) => Some(read),
                None => self.recurring.next(|rest| {
                    let before = rest.len();
                    let read = entry::read_recurring(rest)?;
                    bytes += 3 * (before - rest.len()) as u64;
                    Ok(read)
                })?,
            };
            match next {
                Some((schedule, record)) if record.slot <= slot => part.recur(schedule, record),
                behind => {
                    self.read_recurring = behind;
                    return Ok(bytes);
                }
            }
        }
    }
}

impl<'a, 'f> Part<'a, 'f> {
    /// The wallets from slot `first` on, as far as they fit in so many bytes, and the slot behind the range.
    pub(super) fn fill(
        first: u32,
        bytes: u64,
        earlier: Option<&mut Earlier<'_>>,
        common: &'a Common<'f>,
    ) -> Result<(Self, u32), SnapshotError> {
        let (slab, names) = (Slab::new(), Names::default());
        let part = Part { first, slab, names, metadata: RefCell::default(), recurring: RefCell::default(), common };
        let (mut taken, mut behind) = (0, first);
        if let Some(earlier) = earlier {
            // One at the least, however little memory there is.
            while taken < bytes.max(1) {
                let read = earlier.wallets.next(|rest| {
                    let before = rest.len();
                    let wallet = WalletEntry::read(rest)?;
                    let slot = wallet.slot;
                    part.restore(wallet);
                    Ok((slot, 2 * (before - rest.len()) as u64))
                })?;
                let Some((slot, length)) = read else { break };
                behind = slot + 1;
                taken += WALLET_BYTES + length + earlier.metadata_up_to(slot, &mut part.metadata.borrow_mut())?;
                taken += earlier.recurring_up_to(slot, &part)?;
            }
            if !earlier.is_at_end() {
                return Ok((part, behind));
            }
        }
        // Behind those of the snapshot before there are new ones at most.
        let room = (bytes.saturating_sub(taken) / NEW_WALLET_BYTES).max(1);
        Ok((part, u32::try_from(u64::from(behind) + room).unwrap_or(u32::MAX)))
    }

    fn restore(&self, wallet: WalletEntry<'_>) {
        let handle = wallet.slot - self.first;
        self.slab.restore(handle);
        self.names.set(handle, Name { customer: wallet.customer, currency: wallet.currency });
        restore(self.slab.get(handle), 0, wallet);
    }

    /// Visits the wallets in the order of their slots.
    pub(super) fn each<E>(&self, mut visit: impl FnMut(&WalletEntry<'_>) -> Result<(), E>) -> Result<(), E> {
        for handle in 0..self.slab.len() as u32 {
            let guard = pin();
            let Some(slot) = self.slab.find(handle).filter(|slot| slot.is_open_alone()) else { continue };
            let (Some(name), Some(reading)) = (self.names.get(handle), slot.read(&guard)) else { continue };
            visit(&WalletEntry {
                slot: self.first + handle,
                customer: name.customer,
                currency: name.currency,
                generation: reading.generation.number(),
                opened_at: reading.generation.opened_at(),
                last_lsn: slot.last_lsn(),
                balance: reading.balance,
                lowest: slot.scratch_alone().cast_signed(),
                terms: reading.generation.terms().entry(),
            })?;
        }
        Ok(())
    }

    /// What administrative records say of the wallets, in the order of their slots: metadata, commitments, watches.
    pub(super) fn metadata(&self) -> Vec<(u32, AdminRecord)> {
        let records = std::mem::take(&mut *self.metadata.borrow_mut());
        records.into_iter().map(|((slot, _), record)| (slot, record)).collect()
    }

    /// The recurring grants with their schedules' numbers, in the order of their wallets' slots.
    pub(super) fn recurring(&self) -> Vec<(u64, RecurringRecord)> {
        std::mem::take(&mut *self.recurring.borrow_mut()).into_values().collect()
    }
}

impl Ground for Part<'_, '_> {
    fn wallet(&self, slot: u32) -> Option<&WalletSlot> {
        self.slab.find(slot.checked_sub(self.first)?).filter(|slot| slot.is_open_alone())
    }

    fn prefetch(&self, slot: u32, _fingerprint: u64, _guard: &Guard) {
        if let Some(handle) = slot.checked_sub(self.first) {
            self.slab.prefetch(handle);
        }
    }

    fn make(&self, lsn: u64, wallet: &WalletRecord) {
        let handle = wallet.slot - self.first;
        self.slab.restore(handle);
        self.names.set(handle, Name { customer: &wallet.customer, currency: wallet.currency });
        self.slab.get(handle).open(0, 0, WalletGeneration::new(1, lsn, Terms::new().into()));
    }

    fn remember(&self, fingerprint: u64, lsn: u64, _guard: &Guard) {
        if let Err(error) = self.common.identities.borrow_mut().push((fingerprint, lsn)) {
            *self.common.failure.borrow_mut() = Some(error);
        }
    }

    fn enter(&self, record: AdminRecord) -> bool {
        match record.of_wallet() {
            Some(key) => {
                self.metadata.borrow_mut().insert(key, record);
                true
            }
            None => self.common.enter(record),
        }
    }

    fn recur(&self, schedule: u64, record: RecurringRecord) {
        self.recurring.borrow_mut().insert((record.slot, record.id.clone()), (schedule, record));
    }

    fn redeclare(&self, _lsn: u64, again: Redeclaration) {
        self.common.redeclared.borrow_mut().insert(again.number, again.grant);
    }
}

impl Drop for Part<'_, '_> {
    fn drop(&mut self) {
        for handle in 0..self.slab.len() as u32 {
            if let Some(slot) = self.slab.find(handle) {
                // SAFETY: the part is going, and nobody else ever reached its slots.
                unsafe { slot.free() };
            }
        }
    }
}
