//! When a delivery that failed is tried again.

use super::{Attempt, Verdict};
use std::time::Duration;

/// A receiver can ask for no longer pause than this (`Retry-After`): one day, in seconds.
pub const RETRY_AFTER_S_MAX: u64 = 24 * 3600;

/// Pauses between attempts. Pure: the same attempt and seed give the same pause, so that what is due can be computed again after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pauses_s: Vec<u32>,
    jitter_permille: u16,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It arrived; nothing follows.
    Done,
    /// Try again after this.
    RetryIn(Duration),
    /// The schedule is at its end.
    GiveUp,
    /// The receiver wants nothing any more (410): the endpoint should be disabled.
    Disable,
}

impl Default for Schedule {
    /// The specification's example: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, so ten attempts within a little more than three
    /// days; each pause up to a fifth longer than said, never shorter.
    fn default() -> Self {
        const MINUTE: u32 = 60;
        const HOUR: u32 = 3600;
        let pauses_s = vec![5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Schedule { pauses_s, jitter_permille: 200 }
    }
}

impl Schedule {
    /// A schedule of pauses in seconds, each lengthened by up to `jitter_permille` thousandths.
    pub fn new(pauses_s: Vec<u32>, jitter_permille: u16) -> Self {
        Schedule { pauses_s, jitter_permille }
    }

    /// How many attempts there are at most.
    pub fn attempts(&self) -> usize {
        self.pauses_s.len() + 1
    }

    /// The pause after so many failed attempts (one or more); `None` when it was the last. `seed` belongs to the message and its endpoint:
    /// it spreads messages that failed together.
    pub fn pause(&self, failed: u32, seed: u64) -> Option<Duration> {
        let pause_s = *self.pauses_s.get(failed.checked_sub(1)? as usize)?;
        let pause_ms = u64::from(pause_s) * 1000;
        let jitter_ms_max = pause_ms * u64::from(self.jitter_permille) / 1000;
        let jitter_ms = mix(seed ^ mix(u64::from(failed))) % (jitter_ms_max + 1);
        Some(Duration::from_millis(pause_ms + jitter_ms))
    }

    /// What follows an attempt, the `failed`th one if it failed. A receiver's `Retry-After` lengthens the pause, up to
    /// [`RETRY_AFTER_S_MAX`], and never shortens it.
    pub fn next(&self, attempt: &Attempt, failed: u32, seed: u64) -> Next {
        match attempt.verdict() {
            Verdict::Delivered => Next::Done,
            Verdict::Gone => Next::Disable,
            Verdict::Failed => self.pause(failed, seed).map_or(Next::GiveUp, |pause| {
                let asked_s = attempt.retry_after_s.unwrap_or(0).min(RETRY_AFTER_S_MAX);
                Next::RetryIn(pause.max(Duration::from_secs(asked_s)))
            }),
        }
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answered(status: u16, retry_after_s: Option<u64>) -> Attempt {
        Attempt { status: Some(status), error: None, latency: Duration::ZERO, excerpt: String::new(), retry_after_s }
    }

    #[test]
    fn the_standard_schedule_lasts_for_days() {
        let schedule = Schedule::new(Schedule::default().pauses_s, 0);
        let pauses: Vec<u64> =
            (1..).map_while(|failed| schedule.pause(failed, 1)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(schedule.attempts(), 10);
        assert_eq!(pauses.iter().sum::<u64>(), 75 * 3600 + 35 * 60 + 5);
        assert_eq!(schedule.pause(0, 1), None);
        assert_eq!(schedule.pause(u32::MAX, 1), None);
    }

    #[test]
    fn what_follows_an_attempt() {
        let schedule = Schedule::new(vec![10, 20], 0);
        let next = |status, retry_after_s, failed| schedule.next(&answered(status, retry_after_s), failed, 0);
        assert_eq!(next(204, None, 1), Next::Done);
        assert_eq!(next(410, None, 1), Next::Disable);
        assert_eq!(next(500, None, 1), Next::RetryIn(Duration::from_secs(10)));
        assert_eq!(next(302, None, 2), Next::RetryIn(Duration::from_secs(20)));
        assert_eq!(next(500, None, 3), Next::GiveUp);
        assert_eq!(next(429, Some(60), 1), Next::RetryIn(Duration::from_mins(1)));
        assert_eq!(next(503, Some(3), 1), Next::RetryIn(Duration::from_secs(10)), "never shortens");
        assert_eq!(next(503, Some(u64::MAX), 1), Next::RetryIn(Duration::from_hours(24)), "at most a day");
        assert_eq!(next(503, Some(60), 3), Next::GiveUp);
    }

    #[test]
    fn messages_that_failed_together_spread() {
        let schedule = Schedule::default();
        let distinct: std::collections::BTreeSet<_> = (0..1000).filter_map(|seed| schedule.pause(2, seed)).collect();
        assert!(distinct.len() > 900, "{} of 1000", distinct.len());
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(failed in 1..=9_u32, seed: u64) {
            let schedule = Schedule::default();
            let base = schedule.pauses_s[failed as usize - 1];
            let pause = schedule.pause(failed, seed).expect("within the schedule");
            prop_assert!(pause >= Duration::from_secs(u64::from(base)));
            prop_assert!(pause <= Duration::from_millis(u64::from(base) * 1200));
            prop_assert_eq!(schedule.pause(failed, seed), Some(pause));
        }
    }
}
