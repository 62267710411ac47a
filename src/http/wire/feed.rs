//! The feed of what happened.

use super::instant;
use crate::engine::view::{FeedEvent, FeedPage, FeedValue};
use serde::Serialize;
use serde_json::{Map, Value};

/// A page of the feed.
#[derive(Debug, Serialize)]
pub(crate) struct FeedBody {
    data: Vec<FeedItem>,
    /// Give it back as `after`.
    next_cursor: String,
    at_end: bool,
}

#[derive(Debug, Serialize)]
struct FeedItem {
    id: String,
    lsn: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    time: String,
    customer: Option<String>,
    currency: Option<String>,
    data: Map<String, Value>,
}

impl FeedBody {
    pub(crate) fn of(page: FeedPage) -> Self {
        FeedBody {
            next_cursor: page.next.get().to_string(),
            at_end: page.at_end,
            data: page.events.into_iter().map(FeedItem::of).collect(),
        }
    }
}

/// A webhook's body.
#[derive(Debug, Serialize)]
struct MessageBody {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: FeedItem,
}

/// An event as the body of a webhook: its identity, type and time, and in `data` the event as the feed shows it.
pub fn webhook_body(event: &FeedEvent) -> Vec<u8> {
    let (id, timestamp) = (event.id.clone(), instant(event.time));
    let body = MessageBody { id, kind: event.kind, timestamp, data: FeedItem::of(event.clone()) };
    serde_json::to_vec(&body).expect("wire types have text keys and no fallible parts")
}

/// An event as the feed shows it.
pub(crate) fn event_value(event: FeedEvent) -> Value {
    serde_json::to_value(FeedItem::of(event)).expect("wire types have text keys and no fallible parts")
}

impl FeedItem {
    fn of(event: FeedEvent) -> Self {
        let value = |value| match value {
            FeedValue::Text(text) => Value::from(text),
            FeedValue::Number(number) => Value::from(number),
            FeedValue::Time(time) => Value::from(instant(time)),
        };
        FeedItem {
            id: event.id,
            lsn: event.lsn.get(),
            kind: event.kind,
            time: instant(event.time),
            customer: event.customer,
            currency: event.currency.map(|currency| currency.id.clone()),
            data: event.data.into_iter().map(|(name, field)| (name.to_owned(), value(field))).collect(),
        }
    }
}
