//! Money as this client handles it: whole minor units of the one currency that the demo is paid in.

/// What is paid in.
pub(super) const CODE: &str = "EUR";

/// Decimal places of its minor unit.
const PLACES: usize = 2;

/// Reads `4.99` as 499; `None` if it is no decimal of so many places.
pub(super) fn minor(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() != PLACES || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    format!("{whole}{fraction}").parse().ok()
}

/// Writes 499 as `4.99 EUR`.
pub(super) fn euros(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.unsigned_abs();
    format!("{sign}{}.{:02} {CODE}", super::credits::grouped(minor / 100), minor % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_with_all_its_places() {
        for (text, expected) in [("4.99", Some(499)), ("0.00", Some(0)), ("1234.50", Some(123_450))] {
            assert_eq!(minor(text), expected, "{text}");
        }
        for bad in ["", "4", "4.9", "4.999", ".99", "-4.99", "4,99", "1e2.00"] {
            assert_eq!(minor(bad), None, "{bad}");
        }
        assert_eq!(euros(123_450), "1,234.50 EUR");
        assert_eq!(euros(-1), "-0.01 EUR");
    }
}
