//! Events as bytes, one writer for each content type. Each buffer is written once, without intermediate values.
//!
//! In JSON, NDJSON and `MessagePack` an event names an amount and its currency; as a `CloudEvent` it names a meter's quantity, as metering
//! pipelines do, at a rate that comes to the same amount.

use crate::units;
use crate::workload::Event;
use clap::ValueEnum;
use rmp::encode::{write_array_len, write_str};
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
    /// An array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// An array of `CloudEvents` in structured mode.
    Cloudevents,
}

impl Format {
    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Msgpack => "application/msgpack",
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
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
        Names { run: run.to_owned() }
    }

    /// The run's own name.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The customer who owns a wallet.
    pub fn customer(&self, wallet: u32) -> String {
        let mut name = Vec::new();
        self.write_customer(&mut name, wallet);
        String::from_utf8(name).expect("letters and digits")
    }

    fn write_customer(&self, out: &mut Vec<u8>, wallet: u32) {
        out.extend_from_slice(self.run.as_bytes());
        out.push(b'w');
        padded(out, u64::from(wallet), 8);
    }

    /// With a run's name of eight, 26 characters: as long as a ULID.
    fn write_id(&self, out: &mut Vec<u8>, connection: u32, number: u64) {
        out.extend_from_slice(self.run.as_bytes());
        out.push(b'-');
        padded(out, u64::from(connection), 4);
        out.push(b'-');
        padded(out, number, 12);
    }
}

/// Appends a number with leading zeros; one that is longer is not cut.
fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits);
}

/// Encodes one connection's batches.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    names: Names,
    connection: u32,
    word: Vec<u8>,
    bytes_last: usize,
}

impl Encoder {
    /// For the connection with this number.
    pub fn new(format: Format, names: Names, connection: u32) -> Self {
        Encoder { format, names, connection, word: Vec::new(), bytes_last: 0 }
    }

    /// The body of a request. Batches are of like size, so the last one's tells how much to set aside.
    pub fn encode(&mut self, batch: &[Event]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes_last + self.bytes_last / 16);
        match self.format {
            Format::Msgpack => self.msgpack(&mut out, batch),
            Format::Json => self.list(&mut out, batch, Self::object),
            Format::Cloudevents => self.list(&mut out, batch, Self::cloud_event),
            Format::Ndjson => {
                for event in batch {
                    self.object(&mut out, event);
                    out.push(b'\n');
                }
            }
        }
        self.bytes_last = out.len();
        out
    }

    fn msgpack(&mut self, out: &mut Vec<u8>, batch: &[Event]) {
        // Writing to a Vec cannot fail.
        let _ = write_array_len(out, batch.len() as u32);
        for event in batch {
            let _ = write_array_len(out, 4);
            self.word(out, |names, connection, word| names.write_id(word, connection, event.number));
            self.word(out, |names, _, word| names.write_customer(word, event.wallet));
            let _ = write_str(out, CURRENCY);
            self.word(out, |_, _, word| units::write(word, event.units));
        }
    }

    /// Appends one `MessagePack` string, whose length has to stand before it.
    fn word(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&Names, u32, &mut Vec<u8>)) {
        self.word.clear();
        write(&self.names, self.connection, &mut self.word);
        let _ = rmp::encode::write_str_len(out, self.word.len() as u32);
        out.extend_from_slice(&self.word);
    }

    fn list(&self, out: &mut Vec<u8>, batch: &[Event], one: impl Fn(&Self, &mut Vec<u8>, &Event)) {
        for (index, event) in batch.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            one(self, out, event);
        }
        out.push(b']');
    }

    fn object(&self, out: &mut Vec<u8>, event: &Event) {
        out.extend_from_slice(br#"{"id":""#);
        self.names.write_id(out, self.connection, event.number);
        out.extend_from_slice(br#"","customer":""#);
        self.names.write_customer(out, event.wallet);
        out.extend_from_slice(br#"","currency":""#);
        out.extend_from_slice(CURRENCY.as_bytes());
        out.extend_from_slice(br#"","amount":""#);
        units::write(out, event.units);
        out.extend_from_slice(br#""}"#);
    }

    fn cloud_event(&self, out: &mut Vec<u8>, event: &Event) {
        out.extend_from_slice(br#"{"specversion":"1.0","id":""#);
        self.names.write_id(out, self.connection, event.number);
        out.extend_from_slice(br#"","source":""#);
        out.extend_from_slice(SOURCE.as_bytes());
        out.extend_from_slice(br#"","type":""#);
        out.extend_from_slice(METER.as_bytes());
        out.extend_from_slice(br#"","subject":""#);
        self.names.write_customer(out, event.wallet);
        out.extend_from_slice(br#"","data":{"value":"#);
        out.extend_from_slice(itoa::Buffer::new().format(event.units).as_bytes());
        out.extend_from_slice(b"}}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Verdict;
    use serde_json::{Value, json};

    const BATCH: [Event; 2] = [
        Event { number: 5, wallet: 7, units: 350, verdict: Verdict::Applied },
        Event { number: 123_456_789_012, wallet: 12_345_678, units: 1, verdict: Verdict::Applied },
    ];

    fn encoded(format: Format) -> Vec<u8> {
        Encoder::new(format, Names::new("0a1b2c3d"), 3).encode(&BATCH)
    }

    fn objects() -> Value {
        json!([
            {"id": "0a1b2c3d-0003-000000000005", "customer": "0a1b2c3dw00000007", "currency": "loadtest", "amount": "3.5"},
            {"id": "0a1b2c3d-0003-123456789012", "customer": "0a1b2c3dw12345678", "currency": "loadtest", "amount": "0.01"},
        ])
    }

    #[test]
    fn json_reads_back() {
        assert_eq!(serde_json::from_slice::<Value>(&encoded(Format::Json)).expect("is JSON"), objects());
    }

    #[test]
    fn ndjson_reads_back_line_by_line() {
        let body = String::from_utf8(encoded(Format::Ndjson)).expect("is text");
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
        assert_eq!(Value::from(lines), objects());
    }

    #[test]
    fn msgpack_reads_back_in_the_order_of_the_fields() {
        let read: Vec<[String; 4]> = rmp_serde::from_slice(&encoded(Format::Msgpack)).expect("is MessagePack");
        let expected = objects();
        for (event, object) in read.iter().zip(expected.as_array().expect("an array")) {
            let fields = ["id", "customer", "currency", "amount"].map(|name| object[name].as_str().expect("text"));
            assert_eq!(event.each_ref().map(String::as_str), fields);
        }
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn cloud_events_read_back() {
        let read: Value = serde_json::from_slice(&encoded(Format::Cloudevents)).expect("is JSON");
        let event = json!({"specversion": "1.0", "id": "0a1b2c3d-0003-000000000005", "source": "loadtest",
            "type": "loadtest.used", "subject": "0a1b2c3dw00000007", "data": {"value": 350}});
        assert_eq!(read[0], event);
        assert_eq!(read[1]["data"]["value"], 1);
    }

    #[test]
    fn ids_are_as_long_as_a_ulid() {
        assert_eq!(objects()[0]["id"].as_str().expect("text").len(), 26);
    }
}
