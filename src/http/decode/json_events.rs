//! Events written as JSON: one object, an array of them, or one a line.

use super::cloudevents;
use super::draft::{self, Draft, Number};
use super::json::{Fault, Kind, Reader};
use super::media::Dialect;
use super::{Collector, DecodeError, time};
use crate::ledger::{Decimal, Timestamp};
use bumpalo::Bump;

/// A body that is one object or an array of objects.
pub(super) fn object_or_array<'a>(
    text: &'a str,
    dialect: Dialect,
    arena: &'a Bump,
    out: &mut Collector<'_, 'a>,
) -> Result<(), DecodeError> {
    match Reader::new(text, arena).peek() {
        Ok(Kind::Array) => array(text, dialect, arena, out),
        Ok(Kind::Object) if is_wrapped(text, arena) => wrapped(text, dialect, arena, out),
        _ => object(text, dialect, arena, out),
    }
}

/// Whether an object is no event but says something about a list of them: whether it has `events` or `atomic` before any field that an event
/// has. Of a text that cannot be read, no.
fn is_wrapped(text: &str, arena: &Bump) -> bool {
    let mut reader = Reader::new(text, arena);
    let mut first = true;
    if reader.peek().is_err() || reader.open().is_err() {
        return false;
    }
    while let Ok(Some(key)) = reader.next_key(&mut first) {
        match key {
            "events" | "atomic" => return true,
            "id" | "source" | "customer" | "currency" | "amount" | "time" | "meter" | "quantity"
            | "on_insufficient" | "specversion" => return false,
            _ => {}
        }
        reader.token();
        if reader.skip_value().is_err() {
            return false;
        }
    }
    false
}

/// A body that is an object with a list of events.
fn wrapped<'a>(
    text: &'a str,
    dialect: Dialect,
    arena: &'a Bump,
    out: &mut Collector<'_, 'a>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(text, arena);
    let outside = |fault: Fault| DecodeError::new(&fault, None);
    reader.peek().map_err(outside)?;
    let begun = reader.at();
    reader.open().map_err(outside)?;
    let (mut first, mut atomic, mut is_there) = (true, None, false);
    while let Some(key) = reader.next_key(&mut first).map_err(outside)? {
        reader.token();
        let at = reader.at();
        match key {
            "atomic" => {
                let flag = boolean(&mut reader, "atomic").map_err(outside)?;
                draft::set(&mut atomic, flag, at, "atomic").map_err(outside)?;
            }
            "events" if is_there => return Err(outside(Fault::field(at, "events", "the field is given twice"))),
            "events" => {
                is_there = true;
                elements(&mut reader, dialect, out)?;
            }
            _ => reader.skip_value().map_err(outside)?,
        }
    }
    reader.finish().map_err(outside)?;
    if !is_there {
        return Err(outside(Fault::field(begun, "events", "the group has no events")));
    }
    out.batch.atomic = atomic == Some(true);
    Ok(())
}

/// Reads `true` or `false`, or null as `None`.
fn boolean(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<bool>, Fault> {
    let at = reader.at();
    match reader.peek()? {
        Kind::Bool | Kind::Null => reader.literal(),
        _ => Err(Fault::field(at, field, "must be true or false")),
    }
}

/// A body that is one object.
pub(super) fn object<'a>(
    text: &'a str,
    dialect: Dialect,
    arena: &'a Bump,
    out: &mut Collector<'_, 'a>,
) -> Result<(), DecodeError> {
    out.batch.single = true;
    let mut reader = Reader::new(text, arena);
    out.event(|out| event(&mut reader, dialect, out))?;
    reader.finish().map_err(|fault| DecodeError::new(&fault, None))
}

/// A body that is an array of objects.
pub(super) fn array<'a>(
    text: &'a str,
    dialect: Dialect,
    arena: &'a Bump,
    out: &mut Collector<'_, 'a>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(text, arena);
    elements(&mut reader, dialect, out)?;
    reader.finish().map_err(|fault| DecodeError::new(&fault, None))
}

/// Reads an array of events.
#[inline]
fn elements<'a>(reader: &mut Reader<'a>, dialect: Dialect, out: &mut Collector<'_, 'a>) -> Result<(), DecodeError> {
    let outside = |fault: Fault| DecodeError::new(&fault, None);
    if reader.peek().map_err(outside)? != Kind::Array {
        return Err(outside(Fault::syntax(reader.at(), "expected an array of events")));
    }
    reader.open().map_err(outside)?;
    let mut first = true;
    while reader.next_element(&mut first).map_err(|fault| DecodeError::new(&fault, Some(out.batch.events.len())))? {
        out.event(|out| event(reader, dialect, out))?;
    }
    Ok(())
}

