//! A ledger of one wallet, as plain as it can be made: the reading of the rules that everything faster is compared with.
//!
//! It keeps every grant it ever saw, looks at all of them for each step, counts in `i128`, and brings dated changes about one
//! by one in the order of their dates. It shares no code and no types with the crate; names of reasons are the clients'.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The highest balance of a wallet, scheduled grants and overdraft allowance included.
pub(crate) const BALANCE_MAX: i128 = i64::MAX as i128 - 1;
/// The deepest debt of a wallet.
pub(crate) const DEBT_MAX: i128 = i64::MAX as i128;
/// The most grants a wallet has at a time.
pub(crate) const GRANTS_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Frozen,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Reject,
    Partial,
    Overdraft,
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Grant(Grant),
    Void {
        grant: u64,
    },
    MoveExpiry {
        grant: u64,
        expires_at: Option<u64>,
    },
    Debit {
        amount: i128,
        policy: Policy,
    },
    SetStatus(Status),
    SetAllowance(i128),
    SetLevels(Vec<Level>),
    /// Levels of the currency, by their version.
    Inherit(u32, Vec<Level>),
    /// Takes the wallet's own levels away.
    ClearLevels,
    /// Amounts, and until when each is committed.
    Commit(Vec<(i128, Option<u64>)>),
    /// Nothing but what the passing of time brings.
    Wait,
}

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) amount: i128,
    pub(crate) priority: u8,
    pub(crate) promotional: bool,
    pub(crate) effective_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) cost: Option<i128>,
    pub(crate) max_balance: Option<i128>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) name: String,
    pub(crate) amount: i128,
    pub(crate) at_or_below: bool,
    pub(crate) margin: i128,
    pub(crate) watches: Watches,
    /// Millionths of a percent of what was granted, in the place of the amount.
    pub(crate) percent: Option<i128>,
    /// The shortest time between two alerts.
    pub(crate) interval: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watches {
    Balance,
    Available,
    Projected,
}

impl Level {
    /// A level of the balance, with nothing else to it.
    pub(crate) fn plain(name: String, amount: i128, at_or_below: bool, margin: i128) -> Level {
        Level { name, amount, at_or_below, margin, watches: Watches::Balance, percent: None, interval: 0 }
    }
}

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why the command was refused, if it was.
    pub(crate) refused: Option<Refusal>,
    /// What a debit took.
    pub(crate) taken: i128,
    /// What a partial debit did not take.
    pub(crate) shortfall: i128,
    /// What an overdraft took beyond what was available.
    pub(crate) overdraft: i128,
    /// Which grants paid a debit, in the order in which they did.
    pub(crate) paid_by: Vec<(u64, i128)>,
    /// Names of the levels that fired.
    pub(crate) crossed: BTreeSet<String>,
    /// Names of the levels that had fired and are armed again.
    pub(crate) recovered: BTreeSet<String>,
    /// Names among both of which nobody is told.
    pub(crate) quiet: BTreeSet<String>,
    /// Whether the balance went from something to nothing or less.
    pub(crate) depleted: bool,
    /// Whether the balance went into debt.
    pub(crate) negative: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    /// What could have been spent, where credit was the reason.
    pub(crate) available: Option<i128>,
}

/// Where the credits of one grant are. The parts always make the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) granted: i128,
    pub(crate) remaining: i128,
    pub(crate) spent: i128,
    pub(crate) debt_paid: i128,
    pub(crate) expired: i128,
    pub(crate) voided: i128,
    pub(crate) written_off: i128,
}

#[derive(Clone, Debug)]
struct Held {
    grant: Grant,
    account: Account,
    /// Whether its date has come. What it has left counts from then on.
    active: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Idle,
    Armed,
    Fired,
    /// It has fired too short a while after it was told last.
    FiredSilently,
}

/// Whose levels a wallet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Nobodys,
    Own,
    Currencys(u32),
}

