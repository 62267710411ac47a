//! The feed: what happened, told from the durable log in its order. The first of the log's followers.
//!
//! A follower owns a cursor, reads durable records only and keeps nothing else, so it can be dropped and taken up again at any time. Events
//! are told at least once: an operation may stand in the log in several identical copies. Each event has an identity that all its copies
//! share.

use super::catalog::Catalog;
use super::history::{event_ref, line_names, unreadable};
use super::ticket::Ticket;
use super::view::{CommandError, EventRef, FeedEvent, FeedPage, FeedValue, Unavailable};
use super::{Engine, Inner};
use crate::catalog::CustomerChange;
use crate::journal::admin::AdminRecord;
use crate::journal::control::CustomerRecord;
use crate::journal::debit::DebitRecord;
use crate::journal::operation::{Event, OperationRecord};
use crate::journal::{self, Record};
use crate::ledger::{Amount, Movement, Operation, Scale, Status, Timestamp};
use drawdown_wal::{FrameRef, Lsn, ReadError};
use std::collections::HashSet;

impl Engine {
    /// Events of records behind the record `after`, in order, `limit` at the least where there are as many: the events of one record are
    /// not torn apart. With `kinds`, those only.
    pub fn feed(&self, after: Lsn, limit: usize, kinds: Option<&[&str]>) -> Result<FeedPage, CommandError> {
        let inner = &*self.inner;
        if inner.is_retired(after.get()) {
            return Err(inner.retired());
        }
        let start = journal::frame_of(&inner.log, after).unwrap_or(after).max(inner.log.first());
        let mut reader = inner.log.reader(start);
        let mut page = Page {
            inner,
            catalog: inner.catalog.snapshot(),
            after,
            limit,
            kinds,
            seen: HashSet::new(),
            told: FeedPage { events: Vec::new(), next: after, at_end: false },
        };
        while !page.is_full() {
            let Some(frame) = reader.next().map_err(|error| read_error(&error))? else {
                page.told.at_end = true;
                break;
            };
            page.take(&frame)?;
        }
        Ok(page.told)
    }

    /// Resolves when something behind `after` has become durable.
    pub fn feed_wait(&self, after: Lsn) -> Ticket {
        let durable = self.inner.log.durable();
        Ticket::new(&self.inner.log, Lsn::new(after.max(durable).get() + 1))
    }
}

fn read_error(error: &ReadError) -> CommandError {
    match error {
        ReadError::Retired { first, .. } => CommandError::Retired { first: *first },
        ReadError::Corrupt { .. } => {
            CommandError::Unavailable(Unavailable::Poisoned(format!("the log cannot be read: {error}")))
        }
    }
}

/// The generation that a wallet's first operation opens.
const FIRST_OPERATION: u32 = 2;

/// A page being filled.
struct Page<'a> {
    inner: &'a Inner,
    catalog: std::sync::Arc<Catalog>,
    after: Lsn,
    limit: usize,
    kinds: Option<&'a [&'a str]>,
    /// Operations told on this page, by slot and generation: their copies are passed over.
    seen: HashSet<(u32, u32)>,
    told: FeedPage,
}

/// What the events of one record share.
struct Telling<'p, 'a> {
    page: &'p mut Page<'a>,
    lsn: Lsn,
    index: u16,
    identity: String,
    time: Timestamp,
    slot: u32,
}

impl<'a> Page<'a> {
    fn is_full(&self) -> bool {
        self.told.events.len() >= self.limit
    }

    fn take(&mut self, frame: &FrameRef<'_>) -> Result<(), CommandError> {
        let records = journal::records(frame.payload, frame.payload_lsn).map_err(unreadable)?;
        let time = records.prelude().time;
        for record in records {
            if self.is_full() {
                return Ok(());
            }
            let (lsn, record) = record.map_err(unreadable)?;
            if lsn > self.after {
                self.tell(lsn, time, &record);
                self.told.next = lsn;
            }
        }
        Ok(())
    }

