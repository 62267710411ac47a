//! Windows of the UTC calendar, within which purchases are counted.

use crate::ledger::Timestamp;
use crate::ledger::calendar::Span;

const DAY_MS: u64 = 86_400_000;
/// 1 January 1970 was a Thursday: the Monday before it was three days earlier.
const DAYS_SINCE_MONDAY: u64 = 3;

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Per {
    /// From midnight on.
    Day,
    /// From Monday on.
    Week,
    /// From the first day of the month on.
    Month,
}

impl Per {
    /// Every one, the shortest first.
    pub const ALL: [Per; 3] = [Per::Day, Per::Week, Per::Month];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Per::Day => "day",
            Per::Week => "week",
            Per::Month => "month",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Per> {
        Per::ALL.into_iter().find(|per| per.as_str() == name)
    }

    /// The beginning of the window that `time` is in. The week that 1970 began in begins with the year.
    #[must_use]
    pub fn start(self, time: Timestamp) -> Timestamp {
        match self {
            Per::Day => Span::Day.start(time),
            Per::Month => Span::Month.start(time),
            Per::Week => {
                let days = time.millis() / DAY_MS;
                Timestamp::from_millis(days.saturating_sub((days + DAYS_SINCE_MONDAY) % 7) * DAY_MS)
            }
        }
    }

    /// The first instant of the next window.
    #[must_use]
    pub fn end(self, time: Timestamp) -> Timestamp {
        match self {
            Per::Day => Span::Day.end(time),
            Per::Month => Span::Month.end(time),
            Per::Week => {
                let days = time.millis() / DAY_MS;
                Timestamp::from_millis((days + 7 - (days + DAYS_SINCE_MONDAY) % 7) * DAY_MS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::calendar::days_from_civil;

    fn at(year: u32, month: u32, day: u32, millis: u64) -> Timestamp {
        Timestamp::from_millis(days_from_civil(year, month, day).cast_unsigned() * DAY_MS + millis)
    }

    #[track_caller]
    fn check(per: Per, time: Timestamp, start: Timestamp, end: Timestamp) {
        let last = Timestamp::from_millis(end.millis() - 1);
        for within in [time, start, last] {
            assert_eq!((per.start(within), per.end(within)), (start, end), "{per:?} of {within:?}");
        }
        assert_eq!(per.start(end), end);
    }

    #[test]
    fn weeks_begin_on_monday() {
        // 26 November 2026 is a Thursday.
        check(Per::Week, at(2026, 11, 26, 5), at(2026, 11, 23, 0), at(2026, 11, 30, 0));
        check(Per::Week, at(2026, 12, 31, 5), at(2026, 12, 28, 0), at(2027, 1, 4, 0));
        check(Per::Week, Timestamp::EPOCH, Timestamp::EPOCH, at(1970, 1, 5, 0));
        check(Per::Day, at(2026, 11, 26, 5), at(2026, 11, 26, 0), at(2026, 11, 27, 0));
        check(Per::Month, at(2026, 11, 26, 5), at(2026, 11, 1, 0), at(2026, 12, 1, 0));
        assert!(Per::ALL.into_iter().all(|per| Per::parse(per.as_str()) == Some(per)));
        assert_eq!(Per::parse("year"), None);
    }
}
