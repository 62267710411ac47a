//! What was sent to an endpoint, shown and asked for again.

use super::super::Engine;
use super::super::once::{RequestKey, or_gone};
use super::super::ticket::Ticket;
use super::super::view::CommandError;
use super::commands::{disabled, find};
use super::{DeliveryRecord, DeliveryState, LaneKey, WebhookRecord};
use crate::engine::feed::Followed;
use crate::journal::done::Deed;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Deliveries on request that an endpoint has open at once, at most.
const MANUAL_MAX: usize = 1000;

/// Names an event on its way to an endpoint: `dlv_` and what follows `we_` in the endpoint's id, then the event's place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryId {
    /// The endpoint.
    pub endpoint: String,
    /// The record that told the event.
    pub lsn: u64,
    /// The event among those of the record.
    pub index: u16,
}

impl DeliveryId {
    /// The id of a delivery.
    pub fn of(delivery: &DeliveryRecord) -> Self {
        DeliveryId { endpoint: delivery.endpoint.clone(), lsn: delivery.at.lsn, index: delivery.at.index }
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.strip_prefix("we_").unwrap_or(&self.endpoint);
        write!(f, "dlv_{endpoint}_{}-{}", self.lsn, self.index)
    }
}

impl FromStr for DeliveryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (endpoint, place) = text.strip_prefix("dlv_").and_then(|rest| rest.rsplit_once('_')).ok_or(())?;
        let (lsn, index) = place.split_once('-').ok_or(())?;
        let id = DeliveryId {
            endpoint: format!("we_{endpoint}"),
            lsn: lsn.parse().map_err(|_| ())?,
            index: index.parse().map_err(|_| ())?,
        };
        // One name each: no leading zeros, no signs.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// Which deliveries are asked for.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery<'q> {
    /// Those that stand so: `retrying`, `delivered`, `failed`.
    pub state: Option<&'q str>,
    /// Those of events before this place.
    pub before: Option<(u64, u16)>,
    /// So many at the most.
    pub limit: usize,
}

fn unknown() -> CommandError {
    CommandError::NotFound { what: "delivery" }
}

impl Engine {
    /// Deliveries of an endpoint, the latest events first: those that did not arrive at once, as the log has them, and, since the start, the
    /// latest of those that did.
    pub fn webhook_deliveries(
        &self,
        endpoint: &str,
        query: &DeliveryQuery<'_>,
    ) -> Result<Vec<Arc<DeliveryRecord>>, CommandError> {
        let mut all = BTreeMap::new();
        {
            let book = self.inner.webhooks.lock();
            let entry = find(&book, endpoint)?;
            let arrived = self.inner.webhooks.arrived();
            let arrived = arrived.get(endpoint).into_iter().flatten();
            all.extend(arrived.map(|delivery| ((delivery.at.lsn, delivery.at.index), Arc::clone(delivery))));
            all.extend(entry.deliveries.iter().map(|(key, delivery)| (*key, Arc::clone(delivery))));
        }
        let wanted = |(key, delivery): &((u64, u16), Arc<DeliveryRecord>)| {
            query.before.is_none_or(|before| *key < before)
                && query.state.is_none_or(|state| delivery.state.as_str() == state)
        };
        Ok(all.into_iter().rev().filter(wanted).take(query.limit).map(|(_, delivery)| delivery).collect())
    }

    /// A delivery and its event, unless the event has been retired. No record of it: it arrived at the first attempt some time ago, is still to come, or
    /// was never meant for the endpoint.
    pub fn webhook_delivery(
        &self,
        id: &DeliveryId,
    ) -> Result<(Option<Arc<DeliveryRecord>>, Option<Followed>), CommandError> {
        let key = (id.lsn, id.index);
        let delivery = {
            let book = self.inner.webhooks.lock();
            let entry = find(&book, &id.endpoint).map_err(|_| unknown())?;
            let arrived = self.inner.webhooks.arrived();
            let arrived = arrived.get(&id.endpoint).into_iter().flatten();
            let arrived = arrived.into_iter().rev().find(|delivery| (delivery.at.lsn, delivery.at.index) == key);
            entry.deliveries.get(&key).or(arrived).cloned()
        };
        let event = match self.feed_event(id.lsn, id.index) {
            Err(CommandError::Retired { .. }) if delivery.is_some() => None,
            event => event?,
        };
        if delivery.is_none() && event.is_none() {
            return Err(unknown());
        }
        Ok((delivery, event))
    }