/// One wallet.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    status: Status,
    allowance: i128,
    debt: i128,
    grants: BTreeMap<u64, Held>,
    /// Each with its state and when it was told last.
    levels: Vec<(Level, Alarm, Option<u64>)>,
    whose: Whose,
    /// What percentages are of: what was granted in the grants that had something left when credits last came, or went unspent.
    granted: i128,
    committed: Vec<(i128, Option<u64>)>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            status: Status::Active,
            allowance: 0,
            debt: 0,
            grants: BTreeMap::new(),
            levels: Vec::new(),
            whose: Whose::Nobodys,
            granted: 0,
            committed: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, command: &Command, now: u64) -> Outcome {
        let before = self.balance();
        self.pass_time(now);
        let mut outcome = Outcome::default();
        if self.status != Status::Closed {
            self.choose_levels(command, before);
        }
        let refused = self.carry_out(command, now, &mut outcome).err();
        outcome.refused = refused;
        self.judge(before, now, &mut outcome);
        outcome
    }

    fn choose_levels(&mut self, command: &Command, before: i128) {
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

    /// What is committed.
    pub(crate) fn committed(&self) -> i128 {
        self.committed.iter().map(|(amount, _)| amount).sum()
    }

    /// What is left of what is available once all that is committed has been used, or the lowest number that an amount can be.
    pub(crate) fn projected(&self) -> i128 {
        (self.available() - self.committed()).max(i128::from(i64::MIN))
    }

    /// Credits of active grants, less debt.
    pub(crate) fn balance(&self) -> i128 {
        self.grants.values().filter(|held| held.active).map(|held| held.account.remaining).sum::<i128>() - self.debt
    }

    /// What could be spent now.
    pub(crate) fn available(&self) -> i128 {
        self.balance() + self.allowance
    }

    pub(crate) fn debt(&self) -> i128 {
        self.debt
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// What is left of a grant, whether or not it has taken effect.
    pub(crate) fn remaining(&self, grant: u64) -> i128 {
        self.grants.get(&grant).map_or(0, |held| held.account.remaining)
    }

    /// Whether a grant has taken effect.
    pub(crate) fn is_active(&self, grant: u64) -> bool {
        self.grants.get(&grant).is_some_and(|held| held.active)
    }

    /// When a grant that there is ends.
    pub(crate) fn expires_at(&self, grant: u64) -> Option<u64> {
        self.grants.get(&grant).and_then(|held| held.grant.expires_at)
    }

    /// The instants at which something of a grant's that is left begins or ends.
    pub(crate) fn dates(&self) -> impl Iterator<Item = u64> {
        let left = self.grants.values().filter(|held| held.account.remaining > 0);
        let of_grants = left.flat_map(|held| [Some(held.grant.effective_at), held.grant.expires_at]).flatten();
        let silent = self.levels.iter().filter(|(_, alarm, _)| *alarm == Alarm::FiredSilently);
        let told = silent.filter_map(|(level, _, told)| Some((*told)? + level.interval));
        of_grants.chain(told).chain(self.committed.iter().filter_map(|(_, until)| *until))
    }

    /// Where the credits of every grant are.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (u64, &Account)> {
        self.grants.iter().map(|(id, held)| (*id, &held.account))
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
            Watches::Available => balance + self.allowance,
            Watches::Projected => balance + self.allowance - self.committed(),
        };
        let amount = self.amount_of(level);
        if level.at_or_below { watched <= amount } else { watched < amount }
    }

    /// Credits have come, or gone unspent.
    fn count_granted(&mut self) {
        let counted = self.grants.values().filter(|held| held.active && held.account.remaining > 0);
        self.granted = counted.map(|held| held.account.granted).sum::<i128>().min(i128::from(i64::MAX));
    }

    /// Lets dated changes happen, one at a time, the earliest first; at the same instant ends come before beginnings.
    fn pass_time(&mut self, now: u64) {
        self.committed.retain(|(_, until)| until.is_none_or(|until| until > now));
        loop {
            let ends = self.grants.values().filter(|held| held.active && held.account.remaining > 0);
            let end = ends.filter_map(|held| Some((held.grant.expires_at?, 0, held.grant.id))).min();
            let waiting = self.grants.values().filter(|held| !held.active && held.account.remaining > 0);
            let begin = waiting.min_by(|a, b| {
                a.grant.effective_at.cmp(&b.grant.effective_at).then_with(|| spent_before(&a.grant, &b.grant))
            });
            let begin = begin.map(|held| (held.grant.effective_at, 1, held.grant.id));
            match [end, begin].into_iter().flatten().min() {
                Some((instant, 0, id)) if instant <= now => {
                    let account = &mut self.grants.get_mut(&id).expect("a grant").account;
                    account.expired += std::mem::take(&mut account.remaining);
                    self.count_granted();
                }
                Some((instant, _, id)) if instant <= now => self.activate(id),
                _ => return,
            }
        }
    }

    fn activate(&mut self, id: u64) {
        let held = self.grants.get_mut(&id).expect("a grant");
        held.active = true;
        let paid = self.debt.min(held.account.remaining);
        held.account.remaining -= paid;
        held.account.debt_paid += paid;
        self.debt -= paid;
        self.count_granted();
    }

    fn carry_out(&mut self, command: &Command, now: u64, outcome: &mut Outcome) -> Result<(), Refusal> {
        match command {
            Command::Wait => Ok(()),
            Command::Void { grant } => {
                if let Some(held) = self.grants.get_mut(grant) {
                    let left = std::mem::take(&mut held.account.remaining);
                    held.account.voided += left;
                    if held.active && left > 0 {
                        self.count_granted();
                    }
                }
                Ok(())
            }
            Command::SetStatus(status) => self.set_status(*status),
            Command::Debit { amount, policy } => self.debit(*amount, *policy, outcome),
            _ if self.status == Status::Closed => refuse("wallet_closed"),
            Command::Grant(grant) => self.grant(grant, now),
            Command::MoveExpiry { grant, expires_at } => self.move_expiry(*grant, *expires_at, now),
            Command::SetAllowance(allowance) => {
                if *allowance < 0 {
                    return refuse("invalid_amount");
                }
                if self.eventual().max(0) + allowance > BALANCE_MAX {
                    return refuse("balance_overflow");
                }
                self.allowance = *allowance;
                Ok(())
            }
            Command::SetLevels(_) | Command::Inherit(..) | Command::ClearLevels => Ok(()),
            Command::Commit(commitments) => {
                let mut counting = commitments.clone();
                counting.retain(|(_, until)| until.is_none_or(|until| until > now));
                let sum: i128 = counting.iter().map(|(amount, _)| amount).sum();
                if commitments.iter().any(|(amount, _)| *amount <= 0) || sum > BALANCE_MAX {
                    return refuse("invalid_amount");
                }
                self.committed = counting;
                Ok(())
            }
        }
    }

    /// The balance once everything scheduled has taken effect.
    fn eventual(&self) -> i128 {
        self.grants.values().map(|held| held.account.remaining).sum::<i128>() - self.debt
    }

    fn grant(&mut self, grant: &Grant, now: u64) -> Result<(), Refusal> {
        if grant.amount <= 0 {
            return refuse("invalid_amount");
        }
        if grant.priority > 100 {
            return refuse("invalid_priority");
        }
        if grant.cost.is_some_and(|cost| cost < 0) {
            return refuse("invalid_cost");
        }
        check_period(grant.effective_at, grant.expires_at, now)?;
        if self.grants.values().filter(|held| held.account.remaining > 0).count() >= GRANTS_MAX {
            return refuse("too_many_grants");
        }
        let resulting = self.eventual() + grant.amount;
        if resulting + self.allowance > BALANCE_MAX {
            return refuse("balance_overflow");
        }
        if grant.max_balance.is_some_and(|limit| resulting > limit) {
            return refuse("max_balance_exceeded");
        }
        let account = Account { granted: grant.amount, remaining: grant.amount, ..Account::default() };
        let earlier = self.grants.insert(grant.id, Held { grant: grant.clone(), account, active: false });
        assert!(earlier.is_none(), "ids of grants are not used twice");
        if grant.effective_at <= now {
            self.activate(grant.id);
        }
        Ok(())
    }

    fn move_expiry(&mut self, id: u64, expires_at: Option<u64>, now: u64) -> Result<(), Refusal> {
        match self.grants.get_mut(&id).filter(|held| held.account.remaining > 0) {
            None => refuse("grant_ended"),
            Some(held) => {
                check_period(held.grant.effective_at, expires_at, now)?;
                held.grant.expires_at = expires_at;
                Ok(())
            }
        }
    }

    fn set_status(&mut self, status: Status) -> Result<(), Refusal> {
        if self.status == Status::Closed && status != Status::Closed {
            return refuse("wallet_closed");
        }
        self.status = status;
        if status == Status::Closed {
            for held in self.grants.values_mut() {
                let left = std::mem::take(&mut held.account.remaining);
                *(if held.active { &mut held.account.written_off } else { &mut held.account.voided }) += left;
            }
            self.debt = 0;
            self.committed.clear();
            self.granted = 0;
        }
        Ok(())
    }

    fn debit(&mut self, amount: i128, policy: Policy, outcome: &mut Outcome) -> Result<(), Refusal> {
        if amount < 0 {
            return refuse("invalid_amount");
        }
        match self.status {
            Status::Active => {}
            Status::Frozen => return refuse("wallet_frozen"),
            Status::Closed => return refuse("wallet_closed"),
        }
        let available = self.available();
        let taken = match policy {
            _ if amount <= available => amount,
            Policy::Partial if available > 0 => available,
            Policy::Reject | Policy::Partial => {
                return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
            }
            Policy::Overdraft if self.balance() - amount < -DEBT_MAX => return refuse("balance_overflow"),
            Policy::Overdraft => amount,
        };
        outcome.taken = taken;
        outcome.shortfall = amount - taken;
        outcome.overdraft = (taken - available.max(0)).max(0);
        self.spend(taken, outcome);
        Ok(())
    }

    /// Takes from the first grant in the spend order, again and again.
    fn spend(&mut self, amount: i128, outcome: &mut Outcome) {
        let mut rest = amount;
        while rest > 0 {
            let open = self.grants.values_mut().filter(|held| held.active && held.account.remaining > 0);
            let Some(first) = open.min_by(|a, b| spent_before(&a.grant, &b.grant)) else {
                self.debt += rest;
                return;
            };
            let part = rest.min(first.account.remaining);
            first.account.remaining -= part;
            first.account.spent += part;
            outcome.paid_by.push((first.grant.id, part));
            rest -= part;
        }
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
    fn judge(&mut self, before: i128, now: u64, outcome: &mut Outcome) {
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

impl Account {
    /// Credits are neither made nor lost.
    pub(crate) fn is_conserved(&self) -> bool {
        let parts = [self.remaining, self.spent, self.debt_paid, self.expired, self.voided, self.written_off];
        parts.iter().all(|part| *part >= 0) && parts.iter().sum::<i128>() == self.granted
    }
}

fn refuse<T>(reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { reason, available: None })
}

fn check_period(effective_at: u64, expires_at: Option<u64>, now: u64) -> Result<(), Refusal> {
    match expires_at {
        Some(end) if end <= now => refuse("expiry_in_past"),
        Some(end) if end <= effective_at => refuse("expiry_before_effective"),
        _ => Ok(()),
    }
}

/// Rule 2, word for word.
fn spent_before(a: &Grant, b: &Grant) -> Ordering {
    let never_last = |grant: &Grant| grant.expires_at.map_or(u128::MAX, u128::from);
    let cost = |grant: &Grant, other: &Grant| grant.cost.unwrap_or(0) * other.amount;
    a.priority
        .cmp(&b.priority)
        .then(never_last(a).cmp(&never_last(b)))
        .then(b.promotional.cmp(&a.promotional))
        .then(cost(a, b).cmp(&cost(b, a)))
        .then(a.effective_at.cmp(&b.effective_at))
        .then(a.id.cmp(&b.id))
}
