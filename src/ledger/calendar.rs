//! The calendar, in UTC: days, months and hours as spans of milliseconds. Pure arithmetic; nothing here can tell the time.

use super::time::Timestamp;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A span of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// An hour, from its first millisecond on.
    Hour,
    /// A day, from midnight UTC on.
    Day,
    /// A month of the Gregorian calendar, from midnight UTC of its first day on.
    Month,
}

impl Span {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Span::Hour => "hour",
            Span::Day => "day",
            Span::Month => "month",
        }
    }

    /// The span of that name.
    pub fn parse(name: &str) -> Option<Span> {
        [Span::Hour, Span::Day, Span::Month].into_iter().find(|span| span.as_str() == name)
    }

    /// The beginning of the span that `time` is in.
    #[must_use]
    pub fn start(self, time: Timestamp) -> Timestamp {
        let millis = time.millis();
        match self {
            Span::Hour => Timestamp::from_millis(millis - millis % HOUR_MS),
            Span::Day => Timestamp::from_millis(millis - millis % DAY_MS),
            Span::Month => {
                let (year, month, _) = civil_from_days(day_number(time));
                month_start(year, month)
            }
        }
    }

    /// The end of the span that `time` is in: the first instant of the next.
    #[must_use]
    pub fn end(self, time: Timestamp) -> Timestamp {
        let start = self.start(time);
        match self {
            Span::Hour => start.saturating_add(HOUR_MS),
            Span::Day => start.saturating_add(DAY_MS),
            Span::Month => {
                let (year, month, _) = civil_from_days(day_number(start));
                if month == 12 { month_start(year + 1, 1) } else { month_start(year, month + 1) }
            }
        }
    }
}

fn day_number(time: Timestamp) -> i64 {
    (time.millis() / DAY_MS).cast_signed()
}

fn month_start(year: i64, month: i64) -> Timestamp {
    // A month that a timestamp lies in is of the year 1970 or later.
    let days = days_from_civil(u32::try_from(year).unwrap_or(0), u32::try_from(month).unwrap_or(1), 1);
    Timestamp::from_millis(days.max(0).cast_unsigned() * DAY_MS)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, the year at least 0. Years begin in March, so that the leap day
/// comes last, and are counted from 400 years earlier, so that none is negative.
#[inline]
pub const fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year + 399 } else { year + 400 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days as i64 - (719_468 + 146_097)
}

/// The date (year, month, day) of a day counted from 1970-01-01: the inverse of [`days_from_civil`].
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: u32, month: u32, day: u32, millis: u64) -> Timestamp {
        Timestamp::from_millis(days_from_civil(year, month, day).cast_unsigned() * DAY_MS + millis)
    }

    #[track_caller]
    fn check(span: Span, time: Timestamp, start: Timestamp, end: Timestamp) {
        assert_eq!((span.start(time), span.end(time)), (start, end), "{span:?} of {time:?}");
        assert_eq!((span.start(start), span.end(start)), (start, end));
        let last = Timestamp::from_millis(end.millis() - 1);
        assert_eq!((span.start(last), span.end(last)), (start, end));
    }

    #[test]
    fn spans_begin_and_end_where_the_calendar_says() {
        let noon = 12 * HOUR_MS + 59;
        check(Span::Hour, at(2026, 11, 26, noon), at(2026, 11, 26, 12 * HOUR_MS), at(2026, 11, 26, 13 * HOUR_MS));
        check(Span::Hour, at(2026, 12, 31, DAY_MS - 1), at(2026, 12, 31, 23 * HOUR_MS), at(2027, 1, 1, 0));
        check(Span::Day, at(2024, 2, 28, noon), at(2024, 2, 28, 0), at(2024, 2, 29, 0));
        check(Span::Day, at(2025, 2, 28, noon), at(2025, 2, 28, 0), at(2025, 3, 1, 0));
        check(Span::Month, at(2024, 2, 29, noon), at(2024, 2, 1, 0), at(2024, 3, 1, 0));
        check(Span::Month, at(2026, 12, 31, noon), at(2026, 12, 1, 0), at(2027, 1, 1, 0));
        check(Span::Month, at(1970, 1, 1, 0), Timestamp::EPOCH, at(1970, 2, 1, 0));
    }

    #[test]
    fn spans_have_the_names_that_they_are_found_by() {
        for span in [Span::Hour, Span::Day, Span::Month] {
            assert_eq!(Span::parse(span.as_str()), Some(span));
        }
        assert_eq!(Span::parse("week"), None);
    }
}
