//! What happens to a top-up, and what of it is refused.

use super::super::money::Money;
use super::Status;
use crate::ledger::{Amount, GrantId};

/// How a provider says that a charge stands, in its answer or later by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money was captured.
    Succeeded {
        /// The provider's reference of the payment: one payment, one reference.
        reference: String,
        /// How much.
        money: Money,
        /// The method that it was paid with, if it was saved on the way.
        method: Option<String>,
    },
    /// The customer must do something.
    RequiresAction {
        /// Where.
        url: Option<String>,
    },
    /// It is under way.
    Processing,
    /// It was declined.
    Declined {
        /// The provider's code.
        code: String,
        /// Whether trying again with the same method is no use.
        hard: bool,
    },
    /// Nobody can tell: the answer was lost.
    Unknown,
}

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundReport {
    /// It is under way.
    Pending,
    /// It went.
    Succeeded,
    /// It did not.
    Failed,
}

/// Something that happens to a top-up. Those that a provider or the ledger reports are taken whatever they say; those that somebody asks for
/// may be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Provider: how the payment stands.
    Outcome(Outcome),
    /// Provider: its page is there.
    CheckoutOpened {
        /// Where.
        url: String,
    },
    /// Provider: its page is closed, unpaid, or a payment that was given up has not been made and will not be.
    CheckoutClosed,
    /// Provider: how a refund stands, ours or one that its own people made.
    Refund {
        /// Our key; the provider's reference where it is not ours.
        key: String,
        /// How much.
        money: Money,
        /// How it stands.
        report: RefundReport,
    },
    /// Provider: the payment is disputed.
    DisputeOpened,
    /// Provider: in vain.
    DisputeWon,
    /// Provider: and the money is gone.
    DisputeLost,
    /// The time is over, if it is.
    Expire,
    /// Somebody calls it off.
    Cancel,
    /// An operator, or a system that collects, has money.
    Confirm {
        /// What tells this payment from others.
        key: String,
        /// How much.
        money: Money,
        /// No more will come: what is there is credited.
        is_last: bool,
    },
    /// Somebody asks for money back.
    AskRefund {
        /// What tells this refund from others.
        key: String,
        /// How much; all that is left without it.
        money: Option<Money>,
    },
    /// Ledger: the credits were granted.
    Credited {
        /// The grant.
        grant: GrantId,
    },
    /// Ledger: the wallet takes none.
    CreditRefused,
    /// Ledger: so many credits were taken back in all.
    ClawedBack {
        /// In all.
        total: Amount,
    },
    /// Ledger: the rest of the credits is frozen, or is not any more.
    Frozen(bool),
}

/// Why something that was asked for is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is over, or paid.
    NotOpen(Status),
    /// The payment is under way and cannot be called back.
    UnderWay,
    /// A part of it was paid: confirm the last payment instead, and refund it.
    PartlyPaid,
    /// It is collected by a provider, who says by itself what was paid.
    NotConfirmable,
    /// Nothing was captured that could go back.
    NotPaid(Status),
    /// The bank has the money: it cannot be paid back a second time.
    InDispute,
    /// More than can still go back.
    ExceedsCapture {
        /// What can.
        left: Money,
    },
    /// Not above zero.
    NoMoney,
    /// In other money than the top-up is.
    OtherMoney,
    /// The key was used for another amount.
    KeyConflict,
}
