//! One endpoint: what waits for it, where its wallets stand, and how far it has come. See [`super`] for the words.

use super::Settings;
use crate::engine::view::CommandError;
use crate::engine::webhooks::{
    AttemptRecord, ChannelState, CursorRecord, DeliveryRecord, DeliveryState, DisabledReason, EndpointRecord, LaneKey,
    LaneRecord, Place, WebhookRecord,
};
use crate::engine::{Engine, FeedReader, Followed};
use crate::ledger::Timestamp;
use drawdown_outbound::webhooks::{Attempt, Next, Secret};
use drawdown_wal::Lsn;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Attempts of a delivery that are kept, the latest.
const ATTEMPTS_KEPT: usize = 10;
/// Bytes of each answer that are kept.
const EXCERPT_BYTES: usize = 256;
/// Bytes of log that are read for an endpoint before others have their turn.
const READ_BYTES: usize = 1 << 20;
/// Bytes of log that are worth noting that they have been read, if there was nothing in them to be sent.
const NOTE_BYTES: u64 = 4 << 20;

/// Something to be sent.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// The first event in a lane's queue, for the first time.
    Fresh(LaneKey),
    /// The event that a lane is behind with.
    Retry {
        /// The lane.
        lane: LaneKey,
        /// Its failed delivery.
        record: Arc<DeliveryRecord>,
        /// Before its time, to see whether the endpoint is up again: a failure changes nothing.
        probe: bool,
    },
    /// An event that an operator asked for.
    Manual(Arc<DeliveryRecord>),
}

/// What comes of an attempt.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What is to be logged.
    pub(super) records: Vec<WebhookRecord>,
    /// The endpoint is to be disabled.
    pub(super) disable: Option<DisabledReason>,
    /// An event was given up.
    pub(super) gave_up: bool,
    /// What arrived at the first attempt.
    pub(super) arrived: Option<DeliveryRecord>,
}

/// Events of a lane in memory, in order. The first may be under way.
#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Followed>,
    under_way: bool,
}

#[derive(Debug)]
struct Pending {
    record: Arc<DeliveryRecord>,
    next_at: Timestamp,
    under_way: bool,
}

impl Pending {
    fn of(record: &Arc<DeliveryRecord>) -> Self {
        let next_at = match record.state {
            DeliveryState::Retrying(at) => at,
            DeliveryState::Delivered | DeliveryState::Failed => Timestamp::EPOCH,
        };
        Pending { record: Arc::clone(record), next_at, under_way: false }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        !self.under_way && self.next_at <= now
    }
}

/// A lane that is noted in the log to be behind, at the first of its events that is not settled or before.
#[derive(Debug)]
struct Behind {
    at: Place,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The event there failed.
    Retrying(Pending),
    /// It has been settled; the log is to be read from there.
    Waiting,
    /// The log is being read.
    CatchingUp,
    /// It has been read; what is queued is all that there is, and new events may be queued behind.
    Draining,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) endpoint: Arc<EndpointRecord>,
    secrets: Vec<(Secret, Option<Timestamp>)>,
    main: FeedReader,
    queues: HashMap<LaneKey, Queue>,
    /// Lanes whose first event is not under way.
    ready: VecDeque<LaneKey>,
    queued: usize,
    behind: BTreeMap<LaneKey, Behind>,
    catch_up: Option<FeedReader>,
    manual: BTreeMap<(u64, u16), Pending>,
    pub(super) under_way: usize,
    failures: u32,
    tried_at: Timestamp,
    failing_since: Option<Timestamp>,
    noted: (Place, Option<Timestamp>),
    noted_at: Timestamp,
    /// Something arrived or was given up since the last note.
    settled: bool,
}

impl Channel {
    /// An endpoint as the log has it.
    pub(super) fn load(engine: &Engine, state: ChannelState, now: Timestamp) -> Self {
        let mut channel = Channel {
            endpoint: Arc::clone(&state.endpoint),
            secrets: Vec::new(),
            main: engine.follow_from(state.cursor),
            queues: HashMap::new(),
            ready: VecDeque::new(),
            queued: 0,
            behind: BTreeMap::new(),
            catch_up: None,
            manual: BTreeMap::new(),
            under_way: 0,
            failures: 0,
            tried_at: Timestamp::EPOCH,
            failing_since: state.failing_since,
            noted: (state.cursor, state.failing_since),
            noted_at: now,
            settled: false,
        };
        for (lane, at) in &state.lanes {
            channel.behind.insert(lane.clone(), Behind { at: *at, stage: Stage::Waiting });
        }
        channel.refresh(state);
        channel
    }

