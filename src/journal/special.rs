//! What is special about some grants, as it stands in records: lists, so that the first of them can be read without the rest.

use super::Corrupt;
use super::admin::{Declared, Recurrence};
use crate::ledger::{Amount, Decimal, Occurrence, Payment, Rollover, Special};
use serde::{Deserialize, Serialize};

/// Fraction as mantissa and scale, maximum, validity in ms, priority.
#[derive(Serialize, Deserialize)]
pub(super) struct WireRollover((i64, u8), Option<i64>, Option<u64>, u8);

/// Rollover; schedule and number of an occurrence; for a grant that waits, whether it begins when it is paid for and how long it lasts.
#[derive(Serialize, Deserialize)]
pub(super) struct WireSpecial(Option<WireRollover>, Option<(u64, u64)>, Option<(bool, Option<u64>)>);

/// Payment, pending, validity in ms, rollover, recurrence, whether the priority is the currency's default; the grant of another wallet that it
/// came from, left out where it came from none.
#[derive(Serialize, Deserialize)]
pub(super) struct WireDeclared(
    Option<String>,
    bool,
    Option<u64>,
    Option<WireRollover>,
    Option<Recurrence>,
    bool,
    #[serde(default, skip_serializing_if = "Option::is_none")] Option<u64>,
);

impl From<&Rollover> for WireRollover {
    fn from(rollover: &Rollover) -> Self {
        let fraction = (rollover.fraction.mantissa(), rollover.fraction.scale());
        WireRollover(fraction, rollover.max.map(Amount::units), rollover.valid_for_ms, rollover.priority)
    }
}

impl TryFrom<WireRollover> for Rollover {
    type Error = Corrupt;

    fn try_from(WireRollover((mantissa, scale), max, valid_for_ms, priority): WireRollover) -> Result<Self, Corrupt> {
        let fraction = Decimal::from_parts(mantissa, scale).ok_or(Corrupt::Malformed("fraction"))?;
        let rollover = Rollover { fraction, max: max.map(Amount::new), valid_for_ms, priority };
        if rollover.is_possible() { Ok(rollover) } else { Err(Corrupt::Malformed("rollover")) }
    }
}

impl From<&Special> for WireSpecial {
    fn from(special: &Special) -> Self {
        WireSpecial(
            special.rollover.as_ref().map(WireRollover::from),
            special.occurrence.map(|occurrence| (occurrence.schedule, occurrence.number)),
            special.payment.map(|payment| (payment.begins_when_paid, payment.valid_for_ms)),
        )
    }
}

impl TryFrom<WireSpecial> for Special {
    type Error = Corrupt;

    fn try_from(WireSpecial(rollover, occurrence, payment): WireSpecial) -> Result<Self, Corrupt> {
        Ok(Special {
            rollover: rollover.map(Rollover::try_from).transpose()?,
            occurrence: occurrence.map(|(schedule, number)| Occurrence { schedule, number }),
            payment: payment.map(|(begins_when_paid, valid_for_ms)| Payment { begins_when_paid, valid_for_ms }),
        })
    }
}

impl From<&Declared> for WireDeclared {
    fn from(declared: &Declared) -> Self {
        WireDeclared(
            declared.payment.clone(),
            declared.pending,
            declared.valid_for_ms,
            declared.rollover.as_ref().map(WireRollover::from),
            declared.recurrence.clone(),
            declared.default_priority,
            declared.transferred_from,
        )
    }
}

impl TryFrom<WireDeclared> for Declared {
    type Error = Corrupt;

    fn try_from(wire: WireDeclared) -> Result<Self, Corrupt> {
        let WireDeclared(payment, pending, valid_for_ms, rollover, recurrence, default_priority, transferred_from) =
            wire;
        let rollover = rollover.map(Rollover::try_from).transpose()?;
        Ok(Declared { payment, pending, valid_for_ms, rollover, recurrence, default_priority, transferred_from })
    }
}
