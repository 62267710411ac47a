//! A server of a few lines: wallets and identities in maps behind one lock, and ways to be wrong.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use loadtest::units;
use loadtest::workload::GRANT_UNITS;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::net::TcpListener;

/// How the server is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Says that an event is applied and forgets it.
    LosesAnEvent,
    /// Debits a repeated event again, and says that it is a duplicate.
    DebitsDuplicates,
    /// Debits a repeated event again, and says so.
    AppliesDuplicates,
    /// Takes a debit from the wallet beside.
    DebitsAnotherWallet,
    /// Applies the third batch and closes the connection without an answer.
    DropsAnAnswer,
    /// Answers 503 once, before doing anything.
    IsBusyOnce,
    /// Refuses every batch.
    RefusesEvents,
    /// Acknowledges the first grant of the run and forgets it.
    LosesAGrant,
    /// Gives the first grant of the run twice.
    GrantsTwice,
    /// Closes the connection without an answer to the first grant of the run, which it has given.
    DropsAGrantsAnswer,
    /// Shows wallets as they were set up, in the first hundred reads.
    ReadsStale,
    /// Answers every batch with an empty 200.
    KnowsNothing,
    /// Debits a wallet that no event names.
    DebitsAStranger,
}

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    wallets: HashMap<String, i64>,
    identities: HashSet<String>,
    applied: u64,
    batches: u32,
    grants: u32,
    reads: u32,
    key: Option<&'static str>,
}

/// What an event asks for, whatever its form.
struct Asked {
    id: String,
    customer: String,
    units: i64,
}

/// Starts a server on a port of its own, in a thread that ends with the test's process.
pub(crate) fn start(fault: Fault, key: Option<&'static str>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(serve(listener, State { fault, key, ..State::default() }));
    });
    address
}

async fn serve(listener: std::net::TcpListener, state: State) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    let state = Arc::new(Mutex::new(state));
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// An error closes the connection.
async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let header = |name| head.headers.get(name).and_then(|value: &hyper::header::HeaderValue| value.to_str().ok());
    let mut state = state.lock().expect("no test panics with it");
    if header("authorization") != state.key.map(|key| format!("Bearer {key}")).as_deref() {
        return Ok(reply(StatusCode::UNAUTHORIZED, &json!({"title": "no"})));
    }
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    Ok(match (&head.method, path.as_slice()) {
        (&Method::PUT, ["v1", "credit-currencies" | "meters", _]) => reply(StatusCode::OK, &json!({})),
        (&Method::POST, ["v1", "grants"]) => {
            let key = header("idempotency-key").expect("grants have a key").to_owned();
            match state.grants(&body, key) {
                Some((status, answer)) => reply(status, &answer),
                None => return Err("dropped".to_owned()),
            }
        }
        (&Method::GET, ["v1", "wallets", customer, "loadtest"]) => match state.read(customer) {
            Some(units) => reply(StatusCode::OK, &json!({"balance": units::text(units.into())})),
            None => reply(StatusCode::NOT_FOUND, &json!({})),
        },
        (&Method::GET, ["v1", "balances"]) => {
            let total = units::text(state.wallets.values().map(|&units| i128::from(units)).sum());
            reply(StatusCode::OK, &json!({"data": [{"currency": "loadtest", "balance": total}]}))
        }
        (&Method::GET, ["v1", "stats"]) => {
            let State { applied, batches, .. } = *state;
            // A log of 100 bytes an event, synced for every second batch.
            let log = json!({"tail": applied * 100, "syncs": batches / 2, "last_sync_us": 7});
            reply(StatusCode::OK, &json!({"events": {"applied": applied}, "batches": batches, "log": log}))
        }
        (&Method::GET, ["openapi.json"]) => reply(StatusCode::OK, &json!({"info": {"version": "0.0.1"}})),
        (&Method::POST, ["v1", "events"]) => {
            let events = decode(header("content-type").unwrap_or_default(), &body);
            let minimal = header("prefer") == Some("return=minimal");
            state.batches += 1;
            match (state.fault, state.batches) {
                (Fault::IsBusyOnce, 2) => reply(StatusCode::SERVICE_UNAVAILABLE, &json!({})),
                (Fault::RefusesEvents, _) => reply(StatusCode::BAD_REQUEST, &json!({"title": "refused"})),
                (Fault::KnowsNothing, _) => Response::new(Full::default()),
                (Fault::DropsAnAnswer, 3) => {
                    state.events(events, minimal);
                    return Err("dropped".to_owned());
                }
                _ => {
                    let single = is_single(header("content-type").unwrap_or_default(), &body);
                    let answer = state.events(events, minimal);
                    if single && answer["rejected"] == 1 {
                        let problem = json!({"type": "https://example.com/problems/insufficient_credit"});
                        reply(StatusCode::PAYMENT_REQUIRED, &problem)
                    } else {
                        reply(StatusCode::OK, &answer)
                    }
                }
            }
        }
        _ => reply(StatusCode::NOT_FOUND, &json!({})),
    })
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body.to_string())).expect("a response")
}

