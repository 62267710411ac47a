//! Default alert levels of a currency, for wallets that have none of their own.
//!
//! They reach a wallet by an operation of its own ([`Operation::InheritLevels`]), so that replay needs no catalogue and no order between
//! records of several wallets. When:
//! 1. a wallet that is made gets them right behind its first grant;
//! 2. a wallet that was there before gets them right before its terms change the next time by anything but a debit: a grant, a void, an
//!    expiry, a change of its settings;
//! 3. if they were set to apply at once, the background carries them to all wallets, so many in a round that nobody notices.
//!
//! They never fire by themselves: like all levels they are armed where the balance is at or above the line, and wait where it is below.

use super::catalog::{CreditCurrency, CurrencyNumber};
use super::ticket::Ticket;
use super::view::{AlertSpec, CommandError};
use super::wallet::WalletOperation;
use super::wallets::levels_of;
use super::{Engine, Inner};
use crate::journal::admin::AdminRecord;
use crate::journal::alerts::DefaultLevelsRecord;
use crate::ledger::{Levels, Operation, Status, Terms, Timestamp};
use crate::store::{Guard, pin};
use dashmap::DashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Wallets that a round of the background gives new levels at the most.
const SPREAD_IN_A_ROUND: u32 = 512;

/// The default levels of all currencies.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    by_currency: DashMap<CurrencyNumber, Arc<DefaultLevelsRecord>>,
    /// Whether any currency ever had some. Set before the first is entered; a late reader gives a wallet its levels with the change after.
    any: AtomicBool,
    writer: Mutex<()>,
    /// The first slot that the background has not looked at since levels were last to apply at once; all, when it is through.
    /// A value on its own: what it leads to is read again slot by slot.
    spread: AtomicU64,
}

/// A currency's default levels as they stand.
#[derive(Clone, Debug)]
pub struct DefaultAlerts {
    /// The currency.
    pub currency: Arc<CreditCurrency>,
    /// How often they have been changed; 0 if there never were any.
    pub version: u32,
    /// They.
    pub levels: Option<Arc<Levels>>,
    /// Whether wallets that there are get them at once.
    pub at_once: bool,
    /// Whether the background is still carrying levels to wallets.
    pub spreading: bool,
}

impl Defaults {
    /// Enters what was set.
    pub(super) fn enter(&self, record: DefaultLevelsRecord) {
        self.any.store(true, Ordering::Relaxed);
        let at_once = record.at_once;
        self.by_currency.insert(record.currency, Arc::new(record));
        if at_once {
            self.spread.store(0, Ordering::Relaxed);
        }
    }

    fn of(&self, currency: CurrencyNumber) -> Option<Arc<DefaultLevelsRecord>> {
        self.by_currency.get(&currency).map(|record| Arc::clone(&record))
    }

    /// All that were ever set, by currency.
    pub(super) fn all(&self) -> Vec<Arc<DefaultLevelsRecord>> {
        let mut all: Vec<_> = self.by_currency.iter().map(|record| Arc::clone(&record)).collect();
        all.sort_by_key(|record| record.currency);
        all
    }

    /// Whether amounts of the currency stand in its default levels.
    pub(super) fn use_currency(&self, currency: CurrencyNumber) -> bool {
        self.of(currency).is_some_and(|record| record.levels.is_some())
    }
}

