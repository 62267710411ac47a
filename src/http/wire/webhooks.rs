//! Webhook endpoints and deliveries: what is said of them, and as they are shown.

use super::feed::event_value;
use super::fields::Fields;
use super::instant;
use crate::engine::view::{FeedEvent, Metadata};
use crate::engine::webhooks::{
    AttemptRecord, DeliveryId, DeliveryRecord, DeliveryState, DisabledReason, EndpointPatch, EndpointSpec,
    EndpointView, Resume,
};
use crate::http::decode::Value as Json;
use crate::http::problem::Problem;
use crate::ledger::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// An endpoint as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct EndpointBody {
    id: String,
    url: String,
    events: Vec<String>,
    customer: Option<String>,
    currency: Option<String>,
    description: String,
    metadata: Metadata,
    status: &'static str,
    disabled_reason: Option<&'static str>,
    failing_since: Option<String>,
    behind_bytes: u64,
    behind_wallets: usize,
    secret_readable: bool,
    old_secrets_expire_at: Vec<String>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl EndpointBody {
    pub(crate) fn of(view: &EndpointView) -> Self {
        let endpoint = &view.endpoint;
        EndpointBody {
            id: endpoint.id.clone(),
            url: endpoint.url.clone(),
            events: endpoint.events.clone(),
            customer: endpoint.customer.clone(),
            currency: endpoint.currency.clone(),
            description: endpoint.description.clone(),
            metadata: endpoint.metadata.clone(),
            status: if endpoint.disabled.is_some() { "disabled" } else { "enabled" },
            disabled_reason: endpoint.disabled.map(DisabledReason::as_str),
            failing_since: view.failing_since.map(instant),
            behind_bytes: view.behind_bytes,
            behind_wallets: view.behind_wallets,
            secret_readable: view.signs,
            old_secrets_expire_at: endpoint.secrets.iter().filter_map(|old| old.expires_at.map(instant)).collect(),
            created_at: instant(endpoint.created_at),
            updated_at: instant(endpoint.updated_at),
            secret: None,
        }
    }

    /// With the secret, for the one time that it is shown.
    #[must_use]
    pub(crate) fn with_secret(mut self, secret: Option<String>) -> Self {
        self.secret = secret;
        self
    }
}

/// An attempt as it is shown.
#[derive(Debug, Serialize)]
struct AttemptBody {
    at: String,
    status: Option<u16>,
    error: Option<String>,
    latency_ms: u32,
    excerpt: String,
}

impl AttemptBody {
    fn of(attempt: &AttemptRecord) -> Self {
        AttemptBody {
            at: instant(Timestamp::from_millis(attempt.at_ms)),
            status: attempt.status,
            error: attempt.error.clone(),
            latency_ms: attempt.latency_ms,
            excerpt: attempt.excerpt.clone(),
        }
    }
}

/// A delivery as it is shown in lists.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryBody {
    id: String,
    endpoint: String,
    event_id: String,
    event_type: String,
    lsn: u64,
    customer: Option<String>,
    currency: Option<String>,
    status: &'static str,
    manual: bool,
    attempts: Vec<AttemptBody>,
    next_attempt_at: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl DeliveryBody {
    pub(crate) fn of(delivery: &DeliveryRecord) -> Self {
        let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let next_attempt_at = match delivery.state {
            DeliveryState::Retrying(at) => Some(instant(at)),
            DeliveryState::Delivered | DeliveryState::Failed => None,
        };
        DeliveryBody {
            id: DeliveryId::of(delivery).to_string(),
            endpoint: delivery.endpoint.clone(),
            event_id: delivery.event.clone(),
            event_type: delivery.kind.clone(),
            lsn: delivery.at.lsn,
            customer: named(&delivery.lane.customer),
            currency: named(&delivery.lane.currency),
            status: delivery.state.as_str(),
            manual: delivery.manual,
            attempts: delivery.attempts.iter().map(AttemptBody::of).collect(),
            next_attempt_at,
            created_at: Some(instant(delivery.created_at)),
            updated_at: Some(instant(delivery.updated_at)),
        }
    }

    /// Of an event that was not recorded on its way.
    fn unrecorded(id: &DeliveryId, event: &FeedEvent) -> Self {
        DeliveryBody {
            id: id.to_string(),
            endpoint: id.endpoint.clone(),
            event_id: event.id.clone(),
            event_type: event.kind.to_owned(),
            lsn: id.lsn,
            customer: event.customer.clone(),
            currency: event.currency.as_ref().map(|currency| currency.id.clone()),
            status: "not_recorded",
            manual: false,
            attempts: Vec::new(),
            next_attempt_at: None,
            created_at: None,
            updated_at: None,
        }
    }
}

