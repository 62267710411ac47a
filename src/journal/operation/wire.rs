//! The body of an operation's record in `MessagePack`, and the operation in it.

use super::grants::{WireGrant, WireReversal};
use super::levels::{WireLevel, any_levels_of, is_first_kind, levels_of, wire_any_levels, wire_levels};
use super::movements::WireMovement;
use super::numbers::{instant, millis, policy_number, policy_of, status_number, status_of};
use super::{Body, Event, Names, Repair};
use crate::journal::Corrupt;
use crate::journal::debit::Metered;
use crate::journal::note::Note;
use crate::journal::special::WireSpecial;
use crate::ledger::{Amount, Commitment, Decimal, GrantId, Movement, NewGrant, Operation, Special, Taken, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
pub(super) struct WireBody<'a> {
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
pub(super) enum WireOperation {
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
struct WireEvent<'a>(&'a str, &'a str, u64, Option<(u16, i64, u8)>);

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
