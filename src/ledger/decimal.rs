//! Exact decimals as a client writes them: the JSON number grammar, read from its text and never through a float.
//!
//! Invariants:
//! 1. A [`Decimal`] is normalised: its fraction has no trailing zero, so equal values are equal structs.
//! 2. `scale <= 18`, so that a power of ten of the scale fits an `i64`.
//! 3. Parsing is exact: a value that does not fit is an error, digits are never dropped.

use std::fmt;

/// The most digits a [`Decimal`] keeps behind the point.
const SCALE_MAX: u8 = 18;

/// Texts up to this length cannot overflow the magnitude, whatever their digits.
const SHORT_TEXT: usize = 18;

/// `mantissa / 10^scale`, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    scale: u8,
}

/// Why a text is no [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// There is no text.
    Empty,
    /// The text does not follow the JSON number grammar.
    NotANumber,
    /// A number, but one with more digits than fit.
    TooManyDigits,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal { mantissa: 0, scale: 0 };

    /// Reads a JSON number: an optional minus, digits without a leading zero, and optionally a fraction and an exponent.
    pub fn parse(text: &[u8]) -> Result<Decimal, DecimalError> {
        match parse_short(text) {
            Some(decimal) => Ok(decimal),
            None => parse_any(text),
        }
    }

    /// A whole number.
    pub const fn from_integer(value: i64) -> Decimal {
        Decimal { mantissa: value, scale: 0 }
    }

    /// `mantissa / 10^scale`, normalised. `None` if it has more than 18 digits behind the point.
    pub fn from_parts(mantissa: i64, scale: u8) -> Option<Decimal> {
        let (mut mantissa, mut scale) = (mantissa, scale);
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        (scale <= SCALE_MAX).then_some(Decimal { mantissa, scale })
    }

    /// The digits, as a whole number.
    pub const fn mantissa(self) -> i64 {
        self.mantissa
    }

    /// How many of the digits stand behind the point.
    pub const fn scale(self) -> u8 {
        self.scale
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Digits::render(self.mantissa, self.scale).as_str())
    }
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecimalError::Empty => "a number is missing",
            DecimalError::NotANumber => "not a decimal number",
            DecimalError::TooManyDigits => "the number has too many digits",
        })
    }
}

impl std::error::Error for DecimalError {}

/// The common case: few characters, no exponent. `None` says nothing about the text, only that [`parse_any`] must look.
#[inline]
fn parse_short(text: &[u8]) -> Option<Decimal> {
    let (negative, body) = split_sign(text);
    if body.is_empty() || text.len() > SHORT_TEXT || has_leading_zero(body) {
        return None;
    }
    let mut magnitude: i64 = 0;
    let mut point = None;
    for (index, &byte) in body.iter().enumerate() {
        match byte {
            b'0'..=b'9' => magnitude = magnitude * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() && index > 0 && index + 1 < body.len() => point = Some(index),
            _ => return None,
        }
    }
    let scale = point.map_or(0, |index| body.len() - index - 1);
    Decimal::from_parts(if negative { -magnitude } else { magnitude }, scale as u8)
}

/// The whole grammar. Grammar errors come before errors of size, wherever in the text they stand.
#[cold]
fn parse_any(text: &[u8]) -> Result<Decimal, DecimalError> {
    if text.is_empty() {
        return Err(DecimalError::Empty);
    }
    let (negative, body) = split_sign(text);
    if has_leading_zero(body) {
        return Err(DecimalError::NotANumber);
    }
    let mut significand = Significand::default();
    let rest = significand.read_digits(body)?;
    let (fraction_digits, rest) = match rest {
        [b'.', fraction @ ..] => {
            let after = significand.read_digits(fraction)?;
            (fraction.len() - after.len(), after)
        }
        _ => (0, rest),
    };
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', exponent @ ..] => read_exponent(exponent)?,
        _ => return Err(DecimalError::NotANumber),
    };
    significand.at_exponent(exponent.saturating_sub_unsigned(fraction_digits as u64), negative)
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    }
}

/// JSON allows `0` and `0.5`, not `007`.
fn has_leading_zero(body: &[u8]) -> bool {
    matches!(body, [b'0', b'0'..=b'9', ..])
}

/// Digits read so far: `magnitude * 10^zeros`. Zeros wait until a digit follows them, so that any number of trailing zeros,
/// on either side of the point, costs nothing and leaves the result normalised.
#[derive(Default)]
struct Significand {
    magnitude: u64,
    zeros: i64,
    overflow: bool,
}

