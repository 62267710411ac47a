//! Events as bytes, by a template for each content type: a copy, into which the digits of id and customer are written, and an amount.
//!
//! In JSON, NDJSON and `MessagePack` an event names an amount and its currency; as a `CloudEvent` it names a meter's quantity, as metering
//! pipelines do, at a rate that comes to the same amount.

use crate::units;
use crate::workload::{EVENT_UNITS_MAX, Event};
use clap::ValueEnum;
use rmp::encode::{write_array_len, write_str, write_str_len};
use serde::Serialize;

/// The credit currency that a run sets up.
pub const CURRENCY: &str = "loadtest";

/// The meter that `CloudEvents` name; one of its units is the currency's smallest.
pub const METER: &str = "loadtest.used";

/// The `source` of `CloudEvents`, which must have one.
const SOURCE: &str = "loadtest";

/// The form of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An array of arrays: id, customer, currency, amount.
    Msgpack,
    /// An array of objects, or one object.
    Json,
    /// One object a line.
    Ndjson,
    /// An array of CloudEvents in structured mode, or one of them.
    Cloudevents,
}

impl Format {
    /// Whether one event may stand alone, outside a list.
    pub const fn has_single(self) -> bool {
        matches!(self, Format::Json | Format::Cloudevents)
    }

    /// Its media type; `single` says that an event stands alone.
    pub const fn content_type(self, single: bool) -> &'static str {
        match self {
            Format::Msgpack => "application/msgpack",
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Cloudevents if single => "application/cloudevents+json",
            Format::Cloudevents => "application/cloudevents-batch+json",
        }
    }
}

/// The names of customers and events. The run's name keeps apart what several runs leave on one server.
#[derive(Clone, Debug)]
pub struct Names {
    run: String,
}

impl Names {
    /// `run` is put into ids, paths and JSON as it is, and must need no escaping there.
    pub fn new(run: &str) -> Self {
        assert!(run.bytes().all(|byte| byte.is_ascii_alphanumeric()), "a run's name is letters and digits");
        assert!(run.len() <= 8, "ids are at most as long as a ULID");
        Names { run: run.to_owned() }
    }

    /// The run's own name.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The customer who owns a wallet.
    pub fn customer(&self, wallet: u32) -> String {
        format!("{}w{wallet:08}", self.run)
    }

    /// With a run's name of eight, 26 characters: as long as a ULID.
    fn event(&self, connection: u32, number: u64) -> String {
        format!("{}-{connection:04}-{number:012}", self.run)
    }

    /// The idempotency key of a grant within a run.
    pub fn grant(&self, connection: u32, number: u64) -> String {
        format!("{}-grant-{connection}-{number}", self.run)
    }
}

/// How an amount is written behind the template.
#[derive(Clone, Copy, Debug)]
enum Amount {
    /// Decimal text in credits.
    Text,
    /// The same as a `MessagePack` string.
    Packed,
    /// The quantity of a meter.
    Quantity,
}

/// Encodes one connection's batches.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    single: bool,
    /// One event up to its amount, with zeros for the digits.
    head: Vec<u8>,
    number_at: usize,
    wallet_at: usize,
    amount: Amount,
    foot: &'static [u8],
}

