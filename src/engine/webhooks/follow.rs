//! What a follower needs that sends: which endpoints there are and where they stand, and a way to say how far it has come.

use super::super::Engine;
use super::super::view::{CommandError, FeedEvent};
use super::{
    ARRIVED_SHOWN, DeliveryRecord, DeliveryState, DisabledReason, EndpointChange, EndpointRecord, LaneKey, Place,
    WebhookRecord, WebhookStats, wants,
};
use crate::engine::feed::TEST;
use crate::ledger::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An enabled endpoint as the log has it.
#[derive(Clone, Debug)]
pub struct ChannelState {
    /// The endpoint.
    pub endpoint: Arc<EndpointRecord>,
    /// Secrets that can be read, the newest first, and from when on they sign nothing.
    pub secrets: Vec<(Vec<u8>, Option<Timestamp>)>,
    /// Everything before was delivered or given up, save in lanes.
    pub cursor: Place,
    /// Since when nothing has arrived though it was tried.
    pub failing_since: Option<Timestamp>,
    /// Wallets that are behind, each with the first of its events that is neither delivered nor given up.
    pub lanes: BTreeMap<LaneKey, Place>,
    /// What is to be tried again.
    pub retrying: Vec<Arc<DeliveryRecord>>,
}

impl LaneKey {
    /// Whose an event is.
    pub fn of(event: &FeedEvent) -> Self {
        let currency = event.currency.as_ref().map(|currency| currency.id.clone());
        LaneKey { customer: event.customer.clone().unwrap_or_default(), currency: currency.unwrap_or_default() }
    }
}

impl EndpointRecord {
    /// Whether the endpoint is to be told of events of this type.
    pub fn wants_kind(&self, kind: &str) -> bool {
        kind == TEST || wants(&self.events, kind)
    }

    /// Whether it is to be told of this event. Test events are for the one endpoint that they name.
    pub fn wants(&self, event: &FeedEvent) -> bool {
        self.is_for(event) && (event.kind == TEST || wants(&self.events, event.kind))
    }

    /// Whether an event is of the customer and the currency that the endpoint is for; a test event, of the endpoint itself.
    pub fn is_for(&self, event: &FeedEvent) -> bool {
        if event.kind == TEST {
            let of = event.data.iter().find(|(name, _)| *name == "endpoint");
            return of.is_some_and(|(_, value)| *value == super::super::view::FeedValue::Text(self.id.clone()));
        }
        let is_customers = self.customer.is_none() || self.customer == event.customer;
        let is_currencys = match &self.currency {
            Some(wanted) => event.currency.as_ref().is_some_and(|currency| currency.id == *wanted),
            None => true,
        };
        is_customers && is_currencys
    }
}

/// What a follower counts. Relaxed all of them: nothing is inferred from one about another.
#[derive(Debug, Default)]
pub struct WebhookGauges {
    /// Attempts that arrived.
    pub delivered: AtomicU64,
    /// Attempts that did not.
    pub failed: AtomicU64,
    /// Events that were given up.
    pub given_up: AtomicU64,
    /// Events read and not yet delivered, attempts under way included.
    pub queued: AtomicU64,
    /// Attempts under way.
    pub in_flight: AtomicU64,
    /// Up to where the slowest enabled endpoint has come; 0 if there is none.
    pub slowest: AtomicU64,
    /// When the oldest event in memory happened, ms; 0 if there is none.
    pub oldest_ms: AtomicU64,
}

impl WebhookGauges {
    pub(super) fn stats(&self, durable: u64) -> WebhookStats {
        let slowest = self.slowest.load(Relaxed);
        WebhookStats {
            delivered: self.delivered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
            queued: self.queued.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            behind_bytes: if slowest == 0 { 0 } else { durable.saturating_sub(slowest) },
            oldest_ms: self.oldest_ms.load(Relaxed),
            ..WebhookStats::default()
        }
    }
}

