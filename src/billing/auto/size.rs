//! How much a rule buys.

use super::super::money::{Money, Worth};
use super::super::package::CreditPackage;
use super::rule::{Mode, Rule};
use crate::ledger::Amount;

/// What a rule can buy, as it is sold now.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The rule's package.
    pub package: Option<&'a CreditPackage>,
    /// What the currency stands for, if it stands for money.
    pub worth: Option<Worth>,
    /// How many packages the customer may still buy.
    pub packages_left: Option<u64>,
}

/// What is to be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// How many packages; one where it is none.
    pub quantity: u32,
    /// What it costs.
    pub price: Money,
    /// The credits that it gives.
    pub credits: Amount,
}

/// Why nothing can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsizable {
    /// The package is gone or sold no more, or the currency has changed what it stands for.
    NotSold,
    /// The customer may not buy as many packages.
    TooManyPackages,
    /// The price or the credits cannot be counted.
    TooMuch,
}

impl Offer<'_> {
    /// What `rule` buys at a balance at which it fires: enough that it does not fire again.
    pub fn order(&self, rule: &Rule, balance: Amount) -> Result<Order, Unsizable> {
        let gap = gap(rule.lowest_at_rest(), balance);
        match &rule.mode {
            Mode::Package { quantity, .. } => self.packages(gap, *quantity),
            Mode::Amount(money) => self.multiples(gap, *money),
            Mode::Target { target, package } => {
                let gap = self::gap(*target, balance);
                if package.is_some() { self.packages(gap, 1) } else { self.exactly(gap) }
            }
        }
    }

    fn packages(&self, gap: u128, least: u32) -> Result<Order, Unsizable> {
        let package = self.package.filter(|package| !package.archived).ok_or(Unsizable::NotSold)?;
        let credits = package.total();
        let quantity = times(gap, credits, least)?;
        if self.packages_left.is_some_and(|left| u64::from(quantity) > left) {
            return Err(Unsizable::TooManyPackages);
        }
        order(quantity, package.price, credits)
    }

    fn multiples(&self, gap: u128, money: Money) -> Result<Order, Unsizable> {
        let worth = self.worth.ok_or(Unsizable::NotSold)?;
        let credits = worth.credits(money).filter(|credits| *credits > Amount::ZERO).ok_or(Unsizable::NotSold)?;
        let quantity = times(gap, credits, 1)?;
        let whole = order(quantity, money, credits)?;
        Ok(Order { quantity: 1, ..whole })
    }

    fn exactly(&self, gap: u128) -> Result<Order, Unsizable> {
        let worth = self.worth.ok_or(Unsizable::NotSold)?;
        let credits = i64::try_from(gap).map(Amount::new).map_err(|_| Unsizable::TooMuch)?;
        let price = worth.money(credits);
        let credits = worth.credits(price).filter(|credits| *credits <= Amount::MAX_BALANCE);
        Ok(Order { quantity: 1, price, credits: credits.ok_or(Unsizable::TooMuch)? })
    }
}

/// How far it is up from a balance, debt included; one at the least, since something is to be bought.
fn gap(to: Amount, from: Amount) -> u128 {
    u128::try_from(i128::from(to.units()) - i128::from(from.units())).unwrap_or(0).max(1)
}

/// How many portions close a gap.
fn times(gap: u128, portion: Amount, least: u32) -> Result<u32, Unsizable> {
    let portion = portion.units().max(1).unsigned_abs();
    let needed = gap.div_ceil(portion.into());
    u32::try_from(needed).map(|needed| needed.max(least)).map_err(|_| Unsizable::TooMuch)
}

fn order(quantity: u32, price: Money, credits: Amount) -> Result<Order, Unsizable> {
    let credits = credits.units().checked_mul(quantity.into()).map(Amount::new);
    let credits = credits.filter(|credits| *credits <= Amount::MAX_BALANCE).ok_or(Unsizable::TooMuch)?;
    let price = price.times(quantity).ok_or(Unsizable::TooMuch)?;
    Ok(Order { quantity, price, credits })
}
