//! Holds: making and capturing them, one or many in a call, releasing, extending, reading.

use super::{named, parse};
use crate::engine::Engine;
use crate::engine::holds::{CaptureOutcome, CaptureRequest, HoldOutcome, HoldOwners, HoldRequest, HoldState};
use crate::http::app::Call;
use crate::http::body;
use crate::http::decode::{Node, Value};
use crate::http::problem::{Problem, Reason, too_many};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::holds::{
    CaptureAsked, CaptureBody, CaptureResult, HoldAsked, HoldBody, HoldResult, capture, cursor, cursor_text, extension,
    hold,
};
use crate::http::wire::query::Query;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use serde::Serialize;
use std::borrow::Cow;

/// What a body of holds has.
enum Requests {
    One(Box<HoldAsked>),
    Many(Vec<HoldAsked>),
}

/// Answers of a call with many.
#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

/// `POST /v1/holds`
pub(crate) async fn post<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let requests = {
        let arena = Bump::new();
        read(&parse(&body.bytes, &arena)?, call.app.limits.batch_events)?
    };
    match requests {
        Requests::One(asked) => one(call, &asked).await,
        Requests::Many(asked) => many(call, &asked).await,
    }
}

fn read(node: &Node<'_>, limit: usize) -> Result<Requests, Problem> {
    let Value::Array(elements) = &node.value else {
        return Ok(Requests::One(Box::new(hold(&Fields::of(node, None)?)?)));
    };
    if elements.len() > limit {
        return Err(too_many(limit));
    }
    let asked = |(index, element)| hold(&Fields::of(element, Some(index))?);
    elements.iter().enumerate().map(asked).collect::<Result<_, _>>().map(Requests::Many)
}

fn request(asked: &HoldAsked) -> HoldRequest<'_> {
    HoldRequest {
        id: asked.id.as_deref(),
        customer: &asked.customer,
        currency: asked.currency.as_deref(),
        amount: asked.amount,
        ttl_ms: asked.ttl_ms,
        on_exceed: asked.on_exceed,
    }
}

async fn one(call: Call<'_>, asked: &HoldAsked) -> Result<Reply, Problem> {
    let (mut outcomes, ticket) = call.engine().hold_once(&[request(asked)], call.request_key())?;
    ticket.await?;
    let outcome = outcomes.pop().expect("one outcome a request");
    let is_replayed = outcome.replayed;
    let (state, standing) = outcome.result.map_err(named)?;
    let owners = call.engine().hold_owners();
    let hold = HoldBody::standing(&owners, text(call.engine(), asked, &state), &state, standing);
    let location = format!("/v1/holds/{}", crate::http::percent::encode(hold.id()));
    let reply = Reply::json(StatusCode::CREATED, &hold).header("location", location);
    Ok(if is_replayed { reply.header("idempotency-replayed", "true") } else { reply })
}

/// The text by which the client knows the hold that it asked for.
fn text<'a>(engine: &Engine, asked: &'a HoldAsked, state: &HoldState) -> Cow<'a, str> {
    asked.id.as_deref().map_or_else(|| Cow::Owned(engine.made_hold_text(state)), Cow::Borrowed)
}

async fn many(call: Call<'_>, asked: &[HoldAsked]) -> Result<Reply, Problem> {
    let requests: Vec<_> = asked.iter().map(request).collect();
    let (outcomes, ticket) = call.engine().hold_once(&requests, call.request_key())?;
    ticket.await?;
    call.check_decided(outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()))?;
    let all_replayed = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.replayed);
    let owners = call.engine().hold_owners();
    let result = |(outcome, asked)| result(call.engine(), &owners, asked, outcome);
    let results = outcomes.into_iter().zip(asked).map(result);
    let reply = Reply::ok(&Results { results: results.collect() });
    Ok(if all_replayed { reply.header("idempotency-replayed", "true") } else { reply })
}

fn result<'a>(
    engine: &Engine,
    owners: &'a HoldOwners<'_>,
    asked: &'a HoldAsked,
    outcome: HoldOutcome,
) -> HoldResult<'a> {
    match outcome.result {
        Ok((state, standing)) => {
            let status = if outcome.replayed { "replayed" } else { "created" };
            let hold = HoldBody::standing(owners, text(engine, asked, &state), &state, standing);
            HoldResult { status, hold: Some(hold), error: None }
        }
        Err(error) => HoldResult { status: "rejected", hold: None, error: Some(named(error).brief()) },
    }
}

