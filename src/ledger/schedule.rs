//! Schedules: when the occurrences of a recurring grant begin and end. Whoever has a schedule and a number has the occurrence; nothing is
//! counted along the way.

use super::calendar::Interval;
use super::time::Timestamp;

/// When an occurrence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// When the next one begins, whether or not there is one.
    WithNext,
    /// Not at all.
    Never,
    /// So many milliseconds after it began.
    After(u64),
}

/// The occurrences of a recurring grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What the instants are counted from.
    pub anchor: Timestamp,
    /// How far apart they are.
    pub interval: Interval,
    /// An occurrence before all others, at this instant.
    pub at_once: Option<Timestamp>,
    /// Intervals from the anchor to the first occurrence, the one at once left aside.
    pub skipped: u64,
    /// When an occurrence ends.
    pub ends: Ends,
    /// No occurrence begins at this instant or later.
    pub until: Option<Timestamp>,
}

impl Schedule {
    /// When occurrence `number` begins; `None` if there is none of that number.
    pub fn begin(&self, number: u64) -> Option<Timestamp> {
        self.instant(number).filter(|instant| self.until.is_none_or(|until| *instant < until))
    }

    /// When occurrence `number` ends.
    pub fn end(&self, number: u64) -> Option<Timestamp> {
        match self.ends {
            Ends::WithNext => self.instant(number.checked_add(1)?),
            Ends::Never => None,
            Ends::After(ms) => Some(self.instant(number)?.saturating_add(ms)),
        }
    }

    /// The number of the first occurrence that begins after `now`, if the schedule had no end.
    pub fn first_after(&self, now: Timestamp) -> u64 {
        match self.at_once {
            Some(at_once) if now < at_once => 0,
            at_once => {
                let number = self.interval.first_after(self.anchor, now).saturating_sub(self.skipped);
                number + u64::from(at_once.is_some())
            }
        }
    }

    fn instant(&self, number: u64) -> Option<Timestamp> {
        match (self.at_once, number) {
            (Some(at_once), 0) => Some(at_once),
            (Some(_), number) => self.interval.nth(self.anchor, self.skipped.checked_add(number - 1)?),
            (None, number) => self.interval.nth(self.anchor, self.skipped.checked_add(number)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::Unit;
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_millis(hours * HOUR)
    }

    fn daily() -> Schedule {
        let interval = Interval::new(1, Unit::Day).expect("an interval");
        Schedule { anchor: at(5), interval, at_once: None, skipped: 2, ends: Ends::WithNext, until: None }
    }

    #[track_caller]
    fn check(schedule: &Schedule, occurrences: &[(u64, Option<u64>)]) {
        for (number, (begin, end)) in (0..).zip(occurrences) {
            let told = (schedule.begin(number), schedule.end(number));
            assert_eq!(told, (Some(at(*begin)), end.map(at)), "occurrence {number}");
            let before = Timestamp::from_millis(at(*begin).millis() - 1);
            assert_eq!((schedule.first_after(before), schedule.first_after(at(*begin))), (number, number + 1));
        }
    }

    #[test]
    fn occurrences_are_counted_from_the_anchor() {
        check(&daily(), &[(53, Some(77)), (77, Some(101)), (101, Some(125))]);
        check(&Schedule { skipped: 0, ..daily() }, &[(5, Some(29)), (29, Some(53))]);
        check(&Schedule { ends: Ends::Never, ..daily() }, &[(53, None), (77, None)]);
        check(&Schedule { ends: Ends::After(3 * HOUR), ..daily() }, &[(53, Some(56)), (77, Some(80))]);
    }

    #[test]
    fn one_may_come_at_once() {
        let schedule = Schedule { at_once: Some(at(40)), ..daily() };
        check(&schedule, &[(40, Some(53)), (53, Some(77)), (77, Some(101))]);
        check(&Schedule { ends: Ends::After(HOUR), ..schedule }, &[(40, Some(41)), (53, Some(54))]);
    }

    #[test]
    fn the_last_one_begins_before_the_end_and_ends_when_the_next_would_begin() {
        let schedule = Schedule { until: Some(at(77)), ..daily() };
        assert_eq!((schedule.begin(0), schedule.begin(1)), (Some(at(53)), None));
        assert_eq!(schedule.end(0), Some(at(77)));
        assert_eq!(Schedule { until: Some(at(78)), ..daily() }.begin(1), Some(at(77)));
    }
}
