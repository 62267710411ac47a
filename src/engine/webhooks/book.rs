//! What the log says of webhooks, folded: the same in a running engine, in a replay and in a snapshot.

use crate::journal::webhook::{
    CursorRecord, DeliveryRecord, DeliveryState, EndpointRecord, LaneKey, LaneRecord, Place, WebhookRecord,
};
use crate::ledger::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Deliveries of an endpoint that are kept after they came to an end, the latest.
pub(in crate::engine) const SETTLED_KEPT: usize = 200;

/// A delivery among those of an endpoint: the record that told the event, and the event's index.
pub(super) type DeliveryKey = (u64, u16);

/// All endpoints.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Book(BTreeMap<String, Entry>);

/// An endpoint and what there is of it. Of a deleted one only the record is left.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) endpoint: Arc<EndpointRecord>,
    pub(super) cursor: Place,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) lanes: BTreeMap<LaneKey, Place>,
    pub(super) deliveries: BTreeMap<DeliveryKey, Arc<DeliveryRecord>>,
}

impl Entry {
    /// The first place that is still needed.
    pub(super) fn needed(&self) -> Place {
        self.lanes.values().copied().fold(self.cursor, Place::min)
    }

    fn enter_delivery(&mut self, delivery: DeliveryRecord) {
        self.deliveries.insert((delivery.at.lsn, delivery.at.index), Arc::new(delivery));
        let settled = |delivery: &DeliveryRecord| !matches!(delivery.state, DeliveryState::Retrying(_));
        let mut ends: Vec<_> = self
            .deliveries
            .iter()
            .filter(|(_, delivery)| settled(delivery))
            .map(|(key, delivery)| (delivery.updated_at, *key))
            .collect();
        if ends.len() > SETTLED_KEPT {
            ends.sort_unstable();
            for (_, key) in &ends[..ends.len() - SETTLED_KEPT] {
                self.deliveries.remove(key);
            }
        }
    }
}

impl Book {
    /// Enters a record. What is about an endpoint that is not there, or not any more, is about nothing.
    pub(in crate::engine) fn enter(&mut self, record: WebhookRecord) {
        if let WebhookRecord::Endpoint(record) = record {
            self.enter_endpoint(*record);
            return;
        }
        let Some(entry) = self.0.get_mut(record.endpoint()).filter(|entry| !entry.endpoint.deleted) else { return };
        match record {
            WebhookRecord::Endpoint(_) => {}
            WebhookRecord::Cursor(cursor) => {
                entry.cursor = cursor.at;
                entry.failing_since = cursor.failing_since_ms.map(Timestamp::from_millis);
            }
            WebhookRecord::Lane(lane) => match lane.at {
                Some(at) => drop(entry.lanes.insert(lane.lane, at)),
                None => drop(entry.lanes.remove(&lane.lane)),
            },
            WebhookRecord::Delivery(delivery) => entry.enter_delivery(*delivery),
        }
    }

    fn enter_endpoint(&mut self, record: EndpointRecord) {
        let (from, deleted) = (record.from, record.deleted);
        let endpoint = Arc::new(record);
        let entry = self.0.entry(endpoint.id.clone()).or_insert_with(|| Entry {
            endpoint: Arc::clone(&endpoint),
            cursor: from,
            failing_since: None,
            lanes: BTreeMap::new(),
            deliveries: BTreeMap::new(),
        });
        if deleted {
            (entry.lanes, entry.deliveries) = (BTreeMap::new(), BTreeMap::new());
            (entry.cursor, entry.failing_since) = (from, None);
        }
        entry.endpoint = endpoint;
    }

    /// An endpoint that was not deleted.
    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.0.get(id).filter(|entry| !entry.endpoint.deleted)
    }

    /// Whether the id was ever given.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Those that were not deleted, by id.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().filter(|entry| !entry.endpoint.deleted)
    }

    /// Those that were deleted.
    pub(super) fn deleted(&self) -> impl Iterator<Item = &EndpointRecord> {
        self.0.values().map(|entry| &*entry.endpoint).filter(|endpoint| endpoint.deleted)
    }

    /// All of it as records, which give the same book again.
    pub(in crate::engine) fn records(&self) -> Vec<WebhookRecord> {
        let mut records = Vec::new();
        for (id, entry) in &self.0 {
            records.push(WebhookRecord::Endpoint(Box::new((*entry.endpoint).clone())));
            if entry.endpoint.deleted {
                continue;
            }
            records.push(WebhookRecord::Cursor(CursorRecord {
                endpoint: id.clone(),
                at: entry.cursor,
                failing_since_ms: entry.failing_since.map(Timestamp::millis),
            }));
            let lane = |(lane, at): (&LaneKey, &Place)| {
                WebhookRecord::Lane(LaneRecord { endpoint: id.clone(), lane: lane.clone(), at: Some(*at) })
            };
            records.extend(entry.lanes.iter().map(lane));
            let deliveries = entry.deliveries.values();
            records.extend(deliveries.map(|delivery| WebhookRecord::Delivery(Box::new((**delivery).clone()))));
        }
        records
    }
}
