//! One table a content type, then properties over all of them.

use super::*;
use crate::engine::Charge;
use crate::ledger::{Decimal, DecimalError, Policy};

/// What a test says about one event, in one line.
fn show(event: &UsageEvent<'_>) -> String {
    let UsageEvent { id, source, customer, charge, time, policy } = event;
    let number = |number: &Result<Decimal, DecimalError>| match number {
        Ok(decimal) => decimal.to_string(),
        Err(error) => format!("{error:?}"),
    };
    let charge = match charge {
        Charge::Amount { currency, amount } => format!("{} {}", number(amount), currency.unwrap_or("-")),
        Charge::Metered { meter, quantity } => format!("{} of {meter}", number(quantity)),
    };
    let time = time.map_or(String::new(), |time| format!(" at {}", time::format(time)));
    let policy = policy.map_or(String::new(), |policy| format!(" {}", policy.as_str()));
    format!("{source}/{id} {customer} {charge}{time}{policy}")
}

fn run(media: Media, body: &[u8]) -> Result<Vec<String>, DecodeError> {
    let (arena, mut batch) = (Bump::new(), Batch::default());
    decode(media, &BinaryHeaders::default(), body, &arena, 3, &mut batch)?;
    Ok(batch.events.iter().map(show).collect())
}

#[track_caller]
fn accepts(media: Media, body: impl AsRef<[u8]>, expected: &[&str]) {
    let body = body.as_ref();
    assert_eq!(run(media, body).expect("decodes"), expected, "{}", String::from_utf8_lossy(body));
}

/// The body is refused as a whole; `expected` is "index field: what @byte", with `-` for what is not known.
#[track_caller]
fn refuses(media: Media, body: impl AsRef<[u8]>, expected: &str) {
    let body = body.as_ref();
    let said = match run(media, body).expect_err("refused") {
        DecodeError::Malformed { index, at, what } => match index {
            Some(index) => format!("{index} -: {what} @{at}"),
            None => format!("- -: {what} @{at}"),
        },
        DecodeError::Field { index, field, at, what } => format!("{index} {field}: {what} @{at}"),
        DecodeError::TooMany { limit } => format!("more than {limit}"),
    };
    assert_eq!(said, expected, "{}", String::from_utf8_lossy(body));
}

const JSON: Media = Media::Json(Dialect::Flat);
const LINES: Media = Media::NdJson(Dialect::Flat);

