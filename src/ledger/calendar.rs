//! The calendar, in UTC: hours, days and months as spans, and intervals counted from an instant, exactly and without end.
//!
//! The n-th month counts from the first instant and not from the one before, so a day that a month lacks does not shift those behind it:
//! what begins on 31 January comes on the last of February and on 31 March.
//!
//! The arithmetic of dates counts days of the proleptic Gregorian calendar in years that begin in March, so that the leap day comes last.

use super::time::Timestamp;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Up to this many units between two instants.
const EVERY_MAX: u32 = 10_000;
/// The year after the last one whose instants can be written.
const YEARS_END: u64 = 10_000;

/// What an interval is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 3 600 seconds.
    Hour,
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// To the same day and time of another month, or to the last day of one that is shorter.
    Month,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 4] = [Unit::Hour, Unit::Day, Unit::Week, Unit::Month];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
        }
    }

    /// The unit of that name.
    pub fn parse(name: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.as_str() == name)
    }

    /// How long it is, ms, where all are alike.
    const fn length_ms(self) -> Option<u64> {
        match self {
            Unit::Hour => Some(HOUR_MS),
            Unit::Day => Some(DAY_MS),
            Unit::Week => Some(7 * DAY_MS),
            Unit::Month => None,
        }
    }
}

/// So many units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    every: u32,
    unit: Unit,
}

impl Interval {
    /// `every` units: one at the least, ten thousand at most.
    pub fn new(every: u32, unit: Unit) -> Option<Interval> {
        (1..=EVERY_MAX).contains(&every).then_some(Interval { every, unit })
    }

    /// How many units.
    pub const fn every(self) -> u32 {
        self.every
    }

    /// Of what.
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// The instant `number` intervals after `anchor`; `None` behind the year 9999.
    pub fn nth(self, anchor: Timestamp, number: u64) -> Option<Timestamp> {
        let units = number.checked_mul(self.every.into())?;
        let instant = match self.unit.length_ms() {
            Some(length) => anchor.millis().checked_add(units.checked_mul(length)?)?,
            None => add_months(anchor.millis(), units)?,
        };
        let year = civil_from_days((instant / DAY_MS).cast_signed()).0;
        (year < YEARS_END.cast_signed()).then(|| Timestamp::from_millis(instant))
    }

    /// The number of the first instant after `now`.
    pub fn first_after(self, anchor: Timestamp, now: Timestamp) -> u64 {
        if now < anchor {
            return 0;
        }
        let Some(length) = self.unit.length_ms() else { return self.first_month_after(anchor, now) };
        (now.millis() - anchor.millis()) / (length * u64::from(self.every)) + 1
    }

    fn first_month_after(self, anchor: Timestamp, now: Timestamp) -> u64 {
        let months = |time: Timestamp| {
            let (year, month, _) = civil_from_days((time.millis() / DAY_MS).cast_signed());
            (year * 12 + month).cast_unsigned()
        };
        // As many whole intervals as lie between the two months; the day decides whether the last one is over.
        let number = (months(now) - months(anchor)) / u64::from(self.every);
        match self.nth(anchor, number) {
            Some(instant) if instant <= now => number + 1,
            _ => number,
        }
    }
}

/// The instant so many months after another, in ms since 1970.
fn add_months(anchor_ms: u64, months: u64) -> Option<u64> {
    let (year, month, day) = civil_from_days((anchor_ms / DAY_MS).cast_signed());
    let months = (year * 12 + month - 1).cast_unsigned().checked_add(months)?;
    let year = u32::try_from(months / 12).ok().filter(|year| u64::from(*year) < YEARS_END)?;
    let month = (months % 12) as u32 + 1;
    let day = u32::try_from(day).ok()?.min(days_in(year, month));
    let days = days_from_civil(year, month, day);
    Some(days.cast_unsigned() * DAY_MS + anchor_ms % DAY_MS)
}

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

/// The days of a month, 1 to 12, of a year.
pub const fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, the year at least 0. Years begin in March, so that the leap day
/// comes last, and are counted from 400 years earlier, so that none is negative.
pub const fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year + 399 } else { year + 400 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days as i64 - (719_468 + 146_097)
}

