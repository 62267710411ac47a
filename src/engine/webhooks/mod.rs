//! Webhook endpoints and what is not delivered to them, kept.
//!
//! Here they are recorded, shown and folded; who sends, and when, is decided in `notify`, which reads the feed behind
//! [`read_on`](super::Engine::read_on) and says through [`note_webhooks`](super::Engine::note_webhooks) how far it has come.
//!
//! # Invariants
//! 1. What is not recorded as delivered or given up is told again: an endpoint's cursor never passes an event that is neither, unless the
//!    event's lane was recorded before it or with it.
//! 2. A lane's place never passes such an event at all.
//! 3. Secrets are in the log as ciphertext only. Unlike API keys they are needed again, for every signature, so a hash would not do; their key
//!    lies in the file of keys (`super::vault`) and is destroyed when the endpoint is deleted.
//! 4. One thread at a time changes any of it: memory and log have the same order.

mod book;
mod commands;
mod deliveries;
mod follow;

pub(super) use book::Book;
pub use commands::{EndpointPatch, EndpointSpec, Resume, SecretMade};
pub use deliveries::{DeliveryId, DeliveryQuery};
pub use follow::{ChannelState, WebhookGauges};

pub use crate::journal::done::Deed;
pub use crate::journal::webhook::{
    AttemptRecord, CursorRecord, DeliveryRecord, DeliveryState, DisabledReason, EndpointChange, EndpointRecord,
    LaneKey, LaneRecord, Place, WebhookRecord,
};

use crate::ledger::Timestamp;
use book::Entry;
use drawdown_wal::Lsn;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Endpoints of a server at most: each of them reads the log for itself.
pub const ENDPOINTS_MAX: usize = 100;
/// Deliveries that arrived at the first attempt and are shown, for each endpoint, since the start.
const ARRIVED_SHOWN: usize = 200;

/// An endpoint as it is shown.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// What was said of it.
    pub endpoint: Arc<EndpointRecord>,
    /// Everything before this place has been delivered or given up, save for the wallets that are behind.
    pub cursor: Place,
    /// Bytes of the log behind the cursor.
    pub behind_bytes: u64,
    /// Since when nothing has arrived though it was tried.
    pub failing_since: Option<Timestamp>,
    /// Wallets whose next event is being retried.
    pub behind_wallets: usize,
    /// Whether its secrets can be read: messages cannot be signed otherwise.
    pub signs: bool,
}

/// What has been sent since the start, and what is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookStats {
    /// Endpoints that are enabled.
    pub enabled: u64,
    /// Endpoints that are not.
    pub disabled: u64,
    /// Attempts that arrived.
    pub delivered: u64,
    /// Attempts that did not.
    pub failed: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// Wallets that are behind, over all endpoints.
    pub behind_wallets: u64,
    /// Events read and not yet delivered, attempts under way included.
    pub queued: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// Bytes of durable log that the slowest enabled endpoint has not been through.
    pub behind_bytes: u64,
    /// When the oldest event happened that waits in memory, ms since the Unix epoch; 0 if none does.
    pub oldest_ms: u64,
}

/// All of webhooks.
#[derive(Debug)]
pub(super) struct Webhooks {
    book: Mutex<Book>,
    /// Raised when there is something that a follower must look at: endpoints that changed, deliveries that were asked for.
    /// Release by who changes the book, Acquire by the follower, which then takes the lock anyway.
    changes: AtomicU64,
    /// What arrived at the first attempt lately, by endpoint: for people, and gone with a restart.
    arrived: Mutex<HashMap<String, VecDeque<Arc<DeliveryRecord>>>>,
    gauges: WebhookGauges,
}

impl Default for Webhooks {
    fn default() -> Self {
        let (book, arrived) = (Mutex::default(), Mutex::default());
        Webhooks { book, changes: AtomicU64::new(0), arrived, gauges: WebhookGauges::default() }
    }
}

impl Webhooks {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what a record says.
    pub(super) fn enter(&self, record: WebhookRecord) {
        self.lock().enter(record);
    }

    /// All of it as records.
    pub(super) fn records(&self) -> Vec<WebhookRecord> {
        self.lock().records()
    }

    /// The first position that an enabled endpoint needs, though not further than `hold` bytes behind the durable end.
    pub(super) fn needed(&self, durable: Lsn, hold: u64) -> Option<Lsn> {
        let book = self.lock();
        let enabled = book.all().filter(|entry| entry.endpoint.disabled.is_none());
        let first = enabled.map(|entry| entry.needed().frame).min()?;
        Some(Lsn::new(first.max(durable.get().saturating_sub(hold))))
    }

    /// Tells followers that there is something to look at.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn arrived(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Arc<DeliveryRecord>>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self, durable: u64) -> WebhookStats {
        let mut stats = self.gauges.stats(durable);
        for entry in self.lock().all() {
            *if entry.endpoint.disabled.is_none() { &mut stats.enabled } else { &mut stats.disabled } += 1;
            stats.behind_wallets += entry.lanes.len() as u64;
        }
        stats
    }
}

/// Whether an endpoint that asks for these types wants this one. A prefix ends in `.*`, and `*` is everything.
pub fn wants(patterns: &[String], kind: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    })
}

impl Entry {
    fn is_enabled(&self) -> bool {
        self.endpoint.disabled.is_none() && !self.endpoint.deleted
    }
}

#[cfg(test)]
mod tests;
