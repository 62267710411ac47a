//! `Idempotency-Key`: a POST that is sent again is answered as it was the first time.
//!
//! This is one layer around every handler of a POST that takes an API key. The first answer is kept in the log, under the caller and the key,
//! before it leaves; whoever sends the key again within the idempotency window, over restarts, gets that answer and nothing is done. The
//! same key with another method, path or body is refused (`idempotency_conflict`), and so is one whose first request is still under way
//! (`idempotency_in_progress`, with `Retry-After`).
//!
//! # What is kept
//! Every answer by which the ledger decided: 2xx, 402, 404, 409, 410, 422. Not what was refused before that (400, 401, 403, 408, 413, 415, 429),
//! and not what the server could not do (5xx): nothing was applied, or it is not known, and the request may come again. A body is kept as it
//! was sent, compressed if it is long. One that is too long, or that the log must not know ([`super::reply::Reply::private`]), is not kept:
//! then the handler runs again, told so ([`Call::is_replay`]), and shows what the first request brought about without doing anything.
//!
//! # Between the effect and the answer
//! A crash, a connection that breaks (which drops the handler) or a full disk may come between an effect and the keeping of its answer. The
//! repeat then finds no answer and runs the handler again, so each handler must find what it has done: it takes the name of the effect from
//! the key ([`Call::effect_key`]), or does something that comes to the same when it is done twice. The table of all POSTs is in
//! `docs/idempotency.md`. The effect is durable before the answer is (the handler awaits it), and whatever was done first is forgotten
//! first, no more than a minute before its answer.

use super::app::{App, Call, dispatch};
use super::auth::{Caller, hex};
use super::body;
use super::decode;
use super::problem::{Problem, Reason};
use super::reply::{Reply, RequestId};
use super::route::{Action, Route};
pub(crate) use crate::engine::EFFECT_PREFIX;
use crate::engine::{Answer, CommandError, RequestKey};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Bytes of an `Idempotency-Key` at most.
pub(crate) const KEY_BYTES_MAX: usize = 255;
/// Bytes of a kept body at most, compressed.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Log bytes of an answer beside its body.
const ENVELOPE_LOG_BYTES: u64 = 16 << 10;

static HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Keys whose first request is under way. A key is in it only as long as its request is.
#[derive(Debug, Default)]
pub(crate) struct InProgress {
    keys: Mutex<HashSet<[u8; 32]>>,
    /// Answers leave without being kept, as if a crash came between every effect and its answer.
    #[cfg(test)]
    loses_answers: std::sync::atomic::AtomicBool,
}

impl InProgress {
    fn enter(&self, key: [u8; 32]) -> Option<Turn<'_>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Not made unless it is entered: dropping it takes the key away, which may be another's.
        if keys.insert(key) { Some(Turn { of: self, key }) } else { None }
    }
}

/// A key in the hands of one request.
#[derive(Debug)]
struct Turn<'a> {
    of: &'a InProgress,
    key: [u8; 32],
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// What a handler knows of the key that its request came with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Once {
    key: [u8; 32],
    request: [u8; 32],
    is_replay: bool,
}

impl Call<'_> {
    /// The key by which the effect of this request is to be found again, if the request came with an `Idempotency-Key`: for whatever the
    /// handler makes that has a key or an id of its own. It differs from every key that a caller gives.
    pub(crate) fn effect_key(&self) -> Option<String> {
        Some(format!("{EFFECT_PREFIX}{}", hex(&self.once.as_ref()?.key[..16])))
    }

    /// As [`Call::effect_key`], for what notes in its own way by which request it was done.
    pub(crate) fn request_key(&self) -> Option<RequestKey> {
        let Once { key, request, is_replay } = self.once?;
        let half = |digest: [u8; 32]| *digest.first_chunk().expect("a digest is longer");
        Some(RequestKey { digest: half(key), asked: half(request), is_replay })
    }

    /// Refuses to answer for a batch with a key some of which could not be decided just now, for its answer would be kept: sent again, it finds
    /// what was done, and the rest is decided then.
    pub(crate) fn check_decided<'e>(&self, errors: impl IntoIterator<Item = &'e CommandError>) -> Result<(), Problem> {
        let undecided = errors.into_iter().find(|error| matches!(error, CommandError::Unavailable(_)));
        match undecided.filter(|_| self.once.is_some()) {
            Some(error) => Err(Problem::from(error.clone()).saying(
                "a part of the batch could not be carried out: send it again with the same key for the rest".to_owned(),
            )),
            None => Ok(()),
        }
    }

    /// The ids, of 16 hexadecimal digits, of what this request makes: the first that nothing older has.
    pub(crate) fn effect_ids(&self) -> Option<impl Iterator<Item = String> + use<>> {
        let digest = self.once.as_ref()?.key;
        Some((0_u64..).map(move |place| {
            let digest = Sha256::new().chain_update(b"id").chain_update(digest).chain_update(place.to_le_bytes());
            hex(&digest.finalize()[..8])
        }))
    }

    /// The request was answered before, and its answer's body was not kept: nothing may be done that was not done then.
    pub(crate) fn is_replay(&self) -> bool {
        self.once.is_some_and(|once| once.is_replay)
    }
}

/// Whether a request is one for this layer. All that it costs those that are not.
#[inline]
pub(crate) fn concerns(route: &Route, parts: &Parts) -> bool {
    parts.method == Method::POST && route.scopes.is_some() && parts.headers.contains_key(&HEADER)
}

