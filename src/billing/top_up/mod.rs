//! Top-ups: money that is to come in, and the credits that follow it.
//!
//! A top-up is a heap of *facts* (payments, refunds, a dispute, how an attempt to collect stands), of which each can be told any number of
//! times and in any order. What it comes to is computed from them anew at each step: its status, how many credits it is owed, how many are to be
//! taken back, whether they are frozen. What is to be done is the difference to what has been done (`step.rs`).
//!
//! # Invariants
//! 1. It credits at most once: [`Credit`] leaves [`Credit::None`] once and never comes back to it.
//! 2. What is refunded never exceeds what was captured, and what is taken back never exceeds what was credited; both only grow.
//! 3. A status changes along [`Status::may_become`] only; where a report tells of more than one change, each is gone through.
//! 4. A success that comes after the local expiry, a cancellation or a decline is a success.
//! 5. Facts in another order come to the same captured money, credits, refunds and final status.
//! 6. A charge whose answer is not known neither expires nor can be canceled: it may have been paid.
//!
//! What is credited is credited in one grant, at the moment of the capture: payments that come later are kept as a surplus, for a person to look
//! at, and credit nothing.

mod create;
mod effect;
mod event;
mod resume;
mod step;
#[cfg(test)]
mod tests;

pub use create::{NewTopUp, create};
pub use effect::{Command, CreditOrder, Effect, News, Oddity, Step};
pub use event::{Event, Outcome, RefundReport, Refusal};

use super::money::{Money, Worth};
use crate::catalog::{CurrencyNumber, Metadata};
use crate::ledger::{Amount, GrantId, Source, Timestamp};

/// How long a customer has to pay, ms, where nothing else is said.
pub const DEFAULT_EXPIRY_MS: u64 = 300_000;

/// What set a top-up off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody bought credits.
    Manual,
    /// A rule did.
    Auto,
    /// Money of any amount, or of a kind that is a credit currency of its own, to an address.
    Deposit,
    /// Money that is collected without any provider.
    Offline,
    /// The rest of a charge that the wallet did not cover: it pays an invoice and buys nothing.
    Charge {
        /// The charge's entry in the wallet.
        entry: u64,
    },
}

/// How the money is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// A saved method is charged.
    Charge,
    /// The customer pays on a page of the provider's.
    Checkout,
    /// An invoice is sent.
    Invoice,
    /// Another system or a person collects it, and confirms it.
    Outside,
}

/// Where a top-up is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was made, and nothing has come of it yet.
    Created,
    /// The provider has the payment under way.
    Processing,
    /// The customer must do something, such as 3-D Secure.
    RequiresAction,
    /// Paid.
    Completed,
    /// Declined.
    Failed,
    /// Not paid in time.
    Expired,
    /// Called off.
    Canceled,
    /// A part of it was paid back.
    PartiallyRefunded,
    /// All of it was paid back.
    Refunded,
    /// The customer's bank disputes the payment.
    Disputed,
    /// It did, in vain.
    DisputeWon,
    /// It did, and has the money.
    DisputeLost,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 12] = [
        Status::Created,
        Status::Processing,
        Status::RequiresAction,
        Status::Completed,
        Status::Failed,
        Status::Expired,
        Status::Canceled,
        Status::PartiallyRefunded,
        Status::Refunded,
        Status::Disputed,
        Status::DisputeWon,
        Status::DisputeLost,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Processing => "processing",
            Status::RequiresAction => "requires_action",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Expired => "expired",
            Status::Canceled => "canceled",
            Status::PartiallyRefunded => "partially_refunded",
            Status::Refunded => "refunded",
            Status::Disputed => "disputed",
            Status::DisputeWon => "dispute_won",
            Status::DisputeLost => "dispute_lost",
        }
    }

    /// The status of that name.
    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the money has come, whatever became of it later.
    pub const fn is_paid(self) -> bool {
        match self {
            Status::Completed
            | Status::PartiallyRefunded
            | Status::Refunded
            | Status::Disputed
            | Status::DisputeWon
            | Status::DisputeLost => true,
            Status::Created
            | Status::Processing
            | Status::RequiresAction
            | Status::Failed
            | Status::Expired
            | Status::Canceled => false,
        }
    }

    /// Whether it waits for money that may come without anybody beginning anew.
    pub const fn is_open(self) -> bool {
        matches!(self, Status::Created | Status::Processing | Status::RequiresAction)
    }

    /// Whether a status may follow this one.
    pub const fn may_become(self, next: Status) -> bool {
        match self {
            Status::Created => matches!(
                next,
                Status::Processing
                    | Status::RequiresAction
                    | Status::Completed
                    | Status::Failed
                    | Status::Expired
                    | Status::Canceled
            ),
            Status::Processing => matches!(next, Status::Completed | Status::Failed),
            // On a provider's page a declined customer may try again.
            Status::RequiresAction => matches!(
                next,
                Status::Created
                    | Status::Processing
                    | Status::Completed
                    | Status::Failed
                    | Status::Expired
                    | Status::Canceled
            ),
            Status::Failed | Status::Expired | Status::Canceled => matches!(next, Status::Completed),
            Status::Completed => matches!(next, Status::PartiallyRefunded | Status::Refunded | Status::Disputed),
            Status::PartiallyRefunded => matches!(next, Status::Refunded | Status::Disputed),
            Status::Disputed => matches!(next, Status::DisputeWon | Status::DisputeLost | Status::Refunded),
            Status::DisputeWon => matches!(next, Status::PartiallyRefunded | Status::Refunded),
            Status::DisputeLost => matches!(next, Status::Refunded),
            Status::Refunded => false,
        }
    }
}

