//! Levels in records: those that have no more than the first levels had, in the form that these had, and all others.

use crate::journal::Corrupt;
use crate::ledger::{Amount, Level, Levels, Percent, Trigger, Watches};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A level with everything that it can have. [`WireOperation::SetLevels`](super::wire::WireOperation::SetLevels) writes those that have no more than the first levels had.
#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct WireLevel {
    name: String,
    amount: i64,
    at_or_below: bool,
    margin: i64,
    watches: u8,
    /// Millionths of a percent, 0 for none.
    percent: u32,
    min_interval_ms: u64,
}

pub(super) fn wire_levels(levels: &Levels) -> Vec<(String, i64, u8, i64)> {
    let wire = |level: &Level| {
        let at_or_below = u8::from(level.trigger == Trigger::AtOrBelow);
        (level.name.to_string(), level.amount.units(), at_or_below, level.margin.units())
    };
    levels.iter().map(wire).collect()
}

pub(super) fn levels_of(wire: Vec<(String, i64, u8, i64)>) -> Result<Levels, Corrupt> {
    let level = |(name, amount, at_or_below, margin): (String, i64, u8, i64)| Level {
        name: name.into(),
        amount: Amount::new(amount),
        trigger: if at_or_below == 1 { Trigger::AtOrBelow } else { Trigger::Below },
        margin: Amount::new(margin),
        ..Level::default()
    };
    Levels::new(wire.into_iter().map(level).collect()).map_err(|_| Corrupt::Malformed("levels"))
}

/// Whether a level has nothing that the first levels had not.
pub(super) fn is_first_kind(level: &Level) -> bool {
    level.watches == Watches::Balance && level.percent.is_none() && level.min_interval_ms == 0
}

pub(in crate::journal) fn wire_any_levels(levels: &Levels) -> Vec<WireLevel> {
    levels.iter().map(WireLevel::from).collect()
}

pub(in crate::journal) fn any_levels_of(wire: Vec<WireLevel>) -> Result<Arc<Levels>, Corrupt> {
    let levels = wire.into_iter().map(Level::try_from).collect::<Result<_, _>>()?;
    Levels::new(levels).map(Arc::new).map_err(|_| Corrupt::Malformed("levels"))
}

impl From<&Level> for WireLevel {
    fn from(level: &Level) -> Self {
        WireLevel {
            name: level.name.to_string(),
            amount: level.amount.units(),
            at_or_below: level.trigger == Trigger::AtOrBelow,
            margin: level.margin.units(),
            watches: watches_number(level.watches),
            percent: level.percent.map_or(0, Percent::millionths),
            min_interval_ms: level.min_interval_ms,
        }
    }
}

impl TryFrom<WireLevel> for Level {
    type Error = Corrupt;

    fn try_from(wire: WireLevel) -> Result<Self, Corrupt> {
        Ok(Level {
            name: wire.name.into(),
            amount: Amount::new(wire.amount),
            trigger: if wire.at_or_below { Trigger::AtOrBelow } else { Trigger::Below },
            margin: Amount::new(wire.margin),
            watches: watches_of(wire.watches)?,
            percent: percent_of(wire.percent)?,
            min_interval_ms: wire.min_interval_ms,
        })
    }
}

pub(in crate::journal) fn watches_number(watches: Watches) -> u8 {
    match watches {
        Watches::Balance => 0,
        Watches::Available => 1,
        Watches::Projected => 2,
    }
}

pub(in crate::journal) fn watches_of(number: u8) -> Result<Watches, Corrupt> {
    match number {
        0 => Ok(Watches::Balance),
        1 => Ok(Watches::Available),
        2 => Ok(Watches::Projected),
        _ => Err(Corrupt::Malformed("watched figure")),
    }
}

/// A percentage by its millionths, 0 for none.
pub(in crate::journal) fn percent_of(millionths: u32) -> Result<Option<Percent>, Corrupt> {
    match millionths {
        0 => Ok(None),
        some => Percent::from_millionths(some).map(Some).ok_or(Corrupt::Malformed("percentage")),
    }
}