/// A body with one object a line; empty lines are passed over.
pub(super) fn lines<'a>(
    text: &'a str,
    dialect: Dialect,
    arena: &'a Bump,
    out: &mut Collector<'_, 'a>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(text, arena);
    while !reader.at_end() {
        out.event(|out| event(&mut reader, dialect, out))?;
        reader.end_line().map_err(|fault| DecodeError::new(&fault, Some(out.batch.events.len() - 1)))?;
    }
    Ok(())
}

/// Reads one event.
#[inline]
fn event<'a>(reader: &mut Reader<'a>, dialect: Dialect, out: &mut Collector<'_, 'a>) -> Result<(), Fault> {
    if reader.peek()? != Kind::Object {
        return Err(Fault::syntax(reader.at(), "expected an event as a JSON object"));
    }
    match dialect {
        Dialect::Flat => flat(reader, out),
        Dialect::CloudEvents => cloudevents::structured(reader, out),
    }
}

/// Reads a flat event; when it turns out to be a CloudEvent, reads it again as one.
#[inline]
fn flat<'a>(reader: &mut Reader<'a>, out: &mut Collector<'_, 'a>) -> Result<(), Fault> {
    let start = reader.at();
    let mut draft = Draft::default();
    let mut first = true;
    reader.open()?;
    while let Some(key) = reader.next_key(&mut first)? {
        reader.token();
        let at = reader.at();
        match key {
            "id" => draft::set(&mut draft.id, text(reader, "id")?, at, "id")?,
            "source" => draft::set(&mut draft.source, text(reader, "source")?, at, "source")?,
            "customer" => draft::set(&mut draft.customer, text(reader, "customer")?, at, "customer")?,
            "currency" => draft::set(&mut draft.currency, text(reader, "currency")?, at, "currency")?,
            "amount" => draft::set(&mut draft.amount, number(reader, "amount")?, at, "amount")?,
            "time" => draft::set(&mut draft.time, instant(reader)?, at, "time")?,
            "meter" => draft::set(&mut draft.meter, text(reader, "meter")?, at, "meter")?,
            "quantity" => draft::set(&mut draft.quantity, number(reader, "quantity")?, at, "quantity")?,
            "on_insufficient" => {
                let policy = text(reader, "on_insufficient")?.map(|name| draft::policy(name, at)).transpose()?;
                draft::set(&mut draft.policy, policy, at, "on_insufficient")?;
            }
            "specversion" => {
                reader.rewind(start);
                return cloudevents::structured(reader, out);
            }
            _ => reader.skip_value()?,
        }
    }
    out.push(&draft, start)
}

/// Reads a string, or null as `None`.
#[inline]
pub(super) fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<Option<&'a str>, Fault> {
    match reader.token() {
        b'"' => reader.text().map(Some),
        _ => null(reader, field, "must be a string").map(|()| None),
    }
}

/// Reads an exact number, given as a string or as a JSON number, or null as `None`.
#[inline]
pub(super) fn number(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<Number>, Fault> {
    match reader.token() {
        b'"' => Ok(Some(Decimal::parse(reader.text()?.as_bytes()))),
        b'-' | b'0'..=b'9' => Ok(Some(Decimal::parse(reader.number()?.as_bytes()))),
        _ => null(reader, field, "must be a decimal string or a number").map(|()| None),
    }
}

/// Reads null; another value is a fault of the field, and no value at all one of the text.
#[cold]
fn null(reader: &mut Reader<'_>, field: &'static str, what: &'static str) -> Result<(), Fault> {
    match reader.peek()? {
        Kind::Null => reader.literal().map(drop),
        _ => Err(Fault::field(reader.at(), field, what)),
    }
}

/// Reads an RFC 3339 time, or null as `None`.
#[inline]
pub(super) fn instant(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, Fault> {
    let at = reader.at();
    let Some(text) = text(reader, "time")? else { return Ok(None) };
    match time::parse(text) {
        Some(time) => Ok(Some(time)),
        None => Err(Fault::field(at, "time", "must be an RFC 3339 time such as 2026-11-22T09:00:00Z")),
    }
}