    fn tell(&mut self, lsn: Lsn, time: Timestamp, record: &Record<'_>) {
        match record {
            Record::Debit(_) if self.inner.repairs.is_dropped(lsn.get()) => {}
            Record::Debit(debit) => self.telling(lsn, lsn.to_string(), debit.time, debit.slot).debit(debit),
            Record::Operation(operation) => {
                if self.seen.insert((operation.slot, operation.generation)) {
                    let identity = format!("{}-{}", operation.slot, operation.generation);
                    self.telling(lsn, identity, operation.time, operation.slot).operation(operation);
                }
            }
            Record::Admin(AdminRecord::Wallet(wallet)) => {
                self.telling(lsn, lsn.to_string(), time, wallet.slot).push("wallet.created", Vec::new());
            }
            Record::Admin(AdminRecord::Metadata(metadata)) => {
                self.telling(lsn, lsn.to_string(), time, metadata.slot).push("wallet.updated", Vec::new());
            }
            Record::Admin(AdminRecord::Customer(customer)) => self.customer(lsn, time, customer),
            Record::Admin(_) => {}
        }
    }

    /// What became of a customer; its personal data are not told.
    fn customer(&mut self, lsn: Lsn, time: Timestamp, customer: &CustomerRecord) {
        let kind = match customer.change {
            CustomerChange::Created => "customer.created",
            CustomerChange::Updated => "customer.updated",
            CustomerChange::Archived => "customer.archived",
            CustomerChange::Erased => "customer.erased",
        };
        if self.kinds.is_some_and(|kinds| !kinds.contains(&kind)) {
            return;
        }
        let status = if customer.archived { "archived" } else { "active" };
        self.told.events.push(FeedEvent {
            id: format!("evt_{lsn}-0"),
            lsn,
            index: 0,
            kind,
            time,
            customer: Some(customer.id.clone()),
            currency: None,
            data: vec![
                ("status", FeedValue::Text(status.to_owned())),
                ("collection_method", FeedValue::Text(customer.collection_method.as_str().to_owned())),
            ],
        });
    }

    fn telling(&mut self, lsn: Lsn, identity: String, time: Timestamp, slot: u32) -> Telling<'_, 'a> {
        Telling { page: self, lsn, index: 0, identity, time, slot }
    }
}

