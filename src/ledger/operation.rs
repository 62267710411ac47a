//! What can be asked of a wallet besides a fast debit, and what comes of it.

use std::sync::Arc;

use super::amount::Amount;
use super::commitment::Commitment;
use super::debit::{Policy, Taken};
use super::grant::{Category, GrantId, Lot};
use super::hold::{HoldId, NewHold};
use super::level::Levels;
use super::rejection::Rejection;
use super::riders::{Rollover, Special};
use super::terms::{Status, Terms};
use super::time::{Expiry, Timestamp};

/// Something that ends a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds credits, now or from a date on.
    Grant(NewGrant),
    /// Takes back what is left of a grant. Success without effect if nothing is left: a void may be repeated.
    Void {
        /// The grant.
        grant: GrantId,
    },
    /// Moves the end of a grant that has not ended.
    MoveExpiry {
        /// The grant.
        grant: GrantId,
        /// Its new end; none for never.
        expires_at: Option<Timestamp>,
    },
    /// A debit that the fast path could not decide.
    Debit {
        /// How much.
        amount: Amount,
        /// What to do if there is not enough.
        policy: Policy,
    },
    /// Carries out what has fallen due, and nothing else.
    Due,
    /// Freezes, thaws or closes the wallet. Closing is final, needs that nothing is held, and writes off what is left.
    SetStatus(Status),
    /// Sets how far below zero the balance may go.
    SetAllowance(Amount),
    /// Gives the wallet alert levels of its own, be they none; or takes its own away, so that the currency's default ones apply.
    SetLevels(Option<Arc<Levels>>),
    /// Opens a new generation at the closing balance of the old one and changes nothing, not even what has fallen due: for a wallet whose
    /// last generation a crash cut short.
    Reopen,
    /// Takes the most that the wallet has, up to an amount, and no overdraft allowance: success even if that is nothing.
    Charge {
        /// How much at most; above zero.
        amount: Amount,
    },
    /// Gives back what a debit took.
    Reverse(Box<Reversal>),
    /// Sets credits aside.
    Hold(NewHold),
    /// Takes credits from an open hold. What exceeds it goes by the hold's policy; a frozen wallet is no reason to refuse.
    Capture {
        /// The hold.
        hold: HoldId,
        /// How much.
        amount: Amount,
        /// Whether what is left of the hold is released.
        is_final: bool,
    },
    /// Ends an open hold and gives back what is left of it.
    Release {
        /// The hold.
        hold: HoldId,
    },
    /// Moves the end of an open hold.
    ExtendHold {
        /// The hold.
        hold: HoldId,
        /// Its new end, in the future.
        expires_at: Timestamp,
    },
    /// A capture that came when its hold was over: a debit like any other. What the hold had left is told by whoever asks, for the wallet
    /// does not know it any more.
    LateCapture {
        /// The hold.
        hold: HoldId,
        /// How much to debit.
        amount: Amount,
        /// What to do if there is not enough.
        policy: Policy,
        /// What the hold had left when it ended, less late captures since.
        left: Amount,
    },
    /// The payment for a grant has come. Success without effect if the grant counts already: it may be said again.
    Pay {
        /// The grant.
        grant: GrantId,
    },
    /// Ends a schedule of recurring grants: those that have not taken effect are taken back, and none is made any more. Success without
    /// effect if there is no such schedule.
    EndSchedule {
        /// The schedule's number.
        schedule: u64,
    },
    /// Gives the wallet the currency's default levels, unless it has levels of its own.
    InheritLevels {
        /// Which version of them.
        version: u32,
        /// They; none if the currency has none any more.
        levels: Option<Arc<Levels>>,
    },
    /// Replaces the commitments. Those that are over by now are left out.
    SetCommitments(Box<[Commitment]>),
    /// Gives credits away to another wallet: what is there and not held, and nothing of the overdraft allowance.
    TransferOut {
        /// How much in all; above zero.
        amount: Amount,
        /// Which grants give how much, in spend order. If they would give other parts, it is refused as superseded.
        parts: Box<[(GrantId, Amount)]>,
    },
    /// Takes in what another wallet gives, wholly or not at all.
    TransferIn {
        /// What arrives, as the grants that it becomes here. They are effective.
        grants: Box<[NewGrant]>,
    },
    /// Takes back credits whose money went back: what is frozen and then what is free of their grant first; of the rest, what the wallet has,
    /// and then debt, or nothing.
    ClawBack {
        /// The grant.
        grant: GrantId,
        /// How much; above zero.
        amount: Amount,
        /// How much of the grant in all, this included. Means nothing here; it is what tells one claw-back of a grant from another.
        total: Amount,
        /// Whether what the grant does not cover is written off.
        is_written_off: bool,
    },
    /// Freezes what is free of a grant whose payment is disputed, until so much of it is: the balance goes on counting it, and nobody can
    /// use it. Success, be there anything free or not: it may be said again.
    FreezeGrant {
        /// The grant.
        grant: GrantId,
        /// How much of it is to be frozen at most; above zero.
        most: Amount,
    },
    /// Gives back what is frozen of a grant. Success without effect if nothing is: it may be said again.
    ThawGrant {
        /// The grant.
        grant: GrantId,
    },
}

