//! The record of a recurring grant: all of it, each time that it is made, changed or stopped.

use super::Corrupt;
use super::special::WireRollover;
use crate::catalog::{CostBasis, Metadata};
use crate::ledger::{Amount, Category, Ends, Interval, Rollover, Schedule, Source, Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// A recurring grant was made, changed or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecurringRecord {
    /// The wallet.
    pub slot: u32,
    /// The caller's id, unique among a customer's.
    pub id: String,
    /// Rises with each record of this id, from 1 on.
    pub version: u32,
    /// What an occurrence grants.
    pub amount: Amount,
    /// Where it comes from.
    pub source: Source,
    /// Paid or promotional.
    pub category: Category,
    /// 0 is spent first.
    pub priority: u8,
    /// When occurrences begin and end.
    pub schedule: Schedule,
    /// Whether the first occurrence was to come at once.
    pub first_now: bool,
    /// What becomes of an occurrence's remainder.
    pub rollover: Option<Rollover>,
    /// What is paid for an occurrence.
    pub cost_basis: Option<CostBasis>,
    /// The caller's own data, handed on to each occurrence.
    pub metadata: Metadata,
    /// It grants nothing any more.
    pub stopped: bool,
    /// When its first version was made.
    pub created_at: Timestamp,
    /// When this version was made.
    pub updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Wire {
    slot: u32,
    id: String,
    version: u32,
    amount: i64,
    source: String,
    paid: bool,
    priority: u8,
    schedule: WireSchedule,
    first_now: bool,
    rollover: Option<WireRollover>,
    cost_basis: Option<(i64, String)>,
    metadata: Metadata,
    stopped: bool,
    created_at: u64,
    updated_at: u64,
}

/// Anchor, interval as count and unit, instant of an occurrence at once, intervals skipped, end (0 with the next, 1 never, 2 after so many
/// ms), instant from which on there are none.
#[derive(Serialize, Deserialize)]
struct WireSchedule(u64, (u32, u8), Option<u64>, u64, (u8, u64), Option<u64>);

impl From<&RecurringRecord> for Wire {
    fn from(record: &RecurringRecord) -> Self {
        Wire {
            slot: record.slot,
            id: record.id.clone(),
            version: record.version,
            amount: record.amount.units(),
            source: record.source.as_str().to_owned(),
            paid: record.category == Category::Paid,
            priority: record.priority,
            schedule: (&record.schedule).into(),
            first_now: record.first_now,
            rollover: record.rollover.as_ref().map(WireRollover::from),
            cost_basis: record.cost_basis.as_ref().map(|cost| (cost.amount, cost.currency.clone())),
            metadata: record.metadata.clone(),
            stopped: record.stopped,
            created_at: record.created_at.millis(),
            updated_at: record.updated_at.millis(),
        }
    }
}

impl Wire {
    pub(super) fn into_record(self) -> Result<RecurringRecord, Corrupt> {
        Ok(RecurringRecord {
            slot: self.slot,
            id: self.id,
            version: self.version,
            amount: Amount::new(self.amount),
            source: Source::parse(&self.source).ok_or(Corrupt::Malformed("source"))?,
            category: if self.paid { Category::Paid } else { Category::Promotional },
            priority: self.priority,
            schedule: self.schedule.try_into()?,
            first_now: self.first_now,
            rollover: self.rollover.map(Rollover::try_from).transpose()?,
            cost_basis: self.cost_basis.map(|(amount, currency)| CostBasis { amount, currency }),
            metadata: self.metadata,
            stopped: self.stopped,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
        })
    }
}

impl From<&Schedule> for WireSchedule {
    fn from(schedule: &Schedule) -> Self {
        let ends = match schedule.ends {
            Ends::WithNext => (0, 0),
            Ends::Never => (1, 0),
            Ends::After(ms) => (2, ms),
        };
        WireSchedule(
            schedule.anchor.millis(),
            (schedule.interval.every(), unit_number(schedule.interval.unit())),
            schedule.at_once.map(Timestamp::millis),
            schedule.skipped,
            ends,
            schedule.until.map(Timestamp::millis),
        )
    }
}

impl TryFrom<WireSchedule> for Schedule {
    type Error = Corrupt;

    fn try_from(wire: WireSchedule) -> Result<Self, Corrupt> {
        let WireSchedule(anchor, (every, unit), at_once, skipped, ends, until) = wire;
        Ok(Schedule {
            anchor: Timestamp::from_millis(anchor),
            interval: Interval::new(every, unit_of(unit)?).ok_or(Corrupt::Malformed("interval"))?,
            at_once: at_once.map(Timestamp::from_millis),
            skipped,
            ends: match ends {
                (0, _) => Ends::WithNext,
                (1, _) => Ends::Never,
                (2, ms) => Ends::After(ms),
                _ => return Err(Corrupt::Malformed("end")),
            },
            until: until.map(Timestamp::from_millis),
        })
    }
}

fn unit_number(unit: Unit) -> u8 {
    match unit {
        Unit::Hour => 0,
        Unit::Day => 1,
        Unit::Week => 2,
        Unit::Month => 3,
    }
}

fn unit_of(number: u8) -> Result<Unit, Corrupt> {
    match number {
        0 => Ok(Unit::Hour),
        1 => Ok(Unit::Day),
        2 => Ok(Unit::Week),
        3 => Ok(Unit::Month),
        _ => Err(Corrupt::Malformed("unit")),
    }
}
