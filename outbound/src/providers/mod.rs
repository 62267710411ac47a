//! Payment providers behind one trait.
//!
//! A provider moves money; it knows nothing of credits. Everything that is asked of one carries a [`Key`] that the caller chose and wrote
//! down first: asked again with the same key and content, nothing happens twice. So whoever asks can crash at any point, and ask again.
//!
//! # What an answer means
//! A charge has five ends ([`ChargeOutcome`]). *Succeeded*, *declined* and *refused* are known; *requires action* and *processing* become
//! known later, by an event ([`Provider::receive`]) or by asking ([`Provider::find_charge`]). *Unknown* is none of these: the question or its
//! answer was lost, money may have moved, and the same question with the same key, and [`Charge::repeat`] set, settles it.
//!
//! # Events
//! Providers send events at least once, in any order, and anybody may try to send one. [`Provider::receive`] lets through what is signed and
//! fresh; [`Received::replay_id`] recognises what came before; [`Progress`] says which of two events about one charge counts.

mod event;
pub mod external;
mod ids;
mod money;
mod progress;
mod requests;
pub mod simulated;
pub mod stripe;

pub use event::{ChargeFacts, DisputeEnd, Event, ReceiveError, Received, RefundState};
pub use ids::{ChargeRef, CheckoutRef, CustomerRef, DisputeRef, Key, KeyError, MethodRef, RefundRef, SetupRef};
pub use money::{Currency, CurrencyError, Money};
pub use progress::{ChargeState, Progress};
pub use requests::{
    CallError, Charge, ChargeOutcome, Checkout, CheckoutState, Collect, Decline, FindCharge, FindRefund, FoundCharge,
    Method, NewCheckout, NewCustomer, NewSetup, Refund, RefundOutcome, Setup,
};

use crate::Outgoing;
use crate::http::HeaderMap;

/// A payment provider. Object-safe; shared by all tasks that pay.
///
/// Methods may be asked again with the same argument after [`CallError::Unknown`] or a crash, for as long as the provider keeps keys (at least
/// 24 hours); after that, ask what became of it first.
pub trait Provider: Send + Sync {
    /// Its name in settings and records: `simulated`, `external`, `stripe`.
    fn name(&self) -> &'static str;

    /// Creates a customer, or finds the one that was created with this key.
    fn ensure_customer<'a>(&'a self, ask: &'a NewCustomer) -> Outgoing<'a, Result<CustomerRef, CallError>>;

    /// Begins to collect a payment method for later charges, without a payment.
    fn begin_setup<'a>(&'a self, ask: &'a NewSetup) -> Outgoing<'a, Result<Setup, CallError>>;

    /// What can be shown of a payment method.
    fn method<'a>(&'a self, method: &'a MethodRef) -> Outgoing<'a, Result<Method, CallError>>;

    /// Forgets a payment method. One that is forgotten already is no error.
    fn detach<'a>(&'a self, method: &'a MethodRef) -> Outgoing<'a, Result<(), CallError>>;

    /// Charges a saved payment method while the customer is away.
    fn charge<'a>(&'a self, ask: &'a Charge) -> Outgoing<'a, ChargeOutcome>;

    /// What became of the charge with a key; `None` if there is none.
    fn find_charge<'a>(&'a self, ask: &'a FindCharge) -> Outgoing<'a, Result<Option<FoundCharge>, CallError>>;

    /// Opens a page on which the customer pays, and on which the payment method is saved if that is asked.
    fn open_checkout<'a>(&'a self, ask: &'a NewCheckout) -> Outgoing<'a, Result<Checkout, CallError>>;

    /// Ends a checkout before its time, unless it was paid meanwhile; tells which.
    fn close_checkout<'a>(&'a self, checkout: &'a CheckoutRef) -> Outgoing<'a, Result<CheckoutState, CallError>>;

    /// Gives money of a charge back, in parts if need be.
    fn refund<'a>(&'a self, ask: &'a Refund) -> Outgoing<'a, RefundOutcome>;

    /// What became of the refund with a key; `None` if there is none.
    fn find_refund<'a>(&'a self, ask: &'a FindRefund) -> Outgoing<'a, Result<Option<RefundOutcome>, CallError>>;

    /// Verifies and reads what the provider (or somebody else) sent to the webhook's address. `body` must be the bytes as they came.
    fn receive(&self, headers: &HeaderMap, body: &[u8], now_s: u64) -> Result<Received, ReceiveError>;
}
