//! What operators ask for: endpoints made, changed, given another secret, tried, deleted.

use super::super::grants::{check_metadata, check_text};
use super::super::once::{RequestKey, or_gone};
use super::super::ticket::Ticket;
use super::super::view::{CommandError, Metadata};
use super::super::{Engine, Inner, MAX_ID_BYTES};
use super::book::{Book, Entry};
use super::{
    CursorRecord, DeliveryState, DisabledReason, ENDPOINTS_MAX, EndpointChange, EndpointRecord, EndpointView,
    LaneRecord, Place, WebhookRecord,
};
use crate::journal::admin::AdminRecord;
use crate::journal::done::{Deed, DoneRecord};
use crate::journal::webhook::SecretRecord;
use crate::ledger::Timestamp;
use std::sync::Arc;

/// Bytes of a URL at most.
const URL_BYTES_MAX: usize = 2048;
/// Patterns of event types at most, and bytes of each.
const EVENTS_MAX: usize = 64;
const EVENT_BYTES_MAX: usize = 64;
/// Bytes of a description at most.
const DESCRIPTION_BYTES_MAX: usize = 500;
/// Bytes of records that are logged in one frame, about.
const FRAME_BYTES_MAX: usize = 32 << 10;
/// Secrets that sign at once at most; of more, the oldest end at once.
const SECRETS_MAX: usize = 4;

/// What an endpoint should be. Whether its URL may be reached is not looked at here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Where it is.
    pub url: String,
    /// Types of events: whole names, prefixes such as `hold.*`, or `*`.
    pub events: Vec<String>,
    /// Only events of this customer.
    pub customer: Option<String>,
    /// Only events of this currency.
    pub currency: Option<String>,
    /// For people.
    pub description: String,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// A change of an endpoint; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPatch {
    /// Where it is.
    pub url: Option<String>,
    /// Types of events.
    pub events: Option<Vec<String>>,
    /// Only events of this customer, or of all.
    pub customer: Option<Option<String>>,
    /// Only events of this currency, or of all.
    pub currency: Option<Option<String>>,
    /// For people.
    pub description: Option<String>,
    /// Replaces the metadata.
    pub metadata: Option<Metadata>,
    /// Whether anything is sent to it.
    pub enabled: Option<bool>,
    /// Where it goes on when it is enabled again.
    pub resume: Resume,
}

/// Where an endpoint goes on that was disabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Where it was: it is told of everything that happened meanwhile and is still in the log.
    #[default]
    Behind,
    /// At the end of the log: it is not told of what happened meanwhile, nor of what was being retried.
    Now,
}

/// What became of a request that gives an endpoint a secret.
#[derive(Debug)]
pub struct SecretMade {
    /// The endpoint, as it is now.
    pub view: EndpointView,
    /// The secret that it was given; `None` if it signs no more.
    pub secret: Option<Vec<u8>>,
    /// Resolves when it is durable.
    pub ticket: Ticket,
}

impl Engine {
    /// Makes an endpoint, which is told of what happens from now on. `secret` signs its messages. May wait for the disk.
    pub fn create_webhook_endpoint(
        &self,
        id: &str,
        spec: EndpointSpec,
        secret: &[u8],
    ) -> Result<(EndpointView, Ticket), CommandError> {
        self.create_webhook_endpoint_once(id, spec, secret, None)
    }

    /// The same, and notes which request it was made for: see [`Engine::webhook_secret_made`].
    pub fn create_webhook_endpoint_once(
        &self,
        id: &str,
        spec: EndpointSpec,
        secret: &[u8],
        once: Option<RequestKey>,
    ) -> Result<(EndpointView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("id", id, MAX_ID_BYTES)?;
        check(&spec)?;
        let mut book = inner.webhooks.lock();
        if book.knows(id) {
            return Err(CommandError::Conflict { slug: "id_conflict", detail: "the id is taken".to_owned() });
        }
        if book.all().count() >= ENDPOINTS_MAX {
            let detail = format!("a server has at most {ENDPOINTS_MAX} webhook endpoints");
            return Err(CommandError::Conflict { slug: "too_many", detail });
        }
        let now = inner.now();
        let secrets = vec![inner.seal_secret(id, None, secret)?];
        let record = EndpointRecord {
            id: id.to_owned(),
            url: spec.url,
            events: spec.events,
            customer: spec.customer,
            currency: spec.currency,
            description: spec.description,
            metadata: spec.metadata,
            disabled: None,
            deleted: false,
            secrets,
            destroyed: Vec::new(),
            change: EndpointChange::Created,
            from: Place::start(inner.log.tail().get()),
            created_at: now,
            enabled_at: now,
            updated_at: now,
        };
        let done = once.map(|once| secret_done(once, Deed::EndpointMade, &record));
        inner.put_endpoint(&mut book, record, done)?;
        self.shown(&book, id)
    }

