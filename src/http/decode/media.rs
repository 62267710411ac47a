//! Which form a body of events has, told from its headers.

use hyper::header::{CONTENT_TYPE, HeaderMap};

/// Which events a JSON object may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Our own flat event; an object that carries `specversion` is a CloudEvent all the same.
    Flat,
    /// CloudEvents only.
    CloudEvents,
}

/// The forms that a body of events can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// One JSON object or an array of objects.
    Json(Dialect),
    /// One JSON object a line.
    NdJson(Dialect),
    /// `MessagePack`: one map, or an array of maps or of arrays.
    MsgPack,
    /// One CloudEvent in structured mode.
    CloudEvent,
    /// A JSON array of CloudEvents.
    CloudEventBatch,
    /// One CloudEvent in binary mode: attributes in `ce-` headers, data in the body.
    CloudEventBinary,
}

impl Media {
    /// What `POST /v1/events` takes, for `Accept` and the documentation.
    pub const EVENTS: &str = "application/json, application/x-ndjson, application/msgpack, application/cloudevents+json, \
                              application/cloudevents-batch+json";
    /// What `POST /api/v1/events` takes.
    pub const CLOUD_EVENTS: &str = "application/json, application/cloudevents+json, application/cloudevents-batch+json";

    /// The form that the headers announce, or `None` when the route does not take it.
    ///
    /// `Dialect::CloudEvents` stands for the route of existing OpenMeter clients, whose `application/json` holds CloudEvents.
    pub fn of(headers: &HeaderMap, dialect: Dialect) -> Option<Self> {
        let full = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let name = json_name(full)?;
        if name.eq_ignore_ascii_case("application/json") {
            let binary = headers.contains_key("ce-specversion");
            return Some(if binary { Self::CloudEventBinary } else { Self::Json(dialect) });
        }
        if name.eq_ignore_ascii_case("application/cloudevents+json") {
            return Some(Self::CloudEvent);
        }
        if name.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            return Some(Self::CloudEventBatch);
        }
        if dialect == Dialect::CloudEvents {
            return None;
        }
        match name {
            _ if name.eq_ignore_ascii_case("application/x-ndjson") => Some(Self::NdJson(dialect)),
            _ if name.eq_ignore_ascii_case("application/msgpack") => Some(Self::MsgPack),
            _ if name.eq_ignore_ascii_case("application/x-msgpack") => Some(Self::MsgPack),
            _ => None,
        }
    }
}

/// Whether the headers announce plain JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let name = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(json_name);
    name.is_some_and(|name| name.eq_ignore_ascii_case("application/json"))
}

/// The media type without parameters; `None` when a parameter says another charset than UTF-8.
pub(super) fn json_name(full: &str) -> Option<&str> {
    let mut parts = full.split(';');
    let name = parts.next()?.trim();
    for parameter in parts {
        let Some((key, value)) = parameter.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        if key.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return None;
        }
    }
    Some(name)
}
