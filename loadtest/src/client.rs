//! One connection to the server: HTTP/1.1 with keep-alive, opened again when it breaks.
//!
//! Everything a run sends may safely be sent twice, so what got no answer, 429 or 503 is sent again a few times, as a careful customer
//! would. A request that stays without an answer is an error, and its outcome unknown.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, InvalidHeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

/// How often a request is sent before it is given up; the pauses between come to six seconds, in which a server may restart.
const TRIES_MAX: u32 = 8;

/// The pause before the second try; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the server is and what opens it.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    authority: HeaderValue,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// Why a server cannot be a target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The text is no URL of this kind.
    #[error("the URL must be like http://127.0.0.1:8080, without a path")]
    Url,
    /// The name has no address.
    #[error("cannot find {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// A load test of somebody else's machine is easily an attack.
    #[error("{0} is not this machine; --allow-remote permits it, if the server is yours")]
    Remote(SocketAddr),
    /// The key cannot stand in a header.
    #[error("the key is not visible ASCII")]
    Key(#[from] InvalidHeaderValue),
}

impl Target {
    /// Looks the server up, once for all connections.
    pub async fn resolve(
        url: &str,
        key: Option<&str>,
        allow_remote: bool,
        timeout: Duration,
    ) -> Result<Target, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Url)?;
        let (Some("http"), Some(authority), "/") = (uri.scheme_str(), uri.authority(), uri.path()) else {
            return Err(TargetError::Url);
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let unresolved = |source| TargetError::Resolve { host: host.to_owned(), source };
        let mut addresses = lookup_host((host, authority.port_u16().unwrap_or(80))).await.map_err(unresolved)?;
        let address = addresses.next().ok_or_else(|| unresolved(io::Error::other("the name has no address")))?;
        if !allow_remote && !address.ip().is_loopback() {
            return Err(TargetError::Remote(address));
        }
        let bearer = |key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            Ok::<_, InvalidHeaderValue>(value)
        };
        Ok(Target {
            address,
            authority: HeaderValue::from_str(authority.as_str())?,
            authorization: key.map(bearer).transpose()?,
            timeout,
        })
    }

    /// How long one try of a request may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// A request, apart from what all requests carry.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    body: Bytes,
    headers: Vec<(&'static str, HeaderValue)>,
}

impl Call {
    /// Reads.
    pub const fn get(path: String) -> Self {
        Call { method: Method::GET, path, body: Bytes::new(), headers: Vec::new() }
    }

    /// Writes JSON to an address.
    pub fn put(path: String, body: impl Into<Bytes>) -> Self {
        Call { method: Method::PUT, ..Call::post(path, "application/json", body) }
    }

    /// Sends a body.
    pub fn post(path: String, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE.as_str(), HeaderValue::from_static(content_type))];
        Call { method: Method::POST, path, body: body.into(), headers }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body, whole.
    pub body: Bytes,
    /// Whether the request was sent more than once.
    pub retried: bool,
}

impl Reply {
    /// The body of a success; any other answer is an error that shows how it begins.
    pub fn success(&self, what: &str) -> Result<&[u8], CallError> {
        if self.status.is_success() {
            return Ok(&self.body);
        }
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned();
        Err(CallError::Refused { what: what.to_owned(), status: self.status, body: shown })
    }
}

/// Why a request failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// No try got an answer.
    #[error("no answer in {tries} tries: {last}")]
    Unanswered {
        /// How often it was sent.
        tries: u32,
        /// What became of the last try.
        last: String,
    },
    /// The server said no.
    #[error("{what}: {status} {body}")]
    Refused {
        /// The request.
        what: String,
        /// The answer.
        status: StatusCode,
        /// How its body begins.
        body: String,
    },
    /// The answer is not what the API says.
    #[error("{what}: the answer cannot be read: {source}")]
    Unreadable {
        /// The request.
        what: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// What passed over a connection.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Traffic {
    /// Requests, each counted once.
    pub requests: u64,
    /// Sendings beyond the first.
    pub retries: u64,
    /// Bytes of bodies sent, headers apart.
    pub body_bytes_sent: u64,
    /// Bytes of bodies received.
    pub body_bytes_received: u64,
}

impl Traffic {
    /// Adds another connection's.
    pub const fn add(&mut self, other: Traffic) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.body_bytes_sent += other.body_bytes_sent;
        self.body_bytes_received += other.body_bytes_received;
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    target: Arc<Target>,
    sender: Option<SendRequest<Full<Bytes>>>,
    traffic: Traffic,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    /// Connects with the first request.
    pub fn new(target: Arc<Target>) -> Self {
        Client { target, sender: None, traffic: Traffic::default() }
    }

    /// What passed so far.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Opens the connection, so that the first request need not.
    pub async fn connect(&mut self) -> Result<(), CallError> {
        let unanswered = |last| CallError::Unanswered { tries: 1, last };
        match timeout(self.target.timeout, self.open()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unanswered(error.to_string())),
            Err(late) => Err(unanswered(late.to_string())),
        }
    }

    /// Sends a request until it is answered or given up.
    pub async fn send(&mut self, call: &Call) -> Result<Reply, CallError> {
        self.traffic.requests += 1;
        let mut pause = PAUSE_FIRST;
        for tries in 1.. {
            let outcome = timeout(self.target.timeout, self.try_once(call)).await;
            let last = match outcome {
                Ok(Ok((status, body))) => {
                    let again = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
                    if !again || tries == TRIES_MAX {
                        return Ok(Reply { status, body, retried: tries > 1 });
                    }
                    status.to_string()
                }
                Ok(Err(error)) => {
                    self.sender = None;
                    error.to_string()
                }
                Err(_) => {
                    self.sender = None;
                    format!("nothing within {:?}", self.target.timeout)
                }
            };
            if tries == TRIES_MAX {
                return Err(CallError::Unanswered { tries, last });
            }
            self.traffic.retries += 1;
            sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends by its tries")
    }

    async fn try_once(&mut self, call: &Call) -> Result<(StatusCode, Bytes), Failure> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.open().await?;
        }
        let request = self.request(call)?;
        let sender = self.sender.as_mut().ok_or("the connection is closed")?;
        sender.ready().await?;
        self.traffic.body_bytes_sent += call.body.len() as u64;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        self.traffic.body_bytes_received += body.len() as u64;
        Ok((head.status, body))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder().method(&call.method).uri(&call.path).header(HOST, &self.target.authority);
        if let Some(authorization) = &self.target.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(call.body.clone()))
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let stream = TcpStream::connect(self.target.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped or the server closes; what went wrong is told by the request under way.
        tokio::spawn(connection);
        self.sender = Some(sender);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolved(url: &str, allow_remote: bool) -> Result<Target, TargetError> {
        Target::resolve(url, Some("k"), allow_remote, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn only_this_machine_is_a_target_unless_told_otherwise() {
        assert!(resolved("http://127.0.0.1:8080", false).await.is_ok());
        assert!(resolved("http://[::1]:8080/", false).await.is_ok());
        assert!(matches!(resolved("http://192.0.2.1:8080", false).await, Err(TargetError::Remote(_))));
        assert!(resolved("http://192.0.2.1:8080", true).await.is_ok());
        for wrong in ["https://127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1/v1", ""] {
            assert!(matches!(resolved(wrong, true).await, Err(TargetError::Url)), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_key_is_not_shown() {
        let target = resolved("http://127.0.0.1:1", false).await.expect("a target");
        assert!(!format!("{target:?}").contains("Bearer"));
    }
}
