//! The client: one request, one answer.

use super::connect::{Connector, Failed};
use super::message::check_url;
use super::{AddressPolicy, Overflow, Request, Resolve, Response, Roots, SendError, SystemResolver, UrlError};
use crate::Outgoing;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const AGENT: &str = concat!("drawdown/", env!("CARGO_PKG_VERSION"));

/// Sends requests. A trait, so that a provider's adapter can be tried against answers that were written down.
pub trait Transport: Send + Sync {
    /// Sends a request once and gives the answer, whatever its status.
    fn send(&self, request: Request) -> Outgoing<'_, Result<Response, SendError>>;
}

/// How a [`Client`] connects.
pub struct Settings {
    /// Which addresses may be reached.
    pub policy: AddressPolicy,
    /// Refuse `http` URLs.
    pub require_https: bool,
    /// The time for resolving, connecting and TLS together.
    pub connect_time: Duration,
    /// How long an unused connection is kept.
    pub idle_time: Duration,
    /// How many unused connections are kept for each scheme, name and port.
    pub idle_per_host: usize,
    /// The authorities that are trusted.
    pub roots: Roots,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Settings {
    /// Public addresses, 10 seconds for connecting, connections kept for 60 seconds, 8 for each host.
    fn default() -> Self {
        Settings {
            policy: AddressPolicy::public(),
            require_https: false,
            connect_time: Duration::from_secs(10),
            idle_time: Duration::from_mins(1),
            idle_per_host: 8,
            roots: Roots::public(),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// See the [module](super). Cheap to clone: clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    require_https: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("require_https", &self.require_https).finish_non_exhaustive()
    }
}

impl Client {
    /// A client without connections. They are made when they are needed, on the tokio runtime that sends.
    pub fn new(settings: Settings) -> Self {
        let connector = Connector {
            policy: Arc::new(settings.policy),
            resolver: settings.resolver,
            tls: settings.roots.config(),
            time: settings.connect_time,
        };
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_time)
            .pool_max_idle_per_host(settings.idle_per_host)
            .build(connector);
        Client { inner, require_https: settings.require_https }
    }

    async fn exchange(&self, request: Request) -> Result<Response, SendError> {
        check_url(&request.url)?;
        if self.require_https && request.url.scheme_str() != Some("https") {
            return Err(UrlError::Insecure.into());
        }
        let limits = request.limits;
        let until = Instant::now() + limits.total;
        let too_slow = || SendError::Timeout(limits.total);
        let mut message = hyper::Request::new(Full::new(request.body));
        *message.method_mut() = request.method;
        *message.uri_mut() = request.url;
        *message.headers_mut() = request.headers;
        message.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let answer = tokio::time::timeout_at(until, self.inner.request(message)).await.map_err(|_| too_slow())?;
        let (head, body) = answer.map_err(|error| send_error(&error))?.into_parts();
        let read = tokio::time::timeout_at(until, read(body, limits.body_bytes, limits.overflow)).await;
        let (body, cut) = match (read, limits.overflow) {
            (Ok(Ok(read)), _) => read,
            // The status is there, and that is what was wanted.
            (Err(_) | Ok(Err(_)), Overflow::Cut) => (Bytes::new(), true),
            (Ok(Err(error)), Overflow::Refuse) => return Err(error),
            (Err(_), Overflow::Refuse) => return Err(too_slow()),
        };
        Ok(Response { status: head.status, headers: head.headers, body, cut })
    }
}

impl Transport for Client {
    fn send(&self, request: Request) -> Outgoing<'_, Result<Response, SendError>> {
        Box::pin(self.exchange(request))
    }
}

/// Reads a body up to a length. The rest of a longer one is not read, which closes the connection.
async fn read(mut body: Incoming, most: usize, overflow: Overflow) -> Result<(Bytes, bool), SendError> {
    if overflow == Overflow::Refuse && body.size_hint().lower() > most as u64 {
        return Err(SendError::TooLong(most));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| SendError::Broken(chain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = most - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return match overflow {
                Overflow::Refuse => Err(SendError::TooLong(most)),
                Overflow::Cut => Ok((bytes.freeze(), true)),
            };
        }
    }
    Ok((bytes.freeze(), false))
}

/// The connector's own error where there is one; otherwise the connection broke.
fn send_error(error: &legacy::Error) -> SendError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(error) = at.downcast_ref::<Failed>().and_then(Failed::take) {
            return error;
        }
        cause = at.source();
    }
    SendError::Broken(chain(error))
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
