//! Amounts: whole numbers of a currency's smallest unit. No float, no rounding by a debit, no wrap.

use std::fmt;

use super::decimal::{Decimal, Digits};

/// How many decimal places a currency's smallest unit has: 0 to 9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale(u8);

impl Scale {
    /// No decimal places.
    pub const WHOLE: Scale = Scale(0);
    /// The finest scale.
    pub const MAX: Scale = Scale(9);

    /// A scale of `places`, if that is 9 or fewer.
    pub const fn new(places: u8) -> Option<Scale> {
        if places <= Scale::MAX.0 { Some(Scale(places)) } else { None }
    }

    /// The number of decimal places.
    pub const fn places(self) -> u8 {
        self.0
    }
}

/// An amount of credits, in the currency's smallest unit. Negative amounts are debt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// Why a decimal is no [`Amount`] at a given scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// The decimal has more places than the currency; it is refused rather than rounded.
    TooManyDecimals {
        /// Places of the currency.
        allowed: u8,
        /// Places of the decimal.
        given: u8,
    },
    /// The amount does not fit.
    Overflow,
}

const POWERS_OF_TEN: [i64; Scale::MAX.0 as usize + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// One smallest unit.
    pub const ONE: Amount = Amount(1);
    /// The largest amount.
    pub const MAX: Amount = Amount(i64::MAX);
    /// The smallest amount that can be negated.
    pub const MIN: Amount = Amount(-i64::MAX);
    /// The highest balance of a wallet. One below [`Amount::MAX`], so that "one unit above the balance" always exists.
    pub const MAX_BALANCE: Amount = Amount(i64::MAX - 1);

    /// `units` smallest units.
    pub const fn new(units: i64) -> Amount {
        Amount(units)
    }

    /// The number of smallest units.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// The sum, if it fits.
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount)
    }

    /// The difference, if it fits.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// The amount with its sign turned, if it fits.
    pub fn checked_neg(self) -> Option<Amount> {
        self.0.checked_neg().map(Amount)
    }

    /// The amount, or zero if it is negative.
    #[must_use]
    pub fn or_zero(self) -> Amount {
        self.max(Amount::ZERO)
    }

    /// Reads a client's decimal as an amount of a currency, exactly or not at all.
    pub fn from_decimal(decimal: Decimal, scale: Scale) -> Result<Amount, AmountError> {
        let Some(missing_places) = scale.0.checked_sub(decimal.scale()) else {
            return Err(AmountError::TooManyDecimals { allowed: scale.0, given: decimal.scale() });
        };
        // At most nine places: the scale's bound.
        let units = decimal.mantissa().checked_mul(POWERS_OF_TEN[usize::from(missing_places)]);
        units.map(Amount).ok_or(AmountError::Overflow)
    }

    /// Shows the amount in credits: `12.5`, `-0.01`; no trailing zeros and no exponent.
    pub fn display(self, scale: Scale) -> impl fmt::Display {
        Displayed { amount: self, scale }
    }

    /// Appends what [`Amount::display`] shows.
    pub fn write_decimal(self, scale: Scale, out: &mut Vec<u8>) {
        out.extend_from_slice(Digits::render(self.0, scale.0).as_bytes());
    }

    /// The sum, where an invariant of the caller says that it fits. Anything else is a bug, and a wrong balance is worse
    /// than a stop.
    pub(super) fn plus(self, other: Amount) -> Amount {
        self.checked_add(other).expect("the sum is bounded by an invariant of the terms")
    }

    /// The difference, under the same condition as [`Amount::plus`].
    pub(super) fn minus(self, other: Amount) -> Amount {
        self.checked_sub(other).expect("the difference is bounded by an invariant of the terms")
    }

    /// The amount nearest to `units`.
    pub(super) fn saturating(units: i128) -> Amount {
        let nearest = units.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Amount(i64::try_from(nearest).unwrap_or(i64::MAX))
    }
}

struct Displayed {
    amount: Amount,
    scale: Scale,
}

