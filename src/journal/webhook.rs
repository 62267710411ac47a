//! Records of webhooks: endpoints, how far each has come, and what did not arrive at once.
//!
//! What arrives at the first attempt leaves no record of its own: it is told from the log, and a [`CursorRecord`] says now and then up to where
//! everything has been. Only what failed is recorded event by event ([`DeliveryRecord`]), and with it where its wallet stands ([`LaneRecord`]), since
//! the wallet's later events wait for it while others' do not.
//!
//! An endpoint's secrets stand here as ciphertext only, under a key that is kept outside of the log (`engine::vault`), as customers' personal
//! data do.

use super::Corrupt;
use super::control::{Blob, Sealed};
use crate::catalog::Metadata;
use crate::ledger::Timestamp;
use serde::{Deserialize, Serialize};

/// Something of webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookRecord {
    /// An endpoint was made or changed.
    Endpoint(Box<EndpointRecord>),
    /// An endpoint has come so far.
    Cursor(CursorRecord),
    /// A wallet has fallen behind its endpoint, or caught up with it.
    Lane(LaneRecord),
    /// An event did not arrive, or arrived after it had not.
    Delivery(Box<DeliveryRecord>),
}

/// An endpoint: all of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Its id, `we_` and 16 hexadecimal digits.
    pub id: String,
    /// Where it is.
    pub url: String,
    /// Types of events that it wants: whole names, prefixes such as `hold.*`, or `*`.
    pub events: Vec<String>,
    /// Only events of this customer.
    pub customer: Option<String>,
    /// Only events of this currency.
    pub currency: Option<String>,
    /// For people.
    pub description: String,
    /// The caller's own data.
    pub metadata: Metadata,
    /// Why nothing is sent to it, if nothing is.
    pub disabled: Option<DisabledReason>,
    /// It is gone for good.
    pub deleted: bool,
    /// What messages are signed with, the newest first.
    pub secrets: Vec<SecretRecord>,
    /// Keys of secrets that are to be destroyed, or have been.
    pub destroyed: Vec<[u8; 16]>,
    /// What this record is about.
    pub change: EndpointChange,
    /// Where it begins: with the first record at or behind this place.
    pub from: Place,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was enabled last.
    pub enabled_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// A secret, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// Its bytes, under a key of the vault, bound to the endpoint's id.
    pub sealed: Sealed,
    /// From when on it signs nothing any more; none for the newest.
    pub expires_at: Option<Timestamp>,
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DisabledReason {
    /// An operator disabled it.
    Operator = 1,
    /// It answered 410.
    Gone = 2,
    /// Nothing had arrived for too long.
    Failing = 3,
}

impl DisabledReason {
    const ALL: [Self; 3] = [DisabledReason::Operator, DisabledReason::Gone, DisabledReason::Failing];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            DisabledReason::Operator => "operator",
            DisabledReason::Gone => "gone",
            DisabledReason::Failing => "failing",
        }
    }
}

/// What became of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndpointChange {
    /// It was made.
    Created = 1,
    /// Something of it was changed.
    Updated = 2,
    /// It was disabled.
    Disabled = 3,
    /// It was enabled again.
    Enabled = 4,
    /// It was given another secret.
    Rotated = 5,
    /// It was deleted.
    Deleted = 6,
    /// A test event was asked for.
    Tested = 7,
    /// Events had left the log before it was told of them.
    Skipped = 8,
}

impl EndpointChange {
    const ALL: [Self; 8] = [
        EndpointChange::Created,
        EndpointChange::Updated,
        EndpointChange::Disabled,
        EndpointChange::Enabled,
        EndpointChange::Rotated,
        EndpointChange::Deleted,
        EndpointChange::Tested,
        EndpointChange::Skipped,
    ];
}

/// A place in the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The record, or where the next one will be.
    pub lsn: u64,
    /// The event among those of the record.
    pub index: u16,
    /// The frame that the record stands in: where reading has to begin.
    pub frame: u64,
}

impl Place {
    /// The start of whatever frame begins at `lsn` or behind.
    pub const fn start(lsn: u64) -> Self {
        Place { lsn, index: 0, frame: lsn }
    }

    /// Behind the event here.
    #[must_use]
    pub const fn next(self) -> Self {
        Place { index: self.index + 1, ..self }
    }
}

