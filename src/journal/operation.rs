//! The record of an operation: the end of a wallet's generation and the opening of the next.
//!
//! ```text
//!  0 tag u8, length u24        16 closing balance i64     40 previous opening u64
//!  4 distance to frame u32     24 opening balance i64     48 server's time u64 (ms)
//!  8 slot u32                  32 previous u64            56 version u8
//! 12 generation u32 (low)                                 57 adjustment i64, 65 copy that counts u64
//!                                                         73 body
//! ```
//! Version 1 has its body in `MessagePack`; version 2, of operations on holds, packed (`packed.rs`).
//!
//! Several threads may help an operation along, and each may log a copy of its record. Answers name one of them, and must name the same
//! one after a restart; so each copy says which it is.
//!
//! The record says what was asked, what happened on the way (movements, lines crossed), and what the wallet holds afterwards (its lots
//! with their remainders), so that history, feed and allocations are read from it alone, without folding the log up to it. Replay
//! computes all of that again from the operation and refuses a log in which the two differ.

use super::Corrupt;
use super::bytes::{Fields, Writer};
use super::debit::Metered;
use super::frame::{PREFIX, Prelude, prefix_word, tag};
use super::keyed::{KEYED_BYTES_MAX, Keyed};
use super::note::Note;
use super::packed;
use super::special::{WireRollover, WireSpecial};
use crate::ledger::{
    Amount, Category, Commitment, Decimal, Effects, Expiry, GrantId, HoldId, Level, Levels, Lot, Movement, NewGrant,
    Operation, Percent, Policy, Rejection, Return, Reversal, Rollover, Special, Status, Taken, Terms, Timestamp,
    Trigger, Watches,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const FIXED: usize = 73;
const VERSION: u8 = 1;
const VERSION_PACKED: u8 = 2;

/// The record of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord<'a> {
    /// The wallet.
    pub slot: u32,
    /// The low half of the number of the generation that it opened.
    pub generation: u32,
    /// The balance at which the old generation closed.
    pub closing: Amount,
    /// The balance at which the new one opened.
    pub opening: Amount,
    /// LSN of the wallet's record before this one, 0 for none.
    pub previous: u64,
    /// LSN of the record that opened the old generation, 0 for a wallet's first.
    pub previous_opening: u64,
    /// The server's time, at which the rules were applied.
    pub time: Timestamp,
    /// Available credit less balance in the new generation: the overdraft allowance less open holds.
    pub adjustment: i64,
    /// LSN of the copy of this record that counts: this one's own where there are no others.
    pub counts: u64,
    /// The rest.
    pub body: Body<'a>,
}

/// What an operation's record says beside the balances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// What was asked.
    pub operation: Operation,
    /// The event behind a debit.
    pub event: Option<Event<'a>>,
    /// What a debit took; zeroes for other operations.
    pub taken: Taken,
    /// The rules refused the operation itself; what had fallen due took place.
    pub rejected: bool,
    /// What happened, in order.
    pub movements: Vec<Movement>,
    /// Lines crossed, by the levels' names.
    pub crossed: Names<'a>,
    /// Lines recovered, by the levels' names.
    pub recovered: Names<'a>,
    /// What is left of each grant in the new generation, in spend order; scheduled grants are not among them.
    pub lots: Vec<(GrantId, Amount)>,
    /// What recovery mended, for operations that reopen a wallet after a crash.
    pub repair: Repair,
    /// What was said about a correction.
    pub note: Option<Box<Note>>,
    /// Under which key an operation on a hold was asked for, if it was under one.
    pub keyed: Option<Box<Keyed>>,
}

/// The event behind a debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The sender's id.
    pub id: &'a str,
    /// The sender.
    pub source: &'a str,
    /// The event's own time, or the server's.
    pub time: Timestamp,
    /// Meter and quantity, for metered events.
    pub metered: Option<Metered>,
}

/// Lines that a balance crossed, named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names<'a> {
    /// The levels' names, in rising order of their lines.
    #[serde(borrow)]
    pub levels: Vec<&'a str>,
    /// The line between one unit and none.
    pub depleted: bool,
    /// The line between none and debt.
    pub negative: bool,
    /// Levels among them of which nobody is to be told. Left out where there are none.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub quiet: Vec<&'a str>,
}

impl Names<'_> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let Names { levels, depleted, negative, quiet } = self;
        levels.is_empty() && !depleted && !negative && quiet.is_empty()
    }
}

/// What recovery found and mended in the wallet's last records before a crash. None of them had been acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Records whose link pointed behind the end of the log: (record, the record that now precedes it).
    pub relinked: Vec<(u64, u64)>,
    /// Debits whose balance counted on a debit that was lost: (record, the balance after it without that).
    pub corrected: Vec<(u64, i64)>,
    /// Debits of a generation that was never opened in the log: they did not take place.
    pub dropped: Vec<u64>,
}

