//! A request, an answer, and the limits of both.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use std::time::Duration;

/// What becomes of an answer that is longer than [`Limits::body_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The request fails: half an answer is of no use.
    Refuse,
    /// Its beginning is kept and the connection closed: only an excerpt is wanted.
    Cut,
}

/// How long and how large.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the call to the last byte of the answer, connecting included.
    pub total: Duration,
    /// The longest body of an answer.
    pub body_bytes: usize,
    /// Beyond that.
    pub overflow: Overflow,
}

/// A request with its body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// An absolute URL, as [`parse_url`] accepts it.
    pub url: Uri,
    /// Headers besides `Host`, `User-Agent` and `Content-Length`, which the client sets.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// Its limits.
    pub limits: Limits,
}

impl Request {
    /// A `GET` without headers.
    pub fn get(url: Uri, limits: Limits) -> Self {
        Request { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), limits }
    }

    /// A `POST` of a body.
    pub fn post(url: Uri, content_type: &'static str, body: Bytes, limits: Limits) -> Self {
        let headers = HeaderMap::from_iter([(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Request { method: Method::POST, url, headers, body, limits }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most [`Limits::body_bytes`] long.
    pub body: Bytes,
    /// Whether there was more of it ([`Overflow::Cut`]).
    pub cut: bool,
}

/// Why a URL cannot be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL, or a relative one.
    #[error("not an absolute URL")]
    Malformed,
    /// Another scheme than `http` and `https`.
    #[error("only http and https URLs can be requested")]
    Scheme,
    /// A name and password in a URL end in logs.
    #[error("a URL must not carry a user name or password")]
    UserInfo,
    /// A fragment never reaches the server.
    #[error("a URL must not carry a fragment")]
    Fragment,
    /// Longer than 2,048 bytes.
    #[error("a URL must not be longer than 2048 bytes")]
    TooLong,
    /// `http` where only `https` is allowed.
    #[error("only https URLs are allowed")]
    Insecure,
}

/// Reads a URL that may be requested.
pub fn parse_url(text: &str) -> Result<Uri, UrlError> {
    if text.len() > 2048 {
        return Err(UrlError::TooLong);
    }
    if text.contains('#') {
        return Err(UrlError::Fragment);
    }
    let url: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
    check_url(&url)?;
    Ok(url)
}

pub(super) fn check_url(url: &Uri) -> Result<(), UrlError> {
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(UrlError::Malformed);
    };
    if !["http", "https"].contains(&scheme) {
        return Err(UrlError::Scheme);
    }
    if authority.as_str().contains('@') {
        return Err(UrlError::UserInfo);
    }
    let port_is_wrong = authority.as_str().rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
        && authority.port_u16().is_none_or(|port| port == 0);
    if authority.host().trim_matches(['[', ']', '.']).is_empty() || port_is_wrong {
        return Err(UrlError::Malformed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), UrlError>) {
        assert_eq!(parse_url(text).map(drop), expected, "{text}");
    }

    #[test]
    fn urls_are_read_or_refused() {
        check("https://example.com/hooks?a=b", Ok(()));
        check("http://127.0.0.1:8080/", Ok(()));
        check("https://[2001:db8::1]/x", Ok(()));
        check("https://[2001:db8::1]:443/x", Ok(()));
        check("https://example.com", Ok(()));
        check("/hooks", Err(UrlError::Malformed));
        check("example.com", Err(UrlError::Malformed));
        check("", Err(UrlError::Malformed));
        check("https://", Err(UrlError::Malformed));
        check("https://example.com:0/", Err(UrlError::Malformed));
        check("https://example.com:99999/", Err(UrlError::Malformed));
        check("https://example.com:/", Err(UrlError::Malformed));
        check("ftp://example.com/", Err(UrlError::Scheme));
        check("file:///etc/passwd", Err(UrlError::Malformed));
        check("https://user:word@example.com/", Err(UrlError::UserInfo));
        check("https://example.com/#part", Err(UrlError::Fragment));
        check("https://exam ple.com/", Err(UrlError::Malformed));
        check(&format!("https://example.com/{}", "a".repeat(2048)), Err(UrlError::TooLong));
    }
}
