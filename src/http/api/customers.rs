//! Customers: making, changing, listing and archiving them, and erasing their personal data.
//!
//! Their changes may wait for the disk on the way: a new customer's key is durable before anything else is.

use super::{apart, parse};
use crate::engine::customers::{CustomerPatch, CustomerView};
use crate::http::app::Call;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::customers::{CustomerBody, CustomerDetailBody, customer, customer_patch};
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::body::Body;

/// Shows a customer with its wallets; for the log's eyes it is not.
fn shown(call: &Call<'_>, customer: CustomerView) -> Reply {
    let wallets = call.engine().customer_wallets(&customer.id);
    Reply::ok(&CustomerDetailBody::of(customer, wallets)).private()
}

async fn changed(call: Call<'_>, patch: &CustomerPatch, makes: bool) -> Result<Reply, Problem> {
    let (customer, ticket) = apart(|| {
        if makes {
            call.engine().put_customer(call.first(), patch)
        } else {
            call.engine().patch_customer(call.first(), patch)
        }
    })?;
    ticket.await?;
    Ok(shown(&call, customer))
}

async fn read<B>(
    call: &Call<'_>,
    body: B,
    read: impl FnOnce(&Fields<'_, '_>) -> Result<CustomerPatch, Problem>,
) -> Result<CustomerPatch, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let arena = Bump::new();
    read(&Fields::of(&parse(&body.bytes, &arena)?, None)?)
}

/// `PUT /v1/customers/{customer}`
pub(crate) async fn put<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let patch = read(&call, body, customer).await?;
    changed(call, &patch, true).await
}

/// `PATCH /v1/customers/{customer}`
pub(crate) async fn patch<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let patch = read(&call, body, customer_patch).await?;
    changed(call, &patch, false).await
}

/// `GET /v1/customers/{customer}`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    let customer = call.engine().customer(call.first())?;
    Ok(shown(&call, customer))
}

/// `GET /v1/customers`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let list = query.list()?;
    let prefix = query.text("prefix").unwrap_or_default();
    let mut found = call.engine().customers(prefix, list.cursor.as_deref(), list.limit + 1);
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Reply::ok(&Page { data: found.into_iter().map(CustomerBody::of).collect(), next_cursor }))
}

/// `POST /v1/customers/{customer}/archive`: repeating it is success.
pub(crate) async fn archive<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (customer, ticket) = apart(|| call.engine().archive_customer(call.first(), call.request_key()))?;
    ticket.await?;
    Ok(shown(&call, customer))
}

/// `DELETE /v1/customers/{customer}/personal-data`: repeating it is success.
pub(crate) async fn erase<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (customer, ticket) = apart(|| call.engine().erase_customer(call.first()))?;
    ticket.await?;
    apart(|| call.engine().finish_erasure(call.first()))?;
    Ok(shown(&call, customer))
}
