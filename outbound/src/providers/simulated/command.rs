//! What the simulated bank is told, and what it answers: plain values, for a file and for a wire.

use crate::providers::{
    Charge, ChargeOutcome, ChargeRef, CheckoutRef, CheckoutState, CustomerRef, Decline, DisputeEnd, DisputeRef,
    FoundCharge, Key, Method, MethodRef, Money, NewCheckout, NewCustomer, NewSetup, Refund, RefundOutcome, SetupRef,
};
use serde::{Deserialize, Serialize};

/// Something to do or to tell. Times are part of it, so that a list of commands gives the same book whenever it is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// See [`Provider::ensure_customer`](crate::providers::Provider::ensure_customer).
    EnsureCustomer(NewCustomer),
    /// See [`Provider::begin_setup`](crate::providers::Provider::begin_setup).
    BeginSetup(NewSetup),
    /// The customer enters a card on a setup's page.
    CollectMethod {
        /// The setup.
        setup: SetupRef,
        /// The card's number.
        card: String,
        /// Now.
        now_s: u64,
    },
    /// What is known of a payment method.
    Method(MethodRef),
    /// Forgets a payment method.
    Detach(MethodRef),
    /// Charges a payment method.
    Charge(Charge),
    /// What became of the charge with a key.
    FindCharge(Key),
    /// A charge by its name, for the page of its action.
    ViewCharge(ChargeRef),
    /// The customer goes through 3-D Secure, or turns back.
    CompleteAction {
        /// Of which charge.
        charge: ChargeRef,
        /// Whether the customer approved.
        approved: bool,
        /// Now.
        now_s: u64,
    },
    /// Opens a checkout.
    OpenCheckout(NewCheckout),
    /// A checkout by its name, for its page.
    ViewCheckout(CheckoutRef),
    /// The customer pays.
    PayCheckout {
        /// Which.
        checkout: CheckoutRef,
        /// The card's number.
        card: String,
        /// Now.
        now_s: u64,
    },
    /// Ends a checkout unless it was paid.
    CloseCheckout(CheckoutRef),
    /// Gives money back.
    Refund(Refund),
    /// What became of the refund with a key.
    FindRefund(Key),
    /// The customer's bank disputes a charge.
    OpenDispute {
        /// Which.
        charge: ChargeRef,
        /// Now.
        now_s: u64,
    },
    /// A dispute is decided.
    CloseDispute {
        /// Which.
        dispute: DisputeRef,
        /// For whom.
        end: DisputeEnd,
        /// Now.
        now_s: u64,
    },
    /// Lets due things happen: processing charges settle, checkouts expire.
    Advance {
        /// Until when.
        now_s: u64,
    },
    /// The events that should be sent now.
    Due {
        /// Now.
        now_s: u64,
    },
    /// An event has arrived.
    Delivered {
        /// Its name.
        event: String,
    },
    /// An event did not arrive, and will be due again later.
    NotDelivered {
        /// Its name.
        event: String,
        /// Now.
        now_s: u64,
    },
}

impl Command {
    /// The time that it carries.
    pub(super) fn time_s(&self) -> Option<u64> {
        match self {
            Command::CollectMethod { now_s, .. }
            | Command::CompleteAction { now_s, .. }
            | Command::PayCheckout { now_s, .. }
            | Command::OpenDispute { now_s, .. }
            | Command::CloseDispute { now_s, .. }
            | Command::NotDelivered { now_s, .. }
            | Command::Advance { now_s } => Some(*now_s),
            Command::BeginSetup(ask) => Some(ask.decided_at_s),
            Command::Charge(ask) => Some(ask.decided_at_s),
            Command::OpenCheckout(ask) => Some(ask.decided_at_s),
            Command::Refund(ask) => Some(ask.decided_at_s),
            // What only reads carries no time into the book.
            Command::EnsureCustomer(_)
            | Command::Method(_)
            | Command::Detach(_)
            | Command::FindCharge(_)
            | Command::ViewCharge(_)
            | Command::ViewCheckout(_)
            | Command::CloseCheckout(_)
            | Command::FindRefund(_)
            | Command::Due { .. }
            | Command::Delivered { .. } => None,
        }
    }

    /// Whether it can change the book, and so has to be written down.
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Command::Method(_)
                | Command::FindCharge(_)
                | Command::ViewCharge(_)
                | Command::ViewCheckout(_)
                | Command::FindRefund(_)
                | Command::Due { .. }
        )
    }
}

/// How the answer to a charge reaches whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// At once.
    Prompt,
    /// After [`SLOW_S`](super::cards::SLOW_S).
    Slow,
    /// Not at all.
    Lost,
}

/// A charge, as pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeView {
    /// How much.
    pub money: Money,
    /// What for.
    pub description: String,
    /// How it stands.
    pub outcome: ChargeOutcome,
    /// Where its page leads afterwards.
    pub return_url: Option<String>,
}

/// A checkout, as pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutView {
    /// How it was opened.
    pub ask: NewCheckout,
    /// How it stands.
    pub state: CheckoutState,
}

/// What became of a customer's payment on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Paid {
    /// It was taken; lead the customer here.
    Done {
        /// The checkout's or charge's return address.
        return_url: Option<String>,
    },
    /// 3-D Secure first.
    Authenticate(ChargeRef),
    /// Not with this card. The page stays open.
    Declined(Decline),
}

/// An event that should be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name.
    pub id: String,
    /// How often it is to be sent, besides retries.
    pub copies: u32,
    /// Its JSON.
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// A customer.
    Customer(CustomerRef),
    /// A setup.
    Setup(SetupRef),
    /// A payment method.
    Method(Method),
    /// A charge.
    Charge(ChargeOutcome, Manner),
    /// A charge that was looked for.
    FoundCharge(Option<FoundCharge>),
    /// A charge for its page.
    ChargeView(ChargeView),
    /// A checkout.
    Checkout(CheckoutRef, u64),
    /// A checkout for its page.
    CheckoutView(CheckoutView),
    /// How a checkout stands.
    CheckoutState(CheckoutState),
    /// What became of a payment.
    Paid(Paid),
    /// A refund.
    Refund(RefundOutcome),
    /// A refund that was looked for.
    FoundRefund(Option<RefundOutcome>),
    /// A dispute.
    Dispute(DisputeRef),
    /// Events to send.
    Hooks(Vec<Hook>),
    /// No, for a reason that stays.
    Refused {
        /// A stable code.
        code: String,
        /// For people.
        message: String,
    },
}