impl Significand {
    /// Reads one digit or more and gives what follows them.
    fn read_digits<'a>(&mut self, text: &'a [u8]) -> Result<&'a [u8], DecimalError> {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(DecimalError::NotANumber);
        }
        let (digits, rest) = text.split_at(count);
        for &byte in digits {
            self.push(u64::from(byte - b'0'));
        }
        Ok(rest)
    }

    fn push(&mut self, digit: u64) {
        if digit == 0 {
            self.zeros += 1;
            return;
        }
        let shifted = times_power_of_ten(self.magnitude, self.zeros + 1);
        match shifted.and_then(|shifted| shifted.checked_add(digit)) {
            Some(magnitude) => self.magnitude = magnitude,
            None => self.overflow = true,
        }
        self.zeros = 0;
    }

    /// The number `±magnitude * 10^(zeros + exponent)`.
    fn at_exponent(&self, exponent: i64, negative: bool) -> Result<Decimal, DecimalError> {
        if self.overflow {
            return Err(DecimalError::TooManyDigits);
        }
        if self.magnitude == 0 {
            return Ok(Decimal::ZERO);
        }
        let exponent = exponent.saturating_add(self.zeros);
        let (magnitude, scale) = if exponent >= 0 {
            (times_power_of_ten(self.magnitude, exponent).ok_or(DecimalError::TooManyDigits)?, 0)
        } else {
            let scale = u8::try_from(exponent.unsigned_abs()).map_err(|_| DecimalError::TooManyDigits)?;
            (self.magnitude, scale)
        };
        if scale > SCALE_MAX {
            return Err(DecimalError::TooManyDigits);
        }
        let mantissa =
            if negative { 0_i64.checked_sub_unsigned(magnitude) } else { 0_i64.checked_add_unsigned(magnitude) };
        mantissa.map(|mantissa| Decimal { mantissa, scale }).ok_or(DecimalError::TooManyDigits)
    }
}

/// `value * 10^power`, if that fits. Zero stays zero at every power.
fn times_power_of_ten(value: u64, power: i64) -> Option<u64> {
    if value == 0 {
        return Some(0);
    }
    10_u64.checked_pow(u32::try_from(power).ok()?)?.checked_mul(value)
}

/// Reads the text behind the `e`. An exponent too large to count saturates: it decides nothing but "does not fit".
fn read_exponent(text: &[u8]) -> Result<i64, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::NotANumber);
    }
    let magnitude =
        digits.iter().fold(0_i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    Ok(if negative { -magnitude } else { magnitude })
}

/// The text of `mantissa / 10^scale`, on the stack: no trailing zeros, no exponent. Shared with amounts.
pub(super) struct Digits {
    /// Sign, 19 digits and a point at most: 21 bytes, filled from the end.
    bytes: [u8; 24],
    start: usize,
}

impl Digits {
    pub(super) fn render(mantissa: i64, scale: u8) -> Digits {
        let mut digits = Digits { bytes: [0; 24], start: 24 };
        let (mut rest, mut scale) = (mantissa.unsigned_abs(), scale);
        while scale > 0 && rest.is_multiple_of(10) {
            rest /= 10;
            scale -= 1;
        }
        if scale > 0 {
            for _ in 0..scale {
                rest = digits.put_digit(rest);
            }
            digits.put(b'.');
        }
        loop {
            rest = digits.put_digit(rest);
            if rest == 0 {
                break;
            }
        }
        if mantissa < 0 {
            digits.put(b'-');
        }
        digits
    }

    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    fn put_digit(&mut self, rest: u64) -> u64 {
        self.put(b'0' + (rest % 10) as u8);
        rest / 10
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, mantissa: i64, scale: u8) {
        let decimal = Decimal::parse(text.as_bytes());
        assert_eq!(decimal, Ok(Decimal { mantissa, scale }), "{text}");
        // The two parsers overlap on short texts; they must agree there.
        assert_eq!(parse_any(text.as_bytes()), decimal, "{text}, the long way");
    }

    #[track_caller]
    fn check_error(text: &str, error: DecimalError) {
        assert_eq!(Decimal::parse(text.as_bytes()), Err(error), "{text}");
        assert_eq!(parse_any(text.as_bytes()), Err(error), "{text}, the long way");
    }

    #[test]
    fn plain_numbers_are_read_exactly() {
        check("0", 0, 0);
        check("-0", 0, 0);
        check("7", 7, 0);
        check("-3", -3, 0);
        check("12.5", 125, 1);
        check("0.5", 5, 1);
        check("-0.01", -1, 2);
        check("10", 10, 0);
        check("100.25", 10025, 2);
        check("123456789.123456789", 123_456_789_123_456_789, 9);
        check("0.000000000000000001", 1, 18);
    }

