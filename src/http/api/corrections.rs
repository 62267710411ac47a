//! Corrections: debits taken back, adjustments, charges, transfers.

use super::billing::settled;
use super::grants::replayed;
use super::{named, parse};
use crate::http::app::{Call, unsupported};
use crate::http::decode;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::corrections::{
    AdjustmentBody, ChargeBody, ReversalBody, adjustment_request, charge_request, reversal_request,
};
use crate::http::wire::fields::Fields;
use crate::http::wire::transfers::{TransferBody, transfer_request};
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_wal::Lsn;
use hyper::StatusCode;
use hyper::body::Body;
use serde::Serialize;

/// `POST /v1/entries/{entry}/reverse`. All fields may be left out, and so the body.
pub(crate) async fn reverse<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let entry = match entry(call.first()) {
        Ok(entry) => entry,
        Err(problem) => return Err(call.refuse(body, problem).await),
    };
    let key = call.effect_key();
    let key = key.as_deref();
    let body = call.receive(body).await?;
    let request = {
        let arena = Bump::new();
        if body.bytes.is_empty() {
            reversal_request(entry, &Fields::of(&parse(b"{}", &arena)?, None)?, key)?
        } else if decode::is_json(&call.parts.headers) {
            reversal_request(entry, &Fields::of(&parse(&body.bytes, &arena)?, None)?, key)?
        } else {
            return Err(unsupported("application/json"));
        }
    };
    let (reversal, is_replayed, ticket) = call.engine().reverse(&request)?;
    ticket.await?;
    Ok(made(&ReversalBody::of(call.engine(), reversal), is_replayed))
}

/// `POST /v1/adjustments`
pub(crate) async fn adjust<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = call.effect_key();
    let key = key.as_deref();
    let body = call.json(body).await?;
    let request = {
        let arena = Bump::new();
        adjustment_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?, key)?
    };
    let (adjustment, is_replayed, ticket) = call.engine().adjust(&request).map_err(named)?;
    ticket.await?;
    Ok(made(&AdjustmentBody::of(call.engine(), adjustment), is_replayed))
}

/// `POST /v1/charges`
pub(crate) async fn charge<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = call.effect_key();
    let key = key.as_deref();
    let body = call.json(body).await?;
    let request = {
        let arena = Bump::new();
        charge_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?, key)?
    };
    let (mut charge, is_replayed, ticket) = call.engine().charge(&request).map_err(named)?;
    match charge.payment.take() {
        Some(payment) => charge.payment = Some(Box::new(settled(&call, *payment, ticket).await?)),
        None => ticket.await?,
    }
    let charge = ChargeBody::of(call.engine(), charge);
    let location = format!("/v1/charges/{}", charge.id());
    Ok(made(&charge, is_replayed).header("location", location))
}

/// `POST /v1/transfers`
pub(crate) async fn transfer<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = call.effect_key();
    let key = key.as_deref();
    let body = call.json(body).await?;
    let request = {
        let arena = Bump::new();
        transfer_request(&Fields::of(&parse(&body.bytes, &arena)?, None)?, key)?
    };
    let (transfer, is_replayed, ticket) = call.engine().transfer(&request).map_err(named)?;
    ticket.await?;
    let transfer = TransferBody::of(call.engine(), transfer);
    let location = format!("/v1/transfers/{}", transfer.id());
    Ok(made(&transfer, is_replayed).header("location", location))
}

/// `GET /v1/transfers/{transfer}`
pub(crate) fn get_transfer(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&TransferBody::of(call.engine(), call.engine().transfer_view(call.first())?)))
}

/// `GET /v1/charges/{charge}`
pub(crate) fn get_charge(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&ChargeBody::of(call.engine(), call.engine().charge_view(call.first())?)))
}

fn made(body: &impl Serialize, is_replayed: bool) -> Reply {
    let reply = Reply::json(StatusCode::CREATED, body);
    if is_replayed { replayed(reply) } else { reply }
}

/// The entry that a path names.
fn entry(text: &str) -> Result<Lsn, Problem> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.map(Lsn::new).ok_or_else(|| Problem::new(Reason::Unknown("entry"), "there is no such entry"))
}