    /// What a request made, if it was carried out: the endpoint, as it is now, and the secret that it was given then, as long as that signs.
    /// Nothing of it is to be done again then. `deed` is [`Deed::EndpointMade`] or [`Deed::SecretRotated`].
    pub fn webhook_secret_made(
        &self,
        once: Option<RequestKey>,
        deed: Deed,
    ) -> Result<Option<SecretMade>, CommandError> {
        let Some(done) = self.was_done(once, deed)? else { return Ok(None) };
        let inner = &*self.inner;
        let book = inner.webhooks.lock();
        let entry = or_gone(find(&book, &done.of))?;
        let now = inner.now();
        let is_it = |secret: &&SecretRecord| {
            Some(secret.sealed.nonce) == done.secret && secret.expires_at.is_none_or(|end| end > now)
        };
        let made = entry.endpoint.secrets.iter().find(is_it);
        let secret = made.and_then(|secret| inner.customers.vault().open_sealed(&done.of, &secret.sealed));
        Ok(Some(SecretMade { view: inner.endpoint_view(entry), secret, ticket: self.barrier() }))
    }

    /// Changes an endpoint. Disabling one that was disabled already, or enabling an enabled one, changes nothing.
    pub fn patch_webhook_endpoint(
        &self,
        id: &str,
        patch: EndpointPatch,
    ) -> Result<(EndpointView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut book = inner.webhooks.lock();
        let entry = find(&book, id)?;
        let old = &*entry.endpoint;
        let spec = EndpointSpec {
            url: patch.url.unwrap_or_else(|| old.url.clone()),
            events: patch.events.unwrap_or_else(|| old.events.clone()),
            customer: patch.customer.unwrap_or_else(|| old.customer.clone()),
            currency: patch.currency.unwrap_or_else(|| old.currency.clone()),
            description: patch.description.unwrap_or_else(|| old.description.clone()),
            metadata: patch.metadata.unwrap_or_else(|| old.metadata.clone()),
        };
        check(&spec)?;
        let now = inner.now();
        let mut new = EndpointRecord {
            url: spec.url,
            events: spec.events,
            customer: spec.customer,
            currency: spec.currency,
            description: spec.description,
            metadata: spec.metadata,
            ..old.clone()
        };
        let is_enabled = old.disabled.is_none();
        let mut change = EndpointChange::Updated;
        match patch.enabled {
            Some(true) if !is_enabled => {
                (new.disabled, new.enabled_at, change) = (None, now, EndpointChange::Enabled);
            }
            Some(false) if is_enabled => {
                (new.disabled, change) = (Some(DisabledReason::Operator), EndpointChange::Disabled);
            }
            _ => {}
        }
        if new != *old {
            (new.change, new.updated_at) = (change, now);
            let mut records = Vec::new();
            if change == EndpointChange::Enabled && patch.resume == Resume::Now {
                records = skip_to(entry, Place::start(inner.log.tail().get()), now);
            }
            records.insert(0, WebhookRecord::Endpoint(Box::new(new)));
            inner.put_webhooks(&mut book, records)?;
            inner.webhooks.changed();
        }
        self.shown(&book, id)
    }

    /// Gives an endpoint another secret. The ones before go on signing beside it, at the most for `overlap_ms`. May wait for the disk.
    pub fn rotate_webhook_secret(
        &self,
        id: &str,
        secret: &[u8],
        overlap_ms: u64,
    ) -> Result<(EndpointView, Ticket), CommandError> {
        self.rotate_webhook_secret_once(id, secret, overlap_ms, None)
    }

    /// The same, and notes which request asked for it: see [`Engine::webhook_secret_made`].
    pub fn rotate_webhook_secret_once(
        &self,
        id: &str,
        secret: &[u8],
        overlap_ms: u64,
        once: Option<RequestKey>,
    ) -> Result<(EndpointView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut book = inner.webhooks.lock();
        let old = find(&book, id)?.endpoint.clone();
        let now = inner.now();
        let mut secrets = vec![inner.seal_secret(id, old.secrets.first(), secret)?];
        let end = now.saturating_add(overlap_ms);
        let ending = old.secrets.iter().map(|old| SecretRecord {
            expires_at: Some(old.expires_at.map_or(end, |before| before.min(end))),
            ..old.clone()
        });
        secrets.extend(ending.filter(|secret| secret.expires_at > Some(now)));
        secrets.truncate(SECRETS_MAX);
        let record = EndpointRecord { secrets, change: EndpointChange::Rotated, updated_at: now, ..(*old).clone() };
        let done = once.map(|once| secret_done(once, Deed::SecretRotated, &record));
        inner.put_endpoint(&mut book, record, done)?;
        self.shown(&book, id)
    }

