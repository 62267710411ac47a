//! What some wallets carry beside plain grants, as it stands in a wallet's entry.
//!
//! ```text
//! clauses     count, each: grant, what u8 (1 rollover, 2 occurrence)
//!             [rollover: fraction's mantissa (signed), scale u8, maximum or 0, validity in ms or 0, priority u8]
//!             [occurrence: schedule, number]
//! unpaid      count, each: lot, begins when paid u8, validity in ms or 0
//! progress    count, each: schedule, next
//! ```

use super::entry::{put_signed, put_varint, read_lot, signed, write_lot};
use crate::journal::Corrupt;
use crate::journal::bytes::Fields;
use crate::ledger::{Amount, Clause, Decimal, GrantId, Occurrence, Payment, Progress, Riders, Rollover, Unpaid};

/// Kinds of what an entry may have beside the rest.
const CLAUSES: u8 = 1;
const UNPAID: u8 = 2;
const PROGRESS: u8 = 4;

const ROLLOVER: u8 = 1;
const OCCURRENCE: u8 = 2;

/// Appends the riders' kinds, `others` that follow them, and the riders to `out`.
pub(super) fn write(riders: &Riders, others: u8, out: &mut Vec<u8>) {
    let flag = |is_empty, flag| if is_empty { 0 } else { flag };
    out.push(
        flag(riders.clauses.is_empty(), CLAUSES)
            | flag(riders.unpaid.is_empty(), UNPAID)
            | flag(riders.progress.is_empty(), PROGRESS)
            | others,
    );
    if !riders.clauses.is_empty() {
        write_list(&riders.clauses, out, write_clause);
    }
    if !riders.unpaid.is_empty() {
        write_list(&riders.unpaid, out, |unpaid, out| {
            write_lot(&unpaid.lot, out);
            out.push(unpaid.payment.begins_when_paid.into());
            put_varint(out, unpaid.payment.valid_for_ms.unwrap_or(0));
        });
    }
    if !riders.progress.is_empty() {
        write_list(&riders.progress, out, |progress, out| {
            put_varint(out, progress.schedule);
            put_varint(out, progress.next);
        });
    }
}

/// Takes kinds, `others` among them, and riders off the front.
pub(super) fn read(fields: &mut Fields<'_>, others: u8) -> Result<(Riders, u8), Corrupt> {
    let kinds = fields.u8()?;
    if kinds & !(CLAUSES | UNPAID | PROGRESS | others) != 0 {
        return Err(Corrupt::Malformed("kind of rider"));
    }
    let mut riders = Riders::default();
    if kinds & CLAUSES != 0 {
        riders.clauses = read_list(fields, read_clause)?;
    }
    if kinds & UNPAID != 0 {
        riders.unpaid = read_list(fields, |fields| {
            let lot = read_lot(fields)?;
            let (begins_when_paid, valid_for_ms) = (fields.u8()? != 0, above_zero(fields)?);
            Ok(Unpaid { lot, payment: Payment { begins_when_paid, valid_for_ms } })
        })?;
    }
    if kinds & PROGRESS != 0 {
        riders.progress =
            read_list(fields, |fields| Ok(Progress { schedule: fields.varint()?, next: fields.varint()? }))?;
    }
    Ok((riders, kinds))
}

fn write_list<T>(list: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    put_varint(out, list.len() as u64);
    for item in list {
        write(item, out);
    }
}

fn read_list<T>(
    fields: &mut Fields<'_>,
    read: impl Fn(&mut Fields<'_>) -> Result<T, Corrupt>,
) -> Result<Box<[T]>, Corrupt> {
    let count = fields.varint()?;
    // Each takes a byte at the least: no count makes this reserve more than there is.
    if count > fields.0.len() as u64 {
        return Err(Corrupt::Truncated);
    }
    (0..count).map(|_| read(fields)).collect()
}

fn write_clause(clause: &Clause, out: &mut Vec<u8>) {
    put_varint(out, clause.grant.get());
    let flag = |is_some, flag| if is_some { flag } else { 0 };
    out.push(flag(clause.rollover.is_some(), ROLLOVER) | flag(clause.occurrence.is_some(), OCCURRENCE));
    if let Some(rollover) = &clause.rollover {
        put_signed(out, rollover.fraction.mantissa());
        out.push(rollover.fraction.scale());
        put_varint(out, rollover.max.map_or(0, |max| max.units().cast_unsigned()));
        put_varint(out, rollover.valid_for_ms.unwrap_or(0));
        out.push(rollover.priority);
    }
    if let Some(occurrence) = &clause.occurrence {
        put_varint(out, occurrence.schedule);
        put_varint(out, occurrence.number);
    }
}

fn read_clause(fields: &mut Fields<'_>) -> Result<Clause, Corrupt> {
    let (grant, what) = (GrantId::new(fields.varint()?), fields.u8()?);
    let mut clause = Clause { grant, rollover: None, occurrence: None };
    if what & ROLLOVER != 0 {
        let (mantissa, scale) = (signed(fields)?, fields.u8()?);
        let fraction = Decimal::from_parts(mantissa, scale).ok_or(Corrupt::Malformed("fraction"))?;
        let max = above_zero(fields)?.map(|max| Amount::new(max.cast_signed()));
        clause.rollover = Some(Rollover { fraction, max, valid_for_ms: above_zero(fields)?, priority: fields.u8()? });
    }
    if what & OCCURRENCE != 0 {
        clause.occurrence = Some(Occurrence { schedule: fields.varint()?, number: fields.varint()? });
    }
    Ok(clause)
}

fn above_zero(fields: &mut Fields<'_>) -> Result<Option<u64>, Corrupt> {
    Ok(Some(fields.varint()?).filter(|value| *value != 0))
}
