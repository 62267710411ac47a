//! Money: whole minor units of a currency. Exact; it is read from decimals and never through a float.
//!
//! Two kinds of currencies are money here: those of ISO 4217, whose minor units the standard gives, and coins, whose decimal places the
//! caller names. A credit currency may be denominated in the former: then one credit is one minor unit ([`Worth::of_fiat`]).

use super::Invalid;
use crate::catalog::{CreditCurrency, CurrencyKind};
use crate::ledger::{Amount, Decimal, Scale};
use std::fmt;

/// The most letters of a code.
const CODE_MAX: usize = 8;
/// The most decimal places of a coin.
const PLACES_MAX: u8 = 9;

/// Currencies of ISO 4217 in circulation whose minor unit is a hundredth.
const HUNDREDTHS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF \
    CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD \
    KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB \
    PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH \
    USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";
/// Those without a minor unit.
const WHOLE: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Those whose minor unit is a thousandth.
const THOUSANDTHS: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Those whose minor unit is a ten-thousandth.
const TEN_THOUSANDTHS: &str = "CLF UYW";

/// A currency of money: its code, and how many decimal places its minor unit has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MoneyCode {
    letters: [u8; CODE_MAX],
    length: u8,
    places: u8,
}

impl MoneyCode {
    /// The currency of that code in ISO 4217.
    pub fn iso(code: &str) -> Option<MoneyCode> {
        let lists = [(HUNDREDTHS, 2), (WHOLE, 0), (THOUSANDTHS, 3), (TEN_THOUSANDTHS, 4)];
        let (_, places) =
            lists.into_iter().find(|(list, _)| list.split_ascii_whitespace().any(|known| known == code))?;
        MoneyCode::new(code, places)
    }

    /// A coin of that code, 2 to 8 capitals and digits, with so many decimal places, 9 at most. `None` for a code that ISO 4217 has with
    /// other places.
    pub fn coin(code: &str, places: u8) -> Option<MoneyCode> {
        match MoneyCode::iso(code) {
            Some(iso) => (iso.places == places).then_some(iso),
            None => MoneyCode::new(code, places),
        }
    }

    fn new(code: &str, places: u8) -> Option<MoneyCode> {
        let is_code = (2..=CODE_MAX).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !is_code || places > PLACES_MAX {
            return None;
        }
        let mut letters = [0; CODE_MAX];
        letters[..code.len()].copy_from_slice(code.as_bytes());
        Some(MoneyCode { letters, length: code.len() as u8, places })
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..usize::from(self.length)]).expect("a code is ASCII")
    }

    /// Decimal places of the minor unit.
    pub const fn places(self) -> u8 {
        self.places
    }

    /// Whether ISO 4217 has it.
    pub fn is_iso(self) -> bool {
        MoneyCode::iso(self.as_str()).is_some()
    }
}

impl fmt::Display for MoneyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MoneyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.as_str(), self.places)
    }
}

/// An amount of money. Negative where something is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub units: i64,
    /// Of what.
    pub code: MoneyCode,
}

impl Money {
    /// So many minor units.
    pub const fn new(units: i64, code: MoneyCode) -> Money {
        Money { units, code }
    }

    /// Reads a decimal of whole units ("12.5" euros are 1250 cents). What is finer than a minor unit is refused.
    pub fn from_decimal(decimal: Decimal, code: MoneyCode) -> Result<Money, Invalid> {
        let scale = Scale::new(code.places).expect("a code has at most nine places");
        match Amount::from_decimal(decimal, scale) {
            Ok(amount) => Ok(Money::new(amount.units(), code)),
            Err(error) => Err(Invalid::new("amount", error.to_string())),
        }
    }

