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
/// The most open holds a wallet has at a time.
pub(crate) const HOLDS_MAX: usize = 1000;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnExceed {
    Reject,
    Cap,
    Overdraw,
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
    /// Takes what there is, up to an amount, and no allowance.
    Charge {
        amount: i128,
    },
    Reverse(Reverse),
    /// Levels of the currency, by their version.
    Inherit(u32, Vec<Level>),
    /// Takes the wallet's own levels away.
    ClearLevels,
    /// Amounts, and until when each is committed.
    Commit(Vec<(i128, Option<u64>)>),
    /// Nothing but what the passing of time brings.
    Wait,
    Hold(Hold),
    /// Of a hold that has expired, too: a debit then.
    Capture {
        hold: u64,
        amount: i128,
        is_final: bool,
    },
    Release {
        hold: u64,
    },
    ExtendHold {
        hold: u64,
        expires_at: u64,
    },
    /// The payment for a grant has come.
    Pay {
        grant: u64,
    },
    /// Gives credits to another wallet.
    TransferOut {
        amount: i128,
    },
    /// Takes in what another wallet gives, wholly or not at all.
    TransferIn(Vec<Grant>),
}

#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) id: u64,
    pub(crate) amount: i128,
    pub(crate) expires_at: u64,
    pub(crate) on_exceed: OnExceed,
}

/// A debit to be taken back.
#[derive(Clone, Debug)]
pub(crate) struct Reverse {
    /// Who paid it, in the order of spending.
    pub(crate) paid_by: Vec<(u64, i128)>,
    /// What of it became debt.
    pub(crate) debt: i128,
    /// What has been taken back of it already.
    pub(crate) before: i128,
    pub(crate) amount: i128,
    /// The number of the grant that gets what nobody takes.
    pub(crate) regrant: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) amount: i128,
    pub(crate) priority: u8,
    pub(crate) promotional: bool,
    pub(crate) effective_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) cost: Option<i128>,
    pub(crate) max_balance: Option<i128>,
    pub(crate) rollover: Option<Rollover>,
    pub(crate) payment: Option<Payment>,
}

/// What becomes of a remainder: so many of `whole` parts of it, `max` at most, for so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollover {
    pub(crate) parts: i128,
    pub(crate) whole: i128,
    pub(crate) max: Option<i128>,
    pub(crate) lasts: Option<u64>,
    pub(crate) priority: u8,
}

/// When a grant begins and ends that waits to be paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) begins_then: bool,
    pub(crate) lasts: Option<u64>,
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
    /// Which grants got back how much of a debit, in the order in which they did.
    pub(crate) returned: Vec<(u64, i128)>,
    /// Debt that was taken back with its debit.
    pub(crate) debt_returned: i128,
    /// What nobody got back.
    pub(crate) forfeited: i128,
    /// What left for another wallet: of which grant, how much, and what of the cost.
    pub(crate) moved: Vec<(u64, i128, i128)>,
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
    /// Left, and not held.
    pub(crate) remaining: i128,
    /// Left, and in open holds.
    pub(crate) held: i128,
    pub(crate) spent: i128,
    pub(crate) debt_paid: i128,
    pub(crate) expired: i128,
    pub(crate) voided: i128,
    pub(crate) written_off: i128,
    pub(crate) rolled_over: i128,
    /// What came back of what was spent, or went into debt.
    pub(crate) returned: i128,
    /// Gone to another wallet.
    pub(crate) transferred: i128,
}

#[expect(clippy::struct_excessive_bools, reason = "all of them are independent, and a model is plain")]
#[derive(Clone, Debug)]
struct Held {
    grant: Grant,
    account: Account,
    /// Whether its date has come. What it has left counts from then on.
    active: bool,
    /// Whether it was voided while something of it was held.
    voided: bool,
    /// Whether a hold's last credits were the last of it.
    captured_out: bool,
    /// Whether it has still to be paid for.
    waits: bool,
}

/// What can happen to credits of a grant beside being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Activated,
    Expired,
    Voided,
    WrittenOff,
    RolledOver,
}

