//! A receiver of webhooks, as a customer of the server would write one: it listens on this machine, registers itself through the API, and believes
//! only what is signed with the secret that it was given.
//!
//! What it holds a message to: a signature by that secret over id, time and body, not five minutes old (Standard Webhooks); an identity that is
//! the event's; and the order of the log among the events of one wallet. It keeps the identities of what it has, so a message that comes again is
//! counted as such and does nothing.

use super::DemoError;
use super::client::{Client, JSON, unreadable};
use super::terminal::{Style, painted};
use super::watch::TOLD;
use bytes::Bytes;
use drawdown::engine::{Clock, SystemClock};
use drawdown_outbound::http::HeaderMap;
use drawdown_outbound::webhooks::{Secret, verify};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How far a signature may lie from now, seconds.
const TOLERANCE_S: u64 = 300;

/// Messages of one type that are printed; the others are counted.
const SHOWN_OF_A_TYPE: u64 = 2;

/// Fields of an event that are printed, in this order.
const FIELDS: [&str; 11] =
    ["level", "balance", "reason", "number", "total", "amount", "money", "credits", "failure", "retry_at", "until"];

/// What an endpoint is made known with.
#[derive(Deserialize)]
struct Made {
    id: String,
    secret: String,
}

/// A message's body.
#[derive(Deserialize)]
struct Message {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Event,
}

/// The event in it, as the feed shows it.
#[derive(Deserialize)]
struct Event {
    id: String,
    lsn: u64,
    customer: Option<String>,
    currency: Option<String>,
    data: Map<String, Value>,
}

/// A receiver at work. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Receiver {
    inbox: Arc<Inbox>,
    /// The endpoint's id.
    endpoint: String,
    accepting: JoinHandle<()>,
}

/// What has come.
#[derive(Debug)]
pub(super) struct Inbox {
    secret: Mutex<Option<Secret>>,
    mail: Mutex<Mail>,
    arrived: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Mail {
    verified: HashSet<String>,
    by_kind: BTreeMap<String, u64>,
    lines: Vec<String>,
    printed: usize,
    again: u64,
    refused: u64,
    /// Messages that came before one of the same wallet that precedes them.
    overtaken: u64,
    /// The place in the log of the last message, by customer and currency.
    last: HashMap<(String, String), u64>,
}

/// What has come, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Events whose signature was verified.
    pub(super) verified: u64,
    /// Of each type so many.
    pub(super) by_kind: BTreeMap<String, u64>,
    /// Messages of events that had come before.
    pub(super) again: u64,
    /// Messages that were not believed.
    pub(super) refused: u64,
    /// Messages that came before one of the same wallet that precedes them.
    pub(super) overtaken: u64,
}

impl Receiver {
    /// Listens, and registers with the server at `server` for what [`TOLD`] names.
    pub(super) async fn start(server: SocketAddr) -> Result<Receiver, DemoError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/webhooks", listener.local_addr()?);
        let inbox = Arc::new(Inbox::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&inbox)));
        let wanted = json!({"url": url, "events": TOLD, "description": "the demo's own receiver"});
        let path = "/v1/webhook-endpoints";
        let mut client = Client::connect(server).await?;
        let Made { id, secret } = client.post(path, JSON, wanted.to_string().into_bytes()).await?;
        let secret = secret.parse().map_err(|error| unreadable(path, format!("no secret: {error}")))?;
        *inbox.secret.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret);
        Ok(Receiver { inbox, endpoint: id, accepting })
    }

    /// What has come.
    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Has the server send nothing more: nobody will be listening there.
    pub(super) async fn sign_off(self, server: SocketAddr) -> Result<(), DemoError> {
        let path = format!("/v1/webhook-endpoints/{}", self.endpoint);
        Ok(Client::connect(server).await?.delete(&path).await?)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, inbox: Arc<Inbox>) {
    // A receiver that is given no connections hears no more, and the audit tells.
    while let Ok((stream, _)) = listener.accept().await {
        let inbox = Arc::clone(&inbox);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &inbox));
            // What breaks off is sent again.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, inbox: &Inbox) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let status = match body.collect().await {
        Ok(body) => inbox.take(&head.headers, &body.to_bytes(), SystemClock.now().millis() / 1_000),
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { secret: Mutex::default(), mail: Mutex::default(), arrived: watch::Sender::new(()) }
    }
}

impl Inbox {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        // Sums are whole between any two statements that can panic.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message in, and says how it is answered. `now_s` is the receiver's clock.
    fn take(&self, headers: &HeaderMap, body: &[u8], now_s: u64) -> StatusCode {
        let secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Sent again a moment later.
        let Some(secret) = secret else { return StatusCode::SERVICE_UNAVAILABLE };
        let verified = verify(&[secret], headers, body, now_s, TOLERANCE_S);
        let message = serde_json::from_slice::<Message>(body);
        let mut mail = self.mail();
        let status = match (verified, message) {
            (Ok(verified), Ok(message)) if verified.id == message.id && message.id == message.data.id => {
                mail.enter(message);
                StatusCode::NO_CONTENT
            }
            (Err(_), _) | (Ok(_), Ok(_) | Err(_)) => {
                mail.refused += 1;
                StatusCode::BAD_REQUEST
            }
        };
        drop(mail);
        self.arrived.send_replace(());
        status
    }

    /// What has come, in numbers.
    pub(super) fn count(&self) -> Count {
        let mail = self.mail();
        Count {
            verified: mail.verified.len() as u64,
            by_kind: mail.by_kind.clone(),
            again: mail.again,
            refused: mail.refused,
            overtaken: mail.overtaken,
        }
    }

