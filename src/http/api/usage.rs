//! Usage: events and checks. The hot path.

use super::parse;
use crate::engine::{Charge, CommandError, Engine, EventOutcome, EventStatus, Ticket, Unavailable, UsageEvent};
use crate::http::app::{Call, unsupported};
use crate::http::decode::{Batch, BinaryHeaders, Dialect, Media, decode};
use crate::http::metrics::Stopwatch;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::fields::Fields;
use crate::http::wire::{self, events};
use crate::ledger::{Policy, Rejection, Scale};
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::HeaderMap;
use serde::Serialize;
use serde_json::json;
use std::cell::RefCell;

/// Vectors that a thread keeps from request to request, so that a large batch does not fault in fresh pages each time.
#[derive(Default)]
struct Scratch {
    events: Vec<UsageEvent<'static>>,
    outcomes: Vec<EventOutcome>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Log bytes that a batch and each of its events are admitted with, in general: what a batch without room waits for.
const LOG_BYTES: u64 = 36 << 10;
const LOG_BYTES_PER_EVENT: u64 = 192;

/// Elements for which a kept vector may hold on to room.
const SCRATCH_EVENTS_MAX: usize = 16_384;

/// `POST /v1/events`
pub(crate) async fn events<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(media) = Media::of(&call.parts.headers, Dialect::Flat) else {
        return Err(call.refuse(body, unsupported(Media::EVENTS)).await);
    };
    let minimal = prefers_minimal(&call.parts.headers);
    let show = |events: &[UsageEvent<'_>], outcomes: &[EventOutcome], shape| match (shape, outcomes) {
        (Shape::Single, [outcome]) if matches!(outcome.status, EventStatus::Rejected(_)) => {
            Err(rejected_event(outcome))
        }
        (Shape::Group, outcomes) => group(events, outcomes, minimal),
        _ => Ok(Reply::new(StatusCode::OK, "application/json", events::write(events, outcomes, minimal))),
    };
    let (ticket, reply) = apply(call, media, body, show).await?;
    durable(call, ticket).await?;
    let reply = reply?;
    Ok(if minimal { reply.header("preference-applied", "return=minimal") } else { reply })
}

/// `POST /api/v1/events`: what existing OpenMeter clients send, and 204 as they expect it.
pub(crate) async fn cloud_events<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(media) = Media::of(&call.parts.headers, Dialect::CloudEvents) else {
        return Err(call.refuse(body, unsupported(Media::CLOUD_EVENTS)).await);
    };
    let (ticket, reply) = apply(call, media, body, |events, outcomes, _| all_or_problem(events, outcomes)).await?;
    durable(call, ticket).await?;
    reply
}

/// What a body was, which decides how its outcomes are shown.
#[derive(Clone, Copy)]
enum Shape {
    /// One event.
    Single,
    /// Events that stand each on its own.
    Batch,
    /// Events of which all are applied or none is.
    Group,
}