impl Repair {
    /// Whether there was nothing to mend.
    pub fn is_empty(&self) -> bool {
        self.relinked.is_empty() && self.corrected.is_empty() && self.dropped.is_empty()
    }
}

/// An upper bound of the bytes of an operation's record, given what can make it long.
pub fn length_bound(
    terms: &Terms,
    operation: &Operation,
    event_bytes: usize,
    repair: &Repair,
    note: Option<&Note>,
) -> usize {
    // What a hold gives back is a lot again. An operation on a hold is made when nothing is due, and leaves the others alone.
    let concerned = terms.holds.iter().filter(|hold| operation.hold().is_none_or(|id| id == hold.id));
    let (holds, parts) = concerned.fold((0, 0), |(holds, parts), hold| (holds + 1, parts + hold.parts.len()));
    let lots = terms.lots.len() + terms.scheduled.len() + terms.riders.unpaid.len() + parts + 1;
    // A level is named as crossed or as recovered, and again if it is quiet; one that is set says more than its name.
    let named = |levels: &Levels| levels.name_bytes() + 5 * levels.len();
    let (new, new_names) = match operation {
        Operation::SetLevels(Some(levels)) | Operation::InheritLevels { levels: Some(levels), .. } => {
            (levels.name_bytes() + 48 * levels.len(), named(levels))
        }
        _ => (0, 0),
    };
    let names = new_names.max(terms.levels.as_deref().map_or(0, named));
    let commitments = match operation {
        Operation::SetCommitments(commitments) => 20 * commitments.len(),
        _ => 0,
    };
    // A lot appears once with its remainder (at most 20 bytes) and in at most three movements of 48 bytes each; in two more if it may roll
    // over, when it does and when what it becomes has ended, too.
    let rolls = |grant: &NewGrant| grant.special.rollover.is_some();
    let may_roll = !terms.riders.clauses.is_empty() || matches!(operation, Operation::Grant(grant) if rolls(grant));
    let movements = if may_roll { 5 } else { 3 };
    let repairs = 20 * (repair.relinked.len() + repair.corrected.len()) + 9 * repair.dropped.len();
    let returns = match operation {
        // Each with its terms, and in two movements and among the remainders.
        Operation::Reverse(reversal) => 128 + (reversal.returns.len() + reversal.payers.len()) * (136 + 2 * 48 + 20),
        _ => 0,
    };
    let transferred = match operation {
        Operation::TransferOut { parts, .. } => 16 + 20 * parts.len(),
        // Each with its terms and those of rolling over; among the remainders, and made, paying debt, and depleted by that.
        Operation::TransferIn { grants } => 16 + grants.len() * (136 + 20 + 3 * 48),
        _ => 0,
    };
    let note = note.map_or(0, Note::length_bound);
    // A hold ends in one movement, and that it is made or captured is two. Only operations on holds are keyed.
    let keyed = operation.hold().map_or(0, |_| KEYED_BYTES_MAX);
    FIXED
        + 256
        + keyed
        + lots * (20 + movements * 48)
        + holds * 48
        + 2 * names
        + new
        + commitments
        + event_bytes
        + repairs
        + returns
        + transferred
        + note
}

impl<'a> OperationRecord<'a> {
    /// The record's bytes but for the three fields that are known only when its place in the log is: see [`place`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * FIXED);
        self.write(&mut out);
        out
    }

    /// As [`OperationRecord::encode`], in place of what `out` has.
    pub fn write(&self, out: &mut Vec<u8>) {
        begin_record(out);
        let version = if packed::is_packed(&self.body.operation) {
            packed::write(&self.body, out);
            VERSION_PACKED
        } else {
            let body = WireBody::from(&self.body);
            rmp_serde::encode::write(out, &body).expect("a vector takes what is written to it");
            VERSION
        };
        let head = Head {
            slot: self.slot,
            generation: self.generation,
            closing: self.closing,
            opening: self.opening,
            previous_opening: self.previous_opening,
            time: self.time,
            adjustment: self.adjustment,
        };
        head.write(version, out);
        place(out, 0, self.previous, self.counts);
    }

    pub(super) fn read(bytes: &'a [u8], _prelude: Prelude<'a>) -> Result<Self, Corrupt> {
        let mut fields = Fields(bytes);
        fields.take(PREFIX + 4)?;
        let slot = fields.u32()?;
        let generation = fields.u32()?;
        let closing = Amount::new(fields.i64()?);
        let opening = Amount::new(fields.i64()?);
        let previous = fields.u64()?;
        let previous_opening = fields.u64()?;
        let time = Timestamp::from_millis(fields.u64()?);
        let version = fields.u8()?;
        if !matches!(version, VERSION | VERSION_PACKED) {
            return Err(Corrupt::UnknownVersion { tag: tag::OPERATION, version });
        }
        let adjustment = fields.i64()?;
        let counts = fields.u64()?;
        let body = if version == VERSION_PACKED {
            packed::read(&mut fields)?
        } else {
            let body: WireBody<'a> = rmp_serde::from_slice(fields.0).map_err(|_| Corrupt::Malformed("body"))?;
            Body::try_from(body)?
        };
        Ok(OperationRecord {
            slot,
            generation,
            closing,
            opening,
            previous,
            previous_opening,
            time,
            adjustment,
            counts,
            body,
        })
    }
}