/// An endpoint has come so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRecord {
    /// The endpoint.
    pub endpoint: String,
    /// Everything before has arrived or was given up, save in lanes.
    pub at: Place,
    /// Since when nothing has arrived though it was tried, ms since the Unix epoch.
    pub failing_since_ms: Option<u64>,
}

/// Whose events keep their order among each other: a wallet's, a customer's, or those of nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneKey {
    /// The customer; empty where there is none.
    pub customer: String,
    /// The currency's id; empty where there is none.
    pub currency: String,
}

/// A wallet has fallen behind its endpoint, or caught up with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRecord {
    /// The endpoint.
    pub endpoint: String,
    /// The wallet.
    pub lane: LaneKey,
    /// The first of its events that has not arrived and was not given up; none when it has caught up.
    pub at: Option<Place>,
}

/// What became of an event that did not arrive at the first attempt, or that was sent again on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The endpoint.
    pub endpoint: String,
    /// The event's place.
    pub at: Place,
    /// The event's identity.
    pub event: String,
    /// The event's type.
    pub kind: String,
    /// Whose it is.
    pub lane: LaneKey,
    /// Where it stands.
    pub state: DeliveryState,
    /// Asked for by an operator: it goes beside its wallet's order.
    pub manual: bool,
    /// Attempts that failed since it was begun or asked for.
    pub failed: u32,
    /// The latest attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When this was recorded.
    pub updated_at: Timestamp,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried again at this time.
    Retrying(Timestamp),
    /// It arrived.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Retrying(_) => "retrying",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        }
    }
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// When it ended, ms since the Unix epoch.
    pub at_ms: u64,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The class of the error, if there was none.
    pub error: Option<String>,
    /// How long it took, ms.
    pub latency_ms: u32,
    /// The beginning of the answer's body.
    pub excerpt: String,
}

/// What tells one thing of webhooks from another.
impl WebhookRecord {
    /// The endpoint that it is about.
    pub fn endpoint(&self) -> &str {
        match self {
            WebhookRecord::Endpoint(record) => &record.id,
            WebhookRecord::Cursor(record) => &record.endpoint,
            WebhookRecord::Lane(record) => &record.endpoint,
            WebhookRecord::Delivery(record) => &record.endpoint,
        }
    }
}

/// A key's id, a nonce and ciphertext, and when the secret ends.
type WireSecret = (Blob, Blob, Blob, Option<u64>);

#[derive(Serialize, Deserialize)]
pub(super) struct WireEndpoint {
    id: String,
    url: String,
    events: Vec<String>,
    customer: Option<String>,
    currency: Option<String>,
    description: String,
    metadata: Metadata,
    disabled: u8,
    deleted: bool,
    secrets: Vec<WireSecret>,
    destroyed: Vec<Blob>,
    change: u8,
    from: Place,
    created_at: u64,
    enabled_at: u64,
    updated_at: u64,
}

impl From<&EndpointRecord> for WireEndpoint {
    fn from(endpoint: &EndpointRecord) -> Self {
        let blob = |bytes: &[u8]| Blob(bytes.to_vec());
        let secret = |secret: &SecretRecord| {
            let Sealed { key, nonce, bytes } = &secret.sealed;
            (blob(key), blob(nonce), blob(bytes), secret.expires_at.map(Timestamp::millis))
        };
        WireEndpoint {
            id: endpoint.id.clone(),
            url: endpoint.url.clone(),
            events: endpoint.events.clone(),
            customer: endpoint.customer.clone(),
            currency: endpoint.currency.clone(),
            description: endpoint.description.clone(),
            metadata: endpoint.metadata.clone(),
            disabled: endpoint.disabled.map_or(0, |reason| reason as u8),
            deleted: endpoint.deleted,
            secrets: endpoint.secrets.iter().map(secret).collect(),
            destroyed: endpoint.destroyed.iter().map(|key| blob(key)).collect(),
            change: endpoint.change as u8,
            from: endpoint.from,
            created_at: endpoint.created_at.millis(),
            enabled_at: endpoint.enabled_at.millis(),
            updated_at: endpoint.updated_at.millis(),
        }
    }
}

impl TryFrom<WireEndpoint> for EndpointRecord {
    type Error = Corrupt;

