//! The record of an operation: the end of a wallet's generation and the opening of the next.
//!
//! ```text
//!  0 tag u8, length u24        16 closing balance i64     40 previous opening u64
//!  4 distance to frame u32     24 opening balance i64     48 server's time u64 (ms)
//!  8 slot u32                  32 previous u64            56 version u8
//! 12 generation u32 (low)                                 57 adjustment i64, 65 copy that counts u64
//!                                                         73 body, MessagePack
//! ```
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
use crate::ledger::{
    Amount, Category, Commitment, Decimal, Effects, Expiry, GrantId, Level, Levels, Movement, NewGrant, Operation,
    Percent, Policy, Rejection, Status, Taken, Terms, Timestamp, Trigger, Watches,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const FIXED: usize = 73;
const VERSION: u8 = 1;

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
pub fn length_bound(terms: &Terms, operation: &Operation, event_bytes: usize, repair: &Repair) -> usize {
    let lots = terms.lots.len() + terms.scheduled.len() + 1;
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
    // A lot appears once with its remainder (at most 20 bytes) and in at most three movements of 48 bytes each.
    let repairs = 20 * (repair.relinked.len() + repair.corrected.len()) + 9 * repair.dropped.len();
    FIXED + 256 + lots * (20 + 3 * 48) + 2 * names + new + commitments + event_bytes + repairs
}

impl<'a> OperationRecord<'a> {
    /// The record's bytes but for the three fields that are known only when its place in the log is: see [`place`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; FIXED];
        rmp_serde::encode::write(&mut out, &WireBody::from(&self.body)).expect("a vector takes what is written to it");
        let length = out.len();
        let mut writer = Writer::new(&mut out);
        writer.put(&prefix_word(tag::OPERATION, length));
        writer.put(&[0; 4]);
        writer.put(&self.slot.to_le_bytes());
        writer.put(&self.generation.to_le_bytes());
        writer.put(&self.closing.units().to_le_bytes());
        writer.put(&self.opening.units().to_le_bytes());
        writer.put(&self.previous.to_le_bytes());
        writer.put(&self.previous_opening.to_le_bytes());
        writer.put(&self.time.millis().to_le_bytes());
        writer.put(&[VERSION]);
        writer.put(&self.adjustment.to_le_bytes());
        writer.put(&self.counts.to_le_bytes());
        out
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
        if version != VERSION {
            return Err(Corrupt::UnknownVersion { tag: tag::OPERATION, version });
        }
        let adjustment = fields.i64()?;
        let counts = fields.u64()?;
        let body: WireBody<'a> = rmp_serde::from_slice(fields.0).map_err(|_| Corrupt::Malformed("body"))?;
        let body = Body::try_from(body)?;
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

/// Fills in what is known only when an encoded record's place is: its distance from the start of its frame's payload, the wallet's
/// record before it, and the copy that counts.
pub fn place(record: &mut [u8], distance: u32, previous: u64, counts: u64) {
    record[4..8].copy_from_slice(&distance.to_le_bytes());
    record[32..40].copy_from_slice(&previous.to_le_bytes());
    record[65..73].copy_from_slice(&counts.to_le_bytes());
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
    SetAnyLevels(Vec<WireLevel>),
    InheritLevels(u32, Option<Vec<WireLevel>>),
    SetCommitments(Vec<(i64, u64)>),
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

/// Kind, grant (0 for none), amount, and two instants for a moved expiry.
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
            Operation::Grant(grant) => WireOperation::Grant(grant.into()),
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
            Operation::InheritLevels { version, levels } => {
                WireOperation::InheritLevels(*version, levels.as_deref().map(wire_any_levels))
            }
            Operation::SetCommitments(commitments) => {
                let wire = |one: &Commitment| (one.amount.units(), millis(one.until.timestamp()));
                WireOperation::SetCommitments(commitments.iter().map(wire).collect())
            }
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
            WireOperation::SetAnyLevels(levels) => Operation::SetLevels(Some(any_levels_of(levels)?)),
            WireOperation::InheritLevels(version, levels) => {
                Operation::InheritLevels { version, levels: levels.map(any_levels_of).transpose()? }
            }
            WireOperation::SetCommitments(commitments) => {
                let commitment =
                    |(amount, until)| Commitment { amount: Amount::new(amount), until: instant(until).into() };
                Operation::SetCommitments(commitments.into_iter().map(commitment).collect())
            }
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
        }
    }
}

impl From<&Movement> for WireMovement {
    fn from(movement: &Movement) -> Self {
        let of = |kind, grant: GrantId, amount: Amount| WireMovement(kind, grant.get(), amount.units(), None);
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
        }
    }
}

impl TryFrom<WireMovement> for Movement {
    type Error = Corrupt;

    fn try_from(WireMovement(kind, grant, amount, moved): WireMovement) -> Result<Self, Corrupt> {
        let (grant, amount) = (GrantId::new(grant), Amount::new(amount));
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
) -> Body<'a> {
    let named = |mask: u64| match &new.levels {
        Some(levels) => levels.of_mask(mask).map(|level| &*level.name).collect(),
        None => Vec::new(),
    };
    let names = |lines: &crate::ledger::Lines| Names {
        levels: named(lines.levels),
        depleted: lines.depleted,
        negative: lines.negative,
        quiet: named(lines.levels & effects.quiet),
    };
    Body {
        operation: operation.clone(),
        event,
        taken: result.unwrap_or_default(),
        rejected: result.is_err(),
        movements: effects.movements.clone(),
        crossed: names(&effects.crossed),
        recovered: names(&effects.recovered),
        lots: new.lots.iter().map(|lot| (lot.id, lot.remaining)).collect(),
        repair,
    }
}

const _: () = assert!(Expiry::NEVER.timestamp().is_none(), "never is written as the last millisecond");
