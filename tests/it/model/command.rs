//! What is asked of a wallet, and what it comes to.

use std::collections::BTreeSet;

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