    /// Sends an endpoint a test event, `webhook_endpoint.test`, whatever it asks for otherwise: the event is in the feed like any other, and no
    /// other endpoint is told of it.
    pub fn test_webhook_endpoint(&self, id: &str) -> Result<(EndpointView, Ticket), CommandError> {
        self.test_webhook_endpoint_once(id, None)
    }

    /// The same, once under a request's key.
    pub fn test_webhook_endpoint_once(
        &self,
        id: &str,
        once: Option<RequestKey>,
    ) -> Result<(EndpointView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        if self.was_done(once, Deed::EndpointTested)?.is_some() {
            return Ok((or_gone(self.webhook_endpoint(id))?, self.barrier()));
        }
        let mut book = inner.webhooks.lock();
        let old = find(&book, id)?.endpoint.clone();
        if old.disabled.is_some() {
            return Err(disabled());
        }
        let record = EndpointRecord { change: EndpointChange::Tested, ..(*old).clone() };
        let done = once.map(|once| once.done(Deed::EndpointTested, id));
        inner.put_endpoint(&mut book, record, done)?;
        self.shown(&book, id)
    }

    /// Deletes an endpoint. Its secrets' keys are destroyed by [`Engine::finish_webhook_deletion`] when the ticket has resolved.
    pub fn delete_webhook_endpoint(&self, id: &str) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let mut book = inner.webhooks.lock();
        let old = find(&book, id)?.endpoint.clone();
        let mut record = EndpointRecord {
            deleted: true,
            change: EndpointChange::Deleted,
            updated_at: inner.now(),
            secrets: Vec::new(),
            ..(*old).clone()
        };
        record.destroyed.extend(old.secrets.iter().map(|secret| secret.sealed.key));
        record.destroyed.sort_unstable();
        record.destroyed.dedup();
        inner.put_endpoint(&mut book, record, None)?;
        inner.webhooks.arrived().remove(id);
        Ok(self.durable_barrier())
    }

    /// Destroys the keys of deleted endpoints' secrets. Waits for the disk.
    pub fn finish_webhook_deletion(&self) {
        self.inner.destroy_webhook_keys();
    }

    /// An endpoint.
    pub fn webhook_endpoint(&self, id: &str) -> Result<EndpointView, CommandError> {
        let book = self.inner.webhooks.lock();
        Ok(self.inner.endpoint_view(find(&book, id)?))
    }

    /// Whether an endpoint of this id was ever made.
    pub fn had_webhook_endpoint(&self, id: &str) -> bool {
        self.inner.webhooks.lock().knows(id)
    }

    /// All endpoints, by id.
    pub fn webhook_endpoints(&self) -> Vec<EndpointView> {
        let book = self.inner.webhooks.lock();
        book.all().map(|entry| self.inner.endpoint_view(entry)).collect()
    }

    fn shown(&self, book: &Book, id: &str) -> Result<(EndpointView, Ticket), CommandError> {
        Ok((self.inner.endpoint_view(find(book, id)?), self.barrier()))
    }
}

/// What is noted of a request for which an endpoint was given its newest secret.
fn secret_done(once: RequestKey, deed: Deed, record: &EndpointRecord) -> DoneRecord {
    let secret = record.secrets.first().map(|secret| secret.sealed.nonce);
    DoneRecord { secret, ..once.done(deed, record.id.clone()) }
}

/// Records that take an endpoint to `place` and give up what was being retried.
fn skip_to(entry: &Entry, place: Place, now: Timestamp) -> Vec<WebhookRecord> {
    let endpoint = &entry.endpoint.id;
    let cursor = CursorRecord { endpoint: endpoint.clone(), at: place, failing_since_ms: None };
    let lane = |lane: &super::LaneKey| LaneRecord { endpoint: endpoint.clone(), lane: lane.clone(), at: None };
    let mut records = vec![WebhookRecord::Cursor(cursor)];
    records.extend(entry.lanes.keys().map(lane).map(WebhookRecord::Lane));
    for delivery in entry.deliveries.values() {
        if matches!(delivery.state, DeliveryState::Retrying(_)) {
            let mut given_up = (**delivery).clone();
            (given_up.state, given_up.updated_at) = (DeliveryState::Failed, now);
            records.push(WebhookRecord::Delivery(Box::new(given_up)));
        }
    }
    records
}

pub(super) fn find<'b>(book: &'b Book, id: &str) -> Result<&'b Entry, CommandError> {
    book.get(id).ok_or(CommandError::NotFound { what: "webhook_endpoint" })
}

pub(super) fn disabled() -> CommandError {
    let detail = "the endpoint is disabled: enable it first".to_owned();
    CommandError::Conflict { slug: "webhook_endpoint_disabled", detail }
}

