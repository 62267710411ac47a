//! Events that the simulated bank has to send.

use super::command::{Answer, Hook};
use crate::providers::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest pause before an event is sent again, in seconds.
const PAUSE_S_MAX: u64 = 60;

/// The JSON of an event on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireEvent {
    pub(super) id: String,
    pub(super) created_s: u64,
    pub(super) event: Event,
}

/// Something to tell.
pub(super) struct Post {
    pub(super) event: Event,
    pub(super) at_s: u64,
    pub(super) copies: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    wire: WireEvent,
    copies: u32,
    failed: u32,
    due_s: u64,
}

impl From<&Waiting> for Hook {
    fn from(waiting: &Waiting) -> Self {
        let body = serde_json::to_string(&waiting.wire).expect("plain values");
        Hook { id: waiting.wire.id.clone(), copies: waiting.copies, body }
    }
}

/// Numbered, in the order in which things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outbox {
    waiting: BTreeMap<u64, Waiting>,
    count: u64,
}

const PREFIX: &str = "sim_evt_";

impl Outbox {
    pub(super) fn put(&mut self, post: Post) {
        self.count += 1;
        let wire = WireEvent { id: format!("{PREFIX}{}", self.count), created_s: post.at_s, event: post.event };
        self.waiting.insert(self.count, Waiting { wire, copies: post.copies, failed: 0, due_s: post.at_s });
    }

    pub(super) fn due(&self, now_s: u64) -> impl Iterator<Item = &Waiting> {
        self.waiting.values().filter(move |waiting| waiting.due_s <= now_s)
    }

    fn number(event: &str) -> Option<u64> {
        event.strip_prefix(PREFIX)?.parse().ok()
    }

    pub(super) fn delivered(&mut self, event: &str) -> Answer {
        if let Some(number) = Self::number(event) {
            self.waiting.remove(&number);
        }
        Answer::Done
    }

    pub(super) fn not_delivered(&mut self, event: &str, now_s: u64) -> Answer {
        if let Some(waiting) = Self::number(event).and_then(|number| self.waiting.get_mut(&number)) {
            waiting.failed += 1;
            waiting.due_s = now_s.saturating_add((1 << waiting.failed.min(6)).min(PAUSE_S_MAX));
        }
        Answer::Done
    }
}