    /// The sum, of the same currency and if it fits.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.same(other)?.units.checked_add(other.units).map(|units| Money { units, ..self })
    }

    /// The difference, of the same currency and if it fits.
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.same(other)?.units.checked_sub(other.units).map(|units| Money { units, ..self })
    }

    /// So many times as much.
    pub fn times(self, factor: u32) -> Option<Money> {
        self.units.checked_mul(factor.into()).map(|units| Money { units, ..self })
    }

    fn same(self, other: Money) -> Option<Money> {
        (self.code == other.code).then_some(self)
    }
}

impl fmt::Display for Money {
    /// Whole units with all the places of the minor unit: `12.50`, `-0.05`, `1200` yen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u64.pow(self.code.places.into());
        let magnitude = self.units.unsigned_abs();
        let sign = if self.units < 0 { "-" } else { "" };
        match usize::from(self.code.places) {
            0 => write!(f, "{sign}{magnitude}"),
            places => write!(f, "{sign}{}.{:0places$}", magnitude / one, magnitude % one),
        }
    }
}

/// What money is worth in a credit currency, where it is worth the same whatever the amount: each minor unit so many smallest units of credit,
/// a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth {
    code: MoneyCode,
    power: u8,
}

impl Worth {
    /// The worth of a fiat denomination: one credit is one minor unit. `None` for other currencies.
    pub fn of_fiat(currency: &CreditCurrency) -> Option<Worth> {
        match &currency.kind {
            CurrencyKind::Fiat(code) => Some(Worth { code: MoneyCode::iso(code)?, power: currency.scale.places() }),
            CurrencyKind::Unit => None,
        }
    }

    /// The worth of a coin in the credit currency that stands for it: one credit is one coin. `None` if credits are coarser than the coin's
    /// minor unit, which would have to be rounded.
    pub fn of_coin(code: MoneyCode, currency: &CreditCurrency) -> Option<Worth> {
        let power = currency.scale.places().checked_sub(code.places)?;
        (currency.kind == CurrencyKind::Unit).then_some(Worth { code, power })
    }

    /// From its parts, as they were recorded.
    pub fn from_parts(code: MoneyCode, power: u8) -> Option<Worth> {
        (power <= PLACES_MAX).then_some(Worth { code, power })
    }

    /// In which money.
    pub const fn code(self) -> MoneyCode {
        self.code
    }

    /// Which power of ten.
    pub const fn power(self) -> u8 {
        self.power
    }

    fn factor(self) -> i64 {
        10_i64.pow(self.power.into())
    }

    /// The credits that money is worth: exact, if they fit and it is money of this currency.
    pub fn credits(self, money: Money) -> Option<Amount> {
        let units = money.units.checked_mul(self.factor())?;
        (money.code == self.code).then_some(Amount::new(units))
    }

