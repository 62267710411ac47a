//! All endpoints together: who may send how much, and what is logged of it.

use super::channel::{Channel, Outcome, Work};
use super::{Message, Render, Settings};
use crate::engine::view::CommandError;
use crate::engine::webhooks::WebhookRecord;
use crate::engine::{Engine, Followed};
use crate::ledger::Timestamp;
use bytes::Bytes;
use drawdown_outbound::webhooks::{Attempt, Verdict};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;

/// How long nothing is tried after the log took nothing, ms.
const PAUSE_MS: u64 = 1_000;

/// An attempt to be made. What becomes of it is told to [`Courier::settle`].
#[derive(Debug)]
pub struct Job {
    /// Names it.
    pub ticket: u64,
    /// What is sent.
    pub message: Message,
}

/// What a step comes to.
#[derive(Debug, Default)]
pub struct Step {
    /// Attempts to be made.
    pub jobs: Vec<Job>,
    /// There is more to do at once.
    pub busy: bool,
}

/// An attempt under way.
#[derive(Debug)]
struct Flight {
    endpoint: String,
    /// Which loading of the endpoint it belongs to.
    load: u64,
    work: Work,
}

/// See [`super`].
#[derive(Debug)]
pub struct Courier {
    engine: Engine,
    settings: Settings,
    render: Render,
    channels: BTreeMap<String, (u64, Channel)>,
    flights: HashMap<u64, Flight>,
    next: u64,
    seen: Option<u64>,
    /// Whose turn it is to be first.
    turn: usize,
    paused_until: Timestamp,
}