/// Answers a request with an `Idempotency-Key`.
pub(crate) async fn answer<B>(
    app: &App,
    route: &'static Route,
    call: Call<'_>,
    caller: &Caller,
    id: RequestId,
    body: B,
) -> Result<Reply, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = match key_of(caller, &call.parts.headers) {
        Ok(key) => key,
        Err(problem) => return Err(call.refuse(body, problem).await),
    };
    let Some(_turn) = app.in_progress.enter(key) else { return Err(call.refuse(body, in_progress()).await) };
    // The handler receives it again, from memory, and counts it.
    let body = body::receive_uncounted(app, &call.parts.headers, body).await?.bytes;
    let request = digest_of(call.parts, &body);
    match app.engine.find_answer(&key)? {
        Some(kept) if kept.request != request => Err(conflict()),
        Some(kept) => again(app, route, call, kept, body).await,
        None => first(app, route, call, Once { key, request, is_replay: false }, id, body).await,
    }
}

/// Gives a kept answer again.
async fn again(app: &App, route: &'static Route, call: Call<'_>, kept: Answer, body: Bytes) -> Result<Reply, Problem> {
    // Whoever kept it may have gone before it was durable.
    app.engine.barrier().await?;
    let reply = match kept.body {
        Some(kept_body) => Reply::kept(kept.status, &kept.headers, kept_body),
        None if !app.engine.remembers_since(kept.began) => return Err(gone()),
        // What was refused of it would be decided anew.
        None if matches!(route.action, Action::Events | Action::CloudEvents) => return Err(gone()),
        None => {
            let once = Once { key: kept.key, request: kept.request, is_replay: true };
            dispatch(route, call.with(once), Full::new(body)).await?
        }
    };
    Ok(reply.header("idempotency-replayed", "true"))
}

/// Does what is asked for and keeps the answer.
async fn first(
    app: &App,
    route: &'static Route,
    call: Call<'_>,
    once: Once,
    id: RequestId,
    body: Bytes,
) -> Result<Reply, Problem> {
    let began = app.engine.now();
    let reply = match dispatch(route, call.with(once), Full::new(body)).await {
        Ok(reply) => reply,
        Err(problem) if is_decision(&problem) => problem.into_reply(&id),
        Err(problem) => return Err(problem),
    };
    if !is_kept(reply.status()) {
        return Ok(reply);
    }
    #[cfg(test)]
    if app.in_progress.loses_answers.load(std::sync::atomic::Ordering::Relaxed) {
        return Ok(reply);
    }
    let answer = Answer {
        key: once.key,
        request: once.request,
        began,
        status: reply.status().as_u16(),
        headers: reply.own_headers(),
        body: reply.body().map(|body| body.to_vec()),
    };
    let room = ENVELOPE_LOG_BYTES + answer.body.as_ref().map_or(0, |body| body.len().min(BODY_BYTES_MAX) as u64);
    let kept = async {
        app.await_room(room, app.room_deadline()).await?;
        app.engine.keep_answer(answer, BODY_BYTES_MAX)?.await?;
        Ok::<(), Problem>(())
    };
    kept.await.map_err(|problem| {
        problem.saying(
            "the request was carried out, but its answer could not be kept: send it again with the same key".to_owned(),
        )
    })?;
    Ok(reply)
}

const fn is_kept(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..300 | 402 | 404 | 409 | 410 | 422)
}

/// Whether a problem is the ledger's decision. A conflict about the key itself is none: it must not take the key from its owner; nor is
/// one that is over in a moment.
fn is_decision(problem: &Problem) -> bool {
    let (status, slug, _) = problem.reason().describe();
    is_kept(status) && !slug.starts_with("idempotency_") && problem.reason().retry_after().is_none()
}

/// Who asks, and by which key, in one.
fn key_of(caller: &Caller, headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let mut values = headers.get_all(&HEADER).iter();
    let key = values.next().map_or(&[][..], HeaderValue::as_bytes);
    let is_text = key.iter().all(|byte| (b'!'..=b'~').contains(byte));
    if values.next().is_some() || !is_text || !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(Problem::parameter(
            "Idempotency-Key",
            "must be there once, with 1 to 255 characters of visible ASCII",
        ));
    }
    let (kind, name) = match caller {
        Caller::Anyone => (0, ""),
        Caller::Bootstrap => (1, ""),
        Caller::Key(key) => (2, key.id.as_str()),
    };
    let mut digest = Sha256::new();
    digest.update([kind, name.len() as u8]);
    digest.update(name);
    digest.update(key);
    Ok(digest.finalize().into())
}

/// Method, path, query and body in one. White space between the tokens of JSON does not count.
fn digest_of(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    digest.update(parts.method.as_str());
    digest.update([0]);
    digest.update((path.len() as u64).to_le_bytes());
    digest.update(path);
    if decode::is_json(&parts.headers) {
        tokens(body, |part| digest.update(part));
    } else {
        digest.update(body);
    }
    digest.finalize().into()
}

/// Gives a JSON text in parts, without the white space that stands outside of strings.
fn tokens<'b>(body: &'b [u8], mut take: impl FnMut(&'b [u8])) {
    let (mut in_string, mut is_escaped, mut start) = (false, false, 0);
    for (at, byte) in body.iter().enumerate() {
        if in_string {
            in_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            take(&body[start..at]);
            start = at + 1;
        } else {
            in_string = *byte == b'"';
        }
    }
    take(&body[start..]);
}

fn conflict() -> Problem {
    Problem::new(
        Reason::Conflict("idempotency_conflict"),
        "the Idempotency-Key was used before with another method, path or body",
    )
}

fn in_progress() -> Problem {
    Problem::new(
        Reason::Conflict("idempotency_in_progress"),
        "the first request with this Idempotency-Key is still under way; nothing was applied by this one",
    )
}

fn gone() -> Problem {
    Problem::new(
        Reason::Conflict("idempotency_answer_gone"),
        "the request was answered before; the answer was too large to be kept, and what it brought about cannot be told again",
    )
}

#[cfg(test)]
mod tests;