    /// The least money that is worth `credits`: rounded up to a minor unit.
    pub fn money(self, credits: Amount) -> Money {
        let (whole, rest) = (credits.units().div_euclid(self.factor()), credits.units().rem_euclid(self.factor()));
        // Only a factor above one leaves a rest, and then the quotient is far from the end.
        Money::new(whole + i64::from(rest > 0), self.code)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{credit_currency, fiat};
    use super::*;

    pub(in crate::billing) fn euros(cents: i64) -> Money {
        Money::new(cents, MoneyCode::iso("EUR").expect("euros"))
    }

    fn code(code: &str) -> MoneyCode {
        MoneyCode::iso(code).expect(code)
    }

    #[track_caller]
    fn check(text: &str, iso: &str, units: Option<i64>, shown: &str) {
        let decimal = Decimal::parse(text.as_bytes()).expect(text);
        let money = Money::from_decimal(decimal, code(iso)).ok();
        assert_eq!(money.map(|money| money.units), units, "{text} {iso}");
        if let Some(money) = money {
            assert_eq!(money.to_string(), shown);
        }
    }

    #[test]
    fn decimals_are_read_to_the_minor_unit_and_shown_with_all_its_places() {
        check("12.5", "EUR", Some(1_250), "12.50");
        check("-0.05", "EUR", Some(-5), "-0.05");
        check("1200", "JPY", Some(1_200), "1200");
        check("1.234", "KWD", Some(1_234), "1.234");
        check("0.0001", "CLF", Some(1), "0.0001");
        check("92233720368547758.07", "USD", Some(i64::MAX), "92233720368547758.07");
        check("-92233720368547758.07", "USD", Some(-i64::MAX), "-92233720368547758.07");
        check("0.001", "EUR", None, "");
        check("0.5", "JPY", None, "");
        check("92233720368547758.1", "USD", None, "");
    }

    #[test]
    fn codes_are_those_of_the_standard_or_coins_that_do_not_pass_for_them() {
        assert_eq!(MoneyCode::iso("XXX"), None);
        assert_eq!(MoneyCode::iso("eur"), None);
        assert_eq!(MoneyCode::iso("EU"), None);
        assert_eq!(MoneyCode::coin("BTC", 8).map(MoneyCode::places), Some(8));
        assert_eq!(MoneyCode::coin("EUR", 3), None);
        assert_eq!(MoneyCode::coin("EUR", 2), MoneyCode::iso("EUR"));
        for (bad, places) in [("", 2), ("B", 2), ("BITCOINS1", 2), ("btc", 8), ("B-C", 8), ("BTC", 10)] {
            assert_eq!(MoneyCode::coin(bad, places), None, "{bad}");
        }
        let known = [HUNDREDTHS, WHOLE, THOUSANDTHS, TEN_THOUSANDTHS]
            .map(|list| list.split_ascii_whitespace().collect::<Vec<_>>());
        let all = known.concat();
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len(), "a code stands in one list");
        assert!(all.iter().all(|code| code.len() == 3 && MoneyCode::iso(code).is_some_and(MoneyCode::is_iso)));
    }

    #[test]
    fn money_of_two_currencies_does_not_mix() {
        let dollars = Money::new(1, code("USD"));
        assert_eq!(euros(1).checked_add(dollars), None);
        assert_eq!(euros(1).checked_sub(dollars), None);
        assert_eq!(euros(3).checked_sub(euros(5)), Some(euros(-2)));
        assert_eq!(euros(i64::MAX).checked_add(euros(1)), None);
        assert_eq!(euros(i64::MIN).checked_sub(euros(1)), None);
        assert_eq!((euros(7).times(3), euros(i64::MAX).times(2)), (Some(euros(21)), None));
    }

    #[test]
    fn a_fiat_credit_is_a_minor_unit() {
        let worth = Worth::of_fiat(&fiat("EUR", 2)).expect("a fiat denomination");
        assert_eq!(worth.credits(euros(1_250)), Some(Amount::new(125_000)), "1250 credits of scale 2");
        assert_eq!(worth.credits(Money::new(1, code("USD"))), None);
        assert_eq!(worth.credits(euros(i64::MAX)), None);
        for (credits, cents) in
            [(0, 0), (1, 1), (100, 1), (101, 2), (-1, 0), (-100, -1), (i64::MAX, 92_233_720_368_547_759)]
        {
            assert_eq!(worth.money(Amount::new(credits)), euros(cents), "{credits}");
        }
        let whole = Worth::of_fiat(&fiat("EUR", 0)).expect("a fiat denomination");
        assert_eq!(whole.money(Amount::MAX), euros(i64::MAX));
        assert_eq!(Worth::of_fiat(&credit_currency(2)), None);
    }

    #[test]
    fn a_coin_is_a_credit_of_the_currency_that_stands_for_it() {
        let bitcoin = MoneyCode::coin("BTC", 8).expect("a coin");
        let worth = Worth::of_coin(bitcoin, &credit_currency(9)).expect("finer than the coin");
        assert_eq!(worth.credits(Money::new(150_000_000, bitcoin)), Some(Amount::new(1_500_000_000)), "one and a half");
        assert_eq!(Worth::of_coin(bitcoin, &credit_currency(7)), None);
        assert_eq!(Worth::of_coin(bitcoin, &fiat("EUR", 9)), None);
    }
}
