//! What providers tell on their own.

use super::{ChargeRef, CheckoutRef, CustomerRef, Decline, DisputeRef, Method, MethodRef, Money, RefundRef, SetupRef};
use crate::webhooks::Unverified;
use serde::{Deserialize, Serialize};

/// An event that is from the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The event's own name: one that was seen before is the same event again.
    pub replay_id: String,
    /// When it happened, by the provider's clock. Events arrive in any order.
    pub at_s: u64,
    /// What happened.
    pub event: Event,
}

/// What an event about a charge says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeFacts {
    /// The charge.
    pub charge: ChargeRef,
    /// The key that it was made with; `None` for a charge that somebody made by other means.
    pub key: Option<String>,
    /// Who pays.
    pub customer: Option<CustomerRef>,
    /// With what.
    pub method: Option<MethodRef>,
    /// How much.
    pub money: Money,
}

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundState {
    /// Under way.
    Pending,
    /// The money is on its way to the customer.
    Succeeded,
    /// It did not reach the customer and is ours again.
    Failed,
}

/// How a dispute ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisputeEnd {
    /// The money stays, or came back.
    Won,
    /// The money is gone.
    Lost,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The money is on its way to us.
    ChargeSucceeded(ChargeFacts),
    /// It will not come with this try.
    ChargeFailed {
        /// The charge.
        facts: ChargeFacts,
        /// Why.
        decline: Decline,
    },
    /// The customer must do something.
    ChargeRequiresAction {
        /// The charge.
        facts: ChargeFacts,
        /// Where, if the provider has a page for it.
        url: Option<String>,
    },
    /// The provider does not know yet.
    ChargeProcessing(ChargeFacts),
    /// The customer went through a checkout.
    CheckoutCompleted {
        /// The checkout.
        checkout: CheckoutRef,
        /// The key that it was opened with.
        key: Option<String>,
        /// The charge that it made.
        charge: Option<ChargeRef>,
        /// Whether the money is certain; if not, an event about the charge follows.
        paid: bool,
    },
    /// A checkout ended without payment.
    CheckoutExpired {
        /// The checkout.
        checkout: CheckoutRef,
        /// The key that it was opened with.
        key: Option<String>,
    },
    /// So much of a charge has been given back in all. Later amounts are never smaller, so that order does not matter.
    RefundedInAll {
        /// The charge.
        charge: ChargeRef,
        /// All refunds of it together.
        total: Money,
    },
    /// A refund was made or has changed. One that failed took back what [`Event::RefundedInAll`] counted.
    RefundChanged {
        /// The refund.
        refund: RefundRef,
        /// Of which charge.
        charge: Option<ChargeRef>,
        /// The key that it was made with; `None` for one that was made at the provider by hand.
        key: Option<String>,
        /// How much.
        money: Money,
        /// How it stands.
        state: RefundState,
    },
    /// The customer's bank disputes a charge.
    DisputeOpened {
        /// The dispute.
        dispute: DisputeRef,
        /// The charge.
        charge: ChargeRef,
        /// How much of it.
        money: Money,
        /// The bank's reason, in the provider's words.
        reason: String,
    },
    /// A dispute is over.
    DisputeClosed {
        /// The dispute.
        dispute: DisputeRef,
        /// The charge.
        charge: ChargeRef,
        /// How much of it.
        money: Money,
        /// For whom.
        end: DisputeEnd,
    },
    /// A payment method was collected.
    SetupCompleted {
        /// The collection.
        setup: SetupRef,
        /// The key that it was begun with.
        key: Option<String>,
        /// Whose.
        customer: Option<CustomerRef>,
        /// The payment method, if the provider says; otherwise [`Event::MethodAttached`] does.
        method: Option<MethodRef>,
    },
    /// A payment method belongs to a customer now, or has changed (a card was renewed).
    MethodAttached(Method),
    /// A payment method can no longer be charged.
    MethodDetached(MethodRef),
    /// Something that does not concern us. It should be answered with success, or the provider sends it again.
    Other {
        /// The provider's name for it.
        kind: String,
    },
}

/// Why something that came is not taken for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// Not signed, not by the provider, or not lately.
    #[error("{0}")]
    Unverified(#[from] Unverified),
    /// Signed, and yet not readable.
    #[error("a signed event cannot be read: {0}")]
    Unreadable(String),
    /// A test event for live money, or the other way round.
    #[error("the event is of the provider's {} mode, the settings are of the other", if *.live { "live" } else { "test" })]
    WrongMode {
        /// Whether the event is about real money.
        live: bool,
    },
    /// This provider sends no events.
    #[error("this provider sends no events")]
    Unsupported,
}
