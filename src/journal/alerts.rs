//! Administrative records of alerts: default levels of a currency, what commitments are for, and runway watches.

use super::Corrupt;
use super::operation::{WireLevel, any_levels_of, wire_any_levels};
use crate::catalog::CurrencyNumber;
use crate::ledger::{Amount, Levels, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A currency's default levels were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultLevelsRecord {
    /// The currency.
    pub currency: CurrencyNumber,
    /// Their number, from 1 on; each change takes the next.
    pub version: u32,
    /// They; none if there are to be none.
    pub levels: Option<Arc<Levels>>,
    /// Whether wallets that there are get them at once, not with the next change of their terms.
    pub at_once: bool,
}

/// A wallet's commitments were replaced: what they are for. The operation behind this record says what counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentsRecord {
    /// The wallet.
    pub slot: u32,
    /// What is committed.
    pub items: Vec<CommitmentItem>,
    /// The period that they are of: its first instant, and the first behind it.
    pub period: Option<(Timestamp, Timestamp)>,
}

/// One commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentItem {
    /// What it is for.
    pub name: String,
    /// How many credits.
    pub amount: Amount,
    /// When it will have been used.
    pub due_at: Option<Timestamp>,
}

/// A runway watch was set on a wallet, or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunwayRecord {
    /// The wallet.
    pub slot: u32,
    /// The watch, if there is to be one.
    pub watch: Option<RunwayWatch>,
    /// When it was set.
    pub at: Timestamp,
}

/// Who wants to hear when credits will not last much longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunwayWatch {
    /// Told when what is available lasts for fewer minutes than this.
    pub minutes: u32,
    /// How many minutes more make it recovered.
    pub margin_minutes: u32,
    /// The shortest time between two alerts, ms.
    pub min_interval_ms: u64,
    /// After how long a debit counts half as much in the burn rate, ms.
    pub half_life_ms: u64,
}

/// A runway alert was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunwayToldRecord {
    /// The wallet.
    pub slot: u32,
    /// Low, or recovered.
    pub low: bool,
    /// When it was seen.
    pub at: Timestamp,
    /// What was available then.
    pub available: Amount,
    /// How many units were used an hour at the rate of that moment.
    pub burn_per_hour: u64,
    /// How many minutes what is available lasts at that rate; [`u64::MAX`] for ever.
    pub minutes: u64,
}

/// What the burn rate of a wallet is computed from, noted down so that a restart need not read the log again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunwayStateRecord {
    /// The wallet.
    pub slot: u32,
    /// Records up to this position have been counted.
    pub upto: u64,
    /// The bits of the weighted sum of debits, a 64-bit float, in units.
    pub weight: u64,
    /// The instant that the weights are of, ms.
    pub at_ms: u64,
    /// Since when debits have been counted, ms.
    pub since_ms: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireDefaultLevels {
    currency: u16,
    version: u32,
    levels: Option<Vec<WireLevel>>,
    at_once: bool,
}

impl From<&DefaultLevelsRecord> for WireDefaultLevels {
    fn from(record: &DefaultLevelsRecord) -> Self {
        WireDefaultLevels {
            currency: record.currency.0,
            version: record.version,
            levels: record.levels.as_deref().map(wire_any_levels),
            at_once: record.at_once,
        }
    }
}

impl TryFrom<WireDefaultLevels> for DefaultLevelsRecord {
    type Error = Corrupt;

    fn try_from(wire: WireDefaultLevels) -> Result<Self, Corrupt> {
        Ok(DefaultLevelsRecord {
            currency: CurrencyNumber(wire.currency),
            version: wire.version,
            levels: wire.levels.map(any_levels_of).transpose()?,
            at_once: wire.at_once,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireCommitments {
    // First, for it is read without the rest.
    slot: u32,
    items: Vec<(String, i64, Option<u64>)>,
    period: Option<(u64, u64)>,
}

impl From<&CommitmentsRecord> for WireCommitments {
    fn from(record: &CommitmentsRecord) -> Self {
        let item = |item: &CommitmentItem| (item.name.clone(), item.amount.units(), item.due_at.map(Timestamp::millis));
        WireCommitments {
            slot: record.slot,
            items: record.items.iter().map(item).collect(),
            period: record.period.map(|(from, to)| (from.millis(), to.millis())),
        }
    }
}

impl From<WireCommitments> for CommitmentsRecord {
    fn from(wire: WireCommitments) -> Self {
        let item = |(name, amount, due_at): (String, i64, Option<u64>)| CommitmentItem {
            name,
            amount: Amount::new(amount),
            due_at: due_at.map(Timestamp::from_millis),
        };
        CommitmentsRecord {
            slot: wire.slot,
            items: wire.items.into_iter().map(item).collect(),
            period: wire.period.map(|(from, to)| (Timestamp::from_millis(from), Timestamp::from_millis(to))),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireRunway(u32, Option<RunwayWatch>, u64);

impl From<&RunwayRecord> for WireRunway {
    fn from(record: &RunwayRecord) -> Self {
        WireRunway(record.slot, record.watch, record.at.millis())
    }
}

impl From<WireRunway> for RunwayRecord {
    fn from(WireRunway(slot, watch, at): WireRunway) -> Self {
        RunwayRecord { slot, watch, at: Timestamp::from_millis(at) }
    }
}

/// Slot, low, instant, available, burn rate, minutes.
#[derive(Serialize, Deserialize)]
pub(super) struct WireRunwayTold(u32, bool, u64, i64, u64, u64);

impl From<&RunwayToldRecord> for WireRunwayTold {
    fn from(told: &RunwayToldRecord) -> Self {
        WireRunwayTold(told.slot, told.low, told.at.millis(), told.available.units(), told.burn_per_hour, told.minutes)
    }
}

impl From<WireRunwayTold> for RunwayToldRecord {
    fn from(WireRunwayTold(slot, low, at, available, burn_per_hour, minutes): WireRunwayTold) -> Self {
        let (at, available) = (Timestamp::from_millis(at), Amount::new(available));
        RunwayToldRecord { slot, low, at, available, burn_per_hour, minutes }
    }
}
