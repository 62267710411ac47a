//! The portal, for programs: links for customers, and the limits on what customers buy for themselves. Its pages are in [`crate::http::portal`].

use super::wallets::addressed;
use super::{named, parse};
use crate::engine::CommandError;
use crate::http::app::Call;
use crate::http::percent;
use crate::http::problem::Problem;
use crate::http::reply::Reply;
use crate::http::wire::fields::Fields;
use crate::http::wire::portal::{LimitsBody, SessionBody, limits, session_request};
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;

/// `POST /v1/portal-sessions`. The link is a secret, so the log keeps no answer: the same request again gives another link.
pub(crate) async fn post_session<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let request = {
        let arena = Bump::new();
        session_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let target = match &request.currency {
        Some(id) => {
            let unknown = || named(CommandError::NotFound { what: "credit_currency" });
            let currency = call.engine().currency(id).ok_or_else(unknown)?;
            format!("{}/{}", percent::encode(&currency.id), request.page.unwrap_or("overview"))
        }
        None => String::new(),
    };
    let now_s = call.engine().now().millis() / 1_000;
    let portal = &call.app.portal;
    let link = portal.link(call.engine(), &request.customer, request.return_url.as_deref(), target, now_s)?;
    let body = SessionBody::new(link.url, request.customer, link.ends_s);
    Ok(Reply::json(StatusCode::CREATED, &body).header("cache-control", "no-store").private())
}

/// `DELETE /v1/customers/{customer}/portal-sessions`: all links and sessions of a customer; repeating it is success.
pub(crate) async fn delete_sessions<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    crate::http::body::discard(body).await;
    call.engine().close_portal(call.first())?.await?;
    Ok(Reply::no_content())
}

/// `GET /v1/credit-currencies/{currency}/portal-limits`
pub(crate) fn get_limits(call: Call<'_>) -> Result<Reply, Problem> {
    let currency = call.engine().currency(call.first()).ok_or(CommandError::NotFound { what: "credit_currency" })?;
    let limits = call.engine().portal_limits(&currency.id)?;
    Ok(Reply::ok(&LimitsBody::of(&currency, &limits)))
}

/// `PUT /v1/credit-currencies/{currency}/portal-limits`
pub(crate) async fn put_limits<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let currency = call.engine().currency(call.first()).ok_or(CommandError::NotFound { what: "credit_currency" })?;
    let limits = {
        let arena = Bump::new();
        limits(&Fields::of(&parse(&body.bytes, &arena)?, None)?, &currency)?
    };
    call.engine().set_portal_limits(&currency.id, limits).map_err(addressed)?.await?;
    get_limits(call)
}