/// What the money buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goods {
    /// So many credits for the whole price.
    Fixed(Amount),
    /// What the money is worth.
    Worth(Worth),
}

/// What is bought, and for how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The package, if it is one.
    pub package: Option<String>,
    /// How many of it; one where it is none.
    pub quantity: u32,
    /// What is to be paid; `None` where the payer decides.
    pub price: Option<Money>,
    /// What it buys.
    pub goods: Goods,
    /// Where the grant comes from.
    pub source: Source,
    /// The grant's priority.
    pub priority: u8,
    /// How long the grant lasts from its making on, ms.
    pub valid_for_ms: Option<u64>,
}

/// A payment that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The provider's reference of it, or the operator's key: what tells one from another.
    pub key: String,
    /// How much.
    pub money: Money,
    /// When it was heard of.
    pub at: Timestamp,
}

/// Where a refund is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundStatus {
    /// Asked for.
    Pending,
    /// The money is on its way back.
    Succeeded,
    /// It did not go.
    Failed,
}

impl RefundStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefundStatus::Pending => "pending",
            RefundStatus::Succeeded => "succeeded",
            RefundStatus::Failed => "failed",
        }
    }
}

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The caller's key, or the provider's reference where the provider's own people made it.
    pub key: String,
    /// How much.
    pub money: Money,
    /// Where it is in its life.
    pub status: RefundStatus,
    /// When it was asked for or heard of.
    pub at: Timestamp,
}

/// Where a dispute is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dispute {
    /// There is none.
    #[default]
    None,
    /// It was opened.
    Open,
    /// The money stays.
    Won,
    /// The money is gone.
    Lost,
}

/// What has become of the credits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credit {
    /// None are owed.
    #[default]
    None,
    /// They are owed, and the grant has not been reported.
    Due(Amount),
    /// They were granted.
    Granted {
        /// The grant.
        grant: GrantId,
        /// All of it.
        amount: Amount,
    },
    /// The wallet takes none: it is closed, or has as many grants as it can. The money is there; a person has to look.
    Refused(Amount),
}

impl Credit {
    /// How many credits are owed or were granted.
    pub const fn amount(self) -> Amount {
        match self {
            Credit::None => Amount::ZERO,
            Credit::Due(amount) | Credit::Granted { amount, .. } | Credit::Refused(amount) => amount,
        }
    }
}

/// Why an attempt to collect failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The provider's code.
    pub code: String,
    /// Whether trying again with the same method is no use.
    pub is_hard: bool,
}