fn check(spec: &EndpointSpec) -> Result<(), CommandError> {
    let invalid = |field, detail: &str| Err(CommandError::Invalid { field, detail: detail.to_owned() });
    if spec.url.is_empty() || spec.url.len() > URL_BYTES_MAX {
        return invalid("url", "must have 1 to 2048 bytes");
    }
    if spec.description.len() > DESCRIPTION_BYTES_MAX {
        return invalid("description", "must have at most 500 bytes");
    }
    if spec.events.is_empty() || spec.events.len() > EVENTS_MAX || !spec.events.iter().all(|event| is_pattern(event)) {
        return invalid(
            "events",
            "must be 1 to 64 types of events such as hold.created, prefixes such as hold.*, or *",
        );
    }
    if let Some(customer) = &spec.customer {
        check_text("customer", customer, MAX_ID_BYTES)?;
    }
    if let Some(currency) = &spec.currency {
        check_text("currency", currency, MAX_ID_BYTES)?;
    }
    check_metadata(&spec.metadata)
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix(".*").unwrap_or(text);
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.'))
    };
    text == "*" || (text.len() <= EVENT_BYTES_MAX && is_name(name))
}

impl Inner {
    /// Logs records and enters them: in one frame if there are few, so that all of them are there after a crash or none.
    pub(super) fn put_webhooks(&self, book: &mut Book, records: Vec<WebhookRecord>) -> Result<(), CommandError> {
        let most = (self.config.log.max_frame_bytes as usize / 2).min(FRAME_BYTES_MAX);
        let (mut together, mut bytes): (Vec<AdminRecord>, _) = (Vec::new(), 0);
        for record in records.into_iter().map(AdminRecord::Webhook) {
            let length = record.encode().len();
            if bytes + length > most && !together.is_empty() {
                self.put_together(book, &mut together)?;
                bytes = 0;
            }
            bytes += length;
            together.push(record);
        }
        if together.is_empty() { Ok(()) } else { self.put_together(book, &mut together) }
    }

    /// Logs a record and enters it, and with it, in the same frame, which request asked for it.
    pub(super) fn put_webhook_done(
        &self,
        book: &mut Book,
        record: WebhookRecord,
        done: Option<DoneRecord>,
    ) -> Result<(), CommandError> {
        self.append_done(&[AdminRecord::Webhook(record.clone())], done)?;
        book.enter(record);
        Ok(())
    }

    fn put_together(&self, book: &mut Book, records: &mut Vec<AdminRecord>) -> Result<(), CommandError> {
        self.append_admins(records)?;
        for record in records.drain(..) {
            if let AdminRecord::Webhook(record) = record {
                book.enter(record);
            }
        }
        Ok(())
    }

    fn put_endpoint(
        &self,
        book: &mut Book,
        record: EndpointRecord,
        done: Option<DoneRecord>,
    ) -> Result<(), CommandError> {
        self.put_webhook_done(book, WebhookRecord::Endpoint(Box::new(record)), done)?;
        self.webhooks.changed();
        Ok(())
    }

    /// Seals a secret, under the key of the one before it if that is still there.
    fn seal_secret(&self, id: &str, old: Option<&SecretRecord>, secret: &[u8]) -> Result<SecretRecord, CommandError> {
        let vault = self.customers.vault();
        let sealed = match old {
            Some(old) if vault.has(&old.sealed.key) => Ok(old.sealed.key),
            _ => vault.make(),
        };
        let sealed = sealed.and_then(|key| vault.seal(&key, id, secret));
        let unavailable = |error: std::io::Error| super::super::Unavailable::NoSpace(error.to_string());
        Ok(SecretRecord { sealed: sealed.map_err(unavailable)?, expires_at: None })
    }

    /// Destroys the keys that the log says are to be destroyed.
    pub(in crate::engine) fn destroy_webhook_keys(&self) {
        let keys: Vec<_> = {
            let book = self.webhooks.lock();
            book.deleted().flat_map(|endpoint| endpoint.destroyed.clone()).collect()
        };
        for key in keys {
            if let Err(error) = self.customers.vault().destroy(&key) {
                tracing::error!(%error, "the key of a deleted webhook endpoint could not be destroyed; the next start tries again");
            }
        }
    }

    pub(super) fn endpoint_view(&self, entry: &Entry) -> EndpointView {
        let vault = self.customers.vault();
        let newest = entry.endpoint.secrets.first();
        EndpointView {
            endpoint: Arc::clone(&entry.endpoint),
            cursor: entry.cursor,
            behind_bytes: self.log.durable().get().saturating_sub(entry.cursor.lsn),
            failing_since: entry.failing_since.filter(|since| *since >= entry.endpoint.enabled_at),
            behind_wallets: entry.lanes.len(),
            signs: newest.is_some_and(|secret| vault.open_sealed(&entry.endpoint.id, &secret.sealed).is_some()),
        }
    }
}