    #[test]
    fn trailing_zeros_of_the_fraction_mean_nothing() {
        check("3.0", 3, 0);
        check("3.50", 35, 1);
        check("0.00", 0, 0);
        check("-0.0", 0, 0);
        check("1.000000000000000000000000000000000000", 1, 0);
        check("0.000000000000000000000000000000000000", 0, 0);
        check("0.100000000000000000000000000000000000", 1, 1);
        check("20.10", 201, 1);
    }

    #[test]
    fn exponents_move_the_point() {
        check("1e3", 1000, 0);
        check("1E3", 1000, 0);
        check("1e+3", 1000, 0);
        check("1e0", 1, 0);
        check("1.50E-2", 15, 3);
        check("-2.5e1", -25, 0);
        check("12e-1", 12, 1);
        check("120e-1", 12, 0);
        check("1e-18", 1, 18);
        check("100e-20", 1, 18);
        check("0.01e2", 1, 0);
        check("1e18", 1_000_000_000_000_000_000, 0);
        check("0e99999999999999999999999", 0, 0);
        check("0.0e-99999999999999999999999", 0, 0);
        check("1e00000000000000000000000000002", 100, 0);
    }

    #[test]
    fn the_limits_are_those_of_64_bits() {
        check("9223372036854775807", i64::MAX, 0);
        check("-9223372036854775807", -i64::MAX, 0);
        check("-9223372036854775808", i64::MIN, 0);
        check("9.223372036854775807", i64::MAX, 18);
        check("922337203685477580.7", i64::MAX, 1);
        check("92233720368547758.07000", i64::MAX, 2);
        check("9223372036854775800", 9_223_372_036_854_775_800, 0);
        check("999999999999999999", 999_999_999_999_999_999, 0);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_cut() {
        check_error("9223372036854775808", DecimalError::TooManyDigits);
        check_error("-9223372036854775809", DecimalError::TooManyDigits);
        check_error("18446744073709551616", DecimalError::TooManyDigits);
        check_error("99999999999999999999999999", DecimalError::TooManyDigits);
        check_error("1e19", DecimalError::TooManyDigits);
        check_error("10e18", DecimalError::TooManyDigits);
        check_error("1e-19", DecimalError::TooManyDigits);
        check_error("0.0000000000000000001", DecimalError::TooManyDigits);
        check_error("1.0000000000000000001", DecimalError::TooManyDigits);
        check_error("1e99999999999999999999999", DecimalError::TooManyDigits);
        check_error("1e-99999999999999999999999", DecimalError::TooManyDigits);
        check_error("1e-256", DecimalError::TooManyDigits);
    }

    #[test]
    fn what_json_does_not_allow_is_no_number() {
        check_error("", DecimalError::Empty);
        let texts = [
            "-",
            "+",
            "+5",
            " 5",
            "5 ",
            "5\n",
            ".5",
            "5.",
            "-.5",
            "-5.",
            ".",
            "1.",
            "1.e3",
            "1.5.2",
            "1..5",
            "--1",
            "-+1",
            "1-",
            "1-2",
            "007",
            "00",
            "-00",
            "-01",
            "00.5",
            "0x10",
            "0b1",
            "1_000",
            "1,5",
            "1 000",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "-Infinity",
            "e3",
            "1e",
            "1e+",
            "1e-",
            "1e1.5",
            "1e 5",
            "1e5e5",
            "1ee5",
            "1e+-5",
            "1f",
            "\"1\"",
            "１",
            "1\0",
            "abc",
            "00000000000000000000000000001",
            "99999999999999999999999999999x",
            "1.99999999999999999999999999999e",
            "null",
            "true",
        ];
        for text in texts {
            check_error(text, DecimalError::NotANumber);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_number() {
        assert_eq!(Decimal::parse(&[0xff, 0xfe]), Err(DecimalError::NotANumber));
        assert_eq!(Decimal::parse(&[b'1', 0x80]), Err(DecimalError::NotANumber));
    }

    #[test]
    fn parts_are_normalised() {
        assert_eq!(Decimal::from_parts(1500, 2), Some(Decimal { mantissa: 15, scale: 0 }));
        assert_eq!(Decimal::from_parts(-1505, 2), Some(Decimal { mantissa: -1505, scale: 2 }));
        assert_eq!(Decimal::from_parts(0, 200), Some(Decimal::ZERO));
        assert_eq!(Decimal::from_parts(10, 19), Some(Decimal { mantissa: 1, scale: 18 }));
        assert_eq!(Decimal::from_parts(1, 19), None);
    }

    #[test]
    fn text_and_decimal_are_each_others_inverse() {
        for text in
            ["0", "1", "-1", "12.5", "-0.01", "0.000000000000000001", "-9223372036854775808", "-9.223372036854775808"]
        {
            let decimal = Decimal::parse(text.as_bytes()).expect(text);
            assert_eq!(decimal.to_string(), text);
        }
    }
}
