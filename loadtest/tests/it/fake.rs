//! A server of a few lines: wallets and identities in maps behind one lock, and ways to be wrong.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use loadtest::units;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// How the server is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
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
}

#[derive(Debug)]
struct State {
    fault: Fault,
    wallets: HashMap<String, i64>,
    identities: HashSet<String>,
    batches: u32,
    key: Option<&'static str>,
}

/// What an event asks for, whatever its form.
struct Asked {
    id: String,
    customer: String,
    units: i64,
}

/// Starts a server on a port of its own; it ends with the test's runtime.
pub(crate) async fn start(fault: Fault, key: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let state = State { fault, wallets: HashMap::new(), identities: HashSet::new(), batches: 0, key };
    let state = Arc::new(Mutex::new(state));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&state);
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
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
        (&Method::POST, ["v1", "grants"]) => reply(StatusCode::OK, &state.grant(&body)),
        (&Method::GET, ["v1", "wallets", customer, "loadtest"]) => match state.wallets.get(*customer) {
            Some(&units) => reply(StatusCode::OK, &json!({"balance": units::text(units.into())})),
            None => reply(StatusCode::NOT_FOUND, &json!({})),
        },
        (&Method::POST, ["v1", "events"]) => {
            let events = decode(header("content-type").unwrap_or_default(), &body);
            let minimal = header("prefer") == Some("return=minimal");
            state.batches += 1;
            match (state.fault, state.batches) {
                (Fault::IsBusyOnce, 2) => reply(StatusCode::SERVICE_UNAVAILABLE, &json!({})),
                (Fault::RefusesEvents, _) => reply(StatusCode::BAD_REQUEST, &json!({"title": "refused"})),
                (Fault::DropsAnAnswer, 3) => {
                    state.events(events, minimal);
                    return Err("dropped".to_owned());
                }
                _ => reply(StatusCode::OK, &state.events(events, minimal)),
            }
        }
        _ => reply(StatusCode::NOT_FOUND, &json!({})),
    })
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body.to_string())).expect("a response")
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
    match content_type {
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
    fn grant(&mut self, body: &[u8]) -> Value {
        let grants: Vec<Value> = serde_json::from_slice(body).expect("a JSON array");
        for grant in &grants {
            let amount = grant["amount"].as_str().and_then(units::parse).expect("an amount");
            let customer = grant["customer"].as_str().expect("a customer").to_owned();
            *self.wallets.entry(customer).or_default() += amount;
        }
        json!({"results": grants.iter().map(|_| json!({"status": "created"})).collect::<Vec<_>>()})
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
        self.identities.insert(id);
        if is_new || self.fault == Fault::AppliesDuplicates { "applied" } else { "duplicate" }
    }
}