    /// Takes over what operators changed.
    pub(super) fn refresh(&mut self, state: ChannelState) {
        let secret = |(bytes, end): (Vec<u8>, Option<Timestamp>)| Some((Secret::new(&bytes).ok()?, end));
        self.secrets = state.secrets.into_iter().filter_map(secret).collect();
        self.endpoint = state.endpoint;
        for record in &state.retrying {
            if record.manual {
                let key = (record.at.lsn, record.at.index);
                let pending = self.manual.entry(key).or_insert_with(|| Pending::of(record));
                if !pending.under_way {
                    *pending = Pending::of(record);
                }
            } else if let Some(behind) = self.behind.get_mut(&record.lane).filter(|behind| behind.at == record.at)
                && !matches!(&behind.stage, Stage::Retrying(pending) if pending.under_way)
            {
                behind.stage = Stage::Retrying(Pending::of(record));
            }
        }
    }

    fn is_down(&self, settings: &Settings) -> bool {
        self.failures >= settings.failures_until_down
    }

    /// The secrets that sign now, the newest first.
    pub(super) fn secrets(&self, now: Timestamp) -> Vec<Secret> {
        let live = self.secrets.iter().filter(|(_, end)| end.is_none_or(|end| now < end));
        live.map(|(secret, _)| secret.clone()).collect()
    }

    /// Reads some of what has become durable. Answers whether there may be more to read at once.
    pub(super) fn read(&mut self, engine: &Engine, settings: &Settings) -> Result<bool, CommandError> {
        if self.is_down(settings) {
            return Ok(false);
        }
        let caught_up = self.read_behind(engine, settings)?;
        let mut more = caught_up;
        if self.queued < settings.window && self.behind.len() < settings.lanes_behind && engine.is_behind(&self.main) {
            let endpoint = Arc::clone(&self.endpoint);
            let room = settings.window - self.queued;
            let wants = |kind: &str| endpoint.wants_kind(kind);
            let read = engine.read_on(&mut self.main, Lsn::new(u64::MAX), (room, READ_BYTES as u64), &wants)?;
            for followed in read.into_iter().filter(|followed| endpoint.wants(&followed.event)) {
                let lane = LaneKey::of(&followed.event);
                if self.behind.get(&lane).is_none_or(|behind| matches!(behind.stage, Stage::Draining)) {
                    self.push(lane, followed);
                }
            }
            more |= engine.is_behind(&self.main) && self.queued < settings.window;
        }
        Ok(more)
    }

    /// Reads what lanes have still to be told of whose failed event has been settled.
    fn read_behind(&mut self, engine: &Engine, settings: &Settings) -> Result<bool, CommandError> {
        let end = self.main.place();
        if self.catch_up.is_none() {
            let waiting = || self.behind.values().filter(|behind| matches!(behind.stage, Stage::Waiting));
            let Some(start) = waiting().map(|behind| behind.at).min() else { return Ok(false) };
            self.catch_up = Some(engine.follow_from(start));
            for behind in self.behind.values_mut().filter(|behind| matches!(behind.stage, Stage::Waiting)) {
                behind.stage = Stage::CatchingUp;
            }
        }
        let Some(reader) = self.catch_up.as_mut().filter(|_| self.queued < settings.window) else { return Ok(false) };
        let endpoint = Arc::clone(&self.endpoint);
        let room = settings.window - self.queued;
        let wants = |kind: &str| endpoint.wants_kind(kind);
        let read = engine.read_on(reader, Lsn::new(end.lsn), (room, READ_BYTES as u64), &wants)?;
        let is_at_end = reader.place().lsn >= end.lsn || (read.is_empty() && !engine.is_behind(reader));
        for followed in read.into_iter().filter(|followed| followed.at < end && endpoint.wants(&followed.event)) {
            let lane = LaneKey::of(&followed.event);
            let behind = self.behind.get(&lane);
            if behind.is_some_and(|behind| matches!(behind.stage, Stage::CatchingUp) && followed.at >= behind.at) {
                self.push(lane, followed);
            }
        }
        if is_at_end {
            self.catch_up = None;
            for behind in self.behind.values_mut().filter(|behind| matches!(behind.stage, Stage::CatchingUp)) {
                behind.stage = Stage::Draining;
            }
        }
        Ok(true)
    }