fn is_single(content_type: &str, body: &[u8]) -> bool {
    matches!(content_type, "application/json" | "application/cloudevents+json") && body[0] == b'{'
}

fn decode(content_type: &str, body: &[u8]) -> Vec<Asked> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let flat = |event: &Value| Asked {
        id: text(&event["id"]),
        customer: text(&event["customer"]),
        units: units::parse(&text(&event["amount"])).expect("an amount"),
    };
    let cloud = |event: &Value| Asked {
        id: text(&event["id"]),
        customer: text(&event["subject"]),
        units: event["data"]["value"].as_i64().expect("a quantity"),
    };
    let array = || serde_json::from_slice::<Vec<Value>>(body).expect("a JSON array");
    let one = || serde_json::from_slice::<Value>(body).expect("a JSON object");
    match content_type {
        "application/json" if is_single(content_type, body) => vec![flat(&one())],
        "application/cloudevents+json" => vec![cloud(&one())],
        "application/json" => array().iter().map(flat).collect(),
        "application/cloudevents-batch+json" => array().iter().map(cloud).collect(),
        "application/x-ndjson" => {
            let lines = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
            lines.map(|line| flat(&line.expect("a JSON object"))).collect()
        }
        "application/msgpack" => {
            let events: Vec<[String; 4]> = rmp_serde::from_slice(body).expect("MessagePack");
            let asked = |[id, customer, _, amount]: [String; 4]| {
                let units = units::parse(&amount).expect("an amount");
                Asked { id, customer, units }
            };
            events.into_iter().map(asked).collect()
        }
        other => panic!("no event has the type {other}"),
    }
}

impl State {
    fn read(&mut self, customer: &str) -> Option<i64> {
        self.reads += 1;
        let units = *self.wallets.get(customer)?;
        let is_stale = self.fault == Fault::ReadsStale && self.reads <= 100;
        Some(if is_stale { GRANT_UNITS.cast_signed() } else { units })
    }

    /// `None` closes the connection.
    fn grants(&mut self, body: &[u8], key: String) -> Option<(StatusCode, Value)> {
        if let Ok(grants) = serde_json::from_slice::<Vec<Value>>(body) {
            for grant in &grants {
                self.grant(grant, 1);
            }
            let results: Vec<_> = grants.iter().map(|_| json!({"status": "created"})).collect();
            return Some((StatusCode::OK, json!({"results": results})));
        }
        if self.identities.insert(key) {
            self.grants += 1;
            let times = match (self.fault, self.grants) {
                (Fault::LosesAGrant, 1) => 0,
                (Fault::GrantsTwice, 1) => 2,
                _ => 1,
            };
            self.grant(&serde_json::from_slice(body).expect("a grant"), times);
            if self.fault == Fault::DropsAGrantsAnswer && self.grants == 1 {
                return None;
            }
        }
        Some((StatusCode::CREATED, json!({"id": "grant"})))
    }

    fn grant(&mut self, grant: &Value, times: i64) {
        let amount = grant["amount"].as_str().and_then(units::parse).expect("an amount");
        let customer = grant["customer"].as_str().expect("a customer").to_owned();
        *self.wallets.entry(customer).or_default() += amount * times;
    }

    fn events(&mut self, events: Vec<Asked>, minimal: bool) -> Value {
        let (mut counts, mut results) = ([0; 3], Vec::new());
        for (index, event) in events.into_iter().enumerate() {
            let id = event.id.clone();
            let (place, mut result) = match self.event(event) {
                "applied" => (0, json!({"status": "applied"})),
                "duplicate" => (1, json!({"status": "duplicate"})),
                _ => (2, json!({"status": "rejected", "reason": "insufficient_credit"})),
            };
            counts[place] += 1;
            result["id"] = id.into();
            if minimal {
                result["index"] = index.into();
            }
            if !minimal || place > 0 {
                results.push(result);
            }
        }
        let [applied, duplicate, rejected] = counts;
        json!({"applied": applied, "duplicate": duplicate, "rejected": rejected, "results": results})
    }

    fn event(&mut self, Asked { id, customer, units }: Asked) -> &'static str {
        let is_new = !self.identities.contains(&id);
        let first = self.identities.is_empty();
        if !is_new && !matches!(self.fault, Fault::DebitsDuplicates | Fault::AppliesDuplicates) {
            return "duplicate";
        }
        let debited = match self.fault {
            Fault::DebitsAnotherWallet if first => {
                self.wallets.keys().find(|other| **other != customer).expect("there are several wallets").clone()
            }
            _ => customer,
        };
        let balance = self.wallets.get_mut(&debited).expect("the wallet was granted");
        if *balance < units {
            return "rejected";
        }
        if !(self.fault == Fault::LosesAnEvent && first) {
            *balance -= units;
        }
        if self.fault == Fault::DebitsAStranger && first {
            *self.wallets.entry("stranger".to_owned()).or_default() -= 1;
        }
        self.identities.insert(id);
        self.applied += u64::from(is_new);
        if is_new || self.fault == Fault::AppliesDuplicates { "applied" } else { "duplicate" }
    }
}