/// What of a record is known when its operation has been computed, beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The wallet.
    pub slot: u32,
    /// The low half of the number of the generation that it opened.
    pub generation: u32,
    /// The balance at which the old generation closed.
    pub closing: Amount,
    /// The balance at which the new one opened.
    pub opening: Amount,
    /// LSN of the record that opened the old generation.
    pub previous_opening: u64,
    /// The server's time.
    pub time: Timestamp,
    /// Available credit less balance in the new generation.
    pub adjustment: i64,
}

impl Head {
    fn write(&self, version: u8, out: &mut [u8]) {
        let length = out.len();
        let mut writer = Writer::new(out);
        writer.put(&prefix_word(tag::OPERATION, length));
        writer.put(&[0; 4]);
        writer.put(&self.slot.to_le_bytes());
        writer.put(&self.generation.to_le_bytes());
        writer.put(&self.closing.units().to_le_bytes());
        writer.put(&self.opening.units().to_le_bytes());
        writer.put(&[0; 8]);
        writer.put(&self.previous_opening.to_le_bytes());
        writer.put(&self.time.millis().to_le_bytes());
        writer.put(&[version]);
        writer.put(&self.adjustment.to_le_bytes());
        writer.put(&[0; 8]);
    }
}

fn begin_record(out: &mut Vec<u8>) {
    out.clear();
    out.resize(FIXED, 0);
}

/// An operation on a hold that was carried out, as its record tells of it.
#[derive(Clone, Copy, Debug)]
pub struct OnHold<'a> {
    /// What was asked.
    pub operation: &'a Operation,
    /// Under which key, if under one.
    pub keyed: Option<&'a Keyed>,
    /// What was taken, or why it was refused.
    pub result: Result<Taken, Rejection>,
    /// What happened on the way.
    pub effects: &'a Effects,
}

/// Writes the record of an operation, but for what [`place`] fills in, in place of what `out` has; as [`OperationRecord::write`] of [`body`] for
/// operations on holds, without a body in between. `lots` and `levels` are of the new terms.
pub fn write_hold(
    head: &Head,
    done: OnHold<'_>,
    lots: impl ExactSizeIterator<Item = (GrantId, Amount)>,
    levels: Option<&Levels>,
    out: &mut Vec<u8>,
) {
    let OnHold { operation, keyed, result, effects } = done;
    let (crossed, recovered) = (names(&effects.crossed, effects, levels), names(&effects.recovered, effects, levels));
    let parts = packed::Parts {
        operation,
        taken: result.unwrap_or_default(),
        rejected: result.is_err(),
        movements: &effects.movements,
        crossed: &crossed,
        recovered: &recovered,
        lots,
        keyed,
    };
    begin_record(out);
    packed::write_parts(parts, out);
    head.write(VERSION_PACKED, out);
}

/// Fills in what is known only when an encoded record's place is: its distance from the start of its frame's payload, the wallet's
/// record before it, and the copy that counts.
pub fn place(record: &mut [u8], distance: u32, previous: u64, counts: u64) {
    record[4..8].copy_from_slice(&distance.to_le_bytes());
    record[32..40].copy_from_slice(&previous.to_le_bytes());
    record[65..73].copy_from_slice(&counts.to_le_bytes());
}

/// Links an encoded record to one before it in the same frame, which opened the generation that it ends.
pub fn place_behind(record: &mut [u8], previous_opening: u64) {
    record[40..48].copy_from_slice(&previous_opening.to_le_bytes());
}

#[derive(Serialize, Deserialize)]
struct WireBody<'a> {
    operation: WireOperation,
    #[serde(borrow)]
    event: Option<WireEvent<'a>>,
    taken: (i64, i64, i64),
    rejected: bool,
    movements: Vec<WireMovement>,
    #[serde(borrow)]
    crossed: Names<'a>,
    #[serde(borrow)]
    recovered: Names<'a>,
    lots: Vec<(u64, i64)>,
    repair: Repair,
    /// Not there where there is none, as in records from before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<Box<Note>>,
}