    /// How many events have come.
    pub(super) fn verified(&self) -> u64 {
        self.mail().verified.len() as u64
    }

    /// The lines of what has come since they were asked for last: the first of each type.
    pub(super) fn new_lines(&self) -> Vec<String> {
        let mut mail = self.mail();
        let new = mail.lines[mail.printed..].to_vec();
        mail.printed = mail.lines.len();
        new
    }

    /// How many of these events have come.
    pub(super) fn has_of(&self, events: &HashSet<String>) -> u64 {
        let mail = self.mail();
        events.iter().filter(|id| mail.verified.contains(*id)).count() as u64
    }

    /// Waits until all of these events have come, but for `patience` without any at the most.
    pub(super) async fn wait_for(&self, events: &HashSet<String>, patience: Duration) {
        let mut arrived = self.arrived.subscribe();
        while self.has_of(events) < events.len() as u64 {
            if tokio::time::timeout(patience, arrived.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Mail {
    fn enter(&mut self, message: Message) {
        let Message { id, kind, data: Event { lsn, customer, currency, data, .. } } = message;
        if !self.verified.insert(id) {
            self.again += 1;
            return;
        }
        let customer = customer.unwrap_or_default();
        let last = self.last.entry((customer.clone(), currency.unwrap_or_default())).or_default();
        self.overtaken += u64::from(lsn < *last);
        *last = lsn.max(*last);
        let count = self.by_kind.entry(kind.clone()).or_default();
        *count += 1;
        if *count <= SHOWN_OF_A_TYPE {
            self.lines.push(line(&kind, &customer, &data));
        }
    }
}

/// A message for people.
fn line(kind: &str, customer: &str, data: &Map<String, Value>) -> String {
    let style = match kind.rsplit('.').next() {
        Some("completed" | "paid" | "recovered") => Style::Green,
        Some("failed" | "suspended" | "depleted" | "negative") => Style::Red,
        Some("low" | "skipped") => Style::Yellow,
        _ => Style::Cyan,
    };
    let mut text =
        format!("  {} {} {customer:<8}", painted(Style::Dim, "verified"), painted(style, &format!("{kind:<21}")));
    for name in FIELDS {
        let value = match data.get(name) {
            Some(Value::String(value)) => value.clone(),
            Some(value @ Value::Number(_)) => value.to_string(),
            _ => continue,
        };
        // What is paid in stands behind the amount.
        let label = if name == "money" { "" } else { name };
        let gap = if label.is_empty() { "" } else { "  " };
        text.extend([gap, label, " ", &value]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawdown_outbound::webhooks::sign;

    const NOW_S: u64 = 1_800_000_000;

    fn secret(of: u8) -> Secret {
        Secret::new(&[of; 32]).expect("of an allowed length")
    }

    fn body(id: &str, lsn: u64, customer: &str) -> Vec<u8> {
        let data = json!({"id": id, "lsn": lsn, "customer": customer, "currency": "credits", "data": {"level": "low", "balance": "1.5"}});
        json!({"id": id, "type": "balance.low", "data": data}).to_string().into_bytes()
    }

    fn inbox() -> Inbox {
        let inbox = Inbox::default();
        *inbox.secret.lock().expect("a sound lock") = Some(secret(1));
        inbox
    }

    /// Sends a message that is signed with the secret of a number, so many seconds ago.
    #[track_caller]
    fn check(inbox: &Inbox, (id, body): (&str, &[u8]), of: u8, ago_s: u64, expected: StatusCode) {
        let headers = sign(&[secret(of)], id, NOW_S - ago_s, body).expect("a message");
        assert_eq!(inbox.take(&headers, body, NOW_S), expected);
    }

    #[test]
    fn only_what_is_signed_just_now_with_its_own_secret_is_believed() {
        let inbox = inbox();
        let first = body("evt_1-0", 1, "a");
        check(&inbox, ("evt_1-0", &first), 1, 0, StatusCode::NO_CONTENT);
        check(&inbox, ("evt_1-0", &first), 1, 300, StatusCode::NO_CONTENT);
        check(&inbox, ("evt_1-0", &first), 1, 301, StatusCode::BAD_REQUEST);
        check(&inbox, ("evt_1-0", &first), 2, 0, StatusCode::BAD_REQUEST);
        check(&inbox, ("evt_2-0", &first), 1, 0, StatusCode::BAD_REQUEST);
        check(&inbox, ("evt_2-0", b"{}"), 1, 0, StatusCode::BAD_REQUEST);
        let headers = sign(&[secret(1)], "evt_1-0", NOW_S, &first).expect("a message");
        assert_eq!(inbox.take(&headers, &body("evt_1-0", 9, "a"), NOW_S), StatusCode::BAD_REQUEST);
        let count = inbox.count();
        assert_eq!((count.verified, count.again, count.refused), (1, 1, 5));
        assert_eq!(Inbox::default().take(&headers, &first, NOW_S), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn order_is_of_a_wallet_and_lines_are_few() {
        let inbox = inbox();
        for (lsn, customer) in [(5, "a"), (3, "b"), (5, "b"), (4, "b"), (7, "a")] {
            let id = format!("evt_{lsn}-{customer}");
            check(&inbox, (&id, &body(&id, lsn, customer)), 1, 0, StatusCode::NO_CONTENT);
        }
        let count = inbox.count();
        assert_eq!((count.verified, count.overtaken, count.by_kind["balance.low"]), (5, 1, 5));
        let lines = inbox.new_lines();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("level low  balance 1.5"), "{lines:?}");
        assert!(inbox.new_lines().is_empty());
        let told = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<_>>();
        assert_eq!(inbox.has_of(&told(&["evt_5-a", "evt_9-a"])), 1);
    }
}