/// What happened to so many credits of a grant, and at which instant, however much later somebody looked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened {
    pub(crate) turn: Turn,
    pub(crate) grant: u64,
    pub(crate) amount: i128,
    pub(crate) at: u64,
}

/// What became of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Captured,
    Released,
    Expired,
}

/// A hold, from its making on.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) hold: Hold,
    pub(crate) fate: Fate,
    /// Not captured, whether or not it is held still.
    pub(crate) left: i128,
    /// Captured in all.
    pub(crate) captured: i128,
    /// Grants and what the hold has of them.
    pub(crate) parts: Vec<(u64, i128)>,
    /// What it gave back when it ended.
    pub(crate) returned: Vec<(u64, i128)>,
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
    holds: BTreeMap<u64, Kept>,
    /// Each with its state and when it was told last.
    levels: Vec<(Level, Alarm, Option<u64>)>,
    whose: Whose,
    /// What percentages are of: what was granted in the grants that had something left when credits last came, or went unspent.
    granted: i128,
    /// Whether that was counted in this command.
    counted: bool,
    committed: Vec<(i128, Option<u64>)>,
    /// Which grants paid debt, in order.
    payments: Vec<(u64, i128)>,
    /// Which grants paid debt in the last command, one payment after the other.
    repayments: Vec<(u64, i128)>,
    happened: Vec<Happened>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            status: Status::Active,
            allowance: 0,
            debt: 0,
            grants: BTreeMap::new(),
            holds: BTreeMap::new(),
            levels: Vec::new(),
            whose: Whose::Nobodys,
            granted: 0,
            counted: false,
            committed: Vec::new(),
            payments: Vec::new(),
            repayments: Vec::new(),
            happened: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, command: &Command, now: u64) -> Outcome {
        let before = self.balance();
        self.repayments.clear();
        self.pass_time(now);
        let mut outcome = Outcome::default();
        if self.status != Status::Closed {
            self.choose_levels(command, before);
        }
        self.counted = false;
        let refused = self.carry_out(command, now, &mut outcome).err();
        // What the command did counts as a whole.
        if refused.is_none() && self.counted {
            self.count_granted();
        }
        outcome.refused = refused;
        self.judge(before, now, &mut outcome);
        outcome
    }

    /// The wallet once everything is carried out that is due.
    pub(crate) fn at(&self, now: u64) -> Model {
        let mut model = self.clone();
        model.apply(&Command::Wait, now);
        model
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

    /// A grant's terms as they are now.
    pub(crate) fn terms_of(&self, grant: u64) -> &Grant {
        &self.grants[&grant].grant
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
        self.grants.values().filter(|held| held.active).map(|held| held.account.left()).sum::<i128>() - self.debt
    }

    /// What could be spent now.
    pub(crate) fn available(&self) -> i128 {
        self.balance() - self.held() + self.allowance
    }

    /// What open holds set aside.
    pub(crate) fn held(&self) -> i128 {
        self.open().map(|kept| kept.left).sum()
    }

    /// Open holds.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Kept> {
        self.holds.values().filter(|kept| kept.fate == Fate::Open)
    }

    /// A hold that was made.
    pub(crate) fn hold(&self, id: u64) -> Option<&Kept> {
        self.holds.get(&id)
    }

    /// Every hold that was made.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Kept> {
        self.holds.values()
    }

    pub(crate) fn debt(&self) -> i128 {
        self.debt
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// What is left of a grant, whether or not it has taken effect.
    pub(crate) fn remaining(&self, grant: u64) -> i128 {
        self.grants.get(&grant).map_or(0, |held| held.account.left())
    }

    /// Whether a grant has taken effect.
    pub(crate) fn is_active(&self, grant: u64) -> bool {
        self.grants.get(&grant).is_some_and(|held| held.active)
    }

    /// Which grants paid debt in the last command.
    pub(crate) fn repayments(&self) -> &[(u64, i128)] {
        &self.repayments
    }

    /// Whether the last of a grant was captured.
    pub(crate) fn is_captured_out(&self, grant: u64) -> bool {
        self.grants.get(&grant).is_some_and(|held| held.captured_out)
    }

    /// Whether a grant has ended, though holds may have something of it still: voided or expired.
    pub(crate) fn is_over(&self, grant: u64, now: u64) -> Option<&'static str> {
        let held = self.grants.get(&grant)?;
        let is_past = held.grant.expires_at.is_some_and(|end| end <= now);
        if held.voided { Some("voided") } else { is_past.then_some("expired") }
    }

    /// Whether a grant has still to be paid for.
    pub(crate) fn waits(&self, grant: u64) -> bool {
        self.grants.get(&grant).is_some_and(|held| held.waits)
    }

    /// The grant that is what is left of this one, if there is.
    pub(crate) fn child(&self, grant: u64) -> Option<u64> {
        self.grants.get(&grant).filter(|held| held.account.rolled_over > 0).map(|_| grant + 1)
    }

    /// From when on a grant that there is counts.
    pub(crate) fn begins_at(&self, grant: u64) -> Option<u64> {
        self.grants.get(&grant).map(|held| held.grant.effective_at)
    }

    /// When a grant that there is ends.
    pub(crate) fn expires_at(&self, grant: u64) -> Option<u64> {
        self.grants.get(&grant).and_then(|held| held.grant.expires_at)
    }

    /// The instants at which something of a grant's that is left begins or ends, and those at which holds end.
    pub(crate) fn dates(&self) -> impl Iterator<Item = u64> {
        let left = self.grants.values().filter(|held| held.account.left() > 0 && !held.waits);
        let of_grants = left.flat_map(|held| [Some(held.grant.effective_at), held.grant.expires_at]).flatten();
        let silent = self.levels.iter().filter(|(_, alarm, _)| *alarm == Alarm::FiredSilently);
        let told = silent.filter_map(|(level, _, told)| Some((*told)? + level.interval));
        let ends = self.open().map(|kept| kept.hold.expires_at);
        of_grants.chain(ends).chain(told).chain(self.committed.iter().filter_map(|(_, until)| *until))
    }

    /// What happened to grants so far.
    pub(crate) fn happened(&self) -> &[Happened] {
        &self.happened
    }

    fn note(&mut self, turn: Turn, grant: u64, amount: i128, at: u64) {
        if amount > 0 {
            self.happened.push(Happened { turn, grant, amount, at });
        }
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
            Watches::Available => balance - self.held() + self.allowance,
            Watches::Projected => balance - self.held() + self.allowance - self.committed(),
        };
        let amount = self.amount_of(level);
        if level.at_or_below { watched <= amount } else { watched < amount }
    }

    /// Credits have come, or gone unspent.
    fn count_granted(&mut self) {
        self.counted = true;
        let is_held = |held: &Held| held.account.held > 0 && !held.voided;
        let is_there = |held: &&Held| held.active && (held.account.remaining > 0 || is_held(held));
        let counted = self.grants.values().filter(is_there);
        self.granted = counted.map(|held| held.account.granted).sum::<i128>().min(i128::from(i64::MAX));
    }

    /// Lets dated changes happen, one at a time, the earliest first; at the same instant ends come before beginnings, and both before the ends
    /// of holds.
    fn pass_time(&mut self, now: u64) {
        self.committed.retain(|(_, until)| until.is_none_or(|until| until > now));
        loop {
            let ends = self.grants.values().filter(|held| held.active && held.account.remaining > 0);
            let end = ends.filter_map(|held| Some((held.grant.expires_at?, 0, held.grant.id))).min();
            let waiting = self.grants.values().filter(|held| !held.active && !held.waits && held.account.remaining > 0);
            let begin = waiting.min_by(|a, b| {
                a.grant.effective_at.cmp(&b.grant.effective_at).then_with(|| spent_before(&a.grant, &b.grant))
            });
            let begin = begin.map(|held| (held.grant.effective_at, 1, held.grant.id));
            let hold = self.open().map(|kept| (kept.hold.expires_at, 2, kept.hold.id)).min();
            match [end, begin, hold].into_iter().flatten().min() {
                Some((instant, 0, id)) if instant <= now => {
                    self.end(id, instant);
                    self.count_granted();
                }
                Some((instant, 1, id)) if instant <= now => self.activate(id, instant),
                Some((instant, _, id)) if instant <= now => self.end_hold(id, Fate::Expired, instant),
                _ => return,
            }
        }
    }

    /// A grant ends: part of what is free of it goes on as another one, the rest expires. What holds have of it stays with them, and goes
    /// when they end.
    fn end(&mut self, id: u64, instant: u64) {
        let held = self.grants.get_mut(&id).expect("a grant");
        let left = std::mem::take(&mut held.account.remaining);
        let rollover = held.grant.rollover.clone();
        let part =
            rollover.as_ref().map_or(0, |terms| (left * terms.parts / terms.whole).min(terms.max.unwrap_or(left)));
        held.account.rolled_over += part;
        held.account.expired += left - part;
        self.note(Turn::RolledOver, id, part, instant);
        self.note(Turn::Expired, id, left - part, instant);
        let held = &self.grants[&id];
        let Some(terms) = rollover.filter(|_| part > 0) else { return };
        let grant = Grant {
            id: id + 1,
            amount: part,
            priority: terms.priority,
            effective_at: instant,
            expires_at: terms.lasts.map(|lasts| instant + lasts),
            cost: held.grant.cost.map(|cost| cost * part / held.grant.amount),
            max_balance: None,
            rollover: None,
            payment: None,
            ..held.grant.clone()
        };
        let account = Account { granted: part, remaining: part, ..Account::default() };
        let earlier = self
            .grants
            .insert(id + 1, Held { grant, account, active: true, voided: false, captured_out: false, waits: false });
        assert!(earlier.is_none(), "a grant rolls over once");
    }

    fn activate(&mut self, id: u64, instant: u64) {
        let held = self.grants.get_mut(&id).expect("a grant");
        held.active = true;
        let all = std::mem::take(&mut held.account.remaining);
        self.note(Turn::Activated, id, all, instant);
        self.enter(id, all);
    }

    /// Grants that a reversal could give something back to.
    pub(crate) fn payers(&self) -> impl Iterator<Item = u64> {
        self.payments.iter().map(|(id, _)| *id)
    }

    /// Gives back from the end: debt, then the grant spent last, and so on. Debt that has been paid goes back to who paid it last.
    fn reverse(&mut self, reverse: &Reverse, now: u64, outcome: &mut Outcome) -> Result<(), Refusal> {
        if self.eventual() + reverse.amount + self.allowance > BALANCE_MAX {
            return refuse("balance_overflow");
        }
        let (mut skip, mut rest) = (reverse.before, reverse.amount);
        let mut slice = |part: i128| {
            let skipped = skip.min(part);
            skip -= skipped;
            let taken = rest.min(part - skipped);
            rest -= taken;
            taken
        };
        let debt = slice(reverse.debt);
        let parts: Vec<_> = reverse.paid_by.iter().rev().map(|(id, part)| (*id, slice(*part))).collect();
        outcome.debt_returned = debt.min(self.debt);
        self.debt -= outcome.debt_returned;
        let mut paid = debt - outcome.debt_returned;
        let mut wanted = paid;
        for (id, payment) in self.payments.clone().into_iter().rev() {
            if wanted <= 0 {
                break;
            }
            wanted -= payment;
            paid -= self.give_back(id, payment.min(paid), now, outcome)?;
        }
        outcome.forfeited = paid;
        for (id, part) in parts {
            outcome.forfeited += part - self.give_back(id, part, now, outcome)?;
        }
        match reverse.regrant {
            Some(id) if outcome.forfeited > 0 => self.grant(
                &Grant {
                    id,
                    amount: outcome.forfeited,
                    priority: 50,
                    promotional: true,
                    effective_at: now,
                    expires_at: None,
                    cost: None,
                    max_balance: None,
                    rollover: None,
                    payment: None,
                },
                now,
            ),
            _ => Ok(()),
        }
    }

    /// Gives a grant back what it can take of an amount.
    fn give_back(&mut self, id: u64, amount: i128, now: u64, outcome: &mut Outcome) -> Result<i128, Refusal> {
        let full = self.grants.values().filter(|held| held.account.left() > 0).count() >= GRANTS_MAX;
        let held = self.grants.get_mut(&id).expect("a grant");
        let account = &mut held.account;
        let given = amount.min(account.granted - account.left());
        let is_past = held.grant.expires_at.is_some_and(|end| end <= now);
        let has_ended = match (account.remaining, account.held) {
            (1.., _) => false,
            (_, 1..) => held.voided || is_past,
            _ => {
                let gone = account.expired + account.voided + account.written_off + account.rolled_over;
                held.voided || is_past || gone > 0
            }
        };
        if given == 0 || has_ended {
            return Ok(0);
        }
        if account.left() == 0 && full {
            return refuse("too_many_grants");
        }
        account.returned += given;
        // What was captured out is not any more.
        held.captured_out = false;
        outcome.returned.push((id, given));
        self.enter(id, given);
        Ok(given)
    }

    /// Credits of a grant become free: they pay debt first.
    fn enter(&mut self, id: u64, amount: i128) {
        let account = &mut self.grants.get_mut(&id).expect("a grant").account;
        let paid = self.debt.min(amount);
        account.remaining += amount - paid;
        account.debt_paid += paid;
        self.debt -= paid;
        self.repayments.extend((paid > 0).then_some((id, paid)));
        self.payments.extend((paid > 0).then_some((id, paid)));
        self.count_granted();
    }

    /// Ends a hold; its credits go back to grants that have not ended by `instant`.
    fn end_hold(&mut self, id: u64, fate: Fate, instant: u64) {
        let kept = self.holds.get_mut(&id).expect("a hold");
        let gives_back = kept.left > 0;
        kept.fate = fate;
        // Back in the order in which they would be spent.
        let mut parts = std::mem::take(&mut kept.parts);
        parts.sort_by(|(a, _), (b, _)| spent_before(&self.grants[a].grant, &self.grants[b].grant));
        self.holds.get_mut(&id).expect("a hold").returned.clone_from(&parts);
        for (grant, amount) in parts {
            let held = self.grants.get_mut(&grant).expect("a grant");
            held.account.held -= amount;
            if held.voided {
                held.account.voided += amount;
                self.note(Turn::Voided, grant, amount, instant);
            } else if held.grant.expires_at.is_some_and(|end| end <= instant) {
                held.account.expired += amount;
                self.note(Turn::Expired, grant, amount, instant);
            } else {
                self.enter(grant, amount);
            }
        }
        if gives_back {
            self.count_granted();
        }
    }

    fn carry_out(&mut self, command: &Command, now: u64, outcome: &mut Outcome) -> Result<(), Refusal> {
        match command {
            Command::Wait => Ok(()),
            Command::Void { grant } => {
                if let Some(held) = self.grants.get_mut(grant) {
                    let left = std::mem::take(&mut held.account.remaining);
                    held.account.voided += left;
                    let held_part = held.account.held > 0 && held.grant.expires_at.is_none_or(|end| end > now);
                    let counts = held.active && (left > 0 || held_part && !held.voided);
                    held.voided |= held_part;
                    if held.active {
                        self.note(Turn::Voided, *grant, left, now);
                    }
                    if counts {
                        self.count_granted();
                    }
                }
                Ok(())
            }
            Command::SetStatus(status) => self.set_status(*status, now),
            Command::Debit { amount, policy } => self.debit(*amount, *policy, outcome),
            Command::Charge { amount } => self.charge(*amount, outcome),
            Command::Hold(hold) => self.make_hold(hold, now),
            Command::Capture { hold, amount, is_final } => self.capture(*hold, *amount, *is_final, now, outcome),
            Command::Release { hold } => {
                self.find_open(*hold)?;
                self.end_hold(*hold, Fate::Released, now);
                Ok(())
            }
            Command::ExtendHold { hold, expires_at } => {
                let kept = self.find_open(*hold)?;
                if *expires_at <= now {
                    return refuse("expiry_in_past");
                }
                kept.hold.expires_at = *expires_at;
                Ok(())
            }
            Command::TransferOut { amount } => self.transfer_out(*amount, outcome),
            _ if self.status == Status::Closed => refuse("wallet_closed"),
            Command::TransferIn(grants) => {
                let mut trial = self.clone();
                grants.iter().try_for_each(|grant| trial.grant(grant, now))?;
                *self = trial;
                Ok(())
            }
            Command::Grant(grant) => self.grant(grant, now),
            Command::Pay { grant } => self.pay(*grant, now),
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
            Command::Reverse(reverse) => {
                let (mut trial, mut given) = (self.clone(), Outcome::default());
                trial.reverse(reverse, now, &mut given)?;
                (*self, *outcome) = (trial, given);
                Ok(())
            }
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
        self.grants.values().map(|held| held.account.left()).sum::<i128>() - self.debt
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
        if self.grants.values().filter(|held| held.account.left() > 0).count() >= GRANTS_MAX {
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
        let waits = grant.payment.is_some();
        let held = Held { grant: grant.clone(), account, active: false, voided: false, captured_out: false, waits };
        let earlier = self.grants.insert(grant.id, held);
        assert!(earlier.is_none(), "ids of grants are not used twice");
        if grant.effective_at <= now && !waits {
            self.activate(grant.id, now);
        }
        Ok(())
    }

    fn pay(&mut self, id: u64, now: u64) -> Result<(), Refusal> {
        let Some(held) = self.grants.get_mut(&id).filter(|held| held.is_alive(now)) else {
            return refuse("grant_ended");
        };
        let Some(terms) = held.grant.payment.clone().filter(|_| held.waits) else { return Ok(()) };
        let begins = if terms.begins_then { now } else { held.grant.effective_at };
        let ends = match terms.lasts {
            Some(lasts) => Some(begins.max(now) + lasts),
            None => held.grant.expires_at,
        };
        check_period(begins, ends, now)?;
        (held.grant.effective_at, held.grant.expires_at) = (begins, ends);
        held.waits = false;
        if begins <= now {
            self.activate(id, now);
        }
        Ok(())
    }

    fn move_expiry(&mut self, id: u64, expires_at: Option<u64>, now: u64) -> Result<(), Refusal> {
        match self.grants.get_mut(&id).filter(|held| held.is_alive(now)) {
            None => refuse("grant_ended"),
            Some(held) => {
                check_period(held.grant.effective_at, expires_at, now)?;
                if expires_at != held.grant.expires_at
                    && let Some(payment) = &mut held.grant.payment
                {
                    payment.lasts = None;
                }
                held.grant.expires_at = expires_at;
                Ok(())
            }
        }
    }

    fn set_status(&mut self, status: Status, now: u64) -> Result<(), Refusal> {
        if self.status == Status::Closed && status != Status::Closed {
            return refuse("wallet_closed");
        }
        if status == Status::Closed && self.held() > 0 {
            return refuse("wallet_held");
        }
        self.status = status;
        if status == Status::Closed {
            let mut written_off = Vec::new();
            for (id, held) in &mut self.grants {
                let left = std::mem::take(&mut held.account.remaining);
                *(if held.active { &mut held.account.written_off } else { &mut held.account.voided }) += left;
                written_off.extend(held.active.then_some((*id, left)));
            }
            for (id, left) in written_off {
                self.note(Turn::WrittenOff, id, left, now);
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
        self.check_active()?;
        self.take(amount, policy, outcome)
    }

    fn check_active(&self) -> Result<(), Refusal> {
        match self.status {
            Status::Active => Ok(()),
            Status::Frozen => refuse("wallet_frozen"),
            Status::Closed => refuse("wallet_closed"),
        }
    }

    /// Debits by policy, whatever the status.
    fn take(&mut self, amount: i128, policy: Policy, outcome: &mut Outcome) -> Result<(), Refusal> {
        let available = self.available();
        let taken = match policy {
            _ if amount <= available => amount,
            Policy::Partial if available > 0 => available,
            Policy::Reject | Policy::Partial => {
                return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
            }
            Policy::Overdraft if self.balance() - self.held() - amount < -DEBT_MAX => {
                return refuse("balance_overflow");
            }
            Policy::Overdraft => amount,
        };
        outcome.taken += taken;
        outcome.shortfall += amount - taken;
        outcome.overdraft = (taken - available.max(0)).max(0);
        self.spend(taken, outcome);
        Ok(())
    }

    fn charge(&mut self, amount: i128, outcome: &mut Outcome) -> Result<(), Refusal> {
        self.check_active()?;
        outcome.taken = amount.min((self.balance() - self.held()).max(0));
        outcome.shortfall = amount - outcome.taken;
        self.spend(outcome.taken, outcome);
        Ok(())
    }

    fn make_hold(&mut self, hold: &Hold, now: u64) -> Result<(), Refusal> {
        if hold.amount <= 0 {
            return refuse("invalid_amount");
        }
        if hold.expires_at <= now {
            return refuse("expiry_in_past");
        }
        self.check_active()?;
        if self.open().count() >= HOLDS_MAX {
            return refuse("too_many_holds");
        }
        let available = self.available();
        if hold.amount > available {
            return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
        }
        let (mut parts, mut rest) = (Vec::new(), hold.amount);
        while rest > 0 {
            let Some(first) = self.first_free() else { break };
            let part = rest.min(first.account.remaining);
            first.account.remaining -= part;
            first.account.held += part;
            parts.push((first.grant.id, part));
            rest -= part;
        }
        let kept =
            Kept { hold: hold.clone(), fate: Fate::Open, left: hold.amount, captured: 0, parts, returned: Vec::new() };
        assert!(self.holds.insert(hold.id, kept).is_none(), "ids of holds are not used twice");
        Ok(())
    }

    /// Takes from the first grant in the spend order, again and again, and notes what goes with it.
    fn transfer_out(&mut self, amount: i128, outcome: &mut Outcome) -> Result<(), Refusal> {
        if amount <= 0 {
            return refuse("invalid_amount");
        }
        self.check_active()?;
        let available = (self.balance() - self.held()).max(0);
        if amount > available {
            return Err(Refusal { reason: "insufficient_credit", available: Some(available) });
        }
        let mut rest = amount;
        while rest > 0 {
            let first = self.first_free().expect("what is there is of some grant");
            let part = rest.min(first.account.remaining);
            // What all before it cost, and all up to its end, rounded down; it costs the difference.
            let gone = first.account.granted - first.account.left();
            let cost_until = |gone: i128| first.grant.cost.unwrap_or(0) * gone / first.account.granted;
            let cost = cost_until(gone + part) - cost_until(gone);
            first.account.remaining -= part;
            first.account.transferred += part;
            outcome.moved.push((first.grant.id, part, cost));
            rest -= part;
        }
        self.count_granted();
        Ok(())
    }

    fn find_open(&mut self, hold: u64) -> Result<&mut Kept, Refusal> {
        match self.holds.get_mut(&hold).filter(|kept| kept.fate == Fate::Open) {
            Some(kept) => Ok(kept),
            None => refuse("hold_ended"),
        }
    }

    fn capture(
        &mut self,
        id: u64,
        amount: i128,
        is_final: bool,
        now: u64,
        outcome: &mut Outcome,
    ) -> Result<(), Refusal> {
        let Some(kept) = self.holds.get(&id) else { return refuse("hold_ended") };
        let is_late = match kept.fate {
            Fate::Open => false,
            Fate::Expired => true,
            Fate::Captured | Fate::Released => return refuse("hold_ended"),
        };
        if amount < 0 || amount == 0 && !is_final {
            return refuse("invalid_amount");
        }
        if amount == 0 && is_late {
            return refuse("hold_ended");
        }
        let (left, on_exceed) = (kept.left, kept.hold.on_exceed);
        let within = amount.min(left);
        let beyond = match on_exceed {
            OnExceed::Overdraw => amount - within,
            OnExceed::Reject if amount > left => return refuse("capture_exceeds_hold"),
            OnExceed::Reject | OnExceed::Cap => 0,
        };
        let policy = match on_exceed {
            OnExceed::Reject => Policy::Reject,
            OnExceed::Cap => Policy::Partial,
            OnExceed::Overdraw => Policy::Overdraft,
        };
        if is_late {
            if within + beyond == 0 {
                return refuse("capture_exceeds_hold");
            }
            if kept.captured + within + beyond > i128::from(i64::MAX) {
                return refuse("balance_overflow");
            }
            self.check_active()?;
            self.take(within + beyond, policy, outcome)?;
            outcome.shortfall += amount - within - beyond;
            let kept = self.holds.get_mut(&id).expect("a hold");
            kept.left = (kept.left - outcome.taken).max(0);
            kept.captured += outcome.taken;
            return Ok(());
        }
        if kept.hold.amount + beyond > i128::from(i64::MAX) {
            return refuse("balance_overflow");
        }
        if beyond > self.available().max(0) && self.balance() - self.held() - beyond < -DEBT_MAX {
            return refuse("balance_overflow");
        }
        outcome.shortfall = amount - within - beyond;
        outcome.taken = within;
        let unbacked = self.take_parts(id, within, outcome);
        let kept = self.holds.get_mut(&id).expect("a hold");
        kept.left -= within;
        kept.captured += within + beyond;
        let is_over = kept.left == 0 || is_final;
        if beyond > 0 {
            // Nothing of it is left to be held.
            self.end_hold(id, Fate::Captured, now);
        }
        let paid_late = outcome.paid_by.len();
        self.spend(unbacked, outcome);
        if beyond > 0 {
            self.take(beyond, Policy::Overdraft, outcome)?;
        } else if is_over {
            self.end_hold(id, if amount == 0 { Fate::Released } else { Fate::Captured }, now);
        }
        // What the wallet paid beside the hold, it paid at once.
        let (_, beside) = outcome.paid_by.split_at(paid_late);
        let mut merged: Vec<(u64, i128)> = Vec::new();
        for (grant, part) in beside {
            match merged.last_mut() {
                Some((last, sum)) if last == grant => *sum += part,
                _ => merged.push((*grant, *part)),
            }
        }
        outcome.paid_by.truncate(paid_late);
        outcome.paid_by.extend(merged);
        Ok(())
    }

    /// Takes from a hold's own credits, in spend order; answers what they do not have.
    fn take_parts(&mut self, id: u64, amount: i128, outcome: &mut Outcome) -> i128 {
        let mut rest = amount;
        while rest > 0 {
            let parts = &mut self.holds.get_mut(&id).expect("a hold").parts;
            let first = (0..parts.len())
                .min_by(|a, b| spent_before(&self.grants[&parts[*a].0].grant, &self.grants[&parts[*b].0].grant));
            let Some(first) = first else { return rest };
            let (grant, has) = parts[first];
            let part = rest.min(has);
            if part == has {
                parts.remove(first);
            } else {
                parts[first].1 -= part;
            }
            let account = &mut self.grants.get_mut(&grant).expect("a grant").account;
            account.held -= part;
            account.spent += part;
            let is_out = account.left() == 0;
            self.grants.get_mut(&grant).expect("a grant").captured_out |= is_out;
            outcome.paid_by.push((grant, part));
            rest -= part;
        }
        0
    }

    /// The grant that is spent first, of those that have something free.
    fn first_free(&mut self) -> Option<&mut Held> {
        let open = self.grants.values_mut().filter(|held| held.active && held.account.remaining > 0);
        open.min_by(|a, b| spent_before(&a.grant, &b.grant))
    }

    /// Takes from the first grant in the spend order, again and again.
    fn spend(&mut self, amount: i128, outcome: &mut Outcome) {
        let mut rest = amount;
        while rest > 0 {
            let Some(first) = self.first_free() else {
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

impl Held {
    /// Whether something is left of it that has not ended, though it be held.
    fn is_alive(&self, now: u64) -> bool {
        let only_held = self.account.held > 0 && !self.voided && self.grant.expires_at.is_none_or(|end| end > now);
        self.account.remaining > 0 || only_held
    }
}

impl Account {
    /// What is left of the grant.
    pub(crate) fn left(&self) -> i128 {
        self.remaining + self.held
    }

    /// Credits are neither made nor lost.
    pub(crate) fn is_conserved(&self) -> bool {
        let Account { remaining, held, spent, debt_paid, expired, voided, written_off, granted, returned, .. } = *self;
        let moved = [self.rolled_over, self.transferred];
        let parts = [remaining, held, spent, debt_paid, expired, voided, written_off, moved[0], moved[1]];
        parts.iter().all(|part| *part >= 0) && parts.iter().sum::<i128>() == granted + returned
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