    fn try_from(wire: WireEndpoint) -> Result<Self, Corrupt> {
        let secret = |(key, nonce, bytes, expires_at): WireSecret| {
            let sealed = Sealed { key: key.array("key")?, nonce: nonce.array("nonce")?, bytes: bytes.0 };
            Ok::<_, Corrupt>(SecretRecord { sealed, expires_at: expires_at.map(Timestamp::from_millis) })
        };
        let disabled = match wire.disabled {
            0 => None,
            number => {
                let found = DisabledReason::ALL.into_iter().find(|reason| *reason as u8 == number);
                Some(found.ok_or(Corrupt::Malformed("disabled"))?)
            }
        };
        let change = EndpointChange::ALL.into_iter().find(|change| *change as u8 == wire.change);
        Ok(EndpointRecord {
            id: wire.id,
            url: wire.url,
            events: wire.events,
            customer: wire.customer,
            currency: wire.currency,
            description: wire.description,
            metadata: wire.metadata,
            disabled,
            deleted: wire.deleted,
            secrets: wire.secrets.into_iter().map(secret).collect::<Result<_, _>>()?,
            destroyed: wire.destroyed.into_iter().map(|key| key.array("destroyed")).collect::<Result<_, _>>()?,
            change: change.ok_or(Corrupt::Malformed("change"))?,
            from: wire.from,
            created_at: Timestamp::from_millis(wire.created_at),
            enabled_at: Timestamp::from_millis(wire.enabled_at),
            updated_at: Timestamp::from_millis(wire.updated_at),
        })
    }
}

const RETRYING: u8 = 1;
const DELIVERED: u8 = 2;
const FAILED: u8 = 3;

#[derive(Serialize, Deserialize)]
pub(super) struct WireDelivery {
    endpoint: String,
    at: Place,
    event: String,
    kind: String,
    lane: LaneKey,
    state: u8,
    next_at: u64,
    manual: bool,
    failed: u32,
    attempts: Vec<AttemptRecord>,
    created_at: u64,
    updated_at: u64,
}

impl From<&DeliveryRecord> for WireDelivery {
    fn from(delivery: &DeliveryRecord) -> Self {
        let (state, next_at) = match delivery.state {
            DeliveryState::Retrying(at) => (RETRYING, at.millis()),
            DeliveryState::Delivered => (DELIVERED, 0),
            DeliveryState::Failed => (FAILED, 0),
        };
        WireDelivery {
            endpoint: delivery.endpoint.clone(),
            at: delivery.at,
            event: delivery.event.clone(),
            kind: delivery.kind.clone(),
            lane: delivery.lane.clone(),
            state,
            next_at,
            manual: delivery.manual,
            failed: delivery.failed,
            attempts: delivery.attempts.clone(),
            created_at: delivery.created_at.millis(),
            updated_at: delivery.updated_at.millis(),
        }
    }
}

impl TryFrom<WireDelivery> for DeliveryRecord {
    type Error = Corrupt;