/// The answer to a group: that of a batch when it took place, else the problem of the first event that was refused for its own sake, with a
/// list of all.
fn group(events: &[UsageEvent<'_>], outcomes: &[EventOutcome], minimal: bool) -> Result<Reply, Problem> {
    all_or_problem(events, outcomes)?;
    Ok(Reply::new(StatusCode::OK, "application/json", events::write(events, outcomes, minimal)))
}

/// Waits until what the answer says is on disk.
async fn durable(call: Call<'_>, ticket: Ticket) -> Result<(), Problem> {
    let mut watch = Stopwatch::start();
    ticket.await?;
    watch.lap(&call.app.metrics.stages.durable);
    Ok(())
}

/// Receives, decodes and submits a batch, and shows the outcomes while events and outcomes are at hand. A batch for which the log has no
/// room waits for it as a future, with nothing held but its body, and is decoded again.
///
/// The answer may leave when the ticket has resolved, which is the caller's to await: nothing borrowed is held across that wait.
async fn apply<B, T>(
    call: Call<'_>,
    media: Media,
    body: B,
    show: impl Fn(&[UsageEvent<'_>], &[EventOutcome], Shape) -> T,
) -> Result<(Ticket, T), Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.receive(body).await?;
    let (mut deadline, mut patience) = (None, 1);
    loop {
        match attempt(call, media, &body.bytes, &show)? {
            Attempt::Decided(ticket, shown) => return Ok((ticket, shown)),
            Attempt::NoRoom { log_bytes } => {
                let deadline = *deadline.get_or_insert_with(|| call.app.room_deadline());
                if patience > 1 && tokio::time::Instant::now() >= deadline {
                    return Err(Unavailable::Overloaded.into());
                }
                call.app.await_room(log_bytes.saturating_mul(patience), deadline).await?;
                // Room that was there and did not do was too little, or is taken by another now: the next time there has to be more.
                patience = patience.saturating_mul(2);
            }
        }
    }
}

/// What came of submitting a batch once.
enum Attempt<T> {
    Decided(Ticket, T),
    /// Nothing was applied: too much is waiting for the disk. The batch takes about so many bytes of log.
    NoRoom {
        log_bytes: u64,
    },
}

fn attempt<T>(
    call: Call<'_>,
    media: Media,
    body: &Bytes,
    show: &impl Fn(&[UsageEvent<'_>], &[EventOutcome], Shape) -> T,
) -> Result<Attempt<T>, Problem> {
    let stages = &call.app.metrics.stages;
    let mut watch = Stopwatch::start();
    SCRATCH.with_borrow_mut(|scratch| {
        let arena = Bump::new();
        let mut batch = Batch { events: std::mem::take(&mut scratch.events), ..Batch::default() };
        let headers = BinaryHeaders::new(&call.parts.headers);
        decode(media, &headers, body, &arena, call.app.limits.batch_events, &mut batch)?;
        check_currencies(call.engine(), &batch)?;
        watch.lap(&stages.decode);
        let submitted = if batch.atomic {
            submit_group(call.engine(), &batch.events, &mut scratch.outcomes)?
        } else {
            call.engine().submit(&batch.events, &mut scratch.outcomes)
        };
        let ticket = match submitted {
            Err(Unavailable::Overloaded) => {
                return Ok(Attempt::NoRoom { log_bytes: LOG_BYTES + LOG_BYTES_PER_EVENT * batch.events.len() as u64 });
            }
            outcome => outcome?,
        };
        watch.lap(&stages.engine);
        stages.events.record(batch.events.len() as u64);
        let shape = match (batch.single, batch.atomic) {
            (true, _) => Shape::Single,
            (false, true) => Shape::Group,
            (false, false) => Shape::Batch,
        };
        let shown = show(&batch.events, &scratch.outcomes, shape);
        watch.lap(&stages.encode);
        scratch.events = recycle(batch.events);
        scratch.outcomes.clear();
        scratch.outcomes.shrink_to(SCRATCH_EVENTS_MAX);
        Ok(Attempt::Decided(ticket, shown))
    })
}

/// Submits a group. What refuses it as a whole is a problem; that the log has no room is for the caller to wait for.
#[cold]
fn submit_group(
    engine: &Engine,
    events: &[UsageEvent<'_>],
    outcomes: &mut Vec<EventOutcome>,
) -> Result<Result<Ticket, Unavailable>, Problem> {
    match engine.submit_group(events, outcomes) {
        Ok(ticket) => Ok(Ok(ticket)),
        Err(CommandError::Unavailable(unavailable)) => Ok(Err(unavailable)),
        Err(error) => Err(error.into()),
    }
}

/// Empties a vector and lets its allocation live on under another lifetime.
fn recycle(mut events: Vec<UsageEvent<'_>>) -> Vec<UsageEvent<'static>> {
    events.clear();
    events.shrink_to(SCRATCH_EVENTS_MAX);
    // Collecting in place reuses the allocation; there is no element left to convert.
    events.into_iter().map(|_| unreachable!("the vector was cleared")).collect()
}

/// An event that names a currency beside its meter must mean the meter's. An unknown meter is the engine's to reject.
fn check_currencies(engine: &Engine, batch: &Batch<'_>) -> Result<(), Problem> {
    for &(index, stated) in &batch.stated_currencies {
        let Charge::Metered { meter, .. } = batch.events[index].charge else { continue };
        let Some(meter) = engine.meter(meter) else { continue };
        if engine.currency(stated).is_none_or(|currency| currency.number != meter.currency) {
            return Err(Problem::field("currency", "the meter debits another currency").at_index(index));
        }
    }
    Ok(())
}

fn prefers_minimal(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    preferences
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("return=minimal"))
}

/// The problem of a single event that was rejected, with the amounts where they are known.
fn rejected_event(outcome: &EventOutcome) -> Problem {
    let EventStatus::Rejected(rejection) = outcome.status else { unreachable!("only rejected outcomes are problems") };
    let problem = Problem::from(rejection);
    if wallet_is_known(&rejection) {
        let show = |amount| wire::amount(amount, outcome.scale);
        let problem = match rejection {
            Rejection::InsufficientCredit { available, required } => {
                problem.saying(format!("the event needs {} and {} is available", show(required), show(available)))
            }
            _ => problem,
        };
        let problem = problem.with("balance", show(outcome.balance)).with("available", show(outcome.available));
        return problem.with("amount", show(outcome.amount));
    }
    problem
}

/// Whether a rejection came from a wallet, whose balance the outcome then shows.
const fn wallet_is_known(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::InsufficientCredit { .. } | Rejection::WalletFrozen | Rejection::WalletClosed)
}

/// 204 when everything was applied or a duplicate, else the first rejection's problem with a list of all.
fn all_or_problem(events: &[UsageEvent<'_>], outcomes: &[EventOutcome]) -> Result<Reply, Problem> {
    let rejected =
        outcomes.iter().zip(events).enumerate().filter_map(|(index, (outcome, event))| match outcome.status {
            EventStatus::Rejected(rejection) => Some((index, outcome, event, rejection)),
            EventStatus::Applied | EventStatus::Duplicate => None,
        });
    let list: Vec<_> = rejected
        .clone()
        .map(|(index, _, event, rejection)| json!({"index": index, "id": event.id, "reason": rejection.slug()}))
        .collect();
    let is_reason =
        |rejected: &(usize, &EventOutcome, &UsageEvent<'_>, Rejection)| rejected.3 != Rejection::GroupRejected;
    let Some((index, outcome, ..)) = rejected.clone().find(is_reason) else { return Ok(Reply::no_content()) };
    Err(rejected_event(outcome).at_index(index).with("rejected", list))
}

/// What a debit would come to.
#[derive(Serialize)]
struct CheckBody {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    amount: Option<String>,
    balance: Option<String>,
    available: String,
}

/// `POST /v1/check`
pub(crate) async fn check<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let arena = Bump::new();
    let node = parse(&body.bytes, &arena)?;
    let fields = Fields::of(&node, None)?;
    let customer = fields.required_text("customer")?;
    let currency = fields.text("currency")?;
    let charge = match (fields.has("amount")?, fields.text("meter")?) {
        (true, None) => Charge::Amount { currency, amount: Ok(fields.required_decimal("amount")?) },
        (false, Some(meter)) => Charge::Metered { meter, quantity: Ok(fields.required_decimal("quantity")?) },
        _ => return Err(fields.refused("amount", "a check has either an amount or a meter with a quantity")),
    };
    let policy = fields.choice("on_insufficient", Policy::parse, "must be reject, partial or overdraft")?;
    Ok(Reply::ok(&match call.engine().check(customer, &charge, policy) {
        Ok(outcome) => CheckBody {
            allowed: outcome.allowed,
            reason: outcome.reason.map(|rejection| rejection.slug()),
            amount: Some(wire::amount(outcome.amount, outcome.scale)),
            balance: Some(wire::amount(outcome.balance, outcome.scale)),
            available: wire::amount(outcome.available, outcome.scale),
        },
        Err(rejection) => CheckBody {
            allowed: false,
            reason: Some(rejection.slug()),
            amount: None,
            balance: None,
            available: wire::amount(crate::ledger::Amount::ZERO, Scale::default()),
        },
    }))
}
