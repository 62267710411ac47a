//! Amounts as Stripe counts them, which is not always as ISO 4217 does (docs.stripe.com/currencies, "special cases").

use crate::providers::{Currency, Money};

/// What Stripe cannot charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AmountError {
    #[error("an amount to move is more than nothing")]
    NotPositive,
    #[error("{0}: Stripe takes multiples of {1} minor units only")]
    NotAMultiple(Money, i64),
    #[error("{0} is more than Stripe can count")]
    TooMuch(Money),
}

/// How Stripe's unit of a currency relates to ISO's minor unit.
enum Unit {
    Same,
    /// Same unit, and the last digit must be zero.
    Tens,
    /// Stripe counts hundredths of the currency, which ISO does not divide.
    Hundredths,
    /// Stripe does not divide the currency, which ISO counts in hundredths.
    Whole,
}

fn unit(currency: Currency) -> Unit {
    match currency.as_str() {
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => Unit::Tens,
        "ISK" | "UGX" => Unit::Hundredths,
        "MGA" => Unit::Whole,
        _ => Unit::Same,
    }
}

/// An amount to send; more than nothing.
pub(super) fn to_stripe(money: Money) -> Result<i64, AmountError> {
    if money.amount <= 0 {
        return Err(AmountError::NotPositive);
    }
    let multiple = |of: i64| if money.amount % of == 0 { Ok(()) } else { Err(AmountError::NotAMultiple(money, of)) };
    match unit(money.currency) {
        Unit::Same => Ok(money.amount),
        Unit::Tens => multiple(10).map(|()| money.amount),
        Unit::Hundredths => money.amount.checked_mul(100).ok_or(AmountError::TooMuch(money)),
        Unit::Whole => multiple(100).map(|()| money.amount / 100),
    }
}

/// An amount that came; `None` for one that the currency does not have.
pub(super) fn from_stripe(amount: i64, currency: &str) -> Option<Money> {
    let currency: Currency = currency.parse().ok()?;
    let amount = match unit(currency) {
        Unit::Same | Unit::Tens => amount,
        Unit::Hundredths => {
            if amount % 100 != 0 {
                return None;
            }
            amount / 100
        }
        Unit::Whole => amount.checked_mul(100)?,
    };
    Some(Money { amount, currency })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(amount: i64, currency: &str, expected: Option<i64>) {
        let money = Money { amount, currency: currency.parse().expect("a currency") };
        assert_eq!(to_stripe(money).ok(), expected, "{money}");
    }

    #[test]
    fn units_are_those_of_the_documentation() {
        check(1099, "EUR", Some(1099));
        check(500, "JPY", Some(500));
        check(5120, "KWD", Some(5120));
        check(5124, "KWD", None);
        check(5, "ISK", Some(500));
        check(5, "UGX", Some(500));
        check(500, "MGA", Some(5));
        check(501, "MGA", None);
        check(0, "EUR", None);
        check(-1, "EUR", None);
        check(i64::MAX, "ISK", None);
        assert_eq!(from_stripe(550, "isk"), None);
        assert_eq!(from_stripe(1, "xx"), None);
    }

    proptest! {
        #[test]
        fn what_is_sent_comes_back(amount in 1..=i64::MAX, currency in "EUR|JPY|KWD|ISK|UGX|MGA|USD|TND") {
            let money = Money { amount, currency: currency.parse().expect("a currency") };
            if let Ok(sent) = to_stripe(money) {
                prop_assert_eq!(from_stripe(sent, &currency.to_lowercase()), Some(money));
            }
        }
    }
}
