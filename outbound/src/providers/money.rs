//! Money as providers move it: whole minor units of a currency.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An ISO 4217 code: three capital letters. That the letters name a currency is for the provider to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// Not three letters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three letters, like EUR, not {0:?}")]
pub struct CurrencyError(String);

impl Currency {
    /// The code in capitals.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters")
    }

    /// Digits of the minor unit (ISO 4217, table A.1): 2 but for those listed here.
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    /// Either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_alphabetic) => {
                Ok(Currency(bytes.map(|b| b.to_ascii_uppercase())))
            }
            _ => Err(CurrencyError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount of money in whole minor units: 1099 EUR are 10.99 euros, 500 JPY are 500 yen, 1500 KWD are 1.500 dinars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units, as ISO 4217 counts them.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// `10.99 EUR`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10_u64.pow(exponent);
        let (sign, amount) = (if self.amount < 0 { "-" } else { "" }, self.amount.unsigned_abs());
        write!(f, "{sign}{}", amount / unit)?;
        if exponent > 0 {
            write!(f, ".{:0width$}", amount % unit, width = exponent as usize)?;
        }
        write!(f, " {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: i64, currency: &str) -> Money {
        Money { amount, currency: currency.parse().expect("a currency") }
    }

    #[test]
    fn amounts_are_written_with_their_digits() {
        assert_eq!(money(1099, "eur").to_string(), "10.99 EUR");
        assert_eq!(money(5, "USD").to_string(), "0.05 USD");
        assert_eq!(money(500, "JPY").to_string(), "500 JPY");
        assert_eq!(money(1500, "KWD").to_string(), "1.500 KWD");
        assert_eq!(money(-250, "EUR").to_string(), "-2.50 EUR");
        assert_eq!(money(i64::MIN, "EUR").to_string(), "-92233720368547758.08 EUR");
    }

    #[test]
    fn codes_are_three_letters() {
        for wrong in ["", "EU", "EURO", "E1R", "€", "e r"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong:?}");
        }
        assert_eq!(serde_json::to_string(&money(1, "eur")).expect("JSON"), r#"{"amount":1,"currency":"EUR"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":1,"currency":"EURO"}"#).is_err());
    }
}