/// What a debit took, or a part of it, to be given back: the debt first, which was made last, then to the grants, the last one spent first.
///
/// A grant that the wallet holds gets its part back; one that was depleted and has not reached its end is opened again; what came of one
/// that has expired, or was voided, is forfeited, and granted anew if `regrant` says so. Debt that has been paid since goes back to the
/// grants that paid it. No grant gets more than it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The debit, by the caller's number. Means nothing here; it is what tells one reversal from another.
    pub debit: u64,
    /// What the debit took in all.
    pub taken: Amount,
    /// What earlier reversals have given back of it.
    pub before: Amount,
    /// The part of the debit that no grant paid, as far as this gives it back.
    pub debt: Amount,
    /// Grants that have paid debt since, newest payment first, with what they paid at most.
    pub payers: Vec<Return>,
    /// Grants that paid the debit, in the order in which they get it back.
    pub returns: Vec<Return>,
    /// Grants anew what is forfeited. Its amount must be exactly that, or the reversal is refused as superseded.
    pub regrant: Option<NewGrant>,
}

/// A grant that gets credits back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// The grant's terms. What it has left is looked up in the wallet.
    pub lot: Lot,
    /// It has expired, was voided or written off: it takes nothing any more.
    pub ended: bool,
    /// How much.
    pub amount: Amount,
    /// How it rolls over at its end, if it does; for a grant that the wallet does not know any more.
    pub rollover: Option<Rollover>,
}

impl Reversal {
    /// What is given back in all: `None` if that is no amount.
    pub fn amount(&self) -> Option<Amount> {
        self.returns.iter().try_fold(self.debt, |sum, back| sum.checked_add(back.amount))
    }
}

/// A grant to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// Its number, unique in the wallet and higher than those before.
    pub id: GrantId,
    /// How many credits; above zero.
    pub amount: Amount,
    /// 0 is spent first, 100 last.
    pub priority: u8,
    /// Paid or promotional.
    pub category: Category,
    /// From when on; in the past or present for at once.
    pub effective_at: Timestamp,
    /// Until when; none for ever.
    pub expires_at: Option<Timestamp>,
    /// What it cost, in minor units of money.
    pub cost: Option<i64>,
    /// The highest balance that the currency allows, scheduled grants included.
    pub max_balance: Option<Amount>,
    /// What is special about it.
    pub special: Special,
}

/// What an operation did: the terms of the next generation, the answer, and everything that happened on the way.
///
/// `effects` also hold if the operation was rejected: what had fallen due took place before it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The terms of the next generation.
    pub terms: Terms,
    /// What a debit took (all zero for other operations), or why the operation was not done.
    pub result: Result<Taken, Rejection>,
    /// What happened, due changes first.
    pub effects: Effects,
}

/// What happened to a wallet between two generations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The movements, in order. Their deltas lead from the closing balance to the next opening balance.
    pub movements: Vec<Movement>,
    /// Lines that the balance was at or above before and is below now.
    pub crossed: Lines,
    /// Lines that had been crossed before and are armed again.
    pub recovered: Lines,
    /// Levels among both of which nobody is to be told, as a mask over the levels of the new terms: they were told too short a while ago.
    pub quiet: u64,
}

