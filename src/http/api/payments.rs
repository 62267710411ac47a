//! Payment methods, and what payment providers send.

use super::parse;
use crate::billing::PaymentMethod;
use crate::engine::{CommandError, Unavailable};
use crate::http::app::Call;
use crate::http::auth::hex;
use crate::http::body;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::instant;
use crate::http::wire::query::Query;
use crate::ledger::Timestamp;
use crate::payments::{Failed, Payments, Receiving, SetupAsk};
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_outbound::providers::{CallError, ReceiveError};
use hyper::StatusCode;
use hyper::body::Body;
use serde::Serialize;

/// No provider can be asked.
pub(super) fn not_connected() -> Problem {
    Problem::field("provider", "no payment provider is connected")
}

/// What a client reads where a provider was asked in vain.
pub(crate) fn problem_of(failed: Failed) -> Problem {
    match failed {
        Failed::Ledger(error) => Problem::from(error),
        Failed::NoProvider => Problem::field("provider", "is not connected"),
        Failed::Provider(CallError::Unknown { detail }) => {
            tracing::warn!(detail, "a payment provider does not answer");
            let reason = Reason::Unavailable(Unavailable::Overloaded);
            Problem::new(reason, "the payment provider does not answer just now")
        }
        Failed::Provider(CallError::Refused { code, message }) => {
            tracing::warn!(code, message, "a payment provider refuses");
            Problem::new(Reason::Conflict("provider_refused"), "the payment provider refuses").with("provider_code", code)
        }
        Failed::Provider(CallError::Unsupported(what)) => {
            Problem::new(Reason::Conflict("provider_cannot"), format!("the payment provider cannot {what}"))
        }
    }
}

fn payments<'a>(call: &Call<'a>) -> Result<&'a Payments, Problem> {
    call.app.payments.as_ref().ok_or_else(not_connected)
}

/// A payment method as it is shown.
#[derive(Debug, Serialize)]
struct MethodBody {
    id: String,
    customer: String,
    provider: String,
    brand: Option<String>,
    last4: Option<String>,
    /// As in `2027-04`.
    expires: Option<String>,
    fingerprint: Option<String>,
    default: bool,
    status: &'static str,
    created_at: String,
}

impl MethodBody {
    fn of(method: &PaymentMethod, now: Timestamp) -> Self {
        MethodBody {
            id: method.id.clone(),
            customer: method.customer.clone(),
            provider: method.provider.clone(),
            brand: method.brand.clone(),
            last4: method.last4.clone(),
            expires: method.expiry.map(|expiry| format!("{:04}-{:02}", expiry.year(), expiry.month())),
            fingerprint: method.fingerprint.clone(),
            default: method.is_default,
            status: method.status(now).as_str(),
            created_at: instant(method.created_at),
        }
    }
}

/// A payment method that is being collected.
#[derive(Debug, Serialize)]
struct SetupBody {
    customer: String,
    provider: &'static str,
    setup: String,
    /// Where the customer enters it.
    checkout_url: Option<String>,
}

/// `POST /v1/customers/{customer}/payment-methods`: begins to collect one on a page of the provider's.
pub(crate) async fn post_method<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let ask = {
        let arena = Bump::new();
        let tree = parse(&body.bytes, &arena)?;
        let fields = Fields::of(&tree, None)?;
        let return_url = fields.text("return_url")?;
        if return_url.is_some_and(|url| !is_address(url)) {
            return Err(fields.refused("return_url", "must begin with https:// or http://, and have at most 2048 bytes"));
        }
        SetupAsk {
            customer: call.first().to_owned(),
            provider: fields.text("provider")?.map(str::to_owned),
            return_url: return_url.map(str::to_owned),
        }
    };
    let payments = payments(&call)?;
    if ask.provider.as_deref().is_some_and(|name| !payments.knows(name)) {
        return Err(unknown_provider(payments));
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Problem::from(Unavailable::Overloaded))?;
    let begun = payments.begin_setup(&ask, &format!("set_{}", hex(&random))).await.map_err(problem_of)?;
    let shown =
        SetupBody { customer: ask.customer, provider: begun.provider, setup: begun.setup, checkout_url: begun.url };
    Ok(Reply::json(StatusCode::CREATED, &shown))
}

/// Whether a text can be an address that a customer is led to.
pub(super) fn is_address(url: &str) -> bool {
    url.len() <= 2_048 && (url.starts_with("https://") || url.starts_with("http://"))
}

/// A provider of that name is not connected.
pub(super) fn unknown_provider(payments: &Payments) -> Problem {
    Problem::field("provider", format!("is not connected: these are: {}", payments.names().join(", ")))
}

/// `GET /v1/customers/{customer}/payment-methods`: all of them, in one page.
pub(crate) fn list_methods(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let list = query.list()?;
    let now = call.engine().now();
    let mut found = call.engine().payment_methods(call.first());
    found.retain(|method| list.cursor.as_deref().is_none_or(|after| *method.id > *after));
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.id.clone());
    let data = found.iter().map(|method| MethodBody::of(method, now)).collect();
    Ok(Reply::ok(&Page { data, next_cursor }))
}

/// `POST /v1/customers/{customer}/payment-methods/{method}/default`: repeating it is success.
pub(crate) async fn default_method<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (method, work, ticket) = call.engine().make_default(call.first(), call.second())?;
    if let Some(payments) = &call.app.payments {
        payments.submit(work, &ticket);
    }
    ticket.await?;
    Ok(Reply::ok(&MethodBody::of(&method, call.engine().now())))
}

/// `POST /v1/customers/{customer}/payment-methods/{method}/detach`: repeating it is success.
pub(crate) async fn detach_method<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    match &call.app.payments {
        Some(payments) => payments.detach(call.first(), call.second()).await.map_err(problem_of)?,
        None => call.engine().detach_payment_method(call.first(), call.second())?.1.await?,
    }
    let method = call.engine().payment_method(call.first(), call.second())?;
    Ok(Reply::ok(&MethodBody::of(&method, call.engine().now())))
}

/// `POST /v1/providers/{provider}/webhook`: success says that what was told is on disk.
pub(crate) async fn webhook<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let unknown = || Problem::from(CommandError::NotFound { what: "provider" });
    let Some(payments) = call.app.payments.as_ref().filter(|payments| payments.knows(call.first())) else {
        return Err(call.refuse(body, unknown()).await);
    };
    let body = call.receive(body).await?;
    match payments.receive(call.first(), &call.parts.headers, &body.bytes).await {
        Ok(()) => {}
        Err(Receiving::NoProvider | Receiving::Refused(ReceiveError::Unsupported)) => return Err(unknown()),
        Err(Receiving::Refused(ReceiveError::Unverified(why))) => {
            return Err(Problem::parameter("signature", why.to_string()));
        }
        Err(Receiving::Refused(error)) => return Err(Problem::new(Reason::MalformedBody, error.to_string())),
        Err(Receiving::Later(failed)) if failed.may_pass() => return Err(problem_of(failed)),
        // Sent again, it would fail again; what it was about is in the log of the server.
        Err(Receiving::Later(failed)) => {
            tracing::error!(provider = call.first(), %failed, "an event of a payment provider cannot be taken in");
        }
    }
    Ok(Reply::ok(&serde_json::json!({"received": true})))
}
