//! How much a rule has bought within the present day, week and month.

use super::super::Per;
use super::super::money::{Money, MoneyCode};
use super::rule::Limit;
use crate::ledger::Timestamp;

/// What was bought within one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Timestamp,
    /// Attempts that did not fail.
    pub count: u32,
    /// Their money, in minor units.
    pub units: i64,
}

/// What was bought within the windows of the newest attempt, in the order of [`Per::ALL`]. An attempt counts in the windows that it was made in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Day, week, month.
    pub windows: [Window; 3],
    /// In which money. When a rule comes to be paid in another, its amounts count from zero, and its counts go on.
    pub code: Option<MoneyCode>,
}

impl Tally {
    /// Counts an attempt.
    pub fn add(&mut self, at: Timestamp, money: Money) {
        if self.code != Some(money.code) {
            self.code = Some(money.code);
            self.windows.iter_mut().for_each(|window| window.units = 0);
        }
        self.count(at, money.units);
    }

    /// Counts an attempt that had been given up and was paid after all. In other money than the newest attempts it adds to the counts alone:
    /// what was bought since in the present money is not forgotten for it.
    pub fn add_late(&mut self, at: Timestamp, money: Money) {
        let is_same_money = *self.code.get_or_insert(money.code) == money.code;
        self.count(at, if is_same_money { money.units } else { 0 });
    }

    fn count(&mut self, at: Timestamp, units: i64) {
        for (per, window) in Per::ALL.into_iter().zip(&mut self.windows) {
            let start = per.start(at);
            if window.start < start {
                *window = Window { start, count: 0, units: 0 };
            }
            if window.start == start {
                window.count = window.count.saturating_add(1);
                window.units = window.units.saturating_add(units);
            }
        }
    }

    /// Counts an attempt no more: it failed.
    pub fn take_back(&mut self, at: Timestamp, money: Money) {
        for (per, window) in Per::ALL.into_iter().zip(&mut self.windows) {
            if window.start == per.start(at) {
                window.count = window.count.saturating_sub(1);
                if self.code == Some(money.code) {
                    window.units = window.units.saturating_sub(money.units);
                }
            }
        }
    }

    /// What was bought in the window that `now` is in.
    pub fn within(&self, per: Per, now: Timestamp) -> Window {
        let start = per.start(now);
        let of_per = Per::ALL.into_iter().zip(self.windows).find(|(known, _)| *known == per);
        let window = of_per.map(|(_, window)| window).filter(|window| window.start == start);
        window.unwrap_or(Window { start, count: 0, units: 0 })
    }

    /// The limit that one more attempt would exceed: of several the one whose window opens last.
    pub fn reached(&self, limits: &[Limit], price: Money, now: Timestamp) -> Option<Limit> {
        let exceeds = |limit: &&Limit| {
            let window = self.within(limit.per, now);
            let is_same_money = self.code.is_none_or(|code| code == price.code);
            let spent = if is_same_money { window.units } else { 0 };
            let by_amount = |max: Money| {
                max.code != price.code || spent.checked_add(price.units).is_none_or(|units| units > max.units)
            };
            limit.count.is_some_and(|max| window.count >= max) || limit.amount.is_some_and(by_amount)
        };
        limits.iter().filter(exceeds).max_by_key(|limit| limit.per.end(now)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::money::tests::euros;
    use super::*;

    /// A late success in the money of before used to clear the amounts of the present money, so that a limit on them let through as much again.
    #[test]
    fn late_money_of_another_kind_does_not_clear_what_was_spent_since() {
        let now = Timestamp::from_millis(1_000_000_000);
        let dollars = |cents| Money::new(cents, MoneyCode::iso("USD").expect("dollars"));
        let limit = Limit { per: Per::Day, count: None, amount: Some(dollars(100)) };
        let mut tally = Tally::default();
        tally.add(now, euros(10));
        tally.take_back(now, euros(10));
        tally.add(now, dollars(80));
        tally.add_late(now, euros(10));
        assert_eq!(tally.reached(&[limit], dollars(21), now), Some(limit));
        assert_eq!(tally.reached(&[limit], dollars(20), now), None);
        assert_eq!(tally.within(Per::Day, now), Window { start: Per::Day.start(now), count: 2, units: 80 });
        tally.add_late(now, dollars(15));
        assert_eq!(tally.within(Per::Month, now).units, 95);
    }
}