impl Courier {
    /// One that has read nothing yet.
    pub fn new(engine: Engine, settings: Settings, render: Render) -> Self {
        Courier {
            engine,
            settings,
            render,
            channels: BTreeMap::new(),
            flights: HashMap::new(),
            next: 0,
            seen: None,
            turn: 0,
            paused_until: Timestamp::EPOCH,
        }
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn fresh_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Reads some of the log, notes how far endpoints have come, and says what is to be sent now.
    pub fn step(&mut self) -> Step {
        let mut step = Step::default();
        let now = self.engine.now();
        if now < self.paused_until || self.engine.health().is_err() {
            return step;
        }
        self.look(now);
        let mut ids: Vec<String> = self.channels.keys().cloned().collect();
        if !ids.is_empty() {
            self.turn = (self.turn + 1) % ids.len();
            ids.rotate_left(self.turn);
        }
        for id in &ids {
            if let Err(error) = self.serve(id, now, &mut step) {
                self.take_back(id, &error, now);
            }
        }
        self.measure();
        step
    }

    /// Loads endpoints that are new or were enabled, drops those that are not enabled any more, and takes over what was changed.
    fn look(&mut self, now: Timestamp) {
        let changes = self.engine.webhook_changes();
        if self.seen == Some(changes) {
            return;
        }
        self.seen = Some(changes);
        let mut before = std::mem::take(&mut self.channels);
        for state in self.engine.webhook_channels() {
            let id = state.endpoint.id.clone();
            let kept = before.remove(&id).filter(|(_, old)| old.endpoint.enabled_at == state.endpoint.enabled_at);
            let channel = match kept {
                Some((load, mut channel)) => {
                    channel.refresh(state);
                    (load, channel)
                }
                None => (self.fresh_number(), Channel::load(&self.engine, state, now)),
            };
            self.channels.insert(id, channel);
        }
    }

    /// A turn of an endpoint.
    fn serve(&mut self, id: &str, now: Timestamp, step: &mut Step) -> Result<(), CommandError> {
        let Some((load, channel)) = self.channels.get_mut(id) else { return Ok(()) };
        let secrets = channel.secrets(now);
        if secrets.is_empty() {
            // It cannot sign: nothing is lost, and nothing is sent until it is given a secret.
            return Ok(());
        }
        step.busy |= channel.read(&self.engine, &self.settings)?;
        let load = *load;
        while self.flights.len() < self.settings.in_flight {
            let Some((_, channel)) = self.channels.get_mut(id) else { break };
            let Some(work) = channel.next(now, &self.settings) else { break };
            let told = match &work {
                Work::Fresh(lane) => channel.front(lane).cloned(),
                Work::Retry { record, .. } | Work::Manual(record) => {
                    match self.engine.feed_event(record.at.lsn, record.at.index) {
                        Err(CommandError::Retired { .. }) => None,
                        told => told?,
                    }
                }
            };
            let told = told.ok_or("event_retired");
            // What waited may be of another customer than the endpoint is for by now.
            let told =
                told.and_then(|told| if channel.endpoint.is_for(&told.event) { Ok(told) } else { Err("not_for_it") });
            let Followed { event, .. } = match told {
                Ok(told) => told,
                Err(why) => {
                    let outcome = channel.lose(work, why, now);
                    self.enter(id, outcome)?;
                    continue;
                }
            };
            let message = Message {
                url: channel.endpoint.url.clone(),
                id: event.id.clone(),
                now_s: now.millis() / 1000,
                body: Bytes::from((self.render)(&event)),
                secrets: secrets.clone(),
            };
            let ticket = self.fresh_number();
            self.flights.insert(ticket, Flight { endpoint: id.to_owned(), load, work });
            step.jobs.push(Job { ticket, message });
        }
        self.note(id, now, false)
    }

    fn note(&mut self, id: &str, now: Timestamp, at_once: bool) -> Result<(), CommandError> {
        let Some((_, channel)) = self.channels.get_mut(id) else { return Ok(()) };
        let records = channel.note(now, &self.settings, at_once);
        if records.is_empty() { Ok(()) } else { self.engine.note_webhooks(records) }
    }

    /// Takes what became of an attempt.
    pub fn settle(&mut self, ticket: u64, attempt: &Attempt) {
        let Some(flight) = self.flights.remove(&ticket) else { return };
        let gauges = self.engine.webhook_gauges();
        match attempt.verdict() {
            Verdict::Delivered => &gauges.delivered,
            Verdict::Failed | Verdict::Gone => &gauges.failed,
        }
        .fetch_add(1, Relaxed);
        let now = self.engine.now();
        let id = flight.endpoint;
        // The endpoint may have been disabled, or loaded anew, since: then it is sent again.
        let Some((_, channel)) = self.channels.get_mut(&id).filter(|(load, _)| *load == flight.load) else { return };
        let outcome = channel.settle(flight.work, attempt, now, &self.settings);
        if let Err(error) = self.enter(&id, outcome) {
            self.take_back(&id, &error, now);
        }
    }

    fn enter(&mut self, id: &str, outcome: Outcome) -> Result<(), CommandError> {
        if outcome.gave_up {
            self.engine.webhook_gauges().given_up.fetch_add(1, Relaxed);
        }
        if let Some(arrived) = outcome.arrived {
            self.engine.show_arrived(arrived);
        }
        match outcome.disable {
            Some(reason) => {
                tracing::warn!(endpoint = id, reason = reason.as_str(), "a webhook endpoint is disabled");
                let mut records = outcome.records;
                if let Some((_, channel)) = self.channels.get_mut(id) {
                    // Where it stood, so that it goes on there when it is enabled again.
                    records.extend(channel.note(self.engine.now(), &self.settings, true));
                }
                self.engine.disable_webhook_endpoint(id, reason, records)?;
                self.channels.remove(id);
                Ok(())
            }
            None if outcome.records.is_empty() => Ok(()),
            None => self.engine.note_webhooks(outcome.records),
        }
    }

    /// Forgets what memory knows of an endpoint and begins with what the log knows: either the log took nothing, or what the endpoint has
    /// still to be told of is not there any more.
    fn take_back(&mut self, id: &str, error: &CommandError, now: Timestamp) {
        self.seen = None;
        let Some((_, channel)) = self.channels.remove(id) else { return };
        let CommandError::Retired { .. } = error else {
            tracing::warn!(endpoint = id, %error, "webhooks wait");
            self.paused_until = now.saturating_add(PAUSE_MS);
            return;
        };
        tracing::warn!(
            endpoint = id,
            "a webhook endpoint was so far behind that events have left the log: they are skipped"
        );
        let records: Vec<WebhookRecord> = channel.skip(self.engine.first_place(), now);
        if records.is_empty() {
            // It was not behind: to be looked at again, and not at once.
            self.paused_until = now.saturating_add(PAUSE_MS);
            return;
        }
        if let Err(error) = self.engine.skip_webhooks(id, records) {
            tracing::warn!(endpoint = id, %error, "webhooks wait");
            self.paused_until = now.saturating_add(PAUSE_MS);
        }
    }

    fn measure(&self) {
        let gauges = self.engine.webhook_gauges();
        let (mut queued, mut oldest, mut slowest) = (0, None, None);
        for (_, channel) in self.channels.values() {
            let (count, since) = channel.queued();
            queued += count as u64;
            oldest = oldest.into_iter().chain(since).min();
            slowest = slowest.into_iter().chain([channel.cursor().lsn]).min();
        }
        gauges.queued.store(queued, Relaxed);
        gauges.in_flight.store(self.flights.len() as u64, Relaxed);
        gauges.oldest_ms.store(oldest.map_or(0, Timestamp::millis), Relaxed);
        gauges.slowest.store(slowest.unwrap_or(0), Relaxed);
    }

    /// Notes how far everything has come. What is under way is sent again by the next start.
    pub fn close(&mut self) {
        let now = self.engine.now();
        let ids: Vec<String> = self.channels.keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.note(&id, now, true) {
                tracing::debug!(endpoint = id, %error, "how far a webhook endpoint has come could not be noted");
            }
        }
    }
}
