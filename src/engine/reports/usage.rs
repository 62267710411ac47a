//! Usage by meter and calendar: what events debited, by the events' own time.
//!
//! An event's own time may lie before the server's by the idempotency window, which is 34 days at most, and after it by the tolerance for
//! clocks. So the debits of a period are looked for among those recorded from a little before it to 34 days behind it.

use super::super::catalog::{Catalog, CreditCurrency};
use super::super::history::unreadable;
use super::super::identity::counting;
use super::super::snapshot::is_whole;
use super::super::view::{CommandError, Unavailable};
use super::super::{Engine, Inner, MAX_WINDOW_MS};
use super::lines::{LineKind, QuantitySum, booking};
use super::timeline::Timeline;
use super::{SKEW_MS, check_period, currency_of, time_at};
use crate::catalog::CurrencyNumber;
use crate::journal::debit::Metered;
use crate::journal::operation::OperationRecord;
use crate::journal::{self, Record};
use crate::ledger::calendar::Span;
use crate::ledger::{Operation, Timestamp};
use crate::store::pin;
use drawdown_wal::{Lsn, ReadError};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Bytes of the log that one page reads.
const PAGE_BYTES: u64 = 128 << 20;
/// Buckets that a period can come to, for each meter.
const BUCKETS_MAX: u64 = 1_000;

/// What usage is asked for.
#[derive(Clone, Copy, Debug)]
pub struct UsageFilter<'a> {
    /// Of this currency only.
    pub currency: Option<&'a str>,
    /// Of this meter only.
    pub meter: Option<&'a str>,
    /// Events whose own time is this or later.
    pub from: Timestamp,
    /// Events whose own time is before this.
    pub to: Timestamp,
    /// The spans that it is summed up by.
    pub by: Span,
}

/// Debits of one meter within one span of the calendar.
#[derive(Clone, Debug)]
pub struct UsageBucket {
    /// The beginning of the span.
    pub start: Timestamp,
    /// What was debited.
    pub currency: Arc<CreditCurrency>,
    /// The meter; `None` for debits that no meter measured.
    pub meter: Option<String>,
    /// What was measured; `None` without a meter.
    pub quantity: Option<QuantitySum>,
    /// What it cost, in smallest units.
    pub credits: i128,
    /// Events.
    pub count: u64,
}

/// Usage, or a piece of it.
#[derive(Clone, Debug)]
pub struct UsagePage {
    /// By span, currency and meter. A span that the page's end cuts goes on in the next page: such parts are to be added.
    pub buckets: Vec<UsageBucket>,
    /// Give it back as `after` for the next page; `None` when there is none.
    pub next: Option<Lsn>,
}

impl Engine {
    /// Usage of one customer's wallets.
    pub fn usage_of(&self, customer: &str, filter: &UsageFilter<'_>) -> Result<UsagePage, CommandError> {
        let inner = &*self.inner;
        let catalog = inner.catalog.snapshot();
        let mut sums = Sums::new(inner, &catalog, filter)?;
        for currency in catalog.currencies() {
            if !sums.wants_currency(currency.number) {
                continue;
            }
            let slot = inner.find(inner.seed.wallet_hash(customer.as_bytes(), currency.number.0), &pin());
            if let Some(slot) = slot {
                sums.wallet(slot, currency.number)?;
            }
        }
        Ok(UsagePage { buckets: sums.buckets(), next: None })
    }

    /// Usage of all wallets, read off the log behind the position `after`, so many bytes of it at a time. The sums of all pages are the usage.
    pub fn usage(&self, filter: &UsageFilter<'_>, after: Option<Lsn>) -> Result<UsagePage, CommandError> {
        let inner = &*self.inner;
        let catalog = inner.catalog.snapshot();
        let mut sums = Sums::new(inner, &catalog, filter)?;
        let next = sums.log(after)?;
        Ok(UsagePage { buckets: sums.buckets(), next })
    }
}

/// A debit, as far as usage is concerned.
#[derive(Clone, Copy, Debug)]
struct Used {
    amount: i128,
    event_time: Timestamp,
    metered: Option<Metered>,
}