#[derive(Serialize, Deserialize)]
enum WireOperation {
    Grant(WireGrant),
    Void(u64),
    MoveExpiry(u64, u64),
    Debit(i64, u8),
    Due,
    SetStatus(u8),
    SetAllowance(i64),
    SetLevels(Option<Vec<(String, i64, u8, i64)>>),
    Reopen,
    /// A grant with something special about it.
    GrantWith(WireGrant, WireSpecial),
    Pay(u64),
    EndSchedule(u64),
    Charge(i64),
    Reverse(WireReversal),
    SetAnyLevels(Vec<WireLevel>),
    InheritLevels(u32, Option<Vec<WireLevel>>),
    SetCommitments(Vec<(i64, u64)>),
    TransferOut(i64, Vec<(u64, i64)>),
    TransferIn(Vec<(WireGrant, WireSpecial)>),
    /// Grant, amount, total, and whether the rest is written off.
    ClawBack(u64, i64, i64, bool),
    /// Grant, and how much of it at most.
    FreezeGrant(u64, i64),
    ThawGrant(u64),
}

#[derive(Serialize, Deserialize)]
struct WireReversal {
    debit: u64,
    taken: i64,
    before: i64,
    debt: i64,
    payers: Vec<WireReturn>,
    returns: Vec<WireReturn>,
    regrant: Option<WireGrant>,
}

/// The grant's terms; whether it has ended; how much; how it rolls over.
#[derive(Serialize, Deserialize)]
struct WireReturn(WireLot, bool, i64, Option<WireRollover>);

/// A grant's terms, without what is left of it.
#[derive(Serialize, Deserialize)]
struct WireLot {
    id: u64,
    granted: i64,
    effective_at: u64,
    expires_at: u64,
    cost: i64,
    priority: u8,
    paid: bool,
}

/// A level with everything that it can have. [`WireOperation::SetLevels`] writes those that have no more than the first levels had.
#[derive(Serialize, Deserialize)]
pub(super) struct WireLevel {
    name: String,
    amount: i64,
    at_or_below: bool,
    margin: i64,
    watches: u8,
    /// Millionths of a percent, 0 for none.
    percent: u32,
    min_interval_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct WireGrant {
    id: u64,
    amount: i64,
    priority: u8,
    paid: bool,
    effective_at: u64,
    expires_at: u64,
    cost: Option<i64>,
    max_balance: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct WireEvent<'a>(&'a str, &'a str, u64, Option<(u16, i64, u8)>);

/// Kind, grant (0 for none), amount, and two instants for a moved expiry, or the new grant and the instant for one that rolled over; for what
/// happened to a hold, the hold and nothing or an instant.
#[derive(Serialize, Deserialize)]
struct WireMovement(u8, u64, i64, Option<(u64, u64)>);

impl<'a> From<&Body<'a>> for WireBody<'a> {
    fn from(body: &Body<'a>) -> Self {
        WireBody {
            operation: (&body.operation).into(),
            event: body.event.map(|event| {
                let metered = event.metered.map(|m| (m.meter, m.quantity.mantissa(), m.quantity.scale()));
                WireEvent(event.id, event.source, event.time.millis(), metered)
            }),
            taken: (body.taken.amount.units(), body.taken.shortfall.units(), body.taken.overdraft.units()),
            rejected: body.rejected,
            movements: body.movements.iter().map(WireMovement::from).collect(),
            crossed: body.crossed.clone(),
            recovered: body.recovered.clone(),
            lots: body.lots.iter().map(|(id, remaining)| (id.get(), remaining.units())).collect(),
            repair: body.repair.clone(),
            note: body.note.clone(),
        }
    }
}

impl<'a> TryFrom<WireBody<'a>> for Body<'a> {
    type Error = Corrupt;

    fn try_from(wire: WireBody<'a>) -> Result<Self, Corrupt> {
        let (amount, shortfall, overdraft) = wire.taken;
        Ok(Body {
            operation: wire.operation.try_into()?,
            event: wire.event.map(Event::try_from).transpose()?,
            taken: Taken {
                amount: Amount::new(amount),
                shortfall: Amount::new(shortfall),
                overdraft: Amount::new(overdraft),
            },
            rejected: wire.rejected,
            movements: wire.movements.into_iter().map(Movement::try_from).collect::<Result<_, _>>()?,
            crossed: wire.crossed,
            recovered: wire.recovered,
            lots: wire.lots.into_iter().map(|(id, units)| (GrantId::new(id), Amount::new(units))).collect(),
            repair: wire.repair,
            note: wire.note,
            keyed: None,
        })
    }
}

impl<'a> TryFrom<WireEvent<'a>> for Event<'a> {
    type Error = Corrupt;

    fn try_from(WireEvent(id, source, time, metered): WireEvent<'a>) -> Result<Self, Corrupt> {
        let metered = metered
            .map(|(meter, mantissa, scale)| {
                let quantity = Decimal::from_parts(mantissa, scale).ok_or(Corrupt::Malformed("quantity"))?;
                Ok(Metered { meter, quantity })
            })
            .transpose()?;
        Ok(Event { id, source, time: Timestamp::from_millis(time), metered })
    }
}