    fn try_from(wire: WireDelivery) -> Result<Self, Corrupt> {
        Ok(DeliveryRecord {
            endpoint: wire.endpoint,
            at: wire.at,
            event: wire.event,
            kind: wire.kind,
            lane: wire.lane,
            state: match wire.state {
                RETRYING => DeliveryState::Retrying(Timestamp::from_millis(wire.next_at)),
                DELIVERED => DeliveryState::Delivered,
                FAILED => DeliveryState::Failed,
                _ => return Err(Corrupt::Malformed("state")),
            },
            manual: wire.manual,
            failed: wire.failed,
            attempts: wire.attempts,
            created_at: Timestamp::from_millis(wire.created_at),
            updated_at: Timestamp::from_millis(wire.updated_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, admin_survives, hex, placed_admin};
    use super::*;
    use crate::journal::admin::AdminRecord;

    fn endpoint() -> EndpointRecord {
        let text = |text: &str| text.to_owned();
        EndpointRecord {
            id: text("we_0123456789abcdef"),
            url: text("https://example.com/hooks"),
            events: vec![text("hold.*")],
            customer: Some(text("cus_1")),
            currency: None,
            description: text("d"),
            metadata: Metadata::from([(text("team"), text("a"))]),
            disabled: Some(DisabledReason::Gone),
            deleted: false,
            secrets: vec![SecretRecord {
                sealed: Sealed { key: [3; 16], nonce: [4; 12], bytes: vec![5; 4] },
                expires_at: Some(NOW),
            }],
            destroyed: vec![[6; 16]],
            change: EndpointChange::Disabled,
            from: Place { lsn: 4_120, index: 0, frame: 4_096 },
            created_at: NOW,
            enabled_at: NOW,
            updated_at: NOW,
        }
    }

    fn records() -> Vec<(WebhookRecord, &'static str)> {
        let text = |text: &str| text.to_owned();
        let (lane, at) = (
            LaneKey { customer: text("cus_1"), currency: text("credits") },
            Place { lsn: 4_120, index: 2, frame: 4_096 },
        );
        let delivery = DeliveryRecord {
            endpoint: text("we_1"),
            at,
            event: text("evt_4120-2"),
            kind: text("hold.created"),
            lane: lane.clone(),
            state: DeliveryState::Retrying(NOW),
            manual: true,
            failed: 3,
            attempts: vec![AttemptRecord {
                at_ms: NOW.millis(),
                status: Some(503),
                error: None,
                latency_ms: 12,
                excerpt: text("no"),
            }],
            created_at: NOW,
            updated_at: NOW,
        };
        vec![
            (WebhookRecord::Endpoint(Box::new(endpoint())), GOLDEN_ENDPOINT),
            (
                WebhookRecord::Cursor(CursorRecord { endpoint: text("we_1"), at, failing_since_ms: Some(7) }),
                GOLDEN_CURSOR,
            ),
            (WebhookRecord::Lane(LaneRecord { endpoint: text("we_1"), lane, at: Some(at) }), GOLDEN_LANE),
            (WebhookRecord::Delivery(Box::new(delivery)), GOLDEN_DELIVERY),
        ]
    }

    #[test]
    fn records_of_webhooks_survive_and_their_bytes_are_pinned() {
        let (mut written, mut goldens) = (Vec::new(), Vec::new());
        for (record, golden) in records() {
            let record = AdminRecord::Webhook(record);
            admin_survives(&record);
            written.push(hex(&placed_admin(&record)));
            goldens.push(golden);
        }
        assert_eq!(written, goldens);
        let mut other = endpoint();
        (other.disabled, other.deleted, other.secrets) = (None, true, Vec::new());
        for change in EndpointChange::ALL {
            other.change = change;
            admin_survives(&AdminRecord::Webhook(WebhookRecord::Endpoint(Box::new(other.clone()))));
        }
        for reason in DisabledReason::ALL {
            other.disabled = Some(reason);
            admin_survives(&AdminRecord::Webhook(WebhookRecord::Endpoint(Box::new(other.clone()))));
        }
        for state in [DeliveryState::Delivered, DeliveryState::Failed] {
            let Some((WebhookRecord::Delivery(mut delivery), _)) = records().pop() else { unreachable!("the last") };
            delivery.state = state;
            admin_survives(&AdminRecord::Webhook(WebhookRecord::Delivery(delivery)));
        }
    }

    const GOLDEN_ENDPOINT: &str = "\
        64bd00000900000001dc0010b377655f30313233343536373839616263646566b968747470733a2f2f6578616d706c652e63\
        6f6d2f686f6f6b7391a6686f6c642e2aa56375735f31c0a16481a47465616da16102c29194c4100303030303030303030303\
        0303030303c40c040404040404040404040404c40405050505cf000001a3185c500091c41006060606060606060606060606\
        0606060393cd101800cd1000cf000001a3185c5000cf000001a3185c5000cf000001a3185c5000";
    const GOLDEN_CURSOR: &str = "65180000090000000193a477655f3193cd101802cd100007";
    const GOLDEN_LANE: &str = "66260000090000000193a477655f3192a56375735f31a76372656469747393cd101802cd1000";
    const GOLDEN_DELIVERY: &str = "\
        676f000009000000019ca477655f3193cd101802cd1000aa6576745f343132302d32ac686f6c642e6372656174656492a563\
        75735f31a76372656469747301cf000001a3185c5000c3039195cf000001a3185c5000cd01f7c00ca26e6fcf000001a3185c\
        5000cf000001a3185c5000";
}