impl Engine {
    /// Counters of the one who sends.
    pub fn webhook_gauges(&self) -> &WebhookGauges {
        &self.inner.webhooks.gauges
    }

    /// Raised when an endpoint was changed or a delivery asked for.
    pub fn webhook_changes(&self) -> u64 {
        self.inner.webhooks.changes.load(std::sync::atomic::Ordering::Acquire)
    }

    /// The enabled endpoints, by id.
    pub fn webhook_channels(&self) -> Vec<ChannelState> {
        let (book, vault) = (self.inner.webhooks.lock(), self.inner.customers.vault());
        let channel = |entry: &super::Entry| {
            let secrets =
                entry.endpoint.secrets.iter().filter_map(|secret| {
                    Some((vault.open_sealed(&entry.endpoint.id, &secret.sealed)?, secret.expires_at))
                });
            let is_retrying = |delivery: &&Arc<DeliveryRecord>| matches!(delivery.state, DeliveryState::Retrying(_));
            ChannelState {
                secrets: secrets.collect(),
                cursor: entry.cursor,
                failing_since: entry.failing_since.filter(|since| *since >= entry.endpoint.enabled_at),
                lanes: entry.lanes.clone(),
                retrying: entry.deliveries.values().filter(is_retrying).cloned().collect(),
                endpoint: Arc::clone(&entry.endpoint),
            }
        };
        book.all().filter(|entry| entry.is_enabled()).map(channel).collect()
    }

    /// Logs how far an endpoint has come and what failed. It need not be durable for anything to go on: what a crash takes back is sent again.
    pub fn note_webhooks(&self, records: Vec<WebhookRecord>) -> Result<(), CommandError> {
        self.inner.check_open()?;
        let mut book = self.inner.webhooks.lock();
        self.inner.put_webhooks(&mut book, records)
    }

    /// Shows a delivery that arrived at the first attempt, unless its endpoint was deleted meanwhile. Nothing is logged.
    pub fn show_arrived(&self, delivery: DeliveryRecord) {
        let book = self.inner.webhooks.lock();
        if book.get(&delivery.endpoint).is_none() {
            return;
        }
        let mut arrived = self.inner.webhooks.arrived();
        let of = arrived.entry(delivery.endpoint.clone()).or_default();
        if of.len() >= ARRIVED_SHOWN {
            of.pop_front();
        }
        of.push_back(Arc::new(delivery));
    }

    /// Disables an endpoint for a reason of its own, with what else is to be logged of it. Nothing if it is disabled or deleted already.
    pub fn disable_webhook_endpoint(
        &self,
        id: &str,
        reason: DisabledReason,
        mut records: Vec<WebhookRecord>,
    ) -> Result<(), CommandError> {
        self.inner.check_open()?;
        let mut book = self.inner.webhooks.lock();
        let Some(entry) = book.get(id).filter(|entry| entry.is_enabled()) else { return Ok(()) };
        let record = EndpointRecord {
            disabled: Some(reason),
            change: EndpointChange::Disabled,
            updated_at: self.inner.now(),
            ..(*entry.endpoint).clone()
        };
        records.push(WebhookRecord::Endpoint(Box::new(record)));
        self.inner.put_webhooks(&mut book, records)?;
        self.inner.webhooks.changed();
        Ok(())
    }

    /// Moves an endpoint on that is so far behind that what it has still to be told of has left the log. `records` say where it is now.
    pub fn skip_webhooks(&self, id: &str, mut records: Vec<WebhookRecord>) -> Result<(), CommandError> {
        self.inner.check_open()?;
        let mut book = self.inner.webhooks.lock();
        let Some(entry) = book.get(id) else { return Ok(()) };
        let record = EndpointRecord { change: EndpointChange::Skipped, ..(*entry.endpoint).clone() };
        records.push(WebhookRecord::Endpoint(Box::new(record)));
        self.inner.put_webhooks(&mut book, records)
    }

    /// Where the log begins.
    pub fn first_place(&self) -> Place {
        Place::start(self.inner.log.first().get())
    }
}
