//! Open invoices that are paid when somebody asks for it.

use super::billing::settled;
use super::grants::replayed;
use super::parse;
use super::payments::is_address;
use crate::billing::invoice::Number;
use crate::engine::CommandError;
use crate::engine::billing::PayRequest;
use crate::http::app::{Call, unsupported};
use crate::http::decode;
use crate::http::idempotency::EFFECT_PREFIX;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::billing::{TopUpBody, invoice_number};
use crate::http::wire::fields::Fields;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;

/// `POST /v1/invoices/{invoice}/pay`: what is owed on the open invoice of a charge is collected once more.
pub(crate) async fn pay<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let number = invoice_number(call.first()).filter(|number| call.engine().invoice(Number(*number)).is_ok());
    let Some(number) = number else {
        let unknown = CommandError::NotFound { what: "invoice" };
        return Err(call.refuse(body, unknown.into()).await);
    };
    let body = call.receive(body).await?;
    let mut request = read(&call, &body.bytes)?;
    request.key = request.key.or_else(|| call.effect_key());
    let (top_up, is_replayed, ticket) = call.engine().pay_invoice(Number(number), &request)?;
    let top_up = settled(&call, top_up, ticket).await?;
    let body = TopUpBody::of(call.engine(), top_up);
    let location = format!("/v1/top-ups/{}", body.id());
    let reply = Reply::json(StatusCode::CREATED, &body).header("location", location);
    Ok(if is_replayed { replayed(reply) } else { reply })
}

/// Reads `{payment_method?, return_url?, key?}`. All fields may be left out, and so the body.
fn read(call: &Call<'_>, bytes: &[u8]) -> Result<PayRequest, Problem> {
    if bytes.is_empty() {
        return Ok(PayRequest::default());
    }
    if !decode::is_json(&call.parts.headers) {
        return Err(unsupported("application/json"));
    }
    let arena = Bump::new();
    let tree = parse(bytes, &arena)?;
    let fields = Fields::of(&tree, None)?;
    let text = |name| Ok::<_, Problem>(fields.text(name)?.map(str::to_owned));
    let request = PayRequest { method: text("payment_method")?, return_url: text("return_url")?, key: text("key")? };
    if request.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255) {
        return Err(fields.refused("key", "must have 1 to 255 bytes"));
    }
    if request.key.as_ref().is_some_and(|key| key.starts_with(EFFECT_PREFIX)) {
        return Err(fields.refused("key", "must not begin with idk:"));
    }
    if request.return_url.as_deref().is_some_and(|url| !is_address(url)) {
        return Err(Problem::new(Reason::InvalidValue, "must begin with https:// or http://").at_field("return_url"));
    }
    Ok(request)
}