/// A set of lines that a balance can cross.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Alert levels, as a mask over the levels of the *new* terms.
    pub levels: u64,
    /// The line between one unit and none.
    pub depleted: bool,
    /// The line between none and debt.
    pub negative: bool,
}

impl Lines {
    /// Whether there is no line in the set.
    pub const fn is_empty(&self) -> bool {
        self.levels == 0 && !self.depleted && !self.negative
    }
}

/// One thing that happened to one grant, or to the wallet's debt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// A grant was made and is active.
    Granted {
        /// The grant.
        grant: GrantId,
        /// All of it; what paid debt follows as [`Movement::DebtPaid`].
        amount: Amount,
    },
    /// A grant was made for later.
    Scheduled {
        /// The grant.
        grant: GrantId,
        /// All of it.
        amount: Amount,
    },
    /// A scheduled grant took effect.
    Activated {
        /// The grant.
        grant: GrantId,
        /// All of it.
        amount: Amount,
    },
    /// A grant that has just become active paid debt.
    DebtPaid {
        /// The grant.
        grant: GrantId,
        /// Debt paid.
        amount: Amount,
    },
    /// A debit was paid from a grant.
    Spent {
        /// The grant.
        grant: GrantId,
        /// Its part of the debit.
        amount: Amount,
    },
    /// A debit was paid from no grant and became debt.
    Overdrawn {
        /// Its part of the debit.
        amount: Amount,
    },
    /// A grant has nothing left. Seen at the first change after the debit that did it.
    Depleted {
        /// The grant.
        grant: GrantId,
    },
    /// A grant reached its end with something left.
    Expired {
        /// The grant.
        grant: GrantId,
        /// What was left.
        amount: Amount,
    },
    /// A grant's remainder was taken back.
    Voided {
        /// The grant.
        grant: GrantId,
        /// What was left.
        amount: Amount,
    },
    /// A grant was taken back before it took effect or was paid for: by a void, with its schedule, or because the wallet closed.
    ScheduledVoided {
        /// The grant.
        grant: GrantId,
        /// All of it.
        amount: Amount,
    },
    /// A grant's end was moved.
    ExpiryMoved {
        /// The grant.
        grant: GrantId,
        /// What is left of it.
        amount: Amount,
        /// The old end.
        from: Option<Timestamp>,
        /// The new end.
        to: Option<Timestamp>,
    },
    /// The wallet was closed with this much of a grant unspent.
    WrittenOff {
        /// The grant.
        grant: GrantId,
        /// What was left.
        amount: Amount,
    },
    /// The wallet was closed with this much debt unpaid.
    DebtWrittenOff {
        /// The debt, as a positive amount.
        amount: Amount,
    },
    /// A grant that the wallet holds got back a part of what it had spent.
    GivenBack {
        /// The grant.
        grant: GrantId,
        /// What it got back.
        amount: Amount,
    },
    /// A grant that had been depleted got back a part of what it had spent, and is active again. What of it pays debt follows.
    Reopened {
        /// The grant.
        grant: GrantId,
        /// What it got back.
        amount: Amount,
    },
    /// Debt was taken back with the debit that had made it.
    DebtReturned {
        /// The debt, as a positive amount.
        amount: Amount,
    },
    /// Credits would have been given back to a grant that takes none any more.
    Forfeited {
        /// The grant; none if they had paid debt and nobody knows whose payment they were.
        grant: Option<GrantId>,
        /// What it would have got back.
        amount: Amount,
    },
    /// A hold was made. What grants back of it follows as [`Movement::Reserved`].
    Held {
        /// The hold.
        hold: HoldId,
        /// All of it.
        amount: Amount,
    },
    /// Credits of a grant were set aside under a hold.
    Reserved {
        /// The hold.
        hold: HoldId,
        /// The grant.
        grant: GrantId,
        /// How much of it.
        amount: Amount,
    },
    /// A hold was captured. Who paid follows: its parts as [`Movement::PartSpent`], then the wallet as for any debit.
    Captured {
        /// The hold.
        hold: HoldId,
        /// What was taken from it; what was taken beyond it is not counted.
        amount: Amount,
    },
    /// A capture was paid from what a hold had of a grant.
    PartSpent {
        /// The hold.
        hold: HoldId,
        /// The grant.
        grant: GrantId,
        /// How much of it.
        amount: Amount,
    },
    /// A hold ended because it was released, or with its final capture. Its parts follow as [`Movement::Returned`].
    Released {
        /// The hold.
        hold: HoldId,
        /// What it had left.
        amount: Amount,
    },
    /// A hold's time was over. Its parts follow as [`Movement::Returned`].
    HoldExpired {
        /// The hold.
        hold: HoldId,
        /// What it had left.
        amount: Amount,
    },
    /// What a hold had of a grant went back to the grant. If the grant has ended meanwhile, its end follows.
    Returned {
        /// The hold.
        hold: HoldId,
        /// The grant.
        grant: GrantId,
        /// How much of it.
        amount: Amount,
    },
    /// A hold's end was moved.
    HoldMoved {
        /// The hold.
        hold: HoldId,
        /// The old end.
        from: Timestamp,
        /// The new end.
        to: Timestamp,
    },
    /// A grant was made that counts for nothing until it is paid for.
    AwaitsPayment {
        /// The grant.
        grant: GrantId,
        /// All of it.
        amount: Amount,
    },
    /// A grant that waited was paid for. It is scheduled then; [`Movement::Activated`] follows if its date has come.
    Paid {
        /// The grant.
        grant: GrantId,
        /// All of it.
        amount: Amount,
    },
    /// A grant reached its end, and this much of its remainder goes on as a new grant. The rest follows as [`Movement::Expired`].
    RolledOver {
        /// The grant that ended.
        grant: GrantId,
        /// The new one.
        into: GrantId,
        /// What rolled over: all of the new grant.
        amount: Amount,
        /// The end, from which on the new grant is effective.
        at: Timestamp,
    },
    /// Part of a grant left for another wallet.
    TransferredOut {
        /// The grant.
        grant: GrantId,
        /// How much of it.
        amount: Amount,
    },
    /// A grant was made of what came from another wallet, and is active.
    TransferredIn {
        /// The grant.
        grant: GrantId,
        /// All of it; what paid debt follows as [`Movement::DebtPaid`].
        amount: Amount,
    },
}

