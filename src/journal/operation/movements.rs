//! Movements in the body of an operation's record: a number for each kind, and what they all have.

use super::numbers::{instant, millis};
use crate::journal::Corrupt;
use crate::ledger::{Amount, GrantId, HoldId, Movement, Timestamp};
use serde::{Deserialize, Serialize};

/// Kind, grant (0 for none), amount, and two instants for a moved expiry, or the new grant and the instant for one that rolled over; for what
/// happened to a hold, the hold and nothing or an instant.
#[derive(Serialize, Deserialize)]
pub(super) struct WireMovement(u8, u64, i64, Option<(u64, u64)>);

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
