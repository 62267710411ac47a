//! Amounts: whole units of 0.01 credits inside, decimal text of credits on the wire.

/// Decimal places of the currency that a run sets up.
pub const SCALE: u32 = 2;

const UNITS_PER_CREDIT: u64 = 10_u64.pow(SCALE);

/// Appends an amount as decimal text in credits, without trailing zeros.
pub fn write(out: &mut Vec<u8>, units: u64) {
    let (whole, fraction) = (units / UNITS_PER_CREDIT, units % UNITS_PER_CREDIT);
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if fraction == 0 {
        return;
    }
    let (tenths, hundredths) = (fraction / 10, fraction % 10);
    out.extend_from_slice(&[b'.', b'0' + tenths as u8]);
    if hundredths > 0 {
        out.push(b'0' + hundredths as u8);
    }
}

/// An amount as decimal text in credits.
pub fn text(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) = (units.unsigned_abs() / 100, units.unsigned_abs() % 100);
    format!("{sign}{whole}.{fraction:02}")
}

/// Reads decimal text in credits exactly; `None` if it is no such text, or finer or larger than the units hold.
pub fn parse(text: &str) -> Option<i64> {
    parse_sum(text).and_then(|units| units.try_into().ok())
}

/// The same for a sum over many wallets.
pub fn parse_sum(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > SCALE as usize || !digits_only(whole) || !digits_only(fraction) {
        return None;
    }
    let number = |digits: &str| {
        digits.bytes().try_fold(0_i128, |number, digit| number.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
    };
    let missing = SCALE - fraction.len() as u32;
    let fraction_units = number(fraction)? * 10_i128.pow(missing);
    let units = number(whole)?.checked_mul(i128::from(UNITS_PER_CREDIT))?.checked_add(fraction_units)?;
    Some(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(units: u64, expected: &str) {
        let mut out = Vec::new();
        write(&mut out, units);
        assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
        assert_eq!(parse(expected), Some(units.cast_signed()));
    }

    #[test]
    fn amounts_are_written_and_read_exactly() {
        check(0, "0");
        check(1, "0.01");
        check(10, "0.1");
        check(99, "0.99");
        check(100, "1");
        check(12_350, "123.5");
        assert_eq!(parse("-0.05"), Some(-5));
        for wrong in ["", ".", ".5", "1.234", "x", "1e3", "+1", "--1", "99999999999999999999"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse_sum("99999999999999999999"), Some(9_999_999_999_999_999_999_900));
        assert_eq!(text(-5), "-0.05");
        assert_eq!(text(12_350), "123.50");
    }
}