#[derive(Debug, Default)]
struct Sum {
    quantity: QuantitySum,
    credits: i128,
    count: u64,
}

/// Usage being summed up.
struct Sums<'a> {
    inner: &'a Inner,
    catalog: &'a Catalog,
    currency: Option<CurrencyNumber>,
    meter: Option<u16>,
    from: Timestamp,
    to: Timestamp,
    by: Span,
    /// When debits of the period can have been recorded: not before the first, and before the second.
    recorded: (Timestamp, Timestamp),
    /// By the beginning of the span, currency, and meter.
    found: BTreeMap<(Timestamp, CurrencyNumber, Option<u16>), Sum>,
}

impl<'a> Sums<'a> {
    fn new(inner: &'a Inner, catalog: &'a Catalog, filter: &UsageFilter<'_>) -> Result<Self, CommandError> {
        let UsageFilter { from, to, by, .. } = *filter;
        check_period(from, to)?;
        let span = by.end(from).millis() - by.start(from).millis();
        if (to.millis() - from.millis()) / span > BUCKETS_MAX {
            let detail = format!("must be at most {BUCKETS_MAX} spans of the calendar later than from");
            return Err(CommandError::Invalid { field: "to", detail });
        }
        let currency = filter.currency.map(|id| currency_of(inner, id)).transpose()?.map(|currency| currency.number);
        let missing = CommandError::NotFound { what: "meter" };
        let meter = match filter.meter {
            Some(name) => Some(catalog.meter(name).ok_or(missing)?.number),
            None => None,
        };
        let early = inner.config.future_tolerance_ms + SKEW_MS;
        let earliest = Timestamp::from_millis(from.millis().saturating_sub(early));
        let recorded = (earliest, to.saturating_add(MAX_WINDOW_MS + SKEW_MS));
        Ok(Sums { inner, catalog, currency, meter, from, to, by, recorded, found: BTreeMap::new() })
    }

    fn wants_currency(&self, currency: CurrencyNumber) -> bool {
        self.currency.is_none_or(|wanted| wanted == currency)
    }

    fn add(&mut self, currency: CurrencyNumber, used: &Used) {
        let meter = used.metered.map(|metered| metered.meter);
        let in_time = self.from <= used.event_time && used.event_time < self.to;
        if !in_time || self.meter.is_some_and(|wanted| meter != Some(wanted)) {
            return;
        }
        let sum = self.found.entry((self.by.start(used.event_time), currency, meter)).or_default();
        sum.credits += used.amount;
        sum.count += 1;
        if let Some(metered) = used.metered {
            sum.quantity.add(metered.quantity);
        }
    }

    /// Adds the debits of one wallet.
    fn wallet(&mut self, slot: u32, currency: CurrencyNumber) -> Result<(), CommandError> {
        let mut timeline = Timeline::of(self.inner, slot)?;
        let (earliest, latest) = self.recorded;
        let (first, last) = (timeline.generation_at(earliest)?, timeline.generation_at(latest)?);
        for index in last..=first {
            let since = if index == first { earliest } else { Timestamp::EPOCH };
            for posting in timeline.debits(index, since)?.debits {
                let (amount, metered) = (posting.amount.units().into(), posting.metered);
                self.add(currency, &Used { amount, event_time: posting.event_time, metered });
            }
            if index != first {
                let mut view = None;
                if let Some(used) = of_operation(&*timeline.operation(index, &mut view)?) {
                    self.add(currency, &used);
                }
            }
        }
        Ok(())
    }

