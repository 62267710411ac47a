//! Webhooks on their way: what the feed tells, sent to those who asked for it, signed, in order, until it has arrived.
//!
//! A [`Courier`] decides: which event goes next to which endpoint, when what failed is tried again, when an endpoint is disabled. It is told the
//! time and what became of each attempt, does no I/O but reading and writing the ledger's log, and can be driven by a test. A [`Worker`] is the
//! thread that drives it, and a [`Sender`] makes the attempts.
//!
//! # Guarantees
//! 1. At least once: an event of the feed that an enabled endpoint wants is delivered, or given up after the last attempt of the schedule, and
//!    neither a crash nor a restart loses it. It may arrive twice, under the same `webhook-id`.
//! 2. In order per wallet: an event is not sent before those of the same wallet that precede it have arrived or were given up. A wallet whose event
//!    fails holds up no other.
//! 3. Bounded: attempts at once, events in memory, wallets behind at once, log written. Who is slow is read for more slowly; what then
//!    becomes of the log is retention's to say (`EngineConfig::webhook_hold_bytes`).
//!
//! # How far an endpoint has come
//! Its *cursor* is a place in the feed before which everything has been settled, save in *lanes* that are behind: wallets with an event that failed.
//! Cursor and lanes are noted in the log. When a lane's event has been settled at last, the log is read once more from there to where the endpoint
//! is, for that lane (several at a time); then the lane has caught up and goes on as all others. So nothing that waits takes memory.
//!
//! An endpoint at which nothing arrives is *down*: nothing new is begun, and what has failed is tried again, by its schedule and now and then
//! before that, so that the first success is not a day late.

mod channel;
mod courier;
mod sender;
mod worker;

pub use courier::{Courier, Job, Step};
pub use sender::{HttpSender, Message, Sender};
pub use worker::Worker;

use crate::engine::view::FeedEvent;
use drawdown_outbound::webhooks::Schedule;

/// Writes an event as the body of its message.
pub type Render = fn(&FeedEvent) -> Vec<u8>;

/// How webhooks are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pauses between the attempts to deliver one event.
    pub schedule: Schedule,
    /// Attempts under way at once.
    pub in_flight: usize,
    /// Attempts under way at once to one endpoint.
    pub in_flight_per_endpoint: usize,
    /// Events of one endpoint in memory, about: there may be as many more as one frame of the log tells.
    pub window: usize,
    /// Wallets that are behind at one endpoint before nothing new is begun there.
    pub lanes_behind: usize,
    /// An endpoint at which nothing has arrived for so long, though it was tried, is disabled, ms.
    pub disable_after_ms: u64,
    /// Failures in a row after which an endpoint is down.
    pub failures_until_down: u32,
    /// How long an endpoint that is down is left alone at the most, ms.
    pub probe_ms: u64,
    /// How often cursors are noted in the log, ms.
    pub note_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            schedule: Schedule::default(),
            in_flight: 64,
            in_flight_per_endpoint: 16,
            window: 1_000,
            lanes_behind: 1_000,
            disable_after_ms: 5 * 24 * 3_600_000,
            failures_until_down: 10,
            probe_ms: 60_000,
            note_ms: 1_000,
        }
    }
}
