//! Making attempts.

use bytes::Bytes;
use drawdown_outbound::Outgoing;
use drawdown_outbound::http::{SendErrorKind, Transport};
use drawdown_outbound::webhooks::{Attempt, Delivery, Secret, deliver};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is sent in one attempt.
#[derive(Clone, Debug)]
pub struct Message {
    /// The endpoint.
    pub url: String,
    /// The event's identity, which is that of the message.
    pub id: String,
    /// The time of the attempt, seconds since the Unix epoch.
    pub now_s: u64,
    /// The body.
    pub body: Bytes,
    /// Signs for each of these, the newest first.
    pub secrets: Vec<Secret>,
}

/// Makes attempts.
pub trait Sender: Send + Sync {
    /// Makes one, and tells what became of it.
    fn send(&self, message: Message) -> Outgoing<'_, Attempt>;
}

/// Sends by HTTP, signed as Standard Webhooks.
pub struct HttpSender {
    transport: Arc<dyn Transport>,
    time: Duration,
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSender").field("time", &self.time).finish_non_exhaustive()
    }
}

impl HttpSender {
    /// Over this transport; a receiver has `time` for its answer.
    pub fn new(transport: Arc<dyn Transport>, time: Duration) -> Self {
        HttpSender { transport, time }
    }
}

impl Sender for HttpSender {
    fn send(&self, message: Message) -> Outgoing<'_, Attempt> {
        Box::pin(async move {
            let Message { url, id, now_s, body, secrets } = message;
            let delivery = Delivery { url: &url, id: &id, now_s, body, secrets: &secrets, time: self.time };
            deliver(&*self.transport, &delivery).await.unwrap_or_else(|error| Attempt {
                status: None,
                error: Some((SendErrorKind::Invalid, error.to_string())),
                latency: Duration::ZERO,
                excerpt: String::new(),
                retry_after_s: None,
            })
        })
    }
}