impl From<&Operation> for WireOperation {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Grant(grant) if grant.special == Special::NONE => WireOperation::Grant(grant.into()),
            Operation::Grant(grant) => WireOperation::GrantWith(grant.into(), (&grant.special).into()),
            Operation::Void { grant } => WireOperation::Void(grant.get()),
            Operation::MoveExpiry { grant, expires_at } => WireOperation::MoveExpiry(grant.get(), millis(*expires_at)),
            Operation::Debit { amount, policy } => WireOperation::Debit(amount.units(), policy_number(*policy)),
            Operation::Due => WireOperation::Due,
            Operation::SetStatus(status) => WireOperation::SetStatus(status_number(*status)),
            Operation::SetAllowance(allowance) => WireOperation::SetAllowance(allowance.units()),
            Operation::SetLevels(Some(levels)) if !levels.iter().all(is_first_kind) => {
                WireOperation::SetAnyLevels(wire_any_levels(levels))
            }
            Operation::SetLevels(levels) => WireOperation::SetLevels(levels.as_deref().map(wire_levels)),
            Operation::Reopen => WireOperation::Reopen,
            Operation::Charge { amount } => WireOperation::Charge(amount.units()),
            Operation::Reverse(reversal) => WireOperation::Reverse((&**reversal).into()),
            Operation::Hold(_)
            | Operation::Capture { .. }
            | Operation::Release { .. }
            | Operation::ExtendHold { .. }
            | Operation::LateCapture { .. } => unreachable!("operations on holds are packed"),
            Operation::Pay { grant } => WireOperation::Pay(grant.get()),
            Operation::EndSchedule { schedule } => WireOperation::EndSchedule(*schedule),
            Operation::InheritLevels { version, levels } => {
                WireOperation::InheritLevels(*version, levels.as_deref().map(wire_any_levels))
            }
            Operation::SetCommitments(commitments) => {
                let wire = |one: &Commitment| (one.amount.units(), millis(one.until.timestamp()));
                WireOperation::SetCommitments(commitments.iter().map(wire).collect())
            }
            Operation::TransferOut { amount, parts } => {
                let parts = parts.iter().map(|(grant, part)| (grant.get(), part.units())).collect();
                WireOperation::TransferOut(amount.units(), parts)
            }
            Operation::TransferIn { grants } => {
                let wire = |grant: &NewGrant| (grant.into(), (&grant.special).into());
                WireOperation::TransferIn(grants.iter().map(wire).collect())
            }
            Operation::ClawBack { grant, amount, total, is_written_off } => {
                WireOperation::ClawBack(grant.get(), amount.units(), total.units(), *is_written_off)
            }
            Operation::FreezeGrant { grant, most } => WireOperation::FreezeGrant(grant.get(), most.units()),
            Operation::ThawGrant { grant } => WireOperation::ThawGrant(grant.get()),
        }
    }
}

impl TryFrom<WireOperation> for Operation {
    type Error = Corrupt;

    fn try_from(wire: WireOperation) -> Result<Self, Corrupt> {
        Ok(match wire {
            WireOperation::Grant(grant) => Operation::Grant(grant.into()),
            WireOperation::Void(grant) => Operation::Void { grant: GrantId::new(grant) },
            WireOperation::MoveExpiry(grant, expires_at) => {
                Operation::MoveExpiry { grant: GrantId::new(grant), expires_at: instant(expires_at) }
            }
            WireOperation::Debit(amount, policy) => {
                Operation::Debit { amount: Amount::new(amount), policy: policy_of(policy)? }
            }
            WireOperation::Due => Operation::Due,
            WireOperation::SetStatus(status) => Operation::SetStatus(status_of(status)?),
            WireOperation::SetAllowance(allowance) => Operation::SetAllowance(Amount::new(allowance)),
            WireOperation::SetLevels(levels) => Operation::SetLevels(levels.map(levels_of).transpose()?.map(Arc::new)),
            WireOperation::Reopen => Operation::Reopen,
            WireOperation::GrantWith(grant, special) => {
                Operation::Grant(NewGrant { special: special.try_into()?, ..grant.into() })
            }
            WireOperation::Pay(grant) => Operation::Pay { grant: GrantId::new(grant) },
            WireOperation::EndSchedule(schedule) => Operation::EndSchedule { schedule },
            WireOperation::Charge(amount) => Operation::Charge { amount: Amount::new(amount) },
            WireOperation::Reverse(reversal) => Operation::Reverse(Box::new(reversal.try_into()?)),
            WireOperation::SetAnyLevels(levels) => Operation::SetLevels(Some(any_levels_of(levels)?)),
            WireOperation::InheritLevels(version, levels) => {
                Operation::InheritLevels { version, levels: levels.map(any_levels_of).transpose()? }
            }
            WireOperation::SetCommitments(commitments) => {
                let commitment =
                    |(amount, until)| Commitment { amount: Amount::new(amount), until: instant(until).into() };
                Operation::SetCommitments(commitments.into_iter().map(commitment).collect())
            }
            WireOperation::TransferOut(amount, parts) => {
                let parts = parts.into_iter().map(|(grant, part)| (GrantId::new(grant), Amount::new(part))).collect();
                Operation::TransferOut { amount: Amount::new(amount), parts }
            }
            WireOperation::TransferIn(grants) => {
                let grant = |(grant, special): (WireGrant, WireSpecial)| {
                    Ok(NewGrant { special: special.try_into()?, ..grant.into() })
                };
                Operation::TransferIn { grants: grants.into_iter().map(grant).collect::<Result<_, Corrupt>>()? }
            }
            WireOperation::ClawBack(grant, amount, total, is_written_off) => {
                let (amount, total) = (Amount::new(amount), Amount::new(total));
                Operation::ClawBack { grant: GrantId::new(grant), amount, total, is_written_off }
            }
            WireOperation::FreezeGrant(grant, most) => {
                Operation::FreezeGrant { grant: GrantId::new(grant), most: Amount::new(most) }
            }
            WireOperation::ThawGrant(grant) => Operation::ThawGrant { grant: GrantId::new(grant) },
        })
    }
}

