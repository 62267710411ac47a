//! One attempt to deliver one message.

use super::{Secret, SignError, retry_after_s, sign};
use crate::http::{Limits, Overflow, Request, SendError, SendErrorKind, Transport, UrlError, parse_url};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// So much of an answer is kept, in bytes.
pub const EXCERPT_BYTES: usize = 1024;

/// What to deliver, and where.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// The endpoint.
    pub url: &'a str,
    /// The message's identity; the same over all attempts.
    pub id: &'a str,
    /// The time of this attempt, by the caller's clock.
    pub now_s: u64,
    /// The body, JSON; sent and signed as it is.
    pub body: Bytes,
    /// Signs for each of these, the newest first.
    pub secrets: &'a [Secret],
    /// How long the receiver has for an answer. The specification recommends 15 to 30 seconds.
    pub time: Duration,
}

/// What became of an attempt, and what is worth keeping of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<(SendErrorKind, String)>,
    /// How long it took.
    pub latency: Duration,
    /// The beginning of the answer's body, as text without control characters, at most [`EXCERPT_BYTES`] long.
    pub excerpt: String,
    /// How long the receiver wants to be left alone.
    pub retry_after_s: Option<u64>,
}

/// Whether a message arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Any 2xx.
    Delivered,
    /// 410: this endpoint wants no messages any more.
    Gone,
    /// Anything else, redirects and silence included.
    Failed,
}

impl Attempt {
    /// Whether it arrived.
    pub fn verdict(&self) -> Verdict {
        match self.status {
            Some(200..=299) => Verdict::Delivered,
            Some(410) => Verdict::Gone,
            _ => Verdict::Failed,
        }
    }

    fn without_answer(error: &SendError, latency: Duration) -> Self {
        let error = Some((error.kind(), error.to_string()));
        Attempt { status: None, error, latency, excerpt: String::new(), retry_after_s: None }
    }
}

/// What cannot be attempted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// The endpoint's URL.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// The message's identity or the secrets.
    #[error("{0}")]
    Sign(#[from] SignError),
}

/// Signs and sends a message once.
pub async fn deliver(transport: &dyn Transport, delivery: &Delivery<'_>) -> Result<Attempt, DeliverError> {
    let url = parse_url(delivery.url)?;
    let limits = Limits { total: delivery.time, body_bytes: EXCERPT_BYTES, overflow: Overflow::Cut };
    let mut request = Request::post(url, "application/json", delivery.body.clone(), limits);
    request.headers.extend(sign(delivery.secrets, delivery.id, delivery.now_s, &delivery.body)?);
    let started = Instant::now();
    let answer = transport.send(request).await;
    let latency = started.elapsed();
    Ok(match answer {
        Ok(answer) => Attempt {
            status: Some(answer.status.as_u16()),
            error: None,
            latency,
            excerpt: excerpt(&answer.body),
            retry_after_s: retry_after_s(&answer.headers, delivery.now_s),
        },
        Err(error) => Attempt::without_answer(&error, latency),
    })
}

/// Text that can be shown: the beginning of a body, invalid bytes and control characters replaced.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // A replaced byte takes three.
    while shown.len() > EXCERPT_BYTES {
        shown.pop();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_plain() {
        assert_eq!(excerpt(b"oh\r\nno\x1b[31m"), "oh  no [31m");
        assert_eq!(excerpt(&[0xff; 3]), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(excerpt(&[b'a'; 5000]).len(), EXCERPT_BYTES);
        assert!(excerpt(&[0xff; 5000]).len() <= EXCERPT_BYTES);
        let mut split = vec![b'a'; EXCERPT_BYTES - 1];
        split.extend("ä".bytes());
        assert!(excerpt(&split).starts_with("aaa"));
    }
}
