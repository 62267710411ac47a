//! The feed: what happened, told from the durable log in its order. The first of the log's followers.
//!
//! A follower owns a cursor, reads durable records only and keeps nothing else, so it can be dropped and taken up again at any time. Events
//! are told at least once: an operation may stand in the log in several identical copies. Each event has an identity that all its copies
//! share.

mod billing;
mod follow;
mod webhooks;

pub use follow::{FeedReader, Followed};
pub(super) use webhooks::TEST;

use super::catalog::{Catalog, CreditCurrency};
use super::history::{event_ref, frozen_by, line_names, unreadable};
use super::ticket::poisoned_error;
use super::view::{CommandError, EventRef, FeedEvent, FeedPage, FeedValue, Unavailable};
use super::{Engine, Inner};
use crate::catalog::CustomerChange;
use crate::journal::admin::AdminRecord;
use crate::journal::alerts::{DefaultLevelsRecord, RunwayToldRecord};
use crate::journal::control::CustomerRecord;
use crate::journal::debit::DebitRecord;
use crate::journal::note::{Note, NoteKind};
use crate::journal::operation::{Event, OperationRecord};
use crate::journal::recurring::RecurringRecord;
use crate::journal::refused::RefusedRecord;
use crate::journal::webhook::WebhookRecord;
use crate::journal::{self, Record};
use crate::ledger::{Amount, HoldId, Movement, NewGrant, NewHold, Operation, Reversal, Scale, Status, Timestamp};
use drawdown_wal::{FrameRef, Lsn, ReadError};
use std::collections::HashSet;
use std::sync::Arc;

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
            kinds: kinds.map(Kinds::Named),
            seen: HashSet::new(),
            told: FeedPage { events: Vec::new(), next: after, at_end: false, read: start },
        };
        while !page.is_full() {
            let Some(frame) = reader.next().map_err(|error| read_error(&error))? else {
                page.told.at_end = true;
                page.told.read = reader.position();
                break;
            };
            page.take(&frame)?;
        }
        Ok(page.told)
    }

    /// Resolves when more has become durable than a reader has read: a page at the end of the feed up to [`FeedPage::read`], the follower of rules
    /// up to its step's position.
    ///
    /// What became durable since the reading counts, so nothing is slept through. The log is not hurried: what is waited for by nobody else is synced
    /// within milliseconds.
    pub fn feed_wait(&self, read: Lsn) -> impl Future<Output = Result<(), Unavailable>> + Send + use<> {
        let more = self.inner.log.once_durable(Lsn::new(read.get().saturating_add(1)));
        async move { more.await.map_err(|poisoned| poisoned_error(&poisoned)) }
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

/// No wallet's slot: there are fewer.
const NO_SLOT: u32 = u32::MAX;

/// A page being filled.
struct Page<'a> {
    inner: &'a Inner,
    catalog: std::sync::Arc<Catalog>,
    after: Lsn,
    limit: usize,
    kinds: Option<Kinds<'a>>,
    /// Operations told on this page, by slot and generation: their copies are passed over.
    seen: HashSet<(u32, u32)>,
    told: FeedPage,
}

/// Which types of events are wanted.
#[derive(Clone, Copy)]
enum Kinds<'a> {
    /// These.
    Named(&'a [&'a str]),
    /// Those of which this says so.
    Where(&'a dyn Fn(&str) -> bool),
}