type Fields = Vec<(&'static str, FeedValue)>;

impl Telling<'_, '_> {
    fn push(&mut self, kind: &'static str, data: Fields) {
        let index = self.index;
        self.index += 1;
        if self.page.kinds.is_some_and(|kinds| !kinds.contains(&kind)) {
            return;
        }
        let name = self.page.inner.names.get(self.slot);
        let currency = name.and_then(|name| self.page.catalog.currency_by_number(name.currency)).cloned();
        self.page.told.events.push(FeedEvent {
            id: format!("evt_{}-{index}", self.identity),
            lsn: self.lsn,
            index,
            kind,
            time: self.time,
            customer: name.map(|name| name.customer.to_string()),
            currency,
            data,
        });
    }

    fn scale(&self) -> Scale {
        let name = self.page.inner.names.get(self.slot);
        name.and_then(|name| self.page.catalog.currency_by_number(name.currency))
            .map_or_else(Scale::default, |currency| currency.scale)
    }

    fn amount(&self, amount: Amount) -> FeedValue {
        FeedValue::Text(amount.display(self.scale()).to_string())
    }

    fn debit(&mut self, debit: &DebitRecord<'_>) {
        let balance = self.page.inner.repairs.balance_after(self.lsn.get()).unwrap_or(debit.balance_after);
        let event = Event { id: debit.id, source: debit.source, time: debit.event_time, metered: debit.metered };
        let data = self.debit_data(debit.amount, balance, &event_ref(&self.page.catalog, &event));
        self.push("debit.applied", data);
    }

    fn debit_data(&self, amount: Amount, balance: Amount, event: &EventRef) -> Fields {
        let mut data = vec![
            ("entry", FeedValue::Text(self.lsn.to_string())),
            ("amount", self.amount(amount)),
            ("balance", self.amount(balance)),
            ("event_id", FeedValue::Text(event.id.clone())),
            ("event_source", FeedValue::Text(event.source.clone())),
            ("event_time", FeedValue::Time(event.time)),
        ];
        if let Some((meter, quantity)) = &event.metered {
            data.push(("meter", FeedValue::Text(meter.clone())));
            data.push(("quantity", FeedValue::Text(quantity.to_string())));
        }
        data
    }

    fn operation(&mut self, record: &OperationRecord<'_>) {
        let body = &record.body;
        for movement in &body.movements {
            self.movement(movement);
        }
        if !body.rejected {
            match (&body.operation, &body.event) {
                (Operation::Debit { .. }, Some(event)) => {
                    let event = event_ref(&self.page.catalog, event);
                    let mut data = self.debit_data(body.taken.amount, record.opening, &event);
                    if body.taken.shortfall > Amount::ZERO {
                        data.push(("shortfall", self.amount(body.taken.shortfall)));
                    }
                    self.push("debit.applied", data);
                }
                (Operation::SetStatus(Status::Frozen), _) => self.push("wallet.frozen", Vec::new()),
                (Operation::SetStatus(Status::Closed), _) => self.push("wallet.closed", Vec::new()),
                (Operation::SetStatus(Status::Active) | Operation::SetAllowance(_) | Operation::SetLevels(_), _) => {
                    self.push("wallet.updated", Vec::new());
                }
                _ => {}
            }
        }
        self.lines(record);
    }

    fn movement(&mut self, movement: &Movement) {
        let kind = match movement {
            Movement::Granted { .. } | Movement::Scheduled { .. } => "grant.created",
            Movement::Activated { .. } => "grant.activated",
            Movement::Depleted { .. } => "grant.depleted",
            Movement::Expired { .. } => "grant.expired",
            Movement::Voided { .. } | Movement::ScheduledVoided { .. } | Movement::WrittenOff { .. } => "grant.voided",
            Movement::ExpiryMoved { .. } => "grant.updated",
            Movement::DebtPaid { .. } => "debt.repaid",
            Movement::Spent { .. } | Movement::Overdrawn { .. } | Movement::DebtWrittenOff { .. } => return,
        };
        let mut data = Vec::new();
        if let Some(grant) = movement.grant() {
            data.push(("grant", FeedValue::Text(self.page.inner.grant_text(grant))));
        }
        if let Some(amount) = moved(movement) {
            data.push(("amount", self.amount(amount)));
        }
        self.push(kind, data);
    }

    /// Lines crossed and recovered.
    fn lines(&mut self, record: &OperationRecord<'_>) {
        let balance = record.opening;
        // A new wallet's first credit lifts it off zero: that is no recovery, for it had never been depleted.
        let mut recovered = record.body.recovered.clone();
        recovered.depleted &= record.generation != FIRST_OPERATION;
        for (names, up) in [(&record.body.crossed, false), (&recovered, true)] {
            for name in line_names(names) {
                let kind = match (&*name, up) {
                    (_, true) => "balance.recovered",
                    ("depleted", false) if names.depleted => "balance.depleted",
                    ("negative", false) if names.negative => "balance.negative",
                    (_, false) => "balance.low",
                };
                let data = vec![("level", FeedValue::Text(name.to_string())), ("balance", self.amount(balance))];
                self.push(kind, data);
            }
        }
    }
}

/// The amount that a movement is about.
fn moved(movement: &Movement) -> Option<Amount> {
    match *movement {
        Movement::Granted { amount, .. }
        | Movement::Scheduled { amount, .. }
        | Movement::Activated { amount, .. }
        | Movement::DebtPaid { amount, .. }
        | Movement::Expired { amount, .. }
        | Movement::Voided { amount, .. }
        | Movement::ScheduledVoided { amount, .. }
        | Movement::ExpiryMoved { amount, .. }
        | Movement::WrittenOff { amount, .. } => Some(amount),
        Movement::Depleted { .. }
        | Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::DebtWrittenOff { .. } => None,
    }
}