/// A delivery with its event.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryDetailBody {
    #[serde(flatten)]
    delivery: DeliveryBody,
    event: Option<Value>,
}

impl DeliveryDetailBody {
    /// There is one of both at least.
    pub(crate) fn of(id: &DeliveryId, delivery: Option<&DeliveryRecord>, event: Option<FeedEvent>) -> Self {
        let delivery = match (delivery, &event) {
            (Some(delivery), _) => DeliveryBody::of(delivery),
            (None, Some(event)) => DeliveryBody::unrecorded(id, event),
            (None, None) => unreachable!("a delivery without record and event is unknown"),
        };
        DeliveryDetailBody { delivery, event: event.map(event_value) }
    }
}

fn events(fields: &Fields<'_, '_>) -> Result<Option<Vec<String>>, Problem> {
    let Some(list) = fields.array("events")? else { return Ok(None) };
    let event = |node: &crate::http::decode::Node<'_>| match node.value {
        Json::Text(text) => Ok(text.to_owned()),
        _ => Err(fields.refused("events", "must be an array of strings")),
    };
    list.iter().map(event).collect::<Result<Vec<_>, _>>().map(Some)
}

/// Reads a new endpoint. Without `events` it is told of everything.
pub(crate) fn endpoint(fields: &Fields<'_, '_>) -> Result<EndpointSpec, Problem> {
    Ok(EndpointSpec {
        url: fields.required_text("url")?.to_owned(),
        events: events(fields)?.unwrap_or_else(|| vec!["*".to_owned()]),
        customer: fields.text("customer")?.map(str::to_owned),
        currency: fields.text("currency")?.map(str::to_owned),
        description: fields.text("description")?.unwrap_or_default().to_owned(),
        metadata: fields.metadata("metadata")?.unwrap_or_default(),
    })
}

/// Reads a change: what is absent stays, and `null` takes customer, currency, description or metadata away.
pub(crate) fn endpoint_patch(fields: &Fields<'_, '_>) -> Result<EndpointPatch, Problem> {
    let status = |name: &str| match name {
        "enabled" => Some(true),
        "disabled" => Some(false),
        _ => None,
    };
    let resume = |name: &str| match name {
        "behind" => Some(Resume::Behind),
        "now" => Some(Resume::Now),
        _ => None,
    };
    let (customer, currency) = (fields.text("customer")?, fields.text("currency")?);
    let (description, metadata) = (fields.text("description")?, fields.metadata("metadata")?);
    Ok(EndpointPatch {
        url: fields.text("url")?.map(str::to_owned),
        events: events(fields)?,
        customer: fields.names("customer").then(|| customer.map(str::to_owned)),
        currency: fields.names("currency").then(|| currency.map(str::to_owned)),
        description: fields.names("description").then(|| description.unwrap_or_default().to_owned()),
        metadata: fields.names("metadata").then(|| metadata.unwrap_or_default()),
        enabled: fields.choice("status", status, "must be enabled or disabled")?,
        resume: fields.choice("resume", resume, "must be behind or now")?.unwrap_or_default(),
    })
}
