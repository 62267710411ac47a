//! What a client may ask of the server at most. Each limit has an answer of its own, so that nobody has to guess what went wrong.

use std::time::Duration;

/// The server's limits; every field may be set by flag, variable or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body. Beyond it: 413 `body_too_large`.
    pub body_bytes: usize,
    /// Events, or grants, in one request. Beyond it: 413 `batch_too_large`.
    pub batch_events: usize,
    /// Time from the first byte of a request to the end of its header. Beyond it: 408 `request_timeout`, and the connection closes.
    pub header_time: Duration,
    /// Time for a body to arrive once its header has. Beyond it: 408 `request_timeout`, and the connection closes.
    pub body_time: Duration,
    /// Time for which bytes of an answer may wait for a client that takes none of them. Beyond it the connection is cut.
    pub answer_time: Duration,
    /// Time for which a connection may lie idle between requests. Beyond it the connection closes.
    pub idle_time: Duration,
    /// Connections at once. Beyond it: 503 `too_many_connections`, and the new connection closes.
    pub connections: usize,
    /// Requests under way, over all connections; those about operations (health, metrics) are not counted. Beyond it: 503 `overloaded`.
    pub in_flight_requests: usize,
    /// Bytes of bodies being received or processed, over all connections. Beyond it: 503 `overloaded`.
    pub in_flight_bytes: usize,
    /// Time for which a write waits for room in a log that is too far ahead of its disk. Beyond it: 503 `overloaded`.
    pub admission_wait: Duration,
    /// Requests waiting at the end of the feed. Beyond it: 429 `too_many_waiting`.
    pub feed_waiters: usize,
    /// Time that requests have to finish once the server was told to stop; what then remains is cut off.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 8 << 20,
            batch_events: 10_000,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(30),
            idle_time: Duration::from_mins(2),
            connections: 10_000,
            in_flight_requests: 20_000,
            in_flight_bytes: 256 << 20,
            admission_wait: Duration::from_secs(5),
            feed_waiters: 1_000,
            drain_time: Duration::from_secs(30),
        }
    }
}
