//! Credit currencies and meters.

use super::{named, parse};
use crate::engine::Engine;
use crate::engine::catalog::Meter;
use crate::http::app::Call;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::catalog::{CurrencyBody, MeterBody, currency_spec, meter_spec};
use crate::http::wire::customers::archived;
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::body::Body;

/// `PUT /v1/credit-currencies/{currency}`
pub(crate) async fn put_currency<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let spec = {
        let arena = Bump::new();
        currency_spec(call.first(), &Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (currency, ticket) = call.engine().put_currency(spec)?;
    ticket.await?;
    Ok(Reply::ok(&CurrencyBody::of(&currency)))
}

/// `PATCH /v1/credit-currencies/{currency}`
pub(crate) async fn patch_currency<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let archived = status(&call, body).await?;
    let (currency, ticket) = call.engine().archive_currency(call.first(), archived)?;
    ticket.await?;
    Ok(Reply::ok(&CurrencyBody::of(&currency)))
}

/// `PATCH /v1/meters/{event_type}`
pub(crate) async fn patch_meter<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let archived = status(&call, body).await?;
    let (meter, ticket) = call.engine().archive_meter(call.first(), archived)?;
    ticket.await?;
    Ok(Reply::ok(&show(call.engine(), &meter)))
}

/// Reads `{status}`: whether it is `archived`.
async fn status<B>(call: &Call<'_>, body: B) -> Result<bool, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let arena = Bump::new();
    let node = parse(&body.bytes, &arena)?;
    let fields = Fields::of(&node, None)?;
    archived(&fields)?.ok_or_else(|| fields.refused("status", "the field is missing: active or archived"))
}

/// `GET /v1/credit-currencies/{currency}`
pub(crate) fn get_currency(call: Call<'_>) -> Result<Reply, Problem> {
    match call.engine().currency(call.first()) {
        Some(currency) => Ok(Reply::ok(&CurrencyBody::of(&currency))),
        None => Err(Problem::new(Reason::Unknown("credit_currency"), "there is no such credit currency")),
    }
}

/// `GET /v1/credit-currencies`
pub(crate) fn list_currencies(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let all = call.engine().currencies();
    Ok(Reply::ok(&Page::of(all, &list, |currency| &currency.id, |currency| CurrencyBody::of(currency))))
}

/// `PUT /v1/meters/{event_type}`
pub(crate) async fn put_meter<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let spec = {
        let arena = Bump::new();
        meter_spec(call.first(), &Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (meter, ticket) = call.engine().put_meter(spec).map_err(named)?;
    ticket.await?;
    Ok(Reply::ok(&show(call.engine(), &meter)))
}

/// `GET /v1/meters/{event_type}`
pub(crate) fn get_meter(call: Call<'_>) -> Result<Reply, Problem> {
    match call.engine().meter(call.first()) {
        Some(meter) => Ok(Reply::ok(&show(call.engine(), &meter))),
        None => Err(Problem::new(Reason::Unknown("meter"), "there is no such meter")),
    }
}

/// `GET /v1/meters`
pub(crate) fn list_meters(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let all = call.engine().meters();
    Ok(Reply::ok(&Page::of(all, &list, |meter| &meter.event_type, |meter| show(call.engine(), meter))))
}

fn show(engine: &Engine, meter: &Meter) -> MeterBody {
    let currency = engine.currency_by_number(meter.currency);
    MeterBody::of(meter, currency.map(|currency| currency.id.clone()))
}
