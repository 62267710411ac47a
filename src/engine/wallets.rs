//! Wallets: found, made, read, and their settings changed.

use super::budget::Budget;
use super::catalog::CreditCurrency;
use super::grants::{check_active, check_metadata, check_text};
use super::names::Name;
use super::ticket::Ticket;
use super::view::{AlertSpec, AlertView, AlertsOf, BalanceTotal, CommandError, LotView, WalletPatch, WalletView};
use super::wallet::{WalletGeneration, WalletOperation};
use super::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::{AdminRecord, MetadataRecord, WalletRecord};
use crate::journal::frame::{Prelude, kind};
use crate::ledger::{
    Amount, AmountError, Decimal, Level, Levels, Lot, Operation, Rejection, Scale, Status, Terms, Timestamp, transition,
};
use crate::store::hash::WalletHash;
use crate::store::slot::Terms as _;
use crate::store::word::Deadline;
use crate::store::{Guard, pin};
use drawdown_wal::Lsn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a wallet's record and what precedes it in its frame, at the most.
pub(super) const WALLET_BYTES_MAX: usize = 256 + MAX_ID_BYTES;

impl Engine {
    /// A wallet as it is now; what has fallen due shows even where no operation has said so yet.
    pub fn wallet(&self, customer: &str, currency: &str) -> Result<WalletView, CommandError> {
        let inner = &*self.inner;
        let guard = pin();
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        inner.wallet_view(slot, inner.now(), &guard)
    }

    /// All wallets of a customer, in the order in which their currencies were made.
    pub fn customer_wallets(&self, customer: &str) -> Vec<WalletView> {
        let inner = &*self.inner;
        let now = inner.now();
        let guard = pin();
        let catalog = inner.catalog.snapshot();
        let slot = |currency: &Arc<CreditCurrency>| {
            inner.find(inner.seed.wallet_hash(customer.as_bytes(), currency.number.0), &guard)
        };
        catalog
            .currencies()
            .iter()
            .filter_map(slot)
            .filter_map(|slot| inner.wallet_view(slot, now, &guard).ok())
            .collect()
    }

    /// Makes a wallet without any credits, if there is none, and changes it as [`Engine::change_wallet`] does. A grant makes its wallet by itself; this
    /// is for what is to be set before the first one comes. A rule that waits for the wallet is evaluated at once.
    pub fn put_wallet(
        &self,
        customer: &str,
        currency: &str,
        patch: &WalletPatch,
    ) -> Result<(WalletView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let known = inner.currency_or_default(Some(currency))?;
        let is_there = inner.locate_wallet(customer, currency, &pin()).is_ok();
        if !is_there {
            check_active(&known)?;
            inner.check_customer(customer)?;
            inner.find_or_make_wallet(customer, &known, &pin())?;
        }
        let changed = self.change_wallet(customer, currency, patch)?;
        drop(self.evaluate_rule(customer, known.number)?);
        Ok((changed.0, self.barrier()))
    }

    /// Freezes, thaws or closes a wallet, moves its floor, replaces its metadata. Each change is an operation of its own; all are checked
    /// before the first is made.
    pub fn change_wallet(
        &self,
        customer: &str,
        currency: &str,
        patch: &WalletPatch,
    ) -> Result<(WalletView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let guard = pin();
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        let scale = inner.catalog.snapshot().currency(currency).map_or_else(Scale::default, |currency| currency.scale);
        if let Some(metadata) = &patch.metadata {
            check_metadata(metadata)?;
        }
        let mut operations = Vec::new();
        if let Some(floor) = patch.floor {
            operations.push(Operation::SetAllowance(allowance(floor, scale)?));
        }
        if let Some(status) = patch.status {
            operations.push(Operation::SetStatus(status));
        }
        inner.try_all(slot, &operations, now, &guard)?;
        for operation in operations {
            inner.operate(slot, WalletOperation::new(operation, now), &guard)?;
        }
        if let Some(metadata) = &patch.metadata {
            let record = MetadataRecord { slot, metadata: metadata.clone() };
            inner.append_admin(&AdminRecord::Metadata(record))?;
            inner.metadata.insert(slot, metadata.clone());
        }
        Ok((inner.wallet_view(slot, now, &guard)?, self.barrier()))
    }

