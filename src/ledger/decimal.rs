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
            self.zeros += i64::from(self.magnitude != 0);
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