/// `GET /v1/holds/{hold}`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&HoldBody::of(call.engine().hold_view(call.first())?)))
}

/// `GET /v1/holds`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let list = query.list()?;
    let Some(customer) = query.text("customer") else {
        return Err(Problem::parameter("customer", "the parameter is missing: holds are listed by customer"));
    };
    if query.text("status").is_some_and(|status| status != "open") {
        return Err(Problem::parameter("status", "must be open: ended holds are read one by one"));
    }
    let after = match &list.cursor {
        Some(text) => Some(cursor(text).ok_or_else(|| Problem::parameter("cursor", "is none of this list's"))?),
        None => None,
    };
    let (holds, more) = call.engine().open_holds(customer, query.text("currency"), after, list.limit).map_err(named)?;
    let next_cursor = holds.last().filter(|_| more).map(|(at, _)| cursor_text(*at));
    let data = holds.into_iter().map(|(_, hold)| HoldBody::of(hold)).collect();
    Ok(Reply::ok(&Page { data, next_cursor }))
}

/// `POST /v1/holds/{hold}/capture`
pub(crate) async fn post_capture<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let asked = {
        let arena = Bump::new();
        capture(&Fields::of(&parse(&body.bytes, &arena)?, None)?, false)?
    };
    let request = CaptureRequest { hold: call.first(), amount: asked.amount, is_final: asked.is_final };
    let (mut outcomes, ticket) = call.engine().capture_once(&[request], call.request_key())?;
    ticket.await?;
    let captured = outcomes.pop().expect("one outcome a request")?;
    Ok(Reply::ok(&CaptureBody::of(&call.engine().hold_owners(), call.first(), &captured)))
}

/// `POST /v1/holds/captures`
pub(crate) async fn post_captures<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let asked = {
        let arena = Bump::new();
        read_captures(&parse(&body.bytes, &arena)?, call.app.limits.batch_events)?
    };
    let name = |asked: &CaptureAsked| asked.hold.clone().unwrap_or_default();
    let names: Vec<String> = asked.iter().map(name).collect();
    let request =
        |(asked, hold): (&CaptureAsked, _)| CaptureRequest { hold, amount: asked.amount, is_final: asked.is_final };
    let requests: Vec<_> = asked.iter().zip(names.iter().map(String::as_str)).map(request).collect();
    let (outcomes, ticket) = call.engine().capture_once(&requests, call.request_key())?;
    ticket.await?;
    call.check_decided(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()))?;
    let owners = call.engine().hold_owners();
    let results = outcomes.into_iter().zip(&names).map(|(outcome, hold)| capture_result(&owners, hold, outcome));
    Ok(Reply::ok(&Results { results: results.collect() }))
}

fn read_captures(node: &Node<'_>, limit: usize) -> Result<Vec<CaptureAsked>, Problem> {
    let Value::Array(elements) = &node.value else {
        return Err(Problem::new(Reason::MalformedBody, "expected a JSON array").with("offset", node.at));
    };
    if elements.len() > limit {
        return Err(too_many(limit));
    }
    elements.iter().enumerate().map(|(index, element)| capture(&Fields::of(element, Some(index))?, true)).collect()
}

fn capture_result<'a>(owners: &'a HoldOwners<'_>, hold: &'a str, outcome: CaptureOutcome) -> CaptureResult<'a> {
    match outcome {
        Ok(captured) => {
            let capture = CaptureBody::of(owners, hold, &captured);
            CaptureResult { status: "captured", capture: Some(capture), error: None }
        }
        Err(error) => CaptureResult { status: "rejected", capture: None, error: Some(Problem::from(error).brief()) },
    }
}

/// `POST /v1/holds/{hold}/release`
pub(crate) async fn release<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (hold, ticket) = call.engine().release_hold_once(call.first(), call.request_key())?;
    ticket.await?;
    Ok(Reply::ok(&HoldBody::of(hold)))
}

/// `POST /v1/holds/{hold}/extend`
pub(crate) async fn extend<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let end = {
        let arena = Bump::new();
        extension(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (hold, ticket) = call.engine().extend_hold_once(call.first(), end, call.request_key())?;
    ticket.await?;
    Ok(Reply::ok(&HoldBody::of(hold)))
}
