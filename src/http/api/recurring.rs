//! Recurring grants of a customer.

use super::{named, parse};
use crate::engine::recurring::RecurringView;
use crate::http::app::Call;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use crate::http::wire::recurring::{RecurringBody, recurring_spec};
use bumpalo::Bump;
use bytes::Bytes;
use hyper::body::Body;

/// `PUT /v1/customers/{customer}/recurring-grants/{id}`
pub(crate) async fn put<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let spec = {
        let arena = Bump::new();
        recurring_spec(call.first(), call.second(), &Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (recurring, ticket) = call.engine().put_recurring(&spec).map_err(named)?;
    ticket.await?;
    Ok(Reply::ok(&RecurringBody::of(recurring)))
}

/// `GET /v1/customers/{customer}/recurring-grants/{id}`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&RecurringBody::of(call.engine().recurring(call.first(), call.second())?)))
}

/// `GET /v1/customers/{customer}/recurring-grants`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let all = call.engine().customer_recurrings(call.first());
    let show = |view: &RecurringView| RecurringBody::of(view.clone());
    Ok(Reply::ok(&Page::of(all, &list, |view| view.record.id.as_str(), show)))
}

/// `DELETE /v1/customers/{customer}/recurring-grants/{id}`
pub(crate) async fn delete<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (recurring, ticket) = call.engine().stop_recurring(call.first(), call.second())?;
    ticket.await?;
    Ok(Reply::ok(&RecurringBody::of(recurring)))
}