impl Encoder {
    /// For the connection with this number; `single` leaves out the list around one event.
    pub fn new(format: Format, single: bool, names: &Names, connection: u32) -> Self {
        assert!(!single || format.has_single(), "{format:?} has no single events");
        let (id, customer) = (names.event(connection, 0), names.customer(0));
        let (head, amount, foot): (Vec<u8>, _, &[u8]) = match format {
            Format::Msgpack => (packed(&id, &customer), Amount::Packed, b""),
            Format::Json | Format::Ndjson => {
                let head = format!(r#",{{"id":"{id}","customer":"{customer}","currency":"{CURRENCY}","amount":""#);
                (head.into_bytes(), Amount::Text, br#""}"#)
            }
            Format::Cloudevents => {
                let names = format!(r#""id":"{id}","source":"{SOURCE}","type":"{METER}","subject":"{customer}""#);
                let head = format!(r#",{{"specversion":"1.0",{names},"data":{{"value":"#);
                (head.into_bytes(), Amount::Quantity, b"}}")
            }
        };
        // The comma of a list is a part of the template; where there is no list it is left out.
        let (head, foot) = match format {
            Format::Ndjson => (head[1..].to_vec(), &b"\"}\n"[..]),
            _ if single => (head[1..].to_vec(), foot),
            _ => (head, foot),
        };
        let number_at = find(&head, id.as_bytes()) + id.len() - 12;
        let wallet_at = find(&head, customer.as_bytes()) + customer.len() - 8;
        Encoder { format, single, head, number_at, wallet_at, amount, foot }
    }

    /// About as many bytes as so many events take.
    pub fn bytes_about(&self, events: u64) -> u64 {
        events * (self.head.len() + self.foot.len() + 4) as u64
    }

    /// Appends the body of a request.
    pub fn encode(&self, batch: &[Event], out: &mut Vec<u8>) {
        assert!(!self.single || batch.len() == 1, "a single event is one");
        out.reserve(16 + self.bytes_about(batch.len() as u64) as usize);
        let begin = out.len();
        if self.format == Format::Msgpack {
            // Writing to a Vec cannot fail.
            let _ = write_array_len(out, batch.len() as u32);
        }
        for event in batch {
            self.event(out, event);
        }
        if !self.single && matches!(self.format, Format::Json | Format::Cloudevents) {
            out[begin] = b'[';
            out.push(b']');
        }
    }

    fn event(&self, out: &mut Vec<u8>, event: &Event) {
        let begin = out.len();
        out.extend_from_slice(&self.head);
        let head = &mut out[begin..];
        let (high, low) = (event.number / 100_000_000, event.number % 100_000_000);
        head[self.number_at..self.number_at + 4].copy_from_slice(&eight_digits(high as u32)[4..]);
        head[self.number_at + 4..self.number_at + 12].copy_from_slice(&eight_digits(low as u32));
        head[self.wallet_at..self.wallet_at + 8].copy_from_slice(&eight_digits(event.wallet));
        match (self.amount, AMOUNTS.get(event.asked_units() as usize)) {
            (Amount::Text, Some(amount)) => amount.write(out),
            (Amount::Packed, Some(amount)) => {
                out.push(FIXSTR | amount.len);
                amount.write(out);
            }
            (Amount::Text, None) => units::write(out, event.asked_units()),
            (Amount::Packed, None) => {
                let mut word = Vec::new();
                units::write(&mut word, event.asked_units());
                let _ = write_str_len(out, word.len() as u32);
                out.extend_from_slice(&word);
            }
            (Amount::Quantity, _) => {
                out.extend_from_slice(itoa::Buffer::new().format(event.asked_units()).as_bytes());
            }
        }
        out.extend_from_slice(self.foot);
    }
}

/// A `MessagePack` string of up to 31 bytes.
const FIXSTR: u8 = 0xa0;

fn packed(id: &str, customer: &str) -> Vec<u8> {
    let mut head = Vec::new();
    let _ = write_array_len(&mut head, 4);
    for word in [id, customer, CURRENCY] {
        let _ = write_str(&mut head, word);
    }
    head
}

fn find(all: &[u8], part: &[u8]) -> usize {
    all.windows(part.len()).position(|window| window == part).expect("a template holds its names")
}

/// The digits of a number below 10^8, all eight at once: halves, then pairs, then digits, side by side in one word.
const fn eight_digits(number: u32) -> [u8; 8] {
    debug_assert!(number < 100_000_000);
    let halves = (number / 10_000) as u64 | ((number % 10_000) as u64) << 32;
    // 10486 / 2^20 is 1/100 for every number below 10^4, and 103 / 2^10 is 1/10 for every number below 100.
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((halves - 100 * hundreds) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | ((pairs - 10 * tens) << 8);
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

/// The text of a small amount.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; 4],
    len: u8,
}

impl Text {
    fn write(self, out: &mut Vec<u8>) {
        // A copy of fixed size and a cut are cheaper than a copy of unknown size.
        let end = out.len() + usize::from(self.len);
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

const AMOUNTS_COUNT: usize = EVENT_UNITS_MAX as usize + 1;

/// What [`units::write`] says of every amount that events debit.
static AMOUNTS: [Text; AMOUNTS_COUNT] = amounts();

const fn amounts() -> [Text; AMOUNTS_COUNT] {
    let mut all = [Text { bytes: [b'0'; 4], len: 0 }; AMOUNTS_COUNT];
    let mut units = 0;
    while units < all.len() {
        let (credits, tenths, hundredths) = ((units / 100) as u8, (units / 10 % 10) as u8, (units % 10) as u8);
        let (bytes, len) = match (credits >= 10, hundredths, tenths) {
            (true, ..) => ([b'0' + credits / 10, b'0' + credits % 10, b'0', b'0'], 2),
            (false, 0, 0) => ([b'0' + credits, b'0', b'0', b'0'], 1),
            (false, 0, _) => ([b'0' + credits, b'.', b'0' + tenths, b'0'], 3),
            (false, ..) => ([b'0' + credits, b'.', b'0' + tenths, b'0' + hundredths], 4),
        };
        all[units] = Text { bytes, len };
        units += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{REJECTED_UNITS, Verdict};
    use serde_json::{Value, json};

    const BATCH: [Event; 3] = [
        Event { number: 5, wallet: 7, units: 350, verdict: Verdict::Applied },
        Event { number: 123_456_789_012, wallet: 12_345_678, units: 1, verdict: Verdict::Duplicate },
        Event { number: 6, wallet: 0, units: 0, verdict: Verdict::Rejected },
    ];

    fn encoded(format: Format, single: bool, batch: &[Event]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        Encoder::new(format, single, &Names::new("0a1b2c3d"), 3).encode(batch, &mut out);
        out.split_off(6)
    }

    fn objects() -> Value {
        json!([
            {"id": "0a1b2c3d-0003-000000000005", "customer": "0a1b2c3dw00000007", "currency": "loadtest", "amount": "3.5"},
            {"id": "0a1b2c3d-0003-123456789012", "customer": "0a1b2c3dw12345678", "currency": "loadtest", "amount": "0.01"},
            {"id": "0a1b2c3d-0003-000000000006", "customer": "0a1b2c3dw00000000", "currency": "loadtest", "amount": "40000000000.01"},
        ])
    }

    #[test]
    fn json_reads_back() {
        let read = serde_json::from_slice::<Value>(&encoded(Format::Json, false, &BATCH));
        assert_eq!(read.expect("is JSON"), objects());
    }

    #[test]
    fn a_single_event_stands_alone() {
        let read = serde_json::from_slice::<Value>(&encoded(Format::Json, true, &BATCH[..1]));
        assert_eq!(read.expect("is JSON"), objects()[0]);
        let read = serde_json::from_slice::<Value>(&encoded(Format::Cloudevents, true, &BATCH[..1]));
        assert_eq!(read.expect("is JSON")["data"]["value"], 350);
    }

    #[test]
    fn ndjson_reads_back_line_by_line() {
        let body = String::from_utf8(encoded(Format::Ndjson, false, &BATCH)).expect("is text");
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
        assert_eq!(Value::from(lines), objects());
    }

    #[test]
    fn msgpack_reads_back_in_the_order_of_the_fields() {
        let read: Vec<[String; 4]> =
            rmp_serde::from_slice(&encoded(Format::Msgpack, false, &BATCH)).expect("is MessagePack");
        let expected = objects();
        for (event, object) in read.iter().zip(expected.as_array().expect("an array")) {
            let fields = ["id", "customer", "currency", "amount"].map(|name| object[name].as_str().expect("text"));
            assert_eq!(event.each_ref().map(String::as_str), fields);
        }
        assert_eq!(read.len(), BATCH.len());
    }

    #[test]
    fn cloud_events_read_back() {
        let read: Value = serde_json::from_slice(&encoded(Format::Cloudevents, false, &BATCH)).expect("is JSON");
        let event = json!({"specversion": "1.0", "id": "0a1b2c3d-0003-000000000005", "source": "loadtest",
            "type": "loadtest.used", "subject": "0a1b2c3dw00000007", "data": {"value": 350}});
        assert_eq!(read[0], event);
        assert_eq!((&read[1]["data"]["value"], &read[2]["data"]["value"]), (&json!(1), &json!(REJECTED_UNITS)));
    }

    #[test]
    fn ids_are_as_long_as_a_ulid() {
        assert_eq!(objects()[0]["id"].as_str().expect("text").len(), 26);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in (0..100_000_000).step_by(9_973).chain([99_999_999, 10_000, 9_999]) {
            assert_eq!(eight_digits(number), format!("{number:08}").as_bytes(), "{number}");
        }
    }

    #[test]
    fn the_table_holds_the_texts_of_amounts() {
        for (units, text) in AMOUNTS.iter().enumerate() {
            let (mut from_table, mut written) = (Vec::new(), Vec::new());
            text.write(&mut from_table);
            units::write(&mut written, units as u64);
            assert_eq!(from_table, written, "{units}");
        }
    }
}
