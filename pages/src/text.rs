//! Figures and times as people read them. Exact: digits are grouped and never rounded.

use std::fmt::Write;

/// Groups the digits before the point by three, with thin spaces that do not break: `-1234567.50` reads `−1 234 567.50`. What is no decimal
/// number is left as it is.
pub fn grouped(decimal: &str) -> String {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |digits| ("\u{2212}", digits));
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !part.is_none_or(is_number) {
        return decimal.to_owned();
    }
    let mut out = String::from(sign);
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if let Some(part) = part {
        let _ = write!(out, ".{part}");
    }
    out
}

/// The same with a plus before what is above zero, for movements.
pub fn signed(decimal: &str) -> String {
    let is_zero = decimal.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'));
    if decimal.starts_with('-') || is_zero { grouped(decimal) } else { format!("+{}", grouped(decimal)) }
}

/// The day of a time: `2026-11-26T03:00:00Z` reads `26 Nov 2026`. What is no time is left as it is.
pub fn day(time: &str) -> String {
    parts(time).map_or_else(|| time.to_owned(), |(year, month, day, _)| format!("{day} {month} {year}"))
}

/// Day and minute of a time, in UTC: `26 Nov 2026, 03:00 UTC`.
pub fn minute(time: &str) -> String {
    parts(time)
        .map_or_else(|| time.to_owned(), |(year, month, day, minute)| format!("{day} {month} {year}, {minute} UTC"))
}

/// Year, month, day and `hh:mm` of an RFC 3339 time in UTC.
fn parts(time: &str) -> Option<(&str, &'static str, &str, &str)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut fields = date.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?, fields.next()?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some((year, month, day.trim_start_matches('0'), clock.get(..5)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_are_grouped_and_kept() {
        for (exact, read) in [
            ("0", "0"),
            ("12.50", "12.50"),
            ("999", "999"),
            ("1000", "1\u{202f}000"),
            ("-1234567.50", "\u{2212}1\u{202f}234\u{202f}567.50"),
            ("9223372036854775807", "9\u{202f}223\u{202f}372\u{202f}036\u{202f}854\u{202f}775\u{202f}807"),
            ("twelve", "twelve"),
            ("1.2.3", "1.2.3"),
            ("", ""),
        ] {
            assert_eq!(grouped(exact), read);
        }
    }

    #[test]
    fn movements_show_their_sign() {
        assert_eq!(signed("5"), "+5");
        assert_eq!(signed("-5"), "\u{2212}5");
        assert_eq!(signed("0.00"), "0.00");
    }

    #[test]
    fn times_are_read_as_days_and_minutes() {
        assert_eq!(day("2026-11-06T03:04:05.678Z"), "6 Nov 2026");
        assert_eq!(minute("2026-01-26T23:04:05Z"), "26 Jan 2026, 23:04 UTC");
        for no_time in ["", "tomorrow", "2026-13-01T00:00:00Z", "2026-11-26T03:00:00+01:00", "2026-11-26TZ"] {
            assert_eq!(minute(no_time), no_time);
        }
    }

    proptest! {
        #[test]
        fn grouping_adds_nothing_but_spaces(units in any::<i64>(), scale in 0_usize..10) {
            let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
            let (whole, part) = digits.split_at(digits.len() - scale);
            let sign = if units < 0 { "-" } else { "" };
            let exact = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") };
            prop_assert_eq!(grouped(&exact).replace('\u{202f}', "").replace('\u{2212}', "-"), exact);
        }

        #[test]
        fn any_text_is_taken(text in ".*") {
            let _ = (grouped(&text), signed(&text), day(&text), minute(&text));
        }
    }
}
