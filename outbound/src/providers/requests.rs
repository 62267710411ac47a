//! What is asked of a provider, and what it answers.
//!
//! Questions are plain values that can be written down and asked again. Their `decided_at_s` is when the caller decided to ask, in seconds since the
//! epoch, and belongs to the question: it stays the same when the question is repeated.

use super::{ChargeRef, CheckoutRef, CustomerRef, Key, MethodRef, Money, RefundRef, RefundState, SetupRef};
use serde::{Deserialize, Serialize};

/// Why a question has no answer of the kind that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It is not known whether it was carried out. Ask again with the same key.
    #[error("the provider's answer is not known: {detail}")]
    Unknown {
        /// What happened, for logs.
        detail: String,
    },
    /// The provider did not take the question, and would not take it again: a wrong setting, a missing right, a thing that does not exist.
    #[error("the provider refused: {code}: {message}")]
    Refused {
        /// The provider's code.
        code: String,
        /// Its message, for operators.
        message: String,
    },
    /// This provider cannot do that.
    #[error("this provider cannot {0}")]
    Unsupported(&'static str),
}

/// A customer to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCustomer {
    /// The caller's key for this creation.
    pub key: Key,
    /// The caller's own name of the customer, kept at the provider for people who look there.
    pub reference: String,
    /// Shown on receipts.
    pub name: Option<String>,
    /// For receipts.
    pub email: Option<String>,
}

/// How a payment method is to be collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Collect {
    /// On a page of the provider, which leads back here.
    Hosted {
        /// After success.
        return_url: String,
        /// After the customer turned back.
        cancel_url: String,
    },
    /// On the caller's own page, with the provider's script and a client secret.
    InPage,
}

/// A payment method to collect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSetup {
    /// The caller's key.
    pub key: Key,
    /// Whose it will be.
    pub customer: CustomerRef,
    /// Where.
    pub collect: Collect,
    /// When this was decided.
    pub decided_at_s: u64,
}

/// A collection that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Its name at the provider.
    pub reference: SetupRef,
    /// The page, for [`Collect::Hosted`].
    pub url: Option<String>,
    /// The secret for the provider's script, for [`Collect::InPage`]. It belongs in the customer's browser and in no log.
    pub client_secret: Option<String>,
}

/// What can be shown of a payment method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Its name at the provider.
    pub reference: MethodRef,
    /// Whose it is; `None` once it is detached.
    pub customer: Option<CustomerRef>,
    /// `visa`, `mastercard`, ..., or the kind of method where it is no card.
    pub brand: String,
    /// The last digits.
    pub last4: Option<String>,
    /// Month 1 to 12 and year, to the end of which a card is valid.
    pub expiry: Option<(u8, u16)>,
    /// The same for the same card, however often it is saved.
    pub fingerprint: Option<String>,
}

/// A charge of a saved payment method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The caller's key: one key, one charge.
    pub key: Key,
    /// Who pays.
    pub customer: CustomerRef,
    /// With what.
    pub method: MethodRef,
    /// How much; more than nothing.
    pub money: Money,
    /// What for; the customer may read it on a statement or receipt.
    pub description: String,
    /// Where the provider leads the customer after an action that it required.
    pub return_url: Option<String>,
    /// When this was decided.
    pub decided_at_s: u64,
    /// Whether this may have been asked before. Then the provider is first asked for what became of it, so that not even a key that the provider
    /// has forgotten can lead to a second charge.
    pub repeat: bool,
}

/// Why a payment was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// The provider's code, such as `insufficient_funds`.
    pub code: String,
    /// Whether trying again with this payment method is pointless.
    pub hard: bool,
    /// What may be told to the customer.
    pub message: String,
}

