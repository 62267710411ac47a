//! Events as `MessagePack`: one map, or an array of maps (with the JSON names) or of arrays.
//!
//! An event as an array has the order id, customer, currency, amount, time in milliseconds, and then, optionally, policy and source.
//! Amounts are integers or decimal strings. A float is a fault: whoever sends one has already lost the exact value.

use super::draft::{self, Draft, Number};
use super::json::Fault;
use super::{Collector, DecodeError, time};
use crate::ledger::{Decimal, DecimalError, Timestamp};
use rmp::Marker;

const CUT: &str = "the MessagePack body ends inside a value";

const WRONG_ARRAY: &str =
    "an event as an array has 4 to 7 elements: id, customer, currency, amount, time_ms, policy, source";

/// The marker of nil.
const NIL: u8 = 0xc0;

/// Reads `MessagePack` values from front to back, borrowing strings.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Decodes a body of events.
pub(super) fn decode<'a>(body: &'a [u8], out: &mut Collector<'_, 'a>) -> Result<(), DecodeError> {
    let mut cursor = Cursor { bytes: body, at: 0 };
    let outside = |fault: Fault| DecodeError::new(&fault, None);
    let shape = cursor.container().map_err(outside)?;
    match shape {
        Container::Map(fields) => {
            out.batch.single = true;
            out.event(|out| map_event(&mut cursor, 0, fields, out))?;
        }
        Container::Array(count) => {
            if count > out.limit {
                return Err(DecodeError::TooMany { limit: out.limit });
            }
            // A claimed count is believed only as far as the body could hold that many events.
            out.batch.events.reserve(count.min(body.len() / 6));
            for _ in 0..count {
                out.event(|out| event(&mut cursor, out))?;
            }
        }
    }
    if cursor.at < body.len() {
        return Err(outside(Fault::syntax(cursor.at, "unexpected bytes after the end of the MessagePack value")));
    }
    Ok(())
}

/// The two kinds of values that hold others, with their number of elements or pairs.
enum Container {
    Array(usize),
    Map(usize),
}

#[inline]
fn event<'a>(cursor: &mut Cursor<'a>, out: &mut Collector<'_, 'a>) -> Result<(), Fault> {
    let start = cursor.at;
    match cursor.container()? {
        Container::Map(fields) => map_event(cursor, start, fields, out),
        Container::Array(fields) => array_event(cursor, start, fields, out),
    }
}

fn array_event<'a>(
    cursor: &mut Cursor<'a>,
    start: usize,
    fields: usize,
    out: &mut Collector<'_, 'a>,
) -> Result<(), Fault> {
    if !(4..=7).contains(&fields) {
        return Err(Fault::syntax(start, WRONG_ARRAY));
    }
    let mut draft = Draft {
        id: cursor.text("id")?,
        customer: cursor.text("customer")?,
        currency: cursor.text("currency")?,
        amount: cursor.number("amount")?,
        ..Draft::default()
    };
    if fields > 4 {
        draft.time = cursor.time_ms("time_ms")?;
    }
    if fields > 5 {
        draft.policy = cursor.policy()?;
    }
    if fields > 6 {
        draft.source = cursor.text("source")?;
    }
    out.push(&draft, start)
}

fn map_event<'a>(
    cursor: &mut Cursor<'a>,
    start: usize,
    fields: usize,
    out: &mut Collector<'_, 'a>,
) -> Result<(), Fault> {
    let mut draft = Draft::default();
    for _ in 0..fields {
        let key = cursor.key()?;
        let at = cursor.at;
        match key {
            b"id" => draft::set(&mut draft.id, cursor.text("id")?, at, "id")?,
            b"source" => draft::set(&mut draft.source, cursor.text("source")?, at, "source")?,
            b"customer" => draft::set(&mut draft.customer, cursor.text("customer")?, at, "customer")?,
            b"currency" => draft::set(&mut draft.currency, cursor.text("currency")?, at, "currency")?,
            b"amount" => draft::set(&mut draft.amount, cursor.number("amount")?, at, "amount")?,
            b"meter" => draft::set(&mut draft.meter, cursor.text("meter")?, at, "meter")?,
            b"quantity" => draft::set(&mut draft.quantity, cursor.number("quantity")?, at, "quantity")?,
            b"time" => draft::set(&mut draft.time, cursor.time()?, at, "time")?,
            b"time_ms" => draft::set(&mut draft.time, cursor.time_ms("time_ms")?, at, "time_ms")?,
            b"on_insufficient" => draft::set(&mut draft.policy, cursor.policy()?, at, "on_insufficient")?,
            _ => cursor.skip_unknown(key)?,
        }
    }
    out.push(&draft, start)
}