    /// Gives a wallet alert levels of its own, be they none, in the place of those that it has. A level that the balance is below already waits until the balance has reached it once.
    pub fn set_alerts(
        &self,
        customer: &str,
        currency: &str,
        alerts: &[AlertSpec],
    ) -> Result<(WalletView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let guard = pin();
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        let scale = inner.catalog.snapshot().currency(currency).map_or_else(Scale::default, |currency| currency.scale);
        let levels = Operation::SetLevels(Some(Arc::new(levels_of(alerts, scale)?)));
        inner.operate(slot, WalletOperation::new(levels, now), &guard)?;
        Ok((inner.wallet_view(slot, now, &guard)?, self.barrier()))
    }

    /// Takes a wallet's own alert levels and its runway watch away, so that its currency's default levels apply to it from now on.
    pub fn clear_alerts(&self, customer: &str, currency: &str) -> Result<(WalletView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let now = inner.now();
        let guard = pin();
        let slot = inner.locate_wallet(customer, currency, &guard)?;
        let (terms, _) = inner.read_at(slot, now, &guard).ok_or(CommandError::NotFound { what: "wallet" })?;
        if !terms.inherits() {
            inner.operate(slot, WalletOperation::new(Operation::SetLevels(None), now), &guard)?;
        }
        inner.put_runway(slot, None, now)?;
        inner.follow_defaults(slot, now, &guard)?;
        Ok((inner.wallet_view(slot, now, &guard)?, self.barrier()))
    }

    /// Sums over wallets, one for each currency; of one customer or one currency if given. Without a customer it reads every wallet.
    pub fn balances(&self, customer: Option<&str>, currency: Option<&str>) -> Vec<BalanceTotal> {
        let inner = &*self.inner;
        let mut totals = BTreeMap::new();
        let now = inner.now();
        let wanted = |view: &CreditCurrency| currency.is_none_or(|id| id == view.id);
        let mut add = |currency: &Arc<CreditCurrency>, wallet: &Summary| {
            let total = totals.entry(currency.number).or_insert_with(|| BalanceTotal {
                currency: Arc::clone(currency),
                wallets: 0,
                balance: 0,
                held: 0,
                available: 0,
                projected: 0,
            });
            total.wallets += 1;
            total.balance += i128::from(wallet.balance.units());
            total.held += i128::from(wallet.held.units());
            total.available += i128::from(wallet.available.units());
            total.projected += i128::from(wallet.projected.units());
        };
        let catalog = inner.catalog.snapshot();
        if let Some(customer) = customer {
            let guard = pin();
            for currency in catalog.currencies().iter().filter(|currency| wanted(currency)) {
                let wallet = inner.seed.wallet_hash(customer.as_bytes(), currency.number.0);
                let Some(slot) = inner.find(wallet, &guard) else { continue };
                let Some(wallet) = inner.summary_at(slot, now, &guard) else { continue };
                add(currency, &wallet);
            }
        } else {
            for slot in 0..inner.slab.len() as u32 {
                let guard = pin();
                let Some(name) = inner.names.get(slot) else { continue };
                let Some(currency) = catalog.currency_by_number(name.currency).filter(|c| wanted(c)) else { continue };
                let Some(wallet) = inner.summary_at(slot, now, &guard) else { continue };
                add(currency, &wallet);
            }
        }
        totals.into_values().collect()
    }
}

/// A wallet at one instant, in figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) status: Status,
    pub(super) balance: Amount,
    pub(super) held: Amount,
    pub(super) available: Amount,
    pub(super) projected: Amount,
}

