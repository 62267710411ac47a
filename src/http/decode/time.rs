//! RFC 3339 times to and from milliseconds, by hand: the hot path reads one an event.

use crate::ledger::Timestamp;
use crate::ledger::calendar::{civil_from_days, days_from_civil, days_in};
use std::ops::Range;

const DAY_MS: i64 = 86_400_000;

/// The last instant of the year 9999, after which RFC 3339 has no form.
const LAST_MS: u64 = 253_402_300_799_999;

/// Reads an RFC 3339 time with any offset. Fractions finer than a millisecond are cut; a leap second counts as the last
/// millisecond of its minute, so that it never lies before what preceded it. What lies before 1970 counts as 1970.
#[inline]
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_first_chunk::<19>()?;
    let separators = [head[4], head[7], head[13], head[16]] == *b"--::" && matches!(head[10], b'T' | b't' | b' ');
    if !separators {
        return None;
    }
    let year = two(head, 0)? * 100 + two(head, 2)?;
    let (month, day) = (two(head, 5)?, two(head, 8)?);
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, rest) = fraction(rest)?;
    let offset_minutes = offset(rest)?;
    let (second, fraction_ms) = if second == 60 { (59, 999) } else { (second, fraction_ms) };
    let day_number = days_from_civil(year, month, day);
    let minutes = (hour * 60 + minute) as i64 - offset_minutes;
    let ms = day_number * DAY_MS + minutes * 60_000 + second as i64 * 1000 + fraction_ms;
    Some(Timestamp::from_millis(ms.max(0).cast_unsigned()))
}

/// Two digits at `at`.
#[inline]
fn two(head: &[u8; 19], at: usize) -> Option<u32> {
    let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(tens as u32 * 10 + ones as u32)
}

/// Milliseconds of a fraction, if one begins here, and what follows it.
#[inline]
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', digits @ ..] = rest else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    let mut ms = 0;
    for place in 0..3 {
        ms = ms * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some((ms, rest))
}

/// Minutes east of UTC.
#[inline]
fn offset(rest: &[u8]) -> Option<i64> {
    match rest {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1 @ b'0'..=b'2', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'5', m2 @ b'0'..=b'9'] => {
            let hours = i64::from(h1 - b'0') * 10 + i64::from(h2 - b'0');
            let minutes = i64::from(m1 - b'0') * 10 + i64::from(m2 - b'0');
            let total = hours * 60 + minutes;
            (hours < 24).then_some(if *sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

/// The time as RFC 3339 in UTC with milliseconds.
pub fn format(time: Timestamp) -> String {
    text(&bytes(time)).to_owned()
}

/// What [`bytes()`] gives, as text.
pub(crate) fn text(bytes: &[u8; 24]) -> &str {
    std::str::from_utf8(bytes).expect("digits and signs")
}

/// As [`format()`], for those who copy it somewhere.
pub(crate) fn bytes(time: Timestamp) -> [u8; 24] {
    let ms = time.millis().min(LAST_MS).cast_signed();
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    let in_day = ms.rem_euclid(DAY_MS);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, fraction) = (in_day / 1000 % 60, in_day % 1000);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let mut put = |places: Range<usize>, value: i64| {
        let mut value = value.cast_unsigned();
        for place in places.rev() {
            out[place] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0..4, year);
    put(5..7, month);
    put(8..10, day);
    put(11..13, hour);
    put(14..16, minute);
    put(17..19, second);
    put(20..23, fraction);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(parse(text).map(format).as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_every_form_of_rfc_3339() {
        check("2026-11-22T09:00:00Z", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22t09:00:00z", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22 09:00:00Z", Some("2026-11-22T09:00:00.000Z"));
        check("2026-11-22T09:00:00.5Z", Some("2026-11-22T09:00:00.500Z"));
        check("2026-11-22T09:00:00.123999Z", Some("2026-11-22T09:00:00.123Z"));
        check("2026-11-22T09:00:00+05:30", Some("2026-11-22T03:30:00.000Z"));
        check("2026-12-31T23:30:00-01:00", Some("2027-01-01T00:30:00.000Z"));
        check("2024-02-29T00:00:00-00:00", Some("2024-02-29T00:00:00.000Z"));
        check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59.999Z"));
        check("1969-12-31T23:59:59.999Z", Some("1970-01-01T00:00:00.000Z"));
        check("0000-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z"));
        check("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59.000Z"));
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "2026",
            "2026-11-22",
            "2026-11-22T09:00:00",
            "2026-11-22T09:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Zx",
            "2026/01/01T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5",
            "２026-01-01T00:00:00Z",
        ] {
            check(text, None);
        }
    }
}