impl Engine {
    /// Replaces a currency's default levels; an empty list leaves none. With `at_once` the background carries them to the wallets that
    /// there are; without, each gets them with the next change of its terms.
    pub fn set_default_alerts(
        &self,
        currency: &str,
        alerts: &[AlertSpec],
        at_once: bool,
    ) -> Result<(DefaultAlerts, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let missing = CommandError::NotFound { what: "credit_currency" };
        let _writer = inner.defaults.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = inner.catalog.snapshot();
        let found = catalog.currency(currency).ok_or(missing)?;
        let levels = levels_of(alerts, found.scale)?;
        let version = inner.defaults.of(found.number).map_or(0, |record| record.version);
        let version = version.checked_add(1).ok_or_else(|| CommandError::Conflict {
            slug: "too_many",
            detail: "the default levels have been changed too often".to_owned(),
        })?;
        let levels = (!levels.is_empty()).then(|| Arc::new(levels));
        let record = DefaultLevelsRecord { currency: found.number, version, levels, at_once };
        inner.append_admin(&AdminRecord::DefaultLevels(record.clone()))?;
        inner.defaults.enter(record);
        Ok((self.default_alerts(currency)?, self.barrier()))
    }

    /// A currency's default levels.
    pub fn default_alerts(&self, currency: &str) -> Result<DefaultAlerts, CommandError> {
        let inner = &*self.inner;
        let catalog = inner.catalog.snapshot();
        let currency = catalog.currency(currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        let record = inner.defaults.of(currency.number);
        Ok(DefaultAlerts {
            currency: Arc::clone(currency),
            version: record.as_ref().map_or(0, |record| record.version),
            levels: record.as_ref().and_then(|record| record.levels.clone()),
            at_once: record.is_some_and(|record| record.at_once),
            spreading: inner.spreads(),
        })
    }
}

impl Inner {
    /// What gives a wallet the levels that it should have inherited and has not.
    fn inheritance(&self, handle: u32, terms: &Terms, now: Timestamp) -> Option<WalletOperation> {
        if !terms.inherits() || terms.status == Status::Closed {
            return None;
        }
        let wanted = self.defaults.of(self.names.get(handle)?.currency)?;
        let follows = if wanted.levels.is_some() { wanted.version } else { 0 };
        if terms.inherited == follows {
            return None;
        }
        let inherit = Operation::InheritLevels { version: wanted.version, levels: wanted.levels.clone() };
        Some(WalletOperation::new(inherit, now))
    }

    /// Gives a wallet its currency's default levels, if it is to have them and has not.
    pub(super) fn follow_defaults(&self, handle: u32, now: Timestamp, guard: &Guard) -> Result<bool, CommandError> {
        if !self.defaults.any.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let Some(reading) = self.slab.get(handle).read(guard) else { return Ok(false) };
        let inheritance = self.inheritance(handle, &reading.generation.terms().get(), now);
        match inheritance {
            Some(operation) => self.operate_alone(handle, operation, guard).map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether wallets are still to be looked at.
    fn spreads(&self) -> bool {
        let waits = self.defaults.all().iter().any(|record| record.at_once);
        waits && self.defaults.spread.load(Ordering::Relaxed) < self.slab.len() as u64
    }

    /// A round of carrying default levels to wallets: so many slots are looked at. Answers whether there was anything to do.
    pub(super) fn spread_defaults(&self, slots: u32) -> bool {
        if !self.defaults.any.load(Ordering::Relaxed) || !self.spreads() {
            return false;
        }
        let now = self.now();
        let first = self.defaults.spread.load(Ordering::Relaxed);
        let last = (self.slab.len() as u64).min(first.saturating_add(slots.into()));
        let (mut given, mut next) = (0, first);
        while next < last && given < SPREAD_IN_A_ROUND.min(slots) {
            let slot = next as u32;
            let at_once = self.names.get(slot).and_then(|name| self.defaults.of(name.currency)).map(|d| d.at_once);
            if at_once == Some(true) {
                match self.follow_defaults(slot, now, &pin()) {
                    Ok(done) => given += u32::from(done),
                    // A log that takes nothing now: this wallet is tried again in the next round.
                    Err(CommandError::Unavailable(_)) => break,
                    // It was closed meanwhile.
                    Err(_) => {}
                }
            }
            next += 1;
        }
        // Levels that were set meanwhile begin from the first slot again.
        let _ = self.defaults.spread.compare_exchange(first, next, Ordering::Relaxed, Ordering::Relaxed);
        next > first
    }
}