impl<'a> Cursor<'a> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(self.cut()),
        }
    }

    #[cold]
    fn cut(&self) -> Fault {
        Fault::syntax(self.at, CUT)
    }

    fn marker(&mut self) -> Result<Marker, Fault> {
        self.byte().map(Marker::from_u8)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        match self.bytes[self.at..].get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.cut()),
        }
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(fixed) => {
                self.at += N;
                Ok(*fixed)
            }
            None => Err(self.cut()),
        }
    }

    fn container(&mut self) -> Result<Container, Fault> {
        let at = self.at;
        Ok(match self.marker()? {
            Marker::FixMap(count) => Container::Map(count as usize),
            Marker::Map16 => Container::Map(u16::from_be_bytes(self.fixed()?) as usize),
            Marker::Map32 => Container::Map(u32::from_be_bytes(self.fixed()?) as usize),
            Marker::FixArray(count) => Container::Array(count as usize),
            Marker::Array16 => Container::Array(u16::from_be_bytes(self.fixed()?) as usize),
            Marker::Array32 => Container::Array(u32::from_be_bytes(self.fixed()?) as usize),
            _ => return Err(Fault::syntax(at, "expected an event as a map or an array")),
        })
    }

    /// Reads a string, or nil as `None`.
    #[inline]
    fn text(&mut self, field: &'static str) -> Result<Option<&'a str>, Fault> {
        // Most strings are short: their marker is their length.
        match self.byte()? {
            marker @ 0xa0..=0xbf => self.utf8(usize::from(marker & 0x1f)).map(Some),
            marker => self.long_text(Marker::from_u8(marker), field),
        }
    }

    fn long_text(&mut self, marker: Marker, field: &'static str) -> Result<Option<&'a str>, Fault> {
        let at = self.at - 1;
        let length = match marker {
            Marker::Str8 => self.fixed::<1>()?[0] as usize,
            Marker::Str16 => u16::from_be_bytes(self.fixed()?) as usize,
            Marker::Str32 => u32::from_be_bytes(self.fixed()?) as usize,
            Marker::Null => return Ok(None),
            _ => return Err(Fault::field(at, field, "must be a string")),
        };
        self.utf8(length).map(Some)
    }

    /// Reads the name of a field as bytes: those that are known need no check for UTF-8.
    #[inline]
    fn key(&mut self) -> Result<&'a [u8], Fault> {
        match self.byte()? {
            marker @ 0xa0..=0xbf => self.take(usize::from(marker & 0x1f)),
            marker => self.long_key(Marker::from_u8(marker)),
        }
    }

    #[cold]
    fn long_key(&mut self, marker: Marker) -> Result<&'a [u8], Fault> {
        let at = self.at - 1;
        match self.long_text(marker, "") {
            Ok(Some(key)) => Ok(key.as_bytes()),
            Err(fault) if fault.parts().field.is_none() => Err(fault),
            Ok(None) | Err(_) => Err(Fault::syntax(at, "a field's name must be a string")),
        }
    }

    /// Passes over the value of a field whose name is none of ours, once that name is known to be text.
    #[cold]
    fn skip_unknown(&mut self, key: &[u8]) -> Result<(), Fault> {
        match std::str::from_utf8(key) {
            Ok(_) => self.skip(),
            Err(error) => Err(Fault::syntax(self.at - key.len() + error.valid_up_to(), "a string is not valid UTF-8")),
        }
    }

    #[inline]
    fn utf8(&mut self, length: usize) -> Result<&'a str, Fault> {
        let at = self.at;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(text),
            Err(error) => Err(Fault::syntax(at + error.valid_up_to(), "a string is not valid UTF-8")),
        }
    }

    /// Reads an integer of up to 64 bits, if the marker begins one.
    #[inline]
    fn integer(&mut self, marker: u8) -> Result<Option<i128>, Fault> {
        Ok(Some(match marker {
            0x00..=0x7f => i128::from(marker),
            0xcc => i128::from(self.fixed::<1>()?[0]),
            0xcd => i128::from(u16::from_be_bytes(self.fixed()?)),
            0xce => i128::from(u32::from_be_bytes(self.fixed()?)),
            0xcf => i128::from(u64::from_be_bytes(self.fixed()?)),
            0xd0 => i128::from(i8::from_be_bytes(self.fixed()?)),
            0xd1 => i128::from(i16::from_be_bytes(self.fixed()?)),
            0xd2 => i128::from(i32::from_be_bytes(self.fixed()?)),
            0xd3 => i128::from(i64::from_be_bytes(self.fixed()?)),
            0xe0..=0xff => i128::from(marker.cast_signed()),
            _ => return Ok(None),
        }))
    }

    /// Reads an exact number: an integer or a decimal string, or nil as `None`.
    #[inline]
    fn number(&mut self, field: &'static str) -> Result<Option<Number>, Fault> {
        let marker = self.byte()?;
        if let 0xa0..=0xbf = marker {
            let text = self.utf8(usize::from(marker & 0x1f))?;
            return Ok(Some(Decimal::parse(text.as_bytes())));
        }
        match self.integer(marker)? {
            Some(integer) => Ok(Some(decimal(integer))),
            None => self.long_number(Marker::from_u8(marker), field),
        }
    }

    #[cold]
    fn long_number(&mut self, marker: Marker, field: &'static str) -> Result<Option<Number>, Fault> {
        let at = self.at - 1;
        match marker {
            Marker::F32 | Marker::F64 => {
                Err(Fault::field(at, field, "must be an integer or a decimal string: a float is not exact"))
            }
            Marker::Null | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                Ok(self.long_text(marker, field)?.map(|text| Decimal::parse(text.as_bytes())))
            }
            _ => Err(Fault::field(at, field, "must be an integer or a decimal string")),
        }
    }

    /// Reads an instant as milliseconds since 1970, or nil as `None`.
    #[inline]
    fn time_ms(&mut self, field: &'static str) -> Result<Option<Timestamp>, Fault> {
        let at = self.at;
        let marker = self.byte()?;
        if marker == NIL {
            return Ok(None);
        }
        // What lies before 1970 counts as 1970: too old, whichever it is.
        let ms = self.integer(marker)?.and_then(|ms| u64::try_from(ms.max(0)).ok());
        match ms {
            Some(ms) => Ok(Some(Timestamp::from_millis(ms))),
            None => Err(Fault::field(at, field, "must be milliseconds since 1970 as an integer")),
        }
    }

    /// Reads an instant as RFC 3339 text or as milliseconds.
    fn time(&mut self) -> Result<Option<Timestamp>, Fault> {
        let at = self.at;
        match self.marker()? {
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {}
            _ => {
                self.at = at;
                return self.time_ms("time");
            }
        }
        self.at = at;
        let text = self.text("time")?.unwrap_or_default();
        match time::parse(text) {
            Some(time) => Ok(Some(time)),
            None => Err(Fault::field(at, "time", "must be an RFC 3339 time such as 2026-11-22T09:00:00Z")),
        }
    }

    fn policy(&mut self) -> Result<Option<crate::ledger::Policy>, Fault> {
        let at = self.at;
        self.text("on_insufficient")?.map(|name| draft::policy(name, at)).transpose()
    }

    /// Passes over one value, however deep, without recursion: containers only add to the number of values still to pass.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut pending = 1_u64;
        while pending > 0 {
            pending = pending - 1 + self.skip_one()?;
        }
        Ok(())
    }

    /// Passes over a value's own bytes and tells how many values it announces.
    fn skip_one(&mut self) -> Result<u64, Fault> {
        let at = self.at;
        let length = match self.marker()? {
            Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => 0,
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::FixExt4 => 5,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
            Marker::FixStr(length) => length as usize,
            Marker::Str8 | Marker::Bin8 => self.fixed::<1>()?[0] as usize,
            Marker::Str16 | Marker::Bin16 => u16::from_be_bytes(self.fixed()?) as usize,
            Marker::Str32 | Marker::Bin32 => u32::from_be_bytes(self.fixed()?) as usize,
            Marker::Ext8 => self.fixed::<1>()?[0] as usize + 1,
            Marker::Ext16 => u16::from_be_bytes(self.fixed()?) as usize + 1,
            Marker::Ext32 => u32::from_be_bytes(self.fixed()?) as usize + 1,
            Marker::FixMap(_)
            | Marker::Map16
            | Marker::Map32
            | Marker::FixArray(_)
            | Marker::Array16
            | Marker::Array32 => {
                self.at = at;
                return Ok(match self.container()? {
                    Container::Array(count) => count as u64,
                    Container::Map(count) => count as u64 * 2,
                });
            }
            Marker::Reserved => return Err(Fault::syntax(at, "0xC1 is not used in MessagePack")),
        };
        self.take(length).map(drop)?;
        Ok(0)
    }
}

/// An integer as a decimal.
#[inline]
fn decimal(integer: i128) -> Number {
    i64::try_from(integer).map(Decimal::from_integer).map_err(|_| DecimalError::TooManyDigits)
}
