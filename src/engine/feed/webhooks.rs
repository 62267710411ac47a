//! What the feed tells of webhook endpoints: what their owners have to know, and test events.

use super::super::view::{FeedEvent, FeedValue};
use super::Page;
use crate::journal::webhook::{EndpointChange, EndpointRecord};
use crate::ledger::Timestamp;
use drawdown_wal::Lsn;

/// The type of the event that an endpoint is tried with; it goes to that endpoint and to no other.
pub(in crate::engine) const TEST: &str = "webhook_endpoint.test";

impl Page<'_> {
    pub(super) fn endpoint(&mut self, lsn: Lsn, time: Timestamp, endpoint: &EndpointRecord) {
        let kind = match endpoint.change {
            EndpointChange::Disabled => "webhook_endpoint.disabled",
            EndpointChange::Enabled => "webhook_endpoint.enabled",
            EndpointChange::Skipped => "webhook_endpoint.events_skipped",
            EndpointChange::Tested => TEST,
            EndpointChange::Created | EndpointChange::Updated | EndpointChange::Rotated | EndpointChange::Deleted => {
                return;
            }
        };
        if self.kinds.is_some_and(|kinds| !kinds.contains(&kind)) {
            return;
        }
        let mut data = vec![("endpoint", FeedValue::Text(endpoint.id.clone()))];
        data.extend(endpoint.disabled.map(|reason| ("reason", FeedValue::Text(reason.as_str().to_owned()))));
        self.told.events.push(FeedEvent {
            id: format!("evt_{lsn}-0"),
            lsn,
            index: 0,
            kind,
            time,
            customer: None,
            currency: None,
            data,
        });
    }
}
