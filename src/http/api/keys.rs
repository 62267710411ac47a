//! API keys: making, listing and revoking them.

use super::parse;
use crate::engine::{ApiKeyRecord, Unavailable};
use crate::http::app::Call;
use crate::http::auth::{NewKey, Scopes};
use crate::http::body;
use crate::http::decode::{Node, Value};
use crate::http::problem::{Problem, Reason};
use crate::http::reply::Reply;
use crate::http::wire::Page;
use crate::http::wire::fields::Fields;
use crate::http::wire::keys::KeyBody;
use crate::http::wire::query::Query;
use crate::ledger::Timestamp;
use bumpalo::Bump;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use std::sync::Arc;

/// Bytes of a key's name at most.
const NAME_BYTES_MAX: usize = 128;

/// What a new key should be.
struct Wanted {
    name: String,
    live: bool,
    scopes: Scopes,
}

/// `POST /v1/api-keys`
pub(crate) async fn post<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = call.json(body).await?;
    let Wanted { name, live, scopes } = {
        let arena = Bump::new();
        wanted(&Fields::of(&parse(&body.bytes, &arena)?, None)?)?
    };
    let (id, created) = match place(&call, &name, live, scopes)? {
        Place::New { id, created } => (id, created),
        Place::Taken(record) => return Ok(answer(&KeyBody::of(&record))),
    };
    let key = match id {
        Some(id) => NewKey::with_id(id, &name, live, scopes, created),
        None => NewKey::generate(&name, live, scopes, created),
    };
    let key = key.map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Problem::new(Reason::Unavailable(Unavailable::Overloaded), "no key could be made just now")
    })?;
    let shown = KeyBody::of(&key.record).with_token(key.token);
    call.engine().put_api_key(key.record)?.await?;
    Ok(answer(&shown))
}

/// The log gets to know no token, so a repeat of the request shows the key without it.
fn answer(key: &KeyBody) -> Reply {
    Reply::json(StatusCode::CREATED, key).header("cache-control", "no-store").private()
}

/// Where the key of a request goes.
enum Place {
    /// It is to be made; with an `Idempotency-Key` under an id that follows from that.
    New { id: Option<String>, created: Timestamp },
    /// It has been made, and its token was shown.
    Taken(Arc<ApiKeyRecord>),
}

/// Finds the key that this request made before. If its answer never left, its token was seen by nobody: it is made again under the same id, with
/// another token. Keys that the same `Idempotency-Key` made before the idempotency window are passed over.
fn place(call: &Call<'_>, name: &str, live: bool, scopes: Scopes) -> Result<Place, Problem> {
    let (engine, now) = (call.engine(), call.engine().now());
    let Some(ids) = call.effect_ids() else { return Ok(Place::New { id: None, created: now }) };
    for id in ids {
        let Some(there) = engine.api_key(&id) else {
            if call.is_replay() {
                return Err(Problem::new(
                    Reason::Conflict("idempotency_answer_gone"),
                    "the key that was made is not there",
                ));
            }
            return Ok(Place::New { id: Some(id), created: now });
        };
        let created = Timestamp::from_millis(there.created_ms);
        if !engine.remembers_since(created) {
            continue;
        }
        if there.name != name || there.live != live || there.scopes != scopes.bits() {
            let detail = "the Idempotency-Key was used before for a key with another name, mode or scopes";
            return Err(Problem::new(Reason::Conflict("idempotency_conflict"), detail));
        }
        if call.is_replay() || there.revoked {
            return Ok(Place::Taken(there));
        }
        return Ok(Place::New { id: Some(id), created });
    }
    unreachable!("there is no end of ids")
}

fn wanted(fields: &Fields<'_, '_>) -> Result<Wanted, Problem> {
    let name = fields.required_text("name")?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(fields.refused("name", "must have 1 to 128 bytes"));
    }
    let live = match fields.text("mode")? {
        None | Some("live") => true,
        Some("test") => false,
        Some(_) => return Err(fields.refused("mode", "must be live or test")),
    };
    let Some(list) = fields.array("scopes")? else {
        return Err(fields.refused("scopes", "the field is missing: an array of scopes"));
    };
    let scope = |node: &Node<'_>| match node.value {
        Value::Text(name) => Scopes::parse(name),
        _ => None,
    };
    let scopes = list.iter().map(scope).reduce(|all, scope| Some(all?.and(scope?))).flatten();
    let scopes =
        scopes.ok_or_else(|| fields.refused("scopes", "must name some of usage, read, grants, top_ups and admin"))?;
    Ok(Wanted { name: name.to_owned(), live, scopes })
}

/// `GET /v1/api-keys`
pub(crate) fn list(call: Call<'_>) -> Result<Reply, Problem> {
    let list = Query::parse(call.parts.uri.query())?.list()?;
    Ok(Reply::ok(&Page::of(call.engine().api_keys(), &list, |key| &key.id, |key| KeyBody::of(key))))
}

/// `POST /v1/api-keys/{key}/revoke`: repeating it is success.
pub(crate) async fn revoke<B>(call: Call<'_>, body: B) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    body::discard(body).await;
    let Some(key) = call.engine().api_key(call.first()) else {
        return Err(Problem::new(Reason::Unknown("api_key"), "there is no such API key"));
    };
    let mut revoked = (*key).clone();
    revoked.revoked = true;
    let shown = KeyBody::of(&revoked);
    call.engine().put_api_key(revoked)?.await?;
    Ok(Reply::ok(&shown))
}
