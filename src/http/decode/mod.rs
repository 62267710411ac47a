//! Bodies of usage events -> [`UsageEvent`]s that borrow from the body.
//!
//! What a body can get wrong is split in two. *Structural* faults (syntax, truncation, a field of the wrong type, no `id` or `customer`,
//! both or neither of `amount` and `meter`) refuse the whole request and name the event's index, the field and the byte: nothing of it
//! reaches the engine. *Values* that are merely unusable (`"NaN"`, `1e400`, an id of 200 bytes, a time of last year) travel into the
//! engine, which rejects that event and goes on with the rest.
//!
//! Rules that every content type follows:
//! 1. Amounts and quantities are read from their text or integer, never through a float; a MessagePack float is a fault.
//! 2. A known field given twice is a fault, since guessing which one was meant would move credit. Unknown fields are ignored.
//! 3. `null` (nil) is the same as absent.
//! 4. Lengths and nesting that the body claims are bounded before they are believed.
//!
//! A JSON object with `events` is a batch with something said about it: `{"atomic": true, "events": [...]}` is a group, of which all is
//! applied or nothing. An empty array is a batch of no events. White space around JSON is allowed, other trailing bytes are not.

mod cloudevents;
mod draft;
mod json;
mod json_events;
mod media;
mod msgpack;
pub(crate) mod time;
mod value;

pub use cloudevents::BinaryHeaders;
pub(crate) use json::Fault;
pub(crate) use media::is_json;
pub use media::{Dialect, Media};
pub(crate) use value::{Node, Value, parse as parse_value};

use crate::engine::{Charge, UsageEvent};
use bumpalo::Bump;
use draft::Draft;
use json::FaultParts;

/// Decoded events, and what is left to check about them.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// The events in the order sent.
    pub events: Vec<UsageEvent<'a>>,
    /// Events that named a meter *and* a currency: the meter's currency must be the stated one.
    pub stated_currencies: Vec<(usize, &'a str)>,
    /// The body was one event rather than a list of events, so its rejection becomes the request's status.
    pub single: bool,
    /// All of the events are to be applied, or none.
    pub atomic: bool,
}

/// Why a body gave no events. Nothing was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body cannot be read at this byte.
    #[error("{what} (byte {at})")]
    Malformed {
        /// The event's place in the batch, where it had begun.
        index: Option<usize>,
        /// Byte offset in the body.
        at: usize,
        /// For people.
        what: &'static str,
    },
    /// The body can be read, but a field of an event cannot be used.
    #[error("{field}: {what}")]
    Field {
        /// The event's place in the batch.
        index: usize,
        /// The field, as the API names it.
        field: &'static str,
        /// Byte offset in the body.
        at: usize,
        /// For people.
        what: &'static str,
    },
    /// The batch holds more events than the server takes at once.
    #[error("the batch holds more than {limit} events")]
    TooMany {
        /// The most that it takes.
        limit: usize,
    },
}

impl DecodeError {
    #[cold]
    fn new(fault: &Fault, index: Option<usize>) -> Self {
        let FaultParts { at, field, what } = fault.parts();
        match field {
            Some(field) => Self::Field { index: index.unwrap_or(0), field, at, what },
            None => Self::Malformed { index, at, what },
        }
    }
}

/// Collects events one by one, counting them against the limit.
struct Collector<'b, 'a> {
    batch: &'b mut Batch<'a>,
    limit: usize,
}

impl<'a> Collector<'_, 'a> {
    /// Reads the next event by `read`; a fault gets the event's index.
    #[inline]
    fn event(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), DecodeError> {
        let index = self.batch.events.len();
        if index >= self.limit {
            return Err(DecodeError::TooMany { limit: self.limit });
        }
        read(self).map_err(|fault| DecodeError::new(&fault, Some(index)))
    }

    /// Takes an event whose fields are all there; `at` is where it began.
    #[inline]
    fn push(&mut self, draft: &Draft<'a>, at: usize) -> Result<(), Fault> {
        let event = draft.finish(at)?;
        if let (Charge::Metered { .. }, Some(currency)) = (&event.charge, draft.currency) {
            self.batch.stated_currencies.push((self.batch.events.len(), currency));
        }
        self.batch.events.push(event);
        Ok(())
    }
}

/// Decodes `body` as `media` into `batch`, whose vectors keep their capacity from earlier use.
///
/// `headers` are those of the CloudEvents binary mode and otherwise unused; strings with escapes are unescaped into `arena`.
pub fn decode<'a>(
    media: Media,
    headers: &BinaryHeaders<'a>,
    body: &'a [u8],
    arena: &'a Bump,
    limit: usize,
    batch: &mut Batch<'a>,
) -> Result<(), DecodeError> {
    batch.events.clear();
    batch.stated_currencies.clear();
    (batch.single, batch.atomic) = (false, false);
    let mut collector = Collector { batch, limit };
    match media {
        Media::MsgPack => msgpack::decode(body, &mut collector),
        Media::Json(dialect) => json_events::object_or_array(text(body)?, dialect, arena, &mut collector),
        Media::NdJson(dialect) => json_events::lines(text(body)?, dialect, arena, &mut collector),
        Media::CloudEvent => json_events::object(text(body)?, Dialect::CloudEvents, arena, &mut collector),
        Media::CloudEventBatch => json_events::array(text(body)?, Dialect::CloudEvents, arena, &mut collector),
        Media::CloudEventBinary => {
            collector.batch.single = true;
            let text = text(body)?;
            collector.event(|out| cloudevents::binary(*headers, text, arena, out))
        }
    }
}

/// The body as text, or where it stops being UTF-8.
pub(crate) fn text(body: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(body).map_err(|error| DecodeError::Malformed {
        index: None,
        at: error.valid_up_to(),
        what: "the body is not valid UTF-8",
    })
}

#[cfg(test)]
mod tests;