impl Kinds<'_> {
    fn contains(self, kind: &&str) -> bool {
        match self {
            Kinds::Named(names) => names.contains(kind),
            Kinds::Where(wants) => wants(kind),
        }
    }
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
            Record::Debit(_) if self.kinds.is_some_and(|kinds| !kinds.contains(&"debit.applied")) => {}
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
            Record::Admin(AdminRecord::Recurring(recurring)) => {
                self.telling(lsn, lsn.to_string(), time, recurring.slot).recurring(recurring);
            }
            Record::Admin(AdminRecord::DefaultLevels(record)) => {
                self.telling(lsn, lsn.to_string(), time, NO_SLOT).default_levels(record);
            }
            Record::Admin(AdminRecord::Runway(runway)) => {
                self.telling(lsn, lsn.to_string(), time, runway.slot).push("wallet.updated", Vec::new());
            }
            Record::Admin(AdminRecord::Refused(refused)) => {
                self.telling(lsn, lsn.to_string(), refused.at, refused.slot).refused(refused);
            }
            Record::Admin(AdminRecord::RunwayTold(told)) => {
                self.telling(lsn, lsn.to_string(), time, told.slot).runway(told);
            }
            Record::Admin(AdminRecord::Customer(customer)) => self.customer(lsn, time, customer),
            Record::Admin(AdminRecord::Billing(billing)) => self.billing(lsn, time, billing),
            Record::Admin(AdminRecord::Webhook(WebhookRecord::Endpoint(endpoint))) => {
                self.endpoint(lsn, time, endpoint);
            }
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
            CustomerChange::PortalClosed => "customer.portal_closed",
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
        let name = self.page.inner.names.get(self.slot);
        let currency = name.and_then(|name| self.page.catalog.currency_by_number(name.currency)).cloned();
        self.push_of(currency, kind, data);
    }

    fn push_of(&mut self, currency: Option<Arc<CreditCurrency>>, kind: &'static str, data: Fields) {
        let index = self.index;
        self.index += 1;
        if self.page.kinds.is_some_and(|kinds| !kinds.contains(&kind)) {
            return;
        }
        let name = self.page.inner.names.get(self.slot);
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
            self.movement(movement, &body.operation);
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
                (Operation::Hold(new), _) => self.hold_made(new),
                (Operation::Capture { hold, .. }, _) => self.captured(*hold, record, false),
                (Operation::LateCapture { hold, .. }, _) => self.captured(*hold, record, true),
                (Operation::SetStatus(Status::Frozen), _) => self.push("wallet.frozen", Vec::new()),
                (Operation::SetStatus(Status::Closed), _) => self.push("wallet.closed", Vec::new()),
                (
                    Operation::SetStatus(Status::Active)
                    | Operation::SetAllowance(_)
                    | Operation::SetLevels(_)
                    | Operation::InheritLevels { .. }
                    | Operation::SetCommitments(_),
                    _,
                ) => {
                    self.push("wallet.updated", Vec::new());
                }
                _ => {}
            }
            if let Some(note) = &body.note {
                self.correction(record, note);
            }
        }
        self.lines(record);
    }

    fn recurring(&mut self, record: &RecurringRecord) {
        let kind = match record.version {
            _ if record.stopped => "recurring_grant.stopped",
            1 => "recurring_grant.created",
            _ => "recurring_grant.updated",
        };
        let mut data = vec![
            ("recurring_grant", FeedValue::Text(record.id.clone())),
            ("version", FeedValue::Number(record.version.into())),
        ];
        if !record.stopped {
            data.push(("amount", self.amount(record.amount)));
            data.push(("source", FeedValue::Text(record.source.as_str().to_owned())));
            let interval = record.schedule.interval;
            data.push(("every", FeedValue::Number(interval.every().into())));
            data.push(("unit", FeedValue::Text(interval.unit().as_str().to_owned())));
        }
        self.push(kind, data);
    }

    fn correction(&mut self, record: &OperationRecord<'_>, note: &Note) {
        let body = &record.body;
        let entry = Lsn::new(record.counts);
        let other = self.other_side(record, note);
        let named = match (&body.operation, &other) {
            // By the entry of the wallet that gave.
            (Operation::TransferIn { .. }, Some((other, _))) => *other,
            _ => entry,
        };
        let mut data = vec![
            ("id", FeedValue::Text(self.page.inner.correction_text(note.kind, named))),
            ("entry", FeedValue::Text(entry.to_string())),
        ];
        let kind = match (note.kind, &body.operation) {
            (NoteKind::Adjustment, Operation::Grant(grant)) => {
                data.push(("amount", self.amount(grant.amount)));
                data.push(("grant", FeedValue::Text(self.page.inner.grant_text(grant.id))));
                "adjustment.created"
            }
            (NoteKind::Adjustment, _) => {
                data.push(("amount", self.amount(body.taken.amount.checked_neg().unwrap_or_default())));
                "adjustment.created"
            }
            (NoteKind::Charge, _) => {
                let amount = body.taken.amount.checked_add(body.taken.shortfall).unwrap_or_default();
                data.push(("amount", self.amount(amount)));
                data.push(("from_wallet", self.amount(body.taken.amount)));
                data.push(("to_pay", self.amount(body.taken.shortfall)));
                "charge.created"
            }
            (NoteKind::Reversal, Operation::Reverse(reversal)) => {
                self.reversal(&mut data, reversal, &body.movements);
                "debit.reversed"
            }
            (NoteKind::Transfer, Operation::TransferOut { amount, .. }) => {
                data.push(("amount", self.amount(*amount)));
                "transfer.sent"
            }
            (NoteKind::Transfer, Operation::TransferIn { grants }) => {
                let amount =
                    grants.iter().fold(Amount::ZERO, |sum, grant| sum.checked_add(grant.amount).unwrap_or(sum));
                data.push(("amount", self.amount(amount)));
                "transfer.received"
            }
            (NoteKind::Reversal | NoteKind::Transfer, _) => return,
        };
        if let Some((entry, customer)) = other {
            data.push(("other_customer", FeedValue::Text(customer)));
            data.push(("other_entry", FeedValue::Text(entry.to_string())));
        }
        data.push(("balance", self.amount(record.opening)));
        let texts = [("reason", &note.reason), ("invoice", &note.invoice)];
        data.extend(texts.into_iter().filter_map(|(name, text)| Some((name, FeedValue::Text(text.clone()?)))));
        self.push(kind, data);
    }

    /// The other side of a transfer: its entry, and the wallet's owner.
    fn other_side(&self, record: &OperationRecord<'_>, note: &Note) -> Option<(Lsn, String)> {
        let inner = self.page.inner;
        let other = note.other?;
        // What is told is durable, and both sides stand in one frame: the one that is told here, and each of its copies.
        let here = inner.other_entry(self.lsn, other).ok().flatten()?;
        let counts = (here.get() + record.counts).checked_sub(self.lsn.get())?;
        let customer = inner.names.get(other).map(|name| name.customer.to_string())?;
        Some((Lsn::new(counts), customer))
    }

    fn reversal(&self, data: &mut Fields, reversal: &Reversal, movements: &[Movement]) {
        let sum = |of: fn(&Movement) -> Option<Amount>| {
            let amounts = movements.iter().filter_map(of);
            amounts.fold(Amount::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(sum))
        };
        let returned = sum(|movement| match movement {
            Movement::GivenBack { amount, .. } | Movement::Reopened { amount, .. } => Some(*amount),
            _ => None,
        });
        let debt = sum(|movement| match movement {
            Movement::DebtReturned { amount } => Some(*amount),
            _ => None,
        });
        let forfeited = sum(|movement| match movement {
            Movement::Forfeited { amount, .. } => Some(*amount),
            _ => None,
        });
        data.push(("debit", FeedValue::Text(Lsn::new(reversal.debit).to_string())));
        data.push(("amount", self.amount(reversal.amount().unwrap_or_default())));
        data.push(("returned", self.amount(returned)));
        data.push(("debt", self.amount(debt)));
        data.push(("forfeited", self.amount(forfeited)));
        if let Some(grant) = &reversal.regrant {
            data.push(("regrant", FeedValue::Text(self.page.inner.grant_text(grant.id))));
        }
    }

    fn movement(&mut self, movement: &Movement, operation: &Operation) {
        if matches!(movement, Movement::Voided { amount: Amount::ZERO, .. }) {
            // What is held goes when the hold ends, and is told then.
            return;
        }
        if let Some(grant) = frozen_by(operation, movement) {
            let (kind, amount) = match (movement, operation) {
                (Movement::Held { amount, .. }, _) => ("grant.frozen", *amount),
                (Movement::Released { amount, .. }, Operation::ThawGrant { .. }) => ("grant.thawed", *amount),
                // More is frozen, which is told, or it is taken back, which the top-up tells.
                _ => return,
            };
            let grant = FeedValue::Text(self.page.inner.grant_text(grant));
            self.push(kind, vec![("grant", grant), ("amount", self.amount(amount))]);
            return;
        }
        let kind = match movement {
            Movement::Granted { .. }
            | Movement::Scheduled { .. }
            | Movement::AwaitsPayment { .. }
            | Movement::TransferredIn { .. } => "grant.created",
            Movement::Paid { .. } => "grant.paid",
            Movement::RolledOver { .. } => "grant.rolled_over",
            Movement::Activated { .. } => "grant.activated",
            Movement::Depleted { .. } => "grant.depleted",
            Movement::Expired { .. } => "grant.expired",
            Movement::Voided { .. } | Movement::ScheduledVoided { .. } | Movement::WrittenOff { .. } => "grant.voided",
            Movement::ExpiryMoved { .. } => "grant.updated",
            Movement::DebtPaid { .. } => "debt.repaid",
            Movement::Reopened { .. } => "grant.reopened",
            Movement::Released { .. } => "hold.released",
            Movement::HoldExpired { .. } => "hold.expired",
            Movement::HoldMoved { .. } => "hold.updated",
            Movement::TransferredOut { .. } => "grant.transferred",
            Movement::Spent { .. }
            | Movement::Overdrawn { .. }
            | Movement::DebtWrittenOff { .. }
            | Movement::Held { .. }
            | Movement::Reserved { .. }
            | Movement::Captured { .. }
            | Movement::PartSpent { .. }
            | Movement::Returned { .. }
            // Told with the debit's reversal.
            | Movement::GivenBack { .. }
            | Movement::DebtReturned { .. }
            | Movement::Forfeited { .. } => return,
        };
        let mut data = Vec::new();
        if let Some(grant) = movement.grant() {
            data.push(("grant", FeedValue::Text(self.page.inner.grant_text(grant))));
        }
        if let Some(hold) = movement.hold() {
            data.push(("hold", FeedValue::Text(self.page.inner.hold_text(hold, self.slot))));
        }
        if let Some(amount) = moved(movement) {
            data.push(("amount", self.amount(amount)));
        }
        if let Movement::HoldMoved { to, .. } = movement {
            data.push(("expires_at", FeedValue::Time(*to)));
        }
        if let Movement::RolledOver { into, .. } = movement {
            data.push(("into", FeedValue::Text(self.page.inner.grant_text(*into))));
        }
        let status = match movement {
            Movement::Granted { .. } | Movement::TransferredIn { .. } => Some("active"),
            Movement::Scheduled { .. } => Some("scheduled"),
            Movement::AwaitsPayment { .. } => Some("pending"),
            _ => None,
        };
        data.extend(status.map(|status| ("status", FeedValue::Text(status.to_owned()))));
        if let (
            Movement::Granted { .. } | Movement::Scheduled { .. } | Movement::AwaitsPayment { .. },
            Operation::Grant(grant),
        ) = (movement, operation)
        {
            self.made(grant, &mut data);
        }
        if let (Movement::TransferredIn { grant, .. }, Operation::TransferIn { grants }) = (movement, operation)
            && let Some(made) = grants.iter().find(|made| made.id == *grant)
        {
            self.made(made, &mut data);
        }
        self.push(kind, data);
    }

    fn hold_made(&mut self, new: &NewHold) {
        let data = vec![
            ("hold", FeedValue::Text(self.page.inner.hold_text(new.id, self.slot))),
            ("amount", self.amount(new.amount)),
            ("expires_at", FeedValue::Time(new.expires_at)),
        ];
        self.push("hold.created", data);
    }

    fn captured(&mut self, hold: HoldId, record: &OperationRecord<'_>, is_late: bool) {
        let taken = record.body.taken;
        let mut data = vec![
            ("entry", FeedValue::Text(self.lsn.to_string())),
            ("hold", FeedValue::Text(self.page.inner.hold_text(hold, self.slot))),
            ("amount", self.amount(taken.amount)),
            ("balance", self.amount(record.opening)),
        ];
        if taken.shortfall > Amount::ZERO {
            data.push(("shortfall", self.amount(taken.shortfall)));
        }
        if is_late {
            data.push(("late", FeedValue::Text("true".to_owned())));
        }
        self.push("hold.captured", data);
    }

    /// A currency's default levels were set.
    fn default_levels(&mut self, record: &DefaultLevelsRecord) {
        let currency = self.page.catalog.currency_by_number(record.currency).cloned();
        let count = record.levels.as_ref().map_or(0, |levels| levels.len() as u64);
        let data = vec![("version", FeedValue::Number(record.version.into())), ("levels", FeedValue::Number(count))];
        self.push_of(currency, "credit_currency.alerts_updated", data);
    }

    /// A wallet refused usage.
    fn refused(&mut self, refused: &RefusedRecord) {
        let data = vec![
            ("reason", FeedValue::Text(refused.reason.clone())),
            ("amount", self.amount(refused.amount)),
            ("balance", self.amount(refused.balance)),
            ("available", self.amount(refused.available)),
            ("event_id", FeedValue::Text(refused.event_id.clone())),
            ("event_source", FeedValue::Text(refused.source.clone())),
            ("event_time", FeedValue::Time(refused.event_time)),
            ("count", FeedValue::Number(refused.count)),
        ];
        self.push("debit.rejected", data);
    }

    /// A runway alert.
    fn runway(&mut self, told: &RunwayToldRecord) {
        let kind = if told.low { "balance.runway_low" } else { "balance.runway_recovered" };
        let burn = Amount::new(i64::try_from(told.burn_per_hour).unwrap_or(i64::MAX));
        let mut data = vec![("available", self.amount(told.available)), ("burn_rate_per_hour", self.amount(burn))];
        if told.minutes != u64::MAX {
            data.push(("runway_minutes", FeedValue::Number(told.minutes)));
        }
        self.push(kind, data);
    }

    /// What a follower must know of a grant to tell who pays which debit.
    fn made(&self, grant: &NewGrant, data: &mut Fields) {
        data.push(("category", FeedValue::Text(grant.category.as_str().to_owned())));
        data.push(("priority", FeedValue::Number(grant.priority.into())));
        data.push(("effective_at", FeedValue::Time(grant.effective_at)));
        data.extend(grant.expires_at.map(|end| ("expires_at", FeedValue::Time(end))));
        // Its declaration may have been retired: whoever follows from so far back knows it from then.
        let declared = super::reports::declaration(self.page.inner, grant.id);
        data.extend(declared.ok().map(|declared| ("source", FeedValue::Text(declared.source.as_str().to_owned()))));
    }

    /// Lines crossed and recovered.
    fn lines(&mut self, record: &OperationRecord<'_>) {
        let balance = record.opening;
        // A new wallet's first credit lifts it off zero: that is no recovery, for it had never been depleted.
        let mut recovered = record.body.recovered.clone();
        recovered.depleted &= record.generation != FIRST_OPERATION;
        for (names, up) in [(&record.body.crossed, false), (&recovered, true)] {
            for name in line_names(names) {
                // A crossing within the interval, and its recovery: in the ledger, and told to nobody.
                if names.quiet.contains(&&*name) {
                    continue;
                }
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
        | Movement::WrittenOff { amount, .. }
        | Movement::GivenBack { amount, .. }
        | Movement::Reopened { amount, .. }
        | Movement::Held { amount, .. }
        | Movement::Reserved { amount, .. }
        | Movement::Captured { amount, .. }
        | Movement::PartSpent { amount, .. }
        | Movement::Released { amount, .. }
        | Movement::HoldExpired { amount, .. }
        | Movement::Returned { amount, .. }
        | Movement::AwaitsPayment { amount, .. }
        | Movement::Paid { amount, .. }
        | Movement::RolledOver { amount, .. }
        | Movement::TransferredOut { amount, .. }
        | Movement::TransferredIn { amount, .. } => Some(amount),
        Movement::Depleted { .. }
        | Movement::Spent { .. }
        | Movement::Overdrawn { .. }
        | Movement::DebtWrittenOff { .. }
        | Movement::DebtReturned { .. }
        | Movement::Forfeited { .. }
        | Movement::HoldMoved { .. } => None,
    }
}
