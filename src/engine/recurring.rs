//! Recurring grants: plan refills and drips.
//!
//! A recurring grant is a schedule that is owned by a wallet. Its occurrences are grants like any others, made ahead of time as scheduled
//! ones, so that they take effect exactly on the debit's path whether or not anybody keeps house: the next two at the least, and whatever
//! falls into the next hour. The background's round and the opening of the engine make what is missing.
//!
//! # Invariants
//! 1. No occurrence is made twice: the operation that makes it says which it is, and the rules keep how far each schedule has come in the
//!    wallet's terms and refuse what lies below ([`crate::ledger::Progress`]). So this survives crashes, snapshots and races, and is not
//!    bound to the idempotency window: occurrences are made months ahead.
//! 2. None is lost: an occurrence counts as made with that very operation, and not with its declaration.
//! 3. Each version of a recurring grant has a schedule of its own, whose number is the LSN of the version's record. What an earlier version
//!    has made and what has not taken effect is taken back, in one operation, before the new one makes any; if a crash comes between, the
//!    next round does it.
//! 4. A customer's recurring grants are changed, and their occurrences made, by one thread at a time.

mod rounds;

use super::catalog::CreditCurrency;
use super::grants::{check_cost, check_metadata, check_text, rollover_of};
use super::ticket::Ticket;
use super::view::{CommandError, CostBasis, Metadata, RolloverSpec};
use super::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::AdminRecord;
use crate::journal::recurring::RecurringRecord;
use crate::ledger::{
    Amount, Category, Decimal, Ends, Interval, MAX_PRIORITY, Rejection, Schedule, Source, Status, Timestamp,
};
use crate::store::pin;
use dashmap::DashMap;
use rounds::Queue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A recurring grant to be made or changed.
#[derive(Clone, Debug)]
pub struct RecurringSpec {
    /// The owner; the wallet is made if there is none.
    pub customer: String,
    /// Its id, 1 to 128 bytes, unique among the customer's.
    pub id: String,
    /// Currency id; `None` takes the only one.
    pub currency: Option<String>,
    /// What an occurrence grants: greater than zero, in credits.
    pub amount: Decimal,
    /// Where it comes from.
    pub source: Source,
    /// Paid or promotional.
    pub category: Category,
    /// `None` takes the source's default.
    pub priority: Option<u8>,
    /// How far apart occurrences are.
    pub interval: Interval,
    /// What they are counted from; `None` is that of the version before, or now.
    pub anchor: Option<Timestamp>,
    /// Whether one comes at once, beside those that the anchor gives.
    pub first_now: bool,
    /// When an occurrence ends.
    pub ends: Ends,
    /// What becomes of an occurrence's remainder.
    pub rollover: Option<RolloverSpec>,
    /// No occurrence begins at this instant or later.
    pub until: Option<Timestamp>,
    /// What is paid for an occurrence.
    pub cost_basis: Option<CostBasis>,
    /// The caller's own data, handed on to each occurrence.
    pub metadata: Metadata,
}

/// A recurring grant as it is now.
#[derive(Clone, Debug)]
pub struct RecurringView {
    /// The owner.
    pub customer: String,
    /// The wallet's currency.
    pub currency: Arc<CreditCurrency>,
    /// All that was said of it.
    pub record: RecurringRecord,
    /// Where it is in its life.
    pub state: RecurringState,
    /// When the next occurrence begins, if there is one.
    pub next: Option<Timestamp>,
    /// How many occurrences of this version have begun.
    pub begun: u64,
}

/// Where a recurring grant is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecurringState {
    /// Occurrences are to come.
    Active,
    /// Its last occurrence has begun, or its wallet is closed.
    Ended,
    /// It was stopped.
    Stopped,
}

/// All recurring grants.
#[derive(Debug, Default)]
pub(super) struct Recurrings {
    by_customer: DashMap<Box<str>, Arc<Mutex<OfCustomer>>>,
    queue: Queue,
}

/// A customer's recurring grants, by id.
type OfCustomer = BTreeMap<String, Recurring>;

/// The newest version of a recurring grant.
#[derive(Clone, Debug)]
struct Recurring {
    /// The LSN of its record: the number of its schedule.
    schedule: u64,
    record: RecurringRecord,
}

impl Recurrings {
    fn of(&self, customer: &str) -> Option<Arc<Mutex<OfCustomer>>> {
        self.by_customer.get(customer).map(|of| Arc::clone(&of))
    }

    fn of_or_new(&self, customer: &str) -> Arc<Mutex<OfCustomer>> {
        self.of(customer).unwrap_or_else(|| Arc::clone(&self.by_customer.entry(customer.into()).or_default()))
    }
}

