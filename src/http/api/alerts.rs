//! Alerts of wallets, default alerts of currencies, and the commitments that projected balances count.

use super::parse;
use super::wallets::addressed;
use crate::http::app::Call;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::alerts::{
    AlertsBody, CommitmentsBody, DefaultAlertsBody, alerts_request, commitments_request, default_alerts_request,
};
use crate::http::wire::fields::Fields;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::body::Body;

/// `GET /v1/wallets/{customer}/{currency}/alerts`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    let wallet = call.engine().wallet(call.first(), call.second()).map_err(addressed)?;
    Ok(Reply::ok(&AlertsBody::of(&wallet)))
}

/// `PUT /v1/wallets/{customer}/{currency}/alerts`
pub(crate) async fn put<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let request = {
        let arena = Bump::new();
        alerts_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    // The second ticket is for all that was written.
    let (_, _) = call.engine().set_alerts(call.first(), call.second(), &request.levels).map_err(addressed)?;
    let (wallet, ticket) = call.engine().set_runway(call.first(), call.second(), request.runway).map_err(addressed)?;
    ticket.await?;
    Ok(Reply::ok(&AlertsBody::of(&wallet)))
}

/// `DELETE /v1/wallets/{customer}/{currency}/alerts`
pub(crate) async fn delete<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (wallet, ticket) = call.engine().clear_alerts(call.first(), call.second()).map_err(addressed)?;
    ticket.await?;
    Ok(Reply::ok(&AlertsBody::of(&wallet)))
}

/// `GET /v1/credit-currencies/{currency}/alerts`
pub(crate) fn get_default(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&DefaultAlertsBody::of(&call.engine().default_alerts(call.first())?)))
}

/// `PUT /v1/credit-currencies/{currency}/alerts`
pub(crate) async fn put_default<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let (levels, at_once) = {
        let arena = Bump::new();
        default_alerts_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (defaults, ticket) = call.engine().set_default_alerts(call.first(), &levels, at_once)?;
    ticket.await?;
    Ok(Reply::ok(&DefaultAlertsBody::of(&defaults)))
}

/// `DELETE /v1/credit-currencies/{currency}/alerts`
pub(crate) async fn delete_default<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    // At once: who takes alerts away does not want to hear of them any more.
    let (defaults, ticket) = call.engine().set_default_alerts(call.first(), &[], true)?;
    ticket.await?;
    Ok(Reply::ok(&DefaultAlertsBody::of(&defaults)))
}

/// `GET /v1/customers/{customer}/commitments/{currency}`
pub(crate) fn commitments(call: Call<'_>) -> Result<Reply, Problem> {
    let commitments = call.engine().commitments(call.first(), call.second()).map_err(addressed)?;
    Ok(Reply::ok(&CommitmentsBody::of(&commitments)))
}

/// `PUT /v1/customers/{customer}/commitments/{currency}`
pub(crate) async fn put_commitments<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let spec = {
        let arena = Bump::new();
        commitments_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (commitments, ticket) = call.engine().set_commitments(call.first(), call.second(), &spec).map_err(addressed)?;
    ticket.await?;
    Ok(Reply::ok(&CommitmentsBody::of(&commitments)))
}

/// `DELETE /v1/customers/{customer}/commitments/{currency}`
pub(crate) async fn delete_commitments<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let none = crate::engine::CommitmentsSpec::default();
    let (commitments, ticket) = call.engine().set_commitments(call.first(), call.second(), &none).map_err(addressed)?;
    ticket.await?;
    Ok(Reply::ok(&CommitmentsBody::of(&commitments)))
}
