//! What is to be done about a top-up, as values: by providers, the ledger, the feed, invoices.

use super::super::money::Money;
use super::{Status, TopUp};
use crate::ledger::{Amount, Source};

/// A step: the next state, and what is to be done once it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The top-up afterwards.
    pub top_up: TopUp,
    /// The statuses that it went through, the last one included; empty if it did not change.
    pub path: Vec<Status>,
    /// What is to be done, in this order.
    pub effects: Vec<Effect>,
    /// Something that a person should look at.
    pub oddity: Option<Oddity>,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The provider has to do something.
    Provider(Command),
    /// The ledger has to grant credits, in the same frame as the step.
    Credit(CreditOrder),
    /// The ledger has to take back credits: what is left of the grant first.
    ClawBack {
        /// How many.
        amount: Amount,
        /// How many in all, these included: tells one claw-back from the next.
        total: Amount,
    },
    /// The ledger has to freeze what is left of the grant.
    Freeze,
    /// The ledger has to release what it froze, if it did.
    Release,
    /// The feed has to tell.
    Tell(News),
    /// An invoice has to be made, open or paid.
    IssueInvoice {
        /// Whether it is paid.
        paid: bool,
    },
    /// The open invoice was paid.
    InvoicePaid,
    /// The open invoice is void.
    VoidInvoice,
    /// A refund note has to be made.
    RefundNote {
        /// The refund.
        key: String,
        /// How much.
        money: Money,
    },
}

/// A command for a provider. The top-up's id is its key, so that it can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Charge a saved method.
    Charge {
        /// The payment method's id.
        method: String,
        /// How much.
        money: Money,
    },
    /// Open a page on which the customer pays.
    OpenCheckout {
        /// How much; the customer decides without it.
        money: Option<Money>,
        /// Whether the method is to be saved.
        saves_method: bool,
        /// Where the customer goes afterwards.
        return_url: Option<String>,
    },
    /// Say how it stands.
    Lookup,
    /// Take no money any more, if none was taken; and say whether some was.
    Withdraw,
    /// Pay money back.
    Refund {
        /// The refund's key.
        key: String,
        /// How much.
        money: Money,
    },
    /// Say how a refund stands that was asked for before.
    LookupRefund {
        /// The refund's key.
        key: String,
        /// How much.
        money: Money,
    },
}

/// Credits to be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditOrder {
    /// How many.
    pub amount: Amount,
    /// Where from.
    pub source: Source,
    /// 0 is spent first.
    pub priority: u8,
    /// How long they last, ms.
    pub valid_for_ms: Option<u64>,
    /// What was paid; none where the credits come first.
    pub cost: Option<Money>,
}

/// What the feed tells of top-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It was made.
    Created,
    /// The customer must do something.
    RequiresAction,
    /// Paid.
    Completed,
    /// Declined.
    Failed,
    /// Not paid in time.
    Expired,
    /// Called off.
    Canceled,
    /// Paid back, or a part of it.
    Refunded,
    /// Disputed, or what came of it.
    Disputed,
}

impl News {
    /// The event's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            News::Created => "top_up.created",
            News::RequiresAction => "top_up.requires_action",
            News::Completed => "top_up.completed",
            News::Failed => "top_up.failed",
            News::Expired => "top_up.expired",
            News::Canceled => "top_up.canceled",
            News::Refunded => "top_up.refunded",
            News::Disputed => "top_up.disputed",
        }
    }

    /// What is told when a top-up comes to a status.
    pub const fn of(status: Status) -> Option<News> {
        match status {
            Status::Created | Status::Processing => None,
            Status::RequiresAction => Some(News::RequiresAction),
            Status::Completed => Some(News::Completed),
            Status::Failed => Some(News::Failed),
            Status::Expired => Some(News::Expired),
            Status::Canceled => Some(News::Canceled),
            Status::PartiallyRefunded | Status::Refunded => Some(News::Refunded),
            Status::Disputed | Status::DisputeWon | Status::DisputeLost => Some(News::Disputed),
        }
    }
}

/// Something that should not be. The top-up is right; a person should look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Money came after the credits were granted; it credits nothing.
    Surplus,
    /// Money in another currency, or none at all, or too much to count: it is not kept.
    StrangeMoney,
    /// A payment or a refund was reported before with another amount, which stands.
    OtherAmount,
    /// More was reported refunded than had been captured.
    OverRefunded,
    /// A refund that had succeeded, or a dispute that had ended, is reported otherwise; the first report stands.
    Contradiction,
    /// Money came for credits that had been taken back when the invoice was called off; it credits nothing.
    PaidAfterVoid,
}
