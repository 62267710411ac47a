//! How long does one usage event take to decode, per content type? Batches of 1000, as a metering pipeline would send them.

use bumpalo::Bump;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawdown::http::decode::{Batch, BinaryHeaders, Dialect, Media, decode};
use std::hint::black_box;

const EVENTS: usize = 1000;

fn json_event(index: usize) -> String {
    format!(
        r#"{{"id":"evt_{index:08}","source":"gateway-7","customer":"cus_{:06}","currency":"credits","amount":"3.5","time":"2026-11-22T09:00:00Z"}}"#,
        index * 7919 % 1_000_000
    )
}

fn number_event(index: usize) -> String {
    format!(
        r#"{{"id":"evt_{index:08}","customer":"cus_{:06}","meter":"tokens.used","quantity":{}}}"#,
        index % 977,
        index + 1800
    )
}

fn cloud_event(index: usize) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"evt_{index:08}","source":"gateway-7","type":"tokens.used","subject":"cus_{:06}","time":"2026-11-22T09:00:00Z","datacontenttype":"application/json","data":{{"value":1800,"model":"m-large"}}}}"#,
        index * 7919 % 1_000_000
    )
}

fn array_of(event: fn(usize) -> String) -> Vec<u8> {
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    format!("[{}]", events.join(",")).into_bytes()
}

fn lines_of(event: fn(usize) -> String) -> Vec<u8> {
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    events.join("\n").into_bytes()
}

/// `Vec<u8>` takes every write, so the encoder's results are all `Ok`.
fn msgpack(maps: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let put_text = |out: &mut Vec<u8>, text: &str| rmp::encode::write_str(out, text).expect("a Vec takes every write");
    rmp::encode::write_array_len(&mut out, EVENTS as u32).expect("a Vec takes every write");
    for index in 0..EVENTS {
        if maps {
            rmp::encode::write_map_len(&mut out, 5).expect("a Vec takes every write");
        } else {
            rmp::encode::write_array_len(&mut out, 5).expect("a Vec takes every write");
        }
        let key = |out: &mut Vec<u8>, name: &str| {
            if maps {
                put_text(out, name);
            }
        };
        key(&mut out, "id");
        put_text(&mut out, &format!("evt_{index:08}"));
        key(&mut out, "customer");
        put_text(&mut out, &format!("cus_{:06}", index * 7919 % 1_000_000));
        key(&mut out, "currency");
        put_text(&mut out, "credits");
        key(&mut out, "amount");
        put_text(&mut out, "3.5");
        key(&mut out, "time_ms");
        rmp::encode::write_uint(&mut out, 1_795_338_000_000).expect("a Vec takes every write");
    }
    out
}

fn what_does_an_event_cost_to_decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does an event cost to decode, in batches of 1000");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let cases = [
        ("json, flat", Media::Json(Dialect::Flat), array_of(json_event)),
        ("json, meter and number", Media::Json(Dialect::Flat), array_of(number_event)),
        ("ndjson, flat", Media::NdJson(Dialect::Flat), lines_of(json_event)),
        ("cloudevents batch", Media::CloudEventBatch, array_of(cloud_event)),
        ("cloudevents in plain json", Media::Json(Dialect::Flat), array_of(cloud_event)),
        ("msgpack, arrays", Media::MsgPack, msgpack(false)),
        ("msgpack, maps", Media::MsgPack, msgpack(true)),
    ];
    for (name, media, body) in &cases {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            // As the server does: the vectors are kept from request to request.
            let arena = Bump::new();
            let mut batch = Batch::default();
            bencher.iter(|| {
                decode(*media, &BinaryHeaders::default(), black_box(body), &arena, 10_000, &mut batch)
                    .expect("decodes");
                assert_eq!(black_box(&batch).events.len(), EVENTS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, what_does_an_event_cost_to_decode);
criterion_main!(benches);