impl From<&NewGrant> for WireGrant {
    fn from(grant: &NewGrant) -> Self {
        WireGrant {
            id: grant.id.get(),
            amount: grant.amount.units(),
            priority: grant.priority,
            paid: grant.category == Category::Paid,
            effective_at: grant.effective_at.millis(),
            expires_at: millis(grant.expires_at),
            cost: grant.cost,
            max_balance: grant.max_balance.map(Amount::units),
        }
    }
}

impl From<WireGrant> for NewGrant {
    fn from(wire: WireGrant) -> Self {
        NewGrant {
            id: GrantId::new(wire.id),
            amount: Amount::new(wire.amount),
            priority: wire.priority,
            category: if wire.paid { Category::Paid } else { Category::Promotional },
            effective_at: Timestamp::from_millis(wire.effective_at),
            expires_at: instant(wire.expires_at),
            cost: wire.cost,
            max_balance: wire.max_balance.map(Amount::new),
            special: Special::NONE,
        }
    }
}

impl From<&Reversal> for WireReversal {
    fn from(reversal: &Reversal) -> Self {
        WireReversal {
            debit: reversal.debit,
            taken: reversal.taken.units(),
            before: reversal.before.units(),
            debt: reversal.debt.units(),
            payers: reversal.payers.iter().map(WireReturn::from).collect(),
            returns: reversal.returns.iter().map(WireReturn::from).collect(),
            regrant: reversal.regrant.as_ref().map(WireGrant::from),
        }
    }
}

impl TryFrom<WireReversal> for Reversal {
    type Error = Corrupt;

    fn try_from(wire: WireReversal) -> Result<Self, Corrupt> {
        Ok(Reversal {
            debit: wire.debit,
            taken: Amount::new(wire.taken),
            before: Amount::new(wire.before),
            debt: Amount::new(wire.debt),
            payers: wire.payers.into_iter().map(Return::try_from).collect::<Result<_, _>>()?,
            returns: wire.returns.into_iter().map(Return::try_from).collect::<Result<_, _>>()?,
            regrant: wire.regrant.map(NewGrant::from),
        })
    }
}

impl From<&Return> for WireReturn {
    fn from(back: &Return) -> Self {
        WireReturn((&back.lot).into(), back.ended, back.amount.units(), back.rollover.as_ref().map(WireRollover::from))
    }
}

impl TryFrom<WireReturn> for Return {
    type Error = Corrupt;

    fn try_from(WireReturn(lot, ended, amount, rollover): WireReturn) -> Result<Self, Corrupt> {
        let rollover = rollover.map(Rollover::try_from).transpose()?;
        Ok(Return { lot: lot.into(), ended, amount: Amount::new(amount), rollover })
    }
}

impl From<&Lot> for WireLot {
    fn from(lot: &Lot) -> Self {
        WireLot {
            id: lot.id.get(),
            granted: lot.granted.units(),
            effective_at: lot.effective_at.millis(),
            expires_at: millis(lot.expires_at.timestamp()),
            cost: lot.cost,
            priority: lot.priority,
            paid: lot.category == Category::Paid,
        }
    }
}

impl From<WireLot> for Lot {
    fn from(wire: WireLot) -> Self {
        Lot {
            id: GrantId::new(wire.id),
            remaining: Amount::ZERO,
            granted: Amount::new(wire.granted),
            effective_at: Timestamp::from_millis(wire.effective_at),
            expires_at: instant(wire.expires_at).into(),
            cost: wire.cost,
            priority: wire.priority,
            category: if wire.paid { Category::Paid } else { Category::Promotional },
        }
    }
}