impl NewGrant {
    /// The lot that it is as long as nothing of it is spent.
    pub fn lot(&self) -> Lot {
        Lot {
            id: self.id,
            remaining: self.amount,
            granted: self.amount,
            effective_at: self.effective_at,
            expires_at: Expiry::from(self.expires_at),
            cost: self.cost.unwrap_or(0),
            priority: self.priority,
            category: self.category,
        }
    }
}

impl Operation {
    /// The hold that it is about, if it is about one.
    pub const fn hold(&self) -> Option<HoldId> {
        match self {
            Operation::Hold(NewHold { id: hold, .. })
            | Operation::Capture { hold, .. }
            | Operation::Release { hold }
            | Operation::ExtendHold { hold, .. }
            | Operation::LateCapture { hold, .. } => Some(*hold),
            Operation::Grant(_)
            | Operation::Void { .. }
            | Operation::MoveExpiry { .. }
            | Operation::Debit { .. }
            | Operation::Due
            | Operation::SetStatus(_)
            | Operation::SetAllowance(_)
            | Operation::SetLevels(_)
            | Operation::Reopen
            | Operation::Pay { .. }
            | Operation::EndSchedule { .. }
            | Operation::Charge { .. }
            | Operation::Reverse(_)
            | Operation::InheritLevels { .. }
            | Operation::SetCommitments(_)
            | Operation::TransferOut { .. }
            | Operation::TransferIn { .. }
            | Operation::ClawBack { .. }
            | Operation::FreezeGrant { .. }
            | Operation::ThawGrant { .. } => None,
        }
    }
}