fn lock(of: &Mutex<OfCustomer>) -> MutexGuard<'_, OfCustomer> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Makes or changes a recurring grant. The same again changes nothing. A change begins a new version: what the one before has made and
    /// what has not taken effect is taken back, what has taken effect stays.
    pub fn put_recurring(&self, spec: &RecurringSpec) -> Result<(RecurringView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("customer", &spec.customer, MAX_ID_BYTES)?;
        check_text("id", &spec.id, MAX_ID_BYTES)?;
        let currency = inner.currency_or_default(spec.currency.as_deref())?;
        let mut record = record_of(spec, &currency)?;
        let of_customer = inner.recurrings.of_or_new(&spec.customer);
        let mut all = lock(&of_customer);
        let now = inner.now();
        let guard = pin();
        let old = all.get(&spec.id).cloned();
        let live = old.as_ref().filter(|old| !old.record.stopped);
        record.slot = match live {
            Some(old) => inner.check_currency(old.record.slot, &currency)?,
            None => inner.find_or_make_wallet(&spec.customer, &currency, &guard)?,
        };
        if inner.read_at(record.slot, now, &guard).is_some_and(|(terms, _)| terms.status == Status::Closed) {
            return Err(Rejection::WalletClosed.into());
        }
        let anchor = spec.anchor.or(live.map(|old| old.record.schedule.anchor)).unwrap_or(now);
        record.schedule.anchor = anchor;
        let unchanged = live.is_some_and(|old| is_same(&old.record, &record));
        if !unchanged {
            // What the old version has missed is still its own.
            inner.keep_up(&spec.customer, &all, &spec.id, now)?;
            record.schedule.at_once = spec.first_now.then_some(now);
            record.schedule.skipped = record.schedule.interval.first_after(anchor, now);
            record.version = old.as_ref().map_or(0, |old| old.record.version).saturating_add(1);
            record.created_at = live.map_or(now, |old| old.record.created_at);
            record.updated_at = now;
            if currency.archived {
                return Err(CommandError::Conflict {
                    slug: "currency_archived",
                    detail: format!("credit currency {} takes no new grants", currency.id),
                });
            }
            let schedule = inner.append_admin(&AdminRecord::Recurring(record.clone()))?.get();
            all.insert(spec.id.clone(), Recurring { schedule, record });
        }
        inner.keep_up(&spec.customer, &all, &spec.id, now)?;
        let view = inner.recurring_view(&spec.customer, &all[&spec.id], now)?;
        Ok((view, self.barrier()))
    }

    /// Stops a recurring grant: what it has granted stays, what it has made and what has not taken effect is taken back. Repeating it is
    /// success.
    pub fn stop_recurring(&self, customer: &str, id: &str) -> Result<(RecurringView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let missing = CommandError::NotFound { what: "recurring_grant" };
        let of_customer = inner.recurrings.of(customer).ok_or(missing.clone())?;
        let mut all = lock(&of_customer);
        let now = inner.now();
        let old = all.get(id).ok_or(missing)?.record.clone();
        if !old.stopped {
            inner.keep_up(customer, &all, id, now)?;
            let record =
                RecurringRecord { version: old.version.saturating_add(1), stopped: true, updated_at: now, ..old };
            let schedule = inner.append_admin(&AdminRecord::Recurring(record.clone()))?.get();
            all.insert(id.to_owned(), Recurring { schedule, record });
        }
        inner.keep_up(customer, &all, id, now)?;
        Ok((inner.recurring_view(customer, &all[id], now)?, self.barrier()))
    }

    /// A recurring grant.
    pub fn recurring(&self, customer: &str, id: &str) -> Result<RecurringView, CommandError> {
        let missing = CommandError::NotFound { what: "recurring_grant" };
        let of_customer = self.inner.recurrings.of(customer).ok_or(missing.clone())?;
        let found = lock(&of_customer).get(id).cloned().ok_or(missing)?;
        self.inner.recurring_view(customer, &found, self.inner.now())
    }

    /// All recurring grants of a customer, stopped ones too, by id.
    pub fn customer_recurrings(&self, customer: &str) -> Vec<RecurringView> {
        let Some(of_customer) = self.inner.recurrings.of(customer) else { return Vec::new() };
        let all: Vec<Recurring> = lock(&of_customer).values().cloned().collect();
        let now = self.inner.now();
        all.iter().filter_map(|recurring| self.inner.recurring_view(customer, recurring, now).ok()).collect()
    }
}

impl Inner {
    /// Enters a recurring grant that was read back. Of several versions the highest stands, in whatever order they come.
    pub(super) fn enter_recurring(&self, schedule: u64, record: RecurringRecord) {
        let Some(name) = self.names.get(record.slot) else { return };
        let of_customer = self.recurrings.of_or_new(name.customer);
        let mut all = lock(&of_customer);
        if all.get(&record.id).is_none_or(|known| known.record.version < record.version) {
            all.insert(record.id.clone(), Recurring { schedule, record });
        }
    }

