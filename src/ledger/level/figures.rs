//! What a level is compared with, from which side, and a share of what was granted.

use crate::ledger::amount::Amount;
use crate::ledger::decimal::Decimal;

/// Which side of a level its own amount belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Fires when the balance falls below the amount.
    #[default]
    Below,
    /// Fires when the balance falls to the amount or below.
    AtOrBelow,
}

impl Trigger {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Trigger::Below => "below",
            Trigger::AtOrBelow => "at_or_below",
        }
    }

    /// The trigger of that name.
    pub fn parse(name: &str) -> Option<Trigger> {
        match name {
            "below" => Some(Trigger::Below),
            "at_or_below" => Some(Trigger::AtOrBelow),
            _ => None,
        }
    }
}

/// The figure that a level is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Watches {
    /// The balance.
    #[default]
    Balance,
    /// What is available: the balance less what is held, and the overdraft allowance.
    Available,
    /// What is projected: what is available less what is committed.
    Projected,
}

impl Watches {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Watches::Balance => "balance",
            Watches::Available => "available",
            Watches::Projected => "projected",
        }
    }

    /// The figure of that name.
    pub fn parse(name: &str) -> Option<Watches> {
        match name {
            "balance" => Some(Watches::Balance),
            "available" => Some(Watches::Available),
            "projected" => Some(Watches::Projected),
            _ => None,
        }
    }
}

/// A share of what was granted: above nothing and at most all of it, to a millionth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Millionths of a percent in the whole.
    const WHOLE: u32 = 100_000_000;

    /// So many millionths of a percent, if that is more than nothing and at most the whole.
    pub const fn from_millionths(millionths: u32) -> Option<Percent> {
        if millionths > 0 && millionths <= Percent::WHOLE { Some(Percent(millionths)) } else { None }
    }

    /// So many percent, if that is more than 0, at most 100, and has at most six decimal places.
    pub fn from_decimal(percent: Decimal) -> Option<Percent> {
        let places = u32::from(6_u8.checked_sub(percent.scale())?);
        let millionths = percent.mantissa().checked_mul(10_i64.pow(places))?;
        Percent::from_millionths(u32::try_from(millionths).ok()?)
    }

    /// The share in millionths of a percent.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The share in percent.
    ///
    /// # Panics
    /// Never: six decimal places are few.
    pub fn decimal(self) -> Decimal {
        Decimal::from_parts(i64::from(self.0), 6).expect("six places are few")
    }

    /// This share of an amount, rounded up to a unit. Zero of an amount below zero.
    pub(super) fn of(self, amount: Amount) -> Amount {
        let product = i128::from(amount.or_zero().units()) * i128::from(self.0);
        Amount::saturating((product + i128::from(Percent::WHOLE) - 1) / i128::from(Percent::WHOLE))
    }
}