    /// Sends an event to an endpoint again, under the same identity, as soon as may be. One that is being retried is retried at once and keeps its
    /// place in its wallet's order; any other goes beside it. What the endpoint is not for, by customer or currency, is not sent to it.
    pub fn redeliver(&self, id: &DeliveryId) -> Result<(Arc<DeliveryRecord>, Ticket), CommandError> {
        self.redeliver_once(id, None)
    }

    /// The same, once under a request's key.
    pub fn redeliver_once(
        &self,
        id: &DeliveryId,
        once: Option<RequestKey>,
    ) -> Result<(Arc<DeliveryRecord>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        if self.was_done(once, Deed::Redelivered)?.is_some() {
            let shown = self.webhook_delivery(id).and_then(|(delivery, _)| delivery.ok_or_else(unknown));
            return Ok((or_gone(shown)?, self.barrier()));
        }
        // Looked up first: reading the log is not for holders of the lock.
        let (shown, event) = self.webhook_delivery(id)?;
        let mut book = inner.webhooks.lock();
        let entry = find(&book, &id.endpoint).map_err(|_| unknown())?;
        if entry.endpoint.disabled.is_some() {
            return Err(disabled());
        }
        let now = inner.now();
        let key = (id.lsn, id.index);
        let record = match entry.deliveries.get(&key).map(|delivery| &**delivery) {
            Some(retrying) if matches!(retrying.state, DeliveryState::Retrying(_)) => {
                DeliveryRecord { state: DeliveryState::Retrying(now), updated_at: now, ..retrying.clone() }
            }
            _ => {
                let Followed { at, event } = event.ok_or_else(|| inner.retired())?;
                if !entry.endpoint.is_for(&event) {
                    return Err(unknown());
                }
                let open = entry.deliveries.values();
                let open = open.filter(|one| one.manual && matches!(one.state, DeliveryState::Retrying(_))).count();
                if open >= MANUAL_MAX {
                    let detail = format!("an endpoint has at most {MANUAL_MAX} deliveries on request open at once");
                    return Err(CommandError::Conflict { slug: "too_many", detail });
                }
                DeliveryRecord {
                    endpoint: id.endpoint.clone(),
                    at,
                    lane: LaneKey::of(&event),
                    event: event.id,
                    kind: event.kind.to_owned(),
                    state: DeliveryState::Retrying(now),
                    manual: true,
                    failed: 0,
                    attempts: shown.as_ref().map_or_else(Vec::new, |shown| shown.attempts.clone()),
                    created_at: shown.as_ref().map_or(now, |shown| shown.created_at),
                    updated_at: now,
                }
            }
        };
        let done = once.map(|once| once.done(Deed::Redelivered, id.to_string()));
        inner.put_webhook_done(&mut book, WebhookRecord::Delivery(Box::new(record.clone())), done)?;
        inner.webhooks.changed();
        Ok((Arc::new(record), self.barrier()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_deliveries_are_read_back_and_have_one_form() {
        let id = DeliveryId { endpoint: "we_0123456789abcdef".to_owned(), lsn: 4_120, index: 2 };
        assert_eq!(id.to_string(), "dlv_0123456789abcdef_4120-2");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in
            ["", "dlv_", "dlv_a", "dlv_a_1", "dlv_a_01-0", "dlv_a_1-+0", "dlv_a_1-65536", "evt_a_1-0", "dlv_a_1-0 "]
        {
            assert_eq!(bad.parse::<DeliveryId>(), Err(()), "{bad}");
        }
    }
}