impl Movement {
    /// What the movement adds to the balance, in smallest units.
    pub fn delta(&self) -> i128 {
        match self {
            Movement::Granted { amount, .. }
            | Movement::Activated { amount, .. }
            | Movement::DebtWrittenOff { amount }
            | Movement::GivenBack { amount, .. }
            | Movement::Reopened { amount, .. }
            | Movement::DebtReturned { amount }
            | Movement::TransferredIn { amount, .. } => i128::from(amount.units()),
            Movement::Spent { amount, .. }
            | Movement::Overdrawn { amount }
            | Movement::PartSpent { amount, .. }
            | Movement::Expired { amount, .. }
            | Movement::Voided { amount, .. }
            | Movement::WrittenOff { amount, .. }
            | Movement::TransferredOut { amount, .. } => -i128::from(amount.units()),
            Movement::Scheduled { .. }
            | Movement::DebtPaid { .. }
            | Movement::Depleted { .. }
            | Movement::ScheduledVoided { .. }
            | Movement::ExpiryMoved { .. }
            | Movement::Forfeited { .. }
            | Movement::Held { .. }
            | Movement::Reserved { .. }
            | Movement::Captured { .. }
            | Movement::Released { .. }
            | Movement::HoldExpired { .. }
            | Movement::Returned { .. }
            | Movement::HoldMoved { .. }
            | Movement::AwaitsPayment { .. }
            | Movement::Paid { .. }
            | Movement::RolledOver { .. } => 0,
        }
    }

    /// The grant that it happened to, if it was one; of one that rolled over, the one that ended.
    pub const fn grant(&self) -> Option<GrantId> {
        match self {
            Movement::Granted { grant, .. }
            | Movement::Scheduled { grant, .. }
            | Movement::Activated { grant, .. }
            | Movement::DebtPaid { grant, .. }
            | Movement::Spent { grant, .. }
            | Movement::Depleted { grant }
            | Movement::Expired { grant, .. }
            | Movement::Voided { grant, .. }
            | Movement::ScheduledVoided { grant, .. }
            | Movement::ExpiryMoved { grant, .. }
            | Movement::WrittenOff { grant, .. }
            | Movement::GivenBack { grant, .. }
            | Movement::Reopened { grant, .. }
            | Movement::Reserved { grant, .. }
            | Movement::PartSpent { grant, .. }
            | Movement::Returned { grant, .. }
            | Movement::AwaitsPayment { grant, .. }
            | Movement::Paid { grant, .. }
            | Movement::RolledOver { grant, .. }
            | Movement::TransferredOut { grant, .. }
            | Movement::TransferredIn { grant, .. } => Some(*grant),
            Movement::Forfeited { grant, .. } => *grant,
            Movement::Overdrawn { .. }
            | Movement::DebtWrittenOff { .. }
            | Movement::DebtReturned { .. }
            | Movement::Held { .. }
            | Movement::Captured { .. }
            | Movement::Released { .. }
            | Movement::HoldExpired { .. }
            | Movement::HoldMoved { .. } => None,
        }
    }

    /// The hold that it happened to, if it was one.
    pub const fn hold(&self) -> Option<HoldId> {
        match self {
            Movement::Held { hold, .. }
            | Movement::Reserved { hold, .. }
            | Movement::Captured { hold, .. }
            | Movement::PartSpent { hold, .. }
            | Movement::Released { hold, .. }
            | Movement::HoldExpired { hold, .. }
            | Movement::Returned { hold, .. }
            | Movement::HoldMoved { hold, .. } => Some(*hold),
            Movement::Granted { .. }
            | Movement::Scheduled { .. }
            | Movement::Activated { .. }
            | Movement::DebtPaid { .. }
            | Movement::Spent { .. }
            | Movement::Overdrawn { .. }
            | Movement::Depleted { .. }
            | Movement::Expired { .. }
            | Movement::Voided { .. }
            | Movement::ScheduledVoided { .. }
            | Movement::ExpiryMoved { .. }
            | Movement::WrittenOff { .. }
            | Movement::DebtWrittenOff { .. }
            | Movement::AwaitsPayment { .. }
            | Movement::Paid { .. }
            | Movement::RolledOver { .. }
            | Movement::GivenBack { .. }
            | Movement::Reopened { .. }
            | Movement::DebtReturned { .. }
            | Movement::Forfeited { .. }
            | Movement::TransferredOut { .. }
            | Movement::TransferredIn { .. } => None,
        }
    }
}