    fn push(&mut self, lane: LaneKey, followed: Followed) {
        let queue = self.queues.entry(lane.clone()).or_insert_with(|| {
            self.ready.push_back(lane);
            Queue::default()
        });
        queue.events.push_back(followed);
        self.queued += 1;
    }

    /// What is to be sent next, if anything is to be sent now.
    pub(super) fn next(&mut self, now: Timestamp, settings: &Settings) -> Option<Work> {
        if self.under_way >= settings.in_flight_per_endpoint {
            return None;
        }
        let work = self.next_work(now, settings)?;
        self.under_way += 1;
        self.tried_at = now;
        Some(work)
    }

    fn next_work(&mut self, now: Timestamp, settings: &Settings) -> Option<Work> {
        if let Some(pending) = self.manual.values_mut().find(|pending| pending.is_due(now)) {
            pending.under_way = true;
            return Some(Work::Manual(Arc::clone(&pending.record)));
        }
        let is_down = self.is_down(settings);
        // One at a time shows whether it is up again.
        let may_probe = is_down && self.under_way == 0 && self.tried_at.saturating_add(settings.probe_ms) <= now;
        let next = self.behind.iter_mut().filter_map(|(lane, behind)| match &mut behind.stage {
            Stage::Retrying(pending) if !pending.under_way => Some((lane, pending)),
            _ => None,
        });
        let next = next.min_by_key(|(_, pending)| pending.next_at);
        if let Some((lane, pending)) = next.filter(|(_, pending)| may_probe || pending.next_at <= now) {
            pending.under_way = true;
            let (lane, record, probe) = (lane.clone(), Arc::clone(&pending.record), pending.next_at > now);
            return Some(Work::Retry { lane, record, probe });
        }
        if is_down && !may_probe {
            return None;
        }
        let lane = self.ready.pop_front()?;
        self.queues.get_mut(&lane)?.under_way = true;
        Some(Work::Fresh(lane))
    }

    /// The event of fresh work.
    pub(super) fn front(&self, lane: &LaneKey) -> Option<&Followed> {
        self.queues.get(lane)?.events.front()
    }

