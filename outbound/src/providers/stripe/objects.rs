//! The parts of Stripe's objects that are read.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The metadata under which the caller's key stands.
pub(super) const METADATA_KEY: &str = "drawdown_key";

/// A reference that may come expanded to the object.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Expandable {
    Id(String),
    Object { id: String },
}

impl Expandable {
    pub(super) fn id(self) -> String {
        match self {
            Expandable::Id(id) | Expandable::Object { id } => id,
        }
    }
}

pub(super) type Metadata = Option<BTreeMap<String, String>>;

/// The caller's key in an object's metadata.
pub(super) fn key_of(metadata: &Metadata) -> Option<&str> {
    metadata.as_ref()?.get(METADATA_KEY).map(String::as_str)
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Id {
    pub(super) id: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: String,
    pub(super) customer: Option<Expandable>,
    pub(super) payment_method: Option<Expandable>,
    pub(super) metadata: Metadata,
    pub(super) last_payment_error: Option<ApiError>,
    pub(super) next_action: Option<NextAction>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct NextAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Clone, Deserialize)]
struct Redirect {
    url: Option<String>,
}

impl PaymentIntent {
    /// The page of the action that is required.
    pub(super) fn action_url(&self) -> Option<String> {
        self.next_action.as_ref()?.redirect_to_url.as_ref()?.url.clone()
    }
}

/// The `error` of an answer, and `last_payment_error` of a payment intent.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ApiError {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) advice_code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) param: Option<String>,
    pub(super) payment_intent: Option<Box<PaymentIntent>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) error: ApiError,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct CheckoutSession {
    pub(super) id: String,
    pub(super) mode: Option<String>,
    pub(super) status: Option<String>,
    pub(super) payment_status: Option<String>,
    pub(super) payment_intent: Option<Expandable>,
    pub(super) customer: Option<Expandable>,
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) expires_at: u64,
    pub(super) metadata: Metadata,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct SetupIntent {
    pub(super) id: String,
    pub(super) client_secret: Option<String>,
    pub(super) customer: Option<Expandable>,
    pub(super) payment_method: Option<Expandable>,
    pub(super) metadata: Metadata,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct PaymentMethod {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) customer: Option<Expandable>,
    pub(super) card: Option<Card>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Card {
    pub(super) brand: Option<String>,
    pub(super) last4: Option<String>,
    pub(super) exp_month: Option<u8>,
    pub(super) exp_year: Option<u16>,
    pub(super) fingerprint: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RefundObject {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) payment_intent: Option<Expandable>,
    pub(super) status: Option<String>,
    pub(super) metadata: Metadata,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ChargeObject {
    pub(super) payment_intent: Option<Expandable>,
    pub(super) amount_refunded: i64,
    pub(super) currency: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct DisputeObject {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) payment_intent: Option<Expandable>,
    pub(super) reason: Option<String>,
    pub(super) status: String,
}

/// The envelope of an event; what it is about is read once its type is known.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct EventObject {
    pub(super) id: String,
    pub(super) object: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) created: u64,
    pub(super) livemode: bool,
    pub(super) data: EventData,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct EventData {
    pub(super) object: serde_json::Value,
}