impl Inner {
    /// The slot of a wallet.
    pub(super) fn find(&self, wallet: WalletHash, guard: &Guard) -> Option<u32> {
        self.index.lookup(wallet, |slot| self.slab.get(slot).has_key(wallet.key), guard)
    }

    /// The slot of a wallet by its names, or what is missing.
    pub(super) fn locate_wallet(&self, customer: &str, currency: &str, guard: &Guard) -> Result<u32, CommandError> {
        let currency = self
            .catalog
            .snapshot()
            .currency(currency)
            .map(|currency| currency.number)
            .ok_or(CommandError::NotFound { what: "credit_currency" })?;
        let wallet = self.seed.wallet_hash(customer.as_bytes(), currency.0);
        self.find(wallet, guard).ok_or(CommandError::NotFound { what: "wallet" })
    }

    /// The slot of a customer's wallet, which is made if there is none.
    pub(super) fn find_or_make_wallet(
        &self,
        customer: &str,
        currency: &CreditCurrency,
        guard: &Guard,
    ) -> Result<u32, CommandError> {
        check_text("customer", customer, MAX_ID_BYTES)?;
        let _steady = self.catalog.steady(currency)?;
        let wallet = self.seed.wallet_hash(customer.as_bytes(), currency.number.0);
        if let Some(slot) = self.find(wallet, guard) {
            return Ok(slot);
        }
        let bytes = Budget::frame_bytes(WALLET_BYTES_MAX);
        let budget = Budget(self.admit_wait(bytes)?);
        let is_it = |slot| self.slab.get(slot).has_key(wallet.key);
        // Inside, the wallet's record is reserved before the index shows the wallet: whoever uses it reserves behind its record.
        let make = || {
            let slot = self.slab.allocate();
            self.names.set(slot, Name { customer, currency: currency.number });
            let record = WalletRecord { slot, customer: customer.to_owned(), currency: currency.number };
            let lsn = self.publish_admin(&budget, &AdminRecord::Wallet(record));
            self.slab.get(slot).open(wallet.key, 0, WalletGeneration::new(1, lsn.get(), Terms::new().into()));
            slot
        };
        Ok(self.index.get_or_insert_with(wallet, is_it, make, guard).slot())
    }

    /// A wallet's terms and balance at one instant, with everything carried out that has fallen due.
    pub(super) fn read_at(&self, slot: u32, now: Timestamp, guard: &Guard) -> Option<(Terms, Amount)> {
        let reading = self.slab.get(slot).read(guard)?;
        let (terms, balance) = (reading.generation.terms().get(), Amount::new(reading.balance));
        if terms.deadline().is_some_and(|deadline| now >= deadline) {
            let terms = transition(&terms, balance, &Operation::Due, now).terms;
            let balance = terms.opening;
            return Some((terms, balance));
        }
        Some((terms.into_owned(), balance))
    }

    /// The figures of [`Inner::read_at`], quicker where nothing has fallen due: for walks over many wallets.
    pub(super) fn summary_at(&self, slot: u32, now: Timestamp, guard: &Guard) -> Option<Summary> {
        let reading = self.slab.get(slot).read(guard)?;
        let (kept, balance) = (reading.generation.terms(), Amount::new(reading.balance));
        if Deadline::from_unix_ms(now.millis()) >= kept.deadline() {
            let (terms, balance) = self.read_at(slot, now, guard)?;
            let (status, held, available) = (terms.status, terms.held, terms.available(balance));
            let projected = terms.projected(balance);
            return Some(Summary { status, balance, held, available, projected });
        }
        let (held, available) = kept.sums_at(balance);
        let projected = kept.projected(balance);
        Some(Summary { status: kept.status(), balance, held, available, projected })
    }

