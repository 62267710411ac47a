//! The burn rate of a wallet: how fast its credits are used, by an exponentially weighted mean of its debits.
//!
//! A debit of *a* units at *t* adds *a* to a weight; as time passes the weight halves every half-life *h*. Were credits used at a constant
//! rate *r* for a time *T*, the weight would be *r h / ln 2 (1 - 2^(-T/h))*. Solved for *r*, that is the estimate: exact for a constant rate
//! from the first moment on, and after a change of rate halfway to the new one within a half-life. Three numbers a wallet, whatever its
//! traffic.
//!
//! Limits: in its first minute a rate is reckoned as if a minute had passed, so that one debit makes no infinite rate. Usage that comes once
//! a day looks like a fall of the runway after each and a rise until the next; a half-life of several such periods evens that out. The
//! estimate is made of floats: it never moves a balance.

use std::f64::consts::LN_2;

/// As short a time as a rate is reckoned over, ms.
const SHORTEST_MS: u64 = 60_000;
/// Weights below this many units are none.
const NOTHING: f64 = 1e-6;

const HOUR_MS: f64 = 3_600_000.0;
const MINUTE_MS: f64 = 60_000.0;

/// Debits of a wallet, weighted by their age.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Estimate {
    /// The weighted sum of debits, in units, as of `at_ms`.
    pub(super) weight: f64,
    /// The instant that the weight is of: that of the latest debit.
    pub(super) at_ms: u64,
    /// Since when debits are counted.
    pub(super) since_ms: u64,
}

impl Estimate {
    /// Nothing counted yet.
    pub(super) fn since(now_ms: u64) -> Estimate {
        Estimate { weight: 0.0, at_ms: now_ms, since_ms: now_ms }
    }

    /// Counts a debit of so many units, zero or more. One that is older than the latest is weighted as it would have been in order.
    pub(super) fn count(&mut self, units: i64, at_ms: u64, half_life_ms: u64) {
        let units = float(units.unsigned_abs());
        if at_ms >= self.at_ms {
            self.weight = self.weight * decay(at_ms - self.at_ms, half_life_ms) + units;
            self.at_ms = at_ms;
        } else {
            self.weight += units * decay(self.at_ms - at_ms, half_life_ms);
        }
    }

    /// Units a millisecond at `now_ms`.
    fn rate(&self, now_ms: u64, half_life_ms: u64) -> f64 {
        let weight = self.weight * decay(now_ms.saturating_sub(self.at_ms), half_life_ms);
        if weight < NOTHING {
            return 0.0;
        }
        let seen = now_ms.saturating_sub(self.since_ms).max(SHORTEST_MS);
        weight * LN_2 / float(half_life_ms) / (1.0 - decay(seen, half_life_ms))
    }

    /// Units an hour, to the nearest.
    pub(super) fn per_hour(&self, now_ms: u64, half_life_ms: u64) -> u64 {
        whole((self.rate(now_ms, half_life_ms) * HOUR_MS).round())
    }

    /// How many whole minutes so many units last; `None` for ever: nothing is being used.
    pub(super) fn minutes(&self, available: i64, now_ms: u64, half_life_ms: u64) -> Option<u64> {
        let rate = self.rate(now_ms, half_life_ms);
        (rate > 0.0).then(|| whole(float(available.max(0).unsigned_abs()) / rate / MINUTE_MS))
    }
}

/// What is left of a weight after some time.
fn decay(after_ms: u64, half_life_ms: u64) -> f64 {
    (-float(after_ms) / float(half_life_ms)).exp2()
}

#[expect(clippy::cast_precision_loss, reason = "an estimate has no use for more than 53 bits")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The whole part; the largest number there is for what is larger.
#[expect(clippy::cast_sign_loss, reason = "neither rates nor times are negative")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const START: u64 = 1_800_000_000_000;

    /// Debits of `units` every second over `seconds`, from `first` on.
    fn run(estimate: &mut Estimate, units: i64, first: u64, seconds: u64) -> u64 {
        for second in 1..=seconds {
            estimate.count(units, first + 1_000 * second, HOUR);
        }
        first + 1_000 * seconds
    }

    #[track_caller]
    fn check(estimate: &Estimate, now: u64, per_hour: u64) {
        let found = estimate.per_hour(now, HOUR);
        assert!(found.abs_diff(per_hour) <= per_hour / 100 + 1, "{found} units an hour, not {per_hour}");
    }

    #[test]
    fn a_constant_rate_is_known_after_a_minute() {
        let mut estimate = Estimate::since(START);
        for (more, at) in [(60, 60), (540, 600), (6_600, 7_200)] {
            let now = run(&mut estimate, 5, START + 1_000 * (at - more), more);
            check(&estimate, now, 5 * 3_600);
            assert_eq!(estimate.minutes(5 * 3_600, now, HOUR).map(|minutes| minutes.abs_diff(60) <= 1), Some(true));
        }
    }

    #[test]
    fn a_change_of_rate_is_half_known_after_a_half_life() {
        let mut estimate = Estimate::since(START);
        let now = run(&mut estimate, 10, START, 40_000);
        let now = run(&mut estimate, 20, now, 3_600);
        check(&estimate, now, 15 * 3_600);
    }

    #[test]
    fn what_stops_fades_and_is_nothing_in_the_end() {
        let mut estimate = Estimate::since(START);
        let now = run(&mut estimate, 8, START, 40_000);
        check(&estimate, now + HOUR, 4 * 3_600);
        check(&estimate, now + 2 * HOUR, 2 * 3_600);
        assert_eq!(estimate.per_hour(now + 60 * HOUR, HOUR), 0);
        assert_eq!(estimate.minutes(5, now + 100 * HOUR, HOUR), None);
    }

    #[test]
    fn one_debit_is_a_rate_over_a_minute_and_no_debit_is_none() {
        let mut estimate = Estimate::since(START);
        assert_eq!((estimate.per_hour(START, HOUR), estimate.minutes(10, START, HOUR)), (0, None));
        estimate.count(7, START, HOUR);
        check(&estimate, START, 7 * 60);
        assert_eq!(estimate.minutes(-5, START, HOUR), Some(0));
        assert_eq!(estimate.minutes(70, START, HOUR).map(|minutes| (9..=10).contains(&minutes)), Some(true));
    }

    #[test]
    fn the_order_of_debits_does_not_matter() {
        let mut debits = [(5, 10), (7, 2_000), (1, 2_000), (900, 70_000), (3, 68_000)];
        let count = |debits: &[(i64, u64)]| {
            let mut estimate = Estimate::since(START);
            for (units, at) in debits {
                estimate.count(*units, START + at, HOUR);
            }
            estimate
        };
        let forwards = count(&debits);
        debits.reverse();
        let backwards = count(&debits);
        assert_eq!(forwards.at_ms, backwards.at_ms);
        assert!((forwards.weight - backwards.weight).abs() < 1e-9);
    }
}
