//! Grants: making them, one or many in a call, reading, voiding, and moving their expiry.

use super::{named, parse};
use crate::engine::view::{GrantOutcome, GrantRequest};
use crate::engine::{CommandError, Engine, Ticket, Unavailable};
use crate::http::app::Call;
use crate::http::body;
use crate::http::decode::{Node, Value};
use crate::http::problem::{Problem, Reason, too_many};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::grants::{GrantBody, GrantResult, held_state, request};
use crate::http::wire::query::Query;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use serde::Serialize;

/// What a body of grants holds.
enum Requests {
    One(Box<GrantRequest>),
    Many(Vec<GrantRequest>),
}

/// Answers of a call with many grants.
#[derive(Serialize)]
struct Results {
    results: Vec<GrantResult>,
}

/// `POST /v1/grants`
pub(crate) async fn post<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let requests = {
        let arena = Bump::new();
        read(&parse(&body.bytes, &arena)?, call.effect_key().as_deref(), call.app.limits.batch_events)?
    };
    match requests {
        Requests::One(request) => one(call, *request).await,
        Requests::Many(requests) => many(call, requests).await,
    }
}

fn read(node: &Node<'_>, key: Option<&str>, limit: usize) -> Result<Requests, Problem> {
    let Value::Array(elements) = &node.value else {
        let grant = request(&Fields::of(node, None)?, key.map(str::to_owned))?;
        return Ok(Requests::One(Box::new(grant)));
    };
    if elements.len() > limit {
        return Err(too_many(limit));
    }
    let grant = |(index, element)| {
        let key = key.map(|key| format!("{key}/{index}"));
        request(&Fields::of(element, Some(index))?, key)
    };
    elements.iter().enumerate().map(grant).collect::<Result<_, _>>().map(Requests::Many)
}

async fn one(call: Call<'_>, request: GrantRequest) -> Result<Reply, Problem> {
    let (mut outcomes, ticket) = make(&call, &[request])?;
    ticket.await?;
    let outcome = outcomes.pop().expect("one outcome a request");
    let grant = GrantBody::of(call.engine(), outcome.result.map_err(named)?);
    let location = format!("/v1/grants/{}", grant.id());
    let reply = Reply::json(StatusCode::CREATED, &grant).header("location", location);
    Ok(if outcome.replayed { replayed(reply) } else { reply })
}

async fn many(call: Call<'_>, requests: Vec<GrantRequest>) -> Result<Reply, Problem> {
    let (outcomes, ticket) = make(&call, &requests)?;
    ticket.await?;
    call.check_decided(outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()))?;
    let all_replayed = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.replayed);
    let reply =
        Reply::ok(&Results { results: outcomes.into_iter().map(|outcome| result(call.engine(), outcome)).collect() });
    Ok(if all_replayed { replayed(reply) } else { reply })
}

/// Makes the grants; or finds those that were made, if the request was answered before.
fn make(call: &Call<'_>, requests: &[GrantRequest]) -> Result<(Vec<GrantOutcome>, Ticket), Unavailable> {
    if call.is_replay() { call.engine().recall_grants(requests) } else { call.engine().grant(requests) }
}

pub(super) fn replayed(reply: Reply) -> Reply {
    reply.header("idempotency-replayed", "true")
}

fn result(engine: &Engine, outcome: GrantOutcome) -> GrantResult {
    match outcome.result {
        Ok(grant) => {
            let status = if outcome.replayed { "replayed" } else { "created" };
            GrantResult { status, grant: Some(GrantBody::of(engine, grant)), error: None }
        }
        Err(error) => GrantResult { status: "rejected", grant: None, error: Some(named(error).brief()) },
    }
}

/// `GET /v1/grants/{grant}`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&GrantBody::of(call.engine(), call.engine().grant_view(call.first())?)))
}

/// `POST /v1/grants/{grant}/void`
pub(crate) async fn void<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (grant, ticket) = call.engine().void_grant(call.first())?;
    ticket.await?;
    Ok(Reply::ok(&GrantBody::of(call.engine(), grant)))
}

/// `POST /v1/grants/{grant}/activate`
pub(crate) async fn activate<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (grant, ticket) = call.engine().pay_grant(call.first())?;
    ticket.await?;
    Ok(Reply::ok(&GrantBody::of(call.engine(), grant)))
}

/// `GET /v1/grants`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let list = query.list()?;
    let Some(customer) = query.text("customer") else {
        return Err(Problem::parameter("customer", "the parameter is missing: whose grants"));
    };
    let state = match query.text("status") {
        Some(name) => {
            Some(held_state(name).ok_or_else(|| Problem::parameter("status", "must be active, scheduled or pending"))?)
        }
        None => None,
    };
    let engine = call.engine();
    let page = engine.grants(customer, query.text("currency"), state, list.cursor.as_deref(), list.limit);
    let page = page.map_err(|error| match error {
        CommandError::Invalid { field: "cursor", detail } => Problem::parameter("cursor", detail),
        other => Problem::from(other),
    })?;
    let data = page.grants.into_iter().map(|grant| GrantBody::of(engine, grant)).collect();
    Ok(Reply::ok(&Page { data, next_cursor: page.next.map(|next| engine.grant_text(next)) }))
}

/// `PATCH /v1/grants/{grant}`
pub(crate) async fn patch<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let expires_at = {
        let arena = Bump::new();
        let node = parse(&body.bytes, &arena)?;
        let fields = Fields::of(&node, None)?;
        if !fields.names("expires_at") {
            return Err(Problem::new(Reason::InvalidField, "the field is missing: a time, or null for never")
                .at_field("expires_at"));
        }
        fields.time("expires_at")?
    };
    let (grant, ticket) = call.engine().move_expiry(call.first(), expires_at)?;
    ticket.await?;
    Ok(Reply::ok(&GrantBody::of(call.engine(), grant)))
}