    /// What comes of an attempt.
    pub(super) fn settle(&mut self, work: Work, attempt: &Attempt, now: Timestamp, settings: &Settings) -> Outcome {
        self.under_way -= 1;
        let mut outcome = Outcome::default();
        let failed = match &work {
            Work::Fresh(_) => 1,
            Work::Retry { record, .. } | Work::Manual(record) => record.failed + 1,
        };
        let Some(before) = self.delivery(&work, now) else { return outcome };
        let next = settings.schedule.next(attempt, failed, seed(&before));
        if next == Next::Done {
            self.arrived(now, settings);
        } else {
            self.failures = self.failures.saturating_add(1);
            let since = *self.failing_since.get_or_insert(now);
            if since.saturating_add(settings.disable_after_ms) <= now {
                outcome.disable = Some(DisabledReason::Failing);
            }
        }
        let state = match next {
            // Before its time: it counts for nothing if it failed.
            Next::RetryIn(_) | Next::GiveUp if matches!(work, Work::Retry { probe: true, .. }) => before.state,
            Next::Done => DeliveryState::Delivered,
            Next::RetryIn(pause) => {
                DeliveryState::Retrying(now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)))
            }
            Next::GiveUp => DeliveryState::Failed,
            Next::Disable => {
                outcome.disable = Some(DisabledReason::Gone);
                DeliveryState::Retrying(now)
            }
        };
        outcome.gave_up = state == DeliveryState::Failed;
        let record = after(before, attempt, state, failed, now);
        self.place(work, record, &mut outcome);
        outcome
    }

    /// The event of some work cannot be told any more, or not to this endpoint: it is given up.
    pub(super) fn lose(&mut self, work: Work, why: &str, now: Timestamp) -> Outcome {
        self.under_way -= 1;
        let mut outcome = Outcome { gave_up: true, ..Outcome::default() };
        let Some(mut record) = self.delivery(&work, now) else { return outcome };
        (record.state, record.updated_at) = (DeliveryState::Failed, now);
        push_attempt(
            &mut record.attempts,
            AttemptRecord {
                at_ms: now.millis(),
                status: None,
                error: Some(why.to_owned()),
                latency_ms: 0,
                excerpt: String::new(),
            },
        );
        self.place(work, record, &mut outcome);
        outcome
    }

    fn arrived(&mut self, now: Timestamp, settings: &Settings) {
        if self.is_down(settings) {
            // It is up again: what failed while it was down need not wait out its pause.
            for behind in self.behind.values_mut() {
                if let Stage::Retrying(pending) = &mut behind.stage {
                    pending.next_at = pending.next_at.min(now);
                }
            }
        }
        (self.failures, self.failing_since) = (0, None);
    }

    /// The delivery as it was before this attempt.
    fn delivery(&self, work: &Work, now: Timestamp) -> Option<DeliveryRecord> {
        match work {
            Work::Fresh(lane) => {
                let followed = self.front(lane)?;
                Some(DeliveryRecord {
                    endpoint: self.endpoint.id.clone(),
                    at: followed.at,
                    event: followed.event.id.clone(),
                    kind: followed.event.kind.to_owned(),
                    lane: lane.clone(),
                    state: DeliveryState::Retrying(now),
                    manual: false,
                    failed: 0,
                    attempts: Vec::new(),
                    created_at: now,
                    updated_at: now,
                })
            }
            Work::Retry { record, .. } | Work::Manual(record) => Some((**record).clone()),
        }
    }

    /// Enters what became of some work: in memory here, in the log by the outcome's records.
    fn place(&mut self, work: Work, record: DeliveryRecord, outcome: &mut Outcome) {
        let retrying = matches!(record.state, DeliveryState::Retrying(_));
        self.settled |= !retrying;
        match work {
            Work::Fresh(lane) if record.state == DeliveryState::Delivered => {
                self.pop(&lane);
                outcome.arrived = Some(record);
            }
            Work::Fresh(lane) => {
                let dropped = self.queues.remove(&lane);
                self.queued -= dropped.map_or(0, |queue| queue.events.len());
                self.fall_behind(lane, record, outcome);
            }
            Work::Retry { lane, probe: true, .. } if retrying => {
                if let Some(Behind { stage: Stage::Retrying(pending), .. }) = self.behind.get_mut(&lane) {
                    pending.under_way = false;
                }
            }
            Work::Retry { lane, .. } => self.fall_behind(lane, record, outcome),
            Work::Manual(_) => {
                let key = (record.at.lsn, record.at.index);
                let record = Arc::new(record);
                if retrying {
                    self.manual.insert(key, Pending::of(&record));
                } else {
                    self.manual.remove(&key);
                }
                outcome.records.push(WebhookRecord::Delivery(Box::new((*record).clone())));
            }
        }
    }

    /// A lane stands at an event that failed, or behind it if that has been settled.
    fn fall_behind(&mut self, lane: LaneKey, record: DeliveryRecord, outcome: &mut Outcome) {
        let retrying = matches!(record.state, DeliveryState::Retrying(_));
        let at = if retrying { record.at } else { record.at.next() };
        let record = Arc::new(record);
        let stage = if retrying { Stage::Retrying(Pending::of(&record)) } else { Stage::Waiting };
        let was_at = self.behind.insert(lane.clone(), Behind { at, stage }).map(|behind| behind.at);
        outcome.records.push(WebhookRecord::Delivery(Box::new((*record).clone())));
        if was_at != Some(at) {
            let endpoint = self.endpoint.id.clone();
            outcome.records.push(WebhookRecord::Lane(LaneRecord { endpoint, lane, at: Some(at) }));
        }
    }

    /// Takes the first event off a lane's queue, which has arrived.
    fn pop(&mut self, lane: &LaneKey) {
        let Some(queue) = self.queues.get_mut(lane) else { return };
        queue.events.pop_front();
        queue.under_way = false;
        self.queued -= 1;
        if queue.events.is_empty() {
            self.queues.remove(lane);
        } else {
            self.ready.push_back(lane.clone());
        }
    }

    /// Everything before has been settled, save in the lanes that are behind.
    pub(super) fn cursor(&self) -> Place {
        let steady = self.queues.iter().filter(|(lane, _)| !self.behind.contains_key(*lane));
        let fronts = steady.filter_map(|(_, queue)| Some(queue.events.front()?.at));
        fronts.fold(self.main.place(), Place::min)
    }

    /// What is to be noted of how far it has come, if it is time to.
    pub(super) fn note(&mut self, now: Timestamp, settings: &Settings, at_once: bool) -> Vec<WebhookRecord> {
        if !at_once && self.noted_at.saturating_add(settings.note_ms) > now {
            return Vec::new();
        }
        let endpoint = self.endpoint.id.clone();
        let mut records = Vec::new();
        let (queues, noted) = (&self.queues, self.noted.0);
        self.behind.retain(|lane, behind| {
            let Stage::Draining = behind.stage else { return true };
            let front = queues.get(lane).and_then(|queue| Some(queue.events.front()?.at));
            // The cursor, which does not go back, can stand for the lane: it is computed from what is left.
            let stays = front.filter(|front| *front < noted);
            if stays != Some(behind.at) {
                let (endpoint, lane) = (endpoint.clone(), lane.clone());
                records.push(WebhookRecord::Lane(LaneRecord { endpoint, lane, at: stays }));
            }
            behind.at = stays.unwrap_or(behind.at);
            stays.is_some()
        });
        let cursor = self.cursor();
        let is_news = self.settled
            || self.noted.1 != self.failing_since
            || cursor.lsn.saturating_sub(self.noted.0.lsn) >= NOTE_BYTES;
        if records.is_empty() && (!is_news || self.noted == (cursor, self.failing_since)) {
            return records;
        }
        let failing_since_ms = self.failing_since.map(Timestamp::millis);
        // First: a lane that has caught up is covered by the cursor then.
        records.insert(0, WebhookRecord::Cursor(CursorRecord { endpoint, at: cursor, failing_since_ms }));
        (self.noted, self.noted_at, self.settled) = ((cursor, self.failing_since), now, false);
        records
    }

    /// What is to be logged if the log begins at `first` and not where the endpoint is: it goes on there. Empty if nothing is lost to it.
    pub(super) fn skip(&self, first: Place, now: Timestamp) -> Vec<WebhookRecord> {
        let endpoint = &self.endpoint.id;
        let mut records = Vec::new();
        let cursor = self.cursor();
        if cursor.frame < first.frame {
            let failing_since_ms = self.failing_since.map(Timestamp::millis);
            let cursor = CursorRecord { endpoint: endpoint.clone(), at: first, failing_since_ms };
            records.push(WebhookRecord::Cursor(cursor));
        }
        for (lane, behind) in self.behind.iter().filter(|(_, behind)| behind.at.frame < first.frame) {
            let (endpoint, lane) = (endpoint.clone(), lane.clone());
            records.push(WebhookRecord::Lane(LaneRecord { endpoint, lane, at: Some(first) }));
            if let Stage::Retrying(pending) = &behind.stage {
                let mut given_up = (*pending.record).clone();
                (given_up.state, given_up.updated_at) = (DeliveryState::Failed, now);
                records.push(WebhookRecord::Delivery(Box::new(given_up)));
            }
        }
        records
    }

    /// Events in memory, and when the oldest of them happened.
    pub(super) fn queued(&self) -> (usize, Option<Timestamp>) {
        let fronts = self.queues.values().filter_map(|queue| Some(queue.events.front()?.event.time));
        (self.queued, fronts.min())
    }
}

