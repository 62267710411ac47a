//! What to send: a deterministic stream of events for each connection, with the verdict that each must get.
//!
//! Wallets are granted so much that no run of [`EVENTS_MAX`] events can empty one, and an event meant to be rejected asks for more than
//! that. A duplicate repeats one of the last events of its own connection. Hence every verdict is known beforehand, in whatever order the
//! server gets to the connections.

use crate::rng::{Rng, Zipf};
use clap::ValueEnum;
use serde::Serialize;

/// Events in one run at most.
pub const EVENTS_MAX: u64 = 1_000_000_000;

/// The most that an event meant to be applied debits, in units.
pub const EVENT_UNITS_MAX: u64 = 1000;

/// What every wallet is granted, in units.
pub const GRANT_UNITS: u64 = EVENTS_MAX * EVENT_UNITS_MAX;

/// How far back a duplicate may reach, in applied events of its connection.
const MEMORY_EVENTS: usize = 1024;

/// Which wallets the events debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// Few often, many seldom (exponent 0.99).
    Zipf,
    /// One only.
    OneHot,
}

/// What must become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its first sending: it is debited.
    Applied,
    /// Sent before on the same connection: nothing happens.
    Duplicate,
    /// It asks for more than the wallet ever had.
    Rejected,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Names the event together with the connection.
    pub number: u64,
    /// Index of its wallet.
    pub wallet: u32,
    /// What it debits.
    pub units: u64,
    /// What must become of it.
    pub verdict: Verdict,
}

/// What shapes the stream.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Wallets to choose from.
    pub wallets: u32,
    /// How they are chosen.
    pub distribution: Distribution,
    /// Part of the events that repeats an earlier one.
    pub duplicates: f64,
    /// Part of the events that must be rejected.
    pub rejections: f64,
    /// Repeats the stream.
    pub seed: u64,
}

/// The stream of one connection.
#[derive(Debug)]
pub struct Workload {
    shape: Shape,
    zipf: Option<Zipf>,
    rng: Rng,
    next_number: u64,
    recent: Vec<Event>,
    applied: usize,
}

impl Workload {
    /// The stream of the connection with this number.
    pub fn new(shape: Shape, connection: u32) -> Self {
        Workload {
            shape,
            zipf: (shape.distribution == Distribution::Zipf).then(|| Zipf::new(shape.wallets)),
            rng: Rng::new(shape.seed, u64::from(connection)),
            next_number: 0,
            recent: Vec::with_capacity(MEMORY_EVENTS),
            applied: 0,
        }
    }

    /// Replaces a batch by the next `count` events.
    pub fn fill(&mut self, batch: &mut Vec<Event>, count: usize) {
        batch.clear();
        batch.extend((0..count).map(|_| self.draw()));
    }

    fn draw(&mut self) -> Event {
        if !self.recent.is_empty() && self.rng.chance(self.shape.duplicates) {
            let index = self.rng.below(self.recent.len() as u64) as usize;
            return Event { verdict: Verdict::Duplicate, ..self.recent[index] };
        }
        let number = self.next_number;
        self.next_number += 1;
        let wallet = self.wallet();
        if self.rng.chance(self.shape.rejections) {
            return Event { number, wallet, units: GRANT_UNITS + 1, verdict: Verdict::Rejected };
        }
        let units = 1 + self.rng.below(EVENT_UNITS_MAX);
        let event = Event { number, wallet, units, verdict: Verdict::Applied };
        self.remember(event);
        event
    }

    fn wallet(&mut self) -> u32 {
        match (self.shape.distribution, &self.zipf) {
            (Distribution::Zipf, Some(zipf)) => zipf.draw(&mut self.rng),
            (Distribution::Uniform, _) => self.rng.below(u64::from(self.shape.wallets)) as u32,
            (Distribution::OneHot | Distribution::Zipf, _) => 0,
        }
    }

    fn remember(&mut self, event: Event) {
        if self.recent.len() < MEMORY_EVENTS {
            self.recent.push(event);
        } else {
            self.recent[self.applied % MEMORY_EVENTS] = event;
        }
        self.applied += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const SHAPE: Shape =
        Shape { wallets: 100, distribution: Distribution::Zipf, duplicates: 0.1, rejections: 0.05, seed: 42 };

    fn drawn(shape: Shape, connection: u32, count: usize, batch: usize) -> Vec<Event> {
        let mut workload = Workload::new(shape, connection);
        let (mut all, mut part) = (Vec::new(), Vec::new());
        while all.len() < count {
            workload.fill(&mut part, batch.min(count - all.len()));
            all.extend_from_slice(&part);
        }
        all
    }

    #[test]
    fn a_seed_repeats_the_stream_however_it_is_cut() {
        let whole = drawn(SHAPE, 0, 10_000, 10_000);
        assert_eq!(whole, drawn(SHAPE, 0, 10_000, 7));
        assert_ne!(whole, drawn(SHAPE, 1, 10_000, 7));
        assert_ne!(whole, drawn(Shape { seed: 43, ..SHAPE }, 0, 10_000, 7));
    }

    #[test]
    fn the_stream_begins_as_it_always_did() {
        // A change here changes what every figure ever published was measured with.
        let shape = Shape { distribution: Distribution::Uniform, duplicates: 0.0, rejections: 0.0, seed: 1, ..SHAPE };
        let first: Vec<_> = drawn(shape, 0, 3, 3).iter().map(|event| (event.wallet, event.units)).collect();
        assert_eq!(first, GOLDEN);
    }

    const GOLDEN: [(u32, u64); 3] = [(94, 46), (77, 220), (77, 627)];

    #[test]
    fn duplicates_repeat_events_that_were_sent_before() {
        let mut sent: HashMap<u64, Event> = HashMap::new();
        let mut counts = [0_u32; 3];
        for event in drawn(SHAPE, 3, 50_000, 1000) {
            counts[event.verdict as usize] += 1;
            match event.verdict {
                Verdict::Applied => assert!((1..=EVENT_UNITS_MAX).contains(&event.units)),
                Verdict::Rejected => assert!(event.units > GRANT_UNITS),
                Verdict::Duplicate => {
                    let first = sent[&event.number];
                    assert_eq!(first, Event { verdict: Verdict::Applied, ..event });
                    continue;
                }
            }
            assert!(sent.insert(event.number, event).is_none(), "a number names one event");
            assert!(event.wallet < SHAPE.wallets);
        }
        let [applied, duplicate, rejected] = counts;
        assert!((4_500..5_500).contains(&duplicate), "{duplicate}");
        assert!((2_000..2_500).contains(&rejected), "{rejected}");
        assert_eq!(applied + duplicate + rejected, 50_000);
    }

    #[test]
    fn distributions_choose_as_named() {
        let wallets = |distribution| -> Vec<u32> {
            drawn(Shape { distribution, ..SHAPE }, 0, 10_000, 1000).iter().map(|event| event.wallet).collect()
        };
        assert!(wallets(Distribution::OneHot).iter().all(|&wallet| wallet == 0));
        let share_of_first = |all: &[u32]| all.iter().filter(|&&wallet| wallet == 0).count();
        assert!(share_of_first(&wallets(Distribution::Zipf)) > 1_000);
        assert!(share_of_first(&wallets(Distribution::Uniform)) < 200);
    }
}
