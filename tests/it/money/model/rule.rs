//! What a rule is set to, what it buys, and what has become of it.

use drawdown::billing::Per;
use drawdown::billing::auto::{Limit, Mode, Rule as SetRule};
use drawdown::engine::catalog::CurrencyNumber;
use drawdown::ledger::{Amount, Trigger};

use super::{DAY, EUROS, PACKAGES, UNITS_PER_CENT, VALID_FOR, WALLETS, euros};

/// How much a rule buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::money) enum Size {
    /// A package by its place in [`PACKAGES`], so often at least.
    Package(usize, u32),
    /// As many of a package as lead to a balance.
    Target(usize, i64),
    /// Multiples of so many cents, in the wallet whose credits are cents.
    Cents(i64),
    /// Exactly up to a balance, in that wallet.
    Exactly(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::money) enum Window {
    Day,
    Week,
    Month,
}

impl Window {
    /// The number of the window that an instant is in.
    pub(super) fn of(self, time: u64) -> u64 {
        let days = time / DAY;
        match self {
            Window::Day => days,
            // The epoch's day was a Thursday.
            Window::Week => (days + 3) / 7,
            Window::Month => month(days),
        }
    }
}

/// Months since the beginning of 1970, counted one by one.
fn month(mut days: u64) -> u64 {
    let mut months = 0;
    loop {
        let (year, month) = (1970 + months / 12, months % 12);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            1 => 28 + u64::from(is_leap),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if days < length {
            return months;
        }
        days -= length;
        months += 1;
    }
}

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::money) struct Spec {
    pub(in crate::money) enabled: bool,
    pub(in crate::money) threshold: i64,
    pub(in crate::money) at_or_below: bool,
    pub(in crate::money) size: Size,
    pub(in crate::money) cooldown: u64,
    /// Window, count and cents.
    pub(in crate::money) limits: Vec<(Window, Option<u32>, Option<i64>)>,
    pub(in crate::money) card: Option<String>,
}

impl Spec {
    /// The lowest balance that is not low.
    pub(super) fn rest(&self) -> i64 {
        self.threshold + i64::from(self.at_or_below)
    }

    /// Price in cents and credits in units of what is bought at a balance.
    pub(in crate::money) fn order(&self, balance: i64) -> (i64, i64) {
        let gap = |to: i64| (to - balance).max(1);
        let ceil = |gap: i64, portion: i64| (gap + portion - 1) / portion;
        match self.size {
            Size::Package(package, least) => {
                let (_, credits, cents) = PACKAGES[package];
                let count = ceil(gap(self.rest()), credits).max(least.into());
                (count * cents, count * credits)
            }
            Size::Target(package, target) => {
                let (_, credits, cents) = PACKAGES[package];
                let count = ceil(gap(target), credits);
                (count * cents, count * credits)
            }
            Size::Cents(cents) => {
                let count = ceil(gap(self.rest()), cents * UNITS_PER_CENT);
                (count * cents, count * cents * UNITS_PER_CENT)
            }
            Size::Exactly(target) => {
                let cents = ceil(gap(target), UNITS_PER_CENT);
                (cents, cents * UNITS_PER_CENT)
            }
        }
    }

    /// The same as the engine is told it.
    pub(in crate::money) fn rule(&self, wallet: usize) -> SetRule {
        let package = |package: usize| PACKAGES[package].0.to_owned();
        let mode = match self.size {
            Size::Package(number, quantity) => Mode::Package { package: package(number), quantity },
            Size::Target(number, target) => {
                Mode::Target { target: Amount::new(target), package: Some(package(number)) }
            }
            Size::Cents(cents) => Mode::Amount(euros(cents)),
            Size::Exactly(target) => Mode::Target { target: Amount::new(target), package: None },
        };
        let per = |window| match window {
            Window::Day => Per::Day,
            Window::Week => Per::Week,
            Window::Month => Per::Month,
        };
        let limit = |(window, count, most): &(Window, Option<u32>, Option<i64>)| Limit {
            per: per(*window),
            count: *count,
            amount: most.map(euros),
        };
        SetRule {
            customer: WALLETS[wallet].0.to_owned(),
            currency: CurrencyNumber(u16::from(wallet == EUROS)),
            enabled: self.enabled,
            threshold: Amount::new(self.threshold),
            trigger: if self.at_or_below { Trigger::AtOrBelow } else { Trigger::Below },
            mode,
            cooldown_ms: self.cooldown,
            limits: self.limits.iter().map(limit).collect(),
            method: self.card.clone(),
            priority: None,
            valid_for_ms: None,
        }
    }

    /// How long what it buys lasts.
    pub(super) fn valid_for(&self) -> Option<u64> {
        match self.size {
            Size::Package(package, _) | Size::Target(package, _) => VALID_FOR[package],
            Size::Cents(_) | Size::Exactly(_) => None,
        }
    }

    /// What it buys when it is only just low.
    pub(in crate::money) fn least_price(&self) -> i64 {
        self.order(self.rest() - 1).0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Suspended,
    Action,
}

/// A rule, and what has become of it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) spec: Spec,
    pub(super) is_live: bool,
    pub(super) failures: u32,
    pub(super) retry_at: u64,
    pub(super) cooling_until: u64,
    pub(super) halt: Option<Halt>,
    pub(super) last_card: Option<String>,
}

impl Rule {
    pub(super) fn recover(&mut self) {
        (self.failures, self.retry_at, self.halt) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_weeks_are_those_of_the_calendar() {
        for (days, months) in [(0, 0), (30, 0), (31, 1), (58, 1), (59, 2), (789, 25), (20_783, 682)] {
            assert_eq!(month(days), months, "{days} days");
        }
        // 26 November 2026, a Thursday; the Monday before and the one behind.
        let day = |days: u64| Window::Week.of(days * DAY);
        assert_eq!((day(20_783), day(20_780), day(20_786), day(20_787)), (2_969, 2_969, 2_969, 2_970));
    }
}
