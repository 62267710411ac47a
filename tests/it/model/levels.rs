//! Alert levels: whose they are, where they stand, and what they do.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Command, Level, Outcome, Status, Watches};
use super::{Held, Model};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    Idle,
    Armed,
    Fired,
    /// It has fired too short a while after it was told last.
    FiredSilently,
}

/// Whose levels a wallet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Nobodys,
    Own,
    Currencys(u32),
}

impl Model {
    pub(super) fn choose_levels(&mut self, command: &Command, before: i128) {
        match command {
            Command::SetLevels(levels) => {
                self.set_levels(levels, before);
                self.whose = Whose::Own;
            }
            Command::ClearLevels => {
                self.levels.clear();
                self.whose = Whose::Nobodys;
            }
            Command::Inherit(version, levels) => {
                let newer = match self.whose {
                    Whose::Own => false,
                    Whose::Nobodys => true,
                    Whose::Currencys(old) => *version > old,
                };
                if newer {
                    self.set_levels(levels, before);
                    self.whose = if levels.is_empty() { Whose::Nobodys } else { Whose::Currencys(*version) };
                }
            }
            _ => {}
        }
    }

    /// Whether the wallet was given levels of its own, be they none.
    pub(crate) fn has_own_levels(&self) -> bool {
        self.whose == Whose::Own
    }

    /// Names of the levels that are armed.
    pub(crate) fn armed(&self) -> BTreeSet<String> {
        self.named(Alarm::Armed)
    }

    /// Names of the levels that have fired and not recovered.
    pub(crate) fn fired(&self) -> BTreeSet<String> {
        &self.named(Alarm::Fired) | &self.silent()
    }

    /// Names of the levels that have fired without a word.
    pub(crate) fn silent(&self) -> BTreeSet<String> {
        self.named(Alarm::FiredSilently)
    }

    fn named(&self, wanted: Alarm) -> BTreeSet<String> {
        self.levels.iter().filter(|(_, alarm, _)| *alarm == wanted).map(|(level, ..)| level.name.clone()).collect()
    }

    /// What each level stands at, by name.
    pub(crate) fn amounts(&self) -> BTreeMap<String, i128> {
        self.levels.iter().map(|(level, ..)| (level.name.clone(), self.amount_of(level))).collect()
    }

    fn amount_of(&self, level: &Level) -> i128 {
        match level.percent {
            Some(millionths) => (self.granted * millionths + 99_999_999) / 100_000_000,
            None => level.amount,
        }
    }

    /// Whether the figure that a level watches is below it, were the balance this.
    fn is_below(&self, level: &Level, balance: i128) -> bool {
        let watched = match level.watches {
            Watches::Balance => balance,
            Watches::Available => balance - self.held() + self.allowance,
            Watches::Projected => balance - self.held() + self.allowance - self.committed(),
        };
        let amount = self.amount_of(level);
        if level.at_or_below { watched <= amount } else { watched < amount }
    }

    /// Credits have come, or gone unspent.
    pub(super) fn count_granted(&mut self) {
        self.counted = true;
        let is_held = |held: &Held| held.account.held > 0 && !held.voided;
        let is_there = |held: &&Held| held.active && (held.account.remaining > 0 || is_held(held));
        let counted = self.grants.values().filter(is_there);
        self.granted = counted.map(|held| held.account.granted).sum::<i128>().min(i128::from(i64::MAX));
    }

    /// A level that was there before keeps its state; another is armed if what it watches is not below it.
    fn set_levels(&mut self, levels: &[Level], balance: i128) {
        self.count_granted();
        let old = std::mem::take(&mut self.levels);
        for level in levels {
            let earlier = old.iter().find(|(earlier, ..)| earlier == level);
            let alarm = match earlier {
                Some((_, fired @ (Alarm::Fired | Alarm::FiredSilently), _)) => *fired,
                _ if self.is_below(level, balance) => Alarm::Idle,
                _ => Alarm::Armed,
            };
            let told = earlier.and_then(|(_, _, told)| *told);
            self.levels.push((level.clone(), alarm, told));
        }
    }

    /// Rule 10: edges, once a crossing; a closed wallet has no alarms.
    pub(super) fn judge(&mut self, before: i128, now: u64, outcome: &mut Outcome) {
        let after = self.balance();
        if self.status == Status::Closed {
            self.levels.iter_mut().for_each(|(_, alarm, _)| *alarm = Alarm::Idle);
            return;
        }
        outcome.depleted = before > 0 && after <= 0;
        outcome.negative = before >= 0 && after < 0;
        let mut levels = std::mem::take(&mut self.levels);
        for (level, alarm, told) in &mut levels {
            let below = self.is_below(level, after);
            let recovered = !self.is_below(level, after - level.margin);
            let may_be_told = told.is_none_or(|told| told + level.interval <= now);
            match *alarm {
                Alarm::Armed if below => {
                    outcome.crossed.insert(level.name.clone());
                    if level.interval == 0 || may_be_told {
                        *alarm = Alarm::Fired;
                        *told = Some(now);
                    } else {
                        outcome.quiet.insert(level.name.clone());
                        *alarm = Alarm::FiredSilently;
                    }
                }
                Alarm::Fired | Alarm::FiredSilently if recovered => {
                    outcome.recovered.insert(level.name.clone());
                    if *alarm == Alarm::FiredSilently {
                        outcome.quiet.insert(level.name.clone());
                    }
                    *alarm = Alarm::Armed;
                }
                Alarm::FiredSilently if may_be_told => {
                    outcome.crossed.insert(level.name.clone());
                    *alarm = Alarm::Fired;
                    *told = Some(now);
                }
                Alarm::Idle if !below => *alarm = Alarm::Armed,
                Alarm::Armed | Alarm::Fired | Alarm::FiredSilently | Alarm::Idle => {}
            }
        }
        self.levels = levels;
    }
}
