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
        for (per, window) in Per::ALL.into_iter().zip(&mut self.windows) {
            let start = per.start(at);
            if window.start < start {
                *window = Window { start, count: 0, units: 0 };
            }
            if window.start == start {
                window.count = window.count.saturating_add(1);
                window.units = window.units.saturating_add(money.units);
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
