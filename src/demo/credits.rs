//! Amounts as this client handles them: whole units of a ten-thousandth of a credit, read from and written as decimal text.

/// Decimal places of the demo's currency.
pub(super) const SCALE: usize = 4;

/// Units of one credit.
pub(super) const CREDIT: i64 = 10_000;

/// Reads `12.5` as 125000; `None` if it is no decimal or finer than a unit.
pub(super) fn units(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > SCALE || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let units: i64 = format!("{whole}{fraction:0<SCALE$}").parse().ok()?;
    Some(if negative { -units } else { units })
}

/// Writes 125000 as `12.5000`, for machines.
pub(super) fn decimal(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) =
        (units.unsigned_abs() / CREDIT.unsigned_abs(), units.unsigned_abs() % CREDIT.unsigned_abs());
    format!("{sign}{whole}.{fraction:0SCALE$}")
}

/// Writes 12345000 as `1,234.5000`, for people.
pub(super) fn shown(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) =
        (units.unsigned_abs() / CREDIT.unsigned_abs(), units.unsigned_abs() % CREDIT.unsigned_abs());
    format!("{sign}{}.{fraction:0SCALE$}", grouped(whole))
}

/// Writes 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(units(text), expected, "{text}");
    }

    #[test]
    fn decimals_are_read_exactly() {
        check("0", Some(0));
        check("12.5", Some(125_000));
        check("-0.0001", Some(-1));
        check("922337203685477.5807", Some(i64::MAX));
        check("922337203685477.5808", None);
        check("0.00001", None);
        for bad in ["", "-", ".5", "1e3", "1,000", "+1", "--1"] {
            check(bad, None);
        }
    }

    #[test]
    fn amounts_are_written_for_both() {
        assert_eq!(decimal(125_000), "12.5000");
        assert_eq!(decimal(-1), "-0.0001");
        assert_eq!(shown(12_345_678_901), "1,234,567.8901");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(18_059_974), "18,059,974");
    }
}
