//! Stripe: customers, setup intents, off-session payment intents, Checkout, refunds, disputes, signed events.
//!
//! # How its guarantees become ours
//! - *One key, one charge.* The key goes out as `Idempotency-Key`; Stripe keeps keys for at least 24 hours, with whatever it answered, errors included.
//!   The key also stands in the payment intent's metadata, so that [`Provider::find_charge`] finds it by listing the customer's payment intents
//!   (the search endpoint lags behind by up to a minute and more, which is too much for that).
//! - *Retries.* Within one call, network failures, 409, 429 and 5xx are tried again with back-off, and what `Stripe-Should-Retry` says comes first
//!   ([`Settings::retries`]). What is left after that is [`CallError::Unknown`].
//! - *Strong customer authentication.* A declined off-session charge with `authentication_required` leaves the payment intent open. The same payment
//!   intent is confirmed again, on session and with a return URL, which gives the page to authenticate on. So there is never a second payment
//!   intent that could succeed beside it.
//! - *Events* may be of any API version: only fields that have been stable since payment intents exist are read.
//!
//! Sources: docs.stripe.com/api (errors, idempotent requests, payment intents, checkout sessions, refunds, disputes, events),
//! docs.stripe.com/error-low-level, /declines/codes, /currencies, /webhooks.

mod amounts;
mod api;
mod calls;
mod charges;
mod declines;
mod events;
mod objects;
mod signature;

#[cfg(test)]
mod tests;

pub use signature::{WebhookSecret, WebhookSecretError, sign as sign_event};

use super::{
    CallError, Charge, ChargeOutcome, Checkout, CheckoutRef, CheckoutState, CustomerRef, FindCharge, FindRefund,
    FoundCharge, Method, MethodRef, NewCheckout, NewCustomer, NewSetup, Provider, ReceiveError, Received, Refund,
    RefundOutcome, Setup,
};
use crate::Outgoing;
use crate::http::{HeaderMap, HeaderValue, Transport, Uri, UrlError, parse_url};
use api::Api;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The version of Stripe's API that requests are written for, sent as `Stripe-Version`.
pub const API_VERSION: &str = "2026-08-26.dahlia";

/// A secret or restricted key: `sk_test_…`, `sk_live_…`, `rk_…`. `Debug` keeps it to itself.
#[derive(Clone)]
pub struct ApiKey {
    header: HeaderValue,
    live: bool,
}

/// Not a key with which requests can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Stripe key begins with sk_test_, sk_live_, rk_test_ or rk_live_, and has letters, digits and '_'")]
pub struct ApiKeyError;

impl ApiKey {
    /// Reads a key.
    pub fn new(text: &str) -> Result<Self, ApiKeyError> {
        let prefix =
            ["sk_test_", "sk_live_", "rk_test_", "rk_live_"].into_iter().find(|prefix| text.starts_with(prefix));
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let prefix = prefix.filter(|prefix| plain && text.len() > prefix.len()).ok_or(ApiKeyError)?;
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| ApiKeyError)?;
        header.set_sensitive(true);
        Ok(ApiKey { header, live: prefix.contains("live") })
    }

    /// Whether it moves real money.
    pub fn live(&self) -> bool {
        self.live
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("live", &self.live).finish_non_exhaustive()
    }
}

/// How to reach Stripe.
#[derive(Clone, Debug)]
pub struct Settings {
    key: ApiKey,
    base: Uri,
    webhook_secrets: Vec<WebhookSecret>,
    /// How long one try may take.
    pub try_time: Duration,
    /// How long all tries of a call may take together.
    pub total_time: Duration,
    /// How often a call is tried again. Stripe's own libraries do it twice.
    pub retries: u32,
    /// How far an event's signature may lie from now, in seconds. Stripe's own libraries allow five minutes.
    pub tolerance_s: u64,
}

impl Settings {
    /// Stripe's own address, 30 seconds a try, 80 seconds a call, two retries, five minutes of tolerance.
    pub fn new(key: ApiKey, webhook_secrets: Vec<WebhookSecret>) -> Self {
        Settings {
            key,
            base: Uri::from_static("https://api.stripe.com"),
            webhook_secrets,
            try_time: Duration::from_secs(30),
            total_time: Duration::from_secs(80),
            retries: 2,
            tolerance_s: 300,
        }
    }

    /// Another address instead, without a path: a mock in tests.
    pub fn at(mut self, base: &str) -> Result<Self, UrlError> {
        let base = parse_url(base.trim_end_matches('/'))?;
        if base.path() != "/" || base.query().is_some() {
            return Err(UrlError::Malformed);
        }
        self.base = base;
        Ok(self)
    }
}

/// The adapter.
pub struct Stripe {
    api: Api,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").field("settings", &self.api.settings).finish_non_exhaustive()
    }
}

impl Stripe {
    /// An adapter that sends by a transport.
    pub fn new(settings: Settings, transport: Arc<dyn Transport>) -> Self {
        Stripe { api: Api { settings, transport } }
    }
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn ensure_customer<'a>(&'a self, ask: &'a NewCustomer) -> Outgoing<'a, Result<CustomerRef, CallError>> {
        Box::pin(calls::create_customer(&self.api, ask))
    }

    fn begin_setup<'a>(&'a self, ask: &'a NewSetup) -> Outgoing<'a, Result<Setup, CallError>> {
        Box::pin(calls::begin_setup(&self.api, ask))
    }

    fn method<'a>(&'a self, method: &'a MethodRef) -> Outgoing<'a, Result<Method, CallError>> {
        Box::pin(calls::method(&self.api, method))
    }

    fn detach<'a>(&'a self, method: &'a MethodRef) -> Outgoing<'a, Result<(), CallError>> {
        Box::pin(calls::detach(&self.api, method))
    }

    fn charge<'a>(&'a self, ask: &'a Charge) -> Outgoing<'a, ChargeOutcome> {
        Box::pin(charges::charge(&self.api, ask))
    }

    fn find_charge<'a>(&'a self, ask: &'a FindCharge) -> Outgoing<'a, Result<Option<FoundCharge>, CallError>> {
        Box::pin(charges::find(&self.api, ask))
    }

    fn open_checkout<'a>(&'a self, ask: &'a NewCheckout) -> Outgoing<'a, Result<Checkout, CallError>> {
        Box::pin(calls::open_checkout(&self.api, ask))
    }

    fn close_checkout<'a>(&'a self, checkout: &'a CheckoutRef) -> Outgoing<'a, Result<CheckoutState, CallError>> {
        Box::pin(calls::close_checkout(&self.api, checkout))
    }

    fn refund<'a>(&'a self, ask: &'a Refund) -> Outgoing<'a, RefundOutcome> {
        Box::pin(calls::refund(&self.api, ask))
    }

    fn find_refund<'a>(&'a self, ask: &'a FindRefund) -> Outgoing<'a, Result<Option<RefundOutcome>, CallError>> {
        Box::pin(calls::find_refund(&self.api, ask))
    }

    fn receive(&self, headers: &HeaderMap, body: &[u8], now_s: u64) -> Result<Received, ReceiveError> {
        let settings = &self.api.settings;
        signature::verify(&settings.webhook_secrets, headers, body, now_s, settings.tolerance_s)?;
        events::read(body, settings.key.live)
    }
}
