//! The replay: hands rows out at the trace's rhythm, sends them as batches of CloudEvents, and enters the answers.

use super::books::{Books, Status, Told};
use super::client::{CLOUD_EVENTS, Client, ClientError, unreadable};
use super::credits::units;
use super::plan::{Event, METERS, Plan};
use super::{DemoError, Speed};
use serde::Deserialize;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Connections that send events. A wallet belongs to one of them, which keeps its events in order.
const LANES: usize = 4;

/// Rows handed out together at most.
const GROUP: usize = 128;

/// How often rows that have fallen due are handed out.
const TICK: Duration = Duration::from_millis(20);

/// Of so many events that were applied, one is sent again with the next batch, as a client does that has not seen the answer.
const AGAIN: usize = 40;

/// CloudEvents `source`.
const SOURCE: &str = "azure-llm-inference-2023-code";

/// The answer to a batch.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    id: String,
    status: String,
    reason: Option<String>,
    amount: String,
    balance: String,
    #[serde(default)]
    crossed: Vec<String>,
}

/// Replays the plan's rows, or those before the first signal; gives back how many. When it returns, all of them have been answered.
pub(super) async fn run(
    address: SocketAddr,
    plan: Arc<Plan>,
    books: Arc<Books>,
    speed: Speed,
    mut interrupts: watch::Receiver<u32>,
) -> Result<usize, DemoError> {
    let mut tasks = JoinSet::new();
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        let (lane, batches) = mpsc::channel(2);
        lanes.push(lane);
        tasks.spawn(send(address, Arc::clone(&plan), Arc::clone(&books), batches));
    }
    let started = Instant::now();
    let mut next = 0;
    while next < plan.rows.len() && *interrupts.borrow() == 0 {
        let first_due = started + at(&plan, next, speed);
        if first_due > Instant::now() {
            tokio::select! {
                () = tokio::time::sleep_until(first_due.max(Instant::now() + TICK)) => {}
                _ = interrupts.changed() => {}
            }
            continue;
        }
        let group = &plan.rows[next..plan.rows.len().min(next + GROUP)];
        let due = (0..group.len()).take_while(|&row| started + at(&plan, next + row, speed) <= Instant::now()).count();
        if !hand_out(&plan, next..next + due.max(1), &lanes).await {
            break; // a lane has failed, and tells why below
        }
        next += due.max(1);
        books.rows_sent(next);
    }
    drop(lanes);
    while let Some(lane) = tasks.join_next().await {
        lane??;
    }
    Ok(next)
}

/// When a row is due, counted from the start.
fn at(plan: &Plan, row: usize, speed: Speed) -> Duration {
    match speed {
        Speed::Max => Duration::ZERO,
        Speed::Times(times) => plan.rows[row].at / times,
    }
}

/// Gives the rows' events to the lanes of their wallets; false when a lane is gone.
async fn hand_out(plan: &Plan, rows: std::ops::Range<usize>, lanes: &[mpsc::Sender<Vec<Event>>]) -> bool {
    let mut batches = vec![Vec::new(); lanes.len()];
    for event in rows.flat_map(|row| plan.events(row)) {
        batches[event.wallet % lanes.len()].push(event);
    }
    for (lane, batch) in lanes.iter().zip(batches) {
        if !batch.is_empty() && lane.send(batch).await.is_err() {
            return false;
        }
    }
    true
}

/// Sends batches, one at a time, until there are no more.
async fn send(
    address: SocketAddr,
    plan: Arc<Plan>,
    books: Arc<Books>,
    mut batches: mpsc::Receiver<Vec<Event>>,
) -> Result<(), ClientError> {
    let mut client = Client::connect(address).await?;
    let (mut applied, mut again) = (0, Vec::new());
    loop {
        let batch = batches.recv().await;
        let over = batch.is_none();
        let mut events = batch.unwrap_or_default();
        let first_again = events.len();
        events.append(&mut again);
        if !events.is_empty() {
            let sent = Instant::now();
            let answer: Answer = client.post("/v1/events", CLOUD_EVENTS, body(&plan, &events)).await?;
            let latency = sent.elapsed();
            let told = understand(&events, answer)?;
            let fresh = events[..first_again].iter().zip(&told);
            for (event, _) in fresh.filter(|(_, told)| told.status == Status::Applied) {
                applied += 1;
                if applied % AGAIN == 0 {
                    again.push(*event);
                }
            }
            books.enter(&events, &told, first_again, latency);
        }
        if over && again.is_empty() {
            return Ok(());
        }
    }
}

