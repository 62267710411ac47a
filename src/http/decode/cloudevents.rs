//! CloudEvents 1.0 as usage: `type` is the meter, `subject` the customer, `source` the sender, `data` holds the quantity.
//!
//! `data` is an object with either `value` (the meter's quantity, as OpenMeter's collectors send it) or `amount` and `currency`.
//! Extension attributes are ignored, whatever their type.

use super::draft::{self, Draft};
use super::json::{Fault, Kind, Reader};
use super::json_events::{instant, number, text};
use super::{Collector, media, time};
use bumpalo::Bump;
use hyper::header::HeaderMap;
use std::borrow::Cow;

/// The attributes of a CloudEvent in binary mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct BinaryHeaders<'a>(Option<&'a HeaderMap>);

impl<'a> BinaryHeaders<'a> {
    /// The attributes carried by these headers.
    pub const fn new(headers: &'a HeaderMap) -> Self {
        Self(Some(headers))
    }

    /// One attribute, percent-decoded as the HTTP binding asks.
    fn get(self, name: &'static str, field: &'static str, arena: &'a Bump) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.0.and_then(|headers| headers.get(name)) else { return Ok(None) };
        match crate::http::percent::decode(value.as_bytes()) {
            Some(Cow::Borrowed(text)) => Ok(Some(text)),
            Some(Cow::Owned(text)) => Ok(Some(arena.alloc_str(&text))),
            None => Err(Fault::field(0, field, "the header is not percent-encoded UTF-8")),
        }
    }
}

/// The parts that both modes share, and where the data begins in structured mode.
#[derive(Default)]
struct Attributes<'a> {
    draft: Draft<'a>,
    version: Option<&'a str>,
    content_type: Option<&'a str>,
    has_data: bool,
}

/// Reads a structured CloudEvent, whose object begins where the reader stands.
pub(super) fn structured<'a>(reader: &mut Reader<'a>, out: &mut Collector<'_, 'a>) -> Result<(), Fault> {
    let start = reader.at();
    let mut event = Attributes::default();
    let mut first = true;
    reader.open()?;
    while let Some(key) = reader.next_key(&mut first)? {
        reader.token();
        let at = reader.at();
        let draft = &mut event.draft;
        match key {
            "id" => draft::set(&mut draft.id, text(reader, "id")?, at, "id")?,
            "source" => draft::set(&mut draft.source, text(reader, "source")?, at, "source")?,
            "subject" => draft::set(&mut draft.customer, text(reader, "subject")?, at, "subject")?,
            "type" => draft::set(&mut draft.meter, text(reader, "type")?, at, "type")?,
            "time" => draft::set(&mut draft.time, instant(reader)?, at, "time")?,
            "specversion" => draft::set(&mut event.version, text(reader, "specversion")?, at, "specversion")?,
            "datacontenttype" => {
                draft::set(&mut event.content_type, text(reader, "datacontenttype")?, at, "datacontenttype")?;
            }
            "data" => {
                if event.has_data {
                    return Err(Fault::field(at, "data", "the field is given twice"));
                }
                data(reader, draft)?;
                event.has_data = true;
            }
            "data_base64" => return Err(Fault::field(at, "data_base64", "the data must be a JSON object in `data`")),
            _ => reader.skip_value()?,
        }
    }
    event.finish(start)?;
    out.push(&event.draft, start)
}

/// Reads a CloudEvent whose attributes are headers and whose data is the body.
pub(super) fn binary<'a>(
    headers: BinaryHeaders<'a>,
    body: &'a str,
    arena: &'a Bump,
    out: &mut Collector<'_, 'a>,
) -> Result<(), Fault> {
    let mut event = Attributes {
        version: headers.get("ce-specversion", "specversion", arena)?,
        draft: Draft {
            id: headers.get("ce-id", "id", arena)?,
            source: headers.get("ce-source", "source", arena)?,
            meter: headers.get("ce-type", "type", arena)?,
            customer: headers.get("ce-subject", "subject", arena)?,
            ..Draft::default()
        },
        has_data: true,
        content_type: None,
    };
    if let Some(text) = headers.get("ce-time", "time", arena)? {
        let Some(time) = time::parse(text) else {
            return Err(Fault::field(0, "time", "must be an RFC 3339 time such as 2026-11-22T09:00:00Z"));
        };
        event.draft.time = Some(time);
    }
    let mut reader = Reader::new(body, arena);
    data(&mut reader, &mut event.draft)?;
    reader.finish()?;
    event.finish(0)?;
    out.push(&event.draft, 0)
}

/// Reads the data object.
fn data<'a>(reader: &mut Reader<'a>, draft: &mut Draft<'a>) -> Result<(), Fault> {
    if reader.peek()? != Kind::Object {
        return Err(Fault::field(reader.at(), "data", "must be a JSON object"));
    }
    let mut first = true;
    reader.open()?;
    while let Some(key) = reader.next_key(&mut first)? {
        reader.token();
        let at = reader.at();
        match key {
            "value" => draft::set(&mut draft.quantity, number(reader, "data.value")?, at, "data.value")?,
            "amount" => draft::set(&mut draft.amount, number(reader, "data.amount")?, at, "data.amount")?,
            "currency" => draft::set(&mut draft.currency, text(reader, "data.currency")?, at, "data.currency")?,
            _ => reader.skip_value()?,
        }
    }
    Ok(())
}

impl Attributes<'_> {
    /// Makes the draft whole, if the attributes allow it; `at` is where the event began.
    fn finish(&mut self, at: usize) -> Result<(), Fault> {
        let missing = |field, what| Fault::field(at, field, what);
        match self.version {
            Some("1.0") => {}
            Some(_) => return Err(missing("specversion", "must be 1.0")),
            None => return Err(missing("specversion", "the CloudEvent has no specversion")),
        }
        if self.content_type.is_some_and(|full| !is_json(full)) {
            return Err(missing("datacontenttype", "must be application/json"));
        }
        let draft = &mut self.draft;
        if draft.id.is_none() {
            return Err(missing("id", "the CloudEvent has no id"));
        }
        if draft.source.is_none_or(str::is_empty) {
            return Err(missing("source", "the CloudEvent has no source"));
        }
        if draft.customer.is_none() {
            return Err(missing("subject", "the CloudEvent has no subject, which names the customer"));
        }
        if draft.meter.is_none_or(str::is_empty) {
            return Err(missing("type", "the CloudEvent has no type"));
        }
        match (&draft.amount, &draft.quantity) {
            _ if !self.has_data => return Err(missing("data", "the CloudEvent has no data")),
            (Some(_), None) => draft.meter = None,
            (None, Some(_)) => {}
            (Some(_), Some(_)) => return Err(missing("data", "has either a value or an amount, not both")),
            (None, None) => return Err(missing("data.value", "the data has neither a value nor an amount")),
        }
        Ok(())
    }
}

fn is_json(full: &str) -> bool {
    full == "application/json" || is_some_json(full)
}

#[cold]
fn is_some_json(full: &str) -> bool {
    media::json_name(full).is_some_and(|name| {
        let suffix = name.get(name.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"));
        name.eq_ignore_ascii_case("application/json") || name.eq_ignore_ascii_case("text/json") || suffix
    })
}
