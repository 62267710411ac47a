//! Webhook endpoints and what is sent to them.

use super::parse;
use crate::engine::Ticket;
use crate::engine::Unavailable;
use crate::engine::view::CommandError;
use crate::engine::webhooks::{Deed, DeliveryId, DeliveryQuery, EndpointSpec, EndpointView};
use crate::http::app::Call;
use crate::http::auth::hex;
use crate::http::body;
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::query::Query;
use crate::http::wire::webhooks::{DeliveryBody, DeliveryDetailBody, EndpointBody, endpoint, endpoint_patch};
use bumpalo::Bump;
use bytes::Bytes;
use drawdown_outbound::http::{AddressPolicy, UrlError, parse_url};
use drawdown_outbound::webhooks::Secret;
use hyper::StatusCode;
use hyper::body::Body;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Which endpoints are taken, and for how long an old secret signs beside a new one.
#[derive(Clone, Debug)]
pub struct WebhookRules {
    /// `http` URLs and addresses that are not public are taken, too.
    pub allow_private: bool,
    /// How long a secret goes on signing after another one was made.
    pub secret_overlap: Duration,
}

impl Default for WebhookRules {
    fn default() -> Self {
        WebhookRules { allow_private: false, secret_overlap: Duration::from_hours(24) }
    }
}

impl WebhookRules {
    /// Looks at a URL. What a name leads to is looked at when it is connected to.
    fn check(&self, text: &str) -> Result<(), Problem> {
        let refused = |what: String| Problem::new(Reason::InvalidValue, what).at_field("url");
        let url = parse_url(text).map_err(|error| refused(error.to_string()))?;
        if self.allow_private {
            return Ok(());
        }
        if url.scheme_str() != Some("https") {
            return Err(refused(UrlError::Insecure.to_string()));
        }
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        if host.eq_ignore_ascii_case("localhost") {
            return Err(refused("localhost is not a public address".to_owned()));
        }
        match host.parse::<IpAddr>().map(|address| AddressPolicy::public().check(address)) {
            Ok(Err(special)) => Err(refused(format!("{host} is a {special} address, which is not allowed"))),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

fn new_secret() -> Result<([u8; SECRET_BYTES], String), Problem> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Problem::new(Reason::Unavailable(Unavailable::Overloaded), "no secret could be made just now")
    })?;
    let secret = Secret::new(&bytes).expect("of an allowed length");
    Ok((bytes, secret.expose()))
}

/// The log keeps no secret that can be read, so of an answer that was kept the repeat shows the endpoint without it.
fn with_secret(status: StatusCode, view: &EndpointView, secret: Option<String>) -> Reply {
    let body = EndpointBody::of(view).with_secret(secret);
    Reply::json(status, &body).header("cache-control", "no-store").private()
}

async fn shown(outcome: Result<(EndpointView, Ticket), CommandError>) -> Result<Reply, Problem> {
    let (view, ticket) = outcome?;
    ticket.await?;
    Ok(Reply::ok(&EndpointBody::of(&view)))
}

/// The id of a new endpoint: of a request with a key the first of its own that no endpoint has had. That it has made none is known.
fn new_id(call: &Call<'_>) -> Result<String, Problem> {
    let own = call.effect_ids().map(|ids| ids.map(|id| format!("we_{id}")));
    if let Some(id) = own.and_then(|mut ids| ids.find(|id| !call.engine().had_webhook_endpoint(id))) {
        return Ok(id);
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|_| Problem::new(Reason::Unavailable(Unavailable::Overloaded), "no id could be made just now"))?;
    Ok(format!("we_{}", hex(&bytes)))
}

/// What this request made before, if it did: with its secret, unless that was shown already.
async fn made_before(call: &Call<'_>, deed: Deed, status: StatusCode) -> Result<Option<Reply>, Problem> {
    let Some(made) = call.engine().webhook_secret_made(call.request_key(), deed)? else { return Ok(None) };
    made.ticket.await?;
    let secret = made.secret.filter(|_| !call.is_replay());
    let secret = secret.map(|bytes| Secret::new(&bytes).expect("of an allowed length").expose());
    Ok(Some(with_secret(status, &made.view, secret)))
}

/// `POST /v1/webhook-endpoints`
pub(crate) async fn post<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let spec: EndpointSpec = {
        let arena = Bump::new();
        endpoint(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    call.app.webhooks.check(&spec.url)?;
    if let Some(reply) = made_before(&call, Deed::EndpointMade, StatusCode::CREATED).await? {
        return Ok(reply);
    }
    let (id, (bytes, secret)) = (new_id(&call)?, new_secret()?);
    let once = call.request_key();
    let (view, ticket) = super::apart(|| call.engine().create_webhook_endpoint_once(&id, spec, &bytes, once))?;
    ticket.await?;
    Ok(with_secret(StatusCode::CREATED, &view, Some(secret)))
}

/// `GET /v1/webhook-endpoints`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    let all = call.engine().webhook_endpoints();
    Ok(Reply::ok(&Page::of(all, &list, |view| &view.endpoint.id, EndpointBody::of)))
}

