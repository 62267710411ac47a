//! When a connection sends its requests, and how many events go into each.

use crate::run::{Limit, Plan};
use crate::workload::EVENTS_MAX;
use std::time::{Duration, Instant};

/// One connection's schedule in one phase.
#[derive(Debug)]
pub struct Schedule {
    batch: u64,
    events_left: u64,
    end: Option<Instant>,
    /// In an open loop, when the next request is due, and the time between two.
    due: Option<(Instant, Duration)>,
    /// After this instant an open loop gives up what it owes.
    give_up: Option<Instant>,
}

/// The next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Events that it may carry.
    pub count: usize,
    /// When it is due, in an open loop.
    pub due: Option<Instant>,
}

impl Schedule {
    /// For a phase that begins now; `grace` is how long an open loop runs on for what it owes.
    pub fn new(plan: &Plan, limit: Limit, connection: u32, begin: Instant, grace: Duration) -> Self {
        let connections = u64::from(plan.connections);
        let share = |events: u64| events / connections + u64::from(u64::from(connection) < events % connections);
        let (events_left, end) = match limit {
            Limit::Events(events) => (share(events), None),
            Limit::Time(time) => (share(EVENTS_MAX), Some(begin + time)),
        };
        // Grants and reads take slots of their own beside those of the events.
        let spacing = |rate| seconds(u64::from(plan.batch), rate).mul_f64(1.0 - plan.shape.grants - plan.shape.reads);
        let due = plan.rate.map(|rate| (begin + spacing(rate) * connection, spacing(rate) * plan.connections));
        let planned = |rate| match limit {
            Limit::Events(events) => seconds(events, rate),
            Limit::Time(time) => time,
        };
        let give_up = plan.rate.map(|rate| begin + planned(rate) + grace);
        Schedule { batch: u64::from(plan.batch), events_left, end, due, give_up }
    }

    /// The next request; `None` at the end.
    pub fn next(&mut self, now: Instant) -> Option<Slot> {
        let count = self.events_left.min(self.batch);
        let starts = self.due.map_or(now, |(due, _)| due);
        if count == 0 || self.end.is_some_and(|end| starts >= end) {
            return None;
        }
        let due = self.due.as_mut().map(|(due, spacing)| {
            let this = *due;
            *due += *spacing;
            this
        });
        Some(Slot { count: count as usize, due })
    }

    /// Notes that a request carries so many events.
    pub const fn spend(&mut self, events: usize) {
        self.events_left -= events as u64;
    }

    /// Whether what is owed is given up.
    pub fn is_over(&self, now: Instant) -> bool {
        self.give_up.is_some_and(|give_up| now > give_up)
    }

    /// Requests still owed, as if all of them carried events.
    pub fn owed(mut self, now: Instant) -> u64 {
        let mut owed = 0;
        while let Some(slot) = self.next(now) {
            self.spend(slot.count);
            owed += 1;
        }
        owed
    }
}

/// The time that so many events take at a rate.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn seconds(events: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(events as f64 / rate as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Format;
    use crate::run::Answers;
    use crate::workload::{Distribution, Shape};

    const SHAPE: Shape = Shape {
        wallets: 1,
        distribution: Distribution::Uniform,
        duplicates: 0.0,
        rejections: 0.0,
        grants: 0.0,
        reads: 0.0,
        seed: 1,
    };

    const PLAN: Plan = Plan {
        shape: SHAPE,
        format: Format::Json,
        single: false,
        batch: 10,
        connections: 3,
        threads: 1,
        warm_up: None,
        limit: Limit::Events(100),
        rate: None,
        answers: Answers::Minimal,
    };

    fn slots(plan: &Plan, begin: Instant) -> Vec<Vec<Slot>> {
        let slots = |connection| {
            let mut schedule = Schedule::new(plan, plan.limit, connection, begin, Duration::ZERO);
            std::iter::from_fn(move || schedule.next(begin).inspect(|slot| schedule.spend(slot.count))).collect()
        };
        (0..plan.connections).map(slots).collect()
    }

    #[test]
    fn the_connections_share_all_events() {
        let counts = |slots: Vec<Slot>| slots.iter().map(|slot| slot.count).sum::<usize>();
        let counts: Vec<_> = slots(&PLAN, Instant::now()).into_iter().map(counts).collect();
        assert_eq!(counts, [34, 33, 33]);
    }

    /// When requests are due, in milliseconds.
    fn due(plan: &Plan) -> Vec<u128> {
        let begin = Instant::now();
        let due = |slot: Slot| slot.due.expect("an open loop").duration_since(begin).as_millis();
        let mut due: Vec<u128> = slots(plan, begin).into_iter().flatten().map(due).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn an_open_loop_spreads_requests_evenly_over_the_connections() {
        let plan = Plan { rate: Some(1000), limit: Limit::Time(Duration::from_millis(60)), ..PLAN };
        assert_eq!(due(&plan), [0, 10, 20, 30, 40, 50]);
        let mixed = Plan { shape: Shape { grants: 0.25, reads: 0.25, ..SHAPE }, ..plan };
        assert_eq!(due(&mixed), [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55], "events keep their rate");
    }

    #[test]
    fn an_open_loop_gives_up_what_it_owes() {
        let begin = Instant::now();
        let limit = Limit::Time(Duration::from_secs(1));
        let plan = Plan { rate: Some(1000), connections: 1, limit, ..PLAN };
        let mut schedule = Schedule::new(&plan, limit, 0, begin, Duration::ZERO);
        schedule.next(begin);
        let now = begin + Duration::from_secs(2);
        assert!(schedule.is_over(now) && !schedule.is_over(begin));
        assert_eq!(schedule.owed(now), 99);
    }
}
