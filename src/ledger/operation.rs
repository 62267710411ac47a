//! What can be asked of a wallet besides a fast debit, and what comes of it.

use std::sync::Arc;

use super::amount::Amount;
use super::commitment::Commitment;
use super::debit::{Policy, Taken};
use super::grant::{Category, GrantId};
use super::level::Levels;
use super::rejection::Rejection;
use super::terms::{Status, Terms};
use super::time::Timestamp;

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
    /// Gives the wallet the currency's default levels, unless it has levels of its own.
    InheritLevels {
        /// Which version of them.
        version: u32,
        /// They; none if the currency has none any more.
        levels: Option<Arc<Levels>>,
    },
    /// Replaces the commitments. Those that are over by now are left out.
    SetCommitments(Box<[Commitment]>),
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
    /// A grant was taken back before it took effect, by a void or because the wallet closed.
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
}

impl Movement {
    /// What the movement adds to the balance, in smallest units.
    pub fn delta(&self) -> i128 {
        match self {
            Movement::Granted { amount, .. }
            | Movement::Activated { amount, .. }
            | Movement::DebtWrittenOff { amount } => i128::from(amount.units()),
            Movement::Spent { amount, .. }
            | Movement::Overdrawn { amount }
            | Movement::Expired { amount, .. }
            | Movement::Voided { amount, .. }
            | Movement::WrittenOff { amount, .. } => -i128::from(amount.units()),
            Movement::Scheduled { .. }
            | Movement::DebtPaid { .. }
            | Movement::Depleted { .. }
            | Movement::ScheduledVoided { .. }
            | Movement::ExpiryMoved { .. } => 0,
        }
    }

    /// The grant that it happened to, if it was one.
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
            | Movement::WrittenOff { grant, .. } => Some(*grant),
            Movement::Overdrawn { .. } | Movement::DebtWrittenOff { .. } => None,
        }
    }
}