    /// All recurring grants with their schedules' numbers, in the order of slots and ids.
    pub(super) fn recurring_records(&self) -> Vec<(u64, RecurringRecord)> {
        let mut records = Vec::new();
        for of_customer in &self.recurrings.by_customer {
            let all = lock(&of_customer);
            records.extend(all.values().map(|recurring| (recurring.schedule, recurring.record.clone())));
        }
        records.sort_by(|(_, a), (_, b)| (a.slot, &a.id).cmp(&(b.slot, &b.id)));
        records
    }

    /// The wallet of a recurring grant that goes on, if it is one of this currency.
    fn check_currency(&self, slot: u32, currency: &CreditCurrency) -> Result<u32, CommandError> {
        let name = self.names.get(slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        if name.currency == currency.number {
            return Ok(slot);
        }
        Err(CommandError::Conflict {
            slug: "other_currency",
            detail: "the recurring grant is of another currency; stop it first, or take another id".to_owned(),
        })
    }

    fn recurring_view(
        &self,
        customer: &str,
        recurring: &Recurring,
        now: Timestamp,
    ) -> Result<RecurringView, CommandError> {
        let record = &recurring.record;
        let name = self.names.get(record.slot).ok_or(CommandError::NotFound { what: "wallet" })?;
        let catalog = self.catalog.snapshot();
        let currency =
            catalog.currency_by_number(name.currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        let closed = self.read_at(record.slot, now, &pin()).is_none_or(|(terms, _)| terms.status == Status::Closed);
        let begun = record.schedule.first_after(now);
        let next = record.schedule.begin(begun).filter(|_| !closed && !record.stopped);
        let state = match next {
            _ if record.stopped => RecurringState::Stopped,
            Some(_) => RecurringState::Active,
            None => RecurringState::Ended,
        };
        // One that has ended did not go on counting.
        let begun = match record.schedule.until {
            Some(until) if until <= now => {
                record.schedule.first_after(Timestamp::from_millis(until.millis().saturating_sub(1)))
            }
            _ => begun,
        };
        let (customer, currency) = (customer.to_owned(), Arc::clone(currency));
        Ok(RecurringView { customer, currency, record: record.clone(), state, next, begun })
    }
}

/// Checks a recurring grant; what depends on the wallet and the version before is left open.
fn record_of(spec: &RecurringSpec, currency: &CreditCurrency) -> Result<RecurringRecord, CommandError> {
    let invalid = |field, detail: &str| CommandError::Invalid { field, detail: detail.to_owned() };
    let amount = Amount::from_decimal(spec.amount, currency.scale)
        .map_err(|error| CommandError::Invalid { field: "amount", detail: error.to_string() })?;
    if amount <= Amount::ZERO {
        return Err(invalid("amount", "must be greater than zero"));
    }
    check_metadata(&spec.metadata)?;
    check_cost(spec.cost_basis.as_ref())?;
    let priority = spec.priority.unwrap_or_else(|| currency.default_priority(spec.source));
    if priority > MAX_PRIORITY {
        return Err(Rejection::InvalidPriority.into());
    }
    match spec.ends {
        Ends::After(0) => return Err(invalid("expires", "must be above zero seconds")),
        Ends::Never if spec.rollover.is_some() => return Err(invalid("rollover", "is for grants that end")),
        Ends::After(_) | Ends::Never | Ends::WithNext => {}
    }
    let rollover = spec.rollover.as_ref().map(|rollover| rollover_of(rollover, currency)).transpose()?;
    let schedule = Schedule {
        anchor: Timestamp::EPOCH,
        interval: spec.interval,
        at_once: None,
        skipped: 0,
        ends: spec.ends,
        until: spec.until,
    };
    Ok(RecurringRecord {
        slot: 0,
        id: spec.id.clone(),
        version: 0,
        amount,
        source: spec.source,
        category: spec.category,
        priority,
        schedule,
        first_now: spec.first_now,
        rollover,
        cost_basis: spec.cost_basis.clone(),
        metadata: spec.metadata.clone(),
        stopped: false,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    })
}

/// Whether what is asked for is what there is. When it was asked for is no part of it.
fn is_same(old: &RecurringRecord, new: &RecurringRecord) -> bool {
    let asked = |record: &RecurringRecord| {
        let schedule = Schedule { at_once: None, skipped: 0, ..record.schedule };
        let (version, created_at, updated_at) = (0, Timestamp::EPOCH, Timestamp::EPOCH);
        RecurringRecord { version, schedule, created_at, updated_at, ..record.clone() }
    };
    asked(old) == asked(new)
}