/// A top-up.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them goes with any other")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUp {
    /// Its id: the provider's idempotency key, too.
    pub id: String,
    /// Whose wallet.
    pub customer: String,
    /// In which currency.
    pub currency: CurrencyNumber,
    /// What set it off.
    pub kind: Kind,
    /// What is bought.
    pub purchase: Purchase,
    /// How the money is collected.
    pub collection: Collection,
    /// By whom.
    pub provider: String,
    /// The payment method that is charged, or that was saved on the way.
    pub method: Option<String>,
    /// Whether a method is to be saved on the way.
    pub saves_method: bool,
    /// Whether the credits come before the money: for customers who are sent invoices.
    pub credits_at_once: bool,
    /// Where the customer goes after the provider's page.
    pub return_url: Option<String>,
    /// The provider's page.
    pub checkout_url: Option<String>,
    /// Where a deposit goes to.
    pub address: Option<String>,
    /// Where collecting stands, as long as nothing was captured.
    pub progress: Status,
    /// The answer to a charge is not known; or, of one that was given up, whether it was paid all the same.
    pub in_doubt: bool,
    /// Attempts that were declined.
    pub declines: u32,
    /// Why the last one was.
    pub failure: Option<Failure>,
    /// What has arrived.
    pub payments: Vec<Payment>,
    /// How much of it was captured for the credits: all that there was at that moment.
    pub captured: Option<Money>,
    /// What goes back.
    pub refunds: Vec<Refund>,
    /// Whether the payment is disputed.
    pub dispute: Dispute,
    /// What has become of the credits.
    pub credit: Credit,
    /// How many of them are to be taken back, in all.
    pub to_claw_back: Amount,
    /// How many of those were.
    pub clawed_back: Amount,
    /// The rest of them is to be frozen.
    pub to_freeze: bool,
    /// It is; or it may be, where it is not to be any more.
    pub frozen: bool,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something about it was changed last.
    pub updated_at: Timestamp,
    /// From when on it is not waited for any more; `None` for what may take its time.
    pub expires_at: Option<Timestamp>,
    /// When the money was captured.
    pub completed_at: Option<Timestamp>,
    /// The form by which a deposit was made.
    pub form: Option<String>,
}

impl TopUp {
    /// Where it is in its life.
    pub fn status(&self) -> Status {
        let Some(captured) = self.captured else { return self.progress };
        let refunded = self.refunded();
        match self.dispute {
            _ if refunded.units == captured.units => Status::Refunded,
            Dispute::Lost => Status::DisputeLost,
            Dispute::Open => Status::Disputed,
            Dispute::None | Dispute::Won if refunded.units > 0 => Status::PartiallyRefunded,
            Dispute::Won => Status::DisputeWon,
            Dispute::None => Status::Completed,
        }
    }

    /// Money that has arrived, captured or not. `None` before the first payment.
    pub fn received(&self) -> Option<Money> {
        let code = self.payments.first()?.money.code;
        // Checked when each arrived.
        let units = self.payments.iter().map(|payment| payment.money.units).sum();
        Some(Money::new(units, code))
    }

    /// Money that was paid back: what was captured at most.
    pub fn refunded(&self) -> Money {
        let code = self.captured.map_or_else(|| self.code(), |captured| captured.code);
        let most = self.captured.map_or(0, |captured| captured.units);
        Money::new(self.sum_of_refunds(|status| status == RefundStatus::Succeeded).min(most), code)
    }

    /// Money that can still be asked back.
    pub fn refundable(&self) -> Money {
        let captured = self.captured.map_or(0, |captured| captured.units);
        let going = self.sum_of_refunds(|status| status != RefundStatus::Failed).min(captured);
        Money::new(captured - going, self.code())
    }

    /// Saturates: reports may claim anything.
    fn sum_of_refunds(&self, counts: impl Fn(RefundStatus) -> bool) -> i64 {
        let counted = self.refunds.iter().filter(|refund| counts(refund.status));
        counted.fold(0_i64, |sum, refund| sum.saturating_add(refund.money.units))
    }

    /// The money that it is paid in.
    pub fn code(&self) -> super::MoneyCode {
        match (&self.purchase.price, self.purchase.goods) {
            (Some(price), _) => price.code,
            (None, Goods::Worth(worth)) => worth.code(),
            (None, Goods::Fixed(_)) => unreachable!("what has a fixed number of credits has a price"),
        }
    }

    /// How many of its credits are its payer's still: so many are frozen while the payment is disputed, if they are there.
    pub fn freezable(&self) -> Amount {
        match self.credit {
            Credit::Granted { amount, .. } => amount.checked_sub(self.to_claw_back).unwrap_or(Amount::ZERO),
            Credit::None | Credit::Due(_) | Credit::Refused(_) => Amount::ZERO,
        }
    }

    /// Credits that are on their way: of one that may still be paid, or that was paid a moment ago and is not credited yet.
    pub fn in_flight(&self) -> Amount {
        match (self.credit, self.purchase.price, self.purchase.goods) {
            (Credit::Due(credits), ..) => credits,
            (Credit::None, Some(_), Goods::Fixed(credits)) if self.status().is_open() => credits,
            (Credit::None, Some(price), Goods::Worth(worth)) if self.status().is_open() => {
                worth.credits(price).unwrap_or(Amount::ZERO)
            }
            _ => Amount::ZERO,
        }
    }
}
