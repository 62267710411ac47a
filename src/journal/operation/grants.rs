//! Grants in the body of an operation's record: new ones, and what a reversal gives back of old ones.

use super::numbers::{instant, millis};
use crate::journal::Corrupt;
use crate::journal::special::WireRollover;
use crate::ledger::{Amount, Category, GrantId, Lot, NewGrant, Return, Reversal, Rollover, Special, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct WireGrant {
    id: u64,
    amount: i64,
    priority: u8,
    paid: bool,
    effective_at: u64,
    expires_at: u64,
    cost: Option<i64>,
    max_balance: Option<i64>,
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

#[derive(Serialize, Deserialize)]
pub(super) struct WireReversal {
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