    /// Adds the debits of a piece of the log, and answers where the next begins.
    fn log(&mut self, after: Option<Lsn>) -> Result<Option<Lsn>, CommandError> {
        let log = &self.inner.log;
        let (earliest, latest) = self.recorded;
        let start = match after {
            Some(after) => after,
            None => self.start(earliest)?,
        };
        let mut reader = log.reader(start);
        let (mut end, mut seen) = (start.get().saturating_add(PAGE_BYTES), HashSet::new());
        loop {
            let at = reader.position();
            let frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(ReadError::Retired { .. }) => return Err(self.inner.retired()),
                Err(error @ ReadError::Corrupt { .. }) => {
                    let why = format!("the log cannot be read: {error}");
                    return Err(CommandError::Unavailable(Unavailable::Poisoned(why)));
                }
            };
            if frame.lsn.get() >= end {
                return Ok(Some(at));
            }
            let records = journal::records(frame.payload, frame.payload_lsn).map_err(unreadable)?;
            let time = records.prelude().time;
            if time >= latest {
                return Ok(None);
            }
            if time < earliest {
                // Nothing was looked at yet.
                end = frame.lsn.get().saturating_add(PAGE_BYTES);
                continue;
            }
            for record in records {
                let (lsn, record) = record.map_err(unreadable)?;
                self.record(lsn.get(), &record, &mut seen);
            }
        }
    }

    fn record(&mut self, lsn: u64, record: &Record<'_>, seen: &mut HashSet<(u32, u32)>) {
        let inner = self.inner;
        let (slot, used) = match record {
            Record::Debit(debit) if !inner.repairs.is_dropped(lsn) => {
                let amount = debit.amount.units().into();
                (debit.slot, Used { amount, event_time: debit.event_time, metered: debit.metered })
            }
            Record::Operation(operation) => {
                let Some(used) = of_operation(operation) else { return };
                // Of several copies one counts.
                let counts = counting(&inner.log, lsn, operation) == lsn;
                if !counts || !seen.insert((operation.slot, operation.generation)) {
                    return;
                }
                (operation.slot, used)
            }
            Record::Debit(_) | Record::Admin(_) => return,
        };
        let currency = inner.names.get(slot).map(|name| name.currency);
        if let Some(currency) = currency.filter(|currency| self.wants_currency(*currency)) {
            self.add(currency, &used);
        }
    }

    /// Where to begin to read what was recorded from an instant on: the start of a segment whose first frame is older.
    fn start(&self, earliest: Timestamp) -> Result<Lsn, CommandError> {
        let log = &self.inner.log;
        let first = log.segment_start(log.first());
        if !is_whole(log) && time_at(self.inner, log.first()).is_none_or(|first| first > earliest) {
            return Err(self.inner.retired());
        }
        let (mut low, mut high) = (0, (log.durable().get() - first.get()) / log.segment_bytes());
        while low < high {
            let middle = u64::midpoint(low, high + 1);
            let start = Lsn::new(first.get() + middle * log.segment_bytes());
            if time_at(self.inner, start).is_some_and(|time| time < earliest) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(Lsn::new(first.get() + low * log.segment_bytes()))
    }

    fn buckets(self) -> Vec<UsageBucket> {
        let catalog = self.catalog;
        let bucket = |((start, currency, meter), sum): ((Timestamp, CurrencyNumber, Option<u16>), Sum)| {
            let name =
                |number| catalog.meter_by_number(number).map_or_else(String::new, |meter| meter.event_type.clone());
            Some(UsageBucket {
                start,
                currency: Arc::clone(catalog.currency_by_number(currency)?),
                meter: meter.map(name),
                quantity: meter.map(|_| sum.quantity),
                credits: sum.credits,
                count: sum.count,
            })
        };
        self.found.into_iter().filter_map(bucket).collect()
    }
}

/// The usage that an operation carried out, if it did any: debits and captures. What an operator took, and what paid an invoice, is none.
fn of_operation(record: &OperationRecord<'_>) -> Option<Used> {
    let body = &record.body;
    if body.note.is_some() {
        return None;
    }
    let taken = body.movements.iter().filter(|movement| booking(movement).line == Some(LineKind::Used));
    let amount: i128 = taken.map(|movement| -movement.delta()).sum();
    let is_debit = matches!(body.operation, Operation::Debit { .. }) && !body.rejected;
    let event = body.event.as_ref();
    (is_debit || amount != 0).then(|| Used {
        amount,
        event_time: event.map_or(record.time, |event| event.time),
        metered: event.and_then(|event| event.metered),
    })
}