/// `GET /v1/webhook-endpoints/{endpoint}`
pub(crate) fn get(call: Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::ok(&EndpointBody::of(&call.engine().webhook_endpoint(call.first())?)))
}

/// `PATCH /v1/webhook-endpoints/{endpoint}`
pub(crate) async fn patch<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let patch = {
        let arena = Bump::new();
        endpoint_patch(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    if let Some(url) = &patch.url {
        call.app.webhooks.check(url)?;
    }
    shown(call.engine().patch_webhook_endpoint(call.first(), patch)).await
}

/// `DELETE /v1/webhook-endpoints/{endpoint}`
pub(crate) async fn delete<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    call.engine().delete_webhook_endpoint(call.first())?.await?;
    super::apart(|| call.engine().finish_webhook_deletion());
    Ok(Reply::no_content())
}

/// `POST /v1/webhook-endpoints/{endpoint}/rotate-secret`
pub(crate) async fn rotate<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    if let Some(reply) = made_before(&call, Deed::SecretRotated, StatusCode::OK).await? {
        return Ok(reply);
    }
    let (bytes, secret) = new_secret()?;
    let overlap_ms = u64::try_from(call.app.webhooks.secret_overlap.as_millis()).unwrap_or(u64::MAX);
    let once = call.request_key();
    let (view, ticket) =
        super::apart(|| call.engine().rotate_webhook_secret_once(call.first(), &bytes, overlap_ms, once))?;
    ticket.await?;
    Ok(with_secret(StatusCode::OK, &view, Some(secret)))
}

/// `POST /v1/webhook-endpoints/{endpoint}/test`
pub(crate) async fn test<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (view, ticket) = call.engine().test_webhook_endpoint_once(call.first(), call.request_key())?;
    ticket.await?;
    Ok(Reply::json(StatusCode::ACCEPTED, &EndpointBody::of(&view)))
}

/// `GET /v1/webhook-endpoints/{endpoint}/deliveries`
pub(crate) fn deliveries(call: Call<'_>) -> Result<Reply, Problem> {
    let query = Query::parse(call.parts.uri.query())?;
    let list = query.list()?;
    let state = query.text("status");
    if state.is_some_and(|state| !["retrying", "delivered", "failed"].contains(&state)) {
        return Err(Problem::parameter("status", "must be retrying, delivered or failed"));
    }
    let before = list.cursor.as_deref().map(|cursor| {
        let id = cursor.parse::<DeliveryId>().ok().filter(|id| id.endpoint == call.first());
        id.map(|id| (id.lsn, id.index)).ok_or_else(|| Problem::parameter("cursor", "is none of this list"))
    });
    let wanted = DeliveryQuery { state, before: before.transpose()?, limit: list.limit + 1 };
    let mut found = call.engine().webhook_deliveries(call.first(), &wanted)?;
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| DeliveryId::of(last).to_string());
    Ok(Reply::ok(&Page { data: found.iter().map(|delivery| DeliveryBody::of(delivery)).collect(), next_cursor }))
}

fn delivery_id(call: &Call<'_>) -> Result<DeliveryId, Problem> {
    let unknown = || Problem::from(CommandError::NotFound { what: "delivery" });
    call.first().parse().map_err(|()| unknown())
}

/// `GET /v1/deliveries/{delivery}`
pub(crate) async fn delivery(call: Call<'_>) -> Result<Reply, Problem> {
    let id = delivery_id(&call)?;
    let wanted = id.clone();
    let (delivery, event) = super::off_loop(call.app, move |engine| Ok(engine.webhook_delivery(&wanted)?)).await?;
    Ok(Reply::ok(&DeliveryDetailBody::of(&id, delivery.as_deref(), event.map(|followed| followed.event))))
}

/// `POST /v1/deliveries/{delivery}/redeliver`
pub(crate) async fn redeliver<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let (id, once) = (delivery_id(&call)?, call.request_key());
    let (delivery, ticket) = super::off_loop(call.app, move |engine| Ok(engine.redeliver_once(&id, once)?)).await?;
    ticket.await?;
    Ok(Reply::json(StatusCode::ACCEPTED, &DeliveryBody::of(&delivery)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, allow_private: bool, is_taken: bool) {
        let rules = WebhookRules { allow_private, ..WebhookRules::default() };
        assert_eq!(rules.check(url).is_ok(), is_taken, "{url}");
    }

    #[test]
    fn urls_lead_outside_unless_allowed_not_to() {
        for url in ["https://example.com/hooks", "https://93.184.215.14/", "https://[2606:4700::1]/"] {
            check(url, false, true);
        }
        for url in [
            "http://example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.0.0.8:8443/",
            "https://169.254.169.254/latest",
            "https://LOCALHOST/",
        ] {
            check(url, false, false);
            check(url, true, true);
        }
        for url in ["https://user:word@example.com/", "ftp://example.com/", "example.com", ""] {
            check(url, true, false);
        }
    }
}
