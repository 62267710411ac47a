//! Payment methods, and what payment providers send.

use crate::engine::{CommandError, Unavailable};
use crate::http::app::Call;
use crate::http::auth::hex;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::payments::{Failed, Payments, Receiving, SetupAsk};
use bytes::Bytes;
use drawdown_outbound::providers::{CallError, ReceiveError};
use hyper::StatusCode;
use hyper::body::Body;
use serde::Serialize;

/// No provider can be asked.
fn not_connected() -> Problem {
    Problem::field("provider", "no payment provider is connected")
}

/// What a client reads where a provider was asked in vain.
pub(crate) fn problem_of(failed: Failed) -> Problem {
    match failed {
        Failed::Ledger(error) => Problem::from(error),
        Failed::NoProvider => Problem::field("provider", "is not connected"),
        Failed::NotKnownYet => {
            let detail = "the payment that this is about is not known yet: it is to be sent again";
            Problem::new(Reason::Conflict("payment_not_known_yet"), detail)
        }
        Failed::Provider(CallError::Unknown { detail }) => {
            tracing::warn!(detail, "a payment provider does not answer");
            let reason = Reason::Unavailable(Unavailable::Overloaded);
            Problem::new(reason, "the payment provider does not answer just now")
        }
        Failed::Provider(CallError::Refused { code, message }) => {
            tracing::warn!(code, message, "a payment provider refuses");
            Problem::new(Reason::Conflict("provider_refused"), "the payment provider refuses")
                .with("provider_code", code)
        }
        Failed::Provider(CallError::Unsupported(what)) => {
            Problem::new(Reason::Conflict("provider_cannot"), format!("the payment provider cannot {what}"))
        }
    }
}

fn payments<'a>(call: &Call<'a>) -> Result<&'a Payments, Problem> {
    call.app.payments.as_ref().ok_or_else(not_connected)
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

/// Begins to collect a payment method on a page of the provider's: what a body without a reference asks for.
pub(super) async fn begin_setup(call: &Call<'_>, ask: SetupAsk) -> Result<Reply, Problem> {
    if ask.return_url.as_deref().is_some_and(|url| !is_address(url)) {
        let detail = "must begin with https:// or http://, and have at most 2048 bytes";
        return Err(Problem::field("return_url", detail));
    }
    let payments = payments(call)?;
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
pub(crate) fn is_address(url: &str) -> bool {
    url.len() <= 2_048 && (url.starts_with("https://") || url.starts_with("http://"))
}

/// A provider of that name is not connected.
fn unknown_provider(payments: &Payments) -> Problem {
    Problem::field("provider", format!("is not connected: these are: {}", payments.names().join(", ")))
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
