//! A purchase as a list of facts.

use std::collections::BTreeMap;

use drawdown::billing::top_up::RefundReport;

use super::{EUROS, PATIENCE, UNITS_PER_CENT};

/// How a purchase is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::money) enum How {
    Card,
    Page,
    Invoice,
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Created,
    Action,
    Processing,
    Failed,
    Expired,
    Canceled,
}

/// What the payer's bank says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::money) enum Quarrel {
    None,
    Open,
    Won,
    Lost,
}

/// A purchase.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two make a state")]
pub(in crate::money) struct Buy {
    /// The engine's id; empty as long as it is not known.
    pub(in crate::money) id: String,
    pub(in crate::money) wallet: usize,
    pub(in crate::money) auto: bool,
    pub(in crate::money) how: How,
    /// Its price; zero where the payer decides.
    pub(in crate::money) cents: i64,
    /// How long its credits last.
    pub(in crate::money) valid_for: Option<u64>,
    /// What the price buys.
    pub(in crate::money) credits: i64,
    pub(in crate::money) card: Option<String>,
    pub(in crate::money) at_once: bool,
    pub(super) at: u64,
    pub(super) expires_at: Option<u64>,
    pub(super) stage: Stage,
    pub(super) in_doubt: bool,
    /// The last decline said that trying again is no use.
    pub(super) was_hard: bool,
    /// What came, by what it was told under.
    pub(in crate::money) payments: BTreeMap<String, i64>,
    pub(in crate::money) is_paid: bool,
    /// What had come when it was paid, and what was credited.
    pub(in crate::money) captured: i64,
    pub(super) credited: i64,
    pub(in crate::money) is_credited: bool,
    pub(in crate::money) quarrel: Quarrel,
    pub(super) refunds: BTreeMap<String, (i64, RefundReport)>,
    pub(super) clawed: i64,
}

impl Buy {
    /// One that is made now.
    pub(in crate::money) fn new(wallet: usize, auto: bool, how: How, (cents, credits): (i64, i64), now: u64) -> Buy {
        Buy {
            id: String::new(),
            wallet,
            auto,
            how,
            cents,
            valid_for: None,
            credits,
            card: None,
            at_once: false,
            at: now,
            expires_at: (how != How::Invoice).then_some(now + PATIENCE),
            stage: Stage::Created,
            in_doubt: false,
            was_hard: false,
            payments: BTreeMap::new(),
            is_paid: false,
            captured: 0,
            credited: 0,
            is_credited: false,
            quarrel: Quarrel::None,
            refunds: BTreeMap::new(),
            clawed: 0,
        }
    }

    pub(in crate::money) fn is_open(&self) -> bool {
        !self.is_paid && matches!(self.stage, Stage::Created | Stage::Action | Stage::Processing)
    }

    pub(super) fn is_of_provider(&self) -> bool {
        matches!(self.how, How::Card | How::Page)
    }

    /// Money may have been taken without our knowing.
    pub(super) fn may_be_charged(&self) -> bool {
        self.in_doubt || self.how == How::Card && self.stage == Stage::Created
    }

    pub(in crate::money) fn refunded(&self) -> i64 {
        let went = self.refunds.values().filter(|(_, report)| *report == RefundReport::Succeeded);
        if self.is_paid { went.map(|(cents, _)| cents).sum::<i64>().min(self.captured) } else { 0 }
    }

    /// What so much money buys of it.
    pub(in crate::money) fn worth(&self, cents: i64) -> i64 {
        if self.wallet == EUROS {
            cents * UNITS_PER_CENT
        } else if cents < self.cents {
            i64::try_from(i128::from(self.credits) * i128::from(cents) / i128::from(self.cents)).expect("a part")
        } else {
            self.credits
        }
    }

    /// Whether less came than was asked for, and was taken for the whole.
    pub(in crate::money) fn came_short(&self) -> bool {
        self.is_paid && self.captured < self.cents
    }

    /// What its invoice comes to.
    pub(super) fn invoiced(&self) -> i64 {
        let stands = self.how == How::Invoice && self.stage != Stage::Canceled && self.captured >= self.cents;
        if stands { self.cents } else { self.captured }
    }

    pub(in crate::money) fn status(&self) -> &'static str {
        match (self.is_paid, self.stage) {
            (true, _) if self.refunded() == self.captured => "refunded",
            (true, _) if self.quarrel == Quarrel::Lost => "dispute_lost",
            (true, _) if self.quarrel == Quarrel::Open => "disputed",
            (true, _) if self.refunded() > 0 => "partially_refunded",
            (true, _) if self.quarrel == Quarrel::Won => "dispute_won",
            (true, _) => "completed",
            (_, Stage::Created) => "created",
            (_, Stage::Action) => "requires_action",
            (_, Stage::Processing) => "processing",
            (_, Stage::Failed) => "failed",
            (_, Stage::Expired) => "expired",
            (_, Stage::Canceled) => "canceled",
        }
    }

    pub(in crate::money) fn refund(&self, key: &str) -> Option<RefundReport> {
        self.refunds.get(key).map(|(_, report)| *report)
    }
}
