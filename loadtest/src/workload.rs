//! What to send: a deterministic stream of requests for each connection, with the verdict that each event must get.
//!
//! Wallets are granted so much that no run can empty one, and an event meant to be rejected asks for more than a wallet can ever hold. A
//! duplicate repeats one of the last events of its own connection. Hence every verdict is known beforehand, in whatever order the server
//! gets to the connections.
//!
//! Grants and reads come from a stream of their own, so that mixing them in changes no event.

use crate::rng::{Rng, Zipf};
use clap::ValueEnum;
use serde::Serialize;

/// Events in one phase of a run at most, and requests beside them.
pub const EVENTS_MAX: u64 = 1_000_000_000;

/// A run has a warm-up and a measured phase.
const PHASES: u64 = 2;

/// The most that an event meant to be applied debits, and that a grant within a run gives, in units.
pub const EVENT_UNITS_MAX: u64 = 1000;

/// What every wallet is granted at first, in units: as much as all events of a run together could debit.
pub const GRANT_UNITS: u64 = PHASES * EVENTS_MAX * EVENT_UNITS_MAX;

/// What an event meant to be rejected asks for: more than the first grant and all further ones.
pub const REJECTED_UNITS: u64 = 2 * GRANT_UNITS + 1;

/// How far back a duplicate may reach, in applied events of its connection.
const MEMORY_EVENTS: usize = 1024;

/// Sets the stream of [`Step`]s apart from that of events.
const STEPS_STREAM: u64 = 1 << 32;

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

/// One event. Prepared runs keep millions of them, hence the small fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Names the event together with the connection.
    pub number: u64,
    /// Index of its wallet.
    pub wallet: u32,
    /// What it debits if its verdict is not [`Verdict::Rejected`].
    pub units: u16,
    /// What must become of it.
    pub verdict: Verdict,
}

const _: () = assert!(size_of::<Event>() == 16 && EVENT_UNITS_MAX <= u16::MAX as u64);

impl Event {
    /// What it asks for, in units.
    pub const fn asked_units(&self) -> u64 {
        match self.verdict {
            Verdict::Applied | Verdict::Duplicate => self.units as u64,
            Verdict::Rejected => REJECTED_UNITS,
        }
    }
}

/// A grant within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names the grant together with the connection.
    pub number: u64,
    /// Index of its wallet.
    pub wallet: u32,
    /// What it gives.
    pub units: u64,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch of events.
    Events,
    /// One grant.
    Grant(Grant),
    /// One wallet is read.
    Read {
        /// Its index.
        wallet: u32,
    },
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
    /// Part of the requests that grants.
    pub grants: f64,
    /// Part of the requests that reads a wallet.
    pub reads: f64,
    /// Repeats the stream.
    pub seed: u64,
}

/// The stream of one connection.
#[derive(Debug)]
pub struct Workload {
    shape: Shape,
    zipf: Option<Zipf>,
    rng: Rng,
    steps: Rng,
    next_number: u64,
    next_grant: u64,
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
            steps: Rng::new(shape.seed, STEPS_STREAM + u64::from(connection)),
            next_number: 0,
            next_grant: 0,
            recent: Vec::new(),
            applied: 0,
        }
    }

    /// What the next request is about.
    pub fn step(&mut self) -> Step {
        let Shape { grants, reads, .. } = self.shape;
        if grants + reads == 0.0 {
            return Step::Events;
        }
        let drawn = self.steps.unit();
        if drawn >= grants + reads {
            return Step::Events;
        }
        let wallet = wallet(&self.shape, self.zipf.as_ref(), &mut self.steps);
        if drawn >= grants {
            return Step::Read { wallet };
        }
        let (number, units) = (self.next_grant, 1 + self.steps.below(EVENT_UNITS_MAX));
        self.next_grant += 1;
        Step::Grant(Grant { number, wallet, units })
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
        let wallet = wallet(&self.shape, self.zipf.as_ref(), &mut self.rng);
        if self.rng.chance(self.shape.rejections) {
            return Event { number, wallet, units: 0, verdict: Verdict::Rejected };
        }
        let units = 1 + self.rng.below(EVENT_UNITS_MAX) as u16;
        let event = Event { number, wallet, units, verdict: Verdict::Applied };
        if self.shape.duplicates > 0.0 {
            self.remember(event);
        }
        event
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

fn wallet(shape: &Shape, zipf: Option<&Zipf>, rng: &mut Rng) -> u32 {
    match (shape.distribution, zipf) {
        (Distribution::Zipf, Some(zipf)) => zipf.draw(rng),
        (Distribution::Uniform, _) => rng.below(u64::from(shape.wallets)) as u32,
        (Distribution::OneHot | Distribution::Zipf, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const SHAPE: Shape = Shape {
        wallets: 100,
        distribution: Distribution::Zipf,
        duplicates: 0.1,
        rejections: 0.05,
        grants: 0.0,
        reads: 0.0,
        seed: 42,
    };

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

    const GOLDEN: [(u32, u16); 3] = [(94, 46), (77, 220), (77, 627)];

    #[test]
    fn duplicates_repeat_events_that_were_sent_before() {
        let mut sent: HashMap<u64, Event> = HashMap::new();
        let mut counts = [0_u32; 3];
        for event in drawn(SHAPE, 3, 50_000, 1000) {
            counts[event.verdict as usize] += 1;
            match event.verdict {
                Verdict::Applied => assert!((1..=EVENT_UNITS_MAX).contains(&event.asked_units())),
                Verdict::Rejected => assert!(event.asked_units() > GRANT_UNITS),
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

    #[test]
    fn grants_and_reads_take_their_parts_and_leave_the_events_alone() {
        let mut workload = Workload::new(Shape { grants: 0.1, reads: 0.2, ..SHAPE }, 0);
        let (mut grants, mut reads, mut events, mut batch) = (0, 0, Vec::new(), Vec::new());
        for _ in 0..10_000 {
            match workload.step() {
                Step::Events => {
                    workload.fill(&mut batch, 2);
                    events.extend_from_slice(&batch);
                }
                Step::Grant(grant) => {
                    assert_eq!(grant.number, grants, "a number names one grant");
                    assert!((1..=EVENT_UNITS_MAX).contains(&grant.units) && grant.wallet < SHAPE.wallets);
                    grants += 1;
                }
                Step::Read { wallet } => {
                    assert!(wallet < SHAPE.wallets);
                    reads += 1;
                }
            }
        }
        assert!((900..1_100).contains(&grants) && (1_850..2_150).contains(&reads), "{grants} {reads}");
        assert_eq!(events, drawn(SHAPE, 0, events.len(), 1000));
    }
}
