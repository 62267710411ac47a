//! Answers, before they become bytes on a connection.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// An answer that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    response: Response<Bytes>,
    is_private: bool,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Reply { response, is_private: false }
    }

    /// An answer that was kept: see `super::idempotency`.
    pub(crate) fn kept(status: u16, headers: &[(String, String)], body: Vec<u8>) -> Self {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                response.headers_mut().insert(name, value);
            }
        }
        Reply { response, is_private: false }
    }

    /// It holds what the log must not: a secret, or personal data. A repeat of the request has it made again.
    #[must_use]
    pub(crate) fn private(mut self) -> Self {
        self.is_private = true;
        self
    }

    /// The body, unless it is private.
    pub(crate) fn body(&self) -> Option<&Bytes> {
        (!self.is_private).then(|| self.response.body())
    }

    /// The headers that belong to the answer rather than to this sending of it.
    pub(crate) fn own_headers(&self) -> Vec<(String, String)> {
        let own = self.response.headers().iter().filter(|(name, _)| *name != "idempotency-replayed");
        own.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect()
    }

    /// 200 with this value.
    pub(crate) fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// A value with a status.
    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("wire types have text keys and no fallible parts");
        Self::new(status, "application/json", body)
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Reply { response, is_private: false }
    }

    /// Adds a header. A value that no header can hold is left out: it can only come from a client's own text.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = match value.into() {
            Cow::Borrowed(value) => HeaderValue::from_str(value),
            Cow::Owned(value) => HeaderValue::try_from(value),
        };
        if let Ok(value) = value {
            self.response.headers_mut().insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn into_response(self, id: &RequestId) -> Response<Bytes> {
        self.header("x-request-id", id.to_string()).response
    }
}

/// Names a request in answers and in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId {
    process: u64,
    number: u64,
}

/// Gives out request ids: unique within the process by number, and over restarts by a random part.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// `process` should be random.
    pub(crate) const fn new(process: u64) -> Self {
        RequestIds { process, next: AtomicU64::new(1) }
    }

    pub(crate) fn next(&self) -> RequestId {
        // Only uniqueness counts; no other memory hangs on it.
        RequestId { process: self.process, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{:016x}_{:x}", self.process, self.number)
    }
}