/// What became of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChargeOutcome {
    /// The money is on its way to us.
    Succeeded {
        /// The charge.
        charge: ChargeRef,
    },
    /// The customer must do something, such as 3-D Secure.
    RequiresAction {
        /// The charge.
        charge: ChargeRef,
        /// Where; `None` if the provider has no page for it (no [`Charge::return_url`] was given).
        url: Option<String>,
    },
    /// The provider does not know yet; an event will tell.
    Processing {
        /// The charge.
        charge: ChargeRef,
    },
    /// No money moved. The next try needs another key.
    Declined {
        /// The charge, if one was made.
        charge: Option<ChargeRef>,
        /// Why.
        decline: Decline,
    },
    /// The provider did not take the question: settings, rights, arguments. No money moved.
    Refused {
        /// The provider's code.
        code: String,
        /// Its message, for operators.
        message: String,
    },
    /// It is not known whether money moved. Ask again with the same key and [`Charge::repeat`].
    Unknown {
        /// What happened, for logs.
        detail: String,
    },
}

/// A question after a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindCharge {
    /// The key that it was made with.
    pub key: Key,
    /// Whose charge it was.
    pub customer: CustomerRef,
    /// Not older than this, give or take an hour: [`Charge::decided_at_s`].
    pub since_s: u64,
}

/// A charge that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundCharge {
    /// How much.
    pub money: Money,
    /// How it stands.
    pub outcome: ChargeOutcome,
}

/// A hosted page for one payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCheckout {
    /// The caller's key; also the key of the charge that it may lead to.
    pub key: Key,
    /// Who pays.
    pub customer: CustomerRef,
    /// How much; more than nothing.
    pub money: Money,
    /// What for; shown on the page.
    pub title: String,
    /// Whether the payment method is kept for later charges.
    pub save_method: bool,
    /// Where the page leads after payment. `{CHECKOUT}` in it becomes the checkout's name.
    pub success_url: String,
    /// Where it leads otherwise.
    pub cancel_url: String,
    /// When this was decided.
    pub decided_at_s: u64,
    /// When it should end. Providers have bounds of their own: [`Checkout::expires_at_s`] tells what holds, and
    /// [`Provider::close_checkout`](super::Provider::close_checkout) ends it earlier.
    pub expires_at_s: u64,
}

/// A page that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Its name at the provider.
    pub reference: CheckoutRef,
    /// The page.
    pub url: String,
    /// When it ends by itself.
    pub expires_at_s: u64,
}

/// How a checkout stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckoutState {
    /// It can be paid.
    Open,
    /// It was completed; whether the money has arrived is told.
    Completed {
        /// The charge.
        charge: Option<ChargeRef>,
        /// Whether it succeeded already.
        paid: bool,
    },
    /// It has ended unpaid.
    Expired,
}

/// Money to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The caller's key: one key, one refund.
    pub key: Key,
    /// Of which charge.
    pub charge: ChargeRef,
    /// How much of it; more than nothing.
    pub money: Money,
    /// When this was decided.
    pub decided_at_s: u64,
}

/// What became of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundOutcome {
    /// The provider has it; how it stands is told, and events tell the rest.
    Accepted {
        /// Its name at the provider.
        refund: RefundRef,
        /// How it stands.
        state: RefundState,
    },
    /// The provider did not take it: more than was paid, or refunded already.
    Refused {
        /// The provider's code.
        code: String,
        /// Its message, for operators.
        message: String,
    },
    /// It is not known whether money moved. Ask again with the same key.
    Unknown {
        /// What happened, for logs.
        detail: String,
    },
    /// This provider cannot do that.
    Unsupported,
}

/// A question after a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindRefund {
    /// The key that it was made with.
    pub key: Key,
    /// Of which charge.
    pub charge: ChargeRef,
}

impl From<CallError> for ChargeOutcome {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unknown { detail } => ChargeOutcome::Unknown { detail },
            CallError::Refused { code, message } => ChargeOutcome::Refused { code, message },
            CallError::Unsupported(what) => ChargeOutcome::Refused {
                code: "unsupported".to_owned(),
                message: format!("this provider cannot {what}"),
            },
        }
    }
}

impl From<CallError> for RefundOutcome {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unknown { detail } => RefundOutcome::Unknown { detail },
            CallError::Refused { code, message } => RefundOutcome::Refused { code, message },
            CallError::Unsupported(_) => RefundOutcome::Unsupported,
        }
    }
}