impl fmt::Display for Displayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Digits::render(self.amount.0, self.scale.0).as_str())
    }
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AmountError::TooManyDecimals { allowed, given } => {
                write!(f, "{given} decimal places where the currency has {allowed}")
            }
            AmountError::Overflow => f.write_str("the amount is too large"),
        }
    }
}

impl std::error::Error for AmountError {}

/// What a meter does with a price that falls between two smallest units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Refuse it.
    #[default]
    Exact,
    /// Take the next whole unit above.
    Up,
}

impl Rounding {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rounding::Exact => "exact",
            Rounding::Up => "up",
        }
    }

    /// The rounding of that name.
    pub fn parse(name: &str) -> Option<Rounding> {
        match name {
            "exact" => Some(Rounding::Exact),
            "up" => Some(Rounding::Up),
            _ => None,
        }
    }
}

/// Why a quantity has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceError {
    /// The price falls between two smallest units and the meter is exact.
    NotExact,
    /// The price does not fit.
    Overflow,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PriceError::NotExact => "the price is finer than the currency's smallest unit",
            PriceError::Overflow => "the price is too large",
        })
    }
}

impl std::error::Error for PriceError {}

/// What `quantity` costs at `rate` credits a unit. Exact: computed in whole numbers, rounded at most once, at the end.
pub fn price(quantity: Decimal, rate: Decimal, scale: Scale, rounding: Rounding) -> Result<Amount, PriceError> {
    // Two 63-bit mantissas make 126 bits: the product always fits.
    let product = i128::from(quantity.mantissa()) * i128::from(rate.mantissa());
    let places = u32::from(quantity.scale()) + u32::from(rate.scale());
    let wanted = u32::from(scale.places());
    let units = if places <= wanted {
        product.checked_mul(10_i128.pow(wanted - places)).ok_or(PriceError::Overflow)?
    } else {
        // At most 36 places: the divisor fits as well.
        let divisor = 10_i128.pow(places - wanted);
        let (whole, rest) = (product.div_euclid(divisor), product.rem_euclid(divisor));
        match rounding {
            _ if rest == 0 => whole,
            Rounding::Up => whole + 1,
            Rounding::Exact => return Err(PriceError::NotExact),
        }
    };
    i64::try_from(units).map(Amount).map_err(|_| PriceError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(places: u8) -> Scale {
        Scale::new(places).expect("a scale")
    }

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).expect(text)
    }

    #[track_caller]
    fn check_amount(text: &str, places: u8, expected: Result<i64, AmountError>) {
        assert_eq!(
            Amount::from_decimal(decimal(text), scale(places)),
            expected.map(Amount),
            "{text} at scale {places}"
        );
    }

    #[track_caller]
    fn check_text(units: i64, places: u8, expected: &str) {
        assert_eq!(Amount(units).display(scale(places)).to_string(), expected);
        let mut written = b"x".to_vec();
        Amount(units).write_decimal(scale(places), &mut written);
        assert_eq!(written, [b"x", expected.as_bytes()].concat());
    }

    #[track_caller]
    fn check_price(quantity: &str, rate: &str, places: u8, rounding: Rounding, expected: Result<i64, PriceError>) {
        let price = price(decimal(quantity), decimal(rate), scale(places), rounding);
        assert_eq!(price, expected.map(Amount), "{quantity} at {rate}, scale {places}, {rounding:?}");
    }

    #[test]
    fn scales_end_at_nine() {
        assert_eq!(Scale::new(9), Some(Scale::MAX));
        assert_eq!(Scale::new(10), None);
    }

    #[test]
    fn decimals_become_amounts_exactly_or_not_at_all() {
        check_amount("12.5", 1, Ok(125));
        check_amount("12.5", 3, Ok(12_500));
        check_amount("12.50", 1, Ok(125));
        check_amount("0", 9, Ok(0));
        check_amount("-0.01", 2, Ok(-1));
        check_amount("1e3", 0, Ok(1000));
        check_amount("9223372036854775807", 0, Ok(i64::MAX));
        check_amount("-9223372036854775808", 0, Ok(i64::MIN));
        check_amount("9223372036.854775807", 9, Ok(i64::MAX));
        check_amount("12.5", 0, Err(AmountError::TooManyDecimals { allowed: 0, given: 1 }));
        check_amount("0.000000001", 8, Err(AmountError::TooManyDecimals { allowed: 8, given: 9 }));
        check_amount("9223372036854775807", 1, Err(AmountError::Overflow));
        check_amount("9223372036.9", 9, Err(AmountError::Overflow));
        check_amount("-9223372036.9", 9, Err(AmountError::Overflow));
    }

    #[test]
    fn amounts_are_shown_without_trailing_zeros() {
        check_text(0, 0, "0");
        check_text(0, 9, "0");
        check_text(125, 1, "12.5");
        check_text(12_500, 3, "12.5");
        check_text(1000, 0, "1000");
        check_text(1000, 3, "1");
        check_text(-1, 2, "-0.01");
        check_text(-100, 2, "-1");
        check_text(1, 9, "0.000000001");
        check_text(i64::MAX, 0, "9223372036854775807");
        check_text(i64::MIN, 0, "-9223372036854775808");
        check_text(i64::MAX, 9, "9223372036.854775807");
        check_text(i64::MIN, 9, "-9223372036.854775808");
    }

    #[test]
    fn sums_that_do_not_fit_are_none() {
        assert_eq!(Amount::MAX.checked_add(Amount::ONE), None);
        assert_eq!(Amount(i64::MIN).checked_sub(Amount::ONE), None);
        assert_eq!(Amount(i64::MIN).checked_neg(), None);
        assert_eq!(Amount::MIN.checked_neg(), Some(Amount::MAX));
        assert_eq!(Amount::MAX_BALANCE.checked_add(Amount::ONE), Some(Amount::MAX));
        assert_eq!(Amount::saturating(i128::MAX), Amount(i64::MAX));
        assert_eq!(Amount::saturating(i128::MIN), Amount(i64::MIN));
        assert_eq!(Amount::saturating(-5), Amount(-5));
    }

    #[test]
    fn prices_are_exact_products() {
        check_price("1800", "0.002", 3, Rounding::Exact, Ok(3600));
        check_price("1800", "0.002", 1, Rounding::Exact, Ok(36));
        check_price("0", "0.002", 0, Rounding::Exact, Ok(0));
        check_price("1.5", "2", 0, Rounding::Exact, Ok(3));
        check_price("-3", "2", 0, Rounding::Exact, Ok(-6));
        check_price("1000000000000000000", "0.000000000000000001", 0, Rounding::Exact, Ok(1));
        check_price("9223372036854775807", "1", 0, Rounding::Exact, Ok(i64::MAX));
    }

    #[test]
    fn a_price_between_two_units_is_refused_or_rounded_up() {
        check_price("1", "0.001", 2, Rounding::Exact, Err(PriceError::NotExact));
        check_price("1", "0.001", 2, Rounding::Up, Ok(1));
        check_price("10", "0.001", 2, Rounding::Up, Ok(1));
        check_price("10.00000000000000001", "0.001", 2, Rounding::Up, Ok(2));
        check_price("-1", "0.015", 2, Rounding::Up, Ok(-1));
        check_price("0.000000000000000001", "0.000000000000000001", 9, Rounding::Up, Ok(1));
        check_price("0.000000000000000001", "0.000000000000000001", 0, Rounding::Exact, Err(PriceError::NotExact));
    }

    #[test]
    fn a_price_that_does_not_fit_is_refused() {
        check_price("9223372036854775807", "2", 0, Rounding::Exact, Err(PriceError::Overflow));
        check_price("9223372036854775807", "9223372036854775807", 9, Rounding::Exact, Err(PriceError::Overflow));
        check_price("-9223372036854775808", "-9223372036854775808", 9, Rounding::Up, Err(PriceError::Overflow));
        check_price("9223372036854775807", "1.0000001", 0, Rounding::Up, Err(PriceError::Overflow));
        check_price("9223372036854775807", "1", 1, Rounding::Exact, Err(PriceError::Overflow));
    }
}
