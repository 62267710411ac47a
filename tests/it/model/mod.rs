//! A ledger of one wallet, as plain as it can be made: the reading of the rules that everything faster is compared with.
//!
//! It keeps every grant it ever saw, looks at all of them for each step, counts in `i128`, and brings dated changes about one
//! by one in the order of their dates. It shares no code and no types with the crate; names of reasons are the clients'.

mod command;
mod grants;
mod holds;
mod levels;
mod reversal;
mod spending;
mod time;

use std::collections::BTreeMap;

pub(crate) use command::{
    Command, Grant, Hold, Level, OnExceed, Outcome, Payment, Policy, Refusal, Reverse, Rollover, Status, Watches,
};
use levels::{Alarm, Whose};

/// The highest balance of a wallet, scheduled grants and overdraft allowance included.
pub(crate) const BALANCE_MAX: i128 = i64::MAX as i128 - 1;

/// The deepest debt of a wallet.
pub(crate) const DEBT_MAX: i128 = i64::MAX as i128;

/// The most grants a wallet has at a time.
pub(crate) const GRANTS_MAX: usize = 1000;

/// The most open holds a wallet has at a time.
pub(crate) const HOLDS_MAX: usize = 1000;

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

    /// A grant's terms as they are now.
    pub(crate) fn terms_of(&self, grant: u64) -> &Grant {
        &self.grants[&grant].grant
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

    /// Where the credits of every grant are.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (u64, &Account)> {
        self.grants.iter().map(|(id, held)| (*id, &held.account))
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