impl From<&Movement> for WireMovement {
    fn from(movement: &Movement) -> Self {
        let of = |kind, grant: GrantId, amount: Amount| WireMovement(kind, grant.get(), amount.units(), None);
        let held = |kind, hold: HoldId, grant, amount: Amount| {
            WireMovement(kind, grant, amount.units(), Some((hold.get(), 0)))
        };
        match *movement {
            Movement::Granted { grant, amount } => of(1, grant, amount),
            Movement::Scheduled { grant, amount } => of(2, grant, amount),
            Movement::Activated { grant, amount } => of(3, grant, amount),
            Movement::DebtPaid { grant, amount } => of(4, grant, amount),
            Movement::Spent { grant, amount } => of(5, grant, amount),
            Movement::Overdrawn { amount } => WireMovement(6, 0, amount.units(), None),
            Movement::Depleted { grant } => of(7, grant, Amount::ZERO),
            Movement::Expired { grant, amount } => of(8, grant, amount),
            Movement::Voided { grant, amount } => of(9, grant, amount),
            Movement::ScheduledVoided { grant, amount } => of(10, grant, amount),
            Movement::ExpiryMoved { grant, amount, from, to } => {
                WireMovement(11, grant.get(), amount.units(), Some((millis(from), millis(to))))
            }
            Movement::WrittenOff { grant, amount } => of(12, grant, amount),
            Movement::DebtWrittenOff { amount } => WireMovement(13, 0, amount.units(), None),
            Movement::GivenBack { grant, amount } => of(40, grant, amount),
            Movement::Reopened { grant, amount } => of(41, grant, amount),
            Movement::DebtReturned { amount } => WireMovement(42, 0, amount.units(), None),
            Movement::Forfeited { grant: Some(grant), amount } => of(43, grant, amount),
            Movement::Forfeited { grant: None, amount } => WireMovement(44, 0, amount.units(), None),
            Movement::Held { hold, amount } => held(14, hold, 0, amount),
            Movement::Reserved { hold, grant, amount } => held(15, hold, grant.get(), amount),
            Movement::Captured { hold, amount } => held(16, hold, 0, amount),
            Movement::PartSpent { hold, grant, amount } => held(17, hold, grant.get(), amount),
            Movement::Released { hold, amount } => held(18, hold, 0, amount),
            Movement::HoldExpired { hold, amount } => held(19, hold, 0, amount),
            Movement::Returned { hold, grant, amount } => held(20, hold, grant.get(), amount),
            Movement::HoldMoved { hold, from, to } => {
                WireMovement(21, hold.get(), 0, Some((from.millis(), to.millis())))
            }
            Movement::AwaitsPayment { grant, amount } => of(32, grant, amount),
            Movement::Paid { grant, amount } => of(33, grant, amount),
            Movement::RolledOver { grant, into, amount, at } => {
                WireMovement(34, grant.get(), amount.units(), Some((into.get(), at.millis())))
            }
            Movement::TransferredOut { grant, amount } => of(45, grant, amount),
            Movement::TransferredIn { grant, amount } => of(46, grant, amount),
        }
    }
}

impl TryFrom<WireMovement> for Movement {
    type Error = Corrupt;

    fn try_from(WireMovement(kind, grant, amount, moved): WireMovement) -> Result<Self, Corrupt> {
        let (number, grant, amount) = (grant, GrantId::new(grant), Amount::new(amount));
        let hold = match (kind, moved) {
            (21, _) => HoldId::new(number),
            (14..=21, None) => return Err(Corrupt::Malformed("movement")),
            (_, moved) => HoldId::new(moved.map_or(0, |(hold, _)| hold)),
        };
        Ok(match kind {
            1 => Movement::Granted { grant, amount },
            2 => Movement::Scheduled { grant, amount },
            3 => Movement::Activated { grant, amount },
            4 => Movement::DebtPaid { grant, amount },
            5 => Movement::Spent { grant, amount },
            6 => Movement::Overdrawn { amount },
            7 => Movement::Depleted { grant },
            8 => Movement::Expired { grant, amount },
            9 => Movement::Voided { grant, amount },
            10 => Movement::ScheduledVoided { grant, amount },
            11 => {
                let (from, to) = moved.ok_or(Corrupt::Malformed("movement"))?;
                Movement::ExpiryMoved { grant, amount, from: instant(from), to: instant(to) }
            }
            12 => Movement::WrittenOff { grant, amount },
            13 => Movement::DebtWrittenOff { amount },
            40 => Movement::GivenBack { grant, amount },
            41 => Movement::Reopened { grant, amount },
            42 => Movement::DebtReturned { amount },
            43 => Movement::Forfeited { grant: Some(grant), amount },
            44 => Movement::Forfeited { grant: None, amount },
            45 => Movement::TransferredOut { grant, amount },
            46 => Movement::TransferredIn { grant, amount },
            14 => Movement::Held { hold, amount },
            15 => Movement::Reserved { hold, grant, amount },
            16 => Movement::Captured { hold, amount },
            17 => Movement::PartSpent { hold, grant, amount },
            18 => Movement::Released { hold, amount },
            19 => Movement::HoldExpired { hold, amount },
            20 => Movement::Returned { hold, grant, amount },
            21 => {
                let (from, to) = moved.ok_or(Corrupt::Malformed("movement"))?;
                Movement::HoldMoved { hold, from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }
            }
            32 => Movement::AwaitsPayment { grant, amount },
            33 => Movement::Paid { grant, amount },
            34 => {
                let (into, at) = moved.ok_or(Corrupt::Malformed("movement"))?;
                Movement::RolledOver { grant, into: GrantId::new(into), amount, at: Timestamp::from_millis(at) }
            }
            _ => return Err(Corrupt::Malformed("movement")),
        })
    }
}