/// The date of a day counted from 1970-01-01, as year, month and day: the inverse of [`days_from_civil`].
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

    fn at(year: u32, month: u32, day: u32, in_day_ms: u64) -> Timestamp {
        Timestamp::from_millis(days_from_civil(year, month, day).cast_unsigned() * DAY_MS + in_day_ms)
    }

    fn every(every: u32, unit: Unit) -> Interval {
        Interval::new(every, unit).expect("a possible interval")
    }

    #[track_caller]
    fn check_months(count: u32, from: (u32, u32, u32), dates: &[(u32, u32, u32)]) {
        let interval = every(count, Unit::Month);
        let anchor = at(from.0, from.1, from.2, 12_345);
        for (number, (year, month, day)) in (0..).zip(dates) {
            let expected = at(*year, *month, *day, 12_345);
            assert_eq!(interval.nth(anchor, number), Some(expected), "{number} months after {from:?}");
            let before = Timestamp::from_millis(expected.millis() - 1);
            assert_eq!(
                (interval.first_after(anchor, before), interval.first_after(anchor, expected)),
                (number, number + 1)
            );
        }
    }

    #[test]
    fn months_keep_the_day_that_they_began_with() {
        check_months(1, (2026, 1, 31), &[(2026, 1, 31), (2026, 2, 28), (2026, 3, 31), (2026, 4, 30), (2026, 5, 31)]);
        check_months(1, (2027, 12, 30), &[(2027, 12, 30), (2028, 1, 30), (2028, 2, 29), (2028, 3, 30)]);
        check_months(12, (2024, 2, 29), &[(2024, 2, 29), (2025, 2, 28), (2026, 2, 28), (2027, 2, 28), (2028, 2, 29)]);
        check_months(3, (2026, 11, 30), &[(2026, 11, 30), (2027, 2, 28), (2027, 5, 30), (2027, 8, 30)]);
        check_months(7, (2026, 1, 1), &[(2026, 1, 1), (2026, 8, 1), (2027, 3, 1)]);
        check_months(1, (2099, 12, 31), &[(2099, 12, 31), (2100, 1, 31), (2100, 2, 28), (2100, 3, 31)]);
    }

    #[test]
    fn other_intervals_are_all_alike() {
        let anchor = at(2026, 3, 28, 0);
        assert_eq!(every(1, Unit::Day).nth(anchor, 2), Some(at(2026, 3, 30, 0)));
        assert_eq!(every(2, Unit::Week).nth(anchor, 3), Some(at(2026, 5, 9, 0)));
        assert_eq!(every(6, Unit::Hour).nth(anchor, 5), Some(at(2026, 3, 29, 6 * HOUR_MS)));
        for (interval, length) in [(every(6, Unit::Hour), 6 * HOUR_MS), (every(2, Unit::Week), 14 * DAY_MS)] {
            for number in 0..5 {
                let instant = anchor.saturating_add(number * length);
                let before = Timestamp::from_millis(instant.millis() - 1);
                assert_eq!(interval.first_after(anchor, before), number);
                assert_eq!(interval.first_after(anchor, instant), number + 1);
            }
        }
    }

    /// Month by month over eight centuries, by counting days instead of by formula.
    #[test]
    fn months_agree_with_a_count_of_days() {
        let (mut year, mut month, mut first_of_month) = (1970, 1, 0_u64);
        let interval = every(1, Unit::Month);
        for number in 0..12 * 800 {
            for day in [1, 28, 29, 30, 31] {
                let anchor = at(1970, 1, day, 7);
                let of_month = u64::from(day.min(days_in(year, month)) - 1);
                let expected = Timestamp::from_millis((first_of_month + of_month) * DAY_MS + 7);
                assert_eq!(interval.nth(anchor, number), Some(expected), "{year}-{month}, day {day}");
            }
            first_of_month += u64::from(days_in(year, month));
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
    }

    #[test]
    fn there_is_an_end() {
        let anchor = at(2026, 1, 31, 0);
        assert_eq!(every(1, Unit::Month).nth(anchor, 12 * (9999 - 2026) + 11), Some(at(9999, 12, 31, 0)));
        assert_eq!(every(1, Unit::Month).nth(anchor, 12 * (9999 - 2026) + 12), None);
        for unit in Unit::ALL {
            assert_eq!(every(EVERY_MAX, unit).nth(anchor, u64::MAX), None);
            assert_eq!(every(1, unit).nth(anchor, u64::MAX / 2), None);
            assert_eq!(every(1, unit).nth(Timestamp::from_millis(u64::MAX), 1), None);
        }
        assert_eq!((Interval::new(0, Unit::Day), Interval::new(EVERY_MAX + 1, Unit::Day)), (None, None));
    }

    #[test]
    fn every_day_of_eight_centuries_survives_the_round_trip() {
        for day in -146_097..146_097 {
            let (year, month, date) = civil_from_days(day);
            let [year, month, date] = [year, month, date].map(|part| u32::try_from(part).expect("not negative"));
            assert_eq!(days_from_civil(year, month, date), day);
            assert!((1..=days_in(year, month)).contains(&date));
        }
    }

    #[test]
    fn names_are_read_back() {
        for unit in Unit::ALL {
            assert_eq!(Unit::parse(unit.as_str()), Some(unit));
        }
        assert_eq!(Unit::parse("year"), None);
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