#[test]
fn json_events_are_read_in_full() {
    accepts(JSON, r#"{"id":"e","customer":"c","amount":"3.5"}"#, &["/e c 3.5 -"]);
    accepts(
        JSON,
        r#" [ {"id":"e","source":"s","customer":"c","currency":"cr","amount":3.50,"time":"2026-11-22T10:00:00.5+01:00","on_insufficient":"partial"} ] "#,
        &["s/e c 3.5 cr at 2026-11-22T09:00:00.500Z partial"],
    );
    accepts(JSON, r#"{"quantity":1800,"meter":"tokens","customer":"c","id":"e"}"#, &["/e c 1800 of tokens"]);
    accepts(JSON, r#"{"id":"e","customer":"c","amount":1,"time":null,"currency":null,"meter":null}"#, &["/e c 1 -"]);
    accepts(JSON, "[]", &[]);
    accepts(
        JSON,
        r#"[{"id":"1","customer":"c","amount":1},{"id":"2","customer":"c","amount":2}]"#,
        &["/1 c 1 -", "/2 c 2 -"],
    );
}

#[test]
fn numbers_are_exact_and_unusable_ones_travel_on() {
    let amount = |text: &str| format!(r#"{{"id":"e","customer":"c","amount":{text}}}"#);
    accepts(JSON, amount("0.1"), &["/e c 0.1 -"]);
    accepts(JSON, amount("9007199254740993"), &["/e c 9007199254740993 -"]);
    accepts(JSON, amount("0.300000000000000004"), &["/e c 0.300000000000000004 -"]);
    accepts(JSON, amount("1e3"), &["/e c 1000 -"]);
    accepts(JSON, amount("12.5e-1"), &["/e c 1.25 -"]);
    accepts(JSON, amount("-5"), &["/e c -5 -"]);
    accepts(JSON, amount("0"), &["/e c 0 -"]);
    accepts(JSON, amount("1e400"), &["/e c TooManyDigits -"]);
    accepts(JSON, amount("99999999999999999999999999"), &["/e c TooManyDigits -"]);
    accepts(JSON, amount(r#""1e400""#), &["/e c TooManyDigits -"]);
    accepts(JSON, amount(r#""NaN""#), &["/e c NotANumber -"]);
    accepts(JSON, amount(r#""""#), &["/e c Empty -"]);
    accepts(JSON, amount(r#""1,5""#), &["/e c NotANumber -"]);
    accepts(JSON, amount(r#"" 1""#), &["/e c NotANumber -"]);
    refuses(JSON, amount("NaN"), "0 -: expected a JSON value @34");
    refuses(JSON, amount("Infinity"), "0 -: expected a JSON value @34");
    refuses(JSON, amount("nul"), "0 -: expected a JSON value @34");
    refuses(JSON, amount("01"), "0 -: a number must not start with a superfluous 0 @34");
    refuses(JSON, amount("-01"), "0 -: a number must not start with a superfluous 0 @34");
    refuses(JSON, amount("1."), "0 -: expected a digit @36");
    refuses(JSON, amount(".5"), "0 -: expected a JSON value @34");
    refuses(JSON, amount("+5"), "0 -: expected a JSON value @34");
    refuses(JSON, amount("1e"), "0 -: expected a digit @36");
    refuses(JSON, amount("-"), "0 -: expected a digit @35");
    refuses(JSON, amount("true"), "0 amount: must be a decimal string or a number @34");
    refuses(JSON, amount("{}"), "0 amount: must be a decimal string or a number @34");
    refuses(JSON, amount("[1]"), "0 amount: must be a decimal string or a number @34");
}

#[test]
fn ids_of_any_length_travel_on_and_strings_are_unescaped() {
    accepts(JSON, r#"{"id":"","customer":"c","amount":1}"#, &["/ c 1 -"]);
    accepts(
        JSON,
        r#"{"\u0069d":"a\n\"\\\/\u00e9\ud83d\ude00","customer":"c","amount":"1\u002e5"}"#,
        &["/a\n\"\\/é😀 c 1.5 -"],
    );
    let long = "x".repeat(5000);
    accepts(JSON, format!(r#"{{"id":"{long}","customer":"c","amount":1}}"#), &[&format!("/{long} c 1 -")]);
    refuses(JSON, r#"{"id":"\ud800","customer":"c","amount":1}"#, "0 -: an escaped surrogate stands alone @7");
    refuses(JSON, r#"{"id":"\ud800\u0041"}"#, "0 -: an escaped surrogate stands alone @7");
    refuses(JSON, r#"{"id":"\x"}"#, "0 -: unknown escape in a string @7");
    refuses(JSON, r#"{"id":"\u12"#, "0 -: an escape is cut short @9");
    refuses(JSON, r#"{"id":"\u12g4"}"#, "0 -: an escape needs four hexadecimal digits @9");
    refuses(JSON, "{\"id\":\"a\nb\"}", "0 -: control characters in strings must be escaped @8");
    refuses(JSON, b"{\"id\":\"\xff\"}", "- -: the body is not valid UTF-8 @7");
}

#[test]
fn structural_faults_name_index_field_and_byte() {
    refuses(JSON, "", "0 -: the JSON text ends where a value is expected @0");
    refuses(JSON, "  ", "0 -: the JSON text ends where a value is expected @2");
    refuses(JSON, "7", "0 -: expected an event as a JSON object @0");
    refuses(JSON, r#""x""#, "0 -: expected an event as a JSON object @0");
    refuses(JSON, "[1]", "0 -: expected an event as a JSON object @1");
    refuses(JSON, "[[]]", "0 -: expected an event as a JSON object @1");
    refuses(JSON, "{", "0 -: the JSON text ends inside an object @1");
    refuses(JSON, "[", "0 -: the JSON text ends inside an array @1");
    refuses(JSON, r#"{"id":"e""#, "0 -: the JSON text ends inside an object @9");
    refuses(JSON, r#"{"id":"e"#, "0 -: the JSON text ends inside a string @8");
    refuses(JSON, r#"{"id" "e"}"#, "0 -: expected ':' @6");
    refuses(JSON, r#"{"id":"e" "customer":"c"}"#, "0 -: expected ',' or '}' @10");
    refuses(JSON, r#"{id:"e"}"#, "0 -: expected a key in double quotes @1");
    refuses(JSON, r#"{"id":"e",}"#, "0 -: expected a key in double quotes @10");
    refuses(JSON, r#"[{"id":"e","customer":"c","amount":1},]"#, "1 -: expected a JSON value @38");
    refuses(JSON, r#"[{"id":"e","customer":"c","amount":1}"#, "1 -: the JSON text ends inside an array @37");
    refuses(
        JSON,
        r#"{"id":"e","customer":"c","amount":1}x"#,
        "- -: unexpected bytes after the end of the JSON value @36",
    );
    refuses(JSON, r#"{"customer":"c","amount":1}"#, "0 id: the event has no id @0");
    refuses(JSON, r#"{"id":null,"customer":"c","amount":1}"#, "0 id: the event has no id @0");
    refuses(JSON, r#"{"id":7,"customer":"c","amount":1}"#, "0 id: must be a string @6");
    refuses(JSON, r#"{"id":"e","amount":1}"#, "0 customer: the event has no customer @0");
    refuses(JSON, r#"{"id":"e","customer":["c"],"amount":1}"#, "0 customer: must be a string @21");
    refuses(JSON, r#"{"id":"e","customer":"c"}"#, "0 amount: the event has neither an amount nor a meter @0");
    refuses(
        JSON,
        r#"{"id":"e","customer":"c","amount":1,"meter":"m"}"#,
        "0 amount: an event has either an amount or a meter, not both @0",
    );
    refuses(JSON, r#"{"id":"e","customer":"c","meter":"m"}"#, "0 quantity: the meter has no quantity @0");
    refuses(
        JSON,
        r#"{"id":"e","customer":"c","quantity":1}"#,
        "0 amount: the event has neither an amount nor a meter @0",
    );
    refuses(
        JSON,
        r#"{"id":"e","customer":"c","amount":1,"quantity":1}"#,
        "0 quantity: a quantity needs a meter and no amount @0",
    );
    refuses(JSON, r#"{"id":"e","id":"f","customer":"c","amount":1}"#, "0 id: the field is given twice @15");
    refuses(
        JSON,
        r#"[{"id":"e","customer":"c","amount":1},{"id":"f","customer":"c","amount":1,"time":"yesterday"}]"#,
        "1 time: must be an RFC 3339 time such as 2026-11-22T09:00:00Z @81",
    );
    refuses(JSON, r#"{"id":"e","customer":"c","amount":1,"time":5}"#, "0 time: must be a string @43");
    refuses(
        JSON,
        r#"{"id":"e","customer":"c","amount":1,"on_insufficient":"maybe"}"#,
        "0 on_insufficient: must be reject, partial or overdraft @54",
    );
}

#[test]
fn unknown_fields_are_checked_and_ignored() {
    accepts(
        JSON,
        r#"{"x":[1,{"y":[[],{}]},"\u00e9",true,false,null,-1.5E+3],"id":"e","x":{},"customer":"c","amount":1,"data":7,"type":[]}"#,
        &["/e c 1 -"],
    );
    refuses(JSON, r#"{"x":[1 2],"id":"e"}"#, "0 -: expected ',' or ']' @8");
    refuses(JSON, r#"{"x":{"a":1,},"id":"e"}"#, "0 -: expected a key in double quotes @12");
    refuses(JSON, r#"{"x":tru}"#, "0 -: expected a JSON value @5");
    let nested = |depth: usize| {
        format!(r#"{{"x":{}{},"id":"e","customer":"c","amount":1}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    accepts(JSON, nested(63), &["/e c 1 -"]);
    refuses(JSON, nested(64), "0 -: JSON is nested too deeply @69");
    refuses(JSON, "[".repeat(1_000_000), "0 -: expected an event as a JSON object @1");
    refuses(JSON, format!(r#"{{"x":{}"#, r#"{"a":"#.repeat(1_000_000)), "0 -: JSON is nested too deeply @321");
}

#[test]
fn batches_are_bounded() {
    let event = r#"{"id":"e","customer":"c","amount":1}"#;
    accepts(JSON, format!("[{event},{event},{event}]"), &["/e c 1 -"; 3]);
    refuses(JSON, format!("[{event},{event},{event},{event}]"), "more than 3");
    refuses(LINES, [event; 4].join("\n"), "more than 3");
    refuses(Media::MsgPack, [0xdd, 0xff, 0xff, 0xff, 0xff], "more than 3");
}

#[test]
fn an_object_with_events_says_whether_they_are_a_group() {
    let event = r#"{"id":"e","customer":"c","amount":1}"#;
    let two = format!("[{event},{event}]");
    for (body, atomic) in [
        (format!(r#"{{"atomic":true,"events":{two}}}"#), true),
        (format!(r#" {{ "note" : {{"a":[1]}}, "events":{two} , "atomic" : true }}"#), true),
        (format!(r#"{{"events":{two},"atomic":false}}"#), false),
        (format!(r#"{{"atomic":null,"events":{two}}}"#), false),
        (format!(r#"{{"events":{two}}}"#), false),
    ] {
        let arena = Bump::new();
        let mut batch = Batch { atomic: !atomic, ..Batch::default() };
        let headers = BinaryHeaders::default();
        decode(JSON, &headers, body.as_bytes(), &arena, 10, &mut batch).expect("a group");
        assert_eq!((batch.events.len(), batch.atomic, batch.single), (2, atomic, false), "{body}");
    }
    refuses(JSON, r#"{"atomic":true}"#, "0 events: the group has no events @0");
    refuses(JSON, r#"{"atomic":1,"events":[]}"#, "0 atomic: must be true or false @10");
    refuses(JSON, r#"{"atomic":true,"atomic":true,"events":[]}"#, "0 atomic: the field is given twice @24");
    refuses(JSON, r#"{"events":[],"events":[]}"#, "0 events: the field is given twice @22");
    refuses(JSON, r#"{"events":[{}]}"#, "0 id: the event has no id @11");
    refuses(JSON, r#"{"events":7}"#, "- -: expected an array of events @10");
    // What has an event's field first is an event, whatever else it has.
    accepts(JSON, r#"{"id":"e","customer":"c","amount":1,"events":7}"#, &["/e c 1 -"]);
}

#[test]
fn lines_hold_one_event_each() {
    let event = |id: &str| format!(r#"{{"id":"{id}","customer":"c","amount":1}}"#);
    accepts(
        LINES,
        format!("{}\n{}\r\n\n{}", event("1"), event("2"), event("3")),
        &["/1 c 1 -", "/2 c 1 -", "/3 c 1 -"],
    );
    accepts(LINES, "", &[]);
    accepts(LINES, "\n\n", &[]);
    refuses(LINES, format!("{} {}", event("1"), event("2")), "0 -: expected the end of the line after an event @37");
    refuses(LINES, format!("{}\n{{\"id\":", event("1")), "1 -: the JSON text ends where a value is expected @43");
    refuses(LINES, format!("[{}]", event("1")), "0 -: expected an event as a JSON object @0");
}

const CLOUD: &str = r#"{"specversion":"1.0","id":"e","source":"gw","type":"tokens","subject":"c","time":"2026-11-22T09:00:00Z","data":{"value":1800}}"#;

#[test]
fn cloud_events_are_usage() {
    let said = &["gw/e c 1800 of tokens at 2026-11-22T09:00:00.000Z"];
    accepts(Media::CloudEvent, CLOUD, said);
    accepts(Media::CloudEventBatch, format!("[{CLOUD}]"), said);
    accepts(JSON, CLOUD, said);
    accepts(JSON, format!("[{CLOUD}]"), said);
    accepts(LINES, CLOUD, said);
    accepts(Media::Json(Dialect::CloudEvents), CLOUD, said);
    accepts(
        JSON,
        r#"{"id":"e","type":"t","data":{"value":"1.5","model":"m"},"source":"gw","subject":"c","ext":1,"datacontenttype":"application/json; charset=utf-8","specversion":"1.0"}"#,
        &["gw/e c 1.5 of t"],
    );
    accepts(
        Media::CloudEvent,
        r#"{"specversion":"1.0","id":"e","source":"gw","type":"t","subject":"c","amount":true,"data":{"amount":"2.5","currency":"cr"}}"#,
        &["gw/e c 2.5 cr"],
    );
}

#[test]
fn cloud_events_that_are_not_whole_are_refused() {
    let without = |field: &str| CLOUD.replace(&format!("\"{field}\":"), "\"ignored\":");
    refuses(Media::CloudEvent, without("specversion"), "0 specversion: the CloudEvent has no specversion @0");
    refuses(Media::CloudEvent, without("id"), "0 id: the CloudEvent has no id @0");
    refuses(Media::CloudEvent, without("source"), "0 source: the CloudEvent has no source @0");
    refuses(Media::CloudEvent, without("type"), "0 type: the CloudEvent has no type @0");
    refuses(
        Media::CloudEvent,
        without("subject"),
        "0 subject: the CloudEvent has no subject, which names the customer @0",
    );
    refuses(Media::CloudEvent, without("data"), "0 data: the CloudEvent has no data @0");
    refuses(Media::CloudEvent, without("value"), "0 data.value: the data has neither a value nor an amount @0");
    refuses(Media::CloudEvent, CLOUD.replace("1.0", "0.3"), "0 specversion: must be 1.0 @0");
    refuses(Media::CloudEvent, CLOUD.replace("1800", "{}"), "0 data.value: must be a decimal string or a number @120");
    refuses(Media::CloudEvent, CLOUD.replace("{\"value\":1800}", "[]"), "0 data: must be a JSON object @111");
    refuses(
        Media::CloudEvent,
        CLOUD.replace("1800", "1,\"amount\":1"),
        "0 data: has either a value or an amount, not both @0",
    );
    refuses(
        Media::CloudEvent,
        CLOUD.replace("\"data\"", "\"data_base64\""),
        "0 data_base64: the data must be a JSON object in `data` @118",
    );
    refuses(
        Media::CloudEvent,
        CLOUD.replace("\"time\":", "\"datacontenttype\":\"text/xml\",\"time\":"),
        "0 datacontenttype: must be application/json @0",
    );
    refuses(Media::CloudEvent, format!("[{CLOUD}]"), "0 -: expected an event as a JSON object @0");
    refuses(Media::CloudEventBatch, CLOUD, "- -: expected an array of events @0");
    refuses(
        Media::Json(Dialect::CloudEvents),
        r#"{"id":"e","customer":"c","amount":1}"#,
        "0 specversion: the CloudEvent has no specversion @0",
    );
}

#[track_caller]
fn check_binary(headers: &[(&'static str, &'static str)], body: &str, expected: &str) {
    let mut map = hyper::HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, hyper::header::HeaderValue::from_static(value));
    }
    let (arena, mut batch) = (Bump::new(), Batch::default());
    let decoded = decode(Media::CloudEventBinary, &BinaryHeaders::new(&map), body.as_bytes(), &arena, 3, &mut batch);
    let said = decoded.map_or_else(|error| error.to_string(), |()| show(&batch.events[0]));
    assert_eq!(said, expected);
}

#[test]
fn cloud_events_in_binary_mode_carry_their_attributes_in_headers() {
    let whole = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e"),
        ("ce-source", "gw%20%C3%A9"),
        ("ce-type", "tokens"),
        ("ce-subject", "c"),
        ("ce-time", "2026-11-22T09:00:00Z"),
    ];
    check_binary(&whole, r#"{"value":"2"}"#, "gw é/e c 2 of tokens at 2026-11-22T09:00:00.000Z");
    check_binary(&whole[..4], r#"{"value":"2"}"#, "subject: the CloudEvent has no subject, which names the customer");
    check_binary(&whole[1..], r#"{"value":"2"}"#, "specversion: the CloudEvent has no specversion");
    check_binary(&whole, "", "the JSON text ends where a value is expected (byte 0)");
    check_binary(&whole, "{} x", "unexpected bytes after the end of the JSON value (byte 3)");
    check_binary(&whole, "[]", "data: must be a JSON object");
}

/// Small builders of `MessagePack`, so that the tables read like the values they mean.
mod pack {
    pub(super) fn text(value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        rmp::encode::write_str(&mut out, value).expect("writes");
        out
    }
    pub(super) fn int(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        rmp::encode::write_sint(&mut out, value).expect("writes");
        out
    }
    pub(super) fn float(value: f64) -> Vec<u8> {
        let mut out = Vec::new();
        rmp::encode::write_f64(&mut out, value).expect("writes");
        out
    }
    pub(super) fn array(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        rmp::encode::write_array_len(&mut out, elements.len() as u32).expect("writes");
        out.extend(elements.concat());
        out
    }
    pub(super) fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        rmp::encode::write_map_len(&mut out, members.len() as u32).expect("writes");
        for (key, value) in members {
            out.extend(text(key));
            out.extend(value);
        }
        out
    }
    pub(super) const NIL: u8 = 0xc0;
}

#[test]
fn msgpack_events_are_maps_or_arrays() {
    use pack::{NIL, array, int, map, text};
    let event = array(&[text("e"), text("c"), text("cr"), int(5)]);
    accepts(Media::MsgPack, array(std::slice::from_ref(&event)), &["/e c 5 cr"]);
    let nils = array(&[text("e"), text("c"), vec![NIL], text("0.25"), vec![NIL], vec![NIL], vec![NIL]]);
    accepts(Media::MsgPack, array(&[nils]), &["/e c 0.25 -"]);
    let full =
        array(&[text("e"), text("c"), text("cr"), text("2.5"), int(1_763_802_000_000), text("overdraft"), text("gw")]);
    accepts(
        Media::MsgPack,
        array(&[event, full]),
        &["/e c 5 cr", "gw/e c 2.5 cr at 2025-11-22T09:00:00.000Z overdraft"],
    );
    let members = [
        ("id", text("e")),
        ("customer", text("c")),
        ("meter", text("m")),
        ("quantity", int(70_000)),
        ("time", text("2026-11-22T09:00:00Z")),
        ("ignored", map(&[("deep", array(&[int(-5), pack::float(1.5)]))])),
    ];
    accepts(Media::MsgPack, map(&members), &["/e c 70000 of m at 2026-11-22T09:00:00.000Z"]);
    accepts(Media::MsgPack, array(&[map(&members)]), &["/e c 70000 of m at 2026-11-22T09:00:00.000Z"]);
    accepts(Media::MsgPack, array(&[]), &[]);
    let timed = map(&[("id", text("e")), ("customer", text("c")), ("amount", int(-1)), ("time_ms", int(-5))]);
    accepts(Media::MsgPack, timed, &["/e c -1 - at 1970-01-01T00:00:00.000Z"]);
    let beyond =
        [vec![0x94], text("e"), text("c"), vec![NIL], vec![0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
            .concat();
    accepts(Media::MsgPack, [vec![0x91], beyond].concat(), &["/e c TooManyDigits -"]);
}

#[test]
fn msgpack_faults_name_the_byte() {
    use pack::{array, float, int, map, text};
    refuses(Media::MsgPack, [], "- -: the MessagePack body ends inside a value @0");
    refuses(Media::MsgPack, int(7), "- -: expected an event as a map or an array @0");
    refuses(Media::MsgPack, array(&[int(7)]), "0 -: expected an event as a map or an array @1");
    refuses(Media::MsgPack, [0xc1], "- -: expected an event as a map or an array @0");
    let with_amount = |amount: Vec<u8>| array(&[array(&[text("e"), text("c"), text("cr"), amount])]);
    refuses(
        Media::MsgPack,
        with_amount(float(1.5)),
        "0 amount: must be an integer or a decimal string: a float is not exact @9",
    );
    refuses(Media::MsgPack, with_amount(vec![0xc3]), "0 amount: must be an integer or a decimal string @9");
    refuses(Media::MsgPack, with_amount(vec![0xcd, 1]), "0 -: the MessagePack body ends inside a value @10");
    refuses(
        Media::MsgPack,
        [with_amount(int(1)), int(1)].concat(),
        "- -: unexpected bytes after the end of the MessagePack value @10",
    );
    refuses(
        Media::MsgPack,
        array(&[array(&[text("e"), text("c")])]),
        "0 -: an event as an array has 4 to 7 elements: id, customer, currency, amount, time_ms, policy, source @1",
    );
    refuses(Media::MsgPack, array(&[array(&[int(1), text("c"), text("cr"), int(1)])]), "0 id: must be a string @2");
    refuses(Media::MsgPack, map(&[("id", text("e")), ("id", text("e"))]), "0 id: the field is given twice @9");
    refuses(Media::MsgPack, map(&[("id", text("e"))]), "0 customer: the event has no customer @0");
    refuses(Media::MsgPack, [0x81, 0x01, 0x01], "0 -: a field's name must be a string @1");
    refuses(Media::MsgPack, [0x81, 0xa1, 0xff, 0x01], "0 -: a string is not valid UTF-8 @2");
    refuses(Media::MsgPack, [0xdb, 0xff, 0xff, 0xff, 0xff], "- -: expected an event as a map or an array @0");
    refuses(
        Media::MsgPack,
        [&[0x81, 0xa1, b'x'][..], &[0x91].repeat(200_000)].concat(),
        "0 -: the MessagePack body ends inside a value @200003",
    );
    let policy = array(&[array(&[text("e"), text("c"), text("cr"), int(1), int(1), text("x")])]);
    refuses(Media::MsgPack, policy, "0 on_insufficient: must be reject, partial or overdraft @11");
}

#[test]
fn a_currency_beside_a_meter_is_reported_for_checking() {
    let body = br#"[{"id":"1","customer":"c","amount":1,"currency":"a"},{"id":"2","customer":"c","meter":"m","quantity":1,"currency":"b"}]"#;
    let (arena, mut batch) = (Bump::new(), Batch::default());
    decode(JSON, &BinaryHeaders::default(), body, &arena, 3, &mut batch).expect("decodes");
    assert_eq!(batch.stated_currencies, [(1, "b")]);
    assert_eq!(batch.events[0].policy, None::<Policy>);
}

#[test]
fn media_types_are_told_from_headers() {
    let of = |name: &'static str, dialect| {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("content-type", hyper::header::HeaderValue::from_static(name));
        Media::of(&headers, dialect)
    };
    assert_eq!(of("application/json", Dialect::Flat), Some(JSON));
    assert_eq!(of("Application/JSON; charset=\"UTF-8\"", Dialect::Flat), Some(JSON));
    assert_eq!(of("application/json; charset=latin1", Dialect::Flat), None);
    assert_eq!(of("application/x-ndjson", Dialect::Flat), Some(LINES));
    assert_eq!(of("application/x-ndjson", Dialect::CloudEvents), None);
    assert_eq!(of("application/msgpack", Dialect::Flat), Some(Media::MsgPack));
    assert_eq!(of("application/cloudevents+json", Dialect::CloudEvents), Some(Media::CloudEvent));
    assert_eq!(of("application/cloudevents-batch+json", Dialect::Flat), Some(Media::CloudEventBatch));
    assert_eq!(of("text/plain", Dialect::Flat), None);
    assert_eq!(Media::of(&hyper::HeaderMap::new(), Dialect::Flat), None);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// An event that every content type can carry, as plain values.
    #[derive(Clone, Debug)]
    struct Sent {
        id: String,
        customer: String,
        currency: String,
        mantissa: i64,
        scale: u8,
        time_ms: u64,
        source: String,
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let name = any::<String>();
        (name, name, name, any::<i64>(), 0..=18_u8, 0..253_402_300_800_000_u64, name).prop_map(
            |(id, customer, currency, mantissa, scale, time_ms, source)| Sent {
                id,
                customer,
                currency,
                mantissa,
                scale,
                time_ms,
                source,
            },
        )
    }

    impl Sent {
        fn amount(&self) -> String {
            Decimal::from_parts(self.mantissa, self.scale).expect("18 places at most").to_string()
        }

        fn shown(&self) -> String {
            let Self { id, customer, currency, time_ms, source, .. } = self;
            let time = time::format(crate::ledger::Timestamp::from_millis(*time_ms));
            format!("{source}/{id} {customer} {} {currency} at {time}", self.amount())
        }

        fn json(&self) -> serde_json::Value {
            let time = time::format(crate::ledger::Timestamp::from_millis(self.time_ms));
            serde_json::json!({"id": self.id, "customer": self.customer, "currency": self.currency, "amount": self.amount(), "time": time, "source": self.source})
        }

        fn cloud(&self) -> serde_json::Value {
            let time = time::format(crate::ledger::Timestamp::from_millis(self.time_ms));
            let data = serde_json::json!({"amount": self.amount(), "currency": self.currency});
            let source = format!("s{}", self.source);
            serde_json::json!({"specversion": "1.0", "id": self.id, "subject": self.customer, "type": "t", "time": time, "source": source, "data": data})
        }

        fn array(&self) -> Vec<u8> {
            let time = pack::int(i64::try_from(self.time_ms).expect("fits"));
            let (id, customer, currency) =
                (pack::text(&self.id), pack::text(&self.customer), pack::text(&self.currency));
            pack::array(&[
                id,
                customer,
                currency,
                pack::text(&self.amount()),
                time,
                vec![pack::NIL],
                pack::text(&self.source),
            ])
        }

        fn map(&self) -> Vec<u8> {
            let time = pack::int(i64::try_from(self.time_ms).expect("fits"));
            pack::map(&[
                ("source", pack::text(&self.source)),
                ("amount", pack::text(&self.amount())),
                ("time_ms", time),
                ("currency", pack::text(&self.currency)),
                ("customer", pack::text(&self.customer)),
                ("id", pack::text(&self.id)),
            ])
        }
    }

    const EVERY: [Media; 7] = [
        JSON,
        Media::Json(Dialect::CloudEvents),
        LINES,
        Media::MsgPack,
        Media::CloudEvent,
        Media::CloudEventBatch,
        Media::CloudEventBinary,
    ];

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(events in proptest::collection::vec(sent(), 0..=3)) {
            let shown: Vec<String> = events.iter().map(Sent::shown).collect();
            let values: Vec<_> = events.iter().map(Sent::json).collect();
            prop_assert_eq!(&run(JSON, &serde_json::to_vec(&values).expect("writes")).expect("decodes"), &shown);
            prop_assert_eq!(&run(JSON, &serde_json::to_vec_pretty(&values).expect("writes")).expect("decodes"), &shown);
            let lines: Vec<String> = values.iter().map(ToString::to_string).collect();
            prop_assert_eq!(&run(LINES, lines.join("\n").as_bytes()).expect("decodes"), &shown);
            let arrays: Vec<_> = events.iter().map(Sent::array).collect();
            prop_assert_eq!(&run(Media::MsgPack, &pack::array(&arrays)).expect("decodes"), &shown);
            let maps: Vec<_> = events.iter().map(Sent::map).collect();
            prop_assert_eq!(&run(Media::MsgPack, &pack::array(&maps)).expect("decodes"), &shown);
            let clouds: Vec<_> = events.iter().map(Sent::cloud).collect();
            let shown: Vec<String> = shown.iter().map(|line| format!("s{line}")).collect();
            prop_assert_eq!(&run(Media::CloudEventBatch, &serde_json::to_vec(&clouds).expect("writes")).expect("decodes"), &shown);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for media in EVERY {
                drop(run(media, &bytes));
            }
        }

        #[test]
        fn damaged_bodies_never_panic(event in sent(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            for (media, mut body) in [
                (JSON, event.json().to_string().into_bytes()),
                (Media::CloudEvent, event.cloud().to_string().into_bytes()),
                (Media::MsgPack, pack::array(&[event.array()])),
                (Media::MsgPack, event.map()),
            ] {
                let at = at.index(body.len());
                if cut { body.truncate(at) } else { body[at] = byte }
                let outcome = run(media, &body);
                prop_assert!(!cut || outcome.is_err(), "a truncated body must not be accepted");
            }
        }

        #[test]
        fn well_formed_is_what_serde_json_takes(text in r#"[\[\]{}",:0-9eE.+\- a\\untrfls]{0,24}"#) {
            let arena = Bump::new();
            let ours = parse_value(&text, &arena).is_ok();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
