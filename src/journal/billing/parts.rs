//! What several records of money in consist of: money, instants, and enumerations by their numbers.

use crate::billing::top_up::Collection;
use crate::billing::{Money, MoneyCode};
use crate::journal::Corrupt;
use crate::ledger::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) const COLLECTIONS: [Collection; 4] =
    [Collection::Charge, Collection::Checkout, Collection::Invoice, Collection::Outside];

/// The place of a value in the list of all, which is its number in records.
pub(super) fn number_of<T: PartialEq>(all: &[T], value: &T) -> u8 {
    all.iter().position(|known| known == value).expect("the list has all of them") as u8
}

pub(super) fn at<T: Copy>(all: &[T], number: u8, what: &'static str) -> Result<T, Corrupt> {
    all.get(usize::from(number)).copied().ok_or(Corrupt::Malformed(what))
}

pub(super) fn all_at<T: Copy>(all: &[T], numbers: Vec<u8>, what: &'static str) -> Result<Vec<T>, Corrupt> {
    numbers.into_iter().map(|number| at(all, number, what)).collect()
}

pub(super) fn millis(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::millis)
}

pub(super) fn instant(millis: Option<u64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

/// Code and decimal places.
#[derive(Serialize, Deserialize)]
pub(super) struct WireCode(String, u8);

impl From<MoneyCode> for WireCode {
    fn from(code: MoneyCode) -> Self {
        WireCode(code.as_str().to_owned(), code.places())
    }
}

impl TryFrom<WireCode> for MoneyCode {
    type Error = Corrupt;

    fn try_from(wire: WireCode) -> Result<Self, Corrupt> {
        MoneyCode::coin(&wire.0, wire.1).ok_or(Corrupt::Malformed("code of money"))
    }
}

/// Minor units, and of what.
#[derive(Serialize, Deserialize)]
pub(super) struct WireMoney(i64, WireCode);

impl From<Money> for WireMoney {
    fn from(money: Money) -> Self {
        WireMoney(money.units, money.code.into())
    }
}

impl TryFrom<WireMoney> for Money {
    type Error = Corrupt;

    fn try_from(wire: WireMoney) -> Result<Self, Corrupt> {
        Ok(Money::new(wire.0, wire.1.try_into()?))
    }
}

pub(super) fn money_of(wire: Option<WireMoney>) -> Result<Option<Money>, Corrupt> {
    wire.map(Money::try_from).transpose()
}