    pub(super) fn wallet_view(&self, slot: u32, now: Timestamp, guard: &Guard) -> Result<WalletView, CommandError> {
        let missing = CommandError::NotFound { what: "wallet" };
        let Some(name) = self.names.get(slot) else { return Err(missing) };
        let Some((terms, balance)) = self.read_at(slot, now, guard) else { return Err(missing) };
        let catalog = self.catalog.snapshot();
        let currency =
            catalog.currency_by_number(name.currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        let last_lsn = self.slab.get(slot).last_lsn();
        let active = active_lots(&terms, balance);
        let scheduled = terms.scheduled.iter().map(|lot| lot_view(lot, true));
        Ok(WalletView {
            customer: name.customer.to_string(),
            currency: Arc::clone(currency),
            status: terms.status,
            balance,
            held: terms.held,
            available: terms.available(balance),
            floor: terms.allowance.checked_neg().unwrap_or(Amount::ZERO),
            grants: active.into_iter().chain(scheduled).collect(),
            projected: terms.projected(balance),
            committed: terms.bearings().committed,
            alerts: alert_views(&terms),
            alerts_of: if terms.inherits() { AlertsOf::Currency(terms.inherited) } else { AlertsOf::Wallet },
            runway: self.runways.view(slot, terms.available(balance), now),
            last_entry: (last_lsn != 0).then(|| Lsn::new(last_lsn)),
            metadata: self.metadata.get(&slot).map(|entry| entry.clone()).unwrap_or_default(),
            holds: terms.holds.iter().filter(|hold| !hold.is_freeze()).count(),
            frozen: terms.frozen(),
            pending_count: terms.riders.unpaid.len() as u64,
            pending_amount: terms.riders.unpaid_total(),
        })
    }

    /// Asks the rules about a row of operations before the first is made.
    fn try_all(&self, slot: u32, operations: &[Operation], now: Timestamp, guard: &Guard) -> Result<(), CommandError> {
        let Some((mut terms, mut balance)) = self.read_at(slot, now, guard) else {
            return Err(CommandError::NotFound { what: "wallet" });
        };
        for operation in operations {
            let change = transition(&terms, balance, operation, now);
            change.result.map_err(CommandError::Rejected)?;
            terms = change.terms;
            balance = terms.opening;
        }
        Ok(())
    }

    /// Appends an administrative record in a frame of its own; answers the record's LSN.
    pub(super) fn append_admin(&self, record: &AdminRecord) -> Result<Lsn, CommandError> {
        let bytes = record.encode();
        let frame = Budget::frame_bytes(Prelude::length("") + bytes.len());
        let budget = Budget(self.admit_wait(frame)?);
        Ok(self.publish_bytes(&budget, bytes))
    }

    /// As [`Inner::append_admin`], for a thread that has been admitted.
    fn publish_admin(&self, budget: &Budget<'_>, record: &AdminRecord) -> Lsn {
        self.publish_bytes(budget, record.encode())
    }

    fn publish_bytes(&self, budget: &Budget<'_>, mut record: Vec<u8>) -> Lsn {
        let distance = Prelude::length("");
        let length = distance + record.len();
        let mut frame = budget.reserve(kind::ADMIN, length).expect("admitted with the record's length");
        crate::journal::admin::place(&mut record, distance as u32);
        let lsn = Lsn::new(frame.payload_lsn().get() + distance as u64);
        let payload = frame.payload_mut();
        Prelude { time: self.now(), source: "" }.write(payload);
        payload[distance..length].copy_from_slice(&record);
        frame.publish(length, 1);
        lsn
    }

    /// Appends administrative records in one frame. Answers where the first stands.
    pub(super) fn append_admins(&self, records: &[AdminRecord]) -> Result<Lsn, CommandError> {
        let mut distance = Prelude::length("");
        let mut bytes = vec![0; distance];
        for record in records {
            let mut record = record.encode();
            crate::journal::admin::place(&mut record, distance as u32);
            bytes.extend_from_slice(&record);
            distance = bytes.len();
        }
        let budget = Budget(self.admit_wait(Budget::frame_bytes(bytes.len()))?);
        let mut frame = budget.reserve(kind::ADMIN, bytes.len()).expect("admitted with the records' length");
        Prelude { time: self.now(), source: "" }.write(&mut bytes);
        frame.payload_mut()[..bytes.len()].copy_from_slice(&bytes);
        let first = Lsn::new(frame.payload_lsn().get() + Prelude::length("") as u64);
        frame.publish(bytes.len(), records.len() as u32);
        Ok(first)
    }
}

/// What grants have left, each with what open holds have of it, in spend order.
fn active_lots(terms: &Terms, balance: Amount) -> Vec<LotView> {
    let mut lots: Vec<_> = terms.lots_at(balance).lots.into_iter().map(|lot| (lot, Amount::ZERO)).collect();
    for part in terms.holds.iter().flat_map(|hold| &hold.parts) {
        let held = part.lot.remaining;
        // All parts of one grant add up to less than the grant.
        let sum = |one: Amount| one.checked_add(held).unwrap_or(Amount::MAX);
        match lots.iter_mut().find(|(lot, _)| lot.id == part.lot.id) {
            Some((lot, before)) => (lot.remaining, *before) = (sum(lot.remaining), sum(*before)),
            None => lots.push((part.lot, held)),
        }
    }
    lots.sort_by(|(one, _), (other, _)| one.spend_order(other));
    let view = |(lot, held): (Lot, Amount)| LotView { held, frozen: terms.frozen_of(lot.id), ..lot_view(&lot, false) };
    lots.into_iter().map(view).collect()
}

fn lot_view(lot: &Lot, scheduled: bool) -> LotView {
    LotView {
        id: lot.id,
        remaining: lot.remaining,
        amount: lot.granted,
        priority: lot.priority,
        category: lot.category,
        effective_at: lot.effective_at,
        expires_at: lot.expires_at.timestamp(),
        scheduled,
        held: Amount::ZERO,
        frozen: Amount::ZERO,
    }
}

fn alert_views(terms: &Terms) -> Vec<AlertView> {
    let bearings = terms.bearings();
    let levels = terms.levels.iter().flat_map(|levels| levels.iter());
    levels
        .enumerate()
        .map(|(index, level)| AlertView {
            name: level.name.to_string(),
            amount: level.amount_at(&bearings),
            trigger: level.trigger,
            margin: level.margin,
            triggered: terms.states.triggered >> index & 1 == 1,
            watches: level.watches,
            percent: level.percent,
            min_interval_ms: level.min_interval_ms,
            muted: terms.states.muted >> index & 1 == 1,
        })
        .collect()
}

/// The levels that are asked for.
pub(super) fn levels_of(alerts: &[AlertSpec], scale: Scale) -> Result<Levels, CommandError> {
    let levels = alerts.iter().map(|spec| level(spec, scale)).collect::<Result<Vec<_>, _>>()?;
    Levels::new(levels).map_err(|error| CommandError::Invalid { field: "levels", detail: error.to_string() })
}

fn level(spec: &AlertSpec, scale: Scale) -> Result<Level, CommandError> {
    let amount = |decimal: Decimal, field| {
        Amount::from_decimal(decimal, scale)
            .map_err(|error: AmountError| CommandError::Invalid { field, detail: error.to_string() })
    };
    Ok(Level {
        name: spec.name.as_str().into(),
        amount: amount(spec.amount, "amount")?,
        trigger: spec.trigger,
        margin: amount(spec.margin, "margin")?,
        watches: spec.watches,
        percent: spec.percent,
        min_interval_ms: spec.min_interval_ms,
    })
}

fn allowance(floor: Decimal, scale: Scale) -> Result<Amount, CommandError> {
    let invalid = |detail: String| CommandError::Invalid { field: "floor", detail };
    let floor = Amount::from_decimal(floor, scale).map_err(|error| invalid(error.to_string()))?;
    if floor > Amount::ZERO {
        return Err(invalid("must be zero, or minus the overdraft allowance".to_owned()));
    }
    floor.checked_neg().ok_or(CommandError::Rejected(Rejection::InvalidAmount))
}