/// A delivery after an attempt.
fn after(
    mut delivery: DeliveryRecord,
    attempt: &Attempt,
    state: DeliveryState,
    failed: u32,
    now: Timestamp,
) -> DeliveryRecord {
    let text = match &attempt.error {
        Some((_, what)) => what,
        None => &attempt.excerpt,
    };
    let end = (0..=EXCERPT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    push_attempt(
        &mut delivery.attempts,
        AttemptRecord {
            at_ms: now.millis(),
            status: attempt.status,
            error: attempt.error.as_ref().map(|(kind, _)| kind.as_str().to_owned()),
            latency_ms: u32::try_from(attempt.latency.as_millis()).unwrap_or(u32::MAX),
            excerpt: text[..end].to_owned(),
        },
    );
    if state != DeliveryState::Delivered {
        delivery.failed = failed;
    }
    (delivery.state, delivery.updated_at) = (state, now);
    delivery
}

fn push_attempt(attempts: &mut Vec<AttemptRecord>, attempt: AttemptRecord) {
    if attempts.len() >= ATTEMPTS_KEPT {
        attempts.remove(0);
    }
    attempts.push(attempt);
}

/// What spreads the retries of deliveries that failed together: FNV-1a over what names the delivery.
fn seed(delivery: &DeliveryRecord) -> u64 {
    let place = delivery.at.lsn.to_le_bytes();
    let bytes = delivery.endpoint.bytes().chain(place).chain(delivery.at.index.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