fn wire_levels(levels: &Levels) -> Vec<(String, i64, u8, i64)> {
    let wire = |level: &Level| {
        let at_or_below = u8::from(level.trigger == Trigger::AtOrBelow);
        (level.name.to_string(), level.amount.units(), at_or_below, level.margin.units())
    };
    levels.iter().map(wire).collect()
}

fn levels_of(wire: Vec<(String, i64, u8, i64)>) -> Result<Levels, Corrupt> {
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
fn is_first_kind(level: &Level) -> bool {
    level.watches == Watches::Balance && level.percent.is_none() && level.min_interval_ms == 0
}

pub(super) fn wire_any_levels(levels: &Levels) -> Vec<WireLevel> {
    levels.iter().map(WireLevel::from).collect()
}

pub(super) fn any_levels_of(wire: Vec<WireLevel>) -> Result<Arc<Levels>, Corrupt> {
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

pub(super) fn watches_number(watches: Watches) -> u8 {
    match watches {
        Watches::Balance => 0,
        Watches::Available => 1,
        Watches::Projected => 2,
    }
}

pub(super) fn watches_of(number: u8) -> Result<Watches, Corrupt> {
    match number {
        0 => Ok(Watches::Balance),
        1 => Ok(Watches::Available),
        2 => Ok(Watches::Projected),
        _ => Err(Corrupt::Malformed("watched figure")),
    }
}

/// A percentage by its millionths, 0 for none.
pub(super) fn percent_of(millionths: u32) -> Result<Option<Percent>, Corrupt> {
    match millionths {
        0 => Ok(None),
        some => Percent::from_millionths(some).map(Some).ok_or(Corrupt::Malformed("percentage")),
    }
}

/// Never is the last millisecond that exists.
fn millis(instant: Option<Timestamp>) -> u64 {
    instant.map_or(u64::MAX, Timestamp::millis)
}

fn instant(millis: u64) -> Option<Timestamp> {
    (millis != u64::MAX).then(|| Timestamp::from_millis(millis))
}

pub(super) fn policy_number(policy: Policy) -> u8 {
    match policy {
        Policy::Reject => 0,
        Policy::Partial => 1,
        Policy::Overdraft => 2,
    }
}

pub(super) fn policy_of(number: u8) -> Result<Policy, Corrupt> {
    match number {
        0 => Ok(Policy::Reject),
        1 => Ok(Policy::Partial),
        2 => Ok(Policy::Overdraft),
        _ => Err(Corrupt::Malformed("policy")),
    }
}

fn status_number(status: Status) -> u8 {
    match status {
        Status::Active => 0,
        Status::Frozen => 1,
        Status::Closed => 2,
    }
}

fn status_of(number: u8) -> Result<Status, Corrupt> {
    match number {
        0 => Ok(Status::Active),
        1 => Ok(Status::Frozen),
        2 => Ok(Status::Closed),
        _ => Err(Corrupt::Malformed("status")),
    }
}

/// The body that records a change: what the rules computed, in the record's own form.
pub fn body<'a>(
    operation: &Operation,
    event: Option<Event<'a>>,
    result: Result<Taken, Rejection>,
    effects: &Effects,
    new: &'a Terms,
    repair: Repair,
    note: Option<Box<Note>>,
) -> Body<'a> {
    Body {
        operation: operation.clone(),
        event,
        taken: result.unwrap_or_default(),
        rejected: result.is_err(),
        movements: effects.movements.clone(),
        crossed: names(&effects.crossed, effects, new.levels.as_deref()),
        recovered: names(&effects.recovered, effects, new.levels.as_deref()),
        lots: new.lots.iter().map(|lot| (lot.id, lot.remaining)).collect(),
        repair,
        note,
        keyed: None,
    }
}

fn names<'a>(lines: &crate::ledger::Lines, effects: &Effects, levels: Option<&'a Levels>) -> Names<'a> {
    if lines.is_empty() {
        return Names::default();
    }
    let named = |mask: u64| match levels {
        Some(levels) => levels.of_mask(mask).map(|level| &*level.name).collect(),
        None => Vec::new(),
    };
    Names {
        levels: named(lines.levels),
        depleted: lines.depleted,
        negative: lines.negative,
        quiet: named(lines.levels & effects.quiet),
    }
}

const _: () = assert!(Expiry::NEVER.timestamp().is_none(), "never is written as the last millisecond");