fn id(event: &Event) -> String {
    format!("row-{:05}-{}", event.row + 1, METERS[event.meter].name)
}

/// The events as a batch of CloudEvents. Nothing in them needs escaping.
fn body(plan: &Plan, events: &[Event]) -> Vec<u8> {
    let mut body = String::with_capacity(events.len() * 192);
    for event in events {
        let separator = if body.is_empty() { '[' } else { ',' };
        let (meter, customer) = (METERS[event.meter].event_type, &plan.wallets[event.wallet].customer);
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            r#"{separator}{{"specversion":"1.0","id":"{}","source":"{SOURCE}","type":"{meter}","subject":"{customer}","data":{{"value":{}}}}}"#,
            id(event),
            event.quantity
        );
    }
    body.push(']');
    body.into_bytes()
}

/// The outcomes, checked to be those of the events sent.
fn understand(events: &[Event], answer: Answer) -> Result<Vec<Told>, ClientError> {
    let fault = |detail: String| unreadable("/v1/events", detail);
    if answer.results.len() != events.len() {
        return Err(fault(format!("{} results for {} events", answer.results.len(), events.len())));
    }
    let told = |(event, outcome): (&Event, Outcome)| {
        if outcome.id != id(event) {
            return Err(fault(format!("the result of {} stands where that of {} should", outcome.id, id(event))));
        }
        let (Some(amount), Some(balance)) = (units(&outcome.amount), units(&outcome.balance)) else {
            return Err(fault(format!("amounts of {}: {} and {}", outcome.id, outcome.amount, outcome.balance)));
        };
        let status = match (outcome.status.as_str(), outcome.reason.as_deref()) {
            ("applied", None) => Status::Applied,
            ("duplicate", None) => Status::Duplicate,
            ("rejected", Some("insufficient_credit")) => Status::Rejected,
            (status, reason) => Status::Unexpected(format!("{status} {}", reason.unwrap_or_default())),
        };
        Ok(Told { status, amount, balance, crossed: outcome.crossed.len() as u64 })
    };
    events.iter().zip(answer.results).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::trace;
    use serde_json::{Value, json};

    #[test]
    fn a_batch_is_cloud_events() {
        let plan = Plan::new(trace::rows(Some(2), None), 1);
        let batch: Value = serde_json::from_slice(&body(&plan, &plan.events(1))).expect("is JSON");
        assert_eq!(
            batch,
            json!([
                {"specversion": "1.0", "id": "row-00002-context", "source": SOURCE, "type": "llm.context_tokens",
                 "subject": "cus_001", "data": {"value": 3180}},
                {"specversion": "1.0", "id": "row-00002-generated", "source": SOURCE, "type": "llm.generated_tokens",
                 "subject": "cus_001", "data": {"value": 8}},
            ])
        );
    }

    #[test]
    fn answers_belong_to_what_was_sent() {
        let plan = Plan::new(trace::rows(Some(1), None), 1);
        let events = plan.events(0);
        let result = |id: &str, status: &str, reason: Option<&str>| json!({"id": id, "status": status, "reason": reason, "amount": "2.404", "balance": "1", "available": "1", "entry": 7});
        let read = |results: Value| {
            let answer: Answer =
                serde_json::from_value(json!({"applied": 1, "results": results})).expect("is an answer");
            understand(&events, answer).map_err(|error| error.to_string())
        };
        let first = result("row-00001-context", "applied", None);
        let second = result("row-00001-generated", "rejected", Some("insufficient_credit"));
        let told = read(json!([first, second])).expect("is understood");
        assert_eq!((told[0].amount, told[0].balance), (24_040, 10_000));
        assert_eq!((&told[0].status, &told[1].status), (&Status::Applied, &Status::Rejected));
        let frozen = read(json!([first, result("row-00001-generated", "rejected", Some("wallet_frozen"))]));
        assert!(matches!(frozen.expect("is understood")[1].status, Status::Unexpected(_)));
        assert!(read(json!([second, first])).is_err());
        assert!(read(json!([first])).is_err());
    }
}
