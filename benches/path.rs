//! What does an event cost from the bytes of a request to its outcome, without the socket: decoded and submitted in batches of 1000?
//!
//! The bodies are rewritten in place with new ids and customers before each batch; that is not timed. Writing the answer and hashing the
//! key are the edge's own and not reached from here; the load test has the whole.

mod common;

use bumpalo::Bump;
use common::batch::{mix, recycle, write_digits};
use common::{BATCH, Ledger, PLENTY, short, size};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawdown::engine::{EventOutcome, EventStatus, UsageEvent};
use drawdown::http::decode::{self, BinaryHeaders, Dialect, Media};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ID: &str = "evt_0000000000000000000000";
const CUSTOMER: &str = "cus_00000000";

/// A body of a batch, and where its ids and customers stand.
struct Body {
    bytes: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl Body {
    /// Of parts around the events, each of which is `event`.
    fn new(open: &[u8], event: &[u8], separator: &[u8], close: &[u8]) -> Body {
        let find = |text: &str| event.windows(text.len()).position(|window| window == text.as_bytes()).expect("a part");
        let (id, customer) = (find(ID) + 4, find(CUSTOMER) + 4);
        let (mut bytes, mut places) = (open.to_vec(), Vec::new());
        for n in 0..BATCH {
            if n > 0 {
                bytes.extend_from_slice(separator);
            }
            places.push((bytes.len() + id, bytes.len() + customer));
            bytes.extend_from_slice(event);
        }
        bytes.extend_from_slice(close);
        Body { bytes, places }
    }

    fn json() -> Body {
        let event = format!(
            r#"{{"id":"{ID}","source":"bench","customer":"{CUSTOMER}","currency":"credits","amount":"0.000001"}}"#
        );
        Body::new(b"[", event.as_bytes(), b",", b"]")
    }

    /// Events as arrays, the most compact form that the server takes.
    fn msgpack() -> Body {
        let (mut open, mut event) = (Vec::new(), Vec::new());
        rmp::encode::write_array_len(&mut open, BATCH as u32).expect("a Vec takes every write");
        rmp::encode::write_array_len(&mut event, 4).expect("a Vec takes every write");
        for text in [ID, CUSTOMER, "credits", "0.000001"] {
            rmp::encode::write_str(&mut event, text).expect("a Vec takes every write");
        }
        Body::new(&open, &event, b"", b"")
    }

    /// Makes all events new ones, from number `first` on.
    fn renew(&mut self, first: u64, wallets: u64) {
        for (number, &(id, customer)) in (first..).zip(&self.places) {
            write_digits(&mut self.bytes[id..id + 22], number);
            write_digits(&mut self.bytes[customer..customer + 8], mix(number) % wallets);
        }
    }
}

/// Decodes and submits `rounds` batches. As the server does, it keeps the vectors and makes an arena for each request.
fn time(ledger: &Ledger, media: Media, body: &mut Body, next: &mut u64, rounds: u64) -> Duration {
    let mut took = Duration::ZERO;
    let (mut used, mut outcomes): (Vec<UsageEvent<'static>>, Vec<EventOutcome>) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        body.renew(*next, ledger.wallets);
        *next += BATCH as u64;
        let start = Instant::now();
        let arena = Bump::new();
        let mut batch = decode::Batch { events: used, ..decode::Batch::default() };
        decode::decode(media, &BinaryHeaders::default(), black_box(&body.bytes), &arena, BATCH, &mut batch)
            .expect("it decodes");
        let ticket = ledger.engine.submit(&batch.events, &mut outcomes).expect("the log keeps up");
        used = recycle(batch.events);
        took += start.elapsed();
        drop(ticket);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.status == EventStatus::Applied).count(), BATCH);
        if round % 64 == 0 {
            ledger.settle();
        }
    }
    ledger.debited(rounds * BATCH as u64, 1);
    took
}

fn what_does_an_event_cost_from_bytes_to_outcome(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what does an event cost from bytes to outcome");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(30);
    let cases =
        [("json", Media::Json(Dialect::Flat), Body::json()), ("msgpack, arrays", Media::MsgPack, Body::msgpack())];
    for (name, media, mut body) in cases {
        // A ledger each: one that remembers the events of the case before would compare the table of identities, not the formats.
        let ledger = Ledger::new(size(1_000_000, 100), PLENTY);
        let mut next = 0;
        group.bench_function(BenchmarkId::new(name, format!("{} wallets", short(ledger.wallets))), |bencher| {
            bencher.iter_custom(|rounds| time(&ledger, media, &mut body, &mut next, rounds));
        });
        ledger.verify();
    }
    group.finish();
}

criterion_group!(benches, what_does_an_event_cost_from_bytes_to_outcome);
criterion_main!(benches);
